"""What the telephones saw, beside what the centre says: every disagreement is one sentence with a call's id.

A crash of Asterisk loses what Asterisk alone knew. What that excuses is listed apart, and so are moments that two
witnesses tell a little differently on a busy machine.
"""

import asyncio
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks import book
from acd.callbacks.entry import KINDS
from acd.callbacks.task import State
from base import clock
from diary import reader
from facts import (
    AgentNotResponding,
    CallbackAnswered,
    CallbackRaced,
    CallbackSpared,
    Fact,
    RecordingMissing,
)
from facts.terms import Outcome, Party
from facts.times import SECOND
from metrics import callbacks
from metrics.fold import CallRecord, record_of
from metrics.verify import SETTLED
from metrics.window import recorded_whole
from tests.live.gateway import GatewayCall
from tests.soak.faults import ANNOUNCED, Ground, Receiver
from tests.soak.people import Plan

if TYPE_CHECKING:
    from tests.soak.soak import Soak

NEAR = 1.0
"""Seconds by which a telephone and the centre may differ about one moment, on a busy machine."""
SLOW = 0.5
"""Seconds: `metrics verify` tells of 50 ms already, which programs beside this one may cost."""
SHORT = 1.0
"""Seconds: an answer whose talk ends sooner is none, unless the caller ended it."""


@dataclass
class Struck:
    """One fault. Times of `time.time()`."""

    name: str
    began: float
    ended: float = 0.0
    what: str = ""
    failed: str = ""


@dataclass(frozen=True)
class Usage:
    """A program at one moment: megabytes of memory, open files."""

    at: float
    pid: int
    memory: int
    files: int


@dataclass(frozen=True)
class Look:
    """Where in the diary to look about a disagreement: facts with one of these words, between two moments (seconds)."""

    words: tuple[str, ...]
    first: float
    last: float


@dataclass
class Verdict:
    """`disagreements`: one sentence each; `excused`: the same, but a crash explains it; `notes`: numbers.

    `looks`: for some disagreements, by their sentence, where the diary tells of them; `told`: what it tells.
    """

    disagreements: list[str] = field(default_factory=list)
    looks: dict[str, Look] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    excused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    struck: list[Struck] = field(default_factory=list)
    began: float = 0.0

    def text(self) -> str:
        """All of it, for a reader."""
        lines = ["what struck when:"]
        lines += [
            f"  {one.began - self.began:7.1f} s  {one.name}: {one.failed or one.what}"
            for one in self.struck
        ]
        lines += ["", *self.notes]
        lines += ["", f"excused by a crash of Asterisk, or by a busy machine: {len(self.excused)}"]
        lines += [f"  {one}" for one in self.excused]
        lines += ["", f"disagreements: {len(self.disagreements)}"]
        for one in self.disagreements:
            lines += [f"  {one}", *(f"      {fact}" for fact in self.told.get(one, ()))]
        return "\n".join(lines)


async def judge(
    soak: "Soak", engine: AsyncEngine, ground: Ground, good: Receiver, quiet: str
) -> Verdict:
    """Compare everything."""
    found = Verdict(struck=soak.struck)
    plans = [plan for plan in ground.town.plans.values() if plan.leg is not None]
    found.began = min(plan.leg.began_at for plan in plans if plan.leg)
    if quiet:
        found.disagreements.append(f"it does not become quiet: {quiet}")
    found.disagreements += [f"{one.name}: {one.failed}" for one in soak.struck if one.failed]
    await asyncio.sleep(SETTLED / SECOND + 2)

    stories = {}
    async for facts in reader.read_calls(engine, 0, 1 << 62):
        stories[facts[0].call] = facts  # type: ignore[union-attr]
    records = {call: record for call, facts in stories.items() if (record := record_of(facts))}
    _Calls(found, ground, plans, records, stories).compare()
    await _callbacks(engine, ground, found)
    await _metrics(soak, found)
    await _webhooks(good, records, found)
    _logs(soak, found)
    _usage(soak, found)
    await _clashes(engine, ground, found)
    await _explain(engine, found)
    outcomes = Counter(str(record.outcome) for record in records.values() if not record.origin)
    found.notes.append(f"calls: {len(plans)} made, {sum(outcomes.values())} rows: {dict(outcomes)}")
    shapes = Counter(plan.shape for plan in plans)
    found.notes.append(f"shapes: {dict(shapes)}")
    found.notes.append(
        f"faults: {len(soak.struck)}: {dict(Counter(one.name for one in soak.struck))}"
    )
    return found


class _Calls:
    """Call by call."""

    def __init__(
        self,
        found: Verdict,
        ground: Ground,
        plans: list[Plan],
        records: dict[str, CallRecord],
        stories: dict[str, Any],
    ) -> None:
        self.found, self.ground, self.plans = found, ground, plans
        self.records, self.stories = records, stories

    def compare(self) -> None:
        """Every citizen's call beside its row, and every row beside a citizen's call."""
        rows = defaultdict(list)
        for record in self.records.values():
            if not record.origin:
                rows[record.caller].append(record)
        for plan in self.plans:
            self._one(plan, rows.pop(plan.normal, []))
        if silent := [plan.caller for plan in self.plans if plan.leg and plan.leg.unanswered]:
            self.found.notes.append(
                f"BYE that Asterisk never answered: {len(silent)}: {silent[:5]}"
            )
        for caller, left in rows.items():
            self._say(left[0], f"a row for {caller}, who did not call")

    def _one(self, plan: Plan, rows: list[CallRecord]) -> None:
        leg = plan.leg
        assert leg is not None
        if not rows:
            if leg.answered_at:
                crash = self._crash(leg.answered_at - 2, leg.answered_at + 2)
                self._tell(f"{plan.caller} ({plan.shape}): answered, but has no row", crash)
            return
        if len(rows) > 1:
            self._say(rows[0], f"{len(rows)} rows for one call of {plan.caller}")
        record = rows[0]
        for sentence in self._differences(plan, record):
            ended = leg.ended_at or time.time()
            crash = self._crash(leg.began_at - 1, ended + 3)
            died = any(talk.died for talk in plan.talks)
            whole = (
                f"{record.id} {plan.caller} ({plan.shape}{', phone died' if died else ''}): "
                f"{sentence}{self._during(leg.began_at, ended)}"
            )
            self._tell(whole, crash)
            seen = ", ".join(
                f"{talk.agent} {talk.leg.answered_at - leg.began_at:.1f}"
                f" to {talk.leg.ended_at - leg.began_at:.1f} s"
                for talk in plan.talks
            )
            self.found.told[whole] = [
                f"seen: {seen}",
                *(repr(fact) for fact in self.stories[record.id]),
            ]

    def _differences(self, plan: Plan, record: CallRecord) -> Iterator[str]:
        leg = plan.leg
        assert leg is not None
        if record.outcome is None or record.ended is None:
            yield "it is pending"
            return
        if leg.reached_at and abs(record.arrived / SECOND - leg.reached_at) > NEAR:
            yield f"arrived {record.arrived / SECOND - leg.reached_at:+.1f} s from its INVITE"
        if leg.answered_at and leg.how in ("here", "there"):
            late = record.ended / SECOND - leg.ended_at
            if abs(late) > NEAR:
                yield f"ended {late:+.1f} s from its BYE"
            here = leg.how == "here"
            if here != (record.hung_up_by is Party.CALLER) and not self._crossed(plan):
                yield f"hung up {leg.how}, but the row says {record.hung_up_by}"
        yield from self._talks(plan, record)

    def _talks(self, plan: Plan, record: CallRecord) -> Iterator[str]:
        leg = plan.leg
        assert leg is not None
        # An agent's phone may hear of the citizen's end late.
        last = leg.ended_at or time.time()
        long = [
            talk
            for talk in plan.talks
            if min(talk.over_at, last) - talk.leg.answered_at > SHORT + 0.2 and not talk.dropped
        ]
        human = record.outcome in (Outcome.HUMAN, Outcome.HUMAN_OVERFLOW)
        if long and not human:
            yield f"talked {long[0].seconds:.1f} s with {long[0].agent}, but is {record.outcome}"
        if human and not plan.talks and plan.shape != "attended transfer":
            yield "human, but no agent's phone saw a talk"
        missing = {talk.agent for talk in long} - set(record.agents)
        if human and missing:
            yield f"talked with {', '.join(missing)}, but the row has {record.agents}"
        if human and record.outcome is Outcome.HUMAN:
            yield from self._sound(plan, record)

    def _sound(self, plan: Plan, record: CallRecord) -> Iterator[str]:
        whole = recorded_whole(record)
        named = any(isinstance(fact, RecordingMissing) for fact in self.stories[record.id])
        assert plan.leg is not None
        if not whole and not named:
            recorded = "none" if record.recorded is None else f"{record.recorded / SECOND:.1f} s"
            yield f"a talk of {record.talk / SECOND:.1f} s, recorded {recorded}, and nobody says so"

    def _crossed(self, plan: Plan) -> bool:
        """Both sides hung up within a moment, so either may be right."""
        leg = plan.leg
        assert leg is not None
        return any(
            abs(talk.leg.ended_at - leg.ended_at) < 0.3 and talk.leg.how == "here"
            for talk in plan.talks
        )

    def _crash(self, first: float, last: float) -> bool:
        return any(first <= at <= last for at in self.ground.crashes)

    def _during(self, first: float, last: float) -> str:
        names = [
            f"{one.name} at {one.began - first:+.1f} s"
            for one in self.found.struck
            if one.began < last + 1 and (one.ended or last) > first - 1
        ]
        return f" [{last - first:.1f} s; {'; '.join(names)}]" if names else ""

    def _say(self, record: CallRecord, sentence: str) -> None:
        self._tell(f"{record.id}: {sentence}", False)

    def _tell(self, sentence: str, excused: bool) -> None:
        (self.found.excused if excused else self.found.disagreements).append(sentence)


async def _callbacks(engine: AsyncEngine, ground: Ground, found: Verdict) -> None:
    """Whoever picked up and was connected is known as reached, once."""
    numbers = {entry.id: entry.number for entry in await book.find_all(engine, tuple(State))}
    since = int(found.began - 60) * SECOND
    facts = [fact async for fact in reader.read_kinds(engine, KINDS, since, clock.now())]
    calls = ground.town.gateway.calls
    answers = answers_of(facts, numbers)
    for number, what in pick_ups(calls, answers).items():
        near = [call.answered_at for call in ground.town.gateway.of(number[3:])]
        crash = any(abs(at - crash) < 5 for at in near for crash in ground.crashes)
        moments = ", ".join(f"{at - found.began:.1f} s" for at in near if at)
        sentence = f"callback to {number}: {what} ({moments})"
        (found.excused if crash else found.disagreements).append(sentence)
        words = tuple(f"callback={one}," for one, its in numbers.items() if its == number)
        found.looks[sentence] = Look(words, found.began, time.time())
    found.disagreements += [f"callbacks: {one}" for one in told_twice(facts)]
    found.notes.append(
        f"callbacks: {len(calls)} dialled, {sum(map(_talked, calls))} picked up, "
        f"{sum(answers.values())} answers in the diary"
    )


def answers_of(facts: Iterable[Fact], numbers: Mapping[int, str]) -> Counter[str]:
    """How often the diary has each number as answered. By M20 a race is none (`metrics.callbacks`), a spared one is."""
    tasks: dict[int, callbacks.TaskHistory] = {}
    for fact in facts:
        callbacks.fold_task(tasks, fact)
    answers: Counter[str] = Counter()
    for record in callbacks.records(tasks):
        talks = sum(attempt.answered is not None for attempt in record.attempts)
        answers[numbers.get(record.id, "?")] += talks
    return answers


def pick_ups(calls: Iterable[GatewayCall], answers: Mapping[str, int]) -> dict[str, str]:
    """What is wrong with a number's answers, by number: each talk is one, and there are no more than pick-ups."""
    talks: Counter[str] = Counter()
    picked_up: Counter[str] = Counter()
    for call in calls:
        number = f"+86{call.number}"
        talks[number] += _talked(call)
        picked_up[number] += call.answered_at > 0
    return {
        number: f"picked up {picked_up[number]} times, talked {talks[number]} times, "
        f"the diary has {known} answers"
        for number in sorted(picked_up.keys() | answers.keys())
        if not talks[number] <= (known := answers.get(number, 0)) <= picked_up[number]
    }


def _talked(call: GatewayCall) -> bool:
    """Whether the citizen was connected. A 200 that our CANCEL met is a race (R7), however late the BYE comes."""
    connected = call.acked_at and call.answered_at and not call.crossed_at
    return bool(connected) and call.ended_at - call.answered_at > 0.2


def told_twice(facts: Iterable[Fact]) -> list[str]:
    """Answers and races that the diary has more than once: of an attempt, each is one fact."""
    once = (CallbackAnswered, CallbackRaced, CallbackSpared)
    counts = Counter((fact.kind, fact.call) for fact in facts if isinstance(fact, once))
    return [f"{call}: {count} times {kind}" for (kind, call), count in counts.items() if count > 1]


async def _metrics(soak: "Soak", found: Verdict) -> None:
    said = await soak.centre.cli("metrics", "verify", status=None)
    lines = said.splitlines()
    found.notes += [f"metrics verify: {line}" for line in lines if "agrees" in line]
    for line in lines:
        if "agrees" in line or not line.strip():
            continue
        excused = "Asterisk was lost at" in line or _slow(line)
        (found.excused if excused else found.disagreements).append(f"metrics verify: {line}")
    report = json.loads(
        await soak.centre.cli("report", "sla", "--format", "json", status=None) or "{}"
    )
    if report.get("pending"):
        found.disagreements.append(f"report sla: {report['pending']} calls are pending")


def _slow(line: str) -> bool:
    """Whether two witnesses differ by less than `SLOW` about one moment: AMI is late on a busy machine."""
    found = re.search(r"diary \S+ ([\d:.]+), CEL \S+ ([\d:.]+)$", line)
    if found is None:
        return False
    one, other = (datetime.fromisoformat(f"2000-01-01T{said}") for said in found.groups())
    return abs((one - other).total_seconds()) < SLOW


async def _webhooks(good: Receiver, records: dict[str, CallRecord], found: Verdict) -> None:
    """The good receiver has the end of every call, whatever the other one did."""
    missing: set[str] = set()
    for _ in range(60):
        text = "\n".join(good.taken)
        told = set(re.findall(r'"call":\s*"([^"]+)"', text))
        missing = {call for call, record in records.items() if record.ended} - told
        if not missing:
            break
        await asyncio.sleep(1)
    if missing:
        found.disagreements.append(
            f"webhook: {len(missing)} ends of calls were not delivered: {sorted(missing)[:5]}"
        )
    found.notes.append(f"webhook: {len(good.taken)} deliveries taken")


def _logs(soak: "Soak", found: Verdict) -> None:
    counts: Counter[str] = Counter()
    for line in soak.centre.log_lines():
        event = re.search(r'"event":"([^"]+)"', line)
        if event is not None and event[1] in ANNOUNCED:
            continue
        if '"level":"error"' in line or "Traceback" in line or '"exception"' in line:
            counts[f"{line.split(':', 1)[0]}: {event[1] if event else line[:200]}"] += 1
            if counts.total() <= 20:
                found.disagreements.append(f"log: {line[:700]}")
    if counts:
        found.notes.append(f"log lines that nobody expects: {dict(counts)}")


def _usage(soak: "Soak", found: Verdict) -> None:
    for name, all_of_it in soak.usage.items():
        lives: dict[int, list[Usage]] = defaultdict(list)
        for usage in all_of_it:
            lives[usage.pid].append(usage)
        last = max(lives.values(), key=lambda life: life[-1].at)
        longest = max(lives.values(), key=lambda life: life[-1].at - life[0].at)
        most = max(all_of_it, key=lambda usage: usage.memory)
        found.notes.append(
            f"{name}: {len(lives)} lives; memory at most {most.memory} MB, at the end {last[-1].memory} MB; "
            f"open files at most {max(usage.files for usage in all_of_it)}, at the end {last[-1].files}; "
            f"longest life {longest[-1].at - longest[0].at:.0f} s: {longest[0].memory} → {longest[-1].memory} MB"
        )
        if last[-1].files > MOST_FILES:
            found.disagreements.append(f"{name}: {last[-1].files} open files at the end")
        if last[-1].memory > MOST_MEMORY:
            found.disagreements.append(f"{name}: {last[-1].memory} MB at the end")


MOST_FILES = 100
MOST_MEMORY = 400
"""Megabytes."""


async def _clashes(engine: AsyncEngine, ground: Ground, found: Verdict) -> None:
    """Whoever rang at a phone that was in use. One that was so in passing refuses, and nobody is benched for it."""
    benched = defaultdict(list)
    since = int(found.began - 60) * SECOND
    async for fact in reader.read_kinds(engine, {AgentNotResponding.kind}, since, clock.now()):
        if isinstance(fact, AgentNotResponding):
            benched[fact.agent].append(fact.at / SECOND)
    for agent in ground.town.agents:
        for clash in agent.clashes + agent.line.clashes:
            at = clash.at
            plan = ground.town.plans.get(clash.caller[-11:])
            passing = clash.passing and not any(
                abs(one - at) < 0.2 for one in benched[agent.number]
            )
            excused = passing or any(abs(at - crash) < 6 for crash in ground.crashes)
            sentence = (
                f"{agent.number} was rung at {at - found.began:.1f} s for {clash.caller} "
                f"({plan.shape if plan else 'not a caller'}) while the phone was in use: {clash.busy}"
            )
            (found.excused if excused else found.disagreements).append(sentence)
            found.looks[sentence] = Look((f"'{agent.number}'",), at - 12, at + 4)


MOST_LOOKS, MOST_FACTS = 12, 60
"""How many disagreements are explained, and by how many facts each."""


async def _explain(engine: AsyncEngine, found: Verdict) -> None:
    """What the diary tells of the first disagreements."""
    for sentence in found.disagreements[:MOST_LOOKS]:
        if (look := found.looks.get(sentence)) is None:
            continue
        told = found.told.setdefault(sentence, [])
        facts = reader.read(engine, round(look.first) * SECOND, round(look.last) * SECOND)
        async for fact in facts:
            text = repr(fact)
            if any(word in text for word in look.words) and len(told) < MOST_FACTS:
                told.append(f"{fact.at / SECOND - found.began:8.3f} s  {text}")
