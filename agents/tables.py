"""The table of agents, which Asterisk reads through views (`telephony.realtime`), and of messages to them."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from base.database import metadata

agent = Table(
    "agent",
    metadata,
    Column("number", String(8), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("md5_cred", String(32), nullable=False, doc="MD5(number:hotline:password), RFC 2617"),
    Column(
        "password_length", Integer, nullable=True, doc="characters; NULL: set before it was kept"
    ),
    Column("intent", String(8), nullable=False, default="out"),
    Column("pause_reason", String(80), nullable=False, default=""),
    Column("intent_at", BigInteger, nullable=False, default=0),
    Column("added_at", BigInteger, nullable=False),
)

message = Table(
    "message",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False, doc="microseconds UTC"),
    Column("by", String(80), nullable=False, doc="the account that sent it"),
    Column("agent", String(8), nullable=False, doc="who gets it; no foreign key: an agent may go"),
    Column("text", String(200), nullable=False),
    Column("phone", String(10), nullable=False, doc="what became of it on the phone"),
    Column("read_at", BigInteger, nullable=False, doc="0: not yet"),
    Index("message_agent", "agent", "id"),
    Index("message_by", "by", "id"),
)
