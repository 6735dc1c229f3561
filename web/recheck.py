"""The reader of an open stream may change: every stream is looked at again with every change, and once a second.

A change by this process (an account, a session, a token) is looked at before its answer leaves. A change by another
process, such as the command line, is seen within a second. Each look is two questions to the database, however many
streams are open. While the database is away, readers' rights are unknown, so streams go on masked.
"""

import asyncio
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database
from base.background import stopping
from web.accounts import accounts
from web.feed import Feed

log = structlog.get_logger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks."""
ANSWER_WITHIN: Final = 2.0
"""Seconds in which the database answers, or it counts as away."""
STAY_EVERY: Final = 60.0
"""Seconds between two entries that a session is still there."""
SURE_FOR: Final = 3.0
"""Seconds after the last look for which it holds; then streams are masked."""


class Recheck:
    """Looks again at the readers of a feed's streams. `run` it in the background; `look` after a change."""

    def __init__(self, engine: AsyncEngine, feed: Feed) -> None:
        self._engine = engine
        self._feed = feed
        self._one_by_one = asyncio.Lock()
        self._looked_at = 0.0
        self._unsure = False

    async def run(self) -> None:
        """Look for ever."""
        stayed = 0.0
        while not stopping():
            await asyncio.sleep(EVERY)
            try:
                await self.look()
                if (now := asyncio.get_running_loop().time()) - stayed > STAY_EVERY:
                    stayed = now
                    await accounts.stay(self._engine, self._keys(), clock.now())
            except database.AWAY as error:
                log.warning("sessions.not_seen", error=type(error).__name__)
            except Exception:
                log.exception("streams.not_looked_at")

    async def look(self) -> None:
        """Look at every open stream now: it ends, goes on, or goes on masked."""
        # One by one: a look that began before a change must not have the last word.
        async with self._one_by_one:
            now = asyncio.get_running_loop().time()
            keys = self._keys()
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    found = await accounts.by_keys(self._engine, keys, clock.now())
            except database.AWAY as error:
                self._is_away(now, error)
                return
            self._looked_at = now
            if self._unsure:
                self._unsure = False
                log.info("streams.sure_again")
            for one in self._feed.streams():
                if one.who.key in keys:  # else it was opened meanwhile
                    one.seen_as(found.get(one.who.key))

    def _keys(self) -> set[str]:
        """The sessions and tokens of the streams. A wall screen that may look by its address has neither."""
        return {one.who.key for one in self._feed.streams() if one.who.key.isalnum()}

    def _is_away(self, now: float, error: Exception) -> None:
        if now - self._looked_at < SURE_FOR:
            return
        if not self._unsure:
            self._unsure = True
            log.warning(
                "streams.masked", reason="who may see what is unknown", error=type(error).__name__
            )
        for one in self._feed.streams():
            one.mask(True)
