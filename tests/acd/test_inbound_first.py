"""呼入优先 (R7), told like a diary: when a callback is placed, when it yields, and when it must not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from acd.callbacks.task import State
from acd.commands import CancelAttempt, Command, CreateCallback, PlaceCallback, Ring, Yield
from acd.floor import Floor
from acd.rules.model import DEFAULT, Member, Queue, Rules
from agents.model import Presence
from facts import (
    AgentPaused,
    AgentReady,
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackAsked,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMerged,
    CallbackMissed,
    CallbackRaced,
    CallbackReopened,
    CallbackSpared,
    CallbackUnreached,
    CallbackYielded,
    CallEnded,
    CallQueued,
    CallReleased,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OwnCallEnded,
    TalkEnded,
)
from facts.terms import OfferReason, Party, Release
from facts.times import SECOND
from tests.acd.test_floor import Story, deeds, one_queue

CITIZEN = "+8613800000001"
HOUR = 3600 * SECOND


def task(number: int = 7, second: float = 0, latest: int = HOUR, **more: Any) -> CallbackAdded:
    at = round(second * SECOND)
    return CallbackAdded(at, number, f"+86138000000{number:02}", DEFAULT, at, latest, **more)


def place(number: int = 7, agent: str = "1001", tries: int = 1) -> PlaceCallback:
    attempt = f"hotline-c{number}.{tries}"
    return PlaceCallback(number, attempt, agent, f"+86138000000{number:02}", DEFAULT)


@pytest.fixture
def story() -> Story:
    return Story()


def dialling(story: Story, number: int = 7, agent: str = "1001") -> None:
    story.agent(agent)
    assert story.tell(task(number)) == [place(number, agent)]
    attempt = f"hotline-c{number}.1"
    assert story.tell(CallbackDialling(SECOND, number, attempt, agent)) == []


def test_an_idle_agent_is_used_for_a_due_callback(story: Story) -> None:
    story.agent("1001")
    assert story.tell(task()) == [place()]
    assert story.presence("1001") is Presence.RINGING
    story.tell(
        CallbackDialling(SECOND, 7, "hotline-c7.1", "1001"),
        CallbackAnswered(2 * SECOND, 7, "hotline-c7.1", "1001"),
    )
    assert story.presence("1001") is Presence.TALKING
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001", hung_up_by=Party.CALLER))
    assert story.floor.tasks == {}
    assert story.presence("1001") is Presence.WRAP_UP


def test_no_callback_while_a_citizen_waits(story: Story) -> None:
    story.caller("a", 0)
    story.tell(task())
    story.agent("1001", 1)
    assert story.floor.callers["a"].ringing == {"1001"}
    story.agent("1002", 2)
    assert story.floor.tasks[7].agent == "1002"


@pytest.mark.parametrize("picked_up", [False, True])
def test_an_unanswered_callback_yields_in_the_same_step(story: Story, picked_up: bool) -> None:
    story.agent("1001")
    story.tell(task())
    if picked_up:
        story.tell(CallbackDialling(SECOND, 7, "hotline-c7.1", "1001"))
    assert story.caller("a", 2) == [Yield(7, "hotline-c7.1", "1001", "a", 15.0, False)]
    assert story.floor.seats["1001"].call == "a"
    found = story.floor.tasks[7]
    assert (found.yields, found.attempts_left, found.agent) == (1, 3, "")


def test_a_yielding_agent_may_stay_on_the_line() -> None:
    story = Story(one_queue(stay_on_line=True))
    dialling(story)
    assert story.caller("a", 2) == [Yield(7, "hotline-c7.1", "1001", "a", 15.0, True)]


def test_the_diary_says_that_it_yielded_and_to_which_call(story: Story) -> None:
    dialling(story)
    entries = story.entries(
        CallArrived(2 * SECOND, "a", "12345", ""), CallQueued(2 * SECOND, "a", DEFAULT)
    )
    assert CallbackYielded(2 * SECOND, 7, "hotline-c7.1", "1001", "a") in entries
    assert OfferMade(2 * SECOND, "a", "1001") in entries


@pytest.mark.parametrize(
    ("tasks", "merged"),
    [
        # One that came of a lost call is preferred, then the nearer deadline, then the older task.
        ([(1, "", 50), (2, "lost-1", 60)], 2),
        ([(1, "lost-1", 60), (2, "lost-2", 50)], 2),
        ([(2, "lost-2", 50), (1, "lost-1", 50)], 1),
    ],
)
def test_which_task_a_lost_call_is_merged_into(
    story: Story, tasks: list[tuple[int, str, int]], merged: int
) -> None:
    for number, origin, minutes in tasks:
        latest = minutes * 60 * SECOND
        story.tell(replace(task(number, latest=latest, origin=origin), number=CITIZEN))
    story.caller("a", 1, caller=CITIZEN)
    assert CallbackMerged(9 * SECOND, merged, "a") in story.entries(
        CallEnded(9 * SECOND, "a", Party.CALLER)
    )


def test_a_task_that_is_due_only_after_the_deadline_does_not_stand_for_a_lost_call() -> None:
    late = replace(task(7), number=CITIZEN, latest=2 * HOUR)
    for not_before, creates in ((69 * SECOND, False), (70 * SECOND, True)):
        story = Story(one_queue(call_back_within=60))
        story.tell(replace(late, earliest=not_before))
        story.caller("a", 1, caller=CITIZEN)
        out = story.tell(CallEnded(10 * SECOND, "a", Party.CALLER))
        assert [type(one) for one in out] == ([CreateCallback] if creates else [])


def test_an_answered_callback_is_never_cut(story: Story) -> None:
    dialling(story)
    story.tell(CallbackAnswered(2 * SECOND, 7, "hotline-c7.1", "1001"))
    assert story.caller("a", 3) == []
    assert story.floor.ahead("a") == 0


def test_an_idle_agent_spares_the_callback(story: Story) -> None:
    dialling(story)
    story.agent("1002", 1)
    assert story.caller("a", 2) == [Ring("a", ("1002",), 15.0)]
    assert story.floor.tasks[7].yields == 0


def test_of_two_dialling_agents_only_the_one_with_the_later_deadline_yields(story: Story) -> None:
    dialling(story, 7, "1001")
    story.agent("1002")
    story.tell(task(8, latest=2 * HOUR))
    assert story.caller("a", 2) == [Yield(8, "hotline-c8.1", "1002", "a", 15.0, False)]
    assert story.floor.seats["1001"].callback == 7


def test_two_waiters_make_both_yield(story: Story) -> None:
    dialling(story, 7, "1001")
    story.agent("1002")
    story.tell(task(8, latest=2 * HOUR))
    story.caller("a", 2)
    assert story.caller("b", 3) == [Yield(7, "hotline-c7.1", "1001", "b", 15.0, False)]


def test_a_yielded_callback_is_placed_again_when_nobody_waits(story: Story) -> None:
    dialling(story)
    story.caller("a", 2)
    assert story.tell(CallbackEnded(2 * SECOND, 7, "hotline-c7.1", "1001", "withdrawn")) == []
    story.tell(OfferAnswered(4 * SECOND, "a", "1001"))
    story.tell(TalkEnded(9 * SECOND, "a", "1001", Party.CALLER))
    story.tell(CallEnded(9 * SECOND, "a", Party.CALLER))
    assert deeds(story.until(14)) == [place(tries=2)]


def test_the_cancel_and_the_answer_cross_on_the_wire(story: Story) -> None:
    story.agent("1001")
    story.tell(task(7, latest=2 * HOUR))
    story.caller("a", 2)
    story.tell(task(8, 2, latest=HOUR))
    late = CallbackAnswered(2 * SECOND + 500, 7, "hotline-c7.1", "1001")
    raced = CallbackRaced(2 * SECOND + 500, 7, "hotline-c7.1", "1001")
    assert story.entries(late) == [raced]
    assert story.entries(replace(late, at=late.at + 100)) == [], "by CEL, after a lost link"
    restored = Floor.restore(story.floor.snapshot(), story.floor.rules, 3 * SECOND)
    assert restored.handle(late, 3 * SECOND) == []
    story.agent("1002", 5)
    assert story.floor.tasks[7].agent == "1002", "the citizen whose phone rang comes first"


def test_a_citizen_who_had_picked_up_before_the_callback_could_yield_is_not_cut(
    story: Story,
) -> None:
    story.agent("1001")
    story.tell(task(7, latest=2 * HOUR))
    story.caller("a", 2)
    story.tell(CallbackAnswered(2 * SECOND + 400, 7, "hotline-c7.1", "1001"))
    spared = CallbackSpared(2 * SECOND + 500, 7, "hotline-c7.1", "1001")
    taken_back = OfferEnded(2 * SECOND + 500, "a", "1001", OfferReason.WITHDRAWN)
    assert story.entries(spared) == [spared, taken_back]
    assert story.floor.tasks[7].state is State.TALKING
    assert story.presence("1001") is Presence.TALKING
    assert story.floor.ahead("a") == 0
    # Their talk ends, and the caller who waited on gets the agent.
    ended = CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001")
    story.tell(ended)
    assert story.floor.tasks == {}
    assert deeds(story.until(14)) == [Ring("a", ("1001",), 15.0)]


def test_a_talk_that_no_controller_saw_begin_keeps_its_agent_busy(story: Story) -> None:
    story.tell(CallbackAdded(0, 7, CITIZEN, DEFAULT, HOUR, 2 * HOUR))
    story.agent("1001")
    story.tell(CallbackSpared(2 * SECOND, 7, "hotline-c7.1", "1001"))
    assert story.presence("1001") is Presence.TALKING
    assert story.caller("a", 3) == []
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001"))
    assert story.floor.tasks == {}


def test_a_spared_talk_whose_task_was_cancelled_keeps_the_agent_busy(story: Story) -> None:
    story.agent("1001")
    story.tell(task(7, latest=2 * HOUR))
    story.caller("a", 2)
    story.tell(CallbackCancelled(2 * SECOND + 400, 7, "by hand"))
    story.tell(CallbackSpared(2 * SECOND + 500, 7, "hotline-c7.1", "1001"))
    assert deeds(story.until(30)) == []
    over = CallbackEnded(31 * SECOND, 7, "hotline-c7.1", "1001", "", Party.CALLER)
    assert story.entries(over) == [over]
    assert deeds(story.tell(OwnCallEnded(31 * SECOND, "1001"))) == [Ring("a", ("1001",), 15.0)]


def test_a_citizen_who_talks_is_not_called_again_because_of_the_race(story: Story) -> None:
    """A controller that stood still hears in one moment of a waiting citizen, of the answer and of the talk."""
    dialling(story)
    assert story.caller("a", 2) == [Yield(7, "hotline-c7.1", "1001", "a", 15.0, False)]
    story.agent("1002", 3)
    assert story.floor.tasks[7].attempt == "hotline-c7.2"
    out = story.tell(CallbackSpared(3 * SECOND + 500, 7, "hotline-c7.1", "1001"))
    assert out == [CancelAttempt("hotline-c7.2", "1002"), Ring("a", ("1002",), 15.0)]
    known = story.floor.tasks[7]
    assert (known.state, known.attempt, known.agent) == (State.TALKING, "hotline-c7.1", "1001")
    assert story.presence("1001") is Presence.TALKING
    story.tell(CallbackEnded(3 * SECOND + 600, 7, "hotline-c7.2", "1002", "withdrawn"))
    assert known.state is State.TALKING


def test_the_agent_of_the_second_attempt_keeps_what_they_talk_in_meanwhile(story: Story) -> None:
    dialling(story)
    story.caller("a", 2)
    story.agent("1002", 3)
    story.tell(OfferAnswered(3 * SECOND, "b", "1002"))
    story.tell(CallbackSpared(3 * SECOND + 500, 7, "hotline-c7.1", "1001"))
    assert (story.floor.seats["1002"].call, story.presence("1002")) == ("b", Presence.TALKING)
    assert (story.floor.hall.attempts, story.floor.hall.dialling) == ({"hotline-c7.1": 7}, {})


def test_only_an_agent_who_does_not_talk_can_be_spared(story: Story) -> None:
    story.agent("1001")
    story.caller("a", 1)
    story.tell(OfferAnswered(SECOND, "a", "1001"))
    for agent in ("1001", "1009"):
        assert story.entries(CallbackSpared(2 * SECOND, 7, "hotline-c7.1", agent)) == []
    assert story.floor.seats["1001"].call == "a"


def test_a_spared_talk_is_no_longer_one_that_must_be_called_first(story: Story) -> None:
    """Their talk was cut all the same: the agent's phone died. What was promised to the race is kept once."""
    story.agent("1001")
    story.tell(task(7, latest=2 * HOUR))
    story.caller("a", 2)
    story.tell(
        CallbackAnswered(2 * SECOND + 400, 7, "hotline-c7.1", "1001"),
        CallbackSpared(2 * SECOND + 500, 7, "hotline-c7.1", "1001"),
    )
    assert not story.floor.tasks[7].first
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001"))
    assert story.floor.tasks == {}


def test_a_callback_with_a_lost_deadline_is_listed(story: Story) -> None:
    story.tell(task(7, latest=60 * SECOND))
    assert [c.fact for c in story.until(60)] == [CallbackMissed(60 * SECOND, 7)]  # type: ignore[union-attr]
    assert story.floor.tasks == {}


def test_the_reserve_is_kept_until_the_deadline_is_near() -> None:
    story = Story(one_queue(reserve=1, urgent_before=600))
    story.agent("1001")
    assert story.tell(task(7, latest=HOUR)) == []
    assert deeds(story.until(2999)) == []
    assert deeds(story.until(3000)) == [place()]


def test_the_deadline_is_near_by_the_rules_of_the_tasks_queue() -> None:
    tax = Queue("tax", reserve=1, urgent_before=600)
    story = Story(Rules(queues={DEFAULT: Queue(), "tax": tax}, members=(Member("1001", "tax"),)))
    story.agent("1001")
    assert story.tell(replace(task(7, latest=HOUR), queue="tax")) == []
    assert deeds(story.until(3000)) == [replace(place(), queue="tax")]


def test_citizen_busy_is_an_attempt_and_the_next_one_waits_for_the_spacing(story: Story) -> None:
    story.agent("1001")
    story.tell(task(7, spacing=60 * SECOND, attempts=2))
    assert story.tell(CallbackEnded(5 * SECOND, 7, "hotline-c7.1", "1001", "busy")) == []
    assert deeds(story.until(64.9)) == []
    assert deeds(story.until(65)) == [place(tries=2)]
    entries = story.entries(CallbackEnded(70 * SECOND, 7, "hotline-c7.2", "1001", "no_answer"))
    assert CallbackUnreached(70 * SECOND, 7) in entries


def test_a_citizen_with_a_kept_place_whose_answer_crossed_is_called_back_at_once(
    story: Story,
) -> None:
    """Not after a quarter of an hour, which is the time between two attempts."""
    story.agent("1001")
    assert story.tell(task(place=1, spacing=900 * SECOND)) == [place()]
    story.tell(CallbackDialling(SECOND, 7, "hotline-c7.1", "1001"))
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001", "no_answer"))
    assert story.tell(LATE) == [place(tries=2)]


def unreached(story: Story) -> None:
    """Callback 7 has rung in vain for the last time."""
    dialling(story)
    story.floor.tasks[7].attempts_left = 1
    last = CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001", "no_answer")
    assert CallbackUnreached(9 * SECOND, 7) in story.entries(last)
    assert 7 not in story.floor.tasks


LATE = CallbackAnswered(9 * SECOND - 500, 7, "hotline-c7.1", "1001")
RACE = CallbackRaced(9 * SECOND - 500, 7, "hotline-c7.1", "1001")


def test_an_answer_that_crosses_the_end_of_the_last_ring_opens_the_task_again(story: Story) -> None:
    """The ringing time was over, and the 200 met our CANCEL: they are called back, and first (R7)."""
    unreached(story)
    story.tell(AgentPaused(9 * SECOND, "1001", "用餐"), task(8, 9, latest=HOUR // 2))
    assert story.entries(LATE) == [RACE, CallbackReopened(9 * SECOND + 1, 7, "hotline-c7.1")]
    assert (story.floor.tasks[7].attempts_left, story.floor.tasks[7].first) == (1, True)
    assert deeds(story.tell(AgentReady(20 * SECOND, "1001"))) == [place(tries=2)]
    assert story.entries(LATE) == [], "whoever tells of it again"
    last = CallbackEnded(30 * SECOND, 7, "hotline-c7.2", "1001", "busy")
    assert CallbackUnreached(30 * SECOND, 7) in story.entries(last)


def test_after_its_deadline_a_task_is_not_opened_again(story: Story) -> None:
    unreached(story)
    # The deadline has passed meanwhile.
    story.now = HOUR
    assert story.entries(LATE) == [RACE]
    assert 7 not in story.floor.tasks


def test_a_cancelled_task_is_not_opened_again(story: Story) -> None:
    dialling(story)
    story.tell(CallbackCancelled(9 * SECOND, 7, "by hand"))
    assert story.entries(LATE) == [RACE]
    assert 7 not in story.floor.tasks
    # The race is its end.
    assert story.entries(CallbackEnded(11 * SECOND, 7, "hotline-c7.1", "1001", "withdrawn")) == []


def test_a_citizen_with_another_task_of_the_matter_is_called_for_that_one(story: Story) -> None:
    unreached(story)
    story.tell(AgentPaused(9 * SECOND, "1001", "用餐"), replace(task(10, 9), number=task().number))
    assert [type(fact) for fact in story.entries(LATE)] == [CallbackRaced]
    assert 7 not in story.floor.tasks


def test_an_agent_who_does_not_pick_up_their_own_phone_costs_no_attempt(story: Story) -> None:
    story.agent("1001")
    story.tell(task())
    story.tell(CallbackEnded(16 * SECOND, 7, "hotline-c7.1", "1001", "agent_no_answer"))
    assert story.presence("1001") is Presence.NOT_RESPONDING
    assert story.floor.tasks[7].attempts_left == 3


def test_a_pause_withdraws_an_unanswered_attempt(story: Story) -> None:
    dialling(story)
    assert story.tell(AgentPaused(2 * SECOND, "1001", "用餐")) == [
        CancelAttempt("hotline-c7.1", "1001")
    ]


def test_an_answer_that_a_pause_cuts_reaches_nobody(story: Story) -> None:
    """AMI tells of the answer, and in the same moment our cancel ends it: the citizen is called back first (R7)."""
    dialling(story)
    story.tell(task(8, latest=HOUR))
    story.tell(AgentPaused(2 * SECOND, "1001", "用餐"))
    story.tell(CallbackAnswered(2 * SECOND + 1000, 7, "hotline-c7.1", "1001"))
    ended = CallbackEnded(2 * SECOND + 3000, 7, "hotline-c7.1", "1001", "withdrawn")
    raced = CallbackRaced(2 * SECOND + 1000, 7, "hotline-c7.1", "1001")
    assert story.entries(ended) == [ended, raced]
    late = CallbackAnswered(2 * SECOND + 1100, 7, "hotline-c7.1", "1001")
    assert story.entries(late) == [], "the race is known"
    assert story.presence("1001") is Presence.PAUSED
    assert story.floor.tasks[7].attempts_left == 3
    assert deeds(story.tell(AgentReady(5 * SECOND, "1001"))) == [place(tries=2)]


def test_cancelling_a_task_hangs_up_what_is_not_answered(story: Story) -> None:
    dialling(story)
    assert story.tell(CallbackCancelled(2 * SECOND, 7, "by hand")) == [
        CancelAttempt("hotline-c7.1", "1001")
    ]
    assert story.floor.tasks == {}
    assert story.presence("1001") is Presence.READY
    # The attempt's end is in the diary all the same: its recording is complete then.
    over = CallbackEnded(3 * SECOND, 7, "hotline-c7.1", "1001", "withdrawn", Party.SYSTEM)
    assert story.entries(over) == [over]
    assert story.entries(over) == []


def test_the_preferred_agent_is_taken_when_idle(story: Story) -> None:
    story.agent("1001", 0)
    story.agent("1002", 1)
    assert story.tell(task(7, 2, agent="1002")) == [place(agent="1002")]


def test_callbacks_wait_without_a_way_out(story: Story) -> None:
    story.floor.hall.outbound = False
    story.agent("1001")
    assert story.tell(task()) == []


# --- lost callers (漏接回拨)


def test_who_gives_up_is_called_back_once(story: Story) -> None:
    story.caller("a", 1, caller=CITIZEN)
    wanted = CreateCallback(CITIZEN, DEFAULT, 9 * SECOND + 24 * HOUR, "lost", "a")
    assert story.tell(CallEnded(9 * SECOND, "a", Party.CALLER)) == [wanted]
    story.tell(CallbackAdded(9 * SECOND, 1, CITIZEN, DEFAULT, 9 * SECOND, 24 * HOUR, origin="a"))
    story.caller("b", 20, caller=CITIZEN)
    merged = story.entries(CallEnded(29 * SECOND, "b", Party.CALLER))
    assert CallbackMerged(29 * SECOND, 1, "b") in merged


def test_who_is_answered_after_all_needs_no_callback(story: Story) -> None:
    story.tell(CallbackAdded(0, 1, CITIZEN, DEFAULT, 0, 24 * HOUR, origin="x"))
    story.caller("b", 20, caller=CITIZEN)
    story.agent("1001", 21)
    entries = story.entries(OfferAnswered(22 * SECOND, "b", "1001"))
    assert CallbackCancelled(22 * SECOND, 1, "answered") in entries


def test_a_blocked_caller_is_not_called_back(story: Story) -> None:
    story.tell(CallArrived(SECOND, "a", "12345", CITIZEN))
    story.tell(CallReleased(2 * SECOND, "a", Release.BLOCKED))
    assert story.tell(CallEnded(3 * SECOND, "a", Party.SYSTEM)) == []


def test_a_withheld_number_cannot_be_called_back(story: Story) -> None:
    story.caller("a", 1)
    assert story.tell(CallEnded(9 * SECOND, "a", Party.CALLER)) == []


def test_a_caller_who_asks_for_it_is_called_in_their_turn(story: Story) -> None:
    story.caller("a", 1, caller=CITIZEN)
    story.caller("b", 2)
    [wanted] = story.tell(CallbackAsked(5 * SECOND, "a"))
    assert isinstance(wanted, CreateCallback)
    assert wanted.place == SECOND
    added = CallbackAdded(
        5 * SECOND, 3, CITIZEN, DEFAULT, 0, 24 * HOUR, origin="a", place=wanted.place
    )
    story.tell(CallEnded(6 * SECOND, "a", Party.CALLER), added)
    story.agent("1001", 7)
    assert story.floor.tasks[3].agent == "1001", "they were first, and still are"
    assert story.floor.callers["b"].ringing == set()


def test_a_kept_place_does_not_yield(story: Story) -> None:
    story.tell(CallbackAdded(0, 3, CITIZEN, DEFAULT, 0, 24 * HOUR, place=SECOND))
    story.agent("1001", 2)
    assert story.caller("b", 3) == []


def test_new_rules_do_not_shorten_the_pause_before_a_kept_place_is_called_again(
    story: Story,
) -> None:
    story.agent("1001")
    story.tell(task(7, spacing=60 * SECOND, attempts=2, place=SECOND))
    story.tell(CallbackEnded(5 * SECOND, 7, "hotline-c7.1", "1001", "busy"))
    story.until(20)
    assert deeds(story.floor.configure(one_queue(wrap_up_time=3), story.now)) == []
    assert deeds(story.until(65)) == [place(tries=2)]


# --- queues


@pytest.mark.parametrize(
    "use", [lambda s: s.caller("a", 1, queue="tax"), lambda s: s.tell(task(7))]
)
def test_only_members_serve_a_queue(use: Callable[[Story], list[Command]]) -> None:
    queues = {DEFAULT: Queue(), "tax": Queue("tax")}
    members = (Member("1002", "tax"), Member("1002", DEFAULT))
    story = Story(Rules(queues=queues, members=members))
    story.agent("1001")
    assert use(story) == []
    story.agent("1002", 2)
    assert story.floor.seats["1002"].call != ""


def test_facts_of_an_attempt_with_another_agent_are_no_news(story: Story) -> None:
    dialling(story)
    for agent in ("1002", "9999"):
        for kind in (CallbackDialling, CallbackAnswered):
            story.entries(kind(2 * SECOND, 7, "hotline-c7.1", agent))
        assert story.floor.tasks[7].state is State.DIALLING
        assert story.presence("1001") is Presence.RINGING
