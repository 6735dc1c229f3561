"""Nobody but its owner reads a home: a softphone's hash that is read there registers a phone."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from base.settings import Settings
from hotline.machine import check, home


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Settings]:
    """A home as an earlier version left it, with the usual umask."""
    before = os.umask(0o022)
    settings = Settings(home=tmp_path / "home")
    for name in ("run", "log/asterisk", "recordings/spool", "recordings/2026-11-28", "asterisk"):
        (settings.root / name).mkdir(parents=True)
    for name in ("hotline.db", "hotline.db-wal", "log/serve.log", "recordings/2026-11-28/a.wav"):
        (settings.root / name).write_text("x")
    (settings.root / "asterisk" / "outside").symlink_to(tmp_path)
    (settings.root / "script").write_text("#!/bin/sh\n")
    (settings.root / "script").chmod(0o755)
    yield settings
    os.umask(before)


def modes(root: Path) -> dict[str, int]:
    """The rights of everything in it."""
    return {
        str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode)
        for path in [root, *root.rglob("*")]
        if not path.is_symlink()
    }


def test_what_an_earlier_version_left_open_is_closed(old: Settings, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with capture_logs() as logs:
        home.close(old)
        home.close(old)
    found = modes(old.root)
    assert not {name: mode for name, mode in found.items() if mode & 0o077}
    assert found["."] == found["log"] == found["recordings/2026-11-28"] == 0o700
    assert found["hotline.db"] == found["recordings/2026-11-28/a.wav"] == 0o600
    assert found["script"] == 0o700
    # What a link leads to is not ours to close.
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [line["event"] for line in logs] == ["home.closed"]
    assert logs[0]["count"] == len(found)


def test_a_database_elsewhere_is_closed_too(tmp_path: Path) -> None:
    database = tmp_path / "elsewhere.db"
    for name in ("elsewhere.db", "elsewhere.db-wal"):
        (tmp_path / name).touch(mode=0o644)
    (tmp_path / "somebody-elses").touch(mode=0o644)
    settings = Settings(home=tmp_path / "home", database_url=f"sqlite+aiosqlite:///{database}")
    home.close(settings)
    assert modes(tmp_path)["elsewhere.db"] == modes(tmp_path)["elsewhere.db-wal"] == 0o600
    assert modes(tmp_path)["somebody-elses"] == 0o644


def test_a_day_of_recordings_that_is_closed_is_not_searched(old: Settings) -> None:
    """A home may hold a million recordings: a restart must not look at each."""
    home.close(old)
    (old.recordings_dir / "2026-11-28" / "a.wav").chmod(0o644)
    assert list(home.open_to_others(old)) == []


def test_what_cannot_be_closed_is_said_and_the_start_goes_on(
    old: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with capture_logs() as logs:
        home.close(old)
    assert [(line["event"], line["log_level"]) for line in logs] == [("home.open", "error")]
    assert str(old.root) in logs[0]["first"]


def test_check_says_what_is_wrong_and_what_to_do(old: Settings) -> None:
    fine, line = check.privacy(old)
    assert not fine
    assert str(old.root) in line
    assert "restart `hotline up`" in line
    assert f"chmod -R go= {old.root}" in line
    home.close(old)
    fine, line = check.privacy(old)
    assert fine
    assert str(old.root) in line


def test_a_home_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "nowhere")
    home.close(settings)
    assert not settings.root.exists()
    assert check.privacy(settings)[0]


def test_every_command_makes_its_files_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "hotline",
                "agent",
                "add",
                "1001",
                "--name",
                "x",
                "--password-stdin",
            ],
            env={**os.environ, "HOTLINE_HOME": str(tmp_path / "home")},
            cwd=Path(__file__).parents[2],
            input="a-long-enough-password\n",
            text=True,
            capture_output=True,
            check=False,
        )
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    found = modes(tmp_path / "home")
    assert "hotline.db" in found
    assert not {name: oct(mode) for name, mode in found.items() if mode & 0o077}
