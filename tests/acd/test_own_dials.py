"""A number that an agent has dialled for themselves: at once or not at all, by nobody else, and inbound first (R7)."""

from typing import Any

import pytest

from acd.callbacks.task import Task
from acd.commands import PlaceCallback
from acd.floor import Floor
from acd.floor.open_tasks import NOT_DIALLED
from acd.rules.model import Rules
from agents.model import Presence
from facts import (
    AgentOut,
    AgentPaused,
    CallbackAdded,
    CallbackAnswered,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallbackUnreached,
    CallEnded,
    Fact,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    OfferRinging,
    OwnCallStarted,
    PhoneUnreachable,
    TalkEnded,
)
from facts.terms import Party
from facts.times import SECOND
from tests.acd.test_floor import Story
from tests.acd.test_inbound_first import place, task

ATTEMPT = "hotline-c7.1"


@pytest.fixture
def story() -> Story:
    made = Story()
    made.agent("1001")
    made.agent("1002")
    return made


def own(second: float = 0, **more: Any) -> CallbackAdded:
    return task(7, second, agent="1001", own=True, attempts=1, **more)


def cancelled(second: float) -> CallbackCancelled:
    return CallbackCancelled(round(second * SECOND), 7, NOT_DIALLED)


def test_that_agents_phone_is_rung_even_if_another_has_been_idle_for_longer(story: Story) -> None:
    story.tell(AgentOut(0, "1001"))
    story.agent("1001", 5)
    assert story.tell(own(6)) == [place()]
    assert story.presence("1001") is Presence.RINGING
    told = story.entries(
        CallbackDialling(7 * SECOND, 7, ATTEMPT, "1001"),
        CallbackAnswered(8 * SECOND, 7, ATTEMPT, "1001"),
        CallbackEnded(20 * SECOND, 7, ATTEMPT, "1001", hung_up_by=Party.CALLER),
    )
    assert not any(isinstance(fact, CallbackCancelled) for fact in told)
    assert story.floor.tasks == {}


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (AgentPaused(SECOND, "1001", ""), "agent_not_ready"),
        (AgentOut(SECOND, "1001"), "agent_not_ready"),
        (OwnCallStarted(SECOND, "1001"), "agent_busy"),
        (PhoneUnreachable(SECOND, "1001"), "phone_away"),
    ],
)
def test_an_agent_who_cannot_is_not_rung_and_nobody_else_is(
    story: Story, before: Fact, why: str
) -> None:
    story.tell(before)
    assert story.floor.may_dial("1001", "") == why
    assert cancelled(2) in story.entries(own(2))
    assert story.floor.tasks == {}


def test_who_is_not_there_and_where_there_is_no_way_out(story: Story) -> None:
    assert story.floor.may_dial("4711", "") == "unknown_agent"
    assert Floor(Rules()).may_dial("1001", "") == "unknown_agent"
    story.floor.open_way_out(outbound=False, outside=())
    assert story.floor.may_dial("1001", "") == "no_way_out"


def test_a_waiting_citizen_comes_first(story: Story) -> None:
    story.tell(AgentPaused(SECOND, "1001", ""), AgentPaused(SECOND, "1002", ""))
    story.caller("c1", 2)
    # In wrap-up they may dial, unless a citizen waits.
    story.floor.seats["1001"].wrap_up_until = 99 * SECOND
    story.floor.seats["1001"].intent = story.floor.seats["1001"].intent.READY
    assert story.presence("1001") is Presence.WRAP_UP
    assert story.floor.may_dial("1001", "") == "citizen_waits"
    assert story.entries(own(3))[-1] == cancelled(3)


def test_wrap_up_ends_with_it(story: Story) -> None:
    story.caller("c1", 1)
    agent = next(a for a in ("1001", "1002") if story.presence(a) is Presence.RINGING)
    assert agent == "1001"
    story.tell(
        OfferRinging(2 * SECOND, "c1", "1001"),
        OfferAnswered(3 * SECOND, "c1", "1001"),
        TalkEnded(9 * SECOND, "c1", "1001", Party.CALLER),
        CallEnded(9 * SECOND, "c1", Party.CALLER),
    )
    assert story.presence("1001") is Presence.WRAP_UP
    assert story.tell(own(10)) == [place()]
    assert story.presence("1001") is Presence.RINGING


@pytest.mark.parametrize("failure", ["agent_no_answer", "agent_refused", "lost", "withdrawn"])
def test_who_does_not_pick_up_is_not_made_up_for(story: Story, failure: str) -> None:
    story.tell(own())
    told = story.entries(CallbackEnded(5 * SECOND, 7, ATTEMPT, "1001", failure))
    assert cancelled(5) in told
    assert not any(isinstance(fact, CallbackPlaced) for fact in told)
    assert story.floor.tasks == {}


def test_a_citizen_who_does_not_answer_is_not_tried_again(story: Story) -> None:
    story.tell(own(), CallbackDialling(SECOND, 7, ATTEMPT, "1001"))
    told = story.entries(CallbackEnded(5 * SECOND, 7, ATTEMPT, "1001", "no_answer"))
    assert CallbackUnreached(5 * SECOND, 7) in told
    assert story.floor.tasks == {}


def test_it_yields_and_is_over(story: Story) -> None:
    story.tell(AgentOut(0, "1002"), own())
    commands = story.caller("c1", 2)
    assert [type(command).__name__ for command in commands] == ["Yield"]
    assert story.floor.tasks == {}


def test_the_gate_and_the_caps_hold(story: Story) -> None:
    told = story.entries(task(7, 0, agent="1001", own=True, attempts=1))
    assert any(isinstance(fact, CallbackPlaced) for fact in told)
    premium = CallbackAdded(
        SECOND, 8, "1688888", "default", SECOND, 99 * SECOND, 1, agent="1002", own=True
    )
    told = story.entries(premium)
    assert not any(isinstance(fact, CallbackPlaced) for fact in told)
    assert 8 not in story.floor.tasks


def test_after_a_start_one_that_was_not_placed_is_over(story: Story) -> None:
    waits = Task.of(own())
    commands = story.floor.take_up([waits], SECOND)
    assert not any(isinstance(command, PlaceCallback) for command in commands)
    assert story.floor.tasks == {}


def test_it_waits_for_no_link(story: Story) -> None:
    story.tell(LinkLost(SECOND))
    assert story.tell(own(2)) == []
    # Whoever asked cancels it.
    story.tell(CallbackCancelled(2 * SECOND, 7, "not dialled"))
    assert story.tell(LinkRestored(3 * SECOND)) == []
