"""Evidence: canonical rows, RFC 6962's trees, and the chain of days."""

import contextlib
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.terms import CallId
from recorder import evidence
from recorder.evidence import ChainLink, DaySeal, EvidenceError, Recording

ROW = Recording(
    call=CallId("hotline-1763731200.17"),
    path="2025/11/21/hotline-1763731200.17.wav",
    state="finished",
    duration=10_000_000,
    size=320_044,
    sha256="ab" * 32,
    finished_at=1_763_731_300_000_000,
    note="",
)


def test_a_row_is_written_one_way_only() -> None:
    assert evidence.canonical(ROW) == (
        '{"call":"hotline-1763731200.17","cipher_sha256":"","duration":10000000,'
        '"finished_at":1763731300000000,"note":"","path":"2025/11/21/hotline-1763731200.17.wav",'
        f'"sha256":"{"ab" * 32}","size":320044,"state":"finished"}}'
    )


def test_the_empty_tree_is_that_of_the_rfc() -> None:
    assert evidence.link("sha256", "2025-11-21", [], "").root == hashlib.sha256(b"").hexdigest()


def test_the_roots_are_those_of_certificate_transparency() -> None:
    """Leaves that are text, of the published reference tree: its first two roots."""
    roots = [evidence.link("sha256", "d", rows, "").root for rows in ([""], ["", "\x00"])]
    assert roots == [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    ]


def _rfc_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word: split at the largest power of two below the count."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = _rfc_root(leaves[:split]), _rfc_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@pytest.mark.parametrize("count", range(18))
def test_every_row_of_every_tree_leads_to_the_root_and_no_other(count: int) -> None:
    rows = [f"row {number}" for number in range(count)]
    root = evidence.link("sha256", "2025-11-21", rows, "").root
    assert root == _rfc_root([row.encode() for row in rows]).hex()
    for place, row in enumerate(rows):
        way = evidence.path("sha256", rows, place)
        assert evidence.root_from("sha256", row, place, count, way) == root
        assert evidence.root_from("sha256", row + "x", place, count, way) != root
        other = (place + 1) % count
        if other != place:
            with contextlib.suppress(EvidenceError):
                assert evidence.root_from("sha256", row, other, count, way) != root


def test_a_path_of_another_length_is_refused() -> None:
    rows = ["a", "b", "c"]
    way = evidence.path("sha256", rows, 0)
    with pytest.raises(EvidenceError, match="too short"):
        evidence.root_from("sha256", "a", 0, 3, way[:-1])
    with pytest.raises(EvidenceError, match="too long"):
        evidence.root_from("sha256", "a", 0, 3, [*way, "00" * 32])
    with pytest.raises(EvidenceError, match="no such row"):
        evidence.root_from("sha256", "a", 3, 3, way)


def test_a_head_depends_on_the_day_the_count_the_root_and_the_day_before() -> None:
    told = ("2025-11-21", 3, "ab" * 32, "cd" * 32)
    others = [
        ("2025-11-22", *told[1:]),
        (told[0], 4, *told[2:]),
        (*told[:2], "ac" * 32, told[3]),
        (*told[:3], "ce" * 32),
    ]
    heads = {evidence.head("sha256", *one) for one in [told, *others]}
    assert len(heads) == 5


def test_a_day_names_its_root_the_head_before_it_and_its_own() -> None:
    rows, day = ["a", "b"], "2025-11-21"
    root = _rfc_root([b"a", b"b"]).hex()
    head = evidence.head("sha256", day, 2, root, "cd")
    assert evidence.link("sha256", day, rows, "cd") == ChainLink(root, "cd", head)


def test_a_seal_as_json() -> None:
    chain, other = ChainLink("aa", "bb", "cc"), ChainLink("dd", "ee", "ff")
    at = 1_763_740_860_000_000
    seal = DaySeal("2025-11-21", 3, chain, other, "5161", "7062", at)
    told = {
        "day": "2025-11-21",
        "rows": 3,
        "root": "aa",
        "previous": "bb",
        "head": "cc",
        "sm3": {"root": "dd", "previous": "ee", "head": "ff"},
        "signature": "5161",
        "public_key": "7062",
        "sealed_at": "2025-11-22T00:01:00+08:00",
    }
    assert evidence.seal_json(seal) == told
    assert evidence.seal_json(replace(seal, sm3=None)) == told | {"sm3": None}


def test_the_short_name_of_a_key_is_the_beginning_of_its_hash() -> None:
    assert evidence.key_id("00ff") == hashlib.sha256(b"\x00\xff").hexdigest()[:16]


def test_which_hashes_there_are() -> None:
    assert evidence.available("sha256")
    assert not evidence.available("no-such")


def test_sm3_stands_beside_sha_256() -> None:
    if not evidence.available("sm3"):
        pytest.skip("this machine's OpenSSL has no SM3")
    assert evidence.link("sm3", "d", [], "").root == (
        "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"
    )


def test_a_machine_without_a_hash_says_so() -> None:
    with pytest.raises(EvidenceError, match=r"OpenSSL does not compute NO-SUCH.*HOTLINE_SEAL_SM3"):
        evidence.link("no-such", "d", [], "")


@given(st.text(), st.integers(0, 2**53 - 1))
def test_a_row_is_also_what_plain_json_writes_in_order(note: str, size: int) -> None:
    """A verifier may read the row with any JSON reader, and gets back what was entered."""
    told = replace(ROW, note=note, size=size)
    text = evidence.canonical(told)
    assert json.loads(text) == _fields(told)
    assert text == json.dumps(
        _fields(told), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def _fields(recording: Recording) -> dict[str, object]:
    return {name: getattr(recording, name) for name in Recording.__slots__}
