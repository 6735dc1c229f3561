"""A number in text files: logs, Asterisk's too, and CEL. It is overwritten in its place by as many letters.

The files stay open to whoever appends to them, and no line moves. Compressed files are only named.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from base.settings import Settings

_BLOCK: Final = 1 << 20
_OVERLAP: Final = 128
"""Bytes that are read again with the next block: longer than a number in any form."""
_PACKED: Final = (".gz", ".xz", ".bz2", ".zst")
_ROUNDS: Final = 3
"""A file may be copied to `NAME.1` while its number is being overwritten: then it is found there by the next round."""


def files(settings: Settings) -> list[Path]:
    """All logs, CEL among them, and the old ones of each."""
    return [file for file in _all(settings) if not file.name.endswith(_PACKED)]


def packed(settings: Settings) -> list[Path]:
    """Logs that somebody has compressed: nobody looks into them."""
    return [file for file in _all(settings) if file.name.endswith(_PACKED)]


def count(file: Path, form: re.Pattern[str]) -> int:
    """How often the number is in a file. Raises `OSError`."""
    with file.open("rb") as stream:
        return sum(1 for _ in _places(stream.fileno(), in_bytes(form)))


def overwrite(settings: Settings, form: re.Pattern[str], token: str) -> int:
    """Overwrite the number in all files; gives how many times. Repeating it changes nothing. Raises `OSError`."""
    done = 0
    wanted = in_bytes(form)
    for _ in range(_ROUNDS):
        found = sum(_overwrite(file, wanted, token) for file in files(settings))
        if not found:
            break
        done += found
    return done


def _overwrite(file: Path, form: re.Pattern[bytes], token: str) -> int:
    done = 0
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0  # the oldest of its kind was just removed
    try:
        for begin, end in list(_places(descriptor, form)):
            letters = (token * (1 + (end - begin) // len(token)))[: end - begin].encode()
            if os.fstat(descriptor).st_size >= end:  # else the file was emptied meanwhile
                os.pwrite(descriptor, letters, begin)
                done += 1
        if done:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return done


def _places(descriptor: int, form: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    """Where the number stands, as (begin, end). Constant memory."""
    start, told = 0, 0
    while block := os.pread(descriptor, _BLOCK + _OVERLAP, start):
        last = len(block) < _BLOCK + _OVERLAP
        for one in form.finditer(block):
            begin, end = start + one.start(), start + one.end()
            # At the edges of a block it is not known what stands beside it.
            if (
                begin >= told
                and (start == 0 or one.start() >= 2)
                and (last or one.end() < len(block) - 2)
            ):
                yield begin, end
                told = end
        if last:
            return
        start += _BLOCK


def in_bytes(form: re.Pattern[str]) -> re.Pattern[bytes]:
    """The same pattern for bytes."""
    return re.compile(form.pattern.encode())


def _all(settings: Settings) -> list[Path]:
    found = []
    for at, _, names in os.walk(settings.log_dir):
        for name in names:
            file = Path(at) / name
            if file.is_file() and not file.is_symlink():
                found.append(file)
    return sorted(found)
