"""Third parties by the API: for one's own talk, for a supervisor any, and nothing odd gets to the controller."""

from tests.web.conftest import Web
from web.accounts.rights import Role

PARTY = "hotline-p1763731200123456"


async def test_an_agent_brings_others_into_their_own_talk_alone(web: Web) -> None:
    agent = web.clients[Role.AGENT]
    talk = "/api/talks/1001/parties"
    added = await agent.post(talk, json={"to": "1002", "how": "consult"})
    assert added.status_code == 201
    assert added.json()["said"] == "party.add done"
    for path in ("join", f"{PARTY}/mute", f"{PARTY}/unmute"):
        assert (await agent.post(f"{talk}/{path}")).status_code == 200
    assert (await agent.delete(f"{talk}/{PARTY}")).status_code == 200
    one = {"number": "1001", "party": PARTY, "by": "agent"}
    assert web.asked == [
        ("party.add", {"number": "1001", "to": "1002", "how": "consult", "by": "agent"}),
        ("party.join", {"number": "1001", "by": "agent"}),
        ("party.mute", one),
        ("party.unmute", one),
        ("party.drop", one),
    ]
    other = "/api/talks/1002/parties"
    assert (await agent.post(other, json={"to": "1001"})).status_code == 403
    assert (await agent.delete(f"{other}/{PARTY}")).status_code == 403
    assert len(web.asked) == 5


async def test_a_supervisor_does_it_in_any_talk_and_a_guest_in_none(web: Web) -> None:
    supervisor = web.clients[Role.SUPERVISOR]
    added = await supervisor.post("/api/talks/1002/parties", json={"to": "供电"})
    assert added.status_code == 201
    assert web.asked == [
        ("party.add", {"number": "1002", "to": "供电", "by": "supervisor"}),
    ]
    guest = web.clients[Role.GUEST]
    assert (await guest.post("/api/talks/1002/parties", json={"to": "1001"})).status_code == 403
    assert len(web.asked) == 1


async def test_what_is_no_party_is_not_asked_for(web: Web) -> None:
    supervisor = web.clients[Role.SUPERVISOR]
    for party in ("x", "hotline-1.1", f"{PARTY}%0d%0aAction: Hangup"):
        answer = await supervisor.delete(f"/api/talks/1001/parties/{party}")
        assert answer.status_code == 422
    for given in ({}, {"to": ""}, {"to": "x" * 41}, {"to": "1002", "how": "soon"}):
        answer = await supervisor.post("/api/talks/1001/parties", json=given)
        assert answer.status_code == 422
    assert web.asked == []
