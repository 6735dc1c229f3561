"""Memories with a limit: what has been there for longest is forgotten."""

from collections import OrderedDict, deque
from typing import TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def remember(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    """Remember the value as the newest, and forget the oldest if there are more than `most`."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > most:
        memory.popitem(last=False)


class Lately:
    """Counts what has happened within the last `span` (microseconds). Times are added in their order."""

    def __init__(self, span: int) -> None:
        self._span = span
        self._times: deque[int] = deque()

    def add(self, at: int) -> None:
        """It has happened."""
        self._times.append(at)

    def count(self, now: int) -> int:
        """How often it has lately."""
        while self._times and now - self._times[0] >= self._span:
            self._times.popleft()
        return len(self._times)
