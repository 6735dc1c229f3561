"""What the alarms are measured by, reading by reading."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.task import State
from base.settings import Settings
from facts.times import SECOND
from hotline.controller import readings
from telephony.link import LinkDown
from tests.hotline.controller.conftest import Clock, Database

T = Clock().at
STATE: dict[str, Any] = {
    "figures": {"M1r": {"value": 0.97, "enough": True}},
    "stages": {"waiting": 0, "ringing": 0},
    "waiting_since": None,
    "agents": [],
}


def parts(**measured: Any) -> SimpleNamespace:
    """A controller that is well, but for what is `measured`."""
    well = {
        "newest": STATE,
        "link_lost_for": 0,
        "event_lag": (0, 0),
        "unwritten": 0,
        "redis_away_for": 0,
        "open_tasks": [],
        "missing_years": [],
    }
    values = {name: measured.get(name, value) for name, value in well.items()}
    return SimpleNamespace(
        **{name: lambda *_, value=value: value for name, value in values.items()}
    )


def quick(name: str, **measured: Any) -> float | None:
    return readings.quick(parts(**measured), T)[name, ""]


def test_all_is_well() -> None:
    assert readings.quick(parts(), T) == {
        ("m1r", ""): 97,
        ("longest_wait", ""): 0,
        ("nobody_ready", ""): 0,
        ("link_lost", ""): 0,
        ("event_lag", ""): 0,
        ("database_away", ""): 0,
        ("screens_stale", ""): 0,
        ("callbacks_due", ""): 0,
        ("calendar_missing", ""): 0,
    }


@pytest.mark.parametrize(
    ("name", "measured", "value"),
    [
        ("link_lost", {"link_lost_for": 7 * SECOND}, 7),
        ("database_away", {"unwritten": 12}, 12),
        ("screens_stale", {"redis_away_for": 3 * SECOND}, 3),
        ("calendar_missing", {"missing_years": [2027, 2028]}, 2027),
        ("longest_wait", {"newest": {**STATE, "waiting_since": T - 9 * SECOND}}, 9),
    ],
)
def test_a_reading(name: str, measured: dict[str, Any], value: float) -> None:
    assert quick(name, **measured) == value


def test_a_lag_holds_for_ten_seconds() -> None:
    assert quick("event_lag", event_lag=(T - 10 * SECOND + 1, 3 * SECOND)) == 3
    assert quick("event_lag", event_lag=(T - 10 * SECOND, 3 * SECOND)) == 0


def test_callbacks_whose_deadline_is_near() -> None:
    def task(state: State, left: int) -> SimpleNamespace:
        return SimpleNamespace(state=state, latest=T + left)

    near, far = readings.SOON - 1, readings.SOON
    tasks = [task(State.DUE, near), task(State.DUE, far), task(State.DIALLING, near)]
    assert quick("callbacks_due", open_tasks=tasks) == 1


# --- those that need the disk, the database or Asterisk


class Way:
    """The way out as Asterisk sees it; an error instead when Asterisk cannot be asked."""

    def __init__(self, answers: bool | Exception | None) -> None:
        self.answers, self.lost_for, self.asked = answers, 0, 0

    def link_lost_for(self, now: int) -> int:
        return self.lost_for

    async def outbound_answers(self) -> bool | None:
        self.asked += 1
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, outbound="sip:192.0.2.1")
    made.spool_dir.mkdir(parents=True)
    return made


@pytest.mark.parametrize(
    ("answers", "gone"), [(True, False), (False, True), (None, None), (LinkDown("no"), None)]
)
async def test_the_way_out(
    engine: AsyncEngine, settings: Settings, answers: bool | Exception | None, gone: bool | None
) -> None:
    found = await readings.slow(Way(answers), engine, settings, T)
    assert found["trunk_gone", ""] is gone


async def test_nobody_asks_without_a_link(engine: AsyncEngine, settings: Settings) -> None:
    way = Way(False)
    way.lost_for = 1
    assert (await readings.slow(way, engine, settings, T))["trunk_gone", ""] is None
    assert way.asked == 0


async def test_nobody_asks_without_a_way_out(engine: AsyncEngine, tmp_path: Path) -> None:
    way = Way(False)
    found = await readings.slow(way, engine, Settings(home=tmp_path), T)
    assert found["trunk_gone", ""] is None
    assert way.asked == 0


async def test_disk_and_diary_are_among_them(
    engine: AsyncEngine, settings: Settings, database: Database
) -> None:
    found = await readings.slow(Way(True), engine, settings, T)
    assert found["recording_blocked", ""] == found["recording_gap", ""] == 0
    database.away = True
    found = await readings.slow(Way(False), engine, settings, T)
    assert found["recording_gap", ""] is None
    assert found["trunk_gone", ""] is True
