"""Python's search for circles of objects that nobody needs any more, so that it never stops calls for long.

It stops everything for as long as it looks, a third of a microsecond for each object. By itself it begins when so many
more objects were made than freed. In a centre that is busy all day as many are freed as made, so it begins once in ten
thousand calls, and looks at a hundred thousand objects then. So it is asked four times a second, for what is new.
Of what is older it looks at a bounded portion: at an ordinary hotline that is more than the length of a call. What is
there at the start, what the figures read then and what a burst left wait for the night, when all is looked at.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final

import structlog

from base import clock
from facts.times import day_of, local

log = structlog.get_logger(__name__)

EVERY: Final = 0.25
"""Seconds between two looks at what is new."""
PORTION: Final = 20_000
"""Objects that were new once and are looked at again: some seven milliseconds."""
NIGHT: Final = 3
"""The hour, by the clock in China, from which on a moment without callers is waited for."""
MORNING: Final = 5
"""The hour in which it is done at the latest: that takes a tenth of a second."""
BURST: Final = 20_000
"""New objects at once that are somebody's reading (a page of CEL, the diary of an outage): they go by themselves."""
_NEVER: Final = 1 << 30


def begin() -> None:
    """At the very start, before any call."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(25 * BURST, _NEVER, _NEVER)


def keep() -> None:
    """What is there now stays: look at it not before the night. It takes no time."""
    gc.freeze()


async def run(quiet: Callable[[], bool]) -> None:
    """Look at what is new, and once a night, when it is `quiet`, at everything; until cancelled."""
    done = day_of(clock.now())
    while True:
        await asyncio.sleep(EVERY)
        look()
        now = clock.now()
        if day_of(now) > done and is_time(now, quiet=quiet()):
            done = day_of(now)
            gc.unfreeze()
            log.info("garbage.collected", objects=gc.collect())
            gc.freeze()


def look() -> None:
    """Look at what is new, unless it is a burst, and at what is older once that is a portion."""
    if gc.get_count()[0] > BURST:
        keep()
        return
    gc.collect(0)
    if len(gc.get_objects(1)) > PORTION:
        gc.collect(1)


def is_time(now: int, *, quiet: bool) -> bool:
    """Whether `now` (microseconds) is in the night or, when it is not `quiet`, after it."""
    hour = local(now).hour
    return hour >= MORNING or (hour >= NIGHT and quiet)
