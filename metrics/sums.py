"""Figures of any stretch of time, as sums of smaller ones: slots of five minutes, hours, days in China. Pure.

A stretch is (begin, end], so a call at the very end of one counts in it. What is written down (`metrics.rollup`) and
what is folded from facts go into the same `Sums`, and give the same result.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from facts.terms import CallId
from facts.times import DAY, MINUTE, day_of, local, midnight
from metrics.callbacks import Wait
from metrics.fold import CallRecord, Item
from metrics.window import CONNECTED, LEFT_OUT, Tally, shares_of, shares_of_agents

SLOT, HOUR = 5 * MINUTE, 60 * MINUTE
SLOTS, HOURS, DAYS = 5, 60, 1440
"""The levels of roll-ups, by their minutes."""
ATTENDANCE = 1441
"""The level of days of attendance. One row without an agent says which day was written down last."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What counts are about: a queue and a number. `agent`: of this agent alone; empty: of all calls."""

    queue: str
    number: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Only:
    """Which calls a report is about (R11, R12): those to one number, of one queue, of one agent; empty is any.

    A call belongs to the queue in which it waited first. If it ended before, it belongs to the queue of its number.
    """

    number: str = ""
    queue: str = ""
    agent: str = ""

    def takes(self, key: Key) -> bool:
        """Whether these counts are asked for; `agent` does not matter here."""
        if self.number and key.number != self.number:
            return False
        return not self.queue or key.queue == self.queue


ALL = Only()
"""Every call."""


def begin_of(level: int, at: int) -> int:
    """When the slot, hour or day began that `at` counts in."""
    if level == DAYS:
        return day_of(at)
    length = level * MINUTE
    return (at - 1) // length * length


def end_of(level: int, begin: int) -> int:
    """When the slot, hour or day ends that began at `begin`."""
    # Noon of the next day is in it, however long this day is.
    return midnight(begin + DAY + DAY // 2) if level == DAYS else begin + level * MINUTE


def month_of(at: int) -> int:
    """When the month in China began that `at` counts in."""
    day = day_of(at)
    # Noon of the first day: a day need not have 24 hours.
    return midnight(day + DAY // 2 - (local(day).day - 1) * DAY)


def end_of_month(begin: int) -> int:
    """When the month ends that began at `begin`."""
    return month_of(begin + 32 * DAY)


@dataclass(slots=True)
class Sums:
    """Tallies by `Key`. `queue_of`: number → queue, for calls that never waited.

    `waits`: when callers waited with no phone ringing for them. With callbacks at that time they may be situations of
    R7 (`metrics.callbacks`). `traits`: what its calls are searched by.
    """

    queue_of: Callable[[str], str]
    tallies: dict[Key, Tally] = field(default_factory=dict)
    waits: list[Wait] = field(default_factory=list)
    traits: list[tuple[CallId, int, str]] = field(default_factory=list)

    def add(self, item: Item) -> None:
        """Count a call, or an attempt of a callback, for its queue and number, and for its agents."""
        if isinstance(item, CallRecord) and not item.origin:
            key = Key(item.queue or self.queue_of(item.number), item.number)
            self.of(key).count(minute_counts(item))
        else:
            key = Key("", "")
        self.of(key).count(shares_of(item))
        for agent, shares in shares_of_agents(item).items():
            self.of(Key(key.queue, key.number, agent)).count(shares)

    def of(self, key: Key) -> Tally:
        """The tally of this key."""
        tally = self.tallies.get(key)
        if tally is None:
            tally = self.tallies[key] = Tally()
        return tally

    def merge(self, other: "Sums", sign: int = 1, *, upwards: bool = False) -> None:
        """Add what another one counted; `upwards`, without what only slots count."""
        for key, tally in other.tallies.items():
            counts = tally.counts.items()
            mine = self.of(key)
            mine.count((one for one in counts if not (upwards and one[0] in MINUTES)), sign)
            if not mine.counts:
                del self.tallies[key]


MINUTES = frozenset(f"{letter}{minute}" for letter in "ac" for minute in range(5))
"""Of a slot's minutes, how many calls M1 counts (`a0` to `a4`), and how many of them were connected (`c0` to `c4`)."""


def minutes_of(tally: Tally) -> tuple[list[int], list[int]]:
    """The minutes of a slot: how many calls were connected in each, and how many M1 counts."""
    connected, counted = (
        [tally.counts.get(f"{letter}{minute}", 0) for minute in range(SLOT // MINUTE)]
        for letter in "ca"
    )
    return connected, counted


def minute_counts(record: CallRecord) -> list[tuple[str, int]]:
    """What a call adds to the counts of its minute, for M1r."""
    if record.outcome is None or record.outcome in LEFT_OUT:
        return []
    minute = (record.arrived - 1) % SLOT // MINUTE
    found = [(f"a{minute}", 1)]
    if record.outcome in CONNECTED:
        found.append((f"c{minute}", 1))
    return found


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch that can be read from the roll-ups of one level, or (level 0) must be folded from facts."""

    level: int
    begin: int
    end: int


def spans(
    since: int, until: int, dirty: Collection[int], *, coarsest: int, finest_from: int = 0
) -> list[Span]:
    """Cut (since, until] into spans, the longest possible.

    `dirty`: beginnings of slots whose roll-ups are not up to date. `coarsest`: the highest level that may be used.
    Slots that begin before `finest_from` are not written down.
    """
    dirty_hours = {begin_of(HOURS, slot + 1) for slot in dirty}
    dirty_days = {day_of(slot + 1) for slot in dirty}
    found: list[Span] = []

    def put(level: int, begin: int, end: int) -> None:
        if found and found[-1].level == level and found[-1].end == begin:
            found[-1] = Span(level, found[-1].begin, end)
        elif begin < end:
            found.append(Span(level, begin, end))

    at = since
    while at < until:
        slot = begin_of(SLOTS, at + 1)
        if slot != at or slot + SLOT > until:
            end = min(until, slot + SLOT)
            put(0, at, end)
        elif (
            coarsest >= DAYS
            and day_of(at + 1) == at
            and at not in dirty_days
            and end_of(DAYS, at) <= until
        ):
            end = end_of(DAYS, at)
            put(DAYS, at, end)
        elif coarsest >= HOURS and at % HOUR == 0 and at not in dirty_hours and at + HOUR <= until:
            end = at + HOUR
            put(HOURS, at, end)
        else:
            end = at + SLOT
            put(0 if at in dirty or at < finest_from else SLOTS, at, end)
        at = end
    return found


def pieces(begin: int, end: int, length: int = HOUR) -> Iterator[tuple[int, int]]:
    """Cut (begin, end] where whole multiples of `length` lie in it, so that each piece fits into memory."""
    while begin < end:
        cut = min(end, (begin // length + 1) * length)
        yield begin, cut
        begin = cut
