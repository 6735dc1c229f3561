"""The documents say what is so: names, tables, links, keys and commands in them are compared with the project."""

import functools
import itertools
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from base.settings import Settings, unknown
from facts.terms import Outcome
from hotline.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_IN_ROOT = (
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "README.zh-CN.md",
    "SECURITY.md",
)
PAGES = sorted(
    [
        *(path for path in DOCS.rglob("*.md") if "made" not in path.relative_to(DOCS).parts),
        *(ROOT / name for name in _IN_ROOT),
        *(ROOT / "asterisk-conf").rglob("README.md"),
    ]
)  # fmt: skip
TABLES = runpy.run_path(str(DOCS / "tables.py"))
IN_TWO_LANGUAGES = [
    (ROOT / "README.md", ROOT / "README.zh-CN.md"),
    *((DOCS / page.name, page) for page in sorted((DOCS / "zh").glob("*.md")) if page.name != "index.md"),
]  # fmt: skip


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=_name)
every_pair = pytest.mark.parametrize(
    ("english", "chinese"),
    IN_TWO_LANGUAGES,
    ids=[_name(chinese) for _, chinese in IN_TWO_LANGUAGES],
)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _prose(text: str) -> str:
    """A page without its blocks of code and its tables made from the code."""
    text = re.sub(r"<!-- table: .*?<!-- end of table -->", "", text, flags=re.DOTALL)
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)


def _blocks(text: str) -> list[str]:
    """The blocks of code without a language: what a reader types."""
    found = re.findall(r"^( *)```(.*?)\n(.*?)^\1```$", text, flags=re.DOTALL | re.MULTILINE)
    return [
        re.sub(f"^{indent}", "", block, flags=re.MULTILINE)
        for indent, language, block in found
        if not language
    ]


@functools.cache
def _committed() -> list[Path]:
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
    listing = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


# --- the site


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """As `make docs` does: a link to a page or heading that is not there is a warning, too."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-n",
        "-q",
        "-E",
        "-d",
        str(tmp_path / "trees"),
    ]
    built = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "site")], capture_output=True, text=True, check=False
    )
    assert (built.returncode, built.stderr) == (0, "")
    assert (tmp_path / "site" / "index.html").is_file()


@every_page
def test_tables_are_those_of_the_code(page: Path) -> None:
    assert TABLES["filled"](_read(page)) == _read(page), (
        "run `make docs`, and commit what it changed"
    )


def test_every_table_is_on_a_page() -> None:
    named = [
        name for page in PAGES for name in re.findall(r"<!-- table: ([a-z-]+) -->", _read(page))
    ]
    assert sorted(named) == sorted(TABLES["TABLES"])


# --- settings


def test_every_setting_is_explained_in_both_languages() -> None:
    chinese = {
        name: text for section in TABLES["sections"]() for name, text in section["settings"].items()
    }
    assert list(chinese) == list(Settings.model_fields), "docs/settings.toml has them in this order"
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no docstring"
        assert re.search(r"[\u4e00-\u9fff]", chinese[name]), f"{name} has no Chinese text"


@every_page
def test_settings_that_are_named_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\bHOTLINE_[A-Z_]*[A-Z]\b", _read(page)):
        monkeypatch.setenv(name, "")
    assert unknown() == []


# --- keys of requirements and metrics


def _defined() -> list[str]:
    pages = (DOCS / "requirements.md", DOCS / "metrics.md")
    return [
        key
        for page in pages
        for key in re.findall(r"^### ([RM]\d+[a-z]?)$", _read(page), re.MULTILINE)
    ]


def test_each_key_is_defined_once() -> None:
    keys = _defined()
    assert sorted(set(keys)) == sorted(keys)
    assert {f"R{number}" for number in range(1, 124)} <= set(keys)


def test_every_key_that_is_named_is_defined() -> None:
    defined = set(_defined())
    missing: dict[str, set[str]] = {}
    for path in _committed():
        if path.suffix not in _NO_TEXT and not path.name.startswith("package"):
            for key in re.findall(r"\b[RM]\d{1,3}[a-z]?\b", _read(path)):
                if key not in defined:
                    missing.setdefault(key, set()).add(_name(path))
    assert missing == {}


_NO_TEXT = {".alaw", ".lock", ".png", ".svg"}


def test_every_outcome_is_defined() -> None:
    table = _read(DOCS / "metrics.md").partition("**Outcomes.**")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE) == [one.value for one in Outcome]


# --- commands, targets, files, links


def _commands(text: str) -> Iterator[list[str]]:
    """Each call of `hotline` in a page, in a block or within a line, as words."""
    code = [line for block in _blocks(text) for line in block.replace("\\\n", "").splitlines()]
    code += re.findall(r"`(hotline [^`]+)`", _prose(text))
    for line in code:
        for part in re.split(r" \| | && |; ", line.partition(" #")[0]):
            words = shlex.split(part.strip())
            while words and re.match(r"[A-Z_]+=", words[0]):
                del words[0]
            if words[:1] == ["hotline"] and len(words) > 1:
                yield words[1:]


@functools.cache
def _hotline() -> Any:
    return typer.main.get_command(app)


def _problem(words: list[str]) -> str:
    """What is wrong with a call of `hotline`: a command or an option that it does not have."""
    command = _hotline()
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return f"no command {words[0]}" if re.fullmatch(r"[a-z-]+", words[0]) else ""
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    wrong = [
        word for word in words if word.startswith("--") and word.partition("=")[0] not in known
    ]
    return f"no option {wrong[0]} of {command.name}" if wrong else ""


@every_page
def test_commands_that_are_named_exist(page: Path) -> None:
    wrong = [
        (" ".join(words), problem)
        for words in _commands(_read(page))
        if (problem := _problem(words))
    ]
    assert wrong == []


def test_a_command_that_does_not_exist_is_found() -> None:
    page = "```\nhotline agent invite 1001\n```\n\n`hotline report sla --colour red` and `hotline calls`\n"
    assert [_problem(words) for words in _commands(page)] == [
        "no command invite",
        "no option --colour of sla",
        "",
    ]


@every_page
def test_targets_of_make_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", _read(ROOT / "Makefile"), re.MULTILINE))
    text = "\n".join([*_blocks(_read(page)), *re.findall(r"`([^`\n]+)`", _prose(_read(page)))])
    assert set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)) <= targets


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    """A name in backquotes that begins with a folder of the project: `acd/desk.py`, `docs/`, `acd/floor`."""
    tops = {path.relative_to(ROOT).parts[0] for path in _committed()}
    missing = []
    # `hotline/KEY`, with a word in capitals, is a sound as Asterisk names it.
    for name in re.findall(r"`([\w.-]+/(?![A-Z]+`)[\w./-]*)`", _prose(_read(page))):
        places = [base / name for base in (ROOT, page.parent)]
        if name.partition("/")[0] in tops and not any(
            place.exists() or place.with_suffix(".py").exists() for place in places
        ):
            missing.append(name)
    assert missing == []


@every_page
def test_modules_that_are_named_exist(page: Path) -> None:
    """A dotted name in backquotes that begins with a room: `telephony.channels`, `acd.desk`."""
    missing = []
    for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", _prose(_read(page))):
        room, *rest = name.split(".")
        if (ROOT / room / "__init__.py").exists() and rest[-1] not in ("toml", "md"):
            place = ROOT.joinpath(room, *rest)
            if not place.is_dir() and not place.with_suffix(".py").is_file():
                missing.append(name)
    assert missing == []


@every_page
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(_read(page))):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (heading and heading not in _anchors(target)):
            broken.append(link)
    assert broken == []


def _anchors(page: Path) -> set[str]:
    text = _read(page)
    if found := re.fullmatch(r"\[[^\]]+\]\((\.\./[^)]+)\)\n", text):
        return _anchors((page.parent / found[1]).resolve())  # docs/conf.py puts that file here
    heads = re.findall(r"^#+ (.+)$", _prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


# --- what a stranger reads first


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_is_short_and_begins_with_a_picture(name: str) -> None:
    text = _read(ROOT / name)
    assert len(text.splitlines()) <= 125
    picture = re.search(r"!\[[^\]]+\]\(([^)]+\.png)\)", text)
    assert picture
    assert text[: picture.start()].count("\n") < 10
    file = ROOT / picture[1]
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size < 200_000
    assert [block.strip() for block in _blocks(text)[:2]] == ["make demo", "make test"]
    steps = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    assert steps == [str(number) for number in range(1, 11)]


@every_page
def test_tests_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", _read(page)))
    assert named - _tests() == set()


@pytest.mark.parametrize("page", ["docs/operations.md", "docs/zh/operations.md"])
def test_each_promise_about_a_failure_has_its_test(page: str) -> None:
    blocks = _read(ROOT / page).split("\n\n")
    (table,) = [block for block in blocks if block.startswith("|") and "| `test_" in block]
    promises = table.splitlines()[2:]
    assert len(promises) >= 10
    assert [promise for promise in promises if "`test_" not in promise.rpartition(" | ")[2]] == []


@functools.cache
def _tests() -> set[str]:
    """The names of all tests, and of the files that hold them."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    defined = (re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8")) for file in files)
    return {file.stem for file in files}.union(*defined)


@every_pair
def test_the_chinese_page_has_all_of_the_english_one(english: Path, chinese: Path) -> None:
    one, other = _read(english), _read(chinese)
    for marks in (r"^#+ ", r"^ *```", r"^\d+\. ", r"^\|", r"^!\["):
        counted = [len(re.findall(marks, text, re.MULTILINE)) for text in (one, other)]
        assert counted[0] == counted[1], f"lines like {marks}"
    names = [
        set(re.findall(r"HOTLINE_[A-Z_]+|--[a-z][a-z-]+|\*1\d+|\*0", text)) for text in (one, other)
    ]
    assert names[0] == names[1]
    typed = [{tuple(words[:2]) for words in _commands(text)} for text in (one, other)]
    assert typed[0] == typed[1]


def test_the_architecture_begins_with_a_picture_and_has_short_paragraphs() -> None:
    text = _read(ROOT / "ARCHITECTURE.md")
    lines = text.splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    assert fences[0] <= 8
    assert fences[1] <= 26
    assert max(map(len, lines)) <= 140
    paragraphs = [
        list(group)
        for is_prose, group in itertools.groupby(
            _prose(text).splitlines(), lambda line: bool(line) and line[0] not in "|#"
        )
        if is_prose
    ]
    # An item of a list is a paragraph of its own.
    for paragraph in paragraphs:
        starts = [
            n for n, line in enumerate(paragraph) if n == 0 or re.match(r"[-*] |\d+\. ", line)
        ]
        sizes = [end - start for start, end in itertools.pairwise([*starts, len(paragraph)])]
        assert max(sizes) <= 6, paragraph[0]


def test_the_architecture_names_every_room() -> None:
    project = tomllib.loads(_read(ROOT / "pyproject.toml"))
    rooms = {name for name in project["tool"]["setuptools"]["packages"] if "." not in name}
    section = _read(ROOT / "ARCHITECTURE.md").partition("## Rooms")[2].partition("\n## ")[0]
    named = {
        name for name in re.findall(r"`(\w+)/`", section) if (ROOT / name / "__init__.py").exists()
    }
    assert named == rooms


@every_page
def test_people_are_they(page: Path) -> None:
    """An agent and a caller are "they", "the agent", "the caller", and come first in a sentence."""
    old = r"\b(?:he|him|his|himself|whom|wish|wishes)\b"
    assert re.findall(old, _prose(_read(page)), re.IGNORECASE) == []


# --- licence, and how to take part


def test_the_licence_is_whole_and_named() -> None:
    text = _read(ROOT / "LICENSE")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert all(f"\n   {number}. " in text for number in range(1, 10))
    project = tomllib.loads(_read(ROOT / "pyproject.toml"))["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE", "NOTICE"]
    assert all((ROOT / name).is_file() for name in project["license-files"])


def test_three_commands_lead_to_a_green_test() -> None:
    typed = _blocks(_read(ROOT / "CONTRIBUTING.md"))[0].splitlines()
    assert len(typed) == 3
    assert typed[-1] == "make test"


def test_the_security_policy_says_how_to_report_and_what_is_promised() -> None:
    heads = re.findall(r"^## (.+)$", _read(ROOT / "SECURITY.md"), re.MULTILINE)
    assert heads[:2] == ["Report a weakness", "What is promised"]
