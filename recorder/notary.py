"""The loop of `hotline recorder` beside the archive: it seals days, and looks whether older seals still agree."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database
from base.settings import Settings
from facts.times import HOUR, local
from recorder import proofs, seals
from recorder.evidence import EvidenceError

log = structlog.get_logger(__name__)

EVERY: Final = 20.0
"""Seconds between two looks whether a day is over."""
LOOK_EVERY: Final = HOUR
"""Microseconds between two looks at the seals of before."""
LOOK_BACK: Final = timedelta(days=7)
"""The days whose rows are hashed again each time; `hotline recordings seals --check` does it for all."""


async def run(engine: AsyncEngine, settings: Settings, stop: asyncio.Event) -> None:
    """Seal days until `stop` is set. No error ends the loop: the alarms `seal_late` and `seal_broken` tell people."""
    notary = Notary(engine, settings)
    while not stop.is_set():
        await notary.look(clock.now())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY):
                await stop.wait()


class Notary:
    """What the loop remembers: whether the old rows are entered, when it looked, what it has said."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._adopted = False
        self._look_at = 0
        self._said = ""

    async def look(self, now: int) -> None:
        """Do what is due at `now` (microseconds). Logs an error once, instead of raising it."""
        made = False
        try:
            made = await self._seal(now)
        except EvidenceError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 the loop must outlive everything
            self._fail(database.why(error)[:200])
        else:
            self._said = ""
        if made or now >= self._look_at:
            try:
                await self._compare(now)
            except Exception as error:  # noqa: BLE001 as above: it is looked at again soon
                log.warning("seal.not_compared", why=database.why(error)[:200])
            else:
                self._look_at = now + LOOK_EVERY

    async def _seal(self, now: int) -> bool:
        if not self._adopted:
            if count := await seals.adopt(self._engine, now):
                log.info("seal.adopted", rows=count)
            self._adopted = True
        made = await seals.seal(self._engine, self._settings, now)
        for one in made:
            log.info("seal.made", day=one.day, rows=one.rows, head=one.sha256.head)
        return bool(made)

    async def _compare(self, now: int) -> None:
        """Write down at each seal what does not agree, for the alarm."""
        since = (local(now).date() - LOOK_BACK).isoformat()
        found = [finding async for finding in proofs.check_days(self._engine, since)]
        for finding in found:
            log.error("seal.broken", day=finding.day, what=finding.what)
        await proofs.note(self._engine, found, since)

    def _fail(self, why: str) -> None:
        if why != self._said:
            self._said = why
            log.error("seal.not_made", why=why)
