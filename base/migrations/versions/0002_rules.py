"""The rules of distribution: queues, numbers, members, skills, flags, hours, calendar, pauses, blocked callers.

The queue `default` sets nothing, so that the settings' times go on to hold for it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_PAUSES = (
    ("1", "小休", 15),
    ("2", "用餐", 60),
    ("3", "培训", 0),
    ("4", "会议", 0),
    ("5", "其他", 0),
)


def upgrade() -> None:
    """Make the tables, the queue `default` and the usual reasons for a pause."""
    rules = op.create_table(
        "rules",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("priority_step", sa.Float, nullable=False),
    )
    queue = op.create_table(
        "queue",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("settings", sa.JSON, nullable=False),
    )
    op.create_table(
        "number",
        sa.Column("number", sa.String(15), primary_key=True),
        sa.Column("queue", sa.String(32), sa.ForeignKey("queue.name"), nullable=False),
        sa.Column("language", sa.String(32), nullable=False),
        sa.Column("label", sa.String(80), nullable=False),
    )
    op.create_table(
        "member",
        sa.Column("agent", sa.String(8), _of_an_agent(), primary_key=True),
        sa.Column("queue", sa.String(32), sa.ForeignKey("queue.name"), primary_key=True),
        sa.Column("penalty", sa.Integer, nullable=False),
    )
    op.create_table(
        "agent_skill",
        sa.Column("agent", sa.String(8), _of_an_agent(), primary_key=True),
        sa.Column("skill", sa.String(32), primary_key=True),
        sa.Column("level", sa.Integer, nullable=False),
    )
    op.create_table(
        "caller_flag",
        sa.Column("caller", sa.String(40), primary_key=True),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
    )
    op.create_table(
        "opening_hours",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("times", sa.JSON, nullable=False),
    )
    op.create_table(
        "calendar_year",
        sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("holidays", sa.JSON, nullable=False),
        sa.Column("makeup_workdays", sa.JSON, nullable=False),
    )
    pause_reason = op.create_table(
        "pause_reason",
        sa.Column("key", sa.String(1), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("minutes", sa.Integer, nullable=False),
    )
    op.create_table(
        "blocked",
        sa.Column("caller", sa.String(40), primary_key=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("asked_by", sa.String(80), nullable=False),
        sa.Column("approved_by", sa.String(80), nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
    )
    op.bulk_insert(rules, [{"id": 1, "version": 1, "priority_step": 60.0}])
    op.bulk_insert(queue, [{"name": "default", "settings": {}}])
    op.bulk_insert(
        pause_reason,
        [{"key": key, "name": name, "minutes": minutes} for key, name, minutes in _PAUSES],
    )


def _of_an_agent() -> sa.ForeignKey:
    """What belongs to an agent goes with them."""
    return sa.ForeignKey("agent.number", ondelete="CASCADE")
