"""The ledger: the table `recording`, one row a call, and the files that it vouches for (R45, M23)."""

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base import clock
from base.settings import Settings
from diary import tables as diary_tables
from diary import writer
from facts import CallArrived, Fact, details, restore
from facts.ids import is_attempt, is_call_id
from facts.masking import mask_numbers
from facts.terms import CallId
from facts.times import SECOND, local
from recorder import evidence, policy, tape
from recorder import tables as recorder_tables
from recorder.entry import LedgerEntry
from recorder.forms import FormError, RecordingForm, form_of
from recorder.policy import RecordingState
from recorder.press import PressError, Tags
from recorder.sound import Sound
from recorder.tape import BLOCK, Job, Tape, TapeError
from recorder.vault import crypt, keys, reading
from recorder.vault.crypt import VaultError, WrappedKey
from recorder.vault.keys import KeyAwayError, KeyRing
from recorder.vault.trouble import StoreError, StoreGoneError

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


async def finish(engine: AsyncEngine, settings: Settings, call: CallId) -> LedgerEntry:
    """Finish one call's recording now: make its file, enter it with its facts, remove the raw file.

    The archive does the same for many at once. Repeating it changes nothing. Raises `LedgerError` when there is
    nothing to finish, and `OSError`, `TapeError`, `PressError` or `VaultError` when the one file cannot be read or the
    other not be made; the raw file is kept then.
    """
    if not is_call_id(call):
        raise LedgerError(_no_call_id(call))
    raw = settings.spool_dir / f"{call}.raw"
    if not raw.exists():
        known = await look_up(engine, [call])
        if call in known:
            return known[call]
        raise LedgerError(f"There is no raw file of call {call} in {settings.spool_dir}.")
    ring = await keys.ready(engine, settings) if settings.encrypt_recordings else None
    entered = (await look_up(engine, [call])).get(call)
    facts = (await facts_of(engine, [call])).get(call, [])
    work = job(settings, ring, raw, call, entered, facts)
    made = await asyncio.to_thread(tape.finish_one, work)
    drafted = draft(call, facts, made, at=clock.now())
    await enter(engine, [drafted])
    await remove_other_forms(engine, settings, [call])
    raw.unlink(missing_ok=True)
    return (await look_up(engine, [call]))[call]


def job(
    settings: Settings,
    ring: KeyRing | None,
    raw: Path,
    call: CallId,
    entered: LedgerEntry | None = None,
    facts: Iterable[Fact] = (),
) -> Job:
    """What is to be done with a raw file. `ring`: its recording is encrypted. `entered`: its row so far.

    `facts` of the call: a compressed file says when it began and which hotline was called.
    """
    form = RecordingForm(settings.recording_format)
    place = settings.recordings_dir / policy.place(call, form)
    swap = is_attempt(call)
    tags = _tags(call, facts)
    if ring is None:
        return Job(raw, place, swap, form=form, tags=tags)
    place = reading.encrypted(place)
    same = entered is not None and place == settings.recordings_dir / entered.path
    known = entered if same and entered is not None and entered.cipher_sha256 else None
    return Job(raw, place, swap, ring.new(call), known, form, tags)


def _tags(call: CallId, facts: Iterable[Fact]) -> Tags:
    arrived = next((fact for fact in facts if isinstance(fact, CallArrived)), None)
    if arrived is None:
        return Tags(call)
    return Tags(call, local(arrived.at).isoformat(timespec="seconds"), arrived.number)


async def remove_other_forms(
    engine: AsyncEngine, settings: Settings, calls: Sequence[CallId]
) -> None:
    """Once recordings are entered, earlier files of them go: plain, encrypted or in another form."""
    for entry in (await look_up(engine, calls)).values():
        mine = settings.recordings_dir / entry.path
        if entry.path and mine.exists():
            for other in set(reading.places(settings, entry.call)) - {mine}:
                other.unlink(missing_ok=True)


def draft(
    call: CallId, facts: Iterable[Fact], made: Tape | None, *, at: int, fault: str = ""
) -> Draft:
    """Judge a recording and give the row to enter. `made` is None when there is no file."""
    known = policy.times(facts)
    duration = made.duration if made else 0
    verdict = policy.judge(known, duration, fault, torn=bool(made and made.dropped))
    note = verdict.why
    if made and made.dropped:
        note = "; ".join(
            filter(None, [note, f"{made.dropped} bytes of a torn last sample dropped"])
        )
    sound = made is not None and bool(made.size)
    path = policy.place(call, made.form) if made is not None and sound else ""
    suffix = crypt.SUFFIX if made is not None and made.cipher_sha256 else ""
    entry = LedgerEntry(
        call=call,
        path=path and path + suffix,
        state=verdict.state,
        duration=duration,
        size=made.size if made else 0,
        sha256=made.sha256 if made else "",
        finished_at=at,
        note=note,
        cipher_sha256=made.cipher_sha256 if made else "",
        key=made.key if made else None,
    )
    news = policy.conclude(
        call, verdict, at=at, talk=known.talk, duration=duration, sha256=entry.sha256
    )
    return Draft(entry, news, verdict.alarm, made.sound if made else None)


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


async def export(
    engine: AsyncEngine,
    settings: Settings,
    call: CallId,
    out: Path,
    *,
    overwrite: bool = False,
    despite_damage: bool = False,
    form: RecordingForm | None = None,
) -> LedgerEntry:
    """Copy a call's recording to `out`: whole, checked against the ledger's SHA-256, or not at all.

    `form`: what to make of it; by default what the name of `out` says, else as it lies. Only a copy in the form in
    which it lies has the ledger's SHA-256. Raises `LedgerError` for an unknown call, one that is not finished, has no
    recording or has lost its file; for a file that is not what the ledger vouches for (unless `despite_damage`); for an
    `out` that exists (unless `overwrite`), cannot be written or is named by a telephone number.
    """
    if (masked := mask_numbers(out.name)) != out.name:
        raise LedgerError(
            f"{masked} is named by a telephone number: name the file by the call's id."
        )
    entry = await _entry_with_file(engine, settings, call)
    wanted = form or _form_by_name(out) or form_by_path(entry.path)
    tags = await tags_of(engine, call)
    await asyncio.to_thread(_copy, settings, entry, out, wanted, tags, overwrite, despite_damage)
    return entry


async def tags_of(engine: AsyncEngine, call: CallId) -> Tags:
    """What an exported file of this call says of itself."""
    return _tags(call, (await facts_of(engine, [call])).get(call, []))


async def verify(engine: AsyncEngine, settings: Settings, call: CallId) -> LedgerEntry:
    """Compare a call's file with its row: there, complete, the same SHA-256.

    Raises `LedgerError` with a sentence that says what is wrong.
    """
    entry = await _entry_with_file(engine, settings, call)
    if difference := await asyncio.to_thread(_difference, settings, entry):
        raise LedgerError(difference)
    return entry


async def verify_all(
    engine: AsyncEngine, settings: Settings, since: int = 0
) -> AsyncGenerator[tuple[LedgerEntry, str]]:
    """Compare every row that was entered at `since` (microseconds) or later with its file.

    Gives each row with a sentence that says what is wrong. It is empty when file, SHA-256, size and duration are what
    the row says, or when the row says that there is no recording, or that it was deleted. Raises without a database.
    The hash of an encrypted file is compared without its key, too.
    """
    last = ""
    while True:
        columns = recorder_tables.recording.c
        question = (
            _QUESTION.where(columns.call > last, columns.finished_at >= since)
            .order_by(columns.call)
            .limit(PAGE)
        )
        async with engine.connect() as connection:
            entries = [_entry(row) for row in await connection.execute(question)]
        for entry in entries:
            difference = ""
            if entry.path:
                difference = await asyncio.to_thread(_difference, settings, entry)
            yield entry, difference
        if len(entries) < PAGE:
            return
        last = entries[-1].call


def _difference(settings: Settings, entry: LedgerEntry) -> str:
    """How a file differs from its row, as a sentence; empty when it does not."""
    source = settings.recordings_dir / entry.path
    try:
        if entry.certificate:
            return _back(entry, source) if reading.is_there(settings, entry) else ""
        if not reading.is_there(settings, entry):
            return _gone(settings, entry)
        found = _described(settings, entry, source)
    except KeyAwayError as error:
        return f"The recording of call {entry.call} is the file that was entered, but cannot be heard: {error}."
    except StoreGoneError:
        return _gone(settings, entry)
    except StoreError as error:
        return _not_now(entry, error)
    except (TapeError, VaultError, OSError) as error:
        return f"The recording of call {entry.call} is damaged: {_why(error, source)}."
    if found is None or found.sha256 != entry.sha256:
        return _altered(entry, source)
    if (found.duration, found.size) != (entry.duration, entry.size):
        return (
            f"{source} is what was entered for call {entry.call}, but its row says "
            f"{entry.duration / SECOND:.3f} s in {entry.size} bytes, and the file has "
            f"{found.duration / SECOND:.3f} s in {found.size}: the row was changed."
        )
    return ""


def _described(settings: Settings, entry: LedgerEntry, source: Path) -> Tape | None:
    """Describe a recording; None if its encrypted file is another one, which is said before all else."""
    with reading.once(settings, entry) as file:
        try:
            with file.open() as sound:
                found = tape.describe(sound, source)
        except (TapeError, VaultError):
            if file.altered():
                return None
            raise
        return None if file.altered() else found


async def _entry_with_file(engine: AsyncEngine, settings: Settings, call: CallId) -> LedgerEntry:
    if not is_call_id(call):
        raise LedgerError(_no_call_id(call))
    entry = (await look_up(engine, [call])).get(call)
    if entry is None:
        async with engine.connect() as connection:
            question = select(func.count()).where(diary_tables.diary.c.call == call)
            if not await connection.scalar(question):
                raise LedgerError(f"There is no call {call}. See all calls: hotline calls")
        raise LedgerError(
            f"The recording of call {call} is not finished: the call goes on, or ended some "
            "seconds ago. Try again soon; if it stays so, look whether `hotline recorder` runs."
        )
    if not entry.path:
        raise LedgerError(f"Call {call} has no recording: {entry.note or 'nothing was recorded'}.")
    if entry.certificate:
        raise LedgerError(await _deleted(engine, entry))
    try:
        there = await asyncio.to_thread(reading.is_there, settings, entry)
    except StoreError as error:
        raise LedgerAwayError(_not_now(entry, error)) from None
    if not there:
        raise LedgerError(_gone(settings, entry))
    return entry


def _why(error: Exception, source: Path) -> str:
    if isinstance(error, OSError):
        return f"{source} cannot be read: {error.strerror or error}"
    return str(error)


def form_by_path(path: str) -> RecordingForm:
    """In which form a row's file lies. Raises `FormError` for a path that no row has."""
    return form_of(path.removesuffix(crypt.SUFFIX))


def _form_by_name(out: Path) -> RecordingForm | None:
    try:
        return form_of(out.name)
    except FormError:
        return None


def _copy(
    settings: Settings,
    entry: LedgerEntry,
    out: Path,
    form: RecordingForm,
    tags: Tags,
    overwrite: bool,
    despite_damage: bool,
) -> None:
    source = settings.recordings_dir / entry.path
    if not out.parent.is_dir():
        raise LedgerError(f"The folder {out.parent} does not exist: make it, or name another one.")
    if out.is_dir():
        raise LedgerError(f"{out} is a folder: name a file in it.")
    if out.exists() and not overwrite:
        raise LedgerError(f"{out} exists already: name another file, or add --overwrite.")
    part = out.with_name(f".{out.name[:100]}.{os.getpid()}.part")
    digest = hashlib.sha256()
    try:
        try:
            with (
                reading.open_recording(settings, entry, salvage=despite_damage) as sound,
                part.open("xb") as copy,
            ):
                mine = form_by_path(entry.path)
                while block := sound.read(BLOCK):
                    digest.update(block)
                    if form is mine:
                        copy.write(block)
                if form is not mine and (digest.hexdigest() == entry.sha256 or despite_damage):
                    for piece in tape.convert(sound, mine, form, entry, out.parent, tags):
                        copy.write(piece)
                copy.flush()
                os.fsync(copy.fileno())
        except StoreError as error:
            raise LedgerAwayError(_not_now(entry, error)) from error
        except OSError as error:
            raise LedgerError(f"{out} cannot be written: {error.strerror or error}.") from error
        except KeyAwayError as error:
            raise LedgerError(
                f"The recording of call {entry.call} is encrypted, and {error}."
            ) from error
        except VaultError as error:
            raise LedgerError(
                f"The recording of call {entry.call} is damaged: {error}. Restore it from the backup, or export "
                "it with --despite-damage: the parts that were changed are silence then."
            ) from error
        except (PressError, TapeError) as error:
            raise LedgerError(
                f"The recording of call {entry.call} cannot be turned into {form.value}: {error}."
            ) from error
        if digest.hexdigest() != entry.sha256 and not despite_damage:
            raise LedgerError(_altered(entry, source))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _gone(settings: Settings, entry: LedgerEntry) -> str:
    source = settings.recordings_dir / entry.path
    if settings.recording_store:
        return (
            f"The recording of call {entry.call} was {entry.path}, but that is gone from {settings.recordings_dir} and "
            f"from {settings.recording_store}. Restore it from the backup."
        )
    return (
        f"The recording of call {entry.call} was {source}, but that file is gone. Look whether the "
        "disk is mounted, or restore it from the backup."
    )


async def _deleted(engine: AsyncEngine, entry: LedgerEntry) -> str:
    columns = recorder_tables.evidence.c
    question = select(columns.row).where(columns.number == entry.certificate)
    async with engine.connect() as connection:
        told = json.loads((await connection.execute(question)).scalar() or "{}")
    day = f"{local(told['deleted_at']):%Y-%m-%d}" if "deleted_at" in told else "-"
    return (
        f"The recording of call {entry.call} was deleted on {day} by {told.get('rule', '-')} "
        f"(certificate {entry.certificate})."
    )


def _back(entry: LedgerEntry, source: Path) -> str:
    return (
        f"The recording of call {entry.call} was deleted by certificate {entry.certificate}, but {source} is there: "
        "a backup was restored. Remove it, or ask whoever restored it why."
    )


def _not_now(entry: LedgerEntry, error: StoreError) -> str:
    return f"The recording of call {entry.call} cannot be read now: {error}."


def _altered(entry: LedgerEntry, source: Path) -> str:
    return (
        f"{source} is not the file that was entered for call {entry.call}: its SHA-256 differs, so "
        "it was damaged or changed. Restore it from the backup, or export it with --despite-damage."
    )


def _no_call_id(call: str) -> str:
    return f"{call[:100]!r} is not a call id. See all calls with their ids: hotline calls"


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
    *("RecordingPaused", "RecordingResumed", "PartyAsked", "PartyLeft"),
)
