"""What the book holds reaches the floor, whether or not the book can be read at the start."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from acd.callbacks.book import enter_directly
from acd.callbacks.entry import Wanted
from acd.callbacks.task import State, Task
from base import clock, database
from base.background import spawn
from facts import CallbackAdded, CallbackDialling, CallbackEnded, Fact, LinkRestored
from facts.terms import CallId
from facts.times import HOUR
from hotline.controller import open_callbacks
from hotline.controller.open_callbacks import OpenCallbacks
from telephony.outbound import Outbound
from tests.acd.test_tasks import CITIZEN, Centre, add, by_hand

AWAY = database.DatabaseAwayError(None, None, ConnectionRefusedError())


@pytest.fixture
async def left_dialling(engine: AsyncEngine, tmp_path: Path) -> CallId:
    """The attempt that a killed controller was making for task 1."""
    killed = Centre(engine, tmp_path)
    await killed.start()
    killed.agent()
    await add(killed.book, killed.desk, by_hand())
    (placed,) = killed.placed
    killed.report(CallbackDialling(clock.now(), 1, placed.call, placed.agent))
    assert await killed.diary.flush()
    assert await killed.book.flush()
    await killed.close()
    return placed.call


class Attempts:
    """What is known of the attempts in Asterisk: none exists."""

    def __init__(self, report: Any) -> None:
        self.report = report

    def look_after(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if task.attempt:
                self.report(CallbackEnded(clock.now(), task.id, task.attempt, task.agent, "lost"))


def taking_up(centre: Centre, *, informed: bool = True) -> OpenCallbacks:
    outbound: Any = Attempts(centre.report)
    return OpenCallbacks(
        centre.book,
        centre.desk,
        outbound,
        note=centre.diary.write,
        informed=lambda: informed,
    )


@pytest.mark.parametrize("fails", ["dialled", "open_tasks", "untold"])
async def test_a_book_that_could_not_be_read_at_the_start_is_read_whole_later(
    left_dialling: CallId,
    centre: Centre,
    monkeypatch: pytest.MonkeyPatch,
    fails: str,
) -> None:
    """The attempt is long gone: its agent would be on the phone for ever, and the citizen never called back."""
    works = getattr(centre.book, fails)

    async def away(*_: Any) -> Any:
        raise AWAY

    monkeypatch.setattr(centre.book, fails, away)
    some = taking_up(centre)
    with capture_logs() as logs:
        await some.look()
        await some.look()
        assert centre.desk.floor.tasks == {}
        monkeypatch.setattr(centre.book, fails, works)
        await some.look()
        await some.look()
    assert [one["on"] for one in logs if one["event"] == "callbacks.away"] == [True, False]
    (task,) = centre.desk.floor.tasks.values()
    assert (task.state, task.attempt) == (State.DUE, "")
    assert [fact.call for fact in centre.posted if isinstance(fact, CallbackEnded)] == [
        left_dialling
    ]
    assert centre.desk.floor.hall.history.write_down()["today"] == {CITIZEN: 1}


@pytest.fixture
async def centre(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Centre]:
    """One that has just started, with an agent, and has not looked into its book."""
    made = Centre(engine, tmp_path)
    made.diary.start()
    made.book.start()
    made.agent()
    yield made
    await made.close()


async def test_before_asterisk_has_told_what_exists_an_attempt_goes_on(
    left_dialling: CallId, centre: Centre
) -> None:
    await taking_up(centre, informed=False).look()
    (task,) = centre.desk.floor.tasks.values()
    assert (task.state, task.attempt) == (State.DIALLING, left_dialling)


async def test_an_attempt_that_was_placed_meanwhile_is_left_alone(centre: Centre) -> None:
    """Asterisk does not show it yet, and the floor knows it better than the book."""
    centre.report(LinkRestored(clock.now()))
    await add(centre.book, centre.desk, by_hand())
    (placed,) = centre.placed
    await taking_up(centre).look()
    (task,) = centre.desk.floor.tasks.values()
    assert task.attempt == placed.call
    assert not any(isinstance(fact, CallbackEnded) for fact in centre.posted)


async def test_what_another_program_has_entered_is_dialled_once(
    engine: AsyncEngine, tmp_path: Path, centre: Centre
) -> None:
    """The floor dials in the very step in which it takes a task up, and Asterisk does not show that attempt yet."""
    centre.report(LinkRestored(clock.now()))
    some = taking_up(centre)
    await some.look()
    now = clock.now()
    wanted = Wanted(number=CITIZEN, queue="default", earliest=now, latest=now + HOUR)
    await enter_directly(engine, tmp_path, wanted)
    await some.look()
    assert [placed.call for placed in centre.placed] == ["hotline-c1.1"]
    assert not any(isinstance(fact, CallbackEnded) for fact in centre.posted)


class Changed:
    """A book, read whole, in which somebody then entered a task and cancelled another."""

    def __init__(self) -> None:
        self.answers: list[Any] = [AWAY, ValueError(), ([], []), (["task"], ["cancelled"])]
        self.floor = self
        self.did: list[Any] = []
        self.tasks: dict[int, Any] = {}

    async def dialled(self, _now: int) -> list[Any]:
        return []

    async def open_tasks(self) -> list[Task]:
        return []

    async def untold(self) -> list[Fact]:
        return [CallbackAdded(1, 7, CITIZEN, "default", 0, 9)]

    async def changes(self) -> Any:
        answer = self.answers.pop(0) if self.answers else ([], [])
        if isinstance(answer, Exception):
            raise answer
        added, cancelled = answer
        return [Task.of(CallbackAdded(1, 8, CITIZEN, "default", 0, 9)) for _ in added], cancelled

    def remember_dialled(self, attempts: Any) -> None:
        self.did.append(f"remember {attempts}")

    def take_up(self, tasks: list[Task]) -> None:
        self.did.append(f"take up {[task.id for task in tasks]}")

    def look_after(self, tasks: list[Task]) -> None:
        self.did.append(f"look after {[task.id for task in tasks]}")

    def report(self, *facts: Any) -> None:
        self.did.append(f"report {list(facts)}")


async def test_what_other_programs_change_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_callbacks, "LOOK_EVERY", 0.001)
    centre: Any = Changed()
    noted: list[Fact] = []
    outbound: Outbound = centre
    some = OpenCallbacks(centre, centre, outbound, note=noted.append, informed=lambda: True)
    with capture_logs() as logs:
        await some.look()
        running = spawn(some.run(), "looking")
        async with asyncio.timeout(10):
            while centre.answers or len(centre.did) < 6:
                await asyncio.sleep(0.001)
        running.cancel()
    assert [fact.kind for fact in noted] == ["CallbackAdded"]
    assert centre.did == [
        "remember []",
        "take up []",
        "look after []",
        "take up [8]",
        "look after [8]",
        "report ['cancelled']",
    ]
    told = [one["event"] for one in logs if one["log_level"] == "error"]
    assert told == ["callbacks.away", "callbacks.not_read"], "one line for each kind of failure"
