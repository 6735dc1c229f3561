"""Agents' facts → how long each was signed in, and on a break (M10). Pure.

An agent is signed in from the request for calls to the sign-out, as long as the phone is registered. A break begins
when the agent asks for it and ends with the next request; work during a break counts as work, too. A break is approved
when its reason is one of the centre's, and for as long as that reason allows. Work counts in the period in which its
call arrived or its callback was placed, as everything about a call does. The time signed in is wall-clock time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from facts import (
    ATTENDANCE,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    Fact,
    PhoneReachable,
    PhoneUnreachable,
)
from facts.times import MINUTE, SECOND
from metrics.window import Metric, Tally

REQUESTS = frozenset(kind.kind for kind in (AgentReady, AgentPaused, AgentOut, AgentRemoved))
"""The kinds of fact that say what an agent wants."""


@dataclass(slots=True)
class Attendance:
    """One agent's time, up to the last fact added. `add` wants the facts (`ATTENDANCE`) in the order of time.

    They are the facts of the time asked for, and the last request and the last fact about the phone before it. Times
    and lengths in microseconds. `allowed`: minutes by reason of a break, 0 without a limit.
    """

    since: int
    allowed: Mapping[str, int]
    requested: str = ""
    reason: str = ""
    requested_at: int = 0
    reachable: bool = False
    at: int = 0
    signed_in: int = 0
    approved: int = 0
    unapproved: int = 0

    def add(self, fact: Fact) -> None:
        """Take the next fact."""
        self.run(fact.at)
        match fact:
            case AgentReady(at) | AgentOut(at) | AgentRemoved(at):
                self.requested, self.reason, self.requested_at = fact.kind, "", at
            case AgentPaused(at, _, reason):
                self.requested, self.reason, self.requested_at = fact.kind, reason, at
            case PhoneReachable():
                self.reachable = True
            case PhoneUnreachable():
                self.reachable = False

    def run(self, until: int) -> None:
        """Count what lies between the last fact and `until`."""
        signed_in, approved = self.ahead(until)
        self.signed_in += signed_in
        self.approved += approved
        if self.requested == AgentPaused.kind:
            self.unapproved += signed_in - approved
        self.at = max(self.at, until)

    def ahead(self, until: int) -> tuple[int, int]:
        """How long the agent is signed in, and on an approved break, from the last fact to `until`. Counts nothing."""
        begin = max(self.at, self.since)
        if until <= begin or not self.reachable or self.requested not in _SIGNED_IN:
            return 0, 0
        if self.requested != AgentPaused.kind:
            return until - begin, 0
        return until - begin, max(0, min(until, self.rests_until()) - begin)

    def counts(self) -> dict[str, int]:
        """What was counted, as the counts of a `Tally`."""
        named = (
            ("signed_in", self.signed_in),
            ("approved", self.approved),
            ("unapproved", self.unapproved),
        )
        return {name: number for name, number in named if number}

    def rests_until(self) -> int:
        """When the approved break ends (microseconds); 0 when the agent is on no break."""
        if self.requested != AgentPaused.kind:
            return 0
        allowed = self.allowed.get(self.reason)
        if allowed is None:
            return self.requested_at
        return self.requested_at + allowed * MINUTE if allowed else _ALWAYS


class Crowd:
    """Many agents' time, together at any moment, without asking each of them.

    Between two facts an agent's time grows evenly, so the sum over all agents does, too: what was counted, and how many
    agents gain a microsecond with each. Agents on a break of limited length are asked one by one, since their approved
    time stops when the break is used up.
    """

    def __init__(self) -> None:
        self._all: dict[str, Attendance] = {}
        self._growth: dict[str, tuple[int, int, bool, bool]] = {}
        self._limited: dict[str, Attendance] = {}
        self._signed_in = self._approved = self._here = self._resting = 0
        self._from = 0

    def put(self, agent: str, one: Attendance) -> None:
        """Take an agent, new or changed."""
        self._all[agent] = one
        self._limited.pop(agent, None)
        if agent in self._growth:
            self._add(self._growth.pop(agent), -1)
        begin = max(one.at, one.since)
        here = one.reachable and one.requested in _SIGNED_IN
        until = one.rests_until() if here else 0
        self._from = max(self._from, begin)
        if begin < until < _ALWAYS:
            self._limited[agent] = one
            return
        resting = until == _ALWAYS
        growth = (one.signed_in - begin * here, one.approved - begin * resting, here, resting)
        self._growth[agent] = growth
        self._add(growth, 1)

    def at(self, now: int) -> tuple[int, int]:
        """How long all of them were signed in up to `now`, and on approved breaks (microseconds)."""
        # The sums hold from the newest fact on. For an earlier `now` each agent is asked, who gains nothing before
        # their own last fact.
        asked = self._limited if now >= self._from else self._all
        signed_in = approved = 0
        if asked is self._limited:
            signed_in = self._signed_in + self._here * now
            approved = self._approved + self._resting * now
        for one in asked.values():
            here, rest = one.ahead(now)
            signed_in += one.signed_in + here
            approved += one.approved + rest
        return signed_in, approved

    def _add(self, growth: tuple[int, int, bool, bool], sign: int) -> None:
        self._signed_in += sign * growth[0]
        self._approved += sign * growth[1]
        self._here += sign * growth[2]
        self._resting += sign * growth[3]


_SIGNED_IN = frozenset({AgentReady.kind, AgentPaused.kind})
_ALWAYS = 1 << 62


def ordered(facts: Iterable[Fact]) -> list[Fact]:
    """Each fact once, in the order in which `Attendance` wants them."""
    return sorted(set(facts), key=order)


def order(fact: Fact) -> tuple[int, str, str]:
    """By time; facts of the same microsecond always in the same order."""
    return fact.at, fact.kind, getattr(fact, "reason", "")


def attendance(
    facts: Iterable[Fact], since: int, until: int, allowed: Mapping[str, int]
) -> dict[str, Tally]:
    """Fold agents' facts, in any order: of each agent `signed_in`, `approved` and `unapproved` in (since, until]."""
    people: dict[str, Attendance] = {}
    for fact in ordered(fact for fact in facts if type(fact) in ATTENDANCE):
        if fact.at > until:
            break
        agent: str = fact.agent  # type: ignore[union-attr]  # every kind in ATTENDANCE has it
        people.setdefault(agent, Attendance(since, allowed)).add(fact)
    for one in people.values():
        one.run(until)
    made = ((agent, Tally(counts=one.counts())) for agent, one in sorted(people.items()))
    return {agent: tally for agent, tally in made if tally.counts}


def m10(busy: int, signed_in: int, approved: int) -> Metric:
    """M10: the agents' work ÷ their time signed in without approved breaks. Takes microseconds, gives seconds."""
    return Metric(busy / SECOND, (signed_in - approved) // SECOND)
