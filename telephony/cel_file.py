"""Reading Asterisk's own record of events (CEL): the lines since a moment, however large the file is.

Call `read_since` in a thread: the file may be large.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from facts.times import SECOND
from telephony.cel import CelEvent, Reading, parse

_DISORDER = 5 * SECOND
"""Microseconds by which lines may be out of order."""
_LONGEST_LINE = 65_536


def read_since(path: Path, at: int, until: int | None = None) -> Reading:
    """Read the events since `at` (microseconds), older ones of the same few seconds included, or those `until` then.

    It seeks by bisection, so the file's size does not matter. It goes on to rotated files (`hotline.csv.1`,
    `hotline.csv-20251121`; not to compressed ones) while these may hold newer events. Without a file there are no
    events. A last line that Asterisk is still writing is left for the next time. Raises `OSError` for a file that
    cannot be read.
    """
    since = at - _DISORDER
    events: list[CelEvent] = []
    garbage = 0
    for file in (path, *_rotated(path)):
        try:
            opened = file.open("rb")
        except FileNotFoundError:
            continue
        with opened as stream:
            reached = _seek(stream, since)
            for event in _events(stream):
                if event is None:
                    garbage += 1
                elif until is not None and event.at > until + _DISORDER:
                    break
                elif event.at >= since:
                    events.append(event)
        if reached:
            break
    events.sort(key=lambda event: event.at)
    return Reading(tuple(events), garbage)


def begins(path: Path) -> int:
    """When the oldest readable event was (microseconds), of this file and the rotated ones; 0 if there is none."""
    found = []
    for file in (path, *_rotated(path)):
        try:
            with file.open("rb") as stream:
                found.append(_next_time(stream))
        except FileNotFoundError:
            continue
    return min(filter(None, found), default=0)


def _rotated(path: Path) -> list[Path]:
    """Older files, the newest first."""
    found = [
        file
        for file in path.parent.glob(f"{path.name}[.-]*")
        if not file.name.endswith((".gz", ".xz", ".bz2", ".zst"))
    ]
    return sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)


def _seek(stream: BinaryIO, since: int) -> bool:
    """Go to a line before the first event since `since`. True if an older event precedes it: this file is enough."""
    low, high = 0, stream.seek(0, 2)
    reached = False
    while high - low > _LONGEST_LINE:
        middle = (low + high) // 2
        stream.seek(middle)
        stream.readline(_LONGEST_LINE)
        at = _next_time(stream)
        if at and at < since:
            low, reached = middle, True
        else:
            high = middle
    stream.seek(low)
    if low:
        stream.readline(_LONGEST_LINE)
        return reached
    first = _next_time(stream)
    stream.seek(0)
    return bool(first) and first < since


def _next_time(stream: BinaryIO) -> int:
    """The time of the next readable line; 0 at the end, or after too much garbage."""
    for _ in range(1000):
        line = stream.readline(_LONGEST_LINE)
        if not line:
            return 0
        event = parse(line.decode("utf-8", "replace").rstrip("\r\n"))
        if event is not None:
            return event.at
    return 0


def _events(stream: BinaryIO) -> Iterator[CelEvent | None]:
    """The lines from here on; None for each unreadable one. A caller's number may hold a line break, so one event may
    be spread over several lines."""
    held = ""
    for raw in stream:
        if not raw.endswith(b"\n"):
            return  # still being written
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        event = parse(line)
        if event is not None:
            if held:
                yield None
            held = ""
            yield event
            continue
        joined = f"{held}\n{line}" if held else line
        event = parse(joined)
        if event is not None:
            held = ""
            yield event
        elif joined.startswith('"') and len(joined) < 4096:
            held = joined
        else:
            held = ""
            yield None
    if held:
        yield None
