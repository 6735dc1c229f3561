"""A webhook's address and secret are encrypted, in one column.

The key is not the database's, so rows of before are encrypted by the program that sends, at its first look.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column."""
    op.add_column("webhook", sa.Column("sealed", sa.Text, nullable=True))
