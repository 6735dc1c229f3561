"""The loop of `hotline recorder` beside the archive: it seals days, has the newest stamped, and looks at older ones."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database
from base.background import within
from base.outage import Outage
from base.retry import Schedule
from base.settings import Settings
from facts.times import HOUR, SECOND, local
from recorder import proofs, seals, stamps
from recorder.evidence import EvidenceError

log = structlog.get_logger(__name__)

EVERY: Final = 20.0
"""Seconds between two looks whether a day is over."""
LOOK_EVERY: Final = HOUR
"""Microseconds between two looks at the seals of before."""
LOOK_BACK: Final = timedelta(days=7)
"""The days whose rows are hashed again each time; `hotline recordings seals --check` does it for all."""
STAMP_AGAIN: Final = Schedule(first=60.0, longest=3600.0, jitter=0.1)
"""Pauses after which an authority that gave no time stamp is asked again."""


async def run(engine: AsyncEngine, settings: Settings, stop: asyncio.Event) -> None:
    """Seal days until `stop` is set.

    No error ends the loop: the alarms `seal_late`, `stamp_late` and `seal_broken` tell people.
    """
    notary = Notary(engine, settings)
    while not stop.is_set():
        await notary.look(clock.now())
        await within(EVERY, stop)


class Notary:
    """What the loop remembers: whether the old rows are entered, when it looked, what it has said."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._adopted = False
        self._look_at = 0
        self._said = ""
        self._unstamped = 0
        self._stamp_at = 0
        self._database = Outage(log, "seal.database_away")

    async def look(self, now: int) -> None:
        """Do what is due at `now` (microseconds). Logs an error once, instead of raising it."""
        with database.noting(self._database):
            await self._do(now)

    async def _do(self, now: int) -> None:
        made = False
        try:
            made = await self._seal(now)
        except database.AWAY:
            raise
        except EvidenceError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 the loop must outlive everything
            self._fail(database.why(error)[:200])
        else:
            self._said = ""
        if now >= self._stamp_at:
            await self._stamp(now)
        if made or now >= self._look_at:
            try:
                await self._compare(now)
            except database.AWAY:
                raise
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

    async def _stamp(self, now: int) -> None:
        try:
            made = await stamps.stamp(self._engine, self._settings)
        except database.AWAY:
            raise
        except Exception as error:  # noqa: BLE001 as above: it is asked again
            why = str(error) if isinstance(error, EvidenceError) else database.why(error)[:200]
            self._unstamped += 1
            pause = STAMP_AGAIN.pause(self._unstamped)
            self._stamp_at = now + round(pause * SECOND)
            log.warning("seal.not_stamped", why=why, again_in=round(pause))
            return
        self._unstamped = 0
        if made is not None:
            log.info("seal.stamped", day=made.day, at=local(made.at).isoformat(timespec="seconds"))

    async def _compare(self, now: int) -> None:
        """Write down at each seal what does not agree, for the alarm."""
        since = (local(now).date() - LOOK_BACK).isoformat()
        trusted = await asyncio.to_thread(stamps.trusted, self._settings)
        found = [finding async for finding in proofs.check_days(self._engine, since, trusted)]
        for finding in found:
            log.error("seal.broken", day=finding.day, what=finding.what)
        await proofs.note(self._engine, found, since)

    def _fail(self, why: str) -> None:
        if why != self._said:
            self._said = why
            log.error("seal.not_made", why=why)
