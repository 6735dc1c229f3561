"""Requests to S3 that obstore lacks, signed by AWS Signature Version 4: locks, versions, uploads left behind.

obstore puts, gets, lists and deletes. It can neither set an object's retention nor see versions: its delete would hide
a locked recording behind a marker and say that it is gone. Nothing here reads or writes sound.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

MOST: Final = 4 << 20
"""Bytes of an answer that are read: a page of a thousand versions has about half a megabyte."""
_SAFE: Final = "-_.~"
_REQUEST: Final = "aws4_request"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """The key of a store: its id and its secret, and the region that is signed."""

    id: str
    secret: str = field(repr=False)
    region: str


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What the store answered: the status, and the body as text."""

    status: int
    body: str


async def ask(
    client: httpx.AsyncClient,
    access: AccessKey,
    method: str,
    url: str,
    *,
    now: datetime,
    query: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> StoreAnswer:
    """Send one signed request. `url` has no query. Raises `httpx.HTTPError`; `ValueError`: the answer is too long."""
    text = canonical_query(query or {})
    head = headers(access, method, url, now=now, query=text, body=body)
    whole = f"{url}?{text}" if text else url
    found = bytearray()
    async with client.stream(method, whole, headers=head, content=body) as response:
        async for block in response.aiter_bytes():
            found += block
            if len(found) > MOST:
                raise ValueError("the answer is too long")
        return StoreAnswer(response.status_code, found.decode(errors="replace"))


def headers(
    access: AccessKey, method: str, url: str, *, now: datetime, query: str = "", body: bytes = b""
) -> dict[str, str]:
    """The headers of a request to S3 at the moment `now` (UTC), the signature among them. `query` is canonical."""
    where = urlsplit(url)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    signed = {"host": where.netloc, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(signed)
    canonical = "\n".join(
        (
            method,
            where.path or "/",
            query,
            *(f"{name}:{value}" for name, value in signed.items()),
            "",
            names,
            digest,
        )
    )
    scope = f"{stamp[:8]}/{access.region}/s3/{_REQUEST}"
    text = "\n".join(
        ("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())
    )
    key = f"AWS4{access.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    # S3 asks for a checksum of each request about a lock. The signature covers the SHA-256 of the body already.
    if body:
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        signed["content-md5"] = b64encode(md5).decode()
    return signed


def canonical_query(query: Mapping[str, str]) -> str:
    """A query as it is signed and sent: sorted, and everything but letters, digits and `-_.~` escaped."""
    return "&".join(
        f"{quote(name, safe=_SAFE)}={quote(value, safe=_SAFE)}"
        for name, value in sorted(query.items())
    )


def escaped(key: str) -> str:
    """A key as a part of a URL."""
    return quote(key, safe=f"/{_SAFE}")
