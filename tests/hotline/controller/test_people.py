"""The roster on the floor, and what agents ask for on a phone or a screen."""

from collections.abc import Iterable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from agents import roster
from agents.model import Intent
from agents.pause import USUAL
from base import clock, database
from facts import AgentAdded, AgentOut, AgentPaused, AgentReady, Fact
from facts.requests import SetOut, SetPaused, SetReady
from hotline.controller.people import People


class Desk:
    """A desk and a queue_log that write down what they get."""

    def __init__(self) -> None:
        self.seeded: list[Fact] = []
        self.logged: list[Fact] = []
        self.reported: list[Fact] = []

    def report(self, *facts: Fact) -> None:
        self.reported += facts

    def seed(self, facts: Iterable[Fact]) -> None:
        self.seeded += facts


def people(engine: AsyncEngine, desk: Desk) -> People:
    return People(
        engine,
        desk,
        desk.logged.extend,
        on_floor=lambda number: any(getattr(fact, "agent", "") == number for fact in desk.seeded),
        pauses=lambda: USUAL,
    )


async def hire(
    engine: AsyncEngine, number: str, intent: Intent = Intent.OUT, why: str = ""
) -> None:
    await roster.add(engine, number, f"name of {number}", "softphone-secret", clock.now())
    await roster.set_intent(engine, number, intent, why, 7)


async def test_every_agent_takes_the_seat_and_the_state_that_the_roster_has(
    engine: AsyncEngine,
) -> None:
    await hire(engine, "1001", Intent.READY)
    await hire(engine, "1002", Intent.PAUSED, "用餐")
    await hire(engine, "1003")
    desk = Desk()
    made = people(engine, desk)
    await made.read()
    assert desk.seeded == desk.logged
    assert desk.seeded == [
        AgentAdded(7, "1001"),
        AgentReady(7, "1001"),
        AgentAdded(7, "1002"),
        AgentPaused(7, "1002", "用餐"),
        AgentAdded(7, "1003"),
    ]
    assert made.names["1002"] == "name of 1002"


async def test_an_agent_that_another_process_added_just_now_is_found(
    engine: AsyncEngine,
) -> None:
    desk = Desk()
    made = people(engine, desk)
    assert not await made.knows("1001")
    await hire(engine, "1001")
    await hire(engine, "1002")
    assert await made.knows("1001")
    assert desk.seeded == [AgentAdded(7, "1001")], "no other agent is seeded again"


async def test_a_state_that_is_asked_for_is_reported_and_kept(engine: AsyncEngine) -> None:
    await hire(engine, "1001")
    desk = Desk()
    made = people(engine, desk)
    assert await made.set_intent(SetPaused("1001", "会议")) == "ok"
    assert [type(fact) for fact in desk.reported] == [AgentPaused]
    [agent] = await roster.list_all(engine)
    assert (agent.intent, agent.pause_reason) == (Intent.PAUSED, "会议")
    await made.set_intent(SetReady("1001"))
    await made.set_intent(SetOut("1001"))
    assert [type(fact) for fact in desk.reported] == [AgentPaused, AgentReady, AgentOut]
    [agent] = await roster.list_all(engine)
    assert (agent.intent, agent.pause_reason) == (Intent.OUT, "")


async def test_a_stranger_changes_nothing(engine: AsyncEngine) -> None:
    desk = Desk()
    assert await people(engine, desk).set_intent(SetReady("9999")) == "unknown"
    assert desk.reported == []


@pytest.mark.parametrize(
    ("action", "key", "answer", "fact"),
    [
        ("ready", "", "ok", AgentReady),
        ("out", "", "ok", AgentOut),
        ("pause", "2", "ok", AgentPaused),
        ("pause", "", "ok", AgentPaused),
        ("pause", "9", "no such reason", None),
    ],
)
async def test_feature_codes(
    engine: AsyncEngine, action: str, key: str, answer: str, fact: type | None
) -> None:
    await hire(engine, "1001")
    desk = Desk()
    assert await people(engine, desk).dialled("1001", action, key) == answer
    assert [type(one) for one in desk.reported] == ([] if fact is None else [fact])


async def test_a_pause_by_key_has_its_reason(engine: AsyncEngine) -> None:
    await hire(engine, "1001")
    desk = Desk()
    await people(engine, desk).dialled("1001", "pause", "2")
    [fact] = desk.reported
    assert isinstance(fact, AgentPaused)
    assert fact.reason == next(pause.name for pause in USUAL if pause.key == "2")


async def test_without_a_database_the_floor_still_takes_the_state() -> None:
    gone = database.engine("sqlite+aiosqlite:////nonexistent/hotline.db")
    desk = Desk()
    made = people(gone, desk)
    made.names["1001"] = "王芳"
    desk.seeded.append(AgentAdded(1, "1001"))
    with capture_logs() as logs:
        assert await made.set_intent(SetReady("1001")) == "ok"
        await made.read()
    assert [type(fact) for fact in desk.reported] == [AgentReady]
    assert [entry["event"] for entry in logs] == ["roster.away", "roster.away"]
    await gone.dispose()


async def test_an_agent_who_was_removed_is_not_known(engine: AsyncEngine) -> None:
    desk = Desk()
    made = people(engine, desk)
    made.names["1001"] = "王芳"  # screens still show them
    assert await made.set_intent(SetReady("1001")) == "unknown"
    assert desk.reported == []
