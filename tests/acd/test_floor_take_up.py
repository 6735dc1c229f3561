"""After a start: the open callbacks of the book, with agents who may be in the middle of one."""

from dataclasses import replace
from typing import Any

import pytest

from acd.callbacks.task import State, Task
from acd.commands import CreateCallback, PlaceCallback, Record, Ring, Yield
from agents.model import Presence
from facts import (
    CallbackAnswered,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackSpared,
    CallEnded,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from tests.acd.test_floor import Story, deeds, one_queue
from tests.acd.world import check_types

NUMBER = "+8613800000001"


def task(**more: Any) -> Task:
    given = {
        "id": 7,
        "number": NUMBER,
        "queue": "default",
        "earliest": 0,
        "latest": 600 * SECOND,
        "attempts_left": 3,
        "spacing": 60 * SECOND,
        "prefers": "",
        "reason": "",
        "origin": "hotline-1.1",
        "place": 0,
        "not_before": 0,
        "tries": 1,
    }
    return Task(**{**given, **more})


def under_way(state: State) -> Story:
    story = Story(one_queue(wrap_up_time=0))
    story.agent("1001")
    one = task(state=state, agent="1001", attempt="hotline-c7.1")
    assert deeds(story.floor.take_up([one], SECOND)) == []
    return story


def test_a_citizen_who_talks_goes_on_talking() -> None:
    story = under_way(State.TALKING)
    assert story.presence("1001") is Presence.TALKING
    assert story.floor.talking() == 1
    assert story.caller("a", 2) == [], "an answered callback does not yield"
    done = story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001"))
    assert done == [Ring("a", ("1001",), 15.0)]
    assert story.floor.tasks == {}, "the citizen was reached"


def test_an_attempt_that_dials_may_still_yield() -> None:
    story = under_way(State.DIALLING)
    assert story.presence("1001") is Presence.RINGING
    assert story.floor.talking() == 0
    assert story.caller("a", 2) == [Yield(7, "hotline-c7.1", "1001", "a", 15.0, False)]


def test_an_attempt_that_dials_counts_for_the_caps_from_then_on() -> None:
    story = under_way(State.DIALLING)
    assert story.floor.snapshot()["history"]["placed"] == [("hotline-c7.1", NUMBER, SECOND)]


def test_an_attempt_of_before_is_known_when_it_ends() -> None:
    story = Story()
    story.floor.remember_dialled([("hotline-c7.1", NUMBER, SECOND)])
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001", "busy"))
    history = story.floor.snapshot()["history"]
    assert (history["dialling"], history["last"]) == ([], [(NUMBER, SECOND, 9 * SECOND)])


def test_what_is_placed_once_all_has_been_read_is_placed_then() -> None:
    story = Story()
    story.floor.listen()
    story.agent("1001")
    story.floor.take_up([task()], SECOND)
    out = story.floor.heard(2 * SECOND)
    assert [one.fact.at for one in out if isinstance(one, Record)] == [2 * SECOND]
    check_types(story.floor, out)
    assert story.presence("1001") is Presence.RINGING


def test_a_task_that_is_closed_leaves_no_attempt_behind() -> None:
    story = under_way(State.DIALLING)
    story.caller("a", 2)
    story.tell(OfferAnswered(3 * SECOND, "a", "1001"))
    assert story.floor.hall.attempts == {"hotline-c7.1": 7}, "the citizen may have answered it"
    story.tell(CallbackCancelled(4 * SECOND, 7, "1001"))
    assert story.floor.hall.attempts == {}


def test_its_end_is_known_by_the_attempt() -> None:
    story = under_way(State.DIALLING)
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001", "busy"))
    assert story.presence("1001") is Presence.READY
    (known,) = story.floor.tasks.values()
    assert (known.state, known.attempts_left, known.not_before) == (State.DUE, 2, 69 * SECOND)


@pytest.mark.parametrize("reason", [OfferReason.CALLER_GONE, OfferReason.REFUSED])
def test_what_happened_before_takes_no_attempt_from_its_agent(reason: OfferReason) -> None:
    """A killed controller had rung 1001 for `a` just before; CEL tells of it when the attempt is taken up already."""
    story = under_way(State.DIALLING)
    story.tell(OfferRinging(SECOND, "a", "1001", estimated=True))
    out = story.tell(OfferEnded(SECOND + 1, "a", "1001", reason))
    assert not [one for one in out if isinstance(one, PlaceCallback)]
    assert story.presence("1001") is Presence.RINGING
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001", "busy"))
    (known,) = story.floor.tasks.values()
    assert (known.state, known.attempts_left) == (State.DUE, 2)
    assert story.floor.hall.dialling == {}


def test_an_answer_is_that_of_the_attempt_whatever_rang_there_before() -> None:
    """The citizen was counted as a race, called again, and never as reached."""
    story = under_way(State.DIALLING)
    story.tell(OfferRinging(SECOND, "a", "1001", estimated=True))
    told = story.entries(CallbackAnswered(2 * SECOND, 7, "hotline-c7.1", "1001"))
    assert CallbackRaced not in {type(fact) for fact in told}
    assert story.presence("1001") is Presence.TALKING
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001"))
    assert story.floor.tasks == {}, "the citizen was reached"


@pytest.mark.parametrize("state", [State.DIALLING, State.TALKING])
def test_an_attempt_whose_agent_is_seen_with_another_call_ends_all_the_same(state: State) -> None:
    story = under_way(state)
    story.tell(OfferAnswered(3 * SECOND, "a", "1001"))
    failure = "" if state is State.TALKING else "busy"
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001", failure))
    left = [(one.state, one.attempts_left) for one in story.floor.tasks.values()]
    assert left == ([] if state is State.TALKING else [(State.DUE, 2)])
    assert story.floor.hall.attempts == {}
    assert story.presence("1001") is Presence.TALKING


DIALLING = CallbackDialling(4 * SECOND, 7, "hotline-c7.2", "1001")
ANSWERED = CallbackAnswered(5 * SECOND, 7, "hotline-c7.2", "1001")
ENDED = CallbackEnded(6 * SECOND, 7, "hotline-c7.2", "1001")


def just_started(**more: Any) -> Story:
    """The book has the task as due after one attempt, and CEL has not been read."""
    story = Story(one_queue(wrap_up_time=0))
    story.floor.listen()
    story.agent("1001")
    assert story.floor.take_up([task(**more)], SECOND) == []
    return story


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("told", [[DIALLING, ANSWERED], [ANSWERED]], ids=["dialled", "answered"])
def test_an_attempt_whose_placing_is_in_no_diary_is_one(told: list[Fact], place: int) -> None:
    """A controller was killed in the moment in which it placed it. CEL has the rest. It was counted as a race."""
    story = just_started(place=place)
    found = [fact for one in told for fact in story.entries(one)]
    assert found == [CallbackPlaced(told[0].at, 7, "hotline-c7.2", "1001"), *told]
    assert (story.floor.tasks[7].tries, story.presence("1001")) == (2, Presence.TALKING)
    assert deeds(story.floor.heard(5 * SECOND)) == [], "who talks is not placed a second time"
    assert story.entries(ENDED) == [ENDED]
    assert story.floor.tasks == {}, "the citizen was reached"


@pytest.mark.parametrize(
    "call", ["hotline-c7.1", "other-c7.2", "hotline-c8.2"], ids=["known", "node", "task"]
)
def test_an_answer_of_another_attempt_is_not_taken_for_one_that_goes_on(call: str) -> None:
    story = just_started()
    for fact in (replace(DIALLING, call=call), replace(ANSWERED, call=call)):
        assert CallbackPlaced not in {type(told) for told in story.entries(fact)}
    assert story.floor.tasks[7].state is State.DUE


def test_a_spared_task_with_a_kept_place_waits_no_more() -> None:
    story = just_started(place=1)
    story.agent("1002")
    story.tell(CallbackSpared(4 * SECOND, 7, "hotline-c7.1", "1001"))
    assert deeds(story.floor.heard(5 * SECOND)) == []
    assert story.floor.tasks[7].state is State.TALKING


def test_a_due_task_is_placed_and_one_that_is_too_late_is_missed() -> None:
    story = Story()
    story.agent("1001")
    commands = story.floor.take_up([task(tries=4)], SECOND)
    assert deeds(commands) == [PlaceCallback(7, "hotline-c7.5", "1001", NUMBER, "default")]
    late = Story().floor.take_up([task()], 600 * SECOND)
    assert [getattr(command, "fact", None) for command in late] == [CallbackMissed(600 * SECOND, 7)]


def test_an_agent_who_is_gone_leaves_the_task_due() -> None:
    story = Story()
    assert deeds(story.floor.take_up([task(state=State.DIALLING, agent="1009")], SECOND)) == []
    assert story.floor.tasks[7].state is State.DUE


def in_another_call(state: State) -> Story:
    """The diary has the agent in a talk with `a`, and the book has them in an attempt."""
    story = Story(one_queue(wrap_up_time=0))
    story.agent("1001")
    story.caller("a", 1)
    story.tell(OfferAnswered(2 * SECOND, "a", "1001"))
    one = task(state=state, agent="1001", attempt="hotline-c7.1")
    assert deeds(story.floor.take_up([one], 3 * SECOND)) == []
    assert story.floor.tasks[7].state is state
    assert story.floor.seats["1001"].call == "a"
    return story


def test_an_attempt_ends_though_its_agent_is_in_another_call() -> None:
    story = in_another_call(State.TALKING)
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001"))
    assert story.floor.tasks == {}, "the citizen was reached"
    assert story.presence("1001") is Presence.TALKING
    story = in_another_call(State.DIALLING)
    story.tell(CallbackEnded(9 * SECOND, 7, "hotline-c7.1", "1001", "busy"))
    assert story.floor.tasks[7].attempts_left == 2


def test_who_picked_up_while_no_controller_ran_was_reached() -> None:
    """That talk was counted as a race, and the citizen was called again, and first."""
    story = in_another_call(State.DIALLING)
    answered = CallbackAnswered(4 * SECOND, 7, "hotline-c7.1", "1001")
    ended = CallbackEnded(5 * SECOND, 7, "hotline-c7.1", "1001")
    told = [
        *story.entries(TalkEnded(3 * SECOND, "a", "1001", Party.CALLER)),
        *story.entries(CallEnded(3 * SECOND, "a", Party.CALLER)),
        *story.entries(answered),
        *story.entries(ended),
    ]
    assert [fact for fact in told if fact.kind.startswith("Callback")] == [answered, ended]
    assert story.floor.tasks == {}
    assert story.presence("1001") is Presence.READY


def test_an_attempt_whose_agent_is_in_another_call_has_no_agent_to_give() -> None:
    story = in_another_call(State.DIALLING)
    assert story.caller("b", 4) == []
    assert story.floor.seats["1001"].call == "a"


def test_a_task_that_is_known_is_left_alone() -> None:
    story = under_way(State.TALKING)
    again = task(latest=5 * SECOND)
    assert story.floor.take_up([again], SECOND) == []
    assert story.floor.tasks[7] is not again


def test_a_lost_citizen_is_not_entered_a_second_time() -> None:
    story = Story()
    story.floor.take_up([task()], SECOND)
    assert lost(story) == []
    unknown = Story()
    assert lost(unknown) == [NUMBER]


def lost(story: Story) -> list[str]:
    """The citizen calls, and gives up in the queue. Gives the numbers of new tasks."""
    story.caller("a", 2, caller=NUMBER)
    done = story.tell(CallEnded(30 * SECOND, "a", Party.CALLER))
    return [one.number for one in done if isinstance(one, CreateCallback)]
