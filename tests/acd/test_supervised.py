"""What a supervisor decides for a waiting caller: an agent, another queue, the front of the queue."""

import json

import pytest

from acd.commands import Ring
from acd.floor import Floor
from acd.rules.model import DEFAULT, Member, Queue, Rules
from facts import (
    AgentOut,
    AgentPaused,
    AgentReady,
    CallEnded,
    CallerAssigned,
    CallerBroughtForward,
    CallMoved,
    CallReturned,
    Fact,
    OfferAnswered,
    OfferEnded,
    PhoneUnreachable,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from tests.acd.test_floor import Story, deeds, one_queue
from tests.acd.test_inbound_first import place, task

WHY = ("chief", "a complaint")


def assign(call: str, agent: str, second: float, until: float = 60) -> CallerAssigned:
    return CallerAssigned(round(second * SECOND), call, agent, round(until * SECOND), *WHY)


@pytest.fixture
def story() -> Story:
    """Two agents talk, three callers wait."""
    made = Story(one_queue(wrap_up_time=0))
    for agent, call in (("1001", "x"), ("1002", "y")):
        made.agent(agent)
        made.caller(call, 1)
        made.tell(OfferAnswered(2 * SECOND, call, agent))
    for second, call in enumerate("abc", 3):
        made.caller(call, second)
    return made


def hang_up(story: Story, call: str, agent: str, second: float) -> list[object]:
    at = round(second * SECOND)
    out: list[object] = []
    out += story.tell(TalkEnded(at, call, agent, Party.CALLER))
    out += story.tell(CallEnded(at, call, Party.CALLER))
    return out


def test_the_agent_gets_the_assigned_caller_before_all_others(story: Story) -> None:
    fact = assign("c", "1002", 10)
    assert story.entries(fact) == [fact]
    assert story.floor.ahead("c") == 0
    assert hang_up(story, "y", "1002", 20) == [Ring("c", ("1002",), 15.0)]


def test_another_agent_takes_those_who_are_assigned_to_nobody(story: Story) -> None:
    story.tell(assign("a", "1002", 10))
    assert hang_up(story, "x", "1001", 20) == [Ring("b", ("1001",), 15.0)]
    assert hang_up(story, "y", "1002", 30) == [Ring("a", ("1002",), 15.0)]


def test_after_its_time_the_caller_is_there_for_all_at_their_place(story: Story) -> None:
    story.tell(assign("a", "1002", 10, until=40))
    assert deeds(story.until(39)) == []
    assert deeds(story.until(40)) == []
    assert hang_up(story, "x", "1001", 41) == [Ring("a", ("1001",), 15.0)]


def test_an_idle_agent_is_taken_as_soon_as_the_time_is_over(story: Story) -> None:
    story.tell(assign("a", "1002", 10, until=40))
    for call in "bc":
        story.tell(CallEnded(11 * SECOND, call, Party.CALLER))
    assert hang_up(story, "x", "1001", 12) == []
    assert deeds(story.until(40)) == [Ring("a", ("1001",), 15.0)]


@pytest.mark.parametrize("kind", [AgentPaused, AgentOut, PhoneUnreachable])
def test_an_agent_who_takes_no_calls_any_more_is_not_waited_for(story: Story, kind: type) -> None:
    story.tell(assign("a", "1002", 10))
    at = 11 * SECOND
    story.tell(kind(at, "1002", "用餐") if kind is AgentPaused else kind(at, "1002"))
    assert story.floor.callers["a"].assigned == ""
    assert hang_up(story, "x", "1001", 20) == [Ring("a", ("1001",), 15.0)]


def test_who_does_not_pick_up_is_offered_the_caller_once(story: Story) -> None:
    story.tell(assign("b", "1002", 10))
    story.agent("1003", 11)
    assert story.floor.callers["a"].ringing == {"1003"}
    hang_up(story, "y", "1002", 20)
    assert story.floor.callers["b"].ringing == {"1002"}
    story.tell(OfferEnded(30 * SECOND, "b", "1002", OfferReason.NO_ANSWER))
    assert story.floor.callers["b"].assigned == ""
    assert hang_up(story, "x", "1001", 31) == [Ring("b", ("1001",), 15.0)]


def test_no_callback_is_placed_while_an_assigned_caller_waits(story: Story) -> None:
    for call in "bc":
        story.tell(CallEnded(10 * SECOND, call, Party.CALLER))
    story.tell(assign("a", "1002", 11), task(7, 12))
    assert hang_up(story, "x", "1001", 20) == []
    assert hang_up(story, "y", "1002", 21) == [Ring("a", ("1002",), 15.0), place(agent="1001")]


def test_the_last_assignment_counts(story: Story) -> None:
    story.tell(assign("c", "1002", 10, until=30), assign("c", "1001", 20, until=50))
    assert deeds(story.until(31)) == []
    assert hang_up(story, "y", "1002", 32) == [Ring("a", ("1002",), 15.0)]
    assert hang_up(story, "x", "1001", 33) == [Ring("c", ("1001",), 15.0)]


def test_two_who_are_assigned_to_one_agent_keep_their_order(story: Story) -> None:
    story.tell(assign("c", "1002", 10), assign("b", "1002", 11))
    assert hang_up(story, "y", "1002", 20) == [Ring("b", ("1002",), 15.0)]


def test_a_caller_is_moved_with_their_place() -> None:
    queues = {DEFAULT: Queue(), "tax": Queue("tax", priority=0)}
    members = (Member("1001", "tax"), Member("1002", DEFAULT))
    story = Story(Rules(queues=queues, members=members))
    story.caller("a", 1)
    story.caller("b", 2)
    fact = CallMoved(9 * SECOND, "a", "tax", *WHY)
    assert story.entries(fact) == [fact]
    assert story.floor.callers["a"].place == SECOND
    assert story.entries(fact) == [], "told again it is no news"
    story.agent("1001", 10)
    assert story.floor.callers["a"].ringing == {"1001"}
    assert story.floor.callers["b"].ringing == set()


def test_a_caller_is_brought_forward(story: Story) -> None:
    first = story.floor.front("c")
    assert story.floor.front("a") == 0
    fact = CallerBroughtForward(10 * SECOND, "c", first, *WHY)
    assert story.entries(fact) == [fact]
    assert [one.call for one in story.floor.in_line(9)] == ["c", "a", "b"]
    assert hang_up(story, "y", "1002", 20) == [Ring("c", ("1002",), 15.0)]


def test_in_line_are_the_next_ones_and_not_more(story: Story) -> None:
    assert [one.call for one in story.floor.in_line(2)] == ["a", "b"]
    story.tell(assign("c", "1002", 10))
    assert [one.call for one in story.floor.in_line(2)] == ["c", "a"]


@pytest.mark.parametrize(
    ("call", "agent", "why"),
    [
        ("a", "1009", "there is no agent 1009"),
        ("a", "1003", "agent 1003 is signed out"),
        ("a", "1004", "does not serve"),
        ("a", "1005", "the phone of agent 1005 is not registered"),
        ("a", "1006", "agent 1006 is paused"),
        ("x", "1002", "call x does not wait"),
        ("z", "1002", "call z is over"),
        ("a", "1002", ""),
    ],
)
def test_why_a_caller_cannot_be_assigned(story: Story, call: str, agent: str, why: str) -> None:
    numbers = ("1003", "1004", "1005", "1006")
    members = tuple(Member(one, DEFAULT) for one in ("1001", "1002", "1003", "1005", "1006"))
    queues = {DEFAULT: Queue(wrap_up_time=0), "tax": Queue("tax")}
    rules = Rules(queues=queues, members=(*members, Member("1004", "tax")))
    story.floor.configure(rules, story.now)
    story.tell(CallMoved(6 * SECOND, "a", "tax", *WHY), CallMoved(7 * SECOND, "a", DEFAULT, *WHY))
    for number in numbers:
        story.tell(assign("b", "1001", 8), assign("c", "1001", 8), assign("a", "1001", 8))
        story.agent(number, 9)
    story.tell(AgentOut(9 * SECOND, "1003"), PhoneUnreachable(9 * SECOND, "1005"))
    story.tell(AgentPaused(9 * SECOND, "1006", "用餐"))
    assert why in story.floor.may_assign(call, agent)
    assert bool(why) == bool(story.floor.may_assign(call, agent))


def test_a_caller_whose_phone_rings_is_not_touched(story: Story) -> None:
    hang_up(story, "x", "1001", 10)
    assert "rings for call a" in story.floor.may_touch("a")
    facts: list[Fact] = [assign("a", "1002", 11), CallMoved(11 * SECOND, "a", "tax", *WHY)]
    for fact in facts:
        assert story.entries(fact) == []
    assert story.floor.may_move("b", "tax") == "there is no queue tax"
    assert "already" in story.floor.may_move("b", DEFAULT)


def test_an_assignment_outlives_the_program(story: Story) -> None:
    """A new controller knows it from the diary, waits for the caller to come back, and goes on."""
    facts: list[Fact] = [assign("c", "1002", 10), CallerBroughtForward(11 * SECOND, "b", 1, *WHY)]
    story.tell(*facts)
    state = json.loads(json.dumps(story.floor.snapshot()))
    again = Floor.restore(state, story.floor.rules, 12 * SECOND)
    assert [one.call for one in again.in_line(9)] == ["c", "b", "a"]
    assert deeds(again.handle(TalkEnded(20 * SECOND, "y", "1002", Party.CALLER), 20 * SECOND)) == [
        Ring("c", ("1002",), 15.0)
    ]
    assert again.tick(60 * SECOND) == []


def test_a_returned_caller_is_still_assigned() -> None:
    story = Story(one_queue(wrap_up_time=0))
    story.agent("1001")
    story.caller("x", 1)
    story.tell(OfferAnswered(2 * SECOND, "x", "1001"))
    story.caller("a", 3)
    story.caller("b", 4)
    story.tell(assign("b", "1001", 5))
    # As a start does it: the diary's facts, then the callers come back.
    fresh = Story(one_queue(wrap_up_time=0))
    fresh.agent("1001")
    for fact in (
        *(OfferAnswered(2 * SECOND, "x", "1001"),),
        *(CallReturned(3 * SECOND, "a", DEFAULT, 3 * SECOND),),
        *(CallReturned(4 * SECOND, "b", DEFAULT, 4 * SECOND),),
        assign("b", "1001", 5),
    ):
        fresh.floor.handle(fact, fact.at, more=True)
    fresh.tell(AgentReady(6 * SECOND, "1001"))
    assert hang_up(fresh, "x", "1001", 20) == [Ring("b", ("1001",), 15.0)]
