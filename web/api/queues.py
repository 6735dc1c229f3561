"""Routes about queues, their members, the hotline's numbers, and blocked callers."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from acd.rules import book as rulebook
from acd.rules import edit as ruleedit
from acd.rules import text as ruletext
from acd.rules.book import Block
from acd.rules.model import Member
from acd.rules.text import Rulebook, RulesError
from base import clock
from facts.requests import RulesChanged
from web.api.auth import Me, right
from web.api.people import Changed, Number, change
from web.backend import Backend, Behind, Problem

router = APIRouter(prefix="/api", tags=["queues"])

Name = Annotated[str, InPath(min_length=1, max_length=32, description="a queue's name")]
Caller = Annotated[str, InPath(max_length=40, description="a caller's number")]


class Place(BaseModel):
    """An agent in a queue."""

    agent: str
    penalty: int


class Queue(BaseModel):
    """A queue. `settings`: every value that holds; `own`: the names of those that were set for it.

    Without members every agent serves it.
    """

    name: str
    priority: int
    strategy: str
    numbers: list[str]
    members: list[Place]
    settings: dict[str, Any]
    own: list[str]


class Penalty(BaseModel):
    """Smaller ones are offered first."""

    penalty: int = Field(0, ge=0, le=1000)


class Line(BaseModel):
    """One of the hotline's numbers."""

    number: str
    queue: str
    language: str
    label: str


class Blocked(BaseModel):
    """A block. `state`: in force, to approve, or ended; times in microseconds."""

    caller: str
    state: str
    calls: int
    reason: str
    asked_by: str
    approved_by: str
    added_at: int
    until: int


class NewBlock(BaseModel):
    """A caller to block for so many days, once a second person has approved it."""

    caller: str = Field(max_length=40)
    reason: str = Field(min_length=1, max_length=200)
    days: float = Field(30, gt=0, le=3660)


# --- queues


@router.get("/queues", **right("queues.read", response_model=list[Queue]))
async def queues(behind: Behind) -> list[Queue]:
    """Every queue with what holds for it."""
    book = await rulebook.read(behind.engine)
    return [_queue(behind, book, name) for name in book.queues]


@router.get("/queues/{name}", **right("queues.read", response_model=Queue))
async def queue(name: Name, behind: Behind) -> Queue:
    """One queue."""
    book = await rulebook.read(behind.engine)
    if name not in book.queues:
        raise Problem(404, ruleedit.no_queue(name, book))
    return _queue(behind, book, name)


@router.patch("/queues/{name}", **right("queues.write", response_model=Queue))
async def set_queue(name: Name, given: dict[str, Any], behind: Behind) -> Queue:
    """Change a queue, or add one: `{"priority": 2, "longest_wait": 600}`. None takes a setting back to its default."""
    try:
        ruletext.queue_name(name)
        dropped = {key for key, value in given.items() if value is None}
        read = {key: _setting(key, given[key]) for key in given.keys() - dropped}
        for key in dropped:
            _field(key)
    except (ValueError, RulesError) as error:
        raise Problem(422, str(error)) from None
    await change(behind, ruleedit.set_queue(name, read, dropped))
    return _queue(behind, await rulebook.read(behind.engine), name)


@router.delete("/queues/{name}", **right("queues.write", response_model=Changed))
async def remove_queue(name: Name, behind: Behind) -> Changed:
    """Remove a queue and its members. Callers who wait in it go on waiting in the queue `default`."""
    told = await change(behind, ruleedit.remove_queue(name))
    return Changed(said=f"queue {name} removed", in_force=told)


@router.put("/queues/{name}/members/{number}", **right("queues.write", response_model=Changed))
async def add_member(name: Name, number: Number, given: Penalty, behind: Behind) -> Changed:
    """Let an agent serve a queue, or change the penalty. Once a queue has a member, only members serve it."""
    told = await change(behind, ruleedit.add_member(Member(number, name, given.penalty)))
    return Changed(said=f"agent {number} serves queue {name}", in_force=told)


@router.delete("/queues/{name}/members/{number}", **right("queues.write", response_model=Changed))
async def remove_member(name: Name, number: Number, behind: Behind) -> Changed:
    """Let an agent no longer serve a queue."""
    told = await change(behind, ruleedit.remove_member(number, name))
    return Changed(said=f"agent {number} is no member of queue {name} any more", in_force=told)


@router.get("/numbers", **right("queues.read", response_model=list[Line]))
async def numbers(behind: Behind) -> list[Line]:
    """The hotline's numbers and where they lead."""
    rules = (await rulebook.read(behind.engine)).rules(
        rulebook.defaults(behind.settings), behind.settings.numbers
    )
    return [
        Line(number=number, queue=one.queue, language=one.language, label=one.label)
        for number, one in sorted(rules.numbers.items())
    ]


def _queue(behind: Backend, book: Rulebook, name: str) -> Queue:
    rules = book.rules(rulebook.defaults(behind.settings), behind.settings.numbers)
    holds = rules.queues[name]
    return Queue(
        name=name,
        priority=holds.priority,
        strategy=holds.strategy.value,
        numbers=sorted(number for number, one in rules.numbers.items() if one.queue == name),
        members=[
            Place(agent=one.agent, penalty=one.penalty)
            for one in rules.members
            if one.queue == name
        ],
        settings={field: getattr(holds, field) for field in ruletext.FIELDS},
        own=sorted(book.queues[name]),
    )


def _field(name: str) -> ruletext.Field:
    known = ruletext.FIELDS.get(name)
    if known is None:
        raise Problem(422, f"a queue has no setting {name[:40]}: {', '.join(ruletext.FIELDS)}")
    return known


def _setting(name: str, value: Any) -> Any:
    try:
        return _field(name).read(value)
    except ValueError as error:
        raise Problem(422, f"{name}: {error}") from None


# --- blocked callers (R18)


@router.get("/blocks", **right("blocks.read", audited="every", response_model=list[Blocked]))
async def blocks(behind: Behind) -> list[Blocked]:
    """Every block, with how often it was applied; the newest first."""
    now = clock.now()
    return [_blocked(one, now) for one in await rulebook.blocks(behind.engine)]


@router.post("/blocks", **right("blocks.write", status_code=201, response_model=Changed))
async def block(given: NewBlock, me: Me, behind: Behind) -> Changed:
    """Ask for a block. It is in force once a second person has approved it."""
    now = clock.now()
    wanted = Block(
        caller=_caller(given.caller),
        reason=_note(given.reason),
        asked_by=me.name,
        approved_by="",
        added_at=now,
        until=now + round(timedelta(days=given.days) / timedelta(microseconds=1)),
    )
    try:
        await rulebook.block(behind.engine, wanted, now)
    except RulesError as error:
        raise Problem(409, str(error)) from None
    return Changed(said="the block waits for approval", in_force=False)


@router.post("/blocks/{caller}/approve", **right("blocks.write", response_model=Changed))
async def approve(caller: Caller, me: Me, behind: Behind) -> Changed:
    """Put a block into force. The person who asked for it may not do so."""
    try:
        await rulebook.approve(behind.engine, _caller(caller), me.name, clock.now())
    except RulesError as error:
        raise Problem(409, str(error)) from None
    return Changed(said="the caller is blocked", in_force=await behind.notify(RulesChanged()))


@router.delete("/blocks/{caller}", **right("blocks.write", response_model=Changed))
async def unblock(caller: Caller, behind: Behind) -> Changed:
    """Let a caller through again."""
    try:
        await rulebook.unblock(behind.engine, _caller(caller))
    except RulesError as error:
        raise Problem(404, str(error)) from None
    return Changed(said="the caller is let through", in_force=await behind.notify(RulesChanged()))


def _blocked(one: Block, now: int) -> Blocked:
    if one.in_force(now):
        state = "in force"
    else:
        state = "ended" if one.approved_by or one.until <= now else "to approve"
    return Blocked(
        caller=one.caller,
        state=state,
        calls=one.calls,
        reason=one.reason,
        asked_by=one.asked_by,
        approved_by=one.approved_by,
        added_at=one.added_at,
        until=one.until,
    )


def _caller(text: str) -> str:
    try:
        return str(ruletext.caller(text))
    except ValueError as error:
        raise Problem(422, f"caller: {error}") from None


def _note(text: str) -> str:
    try:
        return str(ruletext.note(text))
    except ValueError as error:
        raise Problem(422, f"reason: {error}") from None
