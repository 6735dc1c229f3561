"""Records of calls → tallies → metrics by their ID; rolling 24 hours; days in China. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from acd.model import SECOND, Outcome, Party
from metrics.fold import CallRecord

MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE

SMALLEST_SAMPLE = 20
"""Under so many calls a share is shown, but no verdict is given (M1r)."""

CONNECTED = frozenset({Outcome.HUMAN, Outcome.HUMAN_OVERFLOW})
"""What M1 counts as 接通: a person answered."""

LEFT_OUT = frozenset({Outcome.TEST, Outcome.BLOCKED})
"""What M1 does not count as a call at all."""

SHARES = ("1", "2", "3", ">=4")
"""The names of M4's shares."""


def _china() -> tzinfo:
    try:
        return ZoneInfo("Asia/Shanghai")
    except ZoneInfoNotFoundError:
        # A system without time zone data. China has had one offset since 1991.
        return timezone(timedelta(hours=8), "Asia/Shanghai")


CHINA = _china()
"""Days and hours are shown in this zone."""


def local(at: int) -> datetime:
    """Microseconds UTC as a moment in China, exact to the microsecond."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(CHINA)


def microseconds(moment: datetime) -> int:
    """A moment with its offset as microseconds UTC."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def midnight(at: int) -> int:
    """When the day in China that contains `at` began (microseconds)."""
    return microseconds(local(at).replace(hour=0, minute=0, second=0, microsecond=0))


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure with what it was made from. `shares`: M4 only, how many calls were answered in ring 1, 2, 3, later."""

    numerator: float
    denominator: int
    shares: tuple[int, int, int, int] | None = None

    @property
    def value(self) -> float | None:
        """The ratio, or None when there is nothing to divide by."""
        return self.numerator / self.denominator if self.denominator else None

    def as_json(self) -> dict[str, object]:
        """`numerator`, `denominator`, `value`; M4 also `shares`, as ratios by `SHARES`."""
        found: dict[str, object] = {
            "numerator": self.numerator,
            "denominator": self.denominator,
            "value": self.value,
        }
        if self.shares is not None:
            found["shares"] = {
                name: share / self.denominator if self.denominator else None
                for name, share in zip(SHARES, self.shares, strict=True)
            }
        return found


class Tally:
    """Counts over calls, from which every metric follows. Adding with sign -1 takes a call out again."""

    __slots__ = (
        "_arrived_sum",
        "_caller_first",
        "_late_rings",
        "_queued_answers",
        "_queued_sum",
        "_rings",
        "_within_15",
        "_within_20",
        "estimated",
        "outcomes",
        "pending",
        "reached_queue",
        "returned",
    )

    def __init__(self, records: Iterable[CallRecord] = ()) -> None:
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self.pending = 0
        self.reached_queue = 0
        self.returned = 0
        self.estimated = 0
        self._within_15 = 0
        self._within_20 = 0
        self._queued_answers = 0
        self._queued_sum = 0
        self._arrived_sum = 0
        self._caller_first = 0
        self._rings = [0, 0, 0, 0]
        for record in records:
            self.add(record)

    def add(self, record: CallRecord, sign: int = 1) -> None:
        """Count one call in, or with sign -1 out. A call that has not ended is pending and nothing else."""
        outcome = record.outcome
        if outcome is None:
            self.pending += sign
            return
        self.outcomes[outcome] += sign
        if outcome is Outcome.TEST:
            return
        if record.returned:
            self.returned += sign
        if record.reached_queue:
            self.reached_queue += sign
        if outcome not in CONNECTED or record.answered is None:
            return
        self._arrived_sum += sign * (record.answered - record.arrived)
        if record.queued is not None:
            wait = record.answered - record.queued
            self._queued_answers += sign
            self._queued_sum += sign * wait
            if wait <= 15 * SECOND:
                self._within_15 += sign
            if wait <= 20 * SECOND:
                self._within_20 += sign
        if record.ring is not None:
            self._rings[min(record.ring, 4) - 1] += sign
            if record.estimated:
                self.estimated += sign
        if record.hung_up_by is Party.CALLER:
            self._caller_first += sign

    @property
    def ended(self) -> int:
        """All calls with an outcome."""
        return sum(self.outcomes.values())

    @property
    def connected(self) -> int:
        """Calls that a person answered: the numerator of M1 and M2."""
        return sum(self.outcomes[outcome] for outcome in CONNECTED)

    @property
    def counted(self) -> int:
        """Calls that M1 counts: all that ended but tests and blocked ones."""
        return self.ended - sum(self.outcomes[outcome] for outcome in LEFT_OUT)

    def metrics(self) -> dict[str, Metric]:
        """Every metric by its ID. M7 in seconds.

        M5, M5_20: answered within 15 and 20 s, of all who reached the queue. M7 counts from the queue, M7_arrived
        from the arrival. M8_greeting: those who left in the greeting, of the calls that M1 counts.
        """
        answered = self.connected
        abandoned = (
            self.outcomes[Outcome.ABANDONED_QUEUE] + self.outcomes[Outcome.ABANDONED_RINGING]
        )
        one, two, three, later = self._rings
        return {
            "M1": Metric(answered, self.counted),
            "M2": Metric(answered, self.reached_queue),
            "M4": Metric(one + two + three, sum(self._rings), (one, two, three, later)),
            "M5": Metric(self._within_15, self.reached_queue),
            "M5_20": Metric(self._within_20, self.reached_queue),
            "M5a": Metric(self._within_15, answered),
            "M7": Metric(self._queued_sum / SECOND, self._queued_answers),
            "M7_arrived": Metric(self._arrived_sum / SECOND, answered),
            "M8": Metric(abandoned, self.reached_queue),
            "M8_greeting": Metric(self.outcomes[Outcome.ABANDONED_GREETING], self.counted),
            "M21": Metric(self._caller_first, answered),
        }


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest M1r of a stretch of time, and the minute (microseconds) at which it stood."""

    at: int
    metric: Metric


class Rolling:
    """M1 over (T-24 h, T] for every whole minute T; memory: two numbers a minute.

    Minutes are counted from `origin` (microseconds), so that a report at any second can have T = its own time.
    """

    def __init__(self, origin: int = 0) -> None:
        self._origin = origin
        self._minutes: dict[int, list[int]] = {}

    def add(self, record: CallRecord, sign: int = 1) -> None:
        """Count one call in, or with sign -1 out. Pending calls, tests and blocked ones do not count."""
        if record.outcome is None or record.outcome in LEFT_OUT:
            return
        counts = self._minutes.setdefault(self._minute(record.arrived), [0, 0])
        counts[0] += sign * (record.outcome in CONNECTED)
        counts[1] += sign

    def metric(self, at: int) -> Metric:
        """M1r at the first whole minute that is not before `at`."""
        minute = self._minute(at)
        return _sum(self._minutes, minute - _MINUTES_A_DAY, minute)

    def lowest(self, after: int, until: int) -> Lowest | None:
        """The lowest M1r of the minutes T with `after` < T ≤ `until`; None when no sample was large enough."""
        last = (until - self._origin) // MINUTE
        first = (after - self._origin) // MINUTE + 1
        window = _sum(self._minutes, first - 1 - _MINUTES_A_DAY, first - 1)
        connected, counted = int(window.numerator), window.denominator
        found: tuple[int, int, int] | None = None
        for minute in range(first, last + 1):
            came = self._minutes.get(minute, _NONE)
            went = self._minutes.get(minute - _MINUTES_A_DAY, _NONE)
            connected += came[0] - went[0]
            counted += came[1] - went[1]
            if counted < SMALLEST_SAMPLE:
                continue
            if found is None or connected * found[2] < found[1] * counted:
                found = (minute, connected, counted)
        if found is None:
            return None
        return Lowest(self._origin + found[0] * MINUTE, Metric(found[1], found[2]))

    def forget(self, before: int) -> None:
        """Drop the minutes that ended before `before`."""
        limit = self._minute(before)
        for minute in [minute for minute in self._minutes if minute < limit]:
            del self._minutes[minute]

    def _minute(self, at: int) -> int:
        """Which minute `at` belongs to: the one that ends at or after it."""
        return -((self._origin - at) // MINUTE)


_MINUTES_A_DAY = DAY // MINUTE
_NONE = (0, 0)


def _sum(minutes: Mapping[int, list[int]], after: int, until: int) -> Metric:
    wanted = [counts for minute, counts in minutes.items() if after < minute <= until]
    return Metric(sum(counts[0] for counts in wanted), sum(counts[1] for counts in wanted))
