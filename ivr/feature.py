"""Agents' feature codes: `*11` ready, `*12` pause (`*12N` with a reason), `*13` out, each with a spoken answer.

When this program does not set `HL_DONE`, the dialplan itself says "that did not work". So an agent hears it even when
no controller runs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from facts.numbers import AGENT_NUMBER
from ivr import script
from ivr.connection import Connection

log = structlog.get_logger(__name__)

Feature = Callable[[str, str, str], Awaitable[str]]
"""`feature(agent, action, key)` → `"ok"`, or why not; `key` is the digit after `*12`, or empty."""

FEATURE_LIMIT = 5.0
"""Seconds that carrying out a feature code may take."""


async def serve_agent(
    connection: Connection, environment: Mapping[str, str], *, feature: Feature
) -> None:
    """Carry out one feature code: `agi_arg_1` is the endpoint, `agi_arg_2` the action, `agi_arg_3` the pause key.

    Raises `GoneError` when the agent has hung up before the answer. The request is carried out anyway.
    """
    agent, action, key = (environment.get(f"agi_arg_{n}", "") for n in (1, 2, 3))
    answer = await _carry_out(agent, action, key, feature)
    log.info(
        "feature.used",
        agent=agent if AGENT_NUMBER.fullmatch(agent) else "?",
        action=action[:8],
        answer=answer,
    )
    if answer == "ok":
        await connection.ask("SET VARIABLE", "HL_DONE", "1")
        await connection.play(script.confirmation(action))


async def _carry_out(agent: str, action: str, key: str, feature: Feature) -> str:
    """What came of it: `ok`, or why not."""
    if not AGENT_NUMBER.fullmatch(agent):
        return "not an agent"
    if action not in script.ACTIONS:
        return "no such action"
    try:
        async with asyncio.timeout(FEATURE_LIMIT):
            return await feature(agent, action, key)
    except TimeoutError:
        log.error("feature.late", agent=agent, action=action)
    except Exception:
        log.exception("feature.failed", agent=agent, action=action)
    return "failed"
