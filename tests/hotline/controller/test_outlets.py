"""Where recorded facts go: the diary first, the others together, and one that fails concerns no other."""

from collections.abc import Callable, Iterable

from structlog.testing import capture_logs

from facts import CallArrived, CallReleased, Fact
from facts.terms import Release
from hotline.controller.outlets import Outlets

ARRIVED = CallArrived(1, "n-1.1", "12345", "")
BLOCKED = CallReleased(2, "n-1.1", Release.BLOCKED)
CLOSED = CallReleased(2, "n-1.2", Release.CLOSED_HOURS)


class Told:
    """Writes down who got what, in order."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.blocked: list[str] = []

    def write(self, facts: "Fact | Iterable[Fact]") -> None:
        if isinstance(facts, list):
            self.order.append(f"queue_log {len(facts)}")
        else:
            self.order.append(f"diary {facts.kind}")  # type: ignore[union-attr]

    def named(self, name: str) -> Callable[[Fact], None]:
        return lambda fact: self.order.append(f"{name} {fact.kind}")


def outlets(told: Told, *takers: Callable[[Fact], object]) -> Outlets:
    return Outlets(told, told.named("book"), told, takers, told.blocked.append)


async def test_the_diary_and_the_book_have_a_fact_at_once_and_the_others_later() -> None:
    told = Told()
    made = outlets(told, told.named("figures"), told.named("screens"))
    made.record(ARRIVED)
    assert told.order == ["diary CallArrived", "book CallArrived"]
    assert made.news.is_set()
    made.record(CLOSED)
    made.hand_on()
    assert told.order[4:] == [
        "figures CallArrived",
        "figures CallReleased",
        "screens CallArrived",
        "screens CallReleased",
        "queue_log 2",
    ]


async def test_many_facts_are_handed_on_in_portions_and_news_says_of_the_rest() -> None:
    told = Told()
    made = outlets(told, told.named("figures"))
    for _ in range(5):
        made.record(ARRIVED)
    counts = []
    for _ in range(3):
        made.news.clear()
        told.order.clear()
        made.hand_on(2)
        counts.append((told.order.count("figures CallArrived"), made.news.is_set()))
    assert counts == [(2, True), (2, True), (1, False)]


async def test_what_was_handed_on_is_not_handed_on_again() -> None:
    told = Told()
    made = outlets(told, told.named("figures"))
    made.record(ARRIVED)
    made.hand_on()
    told.order.clear()
    made.hand_on()
    assert told.order == ["queue_log 0"]


async def test_a_fact_that_one_cannot_take_concerns_no_other() -> None:
    told = Told()

    def fails(fact: Fact) -> None:
        raise ZeroDivisionError

    made = outlets(told, fails, told.named("screens"))
    made.record(ARRIVED)
    made.record(CLOSED)
    with capture_logs() as logs:
        made.hand_on()
    assert told.order[-3:] == ["screens CallArrived", "screens CallReleased", "queue_log 2"]
    assert [entry["fact"] for entry in logs] == ["CallArrived", "CallReleased"]


async def test_only_blocked_callers_are_counted() -> None:
    told = Told()
    made = outlets(told)
    for fact in (ARRIVED, CLOSED, BLOCKED):
        made.record(fact)
    assert told.blocked == ["n-1.1"]
