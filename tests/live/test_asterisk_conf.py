"""What Asterisk does by itself with our configuration: no controller runs here, unless a test plays one."""

import asyncio
import contextlib
import csv
import hashlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import baresip
import numpy as np
import pytest

from agents import signin, tables
from base import database, migrations
from base.settings import Settings
from hotline.machine import programs
from hotline.machine.programs import AsteriskBinary
from hotline.machine.render import AMI_EVENTS, AMI_USER, ami_secret, render
from softphone.phones import RATE, AgentPhone, Leg, Phones, tone_share
from telephony.phones import PhoneMirror
from tests import ports

PASSWORD = "a-long-enough-password"
NUMBER = "12345"


class Exchange:
    """Asterisk alone, in a home and on ports of its own, with the agents 1001 and 1002 in the database."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.asterisk: AsteriskBinary = programs.find_asterisk()
        self._block = ports.take()
        first = self._block.first
        self.settings = Settings.model_validate(
            {
                "home": home,
                "numbers": NUMBER,
                "sip_port": first,
                "ami_port": first + 1,
                "agi_port": first + 2,
                "web_port": first + 3,
                "rtp_ports": (first + 10, first + 499),
                "retries": 2,
                "retry_pause": 0.5,
                "ring_time": 3,
                "wrap_up_time": 1,
                **settings,
            }
        )
        self.sip = f"127.0.0.1:{first}"

    async def start(self) -> None:
        self.settings.root.mkdir(parents=True, exist_ok=True)
        engine = database.engine(self.settings.database)
        await migrations.upgrade(engine)
        await engine.dispose()
        if not self.rows("SELECT number FROM agent"):
            self.add("1001")
            self.add("1002")
        render(self.settings, self.asterisk)
        await programs.start_asterisk(self.settings, self.asterisk)

    async def stop(self) -> None:
        await programs.stop_asterisk(self.settings, self.asterisk, leave_calls=False)

    def close(self) -> None:
        self._block.close()

    async def cli(self, command: str) -> str:
        return await programs.asterisk_cli(self.settings, self.asterisk, command)

    def rows(self, sql: str, *values: str) -> list[tuple[str, ...]]:
        with contextlib.closing(sqlite3.connect(self.settings.root / "hotline.db")) as database:
            rows = database.execute(sql, values).fetchall()
            database.commit()
        return rows

    def add(self, number: str, password: str = PASSWORD, intent: str = "ready") -> None:
        hashed = hashlib.md5(f"{number}:{signin.SIP_REALM}:{password}".encode()).hexdigest()  # noqa: S324
        self.rows(
            "INSERT INTO agent (number, name, md5_cred, intent, pause_reason, intent_at, added_at)"
            " VALUES (?, ?, ?, ?, '', 0, 0)",
            *(number, f"坐席{number}", hashed, intent),
        )

    def intent(self, intent: str) -> None:
        self.rows("UPDATE agent SET intent = ?", intent)

    def messages(self) -> list[str]:
        file = self.settings.log_dir / "asterisk" / "messages"
        return file.read_text(errors="replace").splitlines() if file.exists() else []

    def complaints(self) -> list[str]:
        return [line for line in self.messages() if "WARNING[" in line or "ERROR[" in line]

    def in_fallback(self) -> set[str]:
        """The channels that are in the fallback queue, by CEL."""
        ended = {event[2] for event in self.events() if event[0] == "CHAN_END"}
        return {e[4] for e in self.events() if e[8] == "Queue" and e[2] not in ended}

    def events(self) -> list[list[str]]:
        with self.settings.cel_file.open(newline="") as file:
            return list(csv.reader(file, strict=True))


class Ami:
    """As much of a manager session as these tests need."""

    def __init__(self, exchange: Exchange) -> None:
        self._settings = exchange.settings
        self.events: list[dict[str, str]] = []

    async def __aenter__(self) -> "Ami":
        address, port = self._settings.control_address, self._settings.ami_port
        self._reader, self._writer = await asyncio.open_connection(address, port)
        await self._reader.readline()
        answer = await self.do("Login", Username=AMI_USER, Secret=ami_secret(self._settings))
        assert answer["Response"] == "Success", answer
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._writer.close()

    async def do(self, action: str, **headers: str) -> dict[str, str]:
        lines = [f"Action: {action}", *(f"{name}: {value}" for name, value in headers.items())]
        self._writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        while "Response" not in (message := await self._message()):
            self.events.append(message)
        return message

    async def listen(self, seconds: float) -> list[dict[str, str]]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    self.events.append(await self._message())
        return self.events

    async def _message(self) -> dict[str, str]:
        message: dict[str, str] = {}
        while line := (await self._reader.readline()).decode().rstrip("\r\n"):
            name, _, value = line.partition(": ")
            message.setdefault(name, value)
        return message


class Controller:
    """Plays the controller: `serve` is what it does with a connection whose AGI environment was read."""

    def __init__(
        self,
        exchange: Exchange,
        serve: "Callable[[Controller, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]",
    ) -> None:
        self._settings = exchange.settings
        self._serve = serve
        self._writers: list[asyncio.StreamWriter] = []
        self.calls: list[dict[str, str]] = []

    async def __aenter__(self) -> "Controller":
        self._server = await asyncio.start_server(
            self._accept, self._settings.control_address, self._settings.agi_port
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.die()

    def die(self) -> None:
        """Close everything at once, as the kernel does for a killed process."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        environment: dict[str, str] = {}
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(": ")
            environment[name] = value
        self.calls.append(environment)
        with contextlib.suppress(ConnectionError):
            await self._serve(self, reader, writer)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str) -> str:
    writer.write(command.encode() + b"\n")
    return (await reader.readline()).decode().strip()


async def say_nothing(
    _: Controller, reader: asyncio.StreamReader, __: asyncio.StreamWriter
) -> None:
    await reader.read()


async def finish(_: Controller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await ask(reader, writer, "SET VARIABLE HL_DONE 1")
    writer.close()


async def until(true: Callable[[], bool], within: float, what: str) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"waited {within} s for {what}"
        await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    exchange = Exchange(tmp_path_factory.mktemp("exchange"))
    try:
        asyncio.run(exchange.start())
        yield exchange
    finally:
        asyncio.run(exchange.stop())
        exchange.close()


@pytest.fixture
def exchange(running: Exchange) -> Iterator[Exchange]:
    running.intent("ready")
    yield running
    running.rows("DELETE FROM agent WHERE number NOT IN ('1001', '1002')")


@pytest.fixture
async def phones(exchange: Exchange) -> AsyncIterator[Phones]:
    async with Phones(exchange.sip) as made:
        yield made


async def talk(leg: Leg, agent: AgentPhone, within: float = 15) -> None:
    await leg.until_hears(agent.tone, within)
    await agent.offers[-1].until_hears(leg.tone)


# --- it boots


async def test_boots_and_reloads_without_a_complaint(running: Exchange) -> None:
    await running.cli("core reload")
    assert running.complaints() == []


async def test_is_adopted_when_it_runs(running: Exchange) -> None:
    before = programs.running(programs.asterisk_program(running.settings, running.asterisk))
    assert await programs.start_asterisk(running.settings, running.asterisk) is False
    assert before == programs.running(programs.asterisk_program(running.settings, running.asterisk))


async def test_two_centres_side_by_side(running: Exchange, tmp_path: Path) -> None:
    deep = tmp_path / "家 with spaces" / ("deep-" * 15)
    other = Exchange(deep, node="other", numbers="8890")
    try:
        await other.start()
        async with Phones(running.sip) as phones:
            here = await phones.citizen("13900000001").dial(NUMBER)
            phones.move(other.sip)
            there = await phones.citizen("13900000002").dial("8890")
            await asyncio.gather(here.until_answered(), there.until_answered())
        await until(other.settings.cel_file.exists, 10, "CEL")
        await until(lambda: other.events() != [], 10, "CEL of the other centre")
        assert all(event[2].startswith("other-") for event in other.events())
        assert other.complaints() == [line for line in other.complaints() if "res_agi" in line]
    finally:
        await other.stop()
        other.close()


# --- a citizen, when no controller answers


async def test_without_a_controller_a_person_answers_all_the_same(
    exchange: Exchange, phones: Phones
) -> None:
    agent = await phones.agent("1001", PASSWORD, answer_after=0.3)
    leg = await phones.citizen("13900000001").dial(NUMBER)
    await leg.until_answered()
    await leg.until_hears_something()
    await talk(leg, agent)
    assert agent.offers[0].peer == "13900000001"
    await asyncio.sleep(1)
    await leg.hang_up()
    await agent.offers[0].until_ended()

    # The recording covers the call from its answer, with the citizen in the left channel.
    await until(lambda: exchange.events()[-1][0] == "CHAN_END", 10, "CEL of the call's end")
    call = exchange.events()[-1][3]

    def both_are_heard() -> bool:
        data = (exchange.settings.spool_dir / f"{call}.raw").read_bytes()
        sound = np.frombuffer(data[: len(data) // 4 * 4], dtype="<i2").reshape(-1, 2)[-RATE:]
        shares = tone_share(sound[:, 0], leg.tone), tone_share(sound[:, 1], agent.tone)
        return min(shares) > 0.5

    await until(both_are_heard, 10, "the sound in the file")
    assert [event[10] for event in exchange.events() if event[3] == call and event[10]] == [
        "fallback"
    ]


async def test_an_agent_who_does_not_answer_is_followed_by_the_next(
    exchange: Exchange, phones: Phones
) -> None:
    agents = {
        number: await phones.agent(number, PASSWORD, answer_after=None)
        for number in ("1001", "1002")
    }
    leg = await phones.citizen("13900000001").dial(NUMBER)
    await until(lambda: any(agent.offers for agent in agents.values()), 10, "a ringing phone")
    silent = next(number for number, agent in agents.items() if agent.offers)
    (awake,) = (agent for number, agent in agents.items() if number != silent)
    awake.answer_after = 0.2
    await talk(leg, awake)
    assert len(agents[silent].offers) == 1


async def test_the_fallback_rings_agents_in_a_pause_only_when_nobody_is_ready(
    exchange: Exchange, phones: Phones
) -> None:
    exchange.intent("out")
    agents = {
        number: await phones.agent(number, PASSWORD, answer_after=None)
        for number in ("1001", "1002")
    }
    leg = await phones.citizen("13900000001").dial(NUMBER)
    await leg.until_answered()
    await until(lambda: bool(exchange.in_fallback()), 10, "the fallback queue")
    await asyncio.sleep(2)
    assert not agents["1001"].offers
    # The queue looks at the database again and again.
    exchange.rows("UPDATE agent SET intent = 'paused' WHERE number = '1001'")
    await until(lambda: len(agents["1001"].offers) > 0, 10, "the phone of the agent in a pause")
    exchange.rows("UPDATE agent SET intent = 'ready' WHERE number = '1002'")
    agents["1002"].answer_after = 0.2
    await talk(leg, agents["1002"])
    assert len(agents["1001"].offers) == 1


async def test_whoever_arrived_first_is_served_first(exchange: Exchange, phones: Phones) -> None:
    exchange.intent("out")

    async def first_waits(
        controller: Controller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(controller.calls) == 1:
            await reader.read()
        writer.close()

    agent = await phones.agent("1001", PASSWORD, answer_after=0.2)
    async with Controller(exchange, first_waits) as controller:
        early = await phones.citizen("13900000001").dial(NUMBER)
        await early.until_answered()
        await asyncio.sleep(1.2)
        late = await phones.citizen("13900000002").dial(NUMBER)
        await until(lambda: len(controller.calls) >= 3, 10, "the second caller's attempts")
        await until(
            lambda: len(exchange.in_fallback()) == 1, 10, "the second caller in the fallback queue"
        )
        controller.die()
    await until(lambda: len(exchange.in_fallback()) == 2, 10, "both callers in the fallback queue")
    exchange.intent("ready")
    await talk(early, agent)
    assert not late.hears(agent.tone)


async def test_a_controller_that_says_nothing(exchange: Exchange, phones: Phones) -> None:
    """Asterisk waits for as long as the socket is open; who watches the controller closes it by killing it."""
    agent = await phones.agent("1001", PASSWORD, answer_after=0.2)
    async with Controller(exchange, say_nothing) as controller:
        leg = await phones.citizen("13900000001").dial(NUMBER)
        await until(lambda: controller.calls != [], 10, "the call at the controller")
        await asyncio.sleep(3)
        assert leg.talking
        controller.die()
        await talk(leg, agent)


async def test_a_controller_that_dies_in_a_talk(exchange: Exchange, phones: Phones) -> None:
    async def dial(
        _: Controller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await ask(reader, writer, "EXEC Dial PJSIP/1001,5,g")

    agent = await phones.agent("1001", PASSWORD, answer_after=0.2)
    async with Controller(exchange, dial) as controller:
        leg = await phones.citizen("13900000001").dial(NUMBER)
        await talk(leg, agent)
        controller.die()
        await asyncio.sleep(1)
        await leg.until_hears(agent.tone)
        await agent.offers[0].hang_up()
        await leg.until_ended()
    assert len(agent.offers) == 1


async def test_the_controller_comes_back(exchange: Exchange, phones: Phones) -> None:
    """It finds the waiting caller in the fallback queue and takes them back, to their old place."""
    exchange.intent("out")
    remembered = asyncio.Event()

    async def remember(
        _: Controller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await ask(reader, writer, "EXEC MSet HL_ARRIVED=11,HL_QUEUED=22,HL_QUEUE=12345")
        remembered.set()
        writer.close()

    async with Controller(exchange, remember):
        leg = await phones.citizen("13900000001").dial(NUMBER)
        await until(remembered.is_set, 10, "the first controller")
    await until(lambda: bool(exchange.in_fallback()), 10, "the fallback queue")
    async with Controller(exchange, finish) as controller, Ami(exchange) as ami:
        (channel,) = exchange.in_fallback()
        moved = await ami.do(
            "Redirect", Channel=channel, Context="hotline-call", Exten="s", Priority="controller"
        )
        assert moved["Response"] == "Success", moved
        await leg.until_ended()
    (call,) = controller.calls
    assert [call[f"agi_arg_{place}"] for place in (1, 2, 3, 4)] == [NUMBER, "11", "22", NUMBER]
    assert call["agi_network_script"] == "call"


async def test_a_caller_may_leave_at_any_moment(exchange: Exchange, phones: Phones) -> None:
    agent = await phones.agent("1001", PASSWORD, answer_after=None)
    for seconds in (0.0, 0.3, 0.8, 2.5):
        leg = await phones.citizen("13900000001").dial(NUMBER)
        await leg.until_answered()
        await asyncio.sleep(seconds)
        await leg.hang_up()
    leg = await phones.citizen("13900000001").dial(NUMBER)
    await until(lambda: any(not offer.ended_at for offer in agent.offers), 15, "a ringing phone")
    await leg.hang_up()
    await until(lambda: all(offer.ended_at for offer in agent.offers), 10, "silence at the agent's")

    async def nothing_left() -> bool:
        return "0 active channels" in await exchange.cli("core show channels")

    for _ in range(50):
        if await nothing_left():
            break
        await asyncio.sleep(0.1)
    assert await nothing_left()


async def test_a_recording_that_cannot_be_written_stops_no_call(
    exchange: Exchange, phones: Phones
) -> None:
    agent = await phones.agent("1001", PASSWORD, answer_after=0.2)
    spool = exchange.settings.spool_dir
    kept = spool.rename(spool.with_name("kept"))
    spool.write_text("a file where the folder should be")
    try:
        leg = await phones.citizen("13900000001").dial(NUMBER)
        await talk(leg, agent)
    finally:
        spool.unlink()
        kept.rename(spool)


async def test_missing_prompts_stop_no_call(exchange: Exchange, phones: Phones) -> None:
    agent = await phones.agent("1001", PASSWORD, answer_after=0.2)
    prompts = exchange.settings.asterisk_dir / "data" / "sounds" / "zh" / "hotline"
    target = prompts.readlink()
    prompts.unlink()
    try:
        leg = await phones.citizen("13900000001").dial(NUMBER)
        await talk(leg, agent)
    finally:
        prompts.symlink_to(target)


# --- who is calling


@pytest.mark.parametrize(
    "caller", ["13900000001", "1001", "trunk", "anonymous", "$(reboot)", "'OR'1'='1", "9" * 500]
)
async def test_whatever_the_number_is_a_citizen_is_a_citizen(
    exchange: Exchange, phones: Phones, caller: str
) -> None:
    leg = await phones.citizen(caller).dial(NUMBER)
    await leg.until_answered()
    await leg.hang_up()
    await until(lambda: exchange.events()[-1][0] == "CHAN_END", 10, "CEL of the call")
    assert exchange.events()[-1][4].startswith("PJSIP/trunk-")
    # Asterisk keeps 79 characters of a number, the dialplan those that a number is made of.
    assert exchange.events()[-1][5] == re.sub("[^0-9A-Za-z*#+]", "", caller)[:79]


@pytest.mark.parametrize("number", ["99999", "s", "h", "1234", "123456", "*11", "hotline-call"])
async def test_no_other_number_is_reached_from_the_trunk(phones: Phones, number: str) -> None:
    leg = await phones.citizen("13900000001").dial(number)
    await leg.until_ended()
    assert leg.answered_at is None
    assert leg.reason.startswith("404"), leg.reason


async def test_an_agents_name_without_the_password_reaches_nothing(phones: Phones) -> None:
    leg = await phones.citizen("1001").dial("*11")
    await leg.until_ended()
    assert leg.reason.startswith("401"), leg.reason


async def test_from_elsewhere_the_hotlines_number_is_refused_and_phones_are_not(
    tmp_path: Path,
) -> None:
    """The number alone makes nobody a citizen: the call must come from a trunk's address too.

    Asterisk answers as it answers an unknown name: with a challenge that nothing can meet.
    """
    other = Exchange(tmp_path, trunks="127.0.0.2")
    try:
        await other.start()
        async with Phones(other.sip) as phones:
            stranger = await phones.citizen("13900000001").dial(NUMBER)
            await stranger.until_ended()
            assert stranger.reason.startswith("401"), stranger.reason
            assert any("Not match Endpoint ACL" in line for line in other.messages())
            agent = await phones.agent("1001", PASSWORD)
            leg = await agent.dial("*99")
            await leg.until_answered()
    finally:
        await other.stop()
        other.close()


# --- agents' phones


async def test_agents_in_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    other = Exchange(tmp_path, database_url=postgresql_url)
    engine = database.engine(postgresql_url)
    try:
        await migrations.upgrade(engine)
        hashed = hashlib.md5(f"1001:{signin.SIP_REALM}:{PASSWORD}".encode()).hexdigest()  # noqa: S324
        row = {"name": "坐席", "md5_cred": hashed, "intent": "ready", "added_at": 0}
        rows = [row | {"number": number} for number in ("1001", "1003")]
        async with engine.begin() as connection:
            await connection.execute(tables.agent.insert(), rows)
        render(other.settings, other.asterisk)
        assert await PhoneMirror(engine, other.settings).look()
        await programs.start_asterisk(other.settings, other.asterisk)
        async with Phones(other.sip) as phones:
            agent = await phones.agent("1001", PASSWORD, answer_after=0.2)
            leg = await phones.citizen("13900000001").dial(NUMBER)
            await talk(leg, agent)
            # The targets of a transfer are read there, too; without a controller the citizen gets back to the agents.
            for nobody in ("1002", "1001"):  # one is not there, the other is in this talk
                with pytest.raises(baresip.TransferFailed, match="404"):
                    await agent.offers[0].transfer(nobody)
            await agent.offers[0].transfer("1003")
            await agent.until_rings(2, 20)
            await talk(leg, agent)
    finally:
        await other.stop()
        await engine.dispose()
        other.close()


async def test_an_agent_signs_in_as_soon_as_they_are_added_and_no_longer_when_removed(
    exchange: Exchange, phones: Phones
) -> None:
    with pytest.raises(baresip.RegistrationError):
        await phones.agent("2001", PASSWORD)
    exchange.add("2001")
    with pytest.raises(baresip.RegistrationError):
        await phones.agent("2001", "not-the-password")
    phone = await phones.agent("2001", PASSWORD)
    exchange.rows("DELETE FROM agent WHERE number = '2001'")
    with pytest.raises(baresip.RegistrationError):
        await phone.sign_in()


async def test_the_phone_that_signed_in_last_is_rung(exchange: Exchange, phones: Phones) -> None:
    first = await phones.agent("1001", PASSWORD, answer_after=None)
    last = await phones.agent("1001", PASSWORD, answer_after=0.2)
    leg = await phones.citizen("13900000001").dial(NUMBER)
    await talk(leg, last)
    assert not first.offers


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("*11", ["ready", ""]),
        ("*12", ["pause", ""]),
        ("*125", ["pause", "5"]),
        ("*13", ["out", ""]),
    ],
)
async def test_feature_codes_reach_the_controller(
    exchange: Exchange, phones: Phones, code: str, asked: list[str]
) -> None:
    agent = await phones.agent("1002", PASSWORD)
    async with Controller(exchange, finish) as controller:
        leg = await agent.dial(code)
        await leg.until_ended()
    (call,) = controller.calls
    assert call["agi_network_script"] == "agent"
    assert [call["agi_arg_1"], call["agi_arg_2"], call.get("agi_arg_3", "")] == ["1002", *asked]


@pytest.mark.parametrize("code", ["*11", "*99", "*12x", "12345678", "#"])
async def test_a_code_that_fails_is_answered_in_words(phones: Phones, code: str) -> None:
    agent = await phones.agent("1002", PASSWORD)
    leg = await agent.dial(code)
    await leg.until_hears_something()
    await leg.until_ended(10)


async def test_a_phone_that_dies_without_a_word_becomes_unreachable(exchange: Exchange) -> None:
    program = (
        "import asyncio, sys\nfrom softphone.phones import Phones\n"
        "async def main():\n async with Phones(sys.argv[1]) as phones:\n"
        "  await phones.agent('1001', sys.argv[2]); print('in', flush=True)\n"
        "  await asyncio.sleep(60)\nasyncio.run(main())\n"
    )
    phone = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, exchange.sip, PASSWORD),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    assert phone.stdout is not None
    assert (await phone.stdout.readline()).strip() == b"in"
    async with Ami(exchange) as ami:
        phone.send_signal(signal.SIGKILL)
        await phone.wait()
        # Asterisk asks every 30 s by itself.
        await ami.do("PJSIPQualify", Endpoint="1001")
        await ami.listen(5)
    states = [e["ContactStatus"] for e in ami.events if e.get("Event") == "ContactStatus"]
    assert states[-1:] == ["Unreachable"], states


# --- the manager interface


async def test_the_controller_may_do_what_it_needs_and_no_more(exchange: Exchange) -> None:
    async with Ami(exchange) as ami:
        for action in ("CoreShowChannels", "Status", "Ping", "PJSIPShowAors"):
            assert (await ami.do(action))["Response"] == "Success", action
            await ami.listen(0.2)
        for action in ("Hangup", "Redirect", "Getvar", "Setvar", "ControlPlayback"):
            answer = await ami.do(
                action, Channel="none", Exten="s", Context="inbound", Priority="1"
            )
            assert "ermission" not in answer["Message"], answer
        # What would run a program, or load what can.
        evil = exchange.settings.root / "evil"
        for headers in (
            {"Channel": "PJSIP/1001", "Application": "System", "Data": f"touch {evil}"},
            {
                "Channel": f"Local/{NUMBER}@inbound",
                "Application": "System",
                "Data": f"touch {evil}",
            },
        ):
            await ami.do("Originate", **headers)
        outside = exchange.asterisk.modules / "app_system.so"
        for module in ("app_system.so", "app_system", str(outside), f"../../..{outside}"):
            answer = await ami.do("ModuleLoad", LoadType="load", Module=module)
            assert answer["Response"] == "Error", answer
        shell = await ami.do("Getvar", Variable=f"SHELL(touch {evil})")
        command = await ami.do("Command", Command="core show version")
        assert (shell.get("Value", ""), command["Response"]) == ("", "Error")
        await asyncio.sleep(0.5)
        assert not evil.exists()


async def test_only_the_events_that_are_read_are_sent(exchange: Exchange, phones: Phones) -> None:
    agent = await phones.agent("1001", PASSWORD, answer_after=0.2)
    async with Ami(exchange) as ami:
        leg = await phones.citizen("13900000001").dial(NUMBER)
        await talk(leg, agent)
        await leg.hang_up()
        events = await ami.listen(1)
    seen = {event["Event"] for event in events}
    assert seen <= set(AMI_EVENTS)
    assert {"Newchannel", "Hangup", "UserEvent"} <= seen
    times = [event["Timestamp"] for event in events if event["Event"] != "FullyBooted"]
    assert all(len(time.partition(".")[2]) == 6 for time in times)


async def test_nobody_else_gets_in(exchange: Exchange) -> None:
    address = exchange.settings.control_address, exchange.settings.ami_port
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"Action: Login\r\nUsername: hotline\r\nSecret: wrong\r\n\r\n")
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert b"Authentication failed" in answer
    writer.close()
    with socket.socket() as http, pytest.raises(OSError, match="refused"):
        http.connect(("127.0.0.1", 8088))


# --- it ends


async def test_with_calls_left_it_ends_after_the_last_one(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path / "home")
    try:
        await exchange.start()
        program = programs.asterisk_program(exchange.settings, exchange.asterisk)
        async with Phones(exchange.sip) as phones:
            agent = await phones.agent("1001", PASSWORD, answer_after=0.2)
            leg = await phones.citizen("13900000001").dial(NUMBER)
            await talk(leg, agent)
            await programs.stop_asterisk(exchange.settings, exchange.asterisk, leave_calls=True)
            await asyncio.sleep(1)
            await leg.until_hears(agent.tone)
            # Called off when somebody comes back before the end, and asked for again.
            assert await programs.start_asterisk(exchange.settings, exchange.asterisk) is False
            second = await phones.citizen("13900000002").dial(NUMBER)
            await second.until_answered()
            await second.hang_up()
            await programs.stop_asterisk(exchange.settings, exchange.asterisk, leave_calls=True)
            await leg.hang_up()
            assert await programs.ended(program, 15)
    finally:
        await exchange.stop()
        exchange.close()
        shutil.rmtree(tmp_path, ignore_errors=True)
