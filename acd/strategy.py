"""Which idle agent comes first. A strategy is a sort key: the smallest key is offered the call.

Pure. The agent's number is the last word in every key, so that the order is total and a test can foretell it.
"""

from typing import TypeAlias

Key: TypeAlias = tuple[int, str]


def longest_idle(idle_since: int, agent: str) -> Key:
    """The agent who has been idle the longest; `idle_since` in microseconds."""
    return idle_since, agent
