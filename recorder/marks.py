"""Marks: places in a recording with a note, for whoever listens after. They go with the recording.

A mark belongs to whoever set it. A change names the version that its author saw, so that two windows of one author do
not overwrite each other. Nothing here is evidence: marks are neither sealed nor part of the ledger.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from facts.terms import CallId
from recorder import ledger
from recorder.tables import mark

MOST: Final = 200
"""Marks of one call."""
LONGEST: Final = 500
"""Characters of a note."""


class MarkError(Exception):
    """A mark is refused. The message says why, and can be shown as it is."""


class NoMarkError(MarkError):
    """There is no such mark, or no such recording."""


class OthersMarkError(MarkError):
    """The mark is somebody else's."""


@dataclass(frozen=True, slots=True)
class RecordingMark:
    """A place in a recording. `begin` and `until`: microseconds from its beginning; `until` None: a moment.

    `by`: the account or token that set it. `added_at` and `changed_at` in microseconds UTC. `version` grows by one with
    each change.
    """

    id: int
    call: CallId
    begin: int
    until: int | None
    text: str
    by: str
    added_at: int
    changed_at: int
    version: int


@dataclass(frozen=True, slots=True)
class MarkedPlace:
    """What a mark is to be: as `RecordingMark`, before it is entered."""

    begin: int
    until: int | None
    text: str


async def find_all(engine: AsyncEngine, call: CallId) -> list[RecordingMark]:
    """The marks of a call, in the order of their places."""
    question = select(mark).where(mark.c.call == call).order_by(mark.c.begin, mark.c.id)
    async with engine.connect() as connection:
        return [RecordingMark(**row) for row in (await connection.execute(question)).mappings()]


async def add(
    engine: AsyncEngine, call: CallId, note: MarkedPlace, by: str, now: int
) -> RecordingMark:
    """Set a mark. Raises `MarkError`: no recording, no such place, no text, or too many marks."""
    text = _clean(note.text)
    async with engine.begin() as connection:
        await _check(connection, call, note)
        many = select(func.count()).where(mark.c.call == call)
        if (await connection.scalar(many) or 0) >= MOST:
            raise MarkError(f"this recording has {MOST} marks already: remove one first")
        values = {"call": call, "begin": note.begin, "until": note.until, "text": text, "by": by}
        times = {"added_at": now, "changed_at": now, "version": 1}
        added = insert(mark).values({**values, **times}).returning(mark)
        return RecordingMark(**(await connection.execute(added)).mappings().one())


async def change(
    engine: AsyncEngine,
    call: CallId,
    number: int,
    note: MarkedPlace,
    *,
    by: str,
    version: int,
    now: int,
) -> RecordingMark:
    """Change one's own mark of this version. Raises `MarkError`."""
    text = _clean(note.text)
    async with engine.begin() as connection:
        await _check(connection, call, note)
        known = await _own(connection, call, number, by)
        if known.version != version:
            raise MarkError("the mark has changed meanwhile: look at it again, then change it")
        values = {"begin": note.begin, "until": note.until, "text": text}
        changed = (
            update(mark)
            .where(mark.c.id == number)
            .values(**values, changed_at=now, version=version + 1)
            .returning(mark)
        )
        return RecordingMark(**(await connection.execute(changed)).mappings().one())


async def remove(engine: AsyncEngine, call: CallId, number: int, by: str) -> None:
    """Remove one's own mark. Raises `MarkError`."""
    async with engine.begin() as connection:
        await ledger.locked(connection, [call])
        await _own(connection, call, number, by)
        await connection.execute(delete(mark).where(mark.c.id == number))


async def forget(connection: AsyncConnection, calls: Sequence[CallId]) -> None:
    """Remove all marks of these calls, in the transaction that certifies the deletion of their recordings."""
    await connection.execute(delete(mark).where(mark.c.call.in_(calls)))


async def _check(connection: AsyncConnection, call: CallId, note: MarkedPlace) -> None:
    """Whether the recording is there and has this place; nobody deletes it before this transaction ends."""
    entry = (await ledger.locked(connection, [call])).get(call)
    if entry is None or not entry.path:
        raise NoMarkError("there is no recording of this call, or it is not finished yet")
    if entry.certificate:
        raise NoMarkError("the recording of this call was deleted")
    if not 0 <= note.begin <= entry.duration:
        raise MarkError("the recording is shorter than that")
    if note.until is not None and not note.begin < note.until <= entry.duration:
        raise MarkError("a mark ends after its beginning, and not after the recording")


async def _own(connection: AsyncConnection, call: CallId, number: int, by: str) -> RecordingMark:
    question = select(mark).where(mark.c.id == number, mark.c.call == call)
    row = (await connection.execute(question)).mappings().one_or_none()
    if row is None:
        raise NoMarkError("there is no such mark: it may have been removed")
    if row["by"] != by:
        raise OthersMarkError("this mark is somebody else's: set one of your own")
    return RecordingMark(**row)


def _clean(text: str) -> str:
    """A note in one line. Raises `MarkError` for none, for a long one and for control characters."""
    line = " ".join(text.split())
    if not line:
        raise MarkError("write what is there")
    if len(line) > LONGEST:
        raise MarkError(f"write at most {LONGEST} characters")
    if any(unicodedata.category(letter) == "Cc" for letter in line):
        raise MarkError("the text has a control character")
    return line
