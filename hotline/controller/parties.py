"""Requests about third parties in a talk: who may be brought in, and how they are called."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from acd.gate import CAPS, Purpose, Refusal, listed
from acd.rules.model import Rules
from base.background import spawn
from base.bounded import Lately
from base.bus import Refused
from base.settings import Settings
from facts import DialRefused, Fact
from facts.live import PartyNow
from facts.masking import mask
from facts.numbers import AGENT_NUMBER, dialable, normalise
from facts.parties import PartyKind
from facts.requests import (
    AddParty,
    CallEmergency,
    DropParty,
    JoinParties,
    MuteParty,
    Reply,
    UnmuteParty,
)
from facts.terms import CallId
from facts.times import SECOND
from ivr.bring_in import DONE, WANTED
from telephony.bring_in import BringIn, PartyOrder, PartyRefused
from telephony.channels import Calls, Talk, talk_of
from telephony.parties import LiveParty, Parties, PartyState
from telephony.trunks import Way

log = structlog.get_logger(__name__)

PartyRequest = AddParty | JoinParties | MuteParty | UnmuteParty | DropParty | CallEmergency

EMERGENCY_RINGS = 60.0
"""Seconds that an emergency service is rung."""

KEY_ANSWERED = float(DONE[1]) + 0.5
"""Seconds after which an agent who has heard the answer to a key is in their talk again."""

CAPPED_FOR = 600 * SECOND
"""For how long the alarm counts a number that a cap kept out."""

_HOW = ("now", "consult")


class Desk(Protocol):
    """What is needed of `acd.desk.Desk`."""

    def call_colleague(self, agent: str, colleague: str) -> str:
        """Why the colleague cannot be rung now. If empty, the colleague counts as busy from now on."""

    def report(self, *facts: Fact) -> None:
        """Report facts."""


class Floor(Protocol):
    """What is needed of `acd.floor.Floor`."""

    @property
    def rules(self) -> Rules:
        """The rules in force."""

    def idle_in(self, queue: str) -> str:
        """The agent who would get this queue's next call; empty when nobody is free."""

    def may_bring_in(self, number: str, now: int) -> Refusal | None:
        """Why this outside number may not be dialled now; None when it may."""

    def knows(self, agent: str) -> bool:
        """Whether there is such an agent."""

    def number_of(self, call: CallId) -> str:
        """The hotline's number that this call's citizen dialled, or sees in a callback; empty if unknown."""

    def citizen_of(self, call: CallId) -> str:
        """This call's citizen's number in normal form; empty if it is withheld or unknown."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The settings: `departments` by name, outside numbers and prefixes that agents may bring in, how many, how long.

    `numbers`: the hotline's own. `emergencies`: services, and how they are dialled; `shows_citizen`: what they see.
    """

    departments: Mapping[str, str]
    outside: Sequence[str]
    listed: Sequence[str]
    numbers: Sequence[str]
    most: int
    rings: float
    emergencies: Mapping[str, str]
    shows_citizen: bool


def allowed(settings: Settings) -> Allowed:
    """What the settings say about it."""
    return Allowed(
        settings.departments,
        settings.outside,
        settings.dial_allow,
        settings.numbers,
        settings.party_limit,
        settings.party_rings,
        settings.emergencies,
        settings.emergency_shows_citizen,
    )


class ThirdParties:
    """Carries the requests out. `allowed` and `floor` say who may be brought in, `ways` how to dial an outside number.

    `outbound`: whether there is a way out.
    """

    def __init__(
        self,
        calls: Calls,
        parties: Parties,
        bring_in: BringIn,
        *,
        desk: Desk,
        floor: Floor,
        allowed: Callable[[], Allowed],
        ways: Callable[[str], Sequence[Way]],
        outbound: Callable[[], bool],
        clock: Callable[[], int],
    ) -> None:
        self._calls = calls
        self._parties = parties
        self._bring_in = bring_in
        self._desk = desk
        self._floor = floor
        self._allowed = allowed
        self._ways = ways
        self._outbound = outbound
        self._clock = clock
        self._capped = Lately(CAPPED_FOR)

    def capped(self, now: int) -> int:
        """How many outside numbers a cap on dialling has lately kept out of a talk, for the alarm."""
        return self._capped.count(now)

    def now(self) -> dict[str, list[PartyNow]]:
        """The third parties in the talks of each agent who has some, for the screens."""
        shown: dict[str, list[PartyNow]] = {}
        for one in self._parties.all():
            shown.setdefault(one.agent, []).append(
                {
                    "id": one.id,
                    "who": one.who.value,
                    "name": self._name(one),
                    "state": one.state().value,
                    "muted": one.muted,
                }
            )
        return shown

    async def key(self, agent: str, action: str, number: str) -> str:
        """An agent's key, for `ivr.bring_in`: `add`, `consult`, `drop`, or an emergency service."""
        try:
            if action == "add":
                talk = self._talk_of(agent)
                if self._parties.consulting(talk.call):
                    await self.answer(JoinParties(agent))
                elif not number:
                    return WANTED
                else:
                    await self.answer(AddParty(agent, number))
            elif action == "consult":
                self._has_room(talk := self._talk_of(agent), consult=True)
                spawn(self._consult(talk, number), "consultation by key")
            elif action == "drop":
                talk = self._talk_of(agent)
                newest = [one.id for one in self._parties.of(talk.call)][-1:]
                await self.answer(DropParty(agent, *(newest or [""])))
            else:
                await self.answer(CallEmergency(agent, action))
        except Refused as refused:
            return str(refused)
        return ""

    async def answer(self, asked: PartyRequest) -> Reply:
        """Carry out one request. Raises `Refused`."""
        try:
            match asked:
                case AddParty():
                    return await self._add(asked)
                case JoinParties(number):
                    return await self._join(number)
                case MuteParty() | UnmuteParty():
                    return await self._mute(asked)
                case DropParty():
                    return await self._drop(asked)
                case CallEmergency():
                    return await self._call_emergency(asked)
        except PartyRefused as refused:
            raise Refused(str(refused)) from None

    async def _add(self, asked: AddParty) -> Reply:
        talk = self._talk_of(asked.number)
        if asked.how not in _HOW:
            raise Refused("how must be now or consult")
        self._has_room(talk, consult=asked.how == "consult")
        party = await self._bring_in.invite(self._order(asked, talk, self._allowed()))
        return Reply(self._said(party), party=party.id)

    def _has_room(self, talk: Talk, *, consult: bool) -> None:
        """Raises `Refused` if nobody else can be asked into this talk."""
        most, others = self._allowed().most, self._parties.of(talk.call)
        if len(others) >= most:
            raise Refused(f"no more than {most} others may be in a talk (HOTLINE_PARTY_LIMIT)")
        if consult and others:
            raise Refused(
                "somebody else is in the talk: bring this one in at once, or drop the other first"
            )

    async def _consult(self, talk: Talk, number: str) -> None:
        """While the key is answered the agent's channel is not in the talk, so the citizen cannot be put on hold."""
        await asyncio.sleep(KEY_ANSWERED)
        try:
            await self.answer(AddParty(talk.agent, number, "consult"))
        except Refused as refused:
            log.info("party.key_refused", call_id=talk.call, agent=talk.agent, why=str(refused))
            await self._bring_in.tell_agent(talk.call, talk.agent)

    def _order(self, asked: AddParty, talk: Talk, allowed: Allowed) -> PartyOrder:
        shown = self.shown(talk.call)
        consult, by = asked.how == "consult", asked.by
        to = asked.to.strip()
        if colleague := self._colleague(to):
            if why := self._desk.call_colleague(talk.agent, colleague):
                raise Refused(f"{colleague}: {why}")
            name = "咨询" if consult else "三方通话"
            return PartyOrder(
                *(talk, PartyKind.COLLEAGUE, colleague, allowed.rings, talk.agent),
                *(f"{name} {talk.agent}", consult, (), by),
            )
        number = self._outside(to, talk, allowed)
        ways = self._ways(shown)
        return PartyOrder(
            *(talk, PartyKind.OUTSIDE, number, allowed.rings, shown, "", consult, ways, by)
        )

    def _colleague(self, to: str) -> str:
        """The agent who is meant: by number, or whoever is free in the queue of that name or number."""
        rules = self._floor.rules
        if AGENT_NUMBER.fullmatch(to) and self._floor.knows(to):
            return to
        queue = to if to in rules.queues else ""
        if to in rules.numbers:
            queue = rules.queue(rules.numbers[to].queue).name
        if not queue:
            return ""
        if not (found := self._floor.idle_in(queue)):
            raise Refused(f"nobody in the queue {queue} is free now")
        return found

    def _outside(self, to: str, talk: Talk, allowed: Allowed) -> str:
        number = allowed.departments.get(to) or normalise(to)
        if not dialable(number):
            raise Refused(
                "this is neither an agent, a queue, a name of HOTLINE_PARTY_DIRECTORY nor a number that can be dialled"
            )
        known = {normalise(one) for one in (*allowed.outside, *allowed.departments.values())}
        if number not in known and not listed(number, allowed.listed):
            raise Refused(
                f"{mask(number)} may not be brought in: HOTLINE_PARTY_DIRECTORY, HOTLINE_TRANSFER_TO "
                "and HOTLINE_DIAL_ALLOW have it not"
            )
        if not self._outbound():
            raise Refused("there is no way out: set HOTLINE_OUTBOUND, or write trunks.toml")
        now = self._clock()
        if (refusal := self._floor.may_bring_in(number, now)) is not None:
            self._desk.report(
                DialRefused(now, talk.call, number, Purpose.PARTY.value, refusal.why.value)
            )
            if refusal.why in CAPS:
                self._capped.add(now)
            raise Refused(f"{mask(number)}: {refusal.text()}")
        return number

    async def _call_emergency(self, asked: CallEmergency) -> Reply:
        """No gate and no limit: whoever asks twice for a service that is called already hears how far it has come."""
        talk, allowed = self._talk_of(asked.number), self._allowed()
        if (number := allowed.emergencies.get(asked.service)) is None:
            known = ", ".join(allowed.emergencies)
            raise Refused(
                f"there is no emergency service {asked.service}: HOTLINE_EMERGENCY_TO has {known}"
            )
        if not self._outbound():
            raise Refused("there is no way out: set HOTLINE_OUTBOUND, or write trunks.toml")
        for party in self._parties.of(talk.call):
            if party.who is PartyKind.EMERGENCY and party.number == number:
                return Reply(self._said(party), party=party.id)
        citizen, shown = self._floor.citizen_of(talk.call), self.shown(talk.call)
        caller = citizen.removeprefix("+86") if citizen and allowed.shows_citizen else shown
        log.warning("emergency.called", call_id=talk.call, agent=talk.agent, service=asked.service)
        party = await self._bring_in.invite(
            PartyOrder(
                *(talk, PartyKind.EMERGENCY, number, EMERGENCY_RINGS, caller),
                ways=self._ways(shown),
                by=asked.by,
                citizen=citizen,
            )
        )
        return Reply(self._said(party), party=party.id)

    def shown(self, call: CallId) -> str:
        """The hotline's number that others see when they are called into this call's talk."""
        number, own = self._floor.number_of(call), self._allowed().numbers
        return number if number in own else own[0]

    async def _join(self, agent: str) -> Reply:
        talk = self._talk_of(agent)
        if not self._parties.consulting(talk.call):
            raise Refused(f"agent {agent} consults nobody")
        await self._bring_in.join(talk.call)
        return Reply(f"agent {agent}: all hear each other")

    async def _mute(self, asked: MuteParty | UnmuteParty) -> Reply:
        party = self._party(asked.number, asked.party)
        muted = isinstance(asked, MuteParty)
        await self._bring_in.mute(party, muted=muted, by=asked.by)
        return Reply(
            f"{self._name(party)} is {'muted' if muted else 'heard again'}", party=party.id
        )

    async def _drop(self, asked: DropParty) -> Reply:
        party = self._party(asked.number, asked.party)
        await self._bring_in.drop(party, asked.by)
        return Reply(f"{self._name(party)} is dropped", party=party.id)

    def _talk_of(self, agent: str) -> Talk:
        talk = talk_of(self._calls.talks(), agent)
        if talk is None:
            raise Refused(f"agent {agent} is not in a talk with a citizen")
        return talk

    def _party(self, agent: str, name: str) -> LiveParty:
        party = self._parties.get(name)
        if party is None or party.agent != agent:
            raise Refused(
                f"there is no such party in the talk of agent {agent}: they may have left"
            )
        return party

    def _name(self, party: LiveParty) -> str:
        """A colleague's number, a department's name, or as much of a number as may be shown."""
        if party.who is PartyKind.COLLEAGUE:
            return party.number
        names = self._allowed().departments
        if party.who is PartyKind.EMERGENCY:
            names = self._allowed().emergencies
        departments = names.items()
        return next(
            (name for name, number in departments if number == party.number), mask(party.number)
        )

    def _said(self, party: LiveParty) -> str:
        name = self._name(party)
        if self._parties.get(party.id) is None:
            raise Refused(f"{name} cannot be reached")
        match party.state():
            case PartyState.CALLED:
                return f"{name} is being called"
            case PartyState.RINGING:
                return f"{name} rings"
            case PartyState.CONSULTED:
                return f"{name} has answered, and talks to agent {party.agent}"
            case PartyState.JOINED:
                return f"{name} is in the talk"
