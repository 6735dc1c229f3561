"""Supervisors' legs among the channels: an own call of their phone, until they take the citizen over."""

from collections.abc import Sequence

import pytest

from facts import (
    CallArrived,
    CallEnded,
    CallTransferred,
    Fact,
    OfferAnswered,
    OwnCallEnded,
    OwnCallStarted,
    TalkEnded,
)
from facts.terms import Party
from telephony.cel import CelEvent, complete
from telephony.channels import Calls, Message
from tests.telephony.test_calls import NUMBERS, folded
from tests.telephony.test_channels_ends import (
    AGENT,
    CALL,
    CALLER,
    CHANNELS,
    LEG,
    arrives,
    asks,
    begins,
    ends,
    event,
    is_up,
)

BOSS, BOSSES = "hotline-l1763731200.1", "PJSIP/1003-00000009"
DIALLED = "hotline-1.9"


@pytest.fixture(autouse=True)
def _channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHANNELS, BOSS, BOSSES)
    monkeypatch.setitem(CHANNELS, DIALLED, BOSSES)


def talking() -> Calls:
    calls = Calls(NUMBERS)
    folded([arrives(), begins(LEG), is_up(LEG)], calls)
    return calls


def joins(leg: str, does: str) -> Message:
    """The leg enters the talk's bridge, and so has the call's Linkedid."""
    return event("BridgeEnter", leg, CALL, Context="supervision", Exten=does)


def entry(leg: str, linkedid: str, does: str) -> Message:
    return {
        "Uniqueid": leg,
        "Linkedid": linkedid,
        "Channel": CHANNELS[leg],
        "ChannelState": "6",
        "Context": "supervision",
        "Exten": does,
        "Seconds": "5",
        "Variable": f"HL_SUPERVISES={CALL} 1001 1 li",
    }


def entries() -> list[Message]:
    """The talk as Asterisk lists it."""
    caller = {"Context": "hotline-call", "Exten": "s", "Variable": "HL_NUMBER=12345"}
    agent = {"Context": "agents", "Exten": ""}
    both = {"Linkedid": CALL, "ChannelState": "6", "Seconds": "9", "CallerIDNum": "13800138000"}
    return [
        {"Uniqueid": CALL, "Channel": CALLER, **both, **caller},
        {"Uniqueid": LEG, "Channel": AGENT, **both, **agent},
    ]


HANDED_ON = [
    ("CallTransferred", "1001"),
    ("OfferAnswered", "1003"),
    ("OwnCallEnded", "1003"),
    ("TalkEnded", "1001"),
]
"""What is told when an agent leaves a supervisor who has stepped in."""


def kinds(told: list[Fact]) -> list[tuple[str, str]]:
    return [(fact.kind, getattr(fact, "agent", "")) for fact in told]


@pytest.mark.parametrize("leg", [BOSS, DIALLED])
@pytest.mark.parametrize("cause", [16, 27])
def test_whoever_has_stepped_in_has_the_citizen_when_the_agent_leaves(leg: str, cause: int) -> None:
    calls = talking()
    folded([begins(leg, leg), is_up(leg), joins(leg, "step_in")], calls)
    told = folded([ends(LEG, cause)], calls)
    assert kinds(told) == HANDED_ON
    assert [(talk.leg, talk.agent) for talk in calls.talks()] == [(leg, "1003")]
    told = folded([asks(leg), ends(leg), ends(CALL)], calls)
    assert kinds(told) == [("TalkEnded", "1003"), ("CallEnded", "")]


def test_the_first_who_stepped_in_has_the_citizen(monkeypatch: pytest.MonkeyPatch) -> None:
    second = "hotline-l1763731200.2"
    monkeypatch.setitem(CHANNELS, second, "PJSIP/1004-00000010")
    calls = talking()
    for leg in (BOSS, second):
        folded([begins(leg, leg), is_up(leg), joins(leg, "step_in")], calls)
    folded([ends(LEG)], calls)
    assert [talk.agent for talk in calls.talks()] == ["1003"]


def test_whoever_listens_again_or_whose_citizen_has_left_has_nobody() -> None:
    calls = talking()
    folded([begins(BOSS, BOSS), is_up(BOSS), joins(BOSS, "step_in")], calls)
    folded([event("UserEvent", BOSS, BOSS, UserEvent="HotlineSupervision")], calls)
    assert kinds(folded([ends(LEG)], calls)) == [("TalkEnded", "1001")]
    calls = talking()
    folded([begins(BOSS, BOSS), is_up(BOSS), joins(BOSS, "step_in"), asks(CALL)], calls)
    assert kinds(folded([ends(LEG)], calls)) == [("TalkEnded", "1001"), ("CallEnded", "")]


@pytest.mark.parametrize("leg", [BOSS, DIALLED])
@pytest.mark.parametrize("known", [False, True])
def test_a_new_controller_finds_who_was_left_with_the_citizen(leg: str, known: bool) -> None:
    calls = Calls(NUMBERS)
    citizen, agent = ({**one, "BridgeID": "b"} for one in entries())
    stepped_in = {**entry(leg, CALL, "step_in"), "BridgeID": "b"}
    if known:
        assert calls.snapshot([citizen, agent, stepped_in], [], 9_000_000).talking == (
            (CALL, "1001"),
        )
    for _ in range(2):
        state = calls.snapshot([citizen, stepped_in], [], 10_000_000)
        assert state.talking == ((CALL, "1003"),)
    assert state.facts == ()


@pytest.mark.parametrize("leg", [BOSS, DIALLED])
@pytest.mark.parametrize("does", ["listen", "whisper", "step_in"])
def test_a_supervisor_is_on_an_own_call_and_in_no_talk(leg: str, does: str) -> None:
    calls = talking()
    told = folded([begins(leg, leg), is_up(leg), joins(leg, does)], calls)
    assert [type(fact) for fact in told] == [OwnCallStarted]
    assert [talk.agent for talk in calls.talks()] == ["1001"]
    told = folded([asks(leg), ends(leg)], calls)
    assert [type(fact) for fact in told] == [OwnCallEnded]
    assert [type(fact) for fact in folded([asks(CALL), ends(LEG), ends(CALL)], calls)] == [
        TalkEnded,
        CallEnded,
    ]


@pytest.mark.parametrize("leg", [BOSS, DIALLED])
def test_whoever_takes_over_has_the_citizen(leg: str) -> None:
    calls = talking()
    told = folded([begins(leg, leg), is_up(leg), joins(leg, "step_in"), joins(leg, "take")], calls)
    assert [fact.kind for fact in told] == [
        "OwnCallStarted",
        "CallTransferred",
        "OfferAnswered",
        "OwnCallEnded",
    ]
    handed = told[1]
    assert isinstance(handed, CallTransferred)
    assert (handed.call, handed.agent, handed.to, handed.attended) == (CALL, "1001", "1003", True)
    told = folded([ends(LEG), asks(leg), ends(leg), ends(CALL)], calls)
    assert [(fact.kind, getattr(fact, "agent", "")) for fact in told] == [
        ("TalkEnded", "1001"),
        ("TalkEnded", "1003"),
        ("CallEnded", ""),
    ]
    assert isinstance(told[2], CallEnded)
    assert told[2].hung_up_by is Party.AGENT


@pytest.mark.parametrize("leg", [BOSS, DIALLED])
@pytest.mark.parametrize("does", ["listen", "step_in"])
def test_a_new_controller_finds_the_leg_and_no_talk_of_it(leg: str, does: str) -> None:
    linkedid = CALL if does == "step_in" else leg
    calls = Calls(NUMBERS)
    for _ in range(2):
        state = calls.snapshot([*entries(), entry(leg, linkedid, does)], [], 10_000_000)
        assert state.talking == ((CALL, "1001"),)
        (found,) = state.supervisors
        assert (found.leg, found.supervisor, found.mode) == (leg, "1003", does)
        assert (found.mark.call, found.mark.agent, found.mark.by) == (CALL, "1001", "li")


@pytest.mark.parametrize("leg", [BOSS, DIALLED])
def test_a_new_controller_finds_who_has_taken_over(leg: str) -> None:
    calls = Calls(NUMBERS)
    state = calls.snapshot([entries()[0], entry(leg, CALL, "take")], [], 10_000_000)
    assert state.talking == ((CALL, "1003"),)


# --- CEL


def cel(second: int, kind: str, leg: str, linkedid: str, **more: str) -> CelEvent:
    told = {"number": "", "context": "", "exten": "", "extra": ""} | more
    return CelEvent(
        kind,
        (1763731200 + second) * 1_000_000,
        leg,
        linkedid,
        CHANNELS[leg],
        told["number"],
        told["context"],
        told["exten"],
        "",
        "",
        "",
        told["extra"],
    )


def story(leg: str, *of_leg: tuple[int, str, str], more: Sequence[CelEvent] = ()) -> list[Fact]:
    """What CEL alone tells of a talk of 2 to 30 s; `of_leg`: what the supervisor's leg did in the bridge."""
    events = [
        cel(0, "CHAN_START", CALL, CALL, number="13800138000", exten="12345"),
        cel(1, "CHAN_START", LEG, CALL),
        cel(2, "ANSWER", LEG, CALL),
        cel(3, "CHAN_START", leg, leg),
        *(cel(at, kind, leg, CALL, context="supervision", exten=does) for at, kind, does in of_leg),
        cel(30, "HANGUP", LEG, CALL),
        cel(31, "HANGUP", CALL, CALL),
        *more,
    ]
    return complete(events, [], numbers=NUMBERS)


@pytest.mark.parametrize("leg", [BOSS, DIALLED])
def test_cel_has_no_talk_of_who_listened_or_stepped_in(leg: str) -> None:
    plain = story(leg)
    told = story(leg, (5, "BRIDGE_ENTER", "step_in"), (9, "HANGUP", "step_in"))
    assert told == plain
    assert [type(fact) for fact in told if isinstance(fact, CallArrived | OfferAnswered)] == [
        CallArrived,
        OfferAnswered,
    ]


@pytest.mark.parametrize("leg", [BOSS, DIALLED])
def test_cel_has_the_talk_of_who_took_over(leg: str) -> None:
    told = story(leg, (5, "BRIDGE_ENTER", "take"), (31, "HANGUP", "take"))
    of_boss = [fact for fact in told if getattr(fact, "agent", "") == "1003"]
    assert [fact.kind for fact in of_boss] == ["OfferAnswered", "TalkEnded"]
    (handed,) = [fact for fact in told if isinstance(fact, CallTransferred)]
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1003", True)


@pytest.mark.parametrize("leg", [BOSS, DIALLED])
def test_cel_has_the_talk_of_who_was_left_with_the_citizen(leg: str) -> None:
    told = story(leg, (5, "BRIDGE_ENTER", "step_in"), (31, "HANGUP", "step_in"))
    assert kinds([fact for fact in told if fact.at >= 1763731230_000_000]) == [
        ("CallTransferred", "1001"),
        ("OfferAnswered", "1003"),
        ("TalkEnded", "1001"),
        ("TalkEnded", "1003"),
        ("CallEnded", ""),
    ]
    left = story(leg, (5, "BRIDGE_ENTER", "step_in"), (9, "BRIDGE_EXIT", "listen"))
    assert left == story(leg)


def test_cel_has_no_talk_of_who_was_left_alone() -> None:
    out = cel(29, "BRIDGE_EXIT", CALL, CALL)
    told = story(BOSS, (5, "BRIDGE_ENTER", "step_in"), (31, "HANGUP", "step_in"), more=[out])
    assert told == story(BOSS)
