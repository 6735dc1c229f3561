"""The clock of tests that read a database: their histories happened ten days ago.

With the machine's own clock each test would make the roll-ups of all the days since, and more of them every day.
"""

import pytest

from base import clock
from facts.times import DAY
from tests.metrics.histories import T


@pytest.fixture
def ten_days_later(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = clock.now
    behind = machine() - (T + 10 * DAY)
    monkeypatch.setattr(clock, "now", lambda: machine() - behind)
