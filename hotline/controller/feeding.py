"""What the live figures and the floor get from the database: history at a start, and what other processes write."""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.book import TaskBook
from acd.desk import Desk
from base import clock, database
from base.outage import Outage
from diary import reader
from facts import Fact, RecordingFinished
from hotline.controller import garbage
from hotline.controller.recovery import OVERLAP
from metrics import rollup
from metrics.live import WARM_UP

log = structlog.get_logger(__name__)

RECORDER_EVERY = 10.0
"""Seconds between two looks for recordings that the recorder has entered."""
SLICE = 50
"""Facts of the diary that the figures take at a time: callers are served in between."""
_LOOK_AFTER = 500
LOOK_EVERY = 3.0
"""Seconds between two looks for callbacks that the command line wrote when it could not reach the controller."""


async def feed_figures(
    engine: AsyncEngine, take: Callable[[Fact], None], warm: Callable[[], None]
) -> None:
    """Give the live figures the last two days, a little at a time; then, for ever, what the recorder enters (M23).

    `warm` is called once the two days have been read.
    """
    since = 0
    away = Outage(log, "figures.away")
    while True:
        now = clock.now()
        # Figures take a fact any number of times: after an error the whole is simply read again.
        try:
            with database.noting(away, effect="the screens' figures are behind"):
                if not since:
                    await warm_up(engine, take, now)
                    warm()
                else:
                    kinds = {RecordingFinished.kind}
                    async for fact in reader.read_kinds(engine, kinds, since - OVERLAP, now + 1):
                        take(fact)
                since = now
        except Exception:
            log.exception("figures.failed", effect="the screens' figures are behind")
        await asyncio.sleep(RECORDER_EVERY)


async def warm_up(engine: AsyncEngine, take: Callable[[Fact], None], now: int) -> None:
    """Give the figures what they need of the diary up to `now`, a little at a time."""
    for fact in await rollup.state_at(engine, now - WARM_UP):
        take(fact)
    count = 0
    async for fact in reader.read(engine, now - WARM_UP, now):
        take(fact)
        count += 1
        if count % _LOOK_AFTER == 0:
            garbage.look()
        if count % SLICE == 0:
            await asyncio.sleep(0)


async def take_up_callbacks(book: TaskBook, desk: Desk) -> None:
    """Take up, without a restart, what was entered or cancelled while Redis was away and the database was not."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        try:
            added, cancelled = await book.changes()
        except Exception as error:  # noqa: BLE001 - whatever a driver raises; the book says that it is away
            log.debug("callbacks.not_read", error=type(error).__name__)
            continue
        if added:
            log.info("callbacks.taken_up", count=len(added))
            desk.take_up(added)
        if cancelled:
            desk.report(*cancelled)
