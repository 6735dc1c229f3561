"""The audit log: who did what, when, from where, and what came of it. One row a request that changes something.

A row is written before the answer leaves, so whoever saw an answer is in the log.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import and_, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from hotline import db
from hotline.log import mask

MOST: Final = 500
"""Rows in one answer."""


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
) -> None:
    """Enter one row. `action`: method and path, such as `POST /api/agents/{number}/pause`; `values`: the path's."""
    target = " ".join(
        mask(value) if name in {"caller", "number_dialled"} else value
        for name, value in values.items()
    )
    row = {
        "at": at,
        "who": who[:40],
        "role": role,
        "address": address[:45],
        "action": action[:120],
        "target": _clean(target)[:120],
        "status": status,
    }
    async with engine.begin() as connection:
        await connection.execute(insert(db.audit).values(row))


async def read(
    engine: AsyncEngine,
    *,
    since: int = 0,
    until: int = 2**63 - 1,
    who: str = "",
    limit: int = 100,
    before: tuple[int, int] | None = None,
) -> list[dict[str, Any]]:
    """The newest rows with `since` ≤ at < `until`, newest first; with `before`, those older than (at, id)."""
    columns = db.audit.c
    question = (
        select(db.audit)
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
        return [dict(row) for row in (await connection.execute(question)).mappings()]


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
