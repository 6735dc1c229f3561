"""Today's figures, kept up to date fact by fact, for the screens. Pure: the time comes in as an argument.

`Live.snapshot` says what the screens get; the controller adds what only the floor knows (agents, open callbacks).

It keeps the facts of open calls, and of the last few thousand ended ones, which a late fact may still change. Of older
calls it keeps eight bytes (`metrics.settled`), and the waits of those that waited beside a callback. Besides, it keeps
one tally a day and two numbers a minute. All of it is kept for 48 hours: the rolling figure at midnight needs the whole
day before.

A snapshot is made several times a second. So its cost depends on what has changed since the previous one, not on how
much there is: only the calls and agents that facts have touched are counted again, and sums stand for all others.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from acd.rules.model import Rules
from facts import ATTENDANCE, CallbackAnswered, CallbackMissed, CallbackYielded, Fact
from facts.live import Figure, Figures, Today
from facts.terms import CallId
from facts.times import DAY, MINUTE, SECOND, day_of, local, midnight
from metrics import callbacks, people
from metrics.fold import CallerStage, CallHistory, CallRecord, Item, Sketch, fold_call
from metrics.people import Attendance, Crowd, m10
from metrics.settled import Settled
from metrics.sums import SLOTS, begin_of, minutes_of
from metrics.window import (
    LEFT_OUT,
    SHORT_ABANDON,
    SMALLEST_SAMPLE,
    LowestRate,
    Point,
    Rolling,
    Tally,
)

WARM_UP = 2 * DAY
"""Microseconds: a fresh `Live` needs this much of the diary, in any order, before its figures are complete."""

_REMEMBERED = 4096
"""How many ended calls still accept late facts. It bounds the memory: the facts of older calls are dropped."""

_MOST_TOUCHED = 32
"""How many calls a snapshot counts again at most: that takes it some three milliseconds."""

_LONGEST_CALL = DAY
"""Microseconds after its last fact at which a call without an end is dropped: its end was lost."""

_STEP = 5 * MINUTE
_DRAW_EVERY = 5 * SECOND
_MINUTES_KEPT = 60
_IN_TIME = 15 * SECOND
_NEVER = 1 << 62
_STAGES = [(stage.value, stage) for stage in CallerStage if stage is not CallerStage.AFTER_TALK]
_CALLBACKS = frozenset({CallbackYielded, CallbackAnswered, CallbackMissed})


class Written:
    """Whole slots of calls as roll-ups have them, by their beginnings (microseconds): M1r and the days' tallies."""

    def __init__(self, slots: Mapping[int, Tally]) -> None:
        self.slots = frozenset(slots)
        self.rolling = Rolling()
        self.days: dict[int, Tally] = {}
        for begin, tally in slots.items():
            self.days.setdefault(day_of(begin + 1), Tally()).merge(tally)
            self.rolling.put_minutes(begin + MINUTE, *minutes_of(tally))

    def add(self, record: Item, sign: int) -> None:
        """Count one call in, or with sign -1 out, if it is in none of the slots."""
        if begin_of(SLOTS, record.arrived) in self.slots:
            return
        self.days.setdefault(day_of(record.arrived), Tally()).add(record, sign)
        if isinstance(record, CallRecord):
            self.rolling.add(record, sign)


class LiveFigures(Figures):
    """The figures at `at`. `longest_wait`: `waiting_since` in seconds."""

    at: int
    longest_wait: float | None


class Live:
    """Figures of now. `add` every fact, in any order and as often as it comes; ask for a `snapshot`."""

    def __init__(self, short_abandon: int = SHORT_ABANDON) -> None:
        self._short_abandon = short_abandon
        self._open: dict[CallId, CallHistory] = {}
        self._touched: set[CallId] = set()
        self._oldest = _NEVER
        self._sketches: dict[CallId, Sketch] = {}
        self._stages: Counter[CallerStage] = Counter()
        self._waiting: dict[CallId, Sketch] = {}
        self._pending: Counter[int] = Counter()
        self._ended: dict[CallId, CallHistory] = {}
        self._counted: dict[CallId, Item] = {}
        self._order: deque[CallId] = deque()
        self._settled = Settled()
        self._days: dict[int, Tally] = {}
        self._day = (0, 0)
        self._figures: tuple[int, Today, dict[str, Figure]] | None = None
        self._minute = 0
        self._rolling = Rolling()
        self._lowest: tuple[int, LowestRate | None] = (-1, None)
        self._queued: dict[int, list[int]] = {}
        self._drawn: tuple[int, int, list[list[Any]]] = (0, -1, [])
        self._tasks = callbacks.FollowUp()
        self._inbound_first = callbacks.Compliance()
        self._callbacks: dict[int, dict[type, set[CallId | int]]] = {}
        self._allowed: Mapping[str, int] = {}
        self._people: dict[str, _Person] = {}
        self._moved: set[str] = set()
        self._crowd = Crowd()
        self._crowd_of = 0
        self._written: Written | None = None

    def add(self, fact: Fact) -> None:
        """Take one fact."""
        kind = type(fact)
        if kind in ATTENDANCE:
            self._attend(fact)
            return
        if kind in callbacks.FACTS:
            self._tasks.add(fact)
            if kind in _CALLBACKS:
                self._note(fact)
        call: CallId = getattr(fact, "call", "")
        if call in self._ended:
            fold_call(self._ended, fact)
            self._touch(call)
            return
        if call not in self._open and call in self._settled:
            return  # a late or repeated fact of a call whose facts are gone; roll-ups and reports still count it
        history = fold_call(self._open, fact)
        if history is None:
            return
        if history.ended and history.begun:
            self._ended[call] = self._open.pop(call)
            self._order.append(call)
        self._touch(call)
        if len(self._order) > _REMEMBERED:
            self._close(self._order.popleft())

    def allow(self, allowed: Mapping[str, int]) -> None:
        """From now on breaks for these reasons are approved, for so many minutes (0: without a limit)."""
        if allowed != self._allowed:
            self._allowed = allowed
            self._crowd_of = 0

    def borrow(self, written: Written | None) -> None:
        """From now on these slots are counted as they were written down; None: all is counted from facts.

        The first is for a start, until all facts have been added.
        """
        self._written = written
        self._figures, self._lowest = None, (-1, None)
        self._drawn = (0, -1, [])
        if written is not None:
            for record in self._counted.values():
                written.add(record, 1)

    def rule(self, rules: Rules) -> None:
        """From now on these rules say who may take which call (M22)."""
        self._inbound_first.rule(rules)

    def snapshot(self, now: int) -> LiveFigures:
        """The figures at `now` (microseconds UTC, as all times in it), ready for JSON. Shares are 0 to 1, or None.

        `at`: `now` · `stages`: callers by stage, `greeting`, `waiting`, `ringing`, `talking` · `waiting_since`: when
        the longest waiting caller was queued, or None · `longest_wait`: the same in seconds.

        `today`: `date`; `outcomes` (name → count); `pending`: calls of today that go on; `calls`: those that M1 counts;
        `human`: those of them that a person answered; `m1`.

        `figures`: today's metrics by ID as in the report (`numerator`, `denominator`, `value`, M4 also `shares`), M22
        only when the rules are known, and `M1r`: also `enough` (False: sample too small) and `lowest`, today's lowest
        whole minute, up to a minute old (`at`, `numerator`, `denominator`, `value`), or None.

        `curve`: M1r of the last 24 hours, oldest first, each five minutes: [time, share or None under 20 calls, calls
        that arrived in these five minutes and have ended]; up to five seconds old.

        `m4`: today's share answered within three rings · `sla15`, `sla60`: the share answered within 15 s of being
        queued, of those who arrived in the last 15 or 60 minutes; a caller who has waited for less does not count yet ·
        `asa`: today's mean seconds from queueing to the answer · `abandoned`: today's M8, the share of the queued who
        gave up · `callbacks`: today's `yielded` (呼入优先), `reached` and `missed`; the controller adds `open`, and of
        these `due` (to be placed now), `dialling` and `talking`.

        A day begins after its midnight in China: a call at midnight itself belongs to the day before, as in reports.
        Parts that have not changed are shared with the previous snapshot: treat them as read-only.
        """
        self._renew_all()
        today = self._day_of(now)
        self._forget(now, today)
        since: int | None = None
        late = []
        for sketch in self._waiting.values():
            queued: int = sketch.queued  # type: ignore[assignment]  # not None, or it would not be in _waiting
            if since is None or queued < since:
                since = queued
            if sketch.inbound and now - queued > _IN_TIME:
                late.append(sketch.arrived)
        stages = self._stages
        of_today, metrics = self._of_today(today)
        figures = {**metrics, **self._figures_of_clock(now, today)}
        told = self._callbacks.get(today, {})
        return {
            "at": now,
            "stages": {name: stages[stage] for name, stage in _STAGES},
            "waiting_since": since,
            "longest_wait": None if since is None else max(0, now - since) / SECOND,
            "today": {
                **of_today,
                "pending": sum(n for began, n in self._pending.items() if began >= today),
            },
            "figures": figures,
            "curve": self._curve(now),
            "m4": figures["M4"]["value"],
            "sla15": self._in_time(now, 15, late),
            "sla60": self._in_time(now, 60, late),
            "asa": figures["M7"]["value"],
            "abandoned": figures["M8"]["value"],
            "callbacks": {
                "yielded": len(told.get(CallbackYielded, ())),
                "reached": len(told.get(CallbackAnswered, ())),
                "missed": len(told.get(CallbackMissed, ())),
            },
        }

    def _figures_of_clock(self, now: int, today: int) -> dict[str, Any]:
        """The metrics that change with time alone, or with agents and callbacks: M10, M20, M22, M1r."""
        figures = {"M10": m10(self._worked(today), *self._present(now, today)).as_json()}
        self._renew_tasks()
        for name, metric in self._tasks.m20(today, now).items():
            figures[name] = metric.as_json()
        m22 = self._inbound_first.m22(today, now)
        if m22 is not None:
            figures["M22"] = m22.as_json()
        figures["M1r"] = self._m1r(now, today)
        return figures

    def _touch(self, call: CallId) -> None:
        """A call is to be counted again: with the next snapshot, or sooner if it would have too many to count."""
        self._touched.add(call)
        if len(self._touched) > _MOST_TOUCHED:
            self._renew_all()

    def _renew_all(self) -> None:
        for call in self._touched:
            self._renew(call)
        self._touched.clear()

    def _renew(self, call: CallId) -> None:
        """Count a call as it is now: by its record when it has ended, by its sketch while it goes on."""
        history = self._ended.get(call)
        if history is not None:
            self._draw(call, None)
            self._count(call, history)
            record = self._counted.get(call)
            if isinstance(record, CallRecord):
                self._put_wait(call, record, history)
        elif call in self._open:
            history = self._open[call]
            self._oldest = min(self._oldest, history.last)
            sketch = history.sketch()
            self._draw(call, sketch)
            if sketch is not None:
                self._put_wait(call, sketch, history)

    def _close(self, call: CallId) -> None:
        """Count an ended call for the last time, and drop its facts."""
        self._renew(call)
        # Its waits stay if it waited beside a callback. No snapshot may have looked at the callbacks yet.
        self._renew_tasks()
        self._inbound_first.close_call(call)
        self._touched.discard(call)
        self._settled.add(call, self._ended.pop(call).last)
        self._counted.pop(call, None)

    def _renew_tasks(self) -> None:
        for record in self._tasks.renew():
            self._inbound_first.put_task(record)

    def _put_wait(self, call: CallId, known: CallRecord | Sketch, history: CallHistory) -> None:
        if known.reached_queue:
            self._inbound_first.put_call(call, known.arrived, history)
        else:
            self._inbound_first.drop_call(call)

    def _draw(self, call: CallId, sketch: Sketch | None) -> None:
        before = self._sketches.get(call)
        if sketch == before:
            return
        if before is not None:
            self._add(before, -1)
            self._waiting.pop(call, None)
        if sketch is None:
            del self._sketches[call]
        else:
            self._sketches[call] = sketch
            self._add(sketch, 1)
            if sketch.queued is not None and sketch.answered is None:
                self._waiting[call] = sketch
        if before is None or sketch is None or before.arrived != sketch.arrived:
            for one, sign in ((before, -1), (sketch, 1)):
                if one is not None and one.inbound:
                    self._pending[self._day_of(one.arrived)] += sign

    def _add(self, sketch: Sketch, sign: int) -> None:
        self._stages[sketch.stage] += sign
        if sketch.inbound and sketch.queued is not None and sketch.answered is not None:
            self._put(sketch.arrived, sketch.answered - sketch.queued <= _IN_TIME, sign)

    def _put(self, arrived: int, in_time: bool, sign: int) -> None:
        """Count a queued caller in the share answered within 15 s."""
        counts = self._queued.setdefault(arrived // MINUTE, [0, 0])
        counts[0] += sign * in_time
        counts[1] += sign

    def _count(self, call: CallId, history: CallHistory) -> None:
        record, before = history.record(), self._counted.get(call)
        if record is None or record == before:
            return
        if before is not None:
            self._tally(before, -1)
        self._tally(record, 1)
        self._counted[call] = record

    def _day_of(self, at: int) -> int:
        """`day_of`, almost free while the answer stays the same day."""
        began, ends = self._day
        if not began < at <= ends:
            began = day_of(at)
            # A day in China need not have 24 hours, but noon of the next day is always in that day.
            self._day = (began, midnight(began + DAY + DAY // 2))
        return began

    def _tally(self, record: Item, sign: int) -> None:
        began = self._day_of(record.arrived)
        tally = self._days.get(began)
        if tally is None:
            tally = self._days[began] = Tally()
        tally.add(record, sign)
        if self._figures is not None and self._figures[0] == began:
            self._figures = None
        if self._written is not None:
            self._written.add(record, sign)
        if not isinstance(record, CallRecord) or record.origin:
            return
        self._rolling.add(record, sign)
        if record.reached_queue and record.outcome not in LEFT_OUT:
            self._put(record.arrived, _answered_in_time(record), sign)

    def _note(self, fact: Fact) -> None:
        """Count what happened to a callback, once each: attempts by their call, tasks by their number."""
        name: CallId | int = fact.callback if type(fact) is CallbackMissed else fact.call  # type: ignore[union-attr]
        self._callbacks.setdefault(day_of(fact.at), {}).setdefault(type(fact), set()).add(name)

    def _attend(self, fact: Fact) -> None:
        agent: str = fact.agent  # type: ignore[union-attr]  # every kind in ATTENDANCE has it
        person = self._people.get(agent)
        if person is None:
            person = self._people[agent] = _Person()
        self._moved.add(agent)
        facts = person.facts
        if not facts or people.order(fact) > people.order(facts[-1]):
            facts.append(fact)
            if person.attendance is not None:
                person.attendance.add(fact)
            return
        place = bisect_left(facts, people.order(fact), key=people.order)
        if facts[place] != fact:
            facts.insert(place, fact)
            person.attendance = None

    def _of_today(self, today: int) -> tuple[Today, dict[str, Figure]]:
        """Two parts of the snapshot: `today` but for `pending`, and those `figures` that only calls change."""
        if self._figures is None or self._figures[0] != today:
            tally = self._tally_of(today) or Tally()
            metrics = tally.metrics(short_abandon=self._short_abandon)
            m1 = metrics["M1"]
            of_today: Today = {
                "date": local(today).date().isoformat(),
                "outcomes": {outcome.value: count for outcome, count in tally.outcomes.items()},
                "calls": m1.denominator,
                "human": m1.numerator,
                "m1": m1.value,
                "pending": 0,
            }
            figures = {name: metric.as_json() for name, metric in metrics.items()}
            self._figures = (today, of_today, figures)
        return self._figures[1:]

    def _tally_of(self, today: int) -> Tally | None:
        return (self._days if self._written is None else self._written.days).get(today)

    def _rolling_now(self) -> Rolling:
        return self._rolling if self._written is None else self._written.rolling

    def _worked(self, today: int) -> int:
        tally = self._tally_of(today)
        return tally.busy() if tally is not None else 0

    def _present(self, now: int, today: int) -> tuple[int, int]:
        """How long all agents were signed in today, and on approved breaks (microseconds)."""
        if self._crowd_of != today:
            self._crowd, self._crowd_of = Crowd(), today
            self._moved.update(self._people)
            for person in self._people.values():
                person.attendance = None
        for agent in self._moved:
            person = self._people[agent]
            if person.attendance is None:
                person.forget(today - DAY)
                person.attendance = Attendance(today, self._allowed)
                for fact in person.facts:
                    person.attendance.add(fact)
            self._crowd.put(agent, person.attendance)
        self._moved.clear()
        return self._crowd.at(now)

    def _in_time(self, now: int, minutes: int, late: Sequence[int]) -> float | None:
        """Of the queued who arrived in these minutes, this one included, the share answered within 15 s (0 to 1).

        `late`: when the callers arrived who have waited for longer and still wait (microseconds).
        """
        last = now // MINUTE
        first = last - minutes + 1
        good = count = 0
        for minute in range(first, last + 1):
            counts = self._queued.get(minute)
            if counts is not None:
                good += counts[0]
                count += counts[1]
        count += sum(arrived >= first * MINUTE for arrived in late)
        return good / count if count else None

    def _curve(self, now: int) -> list[list[Any]]:
        at, changes, _ = self._drawn
        rolling = self._rolling_now()
        # Drawing it costs more than all the rest together, and nobody sees a day's curve move within seconds.
        stale = changes != rolling.changes and not at <= now < at + _DRAW_EVERY
        if stale or at // _STEP != now // _STEP:
            points = rolling.curve(now, _STEP // MINUTE)
            self._drawn = (now, rolling.changes, [_point(one) for one in points])
        return self._drawn[2]

    def _m1r(self, now: int, today: int) -> Figure:
        minute = now // MINUTE
        rolling = self._rolling_now()
        if self._lowest[0] != minute:
            self._lowest = (minute, rolling.lowest(today, now))
        metric, lowest = rolling.metric(now), self._lowest[1]
        return {
            **metric.as_json(),
            "enough": metric.denominator >= SMALLEST_SAMPLE,
            "lowest": None if lowest is None else {"at": lowest.at, **lowest.metric.share()},
        }

    def _forget(self, now: int, today: int) -> None:
        if self._oldest < now - _LONGEST_CALL:
            self._drop(now - _LONGEST_CALL)
        for began in [began for began in self._days if began < today - DAY]:
            del self._days[began]
        for began in [began for began in self._callbacks if began < today - DAY]:
            del self._callbacks[began]
        for began in [began for began, count in self._pending.items() if not count]:
            del self._pending[began]
        minute = now // MINUTE
        if minute != self._minute:
            self._minute = minute
            for old in [one for one in self._queued if one < minute - _MINUTES_KEPT]:
                del self._queued[old]
            self._rolling.forget(now - WARM_UP - MINUTE)
            self._tasks.forget(today - DAY)
            self._inbound_first.forget(today - DAY)
            self._settled.forget(now - WARM_UP)

    def _drop(self, before: int) -> None:
        """Drop the open calls whose last fact is older."""
        for call in [call for call, history in self._open.items() if history.last < before]:
            del self._open[call]
            self._draw(call, None)
            self._inbound_first.drop_call(call)
        self._oldest = min((history.last for history in self._open.values()), default=_NEVER)


@dataclass(slots=True)
class _Person:
    """An agent's facts in the order of time, and today's attendance; None when a late fact has made it wrong."""

    facts: list[Fact] = field(default_factory=list)
    attendance: Attendance | None = None

    def forget(self, before: int) -> None:
        """Drop older facts, except the last request and the last fact about the phone: they still hold."""
        old = bisect_left(self.facts, before, key=attrgetter("at"))
        kept: dict[bool, Fact] = {}
        for fact in self.facts[:old]:
            kept[fact.kind in people.REQUESTS] = fact
        self.facts[:old] = sorted(kept.values(), key=people.order)


def _answered_in_time(record: CallRecord) -> bool:
    if record.answered is None or record.queued is None:
        return False
    return record.answered - record.queued <= _IN_TIME


def _point(one: Point) -> list[Any]:
    enough = one.metric.denominator >= SMALLEST_SAMPLE
    return [one.at, round(one.metric.value or 0, 4) if enough else None, one.calls]
