"""Why somebody looked (audit), and requests to export a recording."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Make the column and the table."""
    op.add_column("audit", sa.Column("why", sa.String(200), nullable=False, server_default=""))
    op.create_table(
        "recording_export",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("call", sa.String(80), nullable=False),
        sa.Column("by", sa.String(40), nullable=False),
        sa.Column("why", sa.String(200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("decided_by", sa.String(40), nullable=False),
        sa.Column("decided_why", sa.String(200), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("recording_export_by_end", "recording_export", ["until", "used_at"])
