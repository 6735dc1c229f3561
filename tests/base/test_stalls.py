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
    assert watch.count == len(seen)


async def test_only_stalls_worth_it_are_told_and_none_after_the_stop() -> None:
    seen: list[Stall] = []
    watch = LoopWatch(seen.append, worth=3600.0)
    watch.start()
    time.sleep(0.05)  # noqa: ASYNC251 the stall
    async with asyncio.timeout(10):
        while not watch.take_longest():
            await asyncio.sleep(0.001)
    assert seen == []
    watch.stop()
    await asyncio.sleep(0.02)
    watch.take_longest()
    await asyncio.sleep(0.02)
    assert watch.take_longest() == 0
