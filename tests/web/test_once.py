"""A request with an `Idempotency-Key` is done once, and gets one answer, for a day and over restarts."""

import asyncio
from typing import Any

import httpx
from sqlalchemy import update

from base import clock
from base.background import spawn
from base.bus import ASKED_AGAIN
from facts.times import DAY, SECOND
from tests.web.conftest import Web
from web import once
from web.accounts.rights import Role
from web.accounts.tables import asked_once

KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}


async def ask(web: Web, role: Role = Role.SUPERVISOR, **more: Any) -> httpx.Response:
    more.setdefault("headers", KEY)
    return await web.clients[role].post("/api/talks/1001/mute", **{"json": {"mute": True}} | more)


async def test_the_same_request_is_done_once_and_gets_the_same_answer(web: Web) -> None:
    first, second = await ask(web), await ask(web)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert [name for name, _ in web.asked] == ["talk.mute"]


async def test_a_refusal_is_an_answer_too(web: Web) -> None:
    client = web.clients[Role.SUPERVISOR]
    answers = [await client.post("/api/talks/9999/hold", headers=KEY) for _ in range(2)]
    assert [one.status_code for one in answers] == [409, 409]
    assert answers[0].json() == answers[1].json() == {"error": "there is no agent 9999"}
    assert len(web.asked) == 1


async def test_a_key_is_for_one_request_of_one_account(web: Web) -> None:
    await ask(web)
    other = await ask(web, json={"mute": False})
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert (await ask(web, Role.ADMINISTRATOR)).status_code == 200
    assert len(web.asked) == 2


async def test_whatever_rings_moves_or_ends_something_takes_a_key(web: Web) -> None:
    """A program that got no answer asks again: without a key it would do it twice."""
    document = (await web.nobody.get("/api/openapi.json")).json()
    changing = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "get"
    ]
    keyed = {
        (path, method)
        for path, method, operation in changing
        if any(one["name"] == "idempotency-key" for one in operation.get("parameters", ()))
    }
    wanted = {
        (path, method)
        for path, method, _ in changing
        if path.startswith(("/api/talks/", "/api/waiting/", "/api/callbacks"))
        or path.endswith(("/dial", "/recording/pause", "/recording/resume"))
        or path == "/api/messages"
    }
    assert keyed == wanted
    assert len(keyed) > 25


async def test_two_at_once_are_one(web: Web) -> None:
    web.silent = True
    first: list[httpx.Response] = []

    async def ask_first() -> None:
        first.append(await ask(web))

    slow = spawn(ask_first(), "the first")
    while not web.asked:
        await asyncio.sleep(0.01)
    second = await ask(web)
    assert (second.status_code, second.json()["code"]) == (409, "under_way")
    await slow
    assert first[0].status_code == 503
    assert len(web.asked) == 1


async def test_who_got_no_answer_hears_the_late_one_and_it_is_done_once(web: Web) -> None:
    """The controller says what it did after 3 s; the bus waits for 2."""
    web.silent = True
    answers = [await ask(web) for _ in range(3)]
    assert (answers[0].status_code, answers[-1].status_code) == (503, 200)
    assert answers[0].json()["code"] == "no_answer"
    assert answers[-1].json() == (await ask(web)).json()
    assert len(web.asked) == 1
    other = await ask(web, json={"mute": False})
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


async def test_two_that_ask_again_at_once_both_hear_it(web: Web) -> None:
    web.silent = True
    assert (await ask(web)).status_code == 503
    rounds = [await asyncio.gather(ask(web), ask(web)) for _ in range(2)]
    assert [one.status_code for one in rounds[-1]] == [200, 200]
    assert len(web.asked) == 1


async def test_what_nobody_answered_for_a_minute_is_lost(web: Web) -> None:
    web.silent = True
    assert (await ask(web)).status_code == 503
    await _age(web, at=clock.now() - (ASKED_AGAIN + 1) * SECOND)
    lost = await ask(web)
    assert (lost.status_code, lost.json()["code"]) == (409, "answer_lost")
    assert len(web.asked) == 1


async def _age(web: Web, **values: object) -> None:
    async with web.engine.begin() as connection:
        await connection.execute(update(asked_once).values(**values))


async def test_an_answer_that_a_restart_has_lost_is_not_made_up(web: Web) -> None:
    await ask(web)
    await _age(web, status=0, answer={}, at=clock.now() - once.UNDER_WAY - SECOND)
    lost = await ask(web)
    assert (lost.status_code, lost.json()["code"]) == (409, "answer_lost")
    assert len(web.asked) == 1


async def test_a_key_holds_for_a_day(web: Web) -> None:
    await ask(web)
    await _age(web, at=clock.now() - DAY + 60 * SECOND)
    await ask(web)
    assert len(web.asked) == 1
    await _age(web, at=clock.now() - DAY - SECOND)
    await ask(web)
    assert len(web.asked) == 2


async def test_the_keys_of_an_account_are_bounded(web: Web, monkeypatch: Any) -> None:
    monkeypatch.setattr(once, "MOST", 2)
    for key in ("a", "b"):
        assert (await ask(web, headers={"Idempotency-Key": key})).status_code == 200
    third = await ask(web, headers={"Idempotency-Key": "c"})
    assert (third.status_code, third.json()["code"]) == (429, "too_many_keys")
    assert (await ask(web, headers={"Idempotency-Key": "a"})).status_code == 200
    assert (await ask(web, headers={})).status_code == 200
    assert len(web.asked) == 3


async def test_a_key_is_readable(web: Web) -> None:
    for key in ('""', "x" * 201, "caf\xe9"):
        answer = await ask(web, headers=[("Idempotency-Key", key.encode("latin1"))])
        assert answer.status_code == 422, key
    assert not web.asked


async def test_a_callback_is_entered_once(web: Web) -> None:
    client = web.clients[Role.SUPERVISOR]
    body = {"number": "13812345678"}
    answers = [await client.post("/api/callbacks", json=body, headers=KEY) for _ in range(2)]
    assert [one.json() for one in answers] == [{"said": "callback.add done", "id": 1}] * 2
    assert len(web.asked) == 1


async def test_who_may_not_is_not_told_what_others_were_told(web: Web) -> None:
    own = await web.clients[Role.AGENT].post("/api/talks/1002/hold", headers=KEY)
    assert (own.status_code, own.json()["code"]) == (403, "not_yours")
    assert (await ask(web, Role.GUEST)).status_code == 403
    assert not web.asked
