"""Webhooks against a real HTTP server that fails, comes back, and checks signatures."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from base import clock
from base.retry import Schedule
from diary.writer import Diary
from facts import AgentReady, CallArrived
from tests.web.conftest import Web
from web.accounts.rights import Role
from web.webhooks import sender, tables
from web.webhooks.sender import Sender


@dataclass
class Receiver:
    """Somebody else's HTTP server: takes everything, or says `status`."""

    url: str = ""
    status: int = 200
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    tried: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            assert line.startswith(b"POST /hook ")
            headers: dict[str, str] = {}
            while (line := await reader.readline()) != b"\r\n":
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            content = await reader.readexactly(int(headers["content-length"]))
            self.tried += 1
            if self.status == 200:
                self.taken.append((headers, content))
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.status)
            await writer.drain()
        writer.close()

    def facts(self) -> list[dict[str, Any]]:
        return [orjson.loads(content)["data"] for _, content in self.taken]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield made
    server.close()


@pytest.fixture
async def diary(web: Web) -> AsyncIterator[Diary]:
    made = Diary(web.engine, web.settings.run_dir)
    made.start()
    yield made
    await made.close()


async def _until(true: Any) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.02)


def _call(n: int = 1) -> CallArrived:
    return CallArrived(clock.now(), f"n-1.{n}", "12345", "13812345678")


async def test_a_fact_arrives_signed_and_masked(web: Web, diary: Diary, receiver: Receiver) -> None:
    admin = web.clients[Role.ADMINISTRATOR]
    made = await admin.post("/api/webhooks", json={"url": receiver.url, "kinds": ["CallArrived"]})
    assert made.status_code == 201
    secret = made.json()["secret"]
    diary.write(AgentReady(clock.now(), "1001"))
    diary.write(_call())
    await _until(lambda: receiver.taken)
    headers, content = receiver.taken[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert orjson.loads(content)["type"] == "CallArrived"
    assert receiver.facts()[0]["caller"] == "138****5678"
    assert len(receiver.taken) == 1
    shown = (await admin.get("/api/webhooks")).json()
    assert secret not in str(shown)


async def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks libraries."""
    assert (
        sender.sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


async def test_whole_numbers_only_where_somebody_said_so(
    web: Web, diary: Diary, receiver: Receiver
) -> None:
    admin = web.clients[Role.ADMINISTRATOR]
    await admin.post("/api/webhooks", json={"url": receiver.url, "whole": True})
    diary.write(_call())
    await _until(lambda: receiver.taken)
    assert receiver.facts()[0]["caller"] == "13812345678"


async def test_what_is_not_taken_is_tried_again_also_by_the_next_process(
    web: Web, diary: Diary, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "RETRY", Schedule(0.2, 0.2, attempts=7))
    receiver.status = 503
    await web.clients[Role.ADMINISTRATOR].post("/api/webhooks", json={"url": receiver.url})
    for n in range(20):
        diary.write(_call(n))
    await _until(lambda: receiver.tried > 3)
    assert receiver.taken == []
    receiver.status = 200
    # Another process that looks at the same tables, beside the first or after it.
    other = Sender(web.engine, web.backend.seal, ["127.0.0.1"])
    await _until_swept(other, lambda: len(receiver.taken) >= 20)
    numbers = {headers["webhook-id"] for headers, _ in receiver.taken}
    assert len(numbers) == 20
    assert {fact["call"] for fact in receiver.facts()} == {f"n-1.{n}" for n in range(20)}


async def _until_swept(other: Sender, true: Any) -> None:
    async with asyncio.timeout(15):
        while not true():
            await other.sweep()
            await other.settle()
            await asyncio.sleep(0.05)


async def test_however_far_back_a_look_reaches_nothing_is_sent_twice(
    web: Web, diary: Diary, receiver: Receiver
) -> None:
    hook, _ = await sender.add(
        web.engine, web.backend.seal, receiver.url, [], whole=False, by="x", at=clock.now()
    )
    diary.write(_call(1))
    await _until(lambda: receiver.taken)
    hour = 3_600_000_000
    async with web.engine.begin() as connection:
        await connection.execute(
            update(tables.webhook)
            .where(tables.webhook.c.id == hook)
            .values(added_at=clock.now() - 2 * hour, after=(clock.now() - hour) << 10)
        )
    other = Sender(web.engine, web.backend.seal, ["127.0.0.1"])
    await other.sweep()
    await other.settle()
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1


async def test_what_nobody_takes_is_dead_and_can_be_tried_again(
    web: Web, diary: Diary, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "RETRY", Schedule(0.05, 0.05, attempts=2))
    admin = web.clients[Role.ADMINISTRATOR]
    receiver.status = 500
    hook = (await admin.post("/api/webhooks", json={"url": receiver.url})).json()["id"]
    diary.write(_call())
    async with asyncio.timeout(10):
        while not (dead := (await admin.get(f"/api/webhooks/{hook}/deliveries")).json()):
            await asyncio.sleep(0.1)
    assert dead[0]["error"] == "HTTP 500"
    assert (await admin.get("/api/webhooks")).json()[0]["dead"] == 1
    receiver.status = 200
    assert (await admin.post(f"/api/webhooks/{hook}/retry")).json()["said"].startswith("1 ")
    await _until(lambda: receiver.taken)
    assert (await admin.delete(f"/api/webhooks/{hook}")).status_code == 204
    assert (await admin.get(f"/api/webhooks/{hook}/deliveries")).json() == []


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http://", "no address", "http://a b/", "http://[::1/"]
)
async def test_what_is_no_address_is_refused(web: Web, url: str) -> None:
    answer = await web.clients[Role.ADMINISTRATOR].post("/api/webhooks", json={"url": url})
    assert answer.status_code == 422
    assert "https://" in answer.json()["error"]
