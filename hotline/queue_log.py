"""The file `queue_log`: what `telephony.queue_log` says, appended line by line.

Opened anew for each batch of lines, so that it may be rotated at any moment. A full disk costs lines, never a call;
a controller that is killed takes those of its last half second with it.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import structlog

from acd.events import CallArrived, Fact
from hotline.log import mask
from telephony.queue_log import QueueLog

log = structlog.get_logger(__name__)


class QueueLogFile:
    """Takes every fact, and writes at `flush`. `numbers`: `masked`, `whole`, or `off`, when nothing is written."""

    def __init__(self, path: Path, numbers: str) -> None:
        self._path = path
        self._masked = numbers == "masked"
        self._off = numbers == "off"
        self._lines = QueueLog()
        self._failed = False
        self._unwritten: list[str] = []

    def seed(self, facts: Iterable[Fact]) -> None:
        """Take what an earlier controller has written already."""
        for fact in facts:
            self._lines.lines(self._shown(fact))

    def write(self, fact: Fact) -> None:
        """Take the lines for a fact. Never raises."""
        if self._off:
            return
        try:
            self._unwritten += self._lines.lines(self._shown(fact))
        except Exception:
            log.exception("queue_log.fault", fact=type(fact).__name__)

    def flush(self) -> None:
        """Append what was taken since the last time: a file that is opened for each fact costs more than the facts."""
        if not self._unwritten:
            return
        lines, self._unwritten = self._unwritten, []
        try:
            self._append("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.error("queue_log.failed", error=str(error), file=str(self._path))

    def _append(self, lines: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(descriptor, lines)
        finally:
            os.close(descriptor)
        self._failed = False

    def _shown(self, fact: Fact) -> Fact:
        if self._masked and isinstance(fact, CallArrived):
            return replace(fact, caller=mask(fact.caller) if fact.caller else "")
        return fact
