"""Every figure is the same whichever way it is reached: fact by fact, from scratch, or from roll-ups.

The histories are those of the real floor (`tests.acd.world`), told in any order, with doubles, cut off anywhere.
"""

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules.model import DEFAULT, Member, Rules
from diary import tables as diary_tables
from facts import (
    ATTENDANCE,
    AgentOut,
    AgentPaused,
    AgentReady,
    CallArrived,
    CallbackYielded,
    CallEnded,
    Fact,
    OfferMade,
    OfferRinging,
    PhoneReachable,
    PhoneUnreachable,
    RecordingFinished,
)
from facts.times import DAY, MINUTE, SECOND, day_of
from metrics import callbacks, rollup
from metrics import tables as metrics_tables
from metrics.fold import CallerStage, CallHistory, CallRecord, fold_call, item_of, record_of
from metrics.live import Live, LiveFigures
from metrics.people import Attendance, Crowd, attendance, m10
from metrics.rollup import Gathered
from metrics.sums import DAYS, HOUR, HOURS, SLOT, SLOTS, Only, Span, begin_of, end_of, spans
from metrics.window import LEFT_OUT, Metric, Tally
from tests.acd.world import World
from tests.metrics.histories import write

pytestmark = pytest.mark.usefixtures("ten_days_later")

ALLOWED = {"用餐": 1}


def history(seed: int, steps: int = 80) -> list[Fact]:
    """What the floor writes into the diary, and the recorder."""
    world = World(seed)
    world.run(steps)
    facts = [fact for told in world.diary.values() for fact in told]
    rng = random.Random(seed)
    for call in sorted(call for call in world.diary if call):
        if rng.random() < 0.7:
            length = rng.choice([0, 5, 60, 3600]) * SECOND
            facts.append(RecordingFinished(world.now + SECOND, call, length, ""))
    return sorted(facts, key=lambda fact: fact.at)


def from_scratch(facts: list[Fact], now: int) -> dict[str, object]:
    """Today's figures, folded without any state."""
    calls: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if call := getattr(fact, "call", ""):
            calls[call].append(fact)
    items = [item for told in calls.values() if (item := item_of(told)) is not None]
    ended = [one for one in items if not isinstance(one, CallRecord) or one.outcome is not None]
    today = day_of(now)
    tally = Tally(one for one in ended if one.arrived > today and one.ended is not None)
    metrics = tally.metrics()
    present = attendance(facts, today, now, ALLOWED).values()
    metrics["M10"] = m10(
        tally.busy(),
        sum(one.counts.get("signed_in", 0) for one in present),
        sum(one.counts.get("approved", 0) for one in present),
    )
    tasks: dict[int, callbacks.TaskHistory] = {}
    for fact in facts:
        callbacks.fold_task(tasks, fact)
    metrics |= callbacks.m20(callbacks.records(tasks), today, now)
    rolling = Tally(
        one
        for one in ended
        if isinstance(one, CallRecord) and not one.origin and one.arrived > now - DAY
    ).metrics()["M1"]
    return {
        **{name: metric.as_json() for name, metric in metrics.items()},
        "M1r": (rolling.numerator, rolling.denominator),
    }


def open_calls(shown: LiveFigures) -> dict[str, object]:
    """What a snapshot says of calls that go on."""
    return {
        "stages": shown["stages"],
        "waiting_since": shown["waiting_since"],
        "pending": shown["today"]["pending"],
        "sla15": shown["sla15"],
        "sla60": shown["sla60"],
    }


def who_is_on_the_phone(facts: list[Fact], now: int) -> dict[str, object]:
    """The same, from the records of all calls."""
    calls: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if call := getattr(fact, "call", ""):
            calls[call].append(fact)
    records = [one for told in calls.values() if (one := record_of(told)) is not None]
    on = [one for one in records if one.ended is None]
    stages = dict.fromkeys(("greeting", "waiting", "ringing", "talking"), 0)
    waiting = []
    for one in on:
        if one.talking:
            stages["talking"] += 1
        elif one.answered is None and one.reached_queue:
            stages["ringing" if one.ringing else "waiting"] += 1
            if one.queued is not None:
                waiting.append(one.queued)
        elif one.answered is None:
            stages["greeting"] += 1

    def in_time(minutes: int) -> float | None:
        last = now // MINUTE
        good = count = 0
        for one in records:
            if one.origin:
                continue  # this citizen has not called
            minute = one.arrived // MINUTE
            if not (last - minutes < minute <= last and one.reached_queue):
                continue
            waits = (one.answered or now) - one.queued if one.queued is not None else None
            fine = one.answered is not None and waits is not None and waits <= 15 * SECOND
            if one.ended is None and (waits is None or not (one.answered or waits > 15 * SECOND)):
                continue
            good += fine
            count += one.outcome not in LEFT_OUT
        return good / count if count else None

    return {
        "stages": stages,
        "waiting_since": min(waiting, default=None),
        "pending": sum(one.arrived > day_of(now) and not one.origin for one in on),
        "sla15": in_time(15),
        "sla60": in_time(60),
    }


def test_open_calls_in_short_are_as_in_full() -> None:
    stages: set[CallerStage] = set()
    for seed in range(60):
        rng = random.Random(seed)
        facts = history(seed)
        if seed % 2:
            rng.shuffle(facts)
        histories: dict[str, CallHistory] = {}
        known: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            one = fold_call(histories, fact)
            if one is None:
                continue
            known[fact.call].append(fact)  # type: ignore[union-attr]
            item = item_of(known[fact.call])  # type: ignore[union-attr]
            assert one.begun == (item is not None)
            if rng.random() < 0.5:
                assert one.record() == item
            if one.ended:
                continue
            sketch = one.sketch()
            if not isinstance(item, CallRecord):
                assert sketch is None
                continue
            assert sketch is not None
            assert sketch[:4] == (item.arrived, item.queued, item.answered, item.reached_queue)
            assert (sketch.stage is CallerStage.TALKING) == item.talking
            assert (sketch.stage is CallerStage.RINGING) <= item.ringing
            stages.add(sketch.stage)
    assert stages == set(CallerStage)


def test_follow_up_fact_by_fact_is_as_from_scratch() -> None:
    """M20, of any stretch at any point, also where tasks are forgotten that were settled long ago."""
    eligible = reached = 0
    for seed in range(60):
        rng = random.Random(seed)
        facts = [fact for fact in history(seed) if type(fact) in callbacks.FACTS]
        if seed % 2:
            rng.shuffle(facts)
        figures = callbacks.FollowUp()
        tasks: dict[int, callbacks.TaskHistory] = {}
        for fact in facts:
            figures.add(fact)
            callbacks.fold_task(tasks, fact)
            since = fact.at - rng.randint(0, 3600) * SECOND
            until = fact.at + rng.randint(0, 3600) * SECOND
            wanted = callbacks.m20(callbacks.records(tasks), since, until)
            assert figures.m20(since, until) == wanted
            eligible += wanted["M20"].denominator
            reached += int(wanted["M20_reached"].numerator)
        if facts:
            now = max(fact.at for fact in facts)
            figures.forget(now - 600 * SECOND)
            wanted = callbacks.m20(callbacks.records(tasks), now - 600 * SECOND, now + DAY)
            assert figures.m20(now - 600 * SECOND, now + DAY) == wanted
            figures.forget(now + 300 * DAY)
            assert figures.m20(0, now + 400 * DAY) == callbacks.m20([], 0, 0)
    assert eligible
    assert reached


@pytest.mark.parametrize("remembered", [4096, 2])
def test_inbound_first_fact_by_fact_is_as_from_scratch(
    monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    """M22 at any point, from facts that come late or twice, under rules that change, with situations of every kind.

    Also where calls are soon forgotten, as long as their facts come in time.
    """
    monkeypatch.setattr("metrics.live._REMEMBERED", remembered)
    yields = lasting = 0
    for seed in range(130):
        rng = random.Random(seed)
        # The floor complies; a diary that misses some of its facts does not.
        facts = [fact for fact in history(seed) if not (type(fact) in GAPS and rng.random() < 0.3)]
        if seed % 2 and remembered > 2:
            # Of one moment, in the diary's order: that is how the floor decided.
            late = {fact.at: rng.random() * 60 * SECOND for fact in facts}
            facts.sort(key=lambda fact: fact.at + late[fact.at])
        live = Live()
        rules = Rules()
        live.rule(rules)
        now, known = 0, list[Fact]()
        for n, fact in enumerate(facts):
            for told in (fact, *rng.sample(known, min(len(known), rng.choice([0, 0, 1])))):
                live.add(told)
            known.append(fact)
            now = max(now, fact.at + rng.choice([0, 0, 90]) * SECOND)
            if n % 97 == 50:
                rules = rng.choice([Rules(), Rules(members=(Member("1001", DEFAULT),))])
                live.rule(rules)
            for wait in (0, 0.5, 20) if n % 5 == 0 or n == len(facts) - 1 else ():
                now += round(wait * SECOND)  # who waits goes on waiting, though no fact tells it
                wanted = inbound_first(known, rules, now)
                assert live.snapshot(now)["figures"]["M22"] == wanted.as_json()
        yields += int(wanted.numerator)
        lasting += wanted.denominator - int(wanted.numerator)
    assert yields > 20
    assert lasting > 20


@pytest.mark.parametrize("remembered", [1, 12, 4096])
@given(seed=st.integers(0, 10_000), looks=st.sampled_from([0.0, 0.02, 0.5]), part=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_inbound_first_does_not_depend_on_who_looks_and_when(
    remembered: int, seed: int, looks: float, part: float
) -> None:
    """M22 of a controller whose screens look now and then, of one that has just started, and of `metrics verify`.

    The diary is longer than what they remember, and facts are late by less than that.
    """
    rng = random.Random(seed)
    facts = [fact for fact in history(seed) if not (type(fact) in GAPS and rng.random() < 0.4)]
    moments = sorted({fact.at for fact in facts})
    most = min(remembered // 8, 40)
    late = {at: n + rng.uniform(0, most) for n, at in enumerate(moments)}
    told = sorted(facts, key=lambda fact: late[fact.at])
    now = max(fact.at for fact in facts) + rng.choice([0, 1, 90]) * SECOND
    wanted = inbound_first(told, Rules(), now).as_json()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metrics.live._REMEMBERED", remembered)
        running, started, again = Live(), Live(), Live()
        for live in (running, started, again):
            live.rule(Rules())
        for fact in told:
            running.add(fact)
            if rng.random() < looks:
                running.snapshot(fact.at)
        # What happens now comes first, and the two days before are read meanwhile.
        recent = moments[len(moments) - round(part * most) :]
        for fact in [*(fact for fact in told if fact.at in recent), *facts]:
            started.add(fact)
        for fact in facts:
            again.add(fact)
        shown = [live.snapshot(now) for live in (running, started, again)]
    for one in shown:
        assert one["figures"]["M22"] == wanted
        assert one["today"] == shown[0]["today"]
        for name, figure in one["figures"].items():
            # A recording may be entered when its call is forgotten. The lowest minute is up to a minute old.
            if name not in ("M23", "M1r"):
                assert (name, figure) == (name, shown[0]["figures"][name])


GAPS = (OfferMade, OfferRinging, CallbackYielded, CallEnded)


def inbound_first(facts: list[Fact], rules: Rules, now: int) -> Metric:
    """Today's M22, folded without any state."""
    tasks: dict[int, callbacks.TaskHistory] = {}
    calls: dict[str, dict[Fact, None]] = defaultdict(dict)
    for fact in facts:
        callbacks.fold_task(tasks, fact)
        if call := getattr(fact, "call", ""):
            calls[call][fact] = None
    found = callbacks.InboundFirst(callbacks.records(tasks), rules, now)
    for told in calls.values():
        record = record_of(told)
        if record is not None and record.reached_queue:
            found.add(told)
    today = day_of(now)
    return callbacks.m22(one for one in found.situations() if today < one.at <= now)


def test_all_agents_together_are_the_sum_of_each() -> None:
    allowed = {"meal": 1, "course": 0}
    for seed in range(200):
        rng = random.Random(seed)
        crowd, since = Crowd(), rng.randint(0, 300) * SECOND
        agents = {name: Attendance(since, allowed) for name in ("1", "2", "3")}
        at = 0
        for _ in range(30):
            at += rng.randint(0, 40) * SECOND
            name = rng.choice(list(agents))
            reason = rng.choice(["meal", "meal", "course", "none"])
            fact = rng.choice(
                list[Fact](
                    [
                        *(AgentReady(at, name), AgentPaused(at, name, reason), AgentOut(at, name)),
                        *(PhoneReachable(at, name), PhoneReachable(at, name)),
                        PhoneUnreachable(at, name),
                    ]
                )
            )
            agents[name].add(fact)
            crowd.put(name, agents[name])
            for now in (at, at + rng.randint(0, 100) * SECOND, at - rng.randint(0, 9) * SECOND):
                ahead = [one.ahead(now) for one in agents.values()]
                assert crowd.at(now) == (
                    sum(one.signed_in for one in agents.values()) + sum(one[0] for one in ahead),
                    sum(one.approved for one in agents.values()) + sum(one[1] for one in ahead),
                )


@given(
    st.integers(0, 10_000),
    st.integers(0, 100),
    st.sampled_from([0, 0, 3600, 43_200]),
    st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_fact_by_fact_is_as_from_scratch(seed: int, percent: int, later: int, order: int) -> None:
    chance = random.Random(order)
    facts = history(seed)
    known = facts[: len(facts) * percent // 100 + 1]
    now = (known[-1].at + later * SECOND) // MINUTE * MINUTE + MINUTE
    told = known + chance.choices(known, k=len(known) // 3)
    if chance.random() < 0.7:
        chance.shuffle(told)
    live = Live()
    live.allow(ALLOWED)
    for n, fact in enumerate(told):
        live.add(fact)
        if n % 50 == 0:
            live.snapshot(fact.at)
        if n % 7 == 0:
            assert open_calls(live.snapshot(fact.at)) == who_is_on_the_phone(told[: n + 1], fact.at)
    shown = live.snapshot(now)["figures"]
    m1r = shown.pop("M1r")
    wanted = from_scratch(known, now)
    assert (m1r["numerator"], m1r["denominator"]) == wanted.pop("M1r")
    assert shown == wanted


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 17, 20])
async def test_roll_ups_are_as_from_scratch(engine: AsyncEngine, tmp_path: Path, seed: int) -> None:
    """Facts come late, and out of order, between two runs of the roll-up, and each time all agrees."""
    rng = random.Random(seed)
    facts = history(seed, steps=80)
    if seed % 2:
        rng.shuffle(facts)
    now = max(fact.at for fact in facts) + rng.choice([2 * MINUTE, DAY, 10 * DAY])
    since = min(fact.at for fact in facts) - 1
    step = len(facts) // 4 + 1
    for start in range(0, len(facts), step):
        await write(engine, tmp_path, facts[start : start + step])
        if rng.random() < 0.8:
            await rollup.bring_up_to_date(engine, now - rng.choice([0, 0, 10 * MINUTE]))
        await agrees(engine, since, now, now)
    await rollup.bring_up_to_date(engine, now)
    await agrees(engine, since, now, now)
    for _ in range(4):
        begin, end = sorted(rng.randint(since, now) for _ in range(2))
        await agrees(engine, begin, end, now, Only(queue=rng.choice(["", "tax"])))
    await add_up(engine)
    assert not [one for one in await left(engine) if one.startswith("@")]


@pytest.mark.parametrize(
    "kind", sorted(ATTENDANCE, key=lambda kind: str(getattr(kind, "kind", "")))
)
async def test_a_late_fact_about_an_agent_counts_at_once_and_after_the_next_roll_up(
    engine: AsyncEngine, tmp_path: Path, kind: Any
) -> None:
    begin = day_of(1_763_700_000 * SECOND)
    until = begin + 3 * DAY
    now = until + HOUR
    first = begin + 6 * HOUR
    # The agent's telephone and the state they asked for: what the late fact tells is new.
    both: tuple[Fact, ...] = (PhoneReachable(first, "1001"), AgentReady(first, "1001"))
    known = [fact for fact in both if type(fact) is not kind]
    await write(engine, tmp_path, known)
    await rollup.bring_up_to_date(engine, now)
    before = await rollup.attendance(engine, begin, until, now=now)
    more = ("",) if kind is AgentPaused else ()
    late = kind(first + HOUR, "1001", *more)
    await write(engine, tmp_path, [late])
    for _ in ("marked", "written down"):
        read = await rollup.attendance(engine, begin, until, now=now)
        assert read != before
        assert read == await rollup.attendance(engine, begin, until, now=now, written=False)
        await rollup.bring_up_to_date(engine, now)
    assert await left(engine) == []


async def agrees(
    engine: AsyncEngine, since: int, until: int, now: int, only: Only | None = None
) -> None:
    only = only or Only()
    read = await rollup.gather(engine, since, until, only, hours=True, agents=True, now=now)
    folded = await rollup.gather(
        engine, since, until, only, hours=True, agents=True, now=now, written=False
    )
    assert plain(read) == plain(folded)
    days = await rollup.gather(engine, since, until, only, agents=True, now=now)
    assert plain(days)["total"] == plain(folded)["total"]
    present = await rollup.attendance(engine, since, until, now=now)
    assert present == await rollup.attendance(engine, since, until, now=now, written=False)
    curves = []
    for written in (True, False):
        source = rollup.minutes(engine, since, until, only, written=written)
        curves.append([(end, rolling.metric(end)) async for end, rolling in source])
    assert curves[0] == curves[1]
    waits = [
        sorted(
            [
                (one.call, one.begin, one.end)
                async for one in rollup.waits(engine, since, until, written=written)
            ]
        )
        for written in (True, False)
    ]
    assert waits[0] == waits[1]


def plain(found: Gathered) -> dict[str, object]:
    def without_minutes(tally: Tally) -> dict[str, int]:
        return {name: n for name, n in tally.counts.items() if name[1:] not in "01234"}

    return {
        "total": without_minutes(found.total),
        "queues": {k: v for k, one in found.by_queue.items() if (v := without_minutes(one))},
        "hours": {k: v for k, one in found.hours.items() if (v := without_minutes(one))},
        "agents": {k: one.counts for k, one in found.agents.items() if one.counts},
    }


async def add_up(engine: AsyncEngine) -> None:
    """Days are the sums of their hours."""
    row = metrics_tables.rollup.c
    async with engine.connect() as connection:
        rows = (await connection.execute(select(metrics_tables.rollup))).all()
    sums: dict[tuple[int, str, str, str], Tally] = {}
    for one in rows:
        if one.level == HOURS:
            key = (begin_of(DAYS, one.begin + 1), one.queue, one.number, one.agent)
            sums.setdefault(key, Tally()).merge(Tally(counts=orjson.loads(one.counts)))
    days = {
        (one.begin, one.queue, one.number, one.agent): Tally(counts=orjson.loads(one.counts))
        for one in rows
        if one.level == DAYS
    }
    assert days == sums
    assert row.level is not None


async def left(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list((await connection.execute(select(diary_tables.changed.c.call))).scalars())


async def test_a_damaged_roll_up_is_not_taken_for_the_truth(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    facts = history(3)
    now = max(fact.at for fact in facts) + 2 * MINUTE
    await write(engine, tmp_path, facts)
    await rollup.bring_up_to_date(engine, now)
    async with engine.begin() as connection:
        await connection.execute(
            delete(metrics_tables.rollup).where(metrics_tables.rollup.c.level == SLOTS)
        )
    begin = begin_of(SLOTS, facts[0].at) + SLOT
    with pytest.raises(AssertionError):
        await agrees(engine, begin - 1, now, now)


async def test_two_writers_at_once_write_each_call_once(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    import asyncio

    facts = history(4)
    now = max(fact.at for fact in facts) + DAY
    await write(engine, tmp_path, facts)
    await asyncio.gather(*(rollup.bring_up_to_date(engine, now) for _ in range(3)))
    await rollup.bring_up_to_date(engine, now)
    await agrees(engine, facts[0].at - 1, now, now)
    assert any(isinstance(fact, CallArrived) for fact in facts)


@example(0, DAY, {12})  # the first slot of an hour
@example(0, DAY, {11})  # the last one
@given(st.integers(0, 5 * DAY), st.integers(0, 5 * DAY), st.sets(st.integers(0, 1500), max_size=9))
def test_spans_cover_the_stretch_once(since: int, length: int, slots: set[int]) -> None:
    dirty = {slot * SLOT for slot in slots}
    found = spans(since, since + length, dirty, coarsest=DAYS)
    assert [one.begin for one in found] == [since, *[one.end for one in found]][: len(found)]
    assert sum(one.end - one.begin for one in found) == length
    for one in found:
        if one.level:
            assert not any(one.begin <= slot < one.end for slot in dirty)
            assert begin_of(one.level, one.begin + 1) == one.begin
            assert one.end == end_of(one.level, begin_of(one.level, one.end))
    assert Span(0, 0, 0) not in found
