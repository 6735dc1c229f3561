"""Callbacks and inbound first in the SLA report, from a diary and a book in a real database."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks import tables
from acd.callbacks.book import _row
from acd.callbacks.entry import Wanted
from acd.rules.model import DEFAULT
from diary.writer import Diary
from facts import CallbackAdded, CallbackMissed, CallbackRaced, CallDetached, Fact, OfferMade
from metrics.reports import sla as reports
from metrics.reports.sla import SlaReport
from metrics.sums import Only
from metrics.window import Metric
from tests.metrics.histories import T, answered, at
from tests.metrics.test_callbacks import added, busy, reached, waits, yielded

pytestmark = pytest.mark.usefixtures("ten_days_later")

HOUR = 3600


async def write(engine: AsyncEngine, folder: Path, *histories: list[Fact]) -> None:
    """The facts into the diary, and a row of the book for each task."""
    diary = Diary(engine, folder)
    for fact in (fact for history in histories for fact in history):
        diary.write(fact)
        if isinstance(fact, CallbackAdded):
            wanted = Wanted(fact.number, fact.queue, fact.earliest, fact.latest)
            async with engine.begin() as connection:
                row = {"id": fact.callback, **_row(wanted, fact.at)}
                await connection.execute(insert(tables.callback).values(row))
    diary.start()
    await diary.close()


async def report(
    engine: AsyncEngine, end: float = HOUR, hours: float = 1, **more: Any
) -> SlaReport:
    return await reports.sla(engine, at(end), hours, 95, **more)


async def test_the_figures(engine: AsyncEngine, tmp_path: Path) -> None:
    await write(
        engine,
        tmp_path,
        reached(1, 10),
        [added(2), CallbackMissed(at(3600), 2)],
        [added(3, before=9000)],
        [*yielded(5, "hotline-1.1", task=7), CallbackRaced(at(5.1), 7, "hotline-c7.1", "1001")],
        [*waits("hotline-1.1", 5), OfferMade(at(5), "hotline-1.1", "1001")],
        waits("hotline-1.2", 11, 60),
    )
    found = await report(engine)
    assert found.callbacks.metrics == {
        "M20": Metric(1, 3),
        "M20_reached": Metric(1, 1),
        "M22": Metric(1, 2),
    }
    assert (found.callbacks.open, found.callbacks.missed) == (2, (2,))
    said = json.loads(reports.render_json(found))
    assert said["M22"] == {"numerator": 1, "denominator": 2, "value": 0.5}
    assert said["M20"]["denominator"] == 3
    assert (said["callbacks_open"], said["callbacks_missed"]) == (2, [2])
    assert [
        (one["inbound"], one["callback"], one["agent"], one["done"])
        for one in said["inbound_first"]
    ] == [
        ("hotline-1.1", 7, "1001", "raced"),
        ("hotline-1.2", 1, "1001", "answered_first"),
    ]
    assert said["inbound_first"][0]["at"] == "2025-11-21T12:00:05.000000+08:00"
    rows = {tuple(row[:2]): row[2:] for row in csv.reader(io.StringIO(reports.render_csv(found)))}
    assert rows["metric", "M22"] == ["1", "2", "0.5"]


async def test_a_call_that_went_elsewhere_did_not_wait(engine: AsyncEngine, tmp_path: Path) -> None:
    gone = [*waits("hotline-1.2", -20, 60), CallDetached(at(-10), "hotline-1.2")]
    await write(engine, tmp_path, reached(1, 5), gone)
    assert (await report(engine)).callbacks.metrics["M22"] == Metric(0, 0)


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_the_section_for_people(engine: AsyncEngine, tmp_path: Path, lang: str) -> None:
    missed: list[list[Fact]] = [[added(n), CallbackMissed(at(3600), n)] for n in range(20, 80)]
    calls = [f"hotline-1763731200.{n}" for n in range(60)]
    yields = [yielded(5 + n, call, task=100 + n) for n, call in enumerate(calls)]
    await write(engine, tmp_path, *missed, *yields)
    text = reports.render_text(await report(engine), lang)
    words = {
        "zh": ("回访（尚有 60 件", "已让位", "另有 10 次"),
        "en": ("Callbacks (60", "yielded", "10 more"),
    }
    for word in words[lang]:
        assert word in text
    assert "100.00%" in text
    assert "60/60" in text
    assert max(map(cell_len, text.splitlines())) <= 80


async def test_without_callbacks_nothing_is_said(engine: AsyncEngine, tmp_path: Path) -> None:
    await write(engine, tmp_path, answered("c"))
    found = await report(engine)
    assert not found.callbacks
    assert "回访" not in reports.render_text(found)
    said = json.loads(reports.render_json(found))
    assert said["M22"] == {"numerator": 0, "denominator": 0, "value": None}
    assert said["inbound_first"] == []


async def test_facts_from_before_the_window_are_known(engine: AsyncEngine, tmp_path: Path) -> None:
    """A task that was entered and tried two days ago, and is missed now."""
    begin = -48 * HOUR
    tried = [replace(fact, at=fact.at + at(begin) - T) for fact in busy(1, 0)]
    await write(engine, tmp_path, [added(7, begin, 1800), *tried, CallbackMissed(at(1800), 7)])
    found = await report(engine)
    assert found.callbacks.metrics["M20"] == Metric(1, 1)
    assert found.callbacks.missed == (7,)
    before = await report(engine, -HOUR)
    assert (before.callbacks.missed, before.callbacks.open) == ((), 1)


async def test_only_one_queue_or_number(engine: AsyncEngine, tmp_path: Path) -> None:
    await write(engine, tmp_path, reached(1, 10))
    assert (await report(engine, only=Only(queue=DEFAULT))).callbacks.metrics["M20"] == Metric(1, 1)
    assert not (await report(engine, only=Only(queue="tax"))).callbacks
    assert not (await report(engine, only=Only(number="12345"))).callbacks
