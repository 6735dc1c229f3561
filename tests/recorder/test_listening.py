"""Finished recordings are heard later: each once, encrypted as they lie, whatever is away or dies meanwhile."""

import asyncio
import hashlib
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base.settings import Settings
from facts import Fact
from facts.times import DAY, HOUR, SECOND
from metrics import hints
from recorder import deletion, finishing, hearing, ledger, listening
from recorder.deletion import Doomed
from recorder.entry import LedgerEntry
from recorder.hearing import Unheard
from recorder.hints import HintKind
from recorder.listening import Listening
from recorder.policy import RecordingState
from recorder.tables import recording, recording_voice
from recorder.vault import keys
from recorder.voice import Listener, SpeechSpan, Voices
from tests.recorder.conftest import NOW, Spool, a_call, call_id, write
from tests.recorder.test_voice import Says
from tests.recorder.voices import RATE, Placed, side, spoken, stereo, tune

CALL = call_id(17)
SECONDS = 60
TALK = 50
ENDED = NOW - 20 * SECOND
SOME = Voices((SpeechSpan(0, 64_000, -20),), (SpeechSpan(32_000, 96_000, -30),))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    made = settings.model_copy(update={"recording_format": "mp4"})
    keys.add(made)
    return made


def facts_of(call: str) -> list[Fact]:
    return a_call(call, SECONDS, TALK, ENDED)


async def made(
    engine: AsyncEngine, settings: Settings, spool: Spool, number: int, raw: bytes = b""
) -> LedgerEntry:
    """A finished recording."""
    call = call_id(number)
    path = spool(call, 2)
    if raw:
        path.write_bytes(raw)
    await write(engine, facts_of(call))
    await finishing.finish(engine, settings, call)
    async with engine.begin() as connection:
        moment = NOW + number
        await connection.execute(
            update(recording).where(recording.c.call == call).values(finished_at=moment)
        )
    return (await ledger.look_up(engine, [call]))[call]


@pytest.fixture
async def talked(engine: AsyncEngine, settings: Settings, spool: Spool) -> LedgerEntry:
    """Music while the citizen waits for 10 s, both greet each other at once, then 26 s of silence."""
    prompt = spoken("greeting_12345")
    citizen: Placed = [(12, prompt)]
    agent: Placed = [(0, tune(10)), (13, prompt), (47, prompt)]
    return await made(
        engine, settings, spool, 17, stereo(side(SECONDS, citizen), side(SECONDS, agent))
    )


class Ears:
    """Stands in for the worker processes: what each call's recording is found to hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[str] = []
        self.answers: dict[str, Voices | Unheard] = {}

        async def in_pool(_: Listening, batch: Sequence[LedgerEntry]) -> list[Voices | Unheard]:
            self.heard += [one.call for one in batch]
            return [self.answers.get(one.call, SOME) for one in batch]

        monkeypatch.setattr(Listening, "_in_pool", in_pool)


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Ears:
    return Ears(monkeypatch)


async def rows(engine: AsyncEngine) -> dict[str, str]:
    """Call → why it was not heard."""
    question = select(recording_voice.c.call, recording_voice.c.why)
    async with engine.connect() as connection:
        return {row.call: row.why for row in await connection.execute(question)}


async def waiting(engine: AsyncEngine, settings: Settings, now: int = NOW + SECOND) -> int:
    async with engine.connect() as connection:
        return (await listening.waiting(connection, settings, now)).count


async def test_an_encrypted_recording_is_heard_as_it_lies_and_gives_hints(
    engine: AsyncEngine, settings: Settings, talked: LedgerEntry
) -> None:
    def files() -> set[Path]:
        return set(settings.home.rglob("*.mp4*"))

    before = files()
    answer = hearing.hear(settings, talked)
    assert isinstance(answer, Voices)
    assert files() == before
    assert talked.cipher_sha256
    assert await listening.enter(engine, talked, answer, NOW)
    found = await hints.of_time(engine, settings, NOW - DAY, NOW)
    assert (found.calls, found.waiting, found.unheard) == (1, 0, 0)
    told = {one["kind"]: one for one in found.hints}
    assert set(told) == {HintKind.TALK_OVER, HintKind.LONG_SILENCE}
    length = spoken("greeting_12345").size / RATE
    assert told["talk_over"]["value"] == pytest.approx(length - 1, abs=0.6)
    assert told["talk_over"]["at"] == pytest.approx(13, abs=0.1)
    assert told["long_silence"]["value"] == pytest.approx(47 - 13 - length, abs=0.2)
    assert told["long_silence"]["at"] == pytest.approx(13 + length, abs=0.2)


async def test_changed_rules_hold_for_what_was_heard_before(
    engine: AsyncEngine, settings: Settings, talked: LedgerEntry
) -> None:
    answer = hearing.hear(settings, talked)
    await listening.enter(engine, talked, answer, NOW)
    strict = settings.model_copy(
        update={"hint_long_silence": 27, "hint_talk_over": 0, "hint_too_quiet": -15}
    )
    found = await hints.of_time(engine, strict, NOW - DAY, NOW)
    assert {one["kind"] for one in found.hints} == {HintKind.TOO_QUIET}
    only = await hints.of_time(
        engine, settings, NOW - DAY, NOW, hints.HintFilter({HintKind.TALK_OVER})
    )
    assert [one["kind"] for one in only.hints] == [HintKind.TALK_OVER]


async def test_each_recording_is_heard_once_the_oldest_first(
    engine: AsyncEngine, settings: Settings, spool: Spool, ears: Ears
) -> None:
    for number in (3, 1, 2):
        await made(engine, settings, spool, number)
    assert await waiting(engine, settings) == 3
    loop = Listening(engine, settings)
    with capture_logs() as said:
        await loop.look(NOW + SECOND)
        await loop.look(NOW + 2 * SECOND)
    assert ears.heard == [call_id(1), call_id(2), call_id(3)]
    assert await rows(engine) == dict.fromkeys(ears.heard, "")
    assert await waiting(engine, settings) == 0
    assert [one["recordings"] for one in said if one["event"] == "voice.backlog"] == [3]
    async with engine.connect() as connection:
        assert await listening.voices_of(connection, ears.heard) == dict.fromkeys(ears.heard, SOME)
    await made(engine, settings, spool, 4)
    await loop.look(NOW + 3 * SECOND)
    assert ears.heard[3:] == [call_id(4)]


async def test_a_second_loop_makes_no_second_entry(
    engine: AsyncEngine, settings: Settings, spool: Spool, ears: Ears
) -> None:
    entry = await made(engine, settings, spool, 1)
    assert await listening.enter(engine, entry, SOME, NOW)
    assert await listening.enter(engine, entry, SOME, NOW)
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(recording_voice)) == 1


async def test_a_recording_that_was_replaced_is_heard_again(
    engine: AsyncEngine, settings: Settings, spool: Spool, ears: Ears
) -> None:
    entry = await made(engine, settings, spool, 1)
    loop = Listening(engine, settings)
    await loop.look(NOW + SECOND)
    digest = hashlib.sha256(b"longer").hexdigest()
    async with engine.begin() as connection:
        await connection.execute(update(recording).values(sha256=digest))
    async with engine.connect() as connection:
        assert await listening.voices_of(connection, [entry.call]) == {}
    assert await waiting(engine, settings) == 1
    assert not await listening.enter(engine, entry, SOME, NOW)
    await loop.look(NOW + 2 * SECOND)
    assert ears.heard == [entry.call] * 2


async def test_what_was_heard_goes_with_the_recording(
    engine: AsyncEngine, settings: Settings, talked: LedgerEntry, ears: Ears
) -> None:
    await Listening(engine, settings).look(NOW + SECOND)
    assert await rows(engine) == {CALL: ""}
    await deletion.carry_out(
        engine, settings, [Doomed(talked, "default")], by="cli:wang", rules="ab" * 32
    )
    assert await rows(engine) == {}
    assert await waiting(engine, settings) == 0
    assert not await listening.enter(engine, talked, SOME, NOW)
    assert await rows(engine) == {}
    found = await hints.of_time(engine, settings, NOW - DAY, NOW)
    assert (found.calls, found.waiting, found.hints) == (1, 0, [])


async def test_what_cannot_be_heard_is_tried_thrice_and_again_a_day_later(
    engine: AsyncEngine, settings: Settings, spool: Spool, ears: Ears
) -> None:
    entry = await made(engine, settings, spool, 1)
    await made(engine, settings, spool, 2)
    ears.answers[entry.call] = Unheard("it is torn")
    loop = Listening(engine, settings)
    at = NOW
    for _ in range(3):
        at += HOUR // 2
        assert await waiting(engine, settings, at) >= 1
        await loop.look(at)
    assert ears.heard.count(entry.call) == 3
    assert await rows(engine) == {call_id(1): "it is torn", call_id(2): ""}
    assert await waiting(engine, settings, at) == 0
    found = await hints.of_time(engine, settings, NOW - DAY, NOW)
    assert (found.calls, found.waiting, found.unheard) == (2, 0, 1)
    async with engine.begin() as connection:
        await connection.execute(update(recording_voice).values(heard_at=at))
    del ears.answers[entry.call]
    await loop.look(at + DAY // 2)
    assert ears.heard.count(entry.call) == 3
    await loop.look(at + DAY + HOUR)
    assert ears.heard.count(entry.call) == 4
    assert (await rows(engine))[entry.call] == ""


async def test_a_key_that_is_away_for_one_holds_up_no_other(
    engine: AsyncEngine, settings: Settings, spool: Spool, ears: Ears
) -> None:
    for number in (1, 2, 3):
        await made(engine, settings, spool, number)
    ears.answers[call_id(1)] = Unheard("its master key is away", later=True)
    loop = Listening(engine, settings)
    with capture_logs() as said:
        await loop.look(NOW + SECOND)
        assert await rows(engine) == {}
        await loop.look(NOW + 2 * SECOND)
        assert set(ears.heard) == {call_id(1)}
        await loop.look(NOW + 5 * SECOND)
    assert set(await rows(engine)) == {call_id(2), call_id(3)}
    assert [one["on"] for one in said if one["event"] == "voice.waits"] == [True, False]
    del ears.answers[call_id(1)]
    await loop.look(NOW + HOUR)
    assert len(await rows(engine)) == 3


async def test_the_backlog_is_bounded_and_can_be_switched_off(
    engine: AsyncEngine, settings: Settings, spool: Spool, ears: Ears
) -> None:
    await made(engine, settings, spool, 1)
    later = NOW + 7 * DAY + HOUR
    assert await waiting(engine, settings, NOW + 6 * DAY) == 1
    assert await waiting(engine, settings, later) == 0
    await Listening(engine, settings).look(later)
    assert ears.heard == []
    off = settings.model_copy(update={"listen_workers": 0})
    assert await waiting(engine, off) == 0
    await listening.run(engine, off, asyncio.Event())
    assert ears.heard == []


@pytest.mark.parametrize("missing", ["file", "folder", "key"])
def test_what_is_away_is_told_apart_from_what_is_gone(
    settings: Settings, missing: str, tmp_path: Path
) -> None:
    place = settings.recordings_dir / "2025/11/21" / f"{CALL}.mp4.enc"
    if missing != "folder":
        place.parent.mkdir(parents=True)
    if missing == "key":
        place.write_bytes(b"torn")
    entry = LedgerEntry(
        CALL, f"2025/11/21/{CALL}.mp4.enc", RecordingState.FINISHED, 1, 1, "ab", NOW
    )
    answer = hearing.hear(settings, entry)
    assert isinstance(answer, Unheard)
    assert answer.later is (missing == "folder")


async def test_a_worker_that_is_killed_costs_nothing_but_time(
    engine: AsyncEngine, settings: Settings, talked: LedgerEntry
) -> None:
    """And the end of the recorder does not wait for an hour of sound."""
    loop = Listening(engine, settings)
    look = asyncio.create_task(loop.look(NOW + SECOND))  # noqa: TID251 it is awaited below
    async with asyncio.timeout(50):
        while loop._pool is None or not loop._pool._processes:
            await asyncio.sleep(0.01)
        for process in list(loop._pool._processes.values()):
            process.kill()
        await look
        assert await rows(engine) == {}
        await loop.look(NOW + HOUR)
    assert await rows(engine) == {CALL: ""}
    began = time.monotonic()
    await loop.close()
    assert time.monotonic() - began < 10


def test_memory_does_not_grow_with_the_call() -> None:
    def peak(pieces: int) -> int:
        listener = Listener(Says(), Says())
        piece = np.full(2 * RATE * 2, 50, "<i2").tobytes()
        tracemalloc.start()
        for _ in range(pieces):
            listener.add(piece)
        listener.finish()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(100) < 1.1 * peak(10)
