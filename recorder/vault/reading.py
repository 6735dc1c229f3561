"""The one door to a recording's sound: its plain bytes, wherever it lies, encrypted or as it was made before.

A file on this machine is read there. If there is none, the recording's store is asked, for the ranges that are read.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from base.settings import Settings
from facts.terms import CallId
from recorder import policy, tape
from recorder.entry import LedgerEntry
from recorder.forms import RecordingForm
from recorder.tape import Tape
from recorder.vault import crypt, keys
from recorder.vault.crypt import Reader, SealedFile, VaultError, Watched, WrappedKey
from recorder.vault.keys import KeyAwayError, KeyRing

SUFFIX: Final = crypt.SUFFIX
_BUFFER: Final = 1 << 13


def open_recording(settings: Settings, entry: LedgerEntry, *, salvage: bool = False) -> BinaryIO:
    """Open a recording: a seekable file of its plain bytes, of which only those asked for are read and decrypted.

    Raises `OSError` (`StoreError` among them), `KeyAwayError` (it is encrypted and its key is away) and `VaultError`
    (it was changed), each with the file in its message. Reading raises `StoreError`, and `VaultError` at a place that
    was changed. `salvage`: what was changed is silence instead, two seconds and more of it.
    """
    place = settings.recordings_dir / entry.path

    def source() -> BinaryIO:
        return _source(settings, entry)

    if not is_encrypted(entry.path):
        return source()
    return _opened(settings, source, place, entry.call, entry.key, salvage=salvage)


def is_there(settings: Settings, entry: LedgerEntry) -> bool:
    """Whether the file of a row is on this machine or in the store. Raises `StoreError` if the store does not say."""
    try:
        with _source(settings, entry):
            return True
    except FileNotFoundError:
        return False


class OneReading:
    """A recording that is heard and whose file is compared with its row, both in one reading of the file."""

    def __init__(self, settings: Settings, entry: LedgerEntry, file: BinaryIO) -> None:
        self._settings = settings
        self._entry = entry
        self._file = file
        self._watched = Watched(file) if entry.cipher_sha256 else None

    def open(self) -> BinaryIO:
        """Its plain bytes. Raises as `open_recording`."""
        if self._watched is None:
            return self._file
        place, watched = self._settings.recordings_dir / self._entry.path, self._watched
        return _opened(self._settings, lambda: watched, place, self._entry.call, self._entry.key)

    def altered(self) -> bool:
        """Whether an encrypted file is another one than was entered: it takes no key. Raises `OSError`.

        Of a file that was heard to its end nothing more is read.
        """
        if self._watched is None:
            return False
        return self._watched.cipher_sha256() != self._entry.cipher_sha256


@contextlib.contextmanager
def once(settings: Settings, entry: LedgerEntry) -> Iterator[OneReading]:
    """Read a recording and compare its file. Raises `OSError`, `StoreError` among them."""
    with _source(settings, entry) as file:
        yield OneReading(settings, entry, file)


def find(settings: Settings, call: CallId) -> Path | None:
    """The finished file of a call that may have no row yet."""
    return next((one for one in places(settings, call) if one.exists()), None)


def places(settings: Settings, call: CallId) -> list[Path]:
    """Where a call's file may lie, in each form, encrypted and plain."""
    plain = [settings.recordings_dir / policy.place(call, form) for form in RecordingForm]
    return [place for one in plain for place in (encrypted(one), one)]


def inspect(settings: Settings, call: CallId, place: Path) -> Tape:
    """Describe a finished file without its row. Raises `TapeError`, `OSError`, and as `open_recording`."""
    if not is_encrypted(place.name):
        return tape.inspect(place)
    with open_file(settings, call, place) as sound:
        with place.open("rb") as file:
            wrapped, digest = crypt.read_slot(file), crypt.cipher_sha256(file)
        return tape.describe(sound, place, cipher_sha256=digest, key=wrapped)


def open_file(settings: Settings, call: CallId, place: Path) -> BinaryIO:
    """Open a finished file without its row, by the key in its slot. Raises as `open_recording`."""
    if not is_encrypted(place.name):
        return place.open("rb")
    return _opened(settings, lambda: place.open("rb"), place, call, None)


def is_encrypted(name: str) -> bool:
    """Whether a file lies encrypted, by its name."""
    return name.endswith(crypt.SUFFIX)


def encrypted(place: Path) -> Path:
    """Where the same recording lies when it is encrypted."""
    return place.with_name(place.name + crypt.SUFFIX)


def _source(settings: Settings, entry: LedgerEntry) -> BinaryIO:
    """The file as it lies: here, or in the store."""
    try:
        return (settings.recordings_dir / entry.path).open("rb")
    except FileNotFoundError:
        if not settings.recording_store:
            raise
    # A client of S3: centres without a store, and most commands, do without.
    from recorder.vault import store

    return store.of(settings).open(entry.path)


def _opened(
    settings: Settings,
    source: Callable[[], SealedFile],
    place: Path,
    call: CallId,
    known: WrappedKey | None,
    *,
    salvage: bool = False,
) -> BinaryIO:
    """Try the key of the database, then the one in the file: after a crash or a loss one of them may be older."""
    with contextlib.closing(source()) as file:
        try:
            ring = keys.read(settings)
            try:
                in_file: WrappedKey | None = crypt.read_slot(file)
            except VaultError:
                if known is None:
                    raise
                in_file = None
            data_keys = _keys(ring, [one for one in (known, in_file) if one is not None])
        except VaultError as error:
            raise type(error)(f"{place}: {error}") from None
    failed: VaultError | None = None
    for data_key in data_keys:
        try:
            reader = Reader(source(), call, data_key)
        except VaultError as error:
            failed = failed or error
        else:
            reader.salvage = salvage
            return io.BufferedReader(reader, _BUFFER)
    if salvage:
        with contextlib.suppress(VaultError):
            reader = Reader(source(), call, data_keys[0], salvage=True)
            return io.BufferedReader(reader, _BUFFER)
    raise VaultError(f"{place}: {failed}")


def _keys(ring: KeyRing, wrapped: list[WrappedKey]) -> list[bytes]:
    found: list[bytes] = []
    failed: list[VaultError] = []
    for one in dict.fromkeys(wrapped):
        try:
            found.append(ring.unwrap(one))
        except VaultError as error:
            failed.append(error)
    if not found:
        raise next((one for one in failed if isinstance(one, KeyAwayError)), failed[0])
    return list(dict.fromkeys(found))
