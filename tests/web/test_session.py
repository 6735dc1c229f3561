"""Signing in, tokens, walls, limits, and the log of who did what."""

import asyncio
import stat

import httpx
import pytest
from sqlalchemy import delete, insert, update

from base import clock, database
from base.bus import Bus
from facts.times import DAY
from tests.web.conftest import PASSWORD, Web, state
from web.accounts import accounts, audit, tables
from web.accounts.accounts import AccountError
from web.accounts.rights import Role
from web.app import create_app


async def test_signing_in_and_out(web: Web) -> None:
    client = await web.sign_in("supervisor")
    me = (await client.get("/api/session")).json()
    assert me["role"] == "supervisor"
    assert "agents.write" in me["rights"]
    assert me["masked"] is False
    cookie = next(iter(client.cookies.jar))
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "lax"
    assert (await client.delete("/api/session")).status_code == 204
    assert (await client.get("/api/session")).status_code == 401


async def test_neither_passwords_nor_cookies_nor_tokens_are_stored(web: Web) -> None:
    client = await web.sign_in("guest")
    token = await accounts.add_token(web.engine, "t1", "guest", ["live"], "x", clock.now())
    text = (web.settings.root / "hotline.db").read_bytes()
    text += (web.settings.root / "hotline.db-wal").read_bytes()
    assert b"$argon2id$" in text
    for secret in (PASSWORD, token, next(iter(client.cookies.jar)).value):
        assert secret
        assert secret.encode() not in text


async def test_a_session_ends_by_itself(web: Web) -> None:
    client = await web.sign_in("guest")
    old = clock.now() - accounts.IDLE - 1
    async with web.engine.begin() as connection:
        await connection.execute(update(tables.session).values(seen_at=old))
    assert (await client.get("/api/session")).status_code == 401


async def test_a_new_password_ends_other_sessions(web: Web) -> None:
    here, elsewhere = await web.sign_in("auditor"), await web.sign_in("auditor")
    wrong = await here.put("/api/session/password", json={"old": "no", "new": "another password"})
    assert wrong.status_code == 409
    short = await here.put("/api/session/password", json={"old": PASSWORD, "new": "short"})
    assert short.status_code == 409
    answer = await here.put(
        "/api/session/password", json={"old": PASSWORD, "new": "another password"}
    )
    assert answer.status_code == 204
    assert (await here.get("/api/session")).status_code == 200
    assert (await elsewhere.get("/api/session")).status_code == 401


async def test_a_role_that_changes_changes_at_once(web: Web) -> None:
    client = await web.sign_in("supervisor")
    await accounts.set_role(web.engine, "supervisor", "guest")
    assert (await client.post("/api/agents/1001/ready")).status_code == 403


async def test_wrong_passwords_are_slowed_down(web: Web) -> None:
    statuses = [
        (
            await web.nobody.post("/api/session", json={"name": "admin", "password": f"no {n}"})
        ).status_code
        for n in range(11)
    ]
    assert statuses == [401] * 10 + [429]
    right = await web.nobody.post("/api/session", json={"name": "admin", "password": PASSWORD})
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) > 0
    # Others are not locked out.
    await web.sign_in("guest")


async def test_a_token_that_asks_too_often_is_slowed_down(web: Web) -> None:
    web.backend.limits.requests.most = 5
    token = await accounts.add_token(web.engine, "busy", "guest", ["live"], "x", clock.now())
    headers = {"Authorization": f"Bearer {token}"}
    statuses = [
        (await web.nobody.get("/api/session", headers=headers)).status_code for _ in range(6)
    ]
    assert statuses == [200] * 5 + [429]


async def test_a_token_does_what_its_scopes_say(web: Web) -> None:
    admin = web.clients[Role.ADMINISTRATOR]
    made = await admin.post(
        "/api/tokens", json={"name": "crm", "role": "supervisor", "scopes": ["agents.own"]}
    )
    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    # No CSRF token: no page can make a browser send this header.
    assert (await web.nobody.post("/api/agents/1001/ready", headers=headers)).status_code == 403
    assert (await web.nobody.get("/api/agents", headers=headers)).status_code == 403
    too_much = {"name": "x1", "role": "guest", "scopes": ["agents.write"]}
    assert (await admin.post("/api/tokens", json=too_much)).status_code == 409
    assert (await admin.delete("/api/tokens/crm")).status_code == 204
    assert (await web.nobody.get("/api/session", headers=headers)).status_code == 401


async def test_a_wall_screen_comes_in_by_its_address(web: Web) -> None:
    token = await accounts.add_token(web.engine, "wall", "guest", ["live"], "x", clock.now())
    async with httpx.AsyncClient(base_url=web.url) as screen:
        refused = await screen.get("/")
        assert refused.status_code == 303
        assert refused.headers["location"] == "/sign-in?next=/"
        answer = await screen.get("/", params={"token": token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await screen.get("/")).status_code == 200
        web.backend.feed.show(state())
        assert (await screen.get("/api/live")).status_code == 200
        assert (await screen.get("/api/agents")).status_code == 403
        await accounts.revoke_token(web.engine, "wall")
        assert (await screen.get("/api/live")).status_code == 401


async def test_a_wall_that_was_off_for_long_needs_its_address_again(web: Web) -> None:
    now = clock.now()
    await accounts.add_token(web.engine, "wall", "guest", ["live"], "x", now)
    old = await accounts.begin_for_token(web.engine, "wall", now - accounts.LONGEST_UNSEEN - 9)
    assert await accounts.by_cookie(web.engine, old, now - accounts.LONGEST_UNSEEN) is not None
    await accounts.begin_for_token(web.engine, "wall", now)
    assert await accounts.by_cookie(web.engine, old, now) is None


async def test_a_token_that_may_change_things_does_not_belong_into_an_address(web: Web) -> None:
    scopes = ["agents.write", "agents.own"]
    token = await accounts.add_token(web.engine, "crm", "supervisor", scopes, "x", clock.now())
    answer = await web.nobody.get("/", params={"token": token})
    assert answer.headers["location"].startswith("/sign-in")


async def test_an_open_wall_needs_no_token(web: Web) -> None:
    web.backend.feed.show(state())
    assert (await web.nobody.get("/api/live")).status_code == 401
    web.backend.settings = web.settings.model_copy(update={"wall_open": ("127.0.0.0/8",)})
    shown = (await web.nobody.get("/api/live")).json()
    assert shown["state"]["agents"][0]["name"] == "王*"
    assert (await web.nobody.get("/")).status_code == 200
    assert (await web.nobody.get("/api/agents")).status_code == 403
    # A page of somebody else's, whose name leads to this address, stays outside.
    rebound = await web.nobody.get("/api/live", headers={"Host": "evil.example"})
    assert rebound.status_code == 401
    web.backend.settings = web.settings.model_copy(update={"wall_open": ("10.0.0.0/8",)})
    assert (await web.nobody.get("/api/live")).status_code == 401


async def test_who_did_what_is_written_down(web: Web) -> None:
    await web.clients[Role.SUPERVISOR].post("/api/agents/1001/pause", json={"reason": "用餐"})
    await web.clients[Role.GUEST].post("/api/agents/1001/out")
    await web.clients[Role.SUPERVISOR].delete("/api/blocks/13800000000")
    await web.nobody.post("/api/session", json={"name": "mallory", "password": "x"})
    entries = (await web.clients[Role.AUDITOR].get("/api/audit")).json()["entries"]
    told = [(one["who"], one["action"], one["target"], one["status"]) for one in entries][:4]
    assert told == [
        ("mallory", "POST /api/session", "", 401),
        ("supervisor", "DELETE /api/blocks/{caller}", "138****0000", 404),
        ("guest", "POST /api/agents/{number}/out", "1001", 403),
        ("supervisor", "POST /api/agents/{number}/pause", "1001", 200),
    ]
    assert {one["address"] for one in entries} == {"127.0.0.1"}
    page = (await web.clients[Role.AUDITOR].get("/api/audit?limit=2")).json()
    following = (
        await web.clients[Role.AUDITOR].get(f"/api/audit?limit=2&cursor={page['next']}")
    ).json()
    assert [one["id"] for one in page["entries"] + following["entries"]] == [
        one["id"] for one in entries[:4]
    ]


async def test_a_start_takes_away_what_the_log_need_not_keep(web: Web) -> None:
    async with web.engine.begin() as connection:
        row = {"who": "wang", "role": "", "address": "", "action": "x", "target": "", "status": 200}
        await connection.execute(insert(tables.audit).values(at=clock.now() - 200 * DAY, **row))
        await connection.execute(insert(tables.audit).values(at=clock.now() - 180 * DAY, **row))
    settings = web.settings.model_copy(update={"audit_days": 184})
    app = create_app(
        settings, database.engine(settings.database), Bus(settings.redis, settings.node)
    )
    async with app.router.lifespan_context(app), asyncio.timeout(10):
        while (await audit.read(web.engine))[0]["who"] != audit.BY:
            await asyncio.sleep(0.02)
    entries = (await web.clients[Role.AUDITOR].get("/api/audit")).json()["entries"]
    assert [one["who"] for one in entries] == ["hotline web", "wang"]
    assert entries[0]["target"].startswith("1 from before 20")


async def test_the_first_start_makes_an_administrator(web: Web) -> None:
    async with web.engine.begin() as connection:
        await connection.execute(delete(tables.account))
    await accounts.first_start(web.engine, web.settings)
    file = accounts.password_file(web.settings)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    password = file.read_text().strip()
    assert await accounts.check_password(web.engine, "admin", password)
    await accounts.first_start(web.engine, web.settings)
    assert file.read_text().strip() == password
    assert stat.S_IMODE(accounts.token_file(web.settings).stat().st_mode) == 0o600
    await accounts.set_password(web.engine, web.settings, "admin", "a new password")
    assert not file.exists()


async def test_the_last_administrator_stays(web: Web) -> None:
    admin = web.clients[Role.ADMINISTRATOR]
    assert (await admin.delete("/api/accounts/administrator")).status_code == 409
    demoted = await admin.patch("/api/accounts/administrator", json={"role": "guest"})
    assert demoted.status_code == 409


@pytest.mark.parametrize(
    ("name", "role", "password"),
    [("x", "guest", PASSWORD), ("a b", "guest", PASSWORD), ("ok", "king", PASSWORD), ("ok", "guest", "short")],
)  # fmt: skip
async def test_what_cannot_be_an_account_is_refused(
    web: Web, name: str, role: str, password: str
) -> None:
    with pytest.raises(AccountError):
        await accounts.add(web.engine, name, role, password, clock.now())
