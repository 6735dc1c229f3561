"""Facts about the recording of a call. Pure."""

from typing import ClassVar

from facts.terms import CallId, PauseWhy
from facts.values import value


@value
class RecordingFinished:
    """The call's stereo file is in the ledger. `duration` in microseconds, `sha256` in hex."""

    kind: ClassVar[str] = "RecordingFinished"
    at: int
    call: CallId
    duration: int
    sha256: str


@value
class RecordingMissing:
    """A call that should have a recording has none, or a short one; `why` is in the operator's words."""

    kind: ClassVar[str] = "RecordingMissing"
    at: int
    call: CallId
    why: str


@value
class RecordingPaused:
    """From now on the recording holds silence, as long as the pause: the citizen says something confidential.

    Asterisk has confirmed it. `agent`: whose talk it is; `by`: the account that asked for it, empty for the phone.
    """

    kind: ClassVar[str] = "RecordingPaused"
    at: int
    call: CallId
    agent: str
    why: PauseWhy
    by: str = ""


@value
class RecordingResumed:
    """The pause is over: the recording has both sides again, or the talk has ended (`why` is `left`)."""

    kind: ClassVar[str] = "RecordingResumed"
    at: int
    call: CallId
    agent: str
    why: PauseWhy
    by: str = ""
