"""`hotline serve`, watched: for how long its loop did nothing else. `python -m bench.watched FILE` is the process.

A task of the loop sleeps a few milliseconds again and again. When it wakes up late, something else had the loop; or
another program had the processor, so each stall is taken by the clock and in the thread's own processor time. Python's
garbage collector, whose share is told too, is part of both.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Coroutine
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final, Self

import uvloop

from base.background import spawn

TICK: Final = 0.005
"""Seconds between two looks."""
LEAST: Final = 0.005
"""Seconds by which a look is late at least, to be told of."""


@dataclass(frozen=True, slots=True)
class WatchedStall:
    """It ended at `moment` of `time.perf_counter`. Seconds by the clock, of the loop's processor time since the last
    look, and of the garbage collector."""

    moment: float
    clock: float
    cpu: float
    collector: float

    @classmethod
    def read(cls, file: Path, since: float, until: float) -> list[Self]:
        """Those between two moments, of a process that has ended. Raises `OSError` when it left nothing."""
        stalls = [cls(*values) for values in json.loads(file.read_text())]
        return [stall for stall in stalls if since <= stall.moment <= until]


class _Collector:
    """Adds up the seconds of the garbage collector."""

    def __init__(self) -> None:
        self.seconds = self._began = 0.0

    def __call__(self, phase: str, _info: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began = now
        else:
            self.seconds += now - self._began


async def watch(found: list[WatchedStall]) -> None:
    """Look until it is cancelled; what is late goes into `found`."""
    collector = _Collector()
    gc.callbacks.append(collector)
    try:
        moment, spent = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(TICK)
            now, used = time.perf_counter(), time.thread_time()
            late = now - moment - TICK
            if late >= LEAST:
                found.append(WatchedStall(now, late, used - spent, collector.seconds))
            moment, spent, collector.seconds = now, used, 0.0
    finally:
        gc.callbacks.remove(collector)


async def _watched(work: Coroutine[Any, Any, None], file: Path) -> None:
    found: list[WatchedStall] = []
    watching = spawn(watch(found), "watch for stalls")
    try:
        await work
    finally:
        watching.cancel()
        file.write_text(json.dumps([astuple(stall) for stall in found]))


def main() -> None:
    """Run the controller as `hotline serve` does, with the watch beside it."""
    file, run = Path(sys.argv[1]), uvloop.run

    def watched(work: Coroutine[Any, Any, None]) -> None:
        run(_watched(work, file))

    uvloop.run = watched  # type: ignore[assignment]  # as `hotline.cli.tools.run_forever` calls it
    sys.argv = ["hotline", "serve"]
    from hotline.__main__ import main as hotline

    hotline()


if __name__ == "__main__":
    main()
