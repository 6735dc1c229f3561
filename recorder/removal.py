"""The files of one recording go, and it is seen that they are gone. All that is deleted passes here.

Whatever lies beside the recording under the call's id goes with it (peaks, another form of the same sound).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from base import files
from base.settings import Settings
from recorder.entry import LedgerEntry


class RemovalError(Exception):
    """The files were not removed, or it is not known whether they are. The message says why."""


def is_there(settings: Settings, entry: LedgerEntry) -> bool:
    """Whether the recording's own file is there. Raises `RemovalError` if its folder cannot be read."""
    file = settings.recordings_dir / entry.path
    try:
        return any(one.name == file.name for one in file.parent.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RemovalError(f"{file.parent} cannot be read: {error.strerror or error}") from error


def remove_files(settings: Settings, entry: LedgerEntry) -> None:
    """Remove every file of a recording, force that to the disk, and look again.

    Repeating it changes nothing. Raises `RemovalError`: the folder is not there (then a disk may be away, and nothing
    is known), a file cannot be removed, or is there all the same.
    """
    file = settings.recordings_dir / entry.path
    try:
        for one in list(_files(file, entry.call)):
            with contextlib.suppress(FileNotFoundError):
                one.unlink()
        files.sync_folder(file.parent)
        left = [one.name for one in _files(file, entry.call)]
    except FileNotFoundError:
        raise RemovalError(f"the folder {file.parent} is not there: is the disk mounted?") from None
    except OSError as error:
        raise RemovalError(f"{file} cannot be removed: {error.strerror or error}") from error
    if left:
        raise RemovalError(f"{', '.join(left)} in {file.parent} were removed, and are there again")


def _files(file: Path, call: str) -> Iterator[Path]:
    """An id holds one dot, so only its own files' names begin with `CALL.`, or with `.CALL.` while half written."""
    for one in file.parent.iterdir():
        if one.name == file.name or one.name.startswith((f"{call}.", f".{call}.")):
            yield one
