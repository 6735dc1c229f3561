"""Third parties in the figures: the agent's talk ends with their own leg, however long the others talk on."""

from facts import (
    CallArrived,
    CallEnded,
    CallQueued,
    Fact,
    OfferAnswered,
    OfferMade,
    OfferRinging,
    PartyAnswered,
    PartyAsked,
    PartyJoined,
    PartyLeft,
    TalkEnded,
    TalkHeld,
    TalkResumed,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.parties import PartyEnd, PartyKind
from facts.terms import Outcome, Party
from facts.times import SECOND
from metrics.fold import record_of

CALL, PARTY = "hotline-1763731200.1", "hotline-p1"
S = SECOND

TALK: list[Fact] = [
    CallArrived(0, CALL, "12345", ""),
    CallQueued(1 * S, CALL, "default"),
    OfferMade(1 * S, CALL, "1001"),
    OfferRinging(1 * S, CALL, "1001"),
    OfferAnswered(3 * S, CALL, "1001"),
    PartyAsked(10 * S, CALL, "1001", PARTY, PartyKind.COLLEAGUE, "1002", consult=True),
    TalkHeld(10 * S, CALL, "1001"),
    PartyAnswered(12 * S, CALL, "1001", PARTY),
    TalkResumed(15 * S, CALL, "1001"),
    PartyJoined(15 * S, CALL, "1001", PARTY),
    TalkEnded(23 * S, CALL, "1001", Party.AGENT),
    WrapUpStarted(23 * S, "1001", 43 * S, CALL),
    WrapUpEnded(33 * S, "1001", CALL),
]


def test_the_others_talk_on_and_the_agents_figures_do_not() -> None:
    """M9 and M10: talk 20 s, of it 5 s on hold, and 10 s of wrap-up; M24: nobody was cut off."""
    for end in (
        CallEnded(90 * S, CALL, Party.CALLER, 16),
        CallEnded(90 * S, CALL, Party.AGENT),
    ):
        left = PartyLeft(90 * S, CALL, "1001", PARTY, PartyEnd.HUNG_UP)
        record = record_of([*TALK, left, end])
        assert record is not None
        assert (record.outcome, record.agents, record.cut) == (Outcome.HUMAN, ("1001",), False)
        assert (record.talk, record.hold, record.wrap_up) == (20 * S, 5 * S, 10 * S)


def test_while_they_talk_on_no_agent_talks() -> None:
    record = record_of(TALK)
    assert record is not None
    assert (record.outcome, record.talking, record.ended) == (None, False, None)


def test_a_party_alone_makes_no_call() -> None:
    left = PartyLeft(90 * S, CALL, "1001", PARTY, PartyEnd.HUNG_UP)
    assert record_of([left]) is None
