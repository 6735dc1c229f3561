"""How the database is opened, and where its tables are gathered. SQLite in WAL mode by default, PostgreSQL by URL.

Each room has its own tables in its `tables.py`; all of them are in one `metadata`.
"""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg  # type: ignore[import-untyped]
import orjson
from sqlalchemy import URL, BigInteger, Integer, MetaData, event, make_url
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

metadata = MetaData()
"""Every table that has been imported."""

ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""The type of a row's own number: SQLite counts up only an INTEGER."""


def engine(url: str | URL, *, read_only: bool = False, **options: Any) -> AsyncEngine:
    """Open the database at `url`. SQLite gets WAL mode, so that readers (Asterisk is one) never wait for writers.

    A connection to PostgreSQL is tested before it is used again, so a restart of the server breaks no work. A server
    that cannot be reached, or lets nobody in, raises SQLAlchemy's `DBAPIError` as every other fault of a database does.
    `read_only`, of SQLite: every change is refused.
    """
    url = make_url(url)
    if url.get_backend_name() != "sqlite":
        options.setdefault("pool_pre_ping", True)
    made = create_async_engine(
        url,
        json_serializer=_as_json,
        json_deserializer=orjson.loads,
        **options,
    )
    event.listen(made.sync_engine, "handle_error", _without_sql)
    event.listen(made.sync_engine, "do_connect", _connect)
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


def _connect(
    dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]
) -> DBAPIConnection:
    """SQLAlchemy lets the errors of asyncpg, and of its socket, through as they are."""
    try:
        return dialect.connect(*arguments, **options)
    except (OSError, asyncpg.PostgresError) as error:
        raise OperationalError("", None, error) from error


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
    if isinstance(error, DBAPIError) and isinstance(cause, OSError):
        return "its server cannot be reached: look whether it runs"
    text = str(cause)
    for sign, sentence in _SIGNS:
        if sign in text:
            return sentence
    return text.partition("\n")[0] or type(error).__name__


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


def _without_sql(context: ExceptionContext) -> None:
    """Take the statement and its values out of an error: they name citizens, and no reader of a log needs them."""
    error = context.sqlalchemy_exception
    if error is not None:
        error.statement = error.params = error.code = None


def _as_json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Bytes that were no UTF-8 (a word of the command line), whole numbers above 64 bits.
        return json.dumps(value)
