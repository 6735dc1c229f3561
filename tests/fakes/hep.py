"""Packets of HEP version 3, as Asterisk's res_hep makes them."""

import socket
import struct

from facts.times import SECOND

T = 1_763_731_200 * SECOND
TRUNK, HERE = ("203.0.113.7", 5080), ("10.1.2.3", 5060)
SECRET = b"5" * 64


def packet(
    secret: bytes = SECRET, text: bytes = b"OPTIONS", *, six: bool = False, port: int = TRUNK[1]
) -> bytes:
    """A SIP message from `TRUNK` (from this `port` there) to `HERE`; `six`: by IPv6."""
    family = socket.AF_INET6 if six else socket.AF_INET
    addresses = ("2001:db8::7", "2001:db8::1") if six else (TRUNK[0], HERE[0])
    chunks = [
        (1, bytes([family])),
        (2, b"\x11"),
        (7, struct.pack("!H", port)),
        (8, struct.pack("!H", HERE[1])),
        (9, struct.pack("!I", T // SECOND)),
        (10, struct.pack("!I", 250_000)),
        (11, b"\x01"),
        (12, struct.pack("!I", 1)),
        (5 if six else 3, socket.inet_pton(family, addresses[0])),
        (6 if six else 4, socket.inet_pton(family, addresses[1])),
        (14, secret),
        (17, b"call-id"),
        (15, text),
    ]
    body = b"".join(struct.pack("!HHH", 0, kind, 6 + len(data)) + data for kind, data in chunks)
    return b"HEP3" + struct.pack("!H", 6 + len(body)) + body
