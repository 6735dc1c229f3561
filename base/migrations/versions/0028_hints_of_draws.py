"""The talks that had a hint when their week was drawn."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "quality_draw_hint",
        sa.Column("week", sa.String(8), sa.ForeignKey("quality_draw.week"), primary_key=True),
        sa.Column("call", sa.String(80), primary_key=True),
        sa.Column("agent", sa.String(8), primary_key=True),
    )
