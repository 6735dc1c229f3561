"""Figures of the bench: percentiles, what SIPp counted, and the table. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` of all values do not exceed (nearest rank).

    Raises `ValueError` when there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values: nothing was measured")
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


@dataclass(frozen=True, slots=True)
class SippCalls:
    """What SIPp counted in one run."""

    created: int
    successful: int
    failed: int


def sipp_calls(statistics: str) -> SippCalls:
    """Read the last line of SIPp's `-trace_stat` file. Raises `ValueError` without one."""
    lines = [line.split(";") for line in statistics.splitlines() if line.strip()]
    if len(lines) < 2:
        raise ValueError("SIPp has counted nothing: it ended before its first call")
    row = dict(zip(lines[0], lines[-1], strict=False))
    try:
        return SippCalls(
            created=int(row["TotalCallCreated"]),
            successful=int(row["SuccessfulCall(C)"]),
            failed=int(row["FailedCall(C)"]),
        )
    except KeyError as missing:
        raise ValueError(f"SIPp's statistics have no column {missing}") from None


def gaps(marks: Iterable[tuple[float, str, str]]) -> list[float]:
    """Seconds from each agent's `bye` to the next `invite` at the same agent.

    `marks` are (moment, agent, `bye` or `invite`) in the order of time.
    """
    since: dict[str, float] = {}
    found = []
    for moment, agent, what in marks:
        if what == "bye":
            since[agent] = moment
        elif agent in since:
            found.append(moment - since.pop(agent))
    return found


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of the table. `wanted` says in words what `holds` is about; None where nothing is asked.

    `limit`: what it costs where nothing is done but what must be; `to_limit`: ours beside that.
    """

    name: str
    app_queue: str
    hotline: str
    ratio: str = ""
    wanted: str = ""
    holds: bool | None = None
    limit: str = ""
    to_limit: str = ""


def table(rows: Sequence[TableRow], beside: str = "app_queue") -> str:
    """Lay the rows out as a Markdown table whose columns are aligned. `beside`: whose figures stand beside ours.

    The limit has its columns where a row knows one.
    """
    limited = any(row.limit for row in rows)
    head = ["", beside, "Hotline", "ratio", "wanted", ""]
    if limited:
        head[3:4] = ["limit", f"to {beside}" if beside else "ratio", "to the limit"]
    cells = [head]
    for row in rows:
        verdict = {None: "", True: "holds", False: "**falls short**"}[row.holds]
        ratios = [row.limit, row.ratio, row.to_limit] if limited else [row.ratio]
        cells.append([row.name, row.app_queue, row.hotline, *ratios, row.wanted, verdict])
    texts = {0, len(head) - 2, len(head) - 1}
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    rule = [
        "-" * width if column in texts else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if column in texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in (cells[0], rule, *cells[1:])
    )


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours beside theirs, round by round: both had the same machine in it."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float]) -> str:
    """`1.07 (1.06 to 1.11)`: the median, the smallest and the largest."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def milliseconds(seconds: float) -> str:
    """`0.0056` as `5.6 ms`."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
