"""Which report went where."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

from base.database import metadata

delivery = Table(
    "delivery",
    metadata,
    Column("report", String(120), primary_key=True, doc="what it is about: sla, and its options"),
    Column("period", String(16), primary_key=True, doc="such as 2025-11-20, 2025-W47 or 2025-11"),
    Column("target", String(80), primary_key=True, doc="without secrets"),
    Column("state", String(16), nullable=False, doc="metrics.reports.delivery.DeliveryState"),
    Column("attempts", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False, doc="microseconds UTC"),
    Column("note", String(200), nullable=False, doc="why it failed"),
)
