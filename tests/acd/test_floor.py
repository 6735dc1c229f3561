"""The floor's decisions, told like a diary: this fact in, that command out."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from acd.commands import Command, Record, ReleaseCall, Ring, SendOutside, StopRinging
from acd.floor import Floor, Stage
from acd.rules.model import DEFAULT, Queue, Rules
from agents.model import Presence
from facts import (
    AgentAdded,
    AgentNotResponding,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallArrived,
    CallDetached,
    CallEnded,
    CallQueued,
    CallReleased,
    CallReturned,
    CallSentOutside,
    Fact,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.terms import OfferReason, Party, Release
from facts.times import SECOND
from tests.acd.world import check_types


def one_queue(**settings: Any) -> Rules:
    return Rules(queues={DEFAULT: Queue(**settings)})


class Story:
    """A floor with a clock that the test moves, in whole seconds."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.floor = Floor(rules or Rules(), outbound=True)
        self.now = 0
        self.tell(LinkRestored(0))

    def tell(self, *facts: Fact) -> list[Command]:
        """Feed the facts; answer the commands that are not mere entries in the diary."""
        out: list[Command] = []
        for fact in facts:
            self.now = max(self.now, fact.at)
            out += self.handle(fact)
        return deeds(out)

    def entries(self, *facts: Fact) -> list[Fact]:
        out: list[Fact] = []
        for fact in facts:
            self.now = max(self.now, fact.at)
            out += [command.fact for command in self.handle(fact) if isinstance(command, Record)]
        return out

    def handle(self, fact: Fact) -> list[Command]:
        commands = self.floor.handle(fact, self.now)
        check_types(self.floor, commands)
        return commands

    def until(self, second: float) -> list[Command]:
        self.now = round(second * SECOND)
        commands = self.floor.tick(self.now)
        check_types(self.floor, commands)
        return commands

    def agent(self, number: str, second: float = 0) -> None:
        at = round(second * SECOND)
        self.tell(AgentAdded(at, number), PhoneReachable(at, number), AgentReady(at, number))

    def caller(
        self,
        call: str,
        second: float,
        *,
        number: str = "12345",
        caller: str = "",
        queue: str = DEFAULT,
    ) -> list[Command]:
        at = round(second * SECOND)
        return self.tell(CallArrived(at, call, number, caller), CallQueued(at, call, "default"))

    def presence(self, number: str) -> Presence:
        return self.floor.seats[number].presence()


def deeds(commands: Iterable[Command]) -> list[Command]:
    return [command for command in commands if not isinstance(command, Record)]


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_caller_is_offered_to_the_idle_agent(story: Story) -> None:
    story.agent("1001")
    assert story.caller("a", 1) == [Ring("a", ("1001",), 15.0)]
    assert story.presence("1001") is Presence.RINGING
    assert (
        story.tell(OfferRinging(SECOND, "a", "1001"), OfferAnswered(2 * SECOND, "a", "1001")) == []
    )
    assert story.presence("1001") is Presence.TALKING
    assert story.floor.callers["a"].stage is Stage.TALKING


def test_the_longest_idle_agent_comes_first(story: Story) -> None:
    story.agent("1002", 1)
    story.agent("1001", 2)
    assert story.caller("a", 3) == [Ring("a", ("1002",), 15.0)]
    assert story.caller("b", 4) == [Ring("b", ("1001",), 15.0)]
    assert story.caller("c", 5) == []


def test_first_come_first_served(story: Story) -> None:
    story.caller("a", 1)
    story.caller("b", 2)
    story.agent("1001", 3)
    assert story.floor.callers["a"].ringing == {"1001"}
    assert story.floor.ahead("b") == 0
    story.caller("c", 4)
    assert story.floor.ahead("c") == 1


def test_after_three_rings_the_next_agent_and_the_silent_one_is_marked(story: Story) -> None:
    story.agent("1001", 0)
    story.agent("1002", 1)
    story.caller("a", 2)
    assert story.tell(OfferEnded(17 * SECOND, "a", "1001", OfferReason.NO_ANSWER)) == [
        Ring("a", ("1002",), 15.0)
    ]
    assert story.presence("1001") is Presence.NOT_RESPONDING
    assert story.caller("b", 18) == []
    assert story.tell(AgentReady(19 * SECOND, "1001")) == [Ring("b", ("1001",), 15.0)]


def test_an_unanswered_caller_goes_back_to_their_old_place(story: Story) -> None:
    story.agent("1001", 0)
    story.caller("a", 1)
    story.caller("b", 2)
    story.tell(OfferEnded(16 * SECOND, "a", "1001", OfferReason.NO_ANSWER))
    assert (story.floor.ahead("a"), story.floor.ahead("b")) == (0, 1)


def test_the_second_report_of_one_offers_end_changes_nothing(story: Story) -> None:
    story.agent("1001", 0)
    story.agent("1002", 1)
    story.caller("a", 2)
    ended = OfferEnded(17 * SECOND, "a", "1001", OfferReason.NO_ANSWER)
    assert story.entries(ended) == [
        ended,
        AgentNotResponding(17 * SECOND, "1001"),
        OfferMade(17 * SECOND, "a", "1002"),
    ]
    assert story.entries(ended) == []


@pytest.mark.parametrize("stage", ["greeting", "waiting", "ringing", "talking"])
def test_a_caller_who_hangs_up_frees_what_they_held(story: Story, stage: str) -> None:
    story.tell(CallArrived(0, "a", "12345", ""))
    if stage != "greeting":
        story.tell(CallQueued(SECOND, "a", "default"))
    if stage in ("ringing", "talking"):
        story.agent("1001", 2)
    if stage == "talking":
        story.tell(OfferRinging(3 * SECOND, "a", "1001"), OfferAnswered(3 * SECOND, "a", "1001"))
    story.tell(CallEnded(9 * SECOND, "a", Party.CALLER))
    assert story.floor.callers == {}
    if stage in ("ringing", "talking"):
        assert story.floor.seats["1001"].call == ""
    story.until(60)
    story.agent("1003", 60)
    assert len(story.caller("b", 61)) == 1


def test_wrap_up_delays_the_next_offer(story: Story) -> None:
    story.agent("1001")
    story.caller("a", 1)
    story.caller("b", 2)
    story.tell(OfferAnswered(3 * SECOND, "a", "1001"))
    assert story.entries(TalkEnded(10 * SECOND, "a", "1001", Party.CALLER)) == [
        TalkEnded(10 * SECOND, "a", "1001", Party.CALLER),
        WrapUpStarted(10 * SECOND, "1001", 15 * SECOND, "a"),
    ]
    assert story.presence("1001") is Presence.WRAP_UP
    assert story.until(14.9) == []
    assert story.until(15) == [
        Record(WrapUpEnded(15 * SECOND, "1001", "a")),
        Record(OfferMade(15 * SECOND, "b", "1001")),
        Ring("b", ("1001",), 15.0),
    ]


def test_ready_ends_wrap_up_at_once(story: Story) -> None:
    story.agent("1001")
    story.caller("a", 1)
    story.tell(
        OfferAnswered(3 * SECOND, "a", "1001"), TalkEnded(10 * SECOND, "a", "1001", Party.AGENT)
    )
    story.caller("b", 11)
    assert story.tell(AgentReady(12 * SECOND, "1001")) == [Ring("b", ("1001",), 15.0)]


def test_ready_twice_keeps_the_place_among_the_idle(story: Story) -> None:
    story.agent("1001", 0)
    story.agent("1002", 1)
    story.tell(AgentReady(2 * SECOND, "1001"))
    assert story.caller("a", 3) == [Ring("a", ("1001",), 15.0)]


@pytest.mark.parametrize(
    "asked", [AgentOut(5 * SECOND, "1001"), AgentPaused(5 * SECOND, "1001", "用餐")]
)
def test_a_request_while_ringing_withdraws_the_offer(story: Story, asked: Fact) -> None:
    story.agent("1001", 0)
    story.caller("a", 1)
    assert story.tell(asked) == [StopRinging("a", "1001")]
    story.agent("1002", 6)
    assert story.tell(OfferEnded(6 * SECOND, "a", "1001", OfferReason.WITHDRAWN)) == [
        Ring("a", ("1002",), 15.0)
    ]
    assert story.presence("1001") in (Presence.OUT, Presence.PAUSED)


def test_a_pause_asked_for_while_talking_begins_afterwards(story: Story) -> None:
    story.agent("1001")
    story.caller("a", 1)
    story.tell(OfferAnswered(2 * SECOND, "a", "1001"))
    assert story.tell(AgentPaused(3 * SECOND, "1001", "用餐")) == []
    assert story.presence("1001") is Presence.TALKING
    story.tell(TalkEnded(9 * SECOND, "a", "1001", Party.CALLER))
    assert story.presence("1001") is Presence.PAUSED


@pytest.mark.parametrize(
    ("gone", "back"),
    [
        (PhoneUnreachable(SECOND, "1001"), PhoneReachable(3 * SECOND, "1001")),
        (OwnCallStarted(SECOND, "1001"), OwnCallEnded(3 * SECOND, "1001")),
    ],
)
def test_no_offer_to_a_phone_that_cannot_ring(story: Story, gone: Fact, back: Fact) -> None:
    story.agent("1001")
    story.tell(gone)
    assert story.caller("a", 2) == []
    assert story.tell(back) == [Ring("a", ("1001",), 15.0)]


def test_no_offer_while_the_link_is_lost(story: Story) -> None:
    story.agent("1001")
    story.tell(LinkLost(SECOND))
    assert story.caller("a", 2) == []
    assert story.tell(LinkRestored(3 * SECOND)) == [Ring("a", ("1001",), 15.0)]


def test_the_longest_wait_ends_with_a_farewell() -> None:
    story = Story(one_queue(longest_wait=60))
    story.caller("a", 1)
    assert story.until(60.9) == []
    assert story.until(61) == [
        Record(CallReleased(61 * SECOND, "a", Release.TIMED_OUT)),
        ReleaseCall("a", Release.TIMED_OUT),
    ]
    story.agent("1001", 62)
    assert story.floor.seats["1001"].call == ""


@pytest.mark.parametrize("reason", [Release.CLOSED_HOURS, Release.BLOCKED])
def test_only_a_call_that_is_greeted_is_released_by_its_session(
    story: Story, reason: Release
) -> None:
    story.tell(CallArrived(0, "a", "12345", ""))
    released = CallReleased(SECOND, "a", reason)
    assert story.entries(released) == [released]
    caller = story.floor.callers["a"]
    assert (caller.stage, caller.since) == (Stage.RELEASED, SECOND)
    assert caller.unwanted is (reason is Release.BLOCKED)
    story.caller("b", 2)
    assert story.entries(CallReleased(3 * SECOND, "b", reason)) == []
    assert story.floor.callers["b"].stage is Stage.WAITING
    assert story.entries(CallReleased(3 * SECOND, "nobody", reason)) == []


def test_the_longest_wait_lets_a_ringing_phone_ring() -> None:
    story = Story(one_queue(longest_wait=10))
    story.caller("a", 1)
    story.agent("1001", 9)
    assert story.until(12) == []
    assert story.tell(OfferEnded(24 * SECOND, "a", "1001", OfferReason.NO_ANSWER)) == [
        ReleaseCall("a", Release.TIMED_OUT)
    ]


def test_after_a_restart_offers_wait_for_earlier_callers() -> None:
    story = Story()
    story.floor.expect(["a", "b"], 5 * SECOND)
    story.agent("1001", 1)
    assert story.tell(CallReturned(2 * SECOND, "b", "default", -20 * SECOND)) == []
    assert story.tell(CallReturned(3 * SECOND, "a", "default", -30 * SECOND)) == [
        Ring("a", ("1001",), 15.0)
    ]


def test_after_a_restart_offers_do_not_wait_for_ever() -> None:
    story = Story()
    story.floor.expect(["a", "b"], 5 * SECOND)
    story.agent("1001", 1)
    story.tell(CallReturned(2 * SECOND, "b", "default", -20 * SECOND))
    story.floor = Floor.restore(story.floor.snapshot(), story.floor.rules, 3 * SECOND)
    assert deeds(story.until(4.9)) == []
    assert deeds(story.until(5)) == [Ring("b", ("1001",), 15.0)]


def test_a_caller_who_is_back_after_a_restart_is_in_their_queue() -> None:
    story = Story(Rules(queues={DEFAULT: Queue(), "tax": Queue("tax")}))
    for call, queue, there in (("a", "tax", "tax"), ("b", "gone", DEFAULT)):
        story.tell(CallReturned(2 * SECOND, call, queue, SECOND))
        caller = story.floor.callers[call]
        assert (caller.queue, caller.queued_at, caller.place) == (there, SECOND, SECOND)


def test_an_agent_found_talking_after_a_restart_is_not_idle() -> None:
    story = Story()
    story.tell(AgentAdded(0, "1001"), AgentReady(0, "1001"))
    story.tell(OfferAnswered(SECOND, "a", "1001"), PhoneReachable(SECOND, "1001"))
    assert story.caller("b", 2) == []
    assert story.presence("1001") is Presence.TALKING


def test_who_answers_outside_is_the_one_it_overflowed_to() -> None:
    story = Story(one_queue(overflow_to="0411000", overflow_after=30))
    story.caller("a", 1)
    assert deeds(story.until(31)) == [SendOutside("a", "0411000")]
    # Asterisk tells of the answer without the number.
    answered = CallSentOutside(32 * SECOND, "a", "", answered=True)
    assert story.entries(answered) == [replace(answered, number="0411000")]


def test_a_session_that_is_gone_is_offered_nothing_until_it_returns(story: Story) -> None:
    story.caller("a", 1)
    story.tell(CallDetached(2 * SECOND, "a"))
    story.agent("1001", 3)
    assert story.floor.seats["1001"].call == ""
    assert story.tell(CallReturned(4 * SECOND, "a", "default", SECOND)) == [
        Ring("a", ("1001",), 15.0)
    ]


def test_a_removed_agent_finishes_the_talk(story: Story) -> None:
    story.agent("1001")
    story.caller("a", 1)
    story.tell(OfferAnswered(2 * SECOND, "a", "1001"))
    assert story.tell(AgentRemoved(3 * SECOND, "1001")) == []
    assert story.floor.callers["a"].stage is Stage.TALKING
    story.tell(TalkEnded(4 * SECOND, "a", "1001", Party.CALLER))
    assert "1001" not in story.floor.seats


def test_a_late_fact_does_not_bring_an_ended_call_back(story: Story) -> None:
    story.caller("a", 1)
    story.tell(CallEnded(2 * SECOND, "a", Party.CALLER))
    late: list[Fact] = [CallArrived(SECOND, "a", "12345", ""), CallQueued(SECOND, "a", "default")]
    assert story.entries(*late) == []
    assert story.floor.callers == {}


def test_no_offers_once_the_controller_stops(story: Story) -> None:
    story.agent("1001")
    story.floor.stop()
    assert story.caller("a", 1) == []
