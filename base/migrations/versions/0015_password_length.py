"""How long an agent's password is, so that `hotline check` can name those that are too short."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0011"


def upgrade() -> None:
    """Add the column."""
    op.add_column("agent", sa.Column("password_length", sa.Integer, nullable=True))
