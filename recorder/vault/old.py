"""`hotline recordings encrypt`: recordings that lie plain, from before or while encryption was off, are encrypted.

One file at a time: read and compared with its row, written encrypted beside it, entered, and only then removed. Ledger
and evidence get a new row, with the same `sha256`. If it is killed, begin again.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, files
from base.settings import Settings
from recorder import finishing, ledger
from recorder.entry import LedgerEntry
from recorder.ledger import Draft
from recorder.tables import recording
from recorder.tape import BLOCK
from recorder.vault import keys, reading
from recorder.vault.crypt import FileKey, VaultError, Writer


@dataclass(frozen=True, slots=True)
class Encrypted:
    """How far it is: `done` of `total` recordings. `failed`: a sentence about the last one, or empty."""

    done: int
    total: int
    failed: str = ""


async def encrypt(engine: AsyncEngine, settings: Settings) -> AsyncGenerator[Encrypted]:
    """Encrypt every recording that lies plain. Gives how far it is after each. A file that differs stays as it is.

    One that only the store has is fetched, and goes back there encrypted. Raises `KeyAwayError`, `StoreError`, and
    `OSError` when no more can be written.
    """
    ring = await keys.ready(engine, settings)
    columns = recording.c
    plain = (columns.path != "") & ~columns.path.endswith(reading.SUFFIX)
    plain &= columns.certificate == 0
    async with engine.connect() as connection:
        total = await connection.scalar(select(func.count()).where(plain)) or 0
    done, last = 0, ""
    while True:
        page = select(columns.call).where(columns.call > last, columns.path != "")
        async with engine.connect() as connection:
            found = await connection.execute(page.order_by(columns.call).limit(ledger.PAGE))
            calls = list(found.scalars())
        if not calls:
            return
        entries = await ledger.look_up(engine, calls)
        for entry in (entries[call] for call in calls if call in entries):
            if not entry.path or reading.is_encrypted(entry.path) or entry.certificate:
                continue
            try:
                made = await asyncio.to_thread(_write, settings, entry, ring.new(entry.call))
            except VaultError as error:
                yield Encrypted(done, total, f"call {entry.call}: {error}")
                continue
            await ledger.enter(engine, [Draft(made, ())], at=clock.now())
            await finishing.remove_other_forms(engine, settings, [entry.call])
            done += 1
            yield Encrypted(done, total)
        # An earlier run may have been killed between the row and the removal.
        await finishing.remove_other_forms(engine, settings, calls)
        last = calls[-1]


def _write(settings: Settings, entry: LedgerEntry, key: FileKey) -> LedgerEntry:
    """Write the encrypted file, and give the row to enter."""
    source = settings.recordings_dir / entry.path
    place = reading.encrypted(source)
    part = place.with_name(f".{place.name}.part")
    try:
        sound = reading.open_recording(settings, entry)
    except FileNotFoundError:
        raise VaultError(f"{source} is gone") from None
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with sound, part.open("wb") as target:
            os.fchmod(target.fileno(), 0o600)
            writer = Writer(target, key)
            while block := sound.read(BLOCK):
                writer.write(block)
            writer.finish()
            target.flush()
            os.fsync(target.fileno())
        if writer.sha256 != entry.sha256:
            raise VaultError(f"{source} is not the file that was entered: its SHA-256 differs")
        part.replace(place)
        files.sync_folder(place.parent)
    finally:
        part.unlink(missing_ok=True)
    return replace(
        entry,
        path=f"{entry.path}{reading.SUFFIX}",
        cipher_sha256=writer.cipher_sha256,
        key=key.wrapped,
    )
