"""Routes about agents: who they are, what they do, and what a supervisor tells them to do."""

from typing import Annotated, Final

import structlog
from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from acd.rules import book as rulebook
from acd.rules import edit as ruleedit
from acd.rules.text import Rulebook, RulesError
from agents import roster
from agents.roster import RosterError
from base import clock
from facts.live import AgentNow
from facts.masking import mask_name
from facts.numbers import AGENT_NUMBER
from facts.requests import (
    AgentPasswordChanged,
    AgentWasAdded,
    AgentWasRemoved,
    PauseRecording,
    ResumeRecording,
    RulesChanged,
    SetOut,
    SetPaused,
    SetReady,
)
from web.api.auth import Me, right
from web.backend import Backend, Behind, Problem, Said
from web.once import Once

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api", tags=["agents"])

Number = Annotated[
    str, InPath(pattern=f"^{AGENT_NUMBER.pattern}$", description="an agent's number (工号)")
]
_OWN: Final = "agents.own"


class Membership(BaseModel):
    """A queue that an agent serves. Agents with smaller penalties are offered first."""

    queue: str = Field(max_length=32)
    penalty: int = Field(0, ge=0, le=1000)


class Agent(BaseModel):
    """An agent. `presence`, `since`, `until`, `call` are None while the controller is silent; times in microseconds."""

    number: str
    name: str
    intent: str
    presence: str | None
    pause_reason: str
    since: int | None
    until: int | None
    call: str | None
    queues: list[Membership]
    skills: dict[str, int]


class NewAgent(BaseModel):
    """A new agent and the password of their softphone."""

    number: str = Field(max_length=20)
    name: str = Field(max_length=200)
    password: str = Field(max_length=200)


class Reason(BaseModel):
    """Why an agent pauses."""

    reason: str = Field("", max_length=80)


class Password(BaseModel):
    """A softphone's new password."""

    password: str = Field(max_length=200)


class Queues(BaseModel):
    """All queues that an agent serves from now on."""

    queues: list[Membership] = Field(max_length=100)


class Pause(BaseModel):
    """A reason for a pause: the digit after `*12`, and the minutes that it allows, 0 for any."""

    key: str
    name: str
    minutes: int


class Changed(BaseModel):
    """A change that is in the database. `in_force`: the running controller has taken it, too."""

    said: str
    in_force: bool


@router.get("/agents", **right("agents.read", response_model=list[Agent]))
async def agents(me: Me, behind: Behind) -> list[Agent]:
    """The agents and what they do now."""
    book = await rulebook.read(behind.engine)
    live = _live(behind)
    found = []
    for one in await roster.list_all(behind.engine):
        now = live.get(one.number)
        found.append(
            Agent(
                number=one.number,
                name=mask_name(one.name) if me.masked and one.number != me.agent else one.name,
                intent=one.intent.value,
                presence=now["presence"] if now else None,
                pause_reason=one.pause_reason,
                since=now["since"] if now else None,
                until=now["until"] or None if now else None,
                call=now["call"] or None if now else None,
                queues=_queues(book, one.number),
                skills=dict(book.skills.get(one.number, {})),
            )
        )
    return found


@router.post("/agents", **right("agents.write", status_code=201, response_model=Changed))
async def add(given: NewAgent, behind: Behind) -> Changed:
    """Add an agent; the softphone can sign in at once."""
    try:
        await roster.add(behind.engine, given.number, given.name, given.password, clock.now())
    except RosterError as error:
        raise Problem(409, str(error)) from None
    told = await behind.notify(AgentWasAdded(given.number))
    return Changed(said=f"agent {given.number} added", in_force=told)


@router.delete("/agents/{number}", **right("agents.write", response_model=Changed))
async def remove(number: Number, behind: Behind) -> Changed:
    """Remove an agent; a talk that goes on is not cut."""
    try:
        await roster.remove(behind.engine, number)
    except RosterError as error:
        raise Problem(404, str(error)) from None
    told = await behind.notify(AgentWasRemoved(number))
    return Changed(said=f"agent {number} removed", in_force=told)


@router.put("/agents/{number}/password", **right("agents.write", response_model=Changed))
async def password(number: Number, given: Password, behind: Behind) -> Changed:
    """Give an agent's softphone a new password."""
    try:
        await roster.set_password(behind.engine, number, given.password)
    except RosterError as error:
        raise Problem(409, str(error)) from None
    told = await behind.notify(AgentPasswordChanged(number))
    return Changed(said=f"agent {number} has a new password", in_force=told)


@router.post("/agents/{number}/ready", **right(_OWN, response_model=Said))
async def ready(number: Number, me: Me, behind: Behind) -> Said:
    """The agent takes calls."""
    return await _request(behind, me, SetReady(number))


@router.post("/agents/{number}/pause", **right(_OWN, response_model=Said))
async def pause(number: Number, given: Reason, me: Me, behind: Behind) -> Said:
    """The agent pauses; a talk that goes on is finished first."""
    return await _request(behind, me, SetPaused(number, given.reason))


@router.post("/agents/{number}/out", **right(_OWN, response_model=Said))
async def out(number: Number, me: Me, behind: Behind) -> Said:
    """The agent is signed out."""
    return await _request(behind, me, SetOut(number))


@router.post("/agents/{number}/recording/pause", **right("recordings.pause", response_model=Said))
async def pause_recording(number: Number, me: Me, behind: Behind, once: Once) -> Said:
    """Leave silence in the recording of the agent's talk, for what is confidential.

    Answers when Asterisk has confirmed it. The recording goes on with `resume`, when the agent leaves the talk, and
    after `HOTLINE_RECORDING_PAUSE_LIMIT` seconds.
    """
    return await once.answer(Said, lambda: _record(behind, me, PauseRecording(number, me.name)))


@router.post("/agents/{number}/recording/resume", **right("recordings.pause", response_model=Said))
async def resume_recording(number: Number, me: Me, behind: Behind, once: Once) -> Said:
    """Record the agent's talk again. A talk that is not paused stays as it is."""
    return await once.answer(Said, lambda: _record(behind, me, ResumeRecording(number, me.name)))


@router.post("/agents/{number}/move", **right("agents.write", response_model=Changed))
async def move(number: Number, given: Queues, behind: Behind) -> Changed:
    """Let an agent serve these queues and no others, in one step and at once."""
    queues = {one.queue: one.penalty for one in given.queues}
    told = await change(behind, ruleedit.move(number, queues))
    return Changed(said=f"agent {number} serves {', '.join(queues) or 'no queue'}", in_force=told)


@router.get("/pauses", **right("queues.read", response_model=list[Pause]))
async def pauses(behind: Behind) -> list[Pause]:
    """The reasons for a pause."""
    book = await rulebook.read(behind.engine)
    return [Pause(key=one.key, name=one.name, minutes=one.minutes) for one in book.pauses]


async def change(behind: Backend, edit: ruleedit.Edit) -> bool:
    """Change the rules; gives whether the controller has taken them. Raises `Problem` that lists all errors."""
    try:
        settings = behind.settings
        defaults = rulebook.defaults(settings)
        await rulebook.change(behind.engine, edit, defaults, settings.numbers)
    except RulesError as error:
        raise Problem(409, str(error)) from None
    return await behind.notify(RulesChanged())


async def _request(behind: Backend, me: Me, asked: SetReady | SetPaused | SetOut) -> Said:
    if not me.acts_for(asked.number):
        raise Problem(403, f"{me.name} may not speak for agent {asked.number}")
    return Said(said=(await behind.ask(asked)).said)


async def _record(behind: Backend, me: Me, asked: PauseRecording | ResumeRecording) -> Said:
    if not me.acts_for(asked.number):
        raise Problem(403, f"{me.name} may not pause the recording of agent {asked.number}")
    return Said(said=(await behind.ask(asked)).said)


def _live(behind: Backend) -> dict[str, AgentNow]:
    state = behind.feed.state
    if state is None or clock.now() - state["at"] > _STALE:
        return {}
    return {one["number"]: one for one in state["agents"]}


_STALE: Final = 5_000_000


def _queues(book: Rulebook, agent: str) -> list[Membership]:
    return [
        Membership(queue=one.queue, penalty=one.penalty)
        for one in book.members
        if one.agent == agent
    ]
