"""Lanes: where callers and idle agents meet. Pure.

Callers who need the same (one queue, the same skills) wait in one lane, ordered by rank. Every idle agent who can serve
them is in it too, ordered by the queue's strategy. An agent is in all the lanes that they serve. Both orders are sorted
lists, so the cost of a fact grows with the logarithm of the number of callers who wait.

A caller who is assigned to one agent waits in a lane of that agent's own, which lasts as long as somebody is in it.

Every change of a lane enters it into `Hall.changed`, for `acd.floor.pairing`.
"""

from acd.floor.hall import Caller, Hall, Lane, LaneKey, Seat, Stage
from acd.strategy import key
from agents.model import Presence
from facts.terms import CallId


def lane_of(hall: Hall, caller: Caller) -> Lane:
    """The lane of this caller's queue and needs; of their agent's own, if they wait in it."""
    if caller.assigned and (own := hall.lanes.get(_own(hall, caller))) is not None:
        return own
    return common_lane(hall, caller)


def common_lane(hall: Hall, caller: Caller) -> Lane:
    """The lane of this caller's queue and needs, whoever they are assigned to."""
    return _lane_for(hall, caller.queue, caller.number)


def home(hall: Hall, queue: str) -> Lane:
    """The lane that callbacks of this queue are taken from: the queue's own needs, no language."""
    return _lane_for(hall, queue, "")


def waiting_in(hall: Hall, queue: str) -> int:
    """How many callers wait in this queue, in all its lanes."""
    return sum(len(lane.waiting) for lane in hall.lanes_of.get(queue, ()))


# --- callers


def join_lane(hall: Hall, caller: Caller) -> None:
    """Put the caller into their lane, at their place."""
    caller.stage = Stage.WAITING
    lane = lane_of(hall, caller)
    if caller.assigned and not lane.only:
        lane = _open(hall, _own(hall, caller))
    rank = (caller.rank, caller.call)
    if rank not in lane.waiting:
        lane.waiting.add(rank)
    hall.changed[lane] = None


def leave_lane(hall: Hall, caller: Caller) -> None:
    """Take the caller out of their lane."""
    lane = lane_of(hall, caller)
    lane.waiting.discard((caller.rank, caller.call))
    hall.changed[lane] = None  # with nobody waiting, callbacks may be placed
    if lane.only:
        close_if_empty(hall, lane)


def no_longer_expected(hall: Hall, call: CallId) -> None:
    """A call is back after a restart. Offers resume after the last of them."""
    if call in hall.expected:
        hall.expected.discard(call)
        if not hall.expected:
            all_changed(hall)


# --- agents


def seat_of(hall: Hall, agent: str) -> Seat:
    """The seat of this agent. A new agent gets one, in every lane that they can serve."""
    seat = hall.seats.get(agent)
    if seat is None:
        seat = hall.seats[agent] = Seat(agent)
        enter_lanes(hall, seat)
    return seat


def enter_lanes(hall: Hall, seat: Seat) -> None:
    """Enter a new agent in every lane that they can serve."""
    for lane in hall.lanes.values():
        _enter(hall, lane, seat.agent)
    seat.lanes = [lane for lane in hall.lanes.values() if seat.agent in lane.penalties]


def drop_seat(hall: Hall, seat: Seat) -> None:
    """The agent has left the floor. They must not be idle in any lane any more."""
    for lane in hall.lanes.values():
        lane.penalties.pop(seat.agent, None)
    del hall.seats[seat.agent]


def update_idle(hall: Hall, seat: Seat) -> None:
    """Put the agent among the idle of all their lanes, or take them out, as their presence says."""
    # Most facts are about an agent with a call, who cannot be idle.
    idle = not seat.call and not seat.removed and seat.presence() is Presence.READY
    if seat.idle_keys:
        if idle and seat.idle_keys[0][2] == seat.idle_since:
            return
        _leave_idle(seat)
    if idle:
        for lane in seat.lanes:
            place = key(lane.queue.strategy, seat, *lane.penalties[seat.agent])
            lane.idle.add(place)
            seat.idle_keys.append(place)
            hall.changed[lane] = None


def close_if_empty(hall: Hall, lane: Lane) -> None:
    """An agent's own lane ends with the last caller who was assigned to them."""
    if not lane.only or lane.waiting or hall.lanes.get(lane.key) is not lane:
        return
    del hall.lanes[lane.key]
    hall.lanes_of[lane.key[0]].remove(lane)
    seat = hall.seats.get(lane.only)
    if seat is not None and lane in seat.lanes:
        if seat.idle_keys:
            _leave_idle(seat)
        seat.lanes.remove(lane)
        update_idle(hall, seat)


def _leave_idle(seat: Seat) -> None:
    for lane, place in zip(seat.lanes, seat.idle_keys, strict=True):
        lane.idle.remove(place)
    seat.idle_keys = []


# --- the lanes themselves


def make_lanes(hall: Hall) -> None:
    """Make all lanes again from the rules, with their idle agents. No caller waits in them yet."""
    hall.lanes, hall.lanes_of, hall.lane_for, hall.members = {}, {}, {}, {}
    hall.changed.clear()
    for member in hall.rules.members:
        hall.members.setdefault(member.queue, {})[member.agent] = member.penalty
    for queue in hall.rules.queues:
        _make(hall, (queue, hall.rules.needs(queue, ""), ""))
    for seat in hall.seats.values():
        seat.idle_keys = []
        seat.lanes = [lane for lane in hall.lanes.values() if seat.agent in lane.penalties]
        update_idle(hall, seat)


def all_changed(hall: Hall) -> None:
    """Look at every lane in the next pairing."""
    hall.changed.update(dict.fromkeys(hall.lanes.values()))


def _own(hall: Hall, caller: Caller) -> LaneKey:
    return caller.queue, hall.rules.needs(caller.queue, caller.number), caller.assigned


def _lane_for(hall: Hall, queue: str, number: str) -> Lane:
    lane = hall.lane_for.get((queue, number))
    if lane is None:
        needs = hall.rules.needs(queue, number)
        key = (queue, needs, "")
        lane = hall.lanes.get(key) or _open(hall, key)
        if not number or number in hall.rules.numbers:
            hall.lane_for[queue, number] = lane
    return lane


def _open(hall: Hall, key: LaneKey) -> Lane:
    """Make a lane for needs that no caller had before. The idle agents who can serve it are in it from now on."""
    lane = _make(hall, key)
    for agent in lane.penalties:
        seat = hall.seats[agent]
        if seat.idle_keys:
            _leave_idle(seat)
        seat.lanes.append(lane)
        update_idle(hall, seat)
    return lane


def _make(hall: Hall, key: LaneKey) -> Lane:
    queue, needs, only = key
    lane = hall.lanes[key] = Lane(hall.rules.queue(queue), needs, key, only)
    hall.lanes_of.setdefault(queue, []).append(lane)
    for agent in hall.seats:
        _enter(hall, lane, agent)
    return lane


def _enter(hall: Hall, lane: Lane, agent: str) -> None:
    """Enter the agent among those who can serve the lane, if they are a member and have the skills."""
    if lane.only and lane.only != agent:
        return
    members = hall.members.get(lane.queue.name)
    if members is not None and agent not in members:
        return
    skills = hall.rules.skills.get(agent, {})
    if all(skills.get(skill, 0) >= level for skill, level in lane.needs):
        level = sum(skills.get(skill, 0) for skill, _ in lane.needs)
        lane.penalties[agent] = (0 if members is None else members[agent], level)
