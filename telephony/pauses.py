"""Pauses of recordings: by an agent's key or a request, each for one talk and for a limited time.

A pause ends when the agent asks for it, when it has lasted as long as the settings allow, and with that agent's talk:
whoever talks to the citizen next is recorded. What cannot be ended at once, since Asterisk does not answer, is tried
again until it is. The mark at the channel outlives this program, so the next one finds the pause again (`settle`).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from base.background import within
from facts import (
    CallArrived,
    CallbackEnded,
    CallbackYielded,
    CallEnded,
    CallTransferred,
    Fact,
    RecordingPaused,
    RecordingResumed,
    TalkEnded,
)
from facts.terms import CallId, PauseWhy
from facts.times import SECOND
from telephony.channels import Talk, talk_of
from telephony.link import ActionRefused, LinkDown, LinkError, Unknown

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two attempts to record again, and at most between two looks at a pause's limit."""
TOLD_FOR = 600 * SECOND
"""For how long the alarm counts a pause that has reached its limit."""
STUCK = 3 * SECOND
"""After which a pause that should be over and is not counts as well."""


class PauseRefused(Exception):  # noqa: N818 - reads as what happened
    """It is not done. The message says why, and is fit to be shown as it is."""


class Calls(Protocol):
    """What is needed of `telephony.channels.Calls`."""

    def talks(self) -> Iterable[Talk]:
        """Every leg of an agent that talks to a citizen."""


class Verbs(Protocol):
    """What is needed of `telephony.switch.Switch`."""

    async def pause_recording(self, call: CallId, mark: str) -> None:
        """Leave silence in the recording. Raises `LinkError`."""

    async def resume_recording(self, call: CallId) -> None:
        """Record again. Raises `LinkError`."""


@dataclass(slots=True)
class _Pause:
    """`due`: since when it should be over (microseconds), 0 while it may last; `why` and `by` are then its end's.

    `told`: the log says that it cannot be ended.
    """

    agent: str
    since: int
    due: int = 0
    why: PauseWhy = PauseWhy.LIMIT
    by: str = ""
    told: bool = False


class RecordingPauses:
    """All pauses that go on. `allowed`, `limit` (seconds): the settings'. `report` takes facts, `clock` gives
    microseconds."""

    def __init__(
        self,
        calls: Calls,
        switch: Verbs,
        report: Callable[[Fact], None],
        clock: Callable[[], int],
        *,
        allowed: bool,
        limit: float,
    ) -> None:
        self._calls = calls
        self._switch = switch
        self._report = report
        self._clock = clock
        self._allowed = allowed
        self._limit = round(limit * SECOND)
        self._paused: dict[CallId, _Pause] = {}
        self._doubtful: set[CallId] = set()
        self._reached: list[int] = []
        self._one = asyncio.Lock()
        self._wake = asyncio.Event()

    # --- what an agent asks for

    async def key(self, agent: str, action: str) -> str:
        """Carry out an agent's key, `pause` or `resume`. Empty when it is done, else why not."""
        try:
            if action == "pause":
                await self.pause(agent, PauseWhy.KEY)
            else:
                await self.resume(agent, PauseWhy.KEY)
        except PauseRefused as refused:
            return str(refused)
        return ""

    async def pause(self, agent: str, why: PauseWhy, by: str = "") -> None:
        """Pause the recording of this agent's talk. Returns when Asterisk has confirmed it. Raises `PauseRefused`."""
        if not self._allowed:
            raise PauseRefused("recordings may not be paused here (HOTLINE_RECORDING_PAUSE)")
        async with self._one:
            call = self._talk_of(agent)
            if (paused := self._paused.get(call)) is not None:
                if paused.due:
                    raise PauseRefused("the recording is about to go on: try again")
                return
            since = self._clock()
            try:
                await self._switch.pause_recording(call, _mark(since, agent, why))
            except LinkError as error:
                self._undo(call)
                refused = isinstance(error, ActionRefused)
                log.warning("recording.not_paused", call_id=call, agent=agent, error=str(error))
                raise PauseRefused(
                    f"the recording is not paused: Asterisk {'refused it' if refused else 'does not answer'}"
                ) from None
            if not self._talks(call, agent):
                self._undo(call)
                raise PauseRefused(f"the talk of agent {agent} has just ended")
            self._doubtful.discard(call)
            self._paused[call] = _Pause(agent, since)
            self._report(RecordingPaused(self._clock(), call, agent, why, by))
            self._wake.set()

    async def resume(self, agent: str, why: PauseWhy, by: str = "") -> None:
        """Record this agent's talk again. Raises `PauseRefused` when that has to wait until Asterisk answers."""
        async with self._one:
            call = self._talk_of(agent)
            paused = self._paused.get(call)
            if paused is None:
                return
            if not paused.due:
                paused.due, paused.why, paused.by = self._clock(), why, by
            if why_not := await self._end(call, paused):
                raise PauseRefused(why_not)

    # --- what happens by itself

    def take(self, facts: Iterable[Fact]) -> None:
        """Hear what AMI tells: a pause ends with its agent's talk."""
        for fact in facts:
            match fact:
                case TalkEnded(at, call, agent):
                    self._left(call, at, agent)
                case CallArrived(at, origin=call) if call:
                    self._left(call, at)  # the citizen has left the callback
                case CallTransferred(at, call) | CallEnded(at, call):
                    self._left(call, at)
                case CallbackEnded() | CallbackYielded():
                    self._left(fact.call, fact.at)
                case _:
                    pass

    async def settle(
        self,
        marked: Iterable[tuple[CallId, str]],
        story: Callable[[CallId], Awaitable[Sequence[Fact]]],
    ) -> None:
        """Find the pauses that exist in Asterisk (`AsteriskState.paused`), after a start or a loss of the link.

        `story` gives what the diary knows of a call.
        """
        async with self._one:
            marks = {call: _read_mark(mark) for call, mark in marked}
            for call, paused in list(self._paused.items()):
                if call not in marks or not self._talks(call, paused.agent):
                    self._left(call, self._clock())
            for call, mark in marks.items():
                if call not in self._paused and call not in self._doubtful:
                    await self._find(call, mark, story)

    async def run(self) -> None:
        """End what has lasted too long, for ever."""
        while True:
            await within(self._until_next(), self._wake)
            self._wake.clear()
            await self.look()
            if self._doubtful or any(one.due for one in self._paused.values()):
                await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Record again what has been paused for too long, and what should be recorded already."""
        async with self._one:
            now = self._clock()
            for call, paused in list(self._paused.items()):
                if not paused.due and now - paused.since >= self._limit:
                    paused.due = now
                    self._reached.append(now)
                    log.warning("recording.pause_limit", call_id=call, agent=paused.agent)
                if paused.due:
                    await self._end(call, paused)
            for call in list(self._doubtful):
                with contextlib.suppress(ActionRefused):  # not recorded, so not paused either
                    try:
                        await self._switch.resume_recording(call)
                    except (LinkDown, Unknown):
                        continue
                self._doubtful.discard(call)

    # --- what screens and alarms ask

    def now(self) -> Mapping[str, int]:
        """The agents whose recordings are paused, and since when (microseconds)."""
        return {one.agent: one.since for one in self._paused.values()}

    def too_long(self, now: int) -> int:
        """How many pauses have lately reached their limit, or cannot be ended."""
        self._reached = [at for at in self._reached if now - at < TOLD_FOR]
        return len(self._reached) + sum(
            one.due > 0 and now - one.due > STUCK for one in self._paused.values()
        )

    # --- inside

    def _talk_of(self, agent: str) -> CallId:
        talk = talk_of(self._calls.talks(), agent)
        if talk is None:
            raise PauseRefused(f"agent {agent} is not in a talk with a citizen")
        return talk.call

    def _talks(self, call: CallId, agent: str) -> bool:
        return any((one.call, one.agent) == (call, agent) for one in self._calls.talks())

    async def _end(self, call: CallId, paused: _Pause) -> str:
        """Record again. Empty when Asterisk has confirmed it, else why not; then it is tried again."""
        try:
            await self._switch.resume_recording(call)
        except LinkError as error:
            if not paused.told:
                log.warning("recording.not_resumed", call_id=call, error=str(error))
            paused.told = True
            self._wake.set()
            if isinstance(error, ActionRefused):
                return "Asterisk does not record this talk"
            return "Asterisk does not answer: the recording goes on as soon as it does"
        if self._paused.pop(call, None) is not None:  # else its talk has ended meanwhile
            self._report(RecordingResumed(self._clock(), call, paused.agent, paused.why, paused.by))
        return ""

    def _left(self, call: CallId, at: int, agent: str = "") -> None:
        paused = self._paused.get(call)
        if paused is None or agent not in ("", paused.agent):
            return
        del self._paused[call]
        self._report(RecordingResumed(at, call, paused.agent, PauseWhy.LEFT))
        self._undo(call)

    def _undo(self, call: CallId) -> None:
        self._doubtful.add(call)
        self._wake.set()

    async def _find(
        self,
        call: CallId,
        mark: tuple[int, str, PauseWhy] | None,
        story: Callable[[CallId], Awaitable[Sequence[Fact]]],
    ) -> None:
        """Take up a pause of an earlier controller."""
        if mark is None or not self._talks(call, mark[1]):
            self._undo(call)
            return
        since, agent, why = mark
        try:
            # It may have died between the mark and the pause.
            await self._switch.pause_recording(call, _mark(since, agent, why))
            known = await story(call)
        except Exception:
            log.exception("recording.pause_lost", call_id=call, effect="it is recorded again")
            self._undo(call)
            return
        if not self._talks(call, agent):
            self._undo(call)
            return
        self._paused[call] = _Pause(agent, since)
        log.info("recording.pause_found", call_id=call, agent=agent)
        if not any(isinstance(one, RecordingPaused) and one.at >= since for one in known):
            self._report(RecordingPaused(since, call, agent, why))
        self._wake.set()

    def _until_next(self) -> float | None:
        """Seconds until a pause reaches its limit; None without any."""
        if not self._paused:
            return None
        first = min(one.since for one in self._paused.values())
        return min(LOOK_EVERY, max(0.0, (first + self._limit - self._clock()) / SECOND))


def _mark(since: int, agent: str, why: PauseWhy) -> str:
    return f"{since} {agent} {why}"


def _read_mark(mark: str) -> tuple[int, str, PauseWhy] | None:
    """When the pause began, whose it is, and why; None for what is no mark."""
    parts = mark.split(" ")
    if len(parts) != 3 or not (parts[0].isascii() and parts[0].isdigit()):
        return None
    if parts[2] not in tuple(PauseWhy):
        return None
    return int(parts[0]), parts[1], PauseWhy(parts[2])
