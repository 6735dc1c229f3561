"""The score card: groups with weights, items with points, knock-outs; and what a filled-in sheet comes to. Pure.

A group's points count with its weight; all weights make 100. What does not apply is left out, and a group in which
nothing applies leaves its weight to the others. Points are whole numbers, sums are fractions, and a score is a whole
number of hundredths, rounded once at the end, half up. So parts and sums agree exactly.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any, Final

import rfc8785

FILE: Final = "scorecard.toml"
"""The file's name in the home. Without it the program's own card is used, which has the seed's points."""
FULL: Final = 10_000
"""Hundredths of a point: the best score."""
MOST_ITEMS: Final = 100
MOST_DEDUCTIONS: Final = 50
"""In one sheet."""
LONGEST_NOTE: Final = 500

_KEY = re.compile(r"[a-z][a-z0-9-]{0,31}")


class ScoreCardError(ValueError):
    """A card or a sheet cannot be used. Each line of the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class ScoreItem:
    """One item. `points`: what it can cost; 0 for a knock-out. `source`: where the requirement stands, such as `R57`.

    `quote`: the source's own words. `phrases`: what may not be said (服务禁语); a deduction names one of them.
    """

    key: str
    zh: str
    en: str
    points: int
    group: str
    source: str = ""
    quote: str = ""
    knock_out: bool = False
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreGroup:
    """Items that are weighed together. `weight`: percent of the score."""

    key: str
    zh: str
    en: str
    weight: int


@dataclass(frozen=True, slots=True)
class ScoreCard:
    """A card as it is used. `passing`: hundredths from which on a talk is good enough."""

    zh: str
    en: str
    passing: int
    groups: tuple[ScoreGroup, ...]
    items: tuple[ScoreItem, ...]

    @property
    def digest(self) -> str:
        """The card's version: SHA-256 of all that is in it."""
        return hashlib.sha256(rfc8785.dumps(asdict(self))).hexdigest()

    def item(self, key: str) -> ScoreItem:
        """The item of that key. Raises `ScoreCardError`."""
        for one in self.items:
            if one.key == key:
                return one
        known = ", ".join(one.key for one in self.items)
        raise ScoreCardError(f"the card has no item {key[:40]!r}: there is {known}")


@dataclass(frozen=True, slots=True)
class Deduction:
    """Points taken off for one item. `second`: the place in the recording, in seconds, None without one."""

    item: str
    points: int = 0
    second: float | None = None
    phrase: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ScoreSheet:
    """A filled-in card: what was taken off, and which items do not apply. All others have full points."""

    deductions: tuple[Deduction, ...] = ()
    not_applicable: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """As it is stored and shown."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Score:
    """What a sheet comes to. `total`: hundredths of a point, 0 with a knock-out. `lost`: points of the score by item.

    `knocked_out`: the knock-outs that were met. Without one, `total` is 100 points less the sum of `lost`, rounded.
    """

    total: int
    lost: Mapping[str, Fraction] = field(default_factory=dict)
    knocked_out: tuple[str, ...] = ()


def score(card: ScoreCard, sheet: ScoreSheet) -> Score:
    """What a sheet comes to. Raises `ScoreCardError` if it does not fit the card."""
    if problems := list(_misfits(card, sheet)):
        raise ScoreCardError("\n".join(problems))
    applies = [
        one for one in card.items if one.key not in sheet.not_applicable and not one.knock_out
    ]
    possible: dict[str, int] = {}
    for one in applies:
        possible[one.group] = possible.get(one.group, 0) + one.points
    weighs = sum(group.weight for group in card.groups if possible.get(group.key))
    weight = {group.key: Fraction(100 * group.weight, weighs) for group in card.groups}
    taken: dict[str, int] = {}
    for off in sheet.deductions:
        taken[off.item] = taken.get(off.item, 0) + off.points
    lost = {
        one.key: weight[one.group] * Fraction(taken[one.key], possible[one.group])
        for one in applies
        if taken.get(one.key)
    }
    met = tuple(one.key for one in card.items if one.knock_out and one.key in taken)
    return Score(0 if met else _hundredths(100 - sum(lost.values(), Fraction())), lost, met)


def _hundredths(points: Fraction) -> int:
    return int(points * 100 + Fraction(1, 2))


def average(scores: Iterable[int]) -> int | None:
    """The mean of scores in hundredths, rounded half up; None without any."""
    known = list(scores)
    return int(Fraction(sum(known), len(known)) + Fraction(1, 2)) if known else None


def _misfits(card: ScoreCard, sheet: ScoreSheet) -> Iterable[str]:
    known = {one.key: one for one in card.items}
    if len(sheet.deductions) > MOST_DEDUCTIONS:
        yield f"{len(sheet.deductions)} deductions are too many: {MOST_DEDUCTIONS} at most"
    for key in sheet.not_applicable:
        if key not in known:
            yield f"the card has no item {key[:40]!r}"
        elif known[key].knock_out:
            yield f"{key}: a knock-out always applies"
    taken: dict[str, int] = {}
    for off in sheet.deductions:
        item = known.get(off.item)
        if item is None:
            yield f"the card has no item {off.item[:40]!r}: there is {', '.join(known)}"
            continue
        yield from _misfit(item, off)
        if off.item in sheet.not_applicable:
            yield f"{off.item}: it has a deduction, so it applies"
        taken[off.item] = taken.get(off.item, 0) + off.points
        if taken[off.item] > item.points and not item.knock_out:
            yield f"{off.item}: {taken[off.item]} points are taken off, and it has {item.points}"
    gone = {*sheet.not_applicable}
    if not any(one.points for one in card.items if one.key not in gone):
        yield "nothing applies: return the task and say why"


def _misfit(item: ScoreItem, off: Deduction) -> Iterable[str]:
    if item.knock_out:
        if off.second is None:
            yield f"{item.key}: say at which second of the recording: it decides over the whole score"
        if off.points:
            yield f"{item.key}: a knock-out has no points: write 0"
    elif off.points < 1:
        yield f"{item.key}: {off.points} points: write 1 to {item.points}"
    if off.second is not None and not 0 <= off.second < 86_400:
        yield f"{item.key}: second {off.second:g} is in no recording"
    if item.phrases and not (off.phrase or off.note):
        yield f"{item.key}: say which words were used"
    if len(off.note) > LONGEST_NOTE or len(off.phrase) > LONGEST_NOTE:
        yield f"{item.key}: the note is longer than {LONGEST_NOTE} characters"


def sheet_of(value: object) -> ScoreSheet:
    """A sheet from what `ScoreSheet.as_json` gave, or from what somebody typed. Raises `ScoreCardError`."""
    if not isinstance(value, dict) or not value.keys() <= {"deductions", "not_applicable"}:
        raise ScoreCardError('a sheet is {"deductions": […], "not_applicable": […]}')
    deductions, gone = value.get("deductions", []), value.get("not_applicable", [])
    if not isinstance(deductions, list | tuple) or not isinstance(gone, list | tuple):
        raise ScoreCardError("deductions and not_applicable are lists")
    if not all(isinstance(one, str) for one in gone):
        raise ScoreCardError("not_applicable: write the keys of items")
    return ScoreSheet(tuple(_deduction(one) for one in deductions), tuple(sorted({*gone})))


_DEDUCTION: Final[Mapping[str, type | tuple[type, ...]]] = {
    "item": str,
    "points": int,
    "second": (int, float, type(None)),
    "phrase": str,
    "note": str,
}


def _deduction(value: object) -> Deduction:
    if not isinstance(value, dict) or "item" not in value or not value.keys() <= _DEDUCTION.keys():
        raise ScoreCardError(f"a deduction has {', '.join(_DEDUCTION)}; item must be there")
    for name, one in value.items():
        if not isinstance(one, _DEDUCTION[name]) or isinstance(one, bool):
            raise ScoreCardError(f"{name}: {one!r} cannot be read")
    return Deduction(**value)


# --- the file


def read(text: str, file: str = FILE) -> ScoreCard:
    """The card in a file. Raises `ScoreCardError` that lists all that is wrong."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScoreCardError(f"{file}: {error}") from None
    groups, items = content.get("group", []), content.get("item", [])
    if not _is_tables(groups) or not _is_tables(items):
        raise ScoreCardError(f"{file}: write [[group]] and [[item]] as tables")
    problems = list(_problems(content, groups, items))
    if problems:
        raise ScoreCardError("\n".join(f"{file}: {said}" for said in problems))
    return ScoreCard(
        content["zh"],
        content["en"],
        content["passing"] * 100,
        tuple(ScoreGroup(**one) for one in groups),
        tuple(ScoreItem(**_item(one)) for one in items),
    )


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _item(table: Mapping[str, Any]) -> dict[str, Any]:
    return {"points": 0, **table, "phrases": tuple(table.get("phrases", ()))}


_TEXTS: Final = ("key", "zh", "en")
_OF_GROUP: Final = {*_TEXTS, "weight"}
_OF_ITEM: Final = {*_TEXTS, "points", "group", "source", "quote", "knock_out", "phrases"}


def _problems(
    content: Mapping[str, Any], groups: list[dict[str, Any]], items: list[dict[str, Any]]
) -> Iterable[str]:
    for name in content.keys() - {"zh", "en", "passing", "group", "item"}:
        yield f"{name}: there is zh, en, passing, [[group]] and [[item]]"
    for name in ("zh", "en"):
        if not isinstance(content.get(name), str) or not content[name]:
            yield f"{name}: write the card's title"
    if not _whole(content.get("passing"), 0, 100):
        yield "passing: write 0 to 100"
    for table, known, what in (
        *((one, _OF_GROUP, "group") for one in groups),
        *((one, _OF_ITEM, "item") for one in items),
    ):
        for said in _of_table(table, known):
            yield f"{what} {table.get('key', '?')}: {said}"
    if not groups or not items or len(items) > MOST_ITEMS:
        yield f"write at least one [[group]] and 1 to {MOST_ITEMS} [[item]]"
    keys = [str(one.get("key")) for one in (*groups, *items)]
    for key in sorted({*keys}):
        if keys.count(key) > 1:
            yield f"{key}: two have this key"
    weights = [one.get("weight") for one in groups]
    if (
        not all(_whole(one, 1, 100) for one in weights)
        or sum(map(int, filter(None, weights))) != 100
    ):
        yield "the weights of the groups are whole numbers from 1 on, and make 100"
    yield from _of_items({str(one.get("key")) for one in groups}, items)


def _of_table(table: Mapping[str, Any], known: set[str]) -> Iterable[str]:
    for name in table.keys() - known:
        yield f"{name}: there is {', '.join(sorted(known))}"
    if not isinstance(table.get("key"), str) or not _KEY.fullmatch(table["key"]):
        yield "key: write small letters, digits and -"
    for name in ("zh", "en", "source", "quote", "group"):
        if name in (table.keys() | {"zh", "en"}) and not isinstance(table.get(name), str):
            yield f"{name}: write a text"
    phrases = table.get("phrases", [])
    if not isinstance(phrases, list) or not all(isinstance(one, str) and one for one in phrases):
        yield "phrases: write a list of texts"
    if not isinstance(table.get("knock_out", False), bool):
        yield "knock_out: write true or false"


def _of_items(groups: set[str], items: list[dict[str, Any]]) -> Iterable[str]:
    for one in items:
        key = one.get("key", "?")
        if str(one.get("group")) not in groups:
            yield f"item {key}: there is no group {one.get('group')!r}"
        if one.get("knock_out") is True:
            if one.get("points", 0) != 0:
                yield f"item {key}: a knock-out has no points"
        elif not _whole(one.get("points"), 1, 100):
            yield f"item {key}: points: write 1 to 100"
    for group in sorted(groups):
        if not any(one.get("group") == group and one.get("points") for one in items):
            yield f"group {group}: no item in it has points"


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def restored(text: str) -> ScoreCard:
    """A card as the database keeps it: `dataclasses.asdict` in JSON."""
    value = json.loads(text)
    return ScoreCard(
        value["zh"],
        value["en"],
        value["passing"],
        tuple(ScoreGroup(**one) for one in value["groups"]),
        tuple(ScoreItem(**_item(one)) for one in value["items"]),
    )
