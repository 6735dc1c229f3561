"""The keys by which an agent pauses the recording of a talk and resumes it (asterisk-conf/features.conf).

For the moment of the answer Asterisk takes the agent out of the talk, so only the agent hears it: two short tones for
paused, one for recording, both after Asterisk has confirmed it; a sentence when it did not work.
"""

import re
from collections.abc import Awaitable, Callable, Mapping

import structlog

from facts.numbers import AGENT_NUMBER
from ivr import script
from ivr.connection import Connection

log = structlog.get_logger(__name__)

Record = Callable[[str, str], Awaitable[str]]
"""`record(agent, action)`, `pause` or `resume` → empty when it is done, or why not."""

TONES = {"pause": ("!620/120,!0/80,!620/120,!0/2000", 0.34), "resume": ("!950/160,!0/2000", 0.18)}
"""What the agent hears when it is done (Asterisk's notation), and the seconds that it takes."""

_AGENT = re.compile(rf"PJSIP/({AGENT_NUMBER.pattern})-[0-9a-f]{{8}}")


async def serve_recording(
    connection: Connection, environment: Mapping[str, str], *, record: Record
) -> None:
    """Carry out one key: `agi_arg_1` is the action, `agi_channel` the agent's. Raises `GoneError`."""
    action = environment.get("agi_arg_1", "")
    agent = agent_of(environment)
    why = "not an agent's talk"
    if agent and action in TONES:
        try:
            why = await record(agent, action)
        except Exception:
            log.exception("recording.key_failed", agent=agent, action=action)
            why = "failed"
    log.info(
        "recording.key",
        agent=agent or "?",
        action=action[:8],
        refused=why,
    )
    if why:
        await connection.play(script.REFUSED)
        return
    tones, seconds = TONES[action]
    await connection.ask("EXEC Playtones", tones)
    await connection.ask("EXEC Wait", f"{seconds}")
    await connection.ask("EXEC StopPlaytones", "")


def agent_of(environment: Mapping[str, str]) -> str:
    """The agent who pressed a key in their talk; empty for anybody else."""
    found = _AGENT.fullmatch(environment.get("agi_channel", ""))
    return found[1] if found is not None else ""
