"""The file `queue_log`: what `telephony.queue_log` says, appended line by line.

It is opened again for each batch of lines, so it may be rotated at any moment. A full disk costs lines, never a call. A
controller that is killed loses the lines of its last half second: the next one reads the file's end, and writes what is
missing of the calls that have entered a queue.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from facts import CallArrived, Fact
from facts.masking import mask
from facts.terms import CallId
from telephony.queue_log import LEAVES, MILESTONES, QueueLog

_TAIL = 16_000_000
"""Bytes of the file's end that a start reads: the lines of some 40,000 calls."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Told:
    """What the file has. `since`: the time of its oldest line that was read (seconds), None without one.

    `milestones`: by call, those events that say whether it waits or talks. `positions`: those at which it entered.
    """

    since: int | None = None
    milestones: dict[CallId, list[str]] = field(default_factory=dict)
    positions: dict[CallId, list[int]] = field(default_factory=dict)

    @property
    def unfinished(self) -> set[CallId]:
        """The calls that have entered a queue and not left it."""
        told = self.milestones.items()
        return {call for call, events in told if events and events[-1] not in LEAVES}

    def lacks(self, line: str) -> bool:
        """Whether this line is a milestone that is missing. Each line of a call is asked about once, in their order."""
        at, call, _, _, event, *_ = line.split("|")
        if event not in MILESTONES or self.since is None or int(at) < self.since:
            return False
        if not self.milestones.get(call):
            return True
        self.milestones[call].pop(0)
        return False


class QueueLogFile:
    """Takes every fact. `numbers`: `masked`, `whole`, or `off`, when nothing is written."""

    def __init__(self, path: Path, numbers: str) -> None:
        self._path = path
        self._masked = numbers == "masked"
        self._off = numbers == "off"
        self._lines = QueueLog()
        self._failed = False

    def read_back(self) -> Told:
        """What an earlier controller wrote, by the file's end. Never raises; it may take a second."""
        if self._off:
            return Told()
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return Told()  # it was rotated, or there is none yet
        return _told(text.partition("\n")[2] if size > _TAIL else text)

    def seed(self, facts: Iterable[Fact], told: Told | None = None) -> None:
        """Take what an earlier controller knew. What it had no time to write, by `told`, is written now."""
        self._lines.positions = {} if told is None else told.positions
        known = [self._shown(fact) for fact in facts]
        lines = [line for fact in known for line in self._lines.lines(fact)]
        if told is None or told.since is None:
            return
        for call in sorted({getattr(fact, "call", "") for fact in known}):
            lines += self._lines.settled(call)
        self._write([line for line in lines if told.lacks(line)])

    def write(self, facts: Iterable[Fact]) -> None:
        """Append the lines for these facts. Never raises."""
        if self._off:
            return
        lines: list[str] = []
        for fact in facts:
            try:
                lines += self._lines.lines(self._shown(fact))
            except Exception:
                log.exception("queue_log.fault", fact=fact.kind)
        self._write(lines)

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        try:
            self._append("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.error("queue_log.failed", error=str(error), file=str(self._path))

    def _append(self, lines: bytes) -> None:
        try:
            descriptor = self._open()
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = self._open()
        try:
            os.write(descriptor, lines)
        finally:
            os.close(descriptor)
        self._failed = False

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _shown(self, fact: Fact) -> Fact:
        if self._masked and isinstance(fact, CallArrived):
            return replace(fact, caller=mask(fact.caller) if fact.caller else "")
        return fact


def _told(text: str) -> Told:
    told = Told()
    for line in text.splitlines():
        at, _, rest = line.partition("|")
        if not at.isdecimal():
            continue
        told.since = int(at) if told.since is None else told.since
        call, _, _, event, *data = [*rest.split("|"), "", "", ""]
        if event in MILESTONES:
            told.milestones.setdefault(call, []).append(event)
        if event == _ENTERS and len(data) > _POSITION and data[_POSITION].isdecimal():
            told.positions.setdefault(call, []).append(int(data[_POSITION]))
    return told


_ENTERS = "ENTERQUEUE"
_POSITION = 2
