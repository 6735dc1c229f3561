"""Routes about agents' talks: listen, whisper, step in, take over, end.

The phone is that of whoever asks: the agent's number of their account. The controller rings it.
"""

from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from facts.numbers import AGENT_NUMBER
from facts.requests import ChangeListening, EndTalk, LeaveTalk, ListenToTalk, TakeTalk
from web.accounts.accounts import Who
from web.api.auth import Me, right
from web.backend import Behind, Problem, Said
from web.once import Once

router = APIRouter(prefix="/api", tags=["talks"])

Agent = Annotated[
    str,
    InPath(pattern=f"^{AGENT_NUMBER.pattern}$", description="the agent whose talk it is (工号)"),
]


class Listening(BaseModel):
    """What to do in the talk. `phone`: the number of one's own phone, if given."""

    mode: Literal["listen", "whisper", "step_in"] = "listen"
    phone: str = Field("", max_length=8)


class Ending(BaseModel):
    """Why a talk is ended."""

    reason: str = Field("", max_length=200)


@router.post("/talks/{agent}/listen", **right("talks.listen", response_model=Said))
async def listen(agent: Agent, given: Listening, me: Me, behind: Behind, once: Once) -> Said:
    """Ring one's own phone, and hear the agent's talk when it is answered.

    Answers within a second with what has happened by then: it rings, or listens. The live state tells the rest
    (`supervision`). Whoever is in that talk already changes the mode.
    """
    phone = _phone(me, given.phone)
    _may(me, given.mode)
    may = int("talks.step_in" in me.rights)
    asked = ListenToTalk(agent, phone, given.mode, me.name, may)
    return await once.said(behind, asked)


@router.post("/talks/{agent}/mode", **right("talks.listen", response_model=Said))
async def mode(agent: Agent, given: Listening, me: Me, behind: Behind, once: Once) -> Said:
    """Listen, whisper or step in from now on, without hanging up."""
    phone = _phone(me, given.phone)
    _may(me, given.mode)
    asked = ChangeListening(agent, phone, given.mode, me.name)
    return await once.said(behind, asked)


@router.post("/talks/{agent}/leave", **right("talks.listen", response_model=Said))
async def leave(agent: Agent, me: Me, behind: Behind, once: Once) -> Said:
    """Leave the talk, or stop one's own phone from ringing for it."""
    return await once.said(behind, LeaveTalk(agent, _phone(me)))


@router.post("/talks/{agent}/take", **right("talks.step_in", response_model=Said))
async def take(agent: Agent, me: Me, behind: Behind, once: Once) -> Said:
    """Get the citizen; the agent is free. Whoever is not in the talk yet is rung first."""
    return await once.said(behind, TakeTalk(agent, _phone(me), me.name))


@router.post("/talks/{agent}/end", **right("talks.end", response_model=Said))
async def end(agent: Agent, given: Ending, me: Me, behind: Behind, once: Once) -> Said:
    """End the talk, and the citizen's call with it. The reason is in the diary."""
    return await once.said(behind, EndTalk(agent, me.name, given.reason))


def _phone(me: Who, given: str = "") -> str:
    """The number of one's own phone. Raises `Problem`."""
    if not me.agent:
        raise Problem(
            409,
            f"{me.name} has no agent's number, so no phone can be rung: an administrator gives the account one",
        )
    if given not in ("", me.agent):
        raise Problem(403, f"{me.name} may not use the phone of agent {given}")
    return me.agent


def _may(me: Who, wanted: str) -> None:
    if wanted == "step_in" and "talks.step_in" not in me.rights:
        raise Problem(403, f"{me.name} may not step into talks")
