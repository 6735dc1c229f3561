"""M11, M12 and M21 with the survey: who ended the call, who was asked, what they said."""

import random

import pytest

from facts import (
    CallEnded,
    CallSilent,
    CallTransferred,
    Fact,
    HangUpExplained,
    SurveyHandedOver,
    SurveyLinked,
    SurveyOffered,
    SurveyRated,
    TalkEnded,
)
from facts.terms import Grade, HandOver, Party, RatedBy
from metrics.fold import CallHistory, CallRecord, record_of
from metrics.reports.sla import AgentFigures
from metrics.window import Metric, Tally, shares_of_agents
from tests.metrics.histories import answered, at, handed_on

TALK_ENDS = 76


def left(call: str, *more: Fact, by: Party = Party.AGENT) -> list[Fact]:
    """A call that its agent ended, and the facts that came of it, in the order of a real one (tests/live)."""
    *before, _, _ = answered(call)
    talk = TalkEnded(at(TALK_ENDS), call, "1001", Party.AGENT)
    return [*before, talk, *more, CallEnded(at(TALK_ENDS + 20), call, by)]


def surveyed(call: str, *grades: Grade, by: Party = Party.AGENT) -> list[Fact]:
    return left(
        call,
        SurveyHandedOver(at(TALK_ENDS), call, "1001", HandOver.HANG_UP),
        SurveyOffered(at(TALK_ENDS), call, "1001"),
        *(SurveyRated(at(TALK_ENDS + 9), call, "1001", grade) for grade in grades),
        by=by,
    )


def record(facts: list[Fact]) -> CallRecord:
    found = record_of(facts)
    assert found is not None
    return found


def figures(*histories: list[Fact]) -> dict[str, Metric]:
    return Tally([record(facts) for facts in histories]).metrics()


def test_ratings_by_grade_and_no_rating_is_never_satisfied() -> None:
    found = figures(
        *(surveyed(str(number), grade) for number, grade in enumerate(Grade)), surveyed("none")
    )
    assert found["M11"] == Metric(5, 6)
    assert found["M12"] == Metric(3, 5)
    assert found["M12_strict"] == Metric(2, 5)
    assert figures(answered("a"))["M12"] == Metric(0, 0)


def test_one_rating_per_invitation_the_first() -> None:
    found = record(surveyed("a", Grade.SATISFIED, Grade.VERY_DISSATISFIED))
    assert found.grade is not None
    assert figures(surveyed("a", Grade.SATISFIED, Grade.SATISFIED))["M11"] == Metric(1, 1)


def test_a_link_is_an_invitation_and_its_rating_comes_late() -> None:
    link = SurveyLinked(at(200), "a", "1001", "13812345678", "token", at(9999))
    rated = SurveyRated(at(900), "a", "1001", Grade.FAIRLY_SATISFIED, RatedBy.LINK)
    assert figures([*answered("a"), link])["M11"] == Metric(0, 1)
    found = figures([*answered("a"), link, rated])
    assert (found["M11"], found["M12"], found["M12_strict"]) == (
        Metric(1, 1),
        Metric(1, 1),
        Metric(0, 1),
    )


@pytest.mark.parametrize(
    ("facts", "first", "unexplained"),
    [
        (answered("a"), 1, 0),
        (left("a"), 0, 1),
        (left("a", HangUpExplained(at(90), "a", "1001", "abuse")), 0, 0),
        (left("a", HangUpExplained(at(90), "a", "1002", "abuse")), 0, 1),
        (surveyed("a"), 1, 0),
        (surveyed("a", Grade.SATISFIED, by=Party.CALLER), 1, 0),
        (left("a", CallSilent(at(77), "a")), 0, 0),
        (left("a", CallTransferred(at(77), "a", "1001", "12333")), 0, 0),
    ],
    ids=[
        *("caller", "agent", "explained", "explained by another", "handed over"),
        *("hung up in the survey", "silent caller", "sent on"),
    ],
)
def test_who_ended_the_call(facts: list[Fact], first: int, unexplained: int) -> None:
    found = figures(facts)
    assert found["M21"] == Metric(first, 1)
    assert found["M21_unexplained"] == Metric(unexplained, 1)


def test_the_agents_row() -> None:
    tally = Tally()
    for facts in (surveyed("a", Grade.DISSATISFIED), left("b"), answered("c")):
        tally.count(shares_of_agents(record(facts))["1001"])
    found = AgentFigures("1001", tally).metrics()
    assert (found["M11"], found["M12"]) == (Metric(1, 1), Metric(0, 1))
    assert (found["M21"], found["M21_unexplained"]) == (Metric(2, 3), Metric(1, 3))


def test_who_was_handed_on_after_a_callback_is_asked_like_any_other() -> None:
    facts = [*handed_on("b"), SurveyOffered(at(62.5), "b", "1002")]
    facts.append(SurveyRated(at(62.8), "b", "1002", Grade.VERY_SATISFIED))
    found = figures(facts)
    assert (found["M11"], found["M12"]) == (Metric(1, 1), Metric(1, 1))
    assert found["M21"] == Metric(0, 0)


def test_the_order_in_which_facts_come_does_not_matter() -> None:
    facts = surveyed("a", Grade.SATISFIED)
    expected = record(facts)
    chance = random.Random(7)
    for _ in range(20):
        mixed = list(facts)
        chance.shuffle(mixed)
        assert record(mixed) == expected
        history = CallHistory()
        for fact in [*mixed, *mixed]:
            history.add(fact)
        assert history.record() == expected
