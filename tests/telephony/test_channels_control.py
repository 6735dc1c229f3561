"""What call control tells the reader of AMI: who ended a talk, what the script ended, and a hold of before a start."""

import pytest

from facts import CallEnded, TalkEnded, TalkHeld, TalkResumed
from facts.terms import Party
from telephony.channels import Calls, Message
from tests.telephony.test_callbacks import recorded as attempt
from tests.telephony.test_calls import NOW, NUMBERS, lists, recorded


def halves() -> tuple[list[Message], list[Message]]:
    """A talk up to its answer, and its end, in which no far end has hung up: AMI's Hangup leaves no other trace."""
    messages = recorded("answered_agent_hangs_up")
    calls = Calls(NUMBERS)
    for n, message in enumerate(messages):
        calls.read(message)
        if list(calls.talks()):
            rest = [one for one in messages[n + 1 :] if one["Event"] != "HangupRequest"]
            return messages[: n + 1], rest
    raise AssertionError("nobody talks")


def ended(calls: Calls, messages: list[Message]) -> dict[type, Party]:
    facts = [fact for message in messages for fact in calls.read(message)]
    return {type(one): one.hung_up_by for one in facts if isinstance(one, TalkEnded | CallEnded)}


def test_a_phone_rings_is_picked_up_and_is_gone() -> None:
    calls = Calls(NUMBERS)
    seen: list[tuple[bool, bool]] = []
    for message in recorded("answered_agent_hangs_up"):
        calls.read(message)
        for one in calls.rung("1001"):
            if (state := (one.rings, one.picked_up)) not in seen:
                seen.append(state)
        assert calls.rung("1002") == []
    assert seen == [(False, False), (True, False), (True, True)]
    assert calls.rung("1001") == []


def test_the_phone_that_begins_a_callback_is_rung_too() -> None:
    calls = Calls(NUMBERS)
    seen: list[tuple[bool, bool]] = []
    for message in attempt("reached_agent_hangs_up"):
        calls.read(message)
        for one in calls.rung("1001"):
            assert one.leg == one.call
            if (state := (one.rings, one.picked_up)) not in seen:
                seen.append(state)
    assert seen == [(False, False), (True, False), (True, True)]


@pytest.fixture
def calls() -> Calls:
    made = Calls(NUMBERS)
    for message in halves()[0]:
        made.read(message)
    return made


def test_a_talk_that_is_ended_for_its_agent_is_ended_by_them(calls: Calls) -> None:
    (talk,) = calls.talks()
    calls.ends(talk.leg)
    assert ended(calls, halves()[1]) == {TalkEnded: Party.AGENT, CallEnded: Party.AGENT}


def test_one_that_goes_on_after_all_is_ended_by_whoever_does(calls: Calls) -> None:
    (talk,) = calls.talks()
    calls.ends(talk.leg)
    calls.goes_on(talk.leg)
    calls.ends("nobody")
    calls.goes_on("nobody")
    assert ended(calls, halves()[1]) == {TalkEnded: Party.SYSTEM, CallEnded: Party.SYSTEM}


@pytest.mark.parametrize("scripted", [True, False])
def test_after_the_script_it_is_not_the_caller_who_hangs_up(calls: Calls, scripted: bool) -> None:
    (talk,) = calls.talks()
    calls.ends(talk.leg)
    channel = calls.caller_channel(talk.call)
    stamp = {"Privilege": "x", "Timestamp": "1763731299.000001", "Uniqueid": talk.call}
    stamp |= {"Channel": channel, "Linkedid": talk.call}
    leg_ends = [one for one in halves()[1] if one.get("Uniqueid") == talk.leg]
    assert ended(calls, leg_ends) == {TalkEnded: Party.AGENT}
    if scripted:
        calls.read({"Event": "UserEvent", "UserEvent": "HotlineScripted", **stamp})
    found = ended(calls, [{"Event": "HangupRequest", "Cause": "16", **stamp}])
    found |= ended(calls, [{"Event": "Hangup", "Cause": "16", **stamp}])
    assert found == {CallEnded: Party.AGENT if scripted else Party.CALLER}


@pytest.mark.parametrize("held", [True, False])
def test_a_hold_of_before_a_start_is_ended_by_its_end(held: bool) -> None:
    channels, contacts = lists()
    calls = Calls(NUMBERS)
    if held:
        channels = [
            {**entry, "Variable": f"{entry.get('Variable', '')}\nHL_HELD=1"} for entry in channels
        ]
    calls.snapshot(channels, contacts, NOW)
    talk = next(iter(calls.talks()))
    assert talk.held is held
    stamp = {"Privilege": "x", "Timestamp": "1763731299.000001", "Uniqueid": talk.leg}
    stamp |= {"Channel": talk.channel}
    # A phone's own hold leaves no variable: whatever is told first of it is news.
    (resumed,) = calls.read({"Event": "Unhold", **stamp})
    assert isinstance(resumed, TalkResumed)
    assert calls.read({"Event": "Unhold", **stamp}) == []
    (again,) = calls.read({"Event": "Hold", **stamp})
    assert isinstance(again, TalkHeld)


def test_a_known_hold_outlives_a_lost_link() -> None:
    channels, contacts = lists()
    calls = Calls(NUMBERS)
    calls.snapshot(channels, contacts, NOW)
    talk = next(iter(calls.talks()))
    stamp = {"Privilege": "x", "Timestamp": "1763731299.000001", "Uniqueid": talk.leg}
    calls.read({"Event": "Hold", "Channel": talk.channel, **stamp})
    calls.link_lost()
    calls.snapshot(channels, contacts, NOW)
    assert [one.held for one in calls.talks() if one.leg == talk.leg] == [True]
