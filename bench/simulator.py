"""How long a million simulated calls take, and the staffing of a week: on one processor, and on all.

No Asterisk. The week's nights are quiet, so each of their hours is simulated on hundreds of days.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acd.rules.model import Rules
from bench.figures import TableRow
from planning import simulation, staffing
from planning.simulator import Length, Scenario, Shape
from planning.workers import processors

CALLS = 1_000_000
LEAST_CALLS = staffing.LEAST_CALLS
SIMULATE_IN, STAFF_IN = 30.0, 60.0
"""Seconds that a million calls on one processor, and the staffing of a week on all, may take."""

_HOURS = (2, 1, 1, 1, 1, 2, 5, 15, 60, 80, 80, 70, 50, 60, 75, 70, 60, 45, 30, 20, 15, 10, 6, 4)
_DAYS = (5.0, 5.0, 5.0, 5.0, 5.0, 2.25, 2.25)
WEEK = tuple(day * hour for day in _DAYS for hour in _HOURS)
"""Calls an hour from Monday on: 22,500 a week."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of the clock, and of all processors."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.0f} s ({self.cpu:.0f} s of CPU)"


def measure(calls: int = CALLS, least_calls: int = LEAST_CALLS) -> list[TableRow]:
    """Simulate `calls`, and staff a week with so many calls in each hour: on one processor, then on all."""
    plan = Scenario(greeting=8.0, answer_after=Length(3.0, Shape.FIXED))

    def simulate(most: int) -> None:
        simulation.run(plan, Rules(), calls=calls, processors=most)

    def staff(most: int) -> None:
        demand, target = staffing.Demand(WEEK), staffing.Target()
        staffing.staff(demand, target, Rules(), least_calls=least_calls, processors=most)

    one, every = _on_one_and_all(simulate)
    within = SIMULATE_IN * calls / CALLS
    rows = [
        _row(f"{calls:,} calls", one, every, f"≤ {within:g} s on one processor", one.wall <= within)
    ]
    one, every = _on_one_and_all(staff)
    name = f"staffing a week, {least_calls:,} calls an hour"
    rows.append(_row(name, one, every, f"≤ {STAFF_IN:g} s", every.wall <= STAFF_IN))
    return rows


def _row(name: str, one: Spent, every: Spent, wanted: str, holds: bool) -> TableRow:
    return TableRow(name, str(one), str(every), f"{one.wall / every.wall:.1f}", wanted, holds)


def _on_one_and_all(work: Callable[[int], None]) -> Sequence[Spent]:
    return [_time(work, 1), _time(work, processors())]


def _time(work: Callable[[int], None], most: int) -> Spent:
    before, began = sum(os.times()[:4]), time.monotonic()
    work(most)
    return Spent(time.monotonic() - began, sum(os.times()[:4]) - before)
