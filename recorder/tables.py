"""The recordings' ledger (录音台账), what makes it provable (存证), and what is deleted by which rule (保存期限)."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

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
        "certificate",
        BigInteger,
        nullable=False,
        default=0,
        server_default="0",
        doc="number in the evidence of the certificate of its deletion; 0: it was not deleted",
    ),
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

stored = Table(
    "recording_stored",
    metadata,
    Column("call", String(80), primary_key=True),
    Column("path", Text, nullable=False, doc="its key in the store, below the prefix"),
    Column("state", String(16), nullable=False, doc="local, uploading or stored"),
    Column("size", BigInteger, nullable=False, doc="of the file as it was put, in bytes"),
    Column("sha256", String(64), nullable=False, doc="the same; empty: not put yet"),
    Column("finished_at", BigInteger, nullable=False, doc="of the ledger's row that was put"),
    Column("stored_at", BigInteger, nullable=False, doc="when it was proven; 0: not yet"),
    Column("left_at", BigInteger, nullable=False, doc="when the copy here went; 0: it is here"),
)
"""Which recordings the store has. A row is made when the recorder sees that a recording must go there."""
Index("recording_stored_by_state", stored.c.state, stored.c.left_at, stored.c.stored_at)
Index("recording_by_finish", recording.c.finished_at)

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
"""What was measured in each recording when it was finished (`recorder.entry.Sound`)."""

recording_words = Table(
    "recording_words",
    metadata,
    Column("call", String(80), primary_key=True),
    Column("cipher_sha256", String(64), nullable=False, doc="of the recording that was heard"),
    Column("state", String(16), nullable=False, doc="done, empty, too_long or failed"),
    Column("attempts", Integer, nullable=False, doc="how often it failed"),
    Column("why", String(200), nullable=False, doc="why it failed; or empty"),
    Column("at", BigInteger, nullable=False, doc="of the last attempt"),
    Column("took", BigInteger, nullable=False, doc="microseconds of work, of all attempts"),
    Column("citizen_rate", Float, nullable=False, doc="characters a minute; 0: not known"),
    Column("agent_rate", Float, nullable=False, doc="the same"),
    Column("sealed", LargeBinary, nullable=False, doc="the transcript (recorder.vault.sealed)"),
)
"""Transcripts (`speech.shelf`). They go with their recording."""
Index("recording_words_by_time", recording_words.c.at)

recording_words_hint = Table(
    "recording_words_hint",
    metadata,
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("call", String(80), nullable=False, index=True),
    Column("kind", String(16), nullable=False, doc="speech.hints.WordHintKind"),
    Column("agent", String(80), nullable=False),
    Column("phrase", String(80), nullable=False, doc="as it is listed, not as it was heard"),
    Column("begin", BigInteger, nullable=False, doc="microseconds of the recording; so is end"),
    Column("end", BigInteger, nullable=False),
    Column("rate", Float, nullable=False, doc="characters a minute, in hints of speed"),
)
"""Places for a person to listen to, and no score. They go with their recording."""

words_run = Table(
    "recording_words_run",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("begun_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("done", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("why", String(400), nullable=False, doc="why it could not go on; or empty"),
)
"""What each run of `hotline transcribe` did. The newest one is what the alarm goes by."""
recording_voice = Table(
    "recording_voice",
    metadata,
    Column("call", String(80), primary_key=True),
    Column("sha256", String(64), nullable=False, doc="of the ledger's row: another one is heard"),
    Column("left", Text, nullable=False, doc="who speaks when: recorder.voice.written"),
    Column("right", Text, nullable=False),
    Column("heard_at", BigInteger, nullable=False),
    Column("why", Text, nullable=False, doc="why it could not be heard; empty: it was"),
)
"""When each side of a recording speaks, by voice activity. It is a property of the sound; hints come on reading."""

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
    Column(
        "kind",
        String(16),
        nullable=False,
        default="",
        server_default="",
        doc="empty: a version of a row of the ledger; else what the certificate is about (recorder.evidence)",
    ),
)
"""Every version of every row of the ledger, and every certificate, in the order in which they were entered."""
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

export = Table(
    "recording_export",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("call", String(80), nullable=False),
    Column("by", String(40), nullable=False, doc="an account, or cli:NAME of the system"),
    Column("why", String(200), nullable=False, doc="numbers masked"),
    Column("at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False, doc="when it ends; an approval gives it more time"),
    Column("approved", Boolean, nullable=False),
    Column("decided_by", String(40), nullable=False, doc="an account; empty: not decided"),
    Column("decided_why", String(200), nullable=False),
    Column("decided_at", BigInteger, nullable=False, doc="0: not decided"),
    Column("used_at", BigInteger, nullable=False, doc="0: not used"),
)
"""Requests to export a recording. No row is ever removed."""
Index("recording_export_by_end", export.c.until, export.c.used_at)

deletion = Table(
    "recording_deletion",
    metadata,
    Column("call", String(80), primary_key=True),
    Column("rule", String(64), nullable=False, doc="the rule, or the erasure, by which it goes"),
    Column("rules", String(64), nullable=False, doc="the digest of the confirmed rules, or empty"),
    Column("by", String(80), nullable=False),
    Column("ends", String(64), nullable=False, doc="SHA-256 of the evidence row that it ends"),
    Column("found", Boolean, nullable=False, doc="whether the file was there as it began"),
    Column("begun_at", BigInteger, nullable=False),
)
"""Deletions that have begun: the files may be gone or not. A certificate ends each."""

hold = Table(
    "recording_hold",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("call", String(80), nullable=False, index=True),
    Column("reason", String(200), nullable=False),
    Column("reference", String(80), nullable=False, doc="of the matter, such as a case number"),
    Column("until", String(10), nullable=False, doc="the last day in China; empty: until released"),
    Column("by", String(80), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("released_at", BigInteger, nullable=False, doc="0: not released"),
    Column("released_by", String(80), nullable=False),
    Column("released_why", String(200), nullable=False),
)
"""Legal holds. No row is ever removed."""

confirmation = Table(
    "retention_confirmation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False, doc="of the rules (recorder.retention)"),
    Column("rules", Text, nullable=False, doc="JSON: as they were confirmed"),
    Column("by", String(80), nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""Which rules an operator has confirmed; the newest one counts."""

retention_run = Table(
    "retention_run",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", String(80), nullable=False),
    Column("due", Integer, nullable=False),
    Column("deleted", Integer, nullable=False),
    Column(
        "why", String(400), nullable=False, doc="why not all that was due was deleted; or empty"
    ),
)
"""What each run of the rules did. The newest one is what the alarm goes by."""

mark = Table(
    "recording_mark",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("call", String(80), nullable=False, index=True),
    Column("begin", BigInteger, nullable=False, doc="microseconds from the recording's beginning"),
    Column("until", BigInteger, nullable=True, doc="the same; empty: a moment"),
    Column("text", String(500), nullable=False),
    Column("by", String(80), nullable=False, doc="the account or token that set it"),
    Column("added_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("version", Integer, nullable=False, doc="grows with each change"),
)
"""Places in recordings with a note (`recorder.marks`). They go with the recording."""

erasure = Table(
    "erasure",
    metadata,
    Column("id", String(16), primary_key=True, doc="stands for the number from now on"),
    Column("salt", String(64), nullable=False, doc="hex; empty once it is done"),
    Column("hash", String(64), nullable=False, doc="of the number, keyed with the salt"),
    Column("by", String(80), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Column("done_at", BigInteger, nullable=False, doc="0: it has begun, and is not done"),
    Column("counts", Text, nullable=False, doc="JSON: what was erased so far, by kind"),
    Column("certificate", BigInteger, nullable=False, doc="number in the evidence, or 0"),
)
"""Erasures of one citizen's number. No number is in it."""
