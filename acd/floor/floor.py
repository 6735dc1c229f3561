"""The floor's face: what the desk and the screens call, and the tables of what each fact and each deadline does. Pure.

Invariants (tests/acd/test_world.py):
  - an agent holds at most one call, whether it rings or is answered, a citizen's or a callback's;
  - a waiting caller is passed over only by one of smaller rank (`acd.rules`), or when no agent has the skills;
  - an assigned caller waits for one agent alone, for a limited time;
  - while callers wait in a lane and offers are allowed, no agent who can take one is idle in it;
  - no number is dialled that the gate (`acd.gate`) refuses, and no cap is exceeded;
  - no callback is placed while a citizen waits in its queue; an unanswered one yields when no idle agent can take
    a waiting citizen; an answered one is never cut;
  - a caller keeps their place until an agent has answered them.
"""

import heapq
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any

from acd.callbacks.task import State, Task
from acd.commands import Command
from acd.floor import (
    agents,
    assigned,
    callbacks,
    calls,
    centre,
    handing_on,
    offers,
    open_tasks,
    parties,
    snapshot,
    waiting,
    work,
)
from acd.floor.hall import (
    ASSIGNED,
    CALLBACK_DUE,
    DIAL_AGAIN,
    DOUBTED,
    EXPECT,
    LONGEST_WAIT,
    MISSED,
    OVERFLOW,
    RESTED,
    URGENT,
    WRAP_UP,
    Caller,
    Hall,
    Seat,
    Stage,
)
from acd.floor.lanes import all_changed, home, join_lane, lane_of, make_lanes
from acd.floor.pairing import pair, why_not_dialled
from acd.floor.snapshot import HallState
from acd.gate import Policy, Purpose, Refusal
from acd.rules.model import Queue, Rules
from agents.model import Intent
from facts import (
    AgentAdded,
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
    CallbackSpared,
    CallDetached,
    CallEnded,
    CallerAssigned,
    CallerBroughtForward,
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
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PartyAsked,
    PartyFailed,
    PartyLeft,
    PhoneLost,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
    TalkStopped,
)
from facts.offers import NO_TALK
from facts.terms import CallId
from facts.times import SECOND

STOOD_STILL = 15 * SECOND
"""Microseconds: `hotline up` has ended a controller that stood still for longer."""


class Floor:
    """All callers, agents and callbacks, and every decision about them. The module's docstring says what it promises.

    `node` begins the ids of callback attempts. `outside`: the outside numbers that agents may transfer to.
    `policy`: what may be dialled, and how often; without one, subscribers at home, with no cap.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        node: str = "hotline",
        outbound: bool = False,
        outside: Collection[str] = (),
        policy: Policy | None = None,
    ) -> None:
        self.hall = Hall(rules, node, outbound, frozenset(outside), policy or Policy())
        self.callers: dict[CallId, Caller] = self.hall.callers
        self.seats: dict[str, Seat] = self.hall.seats
        self.tasks: dict[int, Task] = self.hall.tasks
        make_lanes(self.hall)

    # --- what the desk calls

    def handle(self, fact: Fact, now: int, *, more: bool = False) -> list[Command]:
        """Take one fact and say what to do. A fact that is already known, or cannot be, yields nothing.

        `more`: another fact of the same moment follows, so no offer is made before that one.
        """
        hall = self.hall
        handler = HANDLERS.get(type(fact))
        if handler is None:
            hall.record(fact)
        else:
            handler(hall, fact, now)
        if not more:
            pair(hall, now)
        return hall.drain()

    def tick(self, now: int) -> list[Command]:
        """Do what has become due. Call it at `deadline()`; calling it more often changes nothing."""
        deadlines = self.hall.deadlines
        while deadlines and deadlines[0][0] <= now:
            due, kind, name = heapq.heappop(deadlines)
            DUE[kind](self.hall, name, due, now)
        pair(self.hall, now)
        return self.hall.drain()

    def deadline(self) -> int | None:
        """When `tick` must be called next (microseconds), or None."""
        return self.hall.deadlines[0][0] if self.hall.deadlines else None

    def configure(self, rules: Rules, now: int) -> list[Command]:
        """Take new rules. Every caller keeps their place, and no ringing or talking call is touched."""
        hall = self.hall
        hall.rules = rules
        make_lanes(hall)
        for caller in hall.callers.values():
            if caller.queue:
                caller.rank = hall.rank_of(caller)
            if caller.stage is Stage.WAITING and caller.attached:
                join_lane(hall, caller)
                assigned.while_able(hall, caller)
        for task in hall.tasks.values():
            held = task.id in hall.held
            if task.place and task.state is State.DUE and task.not_before <= now and not held:
                open_tasks.wait_in_lane(hall, task)
        all_changed(hall)
        pair(hall, now)
        return hall.drain()

    def expect(self, calls: Iterable[CallId], until: int) -> None:
        """After a start: make no offer before these callers have come back to their places, or before `until`."""
        centre.expect(self.hall, calls, until)

    def listen(self) -> None:
        """Make no offer before `heard`: what Asterisk has told in the meantime has not been read yet."""
        self.hall.listening = True

    def heard(self, now: int) -> list[Command]:
        """All of it has been read. Every lane is looked at."""
        self.hall.listening = False
        all_changed(self.hall)
        pair(self.hall, now)
        return self.hall.drain()

    def take_up(self, tasks: Iterable[Task], now: int) -> list[Command]:
        """After a start: the open tasks of the book. What was under way stays so until CallbackEnded comes.

        Tasks that are known already are left alone.
        """
        for task in tasks:
            callbacks.take_up(self.hall, task, now)
        pair(self.hall, now)
        return self.hall.drain()

    def remember_dialled(self, attempts: Iterable[tuple[CallId, str, int]]) -> None:
        """After a start: the attempts of today and of the last hour (id, number, microseconds), oldest first."""
        for attempt, number, at in attempts:
            self.hall.history.add(attempt, number, at)

    def stop(self) -> None:
        """Make no further offers."""
        self.hall.stopping = True

    def snapshot(self) -> HallState:
        """Everything that decisions rest on, ready for JSON; `restore` makes the same floor of it (not its rules)."""
        return snapshot.write_down(self.hall)

    @classmethod
    def restore(
        cls,
        state: HallState,
        rules: Rules,
        now: int,
        *,
        node: str = "hotline",
        outbound: bool = False,
        outside: Collection[str] = (),
        policy: Policy | None = None,
    ) -> "Floor":
        """Make the floor of a snapshot. From there on it decides like the one that the snapshot was taken from."""
        floor = cls(rules, node=node, outbound=outbound, outside=outside, policy=policy)
        snapshot.fill(floor.hall, state, now)
        return floor

    # --- what screens and announcements ask

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self.hall.rules

    @property
    def policy(self) -> Policy:
        """Which numbers the hotline may dial, and how often."""
        return self.hall.policy

    def open_way_out(self, *, outbound: bool, outside: Collection[str]) -> None:
        """Whether callbacks are placed from now on, and the outside numbers that agents may transfer to."""
        self.hall.outbound, self.hall.outside = outbound, frozenset(outside)

    @property
    def outbound(self) -> bool:
        """Whether callbacks are placed."""
        return self.hall.outbound

    def ahead(self, call: CallId) -> int:
        """How many callers of the same lane will be offered before this one; 0 for a caller who does not wait."""
        caller = self.callers.get(call)
        if caller is None or caller.stage is not Stage.WAITING:
            return 0
        return int(lane_of(self.hall, caller).waiting.bisect_left((caller.rank, call)))

    def staffed(self, call: CallId = "") -> bool:
        """Whether an agent is signed in who may answer this call (any call at all) sooner or later."""
        caller = self.callers.get(call)
        able = (
            lane_of(self.hall, caller).penalties
            if caller is not None and caller.queue
            else self.seats
        )
        return any(
            self.seats[agent].intent is not Intent.OUT and self.seats[agent].reachable
            for agent in able
        )

    def may_call(self, agent: str, colleague: str) -> str:
        """Why this agent's phone cannot ring a colleague's now; empty when it can."""
        own, other = self.seats.get(agent), self.seats.get(colleague)
        if own is None or other is None or own is other or other.removed:
            return "no such colleague"
        # The citizen could be joined with a colleague before they have answered.
        if own.callback and not own.answered:
            return "you are dialling a citizen"
        if not other.reachable:
            return "the colleague's phone is not registered"
        return "the colleague is on the phone" if other.call or other.own_call else ""

    def may_ring(self, agent: str) -> str:
        """Why this agent's phone cannot be rung now for something of their own; empty when it can."""
        seat = self.seats.get(agent)
        if seat is None or seat.removed:
            return "there is no such agent"
        if not seat.reachable:
            return "it is not registered"
        return "it is on a call" if seat.call or seat.own_call else ""

    def may_dial(self, agent: str, queue: str) -> str:
        """Why this agent cannot have a number dialled for themselves now; empty when they can (`why_not_dialled`)."""
        return why_not_dialled(self.hall, agent, self.hall.rules.queue(queue).name)

    def may_hand_on(self, agent: str, to: str) -> str | Refusal:
        """Why this agent cannot hand their citizen on to `to`; empty when they can (`handing_on.why_not`)."""
        return handing_on.why_not(self.hall, agent, to)

    def way_into(self, queue: str) -> str:
        """The hotline's number that leads into this queue; empty without one."""
        return handing_on.way_into(self.hall, queue)

    def citizen_of(self, call: CallId) -> str:
        """The number of the citizen in this call, or in this attempt of a callback; empty if withheld or unknown."""
        if (caller := self.callers.get(call)) is not None:
            return caller.caller
        task = self.hall.task_of(call)
        return "" if task is None else task.number

    def attempts(self) -> frozenset[CallId]:
        """The attempts of callbacks that are under way."""
        return frozenset(self.hall.attempts)

    def dropped(self, call: CallId, now: int) -> bool | None:
        """Whether the caller has to wait on after the talk that is over now: it was no answer, or the phone died.

        The facts of this talk may be still on their way: then it began, and ended, a moment ago. None: its end is on
        its way, and only that tells, since the controller may have stood still in the meantime, or the link is away.
        """
        caller = self.callers.get(call)
        if caller is None:
            return False
        if caller.stage is Stage.RINGING:
            return True if self.hall.linked else None
        if caller.stage is not Stage.TALKING or caller.lost:
            return caller.stage is Stage.TALKING
        if not caller.agent:
            return caller.dropped
        if now - caller.since <= NO_TALK:
            return True
        return None if now - caller.since <= STOOD_STILL else False

    def may_touch(self, call: CallId) -> str:
        """Why a supervisor can decide nothing for this caller now; empty when they can."""
        return assigned.why_not_touched(self.hall, call)

    def may_assign(self, call: CallId, agent: str) -> str:
        """Why this waiting caller cannot be assigned to this agent; empty when they can."""
        return assigned.why_not_assigned(self.hall, call, agent)

    def may_move(self, call: CallId, queue: str) -> str:
        """Why this waiting caller cannot be moved to this queue; empty when they can."""
        return assigned.why_not_moved(self.hall, call, queue)

    def front(self, call: CallId) -> int:
        """The place that makes this waiting caller the first of their queue (microseconds); 0 if they are."""
        return assigned.front(self.hall, call)

    def in_line(self, most: int) -> list[Caller]:
        """The callers who wait in a lane, first who is next; at most so many."""
        ranks = heapq.merge(*(lane.waiting for lane in self.hall.lanes.values() if lane.waiting))
        calls = (call for _, call in ranks if call[0] != "#")
        return [self.callers[call] for call in islice(calls, most)]

    def asked_for_callback(self, caller: Caller) -> bool:
        """Whether the citizen has asked to be called back, in this call or before it."""
        tasks = self.hall.tasks_of.get(caller.caller, ())
        return caller.asked or any(self.tasks[task].reason == "asked" for task in tasks)

    def refusal(self, number: str, purpose: Purpose) -> Refusal | None:
        """Why this number may not be dialled, whenever it be; None when it may. Caps are not asked."""
        return self.hall.refusal(number, purpose)

    def may_bring_in(self, number: str, now: int) -> Refusal | None:
        """Why this outside number may not be brought into a talk now, caps included; None when it may."""
        hall = self.hall
        return (
            hall.refusal(number, Purpose.PARTY)
            or hall.history.full(hall.policy, now)
            or hall.history.full_for(number, hall.policy, now)
        )

    def idle_in(self, queue: str) -> str:
        """The agent who would get this queue's next call; empty if nobody is free."""
        idle = home(self.hall, queue).idle
        return idle[0][-1] if idle else ""

    def knows(self, agent: str) -> bool:
        """Whether there is such an agent."""
        seat = self.seats.get(agent)
        return seat is not None and not seat.removed

    def number_of(self, call: CallId) -> str:
        """The hotline's number that this call's citizen dialled, or sees in a callback; empty if unknown."""
        if (caller := self.callers.get(call)) is not None:
            return caller.number
        task = self.hall.task_of(call)
        return "" if task is None else self.way_into(task.queue)

    def held_back(self, now: int) -> int:
        """How many due callbacks a cap on dialling holds back at this moment."""
        full = self.hall.history.full(self.hall.policy, now) is not None
        return len(self.hall.held) + (len(self.hall.due_tasks) if full else 0)

    def failing_phones(self) -> int:
        """How many registered phones have failed by themselves at each of the last offers."""
        return sum(seat.failures >= work.MANY_FAILURES for seat in self.seats.values())

    def talking(self) -> int:
        """How many callers and called citizens talk to an agent."""
        return sum(1 for seat in self.seats.values() if seat.call and seat.answered)

    def waiting_since(self) -> int | None:
        """Since when the longest waiting caller waits (microseconds), or None."""
        waiting, ringing = Stage.WAITING, Stage.RINGING
        queued = [
            caller.queued_at
            for caller in self.callers.values()
            if (caller.stage is waiting or caller.stage is ringing) and caller.queued_at
        ]
        return min(queued, default=None)

    def queue_of(self, call: CallId) -> Queue:
        """The rules of the queue that this call is in; those of the default queue for an unknown call."""
        return self.hall.queue_of(call)


HANDLERS: dict[type[Fact], Callable[[Hall, Any, int], None]] = {
    CallArrived: calls.call_arrived,
    CallQueued: calls.call_queued,
    CallReturned: calls.call_returned,
    CallDetached: calls.call_detached,
    CallReleased: calls.call_released,
    CallTransferred: calls.call_transferred,
    CallSentOutside: calls.call_sent_outside,
    CallEnded: calls.call_ended,
    CallerAssigned: assigned.caller_assigned,
    CallerBroughtForward: assigned.brought_forward,
    CallMoved: assigned.call_moved,
    OfferRinging: offers.offer_ringing,
    OfferAnswered: offers.offer_answered,
    OfferEnded: offers.offer_ended,
    PhoneLost: offers.phone_lost,
    TalkEnded: offers.talk_ended,
    TalkStopped: calls.talk_stopped,
    CallbackAsked: calls.callback_asked,
    CallbackAdded: callbacks.callback_added,
    CallbackDialling: callbacks.callback_dialling,
    CallbackAnswered: callbacks.callback_answered,
    CallbackSpared: callbacks.callback_spared,
    CallbackEnded: callbacks.callback_ended,
    CallbackCancelled: callbacks.callback_cancelled,
    AgentAdded: agents.agent_added,
    AgentRemoved: agents.agent_removed,
    AgentReady: agents.agent_ready,
    AgentPaused: agents.agent_paused,
    AgentOut: agents.agent_out,
    PhoneReachable: agents.phone_reachable,
    PhoneUnreachable: agents.phone_unreachable,
    OwnCallStarted: agents.own_call_started,
    OwnCallEnded: agents.own_call_ended,
    PartyAsked: parties.party_asked,
    PartyFailed: parties.party_over,
    PartyLeft: parties.party_over,
    LinkLost: centre.link_lost,
    LinkRestored: centre.link_restored,
}
"""What a fact does: the handler gets the hall, the fact and the time. Other facts are only recorded."""

DUE: dict[str, Callable[[Hall, str, int, int], None]] = {
    WRAP_UP: work.wrap_up_due,
    LONGEST_WAIT: waiting.longest_wait_due,
    OVERFLOW: waiting.overflow_due,
    EXPECT: centre.expect_due,
    CALLBACK_DUE: open_tasks.attempt_due,
    URGENT: open_tasks.urgent_due,
    MISSED: open_tasks.missed_due,
    DIAL_AGAIN: open_tasks.dial_again_due,
    RESTED: work.rested_due,
    DOUBTED: work.doubted_due,
    ASSIGNED: assigned.assignment_due,
}
"""What becomes due: the handler gets the hall, the name (call, agent or task), the deadline and the time."""
