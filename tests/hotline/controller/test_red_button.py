"""The red button: fact and urgent matter of one moment, a timer that no restart forgets, and escalation."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.floor import Caller, Seat
from alarms import urgent
from base.background import spawn
from base.bus import Refused
from diary import reader
from diary.writer import Diary
from facts import AlertAcknowledged, AlertEscalated, AlertRaised, Fact
from facts.requests import AcknowledgeAlert, RaiseAlert
from facts.times import SECOND
from hotline.controller.red_button import MOST_LEVELS, RedButton

T = 1_763_700_000 * SECOND
CITIZEN = "+8613800000001"


class Centre:
    """One agent talks, one does not. The clock stands still until a test moves it."""

    def __init__(self, engine: AsyncEngine, folder: Path) -> None:
        self.engine = engine
        self.now = T
        self.facts: list[Fact] = []
        self.seats = {"1001": Seat("1001", call="n-1.1", answered=True), "1002": Seat("1002")}
        self.callers = {"n-1.1": Caller("n-1.1", "12345", CITIZEN)}
        self.diary = Diary(engine, folder, beside=urgent.beside(engine.dialect.name))
        self.diary.start()
        self.button = self.another()

    def another(self) -> RedButton:
        """The button of a controller that has just started."""
        return RedButton(
            self.engine, self, self.record, self.diary.flush, lambda: self.now, within=60
        )

    def record(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.diary.write(fact)


@pytest.fixture
async def centre(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Centre]:
    made = Centre(engine, tmp_path)
    yield made
    await made.diary.close()


async def test_fact_and_urgent_matter_have_one_timestamp(centre: Centre) -> None:
    reply = await centre.button.raise_alert(RaiseAlert("1001", "li", "煤气泄漏 13912345678"))
    raised = AlertRaised(T, "n-1.1", "1001", T, "li", "煤气泄漏 139****5678")
    assert centre.facts == [raised]
    assert reply.id == T
    [matter] = await urgent.unseen(centre.engine)
    assert (matter.id, matter.at, matter.call, matter.agent) == (T, T, "n-1.1", "1001")
    known = [fact async for fact in reader.read(centre.engine, T, T + 1)]
    assert known == [raised]
    [row] = centre.button.rows()
    assert (row["caller"], row["level"]) == (CITIZEN, 0)
    assert centre.button.readings() == {("red_button", "1001"): 1}


async def test_neither_is_written_without_the_other(centre: Centre) -> None:
    """The table is away, so the fact waits in the journal with it."""
    async with centre.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE urgent_matter RENAME TO away")
    reply = await centre.button.raise_alert(RaiseAlert("1001"))
    assert reply.said.endswith("the database is away, so it is in the journal")
    assert [fact async for fact in reader.read(centre.engine, T, T + 1)] == []
    async with centre.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE away RENAME TO urgent_matter")
    async with asyncio.timeout(20):
        while not await urgent.unseen(centre.engine):
            await centre.diary.flush(1)
    assert len([fact async for fact in reader.read(centre.engine, T, T + 1)]) == 1


async def test_only_a_talk_has_a_red_button_and_one_alert(centre: Centre) -> None:
    for agent in ("1002", "1009"):
        assert "is not in a talk" in await centre.button.press(agent)
    assert await centre.button.press("1001") == ""
    again = await centre.button.raise_alert(RaiseAlert("1001"))
    assert again.said.startswith(f"alert {T} is raised already")
    assert len(centre.facts) == 1


async def test_whoever_acknowledges_it_ends_the_timer(centre: Centre) -> None:
    await centre.button.press("1001")
    centre.now += 5 * SECOND
    await centre.button.acknowledge(AcknowledgeAlert(T, "chief"))
    assert centre.facts[1:] == [AlertAcknowledged(T + 5 * SECOND, "n-1.1", "1001", T, "chief")]
    assert (centre.button.rows(), centre.button.readings()) == ([], {})
    [matter] = await urgent.newest(centre.engine)
    assert (matter.acknowledged_at, matter.acknowledged_by) == (T + 5 * SECOND, "chief")
    with pytest.raises(Refused, match="acknowledged already"):
        await centre.button.acknowledge(AcknowledgeAlert(T, "chief"))
    with pytest.raises(Refused, match="there is no alert 7"):
        await centre.button.acknowledge(AcknowledgeAlert(7, "chief"))


async def test_the_alarm_stands_for_its_alert(centre: Centre) -> None:
    await centre.button.press("1001")
    centre.button.alarm_seen("1002", "chief")
    assert len(centre.button.rows()) == 1
    centre.button.alarm_seen("1001", "chief")
    assert centre.button.rows() == []
    assert isinstance(centre.facts[-1], AlertAcknowledged)


async def escalates(centre: Centre, button: RedButton, count: int) -> None:
    """Let the timer run until there are so many escalations."""
    work = spawn(button.run(), "red button")
    try:
        async with asyncio.timeout(20):
            while sum(isinstance(fact, AlertEscalated) for fact in centre.facts) < count:
                await asyncio.sleep(0.01)
    finally:
        work.cancel()


async def test_nobody_sees_it_so_it_escalates_and_a_restart_goes_on(centre: Centre) -> None:
    await centre.button.press("1001")
    centre.now += 60 * SECOND
    await escalates(centre, centre.button, 1)
    assert centre.facts[-1] == AlertEscalated(T + 60 * SECOND, "n-1.1", "1001", T, 1)
    assert centre.button.readings()["red_button_unseen", "1001 (1)"] == 1
    assert await centre.diary.flush()
    # The controller is gone for two minutes and a half; what was due meanwhile is one step.
    centre.now += 150 * SECOND
    fresh = centre.another()
    assert fresh.rows() == []
    await escalates(centre, fresh, 2)
    assert centre.facts[-1] == AlertEscalated(T + 210 * SECOND, "n-1.1", "1001", T, 3)
    [row] = fresh.rows()
    assert (row["id"], row["level"]) == (T, 3)
    centre.now += 3600 * SECOND
    await escalates(centre, fresh, 3)
    assert fresh.rows()[0]["level"] == MOST_LEVELS
    assert len(centre.facts) == 4
