"""The list of phrases that hints go by (`服务禁语.toml`): an operator may edit a copy of it. Pure."""

import tomllib
from dataclasses import dataclass
from typing import Any, Final

from facts.times import SECOND
from speech.syllables import sounds

FILE: Final = "服务禁语.toml"
"""Its name, in this package and in the home."""
MOST: Final = 500
LONGEST: Final = 40
"""Phrases in a list, and characters in a phrase."""


class PhraseListError(Exception):
    """The list cannot be used. The message says where, and what to write."""


@dataclass(frozen=True, slots=True)
class ListedPhrase:
    """One listed phrase. `said`: it, and what counts as the same, as (sound, character).

    `unless`: no hint if so written.
    """

    text: str
    said: tuple[tuple[tuple[str, str], ...], ...]
    unless: frozenset[str] = frozenset()
    source: str = ""


@dataclass(frozen=True, slots=True)
class PhraseList:
    """What is looked for. `within`: microseconds from the answer. Rates in characters a minute, 0: never."""

    forbidden: tuple[ListedPhrase, ...]
    greetings: tuple[ListedPhrase, ...]
    within: int
    fastest: float
    slowest: float


def read(text: str, place: str) -> PhraseList:
    """Read a list; `place` names it in the message. Raises `PhraseListError`."""
    try:
        book = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PhraseListError(f"{place}: {error}") from None
    if unknown := book.keys() - {"forbidden", "greeting", "rate"}:
        raise PhraseListError(f"{place}: remove or rename {', '.join(sorted(unknown))}")
    greeting = _table(book, "greeting", {"within", "phrases"}, place)
    rate = _table(book, "rate", {"fastest", "slowest"}, place)
    listed = book.get("forbidden", [])
    if not isinstance(listed, list) or len(listed) > MOST:
        raise PhraseListError(f"{place}: write each phrase as [[forbidden]], {MOST} at most")
    return PhraseList(
        tuple(_phrase(one, place) for one in listed),
        tuple(_spelt(one, (), (), "", place) for one in _texts(greeting, "phrases", place)),
        round(_number(greeting, "within", place) * SECOND),
        _number(rate, "fastest", place),
        _number(rate, "slowest", place),
    )


def _phrase(one: Any, place: str) -> ListedPhrase:
    if not isinstance(one, dict) or one.keys() - {"phrase", "also", "unless", "source"}:
        raise PhraseListError(f"{place}: a [[forbidden]] has phrase, also, unless and source")
    also, unless = _texts(one, "also", place), _texts(one, "unless", place)
    return _spelt(one.get("phrase"), also, unless, str(one.get("source", "")), place)


def _spelt(
    text: Any, also: tuple[str, ...], unless: tuple[str, ...], source: str, place: str
) -> ListedPhrase:
    if not isinstance(text, str):
        raise PhraseListError(f"{place}: a [[forbidden]] needs its phrase")
    said = []
    for one in (text, *also):
        spelt = tuple(sounds(one))
        if not 2 <= len(spelt) <= LONGEST:
            raise PhraseListError(
                f"{place}: {one[:LONGEST]!r} has {len(spelt)} characters that are said: write 2 to {LONGEST}"
            )
        said.append(spelt)
    # The longest first: 等一会儿 is one place, not 等一会 and some more.
    return ListedPhrase(
        text, tuple(sorted(set(said), key=lambda one: (-len(one), one))), frozenset(unless), source
    )


def _table(book: dict[str, Any], name: str, keys: set[str], place: str) -> dict[str, Any]:
    table = book.get(name, {})
    if not isinstance(table, dict) or table.keys() - keys:
        raise PhraseListError(f"{place}: [{name}] has {' and '.join(sorted(keys))}")
    return table


def _texts(table: dict[str, Any], name: str, place: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise PhraseListError(f'{place}: write {name} as ["…", "…"]')
    if len(value) > MOST:
        raise PhraseListError(f"{place}: {name} has more than {MOST}")
    return tuple(value)


def _number(table: dict[str, Any], name: str, place: str) -> float:
    value = table.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10_000:
        raise PhraseListError(f"{place}: write {name} as a number, 0 to 10000")
    return float(value)
