"""Which copies of SIP messages tell that a dialled citizen answered, or that we gave the call up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.answers import Sign, sign


def message(first: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join([first, *headers, "", body]).encode()


OK = "SIP/2.0 200 OK"
CALL, INVITE = "Call-ID: a1", "CSeq: 17 INVITE"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (message(OK, "Via: SIP/2.0/UDP x", CALL, INVITE), Sign("a1", answer=True)),
        (message("SIP/2.0 202 Accepted", CALL, INVITE), Sign("a1", answer=True)),
        (message("CANCEL sip:1 SIP/2.0", CALL, "CSeq: 17 CANCEL"), Sign("a1", answer=False)),
        (message("CANCEL sip:1 SIP/2.0", CALL), Sign("a1", answer=False)),
        # Short names, small letters, spaces and tabs are all allowed (RFC 3261, 7.3.1).
        (message(OK, "i:a1", "cseq\t:\t17  invite"), Sign("a1", answer=True)),
        (message(OK, "call-id : \t a1 \t", "CSEQ: 17 INVITE \t"), Sign("a1", answer=True)),
        (message(OK, "Call-ID: a b@c", INVITE), Sign("a b@c", answer=True)),
        (message(OK, CALL, INVITE, body="Call-ID: b2"), Sign("a1", answer=True)),
        (b"CANCEL sip:1 SIP/2.0\r\nCall-ID: a1", Sign("a1", answer=False)),
        (message(OK, INVITE, body="Call-ID: b2\r\n\r\nx"), None),
        (message(OK, CALL, "CSeq: 17 CANCEL"), None),
        (message(OK, CALL, "CSeq: 17 BYE"), None),
        (message(OK, CALL, "CSeq: 17 INVITED"), None),
        (message(OK, CALL, "CSeq: INVITE"), None),
        (message(OK, CALL, "X-CSeq: 17 INVITE"), None),
        (message(OK, CALL), None),
        (message(OK, CALL, body=INVITE), None),
        (message(OK, INVITE), None),
        (message(OK, INVITE, body=CALL), None),
        (message(OK, "X-Call-ID: a1", INVITE), None),
        (message("CANCEL sip:1 SIP/2.0", "CSeq: 17 CANCEL"), None),
        (message("SIP/2.0 180 Ringing", CALL, INVITE), None),
        (message("SIP/2.0 486 Busy Here", CALL, INVITE), None),
        (message("INVITE sip:1 SIP/2.0", CALL, INVITE), None),
        (message("CANCELLED sip:1 SIP/2.0", CALL, INVITE), None),
        (b"", None),
    ],
)
def test_what_a_message_says(text: bytes, meant: Sign | None) -> None:
    assert sign(text) == meant


def test_a_call_id_that_is_no_text_is_read_all_the_same() -> None:
    assert sign(b"CANCEL sip:1 SIP/2.0\r\nCall-ID: a\xff1\r\n\r\n") == Sign("a�1", answer=False)


@given(st.binary(max_size=200))
def test_no_message_stops_it(garbage: bytes) -> None:
    for first in (b"", b"CANCEL ", b"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nCall-ID:"):
        sign(first + garbage)
