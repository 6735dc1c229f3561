"""What a fact about an agent does to the floor. Pure."""

from acd.commands import CancelAttempt, StopRinging
from acd.floor.assigned import nobody_waits_for
from acd.floor.hall import Hall, Seat
from acd.floor.lanes import drop_seat, seat_of, update_idle
from acd.floor.work import end_wrap_up, works_again
from agents.model import Intent, Presence
from facts import (
    AgentAdded,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
)


def agent_added(hall: Hall, fact: AgentAdded, now: int) -> None:
    """A new agent, or an agent who was removed and is still on the phone."""
    seat = hall.seats.get(fact.agent)
    if seat is not None and not seat.removed:
        return
    seat_of(hall, fact.agent).removed = False
    hall.record(fact)


def agent_removed(hall: Hall, fact: AgentRemoved, now: int) -> None:
    """The agent gets no offer any more. A talk goes on; the seat is dropped after it."""
    seat = hall.seats.get(fact.agent)
    if seat is None or seat.removed:
        return
    hall.record(fact)
    seat.intent, seat.removed = Intent.OUT, True
    nobody_waits_for(hall, seat.agent)
    _withdraw(hall, seat)
    update_idle(hall, seat)
    if not seat.call:
        drop_seat(hall, seat)


def agent_ready(hall: Hall, fact: AgentReady, now: int) -> None:
    """The agent wants calls. An agent who was ready already keeps their place among the idle."""
    seat = hall.seats.get(fact.agent)
    if seat is None or seat.removed:
        return
    if seat.intent is Intent.OUT:
        seat.calls = 0
    was_ready = seat.presence() is Presence.READY
    seat.intent, seat.pause_reason, seat.not_responding = Intent.READY, "", False
    works_again(seat)
    hall.record(fact)
    if seat.wrap_up_until:
        end_wrap_up(hall, seat, fact.at)
    elif not was_ready:
        seat.idle_since = fact.at
        _began(seat, fact.at)
    update_idle(hall, seat)


def agent_paused(hall: Hall, fact: AgentPaused, now: int) -> None:
    """The agent wants a pause: at once, or after the talk."""
    _no_more_calls(hall, fact, Intent.PAUSED, fact.reason)


def agent_out(hall: Hall, fact: AgentOut, now: int) -> None:
    """The agent signs out: at once, or after the talk."""
    _no_more_calls(hall, fact, Intent.OUT, "")


def _no_more_calls(hall: Hall, fact: AgentPaused | AgentOut, intent: Intent, reason: str) -> None:
    seat = hall.seats.get(fact.agent)
    if seat is None or seat.removed:
        return
    seat.intent, seat.pause_reason, seat.not_responding = intent, reason, False
    works_again(seat)
    hall.record(fact)
    if seat.wrap_up_until:
        end_wrap_up(hall, seat, fact.at)
    _began(seat, fact.at)
    nobody_waits_for(hall, seat.agent)
    _withdraw(hall, seat)
    update_idle(hall, seat)


def _began(seat: Seat, at: int) -> None:
    """The agent's state begins. While they hold a call, `since` stays the moment of its offer or its answer."""
    if not seat.call:
        seat.since = at


def _withdraw(hall: Hall, seat: Seat) -> None:
    """Take back what still rings or dials: the agent has just said that they will not take it."""
    if not seat.call or seat.answered:
        return
    if seat.callback:
        hall.out.append(CancelAttempt(seat.call, seat.agent))
    else:
        hall.out.append(StopRinging(seat.call, seat.agent))


def phone_reachable(hall: Hall, fact: PhoneReachable, now: int) -> None:
    """The agent's phone is registered."""
    _phone(hall, fact, reachable=True)


def phone_unreachable(hall: Hall, fact: PhoneUnreachable, now: int) -> None:
    """The agent's phone is not registered any more."""
    _phone(hall, fact, reachable=False)


def _phone(hall: Hall, fact: PhoneReachable | PhoneUnreachable, *, reachable: bool) -> None:
    seat = hall.seats.get(fact.agent)
    if seat is None or seat.reachable == reachable:
        return
    seat.reachable = reachable
    works_again(seat)
    if reachable:
        seat.idle_since = max(seat.idle_since, fact.at)
    else:
        nobody_waits_for(hall, seat.agent)
    _began(seat, fact.at)
    hall.record(fact)
    update_idle(hall, seat)


def own_call_started(hall: Hall, fact: OwnCallStarted, now: int) -> None:
    """The agent's phone is busy with a call that is not one of the hotline's."""
    _own_call(hall, fact, busy=True)


def own_call_ended(hall: Hall, fact: OwnCallEnded, now: int) -> None:
    """That call is over."""
    _own_call(hall, fact, busy=False)


def _own_call(hall: Hall, fact: OwnCallStarted | OwnCallEnded, *, busy: bool) -> None:
    seat = hall.seats.get(fact.agent)
    if seat is None or seat.own_call == busy:
        return
    seat.own_call = busy
    _began(seat, fact.at)
    hall.record(fact)
    update_idle(hall, seat)
