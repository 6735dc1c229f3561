"""What an operator writes, and the sentence that answers it, word by word, as it was read through and approved.

When a sentence must change, run this, and read the difference in `tests/fixtures/approved/rules.txt`:

    python -m tests.acd.test_rules_approved
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from acd.rules import text
from acd.rules.model import DEFAULT, HIGHEST_PRIORITY, Flag, Member, Number, Queue, Strategy
from acd.rules.text import (
    FIELDS,
    Rulebook,
    RulesError,
    from_toml,
    opening,
    problems,
    read_setting,
    to_toml,
)
from agents.pause import Pause

APPROVED = Path(__file__).parents[1] / "fixtures" / "approved" / "rules.txt"

WORDS = {
    "call_back_lost": ("Yes", "TRUE", "no", "false", "maybe"),
    "skills": ("en:3, tax", " , en : 2 ,", "", "en:ten", "en:0", "en:9", "en:10", "a b", "en::1"),
    "ring_time": ("15", " 0.5 ", "soon", "nan", "inf", "604800", "604801", "0", "-1"),
    "together": ("1", "50", "51", "0", "-3", "999999999", "1234567890", "2.5", "3x", "x3"),
    "longest_queue": ("0", "100000", "100001"),
    "priority": ("0", str(HIGHEST_PRIORITY), str(HIGHEST_PRIORITY + 1)),
    "strategy": (*(one.value for one in Strategy), "rrmemory"),
    "overflow_to": ("x" * 32, "x" * 33),
    "callback_key": ("", "1", "12"),
    "hours": ("a\u2028b", "a\u2029b", "a\x00b", "a\ud800b", "e\u0301"),
    "ringtime": ("5",),
    "zzz": ("5",),
}
READERS: dict[str, tuple[Any, ...]] = {
    "queue_name": ("tax", "t-a_x9", "Tax", "1x", "a" * 32, "a" * 33, 7),
    "skill_name": ("英语", "a-b", "-a", "a" * 32, "a" * 33, None),
    "number": ("12", "1" * 15, "1" * 16, "1", "x", 12345),
    "agent": ("10", "1" * 8, "1" * 9, "1", 12, "1" * 38, "1" * 39),
    "caller": ("13800000001", "abc", 5, "+"),
    "pause_key": ("0", "9", "10", "x", 1),
    "level": (1, 9, 0, 10, True, "1"),
    "penalty": (0, 1000, 1001, -1),
    "flag_priority": (0, HIGHEST_PRIORITY, HIGHEST_PRIORITY + 1),
    "pause_minutes": (0, 1440, 1441),
    "label": ("x" * 80, "x" * 81, " x ", 3),
    "note": ("x" * 200, "x" * 201),
}
TIMES: tuple[tuple[str, Any], ...] = (
    ("mon", "08:00-18:00"),
    ("mon-fri", " 08:00 - 12:00 , 13:00-24:00 "),
    ("daily", "open"),
    ("workdays", "closed"),
    ("holidays", "Open"),
    ("2026-02-14", "closed"),
    ("2026-02-30", "closed"),
    ("xxx", "open"),
    ("fri-", "open"),
    ("mon", "8:00-18:00"),
    ("mon", "24:00-24:00"),
    ("mon", "08:00-18:60"),
    ("mon", 5),
)
DOCUMENTS = (
    "queues = {}\npriority_step = 5",
    "queue = 5",
    "priority_step = -1",
    "[queue.default]\nring_time = 700000\nlength = 3\nstrategy = 'x'\n[queue.Tax]\n",
    "[queue]\ndefault = 3\n",
    "[number.1]\n[number.12345]\nqueue = 'Tax'\nlabel = 5\nlang = 'en'",
    "[number.12345]\nlanguag = 'en'",
    "[member.tax]\n1001 = 2000\n1x = 0\n1002 = 1",
    "[member]\ntax = 3",
    "[skill.1001]\nen = 10\n'-' = 1\n[skill.1]\nen = 1\n[skill]\n1002 = 7",
    "[flag.abc]\npriority = 1\n[flag.13800000001]\npriority = 10\nnote = 5\n['flag']",
    "[flag.13800000001]\npriority = 1\n[flag.'+8613800000001']\npriority = 2",
    "[hours.Day]\nmon = 'open'\n[hours.day]\nmon = '8-18'\nxyz = 'open'\n[hours]\nnight = 1",
    "[pause.10]\nname = 'x'\n[pause.1]\nminutes = 5\n[pause.2]\nname = 'y'\nminutes = -1\n",
    "[pause]\n1 = 'x'",
    "[hours]\n\n  [hours.day]\n  mon = '= 8-18'\n[number.12345]\nqueue = 5",
    '[flag.13800000001]\nnote = """\n= two\n"""\npriority = 10\n',
    "[hours]\nday = { mon = '8-18' }",
    "\n'a=b' = 1\npriority_step = -1\n",
)
BOOKS = (
    Rulebook(queues={DEFAULT: {"hours": "dya"}}, hours={"day": {"mon": "open"}}),
    Rulebook(queues={DEFAULT: {"hours": "nothing like it"}}, hours={"day": {"mon": "open"}}),
    Rulebook(queues={DEFAULT: {"hours": "day"}}, hours={f"day{n}": {} for n in (1, 2, 3)}),
    Rulebook(queues={DEFAULT: {"overflow_to": "nobody", "longest_queue": 3}}),
    Rulebook(queues={DEFAULT: {"overflow_to": "110", "longest_queue": 3}}),
    Rulebook(members=(Member("1003", DEFAULT), Member("1003", DEFAULT)), skills={"2": {"en": 1}}),
    Rulebook(pauses=(Pause("1", "a"), Pause("2", "a"), Pause("3", "a"), Pause("4", "b"))),
)
RICH = Rulebook(
    queues={
        "tax": {"skills": {"税务": 2, "en": 1}, "overflow_to": "", "call_back_lost": False},
        DEFAULT: {name: getattr(Queue(), name) for name in FIELDS if name != "skills"},
        "a": {"skills": {}, "ring_time": 0.5},
    },
    numbers={
        "12346": Number("12346", "tax", "en", '热线 "2"'),
        "12345": Number("12345", DEFAULT),
    },
    members=(Member("1002", "a", 3), Member("1001", "tax"), Member("1003", "tax", 1)),
    skills={"1002": {"en": 9, "a-b": 1}, "1001": {"税": 2}},
    flags={
        "+8613800000002": Flag("+8613800000002", 2, "back\\slash"),
        "+8613800000001": Flag("+8613800000001"),
    },
    hours={"night": {"daily": "18:00-24:00"}, "day": {"mon-fri": "open", "2026-02-14": "closed"}},
    pauses=(Pause("2", "会议", 30), Pause("1", "用餐")),
    priority_step=7.5,
)


def said(read: Callable[..., Any], *given: Any) -> str:
    try:
        return repr(read(*given))
    except RulesError as error:
        return "refused: " + "\n    ".join(error.problems)
    except ValueError as error:
        return f"refused: {error}"


def lines() -> Iterator[str]:
    for name, words in WORDS.items():
        yield from (f"{name} {word!r} → {said(read_setting, name, word)}" for word in words)
    for name, values in READERS.items():
        reader = getattr(text, name)
        yield from (f"{name} {value!r} → {said(reader, value)}" for value in values)
    # Made here, not when the module was imported: `make mutants` cannot reach those.
    for value in (1, 9, 0, 10, True, "1"):
        yield f"count from 1 to 9 {value!r} → {said(text._count(1, 9), value)}"
    for value in ("x" * 5, "x" * 6, " x ", 3, "e\u0301", "\x00", "\ud800", "a\u2028a", "a\u2029a"):
        yield f"text of 5 {value!r} → {said(text._text(5), value)}"
    yield f"skills 5 → {said(text._skills, 5)}"
    yield from (f"{which} {times!r} → {said(opening, which, times)}" for which, times in TIMES)
    for document in DOCUMENTS:
        yield f"{document}\n → {said(from_toml, document)}"
    for book in BOOKS:
        yield f"problems → {list(problems(book, agents=('1001', '1002')))}"
        yield f"problems without a roster → {list(problems(book))}"
    for name, one in FIELDS.items():
        yield f"{name}: {one.kind}: {one.meaning}"
    yield to_toml(RICH)
    yield to_toml(Rulebook())
    yield to_toml(Rulebook(hours={"a b": {"x": '"\\\x7f'}})).rpartition("[hours]")[2]


def written() -> str:
    return "\n".join(lines()).encode(errors="backslashreplace").decode()


def test_as_approved() -> None:
    assert f"{written()}\n".split("\n") == APPROVED.read_text().split("\n")


def test_what_was_written_is_the_same_rules() -> None:
    again = from_toml(to_toml(RICH))
    assert again.queues == RICH.queues
    assert again.members == RICH.members
    assert {again.skills["1001"]["税"], again.skills["1002"]["en"]} == {2, 9}
    assert again.pauses == tuple(sorted(RICH.pauses, key=lambda pause: pause.key))


if __name__ == "__main__":
    APPROVED.write_text(written() + "\n")
