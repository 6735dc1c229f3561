"""The live figures say the same as the diary folded from scratch."""

import json
import random
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acd.events import AgentReady, CallArrived, Fact, RecordingFinished
from acd.model import Party
from metrics import live
from metrics.fold import record_of
from metrics.live import Live
from metrics.window import DAY, MINUTE, Tally, local
from tests.metrics.histories import (
    T,
    answered,
    at,
    ended,
    in_greeting,
    in_queue,
    while_ringing,
)


def fed(*facts: Fact) -> Live:
    made = Live()
    for fact in facts:
        made.feed(fact)
    return made


def test_callers_by_stage() -> None:
    whole = [answered(f"t{n}") for n in range(1, 8)]
    figures = fed(*[fact for n, facts in enumerate(whole, 1) for fact in facts[:n]])
    shown = figures.snapshot(at(20))
    # arrived · queued, offered · ringing · talking · talk over but the caller's channel not gone · ended
    assert shown["stages"] == {"greeting": 1, "waiting": 2, "ringing": 1, "talking": 1}
    assert (shown["waiting_since"], shown["longest_wait"]) == (at(8), 12.0)
    assert shown["today"]["pending"] == 6
    assert shown["today"]["outcomes"]["human"] == 1
    assert shown["today"]["date"] == "2025-11-21"
    json.dumps(shown, allow_nan=False)


def test_nobody_waits() -> None:
    shown = Live().snapshot(T)
    assert (shown["waiting_since"], shown["longest_wait"]) == (None, None)
    assert shown["figures"]["M1"] == {"numerator": 0, "denominator": 0, "value": None}
    assert shown["figures"]["M1r"]["lowest"] is None
    assert not shown["figures"]["M1r"]["enough"]


CALLS = st.lists(
    st.tuples(
        st.sampled_from([answered, in_greeting, in_queue, while_ringing]),
        st.integers(-2 * 86_400, 43_000),
        st.integers(1, 7),
    ),
    max_size=25,
)


@given(CALLS, st.randoms(use_true_random=False))
def test_in_any_order_and_twice_the_same_as_from_scratch(
    calls: list[tuple[Any, int, int]], chance: random.Random
) -> None:
    histories = [make(f"c{n}", begin)[:known] for n, (make, begin, known) in enumerate(calls)]
    facts = [fact for history in histories for fact in history] * 2
    chance.shuffle(facts)
    figures = fed(*facts)
    now = at(43_100)  # two minutes before midnight
    shown = figures.snapshot(now)
    records = [record for history in histories if (record := record_of(history))]
    today = Tally(record for record in records if local(record.arrived).day == 21)
    rolling = Tally(
        record for record in records if now // MINUTE * MINUTE - DAY + MINUTE < record.arrived
    )
    for name, metric in today.metrics().items():
        assert shown["figures"][name] == metric.as_json(), name
    m1 = rolling.metrics()["M1"]
    m1r = shown["figures"]["M1r"]
    assert (m1r["numerator"], m1r["denominator"]) == (m1.numerator, m1.denominator)


def test_a_late_fact_changes_what_was_counted() -> None:
    facts = answered("c")
    figures = fed(facts[0], facts[-1])
    assert figures.snapshot(at(100))["today"]["outcomes"]["abandoned_greeting"] == 1
    for fact in facts[1:-1]:
        figures.feed(fact)
    outcomes = figures.snapshot(at(100))["today"]["outcomes"]
    assert (outcomes["human"], outcomes["abandoned_greeting"]) == (1, 0)


def test_the_lowest_of_the_day() -> None:
    figures = Live()
    for n in range(40):
        for fact in (in_queue if n < 20 else answered)(f"c{n}", n):
            figures.feed(fact)
    m1r = figures.snapshot(at(120))["figures"]["M1r"]
    assert (m1r["value"], m1r["enough"]) == (0.5, True)
    assert m1r["lowest"] == {
        "at": at(60),
        "numerator": 20,
        "denominator": 40,
        "value": 0.5,
    }
    for n in range(40, 60):
        for fact in answered(f"c{n}", 200 + n):
            figures.feed(fact)
    m1r = figures.snapshot(at(600))["figures"]["M1r"]
    assert (m1r["value"], m1r["lowest"]["value"]) == (40 / 60, 0.5)


def test_yesterday_is_not_today() -> None:
    figures = fed(*answered("old", -13 * 3600), *answered("new"))
    shown = figures.snapshot(at(100))
    assert shown["figures"]["M1"]["denominator"] == 1
    assert shown["figures"]["M1r"]["denominator"] == 2
    assert figures.snapshot(at(12 * 3600))["figures"]["M1"]["denominator"] == 0


def test_what_was_counted_long_ago_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_REMEMBERED", 3)
    figures = Live()
    for _ in range(2):
        for n in range(10):
            for fact in answered(f"c{n}", n):
                figures.feed(fact)
    figures.feed(CallArrived(at(3), "c3", "12345", ""))
    shown = figures.snapshot(at(100))
    assert shown["figures"]["M1"]["denominator"] == 10
    figures.feed(ended(90, "c3", Party.CALLER))
    assert figures.snapshot(at(100))["figures"]["M1"]["denominator"] == 10


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_REMEMBERED", 50)
    figures = Live()
    for n in range(4000):
        begin = n * 300  # two weeks
        for fact in answered(f"c{n}", begin):
            figures.feed(fact)
        figures.feed(RecordingFinished(at(begin + 100), f"c{n}", 1, ""))
        figures.feed(CallArrived(at(begin), f"never ends {n}", "12345", ""))
        figures.feed(ended(begin, f"never arrived {n}"))
        figures.feed(AgentReady(at(begin), "1001"))
        if n % 100 == 0:
            figures.snapshot(at(begin))
    figures.snapshot(at(4000 * 300))
    two_days = 2 * 86_400 // 300
    assert len(figures._open) <= two_days
    assert len(figures._ended) == len(figures._counted) == len(figures._order) == 50
    assert len(figures._settled) <= two_days + 50
    assert len(figures._days) <= 3
    assert sys.getsizeof(figures._rolling._minutes) < 2**20
    assert len(figures._rolling._minutes) <= two_days + 2


def test_a_fact_costs_microseconds() -> None:
    """Far above the measured 5-7 µs: only a change of order shall fail here."""
    import time

    facts = [fact for n in range(2000) for fact in answered(f"c{n}", n)]
    figures = Live()
    began = time.process_time()
    for fact in facts:
        figures.feed(fact)
    assert (time.process_time() - began) / len(facts) < 100e-6
