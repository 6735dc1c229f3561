"""Retention at work: which recordings are due by the rules, and the daily run that deletes them.

A run deletes nothing before an operator has confirmed the rules of now, and nothing if more is due than a day's limit.
What it did is a row of `retention_run`, by which the alarm `retention_stopped` goes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.tables import callback
from base import clock, database
from base.background import within
from base.outage import Outage
from base.settings import Settings
from diary import reader
from facts.ids import callback_of, is_attempt
from facts.terms import CallId
from facts.times import DAY, HOUR, local, midnight
from metrics.fold import CallRecord, item_of
from recorder import deletion, ledger, retention, seals
from recorder.deletion import Deleted, Doomed
from recorder.entry import LedgerEntry
from recorder.retention import RetentionError, RetentionPolicy
from recorder.tables import recording, retention_run

log = structlog.get_logger(__name__)

LOOK_EVERY: Final = 60.0
"""Seconds between two looks whether the day's run is due."""
FROM: Final = 2 * HOUR
"""The run begins so long after midnight in China, once the day is sealed."""
ALWAYS: Final = 100
"""Recordings that a day's run may always delete, however few there are."""
BY: Final = "hotline recorder"
"""Who deletes, if it is the daily run. No user of the system has a space in their name."""
SEALED_SINCE: Final = timedelta(days=2)
"""A run deletes nothing if the newest seal is older: the clock may be wrong, or the sealing stands still."""


@dataclass(slots=True)
class Kept:
    """What one rule decides about. `duration` in microseconds, `size` in bytes; `oldest`, `newest` in microseconds.

    `due` of them may be deleted now, `held` of those are under a hold. `next_at`: when the next ones are due, or 0.
    """

    rule: str
    days: int
    calls: int = 0
    duration: int = 0
    size: int = 0
    oldest: int = 0
    newest: int = 0
    due: int = 0
    due_size: int = 0
    held: int = 0
    next_at: int = 0


@dataclass(slots=True)
class Survey:
    """All recordings by the rule that decides for them, and those that are due and not held."""

    rules: dict[str, Kept] = field(default_factory=dict)
    doomed: list[Doomed] = field(default_factory=list)
    recordings: int = 0


async def survey(
    engine: AsyncEngine,
    policy: RetentionPolicy,
    now: int,
    *,
    all_of_them: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Survey:
    """Lay every recording that has a file beside the rules; without `all_of_them` only those old enough for any."""
    found = Survey()
    for name, days in ((retention.DEFAULT, policy.days), *((r.name, r.days) for r in policy.rules)):
        found.rules[name] = Kept(name, days)
    columns = recording.c
    total = select(func.count()).where(columns.path != "", columns.certificate == 0)
    async with engine.connect() as connection:
        found.recordings = await connection.scalar(total) or 0
    held = await deletion.holds(engine, now)
    before = now if all_of_them else midnight(now) - policy.least * DAY
    done = 0
    async for page in _pages(engine, before):
        about = await _about(engine, policy, page)
        for entry in page:
            decided = retention.decide(policy, entry.finished_at, about.get(entry.call))
            kept = found.rules[decided.rule]
            _count(kept, entry)
            if decided.until > now:
                kept.next_at = min(decided.until, kept.next_at or decided.until)
                continue
            kept.due += 1
            kept.due_size += entry.size
            if entry.call in held:
                kept.held += 1
            else:
                found.doomed.append(Doomed(entry, decided.rule))
        done += len(page)
        progress(done, max(done, found.recordings))
    return found


def _count(kept: Kept, entry: LedgerEntry) -> None:
    kept.calls += 1
    kept.duration += entry.duration
    kept.size += entry.size
    kept.oldest = min(entry.finished_at, kept.oldest or entry.finished_at)
    kept.newest = max(entry.finished_at, kept.newest)


async def _pages(engine: AsyncEngine, before: int) -> AsyncGenerator[list[LedgerEntry]]:
    """The recordings that have a file and were entered before that moment."""
    columns = recording.c
    last = ""
    while True:
        question = (
            select(columns.call)
            .where(columns.call > last, columns.path != "", columns.certificate == 0)
            .where(columns.finished_at <= before)
            .order_by(columns.call)
            .limit(ledger.PAGE)
        )
        async with engine.connect() as connection:
            calls = list((await connection.execute(question)).scalars())
            entries = await ledger.entries_of(connection, calls)
        if entries:
            yield list(entries.values())
        if len(calls) < ledger.PAGE:
            return
        last = calls[-1]


async def _about(
    engine: AsyncEngine, policy: RetentionPolicy, page: Sequence[LedgerEntry]
) -> dict[CallId, tuple[str, str] | None]:
    """Queue and outcome of each call; a callback has the queue of its task, and no outcome. None: not known."""
    calls = [entry.call for entry in page]
    if not policy.asks_for_calls:
        return dict.fromkeys(calls, ("", ""))
    found: dict[CallId, tuple[str, str] | None] = {}
    stories = await reader.read_stories(engine, calls)
    for call, facts in stories.items():
        record = item_of(facts)
        if isinstance(record, CallRecord) and record.outcome is not None:
            found[call] = (record.queue, record.outcome.value)
    tasks = {callback_of(call) for call in calls if is_attempt(call)}
    question = select(callback.c.id, callback.c.queue).where(callback.c.id.in_(tasks))
    async with engine.connect() as connection:
        queues = {row.id: row.queue for row in await connection.execute(question)}
    for call in calls:
        if is_attempt(call) and callback_of(call) in queues:
            found[call] = (queues[callback_of(call)], "")
    return found


# --- a run


def most_of_a_day(settings: Settings, recordings: int) -> int:
    """How many recordings a run may delete by itself."""
    return max(ALWAYS, int(recordings * settings.retention_at_most / 100))


async def delete_due(
    engine: AsyncEngine, settings: Settings, now: int, *, by: str, most: int | None = None
) -> tuple[Survey, Deleted]:
    """Delete what is due, and enter what came of it. `most`: the operator's own limit.

    Raises `RetentionError`, and deletes nothing: rules that cannot be used or are not confirmed, more due than may be
    deleted at once, days without a seal.
    """
    found = Survey()
    try:
        policy = await _confirmed_policy(engine, settings)
        await _sealed_lately(engine, now)
        found = await survey(engine, policy, now, all_of_them=False)
        _within(
            len(found.doomed), most_of_a_day(settings, found.recordings) if most is None else most
        )
    except RetentionError as error:
        await _enter(engine, now, by, len(found.doomed), 0, str(error))
        raise
    done = await deletion.carry_out(engine, settings, found.doomed, by=by, rules=policy.digest)
    why = "; ".join(f"{call}: {said}" for call, said in done.kept[:3])
    await _enter(engine, now, by, len(found.doomed), len(done.done), why)
    return found, done


async def _confirmed_policy(engine: AsyncEngine, settings: Settings) -> RetentionPolicy:
    policy = deletion.policy_of(settings)
    last = await deletion.confirmed(engine)
    if last is None or last.digest != policy.digest:
        raise RetentionError(
            "the rules are not confirmed: see them with `hotline recordings retention`, then --confirm"
        )
    return policy


def _within(due: int, allowed: int) -> None:
    if due > allowed:
        raise RetentionError(
            f"{due} recordings are due, more than the {allowed} that may be deleted at once: none was deleted. Look at "
            f"them with `hotline recordings retention`; if it is right, add --delete --at-most {due}"
        )


async def _sealed_lately(engine: AsyncEngine, now: int) -> None:
    newest = await seals.newest(engine)
    oldest = (local(now).date() - SEALED_SINCE).isoformat()
    if newest is not None and newest.day < oldest:
        raise RetentionError(
            f"the newest seal is of {newest.day}: nothing is deleted before all days are sealed. Is the clock right? "
            "See hotline recordings seals"
        )


async def _enter(engine: AsyncEngine, now: int, by: str, due: int, deleted: int, why: str) -> None:
    row = {"at": now, "by": by[:80], "due": due, "deleted": deleted, "why": why[:400]}
    async with engine.begin() as connection:
        await connection.execute(insert(retention_run).values(row))


# --- the daily run


async def run(engine: AsyncEngine, settings: Settings, stop: asyncio.Event) -> None:
    """Delete once a day what is due, until `stop` is set. No error ends the loop."""
    keeper = Keeper(engine, settings)
    while not stop.is_set():
        await keeper.look(clock.now())
        await within(LOOK_EVERY, stop)


class Keeper:
    """What the loop remembers: whether it has gone on with what an earlier process began, and what it has said."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._said = ""
        self._database = Outage(log, "retention.database_away")

    async def look(self, now: int) -> None:
        """Do what is due at `now` (microseconds). Logs an error once, instead of raising it."""
        with database.noting(self._database):
            await self._do(now)

    async def _do(self, now: int) -> None:
        try:
            await deletion.resume(self._engine, self._settings)
            if not await deletion.is_confirmed(self._engine, self._settings):
                if not self._settings.trial:
                    self._say("retention.not_confirmed", UNCONFIRMED)
                return
            if now < midnight(now) + FROM or await self._ran(now):
                return
            _, done = await delete_due(self._engine, self._settings, now, by=BY)
            log.info("retention.run", deleted=len(done.done), kept=len(done.kept))
            self._said = ""
        except RetentionError as error:
            self._say("retention.stopped", str(error))
        except database.AWAY:
            raise
        except Exception as error:  # noqa: BLE001 the loop must outlive everything
            self._say("retention.failed", database.why(error)[:200])

    async def _ran(self, now: int) -> bool:
        """Whether the day's run was made."""
        columns = retention_run.c
        question = select(func.count()).where(columns.at >= midnight(now), columns.by == BY)
        async with self._engine.connect() as connection:
            return bool(await connection.scalar(question))

    def _say(self, event: str, why: str) -> None:
        if why != self._said:
            self._said = why
            log.warning(event, why=why)


UNCONFIRMED: Final = (
    "the rules of retention are not confirmed, so no recording is deleted: see them with `hotline recordings "
    "retention`, then --confirm"
)
"""What is said at every start, until an operator has confirmed the rules."""
