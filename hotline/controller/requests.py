"""Requests from screens, API and command line, each carried out or refused in a sentence."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

from alarms.rules import Alarm, UnknownAlarm
from base import clock
from base.bus import Refused
from base.trunks import TrunkError
from facts import AgentRemoved, Fact
from facts.control import ControlRequest
from facts.requests import (
    AcknowledgeAlarm,
    AcknowledgeAlert,
    AddCallback,
    AddParty,
    AgentPasswordChanged,
    AgentWasAdded,
    AgentWasRemoved,
    AssignCaller,
    BringForward,
    CallEmergency,
    CancelCallback,
    ChangeListening,
    DropParty,
    EndTalk,
    EnterRating,
    ExplainHangUp,
    GetStatus,
    HandToSurvey,
    JoinParties,
    LeaveTalk,
    ListenToTalk,
    MoveCaller,
    MuteParty,
    PauseRecording,
    RaiseAlert,
    ReadMessage,
    Reply,
    Request,
    ResumeRecording,
    RulesChanged,
    SendMessage,
    SetOut,
    SetPaused,
    SetReady,
    TakeTalk,
    TrunksChanged,
    UnmuteParty,
)
from facts.terms import PauseWhy
from hotline.controller.parties import PartyRequest
from hotline.controller.supervising import Asked
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


class Waiting(Protocol):
    """What is needed of `hotline.controller.waiting.WaitingCallers`. Each raises `Refused`."""

    def assign(self, asked: AssignCaller) -> Reply:
        """Offer the caller to one agent alone."""

    def move(self, asked: MoveCaller) -> Reply:
        """Have the caller wait in another queue."""

    def bring_forward(self, asked: BringForward) -> Reply:
        """Put the caller before all others of their queue."""


class Messages(Protocol):
    """What is needed of `hotline.controller.messages.Messages`. Each raises `Refused`."""

    async def send(self, asked: SendMessage) -> Reply:
        """Send a text to one agent or to all."""

    async def read(self, asked: ReadMessage) -> Reply:
        """An agent has read one of theirs."""


class RedButton(Protocol):
    """What is needed of `hotline.controller.red_button.RedButton`. Each raises `Refused`."""

    async def raise_alert(self, asked: RaiseAlert) -> Reply:
        """Raise an alert."""

    async def acknowledge(self, asked: AcknowledgeAlert) -> Reply:
        """A supervisor has seen it."""


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
        supervise: Callable[[Asked], Awaitable[Reply]],
        add_callback: Callable[[AddCallback], Awaitable[Reply]],
        cancel_callback: Callable[[int], Awaitable[Reply]],
        bring_in: Callable[[PartyRequest], Awaitable[Reply]],
        waiting: Waiting,
        messages: Messages,
        red_button: RedButton,
        control: Callable[[ControlRequest], Awaitable[Reply]],
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
        self._supervise = supervise
        self._add_callback = add_callback
        self._cancel_callback = cancel_callback
        self._bring_in = bring_in
        self._waiting = waiting
        self._messages = messages
        self._red_button = red_button
        self._control = control

    async def answer(self, asked: Request) -> Reply:
        """Carry out one request. Raises `Refused`."""
        asked = _with_short_name(asked)
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
            case RaiseAlert():
                return await self._red_button.raise_alert(asked)
            case AcknowledgeAlert():
                return await self._red_button.acknowledge(asked)
            case SendMessage():
                return await self._messages.send(asked)
            case ReadMessage():
                return await self._messages.read(asked)
            case AssignCaller():
                return self._waiting.assign(asked)
            case MoveCaller():
                return self._waiting.move(asked)
            case BringForward():
                return self._waiting.bring_forward(asked)
            case PauseRecording() | ResumeRecording():
                return await self._record(asked)
            case (
                AddParty()
                | JoinParties()
                | MuteParty()
                | UnmuteParty()
                | DropParty()
                | CallEmergency()
            ):
                return await self._bring_in(asked)
            case ListenToTalk() | ChangeListening() | LeaveTalk() | TakeTalk() | EndTalk():
                return await self._supervise(asked)
            case HandToSurvey():
                return await self._surveys.asked(asked)
            case ExplainHangUp():
                return self._explain(asked)
            case EnterRating():
                return await self._surveys.enter(asked)
            case SetReady(number) | SetPaused(number) | SetOut(number):
                return await self._set_intent(asked, number)
            case _:
                return await self._control(asked)

    async def _tell_asterisk(self) -> Reply:
        if not await self._renew_phones():
            raise Refused("the roster cannot be read now; Asterisk learns of it when it can")
        return Reply()

    def _acknowledged(self, name: str, by: str) -> Reply:
        try:
            seen = self._acknowledge(name, by)
        except UnknownAlarm as error:
            raise Refused(str(error)) from None
        return Reply(f"alarm {seen.id} ({seen.rule}) acknowledged by {seen.acknowledged_by}")

    async def _record(self, asked: PauseRecording | ResumeRecording) -> Reply:
        number, by = asked.number, asked.by
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


def _with_short_name(asked: Request) -> Request:
    """The same, with no more of the asking account's name than the diary keeps."""
    by: str = getattr(asked, "by", "")
    cut: dict[str, Any] = {"by": by[:_LONGEST_NAME]}
    return replace(asked, **cut) if len(by) > _LONGEST_NAME else asked
