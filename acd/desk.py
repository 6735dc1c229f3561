"""The shell round the floor: takes facts from everywhere, carries out the commands, keeps the timer.

A fact may be reported while a command is being carried out: a session reports at once that its caller has left. Such a
fact waits until the floor has finished with the one before, so the floor sees one fact at a time.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from acd.callbacks.task import Task
from acd.commands import (
    CancelAttempt,
    Command,
    CreateCallback,
    PlaceCallback,
    Record,
    ReleaseCall,
    Ring,
    SendOutside,
    StopRinging,
    Yield,
)
from acd.floor import Floor
from acd.rules.model import Rules
from base.background import spawn
from facts import CallDetached, Fact, OfferEnded, OwnCallEnded, OwnCallStarted
from facts.terms import CallId, OfferReason, Release
from facts.times import SECOND

log = structlog.get_logger(__name__)

STOOD_STILL = 1.0
"""Seconds: a program whose timers are that late has stood still."""
BEAT = 0.25
"""How often a timer asks (seconds)."""


class Session(Protocol):
    """Carries out commands for one call: an AGI session in production, a list of words in tests.

    Every method returns at once; what comes of it is reported as facts.
    """

    def ring(self, agents: tuple[str, ...], ring_for: float) -> None:
        """Ring the agents' phones, mostly one, for at most `ring_for` seconds."""

    def send_outside(self, number: str) -> None:
        """Connect the caller to this outside number."""

    def release(self, reason: Release) -> None:
        """Say the farewell and hang up."""


class Book(Protocol):
    """What keeps the callbacks: `acd.callbacks.book.TaskBook` in production."""

    def create(self, wanted: CreateCallback) -> None:
        """Enter a task. Returns at once; `CallbackAdded` follows."""


class Outbound(Protocol):
    """What places callbacks: `telephony.outbound` in production. Returns at once; the ends come as facts."""

    def place(self, wanted: PlaceCallback) -> None:
        """Ring the agent's phone, then dial the citizen."""

    def cancel(self, call: CallId, agent: str) -> None:
        """Hang up an attempt. `CallbackEnded` follows if it still existed."""

    def give_way(self, wanted: Yield, ring: Callable[[], None]) -> None:
        """Cancel the attempt. Then at once `ring` the agent for the citizen, or keep the agent on the phone (R7)."""

    def when_clear(self, agents: Iterable[str], then: Callable[[], None]) -> None:
        """Do `then`, which rings these agents: at once, or when their phones are free of a cut attempt."""


class Desk:
    """Owns the floor. Everything here runs in the event loop's thread and never waits.

    `record` enters a fact into the diary. `stop_ringing` takes an offer back: call and agent. `outbound`: None where
    no callbacks are placed. `clock`: microseconds UTC.
    """

    def __init__(
        self,
        floor: Floor,
        *,
        record: Callable[[Fact], None],
        stop_ringing: Callable[[CallId, str], None],
        book: Book | None = None,
        outbound: Outbound | None = None,
        clock: Callable[[], int],
    ) -> None:
        self.floor = floor
        self._record = record
        self._stop_ringing = stop_ringing
        self._book = book
        self._outbound = outbound
        self._clock = clock
        self._sessions: dict[CallId, Session] = {}
        self._facts: deque[tuple[Fact, bool]] = deque()
        self._working = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: int | None = None
        self._listen: Callable[[], Awaitable[None]] | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        self._beat_at = 0.0

    def watch(self, listen: Callable[[], Awaitable[None]]) -> None:
        """From now on notice when this program has stood still (stopped, swapped out, a machine without time).

        Then the agents' phones are not as they were. No offer is made before `listen` has returned: Asterisk has
        answered something that was asked after everything that it had told.
        """
        self._listen = listen
        self._beat_at = asyncio.get_running_loop().time()
        self._beat()

    def report(self, *facts: Fact) -> None:
        """Give facts to the floor. Several at once are of one moment: nothing is decided before the last of them.

        Never raises: if one fact fails, that is logged, and the others go on.
        """
        if not facts:
            return
        self._facts.extend((fact, True) for fact in facts[:-1])
        self._facts.append((facts[-1], False))
        if not self._working:
            self._work([])

    def seed(self, facts: Iterable[Fact]) -> None:
        """After a start: give the floor what the diary knows. Nothing is recorded, and no command is carried out.

        The sessions of these calls are gone, so the callers are not offered to agents before `CallReturned`.
        """
        now = self._clock()
        calls = set()
        for fact in facts:
            self.floor.handle(fact, now, more=True)
            calls.add(getattr(fact, "call", ""))
        for call in calls:
            self.floor.handle(CallDetached(now, call), now, more=True)
        self._set_timer()

    def take_up(self, tasks: Iterable[Task]) -> None:
        """After a start: give the floor the open callbacks of the book (`acd.callbacks.book`)."""
        self._work(self.floor.take_up(tasks, self._clock()))

    def attach(self, call: CallId, session: Session) -> None:
        """`session` speaks for the call from now on. A newer session replaces an older one."""
        self._sessions[call] = session

    def detach(self, call: CallId, session: Session) -> None:
        """The session has ended. If another one speaks for the call already, nothing changes."""
        if self._sessions.get(call) is session:
            del self._sessions[call]

    def ahead(self, call: CallId) -> int:
        """How many callers will be offered before this one; 0 for a caller who does not wait."""
        return self.floor.ahead(call)

    def staffed(self, call: CallId = "") -> bool:
        """Whether an agent is signed in who may answer this call (any call at all) sooner or later."""
        return self.floor.staffed(call)

    def dropped(self, call: CallId) -> bool | None:
        """Whether the caller has to wait on: the talk that is over now ended at once, or the agent's phone died.

        None: the facts of the next moment will tell.
        """
        return self.floor.dropped(call, self._clock())

    def call_colleague(self, agent: str, colleague: str) -> str:
        """An agent's phone wants to ring a colleague's. Returns why not; if empty, the colleague is busy now."""
        why = self.floor.may_call(agent, colleague)
        if not why:
            self.report(OwnCallStarted(self._clock(), colleague))
        return why

    def engage(self, agent: str) -> str:
        """An agent's phone is to be rung for something of their own. Returns why not; if empty, they are busy now."""
        why = self.floor.may_ring(agent)
        if not why:
            self.report(OwnCallStarted(self._clock(), agent))
        return why

    def release(self, agent: str) -> None:
        """That phone was not rung after all."""
        self.report(OwnCallEnded(self._clock(), agent))

    def wake(self) -> None:
        """Do what is due, and set the timer for the next deadline."""
        self._timer_at = None
        self._work(self.floor.tick(self._clock()))

    def configure(self, rules: Rules) -> None:
        """Let the floor take new rules at once. Every caller keeps their place."""
        self._work(self.floor.configure(rules, self._clock()))

    def close(self) -> None:
        """Stop the timers."""
        self._listen = None
        for timer in (self._timer, self._beat_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._beat_timer = None

    def _work(self, commands: list[Command]) -> None:
        """Carry out the commands, then handle the facts that have come, one at a time."""
        self._notice()
        self._working = True
        try:
            self._carry_out(commands)
            while self._facts:
                self._handle(*self._facts.popleft())
        finally:
            self._working = False
        self._set_timer()

    def _beat(self) -> None:
        self._notice()
        self._beat_timer = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def _notice(self) -> None:
        """Has this program stood still? Whatever comes first after it asks: a timer, a caller, a fact."""
        if self._listen is None:
            return
        now = asyncio.get_running_loop().time()
        stood, self._beat_at = now - self._beat_at, now
        if stood > STOOD_STILL and not self.floor.hall.listening:
            log.warning("controller.stood_still", seconds=round(stood, 1))
            self.floor.listen()
            spawn(self._hear_out(self._listen), "hearing out")

    async def _hear_out(self, listen: Callable[[], Awaitable[None]]) -> None:
        try:
            await listen()
        finally:
            if self._listen is not None:  # not closed meanwhile
                self._work(self.floor.heard(self._clock()))

    def _handle(self, fact: Fact, more: bool) -> None:
        try:
            commands = self.floor.handle(fact, self._clock(), more=more)
        except Exception:
            log.exception("floor.failed", fact=fact.kind)
            return
        self._carry_out(commands)

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            try:
                self._do(command)
            except Exception:
                log.exception("command.failed", command=type(command).__name__)

    def _do(self, command: Command) -> None:
        match command:
            case Record(fact):
                self._record(fact)
            case Ring(call, agents, ring_for) if self._outbound is not None:
                self._outbound.when_clear(agents, lambda: self._ring(call, agents, ring_for))
            case Ring(call, agents, ring_for):
                self._ring(call, agents, ring_for)
            case StopRinging(call, agent):
                self._stop_ringing(call, agent)
            case ReleaseCall(call, reason):
                if (session := self._sessions.get(call)) is not None:
                    session.release(reason)
            case SendOutside(call, number):
                if (session := self._sessions.get(call)) is not None:
                    session.send_outside(number)
            case CreateCallback():
                if self._book is None:
                    log.error("book.missing", call_id=command.origin)
                else:
                    self._book.create(command)
            case _ if self._outbound is None:
                log.error("outbound.missing", command=type(command).__name__)
            case PlaceCallback():
                self._outbound.place(command)
            case CancelAttempt(call, agent):
                self._outbound.cancel(call, agent)
            case Yield(_, _, agent, call, ring_for, _):
                self._outbound.give_way(command, lambda: self._ring(call, (agent,), ring_for))

    def _ring(self, call: CallId, agents: tuple[str, ...], ring_for: float) -> None:
        session = self._sessions.get(call)
        if session is not None:
            session.ring(agents, ring_for)
            return
        for agent in agents:
            self.report(OfferEnded(self._clock(), call, agent, OfferReason.CALLER_GONE))

    def _set_timer(self) -> None:
        due = self.floor.deadline()
        if due == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = due
        if due is not None:
            delay = max(0, due - self._clock()) / SECOND
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)
