"""A queue's `offer_in_notice`: the caller waits, and phones ring, while the recording notice plays as music."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from facts import CallbackAsked, CallDetached, CallQueued, OfferEnded
from facts.terms import OfferReason, Release
from ivr.notice import LATER, Notice
from ivr.reception import Reception
from ivr.server import Server, serve
from ivr.session import Pace
from tests.fakes.asterisk_agi import PATIENCE, SECRET, FakeCall, close_all
from tests.ivr.test_callback import LINE, FakeCallbacks
from tests.ivr.test_server import CALL, NOW, FakeDesk, ended

LASTS = 0.4
MARK = r"m\(notice\)iIb\(notice\^ringing\^1\)U\(notice\^(\d+)\)"
PLACE = f"HL_ARRIVED={NOW},HL_QUEUED={NOW},HL_QUEUE=default,HL_TRIES=0"


class House:
    """What holds for the next caller."""

    reception = Reception(offer_in_notice=True)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def callbacks() -> FakeCallbacks:
    return FakeCallbacks()


@pytest.fixture
async def server(
    desk: FakeDesk, house: House, callbacks: FakeCallbacks, tmp_path: Path
) -> AsyncIterator[Server]:
    async def feature(agent: str, action: str, key: str) -> str:
        return "ok"

    for folder in ("hotline", "hotline-en"):
        (tmp_path / folder).mkdir()
        sound = b"\xd5" * round(LASTS * 8000)
        (tmp_path / folder / "recording_notice.alaw").write_bytes(sound)
    server = await serve(
        "127.0.0.1",
        0,
        secret=SECRET,
        desk=desk,
        clock=lambda: NOW,
        feature=feature,
        pace=Pace(announce_every=60),
        callbacks=callbacks,
        receive=lambda number, caller, at: house.reception,
        sounds=tmp_path,
    )
    yield server
    await server.close()
    await ended(server)
    await close_all()


async def begun(server: Server, desk: FakeDesk, music: str = "notice") -> FakeCall:
    """A caller who begins to hear the notice, and waits already."""
    call = await FakeCall.connect(server.port)
    await call.until(f"SET MUSIC ON {music}")
    call.answer("200 result=0")
    async with asyncio.timeout(PATIENCE):
        while not any(isinstance(fact, CallQueued) for fact in desk.facts):
            await asyncio.sleep(0)
    return call


def rest(options: str) -> float:
    """Until when the agent has to wait, in seconds from now."""
    found = re.fullmatch(rf"PJSIP/\d+,15\.000,{MARK}", options)
    assert found is not None, options
    return int(found[1]) / 1000 - NOW / 1_000_000


async def test_four_commands_when_an_agent_is_idle(server: Server, desk: FakeDesk) -> None:
    desk.on = lambda fact: (
        desk.attached[CALL].ring(("1001",), 15) if isinstance(fact, CallQueued) else None
    )
    call = await begun(server, desk)
    dial = await call.next()
    assert call.commands[:3] == [
        ["STREAM", "FILE", "hotline/greeting_12345", ""],
        ["EXEC", "MSet", PLACE],
        ["SET", "MUSIC", "ON", "notice"],
    ]
    assert dial[:2] == ["EXEC", "Dial"]
    assert LASTS < rest(dial[2]) <= LASTS + LATER
    assert desk.facts[-1] == CallQueued(NOW, CALL, "default")
    call.answer("200 result=-1")
    await call.end()
    assert len(call.commands) == 4


async def test_after_the_notice_all_is_as_ever(server: Server, desk: FakeDesk) -> None:
    call = await begun(server, desk)
    assert await call.next() == ["SET", "MUSIC", "ON"]
    call.answer("200 result=0")
    desk.attached[CALL].ring(("1001",), 15)
    assert await call.next() == ["EXEC", "Dial", "PJSIP/1001,15.000,miI"]
    await call.close()


async def test_the_notice_goes_on_when_a_phone_was_not_answered(
    server: Server, desk: FakeDesk
) -> None:
    call = await begun(server, desk)
    desk.attached[CALL].ring(("1001",), 15)
    first = rest((await call.next())[2])
    call.answer("200 result=0")
    await call.until("GET FULL VARIABLE")
    call.answer("200 result=1 (BUSY 17)")
    assert await call.next() == ["SET", "MUSIC", "ON", "notice"]
    assert desk.facts[-1] == OfferEnded(NOW, CALL, "1001", OfferReason.REFUSED)
    call.answer("200 result=0")
    desk.attached[CALL].ring(("1002",), 15)
    # This clock stands still, so that `until` comes nearer as the notice is heard.
    assert 0 < rest((await call.next())[2]) <= first
    await call.close()


async def test_whatever_else_is_decided_waits_for_the_end(server: Server, desk: FakeDesk) -> None:
    call = await begun(server, desk)
    desk.attached[CALL].release(Release.TIMED_OUT)
    assert await call.next() == ["SET", "VARIABLE", "HL_DONE", "1"]
    call.answer("200 result=0")
    assert await call.next() == ["STREAM", "FILE", "hotline/wait_limit", ""]
    await call.close()


async def test_that_nobody_is_on_duty_is_said_when_the_notice_is_over(
    server: Server, desk: FakeDesk
) -> None:
    desk.anyone = False
    call = await begun(server, desk)
    assert await call.next() == ["STREAM", "FILE", "hotline/agents_away", ""]
    await call.close()


async def test_a_key_means_nothing_before_it_is_offered(
    server: Server, desk: FakeDesk, house: House
) -> None:
    house.reception = replace(house.reception, callback_key="5")
    call = await begun(server, desk)
    desk.attached[CALL].press("5")
    assert await call.next() == ["SET", "MUSIC", "ON"]
    call.answer("200 result=0")
    desk.attached[CALL].press("5")
    await call.until("SET VARIABLE HL_DONE")
    assert [fact for fact in desk.facts if isinstance(fact, CallbackAsked)]
    await call.close()


async def test_in_the_language_of_the_number(server: Server, desk: FakeDesk, house: House) -> None:
    house.reception = replace(house.reception, language="en")
    call = await begun(server, desk, "notice-en")
    await call.close()


@pytest.mark.parametrize(
    "reception",
    [
        Reception(),
        Reception(offer_in_notice=True, detect_silence=True),
    ],
)
async def test_otherwise_the_notice_is_a_sound_before_the_queue(
    server: Server, desk: FakeDesk, house: House, reception: Reception
) -> None:
    house.reception = reception
    call = await FakeCall.connect(server.port)
    await call.until("STREAM FILE hotline/recording_notice")
    assert CALL not in desk.attached
    await call.close()


async def test_a_notice_of_unknown_length_is_a_sound_before_the_queue(
    server: Server, desk: FakeDesk, tmp_path: Path
) -> None:
    (tmp_path / "hotline" / "recording_notice.alaw").unlink()
    call = await FakeCall.connect(server.port)
    await call.until("STREAM FILE hotline/recording_notice")
    assert CALL not in desk.attached
    await call.close()


async def test_a_caller_who_leaves_waits_no_longer(server: Server, desk: FakeDesk) -> None:
    call = await begun(server, desk)
    await call.close()
    await ended(server)
    assert desk.facts[-1] == CallDetached(NOW, CALL)


async def test_an_agent_who_stayed_on_the_phone_is_fetched_when_it_is_over(
    server: Server, desk: FakeDesk, callbacks: FakeCallbacks
) -> None:
    callbacks.lines[CALL, "1001"] = LINE
    call = await begun(server, desk)
    desk.attached[CALL].ring(("1001",), 15)
    assert await call.next() == ["SET", "VARIABLE", "DIALSTATUS", "ANSWER"]
    ((agent, wait),) = callbacks.waits
    assert agent == "1001"
    assert 0 < wait <= LASTS + LATER
    call.answer("200 result=0")
    await call.until(f"EXEC Bridge {LINE},x")
    await call.close()


async def test_an_agent_who_did_not_stay_until_it_is_over_makes_room(
    server: Server, desk: FakeDesk, callbacks: FakeCallbacks
) -> None:
    callbacks.lines[CALL, "1001"] = LINE
    call = await begun(server, desk)
    desk.attached[CALL].ring(("1001",), 15)
    desk.attached[CALL].ring(("1002",), 15)
    assert rest((await call.next())[2]) > 0
    await call.close()


def test_time_in_which_the_music_stands_still_does_not_count() -> None:
    now = 100.0
    notice = Notice("notice", 5.0 - LATER, lambda: now)
    assert notice.left() == 5
    notice.play()
    now += 2
    assert notice.left() == 3
    notice.play()
    now += 1
    notice.stop()
    now += 10
    assert notice.left() == 2
    notice.play()
    now += 5
    assert notice.left() == 0


def test_music_that_stands_still_when_it_begins_plays_no_time_away() -> None:
    now = 0.0
    notice = Notice("notice-en", 3.0, lambda: now)
    assert notice.music == "notice-en"
    now += 50
    assert notice.left() == 3 + LATER
    notice.stop()
    assert notice.left() == 3 + LATER
    notice.play()
    now += 1
    notice.stop()
    notice.stop()
    now += 1
    assert notice.left() == pytest.approx(2 + LATER)
    notice.play()
    now += 9
    notice.stop()
    assert notice.left() == 0
