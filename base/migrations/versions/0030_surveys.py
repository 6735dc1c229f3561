"""Talks that an agent ended themself are counted (M21), and the ratings of citizens (M11, M12).

The calls of before that an agent ended are marked as changed, so that their roll-ups are made again.
"""

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Mark them."""
    op.execute(
        "INSERT INTO changed (call, stamp) SELECT call, MAX(id) FROM diary "
        "WHERE call <> '' AND kind = 'TalkEnded' AND CAST(more AS VARCHAR) LIKE '%\"agent\"%' GROUP BY call "
        "ON CONFLICT (call) DO NOTHING"
    )
