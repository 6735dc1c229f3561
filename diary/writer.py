"""Writing the diary: one row a fact. Writing never waits and never loses a fact.

A fact is given its row id when it is written: the moment in microseconds, then ten bits that are this writer's
own. So ids rise in the order of writing, and a row may be sent twice: when the answer to a commit was lost, the same
rows are sent again and the database keeps one of each. While the database is away the rows wait in a journal, a file
of JSON lines; what is in it goes first when the database is back, also after a crash.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import structlog
from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import TypedDict

from base import clock, retry
from base.background import spawn, within
from diary.spool import Page, Spool, lines_in
from diary.tables import changed, diary
from facts import (
    ATTENDANCE_KINDS,
    Fact,
    details,
)
from facts.ids import LONGEST
from facts.live import Json

log = structlog.get_logger(__name__)

BATCH = 500
"""Rows in one insert."""
FLUSH_EVERY = 0.4
"""Seconds that a fact waits at most before its batch leaves. A batch of any size costs about a millisecond, most of it
on the way to the database's thread and back. What a crash takes away, CEL gives back."""
RETRY = retry.DATABASE
"""Between two attempts while the database is away."""
ANSWER_WITHIN = 5.0
"""Seconds after which a server that does not answer counts as away."""
MOST_UNWRITTEN = 512 * 1024 * 1024
"""Bytes that a journal may hold: about two million facts, a day of the busiest hotline."""

_JOURNAL = ".diary.jsonl"


def unwritten(run_dir: Path) -> int:
    """How many facts lie in journals below `run_dir` because the database was away. For reports and checks."""
    return sum(lines_in(path) for path in run_dir.glob("*" + _JOURNAL))


class DiaryRow(TypedDict):
    """A row of the table `diary`. `at`: microseconds. `call`, `agent`: empty for none. `more`: its other fields."""

    id: int
    at: int
    kind: str
    call: str
    agent: str
    more: dict[str, Json]


class ChangedRow(TypedDict):
    """A row of the table `changed`. `call`: a call, an attempt, or `@` and the id of a fact about an agent."""

    call: str
    stamp: int


Beside: TypeAlias = Callable[[DiaryRow], Executable]
"""A row of the diary → what is written in its transaction. It may run twice: a batch may be sent again."""


class Diary:
    """Writes facts. Each process has one, with its own `name` and its own journal in `run_dir`.

    `start` in a running loop, `write` at any time from that loop's thread, `close` at the end. What an earlier process
    of this name left in the journal is written first.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        run_dir: Path,
        name: str = "controller",
        most_unwritten: int = MOST_UNWRITTEN,
        beside: Mapping[str, Beside] | None = None,
    ) -> None:
        self._engine = engine
        self._beside = beside or {}
        self._journal = Spool(run_dir / (name + _JOURNAL), most_unwritten, _read_row)
        self._journal.recover()
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
        failures = 0
        while True:
            if not self._away:
                if not self.waiting:
                    await self._some.wait()
                await within(FLUSH_EVERY, self._full)
            self._some.clear()
            self._full.clear()
            asked, self._asked = self._asked, []
            written = await self._flush()
            self._answer(asked, written=written)
            if self._closing.is_set() and not (written and self.waiting):
                return
            failures = 0 if written else failures + 1
            deadline = loop.time() + (RETRY.pause(failures) if failures else 0)
            while loop.time() < deadline and not self._closing.is_set():
                # What is in memory would not survive a crash of this process.
                self._spool()
                await within(FLUSH_EVERY, self._closing)

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
                self._tell(page)
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

    def _tell(self, page: Page[DiaryRow]) -> None:
        """What was found to be lost goes into the log."""
        for at in page.torn:
            log.error("diary.torn_line", journal=str(self._journal.path), at=at)
        if page.gone:
            log.error("diary.journal_gone", journal=str(self._journal.path), facts=page.lines)

    async def _send(self, rows: Sequence[DiaryRow]) -> None:
        """Insert rows, each once, even if an earlier attempt wrote some of them."""
        if rows:
            marks = changes(rows)
            async with asyncio.timeout(self._answer_within), self._engine.begin() as connection:
                await self._insert.execute(connection, rows)
                for row in rows:
                    if (made := self._beside.get(row["kind"])) is not None:
                        await connection.execute(made(row))
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


def changes(rows: Iterable[DiaryRow]) -> list[ChangedRow]:
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


def _brief(error: BaseException) -> str:
    """The database's own words, without the statement and its parameters: those hold citizens' numbers."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}"[:200]


def _read_row(row: Mapping[str, Any]) -> DiaryRow:
    return DiaryRow(
        id=row["id"],
        at=row["at"],
        kind=row["kind"],
        call=row["call"],
        agent=row["agent"],
        more=row["more"],
    )


_COLUMNS = ("id", "at", "kind", "call", "agent", "more")


def _row(row_id: int, fact: Fact) -> DiaryRow:
    """A row that every database takes, so that no fact can block those behind it."""
    return {
        "id": row_id,
        "at": max(0, min(fact.at, _LARGEST)),
        "kind": fact.kind,
        "call": _clean(getattr(fact, "call", ""))[:LONGEST],
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
