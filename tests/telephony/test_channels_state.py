"""What `outbound` and `switch` are told of channels, and times that no word of a recording shows."""

import pytest

from facts import CallArrived, Fact, OfferAnswered, OfferRinging, PhoneReachable, PhoneUnreachable
from telephony.channels import Calls, Message, microseconds
from tests.telephony.test_callbacks import attempt_of, kept, recorded
from tests.telephony.test_calls import NUMBERS

NOW = 1_800_000_000_000_000


def at_each_event(shape: str) -> list[tuple[str, str, bool, bool]]:
    """Agent's channel, citizen's channel, picked up, answered: after each event in which that changes."""
    calls = Calls(NUMBERS)
    found: list[tuple[str, str, bool, bool]] = []
    for message in recorded(shape):
        calls.read(message)
        one = calls.attempt(attempt_of(shape))
        state = (
            ("", "", False, False)
            if one is None
            else (one.channel, one.citizen, one.picked_up, one.answered)
        )
        if [state] != found[-1:]:
            found.append(state)
    return found


def test_an_attempt_from_the_first_ring_to_its_end() -> None:
    shape = "reached_citizen_hangs_up"
    channels = {
        name.partition("-")[0]: name for m in recorded(shape) if (name := m.get("Channel", ""))
    }
    agent, citizen = channels["PJSIP/1001"], channels["PJSIP/outbound"]
    assert at_each_event(shape) == [
        (agent, "", False, False),
        (agent, "", True, False),
        (agent, citizen, True, False),
        (agent, citizen, True, True),
        *([(agent, "", True, True)] if (agent, "", True, True) in at_each_event(shape) else []),
        ("", "", False, False),
    ]


def test_a_kept_line_rings_with_the_tone_and_is_answered_with_the_bridge() -> None:
    _, facts, attempt, call = kept()
    messages = recorded("kept_line")
    tone = next(m for m in messages if m["Event"] == "UserEvent" and m["Uniqueid"] == attempt)
    joined = next(
        m
        for m in messages
        if m["Event"] == "BridgeEnter"
        and m["Uniqueid"] == attempt
        and m["Timestamp"] > tone["Timestamp"]
    )
    told = {type(fact): fact.at for fact in facts if getattr(fact, "call", "") == call}
    assert told[OfferRinging] == microseconds(tone["Timestamp"])
    assert told[OfferAnswered] == microseconds(joined["Timestamp"])


def contact(status: str, agent: str = "1001", uri: str = "sip:a") -> Message:
    return {"Event": "ContactList", "Endpoint": agent, "Uri": uri, "Status": status}


@pytest.mark.parametrize(
    ("entry", "reachable"),
    [
        (contact("Reachable"), True),
        (contact("NonQualified"), True),
        (contact("Unreachable"), False),
        (contact("Removed"), False),
        (contact("Reachable", uri=""), False),
        (contact("Reachable", agent="trunk"), False),
        (contact("Unreachable", agent="trunk"), False),
    ],
)
def test_which_listed_contact_makes_a_phone_reachable(entry: Message, reachable: bool) -> None:
    calls = Calls(NUMBERS)
    facts: tuple[Fact, ...] = (PhoneReachable(NOW, "1001"),) if reachable else ()
    assert calls.snapshot([], [entry], NOW).facts == facts
    gone: tuple[Fact, ...] = (PhoneUnreachable(NOW + 1, "1001"),) if reachable else ()
    assert calls.snapshot([], [], NOW + 1).facts == gone


def citizen(**more: str) -> Message:
    return {
        "Uniqueid": "hotline-1.1",
        "Linkedid": "hotline-1.1",
        "Channel": "PJSIP/trunk-00000001",
        "Context": "hotline-call",
        "ChannelState": "6",
        "CallerIDNum": "13800138000",
        "Seconds": "7",
        **more,
    }


@pytest.mark.parametrize(
    ("more", "number", "at"),
    [
        ({"Variable": "HL_NUMBER=8890\nHL_ARRIVED=5", "DNID": "12345"}, "8890", 5),
        ({"Variable": "HL_NUMBER=8890", "DNID": "12345"}, "8890", NOW - 7_000_000),
        ({"Variable": "HL_NUMBER=(null)", "DNID": "12345"}, "12345", NOW - 7_000_000),
        ({"DNID": "12345", "Seconds": "x"}, "12345", NOW),
        ({"DNID": "999"}, "", 0),
    ],
)
def test_the_number_and_the_moment_of_a_call_that_is_found(
    more: dict[str, str], number: str, at: int
) -> None:
    facts = Calls(NUMBERS).snapshot([citizen(**more)], [], NOW).facts
    arrived = CallArrived(at, "hotline-1.1", number, "+8613800138000")
    assert facts == ((arrived,) if number else ())


def test_a_channel_that_is_gone_is_forgotten_whatever_it_was() -> None:
    """An outside leg whose end was lost does not keep its citizen from waiting."""
    calls = Calls(NUMBERS)
    outside = {
        "Uniqueid": "hotline-1.2",
        "Linkedid": "hotline-1.1",
        "Channel": "PJSIP/outbound-00000002",
        "ChannelState": "5",
    }
    waits = citizen(Variable="HL_NUMBER=12345\nHL_QUEUED=9\nHL_QUEUE=tax", Application="AGI")
    assert calls.snapshot([waits, outside], [], NOW).waiting == ()
    assert "hotline-1.2" in calls.channels()
    (place,) = calls.snapshot([waits], [], NOW + 1).waiting
    assert (place.queue, place.queued_at, place.application) == ("tax", 9, "AGI")
    assert calls.channels() == {"hotline-1.1"}


@pytest.mark.parametrize("said", ["HotlineMerged", "HotlineRefused"])
def test_a_copy_of_a_call_is_no_call_and_neither_is_one_that_is_refused(said: str) -> None:
    """The dialplan says so before anybody has heard of it (RFC 3261, 8.2.2.2)."""
    calls = Calls({"12345"})
    base = {
        "Privilege": "call,all",
        "Channel": "PJSIP/trunk-00000009",
        "Uniqueid": "hotline-1763731200.9",
        "Linkedid": "hotline-1763731200.9",
        "Context": "inbound",
        "Exten": "12345",
        "CallerIDNum": "13900000001",
    }
    stream = (
        {"Event": "Newchannel", "ChannelState": "0", "Timestamp": "1763731200.100000"},
        {"Event": "UserEvent", "UserEvent": said, "Timestamp": "1763731200.110000"},
        {"Event": "Hangup", "Cause": "21", "Timestamp": "1763731200.120000"},
    )
    assert [fact for event in stream for fact in calls.read(base | event)] == []
    assert not calls.knows("hotline-1763731200.9")
    heard = Calls({"12345"})
    facts = [fact for event in (stream[0], stream[2]) for fact in heard.read(base | event)]
    assert facts, "the same without that event is a call"


def test_an_unreachable_phone_that_signs_in_is_to_be_asked() -> None:
    signed_in = {"Event": "SuccessfulAuth", "Service": "PJSIP", "AccountID": "1001"}
    contact = {"Event": "ContactStatus", "Privilege": "system,all", "EndpointName": "1001"}
    contact |= {"URI": "sip:1001@10.0.0.5", "Timestamp": "1763731200.100000"}
    calls = Calls({"12345"})
    assert calls.back_again(signed_in) == "", "a phone that is new is believed in anyway"
    calls.read(contact | {"ContactStatus": "Reachable"})
    assert calls.back_again(signed_in) == ""
    calls.read(contact | {"ContactStatus": "Unreachable"})
    assert calls.back_again(signed_in) == "1001"
    assert calls.back_again(signed_in | {"AccountID": "1002"}) == ""
    assert calls.back_again(signed_in | {"Service": "AMI"}) == ""
    assert calls.back_again(signed_in | {"Event": "ChallengeSent"}) == ""
