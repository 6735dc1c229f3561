"""Seals: each day in China, once it is over, gets one that vouches for every row entered in it, and is signed.

A row that is entered later belongs to the day on which it was entered, so no seal is ever written again.
"""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, files
from base.settings import Settings
from facts.times import SECOND, begin_of_day, local
from recorder import evidence, ledger
from recorder import tables as recorder_tables
from recorder.evidence import ChainLink, DaySeal, EvidenceError

SETTLE: Final = 60 * SECOND
"""How long after midnight a day is sealed: before `hotline report deliver` at five past, so that its report has it."""
LONGEST_GAP: Final = 400
"""Days at most that are sealed at once: more of them are a clock that was set wrong."""


async def seal(
    engine: AsyncEngine, settings: Settings, now: int, *, at_most: int = LONGEST_GAP
) -> list[DaySeal]:
    """Seal every day that is over at `now` (microseconds) and has no seal, in order. Gives the new seals.

    The first day is that of the first recording. Repeating it, twice at once too, changes nothing. A day is sealed
    whole or not at all. Raises `EvidenceError`: no key, no SM3, a gap of more than `at_most` days, a seal that was
    taken away.
    """
    made: list[DaySeal] = []
    last = await newest(engine)
    day = await _first_day(engine) if last is None else after(last.day)
    until = local(now - SETTLE).date().isoformat()
    if day is None or day >= until:
        return made
    gap = (date.fromisoformat(until) - date.fromisoformat(day)).days
    if gap > at_most:
        raise EvidenceError(
            f"{gap} days since {day} have no seal. If this machine's clock is right, run: "
            "hotline recordings seals --make-up"
        )
    signing = await asyncio.to_thread(key, settings)
    while day < until:
        last = await _seal_day(engine, signing, day, last, settings.seal_sm3)
        if last is None:
            return made
        made.append(last)
        day = after(day)
    return made


async def adopt(engine: AsyncEngine, now: int) -> int:
    """Enter what the ledger had before there was any evidence, until the first seal. Says how many rows.

    From then on, a row of the ledger without evidence is a finding of `proofs.check`.
    """
    adopted, last = 0, ""
    if await newest(engine) is not None:
        return 0
    columns = recorder_tables.recording.c
    while True:
        question = (
            select(columns.call)
            .where(columns.call > last)
            .order_by(columns.call)
            .limit(ledger.PAGE)
        )
        async with engine.begin() as connection:
            calls = list((await connection.execute(question)).scalars())
            known = select(recorder_tables.evidence.c.call).where(
                recorder_tables.evidence.c.call.in_(calls)
            )
            there = set((await connection.execute(known)).scalars())
            entries = await ledger.entries_of(
                connection, [call for call in calls if call not in there]
            )
            if entries:
                await ledger.vouch(connection, list(entries.values()), now)
        adopted += len(entries)
        if len(calls) < ledger.PAGE:
            return adopted
        last = calls[-1]


async def newest(engine: AsyncEngine, until: str = "9999-12-31") -> DaySeal | None:
    """The newest seal of a day up to `until`."""
    table = recorder_tables.seal
    question = select(table).where(table.c.day <= until).order_by(table.c.day.desc()).limit(1)
    async with engine.connect() as connection:
        row = (await connection.execute(question)).one_or_none()
    return None if row is None else seal_of(row)


async def since(engine: AsyncEngine, day: str = "", until: str = "9999-12-31") -> list[DaySeal]:
    """The seals of the days from `day` to `until`, in order."""
    table = recorder_tables.seal
    question = select(table).where(table.c.day.between(day, until)).order_by(table.c.day)
    async with engine.connect() as connection:
        return [seal_of(row) for row in await connection.execute(question)]


def seal_of(row: Any) -> DaySeal:
    """A row of the table as a seal."""
    return DaySeal(
        day=row.day,
        rows=row.rows,
        sha256=ChainLink(row.root, row.previous, row.head),
        sm3=ChainLink(row.sm3_root, row.sm3_previous, row.sm3_head) if row.sm3_head else None,
        signature=row.signature,
        public_key=row.public_key,
        sealed_at=row.sealed_at,
    )


# --- the key


def key(settings: Settings) -> Ed25519PrivateKey:
    """The key that signs: made at the first call, and kept in `settings.secrets_dir`. Raises `EvidenceError`."""
    file = settings.secrets_dir / KEY_FILE
    try:
        if not file.exists():
            settings.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = Ed25519PrivateKey.generate()
            form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            files.put(file, made.private_bytes(*form), 0o600)
        found = load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise EvidenceError(f"the key {file} cannot be used: {error.strerror or error}") from None
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, Ed25519PrivateKey):
        raise EvidenceError(
            f"{file} holds no Ed25519 key: restore it from where you keep a copy, or move it away, and a new one is "
            "made at the next start"
        )
    return found


def public(signing: Ed25519PrivateKey) -> str:
    """The public key in hex."""
    return signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def is_signed(one: DaySeal) -> bool:
    """Whether the seal's signature is that of its public key."""
    text = evidence.signed_text(one.day, one.sha256.head, one.sm3.head if one.sm3 else "")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(one.public_key)).verify(
            bytes.fromhex(one.signature), text
        )
    except (InvalidSignature, ValueError):
        return False
    return True


KEY_FILE: Final = "recordings-seal.pem"


# --- one day


async def _first_day(engine: AsyncEngine) -> str | None:
    columns = recorder_tables.evidence.c
    async with engine.connect() as connection:
        question = select(func.min(columns.entered_at)).where(columns.day == "")
        first = await connection.scalar(question)
    return None if first is None else local(first).date().isoformat()


async def _seal_day(
    engine: AsyncEngine, signing: Ed25519PrivateKey, day: str, last: DaySeal | None, sm3: bool
) -> DaySeal | None:
    """Seal one day. None: another recorder has done it."""
    table = recorder_tables.evidence
    async with engine.begin() as connection:
        # In this order: another recorder may commit between the two questions.
        sealed = select(func.count()).select_from(table).where(table.c.day == day)
        rows_there = await connection.scalar(sealed)
        seal_there = select(func.count()).select_from(recorder_tables.seal)
        if await connection.scalar(seal_there.where(recorder_tables.seal.c.day == day)):
            return None
        if rows_there:
            raise EvidenceError(
                f"{day} was sealed before, and its seal is gone: restore the database from the backup"
            )
        # What is written meanwhile by another recorder is not among the rows that come back: the next day has it.
        mine = (
            update(table)
            .where(table.c.day == "", table.c.entered_at < end_of(day))
            .values(day=day)
            .returning(table.c.number, table.c.row)
        )
        found = sorted((number, row) for number, row in await connection.execute(mine))
        rows = [row for _, row in found]
        made = await asyncio.to_thread(_sign, signing, day, rows, last, sm3)
        try:
            await connection.execute(insert(recorder_tables.seal).values(_row(made)))
        except IntegrityError:
            await connection.rollback()
            return None
    return made


def _sign(
    signing: Ed25519PrivateKey, day: str, rows: Sequence[str], last: DaySeal | None, sm3: bool
) -> DaySeal:
    first = evidence.NO_SEAL
    chain = evidence.link("sha256", day, rows, last.sha256.head if last else first)
    before = last.sm3.head if last and last.sm3 else first
    beside = evidence.link("sm3", day, rows, before) if sm3 else None
    text = evidence.signed_text(day, chain.head, beside.head if beside else "")
    signature = signing.sign(text).hex()
    return DaySeal(day, len(rows), chain, beside, signature, public(signing), clock.now())


def _row(one: DaySeal) -> dict[str, str | int]:
    return {
        "day": one.day,
        "rows": one.rows,
        "root": one.sha256.root,
        "previous": one.sha256.previous,
        "head": one.sha256.head,
        "sm3_root": one.sm3.root if one.sm3 else "",
        "sm3_previous": one.sm3.previous if one.sm3 else "",
        "sm3_head": one.sm3.head if one.sm3 else "",
        "signature": one.signature,
        "public_key": one.public_key,
        "sealed_at": one.sealed_at,
        "fault": "",
    }


def end_of(day: str) -> int:
    """When a day in China is over (microseconds)."""
    return begin_of_day(date.fromisoformat(after(day)))


def after(day: str) -> str:
    """The next day."""
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
