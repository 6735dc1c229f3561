"""One word, one thing: names, and the English that they are explained in, read from the source without running it."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.test_architecture import ROOMS, ROOT

PUBLISHED = "web.api."
"""Its models have the names that programs see in the OpenAPI document, and may share them with what they show."""

SHARED: dict[str, str] = {}
"""Names that more than one class may have → why."""

OLD = re.compile(
    r"\b(he|him|his|himself|lest|anew|wholly|one who|whom|wish|wishes|wished)\b", re.IGNORECASE
)
"""An agent, a caller or a user is "they", or named again. The others say "so that … not", "again", "completely", …

What an agent asked for is a request, or an intent, and no wish. A sentence with "whom" has its subject first instead.
"""

OLD_PARTS = {"he", "him", "his", "himself", "whom", "wish", "wishes"}
"""Parts of a name, between its underscores. `diary_wish` is an index in databases, and only a string here."""

QUOTED = {
    r'r"\b(?:he|him|his|himself|whom|wish|wishes)\b"': "tests/test_docs.py, which looks for them"
}
"""Lines that quote somebody → where the quotation is from."""

TAKES = {
    "report": "somebody tells the desk",
    "handle": "the floor takes it",
    "record": "into the diary",
    "add": "a fold or a figure takes it",
    "write": "a file or a table takes it",
    "send": "to Redis, screens or webhooks",
}
"""The words for taking a fact. `seed` takes facts that are in the diary already."""

NOT_TAKES = {"post", "feed", "step", "tell", "hear", "note"}


def modules(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name, _parsed(path)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_protocol(one: ast.ClassDef) -> bool:
    """A Protocol has the name of the class that it is a part of, so that a reader knows what stands behind it."""
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in one.bases)


def test_no_two_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for module, tree in modules(*ROOMS):
        for one in ast.walk(tree):
            published = module.startswith(PUBLISHED)
            if isinstance(one, ast.ClassDef) and not published and not is_protocol(one):
                homes[one.name].append(module)
    shared = {name: found for name, found in homes.items() if len(found) > 1}
    assert {name: found for name, found in shared.items() if name not in SHARED} == {}
    assert SHARED.keys() <= shared.keys(), "an exception that is none any more"


def test_a_fold_says_what_it_folds() -> None:
    assert [
        module
        for module, tree in modules(*ROOMS)
        for one in tree.body
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == "fold"
    ] == []


def test_one_word_for_taking_a_fact() -> None:
    found = []
    for module, tree in modules(*ROOMS):
        for one in ast.walk(tree):
            if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            given = [*one.args.args, *([one.args.vararg] if one.args.vararg else [])]
            takes = any(
                re.search(r"\bFact\b", ast.unparse(argument.annotation))
                for argument in given
                if argument.annotation is not None
            )
            if takes and one.name in NOT_TAKES:
                found.append(f"{module}.{one.name}")
    assert found == [], f"say it with one of {', '.join(TAKES)}"


def text_of(source: str) -> Iterator[tuple[int, str]]:
    """The comments and strings of a module, with their lines."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in kinds:
            yield from enumerate(token.string.splitlines(), token.start[0])


def old_words(files: Iterable[Path]) -> list[str]:
    """Where old words stand: in the comments and strings of Python, anywhere in another file."""
    found = []
    for path in files:
        source = path.read_text(encoding="utf-8")
        lines = text_of(source) if path.suffix == ".py" else enumerate(source.splitlines(), 1)
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for number, line in lines
            if OLD.search(line) and line.strip() not in QUOTED
        ]
    return found


LONGEST_SENTENCE = 30
"""Words. A drawing, a list or code is no sentence."""


def public(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """The module, and its public classes, methods and functions: each name and docstring."""
    yield "", ast.get_docstring(tree)
    inside: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    while inside:
        outer, holder = inside.pop()
        for one in holder.body:
            if not isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if one.name.startswith("_"):
                continue
            yield outer + one.name, ast.get_docstring(one)
            if isinstance(one, ast.ClassDef):
                inside.append((f"{outer}{one.name}.", one))


def sentences(docstring: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n|\n\s*[-*] ", docstring):
        if "──" not in paragraph and not re.search(r"\w {3,}\w", paragraph):
            yield from re.split(r"(?<=[.!?:;])\s+", paragraph)


@pytest.mark.parametrize("room", ROOMS)
def test_all_that_is_public_is_explained(room: str) -> None:
    assert [
        f"{module}: {name}"
        for module, tree in modules(room)
        for name, docstring in public(tree)
        if not docstring
    ] == []


@pytest.mark.parametrize("room", ROOMS)
def test_sentences_are_short(room: str) -> None:
    assert [
        f"{module}: {name}: {' '.join(sentence.split())}"
        for module, tree in modules(room)
        for name, docstring in public(tree)
        for sentence in sentences(docstring or "")
        if len(sentence.split()) > LONGEST_SENTENCE
    ] == []


@pytest.mark.parametrize("room", [*ROOMS, "tests"])
def test_present_day_english(room: str) -> None:
    files = [
        path
        for kind in ("*.py", "*.js", "*.xml")
        for path in sorted((ROOT / room).rglob(kind))
        if "static" not in path.parts and path != Path(__file__)
    ]
    assert old_words(files) == []


def test_present_day_english_in_what_starts_the_centre() -> None:
    conf = ROOT / "asterisk-conf"
    scripts = (
        ROOT / "Makefile",
        *(conf / name for name in ("get-asterisk", "apt-install", "render-prompts")),
    )
    assert old_words([*scripts, *sorted(conf.glob("*.conf"))]) == []


@pytest.mark.parametrize("room", [*ROOMS, "tests"])
def test_names_are_of_today(room: str) -> None:
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Name, ast.arg, ast.Attribute)
    found = []
    for module, tree in modules(room):
        for one in ast.walk(tree):
            if isinstance(one, named):
                name = (
                    getattr(one, "name", "") or getattr(one, "id", "") or getattr(one, "attr", "")
                )
                name = name or getattr(one, "arg", "")
                if OLD_PARTS & set(name.lower().split("_")):
                    found.append(f"{module}: {name}")
    assert found == []
