"""Requests on the wire: an older command line and a newer controller understand each other."""

from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.control import (
    AnswerRing,
    DialForAgent,
    HandOverTalk,
    HangUpTalk,
    HoldTalk,
    MarkCall,
    MuteTalk,
    ResumeTalk,
    TransferTalk,
)
from facts.requests import (
    AcknowledgeAlarm,
    AcknowledgeAlert,
    AddCallback,
    AddParty,
    AgentPasswordChanged,
    AgentWasAdded,
    AgentWasRemoved,
    AssignCaller,
    BringForward,
    CallEmergency,
    CancelCallback,
    ChangeListening,
    DropParty,
    EndTalk,
    EnterRating,
    ExplainHangUp,
    GetStatus,
    HandToSurvey,
    JoinParties,
    LeaveTalk,
    ListenToTalk,
    MoveCaller,
    MuteParty,
    PauseRecording,
    RaiseAlert,
    ReadMessage,
    Reply,
    Request,
    RequestError,
    ResumeRecording,
    RulesChanged,
    SendMessage,
    SetOut,
    SetPaused,
    SetReady,
    TakeTalk,
    TrunksChanged,
    UnmuteParty,
    asks_of_talks,
    lane_of,
    read_reply,
    read_request,
    words_of,
)

WIRE: dict[str, Request] = {
    "status": GetStatus(),
    "agent.added": AgentWasAdded("1001"),
    "agent.removed": AgentWasRemoved("1001"),
    "agent.password": AgentPasswordChanged("1001"),
    "agent.ready": SetReady("1001"),
    "agent.pause": SetPaused("1001", "用餐"),
    "agent.out": SetOut("1001"),
    "recording.pause": PauseRecording("1001", "li"),
    "recording.resume": ResumeRecording("1001"),
    "talk.survey": HandToSurvey("1001", "li"),
    "talk.explain": ExplainHangUp("1001", "abuse", by="li"),
    "survey.rate": EnterRating("token", "satisfied"),
    "talk.listen": ListenToTalk("1001", "1003", by="li", may_step_in=1),
    "talk.listen.mode": ChangeListening("1001", "1003", "whisper", "li"),
    "talk.listen.end": LeaveTalk("1001", "1003"),
    "talk.take": TakeTalk("1001", "1003", "li"),
    "talk.end": EndTalk("1001", "li", "测试"),
    "rules.changed": RulesChanged(),
    "trunks.changed": TrunksChanged(),
    "alarm.ack": AcknowledgeAlarm("7", "wang"),
    "callback.add": AddCallback("13800000001", attempts=2),
    "callback.cancel": CancelCallback(7),
    "party.add": AddParty("1001", "1002", "consult", "wang"),
    "party.join": JoinParties("1001"),
    "party.mute": MuteParty("1001", "hotline-p7"),
    "party.unmute": UnmuteParty("1001", "hotline-p7"),
    "emergency.call": CallEmergency("1001", "120", "wang"),
    "party.drop": DropParty("1001", "hotline-p7", "wang"),
    "caller.assign": AssignCaller("n-1.1", "1001", "wang", "why"),
    "caller.move": MoveCaller("n-1.1", "tax", "wang", "why"),
    "alert.raise": RaiseAlert("1001", "wang", "着火"),
    "alert.acknowledge": AcknowledgeAlert(7, "wang"),
    "message.send": SendMessage("请看公告", "wang"),
    "message.read": ReadMessage("1001", 7),
    "caller.forward": BringForward("n-1.1", "wang", "why"),
    "talk.answer": AnswerRing("1001", "admin"),
    "talk.hold": HoldTalk("1001", "admin"),
    "talk.resume": ResumeTalk("1001"),
    "talk.mute": MuteTalk("1001", "off"),
    "talk.hang_up": HangUpTalk("1001"),
    "talk.transfer": TransferTalk("1001", queue="tax"),
    "talk.hand_over": HandOverTalk("1001", "admin"),
    "talk.mark": MarkCall("1001", "harassing", 1),
    "call.dial": DialForAgent("1001", "13812345678"),
}
"""The names on the wire, which no rename of a class may change."""


def test_every_request_has_its_name_on_the_wire() -> None:
    assert {type(request) for request in WIRE.values()} == set(get_args(Request))
    assert {name: request.name for name, request in WIRE.items()} == {name: name for name in WIRE}


@pytest.mark.parametrize("name", WIRE)
def test_there_and_back(name: str) -> None:
    assert read_request(name, words_of(WIRE[name])) == WIRE[name]


def test_what_has_its_default_is_left_out() -> None:
    assert words_of(AddCallback("13800000001", spacing=0)) == {
        "number": "13800000001",
        "spacing": 0,
    }
    assert words_of(Reply("done")) == {"said": "done"}


@given(
    st.sampled_from([*WIRE, "agent.fly", ""]),
    st.one_of(
        st.none(),
        st.lists(st.text()),
        st.dictionaries(
            st.sampled_from(["number", "reason", "id", "by", "attempts", "place", "x"]),
            st.one_of(
                st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.none())
            ),
        ),
    ),
)
def test_whatever_comes_is_a_request_or_refused(name: str, words: Any) -> None:
    try:
        asked = read_request(name, words)
    except RequestError:
        return
    assert asked.name == name
    for field in fields(asked):
        assert not isinstance(getattr(asked, field.name), bool)


def test_which_requests_are_about_who_talks_now() -> None:
    found = {name for name, asked in WIRE.items() if asks_of_talks(asked)}
    assert {"talk.hold", "party.add", "emergency.call", "talk.listen", "call.dial"} <= found
    assert found.isdisjoint({"recording.pause", "status", "callback.add", "alert.raise"})


def test_which_requests_wait_for_each_other() -> None:
    lanes = {name: lane_of(asked) for name, asked in WIRE.items()}
    assert lanes["talk.hold"] == lanes["party.add"] == lanes["emergency.call"] == "talk 1001"
    assert lanes["recording.pause"] == lanes["call.dial"] == lanes["talk.listen"] == "talk 1001"
    assert (lanes["alert.raise"], lanes["alert.acknowledge"]) == ("alert", "alert")
    assert (lanes["message.send"], lanes["caller.move"], lanes["callback.add"]) == (
        "message",
        "",
        "",
    )


def test_a_reply_of_a_newer_controller() -> None:
    assert read_reply({"said": "done", "colour": "red"}) == Reply("done")
