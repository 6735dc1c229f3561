"""Strangers at the AGI port: who is heard, how long, and what the controller takes for a call."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from facts import CallArrived
from ivr.server import Server, serve
from ivr.session import Pace
from tests.fakes.asterisk_agi import PATIENCE, SECRET, FakeCall, close_all, connect
from tests.ivr.test_server import CALL, NOW, FakeDesk, ended, waiting


class Guarded:
    """A server, and what went through it. `channels`: what AMI has told of; None while nobody can say."""

    def __init__(self) -> None:
        self.desk = FakeDesk()
        self.asked: list[str] = []
        self.channels: set[str] | None = {CALL}
        self.refused: Counter[str] = Counter()

    def seen(self, channel: str) -> bool | None:
        return None if self.channels is None else channel in self.channels

    async def feature(self, agent: str, action: str, key: str) -> str:
        self.asked.append(agent)
        return "ok"

    def refuse(self, why: str) -> None:
        self.refused[why] += 1

    async def start(self, **limits: float) -> Server:
        return await serve(
            "127.0.0.1",
            0,
            secret=SECRET,
            desk=self.desk,
            clock=lambda: NOW,
            feature=self.feature,
            pace=Pace(announce_every=60),
            seen=self.seen,
            refused=self.refuse,
            **{"patience": 0.2, **limits},  # type: ignore[arg-type]
        )


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


@pytest.fixture
async def start(guarded: Guarded) -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    made: list[Server] = []

    async def start(**limits: float) -> Server:
        made.append(await guarded.start(**limits))
        return made[-1]

    yield start
    await close_all()
    for server in made:
        await server.close()
        await ended(server)


@pytest.fixture
async def server(start: Callable[..., Awaitable[Server]]) -> Server:
    return await start()


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What came until the other side closed."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


@pytest.mark.parametrize("secret", ["", "0" * 64, SECRET[:-1], SECRET.upper(), "密"])
@pytest.mark.parametrize("script", ["call", "agent", "callback", "colleague", "silent", "x"])
async def test_without_the_secret_nothing_happens_and_nothing_is_said(
    server: Server, guarded: Guarded, script: str, secret: str
) -> None:
    with capture_logs() as logs:
        call = await FakeCall.connect(
            server.port, "1001", "out", "", script=script, caller="13812345678", secret=secret
        )
        assert await closed(call.reader) == b""
    assert guarded.desk.facts == []
    assert guarded.asked == []
    assert guarded.refused == {"secret": 1}
    assert [line["event"] for line in logs] == ["agi.refused"]
    for hidden in ("13812345678", SECRET, "0" * 64, "1001"):
        assert hidden not in str(logs)


async def test_no_arguments_at_all(server: Server, guarded: Guarded) -> None:
    reader, writer = await connect(server.port)
    writer.write(b"agi_network: yes\nagi_network_script: call\nagi_uniqueid: a-1.1\n\n")
    assert await closed(reader) == b""
    assert guarded.refused == {"secret": 1}


async def test_the_secret_is_no_argument_of_a_session(server: Server, guarded: Guarded) -> None:
    guarded.channels = None
    call = await FakeCall.connect(server.port, "1001", "out", script="agent")
    await call.end()
    assert guarded.asked == ["1001"]


async def test_a_stranger_from_elsewhere_is_not_even_heard(
    start: Callable[..., Awaitable[Server]], guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivr.connection.Connection.host", "192.0.2.7")
    server = await start()
    call = await FakeCall.connect(server.port)
    assert await closed(call.reader) == b""
    assert guarded.refused == {"address": 1}
    assert guarded.desk.facts == []


class TestTheChannel:
    """A call is believed once AMI has told of its channel."""

    async def test_an_invented_call_is_refused(self, server: Server, guarded: Guarded) -> None:
        with capture_logs() as logs:
            call = await FakeCall.connect(server.port, call="hotline-1.99")
            assert await closed(call.reader) == b""
        assert guarded.desk.facts == []
        assert guarded.refused == {"channel": 1}
        assert [line["event"] for line in logs] == ["agi.refused"]

    async def test_agi_may_come_before_ami(self, server: Server, guarded: Guarded) -> None:
        guarded.channels = set()
        call = await FakeCall.connect(server.port)
        await asyncio.sleep(0.05)
        assert guarded.desk.facts == []
        guarded.channels = {CALL}
        await call.until("STREAM FILE")
        assert isinstance(guarded.desk.facts[0], CallArrived)
        assert not guarded.refused

    async def test_a_known_channel_waits_for_nothing(
        self, start: Callable[..., Awaitable[Server]], guarded: Guarded
    ) -> None:
        server = await start(patience=0)
        await waiting(server, guarded.desk)

    async def test_while_the_link_is_down_the_secret_is_enough(
        self, server: Server, guarded: Guarded
    ) -> None:
        guarded.channels = None
        await waiting(server, guarded.desk)

    async def test_the_link_goes_down_while_a_call_waits_to_be_seen(
        self, start: Callable[..., Awaitable[Server]], guarded: Guarded
    ) -> None:
        server = await start(patience=5)
        guarded.channels = set()
        call = await FakeCall.connect(server.port)
        await asyncio.sleep(0.05)
        guarded.channels = None
        await call.until("STREAM FILE")

    async def test_a_caller_who_leaves_meanwhile_is_no_stranger(
        self, start: Callable[..., Awaitable[Server]], guarded: Guarded
    ) -> None:
        server = await start(patience=5)
        guarded.channels = set()
        call = await FakeCall.connect(server.port)
        await asyncio.sleep(0.03)
        await call.close()
        await ended(server)
        assert not guarded.refused


class TestCrowds:
    async def test_silent_connections_make_room_for_asterisk(
        self, start: Callable[..., Awaitable[Server]], guarded: Guarded
    ) -> None:
        server = await start(silence_limit=60, most_unknown=20)
        crowd = [await connect(server.port) for _ in range(100)]
        call = await waiting(server, guarded.desk)
        assert server.sessions <= 21
        assert guarded.refused["crowded"] >= 80
        # The oldest went first: whoever has just come has had no time to speak yet.
        assert await closed(crowd[0][0]) == b""
        guarded.desk.attached[CALL].ring(("1001",), 15)
        assert (await call.next())[:2] == ["EXEC", "Dial"]

    async def test_callers_do_not_count_among_the_silent(
        self, start: Callable[..., Awaitable[Server]], guarded: Guarded
    ) -> None:
        guarded.channels = None
        server = await start(silence_limit=60, most_unknown=2)
        calls = [await FakeCall.connect(server.port, call=f"x-1.{n}") for n in range(20)]
        for call in calls:
            await call.until("STREAM FILE")
        assert not guarded.refused

    async def test_an_address_with_a_crowd_loses_its_own(
        self, start: Callable[..., Awaitable[Server]], guarded: Guarded
    ) -> None:
        server = await start(silence_limit=60, most_unknown=10)
        first = await connect(server.port)  # from 127.0.0.1, as Asterisk
        others = [
            await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
            for _ in range(30)
        ]
        await asyncio.sleep(0.05)
        first[1].write(b"agi_network: yes\n")
        await asyncio.sleep(0.05)
        assert not first[0].at_eof()
        for _, writer in others:
            writer.close()

    async def test_a_flood_of_strangers_is_no_flood_of_lines(
        self, start: Callable[..., Awaitable[Server]], guarded: Guarded
    ) -> None:
        server = await start(silence_limit=60, most_unknown=1)
        with capture_logs() as logs:
            for _ in range(200):
                await connect(server.port)
            async with asyncio.timeout(20):
                while guarded.refused["crowded"] < 190:
                    await asyncio.sleep(0.05)
        assert 1 <= sum(line["event"] == "agi.refused" for line in logs) <= 20
