"""The SLA report and the list of calls, from a diary in a real database."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules import tables as rules_tables
from diary.writer import Diary
from facts import (
    CallArrived,
    CallEnded,
    CallQueued,
    CallReturned,
    CallSilent,
    ControllerStarted,
    ControllerStopped,
    Fact,
    LinkLost,
    LinkRestored,
)
from facts.terms import Outcome, Party, Release
from facts.times import DAY, SECOND
from metrics import calls
from metrics.reports import sla as reports
from metrics.reports.sla import SlaReport, Words, parse_time
from metrics.sums import Only
from metrics.window import Metric
from recorder import tables as recorder_tables
from tests.metrics.histories import (
    T,
    answered,
    at,
    in_greeting,
    in_queue,
    overflowed,
    released,
    while_ringing,
)

pytestmark = pytest.mark.usefixtures("ten_days_later")

HOUR = 3600


@pytest.fixture
async def write(engine: AsyncEngine, tmp_path: Path) -> Any:
    async def write(*histories: list[Fact]) -> None:
        book = Diary(engine, tmp_path)
        for history in histories:
            for fact in history:
                book.write(fact)
        book.start()
        await book.close()
        assert book.waiting == 0

    return write


def some(good: int, bad: int, begin: float = 0) -> list[list[Fact]]:
    return [
        *[answered(f"good{n}", begin + n) for n in range(good)],
        *[in_queue(f"bad{n}", begin + good + n) for n in range(bad)],
    ]


# --- figures


async def test_a_report_counted_by_hand(engine: AsyncEngine, write: Any) -> None:
    await write(
        answered("before", -4000),
        *[answered(f"a{n}", 1 + n, waits=5, rings=4.9) for n in range(10)],
        *[answered(f"b{n}", 1 + n, waits=5, rings=10.9) for n in range(6)],
        *[answered(f"c{n}", 1 + n, waits=5, rings=15) for n in range(2)],
        [*answered("d", 5, waits=30), CallReturned(at(20), "d", "default", at(13))],
        overflowed("e", 7),
        in_greeting("f", 8),
        in_queue("g", 8),
        while_ringing("h", 8),
        released("i", Release.TIMED_OUT, 9),
        answered("j", 10)[:-2],
        answered("after", 3601),
    )
    report = await reports.sla(engine, at(HOUR), 1, 80)
    assert {name.value: count for name, count in report.outcomes.items() if count} == {
        "human": 20,
        "abandoned_greeting": 1,
        "abandoned_queue": 1,
        "abandoned_ringing": 1,
        "timed_out": 1,
    }
    assert (report.pending, report.returned, report.estimated) == (1, 1, 1)
    assert report.metrics["M1"] == Metric(20, 24)
    assert report.metrics["M1r"] == Metric(21, 25)
    assert report.metrics["M2"] == Metric(20, 23)
    assert report.metrics["M4"] == Metric(18, 20, (12, 0, 6, 2))
    assert report.metrics["M5"] == Metric(11, 23)
    assert report.metrics["M5_20"] == Metric(19, 23)
    assert report.metrics["M5a"] == Metric(11, 20)
    assert report.metrics["M7"].numerator == pytest.approx(10 * 9.9 + 6 * 15.9 + 2 * 20 + 33 + 5)
    assert report.metrics["M7"].denominator == 20
    assert report.metrics["M8"] == Metric(2, 23)
    assert report.missing == ()
    assert reports.status(report) == 0
    assert list(report.metrics)[:3] == ["M1", "M1r", "M2"]


async def test_the_window_has_its_end_but_not_its_beginning(
    engine: AsyncEngine, write: Any
) -> None:
    await write(answered("first", -HOUR), answered("second", -HOUR + 0.000001), answered("last", 0))
    report = await reports.sla(engine, T, 1, 95)
    assert report.metrics["M1"] == Metric(2, 2)
    assert report.metrics["M1r"] == Metric(3, 3)


async def test_a_call_that_ended_after_the_window_counts(engine: AsyncEngine, write: Any) -> None:
    await write(answered("c", -1))
    assert (await reports.sla(engine, T, 24, 95)).metrics["M1"] == Metric(1, 1)


async def test_the_lowest_rolling_figure_sees_the_day_before(
    engine: AsyncEngine, write: Any
) -> None:
    begin = -30 * HOUR
    await write(*some(0, 10, begin), *some(30, 0, -2 * HOUR))
    report = await reports.sla(engine, T, 24, 95)
    assert report.metrics["M1"] == Metric(30, 30)
    assert report.lowest is not None
    # When 30 answered calls are in, the ten lost ones of the day before have left the 24 hours.
    assert report.lowest.metric == Metric(30, 30)
    earlier = await reports.sla(engine, at(-2 * HOUR + 60), 8, 95)
    assert earlier.metrics["M1"] == Metric(30, 30)
    await write(*some(0, 20, -25 * HOUR))
    report = await reports.sla(engine, T, 24, 95)
    assert report.metrics["M1"] == Metric(30, 30)
    assert report.lowest is not None
    assert report.lowest.metric == Metric(0, 20)


# --- verdicts (R2)


@pytest.mark.parametrize(
    ("good", "bad", "fail_under", "status"),
    [
        (19, 1, 95, 0),
        (18, 2, 95, 1),
        (19, 0, 95, 2),
        (0, 19, 95, 2),
        (0, 20, 95, 1),
        (20, 0, 100, 0),
        (28, 1, 96.55, 0),
        (28, 1, 96.56, 1),
        (0, 20, 0, 0),
    ],
)
async def test_verdicts(
    engine: AsyncEngine, write: Any, good: int, bad: int, fail_under: float, status: int
) -> None:
    await write(*some(good, bad))
    report = await reports.sla(engine, at(HOUR), 24, fail_under)
    assert reports.status(report) == status


async def test_an_empty_diary_has_no_verdict(engine: AsyncEngine) -> None:
    report = await reports.sla(engine, T, 24, 95)
    assert (reports.status(report), report.missing) == (2, ())


@pytest.mark.parametrize(
    ("facts", "missing"),
    [
        ([ControllerStarted(at(-99), "1"), LinkRestored(at(-98))], 0),
        ([ControllerStarted(at(-99), "1")], 1),
        ([LinkRestored(at(-99)), LinkLost(at(50))], 1),
        ([LinkRestored(at(-99)), LinkLost(at(50)), LinkRestored(at(70))], 0),
        ([LinkRestored(at(-99)), LinkLost(at(2 * HOUR))], 0),
        ([LinkRestored(at(-99)), LinkLost(at(50)), ControllerStopped(at(51))], 0),
        ([LinkRestored(at(-99)), LinkLost(at(50)), ControllerStopped(at(500))], 1),
        ([LinkRestored(at(-99)), ControllerStopped(at(51)), ControllerStarted(at(60), "1")], 1),
        ([LinkLost(at(50)), LinkRestored(at(2 * HOUR))], 0),
    ],
)
async def test_a_gap_that_nobody_has_filled(
    engine: AsyncEngine, write: Any, facts: list[Fact], missing: int
) -> None:
    await write(*some(20, 0), facts)
    report = await reports.sla(engine, at(HOUR), 24, 95)
    assert len(report.missing) == missing
    assert reports.status(report) == (2 if missing else 0)


async def test_a_journal_that_is_not_written_yet(
    engine: AsyncEngine, write: Any, tmp_path: Path
) -> None:
    await write(*some(20, 0))
    assert reports.status(await reports.sla(engine, at(HOUR), 24, 95, journal=tmp_path)) == 0
    (tmp_path / "controller.diary.jsonl").write_text("{}\n{}\n")
    report = await reports.sla(engine, at(HOUR), 24, 95, journal=tmp_path)
    assert reports.status(report) == 2
    assert report.missing[0].en.startswith("2 facts wait in ")
    shown = "".join(reports.render_text(report).split())
    assert "".join(report.missing[0].zh.split()) in shown


async def test_calls_that_never_end(engine: AsyncEngine, write: Any) -> None:
    await write(*some(20, 0), in_queue("open", 0)[:-1])
    assert (await reports.sla(engine, at(4 * HOUR), 24, 95)).missing == ()
    report = await reports.sla(engine, at(4 * HOUR + 1), 24, 95)
    assert (reports.status(report), report.pending) == (2, 1)


async def test_others_may_know_of_gaps(engine: AsyncEngine, write: Any) -> None:
    await write(*some(20, 0))
    words = Words("通话明细缺失", "CEL was not written")
    report = await reports.sla(engine, at(HOUR), 24, 95, missing=[words])
    assert (reports.status(report), report.missing) == (2, (words,))


@pytest.mark.parametrize(
    ("hours", "fail_under", "name"),
    [(0, 95, "--hours 0"), (-1, 95, "--hours -1"), (9000, 95, "--hours 9000"),
     (float("nan"), 95, "--hours nan"), (24, 101, "--fail-under 101"), (24, -1, "--fail-under -1"),
     (24, float("nan"), "--fail-under nan")],
)  # fmt: skip
async def test_bad_arguments_are_named(
    engine: AsyncEngine, hours: float, fail_under: float, name: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(name)):
        await reports.sla(engine, T, hours, fail_under)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", 42),
        (" NOW ", 42),
        ("2025-11-21T12:00", T),
        ("2025-11-21 12:00:00.000001", T + 1),
        ("2025-11-21T04:00:00Z", T),
        ("2025-11-21T05:00:00+01:00", T),
        ("2025-11-22", T + DAY // 2),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert parse_time(text, 42) == expected


@pytest.mark.parametrize(
    "text", ["", "noon", "2025-13-01", "12:00", "0001-01-01", "9999-12-31T23:59"]
)
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="write now, or a time such as"):
        parse_time(text, 42)


# --- how it looks


@pytest.fixture
async def report(engine: AsyncEngine, write: Any) -> SlaReport:
    await write(*some(19, 1), in_greeting("g", 60), overflowed("o", 61), in_queue("p", 70)[:-1])
    return await reports.sla(engine, at(HOUR), 24, 95)


async def test_json(report: SlaReport) -> None:
    shown = json.loads(reports.render_json(report))
    assert shown["window"] == {
        "from": "2025-11-20T13:00:00.000000+08:00",
        "to": "2025-11-21T13:00:00.000000+08:00",
        "hours": 24,
    }
    assert set(shown["outcomes"]) == {outcome.value for outcome in Outcome}
    assert shown["outcomes"]["human"] == 20
    assert shown["pending"] == 1
    assert shown["verdict"] == "falls_short"
    assert shown["M1"] == {"numerator": 20, "denominator": 22, "value": 20 / 22}
    assert shown["M1r"]["lowest"]["at"] == "2025-11-21T12:01:00.000000+08:00"
    assert set(shown["M4"]) == {"numerator", "denominator", "value", "shares"}
    assert sum(shown["M4"]["shares"].values()) == pytest.approx(1)
    for name in ("M1r", "M2", "M5", "M5_20", "M5a", "M7", "M7_arrived", "M8", "M8_greeting"):
        assert {"numerator", "denominator", "value"} <= set(shown[name])


async def test_json_of_nothing(engine: AsyncEngine) -> None:
    shown = json.loads(reports.render_json(await reports.sla(engine, T, 24, 95)))
    assert shown["M1"] == {"numerator": 0, "denominator": 0, "value": None}
    assert shown["M1r"]["lowest"] is None
    assert shown["M7"]["value"] is None
    assert shown["M4"]["shares"] == dict.fromkeys(("1", "2", "3", ">=4"))


async def test_csv(report: SlaReport) -> None:
    rows = list(csv.DictReader(io.StringIO(reports.render_csv(report))))
    assert {None} not in [set(row) for row in rows]
    found = {(row["section"], row["name"]): row for row in rows}
    assert found["outcome", "human"]["numerator"] == "20"
    assert found["metric", "M1"]["denominator"] == "22"
    assert found["share", "M4 >=4"]["numerator"] == "0"
    assert sum(int(row["numerator"]) for row in rows
               if row["section"] == "outcome" and row["name"] != "pending") == 22  # fmt: skip


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_text_fits_80_columns_and_stands_in_columns(report: SlaReport, lang: str) -> None:
    shown = reports.render_text(report, lang)
    lines = shown.splitlines()
    assert max(cell_len(line) for line in lines) <= 80
    assert shown.endswith("\n")
    assert "\x1b" not in shown
    figures = [line for line in lines if re.match(r"M\d", line)]
    table = [line for line in figures if re.search(r"\d+/\d+$", line)]
    assert len(table) == len(report.metrics)
    assert len({cell_len(line) for line in table}) == 1


async def test_the_verdict_is_one_line(report: SlaReport) -> None:
    zh, en = reports.render_text(report), reports.render_text(report, "en")
    assert "结论：未达标，呼叫接通率 90.90%（20/22），要求不低于 95%\n" in zh
    assert "Verdict: falls short, connection rate 90.90% (20/22), required 95%\n" in en
    assert "M5 与 M5a 之别" in zh
    assert "13812345678" not in zh + en


async def test_text_of_nothing(engine: AsyncEngine) -> None:
    report = await reports.sla(engine, T, 24, 95)
    assert "样本不足，仅 0 通来电" in reports.render_text(report)
    assert "sample too small, 0 calls" in reports.render_text(report, "en")
    with pytest.raises(ValueError, match="--lang fr"):
        reports.render_text(report, "fr")


def test_both_languages_have_the_same_words() -> None:
    assert set(reports._TEXT["zh"]) == set(reports._TEXT["en"])
    assert {outcome.value for outcome in Outcome} <= set(reports._TEXT["zh"])


# --- hotline calls


async def test_list_of_calls(engine: AsyncEngine, write: Any) -> None:
    await write(answered("a", 0), in_greeting("b", 10), answered("c", 20)[:-2], answered("d", 99))
    async with engine.begin() as connection:
        rows = [
            {"call": "a", "path": "a.wav", "state": "finished", "duration": 60 * SECOND + 500_000},
            {"call": "b", "path": "", "state": "missing", "duration": 0},
        ]
        more = {"size": 1, "sha256": "", "finished_at": T}
        await connection.execute(insert(recorder_tables.recording), [row | more for row in rows])
    found = await calls.list_calls(engine, T - 1, at(50), 10)
    assert [row["id"] for row in found] == ["c", "b", "a"]
    assert found[2] == {
        "id": "a",
        "number": "12345",
        "caller": "13812345678",
        "arrived": "2025-11-21T12:00:00.000000+08:00",
        "queued": "2025-11-21T12:00:08.000000+08:00",
        "answered": "2025-11-21T12:00:16.000000+08:00",
        "ended": "2025-11-21T12:01:16.001000+08:00",
        "outcome": "human",
        "disposition": None,
        "hung_up_by": "caller",
        "agents": ["1001"],
        "recording_seconds": 60.5,
        "origin": None,
    }
    assert found[1]["recording_seconds"] is None
    assert (found[1]["queued"], found[1]["agents"]) == (None, [])
    assert (found[0]["outcome"], found[0]["ended"], found[0]["hung_up_by"]) == (None, None, None)
    assert [row["id"] for row in await calls.list_calls(engine, T - 1, at(200), 2)] == ["d", "c"]
    assert await calls.list_calls(engine, T - 1, at(200), 0) == []


async def test_a_silent_call_says_so_beside_its_outcome(engine: AsyncEngine, write: Any) -> None:
    silent = answered("a", 0)
    await write([*silent[:-2], CallSilent(at(30), "a"), *silent[-2:]], answered("b", 10))
    found = await calls.list_calls(engine, T - 1, at(50), 10)
    assert [(row["outcome"], row["disposition"]) for row in found] == [
        ("human", None),
        ("human", "silent"),
    ]
    assert "human silent" in calls.render_text(found)
    # Before the queue the hotline's own hang-up is no failure of the system: the caller was in the greeting.
    alone = [*in_greeting("c", 40)[:-1], CallSilent(at(50), "c")]
    await write([*alone, CallEnded(at(51), "c", Party.SYSTEM)])
    (row,) = await calls.list_calls(engine, at(35), at(60), 1)
    assert (row["outcome"], row["disposition"]) == ("abandoned_greeting", "silent")


async def test_the_list_as_text_hides_numbers(engine: AsyncEngine, write: Any) -> None:
    await write(answered("a", 0), in_greeting("b", 10)[:-1])
    shown = calls.render_text(await calls.list_calls(engine, T - 1, at(50), 10))
    assert "13812345678" not in shown
    assert "138****5678" in shown
    assert "pending" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert calls.render_text([]).count("\n") == 1


async def test_report_and_list_agree(engine: AsyncEngine, write: Any) -> None:
    await write(*some(21, 3), in_greeting("g", 30), overflowed("o", 40), in_queue("p", 50)[:-1])
    report = await reports.sla(engine, at(HOUR), 1, 95)
    found = await calls.list_calls(engine, T, at(HOUR), 1000)
    by_outcome = [row["outcome"] for row in found]
    assert by_outcome.count(None) == report.pending
    for outcome, count in report.outcomes.items():
        assert by_outcome.count(outcome.value) == count
    assert sum(report.outcomes.values()) + report.pending == len(found)


# --- some calls only (R11, R12)


def to(number: str, queue: str, history: list[Fact]) -> list[Fact]:
    """The same history of a call to another number, in another queue."""
    changed: list[Fact] = []
    for fact in history:
        if isinstance(fact, CallArrived):
            changed.append(replace(fact, number=number))
        elif isinstance(fact, CallQueued):
            changed.append(replace(fact, queue=queue))
        else:
            changed.append(fact)
    return changed


async def test_two_numbers_of_one_queue_have_statistics_of_their_own(
    engine: AsyncEngine, write: Any
) -> None:
    await write(
        *[to("12345", "tax", answered(f"a{n}", n)) for n in range(5)],
        *[to("96178", "tax", answered(f"b{n}", n)) for n in range(3)],
        to("96178", "tax", in_queue("c", 5)),
        to("96178", "tax", in_greeting("d", 5)),
        to("12366", "default", answered("e", 5)),
        to("12366", "", in_greeting("f", 5)),
        # It overflowed to tax, but first it waited in vip.
        [*to("12345", "vip", answered("g", 5)), CallReturned(at(18), "g", "tax", at(13))],
    )

    async with engine.begin() as connection:
        # Where calls belong that gave up in the greeting.
        names: list[dict[str, Any]] = [{"name": name, "settings": {}} for name in ("tax", "vip")]
        await connection.execute(insert(rules_tables.queue), names)
        lines = [
            {"number": number, "queue": queue, "language": "zh", "label": ""}
            for number, queue in (("96178", "tax"), ("12345", "vip"))
        ]
        await connection.execute(insert(rules_tables.number), lines)

    async def counted(number: str = "", queue: str = "") -> tuple[int, int]:
        only = Only(number, queue)
        report = await reports.sla(engine, at(HOUR), 2, 95, only=only)
        assert report.metrics["M1r"].denominator == report.metrics["M1"].denominator
        return int(report.metrics["M1"].numerator), report.metrics["M1"].denominator

    assert await counted() == (10, 13)
    assert await counted("12345") == (6, 6)
    assert await counted("96178") == (3, 5)
    assert await counted(queue="tax") == (8, 10)
    assert await counted(queue="vip") == (1, 1)
    assert await counted(queue="default") == (1, 2)
    assert await counted("12345", "tax") == (5, 5)
    assert await counted("96178", "vip") == (0, 0)


async def test_a_report_says_what_it_is_about(engine: AsyncEngine) -> None:
    report = await reports.sla(engine, at(0), 24, 95, only=Only("96178", "tax"))
    told = json.loads(reports.render_json(report))
    assert (told["number"], told["queue"]) == ("96178", "tax")
    assert "只统计号码：96178\n只统计队列：tax\n" in reports.render_text(report)
    assert "Calls to the number 96178 only" in reports.render_text(report, "en")
    assert "only,queue,,,tax" in reports.render_csv(report)
    whole = reports.render_text(await reports.sla(engine, at(0), 24, 95))
    assert "只统计" not in whole
