"""The book of callbacks on SQLite and PostgreSQL: it says what the floor says, and loses nothing while it is away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks import book as callback_book
from acd.callbacks import tables
from acd.callbacks.book import TaskBook, find, find_all, history
from acd.callbacks.entry import (
    ATTEMPTS,
    KINDS,
    OPEN,
    SPACING,
    Entry,
    TaskError,
    Wanted,
    apply,
    checked,
    checked_number,
)
from acd.callbacks.task import State
from acd.commands import Command, CreateCallback, PlaceCallback, Record
from acd.desk import Desk
from acd.floor import Floor
from acd.gate import Policy
from acd.rules.model import DEFAULT, Queue, Rules
from base import clock, database
from base.bus import Refused
from base.retry import Schedule
from diary.writer import Diary
from facts import KINDS as KIND_OF
from facts import (
    AgentAdded,
    AgentPaused,
    AgentReady,
    CallbackAdded,
    CallbackAnswered,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMerged,
    CallbackPlaced,
    CallbackRaced,
    CallbackReopened,
    CallbackUnreached,
    CallbackYielded,
    Fact,
    LinkRestored,
    PartyAsked,
    PhoneReachable,
    WrapUpStarted,
)
from facts.parties import PartyKind
from facts.requests import AddCallback, CancelCallback, Reply, RequestError, read_request
from facts.times import SECOND
from hotline.controller import callbacks
from tests.acd.world import World
from tests.postgres import PostgresServer

CITIZEN = "+8613800000001"
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_book, "RETRY", Schedule(0.05, 0.05))


class Centre:
    """A book and a desk as the controller has them, with nobody who dials."""

    def __init__(self, engine: AsyncEngine, folder: Path) -> None:
        self.diary = Diary(engine, folder)
        self.book = TaskBook(engine, folder, self.report)
        self.placed: list[PlaceCallback] = []
        self.posted: list[Fact] = []
        self.recorded: list[Fact] = []
        self.desk = Desk(
            Floor(Rules(), outbound=True),
            record=self.record,
            stop_ringing=lambda call, agent: None,
            book=self.book,
            outbound=self,
            clock=clock.now,
        )

    def report(self, *facts: Fact) -> None:
        self.posted += facts
        self.desk.report(*facts)

    def record(self, fact: Fact) -> None:
        self.recorded.append(fact)
        self.diary.write(fact)
        self.book.write(fact)

    def place(self, wanted: PlaceCallback) -> None:
        self.placed.append(wanted)

    def cancel(self, call: str, agent: str) -> None: ...

    def give_way(self, wanted: Any, ring: Callable[[], None]) -> None: ...

    def when_clear(self, agents: Any, then: Callable[[], None]) -> None:
        then()

    def agent(self, number: str = "1001") -> None:
        now = clock.now()
        self.report(AgentAdded(now, number), PhoneReachable(now, number), AgentReady(now, number))

    async def start(self) -> None:
        self.diary.start()
        assert await self.diary.flush()
        self.book.start()
        self.desk.take_up(await self.book.open_tasks())
        self.report(LinkRestored(clock.now()))

    async def close(self) -> None:
        self.desk.close()
        await self.diary.close()
        await self.book.close()


@pytest.fixture
async def centre(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Centre]:
    made = Centre(engine, tmp_path)
    await made.start()
    yield made
    await made.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def by_hand(number: str = CITIZEN, **more: Any) -> dict[str, Any]:
    return {"number": number, **more}


async def add(book: TaskBook, desk: Desk, words: dict[str, Any]) -> Reply:
    """As the bus does it: what cannot be read is refused."""
    try:
        asked = read_request("callback.add", words)
    except RequestError as error:
        raise Refused(str(error)) from None
    assert isinstance(asked, AddCallback)
    return await callbacks.add(book, desk, asked)


async def cancel(book: TaskBook, desk: Desk, words: dict[str, Any]) -> Reply:
    try:
        asked = read_request("callback.cancel", words)
    except RequestError as error:
        raise Refused(str(error)) from None
    assert isinstance(asked, CancelCallback)
    return await callbacks.cancel(book, desk, asked.id)


def lost(origin: str = "hotline-1.1", number: str = CITIZEN) -> CreateCallback:
    return CreateCallback(number, DEFAULT, clock.now() + HOUR, "lost", origin)


async def entry_of(engine: AsyncEngine, number: int) -> Entry:
    found = await find(engine, number)
    assert found is not None
    return found


# --- what may be entered


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("13800000001", CITIZEN),
        (" 138-0000-0001 ", CITIZEN),
        ("+86 138 0000 0001", CITIZEN),
        ("１３８０００００００１", CITIZEN),
        ("(024) 2345 6789", "+862423456789"),
        ("+85212345678", "+85212345678"),
        ("110", "110"),
    ],
)
def test_numbers_as_people_type_them(typed: str, number: str) -> None:
    assert checked_number(typed) == number


@pytest.mark.parametrize(
    "typed", ["", "12", "abc", "13800000001;rm", "1.38E+10", "1380000000112345", "*123#", "+", "--"]
)
def test_what_cannot_be_dialled_is_refused(typed: str) -> None:
    with pytest.raises(TaskError, match="is not a telephone number: write 3 to 15 digits"):
        checked_number(typed)


def test_a_number_that_is_nearly_one_is_masked_in_the_refusal() -> None:
    with pytest.raises(TaskError) as refused:
        checked_number("13800000001x")
    assert "13800000001" not in str(refused.value)


NOW = 1_763_700_000 * SECOND
RULES = Rules(queues={DEFAULT: Queue(), "tax": Queue("tax", call_back_within=1800)})


def wanted(**more: Any) -> Wanted:
    return checked(Wanted("13800000001", **more), RULES, {"1001"}, NOW)


def test_what_is_not_said() -> None:
    assert wanted(queue="tax") == Wanted(
        CITIZEN, "tax", NOW, NOW + 1800 * SECOND, attempts=ATTEMPTS, spacing=SPACING
    )
    assert wanted(earliest=NOW + HOUR).latest == NOW + HOUR + 86_400 * SECOND
    assert wanted(earliest=NOW - 30 * SECOND).earliest == NOW


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"queue": "none"}, "no queue 'none': there is default, tax"),
        ({"prefers": "9999"}, "no agent '9999'"),
        ({"earliest": NOW - HOUR}, "the earliest time is past"),
        ({"latest": NOW - 1}, "the latest time is past"),
        ({"earliest": NOW + HOUR, "latest": NOW + HOUR}, "must be after the earliest"),
        ({"latest": NOW * 2}, "more than a year ahead"),
        ({"attempts": 0}, "0 attempts: give 1 to 20"),
        ({"spacing": -1}, "time between attempts"),
        ({"reason": "说" * 201}, "the reason has 201 characters"),
        ({"matter": "a\x1b[2Jb"}, r"control character U\+001B"),
    ],
)
def test_impossible_tasks(more: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        wanted(**more)


# --- the book says what the floor says


class Mirror(World):
    """A world with a book that hears what the floor records."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.entries: dict[int, Entry] = {}

    def obey(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Record):
                self.note(command.fact)
        for number, task in self.floor.tasks.items():
            assert self.entries[number].task() == task
        for entry in self.entries.values():
            assert (entry.state in OPEN) == (entry.id in self.floor.tasks), entry
        super().obey(commands)

    def note(self, fact: Fact) -> None:
        number = getattr(fact, "callback", 0)
        if isinstance(fact, CallbackAdded):
            self.entries[number] = entry(fact)
        elif number in self.entries and (
            self.entries[number].state in OPEN or isinstance(fact, CallbackReopened)
        ):
            self.entries[number] = apply(self.entries[number], fact)


def entry(fact: CallbackAdded) -> Entry:
    asked = Wanted(
        *(fact.number, fact.queue, fact.earliest, fact.latest, fact.agent, fact.reason),
        *(fact.matter, fact.attempts, fact.spacing, fact.origin, fact.place),
    )
    return Entry(id=fact.callback, **callback_book._row(asked, fact.at))


@given(st.integers(min_value=0))
@example(30624)  # two citizens transferred to one colleague while the link was down
@settings(max_examples=150)
def test_the_book_says_what_the_floor_says(seed: int) -> None:
    Mirror(seed).run(steps=120)


def _names(kind: type[Fact]) -> set[str]:
    return {field.name for field in fields(kind)}


def test_every_fact_about_one_task_is_of_its_history() -> None:
    assert {name for name, kind in KIND_OF.items() if "callback" in _names(kind)} == KINDS


# --- in the database


async def test_a_task_by_hand(centre: Centre, engine: AsyncEngine) -> None:
    reply = await add(
        centre.book, centre.desk, by_hand(reason="办件回访", matter="沈12345-7", prefers="")
    )
    assert reply == Reply("callback 1 added", id=1)
    found = await entry_of(engine, 1)
    assert (found.number, found.queue, found.state) == (CITIZEN, DEFAULT, State.DUE)
    assert (found.reason, found.matter) == ("办件回访", "沈12345-7")
    assert centre.desk.floor.tasks[1] == found.task()
    assert centre.recorded[-1] == found.fact()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({}, "needs a number"),
        (by_hand("12"), "not a telephone number"),
        (by_hand(queue="tax"), "there is no queue 'tax'"),
        (by_hand(prefers="1009"), "there is no agent '1009'"),
        (by_hand(attempts="3"), "attempts is of the wrong type"),
        (by_hand(attempts=True), "attempts is of the wrong type"),
        (by_hand(place=1), "has no place"),
        (by_hand(colour=1), "has no colour"),
    ],
)
async def test_the_controller_checks_what_it_is_told(
    centre: Centre, engine: AsyncEngine, args: dict[str, Any], says: str
) -> None:
    with pytest.raises(Refused, match=says):
        await add(centre.book, centre.desk, args)
    assert await find_all(engine) == []


async def test_a_callback_from_due_to_reached(centre: Centre, engine: AsyncEngine) -> None:
    centre.agent()
    await add(centre.book, centre.desk, by_hand(attempts=2, spacing=MINUTE))
    assert await centre.book.flush()
    found = await entry_of(engine, 1)
    assert (found.state, found.agent, found.attempt, found.tries) == (
        State.DIALLING,
        "1001",
        "hotline-c1.1",
        1,
    )
    centre.report(CallbackAnswered(clock.now(), 1, "hotline-c1.1", "1001"))
    assert await centre.book.flush()
    assert (await entry_of(engine, 1)).state is State.TALKING
    centre.report(CallbackEnded(clock.now(), 1, "hotline-c1.1", "1001"))
    assert await centre.book.flush()
    found = await entry_of(engine, 1)
    assert (found.state, found.attempts, found.yields, found.agent) == (
        State.REACHED,
        1,
        0,
        "1001",
    )
    await centre.diary.flush()
    kinds = [type(fact) for fact in await history(engine, found)]
    assert kinds == [CallbackAdded, CallbackPlaced, CallbackAnswered, CallbackEnded]


async def test_the_history_is_of_one_task_only(centre: Centre, engine: AsyncEngine) -> None:
    for matter in ("7", "8"):
        await add(centre.book, centre.desk, by_hand(matter=matter))
    await cancel(centre.book, centre.desk, {"id": 2})
    assert await centre.book.flush()
    await centre.diary.flush()
    facts = await history(engine, await entry_of(engine, 2))
    assert [type(fact) for fact in facts] == [CallbackAdded, CallbackCancelled]
    assert len(await history(engine, await entry_of(engine, 1))) == 1


# --- one open task a citizen and matter


async def test_the_same_number_by_hand_is_refused_and_names_the_task(
    centre: Centre, engine: AsyncEngine
) -> None:
    await add(centre.book, centre.desk, by_hand())
    for typed in (CITIZEN, "138-0000-0001"):
        with pytest.raises(Refused, match=r"callback 1 .* is open already"):
            await add(centre.book, centre.desk, by_hand(typed))
    await add(centre.book, centre.desk, by_hand(matter="工单 7"))
    assert [entry.id for entry in await find_all(engine)] == [1, 2]
    await cancel(centre.book, centre.desk, {"id": 1})
    await add(centre.book, centre.desk, by_hand())
    assert set(centre.desk.floor.tasks) == {2, 3}


async def test_a_lost_call_that_is_entered_beside_a_task_by_hand_joins_it(
    centre: Centre, engine: AsyncEngine
) -> None:
    """Both were asked for at one moment: the floor did not know the task by hand yet."""
    await add(centre.book, centre.desk, by_hand())
    centre.desk.floor.hall.wanted.add(CITIZEN)
    centre.book.create(lost())
    await until(lambda: any(isinstance(fact, CallbackMerged) for fact in centre.recorded))
    (merged,) = (fact for fact in centre.recorded if isinstance(fact, CallbackMerged))
    assert (merged.callback, merged.call) == (1, "hotline-1.1")
    assert [entry.id for entry in await find_all(engine)] == [1]
    assert centre.desk.floor.hall.wanted == set()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("110", "110 is not called: emergency numbers"),
        ("10086", "10086 is not called: short numbers are dialled only if HOTLINE_DIAL_ALLOW"),
        ("+85251234567", "is not called: numbers abroad"),
        ("+882161234567", "is not called: premium-rate, satellite"),
        ("1001", "1001 is not called: this is an agent's number"),
    ],
)
async def test_a_number_that_may_not_be_dialled_is_not_entered(
    centre: Centre, engine: AsyncEngine, number: str, says: str
) -> None:
    centre.agent()
    with pytest.raises(Refused, match=says.replace("+", r"\+")):
        await add(centre.book, centre.desk, by_hand(number))
    assert await find_all(engine) == []


async def test_the_attempts_of_today_are_known_after_a_start(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    centre.agent()
    await add(centre.book, centre.desk, by_hand())
    (placed,) = centre.placed
    centre.report(CallbackDialling(clock.now(), 1, placed.call, placed.agent))
    centre.report(CallbackEnded(clock.now(), 1, placed.call, placed.agent, "busy"))
    for who, name in ((PartyKind.OUTSIDE, "hotline-p7"), (PartyKind.EMERGENCY, "hotline-p8")):
        asked = PartyAsked(clock.now(), "hotline-1.1", "1001", name, who, "95598")
        centre.report(asked)
    assert await centre.diary.flush()
    assert await centre.book.flush()
    now = clock.now()
    (call, number, at), party = await TaskBook(engine, tmp_path, lambda fact: None).dialled(now)
    assert (call, number) == (placed.call, CITIZEN)
    assert party[:2] == ("hotline-p7", "95598"), "outside numbers in talks count, too"
    floor = Floor(Rules(), outbound=True, policy=Policy(per_number_day=1))
    floor.remember_dialled([(call, number, at)])
    assert floor.hall.history.full_for(CITIZEN, floor.policy, now) is not None


async def test_a_busy_citizen_and_then_nobody(centre: Centre, engine: AsyncEngine) -> None:
    centre.agent()
    await add(centre.book, centre.desk, by_hand(attempts=1))
    centre.report(CallbackEnded(clock.now(), 1, "hotline-c1.1", "1001", "busy"))
    assert await centre.book.flush()
    found = await entry_of(engine, 1)
    assert found.state is State.UNREACHED
    assert (found.attempts, found.attempts_left, found.last_failure) == (1, 0, "busy")


async def test_a_lost_caller_becomes_a_task(centre: Centre, engine: AsyncEngine) -> None:
    centre.book.create(lost())
    await until(lambda: centre.desk.floor.tasks)
    found = await entry_of(engine, 1)
    assert (found.origin, found.reason, found.number) == ("hotline-1.1", "lost", CITIZEN)
    assert centre.desk.floor.tasks[1] == found.task()


async def test_one_call_is_lost_only_once(centre: Centre, engine: AsyncEngine) -> None:
    for _ in range(2):
        centre.posted.clear()
        centre.book.create(lost())
        await until(lambda: centre.posted)
        assert centre.posted == [(await entry_of(engine, 1)).fact()]
    assert len(await find_all(engine)) == 1


async def test_a_number_that_cannot_be_dialled_is_no_task(
    centre: Centre, engine: AsyncEngine
) -> None:
    centre.posted.clear()
    centre.book.create(lost(number="*123#"))
    assert not centre.book.waiting
    assert await centre.book.flush()
    assert centre.posted == []
    assert await find_all(engine) == []


# --- cancelling


async def test_cancelling(centre: Centre, engine: AsyncEngine) -> None:
    await add(centre.book, centre.desk, by_hand())
    reply = await cancel(centre.book, centre.desk, {"id": 1})
    assert reply.said == "callback 1 cancelled"
    with pytest.raises(Refused, match="callback 1 is over already: cancelled"):
        await cancel(centre.book, centre.desk, {"id": 1})
    assert await centre.book.flush()
    assert (await entry_of(engine, 1)).state is State.CANCELLED
    with pytest.raises(Refused, match="callback 1 is over already: cancelled"):
        await cancel(centre.book, centre.desk, {"id": 1})
    with pytest.raises(Refused, match="there is no callback 9"):
        await cancel(centre.book, centre.desk, {"id": 9})
    with pytest.raises(Refused, match="whole number"):
        await cancel(centre.book, centre.desk, {"id": "x"})


async def test_an_answered_callback_is_not_cancelled(centre: Centre, engine: AsyncEngine) -> None:
    centre.agent()
    await add(centre.book, centre.desk, by_hand())
    centre.report(CallbackAnswered(clock.now(), 1, "hotline-c1.1", "1001"))
    with pytest.raises(Refused, match="that talk is not cut"):
        await cancel(centre.book, centre.desk, {"id": 1})
    assert centre.desk.floor.tasks[1].state is State.TALKING


async def test_a_task_that_another_program_entered_can_be_cancelled(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    asked = checked(Wanted(CITIZEN), RULES, (), clock.now())
    number = await callback_book.enter_directly(engine, tmp_path / "other", asked)
    reply = await cancel(centre.book, centre.desk, {"id": number})
    assert reply.said == f"callback {number} cancelled"
    assert await centre.book.flush()
    assert (await entry_of(engine, number)).state is State.CANCELLED


# --- without a controller


async def test_entered_and_cancelled_without_a_controller(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    for matter in ("7", "8"):
        asked = checked(Wanted(CITIZEN, matter=matter), RULES, (), clock.now())
        await callback_book.enter_directly(engine, tmp_path, asked)
    with pytest.raises(TaskError, match=r"callback 2 .* in the matter 8 is open already"):
        await callback_book.enter_directly(engine, tmp_path, asked)
    await callback_book.cancel_directly(engine, tmp_path, 1)
    with pytest.raises(TaskError, match="over already"):
        await callback_book.cancel_directly(engine, tmp_path, 1)
    facts = await history(engine, await entry_of(engine, 1))
    assert [type(fact) for fact in facts] == [CallbackAdded, CallbackCancelled]
    centre = Centre(engine, tmp_path)
    await centre.start()
    assert set(centre.desk.floor.tasks) == {2}
    await centre.close()


# --- a start


async def test_a_running_controller_finds_what_was_entered_and_cancelled_past_it(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    await add(centre.book, centre.desk, by_hand())
    now = clock.now()
    past = checked(Wanted("13800000002"), centre.desk.floor.rules, set(), now)
    assert await callback_book.enter_directly(engine, tmp_path / "cli", past) == 2
    assert await centre.book.changes() == ([(await entry_of(engine, 2)).task()], [])
    assert await centre.book.changes() == ([], []), "each is news once"
    centre.desk.take_up([(await entry_of(engine, 2)).task()])
    await callback_book.cancel_directly(engine, tmp_path / "cli", 1)
    added, cancelled = await centre.book.changes()
    assert (added, [fact.callback for fact in cancelled]) == ([], [1])
    centre.report(*cancelled)
    assert set(centre.desk.floor.tasks) == {2}
    assert await centre.book.flush()
    assert await centre.book.changes() == ([], [])
    assert (await entry_of(engine, 1)).state is State.CANCELLED


async def test_open_tasks_are_taken_up_as_they_were(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    centre.agent()
    await add(centre.book, centre.desk, by_hand(attempts=5, spacing=0, prefers="1001"))
    for n in (1, 2):
        centre.report(CallbackEnded(clock.now(), 1, f"hotline-c1.{n}", "1001", "busy"))
    now = clock.now()
    for fact in (
        CallbackYielded(now, 1, "hotline-c1.3", "1001", "hotline-1.9"),
        CallbackRaced(now, 1, "hotline-c1.3", "1001"),
    ):
        centre.book.write(fact)
    await centre.close()
    again = Centre(engine, tmp_path)
    await again.start()
    [task] = again.desk.floor.tasks.values()
    assert (task.state, task.attempts_left, task.tries, task.yields, task.first) == (
        State.DUE,
        3,
        3,
        1,
        True,
    )
    again.agent()
    assert [one.call for one in again.placed] == ["hotline-c1.4"], "no attempt's name is used twice"
    await again.close()


async def test_an_attempt_that_asterisk_still_has_goes_on(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    for agent in ("1001", "1002"):
        centre.agent(agent)
    for number in ("13800000001", "13800000002"):
        await add(centre.book, centre.desk, by_hand(number))
    centre.report(CallbackAnswered(clock.now(), 2, "hotline-c2.1", "1002"))
    await centre.close()

    again = Centre(engine, tmp_path)
    again.diary.start()
    again.book.start()
    for agent in ("1001", "1002"):
        again.agent(agent)
    again.desk.take_up(await again.book.open_tasks())
    again.report(LinkRestored(clock.now()))
    floor = again.desk.floor
    assert [task.state for task in floor.tasks.values()] == [State.DIALLING, State.TALKING]
    assert [seat.call for seat in floor.seats.values()] == ["hotline-c1.1", "hotline-c2.1"]
    assert again.placed == []
    again.report(CallbackEnded(clock.now(), 2, "hotline-c2.1", "1002"))
    again.report(CallbackEnded(clock.now(), 1, "hotline-c1.1", "1001", "lost"))
    assert WrapUpStarted in {type(fact) for fact in again.recorded}
    assert [(one.call, one.agent) for one in again.placed] == [("hotline-c1.2", "1001")]
    assert await again.book.flush()
    assert (await entry_of(engine, 2)).state is State.REACHED
    assert (await entry_of(engine, 1)).attempts == 0, "what was lost is no attempt"
    await again.close()


async def test_what_a_crash_kept_from_the_book_comes_from_the_diary(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    centre.agent()
    for number in ("13800000001", "13800000002"):
        await add(centre.book, centre.desk, by_hand(number, attempts=1))
    assert await centre.book.flush()
    centre.book.write = lambda fact: None  # type: ignore[method-assign]
    centre.report(CallbackEnded(clock.now(), 1, "hotline-c1.1", "1001", "busy"))
    assert CallbackUnreached in {type(fact) for fact in centre.recorded}
    await centre.close()
    assert (await entry_of(engine, 1)).state is State.DIALLING

    again = Centre(engine, tmp_path)
    await again.start()
    assert set(again.desk.floor.tasks) == {2}
    assert again.desk.floor.tasks[2].tries == 1
    assert await again.book.flush()
    assert (await entry_of(engine, 1)).state is State.UNREACHED
    await again.close()


@pytest.mark.parametrize("crash", [False, True])
async def test_a_task_that_is_opened_again_is_open_in_the_book_and_after_a_start(
    centre: Centre, engine: AsyncEngine, tmp_path: Path, crash: bool
) -> None:
    """`crash`: the diary heard of it, and the book did not any more."""
    centre.agent()
    await add(centre.book, centre.desk, by_hand(attempts=1))
    centre.report(CallbackEnded(clock.now(), 1, "hotline-c1.1", "1001", "no_answer"))
    assert await centre.book.flush()
    assert (await entry_of(engine, 1)).state is State.UNREACHED
    centre.report(AgentPaused(clock.now(), "1001", "用餐"))
    if crash:
        centre.book.write = lambda fact: None  # type: ignore[method-assign]
    centre.report(CallbackAnswered(clock.now(), 1, "hotline-c1.1", "1001"))
    assert CallbackReopened in {type(fact) for fact in centre.recorded}
    assert await centre.book.flush()
    assert await centre.book.changes() == ([], []), "it is no task of another program"
    await centre.close()
    state = State.UNREACHED if crash else State.DUE
    assert (await entry_of(engine, 1)).state is state

    again = Centre(engine, tmp_path)
    await again.start()
    again.agent()
    assert [one.call for one in again.placed] == ["hotline-c1.2"]
    again.report(CallbackAnswered(clock.now(), 1, "hotline-c1.2", "1001"))
    again.report(CallbackEnded(clock.now(), 1, "hotline-c1.2", "1001"))
    await again.close()
    found = await entry_of(engine, 1)
    assert (found.state, found.attempts, found.attempts_left) == (State.REACHED, 2, 1)


async def test_a_task_whose_entry_the_diary_did_not_hear_of_is_told_again(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    """The controller was killed between the book's commit and the diary's: the task would be in no figure."""
    await add(centre.book, centre.desk, by_hand("13800000001"))
    now = clock.now()
    lost = Wanted("+8613800000002", "default", now, now + MINUTE, attempts=4)
    unheard = await centre.book.enter(lost)
    assert await centre.book.flush()
    await centre.close()
    again = Centre(engine, tmp_path)
    await again.start()
    assert await again.book.untold() == [unheard]
    await again.close()


async def test_what_the_book_knows_is_not_applied_twice(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    await add(centre.book, centre.desk, by_hand("13800000001"))
    await add(centre.book, centre.desk, by_hand("13800000002"))
    for fact in (
        CallbackPlaced(clock.now(), 2, "hotline-c2.1", "1001"),
        CallbackYielded(clock.now(), 2, "hotline-c2.1", "1001", "hotline-1.9"),
    ):
        centre.record(fact)
    assert await centre.book.flush()
    await centre.close()
    again = Centre(engine, tmp_path)
    await again.start()
    assert again.desk.floor.tasks[2].yields == 1
    await again.close()


async def test_a_start_without_tasks(centre: Centre) -> None:
    assert await centre.book.open_tasks() == []


# --- the database is away


class Away:
    """While `on`, every statement on the book fails, as if the server were gone."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.on = True
        event.listen(engine.sync_engine, "before_cursor_execute", self._refuse)

    def _refuse(self, *args: Any) -> None:
        if self.on and "callback" in args[2]:
            raise OperationalError("refused", None, Exception("away"))


async def test_nothing_is_lost_while_the_database_is_away(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    centre.agent()
    await add(centre.book, centre.desk, by_hand())
    assert await centre.book.flush()
    away = Away(engine)
    centre.report(CallbackAnswered(clock.now(), 1, "hotline-c1.1", "1001"))
    centre.report(CallbackEnded(clock.now(), 1, "hotline-c1.1", "1001"))
    centre.book.create(lost("hotline-1.5", "+8613800000005"))
    await until(lambda: centre.book.waiting == 2)
    assert not await centre.book.flush()
    with pytest.raises(Refused, match="the database is away: nothing was entered"):
        await add(centre.book, centre.desk, by_hand("13800000009"))
    [line] = (tmp_path / "callbacks.jsonl").read_text().splitlines()
    assert json.loads(line)["origin"] == "hotline-1.5"
    assert (tmp_path / "callbacks.jsonl").stat().st_mode & 0o077 == 0

    away.on = False
    await until(lambda: not centre.book.waiting)
    assert (await entry_of(engine, 1)).state is State.REACHED
    numbers = {one.number for one in await find_all(engine, {State.DIALLING, State.DUE})}
    assert numbers == {"+8613800000005"}
    assert not (tmp_path / "callbacks.jsonl").exists()


async def test_a_request_outlives_a_crash(
    centre: Centre, engine: AsyncEngine, tmp_path: Path
) -> None:
    away = Away(engine)
    for n in (5, 6):
        centre.book.create(lost(f"hotline-1.{n}", f"+861380000000{n}"))
    await until(lambda: centre.book.waiting == 2)
    assert not await centre.book.flush()
    await centre.close()
    with (tmp_path / "callbacks.jsonl").open("a") as file:
        file.write('{"at": 17')
    away.on = False

    again = Centre(engine, tmp_path)
    await again.start()
    await until(lambda: len(again.desk.floor.tasks) == 2)
    assert {one.origin for one in await find_all(engine)} == {"hotline-1.5", "hotline-1.6"}
    await again.close()
    assert not (tmp_path / "callbacks.jsonl").exists()


async def test_what_waits_is_bounded(
    centre: Centre, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_book, "MOST_REQUESTS", 3)
    away = Away(engine)
    for n in range(5):
        centre.book.create(lost(f"hotline-1.{n}", f"+861380000000{n}"))
    await until(lambda: centre.book.waiting == 3)
    assert not await centre.book.flush()
    away.on = False
    await until(lambda: len(centre.desk.floor.tasks) == 3)


@pytest.mark.live
async def test_a_server_that_crashes(
    postgres_server: PostgresServer, postgresql_url: str, tmp_path: Path
) -> None:
    engine = database.engine(postgresql_url)
    async with engine.begin() as connection:
        await connection.run_sync(database.metadata.create_all)
    centre = Centre(engine, tmp_path)
    await centre.start()
    await add(centre.book, centre.desk, by_hand())
    postgres_server.stop()
    try:
        centre.book.create(lost("hotline-1.5", "+8613800000005"))
        centre.report(CallbackCancelled(clock.now(), 1, "by hand"))
        assert not await centre.book.flush()
    finally:
        postgres_server.start()
    await until(lambda: not centre.book.waiting)
    assert (await entry_of(engine, 1)).state is State.CANCELLED
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(tables.callback)) == 2
    await centre.close()
    await engine.dispose()
