"""Recordings that must be renewed: after a change in a talk the old MixMonitor loses voices (`telephony.switch`).

What cannot be done while the link to Asterisk is away is done when it is back, if that call still goes on.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import structlog

from base.background import spawn
from facts.ids import is_attempt
from facts.terms import CallId
from telephony.channels import LiveAttempt
from telephony.link import ActionRefused, LinkError

log = structlog.get_logger(__name__)


class Calls(Protocol):
    """What is needed of `telephony.channels.Calls`."""

    def attempt(self, call: CallId) -> LiveAttempt | None:
        """This attempt as it is now."""

    def caller_gone(self, call: CallId) -> bool:
        """Whether this call's citizen has left."""


class Switch(Protocol):
    """What is needed of `telephony.switch.Switch`. Both raise `LinkError`."""

    async def renew_recording(self, call: CallId, file: Path) -> None:
        """Go on recording the call with a new MixMonitor, at the end of the same file."""

    async def record_on(self, channel: str, file: Path, before: str = "") -> None:
        """Go on recording at the end of the file with this channel."""


class Renewals:
    """`spool`: the folder of raw files."""

    def __init__(self, calls: Calls, switch: Switch, spool: Path) -> None:
        self._calls = calls
        self._switch = switch
        self._spool = spool
        self._owed: dict[CallId, Callable[[], Awaitable[None]]] = {}

    def renew(self, call: CallId) -> None:
        """Renew the recording of this call. Returns at once."""
        file = self._file(call)
        self._begin(call, lambda: self._switch.renew_recording(call, file))

    def go_on(self, call: CallId, channel: str, before: str) -> None:
        """Record the call at this channel from now on, `before` at that one. Returns at once.

        Whoever is in a callback's talk is recorded at its agent's channel.
        """
        if (attempt := self._calls.attempt(call)) is not None:
            channel, before = attempt.channel, ""
        file = self._file(call)
        if not file.exists():
            # The recorder has put it away, and another one would take its place.
            log.error("recording.not_renewed", call_id=call, error="it is put away")
            return
        self._begin(call, lambda: self._switch.record_on(channel, file, before))

    def lives(self, call: CallId) -> bool:
        """Whether the channel is there at which this call is recorded: in a callback its agent's."""
        if is_attempt(call):
            return self._calls.attempt(call) is not None
        return not self._calls.caller_gone(call)

    def caught_up(self) -> None:
        """The link is back, and it is known what exists in Asterisk."""
        owed, self._owed = self._owed, {}
        for call, work in owed.items():
            if self.lives(call) and self._file(call).exists():
                self._begin(call, work)

    def _file(self, call: CallId) -> Path:
        return self._spool / f"{call}.raw"

    def _begin(self, call: CallId, work: Callable[[], Awaitable[None]]) -> None:
        spawn(self._do(call, work), "recording renewed")

    async def _do(self, call: CallId, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ActionRefused as refusal:
            log.error("recording.not_renewed", call_id=call, error=str(refusal))
        except LinkError as error:
            self._owed[call] = work
            log.warning("recording.renewed_later", call_id=call, error=str(error))
