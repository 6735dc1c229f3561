"""What a caller meets beside the ordinary, on real telephones: hours, block list, language, *0, the key, no number."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from acd.rules.model import Queue, Rules
from facts import (
    CallArrived,
    CallbackAdded,
    CallbackAsked,
    CallbackPlaced,
    CallEnded,
    CallQueued,
    CallReleased,
    CallSilent,
    CallTransferred,
    OfferMade,
    RecordingFinished,
    RecordingMissing,
    TalkEnded,
)
from facts.calendar import make_calendar, read_years
from facts.terms import Party, Release
from facts.times import CHINA, SECOND
from hotline.machine import render
from ivr.reception import Reception, receive
from ivr.server import serve
from ivr.session import Pace
from ivr.silence import COMES_BACK
from ivr.workdays import SHIPPED
from softphone.phones import RATE, AgentPhone, Leg, Phones, likeness, seconds_of
from tests.live import sounds
from tests.live.centre import NUMBER, Centre
from tests.live.gateway import Gateway, Manners
from tests.live.sip import Wire
from tests.live.test_agi import TestDesk
from tests.live.test_asterisk_conf import Exchange

ENGLISH = "8890"
GREETING = 10.0
PHRASES = 60.0
"""Seconds that three phrases, their pauses and the farewell take at most."""


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(
        outbound=way_out.address, announce_every=5, numbers=f"{NUMBER},{ENGLISH}"
    ) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        centre.run("queue", "set", "default", "call_back_lost=no")
        centre.run("queue", "number", "add", ENGLISH, "--language", "en")
        centre.run("queue", "skill", "set", "1001", "en")
        yield centre


@pytest.fixture
async def phones(centre: Centre) -> AsyncIterator[Phones]:
    async with Phones(centre.sip) as made:
        yield made


def hears(leg: Leg, key: str, language: str = "zh", last: float | None = None) -> bool:
    """Whether the beginning of this prompt was heard in the last seconds: its end may lie in a telephone's buffer.

    Half of it is enough, piece by piece: a packet that a busy machine loses costs only its piece.
    """
    heard, beginning = leg.heard(last), sounds.prompt(key, language)[: RATE * 2]
    pieces = [beginning[at : at + RATE // 2] for at in range(0, beginning.size, RATE // 2)]
    return sum(likeness(heard, piece) > 0.9 for piece in pieces) >= len(pieces) / 2


async def how_often(centre: Centre, leg: Leg, call: str, key: str) -> int:
    """How many times this prompt was played to the caller, as their telephone or the recording has it.

    A busy machine loses packets on the way to the telephone. The piece of the prompt that was heard most often counts,
    for a gap costs one.
    """
    await centre.fact(RecordingFinished, 30, call=call)
    prompt = sounds.prompt(key).astype(np.float64)
    wholes = [
        one.astype(np.float64) for one in (leg.heard(), sounds.recording(centre.home, call)[1])
    ]
    return max(
        _how_often(whole, prompt[at : at + RATE // 2])
        for whole in wholes
        for at in range(0, prompt.size - RATE // 2, RATE // 2)
    )


def _how_often(whole: npt.NDArray[np.float64], part: npt.NDArray[np.float64]) -> int:
    size = 1 << (whole.size + part.size).bit_length()
    match = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)
    found = 0
    while match.max() > 0.7 * np.dot(part, part):
        at = int(match.argmax())
        match[max(0, at - RATE) : at + RATE] = 0
        found += 1
    return found


def speak(leg: Leg, loudness: int) -> None:
    """Speak from now on; the hum of a simulated telephone has 6000."""
    turns = 2 * np.pi * leg.tone * np.arange(RATE) / RATE
    leg._hum = bytes((np.sin(turns) * loudness).astype(np.int16).tobytes())
    leg.silent = False


async def silent_talk(centre: Centre, phones: Phones, caller: str) -> tuple[Leg, Leg, AgentPhone]:
    """A caller who says nothing, the agent's leg of their talk, and the agent's phone."""
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen(caller).dial(NUMBER)
    leg.silent = True
    await leg.until_hears(agent.tone, GREETING)
    return leg, agent.offers[-1], agent


async def until_asked(leg: Leg) -> None:
    """Wait until the caller has heard the beginning of the phrase, just now."""
    async with asyncio.timeout(20):
        while not hears(leg, "no_response", last=4):
            await asyncio.sleep(0.1)


# --- *0 (R20)


async def test_a_silent_caller_hears_the_phrase_three_times_and_the_farewell(
    centre: Centre, phones: Phones
) -> None:
    leg, talk, _ = await silent_talk(centre, phones, "13900000001")
    await talk.press("*0")
    await leg.until_ended(PHRASES)
    assert not leg.hung_up_here
    await talk.until_ended()
    row = await centre.call("13900000001")
    assert await how_often(centre, leg, row["id"], "no_response") == 3
    assert await how_often(centre, leg, row["id"], "no_response_farewell") >= 1
    assert (row["disposition"], row["outcome"], row["hung_up_by"], row["agents"]) == (
        "silent",
        "human",
        "system",
        ["1001"],
    )
    assert len(centre.facts(CallSilent, call=row["id"])) == 1
    assert "silent" in await centre.cli("calls")
    # The whole of it was recorded.
    assert row["recording_seconds"] is None or row["recording_seconds"] > 10


async def test_the_agent_need_not_wait_for_a_silent_caller(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, talk, _ = await silent_talk(centre, phones, "13900000002")
    await talk.press("*0")
    await until_asked(leg)
    await talk.hang_up()
    # The agent writes up, and is ready for the next caller, while this one is still asked.
    await centre.presence("1001", "ready")
    assert leg.talking
    await leg.until_ended(PHRASES)
    assert not leg.hung_up_here
    row = await centre.call("13900000002")
    assert await how_often(centre, leg, row["id"], "no_response") == 3
    assert await how_often(centre, leg, row["id"], "no_response_farewell") >= 1
    assert (row["disposition"], row["outcome"], row["hung_up_by"], row["agents"]) == (
        "silent",
        "human",
        "agent",
        ["1001"],
    )
    assert len(centre.facts(CallSilent, call=row["id"])) == 1
    assert len(centre.facts(TalkEnded, call=row["id"])) == 1
    assert centre.facts(CallTransferred, call=row["id"]) == []
    # One recording, to the farewell's end.
    await centre.fact(RecordingFinished, 20, call=row["id"])
    await centre.cli("recordings", "export", row["id"], "--out", str(tmp_path / "silent.wav"))
    left, _ = sounds.stereo(tmp_path / "silent.wav")
    sounds.assert_whole(left.size / RATE, leg)


async def test_a_word_after_the_agent_has_gone_brings_the_caller_to_the_next_at_the_old_place(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    await centre.cli("queue", "set", "default", "wrap_up_time=60")
    leg, talk, first = await silent_talk(centre, phones, "13900000004")
    call = await centre.call_id("13900000004")
    later = await phones.citizen("13900000005").dial(NUMBER)
    await centre.fact(CallQueued, GREETING, call=await centre.call_id("13900000005"))
    await talk.press("*0")
    await until_asked(leg)
    await talk.hang_up()
    ended = await centre.fact(TalkEnded, call=call, agent="1001")
    assert ended.hung_up_by is Party.AGENT
    speak(leg, 6000)
    left_alone = await centre.fact(CallTransferred, 10, call=call)
    assert (left_alone.agent, left_alone.to, left_alone.attended) == ("", "", False)
    assert leg.talking
    # The caller stands before another who has waited all that time, for the first agent still writes up.
    second = await centre.agent(phones, "1002", answer_after=0.2)
    await centre.cli("queue", "set", "default", "wrap_up_time=")
    await leg.until_hears(second.tone)
    await second.offers[0].until_hears(leg.tone)
    assert second.offers[0].peer == "13900000004"
    assert len(first.offers) == 1
    await asyncio.sleep(1)
    await leg.hang_up()
    await later.hang_up()
    row = await centre.call("13900000004")
    assert (row["disposition"], row["outcome"], row["hung_up_by"], row["agents"]) == (
        None,
        "human",
        "caller",
        ["1001", "1002"],
    )
    assert await how_often(centre, leg, call, "no_response") < 3
    assert centre.facts(CallSilent, call=call) == []
    assert [end.agent for end in centre.facts(TalkEnded, call=call)] == ["1001", "1002"]
    assert len(centre.facts(CallEnded, call=call)) == 1
    await centre.fact(RecordingFinished, 20, call=call)
    assert len(centre.facts(RecordingFinished, RecordingMissing, call=call)) == 1
    await centre.cli("recordings", "export", call, "--out", str(tmp_path / "both.wav"))
    left, right = sounds.stereo(tmp_path / "both.wav")
    assert seconds_of(left, leg.tone) > 1
    assert seconds_of(right, first.tone) > 0.3
    assert seconds_of(right, second.tone) > 0.8


async def test_a_talk_that_went_on_after_the_phrase_ends_as_any_other(
    centre: Centre, phones: Phones
) -> None:
    leg, talk, _ = await silent_talk(centre, phones, "13900000006")
    await talk.press("*0")
    await until_asked(leg)
    speak(leg, 6000)
    await talk.until_hears(leg.tone, 10)
    await asyncio.sleep(COMES_BACK + 1.1)
    await talk.hang_up()
    await leg.until_ended()
    row = await centre.call("13900000006")
    assert (row["disposition"], row["hung_up_by"]) == (None, "agent")
    assert centre.facts(CallTransferred, call=row["id"]) == []


@pytest.fixture
def fragile() -> Iterator[Centre]:
    """A centre of the test's own, for it will be damaged."""
    with Centre(retry_pause=1, retries=30) as made:
        made.add_agent("1001")
        made.shorten_greeting()
        yield made
        assert not made.complaints(), "\n".join(made.complaints())


async def test_kill_9_while_the_caller_is_asked_and_the_agent_has_gone(fragile: Centre) -> None:
    """Nobody knows whether the caller speaks, so they wait for a person."""
    async with Phones(fragile.sip) as phones:
        leg, talk, first = await silent_talk(fragile, phones, "13900000007")
        await talk.press("*0")
        await until_asked(leg)
        await talk.hang_up()
        call = await fragile.call_id("13900000007")
        await fragile.fact(TalkEnded, call=call, agent="1001")
        fragile.kill_controller()
        await fragile.fact(CallTransferred, 30, call=call)
        await first.until_rings(2)
        await leg.until_hears(first.tone)
        await leg.hang_up()
        row = await fragile.call("13900000007")
        assert (row["disposition"], row["agents"], row["hung_up_by"]) == (None, ["1001"], "caller")


@pytest.mark.parametrize(
    ("loudness", "after"),
    [(6000, 1.0), (6000, 4.0), (600, 4.0), (6000, 8.5)],
    ids=["in-the-phrase", "in-the-pause", "quietly", "after-the-second-phrase"],
)
async def test_a_word_brings_the_caller_back_to_the_same_agent(
    centre: Centre, phones: Phones, loudness: int, after: float
) -> None:
    caller = f"139000001{loudness // 100:02}{round(after):02}"[:11].ljust(11, "0")
    leg, talk, agent = await silent_talk(centre, phones, caller)
    await talk.press("*0")
    await asyncio.sleep(after)
    assert not leg.hears(agent.tone)
    speak(leg, loudness)
    await asyncio.sleep(0.6)
    leg.silent = True
    await leg.until_hears(agent.tone)
    speak(leg, 6000)
    await talk.until_hears(leg.tone)
    await leg.hang_up()
    row = await centre.call(caller)
    assert (row["disposition"], row["outcome"], row["hung_up_by"]) == (None, "human", "caller")
    assert len(agent.offers) == 1


async def test_a_quiet_line_is_no_voice(centre: Centre, phones: Phones) -> None:
    leg, talk, _ = await silent_talk(centre, phones, "13900000020")
    speak(leg, 100)
    await talk.press("*0")
    await leg.until_ended(PHRASES)
    assert (await centre.call("13900000020"))["disposition"] == "silent"


async def test_the_caller_has_no_such_key(centre: Centre, phones: Phones) -> None:
    leg, talk, agent = await silent_talk(centre, phones, "13900000021")
    await leg.press("*0")
    await asyncio.sleep(2)
    await leg.until_hears(agent.tone)
    await leg.hang_up()
    row = await centre.call("13900000021")
    for one in (leg, talk):
        assert await how_often(centre, one, row["id"], "no_response") == 0


async def test_silence_before_the_queue_when_the_queue_says_so(
    centre: Centre, phones: Phones
) -> None:
    await centre.cli("queue", "set", "default", "detect_silence=yes")
    try:
        silent = await phones.citizen("13900000031").dial(NUMBER)
        silent.silent = True
        speaks = await phones.citizen("13900000032").dial(NUMBER)
        await centre.fact(CallQueued, GREETING, call=await centre.call_id("13900000032"))
        await silent.until_ended(PHRASES + 5)
        row = await centre.call("13900000031")
        assert await how_often(centre, silent, row["id"], "no_response") == 3
        assert (row["disposition"], row["queued"], row["outcome"]) == (
            "silent",
            None,
            "abandoned_greeting",
        )
        assert speaks.ended_at is None
    finally:
        await centre.cli("queue", "set", "default", "detect_silence=")


# --- the key


async def test_a_caller_keeps_the_place_and_is_called_in_turn(
    centre: Centre, phones: Phones, way_out: Gateway
) -> None:
    await centre.cli("queue", "set", "default", "callback_key=5")
    way_out.manners.clear()
    way_out.manners["+8613900000041"] = Manners(answer_after=0.3)
    way_out.manners["13900000041"] = Manners(answer_after=0.3)
    try:
        async with way_out:
            leg = await phones.citizen("13900000041").dial(NUMBER)
            place = await centre.fact(
                CallQueued, GREETING, call=await centre.call_id("13900000041")
            )
            later = await phones.citizen("13900000042").dial(NUMBER)
            await centre.fact(CallQueued, GREETING, call=await centre.call_id("13900000042"))
            await centre.until(lambda: hears(leg, "callback_offer_5"), 15, "the offer")
            await leg.press("4")
            await asyncio.sleep(0.5)
            assert leg.talking
            await leg.press("5")
            await leg.until_ended(15)
            assert not leg.hung_up_here
            assert hears(leg, "callback_confirmed")
            await centre.fact(CallbackAsked, call=place.call)
            added = await centre.fact(CallbackAdded, origin=place.call)
            assert (added.number, added.place) == ("+8613900000041", place.at)

            agent = await centre.agent(phones, "1001", answer_after=0.2)
            placed = await centre.fact(CallbackPlaced, 10, callback=added.callback)
            assert placed.agent == "1001"
            assert not centre.facts(OfferMade, call=await centre.call_id("13900000042"))
            assert later.talking
            await agent.until_rings(1)
            await agent.offers[0].hang_up()
    finally:
        await centre.cli("queue", "set", "default", "callback_key=")


async def test_without_a_number_a_caller_cannot_be_called(centre: Centre, phones: Phones) -> None:
    await centre.cli("queue", "set", "default", "callback_key=5")
    try:
        leg = await phones.citizen("").dial(NUMBER)
        await leg.until_answered()
        await centre.fact(CallArrived, caller="")
        await asyncio.sleep(2)
        await leg.press("5")
        await centre.until(lambda: hears(leg, "callback_withheld"), 10, "the refusal")
        assert leg.talking
        assert not hears(leg, "callback_offer_5")
    finally:
        await centre.cli("queue", "set", "default", "callback_key=")


# --- turned away


async def test_a_blocked_caller_hears_why_and_is_counted(centre: Centre, phones: Phones) -> None:
    caller = "13900000051"
    await centre.cli("queue", "block", "add", caller, "--reason", "骚扰", "--by", "王")
    asked = await phones.citizen(caller).dial(NUMBER)
    await centre.fact(CallQueued, GREETING, call=await centre.call_id(caller))  # not approved yet
    await asked.hang_up()
    await centre.call(caller)
    await centre.cli("queue", "block", "approve", caller, "--by", "李")
    leg = await phones.citizen(caller).dial(NUMBER)
    await leg.until_ended(15)
    assert not leg.hung_up_here
    assert hears(leg, "blocked")
    assert not hears(leg, "recording_notice")
    await centre.fact(CallReleased, reason=Release.BLOCKED)
    _, second = [one.call for one in centre.facts(CallArrived) if one.caller == f"+86{caller}"]
    await centre.fact(CallEnded, call=second)
    row = next(row for row in await centre.calls() if row["id"] == second)
    assert (row["outcome"], row["queued"]) == ("blocked", None)
    (listed,) = [
        one for one in await json_of(centre, "queue", "block", "list") if "0051" in one["caller"]
    ]
    assert listed["calls"] == 1


async def json_of(centre: Centre, *command: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(await centre.cli(*command, "--format", "json"))
    return rows


async def test_outside_the_hours_nobody_is_queued(centre: Centre, phones: Phones) -> None:
    await centre.cli("queue", "hours", "set", "never", "daily=closed")
    await centre.cli("queue", "set", "default", "hours=never")
    try:
        leg = await phones.citizen("13900000061").dial(NUMBER)
        await leg.until_ended(15)
        assert hears(leg, "closed_hours")
        assert (await centre.call("13900000061"))["outcome"] == "closed_hours"
    finally:
        await centre.cli("queue", "set", "default", "hours=")
    leg = await phones.citizen("13900000062").dial(NUMBER)
    await centre.fact(CallQueued, GREETING, call=await centre.call_id("13900000062"))


CALENDAR = make_calendar(read_years(SHIPPED.read_text()))


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    made = Exchange(tmp_path_factory.mktemp("hours"))
    try:
        asyncio.run(made.start())
        yield made
    finally:
        asyncio.run(made.stop())
        made.close()


@pytest.mark.parametrize(
    ("day", "open_"),
    [("2026-02-13T10:00", True), ("2026-02-14T10:00", True), ("2026-02-16T10:00", False)],
)
async def test_the_calendar_of_the_spring_festival(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, day: str, open_: bool
) -> None:
    """R8, on a clock of its own: the make-up Saturday is open, the festival's Monday is not."""
    monkeypatch.setattr("ivr.script.opening", lambda number: ["hotline/please_wait"])
    now = round(datetime.fromisoformat(day).replace(tzinfo=CHINA).timestamp() * SECOND)
    rules = Rules(queues={"default": Queue(hours="office")})
    desk = TestDesk()

    async def feature(agent: str, action: str, reason: str) -> str:
        return "ok"

    def received(number: str, caller: str, at: int) -> Reception:
        return receive(rules, {"office": {"workdays": "08:00-18:00"}}, CALENDAR, number, caller, at)

    server = await serve(
        exchange.settings.control_address,
        exchange.settings.agi_port,
        secret=render.agi_secret(exchange.settings),
        desk=desk,
        clock=lambda: now,
        feature=feature,
        pace=Pace(),
        receive=received,
    )
    try:
        async with Phones(exchange.sip) as phones:
            leg = await phones.citizen("13900000071").dial(NUMBER)
            if open_:
                await desk.queued()
                assert leg.talking
            else:
                await leg.until_ended(15)
                assert hears(leg, "closed_hours")
                assert isinstance(desk.facts[-1], CallReleased)
                assert desk.facts[-1].reason is Release.CLOSED_HOURS
    finally:
        await server.close()


# --- language, and numbers that are not to be shown


async def test_a_number_of_its_own_language_speaks_it(centre: Centre, phones: Phones) -> None:
    leg = await phones.citizen("13900000081").dial(ENGLISH)
    for key in ("greeting_8890", "recording_notice", "agents_away"):
        await centre.until(partial(hears, leg, key, "en", last=4), 20, key)
    # 1002 speaks Mandarin only.
    other = await centre.agent(phones, "1002", answer_after=0.1)
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    await leg.until_hears(agent.tone)
    assert not other.offers


@pytest.mark.parametrize(
    ("sender", "headers"),
    [
        (
            b'"Anonymous" <sip:anonymous@anonymous.invalid>',
            b"Privacy: id\r\nP-Asserted-Identity: <sip:13900000091@127.0.0.1>\r\n",
        ),
        (
            b"<sip:13900000091@127.0.0.1>",
            b"Remote-Party-ID: <sip:13900000091@127.0.0.1>;privacy=full\r\n",
        ),
    ],
    ids=["RFC3325", "RPID"],
)
async def test_a_number_that_is_not_to_be_shown_is_nowhere(
    centre: Centre, sender: bytes, headers: bytes
) -> None:
    before = len(centre.facts(CallArrived))
    with Wire(centre.sip) as wire:
        dialog = await wire.call(NUMBER, sender, headers=headers)
        assert dialog.status == 200
        await centre.until(lambda: len(centre.facts(CallArrived)) > before, 10, "the arrival")
        arrived = centre.facts(CallArrived)[-1]
        assert isinstance(arrived, CallArrived)
        await centre.fact(CallQueued, GREETING, call=arrived.call)
        await dialog.hang_up()
        await centre.fact(CallEnded, call=arrived.call)
    assert arrived.caller == ""
    for file in (centre.home / "log" / "serve.log", centre.home / "log" / "asterisk" / "messages"):
        assert "13900000091" not in file.read_text(errors="replace")
