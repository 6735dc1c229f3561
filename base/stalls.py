"""How long the event loop stands still: whoever calls, rings or answers meanwhile waits for that long.

A timer that asks every few milliseconds comes late by as much. So a stall is seen to `LOOK_EVERY` exactly, and what
the machine gives to other programs counts as well: to a caller it is the same.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LOOK_EVERY: Final = 0.005
"""Seconds between two looks: a fifth of a percent of a processor."""
TOO_LONG: Final = 0.02
"""Seconds for which a loop may be busy with one thing."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The loop stood still for so many `seconds`, and worked itself for `busy` of them; `ended`: the loop's time."""

    ended: float
    seconds: float
    busy: float


class LoopWatch:
    """Watches the running loop from `start` until `stop`. `told` hears of each stall of at least `worth` seconds."""

    def __init__(self, told: Callable[[Stall], None], worth: float = TOO_LONG) -> None:
        self._told = told
        self._worth = worth
        self._due = self._worked = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin. Needs the running loop."""
        self._loop = asyncio.get_running_loop()
        self._wait()

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self._due = self._loop.time() + LOOK_EVERY
        self._worked = time.thread_time()
        self._timer = self._loop.call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        late = now - self._due
        if late > self._worth:
            self._told(Stall(now, late, time.thread_time() - self._worked))
        self._wait()
