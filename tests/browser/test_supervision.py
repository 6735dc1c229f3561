"""A supervisor at work: real calls wait, and their order is what the page decides."""

import json
import re

import pytest
from playwright.async_api import Locator, Page, Route, expect

from base.background import spawn
from facts import (
    AlertAcknowledged,
    AlertEscalated,
    AlertRaised,
    CallerAssigned,
    CallerBroughtForward,
    CallMoved,
    CallReturned,
)
from facts.numbers import normalise
from softphone.phones import AgentPhone, Leg, Phones
from tests.browser.conftest import ALERT_WITHIN, PASSWORD, MakeScreen
from tests.browser.test_screens import _axe
from tests.live.centre import NUMBER, ROOT, Centre, until_talk
from tests.live.centre import PASSWORD as PHONES_PASSWORD
from tests.live.sip import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLER = "13900000620"
FIRST, SECOND, THIRD, FOURTH = (f"1390000060{number}" for number in range(1, 5))


async def waits(centre: Centre, phones: Phones, page: Page, *callers: str) -> dict[str, Leg]:
    """These citizens call, one after the other, and the page lists them in that order."""
    legs = {}
    for place, caller in enumerate(callers):
        legs[caller] = await phones.citizen(caller).dial(NUMBER)
        row = page.locator("#waiting-rows tr").nth(place)
        await expect(row.locator("th")).to_have_text(normalise(caller))
    return legs


def row_of(page: Page, caller: str) -> Locator:
    return page.locator("#waiting-rows tr").filter(has_text=normalise(caller))


async def decide(page: Page, caller: str, button: str, choice: str = "") -> None:
    """Press a button at a caller, with a reason."""
    await row_of(page, caller).get_by_role("button", name=re.compile(f"^{button}")).click()
    dialog = page.locator("#decide")
    await expect(dialog).to_be_visible()
    if choice:
        await dialog.get_by_role("combobox").select_option(choice)
    await dialog.get_by_label("理由").fill("投诉升级")
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()


async def next_caller(centre: Centre, agent: AgentPhone, legs: dict[str, Leg], turn: int) -> str:
    """The agent's next phone call is answered, talked and ended. Gives who it was."""
    ringing = await agent.until_rings(turn)
    await ringing.answer()

    def talking() -> list[str]:
        return [one for one, leg in legs.items() if leg.talking and leg.hears(agent.tone)]

    await centre.until(lambda: bool(talking()), 15, "a citizen to hear the agent")
    (caller,) = talking()
    await until_talk(legs[caller], agent.tone)
    await legs[caller].hang_up()
    return caller


async def test_the_order_is_what_the_supervisor_decides(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    """Four wait for one agent who talks: the last is assigned to them, the third brought forward."""
    centre.shorten_greeting()
    await centre.cli("queue", "set", "tax")
    agent = await centre.agent(phones, "1001", answer_after=None)
    talk = await phones.citizen("13900000600").dial(NUMBER)
    await (await agent.until_rings()).answer()
    await until_talk(talk, agent.tone)
    screen = await open_screen(1366, 768)
    page = await screen.sign_in(path="/supervisor#waiting")
    busy = page.locator('tr[data-agent="1001"]')
    await page.get_by_role("tab", name="话务员").click()
    await expect(busy).to_contain_text(normalise("13900000600"))
    await page.get_by_role("tab", name="等待来电").click()
    await expect(page.locator("#waiting-empty")).to_be_visible()
    legs = await waits(centre, phones, page, FIRST, SECOND, THIRD, FOURTH)
    await expect(page.locator("#waiting-count")).to_have_text("4")
    await screen.picture("supervisor-waiting")
    await decide(page, FOURTH, "指派", "1001")
    await expect(page.get_by_role("status")).to_contain_text("已指派给 1001")
    await expect(row_of(page, FOURTH)).to_contain_text("等 1001")
    await decide(page, THIRD, "提前")
    await expect(page.get_by_role("status")).to_contain_text("提到队列最前")
    await decide(page, FIRST, "转队列", "tax")
    await expect(row_of(page, FIRST)).to_contain_text("tax")
    ids = {caller: await centre.call_id(caller) for caller in legs}
    assigned = await centre.fact(CallerAssigned, call=ids[FOURTH], agent="1001")
    forward = await centre.fact(CallerBroughtForward, call=ids[THIRD])
    moved = await centre.fact(CallMoved, call=ids[FIRST], queue="tax")
    for fact in (assigned, forward, moved):
        assert (fact.by, fact.reason) == ("chief", "投诉升级")
    await talk.hang_up()
    order = [await next_caller(centre, agent, legs, turn) for turn in range(2, 6)]
    assert order[:2] == [FOURTH, THIRD]
    assert set(order[2:]) == {FIRST, SECOND}
    assert order[2] == FIRST, "moved with the place that they had"
    await expect(page.locator("#waiting-empty")).to_be_visible()
    await centre.press(agent, "*13")


async def test_a_refused_decision_says_why_and_a_killed_controller_keeps_the_others(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    # Callers of this test alone: the diary has the others' calls of before.
    early, later, latest = (f"1390000062{number}" for number in range(1, 4))
    agent = await centre.agent(phones, "1001", answer_after=None)
    talk = await phones.citizen("13900000610").dial(NUMBER)
    await (await agent.until_rings()).answer()
    await until_talk(talk, agent.tone)
    screen = await open_screen(1366, 768)
    page = await screen.sign_in(path="/supervisor#waiting")
    legs = await waits(centre, phones, page, early, later, latest)
    first = await centre.call_id(early)
    token = (await (await page.request.get(f"{screen.address}/api/session")).json())["csrf"]
    refused = await page.request.post(
        f"{screen.address}/api/waiting/{first}/assign",
        data={"agent": "1003", "reason": "x"},
        headers={"X-CSRF-Token": token},
    )
    assert refused.status == 409
    assert "agent 1003 is signed out" in (await refused.json())["error"]
    await decide(page, latest, "指派", "1001")
    await decide(page, later, "提前")
    await expect(row_of(page, later)).to_be_visible()
    await centre.fact(CallerBroughtForward, call=await centre.call_id(later))
    await centre.fact(CallerAssigned, call=await centre.call_id(latest))
    centre.kill_controller()
    for caller in legs:
        await centre.fact(CallReturned, 60, call=await centre.call_id(caller))
    await expect(page.locator("#waiting-rows tr").first).to_contain_text(normalise(latest))
    await talk.hang_up()
    order = [await next_caller(centre, agent, legs, turn) for turn in range(2, 5)]
    assert order == [latest, later, early]
    await centre.press(agent, "*13")


async def test_a_guest_sees_who_waits_without_numbers_and_decides_nothing(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    leg = await phones.citizen(FIRST).dial(NUMBER)
    screen = await open_screen(390, 844)
    page = await screen.sign_in("visitor", "/supervisor#waiting")
    row = page.locator("#waiting-rows tr")
    await expect(row).to_contain_text("****0601")
    await expect(row.get_by_role("button")).to_have_count(0)
    assert "13900000601" not in await page.content()
    await page.get_by_role("button", name="Switch to English").click()
    await expect(page.get_by_role("tab", name="Waiting")).to_be_visible()
    await leg.hang_up()
    await expect(row).to_have_count(0)


RIGHTS = ("talks.listen", "talks.step_in", "talks.end", "parties.own", "talks.survey")


async def test_a_talk_has_the_buttons_that_make_sense_now(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    """Its length, caller and queue; what a route answers is shown. The routes' own tests show what they do."""
    asked: list[tuple[str, object]] = []

    async def may_more(route: Route) -> None:
        answer = await route.fetch()
        found = await answer.json()
        await route.fulfill(response=answer, json={**found, "rights": [*found["rights"], *RIGHTS]})

    async def talks(route: Route) -> None:
        body = route.request.post_data
        asked.append((route.request.url.rpartition("/api/")[2], json.loads(body) if body else None))
        if route.request.url.endswith("/transfer"):
            await route.fulfill(status=409, json={"error": "nobody has the number 7777"})
        else:
            await route.fulfill(json={"said": "done"})

    screen = await open_screen(1366, 768)
    screen.expected.append("409")
    await screen.page.route("**/api/session", may_more)
    await screen.page.route("**/api/talks/**", talks)
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    page = await screen.sign_in(path="/supervisor")
    row = page.locator('tr[data-agent="1001"]')
    button = row.get_by_role("button", name="通话… 1001")
    await expect(row).to_contain_text("就绪")
    await expect(button).to_be_hidden()
    leg = await phones.citizen(FIRST).dial(NUMBER)
    await until_talk(leg, agent.tone)
    await button.focus()
    await page.keyboard.press("Enter")
    dialog = page.locator("#talk")
    await expect(dialog.locator("#talk-caller")).to_have_text(normalise(FIRST))
    await expect(dialog.locator("#talk-queue")).to_have_text("default")
    await expect(dialog.locator("#talk-lasts")).to_have_text(re.compile(r"0:0[2-9]|0:[1-5]\d"))
    for name in ("监听", "耳语", "强插", "接管", "保持", "转满意度评价"):
        await expect(dialog.get_by_role("button", name=name, exact=True)).to_be_visible()
    for name in ("退出监听", "三方合并", "请出…"):
        await expect(dialog.get_by_role("button", name=name, exact=True)).to_be_hidden()
    await screen.picture("supervisor-talk")
    axe = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
    assert await _axe(page, axe) == []
    await dialog.get_by_role("button", name="耳语", exact=True).click()
    await dialog.get_by_role("button", name="转接…").click()
    await page.locator("#decide").get_by_label("转给").fill("7777")
    await page.keyboard.press("Enter")
    await expect(page.locator("#talk-says")).to_contain_text("nobody has the number 7777")
    await dialog.get_by_role("button", name="紧急服务…").click()
    await page.locator("#decide").get_by_label("接入").select_option("120")
    await page.locator("#decide").get_by_role("button", name="确定").click()
    await expect(page.locator("#talk-says")).to_have_text("正在呼叫紧急服务")
    assert asked == [
        ("talks/1001/listen", {"mode": "whisper"}),
        ("talks/1001/transfer", {"to": "7777"}),
        ("talks/1001/emergency", {"service": "120"}),
    ]
    await leg.hang_up()
    await expect(page.locator("#talk-over")).to_have_text("这次通话已结束")
    await expect(dialog.get_by_role("button", name="监听", exact=True)).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await centre.press(agent, "*13")


async def test_a_talk_of_another_queue_has_no_buttons_of_supervision(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    """The account is limited to queues: to another one than the talk's, then to the talk's as well."""
    queues = ["tax"]

    async def limited(route: Route) -> None:
        answer = await route.fetch()
        found = await answer.json()
        given = {**found, "rights": [*found["rights"], *RIGHTS], "queues": queues}
        await route.fulfill(response=answer, json=given)

    screen = await open_screen(1366, 768)
    await screen.page.route("**/api/session", limited)
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    page = await screen.sign_in(path="/supervisor")
    leg = await phones.citizen("13900000630").dial(NUMBER)
    await until_talk(leg, agent.tone)
    supervision = ("监听", "耳语", "强插", "接管", "强拆")
    dialog = page.locator("#talk")
    for more in ([], ["default"]):
        queues.extend(more)
        await page.reload()
        await page.locator('tr[data-agent="1001"]').get_by_role("button", name="通话… 1001").click()
        await expect(dialog.get_by_role("button", name="保持", exact=True)).to_be_visible()
        for name in supervision:
            button = dialog.locator("button").filter(has_text=re.compile(f"^{name}"))
            await expect(button).to_be_visible(visible="default" in queues)
    await leg.hang_up()
    await centre.press(agent, "*13")


async def account_of(centre: Centre, agent: str) -> None:
    await centre.cli(
        *("account", "add", f"li{agent}", "--role", "agent", "--agent", agent, "--password-stdin"),
        stdin=PASSWORD,
    )


async def test_the_red_button_by_key_is_on_the_page_and_escalates_until_it_is_seen(
    open_screen: MakeScreen, centre: Centre, phones: Phones
) -> None:
    """From the agent's phone to the supervisor's page; the timer goes on while the controller is killed."""
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    screen = await open_screen(1366, 768)
    page = await screen.sign_in(path="/supervisor")
    leg = await phones.citizen(CALLER).dial(NUMBER)
    await until_talk(leg, agent.tone)
    await expect(page.locator("#alerts")).to_be_hidden()
    await phones.legs[-1].press("*2")
    raised = await centre.fact(AlertRaised, agent="1001")
    item = page.locator("#alert-list li")
    await expect(item).to_contain_text(f"话务员 1001（来电 {normalise(CALLER)}）紧急求助")
    call = await centre.call_id(CALLER)
    assert (raised.call, raised.by) == (call, "")
    [matter] = await (await page.request.get(f"{screen.address}/api/alerts")).json()
    assert (matter["id"], matter["at"], matter["call"]) == (raised.alert, raised.at, call)
    alarms = page.locator("#alarm-list")
    await expect(alarms).to_contain_text("话务员 1001 按下紧急按钮")
    await screen.picture("supervisor-alert")
    centre.kill_controller()
    escalated = await centre.fact(AlertEscalated, 60, alert=raised.alert)
    assert escalated.at - raised.at >= ALERT_WITHIN * 1_000_000
    await expect(item).to_contain_text("已升级")
    await expect(alarms).to_contain_text("未在时限内确认")
    assert leg.talking, "the talk went on"
    await item.get_by_role("button", name="确认").click()
    seen = await centre.fact(AlertAcknowledged, alert=raised.alert)
    assert seen.by == "chief"
    await expect(page.locator("#alerts")).to_be_hidden()
    await leg.hang_up()
    await centre.press(agent, "*13")


async def test_a_message_is_on_the_page_and_on_a_phone_that_shows_texts(
    open_screen: MakeScreen, centre: Centre
) -> None:
    """One phone takes it, one refuses (405): nobody is told that it showed what it did not."""
    await account_of(centre, "1002")
    texts: list[str] = []
    with Wire(centre.sip) as shows, Wire(centre.sip) as refuses:
        await shows.register("1003", PHONES_PASSWORD)
        await refuses.register("1002", PHONES_PASSWORD)
        at_work = [
            spawn(take_texts(shows, "200 OK", texts), "phone 1003"),
            spawn(take_texts(refuses, "405 Method Not Allowed", []), "phone 1002"),
        ]
        for number in ("1002", "1003"):
            await centre.cli("agent", "ready", number)
            await centre.presence(number, "ready")
        desk, own = await open_screen(1366, 768), await open_screen(390, 844)
        page = await desk.sign_in(path="/supervisor#messages")
        mine = await own.sign_in("li1002", "/supervisor")
        await expect(mine.locator('tr[data-agent="1002"]')).to_contain_text("就绪")
        await expect(mine.locator("#inbox")).to_be_hidden()
        await page.get_by_label("内容").fill("系统升级，请在 14:00 前保存")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status").first).to_contain_text("消息已送到页面")
        await expect(mine.locator("#inbox-list li")).to_contain_text("系统升级，请在 14:00 前保存")
        rows = page.locator("#message-rows tr")
        await expect(rows.filter(has_text="1003")).to_contain_text("话机已接收")
        await expect(rows.filter(has_text="1002")).to_contain_text("话机未显示")
        await expect(rows.filter(has_text="1001")).to_contain_text("话机未登录")
        assert texts == ["系统升级，请在 14:00 前保存"]
        await desk.picture("supervisor-messages")
        await mine.get_by_role("button", name="已读").click()
        await expect(mine.locator("#inbox")).to_be_hidden()
        assert "系统升级" not in "\n".join(centre.log_lines()), "the text is in a log"
        for work in at_work:
            work.cancel()
        for number in ("1002", "1003"):
            await centre.cli("agent", "out", number)


async def take_texts(wire: Wire, answer: str, texts: list[str]) -> None:
    """A phone that answers each text so, and OPTIONS."""
    while True:
        asked = (await wire.until_asked(b"MESSAGE")).decode()
        texts.append(asked.partition("\r\n\r\n")[2])
        kept = re.findall(r"^(?:Via|From|To|Call-ID|CSeq): .*?\r\n", asked, re.MULTILINE)
        head = f"SIP/2.0 {answer}\r\n{''.join(kept)}Content-Length: 0\r\n\r\n"
        await wire.send(head.encode())
