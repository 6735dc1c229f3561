"""The roster: who the agents are, and what each asked for last. Asterisk reads it through views.

A softphone can sign in as soon as its agent is in the roster, and no longer once the agent is out of it.
All times are microseconds UTC.
"""

import difflib
import secrets
import string
import unicodedata

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from agents import tables
from agents.model import Agent, Intent
from agents.signin import md5_cred
from facts.numbers import AGENT_NUMBER

LONGEST_NAME = 80
"""Characters, of any script; also of a reason for a pause."""
SHORTEST_PASSWORD = 12
"""Characters of a new password. Shorter ones of before go on working; `hotline check` names them."""
GENERATED_PASSWORD = 20
"""Characters of `generate_password`: 119 bits."""
LONGEST_PASSWORD = 128

_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class RosterError(Exception):
    """The roster refuses. The message says why, and is fit to be shown as it is."""


async def add(engine: AsyncEngine, number: str, name: str, password: str, at: int) -> None:
    """Add an agent, signed out. Only a digest of the password is kept (`agents.signin`).

    Raises `RosterError` for a number, name or password that cannot be used, and for a number that
    is taken.
    """
    _check_number(number)
    row = {
        "number": number,
        "name": _checked_text(name, "name"),
        "md5_cred": _checked_password(number, password),
        "password_length": len(password),
        "intent": Intent.OUT.value,
        "pause_reason": "",
        "intent_at": at,
        "added_at": at,
    }
    try:
        async with engine.begin() as connection:
            await connection.execute(insert(tables.agent).values(row))
    except IntegrityError as error:
        raise RosterError(
            f"There is an agent {number} already. Take another number, or remove that agent first."
        ) from error


async def remove(engine: AsyncEngine, number: str) -> None:
    """Remove an agent. The softphone can no longer sign in; a talk that goes on is not cut.

    Raises `RosterError` when there is no such agent.
    """
    async with engine.begin() as connection:
        done = await connection.execute(delete(tables.agent).where(tables.agent.c.number == number))
    if not done.rowcount:
        raise await _unknown(engine, number)


async def list_all(engine: AsyncEngine) -> list[Agent]:
    """Give every agent, by number."""
    columns = tables.agent.c
    question = select(
        columns.number, columns.name, columns.intent, columns.pause_reason, columns.intent_at
    ).order_by(columns.number)
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).all()
    return [
        Agent(row.number, row.name, Intent(row.intent), row.pause_reason, row.intent_at)
        for row in rows
    ]


async def set_intent(
    engine: AsyncEngine, number: str, intent: Intent, reason: str, at: int
) -> None:
    """Keep what the agent asked for. `reason` counts for a pause only, and may be empty.

    Raises `RosterError` when there is no such agent, or the reason cannot be used.
    """
    reason = _checked_text(reason, "reason") if intent is Intent.PAUSED and reason else ""
    await _update(engine, number, intent=intent.value, pause_reason=reason, intent_at=at)


async def set_password(engine: AsyncEngine, number: str, password: str) -> None:
    """Give an agent a new password; the softphone needs it at its next registration.

    Raises `RosterError` when there is no such agent, or the password cannot be used.
    """
    md5_cred = _checked_password(number, password)
    await _update(engine, number, md5_cred=md5_cred, password_length=len(password))


def generate_password() -> str:
    """A password that nobody guesses, of letters and digits only: every softphone takes it."""
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(GENERATED_PASSWORD))


async def short_passwords(engine: AsyncEngine) -> list[str]:
    """The numbers of agents whose password is shorter than `SHORTEST_PASSWORD`, or of a length that nobody knows."""
    columns = tables.agent.c
    short = or_(columns.password_length.is_(None), columns.password_length < SHORTEST_PASSWORD)
    async with engine.connect() as connection:
        found = await connection.execute(
            select(columns.number).where(short).order_by(columns.number)
        )
        return list(found.scalars())


async def _update(engine: AsyncEngine, number: str, **values: str | int) -> None:
    change = update(tables.agent).where(tables.agent.c.number == number).values(**values)
    async with engine.begin() as connection:
        done = await connection.execute(change)
    if not done.rowcount:
        raise await _unknown(engine, number)


async def _unknown(engine: AsyncEngine, number: str) -> RosterError:
    async with engine.connect() as connection:
        known = list((await connection.execute(select(tables.agent.c.number))).scalars())
    if not known:
        return RosterError("There are no agents yet. Add the first one: hotline agent add NUMBER")
    near = difflib.get_close_matches(number, known, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else " See: hotline agent list"
    return RosterError(f"There is no agent {number[:20]!r}.{hint}")


def _check_number(number: str) -> None:
    if not AGENT_NUMBER.fullmatch(number):
        raise RosterError(
            f"{number[:20]!r} cannot be an agent's number: write 2 to 8 digits, such as 1001."
        )


def _checked_text(text: str, what: str) -> str:
    """Accept any script and any emoji, but nothing that moves a cursor or turns a line around."""
    text = unicodedata.normalize("NFC", text.strip())
    if not text:
        raise RosterError(f"The {what} is empty.")
    if len(text) > LONGEST_NAME:
        raise RosterError(
            f"The {what} has {len(text)} characters; at most {LONGEST_NAME} are allowed."
        )
    for character in text:
        if (
            unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
            or character in _DIRECTION_MARKS
        ):
            raise RosterError(
                f"The {what} contains the control character U+{ord(character):04X}: take it out."
            )
    return text


def _checked_password(number: str, password: str) -> str:
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in password):
        raise RosterError("The password contains a control character: no softphone can send it.")
    if len(password) < SHORTEST_PASSWORD:
        raise RosterError(f"The password is too short: at least {SHORTEST_PASSWORD} characters.")
    if len(password) > LONGEST_PASSWORD:
        raise RosterError(f"The password is too long: at most {LONGEST_PASSWORD} characters.")
    return md5_cred(number, password)
