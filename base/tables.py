"""Who works on the database (`base.lease`)."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

from base.database import metadata

lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, doc="always 1"),
    Column("holder", String(32), nullable=False, doc="the controller at work; empty: none"),
    Column("place", String(100), nullable=False, doc="its machine's boot and its home"),
    Column("node", String(64), nullable=False),
    Column("beats", BigInteger, nullable=False, doc="counted up as long as it works"),
)
