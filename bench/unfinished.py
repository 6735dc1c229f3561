"""How fast `hotline recorder` works off a backlog of 10,000 recordings, with how much memory, and what it says of it.

As after a long night without the recorder: real raw files of three seconds, with the facts of their calls in the diary.
They are short, so that what is measured is the work for each file; `press` has that for the sound. What is finished is
compressed and encrypted, as the settings have it by default. Nobody listens meanwhile.
"""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import psutil

from base import clock
from base.settings import Settings
from bench.figures import TableRow
from bench.report import prepare, write_facts
from facts import CallArrived, CallEnded, Fact, OfferAnswered, TalkEnded
from facts.terms import Party
from facts.times import HOUR, SECOND
from recorder import spool
from recorder.policy import RATE

FILES: Final = 10_000
_LENGTH: Final = 3
"""Seconds of each."""
_LOOK_EVERY: Final = 2.0
_SAY_EVERY: Final = 15
"""Looks between two lines."""
_STANDS_STILL: Final = 120.0
"""Seconds without a file that is finished after which the recorder is given up."""
_GROWTH: Final = 1.2
"""What "does not grow" means, of memory that Python and SQLite take by and by."""


@dataclass(frozen=True, slots=True)
class BacklogLook:
    """What one look found: after so many seconds so many files `left`, and so many bytes of memory in use."""

    seconds: float
    left: int
    memory: int


def measure(files: int = FILES) -> list[TableRow]:
    """Make the backlog and have it worked off; the rows of the table. Raises `OSError` if that fails."""
    with tempfile.TemporaryDirectory(prefix="hotline-bench-") as name:
        home = Path(name)
        settings = Settings(home=home)
        _make(settings, files)
        looks, cpu = _work_off(settings, files)
        _check(home / "hotline.db", files)
        told = _told(settings.log_dir / "recorder.log")
    took = looks[-1].seconds - looks[0].seconds
    pace = (looks[0].left - looks[-1].left) / took
    begin = next(look for look in looks if look.left <= files * 0.9).memory
    end = next(look for look in looks if look.left <= files * 0.02).memory
    return [
        TableRow(
            f"a backlog of {files:,} recordings of {_LENGTH} s",
            "",
            f"{took:.0f} s, {pace:.0f} files a second",
        ),
        TableRow("… CPU a file, with ffmpeg's", "", f"{cpu / files * 1000:.0f} ms"),
        TableRow(
            "… memory of the recorder and its workers, a tenth done, all done",
            "",
            f"{begin / 2**20:.0f}, {end / 2**20:.0f} MiB",
            f"{end / begin:.2f} × as much",
            f"≤ {_GROWTH} ×",
            end <= _GROWTH * begin,
        ),
        TableRow("… lines in recorder.log that say how much waits", "", str(told)),
    ]


def _make(settings: Settings, files: int) -> None:
    chance = np.random.default_rng(1)
    first = clock.now() - 10 * HOUR
    moments = [first + number * SECOND for number in range(files)]
    calls = [f"hotline-{at // SECOND}.{number}" for number, at in enumerate(moments)]
    settings.spool_dir.mkdir(parents=True)
    for call, at in zip(calls, moments, strict=True):
        raw = settings.spool_dir / f"{call}{spool.ENDING}"
        raw.write_bytes(chance.normal(0, 1000, (_LENGTH * RATE, 2)).astype("<i2").tobytes())
        os.utime(raw, ((at + _LENGTH * SECOND) / SECOND,) * 2)
    path = settings.root / "hotline.db"
    prepare(path)
    write_facts(path, first, _facts(calls, moments))


def _facts(calls: Sequence[str], moments: Sequence[int]) -> Iterator[Fact]:
    for call, at in zip(calls, moments, strict=True):
        over = at + _LENGTH * SECOND
        yield CallArrived(at, call, "12345", "13800000000")
        yield OfferAnswered(at + SECOND // 2, call, "1001")
        yield TalkEnded(over, call, "1001", Party.CALLER)
        yield CallEnded(over, call, Party.CALLER, 16)


def _work_off(settings: Settings, files: int) -> tuple[list[BacklogLook], float]:
    """Run the recorder until nothing waits. Gives what was seen, and the seconds of CPU it took."""
    own = {"HOTLINE_HOME": str(settings.root), "HOTLINE_LISTEN_WORKERS": "0"}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "hotline", "recorder"], env={**os.environ, **own}
    )
    try:
        looks = list(_looks(settings.spool_dir, process.pid, began, files))
    finally:
        process.send_signal(signal.SIGTERM)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise OSError(f"hotline recorder: status {process.returncode}")
    return looks, used.ru_utime + used.ru_stime


def _looks(folder: Path, recorder: int, began: float, files: int) -> Iterator[BacklogLook]:
    """Look from the first finished file to the last one."""
    left, changed = files, began
    number = 0
    while left:
        time.sleep(_LOOK_EVERY)
        now, before, left = time.monotonic(), left, sum(1 for _ in folder.glob("*.raw"))
        if left != before:
            changed = now
        elif now - changed > _STANDS_STILL:
            raise OSError(f"hotline recorder: {left} files wait and none is finished")
        if left == files:
            continue
        look = BacklogLook(now - began, left, _memory(recorder))
        yield look
        if number % _SAY_EVERY == 0:
            said = f"{files - left:,} of {files:,} done, {look.memory / 2**20:.0f} MiB"
            print(f"[{look.seconds:4.0f} s] {said}", flush=True)
        number += 1


def _memory(recorder: int) -> int:
    """Bytes that the recorder and its workers hold, what they share counted once; ffmpeg's come and go."""
    held = 0
    main = psutil.Process(recorder)
    for process in (main, *main.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            if "python" in process.name():
                held += process.memory_full_info().pss
    return held


def _check(database: Path, files: int) -> None:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            "SELECT COUNT(*) FROM recording WHERE state = 'finished' AND duration = ?",
            (_LENGTH * SECOND,),
        ).fetchone()[0]
    if found != files:
        raise OSError(f"hotline recorder: the ledger has {found} of {files} recordings")


def _told(log: Path) -> int:
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    return sum(line["event"] == "recording.backlog" for line in lines)
