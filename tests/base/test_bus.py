"""The bus on a real redis-server: answers, refusals, silence, and Redis going away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from base.background import spawn
from base.bus import Bus, NoAnswer, Refused
from tests.conftest import start_redis


@pytest.fixture
async def pair(redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Bus, Bus]]:
    """The controller's end and a screen's, of a node of this test's own."""
    node = f"n{abs(hash(request.node.name))}"
    controller, screen = Bus(redis_url, node), Bus(redis_url, node)
    yield controller, screen
    await controller.close()
    await screen.close()


async def _handle(command: str, args: dict[str, Any]) -> dict[str, Any]:
    if command == "no":
        raise Refused("there is no agent 9")
    if command == "boom":
        raise RuntimeError("bug")
    return {"command": command, **args}


async def test_a_command_is_answered(pair: tuple[Bus, Bus]) -> None:
    controller, screen = pair
    work = spawn(controller.answer(_handle), "answer")
    assert await screen.ask("ready", number="1001") == {"command": "ready", "number": "1001"}
    with pytest.raises(Refused, match="no agent 9"):
        await screen.ask("no")
    with pytest.raises(NoAnswer):
        await screen.ask("boom", wait=0.3)
    assert (await screen.ask("ready", number="2"))["number"] == "2"
    work.cancel()


async def test_without_a_controller_there_is_a_clear_error(pair: tuple[Bus, Bus]) -> None:
    with pytest.raises(NoAnswer, match="hotline up"):
        await pair[1].ask("ready", wait=0.2)


async def test_a_command_nobody_waits_for_any_more_is_not_carried_out(
    pair: tuple[Bus, Bus],
) -> None:
    controller, screen = pair
    with pytest.raises(NoAnswer):
        await screen.ask("late", wait=0.05)
    done: list[str] = []

    async def note(command: str, args: dict[str, Any]) -> dict[str, Any]:
        done.append(command)
        return {}

    work = spawn(controller.answer(note), "answer")
    await screen.ask("now")
    assert done == ["now"]
    work.cancel()


async def test_live_state_and_facts_reach_the_screens(pair: tuple[Bus, Bus]) -> None:
    controller, screen = pair
    assert await screen.live() is None
    got: list[dict[str, Any]] = []

    async def listen() -> None:
        async for fact in screen.facts():
            got.append(fact)  # noqa: PERF401 the stream never ends

    listener, sender = spawn(listen(), "listen"), spawn(controller.run(), "bus")
    async with asyncio.timeout(5):
        while not got:
            controller.tell({"kind": "CallArrived"})
            await asyncio.sleep(0.05)
        controller.show({"at": 7})
        while await screen.live() != {"at": 7}:
            await asyncio.sleep(0.02)
    assert got[0] == {"kind": "CallArrived"}
    listener.cancel()
    sender.cancel()


async def test_it_stops_though_the_library_lost_the_cancellation(
    pair: tuple[Bus, Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, _ = pair
    sent: list[asyncio.Future[None]] = []

    async def blpop(keys: list[str], timeout: float) -> None:
        sent.append(asyncio.get_running_loop().create_future())
        # As redis sends: its end and a cancellation in one turn of the loop lose the cancellation in Python 3.11.
        await asyncio.wait_for(sent[-1], 5)  # noqa: TID251

    monkeypatch.setattr(controller._redis, "blpop", blpop)
    work = spawn(controller.answer(_handle), "answer")
    while not sent:
        await asyncio.sleep(0)
    sent[0].set_result(None)
    work.cancel()
    async with asyncio.timeout(2):
        await asyncio.wait([work])
    assert work.done()


async def test_redis_may_go_and_come_back(tmp_path: Path) -> None:
    with start_redis(tmp_path / "r.sock") as server:
        controller = Bus(f"unix://{server.socket}", "n")
        screen = Bus(f"unix://{server.socket}", "n")
        work = [spawn(controller.run(), "bus"), spawn(controller.answer(_handle), "answer")]
        assert await screen.ask("one")
        server.stop()
        for n in range(20):
            controller.tell({"n": n})
        with pytest.raises(NoAnswer):
            await screen.ask("two", wait=0.3)
        server.start_again()
        async with asyncio.timeout(10):
            while True:
                try:
                    await screen.ask("three")
                    break
                except NoAnswer:
                    await asyncio.sleep(0.1)
            controller.show({"at": 9})
            while await screen.live() != {"at": 9}:
                await asyncio.sleep(0.05)
        for task in work:
            task.cancel()
        await controller.close()
        await screen.close()
