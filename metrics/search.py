"""Search among calls or recordings, newest first and a page at a time; and the whole story of one call.

Candidates come in the order of time: from the traits of calls (`metrics.traits`), and from the calls that are marked
and may lack theirs. Where there are no traits yet, or the search asks for none, they are the diary's arrivals. Each is
folded from its facts, and shown if it is what was wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, Text, and_, cast, exists, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from acd.callbacks.tables import callback
from diary import reader, tables
from facts import CallArrived, CallbackPlaced, CallQueued, Fact, OfferAnswered
from facts.ids import callback_of
from facts.numbers import normalise
from facts.terms import CallId, Outcome
from metrics import traits
from metrics.calls import CallRow, as_json, attempt_json, recordings
from metrics.fold import attempt_of, record_of
from metrics.tables import call_trait
from recorder.tables import recording

SCANNED = 2000
"""Calls that one page folds at most. Such a page may be short, and still says where to go on."""

LOOKED_AT = 10_000
"""Rows of the rarest of several traits that one page looks at, at most: the same holds."""


@dataclass(frozen=True, slots=True)
class RecordedFor:
    """A recording's length: `shortest` ≤ length ≤ `longest` (microseconds)."""

    shortest: int = 0
    longest: int = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CallSearch:
    """Which calls to find. `since` ≤ arrived < `until` (microseconds); empty is any. `caller`: a number, or its end.

    `recorded`: only those with a recording that was not deleted, of this length. Attempts of callbacks are found then,
    too: `caller` is the citizen, `arrived` the moment at which the agent's phone was rung.
    """

    since: int
    until: int
    caller: str = ""
    number: str = ""
    agent: str = ""
    queue: str = ""
    outcome: Outcome | None = None
    disposition: str = ""
    recorded: RecordedFor | None = None


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls as `metrics.calls.list_calls` gives them, newest first; `after`: where the next page begins, or None."""

    calls: list[CallRow]
    after: tuple[int, int] | None


async def search(
    engine: AsyncEngine, wanted: CallSearch, limit: int, after: tuple[int, int] | None = None
) -> CallPage:
    """The newest calls that match, at most `limit`; with `after` (an earlier page's) the ones behind that page."""
    found: list[CallRow] = []
    scanned, size = 0, max(limit, _ROWS)
    places = await _places(engine, wanted)
    while scanned < SCANNED:
        page = await _candidates(engine, wanted, places, after, size)
        calls = [row.call for row in page.rows]
        facts = await reader.read_stories(engine, calls)
        lengths = await recordings(engine, calls)
        tasks = await _tasks(engine, calls)
        for row in page.rows:
            scanned += 1
            after = (row.at, row.id)
            told = facts.get(row.call, ())
            length = lengths.get(row.call)
            if row.kind == CallbackPlaced.kind:
                shown = _attempt(wanted, row.at, told, length, tasks.get(callback_of(row.call)))
            else:
                shown = _call(wanted, row.at, told, length)
            if shown is not None:
                found.append(shown)
            if len(found) >= limit:
                return CallPage(found, after)
        if page.edge is None:
            return CallPage(found, None)
        after = page.edge
        if page.tired:
            break
        size = min(2 * size, _MOST_ROWS)
    return CallPage(found, after)


async def search_all(
    engine: AsyncEngine, wanted: CallSearch, limit: int
) -> tuple[list[CallRow], bool]:
    """The newest `limit` calls that match, however many are examined for them; and whether there are more."""
    found: list[CallRow] = []
    after: tuple[int, int] | None = None
    while True:
        page = await search(engine, wanted, limit + 1 - len(found), after)
        found += page.calls
        after = page.after
        if after is None or len(found) > limit:
            return found[:limit], len(found) > limit


def _call(
    wanted: CallSearch, at: int, facts: Sequence[Fact], length: float | None
) -> CallRow | None:
    """The call that arrived then; None if it is another one than is wanted."""
    record = record_of(facts)
    if record is None or record.arrived != at:
        return None  # the arrival was reported twice; the other row shows this call
    if wanted.outcome is not None and record.outcome is not wanted.outcome:
        return None
    if wanted.number and record.number != wanted.number:
        return None
    if wanted.caller and not record.caller.endswith(_given(wanted)):
        return None
    shown = as_json(record, length)
    if wanted.disposition and shown["disposition"] != wanted.disposition:
        return None
    return shown


def _attempt(
    wanted: CallSearch, at: int, facts: Sequence[Fact], length: float | None, task: Any
) -> CallRow | None:
    """The attempt that was placed then. `task`: the row of its callback, or None."""
    record = attempt_of(facts)
    if record is None or record.arrived != at:
        return None
    number, queue = (task.number, task.queue) if task is not None else ("", "")
    if wanted.caller and not number.endswith(_given(wanted)):
        return None
    if wanted.queue and queue != wanted.queue:
        return None
    return attempt_json(record, number, length)


async def _tasks(engine: AsyncEngine, calls: Sequence[CallId]) -> dict[int, Any]:
    """Number and queue of the callbacks to which attempts among `calls` belong."""
    ids = {callback_of(call) for call in calls} - {0}
    if not ids:
        return {}
    question = select(callback.c.id, callback.c.number, callback.c.queue).where(
        callback.c.id.in_(ids)
    )
    async with engine.connect() as connection:
        return {row.id: row for row in await connection.execute(question)}


async def story(engine: AsyncEngine, call: CallId) -> tuple[CallRow | None, list[Fact]]:
    """One call as `list_calls` gives it, or None, and every fact about it, oldest first."""
    facts = list((await reader.read_stories(engine, [call])).get(call, []))
    record = record_of(facts)
    if record is None:
        return None, facts
    lengths = await recordings(engine, [call])
    return as_json(record, lengths.get(call)), facts


# --- candidates

_ROWS = 50
_MOST_ROWS = 200
_MOST_MARKED = 5000
"""With more marked calls the roll-up does not run, and traits are of little use."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Where candidates are looked for. `traits`: the rarest first, from `complete_from` on; empty: in the diary alone.

    `marked`: arrivals of calls that may lack some of their traits.
    """

    traits: Sequence[str] = ()
    complete_from: int = 2**63 - 1
    marked: Sequence[Any] = ()


_Place: TypeAlias = tuple[int, int]
"""When a call arrived, and the diary's row of it: the order of all that is found."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """`since` ≤ at < `until`, behind `after`, up to `edge` itself."""

    since: int
    until: int
    after: _Place | None = None
    edge: _Place | None = None

    def has(self, place: _Place) -> bool:
        """Whether a row lies in it."""
        if not self.since <= place[0] < self.until:
            return False
        if self.after is not None and place >= self.after:
            return False
        return self.edge is None or place >= self.edge


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Rows of arrivals (kind, call, at, id), newest first. `edge`: where the next ones begin, None if there are none.

    `tired`: the page has looked at enough rows.
    """

    rows: list[Any]
    edge: _Place | None
    tired: bool = False


async def _places(engine: AsyncEngine, wanted: CallSearch) -> _Places:
    some = _traits(wanted)
    if not some:
        return _Places()
    begin = max(wanted.since, await traits.complete_from(engine))
    if begin >= wanted.until:
        return _Places()
    marked: list[Any] = []
    async with engine.connect() as connection:
        call = tables.changed.c.call
        marks = select(call).where(call.not_like("@%")).limit(_MOST_MARKED + 1)
        calls = (await connection.execute(marks)).scalars().all()
        if len(calls) > _MOST_MARKED:
            return _Places()
        for start in range(0, len(calls), reader.PAGE):
            question = _of_marked(wanted, calls[start : start + reader.PAGE])
            marked += (await connection.execute(question)).all()
    return _Places(await traits.rarest(engine, some, begin, wanted.until), begin, marked)


def _traits(wanted: CallSearch) -> list[str]:
    """What is true of every call that is wanted."""
    found = [
        traits.of_number(wanted.number) if wanted.number else "",
        traits.of_agent(wanted.agent) if wanted.agent else "",
        traits.of_queue(wanted.queue) if wanted.queue else "",
        traits.of_outcome(wanted.outcome) if wanted.outcome is not None else "",
        traits.of_disposition(wanted.disposition) if wanted.disposition else "",
        traits.end(_given(wanted)) if wanted.caller else "",
    ]
    return [one for one in found if one]


async def _candidates(
    engine: AsyncEngine,
    wanted: CallSearch,
    places: _Places,
    after: _Place | None,
    size: int,
) -> _Candidates:
    """At most `size` of the newest arrivals that may be wanted, behind `after`."""
    found: dict[_Place, Any] = {}
    edge: _Place | None = None
    rows, trait = tables.diary.c, call_trait.c
    begin = min(places.complete_from, wanted.until)
    async with engine.connect() as connection:

        async def look(question: Select[Any]) -> None:
            for row in await connection.execute(question):
                found[row.at, row.id] = row

        if places.traits and (after is None or after[0] >= begin):
            edge = await _edge(connection, places, wanted.until, after)
            stretch = _Stretch(begin, wanted.until, after, edge)
            await look(_newest(_by_traits(wanted, places), trait, stretch, size))
            found |= {(row.at, row.id): row for row in places.marked}
            if wanted.recorded is not None and (attempts := _about_attempts(wanted)):
                await look(_newest(_diary(wanted, *attempts), rows, stretch, size))
            found = {place: row for place, row in found.items() if stretch.has(place)}
        if edge is None and len(found) < size:
            stretch = _Stretch(wanted.since, begin, after)
            await look(_newest(_diary(wanted), rows, stretch, size - len(found)))
    page = [found[place] for place in sorted(found, reverse=True)][:size]
    if len(page) >= size:
        return _Candidates(page, (page[-1].at, page[-1].id))
    return _Candidates(page, edge, tired=edge is not None)


async def _edge(
    connection: AsyncConnection, places: _Places, until: int, after: _Place | None
) -> _Place | None:
    """The last row of the rarest trait that this page may look at; None if it may look at all of them."""
    if len(places.traits) < 2:
        return None
    trait = call_trait.c
    stretch = _Stretch(places.complete_from, until, after)
    rarest = select(trait.at, trait.id).where(trait.trait == places.traits[0])
    question = _newest(rarest, trait, stretch, 1).offset(LOOKED_AT - 1)
    found = (await connection.execute(question)).first()
    return None if found is None else (found.at, found.id)


def _newest(question: Select[Any], of: Any, stretch: _Stretch, size: int) -> Select[Any]:
    """The newest rows of a stretch, by the columns `at` and `id` in `of`."""
    question = question.where(of.at >= stretch.since, of.at < stretch.until)
    if stretch.after is not None:
        at, row = stretch.after
        question = question.where(of.at <= at, or_(of.at < at, of.id < row))
    if stretch.edge is not None:
        at, row = stretch.edge
        question = question.where(of.at >= at, or_(of.at > at, of.id >= row))
    return question.order_by(of.at.desc(), of.id.desc()).limit(size)


def _by_traits(wanted: CallSearch, places: _Places) -> Select[Any]:
    """Arrivals that have all the traits."""
    rows, first = tables.diary.c, call_trait.c
    question = (
        select(rows.kind, rows.call, first.at, first.id)
        .join_from(call_trait, tables.diary, rows.id == first.id)
        .where(first.trait == places.traits[0])
    )
    for trait in places.traits[1:]:
        other = call_trait.alias().c
        there = (other.trait == trait, other.at == first.at, other.id == first.id)
        question = question.where(exists().where(*there))
    if wanted.caller:
        question = question.where(_has_end(wanted))
    return question if wanted.recorded is None else question.where(_is_heard(wanted.recorded))


def _of_marked(wanted: CallSearch, calls: Sequence[CallId]) -> Select[Any]:
    """The arrivals of marked calls; what else is wanted of them is told by their facts."""
    rows = tables.diary.c
    # As in `metrics.rollup`: the concatenation keeps SQLite from the index on `kind`.
    arrived = rows.kind.op("||")(literal_column("''")) == CallArrived.kind
    question = select(rows.kind, rows.call, rows.at, rows.id).where(rows.call.in_(calls), arrived)
    if wanted.caller:
        question = question.where(_has_end(wanted))
    if wanted.number:
        question = question.where(_says(rows.more, wanted.number))
    for kind, column in ((OfferAnswered.kind, "agent"), (CallQueued.kind, "queue")):
        value = getattr(wanted, column)
        if not value:
            continue
        other = tables.diary.alias().c
        told = other.agent == value if column == "agent" else _says(other.more, value)
        is_kind = other.kind.op("||")(literal_column("''")) == kind
        question = question.where(exists().where(other.call == rows.call, is_kind, told))
    return question if wanted.recorded is None else question.where(_is_heard(wanted.recorded))


def _diary(wanted: CallSearch, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Rows of the diary that meet one of `conditions`; without any, all that may be wanted."""
    rows = tables.diary.c
    question = select(rows.kind, rows.call, rows.at, rows.id)
    if conditions:
        question = question.where(or_(*conditions))
    else:
        of_calls = and_(rows.kind == CallArrived.kind, *_about_calls(wanted))
        attempts = [] if wanted.recorded is None else _about_attempts(wanted)
        question = question.where(or_(of_calls, *attempts))
    return question if wanted.recorded is None else question.where(_is_heard(wanted.recorded))


def _is_heard(wanted: RecordedFor) -> ColumnElement[bool]:
    """There is a recording of that length."""
    return exists().where(
        recording.c.call == tables.diary.c.call,
        recording.c.path != "",
        recording.c.certificate == 0,
        recording.c.duration.between(wanted.shortest, wanted.longest),
    )


def _about_calls(wanted: CallSearch) -> list[ColumnElement[bool]]:
    """What is wanted of a call, for the row of its arrival."""
    rows = tables.diary.c
    found: list[ColumnElement[bool]] = []
    if wanted.caller:
        found.append(_has_end(wanted))
    if wanted.number:
        found.append(_says(rows.more, wanted.number))
    if wanted.agent:
        other = tables.diary.alias().c
        answered = select(other.call).where(
            other.kind == OfferAnswered.kind,
            other.at >= wanted.since,
            other.agent == wanted.agent,
        )
        found.append(rows.call.in_(answered))
    if wanted.queue:
        queued = tables.diary.alias().c
        waits = select(queued.call).where(
            queued.kind == CallQueued.kind,
            queued.at >= wanted.since,
            _says(queued.more, wanted.queue),
        )
        found.append(rows.call.in_(waits))
    return found


def _about_attempts(wanted: CallSearch) -> list[ColumnElement[bool]]:
    """The same for the row of an attempt's placing; empty if no attempt can be wanted."""
    if wanted.number or wanted.outcome is not None or wanted.disposition:
        return []
    rows = tables.diary.c
    placed = rows.kind == CallbackPlaced.kind
    return [and_(placed, rows.agent == wanted.agent) if wanted.agent else placed]


def _given(wanted: CallSearch) -> str:
    """The caller's number, or its end, as the diary has it."""
    return normalise(wanted.caller) or wanted.caller


def _has_end(wanted: CallSearch) -> ColumnElement[bool]:
    # The details are JSON text in both databases, so LIKE works in both. It may match another field by chance.
    end = f'%{_plain(_given(wanted))}"%'
    return cast(tables.diary.c.more, Text).like(end, escape="\\")


def _says(details: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    return cast(details, Text).like(f'%"{_plain(value)}"%', escape="\\")


def _plain(text: str) -> str:
    """What LIKE takes literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
