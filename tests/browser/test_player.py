"""The player in a real browser: an hour of tones, finished and encrypted by the recorder, heard by ranges."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from base.settings import Settings
from bench import listening
from bench.listening import CALL, PART, PAUSE, pitches
from recorder.entry import LedgerEntry
from tests.browser.conftest import Screen
from tests.browser.test_screens import SIZES, _axe
from tests.live.centre import ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

HOUR = 3600
PLAYER = f"/supervisor#calls&call={CALL}"
PEOPLE = {"chief": "supervisor", "li": "supervisor", "wu": "auditor", "zhang": "agent"}


@dataclass
class Desk:
    """The screens alone, without a telephone, and one recording."""

    settings: Settings
    entry: LedgerEntry
    browser: Browser
    opened: list[tuple[BrowserContext, Screen]] = field(default_factory=list)

    async def open(
        self, name: str, path: str = PLAYER, size: tuple[int, int] = (1366, 768)
    ) -> Screen:
        """The player, as this account sees it."""
        context = await self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, locale="zh-CN"
        )
        where: Any = SimpleNamespace(web_port=self.settings.web_port)
        screen = Screen(where, await context.new_page())
        self.opened.append((context, screen))
        await screen.sign_in(name, path)
        return screen

    @classmethod
    @asynccontextmanager
    async def opened_with(
        cls, settings: Settings, entry: LedgerEntry, browser: Browser
    ) -> AsyncIterator["Desk"]:
        """A desk whose screens must not complain."""
        made = cls(settings, entry, browser)
        yield made
        complaints = [problem for _, screen in made.opened for problem in screen.complaints()]
        for context, _ in made.opened:
            await context.close()
        assert not complaints, "\n".join(complaints)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorded() -> AsyncIterator[tuple[Settings, LedgerEntry]]:
    """An hour, as the recorder makes it from Asterisk's raw sound."""
    async with listening.screens(**PEOPLE) as (settings, engine):
        entry = await listening.record(engine, settings, HOUR)
        assert entry.cipher_sha256
        yield settings, entry


@pytest_asyncio.fixture(loop_scope="module")
async def desk(recorded: tuple[Settings, LedgerEntry], browser: Browser) -> AsyncIterator[Desk]:
    """Screens that must not complain."""
    async with Desk.opened_with(*recorded, browser) as made:
        yield made


async def ready(page: Page) -> None:
    await expect(page.locator("#player")).to_have_attribute("data-state", "ready")


async def findings(page: Page) -> list[str]:
    """What somebody with a screen reader, or poor eyes, would miss."""
    return await _axe(page, (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text())


async def place(page: Page) -> float:
    return float(await page.evaluate("document.querySelector('audio').currentTime"))


async def go(page: Page, second: float) -> None:
    """Click on the waveform."""
    box = await page.get_by_role("slider").bounding_box()
    assert box is not None
    x = box["x"] + box["width"] * second / HOUR
    await page.mouse.click(x, box["y"] + box["height"] / 2)


async def until(page: Page, true: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + 30
    while not await true():
        assert time.monotonic() < deadline, f"{what}; the place is {await place(page)}"
        await asyncio.sleep(0.05)


_HEAR = """async () => {
  const audio = document.querySelector('audio');
  if (!window.ears) {
    const sound = new AudioContext();
    const parts = sound.createChannelSplitter(2);
    sound.createMediaElementSource(audio).connect(parts);
    window.ears = [0, 1].map((side) => {
      const ear = sound.createAnalyser();
      ear.fftSize = 16384;
      ear.smoothingTimeConstant = 0;
      parts.connect(ear, side);
      return ear;
    });
    await sound.resume();
  }
  return window.ears.map((ear) => {
    const levels = new Float32Array(ear.frequencyBinCount);
    ear.getFloatFrequencyData(levels);
    const loudest = levels.indexOf(Math.max(...levels));
    return levels[loudest] < -60 ? 0 : (loudest * ear.context.sampleRate) / ear.fftSize;
  });
}"""
"""The loudest pitch of each side now, in hertz; 0: silence."""
_GO_AND_WATCH = """(second) => new Promise((there) => {
  const audio = document.querySelector('audio');
  let before = second;
  audio.addEventListener('seeked', () => {
    audio.addEventListener('timeupdate', () => {
      if (audio.currentTime > before + 2) window.left ??= before;
      before = audio.currentTime;
    });
    there();
  }, { once: true });
  audio.currentTime = second;
})"""
"""Go to a second; from then on `window.left` is the place from which the player went on its own accord."""
_DRAWN = """(slider) => {
  const wave = slider.firstElementChild.shadowRoot;
  return wave.querySelector('[part~=progress]').offsetWidth / wave.querySelector('.wrapper').offsetWidth;
}"""
"""How much of the waveform is drawn as played, 0 to 1."""


async def hears(page: Page, wanted: tuple[int, int]) -> None:
    async def same() -> bool:
        heard = await page.evaluate(_HEAR)
        return all(abs(one - two) < 8 for one, two in zip(heard, wanted, strict=True))

    await until(page, same, f"{wanted} Hz are not heard: {await page.evaluate(_HEAR)}")


async def test_seeks_in_an_encrypted_hour_fetch_a_part_and_play_what_is_there(desk: Desk) -> None:
    screen = await desk.open("chief", f"{PLAYER}&t=1805")
    page = screen.page
    await ready(page)
    await expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "1805")
    fetched, asked = [], []
    client = await page.context.new_cdp_session(page)
    await client.send("Network.enable")
    client.on("Network.dataReceived", lambda told: fetched.append(told["encodedDataLength"]))
    page.on("request", lambda one: asked.append(one.url) if "/recording" in one.url else None)
    await page.get_by_role("button", name="播放", exact=False).last.click()
    await hears(page, pitches(1805))
    for second in (3400, 200, 2500, 620):
        await go(page, second)
        await hears(page, pitches(second))
        assert abs(await place(page) - second) < 15  # a pixel is some seconds
        named = re.search(r"&t=([\d.]+)$", page.url)
        assert named
        assert abs(float(named[1]) - second) < 15
    await page.get_by_role("slider").press("End")
    await page.get_by_role("slider").press("PageDown")
    await page.get_by_role("slider").press("ArrowLeft")
    await page.get_by_role("slider").press("Space")
    assert abs(await place(page) - (HOUR - 65)) < 5
    print(f"{len(asked)} requests, {sum(fetched)} of {desk.entry.size} bytes")
    assert len(asked) <= 30
    assert sum(fetched) < desk.entry.size / 2


async def test_both_sides_are_drawn_before_any_sound_is_fetched(desk: Desk) -> None:
    screen = await desk.open("wu")
    page = screen.page
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    await page.reload()
    await ready(page)
    drawn = await page.evaluate(
        """() => [...document.querySelector('.wave > div').shadowRoot.querySelectorAll('.canvases > div')]
          .map((side) => [...side.querySelectorAll('canvas')].reduce((sum, canvas) =>
            sum + canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
              .filter((byte, at) => at % 4 === 3 && byte > 0).length, 0))"""
    )
    assert len(drawn) == 2
    assert min(drawn) > 5_000
    assert [one for one in asked if "/recording" in one] == []
    assert [one for one in asked if "/peaks" in one]
    await expect(page.locator(".waves")).to_contain_text("市民")
    await expect(page.locator(".waves")).to_contain_text("话务员")
    await screen.picture("player")


async def test_speed_keeps_the_pitch_and_silence_is_skipped(desk: Desk) -> None:
    end = 2 * PART
    screen = await desk.open("chief", f"{PLAYER}&t={end - PAUSE - 60}")
    page = screen.page
    await ready(page)
    await page.locator("#player").get_by_label("语速").select_option("2")
    await page.get_by_role("button", name="播放", exact=False).last.click()
    await hears(page, pitches(end - PAUSE - 60))
    before = await place(page)

    async def goes_on() -> bool:
        return await place(page) > before + 2

    await until(page, goes_on, "the sound stands still")
    assert await page.evaluate("document.querySelector('audio').playbackRate") == 2
    await hears(page, pitches(end - PAUSE - 60))
    await page.locator("#player").get_by_label("语速").select_option("1")
    await page.get_by_label("跳过静音").check()
    await page.evaluate(_GO_AND_WATCH, end - PAUSE - 0.5)

    async def over() -> bool:
        return await place(page) > end

    await until(page, over, "silence is not skipped")
    assert await page.evaluate("window.left") < end - 3, "played, not skipped"
    await hears(page, pitches(end + 1))


async def test_a_hint_leads_to_its_place(desk: Desk) -> None:
    page = (await desk.open("chief")).page
    await ready(page)
    hint = page.locator(".hints li")
    await expect(hint).to_contain_text("话务员先挂机")
    await hint.get_by_role("button").click()

    async def is_there() -> bool:
        drawn = await page.get_by_role("slider").evaluate(_DRAWN)
        return bool(await place(page) > HOUR - 60 and drawn > 0.9)

    await until(page, is_there, "the waveform does not show the place")
    await page.locator("#language").click()
    await expect(hint).to_contain_text("the agent hung up first")


async def test_a_mark_is_set_seen_by_another_changed_and_removed(desk: Desk) -> None:
    chief = (await desk.open("chief", f"{PLAYER}&t=75.5")).page
    await ready(chief)
    await chief.get_by_role("button", name="取当前位置").click()
    await chief.get_by_label("备注").fill("<b>没有问候</b>")
    await chief.get_by_label("终点").fill("1:20")
    await chief.get_by_role("button", name="添加标记").click()
    mark = chief.locator(".marks li")
    await expect(mark).to_contain_text("1:15.5–1:20")
    await expect(mark).to_contain_text("<b>没有问候</b>")
    other = await desk.open("li")
    await ready(other.page)
    seen = other.page.locator(".marks li")
    await expect(seen).to_contain_text("没有问候")
    await expect(seen).to_contain_text("chief")
    await expect(seen.get_by_role("button", name="删除")).to_have_count(0)
    region = (
        "document.querySelector('.wave > div').shadowRoot.querySelectorAll('[part^=\"region \"]')"
    )

    async def drawn() -> bool:
        names = await other.page.evaluate(f"[...{region}].map((one) => one.textContent)")
        return bool(names == ["1"])

    async def has_gone_there() -> bool:
        return await place(other.page) == 75.5

    await until(other.page, drawn, "the mark is not drawn")
    await seen.get_by_role("button", name="跳到").click()
    await until(other.page, has_gone_there, "the mark does not lead to its place")
    await other.picture("player-mark")
    await mark.get_by_role("button", name="修改").click()
    await chief.get_by_label("备注").fill("后补问候")
    await chief.get_by_role("button", name="保存").click()
    await expect(mark).to_contain_text("后补问候")
    await mark.get_by_role("button", name="删除").click()
    await expect(mark).to_have_count(0)
    await chief.get_by_label("起点").fill("noon")
    await chief.get_by_label("备注").fill("x")
    await chief.get_by_role("button", name="添加标记").click()
    await expect(chief.get_by_role("alert").last).to_contain_text("1:15")


async def test_who_has_no_right_neither_marks_nor_listens(desk: Desk) -> None:
    auditor = (await desk.open("wu")).page
    await ready(auditor)
    await expect(auditor.get_by_role("button", name="添加标记")).to_have_count(0)
    agent = await desk.open("zhang")
    agent.expected.append("403")
    await expect(agent.page.locator("#agents")).to_be_visible()
    await expect(agent.page.locator("#tab-calls")).to_be_hidden()
    await expect(agent.page.locator("#player")).to_be_hidden()
    for path in ("peaks", "marks", "recording"):
        answer = await agent.page.request.get(f"{agent.address}/api/calls/{CALL}/{path}")
        assert answer.status == 403


async def test_a_reason_is_asked_for_before_the_first_sound(desk: Desk) -> None:
    """As a server does whose settings want one."""
    screen = await desk.open("chief")
    screen.expected.append("422")
    page = screen.page
    asked: list[str] = []

    async def demand(route: Route) -> None:
        asked.append(route.request.url)
        if "why=" in route.request.url:
            await route.continue_()
        else:
            await route.fulfill(status=422, json={"error": "say why"})

    await page.route("**/recording*", demand)
    await ready(page)
    await page.get_by_role("button", name="播放", exact=False).last.click()
    reason = page.get_by_label("收听事由")
    await expect(reason).to_be_focused()
    await reason.fill("投诉核实")
    await page.get_by_role("button", name="开始收听").click()

    async def plays() -> bool:
        return await place(page) > 0.3

    await until(page, plays, "nothing is heard")
    assert len(asked) >= 3
    assert all("why=%E6%8A%95" in one for one in asked[1:])


async def test_the_player_fits_is_readable_and_speaks_both_languages(desk: Desk) -> None:
    axe = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
    for size in SIZES[1:]:
        screen = await desk.open("chief", size=size)
        screen.expected.append("Applying inline style")  # axe's own, to read the waveform's sheet
        page = screen.page
        await ready(page)
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        for language in ("Speed", "语速"):
            await page.locator("#language").click()
            await expect(page.locator("#player").get_by_label(language)).to_be_visible()
            assert await page.evaluate(wider) <= 0
            assert (
                await page.locator("#player").evaluate("(one) => one.scrollWidth - one.clientWidth")
                <= 0
            )
        for _ in range(2):
            await page.locator("#theme").click()
            found = await _axe(page, axe)
            assert not found, "\n".join(found)
        await screen.picture(f"player-{size[0]}")
    await page.get_by_role("button", name=re.compile("^关闭$")).click()
    await expect(page.locator("#player")).to_be_hidden()
    assert page.url.endswith("#calls")
