"""Coming back: the diary, CEL and AMI bring the floor to what exists in Asterisk, before the first offer."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base.settings import Settings
from diary.writer import Diary
from facts import (
    CallArrived,
    CallDetached,
    CallEnded,
    CallQueued,
    CallTransferred,
    Fact,
    LinkLost,
    LinkRestored,
    PhoneReachable,
)
from facts.terms import CallId, Party
from facts.times import SECOND
from hotline.controller import recovery as module
from hotline.controller.recovery import LONGEST_AWAY, LONGEST_OPEN, OVERLAP, Recovery
from telephony.cel import Reading
from telephony.channels import AsteriskState, Waiting
from tests.hotline.controller.conftest import Clock, Database

T = Clock().at
CALL, OTHER = "hotline-1.1", "hotline-1.2"
Write = Callable[..., Awaitable[None]]


def arrived(at: int, call: CallId = CALL) -> CallArrived:
    return CallArrived(at, call, "12345", "+8613800000001")


def ended(at: int, call: CallId = CALL) -> CallEnded:
    return CallEnded(at, call, Party.CALLER)


class Centre:
    """Everything that a recovery talks to. `told`: who was told what, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.callers: list[Any] = []
        self.state = AsteriskState((), (), (), (), frozenset())
        self.tasks: list[str] | Exception = ["task 7"]
        self.floor = SimpleNamespace(callers=self, tasks=self, expect=self.expect)

    def values(self) -> list[Any]:
        return self.callers

    def expect(self, calls: Iterable[CallId], until: int) -> None:
        self.told.append(("expect", list(calls), until))

    def say(self, word: str) -> Callable[[Any], None]:
        return lambda what: self.told.append((word, what))

    async def flush(self) -> None:
        self.told.append(("flush",))

    async def open_tasks(self) -> list[str]:
        if isinstance(self.tasks, Exception):
            raise self.tasks
        return self.tasks

    async def read_state(self) -> AsteriskState:
        return self.state

    async def recall(self, call: CallId) -> None:
        self.told.append(("recall", call))

    def facts(self) -> list[Fact]:
        return [told[1] for told in self.told if told[0] == "report"]


class Cel:
    """Asterisk's record: `missed` is what it knows beyond the diary. `asked`: since when it was read."""

    def __init__(self) -> None:
        self.missed: list[Fact] = []
        self.asked: list[int] = []
        self.alive: set[CallId] = set()
        self.known: list[Fact] = []
        self.fails, self.garbage = False, 0

    def read_since(self, path: Path, at: int) -> Reading:
        if self.fails:
            raise PermissionError(path)
        self.asked.append(at)
        return Reading((), self.garbage)

    def complete(
        self, events: Any, known: list[Fact], *, alive: set[CallId], **_: Any
    ) -> list[Fact]:
        self.known, self.alive = known, alive
        return self.missed


@pytest.fixture
def centre() -> Centre:
    return Centre()


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Cel:
    made = Cel()
    monkeypatch.setattr(module, "cel_file", made)
    monkeypatch.setattr(module, "cel", made)
    return made


@pytest.fixture
def recovery(
    engine: AsyncEngine, tmp_path: Path, centre: Centre, record: Cel, clock: Clock
) -> Recovery:
    return Recovery(
        engine,
        Settings(home=tmp_path, settle_time=3),
        desk=SimpleNamespace(
            floor=centre.floor,
            seed=centre.say("seed"),
            report=centre.say("report"),
            take_up=centre.say("take up"),
        ),
        switch=centre,
        outbound=SimpleNamespace(caught_up=lambda tasks: centre.told.append(("outbound",))),
        seed_log=centre.say("queue_log"),
        flush=centre.flush,
        open_tasks=centre.open_tasks,
        numbers=lambda: ["12345"],
        renew=centre.say("renew"),
    )


@pytest.fixture
def write(engine: AsyncEngine, tmp_path: Path) -> Write:
    """Write facts into the diary, in this order."""

    async def write(*facts: Fact) -> None:
        diary = Diary(engine, tmp_path)
        diary.start()
        for fact in facts:
            diary.write(fact)
        await diary.close()

    return write


# --- a start: the diary


async def test_open_calls_and_callbacks_are_taken_up(
    recovery: Recovery, centre: Centre, write: Write
) -> None:
    queued = CallQueued(T - 4, CALL, "default")
    await write(arrived(T - 5), queued, arrived(T - 3, OTHER), ended(T - 2, OTHER))
    await recovery.read_diary()
    open_call = [arrived(T - 5), queued]
    assert centre.told == [
        ("queue_log", open_call),
        ("seed", open_call),
        ("flush",),
        ("take up", ["task 7"]),
    ]


async def test_a_call_of_yesterday_is_not_open(
    recovery: Recovery, centre: Centre, write: Write
) -> None:
    await write(arrived(T - LONGEST_OPEN))
    await recovery.read_diary()
    assert "seed" not in {told[0] for told in centre.told}


async def test_callbacks_that_cannot_be_read_wait_for_the_next_start(
    recovery: Recovery, centre: Centre
) -> None:
    centre.tasks = ConnectionError()
    with capture_logs() as logs:
        await recovery.read_diary()
    assert centre.told == [("flush",)]
    assert [line["event"] for line in logs] == ["callbacks.away"]


@pytest.mark.parametrize(
    ("diary", "since"),
    [
        pytest.param([], T, id="nothing was ever written"),
        pytest.param([ended(T - 60)], T - 60 - OVERLAP, id="a little before the last fact"),
        pytest.param([ended(T - 2 * LONGEST_AWAY)], T - LONGEST_AWAY, id="a week at most"),
        pytest.param(
            [arrived(T - 900 * SECOND), ended(T - 60, OTHER)],
            T - 900 * SECOND,
            id="the oldest open call",
        ),
    ],
)
async def test_since_when_cel_is_read_after_a_start(
    recovery: Recovery, record: Cel, write: Write, diary: list[Fact], since: int
) -> None:
    await write(*diary)
    await recovery.read_diary()
    await recovery.link_restored()
    assert record.asked == [since]


# --- a lost link


async def test_a_lost_link_is_told_and_remembered(recovery: Recovery, centre: Centre) -> None:
    recovery.link_lost()
    assert centre.facts() == [LinkLost(T)]
    assert recovery.link_lost_at == T


@pytest.mark.parametrize(
    ("arrivals", "since"), [([], T), ([T - 90, T - 600, T - 5], T - 600), ([0, T - 5], T - 5)]
)
async def test_since_when_cel_is_read_after_a_lost_link(
    recovery: Recovery, centre: Centre, record: Cel, clock: Clock, arrivals: list[int], since: int
) -> None:
    centre.callers = [SimpleNamespace(arrived_at=at) for at in arrivals]
    recovery.link_lost()
    clock.at = T + 60 * SECOND
    await recovery.link_restored()
    assert record.asked == [since - OVERLAP]


# --- the link is there: CEL and AMI


async def test_everything_in_its_order(
    recovery: Recovery, centre: Centre, record: Cel, clock: Clock
) -> None:
    record.missed = [ended(T - 2, OTHER)]
    centre.state = AsteriskState(
        facts=(PhoneReachable(T, "1001"), CallDetached(T, CALL)),
        waiting=(
            Waiting("hotline-1.3", "default", T - 9, "AGI"),
            Waiting("hotline-1.4", "default", T - 8, "Queue"),
            Waiting("hotline-1.5", "", 0, "Queue"),
        ),
        ringing=(),
        talking=(),
        alive=frozenset({CALL}),
    )
    await recovery.link_restored()
    assert centre.told == [
        ("flush",),
        ("report", ended(T - 2, OTHER)),
        ("report", PhoneReachable(T, "1001")),
        ("report", CallDetached(T, CALL)),
        ("outbound",),
        ("expect", ["hotline-1.3", "hotline-1.4"], T + 3 * SECOND),
        ("recall", "hotline-1.4"),
        ("recall", "hotline-1.5"),
        ("report", LinkRestored(T)),
    ]
    assert record.alive == {CALL}


async def test_cel_is_compared_with_what_the_diary_has(
    recovery: Recovery, record: Cel, write: Write
) -> None:
    await write(ended(T - 60 * SECOND, "hotline-1.0"), arrived(T - 5), ended(T - 3))
    recovery.link_lost()
    await recovery.link_restored()
    assert record.known == [arrived(T - 5), ended(T - 3)]


async def test_recordings_of_transferred_calls_that_live_are_renewed(
    recovery: Recovery, centre: Centre, record: Cel
) -> None:
    record.missed = [CallTransferred(T, call, "1001", "1002") for call in (CALL, OTHER)]
    centre.state = AsteriskState((), (), (), (), frozenset({CALL}))
    await recovery.link_restored()
    assert [told for told in centre.told if told[0] == "renew"] == [("renew", CALL)]
    assert centre.facts() == [*record.missed, LinkRestored(T)]


async def test_cel_that_cannot_be_read_costs_figures_not_the_start(
    recovery: Recovery, centre: Centre, record: Cel
) -> None:
    record.fails = True
    with capture_logs() as logs:
        await recovery.link_restored()
    assert centre.facts() == [LinkRestored(T)]
    assert [line["event"] for line in logs] == ["cel.failed"]


async def test_a_database_that_is_away_costs_figures_not_the_start(
    recovery: Recovery, centre: Centre, database: Database
) -> None:
    database.away = True
    with capture_logs() as logs:
        await recovery.link_restored()
    assert centre.facts() == [LinkRestored(T)]
    assert [line["event"] for line in logs] == ["cel.failed"]


async def test_lines_that_cannot_be_read_are_counted(recovery: Recovery, record: Cel) -> None:
    record.garbage = 3
    with capture_logs() as logs:
        await recovery.link_restored()
    assert [(line["event"], line["lines"]) for line in logs] == [("cel.garbage", 3)]
