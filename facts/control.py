"""What programs ask about a talk: hold it, mute its agent, hand it on, end it; and why that is refused. Pure.

The requests are part of `facts.requests.Request`. A refusal has a code for programs and a sentence for people. Two of
them are of supervision (`facts.requests.ListenToTalk` and others).
"""

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias


@dataclass(frozen=True, slots=True)
class AnswerRing:
    """This agent's phone, which rings for a citizen, is to pick up by itself. `by`: the account that asks."""

    name: ClassVar[str] = "talk.answer"
    number: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class HoldTalk:
    """The citizen of this agent's talk hears music, and the agent nothing. `by`: the account that asks."""

    name: ClassVar[str] = "talk.hold"
    number: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class ResumeTalk:
    """The two talk again."""

    name: ClassVar[str] = "talk.resume"
    number: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class MuteTalk:
    """The citizen does not hear the agent; `state`: `on` or `off`."""

    name: ClassVar[str] = "talk.mute"
    number: str
    state: str = "on"
    by: str = ""


@dataclass(frozen=True, slots=True)
class HangUpTalk:
    """The agent's talk ends, as if they had put the receiver down."""

    name: ClassVar[str] = "talk.hang_up"
    number: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class TransferTalk:
    """The agent hands their citizen on: `to` a colleague, a number of ours, an allowed one outside; or to a `queue`."""

    name: ClassVar[str] = "talk.transfer"
    number: str
    to: str = ""
    queue: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class HandOverTalk:
    """The agent leaves their citizen to the colleague that they have asked into the talk (attended transfer)."""

    name: ClassVar[str] = "talk.hand_over"
    number: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class MarkCall:
    """The agent's call is what `mark` (`facts.terms.CallMark`) says. `end` 1: the hotline ends it by its script."""

    name: ClassVar[str] = "talk.mark"
    number: str
    mark: str
    end: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class DialForAgent:
    """Ring the agent's phone, then dial `to` as their own outbound call, under the number of `queue`."""

    name: ClassVar[str] = "call.dial"
    number: str
    to: str
    queue: str = ""
    by: str = ""


ControlRequest: TypeAlias = (
    AnswerRing
    | HoldTalk
    | ResumeTalk
    | MuteTalk
    | HangUpTalk
    | TransferTalk
    | HandOverTalk
    | MarkCall
    | DialForAgent
)

REFUSALS: Final[dict[str, tuple[str, str]]] = {
    "unknown_agent": ("没有工号 {agent}", "there is no agent {agent}"),
    "not_in_talk": (
        "话务员 {agent} 没有在与市民通话",
        "agent {agent} is not in a talk with a citizen",
    ),
    "talk_over": ("话务员 {agent} 的通话刚刚结束", "the talk of agent {agent} has just ended"),
    "not_ringing": (
        "话务员 {agent} 的话机没有因市民来电或外呼而振铃",
        "the phone of agent {agent} does not ring for a citizen",
    ),
    "ring_over": (
        "话务员 {agent} 的话机刚刚停止振铃",
        "the phone of agent {agent} has just stopped ringing",
    ),
    "phone_ignores": (
        "话务员 {agent} 的话机没有接听，仍在振铃：话机可能不支持（SIP NOTIFY，Event: talk），请用手接听",
        "the phone of agent {agent} rings on: it may not know SIP NOTIFY with Event: talk, so pick it up by hand",
    ),
    "held_by_phone": (
        "是话务员 {agent} 用话机保持的通话，请在话机上取回",
        "agent {agent} has put the talk on hold by the phone: resume it there",
    ),
    "not_held": ("话务员 {agent} 的通话没有保持", "the talk of agent {agent} is not on hold"),
    "mark_unknown": (
        "没有这种标记：harassing 或 silent",
        "there is no such mark: harassing or silent",
    ),
    "agent_busy": ("话务员 {agent} 正在使用电话", "agent {agent} is on the phone"),
    "phone_away": ("话务员 {agent} 的话机没有注册", "the phone of agent {agent} is not registered"),
    "agent_not_ready": (
        "话务员 {agent} 没有示闲，也不在话后整理",
        "agent {agent} is neither ready nor in wrap-up",
    ),
    "no_way_out": (
        "没有外呼线路",
        "there is no way out: set HOTLINE_OUTBOUND or write trunks.toml",
    ),
    "citizen_waits": (
        "有市民正在排队，呼入优先",
        "a citizen waits for an agent like this one: inbound calls come first",
    ),
    "not_entered": ("{why_zh}", "{why}"),
    "not_placed": (
        "就在此时有来电或状态变化，没有拨号",
        "a call or a change came in this moment, so nothing was dialled",
    ),
    "to_self": ("不能转给自己", "a talk cannot be transferred to its own agent"),
    "target_unknown": (
        "没有这个去向：请写工号、热线号码、HOTLINE_TRANSFER_TO 里的外部号码，或队列",
        "there is no such target: give an agent, one of the hotline's numbers, one of HOTLINE_TRANSFER_TO, or a queue",
    ),
    "asks_nobody": (
        "话务员 {agent} 没有请同事加入通话",
        "agent {agent} has asked no colleague into the talk: ask one first, or transfer blind",
    ),
    "several_parties": (
        "通话中不止一位第三方，不知转给谁",
        "several others are in the talk or called into it: drop all but one colleague first",
    ),
    "no_colleague": (
        "对方不是话务员：话务员直接挂机，市民与对方继续通话",
        "they are no agent: hang up, and the citizen talks on with them",
    ),
    "handed_in_callback": (
        "回拨的通话不能移交：话务员直接挂机，市民与话务员 {to} 继续通话",
        "a callback's talk cannot be handed over: hang up, and the citizen talks on with agent {to}",
    ),
    "colleague_rings": (
        "话务员 {to} 还没有接听",
        "agent {to} has not picked up yet",
    ),
    "queue_without_number": (
        "队列 {queue} 没有热线号码，不能转入",
        "no number of the hotline leads into queue {queue}, so nobody can be transferred there",
    ),
    "colleague_busy": ("话务员 {to} 正在使用电话", "agent {to} is on the phone"),
    "colleague_not_ready": (
        "话务员 {to} 没有示闲，转过去无人应答",
        "agent {to} is not ready, so their phone would not ring",
    ),
    "gate": ("该号码不能拨打：{why_zh}", "the number may not be dialled: {why}"),
    "not_your_queue": (
        "话务员 {agent} 的通话不属于本账号可监听的队列",
        "the talk of agent {agent} is not of a queue whose talks this account may supervise",
    ),
    "limit_unread": (
        "现在读不到本账号可监听哪些队列，没有生效，请稍后再试",
        "whose talks this account may supervise cannot be read now: nothing was done, try again later",
    ),
    "asterisk_silent": (
        "Asterisk 没有确认，是否生效不明：请看实时状态后再试",
        "Asterisk has not confirmed it, so it may or may not be done: look at the live state, then try again",
    ),
    "asterisk_away": (
        "控制器与 Asterisk 的连接断了，没有生效",
        "the controller has no link to Asterisk: nothing was done",
    ),
    "asterisk_refused": ("Asterisk 拒绝了，没有生效", "Asterisk refused it: nothing was done"),
    "stopping": ("热线正在停止，请稍后再试", "the hotline is stopping: try again later"),
}
"""Code → the sentence in Chinese and in English, with `{agent}` for the agent's number."""

STATUS: Final[dict[str, int]] = {
    "unknown_agent": 404,
    "not_your_queue": 403,
    "limit_unread": 503,
    "asterisk_silent": 503,
    "asterisk_away": 503,
    "stopping": 503,
}
"""Code → the HTTP status of its answer; 409 for all others."""


def sentences(code: str, **words: str) -> tuple[str, str]:
    """The sentences of a refusal, Chinese and English. Raises `KeyError` for a code that there is not."""
    zh, en = REFUSALS[code]
    return zh.format(**words), en.format(**words)
