"""Wall-clock time in microseconds UTC: the one place that asks the machine for it."""

import time


def now() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


JUMP = 2.0
"""Seconds: NTP moves a clock that is less wrong than that slowly."""
_TOLD_FOR = 600.0
"""Seconds for which a jump is told."""


class ClockJumps:
    """Whether the wall clock was put forward or back: compared with the machine's own, which nobody can set."""

    def __init__(self) -> None:
        self._apart: float | None = None
        self._jump = self._until = 0.0

    def look(self, at: int, ticks: float) -> float:
        """The seconds by which it jumped lately, in either direction; 0 if it did not. Look every few seconds.

        `at`: `now()`; `ticks`: `time.monotonic()` of the same moment.
        """
        apart, before = at / 1_000_000 - ticks, self._apart
        self._apart = apart
        if before is not None and abs(apart - before) > JUMP:
            self._jump, self._until = abs(apart - before), ticks + _TOLD_FOR
        return self._jump if ticks < self._until else 0.0
