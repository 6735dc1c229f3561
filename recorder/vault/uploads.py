"""The loop of `hotline recorder` beside the archive: recordings go to their store. The copy here goes once the store is
proven to have the recording.

A recording is `local`, then `uploading`, then `stored`. What was begun and not ended is done again, and the store has
one object afterwards. While the store is away, calls are recorded and entered as ever; recordings wait on this machine.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database, retry
from base.background import within
from base.outage import Outage
from base.settings import Settings
from facts.terms import CallId
from facts.times import DAY, HOUR, SECOND
from recorder import ledger
from recorder.entry import LedgerEntry
from recorder.tables import recording, stored
from recorder.vault import crypt
from recorder.vault.objects import WAITING
from recorder.vault.store import FilePrint, Store, print_of
from recorder.vault.trouble import EVERYWHERE, StoreError, StoreTrouble

log = structlog.get_logger(__name__)

# Timing
EVERY: Final = 1.0
"""Seconds between two looks at the ledger."""
LOOK_BACK: Final = 60 * SECOND
"""How far back a look reads the ledger: rows are entered some seconds after they were made."""
AUDIT_EVERY: Final = HOUR
"""How often all of the ledger is looked at: for recordings of before, or of a restored database."""
PROVEN_FOR: Final = HOUR
"""A proof older than this is repeated before the copy here goes."""

# Limits
PAGE: Final = 200
"""Recordings taken up at a time."""


async def run(engine: AsyncEngine, settings: Settings, stop: asyncio.Event) -> None:
    """Send recordings until `stop` is set; an upload that has begun is dropped then. No error ends the loop."""
    if not settings.recording_store:
        return
    uploads = Uploads(engine, settings)
    while not stop.is_set():
        await uploads.look(clock.now())
        await within(EVERY, stop)


@dataclass(slots=True)
class _Delayed:
    """A recording that could not be put: how often it was tried, and when it is tried again (microseconds)."""

    attempts: int
    again_at: int


class Uploads:
    """What the loop remembers: what makes trouble and until when, and what it has said."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._bucket: Store | None = None
        self._read_from = 0
        self._audit_at = 0
        self._drop_at = 0
        self._failures = 0
        self._again_at = 0
        self._trouble: dict[CallId, _Delayed] = {}
        self._said = ""
        self._database = Outage(log, "store.database_away")
        self._no_lock = False

    async def look(self, now: int) -> None:
        """Do what is due at `now` (microseconds). Logs an error once, instead of raising it."""
        try:
            await self._find(now)
            self._database.end()
            if now < self._again_at:
                return
            await self._send(now)
            await self._release(now)
            await self._drop_left(now)
        except StoreError as error:
            self._failures += 1
            self._again_at = now + int(retry.STORE.pause(self._failures) * SECOND)
            self._away(str(error))
        except database.AWAY as error:
            self._database.begin(**database.told(error))
        except Exception as error:
            log.error("store.failed", exc_info=error)
            self._again_at = now + 60 * SECOND
        else:
            self._failures = 0
            self._away("")

    # --- what there is

    async def _find(self, now: int) -> None:
        """Enter recordings that must go to the store: new ones, and those whose row was replaced."""
        whole = now >= self._audit_at
        since = 0 if whole else self._read_from
        wanted = (
            select(recording.c.call, recording.c.path, recording.c.finished_at, stored.c.call)
            .outerjoin_from(recording, stored, recording.c.call == stored.c.call)
            .where(recording.c.finished_at >= since, recording.c.path != "")
            .where(recording.c.call.startswith(f"{self._settings.node}-", autoescape=True))
            .where(
                or_(
                    stored.c.call.is_(None),
                    stored.c.finished_at != recording.c.finished_at,
                    (stored.c.path != recording.c.path) & (stored.c.state == "stored"),
                )
            )
        )
        async with self._engine.begin() as connection:
            rows = (await connection.execute(wanted)).all()
            new = [
                {
                    "call": row[0],
                    "path": row[1],
                    "state": "local",
                    "size": 0,
                    "sha256": "",
                    "finished_at": row[2],
                    "stored_at": 0,
                    "left_at": 0,
                }
                for row in rows
                if row[3] is None
            ]
            if new:
                await connection.execute(insert(stored), new)
            for call, _, finished_at, known in rows:
                if known is not None:
                    # What was put of the row before stays noted: it may be replaced in the store.
                    again = {"state": "local", "finished_at": finished_at, "left_at": 0}
                    await connection.execute(
                        update(stored).where(stored.c.call == call).values(again)
                    )
        self._read_from = now - LOOK_BACK
        if whole:
            self._audit_at = now + AUDIT_EVERY

    # --- what is done

    async def _send(self, now: int) -> None:
        """Put everything that waits, some at a time, the oldest first."""
        last = ""
        while True:
            # A call's id begins with the second of its arrival.
            question = (
                select(stored)
                .where(stored.c.state.in_(WAITING), stored.c.call > last)
                .order_by(stored.c.call)
                .limit(PAGE)
            )
            async with self._engine.connect() as connection:
                rows = (await connection.execute(question)).all()
                entries = await ledger.entries_of(connection, [row.call for row in rows])
            due = [row for row in rows if not self._waits(row.call, now)]
            for start in range(0, len(due), self._settings.store_parallel):
                work = [
                    self._send_one(row, entries.get(row.call), now)
                    for row in due[start : start + self._settings.store_parallel]
                ]
                for error in await asyncio.gather(*work, return_exceptions=True):
                    if isinstance(error, BaseException):
                        raise error
            if len(rows) < PAGE:
                return
            last = rows[-1].call

    def _waits(self, call: CallId, now: int) -> bool:
        return call in self._trouble and self._trouble[call].again_at > now

    async def _send_one(self, row: Any, entry: LedgerEntry | None, now: int) -> None:
        if entry is None or not entry.path:
            return  # its row went meanwhile, and whoever took it away takes the object
        try:
            known = await self._put(row, entry)
        except StoreError as error:
            if error.trouble in EVERYWHERE:
                raise
            self._failed(row.call, str(error), now)
            return
        if row.path != entry.path and row.sha256:
            await self._drop_other_form(row.path)
        values = {
            "path": entry.path,
            "state": "stored",
            "size": known.size,
            "sha256": known.sha256,
            "stored_at": clock.now(),
        }
        async with self._engine.begin() as connection:
            await connection.execute(
                update(stored)
                .where(stored.c.call == row.call, stored.c.finished_at == entry.finished_at)
                .values(values)
            )
        self._trouble.pop(row.call, None)
        log.info("recording.stored", call_id=row.call, bytes=known.size)

    async def _put(self, row: Any, entry: LedgerEntry) -> FilePrint:
        file = self._settings.recordings_dir / entry.path
        known = await asyncio.to_thread(_vouched, file, entry)
        noted = FilePrint(row.size, row.sha256) if row.sha256 else None
        begun: dict[str, str | int] = {"state": "uploading"}
        if noted is None:
            begun |= {"size": known.size, "sha256": known.sha256}
        async with self._engine.begin() as connection:
            await connection.execute(update(stored).where(stored.c.call == row.call).values(begun))
        before = noted if row.path == entry.path else None
        await self._store().put(file, entry.path, known, before)
        await self._lock(entry)
        return known

    async def _drop_other_form(self, key: str) -> None:
        """The same call lay under another name before: plain, and now encrypted."""
        try:
            await self._store().delete(key)
        except StoreError as error:
            if error.trouble is not StoreTrouble.LOCKED:
                raise
            log.warning("store.locked", key=key, why=str(error))

    async def _lock(self, entry: LedgerEntry) -> None:
        if self._settings.store_lock == "off":
            return
        until = entry.finished_at + self._settings.store_lock_days * DAY
        held = await self._store().lock(entry.path, self._settings.store_lock, until)
        if not held and not self._no_lock:
            log.warning(
                "store.no_lock",
                hint="the bucket has no object lock: HOTLINE_STORE_LOCK does nothing",
            )
        self._no_lock = not held

    async def _release(self, now: int) -> None:
        """Remove the copies here that have served: the store has proven that it has them, lately."""
        before = now - self._settings.store_keep_days * DAY
        question = (
            select(stored)
            .where(stored.c.state == "stored", stored.c.left_at == 0, stored.c.stored_at <= before)
            .order_by(stored.c.stored_at)
            .limit(PAGE)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(question)).all()
        for row in rows:
            if self._waits(row.call, now):
                continue
            if now - row.stored_at > PROVEN_FOR and not await self._is_still_there(row, now):
                continue
            await self._leave(row, now)

    async def _leave(self, row: Any, now: int) -> None:
        """Remove one copy here, if it is still what the ledger's row says: the archive may be replacing both."""
        async with self._engine.connect() as connection:
            entry = (await ledger.entries_of(connection, [row.call])).get(row.call)
        if entry is None or (entry.path, entry.finished_at) != (row.path, row.finished_at):
            return
        file = self._settings.recordings_dir / entry.path
        if not await asyncio.to_thread(_remove, file, entry):
            self._failed(row.call, f"{file} is not what the store has, so it stays here", now)
            return
        async with self._engine.begin() as connection:
            await connection.execute(
                update(stored)
                .where(stored.c.call == row.call, stored.c.finished_at == row.finished_at)
                .values({"left_at": now})
            )

    async def _is_still_there(self, row: Any, now: int) -> bool:
        """Read an object again. If the store lost or changed it, it is put again from the copy here."""
        try:
            await self._store().prove(row.path, FilePrint(row.size, row.sha256))
        except StoreError as error:
            if error.trouble in EVERYWHERE:
                raise
            self._failed(row.call, str(error), now)
            async with self._engine.begin() as connection:
                await connection.execute(
                    update(stored).where(stored.c.call == row.call).values({"state": "local"})
                )
            return False
        return True

    async def _drop_left(self, now: int) -> None:
        if now < self._drop_at:
            return
        if count := await self._store().drop_left(now):
            log.info("store.dropped", uploads=count)
        self._drop_at = now + DAY

    def _store(self) -> Store:
        if self._bucket is None:
            self._bucket = Store(self._settings)
        return self._bucket

    # --- what is said

    def _failed(self, call: CallId, why: str, now: int) -> None:
        attempts = self._trouble[call].attempts + 1 if call in self._trouble else 1
        pause = retry.STORE.pause(attempts)
        self._trouble[call] = _Delayed(attempts, now + int(pause * SECOND))
        log.error("recording.not_stored", call_id=call, why=why, attempts=attempts, again_in=pause)

    def _away(self, why: str) -> None:
        if why != self._said:
            if why:
                log.error("store.away", on=True, why=why)
            else:
                log.info("store.away", on=False)
            self._said = why


def _vouched(file: Path, entry: LedgerEntry) -> FilePrint:
    """Read a file and see that it is what the ledger says."""
    try:
        known = print_of(file)
        if entry.cipher_sha256:
            with file.open("rb") as opened:
                same = crypt.cipher_sha256(opened) == entry.cipher_sha256
        else:
            same = known == FilePrint(entry.size, entry.sha256)
    except OSError as error:
        raise StoreError(
            StoreTrouble.FILE, f"{file} cannot be read: {error.strerror or error}"
        ) from None
    if not same:
        raise StoreError(StoreTrouble.FILE, f"{file} is not what was entered: its SHA-256 differs")
    return known


def _remove(file: Path, entry: LedgerEntry) -> bool:
    """Remove a copy here. False: it is another file by now, and stays.

    It gets another name first, so that a file which is put in its place meanwhile cannot be meant.
    """
    leaving = file.with_name(f".{file.name}.leaving")
    with contextlib.suppress(FileNotFoundError):
        file.rename(leaving)
    if not leaving.exists():
        return True
    try:
        _vouched(leaving, entry)
    except StoreError:
        if not file.exists():
            leaving.rename(file)
        return False
    leaving.unlink()
    return True
