"""The shell round the floor: takes facts from everywhere, carries out the commands, keeps the timer.

A fact may be posted while a command is being carried out (a session whose caller has just left says so at once).
Such a fact waits in line until the floor has finished with the one before, so that the floor sees one at a time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from acd.commands import Command, Record, ReleaseCall, Ring, StopRinging
from acd.events import CallDetached, Fact, OfferEnded
from acd.floor import Floor
from acd.model import SECOND, CallId, OfferReason, Release

log = structlog.get_logger(__name__)


class Session(Protocol):
    """The one who speaks for a caller: an AGI session in production, a list of words in tests.

    Both methods return at once and report the end as facts.
    """

    def ring(self, agent: str, ring_for: float) -> None:
        """Ring the agent's phone for at most `ring_for` seconds."""

    def release(self, reason: Release) -> None:
        """Say the farewell and hang up."""


class Desk:
    """Owns the floor. Everything here runs in the event loop's thread and never waits."""

    def __init__(
        self,
        floor: Floor,
        *,
        record: Callable[[Fact], None],
        stop_ringing: Callable[[CallId, str], None],
        clock: Callable[[], int],
    ) -> None:
        self.floor = floor
        self._record = record
        self._stop_ringing = stop_ringing
        self._clock = clock
        self._sessions: dict[CallId, Session] = {}
        self._facts: deque[tuple[Fact, bool]] = deque()
        self._working = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: int | None = None

    def post(self, *facts: Fact) -> None:
        """Take facts. Several at once are of one moment: nothing is decided before the last of them.

        Never raises: what goes wrong with one fact is logged and concerns no other.
        """
        if not facts:
            return
        self._facts.extend((fact, True) for fact in facts[:-1])
        self._facts.append((facts[-1], False))
        if self._working:
            return
        self._working = True
        try:
            while self._facts:
                self._handle(*self._facts.popleft())
        finally:
            self._working = False
        self._set_timer()

    def seed(self, facts: Iterable[Fact]) -> None:
        """Tell the floor what the diary knows already: nothing is recorded, nothing commanded.

        The sessions that spoke for these calls are gone, so nobody is offered to them before they come back.
        """
        now = self._clock()
        calls = set()
        for fact in facts:
            self.floor.handle(fact, now, more=True)
            calls.add(getattr(fact, "call", ""))
        for call in calls:
            self.floor.handle(CallDetached(now, call), now, more=True)
        self._set_timer()

    def attach(self, call: CallId, session: Session) -> None:
        """From now on `session` speaks for the call; a newer session replaces an older one."""
        self._sessions[call] = session

    def detach(self, call: CallId, session: Session) -> None:
        """The session ends. Nothing happens when another one speaks for the call already."""
        if self._sessions.get(call) is session:
            del self._sessions[call]

    def ahead(self, call: CallId) -> int:
        """How many callers will be offered before this one."""
        return self.floor.ahead(call)

    def staffed(self) -> bool:
        """Whether anybody is signed in."""
        return self.floor.staffed()

    def wake(self) -> None:
        """Do what is due, and set the timer for what comes next."""
        self._timer_at = None
        self._carry_out(self.floor.tick(self._clock()))
        while self._facts:
            self._handle(*self._facts.popleft())
        self._set_timer()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _handle(self, fact: Fact, more: bool) -> None:
        try:
            commands = self.floor.handle(fact, self._clock(), more=more)
        except Exception:
            log.exception("floor.failed", fact=type(fact).__name__)
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
            case Ring(call, agent, ring_for):
                session = self._sessions.get(call)
                if session is None:
                    # Out of the line first: a caller who only lost his offer would be offered again, for ever.
                    now = self._clock()
                    ended = OfferEnded(now, call, agent, OfferReason.CALLER_GONE)
                    self._facts.extend([(CallDetached(now, call), True), (ended, False)])
                else:
                    session.ring(agent, ring_for)
            case StopRinging(call, agent):
                self._stop_ringing(call, agent)
            case ReleaseCall(call, reason):
                if (session := self._sessions.get(call)) is not None:
                    session.release(reason)

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
