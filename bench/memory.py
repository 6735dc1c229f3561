"""What a million calls in one process leave behind: the controller without Asterisk, at the pace of this machine.

Days of 100,000 calls pass through floor, diary, book, figures and live state (`bench.made_up`). For two days memory may
grow, for so long the figures keep something of each call. After that it should not.

`python -m bench.memory --svg FILE` draws the curve.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest import mock

import numpy as np
import psutil
import uvloop

from base import clock
from bench.figures import TableRow, table
from bench.made_up import MadeUp, Moment, Work, at_home, by_day
from facts.times import DAY, midnight

CALLS: Final = 1_000_000
_BY_DAY: Final = 100_000
_SAMPLES: Final = 200
_FULL: Final = 2.5
"""Days after which nothing more is kept than before."""
_GROWTH: Final = 10
"""Bytes a call that count as none: ten megabytes for a million."""


@dataclass(frozen=True, slots=True)
class MemoryLook:
    """After so many calls, on such a day, so many bytes of memory (resident)."""

    calls: int
    day: float
    memory: int


def measure(calls: int = CALLS) -> list[TableRow]:
    """Let so many calls pass; the rows of the table."""
    return rows(take_samples(calls))


def take_samples(calls: int, calls_a_day: int = _BY_DAY) -> list[MemoryLook]:
    """Let so many calls pass, and look at the memory now and then. Interrupted, it gives what it has."""
    taken: list[MemoryLook] = []
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_sample(calls, calls_a_day, taken))
    return taken


async def _sample(calls: int, calls_a_day: int, taken: list[MemoryLook]) -> None:
    work = Work(agents=600, talk=110.0, wrap_up=10.0, arrivals=by_day(calls_a_day))
    began = midnight(clock.now()) + 1
    moment = Moment(began)
    own = psutil.Process()
    started = time.monotonic()
    with mock.patch.object(clock, "now", moment.now):
        async with at_home(work) as (chosen, engine):
            centre = MadeUp(chosen, engine, work)
            centre.shown_after = 100
            await centre.open(paced=False)
            for number in range(1, _SAMPLES + 1):
                wanted = calls * number // _SAMPLES
                await centre.pass_on(moment, lambda: centre.ended >= wanted)  # noqa: B023 awaited here
                held = own.memory_info().rss
                taken.append(MemoryLook(centre.ended, (moment.at - began) / DAY, held))
                if number % 10 == 0:
                    said = (
                        f"{centre.ended:,} calls, day {taken[-1].day:.1f}, {held / 2**20:.1f} MiB"
                    )
                    print(f"[{time.monotonic() - started:4.0f} s] {said}", flush=True)
            await centre.close()


def rows(samples: Sequence[MemoryLook]) -> list[TableRow]:
    """The rows of the table."""
    first, last = samples[0], samples[-1]
    full = [one for one in samples if one.day >= _FULL]
    found = [
        TableRow(
            f"memory after {first.calls:,} and after {last.calls:,} calls in one process",
            "",
            f"{first.memory / 2**20:.0f}, {last.memory / 2**20:.0f} MiB",
        )
    ]
    if len(full) > 1:
        slope = float(np.polyfit([one.calls for one in full], [one.memory for one in full], 1)[0])
        found.append(
            TableRow(
                f"… growth a call, from day {_FULL} on",
                "",
                f"{slope:.1f} bytes",
                "",
                f"≤ {_GROWTH} bytes",
                slope <= _GROWTH,
            )
        )
    return found


def draw(samples: Sequence[MemoryLook]) -> str:
    """The curve as SVG: calls from left to right, memory from 0 upwards."""
    left, top, width, height = 60, 20, 600, 220
    most = max(one.memory for one in samples) * 1.15
    calls = samples[-1].calls
    points = " ".join(
        f"{left + width * one.calls / calls:.1f},{top + height * (1 - one.memory / most):.1f}"
        for one in samples
    )
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 290" font-family="sans-serif" font-size="12">',
        '<rect width="700" height="290" fill="#fff"/>',
    ]
    for mebibytes in range(0, int(most / 2**20) + 1, 50):
        y = top + height * (1 - mebibytes * 2**20 / most)
        parts += [
            f'<path d="M{left} {y:.1f}h{width}" stroke="#ddd"/>',
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{mebibytes}</text>',
        ]
    for tenth in range(0, 11, 2):
        x = left + width * tenth / 10
        label = f"{calls * tenth // 10:,}"
        parts.append(
            f'<text x="{x:.0f}" y="{top + height + 18}" text-anchor="middle">{label}</text>'
        )
    parts += [
        f'<text x="{left}" y="12">MiB</text>',
        f'<text x="{left + width / 2:.0f}" y="{top + height + 40}" text-anchor="middle">calls</text>',
        f'<polyline points="{points}" fill="none" stroke="#0b62a4" stroke-width="2"/>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, draw. Status 0 for any figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--by-day", type=int, default=_BY_DAY, help="calls a day")
    parser.add_argument("--svg", type=Path, metavar="FILE")
    given = parser.parse_args(argv)
    samples = take_samples(given.calls, given.by_day)
    print(table(rows(samples), beside=""))
    if given.svg:
        given.svg.write_text(draw(samples), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
