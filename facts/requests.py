"""Requests: what screens, the API and the command line ask the controller to do, and its reply. Pure.

Each has the `name` that crosses the wire, and its fields are the request's words there. A field that has its default is
left out, so a request of an older or a newer program can be read as long as its words are known.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeAlias, get_args, get_type_hints

from facts.control import ControlRequest
from facts.live import Json


class RequestError(ValueError):
    """The request cannot be read. The message says why, and is fit to be shown as it is."""


@dataclass(frozen=True, slots=True)
class GetStatus:
    """Whether calls can be taken: `Reply.ready`."""

    name: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True)
class AgentWasAdded:
    """An agent was added to the roster in the database."""

    name: ClassVar[str] = "agent.added"
    number: str


@dataclass(frozen=True, slots=True)
class AgentWasRemoved:
    """An agent was removed from the roster in the database."""

    name: ClassVar[str] = "agent.removed"
    number: str


@dataclass(frozen=True, slots=True)
class AgentPasswordChanged:
    """An agent's softphone has a new password in the database."""

    name: ClassVar[str] = "agent.password"
    number: str


@dataclass(frozen=True, slots=True)
class SetReady:
    """The agent takes calls."""

    name: ClassVar[str] = "agent.ready"
    number: str


@dataclass(frozen=True, slots=True)
class SetPaused:
    """The agent takes a break."""

    name: ClassVar[str] = "agent.pause"
    number: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SetOut:
    """The agent signs out."""

    name: ClassVar[str] = "agent.out"
    number: str


@dataclass(frozen=True, slots=True)
class PauseRecording:
    """Leave silence in the recording of the agent's talk; `by`: the account that asks."""

    name: ClassVar[str] = "recording.pause"
    number: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class ResumeRecording:
    """Record the agent's talk again."""

    name: ClassVar[str] = "recording.resume"
    number: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class ListenToTalk:
    """Ring the phone of the agent `phone`, and have it listen to the talk of `number` (or do what `mode` says).

    `by`: the account that asks; `may_step_in`: 1 if a key of that phone may step in as well.
    """

    name: ClassVar[str] = "talk.listen"
    number: str
    phone: str
    mode: str = "listen"
    by: str = ""
    may_step_in: int = 0


@dataclass(frozen=True, slots=True)
class ChangeListening:
    """From now on listen, whisper or step in: `mode` is one of `SupervisionMode`."""

    name: ClassVar[str] = "talk.listen.mode"
    number: str
    phone: str
    mode: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class LeaveTalk:
    """The phone of the agent `phone` is to leave the talk of `number`."""

    name: ClassVar[str] = "talk.listen.end"
    number: str
    phone: str


@dataclass(frozen=True, slots=True)
class TakeTalk:
    """The phone of the agent `phone` is to get the citizen who talks to `number`."""

    name: ClassVar[str] = "talk.take"
    number: str
    phone: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class EndTalk:
    """End the talk of `number`, and the citizen's call with it."""

    name: ClassVar[str] = "talk.end"
    number: str
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RulesChanged:
    """The rules in the database have changed."""

    name: ClassVar[str] = "rules.changed"


@dataclass(frozen=True, slots=True)
class TrunksChanged:
    """Asterisk has been given other trunks."""

    name: ClassVar[str] = "trunks.changed"


@dataclass(frozen=True, slots=True)
class AcknowledgeAlarm:
    """Acknowledge an open alarm, named by its id or its rule."""

    name: ClassVar[str] = "alarm.ack"
    id: str
    by: str


@dataclass(frozen=True, slots=True)
class AddCallback:
    """Enter a callback task; `Reply.id` is its number. Times in microseconds UTC; None and 0: not given."""

    name: ClassVar[str] = "callback.add"
    number: str
    queue: str = ""
    earliest: int = 0
    latest: int = 0
    prefers: str = ""
    reason: str = ""
    matter: str = ""
    attempts: int | None = None
    spacing: int | None = None


@dataclass(frozen=True, slots=True)
class CancelCallback:
    """Cancel a callback task that the citizen has not answered."""

    name: ClassVar[str] = "callback.cancel"
    id: int


@dataclass(frozen=True, slots=True)
class AddParty:
    """Bring somebody into the talk of agent `number`; `Reply.party` is the party's id.

    `to`: an agent's number, a queue, a name of the directory, or an outside number. `how`: `now`, or `consult` if the
    agent talks to them first. `by`: the account that asks.
    """

    name: ClassVar[str] = "party.add"
    number: str
    to: str
    how: str = "now"
    by: str = ""


@dataclass(frozen=True, slots=True)
class JoinParties:
    """The agent has consulted: the citizen is to hear everybody in the talk."""

    name: ClassVar[str] = "party.join"
    number: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class MuteParty:
    """Have the others hear a party of the agent's talk no more."""

    name: ClassVar[str] = "party.mute"
    number: str
    party: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class UnmuteParty:
    """Have the others hear a party of the agent's talk again."""

    name: ClassVar[str] = "party.unmute"
    number: str
    party: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class DropParty:
    """Take a party out of the agent's talk, or stop calling them."""

    name: ClassVar[str] = "party.drop"
    number: str
    party: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class HandToSurvey:
    """End the agent's talk by handing the citizen to the survey; `by`: the account that asks."""

    name: ClassVar[str] = "talk.survey"
    number: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class ExplainHangUp:
    """Why the agent hung up first: `reason` of `facts.hang_ups`. `call`: which talk; empty: their last one."""

    name: ClassVar[str] = "talk.explain"
    number: str
    reason: str
    call: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class EnterRating:
    """The citizen has rated the talk by the link with this token. `grade`: a word of `facts.terms.Grade`."""

    name: ClassVar[str] = "survey.rate"
    token: str
    grade: str


@dataclass(frozen=True, slots=True)
class AssignCaller:
    """Offer a waiting caller to one agent alone for a time; `by`: the account that decides, `reason`: why."""

    name: ClassVar[str] = "caller.assign"
    call: str
    agent: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class MoveCaller:
    """Have a waiting caller wait in another queue, at their place."""

    name: ClassVar[str] = "caller.move"
    call: str
    queue: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class BringForward:
    """Put a waiting caller before all others of their queue."""

    name: ClassVar[str] = "caller.forward"
    call: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send a text to an agent, or to all (`agent` empty); `by`: the account that sends it. `Reply.id`: its number."""

    name: ClassVar[str] = "message.send"
    text: str
    by: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """The agent has read a message of theirs."""

    name: ClassVar[str] = "message.read"
    agent: str
    id: int


@dataclass(frozen=True, slots=True)
class CallEmergency:
    """Bring an emergency service (`110`, `119`, `120`, `122`) into the agent's talk at once (R16)."""

    name: ClassVar[str] = "emergency.call"
    number: str
    service: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class RaiseAlert:
    """The red button in this agent's talk; `by`: the account, empty for the phone's key. `Reply.id`: its number."""

    name: ClassVar[str] = "alert.raise"
    agent: str
    by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class AcknowledgeAlert:
    """A supervisor has seen an alert."""

    name: ClassVar[str] = "alert.acknowledge"
    id: int
    by: str


Request: TypeAlias = (
    GetStatus
    | AgentWasAdded
    | AgentWasRemoved
    | AgentPasswordChanged
    | SetReady
    | SetPaused
    | SetOut
    | PauseRecording
    | ResumeRecording
    | ListenToTalk
    | ChangeListening
    | LeaveTalk
    | TakeTalk
    | EndTalk
    | RulesChanged
    | TrunksChanged
    | AcknowledgeAlarm
    | AddCallback
    | CancelCallback
    | AddParty
    | JoinParties
    | MuteParty
    | UnmuteParty
    | DropParty
    | HandToSurvey
    | ExplainHangUp
    | EnterRating
    | AssignCaller
    | MoveCaller
    | BringForward
    | SendMessage
    | ReadMessage
    | CallEmergency
    | RaiseAlert
    | AcknowledgeAlert
    | ControlRequest
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the controller has done. `said`: a sentence; `id`: a new callback's number; `ready`: calls can be taken.

    `party`: the id of a party who was asked into a talk. `call`: the call that it was done to, by which its facts are
    followed.
    """

    said: str = ""
    id: int = 0
    ready: bool = False
    party: str = ""
    call: str = ""


def asks_of_talks(asked: Request) -> bool:
    """Whether this request is about who talks now."""
    return asked.name.partition(".")[0] in _OF_A_TALK - {"recording"}


def lane_of(asked: Request) -> str:
    """What this request waits for its turn at: the talk of an agent, the red button, or phones that are sent a text.

    Empty for one that waits for neither a phone nor the database.
    """
    family = asked.name.partition(".")[0]
    if family in _OF_A_TALK:
        return f"talk {getattr(asked, 'number', '')}"
    return family if family in _APART else ""


def words_of(message: Request | Reply) -> dict[str, Json]:
    """The fields of a request or a reply, ready for JSON: those that differ from their defaults."""
    return {
        field.name: getattr(message, field.name)
        for field in fields(message)
        if getattr(message, field.name) != field.default
    }


def read_request(name: str, words: Any) -> Request:
    """The request of this name. Raises `RequestError` for an unknown name or word, a missing one, or another type."""
    kind = _KINDS.get(name)
    if kind is None:
        raise RequestError(f"there is no command {name[:40]}")
    if not isinstance(words, dict):
        raise RequestError(f"{name}: its words must be an object")
    types = _TYPES[kind]
    for word, value in words.items():
        if word not in types:
            raise RequestError(f"{name} has no {str(word)[:40]}")
        if isinstance(value, bool) or not isinstance(value, types[word]):
            wanted = "a whole number" if int in types[word] else "text"
            raise RequestError(f"{name}: {word} is of the wrong type: it must be {wanted}")
    try:
        return kind(**words)
    except TypeError:
        missing = [
            field.name
            for field in fields(kind)
            if field.name not in words and field.default is MISSING
        ]
        raise RequestError(f"{name} needs a {' and a '.join(missing)}") from None


def read_reply(words: Mapping[str, Json]) -> Reply:
    """A reply from JSON; words that this version does not know are left out."""
    names = {field.name for field in fields(Reply)}
    known: dict[str, Any] = {word: value for word, value in words.items() if word in names}
    return Reply(**known)


_OF_A_TALK = frozenset({"talk", "party", "emergency", "call", "recording"})
_APART = frozenset({"alert", "message"})
_KINDS: dict[str, type[Request]] = {kind.name: kind for kind in get_args(Request)}
_TYPES: dict[type[Request], dict[str, tuple[type, ...]]] = {
    kind: {
        field.name: get_args(get_type_hints(kind)[field.name])
        or (get_type_hints(kind)[field.name],)
        for field in fields(kind)
    }
    for kind in _KINDS.values()
}
