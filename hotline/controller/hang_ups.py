"""Why an agent hung up first (R6): which of their talks want a reason, and the reasons they give."""

from collections import OrderedDict
from collections.abc import Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from base import database
from base.bounded import remember
from base.bus import Refused
from base.outage import Outage
from diary import reader
from facts import (
    CallSilent,
    CallTransferred,
    Fact,
    HangUpExplained,
    OfferAnswered,
    SurveyHandedOver,
    TalkEnded,
)
from facts.hang_ups import HANG_UP_REASONS, hang_up_reason
from facts.offers import NO_TALK
from facts.requests import ExplainHangUp, Reply
from facts.terms import CallId, Party
from facts.times import HOUR, SECOND

log = structlog.get_logger(__name__)

OPEN_FOR = 12 * HOUR
"""Microseconds after the talk in which its reason can be given: within the shift."""

_MOST = 20_000
_KINDS: frozenset[type[Fact]] = frozenset(
    {OfferAnswered, TalkEnded, SurveyHandedOver, HangUpExplained, CallTransferred, CallSilent}
)


class HangUps:
    """The talks that agents ended themselves. `add` takes every recorded fact."""

    def __init__(self, report: Callable[[Fact], None], clock: Callable[[], int]) -> None:
        self._report = report
        self._clock = clock
        self._answered: OrderedDict[tuple[CallId, str], int] = OrderedDict()
        self._open: OrderedDict[tuple[CallId, str], int] = OrderedDict()

    def add(self, fact: Fact) -> None:
        """Take a recorded fact."""
        if type(fact) not in _KINDS:
            return
        match fact:
            case OfferAnswered():
                remember(self._answered, (fact.call, fact.agent), fact.at, _MOST)
            case TalkEnded():
                answered = self._answered.pop((fact.call, fact.agent), fact.at)
                if fact.hung_up_by is Party.AGENT and fact.at - answered > NO_TALK:
                    remember(self._open, (fact.call, fact.agent), fact.at, _MOST)
            case SurveyHandedOver() | HangUpExplained():
                self._open.pop((fact.call, fact.agent), None)
                self._answered.pop((fact.call, fact.agent), None)
            case CallTransferred() | CallSilent():
                for key in [key for key in self._open if key[0] == fact.call]:
                    del self._open[key]
            case _:
                pass

    def unexplained(self, agent: str) -> list[CallId]:
        """The calls for which this agent may still give a reason, oldest first."""
        since = self._clock() - OPEN_FOR
        return [call for (call, who), at in self._open.items() if who == agent and at >= since]

    def dialled(self, agent: str, key: str) -> str:
        """The agent dialled `*14` and a digit. Gives `ok`, or why not."""
        try:
            self.explain(ExplainHangUp(agent, key))
        except Refused as refused:
            return str(refused)
        return "ok"

    def explain(self, asked: ExplainHangUp) -> Reply:
        """Enter the reason. Raises `Refused`."""
        reason = hang_up_reason(asked.reason)
        if reason is None:
            known = ", ".join(f"{one.key} {one.name}" for one in HANG_UP_REASONS)
            raise Refused(f"there is no such reason: there is {known}")
        calls = self.unexplained(asked.number)
        call = asked.call or (calls[-1] if calls else "")
        if call not in calls:
            raise Refused(f"agent {asked.number} has no such talk that wants a reason")
        self._report(HangUpExplained(self._clock(), call, asked.number, reason.name, asked.by))
        return Reply(f"agent {asked.number}: {reason.name} is entered for {call}")

    async def run(self, engine: AsyncEngine) -> None:
        """After a start, read what earlier controllers saw in this shift, as soon as the database can be read."""
        away = Outage(log, "hang_ups.database_away")
        effect = "reasons of earlier talks cannot be given"
        await database.read_at_start(lambda: self._read(engine), away, effect)

    async def _read(self, engine: AsyncEngine) -> None:
        now = self._clock()
        kinds = {kind.kind for kind in _KINDS}
        async for fact in reader.read_kinds(engine, kinds, now - OPEN_FOR, now + SECOND):
            self.add(fact)
