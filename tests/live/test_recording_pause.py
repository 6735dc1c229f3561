"""Pause and resume of a recording: silence of the right length on both sides, never for ever, and told truly."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeAlias

import httpx
import numpy as np
import pytest

from facts import (
    CallTransferred,
    Fact,
    RecordingFinished,
    RecordingMissing,
    RecordingPaused,
    RecordingResumed,
    TalkEnded,
)
from facts.terms import PauseWhy
from facts.times import SECOND
from softphone.phones import RATE, AgentPhone, Leg, Phones, Sound, tone_share
from tests.live import sounds
from tests.live.centre import NUMBER, PASSWORD, Centre, until_talk
from tests.live.gateway import Gateway
from tests.live.test_transfer import reach

GREETING = 10.0
KEY, API, LIMIT, LEFT = PauseWhy.KEY, PauseWhy.API, PauseWhy.LIMIT, PauseWhy.LEFT
LIMIT_SECONDS = 20
REFUSED = "agent_refused"


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(
        outbound=way_out.address, wrap_up_time=1, recording_pause_limit=LIMIT_SECONDS
    ) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        centre.run("queue", "set", "default", "call_back_lost=no")
        yield centre


@pytest.fixture
async def gateway(way_out: Gateway) -> AsyncIterator[Gateway]:
    async with way_out as made:
        yield made


@pytest.fixture
async def phones(centre: Centre) -> AsyncIterator[Phones]:
    async with Phones(centre.sip) as made:
        yield made


async def talk(centre: Centre, phones: Phones, caller: str) -> tuple[Leg, AgentPhone, str]:
    """A citizen who talks to 1001, that agent's phone, and the call's id."""
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, GREETING)
    return leg, agent, await centre.call_id(caller)


async def recording(centre: Centre, call: str, leg: Leg, file: Path) -> tuple[Sound, Sound]:
    """The call's one, whole recording: as long as the citizen was on the line."""
    await centre.fact(RecordingFinished, 20, call=call)
    assert centre.facts(RecordingMissing, call=call) == []
    await centre.cli("recordings", "export", call, "--out", str(file))
    left, right = sounds.stereo(file)
    sounds.assert_whole(left.size / RATE, leg)
    return left, right


NEAR = 0.6
"""Seconds by which a busy machine's sound and its clock may differ."""
INAUDIBLE = 100
"""Of 32,768: -50 dB."""


def silence(*sides: Sound) -> float:
    """Seconds of the longest stretch in which nobody hears a side: a compressed tone dies away in a quarter second."""
    size = min(side.size for side in sides)
    step = RATE // 50
    quiet = [
        all(np.abs(side[at : at + step].astype(int)).max() < INAUDIBLE for side in sides)
        for at in range(0, size - step, step)
    ]
    longest = run = 0
    for one in quiet:
        run = run + 1 if one else 0
        longest = max(longest, run)
    return longest * step / RATE


def lasted(paused: Fact, resumed: Fact) -> float:
    """Seconds between the two."""
    return (resumed.at - paused.at) / SECOND


def has(side: Sound, tone: int, seconds: float = 0.5) -> bool:
    """Whether the side's last `seconds` are the tone."""
    return tone_share(side[-round(seconds * RATE) :], tone) > 0.6


async def audit(centre: Centre, call: str) -> list[tuple[str, str, int, int]]:
    """What is listed for the call; nothing falls short."""
    found = json.loads(await centre.cli("recordings", "audit", "--format", "json", "--lang", "en"))
    assert found["findings"] == []
    return [
        (one["reason"], one["agent"], one["from"], one["until"])
        for one in found["unrecorded"]
        if one["call"] == call
    ]


async def test_the_key_leaves_silence_of_the_right_length_and_both_are_heard_again(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000001")
    at_agent = agent.offers[-1]
    await at_agent.press("*7")
    paused = await centre.fact(RecordingPaused, call=call)
    assert (paused.agent, paused.why, paused.by) == ("1001", KEY, "")
    # Both go on hearing each other. The agent alone hears the tones.
    await at_agent.until_hears(leg.tone)
    await leg.until_hears(agent.tone)
    heard = at_agent.heard()
    assert max(tone_share(heard[at : at + 800], 620) for at in range(0, heard.size - 800, 80)) > 0.6
    others = leg.heard()
    assert (
        max(tone_share(others[at : at + 800], 620) for at in range(0, others.size - 800, 80)) < 0.5
    )
    await asyncio.sleep(2.5)
    await at_agent.press("*8")
    resumed = await centre.fact(RecordingResumed, call=call)
    assert (resumed.agent, resumed.why, resumed.by) == ("1001", KEY, "")
    await until_talk(leg, agent.tone)
    await leg.hang_up()
    await at_agent.until_ended()
    row = await centre.call("13900000001")
    assert (row["outcome"], row["hung_up_by"], row["agents"]) == ("human", "caller", ["1001"])
    left, right = await recording(centre, call, leg, tmp_path / "key.wav")
    assert abs(silence(left, right) - lasted(paused, resumed)) < NEAR
    assert has(left, leg.tone)
    assert has(right, agent.tone)
    assert await audit(centre, call) == [("paused", "1001", paused.at, resumed.at)]
    listed = json.loads(await centre.cli("recordings", "audit", "--format", "json"))
    assert listed["M23"] == listed["M23_reported"]
    assert listed["M23"]["value"] == 1


async def test_an_agent_who_hangs_up_in_a_pause_has_hung_up(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000002")
    await agent.offers[-1].press("*7")
    paused = await centre.fact(RecordingPaused, call=call)
    await asyncio.sleep(1.5)
    await agent.offers[-1].hang_up()
    await leg.until_ended()
    ended = await centre.fact(TalkEnded, call=call)
    resumed = await centre.fact(RecordingResumed, call=call)
    assert (resumed.at, resumed.why) == (ended.at, LEFT)
    assert (await centre.call("13900000002"))["hung_up_by"] == "agent"
    left, right = await recording(centre, call, leg, tmp_path / "hung-up.wav")
    assert abs(silence(left, right) - lasted(paused, resumed)) < NEAR
    # The agent's next citizen is recorded.
    next_leg, _, next_call = await talk_again(centre, phones, agent, "13900000003")
    await next_leg.hang_up()
    left, right = await recording(centre, next_call, next_leg, tmp_path / "next.wav")
    assert has(left, next_leg.tone)
    assert has(right, agent.tone)


async def talk_again(
    centre: Centre, phones: Phones, agent: AgentPhone, caller: str
) -> tuple[Leg, Leg, str]:
    await centre.presence("1001", "ready", 10)
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, GREETING)
    return leg, agent.offers[-1], await centre.call_id(caller)


async def test_a_pause_goes_on_through_a_hold_and_ends_with_a_blind_transfer(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000011")
    second = await centre.agent(phones, "1002", answer_after=0.5)
    at_agent = agent.offers[-1]
    await at_agent.press("*7")
    paused = await centre.fact(RecordingPaused, call=call)
    await at_agent.hold()
    await leg.until_hears_something()
    await asyncio.sleep(1)
    await at_agent.resume()
    await leg.until_hears(agent.tone)
    await at_agent.transfer("1002")
    await until_talk(leg, second.tone, GREETING)
    await asyncio.sleep(0.5)
    await leg.hang_up()
    ended = await centre.fact(TalkEnded, call=call, agent="1001")
    resumed = await centre.fact(RecordingResumed, call=call)
    assert (resumed.at, resumed.why, resumed.agent) == (ended.at, LEFT, "1001")
    left, right = await recording(centre, call, leg, tmp_path / "blind.wav")
    assert abs(silence(left, right) - lasted(paused, resumed)) < NEAR
    assert has(left, leg.tone)
    assert has(right, second.tone)
    listed = await audit(centre, call)
    assert ("paused", "1001", paused.at, ended.at) in listed


async def test_a_pause_ends_with_an_attended_transfer(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000021")
    second = await centre.agent(phones, "1002", answer_after=0.3)
    at_agent = agent.offers[-1]
    await at_agent.press("*7")
    await centre.fact(RecordingPaused, call=call)
    await at_agent.hold()
    own = await agent.dial("1002")
    await own.until_hears(second.tone)
    await at_agent.transfer_to(own)
    handed = await centre.fact(CallTransferred, call=call)
    assert handed.attended
    await until_talk(leg, second.tone)
    await asyncio.sleep(0.5)
    await leg.hang_up()
    resumed = await centre.fact(RecordingResumed, call=call)
    assert (resumed.agent, resumed.why) == ("1001", LEFT)
    left, right = await recording(centre, call, leg, tmp_path / "attended.wav")
    assert has(left, leg.tone)
    assert has(right, second.tone)
    assert len(await audit(centre, call)) == 2


async def test_the_limit_ends_a_pause_with_an_alarm(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000031")
    await agent.offers[-1].press("*7")
    paused = await centre.fact(RecordingPaused, call=call)
    resumed = await centre.fact(RecordingResumed, LIMIT_SECONDS + 5, call=call)
    assert resumed.why == LIMIT
    assert LIMIT_SECONDS - 1 < lasted(paused, resumed) < LIMIT_SECONDS + 5
    await until_talk(leg, agent.tone)
    await leg.hang_up()
    left, right = await recording(centre, call, leg, tmp_path / "limit.wav")
    assert abs(silence(left, right) - lasted(paused, resumed)) < NEAR
    assert has(left, leg.tone)
    assert "recording_paused" in await centre.cli("alarm", "list", "--format", "json")


async def test_kill_9_in_a_pause(centre: Centre, phones: Phones, tmp_path: Path) -> None:
    """The next controller finds the pause: it goes on, and the agent ends it."""
    leg, agent, call = await talk(centre, phones, "13900000041")
    await agent.offers[-1].press("*7")
    paused = await centre.fact(RecordingPaused, call=call)
    centre.kill_controller()
    await centre.until(
        lambda: any("recording.pause_found" in line for line in centre.log_lines()), 30, "the pause"
    )
    await leg.until_hears(agent.tone)
    await agent.offers[-1].press("*8")
    resumed = await centre.fact(RecordingResumed, call=call)
    assert resumed.why == KEY
    await until_talk(leg, agent.tone)
    await leg.hang_up()
    assert len(centre.facts(RecordingPaused, call=call)) == 1
    left, right = await recording(centre, call, leg, tmp_path / "killed.wav")
    assert abs(silence(left, right) - lasted(paused, resumed)) < NEAR
    assert has(left, leg.tone)
    assert has(right, agent.tone)


async def test_a_pause_whose_talk_ends_while_nobody_is_there(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    """The agent transfers the citizen while the controller is dead: the next talk is recorded."""
    leg, agent, call = await talk(centre, phones, "13900000051")
    second = await centre.agent(phones, "1002", answer_after=0.3)
    await agent.offers[-1].press("*7")
    await centre.fact(RecordingPaused, call=call)
    centre.kill_controller(for_good=True)
    await agent.offers[-1].transfer("1002")
    await leg.until_hears_something(10)
    centre.revive()
    await until_talk(leg, second.tone, 30)
    await asyncio.sleep(0.5)
    await leg.hang_up()
    left, right = await recording(centre, call, leg, tmp_path / "moved.wav")
    assert has(left, leg.tone)
    assert has(right, second.tone)
    reasons = {(reason, agent) for reason, agent, _, _ in await audit(centre, call)}
    assert ("paused", "1001") in reasons


async def test_resume_is_not_lost_with_the_link(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000061")
    await centre.cli("agent", "pause-recording", "1001")
    paused = await centre.fact(RecordingPaused, call=call)
    assert paused.why == API
    centre.expected.append('"event":"link.down"')
    centre.cut_link()
    # Done at once or refused: in both cases the recording goes on as soon as Asterisk can be told.
    await agent.offers[-1].press("*8")
    resumed = await centre.fact(RecordingResumed, 15, call=call)
    assert resumed.why == KEY
    await until_talk(leg, agent.tone)
    await leg.hang_up()
    left, right = await recording(centre, call, leg, tmp_path / "away.wav")
    assert abs(silence(left, right) - lasted(paused, resumed)) < NEAR
    assert has(left, leg.tone)


async def test_only_in_a_talk_and_only_ones_own(centre: Centre, phones: Phones) -> None:
    leg, agent, call = await talk(centre, phones, "13900000071")
    base = f"http://127.0.0.1:{centre.web_port}"
    await add_account(centre, "li", "agent", "--agent", "1001")
    await add_account(centre, "zhao", "agent", "--agent", "1002")
    await add_account(centre, "wang", "supervisor")
    for name, status in (("zhao", 403), ("wang", 403), ("li", 200)):
        async with httpx.AsyncClient(base_url=base) as client:
            await sign_in(client, name)
            answer = await client.post("/api/agents/1001/recording/pause")
            assert answer.status_code == status, (name, answer.text)
    paused = await centre.fact(RecordingPaused, call=call)
    assert (paused.why, paused.by) == (API, "li")
    assert len(centre.facts(RecordingPaused, call=call)) == 1
    async with httpx.AsyncClient(base_url=base) as client:
        assert (await client.post("/api/agents/1001/recording/resume")).status_code == 401
        await sign_in(client, "zhao")
        answer = await client.post("/api/agents/1002/recording/pause")
        assert answer.status_code == 409
        assert "not in a talk" in answer.text
    await leg.hang_up()
    await centre.fact(RecordingResumed, call=call, why=LEFT)
    assert agent.offers


async def add_account(centre: Centre, name: str, role: str, *more: str) -> None:
    await centre.cli(
        *("account", "add", name, "--role", role, *more, "--password-stdin"), stdin=PASSWORD
    )


async def sign_in(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post("/api/session", json={"name": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    client.headers["X-CSRF-Token"] = answer.json()["csrf"]


Off: TypeAlias = tuple[Centre, Phones]


async def test_in_a_callback(
    centre: Centre, phones: Phones, gateway: Gateway, tmp_path: Path
) -> None:
    reached = await reach(centre, phones, gateway, "13900000091")
    at_agent = reached.agent.offers[-1]
    await at_agent.press("*7")
    paused = await centre.fact(RecordingPaused, call=reached.attempt)
    await asyncio.sleep(1.5)
    await at_agent.press("*8")
    resumed = await centre.fact(RecordingResumed, call=reached.attempt)
    await asyncio.sleep(1.5)
    reached.citizen.hang_up()
    await centre.fact(RecordingFinished, 20, call=reached.attempt)
    file = tmp_path / "callback.wav"
    await centre.cli("recordings", "export", reached.attempt, "--out", str(file))
    left, right = sounds.stereo(file)
    begin = RATE  # before the citizen answered, one side was silent anyhow
    assert abs(silence(left[begin:], right[begin:]) - lasted(paused, resumed)) < NEAR
    assert has(left, reached.tone)
    assert has(right, reached.agent.tone)


async def test_where_pauses_are_not_allowed_the_agent_is_told_so(phones_off: Off) -> None:
    centre, phones = phones_off
    leg, agent, call = await talk(centre, phones, "13900000081")
    at_agent = agent.offers[-1]
    await at_agent.press("*7")
    await centre.until(
        lambda: sounds.spoken(REFUSED, at_agent.heard(6)) > 0.5, 20, "the refusal at the agent"
    )
    said = await centre.cli("agent", "pause-recording", "1001", status=1)
    assert said == ""
    await until_talk(leg, agent.tone)
    assert sounds.spoken(REFUSED, leg.heard()) < 0.3
    await leg.hang_up()
    assert (await centre.call("13900000081"))["hung_up_by"] == "caller"
    assert centre.facts(RecordingPaused, call=call) == []


@pytest.fixture
async def phones_off() -> AsyncIterator[Off]:
    with Centre(recording_pause="off") as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        async with Phones(centre.sip) as phones:
            yield centre, phones
        assert not centre.complaints(), "\n".join(centre.complaints())


async def test_a_talk_that_is_not_recorded_is_not_said_to_be_paused(
    centre: Centre, phones: Phones
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000101")
    at_agent = agent.offers[-1]
    channels = centre.asterisk("core show channels concise").splitlines()
    (citizen,) = [line.split("!")[0] for line in channels if line.startswith("PJSIP/trunk")]
    centre.asterisk(f"mixmonitor stop {citizen}")
    await at_agent.press("*7")
    await centre.until(
        lambda: sounds.spoken(REFUSED, at_agent.heard(6)) > 0.5, 20, "the refusal at the agent"
    )
    await until_talk(leg, agent.tone)
    await leg.hang_up()
    await centre.call("13900000101")
    assert centre.facts(RecordingPaused, call=call) == []
