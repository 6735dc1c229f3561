"""One controller process with more calls than a real Asterisk can carry here: `rate`, `size`, and how it stands still.

The controller is `hotline serve` with database and Redis, as `hotline up` runs it. Beside it is a scripted Asterisk
(`bench.exchange` says what that is and what it is not). The number of callers is constant: whoever has talked is
followed by the next one, and there are always more callers than agents.

rate  250 calls a second: from the moment an agent's hang-up is told to the `Dial` of the next call at the same agent,
      the controller's processor time a call, and its stalls (`bench.stalls`).
size  20 agents with 10 waiting, then 1,000 agents with 1,000 waiting, both with as many calls a second: the processor
      time a call must not grow.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Final

import uvloop

from bench.exchange import RINGS, Counted, Exchange
from bench.figures import TableRow, milliseconds, percentile, ratios, spread
from bench.side import GREETING, Centre
from bench.stalls import Stall
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
    stalls: Sequence[Stall]
    lost: int
    waiting: int


async def play(
    agents: int, waiting: int, talk: float, seconds: float, *, watched: bool = False
) -> Run:
    """Let so many agents talk for `talk` seconds each, with so many waiting, and measure for `seconds`.

    `watched`: with its stalls, which costs the controller a little. Raises `ProgramError`.
    """
    numbers = tuple(str(1001 + index) for index in range(agents))
    async with Centre(numbers, asterisk=False) as centre:
        settings = centre.settings
        exchange = Exchange(
            (settings.control_address, settings.agi_port),
            numbers,
            _lengths(agents, talk),
            agi_secret=render.agi_secret(settings),
            hep_secret=render.hep_secret(settings),
        )
        stalls = centre.home / "stalls.json"
        command = (sys.executable, "-m", "bench.stalls", str(stalls)) if watched else ()
        async with exchange.listen(settings.ami_port), centre.controller(agents, command):
            await _fill(exchange, agents, waiting, talk)
            counted = exchange.counted = Counted()
            before = centre.cpu()["controller"]
            await asyncio.sleep(seconds)
            spent, until = centre.cpu()["controller"] - before, time.perf_counter()
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
            stalls=Stall.read(stalls, counted.began, until) if watched else [],
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
    runs = []
    for number in range(1, rounds + 1):
        runs.append(uvloop.run(play(agents, WAITING, _TALK, seconds, watched=True)))
        say(f"round {number} of {rounds}, rate", runs[-1])
    return rate_rows(runs)


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
        f"{what}: {run.rate:.1f} calls/s, {run.waiting} wait, controller {milliseconds(run.cost)} a call, "
        f"gap {milliseconds(median(run.gaps))}, p99 {milliseconds(percentile(run.gaps, 99))}, {run.lost} lost"
        + "".join(
            f"\n  stalled for {milliseconds(stall.clock)}, {milliseconds(stall.cpu)} of CPU, collector "
            + milliseconds(stall.collector)
            for stall in sorted(run.stalls, key=_own)[-3:]
        ),
        flush=True,
    )


def rate_rows(runs: Sequence[Run]) -> list[TableRow]:
    """Lay out the rounds of `rate`."""
    name = f"{CALLS_A_SECOND} calls/s in one controller, scripted Asterisk"
    reached = median([run.rate for run in runs])
    tails = [percentile(run.gaps, 99) for run in runs]
    longest = [max(run.stalls, key=_own, default=Stall(0, 0, 0, 0)) for run in runs]
    clock = [max((stall.clock for stall in run.stalls), default=0.0) for run in runs]
    lost = sum(run.lost for run in runs)
    return [
        TableRow(f"{name}: calls a second", "", f"{reached:.0f}"),
        TableRow(f"{name}: calls lost", "", str(lost), "", "none", not lost),
        TableRow(
            f"{name}: hang-up → Dial, median",
            "",
            milliseconds(median([median(run.gaps) for run in runs])),
        ),
        TableRow(
            f"{name}: hang-up → Dial, p99",
            "",
            milliseconds(median(tails)),
            "",
            f"≤ {milliseconds(_GAP)}",
            median(tails) <= _GAP,
        ),
        TableRow(
            f"{name}: the controller's CPU a call",
            "",
            milliseconds(median([run.cost for run in runs])),
        ),
        TableRow(
            f"{name}: longest stall, in the loop's processor time",
            "",
            milliseconds(median(map(_own, longest))),
            "",
            f"≤ {milliseconds(_STALL)}",
            median(map(_own, longest)) <= _STALL,
        ),
        TableRow(
            "… of it the garbage collector",
            "",
            milliseconds(median([stall.collector for stall in longest])),
        ),
        TableRow("… longest by the clock", "", milliseconds(median(clock))),
    ]


def _own(stall: Stall) -> float:
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
