"""A phone's REFER as the controller learns of it, and what is said in the phone's name."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from telephony.hang_over import call_off
from telephony.referrals import Referral, invited, over, referral
from telephony.refused import Copy
from tests.fakes.hep import HERE, TRUNK, T

TEXT = (
    "REFER sip:13812345678@10.1.2.3:5060 SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z1\r\n"
    "From: <sip:1001@x>;tag=phone\r\nTo: <sip:13812345678@y>;tag=exchange\r\n"
    "Call-ID: one\r\nCSeq: 4 REFER\r\nContact: <sip:u7@192.168.0.9:5060;ob>\r\nRefer-To: <sip:1002@y>\r\n\r\n"
)
PORTS = frozenset({5060, 5061})
COPY = Copy(T, TRUNK, HERE, TEXT.encode())
READ = Referral(
    *("one", "sip:13812345678@10.1.2.3:5060"),
    *("<sip:1001@x>;tag=phone", "<sip:13812345678@y>;tag=exchange"),
    *("sip:u7@203.0.113.7:5080;transport=udp", 4),
)


def test_a_referral_within_a_talk() -> None:
    assert referral(COPY, PORTS) == READ


def test_a_contact_without_a_name() -> None:
    nameless = replace(COPY, text=TEXT.replace("sip:u7@", "sip:").encode())
    assert referral(nameless, PORTS) == replace(READ, contact="sip:203.0.113.7:5080;transport=udp")


@pytest.mark.parametrize(
    "copy",
    [
        replace(COPY, destination=TRUNK),
        replace(COPY, text=TEXT.replace(";tag=exchange", "").encode()),
        replace(COPY, text=TEXT.replace("CSeq: 4 REFER", "CSeq: x REFER").encode()),
        replace(COPY, text=TEXT.replace("REFER sip", "INFO sip", 1).encode()),
        replace(COPY, text=TEXT.replace("<sip:u7@192.168.0.9:5060;ob>", "*").encode()),
        replace(COPY, text=TEXT.replace("tag=phone", "tag=phone\rX: y").encode()),
        replace(COPY, text=TEXT.replace("Call-ID: one", "Call-ID: ").encode()),
        replace(COPY, text=b"REFER \r\n\r\n"),
        replace(COPY, text=b"REFER"),
    ],
)
def test_everything_else_is_none(copy: Copy) -> None:
    assert referral(copy, PORTS) is None


@pytest.mark.parametrize("header", ["Via", "From", "To", "Call-ID", "CSeq", "Contact"])
def test_a_referral_that_lacks_a_header(header: str) -> None:
    """Only the way to the phone may be missing; the phone cannot be spoken for then."""
    less = replace(COPY, text=TEXT.replace(f"{header}: ", "X-Other: ", 1).encode())
    assert referral(less, PORTS) == (replace(READ, contact="") if header == "Via" else None)


def test_a_short_header_and_a_longer_address() -> None:
    """RFC 3261, 7.3.3, and RFC 5118, 4.4."""
    short = TEXT.replace("Contact:", "m:").encode()
    other = replace(COPY, text=short, source=("2001:db8::7", 5080))
    wanted = replace(READ, contact="sip:u7@[2001:db8::7]:5080;transport=udp")
    assert referral(other, PORTS) == wanted


@pytest.mark.parametrize(("via", "end"), [("TLS", ";transport=tls"), ("tcp", ";transport=tcp")])
def test_a_phone_on_a_connection_is_reached_by_it(via: str, end: str) -> None:
    other = replace(COPY, text=TEXT.replace("SIP/2.0/UDP", f"SIP/2.0/{via}").encode())
    assert referral(other, PORTS) == replace(READ, contact="sip:u7@203.0.113.7:5080" + end)


def test_a_phone_in_a_browser_cannot_be_spoken_for() -> None:
    other = replace(COPY, text=TEXT.replace("SIP/2.0/UDP", "SIP/2.0/WSS").encode())
    assert referral(other, PORTS) == replace(READ, contact="")


def test_which_phone_is_rung() -> None:
    text = b"INVITE sip:1001@203.0.113.7:5080;ob SIP/2.0\r\nCall-ID: one\r\n\r\n"
    rings = Copy(T, HERE, TRUNK, text, "one")
    assert invited(rings, PORTS) == ("one", "sip:1001@203.0.113.7:5080;ob")
    for other in (
        replace(rings, source=TRUNK, destination=HERE),
        replace(rings, text=text.replace(b"INVITE", b"NOTIFY")),
        replace(rings, sip_call=""),
        COPY,
    ):
        assert invited(other, PORTS) is None


@pytest.mark.parametrize(
    ("text", "sip_call"),
    [
        (b"BYE sip:x SIP/2.0\r\nCall-ID: one\r\nCSeq: 5 BYE\r\n\r\n", "one"),
        (b"SIP/2.0 603 Decline\r\nCall-ID: one\r\nCSeq: 4 REFER\r\n\r\n", "one"),
        (b"SIP/2.0 404 No\r\nCall-ID: one\r\nCSeq: 4 REFER\r\n\r\n", "one"),
        (b"SIP/2.0 500 No\r\nCall-ID: one\r\nCSeq: 4 REFER\r\n\r\n", "one"),
        (b"SIP/2.0 500 No\r\nCSeq: 4 REFER\r\n\r\n", ""),
        (b"SIP/2.0 500 No\r\nCall-ID: one\r\n\r\n", ""),
        (b"BYE sip:x SIP/2.0\r\n\r\n", ""),
        (b"SIP/2.0 481 No\r\nCall-ID: one\r\nCSeq: 4 INVITE\r\n\r\n", ""),
        (b"SIP/2.0 202 Accepted\r\nCall-ID: one\r\nCSeq: 4 REFER\r\n\r\n", ""),
        (b"INFO sip:x SIP/2.0\r\nCall-ID: one\r\n\r\n", ""),
    ],
)
def test_what_ends_a_dialogue_or_a_transfer(text: bytes, sip_call: str) -> None:
    assert over(Copy(T, TRUNK, HERE, text)) == sip_call


def test_what_is_said_does_not_move_the_phone() -> None:
    """Asterisk looks at no Contact that stands beside a Record-Route."""
    common = (
        "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKb;rport\r\nMax-Forwards: 70\r\n"
        f"From: {READ.phone}\r\nTo: {READ.exchange}\r\nCall-ID: {READ.sip_call}\r\n"
    )
    assert READ.call_off("127.0.0.1:9", "b").decode() == (
        f"INVITE sip:13812345678@10.1.2.3:5060 SIP/2.0\r\n{common}CSeq: 5 INVITE\r\n"
        "Contact: <sip:u7@203.0.113.7:5080;transport=udp>\r\nRecord-Route: <sip:127.0.0.1:9;lr>\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    assert READ.acknowledge("127.0.0.1:9", "b").decode() == (
        f"ACK sip:13812345678@10.1.2.3:5060 SIP/2.0\r\n{common}CSeq: 5 ACK\r\nContent-Length: 0\r\n\r\n"
    )


class Exchange(asyncio.DatagramProtocol):
    """Answers an INVITE with these statuses, and remembers what it was told."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = statuses
        self.told: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.told.append(data.decode().split(" ")[0])
        if data.startswith(b"INVITE"):
            for status in self.statuses:
                self.transport.sendto(b"SIP/2.0 %d X\r\n\r\n" % status, addr)


@pytest.mark.parametrize(("statuses", "status"), [((100, 481), 481), ((500,), 500), ((), 0)])
async def test_it_is_said_once_and_acknowledged(
    monkeypatch: pytest.MonkeyPatch, statuses: tuple[int, ...], status: int
) -> None:
    monkeypatch.setattr("telephony.hang_over.ANSWERS_WITHIN", 0.2)
    exchange = Exchange(*statuses)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: exchange, ("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        assert await call_off(READ, "0.0.0.0", port) == status
        await asyncio.sleep(0.05)
        assert exchange.told == (["INVITE", "ACK"] if status else ["INVITE"])
    finally:
        transport.close()
