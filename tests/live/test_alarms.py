"""Alarms of a running centre: raised by real calls, told once, seen, cleared; and none when the controller restarts."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from base.bus import Bus
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre, until_talk
from tests.live.gateway import Gateway
from tests.receivers import Hook

RULES = {
    "nobody_ready": {"hold": 1, "rest": 1},
    "link_lost": {"raise_at": 1, "rest": 0},
    "longest_wait": {"raise_at": 600},
    "trunk_gone": {"hold": 0, "rest": 0},
    "stale_figures": {"raise_at": 3, "clear_at": 2, "rest": 0},
}


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with Hook() as made:
        yield made


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """The trunk for calls to citizens. As long as no test enters it, it has a port and says nothing."""
    made = Gateway()
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(hook: Hook, gateway: Gateway) -> Iterator[Centre]:
    settings = {"alarms": json.dumps(RULES), "alarm_urls": hook.url}
    with Centre(**settings, outbound=gateway.address) as centre:
        centre.add_agent("1001")
        yield centre


async def until_shown(centre: Centre, rule: str, *, raised: bool = True) -> dict[str, Any]:
    """Wait until this rule's alarm is on the screens, or is not any more; they follow within half a second."""
    bus = Bus(f"unix://{centre.home}/run/redis.sock", "hotline")
    try:
        async with asyncio.timeout(20):
            while True:
                live = await bus.live()
                found = [one for one in live["alarms"] if one["rule"] == rule] if live else []
                if bool(found) == raised:
                    return {**found[0]} if found else {}
                await asyncio.sleep(0.05)
    finally:
        await bus.close()


async def listed(centre: Centre, *more: str) -> dict[str, dict[str, Any]]:
    rows = json.loads(await centre.cli("alarm", "list", "--format", "json", *more))
    return {row["rule"]: row for row in rows}


def told(hook: Hook, words: str) -> list[str]:
    """The kinds of the messages with these words, in order."""
    return [one["type"] for one in hook.got if words in one["title"]]


NOBODY = "1 位来电人在等待，没有话务员在岗"
SILENT = "控制程序已"


async def test_a_caller_waits_and_nobody_is_there(
    centre: Centre, phones: Phones, hook: Hook
) -> None:
    centre.shorten_greeting()
    leg = await phones.citizen("13800000021").dial(NUMBER)
    await centre.until(lambda: told(hook, NOBODY) == ["failure"], 40, "the webhook")
    alarm = await until_shown(centre, "nobody_ready")
    assert (alarm["severity"], alarm["value"]) == ("critical", 1)
    assert alarm["text_en"] == "1 callers wait, and no agent is on duty"
    said = await centre.cli("alarm", "ack", alarm["id"], "--by", "王芳")
    assert "acknowledged by 王芳" in said
    row = (await listed(centre))["nobody_ready"]
    assert (row["id"], row["acknowledged_by"], row["cleared_at"]) == (alarm["id"], "王芳", None)
    assert row["since"] == alarm["since"] < row["acknowledged_at"]
    text = await centre.cli("alarm", "list", "--lang", "en")
    assert f"{alarm['id']}  critical" in text
    assert "no agent is on duty  (seen by 王芳" in text
    await centre.cli("alarm", "ack", "nothing", status=1)

    # The controller restarts: the same alarm, and no second message.
    centre.kill_controller()
    await centre.until(
        lambda: sum("controller.ready" in line for line in centre.log_lines()) == 2,
        20,
        "another controller",
    )

    agent = await centre.agent(phones, "1001", answer_after=0.2)
    await leg.until_hears(agent.tone, 20)
    await leg.hang_up()
    both = ["failure", "success"]
    await centre.until(lambda: told(hook, NOBODY) == both, 40, "the all-clear")
    row = (await listed(centre, "--hours", "1"))["nobody_ready"]
    assert row["id"] == alarm["id"]
    assert row["cleared_at"] > row["acknowledged_at"]
    await until_shown(centre, "nobody_ready", raised=False)
    assert told(hook, NOBODY) == both


def measured(centre: Centre) -> dict[str, float]:
    """What Prometheus would read."""
    with urllib.request.urlopen(
        f"http://127.0.0.1:{centre.metrics_port}/metrics", timeout=5
    ) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def test_the_trunk_answers_or_does_not(centre: Centre, hook: Hook, gateway: Gateway) -> None:
    silent = "外呼中继无应答"
    await centre.until(lambda: told(hook, silent) == ["failure"], 60, "the alarm")
    async with gateway:
        centre.asterisk("pjsip qualify outbound-watch")  # it asks by itself, but not so often
        await centre.until(
            lambda: told(hook, silent) == ["failure", "success"], 60, "the all-clear"
        )


async def test_what_prometheus_reads(centre: Centre, phones: Phones) -> None:
    centre.shorten_greeting()
    before = measured(centre)
    assert before["hotline_ami_up"] == 1
    assert before["hotline_redis_up"] == 1
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen("13800000022").dial(NUMBER)
    await until_talk(leg, agent.tone, 20)
    await centre.until(
        lambda: measured(centre)['hotline_agents{state="talking"}'] == 1, 10, "an agent who talks"
    )
    await centre.until(
        lambda: measured(centre)['hotline_callers{stage="talking"}'] == 1, 10, "a caller who talks"
    )
    await leg.hang_up()
    await centre.call("13800000022")

    def grown(name: str) -> float:
        return measured(centre)[name] - before[name]

    await centre.until(lambda: grown('hotline_calls_ended_total{outcome="human"}') == 1, 10, "it")
    assert grown("hotline_calls_arrived_total") == 1
    assert grown("hotline_offers_made_total") == 1
    assert grown('hotline_offers_ended_total{result="answered"}') == 1
    assert grown('hotline_wait_seconds_count{result="answered"}') == 1
    assert grown("hotline_talk_seconds_count") == 1
    assert 0 < grown("hotline_talk_seconds_sum") < 30
    assert 0 < grown("hotline_ring_seconds_sum") < 10
    assert grown("hotline_ami_event_lag_seconds_count") > 3
    late = grown("hotline_ami_event_lag_seconds_sum") / grown("hotline_ami_event_lag_seconds_count")
    assert late < 1


async def test_the_controller_is_gone_and_the_screens_program_says_so(
    centre: Centre, hook: Hook
) -> None:
    before = told(hook, SILENT)
    centre.kill_controller(for_good=True)
    try:
        await centre.until(lambda: told(hook, SILENT) == [*before, "failure"], 40, "the webhook")
    finally:
        centre.revive()
    await centre.until(
        lambda: told(hook, SILENT) == [*before, "failure", "success"], 40, "the all-clear"
    )
