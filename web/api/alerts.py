"""Routes about the red button (R17): raise an alert about a talk, acknowledge one, and the urgent matters."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from alarms import urgent
from facts.masking import LONGEST_REASON
from facts.requests import AcknowledgeAlert, RaiseAlert
from web.api.auth import Me, right
from web.api.people import Number
from web.backend import Behind, Problem, Said
from web.once import Once

router = APIRouter(prefix="/api", tags=["red button"])


class NewAlert(BaseModel):
    """What is urgent, in words; may be empty."""

    note: str = Field("", max_length=LONGEST_REASON)


class Raised(Said):
    """The number of the alert and of its urgent matter."""

    id: int


class UrgentMatter(BaseModel):
    """An urgent matter. Times in microseconds, 0: not yet. `level`: how often nobody acknowledged it in time."""

    id: int
    at: int
    call: str
    agent: str
    raised_by: str
    note: str
    level: int
    acknowledged_at: int
    acknowledged_by: str


@router.post(
    "/talks/{number}/alert", **right("alerts.raise", status_code=201, response_model=Raised)
)
async def alert(number: Number, given: NewAlert, me: Me, behind: Behind, once: Once) -> Raised:
    """Raise an alert about an agent's talk: a supervisor's alarm and an urgent matter, both of this moment."""

    async def work() -> Raised:
        if not me.acts_for(number):
            raise Problem(403, f"{me.name} may not raise an alert for agent {number}")
        reply = await behind.ask(RaiseAlert(number, me.name, given.note))
        return Raised(said=reply.said, id=reply.id)

    return await once.answer(Raised, work)


@router.post("/alerts/{id}/acknowledge", **right("alarms.write", response_model=Said))
async def acknowledge(
    id: Annotated[int, InPath(ge=1, le=2**53)],  # noqa: A002 the path's word
    me: Me,
    behind: Behind,
) -> Said:
    """Acknowledge an alert: it escalates no more. The live state has those that nobody has seen, in `alerts`."""
    return Said(said=(await behind.ask(AcknowledgeAlert(id, me.name))).said)


@router.get("/alerts", **right("alarms.write", audited="every", response_model=list[UrgentMatter]))
async def alerts(behind: Behind) -> list[UrgentMatter]:
    """The newest 200 urgent matters, the newest first."""
    return [
        UrgentMatter(
            id=one.id,
            at=one.at,
            call=one.call,
            agent=one.agent,
            raised_by=one.raised_by,
            note=one.note,
            level=one.level,
            acknowledged_at=one.acknowledged_at,
            acknowledged_by=one.acknowledged_by,
        )
        for one in await urgent.newest(behind.engine)
    ]
