"""Recorded AMI streams of a real Asterisk 22 → the facts they amount to, by shape of call.

`tests/fixtures/ami/*.jsonl` holds one event a line, as `telephony.link` delivered it; `tests/fixtures/cel/*.csv` is
what Asterisk's own record said of the same minutes.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facts import (
    CallArrived,
    CallEnded,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    TalkEnded,
)
from telephony.channels import AsteriskState, Calls, Early, Message, Waiting, microseconds, pressed

RECORDED = Path(__file__).parents[1] / "fixtures" / "ami"
NUMBERS = ("12345", "8890")


def recorded(shape: str) -> list[Message]:
    lines = (RECORDED / f"{shape}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def told(facts: Iterable[Fact]) -> list[str]:
    """Facts as words, without times and with calls numbered as they come."""
    calls: dict[str, str] = {}
    words = []
    for fact in facts:
        parts = [fact.kind]
        for name in (field.name for field in fields(fact)):
            value = getattr(fact, name)
            if name == "call":
                value = calls.setdefault(value, f"#{len(calls) + 1}")
            if name != "at" and value not in ("", False):
                parts.append(str(value))
        words.append(" ".join(parts))
    return words


def folded(messages: Iterable[Message], calls: Calls | None = None) -> list[Fact]:
    calls = calls or Calls(NUMBERS)
    return [fact for message in messages for fact in calls.read(message)]


REACHABLE = "PhoneReachable 1001"
ARRIVED = "CallArrived #1 12345 +8613800138000"
RINGING = "OfferRinging #1 1001"
ANSWERED = "OfferAnswered #1 1001"
GONE = "CallEnded #1 caller"

SHAPES = {
    "answered_caller_hangs_up": [
        REACHABLE,
        ARRIVED,
        RINGING,
        ANSWERED,
        "TalkEnded #1 1001 caller",
        "CallEnded #1 caller 16",
    ],
    "answered_agent_hangs_up": [
        REACHABLE,
        ARRIVED,
        RINGING,
        ANSWERED,
        "TalkEnded #1 1001 agent",
        "CallEnded #1 agent 16",
    ],
    "no_answer": [REACHABLE, ARRIVED, RINGING, "OfferEnded #1 1001 no_answer", GONE],
    "no_answer_then_next": [
        REACHABLE,
        "PhoneReachable 1002",
        ARRIVED,
        RINGING,
        "OfferEnded #1 1001 no_answer",
        "OfferRinging #1 1002",
        "OfferAnswered #1 1002",
        "TalkEnded #1 1002 caller",
        "CallEnded #1 caller 16",
    ],
    # 486 at once, 486 and 603 after ringing, 480 at once
    "busy": [REACHABLE, ARRIVED, "OfferEnded #1 1001 refused", GONE],
    "busy_after_ringing": [REACHABLE, ARRIVED, RINGING, "OfferEnded #1 1001 refused", GONE],
    "declined": [REACHABLE, ARRIVED, RINGING, "OfferEnded #1 1001 refused", GONE],
    "unavailable": [REACHABLE, ARRIVED, "OfferEnded #1 1001 refused", GONE],
    # No leg comes into being: the session tells of this one.
    "not_registered": [ARRIVED, "CallEnded #1 caller 3"],
    # Registered, but no answer to the INVITE whatever
    "phone_gone_silent": [REACHABLE, ARRIVED, "OfferEnded #1 1001 unreachable", GONE],
    "gives_up_waiting": [ARRIVED, GONE],
    "gives_up_ringing": [REACHABLE, ARRIVED, RINGING, "OfferEnded #1 1001 caller_gone", GONE],
    # AMI Hangup of the ringing leg with cause 26
    "withdrawn": [REACHABLE, ARRIVED, RINGING, "OfferEnded #1 1001 withdrawn", GONE],
    "answered_without_ringing": [
        REACHABLE,
        ARRIVED,
        RINGING,
        ANSWERED,
        "TalkEnded #1 1001 caller",
        "CallEnded #1 caller 16",
    ],
    "answered_after_183": [
        REACHABLE,
        ARRIVED,
        RINGING,
        ANSWERED,
        "TalkEnded #1 1001 caller",
        "CallEnded #1 caller 16",
    ],
    "feature_code": [REACHABLE, "OwnCallStarted 1001", "OwnCallEnded 1001"],
    "own_call": [
        REACHABLE,
        "PhoneReachable 1002",
        "OwnCallStarted 1001",
        "OwnCallStarted 1002",
        "OwnCallEnded 1001",
        "OwnCallEnded 1002",
    ],
    # Registers, refreshes, moves to another port (no flapping), signs off; the second one stays.
    "registration": [REACHABLE, "PhoneUnreachable 1001", "PhoneReachable 1002"],
    "released": [ARRIVED, "CallEnded #1 system 16"],
    "released_while_ringing": [
        REACHABLE,
        ARRIVED,
        RINGING,
        "OfferEnded #1 1001 caller_gone",
        "CallEnded #1 system",
    ],
    # AMI Hangup of the agent's leg, of the caller's channel
    "talk_cut": [
        REACHABLE,
        ARRIVED,
        RINGING,
        ANSWERED,
        "TalkEnded #1 1001 system",
        "CallEnded #1 system 16",
    ],
    "caller_cut": [
        REACHABLE,
        ARRIVED,
        RINGING,
        ANSWERED,
        "TalkEnded #1 1001 system",
        "CallEnded #1 system 16",
    ],
    # The controller is away; the fallback queue rings everybody.
    "fallback_queue": [
        REACHABLE,
        "PhoneReachable 1002",
        ARRIVED,
        "CallOverflowed #1",
        RINGING,
        "OfferRinging #1 1002",
        "OfferAnswered #1 1002",
        "OfferEnded #1 1001 withdrawn",
        "TalkEnded #1 1002 caller",
        GONE,
    ],
    "fallback_no_answer": [
        REACHABLE,
        ARRIVED,
        "CallOverflowed #1",
        RINGING,
        "OfferEnded #1 1001 no_answer",
        RINGING,
        "OfferEnded #1 1001 caller_gone",
        GONE,
    ],
    "recalled": [ARRIVED, "CallOverflowed #1", GONE],
    # Hold, a call to a colleague, REFER with Replaces on the citizen's leg; then the citizen hangs up.
    "attended_transfer": [
        ARRIVED,
        RINGING,
        ANSWERED,
        "TalkHeld #1 1001",
        "OwnCallStarted 1001",
        "OwnCallStarted 1002",
        "TalkResumed #1 1001",
        "CallTransferred #1 1001 1002 True",
        "OfferAnswered #1 1002",
        "OwnCallEnded 1002",
        "TalkEnded #1 1001 system",
        "OwnCallEnded 1001",
        "TalkEnded #1 1002 caller",
        "CallEnded #1 caller 16",
    ],
    # The same with the REFER on the colleague's leg; then the colleague hangs up.
    "attended_transfer_other_way": [
        "OwnCallStarted 1002",
        "OwnCallEnded 1002",
        ARRIVED,
        RINGING,
        ANSWERED,
        "OwnCallStarted 1001",
        "OwnCallStarted 1002",
        "TalkHeld #1 1001",
        "TalkResumed #1 1001",
        "CallTransferred #1 1001 1002 True",
        "OfferAnswered #1 1002",
        "OwnCallEnded 1002",
        "TalkEnded #1 1001 system",
        "OwnCallEnded 1001",
        "TalkEnded #1 1002 agent",
        "CallEnded #1 agent 16",
    ],
    # REFER: the citizen's channel comes back to the controller, whose session tells of that.
    "blind_transfer": [
        ARRIVED,
        RINGING,
        ANSWERED,
        "OwnCallStarted 1002",
        "OwnCallEnded 1002",
        "TalkEnded #1 1001 system",
        "OfferRinging #1 1002",
        "OfferAnswered #1 1002",
        "TalkEnded #1 1002 caller",
        "CallEnded #1 caller 16",
    ],
    # From: <sip:1%0d%0a%0d%0aEvent%3a%20Hangup%0d%0aUniqueid%3a%20hotline-1.1@…>
    "line_breaks_in_number": [
        REACHABLE,
        "CallArrived #1 12345 1",
        RINGING,
        ANSWERED,
        "TalkEnded #1 1001 caller",
        "CallEnded #1 caller 16",
    ],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shape(shape: str) -> None:
    calls = Calls(NUMBERS)
    assert told(folded(recorded(shape), calls)) == SHAPES[shape]
    assert calls.channels() == set()


def test_every_recording_is_tried() -> None:
    assert {path.stem for path in RECORDED.glob("*.jsonl")} == SHAPES.keys() | {"snapshot"}


def test_times_are_those_of_the_events() -> None:
    stream = recorded("answered_caller_hangs_up")
    at = [microseconds(message["Timestamp"]) for message in stream]
    facts = folded(stream)
    assert [fact.at for fact in facts] == [at[0], at[1], at[4], at[5], at[7], at[7]]


def test_a_phone_that_never_said_180_rang_when_it_was_answered() -> None:
    ring, answer = [
        fact
        for fact in folded(recorded("answered_without_ringing"))
        if isinstance(fact, OfferRinging | OfferAnswered)
    ]
    assert ring.at == answer.at


def test_183_is_ringing_too() -> None:
    ring, answer = [
        fact
        for fact in folded(recorded("answered_after_183"))
        if isinstance(fact, OfferRinging | OfferAnswered)
    ]
    assert answer.at - ring.at > 300_000


@pytest.mark.parametrize(
    ("shape", "told_by"),
    [("answered_caller_hangs_up", "Newstate"), ("gives_up_waiting", "HangupRequest")],
)
def test_the_number_is_the_one_that_the_dialplan_has_left(shape: str, told_by: str) -> None:
    """Asterisk's first event has the number of a caller who withholds it; later ones have none."""
    messages = recorded(shape)
    citizen = [m for m in messages if m.get("Channel", "").startswith("PJSIP/trunk")]
    assert citizen[0]["Event"] == "Newchannel"
    if told_by != "Newstate":
        messages = [m for m in messages if m not in citizen or m["Event"] != "Newstate"]
    cleaned = [
        m if m is citizen[0] or m not in citizen else {**m, "CallerIDNum": ""} for m in messages
    ]
    arrived = [fact for fact in folded(cleaned) if isinstance(fact, CallArrived)]
    assert [fact.caller for fact in arrived] == [""]
    assert arrived[0].at == microseconds(citizen[0]["Timestamp"])


def test_an_arrival_is_told_even_when_the_call_was_never_answered() -> None:
    (arrival,) = [m for m in recorded("gives_up_waiting") if m["Event"] == "Newchannel"]
    calls = Calls(NUMBERS)
    assert calls.read(arrival) == []
    assert told(calls.snapshot([], [], 1).facts) == ["CallArrived #1 12345", "CallEnded #1 system"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ("hotline-1.1", "5")),
        ({"Digit": "#"}, ("hotline-1.1", "#")),
        ({"Direction": "Sent"}, None),
        ({"Channel": "PJSIP/1001-00000001"}, None),
        ({"Event": "DTMFBegin"}, None),
        ({"Digit": ""}, None),
        ({"Digit": "55"}, None),
        ({"Uniqueid": ""}, None),
        ({"Timestamp": ""}, None),
    ],
)
def test_keys_of_citizens(changed: dict[str, str], expected: tuple[str, str] | None) -> None:
    message = {
        "Event": "DTMFEnd",
        "Privilege": "dtmf,all",
        "Timestamp": "1795296437.939895",
        "Channel": "PJSIP/trunk-00000001",
        "Uniqueid": "hotline-1.1",
        "Digit": "5",
        "Direction": "Received",
    }
    assert pressed({**message, **changed}) == expected
    assert Calls(NUMBERS).read({**message, **changed}) == []


def test_a_caller_who_hangs_up_is_gone_at_once() -> None:
    """The caller's channel lives on until the dialplan notices; the floor must not wait for that."""
    stream = recorded("gives_up_waiting")
    request = next(message for message in stream if message["Event"] == "HangupRequest")
    (ended,) = [fact for fact in folded(stream) if isinstance(fact, CallEnded)]
    assert ended.at == microseconds(request["Timestamp"])


def joined_early() -> list[Message]:
    """The recorded attended transfer, told by Asterisk as one to a colleague whose phone still rings."""
    messages = recorded("attended_transfer")
    at = next(n for n, one in enumerate(messages) if one["Event"] == "AttendedTransfer")
    told = {name: value for name, value in messages[at].items() if "TransferTarget" not in name}
    return [*messages[:at], told | {"DestType": "App", "DestApp": "Dial"}]


def test_an_attended_transfer_to_a_colleague_who_still_rings() -> None:
    calls = Calls(NUMBERS)
    *before, early = joined_early()
    known = folded(before, calls)
    arrived = next(fact for fact in known if isinstance(fact, CallArrived))
    (rings,) = {
        one["Channel"] for one in before if one.get("Channel", "").startswith("PJSIP/1002-")
    }
    assert calls.joined_early(early) == Early(arrived.call, "1002", rings)
    assert folded([early], calls) == []
    for other in (
        {**early, "Event": "BlindTransfer"},
        {**early, "DestType": "Bridge"},
        {**early, "SecondTransfererUniqueid": "hotline-9.9"},
        {**early, "TransfereeUniqueid": "hotline-9.9"},
        {**early, "TransfereeChannel": "PJSIP/1002-00000001"},
        {"Event": "AttendedTransfer", "DestType": "App"},
    ):
        assert calls.joined_early(other) is None


def test_a_leg_on_its_way_when_the_caller_leaves() -> None:
    """CallEnded comes once, and the leg's end with it so that the agent is free; no ring for a call that is over."""
    stream = recorded("gives_up_ringing")
    request = next(message for message in stream if message["Event"] == "HangupRequest")
    rest = [message for message in stream if message is not request]
    facts = folded([*rest[:3], request, *rest[3:]])
    assert told(facts)[-2:] == [GONE, "OfferEnded #1 1001 caller_gone"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1763731200.123456", 1763731200123456),
        ("1763731200.000001", 1763731200000001),
        ("9999999999.999999", 9999999999999999),
        ("1763731200", 0),
        ("1763731200.12345", 0),
        ("", 0),
        ("1763731200,123456", 0),
        ("176373120x.123456", 0),
        ("١٧٦٣٧٣١٢٠٠.123456", 0),
    ],
)
def test_microseconds(text: str, expected: int) -> None:
    assert microseconds(text) == expected


# --- registrations


def contact(status: str, uri: str, at: int = 0, agent: str = "1001") -> Message:
    return {
        "Event": "ContactStatus",
        "Privilege": "system,all",
        "Timestamp": f"{1763731200 + at}.000000",
        "URI": uri,
        "ContactStatus": status,
        "EndpointName": agent,
    }


def test_whose_phone_an_address_is() -> None:
    calls = Calls(NUMBERS)
    calls.read(contact("Reachable", "sip:1001-0x7f@127.0.0.1:5070;ob"))
    calls.read(contact("Reachable", "sip:1002@[2001:db8::7]:5060", agent="1002"))
    assert calls.agent_of("sip:1001-0x7f@127.0.0.1:5070;transport=udp;ob") == "1001"
    assert calls.agent_of("sip:1002@[2001:db8::7]:5060") == "1002"
    assert calls.agent_of("sip:1001-0x7f@127.0.0.1:507") == calls.agent_of("") == ""
    calls.read(contact("Unreachable", "sip:1001-0x7f@127.0.0.1:5070;ob"))
    assert calls.agent_of("sip:1001-0x7f@127.0.0.1:5070") == ""


def test_a_phone_that_still_holds_a_talk_is_on_a_call_of_its_own() -> None:
    calls = Calls(NUMBERS)
    assert calls.keeps("one", "1001", 1) == [OwnCallStarted(1, "1001")]
    assert calls.keeps("two", "1001", 2) == []
    assert calls.lets_go("one", 3) == calls.lets_go("never", 3) == []
    assert calls.lets_go("two", 4) == [OwnCallEnded(4, "1001")]
    assert calls.lets_go("two", 5) == []


def test_a_phone_is_reachable_while_any_contact_is() -> None:
    calls = Calls(NUMBERS)
    stream = [
        contact("NonQualified", "sip:a"),
        contact("Reachable", "sip:a"),
        contact("Updated", "sip:a"),
        contact("Reachable", "sip:b"),
        contact("Unreachable", "sip:a"),
        contact("Unknown", "sip:c"),
        contact("Removed", "sip:c"),
        contact("Removed", "sip:b"),
        contact("Removed", "sip:b"),
        contact("Reachable", "sip:a"),
    ]
    assert told(folded(stream, calls)) == [REACHABLE, "PhoneUnreachable 1001", REACHABLE]


def test_the_trunks_contact_is_nobodys_phone() -> None:
    assert folded([contact("Reachable", "sip:a", agent="trunk")]) == []


# --- the snapshot


def lists() -> tuple[list[Message], list[Message]]:
    entries = recorded("snapshot")
    channels = [entry for entry in entries if entry["Event"] == "Status"]
    return channels, [entry for entry in entries if entry["Event"] == "ContactList"]


def after_snapshot() -> list[Message]:
    return [entry for entry in recorded("snapshot") if "Timestamp" in entry]


NOW = max(
    microseconds(entry["Timestamp"]) for entry in recorded("snapshot") if "Timestamp" in entry
)


def started(now: int = NOW) -> tuple[Calls, AsteriskState]:
    calls = Calls(NUMBERS)
    return calls, calls.snapshot(*lists(), now)


def test_a_start_finds_everything() -> None:
    _, snapshot = started()
    assert sorted(told(snapshot.facts)) == sorted(
        [
            "CallArrived #1 12345",
            "CallArrived #2 12345 +8613900000002",
            "CallArrived #3 12345 +8613900000001",
            "CallArrived #4 8890 +8613900000003",
            "OfferRinging #2 1002 True",
            "OfferRinging #3 1001 True",
            "OfferAnswered #3 1001",
            "OwnCallStarted 1003",
            "PhoneReachable 1001",
            "PhoneReachable 1002",
            "PhoneReachable 1003",
        ]
    )
    assert [(place.queue, place.application) for place in snapshot.waiting] == [("main", "AGI")]
    assert snapshot.waiting[0].queued_at > NOW - 10_000_000
    assert [agent for _, agent in snapshot.ringing] == ["1002"]
    assert [agent for _, agent in snapshot.talking] == ["1001"]
    assert len(snapshot.alive) == 4


def test_the_arrival_is_the_time_kept_in_the_channel() -> None:
    _, snapshot = started()
    arrived = {fact.caller: fact.at for fact in snapshot.facts if isinstance(fact, CallArrived)}
    kept = {
        entry["CallerIDNum"]: line.removeprefix("HL_ARRIVED=")
        for entry in lists()[0]
        for line in entry["Variable"].split("\n")
        if line.startswith("HL_ARRIVED=1")
    }
    assert len(kept) == 3
    for number, at in kept.items():
        assert arrived[f"+86{number}"] == int(at)


def test_the_same_snapshot_again_is_no_news() -> None:
    calls, first = started()
    again = calls.snapshot(*lists(), NOW + 1)
    assert again.facts == ()
    assert (again.waiting, again.ringing, again.talking) == (
        first.waiting,
        first.ringing,
        first.talking,
    )


def test_after_a_snapshot_the_stream_goes_on() -> None:
    calls, _ = started()
    assert Counter(type(fact) for fact in folded(after_snapshot(), calls)) == Counter(
        {CallEnded: 4, TalkEnded: 1, OfferEnded: 1, type(folded(recorded("feature_code"))[-1]): 1}
    )
    assert calls.channels() == set()


def test_what_is_gone_from_the_list_has_ended() -> None:
    calls, _ = started()
    facts = calls.snapshot([], [], NOW).facts
    assert [type(fact) for fact in facts].count(CallEnded) == 4
    assert "TalkEnded #1 1001 system" in told(fact for fact in facts if isinstance(fact, TalkEnded))
    assert calls.channels() == set()
    assert calls.snapshot([], [], NOW).facts == ()


def test_what_began_after_the_question_is_not_missed_in_the_answer() -> None:
    calls = Calls(NUMBERS)
    before = calls.channels()
    folded(recorded("answered_caller_hangs_up")[1:5], calls)
    assert calls.snapshot([], [], NOW, before).facts == ()
    assert len(calls.channels()) == 2


def test_what_has_ended_is_not_brought_back_by_an_older_list() -> None:
    calls, _ = started()
    folded(after_snapshot(), calls)
    assert [type(fact) for fact in calls.snapshot(lists()[0], [], NOW).facts].count(
        CallArrived
    ) == 0
    assert calls.channels() == set()


def test_callers_in_the_fallback_queue_are_found() -> None:
    entry = dict(lists()[0][0])
    entry |= {
        "Channel": "PJSIP/trunk-00000001",
        "Uniqueid": "hotline-1.1",
        "Linkedid": "hotline-1.1",
        "Context": "hotline-call",
        "ChannelState": "6",
        "Application": "Queue",
        "Variable": "HL_NUMBER=12345\nHL_QUEUED=(null)\nHL_QUEUE=(null)",
    }
    snapshot = Calls(NUMBERS).snapshot([entry], [], NOW)
    assert snapshot.waiting == (Waiting("hotline-1.1", "", 0, "Queue"),)


def test_a_variable_smuggled_in_by_a_number_does_not_count() -> None:
    entry = dict(lists()[0][0])
    entry |= {
        "Channel": "PJSIP/trunk-00000001",
        "Uniqueid": "hotline-1.1",
        "Linkedid": "hotline-1.1",
        "Context": "hotline-call",
        "Application": "AGI",
        "Variable": "HL_QUEUED=1\nHL_NUMBER=12345\nHL_QUEUED=(null)",
    }
    assert Calls(NUMBERS).snapshot([entry], [], NOW).waiting == ()


# --- whatever comes


MESSAGES = [message for shape in SHAPES for message in recorded(shape)]
BROKEN = st.dictionaries(
    st.sampled_from(
        ["Event", "Timestamp", "Privilege", "Channel", "Uniqueid", "Linkedid", "Context", "Exten"]
    ),
    st.sampled_from(
        [
            "",
            "Newchannel",
            "Hangup",
            "1763731200.000000",
            "PJSIP/trunk-1",
            "PJSIP/",
            "-",
            "12345",
            "inbound",
        ]
    ),
)


def holds(facts: list[Fact]) -> None:
    """No call ends twice, and no agent's leg ends that was not there, or twice."""
    ends = Counter(fact.call for fact in facts if isinstance(fact, CallEnded))
    assert not [call for call, count in ends.items() if count > 1]
    arrivals = Counter(fact.call for fact in facts if isinstance(fact, CallArrived))
    assert not [call for call, count in arrivals.items() if count > 1]
    talks: Counter[tuple[str, str]] = Counter()
    for fact in facts:
        if isinstance(fact, OfferAnswered):
            talks[fact.call, fact.agent] += 1
        elif isinstance(fact, TalkEnded):
            talks[fact.call, fact.agent] -= 1
        assert all(count >= 0 for count in talks.values())


@settings(max_examples=200)
@given(st.data())
def test_any_order_repetition_or_loss_does_no_harm(data: st.DataObject) -> None:
    picked = data.draw(st.lists(st.sampled_from(MESSAGES), max_size=80))
    calls = Calls(NUMBERS)
    facts = folded(picked, calls)
    # In the end everything hangs up, or a snapshot says that nothing is left.
    facts += folded([message for message in MESSAGES if message["Event"] == "Hangup"], calls)
    facts += calls.snapshot([], [], NOW).facts
    holds(facts)
    assert calls.channels() == set()
    assert not calls._legs


@settings(max_examples=200)
@given(st.sampled_from(list(SHAPES)), st.data())
def test_a_lost_or_doubled_event_costs_only_its_own_news(shape: str, data: st.DataObject) -> None:
    stream = recorded(shape)
    kept = [
        message for message in stream for _ in range(data.draw(st.sampled_from([1, 1, 1, 0, 2])))
    ]
    calls = Calls(NUMBERS)
    facts = folded(kept, calls)
    facts += calls.snapshot([], [], NOW).facts
    holds(facts)
    assert calls.channels() == set()


@given(st.lists(BROKEN, max_size=10))
def test_broken_messages_do_no_harm(messages: list[Message]) -> None:
    calls = Calls(NUMBERS)
    folded(messages, calls)
    calls.snapshot(messages, messages, NOW)


def test_repeating_every_event_changes_nothing() -> None:
    for shape, expected in SHAPES.items():
        doubled = [message for message in recorded(shape) for _ in range(2)]
        assert told(folded(doubled)) == expected, shape


def test_events_of_others_under_a_known_uniqueid_do_not_count() -> None:
    """A caller may write another call's Uniqueid into events of their own channel, but not its channel's name."""
    calls = Calls(NUMBERS)
    stream = recorded("answered_caller_hangs_up")
    folded(stream[:6], calls)
    for victim in stream[6:]:
        forged = {**victim, "Channel": "PJSIP/trunk-0000ffff"}
        assert calls.read(forged) == []
    assert told(folded(stream[6:], calls)) == ["TalkEnded #1 1001 caller", "CallEnded #1 caller 16"]


def test_an_event_without_privilege_is_not_asterisks() -> None:
    calls = Calls(NUMBERS)
    stream = recorded("answered_caller_hangs_up")
    folded(stream[:6], calls)
    end = {key: value for key, value in stream[-1].items() if key != "Privilege"}
    assert calls.read(end) == []


def test_the_whole_stream_again_brings_nothing_back() -> None:
    for shape in SHAPES.keys() - {"registration"}:
        calls = Calls(NUMBERS)
        folded(recorded(shape), calls)
        again = [message for message in recorded(shape) if message["Event"] != "ContactStatus"]
        assert folded(again, calls) == [], shape
        assert calls.channels() == set()


def test_a_leg_that_begins_after_its_call_frees_its_agent() -> None:
    stream = recorded("answered_caller_hangs_up")
    leg = [message for message in stream if message.get("Uniqueid") != message.get("Linkedid")]
    rest = [message for message in stream if message not in leg]
    assert told(folded([*rest, *leg]))[-1] == "CallEnded #1 caller 16"
    unanswered = [message for message in leg if message.get("ChannelState") != "6"]
    ended = {**leg[-1], "ChannelState": "5"}
    calls = Calls(NUMBERS)
    facts = folded([*rest, *unanswered, ended], calls)
    assert told(facts)[-1] == "OfferEnded #1 1001 caller_gone"
    assert calls.channels() == set()


def test_whoever_talks_from_the_fallback_queue_does_not_wait() -> None:
    channels, _ = lists()
    leg = next(entry for entry in channels if entry["Channel"].startswith("PJSIP/1001"))
    caller = next(entry for entry in channels if entry["Uniqueid"] == leg["Linkedid"])
    snapshot = Calls(NUMBERS).snapshot([{**caller, "Application": "Queue"}, leg], [], NOW)
    assert (snapshot.waiting, len(snapshot.talking)) == ((), 1)
