"""Samples: each talk of a stratum equally likely, none twice, the same whatever the order; work spread evenly."""

import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallEnded,
    CallQueued,
    CallTransferred,
    Fact,
    OfferAnswered,
    OfferMade,
    TalkEnded,
)
from facts.terms import Party
from facts.times import MINUTE, SECOND
from metrics.fold import item_of
from quality import sample
from quality.sample import Assessor, Candidate, SampleError, SamplePlan

WEEK, SEED = "2026-W47", "a-public-seed"
CALL = "hotline-1763731200.1"
QUEUES, LENGTHS = ("tax", "water"), (20 * SECOND, 2 * MINUTE, 9 * MINUTE)


def talk(number: int, agent: str = "1001", queue: str = "tax", length: int = MINUTE) -> Candidate:
    call = f"hotline-1763731200.{number}"
    return Candidate(call, agent, 1_763_731_200_000_000 + number, length, "inbound", queue, "12345")


talks = st.lists(
    st.builds(
        talk,
        st.integers(1, 400),
        st.sampled_from(["1001", "1002", "1003"]),
        st.sampled_from(QUEUES),
        st.sampled_from(LENGTHS),
    ),
    unique_by=lambda one: (one.call, one.agent),
    max_size=80,
)
plans = st.builds(
    SamplePlan, st.integers(1, 8), st.sampled_from([(), ("queue",), ("queue", "length")])
)


@given(talks, plans, st.randoms())
def test_the_order_of_the_talks_does_not_matter(
    found: list[Candidate], plan: SamplePlan, chance: random.Random
) -> None:
    mixed = list(found)
    chance.shuffle(mixed)
    assert sample.draw(mixed, plan, SEED, WEEK) == sample.draw(found, plan, SEED, WEEK)
    assert sample.population_hash(mixed) == sample.population_hash(found)


@given(talks, plans)
def test_each_agent_has_as_many_as_asked_and_none_twice(
    found: list[Candidate], plan: SamplePlan
) -> None:
    drawn = sample.draw(found + found, plan, SEED, WEEK)
    there = Counter(one.agent for one in found)
    assert Counter(one.talk.agent for one in drawn) == {
        agent: min(plan.count, count) for agent, count in there.items()
    }
    assert len({(one.talk.call, one.talk.agent) for one in drawn}) == len(drawn)
    assert {one.talk for one in drawn} <= {*found}


SIZES = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 50), max_size=9)


@given(SIZES, st.integers(1, 60))
def test_strata_get_their_share(sizes: dict[str, int], count: int) -> None:
    taken = sample.allocate(sizes, count)
    there = sum(sizes.values())
    assert sum(taken.values()) == min(count, there)
    assert all(0 <= taken[name] <= sizes[name] for name in sizes)
    if count >= len(sizes):
        assert all(taken.values())
    if count >= there:
        assert taken == sizes
    for name in sizes:
        # In proportion, but for the one that each stratum has: nobody is more than that above their share.
        assert taken[name] <= min(count, there) * sizes[name] / there + 1


def test_every_talk_of_a_stratum_is_equally_likely() -> None:
    """Over many seeds each of ten talks is drawn three times in ten: chi-squared with nine degrees of freedom."""
    found, seeds = [talk(number) for number in range(10)], 1500
    times = Counter(
        one.talk.call
        for seed in range(seeds)
        for one in sample.draw(found, SamplePlan(3), f"seed-{seed}", WEEK)
    )
    expected = seeds * 3 / 10
    # Without replacement the counts vary less than independent ones: 27.9 is exceeded once in a thousand at most.
    assert sum((times[one.call] - expected) ** 2 / expected for one in found) < 27.9
    assert len(times) == 10


def test_another_seed_or_week_draws_others() -> None:
    found = [talk(number) for number in range(100)]
    samples = {
        tuple(one.talk.call for one in sample.draw(found, SamplePlan(5), seed, week))
        for seed in ("one", "two")
        for week in (WEEK, "2026-W48")
    }
    assert len(samples) == 4


def test_a_number_can_be_checked_by_hand() -> None:
    line = f"{SEED}\n{WEEK}\n1001\n{CALL}".encode()
    assert sample.chance(SEED, WEEK, "1001", CALL) == hashlib.sha256(line).hexdigest()
    [one] = sample.draw([talk(1)], SamplePlan(1), SEED, WEEK)
    assert one.chance == hashlib.sha256(line).hexdigest()


def test_a_population_that_differs_in_one_talk_has_another_hash() -> None:
    found = [talk(number) for number in range(5)]
    hashes = {
        sample.population_hash(others)
        for others in (found, found[1:], [*found[1:], talk(0, queue="water")], [*found, talk(9)])
    }
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("count", "by", "said"),
    [(0, (), "1 to 100"), (101, (), "1 to 100"), (3, ("colour",), "there is queue"), (3, ("queue", "queue"), "twice")],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused(count: int, by: tuple[str, ...], said: str) -> None:
    with pytest.raises(SampleError, match=said):
        SamplePlan(count, by)


def test_a_call_with_two_agents_has_two_talks() -> None:
    at = 1_763_731_200_000_000
    facts: list[Fact] = [
        CallArrived(at, CALL, "12345", "+8613800000000"),
        CallQueued(at + SECOND, CALL, "tax"),
        OfferMade(at + SECOND, CALL, "1001"),
        OfferAnswered(at + 2 * SECOND, CALL, "1001"),
        TalkEnded(at + 42 * SECOND, CALL, "1001", Party.AGENT),
        CallTransferred(at + 42 * SECOND, CALL, "1001", "1002"),
        OfferMade(at + 43 * SECOND, CALL, "1002"),
        OfferAnswered(at + 44 * SECOND, CALL, "1002"),
        TalkEnded(at + 59 * SECOND, CALL, "1002", Party.CALLER),
        CallEnded(at + 59 * SECOND, CALL, Party.CALLER),
    ]
    item = item_of(facts)
    assert item is not None
    first, second = sample.talks_of(item, 10 * SECOND)
    assert (first.agent, first.length, first.others, first.ended_by) == (
        "1001",
        40 * SECOND,
        ("1002",),
        "agent",
    )
    assert (second.agent, second.length, second.queue, second.number) == (
        "1002",
        15 * SECOND,
        "tax",
        "12345",
    )
    assert [one.agent for one in sample.talks_of(item, 20 * SECOND)] == ["1001"]
    assert sample.STRATA["transfer"](first) == "several"
    going_on = item_of(facts[:-1])
    assert going_on is not None
    assert sample.talks_of(going_on, 0) == []


def test_an_attempt_of_a_callback_is_a_talk_too() -> None:
    at, call = 1_763_731_200_000_000, "hotline-c7.1"
    item = item_of(
        [
            CallbackPlaced(at, 7, call, "1001"),
            CallbackDialling(at + SECOND, 7, call, "1001"),
            CallbackAnswered(at + 2 * SECOND, 7, call, "1001"),
            CallbackEnded(at + 32 * SECOND, 7, call, "1001", "reached"),
        ]
    )
    assert item is not None
    [one] = sample.talks_of(item, 10 * SECOND)
    assert (one.kind, one.agent, one.length) == ("callback", "1001", 30 * SECOND)
    assert sample.talks_of(item, MINUTE) == []


# --- who assesses what


@given(talks, st.integers(1, 5))
def test_work_is_spread_evenly(found: list[Candidate], people: int) -> None:
    drawn = sample.draw(found, SamplePlan(8), SEED, WEEK)
    given_to = sample.assign(drawn, [Assessor(f"a{n}") for n in range(people)], SEED)
    assert [one for one, _ in given_to] == sorted(drawn, key=lambda one: one.chance)
    loads = Counter(name for _, name in given_to)
    if drawn:
        assert max(loads.values()) - min(loads[f"a{n}"] for n in range(people)) <= 1


@given(talks)
def test_nobody_assesses_a_call_in_which_they_took_part(found: list[Candidate]) -> None:
    drawn = sample.draw(found, SamplePlan(8), SEED, WEEK)
    people = [Assessor("wang", "1001"), Assessor("li", "1002"), Assessor("zhao")]
    for one, name in sample.assign(drawn, people, SEED):
        assert (name, one.talk.agent) not in {("wang", "1001"), ("li", "1002")}


def test_the_other_agent_of_a_call_does_not_assess_it() -> None:
    one = Candidate(CALL, "1001", 1, MINUTE, "inbound", others=("1002",))
    drawn = sample.draw([one], SamplePlan(1), SEED, WEEK)
    with pytest.raises(SampleError, match="agent 1001"):
        sample.assign(drawn, [Assessor("wang", "1001"), Assessor("li", "1002")], SEED)
    with pytest.raises(SampleError, match="nobody to assess"):
        sample.assign(drawn, [], SEED)
    assert sample.assign([], [], SEED) == []


def test_who_has_much_to_do_gets_less() -> None:
    drawn = sample.draw([talk(n) for n in range(10)], SamplePlan(10), SEED, WEEK)
    people = [Assessor("busy", load=6), Assessor("free")]
    loads = Counter(name for _, name in sample.assign(drawn, people, SEED))
    assert loads == {"free": 8, "busy": 2}
