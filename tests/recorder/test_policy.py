"""What a recording is worth, and where it lies."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import (
    CallArrived,
    CallbackEnded,
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
from facts.ids import is_attempt, is_call_id
from facts.parties import PartyEnd, PartyFailure, PartyKind
from facts.terms import Party, PauseWhy
from facts.times import SECOND
from recorder import policy
from recorder.policy import RecordingState, Times, conclude, is_due, judge, place, times

CALL = "hotline-1763731200.17"
T = 1_763_731_200 * SECOND


def test_the_place_follows_from_the_id_by_the_day_in_china() -> None:
    assert PurePosixPath(place(CALL)) == PurePosixPath("2025/11/21/hotline-1763731200.17.wav")
    # 2025-11-21 15:59:59 UTC is one second before midnight in Shanghai.
    assert PurePosixPath(place("hotline-1763740799.1")).parent == PurePosixPath("2025/11/21")
    assert PurePosixPath(place("hotline-1763740800.1")).parent == PurePosixPath("2025/11/22")


def test_attempts_of_callbacks_have_a_place_of_their_own() -> None:
    assert PurePosixPath(place("hotline-c7.1")) == PurePosixPath("callbacks/000/hotline-c7.1.wav")
    assert PurePosixPath(place("hotline-c12345.10")).parent == PurePosixPath("callbacks/012")
    assert is_attempt("hotline-c7.1")
    assert not is_attempt(CALL)
    for text in ("hotline-c.1", "hotline-c7", "hotline-c7.1/..", "hotline-c7.1\n", "x-c1.1.1"):
        assert not is_call_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hotline",
        "hotline-1763731200",
        "1763731200.17",
        "../hotline-1763731200.17",
        "hotline-1763731200.17/../../etc/passwd",
        "hotline-1763731200.17\n",
        "hotline-1763731200.17\x00.wav",
        "hotline-１７６３７３１２００.17",
        "Hotline-1763731200.17",
        "hotline-1763731200.17.raw",
        "hotline-999999999999.1",
        "$(reboot)-1763731200.17",
        "h" * 17 + "-1763731200.17",
        "hotline--1.1",
    ],
)
def test_nothing_else_is_a_call_id_and_gets_a_place(text: str) -> None:
    assert not is_call_id(text)
    with pytest.raises(ValueError, match="is not a call id"):
        place(text)


@given(st.text() | st.from_regex(r"[a-z][a-z0-9]{0,15}-[0-9]{1,11}\.[0-9]{1,10}", fullmatch=True))
def test_whatever_has_a_place_stays_inside_the_folder(text: str) -> None:
    if not is_call_id(text):
        return
    path = PurePosixPath(place(text))
    assert not path.is_absolute()
    assert len(path.parts) == 4
    assert ".." not in path.parts
    assert path.stem == text
    assert all(part.isdigit() for part in path.parts[:3])


def _facts(talk: tuple[int, int] | None = (20, 50), ended: int = 50) -> list[Fact]:
    facts: list[Fact] = [
        CallArrived(T, CALL, "12345", ""),
        CallEnded(T + ended * SECOND, CALL, Party.CALLER),
    ]
    if talk:
        facts += [
            OfferAnswered(T + talk[0] * SECOND, CALL, "1001"),
            TalkEnded(T + talk[1] * SECOND, CALL, "1001", Party.CALLER),
        ]
    return facts


def test_times_of_a_plain_call() -> None:
    assert times(_facts()) == Times(T, T + 50 * SECOND, 30 * SECOND)
    assert times(_facts(None)) == Times(T, T + 50 * SECOND, 0)
    assert times([]) == Times(None, None, 0)


def test_a_talk_of_which_only_the_beginning_is_known_lasts_to_the_end() -> None:
    facts = [fact for fact in _facts() if not isinstance(fact, TalkEnded)]
    assert times(facts).talk == 30 * SECOND


def test_facts_told_twice_count_once_and_two_agents_add_up() -> None:
    transfer: list[Fact] = [
        OfferAnswered(T + 60 * SECOND, CALL, "1002"),
        TalkEnded(T + 65 * SECOND, CALL, "1002", Party.AGENT),
    ]
    assert times(_facts() + _facts()).talk == 30 * SECOND
    assert times(_facts(ended=70) + transfer).talk == 35 * SECOND
    # The same agent twice, the second answer known from AMI and, a little later, from CEL.
    again: list[Fact] = [
        OfferAnswered(T + 60 * SECOND, CALL, "1001"),
        OfferAnswered(T + 60 * SECOND + 400, CALL, "1001"),
        TalkEnded(T + 65 * SECOND, CALL, "1001", Party.AGENT),
    ]
    assert times(_facts(ended=70) + again).talk == 35 * SECOND


@given(st.permutations(_facts() + _facts(ended=51)))
def test_the_order_of_facts_does_not_matter(facts: list[Fact]) -> None:
    assert times(facts) == times(_facts())


KNOWN = Times(T, T + 50 * SECOND, 30 * SECOND)


@pytest.mark.parametrize(
    ("duration", "state", "alarm"),
    [
        (50_000_000, RecordingState.FINISHED, False),
        (49_000_000, RecordingState.FINISHED, False),
        (48_999_999, RecordingState.FINISHED, True),
        (29_500_000, RecordingState.FINISHED, True),
        (29_499_999, RecordingState.SHORT, True),
        (1, RecordingState.SHORT, True),
        (0, RecordingState.MISSING, True),
        (52_000_000, RecordingState.FINISHED, False),
        (52_000_001, RecordingState.DAMAGED, True),
    ],
)
def test_the_limits_of_the_verdict(duration: int, state: RecordingState, alarm: bool) -> None:
    verdict = judge(KNOWN, duration)
    assert (verdict.state, verdict.alarm) == (state, alarm)
    assert bool(verdict.why) == (alarm or state is not RecordingState.FINISHED)


def test_a_caller_who_left_before_any_sound_is_no_alarm() -> None:
    verdict = judge(Times(T, T + SECOND, 0), 0)
    assert (verdict.state, verdict.alarm) == (RecordingState.MISSING, False)
    assert conclude(CALL, verdict, at=T, talk=0, duration=0, sha256="") == []


def test_a_call_of_which_nothing_is_known_keeps_its_sound_with_a_remark() -> None:
    verdict = judge(Times(), 5 * SECOND)
    assert verdict.state is RecordingState.FINISHED
    assert "does not know" in verdict.why


def test_a_file_that_cannot_be_read_is_damaged() -> None:
    verdict = judge(KNOWN, 0, fault="Input/output error")
    assert (verdict.state, verdict.why, verdict.alarm) == (
        RecordingState.DAMAGED,
        "Input/output error",
        True,
    )


def test_the_facts_of_each_verdict() -> None:
    def facts(duration: int, fault: str = "") -> list[Fact]:
        sha = "" if not duration else "ab"
        verdict = judge(KNOWN, duration, fault)
        return conclude(CALL, verdict, at=T, talk=KNOWN.talk, duration=duration, sha256=sha)

    finished = RecordingFinished(T, CALL, 50_000_000, "ab")
    assert facts(50_000_000) == [finished]
    assert facts(20_000_000) == [
        RecordingFinished(T, CALL, 20_000_000, "ab"),
        RecordingMissing(T, CALL, "10.0 s of the talk are missing"),
    ]
    assert facts(0) == [
        RecordingMissing(T, CALL, "the call was answered, but no sound was recorded")
    ]
    assert facts(0, "disk full") == [RecordingMissing(T, CALL, "disk full")]


def test_only_an_end_that_nothing_told_of_cuts_a_recording_off() -> None:
    def cut(end: Fact) -> bool:
        return times([CallArrived(T, CALL, "12345", "13800000000"), end]).cut

    assert cut(CallEnded(T + SECOND, CALL, Party.SYSTEM))
    # The system hung up, and Asterisk told of it.
    assert not cut(CallEnded(T + SECOND, CALL, Party.SYSTEM, 16))
    assert not cut(CallEnded(T + SECOND, CALL, Party.CALLER))
    assert times([CallEnded(T + SECOND, CALL, Party.SYSTEM)]).ended == T + SECOND


def test_a_recording_that_is_cut_off_falls_short_only_of_a_talk_that_it_lacks() -> None:
    for talk, missing in ((40, 0), (60, 1)):
        known = Times(T, T + 90 * SECOND, talk * SECOND, cut=True)
        verdict = judge(known, 50 * SECOND)
        facts = conclude(CALL, verdict, at=T, talk=known.talk, duration=50 * SECOND, sha256="ab")
        assert verdict.state is RecordingState.CUT_OFF
        assert [fact.why for fact in facts if isinstance(fact, RecordingMissing)] == (
            [f"{verdict.why}"] * missing
        )


def test_a_torn_sample_is_the_mark_of_a_crash() -> None:
    verdict = judge(KNOWN, 50 * SECOND, torn=True)
    assert (verdict.state, verdict.alarm) == (RecordingState.CUT_OFF, True)
    assert judge(KNOWN, 50 * SECOND).state is RecordingState.FINISHED


@given(
    span=st.integers(0, 10**11),
    talk=st.integers(0, 10**11),
    duration=st.integers(0, 2 * 10**11),
)
def test_every_verdict_agrees_with_m23(span: int, talk: int, duration: int) -> None:
    known = Times(T, T + max(span, talk), talk)
    verdict = judge(known, duration)
    whole = duration >= talk - policy.TOLERANCE and duration > 0
    assert (verdict.state in {RecordingState.FINISHED, RecordingState.DAMAGED}) == whole
    if verdict.state is RecordingState.DAMAGED:
        assert duration > max(span, talk) + policy.EXCESS
    missing = any(
        isinstance(fact, RecordingMissing)
        for fact in conclude(
            CALL, verdict, at=T, talk=talk, duration=duration, sha256="ab" if duration else ""
        )
    )
    assert missing == (bool(talk and not whole) or verdict.state is RecordingState.DAMAGED)


def test_when_a_raw_file_may_be_finished() -> None:
    second = SECOND
    assert not is_due(now=T, changed=T - second, ended=T - 60 * second)
    assert not is_due(now=T, changed=T - 60 * second, ended=T - second)
    assert is_due(now=T, changed=T - 2 * second, ended=T - 2 * second)
    assert not is_due(now=T, changed=T - 299 * second, ended=None)
    assert is_due(now=T, changed=T - 300 * second, ended=None)


def test_pauses_are_told_and_make_nothing_shorter() -> None:
    def at(seconds: float) -> int:
        return T + round(seconds * SECOND)

    facts: list[Fact] = [
        CallArrived(at(0), CALL, "12345", ""),
        OfferAnswered(at(2), CALL, "1001"),
        RecordingPaused(at(4), CALL, "1001", PauseWhy.KEY),
        RecordingPaused(at(5), CALL, "1001", PauseWhy.KEY),
        RecordingResumed(at(9.5), CALL, "1001", PauseWhy.API),
        # Of this one nobody could tell the end: it is that of the talk.
        RecordingPaused(at(15), CALL, "1001", PauseWhy.KEY),
        TalkEnded(at(20), CALL, "1001", Party.CALLER),
        RecordingResumed(at(21), CALL, "1001", PauseWhy.LEFT),
        RecordingPaused(at(25), CALL, "1002", PauseWhy.KEY),
        CallEnded(at(30), CALL, Party.CALLER),
    ]
    known = times(reversed(facts))
    assert known == Times(at(0), at(30), 18 * SECOND, round(10.5 * SECOND))
    verdict = judge(known, 30 * SECOND)
    assert (verdict.state, verdict.alarm) == (RecordingState.FINISHED, False)
    assert verdict.why == "agents paused the recording for 10.5 s"
    short = judge(known, 10 * SECOND)
    assert (short.state, short.alarm) == (RecordingState.SHORT, True)
    assert short.why == "8.0 s of the talk are missing; agents paused the recording for 10.5 s"
    assert judge(known, 0).state is RecordingState.MISSING


def test_an_emergency_lasts_until_the_last_has_left() -> None:
    call, party = "hotline-1763731200.1", "hotline-p1"
    facts: list[Fact] = [
        CallArrived(0, call, "12345", ""),
        CallEnded(10 * SECOND, call, Party.CALLER, 16),
        PartyLeft(30 * SECOND, call, "1001", party, PartyEnd.HUNG_UP),
    ]
    assert policy.times(facts).ended == 10 * SECOND
    for who, ended in ((PartyKind.OUTSIDE, 10), (PartyKind.EMERGENCY, 30)):
        asked = PartyAsked(SECOND, call, "1001", party, who, "120")
        assert policy.times([*facts, asked]).ended == ended * SECOND
        assert not policy.goes_on([asked, *facts])
        # As long as nobody has left, as when no controller ran, the citizen's end is the only one that is known.
        assert policy.times([*facts[:2], asked]).ended == 10 * SECOND
        assert policy.goes_on([asked, *facts[:2]]) == (who is PartyKind.EMERGENCY)
    # It goes on with whoever else is there, and is over when nobody is or can be reached.
    back = PartyAsked(11 * SECOND, call, "1001", "hotline-x2a", PartyKind.CITIZEN, "139")
    failed = PartyFailed(40 * SECOND, call, "1001", back.party, PartyFailure.BUSY)
    assert policy.goes_on([asked, back, *facts])
    assert not policy.goes_on([asked, back, failed, *facts])


def test_a_callback_lasts_until_the_last_has_left() -> None:
    call, party = "hotline-c7.1", "hotline-p1"
    asked = PartyAsked(SECOND, call, "1001", party, PartyKind.COLLEAGUE, "1002")
    left = PartyLeft(30 * SECOND, call, "1001", party, PartyEnd.HUNG_UP)
    ended = CallbackEnded(10 * SECOND, 7, call, "1001", "", Party.AGENT)
    assert policy.times([asked, left, ended]).ended == 30 * SECOND
    assert policy.times([asked, replace(left, at=5 * SECOND), ended]).ended == 10 * SECOND
    assert policy.goes_on([asked, ended])
    assert not policy.goes_on([asked, left, ended])
