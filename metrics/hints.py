"""Hints for whoever listens to calls: a day's, or one call's, computed from diary, ledger and what was heard.

Hints by voice are not stored; those of transcripts (`speech`) are, and stand among them. A day of 20,000 calls is read
page by page, and a reader who wants a part of it (`limit`) has that part in bounded time.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, TypeAlias

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
from speech import shelf
from speech.hints import WordHint, WordHintKind

PAGE: Final = 200
"""Calls that are in memory at once."""
MOST_CALLS: Final = 2000
"""Calls that are looked at for one part of a day, however few hints are found in them."""

AnyKind: TypeAlias = HintKind | WordHintKind


class HintRow(TypedDict):
    """One hint, ready for JSON. It asks a person to listen; it is no score.

    `value` and `limit` in `unit`: `s`, `dB`, or `/min` (characters a minute); None if the rule has none. `at`: seconds
    from the recording's beginning, where to listen; `recorded`: there is one. `party`: who is too quiet or too loud,
    else None. `caller` is not masked here.
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
    recorded: bool
    party: str | None
    text_zh: str
    text_en: str


@dataclass(frozen=True, slots=True)
class HintFilter:
    """Which hints somebody wants: of these kinds (none: all), of one agent (empty: all).

    `words`: also those of transcripts.
    """

    kinds: Collection[AnyKind] = ()
    agent: str = ""
    words: bool = False

    def takes(self, row: HintRow) -> bool:
        """Whether it is one of them."""
        if self.agent and row["agent"] != self.agent:
            return False
        return not self.kinds or row["kind"] in self.kinds


EVERY: Final = HintFilter(words=True)


@dataclass(slots=True)
class DayOfHints:
    """The hints of a time, by arrival. Of its `calls` with a talk, `waiting` are not heard yet, `unheard` cannot be.

    Hints about silence, talk-over and loudness of those are missing; the others are there. `after`: the rest of the
    time is that of calls that arrived after it (microseconds); None: there is no more.
    """

    hints: list[HintRow] = field(default_factory=list)
    calls: int = 0
    waiting: int = 0
    unheard: int = 0
    after: int | None = None


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
    wanted: HintFilter = EVERY,
    limit: int | None = None,
) -> DayOfHints:
    """The hints about calls with `since` < arrived ≤ `until` (microseconds).

    `limit`: stop when there are so many, or when `MOST_CALLS` were looked at; `after` says where to go on.
    """
    found = DayOfHints()
    looked = 0
    async with aclosing(_pages(engine, since, until)) as pages:
        async for stories, after in pages:
            await _add(engine, settings, stories, found, wanted)
            looked += len(stories)
            if limit is not None and (len(found.hints) >= limit or looked >= MOST_CALLS):
                found.after = after
                break
    return found


async def of_call(
    engine: AsyncEngine,
    settings: Settings,
    call: CallId,
    facts: Sequence[Fact],
    wanted: HintFilter = EVERY,
) -> DayOfHints:
    """The hints about one call. `facts`: all of it."""
    return await of_stories(engine, settings, {call: facts}, wanted)


async def of_stories(
    engine: AsyncEngine,
    settings: Settings,
    stories: Mapping[CallId, Sequence[Fact]],
    wanted: HintFilter = EVERY,
) -> DayOfHints:
    """The hints about these calls (at most `PAGE` of them), of which all facts are there."""
    found = DayOfHints()
    await _add(engine, settings, stories, found, wanted)
    return found


async def of_one(
    engine: AsyncEngine, settings: Settings, call: CallId, wanted: HintFilter = EVERY
) -> DayOfHints | None:
    """As `of_call`, from the diary; None if it has no such call."""
    facts = (await reader.read_stories(engine, [call])).get(call)
    return None if facts is None else await of_call(engine, settings, call, facts, wanted)


_Stories: TypeAlias = dict[CallId, Sequence[Fact]]


async def _pages(
    engine: AsyncEngine, since: int, until: int
) -> AsyncGenerator[tuple[_Stories, int | None], None]:
    """Some calls at a time, and the arrival of the last of them; None with the last calls.

    Calls that arrive in the same microsecond are never parted: the next page begins after it.
    """
    page: _Stories = {}
    last = 0
    while since < until:
        # A day at a time: the ids of a day's attempts are read at once.
        end = min(until, since + DAY)
        kinds = hints.KINDS | {CallbackPlaced.kind}
        async with aclosing(
            reader.read_calls(engine, since, end, kinds=kinds, attempts=True)
        ) as calls:
            async for facts in calls:
                arrived = next(
                    fact.at for fact in facts if isinstance(fact, CallArrived | CallbackPlaced)
                )
                if len(page) >= PAGE and arrived > last:
                    yield page, last
                    page = {}
                last = arrived
                call = next((call for fact in facts if (call := getattr(fact, "call", ""))), "")
                page[call] = facts
        since = end
    yield page, None


async def _add(
    engine: AsyncEngine,
    settings: Settings,
    stories: Mapping[CallId, Sequence[Fact]],
    found: DayOfHints,
    wanted: HintFilter,
) -> None:
    calls = list(stories)
    async with engine.connect() as connection:
        entries = await ledger.entries_of(connection, calls)
        heard = await listening.voices_of(connection, calls)
        said = await shelf.hints_in(connection, calls) if wanted.words else {}
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
        by_rule = hints.hints_of(call, facts, duration, voices, limits)
        rows = [_row(one, facts, recorded=there) for one in by_rule]
        if there:
            rows += [_row_of_words(call, one, facts) for one in said.get(call, ())]
        found.hints += sorted(filter(wanted.takes, rows), key=_place)


def _place(row: HintRow) -> tuple[float, str]:
    return row["at"], row["kind"]


def _row(hint: Hint, facts: Sequence[Fact], *, recorded: bool) -> HintRow:
    levels = hint.kind in (HintKind.TOO_QUIET, HintKind.TOO_LOUD)
    return {
        **_about(hint.call, facts),
        "agent": hint.agent,
        "kind": hint.kind.value,
        "value": None if hint.value is None else round(hint.value, 2),
        "limit": hint.limit,
        "unit": "dB" if levels else "s",
        "at": round(hint.at / SECOND, 2),
        "recorded": recorded,
        "party": hint.party and hint.party.value,
        "text_zh": hint.text("zh"),
        "text_en": hint.text("en"),
    }


def _row_of_words(call: CallId, hint: WordHint, facts: Sequence[Fact]) -> HintRow:
    return {
        **_about(call, facts),
        "agent": hint.agent,
        "kind": hint.kind.value,
        "value": round(hint.rate) or None,
        "limit": None,
        "unit": "/min",
        "at": round(hint.begin / SECOND, 2),
        "recorded": True,
        "party": None,
        "text_zh": hint.text("zh"),
        "text_en": hint.text("en"),
    }


class _About(TypedDict):
    call: CallId
    arrived: str
    caller: str


def _about(call: CallId, facts: Sequence[Fact]) -> _About:
    arrived = next((fact for fact in facts if isinstance(fact, CallArrived)), None)
    at = facts[0].at if arrived is None else arrived.at
    return {
        "call": call,
        "arrived": local(at).isoformat(timespec="seconds"),
        "caller": "" if arrived is None else arrived.caller,
    }
