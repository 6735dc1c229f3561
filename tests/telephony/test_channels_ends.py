"""Why a leg, an attempt or a call has ended: who hung up first, with which cause, and whether the phone rang.

Events by hand, for the causes and the orders that no recording has.
"""

from itertools import count

import pytest

from facts import CallbackEnded, CallEnded, Fact, OfferEnded, PhoneLost, TalkEnded
from facts.terms import OfferReason, Party
from telephony.channels import Calls, Message, Talk
from tests.telephony.test_calls import NUMBERS, folded, told

CALL, CALLER = "hotline-1.1", "PJSIP/trunk-00000001"
LEG, AGENT = "hotline-1.2", "PJSIP/1001-00000002"
OUT, OUTSIDE = "hotline-1.3", "PJSIP/outbound-00000003"
ATTEMPT = "hotline-c7.1"
CHANNELS = {CALL: CALLER, LEG: AGENT, OUT: OUTSIDE, ATTEMPT: AGENT}

_seconds = count(1763731200)


def event(kind: str, uniqueid: str, linkedid: str = CALL, **more: str) -> Message:
    return {
        "Event": kind,
        "Privilege": "call,all",
        "Timestamp": f"{next(_seconds)}.000000",
        "Channel": CHANNELS[uniqueid],
        "Uniqueid": uniqueid,
        "Linkedid": linkedid,
        **more,
    }


def begins(uniqueid: str, linkedid: str = CALL) -> Message:
    return event("Newchannel", uniqueid, linkedid, ChannelState="0")


def rings(uniqueid: str) -> Message:
    return event("Newstate", uniqueid, ChannelState="5")


def is_up(uniqueid: str) -> Message:
    return event("Newstate", uniqueid, ChannelState="6")


def asks(uniqueid: str, cause: int = 16) -> Message:
    """The far end hangs up."""
    return event("HangupRequest", uniqueid, Cause=str(cause))


def ends(uniqueid: str, cause: int = 16) -> Message:
    return event("Hangup", uniqueid, Cause=str(cause))


def arrives() -> Message:
    return event(
        "Newchannel",
        CALL,
        ChannelState="6",
        Context="inbound",
        Exten="12345",
        CallerIDNum="13800138000",
    )


def last(*messages: Message) -> Fact:
    return folded(messages)[-1]


# --- an offer


@pytest.mark.parametrize(
    ("rang", "asked", "cause", "reason"),
    [
        (True, (LEG,), 17, OfferReason.REFUSED),
        (False, (LEG,), 17, OfferReason.REFUSED),
        (True, (LEG,), 21, OfferReason.REFUSED),
        (True, (LEG,), 19, OfferReason.NO_ANSWER),  # the phone's own time-out
        (False, (LEG,), 19, OfferReason.REFUSED),  # "do not disturb"
        (True, (LEG,), 18, OfferReason.UNREACHABLE),
        (True, (LEG,), 16, OfferReason.UNREACHABLE),
        (False, (LEG,), 0, OfferReason.UNREACHABLE),
        (True, (), 26, OfferReason.WITHDRAWN),
        (True, (LEG,), 26, OfferReason.WITHDRAWN),
        (True, (), 16, OfferReason.CALLER_GONE),
        (False, (), 16, OfferReason.CALLER_GONE),
        (True, (), 19, OfferReason.NO_ANSWER),  # Asterisk's time-out
        (True, (), 17, OfferReason.NO_ANSWER),
        (False, (), 19, OfferReason.UNREACHABLE),
        (True, (CALL,), 26, OfferReason.CALLER_GONE),
        (True, (CALL,), 19, OfferReason.CALLER_GONE),
        (True, (CALL, LEG), 17, OfferReason.CALLER_GONE),
        (True, (LEG, CALL), 17, OfferReason.REFUSED),
    ],
)
def test_why_an_offer_ended(
    rang: bool, asked: tuple[str, ...], cause: int, reason: OfferReason
) -> None:
    facts = folded(
        [
            arrives(),
            begins(LEG),
            *([rings(LEG)] if rang else []),
            *(asks(one) for one in asked),
            ends(LEG, cause),
        ]
    )
    (ended,) = [fact for fact in facts if isinstance(fact, OfferEnded)]
    assert (ended.call, ended.agent, ended.reason) == (CALL, "1001", reason)


@pytest.mark.parametrize(
    ("asked", "by"),
    [
        ((LEG,), Party.AGENT),
        ((CALL,), Party.CALLER),
        ((LEG, CALL), Party.AGENT),
        ((CALL, LEG), Party.CALLER),
        ((), Party.SYSTEM),
    ],
)
def test_whoever_asks_first_has_ended_the_talk(asked: tuple[str, ...], by: Party) -> None:
    facts = folded(
        [arrives(), begins(LEG), is_up(LEG), *(asks(one) for one in asked), ends(LEG), ends(CALL)]
    )
    (talk,) = [fact for fact in facts if isinstance(fact, TalkEnded)]
    (call,) = [fact for fact in facts if isinstance(fact, CallEnded)]
    assert talk.hung_up_by is by
    # A caller who hangs up after the agent is gone all the same.
    assert call.hung_up_by is (Party.CALLER if CALL in asked else by)


@pytest.mark.parametrize("cause", [18, 27, 127])
def test_a_phone_that_does_not_know_the_call_has_not_hung_up(cause: int) -> None:
    """Asterisk tells of a 481, and of no answer within the call, as of a hang-up."""
    facts = folded([arrives(), begins(LEG), is_up(LEG), asks(LEG, cause), ends(LEG, cause)])
    assert told(facts)[-2:] == ["PhoneLost #1 1001", "TalkEnded #1 1001 system"]


def test_a_phone_that_dies_after_its_caller_has_hung_up_loses_nobody() -> None:
    facts = folded([arrives(), begins(LEG), is_up(LEG), asks(CALL), asks(LEG, 127), ends(LEG, 127)])
    assert not any(isinstance(fact, PhoneLost) for fact in facts)
    (talk,) = [fact for fact in facts if isinstance(fact, TalkEnded)]
    assert talk.hung_up_by is Party.CALLER


def contact(uri: str, status: str) -> Message:
    more = {"EndpointName": "1001", "URI": uri, "ContactStatus": status}
    return {**event("ContactStatus", LEG), **more}


def test_which_talks_there_are_and_whether_their_phones_are() -> None:
    calls = Calls(NUMBERS)
    folded([contact("sip:a", "NonQualified"), arrives(), begins(LEG), rings(LEG)], calls)
    assert list(calls.talks()) == []
    folded([is_up(LEG)], calls)
    assert list(calls.talks()) == [Talk(LEG, AGENT, CALL, "1001", held=False, there=True)]
    folded([event("Hold", LEG), contact("sip:a", "Unreachable")], calls)
    assert list(calls.talks()) == [Talk(LEG, AGENT, CALL, "1001", held=True, there=False)]
    folded([ends(LEG)], calls)
    assert list(calls.talks()) == []


def test_a_new_address_is_another_one_or_none_at_all() -> None:
    calls = Calls(NUMBERS)
    assert calls.new_address(contact("sip:a", "NonQualified")) == ""
    folded([contact("sip:a", "NonQualified")], calls)
    for status in ("NonQualified", "Reachable", "Unreachable"):
        assert calls.new_address(contact("sip:a", status)) == "", status
    assert calls.new_address(contact("sip:b", "NonQualified")) == "1001"
    assert calls.new_address(contact("sip:b", "Reachable")) == ""
    assert calls.new_address(contact("sip:a", "Removed")) == "1001"
    folded([contact("sip:b", "NonQualified")], calls)
    assert calls.new_address(contact("sip:a", "Removed")) == "", "there is another one"
    assert calls.new_address(event("Hangup", LEG)) == ""


def test_an_agents_end_of_one_talk_is_not_the_end_of_the_next_wait() -> None:
    """The agent has hung up, the caller waits again, and another phone rings when the system ends the call."""
    again = {**begins(OUT), "Channel": "PJSIP/1002-00000004"}
    facts = folded([arrives(), begins(LEG), is_up(LEG), asks(LEG), ends(LEG), again, ends(CALL)])
    assert told(facts)[-3:] == [
        "TalkEnded #1 1001 agent",
        "OfferEnded #1 1002 caller_gone",
        "CallEnded #1 system",
    ]


# --- the cause of a call


@pytest.mark.parametrize(
    ("phone", "caller", "cause"),
    [(17, 17, 0), (17, 16, 16), (19, 19, 0), (19, 31, 31), (17, 0, 0)],
)
def test_the_cause_that_a_silent_phone_left_says_nothing_about_the_caller(
    phone: int, caller: int, cause: int
) -> None:
    ended = last(arrives(), begins(LEG), ends(LEG, phone), asks(CALL, caller))
    assert ended == CallEnded(ended.at, CALL, Party.CALLER, cause)


def test_after_a_talk_the_cause_is_the_callers_own() -> None:
    busy = [begins(LEG), ends(LEG, 17)]
    second = {"Channel": "PJSIP/1001-00000004", "Uniqueid": "hotline-1.4"}
    talk = [{**one, **second} for one in (begins(LEG), is_up(LEG), ends(LEG))]
    ended = last(arrives(), *busy, *talk, ends(CALL, 17))
    assert isinstance(ended, CallEnded)
    assert ended.cause == 17


def test_the_cause_is_that_of_the_request_and_not_of_the_later_end() -> None:
    facts = folded([arrives(), begins(LEG), is_up(LEG), asks(CALL, 31), ends(CALL, 16)])
    assert isinstance(facts[-1], CallEnded)
    assert facts[-1].cause == 31
    second_request = folded([arrives(), begins(LEG), is_up(LEG), asks(CALL, 31), asks(CALL, 16)])
    assert told(second_request) == told(facts[:3])


@pytest.mark.parametrize("cause", ["x", "", "٣", "-1", "1" * 20])
def test_a_cause_that_is_no_number_is_unknown(cause: str) -> None:
    ended = last(arrives(), {**asks(CALL), "Cause": cause})
    assert ended == CallEnded(ended.at, CALL, Party.CALLER, 0)


# --- outside numbers


@pytest.mark.parametrize(
    ("asked", "by"), [((), Party.SYSTEM), ((OUT,), Party.AGENT), ((CALL,), Party.CALLER)]
)
def test_who_ended_a_talk_with_an_outside_number(asked: tuple[str, ...], by: Party) -> None:
    messages = [arrives(), begins(OUT), is_up(OUT), *(asks(one) for one in asked)]
    facts = folded([*messages, ends(OUT), ends(CALL)])
    (ended,) = [fact for fact in facts if isinstance(fact, CallEnded)]
    assert ended.hung_up_by is by


def test_an_outside_number_that_is_busy_leaves_its_cause_on_the_callers_channel() -> None:
    for cause in (16, 17):
        ended = last(arrives(), begins(OUT), asks(OUT), ends(OUT, 17), ends(CALL, cause))
        assert ended == CallEnded(ended.at, CALL, Party.SYSTEM, 16 if cause == 16 else 0)


# --- attempts


def attempt(*messages: Message) -> list[Fact]:
    return folded([begins(ATTEMPT, ATTEMPT), *messages])


@pytest.mark.parametrize(
    ("rang", "asked", "cause", "failure"),
    [
        (True, True, 17, "agent_refused"),
        (False, True, 21, "agent_refused"),
        (False, True, 19, "agent_refused"),
        (True, True, 19, "agent_no_answer"),
        (True, True, 18, "agent_unreachable"),
        (False, True, 18, "agent_unreachable"),
        (True, False, 16, "agent_no_answer"),
        (True, False, 17, "agent_no_answer"),
        (False, False, 16, "agent_unreachable"),
        (False, False, 19, "agent_unreachable"),
        (True, True, 26, "withdrawn"),
        (False, False, 26, "withdrawn"),
    ],
)
def test_why_an_agent_did_not_pick_up(rang: bool, asked: bool, cause: int, failure: str) -> None:
    (ended,) = attempt(
        *([rings(ATTEMPT)] if rang else []),
        *([asks(ATTEMPT)] if asked else []),
        ends(ATTEMPT, cause),
    )
    by = Party.AGENT if asked else Party.SYSTEM
    assert ended == CallbackEnded(ended.at, 7, ATTEMPT, "1001", failure, by)


@pytest.mark.parametrize(
    ("asked", "cause", "failure"),
    [
        (False, 16, "lost"),
        (True, 16, "agent_hung_up"),
        (True, 17, "agent_hung_up"),
        (True, 26, "withdrawn"),
    ],
)
def test_why_an_attempt_ended_before_the_citizen_was_dialled(
    asked: bool, cause: int, failure: str
) -> None:
    (ended,) = attempt(is_up(ATTEMPT), *([asks(ATTEMPT)] if asked else []), ends(ATTEMPT, cause))
    assert isinstance(ended, CallbackEnded)
    assert ended.failure == failure


@pytest.mark.parametrize(
    ("asked", "cause", "failure"),
    [
        ((OUT,), 17, "busy"),
        ((OUT,), 21, "refused"),
        ((OUT,), 19, "no_answer"),
        ((OUT,), 18, "no_answer"),
        ((OUT,), 31, "unreachable"),
        ((OUT,), 0, "unreachable"),
        ((), 17, "no_answer"),
        ((ATTEMPT,), 16, "agent_hung_up"),
        ((ATTEMPT, OUT), 17, "busy"),
    ],
)
def test_why_a_citizen_was_not_reached(asked: tuple[str, ...], cause: int, failure: str) -> None:
    *_, ended = attempt(
        is_up(ATTEMPT),
        begins(OUT, ATTEMPT),
        *(asks(one) for one in asked),
        ends(OUT, cause),
        ends(ATTEMPT),
    )
    assert isinstance(ended, CallbackEnded)
    assert ended.failure == failure


@pytest.mark.parametrize(
    ("asked", "by"),
    [
        ((), Party.SYSTEM),
        ((OUT,), Party.CALLER),
        ((ATTEMPT,), Party.AGENT),
        ((OUT, ATTEMPT), Party.CALLER),
        ((ATTEMPT, OUT), Party.AGENT),
    ],
)
def test_who_ended_the_talk_of_a_callback(asked: tuple[str, ...], by: Party) -> None:
    *_, ended = attempt(
        is_up(ATTEMPT),
        begins(OUT, ATTEMPT),
        is_up(OUT),
        *(asks(one) for one in asked),
        ends(OUT),
        ends(ATTEMPT),
    )
    assert ended == CallbackEnded(ended.at, 7, ATTEMPT, "1001", "", by)


def test_a_citizen_who_hangs_up_before_the_answer_has_ended_no_talk() -> None:
    *_, ended = attempt(
        is_up(ATTEMPT), begins(OUT, ATTEMPT), asks(OUT, 17), ends(OUT, 17), ends(ATTEMPT)
    )
    assert ended == CallbackEnded(ended.at, 7, ATTEMPT, "1001", "busy", Party.SYSTEM)


def test_an_agent_counts_as_picked_up_once_the_citizen_is_dialled() -> None:
    """The agent's `Newstate` was lost."""
    *_, ended = attempt(rings(ATTEMPT), begins(OUT, ATTEMPT), ends(ATTEMPT))
    assert isinstance(ended, CallbackEnded)
    assert ended.failure == "lost"
