"""A harassing caller (R18, R42): the scripted phrase, then the end of the call.

An agent presses `*4`, or a program asks for it (asterisk-conf/features.conf): Asterisk takes the caller out of the talk
and runs `agi://…/harassing` on the caller's channel. The agent is released at once, into wrap-up; the caller hears the
phrase alone, in Mandarin as the rule has it. If this program dies meanwhile, the dialplan hangs up; if it was not
there, the dialplan says the phrase.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import structlog

from ivr import script
from ivr.connection import Connection

log = structlog.get_logger(__name__)

Marked: TypeAlias = Callable[[str, str], Awaitable[None]]
"""`marked(channel, uniqueid)`: the call of this caller is harassing and is being ended; the agent is to be released."""


async def serve_harassing(
    connection: Connection, environment: Mapping[str, str], *, marked: Marked
) -> None:
    """Say the phrase on the caller's channel; then the dialplan hangs up. Raises `GoneError` when the caller does."""
    uniqueid = environment.get("agi_uniqueid", "")
    log.info("harassing.asked", call_id=uniqueid)
    try:
        await marked(environment.get("agi_channel", ""), uniqueid)
    except Exception:
        log.exception("harassing.not_marked", call_id=uniqueid, effect="the call is ended anyway")
    for sound in script.HARASSING:
        await connection.play(sound)
