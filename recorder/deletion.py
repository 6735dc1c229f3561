"""Deletions of recordings: holds that forbid them, rules that were confirmed, and certificates that end them.

A deletion is written down before it begins. Then the files go (`recorder.removal`). Then one transaction enters the
certificate into the evidence, names it in the ledger and ends the deletion. A kill at any point leaves a deletion that
has begun, and `resume` goes on with it. No row of the ledger or of the evidence is ever removed.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field

import rfc8785
import structlog
from sqlalchemy import ColumnElement, delete, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base import clock
from base.settings import Settings
from facts.ids import is_call_id
from facts.terms import CallId
from facts.times import local
from recorder import evidence, ledger, marks, removal, retention, tables
from recorder.entry import LedgerEntry
from recorder.evidence import DELETION, DeletionCertificate
from recorder.removal import RemovalError
from recorder.retention import RetentionError, RetentionPolicy
from recorder.vault import objects, reading
from recorder.vault.trouble import StoreError

log = structlog.get_logger(__name__)

BATCH = 100
"""Recordings whose deletion begins in one transaction, and is certified in one."""


class HoldError(Exception):
    """A hold cannot be set or released. The message says why, and can be shown as it is."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A recording that must not be deleted. `until`: its last day in China, empty: until it is released."""

    call: CallId
    reason: str
    reference: str
    until: str
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class RetentionConfirmation:
    """Who confirmed which rules, and when (microseconds)."""

    digest: str
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class Doomed:
    """A recording that is to be deleted, and by which rule."""

    entry: LedgerEntry
    rule: str


@dataclass(slots=True)
class Deleted:
    """What came of it: calls whose certificate is entered; of the others a sentence each."""

    done: list[CallId] = field(default_factory=list)
    kept: list[tuple[CallId, str]] = field(default_factory=list)


# --- the rules, and who confirmed them


def policy_of(settings: Settings) -> RetentionPolicy:
    """The rules of now. Raises `RetentionError`."""
    file = settings.root / retention.FILE
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise RetentionError(f"{file} cannot be read: {error}") from None
    return retention.read(settings.retention_days, text, str(file))


async def confirmed(engine: AsyncEngine) -> RetentionConfirmation | None:
    """The newest confirmation. It counts only for rules of the same digest."""
    columns = tables.confirmation.c
    question = select(columns.digest, columns.by, columns.at).order_by(columns.id.desc()).limit(1)
    async with engine.connect() as connection:
        row = (await connection.execute(question)).one_or_none()
    return None if row is None else RetentionConfirmation(*row)


async def confirm(engine: AsyncEngine, policy: RetentionPolicy, by: str, now: int) -> None:
    """Enter that an operator has confirmed these rules."""
    text = rfc8785.dumps(asdict(policy)).decode()
    row = {"digest": policy.digest, "rules": text, "by": by[:80], "at": now}
    async with engine.begin() as connection:
        await connection.execute(insert(tables.confirmation).values(row))


async def is_confirmed(engine: AsyncEngine, settings: Settings) -> bool:
    """Whether the rules of now are those that were confirmed. Rules that cannot be read are not."""
    try:
        policy = policy_of(settings)
    except RetentionError:
        return False
    last = await confirmed(engine)
    return last is not None and last.digest == policy.digest


# --- holds


async def hold(
    engine: AsyncEngine,
    call: CallId,
    *,
    reason: str,
    reference: str = "",
    until: str = "",
    by: str,
    now: int,
) -> None:
    """Forbid that a call's recording is deleted. A second hold stands beside the first. Raises `HoldError`."""
    if not is_call_id(call):
        raise HoldError(f"{call[:100]!r} is not a call id. See all calls: hotline calls")
    if not reason.strip():
        raise HoldError("say why the recording is held: --reason")
    if until and until < _day(now):
        raise HoldError(f"--until {until} is over: name a day to come")
    row = {"call": call, "reason": reason.strip()[:200], "reference": reference.strip()[:80]}
    row |= {"until": until, "by": by[:80], "released_by": "", "released_why": ""}
    async with engine.begin() as connection:
        known = await ledger.locked(connection, [call])
        if call in known and known[call].certificate:
            raise HoldError(f"The recording of call {call} was deleted: there is nothing to hold.")
        begun = select(func.count()).where(tables.deletion.c.call == call)
        if await connection.scalar(begun):
            raise HoldError(f"The recording of call {call} is being deleted just now.")
        values = {**row, "at": now, "released_at": 0}
        await connection.execute(insert(tables.hold).values(values))


async def release(
    engine: AsyncEngine, call: CallId, *, why: str, by: str, now: int, reference: str = ""
) -> int:
    """Release all holds of a call that are in force, or those of one `reference`; says how many.

    Raises `HoldError` if there is none.
    """
    if not why.strip():
        raise HoldError("say why the hold is released: --reason")
    columns = tables.hold.c
    values = {"released_at": now, "released_by": by[:80], "released_why": why.strip()[:200]}
    mine = columns.reference == reference if reference else true()
    async with engine.begin() as connection:
        changed = await connection.execute(
            update(tables.hold)
            .where(columns.call == call, columns.released_at == 0, _in_force(now), mine)
            .values(values)
        )
    if not changed.rowcount:
        raise HoldError(f"No hold is in force for call {call[:100]}.")
    return changed.rowcount


async def holds(
    engine: AsyncEngine, now: int, calls: Collection[CallId] | None = None
) -> dict[CallId, Hold]:
    """The holds that are in force at `now` (microseconds), of these calls or of all: the first one of each call."""
    async with engine.connect() as connection:
        return await _holds(connection, now, calls)


async def _holds(
    connection: AsyncConnection, now: int, calls: Collection[CallId] | None
) -> dict[CallId, Hold]:
    columns = tables.hold.c
    question = (
        select(
            *(columns.call, columns.reason, columns.reference),
            *(columns.until, columns.by, columns.at),
        )
        .where(columns.released_at == 0, _in_force(now))
        .order_by(columns.id)
    )
    if calls is not None:
        question = question.where(columns.call.in_(calls))
    found: dict[CallId, Hold] = {}
    for row in await connection.execute(question):
        found.setdefault(row.call, Hold(*row))
    return found


def _in_force(now: int) -> ColumnElement[bool]:
    return or_(tables.hold.c.until == "", tables.hold.c.until >= _day(now))


def _day(now: int) -> str:
    return local(now).date().isoformat()


# --- deletions


async def carry_out(
    engine: AsyncEngine,
    settings: Settings,
    doomed: Sequence[Doomed],
    *,
    by: str,
    rules: str = "",
    absent: bool = False,
) -> Deleted:
    """Delete recordings, each with its certificate. `rules`: the digest of the confirmed rules.

    A recording under a hold is kept, whatever the caller thinks. One whose file is not there is kept, too, for nothing
    was deleted; with `absent` its certificate says so instead. Never raises for a file: the sentence is in `kept`.
    """
    found = Deleted()
    for start in range(0, len(doomed), BATCH):
        batch = doomed[start : start + BATCH]
        there: dict[CallId, bool] = {}
        for one in batch:
            try:
                there[one.entry.call] = await asyncio.to_thread(_is_there, settings, one.entry)
            except (RemovalError, StoreError) as error:
                found.kept.append((one.entry.call, str(error)))
        ready = []
        for one in batch:
            call = one.entry.call
            if call in there and not there[call] and not absent:
                found.kept.append((call, "its file is not there, so nothing is deleted"))
            elif call in there:
                ready.append(one)
        begun = await _begin(engine, ready, there, by, rules, found)
        await _go_on(engine, settings, begun, found)
    return found


def _is_there(settings: Settings, entry: LedgerEntry) -> bool:
    """Whether the recording's file is on this machine or in the store. Raises `RemovalError` and `StoreError`."""
    return removal.is_there(settings, entry) or reading.is_there(settings, entry)


async def resume(engine: AsyncEngine, settings: Settings) -> Deleted:
    """Go on with the deletions that an earlier process began."""
    found = Deleted()
    columns = tables.deletion.c
    question = select(columns.call).order_by(columns.call)
    async with engine.connect() as connection:
        calls = list((await connection.execute(question)).scalars())
    for start in range(0, len(calls), BATCH):
        entries = await ledger.look_up(engine, calls[start : start + BATCH])
        await _go_on(engine, settings, list(entries.values()), found)
    return found


async def _begin(
    engine: AsyncEngine,
    ready: Sequence[Doomed],
    there: dict[CallId, bool],
    by: str,
    rules: str,
    found: Deleted,
) -> list[LedgerEntry]:
    """Write down what is about to be deleted."""
    now = clock.now()
    rows = []
    begun = []
    async with engine.begin() as connection:
        calls = [one.entry.call for one in ready]
        known = await ledger.locked(connection, calls)
        held = await _holds(connection, now, calls)
        already = select(tables.deletion.c.call).where(tables.deletion.c.call.in_(calls))
        going = set((await connection.execute(already)).scalars())
        for one in ready:
            call = one.entry.call
            if call in held:
                found.kept.append((call, f"a hold forbids it: {held[call].reason}"))
            elif not _is_same(known.get(call), one.entry):
                found.kept.append((call, "its row has changed meanwhile"))
            elif call not in going:
                row = {"call": call, "rule": one.rule[:64], "rules": rules, "by": by[:80]}
                ends = evidence.hash_of(ledger.vouched(one.entry))
                rows.append({**row, "ends": ends, "found": there[call], "begun_at": now})
                begun.append(one.entry)
        if rows:
            await connection.execute(insert(tables.deletion), rows)
    return begun


def _is_same(known: LedgerEntry | None, entry: LedgerEntry) -> bool:
    """Whether the row is as it was read, and not deleted. Its key may have been wrapped again."""
    return (
        known is not None
        and not known.certificate
        and ledger.vouched(known) == ledger.vouched(entry)
    )


async def _go_on(
    engine: AsyncEngine, settings: Settings, begun: Sequence[LedgerEntry], found: Deleted
) -> None:
    gone = []
    for entry in begun:
        try:
            await asyncio.to_thread(removal.remove_files, settings, entry)
            await objects.forget(engine, settings, [entry.call])
        except (RemovalError, StoreError) as error:
            found.kept.append((entry.call, str(error)))
            log.error("retention.not_removed", call_id=entry.call, why=str(error))
        else:
            gone.append(entry.call)
    if gone:
        await _certify(engine, gone, found)


async def _certify(engine: AsyncEngine, calls: Sequence[CallId], found: Deleted) -> None:
    """Enter the certificates of recordings whose files are gone."""
    now = clock.now()
    done = []
    async with engine.begin() as connection:
        entries = await ledger.locked(connection, calls)
        columns = tables.deletion.c
        question = select(tables.deletion).where(columns.call.in_(calls)).order_by(columns.call)
        for one in (await connection.execute(question)).all():
            entry = entries.get(one.call)
            await connection.execute(delete(tables.deletion).where(columns.call == one.call))
            if entry is None or evidence.hash_of(ledger.vouched(entry)) != one.ends:
                # A longer file came in between, and has a row of its own: it is another recording.
                found.kept.append((one.call, "its row has changed meanwhile"))
                continue
            certificate = DeletionCertificate(
                call=one.call,
                ends=one.ends,
                rule=one.rule,
                rules=one.rules,
                by=one.by,
                found=one.found,
                size=entry.size,
                begun_at=one.begun_at,
                deleted_at=now,
            )
            number = await enter(connection, certificate, DELETION, one.call, now)
            await connection.execute(
                update(tables.recording)
                .where(tables.recording.c.call == one.call)
                .values(certificate=number)
            )
            # A copy of the encrypted file that lies elsewhere cannot be heard by this database any more.
            # What was heard in it goes with it.
            heard = (tables.recording_voice, tables.recording_words, tables.recording_words_hint)
            for table in (tables.recording_key, *heard):
                await connection.execute(delete(table).where(table.c.call == one.call))
            done.append(one.call)
        await marks.forget(connection, done)
    found.done += done
    log.info("retention.deleted", calls=len(done))


async def enter(
    connection: AsyncConnection,
    certificate: DeletionCertificate | evidence.ErasureCertificate,
    kind: str,
    call: CallId,
    now: int,
) -> int:
    """Enter a certificate into the evidence; gives its number there. `call` is empty if it is about no single one."""
    values = {"call": call, "row": evidence.canonical(certificate), "entered_at": now}
    added = insert(tables.evidence).values({**values, "day": "", "kind": kind})
    number: int = (await connection.execute(added.returning(tables.evidence.c.number))).scalar_one()
    return number


async def begun_erasures(engine: AsyncEngine) -> list[tuple[str, int]]:
    """The erasures that have begun and are not done: id, and when (microseconds)."""
    columns = tables.erasure.c
    question = select(columns.id, columns.begun_at).where(columns.done_at == 0)
    async with engine.connect() as connection:
        return [(row.id, row.begun_at) for row in await connection.execute(question)]
