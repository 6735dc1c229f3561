"""Routes about callbacks: list, add, cancel."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from acd.callbacks import book as callback_book
from acd.callbacks.entry import OPEN, Entry
from acd.callbacks.task import State
from facts import Fact
from facts.masking import mask
from facts.requests import AddCallback, CancelCallback
from facts.times import moment_of
from web.api.auth import Me, right
from web.api.facts import FactOut
from web.api.facts import shown as shown_fact
from web.backend import Behind, Problem, Said
from web.once import Once

router = APIRouter(prefix="/api", tags=["callbacks"])

_LARGEST = 2**31 - 1
Id = Annotated[int, Query(ge=1, le=_LARGEST)]


class Callback(BaseModel):
    """A callback. `agent`: the preferred agent; `worked_by`: the agent who had it last. Times in microseconds."""

    id: int
    number: str
    queue: str
    state: State
    attempts: int
    attempts_left: int
    yields: int
    after: int
    before: int
    next: int | None
    agent: str
    worked_by: str
    reason: str
    matter: str
    origin: str
    last_failure: str
    added: int
    updated: int


class NewCallback(BaseModel):
    """A citizen to be called. `after`, `before`: ISO 8601, China's time when no offset is given; empty is any."""

    number: str = Field(max_length=40)
    queue: str = Field("", max_length=32)
    after: str = Field("", max_length=40)
    before: str = Field("", max_length=40)
    agent: str = Field("", max_length=8)
    reason: str = Field("", max_length=200)
    matter: str = Field("", max_length=80)


class Added(Said):
    """The new callback's number."""

    id: int


class CallbackStory(BaseModel):
    """One callback and what happened to it, oldest first."""

    callback: Callback
    facts: list[FactOut]


@router.get("/callbacks", **right("callbacks.read", audited="every", response_model=list[Callback]))
async def callbacks(
    me: Me,
    behind: Behind,
    state: Annotated[
        str, Query(max_length=200, description="`open`, `all`, or states with commas")
    ] = "open",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> list[Callback]:
    """The newest callbacks in these states, by number."""
    found = await callback_book.find_all(behind.engine, _states(state), limit)
    return [_shown(entry, me.masked) for entry in found]


@router.get(
    "/callbacks/{id}", **right("callbacks.read", audited="every", response_model=CallbackStory)
)
async def callback(id: int, me: Me, behind: Behind) -> CallbackStory:  # noqa: A002 the path's word
    """One callback with its history."""
    entry = await _find(behind.engine, id)
    facts: list[Fact] = await callback_book.history(behind.engine, entry)
    return CallbackStory(
        callback=_shown(entry, me.masked), facts=[shown_fact(fact, me.masked) for fact in facts]
    )


@router.post("/callbacks", **right("callbacks.write", status_code=201, response_model=Added))
async def add(given: NewCallback, behind: Behind, once: Once) -> Added:
    """Have a citizen called back."""
    return await once.answer(Added, lambda: _add(given, behind))


async def _add(given: NewCallback, behind: Behind) -> Added:
    asked = AddCallback(
        number=given.number,
        queue=given.queue,
        earliest=_moment(given.after, "after"),
        latest=_moment(given.before, "before"),
        prefers=given.agent,
        reason=given.reason,
        matter=given.matter,
    )
    reply = await behind.ask(asked)
    return Added(id=reply.id, said=reply.said)


@router.delete("/callbacks/{id}", **right("callbacks.write", response_model=Said))
async def cancel(id: int, behind: Behind, once: Once) -> Said:  # noqa: A002 the path's word
    """Cancel a callback. A citizen who has answered already is not cut off."""
    return await once.answer(Said, lambda: _cancel(id, behind))


async def _cancel(number: int, behind: Behind) -> Said:
    await _find(behind.engine, number)
    return Said(said=(await behind.ask(CancelCallback(number))).said)


async def _find(engine: Any, number: int) -> Entry:
    entry = await callback_book.find(engine, number) if 1 <= number <= _LARGEST else None
    if entry is None:
        raise Problem(404, "there is no such callback")
    return entry


def _states(text: str) -> list[State]:
    if text == "open":
        return sorted(OPEN)
    if text == "all":
        return list(State)
    try:
        return [State(name.strip()) for name in text.split(",")]
    except ValueError:
        raise Problem(422, f"state: there is open, all, {', '.join(State)}") from None


def _moment(text: str, name: str) -> int:
    if not text:
        return 0
    try:
        at = moment_of(text)
    except (ValueError, OverflowError):
        at = -1
    if not 0 < at < 2**53:
        raise Problem(422, f"{name}: write a time such as 2026-11-22T18:00")
    return at


def _shown(entry: Entry, masked: bool) -> Callback:
    return Callback(
        id=entry.id,
        number=mask(entry.number) if masked else entry.number,
        queue=entry.queue,
        state=entry.state,
        attempts=entry.attempts,
        attempts_left=entry.attempts_left,
        yields=entry.yields,
        after=entry.earliest,
        before=entry.latest,
        next=entry.not_before if entry.state is State.DUE else None,
        agent=entry.prefers,
        worked_by=entry.agent,
        reason="" if masked else entry.reason,
        matter="" if masked else entry.matter,
        origin=entry.origin,
        last_failure=entry.last_failure,
        added=entry.added_at,
        updated=entry.updated_at,
    )
