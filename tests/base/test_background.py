"""What background tasks wait with."""

import asyncio

from base.background import comes_true, within


async def test_a_wait_ends_with_its_event_or_its_time() -> None:
    event = asyncio.Event()
    assert not await within(0.001, event)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waits = group.create_task(within(60.0, event))
        await asyncio.sleep(0)
        event.set()
    assert waits.result()
    assert await within(0.0, event)


async def test_what_comes_true_in_time_is_said_and_what_does_not_as_well() -> None:
    looks: list[int] = []

    def third() -> bool:
        looks.append(1)
        return len(looks) >= 3

    assert await comes_true(third, 60.0, every=0.0)
    assert len(looks) == 3
    assert not await comes_true(lambda: False, 0.02, every=0.001)
    assert await comes_true(lambda: True, 0.0)
