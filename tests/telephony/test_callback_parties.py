"""Third parties in a callback's talk: the agent's channel dials and is recorded, the citizen's is dialled."""

from pathlib import Path

import pytest

from facts import (
    CallbackAnswered,
    CallbackEnded,
    Fact,
    PartyAnswered,
    PartyAsked,
    PartyFailed,
    PartyJoined,
    PartyLeft,
    TalkHeld,
    TalkResumed,
)
from facts.parties import PartyEnd, PartyFailure, PartyKind
from facts.terms import Party
from telephony.bring_in import PartyOrder, PartyRefused
from telephony.cel import CelEvent
from telephony.channels import Calls, Message, talk_of
from telephony.emergency import Emergencies
from telephony.left_callbacks import LeftCallbacks
from telephony.parties import LiveParty
from telephony.party_ends import CONSULT_OVER, missed
from telephony.switch import Switch
from telephony.trunks import Way
from tests.telephony.test_bring_in import Exchange, settled

CALL, AGENT = "hotline-c7.1", "PJSIP/1001-00000001"
OUT, CITIZEN = "hotline-1.2", "PJSIP/outbound-00000002"
NUMBER = "+8613912345678"


class Callback(Exchange):
    """1001 has called a citizen back, and talks to them. `recorded`: what is recorded from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[tuple[str, str, str]] = []
        self.emergencies = Emergencies(
            self.parties,
            self.verbs,
            ways=lambda _: (Way("", "outbound"),),
            shown=lambda _: "12345",
            rings=30.0,
            clock=lambda: 9,
            record=lambda *of: self.recorded.append(of),
        )
        self.verbs._tell = self.emergencies.called
        self.left = LeftCallbacks(
            self.calls, self.parties, record=lambda *of: self.recorded.append(of)
        )

    def talk(self) -> None:
        self.event("Newchannel", CALL, AGENT)
        self.event("Newstate", CALL, AGENT, ChannelState="6")
        self.event("Newchannel", OUT, CITIZEN, CALL)
        self.event("Newstate", OUT, CITIZEN, CALL, ChannelState="6")

    def told(self, kind: str, uniqueid: str, channel: str, **more: str) -> None:
        """An event, and all that the controller has follow from it."""
        message = {"Event": kind, "Uniqueid": uniqueid, "Channel": channel}
        left = self.calls.leaves(message)
        facts = self.event(kind, uniqueid, channel, CALL, **more)
        self.verbs.take(facts)
        self.emergencies.take(facts)
        if left:
            self.verbs.citizen_left(left)
            self.emergencies.citizen_left(left)
        self.left.take(facts)

    def hangs_up(self, uniqueid: str, channel: str) -> None:
        self.told("HangupRequest", uniqueid, channel, Cause="16")
        self.told("Hangup", uniqueid, channel, Cause="16")

    def goes_inside(self, party: LiveParty) -> None:
        self.told("BridgeEnter", party.leg, party.channel)

    async def invite(
        self, who: PartyKind = PartyKind.COLLEAGUE, *, consult: bool = False
    ) -> LiveParty:
        talk = talk_of(self.calls.talks(), "1001")
        assert talk is not None
        number = "1002" if who is PartyKind.COLLEAGUE else "120"
        order = PartyOrder(talk, who, number, 20.0, "12345", "", consult, citizen=NUMBER)
        return await self.verbs.invite(order)

    async def with_party(self, who: PartyKind = PartyKind.COLLEAGUE) -> LiveParty:
        party = await self.invite(who)
        self.goes_inside(party)
        self.sent.clear()
        return party

    def consults(self) -> list[Fact]:
        begin = {"UserEvent": "HotlineConsult", "State": "begin", "Agent": "1001"}
        return self.event("UserEvent", OUT, CITIZEN, CALL, **begin)

    def back(self) -> list[Fact]:
        over = {"UserEvent": "HotlineConsult", "State": "over"}
        return self.event("UserEvent", OUT, CITIZEN, CALL, **over)

    def hung_up(self) -> list[str]:
        return [action["Channel"] for action in self.did("Hangup")]


async def test_a_party_is_called_into_the_bridge_of_the_dialled_citizen() -> None:
    one = Callback()
    party = await one.invite()
    (asked,) = one.did("Originate")
    assert f",HL_JOINED={CITIZEN}," in asked["Variable"]
    assert one.sent[0]["Channel"] == AGENT
    one.goes_inside(party)
    assert [fact.call for fact in one.facts if isinstance(fact, PartyJoined)] == [CALL]
    # The last one leaves: the agent may hand the citizen on again.
    one.sent.clear()
    one.hangs_up(party.leg, party.channel)
    await settled()
    assert one.sent == [
        {
            "Action": "Setvar",
            "Channel": AGENT,
            "Variable": "TRANSFER_CONTEXT",
            "Value": "transfer",
        }
    ]
    assert one.recorded == []


async def test_a_consultation_is_one_of_the_callback() -> None:
    one = Callback()
    party = await one.invite(consult=True)
    assert one.did("PlayDTMF")[0]["Channel"] == AGENT
    one.goes_inside(party)
    await one.verbs.join(CALL)
    kinds = (TalkHeld, PartyAsked, PartyAnswered, TalkResumed, PartyJoined)
    told = [fact for fact in one.facts if isinstance(fact, kinds)]
    assert {type(fact) for fact in told} == {*kinds}
    assert {fact.call for fact in told} == {CALL}
    assert [a["Channel"] for a in one.sent if a.get("Variable") == "HL_CONSULT"] == [CITIZEN] * 2


async def test_the_agent_leaves_and_the_two_others_are_recorded_on() -> None:
    one = Callback()
    party = await one.with_party()
    ringing = await one.invite(PartyKind.OUTSIDE)
    one.sent.clear()
    one.hangs_up(CALL, AGENT)
    await settled()
    assert isinstance(one.facts[-1], CallbackEnded)
    assert one.hung_up() == [ringing.channel]
    one.told("Hangup", ringing.leg, ringing.channel, Cause="16")
    assert one.recorded == [(CALL, party.channel, "")]
    assert not one.calls.caller_gone(CALL)
    assert one.calls.citizen_channel(CALL) == CITIZEN
    # The citizen leaves: the talk is over for the other.
    one.hangs_up(OUT, CITIZEN)
    await settled()
    assert one.hung_up() == [ringing.channel, party.channel]
    one.told("Hangup", party.leg, party.channel, Cause="16")
    end = one.facts[-1]
    assert isinstance(end, PartyLeft)
    assert (end.call, end.why) == (CALL, PartyEnd.TALK_OVER)


async def test_one_of_two_leaves_after_the_agent_and_the_other_is_recorded_on() -> None:
    one = Callback()
    first, second = await one.with_party(), await one.with_party(PartyKind.OUTSIDE)
    one.hangs_up(CALL, AGENT)
    one.hangs_up(first.leg, first.channel)
    assert one.recorded == [(CALL, first.channel, ""), (CALL, second.channel, "")]
    one.hangs_up(second.leg, second.channel)
    await settled()
    assert len(one.recorded) == 2
    assert one.hung_up() == []


async def test_the_citizen_leaves_and_the_agent_is_let_go_with_the_others() -> None:
    one = Callback()
    party = await one.with_party()
    one.hangs_up(OUT, CITIZEN)
    await settled()
    assert sorted(one.hung_up()) == sorted([party.channel, AGENT])
    one.told("Hangup", CALL, AGENT, Cause="16")
    end = one.facts[-1]
    assert isinstance(end, CallbackEnded)
    assert (end.failure, end.hung_up_by) == ("", Party.CALLER)
    assert one.recorded == []


async def test_a_callback_without_others_ends_by_itself() -> None:
    one = Callback()
    one.hangs_up(OUT, CITIZEN)
    await settled()
    assert one.sent == []


async def test_nobody_is_consulted_for_a_citizen_who_is_gone() -> None:
    one = Callback()
    await one.with_party(PartyKind.EMERGENCY)
    one.event("HangupRequest", OUT, CITIZEN, CALL, Cause="16")
    with pytest.raises(PartyRefused, match="has hung up"):
        await one.invite(consult=True)


async def test_a_citizen_who_is_dropped_in_an_emergency_is_called_back_to_the_agent() -> None:
    one = Callback()
    service = await one.with_party(PartyKind.EMERGENCY)
    one.hangs_up(OUT, CITIZEN)
    await settled()
    (asked,) = one.did("Originate")
    assert asked["Channel"] == f"PJSIP/{NUMBER}@outbound"
    assert f",HL_JOINED={AGENT}," in asked["Variable"]
    assert one.hung_up() == []
    citizen = one.party
    assert citizen.who is PartyKind.CITIZEN
    one.goes_inside(citizen)
    # The agent leaves: what citizen and service say is recorded on, each on their own side.
    one.recorded.clear()
    one.hangs_up(CALL, AGENT)
    assert one.recorded == [(CALL, service.channel, "")]
    assert one.hung_up() == []


async def test_the_service_fails_and_the_agent_alone_is_told() -> None:
    one = Callback()
    party = await one.invite(PartyKind.EMERGENCY)
    one.told("HangupRequest", party.leg, party.channel, Cause="17")
    one.told("Hangup", party.leg, party.channel, Cause="17")
    await settled()
    assert isinstance(one.facts[-1], PartyFailed)
    assert one.facts[-1].why is PartyFailure.BUSY
    pressed = one.did("PlayDTMF")
    assert "".join(action["Digit"] for action in pressed) == "*99"
    assert {action["Channel"] for action in pressed} == {AGENT}


async def test_a_callbacks_recording_is_renewed_at_its_agent() -> None:
    one = Callback()
    await Switch(one, one.calls, clock=lambda: 9).renew_recording(CALL, Path("/spool/c.raw"))
    assert [(action["Action"], action["Channel"]) for action in one.sent] == [
        ("StopMixMonitor", AGENT),
        ("MixMonitor", AGENT),
    ]


# --- after a start


def listed(uniqueid: str, channel: str, *variables: str) -> Message:
    return {
        "Event": "Status",
        "Uniqueid": uniqueid,
        "Linkedid": CALL,
        "Channel": channel,
        "ChannelState": "6",
        "Seconds": "9",
        "BridgeID": "b",
        "Variable": "\n".join(variables),
    }


LISTED_PARTY = listed(
    "hotline-p5.1", "PJSIP/1002-00000003", f"HL_PARTY={CALL} 1001 colleague now 1002 -"
)
LISTED_CITIZEN = listed(OUT, CITIZEN, f"HL_ATTEMPT={CALL}")


@pytest.mark.parametrize("knew", [True, False])
async def test_after_a_start_citizen_and_party_talk_on_without_the_agent(*, knew: bool) -> None:
    one = Callback()
    if not knew:
        one.calls = one.verbs._calls = one.left._calls = Calls(())
        one.parties._over = one.calls.caller_gone
    state = one.calls.snapshot([LISTED_CITIZEN, LISTED_PARTY], [], 1_796_000_001_000_000)
    one.parties.found(state)
    # They have not been handed on, which would be a call of their own.
    assert [fact for fact in state.facts if "Arrived" in fact.kind] == []
    assert one.calls.citizen_channel(CALL) == CITIZEN
    one.verbs.caught_up()
    one.left.caught_up()
    await settled()
    assert one.did("Hangup") == []
    assert one.recorded == [(CALL, "PJSIP/1002-00000003", "")]


async def test_after_a_start_the_party_of_a_citizen_who_has_gone_is_let_go_with_the_agent() -> None:
    one = Callback()
    listed_agent = listed(CALL, AGENT)
    one.parties.found(one.calls.snapshot([listed_agent, LISTED_PARTY], [], 1_796_000_001_000_000))
    one.verbs.caught_up()
    one.left.caught_up()
    await settled()
    assert sorted(one.hung_up()) == [AGENT, "PJSIP/1002-00000003"]
    assert one.recorded == []


async def test_after_a_start_a_consultation_is_known() -> None:
    one = Callback()
    agent, citizen = listed(CALL, AGENT), {**LISTED_CITIZEN}
    citizen["Variable"] += f"\nHL_CONSULT={AGENT}"
    state = one.calls.snapshot([agent, citizen, LISTED_PARTY], [], 1_796_000_001_000_000)
    assert state.consults == ((CALL, "1001"),)
    assert [fact for fact in one.facts if isinstance(fact, CallbackAnswered)] != []


def test_cel_tells_that_a_consultation_of_a_callback_was_over() -> None:
    party = "hotline-p5"
    asked = PartyAsked(5, CALL, "1001", party, PartyKind.COLLEAGUE, "1002", consult=True)
    leg, phone = f"{party}.1", "PJSIP/1002-00000003"
    events = [
        CelEvent("ANSWER", 6, leg, CALL, phone, "", "", "", "", "", "", ""),
        CelEvent("BRIDGE_ENTER", 7, leg, CALL, phone, "", "", "", "", "", "", ""),
        CelEvent("USER_DEFINED", 8, OUT, CALL, CITIZEN, "", "", "", "", "", CONSULT_OVER, ""),
    ]
    found = missed(events, [asked], alive={party}, calls={CALL}, asked=9, now=9)
    assert found == [
        PartyAnswered(7, CALL, "1001", party),
        PartyJoined(8, CALL, "1001", party),
    ]
