"""The production floor on a virtual clock: `simulate` plays Asterisk, the citizens and the agents.

The floor (`acd.floor`) is the controller's, unchanged: it gets facts and answers with commands, as in production.
Citizens come at random at given rates, wait as long as their patience lasts, and talk; agents pick up after a while, or
do not; callback tasks come, and their citizens answer or do not.

The same scenario, rules and seed give the same facts, to the microsecond. Arrivals, talks, patience and what the agents
do are drawn from four separate streams. So a run with one agent more meets the very same citizens.

Left out: the greeting's text and keys, opening hours and the block list (the session's part), redialling, and commands
and facts that cross on the wire.
"""

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from itertools import accumulate, count
from random import Random
from typing import Any, TypeAlias

from acd.commands import (
    CancelAttempt,
    Command,
    CreateCallback,
    PlaceCallback,
    Record,
    ReleaseCall,
    Ring,
    SendOutside,
    StopRinging,
    Yield,
)
from acd.floor import Floor
from acd.rules.model import DEFAULT, Rules
from facts import (
    KINDS,
    AgentAdded,
    AgentOut,
    AgentReady,
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallEnded,
    CallQueued,
    CallSentOutside,
    Fact,
    LinkRestored,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    PhoneReachable,
    TalkEnded,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.offers import NO_TALK
from facts.terms import CallId, OfferReason, Party
from facts.times import SECOND

HOUR = 3600 * SECOND

BEGIN = 1_736_092_800 * SECOND
"""When every simulation begins: Monday, 2025-01-06 00:00 in China."""

DAY_OF_HOURS = 24
WEEK_OF_HOURS = 168


class Shape(StrEnum):
    """The distribution of lengths of time around their mean."""

    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Length:
    """A random length of time. `mean` in seconds, `math.inf` for never.

    `spread`: for a lognormal one, its standard deviation ÷ its mean. Real talks are close to lognormal with a spread
    near 1 (Brown and others, Statistical Analysis of a Telephone Call Center, 2005).
    """

    mean: float
    shape: Shape = Shape.EXPONENTIAL
    spread: float = 1.0

    def draw(self, chance: Random) -> int:
        """Microseconds; -1 for never."""
        if self.mean == 0:
            return 0
        if math.isinf(self.mean):
            return -1
        if self.shape is Shape.EXPONENTIAL:
            return round(chance.expovariate(1.0) * self.mean * SECOND)
        if self.shape is Shape.FIXED:
            return round(self.mean * SECOND)
        variance = math.log1p(self.spread**2)
        return round(
            self.mean * math.exp(chance.gauss(-variance / 2, math.sqrt(variance))) * SECOND
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated. Rates are per hour, lengths in seconds, shares from 0 to 1.

    `per_hour` (calls) and `agents` (on duty) have one value for each hour from Monday 00:00 on, and start over after
    the last: one value for always, 24 for a day, 168 for a week. `numbers`: the share of calls each number gets.

    Patience counts from the end of the greeting. `answer_after`: how long an agent's phone rings before the agent picks
    up; `no_answer`: the chance that the agent does not, and is ready again `back_after` later. `callbacks_per_hour`:
    how many tasks come; their citizens answer with the chance `reached`, after `reach_after` of ringing; a task has
    `attempts`, `spacing` apart, and must be done within `callback_within`. `call_back_lost`: a caller who gives up
    becomes a task, too.
    """

    per_hour: tuple[float, ...] = (600.0,)
    agents: tuple[int, ...] = (35,)
    numbers: tuple[tuple[str, float], ...] = ()
    talk: Length = field(default_factory=lambda: Length(180.0))
    patience: Length = field(default_factory=lambda: Length(120.0))
    greeting: float = 0.0
    answer_after: Length = field(default_factory=lambda: Length(0.0))
    no_answer: float = 0.0
    back_after: float = 60.0
    callbacks_per_hour: float = 0.0
    call_back_lost: bool = False
    reached: float = 0.6
    reach_after: float = 12.0
    attempts: int = 3
    spacing: float = 3600.0
    callback_within: float = 86_400.0


@dataclass(slots=True)
class Totals:
    """The sums of a simulation, besides its calls. Times in microseconds.

    `kinds`: how many facts of each kind the floor recorded. `on_duty`, `talking`, `wrapping_up`: sums over all agents.
    """

    began: int
    ended: int = 0
    calls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    on_duty: int = 0
    talking: int = 0
    wrapping_up: int = 0

    def merge(self, other: "Totals") -> None:
        """Add what another simulation came to."""
        self.ended = max(self.ended, other.ended)
        self.calls += other.calls
        self.kinds.update(other.kinds)
        self.on_duty += other.on_duty
        self.talking += other.talking
        self.wrapping_up += other.wrapping_up

    @property
    def facts(self) -> int:
        """All facts in the diary."""
        return self.kinds.total()

    @property
    def occupancy(self) -> float | None:
        """M10: (talk + wrap-up) ÷ time on duty; None without an agent on duty."""
        return (self.talking + self.wrapping_up) / self.on_duty if self.on_duty else None


Finished: TypeAlias = Callable[[list[Fact]], None]
"""Takes the facts of one call that has ended, as the diary has them."""


def simulate(
    scenario: Scenario,
    rules: Rules,
    finished: Finished,
    *,
    seed: int | str = 1,
    calls: int | None = None,
    hours: float | None = None,
    first_hour: int = 0,
) -> Totals:
    """Run the floor until `calls` have come, or for so many `hours`, and until all of them have ended.

    Give one of the two. `finished` gets each call when it ends, and nothing of it is kept here. So memory depends on
    how many calls there are at once, not on how many there were. Raises `ValueError` with a message for the operator.

    `first_hour`: begin so many hours after `BEGIN`, with a floor at work: it has run for an hour that does not count.
    """
    check(scenario, rules, calls, hours)
    return _Play(scenario, rules, finished, seed, first_hour).run(calls, hours)


def check(scenario: Scenario, rules: Rules, calls: int | None, hours: float | None) -> None:
    """Raise `ValueError` with a message for the operator if `simulate` could not run this."""
    for problem in problems(scenario, rules):
        raise ValueError(problem)
    if (calls is None) == (hours is None):
        raise ValueError("give either a number of calls or a number of hours")
    if calls is not None and calls < 1:
        raise ValueError(f"{calls} calls: give 1 or more")
    if hours is not None and not 0 < hours < math.inf:
        raise ValueError(f"{hours:g} hours: give more than 0")
    if calls is not None and not any(scenario.per_hour):
        raise ValueError("no calls ever come: give a rate above 0")


def problems(scenario: Scenario, rules: Rules) -> Iterator[str]:
    """Why this cannot be simulated, one sentence for each reason; none if it can."""
    for name, values in (("calls per hour", scenario.per_hour), ("agents", scenario.agents)):
        if len(values) not in (1, DAY_OF_HOURS, WEEK_OF_HOURS):
            yield f"{name}: there are {len(values)} values; give 1, {DAY_OF_HOURS} or {WEEK_OF_HOURS}"
        if not all(0 <= value < math.inf for value in values):
            yield f"{name}: every value must be 0 or more"
    named = _agents_of(rules)
    if named and max(scenario.agents) > len(named):
        yield f"{max(scenario.agents)} agents: the rules name only {len(named)}"
    for number, share in scenario.numbers:
        if not 0 <= share < math.inf:
            yield f"number {number}: its share must be 0 or more"
    if scenario.numbers and not any(share for _, share in scenario.numbers):
        yield "no number gets any calls"
    for name, length in (
        ("talk", scenario.talk),
        ("patience", scenario.patience),
        ("answer delay", scenario.answer_after),
    ):
        if not length.mean >= 0:
            yield f"{name}: give 0 seconds or more"
        if not 0 <= length.spread <= 10:
            yield f"{name}: a spread lies between 0 and 10"
    if math.isinf(scenario.talk.mean) or math.isinf(scenario.answer_after.mean):
        yield "talk and answer delay must end"
    for name, share in (("no answer", scenario.no_answer), ("reached", scenario.reached)):
        if not 0 <= share <= 1:
            yield f"{name}: a chance lies between 0 and 1"
    for name, value in (
        ("greeting", scenario.greeting),
        ("back after", scenario.back_after),
        ("callbacks per hour", scenario.callbacks_per_hour),
        ("reach after", scenario.reach_after),
        ("spacing", scenario.spacing),
        ("callback within", scenario.callback_within),
    ):
        if not 0 <= value < math.inf:
            yield f"{name}: give 0 or more"


def _agents_of(rules: Rules) -> list[str]:
    """The agents that the rules name, in order; none: everybody serves everything."""
    return list(dict.fromkeys((*(member.agent for member in rules.members), *rules.skills)))


@dataclass(slots=True)
class _SimulatedCall:
    """A citizen's call. `talk` and `patience` in microseconds, patience -1 for endless."""

    id: CallId
    queue: str
    talk: int
    patience: int
    facts: list[Fact] = field(default_factory=list)
    ringing: list[str] = field(default_factory=list)
    agent: str = ""


_OF_CALLS = frozenset(
    kind
    for kind in KINDS.values()
    if "call" in {one.name for one in fields(kind)}
    and "callback" not in {one.name for one in fields(kind)}
    and kind not in {WrapUpStarted, WrapUpEnded}
)
"""Facts about a citizen's call until its end."""

_RING_CITIZEN_FOR = 30 * SECOND
_Event: TypeAlias = tuple[int, int, Callable[..., None], tuple[Any, ...]]


class _Play:
    """One simulation."""

    def __init__(
        self,
        scenario: Scenario,
        rules: Rules,
        finished: Finished,
        seed: int | str,
        first_hour: int,
    ) -> None:
        self._scenario = scenario
        self._rules = rules
        self._finished = finished
        self._floor = Floor(
            rules, outbound=scenario.callbacks_per_hour > 0 or scenario.call_back_lost, node="sim"
        )
        self._arrivals, self._talks, self._patience, self._people, self._tasks = (
            Random(f"{seed} {stream}")
            for stream in ("arrivals", "talks", "patience", "people", "tasks")
        )
        self._hour = max(0, first_hour - 1)
        self._counts_from = BEGIN + first_hour * HOUR
        self._now = BEGIN + self._hour * HOUR
        self._events: list[_Event] = []
        self._order = count()
        self._untold: deque[Fact] = deque()
        self._calls: dict[CallId, _SimulatedCall] = {}
        self._phones: dict[str, int] = {}  # agent -> the current ringing of the agent's phone
        self._attempts: dict[CallId, tuple[int, str]] = {}  # attempt -> (task, agent)
        self._attempt_talks: dict[CallId, int] = {}  # attempt -> when the citizen answered
        self._wrapping_up: dict[str, int] = {}
        self._names = _agents_of(rules) or [f"{1001 + one}" for one in range(max(scenario.agents))]
        self._on_duty: set[str] = set()
        self._shift_ends = self._now
        self._numbers = self._shares()
        self._next_task = self._next_name = 0
        self._coming = True
        self._totals = Totals(began=self._counts_from)
        self._obey: dict[type, Callable[[Any], None]] = {
            Ring: self._ring,
            StopRinging: self._stop_ringing,
            ReleaseCall: self._release,
            SendOutside: self._send_outside,
            CreateCallback: self._create_callback,
            PlaceCallback: self._place_callback,
            CancelAttempt: self._cancel_attempt,
            Yield: self._yield,
        }

    def run(self, calls: int | None, hours: float | None) -> Totals:
        """Run until all calls have come and ended."""
        until = None if hours is None else self._counts_from + round(hours * HOUR)
        coming = self._moments(self._scenario.per_hour, self._arrivals, until, calls)
        self._tell(LinkRestored(self._now))
        for agent in self._names[: max(self._scenario.agents)]:
            self._tell(AgentAdded(self._now, agent))
            self._tell(PhoneReachable(self._now, agent))
        if self._now < self._counts_from:
            self._at(self._counts_from, self._count_from_now)
        self._change_shift(self._hour)
        self._next_call(coming)
        if self._scenario.callbacks_per_hour:
            self._next_callback(
                self._moments((self._scenario.callbacks_per_hour,), self._tasks, until, None)
            )
        events, floor = self._events, self._floor
        while self._coming or self._calls or self._attempts:
            due = floor.deadline()
            if due is not None and (not events or due <= events[0][0]):
                self._now = max(self._now, due)
                self._carry_out(floor.tick(self._now))
            else:
                self._now, _, happen, about = heapq.heappop(events)
                happen(*about)
            while self._untold:
                self._tell(self._untold.popleft())
        self._totals.ended = max(self._now, until or 0)
        self._totals.on_duty -= len(self._on_duty) * (self._shift_ends - self._totals.ended)
        return self._totals

    def _count_from_now(self) -> None:
        """The hour that does not count is over. The shift that begins now counts its own time."""
        self._totals = Totals(began=self._now)

    # --- the floor

    def _tell(self, fact: Fact) -> None:
        self._carry_out(self._floor.handle(fact, self._now))

    def _carry_out(self, commands: list[Command]) -> None:
        kinds = self._totals.kinds
        for command in commands:
            if type(command) is not Record:
                self._obey[type(command)](command)
                continue
            fact = command.fact
            kind = type(fact)
            kinds[kind.kind] += 1
            if kind in _OF_CALLS:
                call = self._calls.get(fact.call)  # type: ignore[union-attr]  # every such kind has it
                if call is not None:
                    call.facts.append(fact)
            elif kind is WrapUpStarted:
                self._wrapping_up[fact.agent] = fact.at  # type: ignore[union-attr]
            elif kind is WrapUpEnded:
                self._totals.wrapping_up += fact.at - self._wrapping_up.pop(fact.agent)  # type: ignore[union-attr]

    def _at(self, at: int, happen: Callable[..., None], *about: Any) -> None:
        heapq.heappush(self._events, (at, next(self._order), happen, about))

    # --- citizens

    def _moments(
        self, per_hour: tuple[float, ...], chance: Random, until: int | None, most: int | None
    ) -> Iterator[int]:
        """When calls come: a Poisson process whose rate changes with the hour. `most`: of those that count."""
        hour, into = self._hour, 0.0
        counted = 0
        while counted != most:
            left = chance.expovariate(1.0)
            while left >= (still := per_hour[hour % len(per_hour)] * (1 - into)):
                left -= still
                hour, into = hour + 1, 0.0
                if until is not None and BEGIN + hour * HOUR >= until:
                    return
            into += left / per_hour[hour % len(per_hour)]
            at = BEGIN + hour * HOUR + round(into * HOUR)
            if until is not None and at >= until:
                return
            counted += at >= self._counts_from
            yield at

    def _shares(self) -> list[tuple[float, str, str]]:
        """(cumulated share, number, its queue)."""
        numbers = self._scenario.numbers or tuple((one, 1.0) for one in self._rules.numbers)
        numbers = numbers or (("12345", 1.0),)
        whole = sum(share for _, share in numbers)
        sums = accumulate(share / whole for _, share in numbers)
        known = self._rules.numbers
        return [
            (until, number, known[number].queue if number in known else DEFAULT)
            for until, (number, _) in zip(sums, numbers, strict=True)
        ]

    def _next_call(self, coming: Iterator[int]) -> None:
        at = next(coming, None)
        if at is None:
            self._coming = False
        else:
            self._at(at, self._arrive, coming)

    def _arrive(self, coming: Iterator[int]) -> None:
        self._totals.calls += 1
        self._next_name += 1
        name = f"sim-1.{self._next_name}"
        _, number, queue = self._numbers[0]
        if len(self._numbers) > 1:
            drawn = self._people.random()
            _, number, queue = next(
                (one for one in self._numbers if drawn < one[0]), self._numbers[-1]
            )
        scenario = self._scenario
        talk, patience = scenario.talk.draw(self._talks), scenario.patience.draw(self._patience)
        # A shorter talk would be no answer, and so no load: the theory beside the figures knows none.
        self._calls[name] = _SimulatedCall(name, queue, max(NO_TALK + 1, talk), patience)
        # A caller without a number cannot be called back, so the floor makes no task.
        caller = f"+86{13_000_000_000 + self._next_name}" if scenario.call_back_lost else ""
        self._tell(CallArrived(self._now, name, number, caller))
        if scenario.greeting:
            self._at(self._now + round(scenario.greeting * SECOND), self._queue, name)
        else:
            self._queue(name)
        self._next_call(coming)

    def _queue(self, name: CallId) -> None:
        call = self._calls[name]
        self._tell(CallQueued(self._now, name, call.queue))
        if call.patience >= 0:
            self._at(self._now + call.patience, self._give_up, name)

    def _give_up(self, name: CallId) -> None:
        call = self._calls.get(name)
        if call is None or call.agent:
            return
        for agent in call.ringing:
            del self._phones[agent]
            self._tell(OfferEnded(self._now, name, agent, OfferReason.CALLER_GONE))
        self._end(name, Party.CALLER)

    def _end(self, name: CallId, by: Party) -> None:
        if name not in self._calls:
            return
        self._tell(CallEnded(self._now, name, by))
        facts = self._calls.pop(name).facts
        if facts[0].at >= self._counts_from:
            self._finished(facts)

    def _release(self, command: ReleaseCall) -> None:
        self._at(self._now, self._end, command.call, Party.SYSTEM)

    def _send_outside(self, command: SendOutside) -> None:
        """The outside number answers at once and talks as long as an agent would have."""
        call = self._calls[command.call]
        call.agent = command.number
        self._untold.append(CallSentOutside(self._now, call.id, command.number, answered=True))
        self._at(self._now + call.talk, self._end, call.id, Party.CALLER)

    # --- offers

    def _ring(self, command: Ring) -> None:
        call = self._calls[command.call]
        for agent in command.agents:
            self._ring_one(call, agent, command.ring_for)

    def _ring_one(self, call: _SimulatedCall, agent: str, ring_for: float) -> None:
        """The agent's phone rings; the agent picks up, or three rings pass."""
        ringing = self._ring_phone(agent)
        call.ringing.append(agent)
        self._untold.append(OfferRinging(self._now, call.id, agent))
        after = self._answers_after(ring_for)
        if after is None:
            self._at(self._now + round(ring_for * SECOND), self._no_answer, call.id, agent, ringing)
        else:
            self._at(self._now + after, self._answer, call.id, agent, ringing)

    def _ring_phone(self, agent: str) -> int:
        ringing = self._phones[agent] = next(self._order)
        return ringing

    def _answers_after(self, ring_for: float) -> int | None:
        """Microseconds; None: not within `ring_for` seconds."""
        scenario = self._scenario
        if scenario.no_answer and self._people.random() < scenario.no_answer:
            return None
        after = scenario.answer_after.draw(self._people)
        return after if after < round(ring_for * SECOND) else None

    def _answer(self, name: CallId, agent: str, ringing: int) -> None:
        if self._phones.get(agent) != ringing:
            return
        del self._phones[agent]
        call = self._calls[name]
        call.agent = agent
        self._tell(OfferAnswered(self._now, name, agent))
        for other in call.ringing:
            if other != agent:
                del self._phones[other]
                self._tell(OfferEnded(self._now, name, other, OfferReason.WITHDRAWN))
        call.ringing.clear()
        self._totals.talking += call.talk
        self._at(self._now + call.talk, self._hang_up, name, agent)

    def _hang_up(self, name: CallId, agent: str) -> None:
        self._tell(TalkEnded(self._now, name, agent, Party.CALLER))
        self._end(name, Party.CALLER)

    def _no_answer(self, name: CallId, agent: str, ringing: int) -> None:
        if self._phones.get(agent) != ringing:
            return
        del self._phones[agent]
        self._calls[name].ringing.remove(agent)
        self._away(agent)
        self._tell(OfferEnded(self._now, name, agent, OfferReason.NO_ANSWER))

    def _away(self, agent: str) -> None:
        self._at(self._now + round(self._scenario.back_after * SECOND), self._back, agent)

    def _back(self, agent: str) -> None:
        if agent in self._on_duty:
            self._tell(AgentReady(self._now, agent))

    def _stop_ringing(self, command: StopRinging) -> None:
        call = self._calls.get(command.call)
        if call is None or command.agent not in call.ringing:
            return
        call.ringing.remove(command.agent)
        del self._phones[command.agent]
        reason = OfferReason.WITHDRAWN
        self._untold.append(OfferEnded(self._now, call.id, command.agent, reason))

    # --- callbacks

    def _next_callback(self, coming: Iterator[int]) -> None:
        at = next(coming, None)
        if at is not None and self._coming:
            self._at(at, self._task_comes, coming)

    def _task_comes(self, coming: Iterator[int]) -> None:
        self._enter(f"+86{13_900_000_000 + self._next_task}", self._numbers[0][2], "", 0, None)
        self._next_callback(coming)

    def _create_callback(self, command: CreateCallback) -> None:
        self._enter(command.number, command.queue, command.origin, command.place, command.latest)

    def _enter(
        self, number: str, queue: str, origin: CallId, place: int, latest: int | None
    ) -> None:
        self._next_task += 1
        scenario = self._scenario
        self._untold.append(
            CallbackAdded(
                self._now,
                self._next_task,
                number,
                queue,
                self._now,
                latest or self._now + round(scenario.callback_within * SECOND),
                attempts=scenario.attempts,
                spacing=round(scenario.spacing * SECOND),
                origin=origin,
                place=place,
            )
        )

    def _place_callback(self, command: PlaceCallback) -> None:
        """The agent's phone rings first, then the citizen's."""
        attempt, agent = command.call, command.agent
        ringing = self._ring_phone(agent)
        self._attempts[attempt] = (command.callback, agent)
        ring_for = self._rules.queue(command.queue).ring_time
        after = self._answers_after(ring_for)
        if after is None:
            late = self._now + round(ring_for * SECOND)
            self._at(late, self._attempt_fails, attempt, "agent_no_answer", ringing)
        else:
            self._at(self._now + after, self._dial, attempt, ringing)

    def _dial(self, attempt: CallId, ringing: int) -> None:
        if attempt not in self._attempts:
            return
        task, agent = self._attempts[attempt]
        self._tell(CallbackDialling(self._now, task, attempt, agent))
        if self._tasks.random() < self._scenario.reached:
            late = self._now + round(self._scenario.reach_after * SECOND)
            self._at(late, self._citizen_answers, attempt)
        else:
            late = self._now + _RING_CITIZEN_FOR
            self._at(late, self._attempt_fails, attempt, "no_answer", ringing)

    def _citizen_answers(self, attempt: CallId) -> None:
        if attempt not in self._attempts:
            return
        task, agent = self._attempts[attempt]
        del self._phones[agent]
        talk = max(1, self._scenario.talk.draw(self._tasks))
        self._totals.talking += talk
        self._tell(CallbackAnswered(self._now, task, attempt, agent))
        self._at(self._now + talk, self._callback_over, attempt)

    def _callback_over(self, attempt: CallId) -> None:
        task, agent = self._attempts.pop(attempt)
        self._tell(CallbackEnded(self._now, task, attempt, agent, hung_up_by=Party.CALLER))

    def _attempt_fails(self, attempt: CallId, failure: str, ringing: int) -> None:
        if attempt not in self._attempts:
            return
        task, agent = self._attempts.pop(attempt)
        del self._phones[agent]
        if failure == "agent_no_answer":
            self._away(agent)
        self._tell(CallbackEnded(self._now, task, attempt, agent, failure))

    def _cancel_attempt(self, command: CancelAttempt) -> None:
        task, agent = self._attempts.pop(command.call)
        del self._phones[agent]
        self._untold.append(CallbackEnded(self._now, task, command.call, agent, "withdrawn"))

    def _yield(self, command: Yield) -> None:
        """Offer the citizen to the agent in the same step: on the kept channel, or by a new ringing."""
        del self._attempts[command.cancel]
        call = self._calls[command.call]
        if command.stay_on_line:
            ringing = self._ring_phone(command.agent)
            call.ringing.append(command.agent)
            self._untold.append(OfferRinging(self._now, call.id, command.agent))
            self._at(self._now, self._answer, call.id, command.agent, ringing)
        else:
            self._ring_one(call, command.agent, command.ring_for)

    # --- agents

    def _change_shift(self, hour: int) -> None:
        """Change who is on duty, at each hour. An agent who leaves finishes the talk first."""
        wanted = self._scenario.agents[hour % len(self._scenario.agents)]
        for agent in self._names[wanted : len(self._on_duty)]:
            self._on_duty.discard(agent)
            self._tell(AgentOut(self._now, agent))
        for agent in self._names[len(self._on_duty) : wanted]:
            self._on_duty.add(agent)
            self._tell(AgentReady(self._now, agent))
        self._totals.on_duty += wanted * HOUR
        self._shift_ends = self._now + HOUR
        self._at(self._shift_ends, self._change_shift, hour + 1)
