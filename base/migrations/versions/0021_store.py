"""Recordings in a store: which ones it has, and which copies are still here."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Make the table and the indexes; all recordings of before are here."""
    op.create_table(
        "recording_stored",
        sa.Column("call", sa.String(80), primary_key=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("left_at", sa.BigInteger(), nullable=False),
    )
    op.create_index(
        "recording_stored_by_state", "recording_stored", ["state", "left_at", "stored_at"]
    )
    op.create_index("recording_by_finish", "recording", ["finished_at"])
