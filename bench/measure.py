"""The four measurements, each in rounds that alternate between app_queue and Hotline, and the table that they make.

backlog  4 agents, more callers than they can take: from an agent's BYE to the next INVITE at the same agent.
idle     4 agents, one caller at a time: from a caller's ACK to the INVITE at an agent, less the greeting's length.
load     200 agents, talks of a second, 40 and 80 new calls a second, recorded: processor time for each call.
waiting  300 callers on music, nobody ready: processor time while nothing else happens.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from bench.figures import Line, gaps, milliseconds, percentile
from bench.phone import Phones
from bench.side import AGENTS, APP_QUEUE, GREETING, HOTLINE, PASSWORD, SIDES, Centre

RATES = (40, 80)
WAITING = 300
_TALK = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: rounds of each side, calls in each round, seconds of the waiting."""

    rounds: int = 3
    backlog_calls: int = 104
    idle_calls: int = 40
    load_calls: int = 800
    waiting_for: float = 20.0


QUICK = Plan(rounds=1, backlog_calls=44, idle_calls=15, load_calls=240, waiting_for=8.0)


@dataclass(slots=True)
class Load:
    """What one round of calls cost: milliseconds of processor time for each call, by program."""

    calls: int
    failed: int
    cost: dict[str, float]
    others: float
    """Processors that other programs of this machine kept busy meanwhile."""


@dataclass(slots=True)
class Results:
    """Everything measured, by side. Times in seconds; processor time of the waiting as a share of one processor."""

    backlog: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    idle: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    load: dict[int, dict[str, list[Load]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    waiting: dict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))
    recorder: list[float] = field(default_factory=list)
    """Seconds of the recorder's processor time for each recording."""
    failed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Calls of the other measurements that went wrong."""


async def measure(plan: Plan, say: Callable[[str], None]) -> Results:
    """Run everything. `say` hears a line for each step. Raises `ProgramError`."""
    results = Results()
    chance = random.Random(12345)
    async with Centre() as centre, Phones(centre.exchange) as phones:
        steps: list[Step] = [_backlog, _idle, *(_load_of(rate) for rate in RATES), _waiting]
        for step in steps:
            for number in range(1, plan.rounds + 1):
                for side in SIDES:
                    phones.marks.clear()
                    phones.refused.clear()
                    phones.clashes = 0
                    await phones.register(AGENTS, PASSWORD)
                    said = await step(plan, centre, phones, side, results, chance)
                    say(f"round {number} of {plan.rounds}, {side}: {said}")
    return results


async def _backlog(
    plan: Plan, centre: Centre, phones: Phones, side: str, results: Results, chance: random.Random
) -> str:
    served: set[str] = set()

    def talk(agent: str) -> float:
        # Each agent's first talk lasts until all callers wait. After that no two talks are of one length, so that
        # nothing falls into step with app_queue's look once a second.
        if agent in served:
            return chance.uniform(0.4, 1.0)
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
    plan: Plan, centre: Centre, phones: Phones, side: str, results: Results, _chance: random.Random
) -> str:
    phones.talk = lambda _agent: 0.1
    async with centre.side(side, ready=4) as number:
        for index in range(plan.idle_calls):
            phones.call(f"1380000{index:04}", number)
            await _until(lambda: phones.in_talk == 0, 20)
            # Not in step with anything that happens once a second.
            await asyncio.sleep(0.05 + 0.03 * (index % 7))
        await _quiet(centre)
    began = {mark.caller: mark.moment for mark in phones.times("ack")}
    found = [
        mark.moment - began[mark.caller] - GREETING
        for mark in phones.times("invite")
        if mark.caller in began
    ]
    results.failed[side] += plan.idle_calls - len(found) + _odd(phones)
    results.idle[side] += found
    return f"idle agent, {len(found)} calls, median {milliseconds(median(found))}"


def _load_of(rate: int) -> "Step":
    async def load(
        plan: Plan,
        centre: Centre,
        phones: Phones,
        side: str,
        results: Results,
        _chance: random.Random,
    ) -> str:
        phones.talk = lambda _agent: _TALK
        recorded = side == HOTLINE and rate == RATES[-1] and not results.recorder
        if recorded:
            centre.empty_spool()
        started = await centre.record_all() if recorded else 0.0
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
        spent = {name: after[name] - before[name] for name in after}
        others = spent.pop("all") - sum(spent.values())
        one = Load(
            plan.load_calls,
            failed,
            {name: seconds / plan.load_calls for name, seconds in spent.items()},
            max(others / took, 0.0),
        )
        results.load[rate][side].append(one)
        if recorded:
            results.recorder.append((await centre.record_all() - started) / plan.load_calls)
        return (
            f"{rate} calls/s, Asterisk {milliseconds(one.cost['asterisk'])} a call, "
            f"controller {milliseconds(one.cost['controller'])}, {failed} failed, "
            f"others kept {one.others:.1f} processors busy"
        )

    return load


async def _waiting(
    plan: Plan, centre: Centre, phones: Phones, side: str, results: Results, _chance: random.Random
) -> str:
    rate = 50
    settled = WAITING / rate + GREETING + 4
    async with centre.side(side, ready=0) as number:
        async with asyncio.TaskGroup() as group:
            callers = group.create_task(
                centre.sipp(
                    "waiter",
                    number,
                    calls=WAITING,
                    rate=rate,
                    sink=phones.sink,
                    hold=settled + plan.waiting_for + 2,
                )
            )
            await asyncio.sleep(settled)
            there = await centre.channels()
            before, since = centre.cpu(), time.monotonic()
            await asyncio.sleep(plan.waiting_for)
            after, took = centre.cpu(), time.monotonic() - since
            there = min(there, await centre.channels())
        await _quiet(centre)
    results.failed[side] += WAITING - min(there, callers.result().successful)
    share = {name: (after[name] - before[name]) / took for name in after}
    results.waiting[side].append(share)
    return (
        f"{there} callers wait, Asterisk {share['asterisk']:.1%} of a processor, "
        f"controller {share['controller']:.1%}"
    )


class Step(Protocol):
    """One measurement of one side; gives a line to be shown."""

    async def __call__(
        self,
        plan: Plan,
        centre: Centre,
        phones: Phones,
        side: str,
        results: Results,
        chance: random.Random,
        /,
    ) -> str: ...


# --- helpers


def _odd(phones: Phones) -> int:
    """What should never happen at a phone: rung while in use, refused, left without an answer."""
    return phones.clashes + len(phones.refused)


async def _quiet(centre: Centre) -> None:
    """Wait until the last call is over."""
    deadline = time.monotonic() + 30
    while await centre.channels() and time.monotonic() < deadline:
        await asyncio.sleep(0.2)  # noqa: ASYNC110 Asterisk has no event for it


async def _until(true: Callable[[], bool], within: float) -> None:
    deadline = time.monotonic() + within
    while not true() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)  # noqa: ASYNC110 simple, and nothing is timed by it


# --- the table


def lines(results: Results) -> list[Line]:
    """Lay out what was measured, and what the hotline promises of it."""
    return [*_times(results), *_costs(results), *_waits(results)]


def _times(results: Results) -> list[Line]:
    def p95(found: list[float]) -> float:
        return percentile(found, 95)

    def p99(found: list[float]) -> float:
        return percentile(found, 99)

    rows = []
    slow, fast = results.backlog[APP_QUEUE], results.backlog[HOTLINE]
    ratio = median(slow) / median(fast)
    for name, of, wanted, holds in (
        ("median", median, "≤ 15 ms, and 40 × shorter", median(fast) <= 0.015 and ratio >= 40),
        ("p95", p95, "", None),
        ("p99", p99, "≤ 60 ms", percentile(fast, 99) <= 0.060),
    ):
        rows.append(
            Line(
                f"backlog, 4 agents: hang-up → next INVITE, {name}",
                milliseconds(of(slow)),
                milliseconds(of(fast)),
                f"{of(slow) / of(fast):.0f} × shorter",
                wanted,
                holds,
            )
        )
    slow, fast = results.idle[APP_QUEUE], results.idle[HOTLINE]
    for name, of, wanted, holds in (
        ("median", median, "no slower", median(fast) <= median(slow)),
        ("p95", p95, "", None),
        ("p99", p99, "", None),
    ):
        rows.append(
            Line(
                f"idle agent: greeting over → INVITE, {name}",
                milliseconds(of(slow)),
                milliseconds(of(fast)),
                f"{of(fast) / of(slow):.2f}",
                wanted,
                holds,
            )
        )
    return rows


def _costs(results: Results) -> list[Line]:
    rows = []
    for rate, by_side in results.load.items():
        queue, ours = by_side[APP_QUEUE], by_side[HOTLINE]
        asterisk_alone = median([one.cost["asterisk"] for one in queue])
        asterisk = median([one.cost["asterisk"] for one in ours])
        controller = median([one.cost["controller"] for one in ours])
        failed = [sum(one.failed for one in side) for side in (queue, ours)]
        name = f"{rate} calls/s, recorded"
        rows += [
            Line(
                f"{name}: Asterisk's CPU a call",
                milliseconds(asterisk_alone),
                milliseconds(asterisk),
                f"{asterisk / asterisk_alone:.2f}",
                "no more",
                asterisk <= asterisk_alone,
            ),
            Line(
                f"{name}: the controller's CPU a call",
                "",
                milliseconds(controller),
                f"{controller / asterisk:.0%} of Asterisk's",
                "≤ 20 %",
                controller <= 0.2 * asterisk,
            ),
            Line(
                f"{name}: calls that failed",
                f"{failed[0]} of {sum(one.calls for one in queue)}",
                f"{failed[1]} of {sum(one.calls for one in ours)}",
                "",
                "none",
                failed[1] == 0,
            ),
        ]
    return rows


def _waits(results: Results) -> list[Line]:
    alone = median([one["asterisk"] for one in results.waiting[APP_QUEUE]])
    asterisk = median([one["asterisk"] for one in results.waiting[HOTLINE]])
    controller = median([one["controller"] for one in results.waiting[HOTLINE]])
    both = median([one["asterisk"] + one["controller"] for one in results.waiting[HOTLINE]])
    rows = [
        Line(
            f"{WAITING} callers waiting: CPU, Asterisk and controller",
            f"{alone:.1%}",
            f"{both:.1%}",
            f"{both / alone:.2f}",
            "no more",
            both <= alone,
        ),
        Line("  of that Asterisk's, the controller's", "", f"{asterisk:.1%}, {controller:.1%}"),
    ]
    if results.recorder:
        spent = median(results.recorder)
        rows.append(Line("recorder's CPU a recording, after the call", "", milliseconds(spent)))
    return [
        *rows,
        Line(
            "calls that failed in the other measurements",
            str(results.failed[APP_QUEUE]),
            str(results.failed[HOTLINE]),
            "",
            "none",
            results.failed[HOTLINE] == 0,
        ),
    ]
