"""Counts guesses at passwords: sign-ins that Asterisk refused, from its security events. Pure.

A wrong password is a ChallengeResponseFailed or an InvalidPassword. An account that does not exist is an
InvalidAccountID, which Asterisk tells of from the fifth on within five seconds. None of them is a fact of a call.
"""

import re
from collections import Counter
from collections.abc import Mapping

from facts.times import SECOND

GUESS_EVENTS = frozenset({"ChallengeResponseFailed", "InvalidPassword", "InvalidAccountID"})
"""Asterisk's security events of a sign-in that was refused."""

_COUNTED_FOR = 60
_MOST_ADDRESSES = 1000
_ADDRESS = re.compile(r"IPV[46]/\w+/([0-9a-fA-F.:]+)/\d+")


def guess(message: Mapping[str, str]) -> str:
    """The address whose SIP sign-in was refused, `?` for one that cannot be read; empty for any other event."""
    if message.get("Event") not in GUESS_EVENTS or message.get("Service") != "PJSIP":
        return ""
    found = _ADDRESS.fullmatch(message.get("RemoteAddress", ""))
    return found[1] if found else "?"


class Guesses:
    """The guesses of the last minute, however many they are. Times in microseconds."""

    def __init__(self) -> None:
        self._seconds: Counter[int] = Counter()
        self._addresses: dict[str, int] = {}

    def add(self, address: str, now: int) -> bool:
        """Count one guess. True when this address has not guessed for a minute, so that a log may name it once."""
        self._seconds[now // SECOND] += 1
        last = self._addresses.pop(address, None)
        self._addresses[address] = now
        if len(self._addresses) > _MOST_ADDRESSES:  # the one that has been quiet for longest
            del self._addresses[next(iter(self._addresses))]
        if len(self._seconds) > 2 * _COUNTED_FOR:
            self._forget(now)
        return last is None or now - last > _COUNTED_FOR * SECOND

    def count(self, now: int) -> int:
        """How many there were within the last minute."""
        self._forget(now)
        return self._seconds.total()

    def _forget(self, now: int) -> None:
        for second in [one for one in self._seconds if one <= now // SECOND - _COUNTED_FOR]:
            del self._seconds[second]
