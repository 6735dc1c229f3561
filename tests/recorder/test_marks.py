"""Marks in recordings: whose they are, how many, and that they go with the recording."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from facts.terms import CallId
from facts.times import SECOND
from recorder import deletion, finishing, ledger, marks
from recorder.deletion import Doomed
from recorder.marks import MarkedPlace, MarkError, NoMarkError, OthersMarkError
from tests.recorder.conftest import NOW, Spool, call_id

CALL = CallId(call_id(1))
OTHER = CallId(call_id(2))


@pytest.fixture(autouse=True)
async def recorded(engine: AsyncEngine, settings: Settings, spool: Spool) -> None:
    """Two recordings of ten seconds."""
    for call in (CALL, OTHER):
        spool(call)
        await finishing.finish(engine, settings, call)


def note(begin: float, until: float | None = None, text: str = "服务禁语") -> MarkedPlace:
    return MarkedPlace(
        round(begin * SECOND), None if until is None else round(until * SECOND), text
    )


async def test_marks_are_listed_by_place_and_belong_to_their_call(engine: AsyncEngine) -> None:
    late = await marks.add(engine, CALL, note(7, 9.5), "chief", NOW)
    early = await marks.add(engine, CALL, note(0, text="  greets\u3000 well\n"), "li", NOW + 1)
    await marks.add(engine, OTHER, note(1), "chief", NOW)
    assert await marks.find_all(engine, CALL) == [early, late]
    assert (early.text, early.until, early.version) == ("greets well", None, 1)
    assert (late.begin, late.until, late.by) == (7 * SECOND, 9.5 * SECOND, "chief")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (note(10.1), "shorter"),
        (note(-1), "shorter"),
        (note(3, 3), "ends after"),
        (note(3, 10.1), "ends after"),
        (note(3, text=" \u3000\n"), "write what"),
        (note(3, text="x" * 501), "at most 500"),
        (note(3, text="a\0b"), "control character"),
    ],
)
async def test_what_cannot_be_marked_is_refused(
    engine: AsyncEngine, wrong: MarkedPlace, why: str
) -> None:
    with pytest.raises(MarkError, match=why):
        await marks.add(engine, CALL, wrong, "chief", NOW)
    assert await marks.find_all(engine, CALL) == []


async def test_only_the_author_changes_a_mark_and_only_the_version_they_saw(
    engine: AsyncEngine,
) -> None:
    made = await marks.add(engine, CALL, note(1), "chief", NOW)
    with pytest.raises(OthersMarkError):
        await marks.change(engine, CALL, made.id, note(2), by="li", version=1, now=NOW)
    with pytest.raises(OthersMarkError):
        await marks.remove(engine, CALL, made.id, "li")
    changed = await marks.change(
        engine, CALL, made.id, note(2, 3, "b"), by="chief", version=1, now=NOW + 5
    )
    assert (changed.begin, changed.until, changed.text) == (2 * SECOND, 3 * SECOND, "b")
    assert (changed.added_at, changed.changed_at, changed.version) == (NOW, NOW + 5, 2)
    with pytest.raises(MarkError, match="changed meanwhile"):
        await marks.change(engine, CALL, made.id, note(4), by="chief", version=1, now=NOW)
    with pytest.raises(NoMarkError):
        await marks.remove(engine, OTHER, made.id, "chief")
    await marks.remove(engine, CALL, made.id, "chief")
    with pytest.raises(NoMarkError):
        await marks.remove(engine, CALL, made.id, "chief")


async def test_the_bound_holds_for_many_at_once(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "MOST", 3)
    adding = (marks.add(engine, CALL, note(n), "chief", NOW) for n in range(8))
    found = await asyncio.gather(*adding, return_exceptions=True)
    refused = [one for one in found if isinstance(one, MarkError)]
    assert len(await marks.find_all(engine, CALL)) == 3
    assert len(refused) == 5
    assert "3 marks already" in str(refused[0])


async def test_marks_go_with_the_recording_and_none_come_after(
    engine: AsyncEngine, settings: Settings
) -> None:
    made = await marks.add(engine, CALL, note(1), "chief", NOW)
    kept = await marks.add(engine, OTHER, note(1), "chief", NOW)
    entry = (await ledger.look_up(engine, [CALL]))[CALL]
    await deletion.carry_out(engine, settings, [Doomed(entry, "default")], by="cli:wang")
    assert await marks.find_all(engine, CALL) == []
    assert await marks.find_all(engine, OTHER) == [kept]
    with pytest.raises(NoMarkError, match="was deleted"):
        await marks.add(engine, CALL, note(1), "chief", NOW)
    with pytest.raises(NoMarkError, match="was deleted"):
        await marks.change(engine, CALL, made.id, note(1), by="chief", version=1, now=NOW)
    with pytest.raises(NoMarkError, match="no recording"):
        await marks.add(engine, CallId("hotline-1.1"), note(1), "chief", NOW)
