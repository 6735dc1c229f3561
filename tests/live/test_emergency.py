"""An emergency service is called into a talk (R16), against a simulated centre at the operator's gateway."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from facts import (
    CallArrived,
    CallEnded,
    ControllerStarted,
    PartyAsked,
    PartyFailed,
    PartyJoined,
    PartyLeft,
    RecordingFinished,
    RecordingMissing,
)
from facts.parties import PartyEnd, PartyFailure, PartyKind
from facts.requests import CallEmergency
from facts.terms import Party
from facts.times import SECOND
from softphone.phones import Phones, seconds_of
from tests.live import sounds
from tests.live.centre import Centre
from tests.live.gateway import Gateway, GatewayCall, Manners
from tests.live.test_parties import WITHIN, Talk, talk, until_end, until_hears

RESCUE, POLICE = "02412345", "110"
TONE_OF_RESCUE, TONE_OF_CALLED_BACK = 1650, 1730


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    """All outside numbers are forbidden, nobody may be brought in: an emergency is beyond all that."""
    with Centre(
        outbound=way_out.address,
        wrap_up_time=1,
        emergency_to=f"120={RESCUE}, 110={POLICE}",
        dial_deny="0*, 1*",
        dial_budget_day=1,
        party_limit=0,
    ) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        centre.run("queue", "set", "default", "call_back_lost=no")
        yield centre


@pytest.fixture
async def gateway(way_out: Gateway) -> AsyncIterator[Gateway]:
    async with way_out as made:
        made.manners[RESCUE] = Manners(answer_after=0.3, tone=TONE_OF_RESCUE)
        yield made


async def rescued(
    centre: Centre, phones: Phones, gateway: Gateway, caller: str
) -> tuple[Talk, str]:
    """A citizen and 1001, whose key has brought 120 into the talk; gives the party's id."""
    gateway.manners[caller] = Manners(answer_after=0.3, tone=TONE_OF_CALLED_BACK)
    one = await talk(centre, phones, caller)
    before = len(centre.facts(PartyJoined))
    await one.at_agent.press("*120")
    joined = await centre.fact(PartyJoined, WITHIN, count=before + 1)
    await until_hears(one.citizen, one.agent.tone, TONE_OF_RESCUE)
    await until_hears(one.at_agent, one.citizen.tone, TONE_OF_RESCUE)
    return one, joined.party


def service(gateway: Gateway) -> GatewayCall:
    return gateway.of(RESCUE)[-1]


async def test_one_key_brings_the_service_in_with_the_citizens_number(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one, party = await rescued(centre, phones, gateway, "13900000071")
    asked = await centre.fact(PartyAsked, party=party)
    assert (asked.who, asked.number, asked.by) == (PartyKind.EMERGENCY, RESCUE, "")
    assert service(gateway).caller == "13900000071"
    await centre.until(lambda: "emergency" in "".join(centre.log_lines()), 10, "the log")
    # Pressed again, it calls nobody a second time.
    calls = len(gateway.calls)
    assert (await centre.ask(CallEmergency("1001", "120"))).party == party
    assert len(gateway.calls) == calls
    # Whoever leaves, the others talk on: the agent first, the citizen at last.
    await one.at_agent.hang_up()
    await until_hears(one.citizen, TONE_OF_RESCUE)
    service(gateway).hang_up()
    left = await centre.fact(PartyLeft, party=party)
    assert left.why is PartyEnd.HUNG_UP
    await one.citizen.until_ended()
    await until_end(centre, one.call)


async def test_a_citizen_who_is_dropped_is_called_back_at_once_and_joined_again(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one, party = await rescued(centre, phones, gateway, "13900000072")
    await one.citizen.hang_up()
    ended = await centre.fact(CallEnded, call=one.call)
    assert ended.hung_up_by is Party.CALLER
    back = await centre.fact(PartyAsked, call=one.call, who=PartyKind.CITIZEN)
    called = await gateway.call(number="13900000072")
    assert called.caller == "12345"
    await centre.fact(PartyJoined, party=back.party)
    # The agent, who was never alone, hears service and citizen.
    await until_hears(one.at_agent, TONE_OF_RESCUE, TONE_OF_CALLED_BACK)
    service(gateway).hang_up()
    await centre.fact(PartyLeft, party=party)
    await until_hears(one.at_agent, TONE_OF_CALLED_BACK)
    await one.at_agent.hang_up()
    await called.until(lambda: called.ended_at)
    assert not called.hung_up_here
    await until_end(centre, one.call)
    await centre.presence("1001", "ready")
    # One recording has all of it: first the citizen left, then the service, then the citizen who was called back.
    finished = await centre.fact(RecordingFinished, 20, call=one.call)
    assert centre.facts(RecordingMissing, call=one.call) == []
    arrived = await centre.fact(CallArrived, call=one.call)
    over = (await centre.fact(PartyLeft, party=back.party)).at
    assert ended.at - arrived.at < finished.duration <= over - arrived.at + SECOND
    left, right = sounds.recording(centre.home, one.call)
    assert seconds_of(left, one.citizen.tone) > 1
    assert seconds_of(left, TONE_OF_CALLED_BACK) > 0.3
    assert seconds_of(right[-right.size // 2 :], one.agent.tone) > 0.3


async def test_a_centre_that_is_busy_is_told_to_the_agent_who_tries_again(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    gateway.manners[POLICE] = Manners(ring_after=1.5, status=0, answer_after=None)
    one = await talk(centre, phones, "13900000073")
    await one.at_agent.press("*110")
    first = await gateway.call(number=POLICE)
    await first.until(lambda: first.ringing_at)
    await until_hears(one.at_agent, one.citizen.tone)
    first.refuse(486)
    failed = await centre.fact(PartyFailed, call=one.call)
    assert failed.why is PartyFailure.BUSY
    # The agent alone hears a sentence; then both talk on.
    await asyncio.sleep(0.5)
    assert not one.at_agent.hears(one.citizen.tone, 0.3)
    await until_hears(one.at_agent, one.citizen.tone)
    gateway.manners[POLICE] = Manners(answer_after=0.1, tone=TONE_OF_RESCUE)
    await one.at_agent.press("*110")
    await until_hears(one.at_agent, one.citizen.tone, TONE_OF_RESCUE)
    await gateway.of(POLICE)[-1].until(lambda: gateway.of(POLICE)[-1].answered_at)
    gateway.of(POLICE)[-1].hang_up()
    await until_hears(one.citizen, one.agent.tone)
    await one.citizen.hang_up()
    await until_end(centre, one.call)


async def test_a_citizen_who_is_dropped_while_no_controller_runs_is_called_back_by_the_next(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one, _ = await rescued(centre, phones, gateway, "13900000074")
    starts = len(centre.facts(ControllerStarted))
    centre.kill_controller(for_good=True)
    await one.citizen.hang_up()
    await until_hears(one.at_agent, TONE_OF_RESCUE)
    centre.revive()
    await centre.fact(ControllerStarted, 30, count=starts + 1)
    called = await gateway.call(number="13900000074", within=15)
    await until_hears(one.at_agent, TONE_OF_RESCUE, TONE_OF_CALLED_BACK)
    await asyncio.sleep(0.5)
    await one.at_agent.hang_up()
    service(gateway).hang_up()
    await called.until(lambda: called.ended_at)
    await until_end(centre, one.call)
    # What was said while no controller ran is not recorded, and the recorder says so.
    centre.expected.append(f'"recording.incomplete","call_id":"{one.call}"')
    await centre.until(
        lambda: any(centre.expected[-1] in line for line in centre.log_lines()),
        30,
        "the recorder to say that a part is missing",
    )
    # Before and behind that it has all.
    left, _ = sounds.recording(centre.home, one.call)
    assert seconds_of(left, one.citizen.tone) > 1
    assert seconds_of(left, TONE_OF_CALLED_BACK) > 0.3
    assert seconds_of(left, TONE_OF_RESCUE) > 0.1


async def test_diary_and_asterisks_own_record_agree_after_emergencies(centre: Centre) -> None:
    await centre.verified()
