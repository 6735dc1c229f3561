"""What listeners do beside playing, in a real browser: exports that another person approves, hints, holds."""

import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from bench import listening
from bench.listening import CALL
from diary import reader
from diary.writer import Diary
from facts import RecordingPaused, RecordingResumed, SurveyEnded, TalkHeld, TalkResumed
from facts.terms import PauseWhy, SurveyEnd
from facts.times import HOUR, SECOND, local
from recorder.entry import LedgerEntry
from tests.browser.test_player import PEOPLE, Desk, findings, ready, until
from tests.metrics.test_hints import T, talk

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SECONDS = 90
EXPORTS = "/supervisor#exports"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorded() -> AsyncIterator[tuple[Settings, LedgerEntry]]:
    """A short call, at a centre where nobody takes a recording away alone."""
    async with listening.screens({"EXPORT_APPROVAL": "yes"}, **PEOPLE) as (settings, engine):
        await busy_day(engine, settings)
        entry = await listening.record(engine, settings, SECONDS)
        await held_and_paused(engine, settings)
        yield settings, entry


async def held_and_paused(engine: AsyncEngine, settings: Settings) -> None:
    """The citizen was on hold from second 20 to 40, and the recording paused from 50 to 60.

    From 70 to 78 the citizen says why they gave a bad grade.
    """
    arrived = (await reader.read_stories(engine, [CALL]))[CALL][0].at
    diary = Diary(engine, settings.run_dir)
    diary.start()
    for second, kind in ((20, TalkHeld), (40, TalkResumed)):
        diary.write(kind(arrived + second * SECOND, CALL, "1001"))
    for second, turn in ((50, RecordingPaused), (60, RecordingResumed)):
        diary.write(turn(arrived + second * SECOND, CALL, "1001", PauseWhy.KEY))
    said_at = arrived + 70 * SECOND
    diary.write(
        SurveyEnded(said_at + 9 * SECOND, CALL, "1001", SurveyEnd.RATED, said_at, 8 * SECOND)
    )
    await diary.close()


async def busy_day(engine: AsyncEngine, settings: Settings) -> None:
    """A day of 2,000 short talks that the agent ended: 4,000 hints."""
    diary = Diary(engine, settings.run_dir)
    diary.start()
    for number in range(100, 2100):
        for fact in talk(number, T + number * 20 * SECOND, 5):
            diary.write(fact)
    await diary.close()


@pytest_asyncio.fixture(loop_scope="module")
async def desk(recorded: tuple[Settings, LedgerEntry], browser: Browser) -> AsyncIterator[Desk]:
    """Screens that must not complain."""
    async with Desk.opened_with(*recorded, browser) as made:
        yield made


async def test_an_export_is_asked_for_approved_by_another_and_downloaded_once(desk: Desk) -> None:
    auditor = await desk.open("wu")
    page = auditor.page
    await ready(page)
    download = page.get_by_role("link", name="下载")
    await expect(download).to_be_hidden()
    await page.get_by_role("button", name="申请导出…").click()
    await page.get_by_label("申请理由").fill("<b>法院</b> 13812345678")
    await page.get_by_role("button", name="提交申请").click()
    await expect(page.locator(".exported")).to_contain_text("待审批")

    chief = await desk.open("chief", EXPORTS)
    row = chief.page.locator("#export-rows tr")
    await expect(row).to_contain_text("<b>法院</b> 138****5678")
    await expect(row).to_contain_text("wu")
    await expect(row.get_by_role("link", name=CALL)).to_have_attribute("href", re.compile(CALL))
    await expect(chief.page.get_by_role("tab", name="录音导出 1")).to_be_visible()
    assert not await findings(chief.page)
    await chief.picture("exports")
    await row.get_by_role("button", name="批准").click()
    await expect(chief.page.locator("#says")).to_contain_text("wu 可下载一次")
    await expect(row).to_have_count(0)

    await page.goto(auditor.address + EXPORTS)
    await page.reload()
    async with page.expect_download() as taken:
        await page.locator("#export-rows").get_by_role("link", name="下载").click()
    assert (await taken.value).suggested_filename == f"{CALL}.mp4"
    assert (await (await taken.value).path()).stat().st_size == desk.entry.size
    await expect(page.locator("#exports-empty")).to_be_visible()
    await page.locator("#export-state").select_option("all")
    await expect(page.locator("#export-rows tr")).to_contain_text("已下载")


async def test_nobody_decides_their_own_and_a_refusal_tells_why(desk: Desk) -> None:
    chief = await desk.open("chief")
    page = chief.page
    await ready(page)
    await page.locator("#language").click()
    await page.get_by_role("button", name="Ask for export…").click()
    await page.get_by_label("Why you need it").fill("training")
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.locator(".exported")).to_contain_text("waits for a decision")
    await page.get_by_role("tab", name="Exports").click()
    own = page.locator("#export-rows tr")
    await expect(own).to_contain_text("another person decides")
    await expect(own.get_by_role("button")).to_have_count(0)
    await expect(page.locator("#export-count")).to_be_empty()

    li = await desk.open("li", EXPORTS, size=(390, 844))
    row = li.page.locator("#export-rows tr")
    await row.get_by_role("button", name="拒绝").click()
    await expect(li.page.locator("#says")).to_contain_text("已拒绝")
    await page.locator("#export-state").select_option("all")
    refused = page.locator("#export-rows tr", has_text="training")
    await expect(refused).to_contain_text("li：申请理由不充分")


async def test_a_day_of_hints_is_paged_and_leads_into_the_player(desk: Desk) -> None:
    screen = await desk.open("chief", "/supervisor#hints")
    screen.expected.append("Applying inline style")  # axe's own, to read the waveform's sheet
    page = screen.page
    rows = page.locator("#hint-rows tr")
    await page.get_by_label("种类").select_option("话务员先挂机")
    await page.get_by_label("日期").fill(f"{local(clock.now() - 2 * HOUR):%Y-%m-%d}")
    await page.get_by_role("button", name="查询").locator("visible=true").click()
    await expect(rows).to_have_count(1)
    await expect(page.locator("#hints-note")).to_contain_text("不是评分")
    await rows.get_by_role("link").click()
    await ready(page)
    await expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", str(SECONDS))

    await page.get_by_role("tab", name="复听提示").click()
    await page.get_by_label("日期").fill(f"{local(T):%Y-%m-%d}")
    await page.get_by_label("种类").select_option("")
    begun = time.monotonic()
    await page.get_by_role("button", name="查询").locator("visible=true").click()
    await expect(rows.nth(49)).to_be_visible()
    print(f"first hints of the day after {time.monotonic() - begun:.2f} s")
    shown = await rows.count()
    assert shown < 1000
    await expect(rows.first).to_contain_text("无录音")
    await expect(rows.first).to_contain_text("通话只有 5.0 秒")
    await page.get_by_role("button", name="更多").locator("visible=true").click()
    await expect(rows.nth(shown)).to_be_visible()
    await page.locator("#hint-agent").fill("1001")
    await page.get_by_label("种类").select_option("通话过短")
    await page.get_by_role("button", name="查询").locator("visible=true").click()
    await expect(page.locator("#hint-rows td:nth-child(3)", has_text="1000")).to_have_count(0)
    await expect(page.locator("#hint-rows td:nth-child(4)", has_text="话务员先挂机")).to_have_count(
        0
    )
    assert await rows.count() >= 50
    await page.locator("#language").click()
    await expect(page.locator("#hints-note")).to_contain_text("never a score")
    assert not await findings(page)
    agent = (await desk.open("zhang", "/supervisor#hints")).page
    await expect(agent.locator("#agents")).to_be_visible()
    await expect(agent.locator("#tab-hints")).to_be_hidden()


_REGIONS = """[...document.querySelector('.wave > div').shadowRoot.querySelectorAll('[part^="region "]')]
  .map((one) => [one.textContent, Math.round(parseFloat(one.style.left)), Math.round(parseFloat(one.style.right))])"""
"""What stands on the waveform, and where: percent from the left, and from the right."""


async def test_holds_and_pauses_are_shown_on_the_waveform_with_their_names(desk: Desk) -> None:
    screen = await desk.open("chief")
    page = screen.page
    await ready(page)

    async def drawn() -> bool:
        return sorted(await page.evaluate(_REGIONS)) == [
            ["保持", 22, 56],
            ["差评原因", 78, 13],
            ["录音暂停", 56, 33],
        ]

    await until(page, drawn, "hold and pause are not drawn")
    held, paused = page.locator(".parts li").nth(0), page.locator(".parts li").nth(1)
    await expect(held).to_contain_text("保持：音乐不录")
    await expect(paused).to_contain_text("等长静音")
    await held.get_by_role("button", name="跳到 0:20–0:40").click()
    await expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "20")
    reason = page.locator(".reasons li")
    await expect(reason).to_contain_text("评价与话务员 1001 的通话")
    await reason.get_by_role("button", name="跳到 1:10–1:18").click()
    await expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "70")
    await screen.picture("player-parts")
    await page.locator("#language").click()
    await expect(held).to_contain_text("the music is not recorded")

    async def named() -> bool:
        return sorted(one for one, *_ in await page.evaluate(_REGIONS)) == [
            "on hold",
            "paused",
            "reason",
        ]

    await until(page, named, "hold and pause are not named")
