"""The shell round the floor: facts that cross, sessions that are gone, and a floor that fails."""

import asyncio
import time

import pytest

import acd.desk
from acd.commands import CreateCallback
from acd.desk import Desk
from acd.floor import Floor
from acd.rules.model import DEFAULT, Queue, Rules
from facts import (
    AgentAdded,
    AgentReady,
    CallArrived,
    CallEnded,
    CallQueued,
    CallReturned,
    Fact,
    LinkRestored,
    OfferEnded,
    OfferMade,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
)
from facts.terms import CallId, OfferReason, Party, Release
from facts.times import SECOND

T = 1_763_731_200 * SECOND
CALL, OTHER = "hotline-1.1", "hotline-1.2"


class TooMany(BaseException):
    """The desk runs in circles. No `Exception`, for the desk survives those."""


class Book(list[Fact]):
    def write(self, fact: Fact) -> None:
        self.append(fact)
        if len(self) > 200:
            raise TooMany


class Session:
    """Writes down each fact."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def ring(self, agents: tuple[str, ...], ring_for: float) -> None:
        self.told.append(f"ring {' '.join(agents)} {ring_for:g}")

    def send_outside(self, number: str) -> None:
        self.told.append(f"outside {number}")

    def release(self, reason: Release) -> None:
        self.told.append(reason.value)


class Callbacks:
    """Keeps nothing but what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[CreateCallback] = []

    def create(self, wanted: CreateCallback) -> None:
        self.asked.append(wanted)


def _desk(book: Book, *agents: str) -> Desk:
    def stop_ringing(call: CallId, agent: str) -> None:
        raise AssertionError("nobody asked for that")

    desk = Desk(Floor(Rules()), record=book.write, stop_ringing=stop_ringing, clock=lambda: T)
    desk.report(LinkRestored(T))
    for agent in agents:
        desk.report(AgentAdded(T, agent))
        desk.report(PhoneReachable(T, agent))
        desk.report(AgentReady(T, agent))
    return desk


def _queue(desk: Desk, call: CallId) -> Session:
    session = Session()
    desk.report(CallArrived(T, call, "12345", ""))
    desk.attach(call, session)
    desk.report(CallQueued(T, call, "default"))
    return session


async def test_a_caller_in_the_queue_rings_at_an_agent() -> None:
    desk = _desk(Book(), "1001")
    assert _queue(desk, CALL).told == ["ring 1001 15"]
    desk.close()


@pytest.mark.parametrize("first", ["caller", "timer"])
async def test_a_program_that_has_stood_still_hears_first_what_was_said_meanwhile(
    monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    # Stopped, swapped out: the agent's phone is in use by now, but the event that says so has not been read.
    monkeypatch.setattr(acd.desk, "STOOD_STILL", 0.05)
    heard = asyncio.Event()

    async def listen() -> None:
        await heard.wait()

    book = Book()
    desk = _desk(book, "1001", "1002")
    desk.watch(listen)
    time.sleep(0.1)  # noqa: ASYNC251 so that nothing runs
    if first == "timer":
        await asyncio.sleep(0)
        desk.wake()
    waiting = _queue(desk, CALL)
    assert waiting.told == []
    desk.report(OwnCallStarted(T, "1001"))
    assert waiting.told == []
    heard.set()
    await asyncio.sleep(0.01)
    assert waiting.told == ["ring 1002 15"]
    # From then on offers are made at once again.
    desk.report(OwnCallEnded(T, "1001"))
    assert _queue(desk, OTHER).told == ["ring 1001 15"]
    desk.close()


async def test_a_program_that_goes_on_is_not_held_up() -> None:
    async def listen() -> None:
        raise AssertionError("nothing stood still")

    desk = _desk(Book(), "1001")
    desk.watch(listen)
    await asyncio.sleep(0.3)
    assert _queue(desk, CALL).told == ["ring 1001 15"]
    desk.close()


async def test_an_offer_that_fails_after_the_session_has_left_is_not_made_again_and_again() -> None:
    # The agent answers and the caller hangs up at the same moment: Dial returns, the session closes without a word
    # (it waits no more), the agent's leg is gone unanswered, and only then comes the end of the caller's channel.
    book = Book()
    desk = _desk(book, "1001")
    session = _queue(desk, CALL)
    desk.report(OfferRinging(T, CALL, "1001"))
    desk.detach(CALL, session)
    desk.report(OfferEnded(T, CALL, "1001", OfferReason.CALLER_GONE))
    assert sum(isinstance(fact, OfferMade) for fact in book) <= 2
    # The agent is free for the next caller, before the end of the first is known and after it.
    assert _queue(desk, OTHER).told == ["ring 1001 15"]
    desk.report(CallEnded(T, CALL, Party.CALLER))
    assert CALL not in desk.floor.callers
    desk.close()


async def test_facts_of_one_moment_are_known_before_anything_is_decided() -> None:
    # One manager event ends the offer and the call: the dead call must not be offered once more in between.
    book = Book()
    desk = _desk(book, "1001")
    _queue(desk, CALL)
    waiting = _queue(desk, OTHER)
    desk.report(OfferRinging(T, CALL, "1001"))
    desk.report(
        OfferEnded(T, CALL, "1001", OfferReason.CALLER_GONE), CallEnded(T, CALL, Party.CALLER)
    )
    offers = [fact.call for fact in book if isinstance(fact, OfferMade)]
    assert offers == [CALL, OTHER]
    assert waiting.told == ["ring 1001 15"]
    desk.close()


async def test_after_a_restart_callers_come_back_in_their_old_order() -> None:
    # What the diary knows of two waiting callers. Their sessions died with the controller before this one, and the
    # later of the two is the first to come back.
    book = Book()
    desk = Desk(Floor(Rules()), record=book.write, stop_ringing=lambda *_: None, clock=lambda: T)
    for fact in (AgentAdded(T, "1001"), AgentReady(T, "1001")):
        desk.seed([fact])
    for place, call in enumerate((CALL, OTHER)):
        desk.seed([CallArrived(T, call, "12345", ""), CallQueued(T + place, call, "default")])
    desk.report(PhoneReachable(T, "1001"))
    desk.floor.expect([CALL, OTHER], T + SECOND)
    desk.report(LinkRestored(T))
    sessions = {call: Session() for call in (CALL, OTHER)}
    for place, call in ((1, OTHER), (0, CALL)):
        desk.attach(call, sessions[call])
        desk.report(CallReturned(T, call, "default", T + place))
    assert sessions[CALL].told == ["ring 1001 15"]
    assert sessions[OTHER].told == []
    desk.close()


async def test_a_lost_caller_goes_straight_to_the_book_of_callbacks() -> None:
    callbacks = Callbacks()
    rules = Rules(queues={DEFAULT: Queue(call_back_lost=True)})
    desk = Desk(
        Floor(rules),
        record=lambda fact: None,
        stop_ringing=lambda call, agent: None,
        book=callbacks,
        clock=lambda: T,
    )
    desk.report(LinkRestored(T), CallArrived(T, CALL, "12345", "+8613800000001"))
    desk.report(CallQueued(T, CALL, DEFAULT), CallEnded(T, CALL, Party.CALLER))
    desk.close()
    assert [(one.number, one.queue, one.origin) for one in callbacks.asked] == [
        ("+8613800000001", DEFAULT, CALL)
    ]
