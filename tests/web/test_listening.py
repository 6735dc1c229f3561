"""The routes beside a recording's sound: waveform and marks, who may, and that each look is written down."""

from typing import Any

import numpy as np
import pytest

from facts import (
    CallArrived,
    CallEnded,
    Fact,
    OfferAnswered,
    RecordingPaused,
    RecordingResumed,
    SurveyEnded,
    TalkEnded,
)
from facts.terms import CallId, Party, PauseWhy, SurveyEnd
from facts.times import SECOND
from recorder import deletion, finishing, marks
from recorder.deletion import Doomed
from recorder.entry import LedgerEntry
from recorder.policy import RATE
from recorder.vault import keys, rotation
from tests.recorder.conftest import write
from tests.web.conftest import Web
from web.accounts.rights import Role
from web.api.listening import blind_peaks

CALL = CallId("hotline-1763731200.5")
PATH = f"/api/calls/{CALL}"
BEGAN = 1_763_731_200 * SECOND


def _sound() -> bytes:
    """The citizen for two seconds, nobody for three, the agent for one."""
    wave = (np.sin(np.arange(6 * RATE) * 0.5) * 16_000).astype("<i2")
    sides = np.stack([wave, wave], axis=1)
    sides[2 * RATE :, 0] = 0
    sides[: 5 * RATE, 1] = 0
    return sides.tobytes()


def _facts() -> list[Fact]:
    return [
        CallArrived(BEGAN, CALL, "12345", "13812345678"),
        OfferAnswered(BEGAN + SECOND, CALL, "1001"),
        RecordingPaused(BEGAN + 3 * SECOND, CALL, "1001", PauseWhy.KEY),
        RecordingResumed(BEGAN + 4 * SECOND, CALL, "1001", PauseWhy.KEY),
        TalkEnded(BEGAN + 6 * SECOND, CALL, "1001", Party.CALLER),
        CallEnded(BEGAN + 6 * SECOND, CALL, Party.CALLER),
    ]


async def _record(web: Web, **settings: Any) -> LedgerEntry:
    web.settings.spool_dir.mkdir(parents=True, exist_ok=True)
    (web.settings.spool_dir / f"{CALL}.raw").write_bytes(_sound())
    await write(web.engine, _facts())
    return await finishing.finish(web.engine, web.settings.model_copy(update=settings), CALL)


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_waveform_of_both_sides(web: Web, encrypted: bool) -> None:
    entry = await _record(web, encrypt_recordings=encrypted)
    assert bool(entry.cipher_sha256) is encrypted
    shown = (await web.clients[Role.SUPERVISOR].get(f"{PATH}/peaks?why=complaint")).json()
    assert (shown["call"], shown["seconds"], shown["missing"]) == (CALL, 6.0, "")
    assert shown["left"] == pytest.approx([0.49] * 40 + [0] * 80, abs=0.02)
    assert shown["right"] == pytest.approx([0] * 100 + [0.49] * 20, abs=0.02)
    assert shown["silences"] == [[2.0, 5.0]]
    assert shown["talks"] == [{"agent": "1001", "begin": 1.0, "end": 6.0}]
    (part,) = shown["parts"]
    assert (part["kind"], part["agent"], part["begin"], part["end"]) == ("paused", "1001", 3.0, 4.0)
    assert part["text_zh"] == "录音暂停：此段为等长静音"
    (hint,) = shown["hints"]
    assert (hint["at"], hint["text_zh"]) == (1.0, "通话只有 4.0 秒（限值 10 秒）")


async def test_where_a_citizen_gives_the_reason_of_a_bad_grade(web: Web) -> None:
    ended = SurveyEnded(
        BEGAN + 6 * SECOND, CALL, "1001", SurveyEnd.RATED, BEGAN + 4 * SECOND, SECOND
    )
    await write(web.engine, [ended])
    await _record(web)
    shown = (await web.clients[Role.SUPERVISOR].get(f"{PATH}/peaks")).json()
    assert shown["reasons"] == [{"agent": "1001", "begin": 4.0, "end": 5.0}]
    # It would steer an assessor's score.
    assert (await blind_peaks(web.backend, CALL)).reasons == []


async def test_what_is_lost_at_the_end_is_shown_with_its_reason(web: Web) -> None:
    """The file ends three seconds before the talk."""
    web.settings.spool_dir.mkdir(parents=True, exist_ok=True)
    (web.settings.spool_dir / f"{CALL}.raw").write_bytes(_sound()[: 3 * RATE * 4])
    await write(web.engine, _facts())
    await finishing.finish(web.engine, web.settings, CALL)
    shown = (await web.clients[Role.AUDITOR].get(f"{PATH}/peaks")).json()
    lost = shown["parts"][-1]
    assert (lost["kind"], lost["begin"], lost["end"]) == ("lost", 3.0, 3.0)
    assert lost["text_zh"] == "此后缺 2.5 秒：部分通话没有录上"


async def test_a_waveform_after_the_master_key_was_changed(web: Web) -> None:
    await _record(web)
    client = web.clients[Role.AUDITOR]
    before = (await client.get(f"{PATH}/peaks")).json()
    ring = await rotation.begin(web.engine, web.settings)
    assert [one async for one in rotation.rotate(web.engine, web.settings, ring)]
    assert (await client.get(f"{PATH}/peaks")).json() == before
    away = keys.path(web.settings).rename(web.settings.home / "away")
    refused = await client.get(f"{PATH}/peaks")
    assert (refused.status_code, "master key" in refused.text) == (503, True)
    away.rename(keys.path(web.settings))


@pytest.mark.parametrize("form", ["wav", "mp3"])
async def test_without_a_waveform_the_answer_says_why_and_the_rest_is_there(
    web: Web, form: str
) -> None:
    await _record(web, recording_format=form)
    shown = (await web.clients[Role.SUPERVISOR].get(f"{PATH}/peaks")).json()
    assert (shown["left"], shown["right"], shown["silences"]) == ([], [], [])
    assert shown["missing"] == f"a recording in {form.upper()} has no waveform"
    assert (shown["seconds"], len(shown["parts"])) == (6.0, 1)


async def test_a_recording_that_is_not_there_has_no_waveform(web: Web) -> None:
    client = web.clients[Role.SUPERVISOR]
    assert (await client.get(f"{PATH}/peaks")).status_code == 404
    assert (await client.get("/api/calls/a%00b/peaks")).status_code == 422
    entry = await _record(web)
    place = web.settings.recordings_dir / entry.path
    whole = place.read_bytes()
    place.write_bytes(whole[:-9])
    torn = await client.get(f"{PATH}/peaks")
    assert (torn.status_code, "cannot be read" in torn.text) == (404, True)
    place.write_bytes(whole)
    await deletion.carry_out(web.engine, web.settings, [Doomed(entry, "default")], by="cli:wang")
    gone = await client.get(f"{PATH}/peaks")
    assert (gone.status_code, "was deleted" in gone.text) == (404, True)


async def test_marks_are_set_seen_changed_and_removed(web: Web) -> None:
    await _record(web)
    chief, auditor = web.clients[Role.SUPERVISOR], web.clients[Role.AUDITOR]
    new = {"begin": 1.25, "end": 2.5, "text": "没有问候"}
    added = await chief.post(f"{PATH}/marks", json=new)
    assert added.status_code == 201
    mark = added.json()
    assert (mark["by"], mark["mine"], mark["version"]) == ("supervisor", True, 1)
    assert (mark["begin"], mark["end"], mark["text"]) == (1.25, 2.5, "没有问候")
    [seen] = (await auditor.get(f"{PATH}/marks")).json()
    assert seen == {**mark, "mine": False}
    address = f"{PATH}/marks/{mark['id']}"
    change = {"begin": 1.5, "text": "后补问候", "version": 1}
    changed = (await chief.put(address, json=change)).json()
    assert (changed["begin"], changed["end"], changed["version"]) == (1.5, None, 2)
    assert (await chief.put(address, json=change)).status_code == 409
    other = web.clients[Role.ADMINISTRATOR]
    assert (await other.put(address, json={**change, "version": 2})).status_code == 403
    assert (await other.delete(address)).status_code == 403
    assert (await chief.delete(address)).status_code == 204
    assert (await chief.delete(address)).status_code == 404
    assert (await auditor.get(f"{PATH}/marks")).json() == []


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"begin": 6.5, "text": "a"}, 409),
        ({"begin": 2, "end": 1, "text": "a"}, 409),
        ({"begin": -1, "text": "a"}, 422),
        ({"begin": "NaN", "text": "a"}, 422),
        ({"begin": 1, "text": ""}, 422),
        ({"begin": 1, "text": "a" * 501}, 422),
        ({"begin": 1, "text": "a\0"}, 409),
        ({"text": "a"}, 422),
    ],
)
async def test_a_wrong_mark_is_refused_in_a_sentence(
    web: Web, wrong: dict[str, Any], status: int
) -> None:
    await _record(web)
    answer = await web.clients[Role.SUPERVISOR].post(f"{PATH}/marks", json=wrong)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert await marks.find_all(web.engine, CALL) == []


async def test_who_may_look_and_who_may_mark(web: Web) -> None:
    await _record(web)
    new = {"begin": 1, "text": "a"}
    for role, looks, sets in (
        (Role.GUEST, 403, 403),
        (Role.AGENT, 403, 403),
        (Role.AUDITOR, 200, 403),
        (Role.SUPERVISOR, 200, 201),
        (Role.ADMINISTRATOR, 200, 201),
    ):
        client = web.clients[role]
        assert (await client.get(f"{PATH}/peaks")).status_code == looks
        assert (await client.get(f"{PATH}/marks")).status_code == looks
        assert (await client.post(f"{PATH}/marks", json=new)).status_code == sets
    entries = (await web.clients[Role.AUDITOR].get("/api/audit")).json()["entries"]
    rows = {(one["who"], one["action"], one["target"], one["status"]) for one in entries}
    path = "/api/calls/{call}"
    assert ("auditor", f"GET {path}/peaks", CALL, 200) in rows
    assert ("auditor", f"GET {path}/marks", CALL, 200) in rows
    assert ("auditor", f"POST {path}/marks", CALL, 403) in rows
    assert ("supervisor", f"POST {path}/marks", CALL, 201) in rows
