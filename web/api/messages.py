"""Routes about messages: what a supervisor writes to agents, and what an agent has read."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from agents import messages as store
from facts.requests import ReadMessage, SendMessage
from web.accounts.accounts import Who
from web.api.auth import Me, right
from web.backend import Behind, Problem, Said
from web.once import Once

router = APIRouter(prefix="/api", tags=["messages"])


class NewMessage(BaseModel):
    """A message. `agent`: who gets it; empty: all agents."""

    text: str = Field(min_length=1, max_length=store.LONGEST)
    agent: str = Field("", max_length=8)


class Sent(Said):
    """The message's number; one to all agents has a number for each, and this is the last."""

    id: int


class MessageOut(BaseModel):
    """A message. Times in microseconds; `read_at`: 0 until the agent has read it.

    `phone`: what became of it on the phone: `accepted` (the phone took it), `refused` (it takes no texts), `silent` (it
    did not answer), `unknown` (nobody could hear the answer), `no_phone`, `waiting`.
    """

    id: int
    at: int
    by: str
    agent: str
    text: str
    phone: str
    read_at: int


@router.post("/messages", **right("messages.write", status_code=201, response_model=Sent))
async def send(given: NewMessage, me: Me, behind: Behind, once: Once) -> Sent:
    """Send a message to one agent or to all: onto their pages at once, and onto phones that show texts.

    `said`: what has happened within the second. `GET /api/messages/sent` has what the phones answered later.
    """

    async def work() -> Sent:
        reply = await behind.ask(SendMessage(given.text, me.name, given.agent))
        return Sent(said=reply.said, id=reply.id)

    return await once.answer(Sent, work)


@router.get("/messages", **right("agents.own", response_model=list[MessageOut]))
async def mine(me: Me, behind: Behind) -> list[MessageOut]:
    """The messages to the agent of this account, the newest first."""
    return [_shown(one) for one in await store.of_agent(behind.engine, _agent(me))]


@router.get("/messages/sent", **right("messages.write", response_model=list[MessageOut]))
async def sent(me: Me, behind: Behind) -> list[MessageOut]:
    """What this account has sent, the newest first: one entry an agent."""
    return [_shown(one) for one in await store.sent_by(behind.engine, me.name)]


@router.post("/messages/{id}/read", **right("agents.own", response_model=Said))
async def read(
    id: Annotated[int, InPath(ge=1, le=2**31 - 1)],  # noqa: A002 the path's word
    me: Me,
    behind: Behind,
) -> Said:
    """The agent of this account has read the message."""
    return Said(said=(await behind.ask(ReadMessage(_agent(me), id))).said)


def _agent(me: Who) -> str:
    if not me.agent:
        raise Problem(409, f"{me.name} is no agent's account, so it gets no messages")
    return me.agent


def _shown(one: store.AgentMessage) -> MessageOut:
    return MessageOut(
        id=one.id,
        at=one.at,
        by=one.by,
        agent=one.agent,
        text=one.text,
        phone=one.phone,
        read_at=one.read_at,
    )
