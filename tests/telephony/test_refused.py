"""Calls that had no channel, and numbers that are not ours, from copies of SIP messages as Asterisk sends them."""

import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts import CallArrived, CallRefused
from facts.ids import is_call_id
from facts.times import MINUTE, SECOND
from telephony import refused
from telephony.refused import SETTLE, Copy, RefusedCalls, unpack
from tests.fakes.hep import HERE, SECRET, TRUNK, T, packet


def made(**changes: object) -> RefusedCalls:
    known: dict[str, object] = {
        "node": "hotline",
        "trunks": ("203.0.113.0/24",),
        "ports": {5060, 5061},
    }
    return RefusedCalls(**known | {"numbers": lambda: {"12345"}} | changes)  # type: ignore[arg-type]


def invite(
    call: str = "a",
    branch: str = "1",
    number: str = "12345",
    headers: str = "From: <sip:13812345678@x>;tag=f\r\n",
    to: str = "",
    source: tuple[str, int] = TRUNK,
    at: int = T,
) -> Copy:
    text = (
        f"INVITE sip:{number}@10.1.2.3 SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z{branch};rport\r\n{headers}"
        f"To: <sip:{number}@x>{to}\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\n\r\nCall-ID: body\r\n"
    )
    return Copy(at, source, HERE, text.encode(), call)


def answer(
    status: int, call: str = "a", branch: str = "1", method: str = "INVITE", at: int = T + 5
) -> Copy:
    text = (
        f"SIP/2.0 {status} No\r\nVia: SIP/2.0/UDP x;received=y;branch=z{branch}\r\n"
        f"Call-ID: {call}\r\nCSeq: 1 {method}\r\n\r\n"
    )
    return Copy(at, HERE, TRUNK, text.encode(), call)


def told(calls: RefusedCalls, *copies: Copy, after: int = SETTLE + 5) -> list[int]:
    for copy in copies:
        calls.take(copy)
    return [fact.status for fact in calls.due(T + after) if isinstance(fact, CallRefused)]


def test_a_call_by_tls_is_heard_at_its_own_port() -> None:
    calls = made()
    by_tls = (HERE[0], 5061)
    asked, refusal = replace(invite(), destination=by_tls), replace(answer(488), source=by_tls)
    assert told(calls, asked, refusal) == [488]
    elsewhere = (HERE[0], 5062)
    asked = replace(invite("b"), destination=elsewhere)
    assert told(calls, asked, replace(answer(488, "b"), source=elsewhere)) == []


def test_the_trunks_may_become_others() -> None:
    calls = made()
    calls.follow(["192.0.2.0/24"])
    assert told(calls, invite(), answer(488)) == []
    elsewhere = ("192.0.2.9", 5060)
    refusal = replace(answer(488, "b"), destination=elsewhere)
    assert told(calls, invite("b", source=elsewhere), refusal) == [488]


def test_a_refused_call_is_two_facts() -> None:
    calls = made()
    assert not calls.waiting
    assert calls.take(invite()) == calls.take(answer(488)) == ""
    assert calls.waiting
    assert calls.due(T + SETTLE) == []
    first, second = calls.due(T + SETTLE + 5)
    assert isinstance(first, CallArrived)
    assert is_call_id(first.call)
    assert (first.at, first.number, first.caller) == (T, "12345", "+8613812345678")
    assert second == CallRefused(T + 5, first.call, 488)
    assert not calls.waiting
    assert calls.due(T + MINUTE) == []


@pytest.mark.parametrize("status", [400, 415, 420, 422, 480, 488, 500, 503, 606])
def test_whatever_the_reason(status: int) -> None:
    assert told(made(), invite(), answer(status)) == [status]


@pytest.mark.parametrize("status", [100, 180, 200, 302, 401, 407, 481, 482, 487])
def test_what_is_no_refusal(status: int) -> None:
    assert told(made(), invite(), answer(status)) == []
    assert made().take(answer(status)) == ""


def test_repeated_messages_are_one_call() -> None:
    calls = made()
    assert told(calls, invite(), invite(), answer(488), answer(488), invite()) == [488]
    assert told(calls, invite(), answer(488), invite(branch="2"), answer(488, branch="2")) == []


def test_a_second_try_of_the_same_call_decides() -> None:
    again = invite(branch="2")
    assert told(made(), invite(), answer(422), again, answer(200, branch="2")) == []
    assert told(made(), invite(), answer(422), again, answer(488, branch="2")) == [488]
    third = invite(branch="3")
    repeated = (
        invite(),
        answer(422),
        again,
        answer(422, branch="2"),
        third,
        answer(422, branch="3"),
    )
    assert told(made(), *repeated) == [422]


def test_only_the_trunk_and_only_the_hotlines_numbers() -> None:
    assert told(made(), invite(source=("198.51.100.1", 5060)), answer(488)) == []
    assert told(made(), invite(number="12346"), answer(488)) == []
    # What Asterisk itself sends, and another's answer to it
    assert told(made(), Copy(T, HERE, TRUNK, invite().text), answer(488)) == []
    assert told(made(), invite(), Copy(T, TRUNK, HERE, answer(488).text)) == []


def test_an_invite_within_a_call_is_none() -> None:
    assert told(made(), invite(to=";tag=x"), answer(488)) == []
    assert told(made(), invite(), answer(488, method="BYE")) == []
    # A name may contain what is a parameter elsewhere.
    text = invite().text.replace(b"To: ", b'To: "a > tag=" ')
    assert told(made(), Copy(T, TRUNK, HERE, text, "a"), answer(488)) == [488]


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ("f: 13812345678 <sip:13812345678@x>\r\n", "+8613812345678"),
        ("From: <sip:1@x>\r\nP-Asserted-Identity: <tel:+8613812345678>\r\n", "+8613812345678"),
        ("From: <sip:%2B8613812345678;phone-context=x@x>\r\n", "+8613812345678"),
        ("From: <sip:13812345678@x>\r\nPrivacy: critical; ID\r\n", ""),
        ("From: <sip:anonymous@anonymous.invalid>\r\n", ""),
        ("From:\r\n <sip:13812345678@x>\r\n", "+8613812345678"),
        ("", ""),
        ("Remote-Party-ID: <sip:13812345678@x>\r\nFrom: <sip:1@x>\r\n", "+8613812345678"),
        (
            "Remote-Party-ID: <sip:1@x>\r\nP-Asserted-Identity: <sip:13812345678@x>\r\n",
            "+8613812345678",
        ),
        ("From: <sip:13812345678@x>\r\nPrivacy: none\r\n", "+8613812345678"),
        ("From: <sip:13812345678@x>\r\nPrivacy: user;critical\r\n", ""),
        ("From: <sip:13812345678@x>\r\nPrivacy: header\r\n", ""),
        ("From: <sip:13812345678@x>\r\nPrivacy:\r\n id\r\n", ""),
        ("From: <sip:%ff@x>\r\n", ""),
        ("From: <mailto:13812345678@x>\r\n", ""),
    ],
)
def test_the_callers_number(headers: str, caller: str) -> None:
    calls = made()
    calls.take(invite(headers=headers))
    calls.take(answer(488))
    arrived = calls.due(T + SETTLE + 5)[0]
    assert isinstance(arrived, CallArrived)
    assert arrived.caller == caller


@pytest.mark.parametrize("number", ["12345;phone-context=+86", "12345;npdi"])
def test_what_a_network_writes_behind_the_number(number: str) -> None:
    assert told(made(), invite(number=number), answer(488)) == [488]


def test_a_number_that_is_not_ours_is_no_call_but_is_seen() -> None:
    calls = made()
    calls.take(invite(number="12346"))
    assert calls.take(answer(404)) == "12346"
    assert calls.take(answer(404)) == ""
    calls.take(invite("b", number="12346", at=T + SECOND))
    assert calls.take(answer(404, "b", at=T + SECOND)) == "12346"
    assert calls.due(T + MINUTE) == []
    assert calls.unknown(T + MINUTE) == {"12346": 2}
    assert calls.unknown(T + 61 * MINUTE) == {}


def test_words_are_no_number() -> None:
    calls = made()
    calls.take(invite(number="root"))
    assert calls.take(answer(404)) == ""
    assert calls.unknown(T) == {}


def test_a_flood_fills_neither_memory_nor_diary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "MOST_A_MINUTE", 10)
    monkeypatch.setattr(refused, "_MOST_ASKED", 100)
    monkeypatch.setattr(refused, "_MOST_TOLD", 50)
    calls = made()
    for n in range(200):
        calls.take(invite(f"call {n}"))
        calls.take(answer(488, f"call {n}"))
        calls.take(invite(f"other {n}", number=f"{20000 + n}"))
        calls.take(answer(404, f"other {n}"))
    assert len(calls.due(T + SETTLE + 5)) == 20
    assert calls.untold == 190
    assert len(calls.unknown(T)) == refused.MOST_NUMBERS
    assert (len(calls._first), len(calls._asked), len(calls._told)) == (100, 100, 50)
    calls.take(invite("later"))
    calls.take(answer(488, "later"))
    assert len(calls.due(T + MINUTE + SETTLE + 6)) == 2


@given(st.text(max_size=300), st.text(max_size=300))
def test_nothing_that_is_sent_stops_it(one: str, other: str) -> None:
    calls = made()
    for text in (
        f"INVITE {one}\r\n{other}",
        f"SIP/2.0 {one}",
        f"INVITE sip:{one}\r\nFrom: {other}\r\n",
    ):
        calls.take(Copy(T, TRUNK, HERE, text.encode()))
        calls.take(Copy(T, HERE, TRUNK, text.encode()))
    calls.due(T + SETTLE)


# --- the packets


def test_a_packet_is_read() -> None:
    assert unpack(packet(), SECRET) == Copy(T + 250_000, TRUNK, HERE, b"OPTIONS", "call-id")
    six = unpack(packet(six=True), SECRET)
    assert six is not None
    assert six.source == ("2001:db8::7", 5080)


def test_a_packet_without_the_secret_is_not_believed() -> None:
    assert unpack(packet(b"6" * 64), SECRET) is None
    assert unpack(packet(b""), SECRET) is None


@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_packet_stops_it(garbage: bytes, end: int) -> None:
    unpack(garbage, SECRET)
    unpack(b"HEP3" + garbage, SECRET)
    unpack(packet()[:end], SECRET)


# --- bounds


def test_the_next_try_is_waited_for_to_the_end() -> None:
    assert told(made(), invite(), answer(488, at=T + 5), after=SETTLE + 4) == []
    assert told(made(), invite(), answer(488, at=T + 5), after=SETTLE + 5) == [488]


def test_one_that_waits_holds_up_no_other() -> None:
    calls = made()
    later = answer(503, "b", at=T + SECOND)
    assert told(calls, invite("b"), later, invite("a"), answer(488)) == [488]
    assert calls.waiting
    assert told(calls, after=SETTLE + SECOND) == [503]


def test_an_answer_with_an_older_stamp_is_no_earlier_than_its_call() -> None:
    calls = made()
    calls.take(invite(at=T + 9))
    calls.take(answer(488, at=T + 5))
    arrived, refusal = calls.due(T + MINUTE)
    assert (arrived.at, refusal.at) == (T + 9, T + 9)


def test_the_first_refusal_of_a_try_counts() -> None:
    assert told(made(), invite(), answer(488), answer(503)) == [488]


def test_of_a_call_that_is_not_refused_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def parsed(text: bytes) -> tuple[str, dict[str, str]]:
        read.append(text)
        return really(text)

    really = refused.parsed
    monkeypatch.setattr(refused, "parsed", parsed)
    calls = made()
    first, again = invite(), invite(branch="2")
    calls.take(first)
    assert read == []
    calls.take(again)
    assert read == [first.text, again.text]


def test_a_long_invite_is_not_kept() -> None:
    calls = made()
    long = invite(headers=f"From: <sip:13812345678@x>;tag=f\r\nX: {'x' * 4000}\r\n")
    assert told(calls, long, long, answer(488)) == [488]
    assert not calls._first


def test_a_message_whose_call_id_asterisk_does_not_tell_is_read_all_the_same() -> None:
    copies = (replace(copy, sip_call="") for copy in (invite(), invite("b"), answer(488, "b")))
    assert told(made(), *copies) == [488]


def test_a_call_that_is_tried_again_after_many_others_is_no_refused_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refused, "_MOST_ASKED", 2)
    others = [invite(name) for name in "bcd"]
    assert told(made(), invite(), answer(488), *others, invite(branch="2")) == []


def test_an_invite_that_was_told_of_twice_is_asked_once() -> None:
    calls = made()
    assert told(calls, invite(), answer(488), invite(at=T + 7)) == [488]


def test_a_minutes_refusals_are_counted_to_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "MOST_A_MINUTE", 1)
    calls = made()
    for name, at, facts in (
        ("a", T, 2),
        ("b", T + MINUTE - 1, 0),
        ("c", T + MINUTE, 2),
        ("d", T + MINUTE + 1, 0),
    ):
        calls.take(invite(name, at=at - SETTLE))
        calls.take(answer(488, name, at=at - SETTLE))
        assert len(calls.due(at)) == facts, name
    assert calls.untold == 2


def test_what_waits_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "_MOST_TOLD", 2)
    calls = made()
    for name in "abcd":
        calls.take(invite(name))
        calls.take(answer(488, name))
    assert calls.untold == 2
    assert told(calls) == [488, 488]
    assert calls.untold == 2


def test_a_number_that_is_not_ours_is_known_for_an_hour_after_the_last_time() -> None:
    calls = made()
    for name, at in (("a", T), ("b", T + MINUTE)):
        calls.take(invite(name, number="12346", at=at))
        calls.take(answer(404, name, at=at))
    assert calls.unknown(T + 61 * MINUTE - 1) == {"12346": 2}
    assert calls.unknown(T + 61 * MINUTE) == {}
    calls.take(invite("c", number="12346", at=T + 62 * MINUTE))
    calls.take(answer(404, "c", at=T + 62 * MINUTE))
    assert calls.unknown(T + 62 * MINUTE) == {"12346": 1}


def test_five_numbers_that_are_not_ours_are_named() -> None:
    calls = made()
    for count in range(6):
        calls.take(invite(str(count), number=f"2000{count}"))
        calls.take(answer(404, str(count)))
    assert calls.unknown(T) == {f"2000{count}": 1 for count in range(5)}


def test_only_a_404_says_that_a_number_is_not_ours() -> None:
    for status in (403, 405, 488, 500):
        calls = made()
        calls.take(invite(number="12346"))
        assert calls.take(answer(status)) == ""
        assert calls.unknown(T) == {}
        assert not calls.waiting


# --- how SIP may write it


@pytest.mark.parametrize(
    "text",
    [
        "INVITE tel:12345 SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z1\r\nTo: <tel:12345>\r\nCall-ID: a\r\n\r\n",
        "INVITE SIPS:12345@x SIP/2.0\r\nv: SIP/2.0/TLS x; branch=z1;rport\r\nt: x\r\ni: a\r\n\r\n",
        "INVITE sip:12345@x SIP/2.0\r\nVIA: SIP/2.0/UDP x\r\n\t;branch=z1, y;branch=z9\r\nI : a \r\n\r\n",
        "INVITE sip:12345@x SIP/2.0\r\nVia: x;branch=z1\r\nVia: x;branch=z9\r\nCall-ID: a\r\nCall-ID: b\r\n\r\n",
        'INVITE sip:12345@x SIP/2.0\r\nVia: x;branch=z1\r\nTo: "tag=" <sip:12345@x;tag=1>\r\ni: a\r\n\r\n',
        "INVITE sip:12345>x SIP/2.0\r\nVia: x;branch=z1\r\nCall-ID: a\r\n\r\n",
    ],
)
def test_an_invite_is_read_however_it_is_written(text: str) -> None:
    assert told(made(), Copy(T, TRUNK, HERE, text.encode(), "a"), answer(488)) == [488]


@pytest.mark.parametrize(
    "text",
    [
        "SIP/2.0 488 No\r\nVia: x;branch=z1\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n",
        "SIP/2.0 488 No\r\nv: x;branch=z1;received=y\r\ni: a\r\nCSEQ: 1 INVITE\r\n\r\n",
    ],
)
def test_an_answer_is_read_however_it_is_written(text: str) -> None:
    assert told(made(), invite(), Copy(T, HERE, TRUNK, text.encode(), "a")) == [488]


@pytest.mark.parametrize(
    "text",
    [
        "SIP/2.0 4x8 No\r\nVia: x;branch=z1\r\nCall-ID: a\r\nCSeq: 1 BYE\r\nX: 1 INVITE\r\n\r\n",
        "SIP/2.0 488 No\r\nVia: x;branch=z1\r\nCall-ID: a\r\nX: 1 INVITE\r\n\r\n",
        "SIP/2.0 488 No\r\nVia: x;branch=z1\r\nCSeq: 1 INVITE\r\n\r\n",
        "SIP/2.0 488 No\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n",
        "SIP/2.0 488 No\r\nVia: x;branch=z1\r\nCall-ID: a\r\n\r\nCSeq: 1 INVITE\r\n",
    ],
)
def test_an_answer_to_something_else_refuses_nothing(text: str) -> None:
    calls, copy = made(), Copy(T, HERE, TRUNK, text.encode(), "a")
    assert told(calls, invite(), copy) == []
    assert calls.take(copy) == ""


def test_bytes_that_are_no_text_and_a_body_of_two_parts_are_read() -> None:
    text = invite(headers='From: "X" <sip:13812345678@x>\r\n').text + b"\r\n\r\nVia: y"
    assert told(made(), Copy(T, TRUNK, HERE, text.replace(b"X", b"\xff"), "a"), answer(488)) == [
        488
    ]
    strange = answer(488).text.replace(b"\r\nCSeq: 1 INVITE", b"") + b"CSeq: 1 INVITE\r\n\r\nx"
    assert told(made(), invite(), Copy(T, HERE, TRUNK, strange)) == []


def test_a_message_of_many_headers_is_read_to_a_limit() -> None:
    assert told(made(), invite(headers="X: y\r\n" * 97), answer(488)) == [488]
    assert told(made(), invite(headers="X: y\r\n" * 98), answer(488)) == []
    for length, statuses in ((16_200, [488]), (16_400, [])):
        assert told(made(), invite(headers=f"X: {'y' * length}\r\n"), answer(488)) == statuses


def test_a_trunk_may_be_one_address_or_a_network_that_is_written_by_a_host() -> None:
    for trunks in ((TRUNK[0],), ("198.51.100.1", "203.0.113.9/24")):
        assert told(made(trunks=trunks), invite(), answer(488)) == [488]
    assert told(made(trunks=()), invite(), answer(488)) == []


# --- chunks of a packet


def chunk(kind: int, data: bytes, vendor: int = 0, length: int | None = None) -> bytes:
    return struct.pack("!HHH", vendor, kind, 6 + len(data) if length is None else length) + data


def test_chunks_of_other_vendors_are_passed_over() -> None:
    assert unpack(packet() + chunk(15, b"other", vendor=1), SECRET) == unpack(packet(), SECRET)
    assert unpack(packet() + chunk(14, b"other", vendor=1), SECRET) == unpack(packet(), SECRET)


def test_an_empty_chunk_is_one_and_a_shorter_one_is_none() -> None:
    empty = unpack(packet() + chunk(15, b""), SECRET)
    assert empty is not None
    assert empty.text == b""
    assert unpack(packet() + chunk(99, b"", length=5), SECRET) is None


def test_a_packet_that_lacks_something_is_none() -> None:
    whole = packet()
    for kind in (3, 4, 7, 8, 9, 10, 14, 15):
        parts = [one for one in _chunks(whole) if one[3] != kind]
        assert len(parts) == 12
        assert unpack(whole[:6] + b"".join(parts), SECRET) is None
    assert unpack(whole[:6] + b"".join(_chunks(whole)), SECRET) is not None


def test_an_address_of_a_wrong_length_is_none() -> None:
    assert unpack(packet() + chunk(3, b"123"), SECRET) is None


def test_other_packets_are_none() -> None:
    assert unpack(b"HEP2" + packet()[4:], SECRET) is None


def _chunks(datagram: bytes) -> Iterator[bytes]:
    at = 6
    while at < len(datagram):
        (length,) = struct.unpack_from("!H", datagram, at + 4)
        yield datagram[at : at + length]
        at += length
