"""When circles of objects are looked for."""

import asyncio
import contextlib
import gc
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from base import clock
from base.background import spawn
from facts.times import DAY, HOUR, MINUTE, midnight
from hotline.controller import garbage

NIGHT = midnight(1_763_700_000_000_000)
"""A midnight in China (microseconds)."""


@pytest.fixture
def unchanged() -> Iterator[None]:
    """What `tests/conftest.py` has set for this process. It keeps all that the tests' modules made, as this does."""
    thresholds = gc.get_threshold()
    yield
    gc.freeze()
    gc.set_threshold(*thresholds)


@pytest.mark.parametrize(
    ("hour", "quiet", "due"),
    [(2, True, False), (3, True, True), (3, False, False), (5, False, True), (23, False, True)],
)
def test_at_night_when_it_is_quiet_or_in_the_morning_at_the_latest(
    hour: int, quiet: bool, due: bool
) -> None:
    now = NIGHT + hour * HOUR + MINUTE
    assert garbage.is_time(now, quiet=quiet) is due


@pytest.mark.usefixtures("unchanged")
def test_what_is_there_waits_for_the_night_and_nothing_is_looked_at_by_itself() -> None:
    garbage.begin()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[2] > 1_000_000
    before = gc.get_freeze_count()
    kept = [[one] for one in range(1000)]
    garbage.keep()
    assert gc.get_freeze_count() >= before + len(kept)


@pytest.mark.usefixtures("unchanged")
def test_what_is_new_is_looked_at_and_what_is_older_in_portions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    garbage.begin()
    garbage.look()
    kept = [[one] for one in range(1000)]
    garbage.look()
    assert any(one is kept[0] for one in gc.get_objects(1))
    monkeypatch.setattr(garbage, "PORTION", 500)
    garbage.look()
    assert not any(one is kept[0] for one in gc.get_objects(1))
    assert any(one is kept[0] for one in gc.get_objects(2))


@pytest.mark.usefixtures("unchanged")
def test_a_burst_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    garbage.begin()
    before = gc.get_freeze_count()
    monkeypatch.setattr(garbage, "BURST", 500)
    kept = [[one] for one in range(1000)]
    garbage.look()
    assert gc.get_freeze_count() >= before + len(kept)


@pytest.mark.usefixtures("unchanged")
async def test_it_looks_at_everything_once_a_night(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [NIGHT + HOUR]
    collected: list[int] = []

    def collect() -> int:
        collected.append(now[0])
        assert gc.get_freeze_count() == 0, "what was kept is looked at, too"
        return 7

    gc.freeze()

    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(garbage, "EVERY", 0.001)
    monkeypatch.setattr(garbage, "look", lambda: None)
    monkeypatch.setattr(gc, "collect", collect)
    with capture_logs() as logs:
        work = spawn(garbage.run(lambda: True), "garbage")
        for day in (0, 1, 2):
            now[0] = NIGHT + day * DAY + 4 * HOUR
            async with asyncio.timeout(5):
                while len(collected) < day:
                    await asyncio.sleep(0.002)
            await asyncio.sleep(0.02)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    assert collected == [NIGHT + day * DAY + 4 * HOUR for day in (1, 2)]
    assert [entry["objects"] for entry in logs] == [7, 7]
