"""Facts about what a supervisor decides for one waiting caller. Pure.

A move to another queue is a `CallMoved` with `by` (`facts.calls`).
"""

from typing import ClassVar

from facts.terms import CallId
from facts.values import value


@value
class CallerAssigned:
    """Until `until` (microseconds) the waiting caller is offered to this agent alone, before anybody else of theirs.

    Then to all again, at the caller's place. So it is at once when the agent does not take the offer, or takes no
    calls any more. `by`: the account; `reason`: why, in its words.
    """

    kind: ClassVar[str] = "CallerAssigned"
    at: int
    call: CallId
    agent: str
    until: int
    by: str = ""
    reason: str = ""


@value
class CallerBroughtForward:
    """The caller counts as waiting since `place` (microseconds) from now on: before all who wait in their queue now."""

    kind: ClassVar[str] = "CallerBroughtForward"
    at: int
    call: CallId
    place: int
    by: str = ""
    reason: str = ""
