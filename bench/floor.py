"""The floor alone: what a fact costs, and how that grows with the callers who wait. `python -m bench.floor`.

No Asterisk and no clock: facts go in, commands come out, processor time is taken. 20 queues with skills, 2,000 agents
each in four queues, so many waiting callers that no agent is ever idle for long, and per call seven facts: arrived,
queued, (offer made,) ringing, answered, talk ended, call ended.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from acd.commands import Ring
from acd.floor import Floor
from acd.rules.model import DEFAULT, Member, Queue, Rules
from facts import (
    AgentAdded,
    AgentReady,
    CallArrived,
    CallEnded,
    CallQueued,
    Fact,
    LinkRestored,
    OfferAnswered,
    OfferRinging,
    PhoneReachable,
    TalkEnded,
)
from facts.terms import Party

WAITING = (100, 1_000, 10_000)
AGENTS = 2_000
QUEUES = 20
CALLS = 20_000
LIMIT = 50.0
"""Microseconds that a fact may cost, amortised, with 10,000 waiting."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was measured: `micros` of processor time a fact, over `facts` facts, with about `waiting` callers."""

    waiting: int
    facts: int
    micros: float


def measure(
    waiting: int, *, calls: int = CALLS, agents: int = AGENTS, queues: int = QUEUES
) -> Cost:
    """Fill the floor until so many wait, then let `calls` more come, each for one that is answered and ends."""
    work = _Work(agents, queues)
    while work.waiting < waiting:
        work.arrive()
    work.facts = 0
    began = time.process_time()
    for _ in range(calls):
        work.arrive()
        work.serve()
    took = time.process_time() - began
    return Cost(waiting, work.facts, 1e6 * took / work.facts)


class _Work:
    def __init__(self, agents: int, queues: int) -> None:
        self.facts = self.waiting = 0
        self._chance = Random(1)
        self._now = 0
        self._calls = 0
        self._ringing: deque[tuple[str, str]] = deque()
        rules = _rules(self._chance, agents, queues)
        self._queues = list(rules.queues)
        self._floor = Floor(rules)
        self._tell(LinkRestored(0))
        for agent in rules.skills:
            for kind in (AgentAdded, PhoneReachable, AgentReady):
                self._tell(kind(0, agent))

    def arrive(self) -> None:
        """A caller comes, a millisecond after the last."""
        self._now += 1000
        self._calls += 1
        call = f"hotline-1.{self._calls}"
        self.waiting += 1
        self._tell(CallArrived(self._now, call, "12345", f"+86138{self._calls:08}"))
        self._tell(CallQueued(self._now, call, self._chance.choice(self._queues)))

    def serve(self) -> None:
        """The phone that has rung the longest is answered, and the talk ends: its agent takes the next caller."""
        if not self._ringing:
            return
        call, agent = self._ringing.popleft()
        self._tell(OfferRinging(self._now, call, agent))
        self._tell(OfferAnswered(self._now, call, agent))
        self._tell(TalkEnded(self._now, call, agent, Party.CALLER))
        self._tell(CallEnded(self._now, call, Party.CALLER))

    def _tell(self, fact: Fact) -> None:
        self.facts += 1
        for command in self._floor.handle(fact, self._now):
            if type(command) is Ring:
                self.waiting -= 1
                self._ringing.append((command.call, command.agents[0]))


def _rules(chance: Random, agents: int, queues: int) -> Rules:
    """Each queue but the default one asks for one of five skills; each agent has some of them, and four queues."""
    named = {DEFAULT: Queue(wrap_up_time=0, longest_wait=86_400)}
    for one in range(queues - 1):
        skills = {f"skill{one % 5}": 1 + one % 3}
        named[f"q{one}"] = Queue(f"q{one}", skills=skills, wrap_up_time=0, longest_wait=86_400)
    skills_of: dict[str, dict[str, int]] = {}
    members: list[Member] = []
    for one in range(agents):
        agent = f"{1000 + one}"
        skills_of[agent] = {
            f"skill{skill}": chance.randint(1, 5) for skill in range(5) if chance.random() < 0.6
        }
        served = chance.sample(list(named), min(4, queues))
        members += [Member(agent, queue, chance.randint(0, 2)) for queue in served]
    return Rules(queues=named, members=tuple(members), skills=skills_of)


def table(costs: Sequence[Cost]) -> str:
    """A Markdown table."""
    lines = ["| waiting | facts | µs a fact | wanted | |", "|---:|---:|---:|---|---|"]
    for cost in costs:
        verdict = "holds" if cost.micros <= LIMIT else "**falls short**"
        wanted = f"≤ {LIMIT:g} µs"
        lines.append(
            f"| {cost.waiting:,} | {cost.facts:,} | {cost.micros:.1f} | {wanted} | {verdict} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Status 0 for any figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls")
    arguments = parser.parse_args(argv)
    calls = CALLS // 10 if arguments.quick else CALLS
    print(f"floor alone: {AGENTS:,} agents, {QUEUES} queues with skills")
    print(table([measure(waiting, calls=calls) for waiting in WAITING]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
