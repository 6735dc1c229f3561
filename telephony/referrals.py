"""Transfers as a phone asks for them (REFER), and how the dialogue that it leaves open is ended. Pure.

When a phone has handed a citizen on, Asterisk waits 60 s for the phone's own BYE before it sends one
(`ast_sip_session_defer_termination`). The agent's channel is gone, so no action of AMI reaches the dialogue. A phone
that keeps to RFC 5589 sends BYE. For the others there is one way to have Asterisk send it: a re-INVITE in a dialogue
that has no channel (`chan_pjsip_incoming_request`). So the controller says it in the phone's name. It knows the
dialogue from Asterisk's copy of the REFER (`telephony.hep`). While the channel exists it says nothing, for then it
would be a request of the talk. The right tags are the proof: Asterisk answers 481 to a request without them.

Asterisk takes the address that a request comes from for the phone's (rewrite_contact), and would send BYE to the
controller. It spares the Contact of a request that has a Record-Route, which changes nothing in a dialogue that exists.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from telephony.refused import Copy, parsed


@dataclass(frozen=True, slots=True)
class Referral:
    """A phone's REFER. `phone` and `exchange`: From and To with their tags.

    `contact`: where Asterisk reaches the phone; empty if it is not by UDP, TCP or TLS.
    """

    sip_call: str
    target: str
    phone: str
    exchange: str
    contact: str
    sequence: int

    def call_off(self, here: str, branch: str) -> bytes:
        """A re-INVITE from `here` (address:port)."""
        more = f"Contact: <{self.contact}>\r\nRecord-Route: <sip:{here};lr>\r\n"
        return self._request("INVITE", here, branch, more)

    def acknowledge(self, here: str, branch: str) -> bytes:
        """ACK for the answer to it."""
        return self._request("ACK", here, branch)

    def _request(self, method: str, here: str, branch: str, more: str = "") -> bytes:
        return (
            f"{method} {self.target} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: {self.phone}\r\nTo: {self.exchange}\r\nCall-ID: {self.sip_call}\r\n"
            f"CSeq: {self.sequence + 1} {method}\r\n{more}Content-Length: 0\r\n\r\n"
        ).encode()


def referral(copy: Copy, ports: Collection[int]) -> Referral | None:
    """The REFER within a talk that Asterisk received at one of `ports`; None for any other message. Never raises."""
    if not copy.text.startswith(b"REFER ") or copy.destination[1] not in ports:
        return None
    line, headers = parsed(copy.text)
    target = line.split(" ")[1]
    phone, exchange, sip_call = (headers.get(name, "") for name in ("from", "to", "call-id"))
    sequence = re.fullmatch(r"([0-9]{1,9})\s+REFER", headers.get("cseq", ""))
    user = _USER.search(headers.get("contact", headers.get("m", "")))
    if sequence is None or user is None or not (target and sip_call):
        return None
    if "tag=" not in phone or "tag=" not in exchange:
        return None
    # What the phone wrote is written once more: a single carriage return would begin a header of its own.
    before = user[1] or ""
    if not "".join((target, phone, exchange, sip_call, before)).isprintable():
        return None
    address, at = copy.source
    host = f"[{address}]" if ":" in address else address
    via = _VIA.match(headers.get("via", ""))
    contact = f"sip:{before}{host}:{at};transport={via[1].lower()}" if via is not None else ""
    return Referral(sip_call, target, phone, exchange, contact, int(sequence[1]))


_VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*(UDP|TCP|TLS)\b", re.IGNORECASE)
_USER = re.compile(r"sips?:([^@;>\s]+@)?", re.IGNORECASE)
"""What stands before the host in a Contact, with its `@`; a phone need not write it."""


def invited(copy: Copy, ports: Collection[int]) -> tuple[str, str] | None:
    """The Call-ID, and the address of the phone that Asterisk rings by this message; None for any other one."""
    if not copy.text.startswith(b"INVITE ") or copy.source[1] not in ports:
        return None
    # Each call has one, so only what is needed is read.
    uri = copy.text.split(b" ", 2)[1].decode(errors="replace")
    return (copy.sip_call, uri) if copy.sip_call else None


def over(copy: Copy) -> str:
    """The Call-ID of a dialogue that ends (BYE), or in which a REFER is refused; empty for any other message."""
    if copy.text.startswith(b"BYE "):
        return parsed(copy.text)[1].get("call-id", "")
    if copy.text.startswith((b"SIP/2.0 4", b"SIP/2.0 5", b"SIP/2.0 6")):
        headers = parsed(copy.text)[1]
        if headers.get("cseq", "").endswith(" REFER"):
            return headers.get("call-id", "")
    return ""
