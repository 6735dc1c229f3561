"""Messages from a supervisor to agents: one row for each agent who gets it. Old ones go by age and by number."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from agents.tables import message
from facts.times import DAY

LONGEST: Final = 200
"""Characters of a message: what a phone's display shows, and one datagram holds."""
KEPT: Final = 100
"""Messages that are kept for one agent."""
IN_ALL: Final = 100_000
"""Rows that are kept in all."""
MOST: Final = 500
"""Rows in one answer."""

WAITING, ACCEPTED, REFUSED = "waiting", "accepted", "refused"
SILENT, UNKNOWN, NO_PHONE = "silent", "unknown", "no_phone"
"""What became of the text on the agent's phone; `unknown`: nobody could hear its answer."""


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """One message for one agent. Times in microseconds; `read_at`: 0 until then. `phone`: what became of it there."""

    id: int
    at: int
    by: str
    agent: str
    text: str
    phone: str
    read_at: int


async def add(
    engine: AsyncEngine, at: int, by: str, text: str, agents: Mapping[str, str], days: float
) -> dict[str, int]:
    """Enter a message for each of these agents (agent → its `phone`). Gives agent → its number.

    What is older than `days` goes, what is more than `IN_ALL`, and for a single agent what is more than `KEPT`.
    """
    rows = [
        {"at": at, "by": by, "agent": agent, "text": text, "phone": phone, "read_at": 0}
        for agent, phone in agents.items()
    ]
    column = message.c
    newer = (
        select(func.count())
        .select_from(other := message.alias())
        .where(other.c.agent == column.agent, other.c.id > column.id)
        .scalar_subquery()
    )
    async with engine.begin() as connection:
        made = await connection.execute(insert(message).returning(column.id, column.agent), rows)
        numbers = {row.agent: row.id for row in made}
        await connection.execute(delete(message).where(column.at < at - round(days * DAY)))
        await connection.execute(delete(message).where(column.id <= max(numbers.values()) - IN_ALL))
        if len(agents) == 1:
            mine = column.agent.in_(agents)
            await connection.execute(delete(message).where(mine, newer >= KEPT))
    return numbers


async def told(engine: AsyncEngine, phones: Mapping[int, str]) -> None:
    """Enter what became of messages on the phones."""
    async with engine.begin() as connection:
        for number, phone in phones.items():
            change = update(message).where(message.c.id == number).values(phone=phone)
            await connection.execute(change)


async def mark_read(engine: AsyncEngine, agent: str, number: int, at: int) -> bool:
    """The agent has read this message of theirs; False if they have none of this number."""
    change = (
        update(message)
        .where(message.c.id == number, message.c.agent == agent)
        .values(read_at=func.coalesce(func.nullif(message.c.read_at, 0), at))
    )
    async with engine.begin() as connection:
        return (await connection.execute(change)).rowcount > 0


async def unread(engine: AsyncEngine, only: Collection[str] = ()) -> dict[str, int]:
    """Agent → the newest message that they have not read; of all, or of `only` these."""
    column = message.c
    question = select(column.agent, func.max(column.id)).where(column.read_at == 0)
    if only:
        question = question.where(column.agent.in_(only))
    async with engine.connect() as connection:
        rows = await connection.execute(question.group_by(column.agent))
        return {row[0]: row[1] for row in rows}


async def of_agent(engine: AsyncEngine, agent: str) -> list[AgentMessage]:
    """The agent's messages, the newest first."""
    return await _read(engine, select(message).where(message.c.agent == agent))


async def sent_by(engine: AsyncEngine, by: str) -> list[AgentMessage]:
    """What this account has sent, the newest first; at most `MOST` rows."""
    return await _read(engine, select(message).where(message.c.by == by))


async def _read(engine: AsyncEngine, question: Select[Any]) -> list[AgentMessage]:
    async with engine.connect() as connection:
        rows: Sequence[Any] = (
            await connection.execute(question.order_by(message.c.id.desc()).limit(MOST))
        ).all()
    return [AgentMessage(**row._mapping) for row in rows]
