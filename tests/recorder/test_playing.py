"""A part of a recording: the same samples as in the whole, whatever the form; and what a player may do to us."""

import io
import stat
import wave
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facts.times import SECOND
from recorder import playing, tape
from recorder.entry import LedgerEntry
from recorder.forms import RecordingForm
from recorder.playing import PlayError
from recorder.policy import FRAME, RATE, RecordingState
from recorder.tape import Job

FRAMES = 3 * RATE
RAW = b"".join(frame.to_bytes(2, "little", signed=True) * 2 for frame in range(FRAMES))
CALL = "hotline-1763731200.1"


def entry_of(frames: int) -> LedgerEntry:
    duration = frames * SECOND // RATE
    return LedgerEntry(CALL, "x.wav", RecordingState.FINISHED, duration, 1, "", 1)


def samples(wav: bytes) -> bytes:
    with wave.open(io.BytesIO(wav)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (2, 2, RATE)
        return bytes(sound.readframes(sound.getnframes()))


@given(
    begin=st.integers(0, 4 * SECOND),
    end=st.none() | st.integers(0, 4 * SECOND),
    frames=st.integers(1, FRAMES),
)
@example(begin=0, end=None, frames=1)
@example(begin=2 * SECOND, end=2 * SECOND, frames=FRAMES)
def test_a_part_is_a_slice_of_the_whole(begin: int, end: int | None, frames: int) -> None:
    whole = io.BytesIO(tape.head_of(frames) + RAW[: frames * FRAME])
    first, last = begin * RATE // SECOND, frames if end is None else end * RATE // SECOND
    wanted = RAW[: frames * FRAME][first * FRAME : last * FRAME]
    given_part = playing.part(whole, RecordingForm.WAV, entry_of(frames), begin, end)
    if not wanted:
        with pytest.raises(PlayError, match="nothing to play"):
            b"".join(given_part)
        return
    assert samples(b"".join(given_part)) == wanted


@pytest.mark.parametrize("form", [RecordingForm.MP4, RecordingForm.MP3])
def test_a_part_of_a_compressed_recording_is_a_slice_of_what_it_decodes_to(
    tmp_path: Path, form: RecordingForm
) -> None:
    (tmp_path / "x.raw").write_bytes(RAW)
    place = tmp_path / f"x.{form}"
    made = tape.finish_one(Job(tmp_path / "x.raw", place, form=form))
    entry = entry_of(FRAMES)
    assert made.duration == entry.duration
    with place.open("rb") as sound:
        whole = samples(b"".join(playing.part(sound, form, entry)))
    for begin, end in ((0.5, 2), (2.5, 3)):
        with place.open("rb") as sound:
            part = playing.part(sound, form, entry, round(begin * SECOND), end * SECOND)
            wanted = whole[round(begin * RATE) * FRAME : end * RATE * FRAME]
            assert samples(b"".join(part)) == wanted


def test_who_stops_early_leaves_no_program_behind(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(RAW * 20)
    place = tmp_path / "x.mp4"
    tape.finish_one(Job(tmp_path / "x.raw", place, form=RecordingForm.MP4))
    # Other tests of this process may have left a helper of their worker pools.
    before = psutil.Process().children()
    with place.open("rb") as sound:
        pieces = playing.part(sound, RecordingForm.MP4, entry_of(20 * FRAMES))
        next(pieces)
        next(pieces)
        assert len(psutil.Process().children()) == len(before) + 1
        pieces.close()
    assert psutil.Process().children() == before


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(playing, "_PLAYERS", (("no-such-player",), ("a-player", "-")))
    return folder


def program(folder: Path, lines: str) -> None:
    file = folder / "a-player"
    file.write_text(f"#!/bin/sh\n{lines}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_a_player_gets_the_sound_and_no_setting(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(programs, f"env > {tmp_path}/env; cat > {tmp_path}/heard")
    monkeypatch.setenv("HOTLINE_RECORDING_KEYS", "ab" * 32)
    playing.play([b"one ", b"two"], playing.player())
    assert (tmp_path / "heard").read_bytes() == b"one two"
    assert "HOTLINE_" not in (tmp_path / "env").read_text()


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(1 << 16)


def test_a_player_may_stop_and_may_fail(programs: Path) -> None:
    with pytest.raises(PlayError, match="install one"):
        playing.player()
    program(programs, "exit 0")
    playing.play(endless(), playing.player())
    program(programs, "echo No more combinations to try, audio open failed >&2")
    with pytest.raises(PlayError, match=r"could not play it .*audio open failed"):
        playing.play(endless(), playing.player())
    program(programs, "exit 3")
    with pytest.raises(PlayError, match="status 3"):
        playing.play(endless(), playing.player())


def failing() -> Iterator[bytes]:
    yield b"x"
    raise OSError("the store is away")


def test_sound_that_cannot_be_read_stops_the_player(programs: Path) -> None:
    program(programs, "exec cat > /dev/null")
    with pytest.raises(OSError, match="away"):
        playing.play(failing(), playing.player())
