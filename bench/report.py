"""How long a report takes: a day of 100,000 calls, and a year of 36.5 million made of such days.

The day is written as facts, and rolled up as the recorder's process does it all day long; the year's other days are
copies of its roll-ups. Each report is the command itself, a process of its own, from its start to its end.
"""

import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from base import clock, database, migrations
from bench.figures import TableRow
from facts import (
    AgentReady,
    CallArrived,
    CallEnded,
    CallQueued,
    Fact,
    OfferAnswered,
    OfferMade,
    OfferRinging,
    PhoneReachable,
    RecordingFinished,
    TalkEnded,
    WrapUpEnded,
    WrapUpStarted,
    details,
)
from facts.terms import Party
from facts.times import DAY, SECOND, local, midnight
from metrics import condensed, rollup

CALLS = 100_000
AGENTS = 400
_FIRST = midnight(clock.now()) - 2 * DAY
"""The day that has facts: the day before yesterday."""
_WHOLE_YEAR = 365


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds, by the clock and of processor time, and bytes of one report."""

    seconds: float
    worked: float
    memory: int
    calls: int


def measure(calls: int = CALLS) -> list[TableRow]:
    """Build, roll up, report; the rows of the table."""
    with tempfile.TemporaryDirectory(prefix="hotline-bench-") as name:
        home = Path(name)
        began = time.process_time()
        _make(home / "hotline.db", calls)
        rolled = asyncio.run(_roll_up(home / "hotline.db"))
        built = time.process_time() - began
        days = [f"{local(_FIRST + n * DAY):%Y-%m-%d}" for n in (0, 1 - _WHOLE_YEAR, 1)]
        day = _report(home, "--day", days[0])
        page = _report(home, "--day", days[0], "--format", "html")
        now = _report(home, "--at", f"{days[0]}T15:07:33")
        _copy_days(home / "hotline.db")
        asyncio.run(_condense(home / "hotline.db"))
        year = _report(home, "--from", days[1], "--to", days[2])
        year_page = _report(home, "--from", days[1], "--to", days[2], "--format", "html")
    print(f"the day and its roll-ups took {built:.0f} s of CPU to make", flush=True)
    return [
        TableRow("report, day", "", _said(day), "", "≤ 2 s", day.seconds <= 2),
        TableRow("report, day, with pictures", "", _said(page)),
        TableRow("report, 24 hours to any second", "", _said(now), "", "≤ 2 s", now.seconds <= 2),
        TableRow("report, year", "", _said(year), "", "≤ 2 s", year.seconds <= 2),
        TableRow(
            "report, year, with pictures",
            "",
            _said(year_page),
            "",
            "≤ 4 s",
            year_page.seconds <= 4,
        ),
        TableRow("rolling a call up, CPU", "", f"{rolled / calls * 1e6:.0f} µs"),
    ]


def _said(took: Took) -> str:
    count = f" of {took.calls:,} calls" if took.calls else ""
    return f"{took.seconds:.2f} s ({took.worked:.2f} s CPU), {took.memory / 2**20:.0f} MiB{count}"


def prepare(path: Path) -> None:
    """Make an empty database."""
    asyncio.run(_upgrade(path))


async def _upgrade(path: Path) -> None:
    engine = database.engine(f"sqlite+aiosqlite:///{path}")
    await migrations.upgrade(engine)
    await engine.dispose()


def write_facts(path: Path, first: int, facts: Iterable[Fact]) -> None:
    """Enter facts into the diary as if they were written from `first` on (microseconds)."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO diary VALUES (?, ?, ?, ?, ?, ?)", _rows(first << 10, facts)
        )


def _make(path: Path, calls: int) -> None:
    prepare(path)
    write_facts(path, _FIRST, _facts(calls))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO changed SELECT call, MAX(id) FROM diary WHERE call <> '' GROUP BY call"
        )
        connection.execute("INSERT INTO changed SELECT '@' || id, id FROM diary WHERE call = ''")


async def _roll_up(path: Path) -> float:
    engine = database.engine(f"sqlite+aiosqlite:///{path}")
    began = time.process_time()
    await rollup.bring_up_to_date(engine, clock.now())
    took = time.process_time() - began
    await engine.dispose()
    return took


async def _condense(path: Path) -> None:
    """What the recorder's process makes of days and months that are over, a run a minute."""
    engine = database.engine(f"sqlite+aiosqlite:///{path}")
    for _ in range(-(-_WHOLE_YEAR // condensed.MOST)):
        await condensed.condense(engine, clock.now())
    await engine.dispose()


def _rows(row: int, facts: Iterable[Fact]) -> Iterator[tuple[int, int, str, str, str, str]]:
    for fact in facts:
        row += 1
        yield (
            *(row, fact.at, fact.kind, getattr(fact, "call", "")),
            *(getattr(fact, "agent", ""), json.dumps(details(fact))),
        )


def _facts(calls: int) -> Iterator[Fact]:
    """A day that is busier at noon; one call in twenty gives up."""
    chance = random.Random(1)
    for n in range(AGENTS):
        yield PhoneReachable(_FIRST + n, f"{1000 + n}")
        yield AgentReady(_FIRST + n, f"{1000 + n}")
    for n in range(calls):
        at = _FIRST + 1 + round(chance.triangular(0, 1, 0.5) * (DAY - 10 * 60 * SECOND))
        call, agent = f"hotline-{at // SECOND}.{n}", f"{1000 + chance.randrange(AGENTS)}"
        yield CallArrived(at, call, chance.choice(("12345", "8890")), "13800000000")
        at += 8 * SECOND
        yield CallQueued(at, call, chance.choice(("default", "tax")))
        at += round(chance.expovariate(1 / 6) * SECOND)
        if n % 20 == 0:
            yield CallEnded(at, call, Party.CALLER, 16)
            continue
        yield OfferMade(at, call, agent)
        yield OfferRinging(at + 50_000, call, agent)
        at += round(chance.uniform(1, 14) * SECOND)
        yield OfferAnswered(at, call, agent)
        talk = round(chance.lognormvariate(5, 0.5) * SECOND)
        at += talk
        yield TalkEnded(at, call, agent, Party.CALLER)
        yield CallEnded(at + 1000, call, Party.CALLER, 16)
        yield WrapUpStarted(at, agent, at + 5 * SECOND, call)
        yield WrapUpEnded(at + 5 * SECOND, agent, call)
        yield RecordingFinished(at + 3 * SECOND, call, talk + 20 * SECOND, "")


def _copy_days(path: Path) -> None:
    """The same day again and again, back through the year: what reports of whole days read."""
    connection = sqlite3.connect(path)
    with connection:
        # What is made of days and months is made again, of the copies too.
        connection.execute("DELETE FROM rollup WHERE level > 1441")
        for day in range(1, _WHOLE_YEAR):
            connection.execute(
                "INSERT OR IGNORE INTO rollup "
                "SELECT level, begin - ?, queue, number, agent, counts FROM rollup "
                "WHERE begin >= ? AND begin < ? AND (agent <> '' OR level < 1441) "
                "AND (agent = '' OR level >= 1440)",
                (day * DAY, _FIRST, _FIRST + DAY),
            )
    connection.close()


def _report(home: Path, *options: str) -> Took:
    command = [sys.executable, "-m", "hotline", "report", "sla"]
    if "--format" not in options:
        options = (*options, "--format", "json")
    environment = {**os.environ, "HOTLINE_HOME": str(home)}
    out = home / "report.out"
    began = time.monotonic()
    with out.open("wb") as file:
        process = subprocess.Popen([*command, *options], env=environment, stdout=file)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise OSError(f"hotline report sla {' '.join(options)}: status {process.returncode}")
    memory = used.ru_maxrss * 1024
    calls = 0
    if "json" in options:
        calls = json.loads(out.read_text())["M1"]["denominator"]
    return Took(seconds, used.ru_utime + used.ru_stime, memory, calls)
