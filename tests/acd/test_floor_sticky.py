"""The agent a citizen knows (R5) comes first, but only for calls that this agent can take."""

import pytest

from acd.commands import Ring
from acd.rules.model import DEFAULT, Member, Number, Queue, Rules
from facts import AgentReady, CallArrived, CallEnded, CallQueued, OfferAnswered, TalkEnded
from facts.terms import Party
from facts.times import SECOND
from tests.acd.test_floor import Story

CITIZEN = "+8613800138000"

RULES = Rules(
    queues={
        DEFAULT: Queue(sticky_for=600, wrap_up_time=0),
        "tax": Queue("tax", skills={"tax": 2}, sticky_for=600, wrap_up_time=0),
        "law": Queue("law", sticky_for=600, wrap_up_time=0),
    },
    numbers={"8890": Number("8890", DEFAULT, "en")},
    members=(Member("1002", "law"), Member("1003", "law")),
    skills={"1001": {"tax": 1}, "1002": {"tax": 2, "en": 1}, "1003": {"tax": 2, "en": 1}},
)


@pytest.fixture
def story() -> Story:
    """1001 has just answered a citizen. All agents are idle, 1002 the longest, then 1003."""
    story = Story(RULES)
    story.agent("1001", 0)
    assert story.caller("a", 1, caller=CITIZEN) == [Ring("a", ("1001",), 15.0)]
    story.agent("1002", 2)
    story.agent("1003", 3)
    story.tell(
        OfferAnswered(4 * SECOND, "a", "1001"),
        TalkEnded(5 * SECOND, "a", "1001", Party.CALLER),
        CallEnded(5 * SECOND, "a", Party.CALLER),
    )
    return story


def rung(
    story: Story,
    second: float,
    *,
    queue: str = DEFAULT,
    number: str = "12345",
    caller: str = CITIZEN,
) -> str:
    """The agent who is rung for a new call."""
    at = round(second * SECOND)
    [ring] = story.tell(CallArrived(at, "b", number, caller), CallQueued(at, "b", queue))
    assert isinstance(ring, Ring)
    [agent] = ring.agents
    return agent


def test_the_agent_the_citizen_knows_comes_before_the_longest_idle(story: Story) -> None:
    assert rung(story, 6) == "1001"


def test_a_citizen_nobody_knows_gets_the_longest_idle(story: Story) -> None:
    assert rung(story, 6, caller="+8613800138001") == "1002"


def test_the_known_agent_without_the_skill_is_not_rung(story: Story) -> None:
    assert rung(story, 6, queue="tax") == "1002"


def test_the_known_agent_without_the_language_is_not_rung(story: Story) -> None:
    assert rung(story, 6, number="8890") == "1002"


def test_the_known_agent_who_does_not_serve_the_queue_is_not_rung(story: Story) -> None:
    assert rung(story, 6, queue="law") == "1002"


def test_the_known_agent_who_is_busy_is_not_rung(story: Story) -> None:
    assert rung(story, 6) == "1001"
    at = 7 * SECOND
    assert story.tell(CallArrived(at, "c", "12345", CITIZEN), CallQueued(at, "c", DEFAULT)) == [
        Ring("c", ("1002",), 15.0)
    ]


@pytest.mark.parametrize(("second", "agent"), [(604, "1001"), (604.5, "1002")])
def test_an_agent_is_known_for_as_long_as_the_queue_says(
    story: Story, second: float, agent: str
) -> None:
    assert rung(story, second) == agent


def test_the_first_agent_stays_known_after_a_transfer(story: Story) -> None:
    at = 6 * SECOND
    assert rung(story, 6) == "1001"
    story.tell(OfferAnswered(at, "b", "1001"), OfferAnswered(at, "b", "1002"))
    for agent in ("1001", "1002"):
        story.tell(TalkEnded(at, "b", agent, Party.CALLER))
    story.tell(CallEnded(at, "b", Party.CALLER), AgentReady(at, "1001"))
    at = 7 * SECOND
    assert story.tell(CallArrived(at, "c", "12345", CITIZEN), CallQueued(at, "c", DEFAULT)) == [
        Ring("c", ("1001",), 15.0)
    ]
