"""Wall-clock time in microseconds UTC: the one place that asks the machine for it."""

import time


def now() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000
