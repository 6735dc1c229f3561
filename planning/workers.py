"""Many simulations on all processors. Which of them runs where changes no result.

Results come in the order of the jobs, whichever ends first. If a worker process dies (the system ends one when memory
is short), this process does the rest alone: that takes longer, and gives the same.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import Final, Self, TypeVar

import structlog

from base.workers import end_with_parent

log = structlog.get_logger(__name__)

Job = TypeVar("Job")
Result = TypeVar("Result")

WORTH_IT: Final = 50_000
"""Calls from which on worker processes are started: they need a second for that."""


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


class Workers:
    """Worker processes, started when they are worth it, and ended with the `with` block, or by Ctrl-C."""

    def __init__(self, most: int | None = None) -> None:
        self._most = processors() if most is None else most
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if error is not None:
            # What they work on is of no use any more. Nothing else of this command has child processes.
            for child in active_children():
                child.terminate()
        self._pool.shutdown(cancel_futures=True)

    def map(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], calls: float
    ) -> Iterator[Result]:
        """The result of each job, in their order. `calls`: about how many calls they simulate together.

        `work` and the jobs must be such that pickle can send them.
        """
        if len(jobs) > 1 and self._most > 1 and calls >= WORTH_IT and self._pool is None:
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(self._most, context, initializer=_prepare)
        if self._pool is None:
            yield from map(work, jobs)
            return
        results = 0
        try:
            for result in self._pool.map(work, jobs):
                results += 1
                yield result
        except BrokenProcessPool:
            log.warning("simulation.worker_died", left=len(jobs) - results)
            self._pool.shutdown()
            self._pool, self._most = None, 1
            yield from map(work, jobs[results:])


def _prepare() -> None:
    """In a worker: give way to calls, leave Ctrl-C to the parent, do not outlive it."""
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
