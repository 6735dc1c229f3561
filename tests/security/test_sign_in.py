"""Strangers at the door: nobody is locked out by them, guessing stays slow, memory stays bounded. Walls are guests."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base import clock
from tests.web.conftest import PASSWORD, Web, state
from web import limit
from web.accounts import accounts, audit
from web.accounts.rights import OF_ROLE, Role
from web.limit import SECOND, SignIns

HOUR = 3600 * SECOND


def _from(web: Web, address: str) -> httpx.AsyncClient:
    """A client at another address, behind a proxy on this machine."""
    client = httpx.AsyncClient(base_url=web.url, timeout=20, headers={"X-Forwarded-For": address})
    web.opened.append(client)
    return client


async def _sign_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD) -> int:
    answer = await client.post("/api/session", json={"name": name, "password": password})
    return answer.status_code


async def test_one_address_locks_no_account_for_others(web: Web) -> None:
    stranger = _from(web, "203.0.113.9")
    statuses = [await _sign_in(stranger, "supervisor", f"no {n}") for n in range(120)]
    assert statuses[:11] == [401] * 10 + [429]
    assert set(statuses[10:]) == {429}
    assert await _sign_in(_from(web, "198.51.100.7"), "supervisor") == 200


async def test_who_has_signed_in_from_an_address_is_not_locked_out_by_many_others(
    web: Web,
) -> None:
    home = _from(web, "198.51.100.7")
    assert await _sign_in(home, "supervisor") == 200
    for n in range(30):
        stranger = _from(web, f"203.0.113.{n}")
        for _ in range(6):
            await _sign_in(stranger, "supervisor", "no")
    # The attack is slowed: the account's own limit is used up.
    assert await _sign_in(_from(web, "203.0.113.99"), "supervisor", "no") == 429
    assert await _sign_in(home, "supervisor") == 200


async def test_an_address_stays_known_after_a_restart(web: Web) -> None:
    assert await _sign_in(_from(web, "198.51.100.7"), "supervisor") == 200
    found = await audit.signed_in_from(web.engine, clock.now() - HOUR)
    assert ("supervisor", "198.51.100.7") in found


async def test_a_shift_signs_in_from_one_address(web: Web) -> None:
    office = _from(web, "198.51.100.7")
    assert {await _sign_in(office, "agent") for _ in range(60)} == {200}


async def test_wrong_tokens_lock_out_neither_right_tokens_nor_people(web: Web) -> None:
    token = await accounts.add_token(web.engine, "crm", "guest", ["live"], "x", clock.now())
    here = _from(web, "198.51.100.7")
    wrong = {"Authorization": "Bearer hl_wrong"}
    statuses = [(await here.get("/api/session", headers=wrong)).status_code for _ in range(60)]
    assert statuses == [401] * 50 + [429] * 10
    right = await here.get("/api/session", headers={"Authorization": f"Bearer {token}"})
    assert right.status_code == 200
    assert (await here.get("/", params={"token": token})).headers["location"] == "/"
    assert await _sign_in(here, "guest") == 200


async def test_a_stranger_does_not_keep_anybody_from_changing_their_password(web: Web) -> None:
    for n in range(30):
        stranger = _from(web, f"203.0.113.{n}")
        for _ in range(6):
            await _sign_in(stranger, "auditor", "no")
    answer = await web.clients[Role.AUDITOR].put(
        "/api/session/password", json={"old": PASSWORD, "new": "another password"}
    )
    assert answer.status_code == 204


# --- the limits alone


def _tries() -> Iterator[str]:
    return (f"203.0.{n // 250}.{n % 250}" for n in range(1_000_000))


def test_ipv6_neighbours_are_one_address() -> None:
    limits = SignIns()
    waits = [limits.begin("wang", f"2001:db8::{n:x}", 0) for n in range(1, 40)]
    assert waits.count(0) == 10
    assert limits.begin("wang", "2001:db8:0:1::1", 0) == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60),
            st.sampled_from(["wang", "li", "nobody"]),
            st.sampled_from([f"203.0.113.{n}" for n in range(30)] + ["2001:db8::1"]),
        ),
        max_size=400,
    )
)
def test_a_known_address_always_passes_and_guessing_is_slow(
    attack: list[tuple[int, str, str]],
) -> None:
    limits = SignIns()
    assert limits.begin("wang", "198.51.100.7", 0) == 0
    limits.succeeded("wang", "198.51.100.7", 0)
    now, checked = 0, 0
    for seconds, account, address in attack:
        now += seconds * SECOND
        if limits.begin(account, address, now) == 0 and account == "wang":
            checked += 1
        assert limits.begin("wang", "198.51.100.7", now) == 0
        limits.succeeded("wang", "198.51.100.7", now)
    assert checked <= 100 + now / SECOND / 6


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["wang", "li"])), max_size=400))
def test_one_address_never_locks_another(attack: list[tuple[int, str]]) -> None:
    limits = SignIns()
    now = 0
    for n, (seconds, account) in enumerate(attack):
        now += seconds * SECOND
        limits.begin(account, "203.0.113.1", now)
        new = f"198.51.{n}.7"
        assert limits.begin("wang", new, now) == 0
        limits.succeeded("wang", new, now)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "MOST_KEYS", 500)
    limits = SignIns()
    for n, address in zip(range(3000), _tries(), strict=False):
        limits.begin(f"name {n}", address, n)
        limits.succeeded(f"name {n}", address, n)
        limits.begin(f"other {n}", address, n)
    assert all(size <= 500 for size in limits.sizes())


# --- walls


async def test_a_wall_that_came_in_by_a_supervisors_token_is_a_guest(web: Web) -> None:
    made = await accounts.add_token(
        web.engine, "hall", "supervisor", ["live", "calls.read"], "x", clock.now()
    )
    web.backend.feed.show(state(calls=[{"caller": "13812345678", "call": "n-1.1"}]))
    async with httpx.AsyncClient(base_url=web.url) as screen:
        assert (await screen.get("/", params={"token": made})).headers["location"] == "/"
        me = (await screen.get("/api/session")).json()
        assert (me["role"], me["masked"], me["rights"]) == ("guest", True, ["live"])
        text = (await screen.get("/api/live")).text
        assert "王芳" not in text
        assert "13812345678" not in text
        assert (await screen.get("/api/calls")).status_code == 403


async def test_a_walls_session_of_an_earlier_version_is_cut_down(web: Web) -> None:
    scopes = ["live", "recordings.read", "agents.write"]
    await accounts.add_token(web.engine, "hall", "administrator", scopes, "x", clock.now())
    cookie = await accounts.begin_for_token(web.engine, "hall", clock.now())
    who = await accounts.by_cookie(web.engine, cookie, clock.now())
    assert who is not None
    assert (who.role, who.rights, who.masked) == (Role.GUEST, frozenset({"live"}), True)


async def test_a_token_that_may_not_look_opens_no_wall(web: Web) -> None:
    made = await accounts.add_token(
        web.engine, "books", "guest", ["reports.read"], "x", clock.now()
    )
    answer = await web.nobody.get("/", params={"token": made})
    assert answer.headers["location"].startswith("/sign-in")


# --- rights


@pytest.mark.parametrize("act", ["ready", "pause", "out"])
async def test_a_token_that_may_write_agents_speaks_for_them(web: Web, act: str) -> None:
    made = await accounts.add_token(
        web.engine, "crm", "supervisor", ["agents.write"], "x", clock.now()
    )
    body: dict[str, Any] = {"json": {"reason": "用餐"}} if act == "pause" else {}
    answer = await web.nobody.post(
        f"/api/agents/1001/{act}", headers={"Authorization": f"Bearer {made}"}, **body
    )
    assert (answer.status_code, len(web.asked)) == (200, 1)


def test_whoever_speaks_for_agents_speaks_for_themselves() -> None:
    for rights in OF_ROLE.values():
        assert "agents.own" in rights or "agents.write" not in rights


# --- behind TLS


async def test_behind_tls_the_browser_is_told_to_stay_there(web: Web) -> None:
    plain = await web.nobody.get("/sign-in")
    assert "strict-transport-security" not in plain.headers
    for path in ("/sign-in", "/api/session", "/nowhere"):
        answer = await web.nobody.get(path, headers={"X-Forwarded-Proto": "https"})
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
