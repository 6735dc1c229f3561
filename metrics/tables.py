"""Figures that are written down: roll-ups, long waits, approved incidents; and what calls are searched by."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from base.database import metadata

rollup = Table(
    "rollup",
    metadata,
    Column(
        "level",
        Integer,
        primary_key=True,
        autoincrement=False,
        doc="minutes: 5, 60, 1440; or metrics.condensed",
    ),
    Column("begin", BigInteger, primary_key=True, autoincrement=False, doc="microseconds UTC"),
    Column("queue", String(32), primary_key=True),
    Column("number", String(80), primary_key=True),
    Column("agent", String(16), primary_key=True, doc="empty: all calls of this queue and number"),
    Column(
        "counts",
        Text,
        nullable=False,
        doc="JSON: the counts of a metrics.window.Tally, or of metrics.condensed",
    ),
)

rollup_version = Table(
    "rollup_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, doc="always 1"),
    Column("version", BigInteger, nullable=False, doc="grows with each change of the roll-ups"),
)

long_wait = Table(
    "long_wait",
    metadata,
    Column("slot", BigInteger, primary_key=True, autoincrement=False, doc="when the call arrived"),
    Column("call", String(80), primary_key=True),
    Column("begin", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=True, doc="null: still waiting"),
    Column("queue", String(32), nullable=False),
    Column("number", String(80), nullable=False),
)

call_trait = Table(
    "call_trait",
    metadata,
    Column(
        "trait", String(88), primary_key=True, doc="metrics.traits; empty: complete from `at` on"
    ),
    Column("at", BigInteger, primary_key=True, autoincrement=False, doc="when the call arrived"),
    Column("id", BigInteger, primary_key=True, autoincrement=False, doc="the diary's row of that"),
    sqlite_with_rowid=False,
)

incident = Table(
    "incident",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("begin", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("approved_by", String(80), nullable=False),
    Column("added_at", BigInteger, nullable=False),
)
