"""The agents as the controller knows them, on a real roster: who is known, and what they ask for."""

from collections.abc import Iterable
from typing import TypeAlias

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from agents import roster
from agents.model import Agent, Intent
from agents.pause import USUAL, Pause
from facts import AgentAdded, AgentOut, AgentPaused, AgentReady, Fact
from facts.requests import SetOut, SetPaused, SetReady
from hotline.controller.people import People
from tests.hotline.controller.conftest import Clock, Database

T = Clock().at


class Desk:
    """A floor that only knows who sits there."""

    def __init__(self) -> None:
        self.seeded: list[Fact] = []
        self.reported: list[Fact] = []
        self.agents: set[str] = set()

    def seed(self, facts: Iterable[Fact]) -> None:
        self.seeded += facts
        self.agents |= {fact.agent for fact in facts}

    def report(self, *facts: Fact) -> None:
        self.reported += facts


Log: TypeAlias = list[Fact]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def queue_log() -> Log:
    return []


@pytest.fixture
def pauses() -> list[Pause]:
    return list(USUAL)


@pytest.fixture
async def people(
    engine: AsyncEngine, desk: Desk, queue_log: Log, pauses: list[Pause], clock: Clock
) -> People:
    """Three agents: 1001 is out, 1002 is ready, 1003 eats."""
    for number, name in (("1001", "王芳"), ("1002", "李雷"), ("1003", "韩梅")):
        await roster.add(engine, number, name, "secret1", T)
    await roster.set_intent(engine, "1002", Intent.READY, "", T + 2)
    await roster.set_intent(engine, "1003", Intent.PAUSED, "用餐", T + 3)
    return People(engine, desk, queue_log.extend, desk.agents.__contains__, lambda: pauses)


async def asked_for(engine: AsyncEngine, number: str) -> Agent:
    return next(agent for agent in await roster.list_all(engine) if agent.number == number)


# --- reading the roster


async def test_a_start_puts_everybody_on_the_floor(
    people: People, desk: Desk, queue_log: Log
) -> None:
    await people.read()
    assert desk.seeded == [
        AgentAdded(T, "1001"),
        AgentAdded(T + 2, "1002"),
        AgentReady(T + 2, "1002"),
        AgentAdded(T + 3, "1003"),
        AgentPaused(T + 3, "1003", "用餐"),
    ]
    assert queue_log == desk.seeded
    assert people.names == {"1001": "王芳", "1002": "李雷", "1003": "韩梅"}


async def test_an_absent_database_changes_nothing(
    people: People, desk: Desk, database: Database
) -> None:
    await people.read()
    before = [*desk.seeded], dict(people.names)
    database.away = True
    with capture_logs() as logs:
        await people.read()
    assert (desk.seeded, people.names) == before
    assert [line["event"] for line in logs] == ["roster.away"]


# --- who is known


async def test_an_agent_of_the_floor_is_known_without_a_question(
    people: People, database: Database
) -> None:
    await people.read()
    database.away = True
    assert await people.knows("1001")


async def test_an_agent_added_by_another_process_is_known(
    people: People, engine: AsyncEngine, desk: Desk
) -> None:
    await people.read()
    desk.seeded.clear()
    await roster.add(engine, "1004", "赵四", "secret1", T + 4)
    assert await people.knows("1004")
    assert desk.seeded == [AgentAdded(T + 4, "1004")]
    assert people.names["1004"] == "赵四"


async def test_nobody_else_is_known(people: People, database: Database) -> None:
    await people.read()
    assert not await people.knows("1009")
    database.away = True
    assert not await people.knows("1009")


async def test_an_agent_who_was_removed_is_not_known(
    people: People, engine: AsyncEngine, desk: Desk
) -> None:
    await people.read()
    await roster.remove(engine, "1001")
    desk.agents.remove("1001")
    assert not await people.knows("1001")
    assert await people.set_intent(SetReady("1001")) == "unknown"
    assert desk.reported == []


async def test_an_agent_who_was_removed_and_added_again_is_known(
    people: People, engine: AsyncEngine, desk: Desk
) -> None:
    await people.read()
    await roster.remove(engine, "1001")
    desk.agents.remove("1001")
    await roster.add(engine, "1001", "王小芳", "secret1", T + 5)
    assert await people.knows("1001")
    assert desk.seeded[-1] == AgentAdded(T + 5, "1001")


# --- what they ask for


@pytest.mark.parametrize(
    ("asked", "fact", "intent", "reason"),
    [
        (SetReady("1001"), AgentReady(T, "1001"), Intent.READY, ""),
        (SetPaused("1001", "培训"), AgentPaused(T, "1001", "培训"), Intent.PAUSED, "培训"),
        (SetOut("1001"), AgentOut(T, "1001"), Intent.OUT, ""),
    ],
)
async def test_the_floor_is_told_and_the_roster_keeps_it(
    people: People,
    engine: AsyncEngine,
    desk: Desk,
    asked: SetReady | SetPaused | SetOut,
    fact: Fact,
    intent: Intent,
    reason: str,
) -> None:
    assert await people.set_intent(asked) == "ok"
    assert desk.reported == [fact]
    assert await asked_for(engine, "1001") == Agent("1001", "王芳", intent, reason, T)


async def test_an_unknown_agent_asks_in_vain(people: People, desk: Desk) -> None:
    assert await people.set_intent(SetReady("1009")) == "unknown"
    assert await people.dialled("1009", "ready", "") == "unknown"
    assert desk.reported == []


async def test_the_floor_has_it_although_the_database_is_away(
    people: People, engine: AsyncEngine, desk: Desk, database: Database
) -> None:
    await people.read()
    database.away = True
    with capture_logs() as logs:
        assert await people.set_intent(SetReady("1001")) == "ok"
    assert desk.reported == [AgentReady(T, "1001")]
    assert [(line["event"], line["agent"]) for line in logs] == [("roster.away", "1001")]
    database.away = False
    assert (await asked_for(engine, "1001")).intent is Intent.OUT


@pytest.mark.parametrize(
    ("action", "key", "fact"),
    [
        ("ready", "", AgentReady(T, "1001")),
        ("out", "", AgentOut(T, "1001")),
        ("pause", "", AgentPaused(T, "1001", "其他")),
        ("pause", "2", AgentPaused(T, "1001", "用餐")),
    ],
)
async def test_feature_codes(people: People, desk: Desk, action: str, key: str, fact: Fact) -> None:
    assert await people.dialled("1001", action, key) == "ok"
    assert desk.reported == [fact]


async def test_a_key_without_a_reason_is_refused(people: People, desk: Desk) -> None:
    assert await people.dialled("1001", "pause", "9") == "no such reason"
    assert desk.reported == []


async def test_a_centre_has_reasons_of_its_own(
    people: People, desk: Desk, pauses: list[Pause]
) -> None:
    pauses[:] = [Pause("2", "值班会", 10)]
    assert await people.dialled("1001", "pause", "2") == "ok"
    assert await people.dialled("1001", "pause", "1") == "no such reason"
    assert desk.reported == [AgentPaused(T, "1001", "值班会")]
