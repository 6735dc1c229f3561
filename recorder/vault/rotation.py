"""`hotline recordings rotate-key`: wrap every recording's key with the master key in use. No sound is written again.

A page at a time: first the slots of its files, then its rows in one transaction. Old and new master keys are kept, so
that every key can be opened at any instant: if it is killed, begin again.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from recorder.tables import recording, recording_key
from recorder.vault import crypt, keys, reading
from recorder.vault.crypt import VaultError, WrappedKey
from recorder.vault.keys import KeyRing

PAGE: Final = 500
"""Recordings whose keys are wrapped in one transaction."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """How far it is: `done` of `total` recordings; `failed`: sentences about keys that could not be opened."""

    done: int
    total: int
    failed: tuple[str, ...] = ()


async def begin(engine: AsyncEngine, settings: Settings) -> KeyRing:
    """The master keys to rotate to: with a new one, unless an earlier rotation is unfinished, or the setting has it.

    Raises `KeyAwayError` and `OSError`.
    """
    ring = await keys.ready(engine, settings)
    if ring.last_in_file and not await waiting(engine, ring):
        await asyncio.to_thread(keys.add, settings)
        ring = keys.read(settings)
    return ring


async def waiting(engine: AsyncEngine, ring: KeyRing) -> dict[str, int]:
    """How many recordings are wrapped by other master keys than the one in use, by the key's id."""
    column = recording_key.c.master
    question = select(column, func.count()).where(column != ring.current.id).group_by(column)
    async with engine.connect() as connection:
        rows = await connection.execute(question)
        return {row[0]: row[1] for row in rows}


async def rotate(engine: AsyncEngine, settings: Settings, ring: KeyRing) -> AsyncGenerator[Rotated]:
    """Wrap everything that waits. Gives how far it is after each page. A key that cannot be opened stays as it is."""
    total, done, last = sum((await waiting(engine, ring)).values()), 0, ""
    columns = recording_key.c
    while True:
        question = (
            select(columns.call, columns.master, columns.wrapped, recording.c.path)
            .outerjoin_from(recording_key, recording, recording.c.call == columns.call)
            .where(columns.call > last, columns.master != ring.current.id)
            .order_by(columns.call)
            .limit(PAGE)
        )
        async with engine.connect() as connection:
            page = (await connection.execute(question)).all()
        if not page:
            return
        failed: list[str] = []
        changes: list[dict[str, str]] = []
        for row in page:
            old = WrappedKey(row.master, bytes.fromhex(row.wrapped))
            try:
                new = await asyncio.to_thread(_again, settings, ring, row.path or "", old)
            except (VaultError, OSError) as error:
                failed.append(f"call {row.call}: {error}")
                continue
            changes.append(
                {
                    "of": row.call,
                    "before": old.wrapped.hex(),
                    "to": new.wrapped.hex(),
                    "by": new.master,
                }
            )
        if changes:
            # Only what is still as it was read: the recorder may have entered a longer file meanwhile.
            change = (
                update(recording_key)
                .where(columns.call == bindparam("of"), columns.wrapped == bindparam("before"))
                .values(master=bindparam("by"), wrapped=bindparam("to"))
            )
            async with engine.begin() as connection:
                await connection.execute(change, changes)
        done += len(changes)
        last = page[-1].call
        yield Rotated(done, total, tuple(failed))


def _again(settings: Settings, ring: KeyRing, path: str, old: WrappedKey) -> WrappedKey:
    """Wrap a key with the master key in use, and write it into the slot of its file, if that has the same key."""
    data_key = ring.unwrap(old)
    new = ring.wrap(data_key)
    place = settings.recordings_dir / path
    if reading.is_encrypted(path) and place.is_file():
        with place.open("r+b") as file:
            in_slot = crypt.read_slot(file)
            if in_slot.master == new.master or ring.unwrap(in_slot) != data_key:
                return new  # an earlier run wrote it; or another file lies there now, with a key of its own
            file.seek(0)
            file.write(crypt.slot(new))
            file.flush()
            os.fsync(file.fileno())
    return new


async def unused(engine: AsyncEngine, ring: KeyRing) -> list[str]:
    """The ids of master keys that wrap no recording any more, without the one in use."""
    wraps = await waiting(engine, ring)
    return [one.id for one in ring.keys if one.id != ring.current.id and one.id not in wraps]
