"""`hotline serve`, watched: for how long its loop did nothing else. `python -m bench.watched FILE` is the process.

It is the controller's own watch (`base.stalls`), told of shorter stalls, and of the garbage collector's share in each.
"""

import gc
import json
import sys
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final, Self

import uvloop

from base.stalls import LOOK_EVERY, LoopWatch, Stall

LEAST: Final = 0.005
"""Seconds that a stall lasts at least, to be told of."""


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
    """Notes when the garbage collector worked: from when, and for how many seconds."""

    def __init__(self) -> None:
        self._began = 0.0
        self._worked: deque[tuple[float, float]] = deque(maxlen=1000)

    def __call__(self, phase: str, _info: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began = now
        else:
            self._worked.append((self._began, now - self._began))

    def seconds(self, since: float) -> float:
        """For how long it worked since then, of what began since then."""
        return sum(seconds for began, seconds in self._worked if began >= since)


async def _watched(work: Coroutine[Any, Any, None], file: Path) -> None:
    found: list[WatchedStall] = []
    collector = _Collector()

    def note(stall: Stall) -> None:
        now = time.perf_counter()
        share = collector.seconds(now - stall.seconds - LOOK_EVERY)
        found.append(WatchedStall(now, stall.seconds, stall.busy, share))

    watch = LoopWatch(note, worth=LEAST)
    gc.callbacks.append(collector)
    watch.start()
    try:
        await work
    finally:
        watch.stop()
        gc.callbacks.remove(collector)
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
