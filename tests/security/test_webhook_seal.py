"""A copy of the database, or of a log, tells nobody where facts are sent nor how they are signed."""

import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base import clock, database, migrations
from base.log import configure
from base.settings import SettingsError
from diary.writer import Diary
from facts import CallArrived
from tests.base.test_log import _own_logging
from tests.security.test_webhooks import Receiver, accept, receiving
from web.webhooks import sender, tables
from web.webhooks.seal import Seal, SealError
from web.webhooks.sender import Sender

__all__ = ["_own_logging"]

URL = "https://hooks.example/T0KEN-secret"
LOOPBACK = ["127.0.0.1"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncEngine:
    made = database.engine(f"sqlite+aiosqlite:///{tmp_path / 'hotline.db'}")
    await migrations.upgrade(made)
    return made


def _row(**more: object) -> dict[str, object]:
    """A webhook as an earlier version kept it."""
    now = clock.now()
    row = {"url": URL, "kinds": [], "secret": SECRET, "whole": False, "added_by": "x"}
    return {**row, "added_at": now, "after": now << 10, **more}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving(accept) as made:
        yield made


async def _call_arrives(engine: AsyncEngine, tmp_path: Path) -> None:
    """One fact is in the diary, for every webhook."""
    diary = Diary(engine, tmp_path)
    diary.start()
    diary.write(CallArrived(clock.now(), "n-1.1", "12345", "13812345678"))
    await diary.close()


async def _file(engine: AsyncEngine, tmp_path: Path) -> bytes:
    """All of the database, without what SQLite keeps beside it."""
    async with engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    await engine.dispose()
    return (tmp_path / "hotline.db").read_bytes()


async def test_a_new_webhook_is_not_readable_in_the_database(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    seal = Seal.of(tmp_path / "secrets")
    _, secret = await sender.add(engine, seal, URL, [], whole=False, by="x", at=clock.now())
    content = await _file(engine, tmp_path)
    assert b"hooks.example" not in content
    assert secret.encode() not in content


async def test_one_of_an_earlier_version_is_sent_to_and_becomes_unreadable(
    engine: AsyncEngine, tmp_path: Path, receiver: Receiver
) -> None:
    url = receiver.url + "/T0KEN-secret"
    async with engine.begin() as connection:
        await connection.execute(insert(tables.webhook).values(_row(url=url)))
    await _call_arrives(engine, tmp_path)
    seal = Seal.of(tmp_path / "secrets")
    await _sent(Sender(engine, seal, LOOPBACK))
    (head,), (content,) = receiver.heads, receiver.bodies
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /hook/T0KEN-secret HTTP/1.1"
    given = dict(line.split(": ", 1) for line in lines if line)
    signed = sender.sign(SECRET, given["webhook-id"], int(given["webhook-timestamp"]), content)
    assert given["webhook-signature"] == signed
    async with engine.connect() as connection:
        row = (await connection.execute(select(tables.webhook))).one()
    assert (row.url, row.secret) == ("", "")
    assert seal.read(row) == (url, SECRET)
    kept = await _file(engine, tmp_path)
    assert b"T0KEN" not in kept
    assert SECRET.encode() not in kept


async def test_without_its_key_a_webhook_waits_and_the_others_go_on(
    engine: AsyncEngine, tmp_path: Path, receiver: Receiver
) -> None:
    old, seal = Seal.of(tmp_path / "old"), Seal.of(tmp_path / "secrets")
    for one in (old, seal):
        await sender.add(engine, one, receiver.url, [], whole=False, by="x", at=clock.now())
    await _call_arrives(engine, tmp_path)
    sending = Sender(engine, seal, LOOPBACK)
    with capture_logs() as logs:
        await _sent(sending)
        await _sent(sending)
    assert len(receiver.heads) == 1
    assert [line["event"] for line in logs] == ["webhook.unreadable"]
    async with engine.connect() as connection:
        rows = (await connection.execute(select(tables.webhook_delivery))).all()
    assert {(row.webhook, row.state) for row in rows} == {(1, "due"), (2, "sent")}
    await engine.dispose()


def test_the_key_is_private_kept_and_each_centres_own(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    closed = Seal.of(one).close(URL, SECRET)
    assert stat.S_IMODE((one / "webhooks").stat().st_mode) == 0o600
    assert Seal.of(one).open(closed) == (URL, SECRET)
    with pytest.raises(SealError):
        Seal.of(other).open(closed)
    with pytest.raises(SealError):
        Seal.of(one).open("x" + closed)
    (one / "webhooks").write_text("no key")
    with pytest.raises(SettingsError, match="restore it"):
        Seal.of(one)


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_no_log_holds_the_address_of_a_request(tmp_path: Path, level: str) -> None:
    file = tmp_path / "web.log"
    configure(level, file)
    logging.getLogger("httpcore.http11").debug("send_request_headers.started %s", URL)
    async with httpx.AsyncClient(transport=httpx.MockTransport(_accept)) as client:
        await client.post(URL, content=b"x")
    assert "T0KEN" not in file.read_text()


def _accept(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


async def _sent(sending: Sender) -> None:
    await sending.sweep()
    await sending.settle()
