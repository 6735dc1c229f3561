"""The measurements, each in rounds that alternate between app_queue, Hotline and the limits, and their table.

backlog  4 agents, more callers than they can take: from an agent's BYE to the next INVITE at the same agent. The limit
         is the bare loop (`bench.bare_loop`).
idle     4 agents, one caller at a time: from the end of the greeting in the caller's ear (its last packet and the
         20 ms in it) to the INVITE at an agent. The limit is the bare loop.
load     200 agents, talks of a second, 40 and 80 new calls a second, recorded: processor time for each call. The limit
         of Asterisk's is the same talk by dialplan alone, with MixMonitor and without; that of the controller's is the
         bare loop's.
waiting  300 callers on music, no agent ready: processor time while nothing else happens. A quarter of them wait in
         app_queue, a quarter in Hotline, and two where the dialplan plays music for ever, recorded and not; all at the
         same moment. Each pays for the threads that it started, times four: what else the machine does burdens all
         alike. One after the other, two rounds of one side differ by a tenth.
in_talk  36 talks with sound, a third of them listened to and a third three-way, then 100 talks that become three-way
         (`bench.in_talk`).
talks    48 talks with sound, half of them recorded: what recording adds to a talk in Asterisk (`bench.talks`).
survey   idle, and load at 40 calls/s, with a survey at the end of every talk and without: what it costs those who are
         not asked, for these talks are too short.
yields   4 agents, each with a callback whose citizen's phone rings, one caller at a time: from the end of the greeting
         in the caller's ear, when the wait begins, to the INVITE at the agent whose callback yields. app_queue knows
         no such thing.
"""

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from base.background import comes_true
from bench import in_talk, talks
from bench.figures import SippCalls, TableRow, gaps, milliseconds, percentile, ratios, spread
from bench.in_talk import InTalk
from bench.phone import BenchPhones
from bench.side import (
    AGENTS,
    APP_QUEUE,
    BARE_LOOP,
    DIALPLAN,
    GREETING,
    HOTLINE,
    LIMITS,
    MUSIC,
    NOT_RECORDED,
    NUMBER,
    PASSWORD,
    QUEUES,
    SIDES,
    SURVEYED,
    Centre,
)
from facts.offers import NO_TALK
from facts.times import SECOND

NAMES = ("backlog", "idle", "load", "waiting", "talks", "in_talk", "survey", "yields")
RATES = (40, 80)
WAITING = 300
YIELDS_AGENTS = 4
_TALK = NO_TALK / SECOND + 0.1
"""Seconds of the shortest talk here: one that an agent ends sooner is none, and they are not responding (M1)."""
_ABOVE_LOOP = 1.5
"""How much longer than the bare loop's the gap between two talks may be, of medians."""
_ASTERISK_SHARE, _WAITING_SHARE = 0.85, 0.9
"""What a recorded call, and callers who wait, may cost beside app_queue's, of the median round."""
_CONTROLLER_SHARE, _CONTROLLER_COST = 0.1, 0.001
"""What a call may cost the controller, beside Asterisk and in seconds."""
_SURVEY_GAP = 0.001
"""Seconds by which a survey may lengthen the gap before a talk, of medians."""
_RINGS_WITHIN = 0.1
"""R7: seconds from the trigger until the inbound call rings at the yielding agent, at the 99th percentile."""


@dataclass(frozen=True, slots=True)
class Workload:
    """How much is measured: rounds of each side, calls in each round, seconds of the waiting in each round."""

    rounds: int = 5
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
    in_talk: list[InTalk] = field(default_factory=list)
    many: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Processors that Asterisk keeps busy in many talks at once, by kind."""
    surveyed: dict[str, "Results"] = field(default_factory=dict)
    """`idle` and `load` with the survey and without, by side."""
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
            ("backlog", _backlog, (*SIDES, BARE_LOOP)),
            ("idle", _idle, (*SIDES, BARE_LOOP)),
            *(("load", _load_of(rate), (*SIDES, *LIMITS)) for rate in RATES),
            ("waiting", _waiting, (HOTLINE,)),
            ("talks", _talks, (HOTLINE,)),
            ("in_talk", _in_talk, (HOTLINE,)),
            ("survey", _survey, (HOTLINE, SURVEYED)),
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
            await comes_true(lambda: phones.in_talk == 0, 20)
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
            f"{_program(side)} {milliseconds(one.cost[_program(side)])}, {failed} failed, "
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
    rate, part = 50, WAITING // len(_WAIT_IN)
    settled = part / rate + GREETING + 4
    hold = len(_WAIT_IN) * settled + plan.waiting_for + 2
    # Whoever comes later finds a warmer machine: they take turns.
    turn = len(results.waiting[side]) % len(_WAIT_IN)
    order = (*_WAIT_IN[turn:], *_WAIT_IN[:turn])
    own: dict[str, set[str]] = {}
    async with centre.side(side, ready=0) as number:
        numbers = {HOTLINE: number, APP_QUEUE: QUEUES[0], **MUSIC}
        async with asyncio.TaskGroup() as group:
            known = set(centre.threads())
            runs: dict[str, asyncio.Task[SippCalls]] = {}
            for one in order:
                runs[one] = group.create_task(
                    centre.sipp(
                        "waiter",
                        numbers[one],
                        calls=part,
                        rate=rate,
                        sink=phones.sink,
                        hold=hold - len(runs) * settled,
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
    for one in _WAIT_IN:
        results.failed[one] += part - runs[one].result().successful
        spent = sum(later[thread] - threads[thread] for thread in own[one] & later.keys())
        # Not times four: it costs the controller nothing that a caller waits on.
        controller = after["controller"] - before["controller"] if one == HOTLINE else 0.0
        results.waiting[one].append(
            {"asterisk": spent * WAITING / part / took, "controller": controller / took}
        )
    results.others.append(_others(before, after, took))
    cost = {one: results.waiting[one][-1]["asterisk"] for one in _WAIT_IN}
    controller = results.waiting[HOTLINE][-1]["controller"]
    return (
        f"{there} callers wait; {WAITING} cost Asterisk "
        + ", ".join(f"{share:.1%} of a processor in {one}" for one, share in cost.items())
        + f", and the controller {controller:.1%}"
    )


_WAIT_IN = (*SIDES, DIALPLAN, NOT_RECORDED)
"""Where the callers wait at the same moment."""


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


async def _in_talk(
    plan: Workload,
    centre: Centre,
    phones: BenchPhones,
    side: str,
    results: Results,
    _chance: random.Random,
) -> str:
    found = await in_talk.measure_round(centre, phones, plan.talk_for, len(results.in_talk))
    await _quiet(centre)
    many = await in_talk.measure_many(centre, phones, plan.talk_for)
    await _quiet(centre)
    results.failed[side] += _odd(phones)
    results.in_talk.append(found)
    for kind, busy in many.items():
        results.many[kind].append(busy)
    return (
        f"first sound {milliseconds(median(found.first_sound))}, a second of talk costs "
        + ", ".join(f"{kind} {milliseconds(cost)}" for kind, cost in found.cost.items())
        + ", many keep "
        + ", ".join(f"{kind} {busy:.2f} processors busy" for kind, busy in many.items())
    )


async def _survey(
    plan: Workload,
    centre: Centre,
    phones: BenchPhones,
    side: str,
    results: Results,
    chance: random.Random,
) -> str:
    own = results.surveyed.setdefault(side, Results())
    said = []
    for step in (_idle, _load_of(RATES[0])):
        phones.marks.clear()
        said.append(await step(plan, centre, phones, side, own, chance))
    return "; ".join(said)


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
            if not await comes_true(lambda: phones.called_back == YIELDS_AGENTS, 20):
                break  # an agent was lost: the calls that were not made have failed
            await asyncio.sleep(0.05 + 0.03 * (index % 7))
            phones.call(f"1380000{index:04}", number)
            await comes_true(lambda told=index + 1: len(phones.times("greeted")) >= told, 20)  # type: ignore[misc]
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


def _program(side: str) -> str:
    """Which program decides on this side; none does on app_queue's, and the controller is not there."""
    return BARE_LOOP if side == BARE_LOOP else "controller"


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
    if results.in_talk:
        rows += in_talk.rows(results.in_talk, results.many)
    if results.surveyed:
        rows += _survey_rows(results.surveyed)
    if results.yields:
        rows += _yields_rows(results)
    queue, ours, *limits = (results.failed[side] for side in (*SIDES, *LIMITS))
    return [
        *rows,
        TableRow(
            "calls that failed in the other measurements",
            str(queue),
            str(ours),
            "",
            "none",
            not ours,
            limit=str(sum(limits)),
        ),
    ]


_NOTHING = ("", None)


def _backlog_rows(results: Results) -> list[TableRow]:
    name = "backlog, 4 agents: hang-up → next INVITE"
    queue, ours, limit = (_percentiles(results.backlog[side]) for side in (*SIDES, BARE_LOOP))
    ratio = {key: queue[key] / ours[key] for key in ours}
    above = {key: ours[key] / limit[key] for key in ours}
    near = ours["median"] <= 0.015 and ratio["median"] >= 40 and above["median"] <= _ABOVE_LOOP
    promises: dict[str, tuple[str, bool]] = {
        "median": (f"≤ 15 ms, 40 × shorter, {_ABOVE_LOOP:g} × the limit", near),
        "p99": ("≤ 60 ms", ours["p99"] <= 0.060),
    }
    return [
        TableRow(
            f"{name}, {key}",
            milliseconds(queue[key]),
            milliseconds(ours[key]),
            f"{ratio[key]:.0f} × shorter",
            wanted=promises.get(key, _NOTHING)[0],
            holds=promises.get(key, _NOTHING)[1],
            limit=milliseconds(limit[key]),
            to_limit=f"{above[key]:.2f}",
        )
        for key in ours
    ]


def _idle_rows(results: Results) -> list[TableRow]:
    name = "idle agent: greeting over → INVITE"
    queue, ours, limit = (_percentiles(results.idle[side]) for side in (*SIDES, BARE_LOOP))
    promises: dict[str, tuple[str, bool]] = {
        "median": ("no slower", ours["median"] <= queue["median"])
    }
    return [
        TableRow(
            f"{name}, {key}",
            milliseconds(queue[key]),
            milliseconds(ours[key]),
            # A ratio says nothing here: ours may be less than none.
            f"{1000 * (ours[key] - queue[key]):+.1f} ms",
            wanted=promises.get(key, _NOTHING)[0],
            holds=promises.get(key, _NOTHING)[1],
            limit=milliseconds(limit[key]),
            to_limit=f"{1000 * (ours[key] - limit[key]):+.1f} ms",
        )
        for key in ours
    ]


def _survey_rows(by_side: Mapping[str, Results]) -> list[TableRow]:
    """The limit is Hotline itself, without the survey."""
    on, off = by_side[SURVEYED], by_side[HOTLINE]
    gap, without = median(on.idle[SURVEYED]), median(off.idle[HOTLINE])
    rows = [
        TableRow(
            "survey on: idle agent: greeting over → INVITE, median, limit: off",
            "",
            milliseconds(gap),
            wanted=f"≤ {milliseconds(_SURVEY_GAP)} more",
            holds=gap - without <= _SURVEY_GAP,
            limit=milliseconds(without),
            to_limit=f"{1000 * (gap - without):+.1f} ms",
        )
    ]
    for program in ("asterisk", "controller"):
        ours, limit = (
            [one.cost[program] for one in results.load[RATES[0]][side]]
            for results, side in ((on, SURVEYED), (off, HOTLINE))
        )
        rows.append(
            TableRow(
                f"survey on, {RATES[0]} calls/s: {program}'s CPU a call, limit: off",
                "",
                _cost(ours),
                limit=_cost(limit),
                to_limit=spread(ratios(ours, limit)),
            )
        )
    return rows


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
        rows += _rate_rows(f"{rate} calls/s, recorded", by_side)
    if results.recorder:
        spent = median(results.recorder)
        rows.append(TableRow("recorder's CPU a recording, after the call", "", milliseconds(spent)))
    return rows


def _rate_rows(name: str, by_side: Mapping[str, Sequence[Load]]) -> list[TableRow]:
    asterisk = {side: [one.cost["asterisk"] for one in of] for side, of in by_side.items()}
    queue, ours, loop, dialplan, plain = (asterisk[side] for side in (*SIDES, *LIMITS))
    controller = [one.cost["controller"] for one in by_side[HOTLINE]]
    bare = [one.cost[BARE_LOOP] for one in by_side[BARE_LOOP]]
    beside = ratios(ours, queue)
    # The verdict goes by what the table shows.
    share = round(median(ratios(controller, ours)), 2)
    cheap = share <= _CONTROLLER_SHARE and median(controller) <= _CONTROLLER_COST
    failed = {
        side: f"{sum(one.failed for one in of)} of {sum(one.calls for one in of)}"
        for side, of in by_side.items()
    }
    return [
        TableRow(
            f"{name}: Asterisk's CPU a call, limit: the dialplan",
            _cost(queue),
            _cost(ours),
            spread(beside),
            f"≤ {_ASTERISK_SHARE:g} ×",
            round(median(beside), 2) <= _ASTERISK_SHARE,
            limit=_cost(dialplan),
            to_limit=spread(ratios(ours, dialplan)),
        ),
        *(
            TableRow(
                f"{name}: … limit: {what}",
                "",
                _cost(ours),
                limit=_cost(limit),
                to_limit=spread(ratios(ours, limit)),
            )
            for what, limit in (
                ("the bare loop", loop),
                ("the dialplan, not recorded", plain),
            )
        ),
        TableRow(
            f"{name}: the controller's CPU a call, limit: the bare loop",
            "",
            _cost(controller),
            f"{100 * share:.0f} % of Asterisk's",
            f"≤ {100 * _CONTROLLER_SHARE:g} % of Asterisk's, {milliseconds(_CONTROLLER_COST)}",
            cheap,
            limit=_cost(bare),
            to_limit=spread(ratios(controller, bare)),
        ),
        TableRow(
            f"{name}: calls that failed",
            failed[APP_QUEUE],
            failed[HOTLINE],
            "",
            "none",
            not any(one.failed for one in by_side[HOTLINE]),
            limit=", ".join(failed[side] for side in LIMITS),
        ),
    ]


def _cost(rounds: Sequence[float]) -> str:
    return milliseconds(median(rounds))


def _waiting_rows(results: Results) -> list[TableRow]:
    queue, ours, music, plain = (
        [one["asterisk"] + one["controller"] for one in results.waiting[side]] for side in _WAIT_IN
    )
    controller = median([one["controller"] for one in results.waiting[HOTLINE]])
    beside = ratios(ours, queue)
    name = f"{WAITING} callers waiting: CPU, Asterisk and controller"
    return [
        TableRow(
            f"{name}, limit: the dialplan",
            f"{median(queue):.1%}",
            f"{median(ours):.1%}",
            spread(beside),
            f"≤ {_WAITING_SHARE:g} ×",
            round(median(beside), 2) <= _WAITING_SHARE,
            limit=f"{median(music):.1%}",
            to_limit=spread(ratios(ours, music)),
        ),
        TableRow(
            f"{name}, limit: the dialplan, not recorded",
            "",
            f"{median(ours):.1%}",
            limit=f"{median(plain):.1%}",
            to_limit=spread(ratios(ours, plain)),
        ),
        TableRow("  of that the controller's", "", f"{controller:.1%}"),
    ]
