"""Which idle agent comes first. A strategy is a sort key: the agent with the smallest key is offered the call. Pure.

Every key begins with the penalty and ends with the agent's number, so no two are equal, and the order can be foretold.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from acd.rules.model import Strategy

Key: TypeAlias = tuple[int, int, int, str]
"""(penalty, the strategy's own order, microseconds idle since, agent)"""


class Idle(Protocol):
    """What a strategy may look at: an agent on the floor. Times in microseconds UTC."""

    agent: str
    idle_since: int
    calls: int
    """Calls answered since the agent signed in."""
    last_offer: int


def key(strategy: Strategy, seat: Idle, penalty: int, skill: int) -> Key:
    """The agent's key among the idle of one lane. `skill`: their level in each skill that it needs, summed up."""
    return penalty, _ORDER[strategy](seat, skill), seat.idle_since, seat.agent


_ORDER: Mapping[Strategy, Callable[[Idle, int], int]] = {
    Strategy.LONGEST_IDLE: lambda seat, skill: 0,
    Strategy.FEWEST_CALLS: lambda seat, skill: seat.calls,
    Strategy.SKILL_THEN_IDLE: lambda seat, skill: -skill,
    # The agent whose last offer is the oldest: agents take turns, whether they answer or not.
    Strategy.ROUND_ROBIN: lambda seat, skill: seat.last_offer,
    Strategy.RING_SEVERAL: lambda seat, skill: 0,
}
