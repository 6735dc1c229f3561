"""Who a command becomes when it is started as root. Each attempt is a process of its own: there is no way back."""

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from base import privileges
from base.settings import Settings, SettingsError

ROOT = Path(__file__).parents[2]
NOBODY = pwd.getpwnam("nobody")
BECOME = """
import os
from base import privileges
from base.settings import SettingsError, load
try:
    privileges.become(load())
except SettingsError as error:
    print(error)
else:
    print(os.getresuid(), os.getresgid(), os.getgroups())
"""
AS_NOBODY = f"{(NOBODY.pw_uid,) * 3} {(NOBODY.pw_gid,) * 3} [{NOBODY.pw_gid}]"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can reach, as /var/lib is. pytest closes its own whenever another run of it begins."""
    with tempfile.TemporaryDirectory(prefix="hotline-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def become(home: Path, user: str = "nobody", at: Path = Path("/"), **more: str) -> str:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOTLINE_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-P", "-c", BECOME],
        env={**environment, "HOTLINE_USER": user, **more},
        cwd=at,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


def a_home(folder: Path) -> Path:
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "ami").write_text("0" * 64)
    (folder / "recordings" / "2026-01-01").mkdir(parents=True)
    (folder / "recordings" / "2026-01-01" / "one.wav").write_bytes(b"sound")
    return folder


@as_root
def test_a_new_home_is_the_users(place: Path) -> None:
    home = place / "deep" / "home"
    assert become(home) == AS_NOBODY
    assert owners(home) == {NOBODY.pw_uid}
    assert home.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_home_of_root_is_given_once_and_as_a_whole(place: Path) -> None:
    home = a_home(place / "home")
    outside = place / "outside"
    outside.write_text("root's")
    (home / "link").symlink_to(outside)
    assert become(home) == AS_NOBODY
    assert owners(home) == {NOBODY.pw_uid}
    assert outside.stat().st_uid == 0, "a link is not followed"
    # From then on nothing is looked through any more: there may be a million recordings.
    (home / "later").write_text("root's")
    assert become(home) == AS_NOBODY
    assert (home / "later").stat().st_uid == 0


@as_root
def test_what_is_no_home_of_a_hotline_is_left_alone(place: Path) -> None:
    other = place / "lib"
    (other / "dpkg").mkdir(parents=True)
    assert "is no home of a hotline" in become(other)
    assert owners(other) == {0}


@as_root
def test_a_running_centre_of_root_is_stopped_first(place: Path) -> None:
    home = a_home(place / "home")
    (home / "run").mkdir()
    with subprocess.Popen(["sleep", "60"]) as other:
        (home / "run" / "hotline-redis.pid").write_text(f"{other.pid} 1 x\n")
        assert become(home) == AS_NOBODY, "another process has this id today"
        os.chown(home, 0, 0)
        other.kill()
    with subprocess.Popen(["/bin/sh", "-c", "exec -a asterisk sleep 60"], executable="bash") as one:
        (home / "run" / "hotline-asterisk.pid").write_text(f"{one.pid} 1 x\n")
        try:
            wait_for(one.pid, b"asterisk")
            assert become(home).startswith("HOTLINE_USER: asterisk of this home runs as another")
        finally:
            one.kill()


def wait_for(pid: int, name: bytes) -> None:
    while not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(name):
        pass


@as_root
def test_what_the_user_cannot_use_is_said(place: Path) -> None:
    assert "there is no user 'no-such-one'" in become(place / "home", "no-such-one")
    assert "root is no unprivileged user" in become(place / "home", "root")
    assert not (place / "home").exists()
    config = place / "hotline.toml"
    config.write_text('numbers = "12345"\n')
    config.chmod(0o600)
    assert "may not read" in become(place / "home", HOTLINE_CONFIG=str(config))
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    assert "may not write to" in become(closed / "home")
    (closed / "hotline.toml").write_text('numbers = "12345"\n')
    assert "may not read" in become(place / "home", at=closed)
    (closed / "hotline.toml").unlink()
    assert become(place / "home", at=closed) == AS_NOBODY


def test_nobody_else_becomes_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    privileges.become(Settings(home=tmp_path / "home", user="no-such-one"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    privileges.become(Settings(home=tmp_path / "home"))
    assert not (tmp_path / "home").exists()
    (tmp_path / "home").mkdir()
    with monkeypatch.context() as medium:
        medium.setattr(os, "access", lambda *_: False)
        privileges.become(Settings(home=tmp_path / "home", user="nobody"))
    with pytest.raises(SettingsError):
        privileges.become(Settings(home=tmp_path / "home", user="no-such-one"))
