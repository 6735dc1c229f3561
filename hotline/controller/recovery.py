"""Coming back: after a start, and after every loss of the AMI link, the floor is brought to what exists in Asterisk.

The diary says what was known, CEL what happened meanwhile, AMI what is there now. No offer is made before all three
have been read.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.book import TaskBook
from acd.desk import Desk
from base import clock
from base.settings import Settings
from diary import reader
from diary.writer import Diary
from facts import CallArrived, CallTransferred, Fact, LinkLost, LinkRestored
from facts.terms import CallId
from facts.times import SECOND
from telephony import cel, cel_file
from telephony.outbound import Outbound
from telephony.queue_log_file import QueueLogFile
from telephony.switch import Switch

log = structlog.get_logger(__name__)

LONGEST_OPEN = 6 * 3600 * SECOND
"""How far back a start looks for calls that have no end in the diary."""
LONGEST_AWAY = 7 * 86_400 * SECOND
"""How far back a start completes the diary from CEL."""
OVERLAP = 10 * SECOND
"""How much earlier than the last fact that completion begins: the last facts may not have been written."""


class Recovery:
    """What has to be read again. `renew` renews the recording of a call whose talk went on elsewhere."""

    def __init__(
        self,
        engine: AsyncEngine,
        settings: Settings,
        *,
        desk: Desk,
        diary: Diary,
        book: TaskBook,
        switch: Switch,
        outbound: Outbound,
        queue_log: QueueLogFile,
        numbers: Callable[[], Iterable[str]],
        renew: Callable[[CallId], None],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._desk = desk
        self._diary = diary
        self._book = book
        self._switch = switch
        self._outbound = outbound
        self._queue_log = queue_log
        self._numbers = numbers
        self._renew = renew
        self._since = 0
        self.link_lost_at = 0

    async def read_diary(self) -> None:
        """Give the floor the calls and the callbacks that the diary and the book know as open."""
        now = clock.now()
        last = await reader.last_heard(self._engine)
        self._since = now if last is None else max(last - OVERLAP, now - LONGEST_AWAY)
        told = await asyncio.to_thread(self._queue_log.read_back)
        unfinished = told.unfinished
        async for facts in reader.open_calls(self._engine, now - LONGEST_OPEN):
            self._since = min(self._since, facts[0].at)
            self._queue_log.seed(facts, told)
            self._desk.seed(facts)
            unfinished.discard(getattr(facts[0], "call", ""))
        # Calls whose end the diary has, and queue_log has not: the controller was killed in between.
        ids = sorted(unfinished)
        for start in range(0, len(ids), reader.PAGE):
            page = ids[start : start + reader.PAGE]
            for facts in (await reader.read_stories(self._engine, page)).values():
                self._queue_log.seed(facts, told)
        await self._diary.flush()
        try:
            self._desk.floor.remember_dialled(await self._book.dialled(now))
            self._desk.take_up(await self._book.open_tasks())
            for fact in await self._book.untold():
                self._diary.write(fact)
        except Exception:
            log.exception("callbacks.away", effect="open callbacks wait for the next start")

    def link_lost(self) -> None:
        """Make no offers until `link_restored` has been through."""
        now = self.link_lost_at = clock.now()
        callers = self._desk.floor.callers.values()
        arrivals = [caller.arrived_at for caller in callers if caller.arrived_at]
        self._since = min([now, *arrivals]) - OVERLAP
        self._desk.report(LinkLost(now))

    async def link_restored(self) -> None:
        """Bring the floor to what exists in Asterisk, then allow offers."""
        asked = clock.now()
        state = await self._switch.read_state()
        for fact in await self._missed(state.alive, asked):
            self._desk.report(fact)
            if isinstance(fact, CallTransferred) and fact.call in state.alive:
                self._renew(fact.call)
        for fact in state.facts:
            self._desk.report(fact)
        floor = self._desk.floor
        self._outbound.caught_up(floor.tasks.values())
        until = clock.now() + round(self._settings.settle_time * SECOND)
        floor.expect((one.call for one in state.waiting if one.queued_at), until)
        for one in state.waiting:
            if one.application == "Queue":
                await self._switch.recall(one.call)
        self._desk.report(LinkRestored(clock.now()))

    async def _missed(self, alive: Iterable[CallId], asked: int) -> list[Fact]:
        """What CEL knows and the diary does not, since the oldest call that was open.

        `alive` are the calls that existed at `asked` (microseconds). Those that arrived since exist, too.
        """
        now = clock.now()
        try:
            await self._diary.flush()
            file, since = self._settings.cel_file, self._since
            reading = await asyncio.to_thread(cel_file.read_since, file, since)
            read = reader.read(self._engine, since - OVERLAP, now + SECOND)
            known = [fact async for fact in read]
        except Exception:
            log.exception("cel.failed", effect="what happened meanwhile is missing in the figures")
            return []
        if reading.garbage:
            log.warning("cel.garbage", lines=reading.garbage)
        exist = {*alive, *_arrived_since(known, asked)}
        missed = cel.complete(
            reading.events, known, numbers=frozenset(self._numbers()), alive=exist, now=now
        )
        if missed:
            log.info("cel.completed", facts=len(missed))
        return missed


def _arrived_since(known: Iterable[Fact], asked: int) -> set[CallId]:
    return {fact.call for fact in known if isinstance(fact, CallArrived) and fact.at > asked}
