"""Compressing and back by ffmpeg: whole, on time, the sides apart; and whatever may become of ffmpeg."""

import errno
import io
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from recorder import press
from recorder.forms import FormError, RecordingForm, form_of, measured_box, read_header
from recorder.press import LateError, PressError, Tags, decode
from recorder.sound import Meter
from tests.recorder.test_tape import interleaved, loudest, tone

Samples = npt.NDArray[np.int16]
MP4, MP3, WAV = RecordingForm.MP4, RecordingForm.MP3, RecordingForm.WAV
SECONDS = 3.21
RAW = interleaved(tone(440, SECONDS), tone(1100, SECONDS))
DURATION = 3_210_000
TAGS = Tags("hotline-1763731200.17", "2025-11-21T21:20:00+08:00", "12345")


def pressed(folder: Path, raw: bytes = RAW, form: RecordingForm = MP4, tags: Tags = TAGS) -> bytes:
    pieces = [raw[at : at + 50_000] for at in range(0, len(raw), 50_000)]
    duration = len(raw) * 1_000_000 // 32_000
    with press.press(pieces, form, folder=folder, tags=tags, duration=duration) as made:
        return made.read()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[RecordingForm, bytes]:
    return {form: pressed(tmp_path_factory.mktemp("spool"), form=form) for form in (MP4, MP3)}


def sides(raw: bytes) -> tuple[Samples, Samples]:
    both = np.frombuffer(raw, "<i2").reshape(-1, 2)
    return both[:, 0], both[:, 1]


@pytest.mark.parametrize("form", [MP4, MP3])
def test_there_and_back(made: dict[RecordingForm, bytes], form: RecordingForm) -> None:
    data = made[form]
    assert len(data) < len(RAW) / 5
    assert abs(read_header(io.BytesIO(data), form).duration - DURATION) <= 1000
    back = b"".join(decode(io.BytesIO(data), form, DURATION))
    assert len(back) == len(RAW)
    left, right = sides(back)
    assert abs(loudest(left) - 440) < 1
    assert abs(loudest(right) - 1100) < 1
    for side, hertz in ((left, 1100), (right, 440)):
        assert leak(side, hertz) < -60


@pytest.mark.parametrize("form", [MP4, MP3])
def test_it_stays_in_step(tmp_path: Path, form: RecordingForm) -> None:
    burst = np.random.default_rng(2).integers(-9000, 9000, 800)
    before = np.zeros(24_000, "<i2")
    before[16_000:16_800] = burst
    raw = interleaved(before, before)
    for side in sides(b"".join(decode(io.BytesIO(pressed(tmp_path, raw, form)), form, 3_000_000))):
        place = int(np.argmax(np.correlate(side.astype(float), burst.astype(float))))
        assert abs(place - 16_000) < 160  # 20 ms


def leak(side: Samples, hertz: float) -> float:
    """How loud the other side's tone is, in dB of its own loudness."""
    moments = np.arange(len(side)) / 8000
    strength = np.abs(np.sum(side * np.exp(-2j * np.pi * hertz * moments))) * 2 / len(side)
    return float(20 * np.log10(strength / 8000))


def test_a_side_that_is_silent_stays_silent(tmp_path: Path) -> None:
    """At 24 kbit/s the other side is heard here at -26 dB."""
    raw = interleaved(tone(440, 2.0), tone(440, 0.0))
    _, right = sides(b"".join(decode(io.BytesIO(pressed(tmp_path, raw)), MP4, 2_000_000)))
    assert not right.any()


def test_the_index_stands_in_front_and_the_file_says_which_call_it_is(
    made: dict[RecordingForm, bytes],
) -> None:
    assert made[MP4].index(b"moov") < 100 < made[MP4].index(b"mdat")
    for data in made.values():
        for told in (TAGS.call, TAGS.began, TAGS.hotline):
            assert told.encode() in data[:4000]
        assert b"Lavf5" not in data


def test_the_same_sound_makes_the_same_file(
    made: dict[RecordingForm, bytes], tmp_path: Path
) -> None:
    assert pressed(tmp_path) == made[MP4]
    assert list(tmp_path.iterdir()) == []


def test_what_was_measured_is_kept_in_the_file(made: dict[RecordingForm, bytes]) -> None:
    meter = Meter()
    meter.add(RAW)
    sound = meter.finish()
    whole = made[MP4] + measured_box(sound.levels, sound.peaks)
    header = read_header(io.BytesIO(whole), MP4)
    assert (header.levels, header.peaks) == (sound.levels, sound.peaks)
    assert header.duration == DURATION
    assert len(b"".join(decode(io.BytesIO(whole), MP4, DURATION))) == len(RAW)


@pytest.mark.parametrize("form", [MP4, MP3, WAV])
def test_a_damaged_file_is_told_and_nothing_else_breaks(
    made: dict[RecordingForm, bytes], form: RecordingForm
) -> None:
    box = measured_box(Meter().finish().levels, b"")
    whole = (made.get(form) or b"RIFF") + (box if form is MP4 else b"")
    random = np.random.default_rng(5)
    for cut in (0, 1, 7, 30, 300, len(whole) // 2, len(whole) - 1):
        if form is MP4 or cut < 300:
            with pytest.raises(FormError):
                read_header(io.BytesIO(whole[:cut]), form)
    for _ in range(300):
        torn = bytearray(whole)
        for at in random.integers(0, min(len(whole), 900), 4):
            torn[at] = random.integers(0, 256)
        try:
            read_header(io.BytesIO(torn), form)
        except FormError:
            continue


def test_forms_by_name() -> None:
    assert [form_of(f"2025/11/21/a.{one}") for one in ("mp4", "wav", "mp3")] == [MP4, WAV, MP3]
    assert MP4.media_type == "audio/mp4"
    for name in ("a", "a.ogg", ".part"):
        with pytest.raises(FormError, match="no recording"):
            form_of(name)


def test_less_sound_than_the_row_says(made: dict[RecordingForm, bytes]) -> None:
    with pytest.raises(PressError, match=r"1\.7\d s are missing"):
        list(decode(io.BytesIO(made[MP4]), MP4, 5_000_000))


def test_a_reader_may_stop_early(made: dict[RecordingForm, bytes]) -> None:
    before = time.monotonic()
    pieces = decode(io.BytesIO(made[MP4]), MP4, DURATION)
    assert isinstance(pieces, Iterator)
    assert next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert time.monotonic() - before < 10


# --- what may become of ffmpeg


def an_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Another program of that name, found first."""
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not press.is_there()
    with pytest.raises(PressError, match="apt-get install ffmpeg"):
        pressed(tmp_path)
    with pytest.raises(PressError, match="apt-get install ffmpeg"):
        list(decode(io.BytesIO(b""), MP4, 1))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no such codec >&2; exit 3", "status 3: no such codec"),
        ("exit 1", "status 1: it said nothing"),
        ("kill -9 $$", "killed by signal 9"),
        ("cat >/dev/null", "made an empty file"),
        ("yes words | head -c 300000 >&2; exit 1", "words$"),
    ],
)
def test_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str) -> None:
    an_ffmpeg(tmp_path, monkeypatch, script)
    with pytest.raises(PressError, match=said) as failed:
        pressed(tmp_path)
    assert len(str(failed.value)) < press._SAID + 100


@pytest.mark.parametrize("script", ["exec sleep 60", "cat >/dev/null; exec sleep 60"])
def test_it_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    an_ffmpeg(tmp_path, monkeypatch, script)
    monkeypatch.setattr(press, "LEAST_TIME", 0.2)
    monkeypatch.setattr(press, "SLOWEST", 100.0)
    before = time.monotonic()
    with pytest.raises(LateError, match="ffmpeg hangs: it had not ended after 0 s"):
        pressed(tmp_path)
    assert time.monotonic() - before < 20


def test_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    an_ffmpeg(tmp_path, monkeypatch, "echo 'pipe: No space left on device' >&2; exit 1")
    with pytest.raises(OSError, match="No space left") as failed:
        pressed(tmp_path)
    assert failed.value.errno == errno.ENOSPC


@pytest.mark.parametrize("form", [MP4, MP3])
@pytest.mark.parametrize("share", [0.3, 0.999])
def test_a_file_that_lacks_its_end_is_not_believed_whatever_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: RecordingForm, share: float
) -> None:
    """As ffmpeg leaves it on a disk that has filled, with status 0 unless `-xerror` is there."""
    size = int(len(pressed(tmp_path, form=form)) * share)
    real = shutil.which("ffmpeg")
    cut = f'for last; do :; done; {real} "$@"; truncate -s {size} "$last"'
    an_ffmpeg(tmp_path, monkeypatch, cut)
    with pytest.raises(PressError, match="the file that ffmpeg made is damaged"):
        pressed(tmp_path, form=form)


def test_a_file_that_is_too_short_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("ffmpeg")
    an_ffmpeg(tmp_path, monkeypatch, f'head -c 64000 | {real} "$@"; cat >/dev/null')
    with pytest.raises(PressError, match=r"made has 2\.00 s of 3\.21 s"):
        pressed(tmp_path)


def test_no_setting_of_ours_reaches_it_and_it_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTLINE_RECORDING_KEYS", "secret")
    an_ffmpeg(tmp_path, monkeypatch, f"sleep 0.1; nice >{tmp_path}/nice; env >&2; exit 1")
    with pytest.raises(PressError) as failed:
        pressed(tmp_path)
    assert "HOTLINE" not in str(failed.value)
    assert int((tmp_path / "nice").read_text()) >= 10


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Its input ends then."""
    code = f"""
import sys, time
from pathlib import Path
from recorder.press import *
def pieces():
    yield bytes(4000)
    print("now", flush=True)
    time.sleep(60)
with press(pieces(), RecordingForm.MP4, folder=Path({str(tmp_path)!r}), tags=Tags(), duration=1):
    pass
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"now\n"
        children = Path(f"/proc/{victim.pid}/task/{victim.pid}/children").read_text().split()
        assert children
        victim.kill()
    deadline = time.monotonic() + 10
    while any(alive(int(child)) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
