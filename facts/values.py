"""Values: dataclasses that nothing changes once they are made, and enumerations, both quick to use. Pure."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar, dataclass_transform

_Class = TypeVar("_Class")
_Words = TypeVar("_Words", bound=Enum)


@dataclass_transform(frozen_default=True)
def value(cls: type[_Class]) -> type[_Class]:
    """Make a dataclass with slots that compares and hashes by its fields, and whose fields mypy lets nobody assign.

    `frozen=True` would have Python refuse the assignment as well. But then a value takes three times as long to make,
    and a day has millions of facts.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


def words(cls: type[_Words]) -> type[_Words]:
    """Make each member a plain attribute of its class, as Python 3.12 does by itself.

    Python 3.11 calls a function for every `Stage.WAITING`, at ten times the cost, and each fact needs several.
    """
    for name, member in cls.__members__.items():
        type.__setattr__(cls, name, member)
    return cls
