"""The live state: what the controller shows of this moment to screens, alarms, the exporter and the API. Pure.

The controller makes one several times a second and sends it as JSON; these types are that JSON. Times are microseconds
UTC, shares are 0 to 1 or None when there is nothing to divide by.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final, NotRequired, TypeAlias, TypeVar, cast

from typing_extensions import TypedDict

Json: TypeAlias = (
    "str | int | float | bool | list[Json] | tuple[Json, ...] | dict[str, Json] | None"
)
"""What JSON can hold."""


class Share(TypedDict):
    """A share, and what it was made from."""

    numerator: float
    denominator: int
    value: float | None


class Lowest(Share):
    """The lowest whole minute of the day, which ended at `at`."""

    at: int


class Figure(Share):
    """A metric by its ID. `shares`: M4 only, by ring. `enough` (a large enough sample), `lowest`: M1r only."""

    shares: NotRequired[dict[str, float | None]]
    enough: NotRequired[bool]
    lowest: NotRequired[Lowest | None]


class Today(TypedDict):
    """Calls that arrived today: `calls` those that M1 counts, `human` those of them that a person answered."""

    date: str
    outcomes: dict[str, int]
    calls: int
    human: float
    m1: float | None
    pending: int


class CallbacksNow(TypedDict):
    """Callbacks: today's `yielded` (呼入优先), `reached`, `missed`; the others are now, `due` may be placed now."""

    yielded: int
    reached: int
    missed: int
    open: NotRequired[int]
    due: NotRequired[int]
    dialling: NotRequired[int]
    talking: NotRequired[int]


class PartyNow(TypedDict):
    """A third party in an agent's talk. `name`: a colleague's number, or what may be shown of another.

    `who`: as in `facts.parties.PartyKind`; `state`: `called`, `ringing`, `consulted`, `joined`.
    """

    id: str
    who: str
    name: str
    state: str
    muted: bool


class MoreOfAgent(TypedDict):
    """What shows of few agents. `message`: their newest unread message. `parties`: the third parties in their talk.

    `supervised`: what a supervisor does in their talk, if the settings let agents see it
    (`HOTLINE_SUPERVISION_SHOWN`). `held`: their talk is on hold.
    """

    message: NotRequired[int]
    held: NotRequired[bool]
    parties: NotRequired[list[PartyNow]]
    supervised: NotRequired[str]


class AgentNow(MoreOfAgent):
    """An agent. `until`: when a pause ends that has an allowed length, else 0. `call`: what they hold, or empty.

    `recording_paused`: since when the recording of their talk is paused; absent while it is not. `caller`, `queue`: of
    that call, as far as they are known; absent without one.
    """

    number: str
    name: str
    presence: str
    reason: str
    since: int
    until: int
    call: str
    recording_paused: NotRequired[int]
    caller: NotRequired[str]
    queue: NotRequired[str]


class WaitingNow(TypedDict):
    """A caller who waits. `caller`: empty if withheld; `number`: of ours, that they dialled. `rank`: the smallest is
    next.

    `since`: when they were queued. `skills`: what their agent must have. `asked`: they have asked to be called back.
    `before`: calls of theirs earlier today. `assigned`: the agent who alone is offered them for now, or empty.
    """

    call: str
    caller: str
    number: str
    queue: str
    since: int
    rank: int
    skills: list[str]
    asked: bool
    before: int
    assigned: str


class SupervisorNow(TypedDict):
    """A supervisor in the talk of `agent`. `state`: `ringing` until their phone answers, then `on`; `since` then.

    `supervisor`: the agent's number of their phone; `by`: their account. `mode`: listen, whisper, step_in, take.
    """

    agent: str
    supervisor: str
    by: str
    call: str
    mode: str
    state: str
    since: int


class AlarmNow(TypedDict):
    """An open alarm, in both languages. `acknowledged_at` is 0 until a person acknowledges it."""

    id: str
    rule: str
    subject: str
    severity: str
    since: int
    text_zh: str
    text_en: str
    value: float
    acknowledged_by: str
    acknowledged_at: int


class AlertNow(TypedDict):
    """An alert of the red button that nobody has acknowledged. `level`: how often nobody did in time.

    `by`: the account that raised it; empty: the agent, by the key of their phone.
    """

    id: int
    at: int
    call: str
    agent: str
    caller: str
    by: str
    note: str
    level: int


class Figures(TypedDict):
    """The figures of this moment (`metrics.live` makes them).

    `stages`: callers by stage, `greeting`, `waiting`, `ringing`, `talking`. `waiting_since`: when the caller who has
    waited the longest was queued. `figures`: today's metrics by ID, and `M1r`. `curve`: M1r of the last 24 hours, each
    five minutes: [time, share or None under 20 calls, calls that arrived in them and have ended]. `m4`: today's share
    answered within three rings. `sla15`, `sla60`: of those who arrived in the last 15 or 60 minutes and were queued,
    the share answered within 15 s. `asa`: today's M7, seconds. `abandoned`: today's M8.
    """

    stages: dict[str, int]
    waiting_since: int | None
    today: Today
    figures: dict[str, Figure]
    curve: list[list[float | int | None]]
    m4: float | None
    sla15: float | None
    sla60: float | None
    asa: float | None
    abandoned: float | None
    callbacks: CallbacksNow


class LiveState(Figures):
    """All that screens show. `at`: when the controller made it; older than five seconds, it shows the past."""

    at: int
    agents: list[AgentNow]  # by their numbers
    alarms: list[AlarmNow]
    alerts: NotRequired[list[AlertNow]]  # the newest first
    waiting: NotRequired[
        list[WaitingNow]
    ]  # by the ids of their calls; only those who are next, if they are many
    supervision: NotRequired[
        list[SupervisorNow]
    ]  # by the supervisors' numbers; who sees masked data gets none


class Change(TypedDict):
    """What makes a state of the one before.

    `set`: the top-level fields that changed, except `agents` and `waiting`. `agents`: the agents that changed, whole.
    `gone`: the numbers of agents who are no longer there. `waiting`, `left`: the same of waiting callers, if any.
    """

    set: dict[str, Json]
    agents: list[AgentNow]
    gone: list[str]
    waiting: NotRequired[list[WaitingNow]]
    left: NotRequired[list[str]]


Row = TypeVar("Row", AgentNow, WaitingNow)


class Following(Change):
    """A change as it is sent through Redis: of the state made at `before`, into the one made `at`."""

    before: int
    at: int


def difference(before: LiveState, after: LiveState) -> Change | None:
    """The change from `before` to `after`; None when only the time differs."""
    was, now = cast("dict[str, Json]", before), cast("dict[str, Json]", after)
    changed = {
        name: value
        for name, value in now.items()
        if name not in _APART and was.get(name, _NOTHING) != value
    }
    changed |= dict.fromkeys(was.keys() - now.keys() - _APART)
    agents, gone = _moved(before.get("agents", []), after.get("agents", []), _number)
    waiting, left = _moved(before.get("waiting", []), after.get("waiting", []), _call)
    if not (changed or agents or gone or waiting or left):
        return None
    change: Change = {"set": changed, "agents": agents, "gone": gone}
    if waiting or left:
        change["waiting"], change["left"] = waiting, left
    return change


def _moved(
    before: list[Row], after: list[Row], name: Callable[[Row], str]
) -> tuple[list[Row], list[str]]:
    """Rows that changed or came, and the names of those that went."""
    if len(before) == len(after) and all(
        name(was) == name(now) for was, now in zip(before, after, strict=True)
    ):
        return [
            now for was, now in zip(before, after, strict=True) if now is not was and now != was
        ], []
    old = {name(row): row for row in before}
    new = {name(row): row for row in after}
    return [row for one, row in new.items() if old.get(one) != row], sorted(old.keys() - new.keys())


def follow(before: LiveState, change: Following) -> LiveState:
    """The state after this change of `before`, which stays as it is. Agents and callers must be in order."""
    agents = _followed(before["agents"], change["agents"], change["gone"], _number)
    after = {**before, **change["set"], "at": change["at"], "agents": agents}
    if "waiting" in change:
        rows = before.get("waiting", [])
        after["waiting"] = _followed(rows, change["waiting"], change.get("left", []), _call)
    return cast("LiveState", after)


def _followed(
    before: list[Row], changed: list[Row], gone: list[str], name: Callable[[Row], str]
) -> list[Row]:
    rows = before.copy()
    for row in changed:
        place = bisect_left(rows, name(row), key=name)
        there = place < len(rows) and name(rows[place]) == name(row)
        rows[place : place + there] = [row]
    left = set(gone)
    return [row for row in rows if name(row) not in left] if left else rows


def _number(agent: AgentNow) -> str:
    return agent["number"]


def _call(caller: WaitingNow) -> str:
    return caller["call"]


_APART: Final = frozenset({"at", "agents", "waiting"})
_NOTHING: Final = object()
