"""Stories that no recording tells: lines kept for a citizen, transfers, events that were lost or come twice."""

import pytest

from facts import (
    CallArrived,
    CallbackEnded,
    CallEnded,
    CallOverflowed,
    CallTransferred,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from facts.terms import OfferReason, Party
from telephony.channels import Calls, Early, LiveAttempt, Message, microseconds
from tests.telephony.test_calls import NUMBERS, folded
from tests.telephony.test_channels_ends import (
    AGENT,
    ATTEMPT,
    CALL,
    CALLER,
    LEG,
    OUT,
    OUTSIDE,
    arrives,
    asks,
    begins,
    ends,
    event,
    is_up,
    rings,
)

COLLEAGUE, COLLEAGUES = "hotline-1.4", "PJSIP/1002-00000004"


def of_colleague(message: Message) -> Message:
    return {**message, "Uniqueid": COLLEAGUE, "Channel": COLLEAGUES}


def after(*messages: Message) -> Calls:
    calls = Calls(NUMBERS)
    folded(messages, calls)
    return calls


def at(message: Message) -> int:
    return microseconds(message["Timestamp"])


# --- a line that is kept for a citizen


def kept(*before: Message) -> Calls:
    """A citizen has arrived, and the agent's line of a callback is kept for that citizen."""
    calls = after(arrives(), begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), *before)
    calls.keep_channel(ATTEMPT, CALL)
    return calls


def tone() -> Message:
    return event("UserEvent", ATTEMPT, UserEvent="HotlineInboundFirst")


def joins() -> Message:
    return event("BridgeEnter", ATTEMPT)


def test_a_kept_line_from_the_tone_to_the_end() -> None:
    calls = kept()
    assert calls.attempt(ATTEMPT) is None
    assert list(calls.attempts()) == []
    assert calls.leg_channel(CALL, "1001", answered=False) == AGENT
    tone_, joined, asked, ended = tone(), joins(), asks(ATTEMPT), ends(ATTEMPT)
    assert folded([tone_, tone_], calls) == [OfferRinging(at(tone_), CALL, "1001")]
    assert folded([joined, joined], calls) == [OfferAnswered(at(joined), CALL, "1001")]
    assert calls.leg_channel(CALL, "1001", answered=True) == AGENT
    assert folded([asked, ended], calls) == [TalkEnded(at(ended), CALL, "1001", Party.AGENT)]
    assert calls.channels() == {CALL}


def test_a_line_is_kept_once_and_only_if_it_exists() -> None:
    calls = kept()
    calls.keep_channel(ATTEMPT, "hotline-1.8")
    calls.keep_channel("hotline-c9.1", CALL)
    assert calls.channels() == {CALL, ATTEMPT}
    assert calls.leg_channel(CALL, "1001", answered=False) == AGENT


def test_a_caller_who_hangs_up_before_the_kept_line_has_joined() -> None:
    calls = kept()
    assert folded([asks(CALL)], calls) == []
    assert calls.caller_gone(CALL)
    ended = ends(ATTEMPT)
    assert folded([ended], calls) == [
        OfferEnded(at(ended), CALL, "1001", OfferReason.CALLER_GONE),
        CallEnded(at(ended), CALL, Party.CALLER),
    ]


def test_a_caller_who_was_gone_when_the_line_was_kept() -> None:
    calls = after(arrives(), begins(LEG), asks(CALL), begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT))
    calls.keep_channel(ATTEMPT, CALL)
    ended = ends(ATTEMPT, 17)
    assert folded([ended], calls) == [OfferEnded(at(ended), CALL, "1001", OfferReason.CALLER_GONE)]


def test_the_system_ends_a_call_whose_kept_line_has_not_joined() -> None:
    """The agent's line lives on. Its end is the call's, and the reason is not the agent."""
    calls = kept()
    assert folded([ends(CALL)], calls) == []
    assert calls.caller_gone(CALL)
    assert calls.channels() == {CALL, ATTEMPT}
    asked, ended = asks(ATTEMPT), ends(ATTEMPT)
    assert folded([asked, ended], calls) == [
        OfferEnded(at(ended), CALL, "1001", OfferReason.CALLER_GONE),
        CallEnded(at(ended), CALL, Party.CALLER),
    ]
    assert calls.channels() == frozenset()


def test_the_agents_refusal_stays_one_when_the_call_is_gone_next() -> None:
    calls = kept()
    folded([asks(ATTEMPT), ends(CALL)], calls)
    (offer, _) = folded([ends(ATTEMPT)], calls)
    assert isinstance(offer, OfferEnded)
    assert offer.reason is OfferReason.REFUSED


def test_a_kept_line_that_talks_ends_with_its_call() -> None:
    calls = kept()
    folded([tone(), joins()], calls)
    ended = ends(CALL)
    assert folded([ended], calls) == [
        TalkEnded(at(ended), CALL, "1001", Party.SYSTEM),
        CallEnded(at(ended), CALL, Party.SYSTEM, 16),
    ]
    assert folded([ends(ATTEMPT)], calls) == []
    assert calls.channels() == frozenset()


def test_the_old_citizens_leg_of_a_kept_line_ends_unsaid() -> None:
    calls = kept(begins(OUT, ATTEMPT))
    assert calls.channels() == {CALL, ATTEMPT, OUT}
    assert folded([ends(OUT)], calls) == []
    assert calls.channels() == {CALL, ATTEMPT}


def test_an_agent_who_holds_a_citizen_of_a_kept_line() -> None:
    calls = kept()
    folded([tone(), joins()], calls)
    hold, unhold = event("Hold", ATTEMPT), event("Unhold", ATTEMPT)
    assert folded([hold, hold, unhold, unhold], calls) == [
        TalkHeld(at(hold), CALL, "1001"),
        TalkResumed(at(unhold), CALL, "1001"),
    ]


# --- holds


def test_only_a_talk_is_held() -> None:
    calls = after(arrives(), begins(LEG), rings(LEG))
    assert folded([event("Hold", LEG), event("Hold", CALL)], calls) == []
    hold = event("Hold", LEG)
    folded([is_up(LEG)], calls)
    assert folded([event("Unhold", LEG), hold], calls) == [TalkHeld(at(hold), CALL, "1001")]
    calls = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT))
    assert folded([event("Hold", ATTEMPT)], calls) == []
    hold = event("Hold", ATTEMPT)
    folded([is_up(OUT)], calls)
    assert folded([hold], calls) == [TalkHeld(at(hold), ATTEMPT, "1001")]


# --- attended transfers


def own_call() -> list[Message]:
    """1001 dials the colleague 1002 on a second channel; the colleague answers."""
    mine = {"Uniqueid": OUT, "Linkedid": OUT, "Channel": "PJSIP/1001-00000003"}
    theirs = {"Linkedid": OUT}
    return [
        {**begins(LEG), **mine},
        {**of_colleague(begins(LEG)), **theirs},
        {**of_colleague(is_up(LEG)), **theirs},
    ]


def transfer(**more: str) -> Message:
    return {
        **event("AttendedTransfer", LEG),
        "Result": "Success",
        "DestType": "Bridge",
        "OrigTransfererChannel": AGENT,
        "TransfereeUniqueid": CALL,
        "TransfereeChannel": CALLER,
        "TransferTargetUniqueid": COLLEAGUE,
        "TransferTargetChannel": COLLEAGUES,
        "SecondTransfererUniqueid": OUT,
        **more,
    }


def talking() -> Calls:
    return after(arrives(), begins(LEG), is_up(LEG), *own_call())


def test_an_attended_transfer_in_full() -> None:
    calls, asked = talking(), transfer()
    assert folded([asked, asked], calls) == [
        CallTransferred(at(asked), CALL, "1001", "1002", attended=True),
        OfferAnswered(at(asked), CALL, "1002"),
        OwnCallEnded(at(asked), "1002"),
    ]
    assert calls.leg_channel(CALL, "1002", answered=True) == COLLEAGUES
    asked, ended = of_colleague(asks(LEG)), of_colleague(ends(LEG))
    assert folded([asked, ended], calls) == [TalkEnded(at(ended), CALL, "1002", Party.AGENT)]


def of_three(message: Message, far_end: str = "Transferee") -> Message:
    """A supervisor has stepped in: Asterisk names no far end of that talk."""
    return {name: value for name, value in message.items() if not name.startswith(far_end)}


def test_an_attended_transfer_out_of_a_talk_of_three() -> None:
    calls, asked = talking(), of_three(transfer(OrigTransfererUniqueid=LEG))
    assert folded([asked, asked], calls) == [
        CallTransferred(at(asked), CALL, "1001", "1002", attended=True),
        OfferAnswered(at(asked), CALL, "1002"),
        OwnCallEnded(at(asked), "1002"),
    ]
    left, asked, ended = ends(LEG), asks(CALL), ends(CALL)
    assert folded([left], calls) == [TalkEnded(at(left), CALL, "1001", Party.SYSTEM)]
    assert folded([asked, ended], calls) == [
        TalkEnded(at(ended), CALL, "1002", Party.CALLER),
        CallEnded(at(ended), CALL, Party.CALLER, 16),
    ]


def test_the_same_by_the_other_leg_of_the_phone() -> None:
    calls = talking()
    asked = transfer(
        OrigTransfererChannel="PJSIP/1001-00000003",
        OrigTransfererUniqueid=OUT,
        TransfereeUniqueid=COLLEAGUE,
        TransfereeChannel=COLLEAGUES,
        SecondTransfererUniqueid=LEG,
        SecondTransfererChannel=AGENT,
    )
    assert folded([of_three(asked, "TransferTarget")], calls)[:2] == [
        CallTransferred(at(asked), CALL, "1001", "1002", attended=True),
        OfferAnswered(at(asked), CALL, "1002"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"OrigTransfererUniqueid": OUT, "OrigTransfererChannel": "PJSIP/1001-00000003"},
        {"OrigTransfererChannel": "PJSIP/1001-0000ffff"},
        {"Result": "Fail"},
    ],
)
def test_a_transfer_out_of_another_talk_of_three(change: dict[str, str]) -> None:
    asked = of_three(transfer(**{"OrigTransfererUniqueid": LEG, **change}))
    assert folded([asked], talking()) == []


def test_a_caller_who_hung_up_during_the_transfer_has_ended_the_colleagues_talk() -> None:
    calls = talking()
    folded([asks(CALL), transfer()], calls)
    asked, ended = of_colleague(asks(LEG)), of_colleague(ends(LEG))
    assert folded([asked, ended], calls) == [TalkEnded(at(ended), CALL, "1002", Party.CALLER)]


def test_a_colleague_on_another_own_call_stays_on_it() -> None:
    other = {"Uniqueid": "hotline-1.5", "Linkedid": "hotline-1.5", "Channel": "PJSIP/1002-00000005"}
    calls = talking()
    folded([{**begins(LEG), **other}], calls)
    assert [type(fact) for fact in folded([transfer()], calls)] == [CallTransferred, OfferAnswered]


@pytest.mark.parametrize(
    "change",
    [
        {"Result": "Fail"},
        {"Result": ""},
        {"TransfereeChannel": "PJSIP/trunk-0000ffff"},
        {"TransfereeUniqueid": "hotline-1.9"},
        {"TransferTargetChannel": "PJSIP/1002-0000ffff"},
        {"TransferTargetUniqueid": "hotline-1.9"},
        {"TransferTargetUniqueid": LEG, "TransferTargetChannel": AGENT},
    ],
)
def test_a_transfer_that_is_none(change: dict[str, str]) -> None:
    assert folded([transfer(**change)], talking()) == []


def test_a_call_that_has_ended_is_not_transferred() -> None:
    calls = talking()
    folded([ends(LEG), asks(CALL)], calls)
    assert folded([transfer()], calls) == []
    early = transfer(DestType="App")
    assert calls.joined_early(early) is None


def test_an_outside_number_is_not_transferred() -> None:
    """1001 has sent the citizen to an outside number. That leg is not the leg of a citizen in a callback."""
    calls = after(arrives(), begins(OUT), is_up(OUT), *own_calls_of_1001())
    change = {"TransfereeUniqueid": OUT, "TransfereeChannel": OUTSIDE}
    assert folded([transfer(**change)], calls) == []
    assert calls.joined_early(transfer(DestType="App", **change)) is None


def own_calls_of_1001() -> list[Message]:
    return [
        {**begins(LEG), "Linkedid": LEG},
        {**of_colleague(begins(LEG)), "Linkedid": LEG},
    ]


def test_an_early_join_names_the_colleagues_channel() -> None:
    calls = after(arrives(), begins("hotline-1.2"), is_up(LEG))
    mine = {"Uniqueid": OUT, "Linkedid": OUT, "Channel": "PJSIP/1001-00000003"}
    folded([{**begins(LEG), **mine}], calls)
    early = transfer(DestType="App")
    assert calls.joined_early(early) is None, "nobody is rung yet"
    folded([{**of_colleague(begins(LEG)), "Linkedid": OUT}], calls)
    assert calls.joined_early(early) == Early(CALL, "1002", COLLEAGUES)


def test_a_citizens_linkedid_may_change_in_a_bridge() -> None:
    """In an early join, when the colleague answers in the moment in which Asterisk exchanges the channels."""
    calls = after(arrives(), begins("hotline-1.2"), is_up("hotline-1.2"))
    dials = {"Uniqueid": OUT, "Linkedid": OUT, "Channel": "PJSIP/1001-00000003"}
    joins = {**is_up(CALL), "Event": "BridgeEnter", "Linkedid": OUT}
    folded([{**begins(LEG), **dials}, joins, {**ends(LEG), **dials}], calls)
    rings, answers = ({**of_colleague(one), "Linkedid": OUT} for one in (begins(LEG), is_up(LEG)))
    assert folded([rings, answers], calls) == [
        OfferRinging(at(answers), CALL, "1002"),
        OfferAnswered(at(answers), CALL, "1002"),
    ]


def test_the_linkedid_of_another_citizen_stays_theirs() -> None:
    calls = after(arrives(), {**arrives(), "Uniqueid": OUT, "Linkedid": OUT})
    folded([{**is_up(CALL), "Event": "BridgeEnter", "Linkedid": OUT}], calls)
    answers = {**of_colleague(is_up(LEG)), "Linkedid": OUT}
    (_, answered) = folded([{**of_colleague(begins(LEG)), "Linkedid": OUT}, answers], calls)
    assert answered == OfferAnswered(at(answers), OUT, "1002")


def test_a_citizen_of_a_callback_is_transferred() -> None:
    messages = [
        begins(ATTEMPT, ATTEMPT),
        is_up(ATTEMPT),
        begins(OUT, ATTEMPT),
        is_up(OUT),
        {**begins(LEG), "Linkedid": LEG},
        {**of_colleague(begins(LEG)), "Linkedid": LEG},
    ]
    change = {"TransfereeUniqueid": OUT, "TransfereeChannel": OUTSIDE}
    early = transfer(DestType="App", SecondTransfererUniqueid=LEG, **change)
    calls = after(*messages)
    assert calls.joined_early(early) == Early(OUT, "1002", COLLEAGUES)
    asked = transfer(**change)
    assert folded([asked], calls) == [
        CallArrived(at(asked), OUT, "", "", ATTEMPT),
        CallTransferred(at(asked), OUT, "1001", "1002", attended=True),
        OfferAnswered(at(asked), OUT, "1002"),
        OwnCallEnded(at(asked), "1002"),
    ]
    assert calls.caller_channel(OUT) == OUTSIDE
    # The agent's line ends, and the citizen's call goes on.
    ended = ends(ATTEMPT)
    assert folded([ended], calls) == [
        CallbackEnded(at(ended), 7, ATTEMPT, "1001", "", Party.SYSTEM)
    ]
    assert not calls.caller_gone(OUT)
    # Not before the citizen has answered.
    calls = after(
        *(one for one in messages if one["Uniqueid"] != OUT or one["Event"] != "Newstate")
    )
    assert folded([transfer(**change)], calls) == []


# --- whoever is handed on by the dialplan


def handed_on() -> Message:
    return event(
        "UserEvent",
        OUT,
        ATTEMPT,
        UserEvent="HotlineHandedOn",
        Queue="tax",
        CallerIDNum="13800138000",
    )


def test_a_citizen_who_is_handed_on_twice_arrives_once() -> None:
    calls = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT), is_up(OUT))
    word = handed_on()
    assert folded([word, word], calls) == [
        CallArrived(at(word), OUT, "", "+8613800138000", ATTEMPT, "tax")
    ]
    assert calls.attempt(ATTEMPT) == LiveAttempt(
        ATTEMPT, 7, "1001", AGENT, picked_up=True, answered=True
    )
    leg = {**of_colleague(begins(LEG)), "Linkedid": ATTEMPT}
    ring = {**of_colleague(rings(LEG)), "Linkedid": ATTEMPT}
    assert folded([leg, ring], calls) == [OfferRinging(at(ring), OUT, "1002")]


def test_a_citizen_who_is_handed_on_after_the_agents_end() -> None:
    calls = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT), is_up(OUT))
    (ended,) = folded([ends(ATTEMPT)], calls)
    assert isinstance(ended, CallbackEnded)
    assert calls.channels() == {OUT}
    assert [type(fact) for fact in folded([handed_on()], calls)] == [CallArrived]
    assert calls.channels() == {OUT}


def test_a_citizen_who_has_not_answered_ends_with_the_attempt() -> None:
    calls = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT), ends(ATTEMPT))
    assert calls.channels() == frozenset()
    assert folded([handed_on(), is_up(OUT), ends(OUT)], calls) == []


# --- the fallback queue, and events that are lost or late


def overflow() -> Message:
    return event("UserEvent", CALL, UserEvent="HotlineFallback")


def test_the_fallback_queue_takes_a_call_once() -> None:
    word = overflow()
    calls = after(arrives())
    assert folded([{**word, "UserEvent": "Other"}, word, word], calls) == [
        CallOverflowed(at(word), CALL)
    ]
    assert folded([word]) == []


def test_an_own_call_that_looked_like_a_citizens_has_no_end_of_one() -> None:
    """The dialling channel's Newchannel was lost, so the colleague's leg seemed one of a citizen's call."""
    theirs = {"Linkedid": OUT}
    calls = Calls(NUMBERS)
    folded([{**of_colleague(begins(LEG)), **theirs}, {**of_colleague(is_up(LEG)), **theirs}], calls)
    end = {**ends(OUT), "Channel": "PJSIP/1001-00000003", "Linkedid": OUT}
    assert not [fact for fact in folded([end], calls) if isinstance(fact, CallEnded | TalkEnded)]
    assert calls.channels() == frozenset()


def test_a_leg_whose_caller_was_gone_before_it_began() -> None:
    calls = after(arrives(), asks(CALL), ends(CALL))
    assert folded([begins(LEG), rings(LEG), is_up(LEG)], calls) == []
    assert calls.leg_channel(CALL, "1001", answered=True) == AGENT
    assert folded([ends(LEG)], calls) == []
    assert calls.channels() == frozenset()
    calls = after(arrives(), asks(CALL), ends(CALL), begins(LEG))
    ended = ends(LEG, 17)
    assert folded([ended], calls) == [OfferEnded(at(ended), CALL, "1001", OfferReason.CALLER_GONE)]


def test_a_state_makes_up_for_a_lost_beginning() -> None:
    ring = rings(LEG)
    assert folded([arrives(), ring])[-1] == OfferRinging(at(ring), CALL, "1001")
    answered = is_up(LEG)
    assert folded([arrives(), answered])[-2:] == [
        OfferRinging(at(answered), CALL, "1001"),
        OfferAnswered(at(answered), CALL, "1001"),
    ]
    own = {**is_up(LEG), "Linkedid": ""}
    assert folded([own]) == [OwnCallStarted(at(own), "1001")]


def test_early_media_of_a_phone_is_its_ring() -> None:
    for status, rang in (("PROGRESS", True), ("RINGING", True), ("ANSWER", False), ("", False)):
        word = event("DialState", CALL, DestUniqueid=LEG, DialStatus=status)
        calls = after(arrives(), begins(LEG))
        assert folded([word], calls) == ([OfferRinging(at(word), CALL, "1001")] if rang else [])


def test_whether_a_caller_is_gone() -> None:
    calls = Calls(NUMBERS)
    assert calls.caller_gone(CALL)
    assert calls.caller_channel(CALL) == ""
    folded([arrives()], calls)
    assert not calls.caller_gone(CALL)
    assert calls.caller_channel(CALL) == CALLER
    folded([asks(CALL)], calls)
    assert calls.caller_gone(CALL)
    folded([ends(CALL)], calls)
    assert calls.caller_channel(CALL) == ""


def test_who_is_dialled_on_two_outside_legs_is_dialled_once() -> None:
    second = {"Uniqueid": COLLEAGUE, "Channel": "PJSIP/outbound-00000004"}
    calls = after(begins(ATTEMPT, ATTEMPT), begins(OUT, ATTEMPT))
    assert folded([{**begins(OUT, ATTEMPT), **second}], calls) == []
    assert folded([is_up(OUT)], calls) != []
    assert folded([{**is_up(OUT), **second}], calls) == []
    found = calls.attempt(ATTEMPT)
    assert found is not None
    assert found.citizen == OUTSIDE


def test_a_number_that_is_not_the_hotlines_arrives_nowhere() -> None:
    answered = {**is_up(CALL), "Context": "hotline-call", "Exten": "s"}
    assert folded([{**arrives(), "Exten": "110"}, answered]) == []
    begun = {**arrives(), "Exten": "8890", "ChannelState": "4"}
    assert folded([begun, answered, answered]) == [CallArrived(at(begun), CALL, "8890", "")]


# --- whose event it is


@pytest.mark.parametrize("known", [CALL, LEG, OUT, ATTEMPT])
def test_an_event_under_another_channels_name_changes_nothing(known: str) -> None:
    """A caller may write a known Uniqueid into an event, and not the name of its channel."""
    begin = {
        CALL: [arrives()],
        LEG: [begins(LEG, LEG)],
        OUT: [begins(ATTEMPT, ATTEMPT), begins(OUT, ATTEMPT)],
        ATTEMPT: [begins(ATTEMPT, ATTEMPT)],
    }
    calls = after(*begin[known])
    before = calls.channels()
    forged = {"Channel": "PJSIP/trunk-0000ffff"}
    for event_ in (is_up(known), asks(known), ends(known)):
        assert folded([{**event_, **forged}], calls) == []
    assert calls.channels() == before
    folded([ends(known)], calls)
    assert known not in calls.channels()


def test_a_channel_of_the_trunk_that_belongs_to_another_call_is_none_by_itself() -> None:
    calls = after({**arrives(), "Linkedid": "hotline-1.9"})
    assert calls.channels() == frozenset()


def test_the_dialplans_word_tells_the_citizens_channel() -> None:
    calls = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), handed_on())
    assert calls.caller_channel(OUT) == OUTSIDE
    assert folded([{**ends(OUT), "Channel": CALLER}], calls) == []
    (ended,) = folded([ends(OUT)], calls)
    assert isinstance(ended, CallEnded)


def test_an_agent_who_hung_up_has_ended_the_talk_though_the_call_ends_first() -> None:
    ended = ends(CALL)
    assert folded([arrives(), begins(LEG), is_up(LEG), asks(LEG), ended])[-2:] == [
        TalkEnded(at(ended), CALL, "1001", Party.AGENT),
        CallEnded(at(ended), CALL, Party.AGENT, 16),
    ]


def test_a_leg_that_ended_with_its_call_does_not_come_back() -> None:
    calls = after(arrives(), begins(LEG), is_up(LEG), ends(CALL))
    assert folded([begins(LEG), is_up(LEG)], calls) == []
    assert calls.channels() == frozenset()


def test_a_line_is_kept_for_a_call_whose_beginning_was_lost() -> None:
    calls = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT))
    calls.keep_channel(ATTEMPT, CALL)
    assert calls.leg_channel(CALL, "1001", answered=False) == AGENT
    ended = ends(ATTEMPT)
    assert folded([asks(ATTEMPT), ended], calls) == [
        OfferEnded(at(ended), CALL, "1001", OfferReason.REFUSED)
    ]
