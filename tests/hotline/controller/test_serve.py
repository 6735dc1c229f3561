"""The controller as a whole, without Asterisk and Redis: it wires up, its facts arrive, and it closes in order."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from acd.callbacks.book import TaskBook
from agents import roster
from base.bus import Refused
from base.settings import Settings
from diary import reader
from diary.writer import Diary
from facts import (
    AgentReady,
    CallArrived,
    CallbackAdded,
    CallEnded,
    CallQueued,
    ControllerStarted,
    ControllerStopped,
    Fact,
    LinkRestored,
)
from facts.live import LiveState
from facts.requests import AgentWasAdded, AgentWasRemoved, GetStatus, Reply, Request, SetReady
from facts.terms import Party
from hotline import __version__
from hotline.controller import serve as module
from hotline.controller.serve import Controller
from tests.fakes.asterisk_ami import FakeAsterisk

CALL = "hotline-1.1"
Until = Callable[[Callable[[], object]], Awaitable[None]]


class FakeBus:
    """Redis, in a list of what was sent. `ask` is what screens would."""

    def __init__(self, url: str, node: str) -> None:
        self.sent: list[Fact] = []
        self.states: list[LiveState] = []
        self.closed = False

    def send(self, fact: Fact) -> None:
        self.sent.append(fact)

    def show(self, state: LiveState) -> None:
        self.states.append(state)

    def away_for(self, now: int) -> int:
        return 0

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def answer(self, handle: Callable[[Request], Awaitable[Reply]]) -> None:
        self.ask = handle
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = True


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A centre in a folder of its own, on ports where nobody listens."""
    made = Settings(home=tmp_path, ami_port=free_port(), agi_port=free_port(), stop_wait=0)
    for folder in (made.run_dir, made.log_dir, made.asterisk_dir, made.spool_dir):
        folder.mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def buses(monkeypatch: pytest.MonkeyPatch) -> list[FakeBus]:
    made: list[FakeBus] = []

    def bus(url: str, node: str) -> FakeBus:
        made.append(FakeBus(url, node))
        return made[-1]

    monkeypatch.setattr(module, "Bus", bus)
    return made


@pytest.fixture
async def controller(
    settings: Settings, engine: AsyncEngine, buses: list[FakeBus]
) -> AsyncIterator[Controller]:
    """One that has been told to stop before Asterisk was there: `start` does not wait for it."""
    await roster.add(engine, "1001", "王芳", "secret1", 1)
    made = Controller(settings, engine)
    stop = asyncio.Event()
    stop.set()
    await made.start(stop)
    yield made
    await made.stop()


async def diary_of(engine: AsyncEngine) -> list[Fact]:
    return [fact async for fact in reader.read(engine, 0, 1 << 62)]


async def test_it_is_made_without_asterisk(
    settings: Settings, engine: AsyncEngine, buses: list[FakeBus]
) -> None:
    made = Controller(settings, engine)
    assert made.unwritten() == made.redis_away_for(1) == 0
    assert made.event_lag() == (0, 0)
    assert list(made.open_tasks()) == []
    assert made.newest(1)["at"] == 1


async def test_facts_reach_diary_figures_and_bus(
    controller: Controller, engine: AsyncEngine, buses: list[FakeBus], until: Until
) -> None:
    [bus] = buses
    await until(lambda: bus.states)
    assert bus.sent == [ControllerStarted(bus.sent[0].at, __version__)]
    assert [agent["name"] for agent in bus.states[0]["agents"]] == ["王芳"]

    at = bus.sent[0].at + 1
    facts = [CallArrived(at, CALL, "12345", "+8613800000001"), CallQueued(at, CALL, "default")]
    controller._desk.report(*facts)
    await until(lambda: bus.states[-1]["stages"]["waiting"] == 1)
    assert bus.sent[1:] == facts
    controller._desk.report(CallEnded(at + 1, CALL, Party.CALLER))
    await until(lambda: bus.states[-1]["stages"]["waiting"] == 0)
    await until(lambda: isinstance(bus.sent[-1], CallbackAdded))  # for a caller who gave up
    assert [task.origin for task in controller.open_tasks()] == [CALL]
    await controller._diary.flush()
    assert await diary_of(engine) == sorted(bus.sent, key=lambda fact: fact.at)


async def test_requests_are_answered(
    controller: Controller, engine: AsyncEngine, buses: list[FakeBus], until: Until
) -> None:
    [bus] = buses
    await until(lambda: hasattr(bus, "ask"))
    assert await bus.ask(GetStatus()) == Reply(ready=False)
    assert await bus.ask(SetReady("1001")) == Reply("agent 1001: unreachable")
    await roster.add(engine, "1002", "李雷", "secret1", 1)
    assert await bus.ask(AgentWasAdded("1002")) == Reply()
    await until(lambda: any(isinstance(fact, AgentReady) for fact in bus.sent))
    await until(lambda: [one["number"] for one in bus.states[-1]["agents"]] == ["1001", "1002"])


async def test_an_agent_removed_in_a_talk_and_added_again_is_back(
    controller: Controller, engine: AsyncEngine, buses: list[FakeBus], until: Until
) -> None:
    seats = controller._desk.floor.seats
    seats["1001"].call, seats["1001"].answered = CALL, True
    await roster.remove(engine, "1001")
    await until(lambda: hasattr(buses[0], "ask"))
    assert await buses[0].ask(AgentWasRemoved("1001")) == Reply()
    assert seats["1001"].removed
    with pytest.raises(Refused):
        await buses[0].ask(SetReady("1001"))
    await roster.add(engine, "1001", "王芳", "secret1", 2)
    assert await buses[0].ask(AgentWasAdded("1001")) == Reply()
    assert not seats["1001"].removed


async def test_without_asterisk_the_link_is_lost(controller: Controller, until: Until) -> None:
    lost_at = controller._recovery.link_lost_at
    assert controller.link_lost_for(lost_at + 5) == 5


async def test_a_port_for_prometheus_that_is_taken_costs_the_figures(
    settings: Settings, engine: AsyncEngine, buses: list[FakeBus]
) -> None:
    stop = asyncio.Event()
    stop.set()
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as logs:
        port = taken.getsockname()[1]
        made = Controller(settings.model_copy(update={"metrics_port": port}), engine)
        await made.start(stop)
        await made.stop()
    assert [line["port"] for line in logs if line["event"] == "metrics.no_port"] == [port]


async def test_it_stops_in_order(
    settings: Settings,
    engine: AsyncEngine,
    buses: list[FakeBus],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[str] = []
    for owner, name in ((TaskBook, "book"), (Diary, "diary"), (FakeBus, "bus")):
        monkeypatch.setattr(owner, "close", noting(owner.close, closed, name))
    made = Controller(settings, engine)
    stop = asyncio.Event()
    stop.set()
    await made.start(stop)
    before = asyncio.all_tasks()
    await made.stop()

    assert closed == ["book", "diary", "bus"]
    assert [fact.kind for fact in buses[0].sent] == ["ControllerStarted", "ControllerStopped"]
    assert isinstance((await diary_of(engine))[-1], ControllerStopped)
    await asyncio.sleep(0)
    assert {task.get_name() for task in before if not task.done()} == {
        asyncio.current_task().get_name()
    }
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", settings.agi_port)


def noting(close: Callable[[Any], Awaitable[None]], closed: list[str], name: str) -> Any:
    """`close`, which writes its name down when it is done."""

    async def noted(self: Any) -> None:
        await close(self)
        closed.append(name)

    return noted


async def test_it_is_ready_once_asterisk_was_read(
    settings: Settings, engine: AsyncEngine, buses: list[FakeBus], until: Until
) -> None:
    async with FakeAsterisk() as asterisk:
        asterisk.answers = {
            action: [{"Response": "Success"}, {"Event": complete}]
            for action, complete in (
                ("PJSIPShowContacts", "ContactListComplete"),
                ("Status", "StatusComplete"),
            )
        }
        made = Controller(settings.model_copy(update={"ami_port": asterisk.port}), engine)
        asterisk.secret = (settings.secrets_dir / "ami").read_text().strip()
        async with asyncio.timeout(5):
            await made.start(asyncio.Event())
        assert {"PJSIPShowContacts", "Status"} <= set(asterisk.names())
        assert made.link_lost_for(1) == 0
        await until(lambda: any(isinstance(fact, LinkRestored) for fact in buses[0].sent))
        assert await buses[0].ask(GetStatus()) == Reply(ready=True)
        await made.stop()
