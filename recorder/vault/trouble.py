"""What can be wrong with the recordings' store. Apart from `store`, so that readers need no client of S3. Pure."""

from enum import StrEnum
from typing import Final


class StoreTrouble(StrEnum):
    """What kind of trouble. Of those in `EVERYWHERE`, each recording has the same."""

    UNSET = "unset"
    AWAY = "away"
    SLOW = "slow"
    CERTIFICATE = "certificate"
    FORBIDDEN = "forbidden"
    CLOCK = "clock"
    BUCKET = "bucket"
    FULL = "full"
    GARBLED = "garbled"
    GONE = "gone"
    OTHER = "other"
    LOCKED = "locked"
    FILE = "file"


EVERYWHERE: Final = frozenset(StoreTrouble) - {
    StoreTrouble.GONE,
    StoreTrouble.OTHER,
    StoreTrouble.LOCKED,
    StoreTrouble.FILE,
}


class StoreError(OSError):
    """The store cannot do what was asked. The message is for the operator, and says what to do."""

    def __init__(self, trouble: StoreTrouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble

    def __reduce__(self) -> tuple[type["StoreError"], tuple[StoreTrouble, str]]:
        """It passes between processes."""
        return type(self), (self.trouble, str(self))


class StoreGoneError(StoreError, FileNotFoundError):
    """The store has no object of this name, or no longer the one that was opened."""
