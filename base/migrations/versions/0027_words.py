"""Transcripts of recordings, the hints in them, and the runs that made them."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "recording_words",
        sa.Column("call", sa.String(80), primary_key=True),
        sa.Column("cipher_sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("why", sa.String(200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("took", sa.BigInteger(), nullable=False),
        sa.Column("citizen_rate", sa.Float(), nullable=False),
        sa.Column("agent_rate", sa.Float(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_index("recording_words_by_time", "recording_words", ["at"])
    op.create_table(
        "recording_words_hint",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("call", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("agent", sa.String(80), nullable=False),
        sa.Column("phrase", sa.String(80), nullable=False),
        sa.Column("begin", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
    )
    op.create_index("ix_recording_words_hint_call", "recording_words_hint", ["call"])
    op.create_table(
        "recording_words_run",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("why", sa.String(400), nullable=False),
    )
