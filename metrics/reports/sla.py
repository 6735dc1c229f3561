"""`hotline report sla`: the figures of one window of time, and whether the standard was met (R1, R2)."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from rich.console import Console
from rich.table import Table
from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks import tables as callbacks_tables
from acd.callbacks.entry import KINDS as TASK_KINDS
from acd.rules import book as rulebook
from acd.rules.model import Queue, Rules
from base import clock, database
from diary import reader, writer
from diary import tables as diary_tables
from facts import CallbackAdded, ControllerStarted, ControllerStopped, LinkLost, LinkRestored
from facts.terms import Outcome
from facts.times import DAY, MINUTE, SECOND, day_of, local, moment_of
from metrics import people, rollup
from metrics import tables as metrics_tables
from metrics.callbacks import (
    NO_FIGURES,
    CallbackFigures,
    InboundFirst,
    Situation,
    TaskHistory,
    Wait,
    figures,
    fold_task,
    records,
)
from metrics.sums import ALL, Only
from metrics.window import (
    SHARES,
    SHORT_ABANDON,
    SMALLEST_SAMPLE,
    LowestRate,
    Metric,
    Point,
    Tally,
    m21,
    survey_metrics,
)
from recorder import seals
from recorder.evidence import DaySeal, seal_json

log = structlog.get_logger(__name__)

MOST_HOURS = 24 * 366
"""The longest window of a report."""

LONGEST_CALL = 4 * 60 * MINUTE
"""Microseconds: a call that has not ended after this long lacks facts. No talk lasts that long."""


class Verdict(IntEnum):
    """Whether the standard was met; the value is the command's exit status."""

    HOLDS = 0
    FALLS_SHORT = 1
    NONE = 2


class Words(NamedTuple):
    """One sentence for the operator, in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """One agent's row of a report, with the counts of `metrics.window.shares_of_agents` and `metrics.people`."""

    number: str
    counts: Tally

    def metrics(self) -> dict[str, Metric]:
        """The agent's M4, M7, M9, M10, M11, M12, M21 and M23.

        M21 and M23 are of the calls that this agent answered first, M21_unexplained is of those they talked in.
        """
        found = self.counts.counts.get
        rings = [found(f"ring_{ring}", 0) for ring in (1, 2, 3, 4)]
        first, handled = found("first", 0), found("handled", 0)
        worked = found("talk", 0) + found("wrap_up", 0)
        return {
            "M4": Metric(sum(rings[:3]), sum(rings), (rings[0], rings[1], rings[2], rings[3])),
            "M7": Metric(found("wait", 0) / SECOND, found("waits", 0)),
            "M9": Metric(worked / SECOND, handled),
            "M10": people.m10(self.counts.busy(), found("signed_in", 0), found("approved", 0)),
            **survey_metrics(self.counts.counts),
            "M21": m21(self.counts.counts, first),
            "M21_unexplained": Metric(found("unexplained", 0), handled),
            "M23": Metric(found("recorded", 0), first),
        }


@dataclass(frozen=True, slots=True)
class Details:
    """What tables and pictures show beside the figures.

    `hours` by the beginning of each hour that had calls; `queues` by queue and number; `curve`: M1r at several hundred
    moments of the window.
    """

    hours: Mapping[int, Tally] = field(default_factory=dict)
    queues: Mapping[tuple[str, str], Tally] = field(default_factory=dict)
    agents: Sequence[AgentFigures] = ()
    curve: Sequence[Point] = ()


@dataclass(frozen=True, slots=True)
class SlaReport:
    """The figures of (since, until]. `metrics` by their ID; `missing`: why the data are not complete.

    `only`: which calls were counted. `fail_under` is the percentage that M1 has to reach. `lowest`: the lowest M1r of
    the window's minutes, None when every sample was too small. `returned`: calls that lost the controller while they
    waited; `harassing`: calls that an agent marked so (R18); `estimated`: answers whose ring rests on the time of our
    INVITE. `callbacks`: M20 and M22, none when only the calls to one number or of one agent were counted. `excused`:
    calls that arrived in approved incidents. M3 leaves them out, and callers who gave up in less than `short_abandon`
    seconds, too. `seal`: the newest of the recordings' seals up to the window's last day. All times in microseconds
    UTC.
    """

    since: int
    until: int
    hours: float
    fail_under: float
    outcomes: dict[Outcome, int]
    pending: int
    metrics: dict[str, Metric]
    lowest: LowestRate | None
    returned: int
    estimated: int
    missing: tuple[Words, ...]
    only: Only = ALL
    callbacks: CallbackFigures = NO_FIGURES
    short_abandon: int = SHORT_ABANDON
    excused: int = 0
    harassing: int = 0
    details: Details = Details()
    seal: DaySeal | None = None

    @property
    def verdict(self) -> Verdict:
        """From M1, compared exactly; none for fewer than 20 calls, one agent, or when data are missing."""
        m1 = self.metrics["M1"]
        if self.missing or self.only.agent or m1.denominator < SMALLEST_SAMPLE:
            return Verdict.NONE
        needed = Fraction(str(self.fail_under)) * m1.denominator / 100
        return Verdict.HOLDS if m1.numerator >= needed else Verdict.FALLS_SHORT


async def sla(
    engine: AsyncEngine,
    at: int,
    hours: float,
    fail_under: float,
    *,
    journal: Path | None = None,
    missing: Sequence[Words] = (),
    only: Only | None = None,
    short_abandon: int = SHORT_ABANDON,
    details: bool = False,
) -> SlaReport:
    """The figures of the calls that arrived in the `hours` before `at` (microseconds).

    `journal`: the folder in which the diary's journals lie while the database is away. `missing`: reasons why the
    diary is not complete that the caller of this function knows. `only`: the calls to count, else all. `details`: also
    what tables and pictures show. Raises `ValueError` with a message for the operator.
    """
    _check(hours, fail_under)
    only = only or ALL
    since = at - round(hours * 60 * MINUTE)
    now = clock.now()
    try:
        await rollup.bring_up_to_date(engine, now)
    except database.FAILED as error:
        log.warning("rollup.not_written", error=type(error).__name__, effect="the report is slow")
    found = await rollup.gather(
        engine, since, at, only, hours=details, agents=details or bool(only.agent), now=now
    )
    excused = await _excused(engine, since, at, only, now)
    lowest, curve = await _rolling(engine, since, at, only, draw=details)
    m1r = found.total
    if at - since != DAY:
        m1r = (await rollup.gather(engine, at - DAY, at, only, now=now)).total
    stale = 0
    too_long = at - LONGEST_CALL - 1
    if found.total.pending and since < too_long:
        stale = (await rollup.gather(engine, since, too_long, only, now=now)).total.pending
    about_callbacks = await callbacks(engine, since, at, only)
    reasons = [*missing, *await _gaps(engine, at), *_lacking(stale, journal)]
    metrics = found.total.metrics(short_abandon=short_abandon, excused=excused)
    if not (only.number or only.queue):
        metrics["M10"] = await _add_attendance(engine, found, since, at, only, now)
    outcomes, pending = found.total.outcomes, found.total.pending
    agents = [AgentFigures(name, tally) for name, tally in sorted(found.agents.items())]
    if only.agent:
        own = next(
            (one for one in agents if one.number == only.agent), AgentFigures(only.agent, Tally())
        )
        agents = [own]
        # The calls' other figures are about what happened before this agent, or without them.
        metrics = {name: Metric(0, 0) for name in metrics} | own.metrics()
        handled = own.counts.counts.get("handled", 0)
        outcomes = {name: handled * (name is Outcome.HUMAN) for name in outcomes}
        pending, lowest, curve, m1r = 0, None, [], Tally()
    return SlaReport(
        since=since,
        until=at,
        hours=hours,
        fail_under=fail_under,
        outcomes=outcomes,
        pending=pending,
        metrics=_in_order({**metrics, "M1r": m1r.metrics()["M1"]}),
        lowest=lowest,
        returned=found.total.returned,
        estimated=found.total.estimated,
        harassing=found.total.harassing,
        missing=tuple(reasons),
        only=only,
        callbacks=about_callbacks,
        short_abandon=short_abandon,
        excused=excused.counted,
        details=Details(found.hours, found.by_queue, agents, curve) if details else Details(),
        seal=await seals.newest(engine, local(day_of(at)).date().isoformat()),
    )


def _check(hours: float, fail_under: float) -> None:
    if not 0 < hours <= MOST_HOURS:
        raise ValueError(f"--hours {hours:g}: give more than 0 and at most {MOST_HOURS}")
    if not 0 <= fail_under <= 100:
        raise ValueError(f"--fail-under {fail_under:g}: give a percentage from 0 to 100")


async def _add_attendance(
    engine: AsyncEngine, found: rollup.Gathered, since: int, at: int, only: Only, now: int
) -> Metric:
    """Add the agents' attendance to `found`; gives M10 of all of them together."""
    present = await rollup.attendance(engine, since, at, now=now)
    if only.agent:
        present = {name: one for name, one in present.items() if name == only.agent}
    for name, tally in present.items():
        found.agents.setdefault(name, Tally()).merge(tally)
    return people.m10(
        found.total.busy(),
        sum(one.counts.get("signed_in", 0) for one in present.values()),
        sum(one.counts.get("approved", 0) for one in present.values()),
    )


def _lacking(stale: int, journal: Path | None) -> list[Words]:
    """Why the data are not complete: calls without an end, and facts that are not in the database yet."""
    reasons = []
    if stale:
        reasons.append(
            Words(
                f"{stale} 通来电没有结束记录",
                f"{stale} calls have no end: what ended them is not in the diary",
            )
        )
    if journal is not None and (waiting := writer.unwritten(journal)):
        reasons.append(
            Words(
                f"{waiting} 条事实尚未写入数据库，暂存于 {journal}",
                f"{waiting} facts wait in {journal}, because the database was away",
            )
        )
    return reasons


async def _excused(engine: AsyncEngine, since: int, at: int, only: Only, now: int) -> Tally:
    """The calls that arrived in approved incidents."""
    found = Tally()
    for begin, end in merged(await incidents(engine, since, at)):
        within = await rollup.gather(engine, max(begin, since), min(end, at), only, now=now)
        found.merge(within.total)
    return found


async def incidents(engine: AsyncEngine, since: int, until: int) -> list[tuple[int, int]]:
    """The approved incidents that touch (since, until], as stretches of microseconds."""
    row = metrics_tables.incident.c
    question = select(row.begin, row.end).where(row.begin < until, row.end > since)
    async with engine.connect() as connection:
        return [(begin, end) for begin, end in await connection.execute(question)]


def merged(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same time as stretches that do not overlap, in order."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


async def _rolling(
    engine: AsyncEngine, since: int, at: int, only: Only, *, draw: bool
) -> tuple[LowestRate | None, list[Point]]:
    """The lowest M1r of the window's whole minutes, and its curve."""
    lowest: LowestRate | None = None
    curve: list[Point] = []
    step = max(5, -(-(at - since) // (_MOST_POINTS * 5 * MINUTE)) * 5) * MINUTE
    done = since
    async for end, rolling in rollup.minutes(engine, since, at, only):
        low = rolling.lowest(done, end)
        if low is not None and (
            lowest is None
            or low.metric.numerator * lowest.metric.denominator
            < lowest.metric.numerator * low.metric.denominator
        ):
            lowest = low
        moments = range(-(-(done + 1) // step) * step, end + 1, step) if draw else ()
        curve += [Point(moment, rolling.metric(moment), 0) for moment in moments]
        done = end
    return lowest, curve


_MOST_POINTS = 288


def status(report: SlaReport) -> int:
    """The command's exit status: 0 holds, 1 falls short, 2 no verdict."""
    return int(report.verdict)


def parse_time(text: str, now: int, option: str = "--at") -> int:
    """Read `now` or ISO 8601 as microseconds UTC; without an offset it is time in China. Raises `ValueError`."""
    if text.strip().lower() == "now":
        return now
    try:
        at = moment_of(text.strip())
    except (ValueError, OverflowError):
        at = -1
    if not DAY < at < 2**53:
        raise ValueError(
            f"{option} {text!r}: write now, or a time such as 2025-11-21T18:00 (in China) "
            "or 2025-11-21T10:00:00Z"
        )
    return at


async def callbacks(
    engine: AsyncEngine,
    since: int,
    at: int,
    only: Only = ALL,
    *,
    waits: Sequence[Wait] | None = None,
) -> CallbackFigures:
    """M20 and M22 of (since, at]. The callback book says how far back the facts of its tasks go.

    With `waits`, they come from the facts alone: all callbacks that ever were, and these waits, which must begin
    `LONGEST_CALL` before `since`. Neither figure has a roll-up of its own. M20 counts a task when it is settled, which
    its deadline may decide without any fact. M22 asks today's rules who may take which call. What is written down are
    the book's dates, and the waits (`metrics.rollup.waits`).
    """
    if only.number or only.agent:
        return NO_FIGURES
    tasks: dict[int, TaskHistory] = {}
    day = 0
    if waits is None:
        begin = await _first_of_book(engine, since, at)
    else:
        begin = await _first_of_all(engine, since)
    async for fact in reader.read_kinds(engine, TASK_KINDS, begin, at + 1):
        fold_task(tasks, fact)
        if fact.at - day > DAY:
            day = fact.at
            _forget(tasks, since)
    known = [one for one in records(tasks) if not only.queue or one.queue == only.queue]
    rules = await rulebook.load(engine, Queue()) if known else Rules()
    inbound = InboundFirst(known, rules, at)
    if inbound.needs_calls:
        if waits is None:
            waits = [one async for one in rollup.waits(engine, since - LONGEST_CALL, at)]
        for wait in waits:
            inbound.add_wait(wait)
    return figures(known, inbound.situations(), since, at)


async def _first_of_book(engine: AsyncEngine, since: int, at: int) -> int:
    """When the first task was entered that can matter for (since, at]."""
    book = callbacks_tables.callback.c
    concerned = and_(book.added_at <= at, or_(book.updated_at > since, book.latest > since))
    async with engine.connect() as connection:
        first = await connection.scalar(select(func.min(book.added_at)).where(concerned))
    return since if first is None else min(first, since)


async def _first_of_all(engine: AsyncEngine, since: int) -> int:
    """When the first task of all was entered."""
    fact = diary_tables.diary.c
    question = select(func.min(fact.at)).where(fact.kind == CallbackAdded.kind)
    async with engine.connect() as connection:
        first = await connection.scalar(question)
    return since if first is None else min(first, since)


def _forget(tasks: dict[int, TaskHistory], since: int) -> None:
    """Drop the tasks that were closed long before the window: years of them would not fit into memory."""
    for number, task in list(tasks.items()):
        if task.last < since - LONGEST_CALL:
            record = task.record()
            if record is None or (record.closed is not None and record.closed <= since):
                del tasks[number]


async def _gaps(engine: AsyncEngine, at: int) -> list[Words]:
    """Whether the controller was without Asterisk's facts before `at`, and has not caught up to this day.

    The controller reports LinkRestored when it has read Asterisk's state, and CEL, again. A link that is lost while the
    whole centre stops is no gap.
    """
    fact = diary_tables.diary.c
    restored = select(func.max(fact.at)).where(fact.kind == LinkRestored.kind)
    kinds = [kind.kind for kind in (ControllerStarted, ControllerStopped, LinkLost)]
    question = (
        select(fact.at, fact.kind)
        .where(fact.kind.in_(kinds), fact.at > func.coalesce(restored.scalar_subquery(), 0))
        .where(fact.at <= at)
        .order_by(fact.at, fact.id)
    )
    since: int | None = None
    async with engine.connect() as connection:
        for row in await connection.execute(question):
            if row.kind != ControllerStopped.kind:
                since = row.at if since is None else since
            elif since is not None and row.at - since <= _STOPPING:
                since = None
    if since is None:
        return []
    when = _minute(since)
    return [
        Words(
            f"自 {when} 起的通话尚未从 Asterisk 补齐",
            f"what happened in Asterisk since {when} has not been read",
        )
    ]


_STOPPING = MINUTE
"""Microseconds: a link lost this shortly before the controller's own stop was lost because of that stop."""


def _in_order(metrics: dict[str, Metric]) -> dict[str, Metric]:
    first = ("M1", "M1r", "M2")
    return {name: metrics[name] for name in (*first, *(m for m in metrics if m not in first))}


# --- as text, JSON and CSV


def render_json(report: SlaReport) -> str:
    """One object: `window`, `verdict`, `outcomes`, `pending` and each metric by its ID (R1)."""
    m1r = report.metrics["M1r"]
    metrics: dict[str, Any] = {name: metric.as_json() for name, metric in report.metrics.items()}
    metrics["M1r"]["enough"] = m1r.denominator >= SMALLEST_SAMPLE
    metrics["M1r"]["lowest"] = report.lowest and {
        "at": _iso(report.lowest.at),
        **report.lowest.metric.as_json(),
    }
    return json.dumps(
        {
            "window": {
                "from": _iso(report.since),
                "to": _iso(report.until),
                "hours": report.hours,
            },
            "number": report.only.number,
            "queue": report.only.queue,
            "agent": report.only.agent,
            "verdict": report.verdict.name.lower(),
            "fail_under": report.fail_under,
            "missing": [words.en for words in report.missing],
            "outcomes": {outcome.value: count for outcome, count in report.outcomes.items()},
            "pending": report.pending,
            "returned": report.returned,
            "estimated": report.estimated,
            "harassing": report.harassing,
            "short_abandon": report.short_abandon,
            "excused": report.excused,
            **metrics,
            **{name: metric.as_json() for name, metric in report.callbacks.metrics.items()},
            "callbacks_open": report.callbacks.open,
            "callbacks_missed": list(report.callbacks.missed),
            "inbound_first": [_situation(one) for one in report.callbacks.inbound_first],
            "recordings_seal": seal_json(report.seal) if report.seal else None,
        },
        ensure_ascii=False,
        indent=1,
    )


def render_csv(report: SlaReport) -> str:
    """One row a figure: `section,name,numerator,denominator,value`; an empty value has nothing to divide by."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    ended = sum(report.outcomes.values())
    write(("section", "name", "numerator", "denominator", "value"))
    write(("window", "from", "", "", _iso(report.since)))
    write(("window", "to", "", "", _iso(report.until)))
    write(("only", "number", "", "", report.only.number))
    write(("only", "queue", "", "", report.only.queue))
    write(("only", "agent", "", "", report.only.agent))
    write(("verdict", report.verdict.name.lower(), "", "", ""))
    for words in report.missing:
        write(("missing", words.en, "", "", ""))
    for outcome, count in report.outcomes.items():
        write(("outcome", outcome.value, count, ended, Metric(count, ended).value))
    write(("outcome", "pending", report.pending, "", ""))
    for name, metric in report.metrics.items():
        write(("metric", name, metric.numerator, metric.denominator, metric.value))
        for share, count in zip(SHARES, metric.shares or (), strict=False):
            value = Metric(count, metric.denominator).value
            write(("share", f"{name} {share}", count, metric.denominator, value))
    for name, metric in report.callbacks.metrics.items():
        write(("metric", name, metric.numerator, metric.denominator, metric.value))
    if report.lowest is not None:
        lowest = report.lowest.metric
        write(
            ("metric", "M1r lowest", lowest.numerator, lowest.denominator, lowest.value),
        )
    if report.seal is not None:
        write(("seal", report.seal.day, report.seal.rows, "", report.seal.sha256.head))
        if report.seal.sm3:
            write(("seal SM3", report.seal.day, report.seal.rows, "", report.seal.sm3.head))
    return out.getvalue()


def render_text(report: SlaReport, lang: str = "zh") -> str:
    """The report for people, at most 80 columns wide. `lang`: zh or en. Raises `ValueError` for another."""
    say = words(lang)
    out = io.StringIO()
    console = Console(file=out, width=80, highlight=False, markup=False, emoji=False)
    console.print(say["title"])
    console.print(
        say["window"].format(
            since=_second(report.since), until=_second(report.until), hours=f"{report.hours:g}"
        )
    )
    for name in ("number", "queue", "agent"):
        if value := getattr(report.only, name):
            console.print(say[f"only_{name}"].format(value))
    console.print(verdict(report, say))
    for why in report.missing:
        console.print(say["missing"].format(why.zh if lang == "zh" else why.en))
    console.print()
    console.print(_outcomes(report, say))
    console.print()
    console.print(_metrics(report, say))
    console.print()
    console.print(_rings(report.metrics["M4"], say))
    console.print()
    console.print(lowest_words(report.lowest, say))
    console.print(say["m5"])
    if report.returned:
        console.print(say["returned"].format(report.returned))
    if report.harassing:
        console.print(say["harassing"].format(report.harassing))
    if report.estimated:
        console.print(say["estimated"].format(report.estimated))
    if report.callbacks:
        _print_callbacks(console, report.callbacks, say)
    for line in seal_words(report.seal, say):
        console.print(line)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def words(lang: str) -> dict[str, str]:
    """The report's words in a language. Raises `ValueError` for an unknown one."""
    if lang not in _TEXT:
        raise ValueError(f"--lang {lang}: there is {', '.join(_TEXT)}")
    return _TEXT[lang]


def verdict(report: SlaReport, say: dict[str, str]) -> str:
    """The verdict as a sentence; `say` is what `words` gives."""
    m1 = report.metrics["M1"]
    if report.verdict is Verdict.NONE:
        key = "incomplete" if report.missing else "one_agent" if report.only.agent else "too_few"
    else:
        key = "holds" if report.verdict is Verdict.HOLDS else "falls_short"
    return say[key].format(
        value=percent(m1),
        part=f"{m1.numerator:g}/{m1.denominator}",
        needed=f"{report.fail_under:g}%",
        least=SMALLEST_SAMPLE,
        count=m1.denominator,
    )


def _outcomes(report: SlaReport, say: dict[str, str]) -> Table:
    """Two columns of outcomes. Those that never happened are shown, too, so that the reader sees that they add up."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify="right" if justify == "right" else "left", min_width=6)
    cells = [(say[outcome.value], str(count)) for outcome, count in report.outcomes.items()]
    cells.append((say["total"], str(sum(report.outcomes.values()))))
    cells.append((say["pending"], str(report.pending)))
    half = (len(cells) + 1) // 2
    for left, right in zip(cells[:half], cells[half:], strict=True):
        table.add_row(*left, *right)
    return table


def _metrics(report: SlaReport, say: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column("ID")
    table.add_column(say["metric"])
    table.add_column(say["value"], justify="right")
    table.add_column(say["parts"], justify="right")
    for name, metric in report.metrics.items():
        numerator = f"{metric.numerator:.1f}" if name in _OF_TIME else f"{metric.numerator:g}"
        title = say[name].format(short=report.short_abandon)
        parts = f"{numerator}/{metric.denominator}"
        table.add_row(name, title, shown(name, metric, say), parts)
    return table


def shown(name: str, metric: Metric, say: Mapping[str, str]) -> str:
    """A metric's value for people: a share, or seconds."""
    if metric.value is None:
        return "–"
    return say["seconds"].format(f"{metric.value:.1f}") if name in IN_SECONDS else percent(metric)


IN_SECONDS = frozenset({"M7", "M7_arrived", "M9"})
"""Metrics in seconds, not shares."""

_OF_TIME = IN_SECONDS | {"M10"}


def _print_callbacks(console: Console, said: CallbackFigures, say: dict[str, str]) -> None:
    console.print()
    console.print(say["callbacks"].format(said.open))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for name, metric in said.metrics.items():
        parts = f"{metric.numerator:g}/{metric.denominator}"
        table.add_row(name, say[name], percent(metric), parts)
    console.print(table)
    if said.missed:
        names = ", ".join(map(str, said.missed[:_SHOWN]))
        more = "…" if len(said.missed) > _SHOWN else ""
        console.print(say["missed"].format(len(said.missed), names + more))
    if not said.inbound_first:
        return
    console.print()
    console.print(say["inbound_first"])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for column in ("time", "inbound", "callback", "agent", "done"):
        table.add_column(say[column])
    for one in said.inbound_first[:_SHOWN]:
        done = say[one.done.value]
        table.add_row(_second(one.at), one.inbound, str(one.callback), one.agent, done)
    console.print(table)
    if len(said.inbound_first) > _SHOWN:
        console.print(say["more"].format(len(said.inbound_first) - _SHOWN))


_SHOWN = 50
"""Lines of a list in the text; JSON has all."""


def _situation(one: Situation) -> dict[str, Any]:
    return {
        "at": _iso(one.at),
        "inbound": one.inbound,
        "callback": one.callback,
        "call": one.call,
        "agent": one.agent,
        "done": one.done.value,
    }


def _rings(m4: Metric, say: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column(say["rings"])
    for name in SHARES:
        table.add_column(say["ring"].format(name.replace(">=", "≥")), justify="right")
    counts = m4.shares or ()
    table.add_row(say["calls"], *(str(count) for count in counts))
    table.add_row(say["share"], *(percent(Metric(count, m4.denominator)) for count in counts))
    return table


def lowest_words(lowest: LowestRate | None, say: dict[str, str]) -> str:
    """The lowest M1r as a sentence; `say` is what `words` gives."""
    if lowest is None:
        return say["no_lowest"].format(least=SMALLEST_SAMPLE)
    part = f"{lowest.metric.numerator:g}/{lowest.metric.denominator}"
    return say["lowest"].format(value=percent(lowest.metric), part=part, at=_minute(lowest.at))


def seal_words(seal: DaySeal | None, say: dict[str, str]) -> list[str]:
    """The recordings' seal as a heading, its heads, and what they are for; nothing before the first one."""
    if seal is None:
        return []
    heads = [("SHA-256", seal.sha256), *([("SM3", seal.sm3)] if seal.sm3 else [])]
    return [
        "",
        say["seal"].format(day=seal.day, rows=seal.rows),
        *(f"{name} {link.head}" for name, link in heads),
        say["seal_use"],
    ]


def percent(metric: Metric) -> str:
    """Rounded down, so that 94.999 % never reads as 95.00 %."""
    if not metric.denominator:
        return "–"
    hundredths = int(metric.numerator) * 10_000 // metric.denominator
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def _iso(at: int) -> str:
    return local(at).isoformat(timespec="microseconds")


def _second(at: int) -> str:
    return f"{local(at):%Y-%m-%d %H:%M:%S}"


def _minute(at: int) -> str:
    return f"{local(at):%Y-%m-%d %H:%M}"


_TEXT = {
    "zh": {
        "title": "热线服务水平报告",
        "window": "时段：{since} 至 {until}（{hours} 小时，北京时间）",
        "only_number": "只统计号码：{}",
        "only_queue": "只统计队列：{}",
        "only_agent": "只统计坐席：{}",
        "holds": "结论：达标，呼叫接通率 {value}（{part}），要求不低于 {needed}",
        "falls_short": "结论：未达标，呼叫接通率 {value}（{part}），要求不低于 {needed}",
        "too_few": "结论：样本不足，仅 {count} 通来电，少于 {least} 通不作评定",
        "one_agent": "结论：单个坐席不作评定",
        "incomplete": "结论：数据不完整，不作评定（现有数据：{value}，{part}）",
        "missing": "数据不完整：{}",
        "total": "合计",
        "pending": "未结束（不计入）",
        "metric": "指标",
        "value": "数值",
        "parts": "分子/分母",
        "seconds": "{} 秒",
        "rings": "应答铃声",
        "ring": "第 {} 声",
        "calls": "通数",
        "share": "占比",
        "lowest": "滚动 24 小时接通率最低：{value}（{part}），{at}",
        "no_lowest": "滚动 24 小时接通率：样本不足 {least} 通，无最低值",
        "m5": "M5 与 M5a 之别：M5 以全部排队来电为分母，M5a 只以已接听的来电为分母。",
        "returned": "{} 通来电在等待中与调度程序失去联系后恢复排队。",
        "harassing": "{} 通来电标记为骚扰；由热线按规定用语结束的，不计入 M21。",
        "estimated": "{} 通来电的振铃时刻按发出呼叫的时刻估算。",
        "seal": "录音存证：{day} 封存 {rows} 条录音记录",
        "seal_use": "请在本中心之外保存此报告：日后若录音或台账被删改，重算结果将与上面的值不符。",
        "M1": "呼叫接通率",
        "M1r": "滚动 24 小时接通率",
        "M2": "人工接通率",
        "M3": "调整后接通率（不计 {short} 秒内放弃）",
        "M4": "三声内应答率",
        "M5": "排队后 15 秒内应答率",
        "M5_20": "排队后 20 秒内应答率",
        "M5a": "应答及时率（15 秒）",
        "M5t": "来电后 15 秒内应答率",
        "M5t_20": "来电后 20 秒内应答率",
        "M7": "平均应答时间（自排队）",
        "M7_arrived": "平均应答时间（自来电）",
        "M8": "放弃率",
        "M8_greeting": "欢迎语中放弃率",
        "M9": "平均处理时长",
        "M10": "坐席占用率",
        "M11": "参评率",
        "M12": "满意率",
        "M12_strict": "满意率（不含基本满意）",
        "M21": "服务对象先挂机率",
        "M21_unexplained": "话务员先挂机且未说明原因",
        "M23": "录音完整率",
        "M24": "断线率",
        "callbacks": "回访（尚有 {} 件未了结）",
        "M20": "回访率",
        "M20_reached": "回访成功率",
        "M22": "呼入优先执行率",
        "missed": "超过期限未回访 {} 件，编号：{}",
        "inbound_first": "呼入优先情形",
        "time": "时间",
        "inbound": "来电",
        "callback": "回访",
        "agent": "坐席",
        "done": "处理",
        "yielded": "已让位",
        "raced": "已让位，与接听同时",
        "answered_first": "回访先接通",
        "not_yielded": "未让位",
        "more": "另有 {} 次，见 JSON 格式。",
        "human": "人工接听",
        "human_overflow": "溢出人工接听",
        "abandoned_greeting": "欢迎语中放弃",
        "abandoned_queue": "排队中放弃",
        "abandoned_ringing": "振铃中放弃",
        "self_served": "自助办结",
        "voicemail": "语音留言",
        "timed_out": "等待超时",
        "queue_full": "队列已满",
        "no_capacity": "线路不足",
        "closed_hours": "非服务时间",
        "blocked": "黑名单",
        "system_failure": "系统故障",
        "test": "测试",
    },
    "en": {
        "title": "Hotline service level report",
        "window": "Window: {since} to {until} ({hours} hours, Beijing time)",
        "only_number": "Calls to the number {} only",
        "only_queue": "Calls of the queue {} only",
        "only_agent": "Calls of the agent {} only",
        "holds": "Verdict: holds, connection rate {value} ({part}), required {needed}",
        "falls_short": "Verdict: falls short, connection rate {value} ({part}), required {needed}",
        "too_few": "Verdict: sample too small, {count} calls where {least} are needed",
        "one_agent": "Verdict: none for a single agent",
        "incomplete": "Verdict: none, the data are not complete (so far {value}, {part})",
        "missing": "Not complete: {}",
        "total": "total",
        "pending": "pending (not counted)",
        "metric": "metric",
        "value": "value",
        "parts": "of",
        "seconds": "{} s",
        "rings": "answered in ring",
        "ring": "{}",
        "calls": "calls",
        "share": "share",
        "lowest": "Lowest rolling 24 h rate: {value} ({part}) at {at}",
        "no_lowest": "Rolling 24 h rate: never {least} calls, so there is no lowest",
        "m5": "M5 is of all queued calls; M5a only of the answered ones, so it flatters.",
        "returned": "{} calls lost the controller while they waited, and came back to their places.",
        "harassing": "{} calls are marked as harassing; those that the hotline ended by its script are not in M21.",
        "estimated": "{} answers: the ring is estimated from our INVITE.",
        "seal": "Evidence of recordings: the seal of {day}, {rows} rows",
        "seal_use": "Keep this report outside the centre: if a recording or its row is removed or changed later, "
        "what is computed again differs from the value above.",
        "M1": "connection rate",
        "M1r": "connection rate, rolling 24 h",
        "M2": "connection rate of queued calls",
        "M3": "adjusted, without abandons under {short} s",
        "M4": "answered within three rings",
        "M5": "answered within 15 s of queueing",
        "M5_20": "answered within 20 s of queueing",
        "M5a": "within 15 s, of answered calls",
        "M5t": "answered within 15 s of arriving",
        "M5t_20": "answered within 20 s of arriving",
        "M7": "mean time to answer, from queueing",
        "M7_arrived": "mean time to answer, from arrival",
        "M8": "abandoned after queueing",
        "M8_greeting": "abandoned in the greeting",
        "M9": "mean handling time",
        "M10": "agents' occupancy",
        "M11": "rated, of those invited",
        "M12": "satisfied, of those who rated",
        "M12_strict": "the same without fairly satisfied",
        "M21": "caller hung up first",
        "M21_unexplained": "agent hung up first, no reason given",
        "M23": "recorded in full",
        "M24": "talks that the system ended",
        "callbacks": "Callbacks ({} still open)",
        "M20": "followed up, of those settled",
        "M20_reached": "reached, of those followed up",
        "M22": "yielded to an inbound call",
        "missed": "{} missed their deadline: {}",
        "inbound_first": "Inbound first",
        "time": "time",
        "inbound": "call",
        "callback": "callback",
        "agent": "agent",
        "done": "done",
        "yielded": "yielded",
        "raced": "yielded in a race",
        "answered_first": "answered first",
        "not_yielded": "not yielded",
        "more": "{} more in the JSON format.",
        "human": "answered by an agent",
        "human_overflow": "answered by overflow",
        "abandoned_greeting": "abandoned in greeting",
        "abandoned_queue": "abandoned in queue",
        "abandoned_ringing": "abandoned while ringing",
        "self_served": "self-served",
        "voicemail": "voicemail",
        "timed_out": "timed out",
        "queue_full": "queue full",
        "no_capacity": "no capacity",
        "closed_hours": "closed hours",
        "blocked": "blocked",
        "system_failure": "system failure",
        "test": "test",
    },
}
