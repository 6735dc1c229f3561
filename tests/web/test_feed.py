"""The stream: whole, then changes; beats; masks; slow screens; Redis and the web process going and coming back."""

import asyncio
import socket
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base import clock
from base.background import spawn
from base.bus import Bus
from facts import AgentReady, CallArrived, as_json
from facts.live import Following, LiveState, difference, follow
from tests.conftest import start_redis
from tests.web.conftest import Web, state
from web import feed as live_feed
from web.accounts.accounts import Who
from web.accounts.rights import OF_ROLE, Role
from web.feed import Feed, Screen, Stream

_SUPERVISOR = Who("wang", Role.SUPERVISOR, OF_ROLE[Role.SUPERVISOR])

Event = tuple[str, dict[str, Any]]


async def _events(answer: httpx.Response) -> AsyncIterator[Event]:
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, orjson.loads(line.removeprefix("data: "))


async def _next(events: AsyncIterator[Event], name: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        async for found, data in events:
            if found == name:
                return data
    raise AssertionError(f"the stream ended before {name}")


async def shown_to(web: Web, shown: LiveState) -> None:
    """Show a state, and wait until the web process has it."""
    web.controller.show(shown)
    async with asyncio.timeout(10):
        while web.backend.feed.state != shown:
            await asyncio.sleep(0.01)


def _waiting(*calls: str, before: int = 0) -> list[dict[str, Any]]:
    return [{"call": call, "caller": "+8613800000001", "before": before} for call in calls]


async def test_waiting_callers_come_and_go_one_by_one_and_masked_for_guests(web: Web) -> None:
    await shown_to(web, state(waiting=_waiting("n-1.1", "n-1.2")))
    async with web.clients[Role.GUEST].stream("GET", "/api/live/stream") as answer:
        events = _events(answer)
        whole = await _next(events, "snapshot")
        assert [one["caller"] for one in whole["state"]["waiting"]] == ["+86****0001"] * 2
        await shown_to(web, state(waiting=_waiting("n-1.2", "n-1.3")))
        change = await _next(events, "change")
        assert change["waiting"] == [{"call": "n-1.3", "caller": "+86****0001", "before": 0}]
        assert (change["left"], "waiting" in change["set"]) == (["n-1.1"], False)


def test_a_change_of_waiting_callers_leads_to_the_state_after_it() -> None:
    was, now = state(at=1, waiting=_waiting("a", "c", "d")), state(at=2)
    now["waiting"] = [*_waiting("a"), *_waiting("b"), *_waiting("c", before=3)]
    change = difference(was, now)
    assert change is not None
    assert [one["call"] for one in change["waiting"]] == ["b", "c"]
    told: Following = {"before": 1, "at": 2, **change}
    assert follow(was, told) == now


async def test_a_screen_gets_the_whole_state_and_then_what_changes(web: Web) -> None:
    await shown_to(web, state())
    async with web.clients[Role.SUPERVISOR].stream("GET", "/api/live/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = _events(answer)
        whole = await _next(events, "snapshot")
        assert [agent["name"] for agent in whole["state"]["agents"]] == ["王芳", "李娜"]
        after = state()
        after["agents"][1]["presence"] = "ready"
        after["waiting_since"] = 5
        await shown_to(web, after)
        change = await _next(events, "change")
        assert change["seq"] == whole["seq"] + 1
        assert change["set"] == {"waiting_since": 5}
        assert [agent["number"] for agent in change["agents"]] == ["1002"]
        assert change["gone"] == []
        snapshot = (await web.clients[Role.SUPERVISOR].get("/api/live")).json()
        assert snapshot["seq"] == change["seq"]
        assert snapshot["state"] == after


async def test_a_guest_sees_no_names(web: Web) -> None:
    await shown_to(web, state(calls=[{"caller": "13812345678", "call": "n-1.1"}]))
    async with web.clients[Role.GUEST].stream("GET", "/api/live/stream") as answer:
        events = _events(answer)
        whole = await _next(events, "snapshot")
        assert [agent["name"] for agent in whole["state"]["agents"]] == ["王*", "李*"]
        assert whole["state"]["calls"][0]["caller"] == "138****5678"
        await shown_to(web, state(calls=[{"caller": "13912345678", "call": "n-1.2"}]))
        assert (await _next(events, "change"))["set"]["calls"][0]["caller"] == "139****5678"


async def test_a_beat_says_how_old_the_state_is(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "BEAT_EVERY", 0.05)
    await shown_to(web, state())
    async with web.clients[Role.GUEST].stream("GET", "/api/live/stream") as answer:
        events = _events(answer)
        await _next(events, "snapshot")
        first, second = await _next(events, "beat"), await _next(events, "beat")
        assert first["heard"] == second["heard"] <= first["now"] < second["now"]


async def test_facts_reach_listeners_masked_by_role(web: Web) -> None:
    fact = CallArrived(1, "n-1.1", "12345", "13812345678")
    async with (
        web.clients[Role.SUPERVISOR].stream("GET", "/api/facts/stream?kinds=CallArrived") as one,
        web.clients[Role.GUEST].stream("GET", "/api/facts/stream") as other,
    ):
        whole, masked = _events(one), _events(other)
        await _next(whole, "beat")
        await _next(masked, "beat")
        web.controller.send(AgentReady(1, "1001"))
        web.controller.send(fact)
        assert await _next(whole, "fact") == as_json(fact)
        assert (await _next(masked, "fact"))["kind"] == "AgentReady"
        assert (await _next(masked, "fact"))["caller"] == "138****5678"
    refused = await web.clients[Role.GUEST].get("/api/facts/stream?kinds=Nonsense")
    assert refused.status_code == 422


async def test_a_screen_that_leaves_is_forgotten(web: Web) -> None:
    await shown_to(web, state())
    async with web.clients[Role.GUEST].stream("GET", "/api/live/stream") as answer:
        await _next(_events(answer), "snapshot")
        assert web.backend.feed.watchers == 1
    async with asyncio.timeout(20):
        while web.backend.feed.watchers:
            await asyncio.sleep(0.01)


async def test_a_slow_screen_is_dropped_and_others_do_not_notice(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_feed, "SENT_WITHIN", 0.5)
    await shown_to(web, state())
    port = int(web.url.rpartition(":")[2])
    cookie = next(iter(web.clients[Role.GUEST].cookies.jar)).value
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", port))
    slow.sendall(
        f"GET /api/live/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: hotline_session={cookie}\r\n\r\n".encode()
    )
    async with web.clients[Role.SUPERVISOR].stream("GET", "/api/live/stream") as answer:
        events = _events(answer)
        seq = (await _next(events, "snapshot"))["seq"]
        async with asyncio.timeout(20):
            while web.backend.feed.watchers < 2:
                await asyncio.sleep(0.01)
        async with asyncio.timeout(30):
            number = 0
            while web.backend.feed.watchers > 1:
                number += 1
                web.backend.feed.show(state(padding=f"{number}" + "x" * 500_000))
                change = await _next(events, "change")
                assert change["seq"] == seq + number
    slow.close()


async def test_a_full_queue_drops_the_screen() -> None:
    bus: Any = None
    feed = Feed(bus)
    feed.show(state())
    screen = feed.watch(_SUPERVISOR, "live")
    for number in range(live_feed.QUEUED + 1):
        feed.show(state(number=number))
    assert screen.dropped
    assert feed.watchers == 0
    assert await screen.next() == b""


async def test_who_may_no_longer_look_is_cut_off() -> None:
    bus: Any = None
    feed = Feed(bus)
    screen = feed.watch(_SUPERVISOR, "live")
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        screen.seen_as(None)

    async def receive() -> Any:
        await asyncio.sleep(60)

    async with asyncio.timeout(20):
        await Stream(screen)({"type": "http"}, receive, send)
    assert sent[-1] == {"type": "http.response.body", "body": b""}
    assert screen.dropped


async def test_redis_may_go_and_come_back(tmp_path: Path) -> None:
    with start_redis(tmp_path / "r.sock") as server:
        url = f"unix://{server.socket}"
        controller, bus = Bus(url, "n"), Bus(url, "n")
        feed = Feed(bus)
        work = [spawn(controller.run(), "bus"), spawn(feed.run(), "feed")]
        screen = Screen(feed, _SUPERVISOR, "live", feed._screens, 100)

        async def seen(number: int) -> None:
            async with asyncio.timeout(20):
                while feed.state is None or feed.state.get("number") != number:
                    controller.show(state(number=number))
                    await asyncio.sleep(0.05)

        await seen(1)
        server.stop()
        async with asyncio.timeout(10):
            while not feed.away:
                controller.show(state(number=2))
                await asyncio.sleep(0.05)
        heard = feed.heard
        server.start_again()
        await seen(3)
        assert feed.heard > heard
        assert not feed.away
        assert not screen.dropped
        for task in work:
            task.cancel()
        await asyncio.wait(work, timeout=5)
        await controller.close()
        await bus.close()


async def test_who_has_missed_a_change_goes_on_from_the_next_whole_state() -> None:
    bus: Any = None
    feed = Feed(bus)
    feed.show(state(number=1, at=10))
    screen = feed.watch(_SUPERVISOR, "live")
    await screen.next()
    number = feed.number
    unknown: Following = {"before": 11, "at": 12, "set": {"number": 3}, "agents": [], "gone": []}
    feed.follow(unknown)
    assert (feed.number, feed.state) == (number, state(number=1, at=10))
    feed.follow({**unknown, "before": 10})
    assert feed.number == number + 1
    feed.show(state(number=4, at=14))
    told = [
        orjson.loads(line[6:])
        for line in (await screen.next()).split(b"\n")
        if line[:5] == b"data:"
    ]
    assert [(one["seq"] - number, one["at"], one["set"]) for one in told] == [
        (1, 12, {"number": 3}),
        (2, 14, {"number": 4}),
    ]


async def test_a_screen_of_an_old_protocol_gets_everything_too(web: Web) -> None:
    """HTTP/1.0 knows no pieces: what goes out is the plain events, until the connection ends."""
    await shown_to(web, state())
    port = int(web.url.rpartition(":")[2])
    cookie = next(iter(web.clients[Role.GUEST].cookies.jar)).value
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /api/live/stream HTTP/1.0\r\nCookie: hotline_session={cookie}\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        await reader.readuntil(b"\r\n\r\nevent: beat\n")
        await reader.readuntil(b"\n\nevent: snapshot\n")
        await shown_to(web, state(number=7))
        await reader.readuntil(b"\n\nevent: change\n")
    writer.close()


class Connection:
    """A screen's connection that takes nothing while `stuck`."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.stuck = False

    def write(self, pieces: bytes) -> None:
        self.written.append(pieces)

    def unsent(self) -> int:
        return sum(map(len, self.written)) if self.stuck else 0


async def test_a_message_goes_to_the_connection_at_once_framed_once_for_all() -> None:
    bus: Any = None
    feed = Feed(bus)
    feed.show(state())
    screens = [feed.watch(_SUPERVISOR, "live") for _ in range(2)]
    wires = [Connection(), Connection()]
    work = [
        spawn(screen.write_to(wire), "screen") for screen, wire in zip(screens, wires, strict=True)
    ]
    await asyncio.sleep(0)
    for number in range(3):
        feed.show(state(number=number))
    for one, other in zip(wires[0].written, wires[1].written, strict=True):
        assert one is other
        size, _, rest = one.partition(b"\r\n")
        assert len(rest) == int(size, 16) + len(b"\r\n")
    assert len(wires[0].written) == 4
    for screen in screens:
        screen.drop()
    await asyncio.wait(work, timeout=5)


async def test_a_connection_that_takes_nothing_is_dropped_by_bytes_and_by_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_feed, "UNSENT", 2000)
    monkeypatch.setattr(live_feed, "BEAT_EVERY", 0.01)
    monkeypatch.setattr(live_feed, "SENT_WITHIN", 0.1)
    bus: Any = None
    feed = Feed(bus)
    feed.show(state())
    full, still = (feed.watch(_SUPERVISOR, "live") for _ in range(2))
    wire, stuck = Connection(), Connection()
    stuck.stuck = True
    work = spawn(full.write_to(wire), "screen")
    await asyncio.sleep(0)
    wire.stuck = True
    for number in range(50):
        feed.show(state(number=number))
    assert full.dropped
    assert len(wire.written) < 50
    await asyncio.wait([work], timeout=5)
    assert work.done()
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            await still.write_to(stuck)


async def test_the_next_process_counts_on_from_higher_numbers() -> None:
    bus: Any = None
    first = Feed(bus)
    for number in range(100):
        first.show(state(number=number))
    began = clock.now()
    async with asyncio.timeout(20):
        while clock.now() < began + 200_000:
            await asyncio.sleep(0.01)
    assert Feed(bus).number > first.number


def as_shown(made: dict[str, Any]) -> dict[str, Any]:
    agents = [{"number": number, **agent} for number, agent in sorted(made["agents"].items())]
    return {**made, "agents": agents}


_AGENT = st.fixed_dictionaries(
    {"presence": st.sampled_from(["ready", "out"]), "since": st.integers(0, 2)}
)
_STATE = st.fixed_dictionaries(
    {
        "at": st.integers(0, 5),
        "agents": st.dictionaries(st.sampled_from(["1001", "1002", "1003"]), _AGENT),
    },
    optional={"waiting_since": st.none() | st.integers(0, 2), "figures": st.integers(0, 2)},
).map(as_shown)


@given(_STATE, _STATE)
def test_the_state_before_and_the_change_make_the_state_after(before: Any, after: Any) -> None:
    """What a screen does with a change."""
    change = difference(before, after)
    if change is None:
        assert {**before, "at": 0} == {**after, "at": 0}
        return
    agents = {agent["number"]: agent for agent in before["agents"]}
    agents |= {agent["number"]: agent for agent in change["agents"]}
    for number in change["gone"]:
        del agents[number]
    made = {**before, **change["set"], "at": after["at"]}
    made["agents"] = [agents[number] for number in sorted(agents)]
    assert {**made} == {**dict.fromkeys(before.keys() - after.keys()), **after}
    kept = deepcopy(before)
    assert follow(before, {**change, "before": before["at"], "at": after["at"]}) == made
    assert before == kept
