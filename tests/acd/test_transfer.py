"""Hold and transfer on the floor: where a transferred citizen goes, and who is busy meanwhile."""

import json
from dataclasses import replace
from typing import Any

import pytest

from acd.commands import Ring, SendOutside
from acd.floor import Floor, Stage
from acd.floor.lanes import home, join_lane, waiting_in
from acd.gate import Refusal, Why
from acd.rules.model import DEFAULT, Member, Number, Queue, Rules
from agents.model import Presence
from facts import (
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallEnded,
    CallMoved,
    CallReturned,
    CallSentOutside,
    CallTransferred,
    DialRefused,
    Fact,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneLost,
    PhoneUnreachable,
    TalkEnded,
    TalkHeld,
    TalkResumed,
    WrapUpStarted,
)
from facts.terms import OfferReason, Outcome, Party
from facts.times import HOUR, SECOND
from metrics.fold import record_of
from tests.acd.test_floor import Story, deeds

CITIZEN = "+8613800138000"
OUTSIDE = "12333"


def rules(**settings: Any) -> Rules:
    queues = {DEFAULT: Queue(sticky_for=3600, wrap_up_time=5, **settings), "tax": Queue("tax")}
    return Rules(
        queues=queues,
        numbers={"12345": Number("12345"), "12366": Number("12366", "tax")},
        members=(Member("1001", DEFAULT), Member("1002", DEFAULT), Member("1003", "tax")),
    )


@pytest.fixture
def story() -> Story:
    """A citizen, `a`, who talks to 1001 since second 2; 1002 and 1003 are ready."""
    story = Story(rules())
    story.floor.hall.outside = frozenset([OUTSIDE])
    story.agent("1001")
    story.agent("1002", 1)
    story.agent("1003", 1)
    assert story.caller("a", 2, caller=CITIZEN) == [Ring("a", ("1001",), 15.0)]
    story.tell(OfferAnswered(2 * SECOND, "a", "1001"))
    return story


def blind(story: Story, to: str, second: float = 10) -> list[object]:
    at = round(second * SECOND)
    return [
        *story.tell(TalkEnded(at, "a", "1001", Party.SYSTEM)),
        *story.tell(CallTransferred(at, "a", "1001", to)),
    ]


# --- an answer and a transfer while the link is down: the voice session tells of the transfer before CEL is read


@pytest.fixture
def ringing() -> Story:
    """1001 rings for the citizen `a`, and the link is lost. Then they answer, and transfer the citizen to 1003."""
    story = Story(rules())
    for agent in ("1001", "1002", "1003"):
        story.agent(agent)
    assert story.caller("a", 2, caller=CITIZEN) == [Ring("a", ("1001",), 15.0)]
    story.tell(OfferRinging(2 * SECOND, "a", "1001"), LinkLost(3 * SECOND))
    assert story.entries(MEANWHILE) == []
    return story


MEANWHILE = CallTransferred(9 * SECOND, "a", "1001", "1003")
OVER = TalkEnded(8 * SECOND, "a", "1001", Party.SYSTEM)
RING = Ring("a", ("1003",), 15.0)


def test_a_transfer_is_carried_out_when_the_answer_before_it_is_known(ringing: Story) -> None:
    answered = OfferAnswered(4 * SECOND, "a", "1001")
    told = [fact for fact in ringing.entries(answered, OVER) if not isinstance(fact, WrapUpStarted)]
    assert told == [answered, OVER, MEANWHILE]
    assert ringing.tell(LinkRestored(10 * SECOND)) == [RING]
    assert ringing.presence("1001") is Presence.WRAP_UP
    assert ringing.floor.callers["a"].answered
    assert ringing.entries(LinkLost(11 * SECOND), LinkRestored(12 * SECOND))[-1].at == 12 * SECOND


def test_a_transfer_is_carried_out_though_the_agents_leg_lives_on(ringing: Story) -> None:
    ringing.tell(OfferAnswered(4 * SECOND, "a", "1001"))
    assert ringing.tell(LinkRestored(10 * SECOND)) == [RING]
    assert ringing.presence("1001") is Presence.TALKING
    ringing.tell(TalkEnded(11 * SECOND, "a", "1001", Party.SYSTEM))
    assert ringing.presence("1001") is Presence.WRAP_UP


def test_a_transfer_is_carried_out_though_nobody_knows_of_the_answer(ringing: Story) -> None:
    """CEL could not be read: all that is known is that the leg is gone."""
    ringing.tell(OfferEnded(10 * SECOND, "a", "1001", OfferReason.CALLER_GONE))
    assert ringing.tell(LinkRestored(10 * SECOND)) == [RING]


def test_a_transfer_of_one_who_has_hung_up_comes_to_nothing(ringing: Story) -> None:
    ringing.tell(OfferAnswered(4 * SECOND, "a", "1001"), OVER)
    ringing.tell(CallEnded(9 * SECOND + 1, "a", Party.CALLER))
    assert ringing.tell(LinkRestored(10 * SECOND)) == []


def test_a_transfer_that_is_told_twice_does_not_undo_the_talk_after_it(story: Story) -> None:
    assert blind(story, "1003") == [RING]
    # A session that died had told it already.
    assert story.entries(CallTransferred(11 * SECOND, "a", "1001", "1003")) == []
    story.tell(OfferAnswered(12 * SECOND, "a", "1003"))
    entries = story.entries(TalkEnded(20 * SECOND, "a", "1003", Party.CALLER))
    assert CallTransferred not in {type(fact) for fact in entries}


def test_a_hold_is_in_the_diary_and_the_agent_goes_on_talking(story: Story) -> None:
    facts = (TalkHeld(3 * SECOND, "a", "1001"), TalkResumed(4 * SECOND, "a", "1001"))
    assert story.entries(*facts) == list(facts)
    assert story.presence("1001") is Presence.TALKING


def test_a_blind_transfer_rings_the_colleague_whatever_queue_they_serve(story: Story) -> None:
    assert blind(story, "1003") == [Ring("a", ("1003",), 15.0)]
    assert story.presence("1001") is Presence.WRAP_UP
    assert story.presence("1003") is Presence.RINGING
    story.tell(OfferAnswered(12 * SECOND, "a", "1003"))
    assert story.presence("1003") is Presence.TALKING
    assert deeds(story.until(16)) == []
    assert story.presence("1001") is Presence.READY


def test_the_colleague_rings_even_when_the_end_of_the_first_talk_is_told_late(story: Story) -> None:
    assert story.tell(CallTransferred(10 * SECOND, "a", "1001", "1002")) == [
        Ring("a", ("1002",), 15.0)
    ]
    assert story.presence("1001") is Presence.TALKING
    story.tell(TalkEnded(11 * SECOND, "a", "1001", Party.SYSTEM))
    assert story.presence("1001") is Presence.WRAP_UP
    assert story.floor.callers["a"].ringing == {"1002"}


def test_a_phone_that_dies_after_its_agent_has_handed_on_is_no_lost_talk(story: Story) -> None:
    story.tell(CallTransferred(10 * SECOND, "a", "1001", "1002"))
    story.tell(OfferAnswered(11 * SECOND, "a", "1002"))
    assert story.floor.seats["1001"].call == "a", "the end of their own leg is not told yet"
    assert story.entries(PhoneLost(12 * SECOND, "a", "1001")) == []
    assert story.floor.callers["a"].lost == ""


@pytest.mark.parametrize("dead", [False, True], ids=["reloaded", "dead"])
def test_a_phone_that_dies_beside_a_supervisor_leaves_them_the_citizen(
    story: Story, dead: bool
) -> None:
    """As after a talk of two there is no wrap-up. But nobody comes back to this agent, and no dead phone is rung."""
    if dead:
        story.tell(PhoneUnreachable(9 * SECOND, "1001"))
    at = 10 * SECOND
    assert story.entries(PhoneLost(at, "a", "1001")) == [PhoneLost(at, "a", "1001")]
    story.tell(CallTransferred(at, "a", "1001", "1003", attended=True))
    story.tell(OfferAnswered(at, "a", "1003"))
    ended = TalkEnded(at + 1, "a", "1001", Party.SYSTEM)
    assert story.entries(ended) == [ended]
    assert story.presence("1001") is (Presence.UNREACHABLE if dead else Presence.READY)
    assert story.presence("1003") is Presence.TALKING
    story.tell(AgentPaused(11 * SECOND, "1002", ""))
    rung = story.caller("b", 12)
    assert rung == ([] if dead else [Ring("b", ("1001",), 15.0)])
    story.tell(TalkEnded(20 * SECOND, "a", "1003", Party.AGENT))
    assert story.floor.dropped("a", 20 * SECOND) is False


def test_the_end_of_the_call_frees_one_whose_own_end_was_never_told(story: Story) -> None:
    story.tell(CallTransferred(10 * SECOND, "a", "1001", "1002"))
    story.tell(OfferAnswered(11 * SECOND, "a", "1002"))
    story.tell(CallEnded(20 * SECOND, "a", Party.CALLER))
    assert [story.presence(agent) for agent in ("1001", "1002")] == [Presence.WRAP_UP] * 2


def test_nobody_answers_and_the_citizen_is_first_in_the_queue_again(story: Story) -> None:
    blind(story, "1003")
    story.tell(AgentPaused(10 * SECOND, "1002", ""))
    story.caller("b", 12)
    assert story.floor.ahead("b") == 0
    late = OfferEnded(25 * SECOND, "a", "1003", OfferReason.NO_ANSWER)
    # 1001 has long finished writing up, has been rung for b, and is free again.
    story.until(15)
    assert story.presence("1001") is Presence.RINGING
    story.tell(late)
    assert story.presence("1003") is Presence.NOT_RESPONDING
    story.caller("c", 26)
    assert story.floor.ahead("a") == 0
    assert story.floor.ahead("c") == 1
    # The citizen may wait as long as anybody; it is not counted from the arrival.
    assert deeds(story.until(2 + 900)) == []
    assert story.floor.callers["a"].stage is Stage.WAITING


@pytest.mark.parametrize("to", ["1001", "1099", "1004", ""])
def test_one_who_cannot_be_rung_is_not_waited_for(story: Story, to: str) -> None:
    story.agent("1004", 3)
    story.tell(AgentPaused(3 * SECOND, "1004", ""))
    assert blind(story, to) == [Ring("a", ("1002",), 15.0)]


def test_nobody_is_passed_over_for_one_who_was_transferred(story: Story) -> None:
    story.tell(LinkLost(3 * SECOND))
    story.caller("b", 3)
    story.tell(CallTransferred(10 * SECOND, "a", "1001", "1002"))
    story.floor.callers["a"].place = story.floor.callers["a"].rank = 4 * SECOND
    home(story.floor.hall, DEFAULT).waiting.clear()
    for call in ("a", "b"):
        join_lane(story.floor.hall, story.floor.callers[call])
    assert story.tell(LinkRestored(11 * SECOND)) == [Ring("b", ("1002",), 15.0)]


def test_a_transfer_to_one_of_our_numbers_leads_into_its_queue(story: Story) -> None:
    story.tell(TalkEnded(10 * SECOND, "a", "1001", Party.SYSTEM))
    entries = story.entries(CallTransferred(10 * SECOND, "a", "1001", "12366"))
    assert CallMoved(10 * SECOND, "a", "tax") in entries
    assert OfferMade(10 * SECOND, "a", "1003") in entries


def test_a_transfer_to_an_outside_number_that_is_allowed(story: Story) -> None:
    assert blind(story, OUTSIDE) == [SendOutside("a", OUTSIDE)]
    assert story.entries(CallSentOutside(15 * SECOND, "a", "", answered=True))
    assert story.floor.callers["a"].stage is Stage.OUTSIDE


def test_nobody_answers_outside(story: Story) -> None:
    blind(story, OUTSIDE)
    story.until(20)
    back = CallReturned(40 * SECOND, "a", DEFAULT, 2 * SECOND)
    assert story.tell(back) == [Ring("a", ("1001",), 15.0)]  # the citizen knows 1001 (R5)


def test_an_overflow_does_not_come_back_that_way(story: Story) -> None:
    blind(story, OUTSIDE)
    story.floor.callers["a"].handed = ""
    assert story.tell(CallReturned(40 * SECOND, "a", DEFAULT, 2 * SECOND)) == []


def test_the_first_agent_stays_the_one_the_citizen_knows(story: Story) -> None:
    blind(story, "1002")
    story.tell(OfferAnswered(12 * SECOND, "a", "1002"))
    story.tell(TalkEnded(20 * SECOND, "a", "1002", Party.CALLER))
    story.tell(CallEnded(20 * SECOND, "a", Party.CALLER))
    story.until(30)
    assert story.caller("b", 40, caller=CITIZEN) == [Ring("b", ("1001",), 15.0)]


def attended(at: int) -> tuple[Fact, ...]:
    """As `telephony.channels` tells it."""
    return (
        CallTransferred(at, "a", "1001", "1002", attended=True),
        OfferAnswered(at, "a", "1002"),
        OwnCallEnded(at, "1002"),
        TalkEnded(at + 1, "a", "1001", Party.SYSTEM),
    )


def test_an_attended_transfer(story: Story) -> None:
    assert story.floor.may_call("1001", "1002") == ""
    story.tell(OwnCallStarted(5 * SECOND, "1002"))
    assert story.caller("b", 6) == []  # 1002 rings or talks already
    assert story.tell(*attended(10 * SECOND)) == []
    assert story.presence("1001") is Presence.WRAP_UP
    assert story.presence("1002") is Presence.TALKING
    story.tell(CallEnded(20 * SECOND, "a", Party.CALLER))
    assert story.presence("1002") is Presence.WRAP_UP


def test_an_attended_transfer_is_told_before_the_colleague_is_known(story: Story) -> None:
    caller = story.floor.callers["a"]
    told = CallTransferred(10 * SECOND, "a", "1001", "1002", attended=True)
    story.tell(TalkEnded(10 * SECOND, "a", "1001", Party.SYSTEM))
    assert caller.cut
    story.tell(OfferAnswered(10 * SECOND, "b", "1002"))
    assert story.entries(told) == [told], "1002 still has another call"
    assert caller.cut is False
    story.tell(OfferAnswered(11 * SECOND, "a", "1002"))
    assert story.entries(told) == [], "it is known that 1002 has the citizen"
    assert story.entries(replace(told, to="1099")) == [replace(told, to="1099")]
    story.tell(CallEnded(12 * SECOND, "a", Party.CALLER))
    assert story.entries(told, replace(told, attended=False)) == []


def test_a_transfer_of_a_call_that_nobody_saw_begin(story: Story) -> None:
    told = CallTransferred(10 * SECOND, "b", "1001", "")
    assert story.entries(told) == [told, OfferMade(10 * SECOND, "b", "1002")]
    caller = story.floor.callers["b"]
    assert (caller.call, caller.queue, caller.queued_at, caller.place, caller.agent) == (
        *("b", DEFAULT, 10 * SECOND, 10 * SECOND),
        "",
    )


def test_a_citizen_who_waits_and_is_sent_elsewhere_waits_in_one_place(story: Story) -> None:
    story.tell(AgentPaused(3 * SECOND, "1002", ""), AgentPaused(3 * SECOND, "1003", ""))
    story.caller("b", 4)
    story.tell(CallTransferred(10 * SECOND, "b", "1001", "12366"))
    waiting = {queue: waiting_in(story.floor.hall, queue) for queue in (DEFAULT, "tax")}
    assert waiting == {DEFAULT: 0, "tax": 1}


def test_a_transferred_call_is_back_after_a_restart(story: Story) -> None:
    story.floor.expect(["b"], HOUR)
    assert story.caller("c", 3) == []
    assert story.tell(CallTransferred(10 * SECOND, "b", "1001", "1003")) == [
        Ring("b", ("1003",), 15.0),
        Ring("c", ("1002",), 15.0),
    ]


@pytest.mark.parametrize(("to", "agent"), [("12366", "1003"), ("1003", "1003"), ("12345", "1002")])
def test_no_agent_and_no_number_of_ours_is_outside(story: Story, to: str, agent: str) -> None:
    story.floor.hall.outside = frozenset([OUTSIDE, to])
    told = story.entries(
        TalkEnded(10 * SECOND, "a", "1001", Party.SYSTEM),
        CallTransferred(10 * SECOND, "a", "1001", to),
    )
    assert told[-1] == OfferMade(10 * SECOND, "a", agent)
    assert DialRefused not in {type(fact) for fact in told}, "nobody is refused: they are ours"


def test_who_is_sent_outside_is_in_the_diary(story: Story) -> None:
    story.tell(TalkEnded(10 * SECOND, "a", "1001", Party.SYSTEM))
    entries = story.entries(CallTransferred(10 * SECOND, "a", "1001", OUTSIDE))
    assert entries[-1] == CallSentOutside(10 * SECOND, "a", OUTSIDE)


def test_of_those_who_wait_for_a_colleague_nobody_waits_for_another(story: Story) -> None:
    """One's colleague has left meanwhile, one's is on the phone, and before one another citizen has waited longer."""
    story.agent("1004", 2)
    story.agent("1005", 2)
    for n, call in enumerate("bcde"):
        story.tell(OfferAnswered((3 + n) * SECOND, call, f"100{n + 5}"))
    story.tell(LinkLost(9 * SECOND))
    for n, (call, to) in enumerate(zip("bcde", ("1004", "1005", "1002", "1003"), strict=True)):
        story.tell(CallTransferred((10 + n) * SECOND, call, f"100{n + 5}", to))
    story.tell(AgentRemoved(20 * SECOND, "1004"))
    callers = story.floor.callers
    rung = story.tell(LinkRestored(21 * SECOND))
    assert Ring("e", ("1003",), 15.0) in rung
    assert {callers[call].handed for call in "bcde"} == {""}
    assert story.presence("1002") is Presence.RINGING


def test_one_call_with_two_agents() -> None:
    """The diary counts it once, and lists both in order."""
    for told in (
        attended(10 * SECOND),
        (
            TalkEnded(10 * SECOND, "a", "1001", Party.SYSTEM),
            CallTransferred(10 * SECOND, "a", "1001", "1002"),
            OfferMade(10 * SECOND, "a", "1002"),
            OfferRinging(10 * SECOND, "a", "1002"),
            OfferAnswered(10 * SECOND, "a", "1002"),
        ),
    ):
        record = record_of(
            [
                CallArrived(SECOND, "a", "12345", CITIZEN),
                OfferRinging(2 * SECOND, "a", "1001"),
                OfferAnswered(3 * SECOND, "a", "1001"),
                *told,
                TalkEnded(20 * SECOND, "a", "1002", Party.CALLER),
                CallEnded(20 * SECOND, "a", Party.CALLER),
            ]
        )
        assert record is not None
        assert (record.outcome, record.agents) == (Outcome.HUMAN, ("1001", "1002"))
        assert (record.answered, record.ring) == (3 * SECOND, 1)
        assert abs(record.talk - 17 * SECOND) <= 1


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ((), ""),
        ((OwnCallStarted(3 * SECOND, "1002"),), "the colleague is on the phone"),
        ((AgentPaused(3 * SECOND, "1002", ""),), ""),
    ],
)
def test_which_colleague_may_be_called(story: Story, before: tuple[Fact, ...], why: str) -> None:
    story.tell(*before)
    assert story.floor.may_call("1001", "1002") == why
    assert story.floor.may_call("1001", "1001") == "no such colleague"
    assert story.floor.may_call("1001", "1099") == "no such colleague"
    assert story.floor.may_call("1099", "1002") == "no such colleague"


def test_a_snapshot_between_the_transfer_and_the_ring(story: Story) -> None:
    story.tell(LinkLost(9 * SECOND))
    assert blind(story, "1003") == []
    plain = json.loads(json.dumps(story.floor.snapshot()))
    other = Floor.restore(plain, rules(), story.now, outbound=True, outside=(OUTSIDE,))
    restored = LinkRestored(11 * SECOND)
    assert deeds(other.handle(restored, restored.at)) == [Ring("a", ("1003",), 15.0)]
    assert story.tell(restored) == [Ring("a", ("1003",), 15.0)]


# --- a citizen who was called back by an agent

ATTEMPT = "hotline-c7.1"


@pytest.fixture
def reached() -> Story:
    """1001 has called a citizen back for the queue `tax`, and talks to them; 1002 and 1003 are ready."""
    story = Story(replace(rules(), members=(Member("1001", "tax"), *rules().members)))
    story.floor.hall.outside = frozenset([OUTSIDE])
    story.agent("1001")
    story.tell(CallbackAdded(SECOND, 7, CITIZEN, "tax", 0, 600 * SECOND))
    story.tell(CallbackDialling(2 * SECOND, 7, ATTEMPT, "1001"))
    story.tell(CallbackAnswered(3 * SECOND, 7, ATTEMPT, "1001"))
    assert story.presence("1001") is Presence.TALKING
    story.agent("1002", 4)
    story.agent("1003", 4)
    return story


def of_the_callback(at: int, **known: str) -> CallArrived:
    return CallArrived(at, "a", "", known.get("caller", ""), ATTEMPT, known.get("queue", ""))


END = CallbackEnded(10 * SECOND, 7, ATTEMPT, "1001")


@pytest.mark.parametrize("end_first", [True, False])
def test_a_called_back_citizen_is_handed_on_as_any_other(reached: Story, end_first: bool) -> None:
    at = 10 * SECOND
    arrived = of_the_callback(at, caller=CITIZEN, queue="tax")
    facts = (arrived, CallTransferred(at, "a", "1001", "1002"))
    entries = reached.entries(*((END, *facts) if end_first else (*facts, END)))
    assert arrived in entries
    assert OfferMade(at, "a", "1002") in entries
    assert reached.floor.tasks == {}, "the citizen was reached"
    # After-call work is that of the callback, and of its queue.
    assert WrapUpStarted(at, "1001", at + 5 * SECOND, ATTEMPT) in entries
    reached.tell(OfferAnswered(12 * SECOND, "a", "1002"))
    # The task does not come back, and no waiting citizen makes this talk yield.
    reached.tell(AgentPaused(12 * SECOND, "1003", ""))
    assert reached.caller("b", 13) == []
    assert deeds(reached.until(14)) == []
    assert deeds(reached.until(15)) == [Ring("b", ("1001",), 15.0)]
    assert reached.presence("1002") is Presence.TALKING


def test_of_an_attended_transfer_the_floor_knows_the_citizen(reached: Story) -> None:
    at = 10 * SECOND
    assert reached.floor.may_call("1001", "1002") == ""
    reached.tell(OwnCallStarted(9 * SECOND, "1002"))
    (noted, *_) = reached.entries(of_the_callback(at))
    assert noted == of_the_callback(at, caller=CITIZEN, queue="tax")
    reached.tell(
        CallTransferred(at, "a", "1001", "1002", attended=True),
        OfferAnswered(at, "a", "1002"),
        OwnCallEnded(at, "1002"),
        END,
    )
    assert reached.presence("1001") is Presence.WRAP_UP
    assert reached.presence("1002") is Presence.TALKING
    reached.tell(CallEnded(20 * SECOND, "a", Party.CALLER))
    assert reached.presence("1002") is Presence.WRAP_UP
    # As after any transfer, the agent the citizen knows is not the second one (R5).
    reached.until(30)
    assert reached.caller("b", 31, caller=CITIZEN) == [Ring("b", ("1001",), 15.0)]


def test_nobody_takes_the_called_back_citizen_who_waits_in_the_queue_of_the_task(
    reached: Story,
) -> None:
    at = 10 * SECOND
    reached.tell(AgentPaused(9 * SECOND, "1003", ""), END)
    reached.tell(of_the_callback(at, caller=CITIZEN, queue="tax"))
    assert reached.tell(CallTransferred(at, "a", "1001", "1003")) == []
    assert reached.floor.callers["a"].queue == "tax"
    # For a citizen who waits a callback yields (R7), for this one, too.
    assert reached.tell(AgentReady(20 * SECOND, "1003")) == [Ring("a", ("1003",), 15.0)]
    # The citizen gives up, but an agent has talked to them: nobody calls them back once more.
    assert reached.tell(CallEnded(30 * SECOND, "a", Party.CALLER)) == []


def test_a_call_of_an_attempt_that_nobody_knows_is_of_no_task(story: Story) -> None:
    """The first task of the book has the number 1: it is not the one that is meant when there is none."""
    story.tell(CallbackAdded(10 * SECOND, 1, "+8613900000001", "tax", HOUR, 2 * HOUR))
    (arrived,) = story.entries(CallArrived(11 * SECOND, "b", "", "", "hotline-c9.1"))
    assert arrived == CallArrived(11 * SECOND, "b", "", "", "hotline-c9.1", queue=DEFAULT)


def test_a_colleague_is_not_called_while_a_citizen_is_dialled() -> None:
    story = Story(rules())
    story.agent("1001")
    story.tell(CallbackAdded(SECOND, 7, CITIZEN, DEFAULT, 0, 600 * SECOND))
    story.agent("1002", 2)
    assert story.floor.may_call("1001", "1002") == "you are dialling a citizen"
    story.tell(CallbackAnswered(3 * SECOND, 7, ATTEMPT, "1001"))
    assert story.floor.may_call("1001", "1002") == ""


def test_a_snapshot_of_one_who_was_handed_on(reached: Story) -> None:
    reached.tell(LinkLost(9 * SECOND), of_the_callback(10 * SECOND))
    reached.tell(CallTransferred(10 * SECOND, "a", "1001", "1002"), END)
    plain = json.loads(json.dumps(reached.floor.snapshot()))
    other = Floor.restore(plain, reached.floor.rules, reached.now, outbound=True)
    restored = LinkRestored(11 * SECOND)
    assert deeds(other.handle(restored, restored.at)) == reached.tell(restored)


def test_a_colleague_who_is_not_ready_holds_up_no_other_transfer(story: Story) -> None:
    story.agent("1004", 2)
    story.tell(AgentPaused(3 * SECOND, "1004", "lunch"))
    story.caller("b", 3)
    story.tell(OfferAnswered(4 * SECOND, "b", "1002"))
    at = 10 * SECOND
    story.tell(TalkEnded(at, "a", "1001", Party.SYSTEM), TalkEnded(at, "b", "1002", Party.SYSTEM))
    out = story.floor.handle(CallTransferred(at, "a", "1001", "1004"), at, more=True)
    out += story.floor.handle(CallTransferred(at, "b", "1002", "1003"), at)
    assert deeds(out) == [Ring("b", ("1003",), 15.0)]


# --- whether a program may hand a citizen on


def test_what_is_refused_before_anybody_is_told_to_do_it() -> None:
    story = Story(rules())
    for agent in ("1001", "1002", "1003"):
        story.agent(agent)
    floor = story.floor
    floor.open_way_out(outbound=True, outside=(OUTSIDE,))
    assert floor.may_hand_on("1001", "1002") == ""
    assert floor.may_hand_on("1001", "12366") == ""
    assert floor.may_hand_on("1001", OUTSIDE) == ""
    assert floor.may_hand_on("1001", "1001") == "to_self"
    assert floor.may_hand_on("1001", "4711") == "target_unknown"
    assert floor.may_hand_on("1001", "13812345678") == "target_unknown"
    story.tell(OwnCallStarted(0, "1002"))
    assert floor.may_hand_on("1001", "1002") == "colleague_busy"
    story.tell(OwnCallEnded(0, "1002"), AgentPaused(0, "1002", ""))
    assert floor.may_hand_on("1001", "1002") == "colleague_not_ready"
    story.tell(AgentRemoved(0, "1003"))
    assert floor.may_hand_on("1001", "1003") == "target_unknown"


def test_the_gate_is_asked_for_an_outside_number() -> None:
    story = Story(rules())
    story.floor.open_way_out(outbound=True, outside=(OUTSIDE, "110"))
    assert story.floor.may_hand_on("1001", "110") == ""  # an operator has allowed it (R16)
    story.floor.hall.policy = replace(story.floor.policy, deny=(OUTSIDE,))
    assert story.floor.may_hand_on("1001", OUTSIDE) == Refusal(Why.DENIED)


def test_a_queue_is_reached_by_its_number() -> None:
    story = Story(rules())
    assert (story.floor.way_into("tax"), story.floor.way_into("none")) == ("12366", "")
