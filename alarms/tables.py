"""Alarms: raised, acknowledged, cleared; and urgent matters."""

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table

from base.database import metadata

alarm = Table(
    "alarm",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("rule", String(32), nullable=False, doc="name in alarms.rules.RULES"),
    Column("subject", String(40), nullable=False, doc="such as an agent's number, or empty"),
    Column("severity", String(16), nullable=False),
    Column("value", Float, nullable=False, doc="the worst one"),
    Column("limit", Float, nullable=False),
    Column("raised_at", BigInteger, nullable=False, doc="microseconds UTC, as all times here"),
    Column("acknowledged_at", BigInteger, nullable=False, doc="0: not yet"),
    Column("acknowledged_by", String(80), nullable=False),
    Column("cleared_at", BigInteger, nullable=False, doc="0: not yet"),
    Column("sent", JSON, nullable=False, doc="which addresses know that it was raised, cleared"),
    Index("alarm_raised_at", "raised_at"),
    Index("alarm_cleared_at", "cleared_at"),
)

urgent_matter = Table(
    "urgent_matter",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, doc="the alert's number"),
    Column("at", BigInteger, nullable=False, doc="that of the fact AlertRaised"),
    Column("call", String(80), nullable=False),
    Column("agent", String(8), nullable=False, doc="whose talk it was"),
    Column("raised_by", String(80), nullable=False, doc="the account; empty: the phone's key"),
    Column("note", String(200), nullable=False),
    Column("level", Integer, nullable=False, doc="how often nobody acknowledged it in time"),
    Column("acknowledged_at", BigInteger, nullable=False, doc="0: not yet"),
    Column("acknowledged_by", String(80), nullable=False),
    Index("urgent_matter_unseen", "acknowledged_at"),
)
