"""The recording notice as music, so that phones can ring meanwhile (a queue's `offer_in_notice`): what is left of it.

Asterisk's music stops with a `Dial` that nobody answered, and goes on where it stopped. Time in which it stands still
does not count.
"""

from collections.abc import Callable

LATER = 0.1
"""Seconds after which the notice is surely over: Asterisk needs a moment each time it starts its music."""


class Notice:
    """`music` is the class of music that begins with the notice, which `lasts` seconds; `now` is a clock in seconds."""

    def __init__(self, music: str, lasts: float, now: Callable[[], float]) -> None:
        self.music = music
        self._now = now
        self._rest = lasts + LATER
        self._since: float | None = None

    def left(self) -> float:
        """Seconds that the caller has still to hear; 0 when the notice is over."""
        since = self._since
        return max(0.0, self._rest - (self._now() - since if since is not None else 0.0))

    def play(self) -> None:
        """The music plays from now on."""
        self._rest, self._since = self.left(), self._now()

    def stop(self) -> None:
        """The music stands still."""
        self._rest, self._since = self.left(), None
