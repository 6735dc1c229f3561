"""The loop of `hotline recorder` that listens to finished recordings, later and at the lowest priority.

A recording waits until its row has an entry beside it (`recording_voice`) with the same SHA-256. So nothing has to be
queued, and nothing is lost: what was cut off by a kill is heard again, and it has one entry afterwards. The backlog is
bounded: what was finished longer than `HOTLINE_LISTEN_DAYS` ago is not heard any more.
"""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base import clock, database, retry
from base.background import within
from base.outage import Outage
from base.settings import Settings
from facts.terms import CallId
from facts.times import DAY, HOUR, MINUTE, SECOND
from recorder import hearing, ledger, voice
from recorder.entry import LedgerEntry
from recorder.hearing import Unheard
from recorder.tables import recording, recording_voice
from recorder.voice import Voices

log = structlog.get_logger(__name__)

# Timing
EVERY: Final = 2.0
"""Seconds between two looks at the ledger."""
LOOK_BACK: Final = 60 * SECOND
"""How far back a look reads the ledger once nothing waits: rows are entered some seconds after they were made."""
WHOLE_EVERY: Final = HOUR
"""How often all of the days are looked at: for a restored database, and for what could not be heard before."""
AGAIN_AFTER: Final = DAY
"""What could not be heard is tried again so much later: its file may have been restored."""
TELL_EVERY: Final = 10 * MINUTE
"""How often the log says how much waits, as long as something does."""

# Limits
PAGE: Final = 64
"""Recordings taken up at a time."""
ATTEMPTS: Final = 3
"""So often a recording is tried before its entry says that it could not be heard."""


@dataclass(frozen=True, slots=True)
class Unlistened:
    """`count` recordings wait to be heard; the oldest was finished at `since` (microseconds; 0: none waits)."""

    count: int
    since: int


async def run(engine: AsyncEngine, settings: Settings, stop: asyncio.Event) -> None:
    """Listen until `stop` is set; what is being heard then is dropped. No error ends the loop."""
    if not settings.listen_workers:
        return
    listening = Listening(engine, settings)
    log.info("voice.started", workers=settings.listen_workers)
    try:
        while not stop.is_set():
            await listening.look(clock.now(), stop)
            await within(EVERY, stop)
    finally:
        await listening.close()


async def waiting(connection: AsyncConnection, settings: Settings, now: int) -> Unlistened:
    """How much waits to be heard. Nothing does if nobody listens."""
    if not settings.listen_workers:
        return Unlistened(0, 0)
    question = _joined(
        select(func.count(), func.min(recording.c.finished_at)), settings, _oldest(settings, now)
    ).where(_is_new)
    count, since = (await connection.execute(question)).one()
    return Unlistened(count, since or 0)


async def voices_of(
    connection: AsyncConnection, calls: Sequence[CallId]
) -> dict[CallId, Voices | None]:
    """Who speaks when in these calls' recordings; None for one that could not be heard. One that waits is left out."""
    found: dict[CallId, Voices | None] = {}
    for start in range(0, len(calls), ledger.PAGE):
        question = (
            select(recording_voice)
            .join(recording, recording.c.call == recording_voice.c.call)
            .where(recording_voice.c.call.in_(calls[start : start + ledger.PAGE]))
            .where(recording_voice.c.sha256 == recording.c.sha256, recording.c.certificate == 0)
        )
        for row in await connection.execute(question):
            heard = None if row.why else Voices(voice.read(row.left), voice.read(row.right))
            found[row.call] = heard
    return found


class Listening:
    """What the loop remembers: its processes, what makes trouble and until when, and what it has said."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._pool: ProcessPoolExecutor | None = None
        self._ended: Event | None = None
        self._read_from = 0
        self._whole_at = 0
        self._trouble: dict[CallId, tuple[int, int]] = {}
        self._failures = 0
        self._again_at = 0
        self._told_at = 0
        self._said = ""
        self._database = Outage(log, "voice.database_away")

    async def look(self, now: int, stop: asyncio.Event | None = None) -> None:
        """Hear what waits at `now` (microseconds), a page at most. Logs an error once, instead of raising it."""
        if now < self._again_at:
            return
        try:
            with database.noting(self._database):
                entries = await self._next(now)
                if entries:
                    await self._tell(now)
                    await self._hear(entries, now, stop)
        except Exception as error:
            log.error("voice.failed", exc_info=error)
            self._again_at = now + MINUTE

    async def close(self) -> None:
        """End the worker processes; what they are hearing is dropped."""
        if self._pool is not None and self._ended is not None:
            self._ended.set()
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
            self._pool = None

    # --- what there is

    async def _next(self, now: int) -> list[LedgerEntry]:
        """The oldest recordings that wait."""
        whole = now >= self._whole_at
        since = _oldest(self._settings, now)
        if not whole:
            since = max(since, self._read_from)
        delayed = [call for call, (_, again_at) in self._trouble.items() if again_at > now]
        heard = recording_voice.c
        again = and_(heard.why != "", heard.heard_at < now - AGAIN_AFTER)
        fit = or_(_is_new, again) if whole else _is_new
        question = (
            _joined(select(recording.c.call), self._settings, since)
            .where(fit, recording.c.call.not_in(delayed))
            .order_by(recording.c.finished_at, recording.c.call)
            .limit(PAGE)
        )
        async with self._engine.connect() as connection:
            calls = [row.call for row in await connection.execute(question)]
            entries = await ledger.entries_of(connection, calls)
        if len(calls) < PAGE:
            # From now on only new rows, unless something is to be tried again.
            self._read_from = 0 if self._trouble else now - LOOK_BACK
            self._whole_at = now + WHOLE_EVERY if whole else self._whole_at
        return [entries[call] for call in calls if call in entries]

    # --- what is done

    async def _hear(
        self, entries: Sequence[LedgerEntry], now: int, stop: asyncio.Event | None
    ) -> None:
        for batch in self._batches(entries):
            if stop is not None and stop.is_set():
                return
            later = ""
            for entry, answer in zip(batch, await self._in_pool(batch), strict=True):
                if isinstance(answer, Unheard) and answer.later:
                    later = answer.why
                    self._delay(entry.call, now, failed=False)
                else:
                    await self._take(entry, answer, now)
            self._away(later)
            if later:
                # The next look takes others first: a key may be away for this one alone.
                self._failures += 1
                self._again_at = now + int(retry.STORE.pause(self._failures) * SECOND)
                return
            self._failures = 0

    def _batches(self, entries: Sequence[LedgerEntry]) -> Iterator[Sequence[LedgerEntry]]:
        """As many at once as there are processes. One that failed before is alone: it may kill its process."""
        alone = [one for one in entries if one.call in self._trouble]
        fresh = [one for one in entries if one.call not in self._trouble]
        step = self._settings.listen_workers
        for start in range(0, len(fresh), step):
            yield fresh[start : start + step]
        for one in alone:
            yield [one]

    async def _in_pool(self, batch: Sequence[LedgerEntry]) -> list[Voices | Unheard]:
        if self._pool is None:
            context = get_context("spawn")
            self._ended = context.Event()
            self._pool = ProcessPoolExecutor(
                self._settings.listen_workers, context, hearing.prepare, (self._ended,)
            )
        loop, pool = asyncio.get_running_loop(), self._pool
        work = [loop.run_in_executor(pool, hearing.hear, self._settings, one) for one in batch]
        answers = await asyncio.gather(*work, return_exceptions=True)
        found: list[Voices | Unheard] = []
        for answer in answers:
            if isinstance(answer, BrokenProcessPool):
                # Out of memory, or killed: a new pool next time.
                self._pool = None
                found.append(Unheard("the process died that listened to it"))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found.append(answer)
        return found

    async def _take(self, entry: LedgerEntry, answer: Voices | Unheard, now: int) -> None:
        if isinstance(answer, Unheard):
            attempts = self._delay(entry.call, now)
            log.error("recording.unheard", call_id=entry.call, why=answer.why, attempts=attempts)
            if attempts < ATTEMPTS:
                return
        await enter(self._engine, entry, answer, clock.now())
        self._trouble.pop(entry.call, None)

    def _delay(self, call: CallId, now: int, *, failed: bool = True) -> int:
        """Plan the next attempt; gives how many have failed."""
        attempts = self._trouble.get(call, (0, 0))[0] + failed
        pause = retry.STORE.pause(attempts if failed else ATTEMPTS)
        self._trouble[call] = attempts, now + int(pause * SECOND)
        self._read_from = 0
        return attempts

    # --- what is said

    async def _tell(self, now: int) -> None:
        if now < self._told_at:
            return
        async with self._engine.connect() as connection:
            there = await waiting(connection, self._settings, now)
        oldest = round((now - there.since) / SECOND) if there.since else 0
        log.info("voice.backlog", recordings=there.count, oldest_seconds=oldest)
        self._told_at = now + TELL_EVERY

    def _away(self, why: str) -> None:
        if why != self._said:
            if why:
                log.error("voice.waits", on=True, why=why)
            else:
                log.info("voice.waits", on=False)
            self._said = why


async def enter(
    engine: AsyncEngine, entry: LedgerEntry, answer: Voices | Unheard, now: int
) -> bool:
    """Enter what was heard, once; False if the recording was deleted or replaced meanwhile."""
    values: dict[str, str | int] = {
        "call": entry.call,
        "sha256": entry.sha256,
        "left": "",
        "right": "",
        "heard_at": now,
        "why": "",
    }
    if isinstance(answer, Unheard):
        values["why"] = answer.why
    else:
        values |= {"left": voice.written(answer.left), "right": voice.written(answer.right)}
    columns = recording.c
    async with engine.begin() as connection:
        # PostgreSQL: whoever deletes the recording waits for this row, and then removes what is entered here.
        still = (
            select(columns.call)
            .where(columns.call == entry.call, columns.sha256 == entry.sha256)
            .where(columns.certificate == 0)
            .with_for_update()
        )
        await connection.execute(
            delete(recording_voice).where(recording_voice.c.call == entry.call)
        )
        if (await connection.execute(still)).first() is None:
            return False
        await connection.execute(insert(recording_voice).values(values))
    return True


_is_new: Final[ColumnElement[bool]] = or_(
    recording_voice.c.call.is_(None), recording_voice.c.sha256 != recording.c.sha256
)


def _joined(question: Any, settings: Settings, since: int) -> Any:
    """The recordings of this node with sound that were finished at `since` or later, beside what was heard."""
    columns = recording.c
    return (
        question.outerjoin_from(recording, recording_voice, columns.call == recording_voice.c.call)
        .where(columns.finished_at >= since, columns.path != "", columns.certificate == 0)
        .where(columns.call.startswith(f"{settings.node}-", autoescape=True))
    )


def _oldest(settings: Settings, now: int) -> int:
    return now - settings.listen_days * DAY
