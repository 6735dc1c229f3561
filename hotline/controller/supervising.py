"""Supervisors in talks: what screens and phones ask for, who may, and the audit log of every minute.

The audit log has a row when it begins, for each full minute, for each change of the mode and for the end, with the
seconds. So whoever kills the program hides less than a minute, and the next one enters the end.

An account may be limited to the talks of some queues. Whichever way it asks, that is checked here and nowhere else,
against the database of that moment. A talk without a known queue is out of its reach. Whoever is in a talk already
stays, also when their account is limited meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.task import Task
from acd.floor import Caller
from base import clock, database
from base.background import within
from base.bus import Refused
from base.outage import Outage
from diary import reader
from facts import (
    Fact,
    SupervisionChanged,
    SupervisionEnded,
    SupervisionStarted,
    TalkStopped,
)
from facts.ids import callback_of
from facts.live import SupervisorNow
from facts.requests import (
    ChangeListening,
    EndTalk,
    LeaveTalk,
    ListenToTalk,
    Reply,
    TakeTalk,
)
from facts.supervise import SupervisionMode
from facts.terms import CallId
from facts.times import HOUR, MINUTE, SECOND
from hotline.controller.control import refused
from telephony.channels import Talk, talk_of
from telephony.supervised import SupervisionRefused
from telephony.supervisors import SupervisionMark
from web.accounts import accounts, audit
from web.accounts.rights import OF_ROLE

log = structlog.get_logger(__name__)

Asked = ListenToTalk | ChangeListening | LeaveTalk | TakeTalk | EndTalk

LONGEST_BACK: Final = 24 * HOUR
"""How far back a start looks for supervisors whose end the diary does not know."""
RIGHTS_WITHIN: Final = 2.0
"""Seconds in which the accounts must be read for a phone that dials `*8`."""
LIMIT_WITHIN: Final = 0.5
"""Seconds in which an account's queues must be read for a request, which is answered within 0.8."""
MOST_ROWS: Final = 10_000
"""Rows for the audit log that wait for an absent database; the diary has the same in any case."""
_LOOK_EVERY = 1.0
_LONGEST_NAME = 40


class Supervision(Protocol):
    """What is needed of `telephony.supervision.Supervision`. All but `now` raise `SupervisionRefused`."""

    async def listen(
        self,
        agent: str,
        supervisor: str,
        mode: SupervisionMode = ...,
        *,
        by: str = "",
        may_step_in: bool = False,
    ) -> str:
        """Ring the supervisor's phone for the agent's talk."""

    async def change(
        self, agent: str, supervisor: str, mode: SupervisionMode, *, by: str = ""
    ) -> str:
        """Change what the supervisor does in it."""

    async def leave(self, agent: str, supervisor: str) -> str:
        """End it."""

    async def end(self, agent: str, *, by: str, reason: str = "") -> str:
        """End the talk."""

    def dialled(
        self, leg: str, channel: str, supervisor: str, mark: SupervisionMark
    ) -> Mapping[str, str]:
        """A phone has dialled `*8`."""

    def now(self) -> list[SupervisorNow]:
        """Who is in whose talk."""


class Floor(Protocol):
    """What is needed of `acd.floor.Floor`."""

    tasks: dict[int, Task]
    callers: dict[CallId, Caller]


def queue_of_talk(talks: Iterable[Talk], floor: Floor, agent: str) -> str | None:
    """The queue of this agent's talk, empty if it is not known; a callback's talk has the callback's. None: no talk."""
    talk = talk_of(talks, agent)
    if talk is None:
        return None
    callback = callback_of(talk.call)
    found = floor.tasks.get(callback) if callback else floor.callers.get(talk.call)
    return found.queue if found is not None else ""


class Supervising:
    """The requests, the rights of phones, and the audit log. `phones`: those that may listen by the settings.

    `queue_of`: the queue of an agent's talk, as `queue_of_talk` gives it.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        supervision: Supervision,
        phones: Collection[str],
        clock: Callable[[], int] = clock.now,
        *,
        queue_of: Callable[[str], str | None],
    ) -> None:
        self._engine = engine
        self._supervision = supervision
        self._phones = frozenset(phones)
        self._clock = clock
        self._queue_of = queue_of
        self._rows: deque[dict[str, str | int]] = deque(maxlen=MOST_ROWS)
        self._minutes: dict[tuple[str, str], tuple[int, int]] = {}
        self._news = asyncio.Event()
        self._unwritten = Outage(log, "supervision.not_audited")

    # --- what is asked for

    async def answer(self, asked: Asked) -> Reply:
        """Carry out one request. Raises `Refused`."""
        if not isinstance(asked, LeaveTalk):
            limit = await self._limit(asked.by)
            # Nothing waits from here on until the talk is picked out: it is the one that is looked at.
            self._refuse_other_queue(asked.number, limit)
        try:
            return Reply(await self._done(asked))
        except SupervisionRefused as error:
            raise Refused(str(error)) from None

    async def _done(self, asked: Asked) -> str:
        doing = self._supervision
        match asked:
            case ListenToTalk(agent, phone, mode, by, may):
                name = by[:_LONGEST_NAME]
                return await doing.listen(agent, phone, _mode(mode), by=name, may_step_in=may == 1)
            case ChangeListening(agent, phone, mode, by):
                return await doing.change(agent, phone, _mode(mode), by=by[:_LONGEST_NAME])
            case LeaveTalk(agent, phone):
                return await doing.leave(agent, phone)
            case TakeTalk(agent, phone, by):
                take, name = SupervisionMode.TAKE, by[:_LONGEST_NAME]
                return await doing.listen(agent, phone, take, by=name, may_step_in=True)
            case EndTalk(agent, by, reason):
                return await doing.end(agent, by=by[:_LONGEST_NAME], reason=reason[:200])

    async def dialled(
        self, leg: str, channel: str, supervisor: str, agent: str
    ) -> Mapping[str, str] | str:
        """A phone has dialled `*8` and an agent's number: its channel's variables, or why it may not."""
        try:
            async with asyncio.timeout(RIGHTS_WITHIN):
                who, rights, limit = await self._rights(supervisor)
        except database.FAILED as error:
            log.warning("supervision.rights_unread", **database.told(error))
            return "who may listen cannot be read now"
        if "talks.listen" not in rights:
            return "no account of this agent may listen to talks"
        mark = SupervisionMark("", agent, who, "talks.step_in" in rights)
        try:
            self._refuse_other_queue(agent, limit)
            return self._supervision.dialled(leg, channel, supervisor, mark)
        except (SupervisionRefused, Refused) as error:
            return str(error)

    async def _rights(self, phone: str) -> tuple[str, frozenset[str], tuple[str, ...]]:
        """The account of this agent that may listen, its rights and its queues; a phone of the settings needs none."""
        for one in await accounts.list_all(self._engine):
            if one.agent == phone and "talks.listen" in OF_ROLE[one.role]:
                return one.name, OF_ROLE[one.role], one.queues
        allowed = {"talks.listen", "talks.step_in"} if phone in self._phones else set()
        return "", frozenset(allowed), ()

    async def _limit(self, by: str) -> tuple[str, ...]:
        """The queues of the account that asks; empty: all. Raises `Refused`."""
        if not by:
            return ()
        try:
            async with asyncio.timeout(LIMIT_WITHIN):
                return await accounts.limit_of(self._engine, by)
        except database.FAILED as error:
            log.warning("supervision.limit_unread", **database.told(error))
            raise refused("limit_unread") from None

    def _refuse_other_queue(self, agent: str, limit: Collection[str]) -> None:
        """Raises `Refused` if the agent's talk is beyond this limit. Without a talk there is another refusal."""
        queue = self._queue_of(agent) if limit else None
        if queue is not None and queue not in limit:
            raise refused("not_your_queue", agent=agent)

    async def unended(self) -> Sequence[SupervisionStarted]:
        """The beginnings whose end the diary does not know, with the newest mode."""
        now = self._clock()
        kinds = [SupervisionStarted.kind, SupervisionChanged.kind, SupervisionEnded.kind]
        found: dict[tuple[CallId, str, str], SupervisionStarted] = {}
        async for fact in reader.read_kinds(self._engine, kinds, now - LONGEST_BACK, now + SECOND):
            if isinstance(fact, SupervisionStarted):
                found[fact.call, fact.agent, fact.supervisor] = fact
            elif isinstance(fact, SupervisionChanged):
                known = found.get((fact.call, fact.agent, fact.supervisor))
                if known is not None:
                    found[fact.call, fact.agent, fact.supervisor] = replace(known, mode=fact.mode)
            elif isinstance(fact, SupervisionEnded):
                found.pop((fact.call, fact.agent, fact.supervisor), None)
        return list(found.values())

    # --- the audit log

    def add(self, fact: Fact) -> None:
        """Take what has been recorded."""
        match fact:
            case SupervisionStarted(at, call, agent, phone, mode, by):
                self._enter(at, by, phone, "SUPERVISE begin", (agent, phone, mode.value, call))
            case SupervisionChanged(at, call, agent, phone, mode, by):
                self._enter(at, by, phone, "SUPERVISE mode", (agent, phone, mode.value, call))
            case SupervisionEnded(at, call, agent, phone, why, lasted, by):
                self._minutes.pop((call, phone), None)
                seconds = f"{lasted // SECOND} s"
                self._enter(
                    at, by, phone, "SUPERVISE end", (agent, phone, seconds, why.value, call)
                )
            case TalkStopped(at, call, agent, by, reason):
                self._enter(at, by, "", "SUPERVISE end talk", (agent, call), reason)
            case _:
                pass

    def look(self) -> None:
        """Enter the minutes that are full."""
        now = self._clock()
        for one in self._supervision.now():
            if one["state"] != "on":
                continue
            key = (one["call"], one["supervisor"])
            since, told = self._minutes.get(key, (one["since"], 0))
            if since != one["since"]:
                since, told = one["since"], 0
            full = (now - since) // MINUTE
            if full > told:
                what = (one["agent"], one["supervisor"], one["mode"], f"{full} min", one["call"])
                self._enter(now, one["by"], one["supervisor"], "SUPERVISE minute", what)
            self._minutes[key] = (since, full)

    async def run(self) -> None:
        """Write the audit log, for ever. What cannot be written now is written later."""
        while True:
            await within(_LOOK_EVERY, self._news)
            self._news.clear()
            self.look()
            await self.write()

    async def write(self) -> None:
        """Write the rows that wait, the oldest first."""
        while self._rows:
            row = self._rows[0]
            try:
                await audit.write(
                    self._engine,
                    at=int(row["at"]),
                    who=str(row["who"]),
                    role="",
                    address="",
                    action=str(row["action"]),
                    values={"": str(row["what"])},
                    status=audit.COMMAND,
                    why=str(row["why"]),
                )
            except database.FAILED as error:
                self._unwritten.begin(**database.told(error))
                return
            self._unwritten.end()
            self._rows.popleft()

    def _enter(
        self, at: int, by: str, phone: str, action: str, what: tuple[str, ...], why: str = ""
    ) -> None:
        who = by or f"phone:{phone}"
        self._rows.append(
            {"at": at, "who": who, "action": action, "what": " ".join(what), "why": why}
        )
        self._news.set()


def _mode(text: str) -> SupervisionMode:
    if text not in tuple(SupervisionMode):
        raise SupervisionRefused(f"there is no mode {text[:20]}: say listen, whisper or step_in")
    return SupervisionMode(text)
