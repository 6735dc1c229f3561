"""Whatever is sent, the API answers as its OpenAPI document says, and never with a fault of its own (schemathesis)."""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.web.conftest import Web, state
from web.accounts.rights import Role

_ENDLESS = {"/api/live/stream", "/api/facts/stream"}
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.timeout(300)
async def test_the_api_is_as_its_document_says(web: Web) -> None:
    web.backend.feed.show(state())
    web.backend.limits.requests.most = 1_000_000
    web.backend.limits.wrong_tokens.most = 1_000_000
    client = web.clients[Role.ADMINISTRATOR]
    document = (await client.get("/api/openapi.json")).json()
    headers = {
        "X-CSRF-Token": client.headers["X-CSRF-Token"],
        "Cookie": "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar),
    }
    tried = await asyncio.to_thread(_try_all, document, web.url, headers)
    assert tried > 40


def _try_all(document: dict[str, Any], url: str, headers: dict[str, str]) -> int:
    schema = schemathesis.openapi.from_dict(document)
    tried = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path in _ENDLESS or (operation.method, operation.path) == (
            "delete",
            "/api/session",
        ):
            continue
        tried += 1

        @settings(
            max_examples=12,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def attempt(case: Any) -> None:
            answer = case.call(base_url=url, headers=headers, timeout=20)
            case.validate_response(answer, checks=_CHECKS)

        attempt()
    return tried
