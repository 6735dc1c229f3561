"""A waveform as a player draws it, and where nobody is heard."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder import waveform
from recorder.policy import RATE
from recorder.sound import Meter
from recorder.waveform import WaveformError


def peaks(*parts: tuple[float, int, int]) -> bytes:
    """The waveform of parts: seconds, and the largest sample of each side."""
    meter = Meter()
    for seconds, left, right in parts:
        frames = int(seconds * RATE)
        wave = np.sin(np.arange(frames) * (2 * np.pi * 440 / RATE))
        sides = np.stack([wave * left, wave * right], axis=1)
        meter.add(sides.round().astype("<i2").tobytes())
    return meter.finish().peaks


def test_each_side_has_its_own_heights() -> None:
    drawn = waveform.draw(peaks((1, 32_000, 0), (1, 0, 16_000)))
    assert len(drawn.left) == len(drawn.right) == 40
    assert drawn.left == pytest.approx([0.98] * 20 + [0] * 20, abs=0.02)
    assert drawn.right == pytest.approx([0] * 20 + [0.49] * 20, abs=0.02)


def test_a_short_click_in_four_hours_is_drawn_and_the_answer_stays_small() -> None:
    points = 4 * 3600 * 20
    sizes = np.zeros((points, 2, 2), dtype=np.int8)
    sizes[points // 2, 1] = (-128, 127)
    head = struct.pack("<iIiiII", 2, 1, RATE, 400, points, 2)
    drawn = waveform.draw(head + sizes.tobytes())
    assert len(drawn.right) <= waveform.MOST_POINTS
    assert max(drawn.right) == 1.0
    assert max(drawn.left) == 0
    middle = points / 2 / 20
    assert drawn.silences == [(0.0, middle), (middle + 0.05, 4 * 3600.0)]


def test_silence_is_where_both_sides_are_quiet_for_two_seconds() -> None:
    quiet, soft = 500, 700
    drawn = waveform.draw(
        peaks(
            (1, 9000, 0),
            (3, quiet, quiet),
            (1, 0, soft),
            (1.5, 0, 0),
            (1, soft, 0),
            (2, 0, quiet),
        )
    )
    assert drawn.silences == [(1.0, 4.0), (7.5, 9.5)]


def test_of_very_many_silences_the_longest_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waveform, "MOST_SILENCES", 2)
    drawn = waveform.draw(
        peaks((4, 0, 0), (1, 9000, 0), (3, 0, 0), (1, 9000, 0), (5, 0, 0), (1, 9000, 0))
    )
    assert drawn.silences == [(0.0, 4.0), (9.0, 14.0)]


def test_no_sound_is_no_waveform() -> None:
    assert waveform.draw(peaks()) == waveform.Waveform([], [], [])


@pytest.mark.parametrize("cut", [0, 10, 24, -1])
def test_what_is_torn_is_refused(cut: int) -> None:
    with pytest.raises(WaveformError):
        waveform.draw(peaks((1, 100, 100))[:cut])


@given(st.binary(max_size=200))
def test_any_bytes_are_drawn_or_refused(data: bytes) -> None:
    try:
        drawn = waveform.draw(data)
    except WaveformError:
        return
    assert all(0 <= size <= 1.01 for size in drawn.left + drawn.right)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=40), st.integers(1, 50))
def test_silences_are_apart_in_order_and_quiet(parts: list[tuple[int, bool]], most: int) -> None:
    """Parts in tenths of a second, loud or not."""
    made = peaks(*((tenths / 10, 9000 * loud, 0) for tenths, loud in parts))
    drawn = waveform.draw(made, most)
    assert len(drawn.left) == len(drawn.right) <= most
    edges = [edge for silence in drawn.silences for edge in silence]
    assert edges == sorted(set(edges))
    length = sum(tenths for tenths, _ in parts) / 10
    assert all(0 <= edge <= length + 0.05 for edge in edges)
    quiet = sum(tenths for tenths, loud in parts if not loud) / 10
    assert sum(end - begin for begin, end in drawn.silences) <= quiet + 1e-6
