"""The folder into which Asterisk writes: which raw files lie there, and whether it can take more."""

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from base import files
from facts.ids import is_call_id
from facts.terms import CallId

ENDING: Final = ".raw"
_HUNG: Final = ".ffmpeg-hangs"
_PROBE: Final = bytes(65_536)
"""Two seconds of sound."""


@dataclass(frozen=True, slots=True)
class RawFile:
    """A raw file as one look found it: `size` in bytes, `changed` in microseconds UTC."""

    call: CallId
    path: Path
    size: int
    changed: int


def look(spool: Path) -> tuple[dict[CallId, RawFile], list[str]]:
    """The raw files by their call, and the names of what does not belong there. Raises `OSError`."""
    found: dict[CallId, RawFile] = {}
    odd = []
    with os.scandir(spool) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            call = entry.name.removesuffix(ENDING)
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if call != entry.name and is_call_id(call) and stat.S_ISREG(status.st_mode):
                    changed = status.st_mtime_ns // 1000
                    found[call] = RawFile(call, Path(entry.path), status.st_size, changed)
                else:
                    odd.append(entry.name)
    return found, odd


def hung(spool: Path) -> bool:
    """Whether ffmpeg hung over files that still wait there."""
    return (spool / _HUNG).exists()


def note_hung(spool: Path, *, on: bool) -> None:
    """Leave, or take away, the mark by which the alarms, in another process, know that ffmpeg hangs."""
    with contextlib.suppress(OSError):  # a disk that takes no mark has an alarm of its own
        if on:
            (spool / _HUNG).touch()
        else:
            (spool / _HUNG).unlink(missing_ok=True)


def why_not(spool: Path) -> str:
    """Why no call can be recorded there at this moment, as a sentence; empty if one can.

    It writes a little and takes it away again: the rights of a folder say nothing of a full disk, of one that can only
    be read, or of what root may do.
    """
    probe = spool / ".probe"
    try:
        try:
            probe.write_bytes(_PROBE)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return files.why(spool, error)
    return ""
