"""Who gets which caller, on real telephones: the order of agents and callers, three rings, all given back."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from facts import AgentNotResponding, CallQueued, OfferEnded, OfferMade, WrapUpStarted
from facts.terms import OfferReason
from facts.times import SECOND
from softphone.phones import Leg, Phones
from tests.live import sounds
from tests.live.centre import NUMBER, PASSWORD, Centre, until_talk

GREETING = 10.0


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    """A centre that is quick to queue its callers."""
    with Centre() as centre:
        centre.add_agent("1001", "1002", "1003")
        centre.shorten_greeting()
        yield centre


@pytest.fixture
async def phones(centre: Centre) -> AsyncIterator[Phones]:
    """Telephones, none of which may ever ring for two calls."""
    async with Phones(centre.sip) as made:
        yield made
        assert not [phone.number for phone in made.softphones if phone.rang_twice]


async def queued(centre: Centre, phones: Phones, *callers: str) -> list[Leg]:
    """These citizens call, one after the other, and all wait in the queue."""
    already = len(centre.facts(CallQueued))
    legs = []
    for caller in callers:
        legs.append(await phones.citizen(caller).dial(NUMBER))
        await legs[-1].until_answered()
        await asyncio.sleep(0.2)
    await centre.fact(CallQueued, GREETING, count=already + len(callers))
    return legs


async def rang_for(centre: Centre, call: str, agent: str) -> float:
    """For how many seconds the call was offered to this agent, as the diary has it."""
    ended = await centre.fact(OfferEnded, call=call, agent=agent)
    made = await centre.fact(OfferMade, call=call, agent=agent)
    return (ended.at - made.at) / SECOND


async def test_the_longest_idle_agent_is_rung_first(centre: Centre, phones: Phones) -> None:
    first = await centre.agent(phones, "1001", answer_after=0.2, hang_up_after=1.2)
    second = await centre.agent(phones, "1002", answer_after=0.2, hang_up_after=1.2)
    third = await centre.agent(phones, "1003", answer_after=0.2, hang_up_after=1.2)
    legs = []
    for caller in ("13900001001", "13900001002", "13900001003", "13900001004"):
        legs.append(await phones.citizen(caller).dial(NUMBER))
        await asyncio.sleep(3)  # each talk is over before the next caller's greeting is
    for leg in legs:
        await leg.until_ended(GREETING)
    agents = [(await centre.call(f"1390000100{n}"))["agents"] for n in (1, 2, 3, 4)]
    assert agents == [["1001"], ["1002"], ["1003"], ["1001"]]
    assert [len(phone.offers) for phone in (first, second, third)] == [2, 1, 1]


async def test_a_silent_agent_is_rung_for_the_ring_time_and_then_the_next_one(
    centre: Centre, phones: Phones
) -> None:
    silent = await centre.agent(phones, "1001", answer_after=None)
    other = await centre.agent(phones, "1002", answer_after=0.3)
    leg = await phones.citizen("13900002001").dial(NUMBER)
    missed = await silent.until_rings(1, GREETING)
    assert not other.offers
    await missed.until_ended()
    call = await centre.call_id("13900002001")
    assert 2.5 < await rang_for(centre, call, "1001") < 8
    await other.until_rings(1)
    await until_talk(leg, other.tone)
    await centre.presence("1001", "not-responding")
    await leg.hang_up()

    # No more calls for the silent agent until they say that they are there.
    again = await phones.citizen("13900002002").dial(NUMBER)
    await again.until_hears(other.tone, GREETING)
    assert len(silent.offers) == 1
    await centre.press(silent, "*11")
    silent.answer_after = 0.2
    third = await phones.citizen("13900002003").dial(NUMBER)
    await third.until_hears(silent.tone, GREETING)
    row = await centre.call("13900002001") if leg.ended_at else {}
    assert row["agents"] == ["1002"]


async def test_an_agent_who_refuses_is_passed_over_at_once(centre: Centre, phones: Phones) -> None:
    busy = await centre.agent(phones, "1001", refuses=True)
    other = await centre.agent(phones, "1002", answer_after=0.2)
    leg = await phones.citizen("13900002101").dial(NUMBER)
    await leg.until_hears(other.tone, GREETING)
    assert len(busy.offers) == 1
    ended = await centre.fact(OfferEnded, call=await centre.call_id("13900002101"), agent="1001")
    assert ended.reason is OfferReason.REFUSED


async def test_first_come_first_served(centre: Centre, phones: Phones) -> None:
    legs = await queued(centre, phones, "13900003001", "13900003002", "13900003003")
    agent = await centre.agent(phones, "1001", answer_after=0.4, hang_up_after=1.2)
    for leg in legs:
        await leg.until_ended(8)
    assert [offer.peer for offer in agent.offers] == ["13900003001", "13900003002", "13900003003"]
    ends = [leg.ended_at or 0 for leg in legs]
    assert ends == sorted(ends)


async def test_giving_up_in_the_greeting_rings_nobody(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001")
    centre.change_prompts()  # the whole greeting: on a busy machine the short one may be over
    leg = await phones.citizen("13900004001").dial(NUMBER)
    await leg.until_answered()
    await leg.hang_up()
    row = await centre.call("13900004001")
    centre.shorten_greeting()
    assert (row["outcome"], row["hung_up_by"], row["queued"], row["agents"]) == (
        "abandoned_greeting",
        "caller",
        None,
        [],
    )
    assert not agent.offers


async def test_giving_up_in_the_queue_gives_the_place_to_the_next(
    centre: Centre, phones: Phones
) -> None:
    gone, stays = await queued(centre, phones, "13900004101", "13900004102")
    await gone.hang_up()
    row = await centre.call("13900004101")
    assert (row["outcome"], row["answered"], row["agents"]) == ("abandoned_queue", None, [])
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    await stays.until_hears(agent.tone)
    assert [offer.peer for offer in agent.offers] == ["13900004102"]


async def test_giving_up_while_it_rings_frees_the_agent_for_the_next(
    centre: Centre, phones: Phones
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=None)
    gone, stays = await queued(centre, phones, "13900004201", "13900004202")
    rings = await agent.until_rings(1)
    await asyncio.sleep(0.5)
    await gone.hang_up()
    await rings.until_ended()
    agent.answer_after = 0.3
    await stays.until_hears(agent.tone)
    assert [offer.peer for offer in agent.offers] == ["13900004201", "13900004202"]
    row = await centre.call("13900004201")
    assert (row["outcome"], row["hung_up_by"]) == ("abandoned_ringing", "caller")
    assert not centre.facts(AgentNotResponding, call=row["id"])


async def test_a_hang_up_and_an_answer_that_cross_stop_nobody(
    centre: Centre, phones: Phones
) -> None:
    for turn in range(3):
        agent = await centre.agent(phones, "1001", answer_after=None)
        gone, stays = await queued(centre, phones, f"139000043{turn}1", f"139000043{turn}2")
        rings = await agent.until_rings(1)
        await asyncio.sleep(0.1 * turn)
        agent.answer_after = 0
        await gone.hang_up()
        await rings.until_ended()
        await stays.until_hears(agent.tone)
        await stays.hang_up()
        await centre.call(f"139000043{turn}1")
        await agent.sign_out()
        agent.rang_twice = (
            False  # the phone may hear of the next call before it knows that its 200 came too late
        )


async def test_one_agent_and_many_callers_never_two_offers_at_once(
    centre: Centre, phones: Phones
) -> None:
    known = len(centre.facts(WrapUpStarted, agent="1001"))
    legs = await queued(centre, phones, *(f"1390000500{n}" for n in range(5)))
    agent = await centre.agent(phones, "1001", answer_after=0.3, hang_up_after=1.2)
    for leg in legs:
        await leg.until_ended(12)
    assert len(agent.offers) == 5
    for earlier, later in zip(agent.offers, agent.offers[1:], strict=False):
        assert earlier.ended_at is not None
        assert later.started_at >= earlier.ended_at
    await centre.fact(WrapUpStarted, count=known + 5, agent="1001")
    written_up = [fact.until for fact in centre.facts(WrapUpStarted, agent="1001")[known:]]
    offered = [fact.at for fact in centre.facts(OfferMade, agent="1001")[-5:]]
    assert all(over <= at for over, at in zip(written_up, offered[1:], strict=False))


async def test_feature_codes_do_what_they_say_and_answer_in_words(
    centre: Centre, phones: Phones
) -> None:
    phone = await phones.agent("1001", PASSWORD)
    for code, key, presence in (
        ("*11", "agent_ready", "ready"),
        ("*12", "agent_paused", "paused"),
        ("*122", "agent_paused", "paused"),
        ("*11", "agent_ready", "ready"),
        ("*13", "agent_out", "out"),
    ):
        leg = await phone.dial(code)
        await leg.until_ended(10)
        assert sounds.spoken(key, leg.heard()) > 0.4, (
            code
        )  # the ends of so short a prompt are easily lost
        await centre.presence("1001", presence)
    leg = await phone.dial("4711")
    await leg.until_ended(10)
    assert sounds.spoken("agent_refused", leg.heard()) > 0.4


async def test_a_pause_has_its_reason_and_no_calls(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    await centre.cli("agent", "pause", "1001", "--reason", "用餐")
    assert "用餐" in await centre.cli("agent", "list")
    (leg,) = await queued(centre, phones, "13900006001")
    await asyncio.sleep(1)
    assert not agent.offers
    await centre.cli("agent", "ready", "1001")
    await leg.until_hears(agent.tone)
    await centre.cli("agent", "out", "1001")
    await asyncio.sleep(0.5)
    await leg.until_hears(agent.tone)  # signing out must not cut a talk
    await centre.presence("1001", "talking")
    await leg.hang_up()
    await centre.call("13900006001")
    await centre.presence("1001", "out")


async def test_an_agent_whose_registration_is_gone_is_unreachable_and_comes_back(
    centre: Centre, phones: Phones
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    await agent.sign_out()
    await centre.presence("1001", "unreachable")
    (leg,) = await queued(centre, phones, "13900007001")
    await asyncio.sleep(1)
    assert not agent.offers
    await agent.sign_in()
    await leg.until_hears(agent.tone)


async def test_the_second_phone_to_sign_in_wins(centre: Centre, phones: Phones) -> None:
    first = await centre.agent(phones, "1001", answer_after=0.2)
    second = await phones.agent("1001", PASSWORD, answer_after=0.2)
    leg = await phones.citizen("13900008001").dial(NUMBER)
    await leg.until_hears(second.tone, GREETING)
    assert not first.offers


async def test_agents_own_calls_keep_offers_away(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    legs = await queued(centre, phones, "13900009001")
    await legs[0].until_hears(agent.tone)
    await legs[0].hang_up()
    # An agent who hears the answer to a feature code is on the telephone.
    own = await agent.dial("*12")
    await own.until_answered()
    assert len(agent.offers) == 1
    await own.until_ended(10)


@pytest.fixture(scope="module")
def standard() -> Iterator[Centre]:
    """A centre with the times of the standard (15 s of ringing), but quick announcements."""
    with Centre(ring_time=15, announce_every=5) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        yield centre


async def test_three_rings_last_fifteen_seconds_and_places_are_announced(standard: Centre) -> None:
    async with Phones(standard.sip) as phones:
        waiting = [await phones.citizen(f"1390000990{n}").dial(NUMBER) for n in range(2)]
        await standard.fact(CallQueued, GREETING, count=2)
        await asyncio.sleep(13)
        # Nobody is signed in: the honest sentence. With agents: the place.
        assert sounds.spoken("agents_away", waiting[0].heard()) > 0.7
        for leg in waiting:
            await leg.hang_up()
        silent = await standard.agent(phones, "1001", answer_after=None)
        other = await standard.agent(phones, "1002", answer_after=0.2)
        first = await phones.citizen("13900009911").dial(NUMBER)
        second = await phones.citizen("13900009912").dial(NUMBER)
        missed = await silent.until_rings(1, GREETING)
        await other.until_rings(1)
        third, fourth = await queued(standard, phones, "13900009913", "13900009914")
        await missed.until_ended(25)
        ended = await standard.fact(OfferEnded, agent="1001")
        assert 14.5 < await rang_for(standard, ended.call, "1001") < 20
        both = (first, second)
        which = await other.offers[0].until_hears_one_of(both)
        talking, rung = both[which], both[1 - which]
        await talking.hang_up()
        await rung.until_hears(other.tone)
        await asyncio.sleep(8)
        assert sounds.spoken("queue_next", third.heard()) > 0.7
        assert sounds.spoken("queue_ahead_1", fourth.heard()) > 0.7
        assert sounds.spoken("queue_ahead_2", third.heard()) < 0.5
