"""A finished recording, read as a whole: copied out, or compared with its row in the ledger (R45, M23)."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from diary import tables as diary_tables
from facts.ids import is_call_id
from facts.masking import mask_numbers
from facts.terms import CallId
from facts.times import SECOND, local
from recorder import finishing, ledger, tape
from recorder import tables as recorder_tables
from recorder.entry import LedgerEntry
from recorder.forms import FormError, RecordingForm, form_of
from recorder.ledger import LedgerAwayError, LedgerError
from recorder.press import PressError, Tags
from recorder.tape import BLOCK, Tape, TapeError
from recorder.vault import crypt, reading
from recorder.vault.crypt import VaultError
from recorder.vault.keys import KeyAwayError
from recorder.vault.trouble import StoreError, StoreGoneError


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
    tags = await finishing.tags_of(engine, call)
    await asyncio.to_thread(_copy, settings, entry, out, wanted, tags, overwrite, despite_damage)
    return entry


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
        entries = await ledger.page_of(engine, last, since)
        for entry in entries:
            difference = ""
            if entry.path:
                difference = await asyncio.to_thread(_difference, settings, entry)
            yield entry, difference
        if len(entries) < ledger.PAGE:
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
        raise LedgerError(ledger.no_call_id(call))
    entry = (await ledger.look_up(engine, [call])).get(call)
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
