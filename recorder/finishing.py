"""From a raw file to a row: what is to be made of it, how the recording is judged, and what is entered (R45)."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from facts import CallArrived, Fact
from facts.ids import is_attempt, is_call_id
from facts.terms import CallId
from facts.times import local
from recorder import ledger, policy, tape
from recorder.entry import LedgerEntry
from recorder.forms import RecordingForm
from recorder.ledger import Draft
from recorder.press import Tags
from recorder.tape import Job, Tape
from recorder.vault import crypt, keys, reading
from recorder.vault.keys import KeyRing


async def finish(engine: AsyncEngine, settings: Settings, call: CallId) -> LedgerEntry:
    """Finish one call's recording now: make its file, enter it with its facts, remove the raw file.

    The archive does the same for many at once. Repeating it changes nothing. Raises `LedgerError` when there is
    nothing to finish, and `OSError`, `TapeError`, `PressError` or `VaultError` when the one file cannot be read or the
    other not be made; the raw file is kept then.
    """
    if not is_call_id(call):
        raise ledger.LedgerError(ledger.no_call_id(call))
    raw = settings.spool_dir / f"{call}.raw"
    if not raw.exists():
        known = await ledger.look_up(engine, [call])
        if call in known:
            return known[call]
        raise ledger.LedgerError(f"There is no raw file of call {call} in {settings.spool_dir}.")
    ring = await keys.ready(engine, settings) if settings.encrypt_recordings else None
    entered = (await ledger.look_up(engine, [call])).get(call)
    facts = (await ledger.facts_of(engine, [call])).get(call, [])
    work = job(settings, ring, raw, call, entered, facts)
    made = await asyncio.to_thread(tape.finish_one, work)
    drafted = draft(call, facts, made, at=clock.now())
    await ledger.enter(engine, [drafted])
    await remove_other_forms(engine, settings, [call])
    raw.unlink(missing_ok=True)
    return (await ledger.look_up(engine, [call]))[call]


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
    told = tags(call, facts)
    if ring is None:
        return Job(raw, place, swap, form=form, tags=told)
    place = reading.encrypted(place)
    same = entered is not None and place == settings.recordings_dir / entered.path
    known = entered if same and entered is not None and entered.cipher_sha256 else None
    return Job(raw, place, swap, ring.new(call), known, form, told)


def tags(call: CallId, facts: Iterable[Fact]) -> Tags:
    """What a file says of itself, made of the facts of its call."""
    arrived = next((fact for fact in facts if isinstance(fact, CallArrived)), None)
    if arrived is None:
        return Tags(call)
    return Tags(call, local(arrived.at).isoformat(timespec="seconds"), arrived.number)


async def tags_of(engine: AsyncEngine, call: CallId) -> Tags:
    """What an exported file of this call says of itself."""
    return tags(call, (await ledger.facts_of(engine, [call])).get(call, []))


async def remove_other_forms(
    engine: AsyncEngine, settings: Settings, calls: Sequence[CallId]
) -> None:
    """Once recordings are entered, earlier files of them go: plain, encrypted or in another form."""
    for entry in (await ledger.look_up(engine, calls)).values():
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
