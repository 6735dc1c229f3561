"""Where a webhook may send to: outside addresses, and inside only where the settings allow it.

A receiver's name is looked up once, and what was checked is what is dialled: a name that leads outside for the check
and inside a moment later (DNS rebinding) gets nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

import httpx

EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class InwardError(Exception):
    """The address is internal, and HOTLINE_WEBHOOK_INTERNAL does not name it."""

    def __init__(self) -> None:
        super().__init__("the address is internal, and HOTLINE_WEBHOOK_INTERNAL does not name it")


async def address_of(url: httpx.URL, allowed: Sequence[str]) -> str:
    """The address to dial for `url`: the first that is not internal, or is in a network of `allowed`.

    Raises `InwardError` when there is none, `OSError` when the name cannot be looked up.
    """
    found = await look_up(url.raw_host.decode("ascii"), url.port or 0)
    for address in found:
        if not internal(address) or _within(address, allowed):
            return address
    raise InwardError


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a name. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("this is no name") from None
    return [str(address[0]) for *_, address in found]


def internal(address: str) -> bool:
    """Whether an address leads into a network of one's own, or to this machine, also wrapped in an IPv6 address."""
    read = _read(address)
    return read.is_multicast or not read.is_global


def _within(address: str, allowed: Sequence[str]) -> bool:
    read = _read(address)
    return any(read in ipaddress.ip_network(one, strict=False) for one in allowed)


def _read(address: str) -> _Address:
    """The address, or the IPv4 address that it wraps."""
    read = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(read, ipaddress.IPv4Address):
        return read
    if read in _NAT64:
        return ipaddress.IPv4Address(int(read) & 0xFFFF_FFFF)
    return read.ipv4_mapped or read.sixtofour or (read.teredo[1] if read.teredo else read)
