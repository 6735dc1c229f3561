"""A centre with two queues: whose rules hold for a caller, for a transfer and for a callback."""

import json
from dataclasses import replace

import pytest

from acd.callbacks.task import State, Task
from acd.commands import (
    CreateCallback,
    PlaceCallback,
    Record,
    ReleaseCall,
    Ring,
    SendOutside,
    Yield,
)
from acd.floor import Floor, Stage
from acd.gate import Policy, Purpose, Why
from acd.rules.model import DEFAULT, Flag, Member, Number, Queue, Rules
from agents.model import Presence
from facts import (
    AgentAdded,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackSpared,
    CallDetached,
    CallEnded,
    CallMoved,
    CallQueued,
    CallReleased,
    CallSentOutside,
    CallTransferred,
    DialRefused,
    LinkRestored,
    OfferAnswered,
    OfferMade,
    OfferRinging,
    PhoneLost,
    PhoneReachable,
    TalkEnded,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.terms import Party, Release
from facts.times import HOUR, SECOND
from tests.acd.test_floor import Story, deeds

CITIZEN, FLAGGED = "+8613800138000", "+8613800138001"
TAX = "12366"


def rules(**tax: object) -> Rules:
    """1001 and 1002 serve the first queue, 1003 and 1004 the second one."""
    queues = {
        DEFAULT: Queue(ring_time=9, wrap_up_time=5, call_back_lost=False),
        "tax": Queue("tax", **{"ring_time": 21, "wrap_up_time": 30, "priority": 1} | tax),  # type: ignore[arg-type]
    }
    members = [Member(agent, DEFAULT) for agent in ("1001", "1002")]
    members += [Member(agent, "tax") for agent in ("1003", "1004")]
    return Rules(
        queues=queues,
        numbers={"12345": Number("12345"), TAX: Number(TAX, "tax")},
        members=tuple(members),
        flags={FLAGGED: Flag(FLAGGED, 3)},
        priority_step=10.0,
    )


@pytest.fixture
def story() -> Story:
    return Story(rules())


def comes(story: Story, call: str, second: float, queue: str = "tax", caller: str = "") -> object:
    at = round(second * SECOND)
    number = TAX if queue == "tax" else "12345"
    return story.tell(CallArrived(at, call, number, caller), CallQueued(at, call, queue))


# --- whose rules hold


def test_a_way_out_may_open_and_close() -> None:
    floor = Floor(rules())
    floor.open_way_out(outbound=True, outside=["12333"])
    assert floor.outbound
    assert floor.hall.outside == {"12333"}
    floor.open_way_out(outbound=False, outside=())
    assert not floor.outbound
    assert not floor.hall.outside


def test_a_phone_rings_as_long_as_the_callers_queue_says(story: Story) -> None:
    story.agent("1001")
    story.agent("1003")
    assert comes(story, "a", 1) == [Ring("a", ("1003",), 21)]
    assert comes(story, "b", 1, DEFAULT) == [Ring("b", ("1001",), 9)]


def test_a_queue_that_is_not_there_is_the_first_one(story: Story) -> None:
    story.agent("1001")
    assert comes(story, "a", 1, "gone") == [Ring("a", ("1001",), 9)]
    assert story.floor.callers["a"].queue == DEFAULT


def test_whose_rules_a_call_has(story: Story) -> None:
    comes(story, "a", 1)
    assert story.floor.queue_of("a").ring_time == 21
    assert story.floor.queue_of("nobody").ring_time == 9


def test_the_rank_is_of_the_queue_and_of_the_citizen(story: Story) -> None:
    comes(story, "a", 100, DEFAULT)
    comes(story, "b", 100)
    comes(story, "c", 100, "tax", FLAGGED)
    ranks = {call: caller.rank for call, caller in story.floor.callers.items()}
    assert ranks == {"a": 100 * SECOND, "b": 90 * SECOND, "c": 60 * SECOND}
    story.floor.configure(replace(rules(priority=2), flags={}), 101 * SECOND)
    ranks = {call: caller.rank for call, caller in story.floor.callers.items()}
    assert ranks == {"a": 100 * SECOND, "b": 80 * SECOND, "c": 80 * SECOND}
    story.now = 102 * SECOND
    story.agent("1003", 102)
    assert story.floor.seats["1003"].call == "b"


def test_the_wrap_up_is_that_of_the_queue_of_the_call(story: Story) -> None:
    for agent, call, queue, length in (("1001", "a", DEFAULT, 5), ("1003", "b", "tax", 30)):
        story.agent(agent, 1)
        comes(story, call, 2, queue)
        story.tell(OfferAnswered(3 * SECOND, call, agent))
        facts = story.entries(TalkEnded(10 * SECOND, call, agent, Party.CALLER))
        assert facts[-1] == WrapUpStarted(10 * SECOND, agent, (10 + length) * SECOND, call)


def test_the_wrap_up_of_a_callback_is_that_of_its_queue(story: Story) -> None:
    story.agent("1003")
    story.tell(CallbackAdded(SECOND, 7, CITIZEN, "tax", 0, HOUR))
    attempt = "hotline-c7.1"
    story.tell(CallbackDialling(2 * SECOND, 7, attempt, "1003"))
    story.tell(CallbackAnswered(3 * SECOND, 7, attempt, "1003"))
    facts = story.entries(CallbackEnded(10 * SECOND, 7, attempt, "1003"))
    assert WrapUpStarted(10 * SECOND, "1003", 40 * SECOND, attempt) in facts


def test_whoever_is_ready_again_before_the_end_of_the_wrap_up_has_ended_it(story: Story) -> None:
    for fact in (AgentReady(12 * SECOND, "1003"), AgentPaused(12 * SECOND, "1003", "lunch")):
        story = Story(rules())
        story.agent("1003")
        comes(story, "a", 2)
        story.tell(
            OfferAnswered(3 * SECOND, "a", "1003"),
            TalkEnded(10 * SECOND, "a", "1003", Party.CALLER),
        )
        assert story.entries(fact)[:2] == [fact, WrapUpEnded(12 * SECOND, "1003", "a")]
        assert story.floor.seats["1003"].since == 12 * SECOND


def test_an_agent_who_is_removed_in_a_talk_is_out_and_gone_after_it(story: Story) -> None:
    story.agent("1003")
    comes(story, "a", 2)
    story.tell(OfferAnswered(3 * SECOND, "a", "1003"))
    removed = AgentRemoved(4 * SECOND, "1003")
    assert story.entries(removed) == [removed]
    assert story.entries(removed) == []
    assert story.presence("1003") is Presence.TALKING
    facts = story.entries(TalkEnded(10 * SECOND, "a", "1003", Party.CALLER))
    assert [type(fact) for fact in facts] == [TalkEnded]
    assert "1003" not in story.floor.seats
    # Whoever is added again during the talk stays, and is signed out.
    story.agent("1004", 11)
    comes(story, "b", 12)
    story.tell(OfferAnswered(13 * SECOND, "b", "1004"), AgentRemoved(14 * SECOND, "1004"))
    story.tell(AgentAdded(15 * SECOND, "1004"), TalkEnded(16 * SECOND, "b", "1004", Party.CALLER))
    assert story.presence("1004") is Presence.OUT


# --- transfers


def talks(story: Story) -> None:
    """1001 talks to the flagged citizen of call `a`, who waits since second 2."""
    story.agent("1001")
    comes(story, "a", 2, DEFAULT, FLAGGED)
    story.tell(OfferAnswered(3 * SECOND, "a", "1001"))


def test_a_transfer_into_another_queue_has_that_queues_rules(story: Story) -> None:
    talks(story)
    story.tell(TalkEnded(10 * SECOND, "a", "1001", Party.SYSTEM))
    story.tell(CallTransferred(10 * SECOND, "a", "1001", TAX))
    caller = story.floor.callers["a"]
    assert (caller.queue, caller.place, caller.rank) == ("tax", 2 * SECOND, (2 - 40) * SECOND)
    story.agent("1003", 11)
    assert story.floor.seats["1003"].call == "a"


def test_a_colleague_rings_as_long_as_the_callers_queue_says(story: Story) -> None:
    story = Story(replace(rules(), members=(*rules().members, Member("1001", "tax"))))
    story.agent("1001")
    comes(story, "a", 2)
    story.tell(OfferAnswered(3 * SECOND, "a", "1001"))
    story.agent("1002", 4)
    out = story.tell(
        TalkEnded(10 * SECOND, "a", "1001", Party.SYSTEM),
        CallTransferred(10 * SECOND, "a", "1001", "1002"),
    )
    assert out == [Ring("a", ("1002",), 21)]


def test_a_citizen_without_a_session_is_not_handed_to_the_colleague(story: Story) -> None:
    talks(story)
    story.agent("1003", 4)
    at = 10 * SECOND
    story.tell(TalkEnded(at, "a", "1001", Party.SYSTEM))
    out = story.floor.handle(CallTransferred(at, "a", "1001", "1003"), at, more=True)
    out += story.floor.handle(CallDetached(at, "a"), at)
    assert deeds(out) == []
    assert story.floor.handle(CallDetached(at, "a"), at) == [], "it is no news"
    # And holds up no other one.
    story.agent("1002", 11)
    comes(story, "b", 12, DEFAULT)
    story.tell(OfferAnswered(13 * SECOND, "b", "1002"))
    at = 20 * SECOND
    story.now = at
    story.tell(TalkEnded(at, "b", "1002", Party.SYSTEM))
    story.floor.hall.handed["a"] = None
    assert story.tell(CallTransferred(at, "b", "1002", "1003")) == [Ring("b", ("1003",), 9)]
    assert story.floor.handle(CallDetached(at, "unknown"), at) == []


def test_a_number_outside_that_may_not_be_dialled_is_refused_for_the_call() -> None:
    story = Story(rules())
    story.floor = Floor(rules(), outside=("12333", "12319"), policy=Policy(deny=("12333",)))
    story.tell(LinkRestored(0))
    talks(story)
    story.tell(TalkEnded(10 * SECOND, "a", "1001", Party.SYSTEM))
    facts = story.entries(CallTransferred(10 * SECOND, "a", "1001", "12333"))
    assert DialRefused(10 * SECOND, "a", "12333", "transfer", "denied") in facts
    refusal = story.floor.refusal("12333", Purpose.TRANSFER)
    assert refusal is not None
    assert refusal.why is Why.DENIED
    assert story.floor.refusal("12319", Purpose.TRANSFER) is None


def test_an_outside_number_that_answered_has_answered(story: Story) -> None:
    story.floor.hall.outside = frozenset(["12333"])
    comes(story, "a", 2)
    caller = story.floor.callers["a"]
    caller.stage = caller.stage.OUTSIDE
    first = CallSentOutside(3 * SECOND, "a", "12333")
    assert story.entries(first) == [first]
    assert not caller.answered
    told = story.entries(CallSentOutside(4 * SECOND, "a", "", answered=True))
    assert told == [CallSentOutside(4 * SECOND, "a", "12333", answered=True)]
    story.entries(first)
    assert caller.answered


def test_of_a_callback_that_is_unknown_nothing_is_known(story: Story) -> None:
    story.tell(CallArrived(SECOND, "a", "", "", "hotline-c9.1"))
    caller = story.floor.callers["a"]
    assert (caller.queue, caller.caller, caller.answered) == (DEFAULT, "", True)
    assert caller.since == SECOND


# --- lost calls


def test_a_lost_call_is_called_back_by_the_queue_of_its_number(story: Story) -> None:
    """The citizen left in the greeting: only the number tells the queue."""
    for call, number in (("a", "12345"), ("b", TAX), ("c", "999")):
        story.tell(CallArrived(SECOND, call, number, CITIZEN))
        out = story.tell(CallEnded(2 * SECOND, call, Party.CALLER))
        latest = 2 * SECOND + 24 * HOUR
        wanted = CreateCallback(CITIZEN, "tax", latest, "lost", call)
        assert out == ([wanted] if number == TAX else [])


def test_a_lost_call_is_called_back_by_the_queue_in_which_it_waited(story: Story) -> None:
    story.tell(CallArrived(SECOND, "a", "12345", CITIZEN), CallQueued(SECOND, "a", "tax"))
    (wanted,) = story.tell(CallEnded(9 * SECOND, "a", Party.CALLER))
    assert isinstance(wanted, CreateCallback)
    assert wanted.queue == "tax"


# --- callbacks


def test_a_callback_of_one_queue_yields_to_no_caller_of_another(story: Story) -> None:
    story.agent("1003")
    story.tell(CallbackAdded(SECOND, 7, CITIZEN, "tax", 0, HOUR))
    assert comes(story, "a", 2, DEFAULT) == []
    assert comes(story, "b", 3) == [Yield(7, "hotline-c7.1", "1003", "b", 21)]


def test_of_two_queues_the_citizen_who_has_waited_longer_gets_the_agent() -> None:
    both = (*rules().members, Member("1003", DEFAULT))
    story = Story(replace(rules(priority=0), members=both))
    story.tell(CallbackAdded(SECOND, 7, CITIZEN, "tax", 0, HOUR))
    at = 5 * SECOND
    for agent in ("1003",):
        story.agent(agent, 2)
    assert story.presence("1003") is Presence.RINGING
    out = []
    for call, since, queue in (("b", 4, "tax"), ("a", 3, DEFAULT)):
        number = TAX if queue == "tax" else "12345"
        story.floor.handle(CallArrived(since * SECOND, call, number, ""), at, more=True)
        queued = CallQueued(since * SECOND, call, queue)
        out += story.floor.handle(queued, at, more=call == "b")
    assert [one.call for one in deeds(out) if isinstance(one, Yield)] == ["a"]


def test_a_kept_place_waits_in_its_queue_and_leaves_it_with_the_task(story: Story) -> None:
    story.tell(CallbackAdded(SECOND, 7, CITIZEN, "tax", 0, 300 * SECOND, place=SECOND))
    comes(story, "a", 20)
    comes(story, "b", 20, DEFAULT)
    assert (story.floor.ahead("a"), story.floor.ahead("b")) == (1, 0)
    story.floor.configure(rules(), 21 * SECOND)
    assert (story.floor.ahead("a"), story.floor.ahead("b")) == (1, 0)
    story.until(300)
    assert story.floor.tasks == {}
    assert story.floor.ahead("a") == 0


def test_a_task_is_due_in_its_own_queue(story: Story) -> None:
    story.agent("1001")
    story.agent("1003")
    story.tell(AgentPaused(SECOND, "1003", ""))
    story.tell(CallbackAdded(2 * SECOND, 7, CITIZEN, "tax", 0, HOUR))
    out = story.tell(AgentReady(3 * SECOND, "1003"))
    assert out == [PlaceCallback(7, "hotline-c7.1", "1003", CITIZEN, "tax")]


def test_a_second_attempt_at_a_citizen_who_talks_is_told_as_withdrawn(story: Story) -> None:
    story.agent("1003")
    story.tell(CallbackAdded(SECOND, 7, CITIZEN, "tax", 0, HOUR))
    comes(story, "a", 2)
    story.agent("1004", 3)
    ended = CallbackEnded(4 * SECOND, 7, "hotline-c7.2", "1004", "withdrawn")
    assert ended in story.entries(CallbackSpared(4 * SECOND, 7, "hotline-c7.1", "1003"))


# --- talks and their facts


def test_facts_of_a_talk_that_is_known_or_over_are_no_news(story: Story) -> None:
    talks(story)
    assert story.entries(OfferAnswered(4 * SECOND, "a", "1001")) == []
    ringing = OfferRinging(4 * SECOND, "a", "1001")
    assert story.entries(ringing) == [ringing], "its 180 came after the answer"
    assert story.floor.seats["1001"].since == 3 * SECOND
    assert story.entries(TalkEnded(5 * SECOND, "a", "9999", Party.AGENT)) == []
    assert story.entries(TalkEnded(5 * SECOND, "b", "1001", Party.AGENT)) == []
    story.agent("1002", 5)
    assert story.entries(PhoneLost(5 * SECOND, "a", "1002")) == []
    story.tell(CallEnded(6 * SECOND, "a", Party.CALLER))
    assert story.entries(OfferAnswered(7 * SECOND, "a", "1001")) == []
    assert story.entries(OfferRinging(7 * SECOND, "a", "1001")) == []


# --- what was written down


def again(story: Story, known: Rules | None = None) -> Story:
    """The same centre after a restart."""
    other = Story(known or rules())
    state = json.loads(json.dumps(story.floor.snapshot()))
    other.now = story.now
    other.floor = Floor.restore(state, known or rules(), story.now, outbound=True)
    return other


def test_a_wrap_up_that_was_written_down_ends_in_time(story: Story) -> None:
    talks(story)
    story.tell(TalkEnded(10 * SECOND, "a", "1001", Party.CALLER))
    other = again(story)
    assert other.presence("1001") is Presence.WRAP_UP
    other.tell(LinkRestored(11 * SECOND))
    assert Record(WrapUpEnded(15 * SECOND, "1001", "a")) in other.until(15)


def test_attempts_of_before_a_start_count_from_their_own_moments() -> None:
    story = Story()
    story.floor = Floor(rules(), outbound=True, policy=Policy(per_hour=1))
    story.floor.remember_dialled([("hotline-c1.1", CITIZEN, 0)])
    story.tell(LinkRestored(SECOND))
    story.agent("1003", 1)
    assert story.tell(CallbackAdded(SECOND, 7, CITIZEN, "tax", 0, 4 * HOUR)) == []
    assert deeds(story.until(3599.9)) == []
    assert [type(one) for one in deeds(story.until(3600))] == [PlaceCallback]


def test_the_node_names_the_attempts_after_a_start_too(story: Story) -> None:
    state = json.loads(json.dumps(story.floor.snapshot()))
    floor = Floor.restore(state, rules(), 0, node="south", outbound=True)
    for fact in (
        LinkRestored(0),
        AgentAdded(0, "1003"),
        PhoneReachable(0, "1003"),
        AgentReady(0, "1003"),
    ):
        floor.handle(fact, 0)
    out = deeds(floor.handle(CallbackAdded(0, 7, CITIZEN, "tax", 0, HOUR), 0))
    assert out == [PlaceCallback(7, "south-c7.1", "1003", CITIZEN, "tax")]


def test_an_overflow_has_the_rank_of_its_new_queue() -> None:
    known = rules()
    queues = {**known.queues, DEFAULT: Queue(overflow_to="tax", overflow_after=30)}
    story = Story(replace(known, queues=queues))
    comes(story, "a", 1, DEFAULT, FLAGGED)
    moved = story.until(31)
    assert moved == [Record(CallMoved(31 * SECOND, "a", "tax"))]
    assert story.floor.callers["a"].rank == (1 - 40) * SECOND


def test_an_overflow_outside_that_may_not_be_dialled_is_told_once() -> None:
    queue = Queue(overflow_to="12333", overflow_after=30)
    known = replace(rules(), queues={**rules().queues, DEFAULT: queue})
    story = Story()
    story.floor = Floor(known, policy=Policy(deny=("12333",)))
    story.tell(LinkRestored(0))
    comes(story, "a", 1, DEFAULT)
    refused = DialRefused(31 * SECOND, "a", "12333", "overflow", "denied")
    assert story.until(31) == [Record(refused)]
    assert story.until(60) == []
    story.agent("1001", 61)
    assert story.floor.seats["1001"].call == "a"
    assert not any(isinstance(one, SendOutside | OfferMade) for one in story.until(62))


# --- a full queue


def test_each_queue_has_its_own_length() -> None:
    story = Story(rules(longest_queue=1))
    assert comes(story, "a", 1, DEFAULT) == comes(story, "b", 1) == []
    assert comes(story, "c", 2, DEFAULT) == []
    assert comes(story, "d", 2) == [ReleaseCall("d", Release.QUEUE_FULL)]


def test_a_full_queue_sends_on_at_that_moment() -> None:
    known = rules()
    queues = {**known.queues, DEFAULT: Queue(overflow_to="tax", longest_queue=1)}
    story = Story(replace(known, queues=queues))
    comes(story, "a", 1, DEFAULT)
    story.tell(CallArrived(2 * SECOND, "b", "12345", ""))
    facts = story.entries(CallQueued(3 * SECOND, "b", DEFAULT))
    assert facts[-1] == CallMoved(3 * SECOND, "b", "tax")


def test_the_queue_is_not_full_if_an_agent_is_idle_for_the_caller() -> None:
    """The caller who waits needs English, which 1003 does not speak."""
    known = rules(longest_queue=1)
    english = replace(known.numbers[TAX], language="en")
    story = Story(
        replace(known, numbers={**known.numbers, "12367": replace(english, number="12367")})
    )
    story.agent("1003")
    story.tell(CallArrived(SECOND, "a", "12367", ""), CallQueued(SECOND, "a", "tax"))
    assert story.floor.callers["a"].stage.name == "WAITING"
    assert comes(story, "b", 2) == [Ring("b", ("1003",), 21)]


def test_the_colleague_is_rung_though_another_agent_of_the_queue_is_idle_for_longer(
    story: Story,
) -> None:
    story.agent("1001")
    comes(story, "a", 2, DEFAULT)
    story.tell(OfferAnswered(3 * SECOND, "a", "1001"))
    members = tuple(Member(agent, DEFAULT) for agent in ("1001", "1002", "1003", "1004"))
    story.floor.configure(replace(rules(), members=members), 4 * SECOND)
    story.agent("1003", 4)
    story.agent("1004", 5)
    story.tell(TalkEnded(10 * SECOND, "a", "1001", Party.SYSTEM))
    assert story.tell(CallTransferred(10 * SECOND, "a", "1001", "1004")) == [
        Ring("a", ("1004",), 9)
    ]


# --- caps


def capped() -> Floor:
    return Floor(rules(), outbound=True, policy=Policy(per_hour=1))


def test_a_cap_that_holds_is_kept_in_what_is_written_down(story: Story) -> None:
    story.floor = capped()
    story.tell(LinkRestored(0))
    story.agent("1003")
    story.tell(CallbackAdded(SECOND, 7, CITIZEN, "tax", 0, 4 * HOUR, spacing=0))
    attempt = "hotline-c7.1"
    story.tell(CallbackDialling(2 * SECOND, 7, attempt, "1003"))
    assert story.tell(CallbackEnded(3 * SECOND, 7, attempt, "1003", "busy")) == []
    state = json.loads(json.dumps(story.floor.snapshot()))
    floor = Floor.restore(state, rules(), 4 * SECOND, outbound=True, policy=Policy(per_hour=1))
    floor.handle(LinkRestored(4 * SECOND), 4 * SECOND)
    assert deeds(floor.tick(HOUR)) == []
    again = PlaceCallback(7, "hotline-c7.2", "1003", CITIZEN, "tax")
    assert deeds(floor.tick(HOUR + 2 * SECOND)) == [again]


def test_an_attempt_that_is_taken_up_gives_its_room_back(story: Story) -> None:
    story.floor = capped()
    story.tell(LinkRestored(0))
    story.agent("1003")
    times = (0, HOUR, 3, 0)
    one = Task(7, CITIZEN, "tax", *times, "", "", "", 0, 0, State.DIALLING, 1)
    one.agent, one.attempt = "1003", "hotline-c7.1"
    assert deeds(story.floor.take_up([one], SECOND)) == []
    out = story.tell(CallbackEnded(2 * SECOND, 7, "hotline-c7.1", "1003", "withdrawn"))
    assert out == [PlaceCallback(7, "hotline-c7.2", "1003", CITIZEN, "tax")]


def test_a_caller_who_cannot_be_recorded_is_sent_outside_by_the_gate() -> None:
    story = Story()
    story.floor = Floor(rules(), policy=Policy(deny=("12333",)))
    story.tell(LinkRestored(0), CallArrived(0, "a", "12345", ""), CallArrived(0, "b", "12345", ""))
    asked = CallSentOutside(SECOND, "a", "0411000")
    assert story.tell(asked) == [SendOutside("a", "0411000")]
    assert story.floor.callers["a"].stage is Stage.OUTSIDE
    # Asterisk tells the same again, and of the answer without the number. Nobody is sent twice.
    assert story.tell(CallSentOutside(2 * SECOND, "a", "0411000")) == []
    assert story.floor.handle(CallSentOutside(2 * SECOND, "unknown", "0411000"), 2 * SECOND) == []
    assert story.entries(CallSentOutside(2 * SECOND, "a", "", answered=True)) == [
        CallSentOutside(2 * SECOND, "a", "0411000", answered=True)
    ]
    refused = DialRefused(2 * SECOND, "b", "12333", "overflow", "denied")
    assert story.entries(CallSentOutside(2 * SECOND, "b", "12333")) == [refused]
    assert story.floor.callers["b"].stage is Stage.GREETING
    released = CallReleased(3 * SECOND, "a", Release.SYSTEM_FAILURE)
    assert story.entries(released) == [released]
