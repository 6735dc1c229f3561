"""The report as a page, a workbook and a PDF; its windows; and the day proven."""

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from diary.writer import Diary
from facts import AgentPaused, AgentReady, Fact, PhoneReachable
from facts.terms import Release
from facts.times import DAY, SECOND, midnight
from hotline.cli.report import window
from metrics import rollup, tables, verify
from metrics.condensed import DAY_MINUTES
from metrics.reports import page
from metrics.reports import sla as reports
from metrics.reports.formats import FORMATS
from metrics.reports.sla import SlaReport, Words
from metrics.sums import SLOTS, Only
from metrics.window import Metric
from recorder import evidence, ledger, seals
from recorder.entry import LedgerEntry
from recorder.policy import RecordingState
from tests.metrics.histories import T, answered, arrived, at, in_greeting, in_queue, released

pytestmark = pytest.mark.usefixtures("ten_days_later")

HOUR = 3600


@pytest.fixture
async def diary(engine: AsyncEngine, tmp_path: Path) -> AsyncEngine:
    """An hour with 24 calls, an agent who took a break, and a queue with a name that is markup."""
    await write(
        engine,
        tmp_path,
        [PhoneReachable(at(0), "1001"), AgentReady(at(0), "1001")],
        [AgentPaused(at(600), "1001", "小休"), AgentReady(at(1800), "1001")],
        *[answered(f"hotline-1.{n}", 10 + n, waits=n, rings=4 + n / 2) for n in range(20)],
        in_greeting("hotline-2.1", 20),
        [arrived(30, "hotline-2.2"), *in_greeting("hotline-2.2", 23.5)[1:]],
        in_queue("hotline-2.3", 40),
        released("hotline-2.4", Release.TIMED_OUT, 50),
    )
    return engine


async def write(engine: AsyncEngine, folder: Path, *histories: list[Fact]) -> None:
    book = Diary(engine, folder)
    for fact in (fact for history in histories for fact in history):
        book.write(fact)
    book.start()
    await book.close()


@pytest.fixture
async def report(diary: AsyncEngine) -> SlaReport:
    return await reports.sla(diary, at(HOUR), 1, 80, details=True)


async def test_figures_counted_by_hand(diary: AsyncEngine, report: SlaReport) -> None:
    assert report.metrics["M1"] == Metric(20, 24)
    assert report.metrics["M3"] == Metric(20, 22)  # two gave up within 5 s
    assert report.metrics["M5t"].numerator == 3  # 8 s of greeting, and 4, 5.5 and 7 s more
    assert report.metrics["M9"] == Metric(1200, 20)
    # An hour, without the 15 minutes that 小休 may last; 20 minutes of talk.
    assert report.metrics["M10"] == Metric(1200, 2700)
    assert report.metrics["M23"] == Metric(0, 20)
    strict = await reports.sla(diary, at(HOUR), 1, 80, short_abandon=0)
    assert strict.metrics["M3"] == strict.metrics["M1"]


async def test_incidents_are_left_out_of_m3(diary: AsyncEngine) -> None:
    row = {"reason": "trunk down", "approved_by": "boss", "added_at": 0}
    async with diary.begin() as connection:
        for begin, end in ((35, 45), (44, 60)):
            values = {"begin": at(begin), "end": at(end), **row}
            await connection.execute(insert(tables.incident).values(values))
    found = await reports.sla(diary, at(HOUR), 1, 80)
    assert found.excused == 2
    assert found.metrics["M3"] == Metric(20, 20)
    assert found.metrics["M1"] == Metric(20, 24)


async def test_one_agent(diary: AsyncEngine) -> None:
    found = await reports.sla(diary, at(HOUR), 1, 80, only=Only(agent="1001"), details=True)
    assert found.metrics["M9"] == Metric(1200, 20)
    assert found.metrics["M10"] == Metric(1200, 2700)
    assert found.metrics["M1"] == Metric(0, 0)
    assert reports.status(found) == 2
    assert "只统计坐席：1001" in reports.render_text(found)
    nobody = await reports.sla(diary, at(HOUR), 1, 80, only=Only(agent="1009"))
    assert nobody.metrics["M9"] == Metric(0, 0)


@pytest.mark.parametrize(("lang", "title"), [("zh", "热线服务水平报告"), ("en", "service level")])
def test_the_page(report: SlaReport, lang: str, title: str) -> None:
    shown = page.html(report, lang)
    assert title in shown
    assert shown.count("<svg") == 3
    assert "20 / 24" in shown
    assert not re.search(r"(src|href)=", shown), "it needs something beside itself"


def test_nothing_that_came_over_the_telephone_is_markup(report: SlaReport) -> None:
    evil = "<script>alert(1)</script>"
    tally = next(iter(report.details.queues.values()))
    details = replace(report.details, queues={(evil, "=1+1"): tally})
    changed = replace(report, details=details, only=Only(queue=evil))
    assert "<script" not in page.html(changed)
    book = openpyxl.load_workbook(io.BytesIO(FORMATS["xlsx"].make(changed, "en")))
    assert book["queues"]["B2"].value == "=1+1"
    assert book["queues"]["B2"].data_type == "s"


def test_the_workbook(report: SlaReport) -> None:
    book = openpyxl.load_workbook(io.BytesIO(FORMATS["xlsx"].make(report, "en")))
    assert book.sheetnames == ["summary", "hours", "agents", "queues"]
    rows = {row[0]: row for row in book["summary"].iter_rows(values_only=True)}
    assert rows["M1"][2:5] == (20 / 24, 20, 24)
    assert rows["human"][2] == 20
    agents = list(book["agents"].iter_rows(values_only=True))
    assert agents[1][:2] == ("1001", 20)
    assert book["hours"].max_row == 2


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("form", ["text", "html", "xlsx"])
def test_whoever_reads_that_data_are_missing_reads_why(
    report: SlaReport, form: str, lang: str
) -> None:
    reasons = (Words("甲没有结束记录", "call A has no end"), Words("=乙", "=B"))
    made = FORMATS[form].make(replace(report, missing=reasons), lang)
    shown = (
        made.decode()
        if form != "xlsx"
        else "\n".join(
            str(cell.value)
            for row in openpyxl.load_workbook(io.BytesIO(made)).worksheets[0].iter_rows()
            for cell in row
        )
    )
    start = {"zh": "数据不完整：", "en": "Not complete: "}[lang]
    for one in reasons:
        assert start + (one.zh if lang == "zh" else one.en) in shown


async def test_the_seal_of_the_recordings_stands_in_every_form(
    diary: AsyncEngine, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, seal_sm3=evidence.available("sm3"))
    call = "hotline-1.1"
    entry = LedgerEntry(call, "1.wav", RecordingState.FINISHED, 1, 1, "ab" * 32, at(0))
    before = await reports.sla(diary, at(HOUR), 1, 95)
    assert before.seal is None
    assert '"recordings_seal": null' in reports.render_json(before)
    assert "存证" not in reports.render_text(before)
    await ledger.enter(diary, [ledger.Draft(entry, [])])
    made = await seals.seal(diary, settings, at(0) + 3 * DAY)
    first = made[0]
    until = midnight(at(0)) + DAY
    assert (await reports.sla(diary, until + DAY, 24, 95)).seal == made[1]
    report = await reports.sla(diary, until, 24, 95, details=True)
    assert report.seal == first, "the report of a day has another day's seal"
    heads = [first.sha256.head, *([first.sm3.head] if first.sm3 else [])]
    for lang, use in (("zh", "请在本中心之外保存此报告"), ("en", "Keep this report outside")):
        for form in ("text", "html"):
            said = FORMATS[form].make(report, lang).decode()
            assert all(head in said for head in heads)
            assert (first.day in said, use in said) == (True, True)
            assert form == "html" or all(len(line) <= 80 for line in said.splitlines())
        book = openpyxl.load_workbook(io.BytesIO(FORMATS["xlsx"].make(report, lang)))
        cells = [str(row[0]) for row in book.worksheets[0].iter_rows(values_only=True)]
        assert all(any(head in cell for cell in cells) for head in heads)
    assert f"seal,{first.day},1,,{heads[0]}\n" in reports.render_csv(report)
    assert json.loads(reports.render_json(report))["recordings_seal"] == evidence.seal_json(first)


def test_the_heading_of_the_workbook_stays_bold(report: SlaReport) -> None:
    for missing in ((), (Words("甲", "A"), Words("乙", "B"))):
        made = FORMATS["xlsx"].make(replace(report, missing=missing), "en")
        sheet = openpyxl.load_workbook(io.BytesIO(made))["summary"]
        bold = [row[0].value for row in sheet.iter_rows() if row[0].font.b]
        assert bold == ["Hotline service level report", "ID"]


@pytest.mark.live
def test_the_pdf_shows_chinese(report: SlaReport, tmp_path: Path) -> None:
    if not any(map(shutil.which, page.BROWSERS)):
        pytest.skip("no Chromium")
    made = page.pdf(report)
    assert made.startswith(b"%PDF")
    if shutil.which("pdftotext"):
        file = tmp_path / "r.pdf"
        file.write_bytes(made)
        text = subprocess.run(
            ["pdftotext", str(file), "-"], capture_output=True, text=True, check=True
        ).stdout
        assert "热线服务水平报告" in text
        assert "呼叫接通率" in text


def test_without_a_browser_there_is_a_sentence(
    report: SlaReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "BROWSERS", ("no-such-browser",))
    with pytest.raises(page.PrintError, match="apt-get install chromium"):
        page.pdf(report)


NOW = at(12 * HOUR + 1)  # just after midnight, on the 22nd


@pytest.mark.parametrize(
    ("options", "window_"),
    [
        ({}, (NOW - DAY, NOW)),
        ({"hours": 1.0}, (NOW - HOUR * SECOND, NOW)),
        ({"period": "yesterday"}, (at(-12 * HOUR), at(12 * HOUR))),
        ({"day": "2025-11-21"}, (at(-12 * HOUR), at(12 * HOUR))),
        ({"day": "2025-11-22"}, (at(12 * HOUR), NOW)),
        ({"since": "2025-11-21T12:00", "until": "2025-11-21T13:00"}, (T, at(HOUR))),
        ({"since": "2025-11-21T12:00"}, (T, NOW)),
    ],
)
def test_windows(options: dict[str, object], window_: tuple[int, int]) -> None:
    assert window(**{**_NOTHING, **options}) == window_  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"day": "2025-11-23"}, "has not begun"),
        ({"day": "20-11"}, "write a day"),
        ({"until": "2025-11-21"}, "--to needs --from"),
        ({"since": "2025-11-21", "until": "2025-11-20"}, "--from must be before --to"),
        ({"since": "soon"}, "--from 'soon'"),
        ({"hours": 1.0, "day": "2025-11-21"}, "give one of them"),
        ({"hours": -1.0}, "give more than 0"),
        ({"period": "someday"}, "--period"),
    ],
)
def test_windows_that_are_none(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        window(**{**_NOTHING, **options})  # type: ignore[arg-type]


_NOTHING = {
    "hours": None,
    "at": "now",
    "since": "",
    "until": "",
    "day": "",
    "period": "",
    "now": NOW,
}


async def test_a_day_is_proven_and_a_wrong_roll_up_is_found(
    diary: AsyncEngine, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    since, until = midnight(T), midnight(T) + DAY
    await rollup.bring_up_to_date(diary, clock.now())
    found = await verify.verify(diary, settings, since, until, None)
    assert found.differences == []
    assert found.status == 2  # there is no CEL here
    async with diary.begin() as connection:
        rows = tables.rollup
        change = update(rows).where(rows.c.level == 60, rows.c.agent == "", rows.c.queue != "")
        await connection.execute(change.values(counts='{"human": 19}'))
    found = await verify.verify(diary, settings, since, until, None)
    assert "all calls: human: roll-ups 19, facts 20" in found.differences
    assert found.status == 1


async def test_a_wrong_minute_of_the_first_of_several_days_is_found(
    diary: AsyncEngine, tmp_path: Path
) -> None:
    """At the end of the last day its 24 hours are over, so M1r is compared at the end of each day."""
    since, until = midnight(T), midnight(T) + 3 * DAY
    await rollup.bring_up_to_date(diary, clock.now())
    found = await verify.verify(diary, Settings(home=tmp_path), since, until, None)
    assert found.differences == []
    rows = tables.rollup
    async with diary.begin() as connection:
        await connection.execute(delete(rows).where(rows.c.level == DAY_MINUTES))
        change = update(rows).where(rows.c.level == SLOTS, rows.c.agent == "", rows.c.queue != "")
        await connection.execute(change.values(counts='{"a0": 19, "c0": 7}'))
    found = await verify.verify(diary, Settings(home=tmp_path), since, until, None)
    assert any(line.startswith("M1r at 2025-11-22 00:00") for line in found.differences)


async def test_what_cel_says_otherwise_is_listed(diary: AsyncEngine, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.cel_file.parent.mkdir(parents=True)
    fixture = Path(__file__).parent.parent / "fixtures" / "cel" / "answered_caller_hangs_up.csv"
    settings.cel_file.write_text(fixture.read_text())
    found = await verify.verify(diary, settings, midnight(T), midnight(T) + DAY, None)
    assert found.status in (1, 2)
    assert not any("138" in line for line in found.differences)
