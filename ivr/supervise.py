"""A supervisor's phone has dialled `*8` and an agent's number: may it listen to that agent's talk?

The controller says so, and the dialplan goes on (context `supervision`): it listens without this connection. Without
`HL_DONE` the dialplan says that it did not work.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from facts.numbers import AGENT_NUMBER
from ivr.connection import Connection

log = structlog.get_logger(__name__)

Supervise = Callable[[str, str, str, str], Awaitable[Mapping[str, str] | str]]
"""`supervise(channel's id, its name, supervisor, agent)` → the channel's variables, or why not."""


async def serve_supervise(
    connection: Connection, environment: Mapping[str, str], *, supervise: Supervise
) -> None:
    """Answer one `*8`: `agi_arg_1` is the endpoint that dialled, `agi_arg_2` the agent. Raises `GoneError`."""
    phone, agent = (environment.get(f"agi_arg_{n}", "") for n in (1, 2))
    if not (AGENT_NUMBER.fullmatch(phone) and AGENT_NUMBER.fullmatch(agent)):
        log.info("supervision.refused", why="not the number of an agent")
        return
    leg, channel = environment.get("agi_uniqueid", ""), environment.get("agi_channel", "")
    found = await supervise(leg, channel, phone, agent)
    if isinstance(found, str):
        log.info("supervision.refused", supervisor=phone, agent=agent, why=found)
        return
    for name, value in found.items():
        await connection.ask("SET VARIABLE", name, value)
    await connection.ask("SET VARIABLE", "HL_DONE", "1")
