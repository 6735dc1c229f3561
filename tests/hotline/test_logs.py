"""No log file grows for ever, and nothing of Asterisk's evidence is lost on the way."""

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from base.background import spawn
from base.settings import Settings
from hotline.machine import logs
from telephony.cel_file import read_since

LIMIT = 1_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, log_mb=1, log_files=2)
    made.cel_file.parent.mkdir(parents=True)
    return made


def test_every_file_is_limited_while_it_is_written(settings: Settings) -> None:
    """Asterisk's `security` and ours, ten times as much as may stay."""
    for name in ("asterisk/security", "asterisk/messages", "serve.log", "redis.log"):
        file = settings.log_dir / name
        with file.open("ab", buffering=0) as writer:
            for turn in range(20):
                writer.write(b"%02d\n" % turn + b"x" * (LIMIT // 2))
                logs.rotate(settings)
    sizes = [file.stat().st_size for file in settings.log_dir.rglob("*") if file.is_file()]
    assert sum(sizes) < 4 * 3 * 1.6 * LIMIT
    kept = sorted(file.name for file in settings.log_dir.glob("serve.log*"))
    assert kept == ["serve.log", "serve.log.1", "serve.log.2"]
    newest = (settings.log_dir / "serve.log.1").read_bytes() + (
        settings.log_dir / "serve.log"
    ).read_bytes()
    assert b"19\n" in newest
    assert b"\0" not in newest, "whoever has the file open goes on at its new beginning"


def test_no_event_of_asterisk_is_lost(settings: Settings) -> None:
    """A writer that has opened the file before it was moved writes into the moved one."""
    line = '"CHAN_START","{at}.000000","u{at}","u{at}","PJSIP/trunk-1","1","inbound","12345","","","",""\n'
    file = settings.cel_file
    many = "".join(line.format(at=1_763_731_200 + n) for n in range(15_000))
    assert len(many) > LIMIT
    file.write_text(many)
    with file.open("a") as writer:
        assert logs.rotate(settings) == [file]
        writer.write(line.format(at=1_763_746_200))
    file.write_text(line.format(at=1_763_746_201))
    read = read_since(file, 1_763_731_200_000_000)
    assert len(read.events) == 15_002


def test_small_files_and_old_ones_stay(settings: Settings) -> None:
    small, old = settings.log_dir / "up.log", settings.log_dir / "up.log.7"
    small.write_text("x")
    old.write_bytes(b"x" * 2 * LIMIT)
    assert logs.rotate(settings) == []
    assert small.read_text() == "x"
    assert not (settings.log_dir / "up.log.7.1").exists()


def test_a_disk_without_room_for_the_old_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    file = settings.log_dir / "serve.log"
    file.write_bytes(b"x" * 2 * LIMIT)
    assert logs.rotate(settings) == [file]
    assert file.stat().st_size == 0


async def test_a_folder_that_cannot_be_read_ends_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked = 0

    def rotate(_settings: Settings) -> list[Path]:
        nonlocal looked
        looked += 1
        raise OSError("no")

    monkeypatch.setattr(logs, "rotate", rotate)
    monkeypatch.setattr(logs, "LOOK_EVERY", 0.0)
    with caplog.at_level(logging.ERROR):
        task = spawn(logs.keep_small(settings), "log files")
        async with asyncio.timeout(20):
            while looked < 3:
                await asyncio.sleep(0.01)
        task.cancel()
