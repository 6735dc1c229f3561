"""The controller's parts, put together without Asterisk: facts reach everybody, and the end is in order."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base.background import spawn
from base.settings import load
from diary import reader
from facts import (
    CallArrived,
    CallQueued,
    ControllerStarted,
    ControllerStopped,
    Fact,
    PhoneReachable,
)
from facts.requests import GetStatus, SetReady
from hotline.controller.serve import Controller

T = 1_763_700_000_000_000


@pytest.fixture
async def controller(engine: AsyncEngine, tmp_path: Path, free_ports: range) -> Controller:
    settings = load(
        home=tmp_path,
        ami_port=free_ports[0],
        agi_port=free_ports[1],
        redis_url=f"unix://{tmp_path}/no-redis.sock",
        stop_wait=0.1,
    )
    return Controller(settings, engine)


async def all_facts(engine: AsyncEngine) -> list[Fact]:
    return [fact async for fact in reader.read(engine, 0, 1 << 62)]


async def test_a_fact_reaches_diary_figures_and_screens(
    controller: Controller, engine: AsyncEngine
) -> None:
    stop = asyncio.Event()
    stop.set()
    await controller.start(stop)
    controller._report(CallArrived(T, "hotline-1.1", "12345", ""))
    controller._report(CallQueued(T + 1, "hotline-1.1", "default"))
    state = controller._shown.state(T + 2)
    assert state["waiting_since"] == T + 1
    controller._outlets.hand_on()
    assert controller._figures.snapshot(T + 2)["stages"]["waiting"] == 1
    assert [b'"CallArrived"' in line for line in controller._bus._outgoing].count(True) == 1
    await controller.stop()
    kinds = [fact.kind for fact in await all_facts(engine)]
    assert [kind for kind in kinds if kind.startswith("Call")] == ["CallArrived", "CallQueued"]


async def test_start_and_stop_are_in_the_diary(controller: Controller, engine: AsyncEngine) -> None:
    stop = asyncio.Event()
    stop.set()
    await controller.start(stop)
    assert (await controller._requests.answer(GetStatus())).ready is False, "no Asterisk yet"
    await controller.stop()
    types = [type(fact) for fact in await all_facts(engine)]
    assert types[0] is ControllerStarted
    assert types[-1] is ControllerStopped
    assert controller._outlets._recorded == [], "the figures and queue_log have the last facts, too"


async def test_it_does_not_become_ready_without_asterisk(controller: Controller) -> None:
    stop = asyncio.Event()
    starting = spawn(controller.start(stop), "start")
    await asyncio.sleep(0.3)
    assert not starting.done()
    assert controller.link_lost_for(T) != 0
    stop.set()
    await starting
    await controller.stop()


async def test_what_a_request_says_of_an_agent_is_what_the_floor_has(
    controller: Controller, engine: AsyncEngine
) -> None:
    from agents import roster

    await roster.add(engine, "1001", "王芳", "softphone-secret", T)
    stop = asyncio.Event()
    stop.set()
    await controller.start(stop)
    answer = controller._requests.answer
    assert (await answer(SetReady("1001"))).said == "agent 1001: unreachable"
    controller._report(PhoneReachable(T, "1001"))
    assert (await answer(SetReady("1001"))).said == "agent 1001: ready"
    await controller.stop()
