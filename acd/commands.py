"""Commands: what the floor wants done, in the imperative. The desk carries them out; the floor never waits."""

from dataclasses import dataclass
from typing import TypeAlias

from acd.events import Fact
from acd.model import CallId, Release


@dataclass(frozen=True, slots=True)
class Ring:
    """Ring this agent's phone for this call, for at most `ring_for` seconds (R3)."""

    call: CallId
    agent: str
    ring_for: float


@dataclass(frozen=True, slots=True)
class StopRinging:
    """Take the offer back: the agent may no longer take the call."""

    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class ReleaseCall:
    """Say the farewell that fits and hang up."""

    call: CallId
    reason: Release


@dataclass(frozen=True, slots=True)
class Record:
    """Enter into the diary a fact that the floor itself concluded."""

    fact: Fact


Command: TypeAlias = Ring | StopRinging | ReleaseCall | Record
