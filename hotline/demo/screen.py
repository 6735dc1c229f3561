"""What `hotline demo` shows: its words in Chinese and English, and the live tables, drawn from the diary's facts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from facts import (
    AgentNotResponding,
    AgentOut,
    AgentPaused,
    AgentReady,
    CallArrived,
    CallEnded,
    CallQueued,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    RecordingMissing,
    TalkEnded,
)
from facts.terms import CallId
from facts.times import local

Say: TypeAlias = Callable[[str], str]
"""Key of a phrase → the phrase in the chosen language; an unknown key is returned as it is."""


def words(lang: str) -> Say:
    """The phrases in `zh` or `en`. Raises `KeyError` for another language."""
    column = {"zh": 0, "en": 1}[lang]
    return lambda key: _WORDS[key][column] if key in _WORDS else key


def summary(say: Say, facts: Sequence[Fact]) -> str:
    """The callers at each stage in one line, for output that is no terminal."""
    stages = _stages(facts)
    return "  ".join(f"{say(name)} {stages[name]}" for name in _STAGES)


def view(
    say: Say,
    facts: Sequence[Fact],
    people: Mapping[str, str],
    presences: Mapping[str, str],
    citizens: Mapping[str, str],
) -> RenderableType:
    """Callers by stage, agents by presence, and the last events.

    `people`: an agent's number → name; `presences`: number → state, as far as known; `citizens`: a caller's number →
    name in this play.
    """
    stages = _stages(facts)
    callers = Table(
        title=say("callers"), box=None, min_width=24, title_justify="left", show_header=False
    )
    callers.add_column()
    callers.add_column(justify="right")
    for name in _STAGES:
        callers.add_row(say(name), f"{stages[name]}", style=_STYLES.get(name, ""))
    taken = Counter(fact.agent for fact in facts if isinstance(fact, OfferAnswered))
    agents = Table(
        title=say("agents"), box=None, min_width=36, title_justify="left", show_header=False
    )
    for number, name in people.items():
        presence = presences.get(number, "")
        state = Text(say(presence) if presence else "", style=_STYLES.get(presence, ""))
        agents.add_row(number, name, state, say("taken").format(n=taken[number]))
    above = Table.grid(padding=(0, 4))
    above.add_row(callers, agents)
    events = Table(title=say("events"), box=None, title_justify="left", show_header=False)
    events.add_column(style="dim")
    events.add_column()
    for at, line in _events(say, facts, citizens)[-8:]:
        events.add_row(at, line)
    return Group(Text(""), above, Text(""), events)


_STAGES = ("greeting", "queue", "ringing", "talking", "served", "left")
_STYLES = {
    "queue": "yellow",
    "ringing": "magenta",
    "talking": "green",
    "served": "bold",
    "not-responding": "red",
    "unreachable": "red",
    "wrap-up": "cyan",
}


def _stages(facts: Sequence[Fact]) -> Counter[str]:
    """How many callers are at each stage, from the diary."""
    at: dict[CallId, str] = {}
    met: set[CallId] = set()
    for fact in facts:
        match fact:
            case CallArrived(call=call):
                at[call] = "greeting"
            case CallQueued(call=call):
                at[call] = "queue"
            case OfferRinging(call=call):
                at[call] = "ringing"
            case OfferEnded(call=call) if at.get(call) == "ringing":
                at[call] = "queue"
            case OfferAnswered(call=call):
                at[call] = "talking"
                met.add(call)
            case CallEnded(call=call):
                at[call] = "served" if call in met else "left"
    return Counter(at.values())


def _events(say: Say, facts: Sequence[Fact], citizens: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each fact that the screen shows, in words: time of day, sentence."""
    who: dict[CallId, str] = {}
    lines = []
    for fact in facts:
        if isinstance(fact, CallArrived):
            who[fact.call] = citizens.get(fact.caller, "?")
        if isinstance(fact, _TOLD):
            at = f"{local(fact.at):%H:%M:%S}"
            citizen, agent = who.get(getattr(fact, "call", ""), "?"), getattr(fact, "agent", "")
            lines.append((at, say(fact.kind).format(who=citizen, agent=agent)))
    return lines


_TOLD = (
    CallArrived,
    CallQueued,
    OfferRinging,
    OfferAnswered,
    TalkEnded,
    CallEnded,
    AgentReady,
    AgentPaused,
    AgentOut,
    AgentNotResponding,
    RecordingMissing,
)

_WORDS = {
    "home": ("演示中心的全部数据在 {home}（每次演示重新建立）", "all of this demo is in {home} (made again each time)"),
    "port taken": ("端口已被占用，改用其他端口：{line}", "a port is in use, another one is taken: {line}"),
    "starting": ("正在启动 Asterisk、Redis、控制器、录音…", "starting Asterisk, Redis, controller, recorder…"),
    "centre ready": ("呼叫中心已就绪，用时 {seconds:.1f} 秒", "the centre is ready after {seconds:.1f} s"),
    "stopping": ("正在停止呼叫中心…", "stopping the centre…"),
    "stopped": ("已停止", "stopped"),
    "wallboard": ("大屏：{url}（中心运行时可打开）", "wallboard: {url} (while the centre runs)"),
    "supervisor": (
        "班长页面：{url}，账号 {name}，密码 {password}",
        "supervisor: {url}, sign in as {name} with the password {password}",
    ),
    "citizen": ("市民 {n}", "citizen {n}"),
    "callers": ("来电", "Callers"),
    "agents": ("坐席", "Agents"),
    "events": ("最近事件", "Last events"),
    "taken": ("接听 {n}", "{n} taken"),
    "greeting": ("听问候语", "greeting"),
    "queue": ("排队等待", "waiting"),
    "ringing": ("振铃", "ringing"),
    "talking": ("通话中", "talking"),
    "served": ("已服务", "served"),
    "left": ("中途放弃", "gave up"),
    "out": ("签出", "out"),
    "ready": ("空闲", "ready"),
    "wrap-up": ("话后处理", "wrap-up"),
    "paused": ("小休", "paused"),
    "not-responding": ("未应答", "not responding"),
    "unreachable": ("话机离线", "unreachable"),
    "own-call": ("拨号中", "on own call"),
    "CallArrived": ("{who} 来电", "{who} calls"),
    "CallQueued": ("{who} 进入排队", "{who} waits for a person"),
    "OfferRinging": ("坐席 {agent} 振铃：{who}", "{agent}'s phone rings for {who}"),
    "OfferAnswered": ("坐席 {agent} 接听：{who}", "{agent} answers {who}"),
    "TalkEnded": ("坐席 {agent} 与 {who} 通话结束", "{agent} and {who} are done"),
    "PhoneLost": ("坐席 {agent} 的话机失效，{who} 回到队列", "{agent}'s phone died; {who} waits again"),
    "CallEnded": ("{who} 的通话结束", "{who} is gone"),
    "AgentReady": ("坐席 {agent} 示闲", "{agent} is ready"),
    "AgentPaused": ("坐席 {agent} 小休", "{agent} takes a pause"),
    "AgentOut": ("坐席 {agent} 签出", "{agent} signs out"),
    "AgentNotResponding": ("坐席 {agent} 三声未应答", "{agent} let it ring three times"),
    "RecordingMissing": ("{who} 的录音缺失", "{who}'s recording is missing"),
    "lived": ("市民经历与系统记录逐一核对", "What the citizens lived through, compared with the hotline's books"),
    "citizen column": ("市民", "citizen"),
    "outcome": ("结果", "outcome"),
    "agent": ("坐席", "agent"),
    "waited": ("等待", "waited"),
    "talked": ("通话", "talked"),
    "recording": ("录音", "recording"),
    "human": ("人工接通", "reached a person"),
    "abandoned_greeting": ("听问候语时放弃", "gave up in the greeting"),
    "abandoned_queue": ("排队时放弃", "gave up in the queue"),
    "abandoned_ringing": ("振铃时放弃", "gave up while it rang"),
    "lost": ("丢失", "LOST"),
    "both sides": ("{seconds:.1f} 秒，双方有声", "{seconds:.1f} s, both sides"),
    "never served": ("一直无人接听", "never reached anybody"),
    "hung up on": ("被系统挂断", "the hotline hung up on them"),
    "agrees": (
        "全部 {n} 个来电与系统记录一致，录音完整",
        "all {n} calls agree with what was written down, and were recorded on both sides",
    ),
    "given up": (
        "（演示中有 {n} 位市民按剧本中途放弃，因此接通率低于标准）",
        "({n} citizens gave up as the script told them to, so the rate is below the standard)",
    ),
    "recordings": (
        "录音（已加密）：{folder}（左声道市民，右声道坐席；收听：recordings export）",
        "recordings, encrypted: {folder} (citizen left, agent right; to hear one: recordings export)",
    ),
    "again": (
        "再次查看：HOTLINE_HOME={home} {command} calls（或 report sla、recordings export）",
        "look again: HOTLINE_HOME={home} {command} calls (or report sla, recordings export)",
    ),
    "trickle": (
        "继续运行，每 10 秒一个来电，按 Ctrl-C 结束；大屏：{url}",
        "still running, with a call every 10 s; Ctrl-C ends it; wallboard: {url}",
    ),
    "passed": ("演示完成", "the demo is complete"),
    "failed": ("演示发现 {n} 个问题", "problems found by the demo: {n}"),
}  # fmt: skip
