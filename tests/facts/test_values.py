"""Values and words: what facts are made with."""

from acd.floor.hall import Stage
from facts import CallQueued, Fact, OfferMade
from facts.terms import Outcome


def test_values_compare_and_hash_by_their_fields() -> None:
    one, same = OfferMade(1, "a", "1001"), OfferMade(1, "a", "1001")
    assert one == same
    assert len({one, same, OfferMade(2, "a", "1001")}) == 2
    assert not hasattr(one, "__dict__"), "no attribute can be added by mistake"


def test_values_of_different_kinds_are_never_equal() -> None:
    facts: list[Fact] = [OfferMade(1, "a", "x"), CallQueued(1, "a", "x")]
    assert facts[0] != facts[1]


def test_words_are_plain_attributes() -> None:
    for words in (Stage, Outcome):
        for name, member in words.__members__.items():
            assert vars(words)[name] is member
            assert words(member.value) is member
