"""The diary on SQLite and PostgreSQL: written once, read back, and nothing lost while the database is away."""

import asyncio
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from sqlalchemy import event, func, insert, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base import database
from base.retry import Schedule
from diary import reader, tables, writer
from diary.reader import open_calls, read, read_calls, read_kinds
from diary.writer import Diary, unwritten
from facts import (
    KINDS,
    AgentPaused,
    AgentReady,
    CallArrived,
    CallEnded,
    CallQueued,
    CallRefused,
    CallReleased,
    ControllerStarted,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    RecordingFinished,
    TalkEnded,
)
from facts.terms import OfferReason, Party, Release
from facts.times import SECOND
from tests.postgres import PostgresServer

T = 1_763_700_000 * SECOND


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY", Schedule(0.1, 0.1))


def a_call(n: int, at: int, *, ended: bool = True) -> list[Fact]:
    call = f"hotline-1.{n}"
    facts: list[Fact] = [
        CallArrived(at, call, "12345", "13812345678"),
        CallQueued(at + 1, call, "default"),
        OfferMade(at + 2, call, "1001"),
        OfferRinging(at + 3, call, "1001", estimated=True),
        OfferEnded(at + 4, call, "1001", OfferReason.NO_ANSWER),
        OfferAnswered(at + 5, call, "1002"),
        TalkEnded(at + 6, call, "1002", Party.CALLER),
    ]
    return [*facts, CallEnded(at + 7, call, Party.CALLER, 16)] if ended else facts


async def all_of(engine: AsyncEngine, since: int = 0, until: int = 2**62) -> list[Fact]:
    return [fact async for fact in read(engine, since, until)]


async def rows(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(tables.diary)) or 0)


async def until(true: Callable[[], Any], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.01)


async def write(engine: AsyncEngine, folder: Path, facts: list[Fact]) -> None:
    book = Diary(engine, folder)
    for fact in facts:
        book.write(fact)
    book.start()
    await book.close()
    assert book.waiting == 0


# --- written and read


async def test_what_is_written_is_read_back(engine: AsyncEngine, tmp_path: Path) -> None:
    facts = [
        ControllerStarted(T, "0.1.0"),
        AgentPaused(T + 1, "1001", "用餐"),
        *a_call(1, T + 2),
        CallReleased(T + 20, "hotline-1.2", Release.TIMED_OUT),
        RecordingFinished(T + 21, "hotline-1.1", 7_480_000, "ab" * 32),
    ]
    await write(engine, tmp_path, facts)
    assert await all_of(engine) == facts
    assert await all_of(engine, T + 1, T + 20) == facts[1:-2]


async def test_every_kind_of_fact_is_read_back(engine: AsyncEngine, tmp_path: Path) -> None:
    values: dict[type, Any] = {int: 7, float: 7.0, str: "7", bool: True}
    facts = []
    for n, kind in enumerate(KINDS.values()):
        hints = get_type_hints(kind)
        types = {field.name: hints[field.name] for field in fields(kind)}
        filled = {name: values.get(hint) or next(iter(hint)) for name, hint in types.items()}
        facts.append(kind(**filled | {"at": T + n}))
    await write(engine, tmp_path, facts)
    assert await all_of(engine) == facts


async def test_facts_of_some_kinds_only(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_DAY", 7)
    facts: list[Fact] = [fact for n in range(30) for fact in a_call(n, T + 2 * n)]
    await write(engine, tmp_path, facts)
    ends = [fact for fact in facts if isinstance(fact, CallEnded | TalkEnded)]
    some = [fact for fact in ends if T + 20 <= fact.at < T + 50]
    found = read_kinds(engine, {"CallEnded", "TalkEnded"}, T + 20, T + 50)
    assert [fact async for fact in found] == sorted(some, key=lambda fact: fact.at)


async def test_a_fact_reaches_the_database_within_moments(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    book = Diary(engine, tmp_path)
    book.start()
    book.write(AgentReady(T, "1001"))
    async with asyncio.timeout(20):
        while await rows(engine) == 0:
            await asyncio.sleep(0.01)
    book.write(AgentReady(T + 1, "1001"))
    assert await book.flush()
    assert await rows(engine) == 2
    await book.close()


async def test_rows_are_in_the_order_of_writing_even_if_time_is_not(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    facts: list[Fact] = [AgentReady(T - n, f"{1000 + n}") for n in range(1200)]
    await write(engine, tmp_path, facts)
    async with engine.connect() as connection:
        found = (
            await connection.execute(select(tables.diary.c.at).order_by(tables.diary.c.id))
        ).scalars()
        assert list(found) == [fact.at for fact in facts]
    assert await all_of(engine) == facts[::-1]


async def test_many_facts_of_one_moment_are_all_read(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_ROWS", 7)
    monkeypatch.setattr(reader, "PAGE", 7)
    facts: list[Fact] = [CallArrived(T, f"c{n}", "12345", "") for n in range(30)]
    await write(engine, tmp_path, facts)
    assert await all_of(engine) == facts
    assert [one async for one in read_calls(engine, T - 1, T)] == [[fact] for fact in facts]
    backwards = [one async for one in read_calls(engine, T - 1, T, newest_first=True)]
    assert backwards == [[fact] for fact in reversed(facts)]


async def test_odd_text_blocks_nothing(engine: AsyncEngine, tmp_path: Path) -> None:
    odd = "\0 $(reboot) \r\n 😀 \ud800 ' \" \\ " + "9" * 500
    call = "x" * 200 + "\0"
    await write(
        engine,
        tmp_path,
        [CallArrived(T, call, odd, odd), AgentPaused(2**70, "1" * 40, odd), AgentReady(T, "1001")],
    )
    found = await all_of(engine, until=2**63 - 1)
    assert found[0] == CallArrived(
        T, "x" * 80, *[odd.replace("\0", "?").replace("\ud800", "?")] * 2
    )
    assert found[1] == AgentReady(T, "1001")
    assert await rows(engine) == 3


async def test_a_row_of_an_unknown_kind_is_left_out(engine: AsyncEngine, tmp_path: Path) -> None:
    await write(engine, tmp_path, a_call(1, T))
    async with engine.begin() as connection:
        for kind, more in (("CallBeamed", {}), ("CallEnded", {"hung_up_by": "nobody"})):
            values = {"at": T, "kind": kind, "call": "hotline-1.1", "more": more}
            await connection.execute(insert(tables.diary).values(values))
    with capture_logs() as logs:
        assert await all_of(engine) == a_call(1, T)
    assert [line["event"] for line in logs] == ["diary.unreadable"] * 2


# --- calls


async def test_calls_belong_to_the_window_in_which_they_arrived(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    calls = [a_call(n, T + n * SECOND) for n in range(5)]
    late = RecordingFinished(T + 99 * SECOND, "hotline-1.2", 1, "")
    everything = [fact for call in calls for fact in call]
    await write(engine, tmp_path, [*everything[::-1], late])
    found = [list(call) async for call in read_calls(engine, T, T + 3 * SECOND)]
    assert found == [calls[1], [*calls[2], late], calls[3]]
    only = read_calls(engine, T, T + 3 * SECOND, kinds={"CallArrived"})
    assert [list(call) async for call in only] == [call[:1] for call in calls[1:4]]


async def test_an_arrival_told_twice_is_one_call_of_its_first_window(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PAGE", 1)
    again = CallArrived(T + SECOND, "hotline-1.1", "12345", "13812345678")
    await write(engine, tmp_path, [again, *a_call(1, T), *a_call(2, T + 500)])
    both = [call[0].at async for call in read_calls(engine, T - 1, T + 2 * SECOND)]
    assert both == [T, T + 500]
    assert [call async for call in read_calls(engine, T + 600, T + 2 * SECOND)] == []


async def test_open_calls_are_those_without_an_end(engine: AsyncEngine, tmp_path: Path) -> None:
    facts = [
        *a_call(1, T),
        *a_call(2, T + 10, ended=False),
        *a_call(3, T + 20),
        *a_call(4, T - 50, ended=False),
        *a_call(5, T + 30, ended=False),
        CallRefused(T + 40, "hotline-1.5", 488),
    ]
    await write(engine, tmp_path, facts)
    found = [list(call) async for call in open_calls(engine, T - 1)]
    assert found == [a_call(2, T + 10, ended=False)]


async def test_readers_use_indexes(engine: AsyncEngine, tmp_path: Path) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("an empty PostgreSQL table is always scanned")
    plans: list[str] = []
    asked: list[tuple[str, Any]] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        if sql.startswith("SELECT"):
            asked.append((sql, parameters))

    await write(engine, tmp_path, a_call(1, T, ended=False))
    await all_of(engine)
    _ = [call async for call in read_calls(engine, 0, 2**62)]
    _ = [call async for call in read_calls(engine, 0, 2**62, newest_first=True)]
    _ = [call async for call in open_calls(engine, 0)]
    assert len(asked) == 7
    async with engine.connect() as connection:
        for sql, parameters in asked:
            plan = await connection.exec_driver_sql("EXPLAIN QUERY PLAN " + sql, parameters)
            plans.append(" | ".join(str(row.detail) for row in plan))
    for sql, plan_ in zip([sql for sql, _ in asked], plans, strict=True):
        assert "SCAN diary" not in plan_, (sql, plan_)
    by_call = [plan_ for plan_ in plans if "diary_call (call=?)" in plan_]
    assert len(by_call) == 3


# --- the database is away


async def test_nothing_is_lost_or_doubled_when_the_answer_to_a_commit_is_lost(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = engine.sync_engine.dialect
    commit, left = dialect.do_commit, 3

    def commits_but_says_it_did_not(connection: Any) -> None:
        nonlocal left
        commit(connection)
        if left:
            left -= 1
            raise OperationalError("COMMIT", None, ConnectionResetError("connection reset"))

    monkeypatch.setattr(dialect, "do_commit", commits_but_says_it_did_not)
    book = Diary(engine, tmp_path)
    book.start()
    facts = a_call(1, T)
    for fact in facts:
        book.write(fact)
        await asyncio.sleep(0.07)
    await until(lambda: book.waiting == 0)
    await book.close()
    assert left == 0
    assert await all_of(engine) == facts
    assert await rows(engine) == len(facts)
    assert list(tmp_path.glob("*.jsonl")) == []


async def test_sqlite_is_locked_for_a_while(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'hotline.db'}"
    engine, other = database.engine(url), database.engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(database.metadata.create_all)
    book = Diary(engine, tmp_path / "run")
    book.start()
    event.listen(
        engine.sync_engine,
        "connect",
        lambda connection, _: connection.execute("PRAGMA busy_timeout=50"),
    )
    await engine.dispose()
    facts = [fact for n in range(20) for fact in a_call(n, T + n * SECOND)]
    with capture_logs() as logs:
        async with other.connect() as holder:
            await holder.exec_driver_sql("BEGIN EXCLUSIVE")
            for fact in facts[:80]:
                book.write(fact)
            await until(lambda: book.away)
            await until(lambda: unwritten(tmp_path / "run") == 80)
            for fact in facts[80:]:
                book.write(fact)
            await until(lambda: unwritten(tmp_path / "run") == len(facts))
            assert not await book.flush(within=0.2)
            assert book.waiting == len(facts)
            await holder.exec_driver_sql("ROLLBACK")
        await until(lambda: book.waiting == 0)
    assert [line["event"] for line in logs] == ["diary.away", "diary.back"]
    assert "13812345678" not in str(logs)
    assert await book.flush()
    assert await all_of(engine) == facts
    assert unwritten(tmp_path / "run") == 0
    await book.close()
    await engine.dispose()
    await other.dispose()


@pytest.mark.live
async def test_postgresql_crashes_and_comes_back(
    postgres_server: PostgresServer, postgresql_url: str, tmp_path: Path
) -> None:
    engine = database.engine(postgresql_url)
    async with engine.begin() as connection:
        await connection.run_sync(database.metadata.create_all)
    book = Diary(engine, tmp_path)
    book.start()
    facts = [fact for n in range(30) for fact in a_call(n, T + n * SECOND)]
    try:
        for fact in facts[:100]:
            book.write(fact)
        assert await book.flush()
        for fact in facts[100:120]:
            book.write(fact)
        await asyncio.to_thread(postgres_server.stop)
        for fact in facts[120:]:
            book.write(fact)
        await until(lambda: book.away and book.waiting == unwritten(tmp_path))
    finally:
        await asyncio.to_thread(postgres_server.start)
    await until(lambda: book.waiting == 0)
    await book.close()
    assert await all_of(engine) == facts
    assert await rows(engine) == len(facts)
    await engine.dispose()


@pytest.mark.live
async def test_a_postgresql_that_does_not_answer_counts_as_away(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "ANSWER_WITHIN", 0.3)
    engine = database.engine(postgresql_url)
    async with engine.begin() as connection:
        await connection.run_sync(database.metadata.create_all)
    book = Diary(engine, tmp_path)
    book.start()
    async with engine.connect() as holder:
        await holder.execute(text("LOCK TABLE diary IN ACCESS EXCLUSIVE MODE"))
        for fact in a_call(1, T):
            book.write(fact)
        await until(lambda: book.away and unwritten(tmp_path) == 8)
        await holder.rollback()
    await until(lambda: book.waiting == 0)
    await book.close()
    assert await all_of(engine) == a_call(1, T)
    await engine.dispose()


async def test_a_crash_while_the_database_is_away_loses_nothing(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    """An earlier process left a journal: one row of it was written already, and its last line is torn."""
    away = database.engine(f"sqlite+aiosqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    before = Diary(away, tmp_path)
    before.start()
    for fact in a_call(1, T):
        before.write(fact)
    await until(lambda: unwritten(tmp_path) == 8)
    await before.close()
    await away.dispose()
    [journal] = tmp_path.glob("*.jsonl")
    assert journal.stat().st_mode & 0o777 == 0o600
    kept = journal.read_bytes()

    first = Diary(engine, tmp_path)
    first.start()
    await until(lambda: first.waiting == 0)
    await first.close()
    assert not journal.exists()
    journal.write_bytes(kept + b'{"id": 17, "at"')
    with capture_logs() as logs:
        await write(engine, tmp_path, a_call(2, T + SECOND))
    assert [line["event"] for line in logs] == ["diary.torn_line"]
    assert await all_of(engine) == [*a_call(1, T), *a_call(2, T + SECOND)]
    assert not journal.exists()


async def test_a_torn_line_spoils_none_that_follows(engine: AsyncEngine, tmp_path: Path) -> None:
    away = database.engine(f"sqlite+aiosqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    (tmp_path / "controller.diary.jsonl").write_text('{"id": 17, "at"')
    before = Diary(away, tmp_path)
    before.write(AgentReady(T, "1001"))
    await before.close()
    await away.dispose()
    await write(engine, tmp_path, [AgentReady(T + 1, "1002")])
    assert await all_of(engine) == [AgentReady(T, "1001"), AgentReady(T + 1, "1002")]


async def test_an_older_journal_is_written_before_newer_facts(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    away = database.engine(f"sqlite+aiosqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    before = Diary(away, tmp_path)
    before.write(AgentReady(T + 5, "1001"))
    await before.close()
    await away.dispose()
    await write(engine, tmp_path, [AgentReady(T, "1002")])
    async with engine.connect() as connection:
        order = select(tables.diary.c.agent).order_by(tables.diary.c.id)
        assert list((await connection.execute(order)).scalars()) == ["1001", "1002"]


async def test_writing_after_the_end_goes_to_the_journal(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    book = Diary(engine, tmp_path)
    book.start()
    await book.close()
    book.write(AgentReady(T, "1001"))
    assert unwritten(tmp_path) == 1
    await write(engine, tmp_path, [])
    again = Diary(engine, tmp_path)
    again.start()
    await until(lambda: again.waiting == 0)
    await again.close()
    assert await all_of(engine) == [AgentReady(T, "1001")]


async def test_a_full_journal_is_alarmed_once_and_counted(tmp_path: Path) -> None:
    away = database.engine(f"sqlite+aiosqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    book = Diary(away, tmp_path, most_unwritten=1000)
    book.start()
    with capture_logs() as logs:
        for round_ in range(3):
            for n in range(10):
                book.write(AgentReady(T + round_, f"{1000 + n}"))
            await until(lambda: not book._queue)
        assert 0 < unwritten(tmp_path) < 10
        assert book.lost == 30 - unwritten(tmp_path)
        assert [line["event"] for line in logs] == ["diary.away", "diary.lost"]
    await book.close()
    await away.dispose()


async def test_a_journal_that_cannot_be_written_leaves_facts_in_memory(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    url = f"sqlite+aiosqlite:///{tmp_path / 'later' / 'hotline.db'}"
    engine = database.engine(url)
    book = Diary(engine, tmp_path / "run")
    book.start()
    with capture_logs() as logs:
        for fact in a_call(1, T):
            book.write(fact)
        await until(lambda: book.away)
        await asyncio.sleep(0.3)
        assert [line["event"] for line in logs] == ["diary.away", "diary.journal_failed"]
        (tmp_path / "later").mkdir()
        maker = database.engine(url)
        async with maker.begin() as connection:
            await connection.run_sync(database.metadata.create_all)
        await maker.dispose()
        await until(lambda: book.waiting == 0)
    await book.close()
    assert await all_of(engine) == a_call(1, T)
    await engine.dispose()


async def test_a_journal_that_somebody_removed_stops_nothing(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    book = Diary(engine, tmp_path)
    away = database.engine(f"sqlite+aiosqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    book._engine = away
    book.start()
    book.write(AgentReady(T, "1001"))
    await until(lambda: unwritten(tmp_path) == 1)
    [journal] = tmp_path.glob("*.jsonl")
    journal.unlink()
    book._engine = engine
    book.write(AgentReady(T + 1, "1002"))
    await until(lambda: book.waiting == 0)
    await book.close()
    assert await all_of(engine) == [AgentReady(T + 1, "1002")]
    await away.dispose()


def test_writing_takes_no_time(tmp_path: Path) -> None:
    """No loop, no database: `write` only takes the fact."""
    engine = database.engine("sqlite+aiosqlite://")
    book = Diary(engine, tmp_path)
    for fact in a_call(1, T):
        book.write(fact)
    assert book.waiting == 8
