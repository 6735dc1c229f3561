"""`hotline recordings audit`: ledger, files, diary and CEL laid beside each other, call by call, and M23 from it (R45).

A day is read page by page: memory grows only by the ids of its calls. A few worker processes read the files meanwhile.
`recorder.audit` judges each call. Files and rows without a call, and calls without facts, are looked for afterwards.
"""

import asyncio
import os
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules import book as rulebook
from base import clock
from base.settings import Settings
from diary import reader
from diary.tables import diary
from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackPlaced,
    CallbackRaced,
    CallerAsked,
    CallerFound,
    ControllerStarted,
    ControllerStopped,
    Fact,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    RecordingFinished,
    RecordingMissing,
    RecordingPaused,
    RecordingResumed,
)
from facts.ids import is_call_id
from facts.terms import CallId, Outcome
from facts.times import DAY, HOUR, MINUTE, SECOND, local
from metrics.fold import KINDS, CallRecord, item_of
from metrics.verify import SETTLED, first_talk
from metrics.window import Metric, recorded_whole
from recorder import ledger, policy, tape
from recorder.archive import workers
from recorder.audit import (
    AuditFinding,
    AuditKind,
    Examined,
    FileState,
    KeptSound,
    Unrecorded,
    WhyUnrecorded,
    examine,
)
from recorder.entry import LedgerEntry
from recorder.levels import HeardFile, listen_to
from recorder.tables import recording
from recorder.vault import crypt, reading
from recorder.vault.trouble import StoreError
from telephony import cel, cel_file

T = TypeVar("T")

PAGE: Final = 500
"""Calls, or files, that are in memory at once; two pages while the next one is read."""
_JOB: Final = 50
"""Files that a worker process reads before it answers."""
_ALONE: Final = 200
"""Calls up to which a thread reads the files: worker processes need half a second to start."""
_PIECE: Final = 30 * MINUTE
"""CEL is read in such pieces, each with as much after it: a call is answered in that time."""
_FRESH: Final = 60.0
"""Seconds: a file changed so lately may not be entered yet."""

_KINDS: Final = KINDS | {
    CallbackRaced.kind,
    CallerAsked.kind,
    CallerFound.kind,
    RecordingPaused.kind,
    RecordingResumed.kind,
}
_ARRIVALS: Final = frozenset({CallArrived.kind, CallbackPlaced.kind})
_ANSWERS: Final = frozenset({OfferAnswered.kind, CallbackAnswered.kind})
_RECORDERS: Final = (RecordingFinished.kind, RecordingMissing.kind)


class AuditError(Exception):
    """The audit cannot go on. The message says why."""


@dataclass(slots=True)
class Completeness:
    """What an audit found. `calls`: calls and attempts that were laid beside their recordings; `files`: those read.

    `seconds` of what is not recorded, by its reason. `m23`: from what can be relied on; `reported`: M23 as reports give
    it. `unchecked`: `no_cel` (there is no such file), or `old_cel` (it begins later than the audit).
    """

    calls: int = 0
    files: int = 0
    duration: int = 0
    findings: list[AuditFinding] = field(default_factory=list)
    unrecorded: list[Unrecorded] = field(default_factory=list)
    m23: Metric = field(default_factory=lambda: Metric(0, 0))
    reported: Metric = field(default_factory=lambda: Metric(0, 0))
    unchecked: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """0 when every answered second is on record or explained, else 1."""
        return 1 if self.findings else 0

    @property
    def reasons(self) -> Counter[WhyUnrecorded]:
        """How often each reason explains what is not recorded."""
        return Counter(one.reason for one in self.unrecorded)


async def audit(
    engine: AsyncEngine,
    settings: Settings,
    day: tuple[int, int] | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Completeness:
    """Audit the calls that arrived in `day`, as (since, until] in microseconds; without it, all that there are.

    `progress` hears how many calls of how many are done. Raises `OSError` when the folder cannot be read, `AuditError`
    when a worker process dies or the store does not answer, and what SQLAlchemy raises.
    """
    now = clock.now()
    first, total = await _arrivals(engine, *(day or (0, now)))
    since, until = day or (min(first, now) - 1, now)
    found = Completeness()
    run = _Audit(engine, settings, found, now, await _away(engine, since, until))
    pool = (
        ProcessPoolExecutor(workers(), get_context("spawn"), tape.prepare_worker)
        if total > _ALONE
        else None
    )
    progress(0, total)
    try:
        with pool or nullcontext():
            async for done in run.calls(since, until, pool):
                progress(min(done, total), total)
    except BrokenProcessPool as error:
        raise AuditError("a process that reads the recordings died: out of memory?") from error
    except StoreError as error:
        raise AuditError(str(error)) from error
    await run.rows(day)
    await run.files(day)
    await run.objects(day)
    await run.cel(since, until)
    found.findings.sort(key=lambda one: (one.at, one.call, one.file))
    return found


async def _arrivals(engine: AsyncEngine, since: int, until: int) -> tuple[int, int]:
    """When the first call of this time arrived, or its callback was placed, and how many did."""
    question = select(func.min(diary.c.at), func.count()).where(
        diary.c.kind.in_(_ARRIVALS), diary.c.at > since, diary.c.at <= until
    )
    async with engine.connect() as connection:
        first, count = (await connection.execute(question)).one()
    return first or until, count


class _Audit:
    """One audit, and what it has found so far."""

    def __init__(
        self,
        engine: AsyncEngine,
        settings: Settings,
        found: Completeness,
        now: int,
        away: Sequence[tuple[int, int]],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._found = found
        self._now = now
        self._away = away
        self._numbers: set[str] = set()
        self._human = self._recorded = self._reported = 0

    async def calls(self, since: int, until: int, pool: Executor | None) -> AsyncIterator[int]:
        """Lay every call of (since, until] beside its recording. Gives how many are done, now and then."""
        ahead: deque[_Page] = deque()
        async for stories in self._pages(since, until):
            ahead.append(await self._begin(stories, pool))
            if len(ahead) == 2:
                await self._end(ahead.popleft())
                yield self._found.calls
        for page in ahead:
            await self._end(page)
            yield self._found.calls
        self._found.m23 = Metric(self._recorded, self._human)
        self._found.reported = Metric(self._reported, self._human)

    async def _pages(self, since: int, until: int) -> AsyncIterator[list[Sequence[Fact]]]:
        page: list[Sequence[Fact]] = []
        while since < until:
            # A day at a time: the ids of a day's attempts are read at once.
            end = min(until, since + DAY)
            async for facts in reader.read_calls(
                self._engine, since, end, kinds=_KINDS, attempts=True
            ):
                page.append(facts)
                if len(page) == PAGE:
                    yield page
                    page = []
            since = end
        if page:
            yield page

    async def _begin(self, stories: Sequence[Sequence[Fact]], pool: Executor | None) -> "_Page":
        calls = [_call_of(facts) for facts in stories]
        rows = await ledger.look_up(self._engine, calls)
        wanted = [row for row in rows.values() if _has_file(row)]
        listen = partial(listen_to, self._settings)
        loop = asyncio.get_running_loop()
        jobs = [
            loop.run_in_executor(pool, listen, wanted[start : start + _JOB])
            for start in range(0, len(wanted), _JOB)
        ]
        return _Page(calls, stories, rows, jobs)

    async def _end(self, page: "_Page") -> None:
        read = [one for job in page.jobs for one in await job]
        with_file = [row.call for row in page.rows.values() if _has_file(row)]
        heard = dict(zip(with_file, read, strict=True))
        self._found.files += len(read)
        for call, facts in zip(page.calls, page.stories, strict=True):
            row = page.rows.get(call)
            kept = self._without_row(call) if row is None else _kept(row, heard.get(call))
            examined = examine(call, facts, kept, now=self._now, away=self._away)
            self._found.duration += 0 if kept.deleted else examined.recorded or 0
            self._add(facts, examined)

    def _add(self, facts: Sequence[Fact], examined: Examined) -> None:
        self._found.calls += 1
        self._found.findings += examined.findings
        self._found.unrecorded += examined.unrecorded
        record = item_of(facts)
        if not isinstance(record, CallRecord):
            return
        self._numbers.add(record.number)
        if record.outcome is Outcome.HUMAN and not record.origin:
            self._human += 1
            self._reported += recorded_whole(record)
            self._recorded += recorded_whole(replace(record, recorded=examined.recorded))

    def _without_row(self, call: CallId) -> KeptSound:
        raw = (self._settings.spool_dir / f"{call}.raw").exists()
        file = reading.find(self._settings, call)
        path = str(file.relative_to(self._settings.recordings_dir)) if file else policy.place(call)
        return KeptSound(raw=raw, file=FileState.WHOLE if file else None, path=path)

    # --- what no call leads to

    async def rows(self, day: tuple[int, int] | None) -> None:
        """Find rows whose call the diary does not know: of those entered on the day, or of all."""
        column = recording.c
        question = select(column.call, column.path, column.finished_at).order_by(column.call)
        if day is not None:
            question = question.where(column.finished_at > day[0], column.finished_at <= day[1])
        last = ""
        while True:
            async with self._engine.connect() as connection:
                rows = (
                    await connection.execute(question.where(column.call > last).limit(PAGE))
                ).all()
            kinds = await self._kinds([row.call for row in rows])
            self._found.findings += [
                AuditFinding(AuditKind.ORPHAN_ROW, row.call, at=row.finished_at, file=row.path)
                for row in rows
                if not kinds.get(row.call, set()) - set(_RECORDERS)
            ]
            if len(rows) < PAGE:
                return
            last = rows[-1].call

    async def files(self, day: tuple[int, int] | None) -> None:
        """Find files that no row names: in the folder of the day, or in all."""
        told = {one.file for one in self._found.findings if one.kind is AuditKind.ORPHAN_FILE}
        root = self._settings.recordings_dir
        folders = [root] if day is None else _folders(root, *day)
        pages = _files(folders, self._settings.spool_dir, self._now)
        while page := await asyncio.to_thread(_next_page, pages):
            names = [str(path.relative_to(root)) for path in page]
            await self._strangers([name for name in names if name not in told])

    async def objects(self, day: tuple[int, int] | None) -> None:
        """Find objects in the store that no row names: below the folder of the day, or all."""
        if not self._settings.recording_store:
            return
        # A client of S3, which centres without a store do without.
        from recorder.vault import store

        try:
            bucket = store.of(self._settings)
            for below in [""] if day is None else _days(*day):
                keys = (one.key for one in bucket.listed(below))
                while page := await asyncio.to_thread(_page_of, keys):
                    shown = [key for key in page if not key.rpartition("/")[2].startswith(".")]
                    await self._strangers(shown, f"{self._settings.recording_store}/")
        except StoreError as error:
            raise AuditError(str(error)) from error

    async def _strangers(self, names: Sequence[str], place: str = "") -> None:
        """Find files, or objects of the store `place`, that no row names, or whose recording was deleted."""
        calls = [Path(name.removesuffix(crypt.SUFFIX)).stem for name in names]
        rows = await ledger.look_up(self._engine, [one for one in calls if is_call_id(one)])
        for call, name in zip(calls, names, strict=True):
            row = rows.get(call)
            if row is None or row.path != name or row.certificate:
                known = call if is_call_id(call) else ""
                self._found.findings.append(
                    AuditFinding(AuditKind.ORPHAN_FILE, known, file=f"{place}{name}")
                )

    async def cel(self, since: int, until: int) -> None:
        """Find calls that Asterisk saw answered by an agent, and of which the diary has no answer."""
        file = self._settings.cel_file
        oldest = await _of_cel(cel_file.begins, file)
        if not oldest:
            self._found.unchecked.append("no_cel")
            return
        if oldest > since + HOUR:
            self._found.unchecked.append("old_cel")
        book = await rulebook.read(self._engine)
        numbers = {*self._settings.numbers, *book.numbers, *self._numbers} - {""}
        begin = max(since, oldest - 1)
        while begin < until:
            end = min(until, begin + _PIECE)
            reading = await _of_cel(cel_file.read_since, file, begin, end + _PIECE)
            await self._compare(
                {
                    call: at
                    for call, seen in cel.seen(reading.events, numbers).items()
                    if begin < seen.arrived <= end and 0 < seen.ended < self._now - SETTLED
                    if (at := first_talk(seen.answers)[0])
                }
            )
            begin = end

    async def _compare(self, answered: dict[CallId, int]) -> None:
        calls = sorted(answered)
        for start in range(0, len(calls), PAGE):
            page = calls[start : start + PAGE]
            kinds = await self._kinds(page)
            self._found.findings += [
                AuditFinding(AuditKind.UNEXPLAINED, call, at=answered[call], why="cel")
                for call in page
                if not kinds.get(call, set()) & _ANSWERS
            ]

    async def _kinds(self, calls: Collection[CallId]) -> dict[CallId, set[str]]:
        """Which kinds of facts the diary has about these calls, at most a page of them."""
        found: dict[CallId, set[str]] = {}
        if calls:
            question = select(diary.c.call, diary.c.kind).where(diary.c.call.in_(calls))
            async with self._engine.connect() as connection:
                for call, kind in await connection.execute(question):
                    found.setdefault(call, set()).add(kind)
        return found


@dataclass(frozen=True, slots=True)
class _Page:
    """Calls whose files are being read, and what the diary and the ledger say of them."""

    calls: Sequence[CallId]
    stories: Sequence[Sequence[Fact]]
    rows: dict[CallId, LedgerEntry]
    jobs: "Sequence[asyncio.Future[list[HeardFile]]]"


def _call_of(facts: Sequence[Fact]) -> CallId:
    return next(fact.call for fact in facts if isinstance(fact, CallArrived | CallbackPlaced))


def _has_file(row: LedgerEntry) -> bool:
    return bool(row.path) and not row.certificate


def _kept(row: LedgerEntry, heard: HeardFile | None) -> KeptSound:
    deleted = bool(row.certificate)
    kept = KeptSound(row.state, row.note, row.duration, path=row.path, deleted=deleted)
    if heard is None:
        return kept
    return replace(kept, file=heard.state, levels=heard.levels, why=heard.why)


async def _of_cel(read: Callable[..., T], file: Path, *times: int) -> T:
    """Read CEL in a thread."""
    try:
        return await asyncio.to_thread(read, file, *times)
    except OSError as error:
        raise AuditError(f"{file}: {error.strerror or error}") from error


# --- files


def _folders(root: Path, since: int, until: int) -> list[Path]:
    return [root / day for day in _days(since, until)]


def _days(since: int, until: int) -> list[str]:
    """The folders of these days in China (`policy.place`)."""
    return sorted({f"{local(at):%Y/%m/%d}" for at in (*range(since + 1, until, DAY), until)})


def _files(folders: Sequence[Path], spool: Path, now: int) -> Iterator[Path]:
    """Every finished file, without those of the spool, and those that are being entered now."""
    for top in folders:
        for folder, inner, names in os.walk(top):
            inner[:] = [name for name in inner if Path(folder, name) != spool]
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    fresh = path.stat().st_mtime > now / SECOND - _FRESH
                    if not name.startswith(".") and not fresh:
                        yield path


def _next_page(files: Iterator[Path]) -> list[Path]:
    return list(islice(files, PAGE))


def _page_of(keys: Iterator[str]) -> list[str]:
    return list(islice(keys, PAGE))


# --- when nobody was there to tell


async def _away(engine: AsyncEngine, since: int, until: int) -> list[tuple[int, int]]:
    """When no controller ran, or Asterisk was away from it, in and around this time."""
    kinds = (
        ControllerStarted.kind,
        ControllerStopped.kind,
        LinkLost.kind,
        LinkRestored.kind,
    )
    question = (
        select(diary.c.id, diary.c.kind, diary.c.at)
        .where(diary.c.kind.in_(kinds), diary.c.at > since - DAY, diary.c.at <= until + DAY)
        .order_by(diary.c.at, diary.c.id)
    )
    found = []
    begin: int | None = None
    async with engine.connect() as connection:
        for row_id, kind, at in (await connection.execute(question)).all():
            if kind in (LinkLost.kind, ControllerStopped.kind):
                begin = at if begin is None else begin
                continue
            if begin is None and kind == ControllerStarted.kind:
                # It died without a word: since the last fact that it wrote.
                before = select(func.max(diary.c.id)).where(
                    diary.c.id < row_id, diary.c.kind.not_in(_RECORDERS)
                )
                last: int | None = (await connection.execute(before)).scalar()
                begin = None if last is None else min(at, reader.written_at(last))
            if begin is not None:
                found.append((begin, at))
            begin = None
    return found
