"""How long a wait, how long a queue, and how late a second call may be: to the microsecond."""

from typing import Any

import pytest

from acd.commands import ReleaseCall, Ring, SendOutside
from acd.rules.model import DEFAULT, Number, Queue, Rules
from facts import (
    CallArrived,
    CallDetached,
    CallEnded,
    CallMoved,
    CallQueued,
    CallReleased,
    CallReturned,
    OfferAnswered,
    OfferEnded,
    PlaceRestored,
    TalkEnded,
)
from facts.terms import OfferReason, Party, Release
from facts.times import SECOND
from tests.acd.test_floor import Story, deeds, one_queue

CITIZEN = "+8613800138000"


def two_queues(**settings: object) -> Rules:
    first = Queue(overflow_to="tax", **settings)  # type: ignore[arg-type]
    numbers = {"12345": Number("12345"), "12366": Number("12366", "tax")}
    return Rules(queues={DEFAULT: first, "tax": Queue("tax")}, numbers=numbers)


# --- the longest wait


def test_the_longest_wait_ends_to_the_moment() -> None:
    story = Story(one_queue(longest_wait=60))
    story.caller("a", 1)
    story.now = 61 * SECOND - 1
    assert story.floor.tick(story.now) == []
    story.now += 1
    assert deeds(story.floor.tick(story.now)) == [ReleaseCall("a", Release.TIMED_OUT)]
    assert story.floor.ahead("a") == 0


def test_the_longest_wait_that_ends_while_a_phone_rings_is_over_with_the_ringing() -> None:
    story = Story(one_queue(longest_wait=60))
    story.agent("1001", 0)
    story.caller("a", 50)
    assert deeds(story.until(115)) == []
    out = story.tell(OfferEnded(116 * SECOND, "a", "1001", OfferReason.NO_ANSWER))
    assert out == [ReleaseCall("a", Release.TIMED_OUT)]


def test_a_caller_without_a_session_is_not_released() -> None:
    story = Story(one_queue(longest_wait=60))
    story.caller("a", 1)
    story.tell(CallDetached(2 * SECOND, "a"))
    assert deeds(story.until(90)) == []
    back = CallReturned(91 * SECOND, "a", DEFAULT, SECOND)
    assert deeds(story.floor.handle(back, 91 * SECOND)) + deeds(story.until(91)) == [
        ReleaseCall("a", Release.TIMED_OUT)
    ]


# --- overflow


def test_a_caller_overflows_to_the_moment_and_keeps_the_place() -> None:
    story = Story(two_queues(overflow_after=30))
    story.caller("a", 1)
    story.now = 31 * SECOND - 1
    assert story.floor.tick(story.now) == []
    story.now += 1
    entries = [command.fact for command in story.floor.tick(story.now)]  # type: ignore[union-attr]
    assert entries == [CallMoved(31 * SECOND, "a", "tax")]
    caller = story.floor.callers["a"]
    assert (caller.queue, caller.place, caller.queued_at) == ("tax", SECOND, SECOND)


@pytest.mark.parametrize(
    ("settings", "moved"),
    [
        ({"overflow_after": 30}, True),
        ({"longest_queue": 9}, False),
        ({"overflow_after": 40}, False),
    ],
)
def test_a_caller_who_was_rung_for_in_vain_overflows_by_their_own_queue(
    settings: dict[str, int], moved: bool
) -> None:
    story = Story(two_queues(**settings))
    story.agent("1001")
    story.caller("a", 1)
    ended = OfferEnded(35 * SECOND, "a", "1001", OfferReason.NO_ANSWER)
    assert (CallMoved(35 * SECOND, "a", "tax") in story.entries(ended)) is moved
    other = Story(Rules(queues={DEFAULT: Queue(), "tax": Queue("tax", **OVERFLOW)}))
    other.agent("1001")
    other.tell(CallArrived(SECOND, "a", "12345", ""), CallQueued(SECOND, "a", "tax"))
    assert CallMoved(35 * SECOND, "a", DEFAULT) in other.entries(ended)


OVERFLOW: dict[str, Any] = {"overflow_to": DEFAULT, "overflow_after": 30}


def test_an_overflow_to_an_outside_number() -> None:
    story = Story(one_queue(overflow_to="12333", overflow_after=30))
    story.caller("a", 1)
    assert deeds(story.until(31)) == [SendOutside("a", "12333")]
    assert deeds(story.until(700)) == [], "the caller waits no longer"


# --- the longest queue


@pytest.mark.parametrize("longest", [1, 2])
def test_whoever_comes_when_the_queue_is_full_is_released(longest: int) -> None:
    story = Story(one_queue(longest_queue=longest))
    for count in range(longest):
        assert story.caller(f"a{count}", 1) == []
    assert story.caller("b", 2) == [ReleaseCall("b", Release.QUEUE_FULL)]
    story.tell(CallEnded(3 * SECOND, "a0", Party.CALLER))
    assert story.caller("c", 4) == []


def test_a_full_queue_overflows_at_once() -> None:
    story = Story(two_queues(longest_queue=1))
    story.caller("a", 1)
    story.caller("b", 2)
    assert [story.floor.callers[call].queue for call in "ab"] == [DEFAULT, "tax"]


def test_a_caller_who_comes_back_finds_no_full_queue() -> None:
    story = Story(one_queue(longest_queue=1))
    story.caller("a", 1)
    story.tell(CallArrived(SECOND, "b", "12345", ""))
    assert story.tell(CallReturned(2 * SECOND, "b", DEFAULT, SECOND)) == []
    assert story.floor.ahead("b") == 1


def test_without_a_limit_the_queue_is_never_full() -> None:
    story = Story(one_queue(longest_queue=0))
    for count in range(50):
        assert story.caller(f"a{count}", 1) == []


# --- a second call


def gives_up(story: Story, caller: str = CITIZEN) -> None:
    """The citizen's call waits from the first second to the tenth."""
    story.caller("a", 1, caller=caller)
    story.tell(CallEnded(10 * SECOND, "a", Party.CALLER))


def again(story: Story, at: int, caller: str = CITIZEN, number: str = "12345") -> list[int]:
    """The places that a second call gets back."""
    story.tell(CallArrived(at, "b", number, caller))
    queue = "tax" if number == "12366" else DEFAULT
    facts = story.entries(CallQueued(at, "b", queue))
    return [fact.place for fact in facts if isinstance(fact, PlaceRestored)]


@pytest.mark.parametrize(("late", "places"), [(60 * SECOND, [SECOND]), (60 * SECOND + 1, [])])
def test_whoever_redials_in_time_has_their_old_place(late: int, places: list[int]) -> None:
    story = Story(one_queue(redial_for=60))
    gives_up(story)
    story.caller("c", 11)
    assert again(story, 10 * SECOND + late) == places
    assert story.floor.ahead("b") == (0 if places else 1)


def test_a_place_is_of_one_citizen_and_one_queue() -> None:
    for caller, number in (("+8613900000000", "12345"), ("", "12345"), (CITIZEN, "12366")):
        rules = two_queues(redial_for=60)
        story = Story(rules)
        gives_up(story)
        assert again(story, 20 * SECOND, caller, number) == []
    story = Story(one_queue(redial_for=60))
    gives_up(story, "")
    assert again(story, 20 * SECOND, "") == []


def test_whoever_was_answered_has_no_place_any_more() -> None:
    story = Story(one_queue(redial_for=60))
    gives_up(story)
    story.tell(CallArrived(20 * SECOND, "b", "12345", CITIZEN))
    story.tell(CallQueued(20 * SECOND, "b", DEFAULT))
    story.agent("1001", 21)
    story.tell(
        OfferAnswered(22 * SECOND, "b", "1001"),
        TalkEnded(30 * SECOND, "b", "1001", Party.CALLER),
        CallEnded(30 * SECOND, "b", Party.CALLER),
    )
    facts = story.entries(
        CallArrived(31 * SECOND, "c", "12345", CITIZEN), CallQueued(31 * SECOND, "c", DEFAULT)
    )
    assert not any(isinstance(fact, PlaceRestored) for fact in facts)


def test_a_caller_who_only_heard_the_greeting_had_no_place() -> None:
    story = Story(one_queue(redial_for=60))
    story.tell(CallArrived(SECOND, "a", "12345", CITIZEN))
    story.tell(CallEnded(2 * SECOND, "a", Party.CALLER))
    assert again(story, 3 * SECOND) == []


def test_a_released_caller_is_rung_for_no_more() -> None:
    story = Story(one_queue(longest_wait=60))
    story.caller("a", 1)
    story.until(61)
    story.agent("1001", 62)
    assert story.presence("1001").value == "ready"
    assert story.caller("b", 63) == [Ring("b", ("1001",), 15.0)]
    assert story.tell(CallReleased(64 * SECOND, "a", Release.TIMED_OUT)) == []
