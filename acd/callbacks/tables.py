"""The callback tasks as a table; `acd.callbacks.book` reads and writes it."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, false

from base.database import metadata

callback = Table(
    "callback",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("number", String(40), nullable=False, doc="normal form (facts.numbers)"),
    Column("queue", String(32), nullable=False),
    Column("state", String(16), nullable=False, doc="acd.callback.State"),
    Column("reason", String(200), nullable=False),
    Column("matter", String(80), nullable=False),
    Column("earliest", BigInteger, nullable=False, doc="microseconds UTC, as all times here"),
    Column("latest", BigInteger, nullable=False),
    Column("attempts_left", Integer, nullable=False),
    Column("attempts", Integer, nullable=False, doc="made: those that count"),
    Column("tries", Integer, nullable=False, doc="names attempts, also those that do not count"),
    Column("spacing", BigInteger, nullable=False, doc="microseconds between attempts"),
    Column("prefers", String(8), nullable=False, doc="agent's number, or empty"),
    Column("agent", String(8), nullable=False, doc="who works on it now, or did last"),
    Column("attempt", String(80), nullable=False, doc="call id of the attempt that is under way"),
    Column("origin", String(80), nullable=False, doc="the call it comes from, or empty"),
    Column("place", BigInteger, nullable=False, doc="the kept place, or 0"),
    Column("not_before", BigInteger, nullable=False),
    Column("first", Boolean, nullable=False, doc="the citizen's answer crossed with our cancel"),
    Column("yields", Integer, nullable=False),
    Column("last_failure", String(40), nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False, doc="time of the last fact about it"),
    Column(
        "own",
        Boolean,
        nullable=False,
        default=False,
        server_default=false(),
        doc="the agent it prefers has the number dialled for themselves",
    ),
    Index("callback_state", "state", "latest"),
    Index("callback_updated_at", "updated_at"),
    Index("callback_origin", "origin"),
    Index("callback_number", "number"),
    # Ids name attempts and their recordings, so none is ever used again.
    sqlite_autoincrement=True,
)
