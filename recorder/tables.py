"""The recordings' ledger (录音台账)."""

from sqlalchemy import BigInteger, Column, String, Table, Text

from base.database import metadata

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
