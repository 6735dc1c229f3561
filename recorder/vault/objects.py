"""What the database knows of the store's objects: how many recordings wait for it, and how one of them is deleted.

Apart from `uploads` and `store`, so that alarms and most commands need no client of S3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base.settings import Settings
from facts.terms import CallId
from recorder.tables import stored

WAITING: Final = ("local", "uploading")
"""The states of a recording that the store does not have yet."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """`count` recordings are not in the store yet; the oldest was finished at `since` (microseconds; 0: none waits)."""

    count: int
    since: int


async def backlog(connection: AsyncConnection) -> Backlog:
    """What waits for the store."""
    question = select(func.count(), func.min(stored.c.finished_at)).where(
        stored.c.state.in_(WAITING)
    )
    count, since = (await connection.execute(question)).one()
    return Backlog(count, since or 0)


async def forget(engine: AsyncEngine, settings: Settings, calls: Sequence[CallId]) -> int:
    """Delete what the store has of these calls, every version, and the rows that say so. Gives how many objects went.

    For a recording that is deleted as such; its file here is the caller's. Raises `StoreError`: nothing is
    forgotten then that may still be there.
    """
    question = select(stored.c.call, stored.c.path).where(stored.c.call.in_(calls))
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).all()
    if not rows:
        return 0
    from recorder.vault.store import Store

    bucket, count = Store(settings), 0
    for row in rows:
        count += await bucket.delete(row.path)
        async with engine.begin() as connection:
            await connection.execute(delete(stored).where(stored.c.call == row.call))
    return count
