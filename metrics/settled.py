"""The ids of calls whose facts are gone, for two days: a late or repeated fact of one must not begin it again. Pure.

Nothing else that the live figures keep grows with the number of calls. So an id takes eight bytes here, where a string
in a dictionary would take two hundred: its hash, in a sorted array for each few hours. That two of a million ids share
a hash has a chance of one in forty million, and then one late call is missing on the screens, until a restart.
"""

from array import array
from bisect import bisect_left
from typing import Final

from facts.terms import CallId
from facts.times import HOUR

SPAN: Final = 4 * HOUR
"""Microseconds of one array: short enough that an entry in its middle moves little, and few enough to search them."""


class Settled:
    """Ids by the moment (microseconds) of their last fact. Add them about in the order of these moments."""

    def __init__(self) -> None:
        self._spans: dict[int, array[int]] = {}

    def add(self, call: CallId, at: int) -> None:
        """Remember this call."""
        known = self._spans.setdefault(at // SPAN, array("q"))
        mark = hash(call)
        known.insert(bisect_left(known, mark), mark)

    def __contains__(self, call: CallId) -> bool:
        mark = hash(call)
        for known in self._spans.values():
            place = bisect_left(known, mark)
            if place < len(known) and known[place] == mark:
                return True
        return False

    def __len__(self) -> int:
        return sum(map(len, self._spans.values()))

    def forget(self, before: int) -> None:
        """Drop the calls whose last fact is older, once all of their span are."""
        for span in [span for span in self._spans if (span + 1) * SPAN <= before]:
            del self._spans[span]
