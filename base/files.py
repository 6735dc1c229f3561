"""Files that are written for somebody: a reader sees either the old one or the whole new one."""

import errno
import os
import secrets
import stat
from pathlib import Path


def put(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file: beside it, forced to the disk, then under its name. What is no ordinary file is written as it is.

    A full disk leaves the file of before. Its mode stays unless there is a `mode`, which the file has from the first
    byte on. A link goes on leading to it. The folder must exist. Raises `OSError`, of which `why` makes a sentence.
    """
    place = path.resolve()
    try:
        before = place.stat().st_mode
    except FileNotFoundError:
        before = 0
    if before and not stat.S_ISREG(before):
        place.write_bytes(content)  # a device or a pipe; a folder is refused
        return
    part = place.with_name(f".{place.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            if mode is not None or before:
                os.fchmod(file.fileno(), stat.S_IMODE(before if mode is None else mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Force to the disk which files a folder has: after a rename or a removal. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def why(path: Path | str, error: OSError) -> str:
    """A sentence about a file that was not written, for whoever asked for it."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return f"{path} cannot be written: {reason}"


_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your share of the disk is used up",
    errno.EROFS: "the disk can only be read",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
    errno.ENOENT: "its folder does not exist",
    errno.ENOTDIR: "a part of its path is no folder",
    errno.EISDIR: "it is a folder; name a file in it",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EIO: "the disk reports an error",
}
