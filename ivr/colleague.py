"""An agent calls a colleague, to ask him something or to hand a citizen over to him (SIP REFER with Replaces).

The colleague counts as busy from before his phone is rung, so that it never rings for two. `Dial` runs on the calling
agent's channel, so that the talk outlives this program; its end is told by AMI. Its option `i`: no forwarding.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from facts import Fact, OwnCallEnded
from facts.numbers import AGENT_NUMBER
from ivr.connection import GoneError, Line

log = structlog.get_logger(__name__)

RINGS = 30
"""Seconds that a colleague's phone rings."""


class Desk(Protocol):
    """What is needed of `acd.desk.Desk`."""

    def post(self, *facts: Fact) -> None:
        """Take facts."""

    def call_colleague(self, agent: str, colleague: str) -> str:
        """Why the colleague cannot be rung now; when empty, he counts as busy from now on."""


async def serve_colleague(
    line: Line, environment: Mapping[str, str], *, desk: Desk, clock: Callable[[], int]
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
        await line.ask("SET VARIABLE", "HL_DONE", "1")
        reply = await line.ask("EXEC Dial", f"PJSIP/{colleague},{RINGS},iI", limit=None)
    except GoneError as gone:
        # A stopping controller leaves the talk to Asterisk; the next one reads who is on the phone.
        if str(gone) == "hangup":
            desk.post(OwnCallEnded(clock(), colleague))
        raise
    if reply.result == "0":
        # Unanswered; of a phone without registration AMI tells nothing.
        desk.post(OwnCallEnded(clock(), colleague))
