"""The diary's tables: one row a fact, and what has changed since the figures were rolled up."""

from sqlalchemy import JSON, BigInteger, Column, Index, String, Table, text

from base.database import ROW_ID, metadata

REQUESTED = "kind IN ('AgentOut', 'AgentPaused', 'AgentReady', 'AgentRemoved')"
PHONE = "kind IN ('PhoneReachable', 'PhoneUnreachable')"
"""Conditions of two indexes; a question has to use the same words."""

diary = Table(
    "diary",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False, doc="microseconds UTC"),
    Column("kind", String(32), nullable=False, doc="class name in facts"),
    Column("call", String(80), nullable=False, default=""),
    Column("agent", String(16), nullable=False, default=""),
    Column("more", JSON, nullable=False, doc="the fact's other fields"),
    Index("diary_kind_at", "kind", "at"),
    Index("diary_call", "call"),
    Index("diary_at", "at"),
)

# Who wants what, and whose phone is registered: the last word of each before a moment is asked for (metrics.people).
Index(
    "diary_wish",
    diary.c.agent,
    diary.c.at,
    sqlite_where=text(REQUESTED),
    postgresql_where=text(REQUESTED),
)
Index(
    "diary_phone",
    diary.c.agent,
    diary.c.at,
    sqlite_where=text(PHONE),
    postgresql_where=text(PHONE),
)

changed = Table(
    "changed",
    metadata,
    Column("call", String(80), primary_key=True, doc="or @ and the row of an agent's fact"),
    Column("stamp", BigInteger, nullable=False, doc="the diary's row that changed it last"),
)
