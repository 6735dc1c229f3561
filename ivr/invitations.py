"""Who is asked to rate a talk (R46). Pure: facts in, a decision out.

An invitation follows a talk that the agent ended by a hand-over, or by hanging up where that is one. It never follows
one that the system, a dead phone or the citizen ended, one that was too short, or a talk with an outside number. A
number is invited once a day; a withheld one once a call. Whoever had no time for it may get a link instead, under the
same conditions: they hung up first, or before the invitation was spoken.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from facts import (
    CallArrived,
    CallEnded,
    CallMoved,
    CallQueued,
    CallSentOutside,
    CallTransferred,
    Fact,
    OfferAnswered,
    PhoneLost,
    SurveyHandedOver,
    SurveyLinked,
    SurveyOffered,
    TalkEnded,
)
from facts.terms import CallId, Party
from facts.times import day_of

MOST_CALLS = 20_000
"""Calls that are remembered. A centre never has so many at once: the oldest have lost their ends."""


@dataclass(slots=True)
class TalkStory:
    """What is known of one call. Times in microseconds, 0: not (yet). `agent`: who talks, or talked last."""

    call: CallId
    caller: str = ""
    queue: str = ""
    agent: str = ""
    answered: int = 0
    ended: int = 0
    ended_by: Party | None = None
    lost: bool = False
    handed_over: str = ""
    invited: bool = False

    def add(self, fact: Fact) -> None:
        """Take a fact of this call."""
        match fact:
            case CallArrived():
                self.caller, self.queue = fact.caller, fact.queue
            case CallQueued() | CallMoved():
                self.queue = fact.queue
            case OfferAnswered():
                self.agent, self.answered = fact.agent, fact.at
                self.ended, self.ended_by, self.lost, self.handed_over = 0, None, False, ""
            case PhoneLost():
                self.lost = self.lost or fact.agent == self.agent
            case TalkEnded() if fact.agent == self.agent and not self.ended:
                self.ended, self.ended_by = fact.at, fact.hung_up_by
            case CallTransferred(attended=False) | CallSentOutside():
                self.agent, self.answered = "", 0  # the citizen waits again
            case SurveyHandedOver():
                self.handed_over = fact.agent
            case SurveyOffered() | SurveyLinked():
                self.invited = True
            case _:
                pass

    @property
    def talk(self) -> int:
        """How long the last talk was, or has been at its end (microseconds)."""
        return max(0, self.ended - self.answered) if self.ended else 0

    def handed(self, *, by_hang_up: bool) -> bool:
        """Whether its last talk ended by a hand-over. `by_hang_up`: an agent who hangs up hands the citizen over."""
        if not self.agent or self.lost or self.ended_by is Party.CALLER:
            return False
        if self.handed_over == self.agent:
            return True
        return by_hang_up and self.ended_by is Party.AGENT


KINDS: frozenset[type[Fact]] = frozenset(
    {
        *(CallArrived, CallQueued, CallMoved, OfferAnswered, PhoneLost, TalkEnded),
        *(CallTransferred, CallSentOutside, SurveyHandedOver, SurveyOffered, SurveyLinked),
        CallEnded,
    }
)
"""The facts that a `TalkStory` is made of, and the one that ends it."""


class Invitations:
    """The calls that go on, and who was invited today."""

    def __init__(self) -> None:
        self._calls: dict[CallId, TalkStory] = {}
        self._day = 0
        self._invited: set[str] = set()

    def add(self, fact: Fact) -> TalkStory | None:
        """Take a fact. Gives the whole story of a call that has ended with it."""
        if type(fact) not in KINDS:
            return None
        call: CallId = fact.call  # type: ignore[union-attr]  # every kind in KINDS has it
        if isinstance(fact, CallEnded):
            return self._calls.pop(call, None)
        if (story := self._calls.get(call)) is None:
            if not isinstance(fact, CallArrived):
                return None
            story = self._calls[call] = TalkStory(call)
            if len(self._calls) > MOST_CALLS:
                del self._calls[next(iter(self._calls))]
        story.add(fact)
        if isinstance(fact, SurveyOffered | SurveyLinked):
            self.remember(story.caller or call, fact.at)
        return None

    def story(self, call: CallId) -> TalkStory | None:
        """What is known of a call that goes on; None of one that began before this program."""
        return self._calls.get(call)

    def learn(self, call: CallId, facts: Iterable[Fact]) -> TalkStory | None:
        """Take the facts that the diary knows of a call; None when its arrival is not among them."""
        known = list(facts)
        if not any(isinstance(fact, CallArrived) for fact in known):
            return None
        story = TalkStory(call)
        for fact in known:
            story.add(fact)
        self._calls[call] = story
        return story

    def remember(self, citizen: str, at: int) -> None:
        """This number, or this call of a citizen who withholds theirs, was invited at `at`."""
        if (day := day_of(at)) > self._day:
            self._day = day
            self._invited.clear()
        if day == self._day:
            self._invited.add(citizen)

    def asked_today(self, story: TalkStory, now: int) -> bool:
        """Whether the citizen was invited today, for whatever call."""
        if story.invited:
            return True
        return day_of(now) == self._day and (story.caller or story.call) in self._invited
