"""Evidence of recordings: every version of a ledger's row, and one seal a day.

The rows that are there already are entered by the recorder at its next start (`recorder.seals.adopt`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "recording_evidence",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("call", sa.String(80), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("entered_at", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
    )
    op.create_index("ix_recording_evidence_call", "recording_evidence", ["call"])
    op.create_index("recording_evidence_by_day", "recording_evidence", ["day", "entered_at"])
    op.create_table(
        "recording_seal",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.String(64), nullable=False)
            for name in ("root", "previous", "head", "sm3_root", "sm3_previous", "sm3_head")
        ),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.Column("public_key", sa.String(64), nullable=False),
        sa.Column("sealed_at", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
    )
