"""The verbs as the actions that they send."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from telephony.channels import Calls, Early, Message
from telephony.link import ActionRefused, Unknown
from telephony.switch import Switch
from tests.telephony.test_calls import NOW, NUMBERS, folded, lists, recorded

CALL = recorded("answered_caller_hangs_up")[1]["Uniqueid"]
CALLER = recorded("answered_caller_hangs_up")[1]["Channel"]
LEG = recorded("answered_caller_hangs_up")[3]["Channel"]


class Sent:
    """A link that remembers what was sent."""

    def __init__(self, error: Exception | None = None) -> None:
        self.actions: list[dict[str, str]] = []
        self.error = error

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        self.actions.append(dict(action))
        if self.error is not None:
            raise self.error
        return {"Response": "Success"}

    async def gather(
        self, action: Mapping[str, str], until: str, timeout: float = 5.0
    ) -> list[Message]:
        channels, contacts = lists()
        return {"Status": channels, "PJSIPShowContacts": contacts}[action["Action"]]


def desk(events: int, error: Exception | None = None) -> tuple[Switch, Sent]:
    """A switch after the first events of an ordinary call."""
    calls = Calls(NUMBERS)
    folded(recorded("answered_caller_hangs_up")[:events], calls)
    sent = Sent(error)
    return Switch(sent, calls, clock=lambda: NOW), sent


async def test_hang_up_a_call_and_a_talk() -> None:
    switch, sent = desk(6)
    await switch.hang_up(CALL)
    await switch.hang_up(CALL, "1001", cause=21)
    assert sent.actions == [
        {"Action": "Hangup", "Channel": CALLER, "Cause": "16"},
        {"Action": "Hangup", "Channel": LEG, "Cause": "21"},
    ]


async def test_a_phone_is_read_asked_and_ended() -> None:
    switch, sent = desk(6)
    assert await switch.read_sound(LEG) == ""
    await switch.ask_in_call(LEG)
    await switch.end_dead(LEG)
    assert sent.actions == [
        {"Action": "Getvar", "Channel": LEG, "Variable": "CHANNEL(rtcp,all)"},
        {
            "Action": "Setvar",
            "Channel": LEG,
            "Variable": "PJSIP_SEND_SESSION_REFRESH()",
            "Value": "invite",
        },
        {"Action": "Hangup", "Channel": LEG, "Cause": "27"},
    ]
    sent.actions.clear()
    await switch.end_dead(LEG, "PJSIP/outbound-00000003")
    assert [action["Action"] for action in sent.actions] == ["Setvar", "Redirect", "Hangup"]
    assert sent.actions[1]["Context"] == "hotline-citizen"
    gone, _ = desk(6, ActionRefused("Getvar: No such channel"))
    assert await gone.read_sound(LEG) == ""


async def test_a_recording_goes_on_in_the_same_file() -> None:
    switch, sent = desk(6)
    await switch.renew_recording(CALL, Path("/spool/call.raw"))
    assert sent.actions == [
        {"Action": "StopMixMonitor", "Channel": CALLER},
        {
            "Action": "MixMonitor",
            "Channel": CALLER,
            "File": "/spool/call.raw",
            "Options": "aD",
        },
    ]


async def test_the_phone_of_a_transfer_that_was_joined_early_falls_silent() -> None:
    switch, sent = desk(6)
    await switch.end_early(Early(CALL, "1002", "PJSIP/1002-00000009"))
    assert sent.actions == [{"Action": "Hangup", "Channel": "PJSIP/1002-00000009", "Cause": "16"}]


async def test_stop_ringing_takes_back_only_what_still_rings() -> None:
    ringing, sent = desk(5)
    await ringing.stop_ringing(CALL, "1001")
    assert sent.actions == [{"Action": "Hangup", "Channel": LEG, "Cause": "26"}]
    answered, sent = desk(6)
    await answered.stop_ringing(CALL, "1001")
    assert sent.actions == []


async def test_recall_and_stop_playback() -> None:
    switch, sent = desk(3)
    await switch.recall(CALL)
    await switch.stop_playback(CALL)
    assert sent.actions == [
        {
            "Action": "Redirect",
            "Channel": CALLER,
            "Context": "hotline-call",
            "Exten": "s",
            "Priority": "controller",
        },
        {"Action": "ControlPlayback", "Channel": CALLER, "Control": "stop"},
    ]


async def test_what_is_unknown_or_already_gone_is_no_error() -> None:
    switch, sent = desk(3)
    await switch.hang_up("hotline-1.1")
    await switch.hang_up(CALL, "1002")
    await switch.stop_ringing(CALL, "1001")
    assert sent.actions == []
    gone, _ = desk(3, ActionRefused("Hangup: No such channel"))
    await gone.hang_up(CALL)


@pytest.mark.parametrize(
    "error", [ActionRefused("Hangup: Permission denied"), Unknown("Hangup: not answered")]
)
async def test_what_went_wrong_is_told(error: Exception) -> None:
    switch, sent = desk(3, error)
    with pytest.raises(type(error)):
        await switch.hang_up(CALL)
    assert len(sent.actions) == 1


async def test_read_state() -> None:
    switch = Switch(Sent(), Calls(NUMBERS), clock=lambda: NOW)
    snapshot = await switch.read_state()
    assert [agent for _, agent in snapshot.talking] == ["1001"]
    assert (await switch.read_state()).facts == ()


@pytest.mark.parametrize(
    ("states", "answers"),
    [
        (["Reachable"], True),
        (["Unreachable", "Reachable"], True),
        (["Unreachable"], False),
        (["Unknown"], None),
        (["NonQualified"], None),
        ([], None),
    ],
)
async def test_whether_the_way_out_answers(states: list[str], answers: bool | None) -> None:
    class Shown(Sent):
        async def gather(
            self, action: Mapping[str, str], until: str, timeout: float = 5.0
        ) -> list[Message]:
            assert action == {"Action": "PJSIPShowEndpoint", "Endpoint": "outbound-watch"}
            found = [{"Event": "ContactStatusDetail", "Status": state} for state in states]
            return [{"Event": "EndpointDetail", "Status": "Reachable"}, *found]

    switch = Switch(Shown(), Calls(NUMBERS), clock=lambda: NOW)
    assert await switch.outbound_answers() is answers


async def test_whether_a_phone_is_still_in_a_dialogue() -> None:
    class Answers(Sent):
        async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
            await super().act(action, timeout)
            return {"Response": "Success", "Value": "this one"}

    calls = Calls(NUMBERS)
    folded(recorded("answered_caller_hangs_up")[:6], calls)
    sent = Answers()
    switch = Switch(sent, calls, clock=lambda: NOW)
    assert await switch.has_dialogue("1001", "this one")
    assert not await switch.has_dialogue("1001", "another")
    assert sent.actions[0] == {
        "Action": "Getvar",
        "Channel": LEG,
        "Variable": "CHANNEL(pjsip,call-id)",
    }
    assert not await switch.has_dialogue("1002", "this one")
    gone, _ = desk(6, ActionRefused("Getvar: No such channel"))
    assert not await gone.has_dialogue("1001", "this one")


@pytest.mark.parametrize(("listed", "known"), [([{"CallID": "r1"}], "r1"), ([{}], ""), ([], "")])
async def test_by_which_call_id_a_phone_registers(listed: list[dict[str, str]], known: str) -> None:
    class Shown(Sent):
        async def gather(
            self, action: Mapping[str, str], until: str, timeout: float = 5.0
        ) -> list[Message]:
            assert action == {"Action": "PJSIPShowEndpoint", "Endpoint": "1001"}
            entries = [{"Event": "ContactStatusDetail", **one} for one in listed]
            return [{"Event": "AorDetail", "CallID": "no"}, *entries]

    switch = Switch(Shown(), Calls(NUMBERS), clock=lambda: NOW)
    assert await switch.registration("1001") == known


async def test_a_recording_is_marked_and_then_paused() -> None:
    switch, sent = desk(6)
    await switch.pause_recording(CALL, "7 1001 key")
    await switch.resume_recording(CALL)
    mute = {"Action": "MixMonitorMute", "Channel": CALLER, "Direction": "both"}
    mark = {"Action": "Setvar", "Channel": CALLER, "Variable": "HL_PAUSED"}
    assert sent.actions == [
        {**mark, "Value": "7 1001 key"},
        {**mute, "State": "1"},
        {**mute, "State": "0"},
        {**mark, "Value": ""},
    ]


async def test_a_call_that_has_ended_is_not_said_to_be_paused() -> None:
    switch, sent = desk(6)
    with pytest.raises(ActionRefused):
        await switch.pause_recording("hotline-1.1", "7 1001 key")
    await switch.resume_recording("hotline-1.1")
    assert sent.actions == []
    switch, sent = desk(6, ActionRefused("No such channel"))
    with pytest.raises(ActionRefused):
        await switch.pause_recording(CALL, "7 1001 key")
    await switch.resume_recording(CALL)


async def test_what_is_not_recorded_cannot_be_paused_and_loses_its_mark() -> None:
    switch, sent = desk(6, ActionRefused("Cannot set mute flag"))
    with pytest.raises(ActionRefused):
        await switch.resume_recording(CALL)
    assert [action["Action"] for action in sent.actions] == ["MixMonitorMute", "Setvar"]
