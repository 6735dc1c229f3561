"""Facts about the red button (R17): an urgent matter that a supervisor must see at once. Pure."""

from typing import ClassVar

from facts.terms import CallId
from facts.values import value


@value
class AlertRaised:
    """The red button was pressed in the talk of `agent`. `alert`: its number, and that of its urgent matter.

    The row of the urgent matter has the same `at`, and enters the database with this fact. `by`: the account; empty:
    the agent, by the key of their phone. `note`: in its words.
    """

    kind: ClassVar[str] = "AlertRaised"
    at: int
    call: CallId
    agent: str
    alert: int
    by: str = ""
    note: str = ""


@value
class AlertAcknowledged:
    """A supervisor has seen it: it escalates no more."""

    kind: ClassVar[str] = "AlertAcknowledged"
    at: int
    call: CallId
    agent: str
    alert: int
    by: str


@value
class AlertEscalated:
    """Nobody has acknowledged it in time, for the `level`-th time: the alarm is told again, and graver."""

    kind: ClassVar[str] = "AlertEscalated"
    at: int
    call: CallId
    agent: str
    alert: int
    level: int
