"""The file `queue_log`: masked by default, rotated at any time, and never in a call's way."""

import shutil
from pathlib import Path

import pytest

from facts import AgentReady, CallArrived, CallQueued, Fact
from telephony.queue_log_file import QueueLogFile

T = 1_763_731_200_000_000
CALL: list[Fact] = [
    CallArrived(T, "n-1.1", "12345", "+8613812345678"),
    CallQueued(T, "n-1.1", "default"),
]


@pytest.mark.parametrize(
    ("numbers", "shown"), [("masked", "+86****5678"), ("whole", "+8613812345678")]
)
def test_numbers_are_whole_only_where_that_is_set(tmp_path: Path, numbers: str, shown: str) -> None:
    file = tmp_path / "log" / "queue_log"
    QueueLogFile(file, numbers).write(CALL)
    assert file.read_text() == f"1763731200|n-1.1|default|NONE|ENTERQUEUE||{shown}|1\n"
    assert file.stat().st_mode & 0o007 == 0


def test_nothing_is_written_when_it_is_off(tmp_path: Path) -> None:
    QueueLogFile(tmp_path / "queue_log", "off").write(CALL)
    assert list(tmp_path.iterdir()) == []


def test_it_may_be_rotated(tmp_path: Path) -> None:
    file = tmp_path / "queue_log"
    log = QueueLogFile(file, "masked")
    log.write([AgentReady(T, "1001")])
    file.rename(tmp_path / "queue_log.1")
    log.write([AgentReady(T, "1002")])
    assert file.read_text() == "1763731200|NONE|default|PJSIP/1002|ADDMEMBER\n"


def test_what_an_earlier_controller_wrote_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "queue_log"
    log = QueueLogFile(file, "masked")
    log.seed([*CALL, AgentReady(T, "1001")])
    assert not file.exists()
    log.write([AgentReady(T, "1001")])
    assert not file.exists()


def test_a_disk_that_cannot_be_written_to_costs_lines_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "log"
    folder.write_text("a file where the folder should be")
    log = QueueLogFile(folder / "queue_log", "masked")
    log.write(CALL)
    log.write([AgentReady(T, "1001")])
    assert capsys.readouterr().out.count("queue_log.failed") == 1
    folder.unlink()
    log.write([AgentReady(T, "1002")])
    assert "PJSIP/1002|ADDMEMBER" in (folder / "queue_log").read_text()
    shutil.rmtree(folder)
