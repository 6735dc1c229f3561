"""How the database is opened, and where its tables are gathered. SQLite in WAL mode by default, PostgreSQL by URL.

Each room has its own tables in its `tables.py`; all of them are in one `metadata`.
"""

import json
from typing import Any

import orjson
from sqlalchemy import BigInteger, Integer, MetaData, event
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


def _as_json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Bytes that were no UTF-8 (a word of the command line), whole numbers above 64 bits.
        return json.dumps(value)
