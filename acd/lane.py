"""Lanes: where callers and idle agents meet. Pure.

Callers who need the same (one queue, the same skills) stand in one lane, ordered by rank; every idle agent who can
serve them stands in it too, ordered by the queue's strategy. An agent stands in all lanes he serves. Both orders are
sorted lists, so that what a fact costs grows with the logarithm of how many wait.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from sortedcontainers import SortedList

from acd.rules.model import Queue, Rules
from acd.strategy import Key

Needs: TypeAlias = tuple[tuple[str, int], ...]
"""(skill, least level), sorted by skill."""

Rank: TypeAlias = tuple[int, str]
"""(microseconds since which he counts as waiting, the caller's call id or `#` and a callback's number)"""


@dataclass(slots=True, eq=False)
class Lane:
    """One lane. `penalties` has every agent who serves it, with his penalty and his level in the needs."""

    queue: Queue
    needs: Needs
    penalties: dict[str, tuple[int, int]] = field(default_factory=dict)
    waiting: SortedList[Rank] = field(default_factory=SortedList)
    idle: SortedList[Key] = field(default_factory=SortedList)


class Lanes:
    """All lanes of one set of rules; made when first needed, and made anew when the rules change.

    `fresh` are those made since it was last emptied: their agents do not stand in them yet.
    """

    def __init__(self, rules: Rules, agents: Iterable[str]) -> None:
        self.rules = rules
        self._lanes: dict[tuple[str, Needs], Lane] = {}
        self._of_queue: dict[str, list[Lane]] = {}
        self._members: dict[str, dict[str, int]] = {}
        for member in rules.members:
            self._members.setdefault(member.queue, {})[member.agent] = member.penalty
        self._agents = set(agents)
        self.fresh: list[Lane] = []
        for name in rules.queues:
            self.lane(name, rules.needs(name, ""))
        self.fresh.clear()

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def lane(self, queue: str, needs: Needs) -> Lane:
        """The lane of this queue and these needs."""
        lane = self._lanes.get((queue, needs))
        if lane is None:
            lane = self._lanes[queue, needs] = Lane(self.rules.queue(queue), needs)
            self._of_queue.setdefault(queue, []).append(lane)
            for agent in self._agents:
                self._enlist(lane, agent)
            self.fresh.append(lane)
        return lane

    def home(self, queue: str) -> Lane:
        """The lane that callbacks of this queue are taken from: the queue's own needs, no language."""
        return self.lane(queue, self.rules.needs(queue, ""))

    def of_queue(self, queue: str) -> list[Lane]:
        """All lanes of one queue."""
        return self._of_queue.get(queue, [])

    def waiting(self, queue: str) -> int:
        """How many wait in this queue, whatever they need."""
        return sum(len(lane.waiting) for lane in self.of_queue(queue))

    def join(self, agent: str) -> None:
        """A new agent: he is enlisted in every lane that he can serve."""
        if agent not in self._agents:
            self._agents.add(agent)
            for lane in self:
                self._enlist(lane, agent)

    def leave(self, agent: str) -> None:
        """The agent is gone; he must not stand in any lane any more."""
        self._agents.discard(agent)
        for lane in self:
            lane.penalties.pop(agent, None)

    def served_by(self, agent: str) -> list[Lane]:
        """The lanes that this agent serves."""
        return [lane for lane in self if agent in lane.penalties]

    def _enlist(self, lane: Lane, agent: str) -> None:
        members = self._members.get(lane.queue.name)
        if members is not None and agent not in members:
            return
        skills = self.rules.skills.get(agent, {})
        if all(skills.get(skill, 0) >= level for skill, level in lane.needs):
            level = sum(skills.get(skill, 0) for skill, _ in lane.needs)
            lane.penalties[agent] = (0 if members is None else members[agent], level)
