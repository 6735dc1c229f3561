"""Who speaks when: voice activity of both sides of a recording, window by window. Pure.

What decides whether a window of 32 ms holds speech comes in as an argument (`Detector`): in production it is Silero's
model (`recorder.hearing`), which takes neither music nor tones nor noise for speech. A level cannot tell them apart.

Nothing is kept of the samples. What is found is a property of the sound alone: talks, holds and pauses come from the
facts, when it is read (`recorder.hints`). So late facts and changed rules need no second hearing.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from facts.times import SECOND
from recorder.policy import FRAME, RATE
from recorder.sound import FLOOR


class Detector(Protocol):
    """What hears speech on one side. It remembers the windows before."""

    def process_samples(self, samples: Sequence[float], /) -> float:
        """512 samples (16 kHz, -1 to 1), the next in order → how likely they are speech, 0 to 1."""

    def reset(self) -> None:
        """Forget the windows before."""


WINDOW: Final = 256
"""Samples of a window at 8 kHz; Silero wants them doubled to 16 kHz."""
STEP: Final = WINDOW * SECOND // RATE
"""Microseconds of a window: 32 ms."""
BEGINS: Final = 0.5
"""Speech begins in a window that is at least so likely."""
GOES_ON: Final = 0.35
"""It goes on in one that is at least so likely. Both are Silero's own defaults."""
PAUSE: Final = 10
"""So many windows (0.32 s) without speech end a span: the pause within a sentence is shorter."""
SHORTEST: Final = 7
"""A span of fewer windows (0.22 s) is a click, a breath or a knock."""
UNHEARD: Final = 64
"""A window in which no sample is larger (of 32,768: -54 dB) holds no speech that a person would hear: it is skipped."""
FORGET: Final = 31
"""After so many skipped windows (a second) the detector forgets the rest: with music in mind it hears a word late."""


@dataclass(frozen=True, slots=True)
class SpeechSpan:
    """Somebody speaks from `begin` until `end`, in microseconds from the file's beginning.

    `level`: how loud, in dB; 0 is full scale.
    """

    begin: int
    end: int
    level: int


@dataclass(frozen=True, slots=True)
class Voices:
    """The spans of both sides, each in order. There is a pause between any two of one side."""

    left: tuple[SpeechSpan, ...]
    right: tuple[SpeechSpan, ...]


class Listener:
    """Give it all of the sound, piece by piece (`add`), then ask once (`finish`). One detector for each side."""

    def __init__(self, left: Detector, right: Detector) -> None:
        self._sides = (_Side(left), _Side(right))
        self._rest = b""

    def add(self, data: bytes) -> None:
        """Take raw stereo (16 bits, little-endian, left first, 8 kHz), of any length."""
        data = self._rest + data if self._rest else data
        whole = len(data) // (WINDOW * FRAME) * WINDOW * FRAME
        self._rest = data[whole:]
        if whole:
            self._take(data[:whole])

    def finish(self) -> Voices:
        """Say what was heard. The last window is filled up with silence."""
        if whole := len(self._rest) // FRAME * FRAME:
            self._take(self._rest[:whole].ljust(WINDOW * FRAME, b"\0"))
        self._rest = b""
        left, right = (side.finish() for side in self._sides)
        return Voices(left, right)

    def _take(self, data: bytes) -> None:
        samples = np.frombuffer(data, dtype="<i2").reshape(-1, 2)
        for number, side in enumerate(self._sides):
            side.take(np.ascontiguousarray(samples[:, number]))


class _Side:
    """One side: its windows so far, and the span that is open."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._spans: list[SpeechSpan] = []
        self._at = 0
        self._before = 0.0
        self._skipped = 0
        self._begin = self._last = -1
        self._power = 0.0
        self._count = 0

    def take(self, samples: npt.NDArray[np.int16]) -> None:
        """Whole windows."""
        signal = samples.astype(np.float32) / np.float32(32_768)
        doubled = _doubled(signal, self._before)
        self._before = float(signal[-1])
        windows = samples.reshape(-1, WINDOW)
        loud = np.maximum(windows.max(axis=1), ~windows.min(axis=1)) >= UNHEARD
        powers = np.square(signal.reshape(-1, WINDOW), dtype=np.float64).mean(axis=1)
        for number, window in enumerate(doubled.reshape(-1, 2 * WINDOW)):
            self._step(self._likely(window) if loud[number] else 0.0, float(powers[number]))
            self._skipped = 0 if loud[number] else self._skipped + 1

    def finish(self) -> tuple[SpeechSpan, ...]:
        """All spans."""
        self._close()
        return tuple(self._spans)

    def _likely(self, window: npt.NDArray[np.float32]) -> float:
        if self._skipped >= FORGET:
            self._detector.reset()
        return self._detector.process_samples(window.tolist())

    def _step(self, likely: float, power: float) -> None:
        speaking = self._begin >= 0
        if likely >= BEGINS or (speaking and likely >= GOES_ON):
            if not speaking:
                self._begin = self._at
            self._last = self._at
            self._power += power
            self._count += 1
        elif speaking and self._at - self._last >= PAUSE:
            self._close()
        self._at += 1

    def _close(self) -> None:
        if self._begin >= 0 and self._last + 1 - self._begin >= SHORTEST:
            level = _decibels(self._power / self._count)
            self._spans.append(SpeechSpan(self._begin * STEP, (self._last + 1) * STEP, level))
        self._begin = self._last = -1
        self._power, self._count = 0.0, 0


def _doubled(signal: npt.NDArray[np.float32], before: float) -> npt.NDArray[np.float32]:
    """Twice the rate: between each sample and the one before it stands their mean."""
    doubled = np.empty(2 * signal.size, dtype=np.float32)
    doubled[1::2] = signal
    doubled[2::2] = (signal[:-1] + signal[1:]) / 2
    doubled[0] = (before + float(signal[0])) / 2
    return doubled


def _decibels(power: float) -> int:
    return round(max(FLOOR, 10 * math.log10(power))) if power > 0 else round(FLOOR)


def level_of(spans: Iterable[SpeechSpan]) -> float | None:
    """The level of several spans together, by their length, in dB below full scale; None without any."""
    total = power = 0.0
    for one in spans:
        power += (one.end - one.begin) * 10 ** (one.level / 10)
        total += one.end - one.begin
    return round(10 * math.log10(power / total), 1) if total else None


def written(spans: Iterable[SpeechSpan]) -> str:
    """Spans as the database keeps them: of each the windows before it, its own windows and its level."""
    words = []
    at = 0
    for one in spans:
        words.append(f"{one.begin // STEP - at},{(one.end - one.begin) // STEP},{one.level}")
        at = one.end // STEP
    return " ".join(words)


def read(text: str) -> tuple[SpeechSpan, ...]:
    """Spans that were `written`. Raises `ValueError` for anything else."""
    found = []
    at = 0
    for word in text.split():
        gap, windows, level = map(int, word.split(","))
        begin = at + gap
        at = begin + windows
        found.append(SpeechSpan(begin * STEP, at * STEP, level))
    return tuple(found)
