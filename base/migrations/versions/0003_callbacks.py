"""The book of callbacks: what is to be called back, and what became of it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table. An id names attempts and their recordings, so SQLite must never use one again."""
    op.create_table(
        "callback",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("number", sa.String(40), nullable=False),
        sa.Column("queue", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("matter", sa.String(80), nullable=False),
        sa.Column("earliest", sa.BigInteger, nullable=False),
        sa.Column("latest", sa.BigInteger, nullable=False),
        sa.Column("attempts_left", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("spacing", sa.BigInteger, nullable=False),
        sa.Column("prefers", sa.String(8), nullable=False),
        sa.Column("agent", sa.String(8), nullable=False),
        sa.Column("attempt", sa.String(80), nullable=False),
        sa.Column("origin", sa.String(80), nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("first", sa.Boolean, nullable=False),
        sa.Column("yields", sa.Integer, nullable=False),
        sa.Column("last_failure", sa.String(40), nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("callback_state", "callback", ["state", "latest"])
    op.create_index("callback_updated_at", "callback", ["updated_at"])
    op.create_index("callback_origin", "callback", ["origin"])
