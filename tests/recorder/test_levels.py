"""A finished WAV read once: its hash, its length, and where each side is heard."""

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from base.settings import Settings
from facts.times import SECOND
from recorder import tape
from recorder.audit import FileState, Levels
from recorder.entry import LedgerEntry
from recorder.levels import HeardFile, listen, listen_to
from recorder.policy import RecordingState
from recorder.tape import TapeError


def wav(folder: Path, *sides: tuple[int, int], window: int = 800) -> Path:
    """Windows of sound, each with one sample of this size left and right."""
    samples = np.zeros((len(sides) * window, 2), dtype="<i2")
    for number, pair in enumerate(sides):
        samples[number * window + 37 * (number % 20)] = pair
    raw = folder / "call.raw"
    raw.write_bytes(samples.tobytes())
    made = folder / "call.wav"
    tape.finish(raw, made)
    return made


def wanted(path: Path) -> LedgerEntry:
    made = tape.inspect(path)
    return row_of(path, made.duration, made.size, made.sha256)


def row_of(path: Path, duration: int = 0, size: int = 0, sha256: str = "") -> LedgerEntry:
    return LedgerEntry("hotline-1.1", str(path), RecordingState.FINISHED, duration, size, sha256, 0)


def hear(*rows: LedgerEntry) -> list[HeardFile]:
    return listen_to(Settings(home=Path("/nowhere")), rows)


def listen_at(path: Path) -> tuple[Levels, int, str]:
    with path.open("rb") as sound:
        return listen(sound, path)


def test_each_side_is_heard_where_a_sample_reaches_the_level(tmp_path: Path) -> None:
    pairs = [(0, 0), (127, 8), (128, -8), (-128, 128), (8, -129), (-32768, 32767), (4096, 0)]
    levels, size, sha256 = listen_at(wav(tmp_path, *pairs))
    assert list(levels.left) == [0, 0, 1, 0, 0, 1, 1]
    assert list(levels.right) == [0, 0, 0, 1, 1, 1, 0]
    assert levels.duration == 7 * SECOND // 10
    data = (tmp_path / "call.wav").read_bytes()
    assert (size, sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_last_window_may_be_short_and_blocks_join(tmp_path: Path) -> None:
    pairs = [(number % 3 * 500, number % 2 * 500) for number in range(700)]
    path = wav(tmp_path, *pairs, window=800)
    raw = (tmp_path / "call.raw").read_bytes()
    (tmp_path / "call.raw").write_bytes(raw + np.array([0, 900], dtype="<i2").tobytes())
    tape.finish(tmp_path / "call.raw", path)
    levels, _, sha256 = listen_at(path)
    assert list(levels.left) == [int(left > 0) for left, _ in pairs] + [0]
    assert list(levels.right) == [int(right > 0) for _, right in pairs] + [1]
    assert sha256 == tape.inspect(path).sha256


def test_what_differs_from_the_row(tmp_path: Path) -> None:
    path = wav(tmp_path, *[(500, 500)] * 20)
    row = wanted(path)
    (whole,) = hear(row)
    assert (whole.state, whole.why) == (FileState.WHOLE, "")
    changed = row_of(path, row.duration + 1, row.size, row.sha256)
    (said,) = hear(changed)
    assert (said.state, said.levels) == (FileState.ALTERED, whole.levels)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    (altered,) = hear(row)
    assert (altered.state, altered.levels is not None) == (FileState.ALTERED, True)
    assert hear(row_of(tmp_path / "none.wav")) == [HeardFile(FileState.GONE)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:43],
        lambda data: data[:-4],
        lambda data: data[:-1],
        lambda data: b"RIFX" + data[4:],
        lambda data: data[:22] + b"\1" + data[23:],
        lambda data: data[:40] + bytes(4) + data[44:],
        lambda data: bytes(len(data)),
    ],
)
def test_a_broken_header_is_told_and_costs_no_other_file(tmp_path: Path, damage: object) -> None:
    path = wav(tmp_path, *[(500, 500)] * 5)
    good = tmp_path / "good.wav"
    good.write_bytes(path.read_bytes())
    row = wanted(path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    torn, whole = hear(row, row_of(good, row.duration, row.size, row.sha256))
    assert (torn.state, torn.levels, whole.state) == (FileState.TORN, None, FileState.WHOLE)
    assert str(path) in torn.why
    with pytest.raises(TapeError):
        listen_at(path)


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (one,) = hear(row_of(tmp_path))
    assert one.state is FileState.TORN


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Four hours take what one minute takes, but for two bytes a tenth of a second."""
    path = tmp_path / "long.wav"
    frames = 8000 * 3600
    head = wav(tmp_path, (500, 500)).read_bytes()[:44]
    sizes = (36 + frames * 4).to_bytes(4, "little"), (frames * 4).to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(head[:4] + sizes[0] + head[8:40] + sizes[1])
        file.truncate(44 + frames * 4)
    tracemalloc.start()
    levels, _, _ = listen_at(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(levels.left), any(levels.right)) == (36_000, False)
    assert peak < 6 << 20
