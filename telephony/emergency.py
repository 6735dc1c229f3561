"""A citizen who was dropped while an emergency service is in the talk is called back at once, and joined again (R16).

Agent and service stay connected meanwhile. Nothing goes before this call, and no limit on outside numbers holds for it.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from base.background import spawn
from base.bounded import Lately
from facts import CallEnded, Fact, PartyAsked, PartyFailed, PartyJoined, PartyLeft
from facts.parties import PartyFailure, PartyKind
from facts.terms import CallId
from facts.times import SECOND
from telephony.bring_in import BringIn, PartyOrder, PartyRefused
from telephony.channels import Talk
from telephony.parties import LiveParty, Parties
from telephony.trunks import Way

log = structlog.get_logger(__name__)

TRIES = 5
"""How often a citizen is called back who cannot be reached, or is dropped again."""

PAUSE = 2.0
"""Seconds between two tries."""

TOLD_FOR = 600 * SECOND
"""For how long the alarms count an emergency."""


class Emergencies:
    """`ways` and `shown`: how a citizen is called back, and which number they see. `clock`: microseconds UTC.

    `record`: go on recording the call with this channel, instead of another one.
    """

    def __init__(
        self,
        parties: Parties,
        bring_in: BringIn,
        *,
        ways: Callable[[str], Sequence[Way]],
        shown: Callable[[CallId], str],
        rings: float,
        clock: Callable[[], int],
        record: Callable[[CallId, str, str], object] = lambda *_: None,
    ) -> None:
        self._parties = parties
        self._bring_in = bring_in
        self._ways = ways
        self._shown = shown
        self._rings = rings
        self._clock = clock
        self._record = record
        self._called = Lately(TOLD_FOR)
        self._failed = Lately(TOLD_FOR)
        self._who: dict[str, PartyKind] = {}
        self._tries: dict[CallId, int] = {}

    def take(self, facts: Sequence[Fact]) -> None:
        """Take facts of `calls` and of `parties`, after `BringIn` has."""
        for fact in facts:
            match fact:
                case CallEnded(call=call):
                    self.citizen_left(call)
                case PartyLeft() if self._who.pop(fact.party, None) is PartyKind.CITIZEN:
                    self._record_service(fact.call)
                    self._dropped(fact.call)
                case PartyFailed():
                    self._note_failure(fact)
                case PartyJoined(party=name) if (party := self._parties.get(name)) is not None:
                    self._who[name] = party.who
                    self._joined(party)

    def citizen_left(self, call: CallId) -> None:
        """The citizen has left the talk; of a callback's no fact tells it. `BringIn` is told before."""
        self._record_service(call)
        self._dropped(call)

    def called(self, fact: PartyAsked) -> None:
        """An emergency service is called into a talk."""
        self._called.add(fact.at)
        self._who[fact.party] = fact.who

    def caught_up(self) -> None:
        """After a start: citizens who were dropped while no controller ran are called back."""
        for party in self._parties.all():
            self._who[party.id] = party.who
            if party.who is PartyKind.EMERGENCY and self._bring_in.citizen_gone(party.call):
                if not self._called_back(party.call):
                    self._record_service(party.call)
                self._dropped(party.call)

    def lately(self, now: int) -> int:
        """How many emergency services were called into talks, for the alarm."""
        return self._called.count(now)

    def failed(self, now: int) -> int:
        """How many of them, and of citizens who were dropped, could not be reached."""
        return self._failed.count(now)

    def _record_service(self, call: CallId) -> None:
        """Agent and service talk on without the citizen, whose channel was recorded."""
        if (service := self._parties.emergency(call)) is not None:
            self._record(call, service.channel, "")

    def _joined(self, party: LiveParty) -> None:
        service = self._parties.emergency(party.call)
        if party.who is PartyKind.CITIZEN:
            self._record(party.call, party.channel, service.channel if service else "")

    def _note_failure(self, fact: PartyFailed) -> None:
        who = self._who.pop(fact.party, None)
        if who is not None and fact.why is not PartyFailure.WITHDRAWN:
            self._failed.add(fact.at)
            spawn(self._bring_in.tell_agent(fact.call, fact.agent), "agent is told")
        if who is PartyKind.CITIZEN:
            self._dropped(fact.call, PAUSE)

    def _dropped(self, call: CallId, after: float = 0.0) -> None:
        service = self._parties.emergency(call)
        if service is None:
            self._tries.pop(call, None)
            return
        if self._called_back(call):
            return
        tries = self._tries[call] = self._tries.get(call, 0) + 1
        if tries > TRIES:
            log.error("emergency.citizen_lost", call_id=call, tries=TRIES)
            return
        if not service.citizen:
            log.error("emergency.citizen_unknown", call_id=call, why="the number is withheld")
            self._failed.add(self._clock())
            spawn(self._bring_in.tell_agent(call, service.agent), "agent is told")
            return
        spawn(self._call_back(service, after), "dropped citizen called back")

    def _called_back(self, call: CallId) -> bool:
        return any(one.who is PartyKind.CITIZEN for one in self._parties.of(call))

    async def _call_back(self, service: LiveParty, after: float) -> None:
        await asyncio.sleep(after)
        call, shown = service.call, self._shown(service.call)
        if self._parties.emergency(call) is None:
            return
        log.warning("emergency.calls_back", call_id=call)
        talk = Talk("", "", call, service.agent, held=False, there=True)
        order = PartyOrder(
            talk, PartyKind.CITIZEN, service.citizen, self._rings, shown, ways=self._ways(shown)
        )
        try:
            party = await self._bring_in.invite(order)
            self._who.setdefault(party.id, PartyKind.CITIZEN)
        except PartyRefused as refused:
            log.error("emergency.not_called_back", call_id=call, why=str(refused))
