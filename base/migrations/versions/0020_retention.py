"""Retention: certificates of deletion, holds, confirmed rules, what each run did; and erasures of one citizen."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Make the tables, and the columns that say what was deleted."""
    certificate = sa.Column("certificate", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("recording", certificate)
    kind = sa.Column("kind", sa.String(16), nullable=False, server_default="")
    op.add_column("recording_evidence", kind)
    op.create_table(
        "recording_deletion",
        sa.Column("call", sa.String(80), primary_key=True),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("rules", sa.String(64), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("ends", sa.String(64), nullable=False),
        sa.Column("found", sa.Boolean(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "recording_hold",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("call", sa.String(80), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("reference", sa.String(80), nullable=False),
        sa.Column("until", sa.String(10), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=False),
        sa.Column("released_by", sa.String(80), nullable=False),
        sa.Column("released_why", sa.String(200), nullable=False),
    )
    op.create_index("ix_recording_hold_call", "recording_hold", ["call"])
    op.create_table(
        "retention_confirmation",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "retention_run",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("due", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Integer(), nullable=False),
        sa.Column("why", sa.String(400), nullable=False),
    )
    op.create_table(
        "erasure",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("certificate", sa.BigInteger(), nullable=False),
    )
