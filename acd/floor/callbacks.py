"""What a fact about a callback (回访, 漏接回拨) does to the floor. Pure."""

from acd.callbacks.task import AGENT_SIDE, State, Task
from acd.commands import CancelAttempt
from acd.floor.hall import REMEMBERED, Hall, Seat
from acd.floor.lanes import all_changed, update_idle
from acd.floor.open_tasks import (
    await_turn,
    close,
    enter,
    give_up,
    make_due,
    reopen,
    wait_in_lane,
    wait_no_more,
)
from acd.floor.settle import cancel, settle_others
from acd.floor.waiting import ringing_ended
from acd.floor.work import free, not_taken
from base.bounded import remember
from facts import (
    CallbackAdded,
    CallbackAnswered,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallbackRaced,
    CallbackSpared,
    OfferEnded,
)
from facts.ids import attempt_id, try_of
from facts.terms import CallId, OfferReason

_NOT_RESPONDING = {"agent_no_answer", "agent_refused", "agent_unreachable"}
"""Failures after which the agent must say that they are ready, unless the attempt failed by itself."""


def callback_added(hall: Hall, fact: CallbackAdded, now: int) -> None:
    """A task is in the book, and on the floor from now on."""
    hall.wanted.discard(fact.number)
    if fact.callback in hall.tasks:
        return
    task = Task.of(fact)
    hall.record(fact)
    enter(hall, task)
    if task.own:
        hall.own_dials[task.id] = None
    else:
        await_turn(hall, task, now)


def callback_dialling(hall: Hall, fact: CallbackDialling, now: int) -> None:
    """The agent has picked up; the citizen is being dialled."""
    _found_again(hall, fact, now)
    hall.history.dial(fact.call, fact.at)
    task, _ = _attempt(hall, fact.call, fact.agent)
    if task is not None:
        hall.record(fact)


def callback_answered(hall: Hall, fact: CallbackAnswered, now: int) -> None:
    """The citizen has picked up: they and the agent talk, unless the answer crossed with our cancel."""
    _found_again(hall, fact, now)
    hall.history.dial(fact.call, fact.at)
    _back_to_its_seat(hall, fact.call, fact.agent)
    task, seat = _attempt(hall, fact.call, fact.agent)
    if task is not None and seat is not None:
        if task.state is State.DIALLING:
            task.state, seat.answered, seat.since = State.TALKING, True, fact.at
            hall.dialling.pop(fact.agent, None)
            hall.record(fact)
            settle_others(hall, task, fact.at, now)
        return
    if fact.call in hall.raced:
        return
    task = hall.tasks.get(fact.callback)
    if task is not None and not task.first:
        # The citizen's phone rang for nothing, so they are called back first.
        hall.due_tasks.remove(task)
        task.first = True
        task.not_before = fact.at
        if task.state is State.DUE and task.place:
            wait_in_lane(hall, task)
        elif task.state is State.DUE:
            make_due(hall, task)
    _race(hall, fact.at, fact.callback, fact.call, fact.agent)
    if task is None:
        reopen(hall, fact.callback, fact.call, now)


def callback_spared(hall: Hall, fact: CallbackSpared, now: int) -> None:
    """The citizen had picked up when the callback was to yield, or while no controller saw it: the two talk.

    The caller who was to get this agent goes back to their place.
    """
    seat, task = hall.seats.get(fact.agent), hall.tasks.get(fact.callback)
    if seat is None or seat.answered:
        return
    if task is not None and task.state is State.DIALLING and task.attempt != fact.call:
        _place_no_more(hall, task, fact.at, now)
    hall.record(fact)
    caller = hall.callers.get(seat.call)
    seat.call, seat.since = "", fact.at
    if task is not None and task.state is State.DUE:
        wait_no_more(hall, task)
        task.state, task.agent, task.attempt = State.TALKING, fact.agent, fact.call
        task.first = False
        hall.attempts[fact.call] = task.id
        seat.call, seat.answered, seat.callback = fact.call, True, task.id
    else:
        # The task has been closed meanwhile. Whatever the two talk about, the agent is busy.
        seat.own_call = True
        remember(hall.closing, fact.call, None, REMEMBERED)
    update_idle(hall, seat)
    if caller is not None:
        withdrawn = OfferEnded(fact.at, caller.call, fact.agent, OfferReason.WITHDRAWN)
        hall.record(withdrawn)
        ringing_ended(hall, caller, withdrawn, now)


def callback_ended(hall: Hall, fact: CallbackEnded, now: int) -> None:
    """The attempt is over: the task is reached, is tried again later, or has no attempt left."""
    if fact.failure not in AGENT_SIDE:
        hall.history.dial(fact.call, fact.at)
    if hall.history.end(fact.call, fact.at) and hall.dial_again_at:
        all_changed(hall)
    task, seat = _attempt(hall, fact.call, fact.agent)
    if seat is None:
        task = _displaced(hall, fact.call)
    if task is None:
        if fact.call in hall.closing:
            del hall.closing[fact.call]
            hall.record(fact)
        return
    hall.record(fact)
    cut = task.state is State.TALKING and fact.failure == "withdrawn"
    talked = task.state is State.TALKING and not cut
    answered_at = seat.since if seat is not None else fact.at
    if seat is None:
        _forget_attempt(hall, task)
    else:
        if fact.failure in _NOT_RESPONDING:
            reason = OfferReason(fact.failure.removeprefix("agent_"))
            not_taken(hall, seat, fact.at, now, reason)
        free(hall, seat, fact.at, now, worked=talked)
    if talked:
        close(hall, task, State.REACHED)
        return
    if cut:
        # The answer crossed our cancel (a pause, for example): nobody spoke, and the citizen is called back first.
        task.first, task.not_before = True, answered_at
        _race(hall, answered_at, task.id, fact.call, fact.agent)
    if fact.failure not in AGENT_SIDE:
        task.attempts_left -= 1
        task.not_before = fact.at + task.spacing
        task.first = False
    if task.attempts_left <= 0:
        give_up(hall, task, fact.at)
    else:
        await_turn(hall, task, now)


def callback_cancelled(hall: Hall, fact: CallbackCancelled, now: int) -> None:
    """The task is no longer wanted. A talk goes on."""
    task = hall.tasks.get(fact.callback)
    if task is None:
        return
    cancel(hall, task, fact, now)


def take_up(hall: Hall, task: Task, now: int) -> None:
    """After a start: an open task of the book. An attempt that was under way stays so until CallbackEnded comes.

    Another call at its agent's phone changes nothing: its end comes all the same, and nobody is reached twice.
    """
    if task.id in hall.tasks:
        return
    enter(hall, task)
    seat = hall.seats.get(task.agent)
    if seat is None or task.state is State.DUE:
        await_turn(hall, task, now)
        return
    _goes_on(hall, task, seat, now)


def _goes_on(hall: Hall, task: Task, seat: Seat, now: int) -> None:
    """The task's attempt, of before a start, is under way at this seat, unless there is another call."""
    hall.attempts[task.attempt] = task.id
    if task.state is State.DIALLING:
        hall.dialling.setdefault(seat.agent, task.id)
        hall.history.place(task.attempt, task.number, now)
    if not seat.call:
        seat.call, seat.callback = task.attempt, task.id
        seat.answered = task.state is State.TALKING
        update_idle(hall, seat)


def _found_again(hall: Hall, fact: CallbackDialling | CallbackAnswered, now: int) -> None:
    """An attempt of which there is no diary: a controller was killed in the moment in which it had placed it.

    The floor numbers a task's attempts, so it knows that this one is none of its own.
    """
    task, seat = hall.tasks.get(fact.callback), hall.seats.get(fact.agent)
    if task is None or seat is None or task.state is not State.DUE:
        return
    tries = try_of(fact.call)
    if tries <= task.tries or fact.call != attempt_id(hall.node, task.id, tries):
        return
    wait_no_more(hall, task)
    task.tries, task.state = tries, State.DIALLING
    task.agent, task.attempt = fact.agent, fact.call
    hall.record(CallbackPlaced(fact.at, task.id, fact.call, fact.agent))
    _goes_on(hall, task, seat, now)


def _attempt(hall: Hall, call: CallId, agent: str) -> tuple[Task | None, Seat | None]:
    """The task and the seat of an attempt that is still wanted."""
    task = hall.task_of(call)
    seat = hall.seats.get(agent)
    if task is None or seat is None or task.attempt != call or seat.call != call:
        return None, None
    return task, seat


def _displaced(hall: Hall, call: CallId) -> Task | None:
    """The task whose attempt this is, though its agent's phone was seen with another call since."""
    task = hall.task_of(call)
    if task is None or task.attempt != call or task.state not in (State.DIALLING, State.TALKING):
        return None
    return task


def _back_to_its_seat(hall: Hall, call: CallId, agent: str) -> None:
    """The attempt is at its agent's phone after all: what was seen there was of before a start."""
    task, seat = _displaced(hall, call), hall.seats.get(agent)
    if task is None or seat is None or seat.answered or task.agent != agent:
        return
    seat.call, seat.callback = call, task.id
    update_idle(hall, seat)


def _race(hall: Hall, answered_at: int, callback: int, call: CallId, agent: str) -> None:
    """The citizen's answer and our cancel have crossed."""
    hall.record(CallbackRaced(answered_at, callback, call, agent))
    remember(hall.raced, call, None, REMEMBERED)
    hall.closing.pop(call, None)


def _place_no_more(hall: Hall, task: Task, at: int, now: int) -> None:
    """The task was placed again, since the race was known before the talk: nobody rings a citizen who talks already."""
    attempt, seat = task.attempt, hall.seats.get(task.agent)
    hall.out.append(CancelAttempt(attempt, task.agent))
    hall.record(CallbackEnded(at, task.id, attempt, task.agent, "withdrawn"))
    _forget_attempt(hall, task)
    if seat is not None and seat.call == attempt:
        free(hall, seat, at, now, worked=False)
    task.state = State.DUE


def _forget_attempt(hall: Hall, task: Task) -> None:
    """The attempt is none any more. Its agent's seat may hold another call by now."""
    hall.attempts.pop(task.attempt, None)
    if hall.dialling.get(task.agent) == task.id:
        del hall.dialling[task.agent]
