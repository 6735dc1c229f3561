"""`hotline recordings retention | hold | release | holds`: nothing without a confirmation, and all of it is audited."""

import asyncio
import getpass
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from base import clock
from base.settings import Settings
from facts.times import DAY
from hotline.cli.main import app
from hotline.machine import check, up
from recorder import seals
from recorder.entry import LedgerEntry
from tests.hotline.test_cli_recordings import recorded
from web.accounts.tables import audit

ME = f"cli:{getpass.getuser()}"


@pytest.fixture
def settings(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("HOTLINE_DATABASE_URL", url)
    made = Settings(home=tmp_path, database_url=url)
    made.spool_dir.mkdir(parents=True)
    return made


async def run(*words: str) -> tuple[int, str, str]:
    """The command line has a loop of its own."""
    done = await asyncio.to_thread(CliRunner().invoke, app, ["recordings", *words])
    return done.exit_code, done.stdout, done.stderr


async def told(*words: str) -> dict[str, Any]:
    status, said, problem = await run("retention", *words, "--format", "json")
    assert status == 0, problem
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.fixture
async def entries(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> list[LedgerEntry]:
    """Two recordings that are due tomorrow: the clock of the commands goes on by 185 days."""
    made = [await recorded(engine, settings, number) for number in range(2)]
    later = clock.now() + 185 * DAY
    monkeypatch.setattr(clock, "now", lambda: later)
    await seals.seal(engine, settings, later)
    monkeypatch.setenv("HOTLINE_RETENTION_DAYS", "184")
    return made


async def test_from_a_dry_run_to_a_deletion(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry]
) -> None:
    call, other = (entry.call for entry in entries)
    found = await told()
    assert (found["due"], found["confirmed"], found["deleted"]) == (2, False, None)
    assert found["rules"][0]["calls"] == 2
    status, _, said = await run("retention", "--delete")
    assert status == 1
    assert "the rules are not confirmed" in said
    status, said, _ = await run("hold", call, "--reason", "court", "--reference", "(2026) 7")
    assert (status, said) == (0, f"held: {call}\n")
    assert json.loads((await run("holds", "--format", "json"))[1])[0]["reference"] == "(2026) 7"
    status, said, _ = await run("retention", "--confirm", "--lang", "en")
    assert status == 0
    assert "due: 1 " in said
    assert "and 1 under a hold" in said
    assert "This was a dry run: nothing was deleted." in said
    assert f"The rules were confirmed by {ME}" in said
    assert all((settings.recordings_dir / entry.path).exists() for entry in entries)
    assert (await told("--delete"))["deleted"] == 1
    assert (settings.recordings_dir / entries[0].path).exists()
    assert not (settings.recordings_dir / entries[1].path).exists()
    assert (await run("release", call, "--reason", "settled"))[0] == 0
    assert "court" not in (await run("holds"))[1]
    status, said, _ = await run("retention", "--delete")
    assert (status, "已删除 1 个" in said) == (0, True)
    status, said, _ = await run("verify")
    assert (status, "2 were deleted by certificate" in said) == (0, True)
    assert (await run("seals", "--check"))[0] == 0
    async with engine.connect() as connection:
        question = select(audit.c.who, audit.c.action).order_by(audit.c.id)
        rows = (await connection.execute(question)).all()
    assert {row.who for row in rows} == {ME}
    actions = [row.action for row in rows]
    for action in ("retention --confirm", "retention --delete", "hold", "release"):
        assert f"hotline recordings {action}" in actions
    assert other != call


async def test_words_that_make_no_sense_are_refused(
    engine: AsyncEngine, settings: Settings
) -> None:
    assert (await run("retention", "--delete", "--dry-run"))[0] == 2
    assert (await run("retention", "--at-most", "5"))[0] == 2
    assert (await run("hold", "hotline-1.1", "--reason", "x", "--until", "tomorrow"))[0] == 2
    assert (await run("hold", "no id", "--reason", "x"))[0] == 1
    assert (await run("release", "hotline-1.1", "--reason", "x"))[0] == 1
    (settings.root / "retention.toml").write_text('[[rule]]\nname = "a"\ndays = 7\n')
    status, _, said = await run("retention")
    assert status == 1
    assert "7 days are too few" in said


async def test_every_start_and_check_say_that_nothing_is_confirmed(
    engine: AsyncEngine, settings: Settings
) -> None:
    trial = settings.model_copy(update={"trial": True})
    assert (await check.retention_rules(settings))[0] is False
    assert (await check.retention_rules(trial))[0] is True
    [line] = await up.unconfirmed(settings)
    assert "not confirmed" in line
    assert await up.unconfirmed(trial) == []
    await told("--confirm")
    assert await up.unconfirmed(settings) == []
    assert (await check.retention_rules(settings))[0] is True
    (settings.root / "retention.toml").write_text('[[rule]]\nname = "a"\ndays = 7\n')
    assert "too few" in (await check.retention_rules(settings))[1]
