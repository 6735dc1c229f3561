"""Search among calls or recordings, newest first and a page at a time; and the whole story of one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.tables import callback
from diary import reader, tables
from facts import CallArrived, CallbackPlaced, CallQueued, Fact, OfferAnswered
from facts.ids import callback_of
from facts.numbers import normalise
from facts.terms import CallId, Outcome
from metrics.calls import CallRow, as_json, attempt_json, recordings
from metrics.fold import attempt_of, record_of
from recorder.tables import recording

SCANNED = 2000
"""Calls that one page examines at most. Such a page may be short, and still says where to go on."""


@dataclass(frozen=True, slots=True)
class RecordedFor:
    """A recording's length: `shortest` ≤ length ≤ `longest` (microseconds)."""

    shortest: int = 0
    longest: int = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CallSearch:
    """Which calls to find. `since` ≤ arrived < `until` (microseconds); empty is any. `caller`: a number, or its end.

    `recorded`: only those with a recording that was not deleted, of this length. Attempts of callbacks are found then,
    too: `caller` is the citizen, `arrived` the moment at which the agent's phone was rung.
    """

    since: int
    until: int
    caller: str = ""
    number: str = ""
    agent: str = ""
    queue: str = ""
    outcome: Outcome | None = None
    disposition: str = ""
    recorded: RecordedFor | None = None


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls as `metrics.calls.list_calls` gives them, newest first; `after`: where the next page begins, or None."""

    calls: list[CallRow]
    after: tuple[int, int] | None


async def search(
    engine: AsyncEngine, wanted: CallSearch, limit: int, after: tuple[int, int] | None = None
) -> CallPage:
    """The newest calls that match, at most `limit`; with `after` (an earlier page's) the ones behind that page."""
    found: list[CallRow] = []
    scanned = 0
    while scanned < SCANNED:
        rows = await _arrivals(engine, wanted, after)
        if not rows:
            return CallPage(found, None)
        facts = await reader.read_stories(engine, [row.call for row in rows])
        lengths = await recordings(engine, [row.call for row in rows])
        tasks = await _tasks(engine, [row.call for row in rows])
        for row in rows:
            scanned += 1
            after = (row.at, row.id)
            told = facts.get(row.call, ())
            length = lengths.get(row.call)
            if row.kind == CallbackPlaced.kind:
                shown = _attempt(wanted, row.at, told, length, tasks.get(callback_of(row.call)))
            else:
                shown = _call(wanted, row.at, told, length)
            if shown is not None:
                found.append(shown)
            if len(found) >= limit:
                return CallPage(found, after)
        if len(rows) < _ROWS:
            return CallPage(found, None)
    return CallPage(found, after)


async def search_all(
    engine: AsyncEngine, wanted: CallSearch, limit: int
) -> tuple[list[CallRow], bool]:
    """The newest `limit` calls that match, however many are examined for them; and whether there are more."""
    found: list[CallRow] = []
    after: tuple[int, int] | None = None
    while True:
        page = await search(engine, wanted, limit + 1 - len(found), after)
        found += page.calls
        after = page.after
        if after is None or len(found) > limit:
            return found[:limit], len(found) > limit


def _call(
    wanted: CallSearch, at: int, facts: Sequence[Fact], length: float | None
) -> CallRow | None:
    """The call that arrived then; None if it is another one than is wanted."""
    record = record_of(facts)
    if record is None or record.arrived != at:
        return None  # the arrival was reported twice; the other row shows this call
    if wanted.outcome is not None and record.outcome is not wanted.outcome:
        return None
    shown = as_json(record, length)
    if wanted.disposition and shown["disposition"] != wanted.disposition:
        return None
    return shown


def _attempt(
    wanted: CallSearch, at: int, facts: Sequence[Fact], length: float | None, task: Any
) -> CallRow | None:
    """The attempt that was placed then. `task`: the row of its callback, or None."""
    record = attempt_of(facts)
    if record is None or record.arrived != at:
        return None
    number, queue = (task.number, task.queue) if task is not None else ("", "")
    if wanted.caller and not number.endswith(normalise(wanted.caller) or wanted.caller):
        return None
    if wanted.queue and queue != wanted.queue:
        return None
    return attempt_json(record, number, length)


async def _tasks(engine: AsyncEngine, calls: Sequence[CallId]) -> dict[int, Any]:
    """Number and queue of the callbacks to which attempts among `calls` belong."""
    ids = {callback_of(call) for call in calls} - {0}
    if not ids:
        return {}
    question = select(callback.c.id, callback.c.number, callback.c.queue).where(
        callback.c.id.in_(ids)
    )
    async with engine.connect() as connection:
        return {row.id: row for row in await connection.execute(question)}


async def story(engine: AsyncEngine, call: CallId) -> tuple[CallRow | None, list[Fact]]:
    """One call as `list_calls` gives it, or None, and every fact about it, oldest first."""
    facts = list((await reader.read_stories(engine, [call])).get(call, []))
    record = record_of(facts)
    if record is None:
        return None, facts
    lengths = await recordings(engine, [call])
    return as_json(record, lengths.get(call)), facts


_ROWS = 200


async def _arrivals(
    engine: AsyncEngine, wanted: CallSearch, after: tuple[int, int] | None
) -> Sequence[Any]:
    rows = tables.diary.c
    of_calls = and_(rows.kind == CallArrived.kind, *_about_calls(wanted))
    if wanted.recorded is None:
        question = select(rows.kind, rows.call, rows.at, rows.id).where(of_calls)
    else:
        lengths = recording.c.duration.between(wanted.recorded.shortest, wanted.recorded.longest)
        heard = exists().where(
            recording.c.call == rows.call,
            recording.c.path != "",
            recording.c.certificate == 0,
            lengths,
        )
        of_any = or_(of_calls, *_about_attempts(wanted))
        question = select(rows.kind, rows.call, rows.at, rows.id).where(of_any, heard)
    question = (
        question.where(rows.at >= wanted.since, rows.at < wanted.until)
        .order_by(rows.at.desc(), rows.id.desc())
        .limit(_ROWS)
    )
    if after is not None:
        at, row = after
        question = question.where(rows.at <= at, or_(rows.at < at, rows.id < row))
    async with engine.connect() as connection:
        return (await connection.execute(question)).all()


def _about_calls(wanted: CallSearch) -> list[ColumnElement[bool]]:
    """What is wanted of a call, for the row of its arrival."""
    rows = tables.diary.c
    # The details are JSON text in both databases, so LIKE works in both. It may match another field by chance.
    more = cast(rows.more, Text)
    found: list[ColumnElement[bool]] = []
    if wanted.caller:
        given = normalise(wanted.caller) or wanted.caller
        found.append(more.like(f'%{_plain(given)}"%', escape="\\"))
    if wanted.number:
        found.append(more.like(f'%"{_plain(wanted.number)}"%', escape="\\"))
    if wanted.agent:
        other = tables.diary.alias().c
        answered = select(other.call).where(
            other.kind == OfferAnswered.kind,
            other.at >= wanted.since,
            other.agent == wanted.agent,
        )
        found.append(rows.call.in_(answered))
    if wanted.queue:
        queued = tables.diary.alias().c
        waits = select(queued.call).where(
            and_(
                queued.kind == CallQueued.kind,
                queued.at >= wanted.since,
                cast(queued.more, Text).like(f'%"{_plain(wanted.queue)}"%', escape="\\"),
            )
        )
        found.append(rows.call.in_(waits))
    return found


def _about_attempts(wanted: CallSearch) -> list[ColumnElement[bool]]:
    """The same for the row of an attempt's placing; empty if no attempt can be wanted."""
    if wanted.number or wanted.outcome is not None or wanted.disposition:
        return []
    rows = tables.diary.c
    placed = rows.kind == CallbackPlaced.kind
    return [and_(placed, rows.agent == wanted.agent) if wanted.agent else placed]


def _plain(text: str) -> str:
    """What LIKE takes literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
