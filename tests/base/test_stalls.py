"""How long the loop stood still."""

import asyncio
import time

from base.stalls import TOO_LONG, LoopWatch, Stall


async def test_a_loop_that_stands_still_is_seen() -> None:
    seen: list[Stall] = []
    watch = LoopWatch(seen.append)
    watch.start()
    await asyncio.sleep(0)
    began = time.monotonic()
    time.sleep(0.1)  # noqa: ASYNC251 the stall
    stood = time.monotonic() - began
    async with asyncio.timeout(10):
        while not seen:
            await asyncio.sleep(0.001)
    watch.stop()
    first = seen[0]
    assert first.seconds > TOO_LONG
    assert first.seconds > stood - 0.05
    assert first.busy < first.seconds, "it slept, and did not work"


async def test_only_stalls_worth_it_are_told_and_none_after_the_stop() -> None:
    seen: list[Stall] = []
    every: list[Stall] = []
    watches = (LoopWatch(seen.append, worth=3600.0), LoopWatch(every.append, worth=0.0))
    for watch in watches:
        watch.start()
    time.sleep(0.05)  # noqa: ASYNC251 the stall
    async with asyncio.timeout(10):
        while not every:
            await asyncio.sleep(0.001)
    assert seen == []
    for watch in watches:
        watch.stop()
    every.clear()
    await asyncio.sleep(0.04)
    assert every == []
