"""Callback tasks (回访, 漏接回拨) as the floor holds them, and which of them comes next. Pure.

A task is *due* from its earliest time on, unless the next attempt is not due yet. First comes a task with an answer
that crossed with our cancel, then the one with the nearest deadline.
"""

from dataclasses import dataclass
from enum import StrEnum

from sortedcontainers import SortedList

from facts import CallbackAdded
from facts.terms import CallId
from facts.times import SECOND
from facts.values import words


@words
class State(StrEnum):
    """Where a task is; the words of `hotline callback list`."""

    DUE = "due"
    DIALLING = "dialling"
    TALKING = "talking"
    REACHED = "reached"
    UNREACHED = "unreached"
    CANCELLED = "cancelled"
    MISSED = "missed"


AGENT_SIDE = frozenset(
    {"agent_no_answer", "agent_refused", "agent_unreachable", "withdrawn", "lost"}
)
"""Failures before the citizen was dialled, or that no one caused: they count as no attempt."""


@dataclass(slots=True)
class Task:
    """One open task. Times in microseconds. `tries` names attempts, `attempts_left` counts those that count.

    `own`: the agent `prefers` has the number dialled for themselves: it is placed at once or not at all, and once.
    """

    id: int
    number: str
    queue: str
    earliest: int
    latest: int
    attempts_left: int
    spacing: int
    prefers: str
    reason: str
    origin: CallId
    place: int
    not_before: int
    state: State = State.DUE
    tries: int = 0
    yields: int = 0
    first: bool = False
    agent: str = ""
    attempt: CallId = ""
    matter: str = ""
    own: bool = False

    @classmethod
    def of(cls, fact: CallbackAdded) -> "Task":
        """The task that a fact tells of."""
        return cls(
            fact.callback,
            fact.number,
            fact.queue,
            fact.earliest,
            fact.latest,
            fact.attempts,
            fact.spacing,
            fact.agent,
            fact.reason,
            fact.origin,
            fact.place,
            not_before=fact.earliest,
            matter=fact.matter,
            own=fact.own,
        )

    def order(self) -> tuple[bool, int, int]:
        """Which due task comes first."""
        return not self.first, self.latest, self.id

    def urgent(self, now: int, before: float) -> bool:
        """Whether the deadline is so near (`before`, seconds) that the reserve may be used."""
        return now >= self.latest - round(before * SECOND)


class Book:
    """The due tasks of each queue, in order. Tasks that are not due, or being worked on, are not in it."""

    def __init__(self) -> None:
        self._due: dict[str, SortedList[tuple[bool, int, int]]] = {}

    def add(self, task: Task) -> None:
        """The task is due now."""
        due = self._due.setdefault(task.queue, SortedList())
        if task.order() not in due:
            due.add(task.order())

    def remove(self, task: Task) -> None:
        """The task is not due any more. Harmless when it was not."""
        due = self._due.get(task.queue)
        if due is not None:
            due.discard(task.order())

    def due(self, queue: str) -> bool:
        """Whether this queue has a due task."""
        return bool(self._due.get(queue))

    def __len__(self) -> int:
        """How many tasks are due, in all queues."""
        return sum(map(len, self._due.values()))

    def candidates(self, queue: str) -> list[int]:
        """The task that comes first, and the one with the nearest deadline when that is another."""
        due = self._due.get(queue)
        if not due:
            return []
        found = [due[0][2]]
        plain = due.bisect_left((True, 0, 0))
        if 0 < plain < len(due):
            found.append(due[plain][2])
        return found
