"""Where recorded facts go: some places at once, the others together, and no place concerns another."""

from collections.abc import Callable, Iterable

import pytest
from structlog.testing import capture_logs

from facts import AgentOut, AgentReady, CallQueued, CallReleased, Fact
from facts.terms import Release
from hotline.controller.outlets import Outlets

T = 1_763_731_200_000_000
CALL = "hotline-1.1"
QUEUED, READY = CallQueued(T, CALL, "default"), AgentReady(T + 1, "1001")


class Places(list[str]):
    """Writes down who got which fact, in order."""

    def of(self, place: str) -> Callable[[Fact], None]:
        return lambda fact: self.append(f"{place} {fact.kind}")


class Paper:
    """The diary, or the file `queue_log`: what `write` gets goes to `put`."""

    def __init__(self, put: Callable[[Fact], None]) -> None:
        self.put = put

    def write(self, facts: Fact | Iterable[Fact]) -> None:
        for fact in facts if isinstance(facts, list) else [facts]:
            self.put(fact)


@pytest.fixture
def places() -> Places:
    return Places()


def outlets(
    places: Places, *takers: Callable[[Fact], object], **more: Callable[[str], None]
) -> Outlets:
    return Outlets(
        Paper(places.of("diary")),
        places.of("book"),
        Paper(places.of("queue_log")),
        takers,
        more.get("blocked", lambda call: None),
    )


def test_diary_and_book_at_once_the_others_together(places: Places) -> None:
    out = outlets(places, places.of("figures"), places.of("stream"))
    out.record(QUEUED)
    out.record(READY)
    assert places == ["diary CallQueued", "book CallQueued", "diary AgentReady", "book AgentReady"]
    places.clear()
    out.hand_on()
    assert places == [
        *("figures CallQueued", "figures AgentReady"),
        *("stream CallQueued", "stream AgentReady"),
        *("queue_log CallQueued", "queue_log AgentReady"),
    ]


def test_nothing_is_handed_on_twice(places: Places) -> None:
    out = outlets(places, places.of("figures"))
    out.record(QUEUED)
    out.hand_on()
    places.clear()
    out.hand_on()
    assert places == []


def test_what_is_recorded_meanwhile_is_for_the_next_time(places: Places) -> None:
    def wakes_another(fact: Fact) -> None:
        if isinstance(fact, AgentReady):
            out.record(AgentOut(T + 2, "1001"))

    out = outlets(places, wakes_another)
    out.record(READY)
    out.hand_on()
    assert "queue_log AgentOut" not in places
    out.hand_on()
    assert places[-1] == "queue_log AgentOut"


def test_a_fact_that_one_cannot_take_concerns_no_other(places: Places) -> None:
    def stumbles(fact: Fact) -> None:
        if isinstance(fact, CallQueued):
            raise KeyError(fact.queue)
        places.append(f"figures {fact.kind}")

    out = outlets(places, stumbles, places.of("stream"))
    out.record(QUEUED)
    out.record(READY)
    places.clear()
    with capture_logs() as logs:
        out.hand_on()
    assert places == [
        "figures AgentReady",
        *("stream CallQueued", "stream AgentReady"),
        *("queue_log CallQueued", "queue_log AgentReady"),
    ]
    assert [(line["event"], line["fact"]) for line in logs] == [("fact.not_taken", "CallQueued")]


def test_callers_who_are_turned_away_by_the_block_list_are_counted(places: Places) -> None:
    turned_away: list[str] = []
    out = outlets(places, blocked=turned_away.append)
    for reason in Release:
        out.record(CallReleased(T, f"call {reason}", reason))
    assert turned_away == ["call blocked"]


def test_news_says_that_there_is_something(places: Places) -> None:
    out = outlets(places)
    assert not out.news.is_set()
    out.record(QUEUED)
    assert out.news.is_set()
