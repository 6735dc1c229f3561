"""Attempts of callbacks, recorded on a real Asterisk 22 → facts: by AMI, and by CEL alone.

`tests/fixtures/callback/SHAPE.jsonl` holds the events as the link delivers them, `SHAPE.csv` Asterisk's own record.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackEnded,
    CallbackRaced,
    CallbackSpared,
    CallEnded,
    CallSentOutside,
    Fact,
    OfferAnswered,
    OfferRinging,
    TalkEnded,
)
from facts.ids import callback_of
from facts.terms import OfferReason, Party
from facts.times import SECOND
from telephony.cel import CelEvent, complete, seen
from telephony.cel_file import read_since
from telephony.channels import Calls, Message
from tests.telephony.test_calls import folded, told

RECORDED = Path(__file__).parents[1] / "fixtures" / "callback"
NUMBERS = ("12345",)

DIALLING, ANSWERED = "CallbackDialling {n} #1 1001", "CallbackAnswered {n} #1 1001"
SHAPES = {
    "reached_citizen_hangs_up": [DIALLING, ANSWERED, "CallbackEnded {n} #1 1001 caller"],
    "reached_agent_hangs_up": [DIALLING, ANSWERED, "CallbackEnded {n} #1 1001 agent"],
    "busy": [DIALLING, "CallbackEnded {n} #1 1001 busy system"],
    "refused": [DIALLING, "CallbackEnded {n} #1 1001 refused system"],
    "unreachable": [DIALLING, "CallbackEnded {n} #1 1001 unreachable system"],
    "no_answer": [DIALLING, "CallbackEnded {n} #1 1001 no_answer system"],
    "agent_hangs_up": [DIALLING, "CallbackEnded {n} #1 1001 agent_hung_up agent"],
    "agent_refuses": ["CallbackEnded {n} #1 1001 agent_refused agent"],
    "agent_no_answer": ["CallbackEnded {n} #1 1001 agent_no_answer system"],
}


def recorded(shape: str) -> list[Message]:
    return [json.loads(line) for line in (RECORDED / f"{shape}.jsonl").read_text().splitlines()]


def attempt_of(shape: str) -> str:
    return next(call for m in recorded(shape) if callback_of(call := m.get("Uniqueid", "")))


def expected(shape: str) -> list[str]:
    number = callback_of(attempt_of(shape))
    return [word.format(n=number) for word in SHAPES[shape]]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_attempt_by_ami(shape: str) -> None:
    calls = Calls(NUMBERS)
    assert told(folded(recorded(shape), calls)) == expected(shape)
    assert calls.channels() == frozenset()


@pytest.mark.parametrize("shape", SHAPES)
def test_no_fact_twice_and_none_for_a_repeated_event(shape: str) -> None:
    twice = [message for message in recorded(shape) for _ in range(2)]
    assert told(folded(twice)) == expected(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_cut_anywhere_the_end_is_told_by_the_lists(shape: str) -> None:
    """The link is lost in the middle, and nothing is there any more when it is back."""
    messages = recorded(shape)
    for cut in range(len(messages)):
        calls = Calls(NUMBERS)
        facts = folded(messages[:cut], calls)
        began = bool(list(calls.attempts()))
        after = calls.snapshot([], [], 2_000_000_000_000_000).facts
        if not began:
            assert not after
            continue
        (ended,) = after
        assert isinstance(ended, CallbackEnded)
        talked = any(isinstance(fact, CallbackAnswered) for fact in facts)
        assert ended.failure == ("" if talked else "lost")


@pytest.mark.parametrize(
    "shape", [shape for shape in SHAPES if shape not in ("agent_refuses", "agent_no_answer")]
)
def test_an_attempt_by_cel_alone(shape: str) -> None:
    reading = read_since(RECORDED / f"{shape}.csv", 0)
    assert reading.garbage == 0
    facts = complete(reading.events, [], numbers=NUMBERS)
    assert told(facts) == expected(shape)
    assert complete(reading.events, facts, numbers=NUMBERS) == []


@pytest.mark.parametrize("kind", [CallbackRaced, CallbackSpared])
def test_an_answer_is_known_as_whatever_the_floor_entered_it(
    kind: type[CallbackRaced | CallbackSpared],
) -> None:
    """After each loss of the link CEL told of the answer again, and each time a race was counted."""
    events = read_since(RECORDED / "reached_citizen_hangs_up.csv", 0).events
    dialling, answered, ended = complete(events, [], numbers=NUMBERS)
    assert isinstance(answered, CallbackAnswered)
    known = [dialling, kind(answered.at, answered.callback, answered.call, answered.agent)]
    assert complete(events, known, numbers=NUMBERS) == [ended]


def test_an_open_attempt_is_no_call_that_vanished() -> None:
    known: list[Fact] = [CallbackAnswered(1, 7, "hotline-c7.1", "1001")]
    assert complete([], known, numbers=NUMBERS, alive=(), now=9) == []


def test_an_agent_who_hangs_up_ends_the_dialling_whoever_is_told_first() -> None:
    """Asterisk may tell the end of the citizen's leg before that of the agent's, who caused it."""
    messages = recorded("agent_hangs_up")
    hangups = [m for m in messages if m["Event"] == "Hangup"]
    others = [m for m in messages if m["Event"] != "Hangup"]
    for order in (hangups, hangups[::-1]):
        (*_, ended) = folded([*others, *order])
        assert ended.failure == "agent_hung_up"  # type: ignore[union-attr]


def test_an_attempt_that_yields_is_withdrawn() -> None:
    facts = folded(recorded("yields"))
    (ended, *_) = [fact for fact in facts if isinstance(fact, CallbackEnded)]
    assert (ended.failure, ended.hung_up_by) == ("withdrawn", Party.SYSTEM)
    rang = next(fact for fact in facts if isinstance(fact, OfferRinging))
    assert rang.at > ended.at, "the agent's old leg was gone before the new one rang"


def kept(cut: int | None = None) -> tuple[Calls, list[Fact], str, str]:
    """The recorded shape, with what `outbound` says at its moment. Gives the attempt and the citizen's call, too."""
    messages = recorded("kept_line")
    attempt = attempt_of("kept_line")
    call = next(m["Uniqueid"] for m in messages if m.get("Exten") == "12345")
    calls = Calls(NUMBERS)
    facts: list[Fact] = []
    for message in messages[:cut]:
        if message["Event"] == "Hangup" and message["Channel"].startswith("PJSIP/outbound"):
            calls.keep_channel(attempt, call)
            calls.keep_channel(attempt, call)
        facts += calls.read(message)
    return calls, facts, attempt, call


def test_a_kept_line_is_a_leg_of_the_citizens_call() -> None:
    calls, facts, attempt, call = kept()
    about = [fact for fact in facts if getattr(fact, "call", "") == call]
    assert [fact.kind for fact in about] == [
        "CallArrived",
        "OfferRinging",
        "OfferAnswered",
        "TalkEnded",
        "CallEnded",
    ]
    assert not [fact for fact in facts if isinstance(fact, CallbackEnded) and fact.call == attempt]
    talked = next(fact for fact in about if isinstance(fact, TalkEnded))
    assert talked.hung_up_by is Party.CALLER
    assert calls.channels() == frozenset()


def test_who_hangs_up_before_both_are_connected() -> None:
    messages = recorded("kept_line")
    tone = next(n for n, m in enumerate(messages) if m["Event"] == "UserEvent")
    ends = {
        m["Uniqueid"]: m
        for m in messages
        if m["Event"] == "Hangup" and "outbound" not in m["Channel"]
    }
    for who, reason in (("agent", OfferReason.REFUSED), ("caller", OfferReason.CALLER_GONE)):
        calls, _, attempt, call = kept(tone)
        first, second = (attempt, call) if who == "agent" else (call, attempt)
        asks = {**ends[first], "Event": "HangupRequest"}
        assert folded([asks], calls) == []
        facts = folded([ends[first]], calls)
        if who == "caller":
            assert facts == [], "the agent is free when the line is, and not before"
            assert calls.caller_gone(call)
            facts = folded([ends[second]], calls)
            assert isinstance(facts[-1], CallEnded)
        assert facts[0].reason is reason  # type: ignore[union-attr]


def test_after_a_restart_a_kept_line_is_found_in_its_bridge() -> None:
    attempt, call = "hotline-c7.1", "hotline-1795300000.3"
    common = {"ChannelState": "6", "Linkedid": attempt, "BridgeID": "b", "Seconds": "9"}
    listed = [
        {
            **common,
            "Uniqueid": attempt,
            "Channel": "PJSIP/1001-00000001",
            "Context": "inbound-first",
        },
        {
            **common,
            "Uniqueid": call,
            "Channel": "PJSIP/trunk-00000002",
            "Context": "hotline-call",
            "Application": "Bridge",
            "Variable": "HL_NUMBER=12345\nHL_QUEUED=1795300000000000\nHL_QUEUE=default",
        },
    ]
    snapshot = Calls(NUMBERS).snapshot(listed, [], 1_795_300_009_000_000)
    assert snapshot.talking == ((call, "1001"),)
    assert snapshot.attempts == ()
    assert snapshot.waiting == ()
    assert OfferAnswered(1_795_300_009_000_000, call, "1001") in snapshot.facts


def test_after_a_restart_an_answered_attempt_is_known() -> None:
    attempt = "hotline-c7.1"
    listed = [
        {
            "Uniqueid": attempt,
            "Linkedid": attempt,
            "Channel": "PJSIP/1001-00000001",
            "ChannelState": "6",
        },
        {
            "Uniqueid": "hotline-1.2",
            "Linkedid": attempt,
            "Channel": "PJSIP/outbound-00000002",
            "ChannelState": "6",
        },
    ]
    calls = Calls(NUMBERS)
    snapshot = calls.snapshot(listed, [], 9)
    assert told(snapshot.facts) == ["CallbackDialling 7 #1 1001", "CallbackAnswered 7 #1 1001"]
    (found,) = snapshot.attempts
    assert (found.callback, found.picked_up, found.answered) == (7, True, True)
    assert calls.snapshot(listed, [], 10).facts == ()


# --- an agent hands a called-back citizen on

HANDED_ON = {
    "handed_on_blind": [
        "CallArrived #2  +8613900000095",
        "OfferRinging #2 1003",
        "OfferAnswered #2 1003",
        "TalkEnded #2 1003 caller",
        "CallEnded #2 caller 16",
    ],
    "handed_on_attended": [
        "CallArrived #2  ",
        "CallTransferred #2 1001 1003 True",
        "OfferAnswered #2 1003",
        "TalkEnded #2 1003 caller",
        "CallEnded #2 caller 16",
    ],
    "handed_on_outside": [
        "CallArrived #2  +8613900000095",
        "CallSentOutside #2 True",
        "CallEnded #2 caller 16",
    ],
}
# The agent's phone has sent the REFER on its other leg.
HANDED_ON["handed_on_other"] = HANDED_ON["handed_on_attended"]


def of_the_citizen(facts: list[Fact]) -> list[Fact]:
    (call,) = {fact.call for fact in facts if isinstance(fact, CallArrived)}
    return [fact for fact in facts if getattr(fact, "call", "") == call]


def outline(facts: list[Fact]) -> list[str]:
    """The kinds of fact, with the agent."""
    return [f"{fact.kind} {getattr(fact, 'agent', '')}".strip() for fact in facts]


@pytest.mark.parametrize("shape", HANDED_ON)
def test_a_citizen_who_is_handed_on_is_a_call_of_their_own(shape: str) -> None:
    calls = Calls(NUMBERS)
    facts = folded(recorded(shape), calls)
    attempt = attempt_of(shape)
    assert [type(fact) for fact in facts if getattr(fact, "call", "") == attempt][-1] is (
        CallbackEnded
    )
    (ended,) = [fact for fact in facts if isinstance(fact, CallbackEnded)]
    assert (ended.call, ended.failure) == (attempt, "")
    arrived, *_ = mine = of_the_citizen(facts)
    assert isinstance(arrived, CallArrived)
    assert (arrived.origin, arrived.number) == (attempt, "")
    assert arrived.queue in ("", "default")
    assert [line.split()[0] for line in HANDED_ON[shape]] == [fact.kind for fact in mine]
    agents = {getattr(fact, "agent", "") for fact in mine} - {"", "1001"}
    assert agents <= {"1003"}
    last = mine[-1]
    assert isinstance(last, CallEnded)
    assert last.hung_up_by is Party.CALLER
    assert calls.channels() == frozenset()


@pytest.mark.parametrize("shape", HANDED_ON)
def test_handed_on_whichever_of_the_two_ends_is_told_first(shape: str) -> None:
    """The agent's Hangup comes before or after the dialplan's word for it."""
    messages = recorded(shape)
    attempt = attempt_of(shape)
    end = next(
        n for n, m in enumerate(messages) if m["Event"] == "Hangup" and m["Uniqueid"] == attempt
    )
    word = next(
        n
        for n, m in enumerate(messages)
        if m["Event"] == "AttendedTransfer" or m.get("UserEvent") == "HotlineHandedOn"
    )
    other = [*messages]
    other[end], other[word] = other[word], other[end]
    usual = of_the_citizen(folded(messages))
    assert of_the_citizen(folded(other)) == usual
    twice = [message for message in messages for _ in range(2)]
    assert of_the_citizen(folded(twice)) == usual


def of_three(message: Message) -> Message:
    """As Asterisk tells it of a talk of three: it does not name the citizen."""
    for end in ("Transferee", "TransferTarget"):
        if message.get(f"{end}Channel", "").startswith("PJSIP/outbound-"):
            return {name: value for name, value in message.items() if not name.startswith(end)}
    return message


def cel_of_three(event: CelEvent) -> CelEvent:
    if event.kind != "ATTENDEDTRANSFER":
        return event
    told = json.loads(event.extra)
    for end in ("transferee", "transfer_target"):
        if str(told.get(f"{end}_channel_name")).startswith("PJSIP/outbound-"):
            told |= {f"{end}_channel_name": "N/A", f"{end}_channel_uniqueid": "N/A"}
            return replace(event, extra=json.dumps(told))
    return event


@pytest.mark.parametrize("shape", ["handed_on_attended", "handed_on_other"])
def test_handed_on_out_of_a_talk_of_three(shape: str) -> None:
    messages = recorded(shape)
    assert folded([of_three(message) for message in messages]) == folded(messages)
    events = read_since(RECORDED / f"{shape}.csv", 0).events
    unnamed = [cel_of_three(event) for event in events]
    assert unnamed != list(events)
    known, found = (complete(read, [], numbers=NUMBERS) for read in (events, unnamed))
    assert outline(of_the_citizen(found)) == outline(of_the_citizen(known))


@pytest.mark.parametrize("shape", HANDED_ON)
def test_handed_on_by_cel_alone(shape: str) -> None:
    reading = read_since(RECORDED / f"{shape}.csv", 0)
    assert reading.garbage == 0
    facts = complete(reading.events, [], numbers=NUMBERS)
    told_by_ami = folded(recorded(shape))
    mine, theirs = of_the_citizen(facts), of_the_citizen(told_by_ami)
    if shape == "handed_on_outside":
        # CEL is not asked who answers outside.
        theirs = [fact for fact in theirs if not isinstance(fact, CallSentOutside)]
    assert outline(mine) == outline(theirs)
    assert all(
        abs(one.at - other.at) < SECOND // 20
        for one, other in zip(mine, theirs, strict=True)
        if not getattr(one, "estimated", False)
    )
    (ended,) = [fact for fact in facts if isinstance(fact, CallbackEnded)]
    (answered,) = [fact for fact in facts if isinstance(fact, CallbackAnswered)]
    assert (ended.call, answered.call) == (attempt_of(shape),) * 2
    assert answered.at < mine[0].at
    assert complete(reading.events, facts, numbers=NUMBERS) == []
    call = mine[0].call  # type: ignore[union-attr]
    one = seen(reading.events, NUMBERS)[call]
    assert one.arrived == mine[0].at
    assert abs(one.ended - mine[-1].at) < SECOND // 20
    assert bool(one.answers) == any(isinstance(fact, OfferAnswered) for fact in mine)


@pytest.mark.parametrize("shape", HANDED_ON)
def test_after_a_restart_one_who_was_handed_on_is_found(shape: str) -> None:
    lines = (RECORDED / f"{shape}_status.jsonl").read_text().splitlines()
    listed = [json.loads(line) for line in lines]
    calls = Calls(NUMBERS)
    found = calls.snapshot(listed, [], 2_000_000_000_000_000)
    call = next(
        entry["Uniqueid"] for entry in listed if "HL_ATTEMPT=hotline-c" in entry["Variable"]
    )
    assert found.alive == {call}
    assert found.attempts == ()
    arrived = found.facts[0]
    assert isinstance(arrived, CallArrived)
    assert (arrived.call, arrived.origin, arrived.queue) == (call, "hotline-c1.1", "default")
    if shape == "handed_on_outside":
        assert CallSentOutside(2_000_000_000_000_000, call, "", answered=True) in found.facts
    else:
        assert found.talking == ((call, "1003"),)
    assert found.waiting == ()
    assert calls.snapshot(listed, [], 2_000_000_000_000_001).facts == ()
    # What comes from here on becomes facts as ever.
    (ended,) = [fact for fact in folded(recorded(shape)[-4:], calls) if isinstance(fact, CallEnded)]
    assert ended.call == call


def test_after_a_restart_a_citizen_who_goes_with_the_agent_was_not_handed_on() -> None:
    """Asterisk hangs up the agent's channel first, and the citizen's some milliseconds later."""
    attempt = "hotline-c7.1"
    left = {
        "Uniqueid": "hotline-1.2",
        "Linkedid": attempt,
        "Channel": "PJSIP/outbound-00000002",
        "ChannelState": "6",
        "Context": "nothing",
        "BridgeID": "",
        "Variable": f"HL_ATTEMPT={attempt}\nHL_QUEUE=default",
    }
    assert Calls(NUMBERS).snapshot([left], [], 9).facts == ()
    talks_outside = {**left, "BridgeID": "b", "Variable": "HL_ATTEMPT=(null)"}
    assert Calls(NUMBERS).snapshot([talks_outside], [], 9).facts == ()


def test_who_is_no_citizen_of_a_callback_is_not_handed_on() -> None:
    """Whoever hung up before the word came, or talks to an outside number, stays what they were."""
    messages = recorded("handed_on_blind")
    word = next(m for m in messages if m.get("UserEvent") == "HotlineHandedOn")
    before = [m for m in messages if m["Timestamp"] < word["Timestamp"]]
    gone = {**next(m for m in messages if m["Event"] == "Hangup"), "Uniqueid": word["Uniqueid"]}
    calls = Calls(NUMBERS)
    folded([*before, {**gone, "Channel": word["Channel"]}], calls)
    assert folded([word], calls) == []
    assert calls.channels() == frozenset()


def test_a_kept_lines_citizen_is_handed_on_as_any_other() -> None:
    """The citizen's Linkedid is that of the attempt which yielded, and so are those of the next agent's legs."""
    calls, _, attempt, call = kept(-2)
    leg = {
        "Event": "Newchannel",
        "Privilege": "call,all",
        "Timestamp": "1999999999.000000",
        "Channel": "PJSIP/1002-000000aa",
        "Uniqueid": "hotline-1999999999.9",
        "Linkedid": attempt,
        "ChannelState": "0",
    }
    rings = {**leg, "Event": "Newstate", "ChannelState": "5"}
    (ringing,) = folded([leg, rings], calls)
    assert isinstance(ringing, OfferRinging)
    assert (ringing.call, ringing.agent) == (call, "1002")


def test_an_outside_number_that_answers() -> None:
    facts = folded(recorded("outside"))
    assert told(facts) == [
        "CallArrived #1 12345 +8613900000001",
        "CallSentOutside #1 True",
        "CallEnded #1 agent 16",
    ]


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("hotline-c7.1", 7),
        ("n1-c12.34", 12),
        ("hotline-1763731200.17", 0),
        ("hotline-c.1", 0),
        ("", 0),
    ],
)
def test_the_number_of_a_callback_is_in_its_attempts_names(call: str, number: int) -> None:
    assert callback_of(call) == number


def test_an_answer_that_our_cancel_cuts_is_no_talk() -> None:
    """A pause meets the answer: as AMI told of a talk until it began, and then of an attempt that was cancelled."""
    begun = recorded("reached_agent_hangs_up")[:7]
    number = callback_of(attempt_of("reached_agent_hangs_up"))
    cut = [
        {**message, "Cause": "26"}
        for message in recorded("reached_agent_hangs_up")[7:]
        if message["Event"] == "Hangup"
    ]
    assert told(folded([*begun, *cut])) == [
        DIALLING.format(n=number),
        ANSWERED.format(n=number),
        f"CallbackEnded {number} #1 1001 withdrawn system",
    ]
    record = [
        replace(event, extra='{"hangupcause":26,"hangupsource":""}')
        if event.kind == "HANGUP"
        else event
        for event in read_since(RECORDED / "reached_agent_hangs_up.csv", 0).events
    ]
    (ended,) = [
        fact for fact in complete(record, [], numbers=NUMBERS) if type(fact) is CallbackEnded
    ]
    assert ended.failure == "withdrawn"
