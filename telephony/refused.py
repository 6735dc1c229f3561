"""Calls that Asterisk refuses before they have a channel (488, 420, 422, 503), and numbers not ours (404). Pure.

AMI, CEL and the dialplan never hear of them. Asterisk's module res_hep sends a copy of each SIP message, as a packet of
HEP version 3 (github.com/sipcapture/HEP), and the INVITE and its final answer tell everything.

Only the trunk is heard: an INVITE from one of its addresses. It counts if it dials a number of ours. After a refusal a
trunk may try again in other words, with the same Call-ID (RFC 3261, 8.1.3.5; RFC 4028 after a 422). So `SETTLE` is
waited for, and the answer to the last INVITE decides. Memory and diary have limits, whatever is sent.
"""

import hmac
import ipaddress
import re
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from base.bounded import remember
from facts import CallArrived, CallRefused
from facts.ids import refused_id
from facts.numbers import HOTLINE_NUMBER, normalise
from facts.terms import CallId
from facts.times import MINUTE, SECOND

SETTLE = 3 * SECOND
"""Microseconds in which a trunk may try the same call again, before the refusal is told."""

MOST_A_MINUTE = 3000
"""Refused calls that are told within a minute: more than any line has. The others are counted in `untold` alone."""

MOST_NUMBERS = 5
"""Numbers that are not ours of which `unknown` tells."""

_REMEMBERED_FOR = 60 * MINUTE
_MOST_ASKED = 5000
_LONGEST_KEPT = 4096
"""Bytes of an INVITE that is kept to be read later: a flood of long ones must not fill the memory."""
_LONGEST_SHOWN = 1000
_MOST_TOLD = 10_000
_NOT_REFUSED = frozenset({401, 407, 481, 482, 487})
"""No end of a call: a challenge, the copy of a forked INVITE, and a caller who has left (that call had a channel)."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A SIP message that Asterisk received or sent. `at`: microseconds UTC. `source`, `destination`: address, port.

    `sip_call`: its Call-ID, which Asterisk tells beside the message; empty if it does not.
    """

    at: int
    source: tuple[str, int]
    destination: tuple[str, int]
    text: bytes
    sip_call: str = ""


def unpack(datagram: bytes, secret: bytes) -> Copy | None:
    """What a HEP packet holds; None when it is none, or does not show the secret."""
    if datagram[:4] != b"HEP3":
        return None
    chunks: dict[int, bytes] = {}
    at = 6
    while at + 6 <= len(datagram):
        vendor, kind, length = _CHUNK.unpack_from(datagram, at)
        if length < 6:
            return None
        if vendor == 0:
            chunks[kind] = datagram[at + 6 : at + length]
        at += length
    if not hmac.compare_digest(chunks.get(_SECRET, b""), secret):
        return None
    try:
        seconds, micros = (
            int.from_bytes(chunks[kind], "big") for kind in (_SECONDS, _MICROSECONDS)
        )
        return Copy(
            seconds * SECOND + micros,
            (_address(chunks, _SOURCE), int.from_bytes(chunks[_SOURCE_PORT], "big")),
            (_address(chunks, _DESTINATION), int.from_bytes(chunks[_DESTINATION_PORT], "big")),
            chunks[_PAYLOAD],
            chunks.get(_CORRELATION, b"").decode(errors="replace"),
        )
    except (KeyError, StopIteration, ValueError):
        return None


_CHUNK = struct.Struct("!HHH")
_SOURCE, _DESTINATION = (3, 5), (4, 6)
_SOURCE_PORT, _DESTINATION_PORT, _SECONDS, _MICROSECONDS, _SECRET, _PAYLOAD = 7, 8, 9, 10, 14, 15
_CORRELATION = 17
_MOST_ADDRESSES = 1000


def _address(chunks: dict[int, bytes], kinds: tuple[int, int]) -> str:
    return _written(next(chunks[kind] for kind in kinds if kind in chunks))


@lru_cache(_MOST_ADDRESSES)
def _written(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


@dataclass(slots=True)
class _Invite:
    """`shown`: the header that names the caller, as it came."""

    at: int
    sip_call: str
    number: str
    shown: str


@dataclass(slots=True)
class _Unknown:
    times: int
    last: int


class RefusedCalls:
    """Give it each copy, and ask what is due. `trunks`: addresses and networks. `ports`: where Asterisk listens.

    `untold`: refused calls beyond `MOST_A_MINUTE`. `waiting`: whether something will be due.
    """

    def __init__(
        self,
        node: str,
        trunks: Iterable[str],
        ports: Iterable[int],
        numbers: Callable[[], Collection[str]],
    ) -> None:
        self.untold = 0
        self._node = node
        self.follow(trunks)
        self._ports = frozenset(ports)
        self._numbers = numbers
        self._first: OrderedDict[str, Copy | None] = OrderedDict()
        self._asked: OrderedDict[tuple[str, str], _Invite] = OrderedDict()
        self._refused: dict[str, tuple[int, _Invite, int]] = {}
        self._told: OrderedDict[str, None] = OrderedDict()
        self._lately: deque[int] = deque()
        self._unknown: dict[str, _Unknown] = {}

    def follow(self, trunks: Iterable[str]) -> None:
        """From now on these are the trunks' addresses and networks."""
        networks = [ipaddress.ip_network(trunk, strict=False) for trunk in trunks]

        @lru_cache(_MOST_ADDRESSES)
        def is_trunk(source: str) -> bool:
            address = ipaddress.ip_address(source)
            return any(address in network for network in networks)

        self._is_trunk = is_trunk

    @property
    def waiting(self) -> bool:
        """Whether a refusal has not been told yet."""
        return bool(self._refused)

    def take(self, copy: Copy) -> str:
        """Take a message. Gives a number that the trunk has dialled and that is not ours, when this is its refusal."""
        text = copy.text
        if text.startswith(b"INVITE "):
            if copy.destination[1] in self._ports:
                self._invited(copy)
        elif text.startswith(b"SIP/2.0 ") and text[8:9] in b"456" and copy.source[1] in self._ports:
            return self._answered(copy)
        return ""

    def due(self, now: int) -> list[CallArrived | CallRefused]:
        """The refused calls of which it is certain now, two facts each (microseconds)."""
        facts: list[CallArrived | CallRefused] = []
        while self._lately and self._lately[0] <= now - MINUTE:
            self._lately.popleft()
        for sip_call, (at, invite, status) in list(self._refused.items()):
            if at > now - SETTLE:
                continue
            del self._refused[sip_call]
            remember(self._told, sip_call, None, _MOST_TOLD)
            if len(self._lately) >= MOST_A_MINUTE:
                self.untold += 1
                continue
            self._lately.append(now)
            call: CallId = refused_id(self._node, invite.at // SECOND, sip_call)
            caller = _caller(invite.shown)
            facts.append(CallArrived(invite.at, call, invite.number, caller))
            facts.append(CallRefused(max(at, invite.at), call, status))
        return facts

    def unknown(self, now: int) -> dict[str, int]:
        """Numbers that are not ours and were dialled within the last hour → how often; at most `MOST_NUMBERS`."""
        for number in [
            one for one, seen in self._unknown.items() if seen.last <= now - _REMEMBERED_FOR
        ]:
            del self._unknown[number]
        return {number: seen.times for number, seen in self._unknown.items()}

    def _invited(self, copy: Copy) -> None:
        """Take an INVITE. Few calls are refused and reading takes long, so the first one of a call is read later."""
        sip_call = copy.sip_call
        if not self._is_trunk(copy.source[0]):
            return
        known = sip_call in self._first or sip_call in self._refused
        if known or len(copy.text) > _LONGEST_KEPT:
            self._read_first(sip_call)
            self._read(copy)
        else:
            remember(self._first, sip_call, copy, _MOST_ASKED)

    def _read_first(self, sip_call: str) -> None:
        """More than an INVITE has come in this call."""
        if (first := self._first.get(sip_call)) is not None:
            self._first[sip_call] = None
            self._read(first)

    def _read(self, copy: Copy) -> None:
        line, headers = parsed(copy.text)
        if "tag=" in headers.get("to", "").rpartition(">")[2]:
            return  # within a call
        dialled = _USER.search(line)
        key = headers.get("call-id", ""), _branch(headers)
        if dialled is None or key in self._asked or key[0] in self._told:
            return
        self._refused.pop(key[0], None)
        invite = _Invite(copy.at, key[0], dialled[1], _shown(headers))
        remember(self._asked, key, invite, _MOST_ASKED)

    def _answered(self, copy: Copy) -> str:
        status = int(copy.text[8:11]) if copy.text[8:11].isdigit() else 0
        if status in _NOT_REFUSED or b" INVITE\r\n" not in copy.text:
            return ""
        _, headers = parsed(copy.text)
        if not headers.get("cseq", "").endswith("INVITE"):
            return ""
        self._read_first(copy.sip_call)
        invite = self._asked.get((headers.get("call-id", ""), _branch(headers)))
        if invite is None or invite.sip_call in self._told or invite.sip_call in self._refused:
            return ""
        if invite.number in self._numbers():
            if len(self._refused) < _MOST_TOLD:
                self._refused[invite.sip_call] = copy.at, invite, status
            else:
                self.untold += 1
            return ""
        if status != 404 or not HOTLINE_NUMBER.fullmatch(invite.number):
            return ""
        remember(self._told, invite.sip_call, None, _MOST_TOLD)
        self._dialled_in_vain(invite.number, copy.at)
        return invite.number

    def _dialled_in_vain(self, number: str, at: int) -> None:
        if number in self._unknown:
            self._unknown[number].times += 1
            self._unknown[number].last = at
        elif len(self._unknown) < MOST_NUMBERS:
            self._unknown[number] = _Unknown(1, at)


_USER = re.compile(r"(?:sips?|tel):([^@;>\s]*)", re.IGNORECASE)
_COMPACT = {"i": "call-id", "v": "via", "f": "from", "t": "to"}
_WITHHELD = frozenset({"id", "user", "header"})


def parsed(text: bytes) -> tuple[str, dict[str, str]]:
    """The first line of a SIP message, and its headers by name in small letters; of several the first."""
    head = text[:16_384].replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode(errors="replace")
    line, *rest = re.sub(r"\n[ \t]+", " ", head).split("\n")
    headers: dict[str, str] = {}
    for one in rest[:100]:
        name, _, value = one.partition(":")
        name = name.strip().lower()
        headers.setdefault(_COMPACT.get(name, name), value.strip())
    return line, headers


def _branch(headers: dict[str, str]) -> str:
    found = re.search(r";\s*branch=([^;,\s]+)", headers.get("via", ""))
    return found[1] if found is not None else ""


def _shown(headers: dict[str, str]) -> str:
    """The header by which Asterisk and the dialplan know the caller; empty if the caller withholds the number."""
    if _WITHHELD & set(re.split(r"[;\s]+", headers.get("privacy", "").lower())):
        return ""
    for name in ("p-asserted-identity", "remote-party-id", "from"):
        if name in headers:
            return headers[name][:_LONGEST_SHOWN]
    return ""


def _caller(shown: str) -> str:
    """The number in that header, as Asterisk and the dialplan would have it."""
    user = _USER.search(shown)
    return normalise(unquote_to_bytes(user[1]).decode(errors="replace")) if user is not None else ""
