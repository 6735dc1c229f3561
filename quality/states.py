"""The life of one assessment, as a table: state and event → state (R47). Pure. What is not in it cannot happen."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class AssessmentState(StrEnum):
    """Where an assessment stands.

    assigned  an assessor has it, and has not scored it
    returned  the assessor gave it back: it cannot be assessed, or not by them
    scored    it counts, and the agent may appeal for some days
    appealed  the agent has appealed, and nobody has decided
    upheld    somebody else has decided that the score stays
    changed   somebody else has decided on another score
    """

    ASSIGNED = "assigned"
    RETURNED = "returned"
    SCORED = "scored"
    APPEALED = "appealed"
    UPHELD = "upheld"
    CHANGED = "changed"


class AssessmentEvent(StrEnum):
    """What happens to an assessment."""

    DRAW = "draw"
    ASSIGN = "assign"
    RETURN = "return"
    SCORE = "score"
    APPEAL = "appeal"
    UPHOLD = "uphold"
    CHANGE = "change"


_S, _E = AssessmentState, AssessmentEvent

TABLE: Final[Mapping[tuple[AssessmentState | None, AssessmentEvent], AssessmentState]] = {
    (None, _E.DRAW): _S.ASSIGNED,
    (_S.ASSIGNED, _E.ASSIGN): _S.ASSIGNED,
    (_S.ASSIGNED, _E.RETURN): _S.RETURNED,
    (_S.ASSIGNED, _E.SCORE): _S.SCORED,
    (_S.RETURNED, _E.ASSIGN): _S.ASSIGNED,
    (_S.SCORED, _E.APPEAL): _S.APPEALED,
    (_S.APPEALED, _E.UPHOLD): _S.UPHELD,
    (_S.APPEALED, _E.CHANGE): _S.CHANGED,
}
"""Every step there is. An appeal is decided once, so the last two states are final."""

COUNTS: Final = frozenset({_S.SCORED, _S.APPEALED, _S.UPHELD, _S.CHANGED})
"""States in which an assessment has a score."""


class StepError(ValueError):
    """An assessment is not in a state in which this can happen. The message says so."""


def step(state: AssessmentState | None, event: AssessmentEvent) -> AssessmentState:
    """The state after an event. Raises `StepError`."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise StepError(f"it is {state}: {_CANNOT[event]}") from None


_CANNOT: Final = {
    _E.DRAW: "it was drawn already",
    _E.ASSIGN: "only one that is assigned or returned is given to somebody",
    _E.RETURN: "only one that is assigned can be returned",
    _E.SCORE: "only one that is assigned can be scored, and only once",
    _E.APPEAL: "an agent appeals once, against one that is scored",
    _E.UPHOLD: "only an appeal can be decided, and only once",
    _E.CHANGE: "only an appeal can be decided, and only once",
}


def state_after(events: Iterable[AssessmentEvent]) -> AssessmentState | None:
    """The state to which events have led, oldest first; None without any. Raises `StepError`."""
    state: AssessmentState | None = None
    for event in events:
        state = step(state, event)
    return state
