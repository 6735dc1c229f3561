"""The journal: rows of the diary that wait in a file while the database is away."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import structlog

log = structlog.get_logger(__name__)

Row: TypeAlias = dict[str, Any]
"""One row of the diary, by column."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows from the front of a journal; `lines` counts torn ones too, `end` is where the next page begins."""

    rows: list[Row]
    lines: int
    end: int


class Journal:
    """Rows on disk, one JSON object a line, oldest first. Read from the front, removed when all are written.

    Not forced to the disk: it must outlive this process, and after a power cut CEL completes the diary.
    """

    def __init__(self, path: Path, most: int) -> None:
        self.path = path
        self.count = 0
        self._most = most
        self._read = 0
        if path.exists():
            with path.open("r+b") as file:
                last = b"\n"
                for line in file:
                    self.count += 1
                    last = line
                if not last.endswith(b"\n"):
                    file.write(b"\n")  # a crash in the middle of a line: the next one begins anew

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

    def peek(self, count: int) -> Page:
        """The next rows, to be given to `drop` once they are written."""
        rows: list[Row] = []
        lines = 0
        try:
            with self.path.open("rb") as file:
                end = file.seek(self._read)
                for line in islice(file, count):
                    lines += 1
                    end += len(line)
                    try:
                        row = json.loads(line)
                        rows.append({name: row[name] for name in _COLUMNS})
                    except (ValueError, KeyError, TypeError):
                        log.error("diary.torn_line", journal=str(self.path), at=self._read)
        except FileNotFoundError:
            end = 0
        if not lines:
            log.error("diary.journal_gone", journal=str(self.path), facts=self.count)
            lines = self.count
        return Page(rows, lines, end)

    def drop(self, page: Page) -> None:
        """Forget a page: its rows are in the database."""
        self._read = page.end
        self.count -= page.lines
        if not self.count:
            self.path.unlink(missing_ok=True)
            self._read = 0


_COLUMNS = ("id", "at", "kind", "call", "agent", "more")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
