"""Records of calls → tallies → metrics by their ID; rolling 24 hours. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter, sub

from facts.live import Figure, Share
from facts.terms import Grade, OfferReason, Outcome, Party
from facts.times import DAY, MINUTE, SECOND
from metrics.fold import AttemptRecord, CallRecord, Item
from recorder.policy import TOLERANCE

SMALLEST_SAMPLE = 20
"""Under so many calls a share is shown, but no verdict is given (M1r)."""

CONNECTED = frozenset({Outcome.HUMAN, Outcome.HUMAN_OVERFLOW})
"""What M1 counts as 接通: a person answered."""

LEFT_OUT = frozenset({Outcome.TEST, Outcome.BLOCKED})
"""What M1 does not count as a call at all."""

SHORT_ABANDON = 5
"""Seconds: M3 leaves out callers who gave up sooner. A setting can change it."""

SHARES = ("1", "2", "3", ">=4")
"""The names of M4's shares."""


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

    def share(self) -> Share:
        """`numerator`, `denominator`, `value`."""
        return {
            "numerator": self.numerator,
            "denominator": self.denominator,
            "value": self.value,
        }

    def as_json(self) -> Figure:
        """`numerator`, `denominator`, `value`; M4 also `shares`, as ratios by `SHARES`."""
        found: Figure = {
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
    """Counts over calls, from which every metric follows; `counts` has only those that are not 0.

    Adding with sign -1 takes a call out again. Two tallies of different calls are added up with `merge`, so a roll-up
    is a tally written down. Times in microseconds. The names: an outcome's own · `pending` · `returned` · `estimated`
    · `queued`: reached the queue · `within_15`, `within_20`: answered so soon after queueing · `total_15`, `total_20`:
    after arriving · `waits`, `wait`: answers with a known wait, and its sum · `arrival_wait` · `ring_1` … `ring_4` (or
    later) · `caller_first`: the citizen hung up first · `handed`: else, the agent handed them to the survey · `left`:
    else, the agent hung up, `unexplained` without a reason · `harassing`: marked so · `scripted`: of these, ended by
    the hotline's script after a talk · `invited`: to rate the talk · the grades · `cut`: the system ended the last
    talk · `talk`, `hold` (a part of it), `wrap_up` · `outbound`: work on callbacks · `recorded`: the recording is as
    long as the talk · `left_N`: gave up in the Nth second (0 to 59) ·
    `wait_N`: answered in the Nth of `WAITS`.
    """

    __slots__ = ("counts",)

    def __init__(
        self, records: Iterable[Item] = (), counts: Mapping[str, int] | None = None
    ) -> None:
        self.counts: dict[str, int] = dict(counts or {})
        for record in records:
            self.add(record)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]

    def add(self, record: Item, sign: int = 1) -> None:
        """Count one call in, or with sign -1 out. A call that has not ended is pending and nothing else."""
        self.count(shares_of(record), sign)

    def count(self, shares: Iterable[tuple[str, int]], sign: int = 1) -> None:
        """Add to each name its number, or with sign -1 take it away."""
        counts = self.counts
        for name, number in shares:
            left = counts.get(name, 0) + sign * number
            if left:
                counts[name] = left
            else:
                counts.pop(name, None)

    def merge(self, other: "Tally", sign: int = 1) -> None:
        """Add what another tally counted, or with sign -1 take it away."""
        if not self.counts and sign > 0:
            self.counts = dict(other.counts)
        else:
            self.count(other.counts.items(), sign)

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """How many calls ended in each outcome, all outcomes named."""
        return {outcome: self.counts.get(name, 0) for outcome, name in _NAMES.items()}

    @property
    def pending(self) -> int:
        """Calls that have not ended."""
        return self.counts.get("pending", 0)

    @property
    def harassing(self) -> int:
        """Calls that an agent marked as harassing (R18)."""
        return self.counts.get("harassing", 0)

    @property
    def returned(self) -> int:
        """Calls that lost the controller while they waited."""
        return self.counts.get("returned", 0)

    @property
    def estimated(self) -> int:
        """Answers whose ring rests on the time of our INVITE."""
        return self.counts.get("estimated", 0)

    @property
    def ended(self) -> int:
        """All calls with an outcome."""
        return self._of(_NAMES.values())

    @property
    def connected(self) -> int:
        """Calls that a person answered: the numerator of M1 and M2."""
        return self._of(_CONNECTED)

    @property
    def counted(self) -> int:
        """Calls that M1 counts: all that ended but tests and blocked ones."""
        return self.ended - self._of(_LEFT_OUT)

    def metrics(
        self, *, short_abandon: int = SHORT_ABANDON, excused: "Tally | None" = None
    ) -> dict[str, Metric]:
        """Every metric of calls by its ID. M7 and M9 in seconds.

        M3: M1 without those who gave up in less than `short_abandon` seconds (0 to 60), and without the calls of
        `excused`: those that arrived in approved incidents. M5, M5_20: answered within 15 and 20 s, of all who reached
        the queue; M5t, M5t_20: of all that M1 counts, from the arrival on. M7 counts from the queue, M7_arrived from
        the arrival. M8_greeting: those who left in the greeting, of the calls that M1 counts. M9: talk with its holds,
        and wrap-up, by call answered in the hotline. M23: recordings that are as long as the talk, to half a second.
        M24: calls whose last talk the system ended, by call answered in the hotline. M11: ratings, by invitation. M12:
        those of the three good grades, by rating; M12_strict: of the two best. M21: the caller hung up first, or was
        handed to the survey. M21_unexplained: the agent hung up first and gave no reason, by call answered.
        """
        found = self.counts.get
        answered, counted, queued = self.connected, self.counted, found("queued", 0)
        abandoned = found("abandoned_queue", 0) + found("abandoned_ringing", 0)
        rings = [found(f"ring_{ring}", 0) for ring in (1, 2, 3, 4)]
        human = found("human", 0)
        left_out = self.left_before(short_abandon)
        excused_connected = 0
        if excused is not None:
            excused_connected = excused.connected
            left_out += excused.counted - excused.left_before(short_abandon)
        return {
            "M1": Metric(answered, counted),
            "M2": Metric(answered, queued),
            "M3": Metric(answered - excused_connected, counted - left_out),
            "M4": Metric(sum(rings[:3]), sum(rings), (rings[0], rings[1], rings[2], rings[3])),
            "M5": Metric(found("within_15", 0), queued),
            "M5_20": Metric(found("within_20", 0), queued),
            "M5a": Metric(found("within_15", 0), answered),
            "M5t": Metric(found("total_15", 0), counted),
            "M5t_20": Metric(found("total_20", 0), counted),
            "M7": Metric(found("wait", 0) / SECOND, found("waits", 0)),
            "M7_arrived": Metric(found("arrival_wait", 0) / SECOND, answered),
            "M8": Metric(abandoned, queued),
            "M8_greeting": Metric(found("abandoned_greeting", 0), counted),
            "M9": Metric((found("talk", 0) + found("wrap_up", 0)) / SECOND, human),
            **survey_metrics(self.counts),
            "M21": m21(self.counts, answered),
            "M21_unexplained": Metric(found("unexplained", 0), answered),
            "M23": Metric(found("recorded", 0), human),
            "M24": Metric(found("cut", 0), human),
        }

    def busy(self) -> int:
        """M10: how long agents worked, microseconds: talk with its holds, wrap-up, and callbacks."""
        return sum(self.counts.get(name, 0) for name in ("talk", "wrap_up", "outbound"))

    def left_before(self, second: int) -> int:
        """How many callers gave up before this second (0 to 60) of their call."""
        return sum(self.counts.get(f"left_{one}", 0) for one in range(second))

    def waits(self) -> list[int]:
        """How many answers there were in each of `WAITS`, and after the last."""
        return [self.counts.get(f"wait_{one}", 0) for one in range(len(WAITS) + 1)]

    def _of(self, names: Iterable[str]) -> int:
        found = self.counts.get
        return sum([found(name, 0) for name in names])


def m21(counts: Mapping[str, int], answered: int) -> Metric:
    """M21 of a tally's counts: calls that the hotline ended by its script are in neither part."""
    first = counts.get("caller_first", 0) + counts.get("handed", 0)
    return Metric(first, answered - counts.get("scripted", 0))


def survey_metrics(counts: Mapping[str, int]) -> dict[str, Metric]:
    """M11, M12 and M12_strict of a tally's counts."""
    found = [counts.get(grade.value, 0) for grade in Grade]
    rated = sum(found)
    return {
        "M11": Metric(rated, counts.get("invited", 0)),
        "M12": Metric(sum(found[:3]), rated),
        "M12_strict": Metric(sum(found[:2]), rated),
    }


_NAMES = {outcome: outcome.value for outcome in Outcome}
_CONNECTED = tuple(outcome.value for outcome in CONNECTED)
_LEFT_OUT = tuple(outcome.value for outcome in LEFT_OUT)

WAITS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 90, 120, 180, 300, 600, 900)
"""The histogram of waits from queueing to the answer: up to so many seconds, the bound included."""

_WAITS = [bound * SECOND for bound in WAITS]
_ABANDONED = frozenset(
    {Outcome.ABANDONED_GREETING, Outcome.ABANDONED_QUEUE, Outcome.ABANDONED_RINGING}
)


def shares_of(record: Item) -> list[tuple[str, int]]:
    """What one call, or one attempt of a callback, adds to the counts of a `Tally`.

    A citizen who was transferred from a callback has not called: that record counts as work on callbacks only.
    """
    if isinstance(record, AttemptRecord):
        return [("outbound", record.outbound), *_wrapped(record)]
    if record.origin:
        return [("outbound", record.talk), *_wrapped(record), *_of_survey(record)]
    outcome = record.outcome
    if outcome is None:
        return [("pending", 1)]
    found = [(_NAMES[outcome], 1)]
    if outcome is Outcome.TEST:
        return found
    if record.returned:
        found.append(("returned", 1))
    found += _of_survey(record)
    if record.harassing:
        found.append(("harassing", 1))
    if record.reached_queue:
        found.append(("queued", 1))
    if outcome in _ABANDONED and record.ended is not None:
        second = (record.ended - record.arrived) // SECOND
        if second < 60:
            found.append((f"left_{max(0, second)}", 1))
    if outcome not in CONNECTED or record.answered is None:
        return found
    total = record.answered - record.arrived
    found.append(("arrival_wait", total))
    if total <= 20 * SECOND:
        found.append(("total_20", 1))
        if total <= 15 * SECOND:
            found.append(("total_15", 1))
    if record.queued is not None:
        wait = record.answered - record.queued
        found += [("waits", 1), ("wait", wait), (f"wait_{bisect_left(_WAITS, wait)}", 1)]
        if wait <= 20 * SECOND:
            found.append(("within_20", 1))
            if wait <= 15 * SECOND:
                found.append(("within_15", 1))
    if record.ring is not None:
        found.append((f"ring_{min(record.ring, 4)}", 1))
        if record.estimated:
            found.append(("estimated", 1))
    if record.hung_up_by is Party.CALLER:
        found.append(("caller_first", 1))
    elif record.handed:
        found.append(("handed", 1))
    elif record.left_by:
        found += _left(record)
    if outcome is Outcome.HUMAN:
        found += [("talk", record.talk), ("hold", record.hold)]
        found += _wrapped(record)
        if record.cut:
            found.append(("cut", 1))
        if record.scripted:
            found.append(("scripted", 1))
        if recorded_whole(record):
            found.append(("recorded", 1))
    return found


def recorded_whole(record: CallRecord) -> bool:
    """Whether the sound of the talks is there, as M23 counts it."""
    return record.recorded is not None and record.recorded >= record.talk - TOLERANCE


def _left(record: CallRecord) -> list[tuple[str, int]]:
    return [("left", 1)] if record.explained else [("left", 1), ("unexplained", 1)]


def _of_survey(record: CallRecord) -> list[tuple[str, int]]:
    if not record.invited:
        return []
    return [("invited", 1)] + ([(record.grade.value, 1)] if record.grade is not None else [])


def _wrapped(record: Item) -> list[tuple[str, int]]:
    return [(_wrap_name(record), length) for _, length in record.wraps]


def _wrap_name(record: Item) -> str:
    return "wrap_up" if isinstance(record, CallRecord) and not record.origin else "outbound"


def shares_of_agents(record: Item) -> dict[str, list[tuple[str, int]]]:
    """What one call, or attempt, adds to the counts of each agent who took part in it.

    `offers`, `unanswered`: how often the phone rang, and rang until the time was up · `handled`: calls with a talk ·
    `talk`, `wrap_up`, `outbound`: how long the agent worked (microseconds) · `ring_1` … `ring_4` · only of calls that
    this agent answered first: `first`, `waits`, `wait`, `caller_first`, `handed`, `scripted`, `recorded` · of calls
    that this agent left: `left`, `unexplained` · of invitations to rate this agent: `invited` and the grades.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    if isinstance(record, AttemptRecord):
        found[record.agent] = [("outbound", record.outbound), ("attempts", 1)]
    elif record.origin:
        for offer in record.offers:
            found.setdefault(offer.agent, []).append(("outbound", offer.talk))
    elif record.outcome is not None and record.outcome is not Outcome.TEST:
        for offer in record.offers:
            shares = found.setdefault(offer.agent, [])
            shares.append(("offers", 1))
            if offer.reason is OfferReason.NO_ANSWER and offer.answered is None:
                shares.append(("unanswered", 1))
            if offer.talk:
                shares.append(("talk", offer.talk))
                if offer.ring is not None:
                    shares.append((f"ring_{min(offer.ring, 4)}", 1))
        for agent in record.agents:
            found[agent].append(("handled", 1))
        if record.agents:
            first = found[record.agents[0]]
            first.append(("first", 1))
            names = {"waits", "wait", "caller_first", "handed", "scripted", "recorded"}
            first += [one for one in shares_of(record) if one[0] in names]
    if isinstance(record, CallRecord) and record.outcome not in (None, Outcome.TEST):
        if record.invited:
            found.setdefault(record.invited, []).extend(_of_survey(record))
        if record.left_by and not record.origin and record.hung_up_by is not Party.CALLER:
            found.setdefault(record.left_by, []).extend(_left(record))
    for agent, length in record.wraps:
        found.setdefault(agent, []).append((_wrap_name(record), length))
    return found


@dataclass(frozen=True, slots=True)
class LowestRate:
    """The lowest M1r of a stretch of time, and the minute (microseconds) at which it stood."""

    at: int
    metric: Metric


@dataclass(frozen=True, slots=True)
class Point:
    """M1r at `at` (microseconds), and how many calls arrived since the point before."""

    at: int
    metric: Metric
    calls: int


class Rolling:
    """M1 over (T-24 h, T] for every whole minute T. Memory: two numbers a minute.

    Minutes are counted from `origin` (microseconds), so a report at any second can have T = its own time. The last
    window asked for is kept up to date, so asking again is almost free.
    """

    def __init__(self, origin: int = 0) -> None:
        self._origin = origin
        self._minutes: dict[int, list[int]] = {}
        self._until: int | None = None
        self._connected = self._counted = 0
        self.changes = 0
        """Grows with every call that is counted. While it stays the same, so do the figures."""

    def add(self, record: CallRecord, sign: int = 1) -> None:
        """Count one call in, or with sign -1 out. Pending calls, tests and blocked ones do not count.

        A citizen who was transferred from a callback does not count either: the citizen has not called.
        """
        if record.outcome is None or record.outcome in LEFT_OUT or record.origin:
            return
        self.put(record.arrived, sign * (record.outcome in CONNECTED), sign)

    def put(self, at: int, connected: int, counted: int) -> None:
        """Count calls that arrived at `at` or in the same minute."""
        minute = self._minute(at)
        counts = self._minutes.get(minute)
        if counts is None:
            counts = self._minutes[minute] = [0, 0]
        counts[0] += connected
        counts[1] += counted
        until = self._until
        if until is not None and until - _MINUTES_A_DAY < minute <= until:
            self._connected += connected
            self._counted += counted
        self.changes += 1

    def put_minutes(self, first: int, connected: Sequence[int], counted: Sequence[int]) -> None:
        """Count the calls of minutes one after another, of which the first ends at `first`: none is known yet."""
        minute = self._minute(first)
        pairs = map(list, zip(connected, counted, strict=True))
        self._minutes.update(zip(range(minute, minute + len(counted)), pairs, strict=True))
        self._until = None
        self.changes += 1

    def counts(self) -> list[tuple[int, int, int]]:
        """What was counted, by minute and in their order: (a moment in it, connected, counted), as `put` takes it."""
        return [
            (self._origin + minute * MINUTE, connected, counted)
            for minute, (connected, counted) in sorted(self._minutes.items())
        ]

    def metric(self, at: int) -> Metric:
        """M1r at the first whole minute that is not before `at`."""
        minute = self._minute(at)
        if minute != self._until:
            metric = _sum(self._minutes, minute - _MINUTES_A_DAY, minute)
            self._until = minute
            self._connected, self._counted = int(metric.numerator), metric.denominator
        return Metric(self._connected, self._counted)

    def curve(self, until: int, step: int = 5, count: int = 289) -> list[Point]:
        """M1r at `count` moments up to `until`, `step` minutes apart, the last a whole multiple of `step`."""
        last = (until - self._origin) // MINUTE // step
        slots: dict[int, list[int]] = {}
        for minute, (connected, counted) in self._minutes.items():
            sums = slots.setdefault(-(-minute // step), [0, 0])
            sums[0] += connected
            sums[1] += counted
        points = []
        day = _MINUTES_A_DAY // step
        first = last - count + 1
        window = _sum(slots, first - 1 - day, first - 1)
        connected, counted = int(window.numerator), window.denominator
        for slot in range(first, last + 1):
            came, went = slots.get(slot, _NONE), slots.get(slot - day, _NONE)
            connected += came[0] - went[0]
            counted += came[1] - went[1]
            at = self._origin + slot * step * MINUTE
            points.append(Point(at, Metric(connected, counted), came[1]))
        return points

    def lowest(self, after: int, until: int) -> LowestRate | None:
        """The lowest M1r of the minutes T with `after` < T ≤ `until`; None when no sample was large enough."""
        last = (until - self._origin) // MINUTE
        first = (after - self._origin) // MINUTE + 1
        minutes = self._minutes
        # Sums from the first of all minutes on: a window is the difference of two of them.
        known = [minutes.get(one, _NONE) for one in range(first - _MINUTES_A_DAY, last + 1)]
        good = list(accumulate(map(itemgetter(0), known)))
        every = list(accumulate(map(itemgetter(1), known)))
        found: tuple[int, int, int] | None = None
        for minute, connected, counted in zip(
            range(first, last + 1),
            map(sub, good[_MINUTES_A_DAY:], good),
            map(sub, every[_MINUTES_A_DAY:], every),
            strict=False,
        ):
            if counted < SMALLEST_SAMPLE:
                continue
            if found is None or connected * found[2] < found[1] * counted:
                found = (minute, connected, counted)
        if found is None:
            return None
        return LowestRate(self._origin + found[0] * MINUTE, Metric(found[1], found[2]))

    def forget(self, before: int) -> None:
        """Drop the minutes that ended before `before`."""
        limit = self._minute(before)
        for minute in [minute for minute in self._minutes if minute < limit]:
            del self._minutes[minute]
        self._until = None

    def _minute(self, at: int) -> int:
        """Which minute `at` belongs to: the one that ends at or after it."""
        return -((self._origin - at) // MINUTE)


_MINUTES_A_DAY = DAY // MINUTE
_NONE = (0, 0)


def _sum(minutes: Mapping[int, Sequence[int]], after: int, until: int) -> Metric:
    if len(minutes) < until - after:
        wanted = [counts for minute, counts in minutes.items() if after < minute <= until]
    else:
        wanted = [minutes.get(minute, _NONE) for minute in range(after + 1, until + 1)]
    return Metric(sum(counts[0] for counts in wanted), sum(counts[1] for counts in wanted))
