"""How long to wait before the next attempt: one schedule for everything that is tried again.

Each user has its own loop, because different things happen meanwhile: facts go to a file, a stop ends the wait, the
next attempt stands in a table. So this module gives only the pause. Libraries that retry (tenacity, stamina) want to
own that loop.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """Pauses in seconds: the `first`, then each `factor` times the one before, none longer than `longest`.

    Each is shortened at random by up to the share `jitter`, so that clients that failed together do not come back
    together. `attempts` is the greatest number of attempts; 0: no limit.
    """

    first: float
    longest: float
    factor: float = 2.0
    jitter: float = 0.0
    attempts: int = 0

    def pause(self, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after so many failures in a row, from 1 on."""
        pause = self.first
        for _ in range(failures - 1):
            if pause >= self.longest or self.factor <= 1:
                break
            pause *= self.factor
        return min(pause, self.longest) * (1 - self.jitter * chance())

    def is_over(self, failures: int) -> bool:
        """Whether so many failures are enough."""
        return 0 < self.attempts <= failures


DATABASE = Schedule(first=1.0, longest=1.0, jitter=0.1)
"""For rows that wait in memory and in a file. A crash meanwhile loses the last second only."""

REDIS = Schedule(first=0.5, longest=1.0, jitter=0.1)
"""For screens: they are stale until then."""

DISK = Schedule(first=5.0, longest=60.0, jitter=0.1)
"""For what waits for room on a disk, or for a folder that can be written: one attempt tells for all of it."""

RECORDING = Schedule(first=5.0, longest=600.0)
"""For one recording that cannot be finished while others can: its raw file stays meanwhile."""

STORE = Schedule(first=2.0, longest=300.0, jitter=0.1)
"""For recordings that wait for their store: they lie safe on this machine meanwhile."""
