"""What a fact about a third party in a talk does to the floor: an outside number that is dialled counts (R7). Pure."""

from acd.floor.hall import Hall
from facts import PartyAsked, PartyFailed, PartyLeft
from facts.parties import PartyKind


def party_asked(hall: Hall, fact: PartyAsked, now: int) -> None:
    """A party is called now. Emergency calls count towards no cap (R16)."""
    hall.record(fact)
    if fact.who is PartyKind.OUTSIDE:
        hall.history.add(fact.party, fact.number, fact.at)


def party_over(hall: Hall, fact: PartyFailed | PartyLeft, now: int) -> None:
    """Their leg is gone, or there was none."""
    hall.record(fact)
    hall.history.end(fact.party, fact.at)
