"""Transcripts and hints in the database: which recordings are due, entering what was heard, reading it.

A transcript and its hints are entered in one transaction, and only while the recording is still the one that was heard
and was not deleted. So a kill leaves all of it or nothing, and doing it twice leaves it once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base.settings import Settings
from facts.terms import CallId
from facts.times import DAY, HOUR
from recorder import ledger
from recorder.entry import LedgerEntry
from recorder.policy import RecordingState
from recorder.tables import recording, recording_words, recording_words_hint, words_run
from recorder.vault import keys, sealed
from speech import hints, transcript
from speech.hints import WordHint, WordHintKind
from speech.syllables import spell
from speech.transcript import TalkWords

LOOK_BACK: Final = 7 * DAY
"""What was recorded before that is left alone: a centre that switches words on does not begin with its whole past."""
ATTEMPTS: Final = 3
"""A recording that fails so often is left alone, and the alarm `words_failed` says so."""
AGAIN_AFTER: Final = 12 * HOUR
"""What failed is tried again in another night."""
PAGE: Final = 200


class WordsState(StrEnum):
    """What became of a recording that was to be heard.

    done      it has a transcript
    empty     nobody talked with an agent
    too_long  it is longer than `HOTLINE_SPEECH_LONGEST_MINUTES`
    failed    it could not be heard
    """

    DONE = "done"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CallWords:
    """What is known of a call's words. `at` in microseconds.

    Rates in characters a minute, 0 when not known.
    """

    call: CallId
    state: WordsState
    why: str
    at: int
    citizen_rate: float
    agent_rate: float
    talks: list[TalkWords]
    hints: list[WordHint]


@dataclass(frozen=True, slots=True)
class CallHint:
    """A hint and the call that it is in."""

    call: CallId
    hint: WordHint


@dataclass(frozen=True, slots=True)
class Untranscribed:
    """How many recordings wait to be heard, and when the oldest of them was finished (microseconds), 0 for none."""

    count: int
    since: int


def _due(since: int, until: int, again: int) -> ColumnElement[bool]:
    """Encrypted recordings that were finished then and were not heard, or failed before `again`."""
    heard, row = recording_words.c, recording.c
    failed = and_(
        heard.state == WordsState.FAILED.value, heard.attempts < ATTEMPTS, heard.at < again
    )
    return and_(
        row.finished_at >= since,
        row.finished_at < until,
        row.path != "",
        row.certificate == 0,
        row.state != RecordingState.DAMAGED.value,
        # Text without a key would lie in the database for everyone to read.
        row.cipher_sha256 != "",
        or_(heard.call.is_(None), heard.cipher_sha256 != row.cipher_sha256, failed),
    )


async def due(
    engine: AsyncEngine, since: int, until: int, again: int, but: Sequence[CallId] = ()
) -> list[LedgerEntry]:
    """Some recordings that are due, the oldest first. `since`, `until`: when they were finished (microseconds).

    `again`: what failed before it is tried again. `but`: without these.
    """
    row = recording.c
    question = (
        select(row.call)
        .outerjoin_from(recording, recording_words, recording_words.c.call == row.call)
        .where(_due(since, until, again), row.call.not_in(but))
        .order_by(row.finished_at, row.call)
        .limit(PAGE)
    )
    async with engine.connect() as connection:
        calls = list((await connection.execute(question)).scalars())
    entries = await ledger.look_up(engine, calls)
    return [entries[call] for call in calls if call in entries]


async def waiting(connection: AsyncConnection, now: int) -> Untranscribed:
    """What is due at `now`."""
    row = recording.c
    question = (
        select(func.count(), func.coalesce(func.min(row.finished_at), 0))
        .outerjoin_from(recording, recording_words, recording_words.c.call == row.call)
        .where(_due(now - LOOK_BACK, now, now))
    )
    return Untranscribed(*(await connection.execute(question)).one())


async def plain(engine: AsyncEngine, since: int, until: int) -> int:
    """How many recordings of that time are left out because they lie plain."""
    row = recording.c
    question = select(func.count()).where(
        row.finished_at >= since, row.finished_at < until, row.path != "", row.cipher_sha256 == ""
    )
    async with engine.connect() as connection:
        return await connection.scalar(question) or 0


async def spent(engine: AsyncEngine, since: int) -> int:
    """Microseconds of work on what was heard since then."""
    question = select(func.coalesce(func.sum(recording_words.c.took), 0))
    async with engine.connect() as connection:
        found = await connection.scalar(question.where(recording_words.c.at >= since))
        return int(found or 0)


async def enter(
    engine: AsyncEngine,
    settings: Settings,
    entry: LedgerEntry,
    talks: Sequence[TalkWords],
    found: Sequence[WordHint],
    *,
    at: int,
    took: int,
    state: WordsState = WordsState.DONE,
) -> bool:
    """Enter what was heard. False: the recording is another one by now, or was deleted, and nothing is entered.

    Raises `VaultError` if the recording's key cannot be used.
    """
    text = await asyncio.to_thread(_sealed, settings, entry, talks)
    values = {
        "state": state.value,
        "why": "",
        "attempts": 0,
        "at": at,
        "took": took,
        "sealed": text,
    }
    rates = {
        "citizen_rate": _rate([word for talk in talks for word in talk.citizens]),
        "agent_rate": _rate([word for talk in talks for word in talk.agents]),
    }
    rows = [
        {
            "call": entry.call,
            "kind": hint.kind.value,
            "agent": hint.agent,
            "phrase": hint.phrase,
            "begin": hint.begin,
            "end": hint.end,
            "rate": hint.rate,
        }
        for hint in found
    ]
    async with engine.begin() as connection:
        if not await _is_still(connection, entry):
            return False
        for table in (recording_words, recording_words_hint):
            await connection.execute(delete(table).where(table.c.call == entry.call))
        row = {"call": entry.call, "cipher_sha256": entry.cipher_sha256, **values, **rates}
        await connection.execute(insert(recording_words).values(row))
        if rows:
            await connection.execute(insert(recording_words_hint), rows)
    return True


async def fail(engine: AsyncEngine, entry: LedgerEntry, why: str, *, at: int, took: int) -> None:
    """Enter that a recording could not be heard. It is tried again, `ATTEMPTS` times in all."""
    heard = recording_words.c
    async with engine.begin() as connection:
        if not await _is_still(connection, entry):
            return
        same = and_(heard.call == entry.call, heard.cipher_sha256 == entry.cipher_sha256)
        before = (
            await connection.execute(select(heard.attempts, heard.took).where(same))
        ).one_or_none()
        await connection.execute(delete(recording_words).where(heard.call == entry.call))
        row: dict[str, object] = {
            "call": entry.call,
            "cipher_sha256": entry.cipher_sha256,
            "state": WordsState.FAILED.value,
            "why": why[:200],
            "at": at,
            "took": took,
            "attempts": 1,
            "citizen_rate": 0.0,
            "agent_rate": 0.0,
            "sealed": b"",
        }
        if before is not None:
            row |= {"attempts": before.attempts + 1, "took": before.took + took}
        await connection.execute(insert(recording_words).values(row))


async def read(engine: AsyncEngine, settings: Settings, call: CallId) -> CallWords | None:
    """A call's words and hints; None if its recording was not heard, or was deleted.

    Raises `KeyAwayError`, `VaultError` and `TranscriptError`.
    """
    async with engine.connect() as connection:
        question = select(recording_words).where(recording_words.c.call == call)
        row = (await connection.execute(question)).one_or_none()
        entry = (await ledger.entries_of(connection, [call])).get(call)
        found = await _hints(connection, recording_words_hint.c.call == call)
    if row is None or entry is None or row.cipher_sha256 != entry.cipher_sha256:
        return None
    talks = await asyncio.to_thread(_opened, settings, entry, row.sealed) if row.sealed else []
    return CallWords(
        call,
        WordsState(row.state),
        row.why,
        row.at,
        row.citizen_rate,
        row.agent_rate,
        talks,
        [one.hint for one in found],
    )


async def hints_of(engine: AsyncEngine, since: int, until: int, limit: int) -> list[CallHint]:
    """The hints in recordings that were finished then, by call and place; at most `limit`."""
    row = recording.c
    calls = select(row.call).where(row.finished_at >= since, row.finished_at < until)
    async with engine.connect() as connection:
        return await _hints(connection, recording_words_hint.c.call.in_(calls), limit)


async def hints_in(
    connection: AsyncConnection, calls: Sequence[CallId]
) -> dict[CallId, list[WordHint]]:
    """The hints in these calls' recordings (at most `ledger.PAGE` of them), of each by place."""
    found: dict[CallId, list[WordHint]] = {}
    for one in await _hints(connection, recording_words_hint.c.call.in_(calls)):
        found.setdefault(one.call, []).append(one.hint)
    return found


async def note(
    engine: AsyncEngine, begun: int, ended: int, *, done: int, failed: int, why: str
) -> None:
    """Enter what a run did. `why`: why it could not go on, or empty."""
    row = {"begun_at": begun, "ended_at": ended, "done": done, "failed": failed, "why": why[:400]}
    async with engine.begin() as connection:
        await connection.execute(insert(words_run).values(row))


async def failures(connection: AsyncConnection, now: int) -> int:
    """How many recordings were given up lately, and 1 more if the newest run could not go on."""
    heard, run = recording_words.c, words_run.c
    given_up = select(func.count()).where(
        heard.state == WordsState.FAILED.value,
        heard.attempts >= ATTEMPTS,
        heard.at >= now - LOOK_BACK,
    )
    last = select(run.why).order_by(run.id.desc()).limit(1)
    stuck = bool(await connection.scalar(last))
    return (await connection.scalar(given_up) or 0) + stuck


async def _hints(
    connection: AsyncConnection, which: ColumnElement[bool], limit: int | None = None
) -> list[CallHint]:
    columns = recording_words_hint.c
    question = select(recording_words_hint).where(which)
    question = question.order_by(columns.call, columns.begin, columns.id).limit(limit)
    return [
        CallHint(
            row.call,
            WordHint(WordHintKind(row.kind), row.agent, row.begin, row.end, row.phrase, row.rate),
        )
        for row in await connection.execute(question)
    ]


async def _is_still(connection: AsyncConnection, entry: LedgerEntry) -> bool:
    """Whether the recording is the one that was heard, and lock its row: a deletion waits until this is entered."""
    row = recording.c
    mine = update(recording).where(
        row.call == entry.call, row.cipher_sha256 == entry.cipher_sha256, row.certificate == 0
    )
    changed = await connection.execute(mine.values(certificate=row.certificate))
    return bool(changed.rowcount)


def _sealed(settings: Settings, entry: LedgerEntry, talks: Sequence[TalkWords]) -> bytes:
    return sealed.seal(keys.read(settings), entry, transcript.pack(talks)) if talks else b""


def _opened(settings: Settings, entry: LedgerEntry, text: bytes) -> list[TalkWords]:
    return transcript.unpack(sealed.open_sealed(keys.read(settings), entry, text))


def _rate(words: Sequence[transcript.Word]) -> float:
    return hints.rate(spell(words)) or 0.0
