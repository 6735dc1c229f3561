"""The book of callbacks (回访, 漏接回拨): what the database knows of the floor's tasks. The floor decides; this keeps.

A task is entered once (`TaskBook.create`, `enter`) and the database gives its number. Every later fact that the floor
records about it is applied to a copy in memory (`write`, `apply`). The copy is written as a whole a moment later. So
what waits while the database is away is one row a task, however many facts there were, and writing a row twice changes
nothing. Requests that could not be entered yet lie in a file of JSON lines, and outlive a crash.

What happened to a task is not kept twice: its history is its facts in the diary (`history`).
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Select, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from acd.callbacks import tables
from acd.callbacks.entry import KINDS, OPEN, Entry, TaskError, Wanted, apply
from acd.callbacks.task import State, Task
from acd.commands import CreateCallback
from acd.gate import Policy
from base import clock, retry
from base.background import spawn
from base.bounded import remember
from base.settings import Settings
from diary import reader
from diary.spool import Page, Spool
from diary.writer import Diary
from facts import (
    CallbackAdded,
    CallbackCancelled,
    CallbackDialling,
    CallbackMerged,
    CallbackReopened,
    Fact,
    PartyAsked,
)
from facts.masking import mask
from facts.numbers import dialable
from facts.parties import PartyKind
from facts.terms import CallId
from facts.times import HOUR, SECOND, midnight

log = structlog.get_logger(__name__)

FLUSH_EVERY = 0.05
"""Seconds that a change waits at most before it is written."""
RETRY = retry.DATABASE
"""Between two attempts while the database is away."""
ANSWER_WITHIN = 5.0
"""Seconds after which a server that does not answer counts as away."""
MOST_REQUESTS = 100_000
"""Requests that are kept while the database is away: more lost callers than a day of the busiest hotline has."""
BATCH = 500
"""Rows in one transaction."""

_REQUESTS = "callbacks.jsonl"
_MOST_BYTES = 64 * 1024 * 1024
"""Room for `MOST_REQUESTS`, each with all its texts."""
_MINUTE = 60 * SECOND
_LATELY = 10 * _MINUTE
"""How far back a start looks for closed tasks that were opened again just before a crash (`CallbackReopened`)."""
_UNREACHED = 4096
"""The most closed tasks that are remembered, since they may be opened again."""


def policy(settings: Settings) -> Policy:
    """Which numbers the hotline may dial, and how often, as the settings have it."""
    return Policy(
        region=settings.region,
        allow=settings.dial_allow,
        deny=settings.dial_deny,
        per_hour=settings.dial_per_hour,
        per_number_day=settings.dial_per_number_day,
        budget_day=settings.dial_budget_day,
    )


# --- writing


@dataclass(frozen=True, slots=True)
class _Request:
    """A task that waits for its number, and the moment (microseconds) at which it was asked for."""

    wanted: Wanted
    at: int


class TaskBook:
    """Writes the book; the controller has the only one. `start` in a running loop, `close` at the end.

    `run_dir` is where requests lie while the database is away. `report`, the desk's, gets a fact for each
    task that is entered.
    """

    def __init__(self, engine: AsyncEngine, run_dir: Path, report: Callable[[Fact], None]) -> None:
        self._engine = engine
        self._spool = Spool(run_dir / _REQUESTS, _MOST_BYTES, _read_request)
        self._report = report
        self._answer_within = ANSWER_WITHIN if engine.dialect.name == "postgresql" else None
        self._entries: dict[int, Entry] = {}
        self._entering = asyncio.Lock()  # nobody reads the table between a commit and `_entries`
        self._unreached: OrderedDict[int, Entry] = OrderedDict()
        self._unwritten: dict[int, Entry] = {}
        self._requests: deque[_Request] = deque()
        self._some = asyncio.Event()
        self._closing = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._away = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write, first what was asked of an earlier controller that could not enter it."""
        try:
            self._spool.recover()
        except OSError as error:
            log.error("callbacks.file_failed", error=str(error), file=str(self._spool.path))
        self._task = spawn(self._write_for_ever(), "book of callbacks")

    def create(self, wanted: CreateCallback) -> None:
        """Enter what the floor wants: `report` gets `CallbackAdded`, however long the database is away.

        Nothing follows when the number cannot be dialled, or too many requests wait already.
        """
        self._request(_of(wanted), clock.now())

    async def enter(self, wanted: Wanted) -> CallbackAdded:
        """Enter a checked request now or not at all. Raises what the database raises when it is away.

        Raises `TaskError` when the citizen has an open task of the same matter.
        """
        return (await self._insert(wanted, clock.now())).fact()

    def write(self, fact: Fact) -> None:
        """Take a fact that the floor has recorded. Returns at once and never raises; other facts are left alone."""
        known = self._unreached if isinstance(fact, CallbackReopened) else self._entries
        entry = known.get(_task_of(fact))
        if entry is None or isinstance(fact, CallbackAdded):
            return
        entry = apply(entry, fact)
        self._unwritten[entry.id] = entry
        if entry.state in OPEN:
            self._entries[entry.id] = entry
        else:
            del self._entries[entry.id]
            if entry.state is State.UNREACHED:
                remember(self._unreached, entry.id, entry, _UNREACHED)
        self._some.set()

    async def open_tasks(self) -> list[Task]:
        """The tasks that go on, for `Desk.take_up`; from now on their facts are noted. Raises without a database.

        What the diary knows and a crash kept from the book is applied first, so the diary's journal must be written.
        """
        lately = clock.now() - _LATELY
        known = [*await find_all(self._engine, OPEN), *await _given_up(self._engine, lately)]
        entries = {entry.id: entry for entry in known if entry.id not in self._entries}
        told = {entry.id: entry.updated_at for entry in entries.values()}
        since, until = min(told.values(), default=0), clock.now() + _MINUTE
        facts = reader.read_kinds(self._engine, KINDS, since + 1, until if told else 0)
        async for fact in facts:
            number = _task_of(fact)
            if number in entries and fact.at > told[number]:
                entries[number] = self._unwritten[number] = apply(entries[number], fact)
                self._some.set()
        for entry in entries.values():
            if entry.state in OPEN:
                self._entries.setdefault(entry.id, entry)
        return [entry.task() for entry in self._entries.values()]

    async def untold(self) -> list[CallbackAdded]:
        """The open tasks that a killed controller entered before the diary heard of it. Raises without a database."""
        since = min((entry.added_at for entry in self._entries.values()), default=0)
        facts = reader.read_kinds(
            self._engine, {CallbackAdded.kind}, since, clock.now() + _MINUTE if since else 0
        )
        told = {_task_of(fact) async for fact in facts}
        return [
            replace(entry.fact(), attempts=entry.attempts + entry.attempts_left)
            for entry in self._entries.values()
            if entry.id not in told
        ]

    async def dialled(self, now: int) -> list[tuple[CallId, str, int]]:
        """The attempts of today and of the last hour: id, number, microseconds. Raises without a database."""
        since = min(midnight(now), now - HOUR)
        facts = [
            fact
            async for fact in reader.read_kinds(
                self._engine, {CallbackDialling.kind, PartyAsked.kind}, since, now + 1
            )
        ]
        outside = [
            (fact.party, fact.number, fact.at)
            for fact in facts
            if isinstance(fact, PartyAsked) and fact.who is PartyKind.OUTSIDE
        ]
        dialled = [fact for fact in facts if isinstance(fact, CallbackDialling)]
        tasks = await _find_these(self._engine, {fact.callback for fact in dialled})
        numbers = {entry.id: entry.number for entry in tasks}
        called = [
            (fact.call, numbers[fact.callback], fact.at)
            for fact in dialled
            if fact.callback in numbers
        ]
        return sorted([*called, *outside], key=lambda attempt: attempt[2])

    async def changes(self) -> tuple[list[Task], list[CallbackCancelled]]:
        """What another program has done to the table meanwhile: its new tasks, for `Desk.take_up`, and its cancels.

        The command line writes into the table when it cannot reach the controller. Raises without a database.
        """
        async with self._entering:
            question = select(tables.callback.c.id).where(
                tables.callback.c.state.in_([state.value for state in OPEN])
            )
            async with asyncio.timeout(self._answer_within), self._engine.connect() as connection:
                there = {row.id for row in await connection.execute(question)}
            new = there - self._entries.keys() - self._unwritten.keys()
            gone = self._entries.keys() - there - self._unwritten.keys()
            found = await _find_these(self._engine, {*new, *gone}) if new or gone else []
            added = [entry for entry in found if entry.id in new and entry.state in OPEN]
            self._entries.update((entry.id, entry) for entry in added)
        cancelled = [
            CallbackCancelled(entry.updated_at, entry.id, BY_HAND)
            for entry in found
            if entry.id in gone and entry.state is State.CANCELLED and entry.id in self._entries
        ]
        return [entry.task() for entry in added], cancelled

    async def find(self, number: int) -> Entry | None:
        """The task with this number, as it is at this moment."""
        return (
            self._entries.get(number)
            or self._unwritten.get(number)
            or await find(self._engine, number)
        )

    def adopt(self, entry: Entry) -> Task:
        """Note the facts of a task that another program has entered meanwhile. Gives it for `Desk.take_up`."""
        self._entries[entry.id] = entry
        return entry.task()

    @property
    def waiting(self) -> int:
        """Requests and changed tasks that are not in the database yet."""
        return self._spool.count + len(self._requests) + len(self._unwritten)

    async def flush(self, within: float = 5.0) -> bool:
        """Wait until all that was noted so far is written. False when the database is away, or after `within`."""
        self._some.set()
        self._idle.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()
        return not self.waiting

    async def close(self, deadline: float = 5.0) -> None:
        """Write what is left; requests that the database does not take stay in the file."""
        self._closing.set()
        self._some.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=deadline)
            self._task.cancel()
            self._task = None
        self._keep_requests()
        if self.waiting:
            log.error("callbacks.unwritten", count=self.waiting, file=str(self._spool.path))

    # --- the background

    def _request(self, wanted: Wanted, at: int) -> None:
        if not dialable(wanted.number):
            log.warning("callback.not_dialable", origin=wanted.origin, number=mask(wanted.number))
        elif len(self._requests) + self._spool.count >= MOST_REQUESTS:
            log.error("callback.lost", origin=wanted.origin, number=mask(wanted.number))
        else:
            self._requests.append(_Request(wanted, at))
            self._some.set()

    async def _write_for_ever(self) -> None:
        failures = 0
        while True:
            if not self.waiting:
                self._idle.set()
                await self._some.wait()
            self._some.clear()
            written = await self._write()
            if not written:
                self._idle.set()
            if self._closing.is_set() and not (written and self.waiting):
                return
            failures = 0 if written else failures + 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY.pause(failures) if failures else FLUSH_EVERY):
                    await self._closing.wait()

    async def _write(self) -> bool:
        """Enter the requests, then write the changed tasks. False when the database is away."""
        try:
            while self._spool.count:
                # One by one: what is in the table must not be entered again after a failure at the next.
                page = self._spool.peek(1)
                self._tell(page)
                for request in page.rows:
                    await self._enter(request)
                self._spool.drop(page)
            while self._requests:
                await self._enter(self._requests[0])
                self._requests.popleft()
            while self._unwritten:
                batch = list(self._unwritten.values())[:BATCH]
                await self._update(batch)
                for entry in batch:
                    if self._unwritten[entry.id] is entry:
                        del self._unwritten[entry.id]
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, nothing must be lost
            if not self._away:
                self._away = True
                log.error("callbacks.away", error=type(error).__name__, file=str(self._spool.path))
            self._keep_requests()
            return False
        if self._away:
            self._away = False
            log.info("callbacks.back")
        return True

    def _tell(self, page: Page[_Request]) -> None:
        """What was found to be lost goes into the log."""
        for at in page.torn:
            log.error("callbacks.torn_line", file=str(self._spool.path), at=at)
        if page.gone:
            log.error("callbacks.file_gone", file=str(self._spool.path), requests=page.lines)

    async def _enter(self, request: _Request) -> None:
        entry = await self._insert(request.wanted, request.at)
        if entry.state in OPEN:
            self._report(entry.fact())
        if entry.origin != request.wanted.origin:
            self._report(CallbackMerged(clock.now(), entry.id, request.wanted.origin))

    async def _insert(self, wanted: Wanted, at: int) -> Entry:
        """Enter a request, or find what it became when the answer to its commit was lost: a call is lost only once.

        A citizen has one open task of a matter: a lost call becomes part of it, what a person asks for is refused.
        """
        row = _row(wanted, at)
        async with self._entering:
            async with asyncio.timeout(self._answer_within), self._engine.begin() as connection:
                if wanted.origin:
                    question = select(tables.callback).where(
                        tables.callback.c.origin == wanted.origin
                    )
                    known = (await connection.execute(question)).first()
                    if known is not None:
                        return self._entries.setdefault(known.id, _entry(known))
                twin = None if wanted.place else await self._twin(connection, wanted)
                if twin is not None and not wanted.origin:
                    raise TaskError(_open_already(twin))
                if twin is not None and twin.not_before < wanted.latest:
                    return self._entries.setdefault(twin.id, twin)
                done = await connection.execute(
                    insert(tables.callback).values(row).returning(tables.callback)
                )
                entry = _entry(done.one())
            self._entries[entry.id] = entry
            return entry

    async def _twin(self, connection: AsyncConnection, wanted: Wanted) -> Entry | None:
        """The open task of the same citizen and matter, if there is one; what is in memory is newer than the table."""
        for row in await connection.execute(_open_ones(wanted)):
            entry = self._unwritten.get(row.id) or self._entries.get(row.id) or _entry(row)
            if entry.state in OPEN:
                return entry
        return None

    async def _update(self, entries: Sequence[Entry]) -> None:
        rows = [
            {("row_id" if name == "id" else name): value for name, value in asdict(entry).items()}
            for entry in entries
        ]
        async with asyncio.timeout(self._answer_within), self._engine.begin() as connection:
            await connection.execute(_UPDATE, rows)

    def _keep_requests(self) -> None:
        """What is in memory would not survive a crash of this process."""
        if not self._requests:
            return
        rows = [{"at": request.at, **asdict(request.wanted)} for request in self._requests]
        try:
            kept = self._spool.append(rows)
        except OSError as error:
            log.error("callbacks.file_failed", error=str(error), file=str(self._spool.path))
            return  # they stay in memory, and are tried again with the next attempt
        for _ in range(kept):
            self._requests.popleft()


_UPDATE = (
    update(tables.callback)
    .where(tables.callback.c.id == bindparam("row_id"))
    .values({field.name: bindparam(field.name) for field in fields(Entry) if field.name != "id"})
)


def _open_ones(wanted: Wanted) -> Select[Any]:
    columns = tables.callback.c
    return (
        select(tables.callback)
        .where(columns.number == wanted.number, columns.matter == wanted.matter)
        .where(columns.state.in_([state.value for state in OPEN]))
        .order_by(columns.id)
    )


def _open_already(entry: Entry) -> str:
    matter = f" in the matter {entry.matter}" if entry.matter else ""
    return (
        f"callback {entry.id} to {mask(entry.number)}{matter} is open already: "
        f"`hotline callback show {entry.id}` shows it; cancel it, or give another matter"
    )


def _of(wanted: CreateCallback) -> Wanted:
    return Wanted(
        number=wanted.number,
        queue=wanted.queue,
        latest=wanted.latest,
        reason=wanted.reason,
        origin=wanted.origin,
        place=wanted.place,
        matter=wanted.matter,
    )


def _row(wanted: Wanted, at: int) -> dict[str, Any]:
    earliest = wanted.earliest or at
    return {
        "number": wanted.number,
        "queue": wanted.queue,
        "state": State.DUE,
        "reason": wanted.reason,
        "matter": wanted.matter,
        "earliest": earliest,
        "latest": wanted.latest,
        "attempts_left": wanted.attempts,
        "attempts": 0,
        "tries": 0,
        "spacing": wanted.spacing,
        "prefers": wanted.prefers,
        "agent": "",
        "attempt": "",
        "origin": wanted.origin,
        "place": wanted.place,
        "not_before": earliest,
        "first": False,
        "yields": 0,
        "last_failure": "",
        "added_at": at,
        "updated_at": at,
        "own": wanted.own,
    }


def _entry(row: Any) -> Entry:
    values = row._asdict()
    flags = {name: bool(values[name]) for name in ("first", "own")}
    return Entry(**values | flags | {"state": State(values["state"])})


def _read_request(row: dict[str, Any]) -> _Request:
    return _Request(
        Wanted(**{name: value for name, value in row.items() if name != "at"}), int(row["at"])
    )


# --- by hand


BY_HAND = "by hand"
"""Why a task was cancelled, when a person did it."""


def still_open(entry: Entry | None, number: int) -> Entry:
    """The entry. Raises `TaskError` when there is none, or when the task is closed."""
    if entry is None:
        raise TaskError(f"there is no callback {number}: `hotline callback list` shows them")
    if entry.state not in OPEN:
        raise TaskError(f"callback {number} is over already: {entry.state.value}")
    return entry


# --- without a controller


async def enter_directly(engine: AsyncEngine, run_dir: Path, wanted: Wanted) -> int:
    """Enter a checked request while no controller runs; the next one takes it up. Gives the task's number."""
    book = TaskBook(engine, run_dir, lambda fact: None)
    fact = await book.enter(wanted)
    await _into_the_diary(engine, run_dir, fact)
    return fact.callback


async def check_alone(engine: AsyncEngine, wanted: Wanted) -> None:
    """Raise `TaskError` when the citizen has an open task of the same matter, as far as the table knows."""
    async with engine.connect() as connection:
        for row in await connection.execute(_open_ones(wanted)):
            raise TaskError(_open_already(_entry(row)))


async def cancel_directly(engine: AsyncEngine, run_dir: Path, number: int) -> None:
    """Cancel a task while no controller runs. Raises `TaskError` when there is none, or when it is closed."""
    fact = CallbackCancelled(clock.now(), number, BY_HAND)
    entry = still_open(await find(engine, number), number)
    book = TaskBook(engine, run_dir, lambda fact: None)
    await book._update([apply(replace(entry, state=State.DUE), fact)])
    await _into_the_diary(engine, run_dir, fact)


async def _into_the_diary(engine: AsyncEngine, run_dir: Path, fact: Fact) -> None:
    book = Diary(engine, run_dir, name="callbacks")
    book.start()
    book.write(fact)
    await book.close()


# --- reading


async def find(engine: AsyncEngine, number: int) -> Entry | None:
    """The task with this number, if there is one."""
    async with engine.connect() as connection:
        question = select(tables.callback).where(tables.callback.c.id == number)
        row = (await connection.execute(question)).first()
    return None if row is None else _entry(row)


async def _given_up(engine: AsyncEngine, since: int) -> list[Entry]:
    """The tasks that were closed as unreached since then. The diary may know that one was opened again."""
    question = select(tables.callback).where(
        tables.callback.c.state == State.UNREACHED.value, tables.callback.c.updated_at >= since
    )
    async with engine.connect() as connection:
        return [_entry(row) for row in await connection.execute(question)]


async def _find_these(engine: AsyncEngine, numbers: Collection[int]) -> list[Entry]:
    """The tasks with these numbers, by number."""
    found: list[Entry] = []
    ordered = sorted(numbers)
    async with engine.connect() as connection:
        for start in range(0, len(ordered), BATCH):
            question = select(tables.callback).where(
                tables.callback.c.id.in_(ordered[start : start + BATCH])
            )
            found += [_entry(row) for row in await connection.execute(question)]
    return sorted(found, key=lambda entry: entry.id)


async def find_all(
    engine: AsyncEngine, states: Collection[State] = tuple(State), limit: int | None = None
) -> list[Entry]:
    """The tasks in these states, by number; with `limit` the newest ones only."""
    question = (
        select(tables.callback)
        .where(tables.callback.c.state.in_([state.value for state in states]))
        .order_by(tables.callback.c.id.desc())
        .limit(limit)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).all()
    return [_entry(row) for row in reversed(rows)]


async def history(engine: AsyncEngine, entry: Entry) -> list[Fact]:
    """The facts about one task, oldest first.

    A fact names its task in its details, which have no index: all facts of callbacks between the task's first and
    last one are read, by the index on (kind, at). That is some ten thousand rows for a day of a busy hotline.
    """
    facts = reader.read_kinds(engine, KINDS, entry.added_at, entry.updated_at + _MINUTE)
    return [fact async for fact in facts if _task_of(fact) == entry.id]


def _task_of(fact: Fact) -> int:
    """The number of the task that a fact is about; 0 for a fact about none."""
    number: int = getattr(fact, "callback", 0)
    return number
