"""Facts of calls → one record a call, with exactly one outcome once it has ended; of attempts, one each. Pure.

A record depends on which facts are known, not on the order in which they came. Late facts, doubles and missing facts
are all ordinary here: AMI reports some, the caller's session others, and CEL some more later.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallbackYielded,
    CallDetached,
    CallEnded,
    CallerAssigned,
    CallMarked,
    CallMoved,
    CallOverflowed,
    CallQueued,
    CallRefused,
    CallReleased,
    CallReturned,
    CallSentOutside,
    CallSilent,
    CallTransferred,
    Fact,
    HangUpExplained,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    RecordingFinished,
    SurveyHandedOver,
    SurveyLinked,
    SurveyOffered,
    SurveyRated,
    TalkEnded,
    TalkHeld,
    TalkResumed,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.offers import NO_TALK
from facts.terms import CallId, CallMark, Grade, OfferReason, Outcome, Party, Release
from facts.times import SECOND
from facts.values import value

RING = 5 * SECOND
"""One ring: 1 s of tone and 4 s of silence (GB/T 3380-1982), so three rings last 15.000 s (M4)."""

_CROSSING = SECOND
"""Microseconds: an answer this soon after the end of its offer crossed that end on the wire. The agent did pick up."""


@value
class Offer:
    """One agent's phone rung for one call. Times in microseconds, None when not known.

    `talk` is a length in microseconds, 0 for an answer that was none (`NO_TALK`). `estimated`: the moment of ringing
    is that of our INVITE, because the phone's 180 is not known. `hung_up_by`: who ended the talk.
    """

    agent: str
    made: int | None
    ringing: int | None
    answered: int | None
    ended: int | None
    reason: OfferReason | None
    talk: int
    estimated: bool
    hung_up_by: Party | None = None

    @property
    def ring(self) -> int | None:
        """M4: in which ring the agent answered, from 1; exactly 15.000 s is the fourth. None: no answer, no start."""
        began = self.ringing if self.ringing is not None else self.made
        if self.answered is None or began is None:
            return None
        return max(1, (self.answered - began) // RING + 1)


@value
class CallRecord:
    """What is known of one call. Times in microseconds UTC, None when it did not happen or is not known.

    `outcome` is None while the call has not ended: *pending*. `answered` is the first answer that led to a talk
    longer than `NO_TALK`, or that of the outside number to which the queue overflowed; `agents` are those who answered,
    in order, `talk`, `hold` (a part of it) and `wrap_up` are in microseconds, `ring` is the ring index of that first
    answer (M4). `queue`: the one in which the call waited first, or empty. `recorded`: the recording's length in
    microseconds, None when there is none (yet). `wraps`: after-call work by agent. `returned`: the controller was
    lost while the call waited. `overflowed`: the fallback queue in Asterisk took it. `estimated`: `ring` rests on the
    time of our INVITE. `cut`: the system ended the last talk, and no agent had sent the citizen on (M24). `silent`:
    the caller said nothing, and the hotline said farewell (R20). Without an agent that counts as abandoned.
    `harassing`: an agent marked the call so (R18). `scripted`: and the hotline ended it by its script (M21).
    `origin`: the citizen did not call. This is the callback attempt from which an agent transferred the citizen at
    `arrived`, and the citizen waits from then on. Such a record counts in no figure about inbound calls, only as its
    agents' work. `handed`: the agent ended the last talk by a hand-over to the survey. `left_by`: the agent who hung up
    first instead (R6), or empty; `explained`: their reason. `invited`: the agent that the citizen was asked to rate, or
    empty; `grade`: the rating.
    """

    id: CallId
    number: str
    caller: str
    arrived: int
    queued: int | None
    answered: int | None
    ended: int | None
    outcome: Outcome | None
    hung_up_by: Party | None
    agents: tuple[str, ...]
    offers: tuple[Offer, ...]
    talk: int
    ring: int | None
    returned: bool
    overflowed: bool
    estimated: bool
    silent: bool
    origin: CallId = ""
    queue: str = ""
    recorded: int | None = None
    wraps: tuple[tuple[str, int], ...] = ()
    hold: int = 0
    cut: bool = False
    handed: bool = False
    left_by: str = ""
    explained: str = ""
    invited: str = ""
    grade: Grade | None = None
    harassing: bool = False
    scripted: bool = False

    @property
    def wrap_up(self) -> int:
        """After-call work of all agents together (M9)."""
        return sum(length for _, length in self.wraps)

    @property
    def reached_queue(self) -> bool:
        """Whether the caller waited for a person: queued, or at least offered to an agent (M2, M5, M8)."""
        return self.queued is not None or bool(self.offers)

    @property
    def ringing(self) -> bool:
        """Whether an agent's phone rings for this call now."""
        return self.ended is None and any(
            offer.ringing is not None and offer.answered is None and offer.ended is None
            for offer in self.offers
        )

    @property
    def talking(self) -> bool:
        """Whether an agent talks to the caller now."""
        return self.ended is None and any(_talking(offer) for offer in self.offers)


@value
class AttemptRecord:
    """One attempt of a callback, as the agents' figures count it. Times in microseconds UTC, None when not known.

    `arrived` is when it was placed, and so the period it counts in; `dialled` when the agent had picked up.
    """

    id: CallId
    agent: str
    arrived: int
    dialled: int | None
    answered: int | None
    ended: int | None
    wraps: tuple[tuple[str, int], ...]
    queue: str = ""
    number: str = ""

    @property
    def outbound(self) -> int:
        """M10: how long the agent was busy with it, without its wrap-up; 0 before its end (microseconds)."""
        began = self.dialled if self.dialled is not None else self.answered
        if began is None or self.ended is None:
            return 0
        return max(0, self.ended - began)


Item: TypeAlias = CallRecord | AttemptRecord


class CallerStage(StrEnum):
    """Where a caller is whose call goes on: what the screens count."""

    GREETING = "greeting"
    WAITING = "waiting"
    RINGING = "ringing"
    TALKING = "talking"
    AFTER_TALK = "after_talk"


class Sketch(NamedTuple):
    """What the live figures need to know of a call that goes on: a tenth of the cost of its `CallRecord`.

    `arrived`, `queued`, `answered` and `reached_queue` are those of `CallRecord`; `inbound`: it has no `origin`.
    """

    arrived: int
    queued: int | None
    answered: int | None
    reached_queue: bool
    stage: CallerStage
    inbound: bool = True


class CallHistory:
    """The facts of one call, or attempt, that are known so far. Adding one twice changes nothing.

    `ended`: its end is among them. `last`: the latest time of any (microseconds). A call's facts are folded as they
    come, as long as they come in the order of time. After a late fact all are folded again, but only when the record is
    asked for: until then further facts cost nothing.
    """

    __slots__ = (
        *("_arrived", "_attempt", "_call", "_facts", "_latest", "_placed", "_record", "_stale"),
        *("ended", "last"),
    )

    def __init__(self) -> None:
        self.ended = False
        self.last = 0
        self._facts: dict[Fact, None] = {}
        self._call: _CallFold | None = None
        self._latest: Fact | None = None
        self._attempt = self._arrived = self._placed = False
        self._record: Item | None = None
        self._stale = False

    def add(self, fact: Fact) -> None:
        """Take one fact, in any order."""
        if fact in self._facts:
            return
        self._facts[fact] = None
        self._stale = True
        kind = type(fact)
        if kind in _ENDS:
            self.ended = True
        if kind in _ATTEMPT:
            self._attempt = True
            self._placed = self._placed or kind is CallbackPlaced
        elif kind is CallArrived:
            self._arrived = True
        latest = self._latest
        if latest is None:
            self._call = _CallFold()
        elif fact.at < self.last or (fact.at == self.last and _order(fact) <= _order(latest)):
            self._call = None
            return
        self._latest = fact
        self.last = fact.at
        if self._call is not None:
            self._call.add(fact)

    @property
    def facts(self) -> Collection[Fact]:
        """All of them, in the order in which they came."""
        return self._facts.keys()

    @property
    def begun(self) -> bool:
        """Whether the arrival, or the placing, is among them, so that there is a record."""
        return self._placed if self._attempt else self._arrived

    def record(self) -> Item | None:
        """What the facts say, or None as long as the arrival or the placing is not among them."""
        if self._stale:
            self._record = attempt_of(self._facts) if self._attempt else self._folded().freeze()
            self._stale = False
        return self._record

    def sketch(self) -> Sketch | None:
        """A short record of a call that goes on; None for an attempt, and until the arrival is known."""
        return None if self._attempt else self._folded().sketch()

    def _folded(self) -> "_CallFold":
        if self._call is None:
            self._call = _folded(sorted(self._facts, key=_order))
        return self._call


def fold_call(calls: dict[CallId, CallHistory], fact: Fact) -> CallHistory | None:
    """Add a fact to its call in `calls` and give that call's history; None for a fact that is not of `KINDS`."""
    if type(fact) not in _ORDER:
        return None
    call: CallId = fact.call  # type: ignore[union-attr]  # every kind in _ORDER has it
    if not call:
        return None
    history = calls.get(call)
    if history is None:
        history = calls[call] = CallHistory()
    history.add(fact)
    return history


def item_of(facts: Iterable[Fact]) -> Item | None:
    """Fold the facts of one call, or of one attempt, given in any order."""
    known = list(facts)
    if any(type(fact) in _ATTEMPT for fact in known):
        return attempt_of(known)
    return record_of(known)


def attempt_of(facts: Iterable[Fact]) -> AttemptRecord | None:
    """Fold the facts of one attempt, given in any order. None when its placing is not among them."""
    ordered = sorted({fact for fact in facts if type(fact) in _ORDER}, key=_order)
    placed = next((fact for fact in ordered if isinstance(fact, CallbackPlaced)), None)
    if placed is None:
        return None
    times: dict[type, int] = {}
    for fact in ordered:
        times.setdefault(type(fact), fact.at)
    ends = [at for at in (times.get(CallbackEnded), times.get(CallbackYielded)) if at is not None]
    return AttemptRecord(
        id=placed.call,
        agent=placed.agent,
        arrived=placed.at,
        dialled=times.get(CallbackDialling),
        answered=times.get(CallbackAnswered),
        ended=min(ends, default=None),
        wraps=wrap_ups(ordered),
    )


def record_of(facts: Iterable[Fact]) -> CallRecord | None:
    """Fold the facts of one call, given in any order. None when its arrival is not among them."""
    known = [fact for fact in facts if type(fact) in _ORDER]
    if not _in_order(known):
        known = sorted(set(known), key=_order)
    return _folded(known).freeze()


def _in_order(facts: Iterable[Fact]) -> bool:
    """Whether each fact comes after the one before, so that none is there twice. It costs a third of sorting them."""
    last, last_rank = 0, -1
    for fact in facts:
        at, rank = fact.at, _ORDER[type(fact)][0]
        if at < last or (at == last and rank <= last_rank):
            return False
        last, last_rank = at, rank
    return True


def _folded(ordered: Iterable[Fact]) -> "_CallFold":
    call = _CallFold()
    for fact in ordered:
        call.add(fact)
    return call


class _CallFold:
    """A call while its facts are being read, each once, in the order of `_order`."""

    __slots__ = (
        *("_arrival", "_end", "_holds", "_offers", "_outside", "_overflowed", "_queue", "_queued"),
        *("_recorded", "_refused", "_released", "_returned", "_sent_on", "_silent", "_wraps"),
        *("_explained", "_grade", "_handed", "_invited", "_harassing", "_scripted"),
    )

    def __init__(self) -> None:
        self._arrival: CallArrived | None = None
        self._queued: int | None = None
        self._overflowed: int | None = None
        self._outside: int | None = None
        self._released: Release | None = None
        self._silent = False
        self._harassing = False
        self._scripted = False
        self._refused = False
        self._end: CallEnded | None = None
        self._returned = False
        self._queue = ""
        self._recorded: int | None = None
        self._wraps: _WrapUps | None = None
        self._holds: list[TalkHeld | TalkResumed] = []
        self._sent_on: CallTransferred | None = None
        self._offers = _Offers()
        self._handed = ""
        self._explained: dict[str, str] | None = None
        self._invited = ""
        self._grade: Grade | None = None

    def add(self, fact: Fact) -> None:
        """Take the next fact."""
        take = _TAKE.get(type(fact))
        if take is not None:
            take(self, fact)

    def arrived(self, fact: CallArrived) -> None:
        self._arrival = self._arrival or fact

    def queued(self, fact: CallQueued) -> None:
        self._wait(fact.at)
        self._queue = self._queue or fact.queue

    def returned(self, fact: CallReturned) -> None:
        self._wait(fact.queued_at)
        self._returned = True
        self._offers.dial_is_over(fact.at)

    def overflowed(self, fact: CallOverflowed) -> None:
        self._overflowed = fact.at if self._overflowed is None else self._overflowed
        self._offers.dial_is_over(fact.at)

    def sent_outside(self, fact: CallSentOutside) -> None:
        if fact.answered:
            self._outside = fact.at if self._outside is None else self._outside

    def offer_made(self, fact: OfferMade) -> None:
        self._offers.made(fact)

    def offer_ringing(self, fact: OfferRinging) -> None:
        self._offers.ringing(fact)

    def offer_answered(self, fact: OfferAnswered) -> None:
        self._offers.answered(fact)

    def offer_ended(self, fact: OfferEnded) -> None:
        self._offers.ended(fact)

    def talk_ended(self, fact: TalkEnded) -> None:
        self._offers.talk_ended(fact)

    def held(self, fact: TalkHeld | TalkResumed) -> None:
        self._holds.append(fact)

    def transferred(self, fact: CallTransferred) -> None:
        if fact.to:
            self._sent_on = fact

    def wrapped_up(self, fact: WrapUpStarted | WrapUpEnded) -> None:
        self._wraps = self._wraps or _WrapUps()
        self._wraps.add(fact)

    def recorded(self, fact: RecordingFinished) -> None:
        self._recorded = max(self._recorded or 0, fact.duration)

    def handed_over(self, fact: SurveyHandedOver) -> None:
        self._handed = fact.agent

    def invited(self, fact: SurveyOffered | SurveyLinked) -> None:
        self._invited = self._invited or fact.agent

    def rated(self, fact: SurveyRated) -> None:
        self._grade = self._grade or fact.grade

    def explained(self, fact: HangUpExplained) -> None:
        self._explained = {**(self._explained or {}), fact.agent: fact.reason}

    def was_silent(self, fact: CallSilent) -> None:
        self._silent = True

    def marked(self, fact: CallMarked) -> None:
        self._harassing = self._harassing or fact.mark is CallMark.HARASSING
        self._scripted = self._scripted or (fact.mark is CallMark.HARASSING and fact.ended)

    def released(self, fact: CallReleased) -> None:
        self._released = self._released or fact.reason

    def refused(self, fact: CallRefused) -> None:
        self._refused = True
        self._end = self._end or CallEnded(fact.at, fact.call, Party.SYSTEM)

    def ended(self, fact: CallEnded) -> None:
        self._end = self._end or fact

    def sketch(self) -> Sketch | None:
        """What is known while the call goes on."""
        if self._arrival is None:
            return None
        queued = self._waits_since(self._arrival)
        answered: int | None = None
        ringing = talking = False
        offers = self._offers.all
        for offer in offers:
            if offer.answered is None:
                ringing = ringing or (offer.ringing is not None and offer.ended is None)
                continue
            if offer.ended is None:
                talking = True
            elif offer.ended - offer.answered <= NO_TALK:
                continue
            answered = offer.answered if answered is None else answered
        if answered is None:
            answered = self._outside
        reached_queue = queued is not None or bool(offers)
        if talking:
            stage = CallerStage.TALKING
        elif answered is not None:
            stage = CallerStage.AFTER_TALK
        elif not reached_queue:
            stage = CallerStage.GREETING
        else:
            stage = CallerStage.RINGING if ringing else CallerStage.WAITING
        inbound = not self._arrival.origin
        return Sketch(self._arrival.at, queued, answered, reached_queue, stage, inbound)

    def freeze(self) -> CallRecord | None:
        """The record, with its outcome once the call has ended; None until the arrival is known."""
        arrival, end = self._arrival, self._end
        if arrival is None:
            return None
        queued = self._waits_since(arrival)
        ended = end.at if end is not None else None
        if queued is not None and ended is not None and queued > ended:
            queued = None  # the caller hung up first; the session reported the end of the greeting too late
        made = tuple([one.freeze(ended) for one in self._offers.all if not one.is_too_late(ended)])
        talks = [offer for offer in made if offer.talk or (ended is None and _talking(offer))]
        first = talks[0] if talks else None
        if end is None:
            outcome = None
        elif first is not None:
            outcome = Outcome.HUMAN
        else:
            outcome = self._outcome_without_agent(end, made, queued)
        left_by = self._left_by(talks, end) if end is not None and talks else ""
        return CallRecord(
            id=arrival.call,
            number=arrival.number,
            caller=arrival.caller,
            arrived=arrival.at,
            queued=queued,
            answered=first.answered if first is not None else self._outside,
            ended=ended,
            outcome=outcome,
            hung_up_by=end.hung_up_by if end is not None else None,
            agents=tuple(dict.fromkeys([offer.agent for offer in talks])),
            offers=made,
            talk=sum([offer.talk for offer in talks]),
            ring=first.ring if first is not None else None,
            returned=self._returned,
            overflowed=self._overflowed is not None,
            estimated=first is not None and first.estimated,
            silent=self._silent,
            origin=arrival.origin,
            queue=self._queue or arrival.queue,
            recorded=self._recorded,
            wraps=self._wraps.lengths() if self._wraps is not None else (),
            hold=_held(self._holds, talks, ended) if self._holds else 0,
            cut=end is not None and bool(talks) and self._is_cut(talks[-1], end),
            handed=bool(talks) and self._handed == talks[-1].agent,
            left_by=left_by,
            explained=(self._explained or {}).get(left_by, ""),
            invited=self._invited,
            grade=self._grade if self._invited else None,
            harassing=self._harassing,
            scripted=self._scripted and end is not None and end.hung_up_by is not Party.CALLER,
        )

    def _outcome_without_agent(
        self, end: CallEnded, made: Sequence[Offer], queued: int | None
    ) -> Outcome:
        """The outcome of an ended call with which no agent talked: the first that fits, in this order."""
        if self._refused:
            return Outcome.NO_CAPACITY
        if self._outside is not None:
            return Outcome.HUMAN_OVERFLOW
        if self._released is not None:
            return _RELEASED[self._released]
        if end.hung_up_by is not Party.CALLER and not self._silent:
            return Outcome.SYSTEM_FAILURE
        if any(_rang_to_the_end(offer, end.at) for offer in made):
            return Outcome.ABANDONED_RINGING
        if queued is not None or made:
            return Outcome.ABANDONED_QUEUE
        return Outcome.ABANDONED_GREETING

    def _is_cut(self, last: Offer, end: CallEnded) -> bool:
        if self._scripted:
            return False
        by = last.hung_up_by or end.hung_up_by
        return by is Party.SYSTEM and not self._is_sent_on(last)

    def _is_sent_on(self, last: Offer) -> bool:
        """Whether the agent of the last talk has sent the citizen on. They may have got the citizen that way."""
        sent = self._sent_on
        return sent is not None and sent.at >= (last.answered or 0) and sent.to != last.agent

    def _left_by(self, talks: Sequence[Offer], end: CallEnded) -> str:
        """The agent who ended the last talk themself: no hand-over, nobody else to talk to, no silent caller (R20)."""
        last = talks[-1]
        if (last.hung_up_by or end.hung_up_by) is not Party.AGENT or self._silent or self._scripted:
            return ""
        outside = self._outside is not None and self._outside >= (last.answered or 0)
        stays = self._is_sent_on(last) or outside or self._handed == last.agent
        return "" if stays else last.agent

    def _waits_since(self, arrival: CallArrived) -> int | None:
        if arrival.origin:
            return arrival.at
        return self._overflowed if self._queued is None else self._queued

    def _wait(self, since: int) -> None:
        self._queued = since if self._queued is None else min(self._queued, since)


_TAKE: dict[type[Fact], Callable[[_CallFold, Any], None]] = {
    CallArrived: _CallFold.arrived,
    CallQueued: _CallFold.queued,
    CallReturned: _CallFold.returned,
    CallOverflowed: _CallFold.overflowed,
    CallSentOutside: _CallFold.sent_outside,
    OfferMade: _CallFold.offer_made,
    OfferRinging: _CallFold.offer_ringing,
    OfferAnswered: _CallFold.offer_answered,
    OfferEnded: _CallFold.offer_ended,
    TalkEnded: _CallFold.talk_ended,
    TalkHeld: _CallFold.held,
    TalkResumed: _CallFold.held,
    CallTransferred: _CallFold.transferred,
    WrapUpStarted: _CallFold.wrapped_up,
    WrapUpEnded: _CallFold.wrapped_up,
    RecordingFinished: _CallFold.recorded,
    CallSilent: _CallFold.was_silent,
    SurveyHandedOver: _CallFold.handed_over,
    SurveyOffered: _CallFold.invited,
    SurveyLinked: _CallFold.invited,
    SurveyRated: _CallFold.rated,
    HangUpExplained: _CallFold.explained,
    CallMarked: _CallFold.marked,
    CallReleased: _CallFold.released,
    CallRefused: _CallFold.refused,
    CallEnded: _CallFold.ended,
}
"""What each kind of fact changes in a call. The other kinds change nothing in its record."""


def _held(
    facts: Iterable[TalkHeld | TalkResumed], talks: Sequence[Offer], ended: int | None
) -> int:
    """How long the citizen was on hold in these talks (microseconds); a hold ends with its talk at the latest."""
    held: dict[str, int] = {}
    stretches: list[tuple[str, int, int]] = []
    for fact in facts:
        if isinstance(fact, TalkHeld):
            held.setdefault(fact.agent, fact.at)
        elif fact.agent in held:
            stretches.append((fact.agent, held.pop(fact.agent), fact.at))
    stretches += [(agent, at, _NEVER) for agent, at in held.items()]
    total = 0
    for agent, begin, end in stretches:
        for talk in talks:
            ends = [at for at in (talk.ended, ended) if at is not None]
            if talk.agent == agent and talk.answered is not None and ends:
                total += max(0, min(end, *ends) - max(begin, talk.answered))
    return total


_NEVER = 1 << 62


def wrap_ups(facts: Iterable[Fact]) -> tuple[tuple[str, int], ...]:
    """After-call work of one call or attempt, from its facts in any order: (agent, microseconds), by agent."""
    found = _WrapUps()
    for fact in sorted({one for one in facts if type(one) in _WRAPS}, key=_order):
        found.add(fact)
    return found.lengths()


class _WrapUps:
    """After-call work by agent. If its end is not known, it lasts until `WrapUpStarted.until`."""

    def __init__(self) -> None:
        self._lengths: dict[str, int] = {}
        self._open: dict[str, WrapUpStarted] = {}

    def add(self, fact: Fact) -> None:
        if isinstance(fact, WrapUpStarted):
            self._open[fact.agent] = fact
        elif isinstance(fact, WrapUpEnded):
            began = self._open.pop(fact.agent, None)
            if began is not None:
                self._lengths[fact.agent] = self._lengths.get(fact.agent, 0) + fact.at - began.at

    def lengths(self) -> tuple[tuple[str, int], ...]:
        lengths = dict(self._lengths)
        for agent, began in self._open.items():
            meant = max(0, began.until - began.at)
            lengths[agent] = lengths.get(agent, 0) + meant
        return tuple(sorted(lengths.items()))


_RELEASED = {
    Release.TIMED_OUT: Outcome.TIMED_OUT,
    Release.QUEUE_FULL: Outcome.QUEUE_FULL,
    Release.CLOSED_HOURS: Outcome.CLOSED_HOURS,
    Release.BLOCKED: Outcome.BLOCKED,
    Release.SYSTEM_FAILURE: Outcome.SYSTEM_FAILURE,
}


def _talking(offer: Offer) -> bool:
    return offer.answered is not None and offer.ended is None


def _rang_to_the_end(offer: Offer, ended: int) -> bool:
    """Whether this phone was ringing when the caller hung up at `ended`.

    An offer that was made but did not ring yet does not count: that caller left the queue. Asterisk takes the agent's
    leg down before it reports that the caller's channel is gone, so an offer that ended *because* the caller went
    counts. So does an answer in whose first second the caller hung up.
    """
    if offer.answered is not None and offer.hung_up_by is Party.CALLER:
        return True
    if offer.ringing is None or offer.ringing > ended:
        return False
    return offer.ended is None or offer.ended >= ended or offer.reason is OfferReason.CALLER_GONE


class _Offers:
    """The offers of one call, built from its facts in the order of their times."""

    def __init__(self) -> None:
        self.all: list[_Offer] = []
        self._last: dict[str, _Offer] = {}

    def made(self, fact: OfferMade) -> None:
        offer = self._last.get(fact.agent)
        if offer is not None and offer.made is None and offer.ended is None:
            offer.made = (
                fact.at
            )  # two clocks: Asterisk says "ringing" a moment before we say "offered"
            return
        # The floor makes one offer at a time. So the end of the previous one was lost, and was no later than this.
        self.dial_is_over(fact.at)
        if offer is not None and offer.ended is None:
            offer.ended = fact.at
        self._open(fact.agent).made = fact.at

    def ringing(self, fact: OfferRinging) -> None:
        offer = self._last.get(fact.agent)
        if offer is None or offer.ended is not None:
            offer = self._open(fact.agent)
        if offer.ringing is None or (offer.estimated and not fact.estimated):
            offer.ringing, offer.estimated = fact.at, fact.estimated

    def answered(self, fact: OfferAnswered) -> None:
        offer = self._last.get(fact.agent)
        if offer is None or (offer.ended is not None and not self._crossed(offer, fact.at)):
            offer = self._open(fact.agent)
        if offer.answered is None:
            offer.answered, offer.ended, offer.reason = fact.at, None, None

    def ended(self, fact: OfferEnded) -> None:
        offer = self._last.get(fact.agent)
        if offer is None:
            offer = self._open(fact.agent)
        if offer.answered is not None:
            return
        if offer.ended is None or offer.reason is None:
            offer.ended, offer.reason = fact.at, fact.reason
        elif fact.reason is OfferReason.CALLER_GONE and fact.at - offer.ended <= _CROSSING:
            offer.reason = (
                fact.reason
            )  # AMI and the session both report the end: this one knows the reason

    def talk_ended(self, fact: TalkEnded) -> None:
        offer = self._last.get(fact.agent)
        if offer is not None and offer.answered is not None and offer.ended is None:
            offer.ended, offer.by = fact.at, fact.hung_up_by

    def dial_is_over(self, at: int) -> None:
        """Every phone has stopped ringing, even if no fact says so."""
        for offer in self._last.values():
            if offer.answered is None and offer.ended is None:
                offer.ended = at

    @staticmethod
    def _crossed(offer: "_Offer", at: int) -> bool:
        if offer.answered is not None or offer.ended is None:
            return False
        return offer.reason is None or at - offer.ended <= _CROSSING

    def _open(self, agent: str) -> "_Offer":
        offer = self._last[agent] = _Offer(agent)
        self.all.append(offer)
        return offer


@dataclass(slots=True)
class _Offer:
    """An offer while its facts are being read."""

    agent: str
    made: int | None = None
    ringing: int | None = None
    answered: int | None = None
    ended: int | None = None
    reason: OfferReason | None = None
    estimated: bool = False
    by: Party | None = None

    def is_too_late(self, call_ended: int | None) -> bool:
        """Whether it was made after the caller had hung up, which was not known yet, and no phone rang before."""
        if call_ended is None or (self.made is not None and self.made <= call_ended):
            return False
        began = [at for at in (self.made, self.ringing, self.answered) if at is not None]
        return bool(began) and min(began) > call_ended

    def freeze(self, call_ended: int | None) -> Offer:
        """The offer with the length of its talk, which is over at the latest when the caller's channel is gone."""
        talk = 0
        end = self.ended
        if end is None or (call_ended is not None and call_ended < end):
            end = call_ended
        if self.answered is not None and end is not None:
            talk = end - self.answered
        return Offer(
            agent=self.agent,
            made=self.made,
            ringing=self.ringing,
            answered=self.answered,
            ended=self.ended,
            reason=self.reason,
            talk=talk if talk > NO_TALK else 0,
            hung_up_by=self.by,
            estimated=self.estimated or self.ringing is None,
        )


_ORDER: dict[type[Fact], tuple[int, Callable[[Any], Any]]] = {
    kind: (rank, attrgetter(*names))
    for rank, (kind, names) in enumerate(
        {
            CallArrived: ("number", "caller", "origin", "queue"),
            CallQueued: ("queue",),
            CallReturned: ("queued_at", "queue"),
            CallOverflowed: ("call",),
            OfferMade: ("agent",),
            OfferRinging: ("agent", "estimated"),
            OfferAnswered: ("agent",),
            OfferEnded: ("agent", "reason"),
            TalkEnded: ("agent", "hung_up_by"),
            CallReleased: ("reason",),
            CallSentOutside: ("number", "answered"),
            CallSilent: ("call",),
            SurveyHandedOver: ("agent", "why", "by"),
            SurveyOffered: ("agent",),
            SurveyLinked: ("agent", "token"),
            SurveyRated: ("agent", "grade", "way"),
            HangUpExplained: ("agent", "reason", "by"),
            CallMarked: ("mark", "ended"),
            TalkHeld: ("agent",),
            TalkResumed: ("agent",),
            WrapUpStarted: ("agent", "until"),
            WrapUpEnded: ("agent",),
            RecordingFinished: ("duration",),
            CallbackPlaced: ("agent",),
            CallbackDialling: ("agent",),
            CallbackAnswered: ("agent",),
            CallbackYielded: ("agent",),
            CallbackEnded: ("agent", "failure"),
            CallTransferred: ("agent", "to", "attended"),
            CallMoved: ("queue",),
            CallerAssigned: ("agent",),
            CallDetached: ("call",),
            CallEnded: ("hung_up_by", "cause"),
            CallRefused: ("status",),
        }.items()
    )
}
"""The kinds of fact that a record is made from. Within one microsecond: in this order, then by these fields.

Nothing in a record depends on `CallMoved`, `CallerAssigned` and `CallDetached`: they are kept for the waits
(`metrics.callbacks`).
"""


_ATTEMPT = frozenset(
    {CallbackPlaced, CallbackDialling, CallbackAnswered, CallbackYielded, CallbackEnded}
)
_ENDS = frozenset({CallEnded, CallRefused, CallbackEnded, CallbackYielded})
_WRAPS = frozenset({WrapUpStarted, WrapUpEnded})

KINDS = frozenset(kind.kind for kind in _ORDER)
"""Their names in the diary."""


def _order(fact: Fact) -> tuple[int, int, Any]:
    rank, fields = _ORDER[type(fact)]
    return fact.at, rank, fields(fact)
