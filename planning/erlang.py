"""Erlang A and Erlang C: what queueing theory says about a floor. Pure.

The model is M/M/n+M. Calls come at random (Poisson) at `rate` a second; talk and patience are exponential. `agents`
serve the callers in the order in which they came. A caller hangs up if their patience ends before an agent is free.
Erlang A (Palm 1946; Garnett, Mandelbaum and Reiman 2002) is its steady state; without impatience it is Erlang C.

All times in seconds. Numerically stable for thousands of agents and any load: probabilities are summed outwards from
the most probable state, so nothing overflows, and the neglected part is below 1e-18.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Steady:
    """One staffing of one load, in its steady state.

    `waits`: P(W > 0), the share of callers who find no agent free. `abandons`: the share who hang up unanswered.
    `queue`: how many wait, on average. `busy`: how many agents talk, on average.
    """

    rate: float
    talk: float
    patience: float
    agents: int
    waits: float
    abandons: float
    queue: float
    busy: float

    def answered_within(self, seconds: float) -> float:
        """The share of all callers who are answered within `seconds` of their arrival; `math.inf`: at all."""
        if seconds < 0 or self.agents == 0:
            return 0.0
        if math.isinf(seconds):
            return 1 - self.abandons
        return 1 - self.waits + self.waits * _served_within(self, seconds)


def erlang_a(rate: float, talk: float, patience: float, agents: int) -> Steady:
    """The steady state of a floor. `patience` is the mean; `math.inf` means that no caller gives up (Erlang C).

    Raises `ValueError` for impossible values, and when no caller gives up and the agents cannot keep up.
    """
    _check(rate, talk, patience, agents)
    if rate == 0:
        return Steady(rate, talk, patience, agents, 0.0 if agents else 1.0, 0.0, 0.0, 0.0)
    impatience = 0.0 if math.isinf(patience) else 1 / patience
    if impatience == 0 and rate * talk >= agents:
        raise ValueError(
            f"{agents} agents cannot keep up with a load of {rate * talk:g}: with endless patience "
            f"at least {math.floor(rate * talk) + 1} are needed"
        )

    def leaving(state: int) -> float:
        return min(state, agents) / talk + max(0, state - agents) * impatience

    # Calls come at a constant rate, and leave faster the more there are. The most probable state is where both meet.
    most = math.ceil(max(rate * talk, agents)) + 1
    if impatience:
        most += math.ceil(max(0.0, rate - agents / talk) / impatience) + 1
    mode = max(0, bisect_left(range(most), rate, key=leaving) - 1)
    total = waiting = queue = busy = 0.0
    for state, share in _outwards(mode, rate, leaving):
        total += share
        busy += share * min(state, agents)
        if state >= agents:
            waiting += share
            queue += share * (state - agents)
    waits, queue, busy = waiting / total, queue / total, busy / total
    return Steady(rate, talk, patience, agents, waits, queue * impatience / rate, queue, busy)


def agents_needed(
    rate: float, talk: float, patience: float, enough: Callable[[Steady], bool], most: int = 5000
) -> int:
    """The smallest number of agents that is `enough`. If a number is enough, every greater one must be, too.

    Raises `ValueError` when even `most` agents are not enough.
    """

    def holds(agents: int) -> bool:
        if math.isinf(patience) and rate * talk >= agents and rate > 0:
            return False
        return enough(erlang_a(rate, talk, patience, agents))

    found = bisect_left(range(most + 1), True, key=holds)
    if found > most:
        raise ValueError(f"even {most} agents are not enough for {rate * 3600:g} calls an hour")
    return found


def _check(rate: float, talk: float, patience: float, agents: int) -> None:
    if not 0 <= rate < math.inf:
        raise ValueError(f"a rate of {rate:g} calls a second: give 0 or more")
    if not 0 < talk < math.inf:
        raise ValueError(f"a talk of {talk:g} s: give more than 0")
    if not patience > 0:
        raise ValueError(f"a patience of {patience:g} s: give more than 0")
    if agents < 0:
        raise ValueError(f"{agents} agents: give 0 or more")


_NEGLIGIBLE = 1e-22


def _outwards(mode: int, rate: float, leaving: Callable[[int], float]) -> list[tuple[int, float]]:
    """The states that are not negligible, with their probabilities relative to that of `mode`."""
    found = [(mode, 1.0)]
    share, state = 1.0, mode
    while state > 0 and share > _NEGLIGIBLE:
        share *= leaving(state) / rate
        state -= 1
        found.append((state, share))
    share, state = 1.0, mode
    while share > _NEGLIGIBLE:
        state += 1
        share *= rate / leaving(state)
        found.append((state, share))
    return found


_STEPS = 2000
"""Steps of Simpson's rule; even."""


def _served_within(steady: Steady, seconds: float) -> float:
    """Of the callers who have to wait, the share who are answered within `seconds` (Baccelli and Hébuterne 1981).

    The wait that a caller would need has the density exp(rate * ∫ P(patience > u) du - x * agents / talk), up to a
    factor: an agent becomes free for this caller only when all who came before have left.
    """
    end = steady.agents / steady.talk
    impatience = 0.0 if math.isinf(steady.patience) else 1 / steady.patience
    if impatience == 0:
        return -math.expm1(-(end - steady.rate) * seconds)

    def log_needed(wait: float) -> float:
        return -steady.rate / impatience * math.expm1(-impatience * wait) - end * wait

    def log_served(wait: float) -> float:
        return log_needed(wait) - impatience * wait

    needed_peak = max(0.0, math.log(steady.rate / end) / impatience)
    served_peak = max(0.0, math.log(steady.rate / (end + impatience)) / impatience)
    height = log_needed(needed_peak)
    whole = _integral(log_needed, needed_peak, height, math.inf)
    return min(1.0, _integral(log_served, served_peak, height, seconds) / whole)


_DEPTH = 45
"""Where a density is this many powers of e below its peak, it is neglected. It falls off faster to the left."""


def _integral(log: Callable[[float], float], peak: float, height: float, until: float) -> float:
    """Of exp(log - height), from 0 until `until`, by Simpson's rule around the peak."""
    width = 1e-9
    while log(peak + width) > log(peak) - _DEPTH:
        width *= 1.5
    start, until = max(0.0, peak - width), min(until, peak + width)
    if until <= start:
        return 0.0
    step = (until - start) / _STEPS
    inner = sum(
        (4 if one % 2 else 2) * math.exp(log(start + one * step) - height)
        for one in range(1, _STEPS)
    )
    ends = math.exp(log(start) - height) + math.exp(log(until) - height)
    return (ends + inner) * step / 3
