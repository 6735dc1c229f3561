"""A call leaves: by the first trunk, and by the next one if that trunk does not take it.

Only a trunk that fails is left for another: it did not answer, or it answered 5xx, 408, 401 or 407 before anything was
heard. Busy, no answer, a wrong or refused number (486, 480, 404, 603, …) is the far end's answer by whatever trunk, and
what has rung is never dialled again. All of it is one attempt: `Dial` runs on the same channel, only the first leg is
the beginning of a callback (`telephony.channels`), and the gate counts one.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from facts.endpoints import OUTBOUND
from facts.terms import CallId
from ivr.agi import AgiReply
from ivr.connection import Connection

log = structlog.get_logger(__name__)

BEGIN_WITHIN = 15.0
"""Seconds after which no other trunk is tried: whoever waits has waited for long enough."""

_TRUNK_FAILS = re.compile(r"SIP (?:5[0-9]{2}|40[178])\b")
_CHANNEL = re.compile(r"PJSIP/[A-Za-z0-9-]+")


class Way(Protocol):
    """A trunk for a call that leaves."""

    @property
    def name(self) -> str:
        """The trunk's name; empty for the only one."""

    @property
    def endpoint(self) -> str:
        """Its endpoint."""

    @property
    def shows(self) -> str:
        """The number that the call shows there, if another than its own."""


class WaysOut(Protocol):
    """What is needed of `telephony.trunks.Trunks`."""

    def ways(self, number: str) -> Sequence[Way]:
        """The ways out of a call that shows this number of the hotline's, the best first. At least one."""

    def begins(self, call: CallId, way: Any) -> None:
        """The call tries to leave by this way, and others are left."""

    def over(self, call: CallId) -> bool:
        """That leg is over. Returns whether it was hung up because the trunk had died."""


async def dial_out(
    connection: Connection,
    call: CallId,
    number: str,
    shown: str,
    how: str,
    *,
    ways: WaysOut | None,
    wanted: Callable[[], object] = lambda: True,
) -> AgiReply:
    """Dial an outside number, and give the answer of the last `Dial`. Raises `GoneError`.

    `shown`: the hotline's number that decides which trunk comes first. `how`: seconds and options of `Dial`. Before
    another trunk is tried, `wanted` says whether the number is still to be dialled.
    """
    if ways is None:
        return await connection.ask("EXEC Dial", f"PJSIP/{number}@{OUTBOUND},{how}", limit=None)
    loop = asyncio.get_running_loop()
    latest = loop.time() + BEGIN_WITHIN
    *others, last = ways.ways(shown)
    for way in others:
        await connection.ask("EXEC HangupCauseClear")
        ways.begins(call, way)
        cut = False
        try:
            reply = await _dial(connection, number, way, how)
        finally:
            cut = ways.over(call)
        if reply.result != "0" or not (why := await _fails(connection, cut)):
            return reply
        if loop.time() > latest or not wanted():
            return reply
        log.warning("trunk.passed_over", call_id=call, trunk=way.name, why=why)
    return await _dial(connection, number, last, how)


async def _dial(connection: Connection, number: str, way: Way, how: str) -> AgiReply:
    shown = f"f({way.shows})" if way.shows else ""
    target = f"PJSIP/{number}@{way.endpoint},{how}{shown}"
    return await connection.ask("EXEC Dial", target, limit=None)


async def _fails(connection: Connection, cut: bool) -> str:
    """Why the trunk failed in the `Dial` that is over, in a word or two; empty when it did not."""
    heard = await connection.ask(
        "GET FULL VARIABLE", "${DIALSTATUS} ${HANGUPCAUSE_KEYS()} ${RINGTIME_MS}${PROGRESSTIME_MS}"
    )
    status, _, rest = heard.data.partition(" ")
    channel, _, rang = rest.partition(" ")
    if rang or status in ("ANSWER", "CANCEL"):
        return ""
    if cut:
        return "no answer"
    if not channel:
        return "not reached" if status == "CHANUNAVAIL" else ""
    if not _CHANNEL.fullmatch(channel):
        return ""
    told = await connection.ask("GET FULL VARIABLE", f"${{HANGUPCAUSE({channel},tech)}}")
    found = _TRUNK_FAILS.match(told.data)
    return found[0] if found else ""
