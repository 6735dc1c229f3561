"""At which hours transcripts are made, in China's time. Pure."""

import re
from datetime import time, timedelta
from typing import Final

from facts.times import DAY, MINUTE, local, microseconds

_HOURS: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


def night(now: int, hours: str) -> tuple[int, int] | None:
    """The stretch of `hours` (`22:00-06:00`) in which `now` lies, as microseconds UTC; None outside.

    It may reach over midnight. The same time twice is the whole day, from that time on.
    """
    found = _HOURS.fullmatch(hours)
    if found is None:
        raise ValueError(f"{hours!r}: write two times, such as 22:00-06:00")
    first, last = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    begin = local(now).replace(hour=first.hour, minute=first.minute, second=0, microsecond=0)
    since = microseconds(begin)
    if since > now:
        since = microseconds(begin - timedelta(days=1))
    minutes = (last.hour - first.hour) * 60 + last.minute - first.minute
    until = since + minutes % (24 * 60) * MINUTE if minutes else since + DAY
    return (since, until) if since <= now < until else None
