"""What screens and announcements ask the floor."""

from acd.commands import Ring
from acd.floor import Floor
from acd.rules.model import DEFAULT, Member, Queue, Rules
from facts import (
    AgentOut,
    AgentPaused,
    AgentReady,
    CallArrived,
    CallDetached,
    CallEnded,
    CallQueued,
    CallReturned,
    CallTransferred,
    LinkRestored,
    OfferAnswered,
    OfferEnded,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from tests.acd.test_floor import Story, one_queue


def test_nobody_waits_at_first() -> None:
    floor = Floor(Rules())
    floor.handle(LinkRestored(0), 0)
    assert floor.waiting_since() is None
    floor.handle(CallArrived(SECOND, "a", "12345", ""), SECOND)
    assert floor.waiting_since() is None, "the greeting is no wait"


def test_the_longest_wait_is_that_of_whoever_waits_or_is_being_rung_for() -> None:
    story = Story()
    story.caller("a", 1)
    story.caller("b", 2)
    story.caller("c", 3)
    assert story.floor.waiting_since() == SECOND
    story.agent("1001", 4)
    assert story.floor.waiting_since() == SECOND, "a phone that rings has not answered"
    story.tell(OfferAnswered(5 * SECOND, "a", "1001"))
    assert story.floor.waiting_since() == 2 * SECOND
    story.tell(CallEnded(6 * SECOND, "b", Party.CALLER))
    assert story.floor.waiting_since() == 3 * SECOND
    story.tell(CallEnded(7 * SECOND, "c", Party.CALLER))
    assert story.floor.waiting_since() is None


def test_a_caller_without_a_session_still_waits() -> None:
    story = Story()
    story.caller("a", 1)
    story.tell(CallDetached(2 * SECOND, "a"))
    assert story.floor.waiting_since() == SECOND
    story.tell(CallReturned(9 * SECOND, "a", DEFAULT, SECOND))
    assert story.floor.waiting_since() == SECOND


def test_a_caller_who_was_transferred_waits_anew() -> None:
    story = Story(one_queue(wrap_up_time=60))
    story.agent("1001")
    story.caller("a", 1)
    story.tell(
        OfferAnswered(2 * SECOND, "a", "1001"),
        CallTransferred(30 * SECOND, "a", "1001", ""),
        TalkEnded(30 * SECOND, "a", "1001", Party.AGENT),
    )
    assert story.floor.waiting_since() == 30 * SECOND


def test_how_many_talk() -> None:
    story = Story()
    story.agent("1001")
    story.agent("1002")
    assert story.floor.talking() == 0
    story.caller("a", 1)
    story.caller("b", 2)
    assert story.floor.talking() == 0, "both phones only ring"
    story.tell(OfferAnswered(3 * SECOND, "a", "1001"))
    assert story.floor.talking() == 1
    story.tell(OfferAnswered(4 * SECOND, "b", "1002"))
    assert story.floor.talking() == 2
    story.tell(TalkEnded(5 * SECOND, "a", "1001", Party.AGENT))
    assert story.floor.talking() == 1


def test_how_many_come_before() -> None:
    story = Story(Rules(queues={DEFAULT: Queue(), "tax": Queue("tax")}))
    for n, (call, queue) in enumerate(
        [("a", DEFAULT), ("b", DEFAULT), ("x", "tax"), ("c", DEFAULT)]
    ):
        at = (n + 1) * SECOND
        story.tell(CallArrived(at, call, "12345", ""), CallQueued(at, call, queue))
    assert [story.floor.ahead(call) for call in "abcx"] == [0, 1, 2, 0]
    assert story.floor.ahead("nobody") == 0
    story.tell(CallDetached(9 * SECOND, "a"))
    assert [story.floor.ahead(call) for call in "bc"] == [0, 1]
    story.agent("1001", 10)
    assert story.floor.ahead("b") == 0, "the phone rings for them"
    assert story.floor.ahead("c") == 0


def test_whether_anybody_may_answer() -> None:
    rules = Rules(
        queues={DEFAULT: Queue(), "tax": Queue("tax")},
        members=(Member("1001", DEFAULT), Member("1002", "tax")),
    )
    story = Story(rules)
    assert not story.floor.staffed()
    story.agent("1001")
    for call, queue in (("a", DEFAULT), ("x", "tax")):
        story.tell(CallArrived(0, call, "12345", ""), CallQueued(0, call, queue))
    assert story.floor.staffed()
    assert story.floor.staffed("a")
    assert not story.floor.staffed("x")
    story.agent("1002")
    assert story.floor.staffed("x")
    story.tell(PhoneUnreachable(SECOND, "1002"))
    assert not story.floor.staffed("x")
    story.tell(AgentOut(2 * SECOND, "1001"))
    assert not story.floor.staffed("a"), "who talks and has signed out takes no other"
    assert not story.floor.staffed()


def test_who_rings_in_vain_leaves_the_caller_waiting_since_before() -> None:
    story = Story()
    story.agent("1001")
    story.caller("a", 1)
    story.tell(OfferEnded(16 * SECOND, "a", "1001", OfferReason.NO_ANSWER))
    assert story.floor.waiting_since() == SECOND


def test_since_when_an_agent_is_what_they_are() -> None:
    story = Story()
    story.agent("1001", 1)
    seat = story.floor.seats["1001"]
    assert (seat.since, seat.idle_since) == (SECOND, SECOND)
    for second, kind in (
        (2, PhoneUnreachable),
        (3, PhoneReachable),
        (4, OwnCallStarted),
        (5, OwnCallEnded),
        (6, AgentOut),
        (7, AgentReady),
    ):
        story.tell(kind(second * SECOND, "1001"))
        assert seat.since == second * SECOND, kind
    assert seat.idle_since == 7 * SECOND
    story.tell(AgentPaused(8 * SECOND, "1001", "lunch"))
    assert (seat.since, seat.idle_since, seat.pause_reason) == (8 * SECOND, 7 * SECOND, "lunch")
    # Told again, it is no news.
    story.tell(PhoneReachable(9 * SECOND, "1001"), OwnCallEnded(9 * SECOND, "1001"))
    assert seat.since == 8 * SECOND


def test_whoever_says_again_that_they_are_ready_keeps_their_place_among_the_idle() -> None:
    story = Story()
    story.agent("1001", 1)
    story.agent("1002", 2)
    story.tell(AgentReady(3 * SECOND, "1001"))
    assert story.floor.seats["1001"].idle_since == SECOND
    assert story.caller("a", 4) == [Ring("a", ("1001",), 15.0)]


def test_a_phone_that_comes_back_is_last_among_the_idle() -> None:
    story = Story()
    story.agent("1001", 1)
    story.agent("1002", 2)
    story.tell(PhoneUnreachable(3 * SECOND, "1001"), PhoneReachable(4 * SECOND, "1001"))
    assert story.floor.seats["1001"].idle_since == 4 * SECOND
    assert story.caller("a", 5) == [Ring("a", ("1002",), 15.0)]
