"""Which calls a person should listen to, and where: by rule, from the facts and from who spoke when. Pure.

A hint is no judgement and no score. It says that a figure of a talk is beyond a limit that the centre has set, and from
which second on a person can hear for themselves. Figures and hints are computed on reading, so a changed rule holds for
every call that was ever heard.

Only talk counts: from an agent's answer to its end, without holds, pauses and the phrase of `*0`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackRaced,
    CallbackYielded,
    CallEnded,
    CallerAsked,
    CallerFound,
    CallSilent,
    CallTransferred,
    Fact,
    OfferAnswered,
    PhoneLost,
    RecordingPaused,
    RecordingResumed,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from facts.terms import CallId, Party
from facts.times import SECOND
from recorder import audit, intervals, policy
from recorder.intervals import Interval, Intervals
from recorder.policy import Stretch
from recorder.voice import SpeechSpan, Voices, level_of

KINDS: Final = frozenset(
    kind.kind
    for kind in (
        *(CallArrived, CallEnded, CallSilent, CallTransferred, CallerAsked, CallerFound),
        *(CallbackAnswered, CallbackDialling, CallbackEnded, CallbackRaced, CallbackYielded),
        *(OfferAnswered, PhoneLost, TalkEnded, TalkHeld, TalkResumed),
        *(RecordingPaused, RecordingResumed),
    )
)
"""The facts that hints need."""

OVERLAP: Final = SECOND // 2
"""Both speak at once for at least this long (microseconds): a shorter one is an "嗯" or a change of turns."""
ENOUGH: Final = 2 * SECOND
"""The level of a side that speaks for less than this says nothing."""
SENT_ON: Final = 2 * SECOND
"""A transfer so close to the end of a talk is why it ended."""


class HintKind(StrEnum):
    """Why a person should listen.

    long_silence        both sides are silent for long
    talk_over           both sides speak at once for long
    agent_hung_up_first the agent ended the talk
    too_short           the talk was short
    too_quiet           one side speaks too softly
    too_loud            one side speaks too loudly
    """

    LONG_SILENCE = "long_silence"
    TALK_OVER = "talk_over"
    AGENT_HUNG_UP_FIRST = "agent_hung_up_first"
    TOO_SHORT = "too_short"
    TOO_QUIET = "too_quiet"
    TOO_LOUD = "too_loud"


@dataclass(frozen=True, slots=True)
class HintRules:
    """The limits: seconds of silence, of talk-over and of talk; dB below full scale. None: without this rule."""

    long_silence: float | None = 20.0
    talk_over: float | None = 3.0
    agent_hung_up_first: bool = True
    too_short: float | None = 10.0
    too_quiet: float | None = -40.0
    too_loud: float | None = -10.0


@dataclass(frozen=True, slots=True)
class SideSpeech:
    """One side in one talk: how long it speaks (microseconds), how loud (dB below full scale; None: never), and when it
    is first and last heard (microseconds from the file's beginning; None: never).
    """

    spoken: int
    level: float | None
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class HeardTalk:
    """What was heard in one talk. All times in microseconds, places from the file's beginning.

    `silence`: the longest stretch in which nobody speaks; `overlap`: the longest in which both do. `talk_over`: how
    long all `overlaps` of `OVERLAP` and more last.
    """

    caller: SideSpeech
    agent: SideSpeech
    silence: Interval | None
    overlap: Interval | None
    talk_over: int
    overlaps: int


@dataclass(frozen=True, slots=True)
class TalkMeasures:
    """One agent's talk, at `begin` to `end` in the file; `talk`: its length without holds and pauses. All microseconds.

    `heard` is None as long as nobody has listened for voices.
    """

    agent: str
    begin: int
    end: int
    talk: int
    heard: HeardTalk | None

    def share(self, side: SideSpeech) -> float:
        """How much of the talk one side speaks, 0 to 1."""
        return side.spoken / self.talk if self.talk else 0.0


@dataclass(frozen=True, slots=True)
class Hint:
    """One reason to listen to one call. `at`: where in its recording (microseconds from the beginning).

    `value` and `limit` are seconds or dB, as the rule has it. Of `agent_hung_up_first`, `value` is the seconds since
    the citizen was last heard, or None, and there is no `limit`. `party`: who is too quiet or too loud.
    """

    kind: HintKind
    call: CallId
    agent: str
    value: float | None
    limit: float | None
    at: int
    party: Party | None = None

    def text(self, lang: str = "zh") -> str:
        """The sentence for people. `lang`: zh or en."""
        said = _SAID[lang][self.kind]
        if self.kind is HintKind.AGENT_HUNG_UP_FIRST and self.value is not None:
            said += _SINCE[lang]
        who = "" if self.party is None else _WHO[lang][self.party]
        return said.format(value=self.value, limit=self.limit, who=who)


_SAID: Final[Mapping[str, Mapping[HintKind, str]]] = {
    "zh": {
        HintKind.LONG_SILENCE: "双方静默 {value:.1f} 秒（限值 {limit:g} 秒）",
        HintKind.TALK_OVER: "双方同时说话 {value:.1f} 秒（限值 {limit:g} 秒）",
        HintKind.AGENT_HUNG_UP_FIRST: "话务员先挂机",
        HintKind.TOO_SHORT: "通话只有 {value:.1f} 秒（限值 {limit:g} 秒）",
        HintKind.TOO_QUIET: "{who}声音偏小：{value:.0f} dB（限值 {limit:g} dB）",
        HintKind.TOO_LOUD: "{who}声音偏大：{value:.0f} dB（限值 {limit:g} dB）",
    },
    "en": {
        HintKind.LONG_SILENCE: "nobody speaks for {value:.1f} s (limit {limit:g} s)",
        HintKind.TALK_OVER: "both speak at once for {value:.1f} s (limit {limit:g} s)",
        HintKind.AGENT_HUNG_UP_FIRST: "the agent hung up first",
        HintKind.TOO_SHORT: "the talk lasted {value:.1f} s (limit {limit:g} s)",
        HintKind.TOO_QUIET: "{who} is quiet: {value:.0f} dB (limit {limit:g} dB)",
        HintKind.TOO_LOUD: "{who} is loud: {value:.0f} dB (limit {limit:g} dB)",
    },
}
_SINCE: Final = {
    "zh": "，此前来电人最后一次说话是在 {value:.1f} 秒前",
    "en": ", {value:.1f} s after the citizen was last heard",
}
_WHO: Final[Mapping[str, Mapping[Party, str]]] = {
    "zh": {Party.CALLER: "来电人", Party.AGENT: "话务员"},
    "en": {Party.CALLER: "the citizen", Party.AGENT: "the agent"},
}


def hints_of(
    call: CallId,
    facts: Sequence[Fact],
    duration: int | None,
    voices: Voices | None,
    rules: HintRules,
) -> list[Hint]:
    """The hints about one call, by their place. `facts` in any order; `duration` of its recording, None without one."""
    talks = measure(facts, duration, voices)
    found = [*_ends(call, facts, talks, rules)]
    for one in talks:
        if one.heard is not None:
            found += _in_talk(call, one, one.heard, rules)
    return sorted(found, key=lambda hint: (hint.at, hint.kind))


def measure(
    facts: Sequence[Fact], duration: int | None, voices: Voices | None
) -> list[TalkMeasures]:
    """The talks of one call, in order, each with what was heard in it."""
    known = policy.times(facts)
    if known.arrived is None:
        return []
    began = known.arrived if duration is None else audit.file_begins(known, duration)
    talks = sorted(policy.talks(facts, known.ended), key=lambda talk: (talk.begin, talk.agent))
    apart = [
        *audit.holds(facts, talks),
        *audit.asked(facts, talks, known.ended),
        *policy.pauses(facts, talks),
    ]
    return [
        _measure(talk, [one for one in apart if one.agent == talk.agent], began, voices)
        for talk in talks
    ]


def _measure(
    talk: Stretch, apart: Iterable[Stretch], began: int, voices: Voices | None
) -> TalkMeasures:
    def placed(one: Stretch) -> Interval:
        return max(0, one.begin - began), max(0, one.end - began)

    whole = intervals.merged([placed(talk)])
    pieces = intervals.without(whole, intervals.merged(placed(one) for one in apart))
    return TalkMeasures(
        talk.agent,
        *placed(talk),
        intervals.length(pieces),
        None if voices is None else _heard(pieces, voices),
    )


def _heard(pieces: Intervals, voices: Voices) -> HeardTalk:
    left, right = (_within(spans, pieces) for spans in (voices.left, voices.right))
    caller, agent = ([(one.begin, one.end) for one in side] for side in (left, right))
    both = [one for one in intervals.common(caller, agent) if one[1] - one[0] >= OVERLAP]
    nobody = intervals.without(pieces, intervals.merged([*caller, *agent]))
    return HeardTalk(
        _speech(left),
        _speech(right),
        intervals.longest(nobody),
        intervals.longest(both),
        intervals.length(both),
        len(both),
    )


def _within(spans: Sequence[SpeechSpan], pieces: Intervals) -> list[SpeechSpan]:
    """What of the spans lies in these pieces."""
    return [
        SpeechSpan(max(begin, one.begin), min(end, one.end), one.level)
        for begin, end in pieces
        for one in spans
        if one.end > begin and one.begin < end
    ]


def _speech(spans: Sequence[SpeechSpan]) -> SideSpeech:
    return SideSpeech(
        sum(one.end - one.begin for one in spans),
        level_of(spans),
        spans[0].begin if spans else None,
        spans[-1].end if spans else None,
    )


# --- the rules


def _in_talk(
    call: CallId, talk: TalkMeasures, heard: HeardTalk, rules: HintRules
) -> Iterator[Hint]:
    for kind, found, limit in (
        (HintKind.LONG_SILENCE, heard.silence, rules.long_silence),
        (HintKind.TALK_OVER, heard.overlap, rules.talk_over),
    ):
        if found is not None and limit is not None and found[1] - found[0] >= limit * SECOND:
            lasts = (found[1] - found[0]) / SECOND
            yield Hint(kind, call, talk.agent, lasts, limit, found[0])
    for party, side in ((Party.CALLER, heard.caller), (Party.AGENT, heard.agent)):
        if side.level is None or side.first is None or side.spoken < ENOUGH:
            continue
        if rules.too_quiet is not None and side.level < rules.too_quiet:
            kind, limit = HintKind.TOO_QUIET, rules.too_quiet
        elif rules.too_loud is not None and side.level > rules.too_loud:
            kind, limit = HintKind.TOO_LOUD, rules.too_loud
        else:
            continue
        yield Hint(kind, call, talk.agent, side.level, limit, side.first, party)


def _ends(
    call: CallId, facts: Sequence[Fact], talks: Sequence[TalkMeasures], rules: HintRules
) -> Iterator[Hint]:
    """What the facts say alone."""
    if not talks:
        return
    last = talks[-1]
    total = sum(one.talk for one in talks)
    ended = any(isinstance(fact, CallEnded | CallbackEnded) for fact in facts)
    if rules.too_short is not None and ended and total < rules.too_short * SECOND:
        short = rules.too_short
        yield Hint(HintKind.TOO_SHORT, call, last.agent, total / SECOND, short, talks[0].begin)
    if rules.agent_hung_up_first and ended and _agent_hung_up(facts):
        said = last.heard.caller.last if last.heard is not None else None
        since = None if said is None else max(0, last.end - said) / SECOND
        yield Hint(HintKind.AGENT_HUNG_UP_FIRST, call, last.agent, since, None, last.end)


def _agent_hung_up(facts: Sequence[Fact]) -> bool:
    """Whether an agent ended the last talk, and neither sent the citizen on, nor lost the phone, nor heard nobody."""
    if any(isinstance(fact, CallSilent) for fact in facts):
        return False
    for fact in facts:
        if isinstance(fact, CallbackEnded):
            return not fact.failure and fact.hung_up_by is Party.AGENT
    ends = sorted((fact for fact in facts if isinstance(fact, TalkEnded)), key=lambda fact: fact.at)
    if not ends or ends[-1].hung_up_by is not Party.AGENT:
        return False
    last = ends[-1]
    return not any(
        (isinstance(fact, CallTransferred) and fact.at >= last.at - SENT_ON)
        or (isinstance(fact, PhoneLost) and fact.agent == last.agent)
        for fact in facts
    )
