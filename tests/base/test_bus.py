"""The bus on a real redis-server: answers, refusals, silence, and Redis going away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from base import bus
from base.background import spawn
from base.bus import Bus, NoAnswer, Refused
from facts import LinkLost
from facts.control import HangUpTalk
from facts.requests import GetStatus, Reply, Request, SetReady, words_of
from tests.conftest import start_redis

STATE: Any = {"at": 7}


@pytest.fixture
async def pair(redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Bus, Bus]]:
    """The controller's end and a screen's, of a node of this test's own."""
    node = f"n{abs(hash(request.node.name))}"
    controller, screen = Bus(redis_url, node), Bus(redis_url, node)
    yield controller, screen
    await controller.close()
    await screen.close()


async def _handle(asked: Request) -> Reply:
    match asked:
        case SetReady("9"):
            raise Refused("there is no agent 9")
        case SetReady("boom"):
            raise RuntimeError("bug")
    return Reply(f"{asked.name} {words_of(asked)}")


async def test_a_command_is_answered(pair: tuple[Bus, Bus]) -> None:
    controller, screen = pair
    work = spawn(controller.answer(_handle), "answer")
    assert await screen.ask(SetReady("1001")) == Reply("agent.ready {'number': '1001'}")
    with pytest.raises(Refused, match="no agent 9"):
        await screen.ask(SetReady("9"))
    with pytest.raises(NoAnswer):
        await screen.ask(SetReady("boom"), wait=0.3)
    assert (await screen.ask(SetReady("2"))).said == "agent.ready {'number': '2'}"
    work.cancel()


async def test_a_talk_that_waits_for_a_phone_holds_up_no_other(pair: tuple[Bus, Bus]) -> None:
    controller, screen = pair
    rings, order = asyncio.Event(), list[str]()

    async def handle(asked: Request) -> Reply:
        if isinstance(asked, HangUpTalk):
            order.append(f"{asked.number} {asked.by}")
            if asked.by == "slow":
                await rings.wait()
        return Reply(asked.name)

    work = spawn(controller.answer(handle), "answer")
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(screen.ask(HangUpTalk("1001", "slow"), wait=5))
        while not order:
            await asyncio.sleep(0.01)
        after = group.create_task(screen.ask(HangUpTalk("1001", "after"), wait=5))
        assert await screen.ask(HangUpTalk("1002")) == Reply("talk.hang_up")
        assert await screen.ask(GetStatus()) == Reply("status")
        assert order == ["1001 slow", "1002 "], "one talk's requests keep their order"
        rings.set()
    assert slow.result() == after.result() == Reply("talk.hang_up")
    assert order[-1] == "1001 after"
    work.cancel()


async def test_without_a_controller_there_is_a_clear_error(pair: tuple[Bus, Bus]) -> None:
    with pytest.raises(NoAnswer, match="hotline up"):
        await pair[1].ask(GetStatus(), wait=0.2)


async def test_a_command_nobody_waits_for_any_more_is_not_carried_out(
    pair: tuple[Bus, Bus],
) -> None:
    controller, screen = pair
    with pytest.raises(NoAnswer):
        await screen.ask(SetReady("late"), wait=0.05)
    done: list[str] = []

    async def note(asked: Request) -> Reply:
        done.append(asked.name)
        return Reply()

    work = spawn(controller.answer(note), "answer")
    await screen.ask(GetStatus())
    assert done == ["status"]
    work.cancel()


async def test_a_command_whose_asker_gave_up_while_it_waited_is_not_carried_out(
    pair: tuple[Bus, Bus],
) -> None:
    controller, screen = pair
    known, done = asyncio.Event(), list[str]()

    async def ready(asked: Request) -> None:
        if isinstance(asked, HangUpTalk):
            await known.wait()
        if isinstance(asked, SetReady):
            raise Refused("not yet")

    async def note(asked: Request) -> Reply:
        done.append(asked.name)
        return Reply()

    work = spawn(controller.answer(note, ready), "answer")
    with pytest.raises(NoAnswer):
        await screen.ask(HangUpTalk("1001"), wait=0.1)
    known.set()
    with pytest.raises(Refused, match="not yet"):
        await screen.ask(SetReady("1001"))
    await screen.ask(HangUpTalk("1001", "again"))
    assert done == ["talk.hang_up"]
    work.cancel()


async def test_who_got_no_answer_asks_again_and_it_is_done_once(pair: tuple[Bus, Bus]) -> None:
    """The reply came too late for the first asking: the second one finds it."""
    controller, screen = pair
    slow, done = asyncio.Event(), list[str]()

    async def note(asked: Request) -> Reply:
        done.append(asked.name)
        await slow.wait()
        if isinstance(asked, SetReady):
            raise Refused("not yet", "early", "还不行")
        return Reply("hung up")

    work = spawn(controller.answer(note), "answer")
    for asked in (HangUpTalk("1001"), SetReady("1001")):
        slow.clear()
        with pytest.raises(NoAnswer):
            await screen.ask(asked, wait=0.2, name=asked.name)
        with pytest.raises(NoAnswer):  # still under way
            await screen.ask(asked, wait=0.2, name=asked.name)
        slow.set()
    for _ in range(2):
        assert (await screen.ask(HangUpTalk("1001"), name="talk.hang_up")).said == "hung up"
        with pytest.raises(Refused, match="not yet") as refused:
            await screen.ask(SetReady("1001"), name=SetReady("1001").name)
        assert refused.value.code == "early"
    assert done == ["talk.hang_up", SetReady("1001").name]
    work.cancel()


async def test_a_named_request_that_nobody_took_is_carried_out_when_it_is_asked_again(
    pair: tuple[Bus, Bus],
) -> None:
    controller, screen = pair
    done = list[str]()

    async def note(asked: Request) -> Reply:
        done.append(asked.name)
        return Reply("done")

    with pytest.raises(NoAnswer):
        await screen.ask(HangUpTalk("1001"), wait=0.1, name="one")
    work = spawn(controller.answer(note), "answer")
    assert (await screen.ask(HangUpTalk("1001"), name="one")).said == "done"
    assert done == ["talk.hang_up"]
    work.cancel()


async def test_the_next_controller_carries_out_no_named_request_a_second_time(
    pair: tuple[Bus, Bus],
) -> None:
    """The first one was killed in the middle of it: nobody knows how far it came."""
    controller, screen = pair
    done = list[str]()

    async def never_ends(asked: Request) -> Reply:
        done.append(asked.name)
        await asyncio.Event().wait()
        return Reply()

    async def refuses(asked: Request) -> None:
        raise Refused("starting")

    work = spawn(controller.answer(never_ends), "answer")
    with pytest.raises(NoAnswer):
        await screen.ask(SetReady("1001"), wait=0.2, name="one")
    work.cancel()
    for ready in (None, refuses):
        work = spawn(controller.answer(never_ends, ready), "answer")
        with pytest.raises(NoAnswer):
            await screen.ask(SetReady("1001"), wait=0.2, name="one")
        work.cancel()
    assert len(done) == 1


async def test_live_state_and_facts_reach_the_screens(pair: tuple[Bus, Bus]) -> None:
    controller, screen = pair
    assert await screen.live() is None
    got: list[dict[str, Any]] = []

    async def listen() -> None:
        async for fact in screen.facts():
            got.append(fact)  # noqa: PERF401 the stream never ends

    listener, sender = spawn(listen(), "listen"), spawn(controller.run(), "bus")
    async with asyncio.timeout(20):
        while not got:
            controller.send(LinkLost(7))
            await asyncio.sleep(0.05)
        controller.show(STATE)
        while await screen.live() != STATE:
            await asyncio.sleep(0.02)
    assert got[0] == {"at": 7, "kind": "LinkLost", "call": "", "agent": ""}
    listener.cancel()
    sender.cancel()


async def test_changes_go_out_and_once_a_second_the_whole_state(pair: tuple[Bus, Bus]) -> None:
    controller, screen = pair
    got: list[tuple[str, Any]] = []

    async def watch() -> None:
        async for channel, data in screen.watch():
            got.append((channel, orjson.loads(data)))

    async def until(count: int) -> None:
        async with asyncio.timeout(10):
            while len(got) < count:
                await asyncio.sleep(0.01)

    controller.show(made(1, 0))
    await controller._flush()
    watcher = spawn(watch(), "watch")
    await until(1)
    subscribed = 0
    async with asyncio.timeout(10):
        while not subscribed:
            counts = await controller._redis.pubsub_numsub(controller._changed)
            subscribed = counts[0][1]
    for at in (2, 3, 1 + bus.WHOLE_EVERY, 2 + bus.WHOLE_EVERY):
        controller.show(made(at, at))
        await controller._flush()
    await until(5)
    assert [(name, data["at"], data.get("before")) for name, data in got] == [
        ("live", 1, None),
        ("change", 2, 1),
        ("change", 3, 2),
        ("live", 1 + bus.WHOLE_EVERY, None),
        ("change", 2 + bus.WHOLE_EVERY, 1 + bus.WHOLE_EVERY),
    ]
    assert got[1][1]["set"] == {"m4": 2}
    newest = await screen.live()
    assert newest == made(1 + bus.WHOLE_EVERY, 1 + bus.WHOLE_EVERY)
    watcher.cancel()


async def test_an_unchanged_state_and_the_one_after_a_loss_go_out_whole(
    pair: tuple[Bus, Bus],
) -> None:
    controller, screen = pair
    for at, m4 in ((1, 1), (2, 1)):
        controller.show(made(at, m4))
        await controller._flush()
    assert await screen.live() == made(2, 1)
    controller._lost(OSError("gone"))
    controller.show(made(3, 2))
    await controller._flush()
    assert await screen.live() == made(3, 2)


def made(at: int, m4: float) -> Any:
    return {"at": at, "m4": m4, "agents": []}


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
    async with asyncio.timeout(10):
        await asyncio.wait([work])
    assert work.done()


async def test_redis_may_go_and_come_back(tmp_path: Path) -> None:
    with start_redis(tmp_path / "r.sock") as server:
        controller = Bus(f"unix://{server.socket}", "n")
        screen = Bus(f"unix://{server.socket}", "n")
        work = [spawn(controller.run(), "bus"), spawn(controller.answer(_handle), "answer")]
        assert (await screen.ask(GetStatus())).said
        server.stop()
        for n in range(20):
            controller.send(LinkLost(n))
        with pytest.raises(NoAnswer):
            await screen.ask(GetStatus(), wait=0.3)
        server.start_again()
        async with asyncio.timeout(10):
            while True:
                try:
                    await screen.ask(GetStatus())
                    break
                except NoAnswer:
                    await asyncio.sleep(0.1)
            controller.show(STATE)
            while await screen.live() != STATE:
                await asyncio.sleep(0.05)
        for task in work:
            task.cancel()
        await controller.close()
        await screen.close()


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        ("agent.fly", {}, "there is no command agent.fly"),
        ("agent.ready", {"number": 7}, "agent.ready: number is of the wrong type: it must be text"),
        ("agent.ready", {}, "agent.ready needs a number"),
        ("agent.ready", {"number": "1", "colour": "red"}, "agent.ready has no colour"),
        ("agent.ready", [], "agent.ready: its words must be an object"),
    ],
)
async def test_a_request_that_cannot_be_read_is_refused_in_a_sentence(
    pair: tuple[Bus, Bus], command: str, words: object, says: str
) -> None:
    controller, _ = pair
    work = spawn(controller.answer(_handle), "answer")
    request = {"id": "x", "command": command, "args": words, "until": 1 << 60}
    await controller._redis.rpush(controller._commands, orjson.dumps(request))
    taken = await controller._redis.blpop([controller._answer + "x"], timeout=5)
    assert taken is not None
    assert orjson.loads(taken[1]) == {"refused": says}
    work.cancel()
