"""Phones that ring during the recording notice (a queue's `offer_in_notice`), as AMI and CEL tell of them."""

import pytest

from facts import (
    CallEnded,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from telephony.cel import complete, seen
from telephony.channels import Calls, Message, microseconds
from telephony.switch import Switch
from tests.telephony import test_cel_ends as cel
from tests.telephony.test_calls import NUMBERS, folded
from tests.telephony.test_channels_ends import (
    AGENT,
    CALL,
    LEG,
    arrives,
    asks,
    begins,
    ends,
    event,
    is_up,
    rings,
)
from tests.telephony.test_channels_lists import ARRIVED, NOW, STARTED, caller, entry
from tests.telephony.test_switch import Sent


def marked() -> Message:
    return event("UserEvent", LEG, UserEvent="HotlineNotice")


def begins_to_talk() -> Message:
    return event("UserEvent", LEG, UserEvent="HotlineNoticeOver")


def at(message: Message) -> int:
    return microseconds(message["Timestamp"])


def waits() -> Calls:
    """The agent has picked up, and the notice is not over."""
    calls = Calls(NUMBERS)
    folded([arrives(), begins(LEG), marked(), rings(LEG), is_up(LEG)], calls)
    return calls


# --- AMI


def test_the_talk_begins_when_both_are_connected() -> None:
    rang, joined, left, over = rings(LEG), begins_to_talk(), asks(CALL), ends(LEG)
    facts = folded(
        [arrives(), begins(LEG), marked(), rang, is_up(LEG), joined, left, over, ends(CALL)]
    )
    assert facts[-4:] == [
        OfferRinging(at(rang), CALL, "1001"),
        OfferAnswered(at(joined), CALL, "1001"),
        TalkEnded(at(over), CALL, "1001", Party.CALLER),
        CallEnded(at(over), CALL, Party.CALLER, 16),
    ]


def test_a_phone_may_answer_without_ringing() -> None:
    picked_up = is_up(LEG)
    facts = folded([arrives(), begins(LEG), marked(), picked_up])
    assert facts[-1] == OfferRinging(at(picked_up), CALL, "1001")


@pytest.mark.parametrize(
    ("asked", "cause", "reason"),
    [
        ((LEG,), 16, OfferReason.REFUSED),
        ((), 16, OfferReason.UNREACHABLE),  # the phone has vanished
        ((CALL,), 16, OfferReason.CALLER_GONE),
        ((), 26, OfferReason.WITHDRAWN),
    ],
)
def test_why_the_wait_of_an_agent_ended(
    asked: tuple[str, ...], cause: int, reason: OfferReason
) -> None:
    facts = folded([*(asks(one) for one in asked), ends(LEG, cause)], waits())
    (ended,) = [fact for fact in facts if isinstance(fact, OfferEnded)]
    assert (ended.call, ended.agent, ended.reason) == (CALL, "1001", reason)


async def test_an_agent_who_waits_is_not_withdrawn() -> None:
    sent = Sent()
    switch = Switch(sent, waits(), clock=lambda: NOW)
    await switch.stop_ringing(CALL, "1001")
    assert sent.actions == []


def test_an_agent_who_waits_is_found_as_such() -> None:
    calls = Calls(NUMBERS)
    leg = entry(LEG, Variable="HL_NOTICE=1")
    state = calls.snapshot([caller(), leg], [], NOW)
    assert state.facts == (ARRIVED, OfferRinging(STARTED, CALL, "1001", estimated=True))
    assert state.ringing == ((CALL, "1001"),)
    assert calls.snapshot([caller(), leg], [], NOW).facts == ()
    joined = begins_to_talk()
    assert calls.read(joined) == [OfferAnswered(at(joined), CALL, "1001")]


def test_a_talk_that_has_begun_meanwhile_is_found() -> None:
    calls = waits()
    leg = entry(LEG, Variable="HL_NOTICE=")
    state = calls.snapshot([caller(), leg], [], NOW)
    assert OfferAnswered(NOW, CALL, "1001") in state.facts
    assert state.talking == ((CALL, "1001"),)


def test_a_phone_that_is_found_ringing_is_not_answered_before_the_talk() -> None:
    calls = Calls(NUMBERS)
    calls.snapshot([caller(), entry(LEG, state="5", Variable="HL_NOTICE=1")], [], NOW)
    assert calls.read(is_up(LEG)) == []
    joined = begins_to_talk()
    assert calls.read(joined) == [OfferAnswered(at(joined), CALL, "1001")]


# --- CEL


def test_cel_has_the_same_moment() -> None:
    events = [
        cel.ARRIVES,
        cel.event("CHAN_START", 8, LEG),
        cel.event("USER_DEFINED", 8, LEG, name="notice"),
        cel.event("ANSWER", 9, LEG),
        cel.event("BRIDGE_ENTER", 12, LEG),
        cel.hangup(20, LEG, 16, "PJSIP/trunk-00000001"),
        cel.hangup(20, CALL, 16, "PJSIP/trunk-00000001"),
    ]
    facts = complete(events, (), numbers=NUMBERS)
    assert OfferAnswered(cel.T + 12 * SECOND, CALL, "1001") in facts
    assert [one.at for one in seen(events, NUMBERS)[CALL].answers] == [cel.T + 12 * SECOND]
    assert not any(isinstance(fact, OfferEnded) for fact in facts)


def test_cel_knows_an_agent_who_hung_up_in_the_notice() -> None:
    facts = cel.told(
        cel.ARRIVES,
        cel.event("CHAN_START", 8, LEG),
        cel.event("USER_DEFINED", 8, LEG, name="notice"),
        cel.event("ANSWER", 9, LEG),
        cel.hangup(10, LEG, 16, AGENT),
    )
    assert facts == [
        cel.ARRIVED,
        OfferRinging(cel.T + 8 * SECOND, CALL, "1001", estimated=True),
        OfferEnded(cel.T + 10 * SECOND, CALL, "1001", OfferReason.REFUSED),
    ]
