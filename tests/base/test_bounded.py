"""A memory with a limit: what it holds, and in which order it forgets."""

from collections import OrderedDict

from base.bounded import remember


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
