"""How long the controller's loop stands still at the longest: in a day of 100,000 calls, and at a start after it.

The day passes as fast as this machine can, one thing a turn of the loop, as in `bench.made_up`. The start is that of a
controller that was killed in the busiest hour: it reads the diary, completes it from CEL, and warms the figures up
with what the day has left. A stall counts with the processor time that the loop's own thread took in it, so other
programs on the machine do not make it longer.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Final
from unittest import mock

import uvloop

from base import clock
from base.settings import Settings
from base.stalls import TOO_LONG, LoopWatch, Stall
from bench.figures import TableRow, milliseconds
from bench.made_up import MadeUp, Moment, Work, at_home, by_day
from facts.times import DAY, MINUTE, SECOND, midnight

CALLS: Final = 100_000
_WORK: Final = Work(agents=600, talk=110.0, wrap_up=10.0, arrivals=by_day(CALLS))
_AWAY: Final = MINUTE
_COMPLETED: Final = 30 * MINUTE
"""How much of CEL there is at the start."""


def measure(calls: int = CALLS) -> list[TableRow]:
    """Let a day of so many calls pass, and start again; the rows of the table."""
    return uvloop.run(_measure(calls))


async def _measure(calls: int) -> list[TableRow]:
    began = midnight(clock.now()) + 1
    # A shorter run begins at noon.
    moment = Moment(began if calls >= CALLS else began + DAY // 2)
    with mock.patch.object(clock, "now", moment.now):
        async with at_home(_WORK) as (chosen, engine):
            centre = MadeUp(chosen, engine, _WORK)
            await centre.open(paced=False)
            async with _watching() as by_day_:
                await centre.pass_on(moment, lambda: centre.ended >= calls)
            await centre.close()
            _write_cel(chosen, moment.at)
            moment.at += _AWAY
            again = MadeUp(chosen, engine, _WORK)
            async with _watching() as at_start:
                await again.start_again()
            await again.close()
    return [
        *_rows(f"a day of {calls:,} calls, 600 agents: longest stall of the loop", by_day_),
        *_rows("a start after it: longest stall of the loop", at_start),
    ]


@asynccontextmanager
async def _watching() -> AsyncIterator[list[float]]:
    """Gives the seconds of each stall that is worth a look."""
    found: list[float] = []

    def note(stall: Stall) -> None:
        found.append(min(stall.seconds, stall.busy))

    watch = LoopWatch(note, worth=TOO_LONG / 4)
    watch.start()
    try:
        yield found
    finally:
        watch.stop()


def _rows(name: str, stalls: list[float]) -> Iterator[TableRow]:
    longest = max(stalls, default=0.0)
    wanted = f"≤ {milliseconds(TOO_LONG)}"
    yield TableRow(name, "", milliseconds(longest), "", wanted, longest <= TOO_LONG)
    longer = sum(one > TOO_LONG for one in stalls)
    yield TableRow(
        "… stalls over 20 ms, over 10 ms", "", f"{longer}, {sum(one > 0.01 for one in stalls)}"
    )


def _write_cel(chosen: Settings, now: int) -> None:
    """What Asterisk has written of the last calls. Those that go on end while the controller is away."""
    chosen.cel_file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(chosen.root / "hotline.db")) as connection:
        told = connection.execute(
            "SELECT call, kind, at, agent FROM diary WHERE at > ? AND call <> '' ORDER BY at",
            (now - _COMPLETED,),
        ).fetchall()
    calls: dict[str, dict[str, tuple[int, str]]] = {}
    for call, kind, at, agent in told:
        calls.setdefault(call, {})[kind] = (at, agent)
    lines: list[tuple[int, str]] = []
    for number, (call, facts) in enumerate(calls.items()):
        if "CallArrived" in facts:
            lines += _cel_of(number, call, facts, now + _AWAY // 2)
    lines.sort()
    chosen.cel_file.write_text("".join(line for _, line in lines), encoding="utf-8")


def _cel_of(
    number: int, call: str, facts: dict[str, tuple[int, str]], until: int
) -> Iterator[tuple[int, str]]:
    arrived, _ = facts["CallArrived"]
    ended, _ = facts.get("CallEnded", (until, ""))
    steps = [(0, arrived, "CHAN_START"), (0, arrived + 10_000, "ANSWER")]
    if "OfferAnswered" in facts:
        answered, _ = facts["OfferAnswered"]
        over, _ = facts.get("TalkEnded", (until, ""))
        rang, _ = facts.get("OfferRinging", (answered, ""))
        steps += [(1, rang, "CHAN_START"), (1, answered, "ANSWER"), (1, answered, "BRIDGE_ENTER")]
        steps += [(0, answered, "BRIDGE_ENTER"), (1, over, "HANGUP"), (1, over, "CHAN_END")]
    steps += [(0, ended, "HANGUP"), (0, ended, "CHAN_END")]
    agent = facts.get("OfferAnswered", (0, "1001"))[1]
    sides = ((f"PJSIP/trunk-{number:08x}", call), (f"PJSIP/{agent}-{number:08x}", f"{call}9"))
    for side, at, kind in steps:
        channel, uniqueid = sides[side]
        yield (
            at,
            (
                f'"{kind}","{at / SECOND:.6f}","{uniqueid}","{call}","{channel}","13800000000",'
                '"inbound","12345","","","","{}"\n'
            ),
        )
