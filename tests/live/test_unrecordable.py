"""No call can be recorded: it is told within seconds, new callers go where the setting says, and recording resumes."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from base.bus import Bus
from facts import CallSentOutside, RecordingFinished, RecordingMissing
from softphone.phones import AgentPhone, Phones, seconds_of
from tests.live import sounds
from tests.live.centre import NUMBER, Centre, until_talk
from tests.live.gateway import Gateway, Manners

pytestmark = pytest.mark.timeout(240)

ELSEWHERE = "0411000"
SECONDS = 10.0
"""Within which it is known that no call can be recorded, or that one can."""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for the raw files: 8 MB, four minutes of sound."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def only_to_read(folder: Path) -> Iterator[None]:
    """Another disk lies over the folder, which nobody can write to: root may write to any folder."""
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    subprocess.run(command, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave not one byte free."""
    filler = folder / ".filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    centre = Centre(without_recording=ELSEWHERE, outbound=way_out.address)
    with small_disk(centre.home / "recordings" / "spool"), centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        yield centre


@pytest.fixture
async def gateway(way_out: Gateway) -> AsyncIterator[Gateway]:
    async with way_out:
        way_out.manners[ELSEWHERE] = Manners(answer_after=0.3, tone=700)
        yield way_out


async def until_alarm(centre: Centre, *, raised: bool, within: float) -> None:
    """Wait until the screens tell that no call can be recorded, or that one can again."""
    bus = Bus(f"unix://{centre.home}/run/redis.sock", "hotline")
    try:
        async with asyncio.timeout(within):
            while True:
                live = await bus.live()
                told = [alarm["rule"] for alarm in live["alarms"]] if live else []
                if ("recording_blocked" in told) is raised:
                    return
                await asyncio.sleep(0.1)
    finally:
        await bus.close()


async def is_sent_outside(centre: Centre, phones: Phones, caller: str) -> None:
    leg = await phones.citizen(caller).dial(NUMBER)
    await leg.until_hears(700, 10)
    await leg.hang_up()
    row = await centre.call(caller)
    assert row["outcome"] == "human_overflow"
    sent = centre.facts(CallSentOutside, call=row["id"])
    assert {fact.number for fact in sent} == {ELSEWHERE}


async def is_recorded(centre: Centre, phones: Phones, caller: str, agent: AgentPhone) -> None:
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, 15)
    await asyncio.sleep(1)
    await leg.hang_up()
    call = await centre.call_id(caller)
    await centre.fact(RecordingFinished, 20, call=call)
    left, right = sounds.recording(centre.home, call)
    assert seconds_of(left, leg.tone) > 0.5
    assert seconds_of(right, agent.tone) > 0.5


async def test_a_full_disk_sends_new_callers_elsewhere_and_recording_resumes(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    centre.expected += ["recording", "disk", "No space", "write", "MixMonitor"]
    spool = centre.home / "recordings" / "spool"
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    talking = await phones.citizen("13957000001").dial(NUMBER)
    await until_talk(talking, agent.tone, 15)
    filler = fill(spool)
    await until_alarm(centre, raised=True, within=SECONDS)
    await is_sent_outside(centre, phones, "13957000002")
    # Nobody answers there: the caller hears why, and is not left hanging.
    gateway.manners[ELSEWHERE] = Manners(status=486)
    lost = await phones.citizen("13957000003").dial(NUMBER)
    await lost.until_ended(15)
    row = await centre.call("13957000003")
    assert row["outcome"] == "system_failure"

    assert talking.talking, "a full disk must not cut a talk"
    filler.unlink()
    await until_alarm(centre, raised=False, within=SECONDS + 5)
    await asyncio.sleep(4)
    await talking.hang_up()
    call = await centre.call_id("13957000001")
    missing = await centre.fact(RecordingMissing, 20, call=call)
    assert "missing" in missing.why
    await centre.fact(RecordingFinished, call=call)
    # The talk that went on is on record again, up to its end.
    left, right = sounds.recording(centre.home, call)
    assert seconds_of(left[-3 * 8000 :], talking.tone) > 2
    assert seconds_of(right[-3 * 8000 :], agent.tone) > 2
    await is_recorded(centre, phones, "13957000004", agent)


async def test_a_folder_that_can_only_be_read_sends_new_callers_elsewhere(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    centre.expected += ["recording", "Read-only", "MixMonitor", "write"]
    spool = centre.home / "recordings" / "spool"
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    with only_to_read(spool):
        await until_alarm(centre, raised=True, within=SECONDS)
        await is_sent_outside(centre, phones, "13957000005")
    await until_alarm(centre, raised=False, within=SECONDS + 5)
    await is_recorded(centre, phones, "13957000006", agent)
