"""The wait between two looks of a background task."""

import asyncio

from base.background import within


async def test_a_wait_ends_with_its_event_or_its_time() -> None:
    event = asyncio.Event()
    assert not await within(0.001, event)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waits = group.create_task(within(60.0, event))
        await asyncio.sleep(0)
        event.set()
    assert waits.result()
    assert await within(0.0, event)
