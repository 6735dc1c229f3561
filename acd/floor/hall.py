"""The hall: everything that the floor knows, and no decision. Pure.

Every other module of this package reads and changes one `Hall`. Times are microseconds UTC.
"""

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from sortedcontainers import SortedList

from acd.callbacks.task import Book, Task
from acd.commands import Command, Record
from acd.gate import History, Policy, Purpose, Refusal, may_dial
from acd.rules.model import Queue, Rules
from acd.strategy import Key
from agents.model import Intent, Presence
from agents.presence import presence
from facts import CallTransferred, DialRefused, Fact
from facts.terms import CallId
from facts.times import DAY
from facts.values import words

REMEMBERED = 4096
"""The most ended calls, left places, last agents, races and unreached callbacks that the hall remembers, of each."""

WRAP_UP, LONGEST_WAIT, OVERFLOW, EXPECT = "wrap-up", "longest-wait", "overflow", "expect"
CALLBACK_DUE, URGENT, MISSED = "callback-due", "callback-urgent", "callback-missed"
DIAL_AGAIN = "dial-again"
RESTED, DOUBTED = "rested", "doubted"
ASSIGNED = "assigned"
"""What can become due; the table `DUE` of `acd.floor.floor` says what happens then."""

Needs: TypeAlias = tuple[tuple[str, int], ...]
"""(skill, least level), sorted by skill."""

LaneKey: TypeAlias = tuple[str, Needs, str]
"""(queue, needs, the only agent or empty for all)"""

Rank: TypeAlias = tuple[int, str]
"""(microseconds since which the caller counts as waiting, the call's id or `#` and a callback's number)"""

FIRST = 30 * DAY
"""Microseconds by which an assigned caller counts as waiting longer: more than anybody waits."""


@words
class Stage(IntEnum):
    """How far a call has come."""

    GREETING = 0
    WAITING = 1
    RINGING = 2
    TALKING = 3
    RELEASED = 4
    OUTSIDE = 5


@dataclass(slots=True)
class Caller:
    """A call on the floor. `place`: since when the caller waits. `rank`: the same, less the bonus of their priority.

    `attached`: a session can carry out commands for the call. `ringing`: the agents whose phones ring for it.
    `handed`: the agent or the outside number that the caller is being transferred to. `leaving`: agents who have
    transferred the caller and whose own legs still exist. `outside`: the outside number that the call was sent to.
    `first_answer`: the agent whose answer made the call `answered`, for as long as that may turn out to be no answer.
    `cut`: the system ended the last talk. `dropped`: the last talk was no answer, and the caller did not end it.
    `lost`: the agent whose phone died in it. `handed_by`: the agent who has handed the caller on. `doubted`: an agent
    who has done so in the talk's first second, or whose phone has dropped the caller; the next fact tells which.
    `assigned`: the agent who alone is offered the caller until `assigned_until`, or empty.
    """

    call: CallId
    number: str = ""
    caller: str = ""
    arrived_at: int = 0
    queue: str = ""
    queued_at: int = 0
    place: int = 0
    rank: int = 0
    stage: Stage = Stage.GREETING
    attached: bool = False
    ringing: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    handed: str = ""
    agent: str = ""
    answered: bool = False
    asked: bool = False
    outside: str = ""
    unwanted: bool = False
    since: int = 0
    first_answer: str = ""
    cut: bool = False
    dropped: bool = False
    lost: str = ""
    handed_by: str = ""
    doubted: str = ""
    assigned: str = ""
    assigned_until: int = 0


@dataclass(slots=True, eq=False)
class Lane:
    """Callers of one queue who need the same skills, by rank, and the idle agents who can serve them, by strategy.

    `penalties`: every agent who can serve the lane → (penalty, level in the needs, summed up). `only`: the agent whose
    own lane it is, for callers who are assigned to them; empty: it is for all. `key`: its key in `Hall.lanes`.
    """

    queue: Queue
    needs: Needs
    key: LaneKey
    only: str = ""
    penalties: dict[str, tuple[int, int]] = field(default_factory=dict)
    waiting: SortedList[Rank] = field(default_factory=SortedList)
    idle: SortedList[Key] = field(default_factory=SortedList)


@dataclass(slots=True)
class Seat:
    """An agent on the floor. `call`: what the agent holds, ringing until `answered`; for a callback the attempt's id.

    `callback`: the number of that callback, or 0. `worked_on`: the call that the wrap-up is about.
    `talked_until`: when the last talk ended, or 0. `failures`: how many offers in a row failed by themselves;
    `rest_until`: no offer before that, or 0.
    `idle_keys`: the agent's key among the idle of each of `lanes`; empty when the agent is not idle.
    """

    agent: str
    intent: Intent = Intent.OUT
    pause_reason: str = ""
    reachable: bool = False
    not_responding: bool = False
    own_call: bool = False
    call: CallId = ""
    answered: bool = False
    callback: int = 0
    wrap_up_until: int = 0
    worked_on: CallId = ""
    idle_since: int = 0
    since: int = 0
    calls: int = 0
    last_offer: int = 0
    removed: bool = False
    talked_until: int = 0
    failures: int = 0
    rest_until: int = 0
    lanes: list[Lane] = field(default_factory=list)
    idle_keys: list[Key] = field(default_factory=list)

    def presence(self) -> Presence:
        """The one visible state."""
        return presence(
            self.intent,
            reachable=self.reachable and not self.rest_until,
            ringing=bool(self.call) and not self.answered,
            talking=bool(self.call) and self.answered,
            own_call=self.own_call,
            wrapping_up=self.wrap_up_until > 0,
            not_responding=self.not_responding,
        )


@dataclass(slots=True, eq=False)
class Hall:
    """All callers, agents and callbacks of the floor, and what it remembers of those who have gone.

    `node` begins the ids of callback attempts. `outside`: the outside numbers that agents may transfer to.
    `policy`: what may be dialled, and how often.
    """

    rules: Rules
    node: str = "hotline"
    outbound: bool = False
    outside: frozenset[str] = frozenset()
    policy: Policy = field(default_factory=Policy)

    # Who is here
    callers: dict[CallId, Caller] = field(default_factory=dict)
    seats: dict[str, Seat] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)

    # Lanes: all, by queue, and by queue and dialled number as far as they were asked for; `members`: queue → agent →
    # penalty; `changed`: the lanes that wait for pairing
    lanes: dict[LaneKey, Lane] = field(default_factory=dict)
    lanes_of: dict[str, list[Lane]] = field(default_factory=dict)
    lane_for: dict[tuple[str, str], Lane] = field(default_factory=dict)
    members: dict[str, dict[str, int]] = field(default_factory=dict)
    changed: dict[Lane, None] = field(default_factory=dict)

    # Transfers to an agent that wait for pairing
    handed: dict[CallId, None] = field(default_factory=dict)
    # Numbers that agents have dialled for themselves: tasks that are placed by the next pairing, or not at all
    own_dials: dict[int, None] = field(default_factory=dict)

    # Callbacks: the due ones, attempt → task, agent → task that is dialling, citizen → their open tasks,
    # and the citizens whose task is not in the book yet
    due_tasks: Book = field(default_factory=Book)
    attempts: dict[CallId, int] = field(default_factory=dict)
    dialling: dict[str, int] = field(default_factory=dict)
    tasks_of: dict[str, dict[int, None]] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    # Attempts whose race is counted: nobody counts it twice, whoever tells of the answer
    raced: OrderedDict[CallId, None] = field(default_factory=OrderedDict)
    # Attempts whose task is closed, and whose end is not told yet
    closing: OrderedDict[CallId, None] = field(default_factory=OrderedDict)
    # Those that were closed as unreached, and when: the last answer may only be on its way
    unreached: OrderedDict[int, tuple[Task, int]] = field(default_factory=OrderedDict)

    # What was dialled, task → until when a cap holds it back, and when dialling goes on if the centre's cap is reached
    history: History = field(default_factory=History)
    held: dict[int, int] = field(default_factory=dict)
    dial_again_at: int = 0

    # Memories: ended calls, citizen → (queue, place, when they left), citizen → (agent, when they answered)
    ended: OrderedDict[CallId, None] = field(default_factory=OrderedDict)
    left: OrderedDict[str, tuple[str, int, int]] = field(default_factory=OrderedDict)
    last_agent: OrderedDict[str, tuple[str, int]] = field(default_factory=OrderedDict)

    # Transfers out of talks of which nobody has told yet: the link is down, or Asterisk's word is late
    early: dict[CallId, CallTransferred] = field(default_factory=dict)

    # Whether offers may be made
    linked: bool = False
    expected: set[CallId] = field(default_factory=set)
    expect_until: int = 0
    listening: bool = False
    stopping: bool = False

    # (when, what, call id or agent or task number), a heap; and the commands of this step
    deadlines: list[tuple[int, str, str]] = field(default_factory=list)
    out: list[Command] = field(default_factory=list)

    def record(self, fact: Fact) -> None:
        """Write the fact into the diary."""
        self.out.append(Record(fact))

    def wake_at(self, when: int, what: str, name: str) -> None:
        """Make `what` become due for the call, agent or task of that name."""
        heapq.heappush(self.deadlines, (when, what, name))

    def caller(self, call: CallId, at: int) -> Caller:
        """The caller of this call. A call that is new to the floor is entered."""
        caller = self.callers.get(call)
        if caller is None:
            caller = self.callers[call] = Caller(call, since=at)
        return caller

    def task_of(self, attempt: CallId) -> Task | None:
        """The open task of this attempt."""
        return self.tasks.get(self.attempts.get(attempt, 0))

    def rank_of(self, caller: Caller) -> int:
        """The caller's rank now: by place and priority, and before all others if they are assigned to an agent."""
        rank = caller.place - self.rules.bonus(caller.queue, caller.caller)
        return rank - FIRST if caller.assigned else rank

    def queue_of(self, call: CallId) -> Queue:
        """The rules of the queue that this call is in; those of the default queue for an unknown call."""
        caller = self.callers.get(call)
        return self.rules.queue(caller.queue if caller is not None else "")

    def refusal(self, number: str, purpose: Purpose) -> Refusal | None:
        """Why this number may not be dialled, whenever it be; None when it may."""
        own = self.rules.numbers
        return may_dial(number, purpose, self.policy, own=own, agents=self.seats)

    def refused(self, number: str, purpose: Purpose, call: CallId, now: int) -> bool:
        """Whether this number may not be dialled. If so, that is recorded."""
        refusal = self.refusal(number, purpose)
        if refusal is not None:
            self.record(DialRefused(now, call, number, purpose.value, refusal.why.value))
        return refusal is not None

    def drain(self) -> list[Command]:
        """Hand out the commands of this step."""
        out, self.out = self.out, []
        return out
