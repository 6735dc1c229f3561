"""Whether offers may be made at all: the link to Asterisk, and callers who must come back after a restart. Pure."""

from collections.abc import Iterable

from acd.floor.calls import transferred_early
from acd.floor.hall import EXPECT, Hall
from acd.floor.lanes import all_changed
from facts import LinkLost, LinkRestored
from facts.terms import CallId


def offers_allowed(hall: Hall, now: int) -> bool:
    """Whether callers may be offered and callbacks placed at this moment."""
    if not hall.linked or hall.stopping or hall.listening:
        return False
    return not hall.expected or now >= hall.expect_until


def link_lost(hall: Hall, fact: LinkLost, now: int) -> None:
    """Asterisk cannot be reached: no offers."""
    if hall.linked:
        hall.linked = False
        hall.record(fact)


def link_restored(hall: Hall, fact: LinkRestored, now: int) -> None:
    """Asterisk can be reached again, and all that was missed has been told. Every lane is looked at."""
    if not hall.linked:
        for call in list(hall.early):
            transferred_early(hall, call, now)
        hall.linked = True
        all_changed(hall)
        hall.record(fact)


def expect(hall: Hall, calls: Iterable[CallId], until: int) -> None:
    """Make no offer before these callers have come back to their places, or before `until`."""
    here = {call for call, caller in hall.callers.items() if caller.attached}
    hall.expected = set(calls) - here
    if hall.expected:
        hall.expect_until = until
        hall.wake_at(until, EXPECT, "")


def expect_due(hall: Hall, name: str, due: int, now: int) -> None:
    """Offers no longer wait for the callers who have not come back by now."""
    hall.expected.clear()
    all_changed(hall)
