"""An agent's keys within a callback's talk: a citizen who is silent (R20), and another who harasses (R18)."""

from collections.abc import AsyncIterator, Iterator

import pytest

from facts import CallArrived, CallbackEnded, CallerAsked, CallerFound, CallMarked, CallSilent
from facts.terms import CallMark, Party
from softphone.phones import Phones
from tests.live import sounds
from tests.live.centre import Centre
from tests.live.gateway import Gateway
from tests.live.test_parties import until_hears
from tests.live.test_transfer import Reached, reach

WITHIN = 40.0


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(outbound=way_out.address, wrap_up_time=1) as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        yield centre


@pytest.fixture
async def phones(centre: Centre, gateway: Gateway) -> AsyncIterator[Phones]:
    async with Phones(centre.sip) as made:
        yield made


async def over(centre: Centre, one: Reached, by: Party) -> None:
    """The callback is over, reached, and the citizen waits for nobody."""
    ended = await centre.fact(CallbackEnded, WITHIN, call=one.attempt)
    assert (ended.failure, ended.hung_up_by) == ("", by)
    await one.citizen.until(lambda: one.citizen.ended_at, WITHIN)
    assert not one.citizen.hung_up_here
    await centre.until(
        lambda: "0 active channels" in centre.asterisk("core show channels count"),
        WITHIN,
        "no channel to be left",
    )
    await centre.presence("1001", "ready")
    assert not [fact for fact in centre.facts(CallArrived) if fact.origin == one.attempt]


async def until_said(centre: Centre, one: Reached, key: str) -> None:
    await centre.until(
        lambda: sounds.spoken(key, one.citizen.heard(40)) > 0.5, WITHIN, f"{key} at the citizen"
    )


async def test_one_who_harasses_hears_the_phrase_and_the_agent_is_released(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await reach(centre, phones, gateway, "13900000501")
    await one.agent.offers[-1].press("*4")
    marked = await centre.fact(CallMarked, call=one.attempt)
    assert (marked.agent, marked.mark, marked.ended) == ("1001", CallMark.HARASSING, True)
    await one.agent.offers[-1].until_ended()
    await until_said(centre, one, "harassment")
    await over(centre, one, Party.AGENT)


async def test_one_who_speaks_is_back_with_the_same_agent(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await reach(centre, phones, gateway, "13900000502")
    at_agent = one.agent.offers[-1]
    await at_agent.press("*0")
    await centre.fact(CallerAsked, call=one.attempt)
    await centre.fact(CallerFound, WITHIN, call=one.attempt)
    await until_hears(at_agent, one.tone)
    await until_hears(one.citizen, at_agent.tone)
    await at_agent.hang_up()
    await over(centre, one, Party.AGENT)


async def test_one_who_says_nothing_is_asked_three_times_and_hung_up(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await reach(centre, phones, gateway, "13900000503")
    one.citizen.mute()
    await one.agent.offers[-1].press("*0")
    await centre.fact(CallerAsked, call=one.attempt)
    await until_said(centre, one, "no_response")
    await centre.fact(CallSilent, WITHIN, call=one.attempt)
    await over(centre, one, Party.SYSTEM)


async def test_diary_and_asterisks_own_record_agree_after_all_of_it(centre: Centre) -> None:
    await centre.verified()
