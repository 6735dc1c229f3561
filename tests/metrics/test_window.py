"""Tallies, metrics, rolling 24 hours and days in China, counted by hand."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import AgentPaused, AgentReady, Fact, TalkEnded
from facts.terms import Outcome, Party, Release
from facts.times import CHINA, DAY, MINUTE, SECOND, local, microseconds, midnight
from metrics.fold import CallRecord, record_of
from metrics.people import Attendance, m10
from metrics.window import Metric, Rolling, Tally, shares_of, shares_of_agents
from tests.metrics.histories import (
    T,
    answered,
    at,
    ended,
    handed_on,
    handed_on_and_lost,
    in_greeting,
    in_queue,
    overflowed,
    released,
    while_ringing,
)


def record(facts: list[Fact]) -> CallRecord:
    found = record_of(facts)
    assert found is not None
    return found


def test_a_day_counted_by_hand() -> None:
    calls = [
        answered("a", waits=0, rings=4.9),  # ring 1, waits 4.9 s
        answered("b", waits=5, rings=10),  # ring 3, waits 15 s: the last that is in time
        answered("c", waits=5, rings=10.000001),  # ring 3, a microsecond too late for M5
        answered("d", waits=5, rings=15),  # ring 4, waits 20 s
        answered("e", waits=5, rings=15.000001),  # ring 4, waits longer than 20 s
        [*answered("f", waits=0, rings=5)[:-1], ended(100, "f", Party.AGENT)],  # ring 2
        overflowed("g"),  # ring 1, waits 5 s in Asterisk's own queue, the agent hung up
        in_greeting("h"),
        in_queue("i"),
        while_ringing("j"),
        released("k", Release.TIMED_OUT),
        released("l", Release.BLOCKED)[:1] + released("l", Release.BLOCKED)[2:],
        answered("m")[:-2],  # talks still
    ]
    tally = Tally(record(facts) for facts in calls)
    assert {outcome.value: count for outcome, count in tally.outcomes.items() if count} == {
        "human": 7,
        "abandoned_greeting": 1,
        "abandoned_queue": 1,
        "abandoned_ringing": 1,
        "timed_out": 1,
        "blocked": 1,
    }
    assert (tally.pending, tally.ended, tally.estimated) == (1, 12, 1)
    figures = tally.metrics()
    assert figures["M1"] == Metric(7, 11)
    assert figures["M2"] == Metric(7, 10)
    assert figures["M4"] == Metric(5, 7, (2, 1, 2, 2))
    assert figures["M5"] == Metric(4, 10)
    assert figures["M5_20"] == Metric(6, 10)
    assert figures["M5a"] == Metric(4, 7)
    waits = 4.9 + 15 + 15.000001 + 20 + 20.000001 + 5 + 5
    assert figures["M7"].denominator == 7
    assert figures["M7"].numerator == pytest.approx(waits, abs=1e-9)
    assert figures["M7_arrived"].numerator == pytest.approx(waits + 6 * 8 + 20, abs=1e-9)
    assert figures["M8"] == Metric(2, 10)
    assert figures["M8_greeting"] == Metric(1, 11)
    assert figures["M21"] == Metric(5, 7)
    assert figures["M4"].as_json() == {
        "numerator": 5,
        "denominator": 7,
        "value": 5 / 7,
        "shares": {"1": 2 / 7, "2": 1 / 7, "3": 2 / 7, ">=4": 2 / 7},
    }


def test_one_who_was_handed_on_from_a_callback_is_work_and_no_call() -> None:
    calls = [record(facts) for facts in (answered("a"), handed_on("b"), handed_on_and_lost("c"))]
    tally = Tally(calls)
    of_calls = Tally(calls[:1])
    assert tally.metrics() == of_calls.metrics()
    assert tally.outcomes == of_calls.outcomes
    assert tally.busy() - of_calls.busy() == 64 * SECOND
    assert Tally([record(handed_on("b")[:-3])]).pending == 0
    of_1002 = Tally()
    of_1002.count(shares_of_agents(calls[1])["1002"])
    assert of_1002.counts == {"outbound": 64 * SECOND}
    rolling = Rolling()
    for call in calls:
        rolling.add(call)
    assert rolling.metric(at(100)) == Metric(1, 1)


@pytest.mark.parametrize(("rings", "named"), [(6, "ring_2"), (16, "ring_4"), (60, "ring_4")])
def test_all_rings_from_the_fourth_on_are_one_count(rings: float, named: str) -> None:
    (shares,) = shares_of_agents(record(answered("a", rings=rings))).values()
    assert [name for name, _ in shares if name.startswith("ring_")] == [named]


def test_what_a_tally_takes_away_is_gone() -> None:
    one, both = (
        Tally([record(answered("a"))]),
        Tally([record(answered("a")), record(in_queue("b"))]),
    )
    both.merge(one, -1)
    assert both.counts == Tally([record(in_queue("b"))]).counts
    both.merge(Tally([record(in_queue("b"))]), -1)
    assert both.counts == {}


def test_a_call_that_goes_on_and_a_test_call_are_nobodys_work() -> None:
    assert "1001" in shares_of_agents(record(answered("a")))
    assert shares_of_agents(record(answered("a")[:-2])) == {}
    test = replace(record(answered("a")), outcome=Outcome.TEST, wraps=())
    assert shares_of_agents(test) == {}


def test_how_much_of_their_time_agents_work() -> None:
    assert m10(90 * SECOND, 400 * SECOND, 100 * SECOND) == Metric(90, 300)


@pytest.mark.parametrize(
    ("reason", "until"),
    [("meal", 5 * SECOND + 30 * MINUTE), ("any length", 1 << 62), ("unknown", 5 * SECOND)],
)
def test_until_when_a_break_is_approved(reason: str, until: int) -> None:
    attendance = Attendance(0, {"meal": 30, "any length": 0})
    attendance.add(AgentPaused(5 * SECOND, "1001", reason))
    assert attendance.rests_until() == until
    attendance.add(AgentReady(6 * SECOND, "1001"))
    assert attendance.rests_until() == 0


def test_nothing_to_divide_by() -> None:
    figures = Tally().metrics()
    assert all(figure.value is None for figure in figures.values())
    assert figures["M4"].as_json()["shares"] == dict.fromkeys(("1", "2", "3", ">=4"))


SOME_CALLS = st.lists(
    st.one_of(
        st.builds(
            answered,
            st.just("c"),
            st.integers(0, 3 * 86_400),
            waits=st.integers(0, 30),
            rings=st.integers(0, 20),
        ),
        st.builds(in_greeting, st.just("c"), st.integers(0, 3 * 86_400)),
        st.builds(in_queue, st.just("c"), st.integers(0, 3 * 86_400)),
        st.builds(while_ringing, st.just("c"), st.integers(0, 3 * 86_400)),
        st.builds(released, st.just("c"), st.sampled_from(Release), st.integers(0, 3 * 86_400)),
        st.builds(in_queue, st.just("c"), st.integers(0, 3 * 86_400)).map(lambda facts: facts[:-1]),
    ).map(record),
    max_size=60,
)


@given(SOME_CALLS)
def test_outcomes_and_pending_add_up_to_the_calls(calls: list[CallRecord]) -> None:
    tally = Tally(calls)
    assert tally.ended + tally.pending == len(calls)
    for name, figure in tally.metrics().items():
        if not name.startswith(("M7", "M9")):
            assert 0 <= figure.numerator <= figure.denominator, name
        if figure.shares is not None:
            assert sum(figure.shares) == figure.denominator


@given(SOME_CALLS, SOME_CALLS)
def test_what_was_taken_out_leaves_no_trace(
    calls: list[CallRecord], others: list[CallRecord]
) -> None:
    tally, rolling = Tally([*calls, *others]), Rolling()
    for call in others:
        tally.add(call, -1)
        rolling.add(call)
        rolling.add(call, -1)
    assert tally.metrics() == Tally(calls).metrics()
    assert tally.outcomes == Tally(calls).outcomes
    assert rolling.metric(T + DAY) == Metric(0, 0)


# --- M1r


@given(SOME_CALLS, st.integers(0, 59), st.integers(-1, 4 * 1440))
def test_rolling_is_m1_of_the_24_hours_before_each_minute(
    calls: list[CallRecord], second: int, minute: int
) -> None:
    rolling = Rolling(origin=T + second * SECOND)
    for call in calls:
        rolling.add(call)
    moment = T + second * SECOND + minute * MINUTE
    inside = [call for call in calls if moment - DAY < call.arrived <= moment]
    assert rolling.metric(moment) == Tally(inside).metrics()["M1"]


@given(SOME_CALLS)
def test_the_lowest_is_the_lowest(calls: list[CallRecord]) -> None:
    many = calls * 5
    rolling = Rolling(origin=T)
    for call in many:
        rolling.add(call)
    minutes = [T + n * MINUTE for n in range(1, 200)]
    samples = [(rolling.metric(minute), minute) for minute in minutes]
    enough = [
        (sample.numerator / sample.denominator, at_)
        for sample, at_ in samples
        if sample.denominator >= 20
    ]
    lowest = rolling.lowest(T, minutes[-1])
    if not enough:
        assert lowest is None
    else:
        assert lowest is not None
        assert (lowest.metric.value, lowest.at) == min(enough)


def test_nineteen_calls_are_too_few() -> None:
    rolling = Rolling(origin=T)
    for n in range(19):
        rolling.add(record(in_queue("c", n)))
    assert rolling.lowest(T, T + DAY) is None
    rolling.add(record(answered("c", 30)))
    lowest = rolling.lowest(T, T + DAY)
    assert lowest is not None
    assert (lowest.at, lowest.metric) == (T + MINUTE, Metric(1, 20))


def test_forgetting_keeps_what_is_needed() -> None:
    rolling = Rolling()
    for hour in range(72):
        rolling.add(record(answered("c", hour * 3600)))
    rolling.forget(at(48 * 3600))
    assert rolling.metric(at(72 * 3600)).denominator == 23  # the hours 49 to 71
    assert rolling.metric(at(24 * 3600)).denominator == 0


# --- days


@pytest.mark.parametrize(
    ("text", "began"),
    [
        ("2025-11-20T16:00:00+00:00", "2025-11-21"),
        ("2025-11-20T15:59:59.999999+00:00", "2025-11-20"),
        ("2024-02-28T16:00:00+00:00", "2024-02-29"),
        ("2025-12-31T23:59:59+08:00", "2025-12-31"),
    ],
)
def test_a_day_begins_at_midnight_in_china(text: str, began: str) -> None:
    moment = microseconds(datetime.fromisoformat(text))
    assert local(midnight(moment)).isoformat() == f"{began}T00:00:00+08:00"


@given(st.integers(0, 2**51))
def test_times_survive_to_the_microsecond(moment: int) -> None:
    assert microseconds(local(moment)) == moment
    assert local(T).tzinfo is CHINA


def test_every_outcome_has_a_count() -> None:
    assert set(Tally().outcomes) == set(Outcome)


@pytest.mark.parametrize(
    ("waits", "in_time"),
    [
        (4, {"total_15", "total_20"}),
        (4.000001, {"total_20"}),
        (9, {"total_20"}),
        (9.000001, set()),
    ],
)
def test_from_the_arrival_to_the_answer(waits: float, in_time: set[str]) -> None:
    """Eight seconds of greeting and three of ringing are part of it."""
    shares = dict(shares_of(record(answered("a", waits=waits))))
    assert {name for name in shares if name.startswith("total_")} == in_time


def test_a_talk_that_the_system_ended_is_of_m24() -> None:
    *facts, talk, end = answered("a")
    whole = record([*facts, talk, end])
    cut = record([*facts, TalkEnded(talk.at, "a", "1001", Party.SYSTEM), end])
    assert Tally([whole, cut, cut]).metrics()["M24"] == Metric(2, 3)
