"""The database: tables, views for Asterisk, and how to open it. SQLite in WAL mode by default, PostgreSQL by URL."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

metadata = MetaData()

_RowId = BigInteger().with_variant(Integer, "sqlite")

diary = Table(
    "diary",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False, doc="microseconds UTC"),
    Column("kind", String(32), nullable=False, doc="class name in acd.events"),
    Column("call", String(80), nullable=False, default=""),
    Column("agent", String(16), nullable=False, default=""),
    Column("more", JSON, nullable=False, doc="the fact's other fields"),
    Index("diary_kind_at", "kind", "at"),
    Index("diary_call", "call"),
    Index("diary_at", "at"),
)

agent = Table(
    "agent",
    metadata,
    Column("number", String(8), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("md5_cred", String(32), nullable=False, doc="MD5(number:hotline:password), RFC 2617"),
    Column("intent", String(8), nullable=False, default="out"),
    Column("pause_reason", String(80), nullable=False, default=""),
    Column("intent_at", BigInteger, nullable=False, default=0),
    Column("added_at", BigInteger, nullable=False),
)

recording = Table(
    "recording",
    metadata,
    Column("call", String(80), primary_key=True),
    Column(
        "path",
        Text,
        nullable=False,
        doc="relative to the recordings folder; empty when there is none",
    ),
    Column("state", String(16), nullable=False, doc="finished, short, missing or damaged"),
    Column("duration", BigInteger, nullable=False, doc="microseconds"),
    Column("size", BigInteger, nullable=False, doc="bytes"),
    Column("sha256", String(64), nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    Column("note", Text, nullable=False, default=""),
)

SIP_REALM = "hotline"
"""The realm in the agents' digest (RFC 3261 section 22); fixed, because the stored hash contains it."""


def engine(url: str, **options: Any) -> AsyncEngine:
    """Open the database at `url`. SQLite gets WAL mode, so that readers (Asterisk is one) never wait for writers."""
    made = create_async_engine(url, **options)
    if made.dialect.name == "sqlite":

        @event.listens_for(made.sync_engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.execute("PRAGMA busy_timeout=5000")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

    return made
