"""Long runs in parts: the seed alone decides, not the processors, and theory still holds."""

import json
from collections import Counter
from dataclasses import replace
from itertools import accumulate

import pytest

from acd.rules.model import DEFAULT, Queue, Rules
from facts import CallArrived, Fact
from planning import simulation, workers
from planning.erlang import erlang_a
from planning.simulation import Part, parts_of
from planning.simulator import BEGIN, HOUR, Length, Scenario, simulate

RULES = Rules(queues={DEFAULT: Queue(wrap_up_time=0)})
DAY = tuple(40.0 + 160.0 * (8 <= hour < 18) for hour in range(24))
PLAN = Scenario(per_hour=DAY, agents=tuple(3 + 8 * (8 <= hour < 18) for hour in range(24)))


@pytest.fixture(autouse=True)
def _short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "PART", 1000)


@pytest.mark.timeout(300)  # worker processes give way to whatever else runs
def test_the_number_of_processors_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WORTH_IT", 0)
    found = set()
    for processors in (1, 2):
        run = simulation.run(PLAN, RULES, seed=5, calls=3500, processors=processors)
        found.add(simulation.as_json(run, 5))
    assert len(found) == 1
    assert json.loads(found.pop())["simulation"]["calls"] == 3500


def test_a_short_run_is_what_it_always_was() -> None:
    assert parts_of(PLAN, RULES, 1999, None) == [Part(0, 0, 1999, None)]
    one = simulation.run(PLAN, RULES, seed=5, calls=1999)
    assert one.totals == simulate(PLAN, RULES, lambda facts: None, seed=5, calls=1999)


@pytest.mark.parametrize("how", [(20_001, None), (None, 171.5)])
def test_parts_are_the_run_without_gaps(how: tuple[int | None, float | None]) -> None:
    parts = parts_of(PLAN, RULES, *how)
    assert len(parts) > 4
    assert [part.number for part in parts] == list(range(len(parts)))
    assert parts[0].first_hour == 0
    if how[0] is not None:
        assert sum(part.calls or 0 for part in parts) == how[0]
        # So many calls come, on average, by the hour in which a part begins.
        for part, before in zip(parts, accumulate(part.calls or 0 for part in parts), strict=True):
            begins, rate = part.first_hour, DAY[part.first_hour % 24]
            came = sum(DAY[hour % 24] for hour in range(begins))
            assert came <= before - (part.calls or 0) <= came + rate + 1
    else:
        ends = [part.first_hour + (part.hours or 0) for part in parts]
        assert [*ends[:-1]] == [part.first_hour for part in parts[1:]]
        assert ends[-1] == how[1]


@pytest.mark.parametrize(
    "plan",
    [
        replace(PLAN, callbacks_per_hour=1.0),
        replace(PLAN, call_back_lost=True),
        replace(PLAN, talk=Length(3600.0)),
    ],
)
def test_a_floor_that_remembers_for_long_is_one_part(plan: Scenario) -> None:
    assert len(parts_of(plan, RULES, 50_000, None)) == 1


def test_a_queue_without_end_is_one_part() -> None:
    endless = Rules(queues={DEFAULT: Queue(longest_wait=86_400.0)})
    assert len(parts_of(PLAN, endless, 50_000, None)) > 1, "people give up"
    patient = replace(PLAN, patience=Length(7200.0))
    assert len(parts_of(patient, endless, 50_000, None)) == 1
    assert len(parts_of(patient, RULES, 50_000, None)) > 1, "the queue lets nobody wait so long"


def test_parts_hold_what_theory_says() -> None:
    load, calls = 6.0, 12_000
    plan = Scenario((load * 20,), (5,), talk=Length(180.0), patience=Length(300.0))
    assert len(parts_of(plan, RULES, calls, None)) > 3
    run = simulation.run(plan, RULES, seed=1, calls=calls)
    theory = erlang_a(load / 180, 180.0, 300.0, 5)
    assert run.report.metrics["M1"].value == pytest.approx(1 - theory.abandons, rel=0.03)
    assert run.totals.occupancy == pytest.approx(theory.busy / 5, rel=0.03)


def test_a_part_begins_with_a_floor_at_work() -> None:
    plan = Scenario((300.0,), (14,), talk=Length(180.0))
    arrivals: list[int] = []
    waits: Counter[bool] = Counter()

    def add(facts: list[Fact]) -> None:
        assert isinstance(facts[0], CallArrived)
        arrivals.append(facts[0].at)

    totals = simulate(plan, RULES, add, seed=2, hours=2.0, first_hour=30)
    assert min(arrivals) >= BEGIN + 30 * HOUR
    assert max(arrivals) < BEGIN + 32 * HOUR
    assert len(arrivals) == totals.calls == pytest.approx(600, rel=0.2)
    assert totals.began == BEGIN + 30 * HOUR
    assert totals.on_duty == pytest.approx(14 * 2 * HOUR, rel=0.1)
    for seed in range(12):
        first: list[list[Fact]] = []
        simulate(plan, RULES, first.append, seed=seed, calls=1, first_hour=30)
        waits[len({fact.at for fact in first[0][:3]}) > 1] += 1
    # On an empty floor nobody would wait.
    assert waits[True] > 3
