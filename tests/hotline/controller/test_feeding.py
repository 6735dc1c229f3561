"""What the live figures get from the database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base import clock, database
from base.background import spawn
from base.database import DatabaseAwayError
from diary import reader
from diary.writer import Diary
from facts import (
    AgentReady,
    CallArrived,
    CallEnded,
    CallQueued,
    Fact,
    OfferAnswered,
    OfferMade,
    OfferRinging,
    RecordingFinished,
)
from facts.terms import Party
from facts.times import HOUR, MINUTE, SECOND
from hotline.controller import feeding
from metrics import rollup
from metrics.live import WARM_UP, Live, Written


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "RECORDER_EVERY", 0.02)


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = spawn(work, "feeding")
    try:
        yield
    finally:
        # A connection to SQLite that is cancelled while it opens complains in a later test: let the loop go to sleep.
        feeding.RECORDER_EVERY = 60.0
        asleep = asyncio.get_running_loop().time() + 0.2
        while asyncio.get_running_loop().time() < asleep:
            await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Took:
    """Figures that note what they were given."""

    def __init__(self) -> None:
        self.took: list[Fact] = []
        self.add = self.took.append
        self.borrowed: list[Written | None] = []
        self.borrow = self.borrowed.append


async def until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


async def written(engine: AsyncEngine, folder: Path, *facts: Fact) -> None:
    diary = Diary(engine, folder)
    diary.start()
    for fact in facts:
        diary.write(fact)
    assert await diary.flush()
    await diary.close()


async def test_the_last_two_days_and_the_state_before_them(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    now = clock.now()
    old = CallArrived(now - WARM_UP - SECOND, "n-1.1", "12345", "")
    state = AgentReady(now - WARM_UP - SECOND, "1001")
    new = CallArrived(now - WARM_UP + 60 * SECOND, "n-1.2", "12345", "")
    await written(engine, tmp_path, old, state, new)
    figures = Took()
    took, known = figures.took, asyncio.Event()
    async with running(feeding.feed_figures(engine, figures, known, lambda: None)):
        await until(lambda: new in took)
    assert known.is_set()
    assert state in took
    assert old not in took


async def test_the_figures_are_right_before_the_diary_is_read(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rolling 24 hours and today, from the first second on, though a day's facts take a minute to read."""
    now = clock.now()
    facts = [fact for n in range(60) for fact in a_call(f"n-1.{n}", now - n * 40 * MINUTE, n)]
    going_on = a_call("n-1.long", now - 3 * HOUR, 1)[:-1]
    await written(engine, tmp_path, *facts, *going_on)
    await rollup.bring_up_to_date(engine, now)
    again = Live()
    for fact in (*facts, *going_on):
        again.add(fact)
    read, may_read = reader.read, asyncio.Event()

    async def read_slowly(*args: Any) -> AsyncIterator[Fact]:
        await may_read.wait()
        async for fact in read(*args):
            yield fact

    monkeypatch.setattr(reader, "read", read_slowly)
    figures, known = Noted(), asyncio.Event()
    early = a_call("n-1.early", now - 2 * SECOND, 1)
    for live in (figures, again):
        for fact in early:
            live.add(fact)
    async with running(feeding.feed_figures(engine, figures, known, lambda: None)):
        async with asyncio.timeout(20):
            await known.wait()
        assert shown(figures, now)["M1r"]["denominator"] == 37
        assert shown(figures, now) == shown(again, now)
        # What happens meanwhile is counted, too: a call begins and ends, and the long one ends.
        for fact in (*a_call("n-1.new", now - SECOND, 0), CallEnded(now, "n-1.long", Party.CALLER)):
            figures.add(fact)
            again.add(fact)
        assert shown(figures, now) == shown(again, now)
        may_read.set()
        await until(lambda: figures.borrowed[-1] is None)
        said, wanted = figures.snapshot(now), again.snapshot(now)
        for state in (said, wanted):
            state["figures"]["M1r"].pop("lowest")  # up to a minute old
        for part in ("stages", "today", "figures", "sla15", "sla60"):
            assert said[part] == wanted[part]


class Noted(Live):
    """Live figures that note what they borrowed."""

    def __init__(self) -> None:
        super().__init__()
        self.borrowed: list[Written | None] = []

    def borrow(self, written: Written | None) -> None:
        super().borrow(written)
        self.borrowed.append(written)


def shown(live: Live, now: int) -> dict[str, Any]:
    said = live.snapshot(now)
    figures = {name: said["figures"][name] for name in ("M1", "M1r", "M4", "M5", "M7", "M8", "M9")}
    return {**figures, "today": said["today"], "curve": said["curve"]}


def a_call(call: str, begin: int, n: int) -> list[Fact]:
    """Answered, unless `n` is a multiple of three."""
    facts: list[Fact] = [
        CallArrived(begin, call, "12345", ""),
        CallQueued(begin + 1, call, "default"),
    ]
    if n % 3:
        facts += [OfferMade(begin + 2, call, "1001"), OfferRinging(begin + 3, call, "1001")]
        facts += [OfferAnswered(begin + 4, call, "1001")]
    return [*facts, CallEnded(begin + 2 * SECOND, call, Party.CALLER)]


async def test_what_the_recorder_enters_later(engine: AsyncEngine, tmp_path: Path) -> None:
    figures = Took()
    took = figures.took
    entered = RecordingFinished(clock.now(), "n-1.1", 3 * SECOND, "aa")
    async with running(feeding.feed_figures(engine, figures, asyncio.Event(), lambda: None)):
        await asyncio.sleep(0.02)
        await written(engine, tmp_path, entered, CallArrived(clock.now(), "n-1.2", "12345", ""))
        await until(lambda: entered in took)
    assert {type(fact) for fact in took} == {RecordingFinished}


@pytest.mark.parametrize("when", ["at the start", "later"])
async def test_an_absent_database_ends_nothing(
    when: str, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from base import migrations

    engine = database.engine(sqlite_url)
    await migrations.upgrade(engine)
    read = reader.read_kinds
    away = [when == "at the start"]

    def read_kinds(*args: Any) -> Any:
        if away[0]:
            raise DatabaseAwayError(None, None, OSError("away"))
        return read(*args)

    monkeypatch.setattr(reader, "read_kinds", read_kinds)
    figures = Took()
    took = figures.took
    warm: list[bool] = []
    entered = RecordingFinished(clock.now(), "n-1.1", 3 * SECOND, "aa")
    feed = feeding.feed_figures(engine, figures, asyncio.Event(), lambda: warm.append(away[0]))
    with capture_logs() as logs:
        async with running(feed):
            await asyncio.sleep(0.1)
            away[0] = True
            await until(lambda: any(entry["event"] == "figures.away" for entry in logs))
            await written(engine, tmp_path, entered)
            away[0] = False
            await until(lambda: entered in took)
    assert warm == [False], "once, when the two days have been read"
    assert [one["on"] for one in logs if one["event"] == "figures.away"] == [True, False]
    assert not any("exc_info" in one for one in logs)
    await engine.dispose()
