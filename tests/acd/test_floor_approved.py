"""Four histories of a small centre, command by command and with what the floor remembers: no change goes unseen.

`test_world.py` says which promises hold in ten thousand histories, whatever the floor decides; this says what it
decides in four of them. When a decision must change, run this, and read the difference in
`tests/fixtures/approved/floor.txt`:

    python -m tests.acd.test_floor_approved
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from acd.commands import Command
from facts import Fact
from facts.times import SECOND
from tests.acd.world import World

APPROVED = Path(__file__).parents[1] / "fixtures" / "approved" / "floor.txt"
SEEDS = (1, 2, 5, 7)
START = 1_000_000 * SECOND


class Told(World):
    """A world that writes down what the floor is told and what it says."""

    def __init__(self, seed: int) -> None:
        self.lines: list[str] = []
        super().__init__(seed, supervised=False)

    def tell(self, fact: Fact) -> None:
        self.lines.append(f"{self.now - START:>12} {_words(fact)}")
        super().tell(fact)

    def obey(self, commands: list[Command]) -> None:
        self.lines += [f"               → {_words(command)}" for command in commands]
        super().obey(commands)
        floor = self.floor
        since, due = floor.waiting_since(), floor.deadline()
        self.lines.append(
            f"                 talking {floor.talking()} waiting since {since and since - START} "
            f"due {due and due - START} "
            + " ".join(f"{seat.agent}:{seat.presence().value}" for seat in floor.seats.values())
        )
        if self.lines[-1] in self.lines[-2:-1]:
            self.lines.pop()


def _words(what: Fact | Command) -> str:
    fields = asdict(what)
    inner = fields.pop("fact", None)
    told = " ".join(
        f"{name}={value - START if isinstance(value, int) and value > START // 2 else value}"
        for name, value in (inner or fields).items()
        if value not in ("", False, 0, ())
    )
    kind = type(getattr(what, "fact", what)).__name__
    return f"{'writes ' if inner else ''}{kind} {told}"


def lines() -> Iterator[str]:
    for seed in SEEDS:
        yield f"history {seed}"
        world = Told(seed)
        world.run(steps=60)
        yield from world.lines
        yield json.dumps(world.floor.snapshot(), sort_keys=True, ensure_ascii=False)


def test_as_approved() -> None:
    assert list(lines()) == APPROVED.read_text().splitlines()


if __name__ == "__main__":
    APPROVED.write_text("\n".join(lines()) + "\n")
