"""Requests from screens, API and command line, each carried out or refused in a sentence."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from alarms.rules import Alarm, UnknownAlarm
from base import clock
from base.bus import Refused
from base.trunks import TrunkError
from facts import AgentRemoved, Fact
from facts.requests import (
    AcknowledgeAlarm,
    AddCallback,
    AgentPasswordChanged,
    AgentWasAdded,
    AgentWasRemoved,
    CancelCallback,
    EnterRating,
    ExplainHangUp,
    GetStatus,
    HandToSurvey,
    PauseRecording,
    Reply,
    Request,
    ResumeRecording,
    RulesChanged,
    SetOut,
    SetPaused,
    SetReady,
    TrunksChanged,
)
from facts.terms import PauseWhy
from telephony.pauses import PauseRefused

_LONGEST_NAME = 80


class People(Protocol):
    """What is needed of `hotline.controller.people.People`."""

    async def knows(self, number: str) -> bool:
        """Whether there is such an agent."""

    async def set_intent(self, asked: SetReady | SetPaused | SetOut) -> str:
        """Carry it out; `ok`, or `unknown`."""


class Pauses(Protocol):
    """What is needed of `telephony.pauses.RecordingPauses`."""

    async def pause(self, agent: str, why: PauseWhy, by: str = "") -> None:
        """Pause the recording of the agent's talk. Raises `PauseRefused`."""

    async def resume(self, agent: str, why: PauseWhy, by: str = "") -> None:
        """Record it again. Raises `PauseRefused`."""


class Surveys(Protocol):
    """What is needed of `hotline.controller.surveys.Surveys`."""

    async def asked(self, asked: HandToSurvey) -> Reply:
        """Hand a citizen to the survey. Raises `Refused`."""

    async def enter(self, asked: EnterRating) -> Reply:
        """Enter a rating. Raises `Refused`."""


class Requests:
    """Answers each request. `presence` says what an agent does now, empty when the floor does not have them."""

    def __init__(
        self,
        *,
        ready: Callable[[], bool],
        people: People,
        renew_phones: Callable[[], Awaitable[bool]],
        presence: Callable[[str], str],
        report: Callable[[Fact], None],
        read_rules: Callable[[], Awaitable[None]],
        read_trunks: Callable[[], Awaitable[None]],
        acknowledge: Callable[[str, str], Alarm],
        pauses: Pauses,
        surveys: Surveys,
        explain: Callable[[ExplainHangUp], Reply],
        add_callback: Callable[[AddCallback], Awaitable[Reply]],
        cancel_callback: Callable[[int], Awaitable[Reply]],
    ) -> None:
        self._ready = ready
        self._people = people
        self._renew_phones = renew_phones
        self._presence = presence
        self._report = report
        self._read_rules = read_rules
        self._read_trunks = read_trunks
        self._acknowledge = acknowledge
        self._pauses = pauses
        self._surveys = surveys
        self._explain = explain
        self._add_callback = add_callback
        self._cancel_callback = cancel_callback

    async def answer(self, asked: Request) -> Reply:
        """Carry out one request. Raises `Refused`."""
        match asked:
            case GetStatus():
                return Reply(ready=self._ready())
            case AgentWasAdded(number):
                if not await self._people.knows(number):
                    raise Refused(f"there is no agent {number}")
                return await self._tell_asterisk()
            case AgentWasRemoved(number):
                self._report(AgentRemoved(clock.now(), number))
                await self._read_rules()
                return await self._tell_asterisk()
            case AgentPasswordChanged():
                return await self._tell_asterisk()
            case RulesChanged():
                await self._read_rules()
                return Reply()
            case TrunksChanged():
                try:
                    await self._read_trunks()
                except TrunkError as error:
                    raise Refused(str(error)) from None
                return Reply()
            case AcknowledgeAlarm(name, by):
                return self._acknowledged(name, by)
            case AddCallback():
                return await self._add_callback(asked)
            case CancelCallback(task):
                return await self._cancel_callback(task)
            case PauseRecording() | ResumeRecording():
                return await self._record(asked)
            case HandToSurvey():
                return await self._surveys.asked(replace(asked, by=asked.by[:_LONGEST_NAME]))
            case ExplainHangUp():
                return self._explain(replace(asked, by=asked.by[:_LONGEST_NAME]))
            case EnterRating():
                return await self._surveys.enter(asked)
            case SetReady(number) | SetPaused(number) | SetOut(number):
                return await self._set_intent(asked, number)

    async def _tell_asterisk(self) -> Reply:
        if not await self._renew_phones():
            raise Refused("the roster cannot be read now; Asterisk learns of it when it can")
        return Reply()

    def _acknowledged(self, name: str, by: str) -> Reply:
        try:
            seen = self._acknowledge(name, by[:_LONGEST_NAME])
        except UnknownAlarm as error:
            raise Refused(str(error)) from None
        return Reply(f"alarm {seen.id} ({seen.rule}) acknowledged by {seen.acknowledged_by}")

    async def _record(self, asked: PauseRecording | ResumeRecording) -> Reply:
        number, by = asked.number, asked.by[:_LONGEST_NAME]
        try:
            if isinstance(asked, PauseRecording):
                await self._pauses.pause(number, PauseWhy.API, by)
                return Reply(f"agent {number}: the recording is paused")
            await self._pauses.resume(number, PauseWhy.API, by)
        except PauseRefused as error:
            raise Refused(str(error)) from None
        return Reply(f"agent {number}: the talk is recorded")

    async def _set_intent(self, asked: SetReady | SetPaused | SetOut, number: str) -> Reply:
        if await self._people.set_intent(asked) != "ok":
            raise Refused(f"there is no agent {number}: `hotline agent list` shows those there are")
        action = asked.name.removeprefix("agent.")
        return Reply(f"agent {number}: {self._presence(number) or action}")
