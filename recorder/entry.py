"""A row of the ledger, as everything passes it on."""

from dataclasses import dataclass, field

from facts.terms import CallId
from recorder.policy import RecordingState
from recorder.vault.crypt import WrappedKey


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row. `path` is relative to the recordings folder and empty when there is no file.

    `duration` and `finished_at` in microseconds, `size` in bytes, `sha256` in hex, `note`: a sentence for the operator.
    `size` and `sha256` are of the plain sound. `cipher_sha256` (of the encrypted file without its slot) and `key` are
    there if it lies encrypted.
    """

    call: CallId
    path: str
    state: RecordingState
    duration: int
    size: int
    sha256: str
    finished_at: int
    note: str = ""
    cipher_sha256: str = ""
    key: WrappedKey | None = field(default=None, repr=False)
