"""An answer whose talk is over within a second is none, and talks that the system ended are counted (M24).

All calls that an agent answered are marked as changed, so that their roll-ups are made again.
"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Mark them."""
    op.execute(
        "INSERT INTO changed (call, stamp) SELECT call, MAX(id) FROM diary "
        "WHERE call <> '' AND kind = 'OfferAnswered' GROUP BY call "
        "ON CONFLICT (call) DO NOTHING"
    )
