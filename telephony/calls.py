"""Folds Asterisk's manager events (AMI) into facts. Pure: a message in, what it amounts to out.

A citizen's call is a channel of the endpoint `trunk` that began by itself; its Uniqueid is the call's id. An agent's
leg is a channel of the agent's endpoint whose Linkedid is that call; any other channel of his endpoint is a call of
his own. Events that matter, in the order of a good call:

    Newchannel (trunk) → CallArrived      Newchannel (agent's leg)       Newstate Ringing → OfferRinging (the 180, M4)
    Newstate Up → OfferAnswered           HangupRequest: who was first   Hangup → TalkEnded, CallEnded

HangupRequest means that the far end hung up; Asterisk sends none when it hangs up by itself. So whoever has the first
HangupRequest ended the call (R6), and with none it was the system. A caller's HangupRequest ends his call at once: his
channel may live on for a moment, until the dialplan notices.

Nothing here raises, whatever is missing, repeated, late or out of order. And nothing a caller can forge concerns a call
of others: Asterisk writes the line breaks of his number (`%0d%0a` in SIP) into AMI as they are. The link puts such
events together again; here an event without Privilege and Timestamp is ignored (with both and a Uniqueid it is longer
than the 79 characters that a number may have), and a Uniqueid counts only with its channel's name.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from acd.caller import normalise
from acd.events import (
    CallArrived,
    CallEnded,
    CallOverflowed,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
)
from acd.model import SECOND, CallId, OfferReason, Party
from agents.model import AGENT_NUMBER

Message: TypeAlias = Mapping[str, str]
"""One AMI message: header → value. A header that comes several times has its values joined by line feeds."""

TRUNK = "trunk"
"""The endpoint of citizens (asterisk-conf/pjsip.conf)."""

CALL_CONTEXTS = frozenset({"inbound", "hotline-call"})
"""Where the dialplan keeps a citizen's call (asterisk-conf/extensions.conf)."""

FALLBACK_EVENT = "HotlineFallback"
"""The dialplan's own event: no controller came, the fallback queue takes the call."""

VARIABLES = ("HL_NUMBER", "HL_ARRIVED", "HL_QUEUED", "HL_QUEUE", "HL_DONE")
"""Channel variables that `Calls.snapshot` reads: ask for them with `Status`."""

_RINGING, _UP = "5", "6"  # AST_STATE_RINGING, AST_STATE_UP
_BUSY, _NORMAL, _NO_ANSWER, _REJECTED, _ELSEWHERE = 17, 16, 19, 21, 26  # Q.850
_UNREACHABLE = frozenset({"Unreachable", "Removed"})
_REMEMBERED = 8192

WITHDRAWN_CAUSE = _ELSEWHERE
"""Q.850 cause with which we take back an offer: phones then show no missed call (RFC 3326)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A caller who has a place in a queue, or is in Asterisk's fallback queue, and talks to nobody.

    `application` is what the dialplan runs for him: `AGI`, `Wait`, `Queue`. `queued_at` is 0 when he never had a place.
    """

    call: CallId
    queue: str
    queued_at: int
    application: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What exists in Asterisk now, and the facts by which that differs from what was known."""

    facts: tuple[Fact, ...]
    waiting: tuple[Waiting, ...]
    ringing: tuple[tuple[CallId, str], ...]
    talking: tuple[tuple[CallId, str], ...]
    alive: frozenset[CallId]


@dataclass(frozen=True, slots=True)
class _Own:
    channel: str
    agent: str


@dataclass(slots=True)
class _Leg:
    channel: str
    agent: str
    call: CallId
    rang: bool = False
    answered: bool = False
    ended_by: Party | None = None


@dataclass(slots=True)
class _Call:
    channel: str = ""
    arrived: bool = False
    overflowed: bool = False
    caller_gone: bool = False
    ended: bool = False
    ended_by: Party = Party.SYSTEM
    cause: int = 0
    stale_cause: int = 0
    legs: dict[str, _Leg] = field(default_factory=dict)


class Calls:
    """Every channel that matters, by Uniqueid. `numbers` are the hotline's own; assign others when they change."""

    def __init__(self, numbers: Collection[str]) -> None:
        self.numbers = frozenset(numbers)
        self._calls: dict[CallId, _Call] = {}
        self._legs: dict[str, _Leg] = {}
        self._own: dict[str, _Own] = {}
        self._contacts: dict[str, set[str]] = {}
        self._gone: dict[str, None] = {}

    def fold(self, message: Message) -> list[Fact]:
        """Take one event and say what happened: mostly nothing. Times are the event's own. Never raises."""
        handler = _HANDLERS.get(message.get("Event", ""))
        if handler is None:
            return []
        at = microseconds(message.get("Timestamp", ""))
        if not at or "Privilege" not in message:
            return []
        facts: list[Fact] = []
        handler(self, message, at, facts)
        return facts

    def snapshot(
        self,
        channels: Iterable[Message],
        contacts: Iterable[Message],
        now: int,
        before: Collection[str] | None = None,
    ) -> Snapshot:
        """Replace what is known by what Asterisk lists; the same lists twice yield no fact the second time.

        `channels` are the answers to `Status` with `VARIABLES`, `contacts` those to `PJSIPShowContacts`. `before` is
        what `channels()` was when the question was sent: what came later cannot be missed in the lists. Times that
        Asterisk does not tell are estimated: `cel.complete` knows them exactly, so let it speak first.
        """
        listed = [entry for entry in channels if entry.get("Uniqueid", "") not in self._gone]
        facts: list[Fact] = []
        self._forget(listed, now, before, facts)
        callers = [entry for entry in listed if _is_call(entry)]
        for entry in callers:
            self._found_call(entry, now, facts)
        for entry in listed:
            self._found_phone(entry, now, facts)
        waiting = [place for entry in callers if (place := self._place(entry)) is not None]
        self._found_contacts(contacts, now, facts)
        legs = [(leg.call, leg.agent, leg.answered) for leg in self._legs.values()]
        return Snapshot(
            facts=tuple(facts),
            waiting=tuple(sorted(waiting, key=lambda place: (place.queued_at, place.call))),
            ringing=tuple((call, agent) for call, agent, answered in legs if not answered),
            talking=tuple((call, agent) for call, agent, answered in legs if answered),
            alive=frozenset(call for call, state in self._calls.items() if not state.ended),
        )

    # --- what `switch` asks

    def channels(self) -> frozenset[str]:
        """The Uniqueids of everything known to exist."""
        return frozenset(self._calls) | frozenset(self._legs) | frozenset(self._own)

    def caller_channel(self, call: CallId) -> str:
        """The name of the caller's channel, empty when there is none."""
        state = self._calls.get(call)
        return state.channel if state is not None else ""

    def leg_channel(self, call: CallId, agent: str, *, answered: bool) -> str:
        """The name of the agent's leg of this call that talks (`answered`) or still rings; empty when there is none."""
        for leg in self._legs.values():
            if leg.call == call and leg.agent == agent and leg.answered == answered:
                return leg.channel
        return ""

    # --- events

    def _newchannel(self, message: Message, at: int, facts: list[Fact]) -> None:
        uniqueid = message.get("Uniqueid", "")
        if not uniqueid or uniqueid in self._gone:
            return
        party = endpoint(message.get("Channel", ""))
        if party == TRUNK:
            if _is_call(message):
                self._arrive(uniqueid, message, at, facts)
        elif AGENT_NUMBER.fullmatch(party):
            self._appear(uniqueid, party, message, at, facts)

    def _newstate(self, message: Message, at: int, facts: list[Fact]) -> None:
        uniqueid = self._named(message)
        if uniqueid and uniqueid not in self._legs:
            # A lost Newchannel is made good; for a channel that is known this does nothing.
            self._newchannel(message, at, facts)
        leg = self._legs.get(uniqueid)
        if leg is None:
            return
        state = message.get("ChannelState", "")
        if state == _RINGING:
            self._ring(leg, at, facts)
        elif state == _UP:
            self._answer(leg, at, facts)

    def _dialstate(self, message: Message, at: int, facts: list[Fact]) -> None:
        # 183 without 180: gateways ring with early media. It leaves the channel's state as it was.
        leg = self._legs.get(message.get("DestUniqueid", ""))
        if leg is not None and message.get("DialStatus") in ("PROGRESS", "RINGING"):
            self._ring(leg, at, facts)

    def _hangup_request(self, message: Message, at: int, facts: list[Fact]) -> None:
        uniqueid = self._named(message)
        if (leg := self._legs.get(uniqueid)) is not None:
            leg.ended_by = leg.ended_by or Party.AGENT
        elif (call := self._calls.get(uniqueid)) is not None and not call.caller_gone:
            call.caller_gone = True
            call.cause = _number(message.get("Cause", ""))
            for leg in call.legs.values():
                leg.ended_by = leg.ended_by or Party.CALLER
            if not call.legs:
                self._end_call(uniqueid, call, at, facts)

    def _hangup(self, message: Message, at: int, facts: list[Fact]) -> None:
        uniqueid = self._named(message)
        if not uniqueid:
            return
        if (leg := self._legs.get(uniqueid)) is not None:
            self._end_leg(uniqueid, leg, at, _number(message.get("Cause", "")), facts)
        elif (call := self._calls.get(uniqueid)) is not None:
            if not call.caller_gone:
                call.cause = _number(message.get("Cause", ""))
            if endpoint(message.get("Channel", "")) != TRUNK:
                # A lost Newchannel made an agent's own call look like a citizen's.
                call.ended = True
            self._remove_call(uniqueid, call, at, facts)
        elif uniqueid in self._own:
            self._end_own(uniqueid, at, facts)
        self._remember(uniqueid)

    def _contact_status(self, message: Message, at: int, facts: list[Fact]) -> None:
        agent = message.get("EndpointName", "")
        uri, status = message.get("URI", ""), message.get("ContactStatus", "")
        if not uri or not AGENT_NUMBER.fullmatch(agent):
            return
        contacts = self._contacts.setdefault(agent, set())
        was = bool(contacts)
        if status in _UNREACHABLE:
            contacts.discard(uri)
        else:
            # `Unknown` is a new contact that has not been asked yet, `Updated` one that registered again: Asterisk
            # dials both. A contact that was found unreachable says so again, or becomes `Reachable`.
            contacts.add(uri)
        if bool(contacts) != was:
            facts.append(PhoneReachable(at, agent) if contacts else PhoneUnreachable(at, agent))

    def _user_event(self, message: Message, at: int, facts: list[Fact]) -> None:
        uniqueid = self._named(message)
        call = self._calls.get(uniqueid)
        if message.get("UserEvent") == FALLBACK_EVENT and call is not None and not call.overflowed:
            call.overflowed = True
            facts.append(CallOverflowed(at, uniqueid))

    def _named(self, message: Message) -> str:
        """The Uniqueid, or nothing when another channel is known by it."""
        uniqueid, channel = message.get("Uniqueid", ""), message.get("Channel", "")
        known: _Leg | _Call | _Own | None = (
            self._legs.get(uniqueid) or self._calls.get(uniqueid) or self._own.get(uniqueid)
        )
        return uniqueid if known is None or known.channel in (channel, "") else ""

    # --- calls and legs

    def _arrive(self, uniqueid: str, message: Message, at: int, facts: list[Fact]) -> None:
        call = self._calls.setdefault(uniqueid, _Call())
        call.channel = call.channel or message.get("Channel", "")
        number = message.get("Exten", "")
        if not call.arrived and not call.ended and number in self.numbers:
            call.arrived = True
            facts.append(CallArrived(at, uniqueid, number, _caller(message)))

    def _appear(
        self, uniqueid: str, agent: str, message: Message, at: int, facts: list[Fact]
    ) -> None:
        if uniqueid in self._legs or uniqueid in self._own:
            return
        channel, linkedid = message.get("Channel", ""), message.get("Linkedid", "")
        if linkedid in (uniqueid, "") or linkedid in self._own:
            if not self._on_own_call(agent):
                facts.append(OwnCallStarted(at, agent))
            self._own[uniqueid] = _Own(channel, agent)
            return
        leg = self._legs[uniqueid] = _Leg(channel, agent, linkedid)
        if linkedid in self._gone:
            # The caller left while the INVITE was on its way. The phone is busy all the same.
            leg.ended_by = Party.CALLER
            return
        call = self._calls.setdefault(linkedid, _Call())
        call.legs[uniqueid] = leg
        call.ended_by = Party.SYSTEM
        if call.caller_gone:
            leg.ended_by = Party.CALLER

    def _ring(self, leg: _Leg, at: int, facts: list[Fact], *, estimated: bool = False) -> None:
        if leg.rang or leg.answered:
            return
        leg.rang = True
        if self._lives(leg.call):
            facts.append(OfferRinging(at, leg.call, leg.agent, estimated))

    def _answer(self, leg: _Leg, at: int, facts: list[Fact]) -> None:
        if leg.answered:
            return
        # A phone that answers without ringing first: its ring is as long as it was, zero.
        self._ring(leg, at, facts)
        leg.answered = True
        if self._lives(leg.call):
            facts.append(OfferAnswered(at, leg.call, leg.agent))

    def _end_leg(self, uniqueid: str, leg: _Leg, at: int, cause: int, facts: list[Fact]) -> None:
        del self._legs[uniqueid]
        call = self._calls.get(leg.call)
        if call is not None:
            call.legs.pop(uniqueid, None)
        if not leg.answered:
            facts.append(OfferEnded(at, leg.call, leg.agent, _reason(leg, cause)))
            if call is not None:
                call.stale_cause = cause
        elif self._lives(leg.call):
            by = leg.ended_by or Party.SYSTEM
            facts.append(TalkEnded(at, leg.call, leg.agent, by))
            if call is not None:
                call.ended_by = by
                call.stale_cause = 0
        if call is not None and call.caller_gone and not call.legs:
            self._end_call(leg.call, call, at, facts)

    def _end_call(self, uniqueid: CallId, call: _Call, at: int, facts: list[Fact]) -> None:
        if call.ended:
            return
        call.ended = True
        # Dial leaves the cause of a busy or silent phone on the caller's channel, and a later BYE does not change it.
        cause = 0 if call.cause == call.stale_cause else call.cause
        facts.append(
            CallEnded(at, uniqueid, Party.CALLER if call.caller_gone else call.ended_by, cause)
        )

    def _remove_call(self, uniqueid: CallId, call: _Call, at: int, facts: list[Fact]) -> None:
        for leg_id, leg in list(call.legs.items()):
            leg.ended_by = leg.ended_by or (Party.CALLER if call.caller_gone else Party.SYSTEM)
            self._end_leg(leg_id, leg, at, _NORMAL, facts)
            self._remember(leg_id)
        self._end_call(uniqueid, call, at, facts)
        del self._calls[uniqueid]

    def _end_own(self, uniqueid: str, at: int, facts: list[Fact]) -> None:
        agent = self._own.pop(uniqueid).agent
        if not self._on_own_call(agent):
            facts.append(OwnCallEnded(at, agent))

    def _on_own_call(self, agent: str) -> bool:
        return any(own.agent == agent for own in self._own.values())

    def _lives(self, call: CallId) -> bool:
        state = self._calls.get(call)
        return state is not None and not state.ended

    def _remember(self, uniqueid: str) -> None:
        """So that a late or repeated event does not bring a channel back."""
        self._gone[uniqueid] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]

    # --- the snapshot's parts

    def _forget(
        self, listed: list[Message], now: int, before: Collection[str] | None, facts: list[Fact]
    ) -> None:
        exist = {entry.get("Uniqueid", "") for entry in listed}
        known = self.channels() if before is None else self.channels() & frozenset(before)
        for uniqueid in sorted(known - exist):
            if (leg := self._legs.get(uniqueid)) is not None:
                self._end_leg(uniqueid, leg, now, _NORMAL, facts)
            elif uniqueid in self._own:
                self._end_own(uniqueid, now, facts)
            else:
                continue
            self._remember(uniqueid)
        for uniqueid in sorted(known - exist):
            if (call := self._calls.get(uniqueid)) is not None:
                self._remove_call(uniqueid, call, now, facts)
                self._remember(uniqueid)

    def _found_call(self, entry: Message, now: int, facts: list[Fact]) -> None:
        uniqueid = entry["Uniqueid"]
        call = self._calls.setdefault(uniqueid, _Call())
        call.channel = entry.get("Channel", "")
        variables = _variables(entry)
        number = variables.get("HL_NUMBER") or entry.get("DNID", "")
        if call.arrived or call.ended or number not in self.numbers:
            return
        call.arrived = True
        at = _number(variables.get("HL_ARRIVED", "")) or _started(entry, now)
        facts.append(CallArrived(at, uniqueid, number, _caller(entry)))

    def _found_phone(self, entry: Message, now: int, facts: list[Fact]) -> None:
        uniqueid, agent = entry.get("Uniqueid", ""), endpoint(entry.get("Channel", ""))
        if not uniqueid or not AGENT_NUMBER.fullmatch(agent):
            return
        self._appear(uniqueid, agent, entry, now, facts)
        leg = self._legs.get(uniqueid)
        if leg is None:
            return
        state = entry.get("ChannelState", "")
        if state == _RINGING:
            self._ring(leg, _started(entry, now), facts, estimated=True)
        elif state == _UP and not leg.answered:
            self._ring(leg, _started(entry, now), facts, estimated=True)
            self._answer(leg, now, facts)

    def _place(self, entry: Message) -> Waiting | None:
        uniqueid = entry["Uniqueid"]
        call = self._calls[uniqueid]
        variables = _variables(entry)
        queued_at = _number(variables.get("HL_QUEUED", ""))
        application = entry.get("Application", "")
        if call.ended or variables.get("HL_DONE") == "1":
            return None
        if any(leg.answered for leg in call.legs.values()):
            return None
        if application != "Queue" and (not queued_at or call.legs):
            return None
        return Waiting(uniqueid, variables.get("HL_QUEUE", ""), queued_at, application)

    def _found_contacts(self, contacts: Iterable[Message], now: int, facts: list[Fact]) -> None:
        found: dict[str, set[str]] = {}
        for entry in contacts:
            agent, uri = entry.get("Endpoint", ""), entry.get("Uri", "")
            if uri and AGENT_NUMBER.fullmatch(agent) and entry.get("Status") not in _UNREACHABLE:
                found.setdefault(agent, set()).add(uri)
        was = {agent for agent, known in self._contacts.items() if known}
        self._contacts = found
        facts.extend(PhoneUnreachable(now, agent) for agent in sorted(was - found.keys()))
        facts.extend(PhoneReachable(now, agent) for agent in sorted(found.keys() - was))


_HANDLERS: dict[str, Callable[[Calls, Message, int, list[Fact]], None]] = {
    "Newchannel": Calls._newchannel,
    "Newstate": Calls._newstate,
    "DialState": Calls._dialstate,
    "HangupRequest": Calls._hangup_request,
    "Hangup": Calls._hangup,
    "ContactStatus": Calls._contact_status,
    "UserEvent": Calls._user_event,
}

WANTED = frozenset(_HANDLERS)
"""The events that matter here: manager.conf lets only these through, and the link reads no other."""


def microseconds(text: str) -> int:
    """Read `1763731200.123456` exactly; 0 for anything else. A float would lose the last digit."""
    if len(text) != 17 or text[10] != ".":
        return 0
    digits = text[:10] + text[11:]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def endpoint(channel: str) -> str:
    """`PJSIP/1001-0000002a` → `1001`; empty for channels of any other technology."""
    return (
        channel[6 : channel.rfind("-")] if channel.startswith("PJSIP/") and "-" in channel else ""
    )


def _is_call(message: Message) -> bool:
    uniqueid = message.get("Uniqueid", "")
    return (
        uniqueid != ""
        and uniqueid == message.get("Linkedid")
        and message.get("Context") in CALL_CONTEXTS
        and endpoint(message.get("Channel", "")) == TRUNK
    )


def _caller(message: Message) -> str:
    raw = message.get("CallerIDNum", "")
    return "" if raw == "<unknown>" else normalise(raw)


def _reason(leg: _Leg, cause: int) -> OfferReason:
    if leg.ended_by is Party.CALLER:
        return OfferReason.CALLER_GONE
    if cause == _ELSEWHERE:
        return OfferReason.WITHDRAWN
    if leg.ended_by is Party.AGENT:
        if cause in (_BUSY, _REJECTED):
            return OfferReason.REFUSED
        if cause == _NO_ANSWER:
            # 480: "do not disturb" when it comes at once, the phone's own time-out after ringing.
            return OfferReason.NO_ANSWER if leg.rang else OfferReason.REFUSED
        return OfferReason.UNREACHABLE
    if cause == _NORMAL:
        return OfferReason.CALLER_GONE
    return OfferReason.NO_ANSWER if leg.rang else OfferReason.UNREACHABLE


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _started(entry: Message, now: int) -> int:
    return now - _number(entry.get("Seconds", "")) * SECOND


def _variables(entry: Message) -> dict[str, str]:
    """The channel's variables in a `Status` entry; Asterisk writes `(null)` for one that is not set."""
    pairs = (line.partition("=") for line in entry.get("Variable", "").split("\n"))
    # The last one counts: what a caller's number may have smuggled in comes before the variables.
    values = {name: value for name, _, value in pairs}
    return {name: value for name, value in values.items() if value not in ("", "(null)")}
