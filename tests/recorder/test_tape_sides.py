"""Which byte goes where when the sides are changed: every bit of every sample, not only what an ear would notice."""

import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder import tape
from recorder.tape import finish

_SAMPLES = st.binary(min_size=2, max_size=2)


def _sound(wav: Path) -> bytes:
    with wave.open(str(wav), "rb") as file:
        return file.readframes(file.getnframes())


@given(st.lists(st.tuples(_SAMPLES, _SAMPLES)))
def test_left_and_right_change_places_and_no_sample_is_touched(
    frames: list[tuple[bytes, bytes]],
) -> None:
    raw = b"".join(left + right for left, right in frames)
    assert tape._swapped(raw) == b"".join(right + left for left, right in frames)


@pytest.mark.parametrize("stream_from", [tape.STREAM_FROM, 0])
@pytest.mark.parametrize(("swap", "made"), [(False, "01234567"), (True, "23016745")])
def test_the_bytes_of_a_wav(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream_from: int, swap: bool, made: str
) -> None:
    monkeypatch.setattr(tape, "STREAM_FROM", stream_from)
    raw, wav = tmp_path / "a.raw", tmp_path / "a.wav"
    raw.write_bytes(b"01234567")
    assert finish(raw, wav, swap=swap).duration == 250  # two samples at 8 kHz
    assert _sound(wav) == made.encode()
