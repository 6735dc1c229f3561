"""What the live figures and the floor get from the database: history at a start, and what other processes write."""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.book import TaskBook
from acd.desk import Desk
from base import clock
from diary import reader
from facts import Fact, RecordingFinished
from hotline.controller.recovery import OVERLAP
from metrics import rollup
from metrics.live import WARM_UP

log = structlog.get_logger(__name__)

RECORDER_EVERY = 10.0
"""Seconds between two looks for recordings that the recorder has entered."""
LOOK_EVERY = 3.0
"""Seconds between two looks for callbacks that the command line wrote when it could not reach the controller."""


async def feed_figures(engine: AsyncEngine, take: Callable[[Fact], None]) -> None:
    """Give the live figures the last two days, a little at a time; then, for ever, what the recorder enters (M23)."""
    now = clock.now()
    while not await _gave_history(engine, take, now):  # noqa: ASYNC110 - nobody says when it is back
        await asyncio.sleep(RECORDER_EVERY)
    since = now
    while True:
        await asyncio.sleep(RECORDER_EVERY)
        now = clock.now()
        kinds = {RecordingFinished.kind}
        try:
            async for fact in reader.read_kinds(engine, kinds, since - OVERLAP, now + 1):
                _give(take, fact)
        except Exception:
            log.exception("recordings.away", effect="the screens' M23 is behind")
        else:
            since = now


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


async def _gave_history(engine: AsyncEngine, take: Callable[[Fact], None], now: int) -> bool:
    """Whether the database was there all the time. Figures may take a fact twice, so one can begin again."""
    count = 0
    try:
        for fact in await rollup.state_at(engine, now - WARM_UP):
            _give(take, fact)
        async for fact in reader.read(engine, now - WARM_UP, now):
            _give(take, fact)
            count += 1
            if count % 200 == 0:
                await asyncio.sleep(0)
    except Exception:
        log.exception("history.away", effect="the screens' figures begin with this start")
        return False
    return True


def _give(take: Callable[[Fact], None], fact: Fact) -> None:
    # Otherwise one fact that cannot be taken would have all of history read for ever.
    try:
        take(fact)
    except Exception:
        log.exception("fact.not_taken", fact=fact.kind)
