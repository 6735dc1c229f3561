"""Is every answered second of a call on record, and if not, which entry says why? Pure.

One call's facts, its row of the ledger and what its file holds come in. What falls short (`AuditFinding`) and what is
not in the file for a known reason (`Unrecorded`) come out. `metrics.completeness` asks for a whole day.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from facts import CallerAsked, CallerFound, CallRefused, CallSilent, Fact, TalkHeld, TalkResumed
from facts.terms import CallId
from facts.times import SECOND
from recorder import policy
from recorder.policy import GAP, TOLERANCE, RecordingState, Stretch, Times

WINDOW: Final = SECOND // 10
"""Microseconds of sound that are one byte of `Levels`."""
LEVEL: Final = 128
"""A side is heard in a window if one sample of it reaches this (of 32,768: -48 dB). Digital silence of A-law is 8."""

NO_MEDIA: Final = SECOND * 55 // 100
"""Asterisk waits at most so long for the first sound of a citizen's telephone before it goes on, and records."""
SEAM: Final = SECOND // 10
"""Each talk after the first begins with a new MixMonitor (`Switch.renew_recording`), which may lose so much."""
SHORTEST: Final = 3 * SECOND
"""A talk shorter than this is not asked whether both sides are heard."""
SPOKE: Final = 10
"""Windows in which the other party must be heard before a silent side is a fault."""
EDGE: Final = SECOND // 2
"""What lies so close to the begin or end of a talk, or of a hold, may belong to its neighbour."""
LATE: Final = 600 * SECOND
"""A raw file that waits longer than this after its call's end falls short. The alarm `recording_late` says so, too."""
LOOKED: Final = 20 * SECOND
"""Calls without any file are entered so long after `policy.GRACE` at the latest."""


class AuditKind(StrEnum):
    """What falls short."""

    MISSING = "missing"
    SHORT = "short"
    SILENT_SIDE = "silent_side"
    WRONG_HASH = "wrong_hash"
    DAMAGED = "damaged"
    LOCKED = "locked"
    ORPHAN_FILE = "orphan_file"
    ORPHAN_ROW = "orphan_row"
    UNEXPLAINED = "unexplained"


class WhyUnrecorded(StrEnum):
    """Why something is not in a file, without a fault.

    hold             the music: the agent had put the citizen on hold. The citizen's side is in the file
    paused           silence: the agent had paused the recording
    asked            the phrase of `*0`: the agent heard nobody
    away             no controller ran, or Asterisk was away
    no_sound         the call ended before anything was to be heard, and before an agent answered
    waits            the call ended lately; `hotline recorder` has not finished its file
    going_on         the call has not ended
    deleted          it was on record, and was deleted by certificate
    """

    HOLD = "hold"
    PAUSED = "paused"
    ASKED = "asked"
    AWAY = "away"
    NO_SOUND = "no_sound"
    WAITS = "waits"
    GOING_ON = "going_on"
    DELETED = "deleted"


class FileState(StrEnum):
    """What the disk has of a row's file: as entered, gone, no readable WAV, another one than was entered, or encrypted
    as it was entered while its master key is away.
    """

    WHOLE = "whole"
    GONE = "gone"
    TORN = "torn"
    ALTERED = "altered"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class Levels:
    """A file's sound: `duration` in microseconds; of each side one byte a `WINDOW`, 1 where it is heard, else 0."""

    duration: int
    left: bytes
    right: bytes


@dataclass(frozen=True, slots=True)
class KeptSound:
    """What ledger and disk have of one call.

    `state`, `note`, `duration` (microseconds) are the row's; `state` is None without a row. `file` is None if the row
    names none, or the file is not there. `path` is relative to the recordings folder. `levels` are there for a file
    that can be read. `why` says what is wrong with it. `raw`: Asterisk's file still waits in the spool.
    """

    state: RecordingState | None = None
    note: str = ""
    duration: int = 0
    file: FileState | None = None
    path: str = ""
    levels: Levels | None = None
    why: str = ""
    raw: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing that falls short. `lost` in microseconds; `at`: where it begins (microseconds UTC), 0 when not known.

    `party`: the silent one, `caller` or `agent`. `file`: relative to the recordings folder. `why`: of `MISSING`
    `no_row`, `in_spool`, `file_gone` or `no_sound`; of `UNEXPLAINED` `cel` (only CEL knows the talk) or empty; else a
    sentence, or empty.
    """

    kind: AuditKind
    call: CallId
    agent: str = ""
    at: int = 0
    lost: int = 0
    party: str = ""
    file: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """What is not in a file, and why: from `begin` until `end` (microseconds UTC), by `agent` (empty: by nobody)."""

    reason: WhyUnrecorded
    call: CallId
    begin: int
    end: int
    agent: str = ""


@dataclass(slots=True)
class Examined:
    """`findings` and `unrecorded` of one call; `recorded`: microseconds of sound that can be relied on, or None."""

    findings: list[AuditFinding] = field(default_factory=list)
    unrecorded: list[Unrecorded] = field(default_factory=list)
    recorded: int | None = None


def examine(
    call: CallId,
    facts: Sequence[Fact],
    kept: KeptSound,
    *,
    now: int,
    away: Sequence[tuple[int, int]] = (),
) -> Examined:
    """Lay one call, or attempt, beside its row and its file. `facts` in any order; `now` in microseconds UTC.

    `away`: when no controller ran or Asterisk was away, as (begin, end) in microseconds.
    """
    known = policy.times(facts)
    found = Examined()
    if any(isinstance(fact, CallRefused) for fact in facts):
        return found  # it never had a channel
    if kept.state is None:
        if (
            known.arrived is not None
        ):  # else no agent picked up for the callback, and nobody was dialled
            _without_row(call, known, kept, now, found)
        return found
    if kept.deleted:
        # What was recorded goes on counting as recorded (M23), though nobody can listen to it any more.
        begin, end = known.arrived or 0, known.ended or 0
        found.unrecorded.append(Unrecorded(WhyUnrecorded.DELETED, call, begin, end))
        found.recorded = kept.duration
        return found
    talks = policy.talks(facts, known.ended)
    found.unrecorded += _on_purpose(call, facts, talks, known)
    if kept.file is not FileState.WHOLE or kept.levels is None:
        _without_file(call, known, talks, kept, found)
    elif kept.state is RecordingState.DAMAGED:
        found.findings.append(_finding(AuditKind.DAMAGED, call, known, talks, why=kept.note))
    else:
        found.recorded = kept.levels.duration
        _cover(call, known, talks, kept.levels, away, found)
        if not found.findings:
            found.findings += _silent_sides(call, facts, known, talks, kept.levels)
    return found


# --- no row, or no file that can be relied on


def _without_row(call: CallId, known: Times, kept: KeptSound, now: int, found: Examined) -> None:
    begin = known.arrived or 0
    if known.ended is None:
        found.unrecorded.append(Unrecorded(WhyUnrecorded.GOING_ON, call, begin, now))
    elif now - known.ended < (LATE if kept.raw else policy.GRACE + LOOKED):
        found.unrecorded.append(Unrecorded(WhyUnrecorded.WAITS, call, begin, known.ended))
    elif kept.file is None:
        why = "in_spool" if kept.raw else "no_row"
        found.findings.append(
            AuditFinding(AuditKind.MISSING, call, at=begin, lost=known.talk, why=why)
        )
    else:
        found.findings.append(AuditFinding(AuditKind.ORPHAN_FILE, call, at=begin, file=kept.path))


def _without_file(
    call: CallId, known: Times, talks: Sequence[Stretch], kept: KeptSound, found: Examined
) -> None:
    if kept.file is FileState.ALTERED and kept.levels is not None:
        lost = kept.duration - kept.levels.duration
        kind = AuditKind.SHORT if lost > TOLERANCE else AuditKind.WRONG_HASH
        found.findings.append(
            _finding(kind, call, known, talks, lost=max(0, lost), file=kept.path, why=kept.why)
        )
    elif kept.file is FileState.LOCKED:
        found.findings.append(
            _finding(AuditKind.LOCKED, call, known, talks, file=kept.path, why=kept.why)
        )
    elif kept.file in (FileState.TORN, FileState.ALTERED):
        found.findings.append(
            _finding(AuditKind.DAMAGED, call, known, talks, file=kept.path, why=kept.why)
        )
    elif kept.file is FileState.GONE:
        found.findings.append(
            _finding(
                AuditKind.MISSING,
                call,
                known,
                talks,
                lost=kept.duration,
                file=kept.path,
                why="file_gone",
            )
        )
    elif kept.state is RecordingState.DAMAGED:
        found.findings.append(_finding(AuditKind.DAMAGED, call, known, talks, why=kept.note))
    elif known.talk:
        found.findings.append(
            _finding(AuditKind.MISSING, call, known, talks, lost=known.talk, why="no_sound")
        )
    else:
        begin, end = known.arrived or 0, known.ended or 0
        found.unrecorded.append(Unrecorded(WhyUnrecorded.NO_SOUND, call, begin, end))


def _finding(
    kind: AuditKind,
    call: CallId,
    known: Times,
    talks: Sequence[Stretch],
    *,
    lost: int = 0,
    file: str = "",
    why: str = "",
) -> AuditFinding:
    """About the whole recording: it names the first agent."""
    agent = min(talks, key=_begin).agent if talks else ""
    return AuditFinding(kind, call, agent, known.arrived or 0, lost, file=file, why=why)


# --- is all of it there?


def _cover(
    call: CallId,
    known: Times,
    talks: Sequence[Stretch],
    levels: Levels,
    away: Sequence[tuple[int, int]],
    found: Examined,
) -> None:
    if known.arrived is None or known.ended is None:
        return  # the diary does not know the whole of it, so no second of it is known to be missing
    reaches = known.arrived + levels.duration + _may_lack(levels, talks)
    for talk in talks:
        end = min(talk.end, known.ended)
        lost = end - max(reaches, talk.begin)
        if lost > TOLERANCE:
            found.findings.append(_short(call, talk.agent, end, lost))
    lost = known.talk - levels.duration
    if not found.findings and lost > TOLERANCE:  # M23
        last = max(talks, key=_end)
        found.findings.append(_short(call, last.agent, last.end, lost))
    missing = known.ended - reaches
    if not found.findings and missing > GAP:
        found.findings.append(
            AuditFinding(AuditKind.UNEXPLAINED, call, at=known.ended - missing, lost=missing)
        )
    gone = [
        Unrecorded(WhyUnrecorded.AWAY, call, max(begin, known.arrived), min(end, known.ended))
        for begin, end in away
        if begin < known.ended and end > known.arrived
    ]
    if gone and missing <= sum(one.end - one.begin for one in gone) + TOLERANCE:
        if found.findings:
            found.unrecorded += gone
        found.findings.clear()


def _short(call: CallId, agent: str, end: int, lost: int) -> AuditFinding:
    return AuditFinding(AuditKind.SHORT, call, agent, end - lost, lost)


def _may_lack(levels: Levels, talks: Sequence[Stretch]) -> int:
    """How much shorter than the call a whole file may be: what Asterisk waited for, and the seams between talks."""
    began_silent = not any(levels.left[: EDGE // WINDOW])
    return (NO_MEDIA if began_silent else 0) + SEAM * max(0, len(talks) - 1)


# --- are both sides there?


def _silent_sides(
    call: CallId, facts: Sequence[Fact], known: Times, talks: Sequence[Stretch], levels: Levels
) -> Iterator[AuditFinding]:
    if known.arrived is None or known.ended is None:
        return
    known_silent = any(isinstance(fact, CallSilent) for fact in facts)
    apart = [
        *holds(facts, talks),
        *asked(facts, talks, known.ended),
        *policy.pauses(facts, talks),
    ]
    began = file_begins(known, levels.duration)
    for talk in talks:
        if talk.end - talk.begin < SHORTEST:
            continue
        windows = _windows(talk, [one for one in apart if one.agent == talk.agent], began)
        caller = sum(sum(levels.left[one]) for one in windows)
        agent = sum(sum(levels.right[one]) for one in windows)
        party = "caller" if caller == 0 and not known_silent else "agent" if agent == 0 else ""
        if party and max(caller, agent) >= SPOKE:
            yield AuditFinding(
                AuditKind.SILENT_SIDE,
                call,
                talk.agent,
                talk.begin,
                talk.end - talk.begin,
                party=party,
            )


def file_begins(known: Times, duration: int) -> int:
    """When the sound of a file of `duration` begins (microseconds UTC). The call's arrival has to be known.

    What a file lacks of its call within `NO_MEDIA`, it lacks at its beginning.
    """
    begin = known.arrived or 0
    lacks = 0 if known.ended is None else known.ended - begin - duration
    return begin + min(max(0, lacks), NO_MEDIA)


def _windows(talk: Stretch, apart: Sequence[Stretch], began: int) -> list[slice]:
    """Where a talk, without what parted agent and citizen, lies in `Levels` of a file that began at `began`."""
    found = []
    begin = talk.begin + EDGE
    for one in sorted(apart, key=_begin):
        if talk.begin <= one.begin <= talk.end:
            found.append((begin, one.begin - EDGE))
            begin = max(begin, one.end + EDGE)
    found.append((begin, talk.end - EDGE))
    return [
        slice(max(0, first - began) // WINDOW, max(0, last - began) // WINDOW)
        for first, last in found
        if first < last
    ]


# --- what is not recorded on purpose


def _on_purpose(
    call: CallId, facts: Iterable[Fact], talks: Sequence[Stretch], known: Times
) -> Iterator[Unrecorded]:
    known_facts = list(facts)
    for hold in holds(known_facts, talks):
        yield Unrecorded(WhyUnrecorded.HOLD, call, hold.begin, hold.end, hold.agent)
    for pause in policy.pauses(known_facts, talks):
        yield Unrecorded(WhyUnrecorded.PAUSED, call, pause.begin, pause.end, pause.agent)
    for one in asked(known_facts, talks, known.ended):
        yield Unrecorded(WhyUnrecorded.ASKED, call, one.begin, one.end, one.agent)


def asked(facts: Iterable[Fact], talks: Sequence[Stretch], ended: int | None) -> Iterator[Stretch]:
    """When the caller was asked by the phrase of `*0`, and by which agent."""
    told = sorted(
        (fact for fact in facts if isinstance(fact, CallerAsked | CallerFound | CallSilent)),
        key=_at,
    )
    for number, fact in enumerate(told):
        if isinstance(fact, CallerAsked):
            over = told[number + 1].at if number + 1 < len(told) else ended
            asking = [talk for talk in talks if talk.begin <= fact.at]
            agent = max(asking, key=_begin).agent if asking else ""
            yield Stretch(agent, fact.at, fact.at if over is None else over)


def _at(fact: Fact) -> int:
    return fact.at


def _begin(talk: Stretch) -> int:
    return talk.begin


def _end(talk: Stretch) -> int:
    return talk.end


def holds(facts: Iterable[Fact], talks: Sequence[Stretch]) -> Iterator[Stretch]:
    """When the citizen was on hold; a hold ends with its talk at the latest."""
    told = sorted(
        (fact for fact in facts if isinstance(fact, TalkHeld | TalkResumed)),
        key=_at,
    )
    for talk in talks:
        since: int | None = None
        for fact in told:
            if fact.agent != talk.agent or not talk.begin <= fact.at <= talk.end:
                continue
            if isinstance(fact, TalkHeld):
                since = fact.at if since is None else since
            elif since is not None:
                yield Stretch(talk.agent, since, fact.at)
                since = None
        if since is not None:
            yield Stretch(talk.agent, since, talk.end)
