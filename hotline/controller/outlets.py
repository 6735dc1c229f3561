"""Where recorded facts go: the diary and the callbacks' book at once, everything else several times a second."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from facts import CallReleased, Fact
from facts.terms import CallId, Release

log = structlog.get_logger(__name__)

AT_ONCE = 200
"""Facts that are handed on at a time: some ten milliseconds, in which no caller is served."""


class Writes(Protocol):
    """The diary."""

    def write(self, fact: Fact) -> None:
        """Take a fact. Returns at once and never raises."""


class WritesLines(Protocol):
    """The file `queue_log`."""

    def write(self, facts: Iterable[Fact]) -> None:
        """Append the lines for these facts. Never raises."""


class Outlets:
    """Takes every fact that is news. `takers` get each fact of a batch; `news` says that there are some.

    One kind of work at a time stays in the processor's caches, and takes half as long: so figures, stream and queue_log
    get their facts together, not one by one between a caller and their agent.
    """

    def __init__(
        self,
        diary: Writes,
        book: Callable[[Fact], None],
        queue_log: WritesLines,
        takers: Iterable[Callable[[Fact], object]],
        blocked: Callable[[CallId], None],
    ) -> None:
        self.news = asyncio.Event()
        self._diary = diary
        self._book = book
        self._queue_log = queue_log
        self._takers = tuple(takers)
        self._blocked = blocked
        self._recorded: list[Fact] = []

    def record(self, fact: Fact) -> None:
        """Enter a fact into the diary and the callbacks' book; `hand_on` brings it to the others. Never waits."""
        if isinstance(fact, CallReleased) and fact.reason is Release.BLOCKED:
            self._blocked(fact.call)
        self._diary.write(fact)
        self._book(fact)
        self._recorded.append(fact)
        self.news.set()

    def hand_on(self, most: int = AT_ONCE) -> None:
        """Give the takers what was recorded since the last time, or the oldest so many of it; `news` says of the rest.

        A fact that one cannot take concerns no other.
        """
        facts, self._recorded = self._recorded[:most], self._recorded[most:]
        if self._recorded:
            self.news.set()
        for take in self._takers:
            for fact in facts:
                try:
                    take(fact)
                except Exception:
                    log.exception("fact.not_taken", fact=fact.kind)
        self._queue_log.write(facts)
