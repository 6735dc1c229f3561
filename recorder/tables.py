"""The recordings' ledger (录音台账), and what makes it provable (存证)."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

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

evidence = Table(
    "recording_evidence",
    metadata,
    Column(
        "number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("call", String(80), nullable=False, index=True),
    Column("row", Text, nullable=False, doc="as it is hashed: never changed, never removed"),
    Column("entered_at", BigInteger, nullable=False),
    Column("day", String(10), nullable=False, doc="of the seal; empty: not sealed yet"),
)
"""Every version of every row of the ledger, in the order in which they were entered."""
Index("recording_evidence_by_day", evidence.c.day, evidence.c.entered_at)

seal = Table(
    "recording_seal",
    metadata,
    Column("day", String(10), primary_key=True, doc="in China"),
    Column("rows", Integer, nullable=False),
    Column("root", String(64), nullable=False),
    Column("previous", String(64), nullable=False, doc="the head before; empty: the first"),
    Column("head", String(64), nullable=False),
    Column("sm3_root", String(64), nullable=False, doc="empty, as the next two: without SM3"),
    Column("sm3_previous", String(64), nullable=False),
    Column("sm3_head", String(64), nullable=False),
    Column("signature", String(128), nullable=False),
    Column("public_key", String(64), nullable=False),
    Column("sealed_at", BigInteger, nullable=False),
    Column("fault", Text, nullable=False, doc="what the recorder's last look found; not sealed"),
)
"""One row a day. Only `fault` ever changes."""

stamp = Table(
    "recording_stamp",
    metadata,
    Column("day", String(10), primary_key=True, doc="of the seal"),
    Column("token", Text, nullable=False, doc="the authority's answer (RFC 3161), base64"),
    Column("at", BigInteger, nullable=False, doc="as the authority says; microseconds"),
)
"""A seal that an authority outside has stamped: at most one a day."""
