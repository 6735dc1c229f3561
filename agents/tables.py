"""The table of agents. Asterisk reads it through views (`telephony.realtime`)."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

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
