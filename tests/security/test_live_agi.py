"""Another user of the machine plays Asterisk at the AGI port of a running centre."""

import asyncio
import contextlib
import json
import resource
from collections.abc import Iterator

import pytest

from facts import AgentOut, CallArrived
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre, until_talk

GREETING = 18.0


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    with Centre(outbound="sip:127.0.0.1:9") as made:
        made.add_agent("1001", "1002")
        made.shorten_greeting()
        yield made
        assert not made.complaints(), "\n".join(made.complaints())


def secret(centre: Centre) -> str:
    return (centre.home / "secrets" / "agi").read_text().strip()


async def attack(centre: Centre, script: str, call: str, *arguments: str) -> bytes:
    """Say what Asterisk would say. Gives what the controller answered until it closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", centre.agi_port)
    values = {"network": "yes", "network_script": script, "uniqueid": call, "callerid": "119"}
    values |= {f"arg_{place}": value for place, value in enumerate(arguments, 1)}
    lines = [f"agi_{name}: {value}\n" for name, value in values.items()]
    writer.write("".join([*lines, "\n"]).encode())
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("knows_the_secret", [False, True])
async def test_nobody_signs_an_agent_out_invents_a_caller_or_asks_for_a_number(
    centre: Centre, knows_the_secret: bool
) -> None:
    """Even with the secret: AMI has told of no such channel."""
    last = [secret(centre)] if knows_the_secret else []
    arrived = len(centre.facts(CallArrived))
    async with Phones(centre.sip) as phones:
        await centre.agent(phones, "1001", answer_after=0.1)
        answers = await asyncio.gather(
            attack(centre, "agent", "hotline-1.1", "1001", "out", "", *last),
            attack(centre, "call", "hotline-1763731200.99", NUMBER, "", "", "", "", "", *last),
            attack(centre, "callback", "hotline-c1.1", "hotline-c1.1", *last),
            attack(centre, "colleague", "hotline-1.2", "1001", "1002", *last),
            attack(centre, "silent", "hotline-1.3", NUMBER, *last),
        )
        assert list(answers) == [b""] * 5
        await centre.presence("1001", "ready")
        assert not centre.facts(AgentOut)
        assert len(centre.facts(CallArrived)) == arrived
        said = [
            json.loads(line.split(": ", 1)[1])
            for line in centre.log_lines()
            if "agi.refused" in line
        ]
        assert {line["why"] for line in said[-5:]} == {"channel" if knows_the_secret else "secret"}
        # Asterisk itself gets through, as ever.
        leg = await phones.citizen("13900000001").dial(NUMBER)
        await until_talk(leg, phones.softphones[0].tone, GREETING)
        await leg.hang_up()
        assert (await centre.call("13900000001"))["outcome"] == "human"


async def test_a_crowd_of_connections_keeps_no_caller_out(centre: Centre) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    crowd: list[asyncio.StreamWriter] = []

    async def press(count: int) -> None:
        with contextlib.suppress(OSError):
            for _ in range(count):
                _, writer = await asyncio.open_connection("127.0.0.1", centre.agi_port)
                crowd.append(writer)

    try:
        async with Phones(centre.sip) as phones:
            agent = await centre.agent(phones, "1001", answer_after=0.1)
            await press(4500)
            assert len(crowd) == 4500
            pressing = asyncio.gather(press(1500), press(1500))
            leg = await phones.citizen("13900000002").dial(NUMBER)
            await until_talk(leg, agent.tone)
            await pressing
            await leg.hang_up()
            assert (await centre.call("13900000002"))["outcome"] == "human"
            assert len(centre.processes(" serve")) == 1
    finally:
        for writer in crowd:
            writer.transport.abort()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_secret_is_in_no_log_even_when_the_controller_is_gone(centre: Centre) -> None:
    centre.asterisk("core set verbose 5")
    async with Phones(centre.sip) as phones:
        centre.kill_controller(for_good=True)
        leg = await phones.citizen("13900000003").dial(NUMBER)
        await leg.until_answered()
        await centre.until(
            lambda: any("agi://" in line for line in centre.log_lines()), 20, "Asterisk to complain"
        )
        await leg.hang_up()
        centre.revive()
        await centre.until(lambda: bool(centre.processes(" serve")), 20, "the controller")
    for file in [centre.home / "up.log", *(centre.home / "log").rglob("*")]:
        if file.is_file():
            assert secret(centre) not in file.read_text(errors="replace"), file
