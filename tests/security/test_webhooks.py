"""Receivers that hang, drip, flood or point inwards: others get their facts, memory and errors stay small."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from diary.writer import Diary
from facts import CallArrived
from tests.web.conftest import Web
from web.accounts.rights import Role
from web.webhooks import outside, sender, tables
from web.webhooks.sender import Sender

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


class Receiver:
    """Answers each connection's request with `answer`."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                length = head.lower().partition(b"content-length: ")[2].split(b"\r")[0]
                self.bodies.append(await reader.readexactly(int(length)))
                await self.answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(answer: Answer) -> AsyncIterator[Receiver]:
    made = Receiver(answer)
    server = await asyncio.start_server(made, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield made
    server.close()


async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD % 0)
    await writer.drain()


async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Each read gets something in time; the answer never ends."""
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_a_body(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD % 1000)
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD % (400 << 20))
    for _ in range(400):
        writer.write(bytes(1 << 20))
        await writer.drain()


async def banner(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.9 secret-of-the-house\r\n")
    await writer.drain()
    writer.close()


async def redirect(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.fixture
async def diary(web: Web) -> AsyncIterator[Diary]:
    made = Diary(web.engine, web.settings.run_dir)
    made.start()
    yield made
    await made.close()


def _call(n: int = 1) -> CallArrived:
    return CallArrived(clock.now(), f"n-1.{n}", "12345", "13812345678")


async def _add(web: Web, url: str) -> int:
    answer = await web.clients[Role.ADMINISTRATOR].post("/api/webhooks", json={"url": url})
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["id"]
    return number


async def _until(true: Any, within: float = 10) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.02)


async def _errors(engine: AsyncEngine, hook: int) -> set[str]:
    delivery = tables.webhook_delivery.c
    async with engine.connect() as connection:
        found = await connection.execute(select(delivery.error).where(delivery.webhook == hook))
        return set(found.scalars()) - {""}


async def _error(engine: AsyncEngine, hook: int) -> str:
    async with asyncio.timeout(10):
        while not (found := await _errors(engine, hook)):
            await asyncio.sleep(0.02)
    return found.pop()


@pytest.mark.parametrize("bad", [hang, drip, drip_a_body], ids=lambda one: one.__name__)
async def test_one_that_takes_its_time_holds_up_nobody_else(
    web: Web, diary: Diary, bad: Answer
) -> None:
    """With the real deadline: facts reach the good receiver long before it."""
    async with receiving(bad) as slow, receiving(accept) as good:
        await _add(web, slow.url)
        await _add(web, good.url)
        for n in range(30):
            diary.write(_call(n))
        await _until(lambda: slow.heads)
        for n in range(30, 60):
            diary.write(_call(n))
        await _until(lambda: len(good.heads) == 60, within=sender.ANSWER_WITHIN * 0.7)


@pytest.mark.parametrize("bad", [hang, drip], ids=lambda one: one.__name__)
async def test_the_deadline_is_for_the_whole_delivery(
    web: Web, diary: Diary, bad: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "ANSWER_WITHIN", 0.4)
    async with receiving(bad) as slow:
        hook = await _add(web, slow.url)
        diary.write(_call())
        assert await _error(web.engine, hook) == "no answer in time"


async def test_a_flood_is_not_read(web: Web, diary: Diary) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with receiving(flood) as one, receiving(accept) as good:
        await _add(web, one.url)
        await _add(web, good.url)
        diary.write(_call())
        await _until(lambda: good.heads and one.heads)
        await asyncio.sleep(1)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
        async with web.engine.connect() as connection:
            states = (await connection.execute(select(tables.webhook_delivery.c.state))).scalars()
            assert set(states) == {"sent"}


async def test_an_error_has_no_word_of_the_answer(web: Web, diary: Diary) -> None:
    async with receiving(banner) as door:
        hook = await _add(web, door.url)
        diary.write(_call())
        error = await _error(web.engine, hook)
        assert error == "RemoteProtocolError: no HTTP answer"
        dead = await web.clients[Role.ADMINISTRATOR].get(
            f"/api/webhooks/{hook}/deliveries?state=due"
        )
        assert "SSH" not in dead.text


async def test_a_redirect_is_not_followed(web: Web, diary: Diary) -> None:
    async with receiving(redirect) as door:
        hook = await _add(web, door.url)
        diary.write(_call())
        assert await _error(web.engine, hook) == "HTTP 302"
        assert all(head.startswith(b"POST /hook ") for head in door.heads)


# --- inwards


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:8080/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[2002:a00:1::]/",
        "http://[fe80::1]/",
        "http://0.0.0.0/",
        "http://100.64.0.1/",
        "http://2130706433.example.invalid@192.168.1.1/",
        "http://0xa000001/",
        "http://167772161/",
    ],
)
async def test_an_internal_address_is_refused(web: Web, url: str) -> None:
    answer = await web.clients[Role.ADMINISTRATOR].post("/api/webhooks", json={"url": url})
    assert answer.status_code == 422
    assert "HOTLINE_WEBHOOK_INTERNAL" in answer.json()["error"]


async def test_a_name_that_leads_inwards_later_is_refused_then(
    web: Web, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the address that was checked is the one that is connected to."""
    real = outside.look_up

    async def first_public(host: str, port: int) -> list[str]:
        if host != "rebind.example":
            return await real(host, port)
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    asked: list[str] = []
    monkeypatch.setattr(outside, "look_up", first_public)
    web.backend.sender.allowed = ()
    async with receiving(accept) as inner:
        hook = await _add(web, inner.url.replace("127.0.0.1", "rebind.example"))
        diary.write(_call())
        assert "HOTLINE_WEBHOOK_INTERNAL" in await _error(web.engine, hook)
        assert inner.heads == []


async def test_the_receivers_name_is_sent_though_the_address_is_dialled(
    web: Web, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def local(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(outside, "look_up", local)
    async with receiving(accept) as good:
        await _add(web, good.url.replace("127.0.0.1", "crm.example"))
        diary.write(_call())
        await _until(lambda: good.heads)
        port = good.url.rpartition(":")[2].partition("/")[0]
        assert f"host: crm.example:{port}".encode() in good.heads[0].lower()


async def test_a_webhook_of_an_earlier_version_goes_on(web: Web, diary: Diary) -> None:
    async with receiving(accept) as good:
        hook = await _add(web, good.url)
        async with web.engine.begin() as connection:
            stored = tables.webhook.c.id == hook
            await connection.execute(update(tables.webhook).where(stored).values(internal=True))
        web.backend.sender.allowed = ()
        diary.write(_call())
        await _until(lambda: good.heads)


def test_public_addresses_are_not_internal() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1::1", "114.114.114.114"):
        assert not outside.internal(address)


async def test_one_sweep_starts_no_second_worker(web: Web, diary: Diary) -> None:
    async with receiving(hang) as slow:
        await _add(web, slow.url)
        diary.write(_call())
        await _until(lambda: slow.heads)
        for _ in range(5):
            await web.backend.sender.sweep()
        assert len(slow.heads) == 1
        assert isinstance(web.backend.sender, Sender)
