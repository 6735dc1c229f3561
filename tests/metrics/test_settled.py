"""The ids of calls whose facts are gone."""

import tracemalloc

from facts.times import DAY, SECOND
from metrics.settled import SPAN, Settled


def test_it_knows_what_was_added_and_nothing_else() -> None:
    settled = Settled()
    for number in range(1000):
        settled.add(f"n-1.{number}", number * 60 * SECOND)
    assert len(settled) == 1000
    assert all(f"n-1.{number}" in settled for number in range(1000))
    assert not any(f"n-2.{number}" in settled for number in range(1000))


def test_a_span_goes_when_all_of_it_is_too_old() -> None:
    settled = Settled()
    settled.add("first", 0)
    settled.add("last", SPAN - 1)
    settled.add("next", SPAN)
    settled.forget(SPAN - 1)
    assert "first" in settled
    settled.forget(SPAN)
    assert ("first" in settled, "last" in settled, "next" in settled) == (False, False, True)


def test_a_call_takes_a_dozen_bytes() -> None:
    settled = Settled()
    tracemalloc.start()
    try:
        for number in range(20_000):
            settled.add(f"hotline-1763700000.{number}", number * (DAY // 20_000))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 20_000 * 12
