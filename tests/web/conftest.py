"""The real web process in the test's loop, with a real Redis and SQLite; somebody answers for the controller."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import argon2
import httpx
import pytest
import uvicorn
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from agents import roster
from base import clock, database, migrations
from base.background import spawn
from base.bus import Bus, Refused
from base.settings import Settings, load
from facts.live import Json
from facts.requests import Reply, Request, words_of
from web import backend
from web.accounts import accounts, tables
from web.accounts.rights import Role
from web.api.auth import COOKIE
from web.app import create_app
from web.backend import Backend
from web.server import config

PASSWORD = "correct horse battery"
_nodes = count()


@dataclass
class Web:
    """A running web process. `clients`: one for each role, signed in; `controller`: the other end of the bus."""

    url: str
    settings: Settings
    engine: AsyncEngine
    controller: Bus
    backend: Backend
    asked: list[tuple[str, dict[str, Json]]] = field(default_factory=list)
    silent: bool = False
    refusal: Refused | None = None
    clients: dict[Role, httpx.AsyncClient] = field(default_factory=dict)
    nobody: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    opened: list[httpx.AsyncClient] = field(default_factory=list)

    async def answer(self, asked: Request) -> Reply:
        """What the controller says."""
        self.asked.append((asked.name, words_of(asked)))
        if self.silent:
            await asyncio.sleep(3)
        if self.refusal is not None:
            raise self.refusal
        if getattr(asked, "number", "") == "9999":
            raise Refused("there is no agent 9999")
        return Reply(f"{asked.name} done", 1)

    async def client(self, role: Role) -> httpx.AsyncClient:
        """A client of the account that is named like its role."""
        cookie = await accounts.begin(self.engine, role.value, clock.now())
        who = await accounts.by_cookie(self.engine, cookie, clock.now())
        assert who is not None
        client = httpx.AsyncClient(
            base_url=self.url,
            timeout=20,
            cookies={COOKIE: cookie},
            headers={"X-CSRF-Token": who.csrf},
        )
        self.opened.append(client)
        return client

    async def sign_in(self, name: str) -> httpx.AsyncClient:
        """A client with a session's cookie and its CSRF token."""
        client = httpx.AsyncClient(base_url=self.url, timeout=20)
        self.opened.append(client)
        answer = await client.post("/api/session", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
        return client


@pytest.fixture
async def web(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Web]:
    """A web process with an account for each role, named like it; two agents."""
    # The real cost of a password check is measured elsewhere.
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", hasher)
    hashed = hasher.hash(PASSWORD)
    # A busy machine must not fail tests that are about something else.
    monkeypatch.setattr(backend, "ANSWER_WITHIN", 5.0)
    settings = load(
        home=tmp_path,
        redis_url=redis_url,
        node=f"n{next(_nodes)}",
        webhook_internal=("127.0.0.0/8",),
    )
    engine = database.engine(settings.database)
    await migrations.upgrade(engine)
    for number, name in (("1001", "王芳"), ("1002", "李娜")):
        await roster.add(engine, number, name, "softphone-secret", clock.now())
    rows = [
        {
            "name": role.value,
            "role": role.value,
            "password": hashed,
            "agent": "1001" if role is Role.AGENT else "",
            "added_at": clock.now(),
            "signed_in_at": 0,
        }
        for role in Role
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(tables.account), rows)
    app = create_app(settings, engine, Bus(settings.redis, settings.node))
    server = uvicorn.Server(config(app))
    # With its protocol, or asyncio does not set TCP_NODELAY, and each answer waits 40 ms for the client's ACK.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    serving = spawn(server.serve([listening]), "server")
    controller = Bus(settings.redis, settings.node)
    made = Web(url, settings, engine, controller, app.state.backend)
    work = [spawn(controller.run(), "bus"), spawn(controller.answer(made.answer), "answer")]
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
    made.nobody = httpx.AsyncClient(base_url=url, timeout=20)
    for role in Role:
        made.clients[role] = await made.client(role)
    yield made
    for client in [*made.opened, made.nobody]:
        await client.aclose()
    server.should_exit = True
    await asyncio.wait([serving], timeout=5)
    for task in work:
        task.cancel()
    await asyncio.wait(work, timeout=2)
    await controller.close()
    listening.close()


def state(**more: Any) -> Any:
    """A live state as the controller shows it."""
    agents = [
        {"number": "1001", "name": "王芳", "presence": "ready", "reason": "", "since": 1, "until": 0, "call": ""},
        {"number": "1002", "name": "李娜", "presence": "out", "reason": "", "since": 1, "until": 0, "call": ""},
    ]  # fmt: skip
    return {
        "at": clock.now(),
        "stages": {"greeting": 0, "waiting": 0, "ringing": 0, "talking": 0},
        "waiting_since": None,
        "today": {
            "date": "2026-11-29",
            "outcomes": {},
            "calls": 0,
            "human": 0,
            "m1": None,
            "pending": 0,
        },
        "figures": {},
        "curve": [],
        **dict.fromkeys(("m4", "sla15", "sla60", "asa", "abandoned")),
        "callbacks": {"yielded": 0, "reached": 0, "missed": 0},
        "agents": agents,
        "alarms": [],
        **more,
    }
