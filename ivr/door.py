"""Who may speak to the controller at the AGI port: only Asterisk, and only about channels that exist.

Any program on the machine can connect there. So a connection is heard only if all of this holds, in this order:

- **address**: it comes from this machine: loopback, or the address at which the controller listens;
- **secret**: its last argument is the secret that the dialplan was rendered with (`hotline.machine.render`). It is an
  argument and no part of the address, because Asterisk writes the address into its log when it cannot connect;
- **channel**: AMI has told of the channel that it speaks for. AGI may come first, by some milliseconds: it is waited
  for. While AMI cannot say (the link is down, or its list has not been read yet) the secret is enough. Callers then get
  their places back, and no offer is made before the list is there: a call that is not in it is ended
  (`telephony.cel.complete`).

Whoever has not shown the secret yet is *unknown*. There are few of those at a time, and they have little time: Asterisk
says everything in its first milliseconds. If too many come, the oldest one of the largest crowd goes. So Asterisk gets
in, however many others knock.

A refused connection is closed without an answer. Asterisk's dialplan takes that as "no controller": a caller who was
refused by mistake hears music, tries again, and reaches a person at last.
"""

import asyncio
import ipaddress
import secrets
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

import structlog

from ivr.connection import Connection, GoneError

log = structlog.get_logger(__name__)

Seen: TypeAlias = Callable[[str], bool | None]
"""Whether AMI has told of the channel with this Uniqueid; None while nobody can say."""

LOOK_AGAIN = 0.01
"""Seconds between two looks for a channel that AMI has not told of yet."""

_LINES = 20
_LINES_FOR = 60.0
"""At most so many lines about refusals in so many seconds: a flood must not fill the disk."""


class Door:
    """Lets connections in. `let_in` at once, then `admit`; `leave` when one is over.

    `own_address`: where the server listens. `silence_limit`: seconds to show the secret. `patience`: seconds to wait
    for AMI. `most_unknown`: connections that have not shown the secret. `refused` is told why each time.
    """

    def __init__(
        self,
        secret: str,
        own_address: str,
        *,
        seen: Seen,
        refused: Callable[[str], object],
        silence_limit: float,
        patience: float,
        most_unknown: int,
    ) -> None:
        self._secret = secret.encode()
        self._own_address = own_address
        self._seen = seen
        self._refused = refused
        self._silence_limit = silence_limit
        self._patience = patience
        self._most_unknown = most_unknown
        self._unknown: dict[Connection, str] = {}
        self._told: deque[float] = deque(maxlen=_LINES)
        self._untold = 0

    @property
    def unknown(self) -> int:
        """How many connections have not shown the secret."""
        return len(self._unknown)

    def let_in(self, connection: Connection) -> bool:
        """Whether a new connection may speak at all; otherwise it has been closed."""
        host = connection.host
        if host != self._own_address and not _is_loopback(host):
            self._refuse(connection, "address")
            connection.abort("refused")
            return False
        if len(self._unknown) >= self._most_unknown:
            self._make_room()
        self._unknown[connection] = host
        return True

    async def admit(self, connection: Connection) -> Mapping[str, str] | None:
        """What Asterisk says of the call, without the secret; None when it is not believed. Raises `GoneError`."""
        environment = dict(await connection.environment(self._silence_limit))
        self._unknown.pop(connection, None)
        script = environment.get("agi_network_script", "")
        if not secrets.compare_digest(_last_argument(environment).encode(), self._secret):
            self._refuse(connection, "secret", script)
            return None
        if not await self._exists(environment.get("agi_uniqueid", ""), connection):
            self._refuse(connection, "channel", script)
            return None
        return environment

    def leave(self, connection: Connection) -> None:
        """The connection is over."""
        self._unknown.pop(connection, None)

    async def _exists(self, channel: str, connection: Connection) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        while self._seen(channel) is False:
            if connection.gone:
                raise GoneError(connection.gone)
            if loop.time() >= until:
                return False
            await asyncio.sleep(LOOK_AGAIN)
        return True

    def _make_room(self) -> None:
        ((crowd, _),) = Counter(self._unknown.values()).most_common(1)
        oldest = next(one for one, host in self._unknown.items() if host == crowd)
        del self._unknown[oldest]
        self._refuse(oldest, "crowded")
        oldest.abort("crowded")

    def _refuse(self, connection: Connection, why: str, script: str = "") -> None:
        """Count it and say so: never what the stranger said, but for the name of a script of ours."""
        self._refused(why)
        now = asyncio.get_running_loop().time()
        if len(self._told) == _LINES and now - self._told[0] < _LINES_FOR:
            self._untold += 1
            return
        self._told.append(now)
        log.warning(
            "agi.refused",
            why=why,
            peer=connection.peer,
            script=script if script in SCRIPTS else "",
            unlogged=self._untold,
            hint=_HINTS[why],
        )
        self._untold = 0


SCRIPTS = frozenset(
    {
        "call",
        "agent",
        "colleague",
        "callback",
        "silent",
        "recording",
        "party",
        "survey",
        "hand_over",
        "supervise",
        "alert",
        "harassing",
    }
)
"""The scripts of the dialplan: what follows the port in its AGI addresses."""

_HINTS = {
    "address": "only this machine may connect",
    "secret": "not from the dialplan; after an upgrade, restart `hotline up`, which renders it again",
    "channel": "Asterisk's manager interface has not told of this channel",
    "crowded": "too many connections that say nothing",
}

REASONS = tuple(_HINTS)
"""Why connections are refused: what `refused` is told."""


def _last_argument(environment: dict[str, str]) -> str:
    """Take the last argument out."""
    last = 0
    while f"agi_arg_{last + 1}" in environment:
        last += 1
    return environment.pop(f"agi_arg_{last}", "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
