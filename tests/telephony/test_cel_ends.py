"""CEL's lines by hand: reasons and parties that no recording has, and which known fact belongs to which leg."""

import json
from dataclasses import replace
from typing import Any

import pytest

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallDetached,
    CallEnded,
    CallOverflowed,
    CallTransferred,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    RecordingFinished,
    TalkEnded,
    WrapUpStarted,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from telephony.cel import Answer, CelEvent, Seen, _Diary, complete, parse, seen
from tests.telephony.test_calls import NUMBERS
from tests.telephony.test_channels_ends import (
    AGENT,
    ATTEMPT,
    CALL,
    CALLER,
    CHANNELS,
    LEG,
    OUT,
    OUTSIDE,
)

T = 1_763_731_200 * SECOND


def event(
    kind: str,
    at: float,
    uniqueid: str = CALL,
    linkedid: str = CALL,
    name: str = "",
    **extra: object,
) -> CelEvent:
    """`at` in seconds."""
    return CelEvent(
        kind=kind,
        at=T + round(at * SECOND),
        uniqueid=uniqueid,
        linkedid=linkedid,
        channel=CHANNELS[uniqueid],
        number="13800138000",
        context="inbound",
        exten="12345",
        application="",
        peer="",
        name=name,
        extra=json.dumps(extra),
    )


def hangup(at: float, uniqueid: str, cause: int, source: str, linkedid: str = CALL) -> CelEvent:
    return event("HANGUP", at, uniqueid, linkedid, hangupcause=cause, hangupsource=source)


def told(*events: CelEvent, known: tuple[Fact, ...] = ()) -> list[Fact]:
    return complete(events, known, numbers=NUMBERS)


ARRIVES = event("CHAN_START", 0)
ARRIVED = CallArrived(T, CALL, "12345", "+8613800138000")


# --- reasons and parties


@pytest.mark.parametrize(
    ("cause", "source", "reason"),
    [
        (26, "", OfferReason.WITHDRAWN),
        (26, AGENT, OfferReason.WITHDRAWN),
        (17, AGENT, OfferReason.REFUSED),
        (21, AGENT, OfferReason.REFUSED),
        (19, AGENT, OfferReason.NO_ANSWER),
        (18, AGENT, OfferReason.UNREACHABLE),
        (16, AGENT, OfferReason.UNREACHABLE),
        (16, "", OfferReason.CALLER_GONE),
        (19, "", OfferReason.NO_ANSWER),
        (17, "", OfferReason.NO_ANSWER),
    ],
)
def test_why_an_offer_ended(cause: int, source: str, reason: OfferReason) -> None:
    facts = told(ARRIVES, event("CHAN_START", 1, LEG), hangup(9, LEG, cause, source))
    rang = reason not in {OfferReason.REFUSED, OfferReason.UNREACHABLE}
    ring = [OfferRinging(T + SECOND, CALL, "1001", estimated=True)] if rang else []
    assert facts == [ARRIVED, *ring, OfferEnded(T + 9 * SECOND, CALL, "1001", reason)]


@pytest.mark.parametrize(
    ("later", "source", "reason"),
    [
        (0.049, CALLER, OfferReason.CALLER_GONE),
        (-0.049, CALLER, OfferReason.CALLER_GONE),
        (0.05, CALLER, OfferReason.NO_ANSWER),
        (-0.05, CALLER, OfferReason.NO_ANSWER),
        (0.01, "", OfferReason.NO_ANSWER),
        (0.01, "PJSIP/trunk-0000ffff", OfferReason.CALLER_GONE),
    ],
)
def test_a_leg_that_ends_together_with_a_caller_who_hangs_up(
    later: float, source: str, reason: OfferReason
) -> None:
    facts = told(
        ARRIVES,
        event("CHAN_START", 1, LEG),
        hangup(9, LEG, 19, ""),
        hangup(9 + later, CALL, 16, source),
    )
    (ended,) = [fact for fact in facts if isinstance(fact, OfferEnded)]
    assert ended.reason is reason


@pytest.mark.parametrize(
    "cause",
    [18, 27, 127],
)
def test_a_phone_that_did_not_know_the_call_has_not_hung_up(cause: int) -> None:
    facts = told(
        ARRIVES,
        event("CHAN_START", 1, LEG),
        event("ANSWER", 2, LEG),
        hangup(9, LEG, cause, AGENT),
    )
    assert facts[-1] == TalkEnded(T + 9 * SECOND, CALL, "1001", Party.SYSTEM)


@pytest.mark.parametrize(
    ("leg", "call", "talk_by", "call_by"),
    [
        (AGENT, AGENT, Party.AGENT, Party.AGENT),
        (CALLER, CALLER, Party.CALLER, Party.CALLER),
        ("", "", Party.SYSTEM, Party.SYSTEM),
        ("dialplan/builtin", "dialplan/builtin", Party.SYSTEM, Party.SYSTEM),
        (AGENT, "PJSIP/1002-00000009", Party.AGENT, Party.SYSTEM),
    ],
)
def test_who_ended_a_talk(leg: str, call: str, talk_by: Party, call_by: Party) -> None:
    facts = told(
        ARRIVES,
        event("CHAN_START", 1, LEG),
        event("ANSWER", 2, LEG),
        event("BRIDGE_ENTER", 3, LEG),
        hangup(9, LEG, 16, leg),
        event("CHAN_END", 9.5, LEG),
        hangup(10, CALL, 16, call),
        event("CHAN_END", 11),
    )
    assert facts == [
        ARRIVED,
        OfferRinging(T + SECOND, CALL, "1001", estimated=True),
        OfferAnswered(T + 2 * SECOND, CALL, "1001"),
        TalkEnded(T + 9 * SECOND, CALL, "1001", talk_by),
        CallEnded(T + 10 * SECOND, CALL, call_by, 16),
    ]


def test_an_agent_who_did_not_answer_has_not_ended_the_call() -> None:
    facts = told(
        ARRIVES, event("CHAN_START", 1, LEG), hangup(9, LEG, 17, AGENT), hangup(9, CALL, 16, AGENT)
    )
    assert facts[-1] == CallEnded(T + 9 * SECOND, CALL, Party.SYSTEM, 16)


def test_whose_answer_is_known_can_have_ended_the_call() -> None:
    """The file is read from after the answer on."""
    known = (ARRIVED, OfferRinging(T + 1, CALL, "1001"), OfferAnswered(T + 2, CALL, "1001"))
    facts = told(hangup(9, LEG, 16, AGENT), hangup(9, CALL, 31, AGENT), known=known)
    assert facts == [
        TalkEnded(T + 9 * SECOND, CALL, "1001", Party.AGENT),
        CallEnded(T + 9 * SECOND, CALL, Party.AGENT, 31),
    ]


@pytest.mark.parametrize(("phone", "caller", "cause"), [(17, 17, 0), (17, 16, 16), (19, 19, 0)])
def test_the_cause_that_a_silent_phone_left_is_not_the_callers(
    phone: int, caller: int, cause: int
) -> None:
    story = [ARRIVES, event("CHAN_START", 1, LEG), hangup(2, LEG, phone, AGENT)]
    assert told(*story, hangup(9, CALL, caller, CALLER))[-1] == CallEnded(
        T + 9 * SECOND, CALL, Party.CALLER, cause
    )


def test_after_a_talk_the_cause_is_the_callers_own() -> None:
    story = [
        ARRIVES,
        event("CHAN_START", 1, LEG),
        event("ANSWER", 2, LEG),
        hangup(3, LEG, 16, AGENT),
    ]
    for cause in (16, 1):
        ended = told(*story, hangup(9, CALL, cause, CALLER))[-1]
        assert ended == CallEnded(T + 9 * SECOND, CALL, Party.CALLER, cause)


def test_a_call_does_not_end_before_its_legs() -> None:
    facts = told(
        ARRIVES,
        hangup(8, CALL, 16, CALLER),
        event("CHAN_START", 1, LEG),
        event("ANSWER", 2, LEG),
        hangup(9, LEG, 16, CALLER),
    )
    assert facts[-1] == CallEnded(T + 9 * SECOND, CALL, Party.CALLER, 16)


# --- a call


def test_a_caller_who_withholds_the_number_only_later() -> None:
    withheld = replace(event("ANSWER", 1), number="")
    (arrived,) = told(ARRIVES, withheld)
    assert arrived == replace(ARRIVED, caller="")
    (arrived,) = told(ARRIVES, event("ANSWER", 1))
    assert arrived == ARRIVED


def test_who_ended_an_earlier_talk_did_not_end_the_call() -> None:
    """A phone dropped the caller, who then hung up on the next agent: the first agent's channel stays the source."""
    second = {"uniqueid": "hotline-1.4", "channel": "PJSIP/1002-00000004"}
    story = [
        *(ARRIVES, event("CHAN_START", 1, LEG), event("ANSWER", 2, LEG)),
        hangup(3, LEG, 16, AGENT),
        *(
            replace(one, **second)  # type: ignore[arg-type]
            for one in (
                *(event("CHAN_START", 4, LEG), event("ANSWER", 5, LEG)),
                hangup(8, LEG, 16, CALLER),
            )
        ),
        hangup(8, CALL, 16, AGENT),
    ]
    assert told(*story)[-1] == CallEnded(T + 8 * SECOND, CALL, Party.CALLER, 16)


@pytest.mark.parametrize(
    ("gone", "by"), [(6.0, Party.CALLER), (3.2, Party.SYSTEM), (2.9, Party.AGENT), (0, Party.AGENT)]
)
def test_who_ended_a_call_that_waited_again_after_its_talk(gone: float, by: Party) -> None:
    """The talk's source stays on the citizen's channel. `gone`: when they last left the controller."""
    story = [
        *(ARRIVES, event("CHAN_START", 1, LEG), event("ANSWER", 2, LEG)),
        *(hangup(3, LEG, 16, AGENT), hangup(6, CALL, 16, AGENT)),
    ]
    known = (CallDetached(T + round(gone * SECOND), CALL),) if gone else ()
    assert told(*story, known=known)[-1] == CallEnded(T + 6 * SECOND, CALL, by, 16)


def test_the_fallback_queue_takes_a_call_once() -> None:
    story = [
        ARRIVES,
        event("USER_DEFINED", 2, name="other"),
        event("USER_DEFINED", 3, name="fallback"),
        event("USER_DEFINED", 4, name="fallback"),
    ]
    assert told(*story) == [ARRIVED, CallOverflowed(T + 3 * SECOND, CALL)]
    assert told(*story, known=(ARRIVED, CallOverflowed(T + 3, CALL))) == []


@pytest.mark.parametrize("said", ["merged", "refused"])
def test_what_the_dialplan_calls_no_call_is_none(said: str) -> None:
    ended = hangup(3, CALL, 21, CALLER)
    assert told(ARRIVES, event("USER_DEFINED", 2, name="other"), ended) != []
    assert told(ARRIVES, event("USER_DEFINED", 2, name=said), ended) == []


def test_what_cel_alone_says_of_a_call() -> None:
    second = {"uniqueid": "hotline-1.4", "channel": "PJSIP/1002-00000004"}
    story = [
        ARRIVES,
        event("CHAN_START", 1, LEG),
        hangup(2, LEG, 17, AGENT),
        *(
            replace(one, **second)  # type: ignore[arg-type]
            for one in (event("CHAN_START", 3, LEG), event("ANSWER", 4, LEG))
        ),
        event("CHAN_END", 9),
    ]
    assert seen(story, NUMBERS) == {
        CALL: Seen(T, (Answer(T + 4 * SECOND, 5 * SECOND),), T + 9 * SECOND)
    }
    assert seen(story[:3], NUMBERS) == {CALL: Seen(T, (), 0)}
    talking = seen(story[:-1], NUMBERS)[CALL]
    assert talking.answers == (Answer(T + 4 * SECOND, None),)
    assert seen(story, ("110",)) == {}


# --- which known fact is whose


def test_each_known_fact_counts_for_one_leg() -> None:
    """The same phone was rung twice; the diary has the second ring and its end only."""
    second = {"uniqueid": "hotline-1.4", "channel": "PJSIP/1001-00000004"}
    legs = [
        event("CHAN_START", 1, LEG),
        hangup(2, LEG, 19, ""),
        *(
            replace(one, **second)  # type: ignore[arg-type]
            for one in (event("CHAN_START", 2.5, LEG), hangup(4, LEG, 19, ""))
        ),
    ]
    known = (
        ARRIVED,
        OfferRinging(T + round(2.6 * SECOND), CALL, "1001"),
        OfferEnded(T + 4 * SECOND, CALL, "1001", OfferReason.NO_ANSWER),
    )
    assert told(*legs, known=known) == [
        OfferRinging(T + SECOND, CALL, "1001", estimated=True),
        OfferEnded(T + 2 * SECOND, CALL, "1001", OfferReason.NO_ANSWER),
    ]


@pytest.mark.parametrize(
    ("apart", "same"), [(2.0, True), (2.000001, False), (-2.0, True), (-2.000001, False)]
)
def test_two_clocks_may_differ_by_two_seconds(apart: float, same: bool) -> None:
    at = T + 9 * SECOND if apart > 0 else T + 5 * SECOND
    ring = OfferRinging(at + round(apart * SECOND), CALL, "1001")
    facts = told(event("CHAN_START", 5, LEG), hangup(9, LEG, 19, ""), known=(ARRIVED, ring))
    assert any(isinstance(fact, OfferRinging) for fact in facts) is not same


def test_the_nearest_known_fact_is_taken_first() -> None:
    rings = [OfferRinging(at, CALL, "1001") for at in (10, 30, 20)]
    diary = _Diary(rings)
    taken = [
        diary.take(OfferRinging, CALL, "1001", first, last, near=near)
        for first, last, near in (
            (31, 99, 31),
            (0, 9, 9),
            (10, 30, 22),
            (10, 30, 28),
            (10, 10, 0),
            (0, 99, 0),
        )
    ]
    assert [fact and fact.at for fact in taken] == [None, None, 20, 30, 10, None]
    diary = _Diary(rings)
    for kind, call, agent in (
        (OfferAnswered, CALL, "1001"),
        (OfferRinging, OUT, "1001"),
        (OfferRinging, CALL, "1002"),
    ):
        assert diary.take(kind, call, agent, 0, 99, near=20) is None


def test_a_ring_that_never_was_is_not_made_up() -> None:
    """AMI told the offer's end, and no ring before: the phone was not there."""
    known = (ARRIVED, OfferEnded(T + 2 * SECOND, CALL, "1001", OfferReason.UNREACHABLE))
    assert told(event("CHAN_START", 1, LEG), hangup(2, LEG, 19, ""), known=known) == []


# --- Asterisk died


def test_what_vanished_with_asterisk() -> None:
    known: list[Fact] = [
        CallArrived(1, "a", "12345", ""),
        OfferMade(2, "a", "1001"),
        OfferEnded(3, "a", "1001", OfferReason.NO_ANSWER),
        OfferRinging(4, "a", "1002"),
        OfferAnswered(5, "a", "1002"),
        OfferMade(6, "a", "1002"),
        OfferRinging(7, "a", "1003"),
        OfferAnswered(8, "b", "1004"),
        TalkEnded(9, "b", "1004", Party.AGENT),
        WrapUpStarted(10, "1004", 99, "c"),
        RecordingFinished(11, "d", 5, ""),
    ]
    assert complete([], known, numbers=NUMBERS, alive=(), now=100) == [
        TalkEnded(100, "a", "1002", Party.SYSTEM),
        OfferEnded(100, "a", "1003", OfferReason.CALLER_GONE),
        CallEnded(100, "a", Party.SYSTEM),
        CallEnded(100, "b", Party.SYSTEM),
    ]
    assert complete([], known, numbers=NUMBERS, now=100) == []
    assert complete([], known, numbers=NUMBERS, alive={"a", "b"}, now=100) == []


def test_what_cel_adds_is_ended_too_and_only_of_that_call() -> None:
    other: dict[str, Any] = {
        "uniqueid": "hotline-1.9",
        "linkedid": "hotline-1.9",
        "channel": "PJSIP/trunk-00000009",
    }
    leg: dict[str, Any] = {
        "uniqueid": "hotline-1.4",
        "linkedid": "hotline-1.9",
        "channel": "PJSIP/1002-00000004",
    }
    events = [
        event("CHAN_START", 1, LEG),
        event("ANSWER", 2, LEG),
        replace(ARRIVES, **other),
        *(replace(one, **leg) for one in (event("CHAN_START", 1, LEG), hangup(3, LEG, 19, ""))),
    ]
    known = [ARRIVED, replace(ARRIVED, call="hotline-1.9")]
    now = T + 99 * SECOND
    facts = complete(events, known, numbers=NUMBERS, alive=(), now=now)
    assert [fact for fact in facts if fact.at == now] == [
        TalkEnded(now, CALL, "1001", Party.SYSTEM),
        CallEnded(now, CALL, Party.SYSTEM),
        CallEnded(now, "hotline-1.9", Party.SYSTEM),
    ]


# --- attempts


def attempt(*events: CelEvent, known: tuple[Fact, ...] = ()) -> list[Fact]:
    start = event("CHAN_START", 0, ATTEMPT, ATTEMPT)
    return told(start, *events, known=known)


def ended(at: float, failure: str, by: Party) -> CallbackEnded:
    return CallbackEnded(T + round(at * SECOND), 7, ATTEMPT, "1001", failure, by)


DIALS = event("CHAN_START", 1, OUT, ATTEMPT)
DIALLED = CallbackDialling(T + SECOND, 7, ATTEMPT, "1001")


@pytest.mark.parametrize(
    ("cause", "source", "failure"),
    [
        (17, OUTSIDE, "busy"),
        (21, OUTSIDE, "refused"),
        (19, OUTSIDE, "no_answer"),
        (31, OUTSIDE, "unreachable"),
        (17, "", "no_answer"),
        (17, AGENT, "no_answer"),
    ],
)
def test_why_a_citizen_was_not_reached(cause: int, source: str, failure: str) -> None:
    facts = attempt(
        DIALS, hangup(8, OUT, cause, source, ATTEMPT), hangup(9, ATTEMPT, 16, source, ATTEMPT)
    )
    if source == AGENT:
        assert facts == [DIALLED, ended(9, "agent_hung_up", Party.AGENT)]
    else:
        assert facts == [DIALLED, ended(9, failure, Party.SYSTEM)]


@pytest.mark.parametrize(
    ("source", "by"), [(OUTSIDE, Party.CALLER), (AGENT, Party.AGENT), ("", Party.SYSTEM)]
)
def test_who_ended_the_talk_of_a_callback(source: str, by: Party) -> None:
    story = (
        DIALS,
        event("ANSWER", 3, OUT, ATTEMPT),
        event("BRIDGE_ENTER", 4, OUT, ATTEMPT),
        hangup(8, OUT, 16, source, ATTEMPT),
        hangup(9, ATTEMPT, 16, source, ATTEMPT),
    )
    answered = CallbackAnswered(T + 3 * SECOND, 7, ATTEMPT, "1001")
    assert attempt(*story) == [DIALLED, answered, ended(9, "", by)]
    assert attempt(*story, known=(DIALLED,)) == [answered, ended(9, "", by)]
    assert attempt(*story, known=(DIALLED, answered)) == [ended(9, "", by)]
    # The answer is known, and the file is read from after it on.
    assert attempt(*story[3:], known=(DIALLED, answered)) == [ended(9, "", by)]
    assert attempt(*story, known=(ended(9, "", by),)) == []
    assert attempt(*story[:-1]) == []


def test_an_attempt_that_ended_before_the_citizen_was_dialled() -> None:
    assert attempt(hangup(9, ATTEMPT, 16, "", ATTEMPT)) == [ended(9, "lost", Party.SYSTEM)]
    assert attempt(hangup(9, ATTEMPT, 16, AGENT, ATTEMPT)) == [
        ended(9, "agent_hung_up", Party.AGENT)
    ]


def test_only_the_first_outside_leg_is_the_citizens() -> None:
    later = {"uniqueid": "hotline-1.4", "channel": "PJSIP/outbound-00000004"}
    story = (
        DIALS,
        event("ANSWER", 3, OUT, ATTEMPT),
        replace(event("CHAN_START", 5, OUT, ATTEMPT), **later),  # type: ignore[arg-type]
        replace(event("ANSWER", 6, OUT, ATTEMPT), **later),  # type: ignore[arg-type]
        hangup(9, ATTEMPT, 16, "", ATTEMPT),
    )
    assert attempt(*story) == [
        DIALLED,
        CallbackAnswered(T + 3 * SECOND, 7, ATTEMPT, "1001"),
        ended(9, "", Party.SYSTEM),
    ]


# --- an attended transfer


def test_an_attended_transfer_that_the_diary_lacks() -> None:
    colleague = "PJSIP/1002-00000004"
    transfer = event(
        "ATTENDEDTRANSFER",
        5,
        LEG,
        transferee_channel_uniqueid=CALL,
        transferee_channel_name=CALLER,
        transfer_target_channel_uniqueid="hotline-1.4",
        transfer_target_channel_name=colleague,
    )
    end = replace(hangup(9, LEG, 16, colleague), uniqueid="hotline-1.4", channel=colleague)
    facts = told(ARRIVES, transfer, end)
    moved = CallTransferred(T + 5 * SECOND, CALL, "1001", "1002", attended=True)
    assert facts == [
        ARRIVED,
        moved,
        OfferAnswered(T + 5 * SECOND, CALL, "1002"),
        TalkEnded(T + 9 * SECOND, CALL, "1002", Party.AGENT),
    ]
    assert told(ARRIVES, transfer, end, known=(ARRIVED, moved)) == facts[2:]
    outside = replace(transfer, extra=transfer.extra.replace("1002-", "outbound-"))
    assert told(ARRIVES, outside) == [ARRIVED]
    stranger = replace(transfer, extra=transfer.extra.replace("trunk-", "1003-"))
    assert told(ARRIVES, stranger) == [ARRIVED]


def test_an_attended_transfer_out_of_a_talk_of_three() -> None:
    """CEL names no far end of that talk, but the agent's channel, whichever of the two sent the REFER."""
    colleague, names = "PJSIP/1002-00000004", ("hotline-1.4", "PJSIP/1002-00000004")
    none = {"transferee_channel_uniqueid": "N/A", "transferee_channel_name": "N/A"}
    target = dict(
        zip(
            ("transfer_target_channel_uniqueid", "transfer_target_channel_name"), names, strict=True
        )
    )
    transfer = event("ATTENDEDTRANSFER", 5, LEG, channel2_uniqueid=OUT, **none, **target)
    other = replace(
        event("ATTENDEDTRANSFER", 5, LEG, channel2_uniqueid=LEG, **none, **target),
        uniqueid=OUT,
        linkedid=OUT,
    )
    leg = [event("CHAN_START", 1, LEG), event("ANSWER", 2, LEG)]
    end = replace(hangup(9, LEG, 16, CALLER), uniqueid="hotline-1.4", channel=colleague)
    for told_first in (transfer, other):
        assert told(ARRIVES, *leg, told_first, end)[-3:] == [
            CallTransferred(T + 5 * SECOND, CALL, "1001", "1002", attended=True),
            OfferAnswered(T + 5 * SECOND, CALL, "1002"),
            TalkEnded(T + 9 * SECOND, CALL, "1002", Party.CALLER),
        ]
    # A transfer of a talk that is no citizen's is none of ours.
    assert told(ARRIVES, transfer) == [ARRIVED]


# --- a line


def test_a_quotation_mark_inside_a_column_is_doubled_or_the_line_is_none() -> None:
    columns = ["HANGUP", "1763731200.000001", *"abcdefghij"]
    whole = ",".join(f'"{column}"' for column in columns)
    assert parse(whole) is not None
    assert parse(whole.replace('"a"', '"a"x')) is None
    assert parse(whole.replace('"HANGUP"', '""')) is None
    assert parse(whole + ',"k"') is None
    assert parse(whole.rsplit(",", 1)[0]) is None


def test_after_a_kept_line_the_attempts_linkedid_is_the_citizens() -> None:
    """A citizen who was connected to a kept line has the attempt's Linkedid, and so have the next agent's legs."""
    joins = event("BRIDGE_ENTER", 1, CALL, ATTEMPT)
    leg = [event("CHAN_START", 2, LEG, ATTEMPT), event("ANSWER", 3, LEG, ATTEMPT)]
    assert told(ARRIVES, joins, *leg) == [
        ARRIVED,
        OfferRinging(T + 2 * SECOND, CALL, "1001", estimated=True),
        OfferAnswered(T + 3 * SECOND, CALL, "1001"),
    ]


def test_a_citizens_linkedid_may_change_in_a_bridge() -> None:
    """In an early join, when the colleague answers just then: the citizen gets that of the agents' call."""
    joins = event("BRIDGE_ENTER", 1, CALL, "hotline-1.3")
    colleague = [
        replace(one, uniqueid="hotline-1.4", channel="PJSIP/1003-00000004")
        for one in (
            event("CHAN_START", 0.5, LEG, "hotline-1.3"),
            event("HANGUP", 1.1, LEG, "hotline-1.3", hangupcause=16),
        )
    ]
    leg = [event("CHAN_START", 2, LEG, "hotline-1.3"), event("ANSWER", 3, LEG, "hotline-1.3")]
    ends = hangup(5, CALL, 16, CALLER, "hotline-1.3")
    assert told(ARRIVES, joins, *colleague, *leg, ends) == [
        ARRIVED,
        OfferRinging(T + 2 * SECOND, CALL, "1001", estimated=True),
        OfferAnswered(T + 3 * SECOND, CALL, "1001"),
        CallEnded(T + 5 * SECOND, CALL, Party.CALLER, 16),
    ]


def test_the_linkedid_of_another_citizen_stays_theirs() -> None:
    other = replace(ARRIVES, uniqueid="hotline-1.0", linkedid="hotline-1.0")
    joins = event("BRIDGE_ENTER", 1, CALL, "hotline-1.0")
    leg = event("ANSWER", 3, LEG, "hotline-1.0")
    answered = [f for f in told(other, ARRIVES, joins, leg) if isinstance(f, OfferAnswered)]
    assert [one.call for one in answered] == ["hotline-1.0"]


def test_only_the_dialplans_own_word_hands_a_citizen_on() -> None:
    for name, on in (("handed_on", True), ("other", False)):
        facts = told(event("USER_DEFINED", 2, OUT, ATTEMPT, name, extra="tax"))
        arrived = CallArrived(T + 2 * SECOND, OUT, "", "+8613800138000", ATTEMPT, "tax")
        assert facts == ([arrived] if on else [])
    assert told(event("APP_START", 2, OUT, ATTEMPT, "handed_on")) == []
    assert told(replace(event("USER_DEFINED", 2, LEG), name="handed_on")) == []
