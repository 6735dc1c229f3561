"""The red button (R17): an alert at once, a timer until a supervisor has acknowledged it, and escalation.

The fact and the row of the urgent matter are one transaction. Both are in the database, or in the journal, before
anybody hears that the alert is raised. The timer rests on that row, so a restart forgets none.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.floor import Caller, Seat
from alarms import urgent
from alarms.rules import Key
from base import database
from base.background import within
from base.bus import Refused
from base.outage import Outage
from facts import AlertAcknowledged, AlertEscalated, AlertRaised, Fact
from facts.live import AlertNow
from facts.masking import reason_of
from facts.requests import AcknowledgeAlert, RaiseAlert, Reply
from facts.terms import CallId
from facts.times import SECOND

log = structlog.get_logger(__name__)

MOST_LEVELS = 5
"""So often an alert escalates; then its alarm stays as it is."""
WRITTEN_WITHIN = 0.6
"""Seconds that a reply waits for the database."""


class Floor(Protocol):
    """What is needed of `acd.floor.Floor`."""

    seats: dict[str, Seat]
    callers: dict[CallId, Caller]


@dataclass(frozen=True, slots=True)
class _Alert:
    """One that nobody has acknowledged; the fields of `urgent.Matter`."""

    id: int
    at: int
    call: CallId
    agent: str
    by: str
    note: str
    level: int


class RedButton:
    """All alerts that nobody has acknowledged yet. `within`: seconds of the timer. `record` enters facts.

    `flush` waits for the database, for so many seconds, and says whether it has everything.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        floor: Floor,
        record: Callable[[Fact], None],
        flush: Callable[[float], Awaitable[bool]],
        clock: Callable[[], int],
        *,
        within: float,
    ) -> None:
        self._engine = engine
        self._floor = floor
        self._record = record
        self._flush = flush
        self._clock = clock
        self._within = round(within * SECOND)
        self._open: dict[int, _Alert] = {}
        self._seen: set[int] = set()
        self._last = 0
        self._wake = asyncio.Event()

    async def press(self, agent: str) -> str:
        """An agent pressed the key of their phone. Empty when the alert is raised, else why not."""
        try:
            await self.raise_alert(RaiseAlert(agent))
        except Refused as refused:
            return str(refused)
        return ""

    async def raise_alert(self, asked: RaiseAlert) -> Reply:
        """Raise an alert about the talk of this agent. One talk has one open alert. Raises `Refused`."""
        seat = self._floor.seats.get(asked.agent)
        if seat is None or not (seat.call and seat.answered):
            raise Refused(f"agent {asked.agent} is not in a talk")
        for known in self._open.values():
            if known.call == seat.call:
                return Reply(
                    f"alert {known.id} is raised already, and nobody has seen it yet", known.id
                )
        now = self._clock()
        number = self._last = max(now, self._last + 1)
        by, note = asked.by, reason_of(asked.note)
        self._open[number] = _Alert(number, now, seat.call, asked.agent, by, note, 0)
        self._record(AlertRaised(now, seat.call, asked.agent, number, by, note))
        self._wake.set()
        log.warning("alert.raised", alert=number, call_id=seat.call, agent=asked.agent)
        return Reply(f"alert {number} is raised" + await self._written(), number)

    async def acknowledge(self, asked: AcknowledgeAlert) -> Reply:
        """A supervisor has seen the alert. Raises `Refused`."""
        alert = self._open.pop(asked.id, None)
        if alert is None:
            seen = asked.id in self._seen
            raise Refused(
                f"alert {asked.id} is acknowledged already"
                if seen
                else f"there is no alert {asked.id}"
            )
        self._seen.add(asked.id)
        by = asked.by
        fact = AlertAcknowledged(self._clock(), alert.call, alert.agent, alert.id, by)
        self._record(fact)
        log.info("alert.acknowledged", alert=alert.id, by=by)
        return Reply(f"alert {alert.id} is acknowledged by {by}" + await self._written(), alert.id)

    def alarm_seen(self, subject: str, by: str) -> None:
        """Whoever acknowledges the alarm has seen the alerts that it stands for."""
        for alert in list(self._open.values()):
            if subject in (alert.agent, _subject(alert)):
                del self._open[alert.id]
                self._seen.add(alert.id)
                now = self._clock()
                self._record(AlertAcknowledged(now, alert.call, alert.agent, alert.id, by))

    # --- what others see

    def rows(self) -> list[AlertNow]:
        """The open alerts, the newest first, as the live state has them."""
        callers = self._floor.callers
        return [
            {
                "id": one.id,
                "at": one.at,
                "call": one.call,
                "agent": one.agent,
                "caller": callers[one.call].caller if one.call in callers else "",
                "by": one.by,
                "note": one.note,
                "level": one.level,
            }
            for one in sorted(self._open.values(), key=lambda one: -one.id)
        ]

    def readings(self) -> Mapping[Key, float]:
        """The alarms: one for each agent with an open alert, and one for each level that was reached."""
        found: dict[Key, float] = {}
        for one in self._open.values():
            found["red_button", one.agent] = 1
            if one.level:
                found["red_button_unseen", _subject(one)] = one.level
        return found

    # --- the timer

    async def run(self) -> None:
        """Take over what an earlier controller left, then escalate what is not acknowledged in time, for ever."""
        away = Outage(log, "alerts.database_away")
        await database.read_at_start(self._restore, away, "an earlier alert is not escalated")
        while True:
            await within(self._until_next(), self._wake)
            self._wake.clear()
            self._escalate()

    async def _restore(self) -> None:
        self._take(await urgent.unseen(self._engine))

    def _take(self, left: Iterable[urgent.Matter]) -> None:
        for one in left:
            if one.id not in self._seen:
                known = (one.id, one.at, one.call, one.agent, one.raised_by, one.note, one.level)
                self._open.setdefault(one.id, _Alert(*known))

    def _due(self, alert: _Alert) -> int:
        return alert.at + (alert.level + 1) * self._within

    def _until_next(self) -> float | None:
        due = [self._due(one) for one in self._open.values() if one.level < MOST_LEVELS]
        return max(0, min(due) - self._clock()) / SECOND if due else None

    def _escalate(self) -> None:
        now = self._clock()
        for one in list(self._open.values()):
            if one.level < MOST_LEVELS and now >= self._due(one):
                # What was due while no controller ran is one step, not several.
                level = min(MOST_LEVELS, max(one.level + 1, (now - one.at) // self._within))
                self._open[one.id] = replace(one, level=level)
                self._record(AlertEscalated(now, one.call, one.agent, one.id, level))
                log.warning("alert.escalated", alert=one.id, agent=one.agent, level=level)

    async def _written(self) -> str:
        if await self._flush(WRITTEN_WITHIN):
            return ""
        return "; the database is away, so it is in the journal"


def _subject(alert: _Alert) -> str:
    return f"{alert.agent} ({alert.level})"
