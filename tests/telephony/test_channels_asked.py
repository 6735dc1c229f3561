"""What `switch`, `outbound` and the watch over dead phones ask of the channels that are known."""

from dataclasses import replace

import pytest

from telephony.channels import Calls, Message, Talk
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
from tests.telephony.test_channels_notice import marked


def after(*messages: Message) -> Calls:
    calls = Calls(NUMBERS)
    folded(messages, calls)
    return calls


def dial_state(status: str, uniqueid: str) -> Message:
    return event("DialState", CALL, DestUniqueid=uniqueid, DialStatus=status)


# --- an agent's leg


@pytest.mark.parametrize(
    ("more", "channel"),
    [
        ((), AGENT),
        ((rings(LEG),), AGENT),
        ((is_up(LEG),), ""),
        ((marked(), rings(LEG)), AGENT),
        ((marked(), rings(LEG), is_up(LEG)), ""),
        ((rings(LEG), ends(LEG)), ""),
    ],
)
def test_which_leg_nobody_has_picked_up(more: tuple[Message, ...], channel: str) -> None:
    calls = after(arrives(), begins(LEG), *more)
    assert calls.ringing_channel(CALL, "1001") == channel
    assert calls.ringing_channel(CALL, "1002") == ""
    assert calls.ringing_channel("hotline-9.9", "1001") == ""


def test_which_leg_rings_and_which_one_talks() -> None:
    calls = after(arrives(), begins(LEG), rings(LEG))
    assert calls.leg_channel(CALL, "1001", answered=False) == AGENT
    assert calls.leg_channel(CALL, "1001", answered=True) == ""
    folded([is_up(LEG)], calls)
    assert calls.leg_channel(CALL, "1001", answered=False) == ""
    assert calls.leg_channel(CALL, "1001", answered=True) == AGENT
    assert calls.leg_channel(CALL, "1002", answered=True) == ""
    assert calls.leg_channel("hotline-9.9", "1001", answered=True) == ""


def test_whose_talk_is_on_hold() -> None:
    calls = after(arrives(), begins(LEG), rings(LEG), event("Hold", LEG))
    assert calls.on_hold() == [], "nobody talks yet"
    folded([is_up(LEG), event("Hold", LEG)], calls)
    assert calls.on_hold() == ["1001"]
    folded([event("Unhold", LEG)], calls)
    assert calls.on_hold() == []
    called_back = (begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT), is_up(OUT))
    calls = after(*called_back, event("Hold", ATTEMPT))
    assert calls.on_hold() == ["1001"]


def test_the_callers_channel() -> None:
    calls = after(arrives(), begins(LEG))
    assert calls.caller_channel(CALL) == CALLER
    assert calls.caller_channel(LEG) == ""


# --- a way out


@pytest.mark.parametrize(
    ("more", "channel"),
    [
        ((), OUTSIDE),
        ((rings(OUT),), ""),
        ((is_up(OUT),), ""),
        ((dial_state("RINGING", OUT),), ""),
        ((dial_state("PROGRESS", OUT),), ""),
        ((dial_state("PROCEEDING", OUT),), OUTSIDE),
        ((dial_state("PROGRESS", LEG),), OUTSIDE),
        ((ends(OUT),), ""),
    ],
)
def test_which_way_out_has_given_no_sign_of_life(more: tuple[Message, ...], channel: str) -> None:
    calls = after(arrives(), begins(OUT), *more)
    assert calls.unheard(CALL) == channel
    assert calls.unheard("hotline-9.9") == ""
    calls = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT), *more)
    assert calls.unheard(ATTEMPT) == channel


def test_when_an_attempts_citizen_begins_to_be_dialled() -> None:
    calls = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT))
    dialled = begins(OUT, ATTEMPT)
    assert calls.dials(dialled) is None, "it has not been read yet"
    folded([dialled], calls)
    assert calls.dials(dialled) == (ATTEMPT, OUTSIDE)
    assert calls.dials(rings(OUT)) is None
    assert calls.dials(begins(ATTEMPT, ATTEMPT)) is None
    assert calls.dials({"Event": "Newchannel"}) is None
    overflow = begins(OUT)
    assert after(arrives(), overflow).dials(overflow) is None


def test_how_long_an_attempt_is_dialling() -> None:
    calls = after(begins(ATTEMPT, ATTEMPT))
    assert calls.dialling(ATTEMPT)
    assert not calls.dialling(CALL)
    folded([arrives(), is_up(ATTEMPT), begins(OUT, ATTEMPT)], calls)
    calls.keep_channel(ATTEMPT, CALL)
    assert calls.dialling(ATTEMPT), "the citizen's leg is there"
    folded([ends(OUT)], calls)
    assert not calls.dialling(ATTEMPT)


# --- whatever there is


def test_which_channels_are_known() -> None:
    calls = after(arrives(), begins(LEG), begins(OUT), begins(ATTEMPT, ATTEMPT))
    assert [calls.knows(one) for one in (CALL, LEG, OUT, ATTEMPT)] == [True] * 4
    assert not calls.knows("hotline-9.9")
    folded([ends(one) for one in (LEG, OUT, ATTEMPT, CALL)], calls)
    assert not any(calls.knows(one) for one in (CALL, LEG, OUT, ATTEMPT))


def test_a_callback_is_a_talk_from_the_answer_until_its_line_is_kept() -> None:
    calls = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT))
    assert list(calls.talks()) == []
    folded([is_up(OUT)], calls)
    alone = after(begins(ATTEMPT, ATTEMPT), is_up(ATTEMPT), begins(OUT, ATTEMPT), is_up(OUT))
    folded([ends(OUT)], alone)
    assert [one.citizen for one in alone.talks()] == [""]
    talk = Talk(ATTEMPT, AGENT, ATTEMPT, "1001", held=False, there=False, citizen=OUTSIDE)
    assert list(calls.talks()) == [talk]
    here = event("ContactStatus", LEG, EndpointName="1001", URI="sip:a", ContactStatus="Reachable")
    folded([here, arrives()], calls)
    assert list(calls.talks()) == [replace(talk, there=True)]
    calls.keep_channel(ATTEMPT, CALL)
    assert list(calls.talks()) == []


def test_a_phone_whose_answer_to_a_request_was_none_ends_the_talk_for_the_system() -> None:
    calls = after(arrives(), begins(LEG), is_up(LEG), asks(LEG, 127))
    (talk,) = calls.talks()
    assert (talk.leg, talk.citizen) == (LEG, "")
    folded([ends(LEG)], calls)
    assert list(calls.talks()) == []
