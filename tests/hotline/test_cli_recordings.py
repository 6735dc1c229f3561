"""`hotline recordings`: sound that is given away is what the ledger vouches for, and what is not is listed."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from base.settings import Settings
from facts import Fact
from hotline.cli.main import app
from recorder import ledger, policy, tables

NOW = 1_763_731_300_000_000


@pytest.fixture
def settings(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("HOTLINE_DATABASE_URL", url)
    made = Settings(home=tmp_path)
    made.spool_dir.mkdir(parents=True)
    return made


async def recorded(engine: AsyncEngine, settings: Settings, number: int) -> ledger.LedgerEntry:
    call = f"hotline-1763731200.{number}"
    (settings.spool_dir / f"{call}.raw").write_bytes(os.urandom(4 * 8000))
    return await ledger.finish(engine, settings, call)


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["recordings", *words])
    return done.exit_code, done.stdout, done.stderr


async def in_thread(*words: str) -> tuple[int, str, str]:
    """The command line has a loop of its own."""
    return await asyncio.to_thread(run, *words)


def verdict(said: tuple[int, str, str]) -> tuple[int, dict[str, Any]]:
    return said[0], json.loads(said[1])


async def test_a_whole_ledger_verifies(engine: AsyncEngine, settings: Settings) -> None:
    for number in range(3):
        await recorded(engine, settings, number)
    facts: list[Fact] = []
    missing = ledger.draft("hotline-1763731200.9", facts, None, at=NOW)
    await ledger.enter(engine, [missing])
    status, said, _ = await in_thread("verify")
    assert (status, said) == (
        0,
        "3 recordings checked, 0 differ; 1 calls have none, as the ledger says\n",
    )
    assert verdict(await in_thread("verify", "--format", "json", "--hours", "1")) == (
        0,
        {"checked": 3, "without_recording": 0, "differ": []},
    )
    assert (await in_thread("verify", "--hours", "0"))[0] == 2


async def test_every_difference_is_listed(engine: AsyncEngine, settings: Settings) -> None:
    entries = [await recorded(engine, settings, number) for number in range(6)]
    gone, altered, torn, empty, longer = (
        settings.recordings_dir / entry.path for entry in entries[:5]
    )
    gone.unlink()
    altered.write_bytes(altered.read_bytes()[:-1] + b"!")
    torn.write_bytes(torn.read_bytes()[:-4])
    empty.write_bytes(b"")
    async with engine.begin() as connection:
        row = update(tables.recording).where(tables.recording.c.path == entries[4].path)
        await connection.execute(row.values(duration=entries[4].duration + 1))
    status, found = verdict(await in_thread("verify", "--format", "json"))
    assert status == 1
    assert [one["call"] for one in found["differ"]] == [entry.call for entry in entries[:5]]
    for one, said in zip(
        found["differ"],
        ("is gone", "SHA-256 differs", "is damaged", "is damaged", "the row was changed"),
        strict=True,
    ):
        assert said in one["what"]
    status, text, _ = await in_thread("verify")
    assert status == 1
    assert text.endswith("6 recordings checked, 5 differ; 0 calls have none, as the ledger says\n")
    assert longer.exists()


async def test_more_rows_than_a_page(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PAGE", 2)
    for number in range(5):
        await recorded(engine, settings, number)
    seen = [entry.call async for entry, _ in ledger.verify_all(engine, settings)]
    assert seen == sorted(seen)
    assert len(seen) == 5


async def test_an_export_replaces_and_gives_damaged_sound_only_when_told_to(
    engine: AsyncEngine, settings: Settings, tmp_path: Path
) -> None:
    entry = await recorded(engine, settings, 1)
    source, out = settings.recordings_dir / policy.place(entry.call), tmp_path / "out.wav"
    assert (await in_thread("export", entry.call, "--out", str(out)))[0] == 0
    status, _, said = await in_thread("export", entry.call, "--out", str(out))
    assert status == 1
    assert "add --overwrite" in said
    source.write_bytes(source.read_bytes()[:-1] + b"!")
    status, _, said = await in_thread("export", entry.call, "--out", str(out), "--overwrite")
    assert status == 1
    assert "export it with --despite-damage" in said
    assert out.read_bytes() != source.read_bytes()
    words = ("--overwrite", "--despite-damage")
    assert (await in_thread("export", entry.call, "--out", str(out), *words))[0] == 0
    assert out.read_bytes() == source.read_bytes()
