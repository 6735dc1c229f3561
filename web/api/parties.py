"""Routes about third parties in a talk: a colleague, another department, an outside number."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from facts.ids import PARTY
from facts.requests import AddParty, CallEmergency, DropParty, JoinParties, MuteParty, UnmuteParty
from web.api.auth import Me, right
from web.api.people import Number
from web.backend import Backend, Behind, Problem, Said
from web.once import Once

router = APIRouter(prefix="/api", tags=["talks"])

_OWN: Final = "parties.own"

Party = Annotated[str, InPath(pattern=f"^{PARTY.pattern}$", description="a party's id")]


class NewParty(BaseModel):
    """Who is to be brought in: an agent's number, a queue, a name of `HOTLINE_PARTY_DIRECTORY`, an outside number.

    `how`: `now`, or `consult` if the agent talks to them first, while the citizen hears music.
    """

    to: str = Field(min_length=1, max_length=40)
    how: Literal["now", "consult"] = "now"


class Emergency(BaseModel):
    """Which emergency service, of those in `HOTLINE_EMERGENCY_TO`."""

    service: Literal["110", "119", "120", "122"]


class Added(BaseModel):
    """A party who is called now. `said`: how far it has come within the second."""

    said: str
    party: str


@router.post("/talks/{number}/parties", **right(_OWN, status_code=201, response_model=Added))
async def add(number: Number, given: NewParty, me: Me, behind: Behind, once: Once) -> Added:
    """Bring somebody into the agent's talk. A colleague who does not answer leaves it as it was."""

    async def work() -> Added:
        _may(me, number)
        reply = await behind.ask(AddParty(number, given.to, given.how, me.name))
        return Added(said=reply.said, party=reply.party)

    return await once.answer(Added, work)


@router.post("/talks/{number}/parties/join", **right(_OWN, response_model=Said))
async def join(number: Number, me: Me, behind: Behind, once: Once) -> Said:
    """The agent has consulted: the citizen hears everybody."""
    return await once.answer(Said, lambda: _ask(behind, me, JoinParties(number, me.name)))


@router.post("/talks/{number}/parties/{party}/mute", **right(_OWN, response_model=Said))
async def mute(number: Number, party: Party, me: Me, behind: Behind, once: Once) -> Said:
    """The others do not hear this party any more; the party hears them."""
    return await once.answer(Said, lambda: _ask(behind, me, MuteParty(number, party, me.name)))


@router.post("/talks/{number}/parties/{party}/unmute", **right(_OWN, response_model=Said))
async def unmute(number: Number, party: Party, me: Me, behind: Behind, once: Once) -> Said:
    """The others hear this party again."""
    return await once.answer(Said, lambda: _ask(behind, me, UnmuteParty(number, party, me.name)))


@router.delete("/talks/{number}/parties/{party}", **right(_OWN, response_model=Said))
async def drop(number: Number, party: Party, me: Me, behind: Behind, once: Once) -> Said:
    """Take this party out of the talk, or stop calling them. The others talk on."""
    return await once.answer(Said, lambda: _ask(behind, me, DropParty(number, party, me.name)))


@router.post("/talks/{number}/emergency", **right(_OWN, status_code=201, response_model=Added))
async def emergency(number: Number, given: Emergency, me: Me, behind: Behind, once: Once) -> Added:
    """Bring an emergency service into the agent's talk at once (R16), beyond all limits on outside numbers.

    Asked again while it is called or in the talk, it only says how far it has come.
    """

    async def work() -> Added:
        _may(me, number)
        reply = await behind.ask(CallEmergency(number, given.service, me.name))
        return Added(said=reply.said, party=reply.party)

    return await once.answer(Added, work)


async def _ask(
    behind: Backend, me: Me, asked: JoinParties | MuteParty | UnmuteParty | DropParty
) -> Said:
    _may(me, asked.number)
    return Said(said=(await behind.ask(asked)).said)


def _may(me: Me, agent: str) -> None:
    if not me.acts_for(agent):
        raise Problem(403, f"{me.name} may not bring others into the talk of agent {agent}")
