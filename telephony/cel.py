"""Asterisk's own record of events (CEL) → the facts that were missed while the controller or the link was away.

Asterisk writes one line an event, whether or not our programs run (asterisk-conf/cel_custom.conf has the columns).
`telephony.cel_file` finds the lines since a moment, `complete` turns them into facts and leaves out what the diary has
already. Pure.

CEL does not tell when a phone began to ring. It tells only when the INVITE left, so such an `OfferRinging` is
`estimated`. Nor does it tell that a phone never rang, and when a talk was on hold. The citizen's session reports a
blind transfer when the citizen comes back to the controller; an attended one is in CEL. So is the moment at which a
citizen is transferred from a callback and becomes a call of their own.
"""

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackRaced,
    CallbackSpared,
    CallDetached,
    CallEnded,
    CallMarked,
    CallOverflowed,
    CallRefused,
    CallTransferred,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    PartyAnswered,
    PartyAsked,
    PartyFailed,
    PartyJoined,
    PartyLeft,
    PartyMuted,
    PartyUnmuted,
    RecordingFinished,
    RecordingMissing,
    TalkEnded,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.causes import LOST, NOT_REACHED, REFUSED, WITHDRAWN, Cause
from facts.endpoints import OUTBOUND, TRUNK, endpoint
from facts.ids import callback_of, leg_of_ours
from facts.numbers import AGENT_NUMBER, normalise
from facts.supervise import SupervisionMode
from facts.terms import CallId, CallMark, OfferReason, Party
from facts.times import SECOND
from telephony import supervisors
from telephony.channels import microseconds

SAME = 2 * SECOND
"""Microseconds by which AMI and CEL may differ about one event."""

FALLBACK = "fallback"
"""The dialplan's own CEL event: the fallback queue takes the call."""

NO_CALL = frozenset({"merged", "refused"})
"""The dialplan's own CEL events: a copy of a call that is there already, or one that is refused, and no call itself."""

NOTICE = "notice"
"""The dialplan's own CEL event: this agent's leg rings while the citizen hears the recording notice."""

HANDED_ON = "handed_on"
"""The dialplan's own CEL event: the citizen has left a callback and is a call of their own. It names the queue."""

HARASSING = "harassing"
"""The dialplan's own CEL event: the caller begins to hear the phrase for harassing callers, and is then hung up."""

SCRIPTED = "scripted"
"""The dialplan's own CEL event: that phrase is over, and the dialplan hangs up."""

_CALLBACK_ANSWERS = (CallbackAnswered, CallbackSpared, CallbackRaced)
"""As what the floor may have entered a citizen's answer."""

_AFTERWARDS = frozenset(
    {WrapUpStarted, WrapUpEnded, RecordingFinished, RecordingMissing, PartyMuted, PartyUnmuted}
    | {PartyAsked, PartyAnswered, PartyJoined, PartyFailed, PartyLeft}
)
_COLUMNS = 12
_NEVER = 1 << 62
_TOGETHER = SECOND // 20
_RANG = frozenset({OfferReason.NO_ANSWER, OfferReason.CALLER_GONE, OfferReason.WITHDRAWN})


@dataclass(frozen=True, slots=True)
class CelEvent:
    """One line, in the order of its columns; `at` in microseconds UTC, `extra` the JSON text of the event."""

    kind: str
    at: int
    uniqueid: str
    linkedid: str
    channel: str
    number: str
    context: str
    exten: str
    application: str
    peer: str
    name: str
    extra: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A file's events in the order of time, and how many of its lines could not be read."""

    events: tuple[CelEvent, ...]
    garbage: int


def parse(line: str) -> CelEvent | None:
    """Read one line; None when it is not one of ours, or incomplete."""
    if not (line.startswith('"') and line.endswith('"')):
        return None
    try:
        rows = list(csv.reader([line], strict=True))
    except csv.Error:
        return None
    if len(rows) != 1 or len(rows[0]) != _COLUMNS:
        return None
    kind, time, *rest = rows[0]
    at = microseconds(time)
    return CelEvent(kind, at, *rest) if at and kind else None


def takes_over(event: CelEvent) -> bool:
    """Whether it is about the leg of a supervisor or a colleague who takes the citizen over."""
    return event.context == supervisors.CONTEXT and event.exten == SupervisionMode.TAKE


def complete(
    events: Iterable[CelEvent],
    known: Iterable[Fact],
    *,
    numbers: Collection[str],
    held: Iterable[Fact] = (),
    alive: Collection[CallId] | None = None,
    now: int = 0,
) -> list[Fact]:
    """Give the facts that the diary lacks, in the order of time.

    `known` are the diary's facts about calls that were open at the moment since which `events` were read, and all facts
    since then. If the result is added to `known`, a second call gives nothing. `numbers` are the hotline's own.
    `held`: those of `known` that only AMI has told so far, since the link is back (`telephony.catch_up`). If it ended a
    callback's attempt without having seen the answer, the end is given again.

    `alive` are the calls that exist now (`AsteriskState.alive`). A known call that neither exists nor has an end in CEL
    is ended at `now` by the system: Asterisk itself died with it.
    """
    events, known = list(events), list(known)
    diary = _Diary(known)
    calls = _gather(events, frozenset(numbers))
    facts: list[Fact] = list(_attempts(events, known, list(held)))
    for call_id, call in calls.items():
        if call.arrived is None and call_id not in diary.calls:
            continue  # it had ended before, or is not one of the hotline's
        facts.extend(_missing(call_id, call, diary))
    if alive is not None:
        ended = {fact.call for fact in facts if isinstance(fact, CallEnded)} | diary.ended
        added: dict[CallId, list[Fact]] = {}
        for fact in facts:
            added.setdefault(getattr(fact, "call", ""), []).append(fact)
        for call_id in sorted(diary.calls - ended - frozenset(alive)):
            facts.extend(diary.close(call_id, now, added.get(call_id, [])))
    # A supervisor has the citizen from the moment in which the agent leaves: that comes before the agent's end.
    handed = {(f.at, f.call, f.agent) for f in facts if isinstance(f, CallTransferred)}
    facts.sort(key=lambda f: (f.at, isinstance(f, TalkEnded) and (f.at, f.call, f.agent) in handed))
    return facts


def ends(
    events: Iterable[CelEvent], known: Iterable[Fact], *, numbers: Collection[str]
) -> dict[tuple[CallId, str], Party]:
    """Who hung up: by call, and by call and agent for the end of their last leg. Arguments: as `complete`."""
    diary = _Diary(known)
    found: dict[tuple[CallId, str], Party] = {}
    for call_id, call in _gather(events, frozenset(numbers)).items():
        for leg in sorted(call.legs.values(), key=lambda leg: leg.ended_at):
            if leg.ended_at:
                found[call_id, leg.agent] = _talk_ended_by(call, leg)
        if call.ended_at:
            found[call_id, ""] = _ended_by(call_id, call, diary)
    return found


class Answer(NamedTuple):
    """An agent's phone answered `at`; its leg lasted so long (microseconds; None if CEL has no end of it)."""

    at: int
    lasted: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What CEL alone says about one call. Times in microseconds UTC, 0 when there is none.

    `answers`: of agents' phones, the first one first, however short the talk was.
    """

    arrived: int
    answers: tuple[Answer, ...]
    ended: int


def seen(events: Iterable[CelEvent], numbers: Collection[str]) -> dict[CallId, Seen]:
    """The calls to the hotline's `numbers` that arrive in these events, for comparison with the diary."""
    found = {}
    for call_id, call in _gather(events, frozenset(numbers)).items():
        if call.arrived is not None:
            answers = sorted(
                Answer(leg.answered_at, min(ends) - leg.answered_at if ends else None)
                for leg in call.legs.values()
                if leg.answered_at
                for ends in [[at for at in (leg.ended_at, call.ended_at) if at]]
            )
            found[call_id] = Seen(call.arrived.at, tuple(answers), call.ended_at)
    return found


# --- what the events amount to


@dataclass(slots=True)
class _CelLeg:
    """`in_notice`, `picked_up`: as in `telephony.channels`; the talk begins with the bridge."""

    agent: str
    channel: str
    started_at: int = 0
    answered_at: int = 0
    ended_at: int = 0
    cause: int = 0
    source: str = ""
    last_at: int = 0
    handed_by: str = ""
    in_notice: bool = False
    picked_up: bool = False


@dataclass(slots=True)
class _CelCall:
    """`others`: the channels of third parties who were in its talk. Whoever of them leaves last ends the call.

    `left`: the caller is out of the talk's bridge.
    """

    arrived: CallArrived | None = None
    channel: str = ""
    overflowed_at: int = 0
    harassing_at: int = 0
    scripted: bool = False
    ended_at: int = 0
    cause: int = 0
    source: str = ""
    legs: dict[str, _CelLeg] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    left: bool = False


def _gather(events: Iterable[CelEvent], numbers: frozenset[str]) -> dict[CallId, _CelCall]:
    gathered = _Gathered(numbers)
    for event in sorted(events, key=lambda event: event.at):
        gathered.add(event)
    return gathered.calls


class _Gathered:
    """Calls, from events in the order of time."""

    def __init__(self, numbers: frozenset[str]) -> None:
        self.calls: dict[CallId, _CelCall] = {}
        self._numbers = numbers
        self._legs: dict[str, _CelLeg] = {}
        # An attempt's Linkedid → the citizen's own call. After a transfer all its legs still carry that Linkedid.
        self._linked: dict[str, CallId] = {}
        # A citizen's channel in a callback → the attempt.
        self._citizens: dict[str, CallId] = {}
        # Supervisors who have stepped in, by their leg: the channel, and the call.
        self._beside: dict[str, tuple[str, CallId]] = {}

    def add(self, event: CelEvent) -> None:
        self._steps_in(event)
        known = event.uniqueid in self._legs
        if leg_of_ours(event.uniqueid) and not takes_over(event) and not known:
            # In a talk's bridge it has the call's Linkedid, and is no leg of an offer.
            if (talk := self.calls.get(event.linkedid)) is not None:
                talk.others.add(event.channel)
            return
        party = endpoint(event.channel)
        own = event.uniqueid == event.linkedid or callback_of(event.linkedid) > 0
        if party == TRUNK and (own or event.uniqueid in self.calls):
            _about_call(event, self._call(event.uniqueid), self._numbers)
            # As in `telephony.channels`: a citizen's Linkedid may change, and their next legs have the new one.
            if event.uniqueid != event.linkedid and not self._arrived(event.linkedid):
                self._linked[event.linkedid] = event.uniqueid
        elif event.kind == "ATTENDEDTRANSFER":
            self._hand_over(event)
        elif event.context == supervisors.CONTEXT and event.uniqueid not in self._legs:
            self._take_over(event, party)
        elif party == OUTBOUND and event.uniqueid in self.calls:
            _about_call(event, self.calls[event.uniqueid], self._numbers)
        elif party == OUTBOUND and event.kind == "USER_DEFINED" and event.name == HANDED_ON:
            self._go_on(event, event.uniqueid, event.channel, event.linkedid)
        elif party == OUTBOUND and callback_of(event.linkedid):
            self._citizens[event.uniqueid] = event.linkedid
        elif callback_of(event.uniqueid):
            return
        elif AGENT_NUMBER.fullmatch(party) and (
            event.uniqueid != event.linkedid or event.uniqueid in self._legs
        ):
            leg = self._legs.get(event.uniqueid)
            if leg is None:
                leg = self._legs[event.uniqueid] = _CelLeg(party, event.channel)
                call = self._linked.get(event.linkedid, event.linkedid)
                self._call(call).legs[event.uniqueid] = leg
            if event.kind == "HANGUP" and leg.answered_at and self._beside:
                self._inherit(event, leg)
            _about_leg(event, leg)

    def _steps_in(self, event: CelEvent) -> None:
        """A supervisor is heard in a talk from now on, or no more."""
        joined = event.context == supervisors.CONTEXT and event.exten == SupervisionMode.STEP_IN
        if event.kind == "BRIDGE_ENTER" and joined:
            call = self._linked.get(event.linkedid, event.linkedid)
            self._beside[event.uniqueid] = (event.channel, call)
        elif event.kind in ("BRIDGE_EXIT", "HANGUP"):
            self._beside.pop(event.uniqueid, None)

    def _inherit(self, event: CelEvent, leg: _CelLeg) -> None:
        """The agent of this leg leaves: a supervisor who has stepped in talks on with the citizen."""
        call = next((one for one in self.calls.values() if event.uniqueid in one.legs), None)
        if call is None or call.left or call.ended_at:
            return
        if any(
            one.answered_at and not one.ended_at for one in call.legs.values() if one is not leg
        ):
            return
        for uniqueid, (channel, beside) in self._beside.items():
            if self.calls.get(beside) is call and AGENT_NUMBER.fullmatch(endpoint(channel)):
                heir = _CelLeg(endpoint(channel), channel, event.at, event.at, last_at=event.at)
                heir.handed_by = leg.agent
                self._legs[uniqueid] = call.legs[uniqueid] = heir
                return

    def _arrived(self, call: CallId) -> bool:
        known = self.calls.get(call)
        return known is not None and known.arrived is not None

    def _call(self, call: CallId) -> _CelCall:
        return self.calls.setdefault(call, _CelCall())

    def _go_on(self, event: CelEvent, call_id: CallId, channel: str, origin: CallId) -> None:
        """From now on the citizen of the attempt `origin` is a call of their own."""
        number = normalise(event.number) if channel == event.channel else ""
        queue = str(_extra(event.extra).get("extra", ""))
        call = self.calls[call_id] = _CelCall(channel=channel)
        call.arrived = CallArrived(event.at, call_id, "", number, origin, queue)
        self._linked[origin] = call_id

    def _take_over(self, event: CelEvent, supervisor: str) -> None:
        """A supervisor's leg is one of the citizen's call only when it has taken them over."""
        if event.exten != SupervisionMode.TAKE or not AGENT_NUMBER.fullmatch(supervisor):
            if (joined := self.calls.get(event.linkedid)) is not None:
                joined.others.add(event.channel)
            return
        leg = _CelLeg(supervisor, event.channel)
        call = self._call(self._linked.get(event.linkedid, event.linkedid))
        if event.kind == "BRIDGE_ENTER":
            leg.started_at = event.at
            talk = [one for one in call.legs.values() if one.answered_at and not one.ended_at]
            leg.handed_by = talk[-1].agent if talk else ""
        elif event.uniqueid == event.linkedid or event.kind == "BRIDGE_EXIT":
            return  # it has not joined the citizen, or leaves their talk to come back as its agent
        self._legs[event.uniqueid] = call.legs[event.uniqueid] = leg
        _about_leg(event, leg)

    def _hand_over(self, event: CelEvent) -> None:
        """An attended transfer: from now on the colleague's channel is a leg of the citizen's call."""
        told = _extra(event.extra)
        ends = [
            (
                _named(told, f"{end}_channel_uniqueid"),
                _named(told, f"{end}_channel_name"),
            )
            for end in ("transferee", "transfer_target")
        ]
        for (call, citizen), (uniqueid, channel) in (ends, reversed(ends)):
            agent = endpoint(channel)
            if not AGENT_NUMBER.fullmatch(agent):
                continue
            if not citizen:
                call = self._among_others(event, _named(told, "channel2_uniqueid"))
            if call in self._citizens and call not in self.calls:
                self._go_on(event, call, citizen, self._citizens[call])
            if call and (endpoint(citizen) in (TRUNK, "") or call in self._citizens):
                leg = _CelLeg(agent, channel, event.at, event.at, last_at=event.at)
                leg.handed_by = endpoint(event.channel)
                self._legs[uniqueid] = self._call(call).legs[uniqueid] = leg

    def _among_others(self, event: CelEvent, second: str) -> CallId:
        """The citizen of a transfer from a talk of three: CEL does not name them, but the agent's channels."""
        for uniqueid in (event.uniqueid, second):
            for call_id, call in self.calls.items():
                if uniqueid in call.legs:
                    return call_id
            for citizen, attempt in self._citizens.items():
                if attempt == uniqueid:
                    return citizen
        return ""


@dataclass(slots=True)
class _CelAttempt:
    agent: str = ""
    channel: str = ""
    dialled_at: int = 0
    answered_at: int = 0
    ended_at: int = 0
    cause: int = 0
    source: str = ""
    failure: str = ""


def _attempts(events: list[CelEvent], known: list[Fact], held: list[Fact]) -> Iterator[Fact]:
    """Callback attempts whose end was missed. The floor ignores those that it does not wait for."""
    found: dict[CallId, _CelAttempt] = {}
    for event in sorted(events, key=lambda event: event.at):
        if callback_of(event.linkedid):
            _about_attempt(event, found.setdefault(event.linkedid, _CelAttempt()))
    told = {(type(fact), getattr(fact, "call", "")) for fact in known}
    answers = {fact.call for fact in known if isinstance(fact, _CALLBACK_ANSWERS)}
    unsure = {fact.call for fact in held if isinstance(fact, CallbackEnded)}
    for call, one in found.items():
        if not one.ended_at or not one.agent:
            continue
        unseen = one.answered_at > 0 and call not in answers
        if (CallbackEnded, call) in told and not (call in unsure and unseen):
            continue
        number = callback_of(call)
        if one.dialled_at and (CallbackDialling, call) not in told:
            yield CallbackDialling(one.dialled_at, number, call, one.agent)
        if unseen:
            yield CallbackAnswered(one.answered_at, number, call, one.agent)
        by, failure = Party.SYSTEM, one.failure or "lost"
        if one.source == one.channel:
            by, failure = Party.AGENT, "agent_hung_up"
        elif endpoint(one.source) == OUTBOUND:
            by = Party.CALLER
        if one.answered_at or call in answers:
            # An answer that crossed our cancel is no talk.
            cut = one.cause == WITHDRAWN and by is Party.SYSTEM
            failure = "withdrawn" if cut else ""
        elif by is Party.CALLER:
            by = Party.SYSTEM
        yield CallbackEnded(one.ended_at, number, call, one.agent, failure, by)


def _about_attempt(event: CelEvent, one: _CelAttempt) -> None:
    party = endpoint(event.channel)
    if event.uniqueid == event.linkedid:
        one.agent, one.channel = party, event.channel
        if event.kind == "HANGUP":
            one.ended_at = event.at
            one.cause, one.source = _hangup(event.extra)
    elif party == OUTBOUND:
        if event.kind == "CHAN_START":
            # Later ones dial outside numbers to which the agent transferred the citizen.
            one.dialled_at = one.dialled_at or event.at
        elif event.kind in ("ANSWER", "BRIDGE_ENTER"):
            one.answered_at = one.answered_at or event.at
        elif event.kind == "HANGUP":
            cause, source = _hangup(event.extra)
            refused = source == event.channel
            one.failure = NOT_REACHED.get(cause, "unreachable") if refused else "no_answer"


def _about_call(event: CelEvent, call: _CelCall, numbers: frozenset[str]) -> None:
    call.channel = event.channel
    match event.kind:
        case "CHAN_START":
            if event.exten in numbers:
                call.arrived = CallArrived(
                    event.at, event.uniqueid, event.exten, normalise(event.number)
                )
        case "ANSWER":
            if call.arrived is not None and not event.number:
                # The caller withholds the number. The dialplan checks that only after the answer, so the first event
                # still has it.
                call.arrived = replace(call.arrived, caller="")
        case "USER_DEFINED":
            if event.name in NO_CALL:
                call.arrived = None
            elif event.name == FALLBACK and not call.overflowed_at:
                call.overflowed_at = event.at
            elif event.name == HARASSING:
                call.harassing_at = event.at
            elif event.name == SCRIPTED:
                call.scripted = True
        case "BRIDGE_ENTER" | "BRIDGE_EXIT":
            call.left = event.kind == "BRIDGE_EXIT"
        case "HANGUP":
            call.ended_at = event.at
            call.cause, call.source = _hangup(event.extra)
        case "CHAN_END":
            call.ended_at = call.ended_at or event.at


def _about_leg(event: CelEvent, leg: _CelLeg) -> None:
    leg.last_at = event.at
    match event.kind:
        case "CHAN_START":
            leg.started_at = event.at
        case "USER_DEFINED" if event.name == NOTICE:
            leg.in_notice = True
        case "ANSWER" if leg.in_notice:
            leg.picked_up = True
        case "ANSWER":
            leg.answered_at = leg.answered_at or event.at
        case "BRIDGE_ENTER":
            # Its ANSWER was before the moment since which the file was read, or during the recording notice.
            leg.answered_at = leg.answered_at or event.at
        case "HANGUP":
            leg.ended_at = event.at
            leg.cause, leg.source = _hangup(event.extra)
        case "CHAN_END":
            leg.ended_at = leg.ended_at or event.at


def hang_up_of(event: CelEvent) -> tuple[int, str]:
    """Cause (Q.850) and source of a HANGUP: the channel whose far end hung up, or something else for the system."""
    return _hangup(event.extra)


def _hangup(extra: str) -> tuple[int, str]:
    """Cause and source. The source is the channel whose far end hung up; the dialplan or nothing for the system."""
    told = _extra(extra)
    try:
        return int(told.get("hangupcause", 0)), str(told.get("hangupsource", ""))
    except (ValueError, TypeError):
        return 0, ""


def _extra(extra: str) -> dict[str, Any]:
    try:
        told = json.loads(extra)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _named(told: Mapping[str, Any], what: str) -> str:
    """What CEL tells of this; empty when it names nobody."""
    text = str(told.get(what, ""))
    return "" if text == "N/A" else text


def _missing(call_id: CallId, call: _CelCall, diary: "_Diary") -> Iterator[Fact]:
    if call.arrived is not None and call_id not in diary.arrived:
        yield call.arrived
    if call.overflowed_at and call_id not in diary.overflowed:
        yield CallOverflowed(call.overflowed_at, call_id)
    stale_cause = 0
    last_at = 0
    for leg in sorted(call.legs.values(), key=lambda leg: leg.started_at or leg.last_at):
        yield from _missing_leg(call_id, call, leg, diary)
        stale_cause = leg.cause if not leg.answered_at else 0
        last_at = max(last_at, leg.ended_at)
    if call.harassing_at and call_id not in diary.harassing:
        answered = [
            leg for leg in call.legs.values() if leg.answered_at or leg.agent in diary.answerers
        ]
        last = max(answered, key=lambda leg: leg.started_at, default=None)
        agent = "" if last is None else last.agent
        yield CallMarked(call.harassing_at, call_id, agent, CallMark.HARASSING, ended=True)
    if call.ended_at and call_id not in diary.ended:
        cause = 0 if call.cause == stale_cause else call.cause
        yield CallEnded(
            max(call.ended_at, last_at), call_id, _ended_by(call_id, call, diary), cause
        )


def _missing_leg(call_id: CallId, call: _CelCall, leg: _CelLeg, diary: "_Diary") -> Iterator[Fact]:
    first = leg.started_at - SAME if leg.started_at else 0
    last = leg.ended_at + SAME if leg.ended_at else _NEVER
    # Each known fact counts for one leg only: the same agent may have been rung twice for one call.
    others = [
        other.started_at
        for other in call.legs.values()
        if other.agent == leg.agent and other is not leg
    ]
    if any(at <= leg.started_at for at in others):
        first = leg.started_at
    last = min([last, *(at for at in others if at > leg.started_at)])
    begun, done = leg.started_at or leg.last_at, leg.ended_at or leg.last_at
    rang = diary.take(OfferRinging, call_id, leg.agent, first, last, near=begun)
    answered = diary.take(
        OfferAnswered, call_id, leg.agent, first, last, near=leg.answered_at or begun
    )
    unanswered = diary.take(OfferEnded, call_id, leg.agent, first, last, near=done)
    talked = diary.take(TalkEnded, call_id, leg.agent, first, last, near=done)
    # Only AMI knows of a phone that never rang.
    reason = unanswered.reason if isinstance(unanswered, OfferEnded) else _reason(leg, call)
    was_answered = bool(leg.answered_at) or answered is not None
    over = bool(leg.ended_at) or unanswered is not None
    # Whoever left in the moment of the offer: the phone was asked when that offer was over already.
    late = unanswered is not None and unanswered.at <= leg.started_at
    may_have_rung = was_answered or leg.picked_up or (over and reason in _RANG and not late)
    if leg.handed_by and (call_id, leg.agent) not in diary.handed:
        yield CallTransferred(leg.started_at, call_id, leg.handed_by, leg.agent, attended=True)
    if rang is None and leg.started_at and may_have_rung and not leg.handed_by:
        yield OfferRinging(leg.started_at, call_id, leg.agent, estimated=True)
    if leg.answered_at and answered is None:
        yield OfferAnswered(leg.answered_at, call_id, leg.agent)
    if not leg.ended_at:
        return
    if was_answered:
        if talked is None:
            yield TalkEnded(leg.ended_at, call_id, leg.agent, _talk_ended_by(call, leg))
    elif unanswered is None:
        yield OfferEnded(leg.ended_at, call_id, leg.agent, reason)


def _talk_ended_by(call: _CelCall, leg: _CelLeg) -> Party:
    if call.scripted and call.harassing_at <= leg.ended_at:
        return Party.AGENT
    if leg.source == leg.channel:
        return Party.SYSTEM if leg.cause in LOST else Party.AGENT
    return Party.CALLER if _is_caller(leg.source, call) else Party.SYSTEM


def _ended_by(call_id: CallId, call: _CelCall, diary: "_Diary") -> Party:
    if call.scripted:
        return Party.AGENT
    if _is_caller(call.source, call):
        return Party.CALLER
    # The source of an earlier talk's end stays on the caller's channel; the last leg tells who ended that one.
    last = max(call.legs.values(), key=lambda leg: leg.ended_at, default=None)
    if last is not None and last.channel != call.source and _is_caller(last.source, call):
        return Party.CALLER
    talked = {
        leg.channel for leg in call.legs.values() if leg.answered_at or leg.agent in diary.answerers
    }
    if call.source not in talked | call.others:
        return Party.SYSTEM
    if (gone := diary.gone.get(call_id, 0)) > (last.ended_at if last is not None else 0):
        # After that talk they waited again. Whoever left while they waited has hung up.
        return Party.CALLER if abs(call.ended_at - gone) < SAME else Party.SYSTEM
    return Party.AGENT


def _is_caller(source: str, call: _CelCall) -> bool:
    return bool(source) and (source == call.channel or endpoint(source) == TRUNK)


def _reason(leg: _CelLeg, call: _CelCall) -> OfferReason:
    if leg.cause == WITHDRAWN:
        return OfferReason.WITHDRAWN
    if leg.source == leg.channel:
        if leg.cause in REFUSED or leg.picked_up:
            return OfferReason.REFUSED
        return OfferReason.NO_ANSWER if leg.cause == Cause.NO_ANSWER else OfferReason.UNREACHABLE
    together = call.ended_at and abs(call.ended_at - leg.ended_at) < _TOGETHER
    if leg.cause == Cause.NORMAL or (together and _is_caller(call.source, call)):
        return OfferReason.CALLER_GONE
    return OfferReason.NO_ANSWER


class _Diary:
    """What is known already, by call and agent."""

    def __init__(self, known: Iterable[Fact]) -> None:
        self.calls: set[CallId] = set()
        self.arrived: set[CallId] = set()
        self.overflowed: set[CallId] = set()
        self.ended: set[CallId] = set()
        self.harassing: set[CallId] = set()
        self.answerers: set[str] = set()
        self.gone: dict[CallId, int] = {}
        """When a waiting caller was last seen to leave, by call."""
        self.handed: set[tuple[CallId, str]] = set()
        self._facts: dict[tuple[type[Fact], CallId, str], list[Fact]] = {}
        self._open: dict[CallId, dict[str, bool]] = {}
        for fact in sorted(known, key=lambda fact: fact.at):
            call = getattr(fact, "call", "")
            # A call's recording and wrap-up may be reported long after its end, and so may who was brought in.
            if call and type(fact) not in _AFTERWARDS and not callback_of(call):
                self.calls.add(call)
                self._note(fact, call)

    def _note(self, fact: Fact, call: CallId) -> None:
        legs = self._open.setdefault(call, {})
        match fact:
            case CallArrived():
                self.arrived.add(call)
            case CallOverflowed():
                self.overflowed.add(call)
            case CallDetached(at):
                self.gone[call] = at
            case CallMarked(ended=True):
                self.harassing.add(call)
            case CallEnded() | CallRefused():
                self.ended.add(call)
            case CallTransferred(to=to):
                self.handed.add((call, to))
            case OfferMade(agent=agent):
                legs.setdefault(agent, False)
            case OfferRinging(agent=agent):
                legs.setdefault(agent, False)
                self._add(fact, call, agent)
            case OfferAnswered(agent=agent):
                legs[agent] = True
                self.answerers.add(agent)
                self._add(fact, call, agent)
            case OfferEnded(agent=agent) | TalkEnded(agent=agent):
                legs.pop(agent, None)
                self._add(fact, call, agent)

    def _add(self, fact: Fact, call: CallId, agent: str) -> None:
        self._facts.setdefault((type(fact), call, agent), []).append(fact)

    def take(
        self, kind: type[Fact], call: CallId, agent: str, first: int, last: int, *, near: int
    ) -> Fact | None:
        """Use up the known fact of this kind between two moments that is nearest to a third."""
        facts = self._facts.get((kind, call, agent), [])
        between = [fact for fact in facts if first <= fact.at <= last]
        if not between:
            return None
        nearest = min(between, key=lambda fact: abs(fact.at - near))
        facts.remove(nearest)
        return nearest

    def close(self, call: CallId, now: int, added: Iterable[Fact]) -> Iterator[Fact]:
        """End a call that vanished without a trace, and free its agents. `added`: what CEL told of this call."""
        legs = dict(self._open.get(call, {}))
        for fact in added:
            match fact:
                case OfferRinging(agent=agent):
                    legs.setdefault(agent, False)
                case OfferAnswered(agent=agent):
                    legs[agent] = True
                case OfferEnded(agent=agent) | TalkEnded(agent=agent):
                    legs.pop(agent, None)
        for agent, answered in legs.items():
            if answered:
                yield TalkEnded(now, call, agent, Party.SYSTEM)
            else:
                yield OfferEnded(now, call, agent, OfferReason.CALLER_GONE)
        yield CallEnded(now, call, Party.SYSTEM)
