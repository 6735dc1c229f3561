"""Time stamps of the recordings' seals (RFC 3161)."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "recording_stamp",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
