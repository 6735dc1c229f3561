"""The rules of distribution as data: queues, the numbers that lead to them, who serves them, who is treated how.

Pure. Everything here is immutable: a change is a new `Rules`, and no caller loses their place by it
(`Floor.configure`). `check` says in the operator's words which rules cannot work.

**Priority with ageing.** A caller's rank is the moment since which they count as waiting: their place, minus
`priority_step` seconds for each level of priority, their queue's and their own flag's added up. The smallest rank is
offered first. Ranks do not change while callers wait, so all callers age alike and none of them starves: a caller of
the lowest level is passed over only by callers who came at most `levels * priority_step` seconds later.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from facts.numbers import dialable
from facts.times import SECOND
from facts.values import words

DEFAULT = "default"
"""The queue of every number that names no other."""

MANDARIN = "zh"
"""The language that every agent speaks (R9): needs no skill."""

HIGHEST_PRIORITY = 9


@words
class Strategy(StrEnum):
    """Which idle agent is offered a call first."""

    LONGEST_IDLE = "longest-idle"
    FEWEST_CALLS = "fewest-calls"
    SKILL_THEN_IDLE = "skill-then-idle"
    ROUND_ROBIN = "round-robin"
    RING_SEVERAL = "ring-several"


@words
class SurveyWhen(StrEnum):
    """When the citizens of a queue are asked to rate a talk (R46): never, when the agent hands them over, or also
    when the agent hangs up."""

    OFF = "off"
    HAND_OVER = "hand-over"
    HANG_UP = "hang-up"


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue. Times in seconds; 0 switches a limit off. Skills map a name to the least level (1-9).

    `together`: how many phones ring at once with `RING_SEVERAL`. `overflow_to`: another queue's name, or an outside
    number; the call goes there after `overflow_after`, or at once when `longest_queue` is reached. `sticky_for`: how
    long a caller's last agent is preferred (R5). `redial_for`: how long a caller who gave up or was cut off may redial
    and get their place back. `reserve`: idle agents that must remain before a callback is placed, unless its deadline
    is nearer than `urgent_before`. `call_back_lost`: a caller who gave up, was turned away or cut off, becomes a
    callback (漏接回拨). `callback_key`: the key by which a waiting caller asks to be called back and keeps their place;
    none by default. `stay_on_line`: an agent whose callback yields stays on the phone and hears the
    citizen after a tone.
    `detect_silence`: a caller must say something before they are queued (R20). `offer_in_notice`: a new caller is
    queued when the recording notice begins, so that a phone may ring meanwhile; the talk begins when it is over. It has
    no effect with `detect_silence`. `hours`: the name of the opening hours; empty: always open. `survey`: when citizens
    are asked to rate a talk.
    """

    name: str = DEFAULT
    strategy: Strategy = Strategy.LONGEST_IDLE
    together: int = 2
    priority: int = 0
    skills: Mapping[str, int] = field(default_factory=dict)
    ring_time: float = 15.0
    wrap_up_time: float = 5.0
    longest_wait: float = 900.0
    longest_queue: int = 0
    overflow_after: float = 0.0
    overflow_to: str = ""
    sticky_for: float = 0.0
    redial_for: float = 0.0
    reserve: int = 0
    urgent_before: float = 900.0
    call_back_lost: bool = True
    call_back_within: float = 86_400.0
    callback_key: str = ""
    stay_on_line: bool = False
    detect_silence: bool = False
    offer_in_notice: bool = False
    hours: str = ""
    survey: SurveyWhen = SurveyWhen.OFF


@dataclass(frozen=True, slots=True)
class Number:
    """One of the hotline's numbers (R11, R12): the queue it leads to, its language, the name in statistics."""

    number: str
    queue: str = DEFAULT
    language: str = MANDARIN
    label: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """An agent serves a queue. Smaller penalties are offered first. A queue without members is served by all agents."""

    agent: str
    queue: str
    penalty: int = 0


@dataclass(frozen=True, slots=True)
class Flag:
    """How one caller is treated (R10): more priority, and straight to a person. `caller` as in `CallArrived`."""

    caller: str
    priority: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules together. `skills`: agent → skill → level; a language is a skill. `priority_step`: seconds."""

    queues: Mapping[str, Queue] = field(default_factory=lambda: {DEFAULT: Queue()})
    numbers: Mapping[str, Number] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    skills: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    flags: Mapping[str, Flag] = field(default_factory=dict)
    priority_step: float = 60.0

    def queue(self, name: str) -> Queue:
        """The queue of that name; the default one if there is none."""
        return self.queues.get(name) or self.queues.get(DEFAULT) or Queue()

    def needs(self, queue: str, number: str) -> tuple[tuple[str, int], ...]:
        """What an agent must be able to do for a call of this number in this queue: (skill, level), sorted."""
        needs = dict(self.queue(queue).skills)
        dialled = self.numbers.get(number)
        if dialled is not None and dialled.language != MANDARIN:
            needs[dialled.language] = max(1, needs.get(dialled.language, 0))
        return tuple(sorted(needs.items()))

    def bonus(self, queue: str, caller: str) -> int:
        """Microseconds by which a caller counts as waiting longer; the module's docstring has the formula."""
        flag = self.flags.get(caller) if caller else None
        levels = self.queue(queue).priority + (flag.priority if flag is not None else 0)
        return round(levels * self.priority_step * SECOND)


def check(rules: Rules) -> Iterator[str]:
    """Say what cannot work, one sentence each; nothing if all is well."""
    if DEFAULT not in rules.queues:
        yield f"queue {DEFAULT} is missing: every centre has it"
    for name, queue in rules.queues.items():
        yield from _queue_problems(rules, name, queue)
    for number in rules.numbers.values():
        if number.queue not in rules.queues:
            yield f"number {number.number}: there is no queue {number.queue}"
    for member in rules.members:
        if member.queue not in rules.queues:
            yield f"agent {member.agent}: there is no queue {member.queue}"
        if member.penalty < 0:
            yield f"agent {member.agent} in queue {member.queue}: a penalty is 0 or more"
    for caller, flag in rules.flags.items():
        if not 0 <= flag.priority <= HIGHEST_PRIORITY:
            yield f"flag of a caller ({caller[-4:]}): priority goes from 0 to {HIGHEST_PRIORITY}"


def _queue_problems(rules: Rules, name: str, queue: Queue) -> Iterator[str]:
    if queue.name != name:
        yield f"queue {name}: its name is {queue.name}"
    if not 0 <= queue.priority <= HIGHEST_PRIORITY:
        yield f"queue {name}: priority goes from 0 to {HIGHEST_PRIORITY}"
    if queue.ring_time < 1:
        yield f"queue {name}: a phone must ring for at least one second"
    if queue.overflow_to and not (queue.overflow_after or queue.longest_queue):
        yield f"queue {name}: overflow_to needs overflow_after or longest_queue"
    if queue.overflow_after and not queue.overflow_to:
        yield f"queue {name}: overflow_after needs overflow_to"
    if queue.callback_key and queue.callback_key not in "0123456789*#":
        yield f"queue {name}: callback_key is one key of a telephone"
    target, seen = queue.overflow_to, {name}
    while target in rules.queues:
        if target in seen:
            yield f"queue {name}: its overflow leads back to {target}"
            return
        seen.add(target)
        target = rules.queues[target].overflow_to
    if target and not dialable(target):
        yield f"queue {name}: overflow_to is neither a queue nor a telephone number: {target}"
