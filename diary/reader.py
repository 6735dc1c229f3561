"""Reading the diary: facts again, in the order of their times, in bounded memory."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import structlog
from sqlalchemy import ColumnElement, Text, and_, cast, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from diary.tables import diary
from facts import (
    CallArrived,
    CallbackPlaced,
    CallEnded,
    CallRefused,
    Fact,
    RecordingFinished,
    RecordingMissing,
    details,
    restore,
)
from facts.terms import CallId

log = structlog.get_logger(__name__)

STORIES = 100
"""Calls whose facts are all read at once, where callers are served in between."""
PAGE = 500
"""Calls whose facts are in memory at once."""
_ROWS = 1000
"""Rows that are read at once; the controller itself reads, and must not stand still for long."""
_WRITER_BITS = 10  # of the diary's ids (diary.writer)

_FIELDS = (
    diary.c.id,
    diary.c.kind,
    diary.c.at,
    diary.c.call,
    diary.c.agent,
    cast(diary.c.more, Text).label("more"),
)


async def read(engine: AsyncEngine, since: int, until: int) -> AsyncGenerator[Fact, None]:
    """All facts with `since` ≤ at < `until` (microseconds), in the order of their times."""
    after = diary.c.at >= since
    while True:
        question = (
            select(*_FIELDS)
            .where(after, diary.c.at < until)
            .order_by(diary.c.at, diary.c.id)
            .limit(_ROWS)
        )
        async with engine.connect() as connection:
            rows = (await connection.execute(question)).all()
        for row_id, kind, at, call, agent, more in rows:
            fact = _fact(row_id, kind, at, call, agent, more)
            if fact is not None:
                yield fact
        if len(rows) < _ROWS:
            return
        after = _beyond(rows[-1])


async def read_kinds(
    engine: AsyncEngine, kinds: Collection[str], since: int, until: int
) -> AsyncGenerator[Fact, None]:
    """The facts of `kinds` with `since` ≤ at < `until` (microseconds), in the order of their times.

    A day at a time, each in one question to the index on (kind, at): for kinds that are few beside all others.
    """
    while since < until:
        end = min(until, since + _DAY)
        question = (
            select(*_FIELDS)
            .where(diary.c.kind.in_(kinds), diary.c.at >= since, diary.c.at < end)
            .order_by(diary.c.at, diary.c.id)
        )
        async with engine.connect() as connection:
            rows = (await connection.execute(question)).all()
        for row in rows:
            fact = _fact(*row)
            if fact is not None:
                yield fact
        since = end


_DAY = 86_400_000_000


async def read_rows(engine: AsyncEngine, ids: Collection[int]) -> list[Fact]:
    """The facts of these rows, in the order of their times."""
    found: list[Fact] = []
    wanted = sorted(ids)
    async with engine.connect() as connection:
        for start in range(0, len(wanted), PAGE):
            question = select(*_FIELDS).where(diary.c.id.in_(wanted[start : start + PAGE]))
            for row in await connection.execute(question):
                fact = _fact(*row)
                if fact is not None:
                    found.append(fact)
    return sorted(found, key=lambda fact: fact.at)


async def heard_at(engine: AsyncEngine, call: CallId, kind: str) -> int | None:
    """When the first fact of this kind about a call was written down (microseconds): after it happened."""
    question = select(func.min(diary.c.id)).where(diary.c.call == call, diary.c.kind == kind)
    async with engine.connect() as connection:
        row: int | None = (await connection.execute(question)).scalar()
    return None if row is None else written_at(row)


def written_at(row_id: int) -> int:
    """When the row with this id was written down (microseconds)."""
    return row_id >> _WRITER_BITS


async def last_heard(engine: AsyncEngine, before: int) -> int | None:
    """The time of the newest fact that a controller wrote `before` (microseconds), or None if there is none."""
    recorder = (RecordingFinished.kind, RecordingMissing.kind)
    written = (diary.c.id < before << _WRITER_BITS, diary.c.kind.not_in(recorder))
    question = select(diary.c.at).where(*written).order_by(diary.c.id.desc())
    async with engine.connect() as connection:
        at: int | None = (await connection.execute(question.limit(1))).scalar()
    return at


async def read_calls(
    engine: AsyncEngine,
    arrived_after: int,
    arrived_until: int,
    *,
    kinds: Collection[str] | None = None,
    newest_first: bool = False,
    attempts: bool = False,
) -> AsyncGenerator[Sequence[Fact], None]:
    """The calls with `arrived_after` < arrived ≤ `arrived_until` (microseconds): of each, all its facts.

    A call's facts may be later than the window. Calls come in the order of their arrivals, their facts in the order
    of their times. `kinds`: leave out facts of other kinds; CallArrived must be one of them. `attempts`: also attempts
    of callbacks that were placed in that time; their ids are all read at once, so ask for a day or so.
    """
    first = (CallArrived.kind, *([CallbackPlaced.kind] if attempts else []))
    within = and_(
        diary.c.kind.in_(first),
        diary.c.at > arrived_after,
        diary.c.at <= arrived_until,
    )
    order = (diary.c.at.desc(), diary.c.id.desc()) if newest_first else (diary.c.at, diary.c.id)
    question = select(diary.c.call, diary.c.id, diary.c.at).where(within).order_by(*order)
    after: ColumnElement[bool] = true()
    whole: deque[Any] = deque()
    if attempts:
        # Two kinds come in the order of time only when they are sorted: once, not for every page.
        async with engine.connect() as connection:
            whole.extend((await connection.execute(question)).all())
    while True:
        async with engine.connect() as connection:
            if attempts:
                arrivals = [whole.popleft() for _ in range(min(PAGE, len(whole)))]
            else:
                arrivals = list((await connection.execute(question.where(after).limit(PAGE))).all())
            calls = await _facts_of(connection, [row.call for row in arrivals], kinds)
        for call, row_id, _ in arrivals:
            # An arrival may be told twice, by AMI and by CEL: the first row of it stands for the call.
            if call in calls and calls[call].arrival == row_id:
                yield calls[call].facts
        if len(arrivals) < PAGE:
            return
        after = _beyond(arrivals[-1], backwards=newest_first)


async def open_calls(
    engine: AsyncEngine, arrived_after: int
) -> AsyncGenerator[Sequence[Fact], None]:
    """The calls that arrived after `arrived_after` (microseconds) and have no known end: of each, all its facts."""
    # The end of a call may be told by another clock than its arrival.
    arrived = select(diary.c.call).where(
        diary.c.kind == CallArrived.kind, diary.c.at > arrived_after
    )
    ended = select(diary.c.call).where(
        diary.c.kind.in_((CallEnded.kind, CallRefused.kind)),
        diary.c.at > arrived_after - _CLOCKS_DIFFER,
    )
    async with engine.connect() as connection:
        calls = sorted((await connection.execute(arrived.except_(ended))).scalars())
    for start in range(0, len(calls), STORIES):
        page = calls[start : start + STORIES]
        async with engine.connect() as connection:
            found = await _facts_of(connection, page, None)
        for call in page:
            if call in found:
                yield found[call].facts


async def read_stories(
    engine: AsyncEngine, calls: Sequence[CallId]
) -> dict[CallId, Sequence[Fact]]:
    """All facts of these calls (at most `PAGE` of them), of each in the order of their times."""
    async with engine.connect() as connection:
        found = await _facts_of(connection, calls, None)
    return {call: known.facts for call, known in found.items()}


_CLOCKS_DIFFER = 60_000_000


def _beyond(last: Any, *, backwards: bool = False) -> ColumnElement[bool]:
    """What comes after this row in the order of (at, id); the first condition is for the index."""
    at, row_id = diary.c.at, diary.c.id
    if backwards:
        return and_(at <= last.at, or_(at < last.at, row_id < last.id))
    return and_(at >= last.at, or_(at > last.at, row_id > last.id))


@dataclass(slots=True)
class _Call:
    """Facts of one call, and the row of its first arrival (0: none)."""

    facts: list[Fact]
    arrival: int = 0


async def _facts_of(
    connection: AsyncConnection, calls: Sequence[CallId], kinds: Collection[str] | None
) -> dict[CallId, _Call]:
    found: dict[CallId, _Call] = {}
    if not calls:
        return found
    # The kinds are sorted out here: asked for in SQL, SQLite would take the index on them, and read years.
    question = select(*_FIELDS).where(diary.c.call.in_(calls)).order_by(diary.c.at, diary.c.id)
    for row_id, kind, at, call, agent, more in await connection.execute(question):
        if kinds is not None and kind not in kinds:
            continue
        fact = _fact(row_id, kind, at, call, agent, more)
        if fact is None:
            continue
        known = found.get(call)
        if known is None:
            known = found[call] = _Call([])
        known.facts.append(fact)
        if not known.arrival and kind in _FIRST:
            known.arrival = row_id
    return found


_FIRST = frozenset({CallArrived.kind, CallbackPlaced.kind})


def _fact(row_id: int, kind: str, at: int, call: str, agent: str, more: str) -> Fact | None:
    """A row as a fact; None, and a line in the log, when a newer or a damaged program wrote it."""
    try:
        make, has_call, has_agent, values = _maker(kind, more)
        # By name: a fact about a callback has its task before its call.
        if has_agent:
            if has_call:
                return make(at=at, call=call, agent=agent, **values)
            return make(at=at, agent=agent, **values)
        return make(at=at, call=call, **values) if has_call else make(at=at, **values)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        log.warning("diary.unreadable", row=row_id, kind=kind, error=type(error).__name__)
        return None


@lru_cache(maxsize=4096)
def _maker(kind: str, more: str) -> tuple[Callable[..., Fact], bool, bool, dict[str, Any]]:
    """How to make the facts of this kind that have these details: most rows share theirs with many others."""
    sample = restore(kind, 0, "", "", orjson.loads(more))
    return type(sample), hasattr(sample, "call"), hasattr(sample, "agent"), details(sample)
