"""How the database is opened, and where its tables are gathered. SQLite in WAL mode by default, PostgreSQL by URL.

Each room has its own tables in its `tables.py`; all of them are in one `metadata`.
"""

import json
from typing import Any

import orjson
from sqlalchemy import BigInteger, Integer, MetaData, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

metadata = MetaData()
"""Every table that has been imported."""

ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""The type of a row's own number: SQLite counts up only an INTEGER."""


def engine(url: str, **options: Any) -> AsyncEngine:
    """Open the database at `url`. SQLite gets WAL mode, so that readers (Asterisk is one) never wait for writers.

    A connection to PostgreSQL is tested before it is used again, so a restart of the server breaks no work.
    """
    if not url.startswith("sqlite"):
        options.setdefault("pool_pre_ping", True)
    made = create_async_engine(
        url,
        json_serializer=_as_json,
        json_deserializer=orjson.loads,
        **options,
    )
    event.listen(made.sync_engine, "handle_error", _without_sql)
    if made.dialect.name == "sqlite":

        @event.listens_for(made.sync_engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.execute("PRAGMA busy_timeout=5000")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

    return made


def why(error: BaseException) -> str:
    """What is wrong with the database, as a sentence for whoever asked for something: no SQL, no values."""
    text = str(getattr(error, "orig", None) or error)
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
