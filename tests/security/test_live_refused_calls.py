"""Calls that are refused before they have a channel: each is in the figures, in the log, and an alarm."""

import asyncio
import json
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from facts import CallArrived, CallRefused
from tests.fakes.hep import packet
from tests.live.centre import NUMBER, Centre
from tests.live.sip import Wire

G729 = b"18\r\na=rtpmap:18 G729/8000\r\n"


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    with Centre() as made:
        made.shorten_greeting()
        made.expected += ["488", "negotiate", "codec"]
        yield made


async def refused(centre: Centre, wire: Wire, caller: str, status: int, **how: Any) -> CallRefused:
    """A call that is refused with this status. Gives its fact."""
    before = len(centre.facts(CallRefused))
    dialog = await wire.call(NUMBER, b"<sip:%s@x.invalid>" % caller.encode(), **how)
    assert dialog.status == status
    await centre.until(lambda: len(centre.facts(CallRefused)) > before, 10, "the refusal")
    fact = centre.facts(CallRefused)[before]
    assert isinstance(fact, CallRefused)
    assert fact.status == status
    return fact


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (488, {"media": G729}),
        (420, {"headers": b"Require: precondition\r\n"}),
        (422, {"headers": b"Supported: timer\r\nSession-Expires: 30\r\n"}),
    ],
    ids=["codec", "requirement", "session interval"],
)
async def test_a_refused_call_is_one_in_the_figures(
    centre: Centre, status: int, how: dict[str, bytes]
) -> None:
    before = await centre.report()
    with Wire(centre.sip) as wire:
        fact = await refused(centre, wire, f"13900000{status}", status, **how)
    arrived = await centre.fact(CallArrived, call=fact.call)
    assert (arrived.number, arrived.caller) == (NUMBER, f"+8613900000{status}")
    (row,) = [row for row in await centre.calls() if row["id"] == fact.call]
    assert row["outcome"] == "no_capacity"
    after = await centre.report()
    assert after["M1"]["denominator"] == before["M1"]["denominator"] + 1
    assert after["M1"]["numerator"] == before["M1"]["numerator"]
    text = "\n".join(centre.log_lines())
    assert f'"status":{status}' in text
    assert f"13900000{status}" not in text


async def test_a_call_that_is_taken_at_the_second_try_was_not_refused(centre: Centre) -> None:
    """RFC 4028, 7.3: after a 422 the same call comes again, with a longer interval."""
    before = len(centre.facts(CallRefused)), len(centre.facts(CallArrived))
    call = secrets.token_hex(8)
    with Wire(centre.sip) as wire:
        for interval, status in ((30, 422), (1800, 200)):
            wanted = b"Supported: timer\r\nSession-Expires: %d\r\n" % interval
            dialog = await wire.call(
                NUMBER, b"<sip:13900000501@x.invalid>", headers=wanted, call=call
            )
            assert dialog.status == status
        await centre.fact(CallArrived, caller="+8613900000501")
        await dialog.ask("BYE", 2)
        # A later one that is refused is told: the one before was not waited for in vain.
        await refused(centre, wire, "13900000502", 488, media=G729)
    after = len(centre.facts(CallRefused)), len(centre.facts(CallArrived))
    assert after == (before[0] + 1, before[1] + 2)


async def test_a_number_that_is_not_ours_is_no_call_but_is_seen(centre: Centre) -> None:
    before = len(centre.facts(CallArrived))
    with Wire(centre.sip) as wire:
        assert (await wire.call("12346", b"<sip:13900000503@x.invalid>")).status == 404
    await centre.until(
        lambda: any('"number.unknown"' in line for line in centre.log_lines()), 10, "the line"
    )
    found = await alarm(centre, "unknown_number")
    assert found["subject"] == "12346"
    assert len(centre.facts(CallArrived)) == before


async def test_copies_that_do_not_come_from_asterisk_are_not_believed(centre: Centre) -> None:
    before = len(centre.facts(CallRefused))
    fake = packet(secret=b"0" * 64, text=b"SIP/2.0 488 No\r\n\r\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(1000):
            out.sendto(fake, ("127.0.0.1", centre.agi_port))
    with Wire(centre.sip) as wire:
        await refused(centre, wire, "13900000504", 488, media=G729)
    assert len(centre.facts(CallRefused)) == before + 1


async def test_they_raise_an_alarm_and_every_witness_agrees(centre: Centre) -> None:
    with Wire(centre.sip) as wire:
        await refused(centre, wire, "13900000505", 488, media=G729)
    await alarm(centre, "calls_refused")
    said = await centre.cli("metrics", "verify", status=None)
    assert "difference" not in said.lower(), said
    assert "refused before they had a channel" in said


async def alarm(centre: Centre, rule: str, within: float = 20) -> dict[str, Any]:
    """The open alarm of this rule."""
    async with asyncio.timeout(within):
        while True:
            for one in json.loads(await centre.cli("alarm", "list", "--format", "json")):
                if one["rule"] == rule:
                    found: dict[str, Any] = one
                    return found
            await asyncio.sleep(0.2)
