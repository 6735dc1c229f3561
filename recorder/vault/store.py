"""One bucket of an S3-compatible store: put a file and prove that it is there, read it by ranges, list, delete, lock.

A file counts as stored when the store has given every byte of it back, and their SHA-256 is that of the file here.
Nothing else is taken for a proof: neither the status of a put, nor an ETag, nor an object lock.
"""

import hashlib
import io
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from xml.etree import ElementTree

import httpx
import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import S3Store

from base import clock
from base.settings import Settings
from facts.times import DAY, SECOND
from recorder.vault import signed
from recorder.vault.seeking import SeekingFile
from recorder.vault.signed import AccessKey, StoreAnswer
from recorder.vault.trouble import StoreError, StoreGoneError, StoreTrouble

if TYPE_CHECKING:
    from obstore.store import ClientConfig

FILE: Final = "recordings-store"
"""In the folder of the secrets: the access key's id on the first line, its secret on the second."""

# Timing
CONNECT: Final = timedelta(seconds=5)
WHOLE: Final = timedelta(seconds=60)
"""For one request, from its first byte to the last of the answer: one part, or one range."""

# Sizes
PART: Final = 8 << 20
"""Bytes of one request. A longer file goes in parts, two at a time: memory does not grow with it."""
RANGE: Final = 1 << 18
"""Bytes that a reader fetches at once: four chunks of an encrypted file, 16 seconds of a plain one."""
MOST_LISTED: Final = 5_000_000
"""Objects that one listing may give: ten years of a large centre. A store that goes on for ever is cut off."""
LEFT_FOR: Final = DAY
"""An upload in parts that began so long ago (microseconds) was left behind by a process that died."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as the store lists it: `key` below the prefix, `size` in bytes."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class FilePrint:
    """What tells one file from another: `size` in bytes, `sha256` of all of it in hex."""

    size: int
    sha256: str


def print_of(file: Path) -> FilePrint:
    """Read a file once. Raises `OSError`."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return FilePrint(opened.tell(), digest)


def access_key(settings: Settings) -> AccessKey:
    """The key from the settings, or from the file in `secrets/`. Raises `StoreError`; no message repeats the key."""
    file = settings.secrets_dir / FILE
    key_id = settings.store_key_id.get_secret_value()
    secret = settings.store_secret.get_secret_value()
    if not (key_id or secret):
        try:
            lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(
                StoreTrouble.UNSET,
                f"{file} cannot be read: {getattr(error, 'strerror', None) or error}",
            ) from None
        key_id, secret = [*(line.strip() for line in lines), "", ""][:2]
    if not (key_id and secret):
        raise StoreError(
            StoreTrouble.UNSET,
            f"the store's access key is not set: write its id on the first line of {file} and its secret on the "
            "second, or set HOTLINE_STORE_KEY_ID and HOTLINE_STORE_SECRET",
        )
    return AccessKey(key_id, secret, settings.store_region)


def of(settings: Settings) -> "Store":
    """The bucket of the settings: the same one as long as they are the same. Raises `StoreError`."""
    if not _last or _last[0][0] != settings:
        _last[:] = [(settings, Store(settings))]
    return _last[0][1]


class Store:
    """The bucket of the settings. Keys are relative to its prefix. Every method raises `StoreError`."""

    def __init__(self, settings: Settings, within: timedelta = WHOLE) -> None:
        """Open nothing yet. `within`: the time for one request."""
        self._access = access_key(settings)
        bucket, _, prefix = settings.recording_store.removeprefix("s3://").partition("/")
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        region = settings.store_region
        endpoint = settings.store_endpoint or f"https://s3.{region}.amazonaws.com"
        scheme, _, host = endpoint.partition("://")
        self._url = (
            f"{scheme}://{bucket}.{host}" if settings.store_hosted else f"{endpoint}/{bucket}"
        )
        self._named = f"the store {settings.recording_store} at {endpoint}"
        self._within = within
        self._context = _context(settings)
        options: ClientConfig = {
            "allow_http": scheme == "http",
            "connect_timeout": min(CONNECT, within),
            "timeout": within,
        }
        if settings.store_ca is not None:
            options["root_certificate"] = _pem(settings.store_ca)
        self._bucket_store = S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=self._url if settings.store_hosted else endpoint,
            virtual_hosted_style_request=settings.store_hosted,
            region=region,
            access_key_id=self._access.id,
            secret_access_key=self._access.secret,
            # The store compares it with what arrived. A bucket with object lock refuses a put without one.
            checksum_algorithm="SHA256",
            client_options=options,
            # Who asked tries again, by the schedule of `base.retry`.
            retry_config={"max_retries": 0},
        )

    # --- write

    async def put(self, file: Path, key: str, known: FilePrint, before: FilePrint | None) -> None:
        """Put a file under `key`, and read it back. To repeat it changes nothing, and leaves one object.

        `known`: what the file is. `before`: what an earlier attempt may have put there. Anything else under that name
        is left alone, and an error. After an error the object may be there or not: call it again.
        """
        there = await self._head(key)
        if there is not None:
            found = await self._found(key, there, known, before)
            if found == known:
                return
            if found is None or found != before:
                raise StoreError(
                    StoreTrouble.OTHER,
                    f"{self._named} has another object under the name {key} ({there.size} bytes): it is left alone. "
                    "Look whether another centre uses the same bucket and prefix",
                )
        try:
            await obstore.put_async(
                self._bucket_store, key, file, chunk_size=PART, max_concurrency=2
            )
        except (BaseError, OSError) as error:
            raise self._explained(error, key) from None
        await self.prove(key, known)

    async def prove(self, key: str, known: FilePrint) -> None:
        """Read a whole object and compare it."""
        if await self._print(key, known.size) != known:
            raise StoreError(
                StoreTrouble.OTHER,
                f"{self._named} does not give back what was put under {key}: size or SHA-256 differ",
            )

    async def lock(self, key: str, mode: str, until: int) -> bool:
        """Set an object's retention until a moment (microseconds). False: the bucket has no object lock."""
        moment = datetime.fromtimestamp(until // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = (
            '<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Mode>{mode.upper()}</Mode><RetainUntilDate>{moment}</RetainUntilDate></Retention>"
        ).encode()
        if not await self.has_lock():
            return False
        answer = await self._ask("PUT", key, {"retention": ""}, body)
        self._expect(answer, 200, key)
        return True

    async def has_lock(self) -> bool:
        """Whether the bucket has object lock."""
        answer = await self._ask("GET", "", {"object-lock": ""})
        if answer.status in (400, 404, 501) and _code(answer.body) != "NoSuchBucket":
            return False
        self._expect(answer, 200, "")
        return "<ObjectLockEnabled>Enabled<" in answer.body

    async def delete(self, key: str) -> int:
        """Delete every version of an object, and see that none is left. Gives how many there were.

        A version that an object lock keeps is an error, and nothing is hidden behind a delete marker then.
        """
        count = 0
        versions = await self._versions(key)
        for is_marker, version in sorted(
            versions
        ):  # the markers last, as each hides what lies below it
            answer = await self._ask("DELETE", key, {"versionId": version})
            if answer.status == 403 and _code(answer.body) == "AccessDenied":
                raise StoreError(
                    StoreTrouble.LOCKED,
                    f"{self._named} refuses to delete {key}: an object lock keeps it, or the access key may not delete "
                    "versions (s3:DeleteObjectVersion)",
                )
            self._expect(answer, 204, key, also=(200, 404))
            count += not is_marker
        if await self._head(key) is not None or (versions and await self._versions(key)):
            raise StoreError(
                StoreTrouble.OTHER, f"{self._named} says that {key} is deleted, and still has it"
            )
        return count

    async def drop_left(self, now: int) -> int:
        """Abort uploads in parts that a killed process left behind. Gives how many."""
        count = 0
        answer = await self._ask("GET", "", {"uploads": "", "prefix": self._prefix})
        self._expect(answer, 200, "")
        for upload in self._parsed(answer).findall("{*}Upload"):
            key, number = upload.findtext("{*}Key") or "", upload.findtext("{*}UploadId") or ""
            began = _moment(upload.findtext("{*}Initiated"))
            if key.startswith(self._prefix) and number and began and now - began > LEFT_FOR:
                ended = await self._ask(
                    "DELETE", key.removeprefix(self._prefix), {"uploadId": number}
                )
                self._expect(ended, 204, key, also=(200, 404))
                count += 1
        return count

    # --- read

    def open(self, key: str) -> BinaryIO:
        """Open an object: a seekable file that fetches only the ranges asked for. Raises `StoreGoneError`, too."""
        try:
            meta = obstore.head(self._bucket_store, key)
        except (BaseError, OSError) as error:
            raise self._explained(error, key) from None
        whole = StoredObject(key, meta["size"], meta["e_tag"] or "")
        return io.BufferedReader(StoredFile(self, whole), RANGE)

    def read(self, whole: StoredObject, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` of the object that was opened."""
        options: dict[str, Any] = {"range": (start, end)}
        if whole.etag:
            options["if_match"] = whole.etag
        found = bytearray()
        try:
            answer = obstore.get(self._bucket_store, whole.key, options=options)  # type: ignore[arg-type]
            for block in answer.stream(min_chunk_size=RANGE):
                found += block
                if len(found) > end - start:
                    break
        except (BaseError, OSError) as error:
            raise self._explained(error, whole.key) from None
        if len(found) != end - start:
            raise self._garbled(f"other bytes of {whole.key} than were asked for")
        return bytes(found)

    async def size(self, key: str) -> int | None:
        """The size of an object in bytes; None if there is none."""
        found = await self._head(key)
        return found.size if found else None

    def listed(self, below: str = "") -> Iterator[StoredObject]:
        """Every object of the prefix whose key begins with the folder `below`, without its older versions."""
        count = 0
        try:
            for page in obstore.list(self._bucket_store, below or None, chunk_size=1000):
                for one in page:
                    yield StoredObject(one["path"], one["size"], one["e_tag"] or "")
                count += len(page)
                if count > MOST_LISTED:
                    raise self._garbled("a list without an end")
        except (BaseError, OSError) as error:
            if isinstance(error, StoreError):
                raise
            raise self._explained(error, below) from None

    # --- try it

    async def probe(self) -> list[str]:
        """Write, read, list and delete a small object of its own. Gives what else the operator should know."""
        content = f"hotline check {clock.now()}".encode()
        key = f".hotline-check-{clock.now()}"
        known = FilePrint(len(content), hashlib.sha256(content).hexdigest())
        # A list first: its refusal says why, and that of a HEAD has no body.
        self._expect(
            await self._ask("GET", "", {"list-type": "2", "max-keys": "1", "prefix": self._prefix}),
            200,
            "",
        )
        try:
            await obstore.put_async(self._bucket_store, key, content)
        except (BaseError, OSError) as error:
            raise self._explained(error, key) from None
        await self.prove(key, known)
        notes = []
        try:
            await self.delete(key)
        except StoreError as error:
            if error.trouble is not StoreTrouble.LOCKED:
                raise
            notes.append(f"the object {key} of this check stays there: {error}")
        return notes

    # --- inside

    async def _head(self, key: str) -> StoredObject | None:
        try:
            meta = await obstore.head_async(self._bucket_store, key)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise self._explained(error, key) from None
        return StoredObject(key, meta["size"], meta["e_tag"] or "")

    async def _found(
        self, key: str, there: StoredObject, known: FilePrint, before: FilePrint | None
    ) -> FilePrint | None:
        """What lies there already, if it may be ours by its size. Of a stranger's object nothing is read."""
        sizes = {known.size} | ({before.size} if before else set())
        return await self._print(key, there.size) if there.size in sizes else None

    async def _print(self, key: str, size: int) -> FilePrint:
        digest, count = hashlib.sha256(), 0
        async for block in self._blocks(key, size):
            digest.update(block)
            count += len(block)
        return FilePrint(count, digest.hexdigest())

    async def _blocks(self, key: str, size: int) -> AsyncIterator[bytes]:
        """An object's bytes in requests of a part each, so that each has the time of one. One byte more at most."""
        places = [*range(0, size, PART), size]
        if not size:
            return
        for start, end in pairwise(places):
            count = 0
            try:
                answer = await obstore.get_async(
                    self._bucket_store, key, options={"range": (start, end)}
                )
                async for block in answer.stream(min_chunk_size=RANGE):
                    count += len(block)
                    if count > end - start or answer.meta["size"] != size:
                        raise self._garbled(f"other bytes of {key} than were asked for")
                    yield block
            except StoreError:
                raise
            except (BaseError, OSError) as error:
                raise self._explained(error, key) from None

    async def _versions(self, key: str) -> list[tuple[bool, str]]:
        """Every version of one object: whether it is a delete marker, and its id."""
        whole = self._prefix + key
        answer = await self._ask("GET", "", {"versions": "", "prefix": whole})
        self._expect(answer, 200, key)
        root = self._parsed(answer)
        found = [
            (one.tag.endswith("DeleteMarker"), one.findtext("{*}VersionId") or "null")
            for tag in ("{*}Version", "{*}DeleteMarker")
            for one in root.findall(tag)
            if one.findtext("{*}Key") == whole
        ]
        if root.findtext("{*}IsTruncated") == "true":
            raise self._garbled(f"more versions of {key} than one recording can have")
        return found

    async def _ask(
        self, method: str, key: str, query: dict[str, str], body: bytes = b""
    ) -> StoreAnswer:
        url = f"{self._url}/{signed.escaped(self._prefix + key)}" if key else self._url
        seconds = self._within.total_seconds()
        limits = httpx.Timeout(seconds, connect=min(CONNECT.total_seconds(), seconds))
        now = datetime.fromtimestamp(clock.now() // SECOND, UTC)
        try:
            async with httpx.AsyncClient(verify=self._context, timeout=limits) as client:
                return await signed.ask(
                    client, self._access, method, url, now=now, query=query, body=body
                )
        except httpx.TimeoutException:
            raise self._slow() from None
        except httpx.TransportError as error:
            said = str(error)
            raise (self._untrusted() if "CERTIFICATE" in said else self._away()) from None
        except (httpx.HTTPError, ValueError):
            raise self._garbled("no answer of an S3 store") from None

    def _expect(
        self, answer: StoreAnswer, status: int, key: str, also: tuple[int, ...] = ()
    ) -> None:
        if answer.status != status and answer.status not in also:
            raise self._refused(answer.status, _code(answer.body), key)

    def _parsed(self, answer: StoreAnswer) -> ElementTree.Element:
        try:
            # The text is bounded, and expat refuses entities that multiply.
            return ElementTree.fromstring(answer.body)  # noqa: S314
        except ElementTree.ParseError:
            raise self._garbled("no answer of an S3 store") from None

    # --- what is wrong, as a sentence

    def _explained(self, error: BaseException, key: str) -> StoreError:
        """What obstore says, in the operator's words. Its own text may hold a whole page of the store's."""
        if isinstance(error, StoreError):
            return error
        text = str(error)
        code = _code(text)
        if isinstance(error, PreconditionError):
            return StoreGoneError(
                StoreTrouble.GONE, f"{self._named} has another object under {key} meanwhile"
            )
        status = re.search(r"status code: (\d{3})", text)
        if status is not None:
            return self._refused(int(status[1]), code, key)
        if isinstance(error, FileNotFoundError):
            return self._gone(key)
        if "ertificate" in text and "kind: Connect" in text:
            return self._untrusted()
        if "TimedOut" in text or "kind: Timeout" in text:
            return self._slow()
        if "kind: Connect" in text or "ConnectionReset" in text or "IncompleteMessage" in text:
            return self._away()
        if isinstance(error, OSError) and error.filename:
            return StoreError(StoreTrouble.FILE, f"{error.filename} cannot be read: {error}")
        return self._garbled("no answer of an S3 store")

    def _refused(self, status: int, code: str, key: str) -> StoreError:
        if code == "RequestTimeTooSkewed":
            return StoreError(
                StoreTrouble.CLOCK,
                f"{self._named} refuses requests because its clock and this machine's differ: set both by NTP",
            )
        if code == "NoSuchBucket":
            return StoreError(
                StoreTrouble.BUCKET,
                f"{self._named} has no such bucket: make it, or correct HOTLINE_RECORDING_STORE",
            )
        if code in _FULL or status == 507:
            return StoreError(StoreTrouble.FULL, f"{self._named} is full ({code or status})")
        if status in (401, 403):
            return StoreError(
                StoreTrouble.FORBIDDEN,
                f"{self._named} refuses the access key ({code or status}): it needs the rights to read, write, list "
                "and delete there",
            )
        if status == 404:
            return self._gone(key)
        if status in (301, 307, 400) and code in _REGION:
            return StoreError(
                StoreTrouble.BUCKET,
                f"{self._named} has this bucket in another region: correct HOTLINE_STORE_REGION",
            )
        if status == 503 or status == 429:
            return StoreError(
                StoreTrouble.SLOW, f"{self._named} asks to be left alone for a while ({status})"
            )
        if status >= 500:
            return StoreError(
                StoreTrouble.AWAY, f"{self._named} has an error of its own ({code or status})"
            )
        return StoreError(
            StoreTrouble.GARBLED,
            f"{self._named} refuses the request ({code or status}): is it an S3 store?",
        )

    def _gone(self, key: str) -> StoreGoneError:
        return StoreGoneError(StoreTrouble.GONE, f"{self._named} has no object {key}")

    def _away(self) -> StoreError:
        return StoreError(
            StoreTrouble.AWAY,
            f"{self._named} cannot be reached: look whether it runs, and whether address and port are right",
        )

    def _slow(self) -> StoreError:
        return StoreError(
            StoreTrouble.SLOW,
            f"{self._named} did not answer within {self._within.total_seconds():.0f} s",
        )

    def _untrusted(self) -> StoreError:
        return StoreError(
            StoreTrouble.CERTIFICATE,
            f"{self._named} shows a certificate that is not trusted: name who signed it in HOTLINE_STORE_CA",
        )

    def _garbled(self, what: str) -> StoreError:
        return StoreError(StoreTrouble.GARBLED, f"{self._named} gave {what}")


class StoredFile(SeekingFile):
    """An object as a file. Each read is one request, for no more than was asked for."""

    def __init__(self, store: Store, whole: StoredObject) -> None:
        super().__init__(whole.size)
        self._store = store
        self._whole = whole
        self.name = whole.key

    def readinto(self, buffer: Any) -> int:
        """Fetch what fits into `buffer`, up to a part. Raises `StoreError`."""
        length = min(len(buffer), self.size - self.at, PART)
        if length <= 0:
            return 0
        found = self._store.read(self._whole, self.at, self.at + length)
        buffer[:length] = found
        self.at += length
        return length

    def readall(self) -> bytes:
        """Fetch the rest, a part at a time."""
        parts = []
        while block := self.read(PART):
            parts.append(block)
        return b"".join(parts)


_last: Final[list[tuple[Settings, Store]]] = []
_FULL: Final = frozenset(
    {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "InsufficientCapacity"}
)
_REGION: Final = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "PermanentRedirect",
        "TemporaryRedirect",
        "IllegalLocationConstraintException",
    }
)


def _code(text: str) -> str:
    """The name of an error in a store's answer."""
    found = re.search(r"<Code>(\w{1,60})</Code>", text)
    return found[1] if found else ""


def _moment(text: str | None) -> int:
    """A moment of an answer in microseconds; 0 when it is none."""
    try:
        return int(datetime.fromisoformat(text or "").timestamp()) * SECOND
    except (ValueError, OverflowError):
        return 0


def _context(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if settings.store_ca is not None:
        try:
            context.load_verify_locations(cafile=settings.store_ca)
        except (OSError, ssl.SSLError):
            raise _no_ca(settings.store_ca) from None
    return context


def _pem(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        raise _no_ca(file) from None


def _no_ca(file: Path) -> StoreError:
    return StoreError(
        StoreTrouble.UNSET, f"HOTLINE_STORE_CA: {file} cannot be read as certificates (PEM)"
    )
