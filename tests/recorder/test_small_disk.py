"""A disk that fills while a recording is pressed: nothing is lost, no half file stays, and it goes on with room."""

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base.settings import Settings
from facts import Fact
from facts.times import SECOND
from recorder import copying, ledger, press, tape
from recorder.archive import Archive
from recorder.forms import RecordingForm
from recorder.policy import RecordingState
from recorder.press import Tags
from recorder.tape import Fault, Job, Tape
from recorder.vault import keys
from tests.recorder.conftest import NOW, a_call, call_id, write

pytestmark = pytest.mark.live

CALL = call_id(17)
SECONDS = 60
RAW = np.random.default_rng(5).integers(-9000, 9000, 2 * 8000 * SECONDS, np.int16).tobytes()
"""Noise, which takes the most room: 1.9 MB, and 0.24 MB as MP4."""


@contextlib.contextmanager
def small(folder: Path) -> Iterator[None]:
    """A disk of 4 MB."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Recordings and raw files lie on a disk of 4 MB."""
    made = Settings(home=tmp_path, min_free_mb=0)
    with small(made.recordings_dir):
        made.spool_dir.mkdir()
        yield made


@pytest.fixture
def full_spool(tmp_path: Path) -> Iterator[Settings]:
    """Only the raw files lie on a disk of 4 MB."""
    made = Settings(home=tmp_path, min_free_mb=0)
    with small(made.spool_dir):
        yield made


@contextlib.asynccontextmanager
async def archive(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Archive]:
    keys.add(settings)
    posted: list[Fact] = []
    made = Archive(engine, settings, posted.append, lambda: 0.0)

    async def here(jobs: list[Job]) -> list[Tape | Fault]:
        return tape.finish_batch(jobs)

    monkeypatch.setattr(made, "_in_pool", here)
    yield made
    await made.close()


@pytest.fixture
async def work(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Archive]:
    async with archive(engine, settings, monkeypatch) as made:
        yield made


def leave(folder: Path, room: int) -> Path:
    """Fill the disk but for so many bytes."""
    filler = folder / ".filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with filler.open("r+b") as file:
        file.truncate(max(0, filler.stat().st_size - room))
    return filler


def lying(settings: Settings) -> list[str]:
    """The files of the disk."""
    found = (path for path in settings.recordings_dir.rglob("*") if path.is_file())
    return sorted(path.name for path in found if path.name != ".filler")


async def test_wherever_it_fills_nothing_is_lost_and_it_goes_on_with_room(
    engine: AsyncEngine, settings: Settings, work: Archive
) -> None:
    await write(engine, a_call(CALL, seconds=SECONDS, talk=0))
    raw = settings.spool_dir / f"{CALL}.raw"
    now, fell_short = NOW, 0
    held: list[bool] = []
    # At the first bytes, in the middle of ffmpeg's work, in its index, in our own copy, and at last not at all.
    for room in (0, 40_000, 200_000, 256_000, 300_000, 400_000, 480_000, 900_000):
        raw.write_bytes(RAW)
        os.utime(raw, ns=((NOW - 20 * SECOND) * 1000,) * 2)
        filler = leave(settings.recordings_dir, room)
        with capture_logs() as logs:
            await work.sweep(now := now + 3600 * SECOND)
        events = [one["event"] for one in logs]
        held += [one["on"] for one in logs if one["event"] == "recording.held_up"]
        entered = (await ledger.look_up(engine, [CALL])).get(CALL)
        if entered is not None and entered.path:
            break
        fell_short += 1
        assert raw.read_bytes() == RAW, room
        assert lying(settings) == [raw.name], room
        assert "recording.unfinished" not in events, room
        assert held == [True], "it is told once"
        if fell_short == 1:
            (told,) = [one for one in logs if one["event"] == "recording.held_up"]
            assert "No space left on device" in told["why"]
        filler.unlink()
    assert fell_short >= 4
    assert held == [True, False], "and so is its end"
    filler.unlink(missing_ok=True)
    await work.sweep(now + 3600 * SECOND)
    entry = await copying.verify(engine, settings, CALL)
    assert (entry.state, entry.duration) == (RecordingState.FINISHED, SECONDS * SECOND)
    assert lying(settings) == [Path(entry.path).name]


async def test_a_full_spool_is_emptied_by_what_it_holds(
    engine: AsyncEngine, full_spool: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only finished recordings make room there: they are compressed in memory. Nothing waits for a person."""
    calls = [call_id(number) for number in range(5)]
    for call in calls:
        await write(engine, a_call(call, seconds=SECONDS, talk=0))
    # Two with sound, and three of calls for which there was no room: these hold up nothing.
    sounds = [RAW, RAW[: len(RAW) // 2], b"", b"", b""]
    for call, sound in zip(calls, sounds, strict=True):
        raw = full_spool.spool_dir / f"{call}.raw"
        raw.write_bytes(sound)
        os.utime(raw, ns=((NOW - 20 * SECOND) * 1000,) * 2)
    leave(full_spool.spool_dir, 0)
    with capture_logs() as logs:
        async with archive(engine, full_spool, monkeypatch) as made:
            await made.sweep(NOW)
    assert not [one for one in logs if one["event"] == "recording.held_up"]
    assert list(full_spool.spool_dir.glob("*.raw")) == []
    found = await ledger.look_up(engine, calls)
    states = [found[call].state for call in calls]
    assert states == [RecordingState.FINISHED] * 2 + [RecordingState.MISSING] * 3
    for call in calls[:2]:
        await copying.verify(engine, full_spool, call)


@pytest.mark.parametrize("form", [RecordingForm.MP4, RecordingForm.MP3])
@pytest.mark.parametrize("room", [0, 40_000, 200_000])
def test_ffmpeg_does_not_end_well_on_a_full_disk(
    settings: Settings, form: RecordingForm, room: int
) -> None:
    """Its own copy is the one that was cut, and the next one may find room: nobody else would notice."""
    leave(settings.recordings_dir, room)
    duration = SECONDS * SECOND
    with (
        pytest.raises(OSError, match="No space left on device"),
        press.press([RAW], form, folder=settings.spool_dir, tags=Tags(), duration=duration),
    ):
        pass
