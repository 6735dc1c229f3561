"""The log files stay small: `hotline up` looks at them and moves what has grown to `NAME.1`, `NAME.2` and so on.

A stranger's packet makes Asterisk write a line, so nothing else limits what the logs take of the disk.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import structlog

from base.settings import Settings

log = structlog.get_logger(__name__)

LOOK_EVERY = 5.0
"""Seconds. A flood of guesses writes about a megabyte a second."""

_OLD = re.compile(r"\.\d+$")


async def keep_small(settings: Settings) -> None:
    """Look for ever."""
    failed = False
    while True:
        try:
            moved = await asyncio.to_thread(rotate, settings)
        except OSError as error:
            if not failed:
                log.error("logs.not_rotated", error=str(error))
            failed = True
        else:
            failed = False
            if moved:
                log.info("logs.rotated", files=sorted(file.name for file in moved))
        await asyncio.sleep(LOOK_EVERY)


def rotate(settings: Settings) -> list[Path]:
    """Move each file of more than `log_mb` megabytes, keep `log_files` old ones, and give what was moved.

    All files together take at most about `log_mb` times (`log_files` + 1) for each log. Raises `OSError`.
    """
    limit = settings.log_mb * 1_000_000
    moved = []
    for file in list(_logs(settings.log_dir)):
        if file.stat().st_size > limit:
            _shift(file, settings.log_files)
            if file in (settings.cel_file, settings.log_dir / "queue_log"):
                file.rename(_old(file, 1))  # opened again for each line, so none is lost
            else:
                _empty(file)
            moved.append(file)
    return moved


def _logs(folder: Path) -> Iterator[Path]:
    for at, _, names in os.walk(folder):
        for name in names:
            file = Path(at) / name
            if not _OLD.search(name) and file.is_file() and not file.is_symlink():
                yield file


def _old(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}.{number}")


def _shift(file: Path, keep: int) -> None:
    """`NAME.1` becomes `NAME.2`; the oldest goes. `NAME.1` is free then."""
    _old(file, keep).unlink(missing_ok=True)
    for number in range(keep - 1, 0, -1):
        if _old(file, number).exists():
            _old(file, number).rename(_old(file, number + 1))


def _empty(file: Path) -> None:
    """Copy and truncate: a process has it open and appends to it. What it writes in between is lost."""
    old = _old(file, 1)
    try:
        shutil.copyfile(file, old)
        old.chmod(0o600)
    except OSError:
        old.unlink(missing_ok=True)  # the disk is full: the log is lost, and the calls are not
    os.truncate(file, 0)
