"""Coming back: after a start, and after every loss of the AMI link, the floor is brought to what exists in Asterisk.

The diary says what was known, CEL what happened meanwhile, AMI what is there now. No offer is made before all three
have been read.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.desk import Desk
from base import clock, database
from base.outage import Outage
from base.retry import Schedule
from base.settings import Settings
from diary import reader
from diary.writer import Diary
from facts import CallTransferred, Fact, LinkLost, LinkRestored, TalkEnded
from facts.terms import CallId
from facts.times import SECOND
from hotline.controller.open_callbacks import OpenCallbacks
from telephony import catch_up, cel_file
from telephony.channels import AsteriskState
from telephony.link import LinkError
from telephony.outbound import Outbound
from telephony.parties import asked_for
from telephony.queue_log_file import QueueLogFile
from telephony.switch import Switch

log = structlog.get_logger(__name__)

LONGEST_OPEN = 6 * 3600 * SECOND
"""How far back a start looks for calls that have no end in the diary."""
LONGEST_AWAY = 7 * 86_400 * SECOND
"""How far back a start completes the diary from CEL."""
OVERLAP = 10 * SECOND
"""How much earlier than the last fact that completion begins: the last facts may not have been written."""
JOURNAL_WITHIN = 30.0
"""Seconds for which a start waits until the journal is in the database: a million facts."""
MOST_HELD = 20_000
"""Facts of AMI that wait for those of CEL: some ten seconds of the busiest hotline."""
SLICE = 50
"""Facts that are told at a time: callers are served in between."""
LONGEST_HELD = 10.0
"""Seconds for which they wait."""
AGAIN = Schedule(first=5.0, longest=60.0, jitter=0.1)
"""When CEL is compared with the diary once more, if it could not be."""


class Recovery:
    """What has to be read again. `renew` renews the recording of a call whose talk went on elsewhere.

    `record` takes what the floor need not know. `learn` tells what reads AMI about a talk whose end it missed. The
    facts of AMI come through `report`.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        settings: Settings,
        *,
        desk: Desk,
        diary: Diary,
        callbacks: OpenCallbacks,
        switch: Switch,
        outbound: Outbound,
        queue_log: QueueLogFile,
        numbers: Callable[[], Iterable[str]],
        record: Callable[[Fact], None],
        renew: Callable[[CallId], None],
        learn: Callable[[TalkEnded], None],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._desk = desk
        self._diary = diary
        self._callbacks = callbacks
        self._switch = switch
        self._outbound = outbound
        self._queue_log = queue_log
        self._numbers = numbers
        self._record = record
        self._renew = renew
        self._learn = learn
        self._began = clock.now()
        self._since = 0
        self._complete = True
        self._holding = True
        self._held: list[Fact] = []
        self._letting_go: asyncio.TimerHandle | None = None
        self._reading = asyncio.Lock()
        self._unread = Outage(log, "cel.failed")
        self._missing = asyncio.Event()
        self.link_lost_at = 0

    async def read_diary(self) -> None:
        """Give the floor the calls and the callbacks that the diary and the book know as open."""
        now = clock.now()
        self._complete = False
        # An earlier controller's journal is newer than all else: a call that ended in it would never end on the floor.
        if not await self._diary.flush(JOURNAL_WITHIN):
            log.error(
                "recovery.journal_unread",
                facts=self._diary.waiting,
                effect="agents may seem to be on the phone; start the controller again",
            )
        last = await reader.last_heard(self._engine, self._began)
        self._since = now if last is None else max(last - OVERLAP, now - LONGEST_AWAY)
        told = await asyncio.to_thread(self._queue_log.read_back)
        unfinished = told.unfinished
        async for facts in reader.open_calls(self._engine, now - LONGEST_OPEN):
            self._since = min(self._since, facts[0].at)
            self._queue_log.seed(facts, told)
            self._desk.seed(facts)
            await asyncio.sleep(0)
            unfinished.discard(getattr(facts[0], "call", ""))
        # Calls whose end the diary has, and queue_log has not: the controller was killed in between.
        ids = sorted(unfinished)
        for start in range(0, len(ids), reader.STORIES):
            page = ids[start : start + reader.STORIES]
            for facts in (await reader.read_stories(self._engine, page)).values():
                self._queue_log.seed(facts, told)
                await asyncio.sleep(0)
        await self._callbacks.look()
        # The live figures read the diary next: what the book alone knew must be in it by then.
        await self._diary.flush()

    def report(self, *facts: Fact) -> None:
        """Report what AMI tells. After a loss of the link it waits for what CEL tells of the time before."""
        if not self._holding:
            self._desk.report(*facts)
            return
        self._held += facts
        if len(self._held) > MOST_HELD:
            self._let_go()
        elif self._held and self._letting_go is None:
            self._letting_go = asyncio.get_running_loop().call_later(LONGEST_HELD, self._let_go)

    def link_lost(self) -> None:
        """Make no offers until `link_restored` has been through."""
        now = self.link_lost_at = clock.now()
        callers = self._desk.floor.callers.values()
        arrivals = [caller.arrived_at for caller in callers if caller.arrived_at]
        since = min([now, *arrivals]) - OVERLAP
        # If the link is lost again before CEL has been read, the time before the first loss is still missing.
        self._since = since if self._complete else min(since, self._since)
        self._complete, self._holding = False, True
        self._desk.report(LinkLost(now))

    async def link_restored(self) -> AsteriskState:
        """Bring the floor to what exists in Asterisk, then allow offers. Gives what exists."""
        async with self._reading:
            self._holding = True
            state = await self._catch_up()
        floor = self._desk.floor
        self._outbound.caught_up(floor.tasks.values())
        until = clock.now() + round(self._settings.settle_time * SECOND)
        floor.expect((one.call for one in state.waiting if one.queued_at), until)
        for one in state.waiting:
            if one.application == "Queue":
                await self._switch.recall(one.call)
        self._desk.report(LinkRestored(clock.now()))
        return state

    async def run(self) -> None:
        """Compare CEL with the diary once more, for ever, whenever the database was away when the link came back.

        Offers go on meanwhile, since no message of AMI was lost; facts wait only while the two are read.
        """
        while True:
            await self._missing.wait()
            await asyncio.sleep(AGAIN.pause(max(1, self._unread.failures)))
            async with self._reading:
                if self._complete or not await self._diary.flush():
                    continue
                self._holding = True
                with contextlib.suppress(LinkError):  # when it is back, everything is read
                    await self._catch_up()

    async def _catch_up(self) -> AsteriskState:
        """Tell what the diary has missed, then what AMI has told meanwhile. Gives what exists in Asterisk."""
        asked, lost_at = clock.now(), self.link_lost_at
        state = await self._switch.read_state()
        story = await self._read_missed(state, asked)
        for fact in story.past:
            self._record(fact)
        missed = {id(fact) for fact in story.missed}
        for number, fact in enumerate(story.facts):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            self._desk.report(fact)
            if isinstance(fact, TalkEnded):
                self._learn(fact)
            lives = getattr(fact, "call", "") in state.alive
            if isinstance(fact, CallTransferred) and id(fact) in missed and lives:
                self._renew(fact.call)
        # What AMI has told meanwhile comes after all this.
        for fact in self._stop_holding():
            self._desk.report(fact)
        if story.read and self.link_lost_at == lost_at:
            self._complete = True
        return state

    async def _read_missed(self, state: AsteriskState, asked: int) -> catch_up.Story:
        """Read what CEL knows and the diary does not, since the oldest call that was open.

        `state` is what existed when Asterisk was `asked` (microseconds). Calls that arrived since exist, too.
        """
        now, before = clock.now(), len(self._held)
        try:
            await self._diary.flush()
            file, since = self._settings.cel_file, self._since
            reading = await asyncio.to_thread(cel_file.read_since, file, since)
            read = reader.read(self._engine, since - OVERLAP, now + SECOND)
            known = [fact async for fact in read]
        except Exception as error:  # noqa: BLE001 a fault of ours is logged with its trace
            effect = "what happened meanwhile is missing in the figures until it can be read"
            self._unread.begin(effect=effect, **database.told(error))
            self._missing.set()
            held = self._take_held()
            return catch_up.Story(
                [*held[:before], *state.facts, *held[before:]], [], [], read=False
            )
        held = self._take_held()
        self._missing.clear()
        self._unread.end()
        if reading.garbage:
            log.warning("cel.garbage", lines=reading.garbage)
        # Half an hour of a busy centre takes a tenth of a second.
        story = await asyncio.to_thread(
            catch_up.put_together,
            reading.events,
            known,
            catch_up.Held(held[:before], state.facts, held[before:]),
            numbers=frozenset(self._numbers()),
            alive=state.alive,
            asked=asked,
            now=now,
            parties=asked_for(state),
            attempts=self._desk.floor.attempts(),
        )
        if story.missed or story.past:
            log.info("cel.completed", facts=len(story.missed) + len(story.past))
        return story

    def _take_held(self) -> list[Fact]:
        held, self._held = self._held, []
        return held

    def _stop_holding(self) -> list[Fact]:
        held = self._take_held()
        self._holding = False
        if self._letting_go is not None:
            self._letting_go.cancel()
            self._letting_go = None
        return held

    def _let_go(self) -> None:
        """CEL takes too long. The floor must know what goes on now."""
        held = self._stop_holding()
        log.error(
            "recovery.not_waited",
            facts=len(held),
            effect="calls that ended in these moments may miss an answer in the figures",
        )
        for fact in held:
            self._desk.report(fact)
