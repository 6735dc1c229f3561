"""Which idle agent comes first. A strategy is a sort key: the smallest key is offered the call.

Pure. The penalty comes first in every key and the agent's number last, so that the order is total and can be foretold.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from acd.rules.model import Strategy

Key: TypeAlias = tuple[int, int, int, str]
"""(penalty, the strategy's own order, microseconds idle since, agent)"""


class Idle(Protocol):
    """What a strategy may look at: an agent on the floor. Times in microseconds."""

    agent: str
    idle_since: int
    calls: int
    """Calls answered since the agent signed in."""
    last_offer: int


def key(strategy: Strategy, seat: Idle, penalty: int, skill: int) -> Key:
    """The agent's place among the idle of one queue. `skill` is his level in what the queue needs, summed up."""
    return penalty, _ORDER[strategy](seat, skill), seat.idle_since, seat.agent


_ORDER: Mapping[Strategy, Callable[[Idle, int], int]] = {
    Strategy.LONGEST_IDLE: lambda seat, skill: 0,
    Strategy.FEWEST_CALLS: lambda seat, skill: seat.calls,
    Strategy.SKILL_THEN_IDLE: lambda seat, skill: -skill,
    # Whoever was offered a call the longest ago: agents take turns, whether they answered or not.
    Strategy.ROUND_ROBIN: lambda seat, skill: seat.last_offer,
    Strategy.RING_SEVERAL: lambda seat, skill: 0,
}
