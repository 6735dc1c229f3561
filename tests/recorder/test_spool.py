"""What lies in Asterisk's spool, and whether it can take more."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder import spool
from tests.recorder.conftest import call_id


def test_only_raw_files_of_calls_count(tmp_path: Path) -> None:
    (tmp_path / f"{call_id(1)}.raw").write_bytes(bytes(8))
    os.utime(tmp_path / f"{call_id(1)}.raw", ns=(0, 5_000_000_000))
    (tmp_path / f"{call_id(2)}.raw").mkdir()
    (tmp_path / f"{call_id(3)}.raw").symlink_to("/etc/hostname")
    for name in (".hidden.raw", "13812345678.raw", f"{call_id(4)}.wav"):
        (tmp_path / name).touch()
    found, odd = spool.look(tmp_path)
    path = tmp_path / f"{call_id(1)}.raw"
    assert found == {call_id(1): spool.RawFile(call_id(1), path, 8, 5_000_000)}
    assert sorted(odd) == sorted(
        [f"{call_id(2)}.raw", f"{call_id(3)}.raw", "13812345678.raw", f"{call_id(4)}.wav"]
    )


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_try_to_record_leaves_nothing_behind(tmp_path: Path) -> None:
    assert spool.why_not(tmp_path) == ""
    with no_file_longer_than(1000):
        assert "cannot be written" in spool.why_not(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "its folder does not exist" in spool.why_not(tmp_path / "gone")
    (tmp_path / "file").touch()
    assert "cannot be written" in spool.why_not(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "you may not write there" in spool.why_not(tmp_path)
