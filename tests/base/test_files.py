"""A file that is written for somebody: whole, or the one of before; on a disk that is really full, too."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from base import files
from hotline.cli.main import app

ROOT = Path(__file__).parents[2]


def test_a_file_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sla.json"
    files.put(path, b"older")
    with path.open("rb") as reader:
        files.put(path, b"old")
        # Who had it open goes on reading the file of before: another one took its name.
        assert (reader.read(), path.read_bytes()) == (b"older", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.put(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_its_mode_and_a_link_to_it_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "sla.json", tmp_path / "latest"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path.name)
    files.put(link, b"new")
    assert link.is_symlink()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)


def test_a_mode_is_that_of_the_file_new_or_old(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for content in (b"one", b"two"):
        files.put(file, content, 0o600)
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (content, 0o600)
        file.chmod(0o644)


def test_a_device_is_written_as_it_is(tmp_path: Path) -> None:
    files.put(Path("/dev/null"), b"new")
    assert not Path("/dev/null").is_file()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        files.put(pipe, b"new")
        assert reader.communicate()[0] == b"new"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("none/x", "its folder does not exist"),
        ("", "it is a folder; name a file in it"),
        ("file/x", "a part of its path is no folder"),
        ("x" * 300, "its name is too long"),
        ("/dev/full", "the disk is full"),
    ],
)
def test_why_not_is_a_sentence(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    with pytest.raises(OSError) as raised:  # noqa: PT011 which one it is, the sentence says
        files.put(path, b"new")
    assert files.why(path, raised.value) == f"{path} cannot be written: {said}"
    assert files.why("x", OSError(errno.ELOOP, "Too many links")).endswith("Too many links")


# --- the commands


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "report sla": lambda out: [
        *("report", "sla", "--period", "2025-11-20", "--format", "json", "--out", str(out))
    ],
    "queue export": lambda out: ["queue", "export", str(out)],
    "staff": lambda out: [
        *("staff", "--csv", str(out.parent / "calls.csv"), "--calls", "1000", "--plot", str(out))
    ],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_leaves_the_file_of_before(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "calls.csv").write_text("hour,calls\n9,30\n")
    out = folder / "result.svg"
    out.write_text("the one of before")

    real = os.fsync

    def full(descriptor: int) -> None:
        if ".result.svg." in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        done = CliRunner().invoke(app, COMMANDS[command](out))
    assert done.exit_code != 0
    assert f"{out} cannot be written: the disk is full" in done.output
    assert "Errno" not in done.output
    assert out.read_text() == "the one of before"
    assert sorted(path.name for path in folder.iterdir()) == ["calls.csv", "result.svg"]

    assert CliRunner().invoke(app, COMMANDS[command](out)).exit_code in (0, 2)  # 2: no verdict
    assert out.read_text() != "the one of before"


def test_an_answer_that_finds_no_room_says_so(home: Path) -> None:
    """Standard output leads to a full disk: no traceback, and no success."""
    for arguments in (("queue", "export"), ("report", "sla", "--format", "json")):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    "from hotline.__main__ import main; main()",
                    *arguments,
                ],
                env={**os.environ, "PYTHONPATH": str(ROOT), "HOTLINE_HOME": str(home)},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        said = [line for line in done.stderr.splitlines() if line.startswith("hotline: ")]
        assert said == ["hotline: the answer cannot be written: the disk is full"]
        assert "Traceback" not in done.stderr
        assert done.returncode == 1
