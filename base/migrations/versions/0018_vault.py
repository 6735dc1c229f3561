"""Recordings are encrypted at rest: the hash of the encrypted file, and each recording's wrapped key."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Make the table and the column; what there is lies plain."""
    with op.batch_alter_table("recording") as table:
        table.add_column(
            sa.Column("cipher_sha256", sa.String(64), nullable=False, server_default="")
        )
    op.create_table(
        "recording_key",
        sa.Column("call", sa.String(80), primary_key=True),
        sa.Column("master", sa.String(16), nullable=False, index=True),
        sa.Column("wrapped", sa.String(80), nullable=False),
    )
