"""The rules of distribution as an operator writes them: in a TOML file, or word by word on the command line. Pure.

A `Rulebook` holds only what was set. A queue says only where it differs from the settings and from `Queue`, so a
changed setting, or a newer program's default, holds for everything that nobody has set. `Rulebook.rules` makes the
rules that the floor takes.
"""

import difflib
import json
import math
import re
import tomllib
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from acd.gate import Policy, Purpose, may_dial
from acd.rules.model import (
    DEFAULT,
    HIGHEST_PRIORITY,
    Flag,
    Member,
    Number,
    Queue,
    Rules,
    Strategy,
    SurveyWhen,
    check,
)
from agents.pause import USUAL, Pause
from facts.calendar import is_day
from facts.numbers import AGENT_NUMBER, HOTLINE_NUMBER, dialable, normalise
from facts.times import DAYS

LONGEST_NOTE = 200
LONGEST_LABEL = 80
HIGHEST_LEVEL = 9
_LONGEST_TIME = 7 * 86_400
_LARGEST_COUNT = 100_000


class RulesError(Exception):
    """The rules cannot work, and nothing was changed. `problems` has one sentence for each thing to mend."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


Setting: TypeAlias = str | int | float | Mapping[str, int]
"""What a queue sets, read and checked: text, a number (of seconds, or a bool), or skill → least level."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What was set. `queues`: name → the fields of `Queue` that were set. `hours`: name → its times.

    `members` are in the order of queue and agent. The callers in `flags` are normalised (`facts.numbers`).
    """

    queues: Mapping[str, Mapping[str, Setting]] = field(default_factory=lambda: {DEFAULT: {}})
    numbers: Mapping[str, Number] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    skills: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    flags: Mapping[str, Flag] = field(default_factory=dict)
    hours: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = USUAL
    priority_step: float = 60.0

    def rules(self, defaults: Queue, numbers: Iterable[str] = ()) -> Rules:
        """The rules as the floor takes them. A queue has what it sets, and `defaults` for the rest.

        `numbers`: the settings' numbers, which lead to the queue `default` if the rules do not assign them.
        """
        return Rules(
            queues={name: _queue(defaults, name, given) for name, given in self.queues.items()},
            numbers={number: Number(number) for number in numbers} | dict(self.numbers),
            members=self.members,
            skills=self.skills,
            flags=self.flags,
            priority_step=self.priority_step,
        )


def _queue(defaults: Queue, name: str, given: Mapping[str, Setting]) -> Queue:
    # `FIELDS` has read each setting, so its type is that of the field.
    own: dict[str, Any] = {**given, "name": name}
    return replace(defaults, **own)


def problems(
    book: Rulebook,
    agents: Collection[str] | None = None,
    defaults: Queue | None = None,
    own: Collection[str] = (),
) -> Iterator[str]:
    """Say what cannot work, one sentence each. `agents`: those on the roster; None: do not check them.

    `own`: numbers of the hotline that the rules do not assign.
    """
    yield from check(book.rules(defaults or Queue()))
    for name, given in book.queues.items():
        target = str(given.get("overflow_to", ""))
        if target and target not in {DEFAULT, *book.queues} and dialable(target):
            numbers = {*book.numbers, *own}
            why = may_dial(target, Purpose.OVERFLOW, Policy(), own=numbers, agents=agents or ())
            if why is not None:
                yield f"queue {name}: overflow_to {target}: {why.text()}"
    for name, given in book.queues.items():
        hours = str(given.get("hours", ""))
        if hours and hours not in book.hours:
            yield f"queue {name}: there are no opening hours {hours}{_near(hours, book.hours)}"
    named = dict.fromkeys([*(member.agent for member in book.members), *book.skills])
    for agent in named if agents is not None else ():
        if agent not in (agents or ()):
            yield (
                f"agent {agent} is not on the roster{_near(agent, agents or ())}: "
                "`hotline agent list` shows who is, `hotline agent add` adds one"
            )
    names = [pause.name for pause in book.pauses]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"two keys mean the pause {name}: each needs a name of its own"


# --- one value


class _WrongError(ValueError):
    """A value cannot be read. The message says what it must be."""


class Field(NamedTuple):
    """What a field of a queue may be. `read` takes a TOML value, and raises `ValueError` with what it must be."""

    read: Callable[[Any], Any]
    kind: str
    meaning: str


def read_setting(name: str, text: str) -> Any:
    """Read a field of a queue from one word of the command line. Raises `RulesError`."""
    known = FIELDS.get(name)
    if known is None:
        raise RulesError([f"a queue has no setting {name}{_near(name, FIELDS)}"])
    try:
        return known.read(_from_word(known.kind, text.strip()))
    except ValueError as error:
        raise RulesError([f"{name}: {error}"]) from None


def _from_word(kind: str, text: str) -> Any:
    """A word as the value that TOML has for it. What cannot be read stays text, and is refused later."""
    if kind == "yes or no":
        return {"yes": True, "true": True, "no": False, "false": False}.get(text.lower(), text)
    if kind == "skills":
        parts = [part.partition(":") for part in text.split(",") if part.strip()]
        return {name.strip(): _whole(level.strip() or "1") for name, _, level in parts}
    if kind == "seconds":
        try:
            return float(text)
        except ValueError:
            return text
    return _whole(text) if kind == "count" else text


def _whole(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else text


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _WrongError(f"{_shown(value)} is not a number of seconds, such as 15 or 0.5")
    if not 0 <= value <= _LONGEST_TIME:
        raise _WrongError(f"{value:g} is outside 0 to {_LONGEST_TIME} seconds (a week)")
    return float(value)


def _count(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise _WrongError(f"{_shown(value)} is not a whole number from {least} to {most}")
        return value

    return read


def _yes_no(value: Any) -> bool:
    if type(value) is not bool:
        raise _WrongError(f"{_shown(value)} is neither true nor false")
    return value


def _strategy(value: Any) -> Strategy:
    known = [one.value for one in Strategy]
    if value not in known:
        raise _WrongError(f"{_shown(value)} is no strategy: there is {', '.join(known)}")
    return Strategy(value)


def _survey(value: Any) -> SurveyWhen:
    known = [one.value for one in SurveyWhen]
    if value not in known:
        raise _WrongError(f"{_shown(value)} is no time for a survey: there is {', '.join(known)}")
    return SurveyWhen(value)


def _text(longest: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise _WrongError(f"{_shown(value)} is not text: write it in quotation marks")
        text = unicodedata.normalize("NFC", value.strip())
        if len(text) > longest:
            raise _WrongError(f"{len(text)} characters: at most {longest} are allowed")
        if any(unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} for one in text):
            raise _WrongError("a control character or line break: take it out")
        return text

    return read


def _skills(value: Any) -> Mapping[str, int]:
    if not isinstance(value, Mapping):
        raise _WrongError(f"{_shown(value)} is no list of skills: write {{ en = 3, tax = 1 }}")
    return {skill_name(name): level(given) for name, given in value.items()}


level = _count(1, HIGHEST_LEVEL)
"""Read an agent's level in a skill."""
penalty = _count(0, 1000)
"""Read a member's penalty."""
flag_priority = _count(0, HIGHEST_PRIORITY)
"""Read a flagged caller's priority."""
pause_minutes = _count(0, 1440)
"""Read how long a pause may last."""
label = _text(LONGEST_LABEL)
"""Read a number's name in statistics, or a pause's."""
note = _text(LONGEST_NOTE)
"""Read a remark."""


def queue_name(value: Any) -> str:
    """Read a queue's name. A letter first, so that no queue can be taken for a telephone number."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", value):
        raise _WrongError(
            f"{_shown(value)} is no name: write up to 32 small letters, digits, - and _, a letter first"
        )
    return value


def skill_name(value: Any) -> str:
    """Read the name of a skill or language, in any script."""
    if not isinstance(value, str) or not re.fullmatch(r"\w[\w-]{0,31}", value):
        raise _WrongError(
            f"{_shown(value)} is no name of a skill: write up to 32 letters, digits, - and _"
        )
    return value


def number(value: Any) -> str:
    """Read one of the hotline's numbers."""
    if not isinstance(value, str) or not HOTLINE_NUMBER.fullmatch(value):
        raise _WrongError(f"{_shown(value)} is no number of a hotline: write 2 to 15 digits")
    return value


def agent(value: Any) -> str:
    """Read an agent's number."""
    if not isinstance(value, str) or not AGENT_NUMBER.fullmatch(value):
        raise _WrongError(f"{_shown(value)} is no agent's number: write 2 to 8 digits")
    return value


def caller(value: Any) -> str:
    """Read a caller's number, written in any way. Returns it normalised."""
    found = normalise(value) if isinstance(value, str) else ""
    if not re.search(r"[0-9]", found):
        raise _WrongError(f"{_shown(value)} is no telephone number")
    return found


def pause_key(value: Any) -> str:
    """Read the digit after `*12`."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]", value):
        raise _WrongError(f"{_shown(value)} is no key for a pause: one digit")
    return value


_DAY = "|".join(DAYS)
_WHICH = re.compile(
    rf"(?:{_DAY})(?:-(?:{_DAY}))?|daily|workdays|holidays|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SPANS = re.compile(rf"{_CLOCK}-(?:{_CLOCK}|24:00)(?:,{_CLOCK}-(?:{_CLOCK}|24:00))*")


def opening(which: str, times: Any) -> str:
    """Read one line of opening hours, such as `mon-fri`, `08:00-18:00`. `ivr.hours` says what each means."""
    if not _WHICH.fullmatch(which) or (which[0].isdigit() and not is_day(which)):
        raise _WrongError(
            f"{_shown(which)} is no part of the week: write mon, mon-fri, daily, workdays, "
            "holidays or a date such as 2026-02-14"
        )
    said = re.sub(r"\s*([-,])\s*", r"\1", times.strip()) if isinstance(times, str) else ""
    if said not in {"closed", "open"} and not _SPANS.fullmatch(said):
        raise _WrongError(
            f'{_shown(times)} are no times: write "08:00-18:00", "08:00-12:00,13:00-18:00", '
            '"open" or "closed"'
        )
    return said


FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "strategy": Field(
            _strategy, "word", f"who is offered first: {', '.join(one.value for one in Strategy)}"
        ),
        "together": Field(_count(1, 50), "count", "phones that ring at once with ring-several"),
        "priority": Field(
            _count(0, HIGHEST_PRIORITY), "count", f"0 to {HIGHEST_PRIORITY}, the highest"
        ),
        "skills": Field(
            _skills, "skills", "what an agent must be able to do, each with its least level"
        ),
        "ring_time": Field(_seconds, "seconds", "how long one agent's phone rings"),
        "wrap_up_time": Field(_seconds, "seconds", "after a talk, before the next offer"),
        "longest_wait": Field(_seconds, "seconds", "then the hotline says farewell"),
        "longest_queue": Field(
            _count(0, _LARGEST_COUNT), "count", "most callers that wait; 0: any"
        ),
        "overflow_after": Field(_seconds, "seconds", "then the call goes to overflow_to; 0: never"),
        "overflow_to": Field(_text(32), "word", "another queue, or an outside number"),
        "sticky_for": Field(_seconds, "seconds", "a caller's last agent is preferred; 0: never"),
        "redial_for": Field(
            _seconds, "seconds", "a caller who gave up and redials has their place back; 0: never"
        ),
        "reserve": Field(
            _count(0, _LARGEST_COUNT), "count", "idle agents that callbacks leave alone"
        ),
        "urgent_before": Field(
            _seconds, "seconds", "a callback so near its deadline may use the reserve"
        ),
        "call_back_lost": Field(
            _yes_no, "yes or no", "a caller who gave up, was turned away or cut off, is called back"
        ),
        "call_back_within": Field(_seconds, "seconds", "deadline of that callback"),
        "callback_key": Field(
            _text(1), "word", "key by which a waiting caller asks to be called; empty: none"
        ),
        "stay_on_line": Field(
            _yes_no, "yes or no", "a yielding agent is connected on the same line"
        ),
        "detect_silence": Field(
            _yes_no, "yes or no", "a caller must say something before they are queued"
        ),
        "offer_in_notice": Field(
            _yes_no, "yes or no", "phones may ring while a caller still hears the recording notice"
        ),
        "hours": Field(_text(32), "word", "name of the opening hours; empty: always open"),
        "survey": Field(
            _survey,
            "word",
            "citizens rate the talk: off, hand-over (by the agent), hang-up (also when the agent hangs up)",
        ),
    }
)
"""Everything that a queue may set, in the order of `acd.rules.model.Queue`."""


# --- TOML


def to_toml(book: Rulebook) -> str:
    """Write the rules so that people can read and change them, always in the same order.

    `from_toml` gives the same rules back.
    """
    lines = [_HEAD]
    lines += [f"#   {name:<17}{one.kind:<11}{one.meaning}" for name, one in FIELDS.items()]
    lines += ["", "# Seconds by which one level of priority lets a caller count as waiting longer."]
    lines += [f"priority_step = {_value(book.priority_step)}", "", "[queue]"]
    for name in sorted(book.queues, key=lambda name: (name != DEFAULT, name)):
        given = book.queues[name]
        lines += ["", f"[queue.{_key(name)}]"]
        lines += [f"{field} = {_value(given[field])}" for field in FIELDS if field in given]
    lines += ["", "# The hotline's numbers, and the queues that they lead to", "[number]"]
    for line in sorted(book.numbers.values(), key=lambda line: line.number):
        lines += ["", f"[number.{line.number}]", f"queue = {_value(line.queue)}"]
        lines += [f"language = {_value(line.language)}", f"label = {_value(line.label)}"]
    lines += [
        "",
        "# Who serves a queue: agent = penalty. A queue without members is served by everybody.",
    ]
    lines += ["[member]"]
    for queue in sorted({member.queue for member in book.members}):
        lines += ["", f"[member.{_key(queue)}]"]
        of_queue = [member for member in book.members if member.queue == queue]
        lines += [f"{one.agent} = {one.penalty}" for one in of_queue]
    lines += ["", "# What an agent can do: skill or language = level from 1 to 9", "[skill]"]
    for agent_, skills in sorted(book.skills.items()):
        lines += ["", f"[skill.{agent_}]"]
        lines += [f"{_key(name)} = {given}" for name, given in sorted(skills.items())]
    lines += ["", "# Callers who are treated in a way of their own", "[flag]"]
    for flag in sorted(book.flags.values(), key=lambda flag: flag.caller):
        lines += ["", f"[flag.{_key(flag.caller)}]", f"priority = {flag.priority}"]
        lines += [f"note = {_value(flag.note)}"]
    lines += ["", "# Opening hours; a queue names one of them", "[hours]"]
    for name, times in sorted(book.hours.items()):
        lines += ["", f"[hours.{_key(name)}]"]
        lines += [f"{_key(which)} = {_value(when)}" for which, when in times.items()]
    lines += [
        "",
        "# Reasons for a pause, by the digit after *12, with the minutes allowed (0: any)",
        "[pause]",
    ]
    for pause in sorted(book.pauses, key=lambda pause: pause.key):
        lines += ["", f"[pause.{pause.key}]", f"name = {_value(pause.name)}"]
        lines += [f"minutes = {pause.minutes}"]
    return "\n".join(lines) + "\n"


def from_toml(text: str, base: Rulebook | None = None) -> Rulebook:
    """Read rules. A section of the text replaces that of `base` as a whole; the other sections stay.

    Raises `RulesError` with every problem in the text, each with its line. `problems` says whether the rules can work
    together.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError([f"this is not TOML: {error}"]) from None
    book, reading = base or Rulebook(), _Reading(_lines(text))
    for name in document.keys() - _SECTIONS.keys() - {"priority_step"}:
        reading.wrong((name,), f"there is no such section{_near(name, _SECTIONS)}")
    if "priority_step" in document:
        step = reading.value(("priority_step",), _seconds, document["priority_step"])
        book = replace(book, priority_step=step)
    for name, read in _SECTIONS.items():
        if name in document and (table := reading.table((name,), document[name])) is not None:
            book = replace(book, **read(reading, table))
    if reading.problems:
        raise RulesError(text for _, text in sorted(reading.problems))
    return book


class _Reading:
    """Reads values of a document and collects what is wrong with them."""

    def __init__(self, lines: Mapping[tuple[str, ...], int]) -> None:
        self.problems: list[tuple[int, str]] = []
        self._lines = lines

    def wrong(self, path: tuple[str, ...], what: str) -> None:
        known = (self._lines.get(path[:length], 0) for length in range(len(path), 0, -1))
        line = next((found for found in known if found), 0)
        where = f"line {line}: " if line else ""
        self.problems.append((line, f"{where}{'.'.join(map(_key, path))}: {what}"))

    def value(self, path: tuple[str, ...], read: Callable[[Any], Any], value: Any) -> Any:
        """The value, or None if it cannot be read."""
        try:
            return read(value)
        except ValueError as error:
            self.wrong(path, str(error))
            return None

    def table(
        self, path: tuple[str, ...], value: Any, known: Iterable[str] | None = None
    ) -> Mapping[str, Any] | None:
        """A table; with `known` without the keys that are not among them."""
        if not isinstance(value, dict):
            self.wrong(path, f"this must be a table, written as [{'.'.join(map(_key, path))}]")
            return None
        if known is None:
            return value
        known = tuple(known)
        for key in value.keys() - set(known):
            near = _near(key, known) or f": there is {', '.join(known)}"
            self.wrong((*path, key), f"there is no such key{near}")
        return {key: value[key] for key in value if key in known}

    def entries(
        self, path: tuple[str, ...], table: Mapping[str, Any], read: Callable[[Any], str]
    ) -> Iterator[tuple[str, tuple[str, ...], Any]]:
        """Each entry as (name, path, value), its key read. Wrong keys, and keys that come twice, are left out."""
        seen = set()
        for key, value in table.items():
            name = self.value((*path, key), read, key)
            if name in seen:
                self.wrong((*path, key), "this is there twice, written in two ways")
            elif name is not None:
                seen.add(name)
                yield name, (*path, key), value

    def fields(
        self, path: tuple[str, ...], value: Any, known: Mapping[str, Callable[[Any], Any]]
    ) -> dict[str, Any] | None:
        """A table of named values, each read in its own way. Wrong values are left out."""
        table = self.table(path, value, known)
        if table is None:
            return None
        read = {key: self.value((*path, key), known[key], one) for key, one in table.items()}
        return {key: one for key, one in read.items() if one is not None}


def _queues(reading: _Reading, table: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: one.read for name, one in FIELDS.items()}
    queues: dict[str, Mapping[str, Any]] = {DEFAULT: {}}
    for name, path, value in reading.entries(("queue",), table, queue_name):
        queues[name] = reading.fields(path, value, known) or {}
    return {"queues": queues}


def _numbers(reading: _Reading, table: Mapping[str, Any]) -> dict[str, Any]:
    known = {"queue": queue_name, "language": skill_name, "label": label}
    return {
        "numbers": {
            name: Number(name, **(reading.fields(path, value, known) or {}))
            for name, path, value in reading.entries(("number",), table, number)
        }
    }


def _members(reading: _Reading, table: Mapping[str, Any]) -> dict[str, Any]:
    members = []
    for queue, path, value in reading.entries(("member",), table, queue_name):
        of_queue = reading.table(path, value) or {}
        for name, own, given in reading.entries(path, of_queue, agent):
            members.append(Member(name, queue, reading.value(own, penalty, given) or 0))
    return {"members": in_order(members)}


def _agents_skills(reading: _Reading, table: Mapping[str, Any]) -> dict[str, Any]:
    skills = {}
    for name, path, value in reading.entries(("skill",), table, agent):
        own = reading.table(path, value) or {}
        skills[name] = {
            skill: reading.value(where, level, given)
            for skill, where, given in reading.entries(path, own, skill_name)
        }
    return {"skills": {name: own for name, own in skills.items() if own}}


def _flags(reading: _Reading, table: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Callable[[Any], Any]] = {"priority": flag_priority, "note": note}
    return {
        "flags": {
            name: Flag(name, **(reading.fields(path, value, known) or {}))
            for name, path, value in reading.entries(("flag",), table, caller)
        }
    }


def _hours(reading: _Reading, table: Mapping[str, Any]) -> dict[str, Any]:
    hours: dict[str, dict[str, str]] = {}
    for name, path, value in reading.entries(("hours",), table, queue_name):
        own = reading.table(path, value) or {}
        read = {
            which: reading.value((*path, which), partial(opening, which), times)
            for which, times in own.items()
        }
        hours[name] = {which: times for which, times in read.items() if times is not None}
    return {"hours": hours}


def _pauses(reading: _Reading, table: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Callable[[Any], Any]] = {"name": label, "minutes": pause_minutes}
    pauses = []
    for key, path, value in reading.entries(("pause",), table, pause_key):
        given = reading.fields(path, value, known) or {}
        if not given.get("name"):
            reading.wrong(path, 'its name is missing: name = "…"')
            continue
        pauses.append(Pause(key, **given))
    return {"pauses": tuple(sorted(pauses, key=lambda pause: pause.key))}


_SECTIONS: Mapping[str, Callable[[_Reading, Mapping[str, Any]], dict[str, Any]]] = {
    "queue": _queues,
    "number": _numbers,
    "member": _members,
    "skill": _agents_skills,
    "flag": _flags,
    "hours": _hours,
    "pause": _pauses,
}

_HEAD = """\
# The rules of distribution. Change them here, then: hotline queue import THIS-FILE
# A section (queue, number, member, skill, flag, hours, pause) that this file has replaces the whole section; one that
# it has not stays as it is. Nothing is changed when anything is wrong.
#
# A queue sets what is its own. What it does not set comes from the settings (ring_time, wrap_up_time, longest_wait) or
# is the program's default. It may set:"""


def in_order(members: Iterable[Member]) -> tuple[Member, ...]:
    """Members by queue and agent."""
    return tuple(sorted(members, key=lambda member: (member.queue, member.agent)))


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """The line on which each table and key begins. For text that this cannot follow, problems name no line."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for count, line in enumerate(text.split("\n"), 1):
        try:
            if line.lstrip().startswith("["):
                table = _path(tomllib.loads(line))
                found.setdefault(table, count)
            elif "=" in line:
                key = line.partition("=")[0]
                found.setdefault((*table, *_path(tomllib.loads(f"{key} = 0"))), count)
        except tomllib.TOMLDecodeError:
            continue
    return found


def _path(document: Any) -> tuple[str, ...]:
    path: tuple[str, ...] = ()
    while isinstance(document, dict) and document:
        ((key, document),) = document.items()
        path = (*path, key)
    return path


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(name)} = {_value(one)}" for name, one in sorted(value.items()))
        return f"{{ {inside} }}" if inside else "{}"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """A basic string. TOML has the escapes of JSON, and wants DEL escaped, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=2)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
