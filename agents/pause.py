"""Why an agent pauses, the key that says so (`*12` and one digit), and how long that may last. Pure.

A centre's own reasons are rows of the table `pause_reason` (`hotline queue pause …`); these are those it begins with.
"""

from collections.abc import Iterable
from dataclasses import dataclass

OTHER = "其他"
"""The reason of an agent who dials `*12` alone."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One reason. `key`: the digit after `*12`. `minutes`: how long it may last, 0 without a limit."""

    key: str
    name: str
    minutes: int = 0


USUAL = (
    Pause("1", "小休", 15),
    Pause("2", "用餐", 60),
    Pause("3", "培训"),
    Pause("4", "会议"),
    Pause("5", OTHER),
)


def reason(key: str, pauses: Iterable[Pause] = USUAL) -> str | None:
    """The reason behind a key; `None` for a key that has none. No key at all is `OTHER`."""
    if not key:
        return OTHER
    return next((pause.name for pause in pauses if pause.key == key), None)


def minutes(name: str, pauses: Iterable[Pause] = USUAL) -> int:
    """How many minutes a pause for this reason may last; 0, without a limit, also for a reason in the agent's words."""
    return next((pause.minutes for pause in pauses if pause.name == name), 0)
