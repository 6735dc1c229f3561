"""Listens for the copies of SIP messages that Asterisk's res_hep sends (`telephony.refused`, `.answers` read them)."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable

_BUFFER = 4 * 1024 * 1024


async def listen(
    address: str, port: int, take: Callable[[bytes], None]
) -> asyncio.DatagramTransport:
    """Give each datagram that arrives there to `take`. Raises `OSError`."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        with contextlib.suppress(OSError):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
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
