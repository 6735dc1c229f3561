"""Who is asked to rate a talk, from the facts of a call in the order of a real one."""

import pytest

from facts import (
    CallArrived,
    CallEnded,
    CallQueued,
    CallSentOutside,
    CallTransferred,
    Fact,
    OfferAnswered,
    PhoneLost,
    SurveyHandedOver,
    SurveyLinked,
    SurveyOffered,
    TalkEnded,
)
from facts.terms import HandOver, Party
from facts.times import DAY, SECOND
from ivr.invitations import Invitations, TalkStory

T = 1_763_731_200 * SECOND
CALL = "hotline-1763731200.17"


def begun(call: str = CALL, caller: str = "13900000001") -> list[Fact]:
    return [
        CallArrived(T, call, "12345", caller),
        CallQueued(T + 8 * SECOND, call, "tax"),
        OfferAnswered(T + 10 * SECOND, call, "1001"),
    ]


def ended(by: Party, agent: str = "1001", at: int = 70) -> TalkEnded:
    return TalkEnded(T + at * SECOND, CALL, agent, by)


def story(*facts: Fact) -> TalkStory:
    found = TalkStory(CALL)
    for fact in [*begun(), *facts]:
        found.add(fact)
    return found


def test_an_agent_who_hangs_up_hands_over_only_where_that_is_one() -> None:
    found = story(ended(Party.AGENT))
    assert (found.agent, found.queue, found.talk) == ("1001", "tax", 60 * SECOND)
    assert found.handed(by_hang_up=True)
    assert not found.handed(by_hang_up=False)


def test_a_hand_over_is_one_whoever_hung_up_the_leg() -> None:
    handed = SurveyHandedOver(T + 60 * SECOND, CALL, "1001", HandOver.KEY)
    assert story(handed, ended(Party.AGENT)).handed(by_hang_up=False)
    assert story(handed, ended(Party.SYSTEM)).handed(by_hang_up=False)
    assert not story(handed, ended(Party.CALLER)).handed(by_hang_up=True)


@pytest.mark.parametrize(
    "facts",
    [
        [ended(Party.CALLER)],
        [ended(Party.SYSTEM)],
        [PhoneLost(T + 60 * SECOND, CALL, "1001"), ended(Party.AGENT)],
        [ended(Party.AGENT), CallTransferred(T + 70 * SECOND, CALL, "1001", "1002")],
        [ended(Party.AGENT), CallSentOutside(T + 75 * SECOND, CALL, "12333", answered=True)],
    ],
    ids=["caller", "system", "dead phone", "blind transfer", "outside"],
)
def test_nobody_is_asked_after_any_other_end(facts: list[Fact]) -> None:
    assert not story(*facts).handed(by_hang_up=True)


def test_after_an_attended_transfer_the_colleague_is_rated() -> None:
    found = story(
        CallTransferred(T + 60 * SECOND, CALL, "1001", "1002", attended=True),
        OfferAnswered(T + 60 * SECOND, CALL, "1002"),
        ended(Party.AGENT),
    )
    assert not found.ended
    assert not found.handed(by_hang_up=True), "the first agent's leg ended, the talk goes on"
    found.add(ended(Party.AGENT, "1002", 90))
    assert found.handed(by_hang_up=True)
    assert (found.agent, found.talk) == ("1002", 30 * SECOND)


def test_a_number_is_asked_once_a_day_and_a_withheld_one_once_a_call() -> None:
    known = Invitations()
    for fact in [*begun(), SurveyOffered(T + 70 * SECOND, CALL, "1001")]:
        known.add(fact)
    first = known.story(CALL)
    assert first is not None
    assert known.asked_today(first, T + 80 * SECOND)
    assert known.add(CallEnded(T + 90 * SECOND, CALL, Party.AGENT)) is first
    assert known.story(CALL) is None
    again = TalkStory("hotline-1763731200.18", "13900000001")
    assert known.asked_today(again, T + 100 * SECOND)
    assert not known.asked_today(again, T + DAY)
    withheld = TalkStory("hotline-1763731200.19")
    assert not known.asked_today(withheld, T + 100 * SECOND)
    known.remember(withheld.call, T + 110 * SECOND)
    assert known.asked_today(withheld, T + 120 * SECOND)
    assert not known.asked_today(TalkStory("hotline-1763731200.20"), T + 120 * SECOND)


def test_a_link_is_an_invitation_of_that_day() -> None:
    known = Invitations()
    link = SurveyLinked(T + 99 * SECOND, CALL, "1001", "13900000001", "token", T + DAY)
    for fact in [*begun(), link]:
        known.add(fact)
    assert known.asked_today(TalkStory("x", "13900000001"), T + 100 * SECOND)


def test_a_call_of_before_is_learned_from_the_diary() -> None:
    known = Invitations()
    known.add(OfferAnswered(T, CALL, "1001"))
    assert known.story(CALL) is None
    assert known.learn(CALL, []) is None
    learned = known.learn(CALL, begun())
    assert learned is not None
    known.add(ended(Party.AGENT))
    assert learned.handed(by_hang_up=True)
