"""Urgent matters (R17): one row for each press of the red button, written in one transaction with its fact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Executable, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from alarms.tables import urgent_matter
from diary.writer import Beside, DiaryRow
from facts import AlertAcknowledged, AlertEscalated, AlertRaised

MOST: Final = 200
"""Rows in one answer."""


@dataclass(frozen=True, slots=True)
class Matter:
    """One urgent matter. Times in microseconds, 0: not yet. `level`: how often nobody acknowledged it in time."""

    id: int
    at: int
    call: str
    agent: str
    raised_by: str
    note: str
    level: int
    acknowledged_at: int
    acknowledged_by: str


def beside(dialect: str) -> Mapping[str, Beside]:
    """What is written with which kind of fact. Each statement may run twice: a batch may be sent again."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert

    def raised(row: DiaryRow) -> Executable:
        more = row["more"]
        return (
            insert(urgent_matter)
            .values(
                id=more["alert"],
                at=row["at"],
                call=row["call"],
                agent=row["agent"],
                raised_by=more["by"],
                note=more["note"],
                level=0,
                acknowledged_at=0,
                acknowledged_by="",
            )
            .on_conflict_do_nothing(index_elements=["id"])
        )

    def acknowledged(row: DiaryRow) -> Executable:
        mine = urgent_matter.c.id == row["more"]["alert"]
        return (
            update(urgent_matter)
            .where(mine, urgent_matter.c.acknowledged_at == 0)
            .values(acknowledged_at=row["at"], acknowledged_by=row["more"]["by"])
        )

    def escalated(row: DiaryRow) -> Executable:
        mine = urgent_matter.c.id == row["more"]["alert"]
        level = row["more"]["level"]
        return update(urgent_matter).where(mine, urgent_matter.c.level < level).values(level=level)

    return {
        AlertRaised.kind: raised,
        AlertAcknowledged.kind: acknowledged,
        AlertEscalated.kind: escalated,
    }


async def unseen(engine: AsyncEngine) -> list[Matter]:
    """Those that nobody has acknowledged, the oldest first."""
    question = select(urgent_matter).where(urgent_matter.c.acknowledged_at == 0)
    return await _read(engine, question.order_by(urgent_matter.c.id))


async def newest(engine: AsyncEngine) -> list[Matter]:
    """The newest ones, the newest first; at most `MOST`."""
    return await _read(
        engine, select(urgent_matter).order_by(urgent_matter.c.id.desc()).limit(MOST)
    )


async def _read(engine: AsyncEngine, question: Any) -> list[Matter]:
    async with engine.connect() as connection:
        rows: Sequence[Any] = (await connection.execute(question)).all()
    return [Matter(**row._mapping) for row in rows]
