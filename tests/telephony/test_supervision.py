"""Supervisors in talks: told only when it is so, refused in a sentence, ended with the talk."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from base.background import spawn
from facts import (
    CallTransferred,
    Fact,
    OfferAnswered,
    SupervisionChanged,
    SupervisionEnded,
    SupervisionStarted,
    TalkEnded,
    TalkStopped,
)
from facts.supervise import SupervisionEnd, SupervisionMode
from facts.terms import Party
from facts.times import SECOND
from telephony import supervision as module
from telephony.channels import Message, Talk
from telephony.link import ActionRefused, LinkDown, LinkError, Unknown
from telephony.supervised import SupervisionRefused
from telephony.supervision import Supervision
from telephony.supervisors import MARK, SupervisionMark, SupervisorLeg, found, read_mark

CALL, ATTEMPT = "n-1763731200.1", "n-c7.1"
T = 1_763_731_200 * SECOND
LEG, BOSS, AGENT, CITIZEN = "n-l1763731200.1", "PJSIP/1003-7", "PJSIP/1001-5", "PJSIP/trunk-4"
LISTEN, WHISPER = SupervisionMode.LISTEN, SupervisionMode.WHISPER
STEP_IN, TAKE = SupervisionMode.STEP_IN, SupervisionMode.TAKE


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLD_WITHIN", 0.05)
    monkeypatch.setattr(module, "APPEARS_WITHIN", 0.1)


class Centre:
    """A talk of 1001, the phone of 1003, and an Asterisk that says what `then` says."""

    def __init__(self) -> None:
        self.now = T
        self.sent: list[Mapping[str, str]] = []
        self.facts: list[Fact] = []
        self.error: LinkError | None = None
        self.busy = ""
        self.engaged: list[str] = []
        self.known: set[str] = set()
        self.renewed: list[str] = []
        self.then: Callable[[Mapping[str, str]], None] = lambda _: None
        self.talking = [Talk("n-1763731200.2", AGENT, CALL, "1001", False, True)]
        self.supervision = Supervision(
            self,
            self,
            self.facts.append,
            lambda: self.now,
            node="n",
            engage=self.engage,
            release=self.engaged.remove,
            two_left=self.renewed.append,
        )

    def talks(self) -> Iterator[Talk]:
        yield from self.talking

    def caller_channel(self, call: str) -> str:
        return CITIZEN if call == CALL else ""

    def knows(self, uniqueid: str) -> bool:
        return uniqueid in self.known

    def engage(self, agent: str) -> str:
        if not self.busy:
            self.engaged.append(agent)
        return self.busy

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        self.sent.append(action)
        if self.error is not None:
            raise self.error
        self.then(action)
        return {}

    def hear(self, event: str, uniqueid: str = LEG, channel: str = BOSS, **more: str) -> None:
        self.supervision.there.read(
            {
                "Event": event,
                "Privilege": "call,all",
                "Timestamp": f"{self.now // SECOND}.{self.now % SECOND:06}",
                "Uniqueid": uniqueid,
                "Channel": channel,
                **more,
            }
        )

    def does(self, mode: SupervisionMode) -> None:
        """The leg is in the dialplan, or in the bridge, and does this."""
        where = {"Context": "supervision", "Exten": mode.value}
        if mode in (LISTEN, WHISPER):
            self.hear("UserEvent", UserEvent="HotlineSupervision", **where)
        else:
            self.hear("BridgeEnter", **where)

    def answers(self, action: Mapping[str, str]) -> None:
        """The phone answers at once, and every redirect is obeyed."""
        if action["Action"] == "Originate":
            self.hear("Newchannel")
            self.hear("Newstate", ChannelState="5")
            self.does(SupervisionMode(action["Exten"]))
        elif action["Action"] == "Redirect":
            self.does(SupervisionMode(action["Exten"]))
        elif action["Channel"] == BOSS:
            self.hear("Hangup", Cause="16")

    async def listens(self) -> None:
        self.then = self.answers
        await self.supervision.listen("1001", "1003", by="li", may_step_in=True)


async def none_unended() -> Sequence[SupervisionStarted]:
    return []


async def test_a_supervisor_listens_whispers_steps_in_and_leaves() -> None:
    centre = Centre()
    centre.then = centre.answers
    said = await centre.supervision.listen("1001", "1003", by="li", may_step_in=True)
    assert said == "agent 1003 listens to agent 1001"
    (rung,) = centre.sent
    assert rung["Channel"] == "PJSIP/1003"
    assert rung["ChannelId"] == LEG
    assert f"HL_SPIED={AGENT},HL_JOINED={CITIZEN},HL_MAY_STEP_IN=1" in rung["Variable"]
    assert f"{MARK}={CALL} 1001 1 li" in rung["Variable"]
    centre.now += SECOND
    said = await centre.supervision.change("1001", "1003", WHISPER, by="wang")
    assert said == "agent 1003 whispers to agent 1001"
    await centre.supervision.listen("1001", "1003", STEP_IN)
    assert centre.supervision.now() == [
        {
            "agent": "1001",
            "supervisor": "1003",
            "by": "li",
            "call": CALL,
            "mode": "step_in",
            "state": "on",
            "since": T,
        }
    ]
    assert centre.renewed == []
    assert await centre.supervision.leave("1001", "1003")
    assert centre.renewed == [CALL], "two are left of three"
    assert centre.supervision.now() == []
    later = T + SECOND
    assert centre.facts == [
        SupervisionStarted(T, CALL, "1001", "1003", LISTEN, "li"),
        SupervisionChanged(later, CALL, "1001", "1003", WHISPER, "wang"),
        SupervisionChanged(later, CALL, "1001", "1003", STEP_IN, "li"),
        SupervisionEnded(later, CALL, "1001", "1003", SupervisionEnd.LEFT, SECOND, "li"),
    ]


async def test_a_phone_that_rings_is_said_to_ring_and_is_on_the_screens() -> None:
    centre = Centre()
    centre.then = lambda _: centre.hear("Newstate", ChannelState="5")
    said = await centre.supervision.listen("1001", "1003")
    assert said == "the phone of agent 1003 rings"
    (shown,) = centre.supervision.now()
    assert (shown["state"], shown["since"]) == ("ringing", T)
    assert centre.facts == [], "nobody listens yet"
    with pytest.raises(SupervisionRefused, match="not answered yet"):
        await centre.supervision.change("1001", "1003", WHISPER)
    centre.hear("Hangup", Cause="16")
    (fact,) = centre.facts
    assert isinstance(fact, SupervisionEnded)
    assert (fact.why, fact.lasted) == (SupervisionEnd.NO_ANSWER, 0)


@pytest.mark.parametrize(
    ("cause", "said", "why"),
    [
        ("17", "is busy, or refuses", SupervisionEnd.REFUSED),
        ("20", "cannot be reached", SupervisionEnd.UNREACHABLE),
    ],
)
async def test_a_phone_that_does_not_take_it(cause: str, said: str, why: SupervisionEnd) -> None:
    centre = Centre()

    def refuses(action: Mapping[str, str]) -> None:
        centre.hear("Newchannel")
        centre.hear("HangupRequest", Cause=cause)
        centre.hear("Hangup", Cause=cause)

    centre.then = refuses
    with pytest.raises(SupervisionRefused, match=said):
        await centre.supervision.listen("1001", "1003")
    assert [getattr(fact, "why", None) for fact in centre.facts] == [why]


async def test_a_phone_without_a_channel_is_free_again() -> None:
    centre = Centre()
    said = await centre.supervision.listen("1001", "1003")
    assert "does not ring yet" in said
    async with asyncio.timeout(2):
        while centre.engaged:
            await asyncio.sleep(0.01)
    assert [getattr(fact, "why", None) for fact in centre.facts] == [SupervisionEnd.UNREACHABLE]
    assert centre.supervision.now() == []


async def test_refused_in_a_sentence() -> None:
    centre = Centre()
    listen = centre.supervision.listen
    with pytest.raises(SupervisionRefused, match="1002 is not in a talk"):
        await listen("1002", "1003")
    with pytest.raises(SupervisionRefused, match="own talk"):
        await listen("1001", "1001")
    centre.busy = "it is on a call"
    with pytest.raises(SupervisionRefused, match="it is on a call"):
        await listen("1001", "1003")
    centre.busy = ""
    for error in (LinkDown("down"), ActionRefused("no")):
        centre.error = error
        with pytest.raises(SupervisionRefused, match="nobody was rung"):
            await listen("1001", "1003")
    assert centre.engaged == []
    with pytest.raises(SupervisionRefused, match="1003 is not in the talk"):
        await centre.supervision.change("1001", "1003", WHISPER)
    with pytest.raises(SupervisionRefused, match="1003 is not in the talk"):
        await centre.supervision.leave("1001", "1003")


async def test_a_change_that_asterisk_does_not_confirm_is_not_said_to_be_done() -> None:
    centre = Centre()
    await centre.listens()
    centre.then = lambda _: None
    with pytest.raises(SupervisionRefused, match="does not say that it is done"):
        await centre.supervision.change("1001", "1003", WHISPER)
    centre.error = Unknown("late")
    with pytest.raises(SupervisionRefused, match="not known whether"):
        await centre.supervision.change("1001", "1003", WHISPER)
    assert len(centre.facts) == 1


async def test_no_more_than_three_in_a_talk() -> None:
    centre = Centre()
    centre.then = lambda one: centre.hear("Newchannel", one["ChannelId"], one["Channel"] + "-7")
    for number in ("1003", "1004", "1005"):
        await centre.supervision.listen("1001", number)
    with pytest.raises(SupervisionRefused, match="3 supervisors"):
        await centre.supervision.listen("1001", "1006")


async def test_a_spy_is_hung_up_when_the_talk_begins_to_end() -> None:
    centre = Centre()
    await centre.listens()
    centre.hear("HangupRequest", "n-1763731200.2", AGENT)
    await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    assert centre.sent[-1]["Channel"] == BOSS
    (_, ended) = centre.facts
    assert isinstance(ended, SupervisionEnded)
    assert ended.why is SupervisionEnd.OVER


async def test_whoever_takes_over_has_the_citizen_and_the_agent_is_free() -> None:
    centre = Centre()
    await centre.listens()
    said: list[str] = []

    async def asks() -> None:
        said.append(await centre.supervision.change("1001", "1003", TAKE, by="li"))

    spawn(asks(), "a supervisor")
    await asyncio.sleep(0.02)
    centre.supervision.there.take([CallTransferred(T, CALL, "1001", "1003", attended=True)])
    await asyncio.sleep(0.03)
    assert said == ["agent 1003 has taken over the talk of agent 1001"]
    assert centre.sent[-1] == {"Action": "Hangup", "Channel": AGENT, "Cause": "16"}
    # The agent's end does not end the supervisor's talk.
    centre.supervision.there.take([TalkEnded(T, CALL, "1001", Party.SYSTEM)])
    await asyncio.sleep(0.02)
    assert BOSS not in [one["Channel"] for one in centre.sent if one["Action"] == "Hangup"]
    assert getattr(centre.facts[-1], "why", None) is SupervisionEnd.TOOK


async def test_whoever_has_stepped_in_talks_on_when_the_agent_leaves() -> None:
    centre = Centre()
    await centre.listens()
    await centre.supervision.change("1001", "1003", STEP_IN)
    centre.talking = []
    centre.supervision.there.take(
        [
            CallTransferred(T, CALL, "1001", "1003", attended=True),
            OfferAnswered(T, CALL, "1003"),
            TalkEnded(T, CALL, "1001", Party.AGENT),
        ]
    )
    await asyncio.sleep(0.02)
    assert [one for one in centre.sent if one["Action"] == "Hangup"] == []
    assert sets(centre)[-2:] == [
        (CITIZEN, "DIALEDPEERNAME", ""),
        (BOSS, "TRANSFER_CONTEXT", "transfer"),
    ]
    assert getattr(centre.facts[-1], "why", None) is SupervisionEnd.TOOK
    assert centre.supervision.now() == []


async def test_a_spy_whose_agent_leaves_is_hung_up() -> None:
    centre = Centre()
    await centre.listens()
    centre.talking = []
    centre.supervision.there.take([TalkEnded(T, CALL, "1001", Party.AGENT)])
    await asyncio.sleep(0.02)
    assert centre.sent[-1] == {"Action": "Hangup", "Channel": BOSS, "Cause": "16"}
    assert getattr(centre.facts[-1], "why", None) is SupervisionEnd.OVER


def sets(centre: Centre) -> list[tuple[str, str, str]]:
    """The variables that were set: channel, name, value."""
    return [
        (one["Channel"], one["Variable"], one["Value"])
        for one in centre.sent
        if one["Action"] == "Setvar"
    ]


async def test_the_agent_cannot_hand_on_a_talk_of_three() -> None:
    centre = Centre()
    await centre.listens()
    assert sets(centre) == []
    await centre.supervision.change("1001", "1003", STEP_IN)
    await centre.supervision.change("1001", "1003", WHISPER)
    await centre.supervision.change("1001", "1003", STEP_IN)
    await centre.supervision.leave("1001", "1003")
    await asyncio.sleep(0.02)
    contexts = ["nothing", "transfer", "nothing", "transfer"]
    assert sets(centre) == [(AGENT, "TRANSFER_CONTEXT", context) for context in contexts]


async def test_a_new_controller_frees_the_agent_of_a_talk_that_was_taken_over() -> None:
    centre = Centre()
    centre.talking.append(Talk(LEG, BOSS, CALL, "1003", False, True))
    started = SupervisionStarted(T - SECOND, CALL, "1001", "1003", LISTEN, "li")

    async def unended() -> Sequence[SupervisionStarted]:
        return [started]

    mark = SupervisionMark(CALL, "1001", "li", True)
    await centre.supervision.there.settle([SupervisorLeg(LEG, BOSS, "1003", mark, TAKE)], unended)
    await asyncio.sleep(0.02)
    why = SupervisionEnd.TOOK
    assert centre.facts == [SupervisionEnded(T, CALL, "1001", "1003", why, SECOND, "li")]
    assert centre.sent == [{"Action": "Hangup", "Channel": AGENT, "Cause": "16"}]
    assert centre.supervision.now() == []
    # The recording of two who are left of three is started again.
    assert centre.renewed == []
    centre.supervision.there.take([TalkEnded(T, CALL, "1001", Party.SYSTEM)])
    assert centre.renewed == [CALL]


async def test_a_supervisor_whose_agent_left_as_they_took_over_has_the_citizen() -> None:
    centre = Centre()
    await centre.listens()
    centre.supervision.there.take([OfferAnswered(T, CALL, "1003")])
    assert getattr(centre.facts[-1], "why", None) is SupervisionEnd.TOOK
    assert centre.renewed == [CALL]


COLLEAGUES = Talk("n-1763731200.9", "PJSIP/1002-9", CALL, "1002", False, True)


async def test_whoever_has_stepped_in_stays_when_the_agent_hands_the_citizen_on() -> None:
    centre = Centre()
    await centre.listens()
    await centre.supervision.change("1001", "1003", STEP_IN, by="li")
    await asyncio.sleep(0.02)
    centre.sent.clear()
    centre.then = lambda _: None
    began, centre.now = centre.now, T + 9 * SECOND
    centre.talking.append(COLLEAGUES)
    there, at = centre.supervision.there, centre.now
    there.take([CallTransferred(at, CALL, "1001", "1002", attended=True)])
    centre.talking = [COLLEAGUES]
    there.take([OfferAnswered(at, CALL, "1002"), TalkEnded(at, CALL, "1001", Party.SYSTEM)])
    await asyncio.sleep(0.02)
    over, mark = SupervisionEnd.OVER, SupervisionMark(CALL, "1002", "li", True)
    assert centre.facts[-2:] == [
        SupervisionEnded(at, CALL, "1001", "1003", over, at - began, "li"),
        SupervisionStarted(at, CALL, "1002", "1003", STEP_IN, "li"),
    ]
    told = {(one["Channel"], one["Variable"]): one["Value"] for one in centre.sent}
    assert told == {
        (BOSS, MARK): str(mark),
        (BOSS, "HL_SPIED"): COLLEAGUES.channel,
        (COLLEAGUES.channel, "TRANSFER_CONTEXT"): "nothing",
    }
    # They are in the colleague's talk, and the citizen's hang-up ends it for all.
    assert "stepped into the talk of agent 1002" in await centre.supervision.change(
        "1002", "1003", STEP_IN
    )
    centre.hear("HangupRequest", CALL, CITIZEN)
    await asyncio.sleep(0.02)
    assert centre.sent[-1] == {"Action": "Hangup", "Channel": BOSS, "Cause": "16"}


async def test_whoever_listens_leaves_when_the_agent_hands_the_citizen_on() -> None:
    centre = Centre()
    await centre.listens()
    centre.talking.append(COLLEAGUES)
    there = centre.supervision.there
    there.take([CallTransferred(T, CALL, "1001", "1002", attended=True)])
    there.take([TalkEnded(T, CALL, "1001", Party.SYSTEM)])
    await asyncio.sleep(0.02)
    assert centre.supervision.now() == []
    assert getattr(centre.facts[-1], "why", None) is SupervisionEnd.OVER


async def test_a_citizen_handed_on_without_a_controller_keeps_the_supervisor() -> None:
    centre = Centre()
    centre.talking = [COLLEAGUES]

    async def unended() -> Sequence[SupervisionStarted]:
        return [SupervisionStarted(T - SECOND, CALL, "1001", "1003", STEP_IN, "li")]

    mark = SupervisionMark(CALL, "1001", "li", True)
    await centre.supervision.there.settle(
        [SupervisorLeg(LEG, BOSS, "1003", mark, STEP_IN)], unended
    )
    assert centre.facts == [
        SupervisionEnded(T, CALL, "1001", "1003", SupervisionEnd.OVER, SECOND, "li"),
        SupervisionStarted(T, CALL, "1002", "1003", STEP_IN, "li"),
    ]
    assert [one["agent"] for one in centre.supervision.now()] == ["1002"]


async def test_a_callback_is_not_taken_over() -> None:
    centre = Centre()
    centre.talking = [Talk(ATTEMPT, AGENT, ATTEMPT, "1001", False, True, "PJSIP/outbound-6")]
    with pytest.raises(SupervisionRefused, match="called back"):
        await centre.supervision.listen("1001", "1003", TAKE)
    await centre.listens()
    assert "HL_JOINED=PJSIP/outbound-6" in centre.sent[0]["Variable"]
    with pytest.raises(SupervisionRefused, match="called back"):
        await centre.supervision.change("1001", "1003", TAKE)


async def test_a_talk_is_ended_with_its_reason_first() -> None:
    centre = Centre()

    def gone(action: Mapping[str, str]) -> None:
        assert centre.facts == [TalkStopped(T, CALL, "1001", "li", "辱骂")]
        centre.talking = []

    centre.then = gone
    assert await centre.supervision.end("1001", by="li", reason="辱骂")
    assert centre.sent == [{"Action": "Hangup", "Channel": CITIZEN, "Cause": "16"}]
    with pytest.raises(SupervisionRefused, match="not in a talk"):
        await centre.supervision.end("1001", by="li")


async def test_keys_lead_back_from_the_talk() -> None:
    centre = Centre()
    await centre.listens()
    await centre.supervision.change("1001", "1003", STEP_IN)
    centre.hear("UserEvent", UserEvent="HotlineSupervisionKey", Mode="take")
    centre.hear("UserEvent", UserEvent="HotlineSupervisionKey", Mode="whisper")
    await asyncio.sleep(0.02)
    does = [one["Exten"] for one in centre.sent if "Exten" in one]
    assert does == ["listen", "step_in", "whisper"]
    assert centre.renewed == [CALL]


async def test_a_phone_that_dialled_is_in_the_talk() -> None:
    centre = Centre()
    wants = SupervisionMark("", "1001", "", False)
    told = centre.supervision.dialled("n-1763731200.9", "PJSIP/1003-9", "1003", wants)
    assert told["HL_SPIED"] == AGENT
    assert told["HL_MAY_STEP_IN"] == "0"
    assert read_mark(told[MARK]) == SupervisionMark(CALL, "1001", "", False)
    where = {"Context": "supervision", "Exten": "listen", "UserEvent": "HotlineSupervision"}
    centre.hear("UserEvent", "n-1763731200.9", "PJSIP/1003-9", **where)
    assert centre.facts == [SupervisionStarted(T, CALL, "1001", "1003", LISTEN)]
    with pytest.raises(SupervisionRefused):
        centre.supervision.dialled("n-1763731200.10", "PJSIP/1003-10", "1003", wants)


async def test_a_forged_event_changes_nothing() -> None:
    centre = Centre()
    await centre.listens()
    centre.hear("Hangup", channel=CITIZEN, Cause="16")
    assert len(centre.supervision.now()) == 1
    assert len(centre.facts) == 1


async def test_a_new_controller_finds_them_again_and_enters_the_ends_that_nobody_saw() -> None:
    centre = Centre()
    known = [
        SupervisionStarted(T - SECOND, CALL, "1001", "1003", LISTEN, "li"),
        SupervisionStarted(T - 5 * SECOND, "n-1763731200.0", "1002", "1004", LISTEN, "wang"),
    ]

    async def unended() -> Sequence[SupervisionStarted]:
        return known

    leg = SupervisorLeg(LEG, BOSS, "1003", SupervisionMark(CALL, "1001", "li", True), LISTEN)
    await centre.supervision.there.settle([leg], unended)
    (shown,) = centre.supervision.now()
    assert (shown["supervisor"], shown["since"]) == ("1003", T - SECOND)
    why = SupervisionEnd.LOST
    assert centre.facts == [
        SupervisionEnded(T, "n-1763731200.0", "1002", "1004", why, 5 * SECOND, "wang")
    ]
    # It is theirs: it leaves as any other.
    centre.then = centre.answers
    await centre.supervision.leave("1001", "1003")
    # And one whose talk is over is ended.
    centre.talking = []
    await centre.supervision.there.settle([leg], none_unended)
    await asyncio.sleep(0.02)
    assert centre.supervision.now() == []


async def test_after_a_lost_link_a_leg_that_is_gone_has_ended_and_a_new_one_has_not() -> None:
    centre = Centre()
    await centre.listens()
    centre.known = {LEG}
    await centre.supervision.there.settle([], none_unended)
    assert len(centre.supervision.now()) == 1, "it came after the list"
    centre.known = set()
    await centre.supervision.there.settle([], none_unended)
    assert getattr(centre.facts[-1], "why", None) is SupervisionEnd.LOST


async def test_a_key_that_was_pressed_without_a_controller_is_entered() -> None:
    centre = Centre()

    async def unended() -> Sequence[SupervisionStarted]:
        return [SupervisionStarted(T - SECOND, CALL, "1001", "1003", LISTEN, "li")]

    mark = SupervisionMark(CALL, "1001", "li", True)
    await centre.supervision.there.settle(
        [SupervisorLeg(LEG, BOSS, "1003", mark, WHISPER)], unended
    )
    assert centre.facts == [SupervisionChanged(T, CALL, "1001", "1003", WHISPER, "li")]


def test_a_name_cannot_set_other_variables() -> None:
    mark = SupervisionMark(CALL, "1001", "li,HL_MAY_STEP_IN=1\r\nAction: x", False)
    assert not {",", "=", "\r", "\n"} & set(str(mark))


def test_a_leg_in_a_list() -> None:
    entry = {"Uniqueid": LEG, "Channel": BOSS, "Context": "supervision", "Exten": "whisper"}
    mark = SupervisionMark(CALL, "1001", "li", True)
    assert found(entry, str(mark)) == SupervisorLeg(LEG, BOSS, "1003", mark, WHISPER)
    assert found(entry, "anything 1001 1 li") is None
    assert found({**entry, "Channel": "PJSIP/trunk-1"}, str(mark)) is None
    ringing = found({**entry, "Context": "agents", "Exten": "s"}, str(mark))
    assert ringing is not None
    assert ringing.mode is None
