"""How Sphinx builds the site: `make docs`. Pages are Markdown, so that they can be read where the code is, too."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

project = "Hotline"
html_title = "Hotline"
copyright = "the Hotline authors, Apache License 2.0"  # noqa: A001 - Sphinx' own name for it
extensions = ["myst_parser"]
html_theme = "furo"
html_show_sphinx = False
myst_heading_anchors = 4  # the same anchors as a code host makes: requirements.md#r7
exclude_patterns = ["made"]

_DOCS = Path(__file__).parent
_PAGES = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "asterisk-conf/README.md": "dialplan.md",
}
"""Files outside this folder that are pages of the site."""


def setup(app: Sphinx) -> dict[str, Any]:
    """A page that holds one link to a file outside this folder becomes that file."""
    app.connect("source-read", _follow)
    return {"parallel_read_safe": True}


def _follow(app: Sphinx, page: str, source: list[str]) -> None:
    found = re.fullmatch(r"\[[^\]]+\]\(\.\./([^)]+)\)\n", source[0])
    if found and found[1] in _PAGES:
        file = _DOCS.parent / found[1]
        app.env.note_dependency(str(file))
        text = file.read_text(encoding="utf-8")
        for name, own in _PAGES.items():
            text = text.replace(f"]({name})", f"]({own})")
        source[0] = re.sub(r"\]\((?:\.\./)?docs/", "](", text)
