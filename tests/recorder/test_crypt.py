"""An encrypted file: any byte of it changed is found, any byte of sound is read without the rest."""

import io
import tracemalloc
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.vault import crypt
from recorder.vault.crypt import (
    CHUNK,
    HEADER,
    SLOT,
    TAG,
    FileKey,
    Reader,
    VaultError,
    WrappedKey,
    Writer,
)

CALL = "hotline-1763731200.17"
KEY = crypt.new_key(CALL, WrappedKey("0123456789abcdef", bytes(40)), bytes(range(32)))
SIZES = st.one_of(
    st.integers(0, 40),
    st.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 5]),
)


def sound(size: int) -> bytes:
    """No two chunks of it are the same."""
    return bytes(number * 7 % 251 for number in range(min(size, 1 << 16))).ljust(size, b"!")


def sealed(plain: bytes, key: FileKey = KEY, step: int = 1 << 20) -> bytes:
    target = io.BytesIO()
    writer = Writer(target, key)
    for start in range(0, len(plain), step):
        writer.write(plain[start : start + step])
    writer.finish()
    assert writer.size == len(plain)
    assert writer.cipher_sha256 == crypt.cipher_sha256(io.BytesIO(target.getvalue()))
    return target.getvalue()


def opened(data: bytes, call: str = CALL, key: bytes = KEY.data_key) -> bytes:
    with io.BufferedReader(Reader(io.BytesIO(data), call, key)) as file:
        return file.read()


@given(SIZES, st.sampled_from([1, 44, CHUNK - 1, CHUNK, 1 << 20]))
def test_what_was_written_is_read(size: int, step: int) -> None:
    plain = sound(size)
    data = sealed(plain, step=step if (size > 40 and step > 40) or size <= 40 else CHUNK)
    assert opened(data) == plain
    assert len(data) == HEADER + size + TAG * max(1, -(-size // CHUNK))


PLAIN = sound(3 * CHUNK + 1000)
SEALED = sealed(PLAIN)


@given(st.lists(st.tuples(st.integers(0, len(PLAIN) + 10), st.integers(0, 70_000)), max_size=8))
def test_any_place_is_read_like_a_file(places: list[tuple[int, int]]) -> None:
    plain = io.BytesIO(PLAIN)
    with io.BufferedReader(Reader(io.BytesIO(SEALED), CALL, KEY.data_key), 1 << 13) as file:
        for at, size in places:
            assert file.seek(at) == plain.seek(at)
            assert file.read(size) == plain.read(size)
            assert file.tell() == plain.tell()
        assert file.seek(-5, io.SEEK_END) == len(PLAIN) - 5
        assert file.read() == PLAIN[-5:]
        with pytest.raises((ValueError, OSError)):
            file.seek(-1)


class Counting(io.BytesIO):
    """A file that remembers which bytes were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.places: set[int] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        at = self.tell()
        data = super().read(size)
        self.places |= set(range(at // (CHUNK + TAG), (at + len(data)) // (CHUNK + TAG) + 1))
        return data


def test_a_few_bytes_anywhere_are_one_chunk() -> None:
    source = Counting(sealed(bytes(20 * CHUNK)))
    with io.BufferedReader(Reader(source, CALL, KEY.data_key), 1 << 13) as file:
        source.places.clear()
        file.seek(10 * CHUNK + 5000)
        assert file.read(1000) == bytes(1000)
        assert source.places <= {10, 11}, "the header moves a chunk into its neighbour"


def swap_chunks(data: bytes) -> bytes:
    one, two = HEADER + CHUNK + TAG, HEADER + 2 * (CHUNK + TAG)
    return data[:HEADER] + data[one:two] + data[HEADER:one] + data[two:]


def drop_chunk(data: bytes) -> bytes:
    return data[: HEADER + CHUNK + TAG] + data[HEADER + 2 * (CHUNK + TAG) :]


@pytest.mark.parametrize(
    "harm",
    [
        swap_chunks,
        drop_chunk,
        lambda data: data + b"\0",
        lambda data: data + data[HEADER:],
        lambda data: data[:-1],
        lambda data: data[: HEADER + 2 * (CHUNK + TAG)],
        lambda data: data[: HEADER + TAG],
        lambda data: data[:HEADER],
        lambda data: b"",
        lambda data: data[:SLOT] + bytes(SLOT) + data[HEADER:],
        lambda data: data[:SLOT] + sealed(PLAIN)[SLOT:HEADER] + data[HEADER:],
        lambda data: data[:-1000] + sealed(PLAIN)[-1000:],
        lambda data: PLAIN,
    ],
)
def test_a_file_put_together_otherwise_is_refused(harm: object) -> None:
    with pytest.raises(VaultError):
        opened(harm(SEALED))  # type: ignore[operator]


@given(st.integers(SLOT, len(SEALED) - 1), st.integers(1, 255))
def test_every_changed_byte_is_found(at: int, change: int) -> None:
    data = bytearray(SEALED)
    data[at] ^= change
    with pytest.raises(VaultError):
        opened(bytes(data))
    assert crypt.cipher_sha256(io.BytesIO(data)) != crypt.cipher_sha256(io.BytesIO(SEALED))


@given(st.integers(0, len(SEALED)))
def test_every_cut_is_found_at_once(size: int) -> None:
    if size < len(SEALED):
        with pytest.raises(VaultError):
            Reader(io.BytesIO(SEALED[:size]), CALL, KEY.data_key)


def test_another_call_and_another_key_are_refused() -> None:
    with pytest.raises(VaultError, match="another call"):
        opened(SEALED, "hotline-1763731200.18")
    with pytest.raises(VaultError, match="not what was written"):
        opened(SEALED, key=bytes(32))


def test_a_head_that_was_written_for_another_call_opens_nothing() -> None:
    """Whoever can write files, but has no key, moves a recording to another call."""
    other = "hotline-1763731200.18"
    head = sealed(b"", crypt.new_key(other, KEY.wrapped, KEY.data_key))[SLOT:HEADER]
    prefix = slice(SLOT + 9, SLOT + 16)
    moved = bytearray(SEALED)
    moved[SLOT:HEADER] = head
    moved[prefix] = SEALED[prefix]
    with pytest.raises(VaultError, match="not what was written"):
        opened(bytes(moved), other)


@given(st.binary(max_size=600), st.booleans())
def test_hostile_bytes_raise_one_kind_of_error(data: bytes, begins_well: bool) -> None:
    whole = SEALED[:HEADER] + data if begins_well else data
    with pytest.raises(VaultError):
        Reader(io.BytesIO(whole), CALL, KEY.data_key)
    try:
        found = crypt.read_slot(io.BytesIO(whole))
    except VaultError:
        assert not begins_well
    else:
        assert found == KEY.wrapped


@given(st.binary(min_size=SLOT, max_size=SLOT))
def test_only_the_slot_may_change(slot: bytes) -> None:
    data = slot + SEALED[SLOT:]
    assert opened(data) == PLAIN
    assert crypt.cipher_sha256(io.BytesIO(data)) == crypt.cipher_sha256(io.BytesIO(SEALED))


def test_what_was_changed_is_silence_when_it_is_salvaged() -> None:
    data = bytearray(SEALED)
    data[HEADER + CHUNK + TAG + 9] ^= 1
    with io.BufferedReader(Reader(io.BytesIO(data), CALL, KEY.data_key, salvage=True)) as file:
        assert file.read() == PLAIN[:CHUNK] + bytes(CHUNK) + PLAIN[2 * CHUNK :]


def test_the_same_sound_is_never_the_same_file() -> None:
    other = sealed(PLAIN)
    assert other[HEADER : HEADER + 1000] != SEALED[HEADER : HEADER + 1000]


@pytest.mark.parametrize("call", ["", "x" * 81])
def test_an_id_without_room_is_refused(call: str) -> None:
    with pytest.raises(ValueError, match="no id"):
        crypt.new_key(call, KEY.wrapped, KEY.data_key)


def test_a_call_of_four_hours_takes_little_memory(tmp_path: Path) -> None:
    """460 MB would take seconds: as many megabytes as show that nothing grows."""
    path = tmp_path / "long"
    block = bytes(1 << 20)
    tracemalloc.start()
    with path.open("wb") as target:
        writer = Writer(target, KEY)
        for _ in range(24):
            writer.write(block)
        writer.finish()
    source: BinaryIO = path.open("rb")
    with io.BufferedReader(Reader(source, CALL, KEY.data_key)) as file:
        while file.read(1 << 20):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert source.closed
    assert peak < 6 << 20


class Counted(io.BytesIO):
    """A file that knows how much of it was read."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data


@given(st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 200_000)), max_size=8))
def test_a_watched_file_has_its_hash_however_it_was_read(jumps: list[tuple[int, int]]) -> None:
    watched = crypt.Watched(io.BytesIO(SEALED))
    for place, size in jumps:
        watched.seek(place)
        assert watched.read(size) == SEALED[place : place + size]
    assert watched.cipher_sha256() == crypt.cipher_sha256(io.BytesIO(SEALED))


def test_what_was_heard_to_its_end_is_not_read_again() -> None:
    file = Counted(SEALED)
    watched = crypt.Watched(file)
    with Reader(watched, CALL, KEY.data_key) as reader:
        heard = io.BufferedReader(reader)
        assert heard.read() == PLAIN
        assert watched.cipher_sha256() == crypt.cipher_sha256(io.BytesIO(SEALED))
    # The last chunk is looked at first, for the size: that is the one that is read twice.
    assert file.read_bytes < len(SEALED) + crypt.CHUNK + crypt.TAG
