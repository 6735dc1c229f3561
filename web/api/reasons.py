"""Why somebody reads: the parameter `why` of every route that shows citizens' data, kept in the audit log."""

from typing import Annotated

from fastapi import Depends, Query

from facts.masking import LONGEST_REASON, reason_of
from web.backend import Behind, Problem


async def _given(
    why: Annotated[
        str, Query(max_length=LONGEST_REASON, description="why: it is kept in the audit log")
    ] = "",
) -> str:
    return reason_of(why)


Why = Annotated[str, Depends(_given)]
"""The reason, as the audit log keeps it, or empty. The middleware enters it, so a route need not use it."""


async def _needed(why: Why, behind: Behind) -> str:
    if behind.settings.recording_reason and not why:
        raise Problem(422, "say why: add the parameter why, such as why=complaint+20251120-7")
    return why


WhyListen = Annotated[str, Depends(_needed)]
"""The same for a route that gives a recording's sound: HOTLINE_RECORDING_REASON may demand a reason."""
