"""Roll-ups: the figures of slots of five minutes, hours and days, written down, so that a year is read in seconds.

Every writer of facts marks their calls as changed, in the same transaction (`diary.writer.changes`). `bring_up_to_date`
folds the slots of marked calls again, writes the difference into slot, hour and day, and removes the marks. So late
facts correct what was written, and nothing depends on when, or how often, it runs. The recorder's process runs it every
minute, and a report runs it first, too. `gather` reads the roll-ups, and folds what is still marked from the facts
themselves: a report is never behind the diary.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import orjson
import structlog
from sqlalchemy import bindparam, delete, func, insert, literal_column, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from acd.callbacks import tables as callbacks_tables
from acd.callbacks.entry import KINDS as TASK_KINDS
from acd.rules import book as rulebook
from acd.rules.model import DEFAULT
from base import clock, database
from base.background import within
from base.outage import Outage
from diary import reader
from diary import tables as diary_tables
from facts import ATTENDANCE_KINDS, Fact
from facts.times import DAY, MINUTE, day_of
from metrics import condensed, people, traits
from metrics import tables as metrics_tables
from metrics.callbacks import InboundFirst, Wait, waits_of
from metrics.fold import KINDS, CallRecord, Item, item_of
from metrics.rows import claim, row_of, version_of
from metrics.sums import (
    ALL,
    ATTENDANCE,
    DAYS,
    HOUR,
    HOURS,
    SLOT,
    SLOTS,
    Key,
    Only,
    Span,
    Sums,
    begin_of,
    end_of,
    end_of_month,
    minutes_of,
    pieces,
    spans,
)
from metrics.window import Rolling, Tally

log = structlog.get_logger(__name__)

QUIET = MINUTE
"""Microseconds: a slot is written down when it has been over for this long, and most of its calls have ended."""

AGENTS_KEPT = 8 * DAY
"""Microseconds: agents' counts are kept by slot for this long; older ones by hour and day only."""

EVERY = 60.0
"""Seconds between two runs beside the controller."""

_MOST = 200_000


async def run(engine: AsyncEngine, stop: asyncio.Event) -> None:
    """Bring the roll-ups up to date every minute, until `stop` is set."""
    away = Outage(log, "rollup.database_away")
    while not stop.is_set():
        try:
            with database.noting(away, effect="reports wait for it, too"):
                await bring_up_to_date(engine, clock.now())
        except Exception:
            log.exception("rollup.failed", effect="reports fold the diary themselves")
        await within(EVERY, stop)


async def bring_up_to_date(engine: AsyncEngine, now: int) -> int:
    """Write down all slots with marked calls that are over. Says how many were written."""
    queue_of = await queues(engine)
    written = 0
    while True:
        async with engine.connect() as connection:
            marks = await _marks(connection)
        hours: dict[int, dict[int, list[tuple[str, int]]]] = {}
        orphans = [
            _unmark(mark.call, mark.stamp)
            for mark in marks
            if mark.at is None
            and mark.stamp < (now - 2 * DAY) << 10  # a diary row's id is its time × 1024
        ]
        for mark in marks:
            if mark.at is None:
                continue  # the arrival may still come
            slot = begin_of(SLOTS, mark.at)
            if slot + SLOT + QUIET <= now:
                slots = hours.setdefault(begin_of(HOURS, mark.at), {})
                slots.setdefault(slot, []).append((mark.call, mark.stamp))
        for hour, slots in sorted(hours.items()):
            written += await _write_hour(engine, hour, slots, queue_of, now)
        if orphans:
            async with engine.begin() as connection:
                await connection.execute(_UNMARK, orphans)
        if len(marks) < _MOST or not hours:
            break
    await _write_attendance(engine, now)
    await condensed.condense(engine, now)
    async with engine.begin() as connection:
        old = (
            metrics_tables.rollup.c.level == SLOTS,
            metrics_tables.rollup.c.begin < begin_of(HOURS, now - AGENTS_KEPT),
        )
        await connection.execute(
            delete(metrics_tables.rollup).where(*old, metrics_tables.rollup.c.agent != "")
        )
    return written


async def queues(engine: AsyncEngine) -> Callable[[str], str]:
    """Which queue a number leads to, by the rules of now."""
    numbers = (await rulebook.read(engine)).numbers
    queue_of = {one.number: one.queue for one in numbers.values()}
    return lambda number: queue_of.get(number, DEFAULT)


async def fold_slots(
    engine: AsyncEngine,
    begin: int,
    end: int,
    queue_of: Callable[[str], str],
    each: Callable[[Item], object] = bool,
) -> AsyncIterator[tuple[int, Sums]]:
    """The figures of (begin, end] from the facts alone, slot by slot: when each began, and its sums.

    `each` is given every record.
    """
    sums, current = Sums(queue_of), begin_of(SLOTS, begin + 1)
    for since, until in pieces(begin, end, DAY):
        async for facts in reader.read_calls(engine, since, until, kinds=_KINDS, attempts=True):
            item = item_of(facts)
            if item is None:
                continue
            each(item)
            slot = begin_of(SLOTS, min(max(item.arrived, since + 1), until))
            if slot != current:
                yield current, sums
                sums, current = Sums(queue_of), slot
            sums.add(item)
            if isinstance(item, CallRecord) and item.reached_queue:
                sums.waits += waits_of(facts)
            if isinstance(item, CallRecord) and not item.origin:
                sums.traits += traits.of_call(item, facts)
    yield current, sums


_KINDS = KINDS | InboundFirst.KINDS

# --- reading


@dataclass(slots=True)
class Gathered:
    """The figures of a stretch. `hours`, when asked for: by the beginning of each hour. `agents`: by number."""

    total: Tally = field(default_factory=Tally)
    by_queue: dict[tuple[str, str], Tally] = field(default_factory=dict)
    hours: dict[int, Tally] = field(default_factory=dict)
    agents: dict[str, Tally] = field(default_factory=dict)

    def put(self, key: Key, tally: Tally, only: Only) -> None:
        """Add what was counted, but not to `hours`."""
        if key.agent:
            if not only.agent or key.agent == only.agent:
                self.agents.setdefault(key.agent, Tally()).merge(tally)
            return
        self.total.merge(tally)
        self.by_queue.setdefault((key.queue, key.number), Tally()).merge(tally)

    def put_hour(self, begin: int, tally: Tally) -> None:
        """Add to `hours` what was counted of all calls in the hour (or slot) that began at `begin`."""
        self.hours.setdefault(begin_of(HOURS, begin + 1), Tally()).merge(tally)


@dataclass(slots=True)
class Folded:
    """A stretch from the facts alone. `rolling` begins a day before its end; `waits_before`: of the time before it."""

    gathered: Gathered = field(default_factory=Gathered)
    rolling: Rolling = field(default_factory=Rolling)
    waits: list[Wait] = field(default_factory=list)
    waits_before: list[Wait] = field(default_factory=list)


async def fold_stretch(
    engine: AsyncEngine,
    since: int,
    until: int,
    *,
    before: int,
    each: Callable[[Item], object],
    tell: Callable[[int, int], object],
) -> Folded:
    """Fold (since, until] once, for everything that is counted there.

    `before`: microseconds before it whose waits are needed, too. `each` is given every record; `tell`, how many minutes
    are done, and of how many.
    """
    queue_of = await queues(engine)
    found = Folded()
    # M1r at the end of the first day needs the 24 hours before it.
    first = min(until, end_of(DAYS, day_of(since + 1)))
    cuts = sorted({first - DAY, since - before, since, until})
    for begin, end in pairwise(cuts):
        async for slot, sums in fold_slots(engine, begin, end, queue_of, each):
            tell((slot - cuts[0]) // MINUTE, (until - cuts[0]) // MINUTE)
            if begin >= since:
                found.waits += sums.waits
            elif begin >= since - before:
                found.waits_before += sums.waits
            for key, tally in sums.tallies.items():
                if not key.agent:
                    _put(found.rolling, slot, tally)
                if begin >= since:
                    found.gathered.put(key, tally, ALL)
                    if not key.agent:
                        found.gathered.put_hour(slot, tally)
    return found


async def gather(
    engine: AsyncEngine,
    since: int,
    until: int,
    only: Only,
    *,
    hours: bool = False,
    agents: bool = False,
    now: int,
    written: bool = True,
    coarsest: int = DAYS,
) -> Gathered:
    """The figures of (since, until]. Without `written`, from the facts alone; else from roll-ups up to `coarsest`."""
    queue_of = await queues(engine)
    found = Gathered()
    dirty = await marked(engine) if written else set()
    plan = spans(since, until, dirty, coarsest=coarsest)
    if not written:
        plan = [Span(0, since, until)]
    kept = begin_of(HOURS, now - AGENTS_KEPT) + HOUR
    people_plan = plan
    if agents and written:
        months = await condensed.agent_months(engine, since, until, dirty, only)
        for month in months.values():
            for key, tally in month:
                found.put(key, tally, only)
        people_plan = [
            span
            for begin, end in condensed.beside(since, until, months)
            for span in spans(begin, end, dirty, coarsest=DAYS, finest_from=kept)
        ]
    for span in plan:
        if span.level:
            async for _, key, tally in _read(engine, span, only, agents=False):
                found.put(key, tally, only)
    # Hours have plans and sums of their own: a year has a few hundred days beside its thousands of hours.
    for span in spans(since, until, dirty, coarsest=HOURS) if hours and written else ():
        if span.level:
            async for begin, _, tally in _read(engine, span, only, agents=False):
                found.put_hour(begin, tally)
    if agents and written:
        for span in people_plan:
            if span.level:
                async for _, key, tally in _read(engine, span, only, agents=True):
                    found.put(key, tally, only)
    raw = {(span.begin, span.end) for span in plan if not span.level}
    raw_people = {(one.begin, one.end) for one in people_plan if not one.level} if agents else set()
    for begin, end in sorted(raw | raw_people):
        async for slot, sums in fold_slots(engine, begin, end, queue_of):
            for key, tally in sums.tallies.items():
                wanted = raw_people if key.agent else raw
                if (begin, end) in wanted and only.takes(key):
                    found.put(key, tally, only)
                    if not key.agent:
                        found.put_hour(slot, tally)
    return found


async def written_slots(engine: AsyncEngine, since: int, until: int) -> dict[int, Tally]:
    """The figures of whole slots in (since, until], by their beginnings: written down, up to date, no call goes on."""
    dirty = await marked(engine)
    found: dict[int, Tally] = {}
    for span in spans(since, until, dirty, coarsest=SLOTS):
        if span.level:
            async for begin, _, tally in _read(engine, span, ALL, agents=False):
                found.setdefault(begin, Tally()).merge(tally)
    return {begin: tally for begin, tally in found.items() if not tally.pending}


async def waits(
    engine: AsyncEngine, since: int, until: int, *, written: bool = True
) -> AsyncIterator[Wait]:
    """When callers waited with no phone ringing for them, of the calls that arrived in (since, until]."""
    queue_of = await queues(engine)
    dirty = await marked(engine) if written else set()
    plan = spans(since, until, dirty, coarsest=SLOTS) if written else [Span(0, since, until)]
    row = metrics_tables.long_wait.c
    question = select(row.call, row.number, row.queue, row.begin, row.end).order_by(row.begin)
    for span in plan:
        if not span.level:
            async for _, sums in fold_slots(engine, span.begin, span.end, queue_of):
                for wait in sums.waits:
                    yield wait
            continue
        for begin, end in pieces(span.begin, span.end, 4 * HOUR):
            async with engine.connect() as connection:
                within = question.where(row.slot >= begin, row.slot < end)
                rows = (await connection.execute(within)).all()
            for one in rows:
                yield Wait(*one)


async def minutes(
    engine: AsyncEngine, since: int, until: int, only: Only, *, written: bool = True
) -> AsyncIterator[tuple[int, Rolling]]:
    """M1r, day by day: when each day's end (or `until`) is, and the rolling counts of it and the day before.

    It holds three days in memory, however long the stretch is.
    """
    queue_of = await queues(engine)
    dirty = await marked(engine) if written else set()
    dirty_days = {day_of(slot + 1) for slot in dirty}
    rolling = Rolling()
    begin = since - DAY
    whole: dict[int, condensed.DayMinutes] = {}
    read_until = begin if written else until
    while begin < until:
        if begin >= read_until:
            read_until = begin + _DAYS_OF_MINUTES * DAY
            whole = await condensed.day_minutes(engine, begin, min(read_until, until), only)
        end = min(until, end_of(DAYS, day_of(begin + 1)))
        if begin in whole and end == end_of(DAYS, begin) and begin not in dirty_days:
            day = whole.pop(begin)
            rolling.put_minutes(begin + MINUTE, day.connected, day.counted)
            plan = []
        elif written:
            plan = spans(begin, end, dirty, coarsest=SLOTS)
        else:
            plan = [Span(0, begin, end)]
        for span in plan:
            if span.level:
                async for slot, _, tally in _read(engine, span, only, agents=False):
                    _put(rolling, slot, tally)
                continue
            async for slot, sums in fold_slots(engine, span.begin, span.end, queue_of):
                for key, tally in sums.tallies.items():
                    if not key.agent and only.takes(key):
                        _put(rolling, slot, tally)
        if end > since:
            yield end, rolling
        rolling.forget(end - DAY - MINUTE)
        begin = end


_DAYS_OF_MINUTES = 40
"""Days whose minutes are in memory at once."""


def _put(rolling: Rolling, slot: int, tally: Tally) -> None:
    for minute, (connected, counted) in enumerate(zip(*minutes_of(tally), strict=True), 1):
        if counted:
            rolling.put(slot + minute * MINUTE, connected, counted)


async def _read(
    engine: AsyncEngine, span: Span, only: Only, *, agents: bool
) -> AsyncIterator[tuple[int, Key, Tally]]:
    row = metrics_tables.rollup.c
    question = (
        select(row.begin, row.queue, row.number, row.agent, row.counts)
        .where(row.level == span.level, row.agent != "" if agents else row.agent == "")
        .order_by(row.begin)
    )
    if only.number:
        question = question.where(row.number == only.number)
    if only.queue:
        question = question.where(row.queue == only.queue)
    if agents and only.agent:
        question = question.where(row.agent == only.agent)
    # An hour of slots has a hundred rows or so, a day of agents a thousand; 40 days of either fit into memory.
    for begin, end in pieces(span.begin, span.end, 40 * DAY):
        async with engine.connect() as connection:
            within = question.where(row.begin >= begin, row.begin < end)
            rows = (await connection.execute(within)).all()
        for at, queue, number, agent, counts in rows:
            yield at, Key(queue, number, agent), Tally(counts=orjson.loads(counts))


# --- attendance


async def attendance(
    engine: AsyncEngine, since: int, until: int, *, now: int, written: bool = True
) -> dict[str, Tally]:
    """How long each agent was signed in, and on breaks, in (since, until] (`metrics.people`)."""
    allowed = await breaks(engine)
    found: dict[str, Tally] = {}

    def put(some: Mapping[str, Tally]) -> None:
        for agent, tally in some.items():
            found.setdefault(agent, Tally()).merge(tally)

    raw: list[tuple[int, int]] = []
    begin = since
    last, known, months = await _attended(engine, since, until) if written else (-1, {}, {})
    for month in months.values():
        put({key.agent: tally for key, tally in month})
    while begin < until:
        day = day_of(begin + 1)
        end = min(until, end_of(DAYS, day))
        if begin in months:
            end = end_of_month(begin)
        elif day == begin and day <= last and end == end_of(DAYS, day):
            put(known.get(day, {}))
        elif raw and raw[-1][1] == begin:
            raw[-1] = (raw[-1][0], end)
        else:
            raw.append((begin, end))
        begin = end
    for begin, end in raw:
        for first, last in pieces(begin, end, 10 * DAY):
            put(
                people.attendance(
                    await _attendance_facts(engine, first, last), first, last, allowed
                )
            )
    return found


async def breaks(engine: AsyncEngine) -> dict[str, int]:
    """The centre's reasons of a break, and how many minutes each may last."""
    return {pause.name: pause.minutes for pause in (await rulebook.read(engine)).pauses}


async def state_at(engine: AsyncEngine, at: int) -> list[Fact]:
    """The facts up to `at` (microseconds) that `metrics.live` needs, besides all facts after it.

    They are each agent's last request and last fact about the phone, and all of callbacks that are settled later.
    """
    return [*await _last_words(engine, at), *await _open_tasks(engine, at)]


async def _open_tasks(engine: AsyncEngine, at: int) -> list[Fact]:
    book = callbacks_tables.callback.c
    question = select(book.id, book.added_at).where(
        book.added_at <= at, or_(book.updated_at > at, book.latest > at)
    )
    async with engine.connect() as connection:
        added = {row.id: row.added_at for row in await connection.execute(question)}
    begin = min(added.values(), default=at + 1)
    source = reader.read_kinds(engine, TASK_KINDS, begin, at + 1)
    return [fact async for fact in source if getattr(fact, "callback", 0) in added]


async def _last_words(engine: AsyncEngine, at: int) -> list[Fact]:
    """Each agent's last request and last fact about the phone; of one microsecond, ordered by `people.order`."""
    async with engine.connect() as connection:
        ids = [
            row[0]
            for words in (diary_tables.REQUESTED, diary_tables.PHONE)
            for row in await connection.execute(text(_LAST.format(words)), {"at": at})
        ]
    return await reader.read_rows(engine, ids)


_LAST = """
WITH RECURSIVE one(agent) AS (
    SELECT MIN(agent) FROM diary WHERE {0}
    UNION ALL
    SELECT (SELECT MIN(agent) FROM diary WHERE {0} AND agent > one.agent) FROM one WHERE one.agent IS NOT NULL
), last(id) AS (
    SELECT (
        SELECT id FROM diary WHERE {0} AND agent = one.agent AND at <= :at
        ORDER BY at DESC, kind DESC, id DESC LIMIT 1
    )
    FROM one WHERE one.agent IS NOT NULL
)
SELECT id FROM last WHERE id IS NOT NULL
"""


async def _attendance_facts(engine: AsyncEngine, since: int, until: int) -> list[Fact]:
    """What `people.attendance` needs of (since, until]."""
    facts = await _last_words(engine, since)
    async for fact in reader.read_kinds(engine, ATTENDANCE_KINDS, since + 1, until + 1):
        facts.append(fact)
    return facts


async def _attended(
    engine: AsyncEngine, since: int, until: int
) -> tuple[int, dict[int, dict[str, Tally]], dict[int, condensed.Month]]:
    """What is written down of attendance: its last day that is still right, its days from `since` on, its months.

    The days of those months are left out.
    """
    row, mark = metrics_tables.rollup.c, diary_tables.changed.c
    marked_facts = (
        select(func.min(diary_tables.diary.c.at))
        .join(diary_tables.changed, mark.stamp == diary_tables.diary.c.id)
        .where(mark.call.like("@%"))
    )
    async with engine.connect() as connection:
        # Marks are read before the days. A writer that removes a mark in between has removed its days, too; the other
        # way round, stale days could be read together with no mark.
        late: int | None = await connection.scalar(marked_facts)
        last: int | None = await connection.scalar(
            select(row.begin).where(row.level == ATTENDANCE, row.agent == "")
        )
    if last is None:
        return -1, {}, {}
    if late is not None:
        last = min(last, day_of(late) - 1)
    months = await condensed.attended_months(engine, since, until, last)
    found: dict[int, dict[str, Tally]] = {}
    question = select(row.begin, row.agent, row.counts).where(
        row.level == ATTENDANCE, row.agent != ""
    )
    async with engine.connect() as connection:
        for begin, end in condensed.beside(since, until, months):
            within = question.where(row.begin >= begin, row.begin < end)
            for day, agent, counts in await connection.execute(within):
                found.setdefault(day, {})[agent] = Tally(counts=orjson.loads(counts))
    return last, found, months


async def _write_attendance(engine: AsyncEngine, now: int) -> None:
    """Write down the days that are over. A late fact first removes its day and those after it."""
    row, mark = metrics_tables.rollup.c, diary_tables.changed.c
    version = await version_of(engine)
    async with engine.connect() as connection:
        marks = (
            await connection.execute(
                select(mark.call, mark.stamp, diary_tables.diary.c.at)
                .join(diary_tables.diary, diary_tables.diary.c.id == mark.stamp)
                .where(mark.call.like("@%"))
                .order_by(mark.call)
                .limit(_MOST)
            )
        ).all()
        last = await connection.scalar(
            select(func.max(row.begin)).where(row.level == ATTENDANCE, row.agent == "")
        )
        oldest = await connection.scalar(
            select(func.min(diary_tables.diary.c.at)).where(
                diary_tables.diary.c.kind.in_(ATTENDANCE_KINDS)
            )
        )
    if marks:
        first = day_of(min(one.at for one in marks))
        async with engine.begin() as connection:
            if not await claim(connection, version):
                return
            await connection.execute(
                delete(metrics_tables.rollup).where(row.level == ATTENDANCE, row.begin >= first)
            )
            await condensed.remove_attended(connection, first)
            await connection.execute(_UNMARK, [_unmark(one.call, one.stamp) for one in marks])
            if last is not None and last >= first:
                last = day_of(first)
                marker = row_of(ATTENDANCE, last, Key("", ""), Tally())
                await connection.execute(insert(metrics_tables.rollup), [marker])
        version += 1
    if oldest is not None:
        begin = day_of(oldest) if last is None else end_of(DAYS, last)
        await _write_days(engine, begin, now, version)


async def _write_days(engine: AsyncEngine, begin: int, now: int, version: int) -> None:
    """Write down the attendance of the days from `begin` on that are over; stops when another writer was quicker."""
    row = metrics_tables.rollup.c
    allowed = await breaks(engine)
    while end_of(DAYS, begin) + QUIET <= now:
        days = [begin]
        while len(days) < _DAYS_AT_ONCE and end_of(DAYS, end_of(DAYS, days[-1])) + QUIET <= now:
            days.append(end_of(DAYS, days[-1]))
        end = end_of(DAYS, days[-1])
        facts = await _attendance_facts(engine, begin, end)
        rows = [
            row_of(ATTENDANCE, day, Key("", "", agent), one)
            for day in days
            for agent, one in people.attendance(facts, day, end_of(DAYS, day), allowed).items()
        ]
        rows.append(row_of(ATTENDANCE, days[-1], Key("", ""), Tally()))
        async with engine.begin() as connection:
            if not await claim(connection, version):
                return
            for some in (row.begin >= begin, row.agent == ""):
                await connection.execute(
                    delete(metrics_tables.rollup).where(row.level == ATTENDANCE, some)
                )
            await connection.execute(insert(metrics_tables.rollup), rows)
        version += 1
        begin = end


_DAYS_AT_ONCE = 10


# --- marks, and writing


@dataclass(frozen=True, slots=True)
class _Mark:
    """A call, or an attempt, that has changed, and when it arrived or was placed, if that is known."""

    call: str
    stamp: int
    at: int | None


async def marked(engine: AsyncEngine) -> set[int]:
    """The beginnings of all slots whose roll-ups are not up to date."""
    found: set[int] = set()
    async with engine.connect() as connection:
        for mark in await _marks(connection, most=None):
            if mark.at is not None:
                found.add(begin_of(SLOTS, mark.at))
    return found


async def _marks(connection: AsyncConnection, most: int | None = _MOST) -> list[_Mark]:
    mark, fact = diary_tables.changed.c, diary_tables.diary.c
    # The concatenation keeps SQLite from using the index on `kind`, which would lead it through years of rows.
    kind = fact.kind.op("||")(literal_column("''"))
    arrived = (
        select(func.min(fact.at))
        .where(fact.call == mark.call, kind.in_(["CallArrived", "CallbackPlaced"]))
        .scalar_subquery()
    )
    question = select(mark.call, mark.stamp, arrived.label("at")).where(mark.call.not_like("@%"))
    if most is not None:
        question = question.order_by(mark.call).limit(most)
    rows = (await connection.execute(question)).all()
    return [_Mark(*row) for row in rows]


async def _write_hour(
    engine: AsyncEngine,
    hour: int,
    slots: Mapping[int, Iterable[tuple[str, int]]],
    queue_of: Callable[[str], str],
    now: int,
) -> int:
    """Fold these slots of an hour again and write the difference. Gives how many; 0 when another writer was quicker."""
    version = await version_of(engine)
    in_slots = hour >= begin_of(HOURS, now - AGENTS_KEPT)
    wanted = sorted(slots) if in_slots else [hour + n * SLOT for n in range(12)]
    new: dict[int, Sums] = {}
    for slot in wanted:
        async for _, sums in fold_slots(engine, slot, slot + SLOT, queue_of):
            new[slot] = sums
    async with engine.begin() as connection:
        if not await claim(connection, version):
            return 0
        gone = [_unmark(call, stamp) for marks in slots.values() for call, stamp in marks]
        await connection.execute(_UNMARK, gone)
        await condensed.remove(connection, hour)
        change = Sums(queue_of)
        for slot, sums in new.items():
            old = await _stored(connection, SLOTS, slot, queue_of)
            if in_slots:
                change.merge(old, -1, upwards=True)
                change.merge(sums, upwards=True)
            else:
                change.merge(sums, upwards=True)
                for key in [key for key in sums.tallies if key.agent]:
                    del sums.tallies[key]
            await _store(connection, SLOTS, slot, sums, replace=list(old.tallies))
            await connection.execute(
                delete(metrics_tables.long_wait).where(metrics_tables.long_wait.c.slot == slot)
            )
            await traits.store(connection, slot, slot + SLOT, sums.traits)
            if sums.waits:
                rows = [{"slot": slot, **asdict(wait)} for wait in sums.waits]
                await connection.execute(insert(metrics_tables.long_wait), rows)
        if not in_slots:
            change.merge(await _stored(connection, HOURS, hour, queue_of), -1)
        for level in (HOURS, DAYS):
            begin = begin_of(level, hour + 1)
            stored = await _stored(connection, level, begin, queue_of)
            touched = [key for key in change.tallies if key in stored.tallies]
            stored.merge(change)
            kept = {key: stored.tallies[key] for key in change.tallies if key in stored.tallies}
            await _store(connection, level, begin, Sums(queue_of, kept), replace=touched)
    return len(slots)


async def _stored(
    connection: AsyncConnection, level: int, begin: int, queue_of: Callable[[str], str]
) -> Sums:
    row = metrics_tables.rollup.c
    question = select(row.queue, row.number, row.agent, row.counts).where(
        row.level == level, row.begin == begin
    )
    found = Sums(queue_of)
    for queue, number, agent, counts in await connection.execute(question):
        found.tallies[Key(queue, number, agent)] = Tally(counts=orjson.loads(counts))
    return found


async def _store(
    connection: AsyncConnection, level: int, begin: int, sums: Sums, replace: Collection[Key]
) -> None:
    if replace:
        await connection.execute(
            _DELETE,
            [
                {
                    "b_level": level,
                    "b_begin": begin,
                    "b_queue": key.queue,
                    "b_number": key.number,
                    "b_agent": key.agent,
                }
                for key in replace
            ],
        )
    rows = [row_of(level, begin, key, tally) for key, tally in sums.tallies.items()]
    if rows:
        await connection.execute(insert(metrics_tables.rollup), rows)


def _unmark(call: str, stamp: int) -> dict[str, object]:
    return {"b_call": call, "b_stamp": stamp}


_UNMARK = delete(diary_tables.changed).where(
    diary_tables.changed.c.call == bindparam("b_call"),
    diary_tables.changed.c.stamp == bindparam("b_stamp"),
)
_DELETE = delete(metrics_tables.rollup).where(
    *(
        metrics_tables.rollup.c[name] == bindparam(f"b_{name}")
        for name in ("level", "begin", "queue", "number", "agent")
    )
)
