"""呼入优先 (R7) where the citizen's answer and our cancel cross on the wire: a race, and the citizen comes first."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from base.background import spawn
from base.bus import Bus
from facts import (
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallbackRaced,
    CallbackReopened,
    CallbackSpared,
    CallbackYielded,
    CallQueued,
    OfferAnswered,
    TalkEnded,
)
from facts.requests import AddCallback, CancelCallback, RulesChanged, SetPaused
from facts.times import SECOND
from softphone.phones import Leg, Phones
from tests.live.centre import NUMBER, Centre
from tests.live.gateway import Gateway, GatewayCall, Manners

CITIZEN = "13800000001"
OTHER = "13800000002"
THIRD = "13800000003"
CALLER = "13900000001"
QUEUED = 10.0
GREETING = 1.205
"""Seconds from the answer to the queue, as measured."""
TURNS = 16


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    """A centre with a way out, quick to queue its callers."""
    with Centre(
        outbound=way_out.address,
        callback_rings=20,
        wrap_up_time=0,
        dial_per_hour=0,
    ) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        centre.run("queue", "set", "default", "call_back_lost=no")
        yield centre


@pytest.fixture
async def phones(centre: Centre, gateway: Gateway) -> AsyncIterator[Phones]:
    """Telephones."""
    async with Phones(centre.sip) as made:
        yield made


async def add(bus: Bus, number: str, **more: Any) -> int:
    """Enter a task, and return its number."""
    return (await bus.ask(AddCallback(number, **more))).id


@pytest.fixture
async def bus(centre: Centre) -> AsyncIterator[Bus]:
    """How the desk is asked."""
    made = Bus(f"unix://{centre.home}/run/redis.sock", "hotline")
    yield made
    await made.close()


async def queued(centre: Centre, phones: Phones) -> tuple[Leg, str]:
    """A citizen calls, and waits in the queue. Gives their leg and their call's id."""
    known = len(centre.facts(CallQueued))
    leg = await phones.citizen(CALLER).dial(NUMBER)
    fact: CallQueued = await centre.fact(CallQueued, QUEUED, count=known + 1)
    return leg, fact.call


async def talk_over(centre: Centre, leg: Leg, call: str) -> None:
    """The citizen is answered, then hangs up."""
    await centre.fact(OfferAnswered, call=call)
    await leg.hang_up()
    await centre.fact(TalkEnded, call=call)


@pytest.mark.parametrize("stays", ["no", "yes"], ids=["rings-again", "stays-on-the-line"])
@pytest.mark.parametrize("crosses", [0.0, 0.008, 0.4])
async def test_whose_answer_meets_our_cancel_is_called_back_first(
    centre: Centre, phones: Phones, gateway: Gateway, bus: Bus, crosses: float, stays: str
) -> None:
    """The citizen picks up when our CANCEL is there already, or is on its way: many times, each a race."""
    await centre.cli("queue", "set", "default", f"stay_on_line={stays}")
    await centre.agent(phones, "1001", answer_after=0.05)
    for _ in range(4):
        gateway.calls.clear()
        gateway.manners[CITIZEN] = Manners(crosses=crosses)
        now = time.time_ns() // 1000
        number = await add(bus, CITIZEN, latest=now + 7200 * SECOND)
        call = await gateway.call(1, CITIZEN)
        attempt = (await centre.fact(CallbackDialling, callback=number)).call
        other = await add(bus, OTHER, latest=now + 3600 * SECOND)
        leg, waiting = await queued(centre, phones)
        await centre.fact(CallbackYielded, callback=number, inbound=waiting)
        await call.until(lambda call=call: call.answered_at)  # type: ignore[misc]
        await call.until(lambda call=call: call.ended_at)  # type: ignore[misc]
        assert call.cancelled_at <= call.answered_at
        raced = await centre.fact(CallbackRaced, callback=number)
        assert (raced.call, raced.agent) == (attempt, "1001")
        gateway.manners[CITIZEN] = Manners(answer_after=0.1, hang_up_after=0.2)
        await talk_over(centre, leg, waiting)
        # The other task's deadline is nearer, but the citizen whose phone rang for nothing comes first.
        await gateway.call(1, OTHER)
        await centre.fact(CallbackEnded, callback=number, failure="")
        placed = await centre.fact(CallbackPlaced, callback=other)
        again = centre.facts(CallbackPlaced, call=attempt.replace(".1", ".2"))
        assert [fact.at < placed.at for fact in again] == [True]
        assert len(centre.facts(CallbackRaced, call=attempt)) == 1
        await bus.ask(CancelCallback(other))
        await centre.presence("1001", "ready")


@pytest.mark.parametrize("cut", ["agent hangs up", "pause"])
async def test_whoever_cancels_it_is_a_race(
    centre: Centre, phones: Phones, gateway: Gateway, bus: Bus, cut: str
) -> None:
    """Not only a yield. After a failed attempt this citizen would be called again in a quarter of an hour, or never."""
    agent = await centre.agent(phones, "1001", answer_after=0.05)
    for turn in range(4):
        citizen = f"13700{cut == 'pause':d}01{turn:03}"
        gateway.manners[citizen] = Manners(crosses=0.0)
        last = turn % 2 == 0
        number = await add(bus, citizen, attempts=1 if last else 3)
        call = await gateway.call(1, citizen)
        gateway.manners[citizen] = Manners(answer_after=0.1, hang_up_after=0.2)
        attempt = (await centre.fact(CallbackDialling, callback=number)).call
        await call.until(lambda call=call: call.ringing_at)  # type: ignore[misc]
        if cut == "pause":
            await bus.ask(SetPaused("1001"))
        else:
            await agent.offers[-1].hang_up()
        raced = await centre.fact(CallbackRaced, callback=number)
        assert (raced.call, raced.agent) == (attempt, "1001")
        if cut == "pause":
            await centre.press(agent, "*11")
        await centre.fact(CallbackEnded, callback=number, failure="")
        assert len(centre.facts(CallbackRaced, call=attempt)) == 1
        # What a pause withdraws is no attempt, so that task was never closed.
        closed = last and cut == "agent hangs up"
        assert len(centre.facts(CallbackReopened, call=attempt)) == closed
        await centre.presence("1001", "ready")


async def test_an_answer_some_milliseconds_before_our_cancel_is_never_lost(
    centre: Centre, phones: Phones, gateway: Gateway, bus: Bus
) -> None:
    """Whatever wins: the two talk, or the callback is spared, or it is a race. Never is it a plain yield."""
    chance = random.Random(7)
    seen: dict[str, int] = {"talks": 0, "spared": 0, "races": 0, "yields": 0}
    lost: list[str] = []
    await centre.cli("queue", "set", "default", "stay_on_line=no")
    await centre.agent(phones, "1001", answer_after=0.05)
    for turn in range(TURNS):
        citizen = f"1370000{turn:04}"
        number = await add(bus, citizen, attempts=1)
        call = await gateway.call(1, citizen)
        attempt = (await centre.fact(CallbackDialling, callback=number)).call
        known = len(centre.facts(CallQueued))
        leg = await phones.citizen(CALLER).dial(NUMBER)
        await leg.until_answered()
        answering = spawn(_answer_when_queued(call, leg, chance.uniform(-0.02, 0.02)), "picks up")
        waits: CallQueued = await centre.fact(CallQueued, QUEUED, count=known + 1)
        await answering
        await asyncio.sleep(0.5)
        facts = {type(fact) for fact in centre.diary(attempt)}
        if not call.answered_at:
            seen["yields"] += 1
        elif CallbackRaced in facts:
            seen["races"] += 1
        elif CallbackSpared in facts:
            seen["spared"] += 1
        elif CallbackYielded not in facts and CallbackAnswered in facts:
            seen["talks"] += 1
        else:
            lost.append(f"{1000 * (call.ended_at - call.answered_at):.1f} ms before the end")
        gateway.manners[citizen] = Manners(answer_after=0.05, hang_up_after=0.05)
        call.hang_up()
        await talk_over(centre, leg, waits.call)
        # A yield and a race are called again; a talk is over.
        await centre.fact(CallbackEnded, callback=number, failure="")
        await centre.presence("1001", "ready")
    print(f"\nanswers about a cancel: {seen}, lost: {lost}")
    assert not lost


async def _answer_when_queued(call: GatewayCall, leg: Leg, about: float) -> None:
    """Pick up about when the caller is queued: after the pause, the greeting and the notice of half a second each."""
    assert leg.answered_at is not None
    await asyncio.sleep(leg.answered_at + GREETING + about - time.monotonic())
    call.answer()


async def test_an_answer_and_a_hang_up_that_reach_asterisk_together(
    centre: Centre, phones: Phones, gateway: Gateway, bus: Bus
) -> None:
    """Asterisk stands still while the citizen's 200 comes, and 8 ms later our order: both lie there when it wakes."""
    await centre.cli("queue", "set", "default", "stay_on_line=no")
    await centre.cli("queue", "set", "other")
    await centre.cli("queue", "member", "add", "1002", "default")
    await centre.agent(phones, "1001", answer_after=0.05)
    asterisk = centre.pid("/asterisk ")
    bound = 0
    try:
        for _ in range(8):
            gateway.manners.clear()
            gateway.calls.clear()
            number = await add(bus, THIRD, queue="other")
            call = await gateway.call(1, THIRD)
            attempt = (await centre.fact(CallbackDialling, callback=number)).call
            leg, waiting = await queued(centre, phones)
            # 1001 may take this caller as soon as the controller reads it.
            centre.environment["HOTLINE_REDIS_URL"] = f"unix://{centre.home}/nowhere.sock"
            await centre.cli("queue", "member", "add", "1001", "default")
            del centre.environment["HOTLINE_REDIS_URL"]
            assert not centre.facts(CallbackYielded, call=attempt)
            os.kill(asterisk, signal.SIGSTOP)
            try:
                call.answer()
                await asyncio.sleep(0.008)
                await bus.ask(RulesChanged())
                await centre.fact(CallbackYielded, inbound=waiting)
            finally:
                os.kill(asterisk, signal.SIGCONT)
            raced = await centre.fact(CallbackRaced, callback=number)
            assert raced.call == attempt
            gateway.manners[THIRD] = Manners(answer_after=0.05, hang_up_after=0.05)
            await call.until(lambda call=call: call.ended_at)  # type: ignore[misc]
            bound += bool(call.acked_at)
            await talk_over(centre, leg, waiting)
            await centre.fact(CallbackEnded, callback=number, failure="")
            assert len(centre.facts(CallbackRaced, call=attempt)) == 1
            await centre.cli("queue", "member", "remove", "1001", "default")
            await centre.presence("1001", "ready")
    finally:
        centre.environment.pop("HOTLINE_REDIS_URL", None)
        await centre.cli("queue", "member", "remove", "1001", "default", status=None)
        await centre.cli("queue", "member", "remove", "1002", "default")
    assert bound == 8, "each 200 had its ACK"


async def test_the_figures_count_each_race(centre: Centre) -> None:
    # An answer in the very moment of the cut may be a race first, and then be spared: nothing yielded.
    spared = {fact.call for fact in centre.facts(CallbackSpared)}
    races = {fact.call for fact in centre.facts(CallbackRaced)} - spared
    expected = {
        (fact.callback, fact.inbound)
        for fact in centre.facts(CallbackYielded)
        if fact.call in races
    }
    assert len(expected) >= 24
    report = await centre.report()
    told = [one for one in report["inbound_first"] if one["done"] == "raced"]
    assert {(one["callback"], one["inbound"]) for one in told} == expected
    await centre.cli("metrics", "verify")


async def test_each_attempt_has_an_end_in_the_diary(centre: Centre) -> None:
    placed = {fact.call for fact in centre.facts(CallbackPlaced)}
    await centre.until(lambda: placed <= _ended(centre), 10, f"an end of each of {len(placed)}")


def _ended(centre: Centre) -> set[str]:
    return {
        *(fact.call for fact in centre.facts(CallbackEnded)),
        *(fact.call for fact in centre.facts(CallbackYielded)),
        *(fact.call for fact in centre.facts(CallbackRaced)),
    }
