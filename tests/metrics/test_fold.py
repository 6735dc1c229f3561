"""One record a call: its outcome, its ring, whatever order its facts come in."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import (
    AgentReady,
    CallArrived,
    CallDetached,
    CallEnded,
    CallMarked,
    CallOverflowed,
    CallQueued,
    CallReleased,
    CallReturned,
    CallSentOutside,
    CallTransferred,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    PlaceRestored,
    RecordingFinished,
    TalkEnded,
    TalkHeld,
    TalkResumed,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.terms import CallMark, OfferReason, Outcome, Party, Release
from facts.times import SECOND
from metrics.fold import CallerStage, CallHistory, CallRecord, fold_call, record_of
from metrics.window import Tally
from tests.metrics.histories import (
    answered,
    arrived,
    at,
    ended,
    handed_on,
    handed_on_and_lost,
    in_greeting,
    in_queue,
    overflowed,
    refused,
    released,
    while_ringing,
)


def record(facts: Sequence[Fact]) -> CallRecord:
    found = record_of(facts)
    assert found is not None
    return found


def outcome(facts: Sequence[Fact]) -> Outcome | None:
    return record(facts).outcome


def test_one_who_was_handed_on_waits_from_that_moment() -> None:
    found = record(handed_on("a"))
    assert (found.origin, found.number, found.queue) == ("hotline-c7.1", "", "tax")
    assert (found.arrived, found.queued, found.answered) == (at(0), at(0), at(2))
    assert (found.outcome, found.agents, found.talk) == (Outcome.HUMAN, ("1002",), 60 * SECOND)
    assert outcome(handed_on_and_lost("b")) is Outcome.ABANDONED_QUEUE
    open_ = CallHistory()
    open_.add(handed_on("a")[0])
    sketch = open_.sketch()
    assert sketch is not None
    assert (sketch.stage, sketch.inbound) == (CallerStage.WAITING, False)


# --- outcomes


def test_a_call_that_was_refused_before_it_had_a_channel() -> None:
    found = record(refused("a"))
    assert (found.outcome, found.hung_up_by) == (Outcome.NO_CAPACITY, Party.SYSTEM)
    assert (found.arrived, found.ended, found.queued) == (at(0), at(0.01), None)
    tally = Tally()
    for facts in (refused("a"), answered("b")):
        tally.add(record(facts))
    metrics = tally.metrics()
    assert (metrics["M1"].numerator, metrics["M1"].denominator) == (1, 2)
    assert metrics["M2"].denominator == 1
    history = CallHistory()
    for fact in refused("a"):
        history.add(fact)
    assert history.ended


def test_a_call_that_an_agent_answers() -> None:
    found = record(answered("c", waits=5, rings=6, talks=60))
    assert found == replace(
        found,
        id="c",
        number="12345",
        caller="13812345678",
        arrived=at(0),
        queued=at(8),
        answered=at(19),
        ended=at(79.001),
        outcome=Outcome.HUMAN,
        hung_up_by=Party.CALLER,
        agents=("1001",),
        talk=60 * SECOND,
        ring=2,
        returned=False,
        overflowed=False,
        estimated=False,
    )


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (in_greeting("c"), Outcome.ABANDONED_GREETING),
        (in_queue("c"), Outcome.ABANDONED_QUEUE),
        (while_ringing("c"), Outcome.ABANDONED_RINGING),
        (overflowed("c"), Outcome.HUMAN),
        (released("c", Release.TIMED_OUT), Outcome.TIMED_OUT),
        (released("c", Release.QUEUE_FULL), Outcome.QUEUE_FULL),
        (released("c", Release.CLOSED_HOURS), Outcome.CLOSED_HOURS),
        (released("c", Release.BLOCKED), Outcome.BLOCKED),
        (released("c", Release.SYSTEM_FAILURE), Outcome.SYSTEM_FAILURE),
    ],
)
def test_outcomes(facts: list[Fact], expected: Outcome) -> None:
    assert outcome(facts) is expected
    assert outcome(facts[:-1]) is None


@pytest.mark.parametrize(
    ("answered_there", "expected"),
    [(True, Outcome.HUMAN_OVERFLOW), (False, Outcome.ABANDONED_QUEUE)],
)
def test_a_call_that_overflows_to_an_outside_number(
    answered_there: bool, expected: Outcome
) -> None:
    facts: list[Fact] = [
        CallArrived(at(0), "c", "12345", "13812345678"),
        CallQueued(at(8), "c", "default"),
        CallSentOutside(at(20), "c", "0411000"),
        CallEnded(at(60), "c", Party.CALLER),
    ]
    if answered_there:
        facts.append(CallSentOutside(at(25), "c", "", answered=True))
    found = record(facts)
    assert found.outcome is expected
    assert found.answered == (at(25) if answered_there else None)


def test_every_release_has_an_outcome() -> None:
    assert {outcome(released("c", reason)) for reason in Release}.isdisjoint({Outcome.HUMAN, None})


@pytest.mark.parametrize("by", [Party.SYSTEM, Party.AGENT])
@pytest.mark.parametrize("facts", [in_greeting("c"), in_queue("c"), while_ringing("c")])
def test_an_end_that_nobody_asked_for_is_a_failure_of_the_system(
    facts: list[Fact], by: Party
) -> None:
    assert outcome([*facts[:-1], ended(20, "c", by)]) is Outcome.SYSTEM_FAILURE


def test_a_caller_who_hangs_up_during_the_farewell_was_released() -> None:
    facts = released("c", Release.TIMED_OUT)
    assert outcome([*facts[:-1], ended(901, "c", Party.CALLER)]) is Outcome.TIMED_OUT


def test_a_call_answered_while_it_was_released_is_answered() -> None:
    facts = answered("c")
    assert outcome([*facts, CallReleased(at(16), "c", Release.TIMED_OUT)]) is Outcome.HUMAN


@pytest.mark.parametrize("length", [0, 0.003, 1])
def test_an_answer_whose_talk_ends_within_a_second_is_no_answer(length: float) -> None:
    facts = answered("c", waits=5, rings=3)[:-2]
    over = 16 + length
    at_once = [*facts, TalkEnded(at(over), "c", "1001", Party.CALLER), ended(over, "c")]
    found = record(at_once)
    assert (found.outcome, found.answered, found.agents) == (Outcome.ABANDONED_RINGING, None, ())
    assert (found.talk, found.ring) == (0, None)
    assert outcome([*facts, ended(17.000001, "c")]) is Outcome.HUMAN


def test_a_caller_dropped_by_a_phone_waits_on_and_is_answered_by_the_next() -> None:
    facts = answered("c", waits=5, rings=3)[:-2]
    dropped = [*facts, TalkEnded(at(16.03), "c", "1001", Party.AGENT)]
    assert record(dropped).outcome is None
    assert record(dropped).answered is None
    again: list[Fact] = [
        *dropped,
        CallTransferred(at(16.2), "c", "", ""),
        OfferMade(at(16.3), "c", "1002"),
        OfferRinging(at(16.4), "c", "1002"),
    ]
    assert outcome([*again, ended(18, "c")]) is Outcome.ABANDONED_RINGING
    found = record(
        [
            *again,
            OfferAnswered(at(18), "c", "1002"),
            TalkEnded(at(30), "c", "1002", Party.AGENT),
            ended(30, "c", Party.AGENT),
        ]
    )
    assert (found.outcome, found.agents, found.answered) == (Outcome.HUMAN, ("1002",), at(18))
    assert (found.talk, found.cut) == (12 * SECOND, False)


def test_a_call_that_ends_with_the_phone_that_dropped_it_is_no_human_call() -> None:
    facts = answered("c")[:-2]
    over = facts[-1].at + 3000
    end = CallEnded(over, "c", Party.AGENT)
    found = record([*facts, TalkEnded(over, "c", "1001", Party.AGENT), end])
    assert (found.outcome, found.agents) == (Outcome.SYSTEM_FAILURE, ())


def test_a_caller_who_hung_up_just_before_the_greeting_was_over_never_queued() -> None:
    found = record(
        [
            arrived(0, "c"),
            CallEnded(at(9.994), "c", Party.CALLER),
            CallQueued(at(10), "c", "default"),
            OfferMade(at(10.001), "c", "1001"),
            OfferEnded(at(10.002), "c", "1001", OfferReason.CALLER_GONE),
        ]
    )
    assert (found.outcome, found.queued) == (Outcome.ABANDONED_GREETING, None)
    assert (found.offers, found.reached_queue) == ((), False)
    figures = Tally([found]).metrics()
    assert [figures[name].denominator for name in ("M1", "M2", "M5", "M8")] == [1, 0, 0, 0]


def test_a_talk_that_the_system_ends_is_cut() -> None:
    *facts, talk, _ = answered("c")
    cut = [*facts, TalkEnded(talk.at, "c", "1001", Party.SYSTEM)]
    end = CallEnded(talk.at, "c", Party.SYSTEM)
    assert not record(cut).cut, "it is not known yet what becomes of the caller"
    assert record([*cut, end]).cut
    assert record([*facts, end]).cut, "the end of the talk itself was lost"
    assert not record([*facts, talk, end]).cut
    assert not record([*cut, CallTransferred(talk.at, "c", "1001", "8890"), end]).cut
    assert record([*cut, CallTransferred(talk.at, "c", "", ""), end]).cut


def test_an_answer_after_the_caller_has_gone_is_no_answer() -> None:
    facts: list[Fact] = [
        *while_ringing("c")[:4],
        ended(12, "c"),
        OfferAnswered(at(12.0001), "c", "1001"),
        TalkEnded(at(12.2), "c", "1001", Party.SYSTEM),
    ]
    assert outcome(facts) is Outcome.ABANDONED_RINGING


def test_an_offer_that_does_not_ring_yet_leaves_the_caller_in_the_queue() -> None:
    facts = in_queue("c")
    made = OfferMade(at(19.9), "c", "1001")
    assert outcome([*facts, made]) is Outcome.ABANDONED_QUEUE
    assert outcome([*facts, made, OfferRinging(at(20.1), "c", "1001")]) is Outcome.ABANDONED_QUEUE
    assert (
        outcome([*facts, made, OfferRinging(at(19.95), "c", "1001")]) is Outcome.ABANDONED_RINGING
    )


def test_a_phone_that_stopped_ringing_earlier_leaves_the_caller_in_the_queue() -> None:
    facts: list[Fact] = [
        *while_ringing("c")[:4],
        OfferEnded(at(23.1), "c", "1001", OfferReason.NO_ANSWER),
        ended(24, "c"),
    ]
    assert outcome(facts) is Outcome.ABANDONED_QUEUE


def test_a_second_witness_knows_that_the_caller_was_gone() -> None:
    facts = while_ringing("c")
    other = OfferEnded(at(11.9), "c", "1001", OfferReason.NO_ANSWER)
    assert outcome([*facts, other]) is Outcome.ABANDONED_RINGING


@pytest.mark.parametrize("later", [0.0, 0.001, 5.0])
def test_queued_after_the_end_is_an_end_in_the_greeting(later: float) -> None:
    facts: list[Fact] = [*in_greeting("c"), CallQueued(at(3 + later), "c", "default")]
    expected = Outcome.ABANDONED_GREETING if later else Outcome.ABANDONED_QUEUE
    assert outcome(facts) is expected
    assert record(facts).reached_queue is (not later)


def test_the_fallback_queue_is_a_queue() -> None:
    waiting: list[Fact] = [arrived(0, "c"), CallOverflowed(at(20), "c"), ended(30, "c")]
    assert outcome(waiting) is Outcome.ABANDONED_QUEUE
    assert record(waiting).queued == at(20)
    found = record(overflowed("c"))
    assert (found.overflowed, found.agents, found.estimated) == (True, ("1002",), True)
    assert found.queued == at(20)


# --- rings (R3, M4)


@pytest.mark.parametrize(
    ("rings", "expected"),
    [(0, 1), (4.9, 1), (5.0, 2), (9.999999, 2), (10.9, 3), (14.999999, 3), (15.0, 4), (31, 7)],
)
def test_ring_index(rings: float, expected: int) -> None:
    assert record(answered("c", rings=rings)).ring == expected


def test_the_ring_is_that_of_the_offer_that_was_answered() -> None:
    silent: list[Fact] = [
        OfferMade(at(8), "c", "1009"),
        OfferRinging(at(8.1), "c", "1009"),
        OfferEnded(at(23.1), "c", "1009", OfferReason.NO_ANSWER),
    ]
    found = record([*silent, *answered("c", waits=20, rings=6)])
    assert (found.ring, found.agents) == (2, ("1001",))
    assert [offer.agent for offer in found.offers] == ["1009", "1001"]
    assert found.offers[0].reason is OfferReason.NO_ANSWER


def test_the_second_offer_to_the_same_agent_counts_from_its_own_ring() -> None:
    before: list[Fact] = [OfferMade(at(8), "c", "1001"), OfferRinging(at(8.1), "c", "1001")]
    told = OfferEnded(at(10), "c", "1001", OfferReason.REFUSED)
    for facts in ([*before, told], before):  # the end of the first may have been lost
        assert record([*facts, *answered("c", waits=40, rings=6)]).ring == 2


def test_the_phones_180_outweighs_the_invite() -> None:
    facts = answered("c", rings=6)
    early = OfferRinging(at(3), "c", "1001", estimated=True)
    found = record([*facts, early])
    assert (found.ring, found.estimated) == (2, False)


def test_a_phone_that_never_said_180_counts_from_our_invite() -> None:
    facts = [fact for fact in answered("c", rings=4.95) if not isinstance(fact, OfferRinging)]
    assert (record(facts).ring, record(facts).estimated) == (2, True)


def test_a_180_that_is_told_after_the_answer() -> None:
    facts = [fact for fact in answered("c", rings=3) if not isinstance(fact, OfferRinging)]
    assert record([*facts, OfferRinging(at(16.5), "c", "1001")]).ring == 1


def test_an_answer_that_crosses_our_cancel_belongs_to_that_offer() -> None:
    def facts(after: float) -> list[Fact]:
        begun = answered("c", waits=5, rings=15 + after)
        cancelled = OfferEnded(at(28), "c", "1001", OfferReason.NO_ANSWER)
        return [*begun, cancelled]

    assert record(facts(0.05)).ring == 4
    assert len(record(facts(0.05)).offers) == 1
    assert record(facts(1.5)).ring is None  # another offer, of which only the answer is known


# --- a lost controller


def test_a_call_that_comes_back_keeps_its_place() -> None:
    facts: list[Fact] = [
        arrived(0, "c"),
        OfferMade(at(9), "c", "1001"),
        OfferRinging(at(9.1), "c", "1001"),
        CallDetached(at(10), "c"),
        CallReturned(at(40), "c", "default", at(8)),
        ended(50, "c"),
    ]
    found = record(facts)
    assert (found.queued, found.returned) == (at(8), True)
    assert found.outcome is Outcome.ABANDONED_QUEUE  # what rang at the crash does not ring any more


def test_without_an_arrival_there_is_no_record() -> None:
    history = CallHistory()
    for fact in answered("c")[1:]:
        history.add(fact)
        assert history.record() is None
    history.add(answered("c")[0])
    assert record_of(answered("c")) == history.record()


def test_two_tellers_of_one_end() -> None:
    facts = in_queue("c")
    again = CallEnded(at(20.003), "c", Party.SYSTEM, 0)
    assert record([again, *facts]) == record(facts)


def test_two_tellers_within_one_microsecond() -> None:
    """Which is heard must not depend on the hashes of this process."""
    for n in range(20):
        ends = [CallEnded(at(20 + n), "c", by, 16) for by in (Party.SYSTEM, Party.CALLER)]
        assert record([*in_queue("c")[:-1], *ends]).hung_up_by is Party.CALLER


def test_stages_of_an_open_call() -> None:
    facts = answered("c")
    stages = [(record(facts[:n]).ringing, record(facts[:n]).talking) for n in range(1, 8)]
    no = (False, False)
    assert stages == [no, no, no, (True, False), (False, True), no, no]


def test_facts_about_no_call_are_left_alone() -> None:
    calls: dict[str, CallHistory] = {}
    assert fold_call(calls, AgentReady(at(0), "1001")) is None
    assert fold_call(calls, PlaceRestored(at(0), "c", at(0))) is None
    assert calls == {}
    history = fold_call(calls, arrived(0, "c"))
    assert history is not None
    assert calls == {"c": history}


# --- any order, any doubles, anything missing

MOMENT = st.integers(0, 40).map(lambda half: at(half / 2))
AGENT = st.sampled_from(["1001", "1002"])
ABOUT_A_CALL: st.SearchStrategy[Fact] = st.one_of(
    st.builds(CallArrived, MOMENT, st.just("c"), st.just("12345"), st.just("")),
    st.builds(CallQueued, MOMENT, st.just("c"), st.just("default")),
    st.builds(CallReturned, MOMENT, st.just("c"), st.just("default"), MOMENT),
    st.builds(CallOverflowed, MOMENT, st.just("c")),
    st.builds(CallReleased, MOMENT, st.just("c"), st.sampled_from(Release)),
    st.builds(CallEnded, MOMENT, st.just("c"), st.sampled_from(Party)),
    st.builds(OfferMade, MOMENT, st.just("c"), AGENT),
    st.builds(OfferRinging, MOMENT, st.just("c"), AGENT, st.booleans()),
    st.builds(OfferAnswered, MOMENT, st.just("c"), AGENT),
    st.builds(OfferEnded, MOMENT, st.just("c"), AGENT, st.sampled_from(OfferReason)),
    st.builds(TalkEnded, MOMENT, st.just("c"), AGENT, st.sampled_from(Party)),
)
HISTORY = st.lists(ABOUT_A_CALL, max_size=14)


@given(HISTORY, st.randoms(use_true_random=False))
def test_the_order_in_which_facts_come_makes_no_difference(
    facts: list[Fact], chance: random.Random
) -> None:
    others = facts * 2
    chance.shuffle(others)
    assert record_of(others) == record_of(facts)


@given(HISTORY)
def test_fact_by_fact_is_the_same_as_all_at_once(facts: list[Fact]) -> None:
    calls: dict[str, CallHistory] = {}
    for count, fact in enumerate(facts, 1):
        history = fold_call(calls, fact)
        assert history is not None
        assert history.record() == record_of(facts[:count])


@given(HISTORY)
def test_what_always_holds_of_a_record(facts: list[Fact]) -> None:
    found = record_of(facts)
    if found is None:
        assert not any(isinstance(fact, CallArrived) for fact in facts)
        return
    assert (found.outcome is None) == (found.ended is None) == (found.hung_up_by is None)
    if found.ended is not None:
        assert (found.outcome is Outcome.HUMAN) == (found.answered is not None) == (found.talk > 0)
    assert (found.answered is None) == (found.agents == ())
    assert found.ring is None or found.ring >= 1


def test_holds_and_wrap_up_of_a_call() -> None:
    facts = [
        *answered("c"),  # talks from 16 to 76
        TalkHeld(at(20), "c", "1001"),
        TalkHeld(at(21), "c", "1001"),
        TalkResumed(at(25), "c", "1001"),
        TalkHeld(at(70), "c", "1001"),
        WrapUpStarted(at(76), "1001", at(81), "c"),
        WrapUpEnded(at(79), "1001", "c"),
        RecordingFinished(at(90), "c", 76 * SECOND, ""),
    ]
    for told in (facts, facts[::-1]):
        record = record_of(told)
        assert record is not None
        assert (record.talk, record.hold, record.wrap_up) == (60 * SECOND, 11 * SECOND, 3 * SECOND)
        assert (record.recorded, record.queue) == (76 * SECOND, "default")
    open_ = record_of(facts[:-2])
    assert open_ is not None
    assert open_.wrap_up == 5 * SECOND


def test_a_hold_counts_in_the_talks_of_its_agent_alone() -> None:
    begun = answered("c")[:-2]  # 1001 talks from 16 on
    second: list[Fact] = [
        OfferMade(at(30), "c", "1002"),
        OfferAnswered(at(31), "c", "1002"),
        TalkEnded(at(61), "c", "1002", Party.CALLER),
        ended(61, "c"),
    ]
    facts = [
        *begun,
        TalkHeld(at(20), "c", "1001"),
        TalkResumed(at(24), "c", "1001"),
        TalkEnded(at(30), "c", "1001", Party.SYSTEM),
        *second,
    ]
    record = record_of(facts)
    assert record is not None
    assert record.agents == ("1001", "1002")
    assert record.hold == 4 * SECOND
    going_on = record_of([*begun, TalkHeld(at(20), "c", "1001"), TalkResumed(at(24), "c", "1001")])
    assert going_on is not None
    assert going_on.hold == 0, "it counts when the talk is over"
    before = record_of(
        [
            *begun,
            TalkHeld(at(10), "c", "1001"),
            TalkResumed(at(12), "c", "1001"),
            *answered("c")[-2:],
        ]
    )
    assert before is not None
    assert before.hold == 0, "a hold of before the answer is none"


@pytest.mark.parametrize(("made", "offers"), [(19.999999, 1), (20, 1), (20.000001, 0)])
def test_an_offer_after_the_end_was_made_to_no_caller(made: float, offers: int) -> None:
    found = record([*in_queue("c"), OfferMade(at(made), "c", "1001")])
    assert len(found.offers) == offers
    late = [*in_queue("c"), OfferRinging(at(20.5), "c", "1001"), OfferMade(at(made), "c", "1001")]
    assert len(record(late).offers) == offers


def test_who_was_sent_on_before_the_last_talk_may_be_cut_in_it() -> None:
    """1001 sends the citizen on, 1002 answers, and the system ends that talk."""
    *facts, talk, _ = answered("c")
    sent_on = talk.at
    again: list[Fact] = [
        *facts,
        TalkEnded(sent_on, "c", "1001", Party.SYSTEM),
        CallTransferred(sent_on, "c", "1001", "1002"),
        OfferAnswered(sent_on + SECOND, "c", "1002"),
        TalkEnded(sent_on + 9 * SECOND, "c", "1002", Party.SYSTEM),
        CallEnded(sent_on + 9 * SECOND, "c", Party.SYSTEM),
    ]
    found = record(again)
    assert (found.agents, found.cut) == (("1001", "1002"), True)
    assert [one.hung_up_by for one in found.offers] == [Party.SYSTEM, Party.SYSTEM]


@pytest.mark.parametrize(
    ("late", "by", "left_by", "cut"),
    [
        (0, Party.AGENT, "1002", False),
        (1000, Party.AGENT, "1002", False),  # AMI told one of them, CEL the other
        (0, Party.SYSTEM, "", True),
        (0, Party.CALLER, "", False),
    ],
)
def test_whoever_took_the_citizen_over_ends_the_talk(
    late: int, by: Party, left_by: str, cut: bool
) -> None:
    """1001 hands the citizen to 1002 in an attended transfer: that is the beginning of 1002's talk."""
    *facts, talk, _ = answered("c")
    end = talk.at + 9 * SECOND
    found = record(
        [
            *facts,
            CallTransferred(talk.at + late, "c", "1001", "1002", attended=True),
            OfferAnswered(talk.at, "c", "1002"),
            TalkEnded(talk.at + 1, "c", "1001", Party.SYSTEM),
            TalkEnded(end, "c", "1002", by),
            CallEnded(end, "c", by),
        ]
    )
    assert (found.agents, found.left_by, found.cut) == (("1001", "1002"), left_by, cut)


def test_the_first_end_of_a_refused_call_counts() -> None:
    first, refusal = refused("a")
    assert record([first, refusal, ended(9, "a")]).ended == refusal.at
    assert outcome([first, ended(0.005, "a"), refusal]) is Outcome.NO_CAPACITY
    assert record([first, ended(0.005, "a"), refusal]).hung_up_by is Party.CALLER


# --- harassing callers (R18, M21)


def harassed(by: Party, *, end: bool, mark: CallMark = CallMark.HARASSING) -> CallRecord:
    """A talk that was marked a second before its end, and who hung it up."""
    *before, talk, call = answered("c")
    told = CallMarked(call.at - SECOND, "c", "1001", mark, ended=end)
    return record([*before, told, TalkEnded(talk.at, "c", "1001", by), CallEnded(call.at, "c", by)])


@pytest.mark.parametrize("by", [Party.AGENT, Party.SYSTEM])
def test_a_harassing_call_that_its_script_ended_is_in_neither_part_of_m21(by: Party) -> None:
    found = harassed(by, end=True)
    assert (found.harassing, found.scripted, found.cut) == (True, True, False)
    tally = Tally([found])
    assert (tally.metrics()["M21"].denominator, tally.harassing) == (0, 1)


@pytest.mark.parametrize("end", [True, False])
def test_a_harassing_caller_who_hangs_up_first_has_hung_up_first(end: bool) -> None:
    found = harassed(Party.CALLER, end=end)
    assert (found.harassing, found.scripted) == (True, False)
    m21 = Tally([found]).metrics()["M21"]
    assert (m21.numerator, m21.denominator) == (1, 1)


def test_a_call_that_was_marked_and_not_ended_counts_as_any_other() -> None:
    found = harassed(Party.AGENT, end=False)
    assert (found.harassing, found.scripted) == (True, False)
    assert Tally([found]).metrics()["M21"].denominator == 1
    assert not harassed(Party.AGENT, end=True, mark=CallMark.SILENT).harassing
