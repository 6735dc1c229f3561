"""The waveform of a finished recording, as a player draws it, and where nobody is heard. Pure.

`sound` measures it when the recording is made: 20 points a second of each side. Here it is made small enough to send.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MOST_POINTS: Final = 4000
"""Points of each side: more than a wide screen has pixels; 40 kB for a call of any length."""
QUIET: Final = 2
"""A side is quiet where no sample reaches this (of 128: -36 dB): noise of a line is below, soft speech above."""
SHORTEST: Final = 2.0
"""Seconds for which both sides are quiet, before it is a silence that a player may skip."""
MOST_SILENCES: Final = 5000
"""So many are listed, the longest ones."""

_HEAD: Final = struct.Struct("<iIiiII")
_SIDES: Final = 2


class WaveformError(ValueError):
    """The bytes are no waveform of ours. The message says why."""


@dataclass(frozen=True, slots=True)
class Waveform:
    """Of each side, evenly over the recording: its largest size, 0 (digital silence) to 1.

    `silences`: (begin, end) in seconds, in order.
    """

    left: list[float]
    right: list[float]
    silences: list[tuple[float, float]]


def draw(peaks: bytes, most: int = MOST_POINTS) -> Waveform:
    """Make a whole audiowaveform `.dat` file (`Sound.peaks`) at most `most` points long. Raises `WaveformError`."""
    sizes, second = _read(peaks)
    if not sizes.shape[1]:
        return Waveform([], [], [])
    step = -(-sizes.shape[1] // most)
    largest = np.maximum.reduceat(sizes, np.arange(0, sizes.shape[1], step), axis=1)
    left, right = (np.round(side / 127, 2).tolist() for side in largest)
    return Waveform(left, right, _silences(sizes, second))


def _read(peaks: bytes) -> tuple[npt.NDArray[np.int8], float]:
    """The size of each side in each point, 0 to 127; and points a second."""
    try:
        version, eight_bits, rate, pixel, points, sides = _HEAD.unpack_from(peaks)
    except struct.error:
        raise WaveformError("it ends in its header") from None
    wanted = _HEAD.size + points * _SIDES * 2
    if (version, eight_bits, sides) != (2, 1, _SIDES) or rate <= 0 or pixel <= 0:
        raise WaveformError("it is none of version 2 with 8 bits and two sides")
    if len(peaks) != wanted:
        raise WaveformError(f"it has {len(peaks)} bytes, and its header promises {wanted}")
    found = np.frombuffer(peaks, dtype=np.int8, offset=_HEAD.size).reshape(points, _SIDES, 2)
    # A size in ones' complement: -1 is what the smallest sample below zero rounds to, and as quiet as 0.
    sizes = np.maximum(found[:, :, 1], ~found[:, :, 0]).clip(0)
    return np.ascontiguousarray(sizes.T), rate / pixel


def _silences(sizes: npt.NDArray[np.int8], second: float) -> list[tuple[float, float]]:
    quiet = np.concatenate([[False], (sizes < QUIET).all(axis=0), [False]])
    edges = np.flatnonzero(quiet[1:] != quiet[:-1]).reshape(-1, 2)
    long = edges[edges[:, 1] - edges[:, 0] >= SHORTEST * second]
    if len(long) > MOST_SILENCES:
        lengths = long[:, 1] - long[:, 0]
        long = long[np.sort(np.argsort(-lengths, kind="stable")[:MOST_SILENCES])]
    return [(float(begin) / second, float(end) / second) for begin, end in long]
