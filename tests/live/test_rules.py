"""Rules that change while calls run: a new number is answered, a new member is rung, nobody loses their place."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from facts import CallArrived, CallQueued, OfferMade
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre

GREETING = 15.0


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with Centre(longest_wait=120) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        yield centre


@pytest.fixture
async def phones(centre: Centre) -> AsyncIterator[Phones]:
    async with Phones(centre.sip) as made:
        yield made


async def test_a_number_that_is_added_is_answered_at_once_and_counted_by_itself(
    centre: Centre, phones: Phones
) -> None:
    # R12: the old number beside the new one, one pool of agents, statistics apart.
    unknown = await phones.citizen("13900000001").dial("96178")
    await unknown.until_ended(10)
    assert unknown.answered_at is None

    waiting = await phones.citizen("13900000002").dial(NUMBER)
    await waiting.until_answered()
    place = await centre.fact(CallQueued, GREETING, call=await centre.call_id("13900000002"))
    await centre.cli("queue", "number", "add", "96178", "--label", "老号")

    later = await phones.citizen("13900000003").dial("96178")
    await later.until_answered()
    await centre.fact(CallArrived, caller="+8613900000003", number="96178")
    await centre.fact(CallQueued, GREETING, call=await centre.call_id("13900000003"))
    agent = await centre.agent(phones, "1001", answer_after=0.2, hang_up_after=1.2)
    await agent.until_rings(2, GREETING)
    await later.until_ended(GREETING)
    await waiting.until_ended()
    offers = [fact.call for fact in centre.facts(OfferMade)]
    assert offers == [place.call, await centre.call_id("13900000003")]
    for number in (NUMBER, "96178"):
        report = await centre.report("--number", number)
        assert (report["number"], report["M1"]["denominator"]) == (number, 1), report
    assert (await centre.report())["M1"]["denominator"] == 2

    # Taken back, it is no number of ours any more; the trunk gets 404.
    await centre.cli("queue", "number", "remove", "96178")
    again = await phones.citizen("13900000004").dial("96178")
    await again.until_ended(10)
    assert again.answered_at is None
    await centre.press(agent, "*13")


async def test_who_serves_a_queue_changes_while_a_caller_waits(
    centre: Centre, phones: Phones
) -> None:
    await centre.cli("queue", "member", "add", "1002", "default")
    outsider = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen("13900000005").dial(NUMBER)
    await centre.fact(CallQueued, GREETING, call=await centre.call_id("13900000005"))
    await asyncio.sleep(1)
    assert not outsider.offers  # ready, but no member
    await centre.cli("queue", "member", "add", "1001", "default")
    await leg.until_hears(outsider.tone)
    await leg.hang_up()


async def test_a_pause_of_the_centres_own(centre: Centre, phones: Phones) -> None:
    await centre.cli("queue", "pause", "set", "7", "--name", "喝水", "--minutes", "5")
    phone = await centre.agent(phones, "1002")
    await centre.press(phone, "*127")
    await centre.presence("1002", "paused")
    rows = await centre.cli("agent", "list", "--format", "json")
    assert "喝水" in rows
