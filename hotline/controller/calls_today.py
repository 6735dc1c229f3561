"""How often each number has called today (China's day): counted from facts, and at a start from the diary."""

from collections import Counter

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database
from diary import reader
from facts import CallArrived, Fact
from facts.times import midnight

log = structlog.get_logger(__name__)


class CallsToday:
    """Counts the calls of today. Holds a number and a count for each number that has called."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._day = 0
        self._began = clock.now()

    def take(self, fact: Fact) -> None:
        """Count a call that has just arrived."""
        if isinstance(fact, CallArrived) and fact.caller and not fact.origin:
            self._turn(fact.at)
            if fact.at >= max(self._day, self._began):
                self._counts[fact.caller] += 1

    def before(self, caller: str) -> int:
        """How many calls of this number have come today before one that is still here."""
        return max(0, self._counts[caller] - 1) if caller in self._counts else 0

    async def read(self, engine: AsyncEngine) -> None:
        """Count what the diary knows of today, from before this start. Without a database it counts from now on."""
        self._turn(self._began)
        try:
            kinds = {CallArrived.kind}
            async for fact in reader.read_kinds(engine, kinds, self._day, self._began):
                if isinstance(fact, CallArrived) and fact.caller and not fact.origin:
                    self._counts[fact.caller] += 1
        except database.FAILED as error:
            effect = "earlier calls of today are not counted"
            log.warning("calls_today.away", **database.told(error), effect=effect)

    def _turn(self, now: int) -> None:
        day = midnight(now)
        if day > self._day:
            self._day = day
            self._counts.clear()
