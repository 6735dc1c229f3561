"""Every record and figure of three histories of a small centre, field by field: no change goes unseen.

`test_identity.py` says that all ways to a figure give the same one; this says which one. When a figure must change, run
this and read the difference in `tests/fixtures/approved/figures.txt`:

    python -m tests.metrics.test_figures_approved
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facts import Fact
from facts.times import DAY, MINUTE, SECOND, day_of
from metrics import callbacks
from metrics.fold import CallRecord, item_of
from metrics.live import Live
from metrics.people import attendance, m10
from metrics.sums import DAYS, HOUR, HOURS, SLOTS, Key, Only, Sums, spans
from metrics.window import Rolling, Tally, shares_of, shares_of_agents
from tests.metrics.test_identity import history
from tests.telephony.replay import replay

APPROVED = Path(__file__).parents[1] / "fixtures" / "approved" / "figures.txt"
SEEDS = (3, 4, 11)
START = 1_000_000 * SECOND
ALLOWED = {"用餐": 1}


def told(value: Any) -> Any:
    """Moments count from the beginning of the history, and what is empty is left out."""
    if isinstance(value, dict):
        return {str(name): told(one) for name, one in value.items() if one not in (None, "", 0, ())}
    if isinstance(value, list | tuple):
        return [told(one) for one in value]
    return value - START if isinstance(value, int) and value > START // 2 else value


def line(name: str, value: Any) -> str:
    return f"{name} {json.dumps(told(value), ensure_ascii=False, sort_keys=True, default=str)}"


def of_calls(facts: list[Fact]) -> dict[str, list[Fact]]:
    calls: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if call := getattr(fact, "call", ""):
            calls[call].append(fact)
    return calls


def figures(facts: list[Fact]) -> Iterator[str]:
    begin, end = facts[0].at, facts[-1].at + MINUTE
    items = [item for told in of_calls(facts).values() if (item := item_of(told)) is not None]
    sums, rolling = Sums(lambda number: {"12346": "tax"}.get(number, "")), Rolling()
    for item in items:
        yield line("record", asdict(item))
        yield line("  counts", sorted(shares_of(item)))
        yield line("  of agents", shares_of_agents(item))
        sums.add(item)
        if isinstance(item, CallRecord):
            rolling.add(item)
    tally = Tally(items)
    yield line("metrics", {name: one.as_json() for name, one in tally.metrics().items()})
    yield line("outcomes", {str(one): count for one, count in tally.outcomes.items()})
    yield line("left", [tally.left_before(second) for second in (0, 5, 10, 60)])
    yield line("waits", tally.waits())
    yield line("busy", [tally.busy(), tally.pending, tally.returned, tally.estimated])
    yield from sorted(line("sum", [asdict(key), one.counts]) for key, one in sums.tallies.items())
    yield line("M1r", rolling.metric(end).as_json())
    yield line("lowest", str(rolling.lowest(begin - MINUTE, end)))
    curve = rolling.curve(end, step=1, count=20)
    yield line("curve", [str(point) for point in curve])
    present = attendance(facts, begin, end, ALLOWED)
    for agent, one in sorted(present.items()):
        yield line(f"agent {agent}", sorted(one.counts.items()))
    yield line("M10", m10(tally.busy(), 1000, 100).as_json())


def of_callbacks(facts: list[Fact]) -> Iterator[str]:
    tasks: dict[int, callbacks.TaskHistory] = {}
    for fact in facts:
        callbacks.fold_task(tasks, fact)
    found = callbacks.records(tasks)
    for record in found:
        yield line("task", [asdict(record), record.tried, record.yields, record.eligible])
    begin, end = facts[0].at - 1, facts[-1].at + DAY
    m20 = callbacks.m20(found, begin, end)
    yield line("M20", {name: one.as_json() for name, one in m20.items()})
    for call, known in of_calls(facts).items():
        if waits := callbacks.waits_of(known):
            yield line(f"waits {call}", [str(wait) for wait in waits])


def live(facts: list[Fact]) -> Iterator[str]:
    shown = Live()
    shown.allow(ALLOWED)
    for n, fact in enumerate(facts):
        shown.add(fact)
        if n % (len(facts) // 6) == 0:
            yield line("live", _brief(shown.snapshot(fact.at)))
    yield line("live", _brief(shown.snapshot(facts[-1].at + HOUR)))


def _brief(snapshot: Any) -> dict[str, Any]:
    return {**snapshot, "curve": snapshot["curve"][-3:]}


def cuts() -> Iterator[str]:
    today = day_of(START + DAY)
    for since, until in ((0, 2 * DAY), (HOUR, DAY), (5 * MINUTE + 1, 3 * HOUR - 1), (7, 9)):
        for dirty in ((), (today + 5 * MINUTE,)):
            for coarsest in (SLOTS, HOURS, DAYS):
                cut = spans(today + since, today + until, dirty, coarsest=coarsest)
                later = today + HOUR
                new = spans(
                    today + since, today + until, dirty, coarsest=coarsest, finest_from=later
                )
                for name, made in (("spans", cut), ("fine", new)):
                    inside = [(one.level, one.begin - today, one.end - today) for one in made]
                    yield f"{name} {since} {until} {len(dirty)} {coarsest} {inside}"


def takes() -> Iterator[str]:
    keys = [Key(*words) for words in _words()]
    for only in (Only(), *(Only(**{name: "a"}) for name in Only.__dataclass_fields__)):
        yield f"{only} takes {[only.takes(key) for key in keys]}"


def _words() -> Iterator[list[str]]:
    names = list(Key.__dataclass_fields__)
    for n in range(1 << len(names)):
        yield ["a" if n >> place & 1 else "" for place in range(len(names))]


def lines() -> Iterator[str]:
    for seed in SEEDS:
        yield f"history {seed}"
        facts = history(seed)
        yield from figures(facts)
        yield from of_callbacks(facts)
        yield from live(facts)
    for shape in ("blind_transfer", "attended_transfer", "no_answer_then_next"):
        yield shape
        yield from figures(replay(shape))
    yield from cuts()
    yield from takes()


def test_as_approved() -> None:
    assert list(lines()) == APPROVED.read_text().splitlines()


if __name__ == "__main__":
    APPROVED.write_text("\n".join(lines()) + "\n")
