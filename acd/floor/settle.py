"""What a citizen who has been reached makes needless, and how a task is cancelled. Pure."""

from acd.callbacks.task import State, Task
from acd.commands import CancelAttempt
from acd.floor.hall import REMEMBERED, Hall
from acd.floor.open_tasks import close
from acd.floor.work import free
from base.bounded import remember
from facts import CallbackCancelled


def cancel(hall: Hall, task: Task, fact: CallbackCancelled, now: int) -> None:
    """The task is no longer wanted. A talk goes on; an attempt that is not answered is hung up."""
    hall.record(fact)
    if task.state is State.DIALLING:
        hall.out.append(CancelAttempt(task.attempt, task.agent))
        remember(hall.closing, task.attempt, None, REMEMBERED)
        seat = hall.seats.get(task.agent)
        if seat is not None and seat.call == task.attempt:
            free(hall, seat, fact.at, now, worked=False)
    if task.state is not State.TALKING:
        close(hall, task, State.CANCELLED)


def settle_lost(hall: Hall, citizen: str, at: int, now: int) -> None:
    """The citizen called and was answered: what they had called for before is settled."""
    for task in _open(hall, citizen):
        if task.origin and not task.matter:
            cancel(hall, task, CallbackCancelled(at, task.id, "answered"), now)


def settle_others(hall: Hall, reached: Task, at: int, now: int) -> None:
    """The citizen was reached: what they had called for before is settled, and so is the rest of the same matter."""
    for task in _open(hall, reached.number):
        lost = task.origin and not task.matter
        if task is not reached and (lost or task.matter == reached.matter):
            cancel(hall, task, CallbackCancelled(at, task.id, "reached"), now)


def _open(hall: Hall, citizen: str) -> list[Task]:
    """The citizen's tasks that nobody talks about yet."""
    tasks = [hall.tasks[number] for number in hall.tasks_of.get(citizen, ())]
    return [task for task in tasks if task.state is not State.TALKING]
