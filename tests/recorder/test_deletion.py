"""Deletions: nothing is called deleted that is not, a hold wins, and each has its certificate in the evidence."""

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from facts.terms import CallId
from facts.times import DAY
from recorder import (
    copying,
    deletion,
    evidence,
    finishing,
    ledger,
    proofs,
    removal,
    seals,
    tables,
    tape,
)
from recorder.deletion import Deleted, Doomed, HoldError
from recorder.entry import LedgerEntry
from recorder.ledger import LedgerError
from recorder.removal import RemovalError
from recorder.retention import RetentionError
from recorder.vault import old, rotation
from tests.recorder.conftest import NOW, Spool, a_call, call_id, write
from tests.recorder.test_seals import findings
from tests.recorder.test_verifier import run

CALL = CallId(call_id(1))
OTHER = CallId(call_id(17))


@pytest.fixture
async def entries(engine: AsyncEngine, settings: Settings, spool: Spool) -> list[LedgerEntry]:
    """Two recordings with their files; the id of one begins with that of the other."""
    found = []
    for call in (CALL, OTHER):
        spool(call, seconds=2)
        await write(engine, a_call(call, 2, 1))
        found.append(await finishing.finish(engine, settings, call))
    return found


async def carry_out(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, **how: Any
) -> Deleted:
    return await deletion.carry_out(
        engine, settings, [Doomed(entry, "default")], by="cli:wang", rules="ab" * 32, **how
    )


async def certificates(engine: AsyncEngine) -> list[dict[str, Any]]:
    row = tables.evidence.c
    question = select(row.row).where(row.kind != "").order_by(row.number)
    async with engine.connect() as connection:
        return [json.loads(one) for one in (await connection.execute(question)).scalars()]


async def begun(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(tables.deletion)) or 0


async def test_a_deletion_removes_the_files_of_one_call_and_leaves_a_certificate(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry]
) -> None:
    file = settings.recordings_dir / entries[0].path
    for beside in (file.with_name(f"{CALL}.peaks"), file.with_name(f".{file.name}.1.part")):
        beside.write_bytes(b"more of it")
    found = await carry_out(engine, settings, entries[0])
    assert (found.done, found.kept) == ([CALL], [])
    assert [one.name for one in file.parent.iterdir()] == [f"{OTHER}.wav.enc"]
    [certificate] = await certificates(engine)
    assert (certificate["call"], certificate["rule"], certificate["by"]) == (
        CALL,
        "default",
        "cli:wang",
    )
    assert certificate["ends"] == evidence.hash_of(ledger.vouched(entries[0]))
    assert (certificate["size"], certificate["found"]) == (entries[0].size, True)
    after = (await ledger.look_up(engine, [CALL]))[CALL]
    assert after.certificate > 0
    assert ledger.vouched(after) == ledger.vouched(entries[0])
    assert await begun(engine) == 0
    assert await findings(engine) == []


async def test_a_deleted_recording_is_told_from_one_that_is_gone(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry], tmp_path: Path
) -> None:
    await carry_out(engine, settings, entries[0])
    with pytest.raises(
        LedgerError, match=r"was deleted on \d{4}-\d\d-\d\d by default \(certificate 3\)"
    ):
        await copying.export(engine, settings, CALL, tmp_path / "a.wav")
    with pytest.raises(LedgerError, match="was deleted on"):
        await copying.verify(engine, settings, CALL)
    assert [what async for _, what in copying.verify_all(engine, settings)] == ["", ""]
    file = settings.recordings_dir / entries[0].path
    file.write_bytes(b"from a backup")
    said = {entry.call: what async for entry, what in copying.verify_all(engine, settings)}
    assert "was deleted by certificate 3" in said[CALL]
    assert said[OTHER] == ""


async def test_a_second_deletion_changes_nothing(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry]
) -> None:
    await carry_out(engine, settings, entries[0])
    after = (await ledger.look_up(engine, [CALL]))[CALL]
    for entry in (entries[0], after):
        found = await carry_out(engine, settings, entry, absent=True)
        assert found.kept == [(CALL, "its row has changed meanwhile")]
    assert len(await certificates(engine)) == 1


async def test_a_file_that_is_not_there_was_not_deleted(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry]
) -> None:
    (settings.recordings_dir / entries[0].path).unlink()
    found = await carry_out(engine, settings, entries[0])
    assert found.kept == [(CALL, "its file is not there, so nothing is deleted")]
    assert await certificates(engine) == []
    found = await carry_out(engine, settings, entries[0], absent=True)
    assert found.done == [CALL]
    assert [one["found"] for one in await certificates(engine)] == [False]


async def test_a_disk_that_is_away_certifies_nothing_not_even_after_a_kill(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry], tmp_path: Path
) -> None:
    folder = (settings.recordings_dir / entries[0].path).parent
    await deletion._begin(
        engine, [Doomed(entries[0], "default")], {CALL: True}, "recorder", "", Deleted()
    )
    folder.rename(tmp_path / "unmounted")
    found = await deletion.resume(engine, settings)
    assert "is the disk mounted?" in found.kept[0][1]
    assert await certificates(engine) == []
    assert await begun(engine) == 1
    found = await carry_out(engine, settings, entries[1], absent=True)
    assert "is the disk mounted?" in found.kept[0][1]
    assert await certificates(engine) == []


@pytest.mark.parametrize("killed_in", ["remove_files", "_certify"])
async def test_a_kill_in_the_middle_is_made_good(
    engine: AsyncEngine,
    settings: Settings,
    entries: list[LedgerEntry],
    monkeypatch: pytest.MonkeyPatch,
    killed_in: str,
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(removal if killed_in == "remove_files" else deletion, killed_in, kill)
        with pytest.raises(KeyboardInterrupt):
            await carry_out(engine, settings, entries[0])
    assert await certificates(engine) == []
    assert await begun(engine) == 1
    assert (settings.recordings_dir / entries[0].path).exists() == (killed_in == "remove_files")
    found = await deletion.resume(engine, settings)
    assert found.done == [CALL]
    assert not (settings.recordings_dir / entries[0].path).exists()
    [certificate] = await certificates(engine)
    assert certificate["found"]
    assert await findings(engine) == []
    assert (await deletion.resume(engine, settings)).done == []


async def test_a_file_that_cannot_be_removed_is_not_deleted(
    engine: AsyncEngine,
    settings: Settings,
    entries: list[LedgerEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", refuse)
        found = await carry_out(engine, settings, entries[0])
    assert "Operation not permitted" in found.kept[0][1]
    assert await certificates(engine) == []
    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", lambda _self, missing_ok=False: None)
        with pytest.raises(RemovalError, match="are there again"):
            removal.remove_files(settings, entries[1])


async def test_a_longer_file_that_comes_late_is_not_ended_by_the_certificate(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry], spool: Spool
) -> None:
    await deletion._begin(
        engine, [Doomed(entries[0], "default")], {CALL: True}, "recorder", "", Deleted()
    )
    await entered_again(engine, settings, spool)
    found = await deletion.resume(engine, settings)
    assert found.kept == [(CALL, "its row has changed meanwhile")]
    assert await certificates(engine) == []


async def entered_again(engine: AsyncEngine, settings: Settings, spool: Spool) -> None:
    spool(CALL, seconds=5)
    made = tape.finish(
        settings.spool_dir / f"{CALL}.raw",
        settings.recordings_dir / f"2025/11/21/{CALL}.wav",
        swap=False,
    )
    facts = (await ledger.facts_of(engine, [CALL]))[CALL]
    await ledger.enter(engine, [finishing.draft(CALL, facts, made, at=NOW + DAY)])


async def test_after_a_deletion_a_late_file_is_a_recording_again(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry], spool: Spool
) -> None:
    await carry_out(engine, settings, entries[0])
    await entered_again(engine, settings, spool)
    await copying.verify(engine, settings, CALL)
    assert await findings(engine) == []
    after = (await ledger.look_up(engine, [CALL]))[CALL]
    assert (await carry_out(engine, settings, after)).done == [CALL]
    assert await findings(engine) == []


# --- holds


async def test_a_hold_wins_until_it_is_released_or_over(
    engine: AsyncEngine,
    settings: Settings,
    entries: list[LedgerEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    await deletion.hold(engine, CALL, reason="court", reference="(2025) 17", by="cli:wang", now=NOW)
    await deletion.hold(
        engine, OTHER, reason="complaint", until="2025-11-22", by="cli:wang", now=NOW
    )
    for entry in entries:
        found = await carry_out(engine, settings, entry)
        assert "a hold forbids it" in found.kept[0][1]
        assert (settings.recordings_dir / entry.path).exists()
    held = await deletion.holds(engine, NOW)
    assert [(one.reason, one.reference) for one in held.values()] == [
        ("court", "(2025) 17"),
        ("complaint", ""),
    ]
    assert await deletion.release(engine, CALL, why="settled", by="cli:li", now=NOW) == 1
    with pytest.raises(HoldError, match="No hold is in force"):
        await deletion.release(engine, CALL, why="settled", by="cli:li", now=NOW)
    assert (await carry_out(engine, settings, entries[0])).done == [CALL]
    assert await deletion.holds(engine, NOW + DAY, [OTHER]) != {}
    assert await deletion.holds(engine, NOW + 2 * DAY) == {}
    monkeypatch.setattr(clock, "now", lambda: NOW + 2 * DAY)
    assert (await carry_out(engine, settings, entries[1])).done == [OTHER]


async def test_what_cannot_be_held_says_why(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry]
) -> None:
    with pytest.raises(HoldError, match="not a call id"):
        await deletion.hold(engine, "../x", reason="court", by="b", now=NOW)
    with pytest.raises(HoldError, match="say why"):
        await deletion.hold(engine, CALL, reason=" ", by="b", now=NOW)
    with pytest.raises(HoldError, match="is over"):
        await deletion.hold(engine, CALL, reason="x", until="2025-11-20", by="b", now=NOW)
    await deletion._begin(
        engine, [Doomed(entries[0], "default")], {CALL: True}, "recorder", "", Deleted()
    )
    with pytest.raises(HoldError, match="being deleted just now"):
        await deletion.hold(engine, CALL, reason="court", by="b", now=NOW)
    await deletion.resume(engine, settings)
    with pytest.raises(HoldError, match="was deleted"):
        await deletion.hold(engine, CALL, reason="court", by="b", now=NOW)
    with pytest.raises(HoldError, match="say why"):
        await deletion.release(engine, CALL, why="", by="b", now=NOW)


# --- confirmation


async def test_changed_rules_must_be_confirmed_again(
    engine: AsyncEngine, settings: Settings
) -> None:
    assert not await deletion.is_confirmed(engine, settings)
    await deletion.confirm(engine, deletion.policy_of(settings), "cli:wang", NOW)
    assert await deletion.is_confirmed(engine, settings)
    (settings.root / "retention.toml").write_text('[[rule]]\nname = "a"\ndays = 200\n')
    assert not await deletion.is_confirmed(engine, settings)
    await deletion.confirm(engine, deletion.policy_of(settings), "cli:wang", NOW)
    assert await deletion.is_confirmed(engine, settings)
    other = settings.model_copy(update={"retention_days": 400})
    assert not await deletion.is_confirmed(engine, other)
    (settings.root / "retention.toml").write_text("[[rule]]\n")
    assert not await deletion.is_confirmed(engine, settings)
    with pytest.raises(RetentionError):
        deletion.policy_of(settings)


# --- what is found


async def test_a_certificate_that_is_none_is_found(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry]
) -> None:
    await carry_out(engine, settings, entries[0])
    recording, row = tables.recording, tables.evidence

    async def found(*changes: Any) -> list[str]:
        async with engine.connect() as connection, connection.begin() as transaction:
            for change in changes:
                await connection.execute(change)
            await transaction.commit()
        return [one.what async for one in proofs.check(engine)]

    number = (await ledger.look_up(engine, [CALL]))[CALL].certificate
    mine = update(recording).where(recording.c.call == CALL)
    [said] = await found(mine.values(certificate=0))
    assert f"certificate {number} deleted it, but the ledger does not say so" in said
    [said] = await found(
        mine.values(certificate=number),
        update(recording).where(recording.c.call == OTHER).values(certificate=number),
    )
    assert "there is none" in said
    await found(update(recording).where(recording.c.call == OTHER).values(certificate=0))
    text = func.replace(row.c.row, '"ends":"', '"ends":"00')
    certified = row.c.number == number
    before = await certificates(engine)
    [said] = await found(update(row).where(certified).values(row=text))
    assert "ends a row that is not there" in said
    fixed = rfc8785.dumps(before[0]).decode()
    assert await found(update(row).where(certified).values(row=fixed)) == []
    said, other = await found(update(row).where(certified).values(kind="erasure"))
    assert "none of its kind" in said
    assert "there is none" in other


async def test_a_removed_certificate_is_found(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry]
) -> None:
    await carry_out(engine, settings, entries[0])
    async with engine.begin() as connection:
        await connection.execute(delete(tables.evidence).where(tables.evidence.c.kind != ""))
    assert await findings(engine) == [("", CALL)]


# --- somebody outside


async def test_the_verifier_says_that_a_recording_was_deleted(
    engine: AsyncEngine, settings: Settings, entries: list[LedgerEntry], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.wav"
    await copying.export(engine, settings, CALL, kept)
    await seals.seal(engine, settings, entries[0].finished_at + DAY)
    await carry_out(engine, settings, entries[0])
    async with engine.begin() as connection:
        later = entries[0].finished_at + DAY
        await connection.execute(
            update(tables.evidence).where(tables.evidence.c.kind != "").values(entered_at=later)
        )
    await seals.seal(engine, settings, entries[0].finished_at + 3 * DAY)
    proof = await proofs.prove(engine, CALL)
    assert len(proof["versions"]) == 2
    status, said = run(tmp_path, proof)
    assert status == 0, said
    assert "deleted 已删除: " in said
    assert "by cli:wang, rule default" in said
    assert "(--file)" not in said
    status, said = run(tmp_path, proof, "--file", str(kept))
    assert status == 0, said
    assert "its SHA-256 is that of the row" in said
    proof["versions"] = proof["versions"][1:]
    status, said = run(tmp_path, proof)
    assert status == 1
    assert "ends a row that is not in the proof" in said


# --- encryption


async def test_an_encrypted_recording_goes_with_its_key(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    secret, open_ = settings, settings.model_copy(update={"encrypt_recordings": False})
    for call in (CALL, OTHER):
        spool(call, seconds=2)
        await write(engine, a_call(call, 2, 1))
    entry = await finishing.finish(engine, secret, CALL)
    plain = await finishing.finish(engine, open_, OTHER)
    assert entry.path.endswith(".enc")
    assert (await carry_out(engine, secret, entry)).done == [CALL]
    assert not (settings.recordings_dir / entry.path).exists()
    async with engine.connect() as connection:
        assert (await connection.execute(select(tables.recording_key))).all() == []
    assert await findings(engine) == []
    assert (await carry_out(engine, secret, plain)).done == [OTHER]
    assert [one async for one in old.encrypt(engine, secret)] == []
    ring = await rotation.begin(engine, secret)
    assert [one async for one in rotation.rotate(engine, secret, ring)] == []
    assert [what async for _, what in copying.verify_all(engine, secret)] == ["", ""]
