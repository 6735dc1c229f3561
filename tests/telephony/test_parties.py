"""Third parties as AMI tells of them, in the order of recorded calls; and what CEL adds when nobody listened."""

from dataclasses import replace

import pytest

from facts import (
    CallEnded,
    CallSentOutside,
    CallTransferred,
    Fact,
    OfferAnswered,
    OwnCallEnded,
    OwnCallStarted,
    PartyAnswered,
    PartyAsked,
    PartyFailed,
    PartyJoined,
    PartyLeft,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from facts.ids import leg_of_ours, party_id, party_leg, party_of
from facts.parties import PartyEnd, PartyFailure, PartyKind
from facts.terms import Party
from telephony.cel import CelEvent, complete
from telephony.channels import AsteriskState, Calls, Message
from telephony.parties import LiveParty, Parties, PartyState, asked_for, handed, mark
from telephony.party_ends import missed
from tests.telephony.test_calls import NUMBERS

CALL, TRUNK, LEG, AGENT = (
    "hotline-1.1",
    "PJSIP/trunk-00000001",
    "hotline-1.2",
    "PJSIP/1001-00000002",
)
PARTY = "hotline-p1000000.1"[:-2]
ASKED = PartyAsked(1, CALL, "1001", PARTY, PartyKind.COLLEAGUE, "1002")
OUTSIDE = PartyAsked(1, CALL, "1001", PARTY, PartyKind.OUTSIDE, "95598")


class Asterisk:
    """Gives events with a time of their own to `Calls` and `Parties`, as the controller does."""

    def __init__(self, asked: PartyAsked = ASKED, *, another_trunk: bool = False) -> None:
        self.calls = Calls(NUMBERS)
        self.more = another_trunk
        self.parties = Parties(self.calls.caller_gone, lambda _: self.more, self.calls.call_of)
        self.calls.talks_on = self.parties.inside
        self.at = 0
        self.facts: list[Fact] = []
        self.talk()
        self.party = self.parties.ask(asked)
        self.party.leg = party_leg(PARTY, 1)
        phone = "1002" if asked.who is PartyKind.COLLEAGUE else "outbound"
        self.channel = f"PJSIP/{phone}-00000003"

    def event(
        self, kind: str, uniqueid: str, channel: str, linkedid: str = "", **more: str
    ) -> list[Fact]:
        self.at += 1
        message: Message = {
            "Event": kind,
            "Privilege": "call,all",
            "Timestamp": f"1796000000.{self.at:06}",
            "Uniqueid": uniqueid,
            "Linkedid": linkedid or uniqueid,
            "Channel": channel,
            **more,
        }
        facts = [*self.calls.read(message), *self.parties.read(message)]
        self.facts += facts
        return facts

    def talk(self) -> None:
        self.event("Newchannel", CALL, TRUNK, Exten="12345", Context="inbound", CallerIDNum="139")
        self.event("Newstate", CALL, TRUNK, ChannelState="6", Context="inbound")
        for state in ("5", "6"):
            self.event("Newstate", LEG, AGENT, CALL, ChannelState=state)

    def of_party(self, kind: str, linkedid: str = "", **more: str) -> list[Fact]:
        return self.event(kind, self.party.leg, self.channel, linkedid, **more)

    def joins(self) -> list[Fact]:
        self.of_party("Newchannel", ChannelState="0")
        self.of_party("Newstate", ChannelState="5")
        self.of_party("Newstate", ChannelState="6")
        return self.of_party("BridgeEnter", CALL)

    def consults(self) -> list[Fact]:
        return self.event(
            "UserEvent", CALL, TRUNK, UserEvent="HotlineConsult", State="begin", Agent="1001"
        )

    def back(self) -> list[Fact]:
        return self.event("UserEvent", CALL, TRUNK, UserEvent="HotlineConsult", State="over")


def at(facts: list[Fact]) -> int:
    return facts[-1].at


def test_ids_are_read_as_they_are_made() -> None:
    party = party_id("hotline", 1763731200123456)
    leg = party_leg(party, 2)
    assert (leg, party_of(leg), leg_of_ours(leg)) == ("hotline-p1763731200123456.2", party, "p")
    assert [leg_of_ours(f"hotline-{one}7.1") for one in "pldcr"] == ["p", "l", "d", "", ""]
    for other in (party, "hotline-1.1", "hotline-p1.1\n", "", "hotline-p1.1.1", "-p1.1"):
        assert (leg_of_ours(other), party_of(other)) == ("", "")


def test_a_colleague_joins_is_busy_meanwhile_and_leaves() -> None:
    one = Asterisk()
    joined = one.joins()
    assert joined == [PartyJoined(at(joined), CALL, "1001", PARTY)]
    assert next(fact for fact in one.facts if isinstance(fact, OwnCallStarted)).agent == "1002"
    assert one.party.state() is PartyState.JOINED
    assert one.calls.talks_on(CALL)
    one.of_party("HangupRequest", CALL, Cause="16")
    left = one.of_party("Hangup", CALL, Cause="16")
    assert left == [
        OwnCallEnded(at(left), "1002"),
        PartyLeft(at(left), CALL, "1001", PARTY, PartyEnd.HUNG_UP),
    ]
    assert one.parties.of(CALL) == []


def test_a_legs_newer_linkedid_makes_it_no_leg_of_the_call() -> None:
    one = Asterisk()
    one.joins()
    one.of_party("Newstate", CALL, ChannelState="6")
    assert [talk.agent for talk in one.calls.talks()] == ["1001"]


def test_an_outside_number_is_no_overflow_of_the_call() -> None:
    one = Asterisk(OUTSIDE)
    facts = one.joins()
    assert facts == [PartyJoined(at(facts), CALL, "1001", PARTY)]
    assert not one.calls.unheard(CALL)


def test_consultation_comes_before_the_citizen_hears_them() -> None:
    one = Asterisk()
    held = one.consults()
    assert held == [TalkHeld(at(held), CALL, "1001")]
    answered = one.joins()
    assert answered == [PartyAnswered(at(answered), CALL, "1001", PARTY)]
    assert one.party.state() is PartyState.CONSULTED
    back = one.back()
    assert back == [
        TalkResumed(at(back), CALL, "1001"),
        PartyJoined(at(back), CALL, "1001", PARTY),
    ]
    assert not one.parties.consulting(CALL)
    assert one.back() == []


def test_a_forged_or_unknown_consultation_is_nothing() -> None:
    one = Asterisk()
    assert (
        one.event("UserEvent", CALL, TRUNK, UserEvent="HotlineConsult", State="begin", Agent="x")
        == []
    )
    assert one.event("UserEvent", CALL, TRUNK, UserEvent="Other", State="begin", Agent="1001") == []


@pytest.mark.parametrize(
    ("cause", "rang", "asked", "why"),
    [
        ("17", True, True, PartyFailure.BUSY),
        ("21", True, True, PartyFailure.REFUSED),
        ("19", True, True, PartyFailure.NO_ANSWER),
        ("1", False, True, PartyFailure.UNREACHABLE),
        ("16", True, False, PartyFailure.NO_ANSWER),
        ("38", False, True, PartyFailure.UNREACHABLE),
    ],
)
def test_why_a_party_is_not_there(cause: str, rang: bool, asked: bool, why: PartyFailure) -> None:
    one = Asterisk()
    one.of_party("Newchannel")
    if rang:
        one.of_party("Newstate", ChannelState="5")
    if asked:
        one.of_party("HangupRequest", Cause=cause)
    facts = one.of_party("Hangup", Cause=cause)
    assert facts[-1] == PartyFailed(at(facts), CALL, "1001", PARTY, why)


def test_what_was_taken_back_is_withdrawn() -> None:
    one = Asterisk()
    one.of_party("Newchannel")
    one.party.ending = PartyEnd.DROPPED
    facts = one.of_party("Hangup", Cause="16")
    assert facts[-1] == PartyFailed(at(facts), CALL, "1001", PARTY, PartyFailure.WITHDRAWN)


def test_a_trunk_that_does_not_take_the_leg_leaves_it_to_the_next() -> None:
    one = Asterisk(OUTSIDE, another_trunk=True)
    one.of_party("Newchannel")
    assert one.of_party("Hangup", Cause="38") == []
    one.more = False
    one.party.leg = party_leg(PARTY, 2)
    assert one.joins() != []
    # What the first leg tells late concerns nobody.
    one.party.leg = party_leg(PARTY, 3)
    assert one.event("Hangup", party_leg(PARTY, 2), one.channel, Cause="16") == []


def test_dropped_by_somebody() -> None:
    one = Asterisk()
    one.joins()
    one.party.ending, one.party.by = PartyEnd.DROPPED, "wang"
    facts = one.of_party("Hangup", CALL, Cause="16")
    assert facts[-1] == PartyLeft(at(facts), CALL, "1001", PARTY, PartyEnd.DROPPED, "wang")


def test_a_phone_that_was_lost() -> None:
    one = Asterisk()
    one.joins()
    one.of_party("HangupRequest", CALL, Cause="127")
    facts = one.of_party("Hangup", CALL, Cause="127")
    assert facts[-1] == PartyLeft(at(facts), CALL, "1001", PARTY, PartyEnd.LOST)


def test_the_agents_leg_outlives_the_citizen_and_is_busy_until_it_ends() -> None:
    one = Asterisk()
    one.joins()
    one.event("HangupRequest", CALL, TRUNK, Cause="16")
    gone = one.event("Hangup", CALL, TRUNK, Cause="16")
    assert [type(fact).__name__ for fact in gone] == ["TalkEnded", "CallEnded", "OwnCallStarted"]
    assert one.calls.outlived(CALL) == [AGENT]
    left = one.of_party("Hangup", CALL, Cause="16")
    assert left[-1] == PartyLeft(at(left), CALL, "1001", PARTY, PartyEnd.TALK_OVER)
    ended = one.event("Hangup", LEG, AGENT, CALL, Cause="16")
    assert ended == [OwnCallEnded(at(ended), "1001")]


def test_without_a_party_the_agents_leg_ends_with_the_citizens() -> None:
    one = Asterisk()
    one.event("HangupRequest", CALL, TRUNK, Cause="16")
    gone = one.event("Hangup", CALL, TRUNK, Cause="16")
    assert [type(fact).__name__ for fact in gone] == ["TalkEnded", "CallEnded"]
    assert one.calls.outlived(CALL) == []


def test_citizen_and_party_talk_on_without_the_agent() -> None:
    one = Asterisk()
    one.joins()
    one.event("HangupRequest", LEG, AGENT, CALL, Cause="16")
    ended = one.event("Hangup", LEG, AGENT, CALL, Cause="16")
    assert [type(fact) for fact in ended] == [TalkEnded]
    assert not one.calls.caller_gone(CALL)
    assert one.parties.inside(CALL)


TAKES = {"Context": "supervision", "Exten": "take"}


def test_a_colleague_who_is_handed_the_citizen_has_the_talk_as_their_own() -> None:
    one = Asterisk()
    one.joins()
    handed = one.of_party("BridgeEnter", CALL, **TAKES)
    now = at(handed)
    assert handed == [
        CallTransferred(now, CALL, "1001", "1002", attended=True),
        OfferAnswered(now, CALL, "1002"),
        OwnCallEnded(now, "1002"),
        PartyLeft(now, CALL, "1001", PARTY, PartyEnd.HANDED_OVER),
    ]
    assert one.parties.of(CALL) == []
    one.calls.ends(LEG)
    left = one.event("Hangup", LEG, AGENT, CALL, Cause="16")
    assert left == [TalkEnded(at(left), CALL, "1001", Party.AGENT)]
    assert [talk.agent for talk in one.calls.talks()] == ["1002"]
    one.of_party("HangupRequest", CALL, Cause="16")
    over = one.of_party("Hangup", CALL, Cause="16")
    assert over == [TalkEnded(at(over), CALL, "1002", Party.AGENT)]


# --- after a start


def listed(uniqueid: str, channel: str, linkedid: str, **more: str) -> Message:
    entry = {"Uniqueid": uniqueid, "Channel": channel, "Linkedid": linkedid, "ChannelState": "6"}
    return {**entry, "BridgeID": "b", "Seconds": "3", **more}


def snapshot(*entries: Message) -> tuple[Calls, Parties, AsteriskState]:
    calls = Calls(NUMBERS)
    calls.link_lost()
    parties = Parties(calls.caller_gone)
    state = calls.snapshot(entries, [], 1796000000_000000)
    parties.found(state)
    return calls, parties, state


def party_listed(text: str, **more: str) -> Message:
    told = more.pop("told", "")
    return listed(
        party_leg(PARTY, 1),
        "PJSIP/1002-00000003",
        CALL,
        Variable=f"HL_PARTY={text}\n{told}",
        **more,
    )


CITIZEN = listed(
    CALL, TRUNK, CALL, Context="hotline-call", DNID="12345", Variable="HL_NUMBER=12345"
)
PHONE = listed(LEG, AGENT, CALL)
MARK = mark(LiveParty(PARTY, CALL, "1001", PartyKind.COLLEAGUE, "1002"))


def test_the_next_controller_knows_the_party_again() -> None:
    calls, parties, state = snapshot(party_listed(MARK), PHONE, CITIZEN)
    (party,) = parties.of(CALL)
    assert (party.agent, party.number, party.who) == ("1001", "1002", PartyKind.COLLEAGUE)
    assert party.state() is PartyState.JOINED
    assert OwnCallStarted(1796000000_000000, "1002") in state.facts
    assert [talk.agent for talk in calls.talks()] == ["1001"]
    # The same lists tell nothing new.
    again = calls.snapshot([party_listed(MARK), PHONE, CITIZEN], [], 1796000001_000000)
    assert again.facts == ()


def test_a_colleague_who_was_handed_the_citizen_is_no_party_for_the_next_controller() -> None:
    calls, parties, state = snapshot(CITIZEN, party_listed(MARK, **TAKES))
    assert parties.of(CALL) == []
    assert asked_for(state) == []
    assert [talk.agent for talk in calls.talks()] == ["1002"]
    assert handed(state) == [(CALL, "1001")]


def test_only_a_colleague_in_the_talk_was_handed_the_citizen() -> None:
    assert handed(snapshot(CITIZEN, PHONE, party_listed(MARK))[2]) == []
    assert handed(snapshot(CITIZEN, PHONE, party_listed(MARK, **TAKES, BridgeID=""))[2]) == []
    assert handed(snapshot(CITIZEN, PHONE, party_listed("nothing", **TAKES))[2]) == []


def test_an_agent_who_took_the_citizen_back_stays_in_the_talk() -> None:
    back = listed(
        "n-l1.1", "PJSIP/1001-9", CALL, **TAKES, Variable=f"HL_SUPERVISES={CALL} 1002 1 li"
    )
    _, _, state = snapshot(CITIZEN, party_listed(MARK, **TAKES), back)
    assert [leg.supervisor for leg in state.supervisors] == ["1001"]
    assert handed(state) == []


def test_an_outside_party_is_no_overflow_after_a_start_either() -> None:
    outside = mark(LiveParty(PARTY, CALL, "1001", PartyKind.OUTSIDE, "95598"))
    entry = {**party_listed(outside), "Channel": "PJSIP/outbound-00000003"}
    calls, parties, state = snapshot(entry, PHONE, CITIZEN)
    assert parties.of(CALL)[0].who is PartyKind.OUTSIDE
    assert not [fact for fact in state.facts if isinstance(fact, CallSentOutside)]
    assert [talk.agent for talk in calls.talks()] == ["1001"]


def test_one_who_rings_one_who_is_consulted_and_one_who_is_muted_are_known_as_that() -> None:
    _, parties, _ = snapshot(party_listed(MARK, ChannelState="5", BridgeID=""), PHONE, CITIZEN)
    assert parties.of(CALL)[0].state() is PartyState.RINGING
    held = {**CITIZEN, "Context": "consult", "Variable": f"HL_NUMBER=12345\nHL_CONSULT={AGENT}"}
    _, parties, state = snapshot(party_listed(MARK), PHONE, held)
    assert state.consults == ((CALL, "1001"),)
    assert state.alive == {CALL}
    assert parties.of(CALL)[0].state() is PartyState.CONSULTED
    _, parties, _ = snapshot(party_listed(MARK, told="HL_MUTED=1"), PHONE, CITIZEN)
    assert parties.of(CALL)[0].muted


@pytest.mark.parametrize(
    "text", ["", "x", f"{CALL} 1001 nobody now 1002 -", "../x 1001 outside now 1 -"]
)
def test_a_mark_that_is_none_makes_no_party(text: str) -> None:
    _, parties, _ = snapshot(party_listed(text), PHONE, CITIZEN)
    assert list(parties.all()) == []


def test_an_agent_whose_citizen_left_while_nobody_was_told_is_on_an_own_call() -> None:
    calls, parties, state = snapshot(party_listed(MARK), PHONE)
    assert list(calls.talks()) == []
    assert state.alive == frozenset()
    assert calls.outlived(CALL) == [AGENT]
    assert {fact.agent for fact in state.facts if isinstance(fact, OwnCallStarted)} == {
        "1001",
        "1002",
    }
    assert parties.of(CALL) != []


# --- what CEL knows


def cel(
    kind: str, at: int, uniqueid: str = party_leg(PARTY, 1), extra: str = "", name: str = ""
) -> CelEvent:
    channel = "PJSIP/1002-00000003" if uniqueid != CALL else TRUNK
    return CelEvent(kind, at, uniqueid, CALL, channel, "", "", "", "", "", name, extra)


HUNG_UP = '{"hangupcause":16,"hangupsource":"PJSIP/1002-00000003"}'
STORY = [
    cel("CHAN_START", 10),
    cel("ANSWER", 20),
    cel("BRIDGE_ENTER", 30),
    cel("HANGUP", 90, extra=HUNG_UP),
]


def told(
    known: list[Fact], events: list[CelEvent], alive: bool = False, calls: bool = True
) -> list[Fact]:
    there = {PARTY} if alive else set()
    return missed(
        events, known, alive=there, calls={CALL} if calls else set(), asked=1000, now=2000
    )


def test_for_cel_a_party_is_no_agent_of_the_call_and_may_end_it() -> None:
    """The order is that of a recorded call in which the agent left first, and the colleague hung up at last."""
    source = '{"hangupcause":16,"hangupsource":"%s"}'
    own = [
        CelEvent("CHAN_START", 1, CALL, CALL, TRUNK, "139", "inbound", "12345", "", "", "", ""),
        CelEvent("ANSWER", 2, CALL, CALL, TRUNK, "139", "", "", "", "", "", ""),
        CelEvent("CHAN_START", 3, LEG, CALL, AGENT, "", "", "", "", "", "", ""),
        CelEvent("ANSWER", 4, LEG, CALL, AGENT, "", "", "", "", "", "", ""),
        CelEvent("HANGUP", 50, LEG, CALL, AGENT, "", "", "", "", "", "", source % AGENT),
    ]
    ended = source % "PJSIP/1002-00000003"
    end = CelEvent("HANGUP", 91, CALL, CALL, TRUNK, "139", "", "", "", "", "", ended)
    events = sorted([*own, *STORY, end], key=lambda event: event.at)
    facts = complete(events, [], numbers=NUMBERS)
    assert {fact.agent for fact in facts if isinstance(fact, OfferAnswered | TalkEnded)} == {"1001"}
    (over,) = [fact for fact in facts if isinstance(fact, CallEnded)]
    assert over.hung_up_by is Party.AGENT
    # What the diary has of the party makes no second call of it.
    left = PartyLeft(90, CALL, "1001", PARTY, PartyEnd.HUNG_UP)
    later = complete([], [left], numbers=NUMBERS, alive=[], now=99)
    assert later == []


@pytest.mark.parametrize("exit_first", [True, False])
def test_cel_alone_tells_who_was_handed_the_citizen(exit_first: bool) -> None:
    """Asterisk may write the leg's way out of the bridge under its new extension already."""
    source = '{"hangupcause":16,"hangupsource":"%s"}'
    own = [
        CelEvent("CHAN_START", 1, CALL, CALL, TRUNK, "139", "inbound", "12345", "", "", "", ""),
        CelEvent("ANSWER", 2, CALL, CALL, TRUNK, "139", "", "", "", "", "", ""),
        CelEvent("CHAN_START", 3, LEG, CALL, AGENT, "", "", "", "", "", "", ""),
        CelEvent("ANSWER", 4, LEG, CALL, AGENT, "", "", "", "", "", "", ""),
        CelEvent("HANGUP", 62, LEG, CALL, AGENT, "", "", "", "", "", "", source % ""),
        CelEvent("HANGUP", 91, CALL, CALL, TRUNK, "139", "", "", "", "", "", source % ""),
    ]
    taken = replace(cel("BRIDGE_ENTER", 60), context="supervision", exten="take")
    left = replace(taken, kind="BRIDGE_EXIT", at=59)
    over = replace(STORY[-1], context="supervision", exten="take")
    events = [*own, *STORY[:-1], taken, over, *[left] * exit_first]
    facts = complete(sorted(events, key=lambda event: event.at), [], numbers=NUMBERS)
    assert CallTransferred(60, CALL, "1001", "1002", attended=True) in facts
    assert OfferAnswered(60, CALL, "1002") in facts
    assert {fact.agent for fact in facts if isinstance(fact, TalkEnded)} == {"1001", "1002"}


def test_cel_tells_of_a_party_who_came_and_went() -> None:
    joined = PartyJoined(30, CALL, "1001", PARTY)
    left = PartyLeft(90, CALL, "1001", PARTY, PartyEnd.HUNG_UP)
    assert told([ASKED], STORY) == [joined, left]
    assert told([ASKED, joined], STORY) == [left]
    assert told([ASKED, joined, left], STORY) == []
    assert told([ASKED], STORY[:3], alive=True) == [joined]


def test_cel_tells_of_a_citizen_who_was_handed_over() -> None:
    taken = replace(cel("BRIDGE_ENTER", 60), context="supervision", exten="take")
    joined = PartyJoined(30, CALL, "1001", PARTY)
    left = PartyLeft(60, CALL, "1001", PARTY, PartyEnd.HANDED_OVER)
    assert told([ASKED], [*STORY, taken]) == [joined, left]


def test_cel_tells_when_a_consultation_was_over() -> None:
    asked = PartyAsked(1, CALL, "1001", PARTY, PartyKind.COLLEAGUE, "1002", consult=True)
    over = cel("USER_DEFINED", 40, CALL, name="consult_over")
    assert told([asked], [*STORY, over])[:2] == [
        PartyAnswered(30, CALL, "1001", PARTY),
        PartyJoined(40, CALL, "1001", PARTY),
    ]
    assert told([asked], STORY[:3], alive=True) == [PartyAnswered(30, CALL, "1001", PARTY)]


def test_a_party_without_a_trace_has_ended_by_now() -> None:
    assert told([ASKED], []) == [PartyFailed(2000, CALL, "1001", PARTY, PartyFailure.LOST)]
    assert told([ASKED], STORY[:3], calls=False)[-1] == PartyLeft(
        2000, CALL, "1001", PARTY, PartyEnd.TALK_OVER
    )
    busy = cel("HANGUP", 40, extra='{"hangupcause":17,"hangupsource":"PJSIP/1002-00000003"}')
    assert told([ASKED], [busy]) == [PartyFailed(40, CALL, "1001", PARTY, PartyFailure.BUSY)]


def test_a_party_whose_asking_was_not_written_is_told_by_its_leg() -> None:
    _, _, state = snapshot(party_listed(MARK), PHONE, CITIZEN)
    (marked,) = asked_for(state)
    assert marked == PartyAsked(1000000, CALL, "1001", PARTY, PartyKind.COLLEAGUE, "1002")
    joined = PartyJoined(30, CALL, "1001", PARTY)

    def found(*known: Fact) -> list[Fact]:
        return missed(
            STORY[:3], known, alive={PARTY}, calls={CALL}, asked=2000000, now=3, marked=[marked]
        )

    assert found() == [joined, marked]
    assert found(marked) == [joined]
    assert found(marked, joined) == []


def test_who_was_asked_after_the_question_is_told_by_ami() -> None:
    later = PartyAsked(1001, CALL, "1001", PARTY, PartyKind.COLLEAGUE, "1002")
    assert told([later], []) == []
