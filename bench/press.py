"""What finishing a recording costs: CPU beside a plain ffmpeg that makes the same MP4, and memory by a call's length.

Ours also measures levels, silences and talk-over, draws the waveform, hashes and encrypts. Each is a process of its
own, in turns. The sound is like speech: one side talks at a time, in sentences, with some noise on the line.
"""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from bench.figures import TableRow
from recorder import press, tape
from recorder.forms import RecordingForm
from recorder.policy import FRAME, RATE
from recorder.tape import Job
from recorder.vault import crypt
from recorder.vault.crypt import WrappedKey

_CALL: Final = "hotline-1763731200.17"
LENGTHS: Final = (60, 3600, 4 * 3600)
"""Seconds of the calls of which memory is measured; of the second one CPU, too."""
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class FinishCost:
    """Of one finished file: CPU and clock in seconds; memory at its peak in bytes, of the worker and of its ffmpeg."""

    cpu: float
    clock: float
    memory: int


def measure(lengths: Sequence[int] = LENGTHS, rounds: int = ROUNDS) -> list[TableRow]:
    """Finish calls of these lengths; the rows of the table."""
    with tempfile.TemporaryDirectory(prefix="hotline-bench-") as name:
        folder = Path(name)
        memory = []
        for seconds in lengths:
            raw = folder / f"{seconds}.raw"
            _speak(raw, seconds)
            memory.append(_finish(raw).memory)
        seconds = lengths[1]
        raw = folder / f"{seconds}.raw"
        ours, plain = [], []
        for _ in range(rounds):
            plain.append(_plain(raw))
            ours.append(_finish(raw))
    cpu, alone = (median(one.cpu for one in of) for of in (ours, plain))
    took, alone_took = (median(one.clock for one in of) for of in (ours, plain))
    return [
        TableRow(
            f"finish a call of {seconds / 60:g} min: seconds of sound a second of CPU",
            f"{seconds / alone:.0f}",
            f"{seconds / cpu:.0f}",
            f"{cpu / alone:.2f} × its CPU",
        ),
        TableRow(
            "… a second by the clock",
            f"{seconds / alone_took:.0f}",
            f"{seconds / took:.0f}",
            f"{took / alone_took:.2f} × its time",
        ),
        TableRow(
            f"memory at {', '.join(f'{one / 60:g}' for one in lengths)} min, worker and ffmpeg",
            "",
            f"{', '.join(f'{one / 2**20:.0f}' for one in memory)} MiB",
            f"{memory[-1] / memory[0]:.2f} × as much",
            "≤ 2 ×",
            memory[-1] <= 2 * memory[0],
        ),
    ]


def _speak(raw: Path, seconds: int) -> None:
    """Write a raw file: a minute of it, over and over."""
    chance = np.random.default_rng(1)
    time_of = np.arange(60 * RATE) / RATE
    voice = sum(
        np.sin(2 * np.pi * pitch * time_of) / number
        for number, pitch in enumerate((140, 280, 430, 900, 2100), 1)
    )
    syllables = np.abs(np.sin(2 * np.pi * 2.3 * time_of)) * (np.sin(2 * np.pi * 0.31 * time_of) > 0)
    talks = (time_of // 6) % 2
    minute = np.empty((60 * RATE, 2), "<i2")
    for side in (0, 1):
        noise = chance.normal(0, 25, time_of.size)
        minute[:, side] = 5000 * voice * syllables * (talks == side) + noise
    with raw.open("wb") as file:
        for _ in range(seconds // 60):
            file.write(minute.tobytes())


def _plain(raw: Path) -> FinishCost:
    """ffmpeg as an operator would call it, from file to file."""
    out = raw.with_suffix(".mp4")
    command = [press.PROGRAM, *press.command(RecordingForm.MP4, [], str(raw), str(out))]
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    clock = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise OSError(f"ffmpeg: status {process.returncode}")
    out.unlink()
    return FinishCost(used.ru_utime + used.ru_stime, clock, used.ru_maxrss * 1024)


def _finish(raw: Path) -> FinishCost:
    """A worker of ours, which is new each time: its peak is of this call alone."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.press", str(raw)], check=True, capture_output=True, text=True
    )
    return FinishCost(**json.loads(done.stdout))


def _work(raw: Path) -> FinishCost:
    """What the recorder's worker does with a raw file, in this process."""
    place = raw.with_suffix(".mp4.enc")
    key = crypt.new_key(_CALL, WrappedKey("0" * 16, bytes(40)), bytes(32))
    before, began = _cpu(), time.monotonic()
    made = tape.finish_one(Job(raw, place, key=key, form=RecordingForm.MP4))
    clock, after = time.monotonic() - began, _cpu()
    if made.duration != raw.stat().st_size // FRAME * 1_000_000 // RATE:
        raise OSError(f"{raw}: {made.duration} µs were made of it")
    place.unlink()
    memory = _peak() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return FinishCost(after - before, clock, memory)


def _peak() -> int:
    """Of this program alone: `ru_maxrss` would begin with the size of whoever started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _cpu() -> float:
    return sum(os.times()[:4])


if __name__ == "__main__":
    cost = _work(Path(sys.argv[1]))
    print(json.dumps({"cpu": cost.cpu, "clock": cost.clock, "memory": cost.memory}))
