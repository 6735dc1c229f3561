"""One attempt of a callback: the agent has picked up, and the citizen is dialled on the agent's channel.

`Dial` runs inside Asterisk, so that a talk outlives this program. Its options: `i` no forwarding by the citizen's
phone, `I` no change of the agent's display. Ringing and the operator's own sounds reach the agent as they come. Without
`g` a `Dial` returns -1 when a talk is over or somebody has gone; 0 means that nobody answered. Either way there is
nothing left to do here: the dialplan hangs up, and what happened is told by AMI. A citizen whom the agent hands on
(SIP REFER) leaves this `Dial` as a call of his own.
"""

from collections.abc import Mapping
from typing import Protocol

import structlog

from facts.endpoints import OUTBOUND
from facts.ids import is_attempt
from facts.numbers import dialable
from facts.terms import CallId
from ivr.connection import Line
from ivr.session import InboundFirst

log = structlog.get_logger(__name__)


class Attempt(Protocol):
    """Whom to dial, under which number of the hotline's, for how many seconds."""

    @property
    def number(self) -> str:
        """The citizen's."""

    @property
    def caller(self) -> str:
        """What he sees."""

    @property
    def rings(self) -> float:
        """Seconds."""

    @property
    def queue(self) -> str:
        """The task's."""


class Callbacks(InboundFirst, Protocol):
    """What the sessions need of `telephony.outbound.Outbound`."""

    def attempt(self, call: CallId) -> Attempt | None:
        """The attempt of this name, None when it is not wanted (any more)."""


async def serve_callback(
    line: Line, environment: Mapping[str, str], *, callbacks: Callbacks
) -> None:
    """Dial the citizen of the attempt that the agent's channel is named after. Raises `GoneError`.

    His number never comes from the dialplan, only from the controller itself.
    """
    call = environment.get("agi_uniqueid", "")
    attempt = callbacks.attempt(call) if is_attempt(call) else None
    if attempt is None or not dialable(attempt.number):
        log.warning("callback.not_wanted", call_id=call[:100])
        return
    log.info("callback.dialling", call_id=call)
    # The citizen sees the hotline's number, and nothing of what the agent's display showed. What begins with `_` is
    # inherited by his line alone: should the agent hand him on, it becomes a call of its own and knows where from.
    await line.ask(
        "EXEC MSet",
        f"CALLERID(num)={attempt.caller},CALLERID(name)=,_HL_ATTEMPT={call},"
        f"_HL_CITIZEN={attempt.number},_HL_QUEUE={attempt.queue}",
    )
    target = f"PJSIP/{attempt.number}@{OUTBOUND}"
    reply = await line.ask("EXEC Dial", f"{target},{attempt.rings:g},iI", limit=None)
    log.info("callback.dialled", call_id=call, result=reply.result)
