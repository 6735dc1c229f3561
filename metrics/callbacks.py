"""Callbacks (回访) → one record a task → M20; and 呼入优先 (R7) → one situation each → M22. Pure.

**M20 回访率** is *followed up ÷ eligible*. A task is eligible in the period in which it was settled: when it was closed
(reached, all attempts made, deadline missed), or, when it is still open, at its deadline. So it counts in exactly one
period. A cancelled task is left out: somebody decided that nobody has to call, or the citizen had called and was
answered. Followed up is one with at least one attempt that counts: the citizen was dialled, and neither did the
callback yield nor the attempt fail on the agent's side (`acd.callback.AGENT_SIDE`).
**M20_reached 回访成功率** is *reached ÷ attempted*: of the followed up tasks, those in which the citizen talked.

**M22** is *yields ÷ situations in which R7's condition held*: a callback dialled or rang, its citizen had not answered,
a call waited that its agent could take, and no idle agent could. Each yield is such a situation, also one that raced
with the citizen's answer. The floor yields in the same step, so a situation without a yield shows only where it
lasted: a call waited for longer than `STEP` beside such a callback. One waiting call needs one agent, and one callback
can yield only once: neither is counted twice at a time.

What cannot be told from the facts: who was skilled for what at that moment (the rules of today are asked), and
situations shorter than `STEP` that ended without a yield. A callback with a kept place is a citizen's turn, not a
callback in R7's sense, and does not yield.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Any

from acd.callback import AGENT_SIDE, State
from acd.events import (
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackSpared,
    CallbackUnreached,
    CallbackYielded,
    CallDetached,
    CallEnded,
    CallMoved,
    CallOverflowed,
    CallQueued,
    CallReleased,
    CallReturned,
    CallSentOutside,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
)
from acd.model import SECOND, CallId, OfferReason
from acd.rules import Rules
from metrics.window import Metric

STEP = SECOND // 10
"""Facts of one step of the floor lie closer together than this: they carry the clocks of several witnesses."""

LONGEST_ATTEMPT = 600 * SECOND
"""An attempt without an end in the diary is not taken to ring for longer (microseconds)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. Times in microseconds UTC, None when it did not happen. `inbound`: the call it yielded to."""

    call: CallId
    agent: str
    placed: int
    answered: int | None
    ended: int | None
    failure: str
    yielded: int | None
    inbound: CallId
    raced: bool

    @property
    def counts(self) -> bool:
        """Whether it is an attempt for M20."""
        if self.answered is not None:
            return True
        silent = self.ended is not None and self.yielded is None
        return silent and self.failure not in AGENT_SIDE


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """What is known of one task. Times in microseconds UTC. `closed` is None as long as it goes on.

    `attempts` in the order of their placing, those that do not count included.
    """

    id: int
    queue: str
    added: int
    latest: int
    kept_place: bool
    state: State
    closed: int | None
    attempts: tuple[Attempt, ...]

    @property
    def tried(self) -> int:
        """Attempts that count."""
        return sum(attempt.counts for attempt in self.attempts)

    @property
    def yields(self) -> int:
        """How often it yielded to a waiting call."""
        return sum(attempt.yielded is not None for attempt in self.attempts)

    @property
    def eligible(self) -> bool:
        """Whether M20 counts it."""
        return self.state is not State.CANCELLED

    @property
    def settled(self) -> int:
        """When it was closed, or else has to be."""
        return self.latest if self.closed is None else self.closed


class History:
    """The facts of one task that are known so far, in any order; adding one twice changes nothing.

    `last`: the latest time of any (microseconds).
    """

    __slots__ = ("_added", "_attempts", "_closings", "last")

    def __init__(self) -> None:
        self.last = 0
        self._added: CallbackAdded | None = None
        self._attempts: dict[CallId, _Attempt] = {}
        self._closings: dict[State, int] = {}

    def add(self, fact: Fact) -> None:
        """Take one fact. Of two that tell the same the earlier one holds."""
        self.last = max(self.last, fact.at)
        match fact:
            case CallbackAdded():
                self._added = _first(self._added, fact)
            case CallbackPlaced(at, _, call, agent):
                attempt = self._attempt(call)
                attempt.placed = _first(attempt.placed, (at, agent))
            case CallbackDialling(at, _, call, agent):
                attempt = self._attempt(call)
                attempt.dialling = _first(attempt.dialling, (at, agent))
            case CallbackAnswered(at, _, call, agent):
                attempt = self._attempt(call)
                attempt.answered = _first(attempt.answered, (at, agent))
            case CallbackSpared(at, _, call, agent):
                attempt = self._attempt(call)
                attempt.answered = _first(attempt.answered, (at, agent))
                attempt.spared = True
            case CallbackEnded(at, _, call, agent, failure):
                attempt = self._attempt(call)
                attempt.ended = _first(attempt.ended, (at, agent, failure))
            case CallbackYielded(at, _, call, agent, inbound):
                attempt = self._attempt(call)
                attempt.yielded = _first(attempt.yielded, (at, agent, inbound))
            case CallbackRaced(_, _, call):
                self._attempt(call).raced = True
            case CallbackCancelled(at):
                self._close(State.CANCELLED, at)
            case CallbackUnreached(at):
                self._close(State.UNREACHED, at)
            case CallbackMissed(at):
                self._close(State.MISSED, at)

    def record(self) -> CallbackRecord | None:
        """What the facts say, or None as long as it is not known what was to be done."""
        added = self._added
        if added is None:
            return None
        attempts = tuple(
            sorted(
                (one.freeze(call) for call, one in self._attempts.items() if one.began is not None),
                key=attrgetter("placed", "call"),
            )
        )
        state, closed = self._state(attempts)
        return CallbackRecord(
            id=added.callback,
            queue=added.queue,
            added=added.at,
            latest=added.latest,
            kept_place=added.place != 0,
            state=state,
            closed=closed,
            attempts=attempts,
        )

    def _state(self, attempts: tuple[Attempt, ...]) -> tuple[State, int | None]:
        talks = [one for one in attempts if one.answered is not None]
        ends = [one.ended for one in talks if one.ended is not None]
        if ends:
            return State.REACHED, min(ends)
        if talks:
            return State.TALKING, None
        if self._closings:
            state = min(self._closings, key=lambda one: (self._closings[one], one))
            return state, self._closings[state]
        last = attempts[-1] if attempts else None
        if last is not None and last.ended is None and last.yielded is None:
            return State.DIALLING, None
        return State.DUE, None

    def _attempt(self, call: CallId) -> "_Attempt":
        return self._attempts.setdefault(call, _Attempt())

    def _close(self, state: State, at: int) -> None:
        self._closings[state] = min(at, self._closings.get(state, at))


@dataclass(slots=True)
class _Attempt:
    """What is known of an attempt: of each kind of fact the earliest one, by time first."""

    placed: tuple[int, str] | None = None
    dialling: tuple[int, str] | None = None
    answered: tuple[int, str] | None = None
    ended: tuple[int, str, str] | None = None
    yielded: tuple[int, str, str] | None = None
    raced: bool = False
    spared: bool = False

    @property
    def began(self) -> tuple[int, str] | None:
        """When, and with whom. The first witness will do when the placing itself is not known."""
        known = (self.placed, self.dialling, self.answered, self.yielded, self.ended)
        return next((one[:2] for one in known if one is not None), None)

    def freeze(self, call: CallId) -> Attempt:
        placed, agent = self.began or (0, "")
        ended, _, failure = self.ended or (None, "", "")
        # It was to yield, and did not.
        yielded, _, inbound = (None, "", "") if self.spared else self.yielded or (None, "", "")
        return Attempt(
            call=call,
            agent=agent,
            placed=placed,
            answered=self.answered[0] if self.answered is not None else None,
            ended=ended,
            failure=failure,
            yielded=yielded,
            inbound=inbound,
            raced=self.raced and not self.spared,
        )


def _first(known: Any, other: Any) -> Any:
    """The earlier one; of two of one moment the same one, whichever came first."""
    if known is None:
        return other
    return min(
        known, other, key=lambda one: (one[0], one) if type(one) is tuple else (one.at, repr(one))
    )


def fold(tasks: dict[int, History], fact: Fact) -> None:
    """Add a fact to its task in `tasks`; facts about no task are left alone."""
    number: int = getattr(fact, "callback", 0)
    if number:
        tasks.setdefault(number, History()).add(fact)


def records(tasks: dict[int, History]) -> list[CallbackRecord]:
    """The records of all tasks that are known well enough, by number."""
    made = (tasks[number].record() for number in sorted(tasks))
    return [record for record in made if record is not None]


def m20(found: Iterable[CallbackRecord], since: int, until: int) -> dict[str, Metric]:
    """`M20` and `M20_reached` of the tasks that were settled with `since` < settled ≤ `until`."""
    eligible = followed = reached = 0
    for record in found:
        if record.eligible and since < record.settled <= until:
            eligible += 1
            followed += record.tried > 0
            reached += record.state is State.REACHED
    return {"M20": Metric(followed, eligible), "M20_reached": Metric(reached, followed)}


FACTS = frozenset(
    {
        *(CallbackAdded, CallbackPlaced, CallbackDialling, CallbackAnswered, CallbackSpared),
        *(CallbackEnded, CallbackYielded, CallbackRaced, CallbackCancelled, CallbackUnreached),
        CallbackMissed,
    }
)
"""The kinds of fact that a `History` is made from."""


class FollowUp:
    """M20 of any stretch of time, kept up to date fact by fact: `feed` each of `FACTS`, in any order.

    Kept sorted, the moments at which tasks were settled, so that a task which passes its deadline while it is open
    counts from that moment on, though no fact tells it.
    """

    def __init__(self) -> None:
        self._tasks: dict[int, History] = {}
        self._touched: set[int] = set()
        self._counted: dict[int, CallbackRecord] = {}
        self._eligible: list[int] = []
        self._followed: list[int] = []
        self._reached: list[int] = []

    def feed(self, fact: Fact) -> None:
        """Take one fact."""
        fold(self._tasks, fact)
        self._touched.add(fact.callback)  # type: ignore[union-attr]  # every kind in FACTS has it

    def m20(self, since: int, until: int) -> dict[str, Metric]:
        """As the function of this name says of the records of all tasks."""
        for number in self._touched:
            self._renew(number, self._tasks[number].record())
        self._touched.clear()
        eligible, followed, reached = (
            bisect_right(moments, until) - bisect_right(moments, since)
            for moments in (self._eligible, self._followed, self._reached)
        )
        return {"M20": Metric(followed, eligible), "M20_reached": Metric(reached, followed)}

    def forget(self, before: int) -> None:
        """Drop the tasks that were settled before, and of which nothing was heard since then."""
        for number in [number for number, task in self._tasks.items() if task.last < before]:
            record = self._tasks[number].record()
            if record is None or record.settled < before:
                self._renew(number, None)
                self._touched.discard(number)
                del self._tasks[number]

    def _renew(self, number: int, record: CallbackRecord | None) -> None:
        before = self._counted.pop(number, None)
        if before is not None:
            for moments in self._moments(before):
                del moments[bisect_left(moments, before.settled)]
        if record is not None:
            self._counted[number] = record
            for moments in self._moments(record):
                insort(moments, record.settled)

    def _moments(self, record: CallbackRecord) -> list[list[int]]:
        """The lists in which this task is named."""
        if not record.eligible:
            return []
        found = [self._eligible]
        if record.tried:
            found.append(self._followed)
        if record.state is State.REACHED:
            found.append(self._reached)
        return found


# --- inbound first


class Done(StrEnum):
    """What was done when R7's condition held."""

    YIELDED = "yielded"
    RACED = "raced"
    ANSWERED_FIRST = "answered_first"
    NOT_YIELDED = "not_yielded"


@dataclass(frozen=True, slots=True, order=True)
class Situation:
    """R7's condition held at `at`: `inbound` waited while the attempt `call` of `callback` held `agent`."""

    at: int
    inbound: CallId
    callback: int
    call: CallId
    agent: str
    done: Done


def m22(situations: Iterable[Situation]) -> Metric:
    """Yields, raced ones included, ÷ situations."""
    kinds = [situation.done for situation in situations]
    return Metric(sum(done in {Done.YIELDED, Done.RACED} for done in kinds), len(kinds))


@dataclass(frozen=True, slots=True)
class Figures:
    """What a report says of callbacks. `metrics`: M20, M20_reached and M22.

    `open`: how many tasks go on at the window's end; `missed`: the numbers of those whose deadline passed in it.
    """

    metrics: dict[str, Metric]
    inbound_first: tuple[Situation, ...]
    open: int
    missed: tuple[int, ...]

    def __bool__(self) -> bool:
        """Whether there were callbacks at all."""
        known = any(metric.denominator for metric in self.metrics.values())
        return known or self.open > 0


def figures(
    found: Sequence[CallbackRecord], situations: Iterable[Situation], since: int, until: int
) -> Figures:
    """The figures of (since, until]; the records and situations may reach beyond it."""
    within = sorted(one for one in situations if since < one.at <= until)
    missed = (one.id for one in found if one.state is State.MISSED and since < one.settled <= until)
    return Figures(
        metrics={**m20(found, since, until), "M22": m22(within)},
        inbound_first=tuple(within),
        open=sum(one.closed is None for one in found),
        missed=tuple(missed),
    )


NO_FIGURES = figures([], [], 0, 0)
"""Those of a window without callbacks."""


@dataclass(slots=True)
class Wait:
    """A call waited in a queue, with no phone ringing for it; `end` is None when it still does."""

    call: CallId
    number: str
    queue: str
    begin: int
    end: int | None = None


@dataclass(slots=True)
class _Unanswered:
    """An attempt as long as R7 can ask it to yield."""

    placed: int
    end: int
    callback: int
    attempt: Attempt = field(repr=False)


class InboundFirst:
    """Finds the situations among callbacks and waiting calls; give it the records first, then each call's facts.

    `rules` say who may take which call; nobody is known to wait later than `until`.
    """

    KINDS = frozenset(
        kind.__name__
        for kind in (
            CallArrived,
            CallQueued,
            CallReturned,
            CallMoved,
            CallDetached,
            CallReleased,
            CallSentOutside,
            CallOverflowed,
            CallEnded,
            OfferMade,
            OfferRinging,
            OfferAnswered,
            OfferEnded,
        )
    )
    """The facts of a call that it needs."""

    def __init__(self, found: Iterable[CallbackRecord], rules: Rules, until: int) -> None:
        self._rules = rules
        self._until = until
        self._members: dict[str, set[str]] = {}
        for member in rules.members:
            self._members.setdefault(member.queue, set()).add(member.agent)
        self._yields: dict[CallId, list[Situation]] = {}
        self._lasting: dict[CallId, Situation] = {}
        self._unanswered: list[_Unanswered] = []
        for record in found:
            if not record.kept_place:
                self._take(record)
        self._unanswered.sort(key=attrgetter("placed", "callback"))

    @property
    def needs_calls(self) -> bool:
        """Whether calls can change anything: there were callbacks."""
        return bool(self._unanswered)

    def add(self, facts: Iterable[Fact]) -> None:
        """Take the facts of one call; those of one moment in the diary's order."""
        if self._unanswered:
            for wait in waits_of(facts):
                self.look(wait)

    def look(self, wait: Wait) -> None:
        """Take one wait of a call (`waits_of`)."""
        end = self._until if wait.end is None else min(wait.end, self._until)
        yields = self._yields.get(wait.call, ())
        if any(wait.begin - STEP <= one.at <= end + STEP for one in yields):
            return
        self._look(wait.call, wait.number, wait, end)

    def situations(self) -> list[Situation]:
        """All that were found, by time."""
        found = [one for several in self._yields.values() for one in several]
        found += self._lasting.values()
        return sorted(found)

    def _take(self, record: CallbackRecord) -> None:
        for attempt in record.attempts:
            if attempt.yielded is not None:
                done = Done.RACED if attempt.raced else Done.YIELDED
                situation = Situation(
                    *(attempt.yielded, attempt.inbound, record.id),
                    *(attempt.call, attempt.agent, done),
                )
                self._yields.setdefault(attempt.inbound, []).append(situation)
            ends = (attempt.answered, attempt.ended, attempt.yielded, record.closed)
            end = min([attempt.placed + LONGEST_ATTEMPT, *(at for at in ends if at is not None)])
            self._unanswered.append(_Unanswered(attempt.placed, end, record.id, attempt))

    def _look(self, call: CallId, number: str, wait: Wait, end: int) -> None:
        first = bisect_left(
            self._unanswered, wait.begin - LONGEST_ATTEMPT, key=attrgetter("placed")
        )
        for one in self._unanswered[first:]:
            if one.placed >= end:
                return
            begin = max(one.placed, wait.begin)
            if min(one.end, end) - begin <= STEP or not self._able(one, wait.queue, number):
                continue
            attempt = one.attempt
            answered = attempt.answered is not None and attempt.answered <= end
            done = Done.ANSWERED_FIRST if answered else Done.NOT_YIELDED
            situation = Situation(begin, call, one.callback, attempt.call, attempt.agent, done)
            known = self._lasting.get(attempt.call)
            self._lasting[attempt.call] = situation if known is None else min(known, situation)
            return

    def _able(self, one: _Unanswered, queue: str, number: str) -> bool:
        """Whether the agent of this attempt may take a call to `number` that waits in `queue`."""
        queue = self._rules.queue(queue).name
        agent = one.attempt.agent
        if agent not in self._members.get(queue, {agent}):
            return False
        skills = self._rules.skills.get(agent, {})
        return all(skills.get(need, 0) >= level for need, level in self._rules.needs(queue, number))


def waits_of(facts: Iterable[Fact]) -> list[Wait]:
    """When a call waited for longer than `STEP`, from its facts; those of one moment in the diary's order."""
    known = (fact for fact in facts if type(fact).__name__ in InboundFirst.KINDS)
    ordered = sorted(known, key=attrgetter("at"))
    waits = _waits(ordered)
    return [one for one in waits if one.end is None or one.end - one.begin > STEP]


def _waits(facts: Sequence[Fact]) -> list[Wait]:
    """When the call waited, from its facts in the order of their times."""
    waits: list[Wait] = []
    call: CallId = getattr(facts[0], "call", "") if facts else ""
    number = next((one.number for one in facts if isinstance(one, CallArrived)), "")
    ringing: set[str] = set()
    queue = ""
    for fact in facts:
        match fact:
            case CallArrived():
                continue
            case CallQueued() | CallReturned() | CallMoved():
                queue = fact.queue
                ringing.clear()
                _stop(waits, fact.at)
                waits.append(Wait(call, number, queue, fact.at))
            case OfferMade(agent=agent) | OfferRinging(agent=agent):
                ringing.add(agent)
                _stop(waits, fact.at)
            case OfferEnded(agent=agent, reason=reason):
                ringing.discard(agent)
                if queue and not ringing and reason is not OfferReason.CALLER_GONE:
                    _stop(waits, fact.at)
                    waits.append(Wait(call, number, queue, fact.at))
            case _:
                # He waits no more, also when the end of another phone's ringing is told late.
                queue = ""
                _stop(waits, fact.at)
    return waits


def _stop(waits: list[Wait], at: int) -> None:
    if waits and waits[-1].end is None:
        waits[-1].end = at
