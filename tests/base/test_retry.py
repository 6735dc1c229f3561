"""The one schedule by which everything is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from alarms import watch
from base import retry
from base.retry import Schedule
from telephony import link
from web.webhooks import sender

HOUR = 3600.0


def test_pauses_grow_up_to_the_longest() -> None:
    schedule = Schedule(first=0.5, longest=10.0)
    assert [schedule.pause(n) for n in range(1, 8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert [Schedule(2, 300, factor=3).pause(n) for n in range(1, 7)] == [2, 6, 18, 54, 162, 300]


def test_a_week_of_failures_is_no_error() -> None:
    for schedule in (retry.DATABASE, retry.REDIS, link.RETRY, link.REFUSED_RETRY, watch.RETRY):
        assert 0 < schedule.pause(10_000_000) <= schedule.longest


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_chance_only_shortens(failures: int, chance: float) -> None:
    schedule, plain = Schedule(1.0, 60.0, jitter=0.25), Schedule(1.0, 60.0)
    pause = schedule.pause(failures, lambda: chance)
    assert 0.75 * plain.pause(failures) <= pause <= plain.pause(failures)


def test_a_schedule_that_ends() -> None:
    assert not Schedule(1.0, 1.0).is_over(1_000_000)
    assert [Schedule(1.0, 1.0, attempts=3).is_over(n) for n in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_webhook_is_tried_for_two_days_and_a_half() -> None:
    failures = range(1, sender.RETRY.attempts)
    longest = sum(sender.RETRY.pause(n, lambda: 0.0) for n in failures)
    shortest = sum(sender.RETRY.pause(n, lambda: 1.0) for n in failures)
    assert 2 * 24 * HOUR < shortest < 2.5 * 24 * HOUR < longest < 3 * 24 * HOUR
