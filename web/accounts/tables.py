"""Accounts, tokens, sessions, the audit log, and requests that are done once."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, String, Table

from base.database import ROW_ID, metadata

account = Table(
    "account",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("password", String(200), nullable=False, doc="argon2id, with its parameters"),
    Column("role", String(16), nullable=False, doc="web.accounts.rights.Role"),
    Column("agent", String(8), nullable=False, doc="the agent who this is, or empty"),
    Column("added_at", BigInteger, nullable=False),
    Column("signed_in_at", BigInteger, nullable=False, doc="the last time, or 0"),
    Column(
        "queues",
        JSON,
        nullable=False,
        server_default="[]",
        doc="whose talks it may supervise, by name; empty: all",
    ),
)

token = Table(
    "token",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True, doc="SHA-256 of the token, hex"),
    Column("role", String(16), nullable=False, doc="says what is masked"),
    Column("scopes", JSON, nullable=False, doc="rights (web.accounts.rights.RIGHTS)"),
    Column("added_by", String(32), nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False, doc="0: for ever"),
)

session = Table(
    "session",
    metadata,
    Column("hash", String(64), primary_key=True, doc="SHA-256 of the cookie, hex"),
    Column("account", String(32), ForeignKey("account.name", ondelete="CASCADE")),
    Column("token", String(32), ForeignKey("token.name", ondelete="CASCADE"), doc="a wall's"),
    Column("csrf", String(64), nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column(
        "who", String(40), nullable=False, doc="an account, token:NAME, or cli:NAME of the system"
    ),
    Column("role", String(16), nullable=False),
    Column("address", String(45), nullable=False, doc="from where"),
    Column(
        "action",
        String(120),
        nullable=False,
        doc="method and path, without its values, or a command",
    ),
    Column(
        "target", String(120), nullable=False, doc="values, and what was searched; callers masked"
    ),
    Column("status", Integer, nullable=False, doc="HTTP; 0: a command"),
    Column(
        "why",
        String(200),
        nullable=False,
        default="",
        server_default="",
        doc="the reason that was given, numbers masked; or empty",
    ),
    Index("audit_at", "at"),
)

asked_once = Table(
    "asked_once",
    metadata,
    Column("who", String(40), primary_key=True, doc="an account, or token:NAME"),
    Column("key", String(200), primary_key=True, doc="Idempotency-Key"),
    Column("asked", String(64), nullable=False, doc="SHA-256 of method, path and body, hex"),
    Column("at", BigInteger, nullable=False),
    Column("status", Integer, nullable=False, doc="HTTP, of the answer; 0: none yet"),
    Column("answer", JSON, nullable=False, doc="the answer's body; empty: none yet"),
    Index("asked_once_at", "at"),
)
