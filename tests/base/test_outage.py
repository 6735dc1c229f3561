"""What is away is told of once when that begins, and once when it is over."""

import structlog
from structlog.testing import capture_logs

from base.outage import Outage

log = structlog.get_logger(__name__)


def test_one_line_when_it_begins_and_one_when_it_is_over() -> None:
    now = 0.0
    outage = Outage(log, "store.away", ticks=lambda: now)
    with capture_logs() as logs:
        outage.end()
        for _ in range(3):
            now += 20
            outage.begin(why="it does not answer", files=7)
        assert outage.on
        now += 1
        outage.end()
        outage.end()
        assert not outage.on
        outage.begin(why="gone again")
    for one in logs:
        del one["log_level"]
    assert logs == [
        {"event": "store.away", "on": True, "why": "it does not answer", "files": 7},
        {"event": "store.away", "on": False, "lasted": 41, "failures": 3},
        {"event": "store.away", "on": True, "why": "gone again"},
    ]


def test_a_success_among_failures_does_not_end_it() -> None:
    now = 0.0
    outage = Outage(log, "web.database_away", settle=5.0, ticks=lambda: now)
    with capture_logs() as logs:
        for _ in range(10):
            outage.begin(why="locked")
            now += 4
            outage.end()
        now += 1
        outage.end()
    assert [one["on"] for one in logs] == [True, False]
