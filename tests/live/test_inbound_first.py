"""呼入优先 (R7) on the wire: callbacks that yield to citizens who wait, in every order of events."""

import asyncio
import contextlib
import itertools
import random
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from base.background import spawn
from base.bus import NoAnswer, Refused
from facts import (
    CallbackAdded,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallbackRaced,
    CallbackSpared,
    CallbackYielded,
    CallQueued,
    CallSentOutside,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    RecordingFinished,
    TalkEnded,
)
from facts.requests import AddCallback, CancelCallback, GetStatus, SetPaused
from facts.terms import OfferReason, Party
from facts.times import SECOND
from softphone.phones import AgentPhone, Leg, Phones, Sound, seconds_of
from tests.live import sounds
from tests.live.centre import NUMBER, Centre, until_talk
from tests.live.gateway import Gateway, GatewayCall, Manners

CITIZEN = "13800000001"
OTHER = "13800000002"
CALLER = "13900000001"
QUEUED = 10.0
GREETING = 1.205
"""Seconds from the answer to the queue, as measured."""
SHORT = 30.0
"""Seconds that a citizen is rung by a callback here: a controller that was killed must be back before that is over."""


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    """A centre with a way out, quick to queue its callers; nobody who gives up is called back."""
    with Centre(outbound=way_out.address, callback_rings=SHORT, wrap_up_time=0) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        centre.run("queue", "set", "default", "call_back_lost=no")
        yield centre


@pytest.fixture
async def phones(centre: Centre, gateway: Gateway) -> AsyncIterator[Phones]:
    """Telephones, none of which may ever ring for two calls. What a test leaves of its callbacks is cancelled."""
    async with Phones(centre.sip) as made:
        yield made
        await cancel_all(centre)
        await asyncio.sleep(0.1)
        for phone in made.softphones:
            for leg, following in itertools.pairwise(phone.offers):
                # The softphone tells a BYE and the INVITE behind it through two queues, which a busy machine parts.
                # The phones of the bench see the wire themselves, and count every INVITE that meets a phone in use.
                over = leg.ended_at or time.monotonic()
                assert over < following.started_at + 0.1, f"{phone.number} rang twice"


async def add(centre: Centre, number: str, **more: Any) -> int:
    """Enter a task, and return its number."""
    return (await centre.ask(AddCallback(number, **more))).id


def rows(centre: Centre) -> list[dict[str, Any]]:
    """All tasks as the book has them."""
    database = sqlite3.connect(f"file:{centre.home / 'hotline.db'}?mode=ro", uri=True, timeout=5)
    database.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in database.execute("SELECT * FROM callback ORDER BY id")]
    finally:
        database.close()


async def task(centre: Centre, number: int, state: str) -> dict[str, Any]:
    """The task, once it is in this state."""
    found: dict[str, Any] = {}

    def there() -> bool:
        found.update(next(row for row in rows(centre) if row["id"] == number))
        return bool(found["state"] == state)

    await centre.until(there, 10, f"callback {number} to be {state}")
    return found


async def cancel_all(centre: Centre) -> None:
    """End the tasks that are open."""
    for row in rows(centre):
        if row["state"] in ("due", "dialling", "talking"):
            with contextlib.suppress(Refused):
                await centre.ask(CancelCallback(row["id"]))


async def recording(centre: Centre, call: str) -> tuple[Sound, Sound]:
    """The citizen's and the agent's side of a call."""
    await centre.fact(RecordingFinished, 20, call=call)
    return sounds.recording(centre.home, call)


async def dialled(centre: Centre, gateway: Gateway, number: str, **more: Any) -> GatewayCall:
    """A callback for this citizen, as far as the gateway."""
    before = len(gateway.of(number))
    await add(centre, number, **more)
    return await gateway.call(before + 1, number)


async def queued(centre: Centre, phones: Phones, caller: str = CALLER) -> tuple[Leg, str]:
    """This citizen calls, and waits in the queue. Gives their leg and their call's id."""
    known = len(centre.facts(CallQueued))
    leg = await phones.citizen(caller).dial(NUMBER)
    fact: CallQueued = await centre.fact(CallQueued, QUEUED, count=known + 1)
    return leg, fact.call


async def talk_over(centre: Centre, leg: Leg, agent: AgentPhone, call: str) -> None:
    """The citizen hears the agent, then hangs up."""
    await leg.until_hears(agent.tone)
    await leg.hang_up()
    await centre.fact(TalkEnded, call=call)


def kinds(centre: Centre, call: str, *left_out: type) -> list[str]:
    """What the diary has of a call, in order."""
    return [
        fact.kind
        for fact in centre.diary(call)
        if not fact.kind.startswith("Recording") and type(fact) not in left_out
    ]


# --- placing


async def test_a_callback_from_ring_to_hang_up(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    gateway.manners[CITIZEN] = Manners(answer_after=0.6, hang_up_after=1.5, tone=700)
    agent = await centre.agent(phones, "1001", answer_after=0.3)
    number = await add(centre, CITIZEN, reason="回访")
    announced = await agent.until_rings(1)
    shown = announced._call.headers
    call = await gateway.call(1, CITIZEN)
    assert (call.caller, call.name) == (NUMBER, ""), "the citizen sees the hotline, nobody's name"
    await announced.until_hears(450)  # ring-back, GB/T 3380
    await announced.until_hears(700)
    await announced.until_ended()
    ended = await centre.fact(CallbackEnded, callback=number)
    assert (ended.failure, ended.hung_up_by) == ("", Party.CALLER)
    assert kinds(centre, ended.call) == [
        "CallbackPlaced",
        "CallbackDialling",
        "CallbackAnswered",
        "CallbackEnded",
    ]
    found = await task(centre, number, "reached")
    assert (found["attempts"], found["yields"]) == (1, 0)
    await centre.presence("1001", "ready")
    assert shown is not None


async def test_both_sides_of_a_callback_are_recorded(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    gateway.manners[CITIZEN] = Manners(answer_after=0.6, tone=700)
    agent = await centre.agent(phones, "1001", answer_after=0.1, hang_up_after=4.0)
    number = await add(centre, CITIZEN)
    ended = await centre.fact(CallbackEnded, 10, callback=number)
    assert ended.hung_up_by is Party.AGENT
    citizen, own = await recording(centre, ended.call)
    assert seconds_of(citizen, 700) > 2.5
    assert seconds_of(own, agent.tone) > 3.0
    assert seconds_of(citizen, agent.tone) == 0


@pytest.mark.parametrize(
    ("manners", "failure"),
    [
        (Manners(status=486), "busy"),
        (Manners(status=603), "refused"),
        (Manners(status=404), "unreachable"),
        (Manners(status=503), "unreachable"),
        (Manners(status=480), "no_answer"),
        (Manners(), "no_answer"),
    ],
)
async def test_a_citizen_who_is_not_reached(
    centre: Centre, phones: Phones, gateway: Gateway, manners: Manners, failure: str
) -> None:
    gateway.manners[CITIZEN] = manners
    await centre.agent(phones, "1001", answer_after=0.1)
    number = await add(centre, CITIZEN)
    ended = await centre.fact(CallbackEnded, SHORT + 5, callback=number)
    assert ended.failure == failure
    found = await task(centre, number, "due")
    assert (found["attempts"], found["last_failure"]) == (1, failure)
    await centre.presence("1001", "ready")


async def test_an_agent_whose_own_phone_refuses(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    agent = await centre.agent(phones, "1001", refuses=True)
    number = await add(centre, CITIZEN)
    ended = await centre.fact(CallbackEnded, callback=number)
    assert ended.failure == "agent_refused"
    await centre.presence("1001", "not-responding")
    assert (await task(centre, number, "due"))["attempts"] == 0
    assert not gateway.calls
    assert len(agent.offers) == 1


async def test_an_agent_who_does_not_pick_up_or_hangs_up_at_once(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=None)
    number = await add(centre, CITIZEN)
    ended = await centre.fact(CallbackEnded, 6, callback=number)
    assert ended.failure == "agent_no_answer"
    await centre.presence("1001", "not-responding")
    agent.answer_after, agent.hang_up_after = 0.1, 0.5
    await centre.press(agent, "*11")
    ended = await centre.fact(CallbackEnded, 6, callback=number, count=2)
    assert (ended.failure, ended.hung_up_by) == ("agent_hung_up", Party.AGENT)
    call = await gateway.call(1, CITIZEN)
    await call.until(lambda: call.cancelled_at)


async def test_a_pause_takes_back_what_is_not_answered(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    await centre.agent(phones, "1001", answer_after=0.1)
    call = await dialled(centre, gateway, CITIZEN)
    await centre.ask(SetPaused("1001"))
    await call.until(lambda: call.cancelled_at)
    await centre.presence("1001", "paused")


async def test_a_callback_that_was_entered_while_redis_was_away(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    await centre.agent(phones, "1001", answer_after=0.1)
    centre.environment["HOTLINE_REDIS_URL"] = f"unix://{centre.home}/nowhere.sock"
    try:
        await centre.cli("callback", "add", CITIZEN)
        call = await gateway.call(1, CITIZEN)
        (row,) = [row for row in rows(centre) if row["state"] == "dialling"]
        await centre.cli("callback", "add", OTHER, "--after", "+1h")
        await centre.cli("callback", "cancel", str(row["id"]))
        await call.until(lambda: call.cancelled_at)
    finally:
        del centre.environment["HOTLINE_REDIS_URL"]
    await centre.presence("1001", "ready")
    assert len(gateway.calls) == 1


# --- inbound first


@pytest.mark.parametrize("silent", [False, True], ids=["ringing", "dialling"])
async def test_a_callback_yields_to_a_citizen_and_is_placed_again_when_they_have_gone(
    centre: Centre, phones: Phones, gateway: Gateway, silent: bool
) -> None:
    gateway.manners[CITIZEN] = Manners(silent=silent)
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    call = await dialled(centre, gateway, CITIZEN)
    leg, waiting = await queued(centre, phones)
    yielded = await centre.fact(CallbackYielded, inbound=waiting)
    rings = await agent.until_rings(2)
    assert rings.peer == CALLER
    if not silent:
        await call.until(lambda: call.cancelled_at, 1)
    assert (agent.offers[0].ended_at or 0) <= rings.started_at
    await centre.fact(OfferAnswered, call=waiting, agent="1001")
    found = await task(centre, yielded.callback, "due")
    assert (found["attempts"], found["yields"]) == (0, 1)
    gateway.manners[CITIZEN] = Manners(answer_after=0.3, hang_up_after=0.5)
    await talk_over(centre, leg, agent, waiting)
    # A gateway that is silent gets the CANCEL late: RFC 3261 section 9.1 waits for its first answer.
    again = await gateway.call(2, CITIZEN, 10)
    await again.until(lambda: again.answered_at)
    ended = await centre.fact(CallbackEnded, callback=yielded.callback)
    assert ended.call == yielded.call.replace(".1", ".2")
    await task(centre, yielded.callback, "reached")
    assert not centre.facts(CallbackEnded, call=yielded.call)


async def test_an_agent_whose_own_phone_still_rings_is_rung_anew(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=None)
    # The greeting is over before three rings are.
    leg = await phones.citizen(CALLER).dial(NUMBER)
    await leg.until_answered()
    number = await add(centre, CITIZEN)
    await agent.until_rings(1)
    yielded = await centre.fact(CallbackYielded, QUEUED, callback=number)
    rings = await agent.until_rings(2)
    assert rings.peer == CALLER
    assert agent.offers[0].answered_at is None
    await rings.answer()
    await talk_over(centre, leg, agent, yielded.inbound)
    assert not gateway.calls
    assert not centre.facts(CallbackDialling, call=yielded.call)


async def test_an_answered_callback_is_never_cut(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    gateway.manners[CITIZEN] = Manners(answer_after=0.1, tone=700)
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    number = await add(centre, CITIZEN)
    call = await gateway.call(1, CITIZEN)
    answered = await centre.fact(CallbackAnswered, callback=number)
    leg, waiting = await queued(centre, phones)
    heard = await agent.offers[0].until_hears(700)
    await asyncio.sleep(2)
    assert not call.ended_at
    await agent.offers[0].until_hears(700)  # they still talk
    assert agent.offers[0].heard_between(heard, time.monotonic()).size > 14_000
    assert not centre.facts(CallbackYielded, call=answered.call)
    assert not centre.facts(OfferMade, call=waiting)
    call.hang_up()
    rings = await agent.until_rings(2)
    assert rings.peer == CALLER
    await talk_over(centre, leg, agent, waiting)


async def test_of_two_dialling_agents_one_yields_to_one_citizen(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    await centre.agent(phones, "1001", answer_after=0.1)
    await centre.agent(phones, "1002", answer_after=0.1)
    now = time.time_ns() // 1000
    sooner = await dialled(centre, gateway, CITIZEN, latest=now + 1800 * SECOND)
    later = await dialled(centre, gateway, OTHER, latest=now + 3600 * SECOND)
    leg, waiting = await queued(centre, phones)
    await later.until(lambda: later.cancelled_at)
    assert not sooner.ended_at
    yielded = await centre.fact(CallbackYielded, inbound=waiting)
    (added,) = [fact for fact in centre.facts(CallbackAdded) if fact.callback == yielded.callback]
    assert added.number.endswith(OTHER)
    await centre.fact(OfferAnswered, call=waiting, agent=yielded.agent)
    await asyncio.sleep(0.5)
    assert not sooner.ended_at, "the other citizen is rung all the same"
    sooner.answer()
    await centre.fact(CallbackAnswered, agent="1001" if yielded.agent == "1002" else "1002")
    await leg.hang_up()


async def test_two_citizens_make_two_yield(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    agents = [
        await centre.agent(phones, "1001", answer_after=0.1),
        await centre.agent(phones, "1002", answer_after=0.1),
    ]
    outs = [await dialled(centre, gateway, CITIZEN), await dialled(centre, gateway, OTHER)]
    known = len(centre.facts(CallbackYielded))
    legs = await asyncio.gather(
        phones.citizen(CALLER).dial(NUMBER), phones.citizen("13900000002").dial(NUMBER)
    )
    await centre.fact(CallbackYielded, QUEUED, count=known + 2)
    for out in outs:
        await out.until(lambda out=out: out.cancelled_at)  # type: ignore[misc]
    heard = [await agent.until_rings(2) for agent in agents]
    assert {leg.peer for leg in heard} == {CALLER, "13900000002"}
    for leg in legs:
        await leg.until_answered()
        await leg.until_hears_something()
        await leg.hang_up()


async def test_a_citizen_answers_in_the_same_instant(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    """Many times, with the answer some milliseconds before or after the trigger. Whatever wins, all agree on it."""
    chance = random.Random(7)
    seen = {"talks": 0, "yields": 0, "spared": 0, "races": 0, "unseen": 0}
    agent = await centre.agent(phones, "1001", answer_after=0.05)
    for turn in range(24):
        offers = len(agent.offers)
        number = await add(centre, f"1370000{turn:04}", attempts=1)
        call = await gateway.call(1, f"1370000{turn:04}")
        attempt = (await centre.fact(CallbackDialling, callback=number)).call
        known = len(centre.facts(CallQueued))
        leg = await phones.citizen(CALLER).dial(NUMBER)
        await leg.until_answered()
        answered = spawn(
            _answer_when_queued(call, leg, chance.uniform(-0.015, 0.015)), "the citizen picks up"
        )
        queued_: CallQueued = await centre.fact(CallQueued, QUEUED, count=known + 1)
        await answered
        await asyncio.sleep(0.3)
        facts = {type(fact) for fact in centre.diary(attempt)}
        if CallbackAnswered in facts:
            # The answer won: not cut, and the caller waits for the end of that talk.
            seen["talks"] += 1
            assert CallbackYielded not in facts
            assert not call.ended_at
            call.hang_up()
        elif not call.ended_at:
            # They answered between the decision and the action: not cut either, and the offer was taken back.
            seen["spared"] += 1
            assert {CallbackYielded, CallbackSpared} <= facts
            assert agent.offers[-1].talking
            call.hang_up()
            await centre.fact(CallbackEnded, callback=number, failure="")
        else:
            seen["yields"] += 1
            assert CallbackYielded in facts
            if call.answered_at and CallbackRaced in facts:
                seen["races"] += 1
            elif call.answered_at:
                seen["unseen"] += 1
        await agent.until_rings(offers + 2)
        await talk_over(centre, leg, agent, queued_.call)
        await cancel_all(centre)
        await centre.presence("1001", "ready")
    print(f"\nanswers and cancels in one instant: {seen}")
    assert seen["talks"]
    assert seen["yields"]


async def _answer_when_queued(call: GatewayCall, leg: Leg, about: float) -> None:
    """Pick up about when the caller is queued: after the pause, the greeting and the notice of half a second each."""
    assert leg.answered_at is not None
    await asyncio.sleep(leg.answered_at + GREETING + about - time.monotonic())
    call.answer()


# --- the agent stays on the line


@pytest.fixture
async def on_line(centre: Centre) -> AsyncIterator[None]:
    await centre.cli("queue", "set", "default", "stay_on_line=yes")
    yield
    await centre.cli("queue", "set", "default", "stay_on_line=")


async def until_tone(line: Leg) -> None:
    """Wait for the tone that lasts a third of a second."""
    deadline = time.monotonic() + QUEUED
    while not line.hears(950, 0.1):
        assert time.monotonic() < deadline, "no tone"
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("on_line")
async def test_a_yielding_agent_stays_on_the_line(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    call = await dialled(centre, gateway, CITIZEN)
    leg, waiting = await queued(centre, phones, "13900000005")
    line = agent.offers[0]
    await call.until(lambda: call.cancelled_at)
    await leg.until_hears(agent.tone)
    assert line.seconds_of(950) >= 0.2, "the tone came first"
    await line.until_hears(leg.tone)
    await asyncio.sleep(1)
    assert len(agent.offers) == 1, "the agent's phone did not ring again"
    await centre.presence("1001", "talking")
    assert kinds(centre, waiting, CallQueued) == [
        "CallArrived",
        "OfferMade",
        "OfferRinging",
        "OfferAnswered",
    ]
    await leg.hang_up()
    await line.until_ended()
    ended = await centre.fact(TalkEnded, call=waiting, agent="1001")
    assert ended.hung_up_by is Party.CALLER
    row = await centre.call("13900000005")
    assert (row["outcome"], row["agents"], row["hung_up_by"]) == ("human", ["1001"], "caller")
    # The callback comes again when the agent is free.
    await gateway.call(2, CITIZEN)
    citizen, own = await recording(centre, waiting)
    assert seconds_of(own, agent.tone) > 1
    assert seconds_of(citizen, leg.tone) > 1


@pytest.mark.usefixtures("on_line")
async def test_who_hangs_up_on_a_kept_line_first_is_known(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    await dialled(centre, gateway, CITIZEN)
    leg, waiting = await queued(centre, phones)
    await until_talk(leg, agent.tone)
    await agent.offers[0].hang_up()
    await leg.until_ended()
    ended = await centre.fact(TalkEnded, call=waiting, agent="1001")
    assert ended.hung_up_by is Party.AGENT


@pytest.mark.usefixtures("on_line")
async def test_a_citizen_who_hangs_up_during_the_tone(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    await dialled(centre, gateway, CITIZEN)
    leg = await phones.citizen("13900000004").dial(NUMBER)
    await until_tone(agent.offers[0])
    await leg.hang_up()
    await agent.offers[0].until_ended()
    row = await centre.call("13900000004")
    assert row["outcome"].startswith("abandoned")
    # The agent is free again at once: the callback is placed again.
    await gateway.call(2, CITIZEN)


@pytest.mark.usefixtures("on_line")
async def test_an_agent_who_hangs_up_during_the_tone_has_refused(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    await dialled(centre, gateway, CITIZEN)
    leg = await phones.citizen("13900000003").dial(NUMBER)
    await until_tone(agent.offers[0])
    await agent.offers[0].hang_up()
    waiting = await centre.call_id("13900000003")
    ended = await centre.fact(OfferEnded, call=waiting)
    assert ended.reason is OfferReason.REFUSED
    await leg.hang_up()


# --- what fails


async def test_a_talk_goes_on_without_its_controller(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    centre.expected.append("program.died")
    gateway.manners[CITIZEN] = Manners(answer_after=0.1, tone=700)
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    number = await add(centre, CITIZEN)
    call = await gateway.call(1, CITIZEN)
    answered = await centre.fact(CallbackAnswered, callback=number)
    await asyncio.sleep(0.3)  # the book is written within 50 ms
    centre.kill_controller()
    assert agent.offers[0].talking
    await asyncio.sleep(0.5)
    await _back(centre)
    await centre.presence("1001", "talking")
    assert not call.ended_at
    await agent.offers[0].until_hears(700)
    call.hang_up()
    ended = await centre.fact(CallbackEnded, call=answered.call)
    assert (ended.failure, ended.hung_up_by) == ("", Party.CALLER)
    await centre.presence("1001", "ready")


@pytest.mark.parametrize("lives", [True, False])
async def test_a_dialling_meets_a_new_controller(
    centre: Centre, phones: Phones, gateway: Gateway, lives: bool
) -> None:
    centre.expected.append("program.died")
    await centre.agent(phones, "1001", answer_after=0.1)
    number = await add(centre, CITIZEN)
    call = await gateway.call(1, CITIZEN)
    placed = await centre.fact(CallbackPlaced, callback=number)
    await asyncio.sleep(0.3)
    centre.kill_controller(for_good=True)
    if not lives:
        call.refuse(486)
        await asyncio.sleep(0.3)
    centre.revive()
    await _back(centre)
    if lives:
        # It is bound to its agent again, and yields like any other.
        await queued(centre, phones)
        await centre.fact(CallbackYielded, callback=number)
        await call.until(lambda: call.cancelled_at)
        await centre.fact(OfferAnswered, agent="1001")
    else:
        ended = await centre.fact(CallbackEnded, callback=number)
        assert ended.call == placed.call
        assert ended.failure in ("busy", "lost")


async def test_a_lost_link_forgets_no_attempt(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    centre.expected += ["link.down", "program.died"]  # the latter comes late, from the test before
    await centre.agent(phones, "1001", answer_after=0.1)
    number = await add(centre, CITIZEN)
    call = await gateway.call(1, CITIZEN)
    centre.cut_link()
    call.answer()
    answered = await centre.fact(CallbackAnswered, 10, callback=number)
    await centre.presence("1001", "talking")
    centre.cut_link()
    call.hang_up()
    ended = await centre.fact(CallbackEnded, 10, call=answered.call)
    assert ended.failure == ""
    await centre.presence("1001", "ready")


async def _back(centre: Centre) -> None:
    """Wait until a new controller knows what exists."""
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(Refused, NoAnswer):
            if (await centre.ask(GetStatus())).ready:
                return
        assert time.monotonic() < deadline, "no controller came back"
        await asyncio.sleep(0.2)


# --- an outside number


async def test_a_queue_overflows_to_an_outside_number(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    gateway.manners["0411000"] = Manners(answer_after=0.5, tone=700)
    await centre.cli("queue", "set", "default", "overflow_to=0411000", "overflow_after=1")
    try:
        leg = await phones.citizen("13900000008").dial(NUMBER)
        call = await gateway.call(1, "0411000", QUEUED + 5)
        await leg.until_hears(700)
        await asyncio.sleep(0.5)
        await leg.hang_up()
        await call.until(lambda: call.ended_at)
        row = await centre.call("13900000008")
        assert (row["outcome"], row["hung_up_by"]) == ("human_overflow", "caller")
        sent = centre.facts(CallSentOutside, call=row["id"])
        assert [(fact.number, fact.answered) for fact in sent] == [
            ("0411000", False),
            ("0411000", True),
        ]

        gateway.manners["0411000"] = Manners(status=486)
        leg = await phones.citizen("13900000009").dial(NUMBER)
        await leg.until_ended(15)
        row = await centre.call("13900000009")
        assert row["outcome"] == "timed_out"
    finally:
        await centre.cli("queue", "set", "default", "overflow_to=", "overflow_after=")


# --- how fast


async def test_how_soon_the_agents_phone_rings(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    """From the trigger to the 180 of the yielding agent's phone. Printed, for machines differ; the bench asserts."""
    turns = 32
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    asked = await add(centre, CITIZEN)
    before = len(centre.facts(CallbackYielded))
    for turn in range(turns):
        await gateway.call(turn + 1, CITIZEN)
        leg, waiting = await queued(centre, phones)
        await centre.fact(OfferAnswered, call=waiting)
        await talk_over(centre, leg, agent, waiting)
    yields: list[Any] = centre.facts(CallbackYielded)[before:]
    assert [fact.callback for fact in yields] == [asked] * turns
    rang: dict[str, Fact] = {fact.call: fact for fact in centre.facts(OfferRinging)}
    took = sorted((rang[fact.inbound].at - fact.at) / 1000 for fact in yields)
    print(
        f"\n{turns} yields, trigger to ringing: median {statistics.median(took):.1f} ms, "
        f"p99 {took[round(0.99 * (turns - 1))]:.1f} ms, greatest {took[-1]:.1f} ms"
    )
    assert (await task(centre, asked, "dialling"))["yields"] == turns
