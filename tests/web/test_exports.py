"""Why somebody listens, and exports that another person approves, by the API."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from base import clock
from recorder import finishing
from tests.web.conftest import Web
from web.accounts import accounts, audit
from web.accounts.rights import Role

CALL = "hotline-1763731200.5"
SOUND = f"/api/calls/{CALL}/recording"
ASK = f"/api/calls/{CALL}/export-requests"


@pytest.fixture
async def recorded(web: Web) -> bytes:
    """A call's recording: half a second of sound."""
    web.settings.spool_dir.mkdir(parents=True, exist_ok=True)
    (web.settings.spool_dir / f"{CALL}.raw").write_bytes(bytes(range(250)) * 64)
    plain = {"recording_format": "wav", "encrypt_recordings": False}
    entry = await finishing.finish(web.engine, web.settings.model_copy(update=plain), CALL)
    return (web.settings.recordings_dir / entry.path).read_bytes()


@pytest.fixture
def switch(web: Web) -> Callable[..., None]:
    """Changes settings of the running program."""

    def change(**values: Any) -> None:
        web.backend.settings = web.backend.settings.model_copy(update=values)

    return change


async def decide(client: httpx.AsyncClient, request: int, word: str, why: str = "") -> int:
    answer = await client.post(f"/api/export-requests/{request}/{word}", json={"why": why})
    return answer.status_code


async def test_the_reason_is_in_the_log_and_demanded_by_setting(
    web: Web, recorded: bytes, switch: Callable[..., None]
) -> None:
    client = web.clients[Role.AUDITOR]
    assert (await client.get(SOUND)).content == recorded
    assert (await client.get(SOUND, params={"why": "投诉 of 13812345678"})).status_code == 200
    assert (await client.get(SOUND, params={"why": "x" * 201})).status_code == 422
    first, last = [one for one in (await audit.read(web.engine))[::-1] if one["status"] == 200]
    assert (first["why"], last["why"]) == ("", "投诉 of 138****5678")
    switch(recording_reason=True)
    for params in ({}, {"why": " \t"}):
        answer = await client.get(SOUND, params=params)
        assert (answer.status_code, "say why" in answer.text) == (422, True)
    part = await client.get(SOUND, params={"why": "court"}, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, recorded[:10])
    assert (await client.get("/api/calls")).status_code == 200
    newest = (await client.get("/api/audit")).json()["entries"][1]
    assert (newest["who"], newest["target"], newest["why"]) == ("auditor", CALL, "court")


async def test_another_person_approves_and_it_is_downloaded_once(
    web: Web, recorded: bytes, switch: Callable[..., None]
) -> None:
    auditor, supervisor = web.clients[Role.AUDITOR], web.clients[Role.SUPERVISOR]
    download = {"download": "1"}
    assert (await auditor.get(SOUND, params=download)).content == recorded
    assert (await auditor.post(ASK, json={"why": "court"})).status_code == 409
    switch(export_approval=True)
    refused = await auditor.get(SOUND, params=download)
    assert (refused.status_code, ASK in refused.text) == (403, True)
    assert (await auditor.get(SOUND)).content == recorded, "listening is no export"

    for client, body, status in (
        (auditor, {"why": ""}, 409),
        (auditor, {"why": "x" * 201}, 422),
        (web.clients[Role.GUEST], {"why": "x"}, 403),
        (auditor, {"why": "court of 13812345678"}, 201),
        (auditor, {"why": "again"}, 409),
        (supervisor, {"why": "complaint"}, 201),
    ):
        answer = await client.post(ASK, json=body)
        assert answer.status_code == status, answer.text
    mine = (await auditor.get("/api/export-requests")).json()
    assert [(one["by"], one["why"], one["state"]) for one in mine] == [
        ("auditor", "court of 138****5678", "open")
    ]
    every = (await supervisor.get("/api/export-requests")).json()
    first, second = (one["id"] for one in every)
    assert [one["by"] for one in every] == ["auditor", "supervisor"]

    assert await decide(supervisor, second, "approve") == 409, "one's own"
    assert await decide(auditor, first, "approve") == 403
    assert await decide(supervisor, 999, "approve") == 404
    assert await decide(supervisor, first, "refuse") == 409, "without a reason"
    assert await decide(supervisor, first, "approve", "checked") == 200
    assert await decide(web.clients[Role.ADMINISTRATOR], first, "refuse", "late") == 409
    assert (await supervisor.get(SOUND, params=download)).status_code == 403

    taken = await auditor.get(SOUND, params=download)
    assert (taken.status_code, taken.content) == (200, recorded)
    assert f'filename="{CALL}.wav"' in taken.headers["content-disposition"]
    assert (await auditor.get(SOUND, params=download)).status_code == 403
    assert await decide(web.clients[Role.ADMINISTRATOR], second, "refuse", "no case") == 200
    listed = (await supervisor.get("/api/export-requests?all=1")).json()
    assert [(one["id"], one["state"], one["decided_by"]) for one in listed] == [
        (second, "refused", "administrator"),
        (first, "used", "supervisor"),
    ]
    log = [
        (one["who"], one["action"], one["target"], one["status"], one["why"])
        for one in await audit.read(web.engine)
    ]
    path = "GET /api/calls/{call}/recording"
    assert ("auditor", path, f"{CALL} download=1", 200, "court of 138****5678") in log
    asked = "POST /api/calls/{call}/export-requests"
    assert ("auditor", asked, CALL, 201, "court of 138****5678") in log
    approved = "POST /api/export-requests/{id}/approve"
    assert ("supervisor", approved, str(first), 200, "checked") in log


async def test_whoever_asks_sees_what_they_can_use_and_who_decides_whose_it_is(
    web: Web, recorded: bytes, switch: Callable[..., None]
) -> None:
    auditor, supervisor = web.clients[Role.AUDITOR], web.clients[Role.SUPERVISOR]
    assert (await auditor.get("/api/session")).json()["export_approval"] is False
    switch(export_approval=True)
    assert (await auditor.get("/api/session")).json()["export_approval"] is True
    mine = {"usable": "1"}
    assert (await auditor.get("/api/export-requests", params=mine)).json() == []
    request = (await auditor.post(ASK, json={"why": "court"})).json()
    assert (request["own"], request["state"]) == (True, "open")
    (seen,) = (await supervisor.get("/api/export-requests")).json()
    assert (seen["id"], seen["own"]) == (request["id"], False)
    assert (await supervisor.get("/api/export-requests", params=mine)).json() == []

    # A page of another site cannot decide, nor ask, in the name of whoever looks at it.
    token = supervisor.headers.pop("X-CSRF-Token")
    assert await decide(supervisor, request["id"], "approve") == 403
    assert (await supervisor.post(ASK, json={"why": "x"})).status_code == 403
    supervisor.headers["X-CSRF-Token"] = token
    assert await decide(supervisor, request["id"], "approve") == 200
    assert (await supervisor.get("/api/export-requests")).json() == []
    (usable,) = (await auditor.get("/api/export-requests", params=mine)).json()
    assert (usable["id"], usable["state"]) == (request["id"], "approved")
    assert (await auditor.get(SOUND + "?download=1")).content == recorded
    assert (await auditor.get("/api/export-requests", params=mine)).json() == []


async def test_a_damaged_recording_uses_no_approval_up(
    web: Web, recorded: bytes, switch: Callable[..., None]
) -> None:
    switch(export_approval=True)
    auditor = web.clients[Role.AUDITOR]
    request = (await auditor.post(ASK, json={"why": "court"})).json()["id"]
    assert await decide(web.clients[Role.SUPERVISOR], request, "approve") == 200
    (file,) = web.settings.recordings_dir.rglob(f"{CALL}.wav")
    file.write_bytes(recorded[:-1] + b"!")
    assert (await auditor.get(SOUND + "?download=1")).status_code == 404
    file.write_bytes(recorded)
    assert (await auditor.get(SOUND + "?download=1")).content == recorded


async def test_a_token_neither_asks_nor_decides(
    web: Web, recorded: bytes, switch: Callable[..., None]
) -> None:
    switch(export_approval=True)
    scopes = ["recordings.read", "recordings.approve"]
    now = clock.now()
    secret = await accounts.add_token(web.engine, "crm", "supervisor", scopes, "auditor", now)
    headers = {"Authorization": f"Bearer {secret}"}
    request = (await web.clients[Role.AUDITOR].post(ASK, json={"why": "court"})).json()["id"]
    for path in (ASK, f"/api/export-requests/{request}/approve"):
        answer = await web.nobody.post(web.url + path, json={"why": "x"}, headers=headers)
        assert answer.status_code == 403, answer.text
        assert "sign in instead" in answer.text


async def test_it_is_downloaded_in_another_form_with_its_tags(
    web: Web, recorded: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = web.clients[Role.AUDITOR]
    for form, media, begin in (("mp3", "audio/mpeg", b"ID3"), ("mp4", "audio/mp4", b"ftyp")):
        got = await client.get(SOUND, params={"download": "1", "format": form})
        assert (got.status_code, got.headers["content-type"]) == (200, media)
        assert f'filename="{CALL}.{form}"' in got.headers["content-disposition"]
        assert begin in got.content[:8]
        assert CALL.encode() in got.content
    same = await client.get(SOUND, params={"download": "1", "format": "wav"})
    assert same.content == recorded
    for params, status in (({"format": "mp3"}, 422), ({"download": "1", "format": "ogg"}, 422)):
        assert (await client.get(SOUND, params=params)).status_code == status
    monkeypatch.setattr("recorder.press.PROGRAM", "no-such-ffmpeg")
    missing = await client.get(SOUND, params={"download": "1", "format": "mp3"})
    assert (missing.status_code, "make setup" in missing.text) == (503, True)


async def test_conversions_wait_for_none_and_a_failed_one_uses_no_approval_up(
    web: Web, recorded: bytes, switch: Callable[..., None]
) -> None:
    switch(export_approval=True)
    auditor, mp3 = web.clients[Role.AUDITOR], f"{SOUND}?download=1&format=mp3"
    request = (await auditor.post(ASK, json={"why": "court"})).json()["id"]
    assert await decide(web.clients[Role.SUPERVISOR], request, "approve") == 200
    async with web.backend.conversions, web.backend.conversions:
        busy = await auditor.get(mp3)
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "10")
    assert (await auditor.get(mp3)).status_code == 200
    assert (await auditor.get(mp3)).status_code == 403
    assert not web.backend.conversions.locked()
    assert recorded
