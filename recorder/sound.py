"""One pass over a call's raw sound: how loud each side is, who is heard when, and the waveform to draw.

Nothing is kept of the samples: an hour takes a third of a megabyte, most of it waveform. Levels say whether a side is
heard, not who speaks: music, prompts and noise count as sound.
"""

import math
import struct
from typing import Final

import numpy as np
import numpy.typing as npt

from facts.times import SECOND
from recorder.audit import LEVEL, WINDOW, Levels
from recorder.entry import SideLevel, Sound
from recorder.policy import FRAME, RATE

LOUD: Final = 260
"""A side sounds in a window whose root mean square reaches this (of 32,768: -42 dB), so that a click is no sound."""
CLIPPED: Final = 32_124
"""A sample of this size or more is clipped: the largest that A-law can say is 32,256, μ-law 32,124."""
LONG_SILENCE: Final = 10 * SECOND
"""Both sides are silent for at least this long (microseconds)."""
MOST_SILENCES: Final = 100
"""So many are listed, the first ones; all are counted."""
PIXEL: Final = 400
"""Samples a point of the waveform: 20 points a second, 48 kB for ten minutes."""
FLOOR: Final = -96.0
"""Decibels below full scale that stand for digital silence."""

_FRAMES: Final = RATE * WINDOW // SECOND
_HEAD: Final = struct.Struct("<iIiiII")
_VERSION: Final = 2
_EIGHT_BITS: Final = 1


class Meter:
    """Give it all of the sound, piece by piece (`add`), then ask once (`finish`)."""

    def __init__(self) -> None:
        self._rest = b""
        self._frames = 0
        self._squares = np.zeros(2, dtype=np.float64)
        self._peak = np.zeros(2, dtype=np.int64)
        self._clipped = np.zeros(2, dtype=np.int64)
        self._heard = (bytearray(), bytearray())
        self._waveform = bytearray()
        self._talk_over = 0
        self._silences: list[tuple[int, int]] = []
        self._silence = self._silence_count = 0
        self._silent_since: int | None = None

    def add(self, data: bytes) -> None:
        """Take raw stereo (16 bits, little-endian, left first), of any length."""
        data = self._rest + data if self._rest else data
        whole = len(data) // _STEP * _STEP
        self._rest = data[whole:]
        if whole:
            self._take(np.frombuffer(data, dtype="<i2", count=whole // 2).reshape(-1, _FRAMES, 2))

    def finish(self) -> Sound:
        """Say what it was. A torn last sample does not count."""
        rest = self._rest[: len(self._rest) // FRAME * FRAME]
        self._rest = b""
        if rest:
            self._take(np.frombuffer(rest, dtype="<i2").reshape(1, -1, 2))
        end = self._frames * SECOND // RATE
        self._sounds_at(end)
        left, right = (self._side(side) for side in (0, 1))
        points = len(self._waveform) // 4
        return Sound(
            left,
            right,
            tuple(self._silences),
            self._silence,
            self._silence_count,
            self._talk_over,
            Levels(end, bytes(self._heard[0]), bytes(self._heard[1])),
            _HEAD.pack(_VERSION, _EIGHT_BITS, RATE, PIXEL, points, 2) + bytes(self._waveform),
        )

    def _take(self, windows: npt.NDArray[np.int16]) -> None:
        """Whole windows, or one short one that is the last."""
        count, size = windows.shape[:2]
        # One side after the other in memory: numpy goes through rows ten times as fast as through columns.
        sides = np.ascontiguousarray(windows.reshape(-1, 2).T)
        points = _points(sides)
        self._waveform += (points >> 8).astype(np.int8).transpose(1, 0, 2).tobytes()
        low, high = points[:, :, 0], points[:, :, 1]
        largest = np.maximum(high, ~low)
        starts = np.arange(0, largest.shape[1], _FRAMES // PIXEL)
        tops: npt.NDArray[np.int16] = np.maximum.reduceat(largest, starts, axis=1)
        heard = (tops >= LEVEL).astype(np.uint8)
        for side in (0, 1):
            self._heard[side].extend(heard[side].tobytes())
        self._peak = np.maximum(self._peak, np.maximum(high, -low.astype(np.int64)).max(axis=1))
        if largest.max() >= CLIPPED:
            self._clipped += (np.abs(sides.astype(np.int32)) >= CLIPPED).sum(axis=1)
        floats = sides.astype(np.float32).reshape(2, count, size)
        # Sums of 800 squares are exact enough in 32 bits; sums of those are not.
        squares = np.einsum("ijk,ijk->ij", floats, floats).astype(np.float64)
        self._squares += squares.sum(axis=1)
        self._listen((squares >= float(LOUD * LOUD) * size).T, size)

    def _listen(self, loud: npt.NDArray[np.bool_], size: int) -> None:
        step = size * SECOND // RATE
        begin = self._frames * SECOND // RATE
        self._frames += len(loud) * size
        self._talk_over += int(loud.all(axis=1).sum()) * step
        quiet: npt.NDArray[np.bool_] = np.logical_not(loud.any(axis=1))
        if quiet.all() and self._silent_since is not None:
            return
        # Where silence begins or ends, and nothing for the windows between.
        before = np.concatenate([[self._silent_since is not None], quiet[:-1]])
        for number in np.flatnonzero(quiet != before):
            at = begin + int(number) * step
            if quiet[number]:
                self._silent_since = at
            else:
                self._sounds_at(at)

    def _sounds_at(self, at: int) -> None:
        """A silence, if there is one, ends here."""
        if self._silent_since is not None and at - self._silent_since >= LONG_SILENCE:
            self._silence += at - self._silent_since
            self._silence_count += 1
            if len(self._silences) < MOST_SILENCES:
                self._silences.append((self._silent_since, at))
        self._silent_since = None

    def _side(self, side: int) -> SideLevel:
        frames = max(1, self._frames)
        return SideLevel(
            _decibels(math.sqrt(self._squares[side] / frames)),
            _decibels(float(self._peak[side])),
            int(self._clipped[side]) / frames,
        )


_STEP: Final = _FRAMES * FRAME


def _points(sides: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Of each side, each `PIXEL` samples: the smallest and the largest. The last ones may be fewer."""
    whole = sides.shape[1] // PIXEL * PIXEL
    pieces = [sides[:, :whole].reshape(2, -1, PIXEL)] if whole else []
    if whole < sides.shape[1]:
        pieces.append(sides[:, whole:].reshape(2, 1, -1))
    found = [np.stack([piece.min(axis=2), piece.max(axis=2)], axis=2) for piece in pieces]
    return np.concatenate(found, axis=1)


def _decibels(size: float) -> float:
    return round(20 * math.log10(size / 32_768), 2) if size > 0 else FLOOR
