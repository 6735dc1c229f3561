"""Seals: one a day, signed, chained, never written again."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from facts.terms import CallId
from facts.times import DAY, HOUR, MINUTE, midnight
from recorder import evidence, ledger, notary, proofs, seals, tables
from recorder.entry import LedgerEntry
from recorder.evidence import EvidenceError
from recorder.policy import RecordingState
from tests.recorder.conftest import NOW, call_id

MIDNIGHT = midnight(NOW)
"""When 2025-11-21 began in China."""


async def entered(
    engine: AsyncEngine, number: int, at: int = NOW, sha256: str = "ab" * 32
) -> CallId:
    """Enter one recording, as the archive does."""
    call = CallId(call_id(number))
    entry = LedgerEntry(
        call, f"2025/11/21/{call}.wav", RecordingState.FINISHED, 10_000_000, 320_044, sha256, at
    )
    await ledger.enter(engine, [ledger.Draft(entry, [])])
    return call


async def findings(engine: AsyncEngine, **printed: str) -> list[tuple[str, str]]:
    told = {day.lstrip("d").replace("_", "-"): head for day, head in printed.items()}
    return [(one.day, one.call) async for one in proofs.check(engine, told)]


async def days(engine: AsyncEngine) -> list[tuple[str, int]]:
    return [(one.day, one.rows) for one in await seals.since(engine)]


async def test_a_day_is_sealed_a_minute_after_it_is_over(
    engine: AsyncEngine, settings: Settings
) -> None:
    await entered(engine, 1)
    assert await seals.seal(engine, settings, MIDNIGHT + DAY + MINUTE - 1) == []
    [made] = await seals.seal(engine, settings, MIDNIGHT + DAY + MINUTE)
    assert (made.day, made.rows, made.sm3) == ("2025-11-21", 1, None)
    assert made.sha256.previous == evidence.NO_SEAL
    assert seals.is_signed(made)
    assert await seals.seal(engine, settings, MIDNIGHT + DAY + HOUR) == []
    assert await seals.since(engine) == [made]
    assert await findings(engine) == []


async def test_nothing_is_sealed_before_the_first_recording(
    engine: AsyncEngine, settings: Settings
) -> None:
    assert await seals.seal(engine, settings, NOW + 9 * DAY) == []


async def test_a_gap_is_sealed_day_by_day(engine: AsyncEngine, settings: Settings) -> None:
    await entered(engine, 1)
    await entered(engine, 2, NOW + 2 * DAY)
    await entered(engine, 3, NOW + 2 * DAY)
    made = await seals.seal(engine, settings, NOW + 4 * DAY)
    assert [(one.day, one.rows) for one in made] == [
        ("2025-11-21", 1),
        ("2025-11-22", 0),
        ("2025-11-23", 2),
        ("2025-11-24", 0),
    ]
    assert [one.sha256.previous for one in made[1:]] == [one.sha256.head for one in made[:-1]]
    assert await findings(engine) == []


async def test_a_row_of_a_sealed_day_goes_into_a_later_seal(
    engine: AsyncEngine, settings: Settings
) -> None:
    """Such as after a clock that went back: no seal is written again."""
    await entered(engine, 1)
    [first] = await seals.seal(engine, settings, NOW + DAY)
    await entered(engine, 2, NOW)
    made = await seals.seal(engine, settings, NOW + 2 * DAY)
    assert await days(engine) == [("2025-11-21", 1), ("2025-11-22", 1)]
    assert (await seals.since(engine))[0] == first
    assert len(made) == 1
    assert await findings(engine) == []


async def test_a_replaced_row_leaves_both_provable(engine: AsyncEngine, settings: Settings) -> None:
    call = await entered(engine, 1)
    await seals.seal(engine, settings, NOW + DAY)
    await entered(engine, 1, NOW + DAY, sha256="cd" * 32)
    await seals.seal(engine, settings, NOW + 2 * DAY)
    proof = await proofs.prove(engine, call)
    assert [version["day"] for version in proof["versions"]] == ["2025-11-21", "2025-11-22"]
    assert ["ab" * 32 in one["row"] for one in proof["versions"]] == [True, False]
    assert await findings(engine) == []


async def test_two_recorders_seal_a_day_once(engine: AsyncEngine, settings: Settings) -> None:
    for number in range(5):
        await entered(engine, number)
    await asyncio.gather(*(seals.seal(engine, settings, NOW + 3 * DAY) for _ in range(3)))
    assert await days(engine) == [("2025-11-21", 5), ("2025-11-22", 0), ("2025-11-23", 0)]
    assert await findings(engine) == []


async def test_a_recorder_that_comes_late_to_a_day_leaves_it(
    engine: AsyncEngine, settings: Settings
) -> None:
    await entered(engine, 1)
    await seals.seal(engine, settings, NOW + DAY)
    made = await seals.since(engine)
    assert await seals._seal_day(engine, seals.key(settings), "2025-11-21", None, False) is None
    assert await seals.since(engine) == made


async def test_a_seal_that_breaks_off_leaves_nothing(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered(engine, 1)
    with monkeypatch.context() as broken:
        broken.setattr(seals, "_row", lambda _seal: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            await seals.seal(engine, settings, NOW + DAY)
    assert await days(engine) == []
    await seals.seal(engine, settings, NOW + DAY)
    assert await days(engine) == [("2025-11-21", 1)]
    assert await findings(engine) == []


async def test_a_clock_years_ahead_seals_nothing(engine: AsyncEngine, settings: Settings) -> None:
    await entered(engine, 1)
    with pytest.raises(EvidenceError, match=r"401 days since 2025-11-21.*--make-up"):
        await seals.seal(engine, settings, NOW + 401 * DAY)
    with pytest.raises(EvidenceError, match=r"4 days since"):
        await seals.seal(engine, settings, NOW + 4 * DAY, at_most=3)
    assert await days(engine) == []
    assert len(await seals.seal(engine, settings, NOW + 4 * DAY, at_most=4)) == 4


async def test_a_ledger_of_before_is_entered_once(engine: AsyncEngine, settings: Settings) -> None:
    for number in range(3):
        await entered(engine, number)
    async with engine.begin() as connection:
        await connection.execute(delete(tables.evidence))
    assert await findings(engine) == [("", call_id(number)) for number in range(3)]
    assert await seals.adopt(engine, NOW + DAY) == 3
    assert await seals.adopt(engine, NOW + DAY) == 0
    assert await findings(engine) == []
    await seals.seal(engine, settings, NOW + 2 * DAY)
    assert await days(engine) == [("2025-11-22", 3)]


async def test_after_the_first_seal_a_row_without_evidence_stays_a_finding(
    engine: AsyncEngine, settings: Settings
) -> None:
    await entered(engine, 1)
    await seals.seal(engine, settings, NOW + DAY)
    call = await entered(engine, 2, NOW + DAY)
    async with engine.begin() as connection:
        await connection.execute(delete(tables.evidence).where(tables.evidence.c.call == call))
    assert await seals.adopt(engine, NOW + DAY) == 0
    assert await findings(engine) == [("", call)]


# --- what is found


@pytest.fixture
async def three(engine: AsyncEngine, settings: Settings) -> list[evidence.DaySeal]:
    """Three sealed days of two recordings each."""
    for day in range(3):
        for number in range(2):
            await entered(engine, 10 * day + number, NOW + day * DAY)
    return await seals.seal(engine, settings, NOW + 3 * DAY)


async def test_a_removed_ledger_row_is_found(
    engine: AsyncEngine, three: list[evidence.DaySeal]
) -> None:
    call = call_id(10)
    async with engine.begin() as connection:
        await connection.execute(delete(tables.recording).where(tables.recording.c.call == call))
    assert await findings(engine) == [("2025-11-22", call)]


async def test_a_row_removed_from_both_is_found_by_its_day(
    engine: AsyncEngine, three: list[evidence.DaySeal]
) -> None:
    async with engine.begin() as connection:
        for table in (tables.recording, tables.evidence):
            await connection.execute(delete(table).where(table.c.call == call_id(10)))
    assert await findings(engine) == [("2025-11-22", "")]
    with pytest.raises(EvidenceError, match="do not agree"):
        await proofs.prove(engine, CallId(call_id(11)))


async def test_every_changed_part_of_a_ledger_row_is_found(
    engine: AsyncEngine, three: list[evidence.DaySeal]
) -> None:
    table = tables.recording
    before = (await ledger.look_up(engine, [CallId(call_id(1))]))[CallId(call_id(1))]
    for column in ("sha256", "duration", "size", "path", "state", "note", "finished_at"):
        value = "short" if isinstance(getattr(before, column), str) else 1
        for changed in (value, getattr(before, column)):
            async with engine.begin() as connection:
                mine = update(table).where(table.c.call == call_id(1))
                await connection.execute(mine.values({column: changed}))
            found = [("2025-11-21", call_id(1))] if changed == value else []
            assert (column, await findings(engine)) == (column, found)


async def test_a_changed_evidence_row_is_found(
    engine: AsyncEngine, three: list[evidence.DaySeal]
) -> None:
    table = tables.evidence
    async with engine.begin() as connection:
        await connection.execute(
            update(table)
            .where(table.c.call == call_id(1))
            .values(row=func.replace(table.c.row, "10000000", "20000000"))
        )
    assert await findings(engine) == [("2025-11-21", ""), ("2025-11-21", call_id(1))]


async def test_every_changed_part_of_a_seal_is_found(
    engine: AsyncEngine, three: list[evidence.DaySeal]
) -> None:
    mine = update(tables.seal).where(tables.seal.c.day == "2025-11-22")
    before = seals._row(three[1])
    for column in ("rows", "root", "previous", "head", "signature", "public_key"):
        value = 3 if column == "rows" else "00" * (64 if column == "signature" else 32)
        async with engine.begin() as connection:
            await connection.execute(mine.values({column: value}))
        assert ("2025-11-22", "") in await findings(engine), column
        async with engine.begin() as connection:
            await connection.execute(mine.values({column: before[column]}))
        assert await findings(engine) == []


async def test_a_seal_that_is_gone_is_found_and_not_made_again(
    engine: AsyncEngine, settings: Settings, three: list[evidence.DaySeal]
) -> None:
    for day in ("2025-11-23", "2025-11-22"):
        async with engine.begin() as connection:
            await connection.execute(delete(tables.seal).where(tables.seal.c.day == day))
        assert (day, "") in await findings(engine)
    with pytest.raises(EvidenceError, match="2025-11-22 was sealed before, and its seal is gone"):
        await seals.seal(engine, settings, NOW + 4 * DAY)


async def rewrite_a_day(
    engine: AsyncEngine, settings: Settings, made: list[evidence.DaySeal]
) -> evidence.DaySeal:
    """As somebody does who has the key: one recording less on the second day, sealed and signed again."""
    async with engine.begin() as connection:
        for table in (tables.recording, tables.evidence):
            await connection.execute(delete(table).where(table.c.call == call_id(10)))
        mine = tables.evidence.c
        left = (
            await connection.execute(select(mine.row).where(mine.day == "2025-11-22"))
        ).scalars()
        sm3 = made[1].sm3 is not None
        false = seals._sign(seals.key(settings), "2025-11-22", list(left), made[0], sm3)
        of_day = tables.seal.c.day == "2025-11-22"
        await connection.execute(update(tables.seal).where(of_day).values(seals._row(false)))
    return false


async def test_a_rewritten_day_that_is_signed_again_breaks_the_chain(
    engine: AsyncEngine, settings: Settings, three: list[evidence.DaySeal]
) -> None:
    await rewrite_a_day(engine, settings, three)
    assert await findings(engine) == [("2025-11-23", "")]


async def test_a_rewritten_day_is_found_though_all_is_signed_again(
    engine: AsyncEngine, settings: Settings, three: list[evidence.DaySeal]
) -> None:
    """Whoever has the machine and its key makes the whole chain again: only a head that left the centre shows it."""
    async with engine.begin() as connection:
        for table in (tables.recording, tables.evidence):
            await connection.execute(delete(table).where(table.c.call == call_id(10)))
        await connection.execute(delete(tables.seal))
        await connection.execute(update(tables.evidence).values(day=""))
    await seals.seal(engine, settings, NOW + 3 * DAY)
    assert await findings(engine) == []
    head = three[2].sha256.head
    assert await findings(engine, d2025_11_23=head) == [("2025-11-23", "")]
    assert await findings(engine, d2025_11_21=three[0].sha256.head[:16]) == []
    assert await findings(engine, d2025_11_20=head) == [("2025-11-20", "")]


async def test_a_call_of_today_and_an_unknown_one_are_not_proven(
    engine: AsyncEngine, three: list[evidence.DaySeal]
) -> None:
    call = await entered(engine, 40, NOW + 3 * DAY)
    with pytest.raises(EvidenceError, match="not in a seal"):
        await proofs.prove(engine, call)
    with pytest.raises(EvidenceError, match="nothing to prove"):
        await proofs.prove(engine, CallId(call_id(99)))
    with pytest.raises(EvidenceError, match="not a call id"):
        await proofs.prove(engine, CallId("../etc/passwd"))


async def test_sm3_may_come_and_go(engine: AsyncEngine, settings: Settings) -> None:
    if not evidence.available("sm3"):
        pytest.skip("this machine's OpenSSL has no SM3")
    both = settings.model_copy(update={"seal_sm3": True})
    call = await entered(engine, 1)
    await seals.seal(engine, settings, NOW + DAY)
    await seals.seal(engine, both, NOW + 3 * DAY)
    await seals.seal(engine, settings, NOW + 4 * DAY)
    await entered(engine, 2, NOW + 4 * DAY)
    await seals.seal(engine, both, NOW + 5 * DAY)
    made = await seals.since(engine)
    assert [bool(one.sm3) for one in made] == [False, True, True, False, True]
    assert made[1].sm3 is not None
    assert made[2].sm3 is not None
    assert made[2].sm3.previous == made[1].sm3.head
    assert await findings(engine) == []
    assert (await proofs.prove(engine, call))["versions"][0]["sm3_path"] is None
    [version] = (await proofs.prove(engine, CallId(call_id(2))))["versions"]
    assert version["sm3_path"] == []
    async with engine.begin() as connection:
        await connection.execute(
            update(tables.seal).where(tables.seal.c.day == "2025-11-25").values(sm3_root="00" * 32)
        )
    assert ("2025-11-25", "") in await findings(engine)


# --- the key


def test_the_key_is_made_once_and_only_its_owner_reads_it(settings: Settings) -> None:
    made = seals.public(seals.key(settings))
    assert seals.public(seals.key(settings)) == made
    assert (settings.secrets_dir / seals.KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_damaged_key_is_not_replaced(settings: Settings) -> None:
    seals.key(settings)
    file: Path = settings.secrets_dir / seals.KEY_FILE
    file.write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(EvidenceError, match="holds no Ed25519 key"):
        seals.key(settings)
    assert file.read_text() == "-----BEGIN PRIVATE KEY-----\n"


# --- the loop


async def faults(engine: AsyncEngine) -> list[str]:
    question = select(tables.seal.c.day).where(tables.seal.c.fault != "")
    async with engine.connect() as connection:
        return list((await connection.execute(question)).scalars())


async def test_the_recorder_seals_and_marks_a_rewritten_day_for_the_alarm(
    engine: AsyncEngine, settings: Settings
) -> None:
    at_work = notary.Notary(engine, settings)
    await entered(engine, 1)
    await at_work.look(NOW + DAY)
    assert await days(engine) == [("2025-11-21", 1)]
    assert await faults(engine) == []
    async with engine.begin() as connection:
        await connection.execute(update(tables.evidence).values(row="{}"))
    await at_work.look(NOW + DAY + MINUTE)
    assert await faults(engine) == []  # it is looked at once an hour
    await at_work.look(NOW + DAY + HOUR)
    assert await faults(engine) == ["2025-11-21"]
    await at_work.look(NOW + 30 * DAY)
    assert await faults(engine) == ["2025-11-21"]  # though that day's rows are not hashed any more
    await proofs.note(engine, [])
    assert await faults(engine) == []


async def test_the_recorder_goes_on_without_a_key_and_still_looks(
    engine: AsyncEngine, settings: Settings
) -> None:
    at_work = notary.Notary(engine, settings)
    await entered(engine, 1)
    await at_work.look(NOW + DAY)
    os.truncate(settings.secrets_dir / seals.KEY_FILE, 0)
    async with engine.begin() as connection:
        await connection.execute(update(tables.seal).values(head="00" * 32))
    await at_work.look(NOW + 2 * DAY)
    assert await days(engine) == [("2025-11-21", 1)]
    assert await faults(engine) == ["2025-11-21"]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from base import database
from base.settings import Settings
from recorder import seals

async def main():
    engine = database.engine(sys.argv[1])
    real = seals.insert
    def insert(table):
        seals.insert = lambda table: os.kill(os.getpid(), signal.SIGKILL)
        return real(table)
    seals.insert = insert
    await seals.seal(engine, Settings(home=Path(sys.argv[2])), int(sys.argv[3]))

asyncio.run(main())
"""
"""Seals the first day, and is killed within the second, when its rows are marked and its seal is not yet written."""


async def test_a_kill_within_a_seal_loses_nothing_and_seals_nothing_twice(
    engine: AsyncEngine, settings: Settings
) -> None:
    for day in range(2):
        await entered(engine, day, NOW + day * DAY)
    url = engine.url.render_as_string(hide_password=False)
    words = [sys.executable, "-c", KILLED, url, str(settings.root), str(NOW + 2 * DAY)]
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = await asyncio.create_subprocess_exec(*words, env=there)
    assert await killed.wait() == -signal.SIGKILL
    assert await days(engine) == [("2025-11-21", 1)]
    assert len(await seals.seal(engine, settings, NOW + 2 * DAY)) == 1
    assert await days(engine) == [("2025-11-21", 1), ("2025-11-22", 1)]
    assert await findings(engine) == []
