"""What the report of a year reads: the minutes of a whole day in one row, and agents' counts by month.

They are made of roll-ups that are written down already, when the day or the month is over. Whoever changes a roll-up of
that time removes them in the same transaction, and the next run makes them again. So what is there is right; where
nothing is there, a report reads the days and slots themselves.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson
from sqlalchemy import Select, and_, delete, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from facts.times import DAY, MINUTE, day_of
from metrics.rows import claim, counted, row_of, version_of
from metrics.sums import (
    ALL,
    ATTENDANCE,
    DAYS,
    SLOTS,
    Key,
    Only,
    end_of,
    end_of_month,
    minutes_of,
    month_of,
)
from metrics.tables import rollup
from metrics.window import Tally

DAY_MINUTES, DAY_MINUTES_BY_KEY = 1442, 1443
"""Levels: M1's calls of each minute of a day; of all calls, and by queue and number."""
AGENT_MONTHS, ATTENDED_MONTHS = 44_640, 44_641
"""Levels: agents' counts of a month, and their attendance."""

QUIET = MINUTE
"""Microseconds for which a day or a month must have been over."""

MOST = 40
"""Days and months, each, that one run makes: an old database gets its rows bit by bit."""


@dataclass(slots=True)
class DayMinutes:
    """How many calls M1 counts in each minute of a day, and how many of them were connected."""

    counted: list[int]
    connected: list[int]

    @classmethod
    def of(cls, begin: int) -> "DayMinutes":
        """The minutes of the day that began at `begin` (microseconds), without calls."""
        length = (end_of(DAYS, begin) - begin) // MINUTE
        return cls([0] * length, [0] * length)

    def add(self, at: int, tally: Tally) -> None:
        """Add a slot; `at`: which minute of the day it begins with."""
        for minute, (answered, calls) in enumerate(zip(*minutes_of(tally), strict=True), at):
            self.connected[minute] += answered
            self.counted[minute] += calls

    def merge(self, counts: Mapping[str, list[int]]) -> None:
        """Add what a row has stored."""
        self.counted = list(map(int.__add__, self.counted, counts["a"]))
        self.connected = list(map(int.__add__, self.connected, counts["c"]))

    def counts(self) -> dict[str, list[int]]:
        """As a row stores it."""
        return {"a": self.counted, "c": self.connected}


# --- reading


async def day_minutes(
    engine: AsyncEngine, since: int, until: int, only: Only
) -> dict[int, DayMinutes]:
    """The minutes of the days that begin in [since, until) and are written down, by their beginnings."""
    row = rollup.c
    within = and_(row.begin >= since, row.begin < until)
    question = select(row.level, row.begin, row.counts).where(row.level == DAY_MINUTES, within)
    if (only.number, only.queue) != (ALL.number, ALL.queue):
        # The row of all calls says that the day is written down; a queue without calls has none.
        wanted = [row.level == DAY_MINUTES_BY_KEY]
        if only.number:
            wanted.append(row.number == only.number)
        if only.queue:
            wanted.append(row.queue == only.queue)
        question = select(row.level, row.begin, row.counts).where(
            or_(row.level == DAY_MINUTES, and_(*wanted)), within
        )
    found: dict[int, DayMinutes] = {}
    async with engine.connect() as connection:
        rows = (await connection.execute(question.order_by(row.level))).all()
    for level, begin, counts in rows:
        if level == DAY_MINUTES and only.number + only.queue:
            found[begin] = DayMinutes.of(begin)
        elif level == DAY_MINUTES:
            made = orjson.loads(counts)
            found[begin] = DayMinutes(made["a"], made["c"])
        elif begin in found:
            found[begin].merge(orjson.loads(counts))
    return found


Month = list[tuple[Key, Tally]]


async def agent_months(
    engine: AsyncEngine, since: int, until: int, dirty: Collection[int], only: Only
) -> dict[int, Month]:
    """Agents' counts of the whole months in (since, until] that are written down, by their beginnings.

    `dirty`: beginnings of slots whose roll-ups are not up to date: their months are left out.
    """
    row = rollup.c
    wanted = [row.level == AGENT_MONTHS]
    if only.number:
        wanted.append(or_(row.number == only.number, row.agent == ""))
    if only.queue:
        wanted.append(or_(row.queue == only.queue, row.agent == ""))
    if only.agent:
        wanted.append(row.agent.in_((only.agent, "")))
    stale = {month_of(slot + 1) for slot in dirty}
    return await _months(engine, since, until, stale, select_months().where(*wanted))


async def attended_months(
    engine: AsyncEngine, since: int, until: int, last: int
) -> dict[int, Month]:
    """Agents' attendance of the whole months in (since, until], up to that of the day `last`."""
    question = select_months().where(rollup.c.level == ATTENDED_MONTHS)
    return await _months(engine, since, min(until, last + DAY), set(), question)


def select_months() -> Select[int, str, str, str, str]:
    """The rows of months; one without an agent says that its month is written down."""
    row = rollup.c
    return select(row.begin, row.queue, row.number, row.agent, row.counts).order_by(row.begin)


async def _months(
    engine: AsyncEngine,
    since: int,
    until: int,
    stale: Collection[int],
    question: Select[int, str, str, str, str],
) -> dict[int, Month]:
    whole = {
        begin
        for begin in months_between(since, until)
        if begin >= since and end_of_month(begin) <= until and begin not in stale
    }
    if not whole:
        return {}
    row = rollup.c
    found: dict[int, Month] = {}
    async with engine.connect() as connection:
        rows = await connection.execute(
            question.where(row.begin >= min(whole), row.begin <= max(whole))
        )
        for begin, queue, number, agent, counts in rows.all():
            if begin not in whole:
                continue
            month = found.setdefault(begin, [])
            if agent:
                month.append((Key(queue, number, agent), Tally(counts=orjson.loads(counts))))
    return found


def months_between(since: int, until: int) -> Iterator[int]:
    """The beginnings of the months that touch (since, until]."""
    begin = month_of(since + 1)
    while begin < until:
        yield begin
        begin = end_of_month(begin)


def beside(since: int, until: int, begins: Iterable[int]) -> Iterator[tuple[int, int]]:
    """What of (since, until] lies in none of these months."""
    for begin in sorted(begins):
        if since < begin:
            yield since, begin
        since = end_of_month(begin)
    if since < until:
        yield since, until


# --- writing


async def remove(connection: AsyncConnection, hour: int) -> None:
    """Remove what was made of the hour's slots and days: they change in this transaction."""
    row = rollup.c
    day, month = day_of(hour + 1), month_of(hour + 1)
    for levels, begin in (((DAY_MINUTES, DAY_MINUTES_BY_KEY), day), ((AGENT_MONTHS,), month)):
        await connection.execute(delete(rollup).where(row.level.in_(levels), row.begin == begin))


async def remove_attended(connection: AsyncConnection, first: int) -> None:
    """Remove the attendance of the month of the day `first`, and of all after it."""
    row = rollup.c
    await connection.execute(
        delete(rollup).where(row.level == ATTENDED_MONTHS, row.begin >= month_of(first + 1))
    )


@dataclass(slots=True)
class _Condensed:
    """The days that have roll-ups, and what is made of them already."""

    days: list[int] = field(default_factory=list)
    attended: list[int] = field(default_factory=list)
    made: dict[int, set[int]] = field(default_factory=dict)

    def missing_days(self, now: int) -> list[int]:
        """The newest days that are over and have no minutes."""
        made = self.made.get(DAY_MINUTES, set())
        over = [day for day in self.days if end_of(DAYS, day) + QUIET <= now]
        return [day for day in reversed(over) if day not in made][:MOST]

    def missing_months(self, level: int, now: int) -> list[int]:
        """The same of months of agents' counts, or of attendance."""
        made = self.made.get(level, set())
        days = self.days if level == AGENT_MONTHS else self.attended
        months = sorted({month_of(day + 1) for day in days}, reverse=True)
        over = [one for one in months if end_of_month(one) + QUIET <= now]
        if level == ATTENDED_MONTHS:
            # Days of attendance are written in their order: the last one says that all before it are there.
            over = [one for one in over if end_of_month(one) <= end_of(DAYS, days[-1])]
        return [one for one in over if one not in made][:MOST]


async def condense(engine: AsyncEngine, now: int) -> None:
    """Make what is missing, of days and months that are over; stops when another writer was quicker."""
    known = await _known(engine)
    for day in known.missing_days(now):
        version = await version_of(engine)
        rows = await _minutes_of(engine, day)
        if not await _replace(engine, version, (DAY_MINUTES, DAY_MINUTES_BY_KEY), day, rows):
            return
    for level, days in ((AGENT_MONTHS, DAYS), (ATTENDED_MONTHS, ATTENDANCE)):
        for month in known.missing_months(level, now):
            version = await version_of(engine)
            rows = await _month_of(engine, level, days, month)
            if not await _replace(engine, version, (level,), month, rows):
                return


async def _known(engine: AsyncEngine) -> _Condensed:
    known = _Condensed()
    row = rollup.c
    levels = (DAY_MINUTES, AGENT_MONTHS, ATTENDED_MONTHS)
    async with engine.connect() as connection:
        for level, found in ((DAYS, known.days), (ATTENDANCE, known.attended)):
            found += (await connection.execute(text(_BEGINS), {"level": level})).scalars()
        question = select(row.level, row.begin).where(row.level.in_(levels), row.agent == "")
        for level, begin in await connection.execute(question):
            known.made.setdefault(level, set()).add(begin)
    return known


_BEGINS = """
WITH RECURSIVE one(begin) AS (
    SELECT MIN(begin) FROM rollup WHERE level = :level
    UNION ALL
    SELECT (SELECT MIN(begin) FROM rollup WHERE level = :level AND begin > one.begin) FROM one
    WHERE one.begin IS NOT NULL
)
SELECT begin FROM one WHERE begin IS NOT NULL
"""
"""It steps from one beginning to the next: `DISTINCT` would read every agent's row of every day."""


async def _minutes_of(engine: AsyncEngine, day: int) -> list[dict[str, object]]:
    row = rollup.c
    question = select(row.begin, row.queue, row.number, row.counts).where(
        row.level == SLOTS, row.begin >= day, row.begin < end_of(DAYS, day), row.agent == ""
    )
    every, keys = DayMinutes.of(day), dict[Key, DayMinutes]()
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).all()
    for begin, queue, number, counts in rows:
        tally, key = Tally(counts=orjson.loads(counts)), Key(queue, number)
        if key not in keys:
            keys[key] = DayMinutes.of(day)
        for one in (every, keys[key]):
            one.add((begin - day) // MINUTE, tally)
    return [
        counted(DAY_MINUTES, day, Key("", ""), every.counts()),
        *(
            counted(DAY_MINUTES_BY_KEY, day, key, one.counts())
            for key, one in keys.items()
            if any(one.counted)
        ),
    ]


async def _month_of(
    engine: AsyncEngine, level: int, days: int, month: int
) -> list[dict[str, object]]:
    row = rollup.c
    found: dict[Key, Tally] = {}
    day = month
    while day < end_of_month(month):
        end = end_of(DAYS, day)
        question = select(row.queue, row.number, row.agent, row.counts).where(
            row.level == days, row.begin >= day, row.begin < end, row.agent != ""
        )
        async with engine.connect() as connection:
            rows = (await connection.execute(question)).all()
        for queue, number, agent, counts in rows:
            tally = found.setdefault(Key(queue, number, agent), Tally())
            tally.count(orjson.loads(counts).items())
        day = end
    return [
        row_of(level, month, Key("", ""), Tally()),
        *(row_of(level, month, key, tally) for key, tally in found.items() if tally.counts),
    ]


async def _replace(
    engine: AsyncEngine,
    version: int,
    levels: Collection[int],
    begin: int,
    rows: list[dict[str, object]],
) -> bool:
    row = rollup.c
    async with engine.begin() as connection:
        if not await claim(connection, version):
            return False
        await connection.execute(delete(rollup).where(row.level.in_(levels), row.begin == begin))
        await connection.execute(insert(rollup), rows)
    return True
