"""Raw sound becomes a WAV: the same samples, left left and right right, whole or not at all."""

import errno
import hashlib
import os
import subprocess
import sys
import textwrap
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import tape
from recorder.tape import Fault, Job, Tape, TapeError, finish, finish_batch, inspect

Samples = npt.NDArray[np.int16]


def tone(hertz: float, seconds: float) -> Samples:
    moments = np.arange(int(8000 * seconds)) / 8000
    return (8000 * np.sin(2 * np.pi * hertz * moments)).astype("<i2")


def interleaved(left: Samples, right: Samples) -> bytes:
    """Sound as Asterisk writes it; a side that is shorter is filled with silence."""
    both = np.zeros((max(len(left), len(right)), 2), "<i2")
    both[: len(left), 0] = left
    both[: len(right), 1] = right
    return both.tobytes()


def sides(wav: Path) -> tuple[Samples, Samples]:
    with wave.open(str(wav), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0], both[:, 1]


def loudest(sound: Samples) -> float:
    """The frequency of the strongest part, in hertz."""
    spectrum = np.abs(np.fft.rfft(sound))
    return float(np.argmax(spectrum) * 8000 / len(sound))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "spool.raw"


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return tmp_path / "2025" / "11" / "21" / "call.wav"


def test_citizen_left_agent_right(raw: Path, wav: Path) -> None:
    raw.write_bytes(interleaved(tone(440, 2), tone(1000, 2)))
    made = finish(raw, wav)
    left, right = sides(wav)
    assert (loudest(left), loudest(right)) == (440, 1000)
    assert made.duration == 2_000_000
    assert made.size == wav.stat().st_size
    assert made.sha256 == hashlib.sha256(wav.read_bytes()).hexdigest()
    assert raw.exists()


def test_the_agents_channel_is_recorded_the_other_way_round(
    raw: Path, wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw.write_bytes(interleaved(tone(1000, 2), tone(440, 2)))
    made = finish(raw, wav, swap=True)
    left, right = sides(wav)
    assert (loudest(left), loudest(right)) == (440, 1000)
    whole = wav.read_bytes()
    monkeypatch.setattr(tape, "STREAM_FROM", 0)
    monkeypatch.setattr(tape, "BLOCK", 1000)
    assert finish(raw, wav, swap=True) == made
    assert wav.read_bytes() == whole


def test_a_side_that_falls_silent_keeps_its_place(raw: Path, wav: Path) -> None:
    raw.write_bytes(interleaved(tone(440, 1), tone(1000, 3)))
    assert finish(raw, wav).duration == 3_000_000
    left, right = sides(wav)
    assert loudest(left[:8000]) == 440
    assert not left[8000:].any()
    assert loudest(right[8000:]) == 1000


def test_the_duration_is_exact_to_the_sample(raw: Path, wav: Path) -> None:
    raw.write_bytes(bytes(4 * 12345))
    assert finish(raw, wav).duration == 12345 * 1_000_000 // 8000


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_a_file_without_one_whole_sample_makes_no_wav(raw: Path, wav: Path, size: int) -> None:
    raw.write_bytes(b"x" * size)
    assert finish(raw, wav) == Tape(0, 0, "", size)
    assert not wav.exists()


@pytest.mark.parametrize("extra", [1, 2, 3])
@pytest.mark.parametrize("stream", [False, True])
def test_a_torn_last_sample_is_dropped_and_the_sides_stay_apart(
    raw: Path, wav: Path, extra: int, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "STREAM_FROM", 0 if stream else 1 << 40)
    sound = interleaved(tone(440, 1), tone(1000, 1))
    raw.write_bytes(sound + b"\x7f" * extra)
    made = finish(raw, wav)
    assert made.dropped == extra
    left, right = sides(wav)
    assert interleaved(left, right) == sound


@settings(max_examples=60)
@given(sound=st.binary(min_size=4, max_size=5000), block=st.integers(1, 700))
def test_streamed_and_whole_are_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, sound: bytes, block: int
) -> None:
    folder = tmp_path_factory.mktemp("tape")
    raw = folder / "x.raw"
    raw.write_bytes(sound)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tape, "BLOCK", block * 4)
        patch.setattr(tape, "STREAM_FROM", 1 << 40)
        whole = finish(raw, folder / "whole.wav")
        patch.setattr(tape, "STREAM_FROM", 0)
        streamed = finish(raw, folder / "streamed.wav")
    assert whole == streamed
    assert (folder / "whole.wav").read_bytes() == (folder / "streamed.wav").read_bytes()
    assert inspect(folder / "whole.wav") == Tape(whole.duration, whole.size, whole.sha256)


def test_finishing_again_makes_the_same_hash(raw: Path, wav: Path) -> None:
    raw.write_bytes(interleaved(tone(440, 1), tone(1000, 1)))
    first = finish(raw, wav)
    (wav.parent / f".{wav.name}.part").write_bytes(b"left over by a crash" * 100_000)
    assert finish(raw, wav) == first
    assert list(wav.parent.iterdir()) == [wav]


def test_a_header_of_length_zero_is_damage_and_not_silence(raw: Path, wav: Path) -> None:
    raw.write_bytes(interleaved(tone(440, 1), tone(1000, 1)))
    finish(raw, wav)
    whole = wav.read_bytes()
    header = bytearray(whole)
    header[40:44] = bytes(4)
    wav.write_bytes(bytes(header))
    with wave.open(str(wav), "rb") as file:
        assert file.getnframes() == 0  # the trap
    with pytest.raises(TapeError, match="header promises 0 bytes of sound, it has 32000"):
        inspect(wav)

    header[4:8] = bytes(4)
    wav.write_bytes(bytes(header))
    with pytest.raises(TapeError, match="is no WAV file"):
        inspect(wav)

    wav.write_bytes(whole[:-100])
    with pytest.raises(TapeError, match="promises 32000 bytes of sound, it has 31900"):
        inspect(wav)


def test_what_is_no_wav_of_ours_is_said(wav: Path, tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="cannot be read: No such file"):
        inspect(wav)
    other = tmp_path / "x.wav"
    other.write_bytes(b"")
    with pytest.raises(TapeError, match="is no WAV file"):
        inspect(other)
    other.write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(TapeError, match="is no WAV file"):
        inspect(other)
    with wave.open(str(other), "wb") as mono:
        mono.setnchannels(1)
        mono.setsampwidth(2)
        mono.setframerate(8000)
        mono.writeframes(bytes(100))
    with pytest.raises(TapeError, match="not 16-bit stereo"):
        inspect(other)


def test_one_bad_file_costs_the_others_of_its_batch_nothing(tmp_path: Path) -> None:
    good = tmp_path / "a.raw"
    good.write_bytes(bytes(4000))
    empty = tmp_path / "b.raw"
    empty.write_bytes(b"")
    answers = finish_batch(
        [
            Job(good, tmp_path / "out" / "a.wav"),
            Job(tmp_path / "gone.raw", tmp_path / "out" / "gone.wav"),
            Job(empty, tmp_path / "out" / "b.wav", swap=True),
        ]
    )
    first, second, third = answers
    assert isinstance(first, Tape)
    assert first.duration == 125_000
    assert isinstance(second, Fault)
    assert "gone.raw: No such file" in second.why
    assert not second.disk
    assert third == Tape(0, 0, "", 0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.wav"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_disk_leaves_nothing_half_done(
    raw: Path, wav: Path, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "STREAM_FROM", 0 if stream else 1 << 40)
    raw.write_bytes(bytes(400_000))
    wav.parent.mkdir(parents=True)
    wav.write_bytes(b"old")

    # A limit on the size of files behaves as a full disk does: part of the bytes, then an error.
    code = f"""
        import errno, resource, signal, sys
        from pathlib import Path
        from recorder import tape
        tape.STREAM_FROM = {0 if stream else 1 << 40}
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        tape._OF_DISK = frozenset({{errno.EFBIG}})
        fault, = tape.finish_batch([tape.Job(Path(sys.argv[1]), Path(sys.argv[2]))])
        assert fault.disk, fault
        print(fault.why)
    """
    done = _python(code, str(raw), str(wav))
    assert "File too large" in done
    assert [path.name for path in wav.parent.iterdir()] == ["call.wav"]
    assert wav.read_bytes() == b"old"
    assert raw.stat().st_size == 400_000


def test_no_space_left_is_told_from_other_faults() -> None:
    assert tape._fault(OSError(errno.ENOSPC, "No space left on device", "/x")) == Fault(
        "/x: No space left on device", disk=True
    )
    assert not tape._fault(OSError(errno.EIO, "Input/output error", "/x")).disk


@pytest.mark.parametrize(("of_raw", "disk"), [(True, False), (False, True)])
def test_a_raw_file_that_cannot_be_read_is_no_fault_of_the_disk(
    raw: Path, of_raw: bool, disk: bool
) -> None:
    where = raw if of_raw else raw.parent / "recordings"
    assert tape._fault(OSError(errno.EACCES, "Permission denied", str(where)), raw).disk is disk


def test_an_hour_needs_little_memory(raw: Path, wav: Path) -> None:
    hour = 3600 * 8000 * 4
    with raw.open("wb") as file:
        second = interleaved(tone(440, 1), tone(1000, 1))
        for _ in range(3600):
            file.write(second)
    assert raw.stat().st_size == hour
    code = """
        import resource, sys
        from pathlib import Path
        from recorder.tape import finish
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        made = finish(Path(sys.argv[1]), Path(sys.argv[2]))
        print(made.duration, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    duration, kilobytes = _python(code, str(raw), str(wav)).split()
    assert int(duration) == 3600 * 1_000_000
    assert int(kilobytes) < 16_384
    assert wav.stat().st_size == hour + 44


def _python(code: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
