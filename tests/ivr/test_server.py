"""Sessions over a real socket, with Asterisk's side played by tests/fakes/asterisk_agi.py."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from facts import CallArrived, CallDetached, CallQueued, CallReturned, Fact, OfferEnded
from facts.terms import OfferReason, Release
from facts.times import SECOND
from ivr.connection import Connection
from ivr.server import Server, serve
from ivr.session import CallSession, Pace
from tests.fakes.asterisk_agi import PATIENCE, SECRET, FakeCall, close_all, connect

CALL = "hotline-1763731200.17"
NOW = 1_763_731_200 * SECOND


class FakeDesk:
    """Writes down each fact; `on` may command something while a fact is being posted."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.attached: dict[str, CallSession] = {}
        self.place = 0
        self.anyone = True
        self.drops: bool | None = False
        self.busy: set[str] = set()
        self.on: Callable[[Fact], None] = lambda _: None

    def report(self, *facts: Fact) -> None:
        for fact in facts:
            self.facts.append(fact)
            self.on(fact)

    def attach(self, call: str, session: CallSession) -> None:
        self.attached[call] = session

    def detach(self, call: str, session: CallSession) -> None:
        if self.attached.get(call) is session:
            del self.attached[call]

    def ahead(self, call: str) -> int:
        return self.place

    def dropped(self, call: str) -> bool | None:
        """Whether the talk was no answer: so the test says."""
        return self.drops

    def staffed(self, call: str) -> bool:
        return self.anyone

    def call_colleague(self, agent: str, colleague: str) -> str:
        return "the colleague is on the phone" if colleague in self.busy else ""


@pytest.fixture(autouse=True)
async def _connections() -> AsyncIterator[None]:
    yield
    await close_all()


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def asked() -> list[tuple[str, str, str]]:
    """What agents asked for with feature codes."""
    return []


@pytest.fixture
async def server(desk: FakeDesk, asked: list[tuple[str, str, str]]) -> AsyncIterator[Server]:
    async def feature(agent: str, action: str, key: str) -> str:
        asked.append((agent, action, key))
        if agent == "1009":
            raise OSError("database away")
        return "ok" if agent == "1001" and key != "9" else "unknown"

    server = await serve(
        "127.0.0.1",
        0,
        secret=SECRET,
        desk=desk,
        clock=lambda: NOW,
        feature=feature,
        pace=Pace(announce_every=60),
        silence_limit=0.2,
        most_sessions=60,
    )
    yield server
    await server.close()
    await ended(server)


async def ended(server: Server) -> None:
    """No connection is left, and no session."""
    async with asyncio.timeout(PATIENCE):
        while server.sessions or any(t.get_name().startswith("agi ") for t in asyncio.all_tasks()):
            await asyncio.sleep(0)


async def waiting(server: Server, desk: FakeDesk) -> FakeCall:
    """A caller who has heard the greeting and is on music."""
    call = await FakeCall.connect(server.port)
    await call.until("SET MUSIC ON")
    call.answer("200 result=0")
    assert CALL in desk.attached
    return call


def _notice_of(seconds: float, sounds: Path) -> None:
    (sounds / "hotline").mkdir()
    (sounds / "hotline" / "recording_notice.alaw").write_bytes(b"\xd5" * round(seconds * 8000))


async def _knowing_lengths(desk: FakeDesk, sounds: Path, clock: Callable[[], int]) -> Server:
    async def feature(agent: str, action: str, key: str) -> str:
        return "ok"

    return await serve(
        *("127.0.0.1", 0),
        secret=SECRET,
        desk=desk,
        clock=clock,
        feature=feature,
        pace=Pace(),
        sounds=sounds,
    )


class TestATalkThatIsNone:
    @pytest.mark.parametrize(
        "answers", [["200 result=-1"], ["200 result=0", "200 result=1 (ANSWER 16)"]]
    )
    async def test_the_dialplan_brings_the_caller_back(
        self, server: Server, desk: FakeDesk, answers: list[str]
    ) -> None:
        desk.drops = True
        call = await waiting(server, desk)
        desk.attached[CALL].ring(("1001",), 15.0)
        for answer in answers:
            await call.next()
            call.answer(answer)
        assert await call.next() == ["SET", "VARIABLE", "HL_AGAIN", "1"]
        call.answer("200 result=1")
        await call.end()
        assert not any(isinstance(fact, CallDetached) for fact in desk.facts)

    async def test_it_waits_for_what_asterisk_has_told_meanwhile(
        self, server: Server, desk: FakeDesk
    ) -> None:
        """A controller that stood still reads the end of Dial first: how long the talk was comes a moment later."""
        desk.drops = None
        call = await waiting(server, desk)
        desk.attached[CALL].ring(("1001",), 15.0)
        await call.next()
        asyncio.get_running_loop().call_later(0.05, setattr, desk, "drops", True)
        call.answer("200 result=-1")
        assert await call.next() == ["SET", "VARIABLE", "HL_AGAIN", "1"]
        call.answer("200 result=1")
        await call.end()

    @pytest.mark.parametrize(
        ("milliseconds", "again"), [("1000", True), ("1001", False), ("", False), ("junk", False)]
    )
    async def test_asterisk_says_how_long_it_was_when_the_link_is_away(
        self, server: Server, desk: FakeDesk, milliseconds: str, again: bool
    ) -> None:
        desk.drops = None
        call = await waiting(server, desk)
        desk.attached[CALL].ring(("1001",), 15.0)
        await call.next()
        call.answer("200 result=-1")
        assert await call.next() == ["GET", "VARIABLE", "ANSWEREDTIME_MS"]
        call.answer(f"200 result=1 ({milliseconds})")
        if again:
            assert await call.next() == ["SET", "VARIABLE", "HL_AGAIN", "1"]
            call.answer("200 result=1")
        await call.end()


class TestANormalCall:
    async def test_five_commands_from_greeting_to_goodbye(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server, desk)
        desk.attached[CALL].ring(("1001",), 15.0)
        assert await call.next() == ["EXEC", "Dial", "PJSIP/1001,15.000,miI"]
        call.answer("200 result=-1")  # the talk is over
        await call.end()
        assert call.commands == [
            ["STREAM", "FILE", "hotline/greeting_12345", ""],
            ["STREAM", "FILE", "hotline/recording_notice", ""],
            [
                "EXEC",
                "MSet",
                f"HL_ARRIVED={NOW},HL_QUEUED={NOW},HL_QUEUE=default,HL_TRIES=0",
            ],
            ["SET", "MUSIC", "ON"],
            ["EXEC", "Dial", "PJSIP/1001,15.000,miI"],
        ]
        assert desk.facts == [
            CallArrived(NOW, CALL, "12345", "+8613812345678"),
            CallQueued(NOW, CALL, "default"),
        ]
        assert not desk.attached

    async def test_an_idle_agent_is_rung_without_any_music(
        self, server: Server, desk: FakeDesk
    ) -> None:
        desk.on = lambda fact: (
            desk.attached[CALL].ring(("1001",), 15) if isinstance(fact, CallQueued) else None
        )
        call = await FakeCall.connect(server.port)
        await call.until("EXEC Dial")
        assert len(call.commands) == 4
        await call.close()

    async def test_the_end_of_the_notice_is_not_waited_for(
        self, desk: FakeDesk, tmp_path: Path
    ) -> None:
        _notice_of(0.1, tmp_path)
        desk.on = lambda fact: (
            desk.attached[CALL].ring(("1001",), 15) if isinstance(fact, CallQueued) else None
        )
        times = iter([NOW, NOW])
        server = await _knowing_lengths(desk, tmp_path, lambda: next(times, NOW + SECOND))
        call = await FakeCall.connect(server.port)
        # The caller's place is kept before the notice: the moment at which it will be over.
        await call.until("EXEC MSet")
        at = NOW + 96_000  # four milliseconds before the notice is over
        assert f"HL_QUEUED={at}," in call.commands[-1][2]
        call.answer("200 result=0")
        assert await call.next() == ["STREAM", "FILE", "hotline/recording_notice", ""]
        # Asterisk has not said that the notice is over, and the agent is rung.
        assert (await call.next())[:3] == ["EXEC", "Dial", "PJSIP/1001,15.000,miI"]
        assert desk.facts[-1] == CallQueued(at, CALL, "default")
        call.answer("200 result=0 endpos=800")
        call.answer("200 result=-1")
        await call.end()
        await server.close()

    async def test_the_next_sound_waits_until_the_notice_is_over(
        self, desk: FakeDesk, tmp_path: Path
    ) -> None:
        _notice_of(0.1, tmp_path)
        desk.anyone = False
        server = await _knowing_lengths(desk, tmp_path, lambda: NOW)
        call = await FakeCall.connect(server.port)
        await call.until("STREAM FILE hotline/recording_notice")
        assert await call.next() == ["NOOP"]
        call.answer("200 result=0 endpos=800")
        call.answer("200 result=0")
        assert await call.next() == ["STREAM", "FILE", "hotline/agents_away", ""]
        await call.close()
        await server.close()

    async def test_a_notice_that_cannot_be_played_queues_nobody_ahead_of_time(
        self, desk: FakeDesk, tmp_path: Path
    ) -> None:
        _notice_of(10, tmp_path)
        server = await _knowing_lengths(desk, tmp_path, lambda: NOW)
        call = await FakeCall.connect(server.port)
        await call.until("STREAM FILE hotline/recording_notice")
        call.answer("200 result=-1 endpos=0")
        await call.until("SET MUSIC ON")
        assert desk.facts[-1] == CallQueued(NOW, CALL, "default")
        await call.close()
        await server.close()

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ("NOANSWER 19", OfferReason.NO_ANSWER),
            ("NOANSWER 0", OfferReason.NO_ANSWER),
            ("BUSY 17", OfferReason.REFUSED),
            ("CONGESTION 34", OfferReason.UNREACHABLE),
            ("CHANUNAVAIL 3", OfferReason.UNREACHABLE),
            ("CHANUNAVAIL 26", OfferReason.WITHDRAWN),
            ("CANCEL 0", OfferReason.CALLER_GONE),
            ("", OfferReason.UNREACHABLE),
        ],
    )
    async def test_not_answered_then_back_to_music(
        self, server: Server, desk: FakeDesk, answer: str, reason: OfferReason
    ) -> None:
        call = await waiting(server, desk)
        desk.attached[CALL].ring(("1001",), 0)
        assert (await call.next())[2] == "PJSIP/1001,0.100,miI"
        call.answer("200 result=0")
        await call.until("GET FULL VARIABLE")
        call.answer(f"200 result=1 ({answer})")
        await call.until("SET MUSIC ON")
        assert desk.facts[-1] == OfferEnded(NOW, CALL, "1001", reason)
        call.answer("200 result=0")
        desk.attached[CALL].ring(("1002",), 15)
        await call.until("EXEC Dial PJSIP/1002,15.000,miI")
        await call.close()

    async def test_the_next_agent_at_once_when_the_first_did_not_answer(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server, desk)
        desk.on = lambda fact: (
            desk.attached[CALL].ring(("1002",), 15) if isinstance(fact, OfferEnded) else None
        )
        desk.attached[CALL].ring(("1001",), 15)
        await call.until("EXEC Dial PJSIP/1001,15.000,miI")
        call.answer("200 result=0")
        await call.until("EXEC Dial PJSIP/1002,15.000,miI")
        assert call.commands[-2][0] == "GET"
        await call.close()

    async def test_a_ring_during_a_dial_follows_it(self, server: Server, desk: FakeDesk) -> None:
        call = await waiting(server, desk)
        desk.attached[CALL].ring(("1001",), 15)
        await call.until("EXEC Dial")
        desk.attached[CALL].ring(("1002",), 15)
        call.answer("200 result=0")
        await call.until("EXEC Dial PJSIP/1002,15.000,miI")
        await call.close()

    async def test_a_ring_that_came_too_late_is_given_back(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server, desk)
        session = desk.attached[CALL]
        session.ring(("1001",), 15)
        await call.until("EXEC Dial")
        session.ring(("1002",), 15)
        call.answer("200 result=-1")
        await call.end()
        assert desk.facts[-1] == OfferEnded(NOW, CALL, "1002", OfferReason.CALLER_GONE)
        session.ring(("1003",), 15)
        assert desk.facts[-1] == OfferEnded(NOW, CALL, "1003", OfferReason.CALLER_GONE)

    async def test_a_dial_that_asterisk_refuses_leaves_the_call_to_the_dialplan(
        self, server: Server, desk: FakeDesk
    ) -> None:
        desk.on = lambda fact: (
            desk.attached[CALL].ring(("1001",), 15) if isinstance(fact, CallQueued) else None
        )
        with capture_logs() as logs:
            call = await FakeCall.connect(server.port)
            await call.until("EXEC Dial")
            call.answer("200 result=-2")
            await call.end()
        assert desk.facts[-2:] == [
            OfferEnded(NOW, CALL, "1001", OfferReason.UNREACHABLE),
            CallDetached(NOW, CALL),
        ]
        assert "dial.failed" in [line["event"] for line in logs]

    async def test_only_an_agents_number_is_ever_dialled(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server, desk)
        for bad in ("1001&PJSIP/trunk", "1001\nEXEC System x", "", "1001,300"):
            desk.attached[CALL].ring((bad,), 15)
            assert desk.facts[-1] == OfferEnded(NOW, CALL, bad, OfferReason.UNREACHABLE)
        desk.attached[CALL].ring(("1001",), 15)
        assert await call.next() == ["EXEC", "Dial", "PJSIP/1001,15.000,miI"]
        await call.close()


class TestAnnouncements:
    @pytest.fixture
    async def server(self, desk: FakeDesk) -> AsyncIterator[Server]:
        async def feature(agent: str, action: str, reason: str) -> str:
            return "ok"

        pace = Pace(announce_every=0.02)
        server = await serve(
            *("127.0.0.1", 0),
            secret=SECRET,
            desk=desk,
            clock=lambda: NOW,
            feature=feature,
            pace=pace,
        )
        yield server
        await server.close()
        await ended(server)

    async def test_the_place_again_and_again_and_music_between(
        self, server: Server, desk: FakeDesk
    ) -> None:
        desk.place = 3
        call = await waiting(server, desk)
        assert (await call.next())[2] == "hotline/queue_ahead_3"
        call.answer("200 result=0 endpos=1")
        assert (await call.next())[2] == "hotline/please_wait"
        call.answer("200 result=0 endpos=1")
        assert await call.next() == ["SET", "MUSIC", "ON"]
        call.answer("200 result=0")
        desk.place = 0
        assert (await call.next())[2] == "hotline/queue_next"
        await call.close()

    async def test_a_ring_cuts_a_sentence_short(self, server: Server, desk: FakeDesk) -> None:
        desk.place = 3
        call = await waiting(server, desk)
        assert (await call.next())[2] == "hotline/queue_ahead_3"
        desk.attached[CALL].ring(("1001",), 15)
        # The sound is not answered: Asterisk ends it because this command comes.
        assert (await call.next())[:2] == ["EXEC", "Dial"]
        call.answer("200 result=0")
        assert (await call.next())[1] == "FULL"
        await call.close()

    async def test_also_when_the_sentence_ends_at_that_moment(
        self, server: Server, desk: FakeDesk
    ) -> None:
        desk.place = 3
        call = await waiting(server, desk)
        await call.next()
        desk.attached[CALL].ring(("1001",), 15)
        assert (await call.next())[:2] == ["EXEC", "Dial"]
        call.answer("200 result=0 endpos=8000")
        call.answer("200 result=-1")
        await call.end()
        assert not any(isinstance(fact, OfferEnded) for fact in desk.facts)

    async def test_nobody_signed_in_is_said_at_once(self, server: Server, desk: FakeDesk) -> None:
        desk.anyone = False
        call = await FakeCall.connect(server.port)
        await call.until("EXEC MSet")
        call.answer("200 result=0")
        assert (await call.next())[2] == "hotline/agents_away"
        await call.close()


class TestReturning:
    async def test_a_caller_who_comes_back_keeps_the_place(
        self, server: Server, desk: FakeDesk
    ) -> None:
        arrived, queued = NOW - 70 * SECOND, NOW - 60 * SECOND
        desk.anyone = False  # a controller that has just started knows of no phone yet
        call = await FakeCall.connect(server.port, "12345", str(arrived), str(queued), "vip")
        await call.until("SET MUSIC ON")
        assert call.commands == [["EXEC", "MSet", "HL_TRIES=0"], ["SET", "MUSIC", "ON"]]
        assert desk.facts == [
            CallArrived(arrived, CALL, "12345", "+8613812345678"),
            CallReturned(NOW, CALL, "vip", queued),
        ]
        await call.close()

    @pytest.mark.parametrize(
        "garbage",
        [
            "",
            "0",
            "-5",
            "x",
            "1e9",
            "９",
            "9" * 400,
            str(NOW + 1),
            str(NOW - 90_000 * SECOND),
            "$(reboot)",
        ],
    )
    async def test_a_place_that_cannot_be_is_none(
        self, server: Server, desk: FakeDesk, garbage: str
    ) -> None:
        call = await FakeCall.connect(server.port, "12345", garbage, garbage, "x y\t" + garbage)
        await call.until("SET MUSIC ON")
        assert desk.facts == [
            CallArrived(NOW, CALL, "12345", "+8613812345678"),
            CallQueued(NOW, CALL, "default"),
        ]
        await call.close()

    async def test_numbers_are_only_ever_digits(self, server: Server, desk: FakeDesk) -> None:
        call = await FakeCall.connect(server.port, "12345;x", caller="$(reboot)☎", call="a-1.1")
        await call.until("SET MUSIC ON")
        assert desk.facts[0] == CallArrived(NOW, "a-1.1", "", "")
        await call.close()


class TestEndings:
    @pytest.mark.parametrize(
        "at", ["STREAM FILE", "EXEC MSet", "SET MUSIC", "EXEC Dial", "GET FULL"]
    )
    @pytest.mark.parametrize("how", ["hang up", "answer and hang up", "close"])
    async def test_the_caller_leaves(
        self, server: Server, desk: FakeDesk, at: str, how: str
    ) -> None:
        desk.on = lambda fact: (
            desk.attached[CALL].ring(("1001",), 15)
            if isinstance(fact, CallQueued) and at in {"EXEC Dial", "GET FULL"}
            else None
        )
        call = await FakeCall.connect(server.port)
        await call.until(at)
        attached = bool(desk.attached)
        with capture_logs() as logs:
            if how == "close":
                await call.close()
            else:
                if how == "answer and hang up":
                    call.answer("200 result=-1")
                call.hang_up()
                assert await call.next() in ([], ["NOOP"])
            await ended(server)
        assert attached == (at in {"SET MUSIC", "EXEC Dial", "GET FULL"})
        told = attached and not (at == "EXEC Dial" and how == "answer and hang up")
        assert (desk.facts[-1] == CallDetached(NOW, CALL)) == told
        assert not desk.attached
        assert [line["event"] for line in logs] == ["session.ended"]

    async def test_while_the_caller_waits(self, server: Server, desk: FakeDesk) -> None:
        call = await waiting(server, desk)
        call.hang_up()
        assert await call.next() == []
        assert desk.facts[-1] == CallDetached(NOW, CALL)

    async def test_before_the_caller_heard_anything(self, server: Server, desk: FakeDesk) -> None:
        call = await FakeCall.connect(server.port)
        call.hang_up()
        await call.end()
        await ended(server)
        assert not any(isinstance(fact, CallQueued) for fact in desk.facts)

    @pytest.mark.parametrize("reason", list(Release))
    async def test_the_hotline_says_why_and_ends(
        self, server: Server, desk: FakeDesk, reason: Release
    ) -> None:
        call = await waiting(server, desk)
        desk.attached[CALL].release(reason)
        assert await call.next() == ["SET", "VARIABLE", "HL_DONE", "1"]
        call.answer("200 result=1")
        assert (await call.next())[:2] == ["STREAM", "FILE"]
        desk.attached[CALL].ring(("1001",), 15)
        assert desk.facts[-1] == OfferEnded(NOW, CALL, "1001", OfferReason.CALLER_GONE)
        call.answer("200 result=0 endpos=8000")
        assert await call.next() == []
        assert not any(isinstance(fact, CallDetached) for fact in desk.facts)

    async def test_a_release_gives_back_a_ring_that_was_not_carried_out(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server, desk)
        desk.attached[CALL].ring(("1001",), 15)
        desk.attached[CALL].release(Release.TIMED_OUT)
        assert desk.facts[-1] == OfferEnded(NOW, CALL, "1001", OfferReason.CALLER_GONE)
        assert await call.next() == ["SET", "VARIABLE", "HL_DONE", "1"]
        await call.close()

    async def test_a_stop_sends_everyone_back_to_the_dialplan(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server, desk)
        other = await FakeCall.connect(server.port, call="hotline-1.2")
        await other.until("STREAM FILE")
        with capture_logs() as logs:
            await server.close(limit=2)
        assert [line["how"] for line in logs] == ["stopping", "stopping"]
        assert await call.next() == await other.next() == []
        assert ["SET", "VARIABLE", "HL_DONE", "1"] not in call.commands + other.commands
        assert desk.facts[-1] == CallDetached(NOW, CALL)
        assert server.sessions == 0


class TestBadInput:
    async def test_fifty_silent_connections_and_a_call_among_them(
        self, server: Server, desk: FakeDesk
    ) -> None:
        with capture_logs() as logs:
            silent = [await connect(server.port) for _ in range(50)]
            call = await waiting(server, desk)
            for reader, writer in silent:
                async with asyncio.timeout(PATIENCE):
                    assert await reader.read() == b""
                writer.close()
        assert [line["event"] for line in logs] == ["agi.silent"] * 50
        desk.attached[CALL].ring(("1001",), 15)
        assert (await call.next())[:2] == ["EXEC", "Dial"]
        await call.close()

    @pytest.mark.parametrize(
        "garbage",
        [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x00\xff\x01\n",
            b"a" * (1 << 20),
            b"agi_x: " + b"a" * (1 << 20) + b"\n\n",
            b"agi_x:\n" * 100_000,
        ],
    )
    async def test_garbage_ends_its_own_connection(
        self, server: Server, desk: FakeDesk, garbage: bytes
    ) -> None:
        call = await waiting(server, desk)
        with capture_logs() as logs:
            reader, writer = await connect(server.port)
            writer.write(garbage)
            async with asyncio.timeout(PATIENCE):
                # A reset, when it was closed before all of it was read.
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.close()
        assert [line["event"] for line in logs] == ["agi.protocol_error"]
        assert len(str(logs)) < 400
        desk.attached[CALL].ring(("1001",), 15)
        assert (await call.next())[:2] == ["EXEC", "Dial"]
        await call.close()

    @pytest.mark.parametrize(
        "answer", ["", "nonsense", "200", "200 result=0\n200 result=0", "a" * (1 << 20)]
    )
    async def test_a_wrong_answer_leaves_the_call_to_the_dialplan(
        self, server: Server, desk: FakeDesk, answer: str
    ) -> None:
        call = await waiting(server, desk)
        desk.attached[CALL].ring(("1001",), 15)
        await call.next()
        with capture_logs() as logs:
            call.answer(answer)
            await ended(server)
        assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
            "agi.protocol_error"
        ]
        assert desk.facts[-1] == CallDetached(NOW, CALL)
        call.writer.close()

    @pytest.mark.parametrize(
        ("script", "call"),
        [
            ("nothing", CALL),
            ("", CALL),
            ("call", ""),
            ("call", "a b"),
            ("call", "../../etc"),
            ("call", "x" * 151),
        ],
    )
    async def test_what_is_not_ours_is_closed(
        self, server: Server, desk: FakeDesk, script: str, call: str
    ) -> None:
        with capture_logs() as logs:
            fake = await FakeCall.connect(server.port, script=script, call=call)
            assert await fake.next() == []
        assert [line["event"] for line in logs] == ["agi.not_ours"]
        assert desk.facts == []

    async def test_a_command_without_an_answer(
        self, server: Server, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ivr.connection.PLAY_LIMIT", 0.05)
        with capture_logs() as logs:
            call = await FakeCall.connect(server.port)
            await call.until("STREAM FILE")
            assert await call.next() == []
            await ended(server)
        assert (logs[0]["event"], logs[0]["command"]) == ("agi.no_answer", "STREAM FILE")

    async def test_too_many_connections(self, server: Server, desk: FakeDesk) -> None:
        call = await waiting(server, desk)
        others = [await FakeCall.connect(server.port, call=f"x-1.{n}") for n in range(59)]
        for other in others:
            await other.until("STREAM FILE")
        with capture_logs() as logs:
            for _ in range(3):
                reader, writer = await connect(server.port)
                async with asyncio.timeout(PATIENCE):
                    with contextlib.suppress(ConnectionResetError):
                        assert await reader.read() == b""
                writer.close()
        assert [line["event"] for line in logs] == ["agi.full"]
        desk.attached[CALL].ring(("1001",), 15)
        assert (await call.next())[:2] == ["EXEC", "Dial"]
        for other in [call, *others]:
            await other.close()

    async def test_a_missing_prompt_is_said_once_and_the_call_goes_on(
        self, server: Server, desk: FakeDesk
    ) -> None:
        with capture_logs() as logs:
            for n in range(2):
                call = await FakeCall.connect(server.port, call=f"hotline-1.{n}")
                await call.until("STREAM FILE hotline/greeting_12345")
                call.answer("200 result=-1 endpos=0")
                await call.until("SET MUSIC ON")
                assert ["NOOP"] in call.commands
                await call.close()
        assert [line["prompt"] for line in logs if line["event"] == "prompt.missing"] == [
            "hotline/greeting_12345"
        ]

    async def test_an_error_in_one_session_ends_that_one(
        self, server: Server, desk: FakeDesk
    ) -> None:
        def fail(fact: Fact) -> None:
            if isinstance(fact, CallQueued) and fact.call == "hotline-1.1":
                raise RuntimeError("a bug")

        desk.on = fail
        with capture_logs() as logs:
            bad = await FakeCall.connect(server.port, call="hotline-1.1")
            await bad.end()
            await ended(server)
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["task.failed"]
        assert "hotline-1.1" not in desk.attached
        await (await waiting(server, desk)).close()


class TestFeatureCodes:
    @pytest.mark.parametrize(
        ("action", "key", "prompt"),
        [
            ("ready", "", "hotline/agent_ready"),
            ("pause", "", "hotline/agent_paused"),
            ("pause", "2", "hotline/agent_paused"),
            ("out", "", "hotline/agent_out"),
            ("out", "7", "hotline/agent_out"),
        ],
    )
    async def test_done_and_said(
        self,
        server: Server,
        asked: list[tuple[str, str, str]],
        action: str,
        key: str,
        prompt: str,
    ) -> None:
        call = await FakeCall.connect(server.port, "1001", action, key, script="agent")
        await call.end()
        assert asked == [("1001", action, key)]
        assert call.commands == [
            ["SET", "VARIABLE", "HL_DONE", "1"],
            ["STREAM", "FILE", prompt, ""],
        ]

    @pytest.mark.parametrize(
        ("agent", "action", "key", "reaches"),
        [
            ("1002", "ready", "", True),
            ("1009", "ready", "", True),
            ("1001", "pause", "9", True),
            ("1001", "fly", "", False),
            ("trunk", "ready", "", False),
            ("", "", "", False),
            ("1001\u2028", "ready", "", False),
        ],
    )
    async def test_refused_by_the_dialplan_itself(
        self,
        server: Server,
        asked: list[tuple[str, str, str]],
        agent: str,
        action: str,
        key: str,
        reaches: bool,
    ) -> None:
        call = await FakeCall.connect(server.port, agent, action, key, script="agent")
        await call.end()
        assert call.commands == []
        assert bool(asked) == reaches

    async def test_hanging_up_before_the_answer_is_no_error(
        self, server: Server, asked: list[tuple[str, str, str]]
    ) -> None:
        with capture_logs() as logs:
            call = await FakeCall.connect(server.port, "1001", "ready", "", script="agent")
            await call.next()
            call.hang_up()
            await call.end()
            await ended(server)
        assert asked
        assert {line["log_level"] for line in logs} <= {"info", "debug"}


async def test_the_kernel_finds_half_open_connections_and_holds_no_command_back(
    server: Server, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    opened = server._opened

    def look(connection: Connection) -> None:
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        seen.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        seen.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))
        seen.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        opened(connection)

    monkeypatch.setattr(server, "_opened", look)
    await waiting(server, desk)
    assert seen == [1, 60, 1]
