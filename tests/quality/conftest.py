"""Calls that can be drawn, and the people who assess them."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from diary.writer import Diary
from facts import CallArrived, CallEnded, CallQueued, Fact, OfferAnswered, OfferMade, TalkEnded
from facts.terms import Party
from facts.times import DAY, HOUR, SECOND
from quality.draws import week_of
from quality.sample import Assessor
from recorder.tables import recording

MONDAY = 1_763_913_600_000_000
"""2025-11-24 00:00 in China; the week before is 2025-W47."""
NOW = MONDAY + 10 * HOUR
WEEK = week_of("2025-W47", NOW)
PEOPLE = (Assessor("wang", "1002"), Assessor("zhao"))
LENGTHS = (30, 120, 400)

Fill = Callable[..., Awaitable[list[str]]]


def story(call: str, at: int, agent: str, queue: str, length: int) -> list[Fact]:
    """A call with one talk of `length` seconds."""
    end = at + (5 + length) * SECOND
    return [
        CallArrived(at, call, "12345", "+8613812345678"),
        CallQueued(at + SECOND, call, queue),
        OfferMade(at + SECOND, call, agent),
        OfferAnswered(at + 5 * SECOND, call, agent),
        TalkEnded(end, call, agent, Party.CALLER),
        CallEnded(end, call, Party.CALLER),
    ]


async def record(engine: AsyncEngine, calls: list[str], seconds: int = 420) -> None:
    """Rows of the ledger, as if the recorder had been there."""
    rows = [
        {
            "call": call,
            "path": f"{call}.mp4",
            "state": "finished",
            "duration": seconds * SECOND,
            "size": 1,
            "sha256": "0" * 64,
            "finished_at": WEEK.since,
            "note": "",
        }
        for call in calls
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(recording), rows)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A centre that draws two talks an agent."""
    return Settings(home=tmp_path, quality_per_agent=2, quality_draw=True)


@pytest.fixture
def fill(engine: AsyncEngine, tmp_path: Path) -> Fill:
    """Writes calls of a week: `await fill(12)`; gives their ids."""

    async def write(count: int = 12, first: int = 1, recorded: bool = True) -> list[str]:
        diary = Diary(engine, tmp_path / "run")
        diary.start()
        calls = []
        for number in range(first, first + count):
            at = WEEK.since + HOUR + number * DAY // 4
            call = f"hotline-{at // SECOND}.{number}"
            agent, queue = ("1001", "1002")[number % 2], ("tax", "water")[number % 3 % 2]
            for fact in story(call, at, agent, queue, LENGTHS[number % 3]):
                diary.write(fact)
            calls.append(call)
        await diary.close()
        if recorded:
            await record(engine, calls)
        return calls

    return write
