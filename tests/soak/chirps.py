"""Telephones that chirp at one instant, and the ear that finds the chirps in a recording.

Everybody sends the same chirp at the same moment, each `GAP` seconds, by one clock (A-law over RTP, RFC 3550).
So two sides of a recording are in step when each chirp lies at the same place in both.
"""

import heapq
import itertools
import random
import struct
import threading
import time
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from softphone.phones import RATE
from tests.soak.telephones import Leg, Sound

PACKET: Final = 160
GAP: Final = 2.5
LONG: Final = RATE // 10
"""Samples in a chirp."""
SWEEPS: Final = ((400, 1400), (1400, 400), (1600, 2700), (2700, 1600), (500, 3200), (3200, 500))
"""Hz from and to. The next chirp is of the next kind, so that one of them cannot be taken for its neighbour."""

_SILENCE: Final = b"\xd5"
_LOUD: Final = 600
_ALIKE: Final = 0.6
"""A chirp that has lost one packet of five is still so much like a whole one."""


@dataclass(frozen=True)
class Habit:
    """What is odd about a telephone, or about the network on its side."""

    loss: float = 0.0
    """Share of the packets."""
    burst: float = 0.0
    """Packets are lost in bursts of up to so many seconds, too, one each ten seconds or so."""
    muted: bool = False
    """Sends nothing in two minutes of five."""
    pauses: bool = False
    """Sends nothing while it is silent (DTX)."""
    jitter: float = 0.0
    """Seconds that a packet is late at most; it may overtake others."""
    skew: float = 0.0
    """Parts of a million by which its clock is fast."""


class Chirps(Sound):
    """Sends everybody's sound from one socket and one thread. `habits`: by the number of a line, or that it dialled."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.epoch = time.monotonic()
        self.habits: dict[str, Habit] = {}
        self.late: list[float] = []
        """Seconds after its time at which each packet was sent."""
        self._streams: dict[Leg, _Stream] = {}
        self._due: list[tuple[float, int, _Stream, bytes]] = []
        self._lock = threading.Lock()
        self._tie = itertools.count()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chirps", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def begin(self, leg: Leg, where: tuple[str, int]) -> None:
        """From now on this leg chirps. Once only: a second answer, as after a hold, changes nothing."""
        if leg not in self._streams:
            habit = self.habits.get(leg.line.number or leg.peer, Habit())
            stream = _Stream(where, habit, time.monotonic(), len(self._streams))
            self._streams[leg] = stream
            with self._lock:
                self._push(stream.due(), stream, b"")

    def end(self, leg: Leg) -> None:
        if stream := self._streams.get(leg):
            stream.ended = True

    def hush(self, leg: Leg, quiet: bool = True) -> None:
        """Send nothing from this leg, as a phone does that holds the talk."""
        self._streams[leg].quiet = quiet

    def _run(self) -> None:
        while not self._over.is_set():
            now = time.monotonic()
            with self._lock:
                ready = list(self._ready(now))
                next_due = self._due[0][0] if self._due else now + 0.02
            for due, stream, packet in ready:
                self.late.append(time.monotonic() - due)
                self._socket.sendto(packet, stream.where)
            time.sleep(max(0.0, min(next_due - time.monotonic(), 0.02)))

    def _ready(self, now: float) -> Iterator[tuple[float, "_Stream", bytes]]:
        """The packets that are due. An empty one stands for the next that a stream has to make."""
        while self._due and self._due[0][0] <= now:
            due, _, stream, packet = heapq.heappop(self._due)
            if packet:
                yield due, stream, packet
            elif not stream.ended:
                stream.catch_up(now)
                if made := stream.next(self.epoch):
                    self._push(made[0], stream, made[1])
                self._push(stream.due(), stream, b"")

    def _push(self, due: float, stream: "_Stream", packet: bytes) -> None:
        heapq.heappush(self._due, (due, next(self._tie), stream, packet))


class _Stream:
    """A leg's sound. `began`: the instant of its first sample."""

    def __init__(self, where: tuple[str, int], habit: Habit, began: float, seed: int) -> None:
        self.where, self.habit, self.began = where, habit, began
        self.ended = self.quiet = False
        self._rate = RATE * (1 + habit.skew / 1e6)
        self._random = random.Random(seed)
        self._sequence = self._random.getrandbits(15)
        self._source = self._random.getrandbits(32)
        self._number = 0
        self._lost_until = 0.0
        self._speaks = False

    def due(self) -> float:
        """When the next packet is complete."""
        return self.began + self._number * PACKET / self._rate

    def catch_up(self, now: float) -> None:
        """Send nothing of what is more than a second old: this machine has stood still."""
        while now - self.due() > 1:
            self._number += 1

    def next(self, epoch: float) -> tuple[float, bytes] | None:
        """The next packet and when it goes out; None if it never arrives."""
        due, first = self.due(), self._number * PACKET
        self._number += 1
        body = self._samples(epoch, due, first)
        muted = self.quiet or (self.habit.muted and 60 <= (due - epoch) % 300 < 180)
        if muted or (self.habit.pauses and body == _SILENCE * PACKET):
            self._speaks = False
            return None
        # The first packet after a pause is marked (RFC 3551, 4.1).
        kind = 8 if self._speaks else 0x88
        self._speaks = True
        self._sequence = (self._sequence + 1) & 0xFFFF
        if self._lost(due):
            return None
        stamp = first & 0xFFFFFFFF
        head = struct.pack("!BBHII", 0x80, kind, self._sequence, stamp, self._source)
        return due + self._random.uniform(0, self.habit.jitter), head + body

    def _samples(self, epoch: float, due: float, first: int) -> bytes:
        body = bytearray(_SILENCE * PACKET)
        nearest = round((due - epoch) / GAP)
        for count in (nearest - 1, nearest, nearest + 1):
            start = round((epoch + count * GAP - self.began) * self._rate) - first
            begin, end = max(start, 0), min(start + LONG, PACKET)
            if begin < end:
                body[begin:end] = _SOUNDS[count % len(SWEEPS)][begin - start : end - start]
        return bytes(body)

    def _lost(self, due: float) -> bool:
        if self.habit.burst and due >= self._lost_until and self._random.random() < 0.002:
            self._lost_until = due + self._random.uniform(0.1, self.habit.burst)
        return due < self._lost_until or self._random.random() < self.habit.loss


# --- the ear


@dataclass(frozen=True)
class Apart:
    """One chirp in both sides: where it is in the citizen's (s), and how much later there than in the other (ms)."""

    kind: int
    at: float
    ms: float


def apart(citizen: NDArray[Any], other: NDArray[Any]) -> list[Apart]:
    """How far apart two sides (16-bit) are at each chirp that both have, in order."""
    here, there = _by_kind(citizen), _by_kind(other)
    found = []
    for kind, moments in here.items():
        for at in moments:
            near = _nearest(there.get(kind, ()), at)
            # Each is the other's nearest: the partner of a chirp that was lost has none.
            if near is not None and _nearest(moments, near) == at:
                found.append(Apart(kind, at, (at - near) * 1000))
    return sorted(found, key=attrgetter("at"))


def _by_kind(sound: NDArray[Any]) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for kind, at in chirps(sound):
        found.setdefault(kind, []).append(at)
    return found


def _nearest(moments: Sequence[float], at: float) -> float | None:
    """The one of these, in order, that is nearest, if it is near enough to be of the same round of kinds."""
    place = bisect(moments, at)
    near = min(moments[max(place - 1, 0) : place + 1], key=partial(_far, at), default=None)
    return near if near is not None and _far(at, near) < len(SWEEPS) * GAP / 2 else None


def _far(here: float, there: float) -> float:
    return abs(here - there)


def chirps(sound: NDArray[Any]) -> Iterator[tuple[int, float]]:
    """Each chirp's kind, and the second at which it begins. What is longer than a chirp, such as music, is none."""
    whole = sound[: len(sound) // PACKET * PACKET].reshape(-1, PACKET)
    loud = np.flatnonzero((whole > _LOUD).any(axis=1))
    for part in np.split(loud, np.flatnonzero(np.diff(loud) > 8) + 1):
        if len(part) and part[-1] - part[0] <= 12:
            first = max(0, int(part[0]) * PACKET - LONG)
            piece = sound[first : (int(part[-1]) + 1) * PACKET + LONG].astype(np.float64)
            alike, kind, at = max(_likeness(piece, kind) for kind in range(len(SWEEPS)))
            if alike > _ALIKE:
                yield kind, (first + at) / RATE


def _likeness(piece: NDArray[np.float64], kind: int) -> tuple[float, int, int]:
    template = _TEMPLATES[kind]
    found = np.correlate(piece, template)
    at = int(np.argmax(found))
    norm = float(np.sqrt((piece[at : at + LONG] ** 2).sum() * (template**2).sum()))
    return float(found[at]) / norm if norm else 0.0, kind, at


def chirp(kind: int) -> NDArray[np.float64]:
    """One whole chirp, 16-bit."""
    low, high = SWEEPS[kind]
    t = np.arange(LONG) / RATE
    cycles = low * t + (high - low) * t * t / (2 * LONG / RATE)
    return cast("NDArray[np.float64]", 12_000 * np.sin(2 * np.pi * cycles))


def _alaw_values() -> NDArray[np.int16]:
    """What each byte of A-law means (G.711), 16-bit."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = np.where(
        exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0)
    )
    return np.where(code & 0x80, size, -size).astype(np.int16)


ALAW: Final = _alaw_values()
_TEMPLATES: Final = [chirp(kind) for kind in range(len(SWEEPS))]
_SOUNDS: Final = [
    np.abs(ALAW[None, :] - sound[:, None]).argmin(axis=1).astype(np.uint8).tobytes()
    for sound in _TEMPLATES
]
