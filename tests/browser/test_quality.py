"""The whole way of an assessment: recorded, drawn, scored blind, appealed, decided; the sums are those of the calls."""

import asyncio
import json
import re
from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect

from base import clock, database
from base.settings import Settings
from facts import RecordingFinished
from facts.times import DAY, local, midnight
from metrics.reports.period import Period
from quality import draws
from softphone.phones import AgentPhone, Phones
from tests.browser.conftest import PASSWORD, MakeScreen
from tests.live.centre import NUMBER, ROOT, Centre, until_talk
from web.accounts import accounts

pytestmark = pytest.mark.asyncio(loop_scope="module")

CITIZENS = ("13900004701", "13900004702")
SHORTEST = "0"


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    """A centre with one agent, who has an account, an assessor and a supervisor."""
    with Centre(quality_shortest=SHORTEST) as made:
        made.add_agent("1001")
        made.shorten_greeting()
        made.run("queue", "set", "default", "call_back_lost=no")
        for name, *options in (
            ("zhao", "--role", "assessor"),
            ("gao", "--role", "agent", "--agent", "1001"),
            ("chief", "--role", "supervisor"),
        ):
            made.run("account", "add", name, *options, "--password-stdin", stdin=PASSWORD)
        yield made


async def talk(centre: Centre, phones: Phones, agent: AgentPhone, caller: str) -> str:
    """A call that is answered and recorded; its id."""
    await centre.presence("1001", "ready", 10)
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, 10)
    call = await centre.call_id(caller)
    await leg.hang_up()
    await centre.fact(RecordingFinished, 20, call=call)
    return call


async def draw(centre: Centre) -> draws.WeekDraw:
    """Draw this week, which is not over: the command line would wait for Monday."""
    now = clock.now()
    year, number, weekday = local(now).isocalendar()
    monday = midnight(now) - (weekday - 1) * DAY
    settings = Settings(home=centre.home, numbers=(NUMBER,), quality_shortest=float(SHORTEST))
    engine = database.engine(settings.database)
    try:
        week = Period(f"{year}-W{number:02}", monday, monday + 7 * DAY)
        people = await accounts.assessors(engine)
        return await draws.draw_week(engine, settings, week, people, by="test", now=now)
    finally:
        await engine.dispose()


async def sound(page: Page) -> float:
    """Seconds of the recording, as the browser's player has them once it plays."""
    await expect(page.locator("#player")).to_have_attribute("data-state", "ready")
    await page.locator("#player .toggle").click()
    audio = page.locator("#player audio")
    async with asyncio.timeout(30):
        while await audio.evaluate("audio => audio.currentTime") < 0.1:
            await asyncio.sleep(0.05)
    await page.locator("#player .toggle").click()
    return float(await audio.evaluate("audio => audio.duration"))


async def findings(page: Page) -> list[str]:
    await page.evaluate(f"{(ROOT / 'node_modules/axe-core/axe.min.js').read_text()}; 0")
    rules = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']}"
    found = await page.evaluate(f"axe.run({rules})")
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found["violations"]]


async def test_from_a_call_to_the_monthly_card(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    calls = [await talk(centre, phones, agent, caller) for caller in CITIZENS]
    made = await draw(centre)
    assert (made.talks, made.drawn) == (2, 2)

    # Blind: the page has the recording, and names nobody.
    screen = await open_screen()
    screen.expected.append("Applying inline style")  # axe's own, to read the waveform's sheet
    page = await screen.sign_in("zhao")
    await expect(page).to_have_url(re.compile("/quality$"))
    await expect(page.locator("#task-list button")).to_have_count(2)
    for knocked in (True, False):
        await page.locator("#task-list button").first.click()
        assert await sound(page) > 1
        await expect(page.locator("#player").get_by_role("link", name="下载")).to_have_count(0)
        await expect(page.locator("#player .marks")).to_have_count(0)
        await page.locator("#player").get_by_role("slider").press("Home")
        await page.locator("#items button[title]").first.click()
        await expect(page.locator("#second-greeting")).to_have_value(re.compile(r"^0\.0$"))
        text = await page.content()
        assert not any(word in text for word in (*calls, *CITIZENS, "1001", "gao"))
        if knocked:
            assert await findings(page) == []
            await page.locator("#off-greeting").fill("6")
            await page.locator("#second-greeting").fill("0.5")
            await page.locator("#note-greeting").fill("没有问候")
            await screen.picture("quality-sheet")
        await page.get_by_role("button", name="提交评分").click()
        await expect(page.locator("#says")).to_have_text("评分已提交")
        await expect(page.locator("#task-list button")).to_have_count(1 if knocked else 0)

    # The agent sees both scores, hears the call, and appeals.
    screen = await open_screen()
    page = await screen.sign_in("gao", "/quality")
    await expect(page.locator("#own-list button")).to_have_count(2)
    await page.locator("#own-list button", has_text="94.00").click()
    assert await sound(page) > 1
    assert "zhao" not in await page.content()
    await expect(page.locator("#note-greeting")).to_have_value("没有问候")
    await page.locator("#reason").fill("录音开头有问候")
    await page.get_by_role("button", name="申诉", exact=True).click()
    await expect(page.locator("#says")).to_have_text("申诉已提交，录音已保全")
    held = json.loads(await centre.cli("recordings", "holds", "--format", "json"))
    assert len(held) == 1
    assert held[0]["call"] in calls

    # Somebody else decides.
    screen = await open_screen()
    page = await screen.sign_in("chief", "/quality")
    await page.locator("#appeal-list button").click()
    assert await sound(page) > 1
    await expect(page.locator("#events")).to_contain_text("录音开头有问候")
    await page.locator("#off-greeting").fill("0")
    await page.locator("#off-speech").fill("7")
    await page.locator("#reason").fill("已复听")
    await page.get_by_role("button", name="按此改判").click()
    await expect(page.locator("#says")).to_have_text("裁定已生效")
    await expect(page.locator("#appeals-empty")).to_be_visible()
    assert json.loads(await centre.cli("recordings", "holds", "--format", "json")) == []

    # The card's sums are the calls.
    month = f"{local(clock.now()):%Y-%m}"
    command = ("quality", "card", "1001", "--month", month, "--format", "json")
    card = json.loads(await centre.cli(*command))
    shown = {one["id"]: one for one in json.loads(await centre.cli("calls", "--format", "json"))}
    figures = card["figures"]
    assert set(calls) <= shown.keys()
    assert sorted(figures["assessed"]["calls"]) == sorted(calls)
    assert all(shown[call]["agents"] == ["1001"] for call in figures["assessed"]["calls"])
    scores = {one["call"]: one["score"] for one in card["assessments"]}
    assert sorted(scores.values()) == [9300, 10_000]
    assert figures["average"]["value"] == sum(scores.values()) // 2
    assert figures["changed"]["calls"] == [held[0]["call"]]
    assert scores[held[0]["call"]] == 9300
    assert [(one["item"], one["points"], one["calls"]) for one in card["lost"]] == [
        ("speech", 7.0, [held[0]["call"]])
    ]
