"""`hotline metrics verify`: a day's figures counted again from the facts, and compared with every other witness.

Roll-ups must be what the facts give, and so must what a report says of callbacks (M20, M22). The live figures of a
running controller must be what a fresh fold of the same facts gives. Asterisk's own record (CEL) must tell of the same
calls: arrived, answered and ended within 50 ms, and whether a person answered. Of the calls that broke off with
Asterisk it tells no end; that is said once. The recordings' ledger must hold what the facts say.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules import book as rulebook
from acd.rules.model import Queue
from base import clock
from base.settings import Settings
from diary import reader
from facts import CallEnded, ControllerStarted, LinkLost
from facts.live import LiveState
from facts.offers import NO_TALK
from facts.terms import CallId, Outcome, Party
from facts.times import DAY, SECOND, day_of, local
from metrics import rollup
from metrics.callbacks import Wait
from metrics.fold import KINDS, CallRecord, Item, record_of
from metrics.live import WARM_UP, Live
from metrics.reports import sla as reports
from metrics.rollup import Folded, Gathered
from metrics.sums import ALL, DAYS, HOURS
from metrics.window import Tally, recorded_whole
from recorder import tables
from telephony import cel, cel_file

NEAR = SECOND // 20
"""Microseconds by which two witnesses may differ about one moment."""

STOOD_STILL = 15 * SECOND
"""Microseconds: `hotline up` has ended a controller that stood still for longer."""

AWAKE = SECOND // 2
"""Microseconds within which one that stood still has let go of everybody."""

SETTLED = 30 * SECOND
"""Microseconds: calls are compared with CEL and the ledger this long after their end. Both are written a bit later."""

_PAGE = 500


@dataclass(slots=True)
class Findings:
    """`differences`: one sentence each. `unchecked`: what could not be compared, and why. `checked`: what agreed."""

    differences: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """0 when all agree, 1 with differences, 2 when something could not be checked."""
        return 1 if self.differences else 2 if self.unchecked else 0


async def verify(
    engine: AsyncEngine,
    settings: Settings,
    since: int,
    until: int,
    live: LiveState | None,
    tell: Callable[[int, int], object] = max,
) -> Findings:
    """Compare the figures of (since, until]; `live` is what a running controller shows, or None.

    `tell` is told how many minutes of facts have been folded, and of how many: most of the time goes there.
    """
    found = Findings()
    known = _Known(clock.now() - SETTLED)
    folded = await rollup.fold_stretch(
        engine,
        since,
        until,
        before=reports.LONGEST_CALL,
        each=partial(_know, known, since, until),
        tell=tell,
    )
    await _beside(engine, since, until, known)
    await _rollups(engine, since, until, folded, found)
    await _callbacks(engine, since, until, [*folded.waits_before, *folded.waits], found)
    await _live(engine, settings, until, live, found)
    await _cel(engine, settings, since, until, known, found)
    await _ledger(engine, known.calls, found)
    return found


# --- roll-ups


async def _rollups(
    engine: AsyncEngine, since: int, until: int, folded: Folded, found: Findings
) -> None:
    now = clock.now()
    before = len(found.differences)
    # Which of them a report reads depends on where its stretch begins and ends.
    for coarsest in (DAYS, HOURS):
        read = await rollup.gather(
            engine, since, until, ALL, hours=True, agents=True, now=now, coarsest=coarsest
        )
        told = _compare(read, folded.gathered)
        found.differences += [one for one in told if one not in found.differences]
    present = await rollup.attendance(engine, since, until, now=now)
    again = await rollup.attendance(engine, since, until, now=now, written=False)
    for agent in sorted(present.keys() | again.keys()):
        found.differences += _counts(
            f"attendance of agent {agent}", present.get(agent), again.get(agent)
        )
    async for end, rolling in rollup.minutes(engine, since, until, ALL):
        one, other = rolling.metric(end), folded.rolling.metric(end)
        if one != other:
            found.differences.append(f"M1r at {_time(end)}: roll-ups {one}, facts {other}")
    found.differences += await _waits(engine, since, until, folded.waits)
    if len(found.differences) == before:
        found.checked.append(f"roll-ups: {folded.gathered.total.counted} calls")


async def _waits(engine: AsyncEngine, since: int, until: int, known: Iterable[Wait]) -> list[str]:
    """The waits (M22): where the roll-ups and the facts differ, one sentence each."""
    read = {(one.call, one.begin): one.end async for one in rollup.waits(engine, since, until)}
    folded = {(one.call, one.begin): one.end for one in known}
    return [
        f"{call}: waited from {_time(begin)}: roll-ups {_until(read, call, begin)}, "
        f"facts {_until(folded, call, begin)}"
        for call, begin in sorted(read.keys() | folded.keys())
        if _until(read, call, begin) != _until(folded, call, begin)
    ]


def _until(waits: Mapping[tuple[str, int], int | None], call: str, begin: int) -> str:
    if (call, begin) not in waits:
        return "not at all"
    end = waits[call, begin]
    return "until now" if end is None else f"until {_time(end)}"


def _compare(read: Gathered, folded: Gathered) -> Iterator[str]:
    yield from _counts("all calls", read.total, folded.total)
    for key in sorted(read.by_queue.keys() | folded.by_queue.keys()):
        name = f"queue {key[0] or '-'}, number {key[1] or '-'}"
        yield from _counts(name, read.by_queue.get(key), folded.by_queue.get(key))
    for agent in sorted(read.agents.keys() | folded.agents.keys()):
        yield from _counts(f"agent {agent}", read.agents.get(agent), folded.agents.get(agent))
    for begin in sorted(read.hours.keys() | folded.hours.keys()):
        yield from _counts(f"hour {_time(begin)}", read.hours.get(begin), folded.hours.get(begin))


def _counts(name: str, read: Tally | None, folded: Tally | None) -> Iterator[str]:
    one, other = (tally.counts if tally else {} for tally in (read, folded))
    for count in sorted(one.keys() | other.keys()):
        if count[1:] in _MINUTES:
            continue  # of slots only; M1r is compared as a whole
        if one.get(count, 0) != other.get(count, 0):
            yield f"{name}: {count}: roll-ups {one.get(count, 0)}, facts {other.get(count, 0)}"


_MINUTES = frozenset("01234")


# --- callbacks


async def _callbacks(
    engine: AsyncEngine, since: int, until: int, waits: Sequence[Wait], found: Findings
) -> None:
    """M20 and M22, as a report gives them, and from every fact that there is about callbacks and waits."""
    before = len(found.differences)
    read = await reports.callbacks(engine, since, until)
    folded = await reports.callbacks(engine, since, until, waits=waits)
    for name, metric in folded.metrics.items():
        if read.metrics[name] != metric:
            found.differences.append(
                f"callbacks: {name}: report {_plain(read.metrics[name].as_json())}, "
                f"facts {_plain(metric.as_json())}"
            )
    for name, one, other in (
        ("open", read.open, folded.open),
        ("missed", read.missed, folded.missed),
    ):
        if one != other:
            found.differences.append(f"callbacks: {name}: report {one}, facts {other}")
    for situation in sorted({*read.inbound_first} ^ {*folded.inbound_first}):
        witness = "report" if situation in read.inbound_first else "facts"
        found.differences.append(
            f"{situation.inbound}: callback {situation.callback}: {situation.done.value} at "
            f"{_time(situation.at)}, only in the {witness}"
        )
    if folded and len(found.differences) == before:
        found.checked.append(
            f"callbacks: {folded.metrics['M20'].denominator}, "
            f"situations of 呼入优先: {len(folded.inbound_first)}"
        )


# --- live figures


async def _live(
    engine: AsyncEngine,
    settings: Settings,
    until: int,
    live: LiveState | None,
    found: Findings,
) -> None:
    now = clock.now()
    if until <= day_of(now):
        return  # the screens show today
    if live is None:
        found.unchecked.append("live figures: no controller runs, or Redis is away")
        return
    at = int(live["at"])
    await asyncio.sleep(
        1
    )  # the diary is written in batches: by then it holds what the controller knew
    again = Live(settings.short_abandon)
    again.allow(await rollup.breaks(engine))
    again.rule(await rulebook.load(engine, Queue()))
    for fact in await rollup.state_at(engine, at - WARM_UP):
        again.add(fact)
    async for fact in reader.read(engine, at - WARM_UP, at + 1):
        again.add(fact)
    shown = again.snapshot(at)
    before = len(found.differences)
    for name, value in shown["figures"].items():
        # Recordings reach the controller some seconds after the diary, and M10 runs with the clock.
        if name in ("M10", "M23"):
            continue
        other = live["figures"].get(name)
        if name == "M22" and other is None:
            continue  # this controller does not show it
        if _plain(other) != _plain(value):
            found.differences.append(
                f"live {name}: the screens show {_plain(other)}, the facts give {_plain(value)}"
            )
    if live["today"]["outcomes"] != shown["today"]["outcomes"]:
        found.differences.append(
            f"live outcomes: the screens show {live['today']['outcomes']}, "
            f"the facts give {shown['today']['outcomes']}"
        )
    if len(found.differences) == before:
        found.checked.append("live figures")


def _plain(metric: Any) -> str:
    return f"{metric['numerator']:g}/{metric['denominator']:g}" if metric else "nothing"


# --- call by call


@dataclass(slots=True)
class _Known:
    """What the diary says of a day's calls: those that arrived in it, whenever they ended.

    `calls`: ended before `settled` (microseconds), so they are compared. `others`: ended later than that, or arrived so
    close to the day's edge that CEL may see them on this side of it. `going_on`: no end is known. `refused`: how many
    had no channel, so that CEL cannot know them.
    """

    settled: int
    calls: dict[CallId, CallRecord] = field(default_factory=dict)
    others: set[CallId] = field(default_factory=set)
    going_on: set[CallId] = field(default_factory=set)
    refused: int = 0


def _know(known: _Known, since: int, until: int, item: Item) -> None:
    """Take a call: those that arrived in (since, until], so a talk across midnight belongs to the day it began on."""
    if not isinstance(item, CallRecord) or not since < item.arrived <= until:
        return
    if item.outcome is Outcome.NO_CAPACITY:
        known.refused += 1
    elif item.ended is None:
        known.going_on.add(item.id)
    elif item.ended > known.settled:
        known.others.add(item.id)
    else:
        known.calls[item.id] = item


async def _beside(engine: AsyncEngine, since: int, until: int, known: _Known) -> None:
    """Take the calls that CEL may see on this side of the day's edges."""
    for begin, end in ((since - NEAR, since), (until, until + NEAR)):
        async for facts in reader.read_calls(engine, begin, end, kinds=KINDS):
            record = record_of(facts)
            if record is not None and not since < record.arrived <= until:
                known.others.add(record.id)


async def _cel(
    engine: AsyncEngine,
    settings: Settings,
    since: int,
    until: int,
    known: _Known,
    found: Findings,
) -> None:
    if not settings.cel_file.exists():
        found.unchecked.append(f"CEL: there is no {settings.cel_file}")
        return
    try:
        reading = await asyncio.to_thread(cel_file.read_since, settings.cel_file, since)
    except OSError as error:
        found.unchecked.append(f"CEL: {error}")
        return
    calls = known.calls
    book = await rulebook.read(engine)
    numbers = {*settings.numbers, *book.numbers, *(one.number for one in calls.values())}
    seen = cel.seen(reading.events, numbers)
    first = reading.events[0].at if reading.events else until
    before = len(found.differences)
    compared = 0
    last = max((record.ended or 0 for record in calls.values()), default=0)
    losses = await _losses(engine, since, last + 1)
    broken_off: dict[int, int] = {}
    for call, record in calls.items():
        other = seen.get(call)
        if other is None:
            if record.arrived > first + NEAR:
                found.differences.append(f"{call}: CEL does not know it")
            continue
        compared += 1
        if record.hung_up_by is Party.CALLER and other.ended > (record.ended or 0) + NEAR:
            # Asterisk lets go of a caller who has hung up only when the controller does, which may have stood still.
            ended = record.ended or 0
            heard = (await reader.heard_at(engine, call, CallEnded.kind)) or 0
            if other.ended <= heard + AWAKE and heard <= ended + STOOD_STILL:
                other = replace(other, ended=ended)
        if lost_at := _broken_off(record, other, losses):
            broken_off[lost_at] = broken_off.get(lost_at, 0) + 1
        found.differences += _compare_with_cel(record, other, broken_off=lost_at > 0)
    for call, one in seen.items():
        ended = bool(one.ended) and one.ended < known.settled
        if call in calls or call in known.others:
            continue
        if ended and since < one.arrived <= until:
            found.differences.append(
                f"{call}: ended {_time(one.ended)} in CEL, but not in the diary"
                if call in known.going_on
                else f"{call}: arrived {_time(one.arrived)}, only CEL knows it"
            )
    found.unchecked += [
        f"CEL: Asterisk was lost at {_time(at)} (a crash?): it wrote no end of {number} calls"
        for at, number in sorted(broken_off.items())
    ]
    missing = sum(
        call not in seen and record.arrived <= first + NEAR for call, record in calls.items()
    )
    if missing and first > since + DAY // 24:
        found.unchecked.append(
            f"CEL: {settings.cel_file} begins at {_time(first)}: {missing} calls are older"
        )
    if len(found.differences) == before:
        found.checked.append(f"CEL: {compared} calls")
    if known.refused:
        found.checked.append(
            f"refused before they had a channel, so not in CEL: {known.refused} calls"
        )


async def _losses(engine: AsyncEngine, since: int, until: int) -> list[int]:
    """When the controller lost Asterisk, or came back from being away itself, before `until`."""
    kinds = {LinkLost.kind, ControllerStarted.kind}
    return [fact.at async for fact in reader.read_kinds(engine, kinds, since, until)]


def _broken_off(record: CallRecord, seen: cel.Seen, losses: Iterable[int]) -> int:
    """When Asterisk was lost during this call, so that it could not write its end; 0 if it was not."""
    if seen.ended or record.ended is None or record.hung_up_by is not Party.SYSTEM:
        return 0
    return max((at for at in losses if record.arrived <= at <= record.ended), default=0)


def _compare_with_cel(record: CallRecord, seen: cel.Seen, *, broken_off: bool) -> Iterator[str]:
    human = record.outcome is Outcome.HUMAN
    answered = record.answered or 0 if human else 0
    first, maybe = first_talk(seen.answers)
    for name, here, there in (
        ("arrived", record.arrived, {seen.arrived}),
        ("answered", answered, {first, *maybe}),
        ("ended", record.ended or 0, {seen.ended}),
    ):
        if name == "answered" and not (answered and (first or maybe)):
            continue  # the outcome tells of it
        if name == "ended" and broken_off:
            continue
        nearest = min(there, key=lambda at: abs(here - at))
        if abs(here - nearest) > NEAR:
            yield (
                f"{record.id}: {name}: diary {_time(here)}, "
                f"CEL {_time(nearest) if nearest else 'never'}"
            )
    fits = bool(first or maybe) if human else not first
    if not fits and record.outcome is not Outcome.HUMAN_OVERFLOW:
        yield (
            f"{record.id}: outcome {record.outcome and record.outcome.value}, but in CEL "
            f"{'an agent answered' if first else 'no agent answered'}"
        )


def first_talk(answers: Iterable[cel.Answer]) -> tuple[int, list[int]]:
    """When the first talk began in CEL, 0 if there was none; and the answers before it that may be talks or not.

    An answer whose talk is over within `NO_TALK` is none. Two witnesses may differ by `NEAR` about each end.
    """
    maybe: list[int] = []
    for at, lasted in answers:
        if lasted is None or lasted > NO_TALK + 2 * NEAR:
            return at, maybe
        if lasted > NO_TALK - 2 * NEAR:
            maybe.append(at)
    return 0, maybe


async def _ledger(engine: AsyncEngine, calls: Mapping[CallId, CallRecord], found: Findings) -> None:
    row = tables.recording.c
    lengths: dict[CallId, int] = {}
    ids = list(calls)
    async with engine.connect() as connection:
        for start in range(0, len(ids), _PAGE):
            question = select(row.call, row.duration, row.path).where(
                row.call.in_(ids[start : start + _PAGE])
            )
            for one in await connection.execute(question):
                if one.path:
                    lengths[one.call] = one.duration
    before = len(found.differences)
    for call, record in calls.items():
        entered = lengths.get(call)
        # Of a whole recording of a talk there must be a fact.
        in_ledger = replace(record, recorded=entered)
        whole = record.outcome is Outcome.HUMAN and recorded_whole(in_ledger)
        if record.recorded != entered and (record.recorded is not None or whole):
            found.differences.append(
                f"{call}: recording: facts {_seconds(record.recorded)}, ledger {_seconds(entered)}"
            )
    if len(found.differences) == before:
        found.checked.append(f"recordings: {len(lengths)}")


def _seconds(length: int | None) -> str:
    return "none" if length is None else f"{length / SECOND:.3f} s"


def _time(at: int) -> str:
    return f"{local(at):%Y-%m-%d %H:%M:%S.%f}"[:-3]
