"""The form of an encrypted recording: AES-256-GCM in chunks of 64 KiB, so that playback seeks without reading the rest.

```text
slot    128 bytes   magic, the master key's id, the data key as it is wrapped, zeros
head    128 bytes   form, size of a chunk, prefix of the nonces, the call's id, zeros
chunks              64 KiB of sound and 16 bytes of tag each; the last one is shorter, and empty in an empty file only
```

Nonce: prefix ‖ number of the chunk ‖ 1 in the last chunk, else 0 (STREAM, Hoang et al. 2015). Associated data: the
call's id and the head. So a chunk or a file in another's place, a missing end and appended bytes are all found. Only
the slot may change, when another master key is taken: it is no part of what `cipher_sha256` hashes.
"""

import hashlib
import io
import secrets
import struct
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from facts.terms import CallId
from recorder.vault.seeking import SeekingFile

SUFFIX: Final = ".enc"
"""What the name of an encrypted file ends with."""
CHUNK: Final = 1 << 16
TAG: Final = 16
KEY: Final = 32
WRAPPED: Final = KEY + 8
SLOT: Final = 128
HEADER: Final = 2 * SLOT
"""Bytes before the first chunk: slot and head."""

_MAGIC: Final = b"HOTLENC\x01"
_SLOT: Final = struct.Struct(f">8s16s{WRAPPED}s64x")
_HEAD: Final = struct.Struct(">8sB7sB80s31x")
_FORM: Final = b"AESGCM\x00\x01"
_POWER: Final = 16
_MOST: Final = 1 << 32
_HEXADECIMAL: Final = frozenset(b"0123456789abcdef")


class VaultError(Exception):
    """An encrypted recording cannot be read or written. The message is for the operator."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A recording's key as the master key `master` (its id) wrapped it (RFC 3394), 40 bytes."""

    master: str
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FileKey:
    """The key of one recording: plain for whoever writes it now, and wrapped as it lies in the file."""

    call: CallId
    data_key: bytes = field(repr=False)
    wrapped: WrappedKey


class Writer:
    """Encrypts what is written into `target`, in constant memory. `finish` writes the last chunk and leaves it open.

    `sha256` is of the plain bytes, `cipher_sha256` of the file without its slot; both are there after `finish`.
    """

    def __init__(self, target: BinaryIO, key: FileKey) -> None:
        self.size = 0
        self.sha256 = self.cipher_sha256 = ""
        self._target = target
        self._aead = AESGCM(key.data_key)
        self._prefix = secrets.token_bytes(7)
        self._waiting = bytearray()
        self._chunks = 0
        self._plain, self._cipher = hashlib.sha256(), hashlib.sha256()
        head = _head(key.call, self._prefix)
        self._with = _associated(key.call, head)
        target.write(slot(key.wrapped))
        self._put(head)

    def write(self, data: bytes) -> int:
        """Take all of it; a chunk is written once something follows it."""
        self._plain.update(data)
        self._waiting += data
        self.size += len(data)
        start = 0
        while len(self._waiting) - start > CHUNK:
            self._seal(self._waiting[start : start + CHUNK], last=False)
            start += CHUNK
        del self._waiting[:start]
        return len(data)

    def finish(self) -> None:
        """Write what waits as the last chunk, once."""
        self._seal(self._waiting, last=True)
        self.sha256, self.cipher_sha256 = self._plain.hexdigest(), self._cipher.hexdigest()

    def _seal(self, plain: bytes | bytearray, *, last: bool) -> None:
        nonce = _nonce(self._prefix, self._chunks, last=last)
        self._put(self._aead.encrypt(nonce, plain, self._with))
        self._chunks += 1

    def _put(self, data: bytes) -> None:
        self._cipher.update(data)
        self._target.write(data)


class SealedFile(Protocol):
    """What is read of an encrypted file: a file, or one that is `Watched`."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Go to a place."""

    def read(self, size: int = ..., /) -> bytes:
        """Read so many bytes, fewer only at the end."""

    def close(self) -> None:
        """There is no more to read."""


class Reader(SeekingFile):
    """The plain bytes of an encrypted file, and of no other chunks than those that are asked for.

    Opening reads the first and the last chunk: then key, call and size are known to be right. It closes `source`, also
    when it raises. Raises `VaultError` at once, or later at a chunk that was changed; with `salvage`, such a chunk is
    silence.
    """

    def __init__(
        self, source: SealedFile, call: CallId, data_key: bytes, *, salvage: bool = False
    ) -> None:
        super().__init__()
        self.salvage = salvage
        self._source = source
        try:
            head = _read_head(source, call)
            body = source.seek(0, io.SEEK_END) - HEADER
            self._chunks = max(1, -(-body // (CHUNK + TAG)))
            self.size = body - self._chunks * TAG
            rest = self.size - (self._chunks - 1) * CHUNK
            _refuse_cut(cut=self._chunks > _MOST or rest < (self._chunks > 1))
            self._prefix = _HEAD.unpack(head)[2]
            self._with = _associated(call, head)
            self._aead = AESGCM(data_key)
            self._number = -1
            self._plain = b""
            self._open(self._chunks - 1)
            self._open(0)
        except BaseException:
            self.close()
            raise

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Give what is left of the chunk at this place, up to the size of `buffer`."""
        if self.at >= self.size:
            return 0
        number, start = divmod(self.at, CHUNK)
        self._open(number)
        part = self._plain[start : start + len(buffer)]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)

    def close(self) -> None:
        """Close the file below it too, and forget the key's work."""
        if not self.closed:
            self._source.close()
        super().close()

    def _open(self, number: int) -> None:
        if number == self._number:
            return
        self._source.seek(HEADER + number * (CHUNK + TAG))
        sealed = self._source.read(CHUNK + TAG)
        nonce = _nonce(self._prefix, number, last=number == self._chunks - 1)
        try:
            self._plain = self._aead.decrypt(nonce, sealed, self._with)
        except InvalidTag:
            if self.salvage:
                self._plain, self._number = bytes(max(0, len(sealed) - TAG)), number
                return
            raise VaultError(
                f"part {number + 1} of {self._chunks} is not what was written"
            ) from None
        self._number = number


class Watched:
    """An encrypted file that is hashed while it is read, so that it need not be read again. Its owner closes it.

    Only what is read in order counts: a jump back or ahead is read, and hashed when its turn comes.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._at = 0
        self._until = SLOT
        self._digest = hashlib.sha256()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, as in a file."""
        self._at = self._source.seek(offset, whence)
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Read, as from a file."""
        data = self._source.read(size)
        begin, self._at = self._at, self._at + len(data)
        if begin <= self._until < self._at:
            self._digest.update(memoryview(data)[self._until - begin :])
            self._until = self._at
        return data

    def close(self) -> None:
        """Stay open: its hash may still be wanted."""

    def cipher_sha256(self) -> str:
        """What `cipher_sha256` gives of the file. Reads what nobody has read."""
        self.seek(self._until)
        while self.read(1 << 20):
            pass
        return self._digest.hexdigest()


def new_key(call: CallId, wrapped: WrappedKey, data_key: bytes) -> FileKey:
    """The key of one recording, from its parts. Raises `ValueError` for a call's id that has no room in the head."""
    if not 0 < len(call.encode()) <= 80 or len(data_key) != KEY:
        raise ValueError(f"{call[:100]!r}: no id for an encrypted file")
    return FileKey(call, data_key, wrapped)


def slot(key: WrappedKey) -> bytes:
    """The first 128 bytes of a file."""
    return _SLOT.pack(_MAGIC, key.master.encode(), key.wrapped)


def read_slot(source: SealedFile) -> WrappedKey:
    """The wrapped key as it lies in the file. Raises `VaultError` for another kind of file."""
    source.seek(0)
    data = source.read(SLOT)
    if len(data) != SLOT:
        raise VaultError("it is no encrypted recording: it ends before the first sound")
    magic, master, wrapped = _SLOT.unpack(data)
    if magic != _MAGIC or not _HEXADECIMAL.issuperset(master):
        raise VaultError("it is no encrypted recording: it begins in another way")
    return WrappedKey(master.decode(), wrapped)


def cipher_sha256(source: BinaryIO) -> str:
    """The hash that the ledger has as `cipher_sha256`: of all but the slot. No key is needed; in hex."""
    source.seek(SLOT)
    digest = hashlib.sha256()
    while block := source.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _head(call: CallId, prefix: bytes) -> bytes:
    name = call.encode()
    return _HEAD.pack(_FORM, _POWER, prefix, len(name), name)


def _read_head(source: SealedFile, call: CallId) -> bytes:
    source.seek(SLOT)
    data = source.read(HEADER - SLOT)
    if len(data) != HEADER - SLOT:
        raise VaultError("it is no encrypted recording: it ends before the first sound")
    form, power, prefix, _, _ = _HEAD.unpack(data)
    if form != _FORM or power != _POWER:
        raise VaultError("it is encrypted in a form that this version does not know")
    if data != _head(call, prefix):
        raise VaultError("it is the recording of another call")
    return data


def _refuse_cut(*, cut: bool) -> None:
    if cut:
        raise VaultError("it was cut off")


def _associated(call: CallId, head: bytes) -> bytes:
    return call.encode() + b"\0" + head


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes((last,))
