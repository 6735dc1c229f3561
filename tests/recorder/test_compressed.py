"""A compressed recording, from the raw file to whoever reads it: archive, ledger, audit, export."""

import hashlib
import io
import json
import os
import subprocess
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base.settings import Settings
from facts import Fact, RecordingFinished
from recorder import copying, finishing, ledger, press, tape
from recorder.archive import Archive
from recorder.audit import FileState
from recorder.entry import LedgerEntry
from recorder.forms import RecordingForm, read_header
from recorder.ledger import LedgerError
from recorder.levels import listen_to
from recorder.policy import RecordingState
from recorder.tables import recording_sound
from recorder.tape import Fault, Job, Tape
from recorder.vault import keys, reading
from tests.recorder.conftest import NOW, Spool, a_call, call_id, recording_facts, write
from tests.recorder.test_tape import interleaved, loudest, tone

CALL = call_id(17)
SECONDS = 10


@pytest.fixture
def settings(settings: Settings) -> Settings:
    made = settings.model_copy(update={"recording_format": "mp4"})
    keys.add(made)
    return made


@pytest.fixture
async def entry(engine: AsyncEngine, settings: Settings, spool: Spool) -> LedgerEntry:
    """The citizen at 440 Hz, the agent at 1100 Hz in the last half."""
    raw = spool(CALL)
    agent = np.concatenate([np.zeros(40_000, "<i2"), tone(1100, 5)])
    raw.write_bytes(interleaved(tone(440, SECONDS), agent))
    await write(engine, a_call(CALL))
    return await finishing.finish(engine, settings, CALL)


def plain(settings: Settings, entry: LedgerEntry) -> bytes:
    with reading.open_recording(settings, entry) as sound:
        return sound.read()


def probed(file: Path) -> tuple[float, dict[str, str]]:
    """What another program says about a file: seconds, and what the file says of itself."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", str(file)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["format"]
    tags = {name.lower(): value for name, value in found["tags"].items()}
    return float(found["duration"]), {
        name: tags[name] for name in ("title", "date", "album") if name in tags
    }


async def test_no_file_is_named_by_a_telephone_number(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, tmp_path: Path
) -> None:
    for name in ("13812345678.wav", "wang +8613812345678.wav", "02423456789.mp3"):
        with pytest.raises(LedgerError, match=r"\*\*\*\*.*by the call's id"):
            await copying.export(engine, settings, CALL, tmp_path / name)
    await copying.export(engine, settings, CALL, tmp_path / f"{CALL}.wav")
    assert [path.name for path in tmp_path.glob("*.[wm]*")] == [f"{CALL}.wav"]


async def test_it_is_entered_verified_and_measured(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry
) -> None:
    assert entry.path == f"2025/11/21/{CALL}.mp4.enc"
    assert (entry.state, entry.duration) == (RecordingState.FINISHED, SECONDS * 1_000_000)
    assert entry.size < SECONDS * 6000
    assert await copying.verify(engine, settings, CALL) == entry
    (heard,) = listen_to(settings, [entry])
    assert heard.state is FileState.WHOLE
    assert heard.levels is not None
    assert (sum(heard.levels.left), list(heard.levels.right)) == (100, [0] * 50 + [1] * 50)
    async with engine.connect() as connection:
        row = (await connection.execute(select(recording_sound))).one()
    assert (row.call, row.left_rms, row.left_peak) == (CALL, -15.26, -12.25)
    assert row.right_rms == pytest.approx(-18.27)
    assert (row.talk_over, row.silence, json.loads(row.silences)) == (5_000_000, 0, [])


async def test_the_file_says_which_call_it_is_and_has_no_caller(
    settings: Settings, entry: LedgerEntry
) -> None:
    data = plain(settings, entry)
    began = "2025-11-21T21:21:10+08:00"
    for told in (CALL, began, "12345"):
        assert told.encode() in data[:3000]
    assert b"13812345678" not in data
    header = read_header(io.BytesIO(data), RecordingForm.MP4)
    assert header.duration == entry.duration
    assert header.peaks[:4] == b"\2\0\0\0"


async def test_no_plain_sound_stays_on_the_disk(settings: Settings, entry: LedgerEntry) -> None:
    data = plain(settings, entry)
    for path in settings.home.rglob("*"):
        if path.is_file():
            found = path.read_bytes()
            assert b"ftyp" not in found, path
            assert data[5000:5032] not in found, path


async def test_finishing_twice_is_finishing_once(
    engine: AsyncEngine,
    settings: Settings,
    entry: LedgerEntry,
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spool(CALL)  # as if the crash had come before the removal; and there is another ffmpeg now
    monkeypatch.setattr(press, "_HOW", {})
    assert await finishing.finish(engine, settings, CALL) == entry
    assert (
        len([one for one in await recording_facts(engine) if one.kind == "RecordingFinished"]) == 1
    )


@pytest.mark.parametrize("form", list(RecordingForm))
async def test_it_is_exported_in_every_form(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, tmp_path: Path, form: RecordingForm
) -> None:
    out = tmp_path / f"out.{form.value}"
    await copying.export(engine, settings, CALL, out)
    duration, tags = probed(out)
    assert abs(duration - SECONDS) <= (0.2 if form is RecordingForm.MP3 else 0.02)
    assert tags == {"title": CALL, "date": "2025-11-21T21:21:10+08:00", "album": "12345"}
    data = out.read_bytes()
    assert b"13812345678" not in data
    assert (hashlib.sha256(data).hexdigest() == entry.sha256) == (form is RecordingForm.MP4)
    if form is RecordingForm.WAV:
        with wave.open(str(out)) as sound:
            both = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").reshape(-1, 2)
        assert abs(loudest(both[:, 0]) - 440) < 1
        assert not both[:30_000, 1].any()
        assert abs(loudest(both[:, 1]) - 1100) < 1
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


async def test_the_form_is_said_or_stays_as_it_is(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, tmp_path: Path
) -> None:
    await copying.export(engine, settings, CALL, tmp_path / "as-it-lies")
    assert (tmp_path / "as-it-lies").read_bytes() == plain(settings, entry)
    await copying.export(engine, settings, CALL, tmp_path / "b", form=RecordingForm.WAV)
    assert (tmp_path / "b").read_bytes()[:4] == b"RIFF"


async def test_a_recording_of_before_is_a_wav_and_stays_one(
    engine: AsyncEngine, settings: Settings, spool: Spool, tmp_path: Path
) -> None:
    spool(CALL)
    await write(engine, a_call(CALL))
    before = settings.model_copy(update={"recording_format": "wav", "encrypt_recordings": False})
    old = await finishing.finish(engine, before, CALL)
    assert old.path.endswith(".wav")
    assert await copying.verify(engine, settings, CALL) == old
    await copying.export(engine, settings, CALL, tmp_path / "a.mp4")
    assert tape.inspect(tmp_path / "a.mp4").form is RecordingForm.MP4


async def test_no_ffmpeg_for_an_export(
    engine: AsyncEngine,
    settings: Settings,
    entry: LedgerEntry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LedgerError, match="apt-get install ffmpeg"):
        await copying.export(engine, settings, CALL, tmp_path / "a.wav")
    assert list(tmp_path.glob("*a.wav*")) == []


# --- the loop


@pytest.fixture
async def work(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Archive]:
    """An archive whose jobs run in this process."""
    made = Archive(engine, settings, lambda _: None, lambda: 0.0)

    async def here(jobs: list[Job]) -> list[Tape | Fault]:
        return tape.finish_batch(jobs)

    monkeypatch.setattr(made, "_in_pool", here)
    yield made
    await made.close()


async def test_without_ffmpeg_the_raw_files_wait_for_it(
    engine: AsyncEngine,
    work: Archive,
    spool: Spool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = spool(CALL, seconds=1)
    await write(engine, a_call(CALL, seconds=1, talk=0))
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setenv("PATH", str(tmp_path))
        await work.sweep(NOW)
        await work.sweep(NOW + 1_000_000)
    assert [(one["event"], one["on"]) for one in logs] == [("recording.no_ffmpeg", True)]
    assert raw.exists()
    assert await ledger.look_up(engine, [CALL]) == {}
    with capture_logs() as logs:
        await work.sweep(NOW + 2_000_000)
    assert logs[0]["event"] == "recording.no_ffmpeg"
    assert not raw.exists()
    assert (await ledger.look_up(engine, [CALL]))[CALL].state is RecordingState.FINISHED


@pytest.mark.parametrize(
    ("script", "said", "full"),
    [
        ("kill -9 $$", "ffmpeg was killed by signal 9", False),
        ("echo No space left on device >&2; exit 1", "No space left on device", True),
    ],
)
async def test_an_ffmpeg_that_fails_keeps_the_raw_file_and_is_tried_again(
    engine: AsyncEngine,
    settings: Settings,
    work: Archive,
    spool: Spool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    said: str,
    full: bool,
) -> None:
    raw = spool(CALL, seconds=1)
    await write(engine, a_call(CALL, seconds=1, talk=0))
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        await work.sweep(NOW)
    (failed,) = [one for one in logs if one["log_level"] == "error"]
    assert failed["event"] == ("recording.held_up" if full else "recording.unfinished")
    assert said in failed["why"]
    assert raw.exists()
    assert [
        path for path in settings.recordings_dir.rglob("*") if path.name.endswith(".part")
    ] == []
    facts: list[Fact] = await recording_facts(engine)
    assert facts == []
    await work.sweep(NOW + 5_000_000)
    assert [type(one) for one in await recording_facts(engine)] == [RecordingFinished]
