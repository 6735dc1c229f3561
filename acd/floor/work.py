"""The end of an agent's work on a call: wrap-up (话后整理), and idle again. Pure."""

from acd.callbacks.task import State, Task
from acd.floor.hall import DOUBTED, RESTED, WRAP_UP, Caller, Hall, Seat
from acd.floor.lanes import drop_seat, update_idle
from acd.rules.model import Queue
from agents.model import Intent
from facts import AgentNotResponding, WrapUpEnded, WrapUpStarted
from facts.terms import CallId, OfferReason
from facts.times import SECOND

AT_ONCE = SECOND
"""An offer that ends sooner without having rung has failed by itself: no person is as quick."""
_LONGEST_REST = 30
MANY_FAILURES = 3
"""So many failures in a row are worth an alarm."""


def free(hall: Hall, seat: Seat, at: int, now: int, *, worked: bool) -> None:
    """The agent holds no call any more. `worked`: they have talked, and may have to write it up."""
    queue = _queue_of_work(hall, seat)
    caller = hall.callers.get(seat.call)
    if caller is not None:
        caller.leaving.discard(seat.agent)
        if caller.agent == seat.agent:
            caller.agent = ""
    hall.attempts.pop(seat.call, None)
    call, seat.call, seat.answered, seat.callback = seat.call, "", False, 0
    seat.since = at
    if (task := _displaced(hall, seat, call)) is not None:
        # Facts from before a start told of a call that had ended already. The attempt goes on at this phone.
        seat.call, seat.callback = task.attempt, task.id
    else:
        hall.dialling.pop(seat.agent, None)
    if seat.removed:
        drop_seat(hall, seat)
        return
    if worked:
        seat.idle_since = seat.talked_until = at
        until = at + round(queue.wrap_up_time * SECOND)
        if until > now and seat.intent is Intent.READY:
            seat.wrap_up_until, seat.worked_on = until, call
            hall.wake_at(until, WRAP_UP, seat.agent)
            hall.record(WrapUpStarted(at, seat.agent, until, call))
    update_idle(hall, seat)


def _displaced(hall: Hall, seat: Seat, call: CallId) -> Task | None:
    """The callback that the agent dials, if `call` had only taken its place at the seat."""
    task = hall.tasks.get(hall.dialling.get(seat.agent, 0))
    if task is None or task.state is not State.DIALLING or task.attempt == call:
        return None
    return task if hall.attempts.get(task.attempt) == task.id else None


def end_wrap_up(hall: Hall, seat: Seat, at: int) -> None:
    """The agent has written the call up, or the time for it is over."""
    call, seat.worked_on = seat.worked_on, ""
    seat.wrap_up_until = 0
    seat.idle_since = seat.since = at
    hall.record(WrapUpEnded(at, seat.agent, call))
    update_idle(hall, seat)


def wrap_up_due(hall: Hall, agent: str, due: int, now: int) -> None:
    """The time for wrap-up is over."""
    seat = hall.seats.get(agent)
    if seat is not None and seat.wrap_up_until == due:
        end_wrap_up(hall, seat, now)


def mark_not_responding(hall: Hall, seat: Seat, at: int) -> None:
    """The agent did not take an offer. They are offered no other before they say that they are ready."""
    if not seat.not_responding:
        seat.not_responding = True
        hall.record(AgentNotResponding(at, seat.agent))


def doubt(hall: Hall, seat: Seat, caller: Caller, now: int) -> None:
    """The system has ended a talk of this agent in its first second. What comes next tells why; a second is enough.

    Call it after `free`. Until then the agent is offered nobody.
    """
    caller.doubted = seat.agent
    rest(hall, seat, now + AT_ONCE)
    hall.wake_at(now + AT_ONCE, DOUBTED, caller.call)
    update_idle(hall, seat)


def settle_doubt(hall: Hall, caller: Caller, at: int, handed_on_by: str = "") -> None:
    """The agent has handed the caller on, so they are at their phone; or nobody has, so the phone drops callers."""
    agent, caller.doubted = caller.doubted, ""
    seat = hall.seats.get(agent)
    if seat is None:
        return
    seat.rest_until = 0
    if agent == handed_on_by:
        caller.dropped, seat.talked_until = False, at
    else:
        mark_not_responding(hall, seat, at)
    update_idle(hall, seat)


def doubted_due(hall: Hall, call: CallId, due: int, now: int) -> None:
    """Nobody has handed the caller on."""
    caller = hall.callers.get(call)
    seat = hall.seats.get(caller.doubted) if caller is not None else None
    if caller is not None and seat is not None and seat.rest_until == due:
        settle_doubt(hall, caller, now)


JUST_TALKED = 60 * SECOND
"""So soon after a talk, a phone that refuses may still hold it: after a transfer it ends the call by itself (RFC 5589).

Asterisk waits so long for that.
"""


def not_taken(hall: Hall, seat: Seat, at: int, now: int, reason: OfferReason) -> None:
    """The agent's phone did not take an offer: it was unreachable, refused, or nobody answered.

    If it failed by itself, the agent has done nothing: their phone rests for 1, 2, 4 … 30 seconds, so that nothing
    spins. Otherwise the agent must say that they are ready. Call it before `free`.
    """
    rang = seat.since > seat.last_offer
    lately = 0 < seat.talked_until > at - JUST_TALKED
    holds = reason is OfferReason.REFUSED and lately and not seat.failures
    by_itself = reason is OfferReason.UNREACHABLE or holds
    if by_itself and seat.reachable and not rang and at - seat.last_offer < AT_ONCE:
        seat.failures += 1
        seconds = min(2 ** min(seat.failures - 1, 10), _LONGEST_REST)
        rest(hall, seat, now + seconds * SECOND)
    else:
        mark_not_responding(hall, seat, at)


def rest(hall: Hall, seat: Seat, until: int) -> None:
    """Offer the agent nothing before that."""
    seat.rest_until = until
    hall.wake_at(until, RESTED, seat.agent)


def works_again(seat: Seat) -> None:
    """The phone rings, has registered again, or the agent says what they want: what failed before counts no more.

    Nor does it hold the talk before any more.
    """
    seat.failures = seat.rest_until = seat.talked_until = 0


def rested_due(hall: Hall, agent: str, due: int, now: int) -> None:
    """The phone that failed is tried again."""
    seat = hall.seats.get(agent)
    if seat is not None and seat.rest_until == due:
        seat.rest_until, seat.since = 0, now
        update_idle(hall, seat)


def _queue_of_work(hall: Hall, seat: Seat) -> Queue:
    if seat.callback and seat.callback in hall.tasks:
        return hall.rules.queue(hall.tasks[seat.callback].queue)
    return hall.queue_of(seat.call)
