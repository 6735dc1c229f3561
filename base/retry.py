"""How long to wait before the next attempt: one schedule for all who try again.

Each has its own loop, for what happens meanwhile differs (facts go to a file, a stop ends the wait, the next attempt
stands in a table), so this says only how long. Libraries that retry (tenacity, stamina) want to own that loop.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """Pauses in seconds: the `first`, then each `factor` times the one before, none longer than `longest`.

    Chance takes away up to the share `jitter` of each, so that many who failed together do not come back together.
    After `attempts` attempts nobody tries again; 0: for ever.
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
"""For what waits in memory and in a file: all that is lost meanwhile by a crash is the last second."""

REDIS = Schedule(first=0.5, longest=1.0, jitter=0.1)
"""For screens: they are stale until then."""
