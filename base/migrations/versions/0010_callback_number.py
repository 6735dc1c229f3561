"""A citizen has one open callback of a matter: it is looked for by the number."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the index."""
    op.create_index("callback_number", "callback", ["number"])
