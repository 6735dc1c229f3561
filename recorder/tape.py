"""Raw sound → one stereo WAV a call: the citizen left, what the citizen heard (prompts, music, agent) right.

It runs in worker processes, because it reads, hashes and syncs. Nothing here knows calls, the diary or the database.
"""

import hashlib
import io
import os
import signal
import threading
import warnings
import wave
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import BinaryIO, Final

from facts.times import SECOND
from recorder.policy import FRAME, RATE

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
    """

    duration: int
    size: int
    sha256: str
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one file of a batch was not finished. `full`: the disk is full, so it can be tried again."""

    why: str
    full: bool = False


def finish(raw: Path, wav: Path, *, swap: bool = False) -> Tape:
    """Make `wav` from `raw`: synced, renamed into place as a whole, or not at all. The folder is made.

    `swap`: the raw file has the citizen on the right. The same raw file always makes the same bytes. `raw` stays.
    Raises `OSError` and `TapeError`.
    """
    tape = _write(raw, wav, swap)
    if tape.size:
        _put_in_place([wav])
    return tape


def finish_batch(work: Sequence[tuple[Path, Path, bool]]) -> list[Tape | Fault]:
    """Do `finish` for several (raw, wav, swap), one answer each, in order. Cheaper: one sync of each folder for all."""
    answers: list[Tape | Fault] = []
    made: list[Path] = []
    for raw, wav, swap in work:
        try:
            tape = _write(raw, wav, swap)
        except (OSError, TapeError) as error:
            answers.append(_fault(error))
        else:
            answers.append(tape)
            if tape.size:
                made.append(wav)
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
            size = os.fstat(file.fileno()).st_size
            frames = frames_of(wav, file.read(HEADER), size)
            file.seek(0)
            return Tape(frames * SECOND // RATE, size, _hash(file))
    except OSError as error:
        raise TapeError(f"{wav} cannot be read: {error.strerror or error}") from error


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


def _write(raw: Path, wav: Path, swap: bool) -> Tape:
    """Write and sync the WAV under its provisional name."""
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
            return _write_part(source, part, frames, dropped, swap)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _write_part(source: BinaryIO, part: Path, frames: int, dropped: int, swap: bool) -> Tape:
    with part.open("w+b") as target:
        os.fchmod(target.fileno(), 0o600)
        # Asterisk may have written more since. Only what was there at the beginning counts.
        if frames * FRAME >= STREAM_FROM:
            _stream(source, target, frames, swap)
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


def _whole(source: BinaryIO, target: BinaryIO, frames: int, swap: bool) -> None:
    data = source.read(frames * FRAME)
    sound = AudioSegment(
        data=_swapped(data) if swap else data, sample_width=2, frame_rate=RATE, channels=2
    )
    sound.export(target, format="wav")


def _stream(source: BinaryIO, target: BinaryIO, frames: int, swap: bool) -> None:
    """Write the same bytes as pydub does, in bounded memory."""
    with closing(wave.open(target, "wb")) as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.setnframes(frames)
        left = frames * FRAME
        while left and (block := source.read(min(BLOCK, left))):
            # The block size is a multiple of the sample size and a disk file gives full blocks: no sample is cut.
            out.writeframesraw(_swapped(block) if swap else block)
            left -= len(block)


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
