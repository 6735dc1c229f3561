"""Text about a recording, sealed with a key that is made of the recording's own: whoever cannot hear, cannot read.

The key follows the recording's key (HKDF). So a rotation of master keys leaves it as it is. When a deletion takes the
recording's key away, this database can open no copy of the text any more.
"""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recorder.entry import LedgerEntry
from recorder.vault import crypt
from recorder.vault.crypt import VaultError
from recorder.vault.keys import KeyRing

_NONCE: Final = 12
_PURPOSE: Final = b"hotline recording text\n"


def seal(ring: KeyRing, entry: LedgerEntry, text: bytes) -> bytes:
    """Seal a text of this recording. Raises `VaultError` for a recording that lies plain, and as `KeyRing.unwrap`."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + _cipher(ring, entry).encrypt(nonce, text, _about(entry))


def open_sealed(ring: KeyRing, entry: LedgerEntry, sealed: bytes) -> bytes:
    """What `seal` was given. Raises `VaultError` also if it was changed, or is about another recording."""
    try:
        return _cipher(ring, entry).decrypt(sealed[:_NONCE], sealed[_NONCE:], _about(entry))
    except (InvalidTag, ValueError):
        raise VaultError(f"the sealed text of call {entry.call} is not what was written") from None


def _cipher(ring: KeyRing, entry: LedgerEntry) -> AESGCM:
    if entry.key is None:
        raise VaultError(f"the recording of call {entry.call} is not encrypted, so it has no key")
    made = HKDF(SHA256(), crypt.KEY, salt=None, info=_PURPOSE + entry.call.encode())
    return AESGCM(made.derive(ring.unwrap(entry.key)))


def _about(entry: LedgerEntry) -> bytes:
    return f"{entry.call}\0{entry.sha256}".encode()
