"""Routes of the survey: one's own talk alone, ratings by a program with the right, links to other programs."""

import pytest

from base import clock
from diary.writer import Diary
from facts import SurveyLinked
from facts.times import HOUR
from tests.web.conftest import Web
from tests.web.test_webhooks import Receiver, _until, diary, receiver
from web.accounts.rights import Role

__all__ = ["diary", "receiver"]

TOKEN = "AbCd-efGhIjKlMnOpQr_s1"


async def test_one_hands_over_and_explains_ones_own_talk_alone(web: Web) -> None:
    agent, supervisor = web.clients[Role.AGENT], web.clients[Role.SUPERVISOR]
    answer = await agent.post("/api/talks/1001/survey")
    assert answer.json() == {"said": "talk.survey done"}
    given = {"reason": "abuse"}
    assert (await agent.post("/api/agents/1001/hang-up-reason", json=given)).status_code == 200
    for path in ("/api/talks/1002/survey", "/api/agents/1002/hang-up-reason"):
        assert (await agent.post(path, json=given)).status_code == 403
    assert (await supervisor.post("/api/talks/1002/survey")).status_code == 200
    assert web.asked == [
        ("talk.survey", {"number": "1001", "by": "agent"}),
        ("talk.explain", {"number": "1001", "reason": "abuse", "by": "agent"}),
        ("talk.survey", {"number": "1002", "by": "supervisor"}),
    ]
    assert (await web.clients[Role.GUEST].post("/api/talks/1001/survey")).status_code == 403


async def test_the_reasons_in_both_languages(web: Web) -> None:
    found = (await web.clients[Role.AGENT].get("/api/hang-up-reasons")).json()
    assert {"key": "5", "name": "by_mistake", "zh": "误操作", "en": "by mistake"} in found
    assert len({one["key"] for one in found}) == len(found)


@pytest.mark.parametrize(
    ("role", "token", "grade", "status"),
    [
        (Role.ADMINISTRATOR, TOKEN, "satisfied", 200),
        (Role.ADMINISTRATOR, TOKEN, "fine", 422),
        (Role.ADMINISTRATOR, "short", "satisfied", 422),
        (Role.SUPERVISOR, TOKEN, "satisfied", 403),
        (Role.AGENT, TOKEN, "satisfied", 403),
    ],
)
async def test_a_rating_by_link(web: Web, role: Role, token: str, grade: str, status: int) -> None:
    answer = await web.clients[role].post(f"/api/surveys/{token}", json={"grade": grade})
    assert answer.status_code == status
    asked = [("survey.rate", {"token": token, "grade": grade})]
    assert web.asked == (asked if status == 200 else [])


@pytest.mark.parametrize(("whole", "token"), [(True, TOKEN), (False, "")])
async def test_the_link_goes_to_whoever_may_have_facts_whole(
    web: Web, diary: Diary, receiver: Receiver, whole: bool, token: str
) -> None:
    hook = {"url": receiver.url, "kinds": ["SurveyLinked"], "whole": whole}
    made = await web.clients[Role.ADMINISTRATOR].post("/api/webhooks", json=hook)
    assert made.status_code == 201
    now = clock.now()
    diary.write(SurveyLinked(now, "n-1.1", "1001", "13812345678", TOKEN, now + HOUR))
    await _until(lambda: receiver.taken)
    (fact,) = receiver.facts()
    assert (fact["token"], fact["until"]) == (token, now + HOUR)
    assert fact["caller"] == ("13812345678" if whole else "138****5678")
