"""The loop of `hotline recorder` that draws last week's sample, from Monday 03:00 on, where the centre wants it.

`HOTLINE_QUALITY_DRAW` is its gate, `HOTLINE_QUALITY_MOST` its limit. It tries again until the week is drawn. While it
is not, `overdue` says so, and the alarm `quality_not_drawn` tells people: nobody to assess, too many talks, a card that
cannot be read, or a recorder that does not run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database
from base.background import within
from base.outage import Outage
from base.settings import Settings
from facts.times import DAY, HOUR
from quality import draws
from quality.sample import Assessor
from quality.states import AssessmentState
from quality.tables import assessment

log = structlog.get_logger(__name__)

FROM: Final = 3 * HOUR
"""After the beginning of Monday: by then the last calls of Sunday are recorded and their facts are in the diary."""
LATE: Final = FROM + 2 * HOUR
"""From then on a week that was not drawn is overdue."""
EVERY: Final = 300.0
"""Seconds between two looks."""
BY: Final = "hotline recorder"

Assessors = Callable[[], Awaitable[Collection[Assessor]]]
"""Gives who may assess: accounts are kept by a room above this one."""


async def run(
    engine: AsyncEngine, settings: Settings, assessors: Assessors, stop: asyncio.Event
) -> None:
    """Draw each week once, until `stop` is set. No error ends the loop."""
    drawing = WeeklyDraw(engine, settings, assessors)
    while not stop.is_set():
        await drawing.look(clock.now())
        await within(EVERY, stop)


class WeeklyDraw:
    """What the loop remembers: which week is done, and what it has said."""

    def __init__(self, engine: AsyncEngine, settings: Settings, assessors: Assessors) -> None:
        self._engine = engine
        self._settings = settings
        self._assessors = assessors
        self._done = ""
        self._said = ""
        self._database = Outage(log, "quality.database_away")

    async def look(self, now: int) -> None:
        """Do what is due at `now` (microseconds). Logs an error once, instead of raising it."""
        if not self._settings.quality_draw:
            return
        week = draws.week_of("last-week", now)
        if week.name == self._done or now < week.until + FROM:
            return
        try:
            with database.noting(self._database):
                if await draws.find(self._engine, week.name) is None:
                    assessors = await self._assessors()
                    made = await draws.draw_week(
                        *(self._engine, self._settings, week, assessors), by=BY, now=now
                    )
                    log.info("quality.drawn", week=made.week, talks=made.talks, drawn=made.drawn)
                self._done, self._said = week.name, ""
        except ValueError as error:  # DrawError, SampleError, ScoreCardError: a sentence for people
            self._say(week.name, str(error))
        except Exception as error:  # noqa: BLE001 the loop must outlive everything
            self._say(week.name, database.why(error)[:200])

    def _say(self, week: str, why: str) -> None:
        if why != self._said:
            self._said = why
            log.warning("quality.not_drawn", week=week, why=why)


READINGS: Final = ("quality_not_drawn", "quality_late", "appeal_late")
"""The alarms about quality."""


async def readings(engine: AsyncEngine, settings: Settings, now: int) -> dict[str, float]:
    """What the alarms go by: whether last week's draw is overdue; days that the oldest task and appeal have waited."""
    columns = assessment.c
    question = select(columns.state, func.min(columns.since)).group_by(columns.state)
    async with engine.connect() as connection:
        oldest = {row[0]: row[1] for row in await connection.execute(question)}

    def days(state: AssessmentState) -> float:
        return max(0, now - oldest[state.value]) / DAY if state.value in oldest else 0

    late = max(days(AssessmentState.ASSIGNED), days(AssessmentState.RETURNED))
    missing = float(await overdue(engine, settings, now))
    return dict(zip(READINGS, (missing, late, days(AssessmentState.APPEALED)), strict=True))


async def overdue(engine: AsyncEngine, settings: Settings, now: int) -> bool:
    """Whether the draw of last week should be there and is not."""
    if not settings.quality_draw:
        return False
    week = draws.week_of("last-week", now)
    return now >= week.until + LATE and await draws.find(engine, week.name) is None
