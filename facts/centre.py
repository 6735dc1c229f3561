"""Facts about the centre itself: its controller and its link to Asterisk. Pure."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class ControllerStarted:
    """The controller took the floor."""

    kind: ClassVar[str] = "ControllerStarted"
    at: int
    version: str


@dataclass(frozen=True, slots=True)
class ControllerStopped:
    """The controller left the floor on purpose."""

    kind: ClassVar[str] = "ControllerStopped"
    at: int


@dataclass(frozen=True, slots=True)
class LinkLost:
    """Asterisk's manager interface is gone: no new offers."""

    kind: ClassVar[str] = "LinkLost"
    at: int


@dataclass(frozen=True, slots=True)
class LinkRestored:
    """Asterisk's manager interface is back, and its state has been read."""

    kind: ClassVar[str] = "LinkRestored"
    at: int
