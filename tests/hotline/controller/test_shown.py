"""The live state: what it holds, when it is sent, and that nothing ends its loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from acd.callbacks.task import State, Task
from acd.floor.hall import Caller, Seat
from acd.rules.text import Rulebook
from agents.model import Intent
from base import clock
from base.background import spawn
from facts.live import LiveState
from facts.times import SECOND
from hotline.controller import shown
from hotline.controller.shown import Shown
from metrics.live import Live, LiveFigures

T = 1_763_700_000 * SECOND
KEYS = [
    "at",
    "stages",
    "waiting_since",
    "today",
    "figures",
    "curve",
    "m4",
    "sla15",
    "sla60",
    "asa",
    "abandoned",
    "callbacks",
    "agents",
    "alarms",
    "waiting",
    "supervision",
    "alerts",
]
"""What screens, programs and the alarms of an older version read: no key is ever taken away."""


class Floor:
    """A floor with one agent, and callbacks as wanted."""

    def __init__(self, *tasks: Task) -> None:
        self.seats = {"1001": Seat("1001", intent=Intent.READY, reachable=True, since=T)}
        self.tasks = {task.id: task for task in tasks}
        self.callers: dict[str, Caller] = {}

    def waiting_since(self) -> int | None:
        return T - 5 * SECOND


class Stage:
    """Everything round the live state, and what it was told."""

    def __init__(self, *tasks: Task) -> None:
        self.sent: list[LiveState] = []
        self.exported: list[int] = []
        self.handed_on = 0
        self.floor = Floor(*tasks)
        self.live = Live()
        self.news = asyncio.Event()

    def shown(self, **other: Any) -> Shown:
        parts: dict[str, Any] = {
            "names": {"1001": "王芳"},
            "book": Rulebook,
            "alarms": list,
            "export": lambda state, now: self.exported.append(now),
            "show": self.sent.append,
            "hand_on": self.hand_on,
            "news": self.news,
        }
        return Shown(self.live, self.floor, **parts | other)

    def hand_on(self) -> None:
        self.handed_on += 1


def task(number: int, state: State, not_before: int = T) -> Task:
    return Task(number, "+861", "default", T, T + SECOND, 3, 0, "", "", "", 0, not_before, state)


async def test_all_that_screens_show() -> None:
    stage = Stage()
    state = stage.shown().state(T)
    assert list(state) == KEYS
    assert state["waiting_since"] == T - 5 * SECOND, "the floor knows better than the figures"
    assert [agent["name"] for agent in state["agents"]] == ["王芳"]
    assert stage.exported == [T]


async def test_third_parties_are_shown_with_the_agent_in_whose_talk_they_are() -> None:
    party = {"id": "hotline-p1", "who": "colleague", "name": "1002", "state": "ringing"}
    there: dict[str, Any] = {"1001": [{**party, "muted": False}]}
    made = Stage().shown(parties=lambda: there)
    assert made.state(T)["agents"][0]["parties"] == [{**party, "muted": False}]
    there.clear()
    assert "parties" not in made.state(T)["agents"][0]


async def test_what_shows_of_few_agents_is_in_their_rows() -> None:
    supervision: Any = [{"agent": "1001", "state": "ringing", "mode": "whisper"}]
    made = Stage().shown(
        unread=lambda: {"1001": 7},
        on_hold=lambda: ["1001"],
        supervision=lambda: supervision,
        supervision_shown=True,
    )
    row = made.state(T)["agents"][0]
    assert (row["message"], row["held"], row.get("supervised")) == (7, True, None)
    supervision[0]["state"] = "on"
    assert made.state(T)["agents"][0]["supervised"] == "whisper"
    plain = Stage().shown(supervision=lambda: supervision).state(T)["agents"][0]
    assert plain.keys() & {"message", "held", "parties", "supervised"} == set()


async def test_only_callbacks_that_may_be_placed_now_are_due() -> None:
    tasks = [
        task(1, State.DUE, T),
        task(2, State.DUE, T + 1),
        task(3, State.DIALLING),
        task(4, State.TALKING),
    ]
    now = Stage(*tasks).shown().state(T)["callbacks"]
    assert (now["open"], now["due"], now["dialling"], now["talking"]) == (4, 1, 1, 1)
    assert (now["yielded"], now["reached"], now["missed"]) == (0, 0, 0)


async def test_the_newest_is_kept_for_the_alarms() -> None:
    stage = Stage()
    made = stage.shown()
    assert made.newest(T)["at"] == T, "before the first one is shown, it is made"
    state = made.state(T + 1)
    assert made.newest(T + 9) is state


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A clock that stands until a test moves it, and no pauses."""
    now = [T]
    monkeypatch.setattr(shown, "SHOW_EVERY", 0.001)
    monkeypatch.setattr(shown, "SHOW_PAUSE", 0.0)
    monkeypatch.setattr(clock, "now", lambda: now[0])
    return now


@contextlib.asynccontextmanager
async def running(made: Shown) -> AsyncIterator[None]:
    work = spawn(made.run(), "shown")
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def rounds(stage: Stage, count: int) -> None:
    until = stage.handed_on + count
    async with asyncio.timeout(20):
        while stage.handed_on < until:
            await asyncio.sleep(0)


async def test_an_unchanged_state_is_sent_again_after_a_second_and_not_before(
    fast: list[int],
) -> None:
    stage = Stage()
    async with running(stage.shown()):
        await rounds(stage, 3)
        assert len(stage.sent) == 1
        fast[0] = T + SECOND
        await rounds(stage, 3)
        assert len(stage.sent) == 1
        fast[0] = T + SECOND + 1
        await rounds(stage, 3)
        assert [state["at"] for state in stage.sent] == [T, T + SECOND + 1]


async def test_a_change_is_sent_at_once(fast: list[int]) -> None:
    stage = Stage()
    async with running(stage.shown()):
        await rounds(stage, 2)
        stage.floor.seats["1001"].intent = Intent.OUT
        fast[0] = T + 1
        await rounds(stage, 2)
    assert [state["agents"][0]["presence"] for state in stage.sent] == ["ready", "out"]


async def test_a_state_that_cannot_be_made_does_not_end_the_loop(fast: list[int]) -> None:
    stage = Stage()

    class Broken:
        def snapshot(self, now: int) -> LiveFigures:
            raise ZeroDivisionError

    made = stage.shown()
    made._figures = Broken()
    with capture_logs() as logs:
        async with running(made):
            await rounds(stage, 3)
            assert stage.sent == []
            made._figures = stage.live
            await rounds(stage, 2)
    assert len(stage.sent) == 1
    assert {entry["event"] for entry in logs} == {"state.failed"}


async def test_news_ends_the_wait_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "SHOW_EVERY", 60.0)
    monkeypatch.setattr(shown, "SHOW_PAUSE", 0.0)
    monkeypatch.setattr(shown, "SHOW_SHARE", 0)
    stage = Stage()
    async with running(stage.shown()):
        await rounds(stage, 1)
        stage.news.set()
        await rounds(stage, 1)


async def test_making_states_takes_a_twentieth_of_a_processor_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    took = iter([0.0, 0.02, 1.0, 1.0, 2.0, 9.0])
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr(time, "thread_time", lambda: next(took, 9.0))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(shown, "SHOW_EVERY", 0.5)
    stage = Stage()
    work = spawn(stage.shown().run(), "shown")
    stage.news.set()
    async with asyncio.timeout(20):
        while len(slept) < 3:
            stage.news.set()
            await real(0)
    work.cancel()
    assert slept[:3] == [pytest.approx(0.4), shown.SHOW_PAUSE, 0.5]


async def test_who_an_agent_talks_with_is_in_their_row() -> None:
    stage = Stage()
    stage.floor.callers["n-1.1"] = Caller("n-1.1", "12345", "+8613800000001", queue="tax")
    stage.floor.seats["1001"].call = "n-1.1"
    [row] = stage.shown().state(T)["agents"]
    assert (row["caller"], row["queue"]) == ("+8613800000001", "tax")
    stage.floor.seats["1001"].call = "n-2.2"
    [row] = stage.shown().state(T)["agents"]
    assert "caller" not in row, "a call that the floor does not know"
