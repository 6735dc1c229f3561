"""What a question after a lost connection finds, entry by entry: who exists, waits, rings, talks, and who is gone."""

from typing import Any

import pytest

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallEnded,
    CallSentOutside,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from telephony.channels import Calls, LiveAttempt, Message, Waiting, microseconds
from tests.telephony.test_calls import NUMBERS, folded
from tests.telephony.test_channels_ends import (
    AGENT,
    ATTEMPT,
    CALL,
    CALLER,
    CHANNELS,
    LEG,
    OUT,
    OUTSIDE,
    arrives,
    begins,
    ends,
    is_up,
    rings,
)

NOW = 1_800_000_000_000_000


def entry(uniqueid: str, linkedid: str = CALL, state: str = "6", **more: str) -> Message:
    return {
        "Uniqueid": uniqueid,
        "Linkedid": linkedid,
        "Channel": CHANNELS[uniqueid],
        "ChannelState": state,
        "Seconds": "7",
        **more,
    }


def caller(*variables: str, **more: str) -> Message:
    return entry(
        CALL,
        Context="hotline-call",
        CallerIDNum="13800138000",
        Variable="\n".join(["HL_NUMBER=12345", "HL_ARRIVED=5", *variables]),
        **more,
    )


ARRIVED = CallArrived(5, CALL, "12345", "+8613800138000")
STARTED = NOW - 7 * SECOND


def found(*entries: Message, calls: Calls | None = None, now: int = NOW) -> tuple[Fact, ...]:
    return (calls or Calls(NUMBERS)).snapshot(entries, [], now).facts


def place(*entries: Message) -> tuple[Waiting, ...]:
    return Calls(NUMBERS).snapshot(entries, [], NOW).waiting


# --- an agent's leg


def test_a_citizen_whose_linkedid_has_changed_is_found_with_their_leg() -> None:
    citizen, leg = {**caller(), "Linkedid": OUT}, entry(LEG, OUT, state="6")
    answered = OfferAnswered(NOW, CALL, "1001")
    assert found(citizen, leg)[0] == ARRIVED
    assert found(citizen, leg)[-1] == answered


@pytest.mark.parametrize(
    ("state", "facts"),
    [
        ("0", ()),
        ("4", ()),
        ("", ()),
        ("5", (OfferRinging(STARTED, CALL, "1001", estimated=True),)),
        (
            "6",
            (
                OfferRinging(STARTED, CALL, "1001", estimated=True),
                OfferAnswered(NOW, CALL, "1001"),
            ),
        ),
    ],
)
def test_a_leg_that_is_found(state: str, facts: tuple[Fact, ...]) -> None:
    calls = Calls(NUMBERS)
    leg = entry(LEG, state=state)
    assert found(caller(), leg, calls=calls) == (ARRIVED, *facts)
    assert found(caller(), leg, calls=calls) == ()
    assert calls.leg_channel(CALL, "1001", answered=state == "6") == AGENT
    assert calls.leg_channel(CALL, "1001", answered=state != "6") == ""
    assert calls.leg_channel(CALL, "1002", answered=state == "6") == ""
    assert calls.leg_channel(OUT, "1001", answered=state == "6") == ""
    assert calls.caller_channel(CALL) == CALLER


def test_a_leg_that_was_known_to_ring_has_been_answered_meanwhile() -> None:
    calls = Calls(NUMBERS)
    folded([arrives(), begins(LEG), rings(LEG)], calls)
    assert found(caller(), entry(LEG), calls=calls) == (OfferAnswered(NOW, CALL, "1001"),)


def test_what_rings_and_what_talks() -> None:
    other = {**entry("hotline-1.2", state="5"), "Uniqueid": "hotline-1.4"}
    other["Channel"] = "PJSIP/1002-00000004"
    state = Calls(NUMBERS).snapshot([caller(), entry(LEG), other], [], NOW)
    assert state.ringing == ((CALL, "1002"),)
    assert state.talking == ((CALL, "1001"),)
    assert state.alive == {CALL}


# --- who waits

QUEUED = ("HL_QUEUED=9", "HL_QUEUE=tax")
WAITS = Waiting(CALL, "tax", 9, "AGI")


@pytest.mark.parametrize(
    ("variables", "more", "others", "waits"),
    [
        (QUEUED, {"Application": "AGI"}, (), WAITS),
        (QUEUED, {}, (), Waiting(CALL, "tax", 9, "")),
        (("HL_QUEUED=9",), {"Application": "AGI"}, (), Waiting(CALL, "", 9, "AGI")),
        ((*QUEUED, "HL_DONE=1"), {"Application": "AGI"}, (), None),
        ((*QUEUED, "HL_DONE=0"), {"Application": "AGI"}, (), WAITS),
        ((), {"Application": "AGI"}, (), None),
        ((), {"Application": "Queue"}, (), Waiting(CALL, "", 0, "Queue")),
        (("HL_DONE=1",), {"Application": "Queue"}, (), None),
        # A phone rings for the caller: the session has found an agent, the fallback queue goes on looking for one.
        (QUEUED, {"Application": "AGI"}, (entry(LEG, state="5"),), None),
        ((), {"Application": "Queue"}, (entry(LEG, state="5"),), Waiting(CALL, "", 0, "Queue")),
        ((), {"Application": "Queue"}, (entry(LEG),), None),
        (QUEUED, {"Application": "AGI"}, (entry(OUT, state="5"),), None),
    ],
)
def test_who_waits(
    variables: tuple[str, ...],
    more: dict[str, str],
    others: tuple[Message, ...],
    waits: Waiting | None,
) -> None:
    assert place(caller(*variables, **more), *others) == ((waits,) if waits else ())


def test_a_variable_is_read_whole() -> None:
    waits = caller("HL_QUEUED=9", "HL_QUEUE=a b=c", Application="AGI")
    assert place(waits) == (Waiting(CALL, "a b=c", 9, "AGI"),)


def test_whoever_waits_longest_comes_first_and_then_the_smaller_id() -> None:
    def at(n: int, queued: int) -> Message:
        one = caller(f"HL_QUEUED={queued}", "HL_QUEUE=tax", Application="AGI")
        return {**one, "Uniqueid": f"hotline-1.{n}", "Linkedid": f"hotline-1.{n}"}

    waiting = place(at(4, 7), at(5, 3), at(2, 9), at(3, 3))
    assert [(one.call, one.queued_at) for one in waiting] == [
        ("hotline-1.3", 3),
        ("hotline-1.5", 3),
        ("hotline-1.4", 7),
        ("hotline-1.2", 9),
    ]


def test_a_caller_who_has_hung_up_does_not_wait_while_the_channel_lives() -> None:
    calls = Calls(NUMBERS)
    folded([arrives(), {**ends(CALL), "Event": "HangupRequest"}], calls)
    state = calls.snapshot([caller(*QUEUED, Application="AGI")], [], NOW)
    assert (state.facts, state.waiting, state.alive) == ((), (), frozenset())


# --- what is gone


@pytest.mark.parametrize(
    ("story", "facts"),
    [
        (
            lambda: [arrives(), begins(LEG), is_up(LEG)],
            [TalkEnded(NOW, CALL, "1001", Party.SYSTEM), CallEnded(NOW, CALL, Party.SYSTEM)],
        ),
        (
            lambda: [arrives(), begins(LEG), rings(LEG)],
            [
                OfferEnded(NOW, CALL, "1001", OfferReason.CALLER_GONE),
                CallEnded(NOW, CALL, Party.SYSTEM),
            ],
        ),
        (lambda: [begins(LEG, LEG)], [OwnCallEnded(NOW, "1001")]),
        (
            lambda: [begins(ATTEMPT, ATTEMPT)],
            [CallbackEnded(NOW, 7, ATTEMPT, "1001", "lost", Party.SYSTEM)],
        ),
        (
            lambda: [begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT), is_up(OUT)],
            [CallbackEnded(NOW, 7, ATTEMPT, "1001", "", Party.SYSTEM)],
        ),
        (
            lambda: [arrives(), begins(OUT), is_up(OUT)],
            [CallEnded(NOW, CALL, Party.SYSTEM)],
        ),
    ],
)
def test_what_is_gone_has_ended_now(story: Any, facts: list[Fact]) -> None:
    calls = Calls(NUMBERS)
    messages = story()
    folded(messages, calls)
    assert list(found(calls=calls)) == facts
    assert calls.channels() == frozenset()
    # A late event of the same channels brings nothing back.
    assert folded(messages, calls) == []
    assert calls.channels() == frozenset()


def test_only_what_was_known_before_the_question_can_be_gone() -> None:
    calls = Calls(NUMBERS)
    folded([arrives(), begins(LEG), is_up(LEG)], calls)
    assert calls.snapshot([], [], NOW, before={"hotline-1.9"}).facts == ()
    assert calls.channels() == {CALL, LEG}
    (ended,) = calls.snapshot([caller()], [], NOW, before={CALL, LEG}).facts
    assert ended == TalkEnded(NOW, CALL, "1001", Party.SYSTEM)


# --- own calls


def test_a_call_between_agents_is_found_whichever_is_listed_first() -> None:
    dials = entry(LEG, LEG)
    rung = {**entry(OUT, LEG, state="5"), "Channel": "PJSIP/1002-00000003"}
    for order in ((dials, rung), (rung, dials)):
        calls = Calls(NUMBERS)
        assert set(found(*order, calls=calls)) == {
            OwnCallStarted(NOW, "1001"),
            OwnCallStarted(NOW, "1002"),
        }
        assert calls.channels() == {LEG, OUT}


def test_an_agent_is_on_an_own_call_until_the_last_of_them_ends() -> None:
    second = {"Uniqueid": OUT, "Linkedid": OUT, "Channel": "PJSIP/1001-00000003"}
    calls = Calls(NUMBERS)
    first, again = begins(LEG, LEG), {**begins(LEG), **second}
    assert [type(fact) for fact in folded([first, again], calls)] == [OwnCallStarted]
    assert folded([ends(LEG)], calls) == []
    (ended,) = folded([{**ends(LEG), **second}], calls)
    assert ended == OwnCallEnded(ended.at, "1001")


# --- attempts and citizens outside


def test_an_attempt_that_is_found() -> None:
    agent = entry(ATTEMPT, ATTEMPT, state="5")
    state = Calls(NUMBERS).snapshot([agent], [], NOW)
    assert state.facts == ()
    assert state.attempts == (LiveAttempt(ATTEMPT, 7, "1001", AGENT, rang=True),)
    up = {**agent, "ChannelState": "6"}
    state = Calls(NUMBERS).snapshot([up], [], NOW)
    assert state.attempts == (LiveAttempt(ATTEMPT, 7, "1001", AGENT, picked_up=True),)
    citizen = entry(OUT, ATTEMPT, state="5")
    state = Calls(NUMBERS).snapshot([citizen, up], [], NOW)
    assert state.facts == (CallbackDialling(NOW, 7, ATTEMPT, "1001"),)
    assert state.attempts == (LiveAttempt(ATTEMPT, 7, "1001", AGENT, OUTSIDE, picked_up=True),)


def test_an_attempt_that_was_found_to_ring_was_not_answered() -> None:
    calls = Calls(NUMBERS)
    found(entry(ATTEMPT, ATTEMPT, state="5"), calls=calls)
    # A later list does not take back what was known.
    found(entry(ATTEMPT, ATTEMPT, state="0"), calls=calls)
    (ended,) = folded([ends(ATTEMPT)], calls)
    assert isinstance(ended, CallbackEnded)
    assert ended.failure == "agent_no_answer"
    calls = Calls(NUMBERS)
    found(entry(ATTEMPT, ATTEMPT), calls=calls)
    found(entry(ATTEMPT, ATTEMPT, state="5"), calls=calls)
    (ended,) = folded([ends(ATTEMPT)], calls)
    assert isinstance(ended, CallbackEnded)
    assert ended.failure == "lost"


def test_an_attempt_that_was_found_before_it_rang_has_not_rung() -> None:
    calls = Calls(NUMBERS)
    found(entry(ATTEMPT, ATTEMPT, state="0"), calls=calls)
    (ended,) = folded([ends(ATTEMPT)], calls)
    assert isinstance(ended, CallbackEnded)
    assert ended.failure == "agent_unreachable"


def test_a_citizen_whose_answer_was_missed() -> None:
    calls = Calls(NUMBERS)
    folded([begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT)], calls)
    entries = [entry(ATTEMPT, ATTEMPT), entry(OUT, ATTEMPT)]
    assert found(*entries, calls=calls) == (CallbackAnswered(NOW, 7, ATTEMPT, "1001"),)
    assert found(*entries, calls=calls) == ()


@pytest.mark.parametrize(("state", "answered"), [("5", False), ("6", True)])
def test_an_outside_leg_of_a_citizens_call(state: str, answered: bool) -> None:
    sent = CallSentOutside(NOW, CALL, "", answered=True)
    facts = found(caller(), entry(OUT, state=state))
    assert facts == ((ARRIVED, sent) if answered else (ARRIVED,))


def test_an_outside_leg_without_a_call_is_ignored() -> None:
    calls = Calls(NUMBERS)
    assert found(entry(OUT, "hotline-1.9"), entry(OUT, OUT), calls=calls) == ()
    assert calls.channels() == frozenset()


HANDED_ON = entry(
    OUT,
    ATTEMPT,
    Context="hotline-call",
    CallerIDNum="13800138000",
    Variable=f"HL_ATTEMPT={ATTEMPT}\nHL_ARRIVED=5\nHL_QUEUE=tax\nHL_QUEUED=9",
    Application="AGI",
)


def test_a_citizen_who_was_handed_on() -> None:
    calls = Calls(NUMBERS)
    state = calls.snapshot([HANDED_ON], [], NOW)
    arrived = CallArrived(5, OUT, "", "+8613800138000", ATTEMPT, "tax")
    assert state.facts == (arrived,)
    assert state.waiting == (Waiting(OUT, "tax", 9, "AGI"),)
    assert calls.caller_channel(OUT) == OUTSIDE
    assert found({**HANDED_ON, "DNID": "12345"}, calls=calls) == (), "it has arrived already"
    # A leg of the next agent has the attempt's Linkedid.
    leg = entry(LEG, ATTEMPT, state="5")
    assert found(HANDED_ON, leg, calls=calls) == (
        OfferRinging(STARTED, OUT, "1001", estimated=True),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"Context": "nothing"},
        {"Linkedid": "hotline-1.9"},
        {"Linkedid": OUT},
        {"Linkedid": "hotline-1.9", "Variable": "HL_ATTEMPT=hotline-1.9"},
        {"Variable": "HL_QUEUE=tax"},
        {"Variable": "HL_ATTEMPT=hotline-c8.1"},
        {"Uniqueid": ""},
    ],
)
def test_a_citizen_who_was_not_handed_on(change: dict[str, str]) -> None:
    assert found({**HANDED_ON, **change}) == ()


def test_while_the_agent_is_there_the_citizen_was_not_handed_on() -> None:
    facts = found(HANDED_ON, entry(ATTEMPT, ATTEMPT))
    assert not [fact for fact in facts if isinstance(fact, CallArrived)]


PASSED_ON = (
    "transfer",
    "hotline-transfer",
    "hotline-citizen",
    "hotline-colleague",
    "hotline-agent",
)
"""Where a citizen may be for a while after a transfer (extensions.conf)."""


@pytest.mark.parametrize("context", PASSED_ON)
def test_a_citizen_is_found_wherever_a_transfer_has_led(context: str) -> None:
    """The agent dialled a colleague, heard 操作未成功 since no controller was there, and joined the two all the same.

    Asterisk puts the citizen in the agent's place: for 1.8 s they hear that sentence.
    """
    hears = {**caller(*QUEUED), "Context": context, "Application": "Playback"}
    calls = Calls(NUMBERS)
    state = calls.snapshot([hears], [], NOW)
    assert state.facts == (ARRIVED,)
    assert state.alive == {CALL}
    assert state.waiting == (Waiting(CALL, "tax", 9, "Playback"),)
    assert calls.caller_channel(CALL) == CALLER
    # The same with a citizen who was reached by a callback.
    assert found({**HANDED_ON, "Context": context}) == (
        CallArrived(5, OUT, "", "+8613800138000", ATTEMPT, "tax"),
    )


def test_a_channel_of_the_trunk_elsewhere_is_no_call() -> None:
    assert found({**caller(), "Context": "nothing"}) == ()


def test_a_moment_that_the_channel_does_not_know_is_now() -> None:
    variables = f"HL_ATTEMPT={ATTEMPT}"
    (arrived,) = found({**HANDED_ON, "Variable": variables})
    assert arrived == CallArrived(NOW, OUT, "", "+8613800138000", ATTEMPT, "")


def test_an_arrival_that_was_not_told_yet_is_told_by_the_list() -> None:
    begun = {**arrives(), "ChannelState": "4"}
    calls = Calls(NUMBERS)
    assert folded([begun], calls) == []
    arrived = CallArrived(microseconds(begun["Timestamp"]), CALL, "12345", "+8613800138000")
    assert found(caller(), calls=calls) == (arrived,)
    assert found(caller(), calls=calls) == ()


def test_a_kept_line_that_is_found_rang_at_an_estimated_moment() -> None:
    line = entry(ATTEMPT, ATTEMPT, BridgeID="b")
    citizen = {**caller(BridgeID="b"), "Linkedid": ATTEMPT}
    calls = Calls(NUMBERS)
    facts = (
        ARRIVED,
        OfferRinging(NOW, CALL, "1001", estimated=True),
        OfferAnswered(NOW, CALL, "1001"),
    )
    assert found(citizen, line) == facts, "whichever is listed first"
    assert found(line, citizen, calls=calls) == facts
    # The citizen's later legs have the attempt's Linkedid.
    ring = {**rings(LEG), "Linkedid": ATTEMPT}
    assert folded([ring], calls) == [OfferRinging(microseconds(ring["Timestamp"]), CALL, "1001")]
    apart = {**citizen, "BridgeID": "other"}
    assert found(line, apart) == (ARRIVED,)
    assert found({**line, "BridgeID": ""}, {**citizen, "BridgeID": ""}) == (ARRIVED,)


def test_an_outside_leg_that_is_gone_leaves_no_cause_to_the_caller() -> None:
    calls = Calls(NUMBERS)
    folded([arrives(), begins(OUT)], calls)
    assert found(caller(), calls=calls) == ()
    ended = folded([ends(CALL)], calls)[-1]
    assert ended == CallEnded(ended.at, CALL, Party.SYSTEM, 0)


def test_a_phone_that_was_found_is_gone_with_its_contact() -> None:
    contact = {"Endpoint": "1001", "Uri": "sip:a", "Status": "Reachable"}
    calls = Calls(NUMBERS)
    assert calls.snapshot([], [contact], NOW).facts == (PhoneReachable(NOW, "1001"),)
    word = {
        "Event": "ContactStatus",
        "Privilege": "system,all",
        "Timestamp": "1763731200.000000",
        "EndpointName": "1001",
        "URI": "sip:a",
        "ContactStatus": "Removed",
    }
    assert folded([{**word, "URI": "sip:b"}], calls) == []
    assert folded([word], calls) == [PhoneUnreachable(1763731200 * SECOND, "1001")]


# --- recordings that an agent has paused


def test_a_paused_recording_is_found_at_the_channel_that_is_recorded() -> None:
    def marked(*entries: Message) -> tuple[tuple[str, str], ...]:
        return Calls(NUMBERS).snapshot(entries, [], NOW).paused

    assert marked(caller("HL_PAUSED=5 1001 key"), entry(LEG)) == ((CALL, "5 1001 key"),)
    assert marked(caller("HL_PAUSED=(null)"), entry(LEG)) == ()
    assert marked(caller(), entry(LEG, Variable="HL_PAUSED=5 1001 key")) == ()
    # In a callback it is the agent's channel.
    attempt = entry(ATTEMPT, ATTEMPT, Variable="HL_PAUSED=5 1001 key")
    assert marked(attempt) == ((ATTEMPT, "5 1001 key"),)
