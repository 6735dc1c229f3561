"""A world that does to the floor whatever Asterisk, agents, citizens and supervisors may do, in any order.

It is driven by a seed, and checks the floor's promises after every single fact. Agents' phones and legs are modelled
as Asterisk would report them; facts may come late or twice. At random points the floor is made again of its snapshot,
and from there on both decide side by side.
"""

import json
import random
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from enum import Enum
from functools import cache
from typing import get_type_hints

from acd.callbacks.task import AGENT_SIDE, State, Task
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
from acd.floor import Floor, Stage
from acd.floor.lanes import lane_of, waiting_in
from acd.floor.pairing import next_task
from acd.gate import PENDING_FOR, Policy
from acd.rules.model import DEFAULT, Flag, Member, Number, Queue, Rules, Strategy
from agents.model import Presence
from facts import (
    AgentAdded,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackAsked,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackRaced,
    CallDetached,
    CallEnded,
    CallerAssigned,
    CallerBroughtForward,
    CallMoved,
    CallQueued,
    CallReturned,
    CallSentOutside,
    CallTransferred,
    Fact,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import HOUR, SECOND, midnight
from metrics.fold import record_of

AGENTS = ("1001", "1002", "1003", "1004")
CITIZENS = ("", "+8613800000001", "+8613800000002", "+8613800000003")
FORBIDDEN = ("12345", "+862412345", "1002", "110", "+882161234567", "10086", "+85251234567")
"""Callers who may not be called back."""
NUMBERS = ("12345", "12346", "8890")
OUTSIDE = "12333"
NOWHERE = "1999"
FAILURES = (
    "busy",
    "no_answer",
    "refused",
    "unreachable",
    "agent_no_answer",
    "agent_hung_up",
    "withdrawn",
)

_AT_AN_AGENT = (
    *(AgentReady, AgentReady, AgentReady, AgentOut, AgentAdded, AgentRemoved),
    *(PhoneReachable, PhoneReachable, PhoneUnreachable),
    *(OwnCallStarted, OwnCallEnded, OwnCallEnded),
)


def some_rules(rng: random.Random) -> Rules:
    """Rules that use everything there is."""
    queues = {
        DEFAULT: Queue(
            strategy=rng.choice(list(Strategy)),
            together=2,
            longest_wait=120,
            reserve=rng.choice([0, 0, 1]),
            urgent_before=60,
            redial_for=rng.choice([0, 60]),
            sticky_for=rng.choice([0, 300]),
            stay_on_line=rng.random() < 0.3,
            call_back_within=600,
        ),
        "tax": Queue(
            "tax",
            skills={"tax": 2},
            priority=rng.choice([0, 1]),
            longest_queue=rng.choice([0, 2]),
            overflow_to=rng.choice([DEFAULT, "0411000"]),
            overflow_after=30,
            longest_wait=90,
            wrap_up_time=0,
        ),
    }
    members = (
        Member("1001", DEFAULT),
        Member("1002", DEFAULT, rng.choice([0, 1])),
        Member("1003", DEFAULT),
        Member("1002", "tax"),
        Member("1003", "tax", 1),
        Member("1004", "tax"),
    )
    return Rules(
        queues=queues,
        numbers={"12346": Number("12346", "tax"), "8890": Number("8890", DEFAULT, "en")},
        members=members if rng.random() < 0.7 else members[3:],
        skills={"1002": {"tax": 2}, "1003": {"tax": 3, "en": 1}, "1004": {"tax": 1}},
        flags={CITIZENS[3]: Flag(CITIZENS[3], priority=2)},
    )


def some_policy(rng: random.Random) -> Policy:
    """Mostly without caps, else with such as are soon reached."""
    if rng.random() < 0.8:
        return Policy()
    return Policy(
        per_hour=rng.choice([0, 1, 4]),
        per_number_day=rng.choice([0, 1, 3]),
        budget_day=rng.choice([0, 1, 6]),
    )


def check_types(floor: Floor, commands: Collection[Command] = ()) -> None:
    """A moment is a number, a name is text, a flag is yes or no: in the hall, in each command, in each fact."""
    facts = [command.fact for command in commands if isinstance(command, Record)]
    hall = floor.hall
    for thing in (
        *(hall, *hall.callers.values(), *hall.seats.values(), *hall.tasks.values()),
        *(*commands, *facts),
    ):
        for name, kind in _plain_fields(type(thing)):  # type: ignore[arg-type]
            value = getattr(thing, name)
            assert type(value) is kind, f"{name} of {thing!r} is {value!r}"
    for lane in hall.lanes.values():
        assert lane.penalties.keys() <= hall.seats.keys(), "an agent who has left serves a lane"


@cache
def _plain_fields(cls: type) -> list[tuple[str, type]]:
    return [
        (name, kind)
        for name, kind in get_type_hints(cls).items()
        if isinstance(kind, type) and issubclass(kind, (int, str, Enum))
    ]


class World:
    """One history. `run` it; an AssertionError names what was broken."""

    def __init__(self, seed: int, *, supervised: bool = True) -> None:
        self.rng = random.Random(seed)
        self.now = 1_000_000 * SECOND
        self.rules = some_rules(self.rng)
        # Chance of its own: what else happens is as it would be without the gate.
        self.gate_rng = random.Random(f"{seed} gate")
        self.cross_rng = random.Random(f"{seed} cross")
        self.supervisor_rng = random.Random(f"{seed} supervisor")
        self.supervised = supervised
        self.policy = some_policy(self.gate_rng)
        self.made: list[
            tuple[int, str]
        ] = []  # attempts: when the citizen was dialled, and their number
        self.dialled: set[str] = set()
        self.floor = self.new_floor()
        self.shadow: Floor | None = None
        self.linked = False
        self.rings: dict[str, str] = {}  # agent -> the call their phone rings for
        self.talks: dict[str, str] = {}  # agent -> the call they talk in
        self.attempts: dict[str, tuple[int, str]] = {}  # attempt that exists -> (task, agent)
        self.number_of: dict[str, str] = {}  # attempt -> the number that it dials
        self.placed_at: dict[str, int] = {}
        self.answered: set[str] = set()  # attempts the citizen has picked up
        self.cancelled: set[str] = set()
        self.gone: set[str] = set()
        self.handed_on: set[str] = set()  # calls of citizens who were called back
        self.next_call = 0
        self.next_task = 0
        self.diary: dict[str, list[Fact]] = defaultdict(list)

    def run(self, steps: int) -> None:
        self.tell(LinkRestored(self.now))
        self.linked = True
        for agent in AGENTS[: self.rng.randint(1, 4)]:
            for kind in (AgentAdded, PhoneReachable, AgentReady):
                self.tell(kind(self.now, agent))
        doings = [method for name, method in sorted(vars(World).items()) if name.startswith("do_")]
        decisions = (self.decide_assigned, self.decide_moved, self.decide_brought_forward)
        for _ in range(steps):
            self.now += self.rng.choice([0, 1000, SECOND, SECOND, 5 * SECOND, 40 * SECOND])
            self.tick()
            self.rng.choice(doings)(self)
            if self.supervised and self.supervisor_rng.random() < 0.2:
                self.supervisor_rng.choice(decisions)()
            if self.rng.random() < 0.03:
                check_types(self.floor)
                plain = json.loads(json.dumps(self.floor.snapshot()))
                self.shadow = Floor.restore(
                    plain,
                    self.rules,
                    self.now,
                    outbound=True,
                    outside=(OUTSIDE,),
                    policy=self.policy,
                )
        self.everybody_leaves()

    def new_floor(self) -> Floor:
        return Floor(self.rules, outbound=True, outside=(OUTSIDE,), policy=self.policy)

    # --- the floor and its commands

    def tell(self, fact: Fact) -> None:
        commands = self.floor.handle(fact, self.now)
        if self.shadow is not None:
            mirrored = self.shadow.handle(fact, self.now)
            assert mirrored == commands, f"a snapshot changed a decision: {mirrored} != {commands}"
        self.obey(commands)

    def tick(self) -> None:
        commands = self.floor.tick(self.now)
        if self.shadow is not None:
            mirrored = self.shadow.tick(self.now)
            assert sorted(map(repr, mirrored)) == sorted(map(repr, commands)), (
                f"{mirrored} != {commands}"
            )
        self.obey(commands)

    def obey(self, commands: list[Command]) -> None:
        later: list[Fact] = []
        for command in commands:
            match command:
                case Record(fact):
                    self.diary[getattr(fact, "call", "")].append(fact)
                case Ring(call, agents, _):
                    for agent in agents:
                        self.check_offer(call, agent)
                case Yield(task, cancel, agent, call, _, _):
                    assert cancel not in self.answered or cancel in self.cancelled, (
                        "an answered callback was cut"
                    )
                    self.check_yield(task, agent, call)
                    self.rings.pop(agent, None)
                    self.cancelled.add(cancel)
                    self.check_offer(call, agent)
                case PlaceCallback(task, attempt, agent, number, queue):
                    assert not self.may_not_be_dialled(number), "a number was dialled that may not"
                    assert self.linked, "a callback without a link"
                    kept = self.floor.tasks[task].place
                    assert kept or not waiting_in(self.floor.hall, queue), (
                        "placed while its queue waits"
                    )
                    self.check_turn(self.floor.tasks[task])
                    assert agent not in self.rings, "an agent rings for two"
                    assert agent not in self.talks
                    self.attempts[attempt] = (task, agent)
                    self.number_of[attempt], self.placed_at[attempt] = number, self.now
                    self.rings[agent] = attempt
                case CancelAttempt(attempt, agent):
                    assert attempt not in self.answered, "an answered callback was cut"
                    self.cancelled.add(attempt)
                    if self.floor.seats[agent].call != attempt:
                        del self.rings[
                            agent
                        ]  # the floor counts on it, and may ring them for another at once
                    if attempt in self.attempts:
                        task, _ = self.attempts.pop(attempt)
                        later.append(CallbackEnded(self.now, task, attempt, agent, "withdrawn"))
                case StopRinging(call, agent):
                    assert self.rings.get(agent) == call
                case CreateCallback(number, queue, latest, reason, origin, place):
                    assert not self.may_not_be_dialled(number), "a task for a forbidden number"
                    assert reason != "lost" or origin not in self.handed_on, (
                        "a citizen who has talked was called lost"
                    )
                    self.next_task += 1
                    later.append(
                        CallbackAdded(
                            self.now,
                            self.next_task,
                            number,
                            queue,
                            self.now,
                            latest,
                            spacing=30 * SECOND,
                            reason=reason,
                            origin=origin,
                            place=place,
                        )
                    )
                case SendOutside(_, number):
                    assert number not in self.floor.seats, "a caller was sent to an agent's number"
                    assert number not in self.rules.numbers, "a caller was sent to the hotline"
                case ReleaseCall():
                    pass
        self.check_floor()
        for fact in later:
            if isinstance(fact, CallbackEnded) and self.rings.get(fact.agent) == fact.call:
                del self.rings[fact.agent]
            self.tell(fact)

    # --- promises

    def somebody(self, citizens: tuple[str, ...]) -> str:
        chosen = self.rng.choice(citizens)
        return self.gate_rng.choice(FORBIDDEN) if self.gate_rng.random() < 0.1 else chosen

    def may_not_be_dialled(self, number: str) -> bool:
        return number in FORBIDDEN and (number not in AGENTS or number in self.floor.seats)

    def dial(self, attempt: str, number: str) -> None:
        """The citizen's phone rings. No cap may be exceeded by it."""
        # No agent's phone rings for longer than two minutes: what this world dials so late is dialled nowhere else.
        if attempt in self.dialled or self.now - self.placed_at[attempt] >= PENDING_FOR:
            return
        self.dialled.add(attempt)
        self.made.append((self.now, number))
        today = [one for at, one in self.made if at >= midnight(self.now)]
        hour = [at for at, _ in self.made if at > self.now - HOUR]
        for cap, made in (
            (self.policy.per_hour, len(hour)),
            (self.policy.budget_day, len(today)),
            (self.policy.per_number_day, today.count(number)),
        ):
            assert not cap or made <= cap, "a cap was exceeded"

    def check_offer(self, call: str, agent: str) -> None:
        assert self.linked, "an offer without a link"
        assert call not in self.gone, "an offer of a call that has ended"
        assert agent not in self.rings, "an agent rings for two calls"
        assert agent not in self.talks, "a talking agent is rung"
        caller = self.floor.callers[call]
        for other in self.floor.callers.values():
            if other.stage is Stage.WAITING and other.attached and other.rank < caller.rank:
                lane = lane_of(self.floor.hall, other)
                assert agent not in lane.penalties, (
                    "a caller was passed over, and this agent serves them"
                )
        self.rings[agent] = call

    def check_yield(self, task: int, agent: str, call: str) -> None:
        found = self.floor.tasks.get(
            task
        )  # none: its deadline had passed, and it is listed as missed
        assert found is None or found.place == 0, "a kept place yielded"
        caller = self.floor.callers[call]
        able: Collection[str] = lane_of(self.floor.hall, caller).penalties
        able = [caller.assigned] if caller.assigned else able
        for other in self.floor.tasks.values():
            if other.state is State.DIALLING and not other.place and other.agent in able:
                assert found is None or other.latest <= found.latest, "the nearer deadline yielded"

    def check_turn(self, placed: Task) -> None:
        """A citizen whose answer crossed with our cancel comes first, but for kept places and near deadlines."""
        before = self.rules.queue(placed.queue).urgent_before
        if placed.first or placed.place or placed.urgent(self.now, before):
            return
        due = self.floor.hall.due_tasks
        for task in self.floor.tasks.values():
            raced = task.first and task.queue == placed.queue and task.state is State.DUE
            assert not (
                raced
                and task.id in due.candidates(task.queue)
                and task.id not in self.floor.hall.held
            ), "a citizen whose phone had rung for nothing was passed over"

    def check_floor(self) -> None:
        """What is true after every command. It runs a million times: each list is made only where it is needed."""
        floor, hall = self.floor, self.floor.hall
        for seat in floor.seats.values():
            if seat.call:
                assert self.rings.get(seat.agent, self.talks.get(seat.agent)) == seat.call, (
                    "the floor and the phones disagree"
                )
            idle = not seat.removed and seat.presence() is Presence.READY
            assert len(seat.idle_keys) == (len(seat.lanes) if idle else 0), (
                "presence and line disagree"
            )
        for key, lane in hall.lanes.items():
            assert lane.key == key
            assert not lane.only or lane.waiting, "an agent's own lane, and nobody in it"
        for caller in floor.callers.values():
            assert not caller.assigned or caller.stage in (Stage.WAITING, Stage.RINGING)
        if not self.linked or hall.expected:
            return
        yielding = [
            task.agent
            for task in floor.tasks.values()
            if task.state is State.DIALLING and not task.place
        ]
        for lane in hall.lanes.values():
            if not lane.waiting:
                continue
            assert not lane.idle, "somebody waits while somebody idles"
            if yielding and any(not name.startswith("#") for _, name in lane.waiting):
                assert not any(agent in lane.penalties for agent in yielding), (
                    "a callback did not yield"
                )
        if floor.tasks:
            for queue in self.rules.queues:
                assert next_task(hall, queue, self.now) is None, "a due callback was left lying"

    # --- what may happen

    def do_citizen_waits(self) -> None:
        self.next_call += 1
        call = f"hotline-1.{self.next_call}"
        number = self.rng.choice(NUMBERS)
        self.tell(CallArrived(self.now, call, number, self.somebody(CITIZENS)))
        if self.rng.random() < 0.9:
            line = self.rules.numbers.get(number)
            self.tell(CallQueued(self.now, call, line.queue if line is not None else DEFAULT))

    do_another_citizen_waits = do_citizen_waits

    def do_citizen_hangs_up(self) -> None:
        if self.floor.callers:
            self.end(self.rng.choice(sorted(self.floor.callers)))

    def end(self, call: str, by: Party = Party.CALLER) -> None:
        untold = []
        for phones, fact in (
            # The end of a transferred talk may make the agent's phone ring for the same citizen once more.
            (self.talks, lambda agent: TalkEnded(self.now, call, agent, by)),
            (self.rings, lambda agent: OfferEnded(self.now, call, agent, OfferReason.CALLER_GONE)),
        ):
            for agent in [agent for agent, held in phones.items() if held == call]:
                if self.rng.random() < 0.7:
                    del phones[agent]
                    self.tell(fact(agent))
                else:
                    untold.append((phones, agent))  # its own end was lost: the caller's says enough
        for phones, agent in untold:
            del phones[agent]
        # An end that came before the caller's own may have made a phone ring for them again.
        for agent in [agent for agent, held in self.rings.items() if held == call]:
            del self.rings[agent]
        self.gone.add(call)
        self.tell(CallEnded(self.now, call, by))

    def do_session_breaks_and_returns(self) -> None:
        for call, caller in sorted(self.floor.callers.items()):
            if caller.stage is Stage.WAITING and self.rng.random() < 0.5:
                self.tell(CallDetached(self.now, call))
                if self.rng.random() < 0.8:
                    self.tell(CallReturned(self.now, call, caller.queue, caller.queued_at))
                return

    def do_caller_asks_to_be_called_back(self) -> None:
        for call, caller in sorted(self.floor.callers.items()):
            if caller.stage is Stage.WAITING:
                self.tell(CallbackAsked(self.now, call))
                assert not (self.floor.callers[call].asked and caller.caller in FORBIDDEN[:1])
                if self.floor.callers[call].asked:
                    self.end(call)
                return

    def do_phone_rings(self) -> None:
        for agent, call in sorted(self.rings.items()):
            if call not in self.attempts:
                self.tell(OfferRinging(self.now, call, agent))
            elif call not in self.cancelled:
                self.dial(call, self.number_of[call])
                self.tell(CallbackDialling(self.now, self.attempts[call][0], call, agent))

    def do_somebody_picks_up(self) -> None:
        if not self.rings:
            return
        agent = self.rng.choice(sorted(self.rings))
        call = self.rings[agent]
        if call in self.attempts:
            self.answered.add(call)
            self.dial(call, self.number_of[call])
            self.talks[agent] = self.rings.pop(agent)
            self.tell(CallbackAnswered(self.now, self.attempts[call][0], call, agent))
            return
        others = [
            other for other, ringing in self.rings.items() if ringing == call and other != agent
        ]
        self.talks[agent] = self.rings.pop(agent)
        self.tell(OfferAnswered(self.now, call, agent))
        for other in others:
            del self.rings[other]
            self.tell(OfferEnded(self.now, call, other, OfferReason.WITHDRAWN))

    do_somebody_else_picks_up = do_somebody_picks_up

    def do_leg_ends(self) -> None:
        if not self.rings:
            return
        agent = self.rng.choice(sorted(self.rings))
        call = self.rings.pop(agent)
        if call in self.attempts:
            task, _ = self.attempts.pop(call)
            failure = self.rng.choice(FAILURES)
            if failure not in AGENT_SIDE:
                self.dial(call, self.number_of[call])
            known = self.floor.tasks.get(task)
            self.tell(CallbackEnded(self.now, task, call, agent, failure))
            if failure == "no_answer" and self.cross_rng.random() < 0.5:
                # The ringing time was over, and the answer on the wire alone.
                answered = CallbackAnswered(self.now, task, call, agent)
                self.tell(answered)
                self.raced(answered)
                if known is not None and known.attempts_left == 1 and self.now < known.latest:
                    self.reopened(answered)
        else:
            self.tell(OfferEnded(self.now, call, agent, self.rng.choice(list(OfferReason))))

    def do_talk_ends(self) -> None:
        if not self.talks:
            return
        agent = self.rng.choice(sorted(self.talks))
        call = self.talks.pop(agent)
        if call in self.attempts:
            task, _ = self.attempts.pop(call)
            self.tell(CallbackEnded(self.now, task, call, agent, hung_up_by=Party.CALLER))
        else:
            self.tell(TalkEnded(self.now, call, agent, Party.AGENT))
            self.end(call, self.rng.choice(list(Party)))

    def do_agent_transfers(self) -> None:
        """Blind. The end of the agent's leg comes before, after, or with the end of the call."""
        agent = self.talking_to_a_citizen()
        if agent is None:
            return
        call = self.talks[agent]
        to = self.rng.choice([*AGENTS, *NUMBERS, OUTSIDE, NOWHERE])
        when = self.rng.choice(["before", "after", "never"])
        if when == "before":
            self.leg_ends(agent)
        self.tell(CallTransferred(self.now, call, agent, to))
        if when == "after":
            self.leg_ends(agent)

    def do_agent_hands_over_after_a_word_with_a_colleague(self) -> None:
        agent = self.talking_to_a_citizen()
        colleague = self.rng.choice(AGENTS)
        if agent is None or self.floor.may_call(agent, colleague):
            return
        call = self.talks[agent]
        self.tell(OwnCallStarted(self.now, colleague))
        self.now += SECOND
        self.tick()
        self.talks[colleague] = call
        self.tell(CallTransferred(self.now, call, agent, colleague, attended=True))
        self.tell(OfferAnswered(self.now, call, colleague))
        self.tell(OwnCallEnded(self.now, colleague))
        if self.rng.random() < 0.7:
            self.leg_ends(agent)

    def do_agent_hands_on_a_citizen_called_back(self) -> None:
        """The citizen becomes a call of their own, before or after the end of the attempt comes."""
        able = sorted(agent for agent, call in self.talks.items() if call in self.attempts)
        if not able:
            return
        agent = self.rng.choice(able)
        attempt = self.talks[agent]
        task, _ = self.attempts[attempt]
        known = self.floor.tasks.get(task)

        def attempt_ends() -> None:
            del self.talks[agent], self.attempts[attempt]
            self.tell(CallbackEnded(self.now, task, attempt, agent))
            assert task not in self.floor.tasks, "a citizen was reached, and is to be called again"

        self.next_call += 1
        call = f"hotline-1.{self.next_call}"
        self.handed_on.add(call)
        arrived = CallArrived(self.now, call, "", "", attempt)
        colleague = self.rng.choice(AGENTS)
        if self.rng.random() < 0.5 and not self.floor.may_call(agent, colleague):
            self.tell(OwnCallStarted(self.now, colleague))
            self.talks[colleague] = call
            self.tell(arrived)
            self.tell(CallTransferred(self.now, call, agent, colleague, attended=True))
            self.tell(OfferAnswered(self.now, call, colleague))
            self.tell(OwnCallEnded(self.now, colleague))
            attempt_ends()
            assert known is None or self.floor.callers[call].caller == known.number
            return
        first = self.rng.random() < 0.5
        if first:
            attempt_ends()
            arrived = replace(arrived, caller=self.rng.choice(CITIZENS), queue=DEFAULT)
        self.tell(arrived)
        to = self.rng.choice([*AGENTS, *NUMBERS, OUTSIDE, NOWHERE, ""])
        self.tell(CallTransferred(self.now, call, agent, to))
        if not first:
            attempt_ends()

    def talking_to_a_citizen(self) -> str | None:
        able = sorted(agent for agent, call in self.talks.items() if call not in self.attempts)
        return self.rng.choice(able) if able else None

    def leg_ends(self, agent: str) -> None:
        self.tell(TalkEnded(self.now, self.talks.pop(agent), agent, Party.SYSTEM))

    def do_nobody_answers_outside(self) -> None:
        for call, caller in sorted(self.floor.callers.items()):
            if caller.stage is Stage.OUTSIDE and caller.handed:
                self.tell(CallReturned(self.now, call, caller.queue, caller.queued_at))
                return

    def do_cancel_and_answer_cross(self) -> None:
        for attempt in sorted(self.cancelled & set(self.attempts)):
            task, agent = self.attempts.pop(attempt)
            ended = CallbackEnded(self.now, task, attempt, agent, "withdrawn")
            answered = CallbackAnswered(self.now, task, attempt, agent)
            if self.rng.random() < 0.5:
                self.dial(attempt, self.number_of[attempt])
                self.tell(answered)
                self.raced(answered)
                self.tell(ended)
            else:
                self.tell(ended)
                if attempt in self.dialled and self.cross_rng.random() < 0.5:
                    # The answer was on the wire alone: AMI has told of the end before.
                    self.tell(answered)
                    self.raced(answered)

    def raced(self, answered: CallbackAnswered) -> None:
        """The answer crossed with our cancel: it is counted, and an open task comes first from now on."""
        race = CallbackRaced(answered.at, answered.callback, answered.call, answered.agent)
        assert self.diary[answered.call].count(race) == 1, "a race is not counted, or twice"
        task = self.floor.tasks.get(answered.callback)
        assert task is None or task.state is not State.DUE or task.first, "a race came to nothing"

    def reopened(self, answered: CallbackAnswered) -> None:
        """A race in the last attempt: the task goes on, unless another one of the same citizen is open."""
        number = self.number_of[answered.call]
        assert answered.callback in self.floor.tasks or any(
            task.number == number for task in self.floor.tasks.values()
        ), "a citizen who picked up in the last attempt is not called back"

    def do_task_comes(self) -> None:
        self.next_task += 1
        self.tell(
            CallbackAdded(
                self.now,
                self.next_task,
                self.somebody(CITIZENS[1:]),
                self.rng.choice([DEFAULT, "tax"]),
                self.now + self.rng.choice([0, 0, 20 * SECOND]),
                self.now + self.rng.choice([30, 90, 600]) * SECOND,
                attempts=self.rng.choice([1, 3]),
                spacing=self.rng.choice([0, 20 * SECOND]),
                agent=self.rng.choice(["", "1002"]),
            )
        )

    def do_task_is_cancelled(self) -> None:
        if self.floor.tasks and self.rng.random() < 0.3:
            task = self.rng.choice(sorted(self.floor.tasks))
            self.tell(CallbackCancelled(self.now, task, "by hand"))

    def do_something_at_an_agent(self) -> None:
        agent = self.rng.choice(AGENTS)
        kind = self.rng.choice(_AT_AN_AGENT)
        self.tell(kind(self.now, agent))

    def do_agent_pauses_and_returns(self) -> None:
        agent = self.rng.choice(AGENTS)
        self.tell(AgentPaused(self.now, agent, "用餐"))
        self.tell(AgentReady(self.now, agent))

    def do_everybody_comes(self) -> None:
        for agent in AGENTS:
            for kind in (AgentAdded, PhoneReachable, OwnCallEnded, AgentReady):
                self.tell(kind(self.now, agent))

    def do_link(self) -> None:
        if self.rng.random() < 0.3:
            self.linked = not self.linked
            self.tell((LinkRestored if self.linked else LinkLost)(self.now))

    def do_rules_change(self) -> None:
        if self.rng.random() < 0.2:
            old = self.rules.queues[DEFAULT]
            queues = {**self.rules.queues, DEFAULT: replace(old, reserve=1 - min(1, old.reserve))}
            self.rules = replace(self.rules, queues=queues)
            commands = self.floor.configure(self.rules, self.now)
            if self.shadow is not None:
                assert self.shadow.configure(self.rules, self.now) == commands
            self.obey(commands)

    def do_outside_answers(self) -> None:
        for call, caller in sorted(self.floor.callers.items()):
            if caller.stage is Stage.OUTSIDE:
                self.tell(CallSentOutside(self.now, call, "", answered=True))  # as AMI tells it
                return

    # --- what a supervisor decides

    def decide_assigned(self) -> None:
        for call, agent in self.supervisor_rng.sample(
            [(call, agent) for call in sorted(self.floor.callers) for agent in AGENTS],
            min(3, len(self.floor.callers)),
        ):
            if not self.floor.may_assign(call, agent):
                until = self.now + self.supervisor_rng.choice([5, 60]) * SECOND
                self.tell(CallerAssigned(self.now, call, agent, until, "chief", "why"))
                caller = self.floor.callers[call]
                assert caller.assigned == agent, "assigned, and offered to somebody else"
                return

    def decide_moved(self) -> None:
        for call in sorted(self.floor.callers):
            queue = self.supervisor_rng.choice([DEFAULT, "tax"])
            if not self.floor.may_move(call, queue):
                place = self.floor.callers[call].place
                self.tell(CallMoved(self.now, call, queue, "chief", "why"))
                caller = self.floor.callers[call]
                assert (caller.queue, caller.place) == (queue, place), "moved, and lost the place"
                return

    def decide_brought_forward(self) -> None:
        for call in sorted(self.floor.callers, reverse=True):
            if not self.floor.may_touch(call) and (place := self.floor.front(call)):
                self.tell(CallerBroughtForward(self.now, call, place, "chief", "why"))
                if self.floor.callers[call].stage is Stage.WAITING:
                    assert not self.floor.front(call), "brought forward, and not in front"
                return

    # --- the end

    def everybody_leaves(self) -> None:
        for call in sorted(self.floor.callers):
            self.now += 1000
            self.end(call)
        assert self.floor.callers == {}
        for call, facts in self.diary.items():
            if any(isinstance(fact, CallArrived) for fact in facts):
                record = record_of(facts)
                assert record is not None
                assert record.outcome is not None, f"{call} ended in no outcome"
