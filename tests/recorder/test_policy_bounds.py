"""Times and verdicts at their bounds, and the sentences that an operator reads."""

import pytest

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackYielded,
    CallEnded,
    CallQueued,
    Fact,
    OfferAnswered,
    RecordingFinished,
    RecordingMissing,
    TalkEnded,
)
from facts.terms import Party
from facts.times import SECOND
from recorder.policy import (
    ABANDONED,
    EXCESS,
    GAP,
    SETTLED,
    TOLERANCE,
    RecordingState,
    RecordingVerdict,
    Stretch,
    Times,
    conclude,
    is_due,
    judge,
    place,
    talks,
    times,
)

C = "hotline-1763731200.17"
T = 1_763_731_200 * SECOND
FINISHED, SHORT = RecordingState.FINISHED, RecordingState.SHORT
CUT_OFF = RecordingState.CUT_OFF
MISSING, DAMAGED = RecordingState.MISSING, RecordingState.DAMAGED


def arrived(at: int) -> CallArrived:
    return CallArrived(T + at, C, "12345", "")


def ended(at: int) -> CallEnded:
    return CallEnded(T + at, C, Party.CALLER)


def answered(at: int, agent: str = "1001") -> OfferAnswered:
    return OfferAnswered(T + at, C, agent)


def over(at: int, agent: str = "1001") -> TalkEnded:
    return TalkEnded(T + at, C, agent, Party.CALLER)


@pytest.mark.parametrize(
    ("facts", "talk"),
    [
        ([answered(10), over(30)], 20),
        ([answered(10)], 90),
        ([answered(10), over(10)], 0),
        # The same answer and the same end, told by AMI and by CEL a moment apart
        ([answered(10), answered(12), over(30), over(31)], 20),
        ([answered(10), answered(30), over(30)], 20),
        ([answered(10), over(30), answered(29), over(50)], 20),
        ([answered(10), over(30), answered(40), answered(41), over(50), answered(60)], 70),
        # Two talks of one agent, and one of another at the same time
        ([answered(10), over(30), answered(40), over(60)], 40),
        ([answered(10), over(30), answered(25, "1002"), over(45, "1002")], 40),
        ([over(30), over(5), answered(10)], 20),
        ([answered(95), over(110)], 15),
        ([answered(0), over(1)], 1),
    ],
)
def test_how_long_was_talked(facts: list[Fact], talk: int) -> None:
    whole: list[Fact] = [arrived(0), *facts, ended(100)]
    for order in (whole, whole[::-1]):
        assert times(order) == Times(T, T + 100, talk)


def test_each_talk_has_its_agent_and_its_time() -> None:
    facts: list[Fact] = [answered(10), over(30), answered(30), answered(40, "1002"), over(35)]
    assert talks(facts, T + 100) == [
        Stretch("1001", T + 10, T + 30),
        Stretch("1001", T + 30, T + 30),
        Stretch("1002", T + 40, T + 100),
    ]
    assert talks([answered(10)], None) == []


def test_what_is_no_call_has_no_place_and_is_not_shown_whole() -> None:
    with pytest.raises(ValueError, match=f"^'{'x' * 100}' is not a call id$"):
        place("x" * 101)


def test_the_earliest_arrival_and_the_earliest_end_count() -> None:
    assert times([arrived(5), arrived(3), arrived(4), ended(20), ended(18), ended(19)]) == Times(
        T + 3, T + 18
    )
    assert times([]) == Times(None, None, 0)
    assert times([answered(10)]) == Times(None, None, 0)
    assert times([CallQueued(T, C, "default")]) == Times()


def test_an_attempt_begins_with_the_dialling_and_a_yield_ends_it() -> None:
    a = "hotline-c7.1"
    facts: list[Fact] = [
        CallbackDialling(T + 5, 7, a, "1001"),
        CallbackAnswered(T + 9, 7, a, "1001"),
        CallbackEnded(T + 30, 7, a, "1001"),
    ]
    assert times(facts) == Times(T + 5, T + 30, 21)
    assert times([*facts, CallbackYielded(T + 20, 7, a, "1001", C)]) == Times(T + 5, T + 20, 11)


@pytest.mark.parametrize(
    ("quiet", "since_end", "due"),
    [
        (ABANDONED - 1, None, False),
        (ABANDONED, None, True),
        (SETTLED, SETTLED, True),
        (SETTLED - 1, SETTLED, False),
        (SETTLED, SETTLED - 1, False),
        (ABANDONED, SETTLED - 1, False),
    ],
)
def test_when_a_raw_file_may_be_finished(quiet: int, since_end: int | None, due: bool) -> None:
    end = None if since_end is None else T - since_end
    assert is_due(now=T, changed=T - quiet, ended=end) is due


def span(seconds: int, talk: int = 0) -> Times:
    return Times(T, T + seconds * SECOND, talk * SECOND)


DIED = "cut off: Asterisk or the machine died in the call"


@pytest.mark.parametrize(
    ("known", "duration", "verdict"),
    [
        (span(60), 60 * SECOND, RecordingVerdict(FINISHED)),
        (
            span(60, 1),
            0,
            RecordingVerdict(MISSING, "the call was answered, but no sound was recorded", True),
        ),
        (
            span(60),
            0,
            RecordingVerdict(MISSING, "no sound: the call ended before an agent answered"),
        ),
        (span(60, 60), 60 * SECOND - TOLERANCE, RecordingVerdict(FINISHED)),
        (
            span(70, 60),
            48 * SECOND,
            RecordingVerdict(SHORT, "12.0 s of the talk are missing", True),
        ),
        (
            Times(T, None),
            60 * SECOND,
            RecordingVerdict(CUT_OFF, "cut off: nothing told of the call's end", True),
        ),
        (
            Times(None, T),
            60 * SECOND,
            RecordingVerdict(FINISHED, "the diary does not know the whole of this call"),
        ),
        (span(60), 60 * SECOND + EXCESS, RecordingVerdict(FINISHED)),
        (
            span(60),
            60 * SECOND + EXCESS + 300_000,
            RecordingVerdict(
                DAMAGED,
                f"{EXCESS / SECOND + 0.3:.1f} s longer than the call: not this call's sound alone",
                True,
            ),
        ),
        (span(60), 60 * SECOND - GAP, RecordingVerdict(FINISHED)),
        (
            span(600),
            600 * SECOND - GAP - 300_000,
            RecordingVerdict(FINISHED, f"{GAP / SECOND + 0.3:.1f} s of the call are missing", True),
        ),
        (
            Times(T, T + 90 * SECOND, 40 * SECOND, cut=True),
            60 * SECOND,
            RecordingVerdict(CUT_OFF, DIED, True),
        ),
        (
            Times(T, T + 90 * SECOND, 80 * SECOND, cut=True),
            60 * SECOND,
            RecordingVerdict(CUT_OFF, f"{DIED}; 20.0 s of the talk are missing", True),
        ),
        (
            Times(T, T + 60 * SECOND, 0, cut=True),
            60 * SECOND + EXCESS + 300_000,
            RecordingVerdict(
                DAMAGED,
                f"{EXCESS / SECOND + 0.3:.1f} s longer than the call: not this call's sound alone",
                True,
            ),
        ),
        (Times(T, T + 60 * SECOND, 0, cut=True), 60 * SECOND - GAP, RecordingVerdict(FINISHED)),
        (
            Times(T, T + 60 * SECOND, 0, cut=True),
            60 * SECOND - GAP - 1,
            RecordingVerdict(CUT_OFF, DIED, True),
        ),
        (
            Times(T, T + 60 * SECOND, 0, cut=True),
            0,
            RecordingVerdict(MISSING, "no sound: the call ended before an agent answered"),
        ),
        # A clock that was put back during the call
        (Times(T, T - SECOND), EXCESS, RecordingVerdict(FINISHED)),
    ],
)
def test_what_a_recording_is_worth(known: Times, duration: int, verdict: RecordingVerdict) -> None:
    assert judge(known, duration) == verdict


@pytest.mark.parametrize(
    ("known", "duration", "state"),
    [
        (span(60, 60), 60 * SECOND - TOLERANCE - 1, SHORT),
        (span(60), 60 * SECOND + EXCESS + 1, DAMAGED),
        (Times(T, T - SECOND), EXCESS + 1, DAMAGED),
    ],
)
def test_one_microsecond_beyond_a_bound(known: Times, duration: int, state: RecordingState) -> None:
    assert judge(known, duration).state is state
    assert judge(span(60), 60 * SECOND - GAP - 1).why
    assert judge(span(60), 60 * SECOND, "torn") == RecordingVerdict(DAMAGED, "torn", True)


@pytest.mark.parametrize(
    ("state", "talk", "sha", "kinds"),
    [
        (FINISHED, 5, "ab", [RecordingFinished]),
        (FINISHED, 5, "", []),
        (SHORT, 5, "ab", [RecordingFinished, RecordingMissing]),
        (SHORT, 0, "ab", [RecordingFinished]),
        (MISSING, 5, "", [RecordingMissing]),
        (MISSING, 0, "", []),
        (DAMAGED, 0, "", [RecordingMissing]),
        (DAMAGED, 5, "ab", [RecordingFinished, RecordingMissing]),
    ],
)
def test_which_facts_follow(
    state: RecordingState, talk: int, sha: str, kinds: list[type[Fact]]
) -> None:
    facts = conclude(C, RecordingVerdict(state, "why"), at=T, talk=talk, duration=7, sha256=sha)
    assert [type(fact) for fact in facts] == kinds
    for fact in facts:
        assert fact in (RecordingFinished(T, C, 7, sha), RecordingMissing(T, C, "why"))
