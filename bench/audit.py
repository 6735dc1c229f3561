"""How long `hotline recordings audit` takes for a day of 100,000 recordings, beside `sha256sum` of the same files.

The recordings are short (two seconds, 3.2 GB in all), so that what is measured is the work for each call: facts, row,
CEL, file. What a longer recording adds is the time of its hash.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from base import clock
from base.settings import Settings
from bench.figures import TableRow
from bench.report import Took, prepare, write_facts
from facts import CallArrived, CallEnded, Fact, OfferAnswered, RecordingFinished, TalkEnded
from facts.terms import Party
from facts.times import DAY, SECOND, local, midnight
from recorder import policy, tape
from recorder.tape import Tape

CALLS = 100_000
_FIRST = midnight(clock.now()) - 2 * DAY
_LENGTH = 2 * SECOND
_AT_MOST = 300.0
"""Seconds: "minutes"."""


def measure(calls: int = CALLS) -> list[TableRow]:
    """Make the day, audit it, hash it; the rows of the table."""
    with tempfile.TemporaryDirectory(prefix="hotline-bench-") as name:
        home = Path(name)
        began = time.monotonic()
        _make(home, calls)
        print(f"the day took {time.monotonic() - began:.0f} s to make", flush=True)
        hashed = _hash_alone(home)
        took = _audit(home, f"{local(_FIRST):%Y-%m-%d}")
    if took.calls != calls:
        raise OSError(f"hotline recordings audit: found {took.calls} of {calls} calls")
    said = f"{took.seconds:.0f} s ({took.worked:.0f} s CPU), {took.memory / 2**20:.0f} MiB"
    return [
        TableRow(
            f"audit of {calls:,} recordings of {_LENGTH // SECOND} s",
            "",
            said,
            f"{took.seconds / hashed:.1f} × sha256sum",
            f"≤ {_AT_MOST:.0f} s",
            took.seconds <= _AT_MOST,
        ),
        TableRow("sha256sum of the same files", "", f"{hashed:.0f} s"),
    ]


def _make(home: Path, calls: int) -> None:
    settings = Settings(home=home)
    raw = home / "sound.raw"
    settings.spool_dir.mkdir(parents=True)
    raw.write_bytes(bytes((0, 10, 0, 11)) * (policy.RATE * _LENGTH // SECOND))
    made = tape.finish(raw, home / "sound.wav")
    sound = (home / "sound.wav").read_bytes()
    ids = [f"hotline-{_at(number, calls) // SECOND}.{number}" for number in range(calls)]
    for call in ids:
        path = settings.recordings_dir / policy.place(call)
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        path.write_bytes(sound)
        os.utime(path, (_FIRST / SECOND, _FIRST / SECOND))
    prepare(home / "hotline.db")
    write_facts(home / "hotline.db", _FIRST, _facts(ids, calls))
    with closing(sqlite3.connect(home / "hotline.db")) as connection, connection:
        connection.executemany(
            "INSERT INTO recording (call, path, state, duration, size, sha256, finished_at, note) "
            "VALUES (?, ?, 'finished', ?, ?, ?, ?, '')",
            _rows(ids, made),
        )
    settings.cel_file.parent.mkdir(parents=True, exist_ok=True)
    with settings.cel_file.open("w") as file:
        file.writelines(_cel(ids, calls))


def _at(number: int, calls: int) -> int:
    """When this call arrives: evenly over the day, but its last ten minutes."""
    return _FIRST + 1 + number * (DAY - 600 * SECOND) // calls


def _facts(ids: list[str], calls: int) -> Iterator[Fact]:
    for number, call in enumerate(ids):
        at = _at(number, calls)
        yield CallArrived(at, call, "12345", "13800000000")
        yield OfferAnswered(at + SECOND // 2, call, "1001")
        yield TalkEnded(at + _LENGTH, call, "1001", Party.CALLER)
        yield CallEnded(at + _LENGTH, call, Party.CALLER, 16)
        yield RecordingFinished(at + 2 * _LENGTH, call, _LENGTH, "")


def _rows(ids: list[str], made: Tape) -> Iterator[tuple[str, str, int, int, str, int]]:
    for call in ids:
        yield call, policy.place(call), made.duration, made.size, made.sha256, _FIRST + 1


def _cel(ids: list[str], calls: int) -> Iterator[str]:
    """Ten lines a call, as Asterisk writes them: the citizen's channel and the agent's."""
    steps = (
        (0, 0, "CHAN_START"),
        (0, 10_000, "ANSWER"),
        (0, 400_000, "APP_START"),
        (1, 410_000, "CHAN_START"),
        (1, 500_000, "ANSWER"),
        (1, 510_000, "BRIDGE_ENTER"),
        (0, 510_000, "BRIDGE_ENTER"),
        (1, _LENGTH, "HANGUP"),
        (0, _LENGTH, "HANGUP"),
        (0, _LENGTH, "CHAN_END"),
    )
    for number, call in enumerate(ids):
        sides = ((f"PJSIP/trunk-{number:08x}", call), (f"PJSIP/1001-{number:08x}", f"{call}9"))
        for side, later, kind in steps:
            channel, uniqueid = sides[side]
            when = f"{(_at(number, calls) + later) / SECOND:.6f}"
            yield (
                f'"{kind}","{when}","{uniqueid}","{call}","{channel}","13800000000",'
                '"inbound","12345","","","","{}"\n'
            )


def _hash_alone(home: Path) -> float:
    began = time.monotonic()
    find = ["find", str(home / "recordings"), "-name", "*.wav", "-print0"]
    with subprocess.Popen(find, stdout=subprocess.PIPE) as found:
        subprocess.run(
            ["xargs", "-0", "sha256sum"], stdin=found.stdout, stdout=subprocess.DEVNULL, check=True
        )
    return time.monotonic() - began


def _audit(home: Path, day: str) -> Took:
    command = [sys.executable, "-m", "hotline", "recordings", "audit"]
    out = home / "audit.out"
    environment = {**os.environ, "HOTLINE_HOME": str(home)}
    began = time.monotonic()
    with out.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--day", day, "--format", "json"], env=environment, stdout=file
        )
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise OSError(f"hotline recordings audit: status {process.returncode}")
    calls = json.loads(out.read_text())["calls"]
    return Took(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, calls)
