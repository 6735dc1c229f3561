"""Callbacks (回访) → one record a task → M20; and 呼入优先 (R7) → one situation each → M22. Pure.

**M20 回访率** is *followed up ÷ eligible*. A task is eligible in the period in which it was settled: when it was closed
(reached, all attempts made, deadline missed), or, when it is still open, at its deadline. So it counts in exactly one
period. A cancelled task is left out: a person decided that no call is needed, or the citizen had called and was
answered. Followed up is one with at least one attempt that counts: the citizen was dialled, and neither did the
callback yield nor the attempt fail on the agent's side (`acd.callbacks.task.AGENT_SIDE`). **M20_reached 回访成功率** is
*reached ÷ attempted*: of the followed up tasks, those in which the citizen talked.

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

from acd.callbacks.task import AGENT_SIDE, State
from acd.rules.model import Rules
from facts import (
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackReopened,
    CallbackSpared,
    CallbackUnreached,
    CallbackYielded,
    CallDetached,
    CallEnded,
    CallerAssigned,
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
from facts.terms import CallId, OfferReason
from facts.times import SECOND
from metrics.fold import CallHistory
from metrics.window import Metric

STEP = SECOND // 10
"""Microseconds: facts of one step of the floor lie closer together than this. Several witnesses' clocks date them."""

LONGEST_ATTEMPT = 600 * SECOND
"""Microseconds: an attempt whose end is not in the diary is assumed to have rung for this long at most."""


@dataclass(frozen=True, slots=True)
class TaskAttempt:
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
    attempts: tuple[TaskAttempt, ...]

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


class TaskHistory:
    """The facts of one task that are known so far, in any order; adding one twice changes nothing.

    `last`: the latest time of any (microseconds).
    """

    __slots__ = ("_added", "_attempts", "_closings", "_reopened", "last")

    def __init__(self) -> None:
        self.last = 0
        self._added: CallbackAdded | None = None
        self._attempts: dict[CallId, _AttemptFacts] = {}
        self._closings: dict[State, set[int]] = {}
        self._reopened = 0

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
            case CallbackReopened(at):
                self._reopened = max(self._reopened, at)
            case CallbackMissed(at):
                self._close(State.MISSED, at)

    def record(self) -> CallbackRecord | None:
        """What the facts say, or None as long as `CallbackAdded` is not among them."""
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

    def _state(self, attempts: tuple[TaskAttempt, ...]) -> tuple[State, int | None]:
        talks = [one for one in attempts if one.answered is not None]
        ends = [one.ended for one in talks if one.ended is not None]
        if ends:
            return State.REACHED, min(ends)
        if talks:
            return State.TALKING, None
        # Whatever was before the task was opened again did not close it.
        closings = [
            (at, state)
            for state, moments in self._closings.items()
            for at in moments
            if at >= self._reopened
        ]
        if closings:
            at, state = min(closings)
            return state, at
        last = attempts[-1] if attempts else None
        if last is not None and last.ended is None and last.yielded is None:
            return State.DIALLING, None
        return State.DUE, None

    def _attempt(self, call: CallId) -> "_AttemptFacts":
        return self._attempts.setdefault(call, _AttemptFacts())

    def _close(self, state: State, at: int) -> None:
        self._closings.setdefault(state, set()).add(at)


@dataclass(slots=True)
class _AttemptFacts:
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
        """When it began, and the agent. Without the placing itself the first fact known stands in for it."""
        known = (self.placed, self.dialling, self.answered, self.yielded, self.ended)
        return next((one[:2] for one in known if one is not None), None)

    def freeze(self, call: CallId) -> TaskAttempt:
        placed, agent = self.began or (0, "")
        ended, _, failure = self.ended or (None, "", "")
        # CallbackSpared: the citizen answered before the yield was carried out.
        # An answer that crossed our cancel is no talk.
        talked = self.answered is not None and failure != "withdrawn"
        yielded, _, inbound = (None, "", "") if self.spared else self.yielded or (None, "", "")
        return TaskAttempt(
            call=call,
            agent=agent,
            placed=placed,
            answered=self.answered[0] if self.answered is not None and talked else None,
            ended=ended,
            failure=failure,
            yielded=yielded,
            inbound=inbound,
            raced=self.raced and not self.spared,
        )


def _first(known: Any, other: Any) -> Any:
    """The earlier one. Of two with the same time the choice depends on their contents, not on which came first."""
    if known is None:
        return other
    return min(
        known, other, key=lambda one: (one[0], one) if type(one) is tuple else (one.at, repr(one))
    )


def fold_task(tasks: dict[int, TaskHistory], fact: Fact) -> None:
    """Add a fact to its task in `tasks`; facts about no task are ignored."""
    number: int = getattr(fact, "callback", 0)
    if number:
        tasks.setdefault(number, TaskHistory()).add(fact)


def records(tasks: dict[int, TaskHistory]) -> list[CallbackRecord]:
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
        *(CallbackReopened, CallbackMissed),
    }
)
"""The kinds of fact that make up a `TaskHistory`."""


class FollowUp:
    """M20 of any stretch of time, kept up to date fact by fact: `add` each of `FACTS`, in any order.

    The moments at which tasks were settled are kept sorted. So an open task counts from its deadline on, although no
    fact reports that the deadline has passed.
    """

    def __init__(self) -> None:
        self._tasks: dict[int, TaskHistory] = {}
        self._touched: set[int] = set()
        self._counted: dict[int, CallbackRecord] = {}
        self._eligible: list[int] = []
        self._followed: list[int] = []
        self._reached: list[int] = []

    def add(self, fact: Fact) -> None:
        """Take one fact."""
        fold_task(self._tasks, fact)
        self._touched.add(fact.callback)  # type: ignore[union-attr]  # every kind in FACTS has it

    def m20(self, since: int, until: int) -> dict[str, Metric]:
        """What the function `m20` gives for the records of all tasks."""
        self.renew()
        eligible, followed, reached = (
            bisect_right(moments, until) - bisect_right(moments, since)
            for moments in (self._eligible, self._followed, self._reached)
        )
        return {"M20": Metric(followed, eligible), "M20_reached": Metric(reached, followed)}

    def renew(self) -> list[CallbackRecord]:
        """Count the facts added since the last time. Gives the records that are new or have changed."""
        changed = []
        for number in self._touched:
            record, before = self._tasks[number].record(), self._counted.get(number)
            if record is not None and record != before:
                self._renew(number, record)
                changed.append(record)
        self._touched.clear()
        return changed

    def forget(self, before: int) -> None:
        """Drop the tasks that were settled before `before` (microseconds) and have no later fact."""
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
                _enter(moments, before.settled, -1)
        if record is not None:
            self._counted[number] = record
            for moments in self._moments(record):
                _enter(moments, record.settled, 1)

    def _moments(self, record: CallbackRecord) -> list[list[int]]:
        """The lists that contain this task."""
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
class CallbackFigures:
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
) -> CallbackFigures:
    """The figures of (since, until]; the records and situations may reach beyond it."""
    within = sorted(one for one in situations if since < one.at <= until)
    missed = (one.id for one in found if one.state is State.MISSED and since < one.settled <= until)
    return CallbackFigures(
        metrics={**m20(found, since, until), "M22": m22(within)},
        inbound_first=tuple(within),
        open=sum(one.closed is None for one in found),
        missed=tuple(missed),
    )


NO_FIGURES = figures([], [], 0, 0)
"""Those of a window without callbacks."""


@dataclass(slots=True)
class Wait:
    """A call waited in a queue, with no phone ringing for it; `end` is None while it still waits."""

    call: CallId
    number: str
    queue: str
    begin: int
    end: int | None = None


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """An attempt as long as R7 can ask it to yield."""

    placed: int
    end: int
    callback: int
    attempt: TaskAttempt = field(repr=False)


class InboundFirst:
    """Finds the situations among callbacks and waiting calls. Give it the records first, then each call's facts.

    `rules` say who may take which call. A call that still waits is taken to wait until `until` (microseconds).
    """

    KINDS = frozenset(
        kind.kind
        for kind in (
            CallArrived,
            CallQueued,
            CallReturned,
            CallMoved,
            CallerAssigned,
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
        self._able = _Able(rules)
        self._until = until
        self._yields: dict[CallId, list[Situation]] = {}
        self._lasting: dict[CallId, Situation] = {}
        self._unanswered: list[_Unanswered] = []
        for record in found:
            self._take(record)
        self._unanswered.sort(key=_ORDER)

    @property
    def needs_calls(self) -> bool:
        """Whether calls can change anything: there were callbacks."""
        return bool(self._unanswered)

    def add(self, facts: Iterable[Fact]) -> None:
        """Take the facts of one call. Facts with the same time must be in the diary's order."""
        if self._unanswered:
            for wait in waits_of(facts):
                self.add_wait(wait)

    def add_wait(self, wait: Wait) -> None:
        """Take one wait of a call (`waits_of`)."""
        end = self._until if wait.end is None else min(wait.end, self._until)
        yields = self._yields.get(wait.call, ())
        if any(wait.begin - STEP <= one.at <= end + STEP for one in yields):
            return
        self._look(wait, end)

    def situations(self) -> list[Situation]:
        """All that were found, by time."""
        found = [one for several in self._yields.values() for one in several]
        found += self._lasting.values()
        return sorted(found)

    def _take(self, record: CallbackRecord) -> None:
        for attempt in _concerned(record):
            if attempt.yielded is not None:
                done = Done.RACED if attempt.raced else Done.YIELDED
                situation = Situation(
                    *(attempt.yielded, attempt.inbound, record.id),
                    *(attempt.call, attempt.agent, done),
                )
                self._yields.setdefault(attempt.inbound, []).append(situation)
        self._unanswered += _unanswered(record)

    def _look(self, wait: Wait, end: int) -> None:
        found = _beside(self._unanswered, wait, end, self._able)
        if found is None:
            return
        begin, one = found
        attempt = one.attempt
        answered = attempt.answered is not None and attempt.answered <= end
        done = Done.ANSWERED_FIRST if answered else Done.NOT_YIELDED
        situation = Situation(begin, wait.call, one.callback, attempt.call, attempt.agent, done)
        known = self._lasting.get(attempt.call)
        self._lasting[attempt.call] = situation if known is None else min(known, situation)


def _concerned(record: CallbackRecord) -> tuple[TaskAttempt, ...]:
    """The attempts of a task that R7 is about."""
    return () if record.kept_place else record.attempts


def _unanswered(record: CallbackRecord) -> list[_Unanswered]:
    """The attempts of a task that R7 may ask to yield, each as long as it may."""
    found = []
    for attempt in _concerned(record):
        ends = (attempt.answered, attempt.ended, attempt.yielded, record.closed)
        end = min([attempt.placed + LONGEST_ATTEMPT, *(at for at in ends if at is not None)])
        found.append(_Unanswered(attempt.placed, end, record.id, attempt))
    return found


def _beside(
    attempts: Sequence[_Unanswered], wait: Wait, end: int, able: "_Able"
) -> tuple[int, _Unanswered] | None:
    """The first attempt (sorted by `_ORDER`) that was unanswered while a call waited up to `end`; and since when."""
    first = bisect_left(attempts, wait.begin - LONGEST_ATTEMPT, key=attrgetter("placed"))
    for place in range(first, len(attempts)):
        one = attempts[place]
        if one.placed >= end:
            return None
        begin = max(one.placed, wait.begin)
        if min(one.end, end) - begin > STEP and able(one.attempt.agent, wait):
            return begin, one
    return None


_ORDER = attrgetter("placed", "callback", "attempt.call")


class _Able:
    """Whether an agent may take a call under today's rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._members: dict[str, set[str]] = {}
        for member in rules.members:
            self._members.setdefault(member.queue, set()).add(member.agent)

    def __call__(self, agent: str, wait: Wait) -> bool:
        queue = self._rules.queue(wait.queue).name
        if agent not in self._members.get(queue, {agent}):
            return False
        skills = self._rules.skills.get(agent, {})
        needs = self._rules.needs(queue, wait.number)
        return all(skills.get(need, 0) >= level for need, level in needs)


class _Caller:
    """A call that waited: its facts, or once it is closed its waits alone. `last`: when it was over at the latest."""

    __slots__ = ("_history", "_known", "_waits", "arrived", "last")

    def __init__(self) -> None:
        self.arrived = 0
        self.last = _NEVER
        self._history: CallHistory | None = None
        self._known = 0
        self._waits: list[Wait] = []

    def put(self, arrived: int, history: CallHistory) -> None:
        self.arrived, self._history = arrived, history
        self.last = history.last if history.ended else _NEVER

    def waits(self) -> list[Wait]:
        history = self._history
        if history is not None and len(history.facts) != self._known:
            self._known = len(history.facts)
            self._waits = waits_of(history.facts)
        return self._waits

    def close(self) -> None:
        self.waits()
        self._history = None


class Compliance:
    """M22 of any stretch of time, kept up to date: `put` what changes, a task or a call.

    The result is what `InboundFirst` finds in the same facts. Only calls that waited while an attempt was open are
    examined: no other call can be a situation. Facts with the same time count in the order in which they came.
    """

    def __init__(self) -> None:
        self._able: _Able | None = None
        self._attempts: list[_Unanswered] = []
        self._tasks: dict[int, CallbackRecord] = {}
        self._yields: dict[CallId, list[int]] = {}
        self._yielded: list[int] = []
        self._calls: dict[CallId, _Caller] = {}
        self._dirty: set[CallId] = set()
        self._beside: dict[CallId, dict[CallId, int]] = {}
        self._lasting: dict[CallId, dict[CallId, int]] = {}
        self._lasted: list[int] = []

    def rule(self, rules: Rules) -> None:
        """From now on these rules say who may take which call."""
        self._able = _Able(rules)
        self._dirty.update(self._calls)

    def put_call(self, call: CallId, arrived: int, history: CallHistory) -> None:
        """Take a call that waited for a person, or what is new about it."""
        caller = self._calls.get(call)
        if caller is None:
            caller = self._calls[call] = _Caller()
        caller.put(arrived, history)
        self._dirty.add(call)

    def drop_call(self, call: CallId) -> None:
        """Forget a call."""
        if self._calls.pop(call, None) is not None:
            self._dirty.discard(call)
            self._put(call, {})

    def close_call(self, call: CallId) -> None:
        """No more facts of this call will come. Its facts go; its waits stay only while they can matter (memory)."""
        caller = self._calls.get(call)
        if caller is None:
            return
        if self._near(caller):
            caller.close()
        else:
            self.drop_call(call)

    def put_task(self, record: CallbackRecord) -> None:
        """Take a task, or what is new about it."""
        before = self._tasks.get(record.id)
        self._tasks[record.id] = record
        self._change(before, record)

    def m22(self, since: int, until: int) -> Metric | None:
        """M22 of (since, until], or None until `rule` was called. A call that still waits is counted up to `until`."""
        if self._able is None:
            return None
        dirty, self._dirty = self._dirty, set()
        if self._attempts or self._beside:
            for call in dirty:
                if call in self._calls:
                    self._put(call, self._look(call, until, self._able))
        yielded, lasted = (
            bisect_right(moments, until) - bisect_right(moments, since)
            for moments in (self._yielded, self._lasted)
        )
        return Metric(yielded, yielded + lasted)

    def forget(self, before: int) -> None:
        """Drop the tasks and the calls that were over before `before` (microseconds)."""
        for number, record in list(self._tasks.items()):
            if record.settled < before and all(one.end < before for one in _unanswered(record)):
                self._change(self._tasks.pop(number), None)
        for call in [call for call, caller in self._calls.items() if caller.last < before]:
            self.drop_call(call)

    def _change(self, before: CallbackRecord | None, record: CallbackRecord | None) -> None:
        """Take out what a task was, and put in what it is."""
        for some, sign in ((before, -1), (record, 1)):
            for attempt in _concerned(some) if some is not None else ():
                if attempt.yielded is not None:
                    self._dirty.add(attempt.inbound)
                    yields = self._yields.setdefault(attempt.inbound, [])
                    _enter(yields, attempt.yielded, sign)
                    _enter(self._yielded, attempt.yielded, sign)
                    if not yields:
                        del self._yields[attempt.inbound]
        old, new = (
            {one.attempt.call: one for one in _unanswered(some)} if some is not None else {}
            for some in (before, record)
        )
        for call in old.keys() | new.keys():
            self._replace(old.get(call), new.get(call))

    def _replace(self, old: _Unanswered | None, new: _Unanswered | None) -> None:
        """Replace an attempt, and look again at the calls for which that can make a difference."""
        if old == new:
            return
        if old is not None:
            del self._attempts[bisect_left(self._attempts, _ORDER(old), key=_ORDER)]
            self._dirty.update(self._lasting.get(old.attempt.call, ()))
        if new is None:
            return
        insort(self._attempts, new, key=_ORDER)
        if old is not None and old.placed == new.placed and old.end >= new.end:
            return  # it only got shorter: the calls that it was in the way of are marked above
        begin, end = new.placed, new.end
        self._dirty.update(
            [call for call, one in self._calls.items() if one.last > begin and one.arrived < end]
        )

    def _near(self, caller: "_Caller") -> bool:
        """Whether this call may have waited while some attempt was unanswered."""
        first = bisect_left(
            self._attempts, caller.arrived - LONGEST_ATTEMPT, key=attrgetter("placed")
        )
        return first < len(self._attempts) and self._attempts[first].placed < caller.last

    def _look(self, call: CallId, until: int, able: _Able) -> dict[CallId, int]:
        """The attempts that did not yield while this call waited, and since when."""
        caller = self._calls[call]
        if not self._near(caller):
            return {}
        found: dict[CallId, int] = {}
        for wait in caller.waits():
            if wait.end is None or wait.end > until:
                self._dirty.add(call)  # the caller still waits: look again next time
            end = until if wait.end is None else min(wait.end, until)
            if any(wait.begin - STEP <= at <= end + STEP for at in self._yields.get(call, ())):
                continue
            beside = _beside(self._attempts, wait, end, able)
            if beside is not None:
                begin, one = beside
                found[one.attempt.call] = min(begin, found.get(one.attempt.call, begin))
        return found

    def _put(self, call: CallId, beside: dict[CallId, int]) -> None:
        before = self._beside.pop(call, {})
        if beside:
            self._beside[call] = beside
        if before == beside:
            return
        for attempt in before.keys() | beside.keys():
            since = self._lasting.setdefault(attempt, {})
            if since:
                _enter(self._lasted, min(since.values()), -1)
            since.pop(call, None)
            if attempt in beside:
                since[call] = beside[attempt]
            if since:
                _enter(self._lasted, min(since.values()), 1)
            else:
                del self._lasting[attempt]


_NEVER = 1 << 62


def _enter(moments: list[int], at: int, sign: int) -> None:
    """Enter a moment into a sorted list, or with sign -1 take it out."""
    if sign > 0:
        insort(moments, at)
    else:
        del moments[bisect_left(moments, at)]


def waits_of(facts: Iterable[Fact]) -> list[Wait]:
    """When a call waited for longer than `STEP`. Facts with the same time must be in the diary's order."""
    known = (fact for fact in facts if fact.kind in InboundFirst.KINDS)
    ordered = sorted(known, key=attrgetter("at"))
    waits = _waits(ordered)
    return [one for one in waits if one.end is None or one.end - one.begin > STEP]


def _waits(facts: Sequence[Fact]) -> list[Wait]:
    """When the call waited, from its facts in the order of their times."""
    waits: list[Wait] = []
    call: CallId = getattr(facts[0], "call", "") if facts else ""
    number = next((one.number for one in facts if isinstance(one, CallArrived)), "")
    ringing: set[str] = set()
    queue, alone = "", 0
    for fact in facts:
        match fact:
            case CallArrived():
                continue
            case CallQueued() | CallReturned() | CallMoved():
                queue = fact.queue
                ringing.clear()
                alone = 0 if isinstance(fact, CallMoved) else alone
                _stop(waits, fact.at)
                waits.append(Wait(call, number, queue, max(fact.at, alone)))
            case CallerAssigned():
                # Until then a supervisor lets them wait for one agent: no other's callback has to yield.
                alone = fact.until
                _stop(waits, fact.at)
                if queue:
                    waits.append(Wait(call, number, queue, alone))
            case OfferMade(agent=agent) | OfferRinging(agent=agent):
                ringing.add(agent)
                _stop(waits, fact.at)
            case OfferEnded(agent=agent, reason=reason):
                ringing.discard(agent)
                alone = 0
                if queue and not ringing and reason is not OfferReason.CALLER_GONE:
                    _stop(waits, fact.at)
                    waits.append(Wait(call, number, queue, fact.at))
            case CallEnded():
                _stop(waits, fact.at)
                break  # what is told of the call after its end was not known to be too late
            case _:
                # The wait is over for good. A late OfferEnded of another phone must not begin a new one.
                queue = ""
                _stop(waits, fact.at)
    return waits


def _stop(waits: list[Wait], at: int) -> None:
    if waits and waits[-1].end is None:
        waits[-1].end = at
