"""Routes about the survey after a talk, and about why an agent hung up first."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from facts.hang_ups import HANG_UP_REASONS
from facts.requests import EnterRating, ExplainHangUp, HandToSurvey
from facts.terms import Grade
from web.api.auth import Me, right
from web.api.people import Number
from web.backend import Behind, Problem, Said
from web.once import Once

router = APIRouter(prefix="/api", tags=["surveys"])


class Explanation(BaseModel):
    """Why an agent hung up first: a key or name of `GET /api/hang-up-reasons`. `call`: which talk; empty: the last."""

    reason: str = Field(max_length=40)
    call: str = Field("", max_length=80)


class HangUpReasonOut(BaseModel):
    """A reason. `key`: the digit after `*14`."""

    key: str
    name: str
    zh: str
    en: str


class Rating(BaseModel):
    """The citizen's grade."""

    grade: Grade


@router.post("/talks/{agent}/survey", **right("talks.survey", response_model=Said))
async def survey(agent: Number, me: Me, behind: Behind, once: Once) -> Said:
    """End the agent's talk by handing the citizen to the survey. Refused in a talk that cannot be rated."""
    _may(me, agent)
    return await once.said(behind, HandToSurvey(agent, me.name))


@router.post("/agents/{number}/hang-up-reason", **right("talks.survey", response_model=Said))
async def explain(number: Number, given: Explanation, me: Me, behind: Behind) -> Said:
    """Why the agent hung up first (R6), within the shift."""
    _may(me, number)
    asked = ExplainHangUp(number, given.reason, given.call, me.name)
    return Said(said=(await behind.ask(asked)).said)


@router.get("/hang-up-reasons", **right("agents.read", response_model=list[HangUpReasonOut]))
async def reasons() -> list[HangUpReasonOut]:
    """The reasons for which an agent may hang up first."""
    return [
        HangUpReasonOut(key=one.key, name=one.name, zh=one.zh, en=one.en) for one in HANG_UP_REASONS
    ]


@router.post("/surveys/{token}", **right("surveys.rate", response_model=Said))
async def rate(
    token: Annotated[
        str, InPath(pattern="^[A-Za-z0-9_-]{16,64}$", description="of `SurveyLinked`")
    ],
    given: Rating,
    behind: Behind,
) -> Said:
    """Enter the rating of a citizen who was sent a link: once, and before it is too old."""
    return Said(said=(await behind.ask(EnterRating(token, given.grade))).said)


def _may(me: Me, agent: str) -> None:
    if not me.acts_for(agent):
        raise Problem(403, f"{me.name} may not speak for agent {agent}")
