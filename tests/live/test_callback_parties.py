"""Third parties in a callback's talk (R7, R16): who hears who, what is recorded, who talks on when one leaves.

Here the agent's channel is the one that dials, and the recorded one; the citizen's is dialled.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from facts import (
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackEnded,
    ControllerStarted,
    PartyAnswered,
    PartyAsked,
    PartyFailed,
    PartyJoined,
    PartyLeft,
    RecordingFinished,
    RecordingMissing,
    TalkHeld,
    TalkResumed,
)
from facts.parties import PartyEnd, PartyFailure, PartyKind
from facts.requests import AddParty, CallEmergency, DropParty, JoinParties, MuteParty, UnmuteParty
from facts.terms import Party
from softphone.phones import AgentPhone, Leg, Phones, Sound, likeness
from tests.live import sounds
from tests.live.centre import Centre
from tests.live.gateway import Gateway, GatewayCall, Manners
from tests.live.test_parties import (
    GRID,
    POWER,
    TONE_OF_POWER,
    WITHIN,
    all_hear_each_other,
    colleague,
    hears_for,
    is_busy,
    seconds_with,
    until_free,
    until_hears,
    until_ready,
)

RESCUE = "02412345"
TONE_OF_RESCUE, TONE_OF_CITIZEN, TONE_OF_CALLED_BACK = 1650, 700, 1730


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(
        outbound=way_out.address,
        wrap_up_time=1,
        party_directory=f"{POWER}={GRID}",
        party_rings=5,
        emergency_to=f"120={RESCUE}",
    ) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        yield centre


@pytest.fixture
async def gateway(way_out: Gateway) -> AsyncIterator[Gateway]:
    async with way_out as made:
        made.manners[GRID] = Manners(answer_after=0.3, tone=TONE_OF_POWER)
        made.manners[RESCUE] = Manners(answer_after=0.3, tone=TONE_OF_RESCUE)
        yield made


@dataclass
class Talk:
    """1001 has called this citizen back."""

    centre: Centre
    citizen: GatewayCall
    agent: AgentPhone
    call: str

    @property
    def at_agent(self) -> Leg:
        return self.agent.offers[-1]

    async def add(self, to: str, how: str = "now") -> str:
        return (await self.centre.ask(AddParty("1001", to, how, "wang"))).party

    async def joined(self, party: str) -> PartyJoined:
        return await self.centre.fact(PartyJoined, WITHIN, party=party)

    async def left(self, party: str) -> PartyLeft:
        return await self.centre.fact(PartyLeft, WITHIN, party=party)

    async def ended(self) -> CallbackEnded:
        """The callback is over for its agent, reached."""
        ended = await self.centre.fact(CallbackEnded, WITHIN, call=self.call)
        assert (ended.agent, ended.failure) == ("1001", "")
        return ended

    async def over(self) -> None:
        """No channel is left, the agent is free, and the citizen has not become a call of their own."""
        await self.ended()
        await self.centre.until(
            lambda: "0 active channels" in self.centre.asterisk("core show channels count"),
            WITHIN,
            "no channel to be left",
        )
        await self.centre.presence("1001", "ready")
        assert not [one for one in self.centre.facts(CallArrived) if one.origin == self.call]
        assert len(self.centre.facts(CallbackEnded, call=self.call)) == 1

    async def recorded(self, *, whole: bool = True) -> tuple[Sound, Sound]:
        """The one recording: citizen left, agent right. Not `whole`: the recorder says that a part is missing."""
        await self.centre.fact(RecordingFinished, 20, call=self.call)
        assert (self.centre.facts(RecordingMissing, call=self.call) == []) == whole
        return sounds.recording(self.centre.home, self.call)


async def talk(centre: Centre, phones: Phones, gateway: Gateway, number: str) -> Talk:
    gateway.manners[number] = Manners(answer_after=0.2, tone=TONE_OF_CITIZEN)
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    await centre.cli("callback", "add", number)
    added = await centre.fact(CallbackAdded, number=f"+86{number}")
    answered = await centre.fact(CallbackAnswered, 10, callback=added.callback)
    one = Talk(centre, gateway.of(number)[-1], agent, answered.call)
    gateway.manners[number] = Manners(answer_after=0.3, tone=TONE_OF_CALLED_BACK)
    await all_hear_each_other(one.citizen, one.at_agent)
    return one


async def rescued(one: Talk) -> tuple[str, GatewayCall]:
    """The agent's key brings 120 in: the party's id, and the service's phone."""
    before = len(one.centre.facts(PartyJoined))
    await one.at_agent.press("*120")
    joined = await one.centre.fact(PartyJoined, WITHIN, count=before + 1)
    service = one.citizen.gateway.of(RESCUE)[-1]
    await all_hear_each_other(one.citizen, one.at_agent, service)
    return joined.party, service


async def test_one_key_brings_an_emergency_service_in_and_the_agent_may_leave(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await talk(centre, phones, gateway, "13900000301")
    party, service = await rescued(one)
    asked = await centre.fact(PartyAsked, party=party)
    assert (asked.call, asked.agent, asked.who, asked.number) == (
        *(one.call, "1001", PartyKind.EMERGENCY, RESCUE),
    )
    assert service.caller == "13900000301"
    assert (await centre.ask(CallEmergency("1001", "120"))).party == party
    await hears_for(one.citizen, 1.0, one.agent.tone, TONE_OF_RESCUE)
    await one.at_agent.hang_up()
    assert (await one.ended()).hung_up_by is Party.AGENT
    await all_hear_each_other(one.citizen, service)
    await hears_for(one.citizen, 2.0, TONE_OF_RESCUE)
    await centre.presence("1001", "ready")
    service.hang_up()
    assert (await one.left(party)).why is PartyEnd.HUNG_UP
    await one.citizen.until(lambda: one.citizen.ended_at)
    await one.over()
    left, right = await one.recorded()
    assert seconds_with(left, TONE_OF_CITIZEN, TONE_OF_RESCUE, among=2) > 0.8
    assert seconds_with(left[-left.size // 3 :], TONE_OF_CITIZEN, among=1) > 0.8
    assert seconds_with(right, TONE_OF_RESCUE, among=1) > 1.5


async def test_a_citizen_who_is_dropped_in_an_emergency_is_called_back_and_joined_again(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await talk(centre, phones, gateway, "13900000302")
    party, service = await rescued(one)
    one.citizen.hang_up()
    back = await centre.fact(PartyAsked, call=one.call, who=PartyKind.CITIZEN)
    called = await gateway.call(2, "13900000302")
    assert called.caller == "12345"
    await one.joined(back.party)
    await all_hear_each_other(called, one.at_agent, service)
    assert centre.facts(CallbackEnded, call=one.call) == []
    await hears_for(one.at_agent, 1.0, TONE_OF_RESCUE, TONE_OF_CALLED_BACK)
    service.hang_up()
    await one.left(party)
    await all_hear_each_other(called, one.at_agent)
    await hears_for(one.at_agent, 1.0, TONE_OF_CALLED_BACK)
    await one.at_agent.hang_up()
    await called.until(lambda: called.ended_at)
    assert not called.hung_up_here
    await one.left(back.party)
    await one.over()
    left, right = await one.recorded()
    assert seconds_with(left, TONE_OF_CITIZEN, among=1) > 0.3
    assert seconds_with(left, TONE_OF_RESCUE, TONE_OF_CALLED_BACK, among=2) > 0.5
    assert seconds_with(left, TONE_OF_CALLED_BACK, among=1) > 0.5
    assert seconds_with(right[-right.size // 3 :], one.agent.tone, among=1) > 0.3


async def test_a_colleague_joins_and_whoever_leaves_the_others_talk_on(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await talk(centre, phones, gateway, "13900000311")
    second = await colleague(centre, phones)
    party = await one.add("1002")
    await one.joined(party)
    at_second = second.offers[-1]
    await all_hear_each_other(one.citizen, one.at_agent, at_second)
    assert is_busy(centre, "1002")
    # The colleague leaves: the two others talk on. They come back, with a department.
    await at_second.hang_up()
    assert (await one.left(party)).why is PartyEnd.HUNG_UP
    await all_hear_each_other(one.citizen, one.at_agent)
    party, power = await one.add("1002"), await one.add(POWER)
    await one.joined(party)
    await one.joined(power)
    at_second, outside = second.offers[-1], gateway.of(GRID)[-1]
    await all_hear_each_other(one.citizen, one.at_agent, at_second, outside)
    await one.at_agent.hang_up()
    await one.ended()
    await all_hear_each_other(one.citizen, at_second, outside)
    # One of the two: the other talks on with the citizen, and the recording goes on with them.
    await at_second.hang_up()
    await all_hear_each_other(one.citizen, outside)
    await hears_for(one.citizen, 1.5, TONE_OF_POWER)
    one.citizen.hang_up()
    assert (await one.left(power)).why is PartyEnd.TALK_OVER
    await one.over()
    await until_free(centre, "1002")
    left, right = await one.recorded()
    assert seconds_with(right, TONE_OF_POWER, among=1) > 1.0
    assert seconds_with(left[-left.size // 4 :], TONE_OF_CITIZEN, among=1) > 0.8


async def test_the_citizen_leaves_two_who_were_brought_in(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    """With the agent there, and without: then it is over for all."""
    second = await colleague(centre, phones)
    for number, agent_stays in (("13900000321", True), ("13900000322", False)):
        one = await talk(centre, phones, gateway, number)
        ids = [await one.add("1002"), await one.add(POWER)]
        for party in ids:
            await one.joined(party)
        others = second.offers[-1], gateway.of(GRID)[-1]
        await all_hear_each_other(one.citizen, one.at_agent, *others)
        if not agent_stays:
            await one.at_agent.hang_up()
            await all_hear_each_other(one.citizen, *others)
        one.citizen.hang_up()
        for party in ids:
            assert (await one.left(party)).why is PartyEnd.TALK_OVER
        ended = await one.ended()
        assert ended.hung_up_by is (Party.CALLER if agent_stays else Party.AGENT)
        await one.over()
        await until_free(centre, "1002")


async def test_consulted_first_then_joined_muted_heard_again_and_dropped(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await talk(centre, phones, gateway, "13900000331")
    second = await colleague(centre, phones)
    party = await one.add("1002", "consult")
    held = await centre.fact(TalkHeld, call=one.call)
    await centre.fact(PartyAnswered, party=party)
    at_second = second.offers[-1]
    await until_hears(one.at_agent, second.tone, but=[TONE_OF_CITIZEN])
    await until_hears(at_second, one.agent.tone, but=[TONE_OF_CITIZEN])
    await centre.until(
        lambda: max(likeness(music, one.citizen.heard(0.5)) for music in sounds.music()) > 0.8,
        WITHIN,
        "music at the citizen",
    )
    await centre.ask(JoinParties("1001", "wang"))
    resumed = await centre.fact(TalkResumed, call=one.call)
    joined = await one.joined(party)
    assert resumed.at == joined.at > held.at
    await all_hear_each_other(one.citizen, one.at_agent, at_second)
    await centre.ask(MuteParty("1001", party))
    await until_hears(one.citizen, one.agent.tone, but=[second.tone])
    await until_hears(one.at_agent, TONE_OF_CITIZEN, but=[second.tone])
    await centre.ask(UnmuteParty("1001", party))
    await all_hear_each_other(one.citizen, one.at_agent, at_second)
    await centre.ask(DropParty("1001", party, "wang"))
    left = await one.left(party)
    assert (left.why, left.by) == (PartyEnd.DROPPED, "wang")
    await all_hear_each_other(one.citizen, one.at_agent)
    # Nobody is left, so the agent may hand the citizen on again; here the citizen hangs up.
    one.citizen.hang_up()
    assert (await one.ended()).hung_up_by is Party.CALLER
    await one.over()


async def test_an_agent_who_leaves_a_consultation_connects_the_two_others(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await talk(centre, phones, gateway, "13900000332")
    second = await colleague(centre, phones)
    party = await one.add("1002", "consult")
    await centre.fact(PartyAnswered, party=party)
    at_second = second.offers[-1]
    await until_hears(one.at_agent, second.tone)
    await one.at_agent.hang_up()
    await one.joined(party)
    await all_hear_each_other(one.citizen, at_second)
    await at_second.hang_up()
    await one.citizen.until(lambda: one.citizen.ended_at)
    await one.over()


async def test_who_is_called_in_vain_leaves_the_talk_as_it_was(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await talk(centre, phones, gateway, "13900000333")
    second = await colleague(centre, phones)
    second.answer_after = None
    party = await one.add("1002", "consult")
    assert (await centre.fact(PartyFailed, 15, party=party)).why is PartyFailure.NO_ANSWER
    await all_hear_each_other(one.citizen, one.at_agent)
    # The agent hangs up while a phone rings: nobody is called any more.
    party = await one.add("1002")
    await second.until_rings(len(second.offers))
    await one.at_agent.hang_up()
    assert (await centre.fact(PartyFailed, party=party)).why is PartyFailure.WITHDRAWN
    await one.citizen.until(lambda: one.citizen.ended_at)
    await one.over()


@pytest.mark.parametrize("state", ["consulted", "joined", "without the agent", "agent leaves"])
async def test_a_killed_controller_costs_no_talk_and_the_next_one_knows_the_parties(
    centre: Centre, phones: Phones, gateway: Gateway, state: str
) -> None:
    one = await talk(centre, phones, gateway, f"139000004{len(state):02}")
    second = await colleague(centre, phones)
    party = await one.add("1002", "consult" if state == "consulted" else "now")
    at_second = await second.until_rings(len(second.offers) or 1)
    if state == "consulted":
        await until_hears(one.at_agent, second.tone)
    else:
        await all_hear_each_other(one.citizen, one.at_agent, at_second)
    if state == "without the agent":
        await one.at_agent.hang_up()
        await one.ended()
        await all_hear_each_other(one.citizen, at_second)
    starts = len(centre.facts(ControllerStarted))
    centre.kill_controller(for_good=state == "agent leaves")
    if state == "agent leaves":
        await one.at_agent.hang_up()
        await all_hear_each_other(one.citizen, at_second)
        # What is said until the next controller is there is not recorded.
        centre.expected.append(f'"recording.incomplete","call_id":"{one.call}"')
        centre.revive()
    await until_ready(centre, starts + 1)
    if state == "consulted":
        await until_hears(one.at_agent, second.tone, but=[TONE_OF_CITIZEN])
        await centre.ask(JoinParties("1001"))
    if state in ("consulted", "joined"):
        await one.joined(party)
        await all_hear_each_other(one.citizen, one.at_agent, at_second)
        await centre.ask(DropParty("1001", party))
        await at_second.until_ended()
        await all_hear_each_other(one.citizen, one.at_agent)
        one.citizen.hang_up()
    else:
        await all_hear_each_other(one.citizen, at_second)
        await hears_for(one.citizen, 1.0, second.tone)
        await at_second.hang_up()
    await one.left(party)
    await one.citizen.until(lambda: one.citizen.ended_at)
    await one.over()
    told = [fact for fact in centre.diary(one.call) if getattr(fact, "party", "") == party]
    kinds = [PartyAnswered] if state == "consulted" else []
    assert [type(fact) for fact in told] == [PartyAsked, *kinds, PartyJoined, PartyLeft]
    await until_free(centre, "1002")
    _, right = await one.recorded(whole=state != "agent leaves")
    if state in ("without the agent", "agent leaves"):
        assert seconds_with(right[-right.size // 3 :], second.tone, among=1) > 0.5


async def test_diary_and_asterisks_own_record_agree_after_all_of_it(centre: Centre) -> None:
    await centre.verified()
