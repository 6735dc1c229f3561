"""Stretches of time, against the same arithmetic with sets of single moments."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from recorder.intervals import Interval, common, length, longest, merged, without

ANY = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def moments(given: Iterable[Interval]) -> set[int]:
    return {at for begin, end in given for at in range(begin, end)}


def is_tidy(given: list[Interval]) -> bool:
    """In order, none empty, none touching the next."""
    ends = [end for _, end in given]
    begins = [begin for begin, _ in given]
    return all(begin < end for begin, end in given) and all(
        end < begin for end, begin in zip(ends, begins[1:], strict=False)
    )


@given(ANY)
def test_merged_is_the_same_time_and_tidy(some: list[Interval]) -> None:
    found = merged(some)
    assert moments(found) == moments(some)
    assert is_tidy(found)
    assert length(found) == len(moments(some))


@given(ANY, ANY)
def test_common_and_without_are_intersection_and_difference(
    one: list[Interval], other: list[Interval]
) -> None:
    first, second = merged(one), merged(other)
    assert moments(common(first, second)) == moments(one) & moments(other)
    assert moments(without(first, second)) == moments(one) - moments(other)
    assert length(common(first, second)) + length(without(first, second)) == length(first)
    assert is_tidy(common(first, second))
    assert is_tidy(without(first, second))


@given(ANY)
def test_the_longest_is_the_first_of_the_longest(some: list[Interval]) -> None:
    found = merged(some)
    best = longest(found)
    if best is None:
        assert found == []
    else:
        lengths = [end - begin for begin, end in found]
        assert best == found[lengths.index(max(lengths))]
