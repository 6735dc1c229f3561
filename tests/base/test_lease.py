"""One controller a database, whatever died before, and whatever the clocks say."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from base import database
from base import lease as module
from base.background import spawn
from base.lease import Lease, alone
from base.migrations import DatabaseError
from base.settings import Settings, load
from base.tables import lease


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.1)
    monkeypatch.setattr(module, "WATCH", 1.0)
    monkeypatch.setattr(module, "POLL", 0.05)


def at(folder: Path, name: str, **settings: Any) -> Settings:
    home = folder / name
    home.mkdir(exist_ok=True)
    return load(home=home, **settings)


def beating(one: Lease) -> tuple[asyncio.Event, asyncio.Task[None]]:
    gone = asyncio.Event()
    return gone, spawn(one.run(gone.set), "lease")


async def test_a_second_home_is_refused_while_the_first_works(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    first = Lease(engine, at(tmp_path, "a"))
    await first.take()
    gone, task = beating(first)
    for node in ("hotline", "other"):
        with pytest.raises(
            DatabaseError, match=r"正在使用这个数据库.*another Hotline \(node hotline\)"
        ):
            await Lease(engine, at(tmp_path, "b", node=node)).take()
    assert not gone.is_set()
    task.cancel()


async def test_a_start_after_a_kill_in_the_same_home_waits_for_nothing(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH", 3600)
    await Lease(engine, at(tmp_path, "a")).take()
    async with asyncio.timeout(20):
        await Lease(engine, at(tmp_path, "a")).take()


async def test_another_home_takes_over_from_one_that_died(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await Lease(engine, at(tmp_path, "a")).take()
    second = Lease(engine, at(tmp_path, "b"))
    await second.take()
    assert await second._beat()


async def test_another_home_takes_over_at_once_from_one_that_stopped(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH", 3600)
    first = Lease(engine, at(tmp_path, "a"))
    await first.take()
    await first.release()
    async with asyncio.timeout(20):
        await Lease(engine, at(tmp_path, "b")).take()


async def test_of_two_who_start_at_once_one_is_refused(engine: AsyncEngine, tmp_path: Path) -> None:
    took = await asyncio.gather(
        *(Lease(engine, at(tmp_path, name)).take() for name in "ab"), return_exceptions=True
    )
    assert len([one for one in took if isinstance(one, DatabaseError)]) <= 1
    assert None in took


async def test_a_controller_that_stood_still_learns_that_it_was_replaced(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    first = Lease(engine, at(tmp_path, "a"))
    await first.take()
    await Lease(engine, at(tmp_path, "b")).take()
    gone, _ = beating(first)
    async with asyncio.timeout(20):
        await gone.wait()
    assert first.lost


async def test_a_row_that_a_restored_backup_lacks_is_written_again(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    first = Lease(engine, at(tmp_path, "a"))
    await first.take()
    async with engine.begin() as connection:
        await connection.execute(delete(lease))
    assert await first._beat()
    assert (await first._row()) is not None


async def test_an_absent_database_ends_nobody(tmp_path: Path) -> None:
    away = database.engine("postgresql+asyncpg://hotline@/none?host=/nowhere")
    gone, task = beating(Lease(away, at(tmp_path, "a")))
    await asyncio.sleep(0.5)
    assert not gone.is_set()
    assert not task.done()
    task.cancel()
    await away.dispose()


def test_one_controller_a_home(tmp_path: Path) -> None:
    settings = at(tmp_path, "a")
    with alone(settings), pytest.raises(DatabaseError, match="is running already"), alone(settings):
        pass
    with alone(settings):
        pass
