"""Whether calls can be recorded is known within seconds, also when the disk does not answer at all."""

import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from base.settings import Settings
from hotline.controller import tape
from hotline.controller.tape import TapeWatch
from recorder import spool


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, without_recording="02412345678")
    made.spool_dir.mkdir(parents=True)
    return made


async def test_a_folder_that_goes_and_comes_back(settings: Settings) -> None:
    resumed: list[str] = []
    watch = TapeWatch(settings, lambda: resumed.append("again"))
    with capture_logs() as logs:
        await watch.look()
        assert watch.why == ""
        settings.spool_dir.rmdir()
        await watch.look()
        await watch.look()
        assert "its folder does not exist" in watch.why
        settings.spool_dir.mkdir()
        await watch.look()
        await watch.look()
    assert watch.why == ""
    assert resumed == ["again"]
    assert [(one["event"], one["on"]) for one in logs] == [
        ("recording.blocked", True),
        ("recording.blocked", False),
    ]
    assert logs[0]["new_callers"] == "sent outside"
    assert "02412345678" not in str(logs), "numbers do not stand in logs"


async def test_a_disk_that_hangs_is_away_and_is_tried_by_one_thread(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, tries = threading.Event(), 0

    def hang(_: Path) -> str:
        nonlocal tries
        tries += 1
        goes_on.wait(20)
        return ""

    monkeypatch.setattr(tape, "PATIENCE", 0.01)
    watch = TapeWatch(settings, lambda: None)
    monkeypatch.setattr(spool, "why_not", hang)
    for _ in range(3):
        await watch.look()
        assert watch.why.endswith("does not answer")
    assert tries == 1
    monkeypatch.setattr(tape, "PATIENCE", 20)
    goes_on.set()
    await watch.look()
    assert watch.why == ""
