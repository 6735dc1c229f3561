"""Facts about supervisors in other agents' talks: who hears which talk, and what they do to the talk. Pure.

A supervisor's leg is none of the call's talks: no figure counts it (M9, M10, M24). Each is in the story of the call,
and the audit log has every minute.
"""

from enum import StrEnum
from typing import ClassVar

from facts.terms import CallId
from facts.values import value


class SupervisionMode(StrEnum):
    """What a supervisor does in a talk.

    listen   hears both, and nobody hears them
    whisper  the agent hears them, and the citizen does not
    step_in  both hear them, and the recording has it
    take     the citizen becomes theirs: `CallTransferred` follows
    """

    LISTEN = "listen"
    WHISPER = "whisper"
    STEP_IN = "step_in"
    TAKE = "take"


class SupervisionEnd(StrEnum):
    """Why a supervisor is in the talk no more, or never was.

    left         they hung up, or asked for it
    over         the agent's talk ended, or the agent handed it on
    took         they have taken the call over, or had stepped in when the agent left
    no_answer    their phone rang and nobody answered
    refused      their phone is busy, or they refused
    unreachable  their phone did not answer Asterisk
    lost         nobody knows: it ended while no controller ran
    """

    LEFT = "left"
    OVER = "over"
    TOOK = "took"
    NO_ANSWER = "no_answer"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    LOST = "lost"


@value
class SupervisionStarted:
    """The supervisor's phone has answered, and they are in the talk of `agent`.

    `supervisor`: the agent's number of their phone; `by`: their account; empty for a phone that the settings allow.
    """

    kind: ClassVar[str] = "SupervisionStarted"
    at: int
    call: CallId
    agent: str
    supervisor: str
    mode: SupervisionMode
    by: str = ""


@value
class SupervisionChanged:
    """From now on the supervisor is in the talk in another way."""

    kind: ClassVar[str] = "SupervisionChanged"
    at: int
    call: CallId
    agent: str
    supervisor: str
    mode: SupervisionMode
    by: str = ""


@value
class SupervisionEnded:
    """The supervisor is in the talk no more, or was never reached. `lasted`: microseconds in the talk."""

    kind: ClassVar[str] = "SupervisionEnded"
    at: int
    call: CallId
    agent: str
    supervisor: str
    why: SupervisionEnd
    lasted: int = 0
    by: str = ""


@value
class TalkStopped:
    """A supervisor ends the talk. `TalkEnded` and `CallEnded` follow, by the system (R6), when Asterisk has done it.

    The citizen is not called back for it.
    """

    kind: ClassVar[str] = "TalkStopped"
    at: int
    call: CallId
    agent: str
    by: str
    reason: str = ""
