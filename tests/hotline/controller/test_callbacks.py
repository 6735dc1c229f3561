"""Requests about callbacks: entered at once or not at all, and an answered one is never cut."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from acd.callbacks.entry import ATTEMPTS, SPACING, Entry, Wanted
from acd.callbacks.task import State, Task
from acd.desk import Desk
from acd.floor import Floor
from acd.rules.model import Rules
from base.bus import Refused
from facts import AgentAdded, AgentRemoved, CallbackAdded, CallbackCancelled, Fact
from facts.requests import AddCallback, Reply
from facts.times import SECOND
from hotline.controller import callbacks
from tests.hotline.controller.conftest import Clock

T = Clock().at
HOUR = 3600 * SECOND
CITIZEN = "+8613800000001"

ADDED = CallbackAdded(T, 7, CITIZEN, "default", T, T + HOUR)
ENTRY = Entry(
    id=7,
    number=CITIZEN,
    queue="default",
    state=State.DUE,
    reason="",
    matter="",
    earliest=T,
    latest=T + HOUR,
    attempts_left=3,
    attempts=0,
    tries=0,
    spacing=0,
    prefers="",
    agent="",
    attempt="",
    origin="",
    place=0,
    not_before=T,
    first=False,
    yields=0,
    last_failure="",
    added_at=T,
    updated_at=T,
)


class Book:
    """Has one entry at most. `away`: the database is."""

    def __init__(self) -> None:
        self.away, self.entry = False, ENTRY
        self.wanted: list[Wanted] = []

    async def enter(self, wanted: Wanted) -> CallbackAdded:
        await self.find(0)
        self.wanted.append(wanted)
        return ADDED

    async def find(self, number: int) -> Entry | None:
        if self.away:
            raise ConnectionError
        return self.entry if number == self.entry.id else None

    def adopt(self, entry: Entry) -> Task:
        return entry.task()


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def recorded() -> list[Fact]:
    return []


@pytest.fixture
async def desk(recorded: list[Fact], clock: Clock) -> AsyncIterator[Desk]:
    made = Desk(
        Floor(Rules()),
        record=recorded.append,
        stop_ringing=lambda call, agent: None,
        clock=lambda: clock.at,
    )
    yield made
    made.close()


async def refusal(work: Awaitable[Reply]) -> str:
    """The sentence with which it is refused."""
    with pytest.raises(Refused) as refused:
        await work
    return str(refused.value)


# --- a new one


def test_what_was_not_said_is_the_books_own() -> None:
    assert callbacks.wanted_of(AddCallback("1")) == Wanted("1", attempts=ATTEMPTS, spacing=SPACING)


def test_what_was_said_is_kept_and_nought_is_something() -> None:
    said = AddCallback("1", "fire", 2, 3, "1001", "why", "what", attempts=0, spacing=0)
    assert callbacks.wanted_of(said) == Wanted("1", "fire", 2, 3, "1001", "why", "what", 0, 0)


async def test_a_task_is_entered_and_the_floor_works_on_it(
    book: Book, desk: Desk, recorded: list[Fact]
) -> None:
    reply = await callbacks.add(book, desk, AddCallback("138 0000 0001", latest=T + HOUR))
    assert reply == Reply("callback 7 added", 7)
    assert [(one.number, one.queue, one.earliest) for one in book.wanted] == [
        (CITIZEN, "default", T)
    ]
    assert recorded == [ADDED]
    assert list(desk.floor.tasks) == [7]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (AddCallback("wang"), "'wang' is not a telephone number"),
        (AddCallback(CITIZEN, "fire"), "there is no queue 'fire': there is default"),
        (AddCallback(CITIZEN, prefers="1001"), "there is no agent '1001'"),
        (AddCallback(CITIZEN, attempts=0), "0 attempts: give 1 to 20"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    book: Book, desk: Desk, asked: AddCallback, sentence: str
) -> None:
    assert (await refusal(callbacks.add(book, desk, asked))).startswith(sentence)
    assert book.wanted == []


async def test_only_an_agent_who_is_there_can_be_preferred(book: Book, desk: Desk) -> None:
    asked = AddCallback(CITIZEN, prefers="1001")
    desk.report(AgentAdded(T, "1001"))
    assert (await callbacks.add(book, desk, asked)).id == 7
    desk.floor.seats["1001"].call = "hotline-1.1"  # removed in the middle of a talk, the seat stays
    desk.report(AgentRemoved(T, "1001"))
    assert (await refusal(callbacks.add(book, desk, asked))).startswith("there is no agent '1001'")


async def test_nothing_is_entered_while_the_database_is_away(
    book: Book, desk: Desk, recorded: list[Fact]
) -> None:
    book.away = True
    with capture_logs() as logs:
        said = await refusal(callbacks.add(book, desk, AddCallback(CITIZEN)))
    assert said == "the database is away: nothing was entered, try again later"
    assert recorded == []
    assert [line["event"] for line in logs] == ["callback.not_entered"]


# --- one that is not wanted any more


def taken_up(desk: Desk, state: State) -> None:
    desk.seed([AgentAdded(T, "1001")])
    under_way = {"agent": "1001", "attempt": "hotline-c7.1"} if state is not State.DUE else {}
    desk.take_up([replace(ENTRY, state=state, **under_way).task()])


async def test_a_task_is_cancelled(book: Book, desk: Desk, recorded: list[Fact]) -> None:
    taken_up(desk, State.DUE)
    assert await callbacks.cancel(book, desk, 7) == Reply("callback 7 cancelled", 7)
    assert recorded == [CallbackCancelled(T, 7, "by hand")]
    assert not desk.floor.tasks


async def test_an_attempt_under_way_is_hung_up(book: Book, desk: Desk) -> None:
    taken_up(desk, State.DIALLING)
    reply = await callbacks.cancel(book, desk, 7)
    assert reply.said == "callback 7 cancelled; the attempt that was under way is hung up"


async def test_a_talk_is_not_cut(book: Book, desk: Desk, recorded: list[Fact]) -> None:
    taken_up(desk, State.TALKING)
    said = await refusal(callbacks.cancel(book, desk, 7))
    assert said == "callback 7: the citizen has answered, and that talk is not cut"
    assert recorded == []
    assert desk.floor.tasks[7].state is State.TALKING


async def test_a_task_that_another_program_entered_is_cancelled(
    book: Book, desk: Desk, recorded: list[Fact]
) -> None:
    assert await callbacks.cancel(book, desk, 7) == Reply("callback 7 cancelled", 7)
    assert recorded == [CallbackCancelled(T, 7, "by hand")]


async def test_a_task_whose_time_is_past_is_over(book: Book, desk: Desk) -> None:
    book.entry = replace(ENTRY, earliest=T - HOUR, latest=T - SECOND, not_before=T - HOUR)
    assert (
        await refusal(callbacks.cancel(book, desk, 7))
        == "callback 7 is over already: its latest time is past"
    )


async def test_a_task_that_has_ended_is_over(book: Book, desk: Desk) -> None:
    book.entry = replace(ENTRY, state=State.REACHED)
    assert await refusal(callbacks.cancel(book, desk, 7)) == "callback 7 is over already: reached"


async def test_there_must_be_such_a_task(book: Book, desk: Desk) -> None:
    assert (
        await refusal(callbacks.cancel(book, desk, 9))
        == "there is no callback 9: `hotline callback list` shows them"
    )


async def test_nothing_is_cancelled_while_the_database_is_away(book: Book, desk: Desk) -> None:
    book.away = True
    with capture_logs() as logs:
        said = await refusal(callbacks.cancel(book, desk, 7))
    assert said == "the database is away: nothing was done, try again later"
    assert [line["event"] for line in logs] == ["callback.not_found"]
