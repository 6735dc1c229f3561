"""Requests that are done once, by their Idempotency-Key; numbers that agents have dialled for themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Make the table, and the mark of a task that is one agent's own."""
    op.create_table(
        "asked_once",
        sa.Column("who", sa.String(40), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("asked", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
    )
    op.create_index("asked_once_at", "asked_once", ["at"])
    own: sa.Column[bool] = sa.Column("own", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("callback", own)
