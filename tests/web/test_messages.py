"""Messages by the API: a supervisor writes, an agent has their own and no others."""

from agents import messages as store
from tests.web.conftest import Web
from web.accounts.rights import Role


async def test_a_supervisor_writes_and_others_may_not(web: Web) -> None:
    given = {"text": "请看公告", "agent": "1001"}
    answer = await web.clients[Role.SUPERVISOR].post("/api/messages", json=given)
    assert (answer.status_code, answer.json()) == (201, {"said": "message.send done", "id": 1})
    assert web.asked == [("message.send", {**given, "by": "supervisor"})]
    for role in (Role.AGENT, Role.GUEST, Role.AUDITOR):
        assert (await web.clients[role].post("/api/messages", json=given)).status_code == 403
    long = await web.clients[Role.SUPERVISOR].post("/api/messages", json={"text": "x" * 201})
    assert long.status_code == 422


async def test_an_agent_has_their_own(web: Web) -> None:
    phones = {"1001": "accepted", "1002": "refused"}
    numbers = await store.add(web.engine, 5, "supervisor", "请看公告", phones, 30)
    mine = (await web.clients[Role.AGENT].get("/api/messages")).json()
    assert mine == [
        {
            "id": numbers["1001"],
            "at": 5,
            "by": "supervisor",
            "agent": "1001",
            "text": "请看公告",
            "phone": "accepted",
            "read_at": 0,
        }
    ]
    sent = (await web.clients[Role.SUPERVISOR].get("/api/messages/sent")).json()
    assert {one["agent"]: one["phone"] for one in sent} == phones
    await web.clients[Role.AGENT].post(f"/api/messages/{numbers['1001']}/read")
    assert web.asked == [("message.read", {"agent": "1001", "id": numbers["1001"]})]
    assert (await web.clients[Role.SUPERVISOR].get("/api/messages")).status_code == 409


async def test_the_text_is_in_no_audit_row(web: Web) -> None:
    await web.clients[Role.SUPERVISOR].post("/api/messages", json={"text": "secretly"})
    rows = (await web.clients[Role.ADMINISTRATOR].get("/api/audit")).text
    assert "POST /api/messages" in rows
    assert "secretly" not in rows
