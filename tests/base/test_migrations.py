"""Migrations: from nothing to what `hotline.machine.tables` says, once, whoever starts first."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from agents import tables
from base import database, migrations
from base.migrations import DatabaseError, upgrade
from diary import tables as diary_tables
from facts import CallTransferred, details
from hotline.machine.tables import metadata
from telephony.realtime import VIEWS
from web.accounts import accounts


@pytest.fixture
def cloned() -> None:
    """No database is a copy here."""


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[AsyncEngine]:
    engine = database.engine(sqlite_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def engine(empty: AsyncEngine) -> AsyncEngine:
    """What is tested here is how the tables come into being."""
    return empty


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def _definitions(connection: Connection) -> dict[str, str]:
    """Each view's SQL, as the database tells it."""
    if connection.dialect.name == "sqlite":
        question = "SELECT name, sql FROM sqlite_master WHERE type = 'view'"
    else:
        question = "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'"
    return {row[0]: row[1] for row in connection.execute(text(question))}


def _make_views_anew(connection: Connection) -> None:
    for name in VIEWS:
        connection.execute(text(f"DROP VIEW {name}"))
    for sql in VIEWS.values():
        connection.exec_driver_sql(sql)


async def test_from_nothing_to_exactly_what_the_code_says(engine: AsyncEngine) -> None:
    await upgrade(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
        migrated = await connection.run_sync(_definitions)
        await connection.run_sync(_make_views_anew)
        assert migrated == await connection.run_sync(_definitions)
        assert migrated.keys() == VIEWS.keys()


async def test_a_second_upgrade_changes_nothing(engine: AsyncEngine) -> None:
    await upgrade(engine)
    async with engine.begin() as connection:
        await connection.execute(
            insert(tables.agent).values(number="1001", name="张三", md5_cred="0" * 32, added_at=1)
        )
    await upgrade(engine)
    async with engine.connect() as connection:
        assert (await connection.execute(select(tables.agent.c.name))).scalars().all() == ["张三"]
        answer = await connection.execute(text("SELECT id, auth FROM ps_endpoints"))
        assert answer.all() == [("1001", "1001")]


async def test_many_who_start_at_once_upgrade_once(engine: AsyncEngine) -> None:
    others = [database.engine(engine.url.render_as_string(hide_password=False)) for _ in range(6)]
    await asyncio.gather(*(upgrade(other) for other in [engine, *others]))
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    for other in others:
        await other.dispose()


def test_the_newest_version_is_that_of_the_last_file() -> None:
    assert ScriptDirectory.from_config(migrations.config()).get_heads() == [migrations.NEWEST]


def test_processes_that_start_at_once(tmp_path: Path) -> None:
    code = """
        import asyncio, sys
        from base import database
        from base.migrations import upgrade

        async def main():
            engine = database.engine(sys.argv[1])
            sys.stdin.read()
            await upgrade(engine)
            await engine.dispose()

        asyncio.run(main())
    """
    url = f"sqlite+aiosqlite:///{tmp_path / 'hotline.db'}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), url],
            stdin=subprocess.PIPE,
            env=environment,
        )
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
    assert [worker.wait(40) for worker in workers] == [0] * 4


async def test_a_newer_database_is_refused_and_left_as_it_is(engine: AsyncEngine) -> None:
    await upgrade(engine)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"9999, made by a newer Hotline.*restore the backup"):
        await upgrade(engine)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


async def test_a_migration_that_fails_leaves_nothing_behind(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = command.upgrade

    def breaks(settings: Config, revision: str) -> None:
        real(settings, revision)
        raise RuntimeError("power cut")

    monkeypatch.setattr(command, "upgrade", breaks)
    with pytest.raises(RuntimeError, match="power cut"):
        await upgrade(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(migrations._revision) is None
        assert await connection.run_sync(_definitions) == {}

    monkeypatch.setattr(command, "upgrade", real)
    await upgrade(engine)


async def test_a_database_that_stays_locked_is_reported(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_WAIT", 1)
    holder = database.engine(engine.url.render_as_string(hide_password=False))
    async with holder.connect() as connection:
        if engine.dialect.name == "sqlite":
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            key = migrations._POSTGRESQL_LOCK
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({key})")
        with pytest.raises(DatabaseError, match="has been locked for 1 seconds"):
            await upgrade(engine)
    await holder.dispose()


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    engine = database.engine(f"sqlite+aiosqlite:///{tmp_path / 'nowhere' / 'hotline.db'}")
    before = set(threading.enumerate())
    with pytest.raises(DatabaseError, match=r"nowhere/hotline\.db.*Look whether"):
        await upgrade(engine)
    # The driver's thread says good-bye to the event loop, which has to be there still.
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    engine = database.engine("postgresql+asyncpg://hotline:secret@127.0.0.1:1/hotline")
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:1.*Look whether") as caught:
        await upgrade(engine)
    assert "secret" not in str(caught.value)


@pytest.mark.live
async def test_a_database_that_the_server_does_not_know_is_named(postgresql_url: str) -> None:
    engine = database.engine(postgresql_url.replace("?", "_not_there?"))
    with pytest.raises(DatabaseError, match=r"does not exist.*Look whether"):
        await upgrade(engine)


async def test_a_percent_sign_in_the_path_does_no_harm(sqlite: AsyncEngine) -> None:
    assert "%%" not in str(migrations.config().get_main_option("script_location"))
    await upgrade(sqlite)


async def test_accounts_of_before_have_no_limit(engine: AsyncEngine) -> None:
    def before(connection: Connection) -> None:
        command.upgrade(migrations.config(connection), "0033")
        connection.exec_driver_sql(
            "INSERT INTO account (name, password, role, agent, added_at, signed_in_at)"
            " VALUES ('wang', 'x', 'supervisor', '1003', 1, 0)"
        )

    async with engine.begin() as connection:
        await connection.run_sync(before)
    await upgrade(engine)
    (found,) = await accounts.list_all(engine)
    assert (found.name, found.agent, found.queues) == ("wang", "1003", ())
    await accounts.set_queues(engine, "wang", ["default"])
    assert await accounts.limit_of(engine, "wang") == ("default",)


async def marked(engine: AsyncEngine, before: str, rows: list[dict[str, object]]) -> Sequence[str]:
    """The calls that are counted again when a database of version `before` with this diary is upgraded."""

    def old(connection: Connection) -> None:
        command.upgrade(migrations.config(connection), before)

    async with engine.begin() as connection:
        await connection.run_sync(old)
        await connection.execute(insert(diary_tables.diary), rows)
    await upgrade(engine)
    async with engine.connect() as connection:
        found = await connection.execute(select(diary_tables.changed.c.call))
        return found.scalars().all()


async def test_talks_of_before_that_an_agent_ended_are_counted_again(engine: AsyncEngine) -> None:
    rows: list[dict[str, object]] = [
        {"id": 1, "at": 1, "kind": "TalkEnded", "call": "a", "more": {"hung_up_by": "agent"}},
        {"id": 2, "at": 2, "kind": "TalkEnded", "call": "b", "more": {"hung_up_by": "caller"}},
        {"id": 3, "at": 3, "kind": "CallEnded", "call": "c", "more": {"hung_up_by": "agent"}},
    ]
    assert await marked(engine, "0029", rows) == ["a"]


async def test_calls_of_before_that_somebody_took_over_are_counted_again(
    engine: AsyncEngine,
) -> None:
    handed = (
        CallTransferred(1, "a", "1001", "1002", attended=True),
        CallTransferred(2, "b", "1001", "1002"),
    )
    rows: list[dict[str, object]] = [
        {"id": fact.at, "at": fact.at, "kind": fact.kind, "call": fact.call, "more": details(fact)}
        for fact in handed
    ]
    assert await marked(engine, "0032", rows) == ["a"]
