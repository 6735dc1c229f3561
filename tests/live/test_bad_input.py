"""Bad input, tried on a running centre: each leaves a clear line in a log, nothing hangs, and no other call notices."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from facts import CallArrived, CallEnded, CallQueued, RecordingFinished, RecordingMissing
from facts.numbers import normalise
from softphone.phones import LOUD, RATE, Leg, Phones, loudness
from tests.live.centre import A_TALK, NUMBER, PASSWORD, Centre, until_talk
from tests.live.sip import Wire

GREETING = 18.0


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    """The centre that all of this is done to."""
    with Centre() as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        yield centre


@pytest.fixture
async def witness(centre: Centre, phones: Phones) -> AsyncIterator[Leg]:
    """Two people who talk all the while and must not notice anything."""
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    leg = await phones.citizen("13911111111").dial(NUMBER)
    await leg.until_hears(agent.tone, GREETING)
    begun = time.monotonic()
    yield leg
    talked = time.monotonic() - begun
    assert leg.talking
    assert agent.offers[0].seconds_of(leg.tone) > talked - 1
    heard = leg.heard(talked)
    silent = [
        at for at in range(0, heard.size, RATE // 5) if loudness(heard[at : at + RATE // 5]) < LOUD
    ]
    assert len(silent) <= 1, f"{len(silent)} holes of 0.2 s in {talked:.0f} s of talk"
    await leg.hang_up()
    # And the next caller is served as ever.
    following = await phones.citizen("13911111112").dial(NUMBER)
    await until_talk(following, agent.tone, GREETING)
    await following.hang_up()


async def closed_by_server(reader: asyncio.StreamReader, within: float) -> bool:
    """Whether the other side ends the connection by itself."""
    with contextlib.suppress(ConnectionError):
        try:
            async with asyncio.timeout(within):
                await reader.read()
        except TimeoutError:
            return False
    return True


AGI_LINES = {
    "not AGI at all": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no colon": b"agi_network yes\nnonsense\n\n",
    "truncated": b"agi_network: yes\nagi_reque",
    "binary": bytes(range(256)) * 4 + b"\n\n",
    "a line of 1 MB": b"agi_request: " + b"x" * 1_000_000 + b"\n\n",
    "1 MB without an end": b"x" * 1_000_000,
    "a thousand variables": b"".join(b"agi_x%d: y\n" % n for n in range(100_000)) + b"\n",
    "unknown script": b"agi_network: yes\nagi_network_script: nothing\nagi_request: agi://h/nothing\n\n",
    "no arguments": b"agi_network: yes\nagi_network_script: call\nagi_request: agi://h/call\n\n",
    "an agent who is not": (
        b"agi_network: yes\nagi_network_script: agent\nagi_request: agi://h/agent\nagi_uniqueid: x-1.1\n"
        b"agi_channel: PJSIP/x\nagi_arg_1: '; DROP TABLE agent; --\nagi_arg_2: ready\nagi_arg_3: \n\n"
    ),
    "a request that is none": (
        b"agi_network: yes\nagi_network_script: agent\nagi_request: agi://h/agent\nagi_uniqueid: x-1.2\n"
        b"agi_channel: PJSIP/x\nagi_arg_1: 1001\nagi_arg_2: dance\nagi_arg_3: \n\n"
    ),
    "bytes that are no UTF-8": b"agi_network: yes\nagi_callerid: \xff\xfe\xfd\nagi_calleridname: \x00\n\n",
}


async def test_malformed_agi(centre: Centre, witness: Leg) -> None:
    for what, lines in AGI_LINES.items():
        lines_before = sum(1 for _ in centre.log_lines())
        reader, writer = await asyncio.open_connection("127.0.0.1", centre.agi_port)
        with contextlib.suppress(OSError):  # the other side may have hung up already
            writer.write(lines)
            async with asyncio.timeout(20):
                await writer.drain()
            writer.write_eof()
        assert await closed_by_server(reader, 15), what
        writer.close()
        new = list(centre.log_lines())[lines_before:]
        assert any('"level":"warning"' in line or '"level":"info"' in line for line in new), what


async def test_agi_clients_that_say_nothing(centre: Centre, phones: Phones, witness: Leg) -> None:
    for _ in range(50):  # a port scan
        _, writer = await asyncio.open_connection("127.0.0.1", centre.agi_port)
        writer.close()
    mute = [await asyncio.open_connection("127.0.0.1", centre.agi_port) for _ in range(100)]
    leg = await phones.citizen("13922222201").dial(NUMBER)
    await leg.until_answered()
    await leg.until_hears_something()
    await leg.hang_up()
    # They are not kept for ever.
    closed = await asyncio.gather(*(closed_by_server(reader, 30) for reader, _ in mute))
    assert all(closed)
    for _, writer in mute:
        writer.close()


async def test_strangers_at_the_manager_interface(centre: Centre, witness: Leg) -> None:
    centre.expected += ["failed to authenticate", "AMI", "manager", "Manager", "InvalidPassword"]
    for lines in (
        b"Action: Login\r\nUsername: hotline\r\nSecret: wrong\r\n\r\n",
        b"Action: Login\r\nUsername: nobody\r\nSecret: wrong\r\n\r\n",
        b"Action: Originate\r\nChannel: Local/x\r\nApplication: System\r\nData: reboot\r\n\r\n",
        b"x" * 1_000_000,
        b"Action: Logi",
        b"\xff\xfe\x00\r\n\r\n",
    ):
        _reader, writer = await asyncio.open_connection("127.0.0.1", centre.ami_port)
        with contextlib.suppress(OSError):  # the other side may have hung up already
            writer.write(lines)
            async with asyncio.timeout(20):
                await writer.drain()
            await asyncio.sleep(0.3)
        writer.close()
    mute = [await asyncio.open_connection("127.0.0.1", centre.ami_port) for _ in range(20)]
    await asyncio.sleep(1)
    for _, writer in mute:
        writer.close()


ODD = {
    "500 digits": b"<sip:" + b"9" * 500 + b"@x.invalid>",
    "500 letters of a name": b'"' + b"x" * 500 + b'" <sip:13800000001@x.invalid>',
    "emoji as a name": '"😀☎️" <sip:13800000002@x.invalid>'.encode(),
    "emoji as a number": b"<sip:%F0%9F%98%80@x.invalid>",
    "a shell's words": b'"$(reboot)`id`" <sip:$(reboot)@x.invalid>',
    "a dialplan's words": b'"${SHELL(id)}" <sip:%24%7BSHELL(id)%7D@x.invalid>',
    "escaped line ends": b'"a" <sip:12%0d%0aAction%3a%20Originate%0d%0a@x.invalid>',
    "a backslash and quotes": b'"a\\"b\\\\;c" <sip:1,2;3@x.invalid>',
    "html": b'"<script>alert(1)</script>" <sip:13800000003@x.invalid>',
    "withheld": b'"Anonymous" <sip:anonymous@anonymous.invalid>',
    "a tel URI": b"<tel:+8613800000004>",
    "path": b"<sip:..%2F..%2Fetc%2Fpasswd@x.invalid>",
    "not UTF-8": b'"\xff\xfe" <sip:13800000005@x.invalid>',
}


async def test_odd_callers(centre: Centre, witness: Leg) -> None:
    for what, sender in ODD.items():
        arrived = len(centre.facts(CallArrived))
        with Wire(centre.sip) as wire:
            try:
                dialog = await wire.call(NUMBER, sender, within=5)
            except TimeoutError:
                continue  # Asterisk drops a message that is no SIP
            assert dialog.status == 200, what
            fact = await centre.fact(CallArrived, count=arrived + 1)
            assert len(fact.caller) <= 80, what
            assert fact.caller.isprintable(), what
            await dialog.hang_up()
            await centre.fact(CallEnded, call=fact.call)
    assert len(centre.facts(CallArrived)) > len(ODD) // 2
    assert not [line for line in centre.log_lines() if "13800000001" in line], "a number in a log"
    outcomes = {
        row["outcome"] for row in await centre.calls() if row["caller"] != normalise("13911111111")
    }
    assert outcomes <= {"abandoned_greeting", "human"}
    await centre.cli("calls")


async def test_fifty_calls_and_nobody_signed_in(centre: Centre, phones: Phones) -> None:
    # Fifty telephones in one process begin to send their sound late when the machine is busy.
    centre.expected.append("recording.incomplete")
    callers = [f"139333333{n:02}" for n in range(50)]
    already = len(centre.facts(CallQueued))
    legs = await asyncio.gather(*(phones.citizen(caller).dial(NUMBER) for caller in callers))
    await asyncio.gather(*(leg.until_answered(10) for leg in legs))
    await centre.fact(CallQueued, 30, count=already + 50)
    await asyncio.sleep(2)
    assert all(leg.talking and loudness(leg.heard(2)) > 100 for leg in legs)
    agent = await centre.agent(phones, "1001", answer_after=0)
    offer = await agent.until_rings(1)
    await offer.until_answered()
    await asyncio.sleep(A_TALK)
    await asyncio.gather(*(leg.hang_up() for leg in legs))
    await centre.until(
        lambda: len(centre.facts(CallEnded)) >= len(centre.facts(CallArrived)),
        10,
        "all calls to end",
    )
    known = {normalise(caller) for caller in callers}
    rows = [row for row in await centre.calls() if row["caller"] in known]
    assert len(rows) == 50
    outcomes = [row["outcome"] for row in rows]
    assert outcomes.count("human") == 1
    assert outcomes.count("abandoned_queue") + outcomes.count("abandoned_ringing") == 49


async def test_a_phone_that_died_without_a_word(centre: Centre, phones: Phones) -> None:
    other = await centre.agent(phones, "1002", answer_after=0.2)
    with Wire(centre.sip) as dead:
        await centre.agent(phones, "1001")
        await phones.softphones[-1].sign_out()
        await dead.register("1001", PASSWORD)
        leg = await phones.citizen("13944444401").dial(NUMBER)
        # It never says 180, nor anything else: the caller moves on to the next agent all the same.
        await leg.until_hears(other.tone, GREETING + 8)


@contextlib.contextmanager
def small_disk(centre: Centre) -> Iterator[None]:
    """The centre's recordings lie on a disk of 1 MB."""
    folder = centre.home / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def give_room(centre: Centre) -> None:
    """The small disk grows to 20 MB."""
    folder = centre.home / "recordings"
    subprocess.run(["mount", "-o", "remount,size=20m", str(folder)], check=True)


async def test_a_full_disk_for_recordings() -> None:
    centre = Centre(min_free_mb=1)
    with small_disk(centre), centre:
        centre.expected += ["disk", "recording", "No space", "write"]
        centre.add_agent("1001")
        centre.shorten_greeting()
        async with Phones(centre.sip) as phones:
            agent = await centre.agent(phones, "1001", answer_after=0.2)
            # 32,000 bytes a second: 1 MB is full after about half a minute of two calls.
            callers = [f"1395555550{n}" for n in range(3)]
            legs = [await phones.citizen(caller).dial(NUMBER) for caller in callers]
            await agent.until_rings(1, GREETING)
            await asyncio.sleep(12)
            assert all(leg.talking for leg in legs)
            talking = legs[await agent.offers[0].until_hears_one_of(legs)]
            await talking.until_hears(agent.tone)  # a full disk must not cut a talk
            for leg in legs:
                await leg.hang_up()
            held_up = "recording.held_up"
            await centre.until(lambda: held_up in "\n".join(centre.log_lines()), 30, held_up)
            # Nothing can be entered, and nothing is given up. With room all is, and what the disk did not take is told.
            assert centre.facts(RecordingMissing) == []
            give_room(centre)
            await centre.fact(RecordingMissing, 60)
            calls = [await centre.call_id(caller) for caller in callers]
            for call in calls:
                await centre.fact(RecordingFinished, 60, call=call)
        begun, over = (line for line in centre.log_lines() if held_up in line)
        assert '"on":true' in begun
        assert '"on":false' in over
        rows = await centre.calls()
        assert sorted(row["outcome"] for row in rows) == [
            "abandoned_queue",
            "abandoned_queue",
            "human",
        ]
        assert not centre.complaints(), "\n".join(centre.complaints())


async def test_a_missing_prompt_file() -> None:
    with Centre() as centre:
        centre.add_agent("1001")
        centre.shorten_greeting(greeting_12345=None)
        centre.expected += ["greeting_12345", "prompt"]
        async with Phones(centre.sip) as phones:
            agent = await centre.agent(phones, "1001", answer_after=0.2)
            leg = await phones.citizen("13966666601").dial(NUMBER)
            await until_talk(leg, agent.tone, GREETING)
            await leg.hang_up()
            assert (await centre.call("13966666601"))["outcome"] == "human"
        assert any("greeting_12345" in line for line in centre.log_lines())
        assert not centre.complaints(), "\n".join(centre.complaints())


async def test_two_centres_side_by_side(centre: Centre, phones: Phones) -> None:
    with Centre(numbers="8890,12345") as second:
        second.add_agent("1001")
        second.shorten_greeting()
        here = await centre.agent(phones, "1001", answer_after=0.2)
        leg = await phones.citizen("13977777701").dial(NUMBER)
        await leg.until_hears(here.tone, GREETING)
        phones.move(second.sip)
        there = await second.agent(phones, "1001", answer_after=0.2)
        other = await phones.citizen("13977777702").dial("8890")
        await other.until_hears(there.tone, GREETING)
        await leg.until_hears(here.tone)
        assert (len(here.offers), len(there.offers)) == (1, 1)
        await leg.hang_up()
        await other.hang_up()
        assert (await centre.call("13977777701"))["number"] == NUMBER
        assert (await second.call("13977777702"))["number"] == "8890"
        assert normalise("13977777702") not in {row["caller"] for row in await centre.calls()}


async def test_manager_interfaces_that_are_none() -> None:
    """`hotline serve` alone, before something that is not Asterisk: it complains, tries again, and can be stopped."""
    kinds = ("mute", "garbage", "refuses", "one megabyte", "truncated", "closes")
    await asyncio.gather(*(no_manager_interface(manners) for manners in kinds))


async def no_manager_interface(manners: str) -> None:
    centre = Centre()
    tries = 0

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if manners == "closes":
                return
            if manners == "garbage":
                writer.write(bytes(range(256)) * 100)
            elif manners == "one megabyte":
                writer.write(b"Asterisk Call Manager/10.0.0\r\nEvent: " + b"x" * 1_000_000)
            elif manners == "truncated":
                writer.write(b"Asterisk Call Manager/10.0.0\r\nRespon")
                await writer.drain()
                return
            elif manners == "refuses":
                writer.write(b"Asterisk Call Manager/10.0.0\r\n")
                asked = await reader.readuntil(b"\r\n\r\n")
                fields = dict(
                    line.split(b": ", 1) for line in asked.split(b"\r\n") if b": " in line
                )
                writer.write(
                    b"Response: Error\r\nActionID: %b\r\nMessage: Authentication failed\r\n\r\n"
                    % fields.get(b"ActionID", b"")
                )
            await writer.drain()
            await reader.read()

    server = await asyncio.start_server(pretend, "127.0.0.1", centre.ami_port)
    serve = centre.start_alone("serve")
    try:
        await centre.until(lambda: tries > 0, 40, "hotline serve to connect")
        await asyncio.sleep(3)
        assert serve.poll() is None, centre.logs()
        # A caller who comes now is answered by nobody here, but the AGI port may be open: it must not hang either.
        assert any(
            '"level":"warning"' in line or '"level":"error"' in line for line in centre.log_lines()
        )
        serve.terminate()
        await asyncio.to_thread(serve.wait, 20)
    finally:
        server.close()
        await server.wait_closed()
        centre.discard()
        await asyncio.sleep(0.1)  # the last connections close
