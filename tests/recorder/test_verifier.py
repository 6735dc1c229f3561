"""docs/verify_recording.py: a program of its own, which shares no code with ours and trusts nothing in a proof."""

import copy
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from facts.terms import CallId
from facts.times import DAY
from recorder import evidence, finishing, ledger, proofs, seals, tape
from tests.recorder.conftest import NOW, Spool, a_call, call_id, write
from tests.recorder.test_seals import entered, rewrite_a_day

VERIFIER = Path(__file__).parent.parent.parent / "docs" / "verify_recording.py"


@pytest.fixture
async def proof(engine: AsyncEngine, settings: Settings, spool: Spool) -> dict[str, Any]:
    """Of a call with two versions on two days, the second with a file; five others beside it; SM3 if it is there."""
    both = settings.model_copy(update={"seal_sm3": evidence.available("sm3")})
    call = CallId(call_id(3))
    for number in range(6):
        await entered(engine, number)
    await write(engine, a_call(call))
    spool(call)
    async with engine.connect():
        facts = (await ledger.facts_of(engine, [call]))[call]
    made = tape.finish(
        settings.spool_dir / f"{call}.raw", settings.recordings_dir / "call.wav", swap=False
    )
    await ledger.enter(engine, [finishing.draft(call, facts, made, at=NOW + DAY)])
    await entered(engine, 7, NOW + DAY)
    await seals.seal(engine, both, NOW + 3 * DAY)
    found: dict[str, Any] = json.loads(json.dumps(await proofs.prove(engine, call)))
    return found


def run(folder: Path, proof: object, *words: str) -> tuple[int, str]:
    """The verifier as a process without any of our packages on its path."""
    file = folder / "proof.json"
    file.write_text(json.dumps(proof, ensure_ascii=False))
    done = subprocess.run(
        [sys.executable, "-I", str(VERIFIER), str(file), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


async def test_a_true_proof_with_file_head_and_key(
    proof: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    last = proof["seals"][-1]
    words = ["--file", str(settings.recordings_dir / "call.wav"), "--key", last["public_key"]]
    status, said = run(tmp_path, proof, *words, "--head", f"{last['day']}={last['head'].upper()}")
    assert status == 0, said
    assert "2025-11-21: row 4 of 6" in said
    assert "2025-11-22: row 1 of 2" in said
    assert said.splitlines()[-1] == "RIGHT 相符"
    assert "not checked" not in said


async def test_what_was_not_checked_is_said(proof: dict[str, Any], tmp_path: Path) -> None:
    status, said = run(tmp_path, proof)
    assert status == 0, said
    for what in ("(--file)", "(--head)", "(--key)"):
        assert sum("not checked" in line and what in line for line in said.splitlines()) == 1


@pytest.fixture
def verifier() -> Iterator[ModuleType]:
    """In this process: a falsified proof a millisecond instead of fifty."""
    told = importlib.util.spec_from_file_location("verify_recording", VERIFIER)
    assert told is not None
    assert told.loader is not None
    module = importlib.util.module_from_spec(told)
    told.loader.exec_module(module)
    return module


def verdict(
    verifier: ModuleType, folder: Path, proof: object, monkeypatch: pytest.MonkeyPatch, *words: str
) -> int:
    file = folder / "proof.json"
    file.write_text(json.dumps(proof, ensure_ascii=False))
    monkeypatch.setattr(sys, "argv", ["verify_recording.py", str(file), *words])
    status: int = verifier.main()
    return status


def falsified(value: object) -> Iterator[object]:
    """What somebody could have written instead: each character changed, or one too few; another number; nothing."""
    if isinstance(value, bool) or value is None:
        yield "00"
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, str):
        for at, letter in enumerate(value):
            other = "1" if letter != "1" else "2"
            yield value[:at] + other + value[at + 1 :]
        yield value[:-1] if value else "00"
        yield None
    elif isinstance(value, list):
        yield [*value, "00" * 32]
        yield value[:-1]


def places(value: object, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a proof that holds something to falsify."""
    if isinstance(value, dict | list):
        if isinstance(value, list) and way:
            yield way
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*way, key))
    else:
        yield way


UNSEALED = {"sealed_at"}
"""What is only told: when a seal was made is proven by the day on which its head left the centre."""


async def test_every_changed_letter_is_found(
    proof: dict[str, Any],
    verifier: ModuleType,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The proof is the same from either database: one of them may do with fewer letters.
    step = 7 if engine.dialect.name == "sqlite" else 29
    last = proof["seals"][-1]
    head = ("--head", f"{last['day']}={last['head']}")
    assert verdict(verifier, tmp_path, proof, monkeypatch, *head) == 0
    tried = 0
    for way in places(proof):
        if way[-1] in UNSEALED:
            continue
        false = copy.deepcopy(proof)
        holder: Any = false
        for key in way[:-1]:
            holder = holder[key]
        true = holder[way[-1]]
        if way in (("versions",), ("seals",), ("stamps",)):
            continue  # fewer versions are another, smaller proof; test_stamps.py has stamps
        for value in [*falsified(true)][::step]:
            holder[way[-1]] = value
            tried += 1
            found = verdict(verifier, tmp_path, false, monkeypatch, *head)
            assert found == 1, f"{way}: {true!r} → {value!r}"
        holder[way[-1]] = true
    assert tried * step > 1000


async def test_another_recording_is_found(
    proof: dict[str, Any],
    settings: Settings,
    verifier: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = settings.recordings_dir / "call.wav"
    content = sound.read_bytes()
    words = ("--file", str(sound))
    assert verdict(verifier, tmp_path, proof, monkeypatch, *words) == 0
    for at in (0, 22, 44, len(content) // 2, len(content) - 1):
        sound.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert verdict(verifier, tmp_path, proof, monkeypatch, *words) == 1
    sound.write_bytes(content[:-1])
    assert verdict(verifier, tmp_path, proof, monkeypatch, *words) == 1


async def test_another_head_key_or_an_older_report_is_found(
    proof: dict[str, Any], verifier: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = proof["seals"][0], proof["seals"][-1]
    for words in (
        ("--head", f"{last['day']}={first['head']}"),
        ("--head", f"{last['day']}={last['head'][:15]}"),
        ("--head", f"2025-11-30={last['head']}"),
        ("--head", f"{first['day']}={first['head']}"),  # before the second version was sealed
        ("--key", "00" * 32),
    ):
        assert verdict(verifier, tmp_path, proof, monkeypatch, *words) == 1, words


@pytest.mark.parametrize("content", [[], {}, {"form": "another"}, "text", None, 7])
def test_what_is_no_proof_is_said_in_a_sentence(
    content: object, verifier: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdict(verifier, tmp_path, content, monkeypatch) == 1


async def test_without_cryptography_the_signatures_are_named_as_not_checked(
    proof: dict[str, Any],
    verifier: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    assert verdict(verifier, tmp_path, proof, monkeypatch) == 0
    assert capsys.readouterr().out.count("not checked 未验证: the signatures") == 1


async def test_a_day_that_was_sealed_again_with_the_key_is_found(
    engine: AsyncEngine,
    settings: Settings,
    verifier: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each hash and each signature is right by itself; the day behind it still names the head of before."""
    both = settings.model_copy(update={"seal_sm3": evidence.available("sm3")})
    for day in range(3):
        for number in range(2):
            await entered(engine, 10 * day + number, NOW + day * DAY)
    made = await seals.seal(engine, both, NOW + 3 * DAY)
    true = await proofs.prove(engine, CallId(call_id(0)))
    assert verdict(verifier, tmp_path, true, monkeypatch) == 0
    if made[2].sm3:  # in one chain only
        false = copy.deepcopy(true)
        link = evidence.link("sm3", "2025-11-23", ["another"], "00" * 32)
        sm3 = replace(link, root=made[2].sm3.root)
        sm3 = replace(sm3, head=evidence.head("sm3", "2025-11-23", 2, sm3.root, sm3.previous))
        text = evidence.signed_text("2025-11-23", made[2].sha256.head, sm3.head)
        signature = seals.key(settings).sign(text).hex()
        false["seals"][2] = evidence.seal_json(replace(made[2], sm3=sm3, signature=signature))
        assert verdict(verifier, tmp_path, false, monkeypatch) == 1
        assert "2025-11-23: it does not follow the day before (SM3)" in capsys.readouterr().out
    await rewrite_a_day(engine, settings, made)
    false = await proofs.prove(engine, CallId(call_id(0)))
    assert verdict(verifier, tmp_path, false, monkeypatch) == 1
    assert "2025-11-23: it does not follow the day before\n" in capsys.readouterr().out
