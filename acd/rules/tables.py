"""The rules of distribution as tables; `acd.rules.book` reads and writes them."""

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Integer, String, Table

from base.database import metadata

rules = Table(
    "rules",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, doc="always 1"),
    Column("version", Integer, nullable=False, doc="grows with each change; its row is the lock"),
    Column("priority_step", Float, nullable=False, doc="seconds"),
)

queue = Table(
    "queue",
    metadata,
    Column("name", String(32), primary_key=True),
    # One column, because "not set" must differ from every value, nothing is ever asked by one of them, and a new
    # field of acd.rules.model.Queue then needs no new version of the database.
    Column(
        "settings", JSON, nullable=False, doc="the fields of acd.rules.model.Queue that were set"
    ),
)

number = Table(
    "number",
    metadata,
    Column("number", String(15), primary_key=True),
    Column("queue", String(32), ForeignKey("queue.name"), nullable=False),
    Column("language", String(32), nullable=False),
    Column("label", String(80), nullable=False),
)

member = Table(
    "member",
    metadata,
    Column("agent", String(8), ForeignKey("agent.number", ondelete="CASCADE"), primary_key=True),
    Column("queue", String(32), ForeignKey("queue.name"), primary_key=True),
    Column("penalty", Integer, nullable=False),
)

agent_skill = Table(
    "agent_skill",
    metadata,
    Column("agent", String(8), ForeignKey("agent.number", ondelete="CASCADE"), primary_key=True),
    Column("skill", String(32), primary_key=True),
    Column("level", Integer, nullable=False, doc="1 to 9"),
)

caller_flag = Table(
    "caller_flag",
    metadata,
    Column("caller", String(40), primary_key=True, doc="as facts.numbers.normalise gives it"),
    Column("priority", Integer, nullable=False),
    Column("note", String(200), nullable=False),
)

opening_hours = Table(
    "opening_hours",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("times", JSON, nullable=False, doc='such as {"mon-fri": "08:00-18:00"}'),
)

calendar_year = Table(
    "calendar_year",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("holidays", JSON, nullable=False, doc="dates, ISO 8601"),
    Column("makeup_workdays", JSON, nullable=False, doc="dates, ISO 8601"),
)

pause_reason = Table(
    "pause_reason",
    metadata,
    Column("key", String(1), primary_key=True, doc="the digit after *12"),
    Column("name", String(80), nullable=False),
    Column("minutes", Integer, nullable=False, doc="allowed length; 0: any"),
)

blocked = Table(
    "blocked",
    metadata,
    Column("caller", String(40), primary_key=True, doc="as facts.numbers.normalise gives it"),
    Column("reason", String(200), nullable=False),
    Column("asked_by", String(80), nullable=False),
    Column("approved_by", String(80), nullable=False, doc="empty: not in force yet"),
    Column("added_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("calls", Integer, nullable=False, doc="how often it was applied"),
)
