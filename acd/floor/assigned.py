"""What a supervisor decides for a waiting caller: one agent, another queue, the front of the queue. Pure.

A caller who is assigned waits in a lane of that agent's own, with the smallest ranks there are. So they are next at
that agent, callbacks yield to them, and no other agent is in it. When the time is over they are back at their place.
"""

from acd.floor.hall import ASSIGNED, Caller, Hall, Stage
from acd.floor.lanes import common_lane, join_lane, lane_of, leave_lane
from acd.floor.waiting import set_wait_deadlines
from agents.model import Intent
from facts import CallerAssigned, CallerBroughtForward, CallMoved
from facts.terms import CallId


def caller_assigned(hall: Hall, fact: CallerAssigned, now: int) -> None:
    """Only this agent is offered the caller, for a time. The agent need not be free."""
    caller = hall.callers.get(fact.call)
    if caller is None or caller.stage is not Stage.WAITING or fact.agent not in hall.seats:
        return
    leave_lane(hall, caller)
    hall.record(fact)
    caller.assigned, caller.assigned_until, caller.handed = fact.agent, fact.until, ""
    hall.wake_at(fact.until, ASSIGNED, caller.call)
    _join_again(hall, caller)


def call_moved(hall: Hall, fact: CallMoved, now: int) -> None:
    """The caller waits in another queue, at the place that they had."""
    caller = hall.callers.get(fact.call)
    there = fact.queue in hall.rules.queues
    if caller is None or caller.stage is not Stage.WAITING or not there:
        return
    if caller.queue == fact.queue:
        return
    leave_lane(hall, caller)
    hall.record(fact)
    caller.assigned, caller.assigned_until, caller.handed = "", 0, ""
    caller.queue = fact.queue
    set_wait_deadlines(hall, caller)
    _join_again(hall, caller)


def brought_forward(hall: Hall, fact: CallerBroughtForward, now: int) -> None:
    """The caller has another place from now on."""
    caller = hall.callers.get(fact.call)
    if caller is None or caller.stage is not Stage.WAITING:
        return
    leave_lane(hall, caller)
    hall.record(fact)
    caller.place = fact.place
    _join_again(hall, caller)


def end_assignment(hall: Hall, caller: Caller) -> None:
    """The caller is there for all again."""
    if not caller.assigned:
        return
    waits = caller.stage is Stage.WAITING
    if waits:
        leave_lane(hall, caller)
    caller.assigned, caller.assigned_until = "", 0
    if waits:
        _join_again(hall, caller)
    else:
        caller.rank = hall.rank_of(caller)


def while_able(hall: Hall, caller: Caller) -> None:
    """The caller, who waits, is there for all if their agent cannot serve them any more."""
    if caller.assigned and not lane_of(hall, caller).penalties:
        end_assignment(hall, caller)


def assignment_due(hall: Hall, call: CallId, due: int, now: int) -> None:
    """The agent was not free in time."""
    caller = hall.callers.get(call)
    if caller is not None and caller.assigned and now >= caller.assigned_until:
        end_assignment(hall, caller)


def nobody_waits_for(hall: Hall, agent: str) -> None:
    """The agent takes no calls any more: whoever was assigned to them is there for all."""
    seat = hall.seats.get(agent)
    own = [lane for lane in seat.lanes if lane.only] if seat is not None else []
    for lane in own:
        for _, call in list(lane.waiting):
            end_assignment(hall, hall.callers[call])


def front(hall: Hall, call: CallId) -> int:
    """The place (microseconds) by which this caller is before all others who wait in their queue; 0: they are."""
    caller = hall.callers[call]
    lanes = [lane for lane in hall.lanes_of.get(caller.queue, ()) if not lane.only]
    first = min(
        (rank for lane in lanes for rank, name in lane.waiting[:2] if name != call), default=None
    )
    bonus = hall.rules.bonus(caller.queue, caller.caller)
    if first is None or caller.place - bonus < first:
        return 0
    return first - 1 + bonus


# --- why not


def why_not_touched(hall: Hall, call: CallId) -> str:
    """Why nothing can be decided for this caller; empty when it can."""
    caller = hall.callers.get(call)
    if caller is None:
        return f"call {call} is over"
    if caller.stage is Stage.WAITING and caller.attached:
        return ""
    if caller.stage is Stage.WAITING:
        return f"call {call} is coming back to its place: try again in some seconds"
    if caller.stage is Stage.RINGING:
        return f"a phone rings for call {call} already"
    return f"call {call} does not wait"


def why_not_assigned(hall: Hall, call: CallId, agent: str) -> str:
    """Why this agent cannot be given this caller; empty when they can take the call now or after what they do."""
    if why := why_not_touched(hall, call):
        return why
    seat, caller = hall.seats.get(agent), hall.callers[call]
    if seat is None or seat.removed:
        return f"there is no agent {agent}"
    if seat.intent is not Intent.READY:
        return f"agent {agent} is {'paused' if seat.intent is Intent.PAUSED else 'signed out'}"
    if not seat.reachable:
        return f"the phone of agent {agent} is not registered"
    if seat.not_responding:
        return f"agent {agent} did not take the last call: they must say that they are ready"
    if agent not in common_lane(hall, caller).penalties:
        return f"agent {agent} does not serve queue {caller.queue}, or lacks a skill that this caller needs"
    return ""


def why_not_moved(hall: Hall, call: CallId, queue: str) -> str:
    """Why this caller cannot be moved to this queue; empty when they can."""
    if why := why_not_touched(hall, call):
        return why
    if queue not in hall.rules.queues:
        return f"there is no queue {queue}"
    return (
        f"call {call} waits in queue {queue} already" if hall.callers[call].queue == queue else ""
    )


def _join_again(hall: Hall, caller: Caller) -> None:
    caller.rank = hall.rank_of(caller)
    if caller.attached:
        join_lane(hall, caller)
        while_able(hall, caller)
