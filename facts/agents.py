"""Facts about an agent: what they want, and what their phone does. Pure."""

from typing import ClassVar

from facts.terms import CallId
from facts.values import value


@value
class AgentAdded:
    """A person joined the roster."""

    kind: ClassVar[str] = "AgentAdded"
    at: int
    agent: str


@value
class AgentRemoved:
    """A person left the roster; a talk that goes on is not cut."""

    kind: ClassVar[str] = "AgentRemoved"
    at: int
    agent: str


@value
class AgentReady:
    """The agent asked for calls."""

    kind: ClassVar[str] = "AgentReady"
    at: int
    agent: str


@value
class AgentPaused:
    """The agent asked for a pause, with its reason."""

    kind: ClassVar[str] = "AgentPaused"
    at: int
    agent: str
    reason: str


@value
class AgentOut:
    """The agent signed out."""

    kind: ClassVar[str] = "AgentOut"
    at: int
    agent: str


@value
class PhoneReachable:
    """The agent's softphone is registered."""

    kind: ClassVar[str] = "PhoneReachable"
    at: int
    agent: str


@value
class PhoneUnreachable:
    """The registration of the agent's softphone is gone."""

    kind: ClassVar[str] = "PhoneUnreachable"
    at: int
    agent: str


@value
class OwnCallStarted:
    """The agent's phone is in a call of its own (a feature code, a colleague), or still in one that it hands on."""

    kind: ClassVar[str] = "OwnCallStarted"
    at: int
    agent: str


@value
class OwnCallEnded:
    """The call of the agent's own is over."""

    kind: ClassVar[str] = "OwnCallEnded"
    at: int
    agent: str


@value
class AgentNotResponding:
    """Three rings without an answer: no more offers until the agent says that they are there."""

    kind: ClassVar[str] = "AgentNotResponding"
    at: int
    agent: str


@value
class WrapUpStarted:
    """After-call work on `call` began; `until` is the moment at which the floor ends it by itself."""

    kind: ClassVar[str] = "WrapUpStarted"
    at: int
    agent: str
    until: int
    call: CallId = ""


@value
class WrapUpEnded:
    """After-call work is over."""

    kind: ClassVar[str] = "WrapUpEnded"
    at: int
    agent: str
    call: CallId = ""
