"""Coming back: what is read, in which order, and how far back."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from acd.callbacks.task import Task
from acd.floor.hall import Caller
from base import clock, database
from base.background import spawn
from base.retry import Schedule
from base.settings import Settings, load
from diary import reader
from diary.writer import Diary
from facts import (
    AgentReady,
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackEnded,
    CallbackYielded,
    CallEnded,
    CallQueued,
    CallTransferred,
    Fact,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    TalkEnded,
)
from facts.terms import Party
from facts.times import SECOND
from hotline.controller import recovery
from hotline.controller.open_callbacks import OpenCallbacks
from hotline.controller.recovery import LONGEST_AWAY, LONGEST_OPEN, OVERLAP, Recovery
from telephony import cel, cel_file
from telephony.cel import Reading
from telephony.queue_log_file import QueueLogFile


class Centre:
    """Desk, floor, switch, outbound and queue_log in one: everything writes down what it was told."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.seeded: list[Fact] = []
        self.reported: list[Fact] = []
        self.past: list[Fact] = []
        self.callers: dict[str, Caller] = {}
        self.tasks = {1: "task"}
        self.floor = self
        self.waiting: list[Any] = []
        self.facts: list[Fact] = []
        self.alive: set[str] = set()
        self.broken = False
        self.not_told: list[Fact] = []

    def attempts(self) -> frozenset[str]:
        return frozenset({"n-c2.1"})

    def seed(self, facts: Iterable[Fact]) -> None:
        self.seeded += facts

    def report(self, *facts: Fact) -> None:
        self.reported += facts
        self.did += [fact.kind for fact in facts]

    async def dialled(self, now: int) -> list[tuple[str, str, int]]:
        return [("n-c1.1", "+8613812345678", now - SECOND)]

    def remember_dialled(self, attempts: Iterable[tuple[str, str, int]]) -> None:
        self.did.append(f"remember {[attempt for attempt, _, _ in attempts]}")

    def take_up(self, tasks: Iterable[Any]) -> None:
        self.did.append(f"take up {[task.id for task in tasks]}")

    async def open_tasks(self) -> list[Any]:
        if self.broken:
            raise database.DatabaseAwayError(None, None, ConnectionRefusedError())
        return [Task.of(CallbackAdded(1, 7, "+8613812345678", "default", 0, 9))]

    async def untold(self) -> list[Fact]:
        return self.not_told

    async def read_state(self) -> Any:
        return SimpleNamespace(facts=self.facts, alive=self.alive, waiting=self.waiting, ours=())

    def caught_up(self, tasks: Iterable[Any]) -> None:
        self.did.append(f"caught up {list(tasks)}")

    def expect(self, calls: Iterable[str], until: int) -> None:
        self.did.append(f"expect {sorted(calls)}")

    async def recall(self, call: str) -> None:
        self.did.append(f"recall {call}")

    def learn(self, fact: TalkEnded) -> None:
        self.did.append(f"learn {fact.hung_up_by.value}")

    def renew(self, call: str) -> None:
        self.did.append(f"renew {call}")


@pytest.fixture
def since(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Since when CEL was read, each time; it has nothing."""
    asked: list[int] = []

    def read_since(path: Path, at: int) -> Reading:
        asked.append(at)
        return Reading((), 0)

    monkeypatch.setattr(cel_file, "read_since", read_since)
    return asked


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(home=tmp_path)


async def made(engine: AsyncEngine, settings: Settings, centre: Any, *known: Fact) -> Recovery:
    diary = Diary(engine, settings.run_dir)
    diary.start()
    for fact in known:
        diary.write(fact)
    if known:
        await diary.flush()
    return Recovery(
        engine,
        settings,
        desk=centre,
        diary=diary,
        callbacks=OpenCallbacks(centre, centre, centre, note=diary.write, informed=lambda: False),
        switch=centre,
        outbound=centre,
        queue_log=QueueLogFile(settings.log_dir / "queue_log", "masked"),
        numbers=lambda: {"12345"},
        record=centre.past.append,
        renew=centre.renew,
        learn=centre.learn,
    )


def arrived(at: int, call: str) -> CallArrived:
    return CallArrived(at, call, "12345", "")


async def test_the_floor_gets_the_calls_that_have_no_end(
    engine: AsyncEngine, settings: Settings
) -> None:
    now, centre = clock.now(), Centre()
    opened, ended, old = now - 60 * SECOND, now - 90 * SECOND, now - LONGEST_OPEN - SECOND
    back = await made(
        engine,
        settings,
        centre,
        arrived(old, "n-1.1"),
        arrived(ended, "n-1.2"),
        CallEnded(ended + 1, "n-1.2", Party.CALLER),
        arrived(opened, "n-1.3"),
        CallQueued(opened + 1, "n-1.3", "default"),
    )
    await back.read_diary()
    assert [(type(fact), fact.call) for fact in centre.seeded] == [  # type: ignore[union-attr]
        (CallArrived, "n-1.3"),
        (CallQueued, "n-1.3"),
    ]
    assert centre.did == ["remember ['n-c1.1']", "take up [7]"]


async def test_what_a_controller_left_in_its_journal_is_read_first(
    engine: AsyncEngine, settings: Settings
) -> None:
    """The database went, then the controller. The end of `n-1.1` is in the journal: nobody would tell of it again."""
    now, centre = clock.now(), Centre()
    await made(
        engine,
        settings,
        centre,
        arrived(now - 90 * SECOND, "n-1.1"),
        OfferAnswered(now - 80 * SECOND, "n-1.1", "1001"),
    )
    killed = Diary(engine, settings.run_dir)
    for fact in (
        TalkEnded(now - 70 * SECOND, "n-1.1", "1001", Party.CALLER),
        CallEnded(now - 70 * SECOND, "n-1.1", Party.CALLER),
        arrived(now - 60 * SECOND, "n-1.2"),
    ):
        killed.write(fact)
    await killed.close()
    assert killed.waiting == 3
    back = await made(engine, settings, centre)
    # What this controller writes itself is no sign of how long it was away.
    back._diary.write(AgentReady(now + SECOND, "1001"))
    await back.read_diary()
    assert centre.seeded == [arrived(now - 60 * SECOND, "n-1.2")]
    assert back._since == now - 60 * SECOND - OVERLAP


async def test_a_journal_that_cannot_be_written_is_told(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(within: float = 5.0) -> bool:
        return False

    back = await made(engine, settings, Centre())
    monkeypatch.setattr(back._diary, "flush", away)
    with capture_logs() as logs:
        await back.read_diary()
    assert [entry["event"] for entry in logs] == ["recovery.journal_unread"]


async def test_an_end_that_a_killed_controller_did_not_write_is_written(
    engine: AsyncEngine, settings: Settings
) -> None:
    """The diary has it, `queue_log` has not: its readers would have the citizen waiting for ever."""
    now = clock.now()
    before: list[Fact] = [
        arrived(now - 90 * SECOND, "n-1.1"),
        CallQueued(now - 80 * SECOND, "n-1.1", "default"),
        arrived(now - 70 * SECOND, "n-1.2"),
        CallQueued(now - 60 * SECOND, "n-1.2", "default"),
    ]
    after: list[Fact] = [
        CallEnded(now - 50 * SECOND, "n-1.1", Party.CALLER),
        arrived(now - 49 * SECOND, "n-1.3"),
        CallQueued(now - 48 * SECOND, "n-1.3", "default"),
    ]
    file = settings.log_dir / "queue_log"
    QueueLogFile(file, "masked").write(before)
    for _ in range(2):
        back = await made(engine, settings, Centre(), *before, *after)
        await back.read_diary()
        said = [line.split("|") for line in file.read_text().splitlines()]
        assert [f"{call} {event}" for _, call, _, _, event, *_ in said] == [
            "n-1.1 ENTERQUEUE",
            "n-1.2 ENTERQUEUE",
            "n-1.3 ENTERQUEUE",
            "n-1.1 ABANDON",
        ]
        before, after = [], []  # the second start finds nothing missing


async def test_a_task_that_only_the_book_has_is_told_to_the_diary(
    engine: AsyncEngine, settings: Settings
) -> None:
    centre, now = Centre(), clock.now()
    centre.not_told = [CallbackAdded(now - SECOND, 7, "+8613812345678", "default", now, now)]
    back = await made(engine, settings, centre)
    await back.read_diary()
    # It is there at once: the live figures read the diary next (M22 would take a kept place for a callback).
    read = reader.read(engine, 0, now + SECOND)
    assert [fact async for fact in read] == centre.not_told


async def test_an_absent_book_of_callbacks_does_not_end_the_start(
    engine: AsyncEngine, settings: Settings
) -> None:
    centre = Centre()
    centre.broken = True
    back = await made(engine, settings, centre)
    with capture_logs() as logs:
        await back.read_diary()
    assert [entry["event"] for entry in logs] == ["callbacks.away"]


@pytest.mark.parametrize("ago", [0, 60 * SECOND, LONGEST_AWAY - OVERLAP, LONGEST_AWAY + SECOND])
async def test_cel_is_read_since_the_last_fact_but_a_week_at_most(
    engine: AsyncEngine, settings: Settings, since: list[int], ago: int
) -> None:
    now, centre = clock.now(), Centre()
    known = [CallEnded(now - ago, "n-1.1", Party.CALLER)] if ago else []
    back = await made(engine, settings, centre, *known)
    await back.read_diary()
    await back.link_restored()
    wanted = now if not ago else max(now - ago - OVERLAP, now - LONGEST_AWAY)
    assert since[0] == pytest.approx(wanted, abs=30 * SECOND)
    assert since[0] >= now - LONGEST_AWAY


async def test_after_a_lost_link_cel_is_read_since_the_oldest_caller_arrived(
    engine: AsyncEngine, settings: Settings, since: list[int]
) -> None:
    now, centre = clock.now(), Centre()
    centre.callers = {
        "n-1.1": Caller("n-1.1", arrived_at=now - 50 * SECOND),
        "n-1.2": Caller("n-1.2", arrived_at=now - 70 * SECOND),
        "n-1.3": Caller("n-1.3"),
    }
    back = await made(engine, settings, centre)
    back.link_lost()
    assert back.link_lost_at == pytest.approx(now, abs=30 * SECOND)
    assert [type(fact) for fact in centre.reported] == [LinkLost]
    await back.link_restored()
    assert since == [now - 70 * SECOND - OVERLAP]


async def test_offers_resume_when_everything_has_been_read(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, centre = clock.now(), Centre()
    missed = [
        CallTransferred(now - 9, "n-1.1", "1001", "1002", attended=True),
        CallTransferred(now - 8, "n-1.9", "1001", "1002", attended=True),
    ]
    monkeypatch.setattr(cel, "complete", lambda *_, **__: missed)
    centre.facts = [OfferAnswered(now - 7, "n-1.1", "1002")]
    centre.alive = {"n-1.1"}
    centre.waiting = [
        SimpleNamespace(call="n-1.2", queued_at=5, application="AGI"),
        SimpleNamespace(call="n-1.3", queued_at=5, application="Queue"),
        SimpleNamespace(call="n-1.4", queued_at=0, application="AGI"),
    ]
    back = await made(engine, settings, centre)
    await back.link_restored()
    assert centre.did == [
        "CallTransferred",
        "renew n-1.1",
        "CallTransferred",
        "OfferAnswered",
        "caught up ['task']",
        "expect ['n-1.2', 'n-1.3']",
        "recall n-1.3",
        "LinkRestored",
    ]
    assert isinstance(centre.reported[-1], LinkRestored)


@pytest.mark.usefixtures("since")
async def test_callers_are_served_while_the_story_is_told_and_what_ami_tells_comes_after_it(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, centre = clock.now(), Centre()
    missed = [
        OfferAnswered(now - 9, f"n-1.{number}", "1001") for number in range(3 * recovery.SLICE)
    ]
    monkeypatch.setattr(cel, "complete", lambda *_, **__: missed)
    back = await made(engine, settings, centre)
    back.link_lost()
    report, late = centre.report, arrived(now, "n-9.1")
    served: list[int] = []

    def listen(*facts: Fact) -> None:
        report(*facts)
        if facts == (missed[0],):
            asyncio.get_running_loop().call_soon(back.report, late)
            asyncio.get_running_loop().call_soon(lambda: served.append(len(centre.reported)))

    monkeypatch.setattr(centre, "report", listen)
    await back.link_restored()
    assert served[0] < len(missed)
    assert centre.reported[1:-1] == [*missed, late]
    assert back._complete


@pytest.mark.usefixtures("since")
async def test_a_loss_of_the_link_while_the_story_is_told_is_not_forgotten(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, centre = clock.now(), Centre()
    missed = [OfferAnswered(now - 9, "n-1.1", "1001")] * (2 * recovery.SLICE)
    monkeypatch.setattr(cel, "complete", lambda *_, **__: missed)
    back = await made(engine, settings, centre)
    back.link_lost()
    since, report = back._since, centre.report

    def listen(*facts: Fact) -> None:
        report(*facts)
        if len(centre.reported) == recovery.SLICE:
            asyncio.get_running_loop().call_soon(back.link_lost)

    monkeypatch.setattr(centre, "report", listen)
    await back.link_restored()
    assert not back._complete
    assert back._since == since, "CEL is read from the first loss on once more"


async def test_a_record_that_cannot_be_read_costs_the_figures_and_not_the_start(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, at: int) -> Reading:
        raise PermissionError("no")

    monkeypatch.setattr(cel_file, "read_since", fails)
    centre = Centre()
    back = await made(engine, settings, centre)
    with capture_logs() as logs:
        await back.link_restored()
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["cel.failed"]
    assert isinstance(centre.reported[-1], LinkRestored)


async def test_what_could_not_be_read_is_read_when_the_database_is_back(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that only CEL knows is told once; meanwhile the controller goes on, and one line of the log says so."""
    now, centre, read = clock.now(), Centre(), reader.read
    back = await made(engine, settings, centre, arrived(now - SECOND, "n-1.1"))
    missed = OfferAnswered(now, "n-1.1", "1001")
    away = 3

    def read_diary(*asked: Any) -> Any:
        nonlocal away
        away -= 1
        if away >= 0:
            raise database.DatabaseAwayError(None, None, ConnectionRefusedError())
        return read(*asked)

    monkeypatch.setattr(reader, "read", read_diary)
    monkeypatch.setattr(cel_file, "read_since", lambda *_: Reading((), 0))
    monkeypatch.setattr(cel, "complete", lambda *_, **__: [missed])
    monkeypatch.setattr(recovery, "AGAIN", Schedule(first=0.001, longest=0.001))
    back.link_lost()
    with capture_logs() as logs:
        running = spawn(back.run(), "completion")
        await back.link_restored()
        assert missed not in centre.reported
        async with asyncio.timeout(10):
            while missed not in centre.reported:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        running.cancel()
    assert centre.reported.count(missed) == 1
    assert [fact.kind for fact in centre.reported[:2]] == ["LinkLost", "LinkRestored"]
    assert [entry["on"] for entry in logs if entry["event"] == "cel.failed"] == [True, False]
    back.report(arrived(now, "n-1.2"))
    assert centre.reported[-1] == arrived(now, "n-1.2"), "nothing waits after that"


async def test_what_was_missed_of_a_call_that_is_over_is_not_told_to_the_floor(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, since: list[int]
) -> None:
    """Nobody tells of its end again: a controller that had just started showed the agent ringing for ever."""
    now, centre = clock.now(), Centre()
    known: list[Fact] = [arrived(now - 9, "n-1.1"), CallEnded(now - 5, "n-1.1", Party.CALLER)]
    back = await made(engine, settings, centre, *known)
    missed: list[Fact] = [
        OfferAnswered(now - 7, "n-1.1", "1001"),
        OfferAnswered(now, "n-1.2", "1002"),
    ]
    monkeypatch.setattr(cel, "complete", lambda *_, **__: missed)
    await back.link_restored()
    assert centre.past == missed[:1]
    assert centre.reported[:-1] == missed[1:]
    assert since


async def test_the_end_of_a_callback_that_the_book_alone_has_is_written_into_the_diary(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, since: list[int]
) -> None:
    """The controller was killed when the book had the task as reached, and the diary not yet its end."""
    now, centre = clock.now(), Centre()
    known: list[Fact] = [
        *(CallbackAnswered(now - 9, n, f"n-c{n}.1", "1001") for n in (1, 2, 3)),
        CallbackYielded(now - 5, 3, "n-c3.1", "1001", "n-1.1"),
    ]
    back = await made(engine, settings, centre, *known)
    ends: list[Fact] = [
        CallbackEnded(now - 5, n, f"n-c{n}.1", "1001", "", Party.AGENT) for n in (1, 2, 3)
    ]
    monkeypatch.setattr(cel, "complete", lambda *_, **__: ends)
    await back.link_restored()
    assert centre.past == ends[:1]
    # The floor waits for the second, and knows what a yield's end is.
    assert centre.reported[:-1] == ends[1:]
    assert since


async def test_a_call_that_arrived_after_the_question_is_not_ended(
    engine: AsyncEngine, settings: Settings
) -> None:
    """Asterisk was asked what exists, then the call came, then the diary and CEL were read: both have it."""
    centre = Centre()
    back = await made(engine, settings, centre, arrived(clock.now() - SECOND, "n-1.1"))

    async def read_state() -> Any:
        back._diary.write(arrived(clock.now(), "n-1.2"))
        return SimpleNamespace(facts=[], alive=set(), waiting=[], ours=())

    centre.read_state = read_state  # type: ignore[method-assign]
    back._since = clock.now() - 60 * SECOND
    await back.link_restored()
    ended = [fact.call for fact in centre.reported if isinstance(fact, CallEnded)]
    assert ended == ["n-1.1"], "that one did not exist any more"


async def test_what_asterisk_recorded_meanwhile_is_reported(
    engine: AsyncEngine, settings: Settings
) -> None:
    """A recorded call whose end the controller did not see: its own CEL completes the diary."""
    shape = Path(__file__).parents[2] / "fixtures" / "cel" / "answered_caller_hangs_up.csv"
    settings.cel_file.parent.mkdir(parents=True, exist_ok=True)
    settings.cel_file.write_bytes(shape.read_bytes())
    centre = Centre()
    back = await made(engine, settings, centre)
    back._since = 0
    await back.link_restored()
    kinds = [fact.kind for fact in centre.reported]
    assert kinds[0] == "CallArrived"
    assert "CallEnded" in kinds
    assert kinds[-1] == "LinkRestored"


async def test_what_ami_tells_waits_for_what_cel_tells(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call ends while CEL is being read: told at once, its end would come before its answer."""
    now, centre = clock.now(), Centre()
    ended = CallEnded(now + 2, "n-1.1", Party.CALLER)
    back = await made(engine, settings, centre, arrived(now - SECOND, "n-1.1"))
    missed = [OfferAnswered(now, "n-1.1", "1001"), TalkEnded(now + 1, "n-1.1", "1001", Party.AGENT)]

    def read_since(path: Path, at: int) -> Reading:
        loop.call_soon_threadsafe(back.report, ended)
        return Reading((), 0)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(cel_file, "read_since", read_since)
    monkeypatch.setattr(cel, "complete", lambda *_, **__: missed)
    back.link_lost()
    await back.link_restored()
    assert centre.reported[1:-1] == [*missed, ended]
    assert "learn agent" in centre.did
    back.report(arrived(now, "n-1.2"))
    assert centre.reported[-1] == arrived(now, "n-1.2"), "nothing waits after that"


@pytest.mark.parametrize("bound", ["MOST_HELD", "LONGEST_HELD"])
async def test_ami_does_not_wait_for_cel_for_ever(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(recovery, bound, {"MOST_HELD": 2, "LONGEST_HELD": 0.05}[bound])
    now, centre = clock.now(), Centre()
    back = await made(engine, settings, centre)
    back.link_lost()
    facts = [arrived(now + n, f"n-1.{n}") for n in range(3)]
    with capture_logs() as logs:
        back.report(facts[0])
        back.report(facts[1])
        assert centre.reported[1:] == []
        if bound == "MOST_HELD":
            back.report(facts[2])
        else:
            await asyncio.sleep(0.1)
            back.report(facts[2])
    assert centre.reported[1:] == facts
    assert [entry["event"] for entry in logs] == ["recovery.not_waited"]


async def test_what_waits_is_told_when_cel_cannot_be_read(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, at: int) -> Reading:
        raise PermissionError("no")

    monkeypatch.setattr(cel_file, "read_since", fails)
    now, centre = clock.now(), Centre()
    back = await made(engine, settings, centre)
    back.report(arrived(now, "n-1.1"))
    centre.facts = [OfferAnswered(now, "n-1.1", "1001")]
    await back.link_restored()
    assert centre.reported[:-1] == [arrived(now, "n-1.1"), *centre.facts]


async def test_a_link_that_is_lost_again_leaves_no_gap(
    engine: AsyncEngine, settings: Settings, since: list[int]
) -> None:
    """What happened before the first loss has not been read yet when the second one comes."""
    centre = Centre()
    back = await made(engine, settings, centre)
    await back.link_restored()
    back.link_lost()
    first = back._since
    back.link_lost()
    await back.link_restored()
    assert since[-1] == first
    back.link_lost()
    assert back._since > first
