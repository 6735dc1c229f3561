"""Hints of one call, from made-up facts and made-up speech: each rule at its limit, and what does not count."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
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
from facts.terms import Party, PauseWhy
from facts.times import SECOND
from recorder.hints import HintKind, HintRules, hints_of, measure
from recorder.voice import SpeechSpan, Voices

CALL = "hotline-1763731200.17"
T0 = 1_763_731_200 * SECOND
NONE = HintRules(None, None, False, None, None, None)
ALL = HintRules()


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def call(begin: float = 10, end: float = 70, by: Party = Party.CALLER) -> list[Fact]:
    """Arrived at 0, answered at `begin`, ended at `end`."""
    return [
        CallArrived(T0, CALL, "12345", "13812345678"),
        OfferAnswered(at(begin), CALL, "1001"),
        TalkEnded(at(end), CALL, "1001", by),
        CallEnded(at(end), CALL, by),
    ]


def spans(*given: tuple[float, float], level: int = -20) -> tuple[SpeechSpan, ...]:
    return tuple(
        SpeechSpan(round(begin * SECOND), round(end * SECOND), level) for begin, end in given
    )


def found(
    facts: list[Fact],
    left: tuple[SpeechSpan, ...] = (),
    right: tuple[SpeechSpan, ...] = (),
    rules: HintRules = ALL,
    duration: float = 70,
) -> dict[HintKind, tuple[float | None, float]]:
    """Kind → value, and the second at which to listen."""
    made = hints_of(CALL, facts, round(duration * SECOND), Voices(left, right), rules)
    return {one.kind: (one.value, one.at / SECOND) for one in made}


def test_a_long_silence_is_within_the_talk_and_says_where_it_begins() -> None:
    left, right = spans((0, 2), (12, 20)), spans((21, 30), (50, 69))
    assert found(call(), left, right) == {HintKind.LONG_SILENCE: (20.0, 30.0)}
    assert found(call(), left, spans((21, 30.1), (50, 69))) == {}
    assert found(call(), left, right, NONE) == {}


def test_a_hold_a_pause_and_the_phrase_of_the_silent_key_are_no_silence() -> None:
    left, right = spans((12, 20)), spans((21, 30), (50, 69))
    parts: list[list[Fact]] = [
        [TalkHeld(at(33), CALL, "1001"), TalkResumed(at(45), CALL, "1001")],
        [
            RecordingPaused(at(33), CALL, "1001", PauseWhy.KEY),
            RecordingResumed(at(45), CALL, "1001", PauseWhy.KEY),
        ],
        [CallerAsked(at(33), CALL), CallerFound(at(45), CALL)],
    ]
    for apart in parts:
        assert HintKind.LONG_SILENCE not in found([*call(), *apart], left, right)
        (talk,) = measure([*call(), *apart], 70 * SECOND, Voices(left, right))
        assert talk.talk == 48 * SECOND
        assert talk.heard is not None
        assert talk.heard.silence == (45 * SECOND, 50 * SECOND)


def test_music_and_speech_during_a_hold_count_for_nobody() -> None:
    held = [*call(), TalkHeld(at(20), CALL, "1001"), TalkResumed(at(40), CALL, "1001")]
    (talk,) = measure(held, 70 * SECOND, Voices(spans((15, 45)), spans((20, 40))))
    assert talk.heard is not None
    assert (talk.heard.caller.spoken, talk.heard.agent.spoken) == (10 * SECOND, 0)
    assert talk.heard.talk_over == 0
    assert talk.share(talk.heard.caller) == 0.25


def test_talk_over_is_counted_from_half_a_second_on() -> None:
    left = spans((10, 20), (30, 40), (50, 60))
    right = spans((19.6, 29), (37, 49), (59.5, 69))
    (talk,) = measure(call(), 70 * SECOND, Voices(left, right))
    assert talk.heard is not None
    assert (talk.heard.talk_over, talk.heard.overlaps) == (int(3.5 * SECOND), 2)
    assert found(call(), left, right) == {HintKind.TALK_OVER: (3.0, 37.0)}
    assert found(call(), left, right, replace(ALL, talk_over=3.1)) == {}


def test_the_agent_hung_up_first() -> None:
    talking = spans((12, 30), (48, 50)), spans((30, 48), (52, 60))
    ended = call(by=Party.AGENT)
    assert found(ended, *talking) == {HintKind.AGENT_HUNG_UP_FIRST: (20.0, 70.0)}
    assert found(ended, (), talking[1])[HintKind.AGENT_HUNG_UP_FIRST] == (None, 70.0)
    assert found(call(by=Party.SYSTEM), *talking) == {}
    assert found(call(by=Party.CALLER), *talking) == {}
    for why in (
        CallTransferred(at(70), CALL, "1001", "1002"),
        PhoneLost(at(69), CALL, "1001"),
        CallSilent(at(60), CALL),
    ):
        assert found([*ended, why], *talking) == {}
    earlier = CallTransferred(at(20), CALL, "1001", "1002")
    assert HintKind.AGENT_HUNG_UP_FIRST in found([*ended, earlier], *talking)


def test_a_callback_that_its_agent_ends() -> None:
    attempt = "hotline-c7.1"
    facts: list[Fact] = [
        CallbackDialling(T0, 7, attempt, "1001"),
        CallbackAnswered(at(10), 7, attempt, "1001"),
        CallbackEnded(at(70), 7, attempt, "1001", "", Party.AGENT),
    ]
    talking = Voices(spans((12, 40)), spans((40, 69)))
    made = hints_of(attempt, facts, 70 * SECOND, talking, ALL)
    assert [(one.kind, one.agent) for one in made] == [(HintKind.AGENT_HUNG_UP_FIRST, "1001")]
    failed = [*facts[:1], CallbackEnded(at(70), 7, attempt, "1001", "busy", Party.AGENT)]
    assert hints_of(attempt, failed, 70 * SECOND, talking, ALL) == []


def test_too_short_counts_all_talks_of_a_call_and_needs_nobody_to_listen() -> None:
    assert found(call(60.5))[HintKind.TOO_SHORT] == (9.5, 60.5)
    assert HintKind.TOO_SHORT not in found(call(60))
    two: list[Fact] = [
        *call(60.5),
        OfferAnswered(at(30), CALL, "1002"),
        TalkEnded(at(31), CALL, "1002", Party.AGENT),
    ]
    assert HintKind.TOO_SHORT not in found(two)
    assert [one.kind for one in hints_of(CALL, call(61), None, None, ALL)] == [HintKind.TOO_SHORT]
    going_on: list[Fact] = [one for one in call(60.5) if not isinstance(one, CallEnded)]
    assert found(going_on, duration=70) == {}


@pytest.mark.parametrize(("party", "number"), [(Party.CALLER, 0), (Party.AGENT, 1)])
def test_too_quiet_and_too_loud_name_the_side(party: Party, number: int) -> None:
    normal = spans((12, 40))
    for level, kind in (
        (-41, HintKind.TOO_QUIET),
        (-9, HintKind.TOO_LOUD),
        (-40, None),
        (-10, None),
    ):
        sides = [normal, normal]
        sides[number] = spans((13, 40), level=level)
        rules = replace(NONE, too_quiet=-40, too_loud=-10)
        made = hints_of(CALL, call(), 70 * SECOND, Voices(*sides), rules)
        assert [(one.kind, one.party, one.at) for one in made] == (
            [] if kind is None else [(kind, party, 13 * SECOND)]
        )
        assert all(one.value == level for one in made)


def test_a_word_is_too_little_to_judge_its_level() -> None:
    soft = spans((12, 13.9), level=-60)
    assert HintKind.TOO_QUIET not in found(call(), soft, spans((14, 69)))


def test_the_prompts_before_the_talk_are_not_the_agent() -> None:
    (talk,) = measure(call(), 70 * SECOND, Voices((), spans((0, 10), (20, 30))))
    assert talk.heard is not None
    assert (talk.heard.agent.spoken, talk.heard.agent.first) == (10 * SECOND, 20 * SECOND)


def test_places_are_those_of_the_file_that_begins_late() -> None:
    """Asterisk waited half a second for the first sound: the file lacks it at its beginning."""
    (talk,) = measure(call(), round(69.5 * SECOND), None)
    assert (talk.begin, talk.end) == (round(9.5 * SECOND), round(69.5 * SECOND))


def test_a_call_without_a_talk_has_no_hints() -> None:
    facts = [call()[0], call()[-1]]
    assert found(facts, spans((0, 60)), spans((0, 60))) == {}


times = st.lists(st.tuples(st.integers(0, 80), st.integers(1, 20)), max_size=6)


@given(times, times, st.lists(st.tuples(st.integers(10, 60), st.integers(1, 15)), max_size=3))
def test_measures_are_those_of_second_by_second(
    one: list[tuple[int, int]], other: list[tuple[int, int]], held: list[tuple[int, int]]
) -> None:
    def seconds(given: list[tuple[int, int]]) -> list[tuple[int, int]]:
        made, last = [], 0
        for begin, lasts in sorted(given):
            if begin >= last + 1:
                made.append((begin, begin + lasts))
                last = begin + lasts
        return made

    facts = call()
    apart = seconds(held)
    for begin, end in apart:
        facts += [TalkHeld(at(begin), CALL, "1001"), TalkResumed(at(end), CALL, "1001")]
    left, right = seconds(one), seconds(other)
    (talk,) = measure(facts, 70 * SECOND, Voices(spans(*left), spans(*right)))
    talked = set(range(10, 70)) - {t for begin, end in apart for t in range(begin, end)}
    caller = {t for begin, end in left for t in range(begin, end)} & talked
    agent = {t for begin, end in right for t in range(begin, end)} & talked
    assert talk.talk == len(talked) * SECOND
    heard = talk.heard
    assert heard is not None
    assert heard.caller.spoken == len(caller) * SECOND
    assert heard.agent.spoken == len(agent) * SECOND
    assert heard.talk_over == len(caller & agent) * SECOND
    silent, longest = 0, 0
    for t in range(10, 71):
        silent = silent + 1 if t in talked - caller - agent else 0
        longest = max(longest, silent)
    assert (0 if heard.silence is None else heard.silence[1] - heard.silence[0]) == longest * SECOND


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_each_hint_has_its_sentence(lang: str) -> None:
    facts: list[Fact] = [
        CallArrived(T0, CALL, "12345", "13812345678"),
        OfferAnswered(at(10), CALL, "1001"),
        TalkEnded(at(70), CALL, "1001", Party.AGENT),
        CallEnded(at(70), CALL, Party.AGENT),
    ]
    rules = replace(ALL, too_short=100.0)
    voices = Voices(spans((10, 20), (44, 50), level=-50), spans((14, 20), (45, 50), level=-5))
    said = {one.kind: one.text(lang) for one in hints_of(CALL, facts, 70 * SECOND, voices, rules)}
    assert set(said) == set(HintKind)
    assert (
        said[HintKind.TOO_QUIET]
        == {
            "zh": "来电人声音偏小：-50 dB（限值 -40 dB）",
            "en": "the citizen is quiet: -50 dB (limit -40 dB)",
        }[lang]
    )
    assert (
        said[HintKind.AGENT_HUNG_UP_FIRST]
        == {
            "zh": "话务员先挂机，此前来电人最后一次说话是在 20.0 秒前",
            "en": "the agent hung up first, 20.0 s after the citizen was last heard",
        }[lang]
    )
