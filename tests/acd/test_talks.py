"""Talks that end as no talk should: at once, or by the system. Who waits on, and who is called back."""

import json

import pytest

from acd.commands import CreateCallback, Ring
from acd.floor import Floor
from acd.floor.floor import STOOD_STILL
from acd.rules.model import DEFAULT, Queue, Rules
from agents.model import Presence
from facts import (
    AgentNotResponding,
    AgentPaused,
    AgentReady,
    CallEnded,
    CallTransferred,
    Fact,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    OwnCallStarted,
    PhoneLost,
    PhoneUnreachable,
    TalkEnded,
    TalkStopped,
    WrapUpStarted,
)
from facts.offers import NO_TALK
from facts.terms import OfferReason, Party
from facts.times import SECOND
from tests.acd.test_floor import Story, deeds

CITIZEN = "+8613800138000"
MOMENT = SECOND // 40


@pytest.fixture
def story() -> Story:
    """1001 answers the citizen at the fourth second."""
    story = Story(Rules(queues={DEFAULT: Queue(call_back_lost=True)}))
    story.agent("1001", 0)
    story.caller("a", 1, caller=CITIZEN)
    story.tell(OfferRinging(2 * SECOND, "a", "1001"), OfferAnswered(4 * SECOND, "a", "1001"))
    return story


def wanted(commands: object) -> list[tuple[str, str]]:
    assert isinstance(commands, list)
    return [(one.number, one.reason) for one in commands if isinstance(one, CreateCallback)]


@pytest.mark.parametrize("told_late", [False, True])
def test_a_caller_dropped_at_once_is_offered_on_at_their_old_place(
    story: Story, told_late: bool
) -> None:
    story.caller("b", 3)
    over, back = 4 * SECOND + MOMENT, 4 * SECOND + 2 * MOMENT
    ended, returned = TalkEnded(over, "a", "1001", Party.AGENT), CallTransferred(back, "a", "", "")
    assert story.floor.dropped("a", back)
    facts = (returned, ended) if told_late else (ended, returned)
    assert story.tell(*facts) == []
    assert story.presence("1001") is Presence.NOT_RESPONDING
    assert not story.floor.callers["a"].answered
    story.agent("1002", 6)
    assert story.floor.seats["1002"].call == "a"
    assert story.floor.ahead("b") == 0


@pytest.mark.parametrize(
    "meanwhile",
    [
        OwnCallStarted(9 * SECOND, "1001"),
        AgentPaused(9 * SECOND, "1001", "lunch"),
        AgentReady(9 * SECOND, "1001"),
        PhoneUnreachable(9 * SECOND, "1001"),
    ],
    ids=lambda fact: str(fact.kind),
)
def test_what_else_the_agent_does_makes_a_talk_no_shorter(story: Story, meanwhile: Fact) -> None:
    story.tell(meanwhile)
    assert story.floor.seats["1001"].since == 4 * SECOND
    over = 9 * SECOND + MOMENT
    story.tell(TalkEnded(over, "a", "1001", Party.AGENT))
    assert not story.floor.seats["1001"].not_responding
    assert story.floor.callers["a"].answered
    assert story.floor.seats["1001"].since == over


def test_the_agent_of_a_phone_that_drops_callers_gets_neither_wrap_up_nor_another_call(
    story: Story,
) -> None:
    story.caller("b", 3)
    over = 4 * SECOND + MOMENT
    facts = story.entries(TalkEnded(over, "a", "1001", Party.AGENT))
    assert not any(isinstance(fact, WrapUpStarted) for fact in facts)
    assert story.floor.seats["1001"].call == ""


def test_the_next_agent_gets_the_dropped_caller_before_those_who_came_later(story: Story) -> None:
    story.caller("b", 3)
    over = 4 * SECOND + MOMENT
    story.tell(TalkEnded(over, "a", "1001", Party.AGENT), CallTransferred(over, "a", "", ""))
    assert story.floor.ahead("b") == 1
    rung = []
    for number, second in (("1002", 6), ("1003", 7)):
        before = dict(story.floor.seats)
        story.agent(number, second)
        assert number not in before
        rung.append(story.floor.seats[number].call)
    assert rung == ["a", "b"]


@pytest.mark.parametrize("told_late", [False, True])
def test_who_hands_a_caller_on_in_the_first_second_is_at_their_phone(
    story: Story, told_late: bool
) -> None:
    story.agent("1002", 3)
    over, back = 4 * SECOND + MOMENT, 4 * SECOND + 3 * MOMENT
    ended = TalkEnded(over, "a", "1001", Party.SYSTEM)
    handed_on = CallTransferred(back, "a", "1001", "1002")
    if told_late:
        told = story.entries(handed_on, ended)
    else:
        assert story.entries(ended) == [ended]
        assert story.presence("1001") is Presence.UNREACHABLE, "nobody is offered to them yet"
        told = story.entries(handed_on)
    assert not any(isinstance(fact, AgentNotResponding | WrapUpStarted) for fact in told)
    assert story.presence("1001") is Presence.READY
    assert not story.floor.callers["a"].dropped
    assert story.caller("b", 5) == [Ring("b", ("1001",), 15.0)]


@pytest.mark.parametrize(
    "then",
    [
        CallTransferred(4 * SECOND + 3 * MOMENT, "a", "", ""),
        CallEnded(4 * SECOND + 3 * MOMENT, "a", Party.CALLER),
    ],
    ids=lambda fact: str(fact.kind),
)
def test_a_phone_whose_talk_the_system_ends_at_once_drops_callers_if_nobody_hands_them_on(
    story: Story, then: Fact
) -> None:
    story.tell(TalkEnded(4 * SECOND + MOMENT, "a", "1001", Party.SYSTEM))
    told = story.entries(then)
    assert AgentNotResponding(then.at, "1001") in told
    assert story.presence("1001") is Presence.NOT_RESPONDING


@pytest.mark.parametrize("restarted", [False, True])
def test_the_doubt_about_a_phone_lasts_a_second(story: Story, restarted: bool) -> None:
    over = 4 * SECOND + MOMENT
    story.tell(TalkEnded(over, "a", "1001", Party.SYSTEM))
    if restarted:
        written = json.loads(json.dumps(story.floor.snapshot()))
        story.floor = Floor.restore(written, story.floor.rules, over)
    assert not story.floor.seats["1001"].not_responding
    story.until((over + SECOND) / SECOND)
    assert story.presence("1001") is Presence.NOT_RESPONDING


@pytest.mark.parametrize("by", [Party.AGENT, Party.SYSTEM, Party.CALLER])
def test_a_caller_who_was_dropped_and_is_gone_is_called_back(story: Story, by: Party) -> None:
    over = 5 * SECOND
    out = story.tell(TalkEnded(over, "a", "1001", by), CallEnded(over, "a", by))
    assert wanted(out) == [(CITIZEN, "lost")]


@pytest.mark.parametrize(("by", "tasks"), [(Party.SYSTEM, 1), (Party.AGENT, 0), (Party.CALLER, 0)])
def test_a_citizen_whose_talk_the_system_ends_is_called_back(
    story: Story, by: Party, tasks: int
) -> None:
    over = 20 * SECOND
    out = story.tell(TalkEnded(over, "a", "1001", by), CallEnded(over, "a", by))
    assert len(wanted(out)) == tasks


def test_the_end_of_the_call_alone_tells_that_the_talk_was_cut(story: Story) -> None:
    assert wanted(story.tell(CallEnded(20 * SECOND, "a", Party.SYSTEM))) == [(CITIZEN, "lost")]


def test_a_citizen_who_is_sent_on_and_hangs_up_was_not_cut(story: Story) -> None:
    over = 20 * SECOND
    out = story.tell(
        TalkEnded(over, "a", "1001", Party.SYSTEM),
        CallTransferred(over, "a", "1001", "8890"),
        CallEnded(30 * SECOND, "a", Party.CALLER),
    )
    assert wanted(out) == []


def test_a_second_agents_phone_that_drops_a_citizen_takes_nothing_from_the_first_talk(
    story: Story,
) -> None:
    story.agent("1002", 5)
    sent = 20 * SECOND
    out = story.tell(
        TalkEnded(sent, "a", "1001", Party.AGENT), CallTransferred(sent, "a", "1001", "1002")
    )
    assert out == [Ring("a", ("1002",), 15.0)]
    story.tell(
        OfferAnswered(22 * SECOND, "a", "1002"),
        TalkEnded(22 * SECOND + MOMENT, "a", "1002", Party.AGENT),
    )
    assert story.floor.callers["a"].answered
    assert story.floor.dropped("a", 22 * SECOND + 2 * MOMENT)
    assert story.floor.dropped("a", 24 * SECOND), "a controller that stood still asks late"


def test_a_controller_that_stood_still_waits_for_the_end_of_the_talk(story: Story) -> None:
    """It reads the end of Dial before what Asterisk has told meanwhile: how long the talk was is not known yet."""
    assert story.floor.dropped("a", 7 * SECOND) is None
    story.tell(TalkEnded(4 * SECOND + MOMENT, "a", "1001", Party.AGENT))
    assert story.floor.dropped("a", 7 * SECOND) is True


def test_a_talk_that_lasted_is_no_drop_however_late_its_end_is_told(story: Story) -> None:
    story.tell(TalkEnded(6 * SECOND, "a", "1001", Party.AGENT))
    assert story.floor.dropped("a", 6 * SECOND + MOMENT) is False
    assert story.floor.dropped("a", 9 * SECOND) is False


def test_an_offer_to_a_caller_who_had_just_hung_up_has_an_end() -> None:
    story = Story()
    story.agent("1001", 0)
    assert story.caller("a", 1) == [Ring("a", ("1001",), 15.0)]
    hung_up = SECOND - 6000
    over = [
        fact
        for fact in story.entries(CallEnded(hung_up, "a", Party.CALLER))
        if isinstance(fact, OfferEnded)
    ]
    assert over == [OfferEnded(SECOND, "a", "1001", OfferReason.CALLER_GONE)]
    assert story.entries(OfferEnded(SECOND, "a", "1001", OfferReason.CALLER_GONE)) == []


@pytest.mark.parametrize("told_late", [False, True])
def test_a_caller_whose_agents_phone_died_is_offered_on_before_all_others(
    story: Story, told_late: bool
) -> None:
    story.caller("b", 30)
    died, back = 60 * SECOND, 60 * SECOND + MOMENT
    story.tell(PhoneLost(died, "a", "1001"))
    assert story.floor.dropped("a", back)
    ended, returned = TalkEnded(died, "a", "1001", Party.SYSTEM), CallTransferred(back, "a", "", "")
    facts = (returned, ended) if told_late else (ended, returned)
    assert story.tell(*facts) == [Ring("a", ("1001",), 15.0)], "their new phone is there"
    assert story.floor.ahead("b") == 0


def test_the_agent_whose_phone_died_has_no_wrap_up_and_is_not_at_fault(story: Story) -> None:
    died = 60 * SECOND
    story.tell(PhoneLost(died, "a", "1001"))
    facts = story.entries(TalkEnded(died, "a", "1001", Party.SYSTEM))
    assert [type(fact) for fact in facts] == [TalkEnded]
    # The caller does not come back, so the agent is offered others after a moment.
    story.caller("b", 60.5)
    assert story.floor.seats["1001"].call == ""
    story.now = 62 * SECOND
    assert deeds(story.floor.tick(story.now)) == [Ring("b", ("1001",), 15.0)]


def test_a_phone_that_dies_in_the_first_second_is_not_at_fault_either(story: Story) -> None:
    died = 4 * SECOND + MOMENT
    story.tell(PhoneLost(died, "a", "1001"), TalkEnded(died, "a", "1001", Party.SYSTEM))
    assert not story.floor.seats["1001"].not_responding
    assert story.floor.dropped("a", died)


def test_a_caller_who_gives_up_after_the_phone_died_is_called_back(story: Story) -> None:
    died = 60 * SECOND
    out = story.tell(
        PhoneLost(died, "a", "1001"),
        TalkEnded(died, "a", "1001", Party.SYSTEM),
        CallTransferred(died, "a", "", ""),
        OfferEnded(died + SECOND, "a", "1001", OfferReason.NO_ANSWER),
        CallEnded(died + 5 * SECOND, "a", Party.CALLER),
    )
    assert wanted(out) == [(CITIZEN, "lost")]


def test_a_phone_is_lost_once_and_only_in_its_own_talk(story: Story) -> None:
    lost = PhoneLost(60 * SECOND, "a", "1001")
    assert story.entries(PhoneLost(60 * SECOND, "a", "1002")) == []
    assert story.entries(PhoneLost(60 * SECOND, "b", "1001")) == []
    assert story.entries(lost) == [lost]
    assert story.entries(lost) == []


def test_the_next_talk_ends_as_any_other(story: Story) -> None:
    died = 60 * SECOND
    story.tell(
        PhoneLost(died, "a", "1001"),
        TalkEnded(died, "a", "1001", Party.SYSTEM),
        CallTransferred(died, "a", "", ""),
        OfferAnswered(died + SECOND, "a", "1001"),
    )
    facts = story.entries(TalkEnded(90 * SECOND, "a", "1001", Party.AGENT))
    assert any(isinstance(fact, WrapUpStarted) for fact in facts)
    assert not story.floor.dropped("a", 90 * SECOND)


def test_how_long_the_end_of_a_talk_may_be_on_its_way(story: Story) -> None:
    begun = 4 * SECOND
    for later, waits_on in (
        (NO_TALK, True),
        (NO_TALK + 1, None),
        (STOOD_STILL, None),
        (STOOD_STILL + 1, False),
    ):
        assert story.floor.dropped("a", begun + later) is waits_on


def test_while_the_link_is_away_nobody_knows_how_long_a_talk_was(story: Story) -> None:
    """The phone seems to ring still. Otherwise a citizen who has said goodbye would be rung through again."""
    story.caller("b", 5)
    story.agent("1002", 6)
    story.tell(LinkLost(7 * SECOND))
    assert story.floor.dropped("b", 20 * SECOND) is None
    story.tell(LinkRestored(21 * SECOND))
    assert story.floor.dropped("b", 21 * SECOND) is True


def test_whoever_does_not_talk_has_not_been_dropped(story: Story) -> None:
    assert story.floor.dropped("unknown", 5 * SECOND) is False
    story.caller("b", 5)
    assert story.floor.dropped("b", 5 * SECOND) is False, "the caller waits"
    story.agent("1002", 6)
    assert story.floor.dropped("b", 6 * SECOND) is True, "a phone rings for the caller already"


@pytest.mark.parametrize(("lasted", "answered"), [(NO_TALK, False), (NO_TALK + 1, True)])
def test_a_talk_is_longer_than_a_second(story: Story, lasted: int, answered: bool) -> None:
    story.tell(TalkEnded(4 * SECOND + lasted, "a", "1001", Party.AGENT))
    assert story.floor.callers["a"].answered is answered
    assert story.floor.seats["1001"].not_responding is not answered


def test_a_caller_who_hangs_up_in_the_first_second_is_no_fault_of_the_agents(story: Story) -> None:
    facts = story.entries(TalkEnded(4 * SECOND + MOMENT, "a", "1001", Party.CALLER))
    assert any(isinstance(fact, WrapUpStarted) for fact in facts)
    assert not story.floor.seats["1001"].not_responding
    assert not story.floor.callers["a"].answered


def test_the_agent_of_a_dead_phone_is_left_alone_for_a_second(story: Story) -> None:
    died = 60 * SECOND
    story.tell(PhoneLost(died, "a", "1001"), TalkEnded(died, "a", "1001", Party.SYSTEM))
    assert story.floor.seats["1001"].rest_until == died + SECOND
    assert story.presence("1001") is Presence.UNREACHABLE
    story.caller("b", 60.9)
    assert story.floor.seats["1001"].call == ""
    story.now = died + SECOND
    assert deeds(story.floor.tick(story.now)) == [Ring("b", ("1001",), 15.0)]


def test_a_caller_the_next_agent_has_answered_was_not_cut(story: Story) -> None:
    """The end of the second talk is not told; the end of the call is."""
    story.agent("1002", 5)
    cut = 20 * SECOND
    story.tell(
        TalkEnded(cut, "a", "1001", Party.SYSTEM),
        CallTransferred(cut, "a", "", ""),
        OfferAnswered(cut + SECOND, "a", "1002"),
    )
    assert wanted(story.tell(CallEnded(40 * SECOND, "a", Party.CALLER))) == []


def test_a_talk_that_a_supervisor_ends_brings_no_callback_and_no_place(story: Story) -> None:
    over = 60 * SECOND
    facts = story.entries(TalkStopped(over, "a", "1001", "li", "insults"))
    assert [fact.kind for fact in facts] == ["TalkStopped"]
    commands = story.tell(
        TalkEnded(over, "a", "1001", Party.SYSTEM), CallEnded(over, "a", Party.SYSTEM)
    )
    assert wanted(commands) == []
    story.caller("b", 70)
    story.caller("c", 71, caller=CITIZEN)
    assert story.floor.ahead("c") == 1
