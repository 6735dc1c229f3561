"""Waiting callers as supervisors see them, and what supervisors decide for one of them."""

from collections.abc import Callable, Mapping
from typing import Protocol

from acd.floor import Caller, Floor
from base.bus import Refused
from facts import CallerAssigned, CallerBroughtForward, CallMoved, Fact
from facts.live import WaitingNow
from facts.masking import reason_of
from facts.requests import AssignCaller, BringForward, MoveCaller, Reply
from facts.terms import CallId
from facts.times import SECOND

MOST = 300
"""Callers in the list: those who are next. `stages` in the live state counts all."""


class Desk(Protocol):
    """What is needed of `acd.desk.Desk`."""

    floor: Floor

    def report(self, *facts: Fact) -> None:
        """Take facts."""


class WaitingCallers:
    """The list, and the three decisions. `assign_for`: seconds for which an agent is waited for.

    `before`: how often a number has called today before a call that is here. `clock`: microseconds.
    """

    def __init__(
        self,
        desk: Desk,
        clock: Callable[[], int],
        *,
        assign_for: float,
        before: Callable[[str], int],
    ) -> None:
        self._desk = desk
        self._clock = clock
        self._assign_for = round(assign_for * SECOND)
        self._before = before

    def rows(self) -> list[WaitingNow]:
        """The callers who are next, by the ids of their calls, as the live state has them."""
        floor = self._desk.floor
        rows = [self._row(floor, caller) for caller in floor.in_line(MOST)]
        rows.sort(key=_call)
        return rows

    def _row(self, floor: Floor, caller: Caller) -> WaitingNow:
        return {
            "call": caller.call,
            "caller": caller.caller,
            "number": caller.number,
            "queue": caller.queue,
            "since": caller.queued_at,
            "rank": caller.rank,
            "skills": [skill for skill, _ in floor.rules.needs(caller.queue, caller.number)],
            "asked": floor.asked_for_callback(caller),
            "before": self._before(caller.caller) if caller.caller else 0,
            "assigned": caller.assigned,
        }

    def assign(self, asked: AssignCaller) -> Reply:
        """Offer the caller to this agent alone for a time. Raises `Refused`."""
        by, reason = _said(asked.by, asked.reason)
        if why := self._desk.floor.may_assign(asked.call, asked.agent):
            raise Refused(why)
        now = self._clock()
        until = now + self._assign_for
        self._desk.report(CallerAssigned(now, asked.call, asked.agent, until, by, reason))
        if asked.agent in self._caller(asked.call).ringing:
            return Reply(f"call {asked.call}: agent {asked.agent} rings now")
        seconds = round(self._assign_for / SECOND)
        return Reply(f"call {asked.call}: is next at agent {asked.agent}, for {seconds} s at most")

    def move(self, asked: MoveCaller) -> Reply:
        """Have the caller wait in another queue, at their place. Raises `Refused`."""
        by, reason = _said(asked.by, asked.reason)
        if why := self._desk.floor.may_move(asked.call, asked.queue):
            raise Refused(why)
        self._desk.report(CallMoved(self._clock(), asked.call, asked.queue, by, reason))
        return Reply(f"call {asked.call} waits in queue {asked.queue}, at the place it had")

    def bring_forward(self, asked: BringForward) -> Reply:
        """Put the caller before all who wait in their queue. Raises `Refused`."""
        by, reason = _said(asked.by, asked.reason)
        floor = self._desk.floor
        if why := floor.may_touch(asked.call):
            raise Refused(why)
        place = floor.front(asked.call)
        if not place:
            raise Refused(f"call {asked.call} is first in its queue already")
        self._desk.report(CallerBroughtForward(self._clock(), asked.call, place, by, reason))
        return Reply(f"call {asked.call} is first in queue {self._caller(asked.call).queue}")

    def _caller(self, call: CallId) -> Caller:
        callers: Mapping[CallId, Caller] = self._desk.floor.callers
        return callers[call]


def _said(by: str, reason: str) -> tuple[str, str]:
    """Who decides and why, as the diary keeps it. Raises `Refused` without a reason."""
    why = reason_of(reason)
    if not why:
        raise Refused("say why: the reason is kept in the story of the call")
    return by, why


def _call(row: WaitingNow) -> str:
    return row["call"]
