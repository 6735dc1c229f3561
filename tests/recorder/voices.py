"""Calls whose speech is known to the millisecond: prompts, music and tones put at known places of two silent sides."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from facts.times import SECOND
from recorder import hearing
from recorder.voice import Listener, Voices
from tests.live.sounds import music, prompt

Samples: TypeAlias = npt.NDArray[np.int16]
RATE = 8000
Placed: TypeAlias = Sequence[tuple[float, Samples]]


def spoken(key: str) -> Samples:
    """A prompt from its first to its last sound."""
    whole = prompt(key)
    loud = np.flatnonzero(np.abs(whole.astype(np.int32)) > 200)
    return whole[loud[0] : loud[-1] + 1]


def tune(seconds: float, piece: int = 0) -> Samples:
    """Music on hold."""
    return np.resize(music()[piece], int(seconds * RATE))


def tones(seconds: float, *frequencies: int, on: float = 1.0, off: float = 0.0) -> Samples:
    """Tones at half of full scale: without a break, or `on` and `off` as a ring is."""
    at = np.arange(int(seconds * RATE)) / RATE
    both = sum(np.sin(2 * np.pi * one * at) for one in frequencies) / len(frequencies)
    return np.asarray(both * 16_000 * (at % (on + off) < on)).astype(np.int16)


def side(seconds: float, placed: Placed, noise: float = 0.0) -> Samples:
    """One side of so many seconds, with these sounds from these seconds on. `noise`: its root mean square."""
    made = np.random.default_rng(7).normal(0, noise, int(seconds * RATE)) if noise else None
    whole = np.zeros(int(seconds * RATE)) if made is None else made
    for at, sound in placed:
        begin = int(at * RATE)
        whole[begin : begin + sound.size] += sound
    return np.clip(whole, -32_000, 32_000).astype(np.int16)


def stereo(left: Samples, right: Samples) -> bytes:
    """Raw sound as Asterisk's, the citizen left."""
    return np.stack([left, right], axis=1).astype("<i2").tobytes()


def listened(raw: bytes) -> Voices:
    """Heard with the model of production."""
    listener = Listener(hearing.detector(), hearing.detector())
    for begin in range(0, len(raw), 65_536):
        listener.add(raw[begin : begin + 65_536])
    return listener.finish()


def lasts(placed: Placed) -> list[tuple[int, int]]:
    """Where these sounds lie, in microseconds."""
    return [(round(at * SECOND), round((at + sound.size / RATE) * SECOND)) for at, sound in placed]
