"""Time stamps of the seals, by a real authority (`openssl ts`) that is also away, slow, huge and hostile."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from facts.times import DAY, MINUTE, SECOND, microseconds
from hotline.machine.check import time_stamps
from recorder import notary, proofs, seals, stamps, tables
from recorder.evidence import DaySeal, EvidenceError
from tests.recorder.authority import Authority, authority
from tests.recorder.test_seals import MIDNIGHT, entered
from tests.recorder.test_verifier import VERIFIER

SEALED = MIDNIGHT + DAY + MINUTE


@pytest.fixture
def tsa(tmp_path: Path) -> Iterator[Authority]:
    with authority(tmp_path / "tsa") as one:
        yield one


@pytest.fixture
async def stamping(engine: AsyncEngine, settings: Settings, tsa: Authority) -> Settings:
    """Settings with an authority, and a sealed day."""
    await entered(engine, 1)
    await seals.seal(engine, settings, SEALED)
    return settings.model_copy(update={"seal_tsa": tsa.url, "seal_tsa_ca": tsa.root})


async def findings(engine: AsyncEngine, settings: Settings) -> list[str]:
    trusted = stamps.trusted(settings)
    return [one.what async for one in proofs.check(engine, trusted=trusted)]


async def test_the_newest_seal_is_stamped_once_and_the_stamp_holds(
    engine: AsyncEngine, stamping: Settings, tsa: Authority
) -> None:
    made = await stamps.stamp(engine, stamping)
    assert made is not None
    assert made.day == "2025-11-21"
    assert abs(made.at - time.time_ns() // 1000) < 60 * SECOND
    assert await stamps.stamps(engine) == {made.day: made}
    assert await stamps.stamp(engine, stamping) is None
    assert tsa.asked == 1
    assert await findings(engine, stamping) == []
    await seals.seal(engine, stamping, SEALED + 3 * DAY)
    assert (await stamps.stamp(engine, stamping) or made).day == "2025-11-24"
    assert list(await stamps.stamps(engine)) == ["2025-11-21", "2025-11-24"]
    assert await findings(engine, stamping) == []


async def test_nothing_is_asked_without_an_authority_or_a_seal(
    engine: AsyncEngine, settings: Settings, tsa: Authority
) -> None:
    assert await stamps.stamp(engine, settings) is None
    asked = settings.model_copy(update={"seal_tsa": tsa.url, "seal_tsa_ca": tsa.root})
    assert await stamps.stamp(engine, asked) is None
    assert tsa.asked == 0


def _der_rejection() -> bytes:
    """TimeStampResp with status `rejection` and a text (RFC 3161, 2.4.2)."""
    text = b"no, thank you"
    said = bytes([0x0C, len(text)]) + text
    free = bytes([0x30, len(said)]) + said
    status = b"\x02\x01\x02" + free
    info = bytes([0x30, len(status)]) + status
    return bytes([0x30, len(info)]) + info


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: (503, b""), "does not answer: .*503"),
        (lambda _: (302, b""), "does not answer: .*302"),
        (lambda _: (200, b""), "answers something else"),
        (lambda _: (200, b"<html>\xff" * 100), "answers something else"),
        (lambda _: (200, b"0" * (stamps.LONGEST + 1)), "too long"),
        (lambda _: (200, _der_rejection()), "refuses: no, thank you"),
    ],
)
async def test_an_answer_that_is_none_is_not_kept(
    engine: AsyncEngine, stamping: Settings, tsa: Authority, answer: object, why: str
) -> None:
    tsa.answer = answer  # type: ignore[assignment]
    with pytest.raises(EvidenceError, match=why):
        await stamps.stamp(engine, stamping)
    assert await stamps.stamps(engine) == {}


async def test_an_authority_that_is_away_or_slow_is_said(
    engine: AsyncEngine, stamping: Settings, tsa: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = stamping.model_copy(update={"seal_tsa": "http://127.0.0.1:1/"})
    with pytest.raises(EvidenceError, match="does not answer"):
        await stamps.stamp(engine, away)
    odd = stamping.model_copy(update={"seal_tsa": "tsa.example"})
    with pytest.raises(EvidenceError, match="does not answer"):
        await stamps.stamp(engine, odd)

    def slow(query: bytes) -> tuple[int, bytes]:
        time.sleep(0.6)
        return tsa.stamped(query)

    monkeypatch.setattr(stamps, "WITHIN", 0.2)
    tsa.answer = slow
    with pytest.raises(EvidenceError, match="does not answer: TimeoutError"):
        await stamps.stamp(engine, stamping)


async def test_a_stamp_of_something_else_or_by_somebody_else_is_not_kept(
    engine: AsyncEngine, stamping: Settings, tsa: Authority, tmp_path: Path
) -> None:
    def other(query: bytes) -> tuple[int, bytes]:
        # The query's imprint (32 bytes) begins behind its algorithm.
        at = query.index(b"\x04\x20") + 2
        return tsa.stamped(query[:at] + bytes(32) + query[at + 32 :])

    tsa.answer = other
    with pytest.raises(EvidenceError, match="not valid: Mismatch"):
        await stamps.stamp(engine, stamping)
    kept: list[bytes] = []
    tsa.answer = lambda query: (200, kept[0] if kept else b"")
    kept.append(tsa.stamped(_query_of(tsa, stamping, await seals.since(engine)))[1])
    with pytest.raises(EvidenceError, match="not valid: Nonce"):
        await stamps.stamp(engine, stamping)
    tsa.answer = tsa.stamped
    with authority(tmp_path / "other") as stranger:
        unknown = stamping.model_copy(update={"seal_tsa_ca": stranger.root})
        with pytest.raises(EvidenceError, match="not valid"):
            await stamps.stamp(engine, unknown)
    assert await stamps.stamps(engine) == {}


def _query_of(tsa: Authority, settings: Settings, known: list[DaySeal]) -> bytes:
    """A query for the same seal, asked before: an old answer is played again."""
    del tsa, settings
    builder = TimestampRequestBuilder().data(stamps._text(known[-1]))
    return bytes(builder.hash_algorithm(HashAlgorithm.SHA256).build().as_bytes())


@pytest.mark.parametrize("what", ["", "no certificate"])
async def test_without_a_root_certificate_nothing_is_asked(
    engine: AsyncEngine, stamping: Settings, tsa: Authority, tmp_path: Path, what: str
) -> None:
    file = tmp_path / "root.pem"
    file.write_text(what)
    for ca, why in ((None, "HOTLINE_SEAL_TSA_CA"), (file, "PEM"), (tmp_path / "none", "No such")):
        unable = stamping.model_copy(update={"seal_tsa_ca": ca})
        with pytest.raises(EvidenceError, match=why):
            await stamps.stamp(engine, unable)
        assert time_stamps(unable)[0] is False
        assert why in time_stamps(unable)[1]
    assert tsa.asked == 0
    fine, said = time_stamps(stamping)
    assert fine
    assert tsa.url in said
    assert time_stamps(stamping.model_copy(update={"seal_tsa": "tsa.example"}))[0] is False


async def test_a_changed_stamp_is_found(engine: AsyncEngine, stamping: Settings) -> None:
    made = await stamps.stamp(engine, stamping)
    assert made is not None
    table = tables.stamp
    for changed, why in (
        ({"at": made.at + SECOND}, "another time"),
        ({"token": base64.b64encode(made.token[:-1] + b"!").decode()}, "not one of this seal"),
        ({"token": base64.b64encode(made.token[:40]).decode()}, "cannot be read"),
    ):
        async with engine.begin() as connection:
            await connection.execute(update(table).values(changed))
        [found] = await findings(engine, stamping)
        assert why in found
        async with engine.begin() as connection:
            whole = {"at": made.at, "token": base64.b64encode(made.token).decode()}
            await connection.execute(update(table).values(whole))
    assert await findings(engine, stamping) == []
    # Of another day: a stamp is moved to another seal.
    await seals.seal(engine, stamping, SEALED + DAY)
    async with engine.begin() as connection:
        await connection.execute(update(table).values(day="2025-11-22"))
    [found] = await findings(engine, stamping)
    assert "not one of this seal" in found


async def test_the_recorder_asks_again_later_and_says_why(
    engine: AsyncEngine, stamping: Settings, tsa: Authority
) -> None:
    tsa.answer = lambda _: (500, b"")
    loop = notary.Notary(engine, stamping)
    now = SEALED + MINUTE
    await loop.look(now)
    assert tsa.asked == 1
    await loop.look(now + 20 * SECOND)
    assert tsa.asked == 1
    await loop.look(now + 61 * SECOND)
    assert tsa.asked == 2
    tsa.answer = tsa.stamped
    await loop.look(now + 100 * SECOND)
    assert tsa.asked == 2
    await loop.look(now + 240 * SECOND)
    assert list(await stamps.stamps(engine)) == ["2025-11-21"]
    await loop.look(now + DAY)
    assert list(await stamps.stamps(engine)) == ["2025-11-21", "2025-11-22"]
    async with engine.connect() as connection:
        faults = (await connection.execute(select(tables.seal.c.fault))).scalars()
        assert set(faults) == {""}


async def test_somebody_outside_checks_the_stamp_without_this_program(
    engine: AsyncEngine, stamping: Settings, tsa: Authority, tmp_path: Path
) -> None:
    call = await entered(engine, 2, SEALED)
    await seals.seal(engine, stamping, SEALED + DAY)
    await stamps.stamp(engine, stamping)
    proof = await proofs.prove(engine, call)
    [one] = proof["stamps"]
    assert one["day"] == "2025-11-22"

    def verified(changed: object, *words: str) -> tuple[int, str]:
        file = tmp_path / "proof.json"
        file.write_text(json.dumps(changed))
        command = [sys.executable, str(VERIFIER), str(file), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    status, said = verified(proof, "--tsa", str(tsa.root))
    assert status == 0, said
    assert "says the time stamp authority" in said
    assert "--head" not in said
    status, said = verified(proof)
    assert status == 0
    assert "the time stamps (--tsa)" in said
    assert "--head" in said
    with authority(tmp_path / "other") as stranger:
        assert verified(proof, "--tsa", str(stranger.root))[0] == 1
    head = "0" + proof["seals"][-1]["head"][1:]
    for changed in (
        {**proof, "stamps": []},
        {**proof, "stamps": [{**one, "token": one["token"][:-8]}]},
        {**proof, "stamps": [{**one, "day": "2025-11-21"}]},
        {**proof, "seals": [*proof["seals"][:-1], {**proof["seals"][-1], "head": head}]},
    ):
        assert verified(changed, "--tsa", str(tsa.root))[0] == 1
    async with engine.begin() as connection:
        await connection.execute(delete(tables.stamp))
    status, said = verified(await proofs.prove(engine, call))
    assert status == 0
    assert "--tsa" not in said


def test_microseconds_of_the_authority_are_read() -> None:
    """A stamp's time has whole seconds or fractions (RFC 3161, 2.4.2); ours are microseconds."""
    from datetime import UTC, datetime

    assert microseconds(datetime(2025, 11, 21, 1, 2, 3, 4, tzinfo=UTC)) % SECOND == 4
