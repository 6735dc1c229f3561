"""Rows of roll-ups: one as it is stored, and the lock of all who write them."""

import orjson
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from metrics.sums import Key
from metrics.tables import rollup_version
from metrics.window import Tally


def row_of(level: int, begin: int, key: Key, tally: Tally) -> dict[str, object]:
    """A row of the table `rollup`."""
    return counted(level, begin, key, tally.counts)


def counted(level: int, begin: int, key: Key, counts: object) -> dict[str, object]:
    """The same with `counts` of another form."""
    return {
        "level": level,
        "begin": begin,
        "queue": key.queue,
        "number": key.number,
        "agent": key.agent,
        "counts": orjson.dumps(counts, option=orjson.OPT_SORT_KEYS).decode(),
    }


async def version_of(engine: AsyncEngine) -> int:
    """How often the roll-ups were changed. Read before the facts, it tells whether another process wrote meanwhile."""
    async with engine.begin() as connection:
        known: int | None = await connection.scalar(select(rollup_version.c.version))
        if known is None:
            await connection.execute(insert(rollup_version).values(id=1, version=0))
    return known or 0


async def claim(connection: AsyncConnection, version: int) -> bool:
    """Take the lock of all writers; False when the roll-ups no longer have that version."""
    done = await connection.execute(
        update(rollup_version)
        .where(rollup_version.c.version == version)
        .values(version=version + 1)
    )
    return done.rowcount == 1
