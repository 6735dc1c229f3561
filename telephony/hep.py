"""Listens for the copies of SIP messages that Asterisk's res_hep sends (`refused`, `answers`, `referrals` read them).

A call has some twenty-five messages, of which a few matter: calls that come, are cut and end, transfers, refusals, and
answers that we receive. A guess at a password has four, and none matters. The kernel throws the others away, so that
they do not wake the controller (a socket filter: `socket(7)`, `Documentation/networking/filter.rst`).
"""

import asyncio
import contextlib
import ctypes
import ipaddress
import socket
import struct
from collections.abc import Callable, Collection

_BUFFER = 4 * 1024 * 1024


async def listen(
    address: str, port: int, own: Collection[int], take: Callable[[bytes], None]
) -> asyncio.DatagramTransport:
    """Give each message that matters and arrives there to `take`, as HEP packets. Raises `OSError`.

    `own`: the ports from which Asterisk speaks SIP. It has sent the answers (2xx) that come from there.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        with contextlib.suppress(OSError):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        _filter(bound, own)
        bound.bind((address, port))
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Copies(take), sock=bound)
    except OSError:
        bound.close()
        raise
    return transport


class _Copies(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, _: object) -> None:
        self._take(data)


def _filter(bound: socket.socket, own: Collection[int]) -> None:
    """Let only what matters through. The offsets are those of res_hep, whose packet always has the same parts."""
    steps = _program(own)
    program = b"".join(struct.pack("HBBI", *step) for step in steps)
    kept = ctypes.create_string_buffer(program)
    given = struct.pack("HP", len(steps), ctypes.addressof(kept))
    bound.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, given)


_SO_ATTACH_FILTER = 26
# Behind the header of UDP (8 bytes) come parts of fixed length (73), two addresses (20, IPv6: 44), the secret (70).
# Then the Call-ID, whose length stands in bytes 4 and 5 of its part, and behind 6 more bytes the message.
_FAMILY, _SOURCE_PORT, _CALL_ID, _IPV6_LONGER = 8 + 12, 8 + 26, 8 + 73 + 20 + 70, 24
_LENGTH, _MESSAGE = _CALL_ID + 4, _CALL_ID + 6
_STATUS = _MESSAGE + len("SIP/2.0 ")
_BYTE, _HALF, _BYTE_BEHIND, _WORD_BEHIND = 0x30, 0x28, 0x50, 0x40
_ADD, _BEHIND, _SKIP, _EQUAL, _AT_LEAST, _ANSWER = 0x04, 0x07, 0x05, 0x15, 0x35, 0x06


def _word(text: str) -> int:
    return int.from_bytes(text.encode(), "big")


def _program(own: Collection[int]) -> list[tuple[int, int, int, int]]:
    """Steps: operation, how many to skip if it is true, how many if it is false, operand."""
    ports = sorted(own)
    answers = 19
    keep = answers + 1 + len(ports)
    drop = keep + 1
    return [
        (_BYTE, 0, 0, _FAMILY),
        (_EQUAL, 3, 0, socket.AF_INET),
        (_HALF, 0, 0, _LENGTH + _IPV6_LONGER),
        (_ADD, 0, 0, _IPV6_LONGER),
        (_SKIP, 0, 0, 1),
        (_HALF, 0, 0, _LENGTH),
        (_BEHIND, 0, 0, 0),
        (_WORD_BEHIND, 0, 0, _MESSAGE),
        (_EQUAL, keep - 9, 0, _word("INVI")),
        (_EQUAL, keep - 10, 0, _word("CANC")),
        (_EQUAL, keep - 11, 0, _word("REFE")),
        (_EQUAL, keep - 12, 0, _word("BYE ")),
        (_EQUAL, 0, drop - 13, _word("SIP/")),
        (_BYTE_BEHIND, 0, 0, _STATUS),
        (_EQUAL, answers - 15, 0, _word("2")),
        (_AT_LEAST, 0, drop - 16, _word("4")),
        (_WORD_BEHIND, 0, 0, _STATUS),
        (_EQUAL, drop - 18, 0, _word("401 ")),
        (_EQUAL, drop - 19, keep - 19, _word("407 ")),
        (_HALF, 0, 0, _SOURCE_PORT),
        *((_EQUAL, drop - at, 0, port) for at, port in enumerate(ports, answers + 2)),
        (_ANSWER, 0, 0, 0xFFFF),
        (_ANSWER, 0, 0, 0),
    ]
