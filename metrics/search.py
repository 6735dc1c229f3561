"""Search among calls, newest first and a page at a time; and the whole story of one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, and_, cast, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from diary import reader, tables
from facts import CallArrived, CallQueued, Fact, OfferAnswered
from facts.numbers import normalise
from facts.terms import CallId, Outcome
from metrics.calls import CallRow, as_json, recordings
from metrics.fold import record_of

SCANNED = 2000
"""Calls that one page examines at most. Such a page may be short, and still says where to go on."""


@dataclass(frozen=True, slots=True)
class CallSearch:
    """Which calls to find. `since` ≤ arrived < `until` (microseconds); empty is any. `caller`: a number, or its end."""

    since: int
    until: int
    caller: str = ""
    number: str = ""
    agent: str = ""
    queue: str = ""
    outcome: Outcome | None = None


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
        for row in rows:
            scanned += 1
            after = (row.at, row.id)
            record = record_of(facts.get(row.call, ()))
            if record is None or record.arrived != row.at:
                continue  # the arrival was reported twice; the other row shows this call
            if wanted.outcome is not None and record.outcome is not wanted.outcome:
                continue
            found.append(as_json(record, lengths.get(row.call)))
            if len(found) >= limit:
                return CallPage(found, after)
        if len(rows) < _ROWS:
            return CallPage(found, None)
    return CallPage(found, after)


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
    question = (
        select(rows.call, rows.at, rows.id)
        .where(rows.kind == CallArrived.kind, rows.at >= wanted.since, rows.at < wanted.until)
        .order_by(rows.at.desc(), rows.id.desc())
        .limit(_ROWS)
    )
    if after is not None:
        at, row = after
        question = question.where(rows.at <= at, or_(rows.at < at, rows.id < row))
    # The details are JSON text in both databases, so LIKE works in both. It may match another field by chance.
    more = cast(rows.more, Text)
    if wanted.caller:
        given = normalise(wanted.caller) or wanted.caller
        question = question.where(more.like(f'%{_plain(given)}"%', escape="\\"))
    if wanted.number:
        question = question.where(more.like(f'%"{_plain(wanted.number)}"%', escape="\\"))
    if wanted.agent:
        answered = select(rows.call).where(
            rows.kind == OfferAnswered.kind,
            rows.at >= wanted.since,
            rows.agent == wanted.agent,
        )
        question = question.where(rows.call.in_(answered))
    if wanted.queue:
        queued = tables.diary.alias().c
        waits = select(queued.call).where(
            and_(
                queued.kind == CallQueued.kind,
                queued.at >= wanted.since,
                cast(queued.more, Text).like(f'%"{_plain(wanted.queue)}"%', escape="\\"),
            )
        )
        question = question.where(rows.call.in_(waits))
    async with engine.connect() as connection:
        return (await connection.execute(question)).all()


def _plain(text: str) -> str:
    """What LIKE takes literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
