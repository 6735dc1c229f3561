"""The gate: which numbers the hotline may dial. It is asked before a task is entered, and before each attempt. Pure.

By default only subscribers at home are called. Nothing opens the gate for a number of the hotline's own, an agent's,
an emergency number (but see `Purpose`) or one that costs a premium; an allow list opens it for all others. Caps on how
often are counted from the attempts that were made (`History`), and hold an attempt back rather than refuse it.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import TypedDict

from base.bounded import remember
from facts.dialling import HOME, NumberKind, kind_of, may_be_same
from facts.numbers import normalise
from facts.terms import CallId
from facts.times import DAY, HOUR, MINUTE, SECOND, midnight

PENDING_FOR = 10 * MINUTE
"""How long an attempt counts (microseconds) whose dialling and end were never told."""
LOOP_FOR = 5 * SECOND
"""How long after our dialling ended (microseconds) a call from that number still counts as brought about by it."""
REMEMBERED = 4096
"""The most numbers of which the last dialling is remembered, and the most attempts whose end is awaited."""


class Purpose(StrEnum):
    """Why a number is to be dialled. For `OVERFLOW`, `TRANSFER` and `PARTY` an operator has set the number itself.

    An agent may transfer a citizen to an emergency number, or bring it in (`PARTY`), if the operator has allowed it
    (R16); the queue may not.
    """

    CALLBACK = "callback"
    LOST = "lost"
    ASKED = "asked"
    OVERFLOW = "overflow"
    TRANSFER = "transfer"
    PARTY = "party"


class Why(StrEnum):
    """Why a number is not dialled; the words of `DialRefused`."""

    OWN = "own"
    AGENT = "agent"
    EMERGENCY = "emergency"
    PREMIUM = "premium"
    DENIED = "denied"
    SERVICE = "service"
    SHORT = "short"
    ABROAD = "abroad"
    UNKNOWN = "unknown"
    UNDIALLABLE = "undiallable"
    LOOP = "loop"
    NUMBER_DAY = "number_day"
    HOUR = "hour"
    BUDGET = "budget"


CAPS = frozenset({Why.NUMBER_DAY, Why.HOUR, Why.BUDGET})
"""The refusals that are about how often, and end by themselves."""


class DialledState(TypedDict):
    """What was dialled (`History`), ready for JSON. Times are microseconds.

    `placed`: attempt, number, when it was made; its end is awaited. `hour`: when the attempts of the last hour were
    made. `today`: number → attempts since `midnight`. `dialling`: attempt, number. `last`: number, when it was dialled
    last, and when that ended.
    """

    placed: list[tuple[CallId, str, int]]
    hour: list[int]
    today: dict[str, int]
    midnight: int
    dialling: list[tuple[CallId, str]]
    last: list[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The gate stays shut. `until`: when to ask again (microseconds); 0: for good."""

    why: Why
    until: int = 0

    def text(self, lang: str = "en") -> str:
        """The reason as a sentence. `lang`: zh or en."""
        zh, en = _TEXTS[self.why]
        return zh if lang == "zh" else en


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator has set. `allow` and `deny`: numbers in normal form, or prefixes that end in `*`.

    `per_hour` and `budget_day`: attempts of the whole centre in any hour, and in a day in China. `per_number_day`:
    attempts at one number in that day. 0: no cap.
    """

    region: str = HOME
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    per_hour: int = 0
    per_number_day: int = 0
    budget_day: int = 0


def may_dial(
    number: str,
    purpose: Purpose,
    policy: Policy,
    *,
    own: Iterable[str],
    agents: Container[str],
) -> Refusal | None:
    """Why this number in normal form may not be dialled, whenever it be; None when it may.

    `own`: the hotline's numbers. `agents`: the numbers of those on the roster.
    """
    why = _why(number, purpose, policy, own, agents)
    return None if why is None else Refusal(why)


def _why(
    number: str, purpose: Purpose, policy: Policy, own: Iterable[str], agents: Container[str]
) -> Why | None:
    kind = kind_of(number, policy.region)
    by_operator = purpose in (Purpose.OVERFLOW, Purpose.TRANSFER, Purpose.PARTY)
    if kind is NumberKind.UNDIALLABLE:
        return Why.UNDIALLABLE
    # An operator may send callers to another city's 12345; a caller with that number may be one of ours in disguise.
    if any(
        number == normalise(one) or (not by_operator and may_be_same(number, one)) for one in own
    ):
        return Why.OWN
    if number in agents:
        return Why.AGENT
    if kind is NumberKind.EMERGENCY and purpose not in (Purpose.TRANSFER, Purpose.PARTY):
        return Why.EMERGENCY
    if listed(number, policy.deny):
        return Why.DENIED
    if by_operator:
        return None
    if kind is NumberKind.PREMIUM:
        return Why.PREMIUM
    if kind is NumberKind.SUBSCRIBER or listed(number, policy.allow):
        return None
    return Why(kind.value)


def listed(number: str, entries: Iterable[str]) -> bool:
    """Whether one of the entries is this number, or a prefix (`+852*`, `024*`) of it."""
    national = number.removeprefix("+86")
    forms = (number,) if national == number else (number, national, f"0{national}")
    return any(
        form.startswith(entry[:-1]) if entry.endswith("*") else form == entry
        for entry in entries
        for form in forms
    )


class History:
    """The attempts that were made: today's by number, the last hour's, and those on their way. Bounded by the day's.

    An attempt counts from `place`, and for good once the citizen has been dialled (`dial`). One whose agent never
    picked up is given back by `end`. Days are China's. Yielded attempts count: their citizens' phones have rung.
    """

    def __init__(self) -> None:
        self._placed: dict[CallId, tuple[str, int]] = {}
        self._hour: deque[int] = deque()
        self._today: Counter[str] = Counter()
        self._made = 0
        self._midnight = 0
        self._dialling: OrderedDict[CallId, str] = OrderedDict()
        self._last: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def place(self, attempt: CallId, number: str, at: int) -> None:
        """An agent's phone is rung for an attempt at this number. One that was dialled already is no news."""
        if attempt not in self._dialling:
            self._placed[attempt] = (number, at)

    def dial(self, attempt: CallId, at: int) -> None:
        """The citizen is dialled. Told again, it is no news."""
        number, _ = self._placed.pop(attempt, ("", 0))
        if number:
            self.add(attempt, number, at)

    def add(self, attempt: CallId, number: str, at: int) -> None:
        """An attempt was made, perhaps before a restart."""
        self._turn(at)
        remember(self._dialling, attempt, number, REMEMBERED)
        self._hour.append(at)
        if at >= self._midnight:
            self._today[number] += 1
            self._made += 1
        remember(self._last, number, (at, 0), REMEMBERED)

    def end(self, attempt: CallId, at: int) -> bool:
        """The attempt is over. Returns whether it was none, for the citizen was not dialled: there is room again."""
        given_back = self._placed.pop(attempt, None) is not None
        if number := self._dialling.pop(attempt, ""):
            self._last[number] = (self._last[number][0], at) if number in self._last else (at, at)
        return given_back

    def brought_about(self, number: str, at: int) -> bool:
        """Whether a call that arrived from this number at that moment comes of our dialling it: it is forwarded."""
        dialled_at, ended_at = self._last.get(number, (0, 0))
        until = ended_at + LOOP_FOR if ended_at else dialled_at + PENDING_FOR
        return dialled_at > 0 and dialled_at <= at <= until

    def full(self, policy: Policy, now: int) -> Refusal | None:
        """Why nobody may be dialled at this moment."""
        if not (policy.budget_day or policy.per_hour):
            return None
        self._turn(now)
        made, pending = self._made, len(self._placed)
        if policy.budget_day and made + pending >= policy.budget_day:
            return self._until(Why.BUDGET, made >= policy.budget_day, self._midnight + DAY, now)
        made = len(self._hour)
        if policy.per_hour and made + pending >= policy.per_hour:
            # As many must leave the hour as it has too many.
            free = self._hour[made - policy.per_hour] + HOUR if made >= policy.per_hour else 0
            return self._until(Why.HOUR, made >= policy.per_hour, free, now)
        return None

    def full_for(self, number: str, policy: Policy, now: int) -> Refusal | None:
        """Why this number may not be dialled any more today."""
        if not policy.per_number_day:
            return None
        self._turn(now)
        made = self._today[number]
        pending = sum(one == number for one, _ in self._placed.values())
        if made + pending < policy.per_number_day:
            return None
        full = made >= policy.per_number_day
        return self._until(Why.NUMBER_DAY, full, self._midnight + DAY, now)

    def write_down(self) -> DialledState:
        """Everything, ready for JSON; `fill` reads it."""
        return {
            "placed": [(attempt, *of) for attempt, of in self._placed.items()],
            "hour": list(self._hour),
            "today": dict(self._today),
            "midnight": self._midnight,
            "dialling": list(self._dialling.items()),
            "last": [(number, *times) for number, times in self._last.items()],
        }

    def fill(self, state: DialledState) -> None:
        """Take what `write_down` gave."""
        self._placed.update((attempt, (number, at)) for attempt, number, at in state["placed"])
        self._hour.extend(state["hour"])
        self._today.update(state["today"])
        self._made = self._today.total()
        self._midnight = state["midnight"]
        self._dialling.update(state["dialling"])
        self._last.update((number, (at, ended)) for number, at, ended in state["last"])

    def _until(self, why: Why, full: bool, until: int, now: int) -> Refusal:
        if full:
            return Refusal(why, until)
        # What is on its way may come to nothing, and then there is room again.
        oldest = next(iter(self._placed.values()))[1]
        return Refusal(why, min(now + MINUTE, oldest + PENDING_FOR))

    def _turn(self, now: int) -> None:
        """Forget what is older than an hour, or of another day."""
        while self._hour and self._hour[0] <= now - HOUR:
            self._hour.popleft()
        if now >= self._midnight + DAY:
            self._midnight = midnight(now)
            self._today.clear()
            self._made = 0
        while self._placed:
            attempt, (_, at) = next(iter(self._placed.items()))
            if at > now - PENDING_FOR:
                break
            del self._placed[attempt]


_TEXTS: dict[Why, tuple[str, str]] = {
    Why.OWN: ("这是热线自己的号码", "this is one of the hotline's own numbers"),
    Why.AGENT: ("这是话务员的号码", "this is an agent's number"),
    Why.EMERGENCY: ("紧急号码不会自动拨打", "emergency numbers are never dialled by the hotline"),
    Why.PREMIUM: (
        "高额资费、卫星或国际网络号码不拨打",
        "premium-rate, satellite and international network numbers are never dialled",
    ),
    Why.DENIED: ("该号码在 HOTLINE_DIAL_DENY 中", "the number is in HOTLINE_DIAL_DENY"),
    Why.SERVICE: (
        "这是 400、800 一类的服务号码，HOTLINE_DIAL_ALLOW 未放行",
        "this is a service number such as 400, and HOTLINE_DIAL_ALLOW does not have it",
    ),
    Why.SHORT: (
        "短号码须列入 HOTLINE_DIAL_ALLOW 才拨打",
        "short numbers are dialled only if HOTLINE_DIAL_ALLOW has them",
    ),
    Why.ABROAD: (
        "境外号码须列入 HOTLINE_DIAL_ALLOW 才拨打",
        "numbers abroad are dialled only if HOTLINE_DIAL_ALLOW has them",
    ),
    Why.UNKNOWN: (
        "号码方案里没有这种号码，HOTLINE_DIAL_ALLOW 也未放行",
        "no numbering plan at home has such a number, and HOTLINE_DIAL_ALLOW does not have it",
    ),
    Why.UNDIALLABLE: ("这不是可拨打的号码", "this is no number that can be dialled"),
    Why.LOOP: (
        "该来电由我们自己的外呼引起（呼叫转移），不再回拨",
        "the call came of our own dialling (it is forwarded to the hotline): calling back would go in a circle",
    ),
    Why.NUMBER_DAY: (
        "该号码今天已拨满 HOTLINE_DIAL_PER_NUMBER_DAY 次",
        "the number has been dialled HOTLINE_DIAL_PER_NUMBER_DAY times today",
    ),
    Why.HOUR: (
        "最近一小时已拨满 HOTLINE_DIAL_PER_HOUR 次",
        "HOTLINE_DIAL_PER_HOUR attempts were made in the last hour",
    ),
    Why.BUDGET: (
        "今天的外呼预算 HOTLINE_DIAL_BUDGET_DAY 已用完",
        "today's budget HOTLINE_DIAL_BUDGET_DAY is used up",
    ),
}
