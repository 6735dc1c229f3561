"""Who is asking, and may they? Cookies for people and wall screens, tokens in a header for programs.

A route names the right it needs: `@router.get("/agents", **right("agents.read"))`. A route that needs none says so
(`**public()`). Unsafe requests by cookie must send the session's CSRF token back in `X-CSRF-Token`. A token in the
header `Authorization: Bearer …` needs none, because no page can make a browser send it.
"""

import hmac
import ipaddress
from typing import Annotated, Any, Final, Literal, TypeAlias

import structlog
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from base import clock
from facts.numbers import AGENT_NUMBER
from web.accounts import accounts
from web.accounts.accounts import AccountError, Who
from web.accounts.rights import OF_ROLE, RIGHTS, Role
from web.backend import Backend, Behind, Error, Problem
from web.limit import place

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api", tags=["session"])

COOKIE: Final = "hotline_session"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SIGN_IN_FIRST = "sign in first"


Audited: TypeAlias = Literal["every", "hourly"]


# --- the door


class Needs:
    """A dependency: the request comes from a reader with this right, else 401 or 403."""

    def __init__(self, name: str) -> None:
        if name not in RIGHTS and name != _ANYBODY:
            raise ValueError(f"there is no right {name}")
        self.name = name

    async def __call__(self, request: Request) -> None:
        """Recognise who asks, and leave them in `request.state.who`."""
        behind: Backend = request.app.state.backend
        who = await recognise(behind, request)
        if who is None:
            raise Problem(401, _SIGN_IN_FIRST)
        request.state.who = who
        wait = behind.limits.requests.take(who.key, clock.now())
        if wait:
            raise Problem(429, "too many requests: slow down", round(wait) + 1)
        sent = request.headers.get("x-csrf-token", "")
        if request.method not in SAFE and who.csrf and not same(sent, who.csrf):
            raise Problem(
                403, "the header X-CSRF-Token is missing or wrong: GET /api/session has it"
            )
        if self.name not in who.rights and self.name != _ANYBODY:
            raise Problem(403, f"{who.name} may not do this: it needs the right {self.name}")


_ANYBODY = "signed in"


def same(sent: str, secret: str) -> bool:
    """Compare in constant time, so that the time does not tell how much was right."""
    return hmac.compare_digest(sent.encode("utf-8", "replace"), secret.encode())


def right(name: str, audited: Audited | None = None, **answers: Any) -> dict[str, Any]:
    """The arguments of a route's decorator for the right that it needs. `answers`: more arguments.

    `audited`: the route shows citizens' data, so who looked is in the audit log: with every request, or with the first
    in an hour of each session where screens ask again and again. Changes are always in the log.
    """
    told: dict[int | str, dict[str, Any]] = {
        status: {"model": Error, "description": text}
        for status, text in {
            401: "Not signed in.",
            403: "Not allowed, or without the CSRF token.",
            404: "There is no such thing.",
            409: "Refused: the sentence says why.",
            422: "What was sent cannot be read.",
            429: "Too many requests: see Retry-After.",
            503: "The controller or the database does not answer.",
        }.items()
    }
    return {
        **answers,
        "dependencies": [Depends(Needs(name))],
        "openapi_extra": {"x-right": name, "security": [{"cookie": []}, {"token": []}]}
        | ({} if audited is None else {"x-audited": audited}),
        "responses": told | answers.get("responses", {}),
    }


def signed_in(**answers: Any) -> dict[str, Any]:
    """As `right`, for a route that needs a sign-in and no right."""
    return right(_ANYBODY, **answers)


def public(**answers: Any) -> dict[str, Any]:
    """As `right`, for a route that needs no sign-in."""
    made = right(_ANYBODY, **answers)
    return {**made, "dependencies": [], "openapi_extra": {"x-right": "public", "security": []}}


def _who(request: Request) -> Who:
    found: Who = request.state.who
    return found


Me = Annotated[Who, Depends(_who)]
"""Who is asking, in a route that needs a right."""


async def recognise(behind: Backend, request: Request) -> Who | None:
    """Who is asking: by token, by cookie, or as a wall screen at an address that may look without either."""
    now = clock.now()
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and secret:
        who = await accounts.by_token(behind.engine, secret.strip(), now)
        if who is None:
            _count_wrong_token(behind, request, now)
        return who
    if cookie := request.cookies.get(COOKIE):
        who = await accounts.by_cookie(behind.engine, cookie, now)
        if who is not None:
            return who
    return _at_the_wall(behind, request)


def _count_wrong_token(behind: Backend, request: Request, now: int) -> None:
    if wait := behind.limits.wrong_tokens.take(place(address_of(request)), now):
        raise Problem(429, "too many wrong tokens from this address", round(wait) + 1)


def _at_the_wall(behind: Backend, request: Request) -> Who | None:
    """A guest who sees the wall only: from an address in HOTLINE_WALL_OPEN.

    The request must name our address, not a host name: an attacker's page could make its own host name lead here (DNS
    rebinding) and would then be allowed to look.
    """
    open_to = behind.settings.wall_open
    if not open_to or request.method not in SAFE:
        return None
    try:
        address = ipaddress.ip_address(address_of(request))
        host = (request.url.hostname or "").strip("[]")
        if host != "localhost":
            ipaddress.ip_address(host)
    except ValueError:
        return None
    if any(address in ipaddress.ip_network(one, strict=False) for one in open_to):
        return Who("wall", Role.GUEST, frozenset({"live"}), key=f"wall {address}")
    return None


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client is not None else ""


def set_cookie(request: Request, response: Response, cookie: str, *, lasting: bool) -> None:
    """Give a session's cookie: out of reach of scripts, and not sent along by other sites' forms."""
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=365 * 86_400 if lasting else None,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/",
    )


async def enter_by_token(
    behind: Backend, request: Request, secret: str, response: Response
) -> bool:
    """Exchange the token in a wall screen's address for a guest's cookie. False when it is no token for that."""
    now, address = clock.now(), address_of(request)
    who = await accounts.by_token(behind.engine, secret, now)
    if who is None or who.rights - _FOR_WALLS or not who.rights & accounts.OF_WALL:
        # A token that may do more than look does not belong in an address.
        _count_wrong_token(behind, request, now)
        log.warning("token.refused", address=address)
        return False
    name = who.name.removeprefix("token:")
    cookie = await accounts.begin_for_token(behind.engine, name, now)
    set_cookie(request, response, cookie, lasting=True)
    log.info("wall.signed_in", token=name, address=address)
    return True


_FOR_WALLS: Final = OF_ROLE[Role.GUEST]


# --- the session


class Name(BaseModel):
    """A name and a password."""

    name: str = Field(max_length=100)
    password: str = Field(max_length=1000)


class Session(BaseModel):
    """Who is signed in. `rights`: what they may do; `masked`: numbers and names are hidden from them.

    `export_approval`: a recording is taken away only after another person has approved it. `queues`: whose talks they
    may supervise; empty: all.
    """

    name: str
    role: Role
    agent: str
    rights: list[str]
    masked: bool
    export_approval: bool
    csrf: str
    queues: list[str]


class Passwords(BaseModel):
    """The old password and the new one."""

    old: str = Field(max_length=1000)
    new: str = Field(max_length=1000)


@router.post("/session", **public(response_model=Session))
async def sign_in(given: Name, request: Request, response: Response, behind: Behind) -> Session:
    """Sign in by name and password."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Problem(403, "sign in on the hotline's own page")
    now, address = clock.now(), address_of(request)
    sign_ins = behind.limits.sign_ins
    wait = sign_ins.begin(given.name, address, now)
    if wait:
        log.warning("sign_in.too_many", address=address)
        raise Problem(429, "too many wrong passwords: wait", round(wait) + 1)
    request.state.tried = given.name[:32]
    if not await accounts.check_password(behind.engine, given.name, given.password):
        log.warning("sign_in.refused", address=address)
        raise Problem(401, "the name or the password is wrong")
    sign_ins.succeeded(given.name, address, now)
    cookie = await accounts.begin(behind.engine, given.name, now)
    who = await accounts.by_cookie(behind.engine, cookie, now)
    if who is None:
        raise Problem(401, "the account was removed at this moment")
    request.state.who = who
    set_cookie(request, response, cookie, lasting=False)
    return _session(who, behind)


@router.get("/session", **signed_in(response_model=Session))
async def session(me: Me, behind: Behind) -> Session:
    """Who is signed in."""
    return _session(me, behind)


@router.delete("/session", **signed_in(status_code=204))
async def sign_out(me: Me, response: Response, behind: Behind) -> None:
    """Sign out."""
    await accounts.end(behind.engine, me.key)
    response.delete_cookie(COOKIE, path="/")


@router.put("/session/password", **signed_in(status_code=204))
async def change_password(given: Passwords, me: Me, request: Request, behind: Behind) -> None:
    """Change one's own password; other sessions of the account end."""
    if not me.csrf or me.name.startswith("token:"):
        raise Problem(409, "a token has no password")
    now = clock.now()
    wait = behind.limits.new_password.take(me.key, now)
    if wait:
        raise Problem(429, "too many wrong passwords: wait", round(wait) + 1)
    if not await accounts.check_password(behind.engine, me.name, given.old):
        raise Problem(409, "the old password is wrong")
    try:
        await accounts.set_password(behind.engine, behind.settings, me.name, given.new, keep=me.key)
    except AccountError as error:
        raise Problem(409, str(error)) from None


def _session(who: Who, behind: Backend) -> Session:
    return Session(
        name=who.name,
        role=who.role,
        agent=who.agent if AGENT_NUMBER.fullmatch(who.agent) else "",
        rights=sorted(who.rights),
        masked=who.masked,
        export_approval=behind.settings.export_approval,
        csrf=who.csrf,
        queues=list(who.queues),
    )
