"""What a fact about an offer or a talk does to the floor. Pure."""

from acd.floor.assigned import end_assignment, nobody_waits_for
from acd.floor.calls import transferred_early
from acd.floor.hall import REMEMBERED, Hall, Stage
from acd.floor.lanes import leave_lane, no_longer_expected, seat_of, update_idle
from acd.floor.settle import settle_lost
from acd.floor.waiting import ringing_ended
from acd.floor.work import (
    AT_ONCE,
    doubt,
    free,
    mark_not_responding,
    not_taken,
    rest,
    works_again,
)
from base.bounded import remember
from facts import OfferAnswered, OfferEnded, OfferRinging, PhoneLost, TalkEnded
from facts.offers import NO_TALK
from facts.terms import CallId, OfferReason, Party

_NOT_RESPONDING = {OfferReason.NO_ANSWER, OfferReason.REFUSED, OfferReason.UNREACHABLE}
"""Reasons after which the agent must say that they are ready, unless the offer failed by itself."""


def offer_ringing(hall: Hall, fact: OfferRinging, now: int) -> None:
    """The agent's phone rings."""
    if _take(hall, fact.call, fact.agent, fact.at, answered=False):
        hall.record(fact)


def offer_answered(hall: Hall, fact: OfferAnswered, now: int) -> None:
    """Caller and agent talk."""
    if not _take(hall, fact.call, fact.agent, fact.at, answered=True):
        return
    hall.record(fact)
    if (early := hall.early.get(fact.call)) is not None and early.at < fact.at:
        del hall.early[fact.call]  # it was told a second time, and this talk came after it
    caller, seat = hall.callers[fact.call], hall.seats[fact.agent]
    first, caller.answered, caller.cut = not caller.answered, True, False
    if caller.lost not in caller.leaving:
        caller.lost = ""
    caller.first_answer = fact.agent if first else ""
    seat.calls += 1
    if caller.caller and first:
        # The first agent stays the one the citizen knows (R5), whoever the call is transferred to.
        remember(hall.last_agent, caller.caller, (fact.agent, fact.at), REMEMBERED)
        hall.left.pop(caller.caller, None)
        settle_lost(hall, caller.caller, fact.at, now)


def _take(hall: Hall, call: CallId, agent: str, at: int, *, answered: bool) -> bool:
    """Bind call and agent as Asterisk reports them, even against the floor's own state. False when nothing changes."""
    if call in hall.ended:
        return False
    caller, seat = hall.caller(call, at), seat_of(hall, agent)
    if seat.call == call and seat.answered:
        return not answered  # the 180 may be told after the answer; a second answer is no news
    no_longer_expected(hall, call)
    if caller.stage is Stage.WAITING:
        leave_lane(hall, caller)
    if answered:
        if caller.agent and caller.agent != agent:
            caller.leaving.add(caller.agent)
        caller.stage, caller.agent, caller.dropped = Stage.TALKING, agent, False
        caller.ringing.discard(agent)
        caller.handed_by = ""
        end_assignment(hall, caller)
    elif caller.stage is not Stage.TALKING:
        caller.stage = Stage.RINGING
        caller.ringing.add(agent)
    caller.since = at
    seat.call, seat.answered, seat.since = call, answered, at
    seat.not_responding = seat.not_responding and not answered
    works_again(seat)
    update_idle(hall, seat)
    return True


def offer_ended(hall: Hall, fact: OfferEnded, now: int) -> None:
    """The agent's phone rings no more, and they did not answer."""
    seat = hall.seats.get(fact.agent)
    if seat is None or seat.call != fact.call or seat.answered:
        return
    hall.record(fact)
    caller = hall.callers.get(fact.call)
    elsewhere = caller is not None and caller.stage is Stage.TALKING
    if fact.reason in _NOT_RESPONDING and not elsewhere:
        not_taken(hall, seat, fact.at, now, fact.reason)
        if seat.not_responding:
            nobody_waits_for(hall, seat.agent)
    free(hall, seat, fact.at, now, worked=False)
    if caller is not None:
        ringing_ended(hall, caller, fact, now)
    if caller is not None and not caller.ringing:
        transferred_early(hall, fact.call, now)


def phone_lost(hall: Hall, fact: PhoneLost, now: int) -> None:
    """The phone of the agent who talks has died. The caller will come back to their place."""
    caller, seat = hall.callers.get(fact.call), hall.seats.get(fact.agent)
    talks = seat is not None and seat.call == fact.call and seat.answered
    if caller is None or caller.agent != fact.agent or not talks or caller.lost == fact.agent:
        return
    caller.lost = fact.agent
    hall.record(fact)


def talk_ended(hall: Hall, fact: TalkEnded, now: int) -> None:
    """The agent's leg is gone after a talk. If that lasted no longer than `NO_TALK`, nobody has answered the caller.

    After a talk in which the agent's phone died there is no wrap-up: their new phone may ring for the same caller, who
    comes back. If another agent has the caller by then, they do not come back.

    If the system ended such a short one, the agent has handed the caller on, or their phone has dropped them. That is
    told a moment later (`work.settle_doubt`).
    """
    seat = hall.seats.get(fact.agent)
    if seat is None or seat.call != fact.call:
        return
    hall.record(fact)
    caller = hall.callers.get(fact.call)
    talked = not seat.answered or fact.at - seat.since > NO_TALK
    if caller is not None:
        caller.cut = talked and fact.hung_up_by is Party.SYSTEM
        if not talked and caller.first_answer == fact.agent:
            caller.answered, caller.first_answer = False, ""
    lost = caller is not None and caller.lost == fact.agent
    handed_on = caller is not None and fact.agent == caller.handed_by
    dropped = not (talked or lost or handed_on) and fact.hung_up_by is not Party.CALLER
    if caller is not None:
        caller.dropped = dropped
    doubted = dropped and caller is not None and fact.hung_up_by is Party.SYSTEM
    if dropped and not doubted:
        # This phone would drop every caller. Its agent must first say that they are ready.
        mark_not_responding(hall, seat, fact.at)
    worked = not lost and (talked or fact.hung_up_by is Party.CALLER)
    free(hall, seat, fact.at, now, worked=worked)
    if caller is not None and doubted:
        doubt(hall, seat, caller, now)
    if lost and caller is not None and caller.agent:
        caller.lost = ""  # another agent has the caller, who waits for nobody after that talk
    elif lost and caller is not None and caller.stage is Stage.TALKING:
        rest(
            hall, seat, now + AT_ONCE
        )  # the caller comes back in a moment, before those who came later
        update_idle(hall, seat)
    transferred_early(hall, fact.call, now)
