"""The floor: every decision about who gets which caller. Facts in, commands out.

Pure: no clock, no I/O, no waiting. One task owns a floor, so it needs no locks. The same floor runs in the
controller, in the property tests and in the simulator, on a virtual clock.

Callers and idle agents meet in lanes (`acd.lane`). Whenever a fact changes a lane, `_settle` pairs both sides from
the front, lets callbacks yield to citizens who still wait (呼入优先, R7), and uses for callbacks the agents who are
then left.

Invariants (tests/acd/test_world.py):
  - an agent holds at most one call, whether it rings or is answered, a citizen's or a callback's;
  - a waiting caller is passed over only by one of smaller rank (`acd.rules`), or for want of an agent with the skills;
  - while callers wait in a lane and offers are allowed, no agent who could take one stands idle in it;
  - no callback is placed while a citizen waits in its queue; an unanswered one yields when a citizen waits whom no idle
    agent can take; an answered one is never cut;
  - a caller keeps his place until an agent has answered him.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from enum import IntEnum
from itertools import islice
from typing import Any

from acd.callbacks.task import AGENT_SIDE, Book, State, Task
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
from acd.lane import Lane, Lanes
from acd.rules.model import Queue, Rules, Strategy
from acd.strategy import Key, key
from agents.model import Intent, Presence
from agents.presence import presence
from facts import (
    AgentAdded,
    AgentNotResponding,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackAsked,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMerged,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackSpared,
    CallbackUnreached,
    CallbackYielded,
    CallDetached,
    CallEnded,
    CallMoved,
    CallQueued,
    CallReleased,
    CallReturned,
    CallSentOutside,
    CallTransferred,
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
    PlaceRestored,
    TalkEnded,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.ids import attempt_id
from facts.terms import CallId, OfferReason, Party, Release
from facts.times import SECOND

_REMEMBERED = 4096
"""How many ended calls, left places and last agents are remembered."""


class Stage(IntEnum):
    """How far a call has come."""

    GREETING = 0
    WAITING = 1
    RINGING = 2
    TALKING = 3
    RELEASED = 4
    OUTSIDE = 5


@dataclass(slots=True)
class Caller:
    """A call on the floor. `place` is since when he waits, `rank` the same with his priority's bonus; microseconds.

    `attached`: a session can carry out commands for him. `ringing`: the agents whose phones ring for him. `handed`: the
    agent or the outside number that he is being transferred to. `leaving`: agents who have handed him over, until their
    own legs are gone. `outside`: the outside number to which he was sent.
    """

    call: CallId
    number: str = ""
    caller: str = ""
    arrived_at: int = 0
    queue: str = ""
    queued_at: int = 0
    place: int = 0
    rank: int = 0
    stage: Stage = Stage.GREETING
    attached: bool = False
    ringing: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    handed: str = ""
    agent: str = ""
    answered: bool = False
    asked: bool = False
    outside: str = ""
    unwanted: bool = False
    since: int = 0


@dataclass(slots=True)
class Seat:
    """An agent on the floor. `call` is what he holds, ringing until `answered`; for a callback it names the attempt.

    `worked_on`: the call that he writes up.
    """

    agent: str
    intent: Intent = Intent.OUT
    pause_reason: str = ""
    reachable: bool = False
    not_responding: bool = False
    own_call: bool = False
    call: CallId = ""
    answered: bool = False
    callback: int = 0
    wrap_up_until: int = 0
    worked_on: CallId = ""
    idle_since: int = 0
    since: int = 0
    calls: int = 0
    last_offer: int = 0
    removed: bool = False
    lanes: list[Lane] = field(default_factory=list)
    standing: list[Key] = field(default_factory=list)

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
    """All callers, agents and callbacks. See the module's docstring for what it promises.

    `node` begins the names of callback attempts, which are call ids. `outside`: the outside numbers that agents may
    transfer to.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        node: str = "hotline",
        outbound: bool = False,
        outside: Collection[str] = (),
    ) -> None:
        self.rules = rules
        self.outbound = outbound
        self._outside = frozenset(outside)
        self.callers: dict[CallId, Caller] = {}
        self.seats: dict[str, Seat] = {}
        self.tasks: dict[int, Task] = {}
        self._node = node
        self._lanes = Lanes(rules, ())
        self._book = Book()
        self._deadlines: list[tuple[int, str, str]] = []
        self._dirty: dict[Lane, None] = {}
        self._handed: dict[CallId, None] = {}
        self._attempts: dict[CallId, int] = {}
        self._dialling: dict[str, int] = {}
        self._task_of: dict[str, int] = {}
        self._wanted: set[str] = set()
        self._ended: set[CallId] = set()
        self._ended_order: deque[CallId] = deque()
        self._left: OrderedDict[str, tuple[str, int, int]] = OrderedDict()
        self._last_agent: OrderedDict[str, tuple[str, int]] = OrderedDict()
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
            self._settle(now)
        return self._drain()

    def tick(self, now: int) -> list[Command]:
        """Do what has become due. Call it at `deadline()`; calling it more often changes nothing."""
        while self._deadlines and self._deadlines[0][0] <= now:
            due, kind, name = heapq.heappop(self._deadlines)
            _DUE[kind](self, name, due, now)
        self._settle(now)
        return self._drain()

    def deadline(self) -> int | None:
        """When `tick` must be called next (microseconds), or None."""
        return self._deadlines[0][0] if self._deadlines else None

    def configure(self, rules: Rules, now: int) -> list[Command]:
        """Take new rules. Nobody loses his place, and no ringing or talking call is touched."""
        self.rules = rules
        self._lanes = Lanes(rules, self.seats)
        self._dirty.clear()
        for seat in self.seats.values():
            seat.standing, seat.lanes = [], self._lanes.served_by(seat.agent)
            self._stand(seat)
        for caller in self.callers.values():
            if caller.queue:
                caller.rank = caller.place - rules.bonus(caller.queue, caller.caller)
            if caller.stage is Stage.WAITING and caller.attached:
                self._wait(caller)
        for task in self.tasks.values():
            if task.place and task.state is State.DUE and task.not_before <= now:
                self._wait_in_turn(task)
        self._all_dirty()
        self._settle(now)
        return self._drain()

    def expect(self, calls: Iterable[CallId], until: int) -> None:
        """After a start: make no offer before these callers have come back to their places, or `until`."""
        here = {call for call, caller in self.callers.items() if caller.attached}
        self._expected = set(calls) - here
        if self._expected:
            self._settle_until = until
            heapq.heappush(self._deadlines, (until, _EXPECT, ""))

    def take_up(self, tasks: Iterable[Task], now: int) -> list[Command]:
        """After a start: the open tasks of the book. What was under way stays so until its end is told.

        Tasks that are known already are left alone.
        """
        for task in tasks:
            if task.id in self.tasks:
                continue
            self.tasks[task.id] = task
            if task.origin and not task.place:
                self._task_of[task.number] = task.id
            heapq.heappush(self._deadlines, (task.latest, _MISSED, str(task.id)))
            seat = self.seats.get(task.agent)
            if seat is None or seat.call or task.state is State.DUE:
                self._await(task, now)
                continue
            seat.call, seat.callback = task.attempt, task.id
            seat.answered = task.state is State.TALKING
            self._attempts[task.attempt] = task.id
            if not seat.answered:
                self._dialling[seat.agent] = task.id
            self._stand(seat)
        self._settle(now)
        return self._drain()

    def stop(self) -> None:
        """Make no further offers."""
        self._stopping = True

    def snapshot(self) -> dict[str, Any]:
        """Everything that decisions rest on, ready for JSON; `restore` makes the same floor of it (not its rules)."""
        return {
            "callers": [
                asdict(caller)
                | {"ringing": sorted(caller.ringing), "leaving": sorted(caller.leaving)}
                for caller in self.callers.values()
            ],
            "seats": [_plain(seat) for seat in self.seats.values()],
            "tasks": [asdict(task) for task in self.tasks.values()],
            "attempts": self._attempts,
            "task_of": self._task_of,
            "wanted": sorted(self._wanted),
            "ended": list(self._ended_order),
            "left": list(self._left.items()),
            "last_agent": list(self._last_agent.items()),
            "linked": self._linked,
            "expected": sorted(self._expected),
            "settle_until": self._settle_until,
            "stopping": self._stopping,
        }

    @classmethod
    def restore(
        cls,
        state: dict[str, Any],
        rules: Rules,
        now: int,
        *,
        node: str = "hotline",
        outbound: bool = False,
        outside: Collection[str] = (),
    ) -> "Floor":
        """Make the floor of a snapshot; from there on it decides as the one that it was taken from."""
        floor = cls(rules, node=node, outbound=outbound, outside=outside)
        floor._linked, floor._stopping = state["linked"], state["stopping"]
        floor._ended_order.extend(state["ended"])
        floor._ended.update(state["ended"])
        floor._left.update((name, tuple(value)) for name, value in state["left"])
        floor._last_agent.update((name, tuple(value)) for name, value in state["last_agent"])
        floor._attempts.update(state["attempts"])
        floor._task_of.update(state["task_of"])
        floor._wanted.update(state["wanted"])
        floor.expect(state["expected"], state["settle_until"])
        for plain in state["seats"]:
            floor._lanes.join(plain["agent"])
            lanes = floor._lanes.served_by(plain["agent"])
            seat = Seat(**plain | {"intent": Intent(plain["intent"])}, lanes=lanes)
            floor.seats[seat.agent] = seat
            floor._stand(seat)
            if seat.wrap_up_until:
                heapq.heappush(floor._deadlines, (seat.wrap_up_until, _WRAP_UP, seat.agent))
        for plain in state["callers"]:
            agents = {name: set(plain[name]) for name in ("ringing", "leaving")}
            caller = Caller(**plain | agents | {"stage": Stage(plain["stage"])})
            floor.callers[caller.call] = caller
            if caller.handed:
                floor._handed[caller.call] = None
            if caller.queued_at:
                floor._set_wait_deadlines(caller)
            if caller.stage is Stage.WAITING and caller.attached:
                floor._wait(caller)
        for plain in state["tasks"]:
            task = Task(**plain | {"state": State(plain["state"])})
            floor.tasks[task.id] = task
            heapq.heappush(floor._deadlines, (task.latest, _MISSED, str(task.id)))
            if task.state is State.DIALLING:
                floor._dialling[task.agent] = task.id
            elif task.state is State.DUE:
                floor._await(task, now)
        return floor

    # --- what screens and announcements ask

    def ahead(self, call: CallId) -> int:
        """How many callers of the same lane will be offered before this one: 0 for one who does not wait."""
        caller = self.callers.get(call)
        if caller is None or caller.stage is not Stage.WAITING:
            return 0
        return int(self._lane_of(caller).waiting.bisect_left((caller.rank, call)))

    def staffed(self, call: CallId = "") -> bool:
        """Whether anybody is signed in who may answer this call (any call at all) sooner or later."""
        caller = self.callers.get(call)
        able = (
            self._lane_of(caller).penalties if caller is not None and caller.queue else self.seats
        )
        return any(
            seat.intent is not Intent.OUT and seat.reachable
            for agent in able
            if (seat := self.seats.get(agent)) is not None
        )

    def may_call(self, agent: str, colleague: str) -> str:
        """Why this agent's phone cannot ring a colleague's now; empty when it can."""
        own, other = self.seats.get(agent), self.seats.get(colleague)
        if own is None or other is None or own is other or other.removed:
            return "no such colleague"
        # That citizen could be joined with a colleague before he has answered.
        if own.callback and not own.answered:
            return "he dials a citizen"
        if not other.reachable:
            return "his phone is not registered"
        return "he is on the phone" if other.call or other.own_call else ""

    def talking(self) -> int:
        """How many callers and called citizens talk to an agent."""
        return sum(1 for seat in self.seats.values() if seat.call and seat.answered)

    def waiting_since(self) -> int | None:
        """Since when the longest waiting caller waits (microseconds), or None."""
        return min(
            (
                caller.queued_at
                for caller in self.callers.values()
                if caller.stage in (Stage.WAITING, Stage.RINGING) and caller.queued_at
            ),
            default=None,
        )

    def queue_of(self, call: CallId) -> Queue:
        """The rules of the queue that this call is in."""
        caller = self.callers.get(call)
        return self.rules.queue(caller.queue if caller is not None else "")

    # --- calls

    def _call_arrived(self, fact: CallArrived, now: int) -> None:
        if fact.call in self.callers or fact.call in self._ended:
            return
        if fact.origin:
            fact = self._handed_on(fact)
        self.callers[fact.call] = Caller(
            fact.call,
            fact.number,
            fact.caller,
            arrived_at=fact.at,
            queue=fact.queue,
            answered=fact.origin != "",
            since=fact.at,
        )
        self._note(fact)

    def _handed_on(self, fact: CallArrived) -> CallArrived:
        """The citizen of an answered callback leaves it. Of an attended transfer Asterisk tells no number or queue."""
        task = self.tasks.get(self._attempts.get(fact.origin, 0))
        queue = fact.queue or (task.queue if task is not None else "")
        caller = fact.caller or (task.number if task is not None else "")
        return replace(fact, queue=self.rules.queue(queue).name, caller=caller)

    def _call_queued(self, fact: CallQueued, now: int) -> None:
        self._queue(fact, fact.queue, fact.at, now)

    def _call_returned(self, fact: CallReturned, now: int) -> None:
        self._queue(fact, fact.queue, fact.queued_at, now)

    def _queue(self, fact: CallQueued | CallReturned, queue: str, queued_at: int, now: int) -> None:
        if fact.call in self._ended:
            return
        caller = self._caller(fact.call, fact.at)
        if not self._may_wait(caller, fact):
            return
        self._note(fact)
        self._no_longer_expected(fact.call)
        caller.attached, caller.handed = True, ""
        if not caller.queued_at:
            caller.queue = queue if queue in self.rules.queues else self.rules.queue(queue).name
            caller.queued_at = caller.place = queued_at
            if isinstance(fact, CallQueued):
                self._restore_place(caller, fact.at)
            caller.rank = caller.place - self.rules.bonus(caller.queue, caller.caller)
            if isinstance(fact, CallQueued) and self._turned_away(caller, now):
                return
        self._set_wait_deadlines(caller)
        if caller.stage is Stage.GREETING:
            caller.since = fact.at
        if caller.stage is not Stage.RINGING:
            self._wait(caller)

    @staticmethod
    def _may_wait(caller: Caller, fact: CallQueued | CallReturned) -> bool:
        if isinstance(fact, CallReturned):
            if caller.stage is Stage.TALKING:
                return not caller.agent  # transferred while no controller was there to see it
            if caller.stage is Stage.OUTSIDE:
                return caller.handed != ""  # nobody answered where an agent has sent him
        return caller.stage not in (Stage.TALKING, Stage.RELEASED, Stage.OUTSIDE)

    def _call_transferred(self, fact: CallTransferred, now: int) -> None:
        """An agent handed the citizen over: he goes where he was sent, if he can, else to the front of his queue.

        His place is as old as before, so he is the first or nearly so; how long he may wait is counted anew.
        """
        caller = self.callers.get(fact.call)
        if fact.call in self._ended or fact.attended:
            if fact.attended and caller is not None:
                self._note(fact)
            return
        caller = caller or self._caller(fact.call, fact.at)
        if caller.stage in (Stage.RINGING, Stage.RELEASED, Stage.OUTSIDE):
            return
        if caller.stage is Stage.WAITING:
            self._leave_lane(caller)
        self._note(fact)
        self._no_longer_expected(fact.call)
        if caller.agent:
            caller.leaving.add(caller.agent)
        caller.agent, caller.attached = "", True
        caller.queue = caller.queue or self.rules.queue("").name
        caller.queued_at, caller.since = fact.at, fact.at
        caller.place = caller.place or fact.at
        self._direct(caller, fact.to, now)

    def _direct(self, caller: Caller, to: str, now: int) -> None:
        if to in self._outside and to not in self.rules.numbers and to not in self.seats:
            caller.stage, caller.handed, caller.outside = Stage.OUTSIDE, to, to
            self._note(CallSentOutside(now, caller.call, to))
            self._out.append(SendOutside(caller.call, to))
            return
        line = self.rules.numbers.get(to)
        if line is not None and line.queue != caller.queue:
            caller.queue = self.rules.queue(line.queue).name
            self._note(CallMoved(now, caller.call, caller.queue))
        elif to in self.seats:
            caller.handed = to
            self._handed[caller.call] = None
        caller.rank = caller.place - self.rules.bonus(caller.queue, caller.caller)
        self._set_wait_deadlines(caller)
        self._wait(caller)

    def _hand_over(self, now: int) -> None:
        """Ring the agents to whom citizens were transferred, if they are ready and nobody comes before."""
        calls, self._handed = list(self._handed), {}
        for call in calls:
            caller = self.callers.get(call)
            if caller is None or caller.stage is not Stage.WAITING or not caller.attached:
                continue
            seat, caller.handed = self.seats.get(caller.handed), ""
            place = (caller.rank, call)
            if seat is None or seat.removed or seat.presence() is not Presence.READY:
                continue
            if any(lane.waiting and lane.waiting[0] < place for lane in seat.lanes):
                continue
            self._leave_lane(caller)
            self._give(caller, seat, now)
            ring_time = self.rules.queue(caller.queue).ring_time
            self._out.append(Ring(call, (seat.agent,), ring_time))

    def _restore_place(self, caller: Caller, at: int) -> None:
        """One who gave up or was cut off and redials in time has his place back."""
        queue, place, left_at = self._left.get(caller.caller, ("", 0, 0))
        within = round(self.rules.queue(caller.queue).redial_for * SECOND)
        if caller.caller and queue == caller.queue and at - left_at <= within:
            caller.place = place
            self._note(PlaceRestored(at, caller.call, place))

    def _turned_away(self, caller: Caller, now: int) -> bool:
        """Whether the queue is full for this caller; then he is sent on or released."""
        queue = self.rules.queue(caller.queue)
        if not queue.longest_queue or self._lanes.waiting(caller.queue) < queue.longest_queue:
            return False
        if self._idle_for(caller):
            return False
        if queue.overflow_to:
            self._overflow(caller, now)
        else:
            self._release(caller, Release.QUEUE_FULL, now)
        return True

    def _set_wait_deadlines(self, caller: Caller) -> None:
        queue = self.rules.queue(caller.queue)
        heapq.heappush(self._deadlines, (self._give_up_at(caller), _LONGEST_WAIT, caller.call))
        if queue.overflow_to and queue.overflow_after:
            heapq.heappush(self._deadlines, (self._overflow_at(caller), _OVERFLOW, caller.call))

    def _call_detached(self, fact: CallDetached, now: int) -> None:
        caller = self.callers.get(fact.call)
        if caller is None or not caller.attached:
            return
        caller.attached = False
        if caller.stage is Stage.WAITING:
            self._leave_lane(caller)
        self._note(fact)

    def _call_asked(self, fact: CallbackAsked, now: int) -> None:
        """He keeps his place and is called in his turn: a task stands in the lane for him once it is in the book."""
        caller = self.callers.get(fact.call)
        if caller is None or caller.asked or not caller.caller or caller.stage is not Stage.WAITING:
            return
        caller.asked = True
        self._note(fact)
        latest = now + round(self.rules.queue(caller.queue).call_back_within * SECOND)
        self._out.append(
            CreateCallback(
                caller.caller, caller.queue, latest, "asked", caller.call, place=caller.rank
            )
        )

    def _call_released(self, fact: CallReleased, now: int) -> None:
        """The session itself ends the call: closed hours, a blocked number, nobody at the outside number."""
        caller = self.callers.get(fact.call)
        if caller is None or caller.stage not in (Stage.GREETING, Stage.OUTSIDE):
            return
        caller.stage, caller.since = Stage.RELEASED, fact.at
        caller.unwanted = fact.reason is Release.BLOCKED
        self._note(fact)

    def _call_sent_outside(self, fact: CallSentOutside, now: int) -> None:
        caller = self.callers.get(fact.call)
        if caller is not None:
            caller.answered = caller.answered or fact.answered
            # Asterisk tells of the answer, but not who it was.
            caller.outside = fact.number or caller.outside
            self._note(replace(fact, number=caller.outside))

    def _call_ended(self, fact: CallEnded, now: int) -> None:
        caller = self.callers.pop(fact.call, None)
        if fact.call in self._ended:
            return
        self._no_longer_expected(fact.call)
        self._ended.add(fact.call)
        self._ended_order.append(fact.call)
        if len(self._ended_order) > _REMEMBERED:
            self._ended.discard(self._ended_order.popleft())
        self._note(fact)
        if caller is None:
            return
        if caller.stage is Stage.WAITING:
            self._leave_lane(caller)
        for agent in sorted({*caller.ringing, *caller.leaving, caller.agent}):
            seat = self.seats.get(agent)
            if seat is not None and seat.call == fact.call:
                self._free(seat, fact.at, now, worked=seat.answered)
        self._remember_leaving(caller, fact, now)

    def _remember_leaving(self, caller: Caller, fact: CallEnded, now: int) -> None:
        if not caller.caller:
            return
        cut_off = caller.answered and fact.hung_up_by is Party.SYSTEM
        if caller.queued_at and (cut_off or not caller.answered):
            _put(self._left, caller.caller, (caller.queue, caller.place, fact.at))
        if caller.number and not (caller.answered or caller.asked or caller.unwanted):
            self._call_back_lost(caller, fact.at)

    def _call_back_lost(self, caller: Caller, at: int) -> None:
        """漏接回拨: one task for a citizen whom nobody answered, however often he tried."""
        line = self.rules.numbers.get(caller.number)
        queue = self.rules.queue(caller.queue or (line.queue if line is not None else ""))
        if not queue.call_back_lost:
            return
        known = self._task_of.get(caller.caller)
        if known is not None:
            self._note(CallbackMerged(at, known, caller.call))
        elif caller.caller not in self._wanted:
            self._wanted.add(caller.caller)
            latest = at + round(queue.call_back_within * SECOND)
            self._out.append(CreateCallback(caller.caller, queue.name, latest, "lost", caller.call))

    # --- offers

    def _offer_ringing(self, fact: OfferRinging, now: int) -> None:
        if self._take(fact.call, fact.agent, fact.at, answered=False):
            self._note(fact)

    def _offer_answered(self, fact: OfferAnswered, now: int) -> None:
        if not self._take(fact.call, fact.agent, fact.at, answered=True):
            return
        self._note(fact)
        caller, seat = self.callers[fact.call], self.seats[fact.agent]
        first, caller.answered = not caller.answered, True
        seat.calls += 1
        if caller.caller and first:
            # The first one stays the one whom he knows (R5), whoever he is handed over to.
            _put(self._last_agent, caller.caller, (fact.agent, fact.at))
            self._left.pop(caller.caller, None)
            task = self.tasks.get(self._task_of.get(caller.caller, 0))
            if task is not None and task.state is State.DUE:
                self._close(task, State.CANCELLED)
                self._note(CallbackCancelled(fact.at, task.id, "answered"))

    def _take(self, call: CallId, agent: str, at: int, *, answered: bool) -> bool:
        """Bind call and agent as Asterisk says they are: it is the one who knows."""
        if call in self._ended:
            return False
        caller, seat = self._caller(call, at), self._seat(agent)
        if seat.call == call and seat.answered:
            return not answered  # the 180 may be told after the answer; a second answer is no news
        self._no_longer_expected(call)
        if caller.stage is Stage.WAITING:
            self._leave_lane(caller)
        if answered:
            if caller.agent and caller.agent != agent:
                caller.leaving.add(caller.agent)
            caller.stage, caller.agent = Stage.TALKING, agent
            caller.ringing.discard(agent)
        elif caller.stage is not Stage.TALKING:
            caller.stage = Stage.RINGING
            caller.ringing.add(agent)
        caller.since = at
        seat.call, seat.answered, seat.since = call, answered, at
        seat.not_responding = seat.not_responding and not answered
        self._stand(seat)
        return True

    def _offer_ended(self, fact: OfferEnded, now: int) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.call != fact.call or seat.answered:
            return
        self._note(fact)
        caller = self.callers.get(fact.call)
        elsewhere = caller is not None and caller.stage is Stage.TALKING
        if fact.reason in _SILENT_REASONS and not elsewhere:
            self._mark_silent(seat, fact.at)
        self._free(seat, fact.at, now, worked=False)
        if caller is not None:
            self._stop_ringing(caller, fact, now)

    def _stop_ringing(self, caller: Caller, fact: OfferEnded, now: int) -> None:
        caller.ringing.discard(fact.agent)
        if caller.stage is Stage.RINGING and not caller.ringing:
            caller.stage, caller.since = Stage.WAITING, fact.at
            # One who has hung up is offered to nobody in the moment until his own end is told.
            caller.attached = caller.attached and fact.reason is not OfferReason.CALLER_GONE
            if caller.attached:
                self._wait(caller)
            # What became due while a phone rang for him is done now.
            self._end_wait(fact.call, 0, now)
            self._due_overflow(fact.call, 0, now)

    def _talk_ended(self, fact: TalkEnded, now: int) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.call != fact.call:
            return
        self._note(fact)
        self._free(seat, fact.at, now, worked=True)

    # --- callbacks

    def _callback_added(self, fact: CallbackAdded, now: int) -> None:
        self._wanted.discard(fact.number)
        if fact.callback in self.tasks:
            return
        task = self.tasks[fact.callback] = Task.of(fact)
        self._note(fact)
        if fact.origin and not fact.place:
            self._task_of[fact.number] = fact.callback
        heapq.heappush(self._deadlines, (task.latest, _MISSED, str(task.id)))
        self._await(task, now)

    def _await(self, task: Task, now: int) -> None:
        """The task is open: due at once, or when its next attempt may be made."""
        task.state, task.agent, task.attempt = State.DUE, "", ""
        if now >= task.latest:
            self._miss(str(task.id), 0, now)
        elif task.not_before > now:
            heapq.heappush(self._deadlines, (task.not_before, _CALLBACK_DUE, str(task.id)))
        elif task.place:
            self._wait_in_turn(task)
        else:
            self._make_due(task)

    def _make_due(self, task: Task) -> None:
        self._book.add(task)
        queue = self.rules.queue(task.queue)
        urgent_at = task.latest - round(queue.urgent_before * SECOND)
        heapq.heappush(self._deadlines, (urgent_at, _URGENT, str(task.id)))
        self._dirty[self._lanes.home(queue.name)] = None

    def _wait_in_turn(self, task: Task) -> None:
        """A kept place: the task stands in the lane where its caller stood."""
        lane = self._lanes.home(self.rules.queue(task.queue).name)
        place = (task.place, f"#{task.id}")
        if place not in lane.waiting:
            lane.waiting.add(place)
        self._dirty[lane] = None

    def _callback_dialling(self, fact: CallbackDialling, now: int) -> None:
        task, seat = self._attempt(fact.call, fact.agent)
        if task is not None and seat is not None:
            self._note(fact)

    def _callback_answered(self, fact: CallbackAnswered, now: int) -> None:
        task, seat = self._attempt(fact.call, fact.agent)
        if task is not None and seat is not None:
            if task.state is State.DIALLING:
                task.state, seat.answered, seat.since = State.TALKING, True, fact.at
                self._dialling.pop(fact.agent, None)
                self._note(fact)
            return
        task = self.tasks.get(fact.callback)
        if task is not None and not task.first:
            # His answer crossed with our cancel: he has heard his phone ring for nothing, and comes first.
            self._book.remove(task)
            task.first = True
            task.not_before = fact.at
            if task.state is State.DUE and not task.place:
                self._make_due(task)
        self._note(CallbackRaced(fact.at, fact.callback, fact.call, fact.agent))

    def _callback_spared(self, fact: CallbackSpared, now: int) -> None:
        """He had picked up when his callback was to yield, or while nobody was there to see it: they talk.

        The caller to whom it was to yield goes back to his place.
        """
        seat, task = self.seats.get(fact.agent), self.tasks.get(fact.callback)
        if seat is None or seat.answered:
            return
        self._note(fact)
        caller = self.callers.get(seat.call)
        seat.call, seat.since = "", fact.at
        if task is not None and task.state is State.DUE:
            self._book.remove(task)
            task.state, task.agent, task.attempt = State.TALKING, fact.agent, fact.call
            task.first = False
            self._attempts[fact.call] = task.id
            seat.call, seat.answered, seat.callback = fact.call, True, task.id
        else:
            # The task has been ended meanwhile; whatever the two talk about, he is busy.
            seat.own_call = True
        self._stand(seat)
        if caller is not None:
            withdrawn = OfferEnded(fact.at, caller.call, fact.agent, OfferReason.WITHDRAWN)
            self._note(withdrawn)
            self._stop_ringing(caller, withdrawn, now)

    def _callback_ended(self, fact: CallbackEnded, now: int) -> None:
        task, seat = self._attempt(fact.call, fact.agent)
        if task is None or seat is None:
            return
        self._note(fact)
        talked = task.state is State.TALKING
        if fact.failure in _AGENT_SILENT:
            self._mark_silent(seat, fact.at)
        self._free(seat, fact.at, now, worked=talked)
        if talked:
            self._close(task, State.REACHED)
            return
        if fact.failure not in AGENT_SIDE:
            task.attempts_left -= 1
            task.not_before = fact.at + task.spacing
            task.first = False
        if task.attempts_left <= 0:
            self._close(task, State.UNREACHED)
            self._note(CallbackUnreached(fact.at, task.id))
        else:
            self._await(task, now)

    def _callback_cancelled(self, fact: CallbackCancelled, now: int) -> None:
        task = self.tasks.get(fact.callback)
        if task is None:
            return
        self._note(fact)
        if task.state is State.DIALLING:
            self._out.append(CancelAttempt(task.attempt, task.agent))
            seat = self.seats.get(task.agent)
            if seat is not None and seat.call == task.attempt:
                self._free(seat, fact.at, now, worked=False)
        if task.state is not State.TALKING:
            self._close(task, State.CANCELLED)

    def _attempt(self, call: CallId, agent: str) -> tuple[Task | None, Seat | None]:
        """The task and the seat of an attempt that is still wanted."""
        task = self.tasks.get(self._attempts.get(call, 0))
        seat = self.seats.get(agent)
        if task is None or seat is None or task.attempt != call or seat.call != call:
            return None, None
        return task, seat

    def _close(self, task: Task, state: State) -> None:
        task.state = state
        self._book.remove(task)
        if task.place:
            lane = self._lanes.home(self.rules.queue(task.queue).name)
            lane.waiting.discard((task.place, f"#{task.id}"))
        del self.tasks[task.id]
        if self._task_of.get(task.number) == task.id:
            del self._task_of[task.number]

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
        self._stand(seat)
        if not seat.call:
            self._drop_seat(seat)

    def _agent_ready(self, fact: AgentReady, now: int) -> None:
        seat = self.seats.get(fact.agent)
        if seat is None or seat.removed:
            return
        if seat.intent is Intent.OUT:
            seat.calls = 0
        was_ready = seat.presence() is Presence.READY
        seat.intent, seat.pause_reason, seat.not_responding = Intent.READY, "", False
        self._note(fact)
        if seat.wrap_up_until:
            self._end_wrap_up(seat, fact.at)
        elif not was_ready:
            seat.idle_since = seat.since = fact.at
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
        """Take back what still rings or dials: the agent has just said that he will not take it."""
        if not seat.call or seat.answered:
            return
        if seat.callback:
            self._out.append(CancelAttempt(seat.call, seat.agent))
        else:
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
            self._all_dirty()
            self._note(fact)

    # --- pairing

    def _settle(self, now: int) -> None:
        """Pair what the last fact has changed: callers first, then callbacks."""
        if not self._linked or self._stopping or (self._expected and now < self._settle_until):
            return
        if self._handed:
            self._hand_over(now)
        while self._dirty:
            lanes, self._dirty = list(self._dirty), {}
            while (lane := _next(lanes)) is not None:
                self._pair(lane, now)
            while self._dialling and self._yield_one(lanes, now):
                pass
            if self.outbound:
                self._place_callbacks({lane.queue.name for lane in lanes}, now)

    def _pair(self, lane: Lane, now: int) -> None:
        """Offer the first of the lane to the first idle agent, or to the one whom he knows."""
        _, waiter = lane.waiting.pop(0)
        if waiter.startswith("#"):
            self._place(self.tasks[int(waiter[1:])], self._first_idle(lane, ""), now)
            return
        caller = self.callers[waiter]
        chosen = [self._first_idle(lane, self._knows(caller, now))]
        if lane.queue.strategy is Strategy.RING_SEVERAL:
            more = [key[3] for key in lane.idle if key[3] != chosen[0].agent]
            chosen += [self.seats[agent] for agent in more[: lane.queue.together - 1]]
        for seat in chosen:
            self._give(caller, seat, now)
        agents = tuple(seat.agent for seat in chosen)
        self._out.append(Ring(caller.call, agents, lane.queue.ring_time))

    def _give(self, caller: Caller, seat: Seat, now: int) -> None:
        caller.stage, caller.since = Stage.RINGING, now
        caller.ringing.add(seat.agent)
        seat.call, seat.answered, seat.callback = caller.call, False, 0
        seat.since = seat.last_offer = now
        self._stand(seat)
        self._note(OfferMade(now, caller.call, seat.agent))

    def _first_idle(self, lane: Lane, known: str) -> Seat:
        seat = self.seats.get(known)
        if seat is not None and seat.standing and lane in seat.lanes:
            return seat
        return self.seats[lane.idle[0][3]]

    def _knows(self, caller: Caller, now: int) -> str:
        """The agent who answered this citizen last, when that was not too long ago (R5)."""
        agent, at = self._last_agent.get(caller.caller, ("", 0))
        within = round(self.rules.queue(caller.queue).sticky_for * SECOND)
        return agent if agent and now - at <= within else ""

    def _idle_for(self, caller: Caller) -> bool:
        return bool(self._lane_of(caller).idle)

    # --- inbound first (R7)

    def _yield_one(self, lanes: list[Lane], now: int) -> bool:
        """The citizen who waits the longest gets the agent whose unanswered callback can wait the longest, if any."""
        waiting = [
            (rank, waiter, lane)
            for lane in lanes
            for rank, waiter in islice((one for one in lane.waiting if one[1][0] != "#"), 1)
        ]
        for _, waiter, lane in sorted(waiting, key=lambda one: one[:2]):
            able = [
                self.tasks[task]
                for agent, task in self._dialling.items()
                if agent in lane.penalties and not self.tasks[task].place
            ]
            if able:
                self._yield(max(able, key=lambda task: (task.latest, task.id)), waiter, now)
                return True
        return False

    def _yield(self, task: Task, waiter: CallId, now: int) -> None:
        caller, seat = self.callers[waiter], self.seats[task.agent]
        cancelled, agent = task.attempt, task.agent
        queue = self.rules.queue(caller.queue)
        self._leave_lane(caller)
        self._dialling.pop(agent)
        task.yields += 1
        self._note(CallbackYielded(now, task.id, cancelled, agent, waiter))
        self._give(caller, seat, now)
        self._out.append(
            Yield(task.id, cancelled, agent, waiter, queue.ring_time, queue.stay_on_line)
        )
        self._await(task, now)

    def _place_callbacks(self, queues: Iterable[str], now: int) -> None:
        """Use idle agents for due callbacks, as far as no citizen waits and the reserve remains."""
        while True:
            able = [task for queue in queues if (task := self._next_task(queue, now)) is not None]
            if not able:
                return
            task = min(able, key=Task.order)
            self._book.remove(task)
            lane = self._lanes.home(self.rules.queue(task.queue).name)
            self._place(task, self._first_idle(lane, task.prefers), now)

    def _next_task(self, queue: str, now: int) -> Task | None:
        """The due task of this queue that an idle agent may be used for now."""
        rules, lane = self.rules.queue(queue), self._lanes.home(queue)
        if not lane.idle or not self._book.due(queue) or self._lanes.waiting(queue):
            return None
        spare = len(lane.idle) > rules.reserve
        tasks = (self.tasks[number] for number in self._book.candidates(queue))
        return next(
            (task for task in tasks if spare or task.urgent(now, rules.urgent_before)), None
        )

    def _place(self, task: Task, seat: Seat, now: int) -> None:
        task.tries += 1
        task.state, task.agent = State.DIALLING, seat.agent
        task.attempt = attempt_id(self._node, task.id, task.tries)
        self._attempts[task.attempt] = task.id
        self._dialling[seat.agent] = task.id
        seat.call, seat.answered, seat.callback = task.attempt, False, task.id
        seat.since = seat.last_offer = now
        self._stand(seat)
        self._note(CallbackPlaced(now, task.id, task.attempt, seat.agent))
        queue = self.rules.queue(task.queue).name
        self._out.append(PlaceCallback(task.id, task.attempt, seat.agent, task.number, queue))

    # --- lines

    def _lane_of(self, caller: Caller) -> Lane:
        lane = self._lanes.lane(caller.queue, self.rules.needs(caller.queue, caller.number))
        while self._lanes.fresh:
            self._open(self._lanes.fresh.pop())
        return lane

    def _wait(self, caller: Caller) -> None:
        """Put the caller into his lane, at his place."""
        caller.stage = Stage.WAITING
        lane = self._lane_of(caller)
        place = (caller.rank, caller.call)
        if place not in lane.waiting:
            lane.waiting.add(place)
        self._dirty[lane] = None

    def _open(self, lane: Lane) -> None:
        """A lane was made for a new need: its agents stand in it from now on."""
        for agent in lane.penalties:
            seat = self.seats[agent]
            if lane in seat.lanes:
                continue
            if seat.standing:
                self._step_out(seat)
            seat.lanes.append(lane)
            self._stand(seat)

    def _leave_lane(self, caller: Caller) -> None:
        lane = self._lane_of(caller)
        lane.waiting.discard((caller.rank, caller.call))
        self._dirty[lane] = None  # with nobody waiting, callbacks may be placed

    def _stand(self, seat: Seat) -> None:
        """Put the agent among the idle of all his lanes, or take him out, as his presence says."""
        idle = seat.presence() is Presence.READY and not seat.removed
        if seat.standing:
            if idle and seat.standing[0][2] == seat.idle_since:
                return
            self._step_out(seat)
        if idle:
            self._step_in(seat)

    def _step_in(self, seat: Seat) -> None:
        for lane in seat.lanes:
            place = key(lane.queue.strategy, seat, *lane.penalties[seat.agent])
            lane.idle.add(place)
            seat.standing.append(place)
            self._dirty[lane] = None

    def _step_out(self, seat: Seat) -> None:
        for lane, place in zip(seat.lanes, seat.standing, strict=True):
            lane.idle.remove(place)
        seat.standing = []

    def _free(self, seat: Seat, at: int, now: int, *, worked: bool) -> None:
        """The agent holds no call any more; `worked` says that he talked and may have to write it up."""
        queue = self._queue_of_work(seat)
        caller = self.callers.get(seat.call)
        if caller is not None:
            caller.leaving.discard(seat.agent)
            if caller.agent == seat.agent:
                caller.agent = ""
        self._attempts.pop(seat.call, None)
        self._dialling.pop(seat.agent, None)
        call, seat.call, seat.answered, seat.callback = seat.call, "", False, 0
        seat.since = at
        if seat.removed:
            self._drop_seat(seat)
            return
        if worked:
            seat.idle_since = at
            until = at + round(queue.wrap_up_time * SECOND)
            if until > now and seat.intent is Intent.READY:
                seat.wrap_up_until, seat.worked_on = until, call
                heapq.heappush(self._deadlines, (until, _WRAP_UP, seat.agent))
                self._note(WrapUpStarted(at, seat.agent, until, call))
        self._stand(seat)

    def _queue_of_work(self, seat: Seat) -> Queue:
        if seat.callback and seat.callback in self.tasks:
            return self.rules.queue(self.tasks[seat.callback].queue)
        return self.queue_of(seat.call)

    def _mark_silent(self, seat: Seat, at: int) -> None:
        if not seat.not_responding:
            seat.not_responding = True
            self._note(AgentNotResponding(at, seat.agent))

    def _drop_seat(self, seat: Seat) -> None:
        self._lanes.leave(seat.agent)
        del self.seats[seat.agent]

    # --- what becomes due

    def _due_wrap_up(self, agent: str, due: int, now: int) -> None:
        seat = self.seats.get(agent)
        if seat is not None and seat.wrap_up_until == due:
            self._end_wrap_up(seat, now)

    def _end_wrap_up(self, seat: Seat, at: int) -> None:
        call, seat.worked_on = seat.worked_on, ""
        seat.wrap_up_until = 0
        seat.idle_since = seat.since = at
        self._note(WrapUpEnded(at, seat.agent, call))
        self._stand(seat)

    def _end_wait(self, call: CallId, due: int, now: int) -> None:
        caller = self.callers.get(call)
        if caller is None or caller.stage is not Stage.WAITING or not caller.attached:
            return
        if now < self._give_up_at(caller):
            return  # he was moved to a queue where one may wait longer
        self._leave_lane(caller)
        self._release(caller, Release.TIMED_OUT, now)

    def _release(self, caller: Caller, reason: Release, now: int) -> None:
        caller.stage, caller.since = Stage.RELEASED, now
        self._note(CallReleased(now, caller.call, reason))
        self._out.append(ReleaseCall(caller.call, reason))

    def _due_overflow(self, call: CallId, due: int, now: int) -> None:
        caller = self.callers.get(call)
        if caller is None or caller.stage is not Stage.WAITING or not caller.attached:
            return
        queue = self.rules.queue(caller.queue)
        if queue.overflow_to and queue.overflow_after and now >= self._overflow_at(caller):
            self._leave_lane(caller)
            self._overflow(caller, now)

    def _overflow(self, caller: Caller, now: int) -> None:
        """On to another queue, with the old place, or to an outside number."""
        target = self.rules.queue(caller.queue).overflow_to
        if target in self.rules.queues:
            caller.queue = target
            caller.rank = caller.place - self.rules.bonus(target, caller.caller)
            self._note(CallMoved(now, caller.call, target))
            self._set_wait_deadlines(caller)
            self._wait(caller)
        else:
            caller.stage, caller.since, caller.outside = Stage.OUTSIDE, now, target
            self._note(CallSentOutside(now, caller.call, target))
            self._out.append(SendOutside(caller.call, target))

    def _due_callback(self, name: str, due: int, now: int) -> None:
        task = self.tasks.get(int(name))
        if task is not None and task.state is State.DUE and task.not_before <= now:
            self._await(task, now)

    def _due_urgent(self, name: str, due: int, now: int) -> None:
        task = self.tasks.get(int(name))
        if task is not None and task.state is State.DUE:
            self._dirty[self._lanes.home(self.rules.queue(task.queue).name)] = None

    def _miss(self, name: str, due: int, now: int) -> None:
        """The deadline has passed. An attempt that is on its way may still reach the citizen."""
        task = self.tasks.get(int(name))
        if task is not None and task.state is State.DUE:
            self._close(task, State.MISSED)
            self._note(CallbackMissed(now, task.id))

    def _due_expected(self, name: str, due: int, now: int) -> None:
        self._expected.clear()
        self._all_dirty()

    def _give_up_at(self, caller: Caller) -> int:
        return caller.queued_at + round(self.rules.queue(caller.queue).longest_wait * SECOND)

    def _overflow_at(self, caller: Caller) -> int:
        return caller.queued_at + round(self.rules.queue(caller.queue).overflow_after * SECOND)

    # --- small things

    def _no_longer_expected(self, call: CallId) -> None:
        if call in self._expected:
            self._expected.discard(call)
            if not self._expected:
                self._all_dirty()

    def _caller(self, call: CallId, at: int) -> Caller:
        caller = self.callers.get(call)
        if caller is None:
            caller = self.callers[call] = Caller(call, since=at)
        return caller

    def _seat(self, agent: str) -> Seat:
        seat = self.seats.get(agent)
        if seat is None:
            self._lanes.join(agent)
            seat = self.seats[agent] = Seat(agent, lanes=self._lanes.served_by(agent))
        return seat

    def _all_dirty(self) -> None:
        self._dirty.update(dict.fromkeys(self._lanes))

    def _note(self, fact: Fact) -> None:
        self._out.append(Record(fact))

    def _drain(self) -> list[Command]:
        out, self._out = self._out, []
        return out


def _next(lanes: Iterable[Lane]) -> Lane | None:
    """Of the lanes that can pair somebody now, the one whose first caller has the smallest rank."""
    able = (lane for lane in lanes if lane.waiting and lane.idle)
    return min(able, key=lambda lane: lane.waiting[0], default=None)


def _plain(seat: Seat) -> dict[str, Any]:
    """A seat without the lanes, which follow from the rules."""
    names = [field.name for field in fields(Seat) if field.name not in {"lanes", "standing"}]
    return {name: getattr(seat, name) for name in names}


def _put(memory: "OrderedDict[str, Any]", name: str, value: Any) -> None:
    """Remember, and forget the oldest."""
    memory.pop(name, None)
    memory[name] = value
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)


_SILENT_REASONS = {OfferReason.NO_ANSWER, OfferReason.REFUSED, OfferReason.UNREACHABLE}
"""Reasons after which the agent must say that he is there before he is offered another call."""

_AGENT_SILENT = {"agent_no_answer", "agent_refused", "agent_unreachable"}

_WRAP_UP, _LONGEST_WAIT, _OVERFLOW, _EXPECT = "wrap-up", "longest-wait", "overflow", "expect"
_CALLBACK_DUE, _URGENT, _MISSED = "callback-due", "callback-urgent", "callback-missed"

_DUE: dict[str, Callable[[Floor, str, int, int], None]] = {
    _WRAP_UP: Floor._due_wrap_up,
    _LONGEST_WAIT: Floor._end_wait,
    _OVERFLOW: Floor._due_overflow,
    _EXPECT: Floor._due_expected,
    _CALLBACK_DUE: Floor._due_callback,
    _URGENT: Floor._due_urgent,
    _MISSED: Floor._miss,
}

_HANDLERS: dict[type, Callable[[Floor, Any, int], None]] = {
    CallArrived: Floor._call_arrived,
    CallQueued: Floor._call_queued,
    CallReturned: Floor._call_returned,
    CallDetached: Floor._call_detached,
    CallReleased: Floor._call_released,
    CallTransferred: Floor._call_transferred,
    CallbackAsked: Floor._call_asked,
    CallSentOutside: Floor._call_sent_outside,
    CallEnded: Floor._call_ended,
    OfferRinging: Floor._offer_ringing,
    OfferAnswered: Floor._offer_answered,
    OfferEnded: Floor._offer_ended,
    TalkEnded: Floor._talk_ended,
    CallbackAdded: Floor._callback_added,
    CallbackDialling: Floor._callback_dialling,
    CallbackAnswered: Floor._callback_answered,
    CallbackSpared: Floor._callback_spared,
    CallbackEnded: Floor._callback_ended,
    CallbackCancelled: Floor._callback_cancelled,
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
