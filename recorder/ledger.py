"""The ledger: the table `recording`, one row a call (R45, M23).

Rows are entered and looked up here, and nothing reads sound: a report that wants a row loads no codec. How a file
becomes a row is in `recorder.finishing`, what becomes of the file later in `recorder.copying`.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base import clock
from diary import tables as diary_tables
from diary import writer
from facts import Fact, PartyAsked, details, restore
from facts.terms import CallId
from recorder import evidence
from recorder import tables as recorder_tables
from recorder.entry import LedgerEntry, Sound
from recorder.policy import RecordingState, goes_on
from recorder.vault.crypt import WrappedKey

PAGE = 500
"""Calls asked for in one statement, or written in one transaction."""


class LedgerError(Exception):
    """A recording cannot be given. The message says why and what to do, and can be shown as it is."""


class LedgerAwayError(LedgerError):
    """The same, because the recordings' store does not answer: it may be given later."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A row not yet entered, and the facts that go with it. `alarm`: a person must look at it.

    `sound`: what was measured in it.
    """

    entry: LedgerEntry
    facts: Sequence[Fact]
    alarm: bool = False
    sound: Sound | None = None


async def enter(
    engine: AsyncEngine, drafts: Sequence[Draft], *, at: int | None = None
) -> list[Fact]:
    """Enter rows, and their facts into the diary, in one transaction. Gives the facts that were new.

    A call that has a row keeps it, and no facts are written, unless the new row has sound that the old one lacks: the
    file turned up late, or has become longer. The same sound, encrypted again or otherwise, is a new row without facts.
    `at`: as in `vouch`.
    """
    news: list[Fact] = []
    rows: list[dict[str, str | int]] = []
    entered: list[LedgerEntry] = []
    async with engine.begin() as connection:
        before = await entries_of(connection, [drafted.entry.call for drafted in drafts])
        for drafted in drafts:
            entry = drafted.entry
            old = before.get(entry.call)
            if old is None or (entry.sha256 and old.sha256 != entry.sha256):
                rows.append(_row(entry))
                entered.append(entry)
                news.extend(drafted.facts)
            elif entry.cipher_sha256 and old.cipher_sha256 != entry.cipher_sha256:
                rows.append(_row(entry))
                entered.append(entry)
        measured = {one.entry.call: one.sound for one in drafts if one.sound is not None}
        replaced = [one for one in entered if one.call in before]
        # What was measured in the same sound before stays true, unless it was measured again.
        stale = [
            one.call
            for one in replaced
            if one.call in measured or one.sha256 != before[one.call].sha256
        ]
        for table, calls in (
            (recorder_tables.recording, [one.call for one in replaced]),
            (recorder_tables.recording_key, [one.call for one in replaced]),
            (recorder_tables.recording_sound, stale),
            # What was heard in it is sealed with the key of before.
            (recorder_tables.recording_words, [one.call for one in replaced]),
            (recorder_tables.recording_words_hint, [one.call for one in replaced]),
        ):
            if calls:
                await connection.execute(delete(table).where(table.c.call.in_(calls)))
        if rows:
            await connection.execute(insert(recorder_tables.recording), rows)
            await vouch(connection, entered, at)
        if wrapped := [_key_row(entry.call, entry.key) for entry in entered if entry.key]:
            await connection.execute(insert(recorder_tables.recording_key), wrapped)
        if heard := [
            _sound_row(one.call, measured[one.call]) for one in entered if one.call in measured
        ]:
            await connection.execute(insert(recorder_tables.recording_sound), heard)
        if news:
            written = [_diary_row(fact) for fact in news]
            await connection.execute(insert(diary_tables.diary), written)
            await connection.execute(writer.mark(engine.dialect.name), writer.changes(written))
    return news


async def vouch(
    connection: AsyncConnection, entries: Sequence[LedgerEntry], at: int | None = None
) -> None:
    """Enter rows into the evidence, beside the ledger's own: a row that replaces another leaves both provable.

    `at`: when they were entered (microseconds), which decides the day that seals them; else when they were finished.
    """
    rows = [
        {
            "call": entry.call,
            "row": vouched(entry),
            "entered_at": entry.finished_at if at is None else at,
            "day": "",
        }
        for entry in entries
    ]
    await connection.execute(insert(recorder_tables.evidence), rows)


def vouched(entry: LedgerEntry) -> str:
    """The canonical row of an entry."""
    return evidence.canonical(
        evidence.Recording(
            call=entry.call,
            path=entry.path,
            state=entry.state.value,
            duration=entry.duration,
            size=entry.size,
            sha256=entry.sha256,
            finished_at=entry.finished_at,
            note=entry.note,
            cipher_sha256=entry.cipher_sha256,
        )
    )


async def look_up(engine: AsyncEngine, calls: Sequence[CallId]) -> dict[CallId, LedgerEntry]:
    """Give the rows of these calls; a call without a row is left out."""
    async with engine.connect() as connection:
        return await entries_of(connection, calls)


async def facts_of(engine: AsyncEngine, calls: Sequence[CallId]) -> dict[CallId, list[Fact]]:
    """Give the facts of these calls that `policy.times` needs."""
    found: dict[CallId, list[Fact]] = {}
    columns = diary_tables.diary.c
    async with engine.connect() as connection:
        for start in range(0, len(calls), PAGE):
            question = select(
                columns.at, columns.kind, columns.call, columns.agent, columns.more
            ).where(columns.call.in_(calls[start : start + PAGE]), columns.kind.in_(_KINDS))
            for row in await connection.execute(question):
                fact = restore(row.kind, row.at, row.call, row.agent, row.more)
                found.setdefault(row.call, []).append(fact)
    return found


async def going_on(engine: AsyncEngine, calls: Sequence[CallId]) -> set[CallId]:
    """Which of these calls go on with somebody who was brought in, although their end is told (`goes_on`)."""
    if not calls:
        return set()
    columns = diary_tables.diary.c
    found: list[CallId] = []
    async with engine.connect() as connection:
        for start in range(0, len(calls), PAGE):
            page = columns.call.in_(calls[start : start + PAGE])
            question = select(columns.call).where(page, columns.kind == PartyAsked.kind).distinct()
            found += (await connection.scalars(question)).all()
    facts = await facts_of(engine, found) if found else {}
    return {call for call in found if goes_on(facts[call])}


def no_call_id(call: str) -> str:
    """What to say of an id that no call can have."""
    return f"{call[:100]!r} is not a call id. See all calls with their ids: hotline calls"


async def page_of(engine: AsyncEngine, after: CallId, since: int) -> list[LedgerEntry]:
    """The next `PAGE` rows behind `after` by their calls' ids, of those that were entered at `since` or later."""
    columns = recorder_tables.recording.c
    question = (
        _QUESTION.where(columns.call > after, columns.finished_at >= since)
        .order_by(columns.call)
        .limit(PAGE)
    )
    async with engine.connect() as connection:
        return [_entry(row) for row in await connection.execute(question)]


async def entries_of(
    connection: AsyncConnection, calls: Sequence[CallId]
) -> dict[CallId, LedgerEntry]:
    """The rows of these calls, within a transaction that has begun."""
    found: dict[CallId, LedgerEntry] = {}
    for start in range(0, len(calls), PAGE):
        question = _QUESTION.where(
            recorder_tables.recording.c.call.in_(calls[start : start + PAGE])
        )
        for row in await connection.execute(question):
            found[row.call] = _entry(row)
    return found


async def locked(connection: AsyncConnection, calls: Sequence[CallId]) -> dict[CallId, LedgerEntry]:
    """The rows of these calls, which nobody else can mark, hold or delete before this transaction ends."""
    columns = recorder_tables.recording.c
    # A change that changes nothing takes the rows' locks in PostgreSQL, and the whole file's in SQLite.
    mine = update(recorder_tables.recording).where(columns.call.in_(calls))
    await connection.execute(mine.values(certificate=columns.certificate))
    return await entries_of(connection, calls)


_QUESTION = select(
    recorder_tables.recording,
    recorder_tables.recording_key.c.master,
    recorder_tables.recording_key.c.wrapped,
).outerjoin_from(
    recorder_tables.recording,
    recorder_tables.recording_key,
    recorder_tables.recording_key.c.call == recorder_tables.recording.c.call,
)


def _entry(row: Any) -> LedgerEntry:
    columns = row._asdict()
    master, wrapped = columns.pop("master"), columns.pop("wrapped")
    key = WrappedKey(master, bytes.fromhex(wrapped)) if master else None
    return LedgerEntry(**columns | {"state": RecordingState(row.state), "key": key})


def _key_row(call: CallId, key: WrappedKey) -> dict[str, str]:
    return {"call": call, "master": key.master, "wrapped": key.wrapped.hex()}


def _sound_row(call: CallId, sound: Sound) -> dict[str, str | int | float]:
    return {
        "call": call,
        "left_rms": sound.left.rms,
        "left_peak": sound.left.peak,
        "left_clipped": sound.left.clipped,
        "right_rms": sound.right.rms,
        "right_peak": sound.right.peak,
        "right_clipped": sound.right.clipped,
        "silence": sound.silence,
        "silence_count": sound.silence_count,
        "silences": json.dumps(sound.silences, separators=(",", ":")),
        "talk_over": sound.talk_over,
    }


def _row(entry: LedgerEntry) -> dict[str, str | int]:
    return {
        "call": entry.call,
        "path": entry.path,
        "state": entry.state.value,
        "duration": entry.duration,
        "size": entry.size,
        "sha256": entry.sha256,
        "finished_at": entry.finished_at,
        "note": entry.note,
        "cipher_sha256": entry.cipher_sha256,
    }


def _diary_row(fact: Fact) -> writer.DiaryRow:
    """A row as `diary.writer` writes it. Not through that writer: row and fact belong in one transaction."""
    return {
        "id": _next_id(),
        "at": fact.at,
        "kind": fact.kind,
        "call": getattr(fact, "call", ""),
        "agent": "",
        "more": details(fact),
    }


# The diary's row ids: the moment in microseconds, then ten bits of this writer's own (diary.writer).
_WRITER_BITS = 10
_writer = secrets.randbits(_WRITER_BITS)
_last_id = 0


def _next_id() -> int:
    global _last_id  # noqa: PLW0603 one counter a process is the point
    _last_id = max(_last_id + (1 << _WRITER_BITS), clock.now() << _WRITER_BITS)
    return _last_id | _writer


_KINDS = (
    *("CallArrived", "CallEnded", "OfferAnswered", "TalkEnded"),
    *("CallbackDialling", "CallbackAnswered", "CallbackEnded", "CallbackYielded", "CallbackRaced"),
    *("RecordingPaused", "RecordingResumed", "PartyAsked", "PartyFailed", "PartyLeft"),
)
