"""Raw sound → one stereo WAV a call: the citizen left, what the citizen heard (prompts, music, agent) right.

It runs in worker processes, because it reads, hashes and syncs. Nothing here knows calls, the diary or the database.
"""

import hashlib
import io
import os
import signal
import struct
import threading
import warnings
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import BinaryIO, Final

from facts.times import SECOND
from recorder.entry import LedgerEntry
from recorder.policy import FRAME, RATE
from recorder.vault.crypt import FileKey, WrappedKey, Writer

with warnings.catch_warnings():
    # It says at import that there is no ffmpeg. WAV needs none.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment

STREAM_FROM: Final = 900 * RATE * FRAME
"""Bytes from which on a recording is streamed: pydub holds a whole one in memory (15 minutes: 29 MB, twice)."""
BLOCK: Final = 1 << 20
HEADER: Final = 44


class TapeError(Exception):
    """A recording's file cannot be read or written. The message is for the operator."""


@dataclass(frozen=True, slots=True)
class Tape:
    """A finished WAV. `duration` in microseconds, `size` in bytes, `sha256` of the whole file in hex.

    `dropped`: bytes of a last, incomplete sample that a crash left behind; the WAV does not have them. A raw file
    without one complete sample makes no WAV: then `size` and `duration` are 0 and `sha256` is empty.

    `cipher_sha256` and `key` are there if it lies encrypted; `size` and `sha256` are of the plain sound all the same.
    """

    duration: int
    size: int
    sha256: str
    dropped: int = 0
    cipher_sha256: str = ""
    key: WrappedKey | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """Make `wav` from `raw`. `swap`: the raw file has the citizen on the right. `key`: encrypt it with this one.

    `entered`: the row that there is already. If the sound is the same and `wav` is there, it stays as it is:
    a second encryption would be another file than the one that was vouched for.
    """

    raw: Path
    wav: Path
    swap: bool = False
    key: FileKey | None = None
    entered: LedgerEntry | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one file of a batch was not finished. `full`: the disk is full, so it can be tried again."""

    why: str
    full: bool = False


def finish(raw: Path, wav: Path, *, swap: bool = False) -> Tape:
    """Do one `Job` without a key. Raises `OSError` and `TapeError`."""
    return finish_one(Job(raw, wav, swap))


def finish_one(job: Job) -> Tape:
    """Make a WAV: synced, renamed into place as a whole, or not at all. The folder is made.

    The same raw file always makes the same sound. `raw` stays. Sound that is to be encrypted never lies plain, nor in a
    temporary file. Raises `OSError` and `TapeError`.
    """
    tape, is_new = _do(job)
    if is_new:
        _put_in_place([job.wav])
    return tape


def finish_batch(work: Sequence[Job]) -> list[Tape | Fault]:
    """Do `finish_one` for several jobs, one answer each, in order. Cheaper: one sync of each folder for all."""
    answers: list[Tape | Fault] = []
    made: list[Path] = []
    for job in work:
        try:
            tape, is_new = _do(job)
        except (OSError, TapeError) as error:
            answers.append(_fault(error))
        else:
            answers.append(tape)
            if is_new:
                made.append(job.wav)
    try:
        _put_in_place(made)
    except OSError as error:
        return [_fault(error)] * len(work)
    return answers


def inspect(wav: Path) -> Tape:
    """Read a finished WAV again and describe it. Raises `TapeError` when it is not as `finish` makes them.

    The header is compared with the file: other programs play a header of length 0, as a crash leaves it, as silence.
    """
    try:
        with wav.open("rb") as file:
            return describe(file, wav)
    except OSError as error:
        raise TapeError(f"{wav} cannot be read: {error.strerror or error}") from error


def describe(
    sound: BinaryIO, wav: Path, *, cipher_sha256: str = "", key: WrappedKey | None = None
) -> Tape:
    """Read the plain sound of `wav` to its end, and describe it. Raises as `inspect`, and what reading raises."""
    size = sound.seek(0, os.SEEK_END)
    sound.seek(0)
    head = sound.read(HEADER)
    frames = frames_of(wav, head, size)
    digest = hashlib.sha256(head)
    while block := sound.read(BLOCK):
        digest.update(block)
    return Tape(
        frames * SECOND // RATE, size, digest.hexdigest(), cipher_sha256=cipher_sha256, key=key
    )


def frames_of(wav: Path, head: bytes, size: int) -> int:
    """How many samples a side a finished WAV of `size` bytes has. Raises `TapeError` unless its header fits.

    `head`: its first `HEADER` bytes.
    """
    try:
        with wave.open(io.BytesIO(head), "rb") as header:
            frames = header.getnframes()
            shape = (header.getnchannels(), header.getsampwidth(), header.getframerate())
    except (wave.Error, EOFError) as error:
        raise TapeError(f"{wav} is no WAV file: {error}") from error
    if shape != (2, 2, RATE):
        raise TapeError(f"{wav} is not 16-bit stereo at {RATE} Hz")
    if frames * FRAME != size - HEADER:
        raise TapeError(
            f"{wav} is damaged: its header promises {frames * FRAME} bytes of sound, "
            f"it has {size - HEADER}"
        )
    return frames


def prepare_worker() -> None:
    """Call this first in a worker process: give way to calls, leave signals to the parent, do not outlive it."""
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _do(job: Job) -> tuple[Tape, bool]:
    """Write and sync the WAV under its provisional name, and say whether there is one now."""
    if job.entered is not None and job.wav.exists():
        with job.raw.open("rb") as source:
            known = _compare(source, job, job.entered)
        if known is not None:
            return known, False
    tape = _write(job)
    return tape, bool(tape.size)


def _compare(source: BinaryIO, job: Job, entered: LedgerEntry) -> Tape | None:
    """The tape that was entered, if it is the one that this raw file makes."""
    frames, dropped = divmod(source.seek(0, os.SEEK_END), FRAME)
    source.seek(0)
    digest = hashlib.sha256()
    _stream(source, digest.update, frames, job.swap)
    if digest.hexdigest() != entered.sha256:
        return None
    return Tape(
        frames * SECOND // RATE,
        HEADER + frames * FRAME,
        entered.sha256,
        dropped,
        entered.cipher_sha256,
        entered.key,
    )


def _write(job: Job) -> Tape:
    raw, wav = job.raw, job.wav
    with raw.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        frames, dropped = divmod(size, FRAME)
        if not frames:
            return Tape(0, 0, "", dropped)
        if frames * FRAME + HEADER >= 1 << 32:
            raise TapeError(f"{raw} is too long for a WAV file: {size} bytes")
        wav.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = _part(wav)
        try:
            if job.key is not None:
                return _write_encrypted(source, part, frames, dropped, job.swap, job.key)
            return _write_part(source, part, frames, dropped, job.swap)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _write_part(source: BinaryIO, part: Path, frames: int, dropped: int, swap: bool) -> Tape:
    with part.open("w+b") as target:
        os.fchmod(target.fileno(), 0o600)
        # Asterisk may have written more since. Only what was there at the beginning counts.
        if frames * FRAME >= STREAM_FROM:
            _stream(source, target.write, frames, swap)
        else:
            _whole(source, target, frames, swap)
        target.flush()
        os.fsync(target.fileno())
        target.seek(0)
        digest = _hash(target)
        written = os.fstat(target.fileno()).st_size
    if written != HEADER + frames * FRAME:
        raise TapeError(f"{part} came out with {written} bytes: the raw file shrank meanwhile")
    return Tape(frames * SECOND // RATE, written, digest, dropped)


def _write_encrypted(
    source: BinaryIO, part: Path, frames: int, dropped: int, swap: bool, key: FileKey
) -> Tape:
    with part.open("wb") as target:
        os.fchmod(target.fileno(), 0o600)
        sound = Writer(target, key)
        _stream(source, sound.write, frames, swap)
        sound.finish()
        target.flush()
        os.fsync(target.fileno())
    return Tape(
        frames * SECOND // RATE, sound.size, sound.sha256, dropped, sound.cipher_sha256, key.wrapped
    )


def _whole(source: BinaryIO, target: BinaryIO, frames: int, swap: bool) -> None:
    data = source.read(frames * FRAME)
    sound = AudioSegment(
        data=_swapped(data) if swap else data, sample_width=2, frame_rate=RATE, channels=2
    )
    sound.export(target, format="wav")


def _stream(source: BinaryIO, put: Callable[[bytes], object], frames: int, swap: bool) -> None:
    """Give the same bytes as pydub writes, in bounded memory."""
    left = frames * FRAME
    put(_HEAD.pack(*(b"RIFF", 36 + left, b"WAVE", b"fmt ", 16), *_FORM, b"data", left))
    while left and (block := source.read(min(BLOCK, left))):
        # The block size is a multiple of the sample size and a disk file gives full blocks: no sample is cut.
        put(_swapped(block) if swap else block)
        left -= len(block)
    if left:
        raise TapeError(f"{left} bytes are missing: the raw file shrank meanwhile")


_HEAD: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORM: Final = (1, 2, RATE, RATE * FRAME, FRAME, 16)
"""PCM, two sides of 16 bits."""


def _swapped(data: bytes) -> bytes:
    """Change left and right."""
    swapped = bytearray(len(data))
    for here, there in ((0, 2), (1, 3), (2, 0), (3, 1)):
        swapped[here::FRAME] = data[there::FRAME]
    return bytes(swapped)


def _put_in_place(made: Sequence[Path]) -> None:
    for wav in made:
        _part(wav).replace(wav)
    for folder in {wav.parent for wav in made}:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _part(wav: Path) -> Path:
    return wav.with_name(f".{wav.name}.part")


def _hash(file: io.BufferedReader | io.BufferedRandom) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _fault(error: OSError | TapeError) -> Fault:
    if isinstance(error, TapeError):
        return Fault(str(error))
    return Fault(
        f"{error.filename or 'the recordings folder'}: {error.strerror or error}",
        full=error.errno in _FULL,
    )


_FULL: Final = frozenset({28, 122})  # ENOSPC, EDQUOT
