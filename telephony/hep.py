"""Listens for the copies of SIP messages that Asterisk's res_hep sends (`refused`, `answers`, `referrals` read them).

A call has some twenty-five messages, of which few matter: INVITE, REFER and refusals, and for some time after a citizen
was dialled, a phone sent REFER or got a text, answers that we receive, CANCEL, BYE and MESSAGE. A guess at a password
has four, and none matters. The kernel throws the others away, so that they do not wake the controller (a socket filter:
`socket(7)`, `Documentation/networking/filter.rst`).
"""

import asyncio
import contextlib
import ctypes
import ipaddress
import socket
import struct
from collections.abc import Callable, Collection

_BUFFER = 4 * 1024 * 1024
_LONGEST = 65_536
_AT_ONCE = 100
"""Messages that are read before other work has its turn."""
_TOGETHER = 0.05
"""Seconds for which messages are collected that come sooner after each other: every wake-up finds the caches cold.
While answers are heard none waits, for whether one crosses our cancel is told by their order."""


def listen(
    address: str, port: int, own: Collection[int], take: Callable[[bytes], None]
) -> "Copies":
    """Give each message that matters and arrives there to `take`, as HEP packets. Raises `OSError`.

    `own`: the ports from which Asterisk speaks SIP. It has sent the answers (2xx) that come from there.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        with contextlib.suppress(OSError):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        _filter(bound, _program(own, more=False))
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return Copies(bound, own, take)


class Copies:
    """What listens. At first it hears no answers and no ends: each is a wake-up, and hardly ever of use."""

    def __init__(
        self, bound: socket.socket, own: Collection[int], take: Callable[[bytes], None]
    ) -> None:
        self._bound = bound
        self._take = take
        self._programs = {more: _program(own, more=more) for more in (False, True)}
        self._enough_at: asyncio.TimerHandle | None = None
        self._read_at = 0.0
        self._collecting: asyncio.TimerHandle | None = None
        asyncio.get_running_loop().add_reader(bound, self._arrived)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        name = self._bound.getsockname()
        return name[0], name[1]

    def hear_more(self, seconds: float) -> None:
        """Hear answers that we receive, CANCEL, BYE and MESSAGE, for at least as long from now on."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if self._enough_at is None:
            _filter(self._bound, self._programs[True])
        elif self._enough_at.when() >= until:
            return
        else:
            self._enough_at.cancel()
        self._enough_at = loop.call_at(until, self._enough)
        if self._collecting is not None:
            self._collecting.cancel()
            self._collecting = loop.call_later(0, self._collected)

    def close(self) -> None:
        """Listen no more."""
        if self._enough_at is not None:
            self._enough_at.cancel()
        if self._collecting is not None:
            self._collecting.cancel()
        asyncio.get_running_loop().remove_reader(self._bound)
        self._bound.close()

    def _enough(self) -> None:
        self._enough_at = None
        _filter(self._bound, self._programs[False])

    def _arrived(self) -> None:
        loop = asyncio.get_running_loop()
        soon = loop.time() - self._read_at < _TOGETHER
        self._read()
        if soon and self._enough_at is None:
            loop.remove_reader(self._bound)
            self._collecting = loop.call_later(_TOGETHER, self._collected)

    def _collected(self) -> None:
        self._collecting = None
        loop = asyncio.get_running_loop()
        came = True
        try:
            came = self._read()
        finally:
            if came and self._enough_at is None:
                self._collecting = loop.call_later(_TOGETHER, self._collected)
            else:
                loop.add_reader(self._bound, self._arrived)

    def _read(self) -> bool:
        """Read what is there; whether anything was."""
        self._read_at = asyncio.get_running_loop().time()
        for count in range(_AT_ONCE):
            try:
                datagram = self._bound.recv(_LONGEST)
            except BlockingIOError:
                return count > 0
            self._take(datagram)
        return True


def _filter(bound: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    """Let only what matters through. The offsets are those of res_hep, whose packet always has the same parts."""
    steps = b"".join(struct.pack("HBBI", *step) for step in program)
    kept = ctypes.create_string_buffer(steps)
    given = struct.pack("HP", len(program), ctypes.addressof(kept))
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


def _program(own: Collection[int], *, more: bool) -> list[tuple[int, int, int, int]]:
    """Steps: operation, how many to skip if it is true, how many if it is false, operand."""
    steps: list[tuple[int, int | str, int | str, int]] = [
        (_BYTE, 0, 0, _FAMILY),
        (_EQUAL, 3, 0, socket.AF_INET),
        (_HALF, 0, 0, _LENGTH + _IPV6_LONGER),
        (_ADD, 0, 0, _IPV6_LONGER),
        (_SKIP, 0, 0, 1),
        (_HALF, 0, 0, _LENGTH),
        (_BEHIND, 0, 0, 0),
        (_WORD_BEHIND, 0, 0, _MESSAGE),
        (_EQUAL, _KEEP, 0, _word("INVI")),
        (_EQUAL, _KEEP, 0, _word("REFE")),
        (_EQUAL, _KEEP if more else _DROP, 0, _word("CANC")),
        (_EQUAL, _KEEP if more else _DROP, 0, _word("BYE ")),
        (_EQUAL, _KEEP if more else _DROP, 0, _word("MESS")),
        (_EQUAL, 0, _DROP, _word("SIP/")),
        (_BYTE_BEHIND, 0, 0, _STATUS),
        (_EQUAL, _RECEIVED if more else _DROP, 0, _word("2")),
        (_AT_LEAST, 0, _DROP, _word("4")),
        (_WORD_BEHIND, 0, 0, _STATUS),
        (_EQUAL, _DROP, 0, _word("401 ")),
        (_EQUAL, _DROP, _KEEP, _word("407 ")),
        (_HALF, 0, 0, _SOURCE_PORT),
        *((_EQUAL, _DROP, 0, port) for port in sorted(own)),
        (_ANSWER, 0, 0, 0xFFFF),
        (_ANSWER, 0, 0, 0),
    ]
    places = {_KEEP: len(steps) - 2, _DROP: len(steps) - 1, _RECEIVED: len(steps) - 3 - len(own)}

    def skips(at: int, to: int | str) -> int:
        return to if isinstance(to, int) else places[to] - at - 1

    return [
        (what, skips(at, yes), skips(at, no), than)
        for at, (what, yes, no, than) in enumerate(steps)
    ]


_KEEP, _DROP, _RECEIVED = "keep", "drop", "received"
"""Where a step may go: the last two steps, and those that drop what Asterisk itself has sent."""
