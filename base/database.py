"""How the database is opened, and where its tables are gathered. SQLite in WAL mode by default, PostgreSQL by URL.

Each room has its own tables in its `tables.py`; all of them are in one `metadata`.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson
from sqlalchemy import URL, BigInteger, Integer, MetaData, event, exc, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from base.outage import Outage

metadata = MetaData()
"""Every table that has been imported."""

CONNECT_WITHIN: Final = 10.0
"""Seconds within which a server takes a new connection, or it counts as away."""


class DatabaseAwayError(exc.OperationalError):
    """The database does not answer, or cannot do what it is there for: refused, gone, full, locked, damaged.

    It is no fault of the question: the same one may succeed later. What a question does wrong (a row that is there
    already, a column that is not) is another `DBAPIError`.
    """

    code = None  # type: ignore[assignment]  # no address of a page about it


AWAY: Final[tuple[type[Exception], ...]] = (DatabaseAwayError, exc.TimeoutError, TimeoutError)
"""What `except` catches of a database that is away: also no free connection within the pool's time, and the end of the
caller's own `asyncio.timeout`. The one home of that list; drivers' errors become `DatabaseAwayError` in `engine`."""

READ_AGAIN = 5.0
"""Seconds between two tries of `read_at_start`."""

FAILED: Final[tuple[type[Exception], ...]] = (exc.SQLAlchemyError, TimeoutError)
"""What a command catches that answers with a sentence: also a database that is not of this version."""

ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""The type of a row's own number: SQLite counts up only an INTEGER."""


def engine(
    url: str | URL, *, read_only: bool = False, answer_within: float | None = None, **options: Any
) -> AsyncEngine:
    """Open the database at `url`. SQLite gets WAL mode, so that readers (Asterisk is one) never wait for writers.

    A connection to PostgreSQL is tested before it is used again, so a restart of the server breaks no work.
    `read_only`, of SQLite: every change is refused. `answer_within`, of PostgreSQL: seconds for one question, after
    which a server that stands still counts as away; SQLite bounds its own waits. What it raises then: `AWAY`.
    """
    url = make_url(url)
    if url.get_backend_name() != "sqlite":
        options.setdefault("pool_pre_ping", True)
        bounds = {"timeout": CONNECT_WITHIN, "command_timeout": answer_within}
        options["connect_args"] = bounds | options.get("connect_args", {})
    made = create_async_engine(
        url,
        json_serializer=_as_json,
        json_deserializer=orjson.loads,
        **options,
    )
    event.listen(made.sync_engine, "do_connect", _connect)
    event.listen(made.sync_engine, "handle_error", _without_sql, retval=True)
    if made.dialect.name == "sqlite":

        @event.listens_for(made.sync_engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            if read_only:
                cursor.execute("PRAGMA query_only=ON")
            else:
                cursor.execute("PRAGMA journal_mode=WAL")
                cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.execute("PRAGMA busy_timeout=5000")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

    return made


def file_of(url: str) -> Path | None:
    """The file of a SQLite database; None for another database, and as long as there is none."""
    made = make_url(url)
    if made.get_backend_name() != "sqlite" or not made.database:
        return None
    file = Path(made.database)
    return file if file.is_file() else None


def may_be_written(file: Path) -> bool:
    """Whether SQLite can change this file: it makes others beside it. False for a backup on a read-only medium."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def lying_still(file: Path) -> URL:
    """The address of a SQLite file that nobody changes: it is read without any file beside it."""
    query = {"immutable": "1", "uri": "true"}
    name = f"file:{quote(str(file.absolute()))}"
    return URL.create("sqlite+aiosqlite", database=name, query=query)


def why(error: BaseException) -> str:
    """What is wrong with the database, as a sentence for whoever asked for something: no SQL, no values."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, exc.TimeoutError):
        return "all connections to it are in use, and none becomes free"
    if isinstance(cause, TimeoutError):
        return "it does not answer"
    if isinstance(cause, ConnectionError | FileNotFoundError):
        return "no server listens at its address: look whether PostgreSQL runs"
    text = str(cause)
    for sign, sentence in _SIGNS:
        if sign in text:
            return sentence
    return text.partition("\n")[0] or type(error).__name__


@contextmanager
def noting(outage: Outage, **fields: object) -> Iterator[None]:
    """What is done with the database. If it is away, `outage` begins (with `fields`) and the rest is left out.

    Otherwise it is over at the end. Any other error goes through, and says nothing about the database.
    """
    try:
        yield
    except AWAY as error:
        outage.begin(**told(error), **fields)
    else:
        outage.end()


async def read_at_start(read: Callable[[], Awaitable[None]], outage: Outage, effect: str) -> None:
    """Do what a program reads once after its start, as soon as the database lets it.

    Until then `outage` is on, with `effect`: so is it for a fault of ours, whose trace is logged once.
    """
    while True:
        try:
            await read()
        except Exception as error:  # noqa: BLE001 a fault of one part ends nothing
            outage.begin(**told(error), effect=effect)
        else:
            outage.end()
            return
        await asyncio.sleep(READ_AGAIN)


def told(error: BaseException) -> dict[str, object]:
    """What a line of the log says of a failure: why, if the database is away; else the trace, for it is our fault."""
    return {"why": why(error)[:200]} if isinstance(error, AWAY) else {"exc_info": error}


_SIGNS = (
    (
        "database is locked",
        "another program holds it locked, such as a backup or a database shell; end that program, or try again",
    ),
    ("database or disk is full", "the disk is full"),
    ("readonly database", "it can only be read: look who owns its file and its folder"),
    ("disk image is malformed", "its file is damaged: restore the backup"),
    ("file is not a database", "its file is damaged, or is no database: restore the backup"),
    (
        "unable to open database file",
        "its file cannot be opened: look whether the folder is there, and whose it is",
    ),
    ("disk I/O error", "the disk reports an error"),
)


def _connect(dialect: Any, _record: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Connect, and raise what `connect` of PEP 249 may: SQLAlchemy lets asyncpg's and the system's errors through."""
    try:
        return dialect.connect(*arguments, **named)
    except dialect.loaded_dbapi.Error:
        raise
    except Exception as error:
        if isinstance(error, OSError) or _is_no_fault_of_ours(error):
            raise DatabaseAwayError(None, None, error) from error
        raise


def _without_sql(context: ExceptionContext) -> Exception | None:
    """Take the statement and its values out of an error: they name citizens, and no reader of a log needs them.

    Gives the error to raise instead, if the database is away.
    """
    error, cause = context.sqlalchemy_exception, context.original_exception
    if not isinstance(cause, Exception):
        return None  # a task that is cancelled stays cancelled, although its connection is of no use any more
    if isinstance(cause, OSError):
        # Also after a question that took too long: asyncpg would wait for the answer to its cancellation, for ever.
        context.is_disconnect = True
    if context.is_disconnect or _is_no_fault_of_ours(cause):
        return DatabaseAwayError(None, None, cause, connection_invalidated=context.is_disconnect)
    if error is not None:
        error.statement = error.params = error.code = None
    return None


def _is_no_fault_of_ours(cause: BaseException) -> bool:
    """Whether the state of the database is what is wrong: what SQLite and PostgreSQL each have a number for."""
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE_AWAY
    state = str(getattr(cause, "sqlstate", None) or "")
    return state[:2] in _POSTGRESQL_AWAY or state == _READ_ONLY


_SQLITE_AWAY: Final = frozenset(
    {
        *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM),
        *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT),
        *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL),
        sqlite3.SQLITE_NOTADB,
    }
)
_POSTGRESQL_AWAY: Final = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58", "XX"})
"""Classes of SQLSTATE: connection, sign-in, no such database, deadlock, resources, lock, operator, system, damage.
(PostgreSQL, appendix A.)"""
_READ_ONLY: Final = "25006"


def _as_json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Bytes that were no UTF-8 (a word of the command line), whole numbers above 64 bits.
        return json.dumps(value)
