"""Figures of recorded transfers: the facts come in the order in which Asterisk makes them."""

import itertools
from dataclasses import replace

import pytest

from facts import (
    CallArrived,
    CallEnded,
    CallQueued,
    CallTransferred,
    Fact,
    OfferAnswered,
    OfferRinging,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from facts.terms import Outcome, Party
from metrics.fold import CallRecord, record_of
from tests.metrics.histories import handed_on
from tests.telephony.replay import replay as replayed
from tests.telephony.test_callbacks import recorded
from tests.telephony.test_calls import folded

SLOWER = 8
"""The recorded calls were hurried: some of their talks are too short to count."""

ATTENDED = ("attended_transfer", "attended_transfer_other_way")


def slower(facts: list[Fact]) -> list[Fact]:
    first = min((fact.at for fact in facts), default=0)
    return [replace(fact, at=first + SLOWER * (fact.at - first)) for fact in facts]


def replay(shape: str, **options: str) -> list[Fact]:
    return slower(replayed(shape, **options))


def recorded_callback(shape: str) -> list[Fact]:
    return slower(folded(recorded(shape)))


def of_call(facts: list[Fact]) -> list[Fact]:
    call = next(fact.call for fact in facts if isinstance(fact, CallArrived))
    return [fact for fact in facts if getattr(fact, "call", "") == call]


def record(facts: list[Fact]) -> CallRecord:
    found = record_of(of_call(facts))
    assert found is not None
    return found


def times(facts: list[Fact], kind: type[Fact]) -> list[int]:
    return [fact.at for fact in facts if type(fact) is kind]


@pytest.mark.parametrize("to", ["1002", "8890"])
def test_a_blind_transfer_is_one_call_of_two_agents(to: str) -> None:
    facts = replay("blind_transfer", to=to)
    made = record(facts)
    answers, ends = times(facts, OfferAnswered), times(facts, TalkEnded)
    assert made.outcome is Outcome.HUMAN
    assert made.agents == ("1001", "1002")
    assert made.talk == ends[0] - answers[0] + ends[1] - answers[1]
    assert (made.queue, made.queued) == ("default", times(facts, CallQueued)[0])
    assert made.answered == answers[0], "the first agent's answer is the call's"
    assert made.hung_up_by is Party.CALLER
    assert [offer.ringing for offer in made.offers] == times(facts, OfferRinging)


def test_the_call_is_the_first_agents_until_the_transfer_and_nobodys_after_it() -> None:
    facts = replay("blind_transfer")
    index = [type(fact) for fact in facts].index(TalkEnded)
    for upto, agents, talking in ((index, ("1001",), True), (index + 2, ("1001",), False)):
        made = record(facts[:upto])
        assert made.agents == agents
        assert made.outcome is None
        assert any(offer.answered and offer.ended is None for offer in made.offers) == talking


@pytest.mark.parametrize("shape", ATTENDED)
def test_an_attended_transfer_is_one_call_of_two_agents(shape: str) -> None:
    facts = replay(shape)
    made = record(facts)
    (held,), (resumed,) = times(facts, TalkHeld), times(facts, TalkResumed)
    answers, ends = times(facts, OfferAnswered), times(facts, TalkEnded)
    assert made.agents == ("1001", "1002")
    assert made.outcome is Outcome.HUMAN
    assert made.hold == resumed - held
    # Both talk for a moment: the colleague's talk begins before the first agent's leg is gone.
    assert answers[1] < ends[0]
    assert made.talk == ends[0] - answers[0] + ends[1] - answers[1]


@pytest.mark.parametrize("shape", ["blind_transfer", *ATTENDED])
def test_the_order_of_the_facts_makes_no_difference(shape: str) -> None:
    facts = of_call(replay(shape))
    whole = record_of(facts)
    for first, second in itertools.combinations(range(len(facts)), 2):
        other = list(facts)
        other[first], other[second] = other[second], other[first]
        assert record_of(other) == whole


@pytest.mark.parametrize("shape", ["blind", "attended", "other"])
def test_a_citizen_who_is_transferred_from_a_callback_counts_as_work_alone(shape: str) -> None:
    facts = recorded_callback(f"handed_on_{shape}")
    made = record(facts)
    (answered,), (ended,) = times(facts, OfferAnswered), times(facts, CallEnded)
    assert made.origin
    assert made.agents == ("1003",)
    assert made.talk == ended - answered
    assert made.queued == made.arrived, "they wait from the transfer on"
    assert made.outcome is Outcome.HUMAN


def test_the_hand_made_history_has_the_order_of_the_recorded_one() -> None:
    """`tests.metrics.histories.handed_on`, which figures and reports are tested with."""
    real = of_call(recorded_callback("handed_on_blind"))
    kinds = {type(fact) for fact in real}
    by_hand = [fact for fact in handed_on("c") if type(fact) in kinds]
    assert [type(fact) for fact in by_hand] == [type(fact) for fact in real]
    assert CallTransferred not in kinds, "the session tells it, right after the arrival"
    assert [type(fact) for fact in handed_on("c")][:2] == [CallArrived, CallTransferred]
