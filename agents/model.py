"""What an agent is. An agent is always a person; a program is never called one."""

from dataclasses import dataclass
from enum import StrEnum

from facts.values import words


@words
class Intent(StrEnum):
    """What the agent asked for, last."""

    OUT = "out"
    READY = "ready"
    PAUSED = "paused"


@words
class Presence(StrEnum):
    """The one state that supervisors see, and that decides whether a call may be offered."""

    OUT = "out"
    READY = "ready"
    RINGING = "ringing"
    TALKING = "talking"
    WRAP_UP = "wrap-up"
    PAUSED = "paused"
    NOT_RESPONDING = "not-responding"
    UNREACHABLE = "unreachable"
    ON_OWN_CALL = "own-call"


@dataclass(frozen=True, slots=True)
class Agent:
    """One row of the roster.

    `number` matches `facts.numbers.AGENT_NUMBER`; `intent_at` is in microseconds UTC;
    `pause_reason` is empty unless paused.
    """

    number: str
    name: str
    intent: Intent = Intent.OUT
    pause_reason: str = ""
    intent_at: int = 0
