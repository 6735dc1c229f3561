"""Webhooks and what was delivered to them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from base.database import metadata

webhook = Table(
    "webhook",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column(
        "url", String(500), nullable=False, doc="empty: it is sealed; else of an earlier version"
    ),
    Column("kinds", JSON, nullable=False, doc="kinds of facts; an empty list is every kind"),
    Column("secret", String(80), nullable=False, doc="as url"),
    Column("whole", Boolean, nullable=False, doc="numbers are not masked"),
    Column("internal", Boolean, nullable=False, doc="of an earlier version: it may lead inside"),
    Column("added_by", String(40), nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("after", BigInteger, nullable=False, doc="diary rows up to this one were looked at"),
    Column("sealed", Text, nullable=True, doc="address and secret, encrypted (web.webhooks.seal)"),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("webhook", Integer, ForeignKey("webhook.id", ondelete="CASCADE"), primary_key=True),
    Column("fact", BigInteger, primary_key=True, autoincrement=False, doc="the diary row's id"),
    Column("state", String(8), nullable=False, doc="due, sent or dead"),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False, doc="due: not before"),
    Column("error", String(200), nullable=False, doc="of the last attempt"),
    Column("at", BigInteger, nullable=False, doc="when it was entered, sent or given up"),
    Index("webhook_delivery_state", "state", "next_at"),
)
