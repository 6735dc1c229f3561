"""The API on a whole centre: a forced pause is in the controller and Asterisk at once; screens follow real calls."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from facts import AgentPaused, OfferRinging, RecordingFinished
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre

Event = tuple[str, dict[str, Any]]


def _secret(centre: Centre, name: str) -> str:
    return (centre.home / "secrets" / name).read_text().strip()


@pytest.fixture
async def admin(centre: Centre) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in with the password of the first start."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{centre.web_port}") as client:
        password = _secret(centre, "web-admin-password")
        async with asyncio.timeout(20):
            while True:
                try:
                    answer = await client.post(
                        "/api/session", json={"name": "admin", "password": password}
                    )
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.1)
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
        yield client


async def _events(answer: httpx.Response) -> AsyncIterator[Event]:
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, orjson.loads(line.removeprefix("data: "))


async def test_a_forced_pause_is_in_the_controller_and_in_asterisk(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    centre.shorten_greeting()
    await centre.agent(phones, "1001", answer_after=0.2)
    await centre.agent(phones, "1002", answer_after=0.2)
    await centre.presence("1001", "ready")
    await centre.presence("1002", "ready")
    answer = await admin.post("/api/agents/1002/pause", json={"reason": "用餐"})
    assert answer.json() == {"said": "agent 1002: paused"}
    await centre.presence("1002", "paused")
    members = centre.asterisk("queue show fallback")
    assert "1001" in members, members
    assert "1002" not in members, members
    await centre.fact(AgentPaused, agent="1002", reason="用餐")
    # A call goes to the other one only.
    leg = await phones.citizen("13800000031").dial(NUMBER)
    await centre.fact(OfferRinging, 10, agent="1001")
    await leg.hang_up()
    call = (await centre.call("13800000031"))["id"]
    assert not centre.facts(OfferRinging, agent="1002")
    entries = (await admin.get("/api/audit")).json()["entries"]
    assert ("admin", "POST /api/agents/{number}/pause", "1002", 200) in [
        (one["who"], one["action"], one["target"], one["status"]) for one in entries
    ]
    assert (await admin.post("/api/agents/1001/out")).json() == {"said": "agent 1001: out"}
    assert (await admin.post("/api/agents/1002/out")).json() == {"said": "agent 1002: out"}
    assert (await admin.post("/api/agents/4711/ready")).status_code == 409

    # What other programs read of it.
    lines = (centre.home / "log" / "queue_log").read_text().splitlines()
    assert f"|{call}|default|NONE|ENTERQUEUE||+86****0031|1" in "\n".join(lines)
    assert any(line.endswith("|NONE|default|PJSIP/1002|PAUSE|用餐") for line in lines)


async def test_a_screen_follows_a_call_and_the_recording_is_heard(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    centre.shorten_greeting()
    # Screens hear of changes in pieces: what is to be seen must last for a while.
    await centre.cli("queue", "set", "default", "wrap_up_time=3")
    await centre.agent(phones, "1001", answer_after=1.5)
    await centre.presence("1001", "ready")
    token = _secret(centre, "web-wall-token")
    async with httpx.AsyncClient(base_url=admin.base_url, follow_redirects=True) as wall:
        assert (await wall.get("/", params={"token": token})).status_code == 200
        seen: list[str] = []
        async with wall.stream("GET", "/api/live/stream") as answer, asyncio.timeout(30):
            events = _events(answer)
            leg = None
            async for name, data in events:
                agents = data["state"]["agents"] if name == "snapshot" else data.get("agents", [])
                seen += [one["presence"] for one in agents if one["number"] == "1001"]
                if leg is None:
                    leg = await phones.citizen("13800000032").dial(NUMBER)
                if seen[-1:] == ["talking"]:
                    break
            assert leg is not None
            await asyncio.sleep(1)
            await leg.hang_up()
            async for _, data in events:
                seen += [one["presence"] for one in data.get("agents", [])]
                if seen[-1] == "ready":
                    break
    assert [one for n, one in enumerate(seen) if seen[n - 1 : n] != [one]] == [
        "ready",
        "ringing",
        "talking",
        "wrap-up",
        "ready",
    ]
    call = (await centre.call("13800000032"))["id"]
    await centre.fact(RecordingFinished, 20, call=call)
    found = (await admin.get("/api/calls", params={"caller": "13800000032"})).json()["calls"]
    assert [one["id"] for one in found] == [call]
    part = await admin.get(f"/api/calls/{call}/recording", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    await admin.post("/api/agents/1001/out")
    await centre.cli("queue", "set", "default", "wrap_up_time=")


async def test_every_process_may_be_killed_and_screens_come_back(
    centre: Centre, admin: httpx.AsyncClient
) -> None:
    async def heard() -> int:
        try:
            answer = await admin.get("/api/live", timeout=2)
        except httpx.HTTPError:
            return 0
        return int(answer.json()["state"]["at"]) if answer.status_code == 200 else 0

    async def fresh(since: int) -> None:
        async with asyncio.timeout(30):
            while await heard() <= since:
                await asyncio.sleep(0.1)

    for name in ("web", "serve", "redis"):
        await fresh(0)
        since = await heard()
        centre.expected += [f'"event":"program.died","program":"{name}"', "controller.", "link."]
        pid = (centre.home / "run" / f"hotline-{name}.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        if name == "redis":
            answer = await admin.post("/api/agents/1001/out", timeout=2)
            assert answer.status_code in {200, 503}
        await fresh(since + 1_000_000)
    async with asyncio.timeout(20):
        while (await admin.post("/api/agents/1001/out")).status_code != 200:
            await asyncio.sleep(0.2)
