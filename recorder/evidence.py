"""What makes a recording provable: canonical rows, a Merkle tree a day (RFC 6962), days chained. Pure.

Every text that is hashed or signed is lines of UTF-8, so that a verifier in any language can write it again.
`docs/verify_recording.py` is such a verifier. It shares no code with this module, on purpose.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, TypedDict

import rfc8785

from facts.terms import CallId
from facts.times import local

FORM: Final = "hotline-recording-proof/1"
"""The name of a proof's form."""
NO_SEAL: Final = ""
"""What the first seal of a chain names as the one before it."""


class EvidenceError(Exception):
    """A seal or a proof cannot be made. The message says why and what to do, and can be shown as it is."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What is vouched for of one recording. `path`, `sha256`: empty when there is no file; `cipher_sha256`: when it is
    not encrypted.

    `duration`, `finished_at` in microseconds, `size` in bytes, hashes in lower-case hex.
    """

    call: CallId
    path: str
    state: str
    duration: int
    size: int
    sha256: str
    finished_at: int
    note: str
    cipher_sha256: str = ""


DELETION: Final = "deletion"
"""The kind of a row of evidence that ends a recording's row: its files were removed, by a rule or an erasure."""
ERASURE: Final = "erasure"
"""The kind of a row of evidence that says that one citizen's number was erased."""


@dataclass(frozen=True, slots=True)
class DeletionCertificate:
    """The files of one recording are gone. `ends`: SHA-256 of the evidence row that this one ends.

    `rule`: which one decided, `erasure ID` for an erasure; `rules`: the digest of the confirmed rules, or empty; `by`:
    who let it be done; `found`: whether the file was there before; `size` in bytes, as it was entered; `begun_at`,
    `deleted_at` in microseconds.
    """

    call: CallId
    ends: str
    rule: str
    rules: str
    by: str
    found: bool
    size: int
    begun_at: int
    deleted_at: int
    certificate: str = DELETION


@dataclass(frozen=True, slots=True)
class ErasureCertificate:
    """One citizen's number was erased. `hash`: HMAC-SHA-256 of the number in normal form, by a salt that is not kept.

    `counts`: what was erased, by kind. `begun_at`, `done_at` in microseconds.
    """

    erasure: str
    hash: str
    counts: Mapping[str, int]
    by: str
    reason: str
    begun_at: int
    done_at: int
    certificate: str = ERASURE


@dataclass(frozen=True, slots=True)
class ChainLink:
    """A day in the chain of one hash: the root of its tree, the head before it, its own head. All in hex."""

    root: str
    previous: str
    head: str


@dataclass(frozen=True, slots=True)
class DaySeal:
    """A sealed day: how many rows it has, and its place in the chain of SHA-256 and, by setting, of SM3.

    `day` in China, as 2025-11-20; `signature` (Ed25519, of `signed_text`) and `public_key` in hex; `sealed_at` in
    microseconds.
    """

    day: str
    rows: int
    sha256: ChainLink
    sm3: ChainLink | None
    signature: str
    public_key: str
    sealed_at: int


class ChainJson(TypedDict):
    """A day in a chain, as JSON."""

    root: str
    previous: str
    head: str


class SealJson(ChainJson):
    """A sealed day as JSON: root, previous and head are of SHA-256. `sealed_at`: ISO 8601."""

    day: str
    rows: int
    sm3: ChainJson | None
    signature: str
    public_key: str
    sealed_at: str


class VersionJson(TypedDict):
    """One entry of a call, the row as it was hashed, and the way from it to its day's root. `place` counts from 0."""

    row: str
    day: str
    place: int
    path: list[str]
    sm3_path: list[str] | None


class StampJson(TypedDict):
    """A time stamp. `token`: the authority's answer (RFC 3161), base64; `at`: ISO 8601, as the authority says."""

    day: str
    token: str
    at: str


class ProofJson(TypedDict):
    """What `hotline recordings prove` writes: a call's sealed entries, the seals from the first one's day on, and the
    time stamps of these seals.
    """

    form: str
    call: str
    versions: list[VersionJson]
    seals: list[SealJson]
    stamps: list[StampJson]


def seal_json(seal: DaySeal) -> SealJson:
    """A seal as JSON."""
    return {
        "day": seal.day,
        "rows": seal.rows,
        "root": seal.sha256.root,
        "previous": seal.sha256.previous,
        "head": seal.sha256.head,
        "sm3": _chain_json(seal.sm3) if seal.sm3 else None,
        "signature": seal.signature,
        "public_key": seal.public_key,
        "sealed_at": local(seal.sealed_at).isoformat(timespec="seconds"),
    }


def _chain_json(link: ChainLink) -> ChainJson:
    return {"root": link.root, "previous": link.previous, "head": link.head}


def canonical(row: Recording | DeletionCertificate | ErasureCertificate) -> str:
    """The row as text that is the same whoever writes it: RFC 8785 (JSON, keys in order, no spaces)."""
    return rfc8785.dumps(asdict(row)).decode()


def hash_of(row: str) -> str:
    """What a certificate names of the row that it ends: SHA-256 in hex."""
    return hashlib.sha256(row.encode()).hexdigest()


def available(name: str) -> bool:
    """Whether this machine computes a hash: `sha256` always, `sm3` by its OpenSSL."""
    return name in hashlib.algorithms_available


def link(name: str, day: str, rows: Sequence[str], previous: str) -> ChainLink:
    """Chain a day: `name` of the hash, the day's canonical rows in order, the head of the day before in hex."""
    root = _root([_leaf(name, row) for row in rows], name).hex()
    return ChainLink(root, previous, head(name, day, len(rows), root, previous))


def head(name: str, day: str, rows: int, root: str, previous: str) -> str:
    """The one number that vouches for a day and for all days before it, in hex."""
    text = f"hotline recordings\n{day}\n{rows}\n{root}\n{previous}\n"
    return _new(name, text.encode()).hex()


def signed_text(day: str, sha256_head: str, sm3_head: str) -> bytes:
    """What a day's signature signs; `sm3_head` is empty where there is none."""
    return f"hotline recordings signed\n{day}\n{sha256_head}\n{sm3_head}\n".encode()


def path(name: str, rows: Sequence[str], place: int) -> list[str]:
    """The hashes, in hex, that lead from row `place` of a day to its root (RFC 6962, 2.1.1)."""
    return [one.hex() for one in _path([_leaf(name, row) for row in rows], place, name)]


def root_from(name: str, row: str, place: int, rows: int, way: Sequence[str]) -> str:
    """The root, in hex, to which a row's path leads (RFC 9162, 2.1.3.2). Raises `EvidenceError` for no such path."""
    if not 0 <= place < rows:
        raise EvidenceError(f"row {place} of {rows}: there is no such row")
    found, at, last = _leaf(name, row), place, rows - 1
    for one in way:
        if last == 0:
            raise EvidenceError("the path is too long")
        beside = bytes.fromhex(one)
        if at % 2 or at == last:
            found = _node(name, beside, found)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            found = _node(name, found, beside)
        at, last = at // 2, last // 2
    if last:
        raise EvidenceError("the path is too short")
    return found.hex()


def key_id(public_key: str) -> str:
    """A short name of a public key (hex), for people to compare."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


# --- the tree: a leaf is hashed with 00 before it and a node with 01, so that neither can pass for the other


def _leaf(name: str, row: str) -> bytes:
    return _new(name, b"\x00" + row.encode())


def _node(name: str, left: bytes, right: bytes) -> bytes:
    return _new(name, b"\x01" + left + right)


def _root(leaves: Sequence[bytes], name: str) -> bytes:
    if not leaves:
        return _new(name, b"")
    level = list(leaves)
    while len(level) > 1:
        level = _level_above(level, name)
    return level[0]


def _level_above(level: list[bytes], name: str) -> list[bytes]:
    """A level's nodes in pairs. A last one without a neighbour rises as it is: RFC 6962's split by powers of two."""
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [_node(name, left, right) for left, right in pairs]
    return [*above, level[-1]] if len(level) % 2 else above


def _path(leaves: Sequence[bytes], place: int, name: str) -> list[bytes]:
    way: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        beside = place ^ 1
        if beside < len(level):
            way.append(level[beside])
        level, place = _level_above(level, name), place // 2
    return way


def _new(name: str, content: bytes) -> bytes:
    try:
        return hashlib.new(name, content).digest()
    except ValueError:
        raise EvidenceError(
            f"this machine's OpenSSL does not compute {name.upper()}: install one that does (3.0 or newer, "
            "not in FIPS mode), or set HOTLINE_SEAL_SM3=false"
        ) from None
