"""What figures and floor get from the database: history first, then what other processes write."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from acd.callbacks.task import Task
from diary.writer import Diary
from facts import AgentReady, CallArrived, CallbackCancelled, Fact, RecordingFinished
from facts.times import SECOND
from hotline.controller import feeding
from metrics.live import WARM_UP
from tests.hotline.controller.conftest import Clock, Database

T = Clock().at
CALL = "hotline-1.1"
Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "RECORDER_EVERY", 0.005)
    monkeypatch.setattr(feeding, "LOOK_EVERY", 0.001)


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on for ever: nothing in the block ends it."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
def write(engine: AsyncEngine, tmp_path: Path) -> Callable[..., Awaitable[None]]:
    """Write facts into the diary."""

    async def write(*facts: Fact) -> None:
        diary = Diary(engine, tmp_path, "recorder")
        diary.start()
        for fact in facts:
            diary.write(fact)
        await diary.close()

    return write


def arrived(at: int, call: str = CALL) -> CallArrived:
    return CallArrived(at, call, "12345", "+8613800000001")


def recorded(at: int, call: str = CALL) -> RecordingFinished:
    return RecordingFinished(at, call, 60 * SECOND, "abc")


# --- the live figures


async def test_two_days_of_history_and_what_was_so_before(
    engine: AsyncEngine, write: Callable[..., Awaitable[None]], clock: Clock, until: Until
) -> None:
    begin = T - WARM_UP
    ready, old = AgentReady(begin - 2, "1001"), arrived(begin - 1, "hotline-1.0")
    first, last, future = arrived(begin), arrived(T - 1, "hotline-1.2"), arrived(T, "hotline-1.3")
    await write(future, last, first, old, ready)
    taken: list[Fact] = []
    async with running(feeding.feed_figures(engine, taken.append)):
        await until(lambda: len(taken) == 3)
    assert taken == [ready, first, last]


async def test_a_recording_that_is_entered_later_is_taken(
    engine: AsyncEngine, write: Callable[..., Awaitable[None]], clock: Clock, until: Until
) -> None:
    taken: list[Fact] = []
    async with running(feeding.feed_figures(engine, taken.append)):
        await write(arrived(T + 1), recorded(T + 2))
        clock.at = T + 5 * SECOND
        await until(lambda: taken)
        await write(recorded(T + 1, "hotline-1.2"))  # told late
        await until(lambda: recorded(T + 1, "hotline-1.2") in taken)
        clock.at = T + 60 * SECOND
        await asyncio.sleep(0.05)
        so_far = len(taken)
        await asyncio.sleep(0.05)
        assert len(taken) == so_far, "each look begins where the one before has ended"
    assert {fact.kind for fact in taken} == {"RecordingFinished"}


async def test_a_recording_from_the_time_without_a_database_is_taken(
    engine: AsyncEngine,
    write: Callable[..., Awaitable[None]],
    clock: Clock,
    database: Database,
    until: Until,
) -> None:
    await write(recorded(T + 5))
    taken: list[Fact] = []
    with capture_logs() as logs:
        async with running(feeding.feed_figures(engine, taken.append)):
            await asyncio.sleep(0.02)
            assert taken == []
            database.away, clock.at = True, T + 60 * SECOND
            await until(lambda: len(logs) >= 2)
            database.away = False
            await until(lambda: taken)
    assert taken[0] == recorded(T + 5)
    assert {line["event"] for line in logs} == {"recordings.away"}


async def test_history_is_read_when_the_database_is_back(
    engine: AsyncEngine,
    write: Callable[..., Awaitable[None]],
    clock: Clock,
    database: Database,
    until: Until,
) -> None:
    await write(arrived(T - 1))
    taken: list[Fact] = []
    database.away = True
    with capture_logs() as logs:
        async with running(feeding.feed_figures(engine, taken.append)):
            await until(lambda: len(logs) >= 2)
            database.away = False
            await until(lambda: taken)
            await write(recorded(T + 1))
            clock.at = T + 5 * SECOND
            await until(lambda: recorded(T + 1) in taken)
    assert taken[0] == arrived(T - 1)
    assert {line["event"] for line in logs} == {"history.away"}


async def test_a_fact_that_figures_cannot_take_costs_no_other(
    engine: AsyncEngine, write: Callable[..., Awaitable[None]], clock: Clock, until: Until
) -> None:
    await write(arrived(T - 2), recorded(T - 1))
    taken: list[Fact] = []

    def take(fact: Fact) -> None:
        if isinstance(fact, CallArrived):
            raise KeyError(fact.number)
        taken.append(fact)

    with capture_logs() as logs:
        async with running(feeding.feed_figures(engine, take)):
            await until(lambda: len(taken) >= 2)  # from history, and as what the recorder entered
    assert [(line["event"], line["fact"]) for line in logs] == [("fact.not_taken", "CallArrived")]


# --- callbacks of others

CANCELLED = CallbackCancelled(T, 8, "by hand")
Changes = tuple[list[str], list[CallbackCancelled]]


class Book:
    """Says one thing after another, then nothing new."""

    def __init__(self, *changes: Changes | Exception) -> None:
        self.left = list(changes)
        self.asked = 0

    async def changes(self) -> Changes:
        self.asked += 1
        found = self.left.pop(0) if self.left else ([], [])
        if isinstance(found, Exception):
            raise found
        return found


class Desk:
    """Writes down what it was given."""

    def __init__(self) -> None:
        self.given: list[object] = []

    def take_up(self, tasks: Iterable[Task]) -> None:
        self.given.append(list(tasks))

    def report(self, *facts: Fact) -> None:
        self.given += facts


async def test_what_another_program_did_is_taken_up(until: Until) -> None:
    book, desk = Book(([], []), (["task 7"], [CANCELLED]), ([], [])), Desk()
    async with running(feeding.take_up_callbacks(book, desk)):
        await until(lambda: book.asked > 4)
    assert desk.given == [["task 7"], CANCELLED]


async def test_an_absent_database_ends_nothing(until: Until) -> None:
    book, desk = Book(ConnectionError(), TimeoutError(), (["task 7"], [])), Desk()
    async with running(feeding.take_up_callbacks(book, desk)):
        await until(lambda: desk.given)
    assert desk.given == [["task 7"]]
