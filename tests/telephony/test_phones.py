"""The file from which Asterisk reads the agents' phones."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from agents import roster
from agents.model import Intent
from agents.signin import md5_cred
from base import clock, database
from base.background import spawn
from base.settings import Settings, load
from telephony import phones
from telephony.phones import PhoneMirror

PASSWORD = "softphone-secret"


def read(settings: Settings, view: str, column: str) -> list[str]:
    with closing(sqlite3.connect(phones.file_of(settings))) as file:
        return [row[0] for row in file.execute(f"SELECT {column} FROM {view} ORDER BY 1")]  # noqa: S608


@pytest.fixture
def settings(tmp_path: Path, engine: AsyncEngine) -> Settings:
    url = "" if engine.dialect.name == "sqlite" else "postgresql+asyncpg://u@h/d"
    return load(home=tmp_path, database_url=url)


async def test_the_file_follows_the_roster(engine: AsyncEngine, settings: Settings) -> None:
    mirror = PhoneMirror(engine, settings)
    for number in ("1001", "1002"):
        await roster.add(engine, number, "name", PASSWORD, clock.now())
    assert await mirror.look()
    assert read(settings, "ps_endpoints", "id") == ["1001", "1002"]
    assert read(settings, "transfer_targets", "exten") == ["1001", "1002"]
    assert read(settings, "queue_members", "membername") == []
    await roster.set_intent(engine, "1001", Intent.READY, "", clock.now())
    await roster.set_password(engine, "1001", "another-secret")
    await roster.remove(engine, "1002")
    assert await mirror.look()
    assert read(settings, "ps_aors", "id") == ["1001"]
    assert read(settings, "ps_auths", "md5_cred") == [md5_cred("1001", "another-secret")]
    assert read(settings, "queue_members", "membername") == ["1001"]


async def test_a_change_that_nobody_told_is_found(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phones, "LOOK_EVERY", 0.02)
    mirror = PhoneMirror(engine, settings)
    await mirror.look()
    running = spawn(mirror.run(), "phones")
    await roster.add(engine, "1001", "name", PASSWORD, clock.now())
    async with asyncio.timeout(20):
        while read(settings, "ps_aors", "id") != ["1001"]:
            await asyncio.sleep(0.02)
    running.cancel()


async def test_without_a_database_the_file_stays(tmp_path: Path) -> None:
    settings = load(home=tmp_path, database_url="postgresql+asyncpg://u@/none?host=/nowhere")
    phones._write(phones.file_of(settings), [("1001", md5_cred("1001", PASSWORD), "ready")])
    away = database.engine(settings.database)
    with capture_logs() as logs:
        assert not await PhoneMirror(away, settings).look()
    assert [line["event"] for line in logs] == ["phones.as_before"]
    assert read(settings, "ps_aors", "id") == ["1001"]
    await away.dispose()


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    phones._write(tmp_path / "phones.db", [])
    assert {file.stat().st_mode & 0o077 for file in tmp_path.glob("phones.db*")} == {0}
