"""One pass over the raw sound, against the same figures computed slowly from all of it at once."""

import struct
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facts.times import SECOND
from recorder import sound
from recorder.audit import LEVEL
from recorder.entry import SideLevel, Sound
from recorder.sound import FLOOR, LONG_SILENCE, LOUD, PIXEL, Meter

Samples = npt.NDArray[np.int16]
SILENT, QUIET, SPOKEN = 0, 100, 6000


def measured(data: bytes, cuts: list[int] | None = None) -> Sound:
    meter = Meter()
    begin = 0
    for cut in sorted(cuts or []):
        meter.add(data[begin:cut])
        begin = max(begin, cut)
    meter.add(data[begin:])
    return meter.finish()


def stereo(*parts: tuple[float, int, int]) -> bytes:
    """Parts of (seconds, size left, size right): a square wave, whose RMS and peak are its size."""
    pieces = []
    for seconds, *sizes in parts:
        sign = np.where(np.arange(round(seconds * 8000)) // 4 % 2, -1, 1)
        pieces.append(np.stack([sign * size for size in sizes], axis=1))
    return np.concatenate(pieces).astype("<i2").tobytes()


def test_levels_of_each_side() -> None:
    found = measured(stereo((2, 16_384, 0), (2, 16_384, 1024)))
    assert found.left == SideLevel(-6.02, -6.02, 0.0)
    assert (found.right.rms, found.right.peak) == pytest.approx((-33.11, -30.1))
    assert found.right.clipped == 0
    assert measured(stereo((1, 0, 0))).left == SideLevel(FLOOR, FLOOR, 0.0)
    assert measured(stereo((1, 32_767, 5), (3, 5, 5))).left.clipped == 0.25


def test_who_is_heard_when_and_both_at_once() -> None:
    found = measured(
        stereo((1, SPOKEN, 0), (0.5, SPOKEN, SPOKEN), (1, 0, SPOKEN), (0.25, 0, QUIET))
    )
    assert list(found.levels.left) == [1] * 15 + [0] * 13
    assert list(found.levels.right) == [0] * 10 + [1] * 15 + [0] * 3
    assert found.levels.duration == 2_750_000
    assert found.talk_over == SECOND // 2


def test_long_silences_are_listed_and_short_ones_are_not() -> None:
    found = measured(
        stereo(
            (3, SPOKEN, 0), (9.9, 0, 0), (1, 0, SPOKEN), (12, QUIET, 0), (1, SPOKEN, 0), (10, 0, 0)
        )
    )
    assert found.silences == (
        (13_900_000, 25_900_000),
        (26_900_000, 36_900_000),
    )
    assert (found.silence, found.silence_count) == (22 * SECOND, 2)


def test_a_click_does_not_end_a_silence() -> None:
    data = bytearray(stereo((20, 0, 0)))
    struct.pack_into("<h", data, 10 * 8000 * 4, 3000)
    found = measured(bytes(data))
    assert found.silences == ((0, 20 * SECOND),)
    assert sum(found.levels.left) == 1


def test_the_list_of_silences_is_bounded_and_the_sum_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sound, "MOST_SILENCES", 2)
    found = measured(stereo(*[(10, 0, 0), (1, SPOKEN, 0)] * 5))
    assert (len(found.silences), found.silence_count, found.silence) == (2, 5, 50 * SECOND)


def test_the_waveform_is_an_audiowaveform_file() -> None:
    data = stereo((0.05, 256, 512), (0.05, 3200, 0), (0.01, 0, 32_000))
    peaks = measured(data).peaks
    assert struct.unpack_from("<iIiiII", peaks) == (2, 1, 8000, PIXEL, 3, 2)
    points = np.frombuffer(peaks, np.int8, offset=24).reshape(-1, 2, 2)
    # min and max of the left side, then of the right one.
    assert points.tolist() == [
        [[-1, 1], [-2, 2]],
        [[-13, 12], [0, 0]],
        [[0, 0], [-125, 125]],
    ]


def test_nothing_and_less_than_a_sample() -> None:
    for data in (b"", b"\1\2\3"):
        found = measured(data)
        assert (found.levels.duration, found.left.rms, found.silences) == (0, FLOOR, ())
        assert len(found.peaks) == 24


@given(
    sizes=st.lists(st.sampled_from([0, 127, 128, LOUD, 2000, 32_767]), min_size=2, max_size=80),
    cuts=st.lists(st.integers(0, 40_000), max_size=6),
    extra=st.integers(0, 799),
    seed=st.integers(0, 9),
)
@settings(max_examples=15, deadline=None)
def test_it_is_the_same_however_it_is_cut(
    sizes: list[int], cuts: list[int], extra: int, seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(-1, 2, (len(sizes) * 400 + extra, 2))
    scale = np.resize(np.repeat(sizes, 400), len(noise))[:, None]
    samples = (noise * scale).astype("<i2")
    found = measured(samples.tobytes(), cuts)
    assert found == measured(samples.tobytes())
    # The slow way.
    whole = samples.astype(np.float64)
    for side, level in enumerate((found.left, found.right)):
        rms = float(np.sqrt(np.mean(whole[:, side] ** 2)))
        assert level.rms == pytest.approx(20 * np.log10(rms / 32768) if rms else FLOOR, abs=0.02)
    windows = [samples[at : at + 800] for at in range(0, len(samples), 800)]
    for side, heard in enumerate((found.levels.left, found.levels.right)):
        reach = [
            int((np.abs(w[:, side].astype(int)) >= LEVEL + (w[:, side] < 0)).any()) for w in windows
        ]
        assert list(heard) == reach
    loud = [np.sqrt(np.mean(w.astype(np.float64) ** 2, axis=0)) >= LOUD - 1e-6 for w in windows]
    over = sum(len(w) * SECOND // 8000 for w, each in zip(windows, loud, strict=True) if each.all())
    assert found.talk_over == over
    assert found.levels.duration == len(samples) * SECOND // 8000
    assert len(found.peaks) == 24 + 4 * -(-len(samples) // PIXEL)


@given(st.lists(st.tuples(st.integers(1, 130), st.booleans()), min_size=1, max_size=15))
@settings(max_examples=15, deadline=None)
def test_silences_are_as_long_as_they_are(parts: list[tuple[int, bool]]) -> None:
    data = stereo(*[(tenths / 10, SPOKEN * sounds, 0) for tenths, sounds in parts])
    quiet = "".join(("s" if sounds else "q") * tenths for tenths, sounds in parts)
    runs = [len(run) * SECOND // 10 for run in quiet.split("s") if len(run) >= 100]
    found = measured(data)
    assert [end - begin for begin, end in found.silences] == runs
    assert (found.silence, found.silence_count) == (sum(runs), len(runs))
    assert all(length >= LONG_SILENCE for length in runs)


def test_memory_grows_with_the_waveform_alone() -> None:
    block = stereo((30, SPOKEN, QUIET))
    meter = Meter()
    meter.add(block)
    tracemalloc.start()
    for _ in range(60):
        meter.add(block)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert meter.finish().levels.duration == 61 * 30 * SECOND
    assert (
        kept < 8 * 60_000
    )  # half an hour: 144 kB of waveform, 36 kB of levels, with the room to grow of both
