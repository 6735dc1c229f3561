"""The list of waiting callers, and the decisions that are carried out or refused in a sentence."""

import pytest

from acd.floor import Floor
from acd.rules.model import DEFAULT, Number, Queue, Rules
from base.bus import Refused
from facts import (
    AgentAdded,
    AgentReady,
    CallArrived,
    CallerAssigned,
    CallerBroughtForward,
    CallMoved,
    CallQueued,
    Fact,
    LinkRestored,
    PhoneReachable,
)
from facts.requests import AssignCaller, BringForward, MoveCaller
from facts.times import SECOND
from hotline.controller.waiting import MOST, WaitingCallers

T = 1_763_700_000 * SECOND
CITIZEN = "+8613800000001"


class Desk:
    """The floor without its shell."""

    def __init__(self) -> None:
        numbers = {"12345": Number("12345"), "8890": Number("8890", DEFAULT, "en")}
        queues = {DEFAULT: Queue(), "tax": Queue("tax")}
        skills = {"1001": {"en": 1}}
        self.floor = Floor(Rules(queues=queues, numbers=numbers, skills=skills))
        self.facts: list[Fact] = []
        self.floor.handle(LinkRestored(T), T)

    def report(self, *facts: Fact) -> None:
        self.facts += facts
        for fact in facts:
            self.floor.handle(fact, fact.at)

    def caller(self, call: str, second: int, number: str = "12345", caller: str = CITIZEN) -> None:
        at = T + second * SECOND
        self.report(CallArrived(at, call, number, caller), CallQueued(at, call, DEFAULT))

    def agent(self, number: str) -> None:
        self.report(AgentAdded(T, number), PhoneReachable(T, number), AgentReady(T, number))


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.agent("1001")
    for second, call in enumerate(("n-9.9", "n-2.2", "n-1.1"), 1):
        made.caller(call, second, "8890" if call == "n-1.1" else "12345")
    made.facts.clear()
    return made


def waiting(desk: Desk) -> WaitingCallers:
    return WaitingCallers(desk, lambda: T + 60 * SECOND, assign_for=30, before=lambda _caller: 2)


def test_the_rows_are_in_the_order_of_their_calls(desk: Desk) -> None:
    """The first caller rings at the agent, and is not in the list."""
    first, second = waiting(desk).rows()
    assert first == {
        "call": "n-1.1",
        "caller": CITIZEN,
        "number": "8890",
        "queue": DEFAULT,
        "since": T + 3 * SECOND,
        "rank": T + 3 * SECOND,
        "skills": ["en"],
        "asked": False,
        "before": 2,
        "assigned": "",
    }
    assert second["call"] == "n-2.2"


def test_of_very_many_only_the_next_ones_are_listed(desk: Desk) -> None:
    for number in range(MOST + 50):
        desk.caller(f"n-5.{number}", 100 + number)
    rows = waiting(desk).rows()
    assert len(rows) == MOST
    assert {"n-1.1", "n-2.2"} <= {row["call"] for row in rows}


def test_an_assignment_is_a_fact_with_its_reason(desk: Desk) -> None:
    said = waiting(desk).assign(
        AssignCaller("n-1.1", "1001", "chief", " a  complaint of 13912345678 ")
    )
    assert said.said == "call n-1.1: is next at agent 1001, for 30 s at most"
    now = T + 60 * SECOND
    assert desk.facts == [
        CallerAssigned(
            now, "n-1.1", "1001", now + 30 * SECOND, "chief", "a complaint of 139****5678"
        )
    ]


def test_a_move_and_a_place_in_front_are_facts(desk: Desk) -> None:
    waiting(desk).bring_forward(BringForward("n-1.1", "chief", "old and ill"))
    waiting(desk).move(MoveCaller("n-1.1", "tax", "chief", "asks about taxes"))
    now = T + 60 * SECOND
    assert desk.facts == [
        CallerBroughtForward(now, "n-1.1", T + 2 * SECOND - 1, "chief", "old and ill"),
        CallMoved(now, "n-1.1", "tax", "chief", "asks about taxes"),
    ]


def test_what_cannot_be_is_refused_and_no_fact(desk: Desk) -> None:
    decides = waiting(desk)
    for asked, why in (
        (AssignCaller("n-1.1", "1001", "chief", " "), "say why"),
        (AssignCaller("n-1.1", "1002", "chief", "x"), "there is no agent 1002"),
        (AssignCaller("n-9.9", "1001", "chief", "x"), "rings for call n-9.9"),
    ):
        with pytest.raises(Refused, match=why):
            decides.assign(asked)
    with pytest.raises(Refused, match="no queue health"):
        decides.move(MoveCaller("n-1.1", "health", "chief", "x"))
    with pytest.raises(Refused, match="first in its queue"):
        decides.bring_forward(BringForward("n-2.2", "chief", "x"))
    with pytest.raises(Refused, match="is over"):
        decides.bring_forward(BringForward("n-7.7", "chief", "x"))
    assert desk.facts == []
