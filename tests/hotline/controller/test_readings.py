"""What the controller measures for its alarms."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.task import State, Task
from base.settings import load
from facts.live import LiveState
from facts.times import SECOND
from hotline.controller import readings
from telephony import certificates
from telephony.link import LinkError
from telephony.trunks import TrunkState
from tests.authority import Authority

T = 1_763_700_000 * SECOND
SHARE = {"numerator": 0, "denominator": 0, "value": None, "enough": False, "lowest": None}


class Parts:
    """A centre in which all is well, unless a test says otherwise."""

    def __init__(self) -> None:
        self.lost_for = 0
        self.lag = (T, 0)
        self.waiting = 0
        self.redis = 0
        self.held = 0
        self.helped = (0, 0)
        self.failing = 0
        self.strangers = 0
        self.guessed = 0
        self.unknown: dict[str, int] = {}
        self.tasks: list[Task] = []
        self.years: list[int] = []
        self.pressed: list[str] = []
        self.answers: bool | Exception | None = True
        self.trunks: dict[str, TrunkState] = {}
        self.looks = 0
        self.paused = 0
        self.blocked = ""
        self.jump = 0.0

    def newest(self, now: int) -> LiveState:
        state: Any = {"stages": {"waiting": 0, "ringing": 0}, "waiting_since": None, "agents": []}
        state["figures"] = {"M1r": SHARE}
        return cast("LiveState", state)

    def link_lost_for(self, now: int) -> int:
        return self.lost_for

    def event_lag(self) -> tuple[int, int]:
        return self.lag

    def unwritten(self) -> int:
        return self.waiting

    def redis_away_for(self, now: int) -> int:
        return self.redis

    def clock_jump(self, now: int) -> float:
        return self.jump

    def not_recordable(self) -> str:
        return self.blocked

    def pauses_too_long(self, now: int) -> int:
        return self.paused

    def refusals(self, now: int) -> int:
        return self.strangers

    def guesses(self, now: int) -> int:
        return self.guessed

    def unknown_numbers(self, now: int) -> dict[str, int]:
        return self.unknown

    def emergencies(self, now: int) -> tuple[int, int]:
        return self.helped

    def held_back(self, now: int) -> int:
        return self.held

    def failing_phones(self) -> int:
        return self.failing

    def open_tasks(self) -> Iterable[Task]:
        return self.tasks

    def red_button(self) -> dict[tuple[str, str], float]:
        return dict.fromkeys((("red_button", agent) for agent in self.pressed), 1)

    def missing_years(self, now: int) -> list[int]:
        return self.years

    async def look_at_trunks(self) -> None:
        self.looks += 1

    def trunk_states(self) -> dict[str, TrunkState]:
        return self.trunks

    async def outbound_answers(self) -> bool | None:
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


def read(parts: Parts, name: str, now: int = T) -> float | None:
    return readings.quick(parts, now)[name, ""]


def test_all_is_well() -> None:
    quick = readings.quick(Parts(), T)
    assert {name for (name, _), value in quick.items() if value} == set()


def test_how_long_a_part_has_been_away() -> None:
    parts = Parts()
    parts.lost_for, parts.redis, parts.waiting = 3 * SECOND, 4 * SECOND, 5
    assert read(parts, "link_lost") == 3
    assert read(parts, "screens_stale") == 4
    assert read(parts, "database_away") == 5


def test_a_delay_of_events_counts_for_ten_seconds_when_no_other_event_comes() -> None:
    parts = Parts()
    parts.lag = (T, 2 * SECOND)
    assert read(parts, "event_lag") == 2
    assert read(parts, "event_lag", T + readings.LAG_HOLDS - 1) == 2
    assert read(parts, "event_lag", T + readings.LAG_HOLDS) == 0


def task(number: int, state: State, latest: int) -> Task:
    return Task(number, "+861", "default", 0, latest, 3, 0, "", "", "", 0, 0, state)


def test_callbacks_whose_deadline_is_near() -> None:
    parts = Parts()
    parts.tasks = [
        task(1, State.DUE, T + readings.SOON - 1),
        task(2, State.DUE, T + readings.SOON),
        task(3, State.DIALLING, T + 1),
    ]
    assert read(parts, "callbacks_due") == 1


def test_strangers_at_the_agi_port() -> None:
    parts = Parts()
    parts.strangers = 2
    assert read(parts, "agi_refused") == 2


def test_recordings_paused_for_too_long() -> None:
    parts = Parts()
    assert read(parts, "recording_paused") == 0
    parts.paused = 2
    assert read(parts, "recording_paused") == 2


def test_numbers_that_are_not_ours() -> None:
    parts = Parts()
    parts.unknown = {"12346": 2, "13812345678": 1}
    quick = readings.quick(parts, T)
    assert quick["unknown_number", "12346"] == 2
    assert quick["unknown_number", "138****5678"] == 1


def test_callbacks_that_a_cap_holds_back() -> None:
    parts = Parts()
    parts.held = 3
    assert read(parts, "dial_budget") == 3


def test_emergencies_and_those_that_failed() -> None:
    parts = Parts()
    assert (read(parts, "emergency"), read(parts, "emergency_failed")) == (0, 0)
    parts.helped = (2, 1)
    assert (read(parts, "emergency"), read(parts, "emergency_failed")) == (2, 1)


def test_phones_that_cannot_be_rung() -> None:
    parts = Parts()
    parts.failing = 2
    assert read(parts, "phones_failing") == 2


def test_the_year_without_a_calendar() -> None:
    parts = Parts()
    parts.years = [2027, 2028]
    assert read(parts, "calendar_missing") == 2027


@pytest.mark.parametrize(
    ("outbound", "lost_for", "answers", "reading"),
    [
        ("sip:127.0.0.1:5070", 0, True, False),
        ("sip:127.0.0.1:5070", 0, False, True),
        ("sip:127.0.0.1:5070", 0, None, None),
        ("sip:127.0.0.1:5070", 0, LinkError("gone"), None),
        ("sip:127.0.0.1:5070", 1, False, None),
        ("", 0, False, None),
    ],
)
async def test_the_way_out(
    engine: AsyncEngine,
    tmp_path: Path,
    outbound: str,
    lost_for: int,
    answers: bool | Exception | None,
    reading: bool | None,
) -> None:
    parts = Parts()
    parts.lost_for, parts.answers = lost_for, answers
    settings = load(home=tmp_path, outbound=outbound)
    slow = await readings.slow(parts, engine, settings, T)
    assert slow["trunk_gone", ""] is reading
    assert ("disk_low", "") in slow


async def test_the_certificate(engine: AsyncEngine, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.sign("exchange", days=40)
    settings = load(home=tmp_path / "home", tls_port=5061, tls_certificate=certificate, tls_key=key)

    async def measured(days: float = 0) -> tuple[float | None, float | None]:
        now = datetime.now(UTC) + timedelta(days=days)
        found = await readings.slow(Parts(), engine, settings, round(now.timestamp() * SECOND))
        left = found["certificate_expires", ""]
        return left and round(left, 2), found["certificate_unusable", ""]

    assert await measured() == (None, True), "Asterisk has none"
    certificates.take(settings)
    assert await measured() == (40, False)
    assert await measured(days=15) == (25, False)
    assert await measured(days=41) == (0, True)
    # A bad renewal: what Asterisk has goes on, and somebody should look.
    key.write_text("nothing")
    assert await measured() == (40, True)
    assert ("certificate_expires", "") not in await readings.slow(
        Parts(), engine, load(home=tmp_path), T
    )


@pytest.mark.parametrize(
    ("state", "away", "refused"),
    [
        (TrunkState.UP, False, False),
        (TrunkState.AWAY, True, False),
        (TrunkState.UNREGISTERED, True, False),
        (TrunkState.REFUSED, False, True),
        (TrunkState.UNKNOWN, None, None),
    ],
)
def test_a_named_trunk(state: TrunkState, away: bool | None, refused: bool | None) -> None:
    parts = Parts()
    parts.trunks = {"telecom": state}
    quick = readings.quick(parts, T)
    assert (quick["trunk_away", "telecom"], quick["trunk_refused", "telecom"]) == (away, refused)
    parts.lost_for = 1
    quick = readings.quick(parts, T)
    assert (quick["trunk_away", "telecom"], quick["trunk_refused", "telecom"]) == (None, None)


def test_whether_calls_can_leave_by_a_trunk() -> None:
    assert [readings.there(state) for state in TrunkState] == [None, True, False, False, False]


async def test_named_trunks_are_asked_again_and_again(engine: AsyncEngine, tmp_path: Path) -> None:
    parts = Parts()
    await readings.slow(parts, engine, load(home=tmp_path), T)
    assert parts.looks == 0, "there is none"
    (tmp_path / "trunks.toml").write_text('[[trunk]]\nname = "telecom"\nhost = "10.0.0.1"\n')
    await readings.slow(parts, engine, load(home=tmp_path), T)
    assert parts.looks == 1


def test_the_red_button_is_an_alarm_of_its_agent() -> None:
    parts = Parts()
    parts.pressed = ["1001"]
    assert readings.quick(parts, T)["red_button", "1001"] == 1
