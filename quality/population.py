"""The talks of a week that may be drawn: ended, long enough, and with a recording. Folded from the diary."""

from collections.abc import Sequence
from contextlib import aclosing

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from diary import reader
from facts.terms import CallId
from facts.times import DAY
from metrics import hints
from metrics.fold import item_of
from quality.sample import Candidate, talks_of
from recorder.tables import recording


async def read(engine: AsyncEngine, since: int, until: int, shortest: int) -> list[Candidate]:
    """The talks of calls with `since` < arrived ≤ `until` that last `shortest` (all microseconds) or longer.

    A recording that was deleted later still counts: what could be drawn does not change with time.
    """
    found: list[Candidate] = []
    for begin in range(since, until, DAY):
        talks: list[Candidate] = []
        source = reader.read_calls(engine, begin, min(begin + DAY, until), attempts=True)
        async with aclosing(source) as calls:
            async for facts in calls:
                if (item := item_of(facts)) is not None:
                    talks += talks_of(item, shortest)
        recorded = await _recorded(engine, sorted({one.call for one in talks}))
        found += [one for one in talks if one.call in recorded]
    return found


async def hinted(
    engine: AsyncEngine, settings: Settings, talks: Sequence[Candidate]
) -> set[tuple[CallId, str]]:
    """The talks, as (call, agent), about which there is a hint now, by rule or by words."""
    calls = sorted({one.call for one in talks})
    found: set[tuple[CallId, str]] = set()
    for start in range(0, len(calls), hints.PAGE):
        stories = await reader.read_stories(engine, calls[start : start + hints.PAGE])
        told = await hints.of_stories(engine, settings, stories)
        found.update((one["call"], one["agent"]) for one in told.hints)
    return found & {(one.call, one.agent) for one in talks}


async def _recorded(engine: AsyncEngine, calls: list[CallId]) -> set[CallId]:
    columns = recording.c
    found: set[CallId] = set()
    async with engine.connect() as connection:
        for start in range(0, len(calls), reader.PAGE):
            page = calls[start : start + reader.PAGE]
            question = select(columns.call).where(columns.call.in_(page), columns.path != "")
            found.update((await connection.execute(question)).scalars())
    return found
