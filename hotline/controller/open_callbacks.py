"""The floor has the open callback tasks of the book: all of them at a start, then what other programs changed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from acd.callbacks.book import TaskBook
from acd.callbacks.task import Task
from acd.desk import Desk
from base import clock, database
from base.outage import Outage
from facts import Fact
from telephony.outbound import Outbound

log = structlog.get_logger(__name__)

LOOK_EVERY = 3.0
"""Seconds between two looks for what the command line wrote when it could not reach the controller."""


class OpenCallbacks:
    """What the book holds and the floor works on.

    `informed` says whether AMI has told which calls exist; `note` takes what the book knew and the diary did not.
    """

    def __init__(
        self,
        book: TaskBook,
        desk: Desk,
        outbound: Outbound,
        *,
        note: Callable[[Fact], None],
        informed: Callable[[], bool],
    ) -> None:
        self._book = book
        self._desk = desk
        self._outbound = outbound
        self._note = note
        self._informed = informed
        self._began = clock.now()
        self._whole = False
        self._away = Outage(log, "callbacks.away")

    async def look(self) -> None:
        """Take up all tasks the first time, later what has changed. Without a database nothing, until the next look."""
        try:
            with database.noting(self._away, effect="callbacks wait until the book can be read"):
                await (self._take_up_changes() if self._whole else self._take_up_all())
        except Exception:
            log.exception("callbacks.not_read", effect="callbacks wait until the book can be read")

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def _take_up_all(self) -> None:
        # What was dialled since the start the floor has counted itself.
        dialled = await self._book.dialled(self._began)
        tasks = await self._book.open_tasks()
        untold = await self._book.untold()
        self._whole = True
        self._desk.floor.remember_dialled(dialled)
        self._take_up(tasks)
        for fact in untold:
            self._note(fact)

    async def _take_up_changes(self) -> None:
        added, cancelled = await self._book.changes()
        if added:
            log.info("callbacks.taken_up", count=len(added))
            self._take_up(added)
        if cancelled:
            self._desk.report(*cancelled)

    def _take_up(self, tasks: list[Task]) -> None:
        new = [task for task in tasks if task.id not in self._desk.floor.tasks]
        # As they are in the book: the floor may dial at once, and Asterisk does not show that attempt yet.
        before = [replace(task) for task in new]
        self._desk.take_up(new)
        if self._informed():
            # The attempts of a start that found no database: AMI has told long since which of them go on.
            self._outbound.look_after(before)
