"""The screens in a real browser, on live calls."""

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from base.bus import connect
from facts import AgentPaused, RecordingPaused, RecordingResumed
from softphone.phones import Phones
from tests.browser.conftest import PASSWORD, MakeScreen, Screen
from tests.live.centre import NUMBER, PROMPTS, ROOT, Centre, until_talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZES = ((1920, 1080), (1366, 768), (390, 844))
HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


async def test_whoever_has_not_signed_in_is_led_to_the_sign_in_page(screen: Screen) -> None:
    screen.expected.append("401")
    page = await screen.open("/")
    await expect(page).to_have_url(re.compile("/sign-in"))
    await page.get_by_label("账号").fill("chief")
    await page.get_by_label("密码").fill("not the password")
    await page.get_by_role("button", name="登录").click()
    await expect(page.get_by_role("alert")).to_have_text("账号或密码不对")
    await page.get_by_label("密码").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="热线大屏")).to_be_visible()
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    await page.get_by_role("button", name="退出").click()
    await expect(page).to_have_url(re.compile("/sign-in"))
    await page.goto(screen.address + "/")
    await expect(page).to_have_url(re.compile("/sign-in"))


async def test_a_call_moves_through_the_stages(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    """Greeting, waiting, ringing, talking, over: each shown on a wall, a laptop and a telephone."""
    # A greeting of five seconds, so that a busy browser has seen it before it is over.
    centre.shorten_greeting(greeting_12345=(PROMPTS / "greeting_12345.alaw").read_bytes()[:40_000])
    screens = [
        await open_screen(width, height, color_scheme=colours)
        for (width, height), colours in zip(SIZES, ("dark", "light", "light"), strict=True)
    ]
    pages = [await screen.sign_in() for screen in screens]

    async def all_show(stage: str, many: str) -> None:
        for page in pages:
            figure = page.locator(f'#stages [data-stage="{stage}"] .figure')
            await expect(figure).to_have_text(many)

    for page in pages:
        await expect(page.locator('#floor li[data-agent="1001"]')).to_be_visible()
    before = int((await pages[0].locator("#m1-of").inner_text()).split()[-1].replace(",", ""))
    leg = await phones.citizen("13900000101").dial(NUMBER)
    await all_show("greeting", "1")
    await all_show("waiting", "1")
    centre.shorten_greeting()
    for page in pages:
        await expect(page.locator("#waiting")).to_have_text("1")
        await expect(page.locator("#longest")).to_have_text(re.compile(r"0:(0[2-9]|[1-5]\d)"))
    agent = await centre.agent(phones, "1001", answer_after=None)
    rings = await agent.until_rings()
    await all_show("ringing", "1")
    await rings.answer()
    await all_show("talking", "1")
    for page in pages:
        talking = page.locator('.group[data-state="talking"] li')
        await expect(talking).to_have_attribute("data-agent", "1001")
        await expect(page.locator("#waiting")).to_have_text("0")
    await leg.until_hears(agent.tone)
    for screen, (width, height) in zip(screens, SIZES, strict=True):
        await screen.picture(f"wall-{width}x{height}-talking")
    await leg.hang_up()
    await all_show("talking", "0")
    for page in pages:
        await expect(page.locator("#m1-of")).to_contain_text(f"来电 {before + 1}")
    await centre.press(agent, "*13")


async def test_a_supervisor_pauses_an_agent(screen: Screen, centre: Centre, phones: Phones) -> None:
    await centre.agent(phones, "1002")
    page = await screen.sign_in(path="/supervisor")
    row = page.locator('tr[data-agent="1002"]')
    await expect(row).to_contain_text("就绪")
    await row.get_by_role("button", name="暂停… 1002").click()
    dialog = page.get_by_role("dialog", name="暂停 1002 坐席1002")
    await dialog.get_by_label("用餐").check()
    await screen.picture("supervisor-pause")
    await dialog.get_by_role("button", name="暂停").click()
    await expect(page.get_by_role("status")).to_contain_text("1002 坐席1002 已暂停（用餐）")
    await centre.presence("1002", "paused")
    await centre.fact(AgentPaused, agent="1002", reason="用餐")
    await expect(row).to_contain_text("暂停（用餐）")
    await row.get_by_role("button", name="签出 1002").click()
    await expect(page.get_by_role("status")).to_contain_text("已签出")
    await centre.presence("1002", "out")


async def test_an_agent_pauses_the_recording_and_the_wall_shows_it(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    agent = await centre.agent(phones, "1002", answer_after=0.2)
    await centre.cli(
        *("account", "add", "li", "--role", "agent", "--agent", "1002", "--password-stdin"),
        stdin=PASSWORD,
    )
    wall, desk = await open_screen(), await open_screen(1366, 768)
    await wall.sign_in()
    page = await desk.sign_in("li", "/supervisor")
    row, tile = page.locator('tr[data-agent="1002"]'), wall.page.locator('li[data-agent="1002"]')
    pause = row.get_by_role("button", name="暂停录音 1002")
    await expect(row).to_contain_text("就绪")
    await expect(pause).to_be_hidden()
    leg = await phones.citizen("13900000105").dial(NUMBER)
    try:
        await leg.until_hears(agent.tone, 10)
        await pause.click()
        await expect(page.get_by_role("status")).to_contain_text("的录音已暂停")
        await expect(row).to_contain_text("录音暂停")
        await expect(tile).to_contain_text("录音暂停")
        await expect(tile).to_have_class("unrecorded")
        await wall.picture("wall-recording-paused")
        await desk.picture("agent-recording-paused")
        call = await centre.call_id("13900000105")
        await centre.fact(RecordingPaused, call=call, agent="1002", by="li")
        await row.get_by_role("button", name="恢复录音 1002").click()
        await expect(tile).not_to_contain_text("录音暂停")
        await expect(pause).to_be_visible()
        await centre.fact(RecordingResumed, call=call, agent="1002", by="li")
    finally:
        await leg.hang_up()
    await expect(pause).to_be_hidden()
    await centre.press(agent, "*13")


async def test_an_alarm_is_seen_and_goes(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    """A caller waits and nobody is there: the screens say so until the caller is gone, and who has seen it."""
    wall, desk = await open_screen(), await open_screen(1366, 768)
    await wall.sign_in()
    await desk.sign_in(path="/supervisor")
    waits = re.compile("有来电人已等待")
    leg = await phones.citizen("13900000103").dial(NUMBER)
    try:
        for screen in (wall, desk):
            await expect(screen.page.locator("#alarm-list li")).to_contain_text(
                waits, timeout=20_000
            )
        await expect(wall.page.locator("#alarm-news")).to_contain_text(waits)
        await desk.picture("supervisor-alarm")
        await desk.page.get_by_role("button", name="知晓").click()
        await expect(wall.page.locator("#alarm-list li")).to_contain_text("chief 已知晓")
        await expect(desk.page.get_by_role("button", name="知晓")).to_be_hidden()
    finally:
        await leg.hang_up()
    for screen in (wall, desk):
        await expect(screen.page.locator("#alarms")).to_be_hidden(timeout=20_000)
    await desk.page.get_by_role("tab", name="回访").click()
    lost = desk.page.locator("#callback-rows tr").filter(has_text="13900000103")
    await expect(lost).to_contain_text("漏接回拨")


async def test_a_command_that_nobody_answers_says_so(screen: Screen, centre: Centre) -> None:
    screen.expected.append("503")
    page = await screen.sign_in(path="/supervisor")
    row = page.locator('tr[data-agent="1003"]')
    await expect(row).to_be_visible()
    os.kill(serve := centre.pid(" serve"), signal.SIGSTOP)
    try:
        await row.get_by_role("button", name="就绪 1003").click()
        await expect(page.get_by_role("alert").last).to_contain_text("没有应答")
    finally:
        os.kill(serve, signal.SIGCONT)
    await expect(page.locator("#pulse")).to_be_visible()


async def test_queues_and_callbacks(screen: Screen, centre: Centre) -> None:
    """Membership with a penalty, priority, a callback added and taken back; each shown in `hotline`'s own words."""
    await centre.cli("queue", "set", "tax", "priority=1")
    page = await screen.sign_in(path="/supervisor")
    said = page.get_by_role("status")
    row = page.locator('tr[data-agent="1003"]')
    await row.get_by_role("button", name="队列… 1003").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("tax", exact=True).check()
    await dialog.get_by_label("次序 tax").fill("5")
    await dialog.get_by_role("button", name="保存").click()
    await expect(said).to_contain_text("现在服务：tax")
    await expect(row).to_contain_text("tax·5")

    await page.get_by_role("tab", name="队列").click()
    queue = page.locator('tr[data-queue="tax"]')
    await expect(queue).to_contain_text("1003·5")
    await queue.get_by_label("优先级 tax").fill("3")
    await queue.get_by_role("button", name="保存 tax").click()
    await expect(said).to_contain_text("优先级现在是 3")
    assert re.search(r"^priority +3 ", await centre.cli("queue", "show", "tax"), re.MULTILINE)
    await screen.picture("supervisor-queues")

    await page.get_by_role("tab", name="回访").click()
    await page.get_by_label("市民号码").fill("13800000077")
    await page.get_by_label("事由").fill(HOSTILE)
    await page.get_by_role("button", name="登记回访").click()
    await expect(said).to_contain_text("已登记回访 13800000077")
    task = page.locator("#callback-rows tr").filter(has_text=HOSTILE)
    await expect(task).to_contain_text("待拨")
    await screen.picture("supervisor-callbacks")
    await task.get_by_role("button", name=re.compile("取消")).click()
    await expect(said).to_contain_text("已取消")
    await expect(task).to_have_count(0)
    assert await page.evaluate("window.hacked") is None
    await centre.cli("queue", "remove", "tax")


async def test_a_recording_plays(screen: Screen, centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001")
    leg = await phones.citizen("13900000102").dial(NUMBER)
    await until_talk(leg, agent.tone)
    await leg.hang_up()
    call = await centre.call("13900000102")
    await centre.press(agent, "*13")
    page = await screen.sign_in(path="/supervisor#calls")
    await page.get_by_label("来电号码").fill("0102")
    row = page.locator(f'tr[data-call="{call["id"]}"]')
    play = row.get_by_role("button", name=re.compile("播放"))
    deadline = time.monotonic() + 30
    while not await play.count():  # the recorder finishes it a moment after the call
        assert time.monotonic() < deadline, await row.all_inner_texts()
        async with page.expect_response("**/api/calls?*"):
            await page.get_by_role("button", name="查询").click()
    await expect(row).to_contain_text("人工接通")
    await play.click()
    await page.locator("#player audio").wait_for(state="attached")  # the player is loaded on demand
    deadline = time.monotonic() + 20
    while await page.evaluate("document.querySelector('audio').currentTime") < 0.5:
        assert time.monotonic() < deadline, "the recording does not play"
    length = await page.evaluate("document.querySelector('audio').duration")
    assert length > 1.0
    assert await page.evaluate("document.querySelector('audio').error") is None
    await page.evaluate("document.querySelector('audio').currentTime = 0.2")  # by a Range request
    await screen.picture("supervisor-recording")


async def test_stale_when_redis_is_away_and_live_again_when_it_is_back(
    screen: Screen, centre: Centre
) -> None:
    page = await screen.sign_in()
    stale = page.locator("#stale")
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    await expect(stale).to_be_empty()
    async with _redis_stopped(centre):
        await expect(stale).to_have_text(
            re.compile(r"^数据自 \d\d:\d\d:\d\d 起未更新$"), timeout=20_000
        )
        await screen.picture("wall-stale")
        await page.get_by_role("button", name="Switch to English").click()
        await expect(stale).to_have_text(re.compile(r"^Stale since \d\d:\d\d:\d\d$"))
        await page.get_by_role("button", name="切换到中文").click()
    await expect(stale).to_be_empty(timeout=20_000)
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    longest_ago = await page.locator("#time").inner_text()
    await expect(page.locator("#time")).not_to_have_text(longest_ago)


async def test_a_screen_outlives_the_program_behind_it(screen: Screen, centre: Centre) -> None:
    """`hotline web` is killed and started again: the same page goes on, without anybody's help."""
    screen.expected += ["ERR_", "502"]
    centre.expected.append('"event":"program.died","program":"web"')
    page = await screen.sign_in()
    await expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    await page.evaluate("window.same = true")
    killed = centre.pid(" web")
    os.kill(killed, signal.SIGKILL)
    await centre.until(lambda: killed not in centre.processes(), 10, "the screens' program to die")
    await centre.cli("agent", "add", "1077", "--name", "后来", "--password-stdin", stdin=PASSWORD)
    try:
        tile = page.locator('#floor [data-agent="1077"]')
        await expect(tile).to_be_visible(timeout=20_000)
        await expect(page.locator("#stale")).to_be_empty()
        assert await page.evaluate("window.same")
    finally:
        await centre.cli("agent", "remove", "1077")
    await expect(tile).to_have_count(0)


async def test_hostile_names_are_shown_as_text(screen: Screen, centre: Centre) -> None:
    await centre.cli("agent", "add", "1066", "--name", HOSTILE, "--password-stdin", stdin=PASSWORD)
    try:
        page = await screen.sign_in()
        await expect(page.locator('#floor [data-agent="1066"] .who')).to_have_text(HOSTILE)
        assert await page.locator("#floor img, #floor script").count() == 0
        await screen.open("/supervisor")
        await expect(page.locator('tr[data-agent="1066"]')).to_contain_text(HOSTILE)
        assert await page.locator("main img, main script").count() == 0
        assert await page.evaluate("window.hacked") is None
    finally:
        await centre.cli("agent", "remove", "1066")


async def test_a_guest_sees_masked_names_and_no_commands(screen: Screen, centre: Centre) -> None:
    page = await screen.sign_in("visitor", "/supervisor")
    row = page.locator('tr[data-agent="1001"]')
    await expect(row).to_contain_text("坐*")
    await screen.open("/")
    tile = page.locator('#floor [data-agent="1001"]')
    await expect(tile.locator(".who")).to_have_text("1001")
    await expect(tile.locator(".number")).to_have_text("坐*")
    await screen.open("/supervisor")
    await expect(row).to_be_visible()
    assert await row.get_by_role("button").count() == 0
    await page.get_by_role("tab", name="回访").click()
    await expect(page.get_by_role("button", name="登记回访")).to_be_hidden()
    session = await (await page.request.get(f"{screen.address}/api/session")).json()
    refused = await page.request.post(
        f"{screen.address}/api/agents/1001/out", headers={"X-CSRF-Token": session["csrf"]}
    )
    assert refused.status == 403


async def test_language_and_colours_are_remembered(screen: Screen) -> None:
    page = await screen.sign_in()
    root = page.locator("html")
    await expect(root).to_have_attribute("data-theme", "dark")
    await page.emulate_media(color_scheme="light")
    await expect(root).to_have_attribute("data-theme", "light")  # auto follows the system
    await page.get_by_role("button", name="配色：自动").click()
    await expect(root).to_have_attribute("data-theme", "dark")
    await page.get_by_role("button", name="Switch to English").click()
    await expect(page.get_by_role("heading", name="Waiting now")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Waiting now")).to_be_visible()
    await expect(root).to_have_attribute("data-theme", "dark")
    await expect(root).to_have_attribute("lang", "en")


async def test_everything_can_be_reached_by_the_keyboard(screen: Screen) -> None:
    page = await screen.sign_in(path="/supervisor")
    await expect(page.locator('tr[data-agent="1001"]')).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="跳到正文")).to_be_focused()
    await page.get_by_role("tab", name="话务员").focus()
    await page.keyboard.press("ArrowRight")
    waiting = page.get_by_role("tab", name="等待来电")
    await expect(waiting).to_have_attribute("aria-selected", "true")
    await expect(waiting).to_be_focused()
    await page.keyboard.press("ArrowLeft")
    await page.get_by_role("button", name="暂停… 1001").press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(page.get_by_role("button", name="暂停… 1001")).to_be_focused()


@pytest.mark.parametrize("colours", ["dark", "light"])
async def test_axe_finds_nothing(open_screen: MakeScreen, colours: str) -> None:
    """WCAG 2.1 AA as far as a program can tell, contrast included."""
    axe = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
    screen = await open_screen(1366, 768, color_scheme=colours)
    found = []
    page = await screen.open("/sign-in")
    found += await _axe(page, axe)
    page = await screen.sign_in()
    await expect(page.locator('#floor [data-agent="1001"]')).to_be_visible()
    found += await _axe(page, axe)
    page = await screen.open("/supervisor")
    await expect(page.locator('tr[data-agent="1001"]')).to_be_visible()
    for tab in ("agents", "waiting", "queues", "callbacks", "calls", "messages"):
        await page.locator(f"#tab-{tab}").click()
        await expect(page.locator(f"#{tab}")).to_be_visible()
        found += await _axe(page, axe)
    assert not found, "\n".join(found)


async def _axe(page: Page, axe: str) -> list[str]:
    await page.evaluate(f"{axe}; 0")
    result: dict[str, Any] = await page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
    )
    return [
        f"{page.url}: {one['id']}: {one['help']}: {node['html'][:200]} {node['failureSummary']}"
        for one in result["violations"]
        for node in one["nodes"]
    ]


# --- states that no test centre of ours has: told to the page as its server would


@pytest.mark.parametrize("agents", [16, 25, 42, 76, 200])
async def test_so_many_agents_fit_on_the_wall(screen: Screen, agents: int) -> None:
    """Also with alarms; the largest number for each size of the tiles."""
    page = await screen.sign_in()
    state = _state(agents, alarms=2)
    await _tell(page, _event("snapshot", {"seq": 1, "now": _NOW, "state": state}))
    await page.reload()
    await expect(page.locator("#floor li")).to_have_count(agents)
    await expect(page.locator("#total")).to_have_text(f"{agents} 人")
    await expect(page.locator("#alarm-list li")).to_have_count(2)
    await expect(page.locator("#alarm-list li").last).to_contain_text("王芳 已知晓")
    for box in ("main", "#floor", ".queue", ".rate", ".service"):
        assert await page.locator(box).evaluate(_FITS) == "", box
    await screen.picture(f"wall-1920x1080-{agents}-agents")


@pytest.mark.parametrize("language", ["中文", "English"])
@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_nothing_is_wider_than_the_screen(
    open_screen: MakeScreen, width: int, height: int, language: str
) -> None:
    screen = await open_screen(width, height, color_scheme="light")
    page = await screen.sign_in()
    await _tell(page, _event("snapshot", {"seq": 1, "now": _NOW, "state": _state(20, alarms=2)}))
    for path in ("/sign-in", "/", "/supervisor"):
        await screen.open(path)
        if language == "English" and path == "/sign-in":
            await page.get_by_role("button", name="Switch to English").click()
        if path != "/sign-in":
            await expect(page.locator("#alarm-list li")).to_have_count(2)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        for box in await page.locator(".hero, .stages, .service div, .badge").all():
            assert await box.evaluate(_FITS) == ""
        await screen.picture(f"{path.strip('/') or 'wall'}-{width}x{height}-{language}")


_FITS = """(box) => {
    const room = box.getBoundingClientRect();
    const out = [...box.querySelectorAll("*:not(.unseen)")].find((part) => {
        const { left, top, right, bottom, width } = part.getBoundingClientRect();
        const beyond = left < room.left - 1 || top < room.top - 1 || right > room.right + 1 || bottom > room.bottom + 1;
        return width && beyond && getComputedStyle(part).display !== "inline"; // letters have room above them
    });
    return out ? out.outerHTML : "";
}"""
"""The first part of a box that reaches beyond it."""


_WATCH_TILES = """
window.touched = new Set();
addEventListener("DOMContentLoaded", () => {
    let complete = false;
    const tile = (node) => (node.closest ? node : node.parentElement)?.closest("li")?.dataset.agent;
    new MutationObserver((changes) => {
        for (const { target, addedNodes } of complete ? changes : []) {
            if (target.classList?.contains("lasts")) continue; // the time goes on for everybody
            for (const agent of [tile(target), ...[...addedNodes].map(tile)]) if (agent) window.touched.add(agent);
        }
        complete ||= document.querySelectorAll("#floor li").length >= 199;
    }).observe(document.querySelector("#floor"), { childList: true, subtree: true, characterData: true });
});
"""


async def test_a_change_touches_only_what_changed(screen: Screen) -> None:
    page = await screen.sign_in()
    state = _state(200)
    changed = {**state["agents"][7], "presence": "wrap-up", "since": _NOW, "name": "新名字"}
    change = {"seq": 6, "at": _NOW + 1, "set": {}, "agents": [changed], "gone": ["1100"]}
    await page.add_init_script(_WATCH_TILES)
    await _tell(
        page, _event("snapshot", {"seq": 5, "now": _NOW, "state": state}), _event("change", change)
    )
    await page.reload()
    tile = page.locator('.group[data-state="wrap-up"] [data-agent="1008"]')
    await expect(tile.locator(".who")).to_have_text("新名字")
    await expect(page.locator("#floor li")).to_have_count(199)
    touched = set(await page.evaluate("[...window.touched]"))
    assert touched - {"1100"} == {"1008"}


_WATCH_WAITING = """
window.shown = [];
addEventListener("DOMContentLoaded", () => {
    const figure = document.querySelector("#waiting");
    new MutationObserver(() => window.shown.push(figure.textContent))
        .observe(figure, { childList: true, subtree: true, characterData: true });
});
"""


async def test_a_gap_makes_the_screen_ask_for_a_snapshot(screen: Screen) -> None:
    page = await screen.sign_in()
    asked = 0
    first = _state(3)
    second = {**first, "at": _NOW + 9, "stages": dict.fromkeys(first["stages"], 4)}
    lost = {"stages": dict.fromkeys(first["stages"], 9)}

    async def stream(route: Route) -> None:
        nonlocal asked
        asked += 1
        body = _event("snapshot", {"seq": 8, "now": _NOW, "state": second})
        if asked == 1:
            # Number 6 is lost: what number 7 tells must not be shown without it.
            body = _event("snapshot", {"seq": 5, "now": _NOW, "state": first})
            change = {"seq": 7, "at": _NOW + 8, "set": lost, "agents": [], "gone": []}
            body += _event("change", change)
        await route.fulfill(content_type="text/event-stream", body=body)

    await page.add_init_script(_WATCH_WAITING)
    await page.route("**/api/live/stream", stream)
    await page.reload()
    await expect(page.locator("#waiting")).to_have_text("8")
    assert await page.evaluate("window.shown") == ["17", "8"]


_NOW = 1_795_000_000_000_000


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\nid: {data['seq']}\ndata: {json.dumps(data)}\n\n"


async def _tell(page: Page, *events: str) -> None:
    async def stream(route: Route) -> None:
        await route.fulfill(content_type="text/event-stream", body="".join(events))

    await page.route("**/api/live/stream", stream)


def _state(agents: int, alarms: int = 0) -> dict[str, Any]:
    presences = (
        "talking",
        "talking",
        "talking",
        "ready",
        "talking",
        "wrap-up",
        "talking",
        "paused",
    )
    second = 1_000_000
    return {
        "at": _NOW,
        "stages": {"greeting": 4, "waiting": 11, "ringing": 6, "talking": 118},
        "waiting_since": _NOW - 83 * second,
        "today": {"calls": 4963, "human": 4811, "m1": 4811 / 4963},
        "m4": 0.914,
        "sla15": 0.931,
        "sla60": None,
        "asa": 6.42,
        "abandoned": 0.021,
        "callbacks": {"due": 12, "yielded": 5},
        "curve": [
            [_NOW - (96 - n) * 900 * second, 0.972 - (0.04 if 40 < n < 46 else 0), 20 + n % 40]
            for n in range(96)
        ],
        "alarms": [
            {
                "id": str(n),
                "rule": "longest_wait",
                "severity": "critical" if n == 1 else "warning",
                "since": _NOW - n * second,
                "text_zh": f"有来电人已等待 {60 * n} 秒",
                "text_en": f"a caller has waited for {60 * n} seconds",
                "acknowledged_by": "王芳" if n == 2 else "",
            }
            for n in range(1, alarms + 1)
        ],
        "agents": [
            {
                "number": str(1001 + n),
                "name": ("王芳", "李秀英", "张伟", "欧阳建国")[n % 4],
                "presence": presences[n % len(presences)],
                "reason": "用餐" if presences[n % len(presences)] == "paused" else "",
                "since": _NOW - n * 7 * second,
                "until": 0,
                "call": "",
            }
            for n in range(agents)
        ],
    }


@contextlib.asynccontextmanager
async def _redis_stopped(centre: Centre) -> AsyncIterator[None]:
    """Kill Redis, and keep what would start it again from doing so."""
    up = centre.pid("main() up")
    redis = connect(f"unix://{centre.home}/run/redis.sock")
    pid = int((await redis.info("server"))["process_id"])
    await redis.aclose()
    centre.expected.append('"event":"program.died","program":"redis"')
    os.kill(up, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        yield
    finally:
        os.kill(up, signal.SIGCONT)
