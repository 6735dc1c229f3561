"""Facts about the recording of a call. Pure."""

from dataclasses import dataclass
from typing import ClassVar

from facts.terms import CallId


@dataclass(frozen=True, slots=True)
class RecordingFinished:
    """The call's stereo file is in the ledger. `duration` in microseconds, `sha256` in hex."""

    kind: ClassVar[str] = "RecordingFinished"
    at: int
    call: CallId
    duration: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RecordingMissing:
    """A call that should have a recording has none, or a short one; `why` is in the operator's words."""

    kind: ClassVar[str] = "RecordingMissing"
    at: int
    call: CallId
    why: str
