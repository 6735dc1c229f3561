"""Reports and lists from a copy that may only be read: as the centre's own, and nothing in it is changed."""

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection
from typer.testing import CliRunner

from base import clock, database, migrations
from base.settings import Settings
from hotline.cli.main import app
from recorder import ledger, seals
from recorder.entry import LedgerEntry
from recorder.policy import RecordingState
from tests.metrics.histories import T, answered, in_queue
from tests.metrics.test_callback_report import write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A centre that has taken two calls, and whose roll-ups are not written yet."""
    home = tmp_path / "home"
    home.mkdir()

    async def work() -> None:
        engine = database.engine(f"sqlite+aiosqlite:///{home / 'hotline.db'}")
        await migrations.upgrade(engine)
        await write(engine, tmp_path, answered("hotline-1.1"), in_queue("hotline-1.2", 60))
        await engine.dispose()

    asyncio.run(work())
    monkeypatch.setenv("HOTLINE_HOME", str(home))
    return home


def state(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


SLA = ["report", "sla", "--day", "2025-11-21", "--format", "json"]
CALLS = ["calls", "--format", "json", "--hours", str((clock.now() - T) // 3_600_000_000 + 1)]
VERIFY = ["metrics", "verify", "--day", "2025-11-21"]


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*arguments])
    return done.exit_code, done.stdout, done.stderr


def reads_all(home: Path) -> None:
    before = state(home)
    status, said, _ = run(*SLA)
    report = json.loads(said)
    assert (status, report["M1"]) == (2, {"numerator": 1, "denominator": 2, "value": 0.5})
    _, said, _ = run(*CALLS)
    assert {row["id"] for row in json.loads(said)} == {"hotline-1.1", "hotline-1.2"}
    status, said, error = run(*VERIFY)
    assert (status, "roll-ups: 2 calls" in said, "differs" in said) == (2, True, False)
    assert "can only be read" in error
    assert state(home) == before


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a read-only medium says to everybody; a mode would not keep out root, who may run the tests."""
    monkeypatch.setattr(database, "may_be_written", lambda file: False)


@pytest.mark.usefixtures("read_only")
def test_a_copy_at_this_programs_version(home: Path) -> None:
    reads_all(home)


@pytest.mark.usefixtures("read_only")
def test_the_seals_of_a_copy_are_checked_and_proven(home: Path, tmp_path: Path) -> None:
    entry = LedgerEntry("hotline-1.1", "", RecordingState.MISSING, 0, 0, "", T)

    async def work() -> None:
        engine = database.engine(f"sqlite+aiosqlite:///{home / 'hotline.db'}")
        await ledger.enter(engine, [ledger.Draft(entry, [])])
        await seals.seal(engine, Settings(home=tmp_path), T + 2 * 86_400_000_000)
        await engine.dispose()

    asyncio.run(work())
    before = state(home)
    status, said, _ = run("recordings", "seals", "--check")
    assert (status, said) == (0, "2 days checked, 1 rows sealed; 0 differ\n")
    status, said, _ = run("recordings", "prove", "hotline-1.1")
    assert (status, len(json.loads(said)["seals"])) == (0, 2)
    assert state(home) == before


@pytest.mark.usefixtures("read_only")
def test_a_copy_of_which_a_part_waits_in_the_wal(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a backup of the files of a running centre has it."""
    file = home / "hotline.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE diary SET agent = '1009' WHERE agent = '1001'")
        connection.commit()
        copied = tmp_path / "copied"
        shutil.copytree(home, copied)
    monkeypatch.setenv("HOTLINE_HOME", str(copied))
    assert (copied / "hotline.db-wal").stat().st_size > 0
    (copied / "hotline.db-shm").unlink(missing_ok=True)
    reads_all(copied)
    _, said, _ = run(*SLA[:-1], "csv", "--agent", "1009")
    assert "metric,M9,60.0,1," in said


@pytest.mark.usefixtures("read_only")
def test_a_copy_of_an_earlier_version(home: Path) -> None:
    file = home / "hotline.db"
    newer = file.rename(home.parent / "newer.db")

    def first_versions(connection: Connection) -> None:
        command.upgrade(migrations.config(connection), "0010")

    async def work() -> None:
        engine = database.engine(f"sqlite+aiosqlite:///{file}")
        async with engine.begin() as connection:
            await connection.run_sync(first_versions)
        await engine.dispose()

    asyncio.run(work())
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ATTACH ? AS newer", (str(newer),))
        connection.execute("INSERT INTO main.diary SELECT * FROM newer.diary")
        connection.execute("INSERT INTO main.changed SELECT * FROM newer.changed")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    reads_all(home)


@pytest.mark.usefixtures("read_only")
def test_what_would_change_it_is_refused(home: Path) -> None:
    before = state(home)
    add = ["--from", "2025-11-20T09:00", "--to", "2025-11-20T09:40", "--reason", "x"]
    status, said, error = run("metrics", "incident", "add", *add, "--approved-by", "y")
    assert (status, said) == (1, "")
    assert "it can only be read" in error
    assert "INSERT" not in error
    assert state(home) == before


@pytest.fixture
def medium(home: Path) -> Iterator[Path]:
    """The home in a folder that others may read and nobody may write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        place = Path(folder) / "backup"
        shutil.copytree(home, place)
        for file in place.iterdir():
            file.chmod(0o444)
        place.chmod(0o555)
        yield place
        place.chmod(0o755)


def test_another_user_reads_a_backup(medium: Path) -> None:
    """With the real rights of a user who may not write there."""
    program = [sys.executable, "-P", "-c", "from hotline.__main__ import main; main()", *SLA]
    if os.geteuid() == 0:
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        if subprocess.run([*nobody, sys.executable, "-c", ""], check=False).returncode:
            pytest.skip("nobody may not run this Python")
        program = [*nobody, *program]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOTLINE_HOME": str(medium)}
    done = subprocess.run(
        program, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["M1"]["denominator"] == 2
    assert "Traceback" not in done.stderr
