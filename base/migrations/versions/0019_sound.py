"""What is measured in each recording as it is finished: levels, long silences, talk-over."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Make the table. Recordings of before have no row in it."""
    op.create_table(
        "recording_sound",
        sa.Column("call", sa.String(80), primary_key=True),
        *(
            sa.Column(f"{side}_{what}", sa.Float, nullable=False)
            for side in ("left", "right")
            for what in ("rms", "peak", "clipped")
        ),
        sa.Column("silence", sa.BigInteger, nullable=False),
        sa.Column("silence_count", sa.Integer, nullable=False),
        sa.Column("silences", sa.Text, nullable=False),
        sa.Column("talk_over", sa.BigInteger, nullable=False),
    )
