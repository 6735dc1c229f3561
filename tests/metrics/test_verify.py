"""`hotline metrics verify`: whatever another witness says otherwise is listed, and the status is 1."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks import tables as callbacks_tables
from acd.rules.model import Rules
from base import clock
from base.settings import Settings
from diary.tables import diary as diary_table
from facts import CallEnded, Fact, LinkLost, TalkEnded
from facts.terms import Party
from facts.times import DAY, SECOND, midnight
from metrics import rollup
from metrics import tables as metrics_tables
from metrics.live import Live
from metrics.verify import Findings, verify
from recorder import tables as recorder_tables
from tests.metrics.histories import T, answered, at, in_queue, refused
from tests.metrics.test_callback_report import write
from tests.metrics.test_callbacks import added, reached, waits, yielded

pytestmark = pytest.mark.usefixtures("ten_days_later")

FIRST, SECOND_CALL, GAVE_UP = "hotline-1.1", "hotline-1.2", "hotline-1.3"
PICKED, ENDED = 16.0, 76.001
"""When the agent answers in `answered`, and when the call ends: seconds after its arrival."""


def line(kind: str, when: float, channel: str, uniqueid: str, call: str, **more: str) -> str:
    columns = [
        *(kind, f"{at(when) / SECOND:.6f}", uniqueid, call, channel, "13812345678"),
        *(more.get("context", "inbound"), more.get("exten", "12345"), "", "", ""),
        more.get("extra", ""),
    ]
    return ",".join('"' + column.replace('"', '""') + '"' for column in columns)


def cel(
    call: str, arrived: float, *, picked: float | None = PICKED, ended: float = ENDED
) -> list[str]:
    """What Asterisk writes about a call, and about the agent's leg if they picked up, both after the arrival."""
    trunk, phone, leg = f"PJSIP/trunk-{call[-1]}", f"PJSIP/1001-{call[-1]}", f"{call}9"
    hangup = json.dumps({"hangupcause": 16, "hangupsource": trunk})
    lines = [line("CHAN_START", arrived, trunk, call, call)]
    if picked is not None:
        lines += [
            line("CHAN_START", arrived + 13, phone, leg, call, context="agents", exten="s"),
            line("ANSWER", arrived + picked, phone, leg, call, context="agents", exten="s"),
            line("HANGUP", arrived + ended, phone, leg, call, context="agents", extra=hangup),
        ]
    return [*lines, line("HANGUP", arrived + ended, trunk, call, call, extra=hangup)]


def asterisk() -> dict[str, list[str]]:
    """CEL by call, as the diary has it too: two answered calls and one that was given up."""
    return {
        FIRST: cel(FIRST, 0),
        SECOND_CALL: cel(SECOND_CALL, 10),
        GAVE_UP: cel(GAVE_UP, 20, picked=None, ended=20),
    }


@pytest.fixture
async def diary(engine: AsyncEngine, tmp_path: Path) -> AsyncEngine:
    await write(
        engine,
        tmp_path,
        answered(FIRST, 0),
        answered(SECOND_CALL, 10),
        in_queue(GAVE_UP, 20),
    )
    await rollup.bring_up_to_date(engine, clock.now())
    return engine


async def compared(
    engine: AsyncEngine, home: Path, book: dict[str, list[str]] | None = None
) -> Findings:
    settings = Settings(home=home)
    settings.cel_file.parent.mkdir(parents=True, exist_ok=True)
    book = asterisk() if book is None else book
    lines = [one for lines in book.values() for one in lines]
    settings.cel_file.write_text("".join(f"{one}\n" for one in lines))
    return await verify(engine, settings, midnight(T), midnight(T) + DAY, None)


async def test_all_witnesses_agree(diary: AsyncEngine, tmp_path: Path) -> None:
    found = await compared(diary, tmp_path)
    assert found.differences == []
    assert "CEL: 3 calls" in found.checked
    assert found.status == 0


@pytest.mark.parametrize("name", ["arrived", "answered", "ended"])
async def test_a_moment_may_differ_by_50_ms_and_no_more(
    diary: AsyncEngine, tmp_path: Path, name: str
) -> None:
    def moved(by: float) -> list[str]:
        """The second call, with this moment moved and all others where they were."""
        if name == "arrived":
            return cel(SECOND_CALL, 10 + by, picked=PICKED - by, ended=ENDED - by)
        if name == "answered":
            return cel(SECOND_CALL, 10, picked=PICKED + by)
        return cel(SECOND_CALL, 10, ended=ENDED + by)

    for by in (0.05, -0.05):
        found = await compared(diary, tmp_path, asterisk() | {SECOND_CALL: moved(by)})
        assert (found.differences, found.status) == ([], 0)
    for by in (0.052, -0.052):
        found = await compared(diary, tmp_path, asterisk() | {SECOND_CALL: moved(by)})
        [said] = found.differences
        assert said.startswith(f"{SECOND_CALL}: {name}: diary 2025-11-21 12:0")
        assert found.status == 1


async def test_a_crash_of_asterisk_is_named_once(engine: AsyncEngine, tmp_path: Path) -> None:
    calls = {f"hotline-1.{n}": float(n) for n in (1, 2, 3)}
    facts = []
    for call, arrived in calls.items():
        *before, talk, _ = answered(call, arrived)
        assert isinstance(talk, TalkEnded)
        facts += [*before, TalkEnded(at(72), call, talk.agent, Party.SYSTEM)]
        facts.append(CallEnded(at(72), call, Party.SYSTEM))
    await write(engine, tmp_path, [*facts, LinkLost(at(70))])
    await rollup.bring_up_to_date(engine, clock.now())
    book = {
        call: [one for one in cel(call, arrived) if '"HANGUP"' not in one]
        for call, arrived in calls.items()
    }
    found = await compared(engine, tmp_path, book)
    assert found.differences == []
    assert found.unchecked == [
        "CEL: Asterisk was lost at 2025-11-21 12:01:10.000 (a crash?): it wrote no end of 3 calls"
    ]
    assert found.status == 2


async def test_a_missing_end_without_a_loss_of_asterisk_is_a_difference(
    diary: AsyncEngine, tmp_path: Path
) -> None:
    endless = [one for one in cel(SECOND_CALL, 10) if '"HANGUP"' not in one]
    found = await compared(diary, tmp_path, asterisk() | {SECOND_CALL: endless})
    [said] = found.differences
    assert said.endswith("CEL never")


async def test_a_call_that_cel_does_not_know(diary: AsyncEngine, tmp_path: Path) -> None:
    found = await compared(diary, tmp_path, asterisk() | {SECOND_CALL: []})
    assert found.differences == [f"{SECOND_CALL}: CEL does not know it"]
    assert found.status == 1


async def test_a_refused_call_is_in_the_figures_and_not_in_cel(
    diary: AsyncEngine, tmp_path: Path
) -> None:
    await write(diary, tmp_path, refused("hotline-r1.7", 30))
    await rollup.bring_up_to_date(diary, clock.now())
    found = await compared(diary, tmp_path)
    assert (found.differences, found.status) == ([], 0)
    assert "roll-ups: 4 calls" in found.checked
    assert "refused before they had a channel, so not in CEL: 1 calls" in found.checked


async def test_a_call_that_the_diary_does_not_know(diary: AsyncEngine, tmp_path: Path) -> None:
    found = await compared(diary, tmp_path, asterisk() | {"x": cel("hotline-1.8", 30)})
    assert found.differences == [
        "hotline-1.8: arrived 2025-11-21 12:00:30.000, only CEL knows it",
    ]
    assert found.status == 1


async def test_an_end_that_the_diary_does_not_know(diary: AsyncEngine, tmp_path: Path) -> None:
    await write(diary, tmp_path, answered("hotline-1.8", 30)[:-1])
    found = await compared(diary, tmp_path, asterisk() | {"x": cel("hotline-1.8", 30)})
    assert found.differences == [
        "hotline-1.8: ended 2025-11-21 12:01:46.001 in CEL, but not in the diary",
    ]
    assert found.status == 1


async def test_another_outcome(diary: AsyncEngine, tmp_path: Path) -> None:
    other = {
        SECOND_CALL: cel(SECOND_CALL, 10, picked=None),
        GAVE_UP: cel(GAVE_UP, 20, picked=15, ended=20),
    }
    found = await compared(diary, tmp_path, asterisk() | other)
    assert sorted(found.differences) == [
        f"{SECOND_CALL}: outcome human, but in CEL no agent answered",
        f"{GAVE_UP}: outcome abandoned_queue, but in CEL an agent answered",
    ]
    assert found.status == 1


@pytest.mark.parametrize(("lasted", "said"), [(0.3, 0), (1.0, 0), (1.09, 0), (1.11, 1)], ids=str)
async def test_an_answer_whose_talk_was_over_at_once_is_none_in_cel_either(
    diary: AsyncEngine, tmp_path: Path, lasted: float, said: int
) -> None:
    brief = {GAVE_UP: cel(GAVE_UP, 20, picked=20 - lasted, ended=20)}
    found = await compared(diary, tmp_path, asterisk() | brief)
    assert len(found.differences) == said
    talked = {SECOND_CALL: cel(SECOND_CALL, 10, picked=ENDED - lasted)}
    found = await compared(diary, tmp_path, asterisk() | talked)
    # The diary has a long talk there: an answer at another moment, or none.
    [difference] = found.differences
    other = "answered" if lasted > 0.9 else "outcome human, but in CEL no agent answered"
    assert other in difference


async def test_the_second_agent_after_a_phone_that_dropped_the_citizen(
    diary: AsyncEngine, tmp_path: Path
) -> None:
    dropped = [
        one.replace("1001", "1002").replace(f"{SECOND_CALL}9", f"{SECOND_CALL}8")
        for one in cel(SECOND_CALL, 10, picked=PICKED - 5, ended=PICKED - 4.5)[1:-1]
    ]
    found = await compared(
        diary, tmp_path, asterisk() | {SECOND_CALL: [*dropped, *cel(SECOND_CALL, 10)]}
    )
    assert found.differences == []


@pytest.mark.parametrize(
    ("stood", "agrees"), [(3.0, True), (2.6, True), (2.4, False), (0.0, False)]
)
async def test_a_caller_who_hung_up_while_the_controller_stood_still(
    diary: AsyncEngine, tmp_path: Path, stood: float, agrees: bool
) -> None:
    """Asterisk let go of them 3 s later, when the controller did. The diary knows when the controller heard of it."""
    async with diary.begin() as connection:
        ended = (diary_table.c.call == GAVE_UP, diary_table.c.kind == CallEnded.kind)
        row = update(diary_table).where(*ended)
        await connection.execute(row.values(id=at(40 + stood) << 10))
    found = await compared(
        diary, tmp_path, asterisk() | {GAVE_UP: cel(GAVE_UP, 20, picked=None, ended=23)}
    )
    assert [one.split(": diary")[0] for one in found.differences] == (
        [] if agrees else [f"{GAVE_UP}: ended"]
    )


async def test_calls_older_than_cel_are_not_checked(diary: AsyncEngine, tmp_path: Path) -> None:
    found = await compared(diary, tmp_path, {GAVE_UP: asterisk()[GAVE_UP]})
    assert found.differences == []
    assert found.status == 2
    assert "2 calls are older" in found.unchecked[0]


# --- calls across midnight

NIGHT = (midnight(T) + DAY - at(0)) / SECOND
"""The end of the day, as seconds after `T`."""
LATE = "hotline-1.7"


async def compared_on(engine: AsyncEngine, home: Path, days: int) -> Findings:
    """The findings of a day after `T`'s, with what CEL has about the call `LATE`, 30 s before midnight."""
    settings = Settings(home=home)
    settings.cel_file.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        *(one for kept in asterisk().values() for one in kept),
        *cel(LATE, NIGHT - 30),
        *cel("hotline-1.8", NIGHT + 600),
    ]
    settings.cel_file.write_text("".join(f"{one}\n" for one in lines))
    begin = midnight(T) + days * DAY
    return await verify(engine, settings, begin, begin + DAY, None)


@pytest.fixture
async def night(diary: AsyncEngine, tmp_path: Path) -> AsyncEngine:
    """A talk of 60 s that begins before midnight, and a call ten minutes after it."""
    await write(diary, tmp_path, answered(LATE, NIGHT - 30), answered("hotline-1.8", NIGHT + 600))
    await rollup.bring_up_to_date(diary, clock.now())
    return diary


async def test_a_talk_across_midnight_belongs_to_the_day_it_began(
    night: AsyncEngine, tmp_path: Path
) -> None:
    for day, calls in ((0, 4), (1, 1)):
        found = await compared_on(night, tmp_path, day)
        assert (found.differences, found.status) == ([], 0)
        assert f"CEL: {calls} calls" in found.checked
        assert f"roll-ups: {calls} calls" in found.checked


async def test_a_recording_across_midnight_is_checked_once(
    night: AsyncEngine, tmp_path: Path
) -> None:
    row = {
        "call": LATE,
        "path": "2025/late.wav",
        "state": "finished",
        "duration": 60 * SECOND,
        "size": 1,
        "sha256": "",
        "finished_at": at(NIGHT + 60),
    }
    async with night.begin() as connection:
        await connection.execute(insert(recorder_tables.recording).values(row))
    found = await compared_on(night, tmp_path, 0)
    assert found.differences == [f"{LATE}: recording: facts none, ledger 60.000 s"]
    assert (await compared_on(night, tmp_path, 1)).differences == []


@pytest.mark.parametrize("late", [-0.01, 0.01])
async def test_two_clocks_at_midnight(diary: AsyncEngine, tmp_path: Path, late: float) -> None:
    """One witness has the call in one day, the other in the next: they differ by less than 50 ms, so they agree."""
    await write(diary, tmp_path, answered(LATE, NIGHT - late))
    await rollup.bring_up_to_date(diary, clock.now())
    for day in (0, 1):
        settings = Settings(home=tmp_path)
        settings.cel_file.parent.mkdir(parents=True, exist_ok=True)
        lines = [*(one for kept in asterisk().values() for one in kept), *cel(LATE, NIGHT + late)]
        settings.cel_file.write_text("".join(f"{one}\n" for one in lines))
        begin = midnight(T) + day * DAY
        found = await verify(diary, settings, begin, begin + DAY, None)
        assert found.differences == []


async def test_a_call_that_has_just_ended_is_compared_later(
    diary: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By CEL it ended 30.02 s ago, by the diary 29.99 s."""
    await write(diary, tmp_path, answered(LATE, 100))
    await rollup.bring_up_to_date(diary, clock.now())
    now = at(100 + ENDED + 29.99)
    monkeypatch.setattr(clock, "now", lambda: now)
    book = asterisk() | {LATE: cel(LATE, 100, ended=ENDED - 0.03)}
    found = await compared(diary, tmp_path, book)
    assert [one for one in found.differences if LATE in one] == []
    assert "CEL: 3 calls" in found.checked


# --- callbacks and waits


async def test_callbacks_are_counted_again(engine: AsyncEngine, tmp_path: Path) -> None:
    await write(
        engine,
        tmp_path,
        [added(9, -2 * 86_400, 199)],
        reached(1, 10),
        yielded(5, "hotline-1.1", task=7),
        waits("hotline-1.2", 11, 60),
    )
    await rollup.bring_up_to_date(engine, clock.now())
    found = await compared(engine, tmp_path, {})
    assert "callbacks: 3, situations of 呼入优先: 2" in found.checked
    assert not [one for one in found.differences if "CEL" not in one]
    async with engine.begin() as connection:
        # The book has lost a task, and the roll-ups who waited.
        await connection.execute(
            delete(callbacks_tables.callback).where(callbacks_tables.callback.c.id == 9)
        )
        await connection.execute(delete(metrics_tables.long_wait))
    found = await compared(engine, tmp_path, {})
    assert {
        "callbacks: M20: report 1/2, facts 1/3",
        "callbacks: M22: report 1/1, facts 1/2",
        "hotline-1.2: callback 1: answered_first at 2025-11-21 12:00:11.000, only in the facts",
    } <= {*found.differences}
    assert any("waited from" in one and "roll-ups not at all" in one for one in found.differences)
    assert found.status == 1


# --- the screens


async def test_the_screens_are_compared(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a callback that was entered before all that the controller reads when it starts, and is settled today."""
    now = at(200)
    monkeypatch.setattr(clock, "now", lambda: now)
    old = added(9, -5 * 86_400, 199)
    facts: list[Fact] = [
        *(old, *answered(FIRST), *reached(1, 60)),
        *(*yielded(20, "hotline-1.4"), *waits("hotline-1.5", 62, 100)),
    ]
    await write(engine, tmp_path, facts)
    live = Live()
    live.rule(Rules())
    for fact in facts:
        live.add(fact)
    shown = live.snapshot(now)
    assert shown["figures"]["M20"] == {"numerator": 1, "denominator": 2, "value": 0.5}
    # One yielded; of the two beside which nothing was done, one was answered within five seconds all the same.
    assert shown["figures"]["M22"]["denominator"] == 3
    assert await said(engine, tmp_path, shown) == []
    for name in ("M1", "M20", "M20_reached", "M22"):
        wrong = {**shown["figures"][name], "numerator": 77}
        figures = {**shown["figures"], name: wrong}
        [one] = await said(engine, tmp_path, {**shown, "figures": figures})
        assert one.startswith(f"live {name}: the screens show 77/")
    del shown["figures"]["M22"]
    assert await said(engine, tmp_path, shown) == [], "a controller that does not know the rules"


async def test_a_day_of_more_calls_than_are_remembered(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The screens look all the time, `metrics verify` only at the end: to both, who waited beside a callback counts."""
    monkeypatch.setattr("metrics.live._REMEMBERED", 3)
    now = at(200)
    monkeypatch.setattr(clock, "now", lambda: now)
    facts: list[Fact] = [*reached(1, 10), *waits("hotline-1.9", 11, 15)]
    for n in range(4, 8):
        facts += answered(f"hotline-1.{n}", 90 + n, talks=5)
    facts.sort(key=lambda fact: fact.at)
    await write(engine, tmp_path, facts)
    live = Live()
    live.rule(Rules())
    for fact in facts:
        live.add(fact)
        live.snapshot(fact.at)
    shown = live.snapshot(now)
    assert shown["figures"]["M22"]["denominator"] == 1
    assert await said(engine, tmp_path, shown) == []


async def said(engine: AsyncEngine, home: Path, live: Any) -> list[str]:
    """What of the live state is found to be wrong."""
    found = await verify(engine, Settings(home=home), midnight(T), at(200), live)
    return [one for one in found.differences if one.startswith("live ")]
