"""`hotline simulate`: a simulated floor, its report, and how it compares with queueing theory.

The figures are folded by the code of `hotline report sla`, call by call as each ends, so that memory does not grow.

A long run is made of parts, and all processors work on them. Each part has citizens of its own, and begins with a floor
at work. How many parts there are depends on the run alone, so the same seed gives the same figures on every machine.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from acd.rules.model import DEFAULT, Queue, Rules
from facts import (
    CallbackAdded,
    CallbackCancelled,
    CallbackDialling,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackUnreached,
    CallbackYielded,
    Fact,
)
from facts.terms import Outcome
from facts.times import DAY
from metrics.fold import CallRecord, record_of
from metrics.reports.sla import SlaReport, render_json, render_text
from metrics.window import LowestRate, Rolling, Tally
from planning.erlang import Steady, erlang_a
from planning.simulator import BEGIN, DAY_OF_HOURS, Length, Scenario, Totals, check, simulate
from planning.workers import Workers

Progress = Callable[[int, int], None]
"""Called from time to time with how many calls have ended, and of about how many."""

_PROGRESS_EVERY = 5_000

PART = 50_000
"""Calls: the least that a part has. It has a day at least, too, so the hour before it costs little."""

FORGETS_IN = 1800.0
"""Seconds: a floor on which nobody talks or waits for longer, on average, forgets in an hour how it began."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a simulation: the report, and figures that are in no report."""

    report: SlaReport
    totals: Totals


def run(
    scenario: Scenario,
    rules: Rules,
    *,
    seed: int = 1,
    calls: int | None = None,
    hours: float | None = None,
    fail_under: float = 95.0,
    progress: Progress | None = None,
    processors: int | None = None,
) -> Result:
    """Simulate and report, on so many `processors`, by default on all.

    Raises `ValueError` with a message for the operator.
    """
    check(scenario, rules, calls, hours)
    parts = parts_of(scenario, rules, calls, hours)
    many = _expected(scenario, calls, hours)
    if len(parts) == 1:
        figures = _Figures(progress and partial(_tell, progress, many))
        totals = simulate(scenario, rules, figures.add, seed=seed, calls=calls, hours=hours)
    else:
        figures, totals = _Figures(None), Totals(began=BEGIN)
        with Workers(processors) as workers:
            for done in workers.map(partial(_run_part, scenario, rules, seed), parts, many):
                figures.merge(done)
                totals.merge(done.totals)
                if progress is not None:
                    _tell(progress, many, totals.calls)
    rolling, lowest = figures.over(totals.ended)
    figures.tally.count([("wrap_up", totals.wrapping_up)])
    found = figures.tally.metrics()
    del found["M23"]  # nothing is recorded here
    metrics = {"M1": found.pop("M1"), "M1r": rolling.metric(totals.ended), **found}
    report = SlaReport(
        since=totals.began,
        until=totals.ended,
        hours=round((totals.ended - totals.began) / (DAY / 24), 2),
        fail_under=fail_under,
        outcomes=figures.tally.outcomes,
        pending=figures.tally.pending,
        metrics=metrics,
        lowest=lowest,
        returned=figures.tally.returned,
        estimated=figures.tally.estimated,
        missing=(),
    )
    return Result(report, totals)


def _tell(progress: Progress, many: float, done: int) -> None:
    progress(done, max(done, round(many)))


# --- parts


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a run: it begins `first_hour` hours into it, and has so many `calls`, or lasts so many `hours`."""

    number: int
    first_hour: int
    calls: int | None
    hours: float | None


@dataclass(frozen=True, slots=True)
class _Done:
    """What a part has given. `minutes`: as `Rolling.put` takes them, in the order of time."""

    tally: Tally
    minutes: list[tuple[int, int, int]]
    totals: Totals


def parts_of(
    scenario: Scenario, rules: Rules, calls: int | None, hours: float | None
) -> list[Part]:
    """The parts of a run, each beginning in the hour in which the one before ends, on average.

    A run has a single part if it is short, or if the floor remembers for longer than an hour how it began: callbacks
    stay open for a day, and a queue without end grows for as long as it likes.
    """
    many = _expected(scenario, calls, hours)
    count = int(many / max(PART, DAY_OF_HOURS * _mean(scenario.per_hour)))
    if count < 2 or not _forgets(scenario, rules):
        return [Part(0, 0, calls, hours)]
    begins = [_hour_of(scenario.per_hour, many * one / count) for one in range(count)]
    if calls is not None:
        ends = [calls * one // count for one in range(count + 1)]
        return [Part(one, begins[one], ends[one + 1] - ends[one], None) for one in range(count)]
    assert hours is not None  # noqa: S101 - `check` has seen to it
    until = [*begins[1:], hours]
    return [Part(one, begins[one], None, until[one] - begins[one]) for one in range(count)]


def _expected(scenario: Scenario, calls: int | None, hours: float | None) -> float:
    """About how many calls come."""
    return float(calls or 0) if hours is None else hours * _mean(scenario.per_hour)


def _mean(per_hour: Sequence[float]) -> float:
    return sum(per_hour) / len(per_hour)


def _forgets(scenario: Scenario, rules: Rules) -> bool:
    wait = min(scenario.patience.mean, max(queue.longest_wait for queue in rules.queues.values()))
    callbacks = scenario.call_back_lost or scenario.callbacks_per_hour > 0
    return not callbacks and max(wait, scenario.talk.mean) <= FORGETS_IN


def _hour_of(per_hour: Sequence[float], calls: float) -> int:
    """The hour, counted from the beginning, by whose end so many calls have come on average."""
    cycles, rest = divmod(calls, sum(per_hour))
    return round(cycles) * len(per_hour) + bisect_left(list(accumulate(per_hour)), rest)


def _run_part(scenario: Scenario, rules: Rules, seed: int, part: Part) -> _Done:
    """Runs in a worker process."""
    tally, rolling = Tally(), Rolling(origin=BEGIN)

    def add(facts: list[Fact]) -> None:
        record = record_of(facts)
        if record is not None:
            tally.add(record)
            rolling.add(record)

    totals = simulate(
        scenario,
        rules,
        add,
        seed=f"{seed} part {part.number}",
        calls=part.calls,
        hours=part.hours,
        first_hour=part.first_hour,
    )
    return _Done(tally, rolling.counts(), totals)


class _Figures:
    """Folds calls as they end, or parts. The rolling figure is kept for three days only."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self.tally = Tally()
        self._rolling = Rolling(origin=BEGIN)
        self._lowest: LowestRate | None = None
        self._seen = BEGIN
        self._progress = progress
        self._count = 0

    def add(self, facts: list[Fact]) -> None:
        record = record_of(facts)
        if record is None:
            return
        self.tally.add(record)
        self._rolling.add(record)
        self._see(record.arrived)
        self._count += 1
        if self._progress is not None and self._count % _PROGRESS_EVERY == 0:
            self._progress(self._count)

    def merge(self, part: _Done) -> None:
        """Take a part, after those before it."""
        self.tally.merge(part.tally)
        for at, connected, counted in part.minutes:
            self._rolling.put(at, connected, counted)
            self._see(at)

    def _see(self, at: int) -> None:
        # A day later no call of that day is still open.
        if at > self._seen + 2 * DAY:
            self._close_day(self._seen + DAY)
            self._rolling.forget(self._seen - DAY)

    def over(self, until: int) -> tuple[Rolling, LowestRate | None]:
        """The end: the rolling figures, and the lowest of all minutes."""
        self._close_day(until)
        return self._rolling, self._lowest

    def _close_day(self, until: int) -> None:
        low = self._rolling.lowest(self._seen, until)
        self._seen = until
        if low is not None and (self._lowest is None or _share(low) < _share(self._lowest)):
            self._lowest = low


def _share(low: LowestRate) -> float:
    return low.metric.numerator / low.metric.denominator


# --- as text and JSON

_CALLBACKS: dict[str, type[Fact]] = {
    "added": CallbackAdded,
    "placed": CallbackPlaced,
    "attempts": CallbackDialling,
    "yields": CallbackYielded,
    "unreached": CallbackUnreached,
    "missed": CallbackMissed,
    "cancelled": CallbackCancelled,
    "raced": CallbackRaced,
}


def callbacks(totals: Totals) -> dict[str, int]:
    """What became of the callbacks, counted from the facts."""
    counts = {name: totals.kinds[kind.kind] for name, kind in _CALLBACKS.items()}
    return {**counts, "reached": totals.kinds["CallbackAnswered"]}


def as_json(result: Result, seed: int) -> str:
    """The report's object, with `simulation` beside its figures."""
    found = json.loads(render_json(result.report))
    totals = result.totals
    found["simulation"] = {
        "seed": seed,
        "calls": totals.calls,
        "facts": totals.facts,
        "occupancy": totals.occupancy,
        "callbacks": callbacks(totals),
    }
    return json.dumps(found, ensure_ascii=False, indent=1)


def as_text(result: Result, seed: int, lang: str = "zh") -> str:
    """The report for people, and below it the simulation's other figures."""
    report = render_text(result.report, lang)
    say, totals = _TEXT[lang], result.totals
    lines = [say["title"].format(calls=totals.calls, seed=seed), report]
    if totals.occupancy is not None:
        lines.append(say["occupancy"].format(100 * totals.occupancy))
    counts = callbacks(totals)
    if counts["added"]:
        lines.append(say["callbacks"].format(**counts))
    return "\n".join(lines) + "\n"


_TEXT = {
    "zh": {
        "title": "模拟：{calls} 通来电，种子 {seed}；调度程序与生产环境相同，时钟为虚拟时钟\n",
        "occupancy": "坐席占用率（M10）：{:.1f}%",
        "callbacks": (
            "回访：任务 {added}，拨出 {attempts}，接通 {reached}，为来电让出 {yields}，"
            "未联系上 {unreached}，逾期 {missed}，取消 {cancelled}"
        ),
    },
    "en": {
        "title": "Simulated: {calls} calls, seed {seed}; the production floor on a virtual clock\n",
        "occupancy": "Occupancy of agents (M10): {:.1f}%",
        "callbacks": (
            "Callbacks: {added} tasks, {attempts} dialled, {reached} reached, {yields} yielded to "
            "callers, {unreached} unreached, {missed} missed, {cancelled} cancelled"
        ),
    },
}


# --- beside Erlang A

TOLERANCE = 0.02
"""Relative: the share that a simulated probability may differ by from the closed form."""

TINY = 0.05
TINY_TOLERANCE = 0.001
"""A probability under `TINY` may differ by so much, absolutely: 0.1 percentage points, which is 2 % of `TINY`."""

CHECK_TALK = 180.0

CHECK_CALLS = 1_000_000

_LARGE = 50

CHECK_POINTS = (
    # agents, load (arrivals × talk), patience in seconds
    (1, 0.8, 180.0),
    (2, 2.0, 60.0),
    (5, 4.0, 120.0),
    (5, 6.0, 300.0),
    (10, 9.0, 120.0),
    (10, 14.0, 90.0),
    (20, 19.0, 180.0),
    (35, 33.0, 120.0),
    (50, 50.0, 90.0),
    (50, 60.0, 240.0),
    (100, 95.0, 300.0),
    (100, 110.0, 60.0),
    (200, 200.0, 120.0),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One staffing of one load: what theory says, and what the floor did with `calls` callers."""

    theory: Steady
    calls: int
    waits: float
    abandons: float

    @property
    def apart(self) -> tuple[float, float]:
        """By how much P(W > 0) and the abandonment differ, relative to the tolerance: 1 is just tolerable."""
        return _apart(self.waits, self.theory.waits), _apart(self.abandons, self.theory.abandons)

    @property
    def holds(self) -> bool:
        """Whether both are within the tolerance."""
        return max(self.apart) <= 1


def _apart(found: float, wanted: float) -> float:
    tolerated = TINY_TOLERANCE if wanted < TINY else TOLERANCE * wanted
    return abs(found - wanted) / tolerated


def compare(
    points: Iterable[tuple[int, float, float]] = CHECK_POINTS,
    *,
    calls: int = CHECK_CALLS,
    seed: int = 1,
) -> Iterator[Compared]:
    """Simulate each point without greeting, ring delay or wrap-up, and put Erlang A beside it.

    `calls` for a small floor; a large one gets twice as many, because its states depend on each other for longer.
    """
    asked = list(points)
    with Workers() as workers:
        yield from workers.map(partial(_compare_one, calls, seed), asked, calls * len(asked))


def _compare_one(calls: int, seed: int, point: tuple[int, float, float]) -> Compared:
    """Runs in a worker process."""
    agents, load, patience = point
    rules = Rules(queues={DEFAULT: Queue(wrap_up_time=0, longest_wait=86_400.0 * 7)})
    scenario = Scenario(
        per_hour=(load / CHECK_TALK * 3600,),
        agents=(agents,),
        talk=Length(CHECK_TALK),
        patience=Length(patience),
    )
    counts, many = _Waits(), calls if agents < _LARGE else 2 * calls
    # Each point has a seed of its own. With a common one, an unlucky seed would spoil all points.
    simulate(scenario, rules, counts.add, seed=f"{seed} {agents} {load}", calls=many)
    theory = erlang_a(load / CHECK_TALK, CHECK_TALK, patience, agents)
    return Compared(theory, many, counts.waited / many, counts.abandoned / many)


class _Waits:
    def __init__(self) -> None:
        self.waited = self.abandoned = 0

    def add(self, facts: list[Fact]) -> None:
        record = record_of(facts)
        assert record is not None  # noqa: S101 - every simulated call has its arrival
        gave_up = record.outcome is Outcome.ABANDONED_QUEUE
        self.abandoned += gave_up
        self.waited += gave_up or _waited(record)


def _waited(record: CallRecord) -> bool:
    return record.answered is None or record.queued is None or record.answered > record.queued


def check_table(compared: Iterable[Compared]) -> Iterator[str]:
    """A Markdown table, line by line."""
    head = (
        *("agents", "load", "patience", "calls"),
        *("P(W>0)", "simulated", "abandon", "simulated", "difference", ""),
    )
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---:|" * (len(head) - 1) + "---|"
    for one in compared:
        theory = one.theory
        cells = (
            f"{theory.agents}",
            f"{theory.rate * theory.talk:g}",
            "∞" if math.isinf(theory.patience) else f"{theory.patience:g} s",
            f"{one.calls:,}",
            f"{100 * theory.waits:.2f} %",
            f"{100 * one.waits:.2f} %",
            f"{100 * theory.abandons:.2f} %",
            f"{100 * one.abandons:.2f} %",
            f"{_difference(one.waits, theory.waits)}, {_difference(one.abandons, theory.abandons)}",
            "holds" if one.holds else "**falls short**",
        )
        yield "| " + " | ".join(cells) + " |"


def _difference(found: float, wanted: float) -> str:
    # + 0.0 removes the sign of a difference that rounds to 0.
    if wanted < TINY:
        return f"{round(100 * (found - wanted), 2) + 0.0:+.2f} points"
    return f"{round(100 * (found / wanted - 1), 1) + 0.0:+.1f} %"
