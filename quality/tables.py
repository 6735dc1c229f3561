"""Draws, cards, assessments, and what happened to each."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from base.database import ROW_ID, metadata

score_card = Table(
    "quality_card",
    metadata,
    Column("digest", String(64), primary_key=True, doc="quality.scorecard.ScoreCard.digest"),
    Column("card", Text, nullable=False, doc="JSON: the whole card, so that old scores stay clear"),
    Column("since", BigInteger, nullable=False, doc="when it was first used"),
)
"""Every version of the score card that an assessment was made with. No row ever changes."""

draw = Table(
    "quality_draw",
    metadata,
    Column("week", String(8), primary_key=True, doc="such as 2026-W47, in China"),
    Column("seed", String(64), nullable=False),
    Column("plan", Text, nullable=False, doc="JSON: count, by, shortest"),
    Column("card", String(64), ForeignKey("quality_card.digest"), nullable=False),
    Column("population", String(64), nullable=False, doc="quality.sample.population_hash"),
    Column("talks", Integer, nullable=False, doc="how many could have been drawn"),
    Column("drawn", Integer, nullable=False),
    Column("by", String(80), nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""One row a week. No row ever changes."""

draw_hint = Table(
    "quality_draw_hint",
    metadata,
    Column("week", String(8), ForeignKey("quality_draw.week"), primary_key=True),
    Column("call", String(80), primary_key=True),
    Column("agent", String(8), primary_key=True),
)
"""The talks that had a hint when the week was drawn, if the plan goes by hints: rules and recordings change later."""

assessment = Table(
    "quality_assessment",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("week", String(8), ForeignKey("quality_draw.week"), nullable=False),
    Column("call", String(80), nullable=False, index=True),
    Column("agent", String(8), nullable=False),
    Column("others", Text, nullable=False, doc="other agents of the call, with spaces between"),
    Column("stratum", String(200), nullable=False),
    Column("chance", String(64), nullable=False, doc="its number in the draw"),
    Column("arrived", BigInteger, nullable=False, doc="when the call arrived"),
    Column("length", BigInteger, nullable=False, doc="of the agent's talk, microseconds"),
    Column("card", String(64), ForeignKey("quality_card.digest"), nullable=False),
    Column("assessor", String(32), nullable=False, doc="the account who has it now, or scored it"),
    Column("state", String(16), nullable=False, doc="quality.states.AssessmentState"),
    Column("since", BigInteger, nullable=False, doc="when it came into this state"),
    Column("score", Integer, nullable=True, doc="hundredths of a point, the one that counts"),
    Column("sheet", Text, nullable=False, doc="JSON: the sheet of that score; empty: none"),
    UniqueConstraint("week", "call", "agent"),
)
"""What was drawn. State, assessor, score and sheet follow from the events, which have all that was before."""
Index("quality_assessment_by_assessor", assessment.c.assessor, assessment.c.state)
Index("quality_assessment_by_agent", assessment.c.agent, assessment.c.arrived)
Index("quality_assessment_by_state", assessment.c.state, assessment.c.since)

event = Table(
    "quality_event",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column(
        "assessment",
        BigInteger().with_variant(Integer, "sqlite"),
        ForeignKey("quality_assessment.id"),
        nullable=False,
        index=True,
    ),
    Column("at", BigInteger, nullable=False),
    Column("event", String(16), nullable=False, doc="quality.states.AssessmentEvent"),
    Column("by", String(80), nullable=False, doc="an account, an operator, or the program"),
    Column("assessor", String(32), nullable=False, doc="who has it from now on, or had it"),
    Column("text", Text, nullable=False, doc="the reason, in people's own words"),
    Column("score", Integer, nullable=True),
    Column("sheet", Text, nullable=False, doc="JSON; empty: none"),
)
"""What happened to each assessment, oldest first. No row is removed; only an erasure takes a number out of a text."""
