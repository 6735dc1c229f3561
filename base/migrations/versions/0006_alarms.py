"""Alarms and when they were; which report went where (R1)."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the two tables."""
    op.create_table(
        "alarm",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("rule", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(40), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("limit", sa.Float(), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_by", sa.String(80), nullable=False),
        sa.Column("cleared_at", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.JSON(), nullable=False),
    )
    op.create_index("alarm_raised_at", "alarm", ["raised_at"])
    op.create_index("alarm_cleared_at", "alarm", ["cleared_at"])
    op.create_table(
        "delivery",
        sa.Column("report", sa.String(120), primary_key=True),
        sa.Column("period", sa.String(16), primary_key=True),
        sa.Column("target", sa.String(80), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
    )
