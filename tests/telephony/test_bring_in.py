"""What is sent to Asterisk about third parties, in which order, and what follows when somebody leaves."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from facts import (
    CallEnded,
    Fact,
    OwnCallEnded,
    PartyAsked,
    PartyFailed,
    PartyLeft,
    PartyMuted,
    TalkEnded,
)
from facts.parties import PartyEnd, PartyFailure, PartyKind
from facts.terms import Party
from telephony import bring_in as module
from telephony.bring_in import BringIn, PartyOrder, PartyRefused
from telephony.channels import Message, Talk
from telephony.link import ActionRefused, LinkDown, Unknown
from telephony.parties import LiveParty, PartyState
from telephony.trunks import Way
from tests.telephony.test_parties import AGENT, CALL, LEG, TRUNK, Asterisk

TALK = Talk(LEG, AGENT, CALL, "1001", held=False, there=True)


class Exchange(Asterisk):
    """A link that remembers what was sent; `obeys`: it makes the party's channel and puts the citizen on hold."""

    def __init__(self, *, obeys: bool = True) -> None:
        super().__init__()
        self.parties._parties.clear()
        self.obeys = obeys
        self.sent: list[dict[str, str]] = []
        self.errors: dict[str, Exception] = {}
        self.verbs = BringIn(
            self,
            self.calls,
            self.parties,
            node="hotline",
            report=self.facts.append,
            clock=lambda: 7,
        )
        self.parties._again = self.verbs.again

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        self.sent.append(dict(action))
        if (error := self.errors.get(action["Action"])) is not None:
            raise error
        if self.obeys and action["Action"] == "Originate":
            phone = action["Channel"].rpartition("@")[2].removeprefix("PJSIP/")
            self.channel = f"PJSIP/{phone}-{len(self.sent):08}"
            self.party = next(one for one in self.parties.all() if one.leg == action["ChannelId"])
            self.of_party("Newchannel")
            self.of_party("Newstate", ChannelState="5")
        if self.obeys and action["Action"] == "PlayDTMF" and action["Digit"] == "#":
            self.consults()
        if self.obeys and action.get("Variable") == "HL_CONSULT" and not action["Value"]:
            self.back()
        return {}

    async def gather(self, action: Mapping[str, str], until: str, timeout: float = 5.0) -> Any:
        raise AssertionError("nothing is listed")

    def did(self, kind: str) -> list[dict[str, str]]:
        return [action for action in self.sent if action["Action"] == kind]

    def hears(self, facts: list[Fact]) -> None:
        self.verbs.take(facts)


def order(consult: bool = False, *ways: Way) -> PartyOrder:
    if ways:
        return PartyOrder(
            TALK, PartyKind.OUTSIDE, "95598", 20.0, "12345", "", consult, ways, "wang"
        )
    return PartyOrder(TALK, PartyKind.COLLEAGUE, "1002", 20.0, "1001", "三方通话 1001", consult)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_colleague_is_called_into_the_citizens_bridge() -> None:
    one = Exchange()
    party = await one.verbs.invite(order())
    assert party.state() is PartyState.RINGING
    (asked,) = one.did("Originate")
    assert asked == {
        "Action": "Originate",
        "Channel": "PJSIP/1002",
        "ChannelId": "hotline-p7.1",
        "Context": "party",
        "Exten": "s",
        "Priority": "1",
        "Timeout": "20000",
        "CallerID": '"三方通话 1001" <1001>',
        "Variable": (
            f"HL_PARTY={CALL} 1001 colleague now 1002 -,HL_JOINED={TRUNK},"
            "DYNAMIC_FEATURES=,TRANSFER_CONTEXT=nothing"
        ),
        "Async": "true",
    }
    # The agent's phone cannot hand on what three talk in.
    assert one.sent[0] == {
        "Action": "Setvar",
        "Channel": AGENT,
        "Variable": "TRANSFER_CONTEXT",
        "Value": "nothing",
    }
    assert [fact.party for fact in one.facts if isinstance(fact, PartyAsked)] == ["hotline-p7"]


async def test_two_in_one_moment_have_ids_of_their_own() -> None:
    one = Exchange()
    first = await one.verbs.invite(order())
    second = await one.verbs.invite(order())
    assert (first.id, second.id) == ("hotline-p7", "hotline-p8")


async def test_the_citizen_hears_music_before_the_phone_rings() -> None:
    one = Exchange()
    await one.verbs.invite(order(consult=True))
    kinds = [(action["Action"], action.get("Variable", "")) for action in one.sent]
    assert kinds[1:4] == [("Setvar", "HL_CONSULT"), ("PlayDTMF", ""), ("PlayDTMF", "")]
    assert [action["Digit"] for action in one.did("PlayDTMF")] == ["*", "#"]
    assert kinds[-1][0] == "Originate"
    await one.verbs.join(CALL)
    assert one.sent[-1] == {
        "Action": "Setvar",
        "Channel": TRUNK,
        "Variable": "HL_CONSULT",
        "Value": "",
    }


async def test_nobody_is_called_if_the_citizen_cannot_be_put_on_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HELD_WITHIN", 0.01)
    one = Exchange(obeys=False)
    with pytest.raises(PartyRefused, match="could not be put on hold"):
        await one.verbs.invite(order(consult=True))
    assert one.did("Originate") == []
    assert one.did("Setvar")[-1]["Variable"] in ("HL_CONSULT", "TRANSFER_CONTEXT")
    assert isinstance(one.facts[-2], PartyFailed)


@pytest.mark.parametrize(
    ("error", "why", "said"),
    [
        (LinkDown(), PartyFailure.LOST, "Asterisk does not answer"),
        (ActionRefused("no such app"), PartyFailure.UNREACHABLE, "no such app"),
    ],
)
async def test_what_was_not_done_is_said(error: Exception, why: PartyFailure, said: str) -> None:
    one = Exchange()
    one.errors["Originate"] = error
    with pytest.raises(PartyRefused, match=said):
        await one.verbs.invite(order())
    failed, free = one.facts[-2:]
    assert isinstance(failed, PartyFailed)
    assert failed.why is why
    assert free == OwnCallEnded(7, "1002")
    assert one.parties.of(CALL) == []


async def test_without_an_answer_the_party_may_yet_come() -> None:
    one = Exchange()
    one.errors["Originate"] = Unknown("no answer")
    with pytest.raises(PartyRefused, match="look whether it was done"):
        await one.verbs.invite(order())
    assert len(one.parties.of(CALL)) == 1


async def test_a_phone_of_which_asterisk_makes_no_channel_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "APPEARS_WITHIN", 0.02)
    monkeypatch.setattr(module, "SIGN_WITHIN", 0.2)
    one = Exchange(obeys=False)
    party = await one.verbs.invite(order())
    assert one.parties.get(party.id) is None
    failed, free = one.facts[-2:]
    assert isinstance(failed, PartyFailed)
    assert failed.why is PartyFailure.UNREACHABLE
    assert free == OwnCallEnded(7, "1002")


async def test_the_next_trunk_is_tried_and_then_no_other() -> None:
    one = Exchange()
    ways = (Way("a", "outbound-a", "8890"), Way("b", "outbound-b"))
    party = await one.verbs.invite(order(False, *ways))
    party.rang = False
    assert one.of_party("Hangup", Cause="38") == []
    await settled()
    first, second = one.did("Originate")
    assert (first["Channel"], first["CallerID"]) == ("PJSIP/95598@outbound-a", '"" <8890>')
    assert (second["Channel"], second["CallerID"]) == ("PJSIP/95598@outbound-b", '"" <12345>')
    assert (first["ChannelId"], second["ChannelId"]) == ("hotline-p7.1", "hotline-p7.2")
    party.rang = False
    assert one.of_party("Hangup", Cause="38") != []


async def inside(one: Exchange) -> LiveParty:
    party = await one.verbs.invite(order())
    one.of_party("BridgeEnter", CALL)
    return party


async def test_mute_and_drop() -> None:
    one = Exchange()
    party = await one.verbs.invite(order())
    with pytest.raises(PartyRefused, match="not answered yet"):
        await one.verbs.mute(party, muted=True)
    one.of_party("BridgeEnter", CALL)
    await one.verbs.mute(party, muted=True, by="wang")
    await one.verbs.mute(party, muted=True, by="wang")
    assert one.did("MuteAudio") == [
        {"Action": "MuteAudio", "Channel": one.channel, "Direction": "in", "State": "on"}
    ]
    muted = one.facts[-1]
    assert isinstance(muted, PartyMuted)
    assert muted.by == "wang"
    await one.verbs.drop(party, "li")
    assert one.sent[-1] == {"Action": "Hangup", "Channel": one.channel, "Cause": "16"}
    left = one.of_party("Hangup", CALL, Cause="16")[-1]
    assert isinstance(left, PartyLeft)
    assert (left.why, left.by) == (PartyEnd.DROPPED, "li")


async def test_a_mute_that_asterisk_refuses_is_none() -> None:
    one = Exchange()
    party = await inside(one)
    one.errors["MuteAudio"] = ActionRefused("no")
    with pytest.raises(PartyRefused):
        await one.verbs.mute(party, muted=True)
    assert not party.muted


async def test_when_the_citizen_has_left_agent_and_party_are_let_go() -> None:
    one = Exchange()
    await inside(one)
    one.sent.clear()
    one.event("HangupRequest", CALL, TRUNK, Cause="16")
    one.hears(one.event("Hangup", CALL, TRUNK, Cause="16"))
    await settled()
    assert {action["Channel"] for action in one.did("Hangup")} == {one.channel, AGENT}


async def test_in_an_emergency_they_talk_on() -> None:
    one = Exchange()
    (await inside(one)).who = PartyKind.EMERGENCY
    one.sent.clear()
    one.event("HangupRequest", CALL, TRUNK, Cause="16")
    one.hears(one.event("Hangup", CALL, TRUNK, Cause="16"))
    await settled()
    assert one.sent == []


async def test_whoever_still_rings_for_an_agent_who_has_left_rings_no_more() -> None:
    one = Exchange()
    await one.verbs.invite(order())
    one.sent.clear()
    one.hears([TalkEnded(1, CALL, "1002", Party.AGENT)])
    await settled()
    assert one.sent == []
    one.hears([TalkEnded(1, CALL, "1001", Party.AGENT)])
    await settled()
    assert [action["Channel"] for action in one.did("Hangup")] == [one.channel]


async def test_after_the_last_party_the_citizen_is_back_and_the_phone_may_transfer_again() -> None:
    one = Exchange()
    party = await one.verbs.invite(order(consult=True))
    one.sent.clear()
    one.hears(one.of_party("Hangup", Cause="19"))
    await settled()
    values = [(action["Channel"], action["Variable"], action["Value"]) for action in one.sent]
    assert values == [
        (TRUNK, "HL_CONSULT", ""),
        (AGENT, "TRANSFER_CONTEXT", "transfer"),
    ]
    assert one.parties.get(party.id) is None


async def test_a_call_that_ended_before_nobody_is_called_into() -> None:
    one = Exchange()
    one.event("HangupRequest", CALL, TRUNK, Cause="16")
    one.hears([CallEnded(1, CALL, Party.CALLER)])
    with pytest.raises(PartyRefused, match="has hung up"):
        await one.verbs.invite(order())
    assert one.sent == []


async def test_after_a_start_nobody_hears_music_for_a_party_who_never_came() -> None:
    one = Exchange()
    one.consults()
    one.verbs.caught_up()
    await settled()
    assert one.sent[0]["Variable"] == "HL_CONSULT"
    assert not one.parties.consulting(CALL)


async def test_after_a_start_what_should_have_ended_is_ended() -> None:
    one = Exchange()
    await inside(one)
    one.event("HangupRequest", CALL, TRUNK, Cause="16")
    one.event("Hangup", CALL, TRUNK, Cause="16")
    one.sent.clear()
    one.verbs.caught_up()
    await settled()
    assert {action["Channel"] for action in one.did("Hangup")} == {one.channel, AGENT}
