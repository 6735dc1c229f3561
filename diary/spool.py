"""The spool: rows that wait in a file of JSON lines while the database is away. The diary and the callbacks have one.

A row is one JSON object on one line, oldest first; rows are added at the end and read from the front, and the file goes
when all are written. It is not forced to the disk: it must outlive this process, and after a power cut CEL completes
the diary. It holds citizens' numbers, so only its owner may read it (0600).
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from facts.live import Json

T = TypeVar("T")

Row: TypeAlias = Mapping[str, object]
"""One line, by name."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows from the front of a spool.

    `lines` counts torn ones, too; `torn` says where in the file (bytes) those begin, for the log. `end` is where the
    next page begins. `gone`: the file was removed, and the rows with it.
    """

    rows: list[T]
    lines: int
    end: int
    torn: tuple[int, ...] = ()
    gone: bool = False


class Spool(Generic[T]):
    """The file at `path`, of at most `most` bytes.

    `read` makes a row of a line's object. A line counts as torn if that raises `ValueError`, `KeyError`, `TypeError` or
    `AttributeError`. Call `recover` before anything else.
    """

    def __init__(self, path: Path, most: int, read: Callable[[dict[str, Json]], T]) -> None:
        self.path = path
        self.count = 0
        """Lines that wait."""
        self._most = most
        self._read_row = read
        self._front = 0

    def recover(self) -> None:
        """Count what an earlier process left. The last line, torn by a crash, is ended: the next one starts a line.

        Raises `OSError` when the file cannot be read or written.
        """
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            last = b"\n"
            for line in file:
                self.count += 1
                last = line
            if not last.endswith(b"\n"):
                file.write(b"\n")

    def append(self, rows: Sequence[Row]) -> int:
        """Add rows to the end and say for how many there was room. Raises `OSError`, and then none was added."""
        lines = [json.dumps(row).encode() + b"\n" for row in rows]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            room = self._most - size
            kept = 0
            while kept < len(lines) and (room := room - len(lines[kept])) >= 0:
                kept += 1
            try:
                _write_all(descriptor, b"".join(lines[:kept]))
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        self.count += kept
        return kept

    def peek(self, count: int) -> Page[T]:
        """The next rows, to be given to `drop` once they are written. Raises `OSError` when the file cannot be read."""
        rows: list[T] = []
        torn: list[int] = []
        lines, end = 0, self._front
        try:
            with self.path.open("rb") as file:
                file.seek(end)
                for line in islice(file, count):
                    try:
                        rows.append(self._read_row(json.loads(line)))
                    except (ValueError, KeyError, TypeError, AttributeError):
                        torn.append(end)
                    lines += 1
                    end += len(line)
        except FileNotFoundError:
            pass
        if not lines:
            return Page(rows, self.count, 0, gone=True)
        return Page(rows, lines, end, tuple(torn))

    def drop(self, page: Page[T]) -> None:
        """Forget a page: its rows are in the database."""
        self._front = page.end
        self.count -= page.lines
        if not self.count:
            self.path.unlink(missing_ok=True)
            self._front = 0


def lines_in(path: Path) -> int:
    """How many rows wait in the file, written by any process. 0 without a file."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except FileNotFoundError:
        return 0


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
