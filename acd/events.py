"""Facts: what happened, in the past tense. Each is one row of the diary, and each is fed to the floor.

Every fact has `at`, microseconds UTC, first. A fact about a call has `call`, one about a person has `agent`.
Facts are immutable and compare by value, so that a test reads like a diary.
"""

from dataclasses import dataclass, fields
from typing import Any, TypeAlias, get_args, get_type_hints

from acd.model import CallId, OfferReason, Party, Release

# --- a call


@dataclass(frozen=True, slots=True)
class CallArrived:
    """The INVITE reached one of the hotline's numbers. `caller` is empty when the number is withheld.

    Or an agent hands on a citizen whom he has called back: `origin` is that attempt, in whose recording their talk is,
    `queue` its task's. From now on he is a call of his own, with no `number`, for he has dialled none; of the figures
    about inbound calls he is no part. The next fact is `CallTransferred`.
    """

    at: int
    call: CallId
    number: str
    caller: str
    origin: CallId = ""
    queue: str = ""


@dataclass(frozen=True, slots=True)
class CallQueued:
    """Greeting over: the citizen wants a person."""

    at: int
    call: CallId
    queue: str


@dataclass(frozen=True, slots=True)
class CallDetached:
    """The session that spoke for this waiting call is gone (the call itself may live on in the dialplan)."""

    at: int
    call: CallId


@dataclass(frozen=True, slots=True)
class CallReturned:
    """A waiting call came back to the controller, with the place it had (`queued_at`, microseconds)."""

    at: int
    call: CallId
    queue: str
    queued_at: int


@dataclass(frozen=True, slots=True)
class CallReleased:
    """The hotline decided to end the call without an agent."""

    at: int
    call: CallId
    reason: Release


@dataclass(frozen=True, slots=True)
class CallOverflowed:
    """The fallback queue in Asterisk took the call, because no controller did."""

    at: int
    call: CallId


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The caller's channel is gone. `cause` is the Q.850 cause code, 0 when unknown."""

    at: int
    call: CallId
    hung_up_by: Party
    cause: int = 0


@dataclass(frozen=True, slots=True)
class PlaceRestored:
    """A caller who had given up or was cut off has redialled in time: `place` (microseconds) is his again."""

    at: int
    call: CallId
    place: int


@dataclass(frozen=True, slots=True)
class CallMoved:
    """The call overflowed into another queue, with its place."""

    at: int
    call: CallId
    queue: str


@dataclass(frozen=True, slots=True)
class CallSentOutside:
    """The call overflowed to an outside number; `answered` says whether a person there picked up."""

    at: int
    call: CallId
    number: str
    answered: bool = False


@dataclass(frozen=True, slots=True)
class CallSilent:
    """Nobody spoke, even after the phrase had been said three times (R20)."""

    at: int
    call: CallId


@dataclass(frozen=True, slots=True)
class CallTransferred:
    """The agent handed the citizen over (SIP REFER), `to` an agent, a number of ours (its queue) or an outside number.

    `to` is empty when he hung up on a silent citizen who then spoke (R20), or joined him with nobody: the citizen waits
    in his queue again. `agent` is empty when Asterisk does not tell; it is the one whose talk ended just before.
    `attended`: the two had talked before; the citizen talks to him from now on. Otherwise he waits for an answer.
    """

    at: int
    call: CallId
    agent: str
    to: str
    attended: bool = False


# --- an offer of a call to an agent


@dataclass(frozen=True, slots=True)
class OfferMade:
    """The floor chose this agent for this call; our INVITE leaves now."""

    at: int
    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class OfferRinging:
    """The agent's phone rings: its 180, not our INVITE (M4). `estimated` when only CEL's INVITE time is known."""

    at: int
    call: CallId
    agent: str
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """The agent picked up."""

    at: int
    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class OfferEnded:
    """The offer ended without an answer."""

    at: int
    call: CallId
    agent: str
    reason: OfferReason


@dataclass(frozen=True, slots=True)
class TalkEnded:
    """An answered agent's leg is gone."""

    at: int
    call: CallId
    agent: str
    hung_up_by: Party


@dataclass(frozen=True, slots=True)
class TalkHeld:
    """The agent put the talk on hold: the citizen hears music, until `TalkResumed` or the talk's end."""

    at: int
    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class TalkResumed:
    """The agent is back from a hold."""

    at: int
    call: CallId
    agent: str


# --- a callback (回访): the hotline calls a citizen


@dataclass(frozen=True, slots=True)
class CallbackAdded:
    """A task to call a citizen. `queue` is whose agents may do it; `agent` the preferred one, or empty.

    `earliest` and `latest` in microseconds; `spacing` microseconds between attempts; `origin` the call it comes from
    (漏接回拨), or empty; `place` is the kept place of a caller who asked to be called back in his turn, else 0.
    """

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


@dataclass(frozen=True, slots=True)
class CallbackMerged:
    """The same citizen gave up again: one task is enough."""

    at: int
    callback: int
    call: CallId


@dataclass(frozen=True, slots=True)
class CallbackPlaced:
    """The agent was chosen; his phone is rung for the task. `call` names the attempt, and its recording."""

    at: int
    callback: int
    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class CallbackDialling:
    """The agent picked up; the citizen is being dialled: from now on this is an attempt."""

    at: int
    callback: int
    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class CallbackAnswered:
    """The citizen picked up: nothing cuts this talk any more (R7)."""

    at: int
    callback: int
    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class CallbackEnded:
    """An attempt is over. `failure` is empty after a talk, else why there was none."""

    at: int
    callback: int
    call: CallId
    agent: str
    failure: str = ""
    hung_up_by: Party = Party.SYSTEM


@dataclass(frozen=True, slots=True)
class CallbackYielded:
    """呼入优先 (R7): the unanswered callback was cancelled, and its agent is offered `inbound` in the same step.

    Neither an attempt nor the citizen's no-answer; the deadline goes on running.
    """

    at: int
    callback: int
    call: CallId
    agent: str
    inbound: CallId


@dataclass(frozen=True, slots=True)
class CallbackSpared:
    """The floor holds an attempt to be over, but the citizen had picked up: his talk is not cut (R7).

    He did so just before his callback was to yield, or while no controller was there to see it.
    """

    at: int
    callback: int
    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class CallbackRaced:
    """The citizen's answer and our cancel crossed on the wire: he is called back first."""

    at: int
    callback: int
    call: CallId
    agent: str


@dataclass(frozen=True, slots=True)
class CallbackCancelled:
    """The task is over without a talk; `why`: by a person, or because the citizen called and was answered."""

    at: int
    callback: int
    why: str


@dataclass(frozen=True, slots=True)
class CallbackUnreached:
    """All attempts were made, and the citizen was never reached."""

    at: int
    callback: int


@dataclass(frozen=True, slots=True)
class CallbackMissed:
    """The deadline passed without a talk."""

    at: int
    callback: int


@dataclass(frozen=True, slots=True)
class CallbackAsked:
    """A waiting caller pressed the key: he hangs up, keeps his place, and is called in his turn."""

    at: int
    call: CallId


# --- an agent


@dataclass(frozen=True, slots=True)
class AgentAdded:
    """A person joined the roster."""

    at: int
    agent: str


@dataclass(frozen=True, slots=True)
class AgentRemoved:
    """A person left the roster; a talk that goes on is not cut."""

    at: int
    agent: str


@dataclass(frozen=True, slots=True)
class AgentReady:
    """The agent asked for calls."""

    at: int
    agent: str


@dataclass(frozen=True, slots=True)
class AgentPaused:
    """The agent asked for a pause, with its reason."""

    at: int
    agent: str
    reason: str


@dataclass(frozen=True, slots=True)
class AgentOut:
    """The agent signed out."""

    at: int
    agent: str


@dataclass(frozen=True, slots=True)
class PhoneReachable:
    """The agent's softphone is registered."""

    at: int
    agent: str


@dataclass(frozen=True, slots=True)
class PhoneUnreachable:
    """The registration of the agent's softphone is gone."""

    at: int
    agent: str


@dataclass(frozen=True, slots=True)
class OwnCallStarted:
    """The agent's phone placed a call of its own (a feature code, a colleague)."""

    at: int
    agent: str


@dataclass(frozen=True, slots=True)
class OwnCallEnded:
    """The call of the agent's own is over."""

    at: int
    agent: str


@dataclass(frozen=True, slots=True)
class AgentNotResponding:
    """Three rings without an answer: no more offers until the agent says that he is there."""

    at: int
    agent: str


@dataclass(frozen=True, slots=True)
class WrapUpStarted:
    """After-call work on `call` began; `until` is the moment at which the floor ends it by itself."""

    at: int
    agent: str
    until: int
    call: CallId = ""


@dataclass(frozen=True, slots=True)
class WrapUpEnded:
    """After-call work is over."""

    at: int
    agent: str
    call: CallId = ""


# --- the recording of a call


@dataclass(frozen=True, slots=True)
class RecordingFinished:
    """The call's stereo file is in the ledger. `duration` in microseconds, `sha256` in hex."""

    at: int
    call: CallId
    duration: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RecordingMissing:
    """A call that should have a recording has none, or a short one; `why` is in the operator's words."""

    at: int
    call: CallId
    why: str


# --- the centre itself


@dataclass(frozen=True, slots=True)
class ControllerStarted:
    """The controller took the floor."""

    at: int
    version: str


@dataclass(frozen=True, slots=True)
class ControllerStopped:
    """The controller left the floor on purpose."""

    at: int


@dataclass(frozen=True, slots=True)
class LinkLost:
    """Asterisk's manager interface is gone: no new offers."""

    at: int


@dataclass(frozen=True, slots=True)
class LinkRestored:
    """Asterisk's manager interface is back, and its state has been read."""

    at: int


Fact: TypeAlias = (
    CallArrived
    | CallQueued
    | CallDetached
    | CallReturned
    | CallReleased
    | CallOverflowed
    | CallEnded
    | PlaceRestored
    | CallMoved
    | CallSentOutside
    | CallSilent
    | CallTransferred
    | CallbackAdded
    | CallbackMerged
    | CallbackPlaced
    | CallbackDialling
    | CallbackAnswered
    | CallbackEnded
    | CallbackYielded
    | CallbackSpared
    | CallbackRaced
    | CallbackCancelled
    | CallbackUnreached
    | CallbackMissed
    | CallbackAsked
    | OfferMade
    | OfferRinging
    | OfferAnswered
    | OfferEnded
    | TalkEnded
    | TalkHeld
    | TalkResumed
    | AgentAdded
    | AgentRemoved
    | AgentReady
    | AgentPaused
    | AgentOut
    | PhoneReachable
    | PhoneUnreachable
    | OwnCallStarted
    | OwnCallEnded
    | AgentNotResponding
    | WrapUpStarted
    | WrapUpEnded
    | RecordingFinished
    | RecordingMissing
    | ControllerStarted
    | ControllerStopped
    | LinkLost
    | LinkRestored
)

KINDS: dict[str, type[Fact]] = {kind.__name__: kind for kind in get_args(Fact)}
"""Every kind of fact by its name in the diary."""

ATTENDANCE: frozenset[type[Fact]] = frozenset(
    {AgentReady, AgentPaused, AgentOut, AgentRemoved, PhoneReachable, PhoneUnreachable}
)
"""The facts that say when an agent was signed in: what he wants, and whether his phone is registered."""

ATTENDANCE_KINDS = frozenset(kind.__name__ for kind in ATTENDANCE)
"""The same by their names in the diary."""

_HINTS: dict[type, dict[str, Any]] = {kind: get_type_hints(kind) for kind in KINDS.values()}
_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name not in {"at", "call", "agent"})
    for kind in KINDS.values()
}


def details(fact: Fact) -> dict[str, Any]:
    """The fields beside `at`, `call` and `agent`, ready for JSON."""
    return {name: getattr(fact, name) for name in _FIELDS[type(fact)]}


def restore(kind: str, at: int, call: str, agent: str, more: dict[str, Any]) -> Fact:
    """Make a fact again from its diary row. Raises `KeyError` for a kind that this version does not know."""
    cls = KINDS[kind]
    hints = _HINTS[cls]
    values: dict[str, Any] = {"at": at}
    if "call" in hints:
        values["call"] = call
    if "agent" in hints:
        values["agent"] = agent
    for name, value in more.items():
        if name in hints:
            values[name] = hints[name](value)
    return cls(**values)
