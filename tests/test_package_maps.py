"""The docstring of a package is its map: a line for each module and package in it, and none for what is not there."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["setuptools"]["packages"]

_ENTRY = re.compile(r"^([\w.*]+)( {2,})\S", re.MULTILINE)
"""`name  what it is`, at the beginning of a line, with two spaces or more between them."""


def named(docstring: str) -> list[str]:
    """What a docstring lists."""
    return [name for name, _ in _ENTRY.findall(docstring)]


def content(folder: Path) -> set[str]:
    """Modules and packages by name. What cannot be imported by name (versions of the database) has no line."""
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return {name for name in modules | packages if name.isidentifier()}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_what_is_in_it(package: str) -> None:
    folder = ROOT / package.replace(".", "/")
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    listed = named(docstring or "")
    assert len(set(listed)) == len(listed)
    assert content(folder) - set(listed) == set(), "not listed"
    # Folders and files that are no modules may be listed, too: `static`, `*.xml`.
    others = set(listed) - content(folder)
    assert {name for name in others if not any(folder.glob(name))} == set(), "listed, and not there"
    assert len({len(name + gap) for name, gap in _ENTRY.findall(docstring or "")}) <= 1, (
        "one column"
    )


def test_the_first_line_says_what_it_is() -> None:
    for package in PACKAGES:
        source = (ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")
        first = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        assert re.search(r"[.:]$", first), package
        assert len(first) > 20, package


def test_a_line_is_read_and_prose_is_not() -> None:
    assert named("What it is.\n\ndesk   the shell\n*.xml  files\n\nProse goes on here.\n") == [
        "desk",
        "*.xml",
    ]
