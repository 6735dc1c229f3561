"""Waiting callers by the API: the list, masked for guests, and decisions with their reasons."""

from typing import Any

import pytest

from tests.web.conftest import Web, state
from tests.web.test_feed import shown_to
from web.accounts.rights import Role

CITIZEN = "+8613800000001"


def caller(call: str, rank: int, **more: Any) -> dict[str, Any]:
    return {
        "call": call,
        "caller": CITIZEN,
        "number": "12345",
        "queue": "default",
        "since": 1,
        "rank": rank,
        "skills": [],
        "asked": False,
        "before": 0,
        "assigned": "",
        **more,
    }


async def test_the_list_is_in_the_order_of_the_offers(web: Web) -> None:
    before = await web.clients[Role.SUPERVISOR].get("/api/waiting")
    assert before.status_code == 503
    stages = {"greeting": 0, "waiting": 9, "ringing": 0, "talking": 0}
    rows = [caller("n-1.1", 7), caller("n-1.2", 5)]
    await shown_to(web, state(waiting=rows, stages=stages))
    found = (await web.clients[Role.SUPERVISOR].get("/api/waiting")).json()
    assert found == {"total": 9, "callers": [rows[1], rows[0]]}
    guest = (await web.clients[Role.GUEST].get("/api/waiting")).json()
    assert [one["caller"] for one in guest["callers"]] == ["+86****0001"] * 2


@pytest.mark.parametrize(
    ("action", "more", "name"),
    [
        ("assign", {"agent": "1001"}, "caller.assign"),
        ("move", {"queue": "tax"}, "caller.move"),
        ("forward", {}, "caller.forward"),
    ],
)
async def test_a_decision_goes_to_the_controller_with_its_reason(
    web: Web, action: str, more: dict[str, str], name: str
) -> None:
    path, chief = f"/api/waiting/n-1.1/{action}", web.clients[Role.SUPERVISOR]
    said = await chief.post(path, json={"reason": "a complaint", **more})
    assert said.json() == {"said": f"{name} done"}
    words = {"call": "n-1.1", "by": "supervisor", "reason": "a complaint", **more}
    assert web.asked == [(name, words)]
    assert (await chief.post(path, json={"reason": "", **more})).status_code == 422
    for role in (Role.GUEST, Role.AGENT, Role.AUDITOR):
        answer = await web.clients[role].post(path, json={"reason": "x", **more})
        assert answer.status_code == 403
