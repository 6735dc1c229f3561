"""The queues whose talks an account may supervise. Accounts of before have no limit."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    """Add the column."""
    queues: sa.Column[object] = sa.Column("queues", sa.JSON(), nullable=False, server_default="[]")
    op.add_column("account", queues)
