"""The red button on an agent's phone (R17): a key in the talk (asterisk-conf/features.conf).

For the moment of the answer Asterisk takes the agent out of the talk, so only the agent hears it: three short tones
when the alert is raised, a sentence when it is not.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from ivr import script
from ivr.connection import Connection
from ivr.recording import agent_of

log = structlog.get_logger(__name__)

Alert = Callable[[str], Awaitable[str]]
"""`alert(agent)` → empty when it is raised, or why not."""

TONES = ("!1400/90,!0/60,!1400/90,!0/60,!1400/90,!0/2000", 0.4)
"""What the agent hears when it is raised, and the seconds that it takes."""


async def serve_alert(
    connection: Connection, environment: Mapping[str, str], *, alert: Alert
) -> None:
    """Raise an alert: `agi_channel` is the agent's. Raises `GoneError`; the alert is raised all the same."""
    agent = agent_of(environment)
    why = "not an agent's talk"
    if agent:
        try:
            why = await alert(agent)
        except Exception:
            log.exception("alert.key_failed", agent=agent)
            why = "failed"
    log.info("alert.key", agent=agent or "?", refused=why)
    if why:
        await connection.play(script.REFUSED)
        return
    tones, seconds = TONES
    await connection.ask("EXEC Playtones", tones)
    await connection.ask("EXEC Wait", f"{seconds}")
    await connection.ask("EXEC StopPlaytones", "")
