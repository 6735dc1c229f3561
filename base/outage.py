"""Something that is away: one line in the log when that begins and one when it is over, however often it is tried.

The log of a bad day is read by people: what repeats in it hides what else happened. Each user keeps one `Outage` for
each thing that it waits for, calls `begin` after every failure and `end` after every success.
"""

import time
from collections.abc import Callable
from typing import Any


class Outage:
    """Whether one thing is away. `log`: the user's own; `event`: the name of both lines, told apart by `on`.

    `settle`: seconds without a failure before a success ends it, where some of the work goes well meanwhile.
    """

    def __init__(
        self,
        log: Any,
        event: str,
        settle: float = 0.0,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self._settle = settle
        self._log = log
        self._event = event
        self._ticks = ticks
        self._began = self._failed = 0.0

    @property
    def on(self) -> bool:
        """Whether it is away."""
        return self.failures > 0

    def begin(self, **fields: object) -> None:
        """It is away, or still is. `fields`: why, in a sentence without citizens' data, and what waits."""
        self.failures += 1
        self._failed = self._ticks()
        if self.failures == 1:
            self._began = self._failed
            self._log.error(self._event, on=True, **fields)

    def end(self, **fields: object) -> None:
        """It is there, or still is."""
        now = self._ticks()
        if not self.failures or now - self._failed < self._settle:
            return
        lasted = round(now - self._began)
        self._log.info(self._event, on=False, lasted=lasted, failures=self.failures, **fields)
        self.failures = 0
