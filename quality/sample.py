"""Which talks of a week are drawn for each agent, and who assesses which (R47). Pure: the seed comes in.

Each talk gets a number of its own, SHA-256 of seed, week, agent and call. The smallest numbers of a stratum are drawn.
That is a simple random sample without replacement: before the seed is known, every talk of a stratum is equally likely.
It does not depend on the order in which talks are listed, and `sha256sum` is enough to check it by hand.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import rfc8785

from facts.offers import NO_TALK
from facts.terms import CallId
from facts.times import MINUTE, local
from metrics.fold import CallRecord, Item

MOST_PER_AGENT: Final = 100
"""Talks of one agent that a week's draw may ask for."""


class SampleError(ValueError):
    """A sample cannot be drawn or assigned. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One agent's talk in one call, which may be drawn. `at`: when the call arrived; `length`: both in microseconds.

    `kind`: `inbound`, or `callback` for an attempt. `ended_by`: who hung up, or empty. `others`: agents who also spoke
    in the call. `hinted`: there was a hint about this talk when the week was drawn. Strata are made of these fields
    alone.
    """

    call: CallId
    agent: str
    at: int
    length: int
    kind: str
    queue: str = ""
    number: str = ""
    ended_by: str = ""
    others: tuple[str, ...] = ()
    hinted: bool = False


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """How to draw: `count` talks of each agent, spread over the strata `by` (names of `STRATA`; none: at random)."""

    count: int
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_PER_AGENT:
            raise SampleError(f"{self.count} talks an agent: write 1 to {MOST_PER_AGENT}")
        if unknown := [name for name in self.by if name not in STRATA]:
            raise SampleError(f"strata: there is no {unknown[0]}: there is {', '.join(STRATA)}")
        if len({*self.by}) != len(self.by):
            raise SampleError("strata: one is named twice")

    @property
    def wants_hints(self) -> bool:
        """Whether it must be known which talks have hints."""
        return HINTS in self.by


@dataclass(frozen=True, slots=True)
class Drawn:
    """One talk of a sample. `stratum`: its values of the plan's strata, such as `tax/long`; `chance`: its number."""

    talk: Candidate
    stratum: str
    chance: str


def _length_class(talk: Candidate) -> str:
    if talk.length < MINUTE:
        return "short"
    return "medium" if talk.length < 5 * MINUTE else "long"


def _part_of_day(talk: Candidate) -> str:
    return ("night", "morning", "afternoon", "evening")[local(talk.at).hour // 6]


HINTS: Final = "hints"
STRATA: Final[Mapping[str, Callable[[Candidate], str]]] = {
    "queue": lambda talk: talk.queue or "-",
    "number": lambda talk: talk.number or "-",
    "kind": lambda talk: talk.kind,
    "length": _length_class,
    "ending": lambda talk: talk.ended_by or "-",
    "part-of-day": _part_of_day,
    "transfer": lambda talk: "several" if talk.others else "one",
    HINTS: lambda talk: "hinted" if talk.hinted else "none",
}
"""What talks can be sorted by → its value for one talk. A new one is one line here, and a field of `Candidate`."""


def talks_of(item: Item, shortest: int) -> list[Candidate]:
    """The talks of one folded call or attempt that last at least `shortest` microseconds; none while it goes on."""
    if item.ended is None:
        return []
    if not isinstance(item, CallRecord):
        if item.answered is None or item.ended - item.answered < shortest:
            return []
        length = item.ended - item.answered
        return [Candidate(item.id, item.agent, item.arrived, length, "callback", item.queue)]
    lengths: Counter[str] = Counter()
    ended_by: dict[str, str] = {}
    for offer in item.offers:
        if offer.answered is not None and offer.talk > NO_TALK:
            lengths[offer.agent] += offer.talk
            ended_by[offer.agent] = offer.hung_up_by.value if offer.hung_up_by else ""
    return [
        Candidate(
            *(item.id, agent, item.arrived, length, "inbound", item.queue, item.number),
            ended_by=ended_by[agent],
            others=tuple(sorted(lengths.keys() - {agent})),
        )
        for agent, length in sorted(lengths.items())
        if length >= shortest
    ]


def with_hints(
    talks: Iterable[Candidate], hinted: Collection[tuple[CallId, str]]
) -> list[Candidate]:
    """The same talks; those of (call, agent) in `hinted` have a hint."""
    return [replace(one, hinted=(one.call, one.agent) in hinted) for one in talks]


def population_hash(talks: Iterable[Candidate], by: Collection[str] = ()) -> str:
    """SHA-256 over all talks that could have been drawn, whatever their order: the same population, the same hash.

    Hints are in it if the plan goes `by` them: a draw without them has the hash that it always had.
    """
    values = [of for name, of in STRATA.items() if name != HINTS or name in by]
    rows = sorted(
        [one.call, one.agent, str(one.at), str(one.length), *(of(one) for of in values)]
        for one in talks
    )
    return hashlib.sha256(rfc8785.dumps(rows)).hexdigest()


def chance(seed: str, week: str, agent: str, call: CallId) -> str:
    """A talk's number in a draw: SHA-256 of the four, a line each, in hex."""
    return hashlib.sha256(f"{seed}\n{week}\n{agent}\n{call}".encode()).hexdigest()


def draw(talks: Iterable[Candidate], plan: SamplePlan, seed: str, week: str) -> list[Drawn]:
    """Draw each agent's sample: `plan.count` talks, or all if there are fewer. By agent, then by number."""
    by_agent: dict[str, dict[CallId, Candidate]] = defaultdict(dict)
    for one in talks:
        by_agent[one.agent][one.call] = one
    return [
        drawn
        for agent in sorted(by_agent)
        for drawn in _draw_agent(by_agent[agent].values(), plan, seed, week)
    ]


def _draw_agent(talks: Iterable[Candidate], plan: SamplePlan, seed: str, week: str) -> list[Drawn]:
    strata: dict[str, list[Drawn]] = defaultdict(list)
    for one in talks:
        stratum = "/".join(STRATA[name](one) for name in plan.by)
        strata[stratum].append(Drawn(one, stratum, chance(seed, week, one.agent, one.call)))
    taken = allocate({name: len(found) for name, found in strata.items()}, plan.count)
    drawn = [
        one
        for name, found in strata.items()
        for one in sorted(found, key=lambda one: one.chance)[: taken[name]]
    ]
    return sorted(drawn, key=lambda one: one.chance)


def allocate(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """How many to take from strata of these sizes: in proportion, and one of each as far as `count` goes.

    The sum is `count`, or all there are. The larger remainder comes first, of two equal ones the larger stratum, then
    the name.
    """
    there = sum(sizes.values())
    count = min(count, there)
    taken = dict.fromkeys(sizes, 0)
    for name in sorted(sizes, key=lambda name: (-sizes[name], name))[:count]:
        taken[name] = 1
    for _ in range(count - sum(taken.values())):
        room = [name for name in sizes if taken[name] < sizes[name]]
        # Whoever lacks most of their share gets the next one; in whole numbers, so that no rounding decides.
        nearest = min(
            room, key=lambda name: (taken[name] * there - count * sizes[name], -sizes[name], name)
        )
        taken[nearest] += 1
    return taken


# --- who assesses what


@dataclass(frozen=True, slots=True)
class Assessor:
    """Somebody who may assess. `agent`: the agent who they are themselves, or empty. `load`: tasks that they have."""

    name: str
    agent: str = ""
    load: int = 0

    def may(self, talk: Candidate) -> bool:
        """Whether they took no part in the call."""
        return not self.agent or self.agent not in (talk.agent, *talk.others)


def assign(
    drawn: Sequence[Drawn], assessors: Collection[Assessor], seed: str
) -> list[tuple[Drawn, str]]:
    """Give each drawn talk to an assessor who took no part in it: (talk, name), in the order of the talks' numbers.

    Whoever has the least to do gets the next one; of those, whoever has assessed this agent least; then chance. Raises
    `SampleError` if somebody's talk can be given to nobody.
    """
    if drawn and not assessors:
        raise SampleError(
            "there is nobody to assess: add an account (hotline account add NAME --role assessor)"
        )
    load = {one.name: one.load for one in assessors}
    pairs: Counter[tuple[str, str]] = Counter()
    given: list[tuple[Drawn, str]] = []
    # Talks that few may assess come first, so that the others can make up for it.
    options = {id(one): [who for who in assessors if who.may(one.talk)] for one in drawn}
    for one in sorted(drawn, key=lambda one: (len(options[id(one)]), one.chance)):
        if not options[id(one)]:
            raise SampleError(
                f"nobody can assess agent {one.talk.agent}: every assessor took part in the call; add another one"
            )
        chosen = min(
            options[id(one)],
            key=lambda who: (
                load[who.name],
                pairs[who.name, one.talk.agent],
                _lot(seed, one, who.name),
            ),
        )
        load[chosen.name] += 1
        pairs[chosen.name, one.talk.agent] += 1
        given.append((one, chosen.name))
    return sorted(given, key=lambda pair: pair[0].chance)


def _lot(seed: str, one: Drawn, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{one.chance}\n{name}".encode()).hexdigest()
