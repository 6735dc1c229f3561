"""How fast recordings are listened to for voices, and what is taken for speech: beside ffmpeg's `silencedetect`.

The call is made of prompts of ours, whose place is known, and of music on hold.
"""

import re
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.figures import TableRow
from facts.times import SECOND
from hotline.machine.render import TEMPLATES
from recorder import hearing, intervals
from recorder.intervals import Interval
from recorder.policy import RATE
from recorder.voice import Listener

Samples: TypeAlias = npt.NDArray[np.int16]

ROUNDS: Final = 20
"""Each is a minute: the agent speaks, the citizen answers, music, and quiet."""
_ROUND: Final = 60
_AGENT: Final = ((2, "greeting_12345"), (26, "no_response_farewell"))
_CITIZEN: Final = ((13, "closed_hours"),)
_MUSIC: Final = (36, 56)
_FFMPEG: Final = ("ffmpeg", "-hide_banner", "-nostdin")
_LEVEL: Final = "noise=-42dB:d=0.3"


@dataclass(frozen=True, slots=True)
class _MadeCall:
    """A made-up call. `speech` of each side and `music` (on the agent's), in microseconds."""

    sound: npt.NDArray[np.int16]
    speech: tuple[list[Interval], list[Interval]]
    music: list[Interval]


@dataclass(frozen=True, slots=True)
class _SpeechFound:
    """What one way took for speech, of each side, and what it cost. `cpu` in seconds."""

    speech: tuple[list[Interval], list[Interval]]
    cpu: float


def measure(rounds: int = ROUNDS) -> list[TableRow]:
    """Listen to a call of so many minutes both ways; the rows of the table."""
    call = _call(rounds)
    seconds = len(call.sound) / RATE
    found = [_silence(call), _voices(call)]
    rows: list[tuple[str, Callable[[_SpeechFound], str]]] = [
        ("seconds of a call for a second of CPU", lambda one: f"{seconds / one.cpu:.0f}"),
        ("speech that is missed", lambda one: _percent(_missed(call, one), call.speech)),
        (
            "music taken for speech",
            lambda one: _percent(
                intervals.length(intervals.common(one.speech[1], call.music)), (call.music,)
            ),
        ),
    ]
    return [TableRow(name, say(found[0]), say(found[1])) for name, say in rows]


def _percent(part: int, whole: tuple[list[Interval], ...]) -> str:
    return f"{100 * part / sum(map(intervals.length, whole)):.1f} %"


def _missed(call: _MadeCall, found: _SpeechFound) -> int:
    pairs = zip(call.speech, found.speech, strict=True)
    return sum(intervals.length(intervals.without(truth, heard)) for truth, heard in pairs)


def _call(rounds: int) -> _MadeCall:
    sound = np.random.default_rng(1).normal(0, 20, (rounds * _ROUND * RATE, 2)).astype(np.int16)
    speech: tuple[list[Interval], list[Interval]] = ([], [])
    music = []
    tune = _samples(TEMPLATES / "music" / "calm_1.alaw")
    for begin in range(0, rounds * _ROUND, _ROUND):
        for side, placed in enumerate((_CITIZEN, _AGENT)):
            for at, key in placed:
                said = _spoken(TEMPLATES / "prompts" / "zh" / f"{key}.alaw")
                speech[side].append(_put(sound, side, begin + at, said))
        length = (_MUSIC[1] - _MUSIC[0]) * RATE
        music.append(_put(sound, 1, begin + _MUSIC[0], tune[:length]))
    return _MadeCall(sound, speech, music)


def _put(sound: npt.NDArray[np.int16], side: int, at: int, what: Samples) -> Interval:
    sound[at * RATE : at * RATE + what.size, side] = what
    return at * SECOND, at * SECOND + what.size * SECOND // RATE


def _samples(file: Path) -> Samples:
    command = [*_FFMPEG, "-f", "alaw", "-ar", str(RATE), "-ac", "1", "-i", str(file)]
    command += ["-f", "s16le", "pipe:1"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<i2")


def _spoken(file: Path) -> Samples:
    """A prompt from its first to its last sound."""
    whole = _samples(file)
    loud = np.flatnonzero(np.abs(whole.astype(np.int32)) > 200)
    return whole[loud[0] : loud[-1] + 1]


def _voices(call: _MadeCall) -> _SpeechFound:
    listener = Listener(hearing.detector(), hearing.detector())
    began = time.process_time()
    listener.add(call.sound.tobytes())
    found = listener.finish()
    cpu = time.process_time() - began
    left, right = ([(one.begin, one.end) for one in side] for side in (found.left, found.right))
    return _SpeechFound((left, right), cpu)


def _silence(call: _MadeCall) -> _SpeechFound:
    """Whatever is not silent, by the level."""
    before = _children()
    sides = (_sounds(call, 0), _sounds(call, 1))
    return _SpeechFound(sides, _children() - before)


def _sounds(call: _MadeCall, side: int) -> list[Interval]:
    command = [*_FFMPEG, "-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0"]
    command += ["-af", f"silencedetect={_LEVEL}", "-f", "null", "-"]
    raw = np.ascontiguousarray(call.sound[:, side]).tobytes()
    said = subprocess.run(command, input=raw, capture_output=True, check=True).stderr.decode()
    quiet = []
    begin = 0
    for name, value in re.findall(r"silence_(start|end): ([0-9.]+)", said):
        at = round(float(value) * SECOND)
        if name == "start":
            begin = at
        else:
            quiet.append((begin, at))
    return intervals.without([(0, len(call.sound) * SECOND // RATE)], intervals.merged(quiet))


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
