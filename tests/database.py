"""The databases of tests: each test that asks for `engine` runs on SQLite and on PostgreSQL, with the tables as
`hotline` makes them."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base import database, migrations
from base.migrations import upgrade


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a database lies that was upgraded from nothing once; the file is made by whoever needs it first."""
    return tmp_path_factory.mktemp("template") / "hotline.db"


@pytest.fixture(autouse=True)
def cloned(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new SQLite file gets the tables of the template. All other databases are upgraded as ever."""
    upgrade_really = migrations._upgrade

    async def clone(connection: AsyncConnection) -> None:
        file = connection.engine.url.database
        if connection.dialect.name != "sqlite" or not file or not _is_empty(file):
            await upgrade_really(connection)
            return
        if not template.exists():
            made = database.engine(f"sqlite+aiosqlite:///{template}")
            async with made.connect() as first:
                await upgrade_really(first)
            await made.dispose()
        with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(file)) as target:
            target.execute("PRAGMA synchronous=OFF")
            # Nobody of this process has come in between: there is no await since the second look.
            if target.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                source.backup(target)

    monkeypatch.setattr(migrations, "_upgrade", clone)


def _is_empty(file: str) -> bool:
    with closing(sqlite3.connect(file)) as looked:
        return bool(looked.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of a database in the test's own folder; nothing is there yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'hotline.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, of each kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def empty(url: str) -> AsyncIterator[AsyncEngine]:
    """A database without any tables."""
    made = database.engine(url)
    yield made
    await made.dispose()


@pytest.fixture
async def engine(empty: AsyncEngine) -> AsyncEngine:
    """A database as a start of the program leaves it."""
    await upgrade(empty)
    return empty
