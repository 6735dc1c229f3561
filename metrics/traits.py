"""What calls are searched by: one row for each trait of a call, in the order of time.

The roll-up writes them in the transaction that takes a call's mark away, so every call that arrived since
`complete_from` is marked (`diary.tables.changed`) or has its traits. They only say where to look: a trait that a late
fact has made wrong stays, and the search folds each call that it finds. Of a citizen's number they have the last digits
only.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from diary.tables import diary
from facts import CallArrived, CallQueued, Fact, OfferAnswered
from facts.terms import CallId, Outcome
from metrics.fold import CallRecord
from metrics.tables import call_trait

Trait = tuple[CallId, int, str]
"""Which call, when it arrived (microseconds), and what is true of it."""

_LONG, _SHORT = 4, 2
"""Digits of the ends by which a caller's number is searched."""


def of_call(record: CallRecord, facts: Iterable[Fact]) -> list[Trait]:
    """All traits of a call."""
    found = {of_number(record.number), *ends(record.caller)}
    for fact in facts:
        if isinstance(fact, CallQueued):
            found.add(of_queue(fact.queue))
        elif isinstance(fact, OfferAnswered):
            found.add(of_agent(fact.agent))
    if record.outcome is not None:
        found.add(of_outcome(record.outcome))
    if record.silent:
        found.add(of_disposition("silent"))
    if record.harassing:
        found.add(of_disposition("harassing"))
    return [(record.id, record.arrived, trait) for trait in sorted(found)]


def of_number(number: str) -> str:
    """The hotline's number was called."""
    return f"n{number}"


def of_queue(queue: str) -> str:
    """The caller waited in this queue."""
    return f"q{queue}"


def of_agent(agent: str) -> str:
    """The agent answered."""
    return f"a{agent}"


def of_outcome(outcome: Outcome) -> str:
    """It ended so."""
    return f"o{outcome.value}"


def of_disposition(disposition: str) -> str:
    """What a call is told by beside its outcome."""
    return f"d{disposition}"


def ends(caller: str) -> set[str]:
    """A caller's number ends with these digits."""
    return {f"{size}{caller[-size:]}" for size in (_LONG, _SHORT) if len(caller) >= size}


def end(caller: str) -> str:
    """The trait that says most of a number with this end; empty for a single digit."""
    return max(ends(caller), key=len, default="")


# --- in the database


async def store(connection: AsyncConnection, since: int, until: int, some: Iterable[Trait]) -> None:
    """Write traits of calls that arrived in (since, until]; those that are there already stay."""
    fact = diary.c
    question = (
        select(fact.call, fact.at, func.min(fact.id))
        .where(fact.kind == CallArrived.kind, fact.at > since, fact.at <= until)
        .group_by(fact.call, fact.at)
    )
    ids = {(call, at): row for call, at, row in await connection.execute(question)}
    rows = [
        {"trait": trait, "at": at, "id": ids[call, at]}
        for call, at, trait in some
        if (call, at) in ids
    ]
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    await connection.execute(dialect.insert(call_trait).on_conflict_do_nothing(), rows)


async def forget_caller(connection: AsyncConnection, number: str, at: int, row: int) -> None:
    """Remove the ends of the caller's number: of the call that arrived `at`, told by this row of the diary."""
    trait = call_trait.c
    await connection.execute(
        delete(call_trait).where(trait.trait.in_(ends(number)), trait.at == at, trait.id == row)
    )


async def complete_from(engine: AsyncEngine) -> int:
    """Since when (microseconds) every call is marked or has its traits."""
    async with engine.connect() as connection:
        at: int = (
            await connection.execute(select(call_trait.c.at).where(call_trait.c.trait == ""))
        ).scalar_one()
    return at


async def set_complete_from(connection: AsyncConnection, at: int) -> None:
    """Say so, in the transaction that has written the traits."""
    await connection.execute(delete(call_trait).where(call_trait.c.trait == ""))
    await connection.execute(insert(call_trait).values(trait="", at=at, id=0))


async def rarest(engine: AsyncEngine, some: Sequence[str], since: int, until: int) -> list[str]:
    """The same traits, the one of the fewest calls in [since, until) first."""
    if len(some) < 2:
        return list(some)
    trait = call_trait.c
    counts: list[int] = []
    async with engine.connect() as connection:
        for one in some:
            within = (
                select(trait.at)
                .where(trait.trait == one, trait.at >= since, trait.at < until)
                .limit(_COUNTED)
            )
            counts.append(
                (
                    await connection.execute(select(func.count()).select_from(within.subquery()))
                ).scalar_one()
            )
    return [one for _, one in sorted(zip(counts, some, strict=True))]


_COUNTED = 5000
