"""Half requests: on the web's port and on that of the figures they are cut off, and whoever asks properly is served."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from metrics import exporter
from metrics.exporter import Exporter
from tests.web.conftest import Web
from web import server
from web.accounts.rights import Role

HALF = {
    "nothing": b"",
    "a line": b"GET / HTTP/1.1\r\n",
    "headers": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: b",
    "a body": b"POST /api/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
    "chunks": b"POST /api/session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "a second request": b"GET /sign-in HTTP/1.1\r\nHost: x\r\n\r\nGET /sign",
}
parts = pytest.mark.parametrize("part", HALF.values(), ids=HALF)


async def _until_closed(reader: asyncio.StreamReader, within: float) -> tuple[float, bytes]:
    began = time.monotonic()
    async with asyncio.timeout(within):
        try:
            got = await reader.read(-1)
        except ConnectionError:
            got = b""
    return time.monotonic() - began, got


@parts
async def test_a_half_request_is_cut_off(
    web: Web, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_WITHIN", 0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(web.url.rpartition(":")[2]))
    writer.write(part)
    took, _ = await _until_closed(reader, 20)
    assert took > 0.3
    writer.close()


async def test_dripping_gives_no_more_time(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_WITHIN", 0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(web.url.rpartition(":")[2]))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")

    async def drip() -> None:
        try:
            while True:
                writer.write(b"X-A: b\r\n")
                await writer.drain()
                await asyncio.sleep(0.1)
        except ConnectionError:
            pass

    async with asyncio.timeout(20):
        closed, _ = await asyncio.gather(_until_closed(reader, 20), drip())
    assert b" 408 " in closed[1] or closed[1] == b""
    writer.close()


async def test_streams_and_second_requests_are_not_cut_off(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_WITHIN", 0.3)
    client = web.clients[Role.GUEST]
    async with client.stream("GET", "/api/facts/stream") as answer:
        texts = answer.aiter_text()
        await anext(texts)
        await asyncio.sleep(1)
        for _ in range(3):
            assert (await client.get("/api/session")).status_code == 200
            await asyncio.sleep(0.2)
        await anext(texts)


async def test_among_too_many_the_oldest_go_and_people_get_through(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_WAITING", 30)
    port = int(web.url.rpartition(":")[2])
    half = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
    for _, writer in half:
        writer.write(b"GET / HT")
    async with httpx.AsyncClient(base_url=web.url) as client:
        assert (await client.get("/sign-in")).status_code == 200
    closed = 0
    async with asyncio.timeout(20):
        while closed < 30:
            closed = sum([await _is_closed(reader) for reader, _ in half])
    for _, writer in half:
        writer.close()


async def _is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.05):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


# --- the figures


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(exporter, "REQUEST_WITHIN", 0.6)
    made: Any = Exporter("1")
    port = made.serve("127.0.0.1", 0)
    yield port
    made.close()


@pytest.mark.parametrize("part", [HALF["nothing"], HALF["a line"], HALF["headers"]])
async def test_a_half_request_for_figures_is_cut_off(figures: int, part: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", figures)
    writer.write(part)
    await _until_closed(reader, 20)
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{figures}/metrics")).status_code == 200
    writer.close()


async def test_figures_are_served_beside_many_half_requests(
    figures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "MOST_CONNECTIONS", 10)
    half = [await asyncio.open_connection("127.0.0.1", figures) for _ in range(40)]
    await asyncio.sleep(0.3)
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{figures}/metrics")).status_code == 200
    for _, writer in half:
        with closing(writer):
            pass
