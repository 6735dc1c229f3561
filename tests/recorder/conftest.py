"""A spool, a database and calls to record."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from diary import tables
from facts import CallArrived, CallEnded, Fact, OfferAnswered, TalkEnded, restore
from facts.terms import Party
from facts.times import SECOND
from recorder.ledger import _diary_row

NOW = 1_763_731_300 * SECOND
"""The moment at which the tests look: 2025-11-21 21:21:40 in China."""


def call_id(number: int) -> str:
    return f"hotline-1763731200.{number}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, min_free_mb=0, recording_format="wav")
    made.spool_dir.mkdir(parents=True)
    return made


async def write(engine: AsyncEngine, facts: Iterable[Fact]) -> None:
    """Enter facts as the controller does."""
    async with engine.begin() as connection:
        await connection.execute(
            insert(tables.diary),
            [{**_diary_row(fact), "agent": getattr(fact, "agent", "")} for fact in facts],
        )


def a_call(
    call: str, seconds: int = 10, talk: int = 5, ended: int = NOW - 20 * SECOND
) -> list[Fact]:
    """A call of so many seconds, the last `talk` of them with an agent."""
    facts: list[Fact] = [CallArrived(ended - seconds * SECOND, call, "12345", "13812345678")]
    if talk:
        facts += [
            OfferAnswered(ended - talk * SECOND, call, "1001"),
            TalkEnded(ended, call, "1001", Party.CALLER),
        ]
    return [*facts, CallEnded(ended, call, Party.CALLER)]


Spool = Callable[..., Path]


@pytest.fixture
def spool(settings: Settings) -> Spool:
    def put(call: str, seconds: float = 10.0, extra: bytes = b"", age: float = 20.0) -> Path:
        """Put a raw file there that Asterisk last wrote to `age` seconds before `NOW`."""
        path = settings.spool_dir / f"{call}.raw"
        path.write_bytes(bytes((1, 0, 2, 0)) * int(8000 * seconds) + extra)
        moment = NOW * 1000 - int(age * 1e9)
        os.utime(path, ns=(moment, moment))
        return path

    return put


async def recording_facts(engine: AsyncEngine) -> list[Fact]:
    """What the recorder wrote into the diary, in order."""
    columns = tables.diary.c
    question = select(tables.diary).where(columns.kind.startswith("Recording")).order_by(columns.id)
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).all()
    return [restore(row.kind, row.at, row.call, row.agent, row.more) for row in rows]
