"""A caller's wait: how long it may last, and what ends it without an agent. Pure."""

from acd.commands import ReleaseCall, SendOutside
from acd.floor.hall import LONGEST_WAIT, OVERFLOW, Caller, Hall, Stage
from acd.floor.lanes import join_lane, leave_lane
from acd.gate import Purpose
from facts import CallMoved, CallReleased, CallSentOutside, OfferEnded
from facts.terms import CallId, OfferReason, Release
from facts.times import SECOND


def set_wait_deadlines(hall: Hall, caller: Caller, *, overflow: bool = True) -> None:
    """Make the end of the wait, and the overflow, become due."""
    queue = hall.rules.queue(caller.queue)
    hall.wake_at(_longest_wait_at(hall, caller), LONGEST_WAIT, caller.call)
    if overflow and queue.overflow_to and queue.overflow_after:
        hall.wake_at(_overflow_at(hall, caller), OVERFLOW, caller.call)


def ringing_ended(hall: Hall, caller: Caller, fact: OfferEnded, now: int) -> None:
    """One phone less rings for the caller. After the last one they wait again, at their old place."""
    caller.ringing.discard(fact.agent)
    if caller.stage is Stage.RINGING and not caller.ringing:
        caller.stage, caller.since = Stage.WAITING, fact.at
        _for_all(hall, caller)
        # A caller who has hung up is not offered again before CallEnded arrives.
        caller.attached = caller.attached and fact.reason is not OfferReason.CALLER_GONE
        if caller.attached:
            join_lane(hall, caller)
        # What became due while a phone rang for them is done now.
        longest_wait_due(hall, fact.call, 0, now)
        overflow_due(hall, fact.call, 0, now)


def longest_wait_due(hall: Hall, call: CallId, due: int, now: int) -> None:
    """Release a caller who still waits after the longest wait of their queue."""
    caller = hall.callers.get(call)
    if caller is None or caller.stage is not Stage.WAITING or not caller.attached:
        return
    if now < _longest_wait_at(hall, caller):
        return  # the caller was moved to a queue with a longer wait
    leave_lane(hall, caller)
    release(hall, caller, Release.TIMED_OUT, now)


def overflow_due(hall: Hall, call: CallId, due: int, now: int) -> None:
    """Send a caller on who still waits when their queue overflows."""
    caller = hall.callers.get(call)
    if caller is None or caller.stage is not Stage.WAITING or not caller.attached:
        return
    queue = hall.rules.queue(caller.queue)
    if queue.overflow_to and queue.overflow_after and now >= _overflow_at(hall, caller):
        leave_lane(hall, caller)
        overflow(hall, caller, now)


def overflow(hall: Hall, caller: Caller, now: int) -> None:
    """Send the caller on to another queue, with their old place, or to an outside number.

    If that number may not be dialled, the caller goes on waiting where they are.
    """
    target = hall.rules.queue(caller.queue).overflow_to
    _for_all(hall, caller)
    if target in hall.rules.queues:
        caller.queue = target
        caller.rank = hall.rank_of(caller)
        hall.record(CallMoved(now, caller.call, target))
        set_wait_deadlines(hall, caller)
        join_lane(hall, caller)
    elif hall.refused(target, Purpose.OVERFLOW, caller.call, now):
        set_wait_deadlines(hall, caller, overflow=False)
        join_lane(hall, caller)
    else:
        caller.stage, caller.since, caller.outside = Stage.OUTSIDE, now, target
        hall.record(CallSentOutside(now, caller.call, target))
        hall.out.append(SendOutside(caller.call, target))


def release(hall: Hall, caller: Caller, reason: Release, now: int) -> None:
    """End the call without an agent."""
    _for_all(hall, caller)
    caller.stage, caller.since = Stage.RELEASED, now
    hall.record(CallReleased(now, caller.call, reason))
    hall.out.append(ReleaseCall(caller.call, reason))


def _for_all(hall: Hall, caller: Caller) -> None:
    """Nobody is assigned to the caller any more, who stands in no lane now."""
    if caller.assigned:
        caller.assigned, caller.assigned_until = "", 0
        caller.rank = hall.rank_of(caller)


def _longest_wait_at(hall: Hall, caller: Caller) -> int:
    return caller.queued_at + round(hall.rules.queue(caller.queue).longest_wait * SECOND)


def _overflow_at(hall: Hall, caller: Caller) -> int:
    return caller.queued_at + round(hall.rules.queue(caller.queue).overflow_after * SECOND)
