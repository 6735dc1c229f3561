"""Messages from supervisors to agents, and urgent matters (the red button)."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "message",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("agent", sa.String(8), nullable=False),
        sa.Column("text", sa.String(200), nullable=False),
        sa.Column("phone", sa.String(10), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("message_agent", "message", ["agent", "id"])
    op.create_index("message_by", "message", ["by", "id"])
    op.create_table(
        "urgent_matter",
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("call", sa.String(80), nullable=False),
        sa.Column("agent", sa.String(8), nullable=False),
        sa.Column("raised_by", sa.String(80), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_by", sa.String(80), nullable=False),
    )
    op.create_index("urgent_matter_unseen", "urgent_matter", ["acknowledged_at"])
