"""The agents' phones in a file beside Asterisk, so that phones ring and stay registered while PostgreSQL is away.

Asterisk asks for a phone at every registration and every call. With SQLite it reads the database itself, which lies on
this machine. With PostgreSQL it reads this file, which the controller keeps equal to the roster: at once when it is
told of a change, and within `LOOK_EVERY` when nobody tells. The file holds only what Asterisk's views need.

A cache in Asterisk (res_sorcery_memory_cache) was tried: with endpoints in it, Asterisk 22.10 sends no ContactStatus
for the phones, and the fallback queue and transfers would still ask the database.
"""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from agents import tables
from base import database
from base.settings import Settings
from telephony.realtime import VIEWS

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the roster."""
_ANSWER_WITHIN = 5.0

_COLUMNS = ("number", "md5_cred", "intent")


def file_of(settings: Settings) -> Path:
    """The SQLite file that Asterisk reads: the database itself, or the copy of a PostgreSQL roster."""
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite":
        return Path(url.database or "").absolute()
    return settings.asterisk_dir / "phones.db"


class PhoneMirror:
    """Keeps the file equal to the roster. With SQLite there is nothing to do."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self._engine = engine
        self._file = file_of(settings)
        self._needed = engine.dialect.name != "sqlite"
        self._written: list[tuple[str, ...]] | None = None
        # Two looks at once could write the older roster last.
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Look at the roster for ever."""
        while self._needed:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> bool:
        """Make the file what the roster is now. False when the database is away: then the file stays as it was."""
        if not self._needed:
            return True
        async with self._lock:
            try:
                async with asyncio.timeout(_ANSWER_WITHIN):
                    found = await self._read()
                if found != self._written:
                    await asyncio.to_thread(_write, self._file, found)
                    self._written = found
            except Exception as error:  # noqa: BLE001 a fault of ours is logged with its trace
                log.warning("phones.as_before", **database.told(error))
                return False
            return True

    async def _read(self) -> list[tuple[str, ...]]:
        columns = [tables.agent.c[name] for name in _COLUMNS]
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(*columns).order_by(tables.agent.c.number))
            return [tuple(row) for row in rows]


def _write(file: Path, agents: list[tuple[str, ...]]) -> None:
    """Replace the roster in the file in one transaction: Asterisk has the file open and sees the old or the new one."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    with closing(sqlite3.connect(file, timeout=5, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("BEGIN IMMEDIATE")
        for view in VIEWS:
            database.execute(f"DROP VIEW IF EXISTS {view}")
        database.execute("DROP TABLE IF EXISTS agent")
        database.execute("CREATE TABLE agent (number TEXT PRIMARY KEY, md5_cred TEXT, intent TEXT)")
        database.executemany("INSERT INTO agent VALUES (?, ?, ?)", agents)
        for statement in VIEWS.values():
            database.execute(statement)
        database.execute("COMMIT")
