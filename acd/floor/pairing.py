"""Pairing: every offer, every callback that is placed, and every callback that yields. Pure.

Inbound first (呼入优先, R7): ARCHITECTURE.md has its five sentences.
"""

from collections.abc import Iterable
from itertools import islice

from acd.callbacks.task import State, Task
from acd.commands import PlaceCallback, Ring, Yield
from acd.floor.centre import offers_allowed
from acd.floor.hall import DIAL_AGAIN, Caller, Hall, Lane, Rank, Seat, Stage
from acd.floor.lanes import close_if_empty, home, leave_lane, update_idle, waiting_in
from acd.floor.open_tasks import await_turn, close, hold
from acd.floor.work import end_wrap_up
from acd.gate import Purpose
from acd.rules.model import Strategy
from agents.model import Presence
from facts import CallbackCancelled, CallbackPlaced, CallbackYielded, DialRefused, OfferMade
from facts.ids import attempt_id
from facts.terms import CallId
from facts.times import SECOND


def pair(hall: Hall, now: int) -> None:
    """Pair what the last facts have changed: first transfers, then callers, then callbacks."""
    if not (hall.changed or hall.handed or hall.own_dials) or not offers_allowed(hall, now):
        return
    if hall.handed:
        _ring_colleagues(hall, now)
    while hall.changed:
        lanes, hall.changed = list(hall.changed), {}
        while (lane := _next_lane(lanes)) is not None:
            _pair_first(hall, lane, now)
        while hall.dialling and _yield_one(hall, lanes, now):
            pass
        if hall.outbound:
            _place_callbacks(hall, {lane.queue.name for lane in lanes}, now)
    if hall.own_dials:
        _place_own(hall, now)


# --- offers


def _ring_colleagues(hall: Hall, now: int) -> None:
    """Ring the targets of transfers, if they are ready and no caller of theirs comes before.

    Of two citizens who were transferred to one colleague, the one with the smaller rank is first: the order in which
    the transfers came is not in a snapshot, so nothing may depend on it.
    """
    callers = [hall.callers[call] for call in hall.handed if call in hall.callers]
    hall.handed = {}
    for caller in sorted(callers, key=lambda caller: (caller.rank, caller.call)):
        call = caller.call
        if caller.stage is not Stage.WAITING or not caller.attached:
            continue
        seat, caller.handed = hall.seats.get(caller.handed), ""
        rank = (caller.rank, call)
        if seat is None or seat.removed or seat.presence() is not Presence.READY:
            continue
        if any(lane.waiting and lane.waiting[0] < rank for lane in seat.lanes):
            continue
        leave_lane(hall, caller)
        _offer(hall, caller, seat, now)
        hall.out.append(Ring(call, (seat.agent,), hall.rules.queue(caller.queue).ring_time))


def _next_lane(lanes: Iterable[Lane]) -> Lane | None:
    """Of the lanes with a caller and an idle agent, the one whose first caller has the smallest rank."""
    able = [lane for lane in lanes if lane.waiting and lane.idle]
    return min(able, key=lambda lane: lane.waiting[0], default=None)


def _pair_first(hall: Hall, lane: Lane, now: int) -> None:
    """Offer the first caller of the lane to the agent they know, or to the first idle one. Kept places are called."""
    _, waiter = lane.waiting.pop(0)
    if waiter.startswith("#"):
        task = hall.tasks[int(waiter[1:])]
        if _may_be_dialled(hall, task, now):
            _place(hall, task, _first_idle(hall, lane, ""), now)
        return
    caller = hall.callers[waiter]
    chosen = [_first_idle(hall, lane, _last_agent(hall, caller, now))]
    if lane.queue.strategy is Strategy.RING_SEVERAL:
        more = [key[3] for key in lane.idle if key[3] != chosen[0].agent]
        chosen += [hall.seats[agent] for agent in more[: lane.queue.together - 1]]
    for seat in chosen:
        _offer(hall, caller, seat, now)
    if lane.only:
        close_if_empty(hall, lane)
    agents = tuple(seat.agent for seat in chosen)
    hall.out.append(Ring(caller.call, agents, lane.queue.ring_time))


def _offer(hall: Hall, caller: Caller, seat: Seat, now: int) -> None:
    caller.stage, caller.since = Stage.RINGING, now
    caller.ringing.add(seat.agent)
    seat.call, seat.answered, seat.callback = caller.call, False, 0
    seat.since = seat.last_offer = now
    update_idle(hall, seat)
    hall.record(OfferMade(now, caller.call, seat.agent))


def _first_idle(hall: Hall, lane: Lane, preferred: str) -> Seat:
    """The preferred agent if they are idle in this lane, else the first."""
    seat = hall.seats.get(preferred)
    if seat is not None and seat.idle_keys and lane in seat.lanes:
        return seat
    return hall.seats[lane.idle[0][3]]


def _last_agent(hall: Hall, caller: Caller, now: int) -> str:
    """The agent who answered this citizen last, if that was not too long ago (R5)."""
    agent, at = hall.last_agent.get(caller.caller, ("", 0))
    within = round(hall.rules.queue(caller.queue).sticky_for * SECOND)
    return agent if agent and now - at <= within else ""


# --- callbacks yield


def _yield_one(hall: Hall, lanes: list[Lane], now: int) -> bool:
    """Give the first waiting citizen the agent whose unanswered callback can wait the longest, if there is one."""
    waiting = [(rank, lane) for lane in lanes for rank in islice(_citizens(lane), 1)]
    for (_, call), lane in sorted(waiting, key=lambda one: one[0]):
        able = [
            hall.tasks[task]
            for agent, task in hall.dialling.items()
            if agent in lane.penalties
            and not hall.tasks[task].place
            and hall.seats[agent].call == hall.tasks[task].attempt
        ]
        if able:
            _yield(hall, max(able, key=lambda task: (task.latest, task.id)), call, now)
            return True
    return False


def _citizens(lane: Lane) -> Iterable[Rank]:
    """Who waits in the lane on the phone, without the kept places."""
    return (rank for rank in lane.waiting if rank[1][0] != "#")


def _yield(hall: Hall, task: Task, call: CallId, now: int) -> None:
    caller, seat = hall.callers[call], hall.seats[task.agent]
    cancelled, agent = task.attempt, task.agent
    queue = hall.rules.queue(caller.queue)
    leave_lane(hall, caller)
    hall.dialling.pop(agent)
    task.yields += 1
    hall.record(CallbackYielded(now, task.id, cancelled, agent, call))
    _offer(hall, caller, seat, now)
    hall.out.append(Yield(task.id, cancelled, agent, call, queue.ring_time, queue.stay_on_line))
    await_turn(hall, task, now)


# --- callbacks are placed


def _place_callbacks(hall: Hall, queues: Iterable[str], now: int) -> None:
    """Use idle agents for due callbacks, as long as no citizen waits and the reserve remains."""
    while True:
        if (full := hall.history.full(hall.policy, now)) is not None:
            _dial_again_at(hall, full.until)
            return
        able = [task for queue in queues if (task := next_task(hall, queue, now)) is not None]
        if not able:
            return
        task = min(able, key=Task.order)
        hall.due_tasks.remove(task)
        lane = home(hall, hall.rules.queue(task.queue).name)
        if _may_be_dialled(hall, task, now):
            _place(hall, task, _first_idle(hall, lane, task.prefers), now)


def why_not_dialled(hall: Hall, agent: str, queue: str) -> str:
    """Why this agent cannot have a number dialled for themselves now: a code of `facts.control.REFUSALS`, or empty.

    Inbound first (R7): nobody dials while a citizen waits that this agent could take.
    """
    seat = hall.seats.get(agent)
    if seat is None or seat.removed:
        return "unknown_agent"
    if seat.call or seat.own_call:
        return "agent_busy"
    if not seat.reachable:
        return "phone_away"
    if seat.presence() not in (Presence.READY, Presence.WRAP_UP):
        return "agent_not_ready"
    if not hall.outbound:
        return "no_way_out"
    if any(True for lane in seat.lanes for _ in _citizens(lane)) or waiting_in(hall, queue):
        return "citizen_waits"
    return ""


def _place_own(hall: Hall, now: int) -> None:
    """Ring agents for the numbers that they have dialled for themselves, or cancel the task."""
    own_dials, hall.own_dials = hall.own_dials, {}
    for number in own_dials:
        task = hall.tasks.get(number)
        if task is None or task.state is not State.DUE:
            continue
        if why_not_dialled(hall, task.prefers, hall.rules.queue(task.queue).name):
            await_turn(hall, task, now)
            continue
        seat = hall.seats[task.prefers]
        if seat.wrap_up_until:
            end_wrap_up(hall, seat, now)
        if not _may_be_dialled(hall, task, now):
            if task.id in hall.tasks:
                await_turn(hall, task, now)  # a cap holds it back: it is dialled now or not at all
            continue
        _place(hall, task, seat, now)


def _may_be_dialled(hall: Hall, task: Task, now: int) -> bool:
    """Ask the gate (`acd.gate`). A task that a cap holds back stays due; one that may not be dialled at all is over."""
    refusal = (
        hall.refusal(task.number, Purpose.CALLBACK)
        or hall.history.full(hall.policy, now)
        or hall.history.full_for(task.number, hall.policy, now)
    )
    if refusal is None:
        return True
    if refusal.until:
        hold(hall, task, refusal.until)
        return False
    why = refusal.why.value
    hall.record(DialRefused(now, task.origin, task.number, Purpose.CALLBACK.value, why))
    hall.record(CallbackCancelled(now, task.id, f"refused: {why}"))
    close(hall, task, State.CANCELLED)
    return False


def _dial_again_at(hall: Hall, until: int) -> None:
    if until != hall.dial_again_at:
        hall.dial_again_at = until
        hall.wake_at(until, DIAL_AGAIN, "")


def next_task(hall: Hall, queue: str, now: int) -> Task | None:
    """The due task of this queue that an idle agent may be used for now."""
    rules, lane = hall.rules.queue(queue), home(hall, queue)
    if not lane.idle or not hall.due_tasks.due(queue) or waiting_in(hall, queue):
        return None
    if hall.history.full(hall.policy, now) is not None:
        return None
    spare = len(lane.idle) > rules.reserve
    tasks = (hall.tasks[number] for number in hall.due_tasks.candidates(queue))
    return next((task for task in tasks if spare or task.urgent(now, rules.urgent_before)), None)


def _place(hall: Hall, task: Task, seat: Seat, now: int) -> None:
    task.tries += 1
    task.state, task.agent = State.DIALLING, seat.agent
    task.attempt = attempt_id(hall.node, task.id, task.tries)
    hall.attempts[task.attempt] = task.id
    hall.history.place(task.attempt, task.number, now)
    hall.dialling[seat.agent] = task.id
    seat.call, seat.answered, seat.callback = task.attempt, False, task.id
    seat.since = seat.last_offer = now
    update_idle(hall, seat)
    hall.record(CallbackPlaced(now, task.id, task.attempt, seat.agent))
    queue = hall.rules.queue(task.queue).name
    hall.out.append(PlaceCallback(task.id, task.attempt, seat.agent, task.number, queue))
