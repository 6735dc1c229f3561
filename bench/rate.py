"""One controller process with more calls than a real Asterisk can carry here: `rate`, `size`, and how it stands still.

The controller is `hotline serve` with database and Redis, as `hotline up` runs it. Beside it is a scripted Asterisk
(`bench.exchange` says what that is and what it is not). The number of callers is constant: whoever has talked is
followed by the next one, and there are always more callers than agents.

rate  250 calls a second: from the moment an agent's hang-up is told to the `Dial` of the next call at the same agent,
      the controller's processor time a call, and its stalls (`bench.watched`). The limit is the bare loop beside the
      same scripted Asterisk, which is a program of Python itself and may be late, too.
size  20 agents with 10 waiting, then 1,000 agents with 1,000 waiting, both with as many calls a second: the processor
      time a call must not grow.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Final

import uvloop

from bench.exchange import RINGS, Counted, Exchange
from bench.figures import TableRow, milliseconds, percentile, ratios, spread
from bench.side import BARE_LOOP, GREETING, HOTLINE, Centre
from bench.watched import WatchedStall
from facts.offers import NO_TALK
from facts.times import SECOND
from hotline.machine import render
from hotline.machine.programs import ProgramError

CALLS_A_SECOND: Final = 250
WAITING: Final = 50
SIZES: Final = ((20, 10), (1_000, 1_000))
"""Agents, and callers who wait."""
ROUNDS: Final = 5
_TALK: Final = NO_TALK / SECOND + 0.1
_BETWEEN: Final = 0.01
"""Seconds that an agent needs from a talk to the next one's ringing, roughly."""
_GAP, _STALL = 0.010, 0.020
"""What is wanted: seconds of the gap (p99), and of the longest stall."""
_FILL_AT: Final = 100
"""Callers who arrive in a second until as many are there as are wanted."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: calls a second, seconds of each gap, processor time of the controller a call, and its stalls."""

    rate: float
    gaps: Sequence[float]
    cost: float
    stalls: Sequence[WatchedStall]
    lost: int
    waiting: int


async def play(
    agents: int,
    waiting: int,
    talk: float,
    seconds: float,
    *,
    side: str = HOTLINE,
    watched: bool = False,
) -> Run:
    """Let so many agents talk for `talk` seconds each, with so many waiting, and measure one side for `seconds`.

    `watched`: with the controller's stalls, which costs it a little. Raises `ProgramError`.
    """
    numbers = tuple(str(1001 + index) for index in range(agents))
    async with Centre(numbers, asterisk=False) as centre:
        settings, bare = centre.settings, side == BARE_LOOP
        program = BARE_LOOP if bare else "controller"
        exchange = Exchange(
            (settings.control_address, centre.loop_port if bare else settings.agi_port),
            numbers,
            _lengths(agents, talk),
            agi_secret=render.agi_secret(settings),
            hep_secret=render.hep_secret(settings),
            greets=bare,
        )
        stalls = centre.home / "stalls.json"
        command = (sys.executable, "-m", "bench.watched", str(stalls)) if watched else ()
        beside = centre.bare_loop(agents) if bare else centre.controller(agents, command)
        async with exchange.listen(settings.ami_port), beside:
            await _fill(exchange, agents, waiting, talk)
            counted = exchange.counted = Counted()
            before = centre.cpu()[program]
            await asyncio.sleep(seconds)
            spent, until = centre.cpu()[program] - before, time.perf_counter()
            exchange.counted = Counted()
            there, lost = exchange.waiting, exchange.lost
        if not counted.talks or not counted.gaps:
            raise ProgramError(
                "no call followed another one: controller and scripted Asterisk differ"
            )
        return Run(
            rate=counted.talks / (until - counted.began),
            gaps=counted.gaps,
            cost=spent / counted.talks,
            stalls=WatchedStall.read(stalls, counted.began, until) if watched else [],
            lost=lost,
            waiting=there,
        )


def _lengths(agents: int, talk: float) -> Callable[[], float]:
    """Lengths of talks, about `talk` seconds; the first ones are spread, so that they end one after the other."""
    chance, first = Random(12345), [agents]

    def length() -> float:
        if first[0]:
            first[0] -= 1
            return max(_TALK, talk * chance.random())
        return max(_TALK, talk * chance.uniform(0.98, 1.02))

    return length


async def _fill(exchange: Exchange, agents: int, waiting: int, talk: float) -> None:
    """Let callers come until all agents talk and so many wait, besides those who hear the greeting."""
    in_greeting = round(agents / (talk + RINGS + _BETWEEN) * GREETING)
    for _ in range(agents + waiting + in_greeting):
        exchange.call()
        await asyncio.sleep(1 / _FILL_AT)
    await asyncio.sleep(GREETING + 2 * _TALK)


def measure_rate(rounds: int, seconds: float) -> list[TableRow]:
    """The rows of `rate`. Raises `ProgramError`."""
    agents = round(CALLS_A_SECOND * (_TALK + RINGS + _BETWEEN))
    runs: dict[str, list[Run]] = {HOTLINE: [], BARE_LOOP: []}
    for number in range(1, rounds + 1):
        for side, of in runs.items():
            watched = side == HOTLINE
            played = play(agents, WAITING, _TALK, seconds, side=side, watched=watched)
            of.append(uvloop.run(played))
            say(f"round {number} of {rounds}, {side}", of[-1])
    return rate_rows(runs[HOTLINE], runs[BARE_LOOP])


def measure_size(rounds: int, seconds: float) -> list[TableRow]:
    """The rows of `size`. Raises `ProgramError`."""
    runs: list[tuple[Run, ...]] = []
    small = SIZES[0][0]
    for number in range(1, rounds + 1):
        pair = []
        for agents, waiting in SIZES:
            # As many calls a second with more agents: their talks are longer.
            talk = (_TALK + RINGS) * agents / small - RINGS
            pair.append(uvloop.run(play(agents, waiting, talk, seconds)))
            say(f"round {number} of {rounds}, {agents:,} agents", pair[-1])
        runs.append(tuple(pair))
    return size_rows(runs)


def say(what: str, run: Run) -> None:
    """A line for each run."""
    print(
        f"{what}: {run.rate:.1f} calls/s, {run.waiting} wait, {milliseconds(run.cost)} of CPU a call, "
        f"gap {milliseconds(median(run.gaps))}, p99 {milliseconds(percentile(run.gaps, 99))}, {run.lost} lost"
        + "".join(
            f"\n  stalled for {milliseconds(stall.clock)}, {milliseconds(stall.cpu)} of CPU, collector "
            + milliseconds(stall.collector)
            for stall in sorted(run.stalls, key=_own)[-3:]
        ),
        flush=True,
    )


def rate_rows(runs: Sequence[Run], bare: Sequence[Run]) -> list[TableRow]:
    """Lay out the rounds of `rate`, and those of the bare loop beside the same scripted Asterisk."""
    name = f"{CALLS_A_SECOND} calls/s in one controller, scripted Asterisk"
    ours, limit = (
        {key: [of(run) for run in side] for key, of in _OF_A_RUN.items()} for side in (runs, bare)
    )
    wanted = {"hang-up → Dial, p99": (f"≤ {milliseconds(_GAP)}", _GAP)}
    lost = sum(run.lost for run in runs)
    # None is wanted, so the longest of all rounds counts.
    stalls = [stall for run in runs for stall in run.stalls]
    longest = max(stalls, key=_own, default=WatchedStall(0, 0, 0, 0))
    clock = max((stall.clock for stall in stalls), default=0.0)
    rows = []
    for key, values in ours.items():
        want, most = wanted.get(key, ("", None))
        rows.append(
            TableRow(
                f"{name}: {key}",
                "",
                milliseconds(median(values)),
                wanted=want,
                holds=None if most is None else median(values) <= most,
                limit=milliseconds(median(limit[key])),
                to_limit=spread(ratios(values, limit[key])),
            )
        )
    reached = [median([run.rate for run in side]) for side in (runs, bare)]
    return [
        TableRow(f"{name}: calls a second", "", f"{reached[0]:.0f}", limit=f"{reached[1]:.0f}"),
        TableRow(f"{name}: calls lost", "", str(lost), "", "none", not lost),
        *rows,
        TableRow(
            f"{name}: longest stall, in the loop's processor time",
            "",
            milliseconds(_own(longest)),
            "",
            f"≤ {milliseconds(_STALL)}",
            _own(longest) <= _STALL,
        ),
        TableRow("… of it the garbage collector", "", milliseconds(longest.collector)),
        TableRow("… longest by the clock", "", milliseconds(clock)),
    ]


_OF_A_RUN: Final[Mapping[str, Callable[[Run], float]]] = {
    "hang-up → Dial, median": lambda run: median(run.gaps),
    "hang-up → Dial, p99": lambda run: percentile(run.gaps, 99),
    "CPU a call": lambda run: run.cost,
}


def _own(stall: WatchedStall) -> float:
    """Seconds that the controller itself had the loop: another program may have had the processor meanwhile."""
    return min(stall.clock, stall.cpu)


def size_rows(runs: Sequence[tuple[Run, ...]]) -> list[TableRow]:
    """Lay out the rounds of `size`: each has a run of every size."""
    small, large = ([pair[index] for pair in runs] for index in range(len(SIZES)))
    beside = ratios([run.cost for run in large], [run.cost for run in small])
    gap = ratios([median(run.gaps) for run in large], [median(run.gaps) for run in small])
    name = "{:,} agents, {:,} waiting, scripted Asterisk: the controller's CPU a call"
    rate = median([run.rate for run in (*small, *large)])
    return [
        TableRow(
            f"{name.format(*SIZES[0])}, {rate:.0f} calls/s",
            "",
            milliseconds(median([run.cost for run in small])),
        ),
        TableRow(
            name.format(*SIZES[1]),
            "",
            milliseconds(median([run.cost for run in large])),
            spread(beside),
            "no more",
            round(median(beside), 2) <= 1,
        ),
        TableRow(
            "… hang-up → Dial, median",
            "",
            milliseconds(median([median(run.gaps) for run in large])),
            spread(gap),
        ),
        TableRow("… calls lost", "", str(sum(run.lost for run in (*small, *large)))),
    ]
