"""The hall written down, and made again. Pure. The rules are not in it, nor what follows from them."""

from dataclasses import asdict, fields
from typing import Any, cast

from typing_extensions import TypedDict

from acd.callbacks.task import State, Task
from acd.floor.centre import expect
from acd.floor.hall import ASSIGNED, DIAL_AGAIN, DOUBTED, RESTED, WRAP_UP, Caller, Hall, Seat, Stage
from acd.floor.lanes import enter_lanes, join_lane, update_idle
from acd.floor.open_tasks import await_turn, enter, hold
from acd.floor.waiting import set_wait_deadlines
from acd.gate import DialledState
from agents.model import Intent
from facts import CallTransferred
from facts.live import Json
from facts.terms import CallId


class HallState(TypedDict):
    """Everything that decisions rest on, ready for JSON. Times are microseconds.

    `callers`, `seats`, `tasks`: the fields of `Caller`, `Seat` (without its lanes) and `Task`. `attempts`: attempt →
    task. `wanted`: citizens whose task is not in the book yet. `raced`: attempts whose race is counted. `closing`:
    attempts whose task is closed, and whose end is not told yet. `unreached`: closed tasks, when they were closed.
    `held`: task, when a cap lets it be dialled; `dial_again_at`: when the centre's cap does, or 0. `ended`: ids of
    calls. `left`: citizen, (queue, place, when they left). `last_agent`: citizen, (agent, when they answered).
    `early`: transfers that wait (when, call, agent, to). `expected`: calls that must come back before offers are made,
    or `settle_until` passes.
    """

    callers: list[dict[str, Json]]
    seats: list[dict[str, Json]]
    tasks: list[dict[str, Json]]
    attempts: dict[CallId, int]
    wanted: list[str]
    raced: list[CallId]
    closing: list[CallId]
    unreached: list[tuple[dict[str, Json], int]]
    history: DialledState
    held: list[tuple[int, int]]
    dial_again_at: int
    ended: list[CallId]
    left: list[tuple[str, tuple[str, int, int]]]
    last_agent: list[tuple[str, tuple[str, int]]]
    early: list[tuple[int, CallId, str, str]]
    linked: bool
    expected: list[CallId]
    settle_until: int
    stopping: bool


def write_down(hall: Hall) -> HallState:
    """Everything that decisions rest on, ready for JSON."""
    return {
        "callers": [
            asdict(caller) | {"ringing": sorted(caller.ringing), "leaving": sorted(caller.leaving)}
            for caller in hall.callers.values()
        ],
        "seats": [{name: getattr(seat, name) for name in _OF_SEAT} for seat in hall.seats.values()],
        "tasks": [asdict(task) for task in hall.tasks.values()],
        "attempts": hall.attempts,
        "wanted": sorted(hall.wanted),
        "raced": list(hall.raced),
        "closing": list(hall.closing),
        "unreached": [(asdict(task), at) for task, at in hall.unreached.values()],
        "history": hall.history.write_down(),
        "held": list(hall.held.items()),
        "dial_again_at": hall.dial_again_at,
        "ended": list(hall.ended),
        "left": list(hall.left.items()),
        "last_agent": list(hall.last_agent.items()),
        "early": [(one.at, one.call, one.agent, one.to) for one in hall.early.values()],
        "linked": hall.linked,
        "expected": sorted(hall.expected),
        "settle_until": hall.expect_until,
        "stopping": hall.stopping,
    }


_OF_SEAT = [one.name for one in fields(Seat) if one.name not in {"lanes", "idle_keys"}]
"""The lanes of a seat follow from the rules."""


def fill(hall: Hall, state: HallState, now: int) -> None:
    """Fill a new hall, which has its lanes, with what `write_down` gave."""
    hall.linked, hall.stopping = state["linked"], state["stopping"]
    hall.ended.update(dict.fromkeys(state["ended"]))
    # JSON has lists where the hall has tuples.
    hall.left.update((name, (queue, place, at)) for name, (queue, place, at) in state["left"])
    hall.last_agent.update((name, (agent, at)) for name, (agent, at) in state["last_agent"])
    for at, call, agent, to in state["early"]:
        hall.early[call] = CallTransferred(at, call, agent, to)
    hall.attempts.update(state["attempts"])
    hall.wanted.update(state["wanted"])
    hall.raced.update(dict.fromkeys(state["raced"]))
    hall.closing.update(dict.fromkeys(state["closing"]))
    for one, at in state["unreached"]:
        closed = _task(one)
        hall.unreached[closed.id] = closed, at
    hall.history.fill(state["history"])
    held = dict(state["held"])
    if state["dial_again_at"]:
        hall.dial_again_at = state["dial_again_at"]
        hall.wake_at(hall.dial_again_at, DIAL_AGAIN, "")
    expect(hall, state["expected"], state["settle_until"])
    for plain in _plain(state["seats"]):
        _fill_seat(hall, Seat(**plain | {"intent": Intent(plain["intent"])}))
    for plain in _plain(state["callers"]):
        agents = {name: set(plain[name]) for name in ("ringing", "leaving")}
        _fill_caller(hall, Caller(**plain | agents | {"stage": Stage(plain["stage"])}))
    for plain in _plain(state["tasks"]):
        task = _task(plain)
        enter(hall, task)
        if task.state is State.DIALLING:
            hall.dialling[task.agent] = task.id
        elif task.id in held:
            hold(hall, task, held[task.id])
        elif task.state is State.DUE:
            await_turn(hall, task, now)


def _plain(found: list[dict[str, Json]]) -> list[dict[str, Any]]:
    """The fields of dataclasses, by name: only those know the type of each."""
    return cast("list[dict[str, Any]]", found)


def _task(plain: dict[str, Any]) -> Task:
    return Task(**plain | {"state": State(plain["state"])})


def _fill_seat(hall: Hall, seat: Seat) -> None:
    hall.seats[seat.agent] = seat
    enter_lanes(hall, seat)
    update_idle(hall, seat)
    if seat.wrap_up_until:
        hall.wake_at(seat.wrap_up_until, WRAP_UP, seat.agent)
    if seat.rest_until:
        hall.wake_at(seat.rest_until, RESTED, seat.agent)


def _fill_caller(hall: Hall, caller: Caller) -> None:
    hall.callers[caller.call] = caller
    if caller.handed:
        hall.handed[caller.call] = None
    if caller.queued_at:
        set_wait_deadlines(hall, caller)
    if caller.assigned:
        hall.wake_at(caller.assigned_until, ASSIGNED, caller.call)
    if (seat := hall.seats.get(caller.doubted)) is not None:
        hall.wake_at(seat.rest_until, DOUBTED, caller.call)
    if caller.stage is Stage.WAITING and caller.attached:
        join_lane(hall, caller)
