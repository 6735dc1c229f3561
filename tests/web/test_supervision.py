"""Routes about talks: whose phone is rung, and who may do what."""

from base.bus import Refused
from facts.control import sentences
from tests.web.conftest import Web
from web.accounts import accounts
from web.accounts.rights import Role


async def test_a_supervisor_uses_the_phone_of_their_account(web: Web) -> None:
    boss = web.clients[Role.SUPERVISOR]
    answer = await boss.post("/api/talks/1001/listen", json={})
    assert answer.status_code == 409
    assert "has no agent's number" in answer.json()["error"]
    await accounts.set_role(web.engine, "supervisor", "supervisor", "1002")
    answer = await boss.post("/api/talks/1001/listen", json={"mode": "whisper"})
    assert (answer.status_code, answer.json()) == (200, {"said": "talk.listen done"})
    for path, body in (
        ("mode", {"mode": "step_in"}),
        ("take", None),
        ("leave", None),
        ("end", {"reason": "辱骂"}),
    ):
        answer = await boss.post(f"/api/talks/1001/{path}", json=body)
        assert answer.status_code == 200, answer.text
    who = {"number": "1001", "phone": "1002"}
    assert web.asked == [
        ("talk.listen", {**who, "mode": "whisper", "by": "supervisor", "may_step_in": 1}),
        ("talk.listen.mode", {**who, "mode": "step_in", "by": "supervisor"}),
        ("talk.take", {**who, "by": "supervisor"}),
        ("talk.listen.end", who),
        ("talk.end", {"number": "1001", "by": "supervisor", "reason": "辱骂"}),
    ]
    answer = await boss.post("/api/talks/1001/listen", json={"phone": "1001"})
    assert answer.status_code == 403
    answer = await boss.post("/api/talks/1001/listen", json={"mode": "take"})
    assert answer.status_code == 422
    answer = await boss.post("/api/talks/9999/listen", json={})
    assert (answer.status_code, answer.json()["error"]) == (409, "there is no agent 9999")


async def test_a_talk_of_another_queue_is_forbidden(web: Web) -> None:
    await accounts.set_role(web.engine, "supervisor", "supervisor", "1002")
    zh, sentence = sentences("not_your_queue", agent="1001")
    web.refusal = Refused(sentence, "not_your_queue", zh)
    for path in ("listen", "mode", "take", "end"):
        answer = await web.clients[Role.SUPERVISOR].post(f"/api/talks/1001/{path}", json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_your_queue"), path
        assert (answer.json()["error"], answer.json()["zh"]) == (sentence, zh)


async def test_others_may_not(web: Web) -> None:
    for role in (Role.AGENT, Role.GUEST, Role.AUDITOR):
        for path in ("listen", "mode", "leave", "take", "end"):
            answer = await web.clients[role].post(f"/api/talks/1001/{path}", json={})
            assert answer.status_code == 403, (role, path)
    assert web.asked == []
