"""Third parties on the floor: who is free for a talk, which outside number may be dialled, and that it counts."""

from acd.commands import PlaceCallback, Record
from acd.gate import Policy, Why
from acd.rules.model import DEFAULT
from facts import (
    CallArrived,
    CallbackAnswered,
    Fact,
    OwnCallStarted,
    PartyAsked,
    PartyFailed,
    PartyLeft,
)
from facts.parties import PartyEnd, PartyFailure, PartyKind
from tests.acd.test_dialling import BEGIN, CITIZEN, Hall

CALL, POWER = "hotline-1.1", "95598"


def asked(n: int, who: PartyKind = PartyKind.OUTSIDE, number: str = POWER) -> PartyAsked:
    return PartyAsked(BEGIN, CALL, "1001", f"hotline-p{n}", who, number)


def test_the_agent_who_would_get_the_next_call_is_free_for_a_talk() -> None:
    hall = Hall(agents=("1001", "1002"))
    assert hall.floor.idle_in(DEFAULT) == "1001"
    hall.tell(OwnCallStarted(BEGIN, "1001"))
    assert hall.floor.idle_in(DEFAULT) == "1002"
    hall.tell(OwnCallStarted(BEGIN, "1002"))
    assert hall.floor.idle_in(DEFAULT) == ""


def test_outside_numbers_count_towards_the_caps_and_emergencies_do_not() -> None:
    hall = Hall(policy=Policy(budget_day=2, per_number_day=1))
    floor = hall.floor
    assert floor.may_bring_in(POWER, BEGIN) is None
    for n, who in enumerate((PartyKind.EMERGENCY, PartyKind.COLLEAGUE, PartyKind.CITIZEN)):
        hall.tell(asked(n, who))
    assert floor.may_bring_in(POWER, BEGIN) is None
    hall.tell(asked(7))
    refusal = floor.may_bring_in(POWER, BEGIN)
    assert refusal is not None
    assert refusal.why is Why.NUMBER_DAY
    assert floor.may_bring_in("95599", BEGIN) is None
    hall.tell(asked(8, number="95599"))
    refusal = floor.may_bring_in("95500", BEGIN)
    assert refusal is not None
    assert refusal.why is Why.BUDGET


def test_what_an_operator_has_not_forbidden_may_be_brought_in() -> None:
    floor = Hall(policy=Policy(deny=("955*",))).floor
    refusal = floor.may_bring_in(POWER, BEGIN)
    assert refusal is not None
    assert refusal.why is Why.DENIED
    assert floor.may_bring_in("110", BEGIN) is None, "it stands in the operator's own list"
    assert floor.may_bring_in("1001", BEGIN) is not None


def test_every_fact_of_a_party_is_in_the_diary_and_its_end_ends_the_dialling() -> None:
    hall = Hall()
    hall.commands.clear()
    facts: list[Fact] = [
        asked(1),
        PartyFailed(BEGIN, CALL, "1001", "hotline-p1", PartyFailure.BUSY),
        asked(2),
        PartyLeft(BEGIN + 1, CALL, "1001", "hotline-p2", PartyEnd.HUNG_UP),
    ]
    for fact in facts:
        hall.tell(fact)
    assert hall.commands == [Record(fact) for fact in facts]
    history = hall.floor.hall.history
    assert history.write_down()["dialling"] == []
    assert history.brought_about(POWER, BEGIN + 2), "a call from there comes of our dialling it"


def test_what_is_asked_of_a_call() -> None:
    hall = Hall()
    hall.tell(CallArrived(BEGIN, CALL, "12345", CITIZEN))
    floor = hall.floor
    assert (floor.number_of(CALL), floor.citizen_of(CALL)) == ("12345", CITIZEN)
    assert (floor.number_of("x"), floor.citizen_of("x")) == ("", "")
    assert (floor.knows("1001"), floor.knows("1009")) == (True, False)


def test_what_is_asked_of_a_callback() -> None:
    hall = Hall()
    hall.task()
    (placed,) = hall.of(PlaceCallback)
    hall.tell(CallbackAnswered(hall.now, placed.callback, placed.call, placed.agent))
    assert hall.floor.citizen_of(placed.call) == CITIZEN
    assert hall.floor.number_of(placed.call) == hall.floor.way_into(DEFAULT) == "12345"
