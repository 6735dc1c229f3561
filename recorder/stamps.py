"""Time stamps (RFC 3161): an authority outside signs that a day's head was there at a time, whatever our clock said.

Only the newest seal is stamped: its head vouches for all days before it. A stamp is checked before it is kept, and can
be checked again without the network, by `openssl ts -verify` too.
"""

import asyncio
import base64
import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from facts.times import local, microseconds
from recorder import evidence, seals
from recorder import tables as recorder_tables
from recorder.evidence import DaySeal, EvidenceError, StampJson

if TYPE_CHECKING:
    import httpx

WITHIN: Final = 20.0
"""Seconds that an authority has for its answer, from the name's look-up to the last byte."""
LONGEST: Final = 64 * 1024
"""Bytes of an answer at most: with all its certificates it has about six thousand."""
_GRANTED: Final = 0


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """What an authority has signed of a day's head. `token`: its answer (TimeStampResp); `at`: microseconds."""

    day: str
    token: bytes
    at: int


async def stamp(engine: AsyncEngine, settings: Settings) -> TimeStamp | None:
    """Have the newest seal stamped, if it is not. None: there is nothing to do.

    Raises `EvidenceError`: the authority is away, refuses, or its answer is not a stamp of this head by a certificate
    of `HOTLINE_SEAL_TSA_CA`.
    """
    if not settings.seal_tsa:
        return None
    newest = await seals.newest(engine)
    if newest is None or await stamps(engine, newest.day, newest.day):
        return None
    made = await _ask(settings.seal_tsa, newest, await asyncio.to_thread(roots, settings))
    try:
        async with engine.begin() as connection:
            row = {"day": made.day, "token": base64.b64encode(made.token).decode(), "at": made.at}
            await connection.execute(insert(recorder_tables.stamp).values(row))
    except IntegrityError:
        return None  # another recorder was sooner
    return made


async def stamps(
    engine: AsyncEngine, day: str = "", until: str = "9999-12-31"
) -> dict[str, TimeStamp]:
    """The stamps of the days from `day` to `until`, by day."""
    table = recorder_tables.stamp
    question = select(table).where(table.c.day.between(day, until)).order_by(table.c.day)
    async with engine.connect() as connection:
        rows = list(await connection.execute(question))
    return {row.day: TimeStamp(row.day, base64.b64decode(row.token), row.at) for row in rows}


def fault(one: TimeStamp, sealed: DaySeal, known: list[Certificate]) -> str:
    """What is wrong with a stamp, as a sentence; empty when it is one of this seal by one of the `known`."""
    try:
        response = decode_timestamp_response(one.token)
    except ValueError:
        return f"{one.day}: the time stamp cannot be read"
    if why := _wrong(response, sealed, known):
        return f"{one.day}: the time stamp is not one of this seal ({why})"
    if microseconds(response.tst_info.gen_time) != one.at:
        return f"{one.day}: the time stamp has another time than is written beside it"
    return ""


def stamp_json(one: TimeStamp) -> StampJson:
    """A stamp as JSON."""
    return {
        "day": one.day,
        "token": base64.b64encode(one.token).decode(),
        "at": local(one.at).isoformat(timespec="seconds"),
    }


def roots(settings: Settings) -> list[Certificate]:
    """The certificates of `HOTLINE_SEAL_TSA_CA`. Raises `EvidenceError` when there is none."""
    file = settings.seal_tsa_ca
    if file is None:
        raise EvidenceError(
            "HOTLINE_SEAL_TSA names a time stamp authority: put its root certificate (PEM) into a file, and name that "
            "file in HOTLINE_SEAL_TSA_CA"
        )
    return _read(file)


def trusted(settings: Settings) -> list[Certificate]:
    """The same, or none where no authority is named or its certificate cannot be used: stamps are not looked at."""
    with contextlib.suppress(EvidenceError):
        return roots(settings)
    return []


def _read(file: Path) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError:
        why = "it holds no certificate in PEM"
    raise EvidenceError(f"HOTLINE_SEAL_TSA_CA: {file} cannot be used: {why}")


async def _ask(url: str, sealed: DaySeal, known: list[Certificate]) -> TimeStamp:
    import httpx

    request = (
        TimestampRequestBuilder().data(_text(sealed)).hash_algorithm(HashAlgorithm.SHA256).build()
    )
    try:
        async with asyncio.timeout(WITHIN), httpx.AsyncClient(timeout=WITHIN) as client:
            body = await _post(client, url, request.as_bytes())
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        why = str(error) or type(error).__name__
        raise EvidenceError(f"the time stamp authority does not answer: {_short(why)}") from None
    try:
        response = decode_timestamp_response(body)
    except ValueError as error:
        raise EvidenceError(
            f"the time stamp authority answers something else: {_short(str(error))}"
        ) from None
    if response.status != _GRANTED:
        said = _short(" ".join(response.status_string)) or f"status {response.status}"
        raise EvidenceError(f"the time stamp authority refuses: {said}")
    why = _wrong(response, sealed, known, request.nonce)
    if why:
        raise EvidenceError(f"the time stamp authority's answer is not valid: {why}")
    return TimeStamp(sealed.day, body, microseconds(response.tst_info.gen_time))


async def _post(client: "httpx.AsyncClient", url: str, query: bytes) -> bytes:
    kind = {"Content-Type": "application/timestamp-query"}
    async with client.stream("POST", url, content=query, headers=kind) as answer:
        answer.raise_for_status()
        body = b""
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > LONGEST:
                raise EvidenceError("the time stamp authority's answer is too long")
    return body


def _wrong(
    response: TimeStampResponse,
    sealed: DaySeal,
    known: list[Certificate],
    nonce: int | None = None,
) -> str:
    """Why an answer is no stamp of this seal; empty when it is one."""
    builder = VerifierBuilder(roots=list(known), nonce=nonce)
    try:
        builder.build().verify_message(response, _text(sealed))
    except (VerificationError, ValueError) as error:
        return _short(str(error)) or type(error).__name__
    return ""


def _text(sealed: DaySeal) -> bytes:
    """What is stamped: the same text as is signed."""
    return evidence.signed_text(
        sealed.day, sealed.sha256.head, sealed.sm3.head if sealed.sm3 else ""
    )


def _short(text: str) -> str:
    """One line of at most 200 characters: it comes from outside."""
    return re.sub(r"[^\x20-\x7e]+", " ", text).strip()[:200]
