"""What Asterisk's own record (CEL) knows of third parties while nobody was told (`telephony.parties`). Pure."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from facts import (
    Fact,
    PartyAnswered,
    PartyAsked,
    PartyFailed,
    PartyJoined,
    PartyLeft,
)
from facts.causes import LOST, NOT_REACHED
from facts.ids import party_of
from facts.parties import PartyEnd, PartyFailure
from telephony.cel import CelEvent, hang_up_of, takes_over

CONSULT_OVER = "consult_over"
"""The dialplan's own CEL event, on the citizen's channel: the agent consults nobody any more."""


@dataclass(slots=True)
class _PartySeen:
    """What CEL says of one party's legs; times in microseconds, 0 when there is none."""

    picked_up_at: int = 0
    inside_at: int = 0
    handed_at: int = 0
    ended_at: int = 0
    cause: int = 0
    by_party: bool = False


def missed(
    events: Iterable[CelEvent],
    known: Iterable[Fact],
    *,
    alive: Collection[str],
    calls: Collection[str],
    asked: int,
    now: int,
    marked: Iterable[PartyAsked] = (),
) -> list[Fact]:
    """The facts that are missing of parties whose end is not among `known`, in the order of time.

    `alive`: the parties, and `calls` the calls, that existed when Asterisk was `asked` (microseconds). A party that is
    gone and whose end CEL does not know has ended `now`. `marked`: what the legs that exist say themselves, should the
    controller have died before it had written that they were asked for.
    """
    known = list(known)
    written = {fact.party for fact in known if isinstance(fact, PartyAsked)}
    unwritten = [fact for fact in marked if fact.party not in written]
    known += unwritten
    over = {fact.party for fact in known if isinstance(fact, PartyFailed | PartyLeft)}
    open_ones = [
        fact
        for fact in known
        if isinstance(fact, PartyAsked) and fact.party not in over and fact.at <= asked
    ]
    if not open_ones:
        return []
    told: set[tuple[type[Fact], str]] = {
        (type(fact), fact.party) for fact in known if isinstance(fact, PartyAnswered | PartyJoined)
    }
    seen: dict[str, _PartySeen] = {}
    back: dict[str, list[int]] = {}
    for event in sorted(events, key=lambda event: event.at):
        if event.kind == "USER_DEFINED" and event.name == CONSULT_OVER:
            # In a callback the citizen's channel has another id than the call, and this Linkedid.
            for call in {event.uniqueid, event.linkedid}:
                back.setdefault(call, []).append(event.at)
        elif party := party_of(event.uniqueid):
            _take(event, seen.setdefault(party, _PartySeen()))
    found: list[Fact] = [*unwritten]
    for fact in open_ones:
        one = seen.get(fact.party, _PartySeen())
        found += _story(fact, one, back.get(fact.call, []), told)
        if fact.party not in alive:
            found.append(_end(fact, one, fact.call in calls, now))
    return sorted(found, key=lambda fact: fact.at)


def _take(event: CelEvent, one: _PartySeen) -> None:
    match event.kind:
        case "ANSWER":
            one.picked_up_at = one.picked_up_at or event.at
        case "BRIDGE_ENTER" if takes_over(event):
            one.handed_at = one.handed_at or event.at
        case "BRIDGE_ENTER":
            one.inside_at = one.inside_at or event.at
        case "HANGUP":
            one.ended_at = event.at
            one.cause, source = hang_up_of(event)
            one.by_party = source == event.channel
        case "CHAN_END":
            one.ended_at = one.ended_at or event.at


def _story(
    asked: PartyAsked, one: _PartySeen, back: list[int], told: set[tuple[type[Fact], str]]
) -> Iterator[Fact]:
    if not one.inside_at:
        return
    who = (asked.call, asked.agent, asked.party)
    joined_at = one.inside_at
    if asked.consult:
        if (PartyAnswered, asked.party) not in told:
            yield PartyAnswered(one.inside_at, *who)
        joined_at = next((at for at in back if at >= one.inside_at), 0)
    if joined_at and (PartyJoined, asked.party) not in told:
        yield PartyJoined(joined_at, *who)


def _end(asked: PartyAsked, one: _PartySeen, call_lives: bool, now: int) -> Fact:
    at = one.ended_at or now
    who = (asked.call, asked.agent, asked.party)
    if one.handed_at:
        return PartyLeft(one.handed_at, *who, PartyEnd.HANDED_OVER)
    if one.inside_at:
        if one.by_party and one.cause not in LOST:
            return PartyLeft(at, *who, PartyEnd.HUNG_UP)
        return PartyLeft(at, *who, PartyEnd.LOST if call_lives else PartyEnd.TALK_OVER)
    if one.by_party and not one.picked_up_at:
        return PartyFailed(at, *who, PartyFailure(NOT_REACHED.get(one.cause, "unreachable")))
    return PartyFailed(at, *who, PartyFailure.LOST if call_lives else PartyFailure.WITHDRAWN)
