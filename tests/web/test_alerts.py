"""The red button by the API: agents for themselves, supervisors for all, and who may acknowledge."""

from tests.web.conftest import Web, state
from tests.web.test_feed import shown_to
from web.accounts.rights import Role


async def test_an_agent_raises_an_alert_in_their_own_talk(web: Web) -> None:
    agent = web.clients[Role.AGENT]
    answer = await agent.post("/api/talks/1001/alert", json={"note": "着火"})
    assert (answer.status_code, answer.json()) == (201, {"said": "alert.raise done", "id": 1})
    assert (await agent.post("/api/talks/1002/alert", json={})).status_code == 403
    chief = await web.clients[Role.SUPERVISOR].post("/api/talks/1002/alert", json={})
    assert chief.status_code == 201
    assert web.asked == [
        ("alert.raise", {"agent": "1001", "by": "agent", "note": "着火"}),
        ("alert.raise", {"agent": "1002", "by": "supervisor"}),
    ]


async def test_a_supervisor_acknowledges_it(web: Web) -> None:
    chief = web.clients[Role.SUPERVISOR]
    assert (await chief.post("/api/alerts/7/acknowledge")).json()[
        "said"
    ] == "alert.acknowledge done"
    assert web.asked == [("alert.acknowledge", {"id": 7, "by": "supervisor"})]
    assert (await web.clients[Role.AGENT].post("/api/alerts/7/acknowledge")).status_code == 403
    assert (await chief.get("/api/alerts")).json() == []


async def test_guests_see_neither_number_nor_note(web: Web) -> None:
    alert = {
        "id": 7,
        "at": 1,
        "call": "n-1.1",
        "agent": "1001",
        "caller": "+8613800000001",
        "by": "li",
        "note": "张三 13800000001",
        "level": 0,
    }
    await shown_to(web, state(alerts=[alert]))
    seen = (await web.clients[Role.GUEST].get("/api/live")).json()["state"]["alerts"]
    assert seen == [{**alert, "caller": "+86****0001", "note": ""}]
    whole = (await web.clients[Role.SUPERVISOR].get("/api/live")).json()["state"]["alerts"]
    assert whole == [alert]
