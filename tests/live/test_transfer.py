"""Hold and transfer from the softphone: nobody is lost; one call, one recording, both agents in the diary."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import baresip
import pytest
from baresip._native import lib

from facts import (
    AgentNotResponding,
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallEnded,
    CallMoved,
    CallSentOutside,
    CallTransferred,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    RecordingFinished,
    RecordingMissing,
    TalkEnded,
    TalkHeld,
    TalkResumed,
    WrapUpStarted,
)
from facts.offers import NO_TALK
from facts.terms import OfferReason, Party
from facts.times import SECOND
from metrics.verify import SETTLED
from softphone.phones import RATE, AgentPhone, Leg, Phones, likeness, seconds_of
from tests.live import sounds
from tests.live.centre import NUMBER, Centre, until_talk
from tests.live.gateway import Gateway, GatewayCall, Manners

GREETING = 10.0
OTHER_NUMBER = "8890"
OUTSIDE, CLOSED_OUTSIDE = "12333", "12366"
RULES = """
queue = { default = { call_back_lost = false }, tax = {} }
number.8890 = { queue = "tax" }
member = { default = { 1001 = 0, 1002 = 0 }, tax = { 1003 = 0 } }
"""
REFUSED = "attempted blind transfer to"
"""Asterisk calls it an error when a phone wants to transfer to nobody."""


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(
        outbound=way_out.address,
        numbers=f"{NUMBER},{OTHER_NUMBER}",
        transfer_to=f"{OUTSIDE},{CLOSED_OUTSIDE}",
        wrap_up_time=1,
    ) as centre:
        centre.add_agent("1001", "1002", "1003")
        centre.shorten_greeting()
        centre.run("queue", "import", "-", stdin=RULES)
        yield centre


@pytest.fixture
async def phones(centre: Centre) -> AsyncIterator[Phones]:
    async with Phones(centre.sip) as made:
        yield made


@pytest.fixture
async def gateway(way_out: Gateway) -> AsyncIterator[Gateway]:
    async with way_out as made:
        yield made


async def talk(centre: Centre, phones: Phones, caller: str) -> tuple[Leg, AgentPhone]:
    """A citizen and 1001 who talk; nobody else is ready."""
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, GREETING)
    return leg, agent


async def one_call(centre: Centre, caller: str, *agents: str) -> str:
    """The diary says that it was one call, and who talked; returns its id."""
    row = await centre.call(caller)
    assert row["agents"] == list(agents)
    assert row["outcome"] == "human"
    assert len(centre.facts(CallEnded, call=row["id"])) == 1
    return str(row["id"])


async def recorded(
    centre: Centre, call: str, leg: Leg, file: Path, *tones: int
) -> dict[int, float]:
    """One whole recording: the citizen on the left; returns for how long each agent is on the right."""
    await centre.fact(RecordingFinished, 20, call=call)
    assert len(centre.facts(RecordingFinished, RecordingMissing, call=call)) == 1
    await centre.cli("recordings", "export", call, "--out", str(file))
    left, right = sounds.stereo(file)
    sounds.assert_whole(left.size / RATE, leg)
    sounds.assert_hums(left, leg)
    assert seconds_of(right, leg.tone) == 0
    assert all(seconds_of(left, tone) == 0 for tone in tones)
    return {tone: seconds_of(right, tone) for tone in tones}


def hears_music(leg: Leg) -> bool:
    """Whether the last half second was music. A packet that a busy machine loses costs that half second."""
    return max(likeness(music, leg.heard(0.5)) for music in sounds.music()) > 0.9


async def test_hold_music_for_the_citizen_and_the_recording_goes_on(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent = await talk(centre, phones, "13900000001")
    call = await centre.call_id("13900000001")
    await asyncio.sleep(1)
    await agent.offers[0].hold()
    held = await centre.fact(TalkHeld, call=call, agent="1001")
    await asyncio.sleep(1.5)
    await centre.until(lambda: hears_music(leg), 10, "music")
    await centre.presence("1001", "talking")
    await agent.offers[0].resume()
    resumed = await centre.fact(TalkResumed, call=call, agent="1001")
    await leg.until_hears(agent.tone)
    assert resumed.at - held.at > 1_400_000
    await asyncio.sleep(1)

    # Held a second time, and never resumed: the talk's end ends the hold.
    await agent.offers[0].hold()
    again = await centre.fact(TalkHeld, call=call, count=2)
    await leg.hang_up()
    await one_call(centre, "13900000001", "1001")
    assert len(centre.facts(TalkResumed, call=call)) == 1
    said = await recorded(centre, call, leg, tmp_path / "held.wav", agent.tone)
    # The agent is heard from the talk's beginning to the hold, and between the two holds.
    began = await centre.fact(OfferAnswered, call=call, agent="1001")
    heard = (held.at - began.at + again.at - resumed.at) / SECOND
    assert heard * 0.7 - 1 < said[agent.tone] < heard + 0.5


async def test_a_blind_transfer_to_a_colleague(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    before = await centre.report()
    leg, first = await talk(centre, phones, "13900000002")
    second = await centre.agent(phones, "1002", answer_after=None)
    await first.offers[0].transfer("1002")
    rings = await second.until_rings()
    await centre.fact(WrapUpStarted, agent="1001", call=await centre.call_id("13900000002"))
    await centre.presence("1002", "ringing")
    assert rings.peer == "13900000002"  # R19
    await rings.answer()
    await leg.until_hears(second.tone)
    await second.offers[0].until_hears(leg.tone)
    await centre.presence("1002", "talking")
    await centre.presence("1001", "ready")
    # The next citizen is for the agent who is free.
    next_leg = await phones.citizen("13900000003").dial(NUMBER)
    await until_talk(next_leg, first.tone, GREETING)
    assert not second.rang_twice
    await next_leg.hang_up()
    await second.offers[0].hang_up()
    await leg.until_ended()

    call = await one_call(centre, "13900000002", "1001", "1002")
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", False)
    assert (await centre.call("13900000002"))["hung_up_by"] == "agent"
    ends = centre.facts(TalkEnded, call=call)
    assert [end.agent for end in ends] == ["1001", "1002"]
    report = await centre.report()
    assert report["M1"]["denominator"] == before["M1"]["denominator"] + 2
    said = await recorded(centre, call, leg, tmp_path / "blind.wav", first.tone, second.tone)
    assert min(said.values()) > 0.8


async def test_a_transfer_in_the_first_second_is_no_fault_of_the_agents(
    centre: Centre, phones: Phones
) -> None:
    first = await centre.agent(phones, "1001", answer_after=None)
    leg = await phones.citizen("13900000005").dial(NUMBER)
    offer = await first.until_rings(within=GREETING)
    second = await centre.agent(phones, "1002", answer_after=0.2)
    await offer.answer()
    await leg.until_hears(
        first.tone, 2
    )  # Asterisk has joined them: before, it has nothing to transfer
    await offer.transfer("1002")
    await until_talk(leg, second.tone, 10)
    await centre.presence("1001", "ready")
    call = await centre.call_id("13900000005")
    answered = await centre.fact(OfferAnswered, call=call, agent="1001")
    ended = await centre.fact(TalkEnded, call=call, agent="1001")
    assert ended.at - answered.at <= NO_TALK
    assert centre.facts(AgentNotResponding, agent="1001") == []
    # The second talk ends as any other: the citizen does not come back once more.
    await second.offers[0].hang_up()
    await leg.until_ended()
    await one_call(centre, "13900000005", "1002")


async def test_an_attended_transfer_to_a_colleague(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, first = await talk(centre, phones, "13900000011")
    second = await centre.agent(phones, "1002", answer_after=0.3)
    await first.offers[0].hold()
    own = await first.dial("1002")
    await own.until_hears(second.tone)
    assert second.offers[0].peer == "1001"
    await second.offers[0].until_hears(first.tone)
    # While they talk the colleague is busy, and the citizen of this call hears none of it.
    await centre.presence("1002", "own-call")
    await centre.presence("1001", "talking")
    waiting = await phones.citizen("13900000012").dial(NUMBER)
    await waiting.until_hears_something(GREETING)
    await centre.until(lambda: hears_music(leg), 10, "music")

    await first.offers[0].transfer_to(own)
    await leg.until_hears(second.tone)
    await second.offers[0].until_hears(leg.tone)
    await centre.presence("1002", "talking")
    # The first one has written up, and takes the next citizen.
    await until_talk(waiting, first.tone, 10)
    assert not second.rang_twice
    await waiting.hang_up()
    await asyncio.sleep(1)
    await leg.hang_up()
    await second.offers[0].until_ended()

    call = await one_call(centre, "13900000011", "1001", "1002")
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", True)
    (answer,) = centre.facts(OfferAnswered, call=call, agent="1002")
    assert answer.at == handed.at
    await centre.presence("1002", "ready")
    said = await recorded(centre, call, leg, tmp_path / "attended.wav", first.tone, second.tone)
    assert said[second.tone] > 1
    (answered,) = centre.facts(OfferAnswered, call=call, agent="1001")
    held = centre.facts(TalkHeld, call=call)[0]
    # Until the hold, and of their talk nothing
    assert said[first.tone] < (held.at - answered.at) / SECOND + 0.5


async def join_early(talk: Leg, ringing: Leg) -> None:
    """Join both calls although the second is not answered, which `Leg.transfer_to` refuses to do (RFC 5589, 7.6)."""
    handles = f"{talk._call.handle} {ringing._call.handle}"
    await talk._call._execute_transfer(handles, cmd=lib.BP_CMD_CALL_REPLACE_TRANSFER, timeout=10)


async def cancel_and_refer(talk: Leg, ringing: Leg) -> None:
    """What phones do that do not join early: the call to the colleague is ended, and the transfer a blind one."""
    await ringing.hang_up()
    await talk.transfer("1002")


async def refer_and_cancel(talk: Leg, ringing: Leg) -> None:
    """The same in the other order: the citizen comes while the colleague's phone still rings for the agent."""
    await talk.transfer("1002")
    await ringing.hang_up()


HAND_OVERS = (join_early, cancel_and_refer, refer_and_cancel)


@pytest.mark.parametrize("hand_over", HAND_OVERS)
async def test_a_transfer_while_the_colleague_still_rings(
    centre: Centre,
    phones: Phones,
    tmp_path: Path,
    hand_over: Callable[[Leg, Leg], Coroutine[Any, Any, None]],
) -> None:
    caller = f"1390000013{HAND_OVERS.index(hand_over)}"
    leg, first = await talk(centre, phones, caller)
    second = await centre.agent(phones, "1002", answer_after=None)
    await first.offers[0].hold()
    own = await first.dial("1002")
    await second.until_rings()
    await centre.until(lambda: own.rings_there, 10, "the colleague's ringing")
    await hand_over(first.offers[0], own)
    # The colleague's phone falls silent, and rings for the citizen, whose number it shows.
    citizen = await second.until_rings(2)
    assert second.offers[0].ended_at is not None
    assert citizen.peer == caller
    await citizen.answer()
    await leg.until_hears(second.tone)
    await citizen.until_hears(leg.tone)
    await centre.presence("1002", "talking")
    await centre.presence("1001", "ready")
    await asyncio.sleep(1)
    await citizen.hang_up()
    await leg.until_ended()
    call = await one_call(centre, caller, "1001", "1002")
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", False)
    assert [end.agent for end in centre.facts(TalkEnded, call=call)] == ["1001", "1002"]
    assert (await centre.call(caller))["hung_up_by"] == "agent"
    await centre.presence("1002", "ready")
    said = await recorded(centre, call, leg, tmp_path / "early.wav", first.tone, second.tone)
    assert said[second.tone] > 0.8


async def test_a_citizen_joined_with_a_colleague_who_never_answers_is_not_lost(
    centre: Centre, phones: Phones
) -> None:
    leg, first = await talk(centre, phones, "13900000141")
    second = await centre.agent(phones, "1002", answer_after=None)
    await first.offers[0].hold()
    own = await first.dial("1002")
    await second.until_rings()
    await centre.until(lambda: own.rings_there, 10, "the colleague's ringing")
    await join_early(first.offers[0], own)
    await second.until_rings(2)
    call = await centre.call_id("13900000141")
    ended = await centre.fact(OfferEnded, 10, call=call, agent="1002")
    assert ended.reason is OfferReason.NO_ANSWER
    # The citizen is the first in the queue again, and the first agent has them back.
    await first.until_rings(2)
    await until_talk(leg, first.tone)
    await leg.hang_up()
    await one_call(centre, "13900000141", "1001")


async def test_a_citizen_joined_with_an_announcement_waits_again(
    centre: Centre, phones: Phones
) -> None:
    leg, first = await talk(centre, phones, "13900000151")
    await first.offers[0].hold()
    own = await first.dial("1099")
    await own.until_hears_something()  # 操作未成功
    await first.offers[0].transfer_to(own)
    call = await centre.call_id("13900000151")
    handed = await centre.fact(CallTransferred, call=call)
    assert handed.to == ""
    await first.until_rings(2)
    await until_talk(leg, first.tone)
    await leg.hang_up()
    await one_call(centre, "13900000151", "1001")


async def test_a_transfer_to_nobody_is_refused_and_the_talk_goes_on(
    centre: Centre, phones: Phones
) -> None:
    leg, agent = await talk(centre, phones, "13900000021")
    centre.expected.append(REFUSED)
    for to in ("1099", "110", "13912345678", "*11", "hotline-call"):
        with pytest.raises(baresip.TransferFailed, match="404"):
            await agent.offers[0].transfer(to)
    await leg.until_hears(agent.tone)
    # Citizens' telephones transfer nobody at all.
    with pytest.raises(baresip.TransferFailed):
        await leg.transfer("1002")
    await until_talk(leg, agent.tone)
    await leg.hang_up()
    call = await one_call(centre, "13900000021", "1001")
    assert centre.facts(CallTransferred, call=call) == []


@pytest.mark.parametrize("refuses", [True, False])
async def test_a_colleague_who_does_not_take_the_citizen(
    centre: Centre, phones: Phones, refuses: bool
) -> None:
    """The citizen waits at the old place, in front of all others, and here the first agent has them back."""
    caller = f"1390000003{refuses:d}"
    leg, first = await talk(centre, phones, caller)
    second = await centre.agent(phones, "1002", answer_after=None, refuses=refuses)
    await first.offers[0].transfer("1002")
    await second.until_rings()
    later = await phones.citizen(f"1390000004{refuses:d}").dial(NUMBER)
    call = await centre.call_id(caller)
    ended = await centre.fact(OfferEnded, call=call, agent="1002")
    assert ended.reason is (OfferReason.REFUSED if refuses else OfferReason.NO_ANSWER)
    await centre.presence("1002", "not-responding")
    if refuses:
        await leg.until_hears(first.tone, 6)
    else:
        # Meanwhile the first one has written up and talks to the next citizen.
        await later.until_hears(first.tone, 6)
        await centre.until(lambda: hears_music(leg), 10, "music")
        await later.hang_up()
        await until_talk(leg, first.tone, 6)
    await leg.hang_up()
    await later.hang_up()
    await one_call(centre, caller, "1001")


async def test_a_citizen_who_hangs_up_while_the_colleague_rings(
    centre: Centre, phones: Phones
) -> None:
    leg, first = await talk(centre, phones, "13900000051")
    second = await centre.agent(phones, "1002", answer_after=None)
    await first.offers[0].transfer("1002")
    await second.until_rings()
    await leg.hang_up()
    await second.offers[0].until_ended()
    call = await one_call(centre, "13900000051", "1001")
    (ended,) = centre.facts(OfferEnded, call=call)
    assert ended.reason is OfferReason.CALLER_GONE
    await centre.presence("1002", "ready")
    await centre.presence("1001", "ready")


async def test_a_citizen_who_hangs_up_while_the_agents_talk_about_them(
    centre: Centre, phones: Phones
) -> None:
    leg, first = await talk(centre, phones, "13900000061")
    second = await centre.agent(phones, "1002", answer_after=0.2)
    own = await first.dial("1002")
    await until_talk(own, second.tone)
    await leg.hang_up()
    await one_call(centre, "13900000061", "1001")
    await centre.presence("1001", "own-call")
    with pytest.raises(baresip.BaresipError):
        await first.offers[0].transfer_to(own)
    await own.hang_up()
    for agent in ("1001", "1002"):
        await centre.presence(agent, "ready")


async def test_a_busy_colleague_cannot_be_called(centre: Centre, phones: Phones) -> None:
    leg, first = await talk(centre, phones, "13900000071")
    third = await centre.agent(phones, "1003")
    second = await centre.agent(phones, "1002", answer_after=0.2)
    talk_of_two = await third.dial("1002")
    await talk_of_two.until_hears(second.tone)
    own = await first.dial("1002")
    await own.until_hears_something()  # 操作未成功
    await own.until_ended(10)
    assert len(second.offers) == 1
    await talk_of_two.hang_up()
    await leg.hang_up()
    await one_call(centre, "13900000071", "1001")


async def test_a_blind_transfer_to_a_busy_colleague_is_refused_and_the_talk_goes_on(
    centre: Centre, phones: Phones
) -> None:
    centre.expected.append(REFUSED)
    leg, first = await talk(centre, phones, "13900000171")
    third = await centre.agent(phones, "1003", answer_after=0.2)
    second = await centre.agent(phones, "1002", answer_after=0.2)
    talk_of_two = await third.dial("1002")
    await talk_of_two.until_hears(second.tone)
    for held in (False, True):
        if held:
            await second.offers[0].hold()
        for busy in ("1002", "1003"):
            with pytest.raises(baresip.TransferFailed, match="404"):
                await first.offers[0].transfer(busy)
    call = await centre.call_id("13900000171")
    assert first.offers[0].ended_at is None
    await until_talk(leg, first.tone)
    assert centre.facts(CallTransferred, TalkEnded, call=call) == []

    # Nobody talks any more, and the colleague can have the citizen.
    await talk_of_two.hang_up()
    await second.offers[0].until_ended()
    await centre.presence("1002", "ready")
    await first.offers[0].transfer("1002")
    await until_talk(leg, second.tone)
    await leg.hang_up()
    await one_call(centre, "13900000171", "1001", "1002")
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to) == ("1001", "1002")
    for agent in ("1001", "1002", "1003"):
        await centre.presence(agent, "ready")


async def test_back_into_a_queue(centre: Centre, phones: Phones) -> None:
    leg, first = await talk(centre, phones, "13900000081")
    third = await centre.agent(phones, "1003", answer_after=0.2)
    await first.offers[0].transfer(OTHER_NUMBER)
    await until_talk(leg, third.tone)
    await leg.hang_up()
    await one_call(centre, "13900000081", "1001", "1003")


async def test_to_an_outside_number_that_is_allowed(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    gateway.manners[OUTSIDE] = Manners(answer_after=0.5, tone=1500)
    gateway.manners[CLOSED_OUTSIDE] = Manners(status=480)
    leg, first = await talk(centre, phones, "13900000091")
    await first.offers[0].transfer(CLOSED_OUTSIDE)
    # Nobody is there: the citizen waits again, and the first agent has them back.
    await first.until_rings(2)
    await until_talk(leg, first.tone)
    await first.offers[1].transfer(OUTSIDE)
    await until_talk(leg, 1500)
    await centre.presence("1001", "ready")
    await leg.hang_up()
    await one_call(centre, "13900000091", "1001")


# --- a citizen who was called back by an agent


@dataclass
class Reached:
    """A citizen who talks to 1001 in a callback; nobody else is ready. `task`: the callback's number."""

    citizen: GatewayCall
    agent: AgentPhone
    task: int
    attempt: str

    @property
    def tone(self) -> int:
        return self.citizen.manners.tone


async def reach(centre: Centre, phones: Phones, gateway: Gateway, number: str) -> Reached:
    gateway.manners[number] = Manners(answer_after=0.2)
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    await centre.cli("callback", "add", number)
    added = await centre.fact(CallbackAdded, number=f"+86{number}")
    answered = await centre.fact(CallbackAnswered, 10, callback=added.callback)
    citizen = gateway.of(number)[-1]
    await agent.offers[-1].until_hears(citizen.manners.tone)
    return Reached(citizen, agent, added.callback, answered.call)


async def handed_on(centre: Centre, reached: Reached, *agents: str, outcome: str = "human") -> str:
    """The diary has the callback, reached, and with it one call that comes from it; returns that call's id."""
    number = f"+86{reached.citizen.number}"
    arrived = await centre.fact(CallArrived, caller=number)
    assert (arrived.number, arrived.origin, arrived.queue) == ("", reached.attempt, "default")
    row = await centre.call(reached.citizen.number)
    assert (row["id"], row["origin"]) == (arrived.call, reached.attempt)
    assert (row["agents"], row["outcome"]) == (list(agents), outcome)
    (ended,) = centre.facts(CallbackEnded, call=reached.attempt)
    assert (ended.agent, ended.failure) == ("1001", "")
    assert len(centre.facts(CallArrived, CallEnded, call=arrived.call)) == 2
    tasks = json.loads(
        await centre.cli("callback", "list", "--state", "reached", "--format", "json")
    )
    assert reached.task in [task["id"] for task in tasks]
    return str(arrived.call)


async def both_recorded(
    centre: Centre, reached: Reached, call: str, folder: Path, *tones: int
) -> list[float]:
    """The callback's recording, and that of what followed: the citizen left in both, and no gap.

    Returns for how long each agent is on the right, the first one's first.
    """
    said = []
    length = 0.0
    for one, on_right in ((reached.attempt, [reached.agent.tone]), (call, list(tones))):
        await centre.fact(RecordingFinished, 20, call=one)
        assert centre.facts(RecordingMissing, call=one) == []
        await centre.cli("recordings", "export", one, "--out", str(folder / f"{one}.wav"))
        left, right = sounds.stereo(folder / f"{one}.wav")
        assert seconds_of(right, reached.tone) == 0
        assert all(seconds_of(left, tone) == 0 for tone in on_right)
        said += [seconds_of(right, tone) for tone in on_right]
        length += seconds_of(left, reached.tone)
    citizen = reached.citizen
    assert citizen.sent * 0.9 - 1 < length < citizen.ended_at - citizen.answered_at + 1, (
        citizen.sent
    )
    return said


async def no_mismatch(centre: Centre) -> None:
    """Roll-ups, screens, CEL and the recordings' ledger agree with the diary about those who were handed on."""
    await asyncio.sleep(SETTLED / SECOND + 1)
    said = await centre.cli("metrics", "verify", status=None)
    others = {fact.call for fact in centre.facts(CallArrived) if not fact.origin}
    differ = [line for line in said.splitlines() if line.startswith("differs")]
    # A machine that is short of time may make Asterisk's two witnesses differ about anybody.
    assert not [line for line in differ if not any(call in line for call in others)], said


async def test_a_callback_is_handed_to_a_colleague(
    centre: Centre, phones: Phones, gateway: Gateway, tmp_path: Path
) -> None:
    before = await centre.report()
    reached = await reach(centre, phones, gateway, "13900000201")
    first, second = reached.agent, await centre.agent(phones, "1002", answer_after=0.5)
    await first.offers[-1].transfer("1002")
    await second.until_rings()
    assert second.offers[-1].peer == "+8613900000201"  # R19
    await second.offers[-1].until_hears(reached.tone)
    await centre.presence("1002", "talking")
    # Nobody makes this talk yield: the next citizen is for the agent who is free.
    await centre.presence("1001", "ready")
    next_leg = await phones.citizen("13900000202").dial(NUMBER)
    await next_leg.until_hears(first.tone, GREETING)
    assert not second.rang_twice
    await until_talk(second.offers[-1], reached.tone)
    await next_leg.hang_up()
    await second.offers[-1].hang_up()
    await reached.citizen.until(lambda: reached.citizen.ended_at)

    call = await handed_on(centre, reached, "1002")
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", False)
    (end,) = centre.facts(TalkEnded, call=call)
    assert (end.agent, end.hung_up_by) == ("1002", Party.AGENT)
    said = await both_recorded(centre, reached, call, tmp_path, second.tone)
    assert min(said) > 0.8
    # This citizen has not called: of the two only the other one counts.
    report = await centre.report()
    assert report["M1"]["denominator"] == before["M1"]["denominator"] + 1
    assert report["M20_reached"]["numerator"] == before["M20_reached"]["numerator"] + 1


@pytest.mark.parametrize("on_the_other_leg", [False, True])
async def test_a_callback_is_handed_on_after_a_word(
    centre: Centre, phones: Phones, gateway: Gateway, tmp_path: Path, on_the_other_leg: bool
) -> None:
    reached = await reach(centre, phones, gateway, f"1390000021{on_the_other_leg:d}")
    first, second = reached.agent, await centre.agent(phones, "1002", answer_after=0.3)
    talk = first.offers[-1]
    await talk.hold()
    own = await first.dial("1002")
    await own.until_hears(second.tone)
    await centre.presence("1002", "own-call")
    await (own.transfer_to(talk) if on_the_other_leg else talk.transfer_to(own))
    await second.offers[-1].until_hears(reached.tone)
    await centre.presence("1002", "talking")
    await centre.presence("1001", "ready")
    await asyncio.sleep(1)
    reached.citizen.hang_up()
    await second.offers[-1].until_ended()

    call = await handed_on(centre, reached, "1002")
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", True)
    (end,) = centre.facts(TalkEnded, call=call)
    assert (end.agent, end.hung_up_by) == ("1002", Party.CALLER)
    await centre.presence("1002", "ready")
    said = await both_recorded(centre, reached, call, tmp_path, second.tone)
    assert said[1] > 0.8


async def test_a_callback_is_handed_to_a_queue_and_on_to_another_colleague(
    centre: Centre, phones: Phones, gateway: Gateway, tmp_path: Path
) -> None:
    reached = await reach(centre, phones, gateway, "13900000221")
    third = await centre.agent(phones, "1003", answer_after=0.2)
    await reached.agent.offers[-1].transfer(OTHER_NUMBER)
    await third.until_rings()
    await third.offers[-1].until_hears(reached.tone)
    second = await centre.agent(phones, "1002", answer_after=0.3)
    await third.offers[-1].transfer("1002")
    await second.until_rings()
    await second.offers[-1].until_hears(reached.tone)
    await asyncio.sleep(1)
    reached.citizen.hang_up()
    call = await handed_on(centre, reached, "1003", "1002")
    assert [fact.queue for fact in centre.facts(CallMoved, call=call)] == ["tax"]
    assert [fact.to for fact in centre.facts(CallTransferred, call=call)] == [OTHER_NUMBER, "1002"]
    said = await both_recorded(centre, reached, call, tmp_path, third.tone, second.tone)
    assert min(said) > 0.5


async def test_a_callback_is_handed_on_to_one_who_does_not_answer(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    """The citizen waits, in front of those who came later, and the first agent has them back."""
    reached = await reach(centre, phones, gateway, "13900000231")
    second = await centre.agent(phones, "1002", answer_after=None)
    known = len(centre.facts(WrapUpStarted, agent="1001"))
    await reached.agent.offers[-1].transfer("1002")
    await second.until_rings()
    await centre.fact(WrapUpStarted, count=known + 1, agent="1001")
    arrived = await centre.fact(CallArrived, caller="+8613900000231")
    ended = await centre.fact(OfferEnded, call=arrived.call, agent="1002")
    assert ended.reason is OfferReason.NO_ANSWER
    await reached.agent.until_rings(2)
    await until_talk(reached.agent.offers[-1], reached.tone)
    await reached.agent.offers[-1].hang_up()
    await reached.citizen.until(lambda: reached.citizen.ended_at)
    await handed_on(centre, reached, "1001")


async def test_a_callback_is_handed_to_an_outside_number(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    gateway.manners[OUTSIDE] = Manners(answer_after=0.3, tone=1500)
    reached = await reach(centre, phones, gateway, "13900000241")
    await reached.agent.offers[-1].transfer(OUTSIDE)
    await centre.fact(CallSentOutside, number=OUTSIDE, answered=True)
    await centre.presence("1001", "ready")
    reached.citizen.hang_up()
    await handed_on(centre, reached, outcome="human_overflow")


async def test_a_callback_joined_while_the_colleague_still_rings(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    reached = await reach(centre, phones, gateway, "13900000251")
    second = await centre.agent(phones, "1002", answer_after=None)
    talk = reached.agent.offers[-1]
    await talk.hold()
    own = await reached.agent.dial("1002")
    await second.until_rings()
    await centre.until(lambda: own.rings_there, 10, "the colleague's ringing")
    await join_early(talk, own)
    citizen = await second.until_rings(2)
    assert citizen.peer == "+8613900000251"
    await citizen.answer()
    await until_talk(citizen, reached.tone)
    await citizen.hang_up()
    call = await handed_on(centre, reached, "1002")
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", False)
    await centre.presence("1002", "ready")


async def test_a_callback_is_not_handed_to_nobody_nor_before_it_is_answered(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    reached = await reach(centre, phones, gateway, "13900000261")
    second = await centre.agent(phones, "1002", answer_after=0.2)
    centre.expected.append(REFUSED)
    for to in ("1099", "110"):
        with pytest.raises(baresip.TransferFailed, match="404"):
            await reached.agent.offers[-1].transfer(to)
    await until_talk(reached.agent.offers[-1], reached.tone)
    await reached.agent.offers[-1].hang_up()
    await centre.presence("1001", "ready")
    await centre.press(second, "*13")

    gateway.manners["13900000262"] = Manners(answer_after=None)
    await centre.cli("callback", "add", "13900000262")
    dialling = await centre.fact(CallbackDialling, 10, callback=reached.task + 1)
    await reached.agent.until_rings(2)
    with pytest.raises(baresip.TransferFailed):
        await reached.agent.offers[-1].transfer("1002")
    own = await reached.agent.dial("1002")
    await own.until_hears_something()  # 操作未成功
    await own.until_ended(10)
    assert any(
        "colleague.called" in line and "you are dialling a citizen" in line
        for line in centre.log_lines()
    )
    assert second.offers == []
    await reached.agent.offers[-1].hang_up()
    await centre.fact(CallbackEnded, call=dialling.call)
    assert centre.facts(CallArrived, call=reached.attempt) == []
    await centre.presence("1001", "ready")


async def test_the_first_agent_stays_the_one_the_citizen_knows(
    centre: Centre, phones: Phones
) -> None:
    await centre.cli("queue", "set", "default", "sticky_for=600")
    leg, first = await talk(centre, phones, "13900000096")
    second = await centre.agent(phones, "1002", answer_after=0.2)
    await first.offers[0].transfer("1002")
    await until_talk(leg, second.tone)
    await leg.hang_up()
    await one_call(centre, "13900000096", "1001", "1002")
    for agent in ("1001", "1002"):
        await centre.presence(agent, "ready")
    again = await phones.citizen("13900000096").dial(NUMBER)
    await again.until_hears(first.tone, GREETING)  # R5
    await again.hang_up()
    await centre.cli("queue", "set", "default", "sticky_for=0")


async def test_the_figures_of_all_this_agree_with_every_other_witness(centre: Centre) -> None:
    assert any(fact.origin for fact in centre.facts(CallArrived))
    await no_mismatch(centre)


# --- kill -9 of the controller


@pytest.fixture
def fragile(way_out: Gateway) -> Iterator[Centre]:
    """A centre of the test's own, for it will be damaged."""
    with Centre(outbound=way_out.address, retry_pause=1, retries=30, wrap_up_time=1) as made:
        made.add_agent("1001", "1002")
        made.shorten_greeting()
        yield made
        assert not made.complaints(), "\n".join(made.complaints())


async def test_kill_9_with_a_transferred_talk(fragile: Centre) -> None:
    async with Phones(fragile.sip) as phones:
        leg, first = await talk(fragile, phones, "13900000101")
        second = await fragile.agent(phones, "1002", answer_after=0.2)
        own = await first.dial("1002")
        await own.until_hears(second.tone)
        await first.offers[0].transfer_to(own)
        await leg.until_hears(second.tone)
        call = await fragile.call_id("13900000101")
        await fragile.fact(OfferAnswered, call=call, agent="1002")
        fragile.kill_controller()
        await fragile.presence("1002", "talking", 15)
        await fragile.presence("1001", "ready", 10)
        await leg.until_hears(second.tone)
        await second.offers[0].hang_up()
        await one_call(fragile, "13900000101", "1001", "1002")
        assert len(fragile.facts(OfferAnswered, call=call)) == 2
        assert len(fragile.facts(CallTransferred, call=call)) == 1


async def test_an_attended_transfer_while_no_controller_is_there(fragile: Centre) -> None:
    async with Phones(fragile.sip) as phones:
        leg, first = await talk(fragile, phones, "13900000111")
        second = await fragile.agent(phones, "1002", answer_after=0.2)
        own = await first.dial("1002")
        await own.until_hears(second.tone)
        call = await fragile.call_id("13900000111")
        fragile.kill_controller(for_good=True)
        await first.offers[0].transfer_to(own)
        await leg.until_hears(second.tone)
        fragile.revive()
        await fragile.presence("1002", "talking", 15)
        handed = await fragile.fact(CallTransferred, call=call)
        assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", True)
        await leg.hang_up()
        await one_call(fragile, "13900000111", "1001", "1002")
        assert len(fragile.facts(OfferAnswered, call=call)) == 2
        assert len(fragile.facts(TalkEnded, call=call)) == 2


async def test_a_blind_transfer_while_no_controller_is_there(fragile: Centre) -> None:
    async with Phones(fragile.sip) as phones:
        leg, first = await talk(fragile, phones, "13900000121")
        second = await fragile.agent(phones, "1002", answer_after=0.2)
        fragile.kill_controller(for_good=True)
        await first.offers[0].transfer("1002")
        await leg.until_hears_something()
        fragile.revive()
        await until_talk(leg, second.tone, 20)
        call = await fragile.call_id("13900000121")
        assert (await fragile.fact(OfferMade, call=call, agent="1002")).at
        await leg.hang_up()
        await one_call(fragile, "13900000121", "1001", "1002")
        (handed,) = fragile.facts(CallTransferred, call=call)
        assert (handed.agent, handed.to) == ("1001", "1002")


async def test_the_controller_comes_back_while_a_citizen_hears_the_agents_announcement(
    fragile: Centre,
) -> None:
    """Nobody said whether the colleague may be called, and the agent joined citizen and 操作未成功."""
    refused = sounds.prompt_file("agent_refused").read_bytes()
    fragile.shorten_greeting(agent_refused=refused * 12)
    async with Phones(fragile.sip) as phones:
        leg, first = await talk(fragile, phones, "13900000131")
        call = await fragile.call_id("13900000131")
        fragile.kill_controller(for_good=True)
        own = await first.dial("1002")
        await own.until_hears_something()
        await first.offers[0].transfer_to(own)
        fragile.revive()
        await fragile.fact(TalkEnded, 20, call=call)
        await fragile.presence("1001", "ready", 10)
        assert "Playback" in fragile.asterisk("core show channels"), "it was back too late"
        assert not fragile.facts(CallEnded, call=call)
        await first.until_rings(2, 30)
        await until_talk(leg, first.tone, 10)
        await leg.hang_up()
        await one_call(fragile, "13900000131", "1001")
        await no_mismatch(fragile)


async def test_a_callback_is_handed_on_while_no_controller_is_there(
    fragile: Centre, gateway: Gateway
) -> None:
    async with Phones(fragile.sip) as phones:
        reached = await reach(fragile, phones, gateway, "13900000271")
        second = await fragile.agent(phones, "1002", answer_after=0.2)
        fragile.kill_controller(for_good=True)
        await reached.agent.offers[-1].transfer("1002")
        await reached.agent.offers[-1].until_ended()
        await asyncio.sleep(1)
        assert not reached.citizen.ended_at
        fragile.revive()
        await second.until_rings(within=20)
        await second.offers[-1].until_hears(reached.tone)
        await fragile.presence("1001", "ready", 10)
        await asyncio.sleep(1)
        reached.citizen.hang_up()
        await handed_on(fragile, reached, "1002")
        await no_mismatch(fragile)


async def test_kill_9_while_a_citizen_handed_on_waits_and_while_they_talk(
    fragile: Centre, gateway: Gateway
) -> None:
    async with Phones(fragile.sip) as phones:
        reached = await reach(fragile, phones, gateway, "13900000281")
        second = await fragile.agent(phones, "1002", answer_after=None)
        await reached.agent.offers[-1].transfer("1002")
        await second.until_rings()
        await fragile.fact(CallbackEnded, call=reached.attempt)
        fragile.kill_controller()
        # Asterisk rings on, and the citizen comes back to the next controller at their place.
        await second.offers[-1].until_ended(10)
        rung = await reached.agent.until_rings(2, 20)
        await rung.until_hears(reached.tone)
        await fragile.presence("1001", "talking")
        fragile.kill_controller()
        await fragile.presence("1001", "talking", 15)
        await until_talk(rung, reached.tone)
        reached.citizen.hang_up()
        await handed_on(fragile, reached, "1001")
        await no_mismatch(fragile)


async def test_a_callback_is_handed_on_after_a_word_while_no_controller_is_there(
    fragile: Centre, gateway: Gateway, tmp_path: Path
) -> None:
    async with Phones(fragile.sip) as phones:
        reached = await reach(fragile, phones, gateway, "13900000291")
        second = await fragile.agent(phones, "1002", answer_after=0.2)
        own = await reached.agent.dial("1002")
        await own.until_hears(second.tone)
        fragile.kill_controller(for_good=True)
        await reached.agent.offers[-1].transfer_to(own)
        await second.offers[-1].until_hears(reached.tone)
        fragile.revive()
        await fragile.presence("1002", "talking", 15)
        await asyncio.sleep(1.5)
        await second.offers[-1].hang_up()
        await reached.citizen.until(lambda: reached.citizen.ended_at)
        call = await handed_on(fragile, reached, "1002")
        (handed,) = fragile.facts(CallTransferred, call=call)
        assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", True)
        # From the controller's return on there is a recording again.
        await fragile.fact(RecordingFinished, 20, call=call)
        fragile.expected.append('"event":"recording.incomplete"')
        assert "of the talk are missing" in (await fragile.fact(RecordingMissing, call=call)).why
        await no_mismatch(fragile)
