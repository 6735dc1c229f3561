"""Which copies of SIP messages reach the controller: the kernel throws the others away."""

import asyncio
import socket

import pytest

from telephony.hep import listen
from tests.fakes.hep import packet

OWN = {5060, 5061}
PASSED = [
    b"INVITE sip:12345@x SIP/2.0\r\n",
    b"CANCEL sip:12345@x SIP/2.0\r\n",
    b"SIP/2.0 200 OK\r\n",
    b"SIP/2.0 202 Accepted\r\n",
    b"SIP/2.0 400 Bad Request\r\n",
    b"SIP/2.0 488 Not Acceptable Here\r\n",
    b"SIP/2.0 503 Service Unavailable\r\n",
    b"SIP/2.0 603 Decline\r\n",
]
DROPPED = [
    b"REGISTER sip:x SIP/2.0\r\n",
    b"ACK sip:x SIP/2.0\r\n",
    b"SIP/2.0 100 Trying\r\n",
    b"SIP/2.0 302 Moved\r\n",
    b"SIP/2.0 401 Unauthorized\r\n",
    b"SIP/2.0 407 Proxy Authentication Required\r\n",
    b"SIP/",
    b"",
]


@pytest.mark.parametrize("six", [False, True])
async def test_only_what_matters_wakes_the_controller(*, six: bool) -> None:
    came: list[bytes] = []
    copies = await listen("127.0.0.1", 0, OWN, came.append)
    sent = [packet(text=text, six=six) for text in PASSED]
    try:
        copies.hear_answers(60)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for text in DROPPED:
                out.sendto(packet(text=text, six=six), copies.address)
            for port in OWN:
                for text in (b"SIP/2.0 200 OK\r\n", b"INVITE sip:1001@x SIP/2.0\r\n"):
                    out.sendto(packet(text=text, six=six, port=port), copies.address)
            out.sendto(b"", copies.address)
            out.sendto(b"HEP3", copies.address)
            for one in sent:
                out.sendto(one, copies.address)
        await until(came, len(sent))
    finally:
        copies.close()
    assert came == sent


async def test_answers_are_heard_only_while_a_citizen_is_dialled() -> None:
    came: list[bytes] = []
    copies = await listen("127.0.0.1", 0, OWN, came.append)
    answer, invite, cut = (packet(text=text) for text in (PASSED[2], PASSED[0], PASSED[1]))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:

            def tell() -> None:
                for one in (answer, cut, invite):
                    out.sendto(one, copies.address)

            tell()
            await until(came, 1)
            copies.hear_answers(0.001)
            copies.hear_answers(0.2)  # the next citizen, before the first has been dialled
            await asyncio.sleep(0.05)
            tell()
            await until(came, 4)
            await asyncio.sleep(0.3)
            tell()
            await until(came, 5)
    finally:
        copies.close()
    assert came == [invite, answer, cut, invite, invite]


async def until(came: list[bytes], count: int) -> None:
    async with asyncio.timeout(5):
        while len(came) < count:
            await asyncio.sleep(0.01)


async def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="in use"):
            await listen("127.0.0.1", other.getsockname()[1], (), print)
