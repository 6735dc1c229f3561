"""Third parties in a talk, read from Asterisk's manager events. Pure: a message in, facts out.

A party's leg is a channel that this program originates with an id of its own (`facts.ids.party_leg`). When it is
answered it runs `BridgeAdd`, and is in the bridge in which citizen and agent talk:

    Newchannel          Newstate Ringing            BridgeEnter → PartyJoined       Hangup → PartyLeft, PartyFailed

When the agent consults the party first, the citizen hears music meanwhile, in a loop of the dialplan (context
`consult`) that runs within the bridge. It says when it begins and ends:

    UserEvent begin → TalkHeld      BridgeEnter → PartyAnswered       UserEvent over → TalkResumed, PartyJoined

HangupRequest means that the far end hung up, as in `telephony.channels`. For an agent's phone `Calls` reads the same
leg as a call of their own, so they are busy. What a leg is for stands in its variable `HL_PARTY`, so the next
controller knows it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from facts import (
    Fact,
    PartyAnswered,
    PartyAsked,
    PartyFailed,
    PartyJoined,
    PartyLeft,
    TalkHeld,
    TalkResumed,
)
from facts.causes import LOST, NOT_REACHED
from facts.ids import is_call_id, party_of
from facts.numbers import AGENT_NUMBER
from facts.parties import PartyEnd, PartyFailure, PartyKind
from facts.supervise import SupervisionMode
from facts.terms import CallId
from telephony.channels import RINGING, UP, AsteriskState, Message, microseconds, variables_of
from telephony.supervisors import takes

CONSULT_EVENT = "HotlineConsult"
"""The dialplan's own event on the citizen's channel: they hear music from now on (`begin`), or are back (`over`)."""

_TRUNK_FAILS = frozenset({27, 34, 38, 41, 42, 44, 47, 79, 102})
"""Causes (Q.850) of a leg that its trunk did not take (408 and 5xx in SIP): then the next trunk is tried."""


@dataclass(slots=True)
class LiveParty:
    """A party whose phone is called, or who is in the talk. `leg`: the Uniqueid of the newest leg, `channel` its name.

    `rang`, `picked_up`: their phone. `inside`: the leg is in the talk's bridge. `joined`: the citizen hears them.
    `ending`: why this program ends the leg; `by`: the account that wants it. `citizen`: in an emergency the number by
    which a citizen who is dropped is called back.
    """

    id: str
    call: CallId
    agent: str
    who: PartyKind
    number: str
    consult: bool = False
    citizen: str = ""
    leg: str = ""
    channel: str = ""
    rang: bool = False
    picked_up: bool = False
    inside: bool = False
    joined: bool = False
    muted: bool = False
    hung_up: bool = False
    ending: PartyEnd | None = None
    by: str = ""

    def state(self) -> "PartyState":
        """What the party does now."""
        if self.joined:
            return PartyState.JOINED
        if self.inside:
            return PartyState.CONSULTED
        return PartyState.RINGING if self.rang else PartyState.CALLED


class PartyState(StrEnum):
    """How far a party has come: called, ringing, talking to the agent alone, in the talk."""

    CALLED = "called"
    RINGING = "ringing"
    CONSULTED = "consulted"
    JOINED = "joined"


class Parties:
    """All third parties of one node. `over`: whether a call's citizen is gone.

    `again`: the leg was not taken by its trunk, and nothing has rung: whether another leg of this party is made.
    `call_of`: the call of the citizen whose channel has this Uniqueid; in a callback they differ.
    """

    def __init__(
        self,
        over: Callable[[CallId], bool],
        again: Callable[[LiveParty], bool] = lambda _: False,
        call_of: Callable[[str], CallId] = lambda uniqueid: uniqueid,
    ) -> None:
        self._over = over
        self._again = again
        self._call_of = call_of
        self._parties: dict[str, LiveParty] = {}
        self._consults: dict[CallId, str] = {}

    # --- what is asked

    def get(self, party: str) -> LiveParty | None:
        """This party, while they are called or talk."""
        return self._parties.get(party)

    def of(self, call: CallId) -> list[LiveParty]:
        """The parties of a call's talk, in the order in which they were asked for."""
        return [one for one in self._parties.values() if one.call == call]

    def inside(self, call: CallId) -> bool:
        """Whether a party is in this call's talk."""
        return any(one.inside for one in self._parties.values() if one.call == call)

    def emergency(self, call: CallId) -> LiveParty | None:
        """The emergency service that is in this call's talk, if one is (R16)."""
        for one in self._parties.values():
            if one.call == call and one.who is PartyKind.EMERGENCY and one.inside:
                return one
        return None

    def all(self) -> Iterable[LiveParty]:
        """All of them."""
        return list(self._parties.values())

    def consulting(self, call: CallId) -> bool:
        """Whether this call's citizen hears music while the agent consults somebody."""
        return call in self._consults

    def consultations(self) -> dict[CallId, str]:
        """The calls whose citizens hear music, and the agents who consult somebody."""
        return dict(self._consults)

    # --- what is told

    def ask(self, fact: PartyAsked, citizen: str = "") -> LiveParty:
        """A party is to be called: `leg` is to be set before Asterisk is asked for it."""
        who = (fact.call, fact.agent, fact.who, fact.number)
        party = LiveParty(fact.party, *who, fact.consult, citizen)
        self._parties[fact.party] = party
        return party

    def fail(self, party: LiveParty, why: PartyFailure, at: int) -> list[Fact]:
        """Nothing has come of it, and no channel exists that would tell."""
        if self._parties.pop(party.id, None) is None:
            return []
        return [PartyFailed(at, party.call, party.agent, party.id, why)]

    def read(self, message: Message) -> list[Fact]:
        """Take one event and give its facts: mostly none. Never raises."""
        kind = message.get("Event")
        at = microseconds(message.get("Timestamp", ""))
        if not at or "Privilege" not in message:
            return []
        if kind == "UserEvent":
            return self._consult(message, at) if message.get("UserEvent") == CONSULT_EVENT else []
        uniqueid = message.get("Uniqueid", "")
        party = self._parties.get(party_of(uniqueid)) if "-p" in uniqueid else None
        if party is None or party.leg != uniqueid:
            return []
        if party.channel not in ("", message.get("Channel", "")):
            return []
        match kind:
            case "Newchannel":
                party.channel = message.get("Channel", "")
            case "Newstate":
                party.channel = message.get("Channel", "")
                party.rang = party.rang or message.get("ChannelState") == RINGING
                party.picked_up = party.picked_up or message.get("ChannelState") == UP
            case "BridgeEnter" if takes(message):
                return self._handed_over(party, at)
            case "BridgeEnter":
                return self._enter(party, at)
            case "HangupRequest":
                party.hung_up = True
            case "Hangup":
                return self._end(party, _cause(message), at)
        return []

    def _enter(self, party: LiveParty, at: int) -> list[Fact]:
        if party.inside:
            return []
        party.inside = party.picked_up = True
        if party.call in self._consults:
            return [PartyAnswered(at, party.call, party.agent, party.id)]
        party.joined = True
        return [PartyJoined(at, party.call, party.agent, party.id)]

    def _handed_over(self, party: LiveParty, at: int) -> list[Fact]:
        """The leg is an agent's who talks to the citizen: `Calls` tells what becomes of it."""
        del self._parties[party.id]
        why = PartyEnd.HANDED_OVER
        return [PartyLeft(at, party.call, party.agent, party.id, why, party.by)]

    def _end(self, party: LiveParty, cause: int, at: int) -> list[Fact]:
        if not party.inside:
            early = cause in _TRUNK_FAILS and not (party.rang or party.picked_up or party.ending)
            if early and self._again(party):
                party.channel, party.hung_up = "", False
                return []
            return self.fail(party, self._failure(party, cause), at)
        del self._parties[party.id]
        why = party.ending
        if why is None and party.hung_up:
            why = PartyEnd.LOST if cause in LOST else PartyEnd.HUNG_UP
        elif why is None:
            why = PartyEnd.TALK_OVER if self._over(party.call) else PartyEnd.LOST
        return [PartyLeft(at, party.call, party.agent, party.id, why, party.by)]

    def _failure(self, party: LiveParty, cause: int) -> PartyFailure:
        called_back = party.who is PartyKind.CITIZEN
        if party.ending is not None or (self._over(party.call) and not called_back):
            return PartyFailure.WITHDRAWN
        if party.picked_up:
            return PartyFailure.LOST
        if party.hung_up:
            return PartyFailure(NOT_REACHED.get(cause, "unreachable"))
        return PartyFailure.NO_ANSWER if party.rang else PartyFailure.UNREACHABLE

    def _consult(self, message: Message, at: int) -> list[Fact]:
        call, agent = self._call_of(message.get("Uniqueid", "")), message.get("Agent", "")
        if message.get("State") == "begin":
            if call in self._consults or not AGENT_NUMBER.fullmatch(agent):
                return []
            self._consults[call] = agent
            return [TalkHeld(at, call, agent)]
        agent = self._consults.pop(call, "")
        if not agent:
            return []
        facts: list[Fact] = [TalkResumed(at, call, agent)]
        for party in self.of(call):
            if party.inside and not party.joined:
                party.joined = True
                facts.append(PartyJoined(at, call, party.agent, party.id))
        return facts

    # --- after a start or a lost link

    def found(self, state: AsteriskState) -> None:
        """Replace what is known by what Asterisk lists. Of what has ended meanwhile `telephony.party_ends` tells."""
        self._consults = {call: agent for call, agent in state.consults if agent}
        listed = {party_of(entry.get("Uniqueid", "")): entry for entry in state.ours}
        known, self._parties = self._parties, {}
        for name, entry in sorted(listed.items()):
            party = known.get(name) or _from_mark(name, variables_of(entry).get("HL_PARTY", ""))
            if party is None:
                continue
            party.leg, party.channel = entry.get("Uniqueid", ""), entry.get("Channel", "")
            party.rang = party.rang or entry.get("ChannelState") == RINGING
            party.picked_up = party.picked_up or entry.get("ChannelState") == UP
            party.inside = party.inside or entry.get("BridgeID", "") != ""
            party.joined = party.inside and party.call not in self._consults
            party.muted = variables_of(entry).get("HL_MUTED") == "1"
            self._parties[name] = party
        # Those that were asked for a moment ago have no channel yet, or none that could be listed.
        for name, party in known.items():
            if name not in self._parties and not party.channel:
                self._parties[name] = party


def mark(party: LiveParty) -> str:
    """What a leg is for, as its variable `HL_PARTY` says it."""
    how = "consult" if party.consult else "now"
    return (
        f"{party.call} {party.agent} {party.who.value} {how} {party.number} {party.citizen or '-'}"
    )


def asked_for(state: AsteriskState) -> list[PartyAsked]:
    """What the legs of third parties that exist say of how they were asked for. Who asked stands in no mark."""
    found = []
    for entry in state.ours:
        name = party_of(entry.get("Uniqueid", ""))
        one = _from_mark(name, variables_of(entry).get("HL_PARTY", ""))
        if one is not None:
            at = int(name.rpartition("-p")[2])
            who = (one.call, one.agent, one.id, one.who, one.number, one.consult)
            found.append(PartyAsked(at, *who))
    return found


def handed(state: AsteriskState) -> list[tuple[CallId, str]]:
    """The calls in which a colleague has been handed the citizen, and the agent who did it.

    If these agents talk there still, whoever handed over was stopped before the agent had left. An agent who has taken
    the citizen back as a supervisor is none of them.
    """
    back = {leg.supervisor for leg in state.supervisors if leg.mode is SupervisionMode.TAKE}
    found = []
    for entry in state.handed:
        name = party_of(entry.get("Uniqueid", ""))
        one = _from_mark(name, variables_of(entry).get("HL_PARTY", ""))
        if one is not None and one.agent not in back:
            found.append((one.call, one.agent))
    return found


def _from_mark(name: str, text: str) -> LiveParty | None:
    parts = text.split(" ")
    if not name or len(parts) != 6:
        return None
    call, agent, who, how, number, citizen = parts
    if not (is_call_id(call) and AGENT_NUMBER.fullmatch(agent) and who in tuple(PartyKind)):
        return None
    citizen = "" if citizen == "-" else citizen
    return LiveParty(name, call, agent, PartyKind(who), number, how == "consult", citizen)


def _cause(message: Message) -> int:
    text = message.get("Cause", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
