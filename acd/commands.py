"""Commands: what the floor wants done, in the imperative. The desk carries them out; the floor never waits."""

from dataclasses import dataclass
from typing import TypeAlias

from facts import Fact
from facts.terms import CallId, Release


@dataclass(frozen=True, slots=True)
class Ring:
    """Ring these agents' phones for this call, for at most `ring_for` seconds (R3). Mostly one agent."""

    call: CallId
    agents: tuple[str, ...]
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
class SendOutside:
    """Connect the caller to an outside number: the queue overflows."""

    call: CallId
    number: str


@dataclass(frozen=True, slots=True)
class CreateCallback:
    """Enter a task into the book; `CallbackAdded` with its number follows."""

    number: str
    queue: str
    latest: int
    reason: str
    origin: CallId
    place: int = 0


@dataclass(frozen=True, slots=True)
class PlaceCallback:
    """Ring the agent's phone for the task, then dial the citizen; `call` names the attempt."""

    callback: int
    call: CallId
    agent: str
    number: str
    queue: str


@dataclass(frozen=True, slots=True)
class Yield:
    """As one step (R7): cancel the unanswered attempt `cancel`, and give `call` to its agent.

    With `stay_on_line` the agent keeps his line: a tone, and the citizen is there. Otherwise his phone rings anew.
    """

    callback: int
    cancel: CallId
    agent: str
    call: CallId
    ring_for: float
    stay_on_line: bool = False


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    """Hang up an attempt that is no longer wanted (the task was cancelled, the agent asked for a pause)."""

    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class Record:
    """Enter into the diary a fact that the floor itself concluded."""

    fact: Fact


Command: TypeAlias = (
    Ring
    | StopRinging
    | ReleaseCall
    | SendOutside
    | CreateCallback
    | PlaceCallback
    | Yield
    | CancelAttempt
    | Record
)
