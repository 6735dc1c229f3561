"""Quality: score cards, draws, assessments and their events."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "quality_card",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "quality_draw",
        sa.Column("week", sa.String(8), primary_key=True),
        sa.Column("seed", sa.String(64), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("card", sa.String(64), sa.ForeignKey("quality_card.digest"), nullable=False),
        sa.Column("population", sa.String(64), nullable=False),
        sa.Column("talks", sa.Integer(), nullable=False),
        sa.Column("drawn", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
    _assessments()
    op.create_table(
        "quality_event",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("assessment", _ID, sa.ForeignKey("quality_assessment.id"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("assessor", sa.String(32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("sheet", sa.Text(), nullable=False),
    )
    op.create_index("ix_quality_event_assessment", "quality_event", ["assessment"])


def _assessments() -> None:
    name = "quality_assessment"
    op.create_table(
        name,
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("week", sa.String(8), sa.ForeignKey("quality_draw.week"), nullable=False),
        sa.Column("call", sa.String(80), nullable=False),
        sa.Column("agent", sa.String(8), nullable=False),
        sa.Column("others", sa.Text(), nullable=False),
        sa.Column("stratum", sa.String(200), nullable=False),
        sa.Column("chance", sa.String(64), nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("card", sa.String(64), sa.ForeignKey("quality_card.digest"), nullable=False),
        sa.Column("assessor", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("sheet", sa.Text(), nullable=False),
        sa.UniqueConstraint("week", "call", "agent"),
    )
    op.create_index("ix_quality_assessment_call", name, ["call"])
    op.create_index("quality_assessment_by_assessor", name, ["assessor", "state"])
    op.create_index("quality_assessment_by_agent", name, ["agent", "arrived"])
    op.create_index("quality_assessment_by_state", name, ["state", "since"])
