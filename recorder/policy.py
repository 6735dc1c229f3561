"""What a recording is worth, and where it lies. Pure: times come in, a verdict comes out.

A call id names files, so nothing that is not exactly a call id ever gets into a path.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackRaced,
    CallbackYielded,
    CallEnded,
    Fact,
    OfferAnswered,
    PartyAsked,
    PartyFailed,
    PartyLeft,
    RecordingFinished,
    RecordingMissing,
    RecordingPaused,
    RecordingResumed,
    TalkEnded,
)
from facts.ids import callback_of, is_attempt, is_call_id, second_of
from facts.parties import PartyKind
from facts.terms import CallId, Party
from facts.times import SECOND, local

RATE = 8000
"""Samples a second, on each of two sides."""
FRAME = 4
"""Bytes of one sample of both sides: 16 bits left, 16 bits right."""

TOLERANCE = SECOND // 2
"""A recording may be this much shorter than the talk (M23)."""
GAP = SECOND
"""A recording that lacks more than this of the whole call has a gap, even if the talk is covered (R45)."""
EXCESS = 2 * SECOND
"""A recording that is longer than its call by more than this is not that call's sound."""

SETTLED = 2 * SECOND
"""An ended call's raw file that has not changed for this long is complete."""
ABANDONED = 300 * SECOND
"""Without a known end of the call, its raw file is complete when it has not changed for this long. While the call goes
on, music, prompts and holds all write to it."""
GRACE = 10 * SECOND
"""A call that ended this long ago and has no raw file has no recording."""

_A_FOLDER = 1000


class RecordingState(StrEnum):
    """What the ledger says about a call's recording.

    finished   whole, or it lacks nothing of a talk
    cut_off    Asterisk or the machine died in the call: what had been written is there
    short      it lacks some of a talk
    missing    there is none
    damaged    it cannot be relied on
    """

    FINISHED = "finished"
    CUT_OFF = "cut_off"
    SHORT = "short"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Times:
    """What the diary knows about a call, in microseconds UTC; None where it knows nothing.

    `talk` is the time with agents, in microseconds; 0 without an answer. `paused` is the time of it for which agents
    paused the recording. `cut`: the call's end has no cause, as when the controller ends a call that it finds gone:
    Asterisk, or the machine, had died.
    """

    arrived: int | None = None
    ended: int | None = None
    talk: int = 0
    paused: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """One agent's talk with the citizen, from answer to end, in microseconds UTC."""

    agent: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class RecordingVerdict:
    """A judged recording. `alarm`: a person must look at it. `why`: a sentence for the operator, or empty."""

    state: RecordingState
    why: str = ""
    alarm: bool = False


def place(call: CallId, form: str = "wav") -> str:
    """Where the call's file lies below the recordings folder: `2025/11/21/hotline-1763731200.17.wav`.

    `form`: what its name ends with (`recorder.forms.RecordingForm`).

    The day is the day in China on which the call came in; Asterisk puts that second into the id, so the place follows
    from the id alone. A callback's id has no time: its attempts lie with those of its thousand,
    `callbacks/000/hotline-c7.1.wav`. Raises `ValueError` for anything that is not a call id.
    """
    if not is_call_id(call):
        raise ValueError(f"{call[:100]!r} is not a call id")
    if is_attempt(call):
        return f"callbacks/{callback_of(call) // _A_FOLDER:03}/{call}.{form}"
    return f"{local(second_of(call) * SECOND):%Y/%m/%d}/{call}.{form}"


def times(facts: Iterable[Fact]) -> Times:
    """Fold one call's facts, in any order, into the times that a recording is measured by.

    Talks with several agents add up (`talks`). A callback attempt begins when the citizen is dialled, and a yield ends
    it. An emergency (R16) goes on after its citizen was dropped, and a callback after its agent has left, until the
    last of those who were brought in has left.
    """
    known = list(facts)
    arrived: int | None = None
    ended: int | None = None
    cut = False
    left = [fact.at for fact in known if isinstance(fact, PartyLeft)]
    for fact in known:
        match fact:
            case CallArrived() | CallbackDialling():
                arrived = fact.at if arrived is None else min(arrived, fact.at)
            case CallEnded(hung_up_by=Party.SYSTEM, cause=0):
                # A farewell after an agent's phone was busy has none either: then the sound reaches to the end.
                cut = True
                ended = fact.at if ended is None else min(ended, fact.at)
            case CallEnded() | CallbackEnded() | CallbackYielded() | CallbackRaced():
                ended = fact.at if ended is None else min(ended, fact.at)
    if ended is not None and any(_outlasts(fact) for fact in known):
        ended = max([ended, *left])
    talked = talks(known, ended)
    return Times(
        arrived,
        ended,
        sum(one.end - one.begin for one in talked),
        sum(one.end - one.begin for one in pauses(known, talked)),
        cut,
    )


def goes_on(facts: Iterable[Fact]) -> bool:
    """Whether an emergency (R16) or a callback is not over: somebody who was brought in is there, or is being called.

    Its recording goes on then without the channel that was recorded first, and is not complete. Facts of one call, in
    any order.
    """
    known = list(facts)
    over = {fact.party for fact in known if isinstance(fact, PartyLeft | PartyFailed)}
    asked = {fact.party for fact in known if isinstance(fact, PartyAsked)}
    return any(_outlasts(fact) for fact in known) and not asked <= over


def _outlasts(fact: Fact) -> bool:
    """Whether the talk with this party is recorded on, without the channel that was recorded until then."""
    return isinstance(fact, PartyAsked) and (
        fact.who is PartyKind.EMERGENCY or is_attempt(fact.call)
    )


def talks(facts: Iterable[Fact], ended: int | None) -> list[Stretch]:
    """The talks of one call, from its facts in any order, by agent and time.

    A talk whose end is not known lasts until `ended`, the call's end; without that either, it is left out.
    """
    starts: dict[str, list[int]] = {}
    stops: dict[str, list[int]] = {}
    for fact in facts:
        match fact:
            case OfferAnswered() | CallbackAnswered():
                starts.setdefault(fact.agent, []).append(fact.at)
            case TalkEnded():
                stops.setdefault(fact.agent, []).append(fact.at)
    found = []
    for agent, began in starts.items():
        over = sorted(stops.get(agent, []))
        last = -1
        for start in sorted(set(began)):
            if start < last:
                continue  # reported twice, by AMI and by CEL
            stop = next((at for at in over if at >= start), ended)
            if stop is not None:
                last = stop
                found.append(Stretch(agent, start, max(start, stop)))
    return found


def pauses(facts: Iterable[Fact], talked: Iterable[Stretch]) -> list[Stretch]:
    """When agents paused the recording, from one call's facts in any order. `talked`: what `talks` gives.

    A pause ends with its talk at the latest, even if nobody told of its end.
    """
    told = sorted(
        (fact for fact in facts if isinstance(fact, RecordingPaused | RecordingResumed)),
        key=lambda fact: (fact.at, fact.kind),
    )
    found = []
    for talk in talked:
        since: int | None = None
        for fact in told:
            if fact.agent != talk.agent or not talk.begin <= fact.at <= talk.end:
                continue
            if isinstance(fact, RecordingPaused):
                since = fact.at if since is None else since
            elif since is not None:
                found.append(Stretch(talk.agent, since, fact.at))
                since = None
        if since is not None:
            found.append(Stretch(talk.agent, since, talk.end))
    return found


def is_due(*, now: int, changed: int, ended: int | None) -> bool:
    """Say whether a raw file may be finished. `changed`: its last change; `ended`: the call's end, None if unknown."""
    quiet = now - changed
    if ended is None:
        return quiet >= ABANDONED
    # An end that is still to come: the clock was put back.
    return quiet >= SETTLED and not 0 <= now - ended < SETTLED


def judge(known: Times, duration: int, fault: str = "", *, torn: bool = False) -> RecordingVerdict:
    """Say what a recording of `duration` microseconds is worth. `fault`: why its file cannot be read.

    Short: it lacks more than `TOLERANCE` of the talk (M23). A gap elsewhere in the call, or a call that the diary does
    not know, leaves it finished, with a remark. A pause is silence of its own length, so it makes nothing shorter; the
    remark tells of it. `torn`: the raw file ended within a sample, which only a crash does.
    """
    verdict = _judge(known, duration, fault, torn=torn)
    if not known.paused or duration == 0:
        return verdict
    paused = f"agents paused the recording for {_seconds(known.paused)} s"
    return replace(verdict, why="; ".join(filter(None, [verdict.why, paused])))


def _judge(known: Times, duration: int, fault: str, *, torn: bool) -> RecordingVerdict:
    if fault:
        return RecordingVerdict(RecordingState.DAMAGED, fault, alarm=True)
    if duration == 0:
        if known.talk:
            return RecordingVerdict(
                RecordingState.MISSING,
                "the call was answered, but no sound was recorded",
                alarm=True,
            )
        return RecordingVerdict(
            RecordingState.MISSING, "no sound: the call ended before an agent answered"
        )
    span = _span(known)
    if why := _cut_off(known, duration, torn=torn):
        if span is None or duration <= span + EXCESS:
            lost = known.talk - duration
            if lost > TOLERANCE:
                why += f"; {_seconds(lost)} s of the talk are missing"
            return RecordingVerdict(RecordingState.CUT_OFF, why, alarm=True)
    elif duration < known.talk - TOLERANCE:
        return RecordingVerdict(
            RecordingState.SHORT,
            f"{_seconds(known.talk - duration)} s of the talk are missing",
            alarm=True,
        )
    if span is None:
        return RecordingVerdict(
            RecordingState.FINISHED, "the diary does not know the whole of this call"
        )
    if duration > span + EXCESS:
        return RecordingVerdict(
            RecordingState.DAMAGED,
            f"{_seconds(duration - span)} s longer than the call: not this call's sound alone",
            alarm=True,
        )
    if duration < span - GAP:
        return RecordingVerdict(
            RecordingState.FINISHED,
            f"{_seconds(span - duration)} s of the call are missing",
            alarm=True,
        )
    return RecordingVerdict(RecordingState.FINISHED)


def conclude(
    call: CallId, verdict: RecordingVerdict, *, at: int, talk: int, duration: int, sha256: str
) -> list[Fact]:
    """The facts that follow from a verdict: there is sound; the talk is not recorded in full."""
    facts: list[Fact] = []
    if sha256:
        facts.append(RecordingFinished(at, call, duration, sha256))
    if verdict.state is RecordingState.CUT_OFF:
        falls_short = duration < talk - TOLERANCE
    else:
        falls_short = verdict.state is not RecordingState.FINISHED and bool(talk)
    if falls_short or verdict.state is RecordingState.DAMAGED:
        facts.append(RecordingMissing(at, call, verdict.why))
    return facts


def _span(known: Times) -> int | None:
    """How long the call lasted, if that is known."""
    if known.arrived is None or known.ended is None:
        return None
    return max(0, known.ended - known.arrived)


def _cut_off(known: Times, duration: int, *, torn: bool) -> str:
    """Why a recording is cut off, or nothing."""
    span = _span(known)
    if known.cut and span is not None and span - duration > GAP:
        return "cut off: Asterisk or the machine died in the call"
    if known.arrived is not None and known.ended is None:
        return "cut off: nothing told of the call's end"
    if torn:
        return "cut off: Asterisk or the machine died while it wrote"
    return ""


def _seconds(microseconds: int) -> str:
    return f"{microseconds / SECOND:.1f}"
