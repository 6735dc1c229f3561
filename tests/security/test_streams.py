"""Rights and masks of an open stream change with the account: nothing unmasked leaves later."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import update

from base import clock, database
from base.background import spawn
from base.database import DatabaseAwayError
from tests.web.conftest import PASSWORD, Web, state
from web import recheck
from web.accounts import accounts, tables
from web.accounts.rights import Role
from web.feed import Feed

NUMBER = "13812345678"
LIVE, FACTS = "/api/live/stream", "/api/facts/stream"


class Open:
    """A stream that somebody reads: all that came, and whether it has ended."""

    def __init__(self, client: httpx.AsyncClient, path: str, **headers: str) -> None:
        self.text = ""
        self.ended = asyncio.Event()
        self._client, self._path, self._headers = client, path, headers
        self._opened = asyncio.Event()

    async def __aenter__(self) -> "Open":
        self._reading = spawn(self._read(), "reader")
        async with asyncio.timeout(10):
            await self._opened.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        async with self._client.stream("GET", self._path, headers=self._headers) as answer:
            async for text in answer.aiter_text():
                self.text += text
                self._opened.set()
        self.ended.set()

    async def over(self, within: float = 20) -> None:
        async with asyncio.timeout(within):
            await self.ended.wait()

    async def has(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.text.count(text) < times:
                await asyncio.sleep(0.01)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [
            orjson.loads(block.partition("data: ")[2])
            for block in self.text.split("\n\n")
            if block.startswith(f"event: {name}\n") and "data: " in block
        ]


def _fact(web: Web, n: int = 1) -> None:
    web.backend.feed.send([{"kind": "CallArrived", "caller": NUMBER, "call": f"n-1.{n}", "at": n}])


@pytest.fixture
async def token(web: Web) -> str:
    scopes = ["facts.read", "live"]
    return await accounts.add_token(web.engine, "crm", "supervisor", scopes, "x", clock.now())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/accounts/supervisor", {"role": "guest"}),
        ("PATCH", "/api/accounts/supervisor", {"role": "agent"}),
        ("PATCH", "/api/accounts/supervisor", {"password": "another password"}),
        ("DELETE", "/api/accounts/supervisor", None),
    ],
)
async def test_when_the_answer_leaves_no_stream_shows_more_than_it_may(
    web: Web, method: str, path: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recheck, "EVERY", 60.0)  # not by waiting
    web.backend.feed.show(state())
    client = await web.sign_in("supervisor")
    async with Open(client, LIVE) as live, Open(client, FACTS) as facts:
        _fact(web)
        await facts.has(NUMBER)
        await live.has("王芳")
        done = await web.clients[Role.ADMINISTRATOR].request(method, path, json=body)
        assert done.status_code == 204
        facts.text, named = "", live.text.count("王芳")
        _fact(web, 2)
        web.backend.feed.show(state(agents=[{"number": "1001", "name": "王芳", "presence": "out"}]))
        await asyncio.sleep(0.3)
        assert NUMBER not in facts.text
        assert live.text.count("王芳") == named
        if body == {"role": "guest"}:
            await facts.has("138****5678")
            shown = [one["state"]["agents"][0]["name"] for one in live.events("snapshot")]
            assert shown == ["王芳", "王*"]
        else:
            await facts.over()


async def test_whoever_signs_out_gets_no_more(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recheck, "EVERY", 60.0)
    web.backend.feed.show(state())
    client = await web.sign_in("supervisor")
    async with Open(client, LIVE) as live, Open(client, FACTS) as facts:
        await client.delete("/api/session")
        for stream in (live, facts):
            await stream.over()


async def test_a_revoked_token_gets_no_more(web: Web, token: str) -> None:
    async with Open(web.nobody, FACTS, Authorization=f"Bearer {token}") as facts:
        await web.clients[Role.ADMINISTRATOR].delete("/api/tokens/crm")
        await facts.over(0.9)


async def test_a_new_password_ends_the_streams_of_other_sessions(web: Web) -> None:
    here, elsewhere = await web.sign_in("auditor"), await web.sign_in("auditor")
    async with Open(here, FACTS) as mine, Open(elsewhere, FACTS) as theirs:
        new = {"old": PASSWORD, "new": "another password"}
        assert (await here.put("/api/session/password", json=new)).status_code == 204
        await theirs.over()
        assert not mine.ended.is_set()


async def test_a_change_by_the_command_line_holds_within_a_second_or_so(
    web: Web, token: str
) -> None:
    """Another process writes into the database: nobody tells this one."""
    web.backend.feed.show(state())
    client = await web.sign_in("supervisor")
    other = database.engine(web.settings.database)
    async with (
        Open(client, LIVE) as live,
        Open(client, FACTS) as facts,
        Open(web.nobody, FACTS, Authorization=f"Bearer {token}") as program,
    ):
        await accounts.set_role(other, "supervisor", "guest")
        await accounts.revoke_token(other, "crm")
        await asyncio.sleep(recheck.EVERY + 0.5)
        live.text = facts.text = ""
        _fact(web)
        web.backend.feed.show(state(agents=[{"number": "1001", "name": "王芳", "presence": "out"}]))
        await facts.has("138****5678")
        assert NUMBER not in facts.text
        assert "王芳" not in live.text
        assert program.ended.is_set()
        # And back again.
        await accounts.set_role(other, "supervisor", "supervisor")
        await live.has("王芳")
    await other.dispose()


async def test_a_session_that_has_run_out_ends_its_stream(web: Web) -> None:
    client = await web.sign_in("guest")
    async with Open(client, FACTS) as facts:
        old = clock.now() - accounts.IDLE - 1
        async with web.engine.begin() as connection:
            await connection.execute(update(tables.session).values(seen_at=old))
        await facts.over()


async def test_a_stream_keeps_its_session_awake(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recheck, "STAY_EVERY", 0.0)
    client = await web.sign_in("guest")
    async with Open(client, FACTS):
        some = clock.now() - accounts.IDLE // 2
        async with web.engine.begin() as connection:
            await connection.execute(update(tables.session).values(seen_at=some))
        async with asyncio.timeout(20):
            while True:
                async with web.engine.connect() as connection:
                    seen = (await connection.execute(tables.session.select())).all()
                if sum(row.seen_at > some for row in seen) == 1:
                    return
                await asyncio.sleep(0.05)


async def test_what_waits_in_a_queue_is_masked_when_it_leaves(web: Web) -> None:
    """A slow listener is demoted while unmasked facts wait for it."""
    bus: Any = None
    feed = Feed(bus)
    listener = feed.listen(who := await _supervisor(web), frozenset(), "facts.read")
    for n in range(5):
        feed.send([{"kind": "CallArrived", "caller": NUMBER, "call": f"n-1.{n}"}])
    await accounts.set_role(web.engine, "supervisor", "guest")
    found = await accounts.by_keys(web.engine, [who.key], clock.now())
    listener.seen_as(found[who.key])
    text = (await listener.next()).decode()
    assert text.count("138****5678") == 5
    assert NUMBER not in text


async def test_without_the_database_nothing_unmasked_leaves_for_long(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise DatabaseAwayError(None, None, OSError("away"))

    monkeypatch.setattr(recheck, "EVERY", 0.05)
    monkeypatch.setattr(recheck, "SURE_FOR", 0.2)
    client = await web.sign_in("supervisor")
    async with Open(client, FACTS) as facts:
        real = accounts.by_keys
        monkeypatch.setattr(accounts, "by_keys", away)
        (stream,) = web.backend.feed.streams()
        async with asyncio.timeout(20):
            while not stream.masked:
                await asyncio.sleep(0.02)
        _fact(web)
        await facts.has("138****5678")
        assert NUMBER not in facts.text
        monkeypatch.setattr(accounts, "by_keys", real)
        async with asyncio.timeout(20):
            while stream.masked:
                await asyncio.sleep(0.02)
        _fact(web, 2)
        await facts.has(NUMBER)


async def test_an_old_look_never_overtakes_a_newer_one(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that began before the change ends after it."""
    real = accounts.by_keys
    slow = asyncio.Event()

    async def first_one_slow(*args: Any) -> Any:
        found = await real(*args)
        monkeypatch.setattr(accounts, "by_keys", real)
        slow.set()
        await asyncio.sleep(0.3)
        return found

    monkeypatch.setattr(recheck, "EVERY", 0.05)
    client = await web.sign_in("supervisor")
    async with Open(client, FACTS) as facts:
        monkeypatch.setattr(accounts, "by_keys", first_one_slow)
        await slow.wait()
        monkeypatch.setattr(recheck, "EVERY", 60.0)
        role = {"role": "guest"}
        await web.clients[Role.ADMINISTRATOR].patch("/api/accounts/supervisor", json=role)
        _fact(web)
        await facts.has("138****5678")
        assert NUMBER not in facts.text


async def test_all_streams_are_looked_at_with_one_question(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = accounts.by_keys

    async def counted(engine: Any, keys: Any, now: int) -> Any:
        asked.append(len(keys))
        return await real(engine, keys, now)

    monkeypatch.setattr(recheck, "EVERY", 60.0)
    client = web.clients[Role.SUPERVISOR]
    async with Open(client, FACTS), Open(client, LIVE), Open(web.clients[Role.GUEST], LIVE):
        monkeypatch.setattr(accounts, "by_keys", counted)
        await client.post("/api/agents/1001/ready")
    assert set(asked) == {2}, "each time about both accounts"


async def _supervisor(web: Web) -> accounts.Who:
    cookie = await accounts.begin(web.engine, "supervisor", clock.now())
    who = await accounts.by_cookie(web.engine, cookie, clock.now())
    assert who is not None
    return who
