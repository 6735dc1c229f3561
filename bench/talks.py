"""What recording adds to a talk in Asterisk: as Hotline does it, and as app_queue does it by itself (`monitor-format`).

Four kinds of talks go on at the same moment, so what else the machine does burdens all alike: on each side as many that
are recorded as ones that are not. Both parties send sound without a pause. Each kind pays for the threads that it
started.

The two recordings are not the same thing. Ours is from the call's first second on, with each side in a channel of its
own. app_queue's is from the agent's answer on, with both sides in one channel: half the bytes.
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from base.background import comes_true
from bench.figures import TableRow, ratios, spread
from bench.phone import BenchPhones
from bench.side import APP_QUEUE, HOTLINE, RECORDED, SIDES, TALK_NUMBERS, TALKS, Centre
from hotline.machine.programs import ProgramError

ANSWERED_WITHIN: Final = 30.0
_SETTLES: Final = 2.0
"""Seconds after the last answer in which what a call's begin leaves behind is over."""


async def measure_round(
    centre: Centre, phones: BenchPhones, seconds: float, turn: int
) -> dict[str, float]:
    """Let all four kinds talk for so many seconds; each kind → seconds of CPU for a second of one talk.

    `turn`: with each, another kind begins. Raises `ProgramError` if a talk or a recording is missing.
    """
    kinds = list(TALK_NUMBERS)
    first = turn % len(kinds)
    phones.talk = lambda _agent, _caller: math.inf
    phones.speak = True
    try:
        async with centre.side(HOTLINE, ready=2 * TALKS):
            before = centre.recordings()
            own = {}
            for kind in [*kinds[first:], *kinds[:first]]:
                known = set(centre.threads())
                await begin(phones, TALK_NUMBERS[kind], TALKS)
                own[kind] = set(centre.threads()) - known
            cost = await spent(centre, own, seconds)
            _check(before, centre.recordings())
            phones.hang_up_all()
            await comes_true(lambda: phones.in_talk == 0, ANSWERED_WITHIN)
    finally:
        phones.speak = False
    return cost


async def begin(phones: BenchPhones, number: str, talks: int) -> list[str]:
    """Let so many talks begin; gives their agents. Raises `ProgramError` if one does not."""
    before = len(phones.times("answered"))
    for index in range(talks):
        phones.call(f"137{number}{index:03}", number)
        # Asterisk's threads come by and by: no rush at the begin of a call.
        await asyncio.sleep(0.05)
    if not await comes_true(
        lambda: len(phones.times("answered")) >= before + talks, ANSWERED_WITHIN
    ):
        raise ProgramError(f"the agents have not answered {talks} calls to {number}")
    await asyncio.sleep(_SETTLES)
    return [mark.phone for mark in phones.times("answered")[before:]]


async def spent(centre: Centre, own: Mapping[str, set[str]], seconds: float) -> dict[str, float]:
    """Each kind → seconds of CPU for a second of one of its `TALKS` talks, spent by its `own` threads."""
    threads, since = centre.threads(), time.monotonic()
    await asyncio.sleep(seconds)
    later, took = centre.threads(), time.monotonic() - since
    return {
        kind: sum(later[one] - threads[one] for one in of & threads.keys() & later.keys())
        / TALKS
        / took
        for kind, of in own.items()
    }


def _check(before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Each recorded talk has a file of sound, and no other one has."""
    made = {side: after[side] - before[side] for side in after}
    if made != dict.fromkeys(made, TALKS):
        raise ProgramError(f"{TALKS} recordings were expected on each side: {made}")


def rows(rounds: Mapping[str, Sequence[float]]) -> list[TableRow]:
    """Lay the rounds out: each kind → seconds of CPU for a second of one talk, round by round."""
    cost = {kind: _said(median(seconds)) for kind, seconds in rounds.items()}
    # Of each round by itself: all talks had the same machine in it.
    added = {
        side: [
            more - less for more, less in zip(rounds[side + RECORDED], rounds[side], strict=True)
        ]
        for side in SIDES
    }
    beside = spread(ratios(added[HOTLINE], added[APP_QUEUE]))
    alone, more = (_said(median(added[side])) for side in (APP_QUEUE, HOTLINE))
    return [
        TableRow(
            "a second of a talk, not recorded: Asterisk's CPU", cost[APP_QUEUE], cost[HOTLINE]
        ),
        TableRow("… recorded", cost[APP_QUEUE + RECORDED], cost[HOTLINE + RECORDED]),
        TableRow("… what recording adds", alone, more, beside),
    ]


def _said(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
