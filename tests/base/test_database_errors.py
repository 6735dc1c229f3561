"""A database that is locked, full, damaged or away: a sentence, and neither SQL nor values, for people and in logs."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import structlog
from sqlalchemy import event, insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from typer.testing import CliRunner

from base import database, log
from base.background import spawn
from base.outage import Outage
from diary.tables import diary
from hotline.cli.main import app

NUMBER = "13812345678"


def row(call: str) -> dict[str, object]:
    return {"id": 1, "kind": "CallArrived", "at": 1, "call": call, "agent": "", "more": {}}


async def error_of(engine: AsyncEngine, rows: list[dict[str, object]]) -> SQLAlchemyError:
    """What is raised when these rows are there already."""
    async with engine.begin() as connection:
        await connection.execute(insert(diary), rows[:1])
    async with engine.connect() as connection:
        with pytest.raises(SQLAlchemyError) as raised:
            await connection.execute(insert(diary), rows)
    return raised.value


@pytest.mark.parametrize("count", [1, 3])
async def test_an_error_holds_neither_sql_nor_values(
    engine: AsyncEngine, count: int, tmp_path: Path
) -> None:
    error = await error_of(engine, [row(NUMBER)] * count)
    for said in (str(error), repr(error), database.why(error)):
        for secret in ("INSERT", "VALUES", "[SQL", "parameters", "sqlalche.me"):
            assert secret not in said
    file = tmp_path / "test.log"
    log.configure(file=file)
    try:
        raise error
    except SQLAlchemyError:
        structlog.get_logger("test").exception("row.not_written")
    text = file.read_text()
    assert "row.not_written" in text
    assert "INSERT INTO" not in text


@pytest.mark.parametrize("where", ["?host=/nowhere", "?host=127.0.0.1&port=1"])
async def test_a_server_that_is_away_is_a_fault_of_the_database(where: str) -> None:
    """To programs, too: the recorder took it for a fault of its own, and told `[Errno 2] No such file or directory`."""
    away = database.engine(f"postgresql+asyncpg://hotline@/none{where}")
    with pytest.raises(DBAPIError) as raised:
        await away.connect()
    await away.dispose()
    assert (
        database.why(raised.value)
        == "no server listens at its address: look whether PostgreSQL runs"
    )


async def test_a_server_that_lets_nobody_in_is_a_fault_of_the_database(
    engine: AsyncEngine,
) -> None:
    """One that has just started says so to everybody; one without this database, too."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no server")
    locked = database.engine(engine.url.set(database="none"))
    with pytest.raises(DBAPIError) as raised:
        await locked.connect()
    await locked.dispose()
    assert database.why(raised.value) == 'database "none" does not exist'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("database is locked", "another program holds it locked"),
        ("database or disk is full", "the disk is full"),
        ("attempt to write a readonly database", "it can only be read"),
        ("database disk image is malformed", "its file is damaged: restore the backup"),
        ("file is not a database", "its file is damaged, or is no database"),
        ("unable to open database file", "its file cannot be opened"),
        ("disk I/O error", "the disk reports an error"),
        ("connection refused\n[SQL: SELECT 1]", "connection refused"),
        ("", "OperationalError"),
    ],
)
def test_each_fault_has_its_sentence(text: str, said: str) -> None:
    found = database.why(sqlite3.OperationalError(text))
    assert found.startswith(said)
    assert "SELECT" not in found


# --- away, or asked wrongly


async def test_a_database_that_is_locked_full_or_no_database_is_away(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    made = database.engine(f"sqlite+aiosqlite:///{file}")
    async with made.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE some (id INTEGER PRIMARY KEY, more BLOB)")
    await made.dispose()

    async def put(many: int = 1) -> None:
        engine = database.engine(f"sqlite+aiosqlite:///{file}")
        for setting in ("busy_timeout=50", "max_page_count=3"):
            event.listen(
                engine.sync_engine,
                "connect",
                lambda dbapi, _, setting=setting: dbapi.execute(f"PRAGMA {setting}"),
            )
        try:
            async with engine.begin() as connection:
                await connection.exec_driver_sql(
                    "INSERT INTO some (more) VALUES (zeroblob(?))", (many,)
                )
        finally:
            await engine.dispose()

    await put()
    with pytest.raises(database.DatabaseAwayError, match="full"):
        await put(100_000)
    with locked(file), pytest.raises(database.DatabaseAwayError, match="locked"):
        await put()
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(database.DatabaseAwayError):
        await put()
    file.unlink()
    file.mkdir()
    with pytest.raises(database.DatabaseAwayError, match="unable to open"):
        await put()


@pytest.mark.parametrize(
    "question", ["SELECT no_such_column FROM diary", "SELECT 1 FROM nowhere", "SELEC 1"]
)
async def test_a_wrong_question_is_no_database_that_is_away(
    engine: AsyncEngine, question: str
) -> None:
    """It is our fault: its trace goes into the log."""
    async with engine.connect() as connection:
        with pytest.raises(SQLAlchemyError) as raised:
            await connection.exec_driver_sql(question)
    assert not isinstance(raised.value, database.AWAY)
    assert database.told(raised.value) == {"exc_info": raised.value}
    double = await error_of(engine, [row(NUMBER)])
    assert not isinstance(double, database.AWAY)


async def test_a_cancelled_question_stays_cancelled(engine: AsyncEngine) -> None:
    """Its connection is given up, as that of a database that went; but nobody may take it for that."""
    ended: list[BaseException] = []

    async def ask() -> None:
        try:
            async with engine.connect() as connection:
                await connection.exec_driver_sql(
                    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 400000) "
                    "SELECT sum(x) FROM n"
                )
                await connection.exec_driver_sql("SELECT 1")
        except BaseException as error:
            ended.append(error)
            raise

    for pause in (0.0, 0.001, 0.01):
        asking = spawn(ask(), "ask")
        await asyncio.sleep(pause)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert not any(isinstance(error, database.AWAY) for error in ended)


async def test_nobody_listens_at_its_address() -> None:
    gone = database.engine("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(database.DatabaseAwayError) as raised:
        await gone.connect()
    said = "no server listens at its address: look whether PostgreSQL runs"
    assert database.told(raised.value) == {"why": said}
    assert database.why(TimeoutError()) == "it does not answer"


# --- the commands


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of a centre that has been used."""
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    assert CliRunner().invoke(app, ["metrics", "incident", "list"]).exit_code == 0
    return tmp_path / "hotline.db"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def has_no_sql(said: str) -> None:
    for word in ("INSERT", "SELECT", "sqlite3", "sqlalche", "Traceback"):
        assert word not in said


ADD = ["metrics", "incident", "add", "--from", "2025-11-20T09:00", "--to", "2025-11-20T09:40"]


def test_a_command_on_a_locked_database_says_a_sentence(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = database.engine

    def impatient(url: str) -> AsyncEngine:
        made = real(url)
        event.listen(
            made.sync_engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA busy_timeout=50")
        )
        return made

    monkeypatch.setattr(database, "engine", impatient)
    with locked(file):
        done = CliRunner().invoke(app, [*ADD, "--reason", "trunk down", "--approved-by", "王芳"])
    assert done.exit_code == 1
    assert "another program holds it locked" in done.output
    has_no_sql(done.output)


@pytest.mark.parametrize("damage", ["all", "pages"])
def test_a_command_on_a_damaged_file_says_a_sentence(file: Path, damage: str) -> None:
    content = file.read_bytes()
    begin = 0 if damage == "all" else 4096
    file.write_bytes(content[:begin] + b"no database" * ((len(content) - begin) // 11 + 1))
    done = CliRunner().invoke(app, ["metrics", "incident", "list"])
    assert done.exit_code == 1
    assert "its file is damaged" in done.output
    has_no_sql(done.output)


def test_only_an_absent_database_begins_its_outage() -> None:
    outage = Outage(structlog.get_logger(), "seal.database_away")
    with capture_logs() as logs:
        with database.noting(outage, files=7):
            raise database.DatabaseAwayError(None, None, ConnectionRefusedError())
        with pytest.raises(KeyError), database.noting(outage):
            raise KeyError
        assert outage.on, "a fault of ours says nothing about the database"
        with database.noting(outage):
            pass
    assert not outage.on
    assert [(one["on"], one.get("files")) for one in logs] == [(True, 7), (False, None)]


async def test_what_is_read_at_a_start_waits_for_the_database_and_tells_of_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "READ_AGAIN", 0.0)
    away = database.DatabaseAwayError(None, None, ConnectionRefusedError())
    failures: list[Exception] = [away, away, KeyError("a fault of ours")]

    async def read() -> None:
        if failures:
            raise failures.pop(0)

    outage = Outage(structlog.get_logger(), "surveys.database_away")
    with capture_logs() as logs:
        await database.read_at_start(read, outage, "no survey asks")
    assert [(one["on"], one.get("effect")) for one in logs] == [
        (True, "no survey asks"),
        (False, None),
    ]
    assert failures == []
