"""The audit log: who did what, when, from where, why, and the result. One row a request that changes something
or shows citizens' data, one a command that shows them.

A row is written before the answer leaves, so everybody who saw an answer is in the log. `hotline web` deletes rows that
are older than `HOTLINE_AUDIT_DAYS`, and a row says so.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, cast

import structlog
from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypedDict

from base import clock, database
from base.background import stopping
from facts.masking import mask, mask_numbers, reason_of
from facts.times import DAY, local, midnight
from web.accounts import tables

log = structlog.get_logger(__name__)

MOST: Final = 500
"""Rows in one answer."""
EVERY: Final = 86_400.0
"""Seconds between two looks for rows that are too old."""
AGAIN: Final = 600.0
"""The same after a look that failed."""
BATCH: Final = 1000
"""Rows deleted in one transaction: other writers wait only a few milliseconds for SQLite's lock."""
BY: Final = "hotline web"
"""The name under which rows are deleted. No account has a space in its name."""
COMMAND: Final = 0
"""The status of a row by the command line, which is written before the command shows anything."""
SIGN_IN: Final = "POST /api/session"
"""The action of a row that says who signed in."""

_CITIZEN: Final = frozenset({"caller", "number_dialled"})
_SEARCHED: Final = (
    *("caller", "number", "agent", "queue", "outcome", "disposition", "state", "kinds"),
    *("download", "format", "from", "to", "day", "since", "until", "shortest", "longest"),
    *("hours", "limit", "cursor"),
)
"""Names in a query, in the order in which a row has them."""
_PAUSE: Final = 0.02


async def write(
    engine: AsyncEngine,
    *,
    at: int,
    who: str,
    role: str,
    address: str,
    action: str,
    values: Mapping[str, str],
    status: int,
    asked: Mapping[str, str] | None = None,
    why: str = "",
) -> None:
    """Enter one row. `action`: method and path, such as `POST /api/agents/{number}/pause`; `values`: the path's.

    `asked`: what was searched, as `searched` gives it. `status`: HTTP's, or `COMMAND`. `why`: the reason given.
    """
    target = " ".join(
        [
            *(mask(value) if name in _CITIZEN else value for name, value in values.items()),
            *(f"{name}={value}" for name, value in (asked or {}).items()),
        ]
    )
    row = {
        "at": at,
        "who": who[:40],
        "role": role,
        "address": address[:45],
        "action": action[:120],
        "target": _clean(target)[:120],
        "status": status,
        "why": reason_of(why),
    }
    async with engine.begin() as connection:
        await connection.execute(insert(tables.audit).values(row))


class AuditRow(TypedDict):
    """One entry: who did what, and `why`. `at`: microseconds. `status`: the HTTP status of the answer."""

    id: int
    at: int
    who: str
    role: str
    address: str
    action: str
    target: str
    status: int
    why: str


def searched(query: Mapping[str, str]) -> dict[str, str]:
    """What a search asked for, numbers masked, who and what first: a long row is cut at its end."""
    known = [name for name in _SEARCHED if query.get(name)]
    return {
        name: mask(query[name]) if name in _CITIZEN else mask_numbers(query[name][:40])
        for name in known
    }


async def read(
    engine: AsyncEngine,
    *,
    since: int = 0,
    until: int = 2**63 - 1,
    who: str = "",
    limit: int = 100,
    before: tuple[int, int] | None = None,
) -> list[AuditRow]:
    """The newest rows with `since` ≤ at < `until`, newest first; with `before`, those older than (at, id)."""
    columns = tables.audit.c
    question = (
        select(tables.audit)
        .where(columns.at >= since, columns.at < until)
        .order_by(columns.at.desc(), columns.id.desc())
        .limit(min(limit, MOST))
    )
    if who:
        question = question.where(columns.who == who)
    if before is not None:
        at, row = before
        question = question.where(or_(columns.at < at, and_(columns.at == at, columns.id < row)))
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).mappings()
        return [cast("AuditRow", dict(row)) for row in rows]


async def signed_in_from(engine: AsyncEngine, since: int) -> list[tuple[str, str]]:
    """Accounts and addresses of those who signed in since then, the newest last."""
    columns = tables.audit.c
    question = (
        select(columns.who, columns.address)
        .where(columns.at >= since, columns.action == SIGN_IN, columns.status == 200)
        .group_by(columns.who, columns.address)
        .order_by(func.max(columns.at))
    )
    async with engine.connect() as connection:
        return [(row.who, row.address) for row in await connection.execute(question)]


async def keep(engine: AsyncEngine, days: int) -> None:
    """Delete what is older than `days` days, now and once a day, for ever. No error ends it."""
    while not stopping():
        pause = EVERY
        try:
            if gone := await prune(engine, clock.now(), days):
                log.info("audit.pruned", rows=gone, days=days)
        except database.AWAY as error:
            log.error("audit.not_pruned", why=database.why(error)[:200])
            pause = AGAIN
        except Exception:
            log.exception("audit.not_pruned")
            pause = AGAIN
        await asyncio.sleep(pause)


async def prune(engine: AsyncEngine, now: int, days: int) -> int:
    """Delete the rows from before the day in China that began `days` days before that of `now`; gives how many.

    One row says how many were deleted and from before which day. Each batch adds to it in the same transaction, so the
    row is right even if the work is interrupted.
    """
    columns = tables.audit.c
    before = midnight(now) - days * DAY
    old = select(columns.id).where(columns.at < before).order_by(columns.at).limit(BATCH)
    gone = 0
    entry: int | None = None
    while True:
        async with engine.begin() as connection:
            found = await connection.execute(delete(tables.audit).where(columns.id.in_(old)))
            if not found.rowcount:
                return gone
            gone += found.rowcount
            target = f"{gone} from before {local(before):%Y-%m-%d}"
            if entry is None:
                row = {"at": now, "who": BY, "role": "", "address": "", "status": 200}
                added = insert(tables.audit).values(**row, action="DELETE audit", target=target)
                entry = await connection.scalar(added.returning(columns.id))
            else:
                await connection.execute(
                    update(tables.audit).where(columns.id == entry).values(target=target)
                )
        await asyncio.sleep(_PAUSE)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
