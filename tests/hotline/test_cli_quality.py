"""`hotline quality`: the whole way on the command line, and its errors as sentences."""

import asyncio
import json
from pathlib import Path
from typing import Any

import argon2
import pytest
from typer.testing import CliRunner

from base import clock, database, migrations
from base.settings import Settings
from diary.writer import Diary
from facts.times import HOUR, SECOND
from hotline.cli.main import app
from hotline.cli.tools import operator
from tests.quality.conftest import NOW, WEEK, record, story
from web.accounts import accounts, audit

CALL = f"hotline-{(WEEK.since + HOUR) // SECOND}.1"
PASSWORD = "a-long-enough-password"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A centre with one talk of last week, and the people who assess it."""
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    monkeypatch.setattr(clock, "now", lambda: NOW)
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", hasher)
    settings = Settings(home=tmp_path)

    async def fill() -> None:
        engine = database.engine(settings.database)
        await migrations.upgrade(engine)
        diary = Diary(engine, settings.run_dir)
        diary.start()
        for fact in story(CALL, WEEK.since + HOUR, "1001", "tax", 60):
            diary.write(fact)
        await diary.close()
        await record(engine, [CALL])
        await engine.dispose()

    asyncio.run(fill())
    for name, role in (("zhao", "assessor"), ("chief", "supervisor"), ("boss", "supervisor")):
        command = ["account", "add", name, "--role", role, "--password-stdin"]
        assert CliRunner().invoke(app, command, input=PASSWORD).exit_code == 0
    return tmp_path


def run(*command: str, status: int = 0, given: str | None = None) -> str:
    done = CliRunner().invoke(app, ["quality", *command], input=given)
    assert done.exit_code == status, done.output
    return done.output if status else done.stdout


def read(*command: str) -> Any:
    return json.loads(run(*command, "--format", "json"))


def test_the_whole_way(home: Path) -> None:
    said = run("draw", "--week", WEEK.name, "--seed", "lots-of-2025-11-24")
    assert said == f"{WEEK.name}：可抽 1 通，抽取 1 通，种子 lots-of-2025-11-24\n"
    assert "drawn again, the same talks came out" in run("draw", "--again", "--lang", "en")
    assert read("draw", "--again")["same"] is True
    [blind] = read("tasks", "--by", "zhao")
    assert set(blind) == {"id", "week", "state", "seconds", "waits_days"}
    [task] = read("tasks")
    assert (task["agent"], task["call"], task["assessor"]) == ("1001", CALL, "zhao")
    number = str(task["id"])
    sheet = json.dumps({"deductions": [{"item": "greeting", "points": 6, "second": 2.5}]})
    assert run("score", number, "--by", "zhao", "--sheet", "-", given=sheet) == f"{number}: 94.00\n"
    assert run("appeal", number, "--agent", "1001", "--text", "I did") == f"{number}: appealed\n"
    assert [one["id"] for one in read("appeals")] == [task["id"]]
    file = home / "new.json"
    file.write_text("{}", encoding="utf-8")
    decide = ("decide", number, "--by", "chief", "--reason", "heard", "--sheet", str(file))
    assert run(*decide) == f"{number}: changed, 100.00\n"
    history = json.loads(run("show", number))["history"]
    assert [(one["event"], one["by"]) for one in history] == [
        ("draw", operator()),
        ("score", f"zhao ({operator()})"),
        ("appeal", f"1001 ({operator()})"),
        ("change", f"chief ({operator()})"),
    ]
    assert "平均分: 100.00" in run("card", "1001", "--month", "2025-11")
    [card] = json.loads(run("card", "-", "--month", "2025-11"))
    assert card["figures"]["changed"] == {"value": 1, "calls": [CALL]}
    for form in ("csv", "xlsx", "html"):
        out = home / f"card.{form}"
        run("card", "1001", "--month", "2025-11", "--format", form, "--out", str(out))
        assert out.stat().st_size > 100


def test_errors_are_sentences(home: Path) -> None:
    assert "ask afterwards" in run("draw", "--week", "2025-W48", status=1)
    assert "not drawn yet" in run("draw", "--week", "2025-W46", "--again", status=1)
    assert "no assessment 7" in run("show", "7", status=1)
    assert "no such account" in run("return", "7", "--by", "chief", "--reason", "x", status=1)
    assert "is no assessor" in run("assign", "7", "--to", "chief", "--reason", "x", status=1)
    assert "no month" in run("card", "1001", "--month", "2025", status=1)
    assert "there is text" in run("card", "1001", "--format", "pdf", status=2)
    missing = ("score", "7", "--by", "zhao", "--sheet", "nowhere.json")
    assert "cannot be read" in run(*missing, status=2)
    assert "a sheet is" in run("score", "7", "--by", "zhao", "--sheet", "-", given="[]", status=2)
    (home / "scorecard.toml").write_text("passing = 200", encoding="utf-8")
    assert "passing: write 0 to 100" in run("draw", status=1)


def test_who_looked_is_in_the_audit_log(home: Path) -> None:
    run("tasks")
    run("card", "1001", "--month", "2025-11")

    async def rows() -> list[Any]:
        engine = database.engine(Settings(home=home).database)
        found = await audit.read(engine)
        await engine.dispose()
        return [(one["action"], one["target"]) for one in found]

    assert ("hotline quality card", "1001 2025-11") in asyncio.run(rows())
    assert ("hotline quality tasks", "") in asyncio.run(rows())
