"""Erlang A and C: against hand calculations, against each other, and in their limits."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planning.erlang import Steady, agents_needed, erlang_a

TALK = 180.0
loads = st.floats(0.05, 300)
patiences = st.floats(5, 3600)
agents = st.integers(1, 300)


def steady(load: float, patience: float, count: int) -> Steady:
    return erlang_a(load / TALK, TALK, patience, count)


def test_erlang_c_by_hand() -> None:
    # M/M/1: P(W > 0) is the load, the queue load² / (1 - load). M/M/2 with load 1: a third has to wait.
    one = steady(0.5, math.inf, 1)
    assert one.waits == pytest.approx(0.5)
    assert one.queue == pytest.approx(0.5)
    assert steady(1.0, math.inf, 2).waits == pytest.approx(1 / 3)
    assert one.answered_within(TALK) == pytest.approx(1 - 0.5 * math.exp(-0.5))


def test_one_agent_whose_callers_wait_as_long_as_a_talk() -> None:
    # With patience = talk, every call leaves at one rate whether it talks or waits: M/M/∞, so Poisson.
    poisson = [math.exp(-2.0) * 2.0**count / math.factorial(count) for count in range(60)]
    found = steady(2.0, TALK, 3)
    assert found.waits == pytest.approx(sum(poisson[3:]))
    queue = sum((count - 3) * share for count, share in enumerate(poisson) if count > 3)
    assert found.queue == pytest.approx(queue)
    assert found.abandons == pytest.approx(queue / 2.0)


def test_a_value_of_the_tables() -> None:
    # Erlang C, load 5, 7 agents: 32.41 % wait.
    assert erlang_a(1 / 60, 300, math.inf, 7).waits == pytest.approx(0.3241, abs=5e-5)


@given(loads, patiences, agents)
def test_what_comes_in_goes_out(load: float, patience: float, count: int) -> None:
    found = steady(load, patience, count)
    assert 0 <= found.abandons <= found.waits <= 1
    assert found.busy == pytest.approx(load * (1 - found.abandons), rel=1e-9)
    assert found.queue == pytest.approx(found.abandons * found.rate * patience, rel=1e-9)


@given(loads, patiences, agents)
def test_one_agent_more_is_never_worse(load: float, patience: float, count: int) -> None:
    fewer, more = steady(load, patience, count), steady(load, patience, count + 1)
    assert more.waits <= fewer.waits + 1e-12
    assert more.abandons <= fewer.abandons + 1e-12
    for seconds in (0, 15, 60):
        assert more.answered_within(seconds) >= fewer.answered_within(seconds) - 1e-6


@given(loads, patiences, agents)
def test_answered_within_grows_from_no_wait_to_no_abandon(
    load: float, patience: float, count: int
) -> None:
    found = steady(load, patience, count)
    shares = [found.answered_within(seconds) for seconds in (0, 1, 5, 15, 60, 600, 1e6)]
    assert all(after >= before - 1e-9 for before, after in pairwise(shares))
    assert shares[0] == pytest.approx(1 - found.waits, abs=1e-9)
    assert shares[-1] == pytest.approx(1 - found.abandons, abs=1e-5)


@given(st.floats(0.1, 0.95), st.integers(1, 200))
def test_endless_patience_is_the_limit(part: float, count: int) -> None:
    endless, long = steady(part * count, math.inf, count), steady(part * count, 1e9, count)
    assert long.waits == pytest.approx(endless.waits, rel=1e-3, abs=1e-9)
    assert long.answered_within(30) == pytest.approx(endless.answered_within(30), abs=1e-3)
    assert endless.abandons == 0


@given(loads, patiences)
def test_enough_agents_let_nobody_wait(load: float, patience: float) -> None:
    found = steady(load, patience, math.ceil(load + 12 * math.sqrt(load) + 25))
    assert found.waits < 1e-9
    assert found.answered_within(0) > 1 - 1e-9


@pytest.mark.parametrize("count", [500, 1000, 2000])
@pytest.mark.parametrize("part", [0.001, 0.9, 1.0, 1.5, 100.0])
@pytest.mark.parametrize("patience", [1.0, 120.0, 1e6])
def test_thousands_of_agents(count: int, part: float, patience: float) -> None:
    found = steady(part * count, patience, count)
    assert 0 <= found.abandons <= found.waits <= 1
    assert found.busy == pytest.approx(part * count * (1 - found.abandons), rel=1e-9)
    assert 0 <= found.answered_within(15) <= found.answered_within(math.inf) + 1e-6
    if part > 1:
        assert found.abandons == pytest.approx(1 - 1 / part, abs=1e-2)


def test_nobody_calls_or_nobody_answers() -> None:
    assert steady(0, 60, 3).waits == 0
    nobody = steady(1, 60, 0)
    assert (nobody.waits, nobody.busy, nobody.answered_within(60)) == (1, 0, 0)
    assert nobody.abandons == pytest.approx(1)


@pytest.mark.parametrize(
    ("rate", "talk", "patience", "count"),
    [(-1, 60, 60, 1), (math.nan, 60, 60, 1), (1, 0, 60, 1), (1, 60, 0, 1), (1, 60, 60, -1)],
)
def test_impossible_values(rate: float, talk: float, patience: float, count: int) -> None:
    with pytest.raises(ValueError, match="give"):
        erlang_a(rate, talk, patience, count)


def test_a_queue_that_grows_for_ever_has_no_steady_state() -> None:
    with pytest.raises(ValueError, match="at least 6 are needed"):
        steady(5, math.inf, 5)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 100), st.one_of(patiences, st.just(math.inf)))
def test_agents_needed_are_enough_and_no_more(load: float, patience: float) -> None:
    def enough(found: Steady) -> bool:
        return found.answered_within(15) >= 0.8

    count = agents_needed(load / TALK, TALK, patience, enough)
    assert enough(steady(load, patience, count))
    assume(math.isfinite(patience) or count - 1 > load)
    assert not enough(steady(load, patience, count - 1))


def test_too_many_calls_for_any_staffing() -> None:
    with pytest.raises(ValueError, match="even 10 agents"):
        agents_needed(1, 60, 60, lambda found: found.waits < 0.1, most=10)
