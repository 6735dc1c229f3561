"""Routes of call control: what programs do to an agent's talk. Each answers within a second with what has happened."""

from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from facts.control import (
    AnswerRing,
    ControlRequest,
    DialForAgent,
    HandOverTalk,
    HangUpTalk,
    HoldTalk,
    MarkCall,
    MuteTalk,
    ResumeTalk,
    TransferTalk,
)
from facts.terms import CallMark
from web.api.auth import Me, right
from web.api.people import Number
from web.backend import Behind, Problem, Said
from web.once import Once

router = APIRouter(prefix="/api", tags=["call control"])

_OWN: Final = "agents.own"


class Done(Said):
    """What has happened, and to which call: `GET /api/facts` tells what follows."""

    call: str


class Mute(BaseModel):
    """Whether the citizen hears the agent."""

    mute: bool = True


class Target(BaseModel):
    """Where to: a colleague's number, one of the hotline's, or an allowed one outside; or a queue."""

    to: str = Field("", max_length=15)
    queue: str = Field("", max_length=32)


class Dialled(BaseModel):
    """The number to be dialled, and the queue under whose number the citizen sees the call."""

    to: str = Field(max_length=40)
    queue: str = Field("", max_length=32)


class Marking(BaseModel):
    """What the call is, and whether the hotline ends it by its script."""

    mark: CallMark
    end: bool = False


@router.post("/talks/{number}/answer", **right(_OWN, response_model=Done))
async def answer(number: Number, me: Me, behind: Behind, once: Once) -> Done:
    """Have the agent's phone, which rings for a citizen, pick up by itself (SIP NOTIFY, `Event: talk`).

    200 means that it has. A phone that does not know this rings on: `phone_ignores`.
    """
    return await once.answer(Done, lambda: _ask(behind, me, AnswerRing(number, me.name)))


@router.post("/talks/{number}/hold", **right(_OWN, response_model=Done))
async def hold(number: Number, me: Me, behind: Behind, once: Once) -> Done:
    """Let the citizen of this agent's talk hear music. The agent hears nothing. Needs nothing of the phone."""
    return await once.answer(Done, lambda: _ask(behind, me, HoldTalk(number, me.name)))


@router.post("/talks/{number}/resume", **right(_OWN, response_model=Done))
async def resume(number: Number, me: Me, behind: Behind, once: Once) -> Done:
    """Let the two of a held talk hear each other again."""
    return await once.answer(Done, lambda: _ask(behind, me, ResumeTalk(number, me.name)))


@router.post("/talks/{number}/mute", **right(_OWN, response_model=Done))
async def mute(number: Number, given: Mute, me: Me, behind: Behind, once: Once) -> Done:
    """Let the citizen not hear the agent, or hear them again. The recording has what the citizen hears."""
    asked = MuteTalk(number, "on" if given.mute else "off", me.name)
    return await once.answer(Done, lambda: _ask(behind, me, asked))


@router.post("/talks/{number}/hang-up", **right(_OWN, response_model=Done))
async def hang_up(number: Number, me: Me, behind: Behind, once: Once) -> Done:
    """End the agent's talk. It counts as the agent's own hang-up."""
    return await once.answer(Done, lambda: _ask(behind, me, HangUpTalk(number, me.name)))


@router.post("/talks/{number}/transfer", **right(_OWN, response_model=Done))
async def transfer(number: Number, given: Target, me: Me, behind: Behind, once: Once) -> Done:
    """Hand the citizen on, as the agent's phone does (blind). The agent's talk is over; the citizen keeps their place.

    `CallTransferred` says where to, `OfferRinging` that the colleague's phone rings. A citizen of a callback goes on as
    a call of their own, whose `CallArrived` has this call as its `origin`.
    """
    asked = TransferTalk(number, given.to, given.queue, me.name)
    return await once.answer(Done, lambda: _ask(behind, me, asked))


@router.post("/talks/{number}/handover", **right(_OWN, response_model=Done))
async def hand_over(number: Number, me: Me, behind: Behind, once: Once) -> Done:
    """Leave the citizen to the colleague that the agent has asked into the talk: it is the colleague's then.

    In the diary it is an attended transfer (`CallTransferred`), as by the agent's phone. In a consultation the
    colleague has to have answered; then the citizen hears them at once.
    """
    return await once.answer(Done, lambda: _ask(behind, me, HandOverTalk(number, me.name)))


@router.post("/talks/{number}/mark", **right(_OWN, response_model=Done))
async def mark(number: Number, given: Marking, me: Me, behind: Behind, once: Once) -> Done:
    """Say that the caller harasses (R18) or is silent (R20). A mark blocks nobody: it proposes it to a supervisor.

    With `end` a harassing caller hears the scripted phrase and is hung up, and the agent is out of the talk at once. A
    silent one is asked three times, and comes back to the talk with their first word.
    """
    asked = MarkCall(number, given.mark.value, int(given.end), me.name)
    return await once.answer(Done, lambda: _ask(behind, me, asked))


@router.post("/agents/{number}/dial", **right(_OWN, response_model=Done))
async def dial(number: Number, given: Dialled, me: Me, behind: Behind, once: Once) -> Done:
    """Ring the agent's phone, then dial a number as their own outbound call (click to call).

    200 means that the phone is rung. What follows has `call` as its call: `CallbackDialling` once the agent has picked
    up, `CallbackAnswered`, `CallbackEnded`. It is recorded, goes through the gate and yields to a waiting citizen as
    callbacks do. Then, or if the agent does not pick up, it is over.
    """
    asked = DialForAgent(number, given.to, given.queue, me.name)
    return await once.answer(Done, lambda: _ask(behind, me, asked))


async def _ask(behind: Behind, me: Me, asked: ControlRequest) -> Done:
    if not me.acts_for(asked.number):
        raise Problem(
            403,
            f"{me.name} may not act for agent {asked.number}",
            code="not_yours",
            zh=f"{me.name} 无权代话务员 {asked.number} 操作",
        )
    reply = await behind.ask(asked)
    return Done(said=reply.said, call=reply.call)
