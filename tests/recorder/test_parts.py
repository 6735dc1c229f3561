"""What is not in a recording as it was spoken: where it lies in the file, and the sentence about it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import (
    CallArrived,
    CallEnded,
    CallerAsked,
    CallerFound,
    Fact,
    OfferAnswered,
    RecordingPaused,
    RecordingResumed,
    SurveyEnded,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from facts.terms import Party, PauseWhy, SurveyEnd
from facts.times import SECOND
from recorder.parts import PartKind, parts_of, reasons_of
from recorder.policy import RecordingState

CALL = "hotline-1763731200.17"
T = 1_763_731_200 * SECOND


def at(seconds: float) -> int:
    return T + round(seconds * SECOND)


def story(*more: Fact, ended: float = 60) -> list[Fact]:
    return [
        CallArrived(T, CALL, "12345", "13812345678"),
        OfferAnswered(at(5), CALL, "1001"),
        TalkEnded(at(ended), CALL, "1001", Party.CALLER),
        CallEnded(at(ended), CALL, Party.CALLER),
        *more,
    ]


HELD = (TalkHeld(at(10), CALL, "1001"), TalkResumed(at(20), CALL, "1001"))
PAUSED = (
    RecordingPaused(at(30), CALL, "1001", PauseWhy.KEY),
    RecordingResumed(at(35), CALL, "1001", PauseWhy.KEY),
)


def places(facts: list[Fact], duration: float) -> list[tuple[PartKind, float, float]]:
    found = parts_of(facts, round(duration * SECOND))
    return [(one.kind, one.begin / SECOND, one.end / SECOND) for one in found]


def test_holds_pauses_and_the_phrase_lie_where_they_were() -> None:
    asked = (CallerAsked(at(40), CALL), CallerFound(at(43), CALL))
    facts = story(*PAUSED, *HELD, *asked)
    assert places(facts, 60) == [
        (PartKind.HOLD, 10, 20),
        (PartKind.PAUSED, 30, 35),
        (PartKind.ASKED, 40, 43),
    ]
    # The file lacks its first half second: everything in it lies so much earlier.
    assert places(facts, 59.5)[0] == (PartKind.HOLD, 9.5, 19.5)
    assert places([*HELD], 60) == []


def test_the_reason_of_a_bad_grade_lies_after_the_talk_and_within_the_file() -> None:
    ended = SurveyEnded(at(75), CALL, "1001", SurveyEnd.RATED, at(65), 8 * SECOND)
    facts = [
        *story()[:3],
        CallEnded(at(76), CALL, Party.SYSTEM),
        ended,
        replace(ended, at=at(75.1)),
        SurveyEnded(at(75), CALL, "1002", SurveyEnd.RATED),
    ]
    (said,) = reasons_of(facts, 76 * SECOND)
    assert (said.agent, said.begin, said.end) == ("1001", 65 * SECOND, 73 * SECOND)
    (cut,) = reasons_of(facts, 70 * SECOND)
    assert cut.end == 70 * SECOND
    assert reasons_of([ended], 76 * SECOND) == []


def test_a_hold_that_nobody_ended_lasts_to_the_end_of_the_talk_and_of_the_file() -> None:
    assert places(story(HELD[0]), 60) == [(PartKind.HOLD, 10, 60)]
    (held, lost) = places(story(HELD[0]), 15)
    assert held == (PartKind.HOLD, 10 - 0.55, 15)
    assert lost == (PartKind.LOST, 15, 15)


@pytest.mark.parametrize(
    ("duration", "state", "zh", "en"),
    [
        (59.6, RecordingState.FINISHED, "", ""),
        (50.05, RecordingState.SHORT, "此后缺 9.4 秒：部分通话没有录上", "9.4 s are missing from here on: some"),
        (50.05, RecordingState.CUT_OFF, "此后缺 9.4 秒：录音中断", "9.4 s are missing from here on: the rec"),
        (60, RecordingState.CUT_OFF, "录音中断，Asterisk", "the recording was cut off"),
        (55.05, RecordingState.FINISHED, "此后缺 4.4 秒：录音先于来电结束", "4.4 s are missing from here on: the rec"),
    ],
)  # fmt: skip
def test_what_is_missing_at_the_end_says_why(
    duration: float, state: RecordingState, zh: str, en: str
) -> None:
    found = parts_of(story(), round(duration * SECOND), state)
    assert len(found) == bool(zh)
    for one in found:
        assert (one.kind, one.begin) == (PartKind.LOST, duration * SECOND)
        assert one.text("zh").startswith(zh)
        assert one.text("en").startswith(en)


@given(
    marks=st.lists(st.floats(0, 100), min_size=2, max_size=12),
    duration=st.floats(0.1, 90),
)
def test_every_part_lies_in_the_file(marks: list[float], duration: float) -> None:
    told = [
        (TalkHeld, TalkResumed)[number % 2](at(second), CALL, "1001")
        for number, second in enumerate(marks)
    ]
    length = round(duration * SECOND)
    found = parts_of(story(*told), length)
    assert all(0 <= one.begin <= one.end <= length for one in found)
    held = sum(one.end - one.begin for one in found if one.kind is PartKind.HOLD)
    assert held <= length
