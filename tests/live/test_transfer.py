"""Hold and transfer from the softphone: nobody is lost; one call, one recording, both agents in the diary."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import baresip
import pytest
from baresip.call import lib

from acd.events import (
    CallbackAnswered,
    CallbackEnded,
    CallEnded,
    CallTransferred,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    RecordingFinished,
    RecordingMissing,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from acd.model import OfferReason, Party
from hotline.phones import RATE, AgentPhone, Leg, Phones, likeness, seconds_of
from tests.live import sounds
from tests.live.centre import NUMBER, Centre
from tests.live.gateway import Gateway, Manners

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
def way_out() -> Iterator[Gateway]:
    made = Gateway()
    yield made
    made.close()


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
    await leg.until_hears(agent.tone, GREETING)
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
    assert leg.ended_at is not None
    assert leg.answered_at is not None
    on_line = leg.ended_at - leg.answered_at
    assert abs(left.size / RATE - on_line) < 0.5
    assert abs(seconds_of(left, leg.tone) - on_line) < 0.7
    assert seconds_of(right, leg.tone) == 0
    assert all(seconds_of(left, tone) == 0 for tone in tones)
    return {tone: seconds_of(right, tone) for tone in tones}


def hears_music(leg: Leg) -> bool:
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
    assert hears_music(leg)
    await centre.presence("1001", "talking")
    await agent.offers[0].resume()
    resumed = await centre.fact(TalkResumed, call=call, agent="1001")
    await leg.until_hears(agent.tone)
    assert 1_400_000 < resumed.at - held.at < 3_000_000
    await asyncio.sleep(1)

    # Held a second time, and never resumed: the talk's end ends the hold.
    await agent.offers[0].hold()
    await centre.fact(TalkHeld, call=call, count=2)
    await leg.hang_up()
    await one_call(centre, "13900000001", "1001")
    assert len(centre.facts(TalkResumed, call=call)) == 1
    said = await recorded(centre, call, leg, tmp_path / "held.wav", agent.tone)
    assert 1.5 < said[agent.tone] < 4


async def test_a_blind_transfer_to_a_colleague(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    before = await centre.report()
    leg, first = await talk(centre, phones, "13900000002")
    second = await centre.agent(phones, "1002", answer_after=0.8)
    await first.offers[0].transfer("1002")
    await second.until_rings()
    await centre.presence("1001", "wrap-up", 1)
    await centre.presence("1002", "ringing", 1)
    assert second.offers[0].peer == "13900000002"  # R19
    await leg.until_hears(second.tone)
    await second.offers[0].until_hears(leg.tone)
    await centre.presence("1002", "talking")
    await centre.presence("1001", "ready")
    # The next citizen is for the one who is free.
    next_leg = await phones.citizen("13900000003").dial(NUMBER)
    await next_leg.until_hears(first.tone, GREETING)
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
    assert hears_music(leg)

    await first.offers[0].transfer_to(own)
    await leg.until_hears(second.tone)
    await second.offers[0].until_hears(leg.tone)
    await centre.presence("1002", "talking")
    # The first one has written up, and takes the next citizen.
    await waiting.until_hears(first.tone, 10)
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
    assert said[first.tone] < 3  # of their talk nothing


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


@pytest.mark.parametrize("hand_over", [join_early, cancel_and_refer, refer_and_cancel])
async def test_a_transfer_while_the_colleague_still_rings(
    centre: Centre, phones: Phones, tmp_path: Path, hand_over: Callable[[Leg, Leg], Awaitable[None]]
) -> None:
    caller = f"1390000013{[join_early, cancel_and_refer, refer_and_cancel].index(hand_over)}"
    leg, first = await talk(centre, phones, caller)
    second = await centre.agent(phones, "1002", answer_after=None)
    await first.offers[0].hold()
    own = await first.dial("1002")
    await second.until_rings()
    await centre.until(lambda: own.rings_there, 5, "the colleague's ringing")
    await hand_over(first.offers[0], own)
    # His phone falls silent, and rings for the citizen, whose number it shows.
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
    await centre.until(lambda: own.rings_there, 5, "the colleague's ringing")
    await join_early(first.offers[0], own)
    await second.until_rings(2)
    call = await centre.call_id("13900000141")
    ended = await centre.fact(OfferEnded, 10, call=call, agent="1002")
    assert ended.reason is OfferReason.NO_ANSWER
    # He is the first of his queue again, and the first agent has him back.
    await first.until_rings(2)
    await leg.until_hears(first.tone)
    await leg.hang_up()
    await one_call(centre, "13900000141", "1001")


async def test_a_citizen_joined_with_an_announcement_waits_again(
    centre: Centre, phones: Phones
) -> None:
    leg, first = await talk(centre, phones, "13900000151")
    await first.offers[0].hold()
    own = await first.dial("1099")
    await own.until_hears_something(5)  # 操作未成功
    await first.offers[0].transfer_to(own)
    call = await centre.call_id("13900000151")
    handed = await centre.fact(CallTransferred, call=call)
    assert handed.to == ""
    await first.until_rings(2)
    await leg.until_hears(first.tone)
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
    await leg.until_hears(agent.tone)
    await leg.hang_up()
    call = await one_call(centre, "13900000021", "1001")
    assert centre.facts(CallTransferred, call=call) == []


@pytest.mark.parametrize("refuses", [True, False])
async def test_a_colleague_who_does_not_take_him(
    centre: Centre, phones: Phones, refuses: bool
) -> None:
    """He waits at his old place, in front of all others, and here the first agent has him back."""
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
        assert hears_music(leg)
        await later.hang_up()
        await leg.until_hears(first.tone, 6)
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


async def test_a_citizen_who_hangs_up_while_the_agents_talk_about_him(
    centre: Centre, phones: Phones
) -> None:
    leg, first = await talk(centre, phones, "13900000061")
    second = await centre.agent(phones, "1002", answer_after=0.2)
    own = await first.dial("1002")
    await own.until_hears(second.tone)
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
    await own.until_hears_something(5)  # 操作未成功
    await own.until_ended(10)
    assert len(second.offers) == 1
    await talk_of_two.hang_up()
    await leg.hang_up()
    await one_call(centre, "13900000071", "1001")


async def test_back_into_a_queue(centre: Centre, phones: Phones) -> None:
    leg, first = await talk(centre, phones, "13900000081")
    third = await centre.agent(phones, "1003", answer_after=0.2)
    await first.offers[0].transfer(OTHER_NUMBER)
    await leg.until_hears(third.tone)
    await leg.hang_up()
    await one_call(centre, "13900000081", "1001", "1003")


async def test_to_an_outside_number_that_is_allowed(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    gateway.manners[OUTSIDE] = Manners(answer_after=0.5, tone=1500)
    gateway.manners[CLOSED_OUTSIDE] = Manners(status=480)
    leg, first = await talk(centre, phones, "13900000091")
    await first.offers[0].transfer(CLOSED_OUTSIDE)
    # Nobody is there: he waits again, and the first agent has him back.
    await first.until_rings(2)
    await leg.until_hears(first.tone)
    await first.offers[1].transfer(OUTSIDE)
    await leg.until_hears(1500)
    await centre.presence("1001", "ready")
    await leg.hang_up()
    await one_call(centre, "13900000091", "1001")


async def test_a_callback_is_not_transferred(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    gateway.manners["13900000095"] = Manners(answer_after=0.2)
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    await centre.cli("callback", "add", "13900000095")
    answered = await centre.fact(CallbackAnswered, 10, agent="1001")
    refusals = sum(REFUSED in line for line in centre.log_lines())
    second = await centre.agent(phones, "1002", answer_after=0.2)
    centre.expected.append(REFUSED)
    with pytest.raises(baresip.TransferFailed, match="404"):
        await agent.offers[0].transfer("1002")
    # Nor to a queue; the log of Asterisk says so each time.
    with pytest.raises(baresip.TransferFailed, match="404"):
        await agent.offers[0].transfer(OTHER_NUMBER)
    assert sum(REFUSED in line for line in centre.log_lines()) - refusals == 2
    # And a colleague is not called about it: the agent hears that, and the log says why.
    own = await agent.dial("1002")
    await own.until_hears_something(5)
    await own.until_ended(10)
    why = "a callback cannot be handed over"
    assert any("colleague.called" in line and why in line for line in centre.log_lines())
    assert second.offers == []
    # The talk has gone on all the time.
    await agent.offers[0].resume()
    await agent.offers[0].until_hears(gateway.calls[-1].manners.tone)
    assert centre.facts(CallbackEnded, call=answered.call) == []
    await agent.offers[0].hang_up()
    ended = await centre.fact(CallbackEnded, call=answered.call)
    assert (ended.failure, ended.hung_up_by) == ("", Party.AGENT)
    await centre.presence("1001", "ready")


async def test_the_first_agent_stays_the_one_whom_the_citizen_knows(
    centre: Centre, phones: Phones
) -> None:
    await centre.cli("queue", "set", "default", "sticky_for=600")
    leg, first = await talk(centre, phones, "13900000096")
    second = await centre.agent(phones, "1002", answer_after=0.2)
    await first.offers[0].transfer("1002")
    await leg.until_hears(second.tone)
    await leg.hang_up()
    await one_call(centre, "13900000096", "1001", "1002")
    for agent in ("1001", "1002"):
        await centre.presence(agent, "ready")
    again = await phones.citizen("13900000096").dial(NUMBER)
    await again.until_hears(first.tone, GREETING)  # R5
    await again.hang_up()
    await centre.cli("queue", "set", "default", "sticky_for=0")


# --- kill -9 of the controller


@pytest.fixture
def fragile() -> Iterator[Centre]:
    """A centre of the test's own, for it will be damaged."""
    with Centre(retry_pause=1, retries=30, wrap_up_time=1) as made:
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
        assert leg.hears(second.tone)
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
        await leg.until_hears_something(5)
        fragile.revive()
        await leg.until_hears(second.tone, 20)
        call = await fragile.call_id("13900000121")
        assert (await fragile.fact(OfferMade, call=call, agent="1002")).at
        await leg.hang_up()
        await one_call(fragile, "13900000121", "1001", "1002")
        (handed,) = fragile.facts(CallTransferred, call=call)
        assert (handed.agent, handed.to) == ("1001", "1002")
