"""What is stored about one number, and what forbids to erase it."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Text, cast, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.entry import OPEN
from acd.callbacks.tables import callback
from acd.rules import book as rulebook
from acd.rules.tables import blocked, caller_flag
from agents import roster
from base import clock
from base.settings import Settings
from diary.tables import diary
from facts import CallArrived, CallbackAdded
from facts.ids import callback_of, in_attempts_of, is_attempt
from facts.live import Json
from facts.numbers import normalise, written_forms
from facts.terms import CallId
from facts.times import DAY, local
from privacy import texts
from quality.tables import assessment, event
from recorder import deletion, ledger, marks
from recorder import tables as recorder_tables
from recorder.entry import LedgerEntry
from web.accounts.tables import audit

PAGE: Final = 1000
"""Rows of the diary that are looked at in one statement."""
SHORTEST: Final = 7
"""Digits of the shortest number that is looked for: a shorter one is in too many other things."""
WAITS: Final = DAY
"""How long after a call the number stays in what runs: screens, figures of the last 24 hours, queues of facts."""
MOST_LOOKS: Final = 1000
"""Entries of the audit log in a report, the newest ones."""


class PrivacyError(Exception):
    """The number cannot be looked for or erased. The message says why, and names no number."""


@dataclass(frozen=True, slots=True)
class DiaryTrace:
    """A row of the diary in which the number is."""

    id: int
    at: int
    kind: str
    call: CallId
    more: Mapping[str, Json]


@dataclass(slots=True)
class Traces:
    """What is stored about a number. `facts`: rows of the diary; `texts`: how often it is in which file.

    `marks`: notes of listeners in these recordings. `mentions`: callbacks of others whose texts name it.
    `assessments` of its calls: (id, state). `notes`: steps of assessments whose texts name it.
    `looks`: who looked at these calls and callbacks, from the audit log: (at, who, action).
    """

    number: str
    calls: list[tuple[CallId, int]] = field(default_factory=list)
    recordings: list[LedgerEntry] = field(default_factory=list)
    marks: int = 0
    callbacks: list[tuple[int, str]] = field(default_factory=list)
    mentions: list[tuple[int, str]] = field(default_factory=list)
    assessments: list[tuple[int, str]] = field(default_factory=list)
    notes: int = 0
    facts: int = 0
    flags: int = 0
    blocks: int = 0
    texts: dict[str, int] = field(default_factory=dict)
    packed: list[str] = field(default_factory=list)
    looks: list[tuple[int, str, str]] = field(default_factory=list)
    newest: int = 0

    @property
    def kept(self) -> list[LedgerEntry]:
        """The recordings whose files are not deleted."""
        return [entry for entry in self.recordings if entry.path and not entry.certificate]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to erase."""
        return not (
            self.facts
            or self.callbacks
            or self.mentions
            or self.notes
            or self.flags
            or self.blocks
            or self.texts
            or self.kept
        )


async def wanted(engine: AsyncEngine, settings: Settings, number: str) -> str:
    """A citizen's number in normal form, however it is written. Raises `PrivacyError` for one that is none."""
    normal = normalise(number)
    if len(normal.lstrip("+")) < SHORTEST or not normal.lstrip("+").isdigit():
        raise PrivacyError(
            f"write a citizen's whole number, with its area code: {SHORTEST} digits or more"
        )
    book = await rulebook.read(engine)
    own = {normalise(one) for one in (*settings.numbers, *book.numbers)}
    own |= {normalise(agent.number) for agent in await roster.list_all(engine)}
    if normal in own:
        raise PrivacyError("this is a number of the hotline or of an agent, and no citizen's")
    return normal


async def traces(engine: AsyncEngine, settings: Settings, number: str) -> Traces:
    """Everything about a number in normal form. Raises `OSError` for a log that cannot be read."""
    found = Traces(number)
    tasks: set[int] = set()
    calls: dict[CallId, int] = {}
    async for trace in in_diary(engine, number):
        found.facts += 1
        found.newest = max(found.newest, trace.at)
        if trace.kind == CallArrived.kind and is_number(trace.more.get("caller"), number):
            calls[trace.call] = trace.at
        if trace.kind == CallbackAdded.kind and is_number(trace.more.get("number"), number):
            tasks.add(int(str(trace.more["callback"])))
    form = written_forms(number)
    columns = callback.c
    told = (columns.number, columns.reason, columns.matter)
    rows = select(columns.id, columns.state, columns.updated_at, *told).where(
        or_(columns.id.in_(tasks), *(column.contains(number[-ENDING:]) for column in told))
    )
    async with engine.connect() as connection:
        for row in (await connection.execute(rows.order_by(columns.id))).all():
            if row.id in tasks or is_number(row.number, number):
                tasks.add(row.id)
                found.callbacks.append((row.id, row.state))
                found.newest = max(found.newest, row.updated_at)
            elif holds([row.reason, row.matter], number, form):
                found.mentions.append((row.id, row.state))
        for table in (caller_flag, blocked):
            question = select(table.c.caller).where(table.c.caller == number)
            there = len((await connection.execute(question)).all())
            if table is caller_flag:
                found.flags = there
            else:
                found.blocks = there
    calls |= await _attempts(engine, tasks)
    found.calls = sorted(calls.items(), key=lambda one: one[1])
    found.recordings = await recordings(engine, list(calls))
    found.assessments = await _assessments(engine, list(calls))
    found.notes = await _notes(engine, number, form)
    found.marks = sum([len(await marks.find_all(engine, call)) for call in calls])
    for file in texts.files(settings):
        if times := await asyncio.to_thread(texts.count, file, form):
            found.texts[str(file.relative_to(settings.root))] = times
    found.packed = [str(file.relative_to(settings.root)) for file in texts.packed(settings)]
    numbers = {str(one) for one, _ in found.assessments}
    found.looks = await _looks(engine, set(calls), tasks, numbers)
    return found


async def forbids(engine: AsyncEngine, settings: Settings, found: Traces) -> list[str]:
    """Why the number cannot be erased now, a sentence each."""
    now = clock.now()
    why = []
    if found.newest > now - WAITS:
        until = f"{local(found.newest + WAITS):%Y-%m-%d %H:%M}"
        why.append(
            "the last call or callback is less than a day old, and what runs still holds its number: wait until "
            f"{until}"
        )
    held = await deletion.holds(engine, now, [call for call, _ in found.calls])
    why += [
        f"a hold forbids it: call {call}: {one.reason}"
        + (f" ({one.reference})" if one.reference else "")
        for call, one in sorted(held.items())
    ]
    why += [
        f"callback {task} is open: cancel it first (hotline callback cancel {task})"
        for task, state in (*found.callbacks, *found.mentions)
        if state in {one.value for one in OPEN}
    ]
    why += [
        f"the recording of call {call} is not finished: does `hotline recorder` run?"
        for call, _ in found.calls
        if (settings.spool_dir / f"{call}.raw").exists()
    ]
    if found.number in await rulebook.blocked(engine, now):
        why.append("the caller is blocked: let them through first (hotline queue block remove)")
    form = written_forms(found.number)
    waiting = [
        file.name for file in sorted(settings.run_dir.glob("*.jsonl")) if texts.count(file, form)
    ]
    why += [f"run/{name} has facts that wait for the database: try again later" for name in waiting]
    return why


async def in_diary(engine: AsyncEngine, number: str) -> AsyncGenerator[DiaryTrace]:
    """The rows of the diary in which the number is, in whatever form, oldest row first."""
    form, last = written_forms(number), -1
    details = cast(diary.c.more, Text)
    while True:
        question = (
            select(diary.c.id, diary.c.at, diary.c.kind, diary.c.call, diary.c.more)
            .where(diary.c.id > last, details.contains(number[-ENDING:]))
            .order_by(diary.c.id)
            .limit(PAGE)
        )
        async with engine.connect() as connection:
            rows = (await connection.execute(question)).all()
        for row in rows:
            if holds(row.more, number, form):
                yield DiaryTrace(*row)
        if len(rows) < PAGE:
            return
        last = rows[-1].id


ENDING: Final = 3
"""The last digits of a number: in every form they stand together."""


def holds(value: object, number: str, form: re.Pattern[str]) -> bool:
    """Whether the number is in a value of JSON."""
    if isinstance(value, dict):
        return any(holds(one, number, form) for one in value.values())
    if isinstance(value, list):
        return any(holds(one, number, form) for one in value)
    return isinstance(value, str) and (is_number(value, number) or bool(form.search(value)))


def is_number(value: object, number: str) -> bool:
    """Whether a field is this number, in any form."""
    return isinstance(value, str) and len(value) <= 40 and normalise(value) == number


async def _attempts(engine: AsyncEngine, tasks: set[int]) -> dict[CallId, int]:
    """The attempts of these callbacks, and when each was first told of."""
    found: dict[CallId, int] = {}
    for task in tasks:
        question = select(diary.c.call, diary.c.at).where(
            diary.c.call.contains(in_attempts_of(task))
        )
        recorded = select(recorder_tables.recording.c.call, recorder_tables.recording.c.finished_at)
        recorded = recorded.where(recorder_tables.recording.c.call.contains(in_attempts_of(task)))
        async with engine.connect() as connection:
            for each in (question, recorded):
                for call, at in await connection.execute(each):
                    if is_attempt(call) and callback_of(call) == task:
                        found[call] = min(at, found.get(call, at))
    return found


async def recordings(engine: AsyncEngine, calls: list[CallId]) -> list[LedgerEntry]:
    """The rows of the ledger of these calls."""
    entries = await ledger.look_up(engine, calls)
    return [entries[call] for call in sorted(entries)]


async def _assessments(engine: AsyncEngine, calls: list[CallId]) -> list[tuple[int, str]]:
    columns = assessment.c
    found: list[tuple[int, str]] = []
    async with engine.connect() as connection:
        for start in range(0, len(calls), PAGE):
            page = columns.call.in_(calls[start : start + PAGE])
            question = select(columns.id, columns.state).where(page).order_by(columns.id)
            found += [(row.id, row.state) for row in await connection.execute(question)]
    return found


async def _notes(engine: AsyncEngine, number: str, form: re.Pattern[str]) -> int:
    told = (event.c.text, event.c.sheet)
    question = select(*told).where(or_(*(column.contains(number[-ENDING:]) for column in told)))
    async with engine.connect() as connection:
        rows = await connection.execute(question)
        return sum(holds([row.text, row.sheet], number, form) for row in rows)


async def _looks(
    engine: AsyncEngine, calls: set[CallId], tasks: set[int], assessments: set[str]
) -> list[tuple[int, str, str]]:
    """Who looked at these calls, callbacks and assessments. Masked searches fit other numbers, too: left out."""
    columns = audit.c
    question = (
        select(columns.at, columns.who, columns.action, columns.target)
        .where(
            or_(
                columns.target.in_(calls),
                columns.action.contains("callback")
                & columns.target.in_({str(one) for one in tasks}),
                columns.action.contains("quality") & columns.target.in_(assessments),
            )
        )
        .order_by(columns.at.desc())
        .limit(MOST_LOOKS)
    )
    async with engine.connect() as connection:
        return [(row.at, row.who, row.action) for row in await connection.execute(question)]
