"""Memories with a limit: what they hold, and in which order they forget."""

from collections import OrderedDict

from base.bounded import Lately, remember


def test_the_oldest_is_forgotten_first() -> None:
    memory: OrderedDict[str, int] = OrderedDict()
    for count, key in enumerate("abc"):
        remember(memory, key, count, 3)
    assert list(memory.items()) == [("a", 0), ("b", 1), ("c", 2)]
    remember(memory, "d", 3, 3)
    assert list(memory.items()) == [("b", 1), ("c", 2), ("d", 3)]


def test_what_is_remembered_again_is_the_newest() -> None:
    memory: OrderedDict[str, int] = OrderedDict(a=0, b=1)
    remember(memory, "a", 2, 2)
    assert list(memory.items()) == [("b", 1), ("a", 2)]


def test_what_has_happened_lately_is_counted_until_it_is_long_ago() -> None:
    lately = Lately(10)
    assert lately.count(5) == 0
    for at in (1, 4, 4):
        lately.add(at)
    assert [lately.count(now) for now in (4, 10, 11, 13, 14)] == [3, 3, 2, 2, 0]
