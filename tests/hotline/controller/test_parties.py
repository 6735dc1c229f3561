"""Who may be brought into a talk, how they are called, and what is said to whoever asks."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from acd.gate import Refusal, Why
from acd.rules.model import DEFAULT, Number, Queue, Rules
from base.bus import Refused
from facts import DialRefused, Fact, PartyAsked
from facts.parties import PartyEnd, PartyKind
from facts.requests import (
    AddParty,
    CallEmergency,
    DropParty,
    JoinParties,
    MuteParty,
    UnmuteParty,
)
from facts.terms import CallId
from hotline.controller import parties
from hotline.controller.parties import CAPPED_FOR, Allowed, ThirdParties
from ivr.bring_in import WANTED
from telephony.bring_in import PartyOrder, PartyRefused
from telephony.channels import Talk
from telephony.parties import LiveParty, Parties
from telephony.trunks import Way

CALL, CITIZEN = "hotline-1.1", "+8613912345678"
RULES = Rules(
    queues={DEFAULT: Queue(), "tax": Queue("tax")},
    numbers={"12345": Number("12345"), "8890": Number("8890", queue="tax")},
)


class Centre:
    """1001 talks to a citizen who dialled 8890; 1003 is free in the queue tax."""

    def __init__(self, **changed: Any) -> None:
        self.rules = RULES
        self.free = "1003"
        self.why = ""
        self.refusal: Refusal | None = None
        self.now = 7
        self.way_out = True
        self.citizen = CITIZEN
        self.in_callback = ""
        self.reported: list[Fact] = []
        self.invited: list[PartyOrder] = []
        self.did: list[tuple[Any, ...]] = []
        self.parties = Parties(lambda _: False)
        settings: dict[str, Any] = {
            "departments": {"供电": "95598"},
            "outside": ("12333",),
            "listed": ("024*",),
            "numbers": ("12345", "8890"),
            "most": 2,
            "rings": 20.0,
            "emergencies": {"120": "02412345"},
            "shows_citizen": True,
        }
        allowed = Allowed(**{**settings, **changed})
        self.third = ThirdParties(
            self,  # type: ignore[arg-type]
            self.parties,
            self,  # type: ignore[arg-type]
            desk=self,
            floor=self,
            allowed=lambda: allowed,
            ways=self.ways,
            outbound=lambda: self.way_out,
            clock=lambda: self.now,
        )

    def talks(self) -> list[Talk]:
        there = {"held": False, "there": True}
        return [Talk("leg", "PJSIP/1001-1", CALL, "1001", **there, citizen=self.in_callback)]

    def ways(self, shown: str) -> Sequence[Way]:
        return (Way("", f"outbound-{shown}"),)

    def call_colleague(self, agent: str, colleague: str) -> str:
        return self.why

    def report(self, *facts: Fact) -> None:
        self.reported += facts

    def idle_in(self, queue: str) -> str:
        return self.free if queue == "tax" else ""

    def may_bring_in(self, number: str, now: int) -> Refusal | None:
        return self.refusal

    def knows(self, agent: str) -> bool:
        return agent in ("1001", "1002", "1003")

    def number_of(self, call: CallId) -> str:
        return "8890"

    def citizen_of(self, call: CallId) -> str:
        return self.citizen

    async def tell_agent(self, call: CallId, agent: str) -> None:
        self.did.append(("told", call, agent))

    async def invite(self, order: PartyOrder) -> LiveParty:
        self.invited.append(order)
        one = PartyAsked(
            7, CALL, "1001", f"hotline-p{len(self.invited)}", order.who, order.number, order.consult
        )
        party = self.parties.ask(one, order.citizen)
        party.rang = True
        return party

    async def join(self, call: CallId) -> None:
        self.did.append(("join", call))

    async def mute(self, party: LiveParty, *, muted: bool, by: str = "") -> None:
        if not party.rang:
            raise PartyRefused("they have not answered yet")
        self.did.append(("mute", party.id, muted, by))

    async def drop(self, party: LiveParty, by: str = "", why: PartyEnd = PartyEnd.DROPPED) -> None:
        self.did.append(("drop", party.id, by))

    async def add(self, to: str, how: str = "now") -> str:
        return (await self.third.answer(AddParty("1001", to, how, "wang"))).said


async def test_a_colleague() -> None:
    one = Centre()
    assert await one.add("1002") == "1002 rings"
    (order,) = one.invited
    assert (order.who, order.number, order.rings) == (PartyKind.COLLEAGUE, "1002", 20.0)
    assert (order.caller, order.name, order.by) == ("1001", "三方通话 1001", "wang")
    assert (order.consult, order.ways) == (False, ())
    one = Centre()
    await one.add("1002", "consult")
    assert (one.invited[0].consult, one.invited[0].name) == (True, "咨询 1001")


@pytest.mark.parametrize("to", ["tax", "8890"])
async def test_whoever_is_free_in_a_queue_by_its_name_or_number(to: str) -> None:
    one = Centre()
    assert await one.add(to) == "1003 rings"
    one.free = ""
    with pytest.raises(Refused, match="nobody in the queue tax is free"):
        await one.add(to)


@pytest.mark.parametrize(
    ("to", "number", "said"),
    [("供电", "95598", "供电"), ("95598", "95598", "供电"), ("12333", "12333", "****")],
)
async def test_an_outside_number_that_is_known(to: str, number: str, said: str) -> None:
    one = Centre()
    assert (await one.add(to)).startswith(said)
    (order,) = one.invited
    assert (order.who, order.number, order.caller) == (PartyKind.OUTSIDE, number, "8890")
    assert order.ways == (Way("", "outbound-8890"),)


async def test_a_number_that_the_allow_list_has() -> None:
    one = Centre()
    assert "2345" not in await one.add("024-23456789")
    assert one.invited[0].number == "+862423456789"


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("13800000001", "may not be brought in"),
        ("110", "may not be brought in"),
        ("x", "neither an agent"),
        ("", "neither an agent"),
        ("1;Dial(PJSIP/9)", "neither an agent|may not"),
    ],
)
async def test_nobody_else(to: str, why: str) -> None:
    one = Centre()
    with pytest.raises(Refused, match=why):
        await one.add(to)
    assert one.invited == []


async def test_what_screens_show_of_them() -> None:
    one = Centre()
    assert one.third.now() == {}
    await one.add("1002")
    await one.add("024-23456789")
    first, second = one.third.now()["1001"]
    assert (first["name"], first["who"], first["state"]) == ("1002", "colleague", "ringing")
    assert "234567" not in second["name"]


async def test_a_colleague_who_is_on_the_phone_is_not_called() -> None:
    one = Centre()
    one.why = "the colleague is on the phone"
    with pytest.raises(Refused, match="1002: the colleague is on the phone"):
        await one.add("1002")
    assert one.invited == []


async def test_a_cap_is_told_to_the_alarm_for_some_minutes_and_recorded() -> None:
    one = Centre()
    one.refusal = Refusal(Why.BUDGET, 9)
    with pytest.raises(Refused, match="budget"):
        await one.add("供电")
    assert one.reported == [DialRefused(7, CALL, "95598", "party", "budget")]
    assert one.third.capped(8) == 1
    assert one.third.capped(7 + CAPPED_FOR) == 0
    one.refusal = Refusal(Why.DENIED)
    with pytest.raises(Refused, match="DENY"):
        await one.add("供电")
    assert one.third.capped(8) == 0


async def test_limits() -> None:
    one = Centre()
    await one.add("1002")
    with pytest.raises(Refused, match="bring this one in at once"):
        await one.add("1003", "consult")
    await one.add("1003")
    with pytest.raises(Refused, match="no more than 2"):
        await one.add("供电")
    with pytest.raises(Refused, match="no more than 0"):
        await Centre(most=0).add("1002")
    one = Centre()
    one.way_out = False
    with pytest.raises(Refused, match="no way out"):
        await one.add("供电")
    with pytest.raises(Refused, match="1002 is not in a talk"):
        await one.third.answer(AddParty("1002", "1003"))
    with pytest.raises(Refused, match="now or consult"):
        await one.third.answer(AddParty("1001", "1003", "later"))


async def test_a_callbacks_talk_is_one_like_any_other() -> None:
    one = Centre()
    one.in_callback = "PJSIP/outbound-1"
    await one.add("1002", "consult")
    (order,) = one.invited
    assert order.talk.citizen == "PJSIP/outbound-1"


async def test_mute_drop_and_join_are_for_the_parties_of_ones_own_talk() -> None:
    one = Centre()
    await one.add("1002")
    party = one.parties.of(CALL)[0].id
    answer = one.third.answer
    assert (await answer(MuteParty("1001", party, "wang"))).said == "1002 is muted"
    assert (await answer(UnmuteParty("1001", party))).said == "1002 is heard again"
    assert (await answer(DropParty("1001", party, "li"))).said == "1002 is dropped"
    assert one.did == [
        ("mute", party, True, "wang"),
        ("mute", party, False, ""),
        ("drop", party, "li"),
    ]
    for asked in (MuteParty("1002", party), DropParty("1001", "hotline-p9")):
        with pytest.raises(Refused, match="no such party"):
            await answer(asked)
    with pytest.raises(Refused, match="consults nobody"):
        await answer(JoinParties("1001"))
    one.parties.get(party).rang = False  # type: ignore[union-attr]
    with pytest.raises(Refused, match="not answered yet"):
        await answer(MuteParty("1001", party))


async def test_an_emergency_has_no_gate_no_limit_and_shows_the_citizens_number() -> None:
    one = Centre(most=0)
    one.refusal = Refusal(Why.EMERGENCY)
    reply = await one.third.answer(CallEmergency("1001", "120", "wang"))
    assert reply.said == "120 rings"
    (order,) = one.invited
    assert (order.who, order.number) == (PartyKind.EMERGENCY, "02412345")
    assert (order.caller, order.citizen) == ("13912345678", CITIZEN)
    # The key pressed again calls nobody a second time.
    assert (await one.third.answer(CallEmergency("1001", "120"))).party == reply.party
    assert len(one.invited) == 1
    with pytest.raises(Refused, match="no emergency service 119"):
        await one.third.answer(CallEmergency("1001", "119"))


@pytest.mark.parametrize(("citizen", "shows"), [("", True), (CITIZEN, False)])
async def test_else_an_emergency_service_sees_the_hotlines_number(
    citizen: str, shows: bool
) -> None:
    one = Centre(shows_citizen=shows)
    one.citizen = citizen
    await one.third.answer(CallEmergency("1001", "120"))
    assert one.invited[0].caller == "8890"


async def test_a_key_consults_once_the_agent_is_in_the_talk_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parties, "KEY_ANSWERED", 0.01)
    one = Centre()
    assert await one.third.key("1001", "consult", "1002") == ""
    assert one.invited == []
    await asyncio.sleep(0.05)
    assert [(order.number, order.consult) for order in one.invited] == [("1002", True)]
    assert "somebody else" in await one.third.key("1001", "consult", "1003")
    assert "not in a talk" in await one.third.key("1002", "consult", "1003")


async def test_an_agent_hears_that_nobody_can_be_consulted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parties, "KEY_ANSWERED", 0.0)
    one = Centre()
    one.why = "on the phone"
    assert await one.third.key("1001", "consult", "1002") == ""
    await asyncio.sleep(0.05)
    assert one.did == [("told", CALL, "1001")]


async def test_the_keys_bring_in_join_after_a_consultation_and_drop_the_newest() -> None:
    one = Centre()
    assert await one.third.key("1001", "add", "") == WANTED
    assert await one.third.key("1001", "add", "1002") == ""
    assert not one.invited[0].consult
    one.parties._consults[CALL] = "1001"
    assert await one.third.key("1001", "add", "") == ""
    assert one.did == [("join", CALL)]
    one.parties._consults.clear()
    assert await one.third.key("1001", "add", "1003") == ""
    assert not one.invited[1].consult
    assert await one.third.key("1001", "drop", "") == ""
    assert one.did[-1] == ("drop", "hotline-p2", "")
    assert await one.third.key("1001", "120", "") == ""
    assert "not in a talk" in await one.third.key("1002", "add", "")
