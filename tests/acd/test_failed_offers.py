"""An offer that fails by itself at a registered phone is not the agent's silence."""

import json

import pytest

from acd.callbacks.task import Task
from acd.commands import PlaceCallback, Ring
from acd.floor import Floor
from acd.floor.work import JUST_TALKED
from acd.rules.model import DEFAULT, Queue, Rules
from agents.model import Presence
from facts import (
    AgentNotResponding,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallbackEnded,
    CallEnded,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from tests.acd.test_floor import Story, deeds

MOMENT = SECOND // 100


def fail(story: Story, call: str, agent: str, after: int = MOMENT) -> OfferEnded:
    return OfferEnded(story.now + after, call, agent, OfferReason.UNREACHABLE)


def test_the_caller_is_offered_on_at_once_and_the_agent_is_not_benched() -> None:
    story = Story()
    story.agent("1001", 0)
    story.agent("1002", 1)
    story.caller("a", 2)
    story.caller("b", 2.5)
    assert story.tell(fail(story, "a", "1001")) == []
    assert story.presence("1001") is Presence.UNREACHABLE
    assert (story.floor.ahead("a"), story.floor.staffed("a")) == (0, True)
    assert Ring("a", ("1001",), 15.0) in story.until(3.6)
    assert not story.floor.seats["1001"].not_responding


def test_the_pause_grows_to_half_a_minute_and_nothing_spins() -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    pauses, tries = [], 0
    while story.now < 290 * SECOND:
        assert story.floor.seats["1001"].call == "a"
        failed_at = story.now + MOMENT
        assert story.entries(fail(story, "a", "1001")) == [
            OfferEnded(failed_at, "a", "1001", OfferReason.UNREACHABLE)
        ]
        tries += 1
        assert story.floor.failing_phones() == (tries >= 3)
        due = story.floor.seats["1001"].rest_until
        pauses.append((due - failed_at) // SECOND)
        assert story.until(due / SECOND - 0.001) == []
        story.until(due / SECOND)
    assert pauses[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert tries < 20


@pytest.mark.parametrize(
    "what",
    [
        AgentReady(9 * SECOND, "1001"),
        PhoneReachable(9 * SECOND, "1001"),
        OfferRinging(9 * SECOND, "b", "1001"),
    ],
)
def test_what_shows_that_the_phone_works_begins_anew(what: object) -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    for _ in range(3):
        story.tell(fail(story, "a", "1001"))
        story.until(story.floor.seats["1001"].rest_until / SECOND)
    assert story.floor.failing_phones() == 1
    if isinstance(what, PhoneReachable):
        story.tell(PhoneUnreachable(8 * SECOND, "1001"))
    story.tell(what)  # type: ignore[arg-type]
    assert story.floor.failing_phones() == 0
    assert story.floor.seats["1001"].rest_until == 0


def test_a_pause_of_the_agent_outweighs_the_rest_of_the_phone() -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    story.tell(fail(story, "a", "1001"))
    story.tell(AgentPaused(story.now, "1001", "用餐"))
    assert story.presence("1001") is Presence.PAUSED
    assert story.until(60) == []


@pytest.mark.parametrize(
    ("reason", "after"),
    [
        (OfferReason.UNREACHABLE, SECOND),
        (OfferReason.REFUSED, MOMENT),
        (OfferReason.NO_ANSWER, MOMENT),
    ],
)
def test_what_a_person_or_their_phone_does_still_benches(reason: OfferReason, after: int) -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    story.tell(OfferEnded(story.now + after, "a", "1001", reason))
    assert story.presence("1001") is Presence.NOT_RESPONDING


def talked(story: Story, ended: float) -> None:
    """1001 has had a talk."""
    story.agent("1001", 0)
    story.caller("first", 1)
    story.tell(OfferRinging(2 * SECOND, "first", "1001"))
    story.tell(OfferAnswered(3 * SECOND, "first", "1001"))
    story.tell(TalkEnded(round(ended * SECOND), "first", "1001", Party.SYSTEM))
    story.tell(CallEnded(round(ended * SECOND), "first", Party.SYSTEM))


def refuses(story: Story) -> OfferEnded:
    return OfferEnded(story.now + MOMENT, "a", "1001", OfferReason.REFUSED)


def test_a_phone_that_refuses_just_after_a_talk_is_tried_once_more() -> None:
    """It may still hold that talk: after a transfer it ends the call itself. Do not disturb lasts."""
    story = Story(Rules(queues={DEFAULT: Queue(wrap_up_time=0)}))
    talked(story, 10)
    story.caller("a", 10.5)
    assert story.tell(refuses(story)) == []
    assert not story.floor.seats["1001"].not_responding
    assert Ring("a", ("1001",), 15.0) in story.until(11.6)
    assert AgentNotResponding(story.now + MOMENT, "1001") in story.entries(refuses(story))


@pytest.mark.parametrize(("after", "benches"), [(JUST_TALKED - 1, False), (JUST_TALKED, True)])
def test_a_phone_that_refuses_a_minute_after_a_talk_benches(after: int, benches: bool) -> None:
    story = Story(Rules(queues={DEFAULT: Queue(wrap_up_time=0)}))
    talked(story, 10)
    story.caller("a", 69.5)
    refused = OfferEnded(10 * SECOND + after, "a", "1001", OfferReason.REFUSED)
    assert (AgentNotResponding(refused.at, "1001") in story.entries(refused)) is benches


def test_the_end_of_a_rest_that_is_over_already_changes_nothing() -> None:
    story = Story()
    story.agent("1001", 0)
    story.agent("1002", 0)
    story.caller("a", 1)
    story.tell(fail(story, "a", "1001"))
    story.tell(AgentReady(1_500_000, "1001"))
    since = story.floor.seats["1001"].since
    assert story.floor.seats["1001"].rest_until == 0
    story.until(3)
    assert story.floor.seats["1001"].since == since


def test_the_rest_of_an_agent_who_has_left_is_forgotten() -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    story.tell(fail(story, "a", "1001"), AgentRemoved(1_500_000, "1001"))
    assert story.floor.seats == {}
    assert deeds(story.until(3)) == []


def test_a_phone_that_rang_and_vanished_benches() -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    story.tell(OfferRinging(story.now + MOMENT, "a", "1001"))
    assert AgentNotResponding(story.now + MOMENT, "1001") in story.entries(fail(story, "a", "1001"))


def test_a_callback_whose_agent_cannot_be_rung_benches_nobody() -> None:
    story = Story()
    story.agent("1001", 0)
    task = Task(
        *(1, "+8613900000001", "default", 0, 3600 * SECOND, 3, 600 * SECOND),
        *("", "asked", "", 0, 0),
    )
    story.floor.take_up([task], 0)
    ended = CallbackEnded(MOMENT, 1, story.floor.seats["1001"].call, "1001", "agent_unreachable")
    assert story.tell(ended) == []
    assert story.presence("1001") is Presence.UNREACHABLE
    [again] = [one for one in story.until(1.1) if isinstance(one, PlaceCallback)]
    assert again.agent == "1001"


def test_a_floor_that_was_written_down_goes_on_resting() -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    story.tell(fail(story, "a", "1001"))
    state = json.loads(json.dumps(story.floor.snapshot()))
    story.floor = Floor.restore(state, Rules(), story.now)
    assert story.presence("1001") is Presence.UNREACHABLE
    assert Ring("a", ("1001",), 15.0) in story.until(2.1)


@pytest.mark.parametrize(("after", "rests"), [(SECOND - 1, True), (SECOND, False)])
def test_no_person_is_quicker_than_a_second(after: int, rests: bool) -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    story.tell(fail(story, "a", "1001", after))
    seat = story.floor.seats["1001"]
    assert seat.not_responding is not rests
    assert (seat.failures, seat.rest_until > 0) == (int(rests), rests)


def test_a_phone_that_is_not_registered_any_more_does_not_rest() -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    story.tell(PhoneUnreachable(story.now + 1, "1001"), fail(story, "a", "1001"))
    seat = story.floor.seats["1001"]
    assert (seat.not_responding, seat.failures, seat.rest_until) == (True, 0, 0)


def test_three_failures_in_a_row_are_told_of_each_phone() -> None:
    story = Story()
    story.agent("1001", 0)
    story.caller("a", 1)
    seat = story.floor.seats["1001"]
    for failures, phones in ((0, 0), (2, 0), (3, 1), (4, 1)):
        seat.failures = failures
        assert story.floor.failing_phones() == phones
