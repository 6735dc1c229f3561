"""Rate limits: what is left, when it is back, and how many keys are kept."""

import pytest

from web import limit
from web.limit import SECOND, Limit, Limits

T = 1_763_700_000 * SECOND


def test_so_many_at_once_and_then_one_after_another() -> None:
    bucket = Limit(5, 10)
    assert [bucket.take("a", T) for _ in range(5)] == [0.0] * 5
    assert bucket.take("a", T) == 2.0
    assert bucket.take("a", T + SECOND) == 1.0
    assert bucket.take("a", T + 2 * SECOND) == 0.0
    assert bucket.take("a", T + 2 * SECOND) == 2.0


def test_a_refused_request_costs_nothing() -> None:
    bucket = Limit(1, 10)
    bucket.take("a", T)
    for n in range(10):
        assert bucket.take("a", T + n * SECOND) == pytest.approx(10.0 - n)
    assert bucket.take("a", T + 10 * SECOND) == 0.0


def test_it_never_holds_more_than_at_first() -> None:
    bucket = Limit(2, 10)
    bucket.take("a", T)
    assert [bucket.take("a", T + 3600 * SECOND) for _ in range(2)] == [0.0, 0.0]
    assert bucket.take("a", T + 3600 * SECOND) == 5.0


def test_each_key_has_its_own() -> None:
    bucket = Limit(1, 10)
    assert [bucket.take(key, T) for key in "ab"] == [0.0, 0.0]
    assert [bucket.take(key, T) for key in "ab"] == [10.0, 10.0]
    bucket.clear("a")
    bucket.clear("nobody")
    assert (bucket.take("a", T), bucket.take("b", T)) == (0.0, 10.0)


def test_several_at_once() -> None:
    bucket = Limit(5, 10)
    assert bucket.take("a", T, 3) == 0.0
    assert bucket.take("a", T, 3) == 2.0
    assert bucket.take("a", T, 2) == 0.0
    assert bucket.take("a", T, 0) == 2.0


def test_asking_takes_nothing() -> None:
    bucket = Limit(1, 10)
    assert [bucket.take("a", T, 0) for _ in range(3)] == [0.0] * 3
    assert bucket.take("a", T) == 0.0
    assert bucket.take("a", T, 0) == 10.0


def test_a_clock_that_was_put_back_gives_nothing_and_takes_nothing() -> None:
    bucket = Limit(2, 10)
    bucket.take("a", T)
    assert bucket.take("a", T - 3600 * SECOND) == 0.0
    assert bucket.take("a", T - 3600 * SECOND) == 5.0


def test_only_so_many_keys_are_kept_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "MOST_KEYS", 3)
    bucket = Limit(2, 10)
    for key in "abc":
        bucket.take(key, T)
    bucket.take("a", T)  # the oldest is now b
    bucket.take("d", T)
    assert list(bucket._left) == ["c", "a", "d"]
    assert bucket.take("b", T) == 0.0
    assert list(bucket._left) == ["a", "d", "b"]
    assert bucket.take("a", T) == 5.0, "what was taken before is not forgotten"


def test_the_number_of_keys_is_bounded_as_shipped() -> None:
    bucket = Limit(1, 10)
    for n in range(10_001):
        bucket.take(str(n), T)
    assert len(bucket._left) == 10_000
    assert bucket.take("0", T) == 0.0
    assert bucket.take("10000", T) == 10.0


def test_the_limits_of_the_api() -> None:
    limits = Limits()
    found = {
        name.strip("_"): (one.most, one.seconds)
        for name, one in {**vars(limits), **vars(limits.sign_ins)}.items()
        if isinstance(one, Limit)
    }
    assert found == {
        "requests": (600, 60),
        "new_password": (10, 600),
        "wrong_tokens": (50, 600),
        "looks": (1, 3600),
        "at_address": (10, 600),
        "of_account": (100, 600),
        "from_address": (50, 600),
    }
    limits.requests.take("a", T)
    assert Limits().requests._left == {}, "each process has its own"
