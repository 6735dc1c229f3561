"""How long a search among two million calls takes, by every filter that the screens and the API have.

A day of 20,000 calls is written as facts and rolled up, as the recorder's process does it; 99 days before it are copies
of its rows. The oldest day has one call more, with a number, a queue, an agent and an outcome of its own: whoever walks
through the calls in the order of time finds it last. The newest 500 calls are marked: they have changed since the
roll-up.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database, migrations
from bench.figures import TableRow
from diary.tables import diary
from facts import (
    CallArrived,
    CallEnded,
    CallQueued,
    CallRefused,
    Fact,
    OfferAnswered,
    OfferMade,
    TalkEnded,
    details,
)
from facts.terms import Outcome, Party
from facts.times import DAY, SECOND, midnight
from metrics import rollup, search
from metrics.search import CallSearch

CALLS, DAYS = 20_000, 100
ADDRESS = "BENCH_DATABASE"
"""The variable that names another database than a SQLite file for once: an empty one, or one that was made before."""
_NEWEST = midnight(clock.now()) - 2 * DAY
_MARKED, _SHOWN, _TIMES = 500, 50, 9
_AGENTS = 400
_WANTED = 0.2

FILTERS: dict[str, dict[str, object]] = {
    "nothing": {},
    "agent": {"agent": "1007"},
    "agent of one old call": {"agent": "9999"},
    "agent who is none": {"agent": "8888"},
    "queue": {"queue": "tax"},
    "queue of one old call": {"queue": "old"},
    "number": {"number": "12345"},
    "number of one old call": {"number": "99999"},
    "outcome": {"outcome": Outcome.ABANDONED_QUEUE},
    "outcome of one old call": {"outcome": Outcome.NO_CAPACITY},
    "outcome of no call": {"outcome": Outcome.VOICEMAIL},
    "silent, of no call": {"disposition": "silent"},
    "caller, whole number": {"caller": "13800001234"},
    "caller, unknown number": {"caller": "13911111234"},
    "caller, 4 last digits": {"caller": "1234"},
    "caller, 3 last digits": {"caller": "234"},
    "caller, 2 last digits": {"caller": "34"},
    "caller, last digit": {"caller": "4"},
    "agent and outcome": {"agent": "1007", "outcome": Outcome.HUMAN},
    "queue and outcome that never meet": {"queue": "info", "outcome": Outcome.ABANDONED_QUEUE},
    "number, queue, agent, caller": {
        "number": "12345",
        "queue": "tax",
        "agent": "1007",
        "caller": "4",
    },
}


def measure(days: int = DAYS) -> list[TableRow]:
    """Build, search; the rows of the table."""
    if address := os.environ.get(ADDRESS):
        return asyncio.run(_measure(address, days))
    with tempfile.TemporaryDirectory(prefix="hotline-bench-") as name:
        return asyncio.run(_measure(f"sqlite+aiosqlite:///{Path(name) / 'hotline.db'}", days))


async def _measure(address: str, days: int) -> list[TableRow]:
    engine = database.engine(address)
    began = time.monotonic()
    await migrations.upgrade(engine)
    async with engine.connect() as connection:
        if await connection.scalar(text("SELECT MAX(id) FROM diary")) is None:
            await _make(engine, days)
    print(f"{engine.dialect.name}: made in {time.monotonic() - began:.0f} s", flush=True)
    rows = []
    for name, wanted in FILTERS.items():
        took, found = await _took(engine, CallSearch(0, clock.now(), **wanted))  # type: ignore[arg-type]
        said = f"{took * 1000:.0f} ms, {found} found"
        rows.append(TableRow(f"by {name}", "", said, "", f"≤ {_WANTED} s", took <= _WANTED))
    async with engine.connect() as connection:
        count = await connection.scalar(text("SELECT COUNT(*) FROM diary"))
    await engine.dispose()
    return [TableRow(f"{engine.dialect.name}: rows of the diary", "", f"{count:,}"), *rows]


async def _took(engine: AsyncEngine, wanted: CallSearch) -> tuple[float, int]:
    """Seconds for a page (the median), and how many calls it has."""
    times: list[float] = []
    found = 0
    for _ in range(_TIMES):
        began = time.perf_counter()
        page = await search.search(engine, wanted, _SHOWN)
        times.append(time.perf_counter() - began)
        found = len(page.calls)
    return median(times), found


async def _make(engine: AsyncEngine, days: int) -> None:
    await _enter(engine, _NEWEST, _day(_NEWEST))
    oldest = _NEWEST - (days - 1) * DAY
    await _enter(engine, oldest + DAY // 2, _rare(oldest + SECOND))
    await rollup.bring_up_to_date(engine, clock.now())
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            for setting in ("cache_size = -1000000", "synchronous = OFF"):
                await connection.execute(text(f"PRAGMA {setting}"))
        for day in range(1, days):
            values = {"first": _NEWEST << 10, "by": day * DAY}
            await connection.execute(text(_COPY_FACTS), {**values, "day": str(day)})
            await connection.execute(text(_COPY_TRAITS), values)
            await connection.commit()
        await connection.execute(text(_MARK), {"first": _NEWEST, "most": _MARKED})
        await connection.commit()
    if engine.dialect.name == "postgresql":
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("VACUUM ANALYZE"))


_COPY_FACTS = """
INSERT INTO diary
SELECT id - CAST(:by AS BIGINT) * 1024, at - :by, kind, call || '.' || CAST(:day AS VARCHAR), agent, more
FROM diary WHERE id >= :first
"""
_COPY_TRAITS = """
INSERT INTO call_trait SELECT trait, at - :by, id - CAST(:by AS BIGINT) * 1024 FROM call_trait
WHERE trait <> '' AND id >= :first
"""
_MARK = """
INSERT INTO changed SELECT call, id FROM diary WHERE kind = 'CallArrived' AND at >= :first ORDER BY at DESC LIMIT :most
"""


async def _enter(engine: AsyncEngine, first: int, facts: Iterable[Fact]) -> None:
    """Enter facts as if they were written from `first` on (microseconds)."""
    rows = [
        {
            "id": (first << 10) + n,
            "at": fact.at,
            "kind": fact.kind,
            "call": getattr(fact, "call", ""),
            "agent": getattr(fact, "agent", ""),
            "more": details(fact),
        }
        for n, fact in enumerate(facts, 1)
    ]
    marks = {row["call"]: row["id"] for row in rows}
    async with engine.begin() as connection:
        for some in _parts(rows):
            await connection.execute(insert(diary), some)
        for some in _parts([{"call": call, "stamp": stamp} for call, stamp in marks.items()]):
            await connection.execute(text("INSERT INTO changed VALUES (:call, :stamp)"), some)


def _parts(rows: Sequence[dict[str, object]]) -> Iterator[Sequence[dict[str, object]]]:
    for start in range(0, len(rows), 5000):
        yield rows[start : start + 5000]


def _day(begin: int) -> Iterator[Fact]:
    chance = random.Random(1)
    for n in range(CALLS):
        at = begin + 1 + round(chance.random() * (DAY - 3600 * SECOND))
        call, agent = f"hotline-{at // SECOND}.{n}", f"{1000 + chance.randrange(_AGENTS)}"
        yield CallArrived(
            at,
            call,
            chance.choice(("12345", "8890")),
            f"1380000{chance.randrange(10**4):04}"
            if n % 50 == 0
            else f"138{chance.randrange(10**8):08}",
        )
        answered = n % 20 > 0
        queue = chance.choice(("default", "tax", "info") if answered else ("default", "tax"))
        yield CallQueued(at + 8 * SECOND, call, queue)
        at += 15 * SECOND
        if answered:
            yield OfferMade(at, call, agent)
            yield OfferAnswered(at + SECOND, call, agent)
            at += 60 * SECOND
            yield TalkEnded(at, call, agent, Party.CALLER)
        yield CallEnded(at + 1000, call, Party.CALLER, 16)


def _rare(at: int) -> Iterator[Fact]:
    yield CallArrived(at, "hotline-0.1", "99999", "13912345678")
    yield CallQueued(at + 8 * SECOND, "hotline-0.1", "old")
    yield OfferMade(at + 9 * SECOND, "hotline-0.1", "9999")
    yield OfferAnswered(at + 10 * SECOND, "hotline-0.1", "9999")
    yield TalkEnded(at + 20 * SECOND, "hotline-0.1", "9999", Party.CALLER)
    yield CallEnded(at + 20 * SECOND, "hotline-0.1", Party.CALLER, 16)
    yield CallArrived(at + SECOND, "hotline-0.2", "12345", "13912345678")
    yield CallRefused(at + SECOND, "hotline-0.2", 503)
