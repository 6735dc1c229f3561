"""What the routes do: through the same functions as the command line, and with clear errors."""

import asyncio
import hashlib
import time
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from sqlalchemy import insert
from structlog.testing import capture_logs

from acd.callbacks import tables as callbacks_tables
from acd.rules.book import read
from base import clock
from base.database import DatabaseAwayError
from base.settings import Settings
from diary.writer import Diary
from facts import (
    CallArrived,
    CallEnded,
    CallQueued,
    Fact,
    OfferAnswered,
    OfferMade,
    OfferRinging,
    TalkEnded,
)
from facts.terms import Party
from facts.times import SECOND
from recorder import finishing, policy, tape
from recorder import tables as recorder_tables
from recorder.entry import LedgerEntry
from recorder.vault import keys, reading
from tests.web.conftest import Web, state
from web import backend
from web.accounts.rights import Role


async def _write(web: Web, *facts: Fact) -> None:
    diary = Diary(web.engine, web.settings.run_dir)
    diary.start()
    for fact in facts:
        diary.write(fact)
    await diary.close()


def _call(n: int, at: int, *, agent: str = "", queue: str = "default") -> list[Fact]:
    call = f"hotline-1763731200.{n}"
    facts: list[Fact] = [
        CallArrived(at, call, "12345", f"+861380000{n:04}"),
        CallQueued(at + SECOND, call, queue),
    ]
    if agent:
        facts += [
            OfferMade(at + 2 * SECOND, call, agent),
            OfferRinging(at + 2 * SECOND, call, agent),
            OfferAnswered(at + 5 * SECOND, call, agent),
            TalkEnded(at + 65 * SECOND, call, agent, Party.CALLER),
        ]
    return [*facts, CallEnded(at + 66 * SECOND, call, Party.CALLER)]


async def test_agents_with_what_they_do_now(web: Web) -> None:
    web.backend.feed.show(state())
    client = web.clients[Role.SUPERVISOR]
    await client.put("/api/queues/default/members/1002", json={"penalty": 3})
    shown = (await client.get("/api/agents")).json()
    assert [(one["number"], one["name"], one["presence"]) for one in shown] == [
        ("1001", "王芳", "ready"),
        ("1002", "李娜", "out"),
    ]
    assert shown[1]["queues"] == [{"queue": "default", "penalty": 3}]
    guest = (await web.clients[Role.GUEST].get("/api/agents")).json()
    assert [one["name"] for one in guest] == ["王*", "李*"]
    colleague = (await web.clients[Role.AGENT].get("/api/agents")).json()
    assert [one["name"] for one in colleague] == ["王芳", "李*"]


async def test_an_agent_is_added_and_removed(web: Web) -> None:
    client = web.clients[Role.SUPERVISOR]
    new = {"number": "1003", "name": "<script>alert(1)</script>", "password": "softphone-secret"}
    assert (await client.post("/api/agents", json=new)).json()["in_force"] is True
    assert (await client.post("/api/agents", json=new)).status_code == 409
    shown = (await client.get("/api/agents")).json()
    assert shown[2]["name"] == "<script>alert(1)</script>"
    assert (await client.delete("/api/agents/1003")).status_code == 200
    assert (await client.delete("/api/agents/1003")).status_code == 404
    assert [command for command, _ in web.asked] == ["agent.added", "agent.removed"]


async def test_a_refusal_of_the_controller_is_told_in_its_words(web: Web) -> None:
    answer = await web.clients[Role.SUPERVISOR].post("/api/agents/9999/ready")
    assert answer.status_code == 409
    assert answer.json() == {"error": "there is no agent 9999"}


async def test_a_controller_that_is_silent_is_a_clear_error_within_a_second(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "ANSWER_WITHIN", 0.9)
    web.silent = True
    began = time.monotonic()
    answer = await web.clients[Role.SUPERVISOR].post("/api/agents/1001/ready")
    assert answer.status_code == 503
    assert "controller does not answer" in answer.json()["error"]
    # One second is promised; the rest is the machine's.
    assert time.monotonic() - began < 2
    # A change of the database is made all the same.
    changed = await web.clients[Role.SUPERVISOR].put(
        "/api/queues/default/members/1001", json={"penalty": 0}
    )
    assert changed.json()["in_force"] is False
    assert len((await read(web.engine)).members) == 1


async def test_a_recording_is_paused_in_ones_own_talk_alone(web: Web) -> None:
    agent = web.clients[Role.AGENT]
    answer = await agent.post("/api/agents/1001/recording/pause")
    assert answer.json() == {"said": "recording.pause done"}
    assert (await agent.post("/api/agents/1001/recording/resume")).status_code == 200
    asked = {"number": "1001", "by": "agent"}
    assert web.asked == [("recording.pause", asked), ("recording.resume", asked)]
    assert (await agent.post("/api/agents/1002/recording/pause")).status_code == 403
    assert (await agent.post("/api/agents/1002/recording/resume")).status_code == 403
    supervisor = web.clients[Role.SUPERVISOR]
    assert (await supervisor.post("/api/agents/1001/recording/pause")).status_code == 403
    token = agent.headers.pop("X-CSRF-Token")
    assert (await agent.post("/api/agents/1001/recording/pause")).status_code == 403
    agent.headers["X-CSRF-Token"] = token
    assert len(web.asked) == 2
    administrator = web.clients[Role.ADMINISTRATOR]
    assert (await administrator.post("/api/agents/1002/recording/pause")).status_code == 200
    log = (await administrator.get("/api/audit")).json()["entries"]
    assert ("agent", "POST /api/agents/{number}/recording/pause", "1002", 403) in [
        (one["who"], one["action"], one["target"], one["status"]) for one in log
    ]


async def test_an_alarm_is_acknowledged_by_whoever_is_signed_in(web: Web) -> None:
    answer = await web.clients[Role.SUPERVISOR].post("/api/alarms/7/acknowledge")
    assert answer.status_code == 200
    assert web.asked == [("alarm.ack", {"id": "7", "by": "supervisor"})]


async def test_queues_and_their_members(web: Web) -> None:
    client = web.clients[Role.SUPERVISOR]
    made = (await client.patch("/api/queues/tax", json={"priority": 2, "longest_wait": 60})).json()
    assert (made["priority"], made["settings"]["longest_wait"]) == (2, 60)
    assert made["own"] == ["longest_wait", "priority"]
    taken_back = (await client.patch("/api/queues/tax", json={"longest_wait": None})).json()
    assert taken_back["own"] == ["priority"]
    moved = await client.post(
        "/api/agents/1001/move", json={"queues": [{"queue": "tax", "penalty": 1}]}
    )
    assert moved.json()["said"] == "agent 1001 serves tax"
    assert (await client.get("/api/queues/tax")).json()["members"] == [
        {"agent": "1001", "penalty": 1}
    ]
    for path, body in (
        ("/api/queues/tax", {"priority": 99}),
        ("/api/queues/tax", {"nonsense": 1}),
        ("/api/queues/TAX!", {}),
    ):
        assert (await client.patch(path, json=body)).status_code == 422
    assert (await client.put("/api/queues/no/members/1001", json={})).status_code == 409
    assert (await client.delete("/api/queues/default")).status_code == 409
    assert (await client.delete("/api/queues/tax")).status_code == 200
    assert (await client.get("/api/queues/tax")).status_code == 404


async def test_a_block_is_approved_by_somebody_else(web: Web) -> None:
    client, admin = web.clients[Role.SUPERVISOR], web.clients[Role.ADMINISTRATOR]
    wanted = {"caller": "13800000000", "reason": "骚扰", "days": 3}
    assert (await client.post("/api/blocks", json=wanted)).status_code == 201
    assert (await client.post("/api/blocks/13800000000/approve")).status_code == 409
    assert (await admin.post("/api/blocks/13800000000/approve")).status_code == 200
    shown = (await client.get("/api/blocks")).json()[0]
    assert (shown["state"], shown["asked_by"], shown["approved_by"]) == (
        "in force",
        "supervisor",
        "administrator",
    )
    assert (await client.delete("/api/blocks/13800000000")).status_code == 200


async def test_callbacks(web: Web) -> None:
    client = web.clients[Role.SUPERVISOR]
    wanted = {"number": "13800000001", "queue": "default", "after": "2099-01-01T10:00"}
    assert (await client.post("/api/callbacks", json=wanted)).json()["id"] == 1
    command, args = web.asked[-1]
    assert command == "callback.add"
    assert args == {"number": "13800000001", "queue": "default", "earliest": 4070916000000000}
    assert (await client.post("/api/callbacks", json={**wanted, "after": "x"})).status_code == 422
    assert (await client.delete("/api/callbacks/1")).status_code == 404
    row = {
        column.name: (0 if column.type.python_type in {int, bool} else "")
        for column in callbacks_tables.callback.c
    }
    row |= {"number": "13800000001", "queue": "default", "state": "due", "reason": "about 王"}
    row |= {"id": 1, "added_at": 1, "updated_at": 1, "not_before": 7, "first": False}
    async with web.engine.begin() as connection:
        await connection.execute(insert(callbacks_tables.callback).values(row))
    shown = (await client.get("/api/callbacks")).json()
    assert (shown[0]["number"], shown[0]["reason"]) == ("13800000001", "about 王")
    masked = (await web.clients[Role.GUEST].get("/api/callbacks")).json()
    assert (masked[0]["number"], masked[0]["reason"]) == ("138****0001", "")
    assert (await client.get("/api/callbacks?state=missed")).json() == []
    assert (await client.get("/api/callbacks?state=none")).status_code == 422
    assert (await client.delete("/api/callbacks/1")).status_code == 200


async def test_calls_are_found_a_page_at_a_time(web: Web) -> None:
    now = clock.now()
    begun = now - 3600 * SECOND
    facts = []
    for n in range(30):
        agent = "1001" if n % 3 else ""
        facts += _call(n, begun + n * SECOND, agent=agent, queue="tax" if n % 2 else "default")
    await _write(web, *facts)
    client = web.clients[Role.SUPERVISOR]

    async def found(query: str) -> list[int]:
        ids, cursor = [], ""
        while True:
            page = (await client.get(f"/api/calls?limit=7&cursor={cursor}&{query}")).json()
            ids += [int(call["id"].rpartition(".")[2]) for call in page["calls"]]
            if page["next"] is None:
                return ids
            cursor = page["next"]

    every = list(range(29, -1, -1))
    assert await found("") == every
    assert await found("agent=1001") == [n for n in every if n % 3]
    assert await found("queue=tax") == [n for n in every if n % 2]
    assert await found("outcome=abandoned_queue") == [n for n in every if n % 3 == 0]
    assert await found("caller=13800000007") == [7]
    assert await found("caller=0007") == [7]
    assert await found("caller=%25") == []
    assert await found("number=12345&agent=1001&queue=tax&outcome=human") == [
        n for n in every if n % 3 and n % 2
    ]
    assert await found(f"since={begun + 25 * SECOND}") == [29, 28, 27, 26, 25]
    assert await found(f"until={begun + 2 * SECOND}") == [1, 0]
    story = (await client.get("/api/calls/hotline-1763731200.1")).json()
    assert story["call"]["agents"] == ["1001"]
    assert [fact["kind"] for fact in story["facts"]][:2] == ["CallArrived", "CallQueued"]
    guest = web.clients[Role.GUEST]
    masked = (await guest.get("/api/calls/hotline-1763731200.1")).json()
    assert masked["call"]["caller"] == masked["facts"][0]["caller"] == "+86****0001"
    assert story["hints"] == []
    # Who cannot see a number must not find it out by asking.
    assert (await guest.get("/api/calls?caller=13800000007")).status_code == 403


async def test_hints_are_for_whoever_may_listen(web: Web) -> None:
    """They need the facts alone, as long as nobody has listened; the day says how many calls still wait."""
    now = clock.now()
    call = "hotline-1763731200.1"
    end = now - 60 * SECOND
    await _write(
        web,
        CallArrived(end - 20 * SECOND, call, "12345", "13800000001"),
        OfferAnswered(end - 6 * SECOND, call, "1001"),
        TalkEnded(end, call, "1001", Party.AGENT),
        CallEnded(end, call, Party.AGENT),
    )
    client = web.clients[Role.SUPERVISOR]
    found = (await client.get("/api/hints")).json()
    kinds = [(one["kind"], one["value"], one["at"]) for one in found["hints"]]
    assert kinds == [("too_short", 6.0, 14.0), ("agent_hung_up_first", None, 20.0)]
    assert {one["caller"] for one in found["hints"]} == {"13800000001"}
    assert (found["calls"], found["waiting"], found["unheard"]) == (1, 0, 0)
    only = (await client.get("/api/hints?kind=too_short")).json()
    assert [one["kind"] for one in only["hints"]] == ["too_short"]
    story = (await client.get(f"/api/calls/{call}")).json()
    assert story["hints"] == found["hints"]
    assert (await client.get("/api/hints?day=2020-01-01")).json()["calls"] == 0
    for wrong in ("day=x", "day=0001-01-01", "day=9999-12-31", "kind=score"):
        assert (await client.get(f"/api/hints?{wrong}")).status_code == 422, wrong
    guest = web.clients[Role.GUEST]
    assert (await guest.get("/api/hints")).status_code == 403
    assert (await guest.get(f"/api/calls/{call}")).json()["hints"] == []


@pytest.fixture
def recorded(web: Web) -> Callable[[str], Path]:
    """Makes the stereo file of a call: a second of sound."""

    def make(call: str) -> Path:
        path = web.settings.recordings_dir / policy.place(call)
        path.parent.mkdir(parents=True)
        with wave.open(str(path), "wb") as sound:
            sound.setparams((2, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(range(256)) * 125)
        return path

    return make


async def test_a_recording_is_heard_in_parts_and_that_is_written_down(
    web: Web, recorded: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = "hotline-1763731200.5"
    opened: list[BinaryIO] = []
    open_really = reading.open_recording

    def opens(settings: Settings, entry: LedgerEntry) -> BinaryIO:
        opened.append(open_really(settings, entry))
        return opened[-1]

    monkeypatch.setattr(reading, "open_recording", opens)
    file = recorded(call)
    found = tape.inspect(file)
    row = {
        "call": call,
        "path": str(policy.place(call)),
        "state": "finished",
        "duration": found.duration,
        "size": found.size,
        "sha256": found.sha256,
        "finished_at": 1,
        "note": "",
    }
    async with web.engine.begin() as connection:
        await connection.execute(insert(recorder_tables.recording).values(row))
    client, address = web.clients[Role.AUDITOR], f"/api/calls/{call}/recording"
    whole = await client.get(address)
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.content == file.read_bytes()
    opened.clear()
    part = await client.get(address, headers={"Range": "bytes=100-199"})
    assert len(opened) == 1, "the store, too, is asked for it once"
    assert part.status_code == 206
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert part.content == whole.content[100:200]
    assert (await client.get(address, headers={"Range": "bytes=9999999-"})).status_code == 416
    assert (
        "attachment" in (await client.get(address + "?download=1")).headers["content-disposition"]
    )
    assert len(opened) >= 3
    async with asyncio.timeout(10):  # the last one soon after its answer
        while not all(one.closed for one in opened):
            await asyncio.sleep(0.01)
    entries = (await client.get("/api/audit")).json()["entries"]
    heard = [one for one in entries if one["action"].endswith("/recording")]
    assert {(one["who"], one["target"]) for one in heard} == {
        ("auditor", call),
        ("auditor", f"{call} download=1"),
    }
    assert (await web.clients[Role.GUEST].get(address)).status_code == 403
    file.write_bytes(file.read_bytes()[:-4] + b"evil")
    assert (await client.get(address)).status_code == 404
    assert (await client.get("/api/calls/hotline-1.1/recording")).status_code == 404
    assert (await client.get("/api/calls/..%2f..%2fetc/recording")).status_code == 404


async def test_a_compressed_recording_is_heard_in_parts(web: Web) -> None:
    call = "hotline-1763731200.7"
    web.settings.spool_dir.mkdir(parents=True, exist_ok=True)
    (web.settings.spool_dir / f"{call}.raw").write_bytes(bytes(range(250)) * 400)
    entry = await finishing.finish(web.engine, web.settings, call)
    client, address = web.clients[Role.AUDITOR], f"/api/calls/{call}/recording"
    whole = await client.get(address + "?download=1")
    assert whole.headers["content-type"] == "audio/mp4"
    assert f'filename="{call}.mp4"' in whole.headers["content-disposition"]
    assert hashlib.sha256(whole.content).hexdigest() == entry.sha256
    part = await client.get(address, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")


async def test_an_encrypted_recording_is_heard_in_parts_too(web: Web) -> None:
    call = "hotline-1763731200.6"
    web.settings.spool_dir.mkdir(parents=True, exist_ok=True)
    (web.settings.spool_dir / f"{call}.raw").write_bytes(bytes(range(250)) * 1600)
    settings = web.settings.model_copy(update={"recording_format": "wav"})
    entry = await finishing.finish(web.engine, settings, call)
    file = web.settings.recordings_dir / entry.path
    client, address = web.clients[Role.AUDITOR], f"/api/calls/{call}/recording"
    whole = await client.get(address)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/wav")
    assert hashlib.sha256(whole.content).hexdigest() == entry.sha256
    assert whole.headers["content-length"] == str(entry.size) == str(len(whole.content))
    for asked, wanted in (
        ("bytes=100-199", whole.content[100:200]),
        ("bytes=131072-262143", whole.content[131072:262144]),
        ("bytes=-500", whole.content[-500:]),
        ("bytes=399000-", whole.content[399000:]),
    ):
        part = await client.get(address, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, wanted)
    several = await client.get(address, headers={"Range": "bytes=0-9,70000-70009"})
    assert (several.status_code, whole.content[70000:70010] in several.content) == (206, True)
    for asked, status in (("bytes=400044-", 416), ("sound=1", 400)):
        assert (await client.get(address, headers={"Range": asked})).status_code == status
    saved = (await client.get(address + "?download=1")).headers["content-disposition"]
    assert f'filename="{call}.wav"' in saved

    away = keys.path(web.settings).rename(web.settings.home / "away")
    for headers in ({}, {"Range": "bytes=100-199"}):
        refused = await client.get(address, headers=headers)
        assert refused.status_code == 503
        assert "master key" in refused.text
    away.rename(keys.path(web.settings))
    file.write_bytes(file.read_bytes()[:-1])
    for headers in ({}, {"Range": "bytes=100-199"}):
        assert (await client.get(address, headers=headers)).status_code == 404


async def test_the_report(web: Web) -> None:
    await _write(web, *_call(1, clock.now() - 600 * SECOND, agent="1001"))
    shown = (await web.clients[Role.GUEST].get("/api/reports/sla?hours=1")).json()
    assert shown["M1"]["numerator"] == 1
    assert (await web.clients[Role.GUEST].get("/api/reports/sla?at=never")).status_code == 422


async def test_accounts_by_an_administrator(web: Web) -> None:
    admin = web.clients[Role.ADMINISTRATOR]
    new = {"name": "wang", "role": "supervisor", "password": "correct horse battery"}
    assert (await admin.post("/api/accounts", json=new)).status_code == 204
    assert (await admin.post("/api/accounts", json=new)).status_code == 409
    client = await web.sign_in("wang")
    changed = await admin.patch("/api/accounts/wang", json={"role": "auditor", "agent": "1001"})
    assert changed.status_code == 204
    assert (await client.get("/api/session")).json()["role"] == "auditor"
    assert (await admin.delete("/api/accounts/wang")).status_code == 204
    assert (await client.get("/api/session")).status_code == 401
    names = [one["name"] for one in (await admin.get("/api/accounts")).json()]
    assert names == sorted(role.value for role in Role)


async def test_an_account_may_be_limited_to_queues(web: Web) -> None:
    admin = web.clients[Role.ADMINISTRATOR]
    new = {"name": "wang", "role": "supervisor", "password": "correct horse battery"}
    refused = await admin.post("/api/accounts", json={**new, "queues": ["tax"]})
    assert (refused.status_code, refused.json()["error"]) == (
        409,
        "there is no queue tax: there is default",
    )
    for queue in ("tax", "police"):
        assert (await admin.patch(f"/api/queues/{queue}", json={})).status_code == 200
    limited = {**new, "queues": ["tax", "police"]}
    assert (await admin.post("/api/accounts", json=limited)).status_code == 204
    client = await web.sign_in("wang")
    assert (await client.get("/api/session")).json()["queues"] == ["police", "tax"]

    async def changed(**fields: object) -> tuple[int, list[str]]:
        answer = await admin.patch("/api/accounts/wang", json=fields)
        (found,) = [
            one for one in (await admin.get("/api/accounts")).json() if one["name"] == "wang"
        ]
        assert found["queues"] == (await client.get("/api/session")).json()["queues"]
        return answer.status_code, found["queues"]

    assert await changed(role="administrator") == (204, ["police", "tax"])
    assert await changed(queues=["tax"]) == (204, ["tax"])
    assert await changed(role="supervisor", queues=["night"]) == (409, ["tax"])
    assert (await client.get("/api/session")).json()["role"] == "administrator", "nothing changed"
    assert await changed(queues=[]) == (204, [])


async def test_a_database_that_is_away_is_a_clear_error(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise DatabaseAwayError(None, None, OSError("gone"))

    monkeypatch.setattr("acd.rules.book.read", away)
    with capture_logs() as logs:
        for _ in range(3):
            answer = await web.clients[Role.SUPERVISOR].get("/api/queues")
            assert answer.status_code == 503
            assert "database" in answer.json()["error"]
            assert (await web.clients[Role.SUPERVISOR].get("/api/session")).status_code == 200
    assert [(one["event"], one["on"]) for one in logs] == [("web.database_away", True)]
    web.backend.away._failed -= 5.1
    with capture_logs() as logs:
        assert (await web.clients[Role.SUPERVISOR].get("/api/session")).status_code == 200
    assert [(one["event"], one["on"]) for one in logs] == [("web.database_away", False)]


async def test_a_request_that_is_too_large_is_refused(web: Web) -> None:
    answer = await web.nobody.post("/api/session", content=b"x" * 2_000_000)
    assert answer.status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 50_000

    answer = await web.nobody.post("/api/session", content=endless())
    assert answer.status_code == 400
    assert answer.json()["error"]
