"""Proofs: whether ledger, evidence and seals agree, and one call's proof for somebody outside."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.x509 import Certificate
from sqlalchemy import and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from facts.ids import is_call_id
from facts.terms import CallId
from recorder import evidence, ledger, seals, stamps
from recorder import tables as recorder_tables
from recorder.entry import LedgerEntry
from recorder.evidence import ChainLink, DaySeal, EvidenceError, ProofJson, VersionJson

LEAST_PRINTED = 16
"""Characters of a printed head that have to be given: nobody finds another day with the same ones."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What does not agree: of which day or call (one of them may be empty), and a sentence."""

    day: str
    call: str
    what: str


async def check(
    engine: AsyncEngine,
    printed: Mapping[str, str] | None = None,
    trusted: Sequence[Certificate] = (),
) -> AsyncGenerator[Finding]:
    """Compute every seal again from the rows, and compare each row of the ledger with its evidence.

    `printed`: heads by day as they stand in reports that left the centre. Nothing else shows whether somebody has made
    the whole chain again. `trusted`: root certificates of the time stamp authority; without any, stamps are not looked
    at. Raises without a database.
    """
    async for finding in check_days(engine, trusted=trusted):
        yield finding
    for finding in _printed(await seals.since(engine), printed or {}):
        yield finding
    async for finding in _check_rows(engine):
        yield finding
    async for finding in _check_certificates(engine):
        yield finding


async def check_days(
    engine: AsyncEngine, since: str = "", trusted: Sequence[Certificate] = ()
) -> AsyncGenerator[Finding]:
    """The chain of all seals, and the roots and time stamps of the days from `since` on."""
    known = await seals.since(engine)
    stamped = await stamps.stamps(engine, since) if trusted else {}
    before: DaySeal | None = None
    for one in known:
        for what in _chained(one, before):
            yield Finding(one.day, "", what)
        if one.day >= since:
            rows = await _rows_of(engine, one.day)
            for what in await asyncio.to_thread(_rooted, one, rows):
                yield Finding(one.day, "", what)
        if one.day in stamped:
            what = await asyncio.to_thread(stamps.fault, stamped[one.day], one, list(trusted))
            if what:
                yield Finding(one.day, "", what)
        before = one
    columns = recorder_tables.evidence.c
    question = select(columns.day).where(columns.day != "").distinct().order_by(columns.day)
    async with engine.connect() as connection:
        days = list((await connection.execute(question)).scalars())
    there = {one.day for one in known}
    for day in days:
        if day not in there:
            yield Finding(day, "", f"{day}: the seal of this day is gone")


async def note(engine: AsyncEngine, found: Sequence[Finding], since: str = "") -> None:
    """Write down at each seal what was found, for the alarm. Days before `since` keep what was found at them before."""
    known = [one.day for one in await seals.since(engine)]
    faults = {day: "" for day in known if day >= since}
    for finding in found:
        day = finding.day if finding.day in known else max(known, default="")
        faults[day] = faults.get(day) or finding.what
    table = recorder_tables.seal
    async with engine.begin() as connection:
        for day, what in faults.items():
            await connection.execute(
                update(table).where(table.c.day == day, table.c.fault != what).values(fault=what)
            )


async def prove(engine: AsyncEngine, call: CallId, until: str = "9999-12-31") -> ProofJson:
    """Everything that somebody outside needs to check this call's rows: see `docs/verify_recording.py`.

    `until`: the last day whose seal goes with it, such as the one of which they have the report. Raises
    `EvidenceError`: unknown, not sealed yet, or it does not agree with its seal.
    """
    if not is_call_id(call):
        raise EvidenceError(f"{call[:100]!r} is not a call id. See all calls: hotline calls")
    columns = recorder_tables.evidence.c
    question = (
        select(columns.number, columns.day).where(columns.call == call).order_by(columns.number)
    )
    async with engine.connect() as connection:
        entered = list(await connection.execute(question))
    if not entered:
        raise EvidenceError(f"The ledger has no row of call {call}, so there is nothing to prove.")
    sealed = [(number, day) for number, day in entered if day and day <= until]
    if not sealed:
        raise EvidenceError(
            f"The row of call {call} is not in a seal up to that day: a day is sealed a minute after it is over."
        )
    chain = await seals.since(engine, sealed[0][1], until)
    by_day = {one.day: one for one in chain}
    stamped = await stamps.stamps(engine, sealed[0][1], until)
    versions = []
    for number, day in sealed:
        if day not in by_day:
            raise EvidenceError(_disagrees(call, day))
        versions.append(await _version(engine, call, number, by_day[day]))
    return {
        "form": evidence.FORM,
        "call": call,
        "versions": versions,
        "seals": [evidence.seal_json(one) for one in chain],
        "stamps": [stamps.stamp_json(one) for one in stamped.values()],
    }


async def _version(engine: AsyncEngine, call: CallId, number: int, one: DaySeal) -> VersionJson:
    columns = recorder_tables.evidence.c
    question = (
        select(columns.number, columns.row).where(columns.day == one.day).order_by(columns.number)
    )
    async with engine.connect() as connection:
        found = list(await connection.execute(question))
    rows = [row for _, row in found]
    place = [numbered for numbered, _ in found].index(number)

    def way(name: str, root: str) -> list[str]:
        hashes = evidence.path(name, rows, place)
        if evidence.root_from(name, rows[place], place, len(rows), hashes) != root:
            raise EvidenceError(_disagrees(call, one.day))
        return hashes

    return {
        "row": rows[place],
        "day": one.day,
        "place": place,
        "path": await asyncio.to_thread(way, "sha256", one.sha256.root),
        "sm3_path": await asyncio.to_thread(way, "sm3", one.sm3.root) if one.sm3 else None,
    }


def _disagrees(call: str, day: str) -> str:
    return (
        f"The rows of {day} do not agree with the seal of that day, so call {call} cannot be proven. See what differs: "
        "hotline recordings seals --check"
    )


# --- what does not agree


def _chained(one: DaySeal, before: DaySeal | None) -> list[str]:
    """What is wrong with a seal by itself, and with its place behind the one before it."""
    found = []
    if before is not None and seals.after(before.day) != one.day:
        found.append(f"{one.day}: the seals between {before.day} and this day are gone")
    pairs: list[tuple[str, ChainLink | None, ChainLink | None]] = [
        ("sha256", one.sha256, before.sha256 if before else None),
        ("sm3", one.sm3, before.sm3 if before else None),
    ]
    for name, link, last in pairs:
        if link is None:
            continue
        if link.previous != (last.head if last else evidence.NO_SEAL):
            found.append(f"{one.day}: it does not follow the head of the day before ({name})")
        if link.head != evidence.head(name, one.day, one.rows, link.root, link.previous):
            found.append(f"{one.day}: the head is not that of its seal: the seal was changed")
    if not seals.is_signed(one):
        found.append(f"{one.day}: the signature is not that of this seal")
    return found


def _rooted(one: DaySeal, rows: Sequence[str]) -> list[str]:
    """Whether the rows that are there are those that were sealed."""
    if len(rows) != one.rows:
        return [f"{one.day}: {len(rows)} rows are there, {one.rows} were sealed"]
    links = [("sha256", one.sha256), *([("sm3", one.sm3)] if one.sm3 else [])]
    if any(evidence.link(name, one.day, rows, "").root != link.root for name, link in links):
        return [f"{one.day}: the rows of this day are not those that were sealed: it was rewritten"]
    return []


def _printed(known: Sequence[DaySeal], printed: Mapping[str, str]) -> list[Finding]:
    heads = {one.day: one.sha256.head for one in known}
    found = []
    for day, told in printed.items():
        if day not in heads:
            found.append(Finding(day, "", f"{day}: a report has its head, but there is no seal"))
        elif not heads[day].startswith(told):
            found.append(
                Finding(
                    day,
                    "",
                    f"{day}: the head of the report is another one: the chain was made again",
                )
            )
    return found


async def _check_rows(engine: AsyncEngine) -> AsyncGenerator[Finding]:
    """The ledger beside the evidence, page by page: changed, not vouched for, gone."""
    row = recorder_tables.evidence.c
    last = ""
    while True:
        async with engine.connect() as connection:
            ledgers, vouched = recorder_tables.recording.c.call, row.call
            page = select(ledgers.label("call")).where(ledgers > last).order_by(ledgers)
            other = select(vouched.label("call")).where(vouched > last).distinct().order_by(vouched)
            calls = sorted(
                {
                    *(await connection.execute(page.limit(ledger.PAGE))).scalars(),
                    *(await connection.execute(other.limit(ledger.PAGE))).scalars(),
                }
            )[: ledger.PAGE]
            newest = (
                select(func.max(row.number))
                .where(row.call.in_(calls), row.kind == "")
                .group_by(row.call)
            )
            question = select(row.call, row.row, row.day).where(row.number.in_(newest))
            kept = {call: (text, day) for call, text, day in await connection.execute(question)}
            entries = await ledger.entries_of(connection, calls)
        for call in calls:
            text, day = kept.get(call, ("", ""))
            if call not in entries:
                yield Finding(day, call, f"call {call}: its row is gone from the ledger")
            elif not text:
                yield Finding("", call, f"call {call}: its row in the ledger was never vouched for")
            elif ledger.vouched(entries[call]) != text:
                yield Finding(day, call, f"call {call}: its row in the ledger was changed")
        if len(calls) < ledger.PAGE:
            return
        last = calls[-1]


async def _check_certificates(engine: AsyncEngine) -> AsyncGenerator[Finding]:
    """Each certificate ends a row that is there, and the ledger names those certificates and no others."""
    row, ledgers = recorder_tables.evidence.c, recorder_tables.recording.c
    last = 0
    last = 0
    while True:
        question = (
            select(row.number, row.call, row.kind, row.row, row.day)
            .where(row.number > last, row.kind != "")
            .order_by(row.number)
            .limit(ledger.PAGE)
        )
        async with engine.connect() as connection:
            found = list(await connection.execute(question))
            calls = [one.call for one in found]
            entries = await ledger.entries_of(connection, calls)
            other = select(row.number, row.call, row.row).where(
                row.call.in_(calls), row.kind == "", row.call != ""
            )
            versions: dict[str, list[tuple[int, str]]] = {}
            for number, call, text in await connection.execute(other):
                versions.setdefault(call, []).append((number, text))
        for one in found:
            what = ""
            if json.loads(one.row).get("certificate") != one.kind:
                what = f"certificate {one.number}: it is none of its kind, {one.kind}"
            elif one.kind == evidence.DELETION:
                what = _ends(one, versions.get(one.call, []), entries.get(one.call))
            if what:
                yield Finding(one.day, one.call, what)
        if len(found) < ledger.PAGE:
            break
        last = found[-1].number
    unknown = (
        select(ledgers.call, ledgers.certificate)
        .select_from(recorder_tables.recording)
        .outerjoin(
            recorder_tables.evidence,
            and_(
                row.number == ledgers.certificate,
                row.call == ledgers.call,
                row.kind == evidence.DELETION,
            ),
        )
        .where(ledgers.certificate != 0, row.number.is_(None))
        .order_by(ledgers.call)
    )
    async with engine.connect() as connection:
        for call, number in await connection.execute(unknown):
            what = (
                f"call {call}: the ledger says that certificate {number} deleted it: there is none"
            )
            yield Finding("", call, what)


def _ends(certificate: Any, versions: Sequence[tuple[int, str]], entry: LedgerEntry | None) -> str:
    """What is wrong with a certificate of deletion, beside the versions of its call and the ledger; or nothing."""
    before = [text for number, text in sorted(versions) if number < certificate.number]
    call, number = certificate.call, certificate.number
    if not before or evidence.hash_of(before[-1]) != json.loads(certificate.row).get("ends"):
        return f"call {call}: certificate {number} ends a row that is not there"
    is_last = len(before) == len(versions)
    if is_last and entry is not None and entry.certificate < number:
        return f"call {call}: certificate {number} deleted it, but the ledger does not say so"
    return ""


async def _rows_of(engine: AsyncEngine, day: str) -> list[str]:
    columns = recorder_tables.evidence.c
    question = select(columns.row).where(columns.day == day).order_by(columns.number)
    async with engine.connect() as connection:
        return list((await connection.execute(question)).scalars())
