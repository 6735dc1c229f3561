"""Who may do what, and which roles see what masked (R54). Pure.

Every route of the API needs one right; a role is a set of rights, and so are the scopes of a token.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from facts.live import AgentNow, Json, LiveState, WaitingNow
from facts.masking import hide_digits, mask, mask_name


class Role(StrEnum):
    """What an account is for. A guest sees everything masked and changes nothing (R113).

    An assessor sees the talks to be scored and nothing else: whoever may search calls would know whose a talk is.
    """

    GUEST = "guest"
    AGENT = "agent"
    ASSESSOR = "assessor"
    SUPERVISOR = "supervisor"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


RIGHTS: Final[Mapping[str, str]] = {
    "live": "see what happens now",
    "alarms.write": "acknowledge alarms",
    "agents.read": "see the agents and their queues",
    "agents.own": "say for oneself: ready, pause, out",
    "agents.write": "add and remove agents, and speak for them: ready, pause, out",
    "alerts.raise": "press the red button in one's own talk; with agents.write, in any",
    "messages.write": "send messages to agents",
    "queues.read": "see queues, numbers and reasons for a pause",
    "queues.write": "change queues and their members",
    "callbacks.read": "see callbacks",
    "callbacks.write": "add and cancel callbacks",
    "callers.write": "assign waiting callers, move them to another queue, bring them forward",
    "calls.read": "search calls and read what happened in one",
    "recordings.read": "listen to recordings",
    "recordings.approve": "decide whether another person may export a recording",
    "words.read": "read what was said in recordings, and hints of where to listen",
    "recordings.pause": "pause the recording of one's own talk; with agents.write, of any",
    "talks.listen": "listen to agents' talks by one's own phone, and whisper to the agent",
    "talks.step_in": "step into agents' talks, and take them over",
    "talks.end": "end agents' talks",
    "parties.own": "bring others into one's own talk, mute and drop them; with agents.write, into any",
    "talks.survey": "hand a citizen to the survey and say why one hung up; with agents.write, for any agent",
    "surveys.rate": "enter the rating of a citizen who was sent a link",
    "recordings.mark": "mark places in recordings, with a note; change and remove one's own marks",
    "reports.read": "read reports",
    "facts.read": "follow the stream of facts",
    "blocks.read": "see blocked callers",
    "blocks.write": "block callers and let them through",
    "quality.assess": "score the talks that one was given, without seeing whose they are",
    "quality.own": "see the scores of one's own talks, and appeal",
    "quality.read": "see all scores, their history and the monthly cards",
    "quality.draw": "draw a week's sample, and give a task to somebody else",
    "quality.decide": "decide appeals against scores that one did not give",
    "audit.read": "read who did what",
    "accounts": "accounts and their roles",
    "tokens": "tokens of programs and wall screens",
    "webhooks": "webhooks",
}
"""Every right, and what it allows."""

_SEES: Final = frozenset(
    {"live", "agents.read", "queues.read", "callbacks.read", "calls.read", "reports.read", "facts.read"}
)  # fmt: skip

OF_ROLE: Final[Mapping[Role, frozenset[str]]] = {
    Role.GUEST: _SEES,
    Role.AGENT: frozenset({"live", "agents.read", "agents.own", "queues.read", "callbacks.read"})
    | {"recordings.pause", "parties.own", "quality.own", "talks.survey", "alerts.raise"},
    Role.ASSESSOR: frozenset({"quality.assess"}),
    Role.SUPERVISOR: _SEES
    | {"agents.own", "agents.write", "queues.write", "callbacks.write", "recordings.read"}
    | {"recordings.approve", "recordings.mark", "words.read", "parties.own", "talks.survey"}
    | {"callers.write", "messages.write", "alerts.raise"}
    | {"blocks.read", "blocks.write", "alarms.write"}
    | {"talks.listen", "talks.step_in", "talks.end"}
    | {"quality.read", "quality.draw", "quality.decide"},
    Role.AUDITOR: _SEES
    | {"recordings.read", "words.read", "blocks.read", "audit.read", "quality.read"},
    Role.ADMINISTRATOR: frozenset(RIGHTS),
}

_WITH: Final[Mapping[str, str]] = {"agents.write": "agents.own"}
"""Rights that bring another one along: one may do for oneself what one may do for everybody."""


def granted(role: Role, scopes: Iterable[str]) -> frozenset[str]:
    """The rights of a token with these scopes: never more than its role has."""
    wanted = frozenset(scopes)
    return (wanted | {_WITH[one] for one in wanted & _WITH.keys()}) & OF_ROLE[role]


SEES_EVERYTHING: Final = frozenset({Role.SUPERVISOR, Role.AUDITOR, Role.ADMINISTRATOR})
"""Roles for which nothing is masked."""


def masked_state(state: LiveState) -> LiveState:
    """The live state as a guest sees it: agents without their names, callers without their numbers, no supervisors."""
    shown: LiveState = _without_numbers(state)
    shown.pop("supervision", None)
    shown["agents"] = masked_agents(state["agents"])
    return shown


def masked_waiting(callers: Iterable[WaitingNow]) -> list[WaitingNow]:
    """Waiting callers as a guest sees them."""
    return [{**one, "caller": mask(one["caller"])} for one in callers]


def masked_part(part: Mapping[str, Json]) -> dict[str, Json]:
    """Some fields of a live state (not its agents) as a guest sees them."""
    return {name: _without_numbers(value) for name, value in part.items() if name != "supervision"}


def masked_agents(agents: Iterable[AgentNow]) -> list[AgentNow]:
    """Agents as a guest sees them."""
    return [_masked_agent(agent) for agent in agents]


def _masked_agent(agent: AgentNow) -> AgentNow:
    shown: AgentNow = {**agent, "name": mask_name(agent["name"])}
    if "caller" in agent:
        shown["caller"] = mask(agent["caller"])
    return shown


def _without_numbers(value: Any) -> Any:
    """Mask every field `caller` below, however deep, so that no later figure gives one away. A `note` is left out."""
    if isinstance(value, Mapping):
        return {
            name: mask(inner)
            if name == "caller" and isinstance(inner, str)
            else ""
            if name == "note"
            else _without_numbers(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_numbers(inner) for inner in value]
    return value


_SECRET: Final = frozenset({"by", "token"})
_TEXT: Final = frozenset({"reason", "matter", "why", "note"})
_DIALLED: Final = frozenset({"CallbackAdded", "CallSentOutside", "DialRefused", "PartyAsked"})


def masked_fact(fact: Mapping[str, Json]) -> dict[str, Json]:
    """A fact as a guest sees it. `fact` is as `facts.as_json` makes it.

    The citizen's number is masked, and people's own words are left out where they may name a person.
    """
    kind = str(fact["kind"])
    shown = dict(fact)
    for name, value in fact.items():
        if name == "caller" or (name == "number" and kind in _DIALLED):
            shown[name] = mask(str(value))
        elif name in _SECRET or (name in _TEXT and kind.startswith("Callback")):
            shown[name] = ""
        elif name in _TEXT and isinstance(value, str):
            shown[name] = hide_digits(value)
    return shown
