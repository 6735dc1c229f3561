"""The survey after a talk (好差评, R46): one question, five keys, on the citizen's channel after the agent has left.

An agent hands the citizen over by `*5` (asterisk-conf/features.conf), by the API, or, where the queue says so, by
hanging up. The agent's leg ends, and with it `Dial` and the session; then the dialplan runs `agi://…/survey` if the
channel's `HL_SURVEY` is set. So it needs no option of `Dial`: transfers and everything else that ends a talk are as
they are without a survey. Who is invited is decided in `ivr.invitations`.

A wrong key is asked again once. No key in time, a second wrong key, or a hang-up is no rating. After a bad one the
citizen may be asked for the reason, which lies in the call's recording. When the controller dies in the middle, the
dialplan says the farewell and hangs up.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from facts import Fact, SurveyEnded, SurveyOffered, SurveyRated
from facts.numbers import AGENT_NUMBER
from facts.terms import BAD_GRADES, CallId, Grade, SurveyEnd
from ivr import script
from ivr.connection import PLAY_LIMIT, Connection, GoneError
from ivr.phrases import in_language
from ivr.reception import Receive

log = structlog.get_logger(__name__)

KEY_WITHIN = 6.0
"""Seconds after the invitation's last word in which a key counts."""

_SILENCE = 4000
"""Milliseconds without a voice after which the citizen has said their reason."""

_AGENT = re.compile(rf"PJSIP/({AGENT_NUMBER.pattern})-[0-9a-f]{{8}}")


@dataclass(frozen=True, slots=True)
class Invitation:
    """What comes after a talk with `agent`. `asks`: the citizen is invited; otherwise they hear the farewell alone."""

    agent: str
    asks: bool


class Surveys(Protocol):
    """What a survey needs of the controller (`hotline.controller.surveys`)."""

    async def invite(self, call: CallId) -> Invitation | None:
        """What the citizen hears now; None when the agent has not handed them over."""

    async def hand_over_by_key(self, agent: str) -> str:
        """The agent pressed the key: end their talk by a hand-over. Empty when it is done, else why not."""

    def report(self, *facts: Fact) -> None:
        """Take facts of a survey."""


async def serve_survey(
    connection: Connection,
    environment: Mapping[str, str],
    *,
    surveys: Surveys,
    clock: Callable[[], int],
    receive: Receive,
    reason_for: float,
) -> None:
    """Ask one citizen; `agi_arg_1` is the hotline's number. `reason_for`: seconds for a reason, 0: it is not asked for.

    Raises `GoneError` when the citizen hangs up.
    """
    call = environment.get("agi_uniqueid", "")
    language = receive(environment.get("agi_arg_1", ""), "", clock()).language
    invitation = await surveys.invite(call)
    if invitation is None:
        await connection.ask("SET VARIABLE", "HL_SURVEYED", "1")
        return
    if invitation.asks:
        await _Survey(connection, call, invitation.agent, language, surveys, clock).run(reason_for)
    else:
        await connection.play(in_language(script.SURVEY_FAREWELL, language))
    await connection.ask("SET VARIABLE", "HL_SURVEYED", "1")


async def serve_hand_over(
    connection: Connection,
    environment: Mapping[str, str],
    *,
    hand_over: Callable[[str], Awaitable[str]],
) -> None:
    """Carry out an agent's `*5`; `agi_channel` is the agent's. Raises `GoneError`: the agent is hung up by it."""
    found = _AGENT.fullmatch(environment.get("agi_channel", ""))
    why = "not an agent's talk"
    if found is not None:
        try:
            why = await hand_over(found[1])
        except Exception:
            log.exception("survey.key_failed", agent=found[1])
            why = "failed"
    log.info("survey.key", agent=found[1] if found is not None else "?", refused=why)
    if why:
        await connection.play(script.REFUSED)


class _Survey:
    """One invitation, from its first word to the end."""

    def __init__(
        self,
        connection: Connection,
        call: CallId,
        agent: str,
        language: str,
        surveys: Surveys,
        clock: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._call = call
        self._agent = agent
        self._language = language
        self._surveys = surveys
        self._clock = clock
        self._reason_at = 0

    async def run(self, reason_for: float) -> None:
        """Ask, and say what came of it. Raises `GoneError`."""
        self._surveys.report(SurveyOffered(self._clock(), self._call, self._agent))
        end = SurveyEnd.LOST
        reason = 0
        try:
            grade, end = await self._ask()
            if grade is None:
                await self._play(script.SURVEY_FAREWELL)
                return
            self._surveys.report(SurveyRated(self._clock(), self._call, self._agent, grade))
            if reason_for and grade in BAD_GRADES:
                try:
                    await self._listen(reason_for)
                finally:
                    reason = self._clock() - self._reason_at if self._reason_at else 0
            await self._play(script.SURVEY_THANKS)
        except GoneError as gone:
            if end is not SurveyEnd.RATED:
                end = SurveyEnd.LOST if str(gone) == "stopping" else SurveyEnd.HUNG_UP
            raise
        finally:
            self._surveys.report(
                SurveyEnded(self._clock(), self._call, self._agent, end, self._reason_at, reason)
            )

    async def _ask(self) -> tuple[Grade | None, SurveyEnd]:
        sounds = (script.SURVEY_INVITATION, script.SURVEY_WRONG_KEY)
        for sound in sounds:
            key = await self._key(sound)
            if key in script.GRADES:
                return script.GRADES[key], SurveyEnd.RATED
            if not key:
                return None, SurveyEnd.NO_KEY
        return None, SurveyEnd.WRONG_KEY

    async def _key(self, sound: str) -> str:
        """Say it, and give the key that is pressed meanwhile or soon after; empty without one. Raises `GoneError`."""
        for said in dict.fromkeys([in_language(sound, self._language), sound]):
            reply = await self._connection.ask(
                *("GET DATA", said, str(round(KEY_WITHIN * 1000)), "1"),
                limit=PLAY_LIMIT + KEY_WITHIN,
            )
            if reply.result != "-1":
                # A lone # ends the wait, and is a key like any other that has no grade.
                return reply.result or ("" if "timeout" in reply.data else "#")
            # The citizen has hung up, and NOOP raises it; or the sound is missing in this language.
            await self._connection.ask("NOOP")
        return ""

    async def _listen(self, seconds: float) -> None:
        await self._play(script.SURVEY_REASON)
        self._reason_at = self._clock()
        await self._connection.ask(
            *("EXEC WaitForSilence", f"{_SILENCE},1,{round(seconds)}"), limit=seconds + PLAY_LIMIT
        )

    async def _play(self, sound: str) -> None:
        await self._connection.play(in_language(sound, self._language))
