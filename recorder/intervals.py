"""Arithmetic of stretches of time: what two have in common, what is left of one without another. Pure.

A stretch is (begin, end) in microseconds, with begin < end. Lists are in order, and their stretches neither overlap nor
touch: that is what `merged` makes of any.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Interval: TypeAlias = tuple[int, int]
Intervals: TypeAlias = Sequence[Interval]


def merged(given: Iterable[Interval]) -> list[Interval]:
    """Any stretches in order, those that overlap or touch as one. Empty ones are left out."""
    found: list[Interval] = []
    for begin, end in sorted(given):
        if begin >= end:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def common(one: Intervals, other: Intervals) -> list[Interval]:
    """What lies in both."""
    found = []
    first = second = 0
    while first < len(one) and second < len(other):
        begin = max(one[first][0], other[second][0])
        end = min(one[first][1], other[second][1])
        if begin < end:
            found.append((begin, end))
        if one[first][1] < other[second][1]:
            first += 1
        else:
            second += 1
    return found


def without(one: Intervals, other: Intervals) -> list[Interval]:
    """What lies in `one` and not in `other`."""
    found = []
    second = 0
    for begin, end in one:
        while second < len(other) and other[second][1] <= begin:
            second += 1
        at = second
        while at < len(other) and other[at][0] < end:
            if begin < other[at][0]:
                found.append((begin, other[at][0]))
            begin = max(begin, other[at][1])
            at += 1
        if begin < end:
            found.append((begin, end))
    return found


def length(given: Iterable[Interval]) -> int:
    """How long they last together."""
    return sum(end - begin for begin, end in given)


def longest(given: Iterable[Interval]) -> Interval | None:
    """The longest one, the first of several; None if there is none."""
    return max(given, key=lambda one: (one[1] - one[0], -one[0]), default=None)
