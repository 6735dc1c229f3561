"""Master keys, and the key of each recording, which one of them wraps (RFC 3394).

A master key is 32 random bytes, written as 64 hexadecimal characters. They stand in `secrets/recordings.keys`, one a
line, or in HOTLINE_RECORDING_KEYS. The last one wraps new recordings; the others open older ones. A key's id is made
from the key, so that a file can say which one it needs and no line can have the wrong name.
"""

import hashlib
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from base import files
from base.settings import Settings
from facts.terms import CallId
from recorder.tables import recording_key
from recorder.vault import crypt
from recorder.vault.crypt import FileKey, VaultError, WrappedKey

FILE: Final = "recordings.keys"
"""In the folder of the secrets."""
SETTING: Final = "HOTLINE_RECORDING_KEYS"

_HEADLINE: Final = (
    "# Master keys of recordings (docs/encryption.md). The last one is in use. Without its key, a recording is lost.\n"
    "# Keep a copy of this file apart from the backup of the recordings.\n"
)


class KeyAwayError(VaultError):
    """A master key is not there, or cannot be read. The message says which one, and where it was looked for."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One master key and its id, 16 hexadecimal characters."""

    id: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All master keys at hand, the one in use last; `places` says where they were looked for.

    `last_in_file`: the one in use is from the file, not from the setting.
    """

    keys: tuple[MasterKey, ...]
    places: str
    last_in_file: bool

    @property
    def current(self) -> MasterKey:
        """The one that wraps new recordings."""
        return self.keys[-1]

    def new(self, call: CallId) -> FileKey:
        """A new key for the recording of `call`."""
        data_key = secrets.token_bytes(crypt.KEY)
        return crypt.new_key(call, self.wrap(data_key), data_key)

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Wrap a recording's key with the master key in use."""
        return WrappedKey(self.current.id, aes_key_wrap(self.current.key, data_key))

    def unwrap(self, wrapped: WrappedKey) -> bytes:
        """Give a recording's key. Raises `KeyAwayError`, and `VaultError` if the wrapped key was changed."""
        for one in self.keys:
            if one.id == wrapped.master:
                try:
                    return aes_key_unwrap(one.key, wrapped.wrapped)
                except InvalidUnwrap:
                    raise VaultError("its wrapped key was changed") from None
        raise KeyAwayError(
            f"its master key {wrapped.master} is not there: looked for in {self.places}"
        )


def path(settings: Settings) -> Path:
    """The file of master keys."""
    return settings.secrets_dir / FILE


def read(settings: Settings) -> KeyRing:
    """All master keys: those of the file, then those of the setting. Raises `KeyAwayError` when there is none."""
    in_file = _parse(_text(path(settings)), str(path(settings)))
    told = "\n".join(text.get_secret_value() for text in settings.recording_keys)
    found = [*in_file, *_parse(told, SETTING)]
    places = f"{path(settings)} and {SETTING}"
    if not found:
        raise KeyAwayError(f"there is no master key of the recordings: looked for in {places}")
    # The last one counts, where a key stands twice.
    known = {one.id: one for one in reversed(found)}
    return KeyRing(tuple(reversed(known.values())), places, last_in_file=not told)


async def ready(engine: AsyncEngine, settings: Settings) -> KeyRing:
    """All master keys; at the very first start the first one is made.

    Raises `KeyAwayError`, also if there is no key although something is encrypted already: then no new one is made.
    """
    try:
        return read(settings)
    except KeyAwayError:
        if path(settings).exists():
            raise
        async with engine.connect() as connection:
            used = await connection.scalar(select(recording_key.c.call).limit(1))
        if used is not None or has_encrypted(settings.recordings_dir):
            raise KeyAwayError(
                f"recordings are encrypted, but their master key is away: bring back {path(settings)} "
                f"or set {SETTING}. No new key is made, and no raw file is lost meanwhile"
            ) from None
    add(settings)
    return read(settings)


def add(settings: Settings) -> MasterKey:
    """Make a new master key and write it behind the others. From now on it is in use. Raises `OSError`."""
    settings.secrets_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = secrets.token_bytes(crypt.KEY)
    files.put(
        path(settings), f"{_text(path(settings)) or _HEADLINE}{key.hex()}\n".encode(), mode=0o600
    )
    return _master(key)


def has_encrypted(folder: Path) -> bool:
    """Whether some file below it is encrypted."""
    return any(name.endswith(crypt.SUFFIX) for _, _, names in os.walk(folder) for name in names)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise KeyAwayError(f"{file} cannot be read: {why}") from error


def _parse(text: str, place: str) -> list[MasterKey]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if words:
            if not re.fullmatch("[0-9a-fA-F]{64}", words):
                raise KeyAwayError(
                    f"{place}, line {number}: a master key has 64 hexadecimal characters"
                )
            found.append(_master(bytes.fromhex(words)))
    return found


def _master(key: bytes) -> MasterKey:
    return MasterKey(hashlib.sha256(b"hotline recordings master key\n" + key).hexdigest()[:16], key)
