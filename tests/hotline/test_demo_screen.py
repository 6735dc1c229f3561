"""What the demo shows: every phrase exists in both languages, and the tables say what the diary says."""

import ast
import inspect
import io

import pytest
from rich.console import Console

from agents.model import Presence
from facts import CallArrived, CallEnded, CallQueued, Fact, OfferAnswered, OfferEnded, OfferRinging
from facts.terms import OfferReason, Party
from facts.times import SECOND
from hotline.demo import play as demo
from hotline.demo import screen as demo_screen
from hotline.demo.screen import summary, view, words

T = 1_763_731_200 * SECOND
CALL = "hotline-1.1"


def _shown(facts: list[Fact]) -> str:
    text = io.StringIO()
    drawn = view(
        words("en"), facts, {"1001": "王芳"}, {"1001": "ringing"}, {"13900000001": "citizen 1"}
    )
    Console(file=text, width=100).print(drawn)
    return text.getvalue()


def test_every_phrase_that_is_said_exists() -> None:
    said = set()
    for module in (demo, demo_screen):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            name = getattr(node, "func", None)
            if getattr(name, "attr", getattr(name, "id", "")) == "say":
                said |= {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
    assert len(said) > 20
    assert said <= demo_screen._WORDS.keys() | {""}


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_presence_and_every_event_has_words(lang: str) -> None:
    say = words(lang)
    for presence in Presence:
        assert say(presence.value) != presence.value or lang == "en", presence
        assert "{" not in say(presence.value)
    for kind in demo_screen._TOLD:
        assert say(kind.kind) != kind.kind


def test_a_language_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        words("fr")


def test_a_caller_is_followed_through_their_stages() -> None:
    facts: list[Fact] = [CallArrived(T, CALL, "12345", "13900000001")]
    say = words("en")
    seen = [summary(say, facts)]
    for fact in (
        CallQueued(T + 1, CALL, "default"),
        OfferRinging(T + 2, CALL, "1001"),
        OfferEnded(T + 3, CALL, "1001", OfferReason.NO_ANSWER),
        OfferRinging(T + 4, CALL, "1002"),
        OfferAnswered(T + 5, CALL, "1002"),
        CallEnded(T + 6, CALL, Party.CALLER),
    ):
        facts.append(fact)
        seen.append(summary(say, facts))
    at = [next(part for part in line.split("  ") if part.endswith(" 1")) for line in seen]
    assert at == [
        "greeting 1",
        "waiting 1",
        "ringing 1",
        "waiting 1",
        "ringing 1",
        "talking 1",
        "served 1",
    ]


def test_one_who_leaves_unserved_gave_up() -> None:
    facts: list[Fact] = [
        CallArrived(T, CALL, "12345", "13900000001"),
        CallEnded(T + 6, CALL, Party.CALLER),
    ]
    assert summary(words("en"), facts).endswith("gave up 1")


def test_the_tables_name_citizens_and_never_their_numbers() -> None:
    facts: list[Fact] = [
        CallArrived(T, CALL, "12345", "13900000001"),
        OfferAnswered(T + 5, CALL, "1001"),
    ]
    shown = _shown(facts)
    assert "citizen 1 calls" in shown
    assert "1001 answers citizen 1" in shown
    assert "1 taken" in shown
    assert "13900000001" not in shown
