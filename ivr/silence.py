"""A caller who says nothing (R20): the phrase at most three times, until the caller speaks; then the farewell.

It begins in one of two ways. An agent who hears no one presses `*0` (asterisk-conf/features.conf): Asterisk takes the
caller out of the talk and runs `agi://…/silent` on the caller's channel, while the agent hears music. If the caller
speaks, the connection is closed and Asterisk connects the caller to the same agent again. Otherwise the caller is hung
up, and the talk ends. The agent need not wait: after the agent's hang-up Asterisk goes on asking. If the caller speaks
then, or in the moment in which the agent hangs up, the caller waits for the next agent at the old place (the dialplan,
by `HL_SILENT`).

In a callback the citizen is asked in the same way, but waits for nobody after that.

Or, with a queue's `detect_silence`, the session asks before it queues a caller who has said nothing.

Measured with tones (tests/live/test_caller_side.py): `BackgroundDetect` hears a word while the phrase is said, as soon
as 0.3 s of silence follow it; `WaitForNoise` hears it in the pause after 0.2 s. Both count as silence what is below
Asterisk's threshold of 256, about 42 dB under the loudest. A sound that goes on without a gap is heard at the end of
the phrase. Where Asterisk cannot listen, no caller counts as silent.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from facts import CallerAsked, CallerFound, CallSilent, Fact
from facts.terms import CallId
from facts.times import SECOND
from ivr import script
from ivr.connection import PLAY_LIMIT, Connection
from ivr.phrases import MANDARIN, in_language
from ivr.reception import Receive

log = structlog.get_logger(__name__)

TIMES = 3
"""How often the phrase is said (003 六(五)1: 重复三遍)."""
PAUSE = 3.0
"""Seconds that the caller has for an answer each time."""

LASTS = 40
"""Seconds within which everything is asked and the farewell is over. With today's prompts it takes 23."""
COMES_BACK = 2
"""Seconds after the caller's first word: an agent who hangs up within them has not heard the caller."""

_WORD = 150  # milliseconds of sound that are a word, and no click
_AFTER_WORD = 300  # milliseconds of silence by which a word is over
_NOISE = 200  # milliseconds of sound that end a pause


class SilenceDesk(Protocol):
    """What the silent caller's side needs of `acd.desk.Desk`."""

    def report(self, *facts: Fact) -> None:
        """Report facts."""


async def serve_silent(
    connection: Connection,
    environment: Mapping[str, str],
    *,
    desk: SilenceDesk,
    clock: Callable[[], int],
    receive: Receive,
    call_of: Callable[[str], CallId],
) -> None:
    """Carry out an agent's `*0`; `agi_arg_1` is the hotline's number. Raises `GoneError` when the caller hangs up.

    `call_of`: the call of the citizen whose channel has this Uniqueid; in a callback that is the attempt.
    """
    call = call_of(environment.get("agi_uniqueid", ""))
    language = receive(environment.get("agi_arg_1", ""), "", clock()).language
    log.info("silence.asked", call_id=call)
    desk.report(CallerAsked(clock(), call))
    # The dialplan reads it: an agent who hangs up before this time has not heard the caller. It is set first, so that
    # it holds even if this program dies.
    await connection.ask("SET VARIABLE", "HL_SILENT", str(clock() // SECOND + LASTS))
    if await speaks(connection, language):
        desk.report(CallerFound(clock(), call))
        await connection.ask("SET VARIABLE", "HL_SILENT", str(clock() // SECOND + COMES_BACK))
        return
    desk.report(CallSilent(clock(), call))
    for sound in script.SILENT_FAREWELL:
        await connection.play(in_language(sound, language))
    await connection.ask("HANGUP")


async def speaks(connection: Connection, language: str = MANDARIN, pause: float = PAUSE) -> bool:
    """Say the phrase until the caller speaks, three times at most. Gives whether the caller did. Raises `GoneError`."""
    (phrase,) = script.SILENT_PHRASE
    sound = in_language(phrase, language)
    for _ in range(TIMES):
        await connection.ask("SET VARIABLE", "TALK_DETECTED", "")
        detect = f"{sound},{_AFTER_WORD},{_WORD}"
        reply = await connection.ask("EXEC BackgroundDetect", detect, limit=PLAY_LIMIT)
        word = await connection.ask("GET VARIABLE", "TALK_DETECTED")
        if reply.result != "0" or word.data:
            return True
        if await hears(connection, pause):
            return True
    return False


async def hears(connection: Connection, seconds: float) -> bool:
    """Listen for a voice. Also true when Asterisk cannot listen. Raises `GoneError`."""
    listen = f"{_NOISE},1,{max(1, round(seconds))}"
    await connection.ask("EXEC WaitForNoise", listen, limit=seconds + PLAY_LIMIT)
    status = await connection.ask("GET VARIABLE", "WAITSTATUS")
    if status.data not in {"NOISE", "TIMEOUT"}:
        log.error(
            "silence.deaf", hint="Asterisk lacks WaitForNoise: see asterisk-conf/modules.conf"
        )
    return status.data != "TIMEOUT"
