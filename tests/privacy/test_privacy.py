"""`hotline privacy`: one citizen's number goes everywhere, a certificate stays, and no count moves."""

import asyncio
import io
import json
import re
import sqlite3
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from sqlalchemy import Text, cast, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from acd.callbacks import tables as callback_tables
from acd.rules import book as rulebook
from acd.rules.model import Flag
from acd.rules.tables import blocked
from base import clock
from base.settings import Settings
from facts import (
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallEnded,
)
from facts.numbers import written_forms
from facts.terms import Party
from facts.times import DAY, HOUR, SECOND
from hotline.cli.main import app
from metrics import rollup, traits, verify
from metrics.reports import sla
from metrics.tables import call_trait
from privacy import erase, find, texts
from privacy.find import PrivacyError, Traces
from quality import book, draws
from quality.book import Actor
from quality.scorecard import Deduction, ScoreSheet
from recorder import deletion, evidence, finishing, ledger, marks, proofs, tables
from recorder.marks import MarkedPlace
from tests.metrics.histories import T, answered, at
from tests.metrics.test_callback_report import write

pytestmark = pytest.mark.usefixtures("ten_days_later")

NUMBER = "+8613812345678"
OTHER = "+8613900001111"
FORMS = ("13812345678", "+8613812345678", "013812345678", "0086 138-1234-5678")
CALLS = [f"hotline-{T // SECOND}.{number}" for number in range(3)]
ATTEMPT = "hotline-c7.1"
NEIGHBOUR = "hotline-c77.1"
"""An attempt of another callback, whose number begins with the same digit."""


@pytest.fixture
def ten_days_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the commands: ten days after the calls."""
    machine = clock.now
    behind = machine() - (T + 10 * DAY)
    monkeypatch.setattr(clock, "now", lambda: machine() - behind)


@pytest.fixture
def settings(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("HOTLINE_DATABASE_URL", url)
    made = Settings(home=tmp_path, database_url=url)
    made.spool_dir.mkdir(parents=True)
    made.run_dir.mkdir()
    made.cel_file.parent.mkdir(parents=True)
    return made


def task(number: int, to: str, reason: str = "") -> list[Any]:
    """A callback that reached its citizen."""
    call = f"hotline-c{number}.1"
    begin = at(1000 + number)
    added = CallbackAdded(begin, number, to, "default", begin, begin + HOUR, reason=reason)
    return [
        added,
        CallbackPlaced(begin + SECOND, number, call, "1001"),
        CallbackDialling(begin + 2 * SECOND, number, call, "1001"),
        CallbackAnswered(begin + 5 * SECOND, number, call, "1001"),
        CallbackEnded(begin + 30 * SECOND, number, call, "1001", "", Party.CALLER),
    ]


@pytest.fixture
async def centre(engine: AsyncEngine, settings: Settings) -> Settings:
    """The citizen called twice and was called back once; another citizen did the same."""
    stories: list[list[Any]] = [answered(call, 60 * number) for number, call in enumerate(CALLS)]
    stories[2][0] = CallArrived(at(120), CALLS[2], "12345", OTHER)
    stories.append([CallArrived(at(500), "hotline-7.7", "12345", NUMBER)])
    stories.append([CallEnded(at(503), "hotline-7.7", Party.CALLER)])
    stories.append(task(7, NUMBER, f"call back {FORMS[3]} please"))
    stories.append(task(77, OTHER))
    await write(engine, settings.run_dir, *stories)
    async with engine.begin() as connection:
        await connection.execute(
            callback_tables.callback.update().values(state="reached", reason=f"to {FORMS[0]}")
        )
    # One is compressed, as by default, which starts an encoder; the others are not.
    plain = settings.model_copy(update={"recording_format": "wav"})
    for call in (*CALLS, ATTEMPT, NEIGHBOUR):
        (settings.spool_dir / f"{call}.raw").write_bytes(b"\1\0\2\0" * 8000)
        await finishing.finish(engine, settings if call == CALLS[0] else plain, call)
    flag = Flag(NUMBER, 1, "knows much")
    await rulebook.change(
        engine,
        lambda book: replace(book, flags={NUMBER: flag}),
        rulebook.defaults(settings),
        settings.numbers,
    )
    block = rulebook.Block(NUMBER, "rude", "wang", "li", T, T + HOUR)
    async with engine.begin() as connection:
        await connection.execute(insert(blocked).values(asdict(block)))
    line = '"1","1763697600.000001","{}","sip:{}@10.0.0.1","' + OTHER + '"\n'
    settings.cel_file.write_text("".join(line.format(form, form) for form in FORMS))
    old = settings.cel_file.with_name("hotline.csv.1")
    old.write_text(line.format(FORMS[0], "x") * 3)
    (settings.log_dir / "queue_log").write_text(f"1|1|q|NONE|ENTERQUEUE||{FORMS[0]}|1\n")
    (settings.log_dir / "old.log.gz").write_bytes(b"\x1f\x8b")
    return settings


async def look(engine: AsyncEngine, settings: Settings, number: str = FORMS[0]) -> Traces:
    return await find.traces(engine, settings, await find.wanted(engine, settings, number))


async def erased(engine: AsyncEngine, settings: Settings) -> erase.Erased:
    found = await look(engine, settings)
    return await erase.erase(engine, settings, found, by="cli:wang", reason="asked on 2025-12-01")


async def everything(engine: AsyncEngine, settings: Settings) -> str:
    """All that the database and the text files hold, but the audit log's masked numbers."""
    found = io.StringIO()
    async with engine.connect() as connection:
        for table in tables.recording.metadata.sorted_tables:
            columns = [cast(column, Text) for column in table.c]
            for row in await connection.execute(select(*columns)):
                found.write(f"{table.name} {tuple(row)}\n")
    for file in texts.files(settings):
        found.write(file.read_text())
    return found.getvalue()


async def run(*words: str) -> tuple[int, str, str]:
    done = await asyncio.to_thread(CliRunner().invoke, app, ["privacy", *words])
    return done.exit_code, done.stdout, done.stderr


# --- the report


async def test_all_that_is_stored_is_found_however_the_number_is_written(
    engine: AsyncEngine, centre: Settings
) -> None:
    found = await look(engine, centre, FORMS[0])
    for form in FORMS[1:]:
        assert await look(engine, centre, form) == found
    assert [call for call, _ in found.calls] == [*CALLS[:2], "hotline-7.7", ATTEMPT]
    assert [entry.call for entry in found.recordings] == [*CALLS[:2], ATTEMPT]
    assert found.callbacks == [(7, "reached")]
    assert (found.facts, found.flags, found.blocks) == (4, 1, 1)
    assert found.texts == {
        "log/asterisk/cel-custom/hotline.csv": 8,
        "log/asterisk/cel-custom/hotline.csv.1": 3,
        "log/queue_log": 1,
    }
    assert found.packed == ["log/old.log.gz"]
    assert await find.forbids(engine, centre, found) == []


async def test_the_report_of_the_command_line_masks_and_is_audited(
    engine: AsyncEngine, centre: Settings
) -> None:
    from web.accounts.tables import audit

    status, said, _ = await run("report", FORMS[0], "--lang", "en")
    assert status == 0
    assert "138****5678" in said or "+86****5678" in said
    assert not written_forms(NUMBER).search(said)
    status, said, _ = await run("report", FORMS[0], "--format", "json")
    assert json.loads(said)["facts"] == 4
    async with engine.connect() as connection:
        rows = (await connection.execute(select(audit.c.action, audit.c.target))).all()
    assert {row.action for row in rows} == {"hotline privacy report"}
    assert not any(written_forms(NUMBER).search(row.target) for row in rows)


async def test_who_looked_is_in_the_report(engine: AsyncEngine, centre: Settings) -> None:
    from web.accounts import audit

    for target in (CALLS[0], CALLS[2]):
        await audit.write(
            engine, at=T, who="li", role="supervisor", address="", status=200,
            action="GET /api/calls/{call}/recording", values={"call": target},
        )  # fmt: skip
    found = await look(engine, centre)
    assert found.looks == [(T, "li", "GET /api/calls/{call}/recording")]


@pytest.mark.parametrize("number", ["12345", "", "110", "hello", "anonymous", "1001"])
async def test_what_is_no_citizens_number_is_refused(
    engine: AsyncEngine, settings: Settings, number: str
) -> None:
    with pytest.raises(PrivacyError):
        await find.wanted(engine, settings, number)
    own = settings.model_copy(update={"numbers": ("02412345678",)})
    with pytest.raises(PrivacyError, match="number of the hotline"):
        await find.wanted(engine, own, "024-12345678")


async def test_assessments_of_a_citizens_calls_are_found_and_notes_lose_the_number(
    engine: AsyncEngine, centre: Settings
) -> None:
    from tests.quality.conftest import PEOPLE
    from web.accounts import audit

    week = draws.week_of("2025-W47", T + 10 * DAY)
    short = centre.model_copy(update={"quality_shortest": 0.0, "quality_per_agent": 50})
    await draws.draw_week(engine, short, week, PEOPLE[1:], by="test", now=T + 10 * DAY)
    mine = [one for one in await book.tasks(engine, "zhao") if one.call == CALLS[0]]
    note = Deduction("greeting", 1, note=f"asked for {FORMS[3]}")
    sheet = ScoreSheet((note,))
    await book.score(engine, mine[0].id, Actor("zhao"), sheet, T + 10 * DAY)
    await audit.write(
        engine, at=T, who="zhao", role="assessor", address="", status=200,
        action="GET /api/quality/tasks/{id}", values={"id": str(mine[0].id)},
    )  # fmt: skip
    found = await look(engine, centre)
    assert (mine[0].id, "scored") in found.assessments
    assert {one for one, _ in found.assessments} == {
        one.id for one in await book.of_week(engine, week.name) if one.call in dict(found.calls)
    }
    assert found.notes == 1
    assert (T, "zhao", "GET /api/quality/tasks/{id}") in found.looks
    made = await erased(engine, centre)
    [left] = (await book.find(engine, mine[0].id)).sheet.deductions  # type: ignore[union-attr]
    assert left.note == f"asked for {made.token}"
    steps = await book.history(engine, mine[0].id)
    assert steps[1].sheet == ScoreSheet((left,))
    # The week can still be drawn again: what was drawn does not depend on the number.
    assert (await draws.redraw(engine, week)).same


# --- the erasure


async def test_the_number_goes_everywhere_and_the_other_citizens_stays(
    engine: AsyncEngine, centre: Settings
) -> None:
    before = await everything(engine, centre)
    assert len(written_forms(NUMBER).findall(before)) == 22
    sizes = {file: file.stat().st_size for file in texts.files(centre)}
    lines = before.count("\n")
    made = await erased(engine, centre)
    after = await everything(engine, centre)
    assert written_forms(NUMBER).findall(after) == []
    assert after.count(OTHER) == before.count(OTHER)
    assert after.count(made.token) >= 5
    assert {file: file.stat().st_size for file in texts.files(centre)} == sizes
    assert (
        after.count("\n")
        == lines - 2 - 3 + 3 + 1 + 1  # rules; keys; certificates, the erasure and its own
    )  # rules; deletions' and erasure's rows; erasure
    assert made.counts == {
        "recordings": 3, "callbacks": 2, "flags": 1, "blocks": 1, "notes": 0, "facts": 4, "texts": 12,
    }  # fmt: skip
    assert (await look(engine, centre)).is_empty
    for call, kept in zip((*CALLS, ATTEMPT, NEIGHBOUR), (0, 0, 1, 0, 1), strict=True):
        entry = (await ledger.look_up(engine, [call]))[call]
        assert (centre.recordings_dir / entry.path).exists() == bool(kept), call
        assert bool(entry.certificate) == (not kept)


async def test_the_ends_of_the_number_by_which_calls_are_searched_go(
    engine: AsyncEngine, centre: Settings
) -> None:
    await rollup.bring_up_to_date(engine, clock.now())

    async def known(number: str) -> int:
        question = select(func.count()).where(call_trait.c.trait.in_(traits.ends(number)))
        async with engine.connect() as connection:
            found: int = (await connection.execute(question)).scalar_one()
        return found

    assert (await known(NUMBER), await known(OTHER)) == (6, 2)
    await erased(engine, centre)
    assert (await known(NUMBER), await known(OTHER)) == (0, 2)


async def test_no_figure_moves(engine: AsyncEngine, centre: Settings) -> None:
    async def figures() -> list[str]:
        found = [
            sla.render_json(await sla.sla(engine, at(end), hours, 95, details=True))
            for end, hours in ((3600, 1), (3600, 24), (DAY // SECOND, 48))
        ]
        checked = await verify.verify(engine, centre, at(-3600), at(7200), None)
        assert checked.differences == []
        return [re.sub(r'"seal[^}]*}', "", one) for one in found]

    before = await figures()
    assert '"human"' in before[0]
    await erased(engine, centre)
    assert await figures() == before


async def test_the_certificate_has_no_number_and_is_provable_with_the_receipt(
    engine: AsyncEngine, centre: Settings
) -> None:
    made = await erased(engine, centre)
    row = tables.evidence.c
    async with engine.connect() as connection:
        text = await connection.scalar(select(row.row).where(row.number == made.certificate))
        kept = (await connection.execute(select(tables.erasure))).one()
    told = json.loads(text or "")
    assert (told["certificate"], told["by"], told["reason"]) == (
        "erasure",
        "cli:wang",
        "asked on 2025-12-01",
    )
    assert told["counts"] == made.counts
    assert told["hash"] == erase.hash_of(NUMBER, made.salt)
    assert told["hash"] != evidence.hash_of(NUMBER)
    assert kept.salt == ""
    assert made.salt not in await everything(engine, centre)
    assert [one async for one in proofs.check(engine)] == []
    assert await deletion.begun_erasures(engine) == []


@pytest.mark.parametrize(
    "killed_in", ["_recordings", "_rows", "_rules", "_diary", "_texts", "_finish", "_count"]
)
async def test_an_erasure_that_was_killed_goes_on_with_its_token(
    killed_in: str, engine: AsyncEngine, centre: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.dialect.name != "sqlite" and killed_in not in {"_diary", "_count"}:
        pytest.skip("the database makes no difference")
    original = getattr(erase, killed_in)
    calls = []

    async def kill(*words: Any) -> None:
        calls.append(words)
        if killed_in == "_count" and len(calls) < 4:
            await original(*words)
            return
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(erase, killed_in, kill)
        with pytest.raises(KeyboardInterrupt):
            await erased(engine, centre)
    [(name, _)] = await deletion.begun_erasures(engine)
    made = await erased(engine, centre)
    assert made.id == name
    assert written_forms(NUMBER).findall(await everything(engine, centre)) == []
    assert made.counts["recordings"] + made.counts["facts"] + made.counts["texts"] == 19
    assert await deletion.begun_erasures(engine) == []
    with pytest.raises(PrivacyError, match="nothing is stored"):
        await erased(engine, centre)


async def test_what_forbids_an_erasure(
    engine: AsyncEngine, centre: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def why() -> list[str]:
        found = await look(engine, centre)
        forbidden = await find.forbids(engine, centre, found)
        if forbidden:
            with pytest.raises(PrivacyError):
                await erase.erase(engine, centre, found, by="b", reason="r")
            assert (await look(engine, centre)).facts == found.facts
        return forbidden

    now = clock.now()
    await deletion.hold(engine, CALLS[0], reason="court", reference="17", by="b", now=now)
    assert await why() == [f"a hold forbids it: call {CALLS[0]}: court (17)"]
    await deletion.release(engine, CALLS[0], why="over", by="b", now=now)
    (centre.spool_dir / f"{CALLS[1]}.raw").write_bytes(b"")
    assert "is not finished" in (await why())[0]
    (centre.spool_dir / f"{CALLS[1]}.raw").unlink()
    (centre.run_dir / "controller.diary.jsonl").write_text(f'{{"caller": "{FORMS[0]}"}}\n')
    assert "wait for the database" in (await why())[0]
    (centre.run_dir / "controller.diary.jsonl").unlink()
    async with engine.begin() as connection:
        await connection.execute(blocked.update().values(until=now + HOUR))
        await connection.execute(callback_tables.callback.update().values(state="due"))
    assert ["is open" in one or "is blocked" in one for one in await why()] == [True] * 3
    async with engine.begin() as connection:
        await connection.execute(blocked.update().values(until=T))
        await connection.execute(callback_tables.callback.update().values(state="reached"))
    await write(engine, centre.run_dir, [CallArrived(now - HOUR, "hotline-8.8", "12345", NUMBER)])
    assert "less than a day old" in (await why())[0]


async def test_an_open_callback_of_another_citizen_that_names_the_number_forbids_it(
    engine: AsyncEngine, centre: Settings
) -> None:
    found = await look(engine, centre)
    assert found.mentions == [(77, "reached")]
    async with engine.begin() as connection:
        columns = callback_tables.callback.c
        await connection.execute(
            callback_tables.callback.update().where(columns.id == 77).values(state="due")
        )
    found = await look(engine, centre)
    [why] = await find.forbids(engine, centre, found)
    assert "callback 77 is open" in why


async def test_a_live_state_of_before_goes_from_redis(
    engine: AsyncEngine, centre: Settings, redis_url: str
) -> None:
    client = redis.from_url(redis_url)
    for name, text in (("live", f'{{"caller": "{NUMBER}"}}'), ("other", OTHER)):
        await client.set(f"hotline:erasing:{name}", text)
    told = centre.model_copy(update={"redis_url": redis_url, "node": "erasing"})
    await erased(engine, told)
    assert await client.exists("hotline:erasing:live") == 0
    assert await client.get("hotline:erasing:other") == OTHER.encode()
    await client.aclose()


async def test_the_file_of_a_redis_that_does_not_run_goes(
    engine: AsyncEngine, centre: Settings
) -> None:
    file = centre.root / "redis" / "dump.rdb"
    file.parent.mkdir()
    file.write_bytes(NUMBER.encode())
    await erased(engine, centre)
    assert not file.exists()


async def test_a_recording_that_cannot_be_deleted_leaves_the_erasure_open(
    engine: AsyncEngine, centre: Settings, tmp_path: Path
) -> None:
    entry = (await ledger.look_up(engine, [CALLS[0]]))[CALLS[0]]
    folder = (centre.recordings_dir / entry.path).parent
    folder.rename(tmp_path / "unmounted")
    with pytest.raises(PrivacyError, match="not deleted, and the erasure is not done"):
        await erased(engine, centre)
    assert (await look(engine, centre)).facts == 4
    (tmp_path / "unmounted").rename(folder)
    assert (await erased(engine, centre)).counts["recordings"] == 3


async def test_from_the_command_line(engine: AsyncEngine, centre: Settings) -> None:
    status, said, _ = await run("erase", FORMS[0])
    assert (status, "没有改动任何内容" in said) == (0, True)
    assert (await look(engine, centre)).facts == 4
    status, _, said = await run("erase", FORMS[0], "--yes")
    assert (status, "say why" in said) == (2, True)
    status, said, _ = await run("erase", FORMS[0], "--yes", "--reason", "asked", "--lang", "en")
    assert status == 0
    assert "Erased, erased-" in said
    assert (await look(engine, centre)).is_empty
    assert (await run("erase", FORMS[0], "--yes", "--reason", "asked"))[0] == 1
    assert (await run("clean"))[0] == 0


async def test_sqlites_file_keeps_no_byte_of_it(engine: AsyncEngine, centre: Settings) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("the files of a server are the server's")
    made = await erased(engine, centre)
    if made.remnants:
        await erase.clean(engine)
    file = Path(str(engine.url.database))
    assert b"13812345678" not in file.read_bytes()
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# --- texts of any size


def test_a_number_across_two_blocks_is_found_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = written_forms(NUMBER)
    for before in range(1010, 1040):
        file = settings.log_dir / "a.log"
        file.write_text("x" * before + "13812345678 +86 138 1234 5678\n" + "y" * 2000)
        with monkeypatch.context() as small:
            small.setattr(texts, "_BLOCK", 1024)
            assert texts.count(file, form) == 2, before
            size = file.stat().st_size
            assert texts.overwrite(settings, form, "abcdef") == 2
            assert texts.count(file, form) == 0
        assert file.stat().st_size == size
        assert file.read_text().startswith("x" * before + "abcdefabcde abcdef")


def test_a_file_that_is_emptied_meanwhile_does_not_grow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings.log_dir / "a.log"
    file.write_text("x" * 100 + "13812345678\n")
    places = texts._places

    def emptied(*words: Any) -> Any:
        found = list(places(*words))
        file.write_text("")
        return found

    monkeypatch.setattr(texts, "_places", emptied)
    assert texts.overwrite(settings, written_forms(NUMBER), "abc") == 0
    assert file.read_text() == ""


async def test_marks_go_with_the_recordings_and_the_number_leaves_the_marks_of_others(
    engine: AsyncEngine, centre: Settings
) -> None:
    place = MarkedPlace(0, None, f"the citizen wants {FORMS[3]} to be called again")
    for call in (CALLS[0], CALLS[2]):
        await marks.add(engine, call, place, "chief", T)
    assert (await look(engine, centre)).marks == 1
    made = await erased(engine, centre)
    assert made.counts["notes"] == 1
    assert await marks.find_all(engine, CALLS[0]) == []
    [kept] = await marks.find_all(engine, CALLS[2])
    assert kept.text == f"the citizen wants {made.token} to be called again"
    assert not written_forms(NUMBER).search(await everything(engine, centre))
