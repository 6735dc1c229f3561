"""Each request is carried out, or refused in a sentence."""

from types import SimpleNamespace
from typing import Any

import pytest

from alarms.rules import UnknownAlarm
from base.bus import Refused
from base.trunks import TrunkError
from facts import AgentRemoved, Fact
from facts.control import ControlRequest, HoldTalk
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
    DropParty,
    EnterRating,
    ExplainHangUp,
    GetStatus,
    HandToSurvey,
    JoinParties,
    MoveCaller,
    MuteParty,
    PauseRecording,
    RaiseAlert,
    ReadMessage,
    Reply,
    ResumeRecording,
    RulesChanged,
    SendMessage,
    SetOut,
    SetPaused,
    SetReady,
    TrunksChanged,
    UnmuteParty,
)
from facts.terms import PauseWhy
from hotline.controller.requests import Requests
from hotline.controller.supervising import Asked
from telephony.pauses import PauseRefused


class Centre:
    """Everything that requests reach: agent 1001 is known, alarm 7 is open."""

    def __init__(self) -> None:
        self.reported: list[Fact] = []
        self.did: list[Any] = []
        self.presence = {"1001": "ready"}
        self.away = False

    async def knows(self, number: str) -> bool:
        return number == "1001"

    async def set_intent(self, asked: SetReady | SetPaused | SetOut) -> str:
        self.did.append(asked)
        return "ok" if asked.number in {"1001", "1002"} else "unknown"

    async def renew_phones(self) -> bool:
        self.did.append("phones")
        return not self.away

    async def bring_in(self, asked: Any) -> Reply:
        self.did.append(asked)
        return Reply(party="p")

    async def read_rules(self) -> None:
        self.did.append("rules")

    async def read_trunks(self) -> None:
        if self.away:
            raise TrunkError("line 3: name")
        self.did.append("trunks")

    def acknowledge(self, name: str, by: str) -> Any:
        if name != "7":
            raise UnknownAlarm(f"there is no open alarm {name}")
        return SimpleNamespace(id="7", rule="longest_wait", acknowledged_by=by)

    async def add(self, asked: AddCallback) -> Reply:
        return Reply("added", 3)

    async def cancel(self, task: int) -> Reply:
        return Reply(f"cancelled {task}", task)

    async def control(self, asked: ControlRequest) -> Reply:
        return Reply(f"{asked.name} {asked.number}", call="hotline-1.1")

    async def pause(self, agent: str, why: PauseWhy, by: str = "") -> None:
        if agent != "1001":
            raise PauseRefused(f"agent {agent} is not in a talk with a citizen")
        self.did.append(("pause", agent, why, by))

    async def resume(self, agent: str, why: PauseWhy, by: str = "") -> None:
        self.did.append(("resume", agent, why, by))

    async def asked(self, asked: HandToSurvey) -> Reply:
        return Reply(f"{asked.number} {asked.by}")

    async def enter(self, asked: EnterRating) -> Reply:
        return Reply(f"{asked.token} {asked.grade}")

    def explain(self, asked: ExplainHangUp) -> Reply:
        return Reply(f"{asked.number} {asked.reason}")

    async def supervise(self, asked: Asked) -> Reply:
        self.did.append(asked)
        return Reply("they listen")

    def requests(self, *, ready: bool = True) -> Requests:
        return Requests(
            ready=lambda: ready,
            people=self,
            renew_phones=self.renew_phones,
            presence=lambda number: self.presence.get(number, ""),
            report=self.reported.append,
            read_rules=self.read_rules,
            read_trunks=self.read_trunks,
            acknowledge=self.acknowledge,
            supervise=self.supervise,
            pauses=self,
            surveys=self,
            explain=self.explain,
            add_callback=self.add,
            cancel_callback=self.cancel,
            control=self.control,
            bring_in=self.bring_in,
            waiting=WAITING,
            messages=MESSAGES,
            red_button=RED_BUTTON,
        )


async def test_surveys_and_reasons_for_hang_ups() -> None:
    requests = Centre().requests()
    assert (await requests.answer(HandToSurvey("1001", "x" * 99))).said == f"1001 {'x' * 80}"
    assert (await requests.answer(ExplainHangUp("1001", "abuse"))).said == "1001 abuse"
    assert (await requests.answer(EnterRating("token", "satisfied"))).said == "token satisfied"


class Waiting:
    """Does what is decided for a waiting caller."""

    def assign(self, asked: AssignCaller) -> Reply:
        return Reply(f"{asked.call} to {asked.agent}")

    def move(self, asked: MoveCaller) -> Reply:
        return Reply(f"{asked.call} to {asked.queue}")

    def bring_forward(self, asked: BringForward) -> Reply:
        raise Refused(f"{asked.call} is first")


WAITING = Waiting()


class Messages:
    """Takes messages."""

    async def send(self, asked: SendMessage) -> Reply:
        return Reply(f"to {asked.agent}", 7)

    async def read(self, asked: ReadMessage) -> Reply:
        raise Refused(f"{asked.agent} has no message {asked.id}")


MESSAGES = Messages()


class RedButton:
    """Takes alerts."""

    async def raise_alert(self, asked: RaiseAlert) -> Reply:
        return Reply(f"alert of {asked.agent}", 7)

    async def acknowledge(self, asked: AcknowledgeAlert) -> Reply:
        raise Refused(f"there is no alert {asked.id}")


RED_BUTTON = RedButton()


async def test_alerts_are_raised_and_acknowledged() -> None:
    ask = Centre().requests().answer
    assert await ask(RaiseAlert("1001")) == Reply("alert of 1001", 7)
    with pytest.raises(Refused, match="there is no alert 7"):
        await ask(AcknowledgeAlert(7, "chief"))


async def test_messages_are_sent_and_read() -> None:
    ask = Centre().requests().answer
    assert await ask(SendMessage("text", "chief", "1001")) == Reply("to 1001", 7)
    with pytest.raises(Refused, match="1001 has no message 7"):
        await ask(ReadMessage("1001", 7))


async def test_what_is_decided_for_a_waiting_caller() -> None:
    ask = Centre().requests().answer
    assert await ask(AssignCaller("a", "1001", "chief", "why")) == Reply("a to 1001")
    assert await ask(MoveCaller("a", "tax", "chief", "why")) == Reply("a to tax")
    with pytest.raises(Refused, match="a is first"):
        await ask(BringForward("a", "chief", "why"))


async def test_what_is_asked_about_a_talk_is_for_call_control() -> None:
    reply = await Centre().requests().answer(HoldTalk("1001"))
    assert reply == Reply("talk.hold 1001", call="hotline-1.1")


async def test_whether_calls_can_be_taken() -> None:
    assert (await Centre().requests(ready=False).answer(GetStatus())).ready is False
    assert (await Centre().requests().answer(GetStatus())).ready is True


async def test_a_new_agent_is_looked_up() -> None:
    assert await Centre().requests().answer(AgentWasAdded("1001")) == Reply()
    with pytest.raises(Refused, match="there is no agent 9"):
        await Centre().requests().answer(AgentWasAdded("9"))


async def test_an_agent_who_was_removed_leaves_the_floor_and_the_rules() -> None:
    centre = Centre()
    assert await centre.requests().answer(AgentWasRemoved("1001")) == Reply()
    assert [(type(fact), fact.agent) for fact in centre.reported] == [(AgentRemoved, "1001")]  # type: ignore[union-attr]
    assert centre.did == ["rules", "phones"]


async def test_asterisk_learns_of_a_new_agent_and_a_new_password_at_once() -> None:
    centre = Centre()
    await centre.requests().answer(AgentWasAdded("1001"))
    await centre.requests().answer(AgentPasswordChanged("1001"))
    assert centre.did == ["phones", "phones"]


async def test_other_trunks_are_read_or_refused_in_a_sentence() -> None:
    centre = Centre()
    assert await centre.requests().answer(TrunksChanged()) == Reply()
    assert centre.did == ["trunks"]
    centre.away = True
    with pytest.raises(Refused, match="line 3: name"):
        await centre.requests().answer(TrunksChanged())


async def test_what_asterisk_does_not_know_yet_is_not_in_force() -> None:
    centre = Centre()
    centre.away = True
    for asked in (AgentWasAdded("1001"), AgentPasswordChanged("1001"), AgentWasRemoved("1001")):
        with pytest.raises(Refused, match="the roster cannot be read now"):
            await centre.requests().answer(asked)
    assert len(centre.reported) == 1, "the floor knows all the same"


async def test_third_parties_are_for_their_own_module() -> None:
    centre = Centre()
    for asked in (
        AddParty("1001", "1002"),
        JoinParties("1001"),
        MuteParty("1001", "p"),
        UnmuteParty("1001", "p"),
        DropParty("1001", "p"),
        CallEmergency("1001", "120"),
    ):
        assert (await centre.requests().answer(asked)).party == "p"
        assert centre.did.pop() is asked


async def test_changed_rules_are_read() -> None:
    centre = Centre()
    await centre.requests().answer(RulesChanged())
    assert centre.did == ["rules"]


async def test_an_alarm_is_acknowledged_by_a_name_of_bounded_length() -> None:
    answer = Centre().requests().answer
    assert (await answer(AcknowledgeAlarm("7", "王芳"))).said == (
        "alarm 7 (longest_wait) acknowledged by 王芳"
    )
    assert (await answer(AcknowledgeAlarm("7", "x" * 500))).said.endswith(" " + "x" * 80)
    with pytest.raises(Refused, match="no open alarm 8"):
        await answer(AcknowledgeAlarm("8", "wang"))


async def test_callbacks_are_for_the_book() -> None:
    answer = Centre().requests().answer
    assert await answer(AddCallback("13800000001")) == Reply("added", 3)
    assert await answer(CancelCallback(4)) == Reply("cancelled 4", 4)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (SetReady("1001"), "agent 1001: ready"),
        (SetPaused("1001", "用餐"), "agent 1001: ready"),
        (SetOut("1002"), "agent 1002: out"),
        (SetPaused("1002"), "agent 1002: pause"),
    ],
)
async def test_what_an_agent_does_now_is_said_and_not_what_was_asked(
    asked: SetReady | SetPaused | SetOut, said: str
) -> None:
    centre = Centre()
    assert (await centre.requests().answer(asked)).said == said
    assert centre.did == [asked]


async def test_an_unknown_agent() -> None:
    with pytest.raises(Refused, match="no agent 9: `hotline agent list` shows"):
        await Centre().requests().answer(SetReady("9"))


async def test_a_recording_is_paused_and_resumed_or_refused_in_a_sentence() -> None:
    centre = Centre()
    said = await centre.requests().answer(PauseRecording("1001", "l" * 99))
    assert said == Reply("agent 1001: the recording is paused")
    said = await centre.requests().answer(ResumeRecording("1001"))
    assert said == Reply("agent 1001: the talk is recorded")
    assert centre.did == [
        ("pause", "1001", PauseWhy.API, "l" * 80),
        ("resume", "1001", PauseWhy.API, ""),
    ]
    with pytest.raises(Refused, match="agent 1002 is not in a talk"):
        await centre.requests().answer(PauseRecording("1002"))
