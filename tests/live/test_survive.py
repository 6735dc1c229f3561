"""Killed, stopped and cut off: talks go on, waiting callers keep their places, and the report still adds up."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from base import clock
from facts import (
    CallArrived,
    CallEnded,
    CallOverflowed,
    CallQueued,
    CallTransferred,
    ControllerStarted,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    OfferRinging,
    RecordingFinished,
    TalkEnded,
)
from facts.terms import Party
from facts.times import SECOND
from metrics.verify import SETTLED
from softphone.phones import LOUD, AgentPhone, Leg, Phones, loudness
from telephony import cel, cel_file
from tests.live.centre import A_TALK, NUMBER, PASSWORD, Centre, until_talk

GREETING = 18.0
STALL = 2.0
"""Seconds for which sound may be away because the machine has no time for it; a cut talk is silent for longer."""
CEL = "log/asterisk/cel-custom/hotline.csv"


@pytest.fixture
def centre() -> Iterator[Centre]:
    """A centre of the test's own, for it will be damaged."""
    with Centre(ring_time=20, retry_pause=1, retries=30) as made:
        made.add_agent("1001", "1002", "1003")
        made.shorten_greeting()
        yield made
        assert not made.complaints(), "\n".join(made.complaints())


async def waiting(centre: Centre, phones: Phones, *callers: str) -> list[Leg]:
    """These citizens call one after the other and wait in the queue."""
    legs = []
    for caller in callers:
        legs.append(await phones.citizen(caller).dial(NUMBER))
        await legs[-1].until_answered()
        await asyncio.sleep(0.2)
    for caller in callers:
        await centre.fact(CallQueued, GREETING, call=await centre.call_id(caller))
    return legs


def longest_silence(leg: Leg, first: float, last: float) -> float:
    """The longest time within two moments in which this side heard nothing, to 0.2 s."""
    longest = since = 0.0
    at = first
    while at + 0.2 <= last:
        since = 0.0 if loudness(leg.heard_between(at, at + 0.2)) > LOUD else since + 0.2
        longest = max(longest, since)
        at += 0.2
    return longest


async def test_kill_9_of_the_controller_with_talking_ringing_and_waiting_calls(
    centre: Centre,
) -> None:
    async with Phones(centre.sip) as phones:
        talkers = [
            await centre.agent(phones, number, answer_after=0.2) for number in ("1001", "1002")
        ]
        talking = [await phones.citizen(f"1390010000{n}").dial(NUMBER) for n in (1, 2)]
        for leg in talking:
            await leg.until_hears_something()
        await talking[0].until_answered()
        for phone in talkers:
            await phone.until_rings(1, GREETING)
        slow = await centre.agent(phones, "1003", answer_after=None)
        (ringing,) = await waiting(centre, phones, "13900100003")
        await slow.until_rings(1)
        queue = await waiting(
            centre, phones, "13900100004", "13900100005", "13900100006", "13900100007"
        )

        # Each talker hears their citizen: the pairs are found out by ear.
        pairs: list[tuple[AgentPhone, Leg]] = [
            (phone, talking[await phone.offers[0].until_hears_one_of(talking)]) for phone in talkers
        ]
        killed = time.monotonic()
        centre.kill_controller(for_good=True)

        # Talks are untouched, the ringing phone can still be answered, waiting callers hear music.
        await asyncio.sleep(4)
        for phone, leg in pairs:
            assert longest_silence(leg, killed, time.monotonic()) < STALL
            await leg.until_hears(phone.tone)
            await phone.offers[0].until_hears(leg.tone)
        for leg in queue:
            assert leg.talking
            assert longest_silence(leg, killed, time.monotonic()) < STALL
        slow.answer_after = 0
        await ringing.until_hears(slow.tone)

        # While nobody looks: a talk ends, a waiting citizen gives up, another one calls and gives up.
        (gone_agent, gone) = pairs[0]
        await gone.hang_up()
        await gone_agent.offers[0].until_ended()
        await queue[1].hang_up()
        passing = await phones.citizen("13900100008").dial(NUMBER)
        await passing.until_answered()
        await asyncio.sleep(1)
        await passing.hang_up()
        await passing.until_ended()

        centre.revive()
        await centre.fact(ControllerStarted, 20, count=2)
        # The agent whose talk ended while nobody looked is idle, and takes the caller who waits longest.
        await until_talk(queue[0], gone_agent.tone, 15)
        for number in ("1001", "1002", "1003"):
            await centre.presence(number, "talking")
        # The others keep their order.
        for leg in (queue[0], ringing):
            await leg.hang_up()
        for phone in (gone_agent, slow):
            phone.answer_after = 0.2
        await queue[2].until_hears_something()
        await queue[2].until_hears_one_of((gone_agent, slow), 8)
        await asyncio.sleep(A_TALK)
        for leg in (*talking, *queue, ringing):
            await leg.hang_up()

        rows = {f"1390010000{n}": await centre.call(f"1390010000{n}") for n in range(1, 9)}
        outcomes = {caller[-1]: row["outcome"] for caller, row in rows.items()}
        assert outcomes.pop("7") in {"human", "abandoned_queue", "abandoned_ringing"}
        assert outcomes == {
            "1": "human",
            "2": "human",
            "3": "human",
            "4": "human",
            "5": "abandoned_queue",
            "6": "human",
            "8": "abandoned_greeting",
        }
        report = await centre.report()
        assert sum(report["outcomes"].values()) == 8
        assert report["M1"]["denominator"] == 8


async def test_a_controller_that_stands_still_does_not_make_a_call_arrive_later(
    centre: Centre,
) -> None:
    # What watches over the programs kills one that stands still, and starts it again.
    centre.expected += ['"program.stuck","program":"serve"', '"program.died","program":"serve"']
    async with Phones(centre.sip) as phones:
        agent = await centre.agent(phones, "1001", answer_after=0.2)
        centre.halt_controller()
        leg = await phones.citizen("13900130001").dial(NUMBER)
        dialled = clock.now()
        await centre.fact(ControllerStarted, 40, count=2)
        await leg.until_hears(agent.tone, GREETING + 10)
        arrived: CallArrived = await centre.fact(CallArrived)
        assert arrived.at - dialled < 2 * SECOND, "less than the controller stood still"
        await leg.hang_up()
        ended: CallEnded = await centre.fact(CallEnded)
        await centre.fact(RecordingFinished, call=ended.call)
        # CEL and the ledger are compared some time after a call.
        await asyncio.sleep(SETTLED / SECOND + 1)
        assert "agrees: recordings: 1" in await centre.cli("metrics", "verify")


async def test_without_a_controller_callers_reach_a_person_through_the_fallback_queue() -> None:
    with Centre(ring_time=4, retry_pause=0.5, retries=3) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        async with Phones(centre.sip) as phones:
            agent = await centre.agent(phones, "1001", answer_after=0.3)
            busy = await phones.citizen("13900200001").dial(NUMBER)
            await busy.until_hears(agent.tone, GREETING)
            (leg,) = await waiting(centre, phones, "13900200002")
            centre.kill_controller(for_good=True)
            new = await phones.citizen("13900200003").dial(NUMBER)
            await asyncio.sleep(2)
            await busy.hang_up()
            # Whoever arrived earlier comes first here too, and then the caller who came with nobody there.
            await until_talk(leg, agent.tone, 25)
            await leg.hang_up()
            await until_talk(new, agent.tone, 25)
            centre.revive()
            await centre.fact(ControllerStarted, 20, count=2)
            await new.hang_up()
            assert (await centre.call("13900200001"))["outcome"] == "human"
            for caller in ("13900200002", "13900200003"):
                row = await centre.call(caller)
                assert (row["outcome"], row["agents"]) == ("human", ["1001"])
            assert len(centre.facts(CallOverflowed)) == 2
            report = await centre.report()
            assert report["M1"]["numerator"] == report["M1"]["denominator"] == 3
            # And the controller knows again who is ready.
            agent.answer_after = 0.2
            again = await phones.citizen("13900200004").dial(NUMBER)
            await again.until_hears(agent.tone, GREETING)
        assert not centre.complaints(), "\n".join(centre.complaints())


async def test_sigterm_in_a_talk_does_not_cut_it() -> None:
    with Centre(stop_wait=20) as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        async with Phones(centre.sip) as phones:
            agent = await centre.agent(phones, "1001", answer_after=0.2)
            leg = await phones.citizen("13900300001").dial(NUMBER)
            await leg.until_hears(agent.tone, GREETING)
            stopping = asyncio.create_task(asyncio.to_thread(centre.stop, 40))  # noqa: TID251
            stopped = time.monotonic()
            await asyncio.sleep(4)
            await leg.until_hears(agent.tone)
            await agent.offers[0].until_hears(leg.tone)
            assert longest_silence(leg, stopped, time.monotonic()) < STALL
            await leg.hang_up()
            await stopping  # within 40 seconds
        assert not centre.complaints(), "\n".join(centre.complaints())


async def test_asterisks_link_is_lost_and_comes_back(centre: Centre) -> None:
    async with Phones(centre.sip) as phones:
        agent = await centre.agent(phones, "1001", answer_after=0.2)
        leg = await phones.citizen("13900400001").dial(NUMBER)
        await until_talk(leg, agent.tone, GREETING)
        centre.expected.append("link")
        lost = time.monotonic()
        await asyncio.to_thread(centre.cut_link)
        await centre.fact(LinkLost, 10)
        await leg.hang_up()  # nobody sees it
        second = await phones.citizen("13900400002").dial(NUMBER)
        await centre.fact(LinkRestored, 20, count=1)
        await until_talk(second, agent.tone, GREETING)
        assert longest_silence(leg, lost, leg.ended_at or 0) < STALL
        await second.hang_up()
        for caller in ("13900400001", "13900400002"):
            assert (await centre.call(caller))["outcome"] == "human"


async def test_what_happens_while_the_link_is_away_has_the_times_of_cel(centre: Centre) -> None:
    """An answer, an end, and an answer with a blind transfer after it: the voice session alone tells of that."""
    async with Phones(centre.sip) as phones:
        first = await centre.agent(phones, "1001", answer_after=0.2)
        talks = await phones.citizen("13900400011").dial(NUMBER)
        await until_talk(talks, first.tone, GREETING)
        second = await centre.agent(phones, "1002", answer_after=None)
        rings = await phones.citizen("13900400012").dial(NUMBER)
        await second.until_rings(1, GREETING)
        calls = [await centre.call_id(f"1390040001{n}") for n in (1, 2)]
        await centre.fact(OfferRinging, call=calls[1], agent="1002")
        third = await centre.agent(phones, "1003", answer_after=0.2)
        known = len(centre.facts(LinkRestored))
        centre.expected.append("link")
        await asyncio.to_thread(centre.shut_link)
        await centre.fact(LinkLost, 10)
        began = time.time_ns() // 1000
        await second.offers[0].answer()
        await until_talk(rings, second.tone)
        await talks.hang_up()
        await first.offers[0].until_ended()
        await asyncio.sleep(0.3)
        await second.offers[0].transfer("1003")
        await second.offers[0].until_ended()
        over = time.time_ns() // 1000
        assert len(centre.facts(OfferAnswered)) == 1, "the link was not away"
        await asyncio.to_thread(centre.open_link)
        await centre.fact(LinkRestored, 20, count=known + 1)
        await third.until_rings(1, 10)
        await until_talk(rings, third.tone)
        await rings.hang_up()
        await centre.fact(CallEnded, call=calls[1])

        # The order of the diary is the order of time, but for what the session told in between.
        told: list[Any] = [
            fact
            for fact in centre.facts(OfferAnswered, TalkEnded, CallEnded)
            if began <= fact.at <= over
        ]
        assert [(type(fact), fact.call) for fact in told] == [
            (OfferAnswered, calls[1]),
            (TalkEnded, calls[0]),
            (CallEnded, calls[0]),
            (TalkEnded, calls[1]),
        ]
        assert [fact.at for fact in told] == sorted(fact.at for fact in told)
        found = cel.seen(cel_file.read_since(centre.home / CEL, 0).events, {NUMBER})
        assert told[0].at == found[calls[1]].answers[0].at
        assert abs(told[2].at - found[calls[0]].ended) < SECOND // 20
        assert told[2].hung_up_by is Party.CALLER
        (moved,) = centre.facts(CallTransferred, call=calls[1])
        assert (moved.agent, moved.to) == ("1002", "1003")
        for caller, agents in (("13900400011", ["1001"]), ("13900400012", ["1002", "1003"])):
            row = await centre.call(caller)
            assert (row["outcome"], row["agents"]) == ("human", agents)


async def test_a_whole_talk_while_the_link_is_away_is_one(centre: Centre) -> None:
    """The agent says goodbye and hangs up. The citizen is not rung through to the next agent."""
    async with Phones(centre.sip) as phones:
        agent = await centre.agent(phones, "1001", answer_after=None)
        leg = await phones.citizen("13900400021").dial(NUMBER)
        await agent.until_rings(1, GREETING)
        call = await centre.call_id("13900400021")
        await centre.fact(OfferRinging, call=call)
        other = await centre.agent(phones, "1002", answer_after=0.2)
        centre.expected.append("link")
        await asyncio.to_thread(centre.shut_link)
        await centre.fact(LinkLost, 10)
        await agent.offers[0].answer()
        await until_talk(leg, agent.tone)
        await agent.offers[0].hang_up()
        await leg.until_ended()
        await asyncio.to_thread(centre.open_link)
        row = await centre.call("13900400021", 30)
        assert (row["outcome"], row["agents"]) == ("human", ["1001"])
        assert not other.offers


async def test_the_controller_stops_and_starts_while_agents_stay_signed_in(centre: Centre) -> None:
    async with Phones(centre.sip) as phones:
        ready = await centre.agent(phones, "1001", answer_after=0.2)
        await phones.agent("1002", PASSWORD)
        await centre.press(phones.softphones[-1], "*12")
        centre.kill_controller()
        await centre.fact(ControllerStarted, 20, count=2)
        await centre.until(lambda: bool(centre.processes(" serve")), 10, "the controller to run")
        leg = await phones.citizen("13900500001").dial(NUMBER)
        await leg.until_hears(ready.tone, GREETING)
        for number, presence in (("1001", "talking"), ("1002", "paused"), ("1003", "out")):
            await centre.presence(number, presence)
