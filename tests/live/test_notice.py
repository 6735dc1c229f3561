"""Phones that ring while the caller still hears the recording notice (`offer_in_notice`), on real telephones."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from facts import (
    CallEnded,
    CallQueued,
    CallTransferred,
    ControllerStarted,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    RecordingFinished,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from softphone.phones import Leg, Phones
from tests.live import sounds
from tests.live.centre import NUMBER, PROMPTS, Centre
from tests.live.gateway import Gateway
from tests.live.test_inbound_first import cancel_all, dialled

NOTICE = "greeting_12345"
"""What this centre says as its recording notice: a sentence of 7.9 seconds, so that much can happen meanwhile."""

LASTS = (PROMPTS / f"{NOTICE}.alaw").stat().st_size / 8000
LATE = 5
"""Seconds after the notice within which a talk has begun, also on a busy machine."""
BEGINS = 15.0
"""Seconds within which the notice has begun, also on a busy machine."""


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(
        outbound=way_out.address, ring_time=12, announce_every=60, retry_pause=1, retries=60
    ) as centre:
        centre.add_agent("1001", "1002")
        short = (PROMPTS / "greeting_12345.alaw").read_bytes()[:4000]
        long = (PROMPTS / f"{NOTICE}.alaw").read_bytes()
        centre.change_prompts(greeting_12345=short, recording_notice=long)
        centre.run("queue", "set", "default", "offer_in_notice=yes")
        centre.run("queue", "set", "default", "call_back_lost=no")
        yield centre


async def queued(centre: Centre, phones: Phones, caller: str) -> tuple[Leg, CallQueued]:
    """A citizen who has begun to hear the notice."""
    leg = await phones.citizen(caller).dial(NUMBER)
    fact = await centre.fact(CallQueued, BEGINS, call=await centre.call_id(caller))
    return leg, fact


def told(centre: Centre, call: str) -> list[str]:
    """What the diary says of the offers of this call, in order."""
    kinds = (OfferMade, OfferRinging, OfferAnswered, OfferEnded, TalkEnded, CallEnded)
    return [type(fact).__name__ for fact in centre.facts(*kinds, call=call)]


async def was_played_whole(centre: Centre, leg: Leg, call: str) -> bool:
    """Whether the caller was sent all of the notice, as their telephone or the recording has it.

    On a busy machine packets are lost on the way, and the recording has gaps. A notice that was cut short ends before
    its second half.
    """
    await centre.fact(RecordingFinished, 30, call=call)
    _, sent = sounds.recording(centre.home, call)
    return max(sounds.spoken(NOTICE, sound) for sound in (leg.heard(), sent)) > 0.5


async def settled(centre: Centre, leg: Leg, caller: str, *, whole: bool = True) -> dict[str, Any]:
    """Hang up, and the call as `hotline calls` shows it. `whole`: the caller was sent all of the notice."""
    await leg.hang_up()
    row = await centre.call(caller)
    if whole:
        assert await was_played_whole(centre, leg, row["id"])
    return row


async def test_the_agent_picks_up_and_the_talk_begins_when_the_notice_is_over(
    centre: Centre, phones: Phones
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.3)
    leg, joined = await queued(centre, phones, "13900000001")
    offer = await agent.until_rings(1)
    await offer.until_answered()
    assert centre.facts(OfferAnswered, call=joined.call) == []
    await offer.until_hears(450)
    await leg.until_hears(agent.tone, LASTS + 10)
    await offer.until_hears(leg.tone)
    await asyncio.sleep(1)  # a talk of less is none
    answered = await centre.fact(OfferAnswered, call=joined.call)
    assert LASTS * SECOND <= answered.at - joined.at < (LASTS + LATE) * SECOND
    row = await settled(centre, leg, "13900000001")
    assert row["outcome"] == "human"
    assert told(centre, joined.call) == [
        "OfferMade",
        "OfferRinging",
        "OfferAnswered",
        "TalkEnded",
        "CallEnded",
    ]


async def test_the_agent_picks_up_after_the_notice(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001", answer_after=LASTS + 1)
    leg, joined = await queued(centre, phones, "13900000002")
    offer = await agent.until_rings(1)
    await leg.until_hears(agent.tone, LASTS + 10)
    await asyncio.sleep(1)
    assert offer.seconds_of(450) < 0.2, "nothing but the citizen"
    answered = await centre.fact(OfferAnswered, call=joined.call)
    assert (LASTS + 0.9) * SECOND < answered.at - joined.at < (LASTS + LATE) * SECOND
    row = await settled(centre, leg, "13900000002")
    assert row["outcome"] == "human"


async def test_an_agent_becomes_ready_while_the_notice_plays(
    centre: Centre, phones: Phones
) -> None:
    leg, joined = await queued(centre, phones, "13900000003")
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    await agent.until_rings(1)
    await leg.until_hears(agent.tone, LASTS + 10)
    answered = await centre.fact(OfferAnswered, call=joined.call)
    assert LASTS * SECOND <= answered.at - joined.at < (LASTS + LATE) * SECOND
    await settled(centre, leg, "13900000003")


async def test_the_talk_is_like_any_other(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    leg, joined = await queued(centre, phones, "13900000009")
    await leg.until_hears(agent.tone, LASTS + 10)
    talk = agent.offers[0]
    await centre.fact(OfferAnswered, call=joined.call)
    await talk.hold()
    await centre.fact(TalkHeld, call=joined.call, agent="1001")
    await talk.resume()
    await centre.fact(TalkResumed, call=joined.call, agent="1001")
    colleague = await centre.agent(phones, "1002", answer_after=0.1)
    await talk.transfer("1002")
    await leg.until_hears(colleague.tone, 8)
    await centre.fact(CallTransferred, call=joined.call, to="1002")
    await asyncio.sleep(1)
    row = await settled(centre, leg, "13900000009")
    assert row["outcome"] == "human"


@pytest.mark.parametrize(("stays", "rings"), [("no", 2), ("yes", 1)])
async def test_a_callback_yields_to_a_caller_who_hears_the_notice(
    centre: Centre, phones: Phones, way_out: Gateway, stays: str, rings: int
) -> None:
    await centre.cli("queue", "set", "default", f"stay_on_line={stays}")
    way_out.calls.clear()
    try:
        async with way_out:
            agent = await centre.agent(phones, "1001", answer_after=0.1)
            call = await dialled(centre, way_out, "13800000001")
            leg, joined = await queued(centre, phones, f"1390000003{rings}")
            await call.until(lambda: call.cancelled_at)
            await leg.until_hears(agent.tone, LASTS + 10)
            answered = await centre.fact(OfferAnswered, call=joined.call)
            assert LASTS * SECOND <= answered.at - joined.at < (LASTS + LATE) * SECOND
            assert len(agent.offers) == rings
            await cancel_all(centre)
            await settled(centre, leg, f"1390000003{rings}")
    finally:
        await centre.cli("queue", "set", "default", "stay_on_line=")


async def test_nobody_is_there_and_the_caller_hears_so_after_the_notice(
    centre: Centre, phones: Phones
) -> None:
    leg, _ = await queued(centre, phones, "13900000004")
    await centre.until(
        lambda: sounds.spoken("agents_away", leg.heard(20)) > 0.4, LASTS + 40, "the truth"
    )
    row = await settled(centre, leg, "13900000004")
    assert row["outcome"] == "abandoned_queue"


async def test_a_caller_who_leaves_during_the_notice_silences_the_phone(
    centre: Centre, phones: Phones
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=None)
    leg, joined = await queued(centre, phones, "13900000005")
    offer = await agent.until_rings(1)
    row = await settled(centre, leg, "13900000005", whole=False)
    await offer.until_ended()
    assert row["outcome"] == "abandoned_ringing"
    ended = await centre.fact(OfferEnded, call=joined.call)
    assert ended.reason is OfferReason.CALLER_GONE
    await centre.presence("1001", "ready")


async def test_a_caller_who_leaves_lets_go_the_agent_who_has_picked_up(
    centre: Centre, phones: Phones
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    leg, joined = await queued(centre, phones, "13900000006")
    offer = await agent.until_rings(1)
    await offer.until_answered()
    row = await settled(centre, leg, "13900000006", whole=False)
    await offer.until_ended()
    assert row["outcome"] == "abandoned_ringing"
    assert told(centre, joined.call) == ["OfferMade", "OfferRinging", "OfferEnded", "CallEnded"]
    await centre.presence("1001", "ready")


async def test_an_agent_who_refuses_leaves_the_notice_uninterrupted(
    centre: Centre, phones: Phones
) -> None:
    first = await centre.agent(phones, "1001", refuses=True)
    second = await centre.agent(phones, "1002", answer_after=0.3)
    leg, joined = await queued(centre, phones, "13900000007")
    await first.until_rings(1)
    await second.until_rings(1)
    await leg.until_hears(second.tone, LASTS + 10)
    answered = await centre.fact(OfferAnswered, call=joined.call, agent="1002")
    assert LASTS * SECOND <= answered.at - joined.at < (LASTS + LATE) * SECOND
    await settled(centre, leg, "13900000007")
    # Session and AMI both tell of a refusal, on a busy machine in either order.
    assert {fact.agent for fact in centre.facts(OfferEnded, call=joined.call)} == {"1001"}


async def test_an_agent_who_hangs_up_in_the_notice_has_refused(
    centre: Centre, phones: Phones
) -> None:
    first = await centre.agent(phones, "1001", answer_after=0.1, hang_up_after=1)
    second = await centre.agent(phones, "1002", answer_after=0.1)
    leg, joined = await queued(centre, phones, "13900000008")
    await first.until_rings(1)
    await second.until_rings(1)
    await leg.until_hears(second.tone, LASTS + 10)
    ended = await centre.fact(OfferEnded, call=joined.call)
    assert (ended.agent, ended.reason) == ("1001", OfferReason.REFUSED)
    assert first.offers[0].seconds_of(leg.tone) < 0.2
    await settled(centre, leg, "13900000008")
    answered = centre.facts(OfferAnswered, call=joined.call)
    assert [fact.agent for fact in answered] == ["1002"]


async def test_kill_9_while_a_phone_rings_and_an_agent_waits(
    centre: Centre, phones: Phones
) -> None:
    waits = await centre.agent(phones, "1001", answer_after=0.1)
    rings = await centre.agent(phones, "1002", answer_after=LASTS - 2)
    legs = [await queued(centre, phones, f"1390000001{n}") for n in range(2)]
    offer = await waits.until_rings(1)
    await rings.until_rings(1)
    await offer.until_answered()
    centre.kill_controller()
    for (leg, _), agent in zip(legs, (waits, rings), strict=True):
        await leg.until_hears(agent.tone, LASTS + 10)
    await centre.fact(ControllerStarted, 20, count=2)
    for number in ("1001", "1002"):
        await centre.presence(number, "talking")
    for (leg, joined), number in zip(legs, ("1001", "1002"), strict=True):
        answered = await centre.fact(OfferAnswered, call=joined.call, agent=number)
        assert LASTS * SECOND <= answered.at - joined.at < (LASTS + LATE) * SECOND
        await leg.hang_up()
        ended = await centre.fact(TalkEnded, call=joined.call)
        assert ended.hung_up_by is Party.CALLER
        assert await was_played_whole(centre, leg, joined.call)


async def test_kill_9_while_only_the_notice_plays(centre: Centre, phones: Phones) -> None:
    leg, joined = await queued(centre, phones, "13900000021")
    centre.kill_controller()
    await centre.fact(ControllerStarted, 20, count=3)
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    await leg.until_hears(agent.tone, 10)
    assert told(centre, joined.call)[:1] == ["OfferMade"]
    await settled(centre, leg, "13900000021", whole=False)


async def test_an_agent_who_waits_does_not_stay_for_ever_without_a_controller(
    centre: Centre, phones: Phones
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    leg, _ = await queued(centre, phones, "13900000022")
    offer = await agent.until_rings(1)
    await offer.until_answered()
    centre.kill_controller(for_good=True)
    await leg.hang_up()
    await offer.until_ended()
    centre.revive()
    row = await centre.call("13900000022", 20)
    assert row["outcome"] == "abandoned_ringing"
    await centre.presence("1001", "ready")
