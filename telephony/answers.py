"""Copies of SIP messages → what they tell of a dialled citizen's answer. Pure.

Asterisk forgets a channel in the moment in which it sends CANCEL. If the citizen's 200 is on its way by then, Asterisk
answers it with ACK and BYE (RFC 3261, 9.1) and reports no event. The copy of that 200 (`telephony.hep`) is the witness.
"""

import re
from dataclasses import dataclass

_CALL_ID = re.compile(
    rb"^(?:Call-ID|i)[ \t]*:[ \t]*([^\r\n]+?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_TO_INVITE = re.compile(
    rb"^CSeq[ \t]*:[ \t]*[0-9]+[ \t]+INVITE[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Sign:
    """A CANCEL, or a final answer of the class 2xx to an INVITE (`answer`), in the call with this SIP Call-ID."""

    sip_call: str
    answer: bool


def sign(text: bytes) -> Sign | None:
    """What a SIP message says; None for any other message. Never raises."""
    answer = text.startswith(b"SIP/2.0 2")
    if not answer and not text.startswith(b"CANCEL "):
        return None
    head = text.partition(b"\r\n\r\n")[0]
    found = _CALL_ID.search(head)
    if found is None or (answer and _TO_INVITE.search(head) is None):
        return None
    return Sign(found[1].decode(errors="replace"), answer)
