"""Facts about what is done within a talk. Pure."""

from typing import ClassVar

from facts.terms import CallId, CallMark
from facts.values import value


@value
class TalkMuted:
    """The citizen does not hear the agent any more, nor does the recording. `by`: the account that asked for it."""

    kind: ClassVar[str] = "TalkMuted"
    at: int
    call: CallId
    agent: str
    by: str = ""


@value
class TalkUnmuted:
    """The citizen hears the agent again. A talk that ends while its agent is mute has no such fact."""

    kind: ClassVar[str] = "TalkUnmuted"
    at: int
    call: CallId
    agent: str
    by: str = ""


@value
class CallMarked:
    """The agent who talks says what this call is. `by`: the account that asked for it, empty for the phone's key.

    `ended`: the hotline ends the call with its scripted phrase, and the agent is out of the talk (R18). A call may be
    marked more than once. A mark blocks nobody.
    """

    kind: ClassVar[str] = "CallMarked"
    at: int
    call: CallId
    agent: str
    mark: CallMark
    by: str = ""
    ended: bool = False
