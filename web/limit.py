"""Rate limits: so many requests in so many seconds, by key. In memory: one process serves the screens. Pure."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

SECOND: Final = 1_000_000
_MOST_KEYS: Final = 10_000


@dataclass
class Limit:
    """`most` within `seconds`, by key, as a bucket that refills evenly. `take` says how long to wait: 0 is go on."""

    most: int
    seconds: float
    _left: "OrderedDict[str, tuple[float, int]]" = field(default_factory=OrderedDict)

    def take(self, key: str, now: int, count: int = 1) -> float:
        """Take `count` from the key's bucket at `now` (microseconds). Gives 0, or the seconds until it would work.

        A `count` of 0 takes nothing and only asks whether one could be taken.
        """
        left = self._now(key, now)
        if left < max(count, 1):
            return (max(count, 1) - left) * self.seconds / self.most
        self._left[key] = (left - count, now)
        self._left.move_to_end(key)
        if len(self._left) > _MOST_KEYS:
            self._left.popitem(last=False)
        return 0.0

    def clear(self, key: str) -> None:
        """Forget what the key has taken."""
        self._left.pop(key, None)

    def _now(self, key: str, now: int) -> float:
        left, at = self._left.get(key, (float(self.most), now))
        return min(self.most, left + max(0, now - at) / SECOND * self.most / self.seconds)


@dataclass
class Limits:
    """Every limit of the API."""

    requests: Limit = field(default_factory=lambda: Limit(600, 60))
    """Of one session or token."""
    sign_in: Limit = field(default_factory=lambda: Limit(10, 600))
    """Wrong passwords for one account from one address."""
    sign_in_of_account: Limit = field(default_factory=lambda: Limit(100, 600))
    """Wrong passwords for one account from anywhere."""
    sign_in_from: Limit = field(default_factory=lambda: Limit(50, 600))
    """Wrong passwords and tokens from one address."""
