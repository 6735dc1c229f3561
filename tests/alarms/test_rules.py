"""One alarm's life, and what a rule takes for bad. Readings in, news out."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarms.rules import RULES, Alarm, Alarms, Key, Rule, UnknownAlarm, changed, of_live_state
from facts.terms import Severity

S = 1_000_000
T = 1_763_719_200 * S
WAIT: Key = ("longest_wait", "")


def rule(name: str, **changes: Any) -> Rule:
    return replace(next(one for one in RULES if one.name == name), **changes)


def look(book: Alarms, key: Key, *values: float | None, every: int = 1) -> list[str]:
    """Readings one after the other: `+` raised, `-` cleared, `.` nothing."""
    said = []
    for second, value in enumerate(values):
        news = book.look({key: value}, T + second * every * S)
        assert len(news) <= 1
        said.append("".join("-" if one.cleared_at else "+" for one in news) or ".")
    return said


def test_raised_after_its_time_and_cleared_after_its_rest() -> None:
    book = Alarms([rule("longest_wait", hold=2, rest=3)])
    values = [100, 121, 121, 150, 130, 60, 60, 60, 60, 60]
    assert "".join(look(book, WAIT, *values)) == "...+....-."


def test_the_worst_value_is_kept() -> None:
    book = Alarms([rule("longest_wait", hold=0)])
    look(book, WAIT, 121, 150, 130)
    assert [alarm.value for alarm in book.open()] == [150]
    low = Alarms([rule("m1r", hold=0)])
    look(low, ("m1r", ""), 94, 90, 93)
    assert [alarm.value for alarm in low.open()] == [90]
    assert [alarm.limit for alarm in low.open()] == [rule("m1r").raise_at]


def test_between_the_limits_nothing_changes() -> None:
    book = Alarms([rule("longest_wait", hold=0, rest=0)])
    assert look(book, WAIT, 119, 121, 119, 61, 121, 119, 60, 119) == list(".+....-.")


def test_a_short_peak_is_no_alarm() -> None:
    book = Alarms([rule("longest_wait", hold=3)])
    assert set(look(book, WAIT, 130, 130, 100, 130, 130, 100)) == {"."}


def test_an_unknown_value_neither_raises_nor_clears() -> None:
    book = Alarms([rule("m1r", hold=0, rest=0)])
    assert look(book, ("m1r", ""), None, 94, None, None, 96) == list(".+..-")
    # A time without a verdict does not count towards `hold`.
    patient = Alarms([rule("m1r", hold=2)])
    assert look(patient, ("m1r", ""), 94, None, 94, 94, 94) == list("....+")


def test_what_is_unknown_hides_nothing_else() -> None:
    book = Alarms([rule("m1r", hold=0, rest=0), rule("longest_wait", hold=0, rest=0)])
    (raised,) = book.look({("of another version", ""): 1, ("m1r", ""): None, WAIT: 200}, T)
    assert raised.rule == "longest_wait"
    # Nobody has measured the wait: it is not over for that.
    (second,) = book.look({("m1r", ""): 90}, T + S)
    assert second.rule == "m1r"
    assert {one.rule for one in book.open()} == {"m1r", "longest_wait"}


def test_each_agent_has_an_alarm_of_their_own_that_ends_when_they_are_gone() -> None:
    book = Alarms([rule("pause_too_long")])
    two: dict[Key, float | None] = {("pause_too_long", "1001"): 61, ("pause_too_long", "1002"): 90}
    assert {one.subject for one in book.look(two, T)} == {"1001", "1002"}
    assert book.look(two, T + S) == []
    (gone,) = book.look({("pause_too_long", "1002"): 91}, T + 2 * S)
    assert (gone.subject, gone.cleared_at) == ("1001", T + 2 * S)
    assert "1002" in book.open()[0].text("zh")


def test_acknowledged_by_the_first_who_did() -> None:
    book = Alarms([rule("longest_wait", hold=0, rest=0)])
    (raised,) = book.look({WAIT: 200}, T)
    assert len(raised.id) == 6, "people type it"
    seen = book.acknowledge(raised.id, "王芳", T + S)
    assert (seen.acknowledged_by, seen.acknowledged_at) == ("王芳", T + S)
    assert book.acknowledge("longest_wait", "李雷", T + 2 * S).acknowledged_by == "王芳"
    (cleared,) = book.look({WAIT: 0}, T + 3 * S)
    assert (cleared.id, cleared.acknowledged_by) == (raised.id, "王芳")
    two = Alarms([rule("pause_too_long")])
    two.look({("pause_too_long", "1001"): 61, ("pause_too_long", "1002"): 90}, T)
    listed = ", ".join(f"{one.id} (pause_too_long)" for one in two.open())
    with pytest.raises(
        UnknownAlarm, match=re.escape(f"no open alarm 'pause_too_long'; open: {listed}")
    ):
        two.acknowledge("pause_too_long", "王芳", T)
    with pytest.raises(UnknownAlarm, match="open: none"):
        book.acknowledge(raised.id, "王芳", T + 4 * S)


def test_after_a_restart_it_is_not_news_again() -> None:
    before = Alarms([rule("longest_wait", hold=0, rest=0)])
    (raised,) = before.look({WAIT: 200}, T)
    after = Alarms([rule("longest_wait", hold=0, rest=0)])
    assert after.restore(raised)
    assert not after.restore(raised)
    assert look(after, WAIT, 200, 300, 0, 200) == list("..-+")
    assert not Alarms([rule("longest_wait", on=False)]).restore(raised)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.one_of(st.none(), st.floats(0, 300))), max_size=80),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_raised_and_cleared_in_turn_each_once(
    steps: list[tuple[int, float | None]], hold: int, rest: int
) -> None:
    book = Alarms([rule("longest_wait", hold=hold, rest=rest)])
    now = T
    life: dict[str, list[str]] = {}
    for seconds, value in steps:
        now += seconds * S
        for alarm in book.look({WAIT: value}, now):
            life.setdefault(alarm.id, []).append("-" if alarm.cleared_at else "+")
            # It is raised at a bad value and cleared at a good one.
            assert value is not None
            assert value <= 60 if alarm.cleared_at else value > 120
        assert len(book.open()) <= 1
    for events in life.values():
        assert events in (["+"], ["+", "-"])
    assert [events for events in life.values() if events == ["+"]] == [["+"]] * len(book.open())


def test_every_rule_can_be_said_and_has_a_distance() -> None:
    for one in RULES:
        assert not one.bad(one.clear_at), one.name
        assert one.good(one.clear_at), one.name
        alarm = Alarm("a1", one.name, "1001", one.severity, 3.25, one.raise_at, T)
        for text in (alarm.text("zh"), alarm.text("en")):
            assert text
            assert "{" not in text
    assert len({one.name for one in RULES}) == len(RULES)


def test_an_operator_changes_rules() -> None:
    rules = {
        one.name: one
        for one in changed(
            {
                "longest_wait": {"raise_at": 30, "severity": "critical"},
                "m1r": {"on": False},
            }
        )
    }
    assert (rules["longest_wait"].raise_at, rules["longest_wait"].clear_at) == (30, -30)
    assert rules["longest_wait"].severity is Severity.CRITICAL
    assert Alarms(rules.values()).look({("m1r", ""): 0}, T + 10**9) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"nonsense": {}}, "there is m1r, longest_wait"),
        ({"m1r": {"colour": "red"}}, "there is on, raise_at"),
        ({"m1r": {"raise_at": "high"}}, "alarms.m1r.raise_at: 'high' is not a number"),
        ({"m1r": {"hold": -1}}, "-1 is not seconds"),
        ({"m1r": {"on": 1}}, "true or false"),
        ({"m1r": {"severity": "deadly"}}, "critical, warning, info"),
        ({"m1r": {"clear_at": 94}}, "must not be less than raise_at 95"),
        ({"longest_wait": {"clear_at": 121}}, "must not be more than raise_at 120"),
    ],
)
def test_what_cannot_be_is_said(changes: dict[str, dict[str, Any]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        changed(changes)


def test_a_limit_to_clear_at_is_the_operators_own_and_no_time_at_all_is_one() -> None:
    asked = {"longest_wait": {"raise_at": 300, "clear_at": 100, "hold": 0, "rest": 0}}
    found = {one.name: one for one in changed(asked)}["longest_wait"]
    assert (found.raise_at, found.clear_at, found.hold, found.rest) == (300, 100, 0, 0)
    for name in ("hold", "rest"):
        with pytest.raises(ValueError, match=rf"alarms.longest_wait.{name}: -1 is not "):
            changed({"longest_wait": {name: -1}})


def state(**changes: Any) -> Any:
    return {
        "figures": {"M1r": {"value": 0.9, "enough": True}},
        "waiting_since": None,
        "stages": {"greeting": 0, "waiting": 0, "ringing": 0, "talking": 0},
        "agents": [],
        **changes,
    }


def agent(presence: str, until: int = 0) -> dict[str, Any]:
    return {"number": "1001", "presence": presence, "until": until}


def test_readings_of_a_live_state() -> None:
    read = of_live_state(state(), T)
    satisfied: dict[Key, float | None] = {("satisfaction", ""): None}
    assert read == {("m1r", ""): 90.0, **satisfied, WAIT: 0.0, ("nobody_ready", ""): 0}
    for rated, shown in ((19, None), (20, 90.0)):
        figures = {
            "M1r": {"value": 0.9, "enough": True},
            "M12": {"value": 0.9, "denominator": rated},
        }
        assert of_live_state(state(figures=figures), T)["satisfaction", ""] == shown
    few = of_live_state(state(figures={"M1r": {"value": 0.5, "enough": False}}), T)
    assert few["m1r", ""] is None
    stages = {"greeting": 0, "waiting": 2, "ringing": 0, "talking": 0}
    waits = state(waiting_since=T - 7 * S, stages=stages)
    assert of_live_state(waits, T)[WAIT] == 7
    assert of_live_state(waits, T)["nobody_ready", ""] == 2
    for presence, on_duty in (
        *(("ready", True), ("ringing", True), ("talking", True), ("wrap-up", True)),
        *(("own-call", True), ("paused", False), ("out", False), ("unreachable", False)),
        ("not-responding", False),
    ):
        found = of_live_state(waits | {"agents": [agent(presence)]}, T)["nobody_ready", ""]
        assert found == (0 if on_duty else 2), presence
    late = of_live_state(state(agents=[agent("paused", T - 90 * S)]), T)
    assert late["pause_too_long", "1001"] == 90


def test_phones_that_ring_have_not_been_answered_either() -> None:
    waits = state(waiting_since=T - 7 * S, stages={"waiting": 2, "ringing": 3, "talking": 4})
    assert of_live_state(waits, T)["nobody_ready", ""] == 5
    # Who has waited is somebody, also while no stage counts them.
    moves = state(waiting_since=T - 7 * S, stages={"waiting": 0, "ringing": 0, "talking": 4})
    assert of_live_state(moves, T)["nobody_ready", ""] == 1


def test_each_alarm_has_a_name_of_its_own() -> None:
    """Of the rule, of its subject and of the moment."""
    rules = [rule("longest_wait", hold=0, rest=0), rule("pause_too_long", hold=0, rest=0)]
    seen: dict[Key, float | None] = {
        WAIT: 200,
        ("pause_too_long", ""): 90,
        ("pause_too_long", "1001"): 90,
        ("pause_too_long", "1002"): 90,
    }
    ids = [one.id for moment in (T, T + S) for one in Alarms(rules).look(seen, moment)]
    assert len(set(ids)) == len(ids) == 8


def test_the_gravest_come_first_and_then_the_oldest() -> None:
    names = ("longest_wait", "pause_too_long", "nobody_ready")
    book = Alarms([rule(name, hold=0) for name in names])
    seen: dict[Key, float | None] = {("pause_too_long", "1002"): 90}
    book.look(seen, T)
    book.look(seen := {**seen, WAIT: 200}, T + S)
    book.look(seen | {("nobody_ready", ""): 1, ("pause_too_long", "1001"): 90}, T + 2 * S)
    assert [(one.severity.value, one.rule, one.subject) for one in book.open()] == [
        ("critical", "nobody_ready", ""),
        ("warning", "pause_too_long", "1002"),
        ("warning", "longest_wait", ""),
        ("warning", "pause_too_long", "1001"),
    ]


def test_an_alarm_as_screens_show_it() -> None:
    book = Alarms([rule("pause_too_long", hold=0)])
    (raised,) = book.look({("pause_too_long", "1001"): 90.26}, T)
    seen = book.acknowledge(raised.id, "王芳", T + S)
    assert seen.text() == seen.text("zh")
    assert seen.as_json() == {
        "id": raised.id,
        "rule": "pause_too_long",
        "subject": "1001",
        "severity": "warning",
        "since": T,
        "text_zh": "话务员 1001 示忙超时 90 秒",
        "text_en": "agent 1001 has exceeded the pause by 90 seconds",
        "value": 90.3,
        "acknowledged_by": "王芳",
        "acknowledged_at": T + S,
    }
