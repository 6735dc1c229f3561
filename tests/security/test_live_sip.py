"""Strangers at the SIP port of a running centre: guesses at a phone's password are logged, told of and recognised."""

import asyncio
import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.centre import PASSWORD, Centre
from tests.live.sip import Wire

FILTER = Path(__file__).parents[2] / "asterisk-conf" / "fail2ban" / "hotline.conf"


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    with Centre(alarms='{"sip_guesses": {"rest": 0}}') as made:
        made.add_agent("1001")
        yield made


async def guess(centre: Centre, number: str, password: str) -> str:
    """Register once with this password. Gives the status."""
    with Wire(centre.sip) as wire:
        try:
            await wire.register(number, password)
        except AssertionError as refused:
            found = re.search(r"SIP/2.0 (\d+)", str(refused))
            assert found is not None
            return found[1]
    return "200"


async def test_guesses_are_logged_told_of_and_recognised(centre: Centre, tmp_path: Path) -> None:
    for _ in range(40):
        assert await guess(centre, "1001", secrets.token_hex(4)) == "401"
    security = centre.home / "log" / "asterisk" / "security"
    await centre.until(
        lambda: security.read_text().count("ChallengeResponseFailed") >= 40, 10, "the log"
    )
    await centre.until(
        lambda: any('"sip.sign_in_refused"' in line for line in centre.log_lines()), 10, "our log"
    )
    async with asyncio.timeout(10):
        while not (found := json.loads(await centre.cli("alarm", "list", "--format", "json"))):
            await asyncio.sleep(0.2)
    assert [one["rule"] for one in found] == ["sip_guesses"]

    # The phone with the right password is served all the while.
    assert await guess(centre, "1001", PASSWORD) == "200"
    lines = [
        line for line in security.read_text().splitlines() if "ChallengeResponseFailed" in line
    ]
    assert matched(tmp_path, *lines) == ["127.0.0.1"] * len(lines)
    others = [
        line for line in security.read_text().splitlines() if "ChallengeResponseFailed" not in line
    ]
    assert others, "a right sign-in is logged, too"
    assert matched(tmp_path, *others) == []


def matched(folder: Path, *lines: str) -> list[str]:
    """The addresses that fail2ban would count."""
    log = folder / "security"
    log.write_text("".join(f"{line}\n" for line in lines))
    done = subprocess.run(
        ["fail2ban-regex", "-o", "<ip>", str(log), str(FILTER)],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    return done.stdout.split()
