"""Every look at citizens' data is in the audit log: each route, each stream, each command. A new one without is red."""

import asyncio
import getpass
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from acd.callbacks import book as tasks
from acd.callbacks.entry import Wanted
from acd.rules import book as rulebook
from base import clock, database, migrations
from base.settings import Settings
from diary.writer import Diary
from facts import CallArrived, CallEnded, OfferAnswered, TalkEnded
from facts.terms import Party
from facts.times import local
from hotline.cli.main import app
from recorder import finishing, ledger
from recorder.tape import Tape
from speech import shelf
from speech.hints import WordHint, WordHintKind
from speech.transcript import TalkWords, Word
from tests.web.conftest import Web, state
from web.accounts import accounts, audit
from web.accounts.audit import AuditRow
from web.accounts.rights import Role

NUMBER = "13812345678"
LAST_DIGITS = re.compile(rf"(?<![\d.]){NUMBER[-4:]}(?!\d)")
"""The end of a number, as a masked one shows it: alone, for a time in microseconds may have such digits, too."""
CALL = "n-1763731200.1"
HOUR = 3_600_000_000
TAPE = Tape(1_000_000, 32_044, "ab" * 32)

SHOWS = {
    "/api/live",
    "/api/live/stream",
    "/api/waiting",
    "/api/facts/stream",
    "/api/calls",
    "/api/calls/{call}",
    "/api/calls/{call}/recording",
    "/api/recordings",
    "/api/calls/{call}/words",
    "/api/words/hints",
    "/api/hints",
    "/api/callbacks",
    "/api/callbacks/{id}",
    "/api/blocks",
    "/api/calls/{call}/peaks",
    "/api/calls/{call}/marks",
}
"""Routes that show citizens' data."""
BESIDE_SOUND = {"/api/calls/{call}/peaks", "/api/calls/{call}/marks"}
"""Those of them that show a recording's waveform and marks: this call has no recording."""
SHOWS_TALKS = {
    "/api/alerts",
    "/api/quality/tasks",
    "/api/quality/tasks/{id}",
    "/api/quality/tasks/{id}/recording",
    "/api/quality/tasks/{id}/peaks",
    "/api/quality/own",
    "/api/quality/own/card",
    "/api/quality/own/{id}",
    "/api/quality/own/{id}/recording",
    "/api/quality/own/{id}/peaks",
    "/api/quality/appeals",
    "/api/quality/assessments",
    "/api/quality/assessments/{id}",
    "/api/quality/cards/{number}",
}
"""Routes about talks with citizens that show no number, and are audited all the same."""
SHOWS_NONE = {
    "/api/messages",
    "/api/messages/sent",
    "/api/quality/draws",
    "/api/session",
    "/api/hang-up-reasons",
    "/api/facts/kinds",
    "/api/agents",
    "/api/pauses",
    "/api/queues",
    "/api/queues/{name}",
    "/api/numbers",
    "/api/reports/sla",
    "/api/webhooks",
    "/api/webhooks/{id}/deliveries",
    "/api/roles",
    "/api/accounts",
    "/api/export-requests",
    "/api/tokens",
    "/api/audit",
}
"""Routes that show none: the test looks for the citizen's number in their answers."""


async def _fill(engine: Any, run_dir: Path) -> None:
    """One citizen, everywhere."""
    now = clock.now()
    diary = Diary(engine, run_dir)
    diary.start()
    diary.write(CallArrived(now - HOUR, CALL, "12345", NUMBER))
    diary.write(OfferAnswered(now - HOUR + 1, CALL, "1001"))
    diary.write(TalkEnded(now - HOUR + 2, CALL, "1001", Party.CALLER))
    diary.write(CallEnded(now - HOUR + 2, CALL, Party.CALLER))
    await diary.close()
    wanted = Wanted(number=NUMBER, queue="default", earliest=0, latest=now + 9 * HOUR)
    await tasks.enter_directly(engine, run_dir, wanted)
    block = rulebook.Block(NUMBER, "rude", "wang", "", now, now + HOUR)
    await rulebook.block(engine, block, now)


async def _hear(engine: Any, settings: Settings) -> None:
    """Its recording, in which the citizen says their number."""
    settings.spool_dir.mkdir(parents=True, exist_ok=True)
    (settings.spool_dir / f"{CALL}.raw").write_bytes(b"\1" * 4 * 8000)
    entry = await finishing.finish(engine, settings, CALL)
    said = TalkWords("1001", 0, 1_000_000, (Word(NUMBER, 0, 900_000),))
    hint = WordHint(WordHintKind.NO_GREETING, "1001", 0, 900_000)
    assert await shelf.enter(engine, settings, entry, [said], [hint], at=clock.now(), took=1)


def _gets(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {path: methods["get"] for path, methods in document["paths"].items() if "get" in methods}


async def _entries(web: Web) -> list[AuditRow]:
    return await audit.read(web.engine, limit=500)


async def _get(client: httpx.AsyncClient, path: str) -> tuple[int, str]:
    values = {"call": CALL, "id": "1", "name": "default", "number": "1001"}
    address = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], path)
    async with client.stream("GET", address) as answer:
        if path.endswith("/stream"):
            return answer.status_code, ""
        return answer.status_code, (await answer.aread()).decode("utf-8", "replace")


async def test_every_route_that_shows_citizens_data_is_audited(web: Web) -> None:
    await _fill(web.engine, web.settings.run_dir)
    await ledger.enter(web.engine, [finishing.draft(CALL, [], TAPE, at=clock.now())])
    await _hear(web.engine, web.settings)
    web.backend.feed.show(state(calls=[{"caller": NUMBER}]))
    document = (await web.nobody.get("/api/openapi.json")).json()
    assert set(_gets(document)) == SHOWS | SHOWS_TALKS | SHOWS_NONE, (
        "say of a new route whether it shows any"
    )
    for role in (Role.ADMINISTRATOR, Role.GUEST):
        for path, operation in _gets(document).items():
            before = len(await _entries(web))
            status, text = await _get(web.clients[role], path)
            wrote = [one["action"] for one in await _entries(web)][: -before or None]
            wrote = [action for action in wrote if not action.startswith("END ")]
            if path in SHOWS_TALKS:
                assert wrote == [f"GET {path}"]
                assert operation["x-audited"] == "every"
                assert not LAST_DIGITS.search(text), path
            elif path in SHOWS:
                assert f"GET {path}" in wrote, (path, status)
                assert operation["x-audited"] in {"every", "hourly"}
                if path in BESIDE_SOUND:
                    continue
            else:
                assert NUMBER not in text, path
                assert not LAST_DIGITS.search(text), path
                assert wrote == []
            if role is Role.ADMINISTRATOR and path in SHOWS and not path.endswith("g"):
                assert status == 200, path
                shown = NUMBER in text or "/live" in path or path.endswith(("/stream", "/hints"))
                assert shown, path


async def test_a_search_says_what_was_searched(web: Web) -> None:
    client = web.clients[Role.SUPERVISOR]
    await client.get(
        "/api/calls",
        params={"since": "2026-11-22T18:00", "caller": NUMBER, "queue": "tax", "agent": "1001"},
    )
    await client.get("/api/callbacks", params={"state": "due,missed"})
    await client.get("/api/calls", params={"number": NUMBER, "why": f" complaint\nof {NUMBER}"})
    entries = await _entries(web)
    assert [one["why"] for one in entries[:3]] == ["complaint of 138****5678", "", ""]
    assert [one["target"] for one in entries[:3]] == [
        "number=138****5678",
        "state=due,missed",
        "caller=138****5678 agent=1001 queue=tax since=2026-11-22T18:00",
    ]


async def test_a_stream_is_entered_when_it_opens_and_when_it_ends(web: Web) -> None:
    client = web.clients[Role.SUPERVISOR]
    async with client.stream("GET", "/api/facts/stream?kinds=CallArrived") as answer:
        texts = answer.aiter_text()
        await anext(texts)
        opened = (await _entries(web))[0]
        assert (opened["action"], opened["target"]) == (
            "GET /api/facts/stream",
            "kinds=CallArrived",
        )
        await asyncio.sleep(1.1)
    async with asyncio.timeout(20):
        while (ended := (await _entries(web))[0])["action"] != "END /api/facts/stream":
            await asyncio.sleep(0.02)
    assert (ended["who"], ended["role"], ended["target"]) == ("supervisor", "supervisor", "1 s")


async def test_a_wall_that_asks_again_and_again_is_one_entry_an_hour(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.backend.feed.show(state())
    for _ in range(20):
        await web.clients[Role.GUEST].get("/api/live")
    await web.clients[Role.SUPERVISOR].get("/api/live")
    assert sorted(one["who"] for one in await _entries(web)) == ["guest", "supervisor"]
    real, now = clock.now, clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + HOUR + 1)
    await web.clients[Role.GUEST].get("/api/live")
    monkeypatch.setattr(clock, "now", real)
    assert sorted(one["who"] for one in await _entries(web)) == ["guest", "guest", "supervisor"]


async def test_hints_and_exports_are_for_few_and_each_look_and_step_is_entered(web: Web) -> None:
    """Who may, what they see, and what is written down of a day's hints and of a request to take a recording away."""
    await _fill(web.engine, web.settings.run_dir)
    await _hear(web.engine, web.settings)
    web.backend.settings = web.backend.settings.model_copy(update={"export_approval": True})
    auditor, chief = web.clients[Role.AUDITOR], web.clients[Role.SUPERVISOR]
    ask = f"/api/calls/{CALL}/export-requests"
    for role in (Role.GUEST, Role.AGENT, Role.ASSESSOR):
        for path in ("/api/hints", "/api/export-requests", f"/api/calls/{CALL}/peaks"):
            assert (await web.clients[role].get(path)).status_code == 403, (role, path)
        assert (await web.clients[role].post(ask, json={"why": "x"})).status_code == 403
    day = f"{local(clock.now() - HOUR):%Y-%m-%d}"
    before = len(await _entries(web))
    asked = {"day": day, "agent": "1001", "why": f"complaint of {NUMBER}"}
    kinds = {one["kind"] for one in (await chief.get("/api/hints", params=asked)).json()["hints"]}
    assert kinds == {"too_short", "no_greeting"}
    scopes = ["recordings.read"]
    secret = await accounts.add_token(web.engine, "crm", "auditor", scopes, "x", clock.now())
    headers = {"Authorization": f"Bearer {secret}"}
    seen = await web.nobody.get("/api/hints", params={"day": day}, headers=headers)
    kinds = {one["kind"] for one in seen.json()["hints"]}
    assert kinds == {"too_short"}, "hints of words need the right to read words"
    request = (await auditor.post(ask, json={"why": f"court, {NUMBER}"})).json()["id"]
    shown = (await chief.get("/api/export-requests")).text
    assert NUMBER not in shown
    assert CALL in shown
    decide = f"/api/export-requests/{request}/approve"
    assert (await auditor.post(decide, json={})).status_code == 403
    assert (await chief.post(decide, json={"why": "checked"})).status_code == 200
    rows = (await _entries(web))[:-before][::-1]
    assert [(one["who"], one["action"], one["target"], one["status"], one["why"]) for one in rows] == [
        ("supervisor", "GET /api/hints", f"agent=1001 day={day}", 200, "complaint of 138****5678"),
        ("token:crm", "GET /api/hints", f"day={day}", 200, ""),
        ("auditor", "POST /api/calls/{call}/export-requests", CALL, 201, "court, 138****5678"),
        ("auditor", "POST /api/export-requests/{id}/approve", str(request), 403, ""),
        ("supervisor", "POST /api/export-requests/{id}/approve", str(request), 200, "checked"),
    ]  # fmt: skip


# --- the command line

SHOWING = {
    "calls": "",
    "callback list": "",
    "callback show": "1",
    "queue flag list": "",
    "queue block list": "",
    "queue export": "",
    "privacy report": NUMBER,
    "privacy erase": NUMBER,
    "recordings export": f"{CALL} --out {{tmp}}/a.wav",
    "recordings find": "--since 2025-11-20",
    "recordings play": f"{CALL} --out -",
    "recordings words": CALL,
    "recordings phrases": "",
    "recordings hints": f"--call {CALL}",
}
"""Commands that show citizens' data, with their arguments."""
SHOWING_NONE = """
up, serve, recorder, transcribe, demo, check, version, simulate, staff, web,
agent add, agent list, agent remove, agent ready, agent pause, agent out,
talk hold, talk resume, talk mute, talk unmute, talk hang-up, talk transfer, talk hand-over, talk dial,
talk listen, talk leave, talk end,
agent pause-recording, agent resume-recording, agent end-talk, agent survey, agent explain,
report deliver, report deliveries, report sla,
metrics verify, metrics incident add, metrics incident list, metrics incident remove,
recordings verify, recordings audit, recordings seals, recordings prove, recordings rotate-key,
recordings request, recordings requests, recordings approve, recordings refuse,
recordings encrypt, recordings retention, recordings hold, recordings release, recordings holds,
recordings backlog,
privacy clean, quality draw, quality tasks, quality appeals, quality show, quality score, quality return,
quality assign, quality appeal, quality decide, quality card, alarm list, alarm ack, alarm test,
queue list, queue show, queue set, queue remove, queue import, queue calendar,
queue number add, queue number remove, queue number list,
queue member add, queue member remove, queue member list,
queue skill set, queue skill remove, queue skill list,
queue flag add, queue flag remove, queue block add, queue block approve, queue block remove,
queue hours set, queue hours remove, queue hours list,
queue pause set, queue pause remove, queue pause list,
callback add, callback import, callback cancel,
account add, account list, account password, account role, account remove, account set,
token add, token list, token revoke
"""


def _leaves(command: Any, before: tuple[str, ...] = ()) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _leaves(inner, (*before, name))
    else:
        yield " ".join(before)


def test_every_command_is_known() -> None:
    known = SHOWING.keys() | {name.strip() for name in SHOWING_NONE.split(",")}
    assert set(_leaves(typer.main.get_command(app))) == known, (
        "say of a new command whether it shows citizens' data"
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A centre with one citizen, without Redis and without a controller."""
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    made = Settings(home=tmp_path)

    async def fill() -> None:
        engine = database.engine(made.database)
        await migrations.upgrade(engine)
        await _fill(engine, made.run_dir)
        await _hear(engine, made)
        await engine.dispose()

    asyncio.run(fill())
    flagged = CliRunner().invoke(app, ["queue", "flag", "add", NUMBER])
    assert flagged.exit_code == 0, flagged.output
    return tmp_path


def _written(home: Path) -> list[tuple[str, str, str]]:
    with sqlite3.connect(home / "hotline.db") as connection:
        return connection.execute("SELECT who, action, target FROM audit ORDER BY id").fetchall()


@pytest.mark.parametrize("name", SHOWING)
def test_every_command_that_shows_citizens_data_is_audited(home: Path, name: str) -> None:
    words = SHOWING[name].format(tmp=home)
    done = CliRunner().invoke(app, [*name.split(), *words.split()])
    assert done.exit_code == 0, done.output
    ((who, action, target),) = _written(home)
    assert who == f"cli:{getpass.getuser()}"
    assert action == f"hotline {name}"
    assert NUMBER not in target
    assert ("1" in target) == (
        name
        in {"callback show", "calls", "callback list"}
        | {"recordings export", "recordings find", "recordings play"}
        | {"recordings words", "recordings phrases", "recordings hints"}
    )


@pytest.mark.parametrize(
    "words", ["queue list", "report sla", "metrics verify", "alarm list", "recordings verify", "agent list"]
)  # fmt: skip
def test_other_commands_show_no_citizen(home: Path, words: str) -> None:
    done = CliRunner().invoke(app, words.split())
    assert NUMBER not in done.output
    assert not LAST_DIGITS.search(done.output)


def test_an_operator_sees_what_they_may_see_while_the_log_cannot_be_written(home: Path) -> None:
    """Another process holds SQLite's write lock."""
    blocking = sqlite3.connect(home / "hotline.db", isolation_level=None)
    blocking.execute("BEGIN IMMEDIATE")
    done = CliRunner().invoke(app, ["calls", "--format", "json"])
    blocking.execute("ROLLBACK")
    blocking.close()
    assert done.exit_code == 0
    assert NUMBER in done.stdout
    assert "audit log" in done.stderr
    assert _written(home) == []


def test_what_cannot_be_read_says_so(home: Path) -> None:
    (home / "hotline.db").unlink()
    (home / "hotline.db").mkdir()
    done = CliRunner().invoke(app, ["calls"])
    assert done.exit_code == 1
    assert "database" in done.stderr
