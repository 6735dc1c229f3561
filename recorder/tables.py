"""The recordings' ledger (录音台账), and what makes it provable (存证)."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table, Text

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
    Column("state", String(16), nullable=False, doc="finished, cut_off, short, missing or damaged"),
    Column("duration", BigInteger, nullable=False, doc="microseconds"),
    Column("size", BigInteger, nullable=False, doc="bytes"),
    Column("sha256", String(64), nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    Column("note", Text, nullable=False, default=""),
    Column(
        "cipher_sha256",
        String(64),
        nullable=False,
        default="",
        server_default="",
        doc="of the encrypted file without its slot; empty: it lies plain",
    ),
)

recording_key = Table(
    "recording_key",
    metadata,
    Column("call", String(80), primary_key=True),
    Column("master", String(16), nullable=False, index=True, doc="the id of the master key"),
    Column("wrapped", String(80), nullable=False, doc="RFC 3394, in hex"),
)
"""The key of each encrypted recording. The slot of its file has it too."""

recording_sound = Table(
    "recording_sound",
    metadata,
    Column("call", String(80), primary_key=True),
    Column("left_rms", Float, nullable=False, doc="dB below full scale; so are the next levels"),
    Column("left_peak", Float, nullable=False),
    Column("left_clipped", Float, nullable=False, doc="share of samples, 0 to 1"),
    Column("right_rms", Float, nullable=False),
    Column("right_peak", Float, nullable=False),
    Column("right_clipped", Float, nullable=False),
    Column("silence", BigInteger, nullable=False, doc="microseconds of long silences, all of them"),
    Column("silence_count", Integer, nullable=False),
    Column(
        "silences", Text, nullable=False, doc="JSON: the first 100, [begin, end] in microseconds"
    ),
    Column("talk_over", BigInteger, nullable=False, doc="microseconds in which both sides sound"),
)
"""What was measured in each recording when it was finished (`recorder.sound.Sound`)."""

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
