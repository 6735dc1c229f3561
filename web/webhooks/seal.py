"""Encrypts what a webhook's row has to keep: its address, which often holds a key, and the secret that signs.

Both are used for every delivery, so neither can be a hash. The key lies apart from the database, in the home's
secrets: a backup of the database, or whoever reads the server that it is on, has neither address nor secret. Several
processes that send for one database need the same key: copy the file.

Fernet (AES and HMAC, by the library cryptography) carries its own version and check sum.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from base.settings import SettingsError

KEY_FILE = "webhooks"
"""The key's name in the folder of the secrets."""


class SealError(Exception):
    """This was encrypted with another key."""


class Seal:
    """Encrypts and decrypts with one key; `Seal.of` a folder of secrets."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    @classmethod
    def of(cls, folder: Path) -> "Seal":
        """With the key of this folder, made at the first call, mode 0600. Raises `SettingsError` when it is none."""
        file = folder / KEY_FILE
        if not file.exists():
            _make(file)
        try:
            return cls(file.read_bytes().strip())
        except ValueError:
            raise SettingsError(
                f"{file} does not hold a key: restore it from a backup; if there is none, remove it and add the "
                "webhooks again"
            ) from None

    def close(self, url: str, secret: str) -> str:
        """Encrypt an address and its secret."""
        return self._fernet.encrypt(json.dumps([url, secret]).encode()).decode()

    def open(self, sealed: str) -> tuple[str, str]:
        """The address and its secret. Raises `SealError`."""
        try:
            url, secret = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise SealError from None
        return url, secret

    def read(self, row: Any) -> tuple[str, str]:
        """The address and the secret of a row of `webhook`, also of one of an earlier version. Raises `SealError`."""
        return (row.url, row.secret) if row.sealed is None else self.open(row.sealed)


def _make(file: Path) -> None:
    """Make the key at once or not at all: another process may do the same."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(Fernet.generate_key() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        os.link(fresh, file)
    except FileExistsError:
        pass  # the other one was first, and its key counts
    finally:
        fresh.unlink()
