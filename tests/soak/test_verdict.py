"""What the soak expects of callbacks: each talk is one answer, and a race is none (R7, M20)."""

from types import SimpleNamespace
from typing import Any

import pytest

from facts import (
    CallbackAdded,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallbackRaced,
    CallbackSpared,
    CallbackYielded,
    Fact,
)
from facts.terms import Party
from tests.soak.verdict import answers_of, pick_ups, told_twice

NUMBER = "+8613910000204"
BOOK = {52: NUMBER}


def call(answered: float = 0.0, ended: float = 0.0, crossed: float = 0.0) -> Any:
    """What the citizen's phone saw of one call."""
    return SimpleNamespace(
        number=NUMBER[3:],
        answered_at=answered,
        acked_at=answered,
        ended_at=ended,
        crossed_at=crossed,
    )


ATTEMPT = (52, "hotline-c52.4", "1019")
ADDED = CallbackAdded(1, 52, NUMBER, "default", 1, 999)
DIALLED: list[Fact] = [ADDED, CallbackPlaced(2, *ATTEMPT), CallbackDialling(3, *ATTEMPT)]
ANSWERED, RACED = CallbackAnswered(4, *ATTEMPT), CallbackRaced(4, *ATTEMPT)
TALKED: list[Fact] = [*DIALLED, ANSWERED, CallbackEnded(5, *ATTEMPT, "", Party.CALLER)]
AGAIN: list[Fact] = [
    CallbackPlaced(6, 52, "hotline-c52.5", "1019"),
    CallbackAnswered(7, 52, "hotline-c52.5", "1019"),
    CallbackEnded(9, 52, "hotline-c52.5", "1019"),
]
YIELDED: list[Fact] = [*DIALLED, CallbackYielded(4, *ATTEMPT, "hotline-1.1")]


@pytest.mark.parametrize(
    ("calls", "facts"),
    [
        ([call()], DIALLED),
        ([call(4, 5)], TALKED),
        ([call(4, 5)], [*YIELDED, CallbackSpared(5, *ATTEMPT)]),
        ([call(4, 4.1)], YIELDED),
        ([call(4, 4.1)], TALKED),
        ([call(4, 4.5, 4.1)], [*YIELDED, RACED]),
        ([call(4, 4.5, 4.1)], [*DIALLED, ANSWERED, CallbackEnded(5, *ATTEMPT, "withdrawn"), RACED]),
        ([call(4, 4.5, 4.1), call(7, 9)], [*YIELDED, RACED, *AGAIN]),
    ],
    ids=[
        *("nobody picks up", "a talk", "spared", "cut at once", "cut at once after all"),
        *("a race", "a race that AMI tells of", "a race, then a talk"),
    ],
)
def test_where_telephone_and_diary_agree(calls: list[Any], facts: list[Fact]) -> None:
    assert pick_ups(calls, answers_of(facts, BOOK)) == {}
    assert told_twice(facts) == []


def test_a_talk_that_is_told_as_a_race_is_a_disagreement() -> None:
    """The citizen talked, and was called again as one whose answer had crossed our cancel, which nobody had sent."""
    facts = [*DIALLED, RACED, RACED]
    assert pick_ups([call(4, 5)], answers_of(facts, BOOK)) == {
        NUMBER: "picked up 1 times, talked 1 times, the diary has 0 answers"
    }
    assert told_twice(facts) == ["hotline-c52.4: 2 times CallbackRaced"]


def test_an_answer_that_no_telephone_gave_is_a_disagreement() -> None:
    assert pick_ups([call()], answers_of(TALKED, BOOK)) == {
        NUMBER: "picked up 0 times, talked 0 times, the diary has 1 answers"
    }
    assert told_twice([*TALKED, ANSWERED]) == ["hotline-c52.4: 2 times CallbackAnswered"]
