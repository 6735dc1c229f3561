"""After a lost link: what CEL knows and what AMI has told meanwhile become one story. Pure.

While CEL is being read, calls go on, and AMI tells of it. If such a fact were reported at once, a call that ends in
these moments would be over before its answer is known, and nothing more is taken about it. So what AMI tells is held
back until CEL's facts are there.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from typing_extensions import TypeIs

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallbackRaced,
    CallbackYielded,
    CallEnded,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    PartyAsked,
    TalkEnded,
)
from facts.terms import CallId, OfferReason, Party
from facts.times import SECOND
from telephony import cel, party_ends

_TOGETHER = SECOND // 20
"""Microseconds by which AMI, CEL and our own clock may differ about one moment."""


@dataclass(frozen=True, slots=True)
class Held:
    """What AMI has told since the link is back, in its order: `before` and `after` it said what exists (`found`)."""

    before: Sequence[Fact]
    found: Sequence[Fact]
    after: Sequence[Fact]


@dataclass(frozen=True, slots=True)
class Story:
    """`facts`: everything, in order. `missed`: those of them that only CEL knew.

    `past`: what only CEL knew of calls whose end the diary has, and of attempts whose end the book has. It belongs into
    the diary alone: nobody will tell the floor of such a call's end again, so an agent would ring for it for ever.
    `read`: CEL and diary could be read.
    """

    facts: list[Fact]
    missed: list[Fact]
    past: list[Fact]
    read: bool = True


def put_together(
    events: Iterable[cel.CelEvent],
    known: Iterable[Fact],
    held: Held,
    *,
    numbers: Collection[str],
    alive: Collection[CallId],
    asked: int,
    now: int,
    parties: Collection[PartyAsked] = (),
    attempts: Collection[CallId] | None = None,
) -> Story:
    """Put what CEL knows and the diary does not before what was held back.

    `alive` are the calls that existed when Asterisk was `asked` (microseconds); those that arrived since exist, too.
    `parties`: the third parties that existed then, by their marks. `attempts`: those of callbacks that the floor waits
    for; None: of all. Other arguments: as `cel.complete`. AMI knows only
    that the system ended a call or a talk if the event that says more was lost. Then CEL is asked.
    """
    events, known = list(events), list(known)
    ended = {fact.call for fact in known if isinstance(fact, CallEnded)}
    if attempts is not None:
        ended |= _unended(known) - set(attempts)
    live = [*(fact for fact in held.before if not _is_guess(fact)), *held.after]
    known = [*known, *live]
    # Of these calls AMI has told everything.
    new = {fact.call for fact in known if isinstance(fact, CallArrived) and fact.at > asked}
    found = cel.complete(events, known, held=live, numbers=numbers, alive={*alive, *new}, now=now)
    found += party_ends.missed(
        events,
        known,
        alive={fact.party for fact in parties},
        calls={*alive, *new},
        asked=asked,
        now=now,
        marked=parties,
    )
    found.sort(key=lambda fact: fact.at)
    past = [fact for fact in found if getattr(fact, "call", "") in ended]
    missed = [fact for fact in found if getattr(fact, "call", "") not in ended]
    told = [
        *(fact for fact in held.before if not (_is_guess(fact) and _is_old(fact, found, asked))),
        *(fact for fact in held.found if not _is_old(fact, found, asked)),
        *held.after,
    ]
    ends: dict[tuple[CallId, str], Party] = {}
    if any(_by_system(fact) and fact.call not in new for fact in told):
        ends = cel.ends(events, [*known, *found], numbers=numbers)
        ends = {one: by for one, by in ends.items() if one[0] not in new}
    return Story(_merge(missed, told, ends), missed, past)


def _unended(known: Iterable[Fact]) -> set[CallId]:
    """Attempts of callbacks whose end the diary has not. The book may have it: it is written first."""
    begun, over = set[CallId](), set[CallId]()
    for fact in known:
        if isinstance(fact, CallbackEnded | CallbackYielded | CallbackRaced):
            over.add(fact.call)
        elif isinstance(fact, CallbackPlaced | CallbackDialling | CallbackAnswered):
            begun.add(fact.call)
    return begun - over


def _by_system(fact: Fact) -> TypeIs[TalkEnded | CallEnded]:
    return isinstance(fact, TalkEnded | CallEnded) and fact.hung_up_by is Party.SYSTEM


def _is_guess(fact: Fact) -> bool:
    """Whether AMI may tell this only since the caller has gone: what became of the phone before was lost."""
    return isinstance(fact, OfferEnded) and fact.reason is OfferReason.CALLER_GONE


def _is_old(fact: Fact, missed: list[Fact], asked: int) -> bool:
    """Whether CEL knows more of this leg than Asterisk told when it was asked."""
    if not isinstance(fact, OfferRinging | OfferAnswered | OfferEnded | TalkEnded):
        return False
    ends = [
        one.at
        for one in missed
        if isinstance(one, OfferEnded | TalkEnded)
        and (one.call, one.agent) == (fact.call, fact.agent)
    ]
    if isinstance(fact, OfferEnded | TalkEnded):
        return bool(ends)  # told already, and with its true time
    return any(at > asked - _TOGETHER for at in ends)  # it existed, and has ended since


def _merge(
    missed: list[Fact], held: list[Fact], ends: Mapping[tuple[CallId, str], Party]
) -> list[Fact]:
    """`held` keeps its order: a time in it may be an estimate. A fact of CEL comes before the first one that is later.

    The end of a call is as late as the last fact of CEL about it, so that fact comes first.
    """
    last: dict[CallId, int] = {}
    for fact in missed:
        if call := getattr(fact, "call", ""):
            last[call] = max(last.get(call, 0), fact.at)
    # AMI did not know of the answer if CEL gives the end of an attempt, too.
    better = {fact.call for fact in missed if isinstance(fact, CallbackEnded)}
    held = [
        _settled(fact, last, ends)
        for fact in _arrivals_first(held)
        if not (isinstance(fact, CallbackEnded) and fact.call in better)
    ]
    before: dict[int, list[Fact]] = {}
    place = 0
    for fact in missed:
        while place < len(held) and held[place].at < fact.at:
            place += 1
        before.setdefault(place, []).append(fact)
    story: list[Fact] = []
    for n, fact in enumerate(held):
        story += before.get(n, [])
        story.append(fact)
    return story + before.get(len(held), [])


def _arrivals_first(held: list[Fact]) -> list[Fact]:
    """AMI may tell only at a call's end that it had arrived: when the event of our answer was lost."""
    first: dict[CallId, int] = {}
    for n, fact in enumerate(held):
        if call := getattr(fact, "call", ""):
            first.setdefault(call, n)
    places = [
        (first[fact.call], 0) if isinstance(fact, CallArrived) else (n, 1)
        for n, fact in enumerate(held)
    ]
    return [held[n] for n in sorted(range(len(held)), key=places.__getitem__)]


def _settled(
    fact: Fact, last: Mapping[CallId, int], ends: Mapping[tuple[CallId, str], Party]
) -> Fact:
    """Correct who hung up; and let a call end no earlier than the last thing that CEL knows of it."""
    if _by_system(fact):
        agent = fact.agent if isinstance(fact, TalkEnded) else ""
        fact = replace(fact, hung_up_by=ends.get((fact.call, agent), Party.SYSTEM))
    if isinstance(fact, CallEnded):
        fact = replace(fact, at=max(fact.at, last.get(fact.call, 0)))
    return fact
