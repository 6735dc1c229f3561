"""What the live figures get from the database: history at a start, and what other processes write."""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database
from base.outage import Outage
from diary import reader
from facts import Fact, RecordingFinished
from hotline.controller.recovery import OVERLAP
from metrics import rollup
from metrics.live import WARM_UP

log = structlog.get_logger(__name__)

RECORDER_EVERY = 10.0
"""Seconds between two looks for recordings that the recorder has entered."""


async def feed_figures(engine: AsyncEngine, take: Callable[[Fact], None]) -> None:
    """Give the live figures the last two days, a little at a time; then, for ever, what the recorder enters (M23)."""
    since = 0
    away = Outage(log, "figures.away")
    while True:
        now = clock.now()
        # Figures take a fact any number of times: after an error the whole is simply read again.
        try:
            with database.noting(away, effect="the screens' figures are behind"):
                if not since:
                    await _warm_up(engine, take, now)
                else:
                    kinds = {RecordingFinished.kind}
                    async for fact in reader.read_kinds(engine, kinds, since - OVERLAP, now + 1):
                        take(fact)
                since = now
        except Exception:
            log.exception("figures.failed", effect="the screens' figures are behind")
        await asyncio.sleep(RECORDER_EVERY)


async def _warm_up(engine: AsyncEngine, take: Callable[[Fact], None], now: int) -> None:
    for fact in await rollup.state_at(engine, now - WARM_UP):
        take(fact)
    count = 0
    async for fact in reader.read(engine, now - WARM_UP, now):
        take(fact)
        count += 1
        if count % 200 == 0:
            await asyncio.sleep(0)
