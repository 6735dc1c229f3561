"""With the real model: known words in an encrypted recording are a hint at the right second; no words are none."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from bench.words import decode_alaw, encode_alaw
from facts.times import DAY, SECOND
from recorder import finishing
from recorder.policy import RATE
from speech import hints, model, night, shelf
from speech.hearing import Sound, Transcriber
from speech.hints import WordHintKind
from speech.syllables import spell
from tests.recorder.conftest import a_call, write
from tests.speech import whisper
from tests.speech.conftest import CALL
from tests.speech.lists import BOOK

pytestmark = [pytest.mark.speech, pytest.mark.timeout(600)]

_ROOT = Path(__file__).parents[2]


def sentence(name: str) -> Sound:
    return decode_alaw((_ROOT / "bench/sentences" / f"{name}.alaw").read_bytes())


@pytest.fixture(scope="module")
def listener() -> Transcriber:
    return Transcriber(model.load(Settings(home=whisper.HOME, speech_model=whisper.folder())))


async def test_a_recorded_phrase_is_a_hint_at_its_second(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Asterisk leaves it, compressed, encrypted, entered, heard. What the citizen says is no hint."""
    settings = settings.model_copy(
        update={"speech_model": whisper.folder(), "recording_format": "mp4"}
    )
    monkeypatch.setattr(night, "lowest_priority", lambda: None)
    phrase = sentence("guiding_1.f")  # 没有为什么，这就是规定。
    sides = np.zeros((60 * RATE, 2), dtype="<i2")
    sides[3 * RATE : 3 * RATE + phrase.size, 0] = phrase
    sides[35 * RATE : 35 * RATE + phrase.size, 1] = phrase  # behind the first block
    await write(engine, a_call(CALL, 60, 60, clock.now() - 30 * SECOND))
    (settings.spool_dir / f"{CALL}.raw").write_bytes(sides.tobytes())
    await finishing.finish(engine, settings, CALL)
    now = clock.now()
    did = await night.work(
        engine, settings, asyncio.Event(), since=now - DAY, until=now + 1, within=DAY
    )
    assert (did.done, did.why) == (1, "")
    found = await shelf.read(engine, settings, CALL)
    assert found is not None
    greeting, hint = found.hints
    assert greeting.kind is WordHintKind.NO_GREETING
    assert (hint.kind, hint.phrase, hint.agent) == (WordHintKind.FORBIDDEN, "这就是规定", "1001")
    assert (
        35 * SECOND
        < hint.begin
        < hint.end
        <= 35 * SECOND + phrase.size * SECOND // RATE + SECOND // 2
    )
    assert hint.begin > 35 * SECOND + phrase.size * SECOND // RATE // 3  # its second half
    (talk,) = found.talks
    assert talk.citizens
    assert talk.citizens[0].begin < 5 * SECOND


@pytest.mark.parametrize("what", ["silence", "noise", "music", "tone"])
def test_where_nobody_speaks_nothing_is_heard(listener: Transcriber, what: str) -> None:
    size = 20 * RATE
    at = np.arange(size) / RATE
    music = _ROOT / "asterisk-conf/music/calm_1.alaw"
    made = {
        "silence": np.zeros(size),
        "noise": np.random.default_rng(7).normal(0, 800, size),
        "tone": 8000 * np.sin(2 * np.pi * 425 * at),
        "music": decode_alaw(music.read_bytes())[:size],
    }
    words, done = listener.hear(made[what].astype(np.int16), last=True)
    assert (words, done) == ([], size)


def test_an_innocent_sentence_is_no_hint(listener: Transcriber) -> None:
    words, _ = listener.hear(sentence("innocent_4.f"), last=True)
    heard = spell(words)
    assert len(heard) > 10
    assert [one.text for one in BOOK.forbidden if list(hints.places(heard, one))] == []


def test_alaw_comes_back_as_it_was() -> None:
    coded = bytes(range(256))
    assert set(decode_alaw(encode_alaw(decode_alaw(coded)))) == set(decode_alaw(coded))
