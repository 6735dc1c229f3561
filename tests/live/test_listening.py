"""A call is recorded, found, heard in part, and taken away once after another person has approved it."""

import asyncio
import getpass
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from base import clock
from facts import RecordingFinished
from softphone.phones import Phones, seconds_of
from tests.live import sounds
from tests.live.centre import NUMBER, Centre, until_talk

pytestmark = pytest.mark.timeout(240)

CALLER = "13900009001"
PASSWORD = "a password of somebody"


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with Centre(wrap_up_time=1, export_approval=True, recording_reason=True) as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        centre.run(
            *("account", "add", "wang", "--role", "supervisor", "--password-stdin"), stdin=PASSWORD
        )
        yield centre


async def sign_in(centre: Centre, name: str, password: str) -> httpx.AsyncClient:
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{centre.web_port}", timeout=20)
    answer = await client.post("/api/session", json={"name": name, "password": password})
    client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    return client


def play(centre: Centre, call: str, begin: int) -> bytes:
    """Two seconds of a call, as another program gets them."""
    program = Path(sys.executable).with_name("hotline")
    command = [
        str(program),
        "recordings",
        "play",
        call,
        "--from",
        str(begin),
        "--to",
        str(begin + 2),
    ]
    done = subprocess.run(
        [*command, "--out", "-", "--why", "quality"],
        env=centre.environment,
        cwd=centre.home,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_it_is_found_heard_and_taken_away_once(centre: Centre, phones: Phones) -> None:
    began = clock.now() - 120_000_000
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen(CALLER).dial(NUMBER)
    await until_talk(leg, agent.tone, 10)
    await asyncio.sleep(4)
    await leg.hang_up()
    call = await centre.call_id(CALLER)
    await centre.fact(RecordingFinished, 20, call=call)

    words = ("--caller", CALLER[-4:], "--agent", "1001", "--shortest", "3", "--why", "complaint")
    (found,) = json.loads(await centre.cli("recordings", "find", *words, "--format", "json"))
    assert found["id"] == call

    request = ("recordings", "request", call, "--why", "quality")
    await centre.cli("recordings", "play", call, "--out", "-", "--why", "quality", status=1)
    assert (await centre.cli(*request)).startswith("request 1: ")
    approve = ("recordings", "approve", "1", "--account", "wang", "--password-stdin")
    await centre.cli(*approve, stdin=PASSWORD)
    begin = int(found["recording_seconds"]) - 3
    part = await asyncio.to_thread(play, centre, call, begin)
    left, right = sounds.stereo(io.BytesIO(part))
    assert left.size == right.size == 2 * 8000
    assert seconds_of(left, leg.tone) > 1.5
    assert seconds_of(right, agent.tone) > 1.5

    # The same by the screens' routes, and for a file.
    sound = f"/api/calls/{call}/recording?why=court"
    secret = (centre.home / "secrets" / "web-admin-password").read_text().strip()
    wang, admin = await sign_in(centre, "wang", PASSWORD), await sign_in(centre, "admin", secret)
    heard = await wang.get(sound, headers={"Range": "bytes=0-11"})
    assert (heard.status_code, heard.content[4:8]) == (206, b"ftyp")
    assert (await wang.get(f"{sound}&download=1")).status_code == 403
    assert (await wang.get(f"/api/calls/{call}/recording")).status_code == 422
    asked = await wang.post(f"/api/calls/{call}/export-requests", json={"why": "court"})
    (waiting,) = (await admin.get("/api/export-requests")).json()
    assert (waiting["id"], waiting["by"]) == (asked.json()["id"], "wang")
    decision = f"/api/export-requests/{waiting['id']}/approve"
    assert (await wang.post(decision, json={"why": ""})).status_code == 409
    assert (await admin.post(decision, json={"why": "checked"})).status_code == 200
    taken = await wang.get(f"{sound}&download=1")
    assert f'filename="{call}.mp4"' in taken.headers["content-disposition"]
    assert (await wang.get(f"{sound}&download=1")).status_code == 403

    entries = (await admin.get("/api/audit?limit=500")).json()["entries"]
    assert all(one["at"] > began for one in entries)
    rows = [(one["who"], one["action"], one["target"], one["why"]) for one in entries]
    operator, path = f"cli:{getpass.getuser()}", "GET /api/calls/{call}/recording"
    for row in (
        (operator, "hotline recordings find", "complaint"),
        (operator, "hotline recordings request", "quality"),
        ("wang", "hotline recordings approve", ""),
        (operator, "hotline recordings play", "quality"),
        ("wang", path, "court"),
        ("wang", "POST /api/calls/{call}/export-requests", "court"),
        ("admin", "POST /api/export-requests/{id}/approve", "checked"),
    ):
        assert row in {(who, action, why) for who, action, _, why in rows}
    shown = {target for _, action, target, _ in rows if action.endswith(("play", "recording"))}
    assert shown == {
        call,
        f"{call} download=1",
        f"{call} download=1 from={begin} to={begin + 2}",
    }
    assert "caller=**** agent=1001 shortest=3 limit=50" in {row[2] for row in rows}
    for client in (wang, admin):
        await client.aclose()
