"""The measurements, each in rounds that alternate between app_queue and Hotline, and the table that they make.

backlog  4 agents, more callers than they can take: from an agent's BYE to the next INVITE at the same agent.
idle     4 agents, one caller at a time: from the end of the greeting in the caller's ear (its last packet and the
         20 ms in it) to the INVITE at an agent.
load     200 agents, talks of a second, 40 and 80 new calls a second, recorded: processor time for each call.
waiting  300 callers on music, no agent ready: processor time while nothing else happens. Half of them wait in app_queue
         and half in Hotline at the same moment, and each side pays for the threads that it started, times two: what
         else the machine does burdens both alike. One after the other, two rounds of one side differ by a tenth.
talks    48 talks with sound, half of them recorded: what recording adds to a talk in Asterisk (`bench.talks`).
yields   4 agents, each with a callback whose citizen's phone rings, one caller at a time: from the end of the greeting
         in the caller's ear, when the wait begins, to the INVITE at the agent whose callback yields. app_queue knows
         no such thing.
"""

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from bench import talks
from bench.figures import SippCalls, TableRow, gaps, milliseconds, percentile
from bench.phone import BenchPhones
from bench.side import (
    AGENTS,
    APP_QUEUE,
    GREETING,
    HOTLINE,
    NUMBER,
    PASSWORD,
    QUEUES,
    SIDES,
    Centre,
)
from facts.offers import NO_TALK
from facts.times import SECOND

NAMES = ("backlog", "idle", "load", "waiting", "talks", "yields")
RATES = (40, 80)
WAITING = 300
YIELDS_AGENTS = 4
_TALK = NO_TALK / SECOND + 0.1
"""Seconds of the shortest talk here: one that an agent ends sooner is none, and they are not responding (M1)."""
_RINGS_WITHIN = 0.1
"""R7: seconds from the trigger until the inbound call rings at the yielding agent, at the 99th percentile."""


@dataclass(frozen=True, slots=True)
class Workload:
    """How much is measured: rounds of each side, calls in each round, seconds of the waiting in each round."""

    rounds: int = 3
    backlog_calls: int = 104
    idle_calls: int = 25
    load_calls: int = 800
    waiting_for: float = 20.0
    talk_for: float = 20.0
    yields: int = 50


QUICK = Workload(
    rounds=1,
    backlog_calls=44,
    idle_calls=15,
    load_calls=240,
    waiting_for=8.0,
    talk_for=8.0,
    yields=15,
)


@dataclass(slots=True)
class Load:
    """What one round of calls cost: seconds of processor time for each call, by program."""

    calls: int
    failed: int
    cost: dict[str, float]


@dataclass(slots=True)
class Results:
    """Everything measured, by side. Times in seconds; processor time of the waiting as a share of one processor."""

    backlog: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    idle: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    load: dict[int, dict[str, list[Load]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    waiting: dict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))
    talks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of Asterisk's processor time for a second of one talk, by kind of talk."""
    yields: list[float] = field(default_factory=list)
    """Of Hotline alone."""
    recorder: list[float] = field(default_factory=list)
    """Seconds of the recorder's processor time for each recording."""
    others: list[float] = field(default_factory=list)
    """Processors that other programs kept busy, round by round of `load`, `waiting` and `talks`."""
    failed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Calls of the other measurements that went wrong."""


async def measure(plan: Workload, only: Collection[str], say: Callable[[str], None]) -> Results:
    """Run the measurements named in `only`. `say` hears a line for each step. Raises `ProgramError`."""
    results = Results()
    chance = random.Random(12345)
    async with Centre() as centre, BenchPhones(centre.exchange, port=centre.way_out) as phones:
        steps: list[tuple[str, Step, tuple[str, ...]]] = [
            ("backlog", _backlog, SIDES),
            ("idle", _idle, SIDES),
            *(("load", _load_of(rate), SIDES) for rate in RATES),
            ("waiting", _waiting, (HOTLINE,)),
            ("talks", _talks, (HOTLINE,)),
            ("yields", _yields, (HOTLINE,)),
        ]
        for step, sides in [(step, sides) for name, step, sides in steps if name in only]:
            for number in range(1, plan.rounds + 1):
                for side in sides:
                    phones.marks.clear()
                    phones.refused.clear()
                    phones.clashes = 0
                    await phones.register(AGENTS, PASSWORD)
                    said = await step(plan, centre, phones, side, results, chance)
                    say(f"round {number} of {plan.rounds}, {side}: {said}")
    return results


async def _backlog(
    plan: Workload,
    centre: Centre,
    phones: BenchPhones,
    side: str,
    results: Results,
    chance: random.Random,
) -> str:
    served: set[str] = set()

    def talk(agent: str, _caller: str) -> float:
        # Each agent's first talk lasts until all callers wait. After that lengths are spread over a whole second,
        # so that they neither favour nor burden app_queue, which looks once a second.
        if agent in served:
            return _TALK + chance.uniform(0.0, 1.0)
        served.add(agent)
        return 5.0

    phones.talk = talk
    async with centre.side(side, ready=4) as number:
        calls = await centre.sipp(
            "caller", number, calls=plan.backlog_calls, rate=50, sink=phones.sink
        )
        results.failed[side] += calls.failed + _odd(phones)
        await _quiet(centre)
    found = gaps(
        (mark.moment, mark.phone, mark.what)
        for mark in phones.marks
        if mark.what in {"bye", "invite"}
    )
    results.backlog[side] += found
    return f"backlog, {len(found)} gaps, median {milliseconds(median(found))}"


async def _idle(
    plan: Workload,
    centre: Centre,
    phones: BenchPhones,
    side: str,
    results: Results,
    _chance: random.Random,
) -> str:
    phones.talk = lambda _agent, _caller: _TALK
    async with centre.side(side, ready=4) as number:
        for index in range(plan.idle_calls):
            phones.call(f"1380000{index:04}", number)
            await _until(lambda: phones.in_talk == 0, 20)
            # Not in step with anything that happens once a second.
            await asyncio.sleep(0.05 + 0.03 * (index % 7))
        await _quiet(centre)
    found = _to_invite(phones)
    results.failed[side] += plan.idle_calls - len(found) + _odd(phones)
    results.idle[side] += found
    return f"idle agent, {len(found)} calls, median {milliseconds(median(found))}"


def _load_of(rate: int) -> "Step":
    async def load(
        plan: Workload,
        centre: Centre,
        phones: BenchPhones,
        side: str,
        results: Results,
        _chance: random.Random,
    ) -> str:
        phones.talk = lambda _agent, _caller: _TALK
        async with centre.side(side, ready=len(AGENTS)) as number:
            # What the start leaves behind is over.
            await asyncio.sleep(1)
            before, since = centre.cpu(), time.monotonic()
            calls = await centre.sipp(
                "caller", number, calls=plan.load_calls, rate=rate, sink=phones.sink
            )
            await _quiet(centre)
            after, took = centre.cpu(), time.monotonic() - since
        answered = len(phones.times("answered"))
        failed = max(plan.load_calls - calls.successful, plan.load_calls - answered) + _odd(phones)
        cost = {name: (after[name] - before[name]) / plan.load_calls for name in after}
        results.others.append(_others(before, after, took))
        one = Load(plan.load_calls, failed, cost)
        results.load[rate][side].append(one)
        if side == HOTLINE and rate == RATES[-1]:
            # The second time there is nothing to do: what its start costs.
            spent, start = await centre.record_all(), await centre.record_all()
            results.recorder.append((spent - start) / plan.load_calls)
        return (
            f"{rate} calls/s, Asterisk {milliseconds(one.cost['asterisk'])} a call, "
            f"controller {milliseconds(one.cost['controller'])}, {failed} failed, "
            f"others kept {results.others[-1]:.1f} processors busy"
        )

    return load


async def _waiting(
    plan: Workload,
    centre: Centre,
    phones: BenchPhones,
    side: str,
    results: Results,
    _chance: random.Random,
) -> str:
    rate, half = 50, WAITING // 2
    settled = half / rate + GREETING + 4
    hold = 2 * settled + plan.waiting_for + 2
    # Whoever comes second finds a warmer machine: they take turns.
    order = SIDES if len(results.waiting[side]) % 2 == 0 else SIDES[::-1]
    own: dict[str, set[str]] = {}
    async with centre.side(side, ready=0) as number:
        numbers = {HOTLINE: number, APP_QUEUE: QUEUES[0]}
        async with asyncio.TaskGroup() as group:
            known = set(centre.threads())
            runs: dict[str, asyncio.Task[SippCalls]] = {}
            for one in order:
                runs[one] = group.create_task(
                    centre.sipp(
                        "waiter",
                        numbers[one],
                        calls=half,
                        rate=rate,
                        sink=phones.sink,
                        hold=hold - (settled if runs else 0),
                    )
                )
                await asyncio.sleep(settled)
                own[one] = set(centre.threads()) - known
                known |= own[one]
            there = await centre.channels()
            before, threads, since = centre.cpu(), centre.threads(), time.monotonic()
            await asyncio.sleep(plan.waiting_for)
            after, later, took = centre.cpu(), centre.threads(), time.monotonic() - since
            there = min(there, await centre.channels())
        await _quiet(centre)
    for one in SIDES:
        results.failed[one] += half - runs[one].result().successful
        spent = sum(later[thread] - threads[thread] for thread in own[one] & later.keys())
        # Not times two: it costs the controller nothing that a caller waits on.
        controller = after["controller"] - before["controller"] if one == HOTLINE else 0.0
        results.waiting[one].append(
            {"asterisk": spent * WAITING / half / took, "controller": controller / took}
        )
    results.others.append(_others(before, after, took))
    queue, ours = (results.waiting[one][-1] for one in SIDES)
    return (
        f"{there} callers wait; {WAITING} cost Asterisk {queue['asterisk']:.1%} of a processor in app_queue, "
        f"{ours['asterisk']:.1%} here, and the controller {ours['controller']:.1%}"
    )


async def _talks(
    plan: Workload,
    centre: Centre,
    phones: BenchPhones,
    side: str,
    results: Results,
    _chance: random.Random,
) -> str:
    before, since = centre.cpu(), time.monotonic()
    turn = len(next(iter(results.talks.values()), ()))
    spent = await talks.measure_round(centre, phones, plan.talk_for, turn)
    await _quiet(centre)
    results.others.append(_others(before, centre.cpu(), time.monotonic() - since))
    results.failed[side] += _odd(phones)
    for kind, seconds in spent.items():
        results.talks[kind].append(seconds)
    return "a second of talk costs " + ", ".join(
        f"{kind} {milliseconds(seconds)}" for kind, seconds in spent.items()
    )


async def _yields(
    plan: Workload,
    centre: Centre,
    phones: BenchPhones,
    side: str,
    results: Results,
    _chance: random.Random,
) -> str:
    # An agent whose callback rings at its citizen hears that, and hangs up only on citizens who have called.
    phones.talk = lambda _agent, caller: math.inf if caller == NUMBER else _TALK
    async with centre.side(side, ready=YIELDS_AGENTS) as number:
        await centre.call_back([f"1390000{index:04}" for index in range(YIELDS_AGENTS)])
        for index in range(plan.yields):
            # All agents ring a citizen: nobody is idle.
            if not await _until(lambda: phones.called_back == YIELDS_AGENTS, 20):
                break  # an agent was lost: the calls that were not made have failed
            await asyncio.sleep(0.05 + 0.03 * (index % 7))
            phones.call(f"1380000{index:04}", number)
            await _until(lambda told=index + 1: len(phones.times("greeted")) >= told, 20)  # type: ignore[misc]
    found = _to_invite(phones)
    results.failed[side] += plan.yields - len(found) + _odd(phones)
    results.yields += found
    return (
        f"inbound first, {len(found)} yields, median {milliseconds(median(found))}, "
        f"longest {milliseconds(max(found))}"
    )


def _to_invite(phones: BenchPhones) -> list[float]:
    """Seconds from the end of each caller's greeting to the INVITE at an agent."""
    over = {mark.caller: mark.moment for mark in phones.times("greeted") if mark.moment}
    return [
        mark.moment - over[mark.caller] for mark in phones.times("invite") if mark.caller in over
    ]


class Step(Protocol):
    """One measurement of one side; gives a line to be shown."""

    async def __call__(
        self,
        plan: Workload,
        centre: Centre,
        phones: BenchPhones,
        side: str,
        results: Results,
        chance: random.Random,
        /,
    ) -> str: ...


# --- helpers


def _odd(phones: BenchPhones) -> int:
    """What should never happen at a phone: rung while in use, refused, left without an answer."""
    return phones.clashes + len(phones.refused)


def _others(before: dict[str, float], after: dict[str, float], took: float) -> float:
    """How many processors were busy with programs that are not ours."""
    spent = {name: after[name] - before[name] for name in after}
    return max(2 * spent["all"] - sum(spent.values()), 0.0) / took


async def _quiet(centre: Centre) -> None:
    """Wait until the last call is over."""
    deadline = time.monotonic() + 30
    while await centre.channels() and time.monotonic() < deadline:  # noqa: ASYNC110 another process
        await asyncio.sleep(0.2)


async def _until(true: Callable[[], bool], within: float) -> bool:
    """Wait for it, and say whether it came true."""
    deadline = time.monotonic() + within
    while not true() and time.monotonic() < deadline:  # noqa: ASYNC110 nothing is timed by it
        await asyncio.sleep(0.01)
    return true()


# --- the table


def table_rows(results: Results) -> list[TableRow]:
    """Lay out what was measured, and what the hotline promises of it."""
    rows = []
    if results.backlog:
        rows += _backlog_rows(results)
    if results.idle:
        rows += _idle_rows(results)
    rows += _load_rows(results)
    if results.waiting:
        rows += _waiting_rows(results)
    if results.talks:
        rows += talks.rows(results.talks)
    if results.yields:
        rows += _yields_rows(results)
    failed = [results.failed[side] for side in SIDES]
    return [
        *rows,
        TableRow(
            "calls that failed in the other measurements",
            str(failed[0]),
            str(failed[1]),
            "",
            "none",
            not failed[1],
        ),
    ]


def _backlog_rows(results: Results) -> list[TableRow]:
    name = "backlog, 4 agents: hang-up → next INVITE"
    queue, ours = (_percentiles(results.backlog[side]) for side in SIDES)
    ratio = {key: queue[key] / ours[key] for key in ours}
    promises = {
        "median": ("≤ 15 ms, and 40 × shorter", ours["median"] <= 0.015 and ratio["median"] >= 40),
        "p99": ("≤ 60 ms", ours["p99"] <= 0.060),
    }
    return [
        TableRow(
            f"{name}, {key}",
            milliseconds(queue[key]),
            milliseconds(ours[key]),
            f"{ratio[key]:.0f} × shorter",
            *promises.get(key, ()),
        )
        for key in ours
    ]


def _idle_rows(results: Results) -> list[TableRow]:
    name = "idle agent: greeting over → INVITE"
    queue, ours = (_percentiles(results.idle[side]) for side in SIDES)
    promises = {"median": ("no slower", ours["median"] <= queue["median"])}
    return [
        TableRow(
            f"{name}, {key}",
            milliseconds(queue[key]),
            milliseconds(ours[key]),
            f"{ours[key] / queue[key]:.2f}",
            *promises.get(key, ()),
        )
        for key in ours
    ]


def _yields_rows(results: Results) -> list[TableRow]:
    name = f"a callback yields ({len(results.yields)} times): citizen waits → INVITE"
    ours = {**_percentiles(results.yields), "longest": max(results.yields)}
    limit = f"≤ {milliseconds(_RINGS_WITHIN)}"
    promises = {"p99": (limit, ours["p99"] <= _RINGS_WITHIN)}
    return [
        TableRow(f"{name}, {key}", "–", milliseconds(ours[key]), "", *promises.get(key, ()))
        for key in ours
    ]


def _percentiles(found: list[float]) -> dict[str, float]:
    return {
        "median": median(found),
        "p95": percentile(found, 95),
        "p99": percentile(found, 99),
    }


def _load_rows(results: Results) -> list[TableRow]:
    rows = []
    for rate, by_side in results.load.items():
        queue, ours = by_side[APP_QUEUE], by_side[HOTLINE]
        asterisk_alone = median([one.cost["asterisk"] for one in queue])
        asterisk = median([one.cost["asterisk"] for one in ours])
        controller = median([one.cost["controller"] for one in ours])
        failed = [sum(one.failed for one in side) for side in (queue, ours)]
        name = f"{rate} calls/s, recorded"
        rows += [
            TableRow(
                f"{name}: Asterisk's CPU a call",
                milliseconds(asterisk_alone),
                milliseconds(asterisk),
                f"{asterisk / asterisk_alone:.2f}",
                "no more",
                asterisk <= asterisk_alone,
            ),
            TableRow(
                f"{name}: the controller's CPU a call",
                "",
                milliseconds(controller),
                f"{controller / asterisk:.0%} of Asterisk's",
                "≤ 20 %",
                controller <= 0.2 * asterisk,
            ),
            TableRow(
                f"{name}: calls that failed",
                f"{failed[0]} of {sum(one.calls for one in queue)}",
                f"{failed[1]} of {sum(one.calls for one in ours)}",
                "",
                "none",
                failed[1] == 0,
            ),
        ]
    if results.recorder:
        spent = median(results.recorder)
        rows.append(TableRow("recorder's CPU a recording, after the call", "", milliseconds(spent)))
    return rows


def _waiting_rows(results: Results) -> list[TableRow]:
    queue, ours = (results.waiting[side] for side in SIDES)
    alone = median([one["asterisk"] for one in queue])
    asterisk = median([one["asterisk"] for one in ours])
    controller = median([one["controller"] for one in ours])
    # Of each round by itself: both sides had the same machine in it.
    ratio = median(
        [
            (one["asterisk"] + one["controller"]) / other["asterisk"]
            for one, other in zip(ours, queue, strict=True)
        ]
    )
    return [
        TableRow(
            f"{WAITING} callers waiting: CPU, Asterisk and controller",
            f"{alone:.1%}",
            f"{asterisk + controller:.1%}",
            f"{ratio:.2f}",
            "no more",
            round(ratio, 2) <= 1,
        ),
        TableRow("  of that Asterisk's, the controller's", "", f"{asterisk:.1%}, {controller:.1%}"),
    ]
