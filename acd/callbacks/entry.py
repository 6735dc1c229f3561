"""One callback task as the book keeps it: what may be entered, and what it becomes by the facts about it. Pure."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace

from acd.callbacks.task import AGENT_SIDE, State, Task
from acd.gate import Policy, Purpose, may_dial
from acd.rules.model import DEFAULT, Rules
from facts import (
    CallbackAdded,
    CallbackAnswered,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMerged,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackReopened,
    CallbackSpared,
    CallbackUnreached,
    CallbackYielded,
    Fact,
)
from facts.masking import mask
from facts.numbers import dialable, normalise
from facts.terms import CallId
from facts.times import SECOND

ATTEMPTS = 3
"""Attempts of a task that says nothing else."""
SPACING = 15 * 60 * SECOND
"""Microseconds between two attempts of a task that says nothing else."""
MOST_ATTEMPTS = 20
LONGEST_SPACING = 7 * 86_400 * SECOND
LONGEST_AHEAD = 366 * 86_400 * SECOND
"""No task reaches further into the future than this (microseconds)."""
LONGEST_REASON = 200
LONGEST_MATTER = 80
_LONGEST_SHORT = 6
"""Digits of a number that is nobody's, and so is not masked."""

OPEN = frozenset({State.DUE, State.DIALLING, State.TALKING})
"""The states from which a task still goes on."""

_WRITTEN = re.compile(r"\+?[0-9 ().\-]+")
_MINUTE = 60 * SECOND


class TaskError(Exception):
    """The book refuses. The message says why, and is fit to be shown as it is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for a task. `checked` makes it fit for the book. Times in microseconds UTC, 0: not given."""

    number: str
    queue: str = ""
    earliest: int = 0
    latest: int = 0
    prefers: str = ""
    reason: str = ""
    matter: str = ""
    attempts: int = ATTEMPTS
    spacing: int = SPACING
    origin: CallId = ""
    place: int = 0
    own: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the book; the columns of `acd.callbacks.tables.callback`, in which each is explained."""

    id: int
    number: str
    queue: str
    state: State
    reason: str
    matter: str
    earliest: int
    latest: int
    attempts_left: int
    attempts: int
    tries: int
    spacing: int
    prefers: str
    agent: str
    attempt: CallId
    origin: CallId
    place: int
    not_before: int
    first: bool
    yields: int
    last_failure: str
    added_at: int
    updated_at: int
    own: bool = False

    def task(self) -> Task:
        """The task as the floor holds it."""
        return Task(
            id=self.id,
            number=self.number,
            queue=self.queue,
            earliest=self.earliest,
            latest=self.latest,
            attempts_left=self.attempts_left,
            spacing=self.spacing,
            prefers=self.prefers,
            reason=self.reason,
            origin=self.origin,
            place=self.place,
            not_before=self.not_before,
            state=self.state,
            tries=self.tries,
            yields=self.yields,
            first=self.first,
            agent=self.agent if self.attempt else "",
            attempt=self.attempt,
            matter=self.matter,
            own=self.own,
        )

    def fact(self) -> CallbackAdded:
        """The fact that tells the floor, and the diary, of a new task."""
        return CallbackAdded(
            at=self.added_at,
            callback=self.id,
            number=self.number,
            queue=self.queue,
            earliest=self.earliest,
            latest=self.latest,
            attempts=self.attempts_left,
            spacing=self.spacing,
            agent=self.prefers,
            reason=self.reason,
            matter=self.matter,
            origin=self.origin,
            place=self.place,
            own=self.own,
        )


def apply(entry: Entry, fact: Fact) -> Entry:
    """What the entry is after a fact that the floor has recorded. Pure."""
    entry = replace(entry, updated_at=max(entry.updated_at, fact.at))
    match fact:
        case CallbackPlaced(_, _, call, agent):
            tries = entry.tries + 1
            return replace(entry, state=State.DIALLING, attempt=call, agent=agent, tries=tries)
        case CallbackAnswered():
            return replace(entry, state=State.TALKING, attempts=entry.attempts + 1)
        case CallbackYielded():
            return replace(entry, state=State.DUE, attempt="", yields=entry.yields + 1)
        case CallbackRaced(at) if not entry.first:
            return replace(entry, first=True, not_before=at)
        case CallbackSpared(_, _, call, agent):
            talking = replace(entry, state=State.TALKING, attempt=call, agent=agent, first=False)
            return replace(talking, attempts=entry.attempts + 1)
        case CallbackEnded(failure="withdrawn") if entry.state is State.TALKING:
            # The answer crossed our cancel: CallbackRaced follows.
            attempts = entry.attempts - 1
            return replace(
                entry, state=State.DUE, attempt="", attempts=attempts, last_failure="withdrawn"
            )
        case CallbackEnded() if entry.state is State.TALKING:
            return replace(entry, state=State.REACHED, attempt="")
        case CallbackEnded(failure=failure) if failure in AGENT_SIDE:
            return replace(entry, state=State.DUE, attempt="", last_failure=failure)
        case CallbackEnded(at, failure=failure):
            return replace(
                entry,
                state=State.DUE,
                attempt="",
                attempts=entry.attempts + 1,
                attempts_left=entry.attempts_left - 1,
                not_before=at + entry.spacing,
                first=False,
                last_failure=failure[:40],
            )
        case CallbackCancelled() if entry.state is not State.TALKING:
            return replace(entry, state=State.CANCELLED, attempt="")
        case CallbackUnreached():
            return replace(entry, state=State.UNREACHED)
        case CallbackReopened(at):
            return replace(
                entry,
                state=State.DUE,
                attempts_left=entry.attempts_left + 1,
                first=True,
                not_before=at,
            )
        case CallbackMissed():
            return replace(entry, state=State.MISSED)
    return entry


KINDS = frozenset(
    kind.kind
    for kind in (
        CallbackAdded,
        CallbackMerged,
        CallbackPlaced,
        CallbackDialling,
        CallbackAnswered,
        CallbackEnded,
        CallbackYielded,
        CallbackRaced,
        CallbackReopened,
        CallbackSpared,
        CallbackCancelled,
        CallbackUnreached,
        CallbackMissed,
    )
)
"""The facts that are about one task, by their names in the diary: each has `callback`."""


def checked(
    wanted: Wanted, rules: Rules, agents: Collection[str], now: int, policy: Policy | None = None
) -> Wanted:
    """The request with its number in normal form and with all that was not said. Raises `TaskError`."""
    queue = wanted.queue or DEFAULT
    if queue not in rules.queues:
        known = ", ".join(sorted(rules.queues))
        raise TaskError(f"there is no queue {queue[:32]!r}: there is {known}")
    if wanted.prefers and wanted.prefers not in agents:
        raise TaskError(
            f"there is no agent {wanted.prefers[:20]!r}: `hotline agent list` shows those there are"
        )
    if not 1 <= wanted.attempts <= MOST_ATTEMPTS:
        raise TaskError(f"{wanted.attempts} attempts: give 1 to {MOST_ATTEMPTS}")
    if not 0 <= wanted.spacing <= LONGEST_SPACING:
        raise TaskError(
            f"the time between attempts: give 0 to {LONGEST_SPACING // _MINUTE} minutes"
        )
    # A time that is told in minutes may lie up to one back, and mean now.
    if wanted.earliest and wanted.earliest <= now - _MINUTE:
        raise TaskError("the earliest time is past: leave it out to have it called at once")
    earliest = max(wanted.earliest, now)
    if wanted.latest and wanted.latest <= now:
        raise TaskError("the latest time is past: nobody could be called in time any more")
    if wanted.latest and wanted.latest <= earliest:
        raise TaskError("the latest time must be after the earliest")
    latest = wanted.latest or earliest + round(rules.queue(queue).call_back_within * SECOND)
    if latest > now + LONGEST_AHEAD:
        raise TaskError("the latest time is more than a year ahead: mind the year and the offset")
    number = checked_number(wanted.number)
    policy = policy or Policy()
    refusal = may_dial(number, Purpose.CALLBACK, policy, own=rules.numbers, agents=agents)
    if refusal is not None:
        shown = number if len(number) <= _LONGEST_SHORT else mask(number)
        raise TaskError(f"{shown} is not called: {refusal.text()}")
    return replace(
        wanted,
        number=number,
        queue=queue,
        earliest=earliest,
        latest=latest,
        reason=_checked_text(wanted.reason, "reason", LONGEST_REASON),
        matter=_checked_text(wanted.matter, "matter", LONGEST_MATTER),
    )


def checked_number(text: str) -> str:
    """The normal form of a number that a person typed. Raises `TaskError` for one that cannot be dialled."""
    plain = unicodedata.normalize("NFKC", text).strip()
    number = normalise(plain) if _WRITTEN.fullmatch(plain) else ""
    if not dialable(number):
        shown = mask(plain) if sum(map(str.isdigit, plain)) > 6 else repr(plain[:20])
        raise TaskError(
            f"{shown} is not a telephone number: write 3 to 15 digits, such as 13812345678, "
            "02423456789 or +85212345678"
        )
    return number


def _checked_text(text: str, what: str, longest: int) -> str:
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    if len(text) > longest:
        raise TaskError(f"the {what} has {len(text)} characters: at most {longest} are allowed")
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs"}:
            raise TaskError(f"the {what} has the control character U+{ord(character):04X} in it")
    return text
