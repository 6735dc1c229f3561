"""Commands: what the floor wants done, in the imperative. The desk carries them out; the floor never waits. Pure."""

from typing import TypeAlias

from facts import Fact
from facts.terms import CallId, Release
from facts.values import value


@value
class Ring:
    """Ring these agents' phones for this call, for at most `ring_for` seconds (R3). Nearly always one agent."""

    call: CallId
    agents: tuple[str, ...]
    ring_for: float


@value
class StopRinging:
    """Take the offer back: the agent may not answer this call any more."""

    call: CallId
    agent: str


@value
class ReleaseCall:
    """Say the farewell for this reason and hang up."""

    call: CallId
    reason: Release


@value
class SendOutside:
    """Connect the caller to an outside number: the queue overflows, or an agent transfers them there."""

    call: CallId
    number: str


@value
class CreateCallback:
    """Enter a callback task into the book. `CallbackAdded` with the task's number follows.

    `latest`: its deadline, microseconds UTC. `place`: the rank that the caller keeps, or 0. `matter`: what the citizen
    is to be asked about; empty for who waited in vain.
    """

    number: str
    queue: str
    latest: int
    reason: str
    origin: CallId
    place: int = 0
    matter: str = ""


@value
class PlaceCallback:
    """Ring the agent's phone for the task, then dial the citizen. `call` is the id of the attempt."""

    callback: int
    call: CallId
    agent: str
    number: str
    queue: str


@value
class Yield:
    """In one step (R7): cancel the unanswered attempt `cancel`, and ring its agent for `call`, `ring_for` seconds.

    With `stay_on_line` the agent's phone does not ring again: they hear a tone, and are connected to the caller.
    """

    callback: int
    cancel: CallId
    agent: str
    call: CallId
    ring_for: float
    stay_on_line: bool = False


@value
class CancelAttempt:
    """Hang up an attempt: the task was cancelled, or the agent asked for a pause."""

    call: CallId
    agent: str


@value
class Record:
    """Write a fact into the diary: one that the floor accepts, or concludes itself."""

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
