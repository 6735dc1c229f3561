"""The file `queue_log`: what `telephony.queue_log` says, appended line by line.

It is opened again for each batch of lines, so it may be rotated at any moment. A full disk costs lines, never a call. A
controller that is killed loses the lines of its last half second.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import structlog

from facts import CallArrived, Fact
from facts.masking import mask
from telephony.queue_log import QueueLog

log = structlog.get_logger(__name__)


class QueueLogFile:
    """Takes every fact. `numbers`: `masked`, `whole`, or `off`, when nothing is written."""

    def __init__(self, path: Path, numbers: str) -> None:
        self._path = path
        self._masked = numbers == "masked"
        self._off = numbers == "off"
        self._lines = QueueLog()
        self._failed = False

    def seed(self, facts: Iterable[Fact]) -> None:
        """Take what an earlier controller has written already."""
        for fact in facts:
            self._lines.lines(self._shown(fact))

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
        if not lines:
            return
        lines.append("")
        try:
            self._append("\n".join(lines).encode("utf-8", "replace"))
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.error("queue_log.failed", error=str(error), file=str(self._path))

    def _append(self, lines: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, lines)
        finally:
            os.close(descriptor)
        self._failed = False

    def _shown(self, fact: Fact) -> Fact:
        if self._masked and isinstance(fact, CallArrived):
            return replace(fact, caller=mask(fact.caller) if fact.caller else "")
        return fact
