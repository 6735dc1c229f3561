"""What is sent to Asterisk for callbacks, and in which order."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from acd.callbacks.task import State, Task
from acd.commands import PlaceCallback, Yield
from acd.gate import Refusal, Why
from acd.rules.model import DEFAULT, Number, Queue, Rules
from facts import (
    CallbackAdded,
    CallbackAnswered,
    CallbackEnded,
    CallbackSpared,
    Fact,
    OwnCallEnded,
)
from telephony import outbound as module
from telephony.channels import Calls, Message
from telephony.link import ActionRefused, LinkDown
from telephony.outbound import Outbound
from tests.telephony.test_callbacks import attempt_of, recorded

ATTEMPT = "hotline-c7.1"
WANTED = PlaceCallback(7, ATTEMPT, "1001", "+8613800000001", DEFAULT)
YIELD = Yield(7, ATTEMPT, "1001", "hotline-1.1", 15.0)
AT = "1795300000.000001"


class Asterisk:
    """A link that remembers, and answers as the test says; `hear` gives its events to listeners."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        self.errors: dict[str, Exception] = {}
        self.answers: dict[str, dict[str, str]] = {}
        self.facts: list[Fact] = []
        self.own: set[int] = set()
        self.calls = Calls(("12345",))
        self.rules = Rules(
            queues={DEFAULT: Queue(ring_time=9.0), "tax": Queue("tax")},
            numbers={"12345": Number("12345"), "12366": Number("12366", queue="tax")},
        )
        self.outbound = self.make()

    def make(self, enabled: bool = True, shut: Collection[str] = ()) -> Outbound:
        return Outbound(
            self,
            self.calls,
            report=lambda *facts: self.facts.extend(facts),
            rules=lambda: self.rules,
            clock=lambda: 5,
            numbers=("12345", "12366"),
            rings=30.0,
            enabled=enabled,
            refusal=lambda number: Refusal(Why.OWN) if number in shut else None,
            picks_up=lambda callback: callback in self.own,
        )

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        self.sent.append(dict(action))
        if (error := self.errors.get(action["Action"])) is not None:
            raise error
        return {"Response": "Success", **self.answers.get(action["Action"], {})}

    async def gather(
        self, action: Mapping[str, str], until: str, timeout: float = 5.0
    ) -> list[Message]:
        return []

    def event(self, name: str, uniqueid: str, channel: str, **more: str) -> None:
        message = {"Event": name, "Privilege": "call,all", "Timestamp": AT, "Uniqueid": uniqueid}
        message |= {"Channel": channel, "Linkedid": ATTEMPT, **more}
        facts = self.calls.read(message)
        if dialled := self.calls.dials(message):
            self.outbound.follow(*dialled)
        self.facts += facts
        self.outbound.take(facts)

    def agent(self, name: str, **more: str) -> None:
        self.event(name, ATTEMPT, "PJSIP/1001-00000001", **more)

    def citizen(self, name: str, **more: str) -> None:
        self.event(name, "hotline-1.2", "PJSIP/outbound-00000002", **more)

    def dialling(self) -> None:
        """The agent has picked up, and the citizen's phone rings."""
        self.outbound.place(WANTED)
        self.agent("Newchannel")
        self.agent("Newstate", ChannelState="6")
        self.citizen("Newchannel")

    def actions(self) -> list[str]:
        """What was done. `Getvar` only looks."""
        return [action["Action"] for action in self.sent if action["Action"] != "Getvar"]

    def asked(self) -> int:
        return sum(action["Action"] == "Getvar" for action in self.sent)

    def looked(self) -> bool:
        return self.asked() > 0

    async def until(self, true: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 10
        while not true():
            assert time.monotonic() < deadline, (self.sent, self.facts)
            await asyncio.sleep(0.002)


@pytest.fixture
def asterisk(monkeypatch: pytest.MonkeyPatch) -> Asterisk:
    monkeypatch.setattr(module, "APPEARS_WITHIN", 0.05)
    monkeypatch.setattr(module, "KEPT_WITHIN", 0.2)
    return Asterisk()


async def test_the_phone_of_an_agent_who_has_asked_for_the_call_is_told_to_pick_up(
    asterisk: Asterisk,
) -> None:
    asterisk.own.add(WANTED.callback)
    asterisk.outbound.place(WANTED)
    await asterisk.until(lambda: asterisk.sent)
    assert ";answer-after=0," in asterisk.sent[0]["Variable"]
    assert ";info=alert-autoanswer" in asterisk.sent[0]["Variable"]


async def test_the_agents_phone_is_rung_under_the_attempts_own_name(asterisk: Asterisk) -> None:
    asterisk.outbound.place(WANTED)
    await asterisk.until(lambda: asterisk.sent)
    assert asterisk.sent == [
        {
            "Action": "Originate",
            "Channel": "PJSIP/1001",
            "ChannelId": ATTEMPT,
            "Context": "callback",
            "Exten": "s",
            "Priority": "1",
            "Timeout": "9000",
            "CallerID": '"回访 138****0001" <12345>',
            "Async": "true",
        }
    ]
    attempt = asterisk.outbound.attempt(ATTEMPT)
    assert attempt is not None
    assert (attempt.number, attempt.caller, attempt.rings) == ("+8613800000001", "12345", 30.0)
    assert asterisk.outbound.attempt("hotline-c8.1") is None


async def test_the_citizen_sees_the_number_of_the_queue(asterisk: Asterisk) -> None:
    asterisk.outbound.place(PlaceCallback(7, ATTEMPT, "1001", "13800000001", "tax"))
    attempt = asterisk.outbound.attempt(ATTEMPT)
    assert attempt is not None
    assert attempt.caller == "12366"


async def test_a_number_that_cannot_be_dialled_is_not_dialled(asterisk: Asterisk) -> None:
    asterisk.outbound.place(PlaceCallback(7, ATTEMPT, "1001", "138&PJSIP/0", DEFAULT))
    assert asterisk.outbound.attempt(ATTEMPT) is None


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (LinkDown("no connection"), "lost"),
        (ActionRefused("Originate: no"), "agent_unreachable"),
        (None, "agent_unreachable"),
    ],
)
async def test_an_attempt_that_never_begins_ends(
    asterisk: Asterisk, error: Exception | None, failure: str
) -> None:
    if error is not None:
        asterisk.errors["Originate"] = error
    asterisk.outbound.place(WANTED)
    await asterisk.until(lambda: asterisk.facts)
    assert asterisk.facts == [CallbackEnded(5, 7, ATTEMPT, "1001", failure)]
    assert asterisk.outbound.attempt(ATTEMPT) is None


async def test_without_a_way_out_nothing_is_placed(asterisk: Asterisk) -> None:
    asterisk.outbound = asterisk.make(enabled=False)
    asterisk.outbound.place(WANTED)
    await asterisk.until(lambda: asterisk.facts)
    assert asterisk.sent == []
    assert asterisk.facts == [CallbackEnded(5, 7, ATTEMPT, "1001", "unreachable")]
    asterisk.outbound.enable(enabled=True)
    asterisk.outbound.place(WANTED)
    await asterisk.until(lambda: asterisk.sent)


async def test_a_number_that_the_gate_refuses_now_is_not_placed(asterisk: Asterisk) -> None:
    asterisk.outbound = asterisk.make(shut=(WANTED.number,))
    asterisk.outbound.place(WANTED)
    await asterisk.until(lambda: asterisk.facts)
    assert asterisk.sent == []
    assert asterisk.facts == [CallbackEnded(5, 7, ATTEMPT, "1001", "withdrawn")]


async def test_nor_dialled_when_the_agent_has_picked_up(asterisk: Asterisk) -> None:
    shut: list[str] = []
    asterisk.outbound = asterisk.make(shut=shut)
    asterisk.outbound.place(WANTED)
    assert asterisk.outbound.attempt(ATTEMPT) is not None
    shut.append(WANTED.number)
    assert asterisk.outbound.attempt(ATTEMPT) is None


# --- cancelling


async def test_cancelling_hangs_up_what_is_not_answered(asterisk: Asterisk) -> None:
    asterisk.dialling()
    asterisk.outbound.cancel(ATTEMPT, "1001")
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    assert asterisk.sent[-1]["Channel"] == "PJSIP/1001-00000001"
    assert asterisk.sent[-1]["Cause"] == "26"


async def test_an_answered_one_is_not_cancelled(asterisk: Asterisk) -> None:
    asterisk.dialling()
    asterisk.citizen("Newstate", ChannelState="6")
    asterisk.outbound.cancel(ATTEMPT, "1001")
    await asyncio.sleep(0.02)
    assert "Hangup" not in asterisk.actions()


async def test_what_is_cancelled_before_it_exists_ends_as_soon_as_it_does(
    asterisk: Asterisk,
) -> None:
    asterisk.outbound.place(WANTED)
    asterisk.outbound.cancel(ATTEMPT, "1001")
    await asterisk.until(lambda: asterisk.sent)
    assert asterisk.outbound.attempt(ATTEMPT) is None, "nobody is dialled for it"
    asterisk.agent("Newchannel")
    asterisk.agent("Newstate", ChannelState="5")
    await asterisk.until(lambda: asterisk.actions() == ["Originate", "Hangup"])
    asterisk.agent("Hangup", Cause="26")
    assert asterisk.facts[-1].failure == "withdrawn"  # type: ignore[union-attr]


# --- yielding


async def test_the_citizen_is_offered_when_the_old_leg_is_gone(asterisk: Asterisk) -> None:
    asterisk.dialling()
    rung: list[float] = []
    asterisk.outbound.give_way(YIELD, lambda: rung.append(time.monotonic()))
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    await asyncio.sleep(0.01)
    assert not rung
    asterisk.citizen("Hangup", Cause="16")
    asterisk.agent("Hangup", Cause="26")
    await asterisk.until(lambda: rung)
    assert asterisk.outbound.goes_first("hotline-1.1")
    assert not asterisk.outbound.goes_first("hotline-1.1"), "once only"


@pytest.mark.parametrize("there", [False, True], ids=["no channel yet", "channel"])
async def test_a_phone_is_not_rung_for_the_citizen_before_it_has_heard_of_the_callback(
    asterisk: Asterisk, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its first answer there is no CANCEL (RFC 3261, 9.1): the two INVITEs would cross."""
    monkeypatch.setattr(module, "HEARD_WITHIN", 60)
    asterisk.outbound.place(WANTED)
    if there:
        asterisk.agent("Newchannel")
    rung: list[bool] = []
    asterisk.outbound.give_way(YIELD, lambda: rung.append(True))
    await asyncio.sleep(0.02)
    if not there:
        asterisk.agent("Newchannel")
    await asyncio.sleep(0.03)
    assert asterisk.actions() == ["Originate"]
    assert asterisk.outbound.attempt(ATTEMPT) is None, "nobody is dialled for it"
    asterisk.agent("Newstate", ChannelState="5")
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    assert not rung
    asterisk.agent("Hangup", Cause="26")
    await asterisk.until(lambda: rung)


async def test_a_phone_that_says_nothing_is_not_waited_for_long(asterisk: Asterisk) -> None:
    asterisk.outbound.place(WANTED)
    asterisk.agent("Newchannel")
    rung: list[bool] = []
    asterisk.outbound.give_way(YIELD, lambda: rung.append(True))
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    asterisk.agent("Hangup", Cause="26")
    await asterisk.until(lambda: rung)


@pytest.mark.parametrize("error", [None, LinkDown("gone"), ActionRefused("No such channel")])
async def test_the_citizen_is_offered_in_any_case_and_soon(
    asterisk: Asterisk, error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GONE_WITHIN", 0.05)
    asterisk.dialling()
    if error is not None:
        asterisk.errors["Hangup"] = error
    rung: list[float] = []
    began = time.monotonic()
    asterisk.outbound.give_way(YIELD, lambda: rung.append(time.monotonic()))
    await asterisk.until(lambda: rung)
    assert 0.045 < rung[0] - began < 0.5


async def test_the_citizen_is_offered_at_once_when_the_attempt_is_gone(asterisk: Asterisk) -> None:
    rung: list[bool] = []
    asterisk.outbound.give_way(YIELD, lambda: rung.append(True))
    await asterisk.until(lambda: rung)
    assert asterisk.sent == []


@pytest.mark.parametrize("raced", [False, True], ids=["slow", "being connected"])
async def test_a_leg_that_takes_its_time_is_waited_for(asterisk: Asterisk, raced: bool) -> None:
    # A phone with one line would refuse the citizen, and its agent would seem not to respond.
    asterisk.dialling()
    rung: list[bool] = []
    asterisk.outbound.give_way(YIELD, lambda: rung.append(True))
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    if raced:
        asterisk.citizen("Newstate", ChannelState="6")  # the answer has crossed with it
    await asyncio.sleep(0.15)
    assert not rung
    asterisk.agent("Hangup", Cause="26")
    await asterisk.until(lambda: rung)


AGAIN = PlaceCallback(8, "hotline-c8.1", "1001", "+8613800000002", DEFAULT)


@pytest.mark.parametrize("how", ["yields", "is cancelled"])
async def test_a_phone_is_rung_again_only_when_a_cut_attempt_is_gone(
    asterisk: Asterisk, how: str
) -> None:
    """The floor takes the agent for free at once: of a citizen who has left, or of a task that nobody wants."""
    asterisk.outbound.place(WANTED)
    asterisk.agent("Newchannel")
    asterisk.agent("Newstate", ChannelState="5")
    if how == "yields":
        asterisk.outbound.give_way(YIELD, lambda: None)
    else:
        asterisk.outbound.cancel(ATTEMPT, "1001")
    rung: list[str] = []
    asterisk.outbound.place(AGAIN)
    asterisk.outbound.when_clear(("1001", "1002"), lambda: rung.append("both"))
    asterisk.outbound.when_clear(("1002",), lambda: rung.append("1002"))
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    await asyncio.sleep(0.05)
    assert asterisk.actions() == ["Originate", "Hangup"]
    assert rung == ["1002"]
    asterisk.agent("Hangup", Cause="26")
    await asterisk.until(lambda: asterisk.actions()[2:] and rung[1:])
    assert asterisk.actions() == ["Originate", "Hangup", "Originate"]
    assert asterisk.sent[-1]["ChannelId"] == AGAIN.call


async def test_a_phone_that_does_not_fall_silent_is_rung_all_the_same(
    asterisk: Asterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GONE_WITHIN", 0.05)
    asterisk.dialling()
    asterisk.outbound.cancel(ATTEMPT, "1001")
    asterisk.outbound.place(AGAIN)
    await asterisk.until(lambda: asterisk.actions().count("Originate") == 2)


async def test_what_is_cancelled_while_it_waits_for_the_phone_is_not_placed(
    asterisk: Asterisk,
) -> None:
    asterisk.dialling()
    asterisk.outbound.cancel(ATTEMPT, "1001")
    asterisk.outbound.place(AGAIN)
    asterisk.outbound.cancel(AGAIN.call, "1001")
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    asterisk.agent("Hangup", Cause="26")
    ended = CallbackEnded(5, 8, AGAIN.call, "1001", "withdrawn")
    await asterisk.until(lambda: ended in asterisk.facts)
    assert asterisk.actions().count("Originate") == 1


async def test_who_has_answered_meanwhile_is_not_cut(asterisk: Asterisk) -> None:
    asterisk.dialling()
    rung: list[bool] = []
    asterisk.outbound.give_way(YIELD, lambda: rung.append(True))
    asterisk.citizen("Newstate", ChannelState="6")  # before the action could be sent
    await asterisk.until(lambda: any(isinstance(fact, CallbackSpared) for fact in asterisk.facts))
    assert asterisk.actions() == ["Originate"]
    assert not rung
    asterisk.agent("Hangup", Cause="16")
    assert [type(fact) for fact in asterisk.facts[-2:]] == [CallbackEnded, OwnCallEnded]


async def test_an_agent_may_stay_on_the_line(asterisk: Asterisk) -> None:
    asterisk.dialling()
    call, rung = "hotline-1.1", []
    asterisk.event("Newchannel", call, "PJSIP/trunk-00000003", Linkedid=call, Context="inbound")
    stays = Yield(7, ATTEMPT, "1001", call, 15.0, stay_on_line=True)
    asterisk.outbound.give_way(stays, lambda: rung.append(True))
    await asterisk.until(lambda: "Redirect" in asterisk.actions())
    assert asterisk.sent[-1]["Context"] == "inbound-first"
    assert not rung, "the agent hears the tone first"
    asterisk.agent("UserEvent", UserEvent="HotlineInboundFirst")
    await asterisk.until(lambda: rung)
    assert asterisk.outbound.kept_channel(call, "1001") == "PJSIP/1001-00000001"
    asterisk.agent("BridgeEnter")
    await asterisk.until(lambda: not asterisk.outbound.kept_channel(call, "1001"))
    assert "Hangup" not in asterisk.actions()


async def test_a_kept_line_that_is_not_fetched_is_let_go(asterisk: Asterisk) -> None:
    asterisk.dialling()
    call = "hotline-1.1"
    asterisk.event("Newchannel", call, "PJSIP/trunk-00000003", Linkedid=call, Context="inbound")
    stays = Yield(7, ATTEMPT, "1001", call, 15.0, stay_on_line=True)
    asterisk.outbound.give_way(stays, lambda: None)
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    assert asterisk.sent[-1]["Channel"] == "PJSIP/1001-00000001"


async def test_a_kept_line_waits_for_the_end_of_the_notice(asterisk: Asterisk) -> None:
    asterisk.dialling()
    call = "hotline-1.1"
    asterisk.event("Newchannel", call, "PJSIP/trunk-00000003", Linkedid=call, Context="inbound")
    stays = Yield(7, ATTEMPT, "1001", call, 15.0, stay_on_line=True)
    asterisk.outbound.give_way(stays, lambda: None)
    await asterisk.until(lambda: "Redirect" in asterisk.actions())
    asterisk.outbound.keep_longer(call, "1001", 0.4)
    asterisk.outbound.keep_longer(call, "1009", 0.4)
    await asyncio.sleep(0.4)
    assert "Hangup" not in asterisk.actions()
    await asterisk.until(lambda: "Hangup" in asterisk.actions())


async def test_an_agent_who_has_not_picked_up_has_no_line_to_keep(asterisk: Asterisk) -> None:
    asterisk.outbound.place(WANTED)
    asterisk.agent("Newchannel")
    stays = Yield(7, ATTEMPT, "1001", "hotline-1.1", 15.0, stay_on_line=True)
    asterisk.outbound.give_way(stays, lambda: None)
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    assert "Redirect" not in asterisk.actions()


# --- after a start


def held(state: State) -> Task:
    added = CallbackAdded(0, 7, "+8613800000001", DEFAULT, 0, 10**18)
    task = Task.of(added)
    task.state, task.agent, task.attempt = state, "1001", ATTEMPT
    return task


@pytest.mark.parametrize(("state", "failure"), [(State.DIALLING, "lost"), (State.TALKING, "")])
async def test_what_is_gone_has_ended(asterisk: Asterisk, state: State, failure: str) -> None:
    asterisk.outbound.caught_up([held(state)])
    assert asterisk.facts == [CallbackEnded(5, 7, ATTEMPT, "1001", failure)]


async def test_what_still_exists_is_left_alone(asterisk: Asterisk) -> None:
    asterisk.agent("Newchannel")
    asterisk.outbound.caught_up([held(State.DIALLING)])
    await asyncio.sleep(0.01)
    assert asterisk.facts == []
    assert asterisk.sent == []


async def test_what_nobody_knows_is_hung_up_unless_they_talk(asterisk: Asterisk) -> None:
    asterisk.agent("Newchannel")
    asterisk.outbound.caught_up([])
    await asterisk.until(lambda: asterisk.actions() == ["Hangup"])

    other = Asterisk()
    other.agent("Newchannel")
    other.citizen("Newchannel")
    other.citizen("Newstate", ChannelState="6")
    other.outbound.caught_up([])
    other.agent("Hangup", Cause="16")
    kinds = [fact.kind for fact in other.facts]
    assert kinds[-3:] == ["CallbackSpared", "CallbackEnded", "OwnCallEnded"]
    assert other.sent == []


async def test_a_recorded_yield_from_end_to_end(asterisk: Asterisk) -> None:
    messages, attempt = recorded("yields"), attempt_of("yields")
    wanted = Yield(2, attempt, "1001", "hotline-1.1", 15.0)
    rung: list[bool] = []
    for message in messages:
        if message["Event"] == "Hangup" and not rung and "outbound" in message["Channel"]:
            asterisk.outbound.give_way(wanted, lambda: rung.append(True))
            await asterisk.until(lambda: asterisk.sent)
        asterisk.outbound.take(asterisk.calls.read(message))
        if message["Event"] == "Hangup" and message["Uniqueid"] == attempt:
            await asterisk.until(lambda: rung)
    assert asterisk.actions() == ["Hangup"]


# --- answers that cross our cancel


SIP_CALL = "e71c2c6a-95b1-4f8e-8c54"


def of_the_invite(status: str) -> bytes:
    return (
        f"SIP/2.0 {status}\r\nCSeq: 17 INVITE\r\nCall-ID: {SIP_CALL}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


CANCEL = f"CANCEL sip:1 SIP/2.0\r\nCall-ID: {SIP_CALL}\r\nCSeq: 17 CANCEL\r\n\r\n".encode()
OK = of_the_invite("200 OK")
RACED = CallbackAnswered(9, 7, ATTEMPT, "1001")


async def followed(asterisk: Asterisk) -> None:
    """The citizen's phone rings, and the leg's SIP Call-ID is known."""
    asterisk.answers["Getvar"] = {"Value": SIP_CALL}
    asterisk.dialling()
    await asterisk.until(asterisk.looked)
    await asyncio.sleep(0)


def answers(asterisk: Asterisk) -> list[Fact]:
    return [fact for fact in asterisk.facts if isinstance(fact, CallbackAnswered)]


def ended(asterisk: Asterisk) -> None:
    asterisk.citizen("Hangup", Cause="16")
    asterisk.agent("Hangup", Cause="26")


async def test_the_sip_call_of_a_dialled_citizen_is_asked_for(asterisk: Asterisk) -> None:
    await followed(asterisk)
    assert asterisk.sent[-1] == {
        "Action": "Getvar",
        "Channel": "PJSIP/outbound-00000002",
        "Variable": "CHANNEL(pjsip,call-id)",
    }


async def test_a_channel_that_is_too_new_is_asked_again(asterisk: Asterisk) -> None:
    asterisk.answers["Getvar"] = {"Value": ""}
    asterisk.dialling()
    await asterisk.until(asterisk.looked)
    asterisk.answers["Getvar"] = {"Value": SIP_CALL}
    await asterisk.until(lambda: asterisk.outbound._sip_calls == {SIP_CALL: ATTEMPT})
    asked = asterisk.asked()
    await asyncio.sleep(0.03)
    assert 2 <= asterisk.asked() == asked


async def test_a_channel_that_never_answers_is_not_asked_for_ever(asterisk: Asterisk) -> None:
    asterisk.dialling()
    await asterisk.until(lambda: asterisk.asked() == 10)
    await asyncio.sleep(0.05)
    assert asterisk.asked() == 10


@pytest.mark.parametrize("sooner", [False, True], ids=["behind our cancel", "before our cancel"])
@pytest.mark.parametrize("late", [False, True], ids=["end not told yet", "end told"])
async def test_an_answer_that_only_the_wire_tells_is_reported_once(
    asterisk: Asterisk, sooner: bool, late: bool
) -> None:
    await followed(asterisk)
    asterisk.outbound.give_way(YIELD, lambda: None)
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    if late:
        ended(asterisk)
    for text in (OK, CANCEL) if sooner else (CANCEL, OK):
        asterisk.outbound.hear(9, text)
    asterisk.outbound.hear(12, OK)
    await asyncio.sleep(0.03)
    if not late:
        assert answers(asterisk) == [], "AMI may still tell of it"
        ended(asterisk)
    await asterisk.until(lambda: answers(asterisk))
    await asyncio.sleep(0.03)
    assert answers(asterisk) == [RACED]
    kinds = [fact.kind for fact in asterisk.facts]
    assert kinds[-2:] == ["CallbackEnded", "CallbackAnswered"]


async def test_an_answer_that_ami_tells_of_after_all_is_not_reported_twice(
    asterisk: Asterisk,
) -> None:
    await followed(asterisk)
    asterisk.outbound.give_way(YIELD, lambda: None)
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    asterisk.outbound.hear(9, OK)
    asterisk.citizen("Newstate", ChannelState="6")
    ended(asterisk)
    await asyncio.sleep(0.05)
    assert [fact.at for fact in answers(asterisk)] == [1795300000_000001]


async def test_an_answer_on_the_wire_is_waited_for_and_not_cut(asterisk: Asterisk) -> None:
    await followed(asterisk)
    asterisk.outbound.hear(9, OK)
    asterisk.outbound.give_way(YIELD, lambda: None)
    await asyncio.sleep(0.02)
    asterisk.citizen("Newstate", ChannelState="6")
    await asterisk.until(lambda: any(isinstance(fact, CallbackSpared) for fact in asterisk.facts))
    asterisk.agent("Hangup", Cause="16")
    await asyncio.sleep(0.03)
    assert "Hangup" not in asterisk.actions()
    assert [fact.at for fact in answers(asterisk)] == [1795300000_000001]


async def test_an_answer_that_asterisk_does_not_make_a_talk_of_is_cut_after_all(
    asterisk: Asterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWERED_WITHIN", 0.02)
    await followed(asterisk)
    asterisk.outbound.hear(9, OK)
    asterisk.outbound.give_way(YIELD, lambda: None)
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    ended(asterisk)
    await asterisk.until(lambda: answers(asterisk) == [RACED])


async def test_a_cut_by_asterisk_itself_is_seen_by_its_cancel(asterisk: Asterisk) -> None:
    """The ringing time is over, or the agent hangs up, in the moment in which the citizen picks up."""
    await followed(asterisk)
    asterisk.outbound.hear(8, CANCEL)
    asterisk.outbound.hear(9, OK)
    ended(asterisk)
    await asterisk.until(lambda: answers(asterisk) == [RACED])


async def test_an_answer_that_fails_without_us_is_no_race(asterisk: Asterisk) -> None:
    """No codec in common: Asterisk itself ends what the citizen has answered."""
    await followed(asterisk)
    asterisk.outbound.hear(9, OK)
    ended(asterisk)
    await asyncio.sleep(0.03)
    assert answers(asterisk) == []


@pytest.mark.parametrize(
    "text",
    [
        of_the_invite("183 Session Progress"),
        of_the_invite("487 Request Terminated"),
        OK.replace(b"INVITE", b"CANCEL"),
        OK.replace(SIP_CALL.encode(), b"another"),
        OK.partition(b"Call-ID")[0],
        b"",
        b"SIP/2.0 2",
        b"\xff\xfe",
    ],
)
async def test_nothing_else_is_an_answer(asterisk: Asterisk, text: bytes) -> None:
    await followed(asterisk)
    asterisk.outbound.give_way(YIELD, lambda: None)
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    asterisk.outbound.hear(9, text)
    ended(asterisk)
    await asyncio.sleep(0.03)
    assert answers(asterisk) == []


async def test_an_answer_that_crosses_while_the_agent_stays_on_the_line(asterisk: Asterisk) -> None:
    await followed(asterisk)
    call = "hotline-1.1"
    asterisk.event("Newchannel", call, "PJSIP/trunk-00000003", Linkedid=call, Context="inbound")
    stays = Yield(7, ATTEMPT, "1001", call, 15.0, stay_on_line=True)
    asterisk.outbound.give_way(stays, lambda: None)
    await asterisk.until(lambda: "Redirect" in asterisk.actions())
    asterisk.outbound.hear(9, OK)
    await asyncio.sleep(0.03)
    assert answers(asterisk) == []
    asterisk.citizen("Hangup", Cause="16")
    await asterisk.until(lambda: answers(asterisk) == [RACED])


async def test_after_a_start_the_dialled_citizens_are_followed(asterisk: Asterisk) -> None:
    asterisk.answers["Getvar"] = {"Value": SIP_CALL}
    asterisk.agent("Newchannel")
    asterisk.citizen("Newchannel")
    fresh = asterisk.outbound = asterisk.make()
    fresh.caught_up([held(State.DIALLING)])
    await asterisk.until(asterisk.looked)
    await asyncio.sleep(0)
    fresh.give_way(YIELD, lambda: None)
    await asterisk.until(lambda: "Hangup" in asterisk.actions())
    fresh.hear(9, OK)
    ended(asterisk)
    await asterisk.until(lambda: answers(asterisk) == [RACED])


async def test_what_is_followed_has_a_limit(
    asterisk: Asterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOLLOWED", 2)
    asterisk.answers["Getvar"] = {"Value": SIP_CALL}
    for callback in range(5):
        attempt, leg = f"hotline-c{callback}.1", f"hotline-1.{callback + 10}"
        asterisk.answers["Getvar"] = {"Value": f"{SIP_CALL}{callback}"}
        asterisk.event("Newchannel", attempt, "PJSIP/1001-00000001", Linkedid=attempt)
        asterisk.event("Newchannel", leg, f"PJSIP/outbound-{callback}", Linkedid=attempt)
        await asyncio.sleep(0.002)
    assert len(asterisk.outbound._followed) == len(asterisk.outbound._sip_calls) == 2
