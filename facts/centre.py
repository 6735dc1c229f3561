"""Facts about the centre itself: its controller and its link to Asterisk. Pure."""

from typing import ClassVar

from facts.values import value


@value
class ControllerStarted:
    """The controller took the floor."""

    kind: ClassVar[str] = "ControllerStarted"
    at: int
    version: str


@value
class ControllerStopped:
    """The controller left the floor on purpose."""

    kind: ClassVar[str] = "ControllerStopped"
    at: int


@value
class LinkLost:
    """Asterisk's manager interface is gone: no new offers."""

    kind: ClassVar[str] = "LinkLost"
    at: int


@value
class LinkRestored:
    """Asterisk's manager interface is back, and its state has been read."""

    kind: ClassVar[str] = "LinkRestored"
    at: int
