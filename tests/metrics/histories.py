"""Hand-made histories of calls, and a diary of them. Times in seconds after `T`, a noon in China."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from diary.writer import Diary
from facts import (
    CallArrived,
    CallEnded,
    CallOverflowed,
    CallQueued,
    CallRefused,
    CallReleased,
    CallTransferred,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    TalkEnded,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.terms import OfferReason, Party, Release
from facts.times import CHINA, SECOND, microseconds

T = microseconds(datetime(2025, 11, 21, 12, tzinfo=CHINA))


def at(seconds: float) -> int:
    return T + round(seconds * SECOND)


def arrived(when: float, call: str) -> CallArrived:
    return CallArrived(at(when), call, "12345", "13812345678")


def ended(when: float, call: str, by: Party = Party.CALLER) -> CallEnded:
    return CallEnded(at(when), call, by, 16)


def answered(
    call: str, begin: float = 0, *, waits: float = 5, rings: float = 3, talks: float = 60
) -> list[Fact]:
    """Greeting 8 s, then in the queue for `waits`, then agent 1001's phone rings for `rings`."""
    queued = begin + 8
    ringing = queued + waits
    picked = ringing + rings
    return [
        arrived(begin, call),
        CallQueued(at(queued), call, "default"),
        OfferMade(at(ringing - 0.1), call, "1001"),
        OfferRinging(at(ringing), call, "1001"),
        OfferAnswered(at(picked), call, "1001"),
        TalkEnded(at(picked + talks), call, "1001", Party.CALLER),
        ended(picked + talks + 0.001, call),
    ]


def refused(call: str, begin: float = 0, status: int = 488) -> list[Fact]:
    return [arrived(begin, call), CallRefused(at(begin + 0.01), call, status)]


def in_greeting(call: str, begin: float = 0) -> list[Fact]:
    return [arrived(begin, call), ended(begin + 3, call)]


def in_queue(call: str, begin: float = 0) -> list[Fact]:
    return [
        arrived(begin, call),
        CallQueued(at(begin + 8), call, "default"),
        ended(begin + 20, call),
    ]


def while_ringing(call: str, begin: float = 0) -> list[Fact]:
    """As the dialplan tells it: the agent's leg is gone before the caller's channel is."""
    return [
        arrived(begin, call),
        CallQueued(at(begin + 8), call, "default"),
        OfferMade(at(begin + 8), call, "1001"),
        OfferRinging(at(begin + 8.1), call, "1001"),
        OfferEnded(at(begin + 12), call, "1001", OfferReason.CALLER_GONE),
        ended(begin + 12.001, call),
    ]


def released(call: str, reason: Release, begin: float = 0) -> list[Fact]:
    return [
        arrived(begin, call),
        CallQueued(at(begin + 8), call, "default"),
        CallReleased(at(begin + 900), call, reason),
        ended(begin + 905, call, Party.SYSTEM),
    ]


def overflowed(call: str, begin: float = 0) -> list[Fact]:
    """The controller was gone from the first moment; Asterisk's own queue found an agent."""
    return [
        arrived(begin, call),
        CallOverflowed(at(begin + 20), call),
        OfferRinging(at(begin + 21), call, "1002", estimated=True),
        OfferAnswered(at(begin + 25), call, "1002"),
        TalkEnded(at(begin + 60), call, "1002", Party.AGENT),
        ended(begin + 60.5, call, Party.AGENT),
    ]


def handed_on(call: str, begin: float = 0, *, talks: float = 60) -> list[Fact]:
    """From a callback of agent 1001's to 1002, who talks to the citizen; 4 s after that 1002 has written up."""
    picked = begin + 2
    over = at(picked + talks)
    return [
        CallArrived(at(begin), call, "", "13812345678", "hotline-c7.1", "tax"),
        CallTransferred(at(begin), call, "1001", "1002"),
        OfferMade(at(begin), call, "1002"),
        OfferRinging(at(begin + 0.1), call, "1002"),
        OfferAnswered(at(picked), call, "1002"),
        TalkEnded(over, call, "1002", Party.CALLER),
        WrapUpStarted(over, "1002", over + 30 * SECOND, call),
        ended(picked + talks + 0.001, call),
        WrapUpEnded(over + 4 * SECOND, "1002", call),
    ]


def handed_on_and_lost(call: str, begin: float = 0) -> list[Fact]:
    """Nobody takes the citizen, who hangs up."""
    return [*handed_on(call, begin)[:2], ended(begin + 20, call)]


async def write(engine: AsyncEngine, folder: Path, facts: Iterable[Fact]) -> None:
    """Enter facts into the diary."""
    diary = Diary(engine, folder)
    for fact in facts:
        diary.write(fact)
    diary.start()
    await diary.close()
    assert diary.waiting == 0
