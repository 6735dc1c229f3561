"""Facts about the survey after a talk (好差评, R46), and about why an agent hung up first (R6). Pure."""

from typing import ClassVar

from facts.terms import CallId, Grade, HandOver, RatedBy, SurveyEnd
from facts.values import value


@value
class SurveyHandedOver:
    """The agent has ended the talk by handing the citizen to the survey, who hangs up last (M21).

    `by`: the account that asked for it, empty for the phone.
    """

    kind: ClassVar[str] = "SurveyHandedOver"
    at: int
    call: CallId
    agent: str
    why: HandOver
    by: str = ""


@value
class SurveyOffered:
    """The citizen is invited to rate the talk with `agent`: the invitation is spoken now (M11)."""

    kind: ClassVar[str] = "SurveyOffered"
    at: int
    call: CallId
    agent: str


@value
class SurveyRated:
    """The citizen's one rating of this invitation."""

    kind: ClassVar[str] = "SurveyRated"
    at: int
    call: CallId
    agent: str
    grade: Grade
    way: RatedBy = RatedBy.KEY


@value
class SurveyEnded:
    """The spoken survey is over. `reason_at`: when the citizen was asked for the reason of a bad grade, 0: never.

    From there on the call's recording holds the reason, for `reason` microseconds.
    """

    kind: ClassVar[str] = "SurveyEnded"
    at: int
    call: CallId
    agent: str
    end: SurveyEnd
    reason_at: int = 0
    reason: int = 0


@value
class SurveyLinked:
    """The citizen had no time for the spoken survey: another program may send them a link (webhook).

    That is their invitation (M11). Whoever shows `token` to the API before `until` (microseconds UTC) enters the
    rating, once. `caller`: where the link goes.
    """

    kind: ClassVar[str] = "SurveyLinked"
    at: int
    call: CallId
    agent: str
    caller: str
    token: str
    until: int


@value
class HangUpExplained:
    """Why the agent hung up first, without a hand-over (R6). `reason`: its name in `facts.hang_ups`.

    `by`: the account that said so, empty for the phone.
    """

    kind: ClassVar[str] = "HangUpExplained"
    at: int
    call: CallId
    agent: str
    reason: str
    by: str = ""
