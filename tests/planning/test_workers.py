"""Worker processes: the results stay the same when one dies, and none is left after Ctrl-C."""

import os
import signal
from multiprocessing import active_children, parent_process

import pytest

from planning.workers import WORTH_IT, Workers

# They give way to whatever else runs.
pytestmark = pytest.mark.timeout(300)


def double(number: int) -> int:
    return 2 * number


def die_in_a_worker(number: int) -> int:
    if number == 3 and parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def where(number: int) -> int:
    return os.getpid()


def test_results_come_in_the_order_of_the_jobs() -> None:
    with Workers(2) as workers:
        assert list(workers.map(double, range(9), WORTH_IT)) == list(range(0, 18, 2))
        assert os.getpid() not in set(workers.map(where, range(9), WORTH_IT))
    assert not active_children()


def test_little_work_is_done_here() -> None:
    with Workers(2) as workers:
        assert set(workers.map(where, range(9), WORTH_IT - 1)) == {os.getpid()}
    with Workers(1) as workers:
        assert set(workers.map(where, range(9), WORTH_IT)) == {os.getpid()}


def test_a_worker_that_dies_costs_no_result() -> None:
    with Workers(2) as workers:
        assert list(workers.map(die_in_a_worker, range(9), WORTH_IT)) == list(range(0, 18, 2))
        assert set(workers.map(where, range(9), WORTH_IT)) == {os.getpid()}, "one may die again"
    assert not active_children()


def sleep_on(number: int) -> int:
    signal.pause()
    return number


def test_no_worker_is_left_after_ctrl_c() -> None:
    def wait_for_workers() -> None:
        with Workers(2) as workers:
            next(workers.map(sleep_on, range(4), WORTH_IT))

    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            wait_for_workers()
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert not active_children()
