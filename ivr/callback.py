"""One attempt of a callback: the agent has picked up, and the citizen is dialled on the agent's channel.

`Dial` runs inside Asterisk, so that a talk outlives this program. Its options: `i` no forwarding by the citizen's
phone, `I` no change of the agent's display. Ringing and the operator's own sounds reach the agent as they come. Without
`g` a `Dial` returns -1 when a talk is over or one side has hung up; 0 means no answer. Either way there is nothing left
to do here: the dialplan hangs up, and AMI reports what happened. When the agent transfers the citizen (SIP REFER), the
citizen leaves this `Dial` and becomes a call of their own.
"""

from collections.abc import Mapping
from typing import Protocol

import structlog

from facts.ids import is_attempt
from facts.numbers import dialable
from facts.terms import CallId
from ivr.connection import Connection
from ivr.session import YieldedAgents
from ivr.way_out import WaysOut, dial_out

log = structlog.get_logger(__name__)


class CitizenDial(Protocol):
    """Which citizen to dial, under which of the hotline's numbers, for how many seconds."""

    @property
    def number(self) -> str:
        """The citizen's number."""

    @property
    def caller(self) -> str:
        """The number that the citizen sees."""

    @property
    def rings(self) -> float:
        """How long the citizen's phone rings, in seconds."""

    @property
    def queue(self) -> str:
        """The task's queue."""


class Callbacks(YieldedAgents, Protocol):
    """What the sessions need of `telephony.outbound.Outbound`."""

    def attempt(self, call: CallId) -> CitizenDial | None:
        """What to dial for this attempt, or None when it is not wanted (any more)."""


async def serve_callback(
    connection: Connection,
    environment: Mapping[str, str],
    *,
    callbacks: Callbacks,
    ways: WaysOut | None = None,
) -> None:
    """Dial the citizen of the attempt that the agent's channel is named after. Raises `GoneError`.

    The citizen's number never comes from the dialplan, only from the controller itself.
    """
    call = environment.get("agi_uniqueid", "")
    attempt = callbacks.attempt(call) if is_attempt(call) else None
    if attempt is None or not dialable(attempt.number):
        log.warning("callback.not_wanted", call_id=call[:100])
        return
    log.info("callback.dialling", call_id=call)
    # The citizen sees the hotline's number, and nothing of what the agent's display showed. Only the citizen's channel
    # inherits the variables with `_`: after a transfer it is a call of its own and still knows where it comes from.
    await connection.ask(
        "EXEC MSet",
        f"CALLERID(num)={attempt.caller},CALLERID(name)=,_HL_ATTEMPT={call},"
        f"_HL_CITIZEN={attempt.number},_HL_QUEUE={attempt.queue}",
    )
    reply = await dial_out(
        connection,
        call,
        attempt.number,
        attempt.caller,
        f"{attempt.rings:g},iI",
        ways=ways,
        wanted=lambda: callbacks.attempt(call),
    )
    log.info("callback.dialled", call_id=call, result=reply.result)
