"""How many agents each hour needs: demand from history or a file, Erlang A for a start, the simulator to be sure."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules.model import DEFAULT, Rules
from base import files
from diary import reader
from facts import Fact
from facts.terms import Outcome
from facts.times import CHINA, DAY, SECOND, local, midnight
from metrics.fold import KINDS, CallRecord, record_of
from planning.erlang import Steady, agents_needed
from planning.simulator import (
    BEGIN,
    DAY_OF_HOURS,
    HOUR,
    WEEK_OF_HOURS,
    Length,
    Scenario,
    Shape,
    simulate,
)
from planning.workers import Workers

Progress = Callable[[int, int], None]
"""Called with how many hours have been measured, each with its agents, and of how many that are known to be needed."""

RING = 5.0
"""Seconds of one ring (M4)."""

LEAST_CALLS = 2000
"""The verdict over an hour needs at least this many calls. A quiet hour is simulated on more days to get them."""

MOST_CYCLES = 2000
"""Days on which an hour is simulated at most."""

MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Target:
    """What every hour must reach. `m1`: answered ÷ all who came (M1); `within`: answered within `rings` rings of
    queueing ÷ all who queued (with three rings this is M5: 15 s, the phone's ringing included). Shares from 0 to 1.
    """

    m1: float = 0.95
    within: float = 0.80
    rings: int = 3

    @property
    def seconds(self) -> float:
        """The rings in seconds."""
        return self.rings * RING


class Note(NamedTuple):
    """A sentence for the operator in both languages; the fields are named as `--lang`."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Demand:
    """How many call when, and how they and the agents behave. Lengths in seconds.

    `per_hour`: calls that reach the queue, by the hour of the day (24) or of the week from Monday on (168).
    `estimated`: what was estimated, and from how many calls.
    """

    per_hour: tuple[float, ...]
    talk: float = 180.0
    patience: float = 120.0
    answer_after: float = 3.0
    estimated: tuple[Note, ...] = ()


class Measured(NamedTuple):
    """What the simulator counted in one hour of the cycle, over all its days."""

    calls: int
    answered: int
    in_time: int


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the day or week. `erlang`: agents by Erlang A; `agents`: those with which the simulation holds."""

    hour: int
    per_hour: float
    erlang: int
    agents: int
    measured: Measured

    @property
    def m1(self) -> float | None:
        """Answered ÷ came; None when no caller came."""
        return self.measured.answered / self.measured.calls if self.measured.calls else None

    @property
    def within(self) -> float | None:
        """Answered in time ÷ queued; None when no caller came."""
        return self.measured.in_time / self.measured.calls if self.measured.calls else None


# --- the answer


def staff(
    demand: Demand,
    target: Target,
    rules: Rules,
    *,
    seed: int = 1,
    calls: int = 100_000,
    least_calls: int = LEAST_CALLS,
    progress: Progress = lambda done, asked: None,
    processors: int | None = None,
) -> list[Hour]:
    """The smallest staffing of each hour with which the simulated floor reaches the target in that hour.

    It begins with Erlang A. Then each hour is simulated after the hour before it, on so many days that all hours
    together have about `calls` calls. If it had fewer than `least_calls`, it is simulated on more. An hour that falls
    short gets one agent more, an hour that holds is tried with one fewer, until every hour holds and none is known to
    hold with fewer.
    Hours affect each other: a caller who waits at the end of one is answered in the next. All `processors` work on it,
    and the same seed gives the same answer on every machine. Raises `ValueError` with a message for the operator.
    """
    _check_reachable(demand, target)
    rules = _one_pool(rules)
    starts = [
        _by_erlang(rate, demand, target, rules.queue(DEFAULT).wrap_up_time)
        for rate in demand.per_hour
    ]
    with Workers(processors) as workers:
        floors = _Floors(
            demand,
            target,
            rules,
            seed=seed,
            calls=calls,
            least_calls=least_calls,
            workers=workers,
            progress=progress,
        )
        agents, measured = _search(demand, target, starts, floors)
    return [
        Hour(hour, demand.per_hour[hour], starts[hour], agents[hour], found)
        for hour, found in enumerate(measured)
    ]


def _search(
    demand: Demand, target: Target, starts: Sequence[int], floors: "_Floors"
) -> tuple[list[int], list[Measured]]:
    """The agents of each hour, and what was measured with them."""
    agents, least = list(starts), [1 if rate else 0 for rate in demand.per_hour]
    for _ in range(MOST_ROUNDS):
        measured = floors.measure(agents)
        settled = True
        following = list(agents)
        for hour, found in enumerate(measured):
            if not demand.per_hour[hour]:
                continue
            if not _holds(found, target):
                least[hour] = max(least[hour], agents[hour] + 1)
                following[hour] = agents[hour] + 1
                settled = False
            elif agents[hour] > least[hour]:
                following[hour] = agents[hour] - 1
                settled = False
        if settled:
            return agents, measured
        agents = following
    raise ValueError(
        f"after {MOST_ROUNDS} rounds the targets are still not reached in every hour: take more calls a round, "
        "or look at the talk and wrap-up times"
    )


def _check_reachable(demand: Demand, target: Target) -> None:
    """Raise `ValueError`, with a message for the operator, when no number of agents reaches the target."""
    if not 0 < target.m1 < 1 or not 0 <= target.within < 1:
        raise ValueError("a target lies above 0 % and under 100 %: nobody can promise every call")
    if not 1 <= target.rings <= 60:
        raise ValueError(f"{target.rings} rings: give 1 to 60")
    if not any(demand.per_hour):
        raise ValueError("nobody calls: there is nothing to staff")
    if not 0 <= demand.answer_after < target.seconds:
        raise ValueError(
            f"agents pick up after {demand.answer_after:g} s: no call can be answered within "
            f"{target.seconds:g} s of queueing"
        )
    patient = _stay(demand)
    if target.m1 >= patient or target.within >= patient:
        raise ValueError(
            f"agents pick up after {demand.answer_after:g} s, and {100 * (1 - patient):.1f}% of the callers hang up "
            "before that: no number of agents reaches the target"
        )


def _one_pool(rules: Rules) -> Rules:
    """One queue that everybody serves: the question is how many agents, not which."""
    return Rules(queues={DEFAULT: replace(rules.queue(DEFAULT), skills={})})


def _by_erlang(per_hour: float, demand: Demand, target: Target, wrap_up: float) -> int:
    """The agents needed by Erlang A. An agent is busy during ringing, talk and wrap-up."""
    if not per_hour:
        return 0

    def enough(steady: Steady) -> bool:
        in_time = steady.answered_within(target.seconds - demand.answer_after)
        return (1 - steady.abandons) * stay >= target.m1 and in_time * stay >= target.within

    stay = _stay(demand)
    busy = demand.answer_after + demand.talk + wrap_up
    return agents_needed(per_hour / 3600, busy, demand.patience, enough)


def _stay(demand: Demand) -> float:
    """The share of callers who are still there when an agent whose phone rings picks up."""
    return math.exp(-demand.answer_after / demand.patience)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What decides how an hour goes: its own agents, and those `before`, for the hour before sets the floor going."""

    hour: int
    before: int
    agents: int


class _Floors:
    """Measures hours, each on as many days as it needs; what was measured before is not measured again.

    An hour has a seed of its own, so whatever is asked beside it, it meets the same citizens.
    """

    def __init__(
        self,
        demand: Demand,
        target: Target,
        rules: Rules,
        *,
        seed: int,
        calls: int,
        least_calls: int,
        workers: Workers,
        progress: Progress,
    ) -> None:
        self._demand = demand
        self._measure_one = partial(_measure_hour, demand, target, rules, seed, calls, least_calls)
        self._enough = max(calls / sum(demand.per_hour), least_calls)
        self._workers = workers
        self._progress = progress
        self._known: dict[_Asked, Measured] = {}
        self._asked = 0

    def measure(self, agents: Sequence[int]) -> list[Measured]:
        """What the simulator counts in each hour with these agents."""
        asked = [_Asked(hour, agents[hour - 1], own) for hour, own in enumerate(agents)]
        rates = self._demand.per_hour
        new = [one for one in asked if rates[one.hour] and one not in self._known]
        self._asked += len(new)
        calls = sum(self._enough * (1 + rates[one.hour - 1] / rates[one.hour]) for one in new)
        for one, found in zip(new, self._workers.map(self._measure_one, new, calls), strict=True):
            self._known[one] = found
            self._progress(len(self._known), self._asked)
        return [self._known.get(one, _NOBODY) for one in asked]


_NOBODY = Measured(0, 0, 0)


def _measure_hour(
    demand: Demand,
    target: Target,
    rules: Rules,
    seed: int,
    calls: int,
    least_calls: int,
    asked: _Asked,
) -> Measured:
    """Count one hour on days that have only it and the hour before. Runs in a worker process."""
    rates, hour = demand.per_hour, asked.hour
    cycles = math.ceil(max(least_calls / rates[hour], calls / sum(rates)))
    cycles = min(MOST_CYCLES, max(2, cycles))
    quiet = DAY_OF_HOURS - 2
    # Who still waits at the end is answered in the next hour, if anybody works then.
    after = asked.agents if rates[(hour + 1) % len(rates)] else 0
    scenario = Scenario(
        per_hour=(rates[hour - 1], rates[hour], *(0.0,) * quiet),
        agents=(asked.before, asked.agents, *(after,) * quiet),
        talk=Length(demand.talk, Shape.LOGNORMAL),
        patience=Length(demand.patience),
        answer_after=Length(demand.answer_after, Shape.FIXED),
    )
    came = answered = in_time = 0
    longest = round(target.seconds * SECOND)

    def count(facts: list[Fact]) -> None:
        nonlocal came, answered, in_time
        record = record_of(facts)
        if record is None or (record.arrived - BEGIN) // HOUR % DAY_OF_HOURS != 1:
            return
        came += 1
        if record.answered is not None:
            answered += 1
            in_time += record.answered - (record.queued or record.arrived) <= longest

    hours = DAY_OF_HOURS * cycles
    simulate(scenario, rules, count, seed=f"{seed} hour {hour}", hours=hours)
    return Measured(came, answered, in_time)


def _holds(found: Measured, target: Target) -> bool:
    return (
        found.answered >= target.m1 * found.calls and found.in_time >= target.within * found.calls
    )


# --- the demand


async def from_history(engine: AsyncEngine, now: int, days: int, *, weekly: bool) -> Demand:
    """What the diary says about the last `days` whole days: arrivals that reached the queue, talk and patience.

    Patience is estimated for censored exponential times: all waiting together ÷ how many gave up. Raises `ValueError`
    when there is too little.
    """
    if not 1 <= days <= 366:
        raise ValueError(f"--from-history {days}: give 1 to 366 days")
    until = midnight(now)
    since = until - days * DAY
    arrivals: list[int] = []
    seen = _Behaviour()
    source = reader.read_calls(engine, since - 1, until - 1, kinds=KINDS)
    async with aclosing(source) as calls:
        async for facts in calls:
            record = record_of(facts)
            if record is None or record.origin or record.outcome is Outcome.TEST:
                continue
            if record.reached_queue:
                arrivals.append(record.arrived)
                seen.add(record)
    if not arrivals:
        raise ValueError(
            f"the diary has no queued calls in the {days} days before today: give --csv, or other days"
        )
    first = midnight(arrivals[0])
    said = _arrivals(len(arrivals), first, until)
    return seen.demand(_profile(arrivals, first, until, weekly=weekly), said)


def _arrivals(calls: int, first: int, until: int) -> Note:
    days, since = (until - first) // DAY, f"{local(first):%Y-%m-%d}"
    return Note(
        f"自 {since} 起 {days} 天内 {calls} 通来电", f"{calls} calls of {days} days, from {since}"
    )


class _Behaviour:
    """Sums over the calls of the past, from which the means follow. Microseconds."""

    def __init__(self) -> None:
        self.answered = self.talk = self.waited = self.gave_up = self.picked_up = self.ringing = 0

    def add(self, record: CallRecord) -> None:
        if record.answered is not None:
            self.answered += 1
            self.talk += record.talk
        over = record.answered if record.answered is not None else record.ended
        if record.queued is not None and over is not None:
            self.waited += max(0, over - record.queued)
            self.gave_up += record.outcome in (
                Outcome.ABANDONED_QUEUE,
                Outcome.ABANDONED_RINGING,
            )
        for offer in record.offers:
            if offer.answered is not None and offer.ringing is not None:
                self.picked_up += 1
                self.ringing += max(0, offer.answered - offer.ringing)

    def demand(self, per_hour: tuple[float, ...], said: Note) -> Demand:
        """The demand, with a note on each mean. A mean without data keeps its default, and the note says so."""
        found = Demand(per_hour)
        notes = [said]
        for estimate in (self._talk, self._patience, self._answer_after):
            found, note = estimate(found)
            notes.append(note)
        return replace(found, estimated=tuple(notes))

    def _talk(self, found: Demand) -> tuple[Demand, Note]:
        if not self.answered:
            return found, Note(
                f"通话 {found.talk:g} 秒（假定：没有接通的来电）",
                f"talk {found.talk:g} s, assumed: no call was answered",
            )
        talk = max(1.0, self.talk / self.answered / SECOND)
        return replace(found, talk=talk), Note(
            f"通话 {talk:.1f} 秒（依据 {self.answered} 通接通来电）",
            f"talk {talk:.1f} s, from {self.answered} answered calls",
        )

    def _patience(self, found: Demand) -> tuple[Demand, Note]:
        if not (self.gave_up and self.waited):
            return found, Note(
                f"耐心 {found.patience:g} 秒（假定：无人放弃）",
                f"patience {found.patience:g} s, assumed: nobody gave up",
            )
        patience = self.waited / self.gave_up / SECOND
        return replace(found, patience=patience), Note(
            f"耐心 {patience:.1f} 秒（依据 {self.gave_up} 位放弃者）",
            f"patience {patience:.1f} s, from {self.gave_up} who gave up",
        )

    def _answer_after(self, found: Demand) -> tuple[Demand, Note]:
        if not self.picked_up:
            return found, Note(
                f"话务员 {found.answer_after:g} 秒后摘机（假定）",
                f"agents pick up after {found.answer_after:g} s, assumed",
            )
        after = self.ringing / self.picked_up / SECOND
        return replace(found, answer_after=after), Note(
            f"话务员 {after:.1f} 秒后摘机（依据 {self.picked_up} 次应答）",
            f"agents pick up after {after:.1f} s, from {self.picked_up} answers",
        )


def from_csv(path: Path, *, weekly: bool) -> Demand:
    """Arrivals from a file: columns `hour` and `calls` (a mean day, 0-23, or week, 0-167 from Monday), or a column
    `arrived` with one time a call (ISO 8601; without an offset it is time in China).

    Raises `ValueError` naming the first rows that are wrong, `OSError` when it cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
        if {"hour", "calls"} <= names.keys():
            return _hourly(path, _cells(rows, names["hour"], names["calls"]))
        column = next((names[name] for name in ("arrived", "at", "timestamp") if name in names), "")
        if not column:
            raise ValueError(
                f"{path}: its first line must name the columns hour and calls, or a column arrived"
            )
        moments, wrong = [], _Wrong(path)
        for line, (text,) in _cells(rows, column):
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                wrong.add(line, f"{text!r} is no time such as 2025-11-21T18:00:00")
                continue
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=CHINA)
            moments.append(round(moment.timestamp() * SECOND))
        wrong.stop()
    if not moments:
        raise ValueError(f"{path}: it has no calls")
    first, until = midnight(min(moments)), midnight(max(moments)) + DAY
    said = _arrivals(len(moments), first, until)
    return Demand(_profile(moments, first, until, weekly=weekly), estimated=(said,))


def _cells(rows: "csv.DictReader[str]", *columns: str | None) -> Iterator[tuple[int, list[str]]]:
    for row in rows:
        yield rows.line_num, [(row.get(column or "") or "").strip() for column in columns]


def _hourly(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Demand:
    values: dict[int, float] = {}
    wrong = _Wrong(path)
    for line, (hour, calls) in rows:
        if not hour.isascii() or not hour.isdigit() or int(hour) >= WEEK_OF_HOURS:
            wrong.add(line, f"hour {hour!r} is not 0-23, or 0-167 for a week")
            continue
        try:
            value = float(calls)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1_000_000:
            wrong.add(line, f"calls {calls!r} is no number of calls")
        elif int(hour) in values:
            wrong.add(line, f"hour {hour} is there twice")
        else:
            values[int(hour)] = value
    wrong.stop()
    length = WEEK_OF_HOURS if any(hour >= DAY_OF_HOURS for hour in values) else DAY_OF_HOURS
    per_hour = tuple(values.get(hour, 0.0) for hour in range(length))
    daily = length == DAY_OF_HOURS
    said = Note(
        f"每{'天' if daily else '周'} {sum(per_hour):g} 通来电（{path.name}）",
        f"{sum(per_hour):g} calls a {'day' if daily else 'week'}, from {path.name}",
    )
    return Demand(per_hour, estimated=(said,))


class _Wrong:
    """Collects what is wrong with a file's rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: list[str] = []
        self._count = 0

    def add(self, line: int, what: str) -> None:
        self._count += 1
        if len(self._said) < 10:
            self._said.append(f"line {line}: {what}")

    def stop(self) -> None:
        """Raise when there is anything."""
        if self._count:
            rows = "\n".join(self._said)
            raise ValueError(f"{self._path}: {self._count} rows cannot be used\n{rows}")


def _profile(arrivals: Sequence[int], first: int, until: int, *, weekly: bool) -> tuple[float, ...]:
    """Mean calls of each hour of the day or week, over the days from midnight `first` to midnight `until`."""
    length = WEEK_OF_HOURS if weekly else DAY_OF_HOURS
    counts = [0] * length
    for at in arrivals:
        counts[_hour_of(at, weekly=weekly)] += 1
    days = [0] * 7
    for day in range((until - first) // DAY):
        days[(local(first) + timedelta(days=day)).weekday()] += 1
    if not weekly:
        return tuple(count / sum(days) for count in counts)
    return tuple(
        count / days[hour // DAY_OF_HOURS] if days[hour // DAY_OF_HOURS] else 0.0
        for hour, count in enumerate(counts)
    )


def _hour_of(at: int, *, weekly: bool) -> int:
    moment = local(at)
    return moment.weekday() * DAY_OF_HOURS + moment.hour if weekly else moment.hour


# --- as text and JSON


def notes(demand: Demand, target: Target, lang: str = "zh") -> list[str]:
    """What the table is based on, and the target, in words."""
    say = _WORDS[lang]
    endless = math.isinf(demand.patience)
    patience = say["endless"] if endless else say["seconds"].format(demand.patience)
    return [
        *(getattr(note, lang) for note in demand.estimated),
        say["behaviour"].format(demand.talk, patience, demand.answer_after),
        say["m1"].format(100 * target.m1),
        say["within"].format(target.rings, target.seconds, 100 * target.within),
    ]


def as_rows(hours: Sequence[Hour], lang: str = "zh") -> list[dict[str, str | int | float]]:
    """One row an hour, for a table: heading → cell."""
    heads = _HEADS[lang]
    return [
        dict(
            zip(
                heads,
                (
                    label(one.hour, len(hours), lang),
                    f"{one.per_hour:.1f}",
                    one.erlang,
                    one.agents,
                    _percent(one.m1),
                    _percent(one.within),
                    one.measured.calls,
                ),
                strict=True,
            )
        )
        for one in hours
    ]


def total(hours: Sequence[Hour], lang: str = "zh") -> str:
    """All hours of work, in words."""
    return _WORDS[lang]["total"].format(sum(one.agents for one in hours))


_WORDS = {
    "zh": {
        "endless": "无限",
        "seconds": "{:.1f} 秒",
        "behaviour": "通话 {:.1f} 秒，耐心 {}，话务员 {:.1f} 秒后摘机",
        "m1": "每小时目标：呼叫接通率（M1）不低于 {:g}%",
        "within": "及时：排队后 {} 声（{:g} 秒）内接听，占全部排队来电，不低于 {:g}%",
        "total": "合计 {} 人时",
    },
    "en": {
        "endless": "endless",
        "seconds": "{:.1f} s",
        "behaviour": "talk {:.1f} s, patience {}, agents pick up after {:.1f} s",
        "m1": "wanted in every hour: M1 at least {:g}%",
        "within": "in time, answered within {} rings ({:g} s) of queueing, of all queued: at least {:g}%",
        "total": "hours of work in all: {}",
    },
}
_HEADS = {
    "zh": ("小时", "来电/小时", "Erlang A", "坐席", "M1", "及时", "模拟来电"),
    "en": ("hour", "calls/h", "Erlang A", "agents", "M1", "in time", "simulated"),
}


def as_json(hours: Sequence[Hour], demand: Demand, target: Target, seed: int) -> str:
    """One object: `targets`, `demand`, `hours` (a list) and `agent_hours`."""
    return json.dumps(
        {
            "targets": {"M1": target.m1, "within": target.within, "rings": target.rings},
            "demand": {
                "talk": demand.talk,
                "patience": None if math.isinf(demand.patience) else demand.patience,
                "answer_after": demand.answer_after,
                "notes": [note.en for note in demand.estimated],
            },
            "seed": seed,
            "agent_hours": sum(one.agents for one in hours),
            "hours": [
                {
                    "hour": one.hour,
                    "calls_per_hour": one.per_hour,
                    "erlang_a": one.erlang,
                    "agents": one.agents,
                    "M1": one.m1,
                    "within": one.within,
                    "simulated_calls": one.measured.calls,
                }
                for one in hours
            ],
        },
        ensure_ascii=False,
        indent=1,
    )


_DAYS = {
    "zh": ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
}


def label(hour: int, hours: int, lang: str = "zh") -> str:
    """`08-09`, in a week `周一 08-09`."""
    of_day = hour % DAY_OF_HOURS
    said = f"{of_day:02}-{of_day + 1:02}"
    return said if hours == DAY_OF_HOURS else f"{_DAYS[lang][hour // DAY_OF_HOURS]} {said}"


def _percent(share: float | None) -> str:
    """Rounded down, as in the report."""
    return "–" if share is None else f"{math.floor(share * 1000) / 10:.1f}%"


# --- as a picture

_CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Noto Sans CJK JP",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Droid Sans Fallback",
)


def plot(hours: Sequence[Hour], target: Target, path: Path, lang: str = "zh") -> str:
    """Draw the staffing into a PNG or SVG file, and say in which language: English when no font has Chinese.

    Raises `ValueError` for another kind of file, `OSError` when it cannot be written.
    """
    if path.suffix.lower() not in {".png", ".svg"}:
        raise ValueError(f"--plot {path}: the name must end in .png or .svg")
    # Importing it takes half a second, which no other command should wait for.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    font = _font_with("".join(_LABELS["zh"].values())) if lang == "zh" else ""
    lang = lang if font else "en"
    say = _LABELS[lang]
    style: Any = {"svg.hashsalt": "hotline", "svg.fonttype": "path"}
    if lang == "zh":
        style |= {"font.family": [font, "sans-serif"], "axes.unicode_minus": False}
    with mpl.rc_context(style):
        figure = Figure(figsize=(11 if len(hours) == DAY_OF_HOURS else 22, 7), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        _draw_agents(above, hours, say)
        _draw_shares(below, hours, target, say)
        # Without a date, so that the same staffing gives the same file.
        form, drawn = path.suffix.lower()[1:], io.BytesIO()
        figure.savefig(drawn, format=form, metadata={"Date": None} if form == "svg" else None)
    files.put(path, drawn.getvalue())
    return lang


def _draw_agents(axes: Any, hours: Sequence[Hour], say: Mapping[str, str]) -> None:
    """Calls of each hour as bars, the agents needed as a line above them."""
    axes.bar(
        [one.hour + 0.5 for one in hours],
        [one.per_hour for one in hours],
        width=0.9,
        color="#c9d7e8",
    )
    axes.set_ylabel(say["calls"])
    agents = axes.twinx()
    agents.step(
        [*range(len(hours)), len(hours)],
        [*(one.agents for one in hours), hours[-1].agents],
        where="post",
        color="#b3261e",
        linewidth=2,
    )
    agents.set_ylabel(say["agents"], color="#b3261e")
    agents.set_ylim(bottom=0)
    axes.set_title(say["title"].format(total=sum(one.agents for one in hours)))


def _draw_shares(axes: Any, hours: Sequence[Hour], target: Target, say: Mapping[str, str]) -> None:
    """What each hour reaches, in percent, and the target as a dashed line."""
    places = [one.hour + 0.5 for one in hours]
    for name, color, wanted, shares in (
        ("M1", "#1b6e3c", target.m1, [one.m1 for one in hours]),
        ("within", "#1f4e9e", target.within, [one.within for one in hours]),
    ):
        points = [
            (x, 100 * share) for x, share in zip(places, shares, strict=True) if share is not None
        ]
        axes.plot(
            *zip(*points, strict=True),
            marker="o",
            markersize=4,
            color=color,
            label=say[name].format(rings=target.rings, wanted=100 * wanted),
        )
        axes.axhline(100 * wanted, color=color, linestyle="--", linewidth=1)
    axes.set_ylim(top=100.5)
    axes.set_ylabel("%")
    axes.set_xlabel(say["hour"])
    axes.set_xlim(0, len(hours))
    axes.set_xticks(range(0, len(hours) + 1, 2 if len(hours) == DAY_OF_HOURS else 12))
    axes.legend(loc="lower right")


def _font_with(letters: str) -> str:
    """The name of an installed font that has all these letters, the ones above first; empty without any."""
    from matplotlib.font_manager import findSystemFonts, fontManager, get_font

    # matplotlib remembers the fonts of its first run. A font that was installed later must be added.
    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            with suppress(RuntimeError, OSError):  # no font that it can read
                fontManager.addfont(path)
    files = {font.name: font.fname for font in fontManager.ttflist}
    for name in (*_CHINESE_FONTS, *sorted(files)):
        # matplotlib's own last resort has every letter, but as a box.
        if name in files and not name.startswith("Last Resort"):
            drawn = get_font(files[name]).get_charmap()
            if all(ord(letter) in drawn for letter in letters if not letter.isspace()):
                return name
    return ""


_LABELS = {
    "zh": {
        "title": "各小时所需坐席数（共 {total} 人时）",
        "calls": "每小时来电",
        "agents": "坐席数",
        "hour": "小时（北京时间）",
        "M1": "呼叫接通率（目标 {wanted:g}%）",
        "within": "排队后 {rings} 声内接听（目标 {wanted:g}%）",
    },
    "en": {
        "title": "Agents needed in each hour ({total} hours of work in all)",
        "calls": "calls an hour",
        "agents": "agents",
        "hour": "hour (Beijing time)",
        "M1": "connection rate (target {wanted:g}%)",
        "within": "answered within {rings} rings of queueing (target {wanted:g}%)",
    },
}
