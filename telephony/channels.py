"""Reads Asterisk's manager events (AMI) as facts. Pure: a message in, facts out.

A citizen's call is a channel of the endpoint `trunk` that began by itself; its Uniqueid is the call's id. An agent's
leg is a channel of the agent's endpoint whose Linkedid is that call; any other channel of that endpoint is an own call
of the agent. Events that matter, in the order of a good call:

    Newchannel (trunk) → CallArrived      Newchannel (agent's leg)       Newstate Ringing → OfferRinging (the 180, M4)
    Newstate Up → OfferAnswered           HangupRequest: who was first   Hangup → TalkEnded, CallEnded

An agent's hold (re-INVITE) is Hold and Unhold on the agent's leg → TalkHeld, TalkResumed. A blind transfer ends the
agent's leg, and the citizen's channel comes back to the controller's session, which reports it. An attended transfer is
known from AMI alone:

    AttendedTransfer → CallTransferred; the colleague's leg, until now of a call between agents, is one of the citizen's

With a queue's `offer_in_notice`, the agent's phone rings while the citizen still hears the recording notice. The leg's
first event says so, and another one that the talk begins:

    Newchannel (agent's leg), UserEvent   Newstate Ringing → OfferRinging
    Newstate Up                           UserEvent → OfferAnswered

A transfer that is joined before the colleague has answered is no fact yet: `joined_early` finds it, and it becomes a
blind one.

HangupRequest means that the far end hung up; Asterisk sends none when it hangs up by itself. So the channel with the
first HangupRequest ended the call (R6), and without any it was the system. With a cause of `LOST` it is a phone that
does not know the call any more: the system, too. A caller's HangupRequest ends the call at
once: the channel may live on for a moment, until the dialplan notices.

The controller names a callback attempt, `hotline-c7.1`, and so the agent's channel that it begins with. The citizen's
leg is a channel of the endpoint `outbound` with that Linkedid. In the order of a good attempt:

    Newchannel (agent's)                  Newstate Up: agent picked up   Newchannel (outbound) → CallbackDialling
    Newstate Up (outbound) → CallbackAnswered                            Hangup (agent's) → CallbackEnded

When the agent transfers a citizen who has answered, the citizen's leg goes on without the agent's. From then on it is a
call of its own, whose id is that channel's Uniqueid; its Linkedid, and that of every leg that it gets, stays the
attempt's. Before or after the agent's Hangup comes

    UserEvent (blind), AttendedTransfer → CallArrived, with the attempt as its origin

Nothing here raises, even if a message is missing, repeated, late or out of order. And nothing that a caller can forge
affects the calls of others. Asterisk writes the line breaks of a caller's number (`%0d%0a` in SIP) into AMI as they
are. The link puts such events together again. Here an event without Privilege and Timestamp is ignored: with both and a
Uniqueid it is longer than the 79 characters that a number may have. And a Uniqueid counts only with its channel's name.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallEnded,
    CallOverflowed,
    CallSentOutside,
    CallTransferred,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneLost,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from facts.causes import LOST, NOT_REACHED, REFUSED, WITHDRAWN, Cause
from facts.endpoints import OUTBOUND, TRUNK, endpoint
from facts.ids import callback_of, leg_of_ours
from facts.numbers import AGENT_NUMBER, normalise
from facts.terms import CallId, OfferReason, Party
from facts.times import SECOND
from telephony import supervisors
from telephony.guesses import GUESS_EVENTS
from telephony.supervisors import SupervisorLeg, joins, supervises, takes

Message: TypeAlias = Mapping[str, str]
"""One AMI message: header → value. A header that comes several times has its values joined by line feeds."""

CALL_CONTEXTS = frozenset({"inbound", "hotline-call"})
"""Where the dialplan keeps a citizen's call (asterisk-conf/extensions.conf)."""

PASSING_CONTEXTS = CALL_CONTEXTS | {
    "transfer",
    "hotline-transfer",
    "hotline-citizen",
    "hotline-colleague",
    "hotline-agent",
    "consult",
}
"""Where a citizen may be: in `consult` while the agent talks to a third party, in the others for a moment after a
transfer, or for seconds.

An agent may join a citizen with an announcement that the agent hears, such as 操作未成功. Then the citizen hears it, in
the agent's place.
"""

FALLBACK_EVENT = "HotlineFallback"
"""The dialplan's own event: no controller came, the fallback queue takes the call."""

KEPT_EVENT = "HotlineInboundFirst"
"""The dialplan's own event: an agent whose callback yielded has heard the tone, and waits for the citizen."""

NOTICE_EVENT = "HotlineNotice"
"""The dialplan's own event: this agent's leg will ring while the citizen still hears the recording notice."""

NOTICE_OVER_EVENT = "HotlineNoticeOver"
"""The dialplan's own event: the agent of such a leg has picked up and the notice is over, so the talk begins."""

HANDED_ON_EVENT = "HotlineHandedOn"
"""The dialplan's own event: the citizen has left a callback (SIP REFER) and is a call of their own."""

SCRIPTED_EVENT = "HotlineScripted"
"""The dialplan's own event: the phrase for a harassing caller is over, and the dialplan hangs up."""

NO_CALL_EVENTS = frozenset({"HotlineMerged", "HotlineRefused"})
"""The dialplan's own events: this channel is no call, but refused: the copy of a call (482), or without TLS (403)."""

VARIABLES = (
    "HL_NUMBER",
    "HL_ARRIVED",
    "HL_QUEUED",
    "HL_QUEUE",
    "HL_DONE",
    "HL_ATTEMPT",
    "HL_NOTICE",
    "HL_PAUSED",
    supervisors.MARK,
    "HL_PARTY",
    "HL_MUTED",
    "HL_CONSULT",
    "HL_HELD",
    "HANGUPCAUSE",
    "CHANNEL(hangupsource)",
)
"""What `Calls.snapshot` reads of a channel: ask for it with `Status`."""

RINGING, UP = "5", "6"
"""Asterisk's `ChannelState`: AST_STATE_RINGING, AST_STATE_UP."""
_UNREACHABLE = frozenset({"Unreachable", "Removed"})
_NEW = frozenset({"NonQualified", "Unknown", "Created"})
"""How Asterisk calls a contact that it has not asked yet."""
_REMEMBERED = 8192


@dataclass(frozen=True, slots=True)
class Waiting:
    """A caller who has a place in a queue, or is in Asterisk's fallback queue, and does not talk.

    `application` is what the dialplan runs for the caller: `AGI`, `Wait`, `Queue`. `queued_at` in microseconds UTC, 0
    for a caller who never had a place.
    """

    call: CallId
    queue: str
    queued_at: int
    application: str


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """An attempt that exists. `channel`: the agent's. `citizen`: the citizen's, empty before the citizen is dialled.

    `rang`, `picked_up`: the agent's phone.
    """

    call: CallId
    callback: int
    agent: str
    channel: str
    citizen: str = ""
    picked_up: bool = False
    answered: bool = False
    rang: bool = False

    @property
    def heard_of(self) -> bool:
        """The agent's phone has said something."""
        return self.rang or self.picked_up


@dataclass(frozen=True, slots=True)
class Talk:
    """An agent's leg that talks. `there`: some phone of the agent is registered and answers.

    `citizen`: in a callback the citizen's channel, which ends with the agent's.
    """

    leg: str
    channel: str
    call: CallId
    agent: str
    held: bool
    there: bool
    citizen: str = ""


@dataclass(frozen=True, slots=True)
class Rung:
    """A phone of an agent that is called for a citizen, in a call or at the beginning of a callback.

    `rings`: it has said so (180). `picked_up`: the agent, or the phone by itself, has answered.
    """

    leg: str
    channel: str
    call: CallId
    rings: bool
    picked_up: bool


def talk_of(talks: Iterable[Talk], agent: str) -> Talk | None:
    """This agent's talk with a citizen, if there is one among `talks`."""
    return next((talk for talk in talks if talk.agent == agent), None)


@dataclass(frozen=True, slots=True)
class AsteriskState:
    """What exists in Asterisk now, and the facts that bring what was known up to date.

    `paused`: calls whose recording was paused, and the mark of `Switch.pause_recording`. `ours`: the legs that this
    program began beside a talk (`facts.ids.leg_of_ours`), as they are listed. `consults`: calls whose citizens hear
    music while the agent consults somebody, and that agent.
    `supervisors`: the legs of supervisors who are in others' talks. `handed`: the legs of third parties who have been
    handed the citizen and are in the talk's bridge, as they are listed.
    """

    facts: tuple[Fact, ...]
    waiting: tuple[Waiting, ...]
    ringing: tuple[tuple[CallId, str], ...]
    talking: tuple[tuple[CallId, str], ...]
    alive: frozenset[CallId]
    attempts: tuple[LiveAttempt, ...] = ()
    paused: tuple[tuple[CallId, str], ...] = ()
    supervisors: tuple[SupervisorLeg, ...] = ()
    ours: tuple[Message, ...] = ()
    consults: tuple[tuple[CallId, str], ...] = ()
    handed: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Early:
    """An agent has transferred a citizen to a colleague, `to`, whose phone still rings (RFC 5589, 7.6).

    `ringing`: the name of the colleague's channel.
    """

    call: CallId
    to: str
    ringing: str


@dataclass(frozen=True, slots=True)
class _Own:
    """`of`: the channel that dialled, which may be this one. `outlived`: the call whose citizen has left this leg.

    `beside`: the call whose citizen hears this leg, a supervisor's, beside their agent.
    """

    channel: str
    agent: str
    of: str
    outlived: CallId = ""
    beside: CallId = ""


@dataclass(slots=True)
class _Leg:
    """`kept`: the agent's channel comes from a callback, so it does not end by itself with the caller's.

    `in_notice`: it rings while the caller hears the recording notice, so `picked_up` is no answer yet. `held`: None if
    Asterisk was not heard when it told of that.
    """

    channel: str
    agent: str
    call: CallId
    kept: bool = False
    in_notice: bool = False
    picked_up: bool = False
    rang: bool = False
    answered: bool = False
    held: bool | None = False
    ended_by: Party | None = None


@dataclass(slots=True)
class _AttemptState:
    """`failure`: why the citizen's leg ended unanswered. `kept`: the agent's channel is a leg of another call now."""

    channel: str
    agent: str
    callback: int
    rang: bool = False
    picked_up: bool = False
    dialled: bool = False
    answered: bool = False
    held: bool | None = False
    kept: bool = False
    failure: str = ""
    ended_by: Party | None = None
    citizen: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Out:
    """A leg to the outside: of an attempt, or of a citizen's call that was sent on."""

    channel: str
    call: CallId
    rang: bool = False
    answered: bool = False
    hung_up: bool = False


@dataclass(slots=True)
class _CallState:
    channel: str = ""
    arrived: bool = False
    overflowed: bool = False
    scripted: bool = False
    caller_gone: bool = False
    ended: bool = False
    arrival: tuple[int, str] | None = None
    ended_by: Party = Party.SYSTEM
    cause: int = 0
    stale_cause: int = 0
    removed: bool = False
    legs: dict[str, _Leg] = field(default_factory=dict)


class Calls:
    """Every channel that matters, by Uniqueid. `numbers` are the hotline's own; assign others when they change."""

    def __init__(self, numbers: Collection[str]) -> None:
        self.numbers = frozenset(numbers)
        self._calls: dict[CallId, _CallState] = {}
        self._legs: dict[str, _Leg] = {}
        self._own: dict[str, _Own] = {}
        self._kept_open: dict[str, str] = {}
        self._attempts: dict[CallId, _AttemptState] = {}
        self._outs: dict[str, _Out] = {}
        self._linked: dict[str, CallId] = {}
        self._contacts: dict[str, set[str]] = {}
        self._places: dict[str, str] | None = None
        self._gone: dict[str, None] = {}
        self._blind = False
        self.talks_on: Callable[[CallId], bool] = _nobody_else
        """Whether somebody else is in this call's talk: then an agent's leg outlives the citizen's channel."""

    def link_lost(self) -> None:
        """Events are missing from now on until the next `snapshot`."""
        self._blind = True

    def read(self, message: Message) -> list[Fact]:
        """Take one event and give its facts: mostly none. Times are the event's own. Never raises."""
        handler = _HANDLERS.get(message.get("Event", ""))
        if handler is None:
            return []
        at = microseconds(message.get("Timestamp", ""))
        if not at or "Privilege" not in message:
            return []
        facts: list[Fact] = []
        self._learn_linkedid(message)
        handler(self, message, at, facts)
        return facts

    def snapshot(
        self,
        channels: Iterable[Message],
        contacts: Iterable[Message],
        now: int,
        before: Collection[str] | None = None,
    ) -> AsteriskState:
        """Replace what is known by what Asterisk lists. The same lists give no fact the second time.

        `channels` are the answers to `Status` with `VARIABLES`, `contacts` those to `PJSIPShowContacts`. `before` is
        what `channels()` was when the question was sent: a later channel may be absent from the lists and exist. Times
        that Asterisk does not tell are estimated. `cel.complete` knows them exactly, so report its facts first.
        """
        listed = [entry for entry in channels if entry.get("Uniqueid", "") not in self._gone]
        facts: list[Fact] = []
        over = {call for call, state in self._calls.items() if state.ended}
        self._forget(listed, now, before, facts)
        exist = {entry.get("Uniqueid", "") for entry in listed}
        go_on = _talks_of_parties(listed) - exist
        callers = [
            entry
            for entry in listed
            if _is_call(entry, PASSING_CONTEXTS) or _was_handed_on(entry, exist | go_on)
        ]
        self._blind = False
        for entry in callers:
            self._found_call(entry, now, facts)
            self._learn_linkedid(entry)
        # The dialling channel comes first: it tells a call between agents from a leg of a citizen's call.
        for entry in sorted(listed, key=lambda one: one.get("Uniqueid") != one.get("Linkedid")):
            self._found_phone(entry, now, facts, exist)
        for entry in listed:
            self._found_out(entry, now, facts, go_on)
        citizens = self._citizens_in_bridges(listed)
        self._found_kept(listed, citizens, now, facts)
        self._found_beside(listed, citizens, now, facts)
        self._found_requests(listed, now, facts)
        waiting = [place for entry in callers if (place := self._place(entry)) is not None]
        self._found_contacts(contacts, now, facts)
        legs = [(leg.call, leg.agent, leg.answered) for leg in self._legs.values()]
        return AsteriskState(
            facts=tuple(facts),
            waiting=tuple(sorted(waiting, key=lambda place: (place.queued_at, place.call))),
            ringing=tuple((call, agent) for call, agent, answered in legs if not answered),
            talking=tuple((call, agent) for call, agent, answered in legs if answered),
            alive=frozenset(self._calls.keys() - over),
            attempts=tuple(self.attempts()),
            paused=tuple(
                (entry["Uniqueid"], mark)
                for entry in listed
                if (mark := variables_of(entry).get("HL_PAUSED", ""))
                and entry.get("Channel", "") == self.recorded_channel(entry["Uniqueid"])
            ),
            supervisors=tuple(
                leg
                for entry in listed
                if (mark := variables_of(entry).get(supervisors.MARK, ""))
                and (leg := supervisors.found(entry, mark)) is not None
            ),
            ours=tuple(
                entry
                for entry in listed
                if leg_of_ours(entry.get("Uniqueid", "")) and not takes(entry)
            ),
            handed=tuple(
                entry
                for entry in listed
                if leg_of_ours(entry.get("Uniqueid", "")) and takes(entry) and entry.get("BridgeID")
            ),
            consults=tuple(
                (self.call_of(uniqueid), endpoint(by))
                for entry in listed
                if (by := variables_of(entry).get("HL_CONSULT", ""))
                and (
                    (uniqueid := entry.get("Uniqueid", "")) in self._calls or uniqueid in self._outs
                )
            ),
        )

    # --- what `switch` asks

    def channels(self) -> frozenset[str]:
        """The Uniqueids of everything known to exist."""
        known: tuple[Iterable[str], ...] = (
            self._calls,
            self._legs,
            self._own,
            self._attempts,
            self._outs,
        )
        return frozenset().union(*known)

    def knows(self, uniqueid: str) -> bool:
        """Whether this channel is known to exist."""
        return (
            uniqueid in self._calls
            or uniqueid in self._own
            or uniqueid in self._attempts
            or uniqueid in self._outs
            or uniqueid in self._legs
        )

    def caller_channel(self, call: CallId) -> str:
        """The name of the caller's channel, empty when there is none."""
        state = self._calls.get(call)
        return state.channel if state is not None else ""

    def recorded_channel(self, call: CallId) -> str:
        """The name of the channel whose MixMonitor records this call, empty when there is none.

        It is the caller's; in a callback, until the citizen leaves it, the agent's.
        """
        attempt = self.attempt(call)
        return self.caller_channel(call) if attempt is None else attempt.channel

    def citizen_channel(self, call: CallId) -> str:
        """The name of the channel of the citizen in this call or callback; empty when they are gone."""
        if self.caller_gone(call):
            return ""
        out = self._citizen_out(call)
        return self.caller_channel(call) if out is None else out.channel

    def call_of(self, citizen: str) -> CallId:
        """The call or callback of the citizen whose channel has this Uniqueid."""
        out = self._outs.get(citizen)
        return out.call if out is not None and self._reached(out) else citizen

    def leaves(self, message: Message) -> CallId:
        """The callback whose citizen this event takes out of the talk; empty for any other event.

        Ask before `read` takes the event.
        """
        out = self._outs.get(self._named(message))
        if message.get("Event") != "Hangup" or out is None or not self._reached(out):
            return ""
        return out.call

    def talk_channel(self, call: CallId, agent: str) -> str:
        """The name of this agent's channel that talks, in a call or in a callback; empty when there is none."""
        talks = (talk for talk in self.talks() if (talk.call, talk.agent) == (call, agent))
        return next((talk.channel for talk in talks), "")

    def leg_channel(self, call: CallId, agent: str, *, answered: bool) -> str:
        """The name of the agent's leg of this call that talks (`answered`) or not yet; empty when there is none."""
        for leg in self._legs.values():
            if leg.call == call and leg.agent == agent and leg.answered == answered:
                return leg.channel
        return ""

    def talks(self) -> Iterable[Talk]:
        """Every leg of an agent that talks to a citizen, in a call or in a callback."""
        for uniqueid, leg in self._legs.items():
            if leg.answered:
                there = bool(self._contacts.get(leg.agent))
                yield Talk(uniqueid, leg.channel, leg.call, leg.agent, bool(leg.held), there)
        for call, one in self._attempts.items():
            if one.answered and not one.kept:
                there = bool(self._contacts.get(one.agent))
                citizen = next(iter(one.citizen.values()), "")
                yield Talk(call, one.channel, call, one.agent, bool(one.held), there, citizen)

    def on_hold(self) -> list[str]:
        """The agents whose talk is on hold, at their phone or at a program's request."""
        attempts = self._attempts.values()
        return [
            *(leg.agent for leg in self._legs.values() if leg.answered and leg.held),
            *(one.agent for one in attempts if one.answered and one.held and not one.kept),
        ]

    def new_address(self, message: Message) -> str:
        """The agent whose phone has registered with another address, or has none any more; empty for any other event.

        Ask before `read` takes the event.
        """
        if message.get("Event") != "ContactStatus":
            return ""
        agent, uri = message.get("EndpointName", ""), message.get("URI", "")
        known, status = self._contacts.get(agent, {uri}), message.get("ContactStatus")
        moved = known == {uri} if status == "Removed" else status in _NEW and uri not in known
        return agent if moved else ""

    def ringing_channel(self, call: CallId, agent: str) -> str:
        """The name of the agent's leg of this call that nobody has picked up; empty when there is none."""
        for leg in self._legs.values():
            if leg.call == call and leg.agent == agent and not (leg.answered or leg.picked_up):
                return leg.channel
        return ""

    def rung(self, agent: str) -> list[Rung]:
        """The phones of this agent that are called for a citizen, or have been picked up for one."""
        return [
            *(
                Rung(leg, one.channel, one.call, one.rang, one.picked_up or one.answered)
                for leg, one in self._legs.items()
                if one.agent == agent and not one.kept
            ),
            *(
                Rung(call, one.channel, call, one.rang, one.picked_up)
                for call, one in self._attempts.items()
                if one.agent == agent and not one.kept
            ),
        ]

    def agent_channels(self, agent: str) -> list[str]:
        """The names of all channels of this agent's phone."""
        known: list[_Leg | _Own | _AttemptState] = [*self._legs.values(), *self._own.values()]
        known += self._attempts.values()
        return sorted({one.channel for one in known if one.agent == agent})

    def outlived(self, call: CallId) -> list[str]:
        """The names of the agents' channels that talk on with others although this call's citizen has left."""
        found = [own.channel for own in self._own.values() if own.outlived == call]
        attempt = self.attempt(call)
        if attempt is not None and attempt.answered and self.caller_gone(call):
            found.append(attempt.channel)
        return found

    def agent_of(self, uri: str) -> str:
        """The agent whose phone is registered with this address, empty when there is none. Parameters do not count."""
        if self._places is None:
            # Each call asks this once, and phones come and go seldom.
            self._places = {
                _place(one): agent for agent, contacts in self._contacts.items() for one in contacts
            }
        return self._places.get(_place(uri), "")

    def keeps(self, sip_call: str, agent: str, at: int) -> list[Fact]:
        """The agent's phone hands its talk on, and may hold the SIP call after that: then it is not free (RFC 5589)."""
        was = self._on_own_call(agent)
        self._kept_open[sip_call] = agent
        return [] if was else [OwnCallStarted(at, agent)]

    def lets_go(self, sip_call: str, at: int) -> list[Fact]:
        """It does not hold that SIP call any more."""
        agent = self._kept_open.pop(sip_call, "")
        return [] if not agent or self._on_own_call(agent) else [OwnCallEnded(at, agent)]

    def back_again(self, message: Message) -> str:
        """The agent whose phone was unreachable and has just shown its password; empty for any other event.

        Asterisk tells of no change when a phone registers again with the address that it had: ask it (PJSIPQualify).
        """
        if message.get("Event") != SIGN_IN_EVENT or message.get("Service") != "PJSIP":
            return ""
        agent = message.get("AccountID", "")
        return agent if self._contacts.get(agent, {""}) == set() else ""

    def joined_early(self, message: Message) -> Early | None:
        """The transfer in this message, if the colleague has not answered yet; otherwise None.

        Asterisk has put the citizen in the place of the agent who dials: when the ringing ends, that `Dial` ends.
        """
        if message.get("Event") != "AttendedTransfer" or message.get("DestType") != "App":
            return None
        call, dials = message.get("TransfereeUniqueid", ""), message.get("SecondTransfererUniqueid")
        state, out = self._calls.get(call), self._outs.get(call)
        if state is not None and not state.ended:
            channel = state.channel
        else:
            channel = out.channel if out is not None and self._reached(out) else ""
        if not channel or channel != message.get("TransfereeChannel"):
            return None
        for uniqueid, own in self._own.items():
            if own.of == dials != uniqueid:
                return Early(call, own.agent, own.channel)
        return None

    # --- what `outbound` asks and says

    def dials(self, message: Message) -> tuple[CallId, str] | None:
        """The attempt, and the channel on which its citizen begins to be dialled; None for any other event."""
        out = self._outs.get(message.get("Uniqueid", ""))
        if message.get("Event") != "Newchannel" or out is None or out.call not in self._attempts:
            return None
        return out.call, out.channel

    def dialling(self, call: CallId) -> bool:
        """Whether this attempt exists, or its citizen's leg although the agent's channel is kept for another call."""
        one = self._attempts.get(call)
        return one is not None and (not one.kept or bool(one.citizen))

    def attempts(self) -> Iterable[LiveAttempt]:
        """All attempts of callbacks that exist."""
        return [one for call in self._attempts if (one := self.attempt(call)) is not None]

    def attempt(self, call: CallId) -> LiveAttempt | None:
        """This attempt as it is now; None when it does not exist (any more)."""
        one = self._attempts.get(call)
        if one is None or one.kept:
            return None
        citizen = next(iter(one.citizen.values()), "")
        return LiveAttempt(
            *(call, one.callback, one.agent, one.channel, citizen),
            *(one.picked_up, one.answered, one.rang),
        )

    def unheard(self, call: CallId) -> str:
        """The channel by which this call is on its way out, if the far end neither rings nor speaks; else empty."""
        for out in self._outs.values():
            if out.call == call and not out.rang and not out.answered:
                return out.channel
        return ""

    def keep_channel(self, attempt: CallId, call: CallId) -> None:
        """From now on the agent's channel of this attempt is the agent's leg of `call`: a citizen comes first (R7).

        `OfferRinging` follows when the agent has heard the tone, `OfferAnswered` when both are connected.
        """
        one = self._attempts.get(attempt)
        if one is None or one.kept:
            return
        one.kept = True
        leg = self._legs[attempt] = _Leg(one.channel, one.agent, call, kept=True)
        state = self._calls.setdefault(call, _CallState())
        state.legs[attempt] = leg
        if state.caller_gone:
            leg.ended_by = Party.CALLER
        if not one.citizen:
            del self._attempts[attempt]

    def ends(self, leg: str) -> None:
        """The agent of this talk (`Talk.leg`) has asked to have it ended: it was they, if the citizen was not first.

        Of what is hung up by AMI, Asterisk does not tell who wanted it.
        """
        one: _Leg | _AttemptState | None = self._legs.get(leg) or self._attempts.get(leg)
        if one is not None:
            one.ended_by = one.ended_by or Party.AGENT

    def goes_on(self, leg: str) -> None:
        """After `ends`: it was not ended after all."""
        one: _Leg | _AttemptState | None = self._legs.get(leg) or self._attempts.get(leg)
        if one is not None and one.ended_by is Party.AGENT:
            one.ended_by = None

    def learn(self, fact: TalkEnded) -> None:
        """A talk ended while nobody was told: whoever hung it up has ended the call, if no other talk follows."""
        state = self._calls.get(fact.call)
        if state is not None and not state.legs:
            state.ended_by = fact.hung_up_by

    def hands_over(self, call: CallId, agent: str) -> None:
        """The agent ends their talk by a hand-over to the survey: whoever hangs up the leg, they have ended it."""
        for leg in self._legs.values():
            if leg.call == call and leg.agent == agent and leg.answered:
                leg.ended_by = leg.ended_by or Party.AGENT

    def caller_gone(self, call: CallId) -> bool:
        """Whether the citizen of this call or callback has hung up, even if the channel still exists."""
        state = self._calls.get(call)
        if state is None:
            return self._citizen_out(call) is None
        return state.caller_gone or state.ended

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
        elif party == OUTBOUND:
            self._leave(uniqueid, message, at, facts)

    def _newstate(self, message: Message, at: int, facts: list[Fact]) -> None:
        uniqueid = self._named(message)
        if uniqueid and uniqueid not in self._legs:
            # This makes up for a lost Newchannel. For a known channel it does nothing.
            self._newchannel(message, at, facts)
        state = message.get("ChannelState", "")
        leg = self._legs.get(uniqueid)
        if leg is None:
            if (attempt := self._attempts.get(uniqueid)) is not None:
                attempt.rang = attempt.rang or state == RINGING
                attempt.picked_up = attempt.picked_up or state == UP
            elif (out := self._outs.get(uniqueid)) is not None:
                out.rang = out.rang or state == RINGING
                if state == UP:
                    self._reach(out, at, facts)
            return
        if state == RINGING:
            self._ring(leg, at, facts)
        elif state == UP and leg.in_notice:
            self._pick_up(leg, at, facts)
        elif state == UP:
            self._answer(leg, at, facts)

    def _dialstate(self, message: Message, at: int, facts: list[Fact]) -> None:
        # 183 without 180: gateways ring with early media. It leaves the channel's state as it was.
        if message.get("DialStatus") not in ("PROGRESS", "RINGING"):
            return
        uniqueid = message.get("DestUniqueid", "")
        if (leg := self._legs.get(uniqueid)) is not None:
            self._ring(leg, at, facts)
        elif (out := self._outs.get(uniqueid)) is not None:
            out.rang = True

    def _hangup_request(self, message: Message, at: int, facts: list[Fact]) -> None:
        uniqueid = self._named(message)
        if (leg := self._legs.get(uniqueid)) is not None:
            if leg.answered and not leg.ended_by and _number(message.get("Cause", "")) in LOST:
                # The phone answered 481 to a request within the call, or nothing: its agent did nothing.
                leg.ended_by = Party.SYSTEM
                if self._lives(leg.call):
                    facts.append(PhoneLost(at, leg.call, leg.agent))
            leg.ended_by = leg.ended_by or Party.AGENT
        elif (attempt := self._attempts.get(uniqueid)) is not None:
            attempt.ended_by = attempt.ended_by or Party.AGENT
        elif (out := self._outs.get(uniqueid)) is not None:
            out.hung_up = True
            if (attempt := self._attempts.get(out.call)) is not None and out.answered:
                attempt.ended_by = attempt.ended_by or Party.CALLER
        elif (
            (call := self._calls.get(uniqueid)) is not None
            and not call.caller_gone
            and not call.scripted
        ):
            self._tell_arrival(uniqueid, call, message, facts)
            call.caller_gone = True
            call.cause = _number(message.get("Cause", ""))
            for leg in call.legs.values():
                leg.ended_by = leg.ended_by or Party.CALLER
            if not call.legs and not self._blind:
                self._end_call(uniqueid, call, at, facts)

    def _hangup(self, message: Message, at: int, facts: list[Fact]) -> None:
        uniqueid = self._named(message)
        if not uniqueid:
            return
        if (leg := self._legs.get(uniqueid)) is not None:
            self._inherit(leg, at, facts)
            self._end_leg(uniqueid, leg, at, _number(message.get("Cause", "")), facts)
        elif (attempt := self._attempts.get(uniqueid)) is not None:
            failure = _failure(attempt, _number(message.get("Cause", "")))
            self._end_attempt(uniqueid, attempt, failure, at, facts)
        elif (out := self._outs.get(uniqueid)) is not None:
            self._end_out(uniqueid, out, _number(message.get("Cause", "")))
        elif (call := self._calls.get(uniqueid)) is not None:
            self._tell_arrival(uniqueid, call, message, facts)
            if not call.caller_gone:
                call.cause = _number(message.get("Cause", ""))
            if AGENT_NUMBER.fullmatch(endpoint(message.get("Channel", ""))):
                # It was an agent's own call; a lost Newchannel made it look like a citizen's. So no CallEnded.
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
        self._places = None
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
        if message.get("UserEvent") == supervisors.MODE_EVENT:
            self._is_beside(uniqueid, "")
        elif message.get("UserEvent") in NO_CALL_EVENTS and call is not None:
            call.arrival, call.ended = None, True  # nobody has heard of it, and nobody will
        elif (
            message.get("UserEvent") == KEPT_EVENT and (leg := self._legs.get(uniqueid)) is not None
        ):
            self._ring(leg, at, facts)
        elif (
            message.get("UserEvent") == NOTICE_EVENT
            and (leg := self._legs.get(uniqueid)) is not None
        ):
            leg.in_notice = True
        elif (
            message.get("UserEvent") == NOTICE_OVER_EVENT
            and (leg := self._legs.get(uniqueid)) is not None
        ):
            self._answer(leg, at, facts)
        elif message.get("UserEvent") == SCRIPTED_EVENT and call is not None:
            call.scripted = True
        elif message.get("UserEvent") == HANDED_ON_EVENT and uniqueid:
            if call is None and uniqueid not in self._gone:
                origin, queue = message.get("Linkedid", ""), message.get("Queue", "")
                self._go_on(uniqueid, message.get("Channel", ""), origin)
                facts.append(CallArrived(at, uniqueid, "", _caller(message), origin, queue))
        elif (
            message.get("UserEvent") == FALLBACK_EVENT and call is not None and not call.overflowed
        ):
            call.overflowed = True
            facts.append(CallOverflowed(at, uniqueid))

    def _bridge_enter(self, message: Message, at: int, facts: list[Fact]) -> None:
        # An ordinary leg was answered before. A kept channel has been up all the time: here its talk begins.
        uniqueid = self._named(message)
        leg = self._legs.get(uniqueid)
        if leg is not None and not leg.answered:
            self._link(uniqueid, leg.call)
            self._answer(leg, at, facts)
        elif uniqueid in self._own and takes(message):
            self._take_over(uniqueid, message, at, facts)
        elif uniqueid in self._own and joins(message):
            linkedid = message.get("Linkedid", "")
            self._is_beside(uniqueid, self._linked.get(linkedid, linkedid))

    def _take_over(self, uniqueid: str, message: Message, at: int, facts: list[Fact]) -> None:
        """A supervisor or colleague has joined the citizen, to go on with them without their agent."""
        linkedid = message.get("Linkedid", "")
        call = self._linked.get(linkedid, linkedid)
        state = self._calls.get(call)
        if state is None or state.ended:
            return
        agent = next((leg.agent for leg in state.legs.values() if leg.answered), "")
        self._hand_over(call, state, uniqueid, self._own[uniqueid], agent, at, facts)

    def _is_beside(self, uniqueid: str, call: CallId) -> None:
        """This supervisor's leg is in the talk of `call` from now on, or in none (empty)."""
        if (own := self._own.get(uniqueid)) is not None and own.beside != call:
            self._own[uniqueid] = replace(own, beside=call)

    def _inherit(self, leg: _Leg, at: int, facts: list[Fact]) -> None:
        """The agent of this leg leaves: a supervisor who has stepped in talks on with the citizen."""
        state = self._calls.get(leg.call)
        if state is None or state.ended or state.caller_gone or not leg.answered:
            return
        if any(one.answered and one is not leg for one in state.legs.values()):
            return
        for uniqueid, own in self._own.items():
            if own.beside == leg.call:
                self._hand_over(leg.call, state, uniqueid, own, leg.agent, at, facts)
                return

    def _hold(self, message: Message, at: int, facts: list[Fact]) -> None:
        uniqueid = self._named(message)
        held = message.get("Event") == "Hold"
        talk: _Leg | _AttemptState | None = self._legs.get(uniqueid) or self._attempts.get(uniqueid)
        if talk is None or not talk.answered or talk.held == held:
            return
        talk.held = held
        call = talk.call if isinstance(talk, _Leg) else uniqueid
        facts.append(TalkHeld(at, call, talk.agent) if held else TalkResumed(at, call, talk.agent))

    def _attended_transfer(self, message: Message, at: int, facts: list[Fact]) -> None:
        """The agent may have sent the REFER on either of two legs, so either far end may be the citizen.

        If others were in the citizen's talk, Asterisk names no far end of it.
        """
        ends = [
            (message.get(f"{end}Uniqueid", ""), message.get(f"{end}Channel", ""))
            for end in ("Transferee", "TransferTarget")
        ]
        for far, (uniqueid, colleague) in (ends, reversed(ends)):
            call, channel = far if any(far) else self._among_others(message)
            own, out = self._own.get(uniqueid), self._outs.get(call)
            if own is None or own.channel != colleague or message.get("Result") != "Success":
                continue
            if out is not None and out.channel == channel and self._reached(out):
                facts.append(CallArrived(at, call, "", "", origin=out.call))
                self._go_on(call, channel, out.call)
            state = self._calls.get(call)
            if state is not None and state.channel == channel and not state.ended:
                agent = endpoint(message.get("OrigTransfererChannel", ""))
                self._hand_over(call, state, uniqueid, own, agent, at, facts)

    def _among_others(self, message: Message) -> tuple[CallId, str]:
        """The citizen of the talk in which the agent of this transfer was: their Uniqueid, and the channel's name."""
        for end in ("OrigTransferer", "SecondTransferer"):
            uniqueid, channel = message.get(f"{end}Uniqueid", ""), message.get(f"{end}Channel", "")
            leg, attempt = self._legs.get(uniqueid), self._attempts.get(uniqueid)
            if leg is not None and leg.answered and leg.channel == channel:
                return leg.call, self.caller_channel(leg.call)
            if attempt is not None and attempt.citizen and attempt.channel == channel:
                return next(iter(attempt.citizen.items()))
        return "", ""

    def _hand_over(
        self,
        call: CallId,
        state: _CallState,
        uniqueid: str,
        own: _Own,
        agent: str,
        at: int,
        facts: list[Fact],
    ) -> None:
        """From now on the colleague's leg is one of the citizen's call. `agent`: who has handed the citizen on."""
        leg = self._legs[uniqueid] = _Leg(own.channel, own.agent, call, rang=True, answered=True)
        state.legs[uniqueid] = leg
        if state.caller_gone:
            leg.ended_by = Party.CALLER
        del self._own[uniqueid]
        if agent:  # otherwise they have left, and the supervisor beside them goes on
            facts.append(CallTransferred(at, call, agent, own.agent, attended=True))
        facts.append(OfferAnswered(at, call, own.agent))
        if not self._on_own_call(own.agent):
            facts.append(OwnCallEnded(at, own.agent))

    def _named(self, message: Message) -> str:
        """The Uniqueid, or empty if another channel is known by it: then the event is forged."""
        uniqueid, channel = message.get("Uniqueid", ""), message.get("Channel", "")
        known: _Leg | _CallState | _Own | _AttemptState | _Out | None = (
            self._legs.get(uniqueid)
            or self._calls.get(uniqueid)
            or self._own.get(uniqueid)
            or self._attempts.get(uniqueid)
            or self._outs.get(uniqueid)
        )
        return uniqueid if known is None or known.channel in (channel, "") else ""

    # --- citizens who are transferred from a callback, and their agents

    @staticmethod
    def _reached(out: _Out) -> bool:
        """Whether this leg is that of a citizen who talks in a callback, and so can be transferred."""
        return out.answered and callback_of(out.call) > 0

    def _citizen_out(self, call: CallId) -> _Out | None:
        """The leg of the citizen who talks in this callback."""
        outs = (out for out in self._outs.values() if out.call == call and not out.hung_up)
        return next((out for out in outs if self._reached(out)), None)

    def _go_on(self, uniqueid: CallId, channel: str, attempt: CallId) -> None:
        """From now on the citizen of this attempt is a call of their own."""
        self._outs.pop(uniqueid, None)
        if (before := self._attempts.get(attempt)) is not None:
            before.citizen.pop(uniqueid, None)
        self._calls[uniqueid] = _CallState(channel, arrived=True)
        self._link(attempt, uniqueid)

    def _learn_linkedid(self, message: Message) -> None:
        """The Linkedid of a citizen's own channel may change in a bridge, and their next legs have the new one.

        Of a kept channel it is meant so. And in an early join, when the colleague answers, Asterisk 22 exchanges two
        channels without holding back a bridge that is just then giving out the oldest Linkedid.
        """
        call, linkedid = message.get("Uniqueid", ""), message.get("Linkedid", "")
        if call == linkedid or not linkedid or call not in self._calls or linkedid in self._calls:
            return
        if self._linked.get(linkedid) != call and self._named(message):
            self._link(linkedid, call)

    def _link(self, linkedid: str, call: CallId) -> None:
        """Legs with this Linkedid belong to `call`, although its own Uniqueid differs. The oldest are forgotten."""
        self._linked[linkedid] = call
        if len(self._linked) > _REMEMBERED:
            del self._linked[next(iter(self._linked))]

    # --- calls and legs

    def _arrive(self, uniqueid: str, message: Message, at: int, facts: list[Fact]) -> None:
        call = self._calls.setdefault(uniqueid, _CallState())
        call.channel = call.channel or message.get("Channel", "")
        number = message.get("Exten", "")
        if not call.arrived and not call.ended and number in self.numbers:
            call.arrived, call.arrival = True, (at, number)
        if message.get("ChannelState") == UP:
            self._tell_arrival(uniqueid, call, message, facts)

    def _tell_arrival(
        self, uniqueid: CallId, call: _CallState, message: Message, facts: list[Fact]
    ) -> None:
        """Report the arrival, once the dialplan has answered or the call has ended.

        Not earlier: until then the events still show a number that the caller withholds.
        """
        if call.arrival is not None:
            (at, number), call.arrival = call.arrival, None
            facts.append(CallArrived(at, uniqueid, number, _caller(message)))

    def _appear(
        self, uniqueid: str, agent: str, message: Message, at: int, facts: list[Fact]
    ) -> None:
        if uniqueid in self._legs or uniqueid in self._own or uniqueid in self._attempts:
            return
        if callback := callback_of(uniqueid):
            self._attempts[uniqueid] = _AttemptState(message.get("Channel", ""), agent, callback)
            return
        channel, linkedid = message.get("Channel", ""), message.get("Linkedid", "")
        linkedid = self._linked.get(linkedid, linkedid)
        if leg_of_ours(uniqueid) and not takes(message):
            linkedid = uniqueid  # it may be in a talk's bridge already
        if linkedid in (uniqueid, "") or linkedid in self._own or supervises(message):
            self._on_own(uniqueid, _Own(channel, agent, linkedid or uniqueid), at, facts)
            return
        if self._blind and not self.knows(linkedid):
            return  # perhaps of a call between agents: `snapshot` will tell
        leg = self._legs[uniqueid] = _Leg(channel, agent, linkedid)
        if linkedid in self._gone:
            # The caller left while the INVITE was on its way. The phone is busy anyway.
            leg.ended_by = Party.CALLER
            return
        call = self._calls.setdefault(linkedid, _CallState())
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

    def _pick_up(self, leg: _Leg, at: int, facts: list[Fact]) -> None:
        """The agent has picked up during the recording notice, and waits for its end."""
        self._ring(leg, at, facts)
        leg.picked_up = True

    def _answer(self, leg: _Leg, at: int, facts: list[Fact]) -> None:
        if leg.answered:
            return
        # A phone may answer without ringing first. Then its ring lasted 0 s.
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
        if call is not None and call.caller_gone and not call.legs and not self._blind:
            self._end_call(leg.call, call, at, facts)
            if call.removed:
                del self._calls[leg.call]

    def _end_call(self, uniqueid: CallId, call: _CallState, at: int, facts: list[Fact]) -> None:
        if call.ended:
            return
        self._tell_arrival(uniqueid, call, {}, facts)
        call.ended = True
        # Dial leaves the cause of a busy or silent phone on the caller's channel, and a later BYE does not change it:
        # an equal cause is that phone's, and says nothing about the caller.
        cause = 0 if call.cause == call.stale_cause else call.cause
        facts.append(
            CallEnded(at, uniqueid, Party.CALLER if call.caller_gone else call.ended_by, cause)
        )

    def _remove_call(self, uniqueid: CallId, call: _CallState, at: int, facts: list[Fact]) -> None:
        if any(leg.kept and not leg.answered for leg in call.legs.values()):
            # A kept channel does not end with the caller's. The call stays until `outbound` has hung that channel up.
            call.caller_gone = call.removed = True
            for leg in call.legs.values():
                leg.ended_by = leg.ended_by or Party.CALLER
            return
        for leg_id, leg in list(call.legs.items()):
            leg.ended_by = leg.ended_by or (Party.CALLER if call.caller_gone else Party.SYSTEM)
            self._end_leg(leg_id, leg, at, Cause.NORMAL, facts)
            if leg.answered and self.talks_on(uniqueid):
                self._on_own(leg_id, _Own(leg.channel, leg.agent, leg_id, uniqueid), at, facts)
            else:
                self._remember(leg_id)
        self._end_call(uniqueid, call, at, facts)
        del self._calls[uniqueid]

    def _leave(self, uniqueid: str, message: Message, at: int, facts: list[Fact]) -> None:
        """A leg to the outside begins."""
        call = message.get("Linkedid", "")
        call = self._linked.get(call, call)
        attempt = self._attempts.get(call)
        if uniqueid in self._outs or uniqueid in self._calls or leg_of_ours(uniqueid):
            return
        if attempt is None and call not in self._calls:
            return
        channel = message.get("Channel", "")
        self._outs[uniqueid] = _Out(channel, call)
        if attempt is None:
            return
        attempt.citizen[uniqueid] = channel
        attempt.picked_up = True
        if not attempt.dialled:
            attempt.dialled = True
            facts.append(CallbackDialling(at, attempt.callback, call, attempt.agent))

    def _reach(self, out: _Out, at: int, facts: list[Fact]) -> None:
        """The outside number picked up."""
        if out.answered:
            return
        out.answered = True
        attempt = self._attempts.get(out.call)
        if attempt is None:
            # Asterisk does not tell which number it was. The floor knows it and fills it in.
            facts.append(CallSentOutside(at, out.call, "", answered=True))
        elif not attempt.answered:
            attempt.answered = True
            facts.append(CallbackAnswered(at, attempt.callback, out.call, attempt.agent))

    def _end_out(self, uniqueid: str, out: _Out, cause: int) -> None:
        del self._outs[uniqueid]
        attempt = self._attempts.get(out.call)
        if attempt is None:
            if (call := self._calls.get(out.call)) is not None and out.answered:
                call.ended_by = Party.AGENT if out.hung_up else Party.SYSTEM
            elif call is not None:
                call.stale_cause = cause
            return
        attempt.citizen.pop(uniqueid, None)
        if not out.answered and out.hung_up:
            attempt.failure = NOT_REACHED.get(cause, "unreachable")
        elif not out.answered and attempt.ended_by is None:
            attempt.failure = "no_answer"  # our own time-out, or no answer of any kind
        if attempt.kept and not attempt.citizen:
            del self._attempts[out.call]

    def _end_attempt(
        self, call: CallId, attempt: _AttemptState, failure: str, at: int, facts: list[Fact]
    ) -> None:
        for uniqueid in attempt.citizen:
            if (out := self._outs.get(uniqueid)) is not None and out.answered:
                continue  # keep it until its own end: the agent may have transferred this citizen
            self._outs.pop(uniqueid, None)
            self._remember(uniqueid)
        del self._attempts[call]
        if not attempt.kept:
            by = attempt.ended_by or Party.SYSTEM
            facts.append(CallbackEnded(at, attempt.callback, call, attempt.agent, failure, by))

    def _on_own(self, uniqueid: str, own: _Own, at: int, facts: list[Fact]) -> None:
        if not self._on_own_call(own.agent):
            facts.append(OwnCallStarted(at, own.agent))
        self._own[uniqueid] = own

    def _end_own(self, uniqueid: str, at: int, facts: list[Fact]) -> None:
        agent = self._own.pop(uniqueid).agent
        if not self._on_own_call(agent):
            facts.append(OwnCallEnded(at, agent))

    def _on_own_call(self, agent: str) -> bool:
        return agent in self._kept_open.values() or any(
            own.agent == agent for own in self._own.values()
        )

    def _lives(self, call: CallId) -> bool:
        state = self._calls.get(call)
        return state is not None and not state.ended

    def _remember(self, uniqueid: str) -> None:
        """Keep a late or repeated event from bringing this channel back. The oldest are forgotten (memory)."""
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
                self._end_leg(uniqueid, leg, now, Cause.NORMAL, facts)
            elif uniqueid in self._own:
                self._end_own(uniqueid, now, facts)
            elif (attempt := self._attempts.get(uniqueid)) is not None:
                failure = "" if attempt.answered else "lost"
                self._end_attempt(uniqueid, attempt, failure, now, facts)
            elif (out := self._outs.get(uniqueid)) is not None:
                self._end_out(uniqueid, out, Cause.NORMAL)
            else:
                continue
            self._remember(uniqueid)
        for uniqueid in sorted(known - exist):
            if (call := self._calls.get(uniqueid)) is not None:
                self._remove_call(uniqueid, call, now, facts)
                self._remember(uniqueid)

    def _found_call(self, entry: Message, now: int, facts: list[Fact]) -> None:
        uniqueid = entry["Uniqueid"]
        variables = variables_of(entry)
        if (origin := variables.get("HL_ATTEMPT", "")) and uniqueid not in self._calls:
            self._go_on(uniqueid, entry.get("Channel", ""), origin)
            at = _number(variables.get("HL_ARRIVED", "")) or now
            queue = variables.get("HL_QUEUE", "")
            facts.append(CallArrived(at, uniqueid, "", _caller(entry), origin, queue))
        call = self._calls.setdefault(uniqueid, _CallState())
        call.channel = entry.get("Channel", "")
        self._tell_arrival(uniqueid, call, entry, facts)
        number = variables.get("HL_NUMBER") or entry.get("DNID", "")
        if call.arrived or call.ended or number not in self.numbers:
            return
        call.arrived = True
        at = _number(variables.get("HL_ARRIVED", "")) or _started(entry, now)
        facts.append(CallArrived(at, uniqueid, number, _caller(entry)))

    def _found_phone(
        self, entry: Message, now: int, facts: list[Fact], exist: Collection[str]
    ) -> None:
        uniqueid, agent = entry.get("Uniqueid", ""), endpoint(entry.get("Channel", ""))
        if not uniqueid or not AGENT_NUMBER.fullmatch(agent):
            return
        linkedid = entry.get("Linkedid", "")
        handed = uniqueid in self._own and self._linked.get(linkedid, linkedid) in self._calls
        ours = supervises(entry) or (leg_of_ours(uniqueid) != "" and not takes(entry))
        if handed and not ours:
            # An attended transfer, of which the link was too late to tell: the colleague has the citizen.
            self._end_own(uniqueid, now, facts)
        known = linkedid in exist or self.knows(self._linked.get(linkedid, linkedid))
        if not known and entry.get("ChannelState") == UP and entry.get("BridgeID", ""):
            # The citizen has left, and the agent talks on with somebody who was brought in.
            own = _Own(entry.get("Channel", ""), agent, uniqueid, linkedid)
            if uniqueid not in self._own and not leg_of_ours(uniqueid):
                self._on_own(uniqueid, own, now, facts)
        self._appear(uniqueid, agent, entry, now, facts)
        state = entry.get("ChannelState", "")
        # A phone's own hold leaves no variable: one that was known goes on, and nobody knows of others.
        by_us = variables_of(entry).get("HL_HELD") == "1"
        if (attempt := self._attempts.get(uniqueid)) is not None:
            attempt.rang = attempt.rang or state == RINGING
            attempt.picked_up = attempt.picked_up or state == UP
            attempt.held = by_us or attempt.held or None
        leg = self._legs.get(uniqueid)
        if leg is None:
            return
        leg.held = by_us or leg.held or None
        in_notice = variables_of(entry).get("HL_NOTICE") == "1"
        leg.in_notice = leg.in_notice or in_notice
        if state == RINGING:
            self._ring(leg, _started(entry, now), facts, estimated=True)
        elif state == UP and not leg.answered:
            self._ring(leg, _started(entry, now), facts, estimated=True)
            if in_notice:
                self._pick_up(leg, now, facts)
            else:
                self._answer(leg, now, facts)

    def _found_out(
        self, entry: Message, now: int, facts: list[Fact], go_on: Collection[CallId]
    ) -> None:
        """`go_on`: callbacks whose agents have left, while the citizen talks on with somebody who was brought in."""
        uniqueid, linkedid = entry.get("Uniqueid", ""), entry.get("Linkedid", "")
        channel = entry.get("Channel", "")
        if not uniqueid or endpoint(channel) != OUTBOUND:
            return
        if linkedid in go_on and variables_of(entry).get("HL_ATTEMPT") == linkedid:
            self._outs.setdefault(uniqueid, _Out(channel, linkedid, answered=True))
            return
        self._leave(uniqueid, entry, now, facts)
        out = self._outs.get(uniqueid)
        if out is not None and entry.get("ChannelState") == UP:
            self._reach(out, now, facts)

    def _found_kept(
        self, listed: list[Message], citizens: Mapping[str, CallId], now: int, facts: list[Fact]
    ) -> None:
        """An agent's channel that was kept for a citizen is in one bridge with the citizen's."""
        for entry in listed:
            call = citizens.get(entry.get("BridgeID", ""))
            uniqueid = entry.get("Uniqueid", "")
            if call is None or uniqueid not in self._attempts:
                continue
            self.keep_channel(uniqueid, call)
            self._link(uniqueid, call)
            self._ring(self._legs[uniqueid], now, facts, estimated=True)
            self._answer(self._legs[uniqueid], now, facts)

    def _found_beside(
        self, listed: list[Message], citizens: Mapping[str, CallId], now: int, facts: list[Fact]
    ) -> None:
        """Supervisors who have stepped in. One whose agent has left has the citizen; CEL tells who had them before."""
        for entry in listed:
            uniqueid = entry.get("Uniqueid", "")
            call = citizens.get(entry.get("BridgeID", ""), "") if joins(entry) else ""
            self._is_beside(uniqueid, call)
            own, state = self._own.get(uniqueid), self._calls.get(call)
            if own is None or state is None or state.ended:
                continue
            if not any(leg.answered for leg in state.legs.values()):
                self._hand_over(call, state, uniqueid, own, "", now, facts)

    def _citizens_in_bridges(self, listed: list[Message]) -> dict[str, CallId]:
        """The citizen's call in each bridge."""
        return {
            bridge: entry["Uniqueid"]
            for entry in listed
            if (bridge := entry.get("BridgeID", "")) and entry.get("Uniqueid") in self._calls
        }

    def _found_requests(self, listed: list[Message], now: int, facts: list[Fact]) -> None:
        """The far ends of these channels have hung up, and the link was down when Asterisk told of it."""
        for entry in listed:
            told = variables_of(entry)
            if entry.get("Channel", "") == told.get("CHANNEL(hangupsource)"):
                self._hangup_request({**entry, "Cause": told.get("HANGUPCAUSE", "")}, now, facts)
        for uniqueid, call in list(self._calls.items()):
            if call.caller_gone and not call.legs:
                self._end_call(uniqueid, call, now, facts)
                if call.removed:
                    del self._calls[uniqueid]

    def _place(self, entry: Message) -> Waiting | None:
        uniqueid = entry["Uniqueid"]
        call = self._calls[uniqueid]
        variables = variables_of(entry)
        queued_at = _number(variables.get("HL_QUEUED", ""))
        application = entry.get("Application", "")
        if call.ended or variables.get("HL_DONE") == "1":
            return None
        if any(leg.answered for leg in call.legs.values()):
            return None
        if application != "Queue" and (not queued_at or call.legs):
            return None
        if any(out.call == uniqueid for out in self._outs.values()):
            return None
        return Waiting(uniqueid, variables.get("HL_QUEUE", ""), queued_at, application)

    def _found_contacts(self, contacts: Iterable[Message], now: int, facts: list[Fact]) -> None:
        found: dict[str, set[str]] = {}
        for entry in contacts:
            agent, uri = entry.get("Endpoint", ""), entry.get("Uri", "")
            if uri and AGENT_NUMBER.fullmatch(agent) and entry.get("Status") not in _UNREACHABLE:
                found.setdefault(agent, set()).add(uri)
        was = {agent for agent, known in self._contacts.items() if known}
        self._contacts, self._places = found, None
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
    "BridgeEnter": Calls._bridge_enter,
    "Hold": Calls._hold,
    "Unhold": Calls._hold,
    "AttendedTransfer": Calls._attended_transfer,
}

KEY_EVENT = "DTMFEnd"

SIGN_IN_EVENT = "SuccessfulAuth"

REGISTRY_EVENT = "Registry"

WANTED = frozenset(_HANDLERS) | {KEY_EVENT, SIGN_IN_EVENT, REGISTRY_EVENT} | GUESS_EVENTS
"""The events that matter here: manager.conf lets only these through, and the link reads no other."""


def microseconds(text: str) -> int:
    """Read `1763731200.123456` exactly; 0 for anything else. A float would lose the last digit."""
    if len(text) != 17 or text[10] != ".":
        return 0
    digits = text[:10] + text[11:]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def pressed(message: Message) -> tuple[CallId, str] | None:
    """The citizen's call and the key that was pressed; None for any other event. Not a fact: keys are private."""
    if message.get("Event") != KEY_EVENT or message.get("Direction") != "Received":
        return None
    uniqueid, key = message.get("Uniqueid", ""), message.get("Digit", "")
    genuine = microseconds(message.get("Timestamp", "")) and "Privilege" in message
    citizen = endpoint(message.get("Channel", "")) == TRUNK
    return (uniqueid, key) if genuine and citizen and uniqueid and len(key) == 1 else None


def _is_call(message: Message, contexts: Collection[str] = CALL_CONTEXTS) -> bool:
    uniqueid, linkedid = message.get("Uniqueid", ""), message.get("Linkedid", "")
    # The Linkedid of a citizen's channel may have changed since it began (`_learn_linkedid`).
    began = uniqueid == linkedid or callback_of(linkedid) > 0
    return (
        uniqueid != ""
        and (began or bool(variables_of(message).get("HL_ARRIVED")))
        and message.get("Context") in contexts
        and endpoint(message.get("Channel", "")) == TRUNK
    )


def _nobody_else(_call: CallId) -> bool:
    return False


def _place(uri: str) -> str:
    """An address without its parameters."""
    return uri.partition(";")[0]


def _was_handed_on(entry: Message, exist: Collection[str]) -> bool:
    """Whether a listed channel is that of a citizen who has left a callback whose agent's channel is gone."""
    linkedid = entry.get("Linkedid", "")
    return (
        entry.get("Uniqueid", "") != ""
        and endpoint(entry.get("Channel", "")) == OUTBOUND
        and callback_of(linkedid) > 0
        and linkedid not in exist
        and variables_of(entry).get("HL_ATTEMPT") == linkedid
        # Otherwise the citizen is just being hung up together with the agent.
        and (entry.get("BridgeID", "") != "" or entry.get("Context") in PASSING_CONTEXTS)
    )


def _talks_of_parties(listed: Iterable[Message]) -> frozenset[CallId]:
    """The calls and callbacks whose third parties are among the listed channels."""
    marks = (variables_of(entry).get("HL_PARTY", "") for entry in listed)
    return frozenset(mark.partition(" ")[0] for mark in marks if mark)


def _caller(message: Message) -> str:
    return normalise(message.get("CallerIDNum", ""))


def _reason(leg: _Leg, cause: int) -> OfferReason:
    if leg.ended_by is Party.CALLER:
        return OfferReason.CALLER_GONE
    if cause == WITHDRAWN:
        return OfferReason.WITHDRAWN
    if leg.picked_up:
        return OfferReason.REFUSED if leg.ended_by is Party.AGENT else OfferReason.UNREACHABLE
    if leg.ended_by is Party.AGENT:
        if cause in REFUSED or leg.kept:
            return OfferReason.REFUSED
        if cause == Cause.NO_ANSWER:
            # 480: "do not disturb" when it comes at once, the phone's own time-out after ringing.
            return OfferReason.NO_ANSWER if leg.rang else OfferReason.REFUSED
        return OfferReason.UNREACHABLE
    if cause == Cause.NORMAL:
        return OfferReason.CALLER_GONE
    return OfferReason.NO_ANSWER if leg.rang else OfferReason.UNREACHABLE


def _failure(attempt: _AttemptState, cause: int) -> str:
    """Why an attempt that ends now has failed; empty after a talk. An answer that crossed our cancel is no talk."""
    if attempt.answered and (cause != WITHDRAWN or attempt.ended_by is not None):
        return ""
    if cause == WITHDRAWN:
        return "withdrawn"
    if attempt.picked_up:
        return attempt.failure or ("agent_hung_up" if attempt.ended_by is Party.AGENT else "lost")
    if attempt.ended_by is Party.AGENT:
        if cause in REFUSED or (cause == Cause.NO_ANSWER and not attempt.rang):
            return "agent_refused"
        return "agent_no_answer" if cause == Cause.NO_ANSWER else "agent_unreachable"
    return "agent_no_answer" if attempt.rang else "agent_unreachable"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _started(entry: Message, now: int) -> int:
    return now - _number(entry.get("Seconds", "")) * SECOND


def variables_of(entry: Message) -> dict[str, str]:
    """The channel's variables in a `Status` entry; Asterisk writes `(null)` for one that is not set."""
    pairs = (line.partition("=") for line in entry.get("Variable", "").split("\n"))
    # The last one counts: anything that a caller's number may have smuggled in comes before the variables.
    values = {name: value for name, _, value in pairs}
    return {name: value for name, value in values.items() if value not in ("", "(null)")}
