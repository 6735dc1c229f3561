"""What the floor remembers of those who have gone, for how many, and what it forgets; and who waits the longest."""

import json
from collections.abc import Iterable

import pytest

from acd.commands import Ring
from acd.floor import Floor
from acd.floor.hall import REMEMBERED
from acd.rules.model import DEFAULT, Queue, Rules
from facts import (
    CallArrived,
    CallDetached,
    CallEnded,
    CallQueued,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    PlaceRestored,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from tests.acd.test_floor import Story

RULES = Rules(
    queues={
        DEFAULT: Queue(redial_for=86_400, sticky_for=86_400, wrap_up_time=0, call_back_lost=False)
    }
)
SOME = 3
"""Calls more than are remembered."""


def citizen(number: int) -> str:
    return f"+86138{number:08}"


def gave_up(story: Story, numbers: Iterable[int]) -> None:
    """Citizens who waited and hung up, one after the other."""
    for n in numbers:
        story.caller(f"n-1.{n}", n, caller=citizen(n))
        story.tell(CallEnded(n * SECOND, f"n-1.{n}", Party.CALLER))


def answered(story: Story, numbers: Iterable[int], agent: str) -> None:
    """This agent answers these citizens, one after the other."""
    for n in numbers:
        story.caller(f"n-1.{n}", n, caller=citizen(n))
        story.tell(
            OfferAnswered(n * SECOND, f"n-1.{n}", agent),
            TalkEnded(n * SECOND, f"n-1.{n}", agent, Party.CALLER),
            CallEnded(n * SECOND, f"n-1.{n}", Party.CALLER),
        )


@pytest.fixture
def story() -> Story:
    return Story()


def sizes(floor: Floor) -> dict[str, int]:
    plain = json.loads(json.dumps(floor.snapshot()))
    return {name: len(plain[name]) for name in ("ended", "left", "last_agent")}


def test_the_newest_ended_calls_are_remembered_and_the_oldest_forgotten() -> None:
    story = Story(RULES)
    gave_up(story, range(1, REMEMBERED + 1))
    assert sizes(story.floor)["ended"] == REMEMBERED
    at = (REMEMBERED + SOME + 1) * SECOND
    assert story.entries(CallArrived(at, "n-1.1", "12345", "")) == []
    gave_up(story, range(REMEMBERED + 1, REMEMBERED + SOME + 1))
    assert sizes(story.floor)["ended"] == REMEMBERED
    for n, known in ((SOME, False), (SOME + 1, True), (REMEMBERED + SOME, True)):
        late = CallArrived(at, f"n-1.{n}", "12345", "")
        assert story.entries(late) == ([] if known else [late])


def test_the_newest_left_places_are_remembered_and_the_oldest_forgotten() -> None:
    story = Story(RULES)
    gave_up(story, range(1, REMEMBERED + SOME + 1))
    assert sizes(story.floor)["left"] == REMEMBERED
    at = (REMEMBERED + SOME + 1) * SECOND
    for n, known in ((SOME, False), (SOME + 1, True), (REMEMBERED + SOME, True)):
        call = f"again-{n}"
        story.tell(CallArrived(at, call, "12345", citizen(n)))
        entries = story.entries(CallQueued(at, call, DEFAULT))
        assert (PlaceRestored(at, call, n * SECOND) in entries) is known


def test_the_newest_last_agents_are_remembered_and_the_oldest_forgotten() -> None:
    story = Story(RULES)
    story.agent("1001", 0)
    answered(story, range(1, REMEMBERED + SOME + 1), "1001")
    assert sizes(story.floor)["last_agent"] == REMEMBERED
    # 1002 is idle longer than 1001, who is rung only for citizens who know them.
    story.agent("1002", 0)
    second = REMEMBERED + SOME + 1
    for n, agent in ((SOME, "1002"), (SOME + 1, "1001"), (REMEMBERED + SOME, "1001")):
        call = f"again-{n}"
        assert story.caller(call, second, caller=citizen(n)) == [Ring(call, (agent,), 15.0)]
        story.tell(
            CallEnded(second * SECOND, call, Party.CALLER),
        )


def test_a_citizen_who_comes_again_is_remembered_anew() -> None:
    story = Story(RULES)
    gave_up(story, range(1, REMEMBERED + 1))
    second = REMEMBERED + 1
    story.caller("again", second, caller=citizen(1))
    story.tell(CallEnded(second * SECOND, "again", Party.CALLER))
    assert sizes(story.floor)["left"] == REMEMBERED
    gave_up(story, [second + 1])
    left = dict(story.floor.snapshot()["left"])
    assert citizen(1) in left
    assert citizen(2) not in left


def test_the_longest_wait_is_that_of_the_earliest_queued(story: Story) -> None:
    assert story.floor.waiting_since() is None
    story.tell(CallArrived(SECOND, "greeted", "12345", ""))
    assert story.floor.waiting_since() is None
    story.caller("a", 3)
    story.caller("b", 2)
    assert story.floor.waiting_since() == 2 * SECOND
    story.tell(CallQueued(4 * SECOND, "greeted", DEFAULT))
    assert story.floor.waiting_since() == 2 * SECOND


def test_a_call_found_ringing_after_a_restart_tells_no_wait(story: Story) -> None:
    story.tell(OfferRinging(SECOND, "a", "1001"))
    assert story.floor.waiting_since() is None
    story.caller("b", 2)
    assert story.floor.waiting_since() == 2 * SECOND


def test_a_caller_waits_until_an_agent_has_answered(story: Story) -> None:
    story.caller("a", 2)
    story.caller("b", 4)
    story.agent("1001", 5)
    assert story.floor.callers["a"].ringing == {"1001"}
    assert story.floor.waiting_since() == 2 * SECOND
    story.tell(OfferAnswered(6 * SECOND, "a", "1001"))
    assert story.floor.waiting_since() == 4 * SECOND
    story.tell(CallEnded(7 * SECOND, "b", Party.CALLER))
    assert story.floor.waiting_since() is None


def test_a_caller_whose_session_broke_still_waits(story: Story) -> None:
    story.caller("a", 2)
    story.tell(CallDetached(3 * SECOND, "a"))
    assert story.floor.waiting_since() == 2 * SECOND


def test_an_offer_that_fails_does_not_shorten_the_wait(story: Story) -> None:
    story.agent("1001", 1)
    story.caller("a", 2)
    story.tell(OfferEnded(17 * SECOND, "a", "1001", OfferReason.NO_ANSWER))
    assert story.floor.waiting_since() == 2 * SECOND
