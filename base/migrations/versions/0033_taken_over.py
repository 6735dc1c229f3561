"""Whoever took a citizen over and then hung up first has ended the call (M21), and a cut talk of theirs counts (M24).

The calls of before that were handed over in this way are marked as changed, so that their roll-ups are made again.
"""

from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    """Mark them."""
    op.execute(
        "INSERT INTO changed (call, stamp) SELECT call, MAX(id) FROM diary "
        "WHERE call <> '' AND kind = 'CallTransferred' AND CAST(more AS VARCHAR) LIKE '%true%' GROUP BY call "
        "ON CONFLICT (call) DO NOTHING"
    )
