"""Quality through the API: tasks are blind, agents see their own, somebody else decides, cards lead to calls."""

from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update

from base import clock
from diary.writer import Diary
from facts.times import HOUR, SECOND
from quality import draws
from recorder import finishing
from recorder.tables import recording
from tests.quality.conftest import NOW, WEEK, record, story
from tests.web.conftest import PASSWORD, Web
from web.accounts import accounts, audit, tables
from web.accounts.rights import Role

SHEET = {"deductions": [{"item": "greeting", "points": 6, "second": 2.5, "note": "none"}]}


@pytest.fixture
async def task(web: Web, monkeypatch: pytest.MonkeyPatch) -> int:
    """A talk of agent 1001, which the assessor has to score."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    async with web.engine.begin() as connection:
        # Their sessions began today, and the talks are of 2025.
        await connection.execute(update(tables.session).values(began_at=NOW, seen_at=NOW))
    at = WEEK.since + HOUR
    call = f"hotline-{at // SECOND}.1"
    diary = Diary(web.engine, web.settings.run_dir)
    diary.start()
    for fact in story(call, at, "1001", "tax", 60):
        diary.write(fact)
    await diary.close()
    await record(web.engine, [call])
    made = await web.clients[Role.SUPERVISOR].post("/api/quality/draws", json={"week": WEEK.name})
    assert made.status_code == 201, made.text
    assert made.json()["drawn"] == 1
    [found] = await _get(web.clients[Role.ASSESSOR], "tasks")
    return int(found["id"])


async def _get(client: httpx.AsyncClient, path: str, **params: str) -> Any:
    answer = await client.get(f"/api/quality/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_whole_way(web: Web, task: int) -> None:
    assessor, agent, chief = (
        web.clients[role] for role in (Role.ASSESSOR, Role.AGENT, Role.SUPERVISOR)
    )
    assert await _get(agent, "own") == []
    # Nobody knows that their talk is being assessed.
    waits = await _get(agent, "own/card", month="2025-11")
    assert waits["figures"]["drawn"] == {"value": 0, "calls": []}
    done = await assessor.post(f"/api/quality/tasks/{task}/score", json=SHEET)
    assert done.json()["state"] == "scored"
    assert (await assessor.post(f"/api/quality/tasks/{task}/score", json={})).status_code == 409

    [mine] = await _get(agent, "own")
    assert (mine["id"], mine["score"], mine["state"]) == (task, 9400, "scored")
    assert mine["appeal_until"] > NOW
    one = await _get(agent, f"own/{task}")
    assert one["sheet"]["deductions"][0]["second"] == 2.5
    assert [event["event"] for event in one["events"]] == ["score"]
    appealed = await agent.post(f"/api/quality/own/{task}/appeal", json={"reason": "I did"})
    assert appealed.json()["state"] == "appealed"

    [waits] = await _get(chief, "appeals")
    assert (waits["id"], waits["agent"], waits["assessor"]) == (task, "1001", "assessor")
    decision = {"reason": "it is there", "sheet": {"deductions": []}}
    decided = await chief.post(f"/api/quality/assessments/{task}/decide", json=decision)
    assert (decided.json()["state"], decided.json()["score"]) == ("changed", 10_000)
    assert await _get(chief, "appeals") == []
    whole = await _get(chief, f"assessments/{task}")
    assert [(event["event"], event["by"]) for event in whole["events"]] == [
        ("draw", "supervisor"),
        ("score", "assessor"),
        ("appeal", "agent"),
        ("change", "supervisor"),
    ]
    card = await _get(chief, "cards/1001", month="2025-11")
    assert card == await _get(agent, "own/card", month="2025-11")
    assert card["figures"]["changed"]["calls"] == [mine["call"]]
    assert [draw["week"] for draw in await _get(chief, "draws")] == [WEEK.name]
    listed = await _get(chief, "assessments", week=WEEK.name)
    assert [one["id"] for one in listed] == [task]
    # The assessor hears nothing of it.
    [seen] = await _get(assessor, "tasks", everything="true")
    assert seen["state"] == "scored"


async def test_a_task_names_neither_the_agent_nor_the_call(web: Web, task: int) -> None:
    client = web.clients[Role.ASSESSOR]
    call = f"hotline-{(WEEK.since // 1_000_000) + 3600}.1"
    for path in ("tasks", f"tasks/{task}"):
        text = (await client.get(f"/api/quality/{path}")).text
        assert call not in text
        assert "1001" not in text
        assert "13812345678" not in text
    # And none of the routes that would name them is open.
    for path in (f"/api/calls/{call}", f"/api/calls/{call}/recording", "/api/agents", "/api/live"):
        assert (await client.get(path)).status_code == 403
    assert (await client.get(f"/api/quality/assessments/{task}")).status_code == 403


async def test_the_players_waveform_names_nobody_and_gives_no_hints(web: Web, task: int) -> None:
    """What the player shows beside the sound: nothing of it tells whose the talk is, or steers the score."""
    call = f"hotline-{(WEEK.since // SECOND) + 3600}.1"
    async with web.engine.begin() as connection:
        await connection.execute(delete(recording).where(recording.c.call == call))
    web.settings.spool_dir.mkdir(parents=True, exist_ok=True)
    (web.settings.spool_dir / f"{call}.raw").write_bytes(b"\1\2" * 8000 * 2 * 5)
    await finishing.finish(web.engine, web.settings, call)
    assessor, agent = web.clients[Role.ASSESSOR], web.clients[Role.AGENT]
    text = (await assessor.get(f"/api/quality/tasks/{task}/peaks")).text
    assert not any(word in text for word in (call, "1001", "13812345678"))
    shown = await _get(assessor, f"tasks/{task}/peaks")
    assert (shown["call"], shown["hints"], shown["seconds"]) == ("", [], 5.0)
    assert len(shown["left"]) == 100
    assert shown["parts"][-1]["kind"] == "lost"
    assert {one["agent"] for one in shown["talks"] + shown["parts"]} == {""}
    assert (await agent.get(f"/api/quality/own/{task}/peaks")).status_code == 404, "no score yet"
    for role in (Role.GUEST, Role.SUPERVISOR, Role.AUDITOR):
        path = f"/api/quality/tasks/{task}/peaks"
        assert (await web.clients[role].get(path)).status_code == 403
    await assessor.post(f"/api/quality/tasks/{task}/score", json=SHEET)
    assert await _get(agent, f"own/{task}/peaks") == shown
    await accounts.set_role(web.engine, "agent", "agent", "1002")
    assert (await agent.get(f"/api/quality/own/{task}/peaks")).status_code == 404, "not theirs"


async def test_an_agent_sees_no_assessor(web: Web, task: int) -> None:
    await web.clients[Role.ASSESSOR].post(f"/api/quality/tasks/{task}/score", json=SHEET)
    client = web.clients[Role.AGENT]
    for path in ("own", f"own/{task}", "own/card?month=2025-11"):
        assert "assessor" not in (await client.get(f"/api/quality/{path}")).text
    for path in (f"assessments/{task}", "cards/1001?month=2025-11", f"tasks/{task}"):
        assert (await client.get(f"/api/quality/{path}")).status_code == 403


async def test_an_agent_sees_only_their_own(web: Web, task: int) -> None:
    await web.clients[Role.ASSESSOR].post(f"/api/quality/tasks/{task}/score", json=SHEET)
    await accounts.set_role(web.engine, "agent", "agent", "1002")
    client = web.clients[Role.AGENT]
    assert await _get(client, "own") == []
    for path in (f"own/{task}", f"own/{task}/recording"):
        assert (await client.get(f"/api/quality/{path}")).status_code == 404
    refused = await client.post(f"/api/quality/own/{task}/appeal", json={"reason": "x"})
    assert refused.status_code == 404
    card = await _get(client, "own/card", month="2025-11")
    assert card["figures"]["drawn"]["value"] == 0


async def test_a_token_is_no_person(web: Web, task: int) -> None:
    secret = await accounts.add_token(
        web.engine,
        "program",
        "administrator",
        ["quality.assess", "quality.decide", "quality.read"],
        added_by="test",
        at=NOW,
    )
    headers = {"Authorization": f"Bearer {secret}"}
    decision = {"reason": "x"}
    path = f"/api/quality/assessments/{task}"
    assert (await web.nobody.get(path, headers=headers)).status_code == 200
    refused = await web.nobody.post(f"{path}/decide", headers=headers, json=decision)
    assert refused.status_code == 409
    assert "a token cannot" in refused.json()["error"]


async def test_every_look_is_in_the_audit_log(web: Web, task: int) -> None:
    client = web.clients[Role.ASSESSOR]
    await _get(client, f"tasks/{task}")
    await client.get(f"/api/quality/tasks/{task}/recording")
    written = [(one["who"], one["action"], one["target"]) for one in await audit.read(web.engine)]
    assert written[:2] == [
        ("assessor", "GET /api/quality/tasks/{id}/recording", str(task)),
        ("assessor", "GET /api/quality/tasks/{id}", str(task)),
    ]


async def test_a_task_goes_back_and_to_somebody_else(web: Web, task: int) -> None:
    client, chief = web.clients[Role.ASSESSOR], web.clients[Role.SUPERVISOR]
    back = await client.post(f"/api/quality/tasks/{task}/return", json={"reason": "known voice"})
    assert back.status_code == 204
    assert await _get(client, "tasks") == []
    path = f"/api/quality/assessments/{task}/assign"
    refused = await chief.post(path, json={"to": "guest", "reason": "x"})
    assert "no assessor" in refused.json()["error"]
    given = await chief.post(path, json={"to": "assessor", "reason": "nobody else"})
    assert given.json()["state"] == "assigned"


@pytest.mark.parametrize("form", ["csv", "xlsx", "html", "text"])
async def test_a_card_as_a_file(web: Web, task: int, form: str) -> None:
    answer = await web.clients[Role.SUPERVISOR].get(
        "/api/quality/cards/1001", params={"month": "2025-11", "form": form}
    )
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.content


async def test_bad_input_is_a_sentence(web: Web, task: int) -> None:
    chief, assessor = web.clients[Role.SUPERVISOR], web.clients[Role.ASSESSOR]
    again = await chief.post("/api/quality/draws", json={"week": WEEK.name})
    assert "drawn once" in again.json()["error"]
    refused = await chief.post("/api/quality/draws", json={"week": "2025-W99"})
    assert refused.status_code == 409
    for month in ("2025-13", "2025-1"):
        answer = await chief.get("/api/quality/cards/1001", params={"month": month})
        assert answer.status_code == 422
    answer = await chief.get("/api/quality/cards/1001", params={"month": "2025-11", "form": "pdf"})
    assert "there is text" in answer.json()["error"]
    sheet = {"deductions": [{"item": "smile", "points": 1}]}
    refused = await assessor.post(f"/api/quality/tasks/{task}/score", json=sheet)
    assert "no item 'smile'" in refused.json()["error"]
    assert await draws.find(web.engine, WEEK.name) is not None


async def test_an_assessor_has_one_page(web: Web) -> None:
    for path in ("/", "/supervisor"):
        answer = await web.clients[Role.ASSESSOR].get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/quality")
    for role in (Role.ASSESSOR, Role.AGENT, Role.SUPERVISOR):
        assert (await web.clients[role].get("/quality")).status_code == 200
    answer = await web.clients[Role.GUEST].get("/quality")
    assert answer.headers["location"] == "/sign-in?next=/quality"


async def test_another_assessor_sees_and_scores_nothing(web: Web, task: int) -> None:
    await accounts.add(web.engine, "other", "assessor", PASSWORD, NOW)
    client = await web.sign_in("other")
    assert await _get(client, "tasks") == []
    for path in (f"tasks/{task}", f"tasks/{task}/recording"):
        assert (await client.get(f"/api/quality/{path}")).status_code == 404
    for path, body in ((f"tasks/{task}/score", SHEET), (f"tasks/{task}/return", {"reason": "x"})):
        assert (await client.post(f"/api/quality/{path}", json=body)).status_code == 404
    [mine] = await _get(web.clients[Role.ASSESSOR], "tasks")
    assert mine["state"] == "assigned"
