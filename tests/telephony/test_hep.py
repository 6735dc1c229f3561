"""Which copies of SIP messages reach the controller: the kernel throws the others away."""

import asyncio
import socket
from collections.abc import Sized

import pytest

from telephony.hep import listen
from tests.fakes.hep import packet

OWN = {5060, 5061}
PASSED = [
    b"INVITE sip:12345@x SIP/2.0\r\n",
    b"CANCEL sip:12345@x SIP/2.0\r\n",
    b"REFER sip:12345@x SIP/2.0\r\n",
    b"BYE sip:12345@x SIP/2.0\r\n",
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
    copies = listen("127.0.0.1", 0, OWN, came.append)
    sent = [packet(text=text, six=six) for text in PASSED]
    try:
        copies.hear_more(60)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for text in DROPPED:
                out.sendto(packet(text=text, six=six), copies.address)
            for port in OWN:
                out.sendto(packet(text=b"SIP/2.0 200 OK\r\n", six=six, port=port), copies.address)
            out.sendto(b"", copies.address)
            out.sendto(b"HEP3", copies.address)
            for one in sent:
                out.sendto(one, copies.address)
        await until(came, len(sent))
    finally:
        copies.close()
    assert came == sent


async def test_answers_and_ends_are_heard_only_for_a_while() -> None:
    came: list[bytes] = []
    copies = listen("127.0.0.1", 0, OWN, came.append)
    invite, cut, refer, bye, answer = (packet(text=text) for text in PASSED[:5])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:

            def tell() -> None:
                for one in (answer, cut, bye, refer, invite):
                    out.sendto(one, copies.address)

            tell()
            await until(came, 2)
            copies.hear_more(0.001)
            copies.hear_more(
                0.2
            )  # the next citizen is dialled, before the time for the first is over
            copies.hear_more(0.001)  # which nothing makes shorter
            await asyncio.sleep(0.05)
            tell()
            await until(came, 7)
            await asyncio.sleep(0.3)
            tell()
            await until(came, 9)
    finally:
        copies.close()
    always = [refer, invite]
    assert came == [*always, answer, cut, bye, *always, *always]


async def test_many_copies_are_read_together_and_few_at_once() -> None:
    came: list[float] = []
    loop = asyncio.get_running_loop()
    copies = listen("127.0.0.1", 0, OWN, lambda _: came.append(loop.time()))
    invite = packet(text=PASSED[0])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for _ in range(20):
                out.sendto(invite, copies.address)
                await asyncio.sleep(0.01)
            await until(came, 20)
            together = len({round(at, 3) for at in came})
            assert together <= 15, "each was read for itself"
            # Once there are no more, the next one is read when it comes.
            async with asyncio.timeout(20):
                while copies._collecting is not None:
                    await asyncio.sleep(0.01)
            out.sendto(invite, copies.address)
            await until(came, 21)
    finally:
        copies.close()


async def test_while_answers_are_heard_no_copy_waits() -> None:
    came: list[bytes] = []
    copies = listen("127.0.0.1", 0, OWN, came.append)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for count in range(1, 4):
                out.sendto(packet(text=PASSED[0]), copies.address)
                await until(came, count)
            copies.hear_more(60)
            await asyncio.sleep(0)
            for count in range(4, 9):
                out.sendto(packet(text=PASSED[4]), copies.address)
                await until(came, count)
                assert copies._collecting is None
    finally:
        copies.close()


async def test_a_copy_that_cannot_be_read_makes_nobody_deaf() -> None:
    came: list[bytes] = []

    def take(datagram: bytes) -> None:
        came.append(datagram)
        raise ValueError("a fault")

    copies = listen("127.0.0.1", 0, OWN, take)
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for count in range(1, 8):
                out.sendto(packet(text=PASSED[0]), copies.address)
                await until(came, count)
    finally:
        copies.close()
    assert len(faults) == 7


async def until(came: Sized, count: int) -> None:
    async with asyncio.timeout(20):
        while len(came) < count:
            await asyncio.sleep(0.01)


async def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", other.getsockname()[1], (), print)
