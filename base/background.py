"""Background tasks that cannot vanish: the event loop keeps only weak references, and an error must be seen."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)
_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run `work` in the background under `name`. An exception is logged with its trace and ends only that task."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def stopping() -> bool:
    """Whether the running task was told to stop: what an endless loop asks that awaits a library.

    One cancellation can be lost there: until Python 3.12 `asyncio.wait_for`, which redis sends with, returns its
    result instead when both come in the same turn of the loop (python/cpython#86296).
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def within(seconds: float | None, event: asyncio.Event) -> bool:
    """Wait for the event, at most so many seconds (None: for ever). Returns whether it has come.

    A loop that looks now and then waits so between two looks, for it is to stop at once.
    """
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def comes_true(true: Callable[[], bool], seconds: float, every: float = 0.01) -> bool:
    """Look whether it is true, for so many seconds at most. Returns whether it became so.

    For what no event tells, or several may bring about, and only for moments.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not true():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(every)
    return True


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task.failed", task=task.get_name(), exc_info=error)
