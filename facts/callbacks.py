"""Facts about a callback (回访): a task to call a citizen, and each attempt at it. Pure."""

from typing import ClassVar

from facts.terms import CallId, Party
from facts.values import value


@value
class CallbackAdded:
    """A task to call a citizen. The agents of `queue` may do it; `agent` is the preferred one, or empty.

    `earliest` and `latest` in microseconds; `spacing` microseconds between attempts; `origin` the call it comes from
    (漏接回拨), or empty; `place` is the kept place of a caller who asked to be called back in their turn, else 0.
    `own`: `agent` has the number dialled for themselves, at once and once; it is nobody else's task.
    """

    kind: ClassVar[str] = "CallbackAdded"
    at: int
    callback: int
    number: str
    queue: str
    earliest: int
    latest: int
    attempts: int = 3
    spacing: int = 0
    agent: str = ""
    reason: str = ""
    matter: str = ""
    origin: CallId = ""
    place: int = 0
    own: bool = False


@value
class CallbackMerged:
    """The same citizen gave up again: one task is enough."""

    kind: ClassVar[str] = "CallbackMerged"
    at: int
    callback: int
    call: CallId


@value
class CallbackPlaced:
    """The agent was chosen, and their phone rings for the task. `call` names the attempt, and its recording."""

    kind: ClassVar[str] = "CallbackPlaced"
    at: int
    callback: int
    call: CallId
    agent: str


@value
class CallbackDialling:
    """The agent picked up; the citizen is being dialled: from now on this is an attempt."""

    kind: ClassVar[str] = "CallbackDialling"
    at: int
    callback: int
    call: CallId
    agent: str


@value
class CallbackAnswered:
    """The citizen picked up: nothing cuts this talk any more (R7)."""

    kind: ClassVar[str] = "CallbackAnswered"
    at: int
    callback: int
    call: CallId
    agent: str


@value
class CallbackEnded:
    """An attempt is over. `failure` is empty after a talk, else why there was none."""

    kind: ClassVar[str] = "CallbackEnded"
    at: int
    callback: int
    call: CallId
    agent: str
    failure: str = ""
    hung_up_by: Party = Party.SYSTEM


@value
class CallbackYielded:
    """呼入优先 (R7): the unanswered callback was cancelled, and its agent is offered `inbound` in the same step.

    Neither an attempt nor the citizen's no-answer; the deadline goes on running.
    """

    kind: ClassVar[str] = "CallbackYielded"
    at: int
    callback: int
    call: CallId
    agent: str
    inbound: CallId


@value
class CallbackSpared:
    """The floor counted an attempt as ended, but the citizen had answered: the talk is not cut (R7).

    The answer came just before the callback was to yield, or while no controller was there to see it.
    """

    kind: ClassVar[str] = "CallbackSpared"
    at: int
    callback: int
    call: CallId
    agent: str


@value
class CallbackRaced:
    """The citizen's answer and our cancel crossed on the wire: they are called back first (R7).

    Either AMI told of the answer when the attempt was cut already, or only the copy of the citizen's 200 did. `at`: the
    answer. One for each attempt.
    """

    kind: ClassVar[str] = "CallbackRaced"
    at: int
    callback: int
    call: CallId
    agent: str


@value
class CallbackCancelled:
    """The task is over without a talk; `why`: by a person, or because the citizen called and was answered."""

    kind: ClassVar[str] = "CallbackCancelled"
    at: int
    callback: int
    why: str


@value
class CallbackUnreached:
    """All attempts were made, and the citizen was never reached."""

    kind: ClassVar[str] = "CallbackUnreached"
    at: int
    callback: int


@value
class CallbackReopened:
    """The last attempt, `call`, was a race (`CallbackRaced`): after `CallbackUnreached` there is one more attempt."""

    kind: ClassVar[str] = "CallbackReopened"
    at: int
    callback: int
    call: CallId


@value
class CallbackMissed:
    """The deadline passed without a talk."""

    kind: ClassVar[str] = "CallbackMissed"
    at: int
    callback: int


@value
class DialRefused:
    """The gate (`acd.gate`) refused a number: `why` is one of its `Why`, `purpose` one of its `Purpose`.

    `call`: the caller who would have been called back or sent on, or empty.
    """

    kind: ClassVar[str] = "DialRefused"
    at: int
    call: CallId
    number: str
    purpose: str
    why: str


@value
class CallbackAsked:
    """A waiting caller pressed the key: they hang up, keep their place, and are called in their turn."""

    kind: ClassVar[str] = "CallbackAsked"
    at: int
    call: CallId
