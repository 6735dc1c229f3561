"""Call control: each verb says what has happened, or a code says why not; never "done" for what was not."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from acd.gate import Refusal, Why
from base.bus import Refused
from facts import CallMarked, Fact, TalkMuted, TalkUnmuted
from facts.control import (
    REFUSALS,
    STATUS,
    AnswerRing,
    ControlRequest,
    DialForAgent,
    HandOverTalk,
    HangUpTalk,
    HoldTalk,
    MarkCall,
    MuteTalk,
    ResumeTalk,
    TransferTalk,
    sentences,
)
from facts.parties import PartyKind
from facts.requests import Reply
from facts.terms import CallMark
from hotline.controller import control
from hotline.controller.control import Control
from hotline.controller.marks import Marks
from telephony.channels import Rung, Talk
from telephony.link import ActionRefused, LinkDown, LinkError, Unknown
from telephony.parties import LiveParty

RUNG = Rung("leg-1", "PJSIP/1001-00000001", "hotline-1.1", rings=True, picked_up=False)
TALK = Talk("leg-1", "PJSIP/1001-00000001", "hotline-1.1", "1001", held=False, there=True)


@dataclass
class World:
    """Asterisk with one talk: each verb does what it should, unless `broken` says what happens instead."""

    talk: Talk | None = TALK
    ours: bool = False
    muted: bool = False
    broken: dict[str, LinkError | None] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    told: list[Fact] = field(default_factory=list)
    why_not: str | Refusal = ""
    stops: bool = False
    phones: list[Rung] = field(default_factory=list)
    others: list[LiveParty] = field(default_factory=list)
    theirs: list[Talk] = field(default_factory=list)

    def talks(self) -> list[Talk]:
        return [*([] if self.talk is None else [self.talk]), *self.theirs]

    def caller_channel(self, call: str) -> str:
        return "PJSIP/trunk-1"

    def asked_in(self, call: str) -> list[LiveParty]:
        return self.others

    def rung(self, agent: str) -> list[Rung]:
        return self.phones if agent == "1001" else []

    def ends(self, leg: str) -> None:
        self.ended.append(leg)

    def goes_on(self, leg: str) -> None:
        self.ended.remove(leg)

    def _works(self, verb: str) -> bool:
        self.done.append(verb)
        if verb in self.broken:
            if (error := self.broken[verb]) is not None:
                raise error
            return False
        return True

    def _change(self, **values: Any) -> None:
        if self.talk is not None:
            self.talk = replace(self.talk, **values)

    async def pick_up(self, channel: str) -> None:
        if self._works(f"pick up {channel}"):
            self.phones = [replace(one, picked_up=one.channel == channel) for one in self.phones]

    async def hold(self, channel: str) -> None:
        if self._works("hold"):
            self._change(held=True)
            self.ours = True

    async def resume(self, channel: str) -> None:
        if self._works("resume"):
            self._change(held=False)
            self.ours = False

    async def is_held(self, channel: str) -> bool:
        return self.ours

    async def mute(self, channel: str, *, mute: bool) -> None:
        if self._works("mute" if mute else "unmute"):
            self.muted = mute

    async def is_muted(self, channel: str) -> bool:
        return self.muted

    async def hang_up(self, channel: str) -> None:
        if self._works("hang up"):
            self.talk = None

    async def transfer(self, channel: str, to: str) -> None:
        if self._works(f"transfer {to}"):
            self.talk = None

    async def hand_over(self, colleague: str, citizen: str) -> None:
        if self._works(f"{colleague} takes {citizen}"):
            self.theirs.append(replace(TALK, leg="leg-2", channel=colleague, agent="1002"))

    async def end_by_script(self, channel: str, mark: CallMark) -> None:
        if self._works(f"script {mark}") and mark is CallMark.HARASSING:
            await self.marks.ending("PJSIP/trunk-1", "hotline-1.1")

    def may_hand_on(self, agent: str, to: str) -> str | Refusal:
        return self.why_not

    def way_into(self, queue: str) -> str:
        return {"tax": "8890"}.get(queue, "")

    async def knows(self, number: str) -> bool:
        return number in ("1001", "1002")

    async def dial(self, asked: DialForAgent) -> Reply:
        return Reply(f"dial {asked.to} for {asked.number}", 7, call="hotline-c7.1")

    async def propose(self, call: str, by: str) -> str:
        return f"proposed by {by}"

    def __post_init__(self) -> None:
        self.marks = Marks(
            self,
            hang_up=self.hang_up,
            report=self.told.append,
            clock=lambda: 7,
            propose=self.propose,
        )
        self.control = Control(
            self,
            self,
            self,
            self.marks,
            report=self.told.append,
            clock=lambda: 7,
            knows=self.knows,
            stopping=lambda: self.stops,
            dial=self.dial,
            asked_in=self.asked_in,
        )

    async def ask(self, asked: ControlRequest) -> str:
        reply = await self.control.answer(asked)
        assert reply.call == TALK.call
        return reply.said

    async def refusal(self, asked: ControlRequest) -> str:
        with pytest.raises(Refused) as refused:
            await self.control.answer(asked)
        assert refused.value.zh
        assert "{" not in refused.value.zh + str(refused.value)
        return refused.value.code


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CONFIRMED_WITHIN", 0.05)


async def test_a_ringing_phone_picks_up_and_is_asked_no_second_time() -> None:
    world = World(talk=None, phones=[RUNG])
    assert await world.ask(AnswerRing("1001")) == "agent 1001: the phone has picked up"
    assert await world.refusal(AnswerRing("1001")) == "not_ringing"
    assert world.done == ["pick up PJSIP/1001-00000001"]


async def test_only_phones_that_ring_are_told_to_pick_up() -> None:
    quiet = replace(RUNG, leg="leg-2", channel="PJSIP/1001-00000002", rings=False)
    assert await World(phones=[quiet]).refusal(AnswerRing("1001")) == "not_ringing"
    world = World(phones=[quiet, RUNG])
    await world.ask(AnswerRing("1001"))
    assert world.done == ["pick up PJSIP/1001-00000001"]
    assert await world.refusal(AnswerRing("1002")) == "not_ringing"
    assert await world.refusal(AnswerRing("4711")) == "unknown_agent"
    assert await World(stops=True, phones=[RUNG]).refusal(AnswerRing("1001")) == "stopping"


async def test_a_phone_that_ignores_it_has_not_answered() -> None:
    told = "pick up PJSIP/1001-00000001"
    assert (
        await World(broken={told: None}, phones=[RUNG]).refusal(AnswerRing("1001"))
        == "phone_ignores"
    )
    errors: list[tuple[LinkError, str]] = [
        (LinkDown("x"), "asterisk_away"),
        (Unknown("x"), "asterisk_silent"),
        (ActionRefused("x"), "asterisk_refused"),
    ]
    for error, code in errors:
        world = World(broken={told: error}, phones=[RUNG])
        assert await world.refusal(AnswerRing("1001")) == code


@pytest.mark.parametrize("error", [None, ActionRefused("Channel not found")])
async def test_a_ring_that_ends_meanwhile_is_over(
    error: LinkError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(phones=[RUNG])

    async def caller_gone(channel: str) -> None:
        world.phones = []
        if error is not None:
            raise error

    monkeypatch.setattr(world, "pick_up", caller_gone)
    assert await world.refusal(AnswerRing("1001")) == "ring_over"


async def test_hold_and_resume() -> None:
    world = World()
    assert await world.ask(HoldTalk("1001")) == "agent 1001: the citizen hears music"
    assert await world.ask(HoldTalk("1001")) == "agent 1001: the citizen hears music"
    assert world.done == ["hold"]
    assert await world.ask(ResumeTalk("1001")) == "agent 1001: they talk again"
    assert await world.refusal(ResumeTalk("1001")) == "not_held"


async def test_what_the_phone_holds_is_resumed_there() -> None:
    world = World(replace(TALK, held=True))
    await world.ask(HoldTalk("1001"))
    assert await world.refusal(ResumeTalk("1001")) == "held_by_phone"
    assert world.done == []


@pytest.mark.parametrize(
    "asked", [HoldTalk("1001"), HangUpTalk("1001"), TransferTalk("1001", "1002")]
)
async def test_what_asterisk_does_not_confirm_is_not_done(asked: ControlRequest) -> None:
    verbs = ("hold", "hang up", "transfer 1002")
    silent: dict[str, LinkError | None] = dict.fromkeys(verbs)
    assert await World(broken=silent).refusal(asked) == "asterisk_silent"
    errors: list[tuple[Callable[[str], LinkError], str]] = [
        (LinkDown, "asterisk_away"),
        (Unknown, "asterisk_silent"),
    ]
    for error, code in errors:
        world = World(broken=dict.fromkeys(verbs, error("x")))
        assert await world.refusal(asked) == code


async def test_a_talk_that_ends_meanwhile_is_over() -> None:
    world = World(broken={"hold": ActionRefused("Channel not found")})
    assert await world.refusal(HoldTalk("1001")) == "talk_over"
    world = World(broken={"hold": ActionRefused("no permission")})
    assert await world.refusal(HoldTalk("1001")) == "asterisk_refused"


async def test_mute_is_told_once() -> None:
    world = World()
    for state in ("on", "on", "off", "off"):
        await world.ask(MuteTalk("1001", state, "admin"))
    assert world.told == [
        TalkMuted(7, TALK.call, "1001", "admin"),
        TalkUnmuted(7, TALK.call, "1001", "admin"),
    ]


async def test_a_hang_up_is_the_agents_own_and_one_that_fails_is_none() -> None:
    world = World()
    await world.ask(HangUpTalk("1001"))
    assert world.ended == ["leg-1"]
    world = World(broken={"hang up": LinkDown("x")})
    await world.refusal(HangUpTalk("1001"))
    assert world.ended == []


async def test_who_is_not_in_a_talk() -> None:
    assert await World(talk=None).refusal(HoldTalk("1001")) == "not_in_talk"
    assert await World().refusal(HoldTalk("1002")) == "not_in_talk"
    assert await World().refusal(HoldTalk("4711")) == "unknown_agent"
    assert await World(stops=True).refusal(HoldTalk("1001")) == "stopping"


async def test_a_transfer_goes_where_the_floor_allows() -> None:
    world = World()
    said = await world.ask(TransferTalk("1001", queue="tax"))
    assert (said, world.done) == ("agent 1001: the citizen goes to queue tax", ["transfer 8890"])
    assert await World().refusal(TransferTalk("1001", queue="none")) == "queue_without_number"
    for why in ("to_self", "colleague_busy", "colleague_not_ready", "target_unknown"):
        world = World(why_not=why)
        assert await world.refusal(TransferTalk("1001", "1002")) == why
        assert world.done == []
    assert await World(why_not=Refusal(Why.DENIED)).refusal(TransferTalk("1001", "12333")) == "gate"


def party(
    who: PartyKind = PartyKind.COLLEAGUE, number: str = "1002", *, inside: bool = True
) -> LiveParty:
    channel = f"PJSIP/{number}-3"
    return LiveParty("hotline-p7", TALK.call, "1001", who, number, channel=channel, inside=inside)


async def test_a_citizen_is_handed_over_and_their_agent_leaves_after_that() -> None:
    world = World(others=[party()])
    assert await world.ask(HandOverTalk("1001")) == "agent 1001: the citizen talks to 1002"
    assert world.done == ["PJSIP/1002-3 takes PJSIP/trunk-1", "hang up"]
    assert world.ended == ["leg-1"]


async def test_a_handover_that_was_cut_short_is_finished() -> None:
    world = World(theirs=[replace(TALK, leg="leg-2", channel="PJSIP/1002-3", agent="1002")])
    assert await world.control.finish([(TALK.call, "1001"), ("hotline-1.9", "1002")]) == [TALK.call]
    assert (world.done, world.ended) == (["hang up"], ["leg-1"])
    assert [talk.agent for talk in world.talks()] == ["1002"]
    # Their agent has left meanwhile, or Asterisk is away again.
    assert await world.control.finish([(TALK.call, "1001")]) == []
    for error in (ActionRefused("No such channel"), LinkDown("gone")):
        world = World(broken={"hang up": error})
        assert await world.control.finish([(TALK.call, "1001")]) == []


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ([], "asks_nobody"),
        ([party(PartyKind.OUTSIDE, "95598")], "no_colleague"),
        ([party(inside=False)], "colleague_rings"),
        ([party(), party(number="1003")], "several_parties"),
    ],
)
async def test_without_one_colleague_in_the_talk_nobody_is_handed_over(
    others: list[LiveParty], code: str
) -> None:
    world = World(others=others)
    assert await world.refusal(HandOverTalk("1001")) == code
    assert world.done == []


async def test_a_callback_is_left_by_hanging_up() -> None:
    world = World(talk=replace(TALK, call="hotline-c1.1"), others=[party()])
    assert await world.refusal(HandOverTalk("1001")) == "handed_in_callback"
    assert world.done == []


async def test_an_agent_stays_whose_colleague_does_not_take_the_citizen() -> None:
    world = World(others=[party()], broken={"PJSIP/1002-3 takes PJSIP/trunk-1": None})
    assert await world.refusal(HandOverTalk("1001")) == "asterisk_silent"
    assert world.done == ["PJSIP/1002-3 takes PJSIP/trunk-1"]
    assert world.ended == []
    world = World(others=[party()], broken={"hang up": None})
    assert await world.refusal(HandOverTalk("1001")) == "asterisk_silent"


async def test_a_harassing_call_is_marked_and_its_agent_released() -> None:
    world = World()
    said = await world.ask(MarkCall("1001", "harassing", 1, "admin"))
    assert said == (
        "agent 1001: the call is marked as harassing and is being ended; proposed by admin"
    )
    assert world.told == [CallMarked(7, TALK.call, "1001", CallMark.HARASSING, "admin", ended=True)]
    assert (world.done, world.ended) == (["script harassing", "hang up"], ["leg-1"])


async def test_a_held_talk_is_resumed_before_its_script() -> None:
    world = World(replace(TALK, held=True), ours=True)
    await world.ask(MarkCall("1001", "harassing", 1))
    assert world.done == ["resume", "script harassing", "hang up"]


async def test_a_mark_alone_proposes_a_block_and_ends_nothing() -> None:
    world = World()
    said = await world.ask(MarkCall("1001", "harassing", 0, "admin"))
    assert said == "agent 1001: the call is marked as harassing; proposed by admin"
    assert await world.ask(MarkCall("1001", "silent")) == "agent 1001: the call is marked as silent"
    assert (world.done, world.ended) == ([], [])
    assert await world.refusal(MarkCall("1001", "rude")) == "mark_unknown"


async def test_the_key_of_an_agent_who_is_gone_marks_nothing() -> None:
    world = World(talk=None)
    await world.marks.ending("PJSIP/trunk-1", "hotline-1.1")
    assert world.told == []


async def test_a_number_is_dialled_for_an_agent_who_is_in_no_talk() -> None:
    reply = await World(talk=None).control.answer(DialForAgent("1001", "13812345678"))
    assert reply == Reply("dial 13812345678 for 1001", 7, call="hotline-c7.1")


def test_every_refusal_has_two_sentences_and_a_status() -> None:
    words = {"agent": "1001", "to": "1002", "queue": "q", "why": "w", "why_zh": "w"}
    assert all(all(sentences(code, **words)) for code in REFUSALS)
    assert STATUS.keys() <= REFUSALS.keys()
