"""Phones that die in a talk, and those that only say nothing: whose citizen waits again, and whose talk goes on."""

import asyncio
from collections.abc import Iterator

import pytest

from base import clock
from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackEnded,
    CallEnded,
    CallTransferred,
    OfferAnswered,
    PhoneLost,
    TalkEnded,
    TalkResumed,
    WrapUpStarted,
)
from facts.terms import Outcome, Party
from facts.times import SECOND
from softphone.phones import Leg, Phones
from tests.live.centre import NUMBER, PASSWORD, Centre
from tests.live.deskphone import DeskPhone
from tests.live.gateway import Gateway, Manners

GREETING = 18.0
STEADY = 4.5
"""Seconds of a talk after which the watch knows its sound."""
MUTED = 6.0
"""Seconds of silence after which a new address is no sign of a reload any more (`telephony.pulse.RELOAD_WITHIN`)."""


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(ring_time=20, wrap_up_time=30, outbound=way_out.address) as made:
        made.add_agent("1001", "1002")
        made.shorten_greeting()
        made.run("queue", "set", "default", "call_back_lost=no")
        yield made


async def talk(centre: Centre, phones: Phones, phone: DeskPhone, caller: str) -> tuple[Leg, str]:
    """The agent of this phone is ready, the citizen calls, and they talk. The citizen's leg and the call's id."""
    await phone.sign_in()
    await centre.cli("agent", "ready", phone.number)
    leg = await phones.citizen(caller).dial(NUMBER)
    await phone.until_rings(1, GREETING)
    await leg.until_hears(phone.tone, GREETING)
    call = await centre.call_id(caller)
    await centre.fact(OfferAnswered, call=call)
    await asyncio.sleep(STEADY)
    return leg, call


async def over(centre: Centre, leg: Leg, *numbers: str) -> None:
    """The citizen hangs up, and nobody is ready."""
    await leg.hang_up()
    for number in numbers:
        await centre.cli("agent", "out", number)


async def test_a_phone_that_is_reloaded_gets_its_citizen_back(
    centre: Centre, phones: Phones
) -> None:
    async with DeskPhone(centre.sip, "1001", PASSWORD) as phone:
        leg, call = await talk(centre, phones, phone, "13900200001")
        await phone.reload()
        registered = clock.now()
        lost = await centre.fact(PhoneLost, 20, call=call, agent="1001")
        assert lost.at - registered < 5 * SECOND, "sooner than silence tells"
        await phone.until_rings(2)
        await leg.until_hears(phone.tone)
        ended = await centre.fact(TalkEnded, call=call, agent="1001")
        assert ended.hung_up_by is Party.SYSTEM
        assert 0 <= ended.at - lost.at < 3 * SECOND
        assert not [one for one in centre.facts(WrapUpStarted, agent="1001") if one.at < ended.at]
        await over(centre, leg, "1001")
        row = await centre.call("13900200001")
        assert row["outcome"] == Outcome.HUMAN.value


async def test_a_phone_that_is_reloaded_at_its_old_address_does_not_know_the_call(
    centre: Centre, phones: Phones
) -> None:
    async with DeskPhone(centre.sip, "1001", PASSWORD) as phone:
        leg, call = await talk(centre, phones, phone, "13900200002")
        await phone.reload(same_port=True)
        registered = clock.now()
        lost = await centre.fact(PhoneLost, 20, call=call, agent="1001")
        assert lost.at - registered < 5 * SECOND, "sooner than silence tells"
        await phone.until_rings(2)
        await leg.until_hears(phone.tone)
        ended = await centre.fact(TalkEnded, call=call, agent="1001")
        assert ended.hung_up_by is Party.SYSTEM
        await over(centre, leg, "1001")


async def test_a_phone_that_is_started_again_without_a_word_is_asked_within_the_call(
    centre: Centre, phones: Phones
) -> None:
    """It answers OPTIONS, and does not register. Nothing but the silence tells."""
    async with DeskPhone(centre.sip, "1001", PASSWORD) as phone:
        leg, call = await talk(centre, phones, phone, "13900200003")
        await phone.reload(same_port=True, register=False)
        began = clock.now()
        lost = await centre.fact(PhoneLost, 20, call=call, agent="1001")
        assert lost.at - began > 7 * SECOND
        await phone.until_rings(2)
        await leg.until_hears(phone.tone)
        await over(centre, leg, "1001")


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_a_muted_phone_without_reports_that_is_reloaded_elsewhere(
    centre: Centre, phones: Phones, tcp: bool
) -> None:
    """The new phone answers OPTIONS. Only a question within the call tells that nobody is there any more."""
    async with DeskPhone(centre.sip, "1001", PASSWORD, tcp=tcp) as phone:
        phone.reports = False
        leg, call = await talk(centre, phones, phone, f"1390020005{tcp:d}")
        phone.muted = True
        await asyncio.sleep(MUTED)
        await phone.reload()
        phone.muted = False
        await centre.fact(PhoneLost, 20, call=call, agent="1001")
        await phone.until_rings(2)
        await leg.until_hears(phone.tone)
        await over(centre, leg, "1001")


async def test_a_living_muted_phone_without_reports_is_told_from_a_reloaded_one(
    centre: Centre, phones: Phones
) -> None:
    """Another phone of the agent registers; a phone has another address behind its router (NAT)."""
    async with (
        DeskPhone(centre.sip, "1001", PASSWORD) as phone,
        DeskPhone(centre.sip, "1001", PASSWORD, tone=2700) as beside,
        DeskPhone(centre.sip, "1002", PASSWORD, tone=2900) as moving,
    ):
        phone.reports = moving.reports = False
        leg, call = await talk(centre, phones, phone, "13900200061")
        second, another = await talk(centre, phones, moving, "13900200062")
        moving.muted = True
        await asyncio.sleep(MUTED - 2)
        phone.muted = True
        await asyncio.sleep(2)
        await beside.sign_in()
        await moving.move()
        await asyncio.sleep(8)
        assert "INVITE" in phone.asked
        assert "INVITE" not in moving.asked
        for one, at, its in ((phone, leg, call), (moving, second, another)):
            one.muted = False
            await at.until_hears(one.tone)
            assert not centre.facts(PhoneLost, call=its)
        await leg.hang_up()
        await over(centre, second, "1001", "1002")


async def test_a_phone_that_holds_its_talk_is_asked_and_goes_on_holding(
    centre: Centre, phones: Phones
) -> None:
    async with DeskPhone(centre.sip, "1001", PASSWORD, tone=2700) as beside:
        agent = await centre.agent(phones, "1001", answer_after=0.1)
        leg = await phones.citizen("13900200071").dial(NUMBER)
        await leg.until_hears(agent.tone, GREETING)
        call = await centre.call_id("13900200071")
        await agent.offers[-1].hold()
        await asyncio.sleep(3)
        await beside.sign_in()
        await asyncio.sleep(7)
        assert not leg.hears(agent.tone)
        assert not centre.facts(PhoneLost, TalkEnded, TalkResumed, call=call)
        await agent.offers[-1].resume()
        await leg.until_hears(agent.tone)
        await over(centre, leg, "1001")


@pytest.mark.parametrize("muted", [False, True], ids=["who speaks", "who was muted"])
async def test_a_phone_that_dies_without_a_word(
    centre: Centre, phones: Phones, muted: bool
) -> None:
    caller = f"1390020001{muted:d}"
    async with (
        DeskPhone(centre.sip, "1001", PASSWORD) as phone,
        DeskPhone(centre.sip, "1002", PASSWORD, tone=2900) as other,
    ):
        leg, call = await talk(centre, phones, phone, caller)
        if muted:
            phone.muted = True
            await asyncio.sleep(6)
        await other.sign_in()
        await centre.cli("agent", "ready", "1002")
        phone.die()
        await centre.fact(PhoneLost, 20, call=call, agent="1001")
        await centre.fact(CallTransferred, call=call, agent="", to="")
        await leg.until_hears(other.tone)
        await centre.presence("1001", "unreachable")
        await asyncio.sleep(1.5)  # the one-second rule: only then have they talked
        await over(centre, leg, "1001", "1002")
        row = await centre.call(caller)
        assert row["agents"] == ["1001", "1002"]
        assert row["outcome"] == Outcome.HUMAN.value


async def test_silence_ends_no_talk_and_no_wait(centre: Centre, phones: Phones) -> None:
    """`dead_phone_after` is 8 s: three times as long pass here."""
    async with (
        DeskPhone(centre.sip, "1001", PASSWORD) as phone,
        DeskPhone(centre.sip, "1002", PASSWORD, tone=2900) as mute,
    ):
        leg, call = await talk(centre, phones, phone, "13900200021")
        second, another = await talk(centre, phones, mute, "13900200022")
        third = await phones.citizen("13900200023").dial(NUMBER)
        await third.until_answered()
        # One that reports (RTCP), and one that says nothing at all: both answer OPTIONS, and register again.
        phone.muted = True
        mute.muted, mute.reports = True, False
        leg.silent = third.silent = True
        await asyncio.sleep(12)
        await phone.sign_in()
        await mute.sign_in()
        await asyncio.sleep(12)
        phone.muted = False
        await leg.until_hears(phone.tone)
        assert second.talking
        assert third.talking
        assert not centre.facts(PhoneLost, call=call)
        assert not centre.facts(PhoneLost, call=another)
        await third.hang_up()
        await over(centre, second, "1001", "1002")
        await leg.hang_up()


async def test_a_second_phone_of_the_agent_cuts_no_living_talk(
    centre: Centre, phones: Phones
) -> None:
    async with (
        DeskPhone(centre.sip, "1001", PASSWORD) as phone,
        DeskPhone(centre.sip, "1001", PASSWORD, tone=2900) as second,
    ):
        leg, call = await talk(centre, phones, phone, "13900200031")
        await second.sign_in()
        await asyncio.sleep(6)
        await leg.until_hears(phone.tone)
        assert not centre.facts(PhoneLost, call=call)
        await over(centre, leg, "1001")
        await centre.fact(CallEnded, call=call)


async def test_a_citizen_who_was_called_back_waits_for_another_agent(
    centre: Centre, phones: Phones, way_out: Gateway
) -> None:
    async with (
        way_out,
        DeskPhone(centre.sip, "1001", PASSWORD) as phone,
        DeskPhone(centre.sip, "1002", PASSWORD, tone=2900) as other,
    ):
        way_out.manners["13900200041"] = Manners(answer_after=0.2)
        await phone.sign_in()
        await centre.cli("agent", "ready", "1001")
        await centre.cli("callback", "add", "13900200041")
        answered = await centre.fact(CallbackAnswered, 15)
        await asyncio.sleep(STEADY)
        await other.sign_in()
        await centre.cli("agent", "ready", "1002")
        await phone.reload()
        arrived = await centre.fact(CallArrived, origin=answered.call)
        ended = await centre.fact(CallbackEnded, call=answered.call)
        assert ended.hung_up_by is Party.SYSTEM
        await centre.fact(OfferAnswered, 8, call=arrived.call, agent="1002")
        citizen = way_out.of("13900200041")[0]
        assert not citizen.ended_at
        citizen.hang_up()
        await centre.fact(CallEnded, call=arrived.call)
        for number in ("1001", "1002"):
            await centre.cli("agent", "out", number)
