"""How long a recording is kept, and which rule says so. Pure: rules, a recording and its holds come in.

The rules are `HOTLINE_RETENTION_DAYS` and the tables `[[rule]]` of `retention.toml`. Of all rules that fit a recording
the longest decides; the setting decides where none fits. A hold goes before every rule.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import rfc8785

from facts.terms import Outcome
from facts.times import DAY, midnight

FILE: Final = "retention.toml"
"""The file's name in the home."""
DEFAULT: Final = "default"
"""The name of the rule that `HOTLINE_RETENTION_DAYS` is."""
LEAST_DAYS: Final = 184
"""Six months: from the beginning of July to the end of December."""
MOST_DAYS: Final = 36_600
MOST_RULES: Final = 100

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_KEYS: Final = {"name", "days", "queues", "outcomes"}


class RetentionError(ValueError):
    """The rules cannot be used, or not now. Each line of the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Recordings of these queues and outcomes are kept for so many days. An empty tuple fits every call."""

    name: str
    days: int
    queues: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()

    def fits(self, queue: str, outcome: str) -> bool:
        """Whether the rule is about such a call."""
        return (not self.queues or queue in self.queues) and (
            not self.outcomes or outcome in self.outcomes
        )


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """All rules of the centre. `days`: where no rule fits."""

    days: int
    rules: tuple[RetentionRule, ...] = ()

    @property
    def least(self) -> int:
        """No recording is deleted in fewer days."""
        return min((self.days, *(rule.days for rule in self.rules)))

    @property
    def asks_for_calls(self) -> bool:
        """Whether a queue or an outcome has to be known to decide."""
        return any(rule.queues or rule.outcomes for rule in self.rules)

    @property
    def digest(self) -> str:
        """The hash of what was confirmed: of the days and of all rules, in any order."""
        ordered = sorted(self.rules, key=lambda rule: rule.name)
        rules = [
            asdict(rule)
            | {"queues": sorted(set(rule.queues)), "outcomes": sorted(set(rule.outcomes))}
            for rule in ordered
        ]
        return hashlib.sha256(rfc8785.dumps({"days": self.days, "rules": rules})).hexdigest()


@dataclass(frozen=True, slots=True)
class Decision:
    """Which rule decides for a recording, and when it may be deleted: at the end of its last day (microseconds)."""

    rule: str
    until: int


def decide(policy: RetentionPolicy, entered: int, about: tuple[str, str] | None) -> Decision:
    """Which rule decides for a recording that was entered at `entered` (microseconds).

    `about`: its queue and its outcome, each empty if it has none; None if the diary does not know the call, and then
    every rule may be about it. The longest of those that fit; of two equal ones the first.
    """
    default = RetentionRule(DEFAULT, policy.days)
    if about is None:
        fitting = [default, *policy.rules]
    else:
        fitting = [rule for rule in policy.rules if rule.fits(*about)] or [default]
    longest = max(fitting, key=lambda rule: rule.days)
    return Decision(longest.name, midnight(entered) + (longest.days + 1) * DAY)


def read(days: int, text: str, file: str = FILE) -> RetentionPolicy:
    """The rules: `days` of the setting, `text` of the file. Raises `RetentionError`."""
    problems = [f"HOTLINE_RETENTION_DAYS: {said}" for said in _of_days(days)]
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RetentionError(f"{file}: {error}") from None
    problems += [f"{file}: {name}: there is [[rule]] only" for name in content if name != "rule"]
    tables = content.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise RetentionError(f"{file}: write each rule as a table [[rule]]")
    if len(tables) > MOST_RULES:
        raise RetentionError(f"{file}: {len(tables)} rules are too many: {MOST_RULES} at most")
    for number, table in enumerate(tables, 1):
        problems += [f"{file}: rule {number}: {said}" for said in _problems(table)]
    names = [str(table.get("name")) for table in tables]
    problems += [
        f"{file}: two rules are called {name}" for name in sorted({*names}) if names.count(name) > 1
    ]
    if problems:
        raise RetentionError("\n".join(problems))
    return RetentionPolicy(days, tuple(_rule(table) for table in tables))


def _rule(table: Mapping[str, Any]) -> RetentionRule:
    queues, outcomes = (tuple(table.get(key, ())) for key in ("queues", "outcomes"))
    return RetentionRule(table["name"], table["days"], queues, outcomes)


def _problems(table: Mapping[str, Any]) -> Iterable[str]:
    for key in table:
        if key not in _KEYS:
            yield f"{key}: there is {', '.join(sorted(_KEYS))}"
    name = table.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == DEFAULT:
        yield f"name {name!r}: write small letters, digits and -, such as complaints; not {DEFAULT}"
    yield from _of_days(table.get("days"))
    for key in ("queues", "outcomes"):
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            yield f'{key}: write a list of names, such as ["complaints"]'
        elif key in table and not value:
            yield f"{key}: an empty list fits no call: leave it out to fit every one"
    outcomes = table.get("outcomes", [])
    if isinstance(outcomes, list):
        for one in outcomes:
            if isinstance(one, str) and one and one not in {*Outcome}:
                yield f"outcomes: there is no {one}: there is {', '.join(Outcome)}"


def _of_days(days: object) -> Iterable[str]:
    if not isinstance(days, int) or isinstance(days, bool):
        yield f"days {days!r}: write a number of days, such as 1096"
    elif days < LEAST_DAYS:
        yield (
            f"{days} days are too few: recordings are kept for six months at least, that is {LEAST_DAYS} days or more"
        )
    elif days > MOST_DAYS:
        yield f"{days} days are too many: {MOST_DAYS} at most"
