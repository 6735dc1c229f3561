"""A database that was restarted: whoever asks first notices nothing."""

import asyncio
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database, migrations
from base.bus import Bus
from base.settings import load
from tests.postgres import PostgresServer
from web.accounts import accounts
from web.app import create_app


async def _several_connections(engine: AsyncEngine) -> None:
    async def ask() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            await asyncio.sleep(0.1)

    await asyncio.gather(*(ask() for _ in range(4)))


@pytest.mark.live
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_the_first_request_after_a_restart_of_postgresql_is_answered(
    postgres_server: PostgresServer, postgresql_url: str, tmp_path: Path, redis_url: str, mode: str
) -> None:
    settings = load(home=tmp_path, database_url=postgresql_url, redis_url=redis_url)
    engine = database.engine(settings.database)
    await migrations.upgrade(engine)
    token = await accounts.add_token(engine, "crm", "guest", ["live"], "x", clock.now())
    await _several_connections(engine)
    bus = Bus(settings.redis, settings.node)
    try:
        await asyncio.to_thread(postgres_server.stop, mode)
    finally:
        await asyncio.to_thread(postgres_server.start)
    transport = httpx.ASGITransport(create_app(settings, engine, bus))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        headers = {"Authorization": f"Bearer {token}"}
        for _ in range(5):
            assert (await client.get("/api/session", headers=headers)).status_code == 200
    await bus.close()
    await engine.dispose()


def test_sqlite_is_not_asked_beforehand(sqlite_url: str) -> None:
    """A file cannot be restarted, and each question more is a way through another thread."""
    assert database.engine(sqlite_url).pool._pre_ping is False
