"""A supervisor at work: real calls wait, and their order is what the page decides."""

import re

import pytest
from playwright.async_api import Locator, Page, expect

from facts import CallerAssigned, CallerBroughtForward, CallMoved, OfferMade
from facts.numbers import normalise
from softphone.phones import AgentPhone, Leg, Phones
from tests.browser.conftest import MakeScreen
from tests.live.centre import NUMBER, Centre, until_talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
    made = await centre.fact(OfferMade, agent=agent.number, count=turn)
    await ringing.answer()
    ids = {await centre.call_id(caller): caller for caller in legs}
    caller = ids[made.call]
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
    agent = await centre.agent(phones, "1001", answer_after=None)
    talk = await phones.citizen("13900000610").dial(NUMBER)
    await (await agent.until_rings()).answer()
    await until_talk(talk, agent.tone)
    screen = await open_screen(1366, 768)
    page = await screen.sign_in(path="/supervisor#waiting")
    legs = await waits(centre, phones, page, FIRST, SECOND, THIRD)
    first = await centre.call_id(FIRST)
    token = (await (await page.request.get(f"{screen.address}/api/session")).json())["csrf"]
    refused = await page.request.post(
        f"{screen.address}/api/waiting/{first}/assign",
        data={"agent": "1003", "reason": "x"},
        headers={"X-CSRF-Token": token},
    )
    assert refused.status == 409
    assert "agent 1003 is signed out" in (await refused.json())["error"]
    await decide(page, THIRD, "指派", "1001")
    await decide(page, SECOND, "提前")
    await expect(row_of(page, SECOND)).to_be_visible()
    await centre.fact(CallerBroughtForward, call=await centre.call_id(SECOND))
    await centre.fact(CallerAssigned, call=await centre.call_id(THIRD))
    centre.kill_controller()
    await expect(page.locator("#stale")).not_to_be_empty()
    await expect(page.locator("#stale")).to_be_empty()
    await expect(page.locator("#waiting-rows tr").first).to_contain_text(normalise(THIRD))
    await talk.hang_up()
    order = [await next_caller(centre, agent, legs, turn) for turn in range(2, 5)]
    assert order == [THIRD, SECOND, FIRST]
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
