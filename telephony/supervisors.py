"""Supervisors' legs among Asterisk's channels: which they are, and what they do there. Pure.

A leg stands in the dialplan's context `supervision`, and its extension says what it does: `listen`, `whisper`,
`step_in`, `take` (asterisk-conf/extensions.conf). So Asterisk itself keeps the state, in every event of AMI, in its
lists and in CEL, and whoever reads them later finds it again. Legs that the controller rings have ids of their own
(`facts.ids`); one that dialled `*8` has Asterisk's.

Only with `take`, and in the citizen's bridge, is it the leg of an agent who talks to the citizen. With `step_in` it is
that as soon as the citizen's agent has left.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from facts.endpoints import endpoint
from facts.ids import is_call_id, leg_of_ours
from facts.numbers import AGENT_NUMBER
from facts.supervise import SupervisionMode
from facts.terms import CallId

CONTEXT = "supervision"
"""Where the dialplan keeps a supervisor's leg."""

MARK = "HL_SUPERVISES"
"""The leg's variable that says whose talk it is for: call, agent, account and rights (`SupervisionMark`)."""

MODE_EVENT = "HotlineSupervision"
"""The dialplan's own event: the leg begins to do what its extension says."""

KEY_EVENT = "HotlineSupervisionKey"
"""The same, by a key in a talk that the supervisor has stepped into: they want another mode."""


_NO_NAME = re.compile(r"[^\w.@:-]")
"""What no account's name has: Asterisk would read some of it as the end of the variable."""


@dataclass(frozen=True, slots=True)
class SupervisionMark:
    """What a leg's variable says. `by`: the account, or empty. `may_step_in`: whether key 6 works."""

    call: CallId
    agent: str
    by: str
    may_step_in: bool

    def __str__(self) -> str:
        by = _NO_NAME.sub("", self.by)
        return f"{self.call} {self.agent} {int(self.may_step_in)} {by}"


def read_mark(text: str) -> SupervisionMark | None:
    """The mark of `text`; None for what is none."""
    call, _, rest = text.partition(" ")
    agent, _, rest = rest.partition(" ")
    may, _, by = rest.partition(" ")
    if not (is_call_id(call) and AGENT_NUMBER.fullmatch(agent) and may in ("0", "1")):
        return None
    return SupervisionMark(call, agent, by, may == "1")


@dataclass(frozen=True, slots=True)
class SupervisorLeg:
    """A leg that exists. `mode`: None before its phone has answered."""

    leg: str
    channel: str
    supervisor: str
    mark: SupervisionMark
    mode: SupervisionMode | None


def supervises(message: Mapping[str, str]) -> bool:
    """Whether an event, or an entry of a list, is about a supervisor's leg that is no agent's talk."""
    if message.get("Context") == CONTEXT:
        return message.get("Exten") != SupervisionMode.TAKE
    return leg_of_ours(message.get("Uniqueid", "")) == "l"


def takes(message: Mapping[str, str]) -> bool:
    """Whether it is about a supervisor's leg that takes the citizen over."""
    return message.get("Context") == CONTEXT and message.get("Exten") == SupervisionMode.TAKE


def joins(message: Mapping[str, str]) -> bool:
    """Whether it is about a supervisor's leg that is to be heard by agent and citizen."""
    return message.get("Context") == CONTEXT and message.get("Exten") == SupervisionMode.STEP_IN


def mode_of(message: Mapping[str, str]) -> SupervisionMode | None:
    """What the leg does; None for one that does nothing yet, or another channel."""
    exten = message.get("Exten", "")
    known = message.get("Context") == CONTEXT and exten in tuple(SupervisionMode)
    return SupervisionMode(exten) if known else None


def found(entry: Mapping[str, str], mark: str) -> SupervisorLeg | None:
    """The leg of an entry in Asterisk's list of channels; None for another channel. `mark`: its variable `MARK`."""
    read, supervisor = read_mark(mark), endpoint(entry.get("Channel", ""))
    if read is None or not AGENT_NUMBER.fullmatch(supervisor):
        return None
    return SupervisorLeg(
        entry.get("Uniqueid", ""), entry.get("Channel", ""), supervisor, read, mode_of(entry)
    )
