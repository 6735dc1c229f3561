"""Hints for whoever listens to calls: a day's, or one call's, computed from diary, ledger and what was heard.

Nothing of them is stored. A day of 20,000 calls is read page by page.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypedDict

from base.settings import Settings
from diary import reader
from facts import CallArrived, CallbackPlaced, Fact
from facts.terms import CallId
from facts.times import DAY, SECOND, local
from recorder import hints, ledger, listening
from recorder.hints import Hint, HintKind, HintRules
from recorder.voice import Voices

PAGE = 200
"""Calls that are in memory at once."""


class HintRow(TypedDict):
    """One hint, ready for JSON. It asks a person to listen; it is no score.

    `value` and `limit` in `unit` (`s` or `dB`); None if the rule has none. `at`: seconds from the recording's
    beginning, where to listen. `party`: who is too quiet or too loud, else None. `caller` is not masked here.
    """

    call: CallId
    arrived: str
    caller: str
    agent: str
    kind: str
    value: float | None
    limit: float | None
    unit: str
    at: float
    party: str | None
    text_zh: str
    text_en: str


@dataclass(slots=True)
class DayOfHints:
    """The hints of a time, by arrival. Of its `calls` with a talk, `waiting` are not heard yet, `unheard` cannot be.

    Hints about silence, talk-over and loudness of those are missing; the others are there.
    """

    hints: list[HintRow] = field(default_factory=list)
    calls: int = 0
    waiting: int = 0
    unheard: int = 0


def rules(settings: Settings) -> HintRules:
    """The limits that the centre has set; 0 is a rule that is off."""
    return HintRules(
        long_silence=settings.hint_long_silence or None,
        talk_over=settings.hint_talk_over or None,
        agent_hung_up_first=settings.hint_agent_hung_up_first,
        too_short=settings.hint_too_short or None,
        too_quiet=settings.hint_too_quiet or None,
        too_loud=settings.hint_too_loud or None,
    )


async def of_time(
    engine: AsyncEngine,
    settings: Settings,
    since: int,
    until: int,
    kinds: Sequence[HintKind] = (),
) -> DayOfHints:
    """The hints about calls with `since` < arrived ≤ `until` (microseconds); `kinds`: only these."""
    found = DayOfHints()
    async for stories in _pages(engine, since, until):
        await _add(engine, settings, stories, found)
    if kinds:
        found.hints = [one for one in found.hints if one["kind"] in kinds]
    return found


async def of_call(
    engine: AsyncEngine, settings: Settings, call: CallId, facts: Sequence[Fact]
) -> DayOfHints:
    """The hints about one call. `facts`: all of it."""
    found = DayOfHints()
    await _add(engine, settings, {call: facts}, found)
    return found


async def of_one(
    engine: AsyncEngine, settings: Settings, call: CallId, kinds: Sequence[HintKind] = ()
) -> DayOfHints | None:
    """As `of_call`, from the diary; None if it has no such call."""
    facts = (await reader.read_stories(engine, [call])).get(call)
    if facts is None:
        return None
    found = await of_call(engine, settings, call, facts)
    if kinds:
        found.hints = [one for one in found.hints if one["kind"] in kinds]
    return found


async def _pages(
    engine: AsyncEngine, since: int, until: int
) -> AsyncIterator[dict[CallId, Sequence[Fact]]]:
    page: dict[CallId, Sequence[Fact]] = {}
    while since < until:
        # A day at a time: the ids of a day's attempts are read at once.
        end = min(until, since + DAY)
        kinds = hints.KINDS | {CallbackPlaced.kind}
        async for facts in reader.read_calls(engine, since, end, kinds=kinds, attempts=True):
            call = next((call for fact in facts if (call := getattr(fact, "call", ""))), "")
            page[call] = facts
            if len(page) == PAGE:
                yield page
                page = {}
        since = end
    yield page


async def _add(
    engine: AsyncEngine,
    settings: Settings,
    stories: dict[CallId, Sequence[Fact]],
    found: DayOfHints,
) -> None:
    calls = list(stories)
    async with engine.connect() as connection:
        entries = await ledger.entries_of(connection, calls)
        heard = await listening.voices_of(connection, calls)
    limits = rules(settings)
    for call, facts in stories.items():
        if not hints.measure(facts, None, None):
            continue
        found.calls += 1
        entry = entries.get(call)
        there = entry is not None and bool(entry.path) and not entry.certificate
        voices: Voices | None = heard.get(call)
        found.waiting += there and call not in heard
        found.unheard += there and call in heard and voices is None
        # A deletion takes what was heard with it; what the facts say stays, and there is nothing to listen to.
        if not there:
            voices = None
        duration = entry.duration if entry is not None and entry.path else None
        for one in hints.hints_of(call, facts, duration, voices, limits):
            found.hints.append(_row(one, facts))


def _row(hint: Hint, facts: Sequence[Fact]) -> HintRow:
    arrived = next((fact for fact in facts if isinstance(fact, CallArrived)), None)
    levels = hint.kind in (HintKind.TOO_QUIET, HintKind.TOO_LOUD)
    return {
        "call": hint.call,
        "arrived": local(facts[0].at if arrived is None else arrived.at).isoformat(
            timespec="seconds"
        ),
        "caller": "" if arrived is None else arrived.caller,
        "agent": hint.agent,
        "kind": hint.kind.value,
        "value": None if hint.value is None else round(hint.value, 2),
        "limit": hint.limit,
        "unit": "dB" if levels else "s",
        "at": round(hint.at / SECOND, 2),
        "party": hint.party and hint.party.value,
        "text_zh": hint.text("zh"),
        "text_en": hint.text("en"),
    }
