"""A row of the ledger, and what was measured in its sound, as everything passes them on."""

from dataclasses import dataclass, field

from facts.terms import CallId
from recorder.audit import Levels
from recorder.policy import RecordingState
from recorder.vault.crypt import WrappedKey


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row. `path` is relative to the recordings folder and empty when there is no file.

    `duration` and `finished_at` in microseconds, `size` in bytes, `sha256` in hex, `note`: a sentence for the operator.
    `size` and `sha256` are of the plain sound. `cipher_sha256` (of the encrypted file without its slot) and `key` are
    there if it lies encrypted. `certificate`: the number in the evidence of the certificate by which the file was
    deleted, or 0. The rest of the row stays as it was.
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
    certificate: int = 0
    key: WrappedKey | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SideLevel:
    """One side, in dB below full scale: 0 is the loudest, `recorder.sound.FLOOR` silence.

    `clipped`: the share of samples that are, 0 to 1.
    """

    rms: float
    peak: float
    clipped: float


@dataclass(frozen=True, slots=True)
class Sound:
    """What one pass found. Times in microseconds from the beginning.

    `silences`: the first `MOST_SILENCES` long ones, as (begin, end); `silence`: how long all of them last, and
    `silence_count` how many there are. `talk_over`: how long both sides sound at once. `levels`: as an audit needs
    them. `peaks`: the waveform, a whole audiowaveform `.dat` file (version 2, 8 bits, two channels).
    """

    left: SideLevel
    right: SideLevel
    silences: tuple[tuple[int, int], ...]
    silence: int
    silence_count: int
    talk_over: int
    levels: Levels = field(repr=False)
    peaks: bytes = field(repr=False)
