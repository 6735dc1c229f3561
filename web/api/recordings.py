"""A call's recording: its sound, whole or in parts, to listen to or to take away."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from base.settings import Settings
from facts.times import SECOND
from recorder import copying, exports, finishing, ledger, tape
from recorder.copying import form_by_path
from recorder.entry import LedgerEntry
from recorder.exports import ExportError
from recorder.forms import RecordingForm
from recorder.ledger import LedgerAwayError, LedgerError
from recorder.press import PressError, Tags
from recorder.vault import reading
from recorder.vault.crypt import VaultError
from recorder.vault.keys import KeyAwayError
from recorder.vault.trouble import StoreError, StoreGoneError
from web.api.auth import Me, right
from web.api.calls import CallIdIn, text_of
from web.api.reasons import WhyListen
from web.backend import Backend, Behind, Problem

router = APIRouter(prefix="/api", tags=["calls"])

_SOUND: Final[dict[str, Any]] = {form.media_type: {} for form in RecordingForm}


@router.get(
    "/calls/{call}/recording",
    **right(
        "recordings.read",
        audited="every",
        response_class=FileResponse,
        responses={
            200: {
                "content": _SOUND,
                "description": "Stereo: citizen left, agent right.",
            },
            206: {"content": _SOUND, "description": "The part that was asked for."},
            400: {"description": "The header Range cannot be read."},
            416: {"description": "The recording is shorter."},
            503: {
                "description": "It is encrypted and its master key is away, or its store does not answer."
            },
        },
    ),
)
async def recording(
    call: CallIdIn,
    request: Request,
    me: Me,
    behind: Behind,
    _why: WhyListen,
    download: bool = False,
    format: RecordingForm | None = None,  # noqa: A002 the word of the command line
) -> Response:
    """A call's recording, whole or in parts (Range). Who listened, and why, is in the audit log.

    With `download` it is an export: `HOTLINE_EXPORT_APPROVAL` may want a second person's approval, used once. `format`:
    an export in another form than the stored one, always whole.
    """
    if format is not None and not download:
        raise Problem(422, "format goes with download=1")
    if not download:
        return await listen(behind, text_of(call, "call"), request)
    entry, opened = await _ready(behind, text_of(call, "call"), check=True)
    answer = None
    try:
        async with exports.allowed(
            behind.engine, behind.settings, entry.call, by=me.name
        ) as approved:
            if approved is not None and not request.query_params.get("why"):
                request.state.why = approved.why
            if format not in {None, form_by_path(entry.path)}:
                return await _converted(behind, entry, RecordingForm(format))
            name = PurePosixPath(entry.path.removesuffix(reading.SUFFIX)).name
            answer = _sound(behind, entry, opened, filename=name)
        return answer
    except ExportError as error:
        raise Problem(403, f"{error}: POST /api/calls/{entry.call}/export-requests") from None
    finally:
        if answer is None:  # else the answer closes it
            opened.close()


async def listen(behind: Backend, call: str, request: Request) -> FileResponse:
    """A call's sound for whoever may hear it, whole or in parts (Range), as no file to keep. Raises `Problem`."""
    return _sound(behind, *await _ready(behind, call, _is_whole(request)))


def _sound(
    behind: Backend, entry: LedgerEntry, opened: "_Opened", filename: str | None = None
) -> FileResponse:
    return _SoundResponse(
        behind.settings.recordings_dir / entry.path,
        opened,
        media_type=form_by_path(entry.path).media_type,
        headers={"Cache-Control": "private, no-store"},
        filename=filename,
    )


async def _converted(behind: Backend, entry: LedgerEntry, form: RecordingForm) -> Response:
    """The recording in another form, made as it is read. What goes wrong before its first piece is a `Problem`."""
    tags = await finishing.tags_of(behind.engine, entry.call)
    if behind.conversions.locked():
        raise Problem(503, "other recordings are being converted: try again", 10)
    pieces = _pieces(behind, entry, form, tags)
    try:
        first = await anext(pieces)
    except (PressError, VaultError, OSError) as error:
        raise Problem(503, f"the recording cannot be turned into {form.value}: {error}") from None

    async def body() -> AsyncIterator[bytes]:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return StreamingResponse(
        body(),
        media_type=form.media_type,
        headers={
            "Cache-Control": "private, no-store",
            "Content-Disposition": f'attachment; filename="{entry.call}.{form.value}"',
        },
    )


async def _pieces(
    behind: Backend, entry: LedgerEntry, form: RecordingForm, tags: Tags
) -> AsyncGenerator[bytes]:
    settings = behind.settings

    def made() -> Generator[bytes]:
        with reading.open_recording(settings, entry) as sound:
            mine = form_by_path(entry.path)
            yield from tape.convert(sound, mine, form, entry, settings.spool_dir, tags)

    pieces = made()
    async with behind.conversions:
        try:
            while piece := await anyio.to_thread.run_sync(lambda: next(pieces, b"")):
                yield piece
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(pieces.close)


def _is_whole(request: Request) -> bool:
    return request.headers.get("range", "bytes=0-") == "bytes=0-"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A recording's plain bytes, opened once for a whole answer, and what its file's state is. To be closed."""

    sound: BinaryIO
    stat: os.stat_result

    def close(self) -> None:
        """It is not needed any more."""
        self.sound.close()


async def _ready(behind: Backend, call: str, check: bool) -> tuple[LedgerEntry, _Opened]:
    """The row of a recording that can be given, and the recording. `check`: it is what the row says."""
    with problems():
        entry = await entry_of(behind, call)
        opened = await asyncio.to_thread(_open, behind.settings, entry)
        try:
            if check:
                await copying.verify(behind.engine, behind.settings, call)
        except BaseException:
            opened.close()
            raise
    return entry, opened


async def entry_of(behind: Backend, call: str) -> LedgerEntry:
    """The row of a recording that can be heard. Raises `Problem` and `LedgerError`."""
    entry = (await ledger.look_up(behind.engine, [call])).get(call)
    if entry is None or not entry.path:
        raise Problem(404, "there is no recording of this call, or it is not finished yet")
    if entry.certificate:
        await copying.verify(behind.engine, behind.settings, call)
    return entry


@contextmanager
def problems() -> Iterator[None]:
    """What goes wrong with a recording, as an answer: 503 if it may be heard later, otherwise 404."""
    try:
        yield
    except StoreGoneError as error:
        raise Problem(404, str(error)) from None
    except (LedgerAwayError, StoreError, KeyAwayError) as error:
        raise Problem(503, str(error)) from None
    except LedgerError as error:
        raise Problem(404, str(error)) from None
    except (VaultError, OSError) as error:
        raise Problem(404, f"the recording cannot be read: {error}") from None


class _SoundResponse(FileResponse):
    """A recording's plain bytes, whole or in parts, as a `FileResponse` gives a file's."""

    def __init__(self, place: Path, opened: _Opened, **more: Any) -> None:
        super().__init__(place, stat_result=opened.stat, **more)
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and close the recording, whatever came of it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await asyncio.to_thread(self._opened.close)

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[anyio.AsyncFile[bytes]]:
        yield anyio.wrap_file(self._opened.sound)


def _open(settings: Settings, entry: LedgerEntry) -> _Opened:
    """Raises as `open_recording`. The state is the file's, with the size of the plain sound."""
    try:
        found = list((settings.recordings_dir / entry.path).stat())
    except FileNotFoundError:  # it is in the store, or nowhere
        found = [0] * 10
        found[8] = entry.finished_at // SECOND
    sound = reading.open_recording(settings, entry)
    try:
        found[6] = sound.seek(0, os.SEEK_END)
        sound.seek(0)
    except BaseException:
        sound.close()
        raise
    return _Opened(sound, os.stat_result(found))
