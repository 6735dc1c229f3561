"""Webhooks may no longer lead to internal addresses, unless a setting names them; those that exist go on."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Mark the webhooks of earlier versions."""
    column = sa.Column("internal", sa.Boolean, nullable=False, server_default=sa.true())
    op.add_column("webhook", column)
