"""An agent's keys within a talk that bring others in (asterisk-conf/features.conf).

`*3` asks for a number, which ends with `#`, and brings that party in at once. A `*` before the number begins a
consultation; then `*3` brings all together. `*6` takes the last one out again. `*110`, `*119`, `*120` and `*122` call
an emergency service at once (R16). For the moment of the key Asterisk takes the agent out of the talk, so only they
hear the answer.
"""

import re
from collections.abc import Awaitable, Callable, Mapping

import structlog

from facts.numbers import AGENT_NUMBER
from ivr import script
from ivr.connection import Connection

log = structlog.get_logger(__name__)

ByKey = Callable[[str, str, str], Awaitable[str]]
"""`by_key(agent, action, number)` → empty when it is done, `number` when one is to be dialled, or why not."""

WANTED = "number"
"""The answer of `ByKey` when the agent has to dial a number."""

LONGEST = 15
"""Digits of a number, at most."""
FIRST_DIGIT, NEXT_DIGIT = "8000", "5000"
"""Milliseconds that an agent has for the first digit, and for each further one."""

DIAL_TONE, DONE = "425/400", ("!620/120,!0/80,!620/120,!0/2000", "0.34")
"""What the agent hears before the first digit, and when it is done (Asterisk's notation; seconds)."""

_ACTION = re.compile(r"add|drop|1[0-9]{2}")
_AGENT = re.compile(rf"PJSIP/({AGENT_NUMBER.pattern})-[0-9a-f]{{8}}")
_HASH, _STAR = ord("#"), ord("*")


async def serve_bring_in(
    connection: Connection, environment: Mapping[str, str], *, by_key: ByKey
) -> None:
    """Carry out one key: `agi_arg_1` is `add`, `drop` or an emergency service. Raises `GoneError`."""
    action = environment.get("agi_arg_1", "")
    found = _AGENT.fullmatch(environment.get("agi_channel", ""))
    why = "not an agent's talk"
    if found is not None and _ACTION.fullmatch(action):
        why = await _try(by_key, found[1], action, "")
        if why == WANTED:
            action, digits = await _digits(connection)
            why = await _try(by_key, found[1], action, digits) if digits else "no number"
    log.info(
        "party.key", agent=found[1] if found is not None else "?", action=action[:8], refused=why
    )
    if why:
        await connection.play(script.REFUSED)
        return
    tones, seconds = DONE
    await connection.ask("EXEC Playtones", tones)
    await connection.ask("EXEC Wait", seconds)
    await connection.ask("EXEC StopPlaytones", "")


async def _try(by_key: ByKey, agent: str, action: str, number: str) -> str:
    try:
        return await by_key(agent, action, number)
    except Exception:
        log.exception("party.key_failed", agent=agent, action=action)
        return "failed"


async def _digits(connection: Connection) -> tuple[str, str]:
    """What the agent dials, up to `#` or a pause: `consult` if it begins with `*`, else `add`; and the digits."""
    await connection.ask("EXEC Playtones", DIAL_TONE)
    action, digits = "add", ""
    while len(digits) < LONGEST:
        reply = await connection.ask(
            "WAIT FOR DIGIT", NEXT_DIGIT if digits else FIRST_DIGIT, limit=15.0
        )
        code = int(reply.result) if reply.result.isdecimal() else 0
        if code in (0, _HASH):
            break
        if not digits:
            await connection.ask("EXEC StopPlaytones", "")
            action = "consult" if code == _STAR else action
        digits += chr(code) if chr(code).isdigit() else ""
    await connection.ask("EXEC StopPlaytones", "")
    return action, digits
