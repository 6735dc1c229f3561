"""Today's figures, kept up to date fact by fact, for the screens. Pure: the time comes in as an argument.

What is kept: the facts of open calls and of the last few thousand ended ones (a late fact may still change those),
the ids of older ones, one tally a day, and two numbers a minute. All that for 48 hours: the rolling figure at
midnight needs the whole day before.
"""

from collections import deque
from itertools import takewhile
from typing import Any

from acd.events import Fact
from acd.model import SECOND, CallId
from metrics.fold import CallRecord, History, fold
from metrics.window import DAY, MINUTE, SMALLEST_SAMPLE, Lowest, Rolling, Tally, local, midnight

WARM_UP = 2 * DAY
"""Microseconds of diary that a fresh `Live` must be fed, in any order, so that its figures are complete."""

_REMEMBERED = 4096
"""How many ended calls stay open to late facts."""

_LONGEST_CALL = DAY
"""Microseconds after its last fact at which a call without an end is dropped: its end was lost."""


class Live:
    """Figures of now. `feed` every fact, in any order and as often as it comes; ask for a `snapshot`."""

    def __init__(self) -> None:
        self._open: dict[CallId, History] = {}
        self._ended: dict[CallId, History] = {}
        self._counted: dict[CallId, CallRecord] = {}
        self._order: deque[CallId] = deque()
        self._settled: dict[CallId, int] = {}
        self._days: dict[int, Tally] = {}
        self._day = (0, 0)
        self._rolling = Rolling()
        self._lowest: tuple[int, Lowest | None] = (-1, None)

    def feed(self, fact: Fact) -> None:
        """Take one fact."""
        call: CallId = getattr(fact, "call", "")
        if call in self._ended:
            fold(self._ended, fact)
            self._count(call, self._ended[call])
            return
        history = fold(self._open, fact)
        if history is None or not history.ended or history.record() is None:
            return
        if call in self._settled:
            del self._open[call]  # the diary told again what is counted already
            return
        self._ended[call] = self._open.pop(call)
        self._order.append(call)
        self._count(call, history)
        if len(self._order) > _REMEMBERED:
            forgotten = self._order.popleft()
            del self._ended[forgotten]
            self._settled[forgotten] = self._counted.pop(forgotten).arrived

    def snapshot(self, now: int) -> dict[str, Any]:
        """The figures at `now` (microseconds), ready for JSON.

        `at`: `now` · `stages`: callers by stage, `greeting`, `waiting`, `ringing`, `talking` · `waiting_since`: when
        the longest waiting caller was queued (microseconds), or None · `longest_wait`: the same in seconds ·
        `today`: `date`, `outcomes` (name → count), `pending` · `figures`: today's metrics by ID, as in the report,
        and `M1r`: also `enough` (False: sample too small) and `lowest`, today's lowest whole minute, up to a minute
        old (`at` in microseconds, `numerator`, `denominator`, `value`), or None.
        """
        today = midnight(now)
        self._forget(now, today)
        stages = dict.fromkeys(("greeting", "waiting", "ringing", "talking"), 0)
        since: int | None = None
        pending = 0
        for history in self._open.values():
            record = history.record()
            if record is None:
                continue
            pending += record.arrived >= today
            if record.talking:
                stages["talking"] += 1
            elif record.answered is None and record.reached_queue:
                stages["ringing" if record.ringing else "waiting"] += 1
                if record.queued is not None:
                    since = record.queued if since is None else min(since, record.queued)
            elif record.answered is None:
                stages["greeting"] += 1
        tally = self._days.get(today) or Tally()
        figures: dict[str, Any] = {
            name: metric.as_json() for name, metric in tally.metrics().items()
        }
        figures["M1r"] = self._m1r(now, today)
        return {
            "at": now,
            "stages": stages,
            "waiting_since": since,
            "longest_wait": None if since is None else max(0, now - since) / SECOND,
            "today": {
                "date": local(now).date().isoformat(),
                "outcomes": {outcome.value: count for outcome, count in tally.outcomes.items()},
                "pending": pending,
            },
            "figures": figures,
        }

    def _count(self, call: CallId, history: History) -> None:
        record, before = history.record(), self._counted.get(call)
        if record is None or record == before:
            return
        if before is not None:
            self._tally(before, -1)
        self._tally(record, 1)
        self._counted[call] = record

    def _tally(self, record: CallRecord, sign: int) -> None:
        began, ends = self._day
        if not began <= record.arrived < ends:
            began = midnight(record.arrived)
            # Noon of the next day is in it, however long this day is.
            self._day = (began, midnight(began + DAY + DAY // 2))
        tally = self._days.get(began)
        if tally is None:
            tally = self._days[began] = Tally()
        tally.add(record, sign)
        self._rolling.add(record, sign)

    def _m1r(self, now: int, today: int) -> dict[str, Any]:
        minute = now // MINUTE
        if self._lowest[0] != minute:
            self._lowest = (minute, self._rolling.lowest(today, now))
        metric, lowest = self._rolling.metric(now), self._lowest[1]
        return {
            **metric.as_json(),
            "enough": metric.denominator >= SMALLEST_SAMPLE,
            "lowest": None if lowest is None else {"at": lowest.at, **lowest.metric.as_json()},
        }

    def _forget(self, now: int, today: int) -> None:
        for call in [
            call for call, history in self._open.items() if history.last < now - _LONGEST_CALL
        ]:
            del self._open[call]
        for began in [began for began in self._days if began < today - DAY]:
            del self._days[began]
        self._rolling.forget(now - WARM_UP - MINUTE)
        # In the order in which they ended, which is near enough to that of their arrivals.
        oldest = takewhile(lambda one: one[1] < now - WARM_UP, self._settled.items())
        for call, _ in list(oldest):
            del self._settled[call]
