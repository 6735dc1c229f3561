"""The database of a command: the centre's own, or a copy that may only be read, such as a backup on its medium.

Reports and lists work on a copy as on the centre's own. What would change it is refused.
"""

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from base import database, migrations
from base.settings import Settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The database at this program's version. Raises `migrations.DatabaseError`."""
    file = database.file_of(settings.database)
    if file is not None and not database.may_be_written(file):
        async with _only_read(file) as engine:
            yield engine
        return
    settings.root.mkdir(parents=True, exist_ok=True)
    engine = database.engine(settings.database)
    try:
        await migrations.upgrade(engine)
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def _only_read(file: Path) -> AsyncIterator[AsyncEngine]:
    with tempfile.TemporaryDirectory(prefix="hotline-") as folder:
        url = await _whole(file, Path(folder))
        print(f"hotline: {file} can only be read: nothing in it is changed", file=sys.stderr)
        engine = database.engine(url, read_only=True)
        try:
            yield engine
        finally:
            await engine.dispose()


async def _whole(file: Path, folder: Path) -> URL | str:
    """The file as it lies there. If a part waits in its WAL, or it has an earlier version: a copy, made whole."""
    written_last = file.with_name(f"{file.name}-wal")
    waits = written_last.exists() and written_last.stat().st_size > 0
    if not waits:
        lies = database.lying_still(file)
        engine = database.engine(lies, read_only=True)
        try:
            if await migrations.is_current(engine):
                return lies
        finally:
            await engine.dispose()
    copy = folder / file.name
    shutil.copyfile(file, copy)
    if waits:
        shutil.copyfile(written_last, copy.with_name(written_last.name))
    engine = database.engine(url := f"sqlite+aiosqlite:///{copy}")
    try:
        await migrations.upgrade(engine)
    finally:
        await engine.dispose()
    return url
