"""The diary: one row a fact. Writing never waits and never loses a fact; reading takes bounded memory.

A fact is given its row id when it is written: the moment in microseconds, then ten bits that are this writer's
own. So ids rise in the order of writing, and a row may be sent twice: when the answer to a commit was lost, the same
rows are sent again and the database keeps one of each. While the database is away the rows wait in a journal, a file
of JSON lines; what is in it goes first when the database is back, also after a crash.
"""

import asyncio
import json
import os
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import structlog
from sqlalchemy import ColumnElement, Text, and_, cast, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from acd.events import (
    ATTENDANCE_KINDS,
    CallArrived,
    CallbackPlaced,
    CallEnded,
    Fact,
    RecordingFinished,
    RecordingMissing,
    details,
    restore,
)
from acd.model import CallId
from hotline import clock
from hotline.db import changed, diary
from hotline.tasks import spawn

log = structlog.get_logger(__name__)

BATCH = 500
"""Rows in one insert."""
FLUSH_EVERY = 0.4
"""Seconds that a fact waits at most before its batch leaves. A batch costs a good millisecond whatever its size, most
of it on the way to the database's thread and back. What a crash takes away, CEL gives back."""
RETRY_EVERY = 1.0
"""Seconds between two attempts while the database is away."""
ANSWER_WITHIN = 5.0
"""Seconds after which a server that does not answer counts as away."""
MOST_UNWRITTEN = 512 * 1024 * 1024
"""Bytes that a journal may hold: about two million facts, a day of the busiest hotline."""

_JOURNAL = ".diary.jsonl"
_Row: TypeAlias = dict[str, Any]


def unwritten(run_dir: Path) -> int:
    """How many facts lie in journals below `run_dir` because the database was away. For reports and checks."""
    count = 0
    for path in sorted(run_dir.glob("*" + _JOURNAL)):
        try:
            with path.open("rb") as lines:
                count += sum(1 for _ in lines)
        except FileNotFoundError:
            continue  # written in this moment
    return count


class Diary:
    """Writes facts. One a process; each process has its own `name`, hence its own journal in `run_dir`.

    `start` in a running loop, `write` at any time from that loop's thread, `close` at the end. What an earlier process
    of this name left in the journal is written first.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        run_dir: Path,
        name: str = "controller",
        most_unwritten: int = MOST_UNWRITTEN,
    ) -> None:
        self._engine = engine
        self._journal = _Journal(run_dir / (name + _JOURNAL), most_unwritten)
        dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
        insert = dialect.insert(diary).on_conflict_do_nothing(index_elements=["id"])
        self._insert = _Many(engine, insert)
        self._mark = _Many(engine, mark(engine.dialect.name))
        # SQLite bounds its own waits (busy_timeout), and a cancelled wait for its thread leaves the lock behind.
        self._answer_within = ANSWER_WITHIN if engine.dialect.name == "postgresql" else None
        self._queue: deque[tuple[int, Fact]] = deque()
        self._last_id = 0
        self._writer = secrets.randbits(_WRITER_BITS)
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._away = False
        self._journal_failed = False
        self._lost = 0
        self._asked: list[asyncio.Future[bool]] = []

    def start(self) -> None:
        """Begin to flush. Needs the running loop."""
        self._task = spawn(self._flush_for_ever(), "diary")

    def write(self, fact: Fact) -> None:
        """Take a fact. Returns at once and never raises."""
        self._last_id = max(self._last_id + (1 << _WRITER_BITS), clock.now() << _WRITER_BITS)
        self._queue.append((self._last_id | self._writer, fact))
        self._some.set()
        if self._closing.is_set() and self._task is None:
            self._spool()  # nobody flushes any more
        elif len(self._queue) >= BATCH:
            self._full.set()

    @property
    def away(self) -> bool:
        """Whether the database could not be written to, last time."""
        return self._away

    @property
    def waiting(self) -> int:
        """Facts not yet in the database: in memory and in the journal."""
        return len(self._queue) + self._journal.count

    @property
    def lost(self) -> int:
        """Facts that found no place in the journal either. More than 0 has been alarmed."""
        return self._lost

    async def flush(self, within: float = 5.0) -> bool:
        """Wait until all facts so far are in the database. False when it is away, or after `within` seconds."""
        if self._task is None:
            return False
        asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self._some.set()
        self._full.set()
        await asyncio.wait({asked}, timeout=within)
        return asked.done() and asked.result()

    async def close(self, deadline: float = 10.0) -> None:
        """Write what is left, within `deadline` seconds; what the database does not take stays in the journal."""
        self._closing.set()
        self._some.set()
        self._full.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=deadline)
            self._task.cancel()
            self._task = None
        self._answer(self._asked, written=False)
        if self._queue:
            self._spool()
        if self.waiting:
            log.error("diary.unwritten", facts=self.waiting, journal=str(self._journal.path))

    # --- the flush loop

    async def _flush_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._away:
                if not self.waiting:
                    await self._some.wait()
                await _wait(self._full, FLUSH_EVERY)
            self._some.clear()
            self._full.clear()
            asked, self._asked = self._asked, []
            written = await self._flush()
            self._answer(asked, written=written)
            if self._closing.is_set() and not (written and self.waiting):
                return
            deadline = loop.time() + (0 if written else RETRY_EVERY)
            while loop.time() < deadline and not self._closing.is_set():
                # What is in memory would not survive a crash of this process.
                self._spool()
                await _wait(self._closing, FLUSH_EVERY)

    @staticmethod
    def _answer(asked: list["asyncio.Future[bool]"], *, written: bool) -> None:
        for one in asked:
            if not one.done():
                one.set_result(written)

    async def _flush(self) -> bool:
        """Write the journal, then what is in memory. False when the database is away."""
        try:
            while self._journal.count:
                page = self._journal.peek(BATCH)
                await self._send(page.rows)
                self._journal.drop(page)
            while self._queue:
                batch = list(islice(self._queue, BATCH))
                await self._send([_row(row_id, fact) for row_id, fact in batch])
                for _ in batch:
                    self._queue.popleft()
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, the facts must be kept
            if not self._away:
                self._away = True
                log.error("diary.away", error=_brief(error), journal=str(self._journal.path))
            return False
        if self._away:
            self._away = False
            log.info("diary.back")
        return True

    async def _send(self, rows: Sequence[_Row]) -> None:
        """Insert rows, each once, whatever became of an attempt before."""
        if rows:
            marks = changes(rows)
            async with asyncio.timeout(self._answer_within), self._engine.begin() as connection:
                await self._insert.execute(connection, rows)
                if marks:
                    await self._mark.execute(connection, marks)

    def _spool(self) -> None:
        """Move what is in memory to the journal."""
        if not self._queue:
            return
        rows = [_row(row_id, fact) for row_id, fact in self._queue]
        try:
            kept = self._journal.append(rows)
        except OSError as error:
            if not self._journal_failed:
                self._journal_failed = True
                log.error("diary.journal_failed", error=str(error), journal=str(self._journal.path))
            if len(self._queue) < _MOST_IN_MEMORY:
                return  # they stay in memory: database or disk may be back the next time
            kept = 0
        else:
            self._journal_failed = False
        self._queue.clear()
        if kept < len(rows):
            if not self._lost:
                log.error("diary.lost", journal=str(self._journal.path))
            self._lost += len(rows) - kept


class _Many:
    """A statement that many rows go into, made into the driver's own words once.

    SQLAlchemy would look at every value of every row again. And SQLite's driver would run the statement for each row,
    and hand Python's lock to and fro with the thread that serves callers: there it is one statement for all rows.
    """

    def __init__(self, engine: AsyncEngine, statement: postgresql.Insert | sqlite.Insert) -> None:
        compiled = statement.compile(dialect=engine.dialect)
        self._text = str(compiled)
        self._at_once = engine.dialect.name == "sqlite"
        names = compiled.positiontup or []
        made = {
            name: bound.type.dialect_impl(engine.dialect).bind_processor(engine.dialect)
            for name, bound in compiled.binds.items()
        }
        self._columns = [(name, made[name]) for name in names]

    async def execute(self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = self._columns
        values = [
            tuple([row[name] if made is None else made(row[name]) for name, made in columns])
            for row in rows
        ]
        if not self._at_once:
            await connection.exec_driver_sql(self._text, values)
            return
        one = f"({', '.join('?' * len(columns))})"
        text = self._text.replace(one, ", ".join([one] * len(rows)), 1)
        await connection.exec_driver_sql(text, tuple(chain.from_iterable(values)))


def changes(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What new rows of the diary change in the figures, as rows of the table `changed`.

    A call, or an attempt of a callback, is named once. A fact about an agent's presence stands for itself.
    """
    stamps: dict[str, int] = {}
    for row in rows:
        if row["call"]:
            stamps[row["call"]] = row["id"]
        elif row["kind"] in ATTENDANCE_KINDS:
            stamps[f"@{row['id']}"] = row["id"]
    return [{"call": call, "stamp": stamp} for call, stamp in stamps.items()]


def mark(dialect: str) -> postgresql.Insert | sqlite.Insert:
    """The statement that enters what `changes` gave, in the transaction that enters the facts themselves."""
    made = postgresql.insert(changed) if dialect == "postgresql" else sqlite.insert(changed)
    stamp = {"stamp": made.excluded.stamp}
    return made.on_conflict_do_update(index_elements=["call"], set_=stamp)


_WRITER_BITS = 10
_MOST_IN_MEMORY = 200_000


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _brief(error: BaseException) -> str:
    """The database's own words, without the statement and its parameters: those hold citizens' numbers."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}"[:200]


def _row(row_id: int, fact: Fact) -> _Row:
    """A row that every database takes, so that no fact can block those behind it."""
    return {
        "id": row_id,
        "at": max(0, min(fact.at, _LARGEST)),
        "kind": type(fact).__name__,
        "call": _clean(getattr(fact, "call", ""))[:80],
        "agent": _clean(getattr(fact, "agent", ""))[:16],
        "more": {
            name: _clean(value) if isinstance(value, str) else value
            for name, value in details(fact).items()
        },
    }


_LARGEST = 2**63 - 1


def _clean(text: str) -> str:
    """No NUL, and nothing that is not Unicode: PostgreSQL refuses the one, drivers the other."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


@dataclass(frozen=True, slots=True)
class _Page:
    """Rows from the front of a journal; `lines` counts torn ones too, `end` is where the next page begins."""

    rows: list[_Row]
    lines: int
    end: int


class _Journal:
    """Rows on disk, one JSON object a line, oldest first. Read from the front, removed when all are written.

    Not forced to the disk: it must outlive this process, and after a power cut CEL completes the diary.
    """

    def __init__(self, path: Path, most: int) -> None:
        self.path = path
        self.count = 0
        self._most = most
        self._read = 0
        if path.exists():
            with path.open("r+b") as file:
                last = b"\n"
                for line in file:
                    self.count += 1
                    last = line
                if not last.endswith(b"\n"):
                    file.write(b"\n")  # a crash in the middle of a line: the next one begins anew

    def append(self, rows: Sequence[_Row]) -> int:
        """Add rows to the end and say for how many there was room. Raises `OSError`, and then none was added."""
        lines = [json.dumps(row).encode() + b"\n" for row in rows]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            room = self._most - size
            kept = 0
            while kept < len(lines) and (room := room - len(lines[kept])) >= 0:
                kept += 1
            try:
                _write_all(descriptor, b"".join(lines[:kept]))
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        self.count += kept
        return kept

    def peek(self, count: int) -> _Page:
        """The next rows, to be given to `drop` once they are written."""
        rows: list[_Row] = []
        lines = 0
        try:
            with self.path.open("rb") as file:
                end = file.seek(self._read)
                for line in islice(file, count):
                    lines += 1
                    end += len(line)
                    try:
                        row = json.loads(line)
                        rows.append({name: row[name] for name in _COLUMNS})
                    except (ValueError, KeyError, TypeError):
                        log.error("diary.torn_line", journal=str(self.path), at=self._read)
        except FileNotFoundError:
            end = 0
        if not lines:
            log.error("diary.journal_gone", journal=str(self.path), facts=self.count)
            lines = self.count
        return _Page(rows, lines, end)

    def drop(self, page: _Page) -> None:
        """Forget a page: its rows are in the database."""
        self._read = page.end
        self.count -= page.lines
        if not self.count:
            self.path.unlink(missing_ok=True)
            self._read = 0


_COLUMNS = ("id", "at", "kind", "call", "agent", "more")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


# --- reading

PAGE = 500
"""Calls whose facts are in memory at once."""
_ROWS = 1000
"""Rows that are read at once; the controller itself reads, and must not stand still for long."""

_FIELDS = (
    diary.c.id,
    diary.c.kind,
    diary.c.at,
    diary.c.call,
    diary.c.agent,
    cast(diary.c.more, Text).label("more"),
)


async def read(engine: AsyncEngine, since: int, until: int) -> AsyncGenerator[Fact, None]:
    """All facts with `since` ≤ at < `until` (microseconds), in the order of their times."""
    after = diary.c.at >= since
    while True:
        question = (
            select(*_FIELDS)
            .where(after, diary.c.at < until)
            .order_by(diary.c.at, diary.c.id)
            .limit(_ROWS)
        )
        async with engine.connect() as connection:
            rows = (await connection.execute(question)).all()
        for row_id, kind, at, call, agent, more in rows:
            fact = _fact(row_id, kind, at, call, agent, more)
            if fact is not None:
                yield fact
        if len(rows) < _ROWS:
            return
        after = _beyond(rows[-1])


async def read_kinds(
    engine: AsyncEngine, kinds: Collection[str], since: int, until: int
) -> AsyncGenerator[Fact, None]:
    """The facts of `kinds` with `since` ≤ at < `until` (microseconds), in the order of their times.

    A day at a time, each in one question to the index on (kind, at): for kinds that are few beside all others.
    """
    while since < until:
        end = min(until, since + _DAY)
        question = (
            select(*_FIELDS)
            .where(diary.c.kind.in_(kinds), diary.c.at >= since, diary.c.at < end)
            .order_by(diary.c.at, diary.c.id)
        )
        async with engine.connect() as connection:
            rows = (await connection.execute(question)).all()
        for row in rows:
            fact = _fact(*row)
            if fact is not None:
                yield fact
        since = end


_DAY = 86_400_000_000


async def read_rows(engine: AsyncEngine, ids: Collection[int]) -> list[Fact]:
    """The facts of these rows, in the order of their times."""
    found: list[Fact] = []
    wanted = sorted(ids)
    async with engine.connect() as connection:
        for start in range(0, len(wanted), PAGE):
            question = select(*_FIELDS).where(diary.c.id.in_(wanted[start : start + PAGE]))
            for row in await connection.execute(question):
                fact = _fact(*row)
                if fact is not None:
                    found.append(fact)
    return sorted(found, key=lambda fact: fact.at)


async def last_heard(engine: AsyncEngine) -> int | None:
    """The time of the newest fact that the controller wrote (microseconds), or None for an empty diary."""
    recorder = (RecordingFinished.__name__, RecordingMissing.__name__)
    question = select(diary.c.at).where(diary.c.kind.not_in(recorder)).order_by(diary.c.id.desc())
    async with engine.connect() as connection:
        at: int | None = (await connection.execute(question.limit(1))).scalar()
    return at


async def read_calls(
    engine: AsyncEngine,
    arrived_after: int,
    arrived_until: int,
    *,
    kinds: Collection[str] | None = None,
    newest_first: bool = False,
    attempts: bool = False,
) -> AsyncGenerator[Sequence[Fact], None]:
    """The calls with `arrived_after` < arrived ≤ `arrived_until` (microseconds): of each, all its facts.

    A call's facts may be later than the window. Calls come in the order of their arrivals, their facts in the order
    of their times. `kinds`: leave out facts of other kinds; CallArrived must be one of them. `attempts`: also attempts
    of callbacks that were placed in that time; their ids are all read at once, so ask for a day or so.
    """
    first = (CallArrived.__name__, *([CallbackPlaced.__name__] if attempts else []))
    within = and_(
        diary.c.kind.in_(first),
        diary.c.at > arrived_after,
        diary.c.at <= arrived_until,
    )
    order = (diary.c.at.desc(), diary.c.id.desc()) if newest_first else (diary.c.at, diary.c.id)
    question = select(diary.c.call, diary.c.id, diary.c.at).where(within).order_by(*order)
    after: ColumnElement[bool] = true()
    whole: deque[Any] = deque()
    if attempts:
        # Two kinds come in the order of time only when they are sorted: once, not for every page.
        async with engine.connect() as connection:
            whole.extend((await connection.execute(question)).all())
    while True:
        async with engine.connect() as connection:
            if attempts:
                arrivals = [whole.popleft() for _ in range(min(PAGE, len(whole)))]
            else:
                arrivals = list((await connection.execute(question.where(after).limit(PAGE))).all())
            calls = await _facts_of(connection, [row.call for row in arrivals], kinds)
        for call, row_id, _ in arrivals:
            # An arrival may be told twice, by AMI and by CEL: the first row of it stands for the call.
            if call in calls and calls[call].arrival == row_id:
                yield calls[call].facts
        if len(arrivals) < PAGE:
            return
        after = _beyond(arrivals[-1], backwards=newest_first)


async def open_calls(
    engine: AsyncEngine, arrived_after: int
) -> AsyncGenerator[Sequence[Fact], None]:
    """The calls that arrived after `arrived_after` (microseconds) and have no known end: of each, all its facts."""
    # The end of a call may be told by another clock than its arrival.
    arrived = select(diary.c.call).where(
        diary.c.kind == CallArrived.__name__, diary.c.at > arrived_after
    )
    ended = select(diary.c.call).where(
        diary.c.kind == CallEnded.__name__, diary.c.at > arrived_after - _CLOCKS_DIFFER
    )
    async with engine.connect() as connection:
        calls = sorted((await connection.execute(arrived.except_(ended))).scalars())
    for start in range(0, len(calls), PAGE):
        page = calls[start : start + PAGE]
        async with engine.connect() as connection:
            found = await _facts_of(connection, page, None)
        for call in page:
            if call in found:
                yield found[call].facts


async def read_stories(
    engine: AsyncEngine, calls: Sequence[CallId]
) -> dict[CallId, Sequence[Fact]]:
    """All facts of these calls (at most `PAGE` of them), of each in the order of their times."""
    async with engine.connect() as connection:
        found = await _facts_of(connection, calls, None)
    return {call: known.facts for call, known in found.items()}


_CLOCKS_DIFFER = 60_000_000


def _beyond(last: Any, *, backwards: bool = False) -> ColumnElement[bool]:
    """What comes after this row in the order of (at, id); the first condition is for the index."""
    at, row_id = diary.c.at, diary.c.id
    if backwards:
        return and_(at <= last.at, or_(at < last.at, row_id < last.id))
    return and_(at >= last.at, or_(at > last.at, row_id > last.id))


@dataclass(slots=True)
class _Call:
    """Facts of one call, and the row of its first arrival (0: none)."""

    facts: list[Fact]
    arrival: int = 0


async def _facts_of(
    connection: AsyncConnection, calls: Sequence[CallId], kinds: Collection[str] | None
) -> dict[CallId, _Call]:
    found: dict[CallId, _Call] = {}
    if not calls:
        return found
    # The kinds are sorted out here: asked for in SQL, SQLite would take the index on them, and read years.
    question = select(*_FIELDS).where(diary.c.call.in_(calls)).order_by(diary.c.at, diary.c.id)
    for row_id, kind, at, call, agent, more in await connection.execute(question):
        if kinds is not None and kind not in kinds:
            continue
        fact = _fact(row_id, kind, at, call, agent, more)
        if fact is None:
            continue
        known = found.get(call)
        if known is None:
            known = found[call] = _Call([])
        known.facts.append(fact)
        if not known.arrival and kind in _FIRST:
            known.arrival = row_id
    return found


_FIRST = frozenset({CallArrived.__name__, CallbackPlaced.__name__})


def _fact(row_id: int, kind: str, at: int, call: str, agent: str, more: str) -> Fact | None:
    """A row as a fact; None, and a line in the log, when a newer or a damaged program wrote it."""
    try:
        make, has_call, has_agent, values = _maker(kind, more)
        # By name: a fact about a callback has its task before its call.
        if has_agent:
            if has_call:
                return make(at=at, call=call, agent=agent, **values)
            return make(at=at, agent=agent, **values)
        return make(at=at, call=call, **values) if has_call else make(at=at, **values)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        log.warning("diary.unreadable", row=row_id, kind=kind, error=type(error).__name__)
        return None


@lru_cache(maxsize=4096)
def _maker(kind: str, more: str) -> tuple[Callable[..., Fact], bool, bool, dict[str, Any]]:
    """How to make the facts of this kind that have these details: most rows share theirs with many others."""
    sample = restore(kind, 0, "", "", orjson.loads(more))
    return type(sample), hasattr(sample, "call"), hasattr(sample, "agent"), details(sample)
