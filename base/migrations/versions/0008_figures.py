"""Roll-ups of the figures, which calls have changed since, and approved incidents (M3).

All calls that the diary knows are marked as changed, so that their roll-ups are made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_REQUEST = "kind IN ('AgentOut', 'AgentPaused', 'AgentReady', 'AgentRemoved')"
_PHONE = "kind IN ('PhoneReachable', 'PhoneUnreachable')"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "changed",
        sa.Column("call", sa.String(80), primary_key=True),
        sa.Column("stamp", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rollup",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("begin", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("queue", sa.String(32), primary_key=True),
        sa.Column("number", sa.String(80), primary_key=True),
        sa.Column("agent", sa.String(16), primary_key=True),
        sa.Column("counts", sa.Text, nullable=False),
    )
    op.create_table(
        "rollup_version",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "long_wait",
        sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("call", sa.String(80), primary_key=True),
        sa.Column("begin", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("end", sa.BigInteger, nullable=True),
        sa.Column("queue", sa.String(32), nullable=False),
        sa.Column("number", sa.String(80), nullable=False),
    )
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("begin", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("approved_by", sa.String(80), nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False),
    )
    for name, condition in (("diary_wish", _REQUEST), ("diary_phone", _PHONE)):
        where = sa.text(condition)
        op.create_index(name, "diary", ["agent", "at"], sqlite_where=where, postgresql_where=where)
    op.execute("INSERT INTO rollup_version (id, version) VALUES (1, 0)")
    op.execute(
        "INSERT INTO changed (call, stamp) SELECT call, MAX(id) FROM diary "
        "WHERE call <> '' AND kind IN ('CallArrived', 'CallbackPlaced') GROUP BY call"
    )
