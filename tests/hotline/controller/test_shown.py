"""The live state: what it is made of, and when screens get it. No real second passes here."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from acd.callbacks.task import State, Task
from acd.floor import Seat
from acd.rules.text import Rulebook
from facts.live import LiveState
from facts.times import SECOND
from hotline.controller import shown as module
from hotline.controller.shown import Shown
from tests.hotline.controller.conftest import Clock

T = Clock().at
FIGURES: dict[str, Any] = {
    name: name
    for name in ("stages", "today", "figures", "curve", "m4", "sla15", "sla60", "asa", "abandoned")
}
Until = Callable[[Callable[[], object]], Awaitable[None]]


class Floor:
    """Agents and tasks as a test puts them there."""

    def __init__(self) -> None:
        self.seats: dict[str, Seat] = {}
        self.tasks: dict[int, Task] = {}

    def waiting_since(self) -> int | None:
        return T - SECOND


class Screens:
    """A live state and all who have a part in it. `fails`: the one that does; `busy`: facts come all the time."""

    def __init__(self) -> None:
        self.floor, self.news = Floor(), asyncio.Event()
        self.fails, self.busy, self.reached, self.handed_on = "", False, 5, 0
        self.exported: list[LiveState] = []
        self.shown: list[LiveState] = []
        self.made = Shown(
            SimpleNamespace(snapshot=self.figures),
            self.floor,
            names={"1001": "王芳"},
            book=Rulebook,
            alarms=lambda: iter([{"id": "a1b2c3"}]),
            export=lambda state, now: self.put("export", self.exported, state),
            show=lambda state: self.put("show", self.shown, state),
            hand_on=self.hand_on,
            news=self.news,
        )

    def figures(self, now: int) -> dict[str, Any]:
        callbacks = {"yielded": 3, "reached": self.reached, "missed": 1}
        made: list[dict[str, Any]] = []
        self.put("figures", made, {**FIGURES, "callbacks": callbacks})
        return made[0]

    def put(self, part: str, where: list[Any], what: Any) -> None:
        if part == self.fails:
            raise ZeroDivisionError
        where.append(what)

    def hand_on(self) -> None:
        self.handed_on += 1
        if self.busy:
            self.news.set()
        self.put("hand_on", [], None)


@pytest.fixture
def screens(clock: Clock) -> Screens:
    return Screens()


def task(number: int, state: State, not_before: int = T) -> Task:
    text = {"number": "", "queue": "default", "prefers": "", "reason": "", "origin": ""}
    times = {"earliest": T, "latest": T + SECOND, "spacing": 0}
    return Task(
        number, **text, **times, attempts_left=3, place=0, not_before=not_before, state=state
    )  # type: ignore[arg-type]


# --- what it is made of


def test_figures_floor_and_alarms_together(screens: Screens) -> None:
    screens.floor.seats["1001"] = Seat("1001", since=T)
    state = screens.made.state(T)
    assert {name: state[name] for name in FIGURES} == FIGURES
    assert (state["at"], state["waiting_since"]) == (T, T - SECOND)
    assert [(agent["number"], agent["name"]) for agent in state["agents"]] == [("1001", "王芳")]
    assert state["alarms"] == [{"id": "a1b2c3"}]
    assert screens.exported == [state]


def test_due_are_only_those_to_be_placed_now(screens: Screens) -> None:
    screens.floor.tasks = {
        1: task(1, State.DUE),
        2: task(2, State.DUE, not_before=T + 1),
        3: task(3, State.DIALLING),
        4: task(4, State.TALKING),
        5: task(5, State.TALKING),
    }
    now = screens.made.state(T)["callbacks"]
    assert (now["open"], now["due"], now["dialling"], now["talking"]) == (5, 1, 1, 2)
    assert (now["yielded"], now["reached"], now["missed"]) == (3, 5, 1)
    assert screens.made.state(T + 1)["callbacks"]["due"] == 2


def test_the_newest_is_the_one_made_last(screens: Screens) -> None:
    assert screens.made.newest(T)["at"] == T
    state = screens.made.state(T + 1)
    assert screens.made.newest(T + 2) is state


# --- when screens get it


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHOW_EVERY", 0.002)
    monkeypatch.setattr(module, "SHOW_PAUSE", 0.001)


@contextlib.contextmanager
def running(screens: Screens) -> Iterator[Callable[[], bool]]:
    """Run it; gives what says, once it was called, whether three more states were looked at since."""
    task = asyncio.get_running_loop().create_task(screens.made.run())
    looked = [0]

    def thrice() -> bool:
        looked[0] = looked[0] or screens.handed_on + 3
        if screens.handed_on < looked[0]:
            return False
        looked[0] = 0
        return True

    yield thrice
    assert not task.done()
    task.cancel()


@pytest.mark.usefixtures("quick")
async def test_an_unchanged_state_is_sent_again_after_a_second(
    screens: Screens, clock: Clock, until: Until
) -> None:
    with running(screens) as thrice:
        await until(thrice)
        assert [state["at"] for state in screens.shown] == [T]
        clock.at = T + SECOND
        await until(thrice)
        assert [state["at"] for state in screens.shown] == [T]
        clock.at = T + SECOND + 1
        await until(thrice)
        assert [state["at"] for state in screens.shown] == [T, T + SECOND + 1]
    assert len(screens.exported) == screens.handed_on


@pytest.mark.usefixtures("quick")
async def test_a_changed_state_is_sent_at_once(
    screens: Screens, clock: Clock, until: Until
) -> None:
    with running(screens) as thrice:
        await until(thrice)
        clock.at, screens.reached = T + 1, 6
        await until(thrice)
    assert [state["callbacks"]["reached"] for state in screens.shown] == [5, 6]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("part", ["figures", "hand_on", "export", "show"])
async def test_a_part_that_fails_does_not_end_it(
    screens: Screens, clock: Clock, until: Until, part: str
) -> None:
    with capture_logs() as logs, running(screens) as thrice:
        screens.fails = part
        await until(thrice)
        assert screens.shown == []
        assert {line["event"] for line in logs} == {"state.failed"}
        screens.fails = ""
        clock.at += 2 * SECOND
        await until(thrice)
    assert [state["at"] for state in screens.shown] == [clock.at]


class Processor:
    """Each state takes so long. `pauses`: what was slept for between states, in seconds."""

    def __init__(self, took: float, most: int) -> None:
        self.took, self.most, self.spent = took, most, 0.0
        self.pauses: list[float] = []

    def thread_time(self) -> float:
        self.spent += self.took
        return self.spent

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == self.most:
            raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("took", "pause"),
    [(0.0, module.SHOW_PAUSE), (0.01, 0.01 * module.SHOW_SHARE), (1.0, module.SHOW_EVERY)],
)
async def test_states_leave_time_for_calls(
    screens: Screens, monkeypatch: pytest.MonkeyPatch, took: float, pause: float
) -> None:
    processor = Processor(took, most=3)
    monkeypatch.setattr(module, "time", processor)
    monkeypatch.setattr(
        module, "asyncio", SimpleNamespace(sleep=processor.sleep, timeout=asyncio.timeout)
    )
    screens.busy = True
    with pytest.raises(asyncio.CancelledError):
        await screens.made.run()
    assert processor.pauses == pytest.approx([pause] * 3)


async def test_news_is_shown_as_soon_as_it_comes(
    screens: Screens, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOW_EVERY", 30)
    monkeypatch.setattr(module, "SHOW_PAUSE", 0)
    with running(screens):
        await until(lambda: screens.shown)
        screens.reached = 6
        await asyncio.sleep(0.01)
        assert len(screens.shown) == 1
        screens.news.set()
        await until(lambda: len(screens.shown) == 2)
