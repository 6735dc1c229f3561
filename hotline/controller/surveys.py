"""The survey after a talk (R46), and links for those who had no time: hands over, invites, enters ratings.

`ivr.invitations` decides who is invited, `ivr.survey` speaks with the citizen. A bad rating becomes a callback task
within one working day, through the same book and gate as any other.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.commands import CreateCallback
from acd.gate import Purpose, Refusal
from acd.rules.model import DEFAULT, Rules, SurveyWhen
from base import database
from base.bounded import remember
from base.bus import Refused
from base.outage import Outage
from diary import reader
from facts import (
    CallArrived,
    CallbackAdded,
    CallbackMerged,
    CallEnded,
    DialRefused,
    Fact,
    SurveyHandedOver,
    SurveyLinked,
    SurveyOffered,
    SurveyRated,
)
from facts.calendar import Calendar
from facts.ids import is_attempt
from facts.requests import EnterRating, HandToSurvey, Reply
from facts.terms import BAD_GRADES, CallId, Grade, HandOver, Party, RatedBy
from facts.times import DAY, HOUR, SECOND, day_of, local
from ivr.invitations import Invitations, TalkStory
from ivr.survey import Invitation
from telephony.channels import Talk, talk_of
from telephony.link import LinkError

log = structlog.get_logger(__name__)

MATTER = "差评回访"
"""The matter of the callback after a bad rating."""
REASON = "dissatisfied"

MOST_LINKS = 200_000
"""Links that are open at once: a week of a large centre. The oldest are forgotten."""

_LOOK_EVERY, _LOOKS = 0.02, 50
"""Seconds between two looks for the fact that the talk has ended, which may come later than the end of its Dial."""
_LONGEST_CALL = 4 * HOUR
_LATELY = 3 * DAY
"""How far back a start looks for bad ratings without a callback."""


class Calls(Protocol):
    """What is needed of `telephony.channels.Calls`."""

    def talks(self) -> Iterable[Talk]:
        """Every leg of an agent that talks to a citizen."""

    def hands_over(self, call: CallId, agent: str) -> None:
        """The agent ends this talk, whoever hangs up the leg."""


class Verbs(Protocol):
    """What is needed of `telephony.switch.Switch`."""

    async def hand_to_survey(self, call: CallId) -> None:
        """The survey follows the talk. Raises `LinkError`."""

    async def leave_talk(self, call: CallId, agent: str) -> None:
        """End the agent's talk. Raises `LinkError`."""


@dataclass(frozen=True, slots=True)
class SurveyOptions:
    """The settings: seconds, hours (0: no links), and whether a bad rating becomes a callback."""

    least_talk: float = 20.0
    link_hours: float = 0.0
    call_back: bool = True


@dataclass(frozen=True, slots=True)
class Around:
    """What the surveys need of the controller's other parts.

    `story`: what the diary knows of a call. `refusal`: why the gate lets nobody dial a number. `create` enters a
    callback, idempotent by its origin. `calendar`: the working calendar in force.
    """

    report: Callable[..., None]
    rules: Callable[[], Rules]
    clock: Callable[[], int]
    story: Callable[[CallId], Awaitable[Sequence[Fact]]]
    refusal: Callable[[str, Purpose], Refusal | None]
    create: Callable[[CreateCallback], None]
    calendar: Callable[[], Calendar]


class Surveys:
    """All surveys of this controller. `add` takes every recorded fact."""

    def __init__(self, calls: Calls, switch: Verbs, around: Around, options: SurveyOptions) -> None:
        self._calls = calls
        self._switch = switch
        self._around = around
        self._least = round(options.least_talk * SECOND)
        self._link_for = round(options.link_hours * HOUR)
        self._call_back = options.call_back
        self._invitations = Invitations()
        self._links: OrderedDict[str, SurveyLinked] = OrderedDict()
        self._loaded = False

    # --- what the desk records

    def add(self, fact: Fact) -> None:
        """Take a recorded fact."""
        story = self._invitations.add(fact)
        if isinstance(fact, SurveyLinked):
            self._open(fact)
        elif story is not None and isinstance(fact, CallEnded) and self._link_for:
            self._send_link(story, fact)

    # --- what a citizen's survey asks (`ivr.survey.Surveys`)

    def report(self, *facts: Fact) -> None:
        """Take facts of a survey."""
        self._around.report(*facts)
        for fact in facts:
            if isinstance(fact, SurveyRated) and (story := self._invitations.story(fact.call)):
                self._answer_for(story, fact)

    async def invite(self, call: CallId) -> Invitation | None:
        """What the citizen hears now; None when the agent has not handed them over."""
        story = None
        for look in range(_LOOKS):
            # The diary has what this program may have missed while it read the story of an older call.
            story = await self._known(call, fresh=look % 10 == 9)
            if story is None or not story.agent or story.ended:
                break
            await asyncio.sleep(_LOOK_EVERY)
        if story is None:
            return None
        by_hang_up = self._when(story) is SurveyWhen.HANG_UP
        if not story.handed(by_hang_up=by_hang_up):
            return None
        if story.handed_over != story.agent:
            if story.talk < self._least:
                return None
            now = self._around.clock()
            self._around.report(SurveyHandedOver(now, call, story.agent, HandOver.HANG_UP))
        return Invitation(story.agent, self._asks(story))

    async def hand_over_by_key(self, agent: str) -> str:
        """The agent pressed the key. Empty when their talk ends now, else why not."""
        try:
            await self.hand_over(agent, HandOver.KEY)
        except Refused as refused:
            return str(refused)
        return ""

    # --- what screens and programs ask

    async def asked(self, asked: HandToSurvey) -> Reply:
        """Carry the request out. Raises `Refused`."""
        said = await self.hand_over(asked.number, HandOver.API, asked.by)
        return Reply(f"agent {asked.number}: {said}")

    async def hand_over(self, agent: str, why: HandOver, by: str = "") -> str:
        """End this agent's talk and hand the citizen to the survey. Says what they hear. Raises `Refused`."""
        talk = talk_of(self._calls.talks(), agent)
        if talk is None:
            raise Refused(f"agent {agent} is not in a talk with a citizen")
        if is_attempt(talk.call):
            raise Refused("there is no survey in a callback")
        story = await self._known(talk.call)
        if story is None:
            raise Refused("nothing is known of this talk: the database is away")
        if self._when(story) is SurveyWhen.OFF:
            raise Refused(f"the survey is off in the queue {story.queue or 'default'}")
        now = self._around.clock()
        if now - story.answered < self._least:
            raise Refused(f"the talk is shorter than {self._least / SECOND:g} seconds")
        try:
            await self._switch.hand_to_survey(talk.call)
        except LinkError as error:
            log.warning("survey.not_handed_over", call_id=talk.call, error=str(error))
            raise Refused("Asterisk does not answer: the talk goes on") from None
        self._calls.hands_over(talk.call, agent)
        # Told before it is done: whoever hangs up from here on, the agent has handed the citizen over.
        self._around.report(SurveyHandedOver(self._around.clock(), talk.call, agent, why, by))
        try:
            await self._switch.leave_talk(talk.call, agent)
        except LinkError as error:
            log.warning("survey.agent_stays", call_id=talk.call, error=str(error))
            raise Refused(
                "Asterisk does not answer: hang up yourself, and the survey follows"
            ) from None
        if self._asks(story):
            return "the citizen is asked to rate the talk"
        if not self._loaded:
            return "the citizen hears the farewell: the database is away"
        return "the citizen hears the farewell: they were asked today already"

    async def enter(self, asked: EnterRating) -> Reply:
        """Enter the rating of a link. Raises `Refused` for an unknown token, a used one, or one that is too late."""
        try:
            grade = Grade(asked.grade)
        except ValueError:
            raise Refused(f"there is no such grade: there is {', '.join(Grade)}") from None
        now = self._around.clock()
        link = self._links.get(asked.token)
        if link is None or link.until < now:
            raise Refused("there is no open invitation with this token: it was used, or is too old")
        del self._links[asked.token]
        fact = SurveyRated(now, link.call, link.agent, grade, RatedBy.LINK)
        self._around.report(fact)
        if grade in BAD_GRADES:
            story = await self._from_diary(link.call)
            self._answer_for(story or TalkStory(link.call, link.caller), fact)
        return Reply("the rating is entered")

    # --- a start

    async def run(self, engine: AsyncEngine) -> None:
        """Read what earlier controllers did, as soon as the database can be read. Until then nobody is invited."""
        away = Outage(log, "surveys.database_away")
        effect = "no survey asks before it is back"
        await database.read_at_start(lambda: self._load(engine), away, effect)
        self._loaded = True

    async def _load(self, engine: AsyncEngine) -> None:
        now = self._around.clock()
        today = day_of(now)
        since = min(now - max(self._link_for, _LATELY), today)
        offered, rated, linked = [], [], []
        followed: set[CallId] = set()
        kinds = {SurveyOffered.kind, SurveyRated.kind, SurveyLinked.kind}
        kinds |= {CallbackAdded.kind, CallbackMerged.kind}
        async for fact in reader.read_kinds(engine, kinds, since, now + SECOND):
            match fact:
                case SurveyOffered() if fact.at > today:
                    offered.append(fact)
                case SurveyLinked():
                    linked.append(fact)
                case SurveyRated():
                    rated.append(fact)
                case CallbackAdded():
                    followed.add(fact.origin)
                case CallbackMerged():
                    followed.add(fact.call)
                case _:
                    pass
        callers = await self._callers(engine, {fact.call for fact in offered}, today, now)
        for fact in offered:
            self._invitations.remember(callers.get(fact.call) or fact.call, fact.at)
        by_link = {fact.call for fact in rated if fact.way is RatedBy.LINK}
        for link in linked:
            if link.at > today:
                self._invitations.remember(link.caller, link.at)
            if link.until > now and link.call not in by_link:
                self._open(link)
        for one in rated:
            if one.at > now - _LATELY and one.grade in BAD_GRADES and one.call not in followed:
                story = Invitations().learn(one.call, await self._around.story(one.call))
                if story is not None:
                    self._answer_for(story, one)

    @staticmethod
    async def _callers(
        engine: AsyncEngine, calls: Collection[CallId], today: int, now: int
    ) -> dict[CallId, str]:
        if not calls:
            return {}
        arrivals = reader.read_kinds(
            engine, {CallArrived.kind}, today - _LONGEST_CALL, now + SECOND
        )
        return {
            fact.call: fact.caller
            async for fact in arrivals
            if isinstance(fact, CallArrived) and fact.call in calls
        }

    # --- inside

    async def _known(self, call: CallId, *, fresh: bool = False) -> TalkStory | None:
        """The call's story; of one that began before this program, as the diary tells it."""
        story = self._invitations.story(call)
        if story is not None and not fresh:
            return story
        facts = await self._facts_of(call)
        return None if facts is None else self._invitations.learn(call, facts)

    async def _from_diary(self, call: CallId) -> TalkStory | None:
        """The story of a call that has ended."""
        facts = await self._facts_of(call)
        return None if facts is None else Invitations().learn(call, facts)

    async def _facts_of(self, call: CallId) -> Sequence[Fact] | None:
        try:
            return await self._around.story(call)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises
            log.warning("survey.story_unknown", call_id=call, **database.told(error))
            return None

    def _when(self, story: TalkStory) -> SurveyWhen:
        return self._around.rules().queue(story.queue).survey

    def _asks(self, story: TalkStory) -> bool:
        return self._loaded and not self._invitations.asked_today(story, self._around.clock())

    def _open(self, link: SurveyLinked) -> None:
        remember(self._links, link.token, link, MOST_LINKS)

    def _send_link(self, story: TalkStory, end: CallEnded) -> None:
        """Offer a link to a citizen whose talk could have been rated, and who was not asked."""
        talked = (story.ended or end.at) - story.answered
        by = story.ended_by or end.hung_up_by
        if not story.agent or story.lost or by is Party.SYSTEM or talked < self._least:
            return
        if not story.caller or self._when(story) is SurveyWhen.OFF or not self._asks(story):
            return
        token, now = secrets.token_urlsafe(16), self._around.clock()
        self._around.report(
            SurveyLinked(now, story.call, story.agent, story.caller, token, now + self._link_for)
        )

    def _answer_for(self, story: TalkStory, rated: SurveyRated) -> None:
        """A bad rating becomes a callback, if the citizen may be dialled."""
        if not self._call_back or rated.grade not in BAD_GRADES or not story.caller:
            return
        refusal = self._around.refusal(story.caller, Purpose.CALLBACK)
        if refusal is not None:
            self._around.report(
                DialRefused(
                    self._around.clock(),
                    *(story.call, story.caller, Purpose.CALLBACK.value, refusal.why.value),
                )
            )
            return
        latest = within_a_working_day(rated.at, self._around.calendar())
        self._around.create(
            CreateCallback(
                *(story.caller, story.queue or DEFAULT, latest, REASON, story.call),
                matter=MATTER,
            )
        )


def within_a_working_day(at: int, calendar: Calendar) -> int:
    """The same time of the next working day (microseconds)."""
    days = 1
    while not calendar.is_workday(local(at).date() + timedelta(days=days)):
        days += 1
    return at + days * DAY
