"""A callback's row, fact by fact, and what may be asked for, at its bounds."""

from dataclasses import replace
from typing import Any

import pytest

from acd.callbacks.entry import (
    ATTEMPTS,
    LONGEST_AHEAD,
    LONGEST_SPACING,
    SPACING,
    Entry,
    TaskError,
    Wanted,
    apply,
    checked,
    checked_number,
)
from acd.callbacks.task import AGENT_SIDE, Book, State, Task
from acd.rules.model import DEFAULT, Queue, Rules
from facts import (
    AgentReady,
    CallbackAdded,
    CallbackAnswered,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMerged,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackReopened,
    CallbackSpared,
    CallbackUnreached,
    CallbackYielded,
    Fact,
)
from facts.times import SECOND

NOW = 1_763_719_200 * SECOND
MINUTE = 60 * SECOND
NUMBER = "13800000001"
RULES = Rules(queues={DEFAULT: Queue(call_back_within=1800), "tax": Queue("tax")})
ATTEMPT = "hotline-c7.2"

ENTRY = Entry(
    id=7,
    number="+8613800000001",
    queue="tax",
    state=State.DUE,
    reason="r",
    matter="m",
    earliest=1,
    latest=2,
    attempts_left=3,
    attempts=4,
    tries=5,
    spacing=600,
    prefers="1001",
    agent="1002",
    attempt="",
    origin="hotline-1.1",
    place=9,
    not_before=11,
    first=True,
    yields=12,
    last_failure="busy",
    added_at=13,
    updated_at=14,
)
DIALLING = replace(ENTRY, state=State.DIALLING, attempt=ATTEMPT)
TALKING = replace(ENTRY, state=State.TALKING, attempt=ATTEMPT)


@pytest.mark.parametrize(
    ("entry", "fact", "changes"),
    [
        (
            ENTRY,
            CallbackPlaced(20, 7, ATTEMPT, "1003"),
            {"state": State.DIALLING, "attempt": ATTEMPT, "agent": "1003", "tries": 6},
        ),
        (DIALLING, CallbackDialling(20, 7, ATTEMPT, "1002"), {}),
        (
            DIALLING,
            CallbackAnswered(20, 7, ATTEMPT, "1002"),
            {"state": State.TALKING, "attempts": 5},
        ),
        (
            DIALLING,
            CallbackYielded(20, 7, ATTEMPT, "1002", "c"),
            {"state": State.DUE, "attempt": "", "yields": 13},
        ),
        (
            replace(ENTRY, first=False),
            CallbackRaced(20, 7, ATTEMPT, "1002"),
            {"first": True, "not_before": 20},
        ),
        (ENTRY, CallbackRaced(20, 7, ATTEMPT, "1002"), {}),
        (
            ENTRY,
            CallbackSpared(20, 7, ATTEMPT, "1003"),
            {
                "state": State.TALKING,
                "attempt": ATTEMPT,
                "agent": "1003",
                "first": False,
                "attempts": 5,
            },
        ),
        (
            TALKING,
            CallbackEnded(20, 7, ATTEMPT, "1002"),
            {"state": State.REACHED, "attempt": ""},
        ),
        (
            TALKING,
            CallbackEnded(20, 7, ATTEMPT, "1002", "withdrawn"),
            {
                "state": State.DUE,
                "attempt": "",
                "attempts": 3,
                "last_failure": "withdrawn",
            },
        ),
        *(
            (
                DIALLING,
                CallbackEnded(20, 7, ATTEMPT, "1002", failure),
                {"state": State.DUE, "attempt": "", "last_failure": failure},
            )
            for failure in sorted(AGENT_SIDE)
        ),
        (
            DIALLING,
            CallbackEnded(20, 7, ATTEMPT, "1002", "x" * 41),
            {
                "state": State.DUE,
                "attempt": "",
                "attempts": 5,
                "attempts_left": 2,
                "not_before": 620,
                "first": False,
                "last_failure": "x" * 40,
            },
        ),
        (DIALLING, CallbackCancelled(20, 7, "by hand"), {"state": State.CANCELLED, "attempt": ""}),
        (TALKING, CallbackCancelled(20, 7, "by hand"), {}),
        (ENTRY, CallbackUnreached(20, 7), {"state": State.UNREACHED}),
        (
            replace(ENTRY, state=State.UNREACHED, attempts_left=0, first=False),
            CallbackReopened(20, 7, ATTEMPT),
            {"state": State.DUE, "attempts_left": 1, "first": True, "not_before": 20},
        ),
        (ENTRY, CallbackMissed(20, 7), {"state": State.MISSED}),
        (ENTRY, CallbackMerged(20, 7, "hotline-1.2"), {}),
        (ENTRY, AgentReady(20, "1001"), {}),
    ],
)
def test_a_fact_changes_the_row_so(entry: Entry, fact: Fact, changes: dict[str, Any]) -> None:
    assert apply(entry, fact) == replace(entry, **changes, updated_at=20)
    assert apply(entry, replace(fact, at=3)).updated_at == 14, "a late fact does not make it older"


def test_the_task_and_the_fact_of_a_row() -> None:
    task, fact = ENTRY.task(), ENTRY.fact()
    names = [name for name in Task.__slots__ if name != "agent"]
    assert {name: getattr(task, name) for name in names} == {
        name: getattr(ENTRY, name) for name in names
    }
    assert (task.agent, DIALLING.task().agent) == ("", "1002")
    assert fact == CallbackAdded(
        *(13, 7, "+8613800000001", "tax", 1, 2, 3, 600, "1001", "r", "m", "hotline-1.1", 9)
    )
    assert replace(ENTRY, attempts_left=2).fact().attempts == 2
    again = replace(ENTRY, tries=0, yields=0, first=False, not_before=1).task()
    assert Task.of(fact) == again


# --- what may be asked for


def want(**more: Any) -> Wanted:
    return checked(Wanted(**{"number": NUMBER, **more}), RULES, {"1001"}, NOW)


def test_what_is_not_said_is_filled_in() -> None:
    assert want() == Wanted(
        "+8613800000001", DEFAULT, NOW, NOW + 1800 * SECOND, attempts=ATTEMPTS, spacing=SPACING
    )
    assert want(earliest=NOW + MINUTE).latest == NOW + MINUTE + 1800 * SECOND


@pytest.mark.parametrize(
    "more",
    [
        {"queue": "tax", "prefers": "1001"},
        {"attempts": 1},
        {"attempts": 20},
        {"spacing": 0},
        {"spacing": LONGEST_SPACING},
        {"latest": NOW + LONGEST_AHEAD},
        {"latest": NOW + 1},
        {"earliest": NOW + 5, "latest": NOW + 6},
        {"reason": "x" * 200, "matter": "y" * 80},
    ],
)
def test_at_the_bounds(more: dict[str, Any]) -> None:
    found = want(**more)
    assert {name: getattr(found, name) for name in more} == more


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"queue": "x" * 40}, f"there is no queue {'x' * 32!r}: there is default, tax"),
        (
            {"prefers": "9" * 30},
            f"there is no agent {'9' * 20!r}: `hotline agent list` shows those there are",
        ),
        ({"attempts": 0}, "0 attempts: give 1 to 20"),
        ({"attempts": 21}, "21 attempts: give 1 to 20"),
        ({"spacing": -1}, "the time between attempts: give 0 to 10080 minutes"),
        ({"spacing": LONGEST_SPACING + 1}, "the time between attempts: give 0 to 10080 minutes"),
        (
            {"earliest": NOW - MINUTE},
            "the earliest time is past: leave it out to have it called at once",
        ),
        ({"latest": NOW}, "the latest time is past: nobody could be called in time any more"),
        ({"earliest": NOW + 5, "latest": NOW + 5}, "the latest time must be after the earliest"),
        (
            {"latest": NOW + LONGEST_AHEAD + 1},
            "the latest time is more than a year ahead: mind the year and the offset",
        ),
        ({"reason": "x" * 201}, "the reason has 201 characters: at most 200 are allowed"),
        ({"matter": "x" * 81}, "the matter has 81 characters: at most 80 are allowed"),
        ({"matter": "a\x00b"}, "the matter has the control character U+0000 in it"),
        ({"reason": "a\ud800b"}, "the reason has the control character U+D800 in it"),
    ],
)
def test_beyond_the_bounds(more: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError) as error:
        want(**more)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("110", "110 is not called: emergency numbers are never dialled by the hotline"),
        (
            "123456",
            "123456 is not called: short numbers are dialled only if HOTLINE_DIAL_ALLOW has them",
        ),
        (
            "+85251234567",
            "+85****4567 is not called: numbers abroad are dialled only if HOTLINE_DIAL_ALLOW has them",
        ),
    ],
)
def test_a_number_that_the_gate_refuses_is_named_if_it_is_nobodys(number: str, said: str) -> None:
    with pytest.raises(TaskError) as error:
        want(number=number)
    assert str(error.value) == said


def test_a_minute_ago_means_now() -> None:
    assert want(earliest=NOW - MINUTE + 1).earliest == NOW


def test_text_is_put_in_order() -> None:
    assert want(reason=" e\u0301 \t b\u2028\u2029c ").reason == "é b c"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("12", "'12'"),
        ("abc" * 10, repr("abc" * 10)[:21] + "'"),
        ("123456", "'123456'"),
        ("a123456", "'a123456'"),
        ("12345678901234567", "12****4567"),
        ("abc 1234567", None),
    ],
)
def test_what_is_no_number_is_shown_but_never_whole(typed: str, shown: str | None) -> None:
    if typed == "123456":
        assert checked_number(typed)
        return
    with pytest.raises(TaskError) as error:
        checked_number(typed)
    said = str(error.value)
    assert said.endswith(
        " is not a telephone number: write 3 to 15 digits, such as 13812345678, "
        "02423456789 or +85212345678"
    )
    if shown is not None and "*" not in shown:
        assert said.startswith(f"{shown} ")
    else:
        assert "1234567 " not in said
        assert "*" in said


# --- the order of tasks


def task(number: int, latest: int, *, first: bool = False, queue: str = "tax") -> Task:
    made = replace(ENTRY, id=number, latest=latest, first=first, queue=queue)
    return made.task()


def test_who_was_raced_comes_first_then_the_nearest_deadline_then_the_older_task() -> None:
    tasks = [task(3, 50), task(1, 90, first=True), task(2, 50), task(4, 40)]
    assert [one.id for one in sorted(tasks, key=Task.order)] == [1, 4, 2, 3]


def test_when_a_deadline_is_near() -> None:
    one = task(1, 100 * SECOND)
    assert not one.urgent(70 * SECOND - 1, 30.0)
    assert one.urgent(70 * SECOND, 30.0)
    assert one.urgent(100 * SECOND, 0.0)
    assert not one.urgent(100 * SECOND - 1, 0.0)


def test_the_book_offers_the_first_and_the_nearest_deadline() -> None:
    book = Book()
    assert book.candidates("tax") == []
    assert not book.due("tax")
    plain, nearer, raced, later = task(1, 50), task(2, 40), task(3, 90, first=True), task(4, 95)
    book.add(plain)
    assert book.candidates("tax") == [1]
    book.add(nearer)
    assert book.candidates("tax") == [2]
    book.add(raced)
    assert book.candidates("tax") == [3, 2], "both may be worth an agent"
    book.add(replace(raced, id=5, latest=91))
    assert book.candidates("tax") == [3, 2]
    for one in (plain, nearer):
        book.remove(one)
        book.remove(one)
    assert book.candidates("tax") == [3]
    book.add(later)
    book.add(later)
    assert book.candidates("tax") == [3, 4]
    for one in (raced, replace(raced, id=5, latest=91), later):
        assert book.due("tax")
        book.remove(one)
    assert not book.due("tax"), "what was entered twice was there once"
    book.remove(task(9, 9, queue="nobody"))
    assert not book.due("nobody")
