"""Facts about a call: one citizen's call to one of the hotline's numbers, from INVITE to hang-up. Pure."""

from typing import ClassVar

from facts.terms import CallId, Party, Release
from facts.values import value


@value
class CallArrived:
    """The INVITE reached one of the hotline's numbers. `caller` is empty when the number is withheld.

    Also when an agent transfers a citizen after a callback. `origin` is that attempt, and the attempt's recording has
    their talk. `queue` is the queue of its task. From then on the citizen is a call of their own. It has no `number`,
    since the citizen dialled none, and is not in the figures about inbound calls. The next fact is `CallTransferred`.
    """

    kind: ClassVar[str] = "CallArrived"
    at: int
    call: CallId
    number: str
    caller: str
    origin: CallId = ""
    queue: str = ""


@value
class CallQueued:
    """Greeting over: the citizen wants a person."""

    kind: ClassVar[str] = "CallQueued"
    at: int
    call: CallId
    queue: str


@value
class CallDetached:
    """The session that spoke for this waiting call is gone (the call itself may live on in the dialplan)."""

    kind: ClassVar[str] = "CallDetached"
    at: int
    call: CallId


@value
class CallReturned:
    """A waiting call came back to the controller, with the place it had (`queued_at`, microseconds)."""

    kind: ClassVar[str] = "CallReturned"
    at: int
    call: CallId
    queue: str
    queued_at: int


@value
class CallReleased:
    """The hotline decided to end the call without an agent."""

    kind: ClassVar[str] = "CallReleased"
    at: int
    call: CallId
    reason: Release


@value
class CallOverflowed:
    """The fallback queue in Asterisk took the call, because no controller did."""

    kind: ClassVar[str] = "CallOverflowed"
    at: int
    call: CallId


@value
class CallEnded:
    """The caller's channel is gone. `cause` is the Q.850 cause code, 0 when unknown."""

    kind: ClassVar[str] = "CallEnded"
    at: int
    call: CallId
    hung_up_by: Party
    cause: int = 0


@value
class CallRefused:
    """Asterisk refused the INVITE before the call had a channel; `status` is that of SIP (RFC 3261), such as 488.

    The call is over with it (`no_capacity`, M1): its only facts are `CallArrived` and this one.
    """

    kind: ClassVar[str] = "CallRefused"
    at: int
    call: CallId
    status: int


@value
class PlaceRestored:
    """A caller who had given up or was cut off redialled in time: `place` (microseconds) is theirs again."""

    kind: ClassVar[str] = "PlaceRestored"
    at: int
    call: CallId
    place: int


@value
class CallMoved:
    """The call overflowed into another queue, with its place; or a supervisor (`by`) moved it, for this `reason`."""

    kind: ClassVar[str] = "CallMoved"
    at: int
    call: CallId
    queue: str
    by: str = ""
    reason: str = ""


@value
class CallSentOutside:
    """The call overflowed to an outside number; `answered` says whether a person there picked up."""

    kind: ClassVar[str] = "CallSentOutside"
    at: int
    call: CallId
    number: str
    answered: bool = False


@value
class CallSilent:
    """The caller was silent, even after the phrase had been said three times (R20)."""

    kind: ClassVar[str] = "CallSilent"
    at: int
    call: CallId


@value
class CallerAsked:
    """An agent who hears nobody pressed `*0`: the caller is asked by a phrase, which is not in the recording (R20).

    `CallerFound`, `CallSilent` or the call's end follows.
    """

    kind: ClassVar[str] = "CallerAsked"
    at: int
    call: CallId


@value
class CallerFound:
    """The caller who was asked (`CallerAsked`) has spoken, and goes back to the talk."""

    kind: ClassVar[str] = "CallerFound"
    at: int
    call: CallId


@value
class CallTransferred:
    """The agent handed the citizen over (SIP REFER), `to` an agent, a number of ours (its queue) or an outside number.

    `to` is empty if the citizen waits in their queue again. Either the agent hung up on a silent citizen who then
    spoke (R20), or the agent completed a transfer without a colleague. Or their phone dropped the citizen at once.
    `agent` is empty if Asterisk does not name them; then it is the agent whose talk ended just before. `attended`:
    agent and colleague had talked first, so the citizen talks to the colleague from now on. Otherwise the citizen waits
    for an answer.
    """

    kind: ClassVar[str] = "CallTransferred"
    at: int
    call: CallId
    agent: str
    to: str
    attended: bool = False
