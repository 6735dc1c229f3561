"""Memories with a limit: what has been there for longest is forgotten."""

from collections import OrderedDict
from typing import TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def remember(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    """Remember the value as the newest, and forget the oldest if there are more than `most`."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > most:
        memory.popitem(last=False)
