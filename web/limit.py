"""Rate limits: so many requests in so many seconds, by key. In memory: one process serves the screens. Pure."""

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

SECOND: Final = 1_000_000
MOST_KEYS: Final = 10_000
"""Keys that one limit remembers. The one that took least lately is forgotten first."""


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
        if count:
            self._keep(key, left - count, now)
        return 0.0

    def give_back(self, key: str, now: int) -> None:
        """Put one back that was taken."""
        if key in self._left:
            self._keep(key, min(self.most, self._now(key, now) + 1), now)

    def clear(self, key: str) -> None:
        """Forget what the key has taken."""
        self._left.pop(key, None)

    def __len__(self) -> int:
        return len(self._left)

    def _now(self, key: str, now: int) -> float:
        left, at = self._left.get(key, (float(self.most), now))
        return min(self.most, left + max(0, now - at) / SECOND * self.most / self.seconds)

    def _keep(self, key: str, left: float, now: int) -> None:
        self._left[key] = (left, now)
        self._left.move_to_end(key)
        if len(self._left) > MOST_KEYS:
            self._left.popitem(last=False)


class SignIns:
    """Tries to sign in by password: guessing is slow, and no one can lock another person out.

    A try counts for the account at the address, for the account, and for the address. A refused try counts for nothing,
    so one address can use up only a small part of an account's tries. A person who has signed in from the address
    before is held only by the first limit: an attack from many addresses does not stop them.
    """

    def __init__(self) -> None:
        self._at_address = Limit(10, 600)
        self._of_account = Limit(100, 600)
        self._from_address = Limit(50, 600)
        self._known: OrderedDict[str, None] = OrderedDict()

    def begin(self, account: str, address: str, now: int) -> float:
        """Count a try at `now` (microseconds) before the password is checked. Gives 0, or the seconds to wait.

        Counting first lets many tries at once get no further than one after the other.
        """
        kept = self._kept(account, address)
        wait = max(limit.take(key, now, 0) for limit, key in kept)
        if not wait:
            for limit, key in kept:
                limit.take(key, now)
        return wait

    def succeeded(self, account: str, address: str, now: int) -> None:
        """The password was right: the try counts for nothing, and the address is known from now on."""
        for limit, key in self._kept(account, address):
            limit.give_back(key, now)
        self.know([(account, address)])
        self._at_address.clear(_pair(account, address))

    def know(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Remember accounts and addresses that have signed in, the newest last."""
        for account, address in pairs:
            key = _pair(account, address)
            self._known[key] = None
            self._known.move_to_end(key)
            if len(self._known) > MOST_KEYS:
                self._known.popitem(last=False)

    def sizes(self) -> list[int]:
        """How many keys are remembered, by limit."""
        return [
            len(one)
            for one in (self._at_address, self._of_account, self._from_address, self._known)
        ]

    def _kept(self, account: str, address: str) -> list[tuple[Limit, str]]:
        pair = _pair(account, address)
        kept = [(self._at_address, pair)]
        if pair not in self._known:
            kept += [(self._of_account, account), (self._from_address, place(address))]
        return kept


def place(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network that an IPv6 client has for itself."""
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(read, ipaddress.IPv6Address):
        if read.ipv4_mapped is not None:
            return str(read.ipv4_mapped)
        return str(ipaddress.ip_network((int(read) >> 64 << 64, 64)))
    return str(read)


def _pair(account: str, address: str) -> str:
    return f"{account} {place(address)}"


@dataclass
class Limits:
    """Every limit of the API."""

    requests: Limit = field(default_factory=lambda: Limit(600, 60))
    """Of one session or token."""
    sign_ins: SignIns = field(default_factory=SignIns)
    """Passwords."""
    new_password: Limit = field(default_factory=lambda: Limit(10, 600))
    """Tries of one session to change its password."""
    wrong_tokens: Limit = field(default_factory=lambda: Limit(50, 600))
    """Of one address. Right ones always pass: a token cannot be guessed, this only spares the log."""
    looks: Limit = field(default_factory=lambda: Limit(1, 3600))
    """Looks of one session at the live state that the audit log gets: screens ask again and again."""
