"""The database's versions: call `upgrade(engine)` at the start of a process that uses it.

versions  one file a change, oldest first
env       what Alembic runs: binds the versions to the connection

A version is history: it imports nothing of ours, so that revision 0001 is the same database in every version of the
program. A test compares what all of them together make with `hotline.machine.tables.metadata` and
`telephony.realtime.VIEWS`. `python -m hotline.machine.draft "what changes"` drafts the next one.
"""

import asyncio
from pathlib import Path
from typing import Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base import database
from base.retry import Schedule

log = structlog.get_logger(__name__)

LOCK_WAIT: Final = 60
"""Seconds to wait while another process upgrades the same database."""

_POSTGRESQL_LOCK: Final = 0x686F746C696E65  # "hotline"
_RETRY: Final = Schedule(first=0.1, longest=1.0, jitter=0.5)


class DatabaseError(Exception):
    """The database cannot be brought to this program's version. The message says what to do."""


async def upgrade(engine: AsyncEngine) -> None:
    """Bring the database to this program's version: from nothing, or from any earlier version.

    All or nothing, in one transaction; does nothing when there is nothing to do. Safe when several
    processes start at once: one upgrades, the others wait. Raises `DatabaseError` when the
    database is newer than the program, cannot be opened, or stays locked for `LOCK_WAIT` seconds.
    """
    deadline = asyncio.get_running_loop().time() + LOCK_WAIT
    failures = 0
    while True:
        try:
            connection = await engine.connect()
            try:
                await _upgrade(connection)
            finally:
                await connection.close()
            return
        except DBAPIError as error:
            # SQLite refuses at once, not after its busy time-out, while another process turns a
            # new file to WAL mode.
            if "database is locked" in str(error) and asyncio.get_running_loop().time() < deadline:
                failures += 1
                await asyncio.sleep(_RETRY.pause(failures))
                continue
            raise DatabaseError(_advice(engine, error)) from error


async def is_current(engine: AsyncEngine) -> bool:
    """Whether the database is at this program's version. Changes nothing."""
    async with engine.connect() as connection:
        found = await connection.run_sync(_revision)
    return found == ScriptDirectory.from_config(config()).get_current_head()


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, which needs no file of its own."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


async def _upgrade(connection: AsyncConnection) -> None:
    scripts = ScriptDirectory.from_config(config())
    before = await connection.run_sync(_revision)
    if before == scripts.get_current_head():
        return
    await connection.rollback()

    if connection.dialect.name == "sqlite":
        # Python's driver would commit before each CREATE: transactions are ours here.
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT}s'")
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})")

    before = await connection.run_sync(_revision)
    _refuse_newer(scripts, before)
    await connection.run_sync(lambda sync: command.upgrade(config(sync), "head"))
    after = await connection.run_sync(_revision)

    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("COMMIT")
    else:
        await connection.commit()
    if after != before:
        log.info("database.upgraded", before=before or "nothing", after=after)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(scripts: ScriptDirectory, revision: str | None) -> None:
    known = [script.revision for script in scripts.walk_revisions()]
    if revision is not None and revision not in known:
        raise DatabaseError(
            f"The database is at version {revision}, made by a newer Hotline; this program knows "
            f"versions up to {known[0]}. Nothing was changed. Start the newer Hotline again, or "
            "restore the backup that was made before it was installed."
        )


def _advice(engine: AsyncEngine, error: Exception) -> str:
    if "database is locked" in str(error) or "lock timeout" in str(error):
        return (
            f"The database {engine.url!r} has been locked for {LOCK_WAIT} seconds. Stop the program "
            "that holds it open (a backup, a database shell), then start again."
        )
    return (
        f"The database {engine.url!r} cannot be used: {database.why(error)}. Look "
        "whether HOTLINE_DATABASE_URL is right, whether the server runs and knows the user, and "
        "whether the folder of a SQLite file exists, may be written and is not full."
    )
