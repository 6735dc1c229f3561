"""What the live figures get from the database: history at a start, and what other processes write."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.entry import KINDS as TASK_KINDS
from base import clock, database
from base.outage import Outage
from diary import reader
from facts import ATTENDANCE_KINDS, Fact, RecordingFinished
from facts.times import HOUR
from hotline.controller import garbage
from hotline.controller.recovery import OVERLAP
from metrics import rollup
from metrics.live import WARM_UP, Written
from metrics.sums import SLOT, SLOTS, begin_of

log = structlog.get_logger(__name__)

RECORDER_EVERY = 10.0
"""Seconds between two looks for recordings that the recorder has entered."""
SLICE = 50
"""Facts of the diary that the figures take at a time: callers are served in between."""
_LOOK_AFTER = 500


class Figures(Protocol):
    """What is needed of `metrics.live.Live`."""

    def add(self, fact: Fact) -> None:
        """Take one fact, any number of times."""

    def borrow(self, written: Written | None) -> None:
        """Count these slots as they were written down, or all from facts."""


async def feed_figures(
    engine: AsyncEngine, figures: Figures, known: asyncio.Event, warm: Callable[[], None]
) -> None:
    """Give the live figures the last two days, a little at a time; then, for ever, what the recorder enters (M23).

    `known` is set when they are right for the first time: from roll-ups, and from the facts of what is not in them.
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
                    await warm_up(engine, figures, known, now)
                    warm()
                else:
                    kinds = {RecordingFinished.kind}
                    async for fact in reader.read_kinds(engine, kinds, since - OVERLAP, now + 1):
                        figures.add(fact)
                since = now
        except Exception:
            log.exception("figures.failed", effect="the screens' figures are behind")
        await asyncio.sleep(RECORDER_EVERY)


async def warm_up(engine: AsyncEngine, figures: Figures, known: asyncio.Event, now: int) -> None:
    """Give the figures what they need of the diary up to `now`, a little at a time. `known`: as in `feed_figures`."""
    await _begin(engine, figures, now)
    known.set()
    # The last hour first: who was answered within 15 s of late is counted from facts alone.
    await _give(figures, reader.read(engine, now - HOUR, now))
    await _give(figures, reader.read(engine, now - WARM_UP, now - HOUR))
    figures.borrow(None)


async def _begin(engine: AsyncEngine, figures: Figures, now: int) -> None:
    """What is right at once: slots from roll-ups; agents, callbacks and all other slots from facts."""
    since = begin_of(SLOTS, now - WARM_UP) + SLOT
    written = await rollup.written_slots(engine, since, now)
    for fact in await rollup.state_at(engine, now - WARM_UP):
        figures.add(fact)
    kinds = ATTENDANCE_KINDS | TASK_KINDS
    await _give(figures, reader.read_kinds(engine, kinds, now - WARM_UP, now))
    begin = since
    for end in [*sorted(written), now] if written else ():
        # Slots that have no roll-up, or one that is not up to date: few, or none with a call.
        if begin < end:
            async for facts in reader.read_calls(engine, begin, end, attempts=True):
                for fact in facts:
                    figures.add(fact)
                await asyncio.sleep(0)
        begin = end + SLOT
    figures.borrow(Written(written))


async def _give(figures: Figures, source: AsyncIterator[Fact]) -> None:
    count = 0
    async for fact in source:
        figures.add(fact)
        count += 1
        if count % _LOOK_AFTER == 0:
            garbage.look()
        if count % SLICE == 0:
            await asyncio.sleep(0)
