"""What a fact about a call does to the floor. Pure."""

from dataclasses import replace

from acd.callbacks.task import Task
from acd.commands import CreateCallback, SendOutside
from acd.floor.hall import REMEMBERED, Caller, Hall, Stage
from acd.floor.lanes import (
    join_lane,
    lane_of,
    leave_lane,
    no_longer_expected,
    update_idle,
    waiting_in,
)
from acd.floor.waiting import overflow, release, set_wait_deadlines
from acd.floor.work import free, settle_doubt, works_again
from acd.gate import Purpose, Why
from base.bounded import remember
from facts import (
    CallArrived,
    CallbackAsked,
    CallbackMerged,
    CallDetached,
    CallEnded,
    CallMoved,
    CallQueued,
    CallReleased,
    CallReturned,
    CallSentOutside,
    CallTransferred,
    DialRefused,
    OfferEnded,
    PlaceRestored,
    TalkStopped,
)
from facts.terms import CallId, OfferReason, Party, Release
from facts.times import SECOND


def call_arrived(hall: Hall, fact: CallArrived, now: int) -> None:
    """A new call; with `origin` that of a citizen who was called back, and is being transferred."""
    if fact.call in hall.callers or fact.call in hall.ended:
        return
    if fact.origin:
        fact = _handed_on(hall, fact)
    hall.callers[fact.call] = Caller(
        fact.call,
        fact.number,
        fact.caller,
        arrived_at=fact.at,
        queue=fact.queue,
        answered=fact.origin != "",
        since=fact.at,
    )
    hall.record(fact)


def _handed_on(hall: Hall, fact: CallArrived) -> CallArrived:
    """Complete the fact from the callback. Of an attended transfer Asterisk tells no number and no queue."""
    task = hall.task_of(fact.origin)
    queue = fact.queue or (task.queue if task is not None else "")
    caller = fact.caller or (task.number if task is not None else "")
    return replace(fact, queue=hall.rules.queue(queue).name, caller=caller)


# --- into the queue


def call_queued(hall: Hall, fact: CallQueued, now: int) -> None:
    """The greeting is over: the caller waits."""
    _queue(hall, fact, fact.queue, fact.at, now)


def call_returned(hall: Hall, fact: CallReturned, now: int) -> None:
    """A session speaks for the caller again: they wait at the place that they had."""
    _queue(hall, fact, fact.queue, fact.queued_at, now)


def _queue(
    hall: Hall, fact: CallQueued | CallReturned, queue: str, queued_at: int, now: int
) -> None:
    if fact.call in hall.ended:
        return
    caller = hall.caller(fact.call, fact.at)
    if not _may_wait(caller, fact):
        return
    hall.record(fact)
    no_longer_expected(hall, fact.call)
    caller.attached, caller.handed = True, ""
    if not caller.queued_at:
        caller.queue = queue if queue in hall.rules.queues else hall.rules.queue(queue).name
        caller.queued_at = caller.place = queued_at
        if isinstance(fact, CallQueued):
            _restore_place(hall, caller, fact.at)
        caller.rank = hall.rank_of(caller)
        if isinstance(fact, CallQueued) and _turned_away(hall, caller, now):
            return
    set_wait_deadlines(hall, caller)
    if caller.stage is Stage.GREETING:
        caller.since = fact.at
    if caller.stage is not Stage.RINGING:
        join_lane(hall, caller)


def _may_wait(caller: Caller, fact: CallQueued | CallReturned) -> bool:
    if isinstance(fact, CallReturned):
        if caller.stage is Stage.TALKING:
            return not caller.agent  # transferred while no controller was there to see it
        if caller.stage is Stage.OUTSIDE:
            return caller.handed != ""  # nobody answered at the number that an agent sent them to
    return caller.stage not in (Stage.TALKING, Stage.RELEASED, Stage.OUTSIDE)


def _restore_place(hall: Hall, caller: Caller, at: int) -> None:
    """Give a caller who gave up or was cut off, and redials in time, their place back."""
    queue, place, left_at = hall.left.get(caller.caller, ("", 0, 0))
    within = round(hall.rules.queue(caller.queue).redial_for * SECOND)
    if caller.caller and queue == caller.queue and at - left_at <= within:
        caller.place = place
        hall.record(PlaceRestored(at, caller.call, place))


def _turned_away(hall: Hall, caller: Caller, now: int) -> bool:
    """Whether the queue is full for this caller. If so, send them on or release them."""
    queue = hall.rules.queue(caller.queue)
    if not queue.longest_queue or waiting_in(hall, caller.queue) < queue.longest_queue:
        return False
    if lane_of(hall, caller).idle:
        return False
    if queue.overflow_to:
        overflow(hall, caller, now)
    else:
        release(hall, caller, Release.QUEUE_FULL, now)
    return True


# --- transfers


def call_transferred(hall: Hall, fact: CallTransferred, now: int) -> None:
    """The agent has transferred the citizen: blind, they go where they were sent, or to the front of their queue.

    Their place is as old as before, so they are first or nearly so. How long they may wait is counted again from now.
    Of an attended transfer only the fact is recorded: `OfferAnswered` of the colleague follows. If the phone seems to
    ring still, the transfer waits for what is told of the talk (`transferred_early`).
    """
    caller = hall.callers.get(fact.call)
    if fact.call in hall.ended or fact.attended:
        seat = hall.seats.get(fact.to)
        known = seat is not None and seat.call == fact.call and seat.answered
        if fact.attended and caller is not None and not known:
            hall.record(fact)
            caller.cut = False
        return
    caller = caller or hall.caller(fact.call, fact.at)
    if caller.stage is Stage.RINGING:
        hall.early[fact.call] = fact
        return
    if caller.stage in (Stage.RELEASED, Stage.OUTSIDE):
        return
    if caller.stage is Stage.WAITING:
        leave_lane(hall, caller)
    hall.record(fact)
    no_longer_expected(hall, fact.call)
    if caller.agent:
        caller.leaving.add(caller.agent)
    caller.handed_by = fact.agent
    if caller.doubted:
        settle_doubt(hall, caller, fact.at, fact.agent)
    if (seat := hall.seats.get(caller.lost)) is not None and seat.rest_until:
        works_again(seat)
        update_idle(hall, seat)
    caller.agent, caller.attached = "", True
    caller.assigned, caller.assigned_until = "", 0
    caller.cut = caller.cut and not fact.to
    caller.queue = caller.queue or hall.rules.queue("").name
    caller.queued_at, caller.since = fact.at, fact.at
    caller.place = caller.place or fact.at
    _direct(hall, caller, fact.to, now)


def transferred_early(hall: Hall, call: CallId, now: int) -> None:
    """What was told of this call has come to its transfer, if that waits. A phone that rings now rings after it."""
    fact, caller = hall.early.pop(call, None), hall.callers.get(call)
    if fact is not None and caller is not None and caller.stage is not Stage.RINGING:
        call_transferred(hall, fact, now)


def _direct(hall: Hall, caller: Caller, to: str, now: int) -> None:
    """Send the caller to an outside number, to another queue by its number, or to an agent."""
    if _may_be_sent(hall, caller, to, now):
        caller.stage, caller.handed, caller.outside = Stage.OUTSIDE, to, to
        hall.record(CallSentOutside(now, caller.call, to))
        hall.out.append(SendOutside(caller.call, to))
        return
    line = hall.rules.numbers.get(to)
    if line is not None and line.queue != caller.queue:
        caller.queue = hall.rules.queue(line.queue).name
        hall.record(CallMoved(now, caller.call, caller.queue))
    elif to in hall.seats:
        caller.handed = to
        hall.handed[caller.call] = None
    caller.rank = hall.rank_of(caller)
    set_wait_deadlines(hall, caller)
    join_lane(hall, caller)


def _may_be_sent(hall: Hall, caller: Caller, to: str, now: int) -> bool:
    if to not in hall.outside or to in hall.rules.numbers or to in hall.seats:
        return False
    return not hall.refused(to, Purpose.TRANSFER, caller.call, now)


# --- what the session tells


def call_detached(hall: Hall, fact: CallDetached, now: int) -> None:
    """No session speaks for the call. Nothing is offered to the caller before `CallReturned`."""
    caller = hall.callers.get(fact.call)
    if caller is None or not caller.attached:
        return
    caller.attached = False
    if caller.stage is Stage.WAITING:
        leave_lane(hall, caller)
    hall.record(fact)


def callback_asked(hall: Hall, fact: CallbackAsked, now: int) -> None:
    """The caller asks to be called back and keeps their place: once its task is in the book, it waits in the lane."""
    caller = hall.callers.get(fact.call)
    if caller is None or caller.asked or not caller.caller or caller.stage is not Stage.WAITING:
        return
    hall.record(fact)
    if hall.refused(caller.caller, Purpose.ASKED, caller.call, now):
        return
    caller.asked = True
    latest = now + round(hall.rules.queue(caller.queue).call_back_within * SECOND)
    place = caller.place - hall.rules.bonus(caller.queue, caller.caller)
    hall.out.append(
        CreateCallback(caller.caller, caller.queue, latest, "asked", caller.call, place=place)
    )


def call_released(hall: Hall, fact: CallReleased, now: int) -> None:
    """The session itself ends the call: closed hours, a blocked number, no answer at the outside number."""
    caller = hall.callers.get(fact.call)
    if caller is None or caller.stage not in (Stage.GREETING, Stage.OUTSIDE):
        return
    caller.stage, caller.since = Stage.RELEASED, fact.at
    caller.unwanted = fact.reason is Release.BLOCKED
    hall.record(fact)


def call_sent_outside(hall: Hall, fact: CallSentOutside, now: int) -> None:
    """The outside number rings, or has answered. For a caller in the greeting, the session asks for it."""
    caller = hall.callers.get(fact.call)
    if caller is not None and caller.stage is Stage.GREETING and fact.number and not fact.answered:
        if hall.refused(fact.number, Purpose.OVERFLOW, caller.call, now):
            return
        caller.stage, caller.since = Stage.OUTSIDE, fact.at
        hall.out.append(SendOutside(caller.call, fact.number))
    if caller is not None:
        caller.answered = caller.answered or fact.answered
        # Asterisk tells of the answer without the number.
        caller.outside = fact.number or caller.outside
        hall.record(replace(fact, number=caller.outside))


# --- the end


def talk_stopped(hall: Hall, fact: TalkStopped, now: int) -> None:
    """A supervisor ends the talk: the citizen is not called back for it, and has no place to come back to."""
    if fact.call in hall.ended:
        return
    hall.record(fact)
    if (caller := hall.callers.get(fact.call)) is not None:
        caller.unwanted = True


def call_ended(hall: Hall, fact: CallEnded, now: int) -> None:
    """The caller's channel is gone. An agent who still holds the call is free."""
    caller = hall.callers.pop(fact.call, None)
    if fact.call in hall.ended:
        return
    no_longer_expected(hall, fact.call)
    hall.early.pop(fact.call, None)
    remember(hall.ended, fact.call, None, REMEMBERED)
    hall.record(fact)
    if caller is None:
        return
    if caller.stage is Stage.WAITING:
        leave_lane(hall, caller)
    if caller.doubted:
        settle_doubt(hall, caller, fact.at)
    for agent in sorted({*caller.ringing, *caller.leaving, caller.agent}):
        seat = hall.seats.get(agent)
        if seat is not None and seat.call == fact.call:
            if not seat.answered:
                # The caller hung up while the offer was being made: no phone will tell of its end.
                over = OfferEnded(max(now, fact.at), fact.call, agent, OfferReason.CALLER_GONE)
                hall.record(over)
            free(hall, seat, fact.at, now, worked=seat.answered)
    _remember_place(hall, caller, fact)


def _remember_place(hall: Hall, caller: Caller, fact: CallEnded) -> None:
    """Keep the place of a caller who gave up or was cut off, and have lost callers called back."""
    if not caller.caller or (caller.answered and caller.unwanted):
        return
    talking = caller.stage is Stage.TALKING and caller.agent != ""
    cut_off = caller.cut or (talking and fact.hung_up_by is Party.SYSTEM)
    if caller.queued_at and (cut_off or not caller.answered):
        remember(hall.left, caller.caller, (caller.queue, caller.place, fact.at), REMEMBERED)
    lost = cut_off or not caller.answered
    if caller.number and lost and not (caller.asked or caller.unwanted):
        _call_back_lost(hall, caller, fact.at)


def _call_back_lost(hall: Hall, caller: Caller, at: int) -> None:
    """漏接回拨: one task for a citizen nobody answered, or whose talk was cut, however often they tried."""
    line = hall.rules.numbers.get(caller.number)
    queue = hall.rules.queue(caller.queue or (line.queue if line is not None else ""))
    if not queue.call_back_lost:
        return
    latest = at + round(queue.call_back_within * SECOND)
    known = _open_task(hall, caller.caller, latest)
    if known is not None:
        hall.record(CallbackMerged(at, known.id, caller.call))
    elif hall.history.brought_about(caller.caller, caller.arrived_at):
        refused = (caller.call, caller.caller, Purpose.LOST.value, Why.LOOP.value)
        hall.record(DialRefused(at, *refused))
    elif caller.caller not in hall.wanted and not hall.refused(
        caller.caller, Purpose.LOST, caller.call, at
    ):
        hall.wanted.add(caller.caller)
        hall.out.append(CreateCallback(caller.caller, queue.name, latest, "lost", caller.call))


def _open_task(hall: Hall, citizen: str, latest: int) -> Task | None:
    """The citizen's open task by which they are called before `latest`; preferably one that came of a lost call."""
    tasks = (hall.tasks[number] for number in hall.tasks_of.get(citizen, ()))
    in_time = (task for task in tasks if task.not_before < latest)
    return min(in_time, key=lambda task: (not task.origin, task.latest, task.id), default=None)
