"""The floor: every decision about who gets which caller. Facts in, commands out.

Pure: no clock, no I/O, no waiting. One task owns a floor, so it needs no locks. The same floor runs in the
controller, in the property tests and under a virtual clock.

Two ordered sets meet here. Callers wait in the order in which they were queued; idle agents stand in the order
of the strategy. Whenever a fact changes either, `_match` pairs them from the front. A caller keeps his place
until an agent has answered him: an offer that comes to nothing puts him back where he was.

Invariants (tests/acd/test_floor_properties.py):
  - an agent holds at most one call, whether it rings or is answered;
  - a waiting caller is never passed over by one who was queued later;
  - while callers wait and offers are allowed, no agent who could take one stands idle.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sortedcontainers import SortedList

from acd.commands import Command, Record, ReleaseCall, Ring, StopRinging
from acd.events import (
    AgentAdded,
    AgentNotResponding,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallArrived,
    CallDetached,
    CallEnded,
    CallQueued,
    CallReleased,
    CallReturned,
    Fact,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
    WrapUpEnded,
    WrapUpStarted,
)
from acd.model import SECOND, CallId, OfferReason, Release
from acd.strategy import Key, longest_idle
from agents.model import Intent, Presence
from agents.presence import presence

DEFAULT_QUEUE = "default"
"""The queue of every number that names no other."""

_REMEMBERED = 4096
"""How many ended calls are remembered, so that a late fact about one of them does not bring it back."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The floor's settings; all times in seconds."""

    ring_time: float = 15.0
    wrap_up_time: float = 5.0
    longest_wait: float = 900.0


class Stage(IntEnum):
    """How far a call has come."""

    GREETING = 0
    WAITING = 1
    RINGING = 2
    TALKING = 3
    RELEASED = 4


@dataclass(slots=True)
class Caller:
    """A call on the floor. `queued_at` is its place; `attached` says that a session can carry out commands."""

    call: CallId
    number: str = ""
    caller: str = ""
    arrived_at: int = 0
    queue: str = ""
    queued_at: int = 0
    stage: Stage = Stage.GREETING
    attached: bool = False
    agent: str = ""
    since: int = 0


@dataclass(slots=True)
class Seat:
    """An agent on the floor. `call` is what he holds, ringing until `answered`."""

    agent: str
    intent: Intent = Intent.OUT
    pause_reason: str = ""
    reachable: bool = False
    not_responding: bool = False
    own_call: bool = False
    call: CallId = ""
    answered: bool = False
    wrap_up_until: int = 0
    idle_since: int = 0
    since: int = 0
    standing: Key | None = None
    removed: bool = False

    def presence(self) -> Presence:
        """The one visible state."""
        return presence(
            self.intent,
            reachable=self.reachable,
            ringing=bool(self.call) and not self.answered,
            talking=bool(self.call) and self.answered,
            own_call=self.own_call,
            wrapping_up=self.wrap_up_until > 0,
            not_responding=self.not_responding,
        )


class Floor:
    """All callers and all agents. See the module's docstring for what it promises."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.callers: dict[CallId, Caller] = {}
        self.seats: dict[str, Seat] = {}
        self._waiting: SortedList[tuple[int, CallId]] = SortedList()
        self._idle: SortedList[Key] = SortedList()
        self._deadlines: list[tuple[int, str, str]] = []
        self._ended: set[CallId] = set()
        self._ended_order: deque[CallId] = deque()
        self._linked = False
        self._expected: set[CallId] = set()
        self._settle_until = 0
        self._stopping = False
        self._out: list[Command] = []

    # --- what the desk calls

    def handle(self, fact: Fact, now: int, *, more: bool = False) -> list[Command]:
        """Take one fact and say what to do. A fact that is already known, or cannot be, yields nothing.

        `more`: another fact of the same moment follows, so nobody is offered to anybody before that one.
        """
        handler = _HANDLERS.get(type(fact))
        if handler is None:
            self._note(fact)
        else:
            handler(self, fact, now)
        if not more:
            self._match(now)
        return self._drain()

    def tick(self, now: int) -> list[Command]:
        """Do what has become due. Call it at `deadline()`; calling it more often changes nothing."""
        while self._deadlines and self._deadlines[0][0] <= now:
            due, kind, key = heapq.heappop(self._deadlines)
            if kind == _WRAP_UP:
                seat = self.seats.get(key)
                if seat is not None and seat.wrap_up_until == due:
                    self._end_wrap_up(seat, now)
            elif kind == _LONGEST_WAIT:
                self._end_wait(key, now)
            else:
                self._expected.clear()
        self._match(now)
        return self._drain()

    def deadline(self) -> int | None:
        """When `tick` must be called next (microseconds), or None."""
        return self._deadlines[0][0] if self._deadlines else None

    def expect(self, calls: Iterable[CallId], until: int) -> None:
        """After a start: make no offer before these callers have come back to their places, or `until`."""
        self._expected = {
            call for call in calls if call not in self.callers or not self.callers[call].attached
        }
        if self._expected:
            self._settle_until = until
            heapq.heappush(self._deadlines, (until, _SETTLE, ""))

    def stop(self) -> None:
        """Make no further offers."""
        self._stopping = True

    # --- what screens and announcements ask

    def ahead(self, call: CallId) -> int:
        """How many callers will be offered before this one: 0 for the next, and for one who does not wait."""
        caller = self.callers.get(call)
        if caller is None or caller.stage is not Stage.WAITING:
            return 0
        return int(self._waiting.bisect_left((caller.queued_at, call)))

    def staffed(self) -> bool:
        """Whether anybody is signed in who may answer sooner or later."""
        return any(seat.intent is not Intent.OUT and seat.reachable for seat in self.seats.values())

    def talking(self) -> int:
        """How many callers talk to an agent."""
        return sum(1 for caller in self.callers.values() if caller.stage is Stage.TALKING)

    def waiting_since(self) -> int | None:
        """Since when the longest waiting caller waits (microseconds), or None."""
        return self._waiting[0][0] if self._waiting else None

    # --- calls

    def _call_arrived(self, fact: CallArrived, now: int) -> None:
        if fact.call in self.callers or fact.call in self._ended:
            return
        self.callers[fact.call] = Caller(
            fact.call, fact.number, fact.caller, arrived_at=fact.at, since=fact.at
        )
        self._note(fact)

    def _call_queued(self, fact: CallQueued, now: int) -> None:
        self._queue(fact, fact.queue, fact.at, now)

    def _call_returned(self, fact: CallReturned, now: int) -> None:
        self._queue(fact, fact.queue, fact.queued_at, now)

    def _queue(self, fact: CallQueued | CallReturned, queue: str, queued_at: int, now: int) -> None:
        if fact.call in self._ended:
            return
        caller = self._caller(fact.call, fact.at)
        if caller.stage in (Stage.TALKING, Stage.RELEASED):
            return
        self._expected.discard(fact.call)
        caller.queued_at = caller.queued_at or queued_at
        heapq.heappush(self._deadlines, (self._give_up_at(caller), _LONGEST_WAIT, fact.call))
        caller.queue = queue
        caller.attached = True
        if caller.stage is Stage.GREETING:
            caller.since = fact.at
            self._wait(caller)
        elif caller.stage is Stage.WAITING:
            self._wait(caller)
        self._note(fact)

    def _call_detached(self, fact: CallDetached, now: int) -> None:
        caller = self.callers.get(fact.call)
        if caller is None or not caller.attached:
            return
        caller.attached = False
        if caller.stage is Stage.WAITING:
            self._leave_line(caller)
        self._note(fact)

    def _call_ended(self, fact: CallEnded, now: int) -> None:
        caller = self.callers.pop(fact.call, None)
        if fact.call in self._ended:
            return
        self._expected.discard(fact.call)
        self._ended.add(fact.call)
        self._ended_order.append(fact.call)
        if len(self._ended_order) > _REMEMBERED:
            self._ended.discard(self._ended_order.popleft())
        if caller is not None:
            if caller.stage is Stage.WAITING:
                self._leave_line(caller)
            seat = self.seats.get(caller.agent)
            if seat is not None and seat.call == fact.call:
                self._free(seat, fact.at, now, worked=seat.answered)
        self._note(fact)

    # --- offers

    def _offer_ringing(self, fact: OfferRinging, now: int) -> None:
        if self._take(fact.call, fact.agent, fact.at, answered=False):
            self._note(fact)

    def _offer_answered(self, fact: OfferAnswered, now: int) -> None:
        if self._take(fact.call, fact.agent, fact.at, answered=True):
            self._note(fact)

    def _take(self, call: CallId, agent: str, at: int, *, answered: bool) -> bool:
        """Bind call and agent as Asterisk says they are: it is the one who knows."""
        if call in self._ended:
            return False
        caller, seat = self._caller(call, at), self._seat(agent)
        if seat.call == call and seat.answered:
            return not answered  # the 180 may be told after the answer; a second answer is no news
        self._expected.discard(call)
        if caller.stage is Stage.WAITING:
            self._leave_line(caller)
        caller.stage = Stage.TALKING if answered else Stage.RINGING
        caller.agent, caller.since = agent, at
        seat.call, seat.answered, seat.since = call, answered, at
        seat.not_responding = seat.not_responding and not answered
        self._stand(seat)
        return True

    def _offer_ended(self, fact: OfferEnded, now: int) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.call != fact.call or seat.answered:
            return
        self._note(fact)
        if fact.reason in _SILENT_REASONS and not seat.not_responding:
            seat.not_responding = True
            self._note(AgentNotResponding(fact.at, fact.agent))
        self._free(seat, fact.at, now, worked=False)
        caller = self.callers.get(fact.call)
        if caller is not None and caller.stage is Stage.RINGING:
            caller.agent, caller.since = "", fact.at
            caller.stage = Stage.WAITING
            if caller.attached:
                self._wait(caller)
            if now >= self._give_up_at(caller):
                self._end_wait(fact.call, now)

    def _talk_ended(self, fact: TalkEnded, now: int) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.call != fact.call:
            return
        self._note(fact)
        self._free(seat, fact.at, now, worked=True)

    # --- agents

    def _agent_added(self, fact: AgentAdded, now: int) -> None:
        seat = self.seats.get(fact.agent)
        if seat is not None and not seat.removed:
            return
        self._seat(fact.agent).removed = False
        self._note(fact)

    def _agent_removed(self, fact: AgentRemoved, now: int) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.removed:
            return
        self._note(fact)
        seat.intent, seat.removed = Intent.OUT, True
        self._withdraw(seat)
        if not seat.call:
            self._stand(seat)
            del self.seats[fact.agent]

    def _agent_ready(self, fact: AgentReady, now: int) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.removed:
            return
        was_ready = seat.presence() is Presence.READY
        seat.intent, seat.pause_reason, seat.not_responding = Intent.READY, "", False
        self._note(fact)
        if seat.wrap_up_until:
            self._end_wrap_up(seat, fact.at)
        elif not was_ready:
            seat.idle_since = fact.at
            seat.since = fact.at
        self._stand(seat)

    def _agent_paused(self, fact: AgentPaused, now: int) -> None:
        self._wish(fact, Intent.PAUSED, fact.reason)

    def _agent_out(self, fact: AgentOut, now: int) -> None:
        self._wish(fact, Intent.OUT, "")

    def _wish(self, fact: AgentPaused | AgentOut, intent: Intent, reason: str) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.removed:
            return
        seat.intent, seat.pause_reason, seat.not_responding = intent, reason, False
        self._note(fact)
        if seat.wrap_up_until:
            self._end_wrap_up(seat, fact.at)
        seat.since = fact.at
        self._withdraw(seat)
        self._stand(seat)

    def _withdraw(self, seat: Seat) -> None:
        """Take back an offer that still rings: the agent has just said that he will not take it."""
        if seat.call and not seat.answered:
            self._out.append(StopRinging(seat.call, seat.agent))

    def _phone_reachable(self, fact: PhoneReachable, now: int) -> None:
        self._phone(fact, reachable=True)

    def _phone_unreachable(self, fact: PhoneUnreachable, now: int) -> None:
        self._phone(fact, reachable=False)

    def _phone(self, fact: PhoneReachable | PhoneUnreachable, *, reachable: bool) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.reachable == reachable:
            return
        seat.reachable = reachable
        if reachable:
            seat.idle_since = max(seat.idle_since, fact.at)
        seat.since = fact.at
        self._note(fact)
        self._stand(seat)

    def _own_call_started(self, fact: OwnCallStarted, now: int) -> None:
        self._own_call(fact, busy=True)

    def _own_call_ended(self, fact: OwnCallEnded, now: int) -> None:
        self._own_call(fact, busy=False)

    def _own_call(self, fact: OwnCallStarted | OwnCallEnded, *, busy: bool) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.own_call == busy:
            return
        seat.own_call = busy
        seat.since = fact.at
        self._note(fact)
        self._stand(seat)

    # --- the centre

    def _link_lost(self, fact: LinkLost, now: int) -> None:
        if self._linked:
            self._linked = False
            self._note(fact)

    def _link_restored(self, fact: LinkRestored, now: int) -> None:
        if not self._linked:
            self._linked = True
            self._note(fact)

    # --- pairing

    def _match(self, now: int) -> None:
        """Pair callers and agents from the front of both lines."""
        if not self._linked or self._stopping or (self._expected and now < self._settle_until):
            return
        while self._waiting and self._idle:
            _, call = self._waiting.pop(0)
            _, agent = self._idle.pop(0)
            caller, seat = self.callers[call], self.seats[agent]
            seat.standing = None
            caller.stage, caller.agent, caller.since = Stage.RINGING, agent, now
            seat.call, seat.answered, seat.since = call, False, now
            self._note(OfferMade(now, call, agent))
            self._out.append(Ring(call, agent, self.rules.ring_time))

    def _wait(self, caller: Caller) -> None:
        """Put the caller into the line, at his place."""
        caller.stage = Stage.WAITING
        place = (caller.queued_at, caller.call)
        if place not in self._waiting:
            self._waiting.add(place)

    def _leave_line(self, caller: Caller) -> None:
        self._waiting.discard((caller.queued_at, caller.call))

    def _stand(self, seat: Seat) -> None:
        """Put the agent into the line of the idle, or take him out, as his presence says."""
        idle = seat.presence() is Presence.READY and not seat.removed
        key = longest_idle(seat.idle_since, seat.agent) if idle else None
        if key == seat.standing:
            return
        if seat.standing is not None:
            self._idle.remove(seat.standing)
        if key is not None:
            self._idle.add(key)
        seat.standing = key

    def _free(self, seat: Seat, at: int, now: int, *, worked: bool) -> None:
        """The agent holds no call any more; `worked` says that he talked and may have to write it up."""
        caller = self.callers.get(seat.call)
        if caller is not None and caller.agent == seat.agent and caller.stage is Stage.TALKING:
            caller.agent = ""
        seat.call, seat.answered = "", False
        seat.since = at
        if seat.removed:
            del self.seats[seat.agent]
            return
        if worked:
            seat.idle_since = at
            until = at + round(self.rules.wrap_up_time * SECOND)
            if until > now and seat.intent is Intent.READY:
                seat.wrap_up_until = until
                heapq.heappush(self._deadlines, (until, _WRAP_UP, seat.agent))
                self._note(WrapUpStarted(at, seat.agent, until))
        self._stand(seat)

    def _end_wrap_up(self, seat: Seat, at: int) -> None:
        seat.wrap_up_until = 0
        seat.idle_since = at
        seat.since = at
        self._note(WrapUpEnded(at, seat.agent))
        self._stand(seat)

    def _end_wait(self, call: CallId, now: int) -> None:
        caller = self.callers.get(call)
        if caller is None or caller.stage is not Stage.WAITING or not caller.attached:
            return
        self._leave_line(caller)
        caller.stage, caller.since = Stage.RELEASED, now
        self._note(CallReleased(now, call, Release.TIMED_OUT))
        self._out.append(ReleaseCall(call, Release.TIMED_OUT))

    def _give_up_at(self, caller: Caller) -> int:
        return caller.queued_at + round(self.rules.longest_wait * SECOND)

    # --- small things

    def _caller(self, call: CallId, at: int) -> Caller:
        caller = self.callers.get(call)
        if caller is None:
            caller = self.callers[call] = Caller(call, since=at)
        return caller

    def _seat(self, agent: str) -> Seat:
        seat = self.seats.get(agent)
        if seat is None:
            seat = self.seats[agent] = Seat(agent)
        return seat

    def _note(self, fact: Fact) -> None:
        self._out.append(Record(fact))

    def _drain(self) -> list[Command]:
        out, self._out = self._out, []
        return out


_WRAP_UP, _LONGEST_WAIT, _SETTLE = "wrap-up", "longest-wait", "settle"

_SILENT_REASONS = {OfferReason.NO_ANSWER, OfferReason.REFUSED, OfferReason.UNREACHABLE}
"""Reasons after which the agent must say that he is there before he is offered another call."""

_HANDLERS: dict[type, Callable[[Floor, Any, int], None]] = {
    CallArrived: Floor._call_arrived,
    CallQueued: Floor._call_queued,
    CallReturned: Floor._call_returned,
    CallDetached: Floor._call_detached,
    CallEnded: Floor._call_ended,
    OfferRinging: Floor._offer_ringing,
    OfferAnswered: Floor._offer_answered,
    OfferEnded: Floor._offer_ended,
    TalkEnded: Floor._talk_ended,
    AgentAdded: Floor._agent_added,
    AgentRemoved: Floor._agent_removed,
    AgentReady: Floor._agent_ready,
    AgentPaused: Floor._agent_paused,
    AgentOut: Floor._agent_out,
    PhoneReachable: Floor._phone_reachable,
    PhoneUnreachable: Floor._phone_unreachable,
    OwnCallStarted: Floor._own_call_started,
    OwnCallEnded: Floor._own_call_ended,
    LinkLost: Floor._link_lost,
    LinkRestored: Floor._link_restored,
}
