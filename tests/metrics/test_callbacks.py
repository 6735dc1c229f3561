"""M20 and M22: one record a task whatever the order of its facts, and each situation of R7 with what was done."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acd.callbacks.task import State
from acd.commands import Command, Record
from acd.rules.model import DEFAULT, Member, Number, Queue, Rules
from facts import (
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMerged,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackReopened,
    CallbackSpared,
    CallbackUnreached,
    CallbackYielded,
    CallEnded,
    CallerAssigned,
    CallMoved,
    CallQueued,
    CallReturned,
    CallTransferred,
    Fact,
    LinkLost,
    OfferAnswered,
    OfferEnded,
    OfferMade,
)
from facts.terms import OfferReason, Party
from metrics.callbacks import (
    LONGEST_ATTEMPT,
    NO_FIGURES,
    CallbackRecord,
    Compliance,
    Done,
    InboundFirst,
    Situation,
    TaskHistory,
    figures,
    fold_task,
    m20,
    m22,
    records,
)
from metrics.fold import CallHistory
from metrics.window import Metric
from tests.acd.world import World
from tests.metrics.histories import at

CITIZEN = "+8613800000001"


def added(task: int = 7, when: float = 0, before: float = 3600, **more: object) -> CallbackAdded:
    return CallbackAdded(
        at(when),
        task,
        CITIZEN,
        DEFAULT,
        at(when),
        at(before),
        **more,  # type: ignore[arg-type]
    )


def placed(when: float, task: int = 7, tries: int = 1, agent: str = "1001") -> CallbackPlaced:
    return CallbackPlaced(at(when), task, f"hotline-c{task}.{tries}", agent)


def told(
    kind: type, when: float, *more: object, task: int = 7, tries: int = 1, agent: str = "1001"
) -> Fact:
    fact: Fact = kind(at(when), task, f"hotline-c{task}.{tries}", agent, *more)
    return fact


def reached(task: int = 7, begin: float = 0) -> list[Fact]:
    return [
        added(task, begin),
        placed(begin, task),
        told(CallbackDialling, begin + 3, task=task),
        told(CallbackAnswered, begin + 10, task=task),
        told(CallbackEnded, begin + 70, "", Party.CALLER, task=task),
    ]


def busy(tries: int, begin: float, failure: str = "busy") -> list[Fact]:
    return [
        placed(begin, tries=tries),
        told(CallbackDialling, begin + 3, tries=tries),
        told(CallbackEnded, begin + 10, failure, tries=tries),
    ]


def record(facts: Iterable[Fact]) -> CallbackRecord:
    history = TaskHistory()
    for fact in facts:
        history.add(fact)
    found = history.record()
    assert found is not None
    return found


def of(*histories: Iterable[Fact]) -> list[CallbackRecord]:
    tasks: dict[int, TaskHistory] = {}
    for history in histories:
        for fact in history:
            fold_task(tasks, fact)
    return records(tasks)


# --- records


def test_a_task_that_reached_its_citizen() -> None:
    found = record(reached())
    assert (found.state, found.closed, found.tried, found.yields) == (
        State.REACHED,
        at(70),
        1,
        0,
    )
    [attempt] = found.attempts
    assert (attempt.agent, attempt.placed, attempt.answered) == ("1001", at(0), at(10))


def test_stages_of_a_task() -> None:
    facts = reached()
    assert [record(facts[:n]).state.value for n in range(1, 6)] == [
        "due",
        "dialling",
        "dialling",
        "talking",
        "reached",
    ]


def test_all_attempts_in_vain() -> None:
    facts = [added(), *busy(1, 0), *busy(2, 100, "no_answer"), CallbackUnreached(at(110), 7)]
    found = record(facts)
    assert (found.state, found.tried, found.closed) == (State.UNREACHED, 2, at(110))


def test_a_task_that_was_opened_again_is_open_until_it_is_closed_again() -> None:
    facts = [added(), *busy(1, 0), CallbackUnreached(at(10), 7)]
    facts += [told(CallbackRaced, 9.9), CallbackReopened(at(10.1), 7, "hotline-c7.1")]
    assert (record(facts).state, record(facts).closed) == (State.DUE, None)
    again = [placed(20, tries=2), told(CallbackAnswered, 25, tries=2)]
    talked = record([*facts, *again, told(CallbackEnded, 30, tries=2)])
    assert (talked.state, talked.closed) == (State.REACHED, at(30))
    in_vain = record([*facts, *busy(2, 20), CallbackUnreached(at(30), 7)])
    assert (in_vain.state, in_vain.closed) == (State.UNREACHED, at(30))


def test_what_is_no_attempt() -> None:
    yields = [
        placed(0),
        told(CallbackYielded, 5, "hotline-1.1"),
        told(CallbackRaced, 5.001),
        told(CallbackEnded, 5.002, "no_answer"),
    ]
    silent = [placed(20, tries=2), told(CallbackEnded, 35, "agent_no_answer", tries=2)]
    withdrawn = [placed(40, tries=3), told(CallbackEnded, 41, "withdrawn", tries=3)]
    found = record([added(), *yields, *silent, *withdrawn, CallbackMissed(at(3600), 7)])
    assert (found.state, found.tried, found.yields) == (State.MISSED, 0, 1)
    assert found.attempts[0].raced


def test_one_who_had_picked_up_was_reached_and_yielded_to_nobody() -> None:
    facts = [
        *(added(), placed(0)),
        told(CallbackYielded, 5, "hotline-1.1"),
        told(CallbackRaced, 5.001),
        told(CallbackSpared, 5.002),
        told(CallbackEnded, 20),
    ]
    assert record(facts[:5]).state is State.TALKING
    found = record(facts)
    assert (found.state, found.tried, found.yields) == (State.REACHED, 1, 0)
    assert not found.attempts[0].raced


def test_a_cancel_does_not_cut_a_talk() -> None:
    facts = reached()
    facts.insert(4, CallbackCancelled(at(20), 7, "by hand"))
    assert record(facts[:5]).state is State.TALKING
    assert record(facts).state is State.REACHED


def test_without_its_beginning_there_is_no_record() -> None:
    assert of(reached()[1:]) == []
    assert of([CallArrived(at(0), "c", "12345", CITIZEN)]) == []


MOMENT = st.integers(0, 30).map(at)
CALL = st.sampled_from(["hotline-c7.1", "hotline-c7.2", "hotline-c7.3"])
AGENT = st.sampled_from(["1001", "1002"])
SEVEN = st.just(7)
ABOUT_A_TASK: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        CallbackAdded, MOMENT, SEVEN, st.just(CITIZEN), st.just(DEFAULT), MOMENT, st.just(at(20))
    ),
    st.builds(CallbackMerged, MOMENT, SEVEN, st.just("hotline-1.1")),
    st.builds(CallbackPlaced, MOMENT, SEVEN, CALL, AGENT),
    st.builds(CallbackDialling, MOMENT, SEVEN, CALL, AGENT),
    st.builds(CallbackAnswered, MOMENT, SEVEN, CALL, AGENT),
    st.builds(
        CallbackEnded, MOMENT, SEVEN, CALL, AGENT, st.sampled_from(["", "busy", "withdrawn"])
    ),
    st.builds(CallbackYielded, MOMENT, SEVEN, CALL, AGENT, st.sampled_from(["a", "b"])),
    st.builds(CallbackRaced, MOMENT, SEVEN, CALL, AGENT),
    st.builds(CallbackSpared, MOMENT, SEVEN, CALL, AGENT),
    st.builds(CallbackCancelled, MOMENT, SEVEN, st.just("by hand")),
    st.builds(CallbackUnreached, MOMENT, SEVEN),
    st.builds(CallbackReopened, MOMENT, SEVEN, CALL),
    st.builds(CallbackMissed, MOMENT, SEVEN),
)
FACTS = st.lists(ABOUT_A_TASK, max_size=14)


@given(FACTS, st.randoms(use_true_random=False))
def test_the_order_in_which_facts_come_makes_no_difference(
    facts: list[Fact], chance: random.Random
) -> None:
    others = facts * 2
    chance.shuffle(others)
    assert of(others) == of(facts)


@given(FACTS)
def test_what_always_holds_of_a_record(facts: list[Fact]) -> None:
    for found in of(facts):
        goes_on = found.state in {State.DUE, State.DIALLING, State.TALKING}
        assert goes_on == (found.closed is None)
        assert found.state is not State.REACHED or found.tried
        assert found.tried <= len(found.attempts)
        assert [one.placed for one in found.attempts] == sorted(
            one.placed for one in found.attempts
        )
        for metric in m20([found], at(0) - 1, at(30)).values():
            assert 0 <= metric.numerator <= metric.denominator <= 1


# --- M20


def test_m20_is_of_what_was_settled_in_the_window() -> None:
    found = of(
        reached(1),
        [added(2), *[CallbackMissed(at(3600), 2)]],
        [added(3), CallbackCancelled(at(50), 3, "answered")],
        [added(4, before=7200)],
        reached(5, 4000),
    )
    assert m20(found, at(-1), at(3600)) == {"M20": Metric(1, 2), "M20_reached": Metric(1, 1)}
    assert m20(found, at(3600), at(7300)) == {"M20": Metric(1, 2), "M20_reached": Metric(1, 1)}
    assert m20(found, at(7300), at(9000)) == {"M20": Metric(0, 0), "M20_reached": Metric(0, 0)}


def test_m20_tells_followed_up_from_reached() -> None:
    vain: list[Fact] = [added(), *busy(1, 0), CallbackMissed(at(3600), 7)]
    yielded: list[Fact] = [
        added(8),
        placed(0, 8),
        told(CallbackYielded, 5, "a", task=8),
        CallbackMissed(at(3600), 8),
    ]
    assert m20(of(reached(1), vain, yielded), at(-1), at(3600)) == {
        "M20": Metric(2, 3),
        "M20_reached": Metric(1, 2),
    }


# --- M22


def waits(call: str, begin: float, end: float | None = None, number: str = "12345") -> list[Fact]:
    facts: list[Fact] = [
        CallArrived(at(begin - 8), call, number, CITIZEN),
        CallQueued(at(begin), call, DEFAULT),
    ]
    return facts if end is None else [*facts, CallEnded(at(end), call, Party.CALLER)]


def found(
    callbacks: list[CallbackRecord], *calls: Iterable[Fact], rules: Rules | None = None
) -> list[Situation]:
    inbound = InboundFirst(callbacks, rules or Rules(), at(7200))
    for call in calls:
        inbound.add(call)
    return inbound.situations()


def yielded(when: float, to: str, task: int = 7, agent: str = "1001") -> list[Fact]:
    return [
        added(task),
        placed(0, task, agent=agent),
        told(CallbackYielded, when, to, task=task, agent=agent),
    ]


def test_a_yield_is_a_situation() -> None:
    call = [*waits("a", 5), OfferMade(at(5.0002), "a", "1001")]
    situation = Situation(at(5.0002), "a", 7, "hotline-c7.1", "1001", Done.YIELDED)
    assert found(of(yielded(5.0002, "a")), call) == [situation]
    assert found(of(yielded(5.0002, "a"))) == [situation], "even if the call itself is not known"
    assert m22([situation]) == Metric(1, 1)


def test_a_race_is_a_yield() -> None:
    callbacks = of([*yielded(5, "a"), told(CallbackRaced, 5.01)])
    [situation] = found(callbacks, waits("a", 5))
    assert situation.done is Done.RACED
    assert m22([situation]) == Metric(1, 1)


def test_who_waited_beside_an_unanswered_callback_for_long() -> None:
    callbacks = of([added(), *busy(1, 0)])
    [situation] = found(callbacks, waits("a", 5, 60))
    assert situation == Situation(at(5), "a", 7, "hotline-c7.1", "1001", Done.NOT_YIELDED)
    assert m22([situation]) == Metric(0, 1)


def test_a_citizen_who_picked_up_before_anything_was_done() -> None:
    [situation] = found(of(reached()), waits("a", 5, 60))
    assert (situation.at, situation.done) == (at(5), Done.ANSWERED_FIRST)


def test_a_late_yield_is_one_situation() -> None:
    [situation] = found(of(yielded(9, "a")), [*waits("a", 5), OfferMade(at(9), "a", "1001")])
    assert (situation.at, situation.done) == (at(9), Done.YIELDED)


@pytest.mark.parametrize(
    "call",
    [
        waits("a", 10, 60),
        waits("a", -20, -1),
        [*waits("a", 5), OfferMade(at(5.01), "a", "1002"), OfferAnswered(at(9), "a", "1002")],
        [CallArrived(at(1), "a", "12345", ""), CallEnded(at(9), "a", Party.CALLER)],
    ],
    ids=["after its end", "before it", "an idle agent", "in the greeting"],
)
def test_where_the_condition_did_not_hold(call: list[Fact]) -> None:
    assert found(of([added(), *busy(1, 0)]), call) == []
    assert found(of(reached()), call) == []


def test_two_dialling_and_one_waiter_is_one_situation() -> None:
    other: list[Fact] = [
        added(8),
        placed(0, 8, agent="1002"),
        told(CallbackEnded, 30, "busy", task=8),
    ]
    callbacks = of(yielded(5, "a"), other)
    assert len(found(callbacks, [*waits("a", 5), OfferMade(at(5), "a", "1001")])) == 1
    assert len(found(of([added(), *busy(1, 0)], other), waits("a", 5, 60))) == 1


def test_one_dialling_and_two_waiters_is_one_situation() -> None:
    calls = [[*waits("a", 5), OfferMade(at(5), "a", "1001")], waits("b", 6, 60)]
    assert len(found(of(yielded(5, "a")), *calls)) == 1
    both = [waits("b", 6, 60), waits("a", 5, 60)]
    [situation] = found(of([added(), *busy(1, 0)]), *both)
    assert situation.inbound == "a"


def test_a_kept_place_does_not_yield() -> None:
    assert found(of([added(place=at(-10)), *busy(1, 0)]), waits("a", 5, 60)) == []


def test_a_caller_offered_in_vain_waits_again() -> None:
    call = [
        *waits("a", -20),
        OfferMade(at(-20), "a", "1002"),
        OfferMade(at(-20), "a", "1003"),
        OfferEnded(at(1), "a", "1002", OfferReason.NO_ANSWER),
        OfferEnded(at(4), "a", "1003", OfferReason.NO_ANSWER),
    ]
    [situation] = found(of([added(), *busy(1, 0)]), call)
    assert situation.at == at(4)


def test_a_caller_without_a_controller_waits_too() -> None:
    call = [*waits("a", -20), CallReturned(at(3), "a", DEFAULT, at(-20))]
    [situation] = found(of([added(), *busy(1, 0)]), call)
    assert situation.at == at(0)


def test_only_an_agent_who_may_take_the_call_could_have_yielded() -> None:
    queues = {DEFAULT: Queue(), "tax": Queue("tax", skills={"tax": 2})}
    rules = Rules(
        queues=queues,
        numbers={"8890": Number("8890", language="en")},
        members=(Member("1001", DEFAULT), Member("1001", "tax"), Member("1002", "tax")),
        skills={"1001": {"tax": 1}},
    )
    callbacks = of([added(), *busy(1, 0)])
    assert len(found(callbacks, waits("a", 5, 60), rules=rules)) == 1
    assert found(callbacks, waits("a", 5, 60, "8890"), rules=rules) == [], (
        "the agent speaks no English"
    )
    fluent = replace(rules, skills={"1001": {"tax": 1, "en": 1}})
    assert len(found(callbacks, waits("a", 5, 60, "8890"), rules=fluent)) == 1
    moved = [
        *waits("a", 0.05),
        CallMoved(at(0.06), "a", "tax"),
        CallEnded(at(60), "a", Party.CALLER),
    ]
    assert found(callbacks, moved, rules=rules) == [], "the agent knows too little of taxes"
    other = of([added(), placed(0, agent="1002"), told(CallbackEnded, 9, "busy", agent="1002")])
    assert found(other, waits("a", 5, 60), rules=rules) == [], "the agent does not serve that queue"


def test_an_assignment_that_lapses_asks_callbacks_of_the_callers_own_queue_to_yield() -> None:
    """A citizen who was handed on has no wait that counts, also when an assignment of theirs is over."""
    callbacks = of([added(), *busy(1, 0)])
    assigned = CallerAssigned(at(0.06), "a", "1002", at(4), "chief", "")
    over = CallEnded(at(60), "a", Party.CALLER)
    (one,) = found(callbacks, [*waits("a", 0.05), assigned, over])
    assert one.at == at(4)
    handed: list[Fact] = [
        OfferAnswered(at(0.055), "a", "1003"),
        CallTransferred(at(0.057), "a", "1003", "1999"),
    ]
    assert found(callbacks, [*waits("a", 0.05), *handed, assigned, over]) == []


def test_an_attempt_without_an_end_does_not_ring_for_ever() -> None:
    callbacks = of([added(), placed(0)])
    after = LONGEST_ATTEMPT / 1_000_000
    assert found(callbacks, waits("a", after + 1, after + 60)) == []
    assert len(found(callbacks, waits("a", after - 1, after + 60))) == 1


def test_situations_belong_to_the_window() -> None:
    callbacks = of(yielded(5, "a"))
    situations = found(callbacks)
    for since, until, count in ((4, 5, 1), (5, 9, 0), (0, 4.9, 0)):
        said = figures(callbacks, situations, at(since), at(until))
        assert len(said.inbound_first) == said.metrics["M22"].denominator == count


def test_what_was_missed_is_named() -> None:
    callbacks = of([added(4), CallbackMissed(at(3600), 4)], [added(5)], reached(6))
    said = figures(callbacks, [], at(0), at(3600))
    assert (said.missed, said.open, bool(said)) == ((4,), 1, True)
    later = figures(callbacks, [], at(3600), at(7200))
    assert (later.missed, bool(later)) == ((), True), "one goes on"
    assert not NO_FIGURES


def test_without_callbacks_no_call_is_looked_at() -> None:
    inbound = InboundFirst([], Rules(), at(10))
    assert not inbound.needs_calls
    inbound.add(waits("a", 5))
    assert inbound.situations() == []


# --- kept up to date


def both(
    callbacks: list[CallbackRecord], call: list[Fact], since: float, until: float
) -> tuple[Metric | None, Metric]:
    """M22 of (since, until] as it is kept up to date, and as it is found in the same facts."""
    compliance, history = Compliance(), CallHistory()
    compliance.rule(Rules())
    for record in callbacks:
        compliance.put_task(record)
    for fact in call:
        history.add(fact)
    compliance.put_call("a", call[0].at, history)
    return (
        compliance.m22(at(since), at(until)),
        figures(callbacks, found(callbacks, call), at(since), at(until)).metrics["M22"],
    )


OFFERED_IN_VAIN: list[Fact] = [
    *waits("a", 5),
    OfferMade(at(6), "a", "1003"),
    OfferEnded(at(20), "a", "1003", OfferReason.NO_ANSWER),
    CallEnded(at(60), "a", Party.CALLER),
]
"""This citizen waits twice: for a second, and for forty."""


def test_of_two_waits_beside_one_callback_the_first_one_is_the_situation() -> None:
    callbacks = of([added(), placed(0), told(CallbackEnded, 40, "busy")])
    assert both(callbacks, OFFERED_IN_VAIN, 4, 99) == (Metric(0, 1), Metric(0, 1))
    assert both(callbacks, OFFERED_IN_VAIN, 5, 99) == (Metric(0, 0), Metric(0, 0))


def test_after_a_yield_the_next_wait_may_be_a_situation_of_its_own() -> None:
    other: list[Fact] = [
        added(8),
        placed(10, 8, agent="1002"),
        told(CallbackEnded, 40, "busy", task=8),
    ]
    callbacks = of(yielded(6, "a", agent="1003"), other)
    assert both(callbacks, OFFERED_IN_VAIN, 4, 99) == (Metric(1, 2), Metric(1, 2))
    assert both(callbacks, OFFERED_IN_VAIN, 7, 99) == (Metric(0, 1), Metric(0, 1))


# --- the floor's own histories


class Diarist(World):
    """A world whose link does not break and whose controller is never late: then every situation is a yield."""

    facts: list[Fact]
    ticked_at = 0

    def tick(self) -> None:
        now = self.now
        while (due := self.floor.deadline()) is not None and self.ticked_at < due < now:
            self.ticked_at = self.now = due
            super().tick()
        self.ticked_at = self.now = now
        super().tick()

    def tell(self, fact: Fact) -> None:
        if isinstance(fact, LinkLost):
            self.linked = True
        else:
            super().tell(fact)

    def obey(self, commands: list[Command]) -> None:
        told = [command.fact for command in commands if isinstance(command, Record)]
        vars(self).setdefault("facts", []).extend(told)
        super().obey(commands)


@given(st.integers(min_value=0))
@settings(max_examples=60)
def test_the_floor_complies_in_every_history(seed: int) -> None:
    world = Diarist(seed)
    world.run(steps=150)
    tasks: dict[int, TaskHistory] = {}
    calls: dict[str, list[Fact]] = {}
    for fact in world.facts:
        fold_task(tasks, fact)
        if fact.kind in InboundFirst.KINDS:
            calls.setdefault(fact.call, []).append(fact)  # type: ignore[union-attr]
    callbacks = records(tasks)
    inbound = InboundFirst(callbacks, world.rules, world.now)
    for call in calls.values():
        inbound.add(call)
    situations = inbound.situations()
    assert [one for one in situations if one.done in {Done.NOT_YIELDED, Done.ANSWERED_FIRST}] == []
    assert len(situations) == sum(isinstance(fact, CallbackYielded) for fact in world.facts)
    for record in callbacks:
        open_task = world.floor.tasks.get(record.id)
        assert (record.closed is None) == (open_task is not None)
        if open_task is not None:
            assert (record.state, record.yields) == (open_task.state, open_task.yields)


def test_an_answer_that_crossed_our_cancel_reaches_nobody() -> None:
    tasks: dict[int, TaskHistory] = {}
    for fact in (
        added(),
        placed(0, 7),
        told(CallbackDialling, 1),
        told(CallbackAnswered, 2),
        told(CallbackEnded, 2.003, "withdrawn"),
        told(CallbackRaced, 2),
    ):
        fold_task(tasks, fact)
    (record,) = records(tasks)
    assert record.state is State.DUE
    assert [(one.answered, one.failure, one.raced) for one in record.attempts] == [
        (None, "withdrawn", True)
    ]
