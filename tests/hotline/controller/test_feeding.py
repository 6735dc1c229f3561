"""What the live figures and the floor get from the database."""

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
from facts import AgentReady, CallArrived, Fact, RecordingFinished
from facts.times import SECOND
from hotline.controller import feeding
from metrics.live import WARM_UP


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


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
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
    took: list[Fact] = []
    async with running(feeding.feed_figures(engine, took.append, lambda: None)):
        await until(lambda: new in took)
    assert state in took
    assert old not in took


async def test_what_the_recorder_enters_later(engine: AsyncEngine, tmp_path: Path) -> None:
    took: list[Fact] = []
    entered = RecordingFinished(clock.now(), "n-1.1", 3 * SECOND, "aa")
    async with running(feeding.feed_figures(engine, took.append, lambda: None)):
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
    took: list[Fact] = []
    warm: list[bool] = []
    entered = RecordingFinished(clock.now(), "n-1.1", 3 * SECOND, "aa")
    with capture_logs() as logs:
        async with running(feeding.feed_figures(engine, took.append, lambda: warm.append(away[0]))):
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


class Book:
    """A book in which somebody entered a task, and cancelled another."""

    def __init__(self) -> None:
        self.answers: list[Any] = [OSError("away"), ([], []), (["task"], ["cancelled"])]

    async def changes(self) -> Any:
        answer = self.answers.pop(0) if self.answers else ([], [])
        if isinstance(answer, Exception):
            raise answer
        return answer


class Desk:
    def __init__(self) -> None:
        self.did: list[Any] = []

    def take_up(self, tasks: Any) -> None:
        self.did.append(("take up", tasks))

    def report(self, *facts: Any) -> None:
        self.did.append(("report", facts))


async def test_callbacks_of_others_are_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "LOOK_EVERY", 0.001)
    desk = Desk()
    async with running(feeding.take_up_callbacks(Book(), desk)):  # type: ignore[arg-type]
        await until(lambda: len(desk.did) == 2)
    assert desk.did == [("take up", ["task"]), ("report", ("cancelled",))]
