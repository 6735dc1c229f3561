"""The rules of distribution in the database: read, changed as a whole or not at all, and the list of blocked callers.

Every change writes the row of the table `rules` first, which locks it. So of two changes at once the second sees what
the first has done, in SQLite and in PostgreSQL, and neither undoes the other. Times are microseconds UTC.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from acd.rules import tables as rules_tables
from acd.rules.model import Flag, Member, Number, Queue, Rules, Strategy, SurveyWhen
from acd.rules.text import Rulebook, RulesError, in_order, problems
from agents import tables as agents_tables
from agents.pause import Pause
from base.settings import Settings


def defaults(settings: Settings) -> Queue:
    """What holds for a queue that sets nothing itself: the settings' times, and else the program's defaults."""
    return Queue(
        ring_time=settings.ring_time,
        wrap_up_time=settings.wrap_up_time,
        longest_wait=settings.longest_wait,
    )


async def load(engine: AsyncEngine, defaults: Queue, numbers: tuple[str, ...] = ()) -> Rules:
    """The rules as the floor takes them.

    `defaults` holds for what a queue does not set. `numbers`: the settings' numbers, which lead to the queue `default`
    if the rules do not assign them.
    """
    return (await read(engine)).rules(defaults, numbers)


async def read(engine: AsyncEngine) -> Rulebook:
    """The rules as operators have set them."""
    async with engine.connect() as connection:
        return await _read(connection)


async def save(engine: AsyncEngine, book: Rulebook, defaults: Queue | None = None) -> None:
    """Replace all rules. Raises `RulesError` with everything that cannot work; nothing has changed then."""
    await change(engine, lambda _: book, defaults)


async def change(
    engine: AsyncEngine,
    edit: Callable[[Rulebook], Rulebook],
    defaults: Queue | None = None,
    own: Collection[str] = (),
) -> Rulebook:
    """Let `edit` make new rules of those in force, and keep them. Returns the new rules.

    `own`: numbers of the hotline that the rules do not assign.

    Raises `RulesError` if `edit` refuses, or if the new rules cannot work; nothing has changed then.
    """
    async with engine.begin() as connection:
        # A write, because it locks: what is read below cannot change any more.
        await connection.execute(
            update(rules_tables.rules).values(version=rules_tables.rules.c.version + 1)
        )
        old = await _read(connection)
        new = edit(old)
        roster = set((await connection.execute(select(agents_tables.agent.c.number))).scalars())
        if found := list(problems(new, roster, defaults, own)):
            raise RulesError(found)
        await connection.execute(update(rules_tables.rules).values(priority_step=new.priority_step))
        before, after = _rows(old), _rows(new)
        try:
            # Rows that others refer to are added first, and removed last.
            for table in reversed(_TABLES):
                await _remove(connection, table, before[table.name], after[table.name])
            for table in _TABLES:
                await _add(connection, table, before[table.name], after[table.name])
        except IntegrityError as error:
            raise RulesError(
                ["an agent was removed at this moment: look at `hotline agent list`, then again"]
            ) from error
    return new


# --- rows

_TABLES = (
    rules_tables.queue,
    rules_tables.number,
    rules_tables.member,
    rules_tables.agent_skill,
    rules_tables.caller_flag,
    rules_tables.opening_hours,
    rules_tables.pause_reason,
)

_Row = dict[str, Any]
_Rows = dict[tuple[Any, ...], _Row]
"""Primary key → row."""


def _rows(book: Rulebook) -> dict[str, _Rows]:
    """The rows of each table, by its name."""
    rows: dict[Table, list[_Row]] = {
        rules_tables.queue: [
            {"name": name, "settings": dict(own)} for name, own in book.queues.items()
        ],
        rules_tables.number: [asdict(number) for number in book.numbers.values()],
        rules_tables.member: [asdict(member) for member in book.members],
        rules_tables.agent_skill: [
            {"agent": agent, "skill": skill, "level": level}
            for agent, skills in book.skills.items()
            for skill, level in skills.items()
        ],
        rules_tables.caller_flag: [asdict(flag) for flag in book.flags.values()],
        rules_tables.opening_hours: [
            {"name": name, "times": dict(times)} for name, times in book.hours.items()
        ],
        rules_tables.pause_reason: [asdict(pause) for pause in book.pauses],
    }
    return {
        table.name: {tuple(row[one.name] for one in table.primary_key): row for row in of_table}
        for table, of_table in rows.items()
    }


async def _read(connection: AsyncConnection) -> Rulebook:
    async def rows(table: Table) -> list[_Row]:
        found = await connection.execute(select(table).order_by(*table.primary_key))
        return [dict(row) for row in found.mappings()]

    skills: dict[str, dict[str, int]] = {}
    for row in await rows(rules_tables.agent_skill):
        skills.setdefault(row["agent"], {})[row["skill"]] = row["level"]
    step = (await connection.execute(select(rules_tables.rules.c.priority_step))).scalar_one()
    return Rulebook(
        queues={row["name"]: _settings(row["settings"]) for row in await rows(rules_tables.queue)},
        numbers={row["number"]: Number(**row) for row in await rows(rules_tables.number)},
        members=in_order(Member(**row) for row in await rows(rules_tables.member)),
        skills=skills,
        flags={row["caller"]: Flag(**row) for row in await rows(rules_tables.caller_flag)},
        hours={row["name"]: row["times"] for row in await rows(rules_tables.opening_hours)},
        pauses=tuple(Pause(**row) for row in await rows(rules_tables.pause_reason)),
        priority_step=step,
    )


def _settings(stored: _Row) -> _Row:
    known = {"strategy": Strategy, "survey": SurveyWhen}
    return {name: known[name](value) if name in known else value for name, value in stored.items()}


async def _remove(connection: AsyncConnection, table: Table, before: _Rows, after: _Rows) -> None:
    columns = list(table.primary_key)
    for key in before.keys() - after.keys():
        matches = [column == value for column, value in zip(columns, key, strict=True)]
        await connection.execute(delete(table).where(*matches))


async def _add(connection: AsyncConnection, table: Table, before: _Rows, after: _Rows) -> None:
    columns = list(table.primary_key)
    if fresh := [row for key, row in after.items() if key not in before]:
        await connection.execute(insert(table), fresh)
    for key, row in after.items():
        if key in before and before[key] != row:
            matches = [column == value for column, value in zip(columns, key, strict=True)]
            await connection.execute(update(table).where(*matches).values(row))


# --- blocked callers (R18)


@dataclass(frozen=True, slots=True)
class Block:
    """A caller who is not let through. In force from its approval by a second person on, and before `until`.

    `calls`: how often the caller was turned away. Those calls are in the statistics with the outcome `blocked`.
    """

    caller: str
    reason: str
    asked_by: str
    approved_by: str
    added_at: int
    until: int
    calls: int = 0

    def in_force(self, now: int) -> bool:
        """Whether the caller's calls are turned away."""
        return bool(self.approved_by) and now < self.until


async def blocks(engine: AsyncEngine) -> list[Block]:
    """Every block, also those that wait for approval and those that ran out; the newest first."""
    question = select(rules_tables.blocked).order_by(
        rules_tables.blocked.c.added_at.desc(), rules_tables.blocked.c.caller
    )
    async with engine.connect() as connection:
        return [Block(**row) for row in (await connection.execute(question)).mappings()]


async def blocked(engine: AsyncEngine, now: int) -> Mapping[str, Block]:
    """Who is blocked at this moment, by normalised number. A block may run out: ask `in_force` again later."""
    return {one.caller: one for one in await blocks(engine) if one.in_force(now)}


async def block(engine: AsyncEngine, wanted: Block, now: int) -> None:
    """Ask for a block. It replaces one that ran out, but not one that is in force or waits for approval.

    Raises `RulesError`.
    """
    if not wanted.reason or not wanted.asked_by:
        raise RulesError(["a block needs a reason and the name of who asks for it"])
    if wanted.until <= now:
        raise RulesError(["the end of the block has passed already"])
    async with engine.begin() as connection:
        await connection.execute(
            delete(rules_tables.blocked).where(
                rules_tables.blocked.c.caller == wanted.caller, rules_tables.blocked.c.until <= now
            )
        )
        try:
            await connection.execute(insert(rules_tables.blocked).values(asdict(wanted)))
        except IntegrityError as error:
            raise RulesError(
                ["this caller is on the list already: `hotline queue block list` shows since when"]
            ) from error


async def approve(engine: AsyncEngine, caller: str, by: str, now: int) -> None:
    """Put a block into force. The person who asked for it may not do so. Raises `RulesError`."""
    if not by:
        raise RulesError(["who approves it?"])
    async with engine.begin() as connection:
        done = await connection.execute(
            update(rules_tables.blocked)
            .where(
                rules_tables.blocked.c.caller == caller,
                rules_tables.blocked.c.asked_by != by,
                rules_tables.blocked.c.approved_by == "",
                rules_tables.blocked.c.until > now,
            )
            .values(approved_by=by)
        )
        if done.rowcount:
            return
        row = (
            await connection.execute(
                select(rules_tables.blocked).where(rules_tables.blocked.c.caller == caller)
            )
        ).one_or_none()
    raise RulesError([_not_approved(row, by, now)])


def _not_approved(row: Any, by: str, now: int) -> str:
    if row is None:
        return _UNKNOWN
    if row.until <= now:
        return "this block has run out: ask for a new one"
    if row.approved_by:
        return f"{row.approved_by} has approved this block already"
    return f"{by} asked for this block: somebody else must approve it"


async def unblock(engine: AsyncEngine, caller: str) -> None:
    """Take a caller off the list. Raises `RulesError` if they are not on it."""
    async with engine.begin() as connection:
        done = await connection.execute(
            delete(rules_tables.blocked).where(rules_tables.blocked.c.caller == caller)
        )
    if not done.rowcount:
        raise RulesError([_UNKNOWN])


async def count_blocked(engine: AsyncEngine, caller: str) -> None:
    """Count that a blocked caller was turned away once more."""
    calls = rules_tables.blocked.c.calls
    async with engine.begin() as connection:
        await connection.execute(
            update(rules_tables.blocked)
            .where(rules_tables.blocked.c.caller == caller)
            .values(calls=calls + 1)
        )


_UNKNOWN = "this caller is not on the list: `hotline queue block list` shows who is"


# --- the working calendar (R8)

Year = dict[str, list[str]]
"""`holidays` and `makeup_workdays`: dates as `2026-02-14`."""


async def calendar(engine: AsyncEngine) -> dict[str, Year]:
    """The years that were imported, as `{"2026": {"holidays": […], "makeup_workdays": […]}}`.

    They replace the program's own (`ivr/cn-workdays.json`).
    """
    question = select(rules_tables.calendar_year).order_by(rules_tables.calendar_year.c.year)
    async with engine.connect() as connection:
        return {
            str(row.year): {"holidays": row.holidays, "makeup_workdays": row.makeup_workdays}
            for row in await connection.execute(question)
        }


async def set_calendar(engine: AsyncEngine, years: Mapping[str, Year]) -> None:
    """Replace these years; the others stay. `facts.calendar.read_years` makes them from a file."""
    async with engine.begin() as connection:
        for year, days in years.items():
            row = {"year": int(year), **days}
            await connection.execute(
                delete(rules_tables.calendar_year).where(
                    rules_tables.calendar_year.c.year == int(year)
                )
            )
            await connection.execute(insert(rules_tables.calendar_year).values(row))
