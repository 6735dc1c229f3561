"""A row is kept as long as nothing changes that it shows, and not a moment longer."""

from typing import Any

import pytest

from acd.floor import Seat
from acd.rules.text import Rulebook
from agents.model import Intent, Presence
from agents.pause import USUAL
from hotline.controller.rows import AgentRows

T = 1_763_731_200_000_000


def seat(agent: str = "1001") -> Seat:
    return Seat(agent, intent=Intent.READY, reachable=True, since=T)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"call": "n-1.1"}, {"presence": "ringing", "call": "n-1.1"}),
        ({"call": "n-1.1", "answered": True}, {"presence": "talking", "call": "n-1.1"}),
        ({"intent": Intent.OUT}, {"presence": "out"}),
        ({"reachable": False}, {"presence": "unreachable"}),
        ({"own_call": True}, {"presence": Presence.ON_OWN_CALL}),
        ({"not_responding": True}, {"presence": Presence.NOT_RESPONDING}),
        ({"wrap_up_until": T + 1}, {"presence": Presence.WRAP_UP}),
        ({"since": T + 5}, {"since": T + 5}),
        ({"intent": Intent.PAUSED, "pause_reason": "x"}, {"presence": "paused", "reason": "x"}),
    ],
)
def test_whatever_changes_is_shown(change: dict[str, Any], shown: dict[str, Any]) -> None:
    rows, book, one = AgentRows(), Rulebook(), seat()
    [before] = rows.of({"1001": one}, {}, book)
    assert before["presence"] == "ready"
    for name, value in change.items():
        setattr(one, name, value)
    [after] = rows.of({"1001": one}, {}, book)
    assert {**after, **shown} == after


def test_a_row_without_news_is_the_same_one() -> None:
    rows, book, seats = AgentRows(), Rulebook(), {"1002": seat("1002"), "1001": seat()}
    before = rows.of(seats, {"1001": "王芳"}, book)
    seats["1002"].call = "n-1.1"
    after = rows.of(seats, {"1001": "王芳"}, book)
    assert [row["number"] for row in after] == ["1001", "1002"]
    assert after[0] is before[0]
    assert after[1] is not before[1]


def test_a_new_name_a_removed_agent_and_other_rules_are_seen() -> None:
    rows, book, seats = AgentRows(), Rulebook(), {"1001": seat(), "1002": seat("1002")}
    rows.of(seats, {"1001": "王芳"}, book)
    assert rows.of(seats, {"1001": "李雷"}, book)[0]["name"] == "李雷"
    del seats["1001"]
    assert [row["number"] for row in rows.of(seats, {}, book)] == ["1002"]
    meal = next(pause for pause in USUAL if pause.minutes)
    seats["1002"].intent, seats["1002"].pause_reason = Intent.PAUSED, meal.name
    assert rows.of(seats, {}, Rulebook(pauses=(meal,)))[0]["until"] == T + meal.minutes * 60_000_000
    assert rows.of(seats, {}, Rulebook(pauses=()))[0]["until"] == 0


def test_a_paused_recording_is_shown_as_long_as_it_is() -> None:
    rows, book, seats = AgentRows(), Rulebook(), {"1001": seat(), "1002": seat("1002")}
    before = rows.of(seats, {}, book)
    assert "recording_paused" not in before[0]
    paused = rows.of(seats, {}, book, {"1001": T + 3})
    assert paused[0]["recording_paused"] == T + 3
    assert paused[1] is before[1]
    assert rows.of(seats, {}, book, {"1001": T + 3})[0] is paused[0]
    assert rows.of(seats, {}, book) == before
