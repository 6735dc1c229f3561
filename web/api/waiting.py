"""Routes about waiting callers: who waits, and what a supervisor decides for one of them."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from facts.ids import LONGEST
from facts.live import WaitingNow
from facts.masking import LONGEST_REASON
from facts.requests import AssignCaller, BringForward, MoveCaller
from web.accounts.rights import masked_waiting
from web.api.auth import Me, right
from web.backend import Behind, Problem, Said
from web.once import Once

router = APIRouter(prefix="/api", tags=["waiting callers"])

Call = Annotated[str, InPath(max_length=LONGEST, description="the id of a call")]
_WRITE = "callers.write"


class Decision(BaseModel):
    """Why it is decided so: kept in the story of the call."""

    reason: str = Field(min_length=1, max_length=LONGEST_REASON)


class Assignment(Decision):
    """The agent who is to get the caller."""

    agent: str = Field(max_length=8)


class Move(Decision):
    """The queue in which the caller is to wait."""

    queue: str = Field(max_length=32)


class Waiting(BaseModel):
    """Those who wait, first who is next; `total`: how many wait, also beyond this list. Times in microseconds."""

    total: int
    callers: list[WaitingNow]


@router.get("/waiting", **right("live", audited="every", response_model=Waiting))
async def waiting(me: Me, behind: Behind) -> Waiting:
    """The callers who wait, in the order in which they are offered; at most 300 of them.

    `since`: when the caller was queued. `asked`: the citizen has asked to be called back. `before`: earlier calls of
    this number today. `assigned`: the agent who is to get the caller, or empty. 503 when no state was ever seen.
    """
    state = behind.feed.state
    if state is None:
        raise Problem(503, "no live figures: is the controller running?")
    rows = state.get("waiting", [])
    shown = masked_waiting(rows) if me.masked else rows
    return Waiting(
        total=state["stages"]["waiting"], callers=sorted(shown, key=lambda one: one["rank"])
    )


@router.post("/waiting/{call}/assign", **right(_WRITE, response_model=Said))
async def assign(call: Call, given: Assignment, me: Me, behind: Behind, once: Once) -> Said:
    """Offer a waiting caller to one agent alone, as soon as they are free, for `HOTLINE_ASSIGN_FOR` seconds.

    Then to all again. Refused when the agent cannot take the call.
    """
    return await once.said(behind, AssignCaller(call, given.agent, me.name, given.reason))


@router.post("/waiting/{call}/move", **right(_WRITE, response_model=Said))
async def move(call: Call, given: Move, me: Me, behind: Behind, once: Once) -> Said:
    """Have a waiting caller wait in another queue, at the place that they have."""
    return await once.said(behind, MoveCaller(call, given.queue, me.name, given.reason))


@router.post("/waiting/{call}/forward", **right(_WRITE, response_model=Said))
async def forward(call: Call, given: Decision, me: Me, behind: Behind, once: Once) -> Said:
    """Put a waiting caller before all others who wait in their queue."""
    return await once.said(behind, BringForward(call, me.name, given.reason))
