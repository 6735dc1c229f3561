"""The loop of `hotline recorder`: from Asterisk's spool into the recordings folder and the ledger.

Every second it looks for complete raw files, finishes them in worker processes, enters them, and only then removes
them. A call that ended without a file is entered as missing. A file that cannot be finished stays where it is, raises
an alarm and is tried again. If the disk or the database is why, one file tells for all: that costs none an attempt.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database, retry
from base.background import within
from base.outage import Outage
from base.retry import Schedule
from base.settings import Settings
from diary import tables as diary_tables
from facts import CallbackEnded, CallbackRaced, CallbackYielded, CallEnded, Fact
from facts.ids import is_attempt
from facts.terms import CallId
from facts.times import SECOND
from recorder import backlog, finishing, ledger, policy, press, spool, tape
from recorder import tables as recorder_tables
from recorder.forms import RecordingForm
from recorder.ledger import Draft
from recorder.spool import RawFile
from recorder.tape import Fault, Job, Tape, TapeError
from recorder.vault import keys, reading
from recorder.vault.crypt import VaultError
from recorder.vault.keys import KeyAwayError, KeyRing

log = structlog.get_logger(__name__)

# Timing
EVERY: Final = 1.0
"""Seconds between two looks into the spool."""
LOOK_BACK: Final = 30 * SECOND
"""How far back each sweep reads the diary: facts may be entered some seconds late."""
SWEEP_FOR: Final = 5.0
"""Seconds after which a sweep begins no further work: in a backlog, too, disk, key and diary are looked at often."""
AUDIT_EVERY: Final = 600 * SECOND
"""How often a sweep reads as far back as `AUDIT`: a fact may come hours late, from a journal or from CEL."""
AUDIT: Final = 7 * 86_400 * SECOND

# Limits
BATCH_FILES: Final = 64
BATCH_BYTES: Final = 32 << 20
"""Small recordings share one job and one transaction, up to this much."""
_ENDS: Final = tuple(
    kind.kind for kind in (CallEnded, CallbackEnded, CallbackYielded, CallbackRaced)
)
GIVE_UP_AFTER: Final = 3
"""Attempts after which the ledger says that a recording cannot be finished. Further attempts follow anyway."""


async def run(
    engine: AsyncEngine, settings: Settings, send: Callable[[Fact], None], stop: asyncio.Event
) -> None:
    """Finish recordings until `stop` is set. A batch that has begun is completed first.

    `send` gets each fact after it was written into the diary, for the screens. One archive at a time works on a
    spool: a second one waits. No error ends the loop.
    """
    settings.spool_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with _only_one(settings.spool_dir, stop) as mine:
        if not mine:
            return
        archive = Archive(engine, settings, send)
        log.info("recorder.started", spool=str(settings.spool_dir), workers=archive.workers)
        try:
            while not stop.is_set():
                if await archive.sweep(clock.now(), stop):
                    continue
                await within(EVERY, stop)
        finally:
            await archive.close()
            log.info("recorder.stopped")


@dataclass(slots=True)
class _Trouble:
    """A file that could not be finished: how often it was tried, and when it is tried again."""

    attempts: int
    again_at: int


class Archive:
    """The state of the loop: which calls have ended, which files make trouble, which alarms are on.

    `ticks`: seconds of a clock that nobody sets, for how long the work takes.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        settings: Settings,
        send: Callable[[Fact], None],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workers = workers()
        self._engine = engine
        self._settings = settings
        self._send = send
        self._ticks = ticks
        self._pool: ProcessPoolExecutor | None = None
        self._ended: dict[CallId, int] = {}
        self._read_from = 0
        self._audit_at = 0
        self._trouble: dict[CallId, _Trouble] = {}
        self._outages: dict[str, Outage] = {}
        self._refused: set[CallId] = set()
        self._hung: set[CallId] = set()
        self._disk_failures = 0
        self._disk_again_at = 0
        self._waiting = 0
        self._odd: set[str] = set()
        self._progress = backlog.Progress()
        self._ahead: dict[CallId, tuple[RawFile, int]] = {}

    async def sweep(self, now: int, stop: asyncio.Event | None = None) -> bool:
        """Do what is due at `now` (microseconds), for `SWEEP_FOR`. Says whether more is due. Logs errors."""
        try:
            self._watch_disk()
            raws = self._look(now)
        except OSError as error:
            self._alarm("recording.spool_unreadable", on=True, error=str(error))
            return False
        waits = backlog.waiting(raws.values(), now)
        self._waiting = waits.files
        if line := self._progress.tell(waits, now):
            log.info("recording.backlog", **line)
        self._alarm("recording.spool_unreadable", on=False)
        more = False
        try:
            await self._read_diary(now, raws)
            ring, away = await self._ring()
            # Without the key nothing can be encrypted: the raw files wait, and are finished once it is back.
            batches = [] if away or self._no_ffmpeg() else self._batches(raws, now)
            more = await self._work_off(batches, now, ring, stop)
            await self._enter_missing(raws, now)
        except database.AWAY as error:
            told = database.told(error)
            self._alarm("recording.database_away", on=True, files=self._waiting, **told)
        except Exception as error:  # noqa: BLE001 the loop must outlive everything
            self._alarm("recording.failed", on=True, exc_info=error)
        else:
            self._alarm("recording.database_away", on=False)
            self._alarm("recording.failed", on=False)
        return more

    async def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown)
            self._pool = None

    # --- what there is

    def _look(self, now: int) -> dict[CallId, RawFile]:
        found, odd = spool.look(self._settings.spool_dir)
        before, self._ahead = self._ahead, {}
        for call, raw in found.items():
            if raw.changed > now:
                # The clock was put back. It counts as changed when it was first seen as it is.
                known, seen = before.get(call, (raw, now))
                self._ahead[call] = (raw, min(now, seen) if known == raw else now)
        for name in odd:
            if name not in self._odd:
                self._odd.add(name)
                log.warning("recording.odd_file", file=name[:100])
        return found

    def _changed(self, raw: RawFile) -> int:
        return self._ahead[raw.call][1] if raw.call in self._ahead else raw.changed

    async def _read_diary(self, now: int, raws: dict[CallId, RawFile]) -> None:
        """Find the ended calls without a row: recent ones, those with raw files, and from time to time all."""
        quiet = [
            raw.call
            for raw in raws.values()
            if raw.call not in self._ended and now - self._changed(raw) >= policy.SETTLED
        ]
        audit = now >= self._audit_at
        columns = diary_tables.diary.c
        ended = select(columns.call, columns.at).where(columns.kind.in_(_ENDS))
        lately = (
            ended.outerjoin_from(
                diary_tables.diary,
                recorder_tables.recording,
                recorder_tables.recording.c.call == columns.call,
            )
            .where(recorder_tables.recording.c.call.is_(None))
            .where(columns.at >= (now - AUDIT if audit else self._read_from))
            .where(columns.call.startswith(f"{self._settings.node}-", autoescape=True))
        )
        async with self._engine.connect() as connection:
            rows = list(await connection.execute(lately))
            for start in range(0, len(quiet), ledger.PAGE):
                page = ended.where(columns.call.in_(quiet[start : start + ledger.PAGE]))
                rows += await connection.execute(page)
        new = {call: at for call, at in rows if call not in self._ended}
        goes_on = await ledger.going_on(self._engine, list(new))
        self._ended.update((call, at) for call, at in new.items() if call not in goes_on)
        self._read_from = now - LOOK_BACK
        if audit:
            self._audit_at = now + AUDIT_EVERY

    def _batches(self, raws: dict[CallId, RawFile], now: int) -> list[list[RawFile]]:
        """What to finish now: all that is due; one file, if the disk or the database refused the ones before."""
        due = [
            raw
            for raw in raws.values()
            if policy.is_due(now=now, changed=self._changed(raw), ended=self._ended.get(raw.call))
        ]
        self._refused &= raws.keys()
        self._hung &= raws.keys()
        if not self._hung:
            spool.note_hung(self._settings.spool_dir, on=False)
            self._alarm("recording.ffmpeg_hangs", on=False)
        if self._refused:
            return self._probe(due, now)
        self._alarm("recording.held_up", on=False)
        self._disk_failures = 0
        batches = list(self._together(due, now))
        return batches[:1] if self._is_on("recording.database_away") else batches

    def _probe(self, due: list[RawFile], now: int) -> list[list[RawFile]]:
        """One file that tells whether the disk takes any: the smallest. Once it does, those that it refused.

        And all without sound: they need no room, and tell nothing of the disk.
        """
        silent = list(self._together([raw for raw in due if raw.size < policy.FRAME], now))
        if self._disk_failures and now < self._disk_again_at <= now + _longest(retry.DISK):
            return silent
        some = [
            raw
            for raw in due
            if raw.size >= policy.FRAME
            and (self._disk_failures or raw.call in self._refused)
            and not self._is_delayed(raw, now)
        ]
        return [*silent, *([[min(some, key=lambda raw: raw.size)]] if some else [])]

    def _together(self, due: list[RawFile], now: int) -> Iterator[list[RawFile]]:
        """Files in batches, oldest first. One that failed before gets a job of its own."""
        batch: list[RawFile] = []
        for raw in sorted(due, key=lambda raw: raw.changed):
            if raw.call in self._trouble:
                if not self._is_delayed(raw, now):
                    yield [raw]
                continue
            size = sum(one.size for one in batch)
            if batch and (size + raw.size > BATCH_BYTES or len(batch) == BATCH_FILES):
                yield batch
                batch = []
            batch.append(raw)
        if batch:
            yield batch

    def _is_delayed(self, raw: RawFile, now: int) -> bool:
        """Whether this file failed by itself, and its next attempt is not due."""
        trouble = self._trouble.get(raw.call)
        return trouble is not None and now < trouble.again_at <= now + _longest(retry.RECORDING)

    # --- what is done

    async def _ring(self) -> tuple[KeyRing | None, bool]:
        """The master keys; and whether they are away although they are needed."""
        if not self._settings.encrypt_recordings:
            self._alarm("recording.key_away", on=False)
            return None, False
        try:
            ring = await keys.ready(self._engine, self._settings)
        except (KeyAwayError, OSError) as error:
            self._alarm("recording.key_away", on=True, why=str(error))
            return None, True
        self._alarm("recording.key_away", on=False)
        return ring, False

    def _no_ffmpeg(self) -> bool:
        """Whether ffmpeg is needed and not there: then the raw files wait for it."""
        gone = self._settings.recording_format != RecordingForm.WAV and not press.is_there()
        self._alarm("recording.no_ffmpeg", on=gone, why=press.MISSING)
        return gone

    async def _work_off(
        self,
        batches: list[list[RawFile]],
        now: int,
        ring: KeyRing | None,
        stop: asyncio.Event | None,
    ) -> bool:
        """Finish batches, some at once, until time is up or `stop` is set. Says whether more can be done at once."""
        began, probing = self._ticks(), bool(self._refused)
        for start in range(0, len(batches), self.workers):
            if (stop is not None and stop.is_set()) or (
                start and self._ticks() - began >= SWEEP_FOR
            ):
                return True
            at_once = batches[start : start + self.workers]
            work = (self._finish(batch, now, ring) for batch in at_once)
            for error in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(error, BaseException):
                    raise error
            if self._disk_failures:
                return False
        return probing and bool(batches)

    async def _finish(self, batch: list[RawFile], now: int, ring: KeyRing | None) -> None:
        calls = [raw.call for raw in batch]
        entered = await ledger.look_up(self._engine, calls)
        facts = await ledger.facts_of(self._engine, calls)
        work = [
            finishing.job(
                self._settings,
                ring,
                raw.path,
                raw.call,
                entered.get(raw.call),
                facts.get(raw.call, []),
            )
            for raw in batch
        ]
        began = self._ticks()
        answers = await self._in_pool(work)
        # A row says when it was entered, to the second: the uploads look for new ones by that.
        now += int(self._ticks() - began) * SECOND
        facts = await ledger.facts_of(self._engine, calls)
        drafts: list[Draft] = []
        done: list[RawFile] = []
        for raw, answer in zip(batch, answers, strict=True):
            known = facts.get(raw.call, [])
            if isinstance(answer, Tape):
                drafts.append(finishing.draft(raw.call, known, answer, at=now))
                done.append(raw)
            elif not answer.disk and self._failed(raw, answer, now):
                why = f"{answer.why}; the raw file is kept and tried again"
                drafts.append(finishing.draft(raw.call, known, None, at=now, fault=why))
        self._note_disk(batch, answers, now)
        self._note_ffmpeg(batch, answers)
        await self._enter(drafts)
        calls = [draft.entry.call for draft in drafts]
        await finishing.remove_other_forms(self._engine, self._settings, calls)
        self._progress.finished(len(done), sum(draft.entry.duration for draft in drafts))
        for raw in done:
            _remove(raw)
            self._trouble.pop(raw.call, None)

    def _note_disk(self, batch: list[RawFile], answers: list[Tape | Fault], now: int) -> None:
        """Remember which files the disk refused: until each of them is finished, or gone, one at a time is tried."""
        why = {call: fault.why for call, fault in _faults(batch, answers) if fault.disk}
        self._refused -= {raw.call for raw in batch}
        self._refused |= why.keys()
        if why:
            self._disk_failures += 1
            pause = retry.DISK.pause(self._disk_failures)
            self._disk_again_at = now + int(pause * SECOND)
            first = next(iter(why.values()))
            self._alarm("recording.held_up", on=True, why=first, files=self._waiting)
        elif any(isinstance(answer, Tape) and answer.size for answer in answers):
            self._disk_failures = 0
            if not self._refused:
                self._alarm("recording.held_up", on=False)

    def _note_ffmpeg(self, batch: list[RawFile], answers: list[Tape | Fault]) -> None:
        """The same of files over which ffmpeg hung; each of them is tried again at its own time."""
        why = {call: fault.why for call, fault in _faults(batch, answers) if fault.hangs}
        self._hung -= {raw.call for raw in batch}
        self._hung |= why.keys()
        if why:
            first = next(iter(why.values()))
            spool.note_hung(self._settings.spool_dir, on=True)
            self._alarm("recording.ffmpeg_hangs", on=True, why=first, files=len(self._hung))

    async def _in_pool(self, work: list[Job]) -> list[Tape | Fault]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers, get_context("spawn"), tape.prepare_worker
            )
        pool = self._pool
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, tape.finish_batch, work)
        except BrokenProcessPool:
            # Out of memory, or killed. A new pool next time, and each of these files in a job of its own.
            if self._pool is pool:
                self._pool = None
            return [Fault("the worker process died over it")] * len(work)

    def _failed(self, raw: RawFile, fault: Fault, now: int) -> bool:
        """Plan the next attempt. True when the ledger must now say that the recording cannot be finished."""
        attempts = self._trouble[raw.call].attempts + 1 if raw.call in self._trouble else 1
        pause = int(retry.RECORDING.pause(attempts))
        self._trouble[raw.call] = _Trouble(attempts, now + pause * SECOND)
        log.error(
            "recording.unfinished",
            call_id=raw.call,
            why=fault.why,
            attempts=attempts,
            again_in=pause,
        )
        return attempts == GIVE_UP_AFTER

    async def _enter_missing(self, raws: dict[CallId, RawFile], now: int) -> None:
        gone = [
            call
            for call, ended in self._ended.items()
            if call not in raws and now - ended >= policy.GRACE
        ][: ledger.PAGE]
        entered = await ledger.look_up(self._engine, gone)
        calls = [call for call in gone if call not in entered]
        facts = await ledger.facts_of(self._engine, calls)
        # The agent did not pick up for a callback: nobody was dialled, so nothing is missing.
        calls = [
            call
            for call in calls
            if not is_attempt(call) or policy.times(facts.get(call, [])).arrived is not None
        ]
        drafts = []
        for call in calls:
            made = None
            # A power cut may take back the last rows of the database, but not a file that was synced.
            if file := reading.find(self._settings, call):
                try:
                    made = await asyncio.to_thread(reading.inspect, self._settings, call, file)
                except KeyAwayError:
                    gone.remove(call)  # it is there, and looked at again once its key is
                    continue
                except (TapeError, VaultError, OSError):
                    pass
            drafts.append(finishing.draft(call, facts.get(call, []), made, at=now))
        await self._enter(drafts)
        for call in gone:
            self._ended.pop(call, None)

    async def _enter(self, drafts: list[Draft]) -> None:
        if not drafts:
            return
        news = await ledger.enter(self._engine, drafts)
        for draft in drafts:
            entry = draft.entry
            fields = {"call_id": entry.call, "state": entry.state.value, "why": entry.note}
            if draft.alarm:
                log.error("recording.incomplete", **fields)
            else:
                log.info("recording.entered", **fields, seconds=entry.duration / SECOND)
            self._ended.pop(entry.call, None)
        for fact in news:
            self._send(fact)

    # --- alarms

    def _watch_disk(self) -> None:
        folders = (self._settings.spool_dir, self._settings.recordings_dir)
        free = min(shutil.disk_usage(folder).free for folder in folders) // 1_000_000
        least = self._settings.min_free_mb
        # The alarm ends only a tenth above the limit, so that it does not flap.
        low = free < (least * 11 // 10 if self._is_on("recording.disk_low") else least)
        self._alarm("recording.disk_low", on=low, free_mb=free, min_free_mb=least)

    def _alarm(self, name: str, *, on: bool, **fields: object) -> None:
        """Log when an alarm begins and when it ends, not in between."""
        outage = self._outages.setdefault(name, Outage(log, name, ticks=self._ticks))
        (outage.begin if on else outage.end)(**fields)

    def _is_on(self, name: str) -> bool:
        return name in self._outages and self._outages[name].on


def _faults(
    batch: Sequence[RawFile], answers: Sequence[Tape | Fault]
) -> Iterator[tuple[CallId, Fault]]:
    for raw, answer in zip(batch, answers, strict=True):
        if isinstance(answer, Fault):
            yield raw.call, answer


def _longest(schedule: Schedule) -> int:
    """Microseconds: a next attempt that is further away was planned before the clock was put back."""
    return int(schedule.longest * SECOND)


def workers() -> int:
    """How many processes may work on recordings: at most half of the processors, because calls come first."""
    return max(1, min(4, (os.cpu_count() or 1) // 2))


def _remove(raw: RawFile) -> None:
    """Remove a raw file that is entered. If Asterisk has written more since, keep it: it is finished again."""
    with contextlib.suppress(FileNotFoundError):
        status = raw.path.stat()
        if (status.st_size, status.st_mtime_ns // 1000) == (raw.size, raw.changed):
            raw.path.unlink()


@contextlib.asynccontextmanager
async def _only_one(spool: Path, stop: asyncio.Event) -> AsyncIterator[bool]:
    """Hold the spool's lock; False when `stop` was set before it was free."""
    with (spool / ".recorder.lock").open("ab") as lock:
        told = False
        while not stop.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    told = True
                    log.warning("recorder.waits", why="another recorder works on this spool")
                await within(EVERY, stop)
            else:
                yield True
                return
        yield False
