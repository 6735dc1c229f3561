"""What a caller meets beside the ordinary: turned away, spoken to in English, called back, silent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from facts import (
    CallArrived,
    CallbackAsked,
    CallDetached,
    CallerAsked,
    CallerFound,
    CallQueued,
    CallReleased,
    CallReturned,
    CallSentOutside,
    CallSilent,
    OfferEnded,
)
from facts.terms import OfferReason, Release
from facts.times import SECOND
from ivr.connection import SETTLED
from ivr.reception import Reception
from ivr.server import Server, serve
from ivr.session import Pace
from tests.fakes.asterisk_agi import SECRET, FakeCall, close_all
from tests.ivr.test_server import CALL, NOW, FakeDesk, ended

CALLER = "+8613812345678"


class House:
    """The rules of the moment, as a test sets them, and what was asked of them."""

    def __init__(self) -> None:
        self.reception = Reception()
        self.asked: list[tuple[str, str, int]] = []
        self.attempts: dict[str, str] = {}
        self.broken = False

    def receive(self, number: str, caller: str, at: int) -> Reception:
        self.asked.append((number, caller, at))
        if self.broken:
            raise KeyError("holidays")
        return self.reception


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def server(desk: FakeDesk, house: House) -> AsyncIterator[Server]:
    async def feature(agent: str, action: str, reason: str) -> str:
        return "ok"

    server = await serve(
        "127.0.0.1",
        0,
        secret=SECRET,
        desk=desk,
        clock=lambda: NOW,
        feature=feature,
        pace=Pace(announce_every=0.05),
        receive=house.receive,
        call_of=lambda uniqueid: house.attempts.get(uniqueid, uniqueid),
    )
    yield server
    await server.close()
    await ended(server)
    await close_all()


def sounds(call: FakeCall) -> list[str]:
    return [command[2] for command in call.commands if command[:2] == ["STREAM", "FILE"]]


async def waiting(server: Server, **changed: str) -> FakeCall:
    call = await FakeCall.connect(server.port, **changed)
    await call.until("SET MUSIC ON")
    call.answer("200 result=0")
    return call


class TestTurnedAway:
    @pytest.mark.parametrize(
        ("reason", "sound"),
        [
            (Release.CLOSED_HOURS, "hotline/closed_hours"),
            (Release.BLOCKED, "hotline/blocked"),
        ],
    )
    async def test_the_caller_hears_why_and_the_call_is_over(
        self, server: Server, desk: FakeDesk, house: House, reason: Release, sound: str
    ) -> None:
        house.reception = Reception(refusal=reason)
        call = await FakeCall.connect(server.port)
        await call.end()
        assert call.commands == [
            ["SET", "VARIABLE", "HL_DONE", "1"],
            ["STREAM", "FILE", sound, ""],
        ]
        assert desk.facts == [
            CallArrived(NOW, CALL, "12345", CALLER),
            CallReleased(NOW, CALL, reason),
        ]
        assert house.asked == [("12345", CALLER, NOW)]

    async def test_who_cannot_be_recorded_is_sent_outside_before_a_word_is_said(
        self, server: Server, desk: FakeDesk, house: House
    ) -> None:
        house.reception = Reception(outside="0411000")
        desk.on = lambda fact: (
            desk.attached[CALL].send_outside(fact.number)
            if isinstance(fact, CallSentOutside)
            else None
        )
        call = await FakeCall.connect(server.port)
        assert await call.next() == ["EXEC", "Dial", "PJSIP/0411000@outbound,60,mI"]
        assert desk.facts == [
            CallArrived(NOW, CALL, "12345", CALLER),
            CallSentOutside(NOW, CALL, "0411000"),
        ]
        call.answer("200 result=0")
        assert await call.until("STREAM FILE") == ["STREAM", "FILE", "hotline/system_failure", ""]
        call.answer("200 result=0 endpos=8000")
        await call.end()
        assert desk.facts[-1] == CallReleased(NOW, CALL, Release.SYSTEM_FAILURE)

    async def test_a_gate_that_is_shut_turns_nobody_away(
        self, server: Server, desk: FakeDesk, house: House
    ) -> None:
        house.reception = Reception(outside="110")
        call = await waiting(server)
        assert "hotline/recording_notice" in sounds(call)
        assert desk.facts[-1] == CallQueued(NOW, CALL, "default")
        await call.close()

    async def test_a_caller_who_has_a_place_already_keeps_it(
        self, server: Server, desk: FakeDesk, house: House
    ) -> None:
        house.reception = Reception(refusal=Release.CLOSED_HOURS)
        since = NOW - 60 * SECOND
        call = await FakeCall.connect(server.port, "12345", str(since), str(since), "vip")
        await call.until("SET MUSIC ON")
        assert desk.facts[-1] == CallReturned(NOW, CALL, "vip", since)
        await call.close()

    async def test_rules_that_cannot_be_read_turn_nobody_away(
        self, server: Server, desk: FakeDesk, house: House
    ) -> None:
        house.broken = True
        with capture_logs() as logs:
            call = await waiting(server)
        assert desk.facts[-1] == CallQueued(NOW, CALL, "default")
        assert "reception.failed" in [line["event"] for line in logs]
        await call.close()


class TestTwoCommands:
    async def test_never_follow_so_closely_that_asterisk_reads_them_as_one(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server)
        await call.until("STREAM FILE")
        began = asyncio.get_running_loop().time()
        desk.attached[CALL].ring(("1001",), 15)
        desk.attached[CALL].ring(("1002",), 15)
        assert (await call.next())[:3] == ["EXEC", "Dial", "PJSIP/1002,15.000,miI"]
        assert asyncio.get_running_loop().time() - began > SETTLED * 0.7
        await call.close()


class TestNumbers:
    async def test_a_number_leads_to_its_queue(
        self, server: Server, desk: FakeDesk, house: House
    ) -> None:
        house.reception = Reception(queue="tax")
        call = await waiting(server)
        assert desk.facts[-1] == CallQueued(NOW, CALL, "tax")
        assert call.commands[2][2].split(",")[2] == "HL_QUEUE=tax"
        await call.close()

    @pytest.mark.parametrize(
        ("pres", "caller"),
        [
            ("0", CALLER),
            ("3", CALLER),
            ("32", ""),
            ("35", ""),
            ("67", ""),
            ("", CALLER),
            ("x", CALLER),
        ],
    )
    async def test_a_number_that_is_not_to_be_shown_is_not_known(
        self, server: Server, desk: FakeDesk, pres: str, caller: str
    ) -> None:
        call = await FakeCall.connect(server.port, callingpres=pres)
        await call.until("STREAM FILE")
        assert desk.facts == [CallArrived(NOW, CALL, "12345", caller)]
        await call.close()


class TestLanguages:
    async def test_english(self, server: Server, house: House) -> None:
        house.reception = Reception(language="en")
        call = await waiting(server)
        await call.until("STREAM FILE hotline-en/queue_next")
        assert sounds(call)[:2] == ["hotline-en/greeting_12345", "hotline-en/recording_notice"]
        await call.close()

    async def test_mandarin_where_the_english_recording_is_missing(
        self, server: Server, house: House
    ) -> None:
        house.reception = Reception(language="en")
        with capture_logs() as logs:
            call = await FakeCall.connect(server.port)
            await call.until("STREAM FILE hotline-en/greeting_12345")
            call.answer("200 result=-1 endpos=0")
            await call.until("STREAM FILE hotline/greeting_12345")
            call.answer("200 result=0 endpos=8000")
            await call.until("STREAM FILE hotline-en/recording_notice")
        assert [line["event"] for line in logs].count("prompt.missing") == 1
        await call.close()

    async def test_a_language_that_nobody_recorded_is_told_once(
        self, server: Server, house: House
    ) -> None:
        house.reception = Reception(language="mn")
        with capture_logs() as logs:
            for n in range(2):
                call = await waiting(server, call=f"hotline-1.{n}")
                assert sounds(call) == ["hotline/greeting_12345", "hotline/recording_notice"]
                await call.close()
        assert [line["event"] for line in logs].count("language.unspoken") == 1


class TestCalledBack:
    @pytest.fixture
    def house(self) -> House:
        house = House()
        house.reception = Reception(callback_key="5")
        return house

    async def test_it_is_offered_with_the_callers_place(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server)
        await call.until("STREAM FILE hotline/callback_offer_5")
        assert sounds(call)[-2:] == ["hotline/queue_next", "hotline/callback_offer_5"]
        await call.close()

    async def test_the_key_keeps_the_place_and_ends_the_call(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server)
        server.pressed(CALL, "5")
        await call.end()
        assert call.commands[-2:] == [
            ["SET", "VARIABLE", "HL_DONE", "1"],
            ["STREAM", "FILE", "hotline/callback_confirmed", ""],
        ]
        assert desk.facts[-2:] == [CallbackAsked(NOW, CALL), CallDetached(NOW, CALL)]
        assert not desk.attached

    async def test_the_key_cuts_an_announcement_short(self, server: Server, desk: FakeDesk) -> None:
        call = await waiting(server)
        await call.until("STREAM FILE")
        server.pressed(CALL, "5")
        # The sound is not answered: Asterisk ends it because this command comes.
        assert await call.next() == ["SET", "VARIABLE", "HL_DONE", "1"]
        call.answer("200 result=1")
        await call.end()
        assert desk.facts[-2] == CallbackAsked(NOW, CALL)

    @pytest.mark.parametrize("key", ["4", "*", "", "55"])
    async def test_other_keys_mean_nothing(self, server: Server, desk: FakeDesk, key: str) -> None:
        call = await waiting(server)
        server.pressed(CALL, key)
        server.pressed("hotline-1.1", "5")
        await call.until("STREAM FILE")
        assert CallbackAsked(NOW, CALL) not in desk.facts
        await call.close()

    async def test_not_before_the_caller_waits(self, server: Server, desk: FakeDesk) -> None:
        call = await FakeCall.connect(server.port)
        await call.until("STREAM FILE hotline/recording_notice")
        server.pressed(CALL, "5")
        call.answer("200 result=0 endpos=8000")
        await call.until("SET MUSIC ON")
        assert isinstance(desk.facts[-1], CallQueued)
        await call.close()

    async def test_without_a_key_none_is_offered_and_none_heard(
        self, server: Server, desk: FakeDesk, house: House
    ) -> None:
        house.reception = Reception()
        call = await waiting(server)
        for key in ("5", ""):
            server.pressed(CALL, key)
        await call.until("STREAM FILE")
        call.answer("200 result=0 endpos=8000")
        await call.until("SET MUSIC ON")
        assert sounds(call)[2:] == ["hotline/queue_next"]
        await call.close()

    async def test_who_withholds_the_number_hears_that_it_cannot_be(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server, caller="anonymous")
        server.pressed(CALL, "5")
        await call.until("STREAM FILE hotline/callback_withheld")
        call.answer("200 result=0 endpos=8000")
        await call.until("SET MUSIC ON")
        assert isinstance(desk.facts[-1], CallQueued)
        call.answer("200 result=0")
        await call.until("STREAM FILE hotline/queue_next")
        call.answer("200 result=0 endpos=8000")
        # No offer follows the caller's place.
        assert await call.next() == ["SET", "MUSIC", "ON"]
        await call.close()

    async def test_also_when_it_is_pressed_during_an_announcement(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server, caller="anonymous")
        await call.until("STREAM FILE hotline/queue_next")
        server.pressed(CALL, "5")
        assert await call.next() == ["NOOP"]
        call.answer("200 result=0")
        assert (await call.next())[2] == "hotline/callback_withheld"
        await call.close()

    async def test_an_agent_who_is_free_now_comes_first(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server)
        desk.attached[CALL].ring(("1001",), 15)
        server.pressed(CALL, "5")
        await call.until("EXEC Dial")
        call.answer("200 result=-1")
        await call.end()
        assert CallbackAsked(NOW, CALL) not in desk.facts

    async def test_pressed_while_a_phone_rings_it_counts_when_nobody_answers(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await waiting(server)
        desk.attached[CALL].ring(("1001",), 15)
        await call.until("EXEC Dial")
        server.pressed(CALL, "5")
        call.answer("200 result=0")
        await call.end()
        assert desk.facts[-3:] == [
            OfferEnded(NOW, CALL, "1001", OfferReason.NO_ANSWER),
            CallbackAsked(NOW, CALL),
            CallDetached(NOW, CALL),
        ]


def listening(*words: bool) -> Callable[[FakeCall], None]:
    """Asterisk hears a voice at these moments: while a phrase is said, in the pause after it, …"""
    left = list(words)

    def answer(call: FakeCall) -> None:
        command = call.commands[-1]
        if command[:3] == ["GET", "VARIABLE", "TALK_DETECTED"]:
            call.answer("200 result=1 (740)" if left.pop(0) else "200 result=1 ()")
        elif command[:3] == ["GET", "VARIABLE", "WAITSTATUS"]:
            call.answer(f"200 result=1 ({'NOISE' if left.pop(0) else 'TIMEOUT'})")
        elif command[0] == "STREAM":
            call.answer("200 result=0 endpos=8000")
        else:
            call.answer("200 result=0")

    return answer


async def to_the_end(call: FakeCall, answer: Callable[[FakeCall], None], stop: str = "") -> None:
    while command := await call.next():
        if stop and " ".join(command).startswith(stop):
            return
        answer(call)


def phrases_said(call: FakeCall) -> int:
    return sum(command[:2] == ["EXEC", "BackgroundDetect"] for command in call.commands)


class TestSilentInATalk:
    """The agent has pressed *0: the phrase three times, then the farewell (R20)."""

    async def test_three_times_then_the_farewell(self, server: Server, desk: FakeDesk) -> None:
        call = await FakeCall.connect(server.port, "12345", script="silent")
        await to_the_end(call, listening(*[False] * 6))
        said = [c[2] for c in call.commands if c[:2] == ["EXEC", "BackgroundDetect"]]
        assert said == ["hotline/no_response,300,150"] * 3
        assert call.commands[0] == ["SET", "VARIABLE", "HL_SILENT", str(NOW // SECOND + 40)]
        assert sounds(call) == ["hotline/no_response_farewell"]
        assert call.commands[-1] == ["HANGUP"]
        assert desk.facts == [CallerAsked(NOW, CALL), CallSilent(NOW, CALL)]

    @pytest.mark.parametrize("moment", range(6))
    async def test_a_word_at_any_moment_brings_the_caller_back_to_the_agent(
        self, server: Server, desk: FakeDesk, moment: int
    ) -> None:
        call = await FakeCall.connect(server.port, "12345", script="silent")
        await to_the_end(call, listening(*[False] * moment, True))
        assert phrases_said(call) == moment // 2 + 1
        assert not sounds(call)
        assert ["HANGUP"] not in call.commands
        # For a moment, in which the agent may be just about to hang up.
        assert call.commands[-1] == ["SET", "VARIABLE", "HL_SILENT", str(NOW // SECOND + 2)]
        assert desk.facts == [CallerAsked(NOW, CALL), CallerFound(NOW, CALL)]

    async def test_in_a_callback_it_is_told_of_the_attempt(
        self, server: Server, desk: FakeDesk, house: House
    ) -> None:
        house.attempts[CALL] = "hotline-c7.1"
        call = await FakeCall.connect(server.port, "", script="silent")
        await to_the_end(call, listening(*[False] * 6))
        assert desk.facts == [CallerAsked(NOW, "hotline-c7.1"), CallSilent(NOW, "hotline-c7.1")]

    async def test_in_english(self, server: Server, house: House) -> None:
        house.reception = Reception(language="en")
        call = await FakeCall.connect(server.port, "8890", script="silent")
        await to_the_end(call, listening(*[False] * 6))
        assert sounds(call) == ["hotline-en/no_response_farewell"]
        assert house.asked[0][0] == "8890"

    async def test_where_asterisk_cannot_listen_nobody_is_silent(
        self, server: Server, desk: FakeDesk
    ) -> None:
        for deaf in ("BackgroundDetect", "WaitForNoise"):
            call = await FakeCall.connect(server.port, "12345", script="silent")
            while command := await call.next():
                refused = command[:2] == ["EXEC", deaf]
                status = "TIMEOUT" if deaf == "BackgroundDetect" else ""
                call.answer(
                    "200 result=-2"
                    if refused
                    else f"200 result=1 ({status})"
                    if command[-1] == "WAITSTATUS"
                    else "200 result=0"
                )
            assert phrases_said(call) == 1
        assert desk.facts == [CallerAsked(NOW, CALL), CallerFound(NOW, CALL)] * 2

    async def test_the_caller_hangs_up_meanwhile(self, server: Server, desk: FakeDesk) -> None:
        call = await FakeCall.connect(server.port, "12345", script="silent")
        await call.until("EXEC WaitForNoise")
        call.hang_up()
        await call.end()
        assert desk.facts == [CallerAsked(NOW, CALL)]


class TestSilentBeforeTheQueue:
    @pytest.fixture
    def house(self) -> House:
        house = House()
        house.reception = Reception(detect_silence=True)
        return house

    async def test_who_says_something_is_queued(self, server: Server, desk: FakeDesk) -> None:
        call = await FakeCall.connect(server.port)
        await to_the_end(call, listening(True), stop="SET MUSIC ON")
        assert phrases_said(call) == 0
        assert isinstance(desk.facts[-1], CallQueued)
        await call.close()

    async def test_who_answers_the_second_phrase_is_queued(
        self, server: Server, desk: FakeDesk
    ) -> None:
        call = await FakeCall.connect(server.port)
        await to_the_end(call, listening(False, False, False, True), stop="SET MUSIC ON")
        assert phrases_said(call) == 2
        assert isinstance(desk.facts[-1], CallQueued)
        await call.close()

    async def test_who_says_nothing_hears_the_farewell_and_is_never_queued(
        self, server: Server, desk: FakeDesk, house: House
    ) -> None:
        call = await FakeCall.connect(server.port)
        await to_the_end(call, listening(*[False] * 7))
        assert phrases_said(call) == 3
        assert sounds(call)[-1] == "hotline/no_response_farewell"
        assert ["SET", "VARIABLE", "HL_DONE", "1"] in call.commands
        assert desk.facts == [CallArrived(NOW, CALL, "12345", CALLER), CallSilent(NOW, CALL)]

    async def test_by_default_nobody_is_listened_to(self, server: Server, house: House) -> None:
        house.reception = replace(house.reception, detect_silence=False)
        call = await waiting(server)
        assert not [command for command in call.commands if "WaitForNoise" in command]
        await call.close()
