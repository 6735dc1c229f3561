"""An agent calls a colleague, to ask something or to transfer a citizen (attended: SIP REFER with Replaces, RFC 5589).

The colleague counts as busy before the phone rings, so that it never rings for two. `Dial` runs on the calling agent's
channel, so that the talk outlives this program. AMI reports its end. Its option `i`: no forwarding.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from facts import Fact, OwnCallEnded
from facts.numbers import AGENT_NUMBER
from ivr.connection import Connection, GoneError

log = structlog.get_logger(__name__)

RINGS = 30
"""Seconds that a colleague's phone rings."""


class ColleagueDesk(Protocol):
    """What a call to a colleague needs of `acd.desk.Desk`."""

    def report(self, *facts: Fact) -> None:
        """Report facts."""

    def call_colleague(self, agent: str, colleague: str) -> str:
        """Why the colleague cannot be rung now. If empty, the colleague counts as busy from now on."""


async def serve_colleague(
    connection: Connection,
    environment: Mapping[str, str],
    *,
    desk: ColleagueDesk,
    clock: Callable[[], int],
) -> None:
    """Ring a colleague: `agi_arg_1` is the endpoint that dialled, `agi_arg_2` what it dialled. Raises `GoneError`.

    Without `HL_DONE` the dialplan says that it did not work.
    """
    agent, colleague = (environment.get(f"agi_arg_{n}", "") for n in (1, 2))
    if not (AGENT_NUMBER.fullmatch(agent) and AGENT_NUMBER.fullmatch(colleague)):
        log.info("colleague.refused", why="not the number of an agent")
        return
    why = desk.call_colleague(agent, colleague)
    log.info("colleague.called", agent=agent, colleague=colleague, refused=why)
    if why:
        return
    try:
        await connection.ask("SET VARIABLE", "HL_DONE", "1")
        reply = await connection.ask("EXEC Dial", f"PJSIP/{colleague},{RINGS},iI", limit=None)
    except GoneError as gone:
        # A controller that stops leaves the talk to Asterisk. The next one reads from Asterisk who is on the phone.
        if str(gone) == "hangup":
            desk.report(OwnCallEnded(clock(), colleague))
        raise
    if reply.result == "0":
        # Not answered. AMI reports nothing about a phone that is not registered, so this is the only report.
        desk.report(OwnCallEnded(clock(), colleague))
