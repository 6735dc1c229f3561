"""A callback task between its attempts: when it becomes due, and how it is closed. Pure."""

from acd.callbacks.task import State, Task
from acd.floor.hall import CALLBACK_DUE, MISSED, REMEMBERED, URGENT, Hall, Rank
from acd.floor.lanes import all_changed, home
from base.bounded import remember
from facts import CallbackCancelled, CallbackMissed, CallbackReopened, CallbackUnreached
from facts.ids import attempt_id
from facts.terms import CallId
from facts.times import SECOND

NOT_DIALLED = "not dialled"
"""Why an agent's own task (`Task.own`) is cancelled: somebody came first, or the agent did not pick up.

It holds for one moment and is not tried again.
"""


def enter(hall: Hall, task: Task) -> None:
    """A task is on the floor from now on, until its deadline at the latest."""
    hall.tasks[task.id] = task
    hall.tasks_of.setdefault(task.number, {})[task.id] = None
    hall.wake_at(task.latest, MISSED, str(task.id))


def await_turn(hall: Hall, task: Task, now: int) -> None:
    """The task is open: it is due at once, or when its next attempt may be made."""
    task.state, task.agent, task.attempt = State.DUE, "", ""
    hall.held.pop(task.id, None)
    if task.own:
        hall.record(CallbackCancelled(now, task.id, NOT_DIALLED))
        close(hall, task, State.CANCELLED)
    elif now >= task.latest:
        missed_due(hall, str(task.id), 0, now)
    elif task.not_before > now:
        hall.wake_at(task.not_before, CALLBACK_DUE, str(task.id))
    elif task.place:
        wait_in_lane(hall, task)
    else:
        make_due(hall, task)


def make_due(hall: Hall, task: Task) -> None:
    """An idle agent may be used for the task from now on."""
    hall.held.pop(task.id, None)
    hall.due_tasks.add(task)
    queue = hall.rules.queue(task.queue)
    urgent_at = task.latest - round(queue.urgent_before * SECOND)
    hall.wake_at(urgent_at, URGENT, str(task.id))
    hall.changed[home(hall, queue.name)] = None


def wait_in_lane(hall: Hall, task: Task) -> None:
    """Put a task with a kept place into the lane where its caller waited."""
    lane = home(hall, hall.rules.queue(task.queue).name)
    rank = _rank(task)
    if rank not in lane.waiting:
        lane.waiting.add(rank)
    hall.changed[lane] = None


def wait_no_more(hall: Hall, task: Task) -> None:
    """No idle agent may be used for the task any more."""
    hall.due_tasks.remove(task)
    if task.place:
        home(hall, hall.rules.queue(task.queue).name).waiting.discard(_rank(task))
    hall.held.pop(task.id, None)


def close(hall: Hall, task: Task, state: State) -> None:
    """The task has come to its end, `state`, and leaves the floor."""
    task.state = state
    wait_no_more(hall, task)
    del hall.tasks[task.id]
    # Those that yielded, too: the citizen could still have answered one.
    for attempt in range(1, task.tries + 1):
        hall.attempts.pop(attempt_id(hall.node, task.id, attempt), None)
    others = hall.tasks_of[task.number]
    del others[task.id]
    if not others:
        del hall.tasks_of[task.number]


def give_up(hall: Hall, task: Task, at: int) -> None:
    """No attempt is left. The answer to the last one may still be on its way: see `reopen`."""
    close(hall, task, State.UNREACHED)
    hall.record(CallbackUnreached(at, task.id))
    remember(hall.unreached, task.id, (task, at), REMEMBERED)


def reopen(hall: Hall, number: int, call: CallId, now: int) -> None:
    """The answer to the last attempt, `call`, crossed its end: the citizen is called once more, and first (R7).

    Not after the deadline, and not if another task of the same matter is open.
    """
    task, closed_at = hall.unreached.pop(number, (None, 0))
    if task is None or now >= task.latest:
        return
    others = hall.tasks_of.get(task.number, ())
    if any(hall.tasks[other].matter == task.matter for other in others):
        return
    at = max(now, closed_at + 1)
    task.attempts_left, task.first, task.not_before = 1, True, at
    hall.record(CallbackReopened(at, task.id, call))
    enter(hall, task)
    await_turn(hall, task, at)


def hold(hall: Hall, task: Task, until: int) -> None:
    """A cap holds the task back; it stays due."""
    hall.held[task.id] = until
    hall.wake_at(until, CALLBACK_DUE, str(task.id))


def dial_again_due(hall: Hall, name: str, due: int, now: int) -> None:
    """There is room below the centre's caps again."""
    if due == hall.dial_again_at:
        hall.dial_again_at = 0
        all_changed(hall)


def attempt_due(hall: Hall, name: str, due: int, now: int) -> None:
    """The next attempt of this task may be made."""
    task = hall.tasks.get(int(name))
    if task is not None and task.state is State.DUE and task.not_before <= now:
        await_turn(hall, task, now)


def urgent_due(hall: Hall, name: str, due: int, now: int) -> None:
    """The deadline of this task is near: it may use the reserve."""
    task = hall.tasks.get(int(name))
    if task is not None and task.state is State.DUE:
        hall.changed[home(hall, hall.rules.queue(task.queue).name)] = None


def missed_due(hall: Hall, name: str, due: int, now: int) -> None:
    """The deadline has passed. An attempt that is on its way may still reach the citizen."""
    task = hall.tasks.get(int(name))
    if task is not None and task.state is State.DUE:
        close(hall, task, State.MISSED)
        hall.record(CallbackMissed(now, task.id))


def _rank(task: Task) -> Rank:
    return task.place, f"#{task.id}"
