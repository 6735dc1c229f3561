"""The databases of tests: each test that asks for `engine` runs on SQLite and on PostgreSQL, with the tables as
`hotline` makes them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base import database
from base.migrations import upgrade


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
