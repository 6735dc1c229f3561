"""Each role at each route, made from the OpenAPI document, so that no new route can be forgotten."""

import re
from typing import Any

import httpx
import pytest

from tests.web.conftest import Web
from web.accounts.rights import OF_ROLE, RIGHTS, Role

_VALUES = {
    "number": "1001",
    "agent": "1001",
    "name": "none",
    "caller": "13800000000",
    "id": "999",
    "call": "x-1.1",
    "party": "x-p1",
}
_STREAMS = ("/api/live/stream", "/api/facts/stream")


def _operations(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (method.upper(), path, operation["x-right"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def _status(client: httpx.AsyncClient, method: str, path: str) -> int:
    address = re.sub(r"\{(\w+)\}", lambda found: _VALUES[found[1]], path)
    async with client.stream(method, address) as answer:
        return answer.status_code


@pytest.mark.timeout(240)
async def test_every_role_at_every_route(web: Web) -> None:
    document = (await web.nobody.get("/api/openapi.json")).json()
    operations = _operations(document)
    assert len(operations) > 40
    wrong = []
    for method, path, right in operations:
        if (method, path) == ("DELETE", "/api/session"):
            continue  # it would sign everybody out
        assert right in RIGHTS or right in {"signed in", "public"}
        status = await _status(web.nobody, method, path)
        if (status == 401) == (right == "public"):
            wrong.append((method, path, "nobody", status))
        for role, client in web.clients.items():
            status = await _status(client, method, path)
            allowed = right in OF_ROLE[role] or right in {"signed in", "public"}
            if (status == 403) == allowed or status in (401, 500):
                wrong.append((method, path, role.value, status))
            if allowed and path in _STREAMS and status != 200:
                wrong.append((method, path, role.value, status))
    assert not wrong


async def test_every_route_of_the_application_is_in_the_document(web: Web) -> None:
    """A route that is kept out of the document would be kept out of the matrix above."""
    document = (await web.nobody.get("/api/openapi.json")).json()
    for path in ("/api/live", "/api/agents", "/api/calls", "/api/audit"):
        assert path in document["paths"]
    assert {right for _, _, right in _operations(document)} >= RIGHTS.keys() - {"webhooks"}


async def test_without_the_csrf_token_nothing_is_changed(web: Web) -> None:
    client = web.clients[Role.SUPERVISOR]
    token = client.headers.pop("X-CSRF-Token")
    assert (await client.post("/api/agents/1001/ready")).status_code == 403
    wrong = await client.post("/api/agents/1001/ready", headers={"X-CSRF-Token": token[:-1] + "!"})
    assert wrong.status_code == 403
    assert "X-CSRF-Token" in wrong.json()["error"]
    assert web.asked == []
    assert (await client.get("/api/agents")).status_code == 200
    right = await client.post("/api/agents/1001/ready", headers={"X-CSRF-Token": token})
    assert right.json() == {"said": "agent.ready done"}


async def test_another_sites_page_cannot_sign_anybody_in(web: Web) -> None:
    answer = await web.nobody.post(
        "/api/session",
        json={"name": "guest", "password": "x"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 403


async def test_an_agent_speaks_for_one_agent_only(web: Web) -> None:
    client = web.clients[Role.AGENT]
    assert (await client.post("/api/agents/1001/pause", json={"reason": "用餐"})).status_code == 200
    assert (await client.post("/api/agents/1002/pause", json={})).status_code == 403
    assert web.asked == [("agent.pause", {"number": "1001", "reason": "用餐"})]


async def test_every_answer_has_the_security_headers(web: Web) -> None:
    for path in ("/", "/sign-in", "/api/session", "/api/openapi.json", "/nowhere"):
        headers = (await web.nobody.get(path)).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    page = (await web.clients[Role.GUEST].get("/")).text
    assert not re.search(r"<script(?![^>]*src=)|<style|\son[a-z]+=|\sstyle=", page)
