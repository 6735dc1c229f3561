"""A citizen who is dropped while an emergency service is in the talk: called back at once, and joined again (R16)."""

import asyncio
from collections.abc import Sequence

import pytest

from facts import Fact, PartyAsked, PartyFailed
from facts.parties import PartyKind
from telephony import emergency as module
from telephony.bring_in import PartyOrder, PartyRefused
from telephony.channels import Talk
from telephony.emergency import TOLD_FOR, TRIES, Emergencies
from telephony.parties import LiveParty
from telephony.trunks import Way
from tests.telephony.test_bring_in import Exchange, settled
from tests.telephony.test_parties import AGENT, CALL, LEG, TRUNK

CITIZEN = "+8613912345678"
TALK = Talk(LEG, AGENT, CALL, "1001", held=False, there=True)


class Rescue(Exchange):
    """1001 talks to a citizen, and 120 is in the talk."""

    def __init__(self, citizen: str = CITIZEN) -> None:
        super().__init__()
        self.citizen = citizen
        self.recorded: list[tuple[str, str, str]] = []
        self.emergencies = Emergencies(
            self.parties,
            self.verbs,
            ways=self.ways,
            shown=lambda _: "12345",
            rings=30.0,
            clock=lambda: 9,
            record=lambda *of: self.recorded.append(of),
        )
        self.verbs._tell = self.told

    def ways(self, shown: str) -> Sequence[Way]:
        return (Way("", "outbound"),)

    def told(self, fact: PartyAsked) -> None:
        if fact.who is PartyKind.EMERGENCY:
            self.emergencies.called(fact)

    def hears(self, facts: list[Fact]) -> None:
        self.verbs.take(facts)
        self.emergencies.take(facts)

    async def call(self) -> LiveParty:
        order = PartyOrder(
            TALK,
            PartyKind.EMERGENCY,
            "120",
            60.0,
            "139",
            "",
            ways=self.ways(""),
            citizen=self.citizen,
        )
        party = await self.verbs.invite(order)
        self.hears(self.of_party("BridgeEnter", CALL))
        self.sent.clear()
        return party

    async def dropped(self) -> None:
        self.event("HangupRequest", CALL, TRUNK, Cause="16")
        self.hears(self.event("Hangup", CALL, TRUNK, Cause="16"))
        await settled()
        await asyncio.sleep(0.02)


async def test_the_citizen_is_called_back_into_the_same_talk() -> None:
    one = Rescue()
    await one.call()
    assert one.emergencies.lately(9) == 1
    await one.dropped()
    assert one.did("Hangup") == []
    (asked,) = one.did("Originate")
    assert asked["Channel"] == f"PJSIP/{CITIZEN}@outbound"
    assert f",HL_JOINED={AGENT}," in asked["Variable"]
    assert (asked["CallerID"], asked["Context"]) == ('"" <12345>', "party")
    back = [fact for fact in one.facts if isinstance(fact, PartyAsked)][-1]
    assert (back.who, back.number) == (PartyKind.CITIZEN, CITIZEN)


async def test_the_recording_goes_on_with_the_service_and_then_with_the_citizen() -> None:
    one = Rescue()
    service = await one.call()
    assert one.recorded == []
    await one.dropped()
    assert one.recorded == [(CALL, service.channel, "")]
    citizen = one.party
    one.hears(one.of_party("BridgeEnter", CALL))
    assert one.recorded[1:] == [(CALL, citizen.channel, service.channel)]
    # Dropped once more
    one.hears(one.of_party("Hangup", CALL, Cause="16"))
    assert one.recorded[2:] == [(CALL, service.channel, "")]


async def test_once_more_if_they_are_not_reached_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    one = Rescue()
    service = await one.call()
    await one.dropped()
    for _ in range(TRIES + 2):
        citizen = [party for party in one.parties.of(CALL) if party is not service]
        if not citizen:
            break
        one.party = citizen[0]
        one.channel = citizen[0].channel
        one.hears(one.of_party("Hangup", Cause="17"))
        await asyncio.sleep(0.02)
    assert len(one.did("Originate")) == TRIES
    assert one.emergencies.failed(9) == TRIES
    assert one.emergencies.failed(9 + 2 * TOLD_FOR * 10**9) == 0
    # The agent hears each time that it did not work.
    assert len(one.did("PlayDTMF")) == TRIES * 3


async def test_a_citizen_without_a_number_is_an_alarm() -> None:
    one = Rescue(citizen="")
    await one.call()
    await one.dropped()
    assert one.did("Originate") == []
    assert one.emergencies.failed(9) == 1


async def test_without_an_emergency_nobody_is_called_back() -> None:
    one = Rescue()
    party = await one.call()
    party.who = PartyKind.OUTSIDE
    await one.dropped()
    assert one.did("Originate") == []
    assert len(one.did("Hangup")) == 2


async def test_when_the_service_leaves_and_the_citizen_is_not_there_the_agent_is_free() -> None:
    one = Rescue()
    service = await one.call()
    await one.dropped()
    citizen = one.party
    one.party, one.channel = service, service.channel
    one.hears(one.of_party("Hangup", CALL, Cause="16"))
    await settled()
    assert {action["Channel"] for action in one.did("Hangup")} == {citizen.channel, AGENT}


async def test_a_service_that_does_not_answer_is_told_to_the_agent() -> None:
    one = Rescue()
    order = PartyOrder(TALK, PartyKind.EMERGENCY, "120", 60.0, "139", "", ways=one.ways(""))
    await one.verbs.invite(order)
    one.hears(one.of_party("Hangup", Cause="17"))
    await settled()
    assert one.emergencies.failed(9) == 1
    assert [action["Digit"] for action in one.did("PlayDTMF")] == ["*", "9", "9"]
    assert {action["Channel"] for action in one.did("PlayDTMF")} == {AGENT}


async def test_after_a_start_a_citizen_who_was_dropped_meanwhile_is_called_back() -> None:
    one = Rescue()
    service = await one.call()
    one.event("HangupRequest", CALL, TRUNK, Cause="16")
    one.event("Hangup", CALL, TRUNK, Cause="16")
    one.emergencies._who.clear()
    one.emergencies.caught_up()
    await settled()
    await asyncio.sleep(0.02)
    assert len(one.did("Originate")) == 1
    # What is said meanwhile is recorded from here on.
    assert one.recorded == [(CALL, service.channel, "")]
    one.hears(one.of_party("BridgeEnter", CALL))
    assert one.recorded[1:] == [(CALL, one.party.channel, service.channel)]
    # The next controller finds the citizen there, whose channel Asterisk goes on recording.
    one.emergencies.caught_up()
    assert len(one.recorded) == 2


async def test_what_cannot_be_done_is_logged_and_ends_nothing() -> None:
    one = Rescue()
    await one.call()

    async def refuse(order: PartyOrder) -> LiveParty:
        raise PartyRefused("no")

    one.verbs.invite = refuse  # type: ignore[method-assign]
    await one.dropped()
    assert not [fact for fact in one.facts if isinstance(fact, PartyFailed)]
