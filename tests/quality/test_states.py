"""The life of an assessment: what is not in the table cannot happen."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.states import (
    COUNTS,
    TABLE,
    AssessmentEvent,
    AssessmentState,
    StepError,
    state_after,
    step,
)


@pytest.mark.parametrize(
    ("state", "event"), list(product([None, *AssessmentState], AssessmentEvent)), ids=str
)
def test_every_pair_is_a_step_or_an_error(
    state: AssessmentState | None, event: AssessmentEvent
) -> None:
    if (state, event) in TABLE:
        assert step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(StepError, match=f"it is {state}: "):
            step(state, event)


@given(st.lists(st.sampled_from(AssessmentEvent), max_size=12))
def test_a_score_is_given_once_and_an_appeal_decided_once(events: list[AssessmentEvent]) -> None:
    try:
        state = state_after(events)
    except StepError:
        return
    assert events.count(AssessmentEvent.SCORE) <= 1
    assert events.count(AssessmentEvent.APPEAL) <= 1
    decided = sum(events.count(one) for one in (AssessmentEvent.UPHOLD, AssessmentEvent.CHANGE))
    assert decided <= 1
    assert (state in COUNTS) == (AssessmentEvent.SCORE in events)


def test_every_state_can_be_reached() -> None:
    reached: set[AssessmentState | None] = {None}
    while new := {after for (before, _), after in TABLE.items() if before in reached} - reached:
        reached |= new
    assert reached == {None, *AssessmentState}
