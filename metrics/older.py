"""Traits of calls that arrived before their table was there: written bit by bit, the newest first."""

import asyncio
import time

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from base import database
from base.background import within
from base.outage import Outage
from diary.tables import diary
from facts import CallArrived
from metrics import rollup, traits
from metrics.sums import SLOTS, begin_of

log = structlog.get_logger(__name__)

EVERY = 60.0
"""Seconds until the next attempt when the database is away."""


async def run(engine: AsyncEngine, stop: asyncio.Event) -> None:
    """Write the traits of all older calls; returns when all have theirs, or `stop` is set. Takes half a processor."""
    away = Outage(log, "traits.database_away")
    while not stop.is_set():
        wait = EVERY
        try:
            with database.noting(away, effect="searches among older calls are slow"):
                began = time.monotonic()
                if not await go_back(engine):
                    return
                wait = time.monotonic() - began
        except Exception:
            log.exception("traits.failed", effect="searches among older calls are slow")
        await within(wait, stop)


async def go_back(engine: AsyncEngine) -> bool:
    """Write the traits of the newest five minutes of calls that have none; False when there are none."""
    until = await traits.complete_from(engine)
    if not until:
        return False
    fact = diary.c
    question = select(func.max(fact.at)).where(fact.kind == CallArrived.kind, fact.at < until)
    async with engine.connect() as connection:
        newest: int | None = await connection.scalar(question)
    if newest is None:
        async with engine.begin() as connection:
            await traits.set_complete_from(connection, 0)
        return False
    since = begin_of(SLOTS, newest)
    folded = [
        sums.traits
        async for _, sums in rollup.fold_slots(engine, since, newest, lambda _number: "")
    ]
    async with engine.begin() as connection:
        await traits.store(connection, since, newest, (one for some in folded for one in some))
        await traits.set_complete_from(connection, since + 1)
    return True
