"""The database: tables, views for Asterisk, and how to open it. SQLite in WAL mode by default, PostgreSQL by URL."""

import json
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    event,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

metadata = MetaData()

_RowId = BigInteger().with_variant(Integer, "sqlite")

WISH = "kind IN ('AgentOut', 'AgentPaused', 'AgentReady', 'AgentRemoved')"
PHONE = "kind IN ('PhoneReachable', 'PhoneUnreachable')"
"""Conditions of two indexes; a question has to use the same words."""

diary = Table(
    "diary",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False, doc="microseconds UTC"),
    Column("kind", String(32), nullable=False, doc="class name in acd.events"),
    Column("call", String(80), nullable=False, default=""),
    Column("agent", String(16), nullable=False, default=""),
    Column("more", JSON, nullable=False, doc="the fact's other fields"),
    Index("diary_kind_at", "kind", "at"),
    Index("diary_call", "call"),
    Index("diary_at", "at"),
)

# Who wants what, and whose phone is registered: the last word of each before a moment is asked for (metrics.people).
Index(
    "diary_wish",
    diary.c.agent,
    diary.c.at,
    sqlite_where=text(WISH),
    postgresql_where=text(WISH),
)
Index(
    "diary_phone",
    diary.c.agent,
    diary.c.at,
    sqlite_where=text(PHONE),
    postgresql_where=text(PHONE),
)

agent = Table(
    "agent",
    metadata,
    Column("number", String(8), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("md5_cred", String(32), nullable=False, doc="MD5(number:hotline:password), RFC 2617"),
    Column("intent", String(8), nullable=False, default="out"),
    Column("pause_reason", String(80), nullable=False, default=""),
    Column("intent_at", BigInteger, nullable=False, default=0),
    Column("added_at", BigInteger, nullable=False),
)

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
    Column("state", String(16), nullable=False, doc="finished, short, missing or damaged"),
    Column("duration", BigInteger, nullable=False, doc="microseconds"),
    Column("size", BigInteger, nullable=False, doc="bytes"),
    Column("sha256", String(64), nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    Column("note", Text, nullable=False, default=""),
)

# --- figures (metrics.rollup)

changed = Table(
    "changed",
    metadata,
    Column("call", String(80), primary_key=True, doc="or @ and the row of an agent's fact"),
    Column("stamp", BigInteger, nullable=False, doc="the diary's row that changed it last"),
)

rollup = Table(
    "rollup",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False, doc="minutes: 5, 60 or 1440"),
    Column("begin", BigInteger, primary_key=True, autoincrement=False, doc="microseconds UTC"),
    Column("queue", String(32), primary_key=True),
    Column("number", String(80), primary_key=True),
    Column("agent", String(16), primary_key=True, doc="empty: all calls of this queue and number"),
    Column("counts", Text, nullable=False, doc="JSON: the counts of a metrics.window.Tally"),
)

rollup_version = Table(
    "rollup_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, doc="always 1"),
    Column("version", BigInteger, nullable=False, doc="grows with each change of the roll-ups"),
)

long_wait = Table(
    "long_wait",
    metadata,
    Column("slot", BigInteger, primary_key=True, autoincrement=False, doc="when the call arrived"),
    Column("call", String(80), primary_key=True),
    Column("begin", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=True, doc="null: he still waits"),
    Column("queue", String(32), nullable=False),
    Column("number", String(80), nullable=False),
)

incident = Table(
    "incident",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("begin", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("approved_by", String(80), nullable=False),
    Column("added_at", BigInteger, nullable=False),
)

# --- the rules of distribution (acd.rulebook)

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
    # field of acd.rules.Queue then needs no new version of the database.
    Column("settings", JSON, nullable=False, doc="the fields of acd.rules.Queue that were set"),
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
    Column("caller", String(40), primary_key=True, doc="as acd.caller.normalise gives it"),
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
    Column("caller", String(40), primary_key=True, doc="as acd.caller.normalise gives it"),
    Column("reason", String(200), nullable=False),
    Column("asked_by", String(80), nullable=False),
    Column("approved_by", String(80), nullable=False, doc="empty: not in force yet"),
    Column("added_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("calls", Integer, nullable=False, doc="how often it was applied"),
)

callback = Table(
    "callback",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("number", String(40), nullable=False, doc="normal form (acd.caller)"),
    Column("queue", String(32), nullable=False),
    Column("state", String(16), nullable=False, doc="acd.callback.State"),
    Column("reason", String(200), nullable=False),
    Column("matter", String(80), nullable=False),
    Column("earliest", BigInteger, nullable=False, doc="microseconds UTC, as all times here"),
    Column("latest", BigInteger, nullable=False),
    Column("attempts_left", Integer, nullable=False),
    Column("attempts", Integer, nullable=False, doc="made: those that count"),
    Column("tries", Integer, nullable=False, doc="names attempts, also those that do not count"),
    Column("spacing", BigInteger, nullable=False, doc="microseconds between attempts"),
    Column("prefers", String(8), nullable=False, doc="agent's number, or empty"),
    Column("agent", String(8), nullable=False, doc="who works on it now, or did last"),
    Column("attempt", String(80), nullable=False, doc="call id of the attempt that is under way"),
    Column("origin", String(80), nullable=False, doc="the call it comes from, or empty"),
    Column("place", BigInteger, nullable=False, doc="the kept place, or 0"),
    Column("not_before", BigInteger, nullable=False),
    Column("first", Boolean, nullable=False, doc="his answer crossed with our cancel"),
    Column("yields", Integer, nullable=False),
    Column("last_failure", String(40), nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False, doc="time of the last fact about it"),
    Index("callback_state", "state", "latest"),
    Index("callback_updated_at", "updated_at"),
    Index("callback_origin", "origin"),
    # Ids name attempts and their recordings, so none is ever used again.
    sqlite_autoincrement=True,
)

# --- accounts, tokens, the audit log and webhooks (wallboard)

account = Table(
    "account",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("password", String(200), nullable=False, doc="argon2id, with its parameters"),
    Column("role", String(16), nullable=False, doc="wallboard.rights.Role"),
    Column("agent", String(8), nullable=False, doc="the agent who this is, or empty"),
    Column("added_at", BigInteger, nullable=False),
    Column("signed_in_at", BigInteger, nullable=False, doc="the last time, or 0"),
)

token = Table(
    "token",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True, doc="SHA-256 of the token, hex"),
    Column("role", String(16), nullable=False, doc="says what is masked"),
    Column("scopes", JSON, nullable=False, doc="rights (wallboard.rights.RIGHTS)"),
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
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String(40), nullable=False, doc="an account, or token:NAME"),
    Column("role", String(16), nullable=False),
    Column("address", String(45), nullable=False, doc="from where"),
    Column("action", String(120), nullable=False, doc="method and path, without its values"),
    Column("target", String(120), nullable=False, doc="the path's values, callers masked"),
    Column("status", Integer, nullable=False, doc="HTTP"),
    Index("audit_at", "at"),
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("url", String(500), nullable=False),
    Column("kinds", JSON, nullable=False, doc="kinds of facts; an empty list is every kind"),
    Column("secret", String(80), nullable=False, doc="whsec_ and base64; it signs, so it is kept"),
    Column("whole", Boolean, nullable=False, doc="numbers are not masked"),
    Column("added_by", String(40), nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("after", BigInteger, nullable=False, doc="diary rows up to this one were looked at"),
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

alarm = Table(
    "alarm",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("rule", String(32), nullable=False, doc="name in metrics.alarms.RULES"),
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

delivery = Table(
    "delivery",
    metadata,
    Column("report", String(120), primary_key=True, doc="what it is about: sla, and its options"),
    Column("period", String(16), primary_key=True, doc="such as 2025-11-20, 2025-W47 or 2025-11"),
    Column("target", String(80), primary_key=True, doc="without secrets"),
    Column("state", String(16), nullable=False, doc="hotline.delivery.State"),
    Column("attempts", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False, doc="microseconds UTC"),
    Column("note", String(200), nullable=False, doc="why it failed"),
)

SIP_REALM = "hotline"
"""The realm in the agents' digest (RFC 3261 section 22); fixed, because the stored hash contains it."""


def engine(url: str, **options: Any) -> AsyncEngine:
    """Open the database at `url`. SQLite gets WAL mode, so that readers (Asterisk is one) never wait for writers."""
    made = create_async_engine(
        url,
        json_serializer=_as_json,
        json_deserializer=orjson.loads,
        **options,
    )
    if made.dialect.name == "sqlite":

        @event.listens_for(made.sync_engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.execute("PRAGMA busy_timeout=5000")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

    return made


def _as_json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Bytes that were no UTF-8 (a word of the command line), whole numbers above 64 bits.
        return json.dumps(value)
