"""Several phones that ring at once for one caller: whose they are, and who is free when nobody can ring them."""

from typing import Any

from acd.commands import Ring
from acd.desk import Desk
from acd.floor import Floor
from acd.rules.model import DEFAULT, Queue, Rules, Strategy
from agents.model import Presence
from facts import (
    AgentAdded,
    AgentReady,
    CallArrived,
    CallEnded,
    CallQueued,
    LinkRestored,
    OfferAnswered,
    OfferEnded,
    PhoneReachable,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from tests.acd.test_desk import CALL, OTHER, Book, Session, T
from tests.acd.test_floor import Story

CITIZEN = "+8613800138000"


def test_of_several_phones_that_ring_at_once_the_known_agents_is_one() -> None:
    story = Story(
        Rules(
            queues={DEFAULT: Queue(strategy=Strategy.RING_SEVERAL, sticky_for=600, wrap_up_time=0)}
        )
    )
    story.agent("1001", 0)
    story.caller("a", 1, caller=CITIZEN)
    for second, agent in enumerate(("1002", "1003"), 2):
        story.agent(agent, second)
    story.tell(
        OfferAnswered(4 * SECOND, "a", "1001"),
        TalkEnded(5 * SECOND, "a", "1001", Party.CALLER),
        CallEnded(5 * SECOND, "a", Party.CALLER),
    )
    assert story.caller("b", 6, caller=CITIZEN) == [Ring("b", ("1001", "1002"), 15.0)]


def test_one_who_is_slower_than_the_other_is_not_at_fault() -> None:
    story = Story(several(together=2))
    story.agent("1001", 0)
    story.agent("1002", 0)
    assert story.caller("a", 1) == [Ring("a", ("1001", "1002"), 15.0)]
    story.tell(
        OfferAnswered(16 * SECOND, "a", "1001"),
        OfferEnded(16 * SECOND, "a", "1002", OfferReason.NO_ANSWER),
    )
    assert story.presence("1002") is Presence.READY


async def test_agents_who_were_to_ring_for_a_session_that_is_gone_are_all_free() -> None:
    desk = Desk(
        Floor(several(together=3)),
        record=Book().write,
        stop_ringing=lambda *_: None,
        clock=lambda: T,
    )
    desk.report(LinkRestored(T))
    for agent in ("1001", "1002", "1003"):
        desk.report(AgentAdded(T, agent), PhoneReachable(T, agent), AgentReady(T, agent))
    desk.report(CallArrived(T, CALL, "12345", ""), CallQueued(T, CALL, DEFAULT))
    assert [seat.presence() for seat in desk.floor.seats.values()] == [Presence.READY] * 3
    session = Session()
    desk.attach(OTHER, session)
    desk.report(CallArrived(T, OTHER, "12345", ""), CallQueued(T, OTHER, DEFAULT))
    assert session.told == ["ring 1001 1002 1003 15"]
    desk.close()


def several(**settings: Any) -> Rules:
    return Rules(queues={DEFAULT: Queue(strategy=Strategy.RING_SEVERAL, **settings)})
