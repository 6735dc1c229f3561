"""Fills the tables of the documents from the code: `python docs/tables.py`, which `make docs` runs first.

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`; `TABLES` has every name. What is written
is committed, so that the pages can be read without a build; a test says when one of them is old.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from acd.rules.model import Queue
from acd.rules.text import FIELDS
from alarms.rules import RULES
from base.settings import Settings
from web.accounts.rights import OF_ROLE, RIGHTS

DOCS = Path(__file__).parent
_REGION = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main() -> None:
    """Write every page anew whose tables are old."""
    for page in pages():
        old = page.read_text(encoding="utf-8")
        if (new := filled(old)) != old:
            page.write_text(new, encoding="utf-8")
            print(f"{page.relative_to(DOCS.parent)}: tables are new", file=sys.stderr)


def pages() -> list[Path]:
    """Every page of the site that may hold tables."""
    return sorted(DOCS.rglob("*.md"))


def filled(text: str) -> str:
    """A page with its tables as the code has them. Raises `KeyError` for a table that is not in `TABLES`."""
    return _REGION.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", text)


def sections() -> list[dict[str, Any]]:
    """The sections of the settings: `en`, `zh`, and `settings`, each setting's meaning in Chinese."""
    document = tomllib.loads((DOCS / "settings.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = document["section"]
    return found


def _settings(language: str) -> Iterator[str]:
    none, setting, default, meaning = _WORDS[language]
    for section in sections():
        yield f"## {section[language]}\n"
        rows = []
        for name, chinese in section["settings"].items():
            field = Settings.model_fields[name]
            said = " ".join((field.description or "").split()) if language == "en" else chinese
            rows.append((f"`HOTLINE_{name.upper()}`", _default(field) or none, said))
        yield _table((setting, default, meaning), rows)


_WORDS: Mapping[str, tuple[str, str, str, str]] = {
    "en": ("none", "Setting", "Default", "Meaning"),
    "zh": ("无", "设置", "默认值", "含义"),
}


def _default(field: FieldInfo) -> str:
    if isinstance(field.default, tuple):
        mark = "-" if all(isinstance(one, int) for one in field.default) else ","
        return _shown(mark.join(map(str, field.default)))
    return _shown(field.default)


def _shown(value: Any) -> str:
    """A value as an operator writes it; nothing for one that is empty."""
    if isinstance(value, bool):
        return "`yes`" if value else "`no`"
    if isinstance(value, float):
        return f"`{value:.10g}`"
    return f"`{value}`" if value or value == 0 else ""


_FROM_SETTINGS = {"ring_time", "wrap_up_time", "longest_wait"}


def _queue() -> str:
    rows = [
        (
            f"`{name}`",
            known.kind,
            f"`HOTLINE_{name.upper()}`"
            if name in _FROM_SETTINGS
            else _shown(getattr(Queue(), name)) or "none",
            known.meaning,
        )
        for name, known in FIELDS.items()
    ]
    return _table(("Key", "Kind", "Default", "Meaning"), rows)


def _alarms() -> str:
    rows = [
        (
            f"`{rule.name}`",
            rule.severity.value,
            f"{'>' if rule.over else '<'} {rule.raise_at:g}",
            f"{rule.clear_at:g}",
            f"{rule.hold:g} s",
            f"{rule.rest:g} s",
            re.sub(r"\{(\w+)[^}]*\}", r"*\1*", rule.en),
        )
        for rule in RULES
    ]
    return _table(("Rule", "Severity", "Raised", "Cleared at", "Hold", "Rest", "Says"), rows)


def _roles() -> str:
    roles = list(OF_ROLE)
    rows = [
        (f"`{right}`", *("✓" if right in OF_ROLE[role] else "" for role in roles), meaning)
        for right, meaning in RIGHTS.items()
    ]
    return _table(("Right", *(role.value for role in roles), "Allows to"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": lambda: "\n".join(_settings("en")),
    "settings-zh": lambda: "\n".join(_settings("zh")),
    "queue": _queue,
    "alarms": _alarms,
    "roles": _roles,
}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(_cell(one) for one in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    main()
