"""Whether calls can be recorded now: it is tried every two seconds, so that it is known within seconds when not."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from base.background import spawn
from base.settings import Settings
from recorder import spool

log = structlog.get_logger(__name__)

EVERY: Final = 2.0
"""Seconds between two tries."""
PATIENCE: Final = 3.0
"""Seconds after which a disk that does not answer counts as away."""


class TapeWatch:
    """Tries the folder into which Asterisk records. `why`: a sentence while it cannot be written, else empty.

    `resumed` is called when it can be written again.
    """

    def __init__(self, settings: Settings, resumed: Callable[[], object]) -> None:
        self.why = ""
        self._settings = settings
        self._resumed = resumed
        self._found = ""
        self._try: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Try for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Try once. A try that hangs is waited for, and no second one begun: it would hang, too."""
        if self._try is None:
            self._try = spawn(self._write(), "try to record")
        await asyncio.wait({self._try}, timeout=PATIENCE)
        if self._try.done():
            self._try = None
            self._know(self._found)
        else:
            self._know(f"{self._settings.spool_dir} does not answer")

    async def _write(self) -> None:
        self._found = await asyncio.to_thread(spool.why_not, self._settings.spool_dir)

    def _know(self, why: str) -> None:
        before, self.why = self.why, why
        if why and why != before:
            log.error("recording.blocked", on=True, why=why, new_callers=self._new_callers())
        if before and not why:
            log.info("recording.blocked", on=False)
            self._resumed()

    def _new_callers(self) -> str:
        """What becomes of them, for the log: a number stands in the settings, not here."""
        setting = self._settings.without_recording
        return "sent outside" if setting.isdigit() else setting
